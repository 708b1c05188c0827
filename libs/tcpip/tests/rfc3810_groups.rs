//! Groups: joining, leaving, and telling routers (RFC 3376, RFC 2236, RFC 3810, RFC 2710); what is sent to them.

mod common;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::host::*;
use common::slice;
use pith_tcpip::stack::{Error, Handle, Reach};
use pith_tcpip::time::SECOND;
use pith_tcpip::wire::checksum::Sum;
use pith_tcpip::wire::ethernet::HardwareAddress;
use pith_tcpip::wire::icmp::Header;
use pith_tcpip::wire::{icmpv6, ip, ipv4, ipv6};

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x123);

/// What a packet reports: where it goes, the version, the kind of record, the group.
fn report(sent: &Sent) -> Option<(IpAddr, u8, u8, IpAddr)> {
    if sent.is_v4() {
        let (header, payload) = sent.v4();
        if header.protocol != ip::IGMP {
            return None;
        }
        assert_eq!((header.time_to_live, header.header_length), (1, 24));
        assert_eq!(sent.bytes[20..24], [0x94, 4, 0, 0]);
        assert!(Sum::default().bytes(payload).is_right());
        let ip = |at: usize| {
            let octets: [u8; 4] = payload[at..at + 4].try_into().expect("four");
            IpAddr::from(octets)
        };
        let to = header.destination.into();
        return Some(match payload[0] {
            0x22 => (to, 3, payload[8], ip(12)),
            kind => (to, 2, kind, ip(4)),
        });
    }
    let (header, payload) = sent.v6();
    if header.next != ipv6::HOP_BY_HOP {
        return None;
    }
    assert_eq!(
        (header.hops, &payload[..8]),
        (1, &[58, 0, 5, 2, 0, 0, 1, 0][..])
    );
    let message = icmpv6::read(header.source, header.destination, &payload[8..]);
    let kind = message.expect("a message").kind;
    let ip = |at: usize| {
        let octets: [u8; 16] = payload[at..at + 16].try_into().expect("sixteen");
        IpAddr::from(octets)
    };
    let to = header.destination.into();
    Some(match kind {
        icmpv6::LISTENER_REPORT_2 => (to, 2, payload[16], ip(20)),
        kind => (to, 1, kind, ip(16)),
    })
}

fn reports(host: &mut Host) -> Vec<(IpAddr, u8, u8, IpAddr)> {
    host.sent().iter().filter_map(report).collect()
}

fn socket(host: &mut Host) -> Handle {
    host.udp(Reach::Both, 5000)
}

#[test]
fn joining_and_leaving_is_told() {
    let routers: [(IpAddr, IpAddr, u8); 2] = [
        (GROUP_V4.into(), [224, 0, 0, 22].into(), 3),
        (GROUP_V6.into(), "ff02::16".parse().unwrap(), 2),
    ];
    for (group, to, version) in routers {
        let mut host = Host::new();
        host.pass(5 * SECOND);
        reports(&mut host);
        let (one, other) = (socket(&mut host), host.udp(Reach::Both, 5001));
        let now = host.now;
        assert_eq!(host.stack.udp_join(one, group, 0, now), Ok(()));
        assert_eq!(reports(&mut host), [(to, version, 4, group)]);
        // Once more, should it have been lost; and then never.
        host.pass(SECOND);
        assert_eq!(reports(&mut host), [(to, version, 4, group)]);
        host.pass(100 * SECOND);
        assert_eq!(reports(&mut host), []);
        let now = host.now;
        assert_eq!(host.stack.udp_join(other, group, 2, now), Ok(()));
        assert_eq!(host.stack.udp_leave(one, group, 0, now), Ok(()));
        assert_eq!(reports(&mut host), [], "somebody still listens");
        host.stack.close(other, now);
        assert_eq!(reports(&mut host), [(to, version, 3, group)]);
    }
}

#[test]
fn what_can_not_be_joined() {
    let mut host = Host::new();
    let handle = socket(&mut host);
    let now = host.now;
    let mut join = |group: &str, interface| {
        let group = group.parse().expect("an address");
        host.stack.udp_join(handle, group, interface, now)
    };
    assert_eq!(join("10.0.0.1", 0), Err(Error::State));
    assert_eq!(join("2001:db8::1", 0), Err(Error::State));
    assert_eq!(join("239.0.0.1", 9), Err(Error::NoInterface));
    assert_eq!(join("239.0.0.1", 2), Ok(()));
    assert_eq!(join("239.0.0.1", 0), Err(Error::InUse));
    for number in 2..21 {
        assert_eq!(join(&format!("239.0.0.{number}"), 0), Ok(()));
    }
    assert_eq!(join("239.0.0.30", 0), Err(Error::TooMany));
    let left = host.stack.udp_leave(handle, [239, 0, 0, 99].into(), 0, now);
    assert_eq!(left, Err(Error::NotLocal));
}

#[test]
fn the_group_of_an_address_is_reported() {
    let mut host = Host::bare();
    host.pass(2 * SECOND);
    let told = reports(&mut host);
    let group: IpAddr = "ff02::1:ff00:1".parse().expect("an address");
    assert!(told.iter().any(|(.., ip)| *ip == group), "{told:?}");
}

fn query_v4(code: u8, group: Ipv4Addr, newer: bool) -> Vec<u8> {
    let mut message = vec![0x11, code, 0, 0];
    message.extend_from_slice(&group.octets());
    if newer {
        message.extend_from_slice(&[2, 125, 0, 0]);
    }
    let checksum = Sum::default().bytes(&message).checksum();
    message[2..4].copy_from_slice(&checksum);
    let to = match group.is_unspecified() {
        true => Ipv4Addr::new(224, 0, 0, 1),
        false => group,
    };
    let mut header = ipv4::Header::new(OTHER_V4, to, ip::IGMP, message.len());
    header.time_to_live = 1;
    [&header.bytes()[..], &message].concat()
}

fn query_v6(code: u16, group: Ipv6Addr, newer: bool) -> Vec<u8> {
    let header = Header {
        kind: icmpv6::LISTENER_QUERY,
        code: 0,
        rest: u32::from(code) << 16,
    };
    let mut body = group.octets().to_vec();
    if newer {
        body.extend_from_slice(&[2, 125, 0, 0]);
    }
    let to = match group.is_unspecified() {
        true => "ff02::1".parse().expect("an address"),
        false => group,
    };
    icmp6("fe80::9".parse().unwrap(), to, 1, header, &body)
}

fn hear(host: &mut Host, packet: &[u8]) {
    let (kind, to): (u16, IpAddr) = match packet[0] >> 4 {
        4 => (
            0x0800,
            [packet[16], packet[17], packet[18], packet[19]].into(),
        ),
        _ => {
            let octets: [u8; 16] = packet[24..40].try_into().expect("sixteen");
            (0x86dd, octets.into())
        }
    };
    let _ = host.frame(HardwareAddress::of_group(to), kind, packet);
}

#[test]
fn questions_of_routers_are_answered_in_their_version() {
    for (group, newest) in [(IpAddr::from(GROUP_V4), 3), (GROUP_V6.into(), 2)] {
        for (newer, general) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut host = Host::new();
            let handle = socket(&mut host);
            let now = host.now;
            host.stack.udp_join(handle, group, 0, now).expect("free");
            host.pass(5 * SECOND);
            reports(&mut host);
            let packet = match group {
                IpAddr::V4(ip) => {
                    query_v4(20, if general { Ipv4Addr::UNSPECIFIED } else { ip }, newer)
                }
                IpAddr::V6(ip) => query_v6(
                    2000,
                    if general { Ipv6Addr::UNSPECIFIED } else { ip },
                    newer,
                ),
            };
            hear(&mut host, &packet);
            assert_eq!(reports(&mut host), [], "not all at once");
            host.pass(2 * SECOND);
            let told = reports(&mut host);
            let own: Vec<_> = told.iter().filter(|(.., ip)| *ip == group).collect();
            assert_eq!(own.len(), 1, "{told:?}");
            let (to, version, kind, _) = *own[0];
            match newer {
                true => assert_eq!((version, kind), (newest, 2)),
                false => {
                    assert_eq!(version, newest - 1);
                    assert_eq!(to, group);
                }
            }
            // Leaving is told in the same version.
            host.stack.close(handle, host.now);
            let (to, version, ..) = reports(&mut host)[0];
            assert_eq!(version, if newer { newest } else { newest - 1 });
            if !newer {
                let routers: [IpAddr; 2] = [[224, 0, 0, 2].into(), "ff02::2".parse().unwrap()];
                assert!(routers.contains(&to));
            }
        }
    }
}

#[test]
fn only_who_listens_gets_what_is_sent_to_a_group() {
    for (group, source) in [
        (IpAddr::from(GROUP_V4), IpAddr::from(OTHER_V4)),
        (GROUP_V6.into(), OTHER_V6.into()),
    ] {
        let mut host = Host::new();
        let now = host.now;
        let one = socket(&mut host);
        let other = host.stack.udp_open(Reach::Both, 10_000);
        let any = (Ipv6Addr::UNSPECIFIED, 5000).into();
        assert_eq!(host.stack.bind(other, any, false), Err(Error::InUse));
        let bytes = datagram(source, group, (1000, 5000), b"to all");
        let packet = match (source, group) {
            (IpAddr::V4(source), IpAddr::V4(group)) => {
                let header = ipv4::Header::new(source, group, ip::UDP, bytes.len());
                [&header.bytes()[..], &bytes].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(group)) => {
                packet6_to(source, group, 1, ip::UDP, &bytes)
            }
            _ => unreachable!("of one family"),
        };
        hear(&mut host, &packet);
        assert_eq!(host.datagram(one), None);
        assert!(host.sent().is_empty(), "nobody is told");
        host.stack.udp_join(one, group, 0, now).expect("free");
        hear(&mut host, &packet);
        assert_eq!(host.datagram(one).as_deref(), Some(&b"to all"[..]));
        host.stack.udp_leave(one, group, 0, now).expect("joined");
        hear(&mut host, &packet);
        assert_eq!(host.datagram(one), None);
    }
}

#[test]
fn what_is_sent_to_a_group_comes_back_if_wanted() {
    for group in [IpAddr::from(GROUP_V4), GROUP_V6.into()] {
        let mut host = Host::new();
        let now = host.now;
        let handle = socket(&mut host);
        host.stack.udp_join(handle, group, 0, now).expect("free");
        let mut manner = host.stack.udp_manner(handle).expect("a socket");
        for loops in [true, false] {
            manner.group_loop = loops;
            manner.group_hops = 7;
            host.stack.udp_set_manner(handle, manner).expect("a socket");
            host.sent();
            let to = Some((group, 5000).into());
            host.stack
                .udp_send(handle, to, slice(b"to all"), now)
                .expect("a way");
            let mut out = 0;
            while let Some(frame) = host.stack.take_frame() {
                let interface = frame.interface;
                if interface == 0 {
                    let whole = slice(&frame.to_vec());
                    assert_eq!(host.stack.receive(0, whole, now), Ok(()));
                    continue;
                }
                out += 1;
                assert_eq!(frame.headers[..6], HardwareAddress::of_group(group).0);
                let hops = match group {
                    IpAddr::V4(_) => frame.headers[22],
                    IpAddr::V6(_) => frame.headers[21],
                };
                assert_eq!(hops, 7);
            }
            assert_eq!(out, 1);
            assert_eq!(host.datagram(handle).is_some(), loops);
        }
    }
}
