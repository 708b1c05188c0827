//! Listeners under load: queues, cookies, sharing of ports, and what is left of connections that have ended.

mod common;

use core::net::{Ipv4Addr, SocketAddr};

use common::slice;
use common::wire::{ADDRESSES, Wire};
use pith_tcpip::stack::{Error, Handle, Limits, Offload, Reach, Sharing};
use pith_tcpip::tcp::{Ending, Options, State};
use pith_tcpip::time::SECOND;
use pith_tcpip::wire::tcp::{Header, flag};
use pith_tcpip::wire::{ethernet, ip, ipv4};

const SERVER: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(ADDRESSES[1]), 80);

/// A segment from a peer that does not exist, as a frame for machine 1.
fn frame(source: Ipv4Addr, header: &Header) -> Vec<u8> {
    let mut segment = [0; 60];
    let length = header.write(&mut segment);
    let sum = pith_tcpip::wire::checksum::Sum::default()
        .pseudo_header(source.into(), ADDRESSES[1].into(), ip::TCP, length)
        .bytes(&segment[..length]);
    segment[16..18].copy_from_slice(&sum.checksum());
    let packet = ipv4::Header::new(source, ADDRESSES[1], ip::TCP, length);
    let start = ethernet::Header {
        destination: ethernet::HardwareAddress([2, 0, 0, 0, 0, 1]),
        source: ethernet::HardwareAddress([2, 0, 0, 0, 0, 0]),
        kind: ethernet::IPV4,
    };
    [&start.bytes()[..], &packet.bytes(), &segment[..length]].concat()
}

fn syn(port: u16) -> Header {
    Header {
        source: port,
        destination: 80,
        flags: flag::SYN,
        window: 1000,
        maximum_segment: Some(1400),
        timestamps: Some((5, 0)),
        window_scale: Some(3),
        sack_permitted: true,
        ..Header::default()
    }
}

/// What machine 1 sends.
fn sent(wire: &mut Wire) -> Vec<Header> {
    let mut headers = Vec::new();
    while let Some(frame) = wire.machines[1].take_frame() {
        let bytes = frame.to_vec();
        if bytes[12..14] == [8, 0] {
            headers.push(Header::read(&bytes[34..]).expect("a segment").0);
        }
    }
    headers
}

/// Machine 0 knows machine 1, and the other way round.
fn acquainted() -> Wire {
    let mut wire = Wire::new();
    let client = wire.connect(0, SERVER);
    let now = wire.now;
    wire.machines[0].close(client, now);
    wire.settle();
    wire
}

fn arrive(wire: &mut Wire, header: &Header) {
    let frame = frame(ADDRESSES[0], header);
    let now = wire.now;
    let result = wire.machines[1].receive(1, slice(&frame), now);
    assert_eq!(result, Ok(()));
}

#[test]
fn a_flood_of_requests_is_answered_with_cookies_and_keeps_nobody_out() {
    let mut wire = acquainted();
    let listener = wire.listen(1, 80, 64);
    for port in 1..10_000 {
        arrive(&mut wire, &syn(port));
    }
    let answers = sent(&mut wire);
    assert_eq!(answers.len(), 9999);
    assert!(answers.iter().all(|answer| answer.has(flag::SYN)));
    // Only so many are kept.
    assert_eq!(wire.machines[1].counts()[1], 64);
    // Who answers is let in, with all that was agreed on.
    let client = wire.connect(0, SERVER);
    let server = wire.machines[1].tcp_accept(listener).expect("listens");
    let server = server.expect("has come");
    let now = wire.now;
    let end = wire.machines[1].connection(server).expect("connected");
    let information = end.information(now);
    assert_eq!((information.sack, information.timestamps), (true, true));
    assert_eq!(information.scales, Some((7, 7)));
    assert_eq!(information.send_segment, 1460 - 12);
    wire.send(0, client, b"question");
    assert_eq!(wire.received(1, server), b"question");
    wire.send(1, server, &[7; 100_000]);
    wire.pass(SECOND);
    assert_eq!(wire.received(0, client), [7; 100_000]);
}

#[test]
fn guessed_cookies_are_refused() {
    let mut wire = acquainted();
    wire.listen(1, 80, 4);
    for port in 1..100 {
        arrive(&mut wire, &syn(port));
    }
    sent(&mut wire);
    for guess in 0..10_000_u32 {
        let header = Header {
            sequence: pith_tcpip::tcp::Sequence(1),
            acknowledgement: pith_tcpip::tcp::Sequence(guess.wrapping_mul(429_497)),
            flags: flag::ACK,
            ..syn(200)
        };
        arrive(&mut wire, &header);
    }
    assert!(sent(&mut wire).iter().all(|answer| answer.has(flag::RST)));
    assert_eq!(wire.machines[1].counts()[0], 1);
}

#[test]
fn a_cookie_is_good_although_there_is_room_for_the_request_by_now() {
    let mut wire = acquainted();
    let listener = wire.listen(1, 80, 1);
    arrive(&mut wire, &syn(8));
    sent(&mut wire);
    // There is no room, so that this one gets a cookie.
    arrive(&mut wire, &syn(9));
    let cookie = sent(&mut wire).remove(0);
    // Then there is, and the same one asks again.
    let reset = Header {
        sequence: pith_tcpip::tcp::Sequence(1),
        flags: flag::RST,
        ..syn(8)
    };
    arrive(&mut wire, &reset);
    arrive(&mut wire, &syn(9));
    let answer = sent(&mut wire).remove(0);
    assert_ne!(answer.sequence, cookie.sequence);
    let acknowledgement = Header {
        source: 9,
        destination: 80,
        sequence: cookie.acknowledgement,
        acknowledgement: cookie.sequence + 1,
        flags: flag::ACK,
        window: 1000,
        timestamps: Some((6, cookie.timestamps.expect("used").0)),
        ..Header::default()
    };
    arrive(&mut wire, &acknowledgement);
    assert_eq!(wire.machines[1].tcp_listening(listener), Some(1));
    assert_eq!(wire.machines[1].counts()[1], 0);
}

#[test]
fn a_full_queue_drops_the_acknowledgement_and_asks_for_it_again() {
    let mut wire = acquainted();
    let listener = wire.listen(1, 80, 1);
    // Two requests, of which the last is acknowledged when there is no room any more.
    arrive(&mut wire, &syn(9));
    let answer = sent(&mut wire).remove(0);
    let clients: Vec<Handle> = (0..2).map(|_| wire.connect(0, SERVER)).collect();
    assert_eq!(wire.machines[1].tcp_listening(listener), Some(2));
    let acknowledgement = Header {
        source: 9,
        destination: 80,
        sequence: answer.acknowledgement,
        acknowledgement: answer.sequence + 1,
        flags: flag::ACK,
        window: 1000,
        timestamps: Some((6, answer.timestamps.expect("used").0)),
        ..Header::default()
    };
    arrive(&mut wire, &acknowledgement);
    assert!(sent(&mut wire).is_empty());
    assert_eq!(wire.machines[1].tcp_listening(listener), Some(2));
    for _ in &clients {
        assert!(
            wire.machines[1]
                .tcp_accept(listener)
                .expect("listens")
                .is_some()
        );
    }
    // The answer comes again, and is acknowledged again.
    let at = wire.machines[1].deadline().expect("waits");
    wire.now = at.max(wire.now);
    while wire.machines[1].counts()[1] == 1 && sent(&mut wire).is_empty() {
        wire.now = wire.machines[1].deadline().expect("waits").max(wire.now);
        let now = wire.now;
        wire.machines[1].expire(now);
    }
    arrive(&mut wire, &acknowledgement);
    assert_eq!(wire.machines[1].tcp_listening(listener), Some(1));
}

/// What a peer sends that got `answer`, `offset` bytes behind its first byte.
fn data(answer: &Header, offset: u32) -> Header {
    Header {
        source: answer.destination,
        destination: answer.source,
        sequence: answer.acknowledgement + offset as usize,
        acknowledgement: answer.sequence + 1,
        flags: flag::ACK,
        window: 1000,
        timestamps: Some((6, answer.timestamps.expect("used").0)),
        ..Header::default()
    }
}

fn accept(wire: &mut Wire, listener: Handle) -> Handle {
    let accepted = wire.machines[1].tcp_accept(listener).expect("listens");
    accepted.expect("has come")
}

#[test]
fn who_has_a_cookie_is_not_reset_while_the_queue_is_full() {
    let mut wire = acquainted();
    let listener = wire.listen(1, 80, 1);
    // The one request keeps its place, so that all others get cookies.
    arrive(&mut wire, &syn(8));
    arrive(&mut wire, &syn(9));
    let answer = sent(&mut wire).remove(1);
    for _ in 0..2 {
        wire.connect(0, SERVER);
    }
    // Nothing is let in, and later segments carry no cookie.
    arrive(&mut wire, &data(&answer, 0));
    arrive(&mut wire, &data(&answer, 1400));
    assert!(sent(&mut wire).is_empty());
    for _ in 0..2 {
        accept(&mut wire, listener);
    }
    arrive(&mut wire, &data(&answer, 60_000));
    assert!(sent(&mut wire).is_empty());
    // The first one that is sent again brings the cookie back.
    arrive(&mut wire, &data(&answer, 0));
    assert_eq!(wire.machines[1].tcp_listening(listener), Some(1));
}

#[test]
fn only_what_belongs_to_a_cookie_is_not_reset() {
    let mut wire = acquainted();
    wire.listen(1, 80, 1);
    arrive(&mut wire, &syn(8));
    arrive(&mut wire, &syn(9));
    let answer = sent(&mut wire).remove(1);
    let is_reset = |wire: &mut Wire, segment: &Header| {
        arrive(wire, segment);
        sent(wire).iter().any(|answer| answer.has(flag::RST))
    };
    assert!(!is_reset(&mut wire, &data(&answer, 1400)));
    // What the window can't hold, another peer, another number.
    assert!(is_reset(&mut wire, &data(&answer, 70_000)));
    let other = Header {
        destination: 10,
        ..answer
    };
    assert!(is_reset(&mut wire, &data(&other, 1400)));
    let other = Header {
        sequence: answer.sequence + 100_000,
        ..answer
    };
    assert!(is_reset(&mut wire, &data(&other, 1400)));
    // A cookie is not good for ever.
    wire.pass(121 * SECOND);
    sent(&mut wire);
    assert!(is_reset(&mut wire, &data(&answer, 1400)));
}

#[test]
fn a_cookie_that_meets_a_full_queue_becomes_a_request() {
    let mut wire = acquainted();
    let listener = wire.listen(1, 80, 1);
    arrive(&mut wire, &syn(8));
    arrive(&mut wire, &syn(9));
    let answer = sent(&mut wire).remove(1);
    let reset = Header {
        sequence: pith_tcpip::tcp::Sequence(1),
        flags: flag::RST,
        ..syn(8)
    };
    arrive(&mut wire, &reset);
    for _ in 0..2 {
        wire.connect(0, SERVER);
    }
    arrive(&mut wire, &data(&answer, 0));
    assert_eq!(wire.machines[1].counts()[1], 1);
    arrive(&mut wire, &data(&answer, 1400));
    assert!(sent(&mut wire).is_empty());
    // It is asked again, although it sends nothing by itself.
    wire.now = wire.now + SECOND;
    let now = wire.now;
    wire.machines[1].expire(now);
    let again = sent(&mut wire).remove(0);
    assert_eq!(again.flags, flag::SYN | flag::ACK);
    assert_eq!(again.sequence, answer.sequence);
    for _ in 0..2 {
        accept(&mut wire, listener);
    }
    arrive(&mut wire, &data(&again, 0));
    assert_eq!(wire.machines[1].tcp_listening(listener), Some(1));
    assert_eq!(wire.machines[1].counts()[1], 0);
}

#[test]
fn a_listener_that_goes_resets_who_waits() {
    let mut wire = acquainted();
    let listener = wire.listen(1, 80, 8);
    let client = wire.connect(0, SERVER);
    arrive(&mut wire, &syn(9));
    let answer = sent(&mut wire).remove(0);
    let now = wire.now;
    wire.machines[1].close(listener, now);
    wire.settle();
    assert_eq!(wire.state(0, client), Some(State::Closed));
    let acknowledgement = Header {
        source: 9,
        destination: 80,
        sequence: answer.acknowledgement,
        acknowledgement: answer.sequence + 1,
        flags: flag::ACK,
        ..Header::default()
    };
    arrive(&mut wire, &acknowledgement);
    assert!(sent(&mut wire).remove(0).has(flag::RST));
    assert_eq!(wire.machines[1].counts(), [0, 0, 0, 0]);
}

#[test]
fn listeners_that_share_a_port_get_their_shares() {
    let mut wire = Wire::new();
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
    let sharing = Sharing {
        address: false,
        port: true,
    };
    let listeners: Vec<Handle> = (0..4)
        .map(|_| {
            let machine = &mut wire.machines[1];
            let handle = machine.tcp_open(Reach::V4, Options::default());
            machine.bind(handle, any, sharing).expect("shared");
            machine.tcp_listen(handle, 1000).expect("shared");
            handle
        })
        .collect();
    // Nobody else gets in.
    let other = wire.machines[1].tcp_open(Reach::V4, Options::default());
    assert_eq!(wire.machines[1].bind(other, any, true), Err(Error::InUse));
    for _ in 0..400 {
        wire.connect(0, SERVER);
    }
    for listener in listeners {
        let count = wire.machines[1].tcp_listening(listener).expect("listens");
        assert!((50..150).contains(&count), "{count}");
    }
}

#[test]
fn datagrams_to_sockets_that_share_a_port_are_shared_by_peer() {
    let mut wire = Wire::new();
    let now = wire.now;
    let to = SocketAddr::from((ADDRESSES[1], 53));
    let sharing = Sharing {
        address: false,
        port: true,
    };
    let servers: Vec<Handle> = (0..4)
        .map(|_| {
            let handle = wire.machines[1].udp_open(Reach::V4, 100_000);
            wire.machines[1].bind(handle, to, sharing).expect("shared");
            handle
        })
        .collect();
    let clients: Vec<Handle> = (0..200)
        .map(|_| wire.machines[0].udp_open(Reach::V4, 1000))
        .collect();
    for round in 0..2 {
        for client in &clients {
            wire.machines[0]
                .udp_send(*client, Some(to), slice(&[round]), now)
                .expect("sent");
            wire.settle();
        }
    }
    let mut owner = std::collections::BTreeMap::new();
    for server in servers {
        let mut count = 0;
        while let Some(datagram) = wire.machines[1].udp_receive(server, false) {
            // All of a peer's go to the same one.
            assert_eq!(
                *owner.entry(datagram.carrier.source).or_insert(server),
                server
            );
            count += 1;
        }
        assert!((50..150).contains(&count), "{count}");
    }
    assert_eq!(owner.len(), 200);
}

/// Makes a connection that machine 0 ends first, and returns its port there.
fn end_one(wire: &mut Wire, listener: Handle) -> u16 {
    let client = wire.connect(0, SERVER);
    let port = wire.machines[0].local(client).expect("connected").port();
    let server = wire.machines[1].tcp_accept(listener).expect("listens");
    let server = server.expect("has come");
    let now = wire.now;
    wire.machines[0].close(client, now);
    wire.settle();
    wire.machines[1].close(server, now);
    wire.settle();
    port
}

#[test]
fn what_has_ended_is_a_little_record_for_a_minute() {
    let mut wire = Wire::new();
    let listener = wire.listen(1, 80, 8);
    end_one(&mut wire, listener);
    assert_eq!(wire.machines[0].counts(), [0, 0, 1, 0]);
    assert_eq!(wire.machines[1].counts(), [1, 0, 0, 0]);
    wire.pass(59 * SECOND);
    assert_eq!(wire.machines[0].counts(), [0, 0, 1, 0]);
    wire.pass(2 * SECOND);
    assert_eq!(wire.machines[0].counts(), [0, 0, 0, 0]);
    assert_eq!(wire.machines[0].deadline(), None);
}

#[test]
fn records_and_connections_without_a_program_are_limited() {
    let mut wire = Wire::new();
    let limits = Limits {
        late: 10,
        orphans: 5,
        ..Limits::default()
    };
    wire.machines[0].set_limits(limits);
    let listener = wire.listen(1, 80, 100);
    for _ in 0..30 {
        end_one(&mut wire, listener);
    }
    assert_eq!(wire.machines[0].counts(), [0, 0, 10, 0]);
    // Their peer says nothing any more.
    let clients: Vec<Handle> = (0..10).map(|_| wire.connect(0, SERVER)).collect();
    let now = wire.now;
    for client in clients {
        wire.machines[0]
            .with_connection(client, now, |connection| connection.send(slice(&[1; 100])));
        while wire.machines[0].take_frame().is_some() {}
        wire.machines[0].close(client, now);
    }
    assert_eq!(wire.machines[0].counts()[3], 5);
}

#[test]
fn a_peer_that_never_ends_is_not_waited_for() {
    let mut wire = Wire::new();
    wire.listen(1, 80, 100);
    let client = wire.connect(0, SERVER);
    let now = wire.now;
    wire.machines[0].close(client, now);
    wire.settle();
    // The connection is only a record already.
    assert_eq!(wire.machines[0].counts(), [0, 0, 1, 0]);
    wire.pass(61 * SECOND);
    assert_eq!(wire.machines[0].counts(), [0, 0, 0, 0]);
}

#[test]
fn the_program_reads_what_came_although_the_connection_is_only_a_record() {
    let mut wire = Wire::new();
    let listener = wire.listen(1, 80, 8);
    let client = wire.connect(0, SERVER);
    let server = wire.machines[1].tcp_accept(listener).expect("listens");
    let server = server.expect("has come");
    let now = wire.now;
    wire.machines[0].with_connection(client, now, |connection| connection.shut_down());
    wire.settle();
    wire.send(1, server, b"answer");
    wire.machines[1].close(server, now);
    wire.settle();
    assert_eq!(wire.machines[0].counts(), [1, 0, 1, 0]);
    assert_eq!(wire.received(0, client), b"answer");
    let end = wire.machines[0].connection(client).expect("still there");
    assert!(end.is_at_end() && end.ending().is_none());
    wire.machines[0].close(client, now);
    assert_eq!(wire.machines[0].counts(), [0, 0, 1, 0]);
}

#[test]
fn the_same_ports_can_be_used_again_when_the_peer_asks_anew() {
    let mut wire = Wire::new();
    let listener = wire.listen(1, 80, 8);
    // The server ends first, so that the record is there.
    let client = wire.connect(0, SERVER);
    let port = wire.machines[0].local(client).expect("connected").port();
    let server = wire.machines[1].tcp_accept(listener).expect("listens");
    let now = wire.now;
    wire.machines[1].close(server.expect("has come"), now);
    wire.settle();
    wire.machines[0].close(client, now);
    wire.settle();
    assert_eq!(wire.machines[1].counts()[2], 1);
    wire.now = wire.now + SECOND;
    let again = wire.machines[0].tcp_open(Reach::V4, Options::default());
    let own = SocketAddr::from((ADDRESSES[0], port));
    wire.machines[0].bind(again, own, true).expect("free");
    let now = wire.now;
    wire.machines[0]
        .tcp_connect(again, SERVER, now)
        .expect("free");
    wire.settle();
    assert_eq!(wire.state(0, again), Some(State::Established));
    assert_eq!(wire.machines[1].counts()[2], 0);
}

#[test]
fn a_port_is_held_by_connections_unless_both_share_it() {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
    let open = |wire: &mut Wire| wire.machines[1].tcp_open(Reach::V4, Options::default());
    for (first, second, allowed) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (true, true, true),
    ] {
        let mut wire = Wire::new();
        let listener = open(&mut wire);
        wire.machines[1].bind(listener, any, first).expect("free");
        wire.machines[1].tcp_listen(listener, 8).expect("free");
        let client = wire.connect(0, SERVER);
        let server = wire.machines[1].tcp_accept(listener).expect("listens");
        let now = wire.now;
        // While it listens nobody else may.
        let other = open(&mut wire);
        assert_eq!(wire.machines[1].bind(other, any, second), Err(Error::InUse));
        wire.machines[1].close(listener, now);
        // A connection, and then its record, hold the port.
        let bound = wire.machines[1].bind(other, any, second);
        assert_eq!(bound.is_ok(), allowed, "{first} {second}");
        wire.machines[1].close(other, now);
        wire.machines[1].close(server.expect("has come"), now);
        wire.settle();
        wire.machines[0].close(client, now);
        wire.settle();
        assert_eq!(wire.machines[1].counts(), [0, 0, 1, 0]);
        let other = open(&mut wire);
        let bound = wire.machines[1].bind(other, any, second);
        assert_eq!(bound.is_ok(), allowed, "{first} {second}");
        wire.machines[1].close(other, now);
        wire.pass(61 * SECOND);
        let other = open(&mut wire);
        wire.machines[1]
            .bind(other, any, second)
            .expect("free at last");
    }
}

#[test]
fn of_two_that_share_an_address_only_one_listens() {
    let mut wire = Wire::new();
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
    let handles: Vec<Handle> = (0..2)
        .map(|_| {
            let handle = wire.machines[1].tcp_open(Reach::V4, Options::default());
            wire.machines[1].bind(handle, any, true).expect("shared");
            handle
        })
        .collect();
    assert_eq!(wire.machines[1].tcp_listen(handles[0], 5), Ok(()));
    assert_eq!(
        wire.machines[1].tcp_listen(handles[1], 5),
        Err(Error::InUse)
    );
}

#[test]
fn memory_that_runs_out_is_taken_from_what_waits_behind_gaps() {
    let mut wire = Wire::with_cards(Offload::default(), None);
    let listener = wire.listen(1, 80, 100);
    let limits = Limits {
        memory: 200_000,
        ..Limits::default()
    };
    wire.machines[1].set_limits(limits);
    let clients: Vec<Handle> = (0..20).map(|_| wire.connect(0, SERVER)).collect();
    let servers: Vec<Handle> = (0..20)
        .map(|_| {
            let accepted = wire.machines[1].tcp_accept(listener).expect("listens");
            accepted.expect("has come")
        })
        .collect();
    // Nobody reads.
    for client in &clients {
        wire.send(0, *client, &[7; 60_000]);
    }
    wire.pass(2 * SECOND);
    let held = wire.machines[1].memory();
    assert!(held < 200_000 + 20 * 80_000, "{held}");
    // Everything comes when there is room again.
    let mut counts = [0; 20];
    for _ in 0..300 {
        for (server, count) in servers.iter().zip(&mut counts) {
            *count += wire.received(1, *server).len();
        }
        wire.pass(SECOND);
    }
    assert_eq!(counts, [60_000; 20]);
    assert_eq!(wire.machines[1].memory(), 0);
}

/// With itself a machine has no time between a segment and its answer: what is refused for want of memory must not be
/// sent again, and refused again, without end.
#[test]
fn a_machine_without_memory_does_not_talk_with_itself_for_ever() {
    const CLIENTS: usize = 8;
    const LENGTH: usize = 400_000;
    let mut wire = Wire::new();
    let listener = wire.listen(0, 80, 100);
    let limits = Limits {
        memory: 600_000,
        ..Limits::default()
    };
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    let clients: Vec<Handle> = (0..CLIENTS).map(|_| wire.connect(0, to)).collect();
    let servers: Vec<Handle> = (0..CLIENTS)
        .map(|_| {
            let accepted = wire.machines[0].tcp_accept(listener).expect("listens");
            accepted.expect("has come")
        })
        .collect();
    // Their windows are large by then.
    for (client, server) in clients.iter().zip(&servers) {
        for _ in 0..40 {
            wire.send(0, *client, &[1; 60_000]);
            let mut come = wire.received(0, *server).len();
            while come != 60_000 {
                wire.pass(1_000_000);
                come += wire.received(0, *server).len();
            }
        }
    }
    wire.machines[0].set_limits(limits);
    let (mut sent, mut received) = ([0; CLIENTS], [0; CLIENTS]);
    for round in 0..40_000 {
        for (client, sent) in clients.iter().zip(&mut sent) {
            // Records as of TLS, each in a block of its own.
            for wanted in [66, 16_406, 16_406].into_iter().cycle() {
                let now = wire.now;
                let pushed = wire.machines[0].with_connection(*client, now, |connection| {
                    if !connection.readiness().writable {
                        return 0;
                    }
                    let length = wanted.min(LENGTH - *sent).min(connection.free());
                    let mut data = slice(&vec![7; length.next_power_of_two()]);
                    data.truncate(length);
                    connection.send(data);
                    length
                });
                wire.settle();
                *sent += pushed.unwrap_or(0);
                if pushed == Some(0) {
                    break;
                }
            }
        }
        let reader = round % CLIENTS;
        received[reader] += wire.received(0, servers[reader]).len();
        if received == [LENGTH; CLIENTS] {
            return;
        }
        wire.pass(1_000_000);
    }
    panic!("{sent:?} were sent, {received:?} have come");
}

#[test]
fn who_waits_for_room_hears_that_memory_is_not_scarce_any_more() {
    let mut wire = Wire::new();
    wire.listen(1, 80, 100);
    let [waits, holds] = [0, 1].map(|_| wire.connect(0, SERVER));
    let (now, own) = (wire.now, &mut wire.machines[0]);
    own.set_limits(Limits {
        memory: 100_000,
        ..Limits::default()
    });
    for (handle, bytes) in [(waits, 16_384), (holds, 100_000)] {
        own.with_connection(handle, now, |connection| {
            connection.send(slice(&vec![1; bytes]))
        });
    }
    let free = |own: &pith_tcpip::Stack<common::Memory>| {
        own.connection(waits).map(|connection| connection.free())
    };
    assert_eq!(free(own), Some(0));
    while own.take_event().is_some() {}
    // What the other one holds goes. Nothing arrives for the one that waits.
    own.with_connection(holds, now, |connection| connection.abort());
    assert!(free(own) > Some(0));
    assert_eq!(
        core::iter::from_fn(|| own.take_event()).find(|event| *event == waits),
        Some(waits)
    );
}

#[test]
fn a_port_that_is_not_needed_yet_is_chosen_for_the_peer() {
    let mut wire = Wire::new();
    wire.listen(1, 80, 8);
    let (now, own) = (wire.now, SocketAddr::from((ADDRESSES[0], 0)));
    let client = &mut wire.machines[0];
    let handles: Vec<Handle> = (0..2)
        .map(|_| client.tcp_open(Reach::V4, Options::default()))
        .collect();
    for handle in &handles {
        let sharing = Sharing::from(true);
        assert_eq!(client.bind_without_port(*handle, own, sharing), Ok(()));
        assert_eq!(client.local(*handle), Some(own));
    }
    let elsewhere = SocketAddr::from((ADDRESSES[1], 0));
    let refused = client.bind_without_port(handles[0], elsewhere, Sharing::default());
    assert_eq!(refused, Err(Error::NotLocal));
    assert_eq!(client.tcp_connect(handles[0], SERVER, now), Ok(()));
    assert_eq!(client.tcp_listen(handles[1], 5), Ok(()));
    for handle in &handles {
        let local = client.local(*handle).expect("bound");
        assert_eq!(local.ip(), own.ip());
        assert!(local.port() >= 32_768, "{local}");
        assert_eq!(
            client.bind_without_port(*handle, own, Sharing::default()),
            Err(Error::State)
        );
    }
    wire.settle();
    assert_eq!(wire.state(0, handles[0]), Some(State::Established));
    // What listens is found there.
    let listens = wire.machines[0].local(handles[1]).expect("bound");
    let peer = wire.connect(1, listens);
    assert_eq!(wire.state(1, peer), Some(State::Established));
    // The start that fails leaves the choice open.
    let renewed = wire.machines[0].tcp_open(Reach::V4, Options::default());
    let closed = SocketAddr::from((ADDRESSES[1], 81));
    let client = &mut wire.machines[0];
    assert_eq!(
        client.bind_without_port(renewed, own, Sharing::default()),
        Ok(())
    );
    assert_eq!(client.tcp_connect(renewed, closed, now), Ok(()));
    wire.settle();
    assert_eq!(wire.state(0, renewed), Some(State::Closed));
    assert_eq!(wire.machines[0].tcp_renew(renewed), Ok(()));
    assert_eq!(wire.machines[0].bound(renewed), Some(own));
}

#[test]
fn what_there_is_is_counted() {
    let mut wire = Wire::new();
    let listener = wire.listen(1, 80, 8);
    let usage = wire.machines[1].usage();
    assert_eq!((usage.streams, usage.all_streams), ([1, 0], 1));
    let client = wire.connect(0, SERVER);
    let server = wire.machines[1].tcp_accept(listener).expect("listens");
    let server = server.expect("has come");
    wire.send(0, client, &[7; 5000]);
    let idle = wire.machines[1].tcp_open(Reach::Both, Options::default());
    let datagrams = wire.machines[1].udp_open(Reach::Both, 1000);
    let any = SocketAddr::from((core::net::Ipv6Addr::UNSPECIFIED, 0));
    let unnamed = wire.machines[1].usage();
    assert_eq!(unnamed.datagrams, [0, 0]);
    assert_eq!(wire.machines[1].bind(datagrams, any, false), Ok(()));
    let usage = wire.machines[1].usage();
    assert_eq!((usage.streams, usage.all_streams), ([2, 0], 3));
    assert_eq!((usage.datagrams, usage.orphans), ([0, 1], 0));
    assert_eq!(usage.all_datagrams, 1);
    assert!(usage.stream_memory >= 5000, "{usage:?}");
    let now = wire.now;
    wire.machines[1].close(idle, now);
    assert_eq!(wire.received(1, server).len(), 5000);
    wire.machines[1].close(server, now);
    let usage = wire.machines[1].usage();
    assert_eq!((usage.orphans, usage.all_streams), (1, 2));
    wire.settle();
    wire.machines[0].close(client, now);
    wire.settle();
    let usage = wire.machines[1].usage();
    assert_eq!((usage.orphans, usage.late, usage.all_streams), (0, 1, 1));
}

/// As on Linux: `shutdown` or `connect` to nobody takes the listening away, and with it a port that nobody asked for.
#[test]
fn what_listens_stops() {
    let mut wire = Wire::new();
    let listener = wire.listen(1, 80, 8);
    let waits = wire.connect(0, SERVER);
    let now = wire.now;
    let server = &mut wire.machines[1];
    assert_eq!(server.tcp_stop_listening(listener, now), Ok(()));
    assert_eq!(server.tcp_stop_listening(listener, now), Err(Error::State));
    assert_eq!(server.tcp_accept(listener), Err(Error::State));
    // The port was chosen by the program.
    assert_eq!(server.bound(listener).map(|own| own.port()), Some(80));
    wire.settle();
    assert_eq!(wire.state(0, waits), Some(State::Closed));
    // It may listen again.
    assert_eq!(wire.machines[1].tcp_listen(listener, 8), Ok(()));
    let peer = wire.connect(0, SERVER);
    assert_eq!(wire.state(0, peer), Some(State::Established));
    let chosen = wire.machines[1].tcp_open(Reach::V4, Options::default());
    let server = &mut wire.machines[1];
    assert_eq!(server.tcp_listen(chosen, 8), Ok(()));
    let shown = server.local(chosen);
    assert_eq!(server.tcp_stop_listening(chosen, now), Ok(()));
    assert_eq!((server.local(chosen), server.bound(chosen)), (shown, None));
}

#[test]
fn a_stream_is_bound_again_when_its_connection_has_ended() {
    let mut wire = Wire::new();
    let listener = wire.listen(1, 80, 8);
    let client = wire.connect(0, SERVER);
    let again = SocketAddr::from((ADDRESSES[0], 4000));
    let refused = wire.machines[0].bind(client, again, false);
    assert_eq!(refused, Err(Error::State));
    let server = wire.machines[1].tcp_accept(listener).expect("listens");
    let (server, now) = (server.expect("has come"), wire.now);
    wire.machines[1].with_connection(server, now, |connection| connection.abort());
    wire.settle();
    assert_eq!(wire.state(0, client), Some(State::Closed));
    let own = wire.machines[0].local(client).expect("still shown");
    // Nobody is kept from the port any more.
    let other = wire.machines[0].tcp_open(Reach::V4, Options::default());
    assert_eq!(wire.machines[0].bind(other, own, false), Ok(()));
    assert_eq!(wire.machines[0].bind(client, again, false), Ok(()));
    assert_eq!(wire.machines[0].local(client), Some(again));
    let twice = wire.machines[0].bind(client, again, false);
    assert_eq!(twice, Err(Error::State));
    assert_eq!(wire.machines[0].tcp_renew(client), Ok(()));
    assert_eq!(wire.machines[0].tcp_connect(client, SERVER, now), Ok(()));
    wire.settle();
    assert_eq!(wire.state(0, client), Some(State::Established));
    assert_eq!(wire.machines[0].local(client), Some(again));
    // What was accepted keeps the address that its listener was bound to.
    let bound = wire.machines[1].bound(listener).expect("bound");
    assert_eq!(wire.machines[1].tcp_renew(server), Ok(()));
    let kept = wire.machines[1].local(server).expect("shown");
    assert_eq!(kept.port(), 80);
    assert_eq!(kept.ip().is_unspecified(), bound.ip().is_unspecified());
}

/// RFC 1122, section 4.2.2.13: who has ended and takes nothing any more says so to whoever still sends.
#[test]
fn what_comes_after_both_ends_were_shut_is_reset() {
    let mut wire = Wire::new();
    let listener = wire.listen(1, 80, 8);
    let client = wire.connect(0, SERVER);
    let server = wire.machines[1].tcp_accept(listener).expect("listens");
    let (server, now) = (server.expect("has come"), wire.now);
    wire.machines[1].with_connection(server, now, |connection| connection.refuse_input());
    wire.send(0, client, b"still read");
    wire.settle();
    assert_eq!(wire.received(1, server), b"still read");
    wire.machines[1].with_connection(server, now, |connection| connection.shut_down());
    wire.settle();
    assert_eq!(wire.state(1, server), Some(State::FinWait2));
    wire.send(0, client, b"too late");
    wire.settle();
    assert_eq!(wire.state(0, client), Some(State::Closed));
    let server = wire.machines[1].connection(server).expect("kept");
    assert_eq!(server.state(), State::Closed);
    assert_eq!(server.ending(), Some(Ending::Reset));
}
