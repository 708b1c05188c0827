//! ICMP for IPv6 (RFC 4443) and for IPv4 (RFC 792, RFC 1122): echoes, errors, and who learns of them.

mod common;

use core::net::{IpAddr, SocketAddr};

use common::host::*;
use common::slice;
use pith_tcpip::stack::{Cause, Error, Handle, Reach};
use pith_tcpip::time::SECOND;
use pith_tcpip::wire::{icmp, icmpv6, ip};

const ECHO: icmp::Header = icmp::Header {
    kind: icmp::ECHO,
    code: 0,
    rest: 0x1234_0001,
};
const ECHO_6: icmp::Header = icmp::Header {
    kind: icmpv6::ECHO,
    ..ECHO
};

#[test]
fn echoes_are_answered_with_what_they_carry() {
    for length in [0, 1, 56, 1400] {
        let mut host = Host::new();
        let data: Vec<u8> = (0..length).map(|index| index as u8).collect();
        assert_eq!(host.receive(&icmp4(OTHER_V4, ECHO, &data)), Ok(()));
        let sent = host.sent();
        let (message, carried) = sent[0].icmp();
        assert_eq!((message.kind, message.rest), (icmp::ECHO_REPLY, ECHO.rest));
        assert_eq!(carried, data);
        let packet = icmp6(OTHER_V6, OWN_V6, 64, ECHO_6, &data);
        assert_eq!(host.receive(&packet), Ok(()));
        let sent = host.sent();
        let (message, carried) = sent[0].icmpv6();
        assert_eq!(
            (message.kind, message.rest),
            (icmpv6::ECHO_REPLY, ECHO.rest)
        );
        assert_eq!(carried, data);
    }
}

#[test]
fn only_groups_of_version_6_answer_echoes() {
    let mut host = Host::new();
    let group = "ff02::1".parse().expect("an address");
    let packet = icmp6(OTHER_V6, group, 64, ECHO_6, b"");
    let card = pith_tcpip::wire::ethernet::HardwareAddress::of_group(group.into());
    assert_eq!(host.frame(card, 0x86dd, &packet), Ok(()));
    let sent = host.sent();
    assert_eq!(sent[0].icmpv6().0.kind, icmpv6::ECHO_REPLY);
    assert_eq!(sent[0].v6().0.source, OWN_V6);
    let mut packet = icmp4(OTHER_V4, ECHO, b"");
    packet[16..20].copy_from_slice(&[10, 0, 0, 255]);
    packet[10..12].fill(0);
    let checksum = pith_tcpip::wire::checksum::Sum::default()
        .bytes(&packet[..20])
        .checksum();
    packet[10..12].copy_from_slice(&checksum);
    let everybody = pith_tcpip::wire::ethernet::HardwareAddress::BROADCAST;
    assert_eq!(host.frame(everybody, 0x0800, &packet), Ok(()));
    assert!(host.sent().is_empty());
}

#[test]
fn a_wrong_checksum_is_not_answered() {
    let mut host = Host::new();
    let mut packet = icmp6(OTHER_V6, OWN_V6, 64, ECHO_6, b"data");
    packet[50] ^= 1;
    assert!(host.receive(&packet).is_err());
    let mut packet = icmp4(OTHER_V4, ECHO, b"data");
    packet[30] ^= 1;
    assert!(host.receive(&packet).is_err());
    assert!(host.sent().is_empty());
}

#[test]
fn nobody_at_a_port_is_told() {
    let mut host = Host::new();
    let bytes = datagram(OTHER_V6.into(), OWN_V6.into(), (1000, 9), &[7; 1400]);
    let packet = packet6(OTHER_V6, ip::UDP, &bytes);
    assert_eq!(host.receive(&packet), Ok(()));
    let sent = host.sent();
    let (message, quoted) = sent[0].icmpv6();
    assert_eq!(
        (message.kind, message.code),
        (icmpv6::UNREACHABLE, icmpv6::PORT_UNREACHABLE)
    );
    // As much as fits into what every link carries.
    assert_eq!(sent[0].bytes.len(), 1280);
    assert_eq!(quoted, &packet[..quoted.len()]);
    let bytes = datagram(OTHER_V4.into(), OWN_V4.into(), (1000, 9), &[7; 1400]);
    let packet = packet4(OTHER_V4, ip::UDP, &bytes);
    assert_eq!(host.receive(&packet), Ok(()));
    let sent = host.sent();
    let (message, quoted) = sent[0].icmp();
    assert_eq!((message.kind, message.code), (icmp::UNREACHABLE, 3));
    assert_eq!(sent[0].bytes.len(), 576);
    assert_eq!(quoted, &packet[..quoted.len()]);
    // A protocol that nobody knows.
    assert_eq!(host.receive(&packet4(OTHER_V4, 99, b"12345678")), Ok(()));
    let sent = host.sent();
    assert_eq!(sent[0].icmp().0.code, icmp::PROTOCOL_UNREACHABLE);
}

#[test]
fn errors_are_sent_at_a_limited_rate() {
    let mut host = Host::new();
    let bytes = datagram(OTHER_V6.into(), OWN_V6.into(), (1000, 9), b"");
    let packet = packet6(OTHER_V6, ip::UDP, &bytes);
    for _ in 0..100 {
        assert_eq!(host.receive(&packet), Ok(()));
    }
    assert_eq!(host.sent().len(), 6);
    host.pass(SECOND);
    for _ in 0..100 {
        assert_eq!(host.receive(&packet), Ok(()));
    }
    assert_eq!(host.sent().len(), 1);
    // And to all stations together.
    let mut host = Host::new();
    for number in 0..1000_u128 {
        let source = (OTHER_V6.to_bits() + 0x1000 + number).into();
        let bytes = datagram(IpAddr::V6(source), OWN_V6.into(), (1000, 9), b"");
        assert_eq!(host.receive(&packet6(source, ip::UDP, &bytes)), Ok(()));
    }
    let sent = host.sent().len();
    assert!((6..=50).contains(&sent), "{sent}");
    // Echoes are no errors.
    let packet = icmp6(OTHER_V6, OWN_V6, 64, ECHO_6, b"");
    for _ in 0..100 {
        assert_eq!(host.receive(&packet), Ok(()));
    }
    assert_eq!(host.sent().len(), 100);
}

/// Sends a datagram, and gives back the packet that was sent.
fn send(host: &mut Host, socket: Handle, to: Option<SocketAddr>) -> Result<Vec<u8>, Error> {
    let now = host.now;
    host.stack.udp_send(socket, to, slice(b"question"), now)?;
    Ok(host.sent().pop().expect("a packet").bytes)
}

#[test]
fn who_is_connected_learns_what_will_not_pass() {
    // Type, code, what a program learns of it, whether without asking.
    let messages = [
        (icmpv6::UNREACHABLE, 0, Cause::NetworkUnreachable, false),
        (icmpv6::UNREACHABLE, 1, Cause::Forbidden, true),
        (icmpv6::UNREACHABLE, 3, Cause::HostUnreachable, false),
        (icmpv6::UNREACHABLE, 4, Cause::Refused, true),
        (icmpv6::TIME_EXCEEDED, 0, Cause::HostUnreachable, false),
        (icmpv6::PROBLEM, 1, Cause::Malformed, true),
    ];
    for (kind, code, cause, lasting) in messages {
        let mut host = Host::new();
        let to = SocketAddr::from((FAR_V6, 53));
        let error = icmp::Header {
            kind,
            code,
            rest: 0,
        };
        let connected = host.udp(Reach::Both, 1000);
        host.stack.udp_connect(connected, Some(to)).expect("a way");
        let packet = send(&mut host, connected, None).expect("sent");
        let back = icmp6(OTHER_V6, OWN_V6, 64, error, &packet);
        assert_eq!(host.receive(&back), Ok(()));
        let expected = match lasting {
            true => Err(Error::Failed(cause)),
            false => Ok(()),
        };
        assert_eq!(
            send(&mut host, connected, None).map(drop),
            expected,
            "{kind} {code}"
        );
        assert!(send(&mut host, connected, None).is_ok(), "it is told once");
        // Who is not connected learns nothing, unless it asks.
        let free = host.udp(Reach::V6, 2000);
        let packet = send(&mut host, free, Some(to)).expect("sent");
        let back = icmp6(OTHER_V6, OWN_V6, 64, error, &packet);
        assert_eq!(host.receive(&back), Ok(()));
        assert!(send(&mut host, free, Some(to)).is_ok());
        let mut manner = host.stack.udp_manner(free).expect("a socket");
        manner.reports_v4 = true;
        host.stack.udp_set_manner(free, manner).expect("a socket");
        assert_eq!(host.receive(&back), Ok(()));
        assert_eq!(host.stack.udp_take_report(free), None, "only those of IPv4");
        manner.reports_v6 = true;
        host.stack.udp_set_manner(free, manner).expect("a socket");
        assert_eq!(host.receive(&back), Ok(()));
        assert_eq!(send(&mut host, free, Some(to)), Err(Error::Failed(cause)));
        let report = host.stack.udp_take_report(free).expect("a report");
        assert_eq!((report.cause, report.message), (cause, (kind, code)));
        let carrier = report.carrier.expect("a packet");
        assert_eq!(carrier.source.ip(), OTHER_V6);
        assert_eq!(carrier.destination.ip(), OWN_V6);
        assert_eq!((carrier.interface, carrier.hops), (1, 64));
        assert_eq!(report.destination, to);
        assert_eq!(report.data, b"question");
    }
}

#[test]
fn errors_about_packets_of_others_are_not_believed() {
    let mut host = Host::new();
    let to = SocketAddr::from((FAR_V4, 53));
    let socket = host.udp(Reach::Both, 1000);
    host.stack.udp_connect(socket, Some(to)).expect("a way");
    let packet = send(&mut host, socket, None).expect("sent");
    let error = icmp::Header {
        kind: icmp::UNREACHABLE,
        code: 3,
        rest: 0,
    };
    for place in [12, 16, 20, 22] {
        let mut other = packet.clone();
        other[place] ^= 1;
        let _ = host.receive(&icmp4(OTHER_V4, error, &other));
        assert!(send(&mut host, socket, None).is_ok(), "byte {place}");
    }
    for end in 0..28 {
        let _ = host.receive(&icmp4(OTHER_V4, error, &packet[..end.min(23)]));
    }
    assert!(send(&mut host, socket, None).is_ok());
    assert_eq!(host.receive(&icmp4(OTHER_V4, error, &packet[..28])), Ok(()));
    assert_eq!(
        send(&mut host, socket, None),
        Err(Error::Failed(Cause::Refused))
    );
}

#[test]
fn packets_from_nobody_and_to_the_loopback_network_are_thrown_away() {
    let mut host = Host::new();
    let socket = host.udp(Reach::Both, 53);
    let loopback: [(IpAddr, IpAddr); 2] = [
        ("127.0.0.1".parse().unwrap(), OWN_V4.into()),
        ("::1".parse().unwrap(), OWN_V6.into()),
    ];
    for (source, own) in loopback {
        let bytes = datagram(source, own, (1000, 53), b"x");
        let packet = match source {
            IpAddr::V4(source) => packet4(source, ip::UDP, &bytes),
            IpAddr::V6(source) => packet6(source, ip::UDP, &bytes),
        };
        let _ = host.receive(&packet);
        assert_eq!(host.datagram(socket), None, "from {source}");
    }
    let group = "ff02::5".parse().expect("an address");
    let bytes = datagram(IpAddr::V6(group), OWN_V6.into(), (1000, 53), b"x");
    let _ = host.receive(&packet6(group, ip::UDP, &bytes));
    let here = "::1".parse().expect("an address");
    let bytes = datagram(OTHER_V6.into(), IpAddr::V6(here), (1000, 53), b"x");
    let _ = host.receive(&packet6_to(OTHER_V6, here, 64, ip::UDP, &bytes));
    assert_eq!(host.datagram(socket), None);
    assert!(host.sent().is_empty());
}
