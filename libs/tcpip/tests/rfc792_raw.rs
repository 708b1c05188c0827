//! Sockets of what is inside of packets: who sees what, what is sent, and how much may wait.

mod common;

use common::host::*;
use common::slice;
use pith_tcpip::stack::{Error, Exception, Handle, Reach, Role};
use pith_tcpip::wire::{icmp, icmpv6, ip};

const ROOM: usize = 100_000;

fn reply(identifier: u16, sequence: u16) -> icmp::Header {
    icmp::Header {
        kind: icmp::ECHO_REPLY,
        code: 0,
        rest: u32::from(identifier) << 16 | u32::from(sequence),
    }
}

fn received(host: &mut Host, socket: Handle) -> Option<Vec<u8>> {
    let datagram = host.stack.udp_receive(socket, false)?;
    Some(
        datagram
            .data
            .iter()
            .flat_map(|piece| piece.to_vec())
            .collect(),
    )
}

#[test]
fn a_raw_socket_sees_header_and_message() {
    let mut host = Host::new();
    let raw = host
        .stack
        .raw_open(Reach::V4, Role::raw(ip::ICMP, Reach::V4), ROOM);
    let other = host
        .stack
        .raw_open(Reach::V4, Role::raw(253, Reach::V4), ROOM);
    let packet = icmp4(OTHER_V4, reply(7, 1), b"data");
    assert_eq!(host.receive(&packet), Ok(()));
    assert_eq!(received(&mut host, raw), Some(packet));
    assert_eq!(received(&mut host, other), None);
    host.stack.close(raw, host.now);
    let packet = icmp4(OTHER_V4, reply(7, 2), b"data");
    assert_eq!(host.receive(&packet), Ok(()));
    assert_eq!(received(&mut host, raw), None);
}

#[test]
fn over_version_6_only_the_message() {
    let mut host = Host::new();
    let raw = host
        .stack
        .raw_open(Reach::V6, Role::raw(ip::ICMPV6, Reach::V6), ROOM);
    let header = icmp::Header {
        kind: icmpv6::ECHO_REPLY,
        ..reply(7, 1)
    };
    let mut packet = icmp6(OTHER_V6, OWN_V6, 64, header, b"data");
    assert_eq!(host.receive(&packet), Ok(()));
    assert_eq!(received(&mut host, raw), Some(packet[40..].to_vec()));
    // Its checksum is verified.
    packet[50] ^= 1;
    assert!(host.receive(&packet).is_err());
    assert_eq!(received(&mut host, raw), None);
}

#[test]
fn what_is_blocked_is_not_seen() {
    let mut host = Host::new();
    let role = Role::raw(ip::ICMP, Reach::V4);
    let raw = host.stack.raw_open(Reach::V4, role, ROOM);
    let Role::Raw {
        protocol, checksum, ..
    } = role
    else {
        panic!("another role");
    };
    let mut blocked = [0; 8];
    blocked[0] = 1 << icmp::ECHO_REPLY;
    let role = Role::Raw {
        protocol,
        checksum,
        blocked,
        own_header: false,
    };
    assert_eq!(host.stack.set_role(raw, role), Ok(()));
    assert_eq!(host.receive(&icmp4(OTHER_V4, reply(7, 1), b"data")), Ok(()));
    assert_eq!(received(&mut host, raw), None);
    let echo = icmp::Header {
        kind: icmp::ECHO,
        ..reply(7, 2)
    };
    assert_eq!(host.receive(&icmp4(OTHER_V4, echo, b"")), Ok(()));
    assert!(received(&mut host, raw).is_some());
    assert_eq!(
        host.stack.set_role(raw, Role::raw(253, Reach::V4)),
        Err(Error::State)
    );
}

#[test]
fn echoes_have_their_own_identifiers() {
    let mut host = Host::new();
    let socket = host.stack.raw_open(Reach::V4, Role::Echoes, ROOM);
    let to = (OTHER_V4, 0).into();
    let request = [icmp::ECHO, 0, 1, 2, 3, 4, 0, 9, b'h', b'i'];
    let sent = host.stack.raw_send_as(
        socket,
        Some(to),
        slice(&request),
        Exception::default(),
        host.now,
    );
    assert_eq!(sent, Ok(()));
    let own = host.stack.local(socket).expect("an identifier").port();
    let packets = host.sent();
    // `icmp` checks the sum.
    let (header, data) = packets[0].icmp();
    assert_eq!(header.rest, u32::from(own) << 16 | 9);
    assert_eq!(data, b"hi");
    for identifier in [own.wrapping_add(1), own] {
        let packet = icmp4(OTHER_V4, reply(identifier, 9), b"hi");
        assert_eq!(host.receive(&packet), Ok(()));
    }
    let expected = icmp4(OTHER_V4, reply(own, 9), b"hi");
    assert_eq!(received(&mut host, socket), Some(expected[20..].to_vec()));
    assert_eq!(received(&mut host, socket), None);
    // One that does not share can't have the same.
    let other = host.stack.raw_open(Reach::V4, Role::Echoes, ROOM);
    let address = (OWN_V4, own).into();
    assert_eq!(host.stack.bind(other, address, false), Err(Error::InUse));
    host.stack.close(socket, host.now);
    assert_eq!(host.stack.bind(other, address, false), Ok(()));
}

#[test]
fn a_queue_is_bounded() {
    let mut host = Host::new();
    let raw = host
        .stack
        .raw_open(Reach::V4, Role::raw(ip::ICMP, Reach::V4), 10_000);
    for sequence in 0..1000 {
        let packet = icmp4(OTHER_V4, reply(7, sequence), &[0; 1000]);
        assert_eq!(host.receive(&packet), Ok(()));
    }
    let (bytes, lost) = host.stack.udp_waiting(raw);
    assert!(bytes <= 10_000 && lost > 980, "{bytes} bytes, {lost} lost");
    let mut count = 0;
    while received(&mut host, raw).is_some() {
        count += 1;
    }
    assert_eq!(count + lost, 1000);
    assert_eq!(host.stack.udp_waiting(raw).0, 0);
}

#[test]
fn a_checksum_needs_room() {
    let mut host = Host::new();
    let raw = host
        .stack
        .raw_open(Reach::V6, Role::raw(ip::ICMPV6, Reach::V6), ROOM);
    let to = Some((OTHER_V6, 0).into());
    for (length, result) in [(3, Err(Error::State)), (4, Ok(())), (9, Ok(()))] {
        let data = slice(&vec![0xff; length]);
        let sent = host
            .stack
            .raw_send_as(raw, to, data, Exception::default(), host.now);
        assert_eq!(sent, result, "{length} bytes");
    }
    let last = host.sent().pop().expect("a packet");
    assert_eq!(last.icmpv6().1, [0xff]);
}
