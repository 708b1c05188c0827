//! Two machines on one wire, and one with itself.

mod common;

use core::net::{Ipv4Addr, SocketAddr};

use common::wire::{ADDRESSES, Wire};
use common::{card, slice};
use pith_packet_filter::{Instruction, Program};
use pith_tcpip::stack::{Choice, Error, Exception, Handle, Offload, Reach};
use pith_tcpip::tcp::{Ending, Options, State};

#[test]
fn machines_find_each_other_and_talk() {
    for (from, to) in [
        (0, SocketAddr::from((ADDRESSES[1], 80))),
        (1, SocketAddr::from((Ipv4Addr::LOCALHOST, 80))),
    ] {
        let mut wire = Wire::new();
        let listener = wire.listen(1, 80, 5);
        let client = wire.connect(from, to);
        assert_eq!(wire.state(from, client), Some(State::Established));
        let server = wire.machines[1]
            .tcp_accept(listener)
            .expect("listens")
            .expect("came");
        wire.send(from, client, b"question");
        assert_eq!(wire.received(1, server), b"question");
        wire.send(1, server, &[7; 10_000]);
        assert_eq!(wire.received(from, client), [7; 10_000]);
        let now = wire.now;
        wire.machines[from].close(client, now);
        wire.settle();
        assert_eq!(wire.state(1, server), Some(State::CloseWait));
        wire.machines[1].close(server, now);
        wire.pass(70_000_000_000);
        assert_eq!(wire.state(1, server), None);
        assert_eq!(wire.state(from, client), None);
    }
}

/// Sends so many bytes, in pieces of odd sizes, and takes them at the other end.
fn transfer(wire: &mut Wire, to: SocketAddr, length: usize) {
    let (from_index, to_index) = match to.ip().is_loopback() {
        true => (0, 0),
        false => (0, 1),
    };
    let listener = wire.listen(to_index, to.port(), 5);
    let sender = wire.connect(from_index, to);
    let accepted = wire.machines[to_index].tcp_accept(listener);
    let receiver = accepted.expect("listens").expect("has come");
    let whole: Vec<u8> = (0..length)
        .map(|index| (index * 7) as u8 ^ (index >> 9) as u8)
        .collect();
    let mut rest = &whole[..];
    let mut arrived = Vec::new();
    let mut rounds = 0;
    while arrived.len() < length {
        let connection = wire.machines[from_index].connection(sender);
        let free = connection.expect("connected").free();
        let (part, behind) = rest.split_at(rest.len().min(free).min(30_001));
        rest = behind;
        wire.send(from_index, sender, part);
        arrived.extend(wire.received(to_index, receiver));
        if part.is_empty() {
            wire.pass(50_000_000);
        }
        rounds += 1;
        assert!(rounds < 10_000, "no end");
    }
    assert!(arrived == whole, "other bytes have arrived");
}

#[test]
fn cards_complete_cut_and_put_together() {
    let offload = Offload {
        checksum: true,
        segmentation_v4: true,
        ..Offload::default()
    };
    let without_segmentation = Offload {
        segmentation_v4: false,
        ..offload
    };
    let to = SocketAddr::from((ADDRESSES[1], 80));
    for (offload, together, cuts) in [
        (Offload::default(), None, false),
        (without_segmentation, None, false),
        (offload, None, true),
        (offload, Some(2000), true),
        (offload, Some(133), true),
    ] {
        let mut wire = Wire::with_cards(offload, together);
        transfer(&mut wire, to, 1_000_000);
        assert_eq!(wire.cut != 0, cuts, "{offload:?}");
    }
}

#[test]
fn what_goes_to_the_same_machine_goes_in_large_segments() {
    let mut wire = Wire::new();
    transfer(
        &mut wire,
        SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
        1_000_000,
    );
    assert_eq!(wire.cut, 0);
}

/// What arrives of what one machine sends by UDP, in how many frames it left the machine and in how many the card.
fn datagrams_by(offload: Offload, length: usize, step: usize) -> (Vec<Vec<u8>>, usize, usize) {
    let mut wire = Wire::with_cards(offload, None);
    let to = SocketAddr::from((ADDRESSES[1], 53));
    let server = wire.machines[1].udp_open(Reach::V4, 1_000_000);
    wire.machines[1].bind(server, to, false).expect("free");
    let client = wire.machines[0].udp_open(Reach::V4, 10_000);
    let now = wire.now;
    // They get to know each other.
    wire.machines[0]
        .udp_send(client, Some(to), slice(b"x"), now)
        .expect("a way there");
    wire.settle();
    assert!(wire.machines[1].udp_receive(server, false).is_some());
    let bytes: Vec<u8> = (0..length).map(|index| (index * 7 / 5) as u8).collect();
    wire.machines[0]
        .udp_send_in_steps(
            client,
            Some(to),
            (slice(&bytes), step),
            Exception::default(),
            now,
        )
        .expect("a way there");
    let (mut left, mut carried) = (0, 0);
    while let Some(frame) = wire.machines[0].take_frame() {
        left += 1;
        for bytes in card::to_wire(&frame) {
            assert!(bytes.len() <= 1514);
            carried += 1;
            assert_eq!(
                wire.machines[1].receive(frame.interface, slice(&bytes), now),
                Ok(())
            );
        }
    }
    let next = || wire.machines[1].udp_receive(server, false);
    let came: Vec<Vec<u8>> = core::iter::from_fn(next)
        .map(|datagram| {
            datagram
                .data
                .iter()
                .flat_map(|piece| piece.to_vec())
                .collect()
        })
        .collect();
    assert_eq!(came.concat(), bytes);
    (came, left, carried)
}

#[test]
fn long_datagrams_are_cut_by_the_card_if_it_can() {
    let complete = Offload {
        checksum: true,
        ..Offload::default()
    };
    let parts = Offload {
        parts: true,
        ..complete
    };
    // Without checksums it can't.
    let useless = Offload {
        checksum: false,
        ..parts
    };
    for length in [1473, 1480, 2952, 3000, 20_000, 65_507] {
        let carried = (length + 8_usize).div_ceil(1480);
        for (offload, left) in [
            (Offload::default(), carried),
            (complete, carried),
            (useless, carried),
            (parts, 1),
        ] {
            let (came, frames, on_the_wire) = datagrams_by(offload, length, length);
            assert_eq!((came.len(), frames, on_the_wire), (1, left, carried));
        }
    }
    // What fits is not cut.
    assert_eq!(datagrams_by(parts, 1472, 1472).1, 1);
}

#[test]
fn a_train_of_datagrams_is_cut_by_the_card_if_it_can() {
    let datagrams = Offload {
        checksum: true,
        datagrams: true,
        ..Offload::default()
    };
    for (length, step) in [
        (1000_usize, 1000_usize),
        (1001, 1000),
        (10_000, 1000),
        (64_000, 1472),
        (5, 1),
    ] {
        let count = length.div_ceil(step);
        for (offload, left) in [(Offload::default(), count), (datagrams, 1)] {
            let (came, frames, carried) = datagrams_by(offload, length, step);
            assert_eq!((came.len(), frames, carried), (count, left, count));
            assert!(
                came[..count - 1]
                    .iter()
                    .all(|datagram| datagram.len() == step)
            );
        }
    }
    // Datagrams that have to be cut themselves are not the card's.
    let (came, frames, _) = datagrams_by(datagrams, 6000, 3000);
    assert_eq!((came.len(), frames), (2, 6));
}

#[test]
fn a_datagram_is_complete_after_its_card() {
    let offload = Offload {
        checksum: true,
        ..Offload::default()
    };
    let mut wire = Wire::with_cards(offload, None);
    let to = SocketAddr::from((ADDRESSES[1], 53));
    let server = wire.machines[1].udp_open(Reach::V4, 10_000);
    wire.machines[1].bind(server, to, false).expect("free");
    let client = wire.machines[0].udp_open(Reach::V4, 10_000);
    let now = wire.now;
    for data in [&b""[..], b"x", b"a question"] {
        wire.machines[0]
            .udp_send(client, Some(to), slice(data), now)
            .expect("a way there");
        wire.settle();
        let datagram = wire.machines[1].udp_receive(server, false).expect("came");
        let bytes: Vec<u8> = datagram
            .data
            .iter()
            .flat_map(|piece| piece.to_vec())
            .collect();
        assert_eq!(bytes, data);
    }
}

#[test]
fn a_port_without_listener_refuses() {
    let mut wire = Wire::new();
    let client = wire.connect(0, SocketAddr::from((ADDRESSES[1], 81)));
    let connection = wire.machines[0].connection(client).expect("tried");
    assert_eq!(connection.ending(), Some(Ending::Refused));
}

#[test]
fn a_neighbour_that_does_not_answer_is_unreachable() {
    let mut wire = Wire::new();
    let client = wire.connect(0, SocketAddr::from((Ipv4Addr::new(10, 0, 0, 99), 80)));
    assert_eq!(wire.state(0, client), Some(State::SynSent));
    wire.pass(4_000_000_000);
    let connection = wire.machines[0].connection(client).expect("tried");
    assert_eq!(connection.ending(), Some(Ending::Unreachable));
}

#[test]
fn the_backlog_is_kept() {
    let mut wire = Wire::new();
    let listener = wire.listen(1, 80, 2);
    let clients: Vec<Handle> = (0..6)
        .map(|_| wire.connect(0, SocketAddr::from((ADDRESSES[1], 80))))
        .collect();
    assert_eq!(wire.machines[1].tcp_listening(listener), Some(3));
    let waiting = clients
        .iter()
        .filter(|client| wire.state(0, **client) == Some(State::SynSent))
        .count();
    assert_eq!(waiting, 3);
    // Room again: those that wait ask again.
    while wire.machines[1]
        .tcp_accept(listener)
        .expect("listens")
        .is_some()
    {}
    wire.pass(3_000_000_000);
    assert!(
        clients
            .iter()
            .all(|client| wire.state(0, *client) == Some(State::Established))
    );
}

#[test]
fn datagrams_find_their_sockets() {
    let mut wire = Wire::new();
    let now = wire.now;
    let server = wire.machines[1].udp_open(Reach::V4, 10_000);
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 53));
    wire.machines[1].bind(server, address, false).expect("free");
    let client = wire.machines[0].udp_open(Reach::V4, 10_000);
    let to = SocketAddr::from((ADDRESSES[1], 53));
    wire.machines[0]
        .udp_connect(client, Some(to))
        .expect("a way there");
    wire.machines[0]
        .udp_send(client, None, slice(b"name"), now)
        .expect("sent");
    wire.settle();
    let question = wire.machines[1].udp_receive(server, false).expect("came");
    assert_eq!(&**question.data.first().expect("data"), b"name");
    wire.machines[1]
        .udp_send(
            server,
            Some(question.carrier.source),
            slice(b"address"),
            now,
        )
        .expect("sent");
    wire.settle();
    let answer = wire.machines[0].udp_receive(client, false).expect("came");
    assert_eq!(
        (&**answer.data.first().expect("data"), answer.carrier.source),
        (&b"address"[..], to)
    );
    // Nobody there.
    let to = SocketAddr::from((ADDRESSES[1], 54));
    wire.machines[0]
        .udp_connect(client, Some(to))
        .expect("a way there");
    wire.machines[0]
        .udp_send(client, None, slice(b"name"), now)
        .expect("sent");
    wire.settle();
    assert!(wire.machines[0].udp_take_error(client).is_some());
    assert!(wire.machines[0].udp_take_error(client).is_none());
    // A filter that takes the header and two bytes, and one that takes nothing; then only another interface.
    let filter = |kept| {
        let program = vec![Instruction::read(&[6, 0, 0, 0, kept, 0, 0, 0])];
        Some(Program::new(program).expect("a program").into())
    };
    let to = SocketAddr::from((ADDRESSES[1], 53));
    for (interface, filter, counts_lost, expected) in [
        (2, filter(10), false, Some((&b"na"[..], 0))),
        (0, filter(0), false, None),
        (1, None, false, None),
        (0, None, false, Some((&b"name"[..], 0))),
        (0, None, true, Some((&b"name"[..], 1))),
    ] {
        wire.machines[1]
            .udp_choose(
                server,
                10_000,
                Choice {
                    interface,
                    filter,
                    counts_lost,
                },
            )
            .expect("a socket");
        wire.machines[0]
            .udp_send(client, Some(to), slice(b"name"), now)
            .expect("sent");
        wire.settle();
        let datagram = wire.machines[1].udp_receive(server, false);
        let found = datagram
            .as_ref()
            .and_then(|one| Some((&**one.data.first()?, one.lost)));
        assert_eq!(found, expected);
    }
    assert_eq!(wire.machines[1].udp_waiting(server), (0, 1));
}

#[test]
fn sockets_may_have_addresses_before_interfaces_have_them() {
    let mut wire = Wire::new();
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 80));
    let to = SocketAddr::from((ADDRESSES[1], 53));
    let now = wire.now;
    let machine = &mut wire.machines[0];
    let socket = machine.udp_open(Reach::V4, 10_000);
    assert_eq!(machine.bind(socket, elsewhere, false), Err(Error::NotLocal));
    machine.bind_anywhere(socket, true);
    assert_eq!(machine.bind(socket, elsewhere, false), Ok(()));
    // Nothing is sent from there.
    assert_eq!(
        machine.udp_connect(socket, Some(to)),
        Err(Error::Unreachable)
    );
    let sent = machine.udp_send(socket, Some(to), slice(b"data"), now);
    assert_eq!(sent, Err(Error::Unreachable));
    let stream = machine.tcp_open(Reach::V4, Options::default());
    machine.bind_anywhere(stream, true);
    assert_eq!(machine.bind(stream, elsewhere, false), Ok(()));
    assert_eq!(
        machine.tcp_connect(stream, to, now),
        Err(Error::Unreachable)
    );
    assert_eq!(machine.tcp_listen(stream, 5), Ok(()));
}

#[test]
fn at_the_end_of_a_machine_all_data_and_all_ends_arrive() {
    let mut wire = Wire::new();
    let listener = wire.listen(1, 80, 5);
    let to = SocketAddr::from((ADDRESSES[1], 80));
    let clients = [wire.connect(0, to), wire.connect(0, to)];
    let servers = [(); 2].map(|()| {
        let accepted = wire.machines[1].tcp_accept(listener);
        accepted.expect("listens").expect("has come")
    });
    // One that nobody has accepted, which ends with its listener.
    let third = wire.connect(0, to);
    let now = wire.now;
    wire.machines[0].with_connection(clients[0], now, |connection| {
        connection.send(slice(&[5; 50_000]));
    });
    assert!(wire.machines[0].unacknowledged() >= 50_000);
    wire.machines[0].close_all(now);
    let mut arrived = wire.received(1, servers[0]);
    for _ in 0..1000 {
        wire.pass(10_000_000);
        arrived.extend(wire.received(1, servers[0]));
        if wire.machines[0].unacknowledged() == 0 {
            break;
        }
    }
    assert_eq!(wire.machines[0].unacknowledged(), 0);
    arrived.extend(wire.received(1, servers[0]));
    assert!(arrived == [5; 50_000]);
    for server in servers {
        assert_eq!(wire.state(1, server), Some(State::CloseWait));
    }
    // The other side is at its end, too: those that it has accepted are closed, the other is reset.
    let now = wire.now;
    wire.machines[1].close_all(now);
    wire.settle();
    assert_eq!(wire.machines[1].unacknowledged(), 0);
    assert_eq!(wire.state(0, third), None);
}

#[test]
fn what_a_connection_sends_leaves_by_the_lane_of_its_program() {
    let mut wire = Wire::new();
    let listener = wire.listen(1, 80, 5);
    let client = wire.connect(0, SocketAddr::from((ADDRESSES[1], 80)));
    let server = wire.machines[1].tcp_accept(listener).expect("listens");
    let server = server.expect("has come");
    let now = wire.now;
    let lanes = |wire: &mut Wire| -> Vec<_> {
        let own = &mut wire.machines[0];
        core::iter::from_fn(|| own.take_frame())
            .map(|frame| frame.lane)
            .collect()
    };
    let own = &mut wire.machines[0];
    own.set_caller(3);
    own.with_connection(client, now, |connection| connection.send(slice(&[1; 1000])));
    assert_eq!(lanes(&mut wire), [Some(3)]);
    // It is lost, and sent once more when another one comes by.
    wire.machines[0].set_caller(5);
    let at = wire.machines[0].deadline().expect("it waits for an answer");
    wire.machines[0].expire(at);
    let again = lanes(&mut wire);
    assert!(
        !again.is_empty() && again.iter().all(|lane| *lane == Some(3)),
        "{again:?}"
    );
    // So is the answer to what arrives.
    wire.machines[1].with_connection(server, at, |connection| connection.send(slice(&[2; 3000])));
    while let Some(frame) = wire.machines[1].take_frame() {
        let bytes = slice(&frame.to_vec());
        assert_eq!(wire.machines[0].receive(frame.interface, bytes, at), Ok(()));
    }
    let answers = lanes(&mut wire);
    assert!(
        !answers.is_empty() && answers.iter().all(|lane| *lane == Some(3)),
        "{answers:?}"
    );
    // The program goes on elsewhere.
    wire.machines[0].with_connection(client, at, |connection| connection.send(slice(b"x")));
    wire.machines[0].with_connection(client, at, |connection| connection.abort());
    let last = lanes(&mut wire);
    assert!(
        !last.is_empty() && last.iter().all(|lane| *lane == Some(5)),
        "{last:?}"
    );
}
