//! Packets of IPv4 in parts (RFC 791, section 3.2; RFC 815), and what is never put together (RFC 1858, RFC 5722).

mod common;

use common::Random;
use common::host::*;
use pith_tcpip::stack::{Discovery, Error, Reach};
use pith_tcpip::time::SECOND;
use pith_tcpip::wire::{icmp, ip, ipv4};

/// A part of what a packet carries.
fn part(identification: u16, whole: &[u8], start: usize, end: usize) -> Vec<u8> {
    let mut header = ipv4::Header::new(OTHER_V4, OWN_V4, ip::UDP, end - start);
    header.do_not_fragment = false;
    header.identification = identification;
    header.fragment_offset = start as u16;
    header.more_fragments = end < whole.len();
    [&header.bytes()[..], &whole[start..end]].concat()
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|index| ((index * 7) >> 3) as u8).collect()
}

fn whole(data: &[u8]) -> Vec<u8> {
    datagram(OTHER_V4.into(), OWN_V4.into(), (1000, 53), data)
}

#[test]
fn parts_in_any_order_make_the_packet() {
    let data = content(5000);
    let bytes = whole(&data);
    let cuts = [0, 1480, 2960, 4440, bytes.len()];
    let mut orders = vec![vec![0, 1, 2, 3], vec![3, 2, 1, 0], vec![2, 0, 3, 1]];
    // A part that comes twice changes nothing.
    orders.push(vec![1, 1, 0, 3, 0, 2]);
    for (index, order) in orders.into_iter().enumerate() {
        let mut host = Host::new();
        let socket = host.udp(Reach::Both, 53);
        let last = *order.last().expect("some");
        for place in order {
            assert_eq!(host.datagram(socket), None);
            let packet = part(index as u16, &bytes, cuts[place], cuts[place + 1]);
            assert_eq!(host.receive(&packet), Ok(()), "{place} of {last}");
        }
        assert_eq!(host.datagram(socket).as_ref(), Some(&data));
        assert!(host.sent().is_empty());
    }
}

#[test]
fn the_largest_packet_is_put_together() {
    let mut host = Host::new();
    let socket = host.udp(Reach::V4, 53);
    let data = content(65_507);
    let bytes = whole(&data);
    for start in (0..bytes.len()).step_by(1480) {
        let end = (start + 1480).min(bytes.len());
        assert_eq!(host.receive(&part(1, &bytes, start, end)), Ok(()));
    }
    assert_eq!(host.datagram(socket), Some(data));
}

#[test]
fn parts_of_different_packets_are_not_mixed() {
    let mut host = Host::new();
    let socket = host.udp(Reach::V4, 53);
    let (one, other) = (whole(&[1; 2000]), whole(&[2; 2000]));
    assert_eq!(host.receive(&part(1, &one, 0, 1480)), Ok(()));
    assert_eq!(host.receive(&part(2, &other, 1480, 2008)), Ok(()));
    assert_eq!(host.datagram(socket), None);
    assert_eq!(host.receive(&part(2, &other, 0, 1480)), Ok(()));
    assert_eq!(host.datagram(socket), Some(vec![2; 2000]));
    assert_eq!(host.receive(&part(1, &one, 1480, 2008)), Ok(()));
    assert_eq!(host.datagram(socket), Some(vec![1; 2000]));
}

#[test]
fn parts_that_overlap_end_the_packet() {
    let data = content(4000);
    let bytes = whole(&data);
    let overlaps = [
        // Over the end of the one before, over the start of the one behind, within one, around one.
        [(0, 1480), (1472, 2960)],
        [(1480, 2960), (0, 1488)],
        [(0, 1480), (8, 800)],
        [(800, 1480), (0, 2960)],
    ];
    for parts in overlaps {
        let mut host = Host::new();
        let socket = host.udp(Reach::V4, 53);
        for (start, end) in parts {
            let _ = host.receive(&part(1, &bytes, start, end));
        }
        // What would have made it whole makes nothing any more.
        for (start, end) in [(1480, 2960), (2960, bytes.len())] {
            let _ = host.receive(&part(1, &bytes, start, end));
        }
        assert_eq!(host.datagram(socket), None, "{parts:?}");
    }
}

#[test]
fn ends_that_contradict_each_other_end_the_packet() {
    let bytes = whole(&content(4000));
    let mut host = Host::new();
    let socket = host.udp(Reach::V4, 53);
    assert_eq!(host.receive(&part(1, &bytes[..2960], 1480, 2960)), Ok(()));
    assert_eq!(host.receive(&part(1, &bytes, 2960, 4008)), Ok(()));
    assert_eq!(host.receive(&part(1, &bytes, 0, 1480)), Ok(()));
    assert_eq!(host.datagram(socket), None);
}

#[test]
fn parts_that_are_too_long_or_cut_at_odd_places_are_thrown_away() {
    let bytes = whole(&content(4000));
    let mut host = Host::new();
    assert!(host.receive(&part(1, &bytes, 0, 1481)).is_err());
    // Beyond the longest packet (the "ping of death").
    let mut header = ipv4::Header::new(OTHER_V4, OWN_V4, ip::UDP, 1000);
    header.do_not_fragment = false;
    header.fragment_offset = 65_528;
    let packet = [&header.bytes()[..], &[0; 1000]].concat();
    let _ = host.receive(&packet);
    host.pass(40 * SECOND);
    assert!(host.sent().is_empty());
}

#[test]
fn who_sent_the_first_part_learns_that_the_rest_did_not_come() {
    let bytes = whole(&content(4000));
    let mut host = Host::new();
    assert_eq!(host.receive(&part(1, &bytes, 0, 1480)), Ok(()));
    host.pass(29 * SECOND);
    assert!(host.sent().is_empty());
    host.pass(2 * SECOND);
    let sent = host.sent();
    let (message, quoted) = sent[0].icmp();
    assert_eq!((message.kind, message.code), (icmp::TIME_EXCEEDED, 1));
    assert_eq!(quoted[..20], part(1, &bytes, 0, 1480)[..20]);
    // Without the first part nobody knows whose it was.
    assert_eq!(host.receive(&part(1, &bytes, 1480, 2960)), Ok(()));
    host.pass(40 * SECOND);
    assert!(host.sent().is_empty());
}

#[test]
fn a_flood_of_parts_costs_bounded_memory() {
    let mut host = Host::new();
    let socket = host.udp(Reach::V4, 53);
    let bytes = whole(&content(4000));
    for identification in 0..20_000 {
        let _ = host.receive(&part(identification, &bytes, 1480, 2960));
    }
    // The newest are kept, so an honest packet comes through.
    for (start, end) in [(0, 1480), (1480, 2960), (2960, 4008)] {
        assert_eq!(host.receive(&part(65_000, &bytes, start, end)), Ok(()));
    }
    assert_eq!(host.datagram(socket), Some(content(4000)));
}

#[test]
fn any_parts_are_survived() {
    for seed in 1..200 {
        let mut random = Random(seed * 77 + 1);
        let mut host = Host::new();
        let socket = host.udp(Reach::V4, 53);
        let data = content(3000);
        let bytes = whole(&data);
        for _ in 0..60 {
            let start = (random.next() as usize % bytes.len()) & !7;
            let end = bytes
                .len()
                .min(start + 8 * (1 + random.next() as usize % 200));
            let identification = random.next() as u16 % 4;
            let _ = host.receive(&part(identification, &bytes, start, end));
            if random.happens(50) {
                host.pass(random.next() % (20 * SECOND));
            }
            // Whatever is put together is what was cut.
            if let Some(received) = host.datagram(socket) {
                assert!(received == data);
            }
        }
    }
}

#[test]
fn long_datagrams_are_sent_in_parts() {
    let mut host = Host::new();
    let socket = host.udp(Reach::V4, 1000);
    let data = content(4000);
    let now = host.now;
    let to = (OTHER_V4, 53).into();
    let memory = common::slice(&data);
    host.stack
        .udp_send(socket, Some(to), memory.clone(), now)
        .expect("sent");
    let sent = host.sent();
    let mut carried = Vec::new();
    for (index, packet) in sent.iter().enumerate() {
        let (header, payload) = packet.v4();
        assert_eq!(usize::from(header.fragment_offset), carried.len());
        assert_eq!(header.more_fragments, index + 1 < sent.len());
        assert!(packet.bytes.len() <= 1500 && !header.do_not_fragment);
        assert_eq!(header.identification, sent[0].v4().0.identification);
        carried.extend_from_slice(payload);
    }
    assert_eq!(sent.len(), 3);
    assert_eq!(
        carried,
        datagram(OWN_V4.into(), OTHER_V4.into(), (1000, 53), &data)
    );
    // Unless the program does not want that.
    let mut manner = host.stack.udp_manner(socket).expect("a socket");
    manner.discovery = Discovery::Always;
    host.stack.udp_set_manner(socket, manner).expect("a socket");
    let refused = host.stack.udp_send(socket, Some(to), memory, now);
    assert_eq!(refused, Err(Error::TooLong));
    assert!(host.sent().is_empty());
}

#[test]
fn options_are_passed_over() {
    let mut host = Host::new();
    let socket = host.udp(Reach::V4, 53);
    let bytes = whole(b"with options");
    // No operation, a timestamp that is too long for the header, the end.
    for options in [[1, 1, 1, 0], [68, 40, 5, 0], [130, 0, 0, 0]] {
        let header = ipv4::Header::new(OTHER_V4, OWN_V4, ip::UDP, bytes.len());
        let mut packet = [&header.bytes()[..], &options, &bytes].concat();
        packet[0] = 0x46;
        let length = packet.len() as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet[10..12].fill(0);
        let checksum = pith_tcpip::wire::checksum::Sum::default()
            .bytes(&packet[..24])
            .checksum();
        packet[10..12].copy_from_slice(&checksum);
        assert_eq!(host.receive(&packet), Ok(()));
        assert_eq!(host.datagram(socket).as_deref(), Some(&b"with options"[..]));
    }
}
