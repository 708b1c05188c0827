//! What the IP headers of connections say: the number of hops and the type of service that programs have chosen.

mod common;

use core::net::{Ipv6Addr, SocketAddr};

use common::slice;
use common::wire::{ADDRESSES, Wire};
use pith_tcpip::stack::{Handle, Reach};
use pith_tcpip::tcp::Options;
use pith_tcpip::time::SECOND;
use pith_tcpip::wire::ip::Marking;
use pith_tcpip::wire::tcp::{Header, flag};

const PLAIN: Marking = Marking {
    hops: 64,
    service: 0,
};
const CLIENT: Marking = Marking {
    hops: 7,
    service: 0x28,
};
const SERVER: Marking = Marking {
    hops: 99,
    service: 0xb8,
};

/// Options with a marking of IPv4, and with one of IPv6 that differs from it.
fn marked(marking: Marking) -> Options {
    Options {
        marking_v4: marking,
        marking_v6: Marking {
            hops: marking.hops + 1,
            service: marking.service + 4,
        },
        ..Options::default()
    }
}

fn letters(flags: u8) -> String {
    [
        (flag::SYN, 'S'),
        (flag::FIN, 'F'),
        (flag::RST, 'R'),
        (flag::ACK, '.'),
    ]
    .iter()
    .filter(|(bit, _)| flags & bit != 0)
    .map(|(_, letter)| letter)
    .collect()
}

/// Carries all frames, and tells of each segment: who sent it, its flags, its hops and its service.
fn transcript(wire: &mut Wire) -> String {
    let mut lines = String::new();
    loop {
        let mut any = false;
        for index in 0..2 {
            while let Some(frame) = wire.machines[index].take_frame() {
                any = true;
                let bytes = frame.to_vec();
                let packet = &bytes[14..];
                let (hops, service, segment) = match bytes[12..14] {
                    [0x08, 0x00] => (packet[8], packet[1], &packet[20..]),
                    [0x86, 0xdd] if packet[6] == 6 => {
                        let service = packet[0] << 4 | packet[1] >> 4;
                        (packet[7], service, &packet[40..])
                    }
                    _ => (0, 0, &packet[..0]),
                };
                if !segment.is_empty() {
                    let (header, _) = Header::read(segment).expect("a segment");
                    let flags = letters(header.flags);
                    lines += &format!("{index} {flags} {hops} {service:#x}\n");
                }
                let result = wire.machines[1 - index].receive(1, slice(&bytes), wire.now);
                assert_eq!(result, Ok(()));
            }
        }
        if !any {
            return lines;
        }
    }
}

fn check(wire: &mut Wire, expected: &str) {
    let expected: String = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(transcript(wire), expected);
}

fn choose(wire: &mut Wire, machine: usize, handle: Handle, marking: Marking) {
    let now = wire.now;
    wire.machines[machine].tcp_options(handle, now, |options| options.marking_v4 = marking);
}

fn write(wire: &mut Wire, machine: usize, handle: Handle) {
    let now = wire.now;
    wire.machines[machine].with_connection(handle, now, |one| one.send(slice(&[1; 10])));
}

/// A listener of machine 1 and a client of machine 0 that asks it for a connection.
fn start(wire: &mut Wire, reach: Reach, to: SocketAddr) -> (Handle, Handle) {
    let now = wire.now;
    let server = &mut wire.machines[1];
    let listener = server.tcp_open(reach, marked(SERVER));
    let any = SocketAddr::new(reach.any(), to.port());
    server.bind(listener, any, false).expect("free");
    server.tcp_listen(listener, 1).expect("new");
    let client = wire.machines[0].tcp_open(reach, marked(CLIENT));
    wire.machines[0]
        .tcp_connect(client, to, now)
        .expect("a way there");
    (listener, client)
}

#[test]
fn segments_of_both_sides_say_what_was_chosen() {
    let mut wire = Wire::new();
    let (listener, client) = start(&mut wire, Reach::V4, (ADDRESSES[1], 80).into());
    check(&mut wire, "0 S 7 0x28\n 1 S. 99 0xb8\n 0 . 7 0x28");
    // An accepted connection has what its listener had, whatever becomes of that.
    choose(&mut wire, 1, listener, PLAIN);
    let server = wire.machines[1].tcp_accept(listener).expect("listens");
    let server = server.expect("has come");
    write(&mut wire, 1, server);
    check(&mut wire, "1 . 99 0xb8\n 0 . 7 0x28");
    // It may change at any time.
    choose(&mut wire, 0, client, PLAIN);
    write(&mut wire, 0, client);
    check(&mut wire, "0 . 64 0x0\n 1 . 99 0xb8");
    choose(&mut wire, 0, client, CLIENT);
    assert_eq!(wire.received(0, client).len(), 10);
    assert_eq!(wire.received(1, server).len(), 10);
    let now = wire.now;
    wire.machines[0].close(client, now);
    check(&mut wire, "0 F. 7 0x28\n 1 . 99 0xb8");
    wire.machines[1].close(server, now);
    // The record of the connection keeps the service only, as on Linux.
    check(&mut wire, "1 F. 99 0xb8\n 0 . 64 0x28");
}

#[test]
fn what_is_sent_again_and_resets_say_it_too() {
    let mut wire = Wire::new();
    let (_, client) = start(&mut wire, Reach::V4, (ADDRESSES[1], 80).into());
    transcript(&mut wire);
    write(&mut wire, 0, client);
    while wire.machines[0].take_frame().is_some() {}
    wire.now = wire.now + 2 * SECOND;
    let now = wire.now;
    wire.machines[0].expire(now);
    check(&mut wire, "0 . 7 0x28\n 1 . 99 0xb8");
    wire.machines[0].with_connection(client, now, |one| one.abort());
    check(&mut wire, "0 R. 7 0x28");
}

#[test]
fn cookies_and_answers_that_are_sent_again_say_it() {
    let mut wire = Wire::new();
    start(&mut wire, Reach::V4, (ADDRESSES[1], 80).into());
    transcript(&mut wire);
    let now = wire.now;
    let ask = |wire: &mut Wire| {
        let other = wire.machines[0].tcp_open(Reach::V4, Options::default());
        let to = SocketAddr::from((ADDRESSES[1], 80));
        wire.machines[0]
            .tcp_connect(other, to, now)
            .expect("a way there");
        let frame = wire.machines[0].take_frame().expect("a SYN");
        let result = wire.machines[1].receive(1, slice(&frame.to_vec()), now);
        assert_eq!(result, Ok(()));
        let answer = wire.machines[1].take_frame().expect("an answer").to_vec();
        assert_eq!(answer[14 + 20 + 13], flag::SYN | flag::ACK);
        (answer[14 + 8], answer[14 + 1])
    };
    // The first takes the only place for requests, so that the second gets a cookie.
    assert_eq!(ask(&mut wire), (99, 0xb8));
    assert_eq!(ask(&mut wire), (99, 0xb8));
    assert_eq!(wire.machines[1].counts()[1], 1);
    wire.now = wire.now + SECOND;
    let now = wire.now;
    wire.machines[1].expire(now);
    let again = wire.machines[1].take_frame().expect("again").to_vec();
    assert_eq!((again[14 + 8], again[14 + 1]), (99, 0xb8));
}

#[test]
fn sockets_of_both_versions_have_a_choice_for_each() {
    let mut wire = Wire::new();
    let now = wire.now;
    let addresses = [1, 2].map(|last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
    for (machine, address) in wire.machines.iter_mut().zip(addresses) {
        machine.add_address(1, address.into(), 64, now);
    }
    wire.pass(5 * SECOND);
    start(&mut wire, Reach::Both, (addresses[1], 81).into());
    check(&mut wire, "0 S 8 0x2c\n 1 S. 100 0xbc\n 0 . 8 0x2c");
    start(&mut wire, Reach::Both, (ADDRESSES[1], 82).into());
    check(&mut wire, "0 S 7 0x28\n 1 S. 99 0xb8\n 0 . 7 0x28");
}
