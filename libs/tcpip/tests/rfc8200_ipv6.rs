//! IPv6: headers between the first one and what is inside, and packets in parts (RFC 8200, RFC 6946, RFC 6980, RFC 7112).

mod common;

use core::net::{Ipv6Addr, SocketAddr};

use common::host::*;
use common::slice;
use pith_tcpip::stack::Reach;
use pith_tcpip::time::SECOND;
use pith_tcpip::wire::ipv6::{self, Fragment};
use pith_tcpip::wire::{icmp, icmpv6, ip};

fn whole(data: &[u8]) -> Vec<u8> {
    datagram(OTHER_V6.into(), OWN_V6.into(), (1000, 53), data)
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|index| ((index * 11) >> 2) as u8).collect()
}

fn part(identification: u32, next: u8, whole: &[u8], start: usize, end: usize) -> Vec<u8> {
    let header = Fragment {
        next,
        offset: start as u16,
        more: end < whole.len(),
        identification,
    };
    packet6(
        OTHER_V6,
        ipv6::FRAGMENT,
        &[&header.bytes()[..], &whole[start..end]].concat(),
    )
}

/// Options of which nobody needs to know any.
const PADDING: [u8; 6] = [1, 4, 0, 0, 0, 0];

fn options(next: u8) -> Vec<u8> {
    [&[next, 0][..], &PADDING].concat()
}

#[test]
fn headers_in_between_are_passed_over() {
    let mut host = Host::new();
    let socket = host.udp(Reach::Both, 53);
    let data = whole(b"data");
    let through = [
        options(ipv6::DESTINATION_OPTIONS),
        options(ipv6::ROUTING),
        vec![ip::UDP, 0, 0, 0, 0, 0, 0, 0],
        data.clone(),
    ];
    let packet = packet6(OTHER_V6, ipv6::HOP_BY_HOP, &through.concat());
    assert_eq!(host.receive(&packet), Ok(()));
    assert_eq!(host.datagram(socket).as_deref(), Some(&b"data"[..]));
}

#[test]
fn what_is_not_understood_is_complained_of() {
    let cases: [(Vec<u8>, u8, u8, u32); 4] = [
        // A protocol that nobody knows; a list of stations; an option that must be known; hop-by-hop too late.
        (vec![0; 8], 99, 1, 6),
        (vec![ip::UDP, 0, 0, 1, 0, 0, 0, 0], ipv6::ROUTING, 0, 42),
        (
            vec![ip::UDP, 0, 0xc2, 4, 0, 0, 0, 0],
            ipv6::DESTINATION_OPTIONS,
            2,
            42,
        ),
        (
            [options(ipv6::HOP_BY_HOP), options(ip::UDP)].concat(),
            ipv6::DESTINATION_OPTIONS,
            1,
            40,
        ),
    ];
    for (payload, next, code, at) in cases {
        let mut host = Host::new();
        let packet = packet6(OTHER_V6, next, &payload);
        let _ = host.receive(&packet);
        let sent = host.sent();
        let (message, quoted) = sent[0].icmpv6();
        assert_eq!(message.kind, icmpv6::PROBLEM, "header {next}");
        assert_eq!((message.code, message.rest), (code, at), "header {next}");
        assert_eq!(quoted, packet);
        // Nobody is told of what went to a group, unless the option says so.
        let group = packet6_to(OTHER_V6, "ff02::1".parse().unwrap(), 64, next, &payload);
        let card = pith_tcpip::wire::ethernet::HardwareAddress([0x33, 0x33, 0, 0, 0, 1]);
        let _ = host.frame(card, 0x86dd, &group);
        assert!(host.sent().is_empty());
    }
    let mut host = Host::new();
    let payload = [ip::UDP, 0, 0x82, 4, 0, 0, 0, 0];
    let group: Ipv6Addr = "ff02::1".parse().unwrap();
    let packet = packet6_to(OTHER_V6, group, 64, ipv6::DESTINATION_OPTIONS, &payload);
    let card = pith_tcpip::wire::ethernet::HardwareAddress([0x33, 0x33, 0, 0, 0, 1]);
    let _ = host.frame(card, 0x86dd, &packet);
    let sent = host.sent();
    assert_eq!(sent[0].icmpv6().0.code, 2);
    assert_eq!(sent[0].v6().0.source, OWN_V6);
}

#[test]
fn a_long_chain_of_headers_ends_soon() {
    let mut host = Host::new();
    let mut payload = Vec::new();
    for _ in 0..100 {
        payload.extend(options(ipv6::DESTINATION_OPTIONS));
    }
    let packet = packet6(OTHER_V6, ipv6::DESTINATION_OPTIONS, &payload);
    assert!(host.receive(&packet).is_err());
    assert!(host.sent().is_empty());
}

#[test]
fn a_datagram_needs_a_checksum() {
    let mut host = Host::new();
    let socket = host.udp(Reach::V6, 53);
    let mut data = whole(b"data");
    data[6..8].fill(0);
    assert!(host.receive(&packet6(OTHER_V6, ip::UDP, &data)).is_err());
    assert_eq!(host.datagram(socket), None);
}

#[test]
fn parts_make_the_packet_with_headers_inside() {
    let data = content(4000);
    for (next, inner) in [
        (ip::UDP, whole(&data)),
        (
            ipv6::DESTINATION_OPTIONS,
            [options(ip::UDP), whole(&data)].concat(),
        ),
    ] {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut host = Host::new();
            let socket = host.udp(Reach::Both, 53);
            let cuts = [0, 1232, 2464, inner.len()];
            for place in order {
                let packet = part(7, next, &inner, cuts[place], cuts[place + 1]);
                assert_eq!(host.receive(&packet), Ok(()));
            }
            assert_eq!(host.datagram(socket).as_ref(), Some(&data));
        }
    }
}

#[test]
fn a_part_that_is_all_waits_for_nobody() {
    let mut host = Host::new();
    let socket = host.udp(Reach::V6, 53);
    let (one, other) = (whole(b"one"), whole(&content(2000)));
    // Another packet with the same number is not disturbed.
    assert_eq!(host.receive(&part(1, ip::UDP, &other, 0, 1232)), Ok(()));
    assert_eq!(host.receive(&part(1, ip::UDP, &one, 0, 11)), Ok(()));
    assert_eq!(host.datagram(socket).as_deref(), Some(&b"one"[..]));
    assert_eq!(host.receive(&part(1, ip::UDP, &other, 1232, 2008)), Ok(()));
    assert_eq!(host.datagram(socket), Some(content(2000)));
}

#[test]
fn overlapping_parts_end_the_packet() {
    let inner = whole(&content(4000));
    let mut host = Host::new();
    let socket = host.udp(Reach::V6, 53);
    for (start, end) in [(0, 1232), (1224, 2464), (1232, 2464), (2464, inner.len())] {
        let _ = host.receive(&part(1, ip::UDP, &inner, start, end));
    }
    assert_eq!(host.datagram(socket), None);
}

#[test]
fn parts_at_odd_places_and_beyond_the_end_are_complained_of() {
    let inner = whole(&content(4000));
    let mut host = Host::new();
    let _ = host.receive(&part(1, ip::UDP, &inner, 0, 1231));
    let sent = host.sent();
    let (message, _) = sent[0].icmpv6();
    assert_eq!(
        (message.kind, message.code, message.rest),
        (icmpv6::PROBLEM, 0, 4)
    );
    let header = Fragment {
        next: ip::UDP,
        offset: 65_528,
        more: false,
        identification: 1,
    };
    let payload = [&header.bytes()[..], &[0; 100]].concat();
    let _ = host.receive(&packet6(OTHER_V6, ipv6::FRAGMENT, &payload));
    let sent = host.sent();
    let (message, _) = sent[0].icmpv6();
    assert_eq!(
        (message.kind, message.code, message.rest),
        (icmpv6::PROBLEM, 0, 42)
    );
}

#[test]
fn the_sender_learns_that_parts_are_missing() {
    let inner = whole(&content(4000));
    let mut host = Host::new();
    assert_eq!(host.receive(&part(1, ip::UDP, &inner, 0, 1232)), Ok(()));
    host.pass(59 * SECOND);
    assert!(host.sent().is_empty());
    host.pass(2 * SECOND);
    let sent = host.sent();
    let (message, _) = sent[0].icmpv6();
    assert_eq!((message.kind, message.code), (icmpv6::TIME_EXCEEDED, 1));
    assert!(sent[0].bytes.len() <= 1280);
}

#[test]
fn messages_for_neighbours_do_not_come_in_parts() {
    let mut host = Host::new();
    let question = icmpv6::Neighbour {
        target: OWN_V6,
        hardware: Some(OTHER_CARD),
    };
    let mut body = [0; icmpv6::Neighbour::LENGTH];
    let length = question.write(icmpv6::SOURCE_LINK, &mut body);
    let header = icmp::Header {
        kind: icmpv6::SOLICITATION,
        code: 0,
        rest: 0,
    };
    let bytes = icmpv6::bytes(&header, OTHER_V6, OWN_V6, &body[..length]);
    let inner = [&bytes[..], &body[..length]].concat();
    let header = Fragment {
        next: ip::ICMPV6,
        offset: 0,
        more: false,
        identification: 1,
    };
    let payload = [&header.bytes()[..], &inner].concat();
    let packet = packet6_to(OTHER_V6, OWN_V6, 255, ipv6::FRAGMENT, &payload);
    assert!(host.receive(&packet).is_err());
    assert!(host.sent().is_empty());
}

#[test]
fn long_datagrams_are_sent_in_parts() {
    let mut host = Host::new();
    let socket = host.udp(Reach::V6, 1000);
    let data = content(4000);
    let now = host.now;
    let to = SocketAddr::from((OTHER_V6, 53));
    host.stack
        .udp_send(socket, Some(to), slice(&data), now)
        .expect("sent");
    let sent = host.sent();
    let mut carried = Vec::new();
    for (index, packet) in sent.iter().enumerate() {
        let upper = ipv6::walk(&packet.bytes).expect("fine");
        let part = upper.fragment.expect("a part");
        assert_eq!(usize::from(part.offset), carried.len());
        assert_eq!(part.more, index + 1 < sent.len());
        assert!(packet.bytes.len() <= 1500);
        carried.extend_from_slice(&packet.bytes[upper.offset..]);
    }
    assert_eq!(sent.len(), 3);
    assert_eq!(
        carried,
        datagram(OWN_V6.into(), OTHER_V6.into(), (1000, 53), &data)
    );
}
