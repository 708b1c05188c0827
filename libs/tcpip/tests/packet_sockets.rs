//! Sockets that see and send whole frames.

mod common;

use common::host::*;
use common::{Memory, slice};
use pith_tcpip::stack::{EVERY_PROTOCOL, Handle, Seen, packet_kind};
use pith_tcpip::wire::{ethernet, icmp};

const ECHO: icmp::Header = icmp::Header {
    kind: icmp::ECHO,
    code: 0,
    rest: 0x1234_0001,
};

fn bytes(seen: &Seen<Memory>) -> Vec<u8> {
    let pieces = seen.data.iter();
    pieces.flat_map(|piece| piece.to_vec()).collect()
}

fn take(host: &mut Host, tap: Handle) -> Vec<(u8, Vec<u8>)> {
    let next = || host.stack.tap_receive(tap, false);
    core::iter::from_fn(next)
        .map(|seen| (seen.kind, bytes(&seen)))
        .collect()
}

#[test]
fn both_directions_are_seen_by_those_that_see_everything() {
    let mut host = Host::new();
    let all = host.stack.tap_open(true, EVERY_PROTOCOL, 100_000);
    let ip = host.stack.tap_open(false, ethernet::IPV4, 100_000);
    let (all, ip) = (all.expect("a socket"), ip.expect("a socket"));
    let packet = icmp4(OTHER_V4, ECHO, b"data");
    // The neighbour is known after the first.
    assert_eq!(host.receive(&packet), Ok(()));
    host.sent();
    take(&mut host, all);
    take(&mut host, ip);
    assert_eq!(host.receive(&packet), Ok(()));
    let mut sent = Vec::new();
    while let Some(frame) = host.stack.take_frame_at(host.now) {
        sent.push(frame.to_vec());
    }
    let seen = take(&mut host, all);
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].0, packet_kind::HOST);
    assert_eq!(seen[0].1[ethernet::HEADER..], packet);
    assert_eq!(seen[1], (packet_kind::OUTGOING, sent[0].clone()));
    assert_eq!(take(&mut host, ip), [(packet_kind::HOST, packet)]);
    assert_eq!(host.stack.tap_take_counts(ip), (2, 0));
    assert_eq!(host.stack.tap_take_counts(ip), (0, 0));
}

#[test]
fn a_frame_is_sent_as_it_is() {
    let mut host = Host::new();
    let tap = host.stack.tap_open(true, EVERY_PROTOCOL, 100_000);
    let other = host.stack.tap_open(true, EVERY_PROTOCOL, 100_000);
    let (tap, other) = (tap.expect("a socket"), other.expect("a socket"));
    let frame: Vec<u8> = (0..60).collect();
    assert_eq!(
        host.stack.tap_send(tap, CARD, slice(&frame), host.now),
        Ok(())
    );
    let sent = host.stack.take_frame_at(host.now).expect("a frame");
    assert_eq!((sent.interface, sent.to_vec()), (CARD, frame.clone()));
    // Others see it, once.
    assert_eq!(take(&mut host, other), [(packet_kind::OUTGOING, frame)]);
    assert_eq!(take(&mut host, tap), []);
    let short = host.stack.tap_send(tap, CARD, slice(&[0; 13]), host.now);
    assert!(short.is_err());
    assert!(
        host.stack
            .tap_send(tap, 9, slice(&[0; 60]), host.now)
            .is_err()
    );
}

#[test]
fn a_queue_is_bounded() {
    let mut host = Host::new();
    let tap = host.stack.tap_open(true, EVERY_PROTOCOL, 10_000);
    let tap = tap.expect("a socket");
    for _ in 0..1000 {
        let packet = icmp4(OTHER_V4, ECHO, &[0; 1000]);
        assert_eq!(host.receive(&packet), Ok(()));
    }
    let count = take(&mut host, tap).len();
    assert!((1..20).contains(&count), "{count} frames");
    let counts = host.stack.tap_take_counts(tap);
    assert_eq!(counts, (count as u32, 1000 - count as u32));
    host.stack.tap_close(tap);
    assert_eq!(take(&mut host, tap), []);
}
