//! How long packets may be on a path (RFC 1191, RFC 8201).

mod common;

use core::net::{IpAddr, SocketAddr};

use common::host::*;
use common::slice;
use pith_tcpip::stack::{Cause, Discovery, Error, Handle, Reach};
use pith_tcpip::tcp::{Ending, Options, Sequence};
use pith_tcpip::time::SECOND;
use pith_tcpip::wire::{icmp, icmpv6, ip, ipv6, tcp};

/// A socket that is connected with a station behind the router, and its address.
fn connected(host: &mut Host, far: IpAddr) -> (Handle, SocketAddr) {
    let to = SocketAddr::new(far, 53);
    let socket = host.udp(Reach::Both, 1000);
    host.stack.udp_connect(socket, Some(to)).expect("a way");
    (socket, to)
}

fn send(host: &mut Host, socket: Handle, length: usize) -> Result<Vec<Vec<u8>>, Error> {
    let now = host.now;
    host.stack
        .udp_send(socket, None, slice(&vec![7; length]), now)?;
    Ok(host.sent().into_iter().map(|sent| sent.bytes).collect())
}

/// A router says that a packet is too long.
fn too_long(packet: &[u8], mtu: u32) -> Vec<u8> {
    let quoted = &packet[..packet.len().min(500)];
    match packet[0] >> 4 {
        4 => {
            let header = icmp::Header {
                kind: icmp::UNREACHABLE,
                code: 4,
                rest: mtu,
            };
            icmp4(OTHER_V4, header, quoted)
        }
        _ => {
            let header = icmp::Header {
                kind: icmpv6::TOO_BIG,
                code: 0,
                rest: mtu,
            };
            icmp6(OTHER_V6, OWN_V6, 64, header, quoted)
        }
    }
}

#[test]
fn datagrams_are_cut_to_what_the_path_carries() {
    for (far, mtu) in [(FAR_V4.into(), 1000), (FAR_V6.into(), 1300)] {
        let mut host = Host::new();
        let (socket, to) = connected(&mut host, far);
        let packets = send(&mut host, socket, 1400).expect("sent");
        assert_eq!(packets.len(), 1);
        assert_eq!(host.receive(&too_long(&packets[0], mtu)), Ok(()));
        assert_eq!(host.stack.mtu_to(to, host.now), mtu as usize);
        // The program learns that one was lost, and the next one passes.
        assert_eq!(
            send(&mut host, socket, 1400),
            Err(Error::Failed(Cause::TooLong))
        );
        let packets = send(&mut host, socket, 1400).expect("sent");
        assert_eq!(packets.len(), 2);
        assert!(packets.iter().all(|packet| packet.len() <= mtu as usize));
        // After ten minutes it may have got better.
        host.pass(601 * SECOND);
        assert_eq!(send(&mut host, socket, 1400).expect("sent").len(), 1);
    }
}

#[test]
fn only_smaller_values_count_and_not_too_small_ones() {
    let mut host = Host::new();
    let (socket, to) = connected(&mut host, FAR_V4.into());
    let packet = send(&mut host, socket, 1400).expect("sent").remove(0);
    let mtu = |host: &Host| host.stack.mtu_to(to, host.now);
    for (told, expected) in [
        (9000, 1500),
        (1500, 1500),
        (1200, 1200),
        (1300, 1200),
        (68, 552),
    ] {
        let _ = host.receive(&too_long(&packet, told));
        assert_eq!(mtu(&host), expected, "{told}");
        host.stack.udp_take_error(socket);
    }
    // Routers have to cut, then.
    let packets = send(&mut host, socket, 500).expect("sent");
    assert_eq!(packets[0][6] & 0x40, 0);
    let mut host = Host::new();
    let (socket, to) = connected(&mut host, FAR_V6.into());
    let packet = send(&mut host, socket, 1400).expect("sent").remove(0);
    for (told, expected) in [(1279, 1500), (0, 1500), (9000, 1500), (1280, 1280)] {
        let _ = host.receive(&too_long(&packet, told));
        assert_eq!(host.stack.mtu_to(to, host.now), expected, "{told}");
    }
}

#[test]
fn old_routers_do_not_tell_the_length() {
    let mut host = Host::new();
    let (socket, to) = connected(&mut host, FAR_V4.into());
    let packet = send(&mut host, socket, 1472).expect("sent").remove(0);
    for expected in [1492, 1006, 552] {
        let mut shorter = packet.clone();
        let length = host.stack.mtu_to(to, host.now) as u16;
        shorter[2..4].copy_from_slice(&length.to_be_bytes());
        let _ = host.receive(&too_long(&shorter, 0));
        assert_eq!(host.stack.mtu_to(to, host.now), expected);
    }
}

#[test]
fn who_did_not_send_the_packet_changes_nothing() {
    let mut host = Host::new();
    let (socket, to) = connected(&mut host, FAR_V4.into());
    let packet = send(&mut host, socket, 1400).expect("sent").remove(0);
    for place in [20, 22] {
        let mut other = packet.clone();
        other[place] ^= 1;
        let _ = host.receive(&too_long(&other, 600));
        assert_eq!(host.stack.mtu_to(to, host.now), 1500);
    }
    // A connection that does not exist.
    let mut other = packet.clone();
    other[9] = 6;
    let _ = host.receive(&too_long(&other, 600));
    assert_eq!(host.stack.mtu_to(to, host.now), 1500);
}

#[test]
fn programs_may_forbid_cutting_or_allow_it_everywhere() {
    let mut host = Host::new();
    let (socket, _) = connected(&mut host, FAR_V4.into());
    let mut manner = host.stack.udp_manner(socket).expect("a socket");
    for (discovery, flag, length, result) in [
        (Discovery::Never, 0, 1400, 1),
        (Discovery::Usual, 0x40, 1400, 1),
        (Discovery::Always, 0x40, 1400, 1),
        (Discovery::Probe, 0x40, 1400, 1),
        (Discovery::Never, 0, 2000, 2),
        (Discovery::Usual, 0, 2000, 2),
        (Discovery::Always, 0, 2000, 0),
        (Discovery::Probe, 0, 2000, 0),
    ] {
        manner.discovery = discovery;
        host.stack.udp_set_manner(socket, manner).expect("a socket");
        let sent = send(&mut host, socket, length);
        match result {
            0 => assert_eq!(sent, Err(Error::TooLong)),
            count => {
                let packets = sent.expect("sent");
                assert_eq!(packets.len(), count);
                assert_eq!(packets[0][6] & 0x40, flag, "{discovery:?} {length}");
            }
        }
    }
}

#[test]
fn the_table_is_bounded() {
    let mut host = Host::new();
    let socket = host.udp(Reach::V6, 1000);
    let now = host.now;
    for number in 0..3000_u128 {
        let far = (FAR_V6.to_bits() + number).into();
        let to = SocketAddr::new(IpAddr::V6(far), 53);
        host.stack
            .udp_send(socket, Some(to), slice(&[0; 1400]), now)
            .expect("sent");
        let packet = host.sent().remove(0).bytes;
        assert_eq!(ipv6::Header::read(&packet).expect("one").destination, far);
        let _ = host.receive(&too_long(&packet, 1280));
        assert_eq!(host.stack.mtu_to(to, now), 1280);
    }
    let small = (0..3000_u128).filter(|number| {
        let far = (FAR_V6.to_bits() + number).into();
        host.stack.mtu_to(SocketAddr::new(IpAddr::V6(far), 53), now) == 1280
    });
    assert!(small.count() <= 1024);
}

/// The header of the segment in a packet, and bytes of its data.
fn segment_of(packet: &[u8]) -> (tcp::Header, usize) {
    let start = match packet[0] >> 4 {
        4 => 20,
        _ => 40,
    };
    let (header, length) = tcp::Header::read(&packet[start..]).expect("a segment");
    (header, packet.len() - start - length)
}

/// A connection to a station behind the router.
fn stream(host: &mut Host, far: IpAddr) -> (Handle, tcp::Header) {
    let socket = host.stack.tcp_open(Reach::Both, Options::default());
    let now = host.now;
    let to = SocketAddr::new(far, 80);
    host.stack.tcp_connect(socket, to, now).expect("a way");
    let asked = host.sent().remove(0).bytes;
    let (syn, _) = segment_of(&asked);
    let answer = tcp::Header {
        source: 80,
        destination: syn.source,
        sequence: Sequence(7000),
        acknowledgement: syn.sequence + 1,
        flags: tcp::flag::SYN | tcp::flag::ACK,
        window: 60_000,
        maximum_segment: Some(1460),
        ..tcp::Header::default()
    };
    let packet = match far {
        IpAddr::V4(far) => packet4(
            far,
            ip::TCP,
            &segment(far.into(), OWN_V4.into(), &answer, b""),
        ),
        IpAddr::V6(far) => packet6(
            far,
            ip::TCP,
            &segment(far.into(), OWN_V6.into(), &answer, b""),
        ),
    };
    assert_eq!(host.receive(&packet), Ok(()));
    assert_eq!(host.sent().len(), 1);
    (socket, syn)
}

#[test]
fn connections_send_again_in_shorter_segments() {
    for (far, mtu, headers) in [(IpAddr::from(FAR_V4), 1000, 40), (FAR_V6.into(), 1300, 60)] {
        let mut host = Host::new();
        let (socket, syn) = stream(&mut host, far);
        let now = host.now;
        host.stack
            .with_connection(socket, now, |one| one.send(slice(&[7; 10_000])))
            .expect("connected");
        let first = host.sent();
        assert_eq!(first[0].bytes.len(), 1500);
        if far.is_ipv4() {
            assert!(first[0].v4().0.do_not_fragment);
        }
        // Somebody who does not see the connection guesses in vain.
        let mut guess = first[0].bytes.clone();
        guess[headers - 16] ^= 0x40;
        let _ = host.receive(&too_long(&guess, mtu));
        assert!(host.sent().is_empty());
        assert_eq!(host.stack.mtu_to(SocketAddr::new(far, 80), now), 1500);
        assert_eq!(host.receive(&too_long(&first[0].bytes, mtu)), Ok(()));
        let again = host.sent();
        let (header, length) = segment_of(&again[0].bytes);
        assert_eq!(header.sequence, syn.sequence + 1);
        assert_eq!(length, mtu as usize - headers);
        assert!(again.iter().all(|sent| sent.bytes.len() <= mtu as usize));
        // The next connection knows, but does not tell the peer.
        let (socket, syn) = stream(&mut host, far);
        assert_eq!(syn.maximum_segment, Some(1500 - headers as u16));
        host.stack
            .with_connection(socket, now, |one| one.send(slice(&[7; 10_000])))
            .expect("connected");
        let sent = host.sent();
        assert!(!sent.is_empty());
        assert!(sent.iter().all(|sent| sent.bytes.len() <= mtu as usize));
    }
}

#[test]
fn a_connection_that_is_being_made_ends_by_errors_and_another_does_not() {
    let mut host = Host::new();
    let socket = host.stack.tcp_open(Reach::V4, Options::default());
    let to = SocketAddr::from((FAR_V4, 80));
    let now = host.now;
    host.stack.tcp_connect(socket, to, now).expect("a way");
    let asked = host.sent().remove(0).bytes;
    let error = icmp::Header {
        kind: icmp::UNREACHABLE,
        code: 0,
        rest: 0,
    };
    let mut guess = asked.clone();
    guess[25] ^= 1;
    let ending = |host: &Host, socket| host.stack.connection(socket).expect("one").ending();
    let _ = host.receive(&icmp4(OTHER_V4, error, &guess));
    assert_eq!(ending(&host, socket), None);
    assert_eq!(host.receive(&icmp4(OTHER_V4, error, &asked)), Ok(()));
    assert_eq!(ending(&host, socket), Some(Ending::NoNetwork));
    // An established one waits, and tells the reason when nothing has come for long.
    let mut host = Host::new();
    let (socket, _) = stream(&mut host, FAR_V4.into());
    let now = host.now;
    host.stack
        .with_connection(socket, now, |one| one.send(slice(b"data")))
        .expect("connected");
    let packet = host.sent().remove(0).bytes;
    assert_eq!(host.receive(&icmp4(OTHER_V4, error, &packet)), Ok(()));
    assert_eq!(ending(&host, socket), None);
    for _ in 0..2000 {
        host.pass(SECOND);
        host.sent();
    }
    assert_eq!(ending(&host, socket), Some(Ending::NoNetwork));
}
