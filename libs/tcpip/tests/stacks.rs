//! Two machines on one wire, and one with itself.

mod common;

use core::net::{Ipv4Addr, SocketAddrV4};

use common::{Memory, slice};
use pith_tcpip::stack::{Handle, Interface};
use pith_tcpip::tcp::{Ending, Options, State};
use pith_tcpip::wire::ethernet::HardwareAddress;
use pith_tcpip::{Instant, Slice, Stack};

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];

fn machine(index: u8) -> Stack<Memory> {
    let card = Interface {
        hardware: Some(HardwareAddress([2, 0, 0, 0, 0, index])),
        mtu: 1500,
        address: Some((ADDRESSES[usize::from(index)], 24)),
        gateway: None,
    };
    Stack::new(vec![Interface::loopback(), card], [7 + u64::from(index), 9])
}

struct Wire {
    machines: [Stack<Memory>; 2],
    now: Instant,
}

impl Wire {
    fn new() -> Self {
        Self {
            machines: [machine(0), machine(1)],
            now: Instant(1_000_000_000),
        }
    }

    /// Carries all frames until there are none.
    fn settle(&mut self) {
        loop {
            let mut any = false;
            for index in 0..2 {
                while let Some(frame) = self.machines[index].take_frame() {
                    any = true;
                    let mut bytes = frame.headers.clone();
                    for piece in &frame.payload {
                        bytes.extend_from_slice(piece);
                    }
                    assert!(bytes.len() <= 1514 || frame.interface == 0);
                    let to = if frame.interface == 0 {
                        index
                    } else {
                        1 - index
                    };
                    let result =
                        self.machines[to].receive(frame.interface, slice(&bytes), self.now);
                    assert_eq!(result, Ok(()));
                }
            }
            if !any {
                return;
            }
        }
    }

    /// Lets time pass until nothing is due for the given number of nanoseconds.
    fn pass(&mut self, nanoseconds: u64) {
        let end = self.now + nanoseconds;
        loop {
            self.settle();
            let next = self.machines.iter().filter_map(Stack::deadline).min();
            match next {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    for machine in &mut self.machines {
                        machine.expire(self.now);
                    }
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn listen(&mut self, index: usize, port: u16, backlog: usize) -> Handle {
        let handle = self.machines[index].tcp_open(Options::default());
        let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
        self.machines[index]
            .bind(handle, address, false)
            .expect("free");
        self.machines[index]
            .tcp_listen(handle, backlog)
            .expect("new");
        handle
    }

    fn connect(&mut self, index: usize, to: SocketAddrV4) -> Handle {
        let handle = self.machines[index].tcp_open(Options::default());
        let now = self.now;
        self.machines[index]
            .tcp_connect(handle, to, now)
            .expect("a way there");
        self.settle();
        handle
    }

    fn state(&self, index: usize, handle: Handle) -> Option<State> {
        self.machines[index]
            .connection(handle)
            .map(|connection| connection.state())
    }

    fn send(&mut self, index: usize, handle: Handle, bytes: &[u8]) {
        let now = self.now;
        let sent = self.machines[index]
            .with_connection(handle, now, |connection| connection.send(slice(bytes)));
        assert!(sent.is_some());
        self.settle();
    }

    fn received(&mut self, index: usize, handle: Handle) -> Vec<u8> {
        let now = self.now;
        self.machines[index]
            .with_connection(handle, now, |connection| {
                let bytes: Vec<u8> = connection
                    .data()
                    .flat_map(|part: &Slice<Memory>| part.to_vec())
                    .collect();
                connection.consume(bytes.len());
                bytes
            })
            .expect("connected")
    }
}

#[test]
fn machines_find_each_other_and_talk() {
    for (from, to) in [
        (0, SocketAddrV4::new(ADDRESSES[1], 80)),
        (1, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80)),
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

#[test]
fn a_port_without_listener_refuses() {
    let mut wire = Wire::new();
    let client = wire.connect(0, SocketAddrV4::new(ADDRESSES[1], 81));
    let connection = wire.machines[0].connection(client).expect("tried");
    assert_eq!(connection.ending(), Some(Ending::Refused));
}

#[test]
fn nobody_there_times_out() {
    let mut wire = Wire::new();
    let client = wire.connect(0, SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 99), 80));
    assert_eq!(wire.state(0, client), Some(State::SynSent));
    wire.pass(200_000_000_000);
    let connection = wire.machines[0].connection(client).expect("tried");
    assert_eq!(connection.ending(), Some(Ending::TimedOut));
}

#[test]
fn the_backlog_is_kept() {
    let mut wire = Wire::new();
    let listener = wire.listen(1, 80, 2);
    let clients: Vec<Handle> = (0..6)
        .map(|_| wire.connect(0, SocketAddrV4::new(ADDRESSES[1], 80)))
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
    let server = wire.machines[1].udp_open(10_000);
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 53);
    wire.machines[1].bind(server, address, false).expect("free");
    let client = wire.machines[0].udp_open(10_000);
    let to = SocketAddrV4::new(ADDRESSES[1], 53);
    wire.machines[0]
        .udp_connect(client, Some(to))
        .expect("a way there");
    wire.machines[0]
        .udp_send(client, None, slice(b"name"), now)
        .expect("sent");
    wire.settle();
    let question = wire.machines[1].udp_receive(server, false).expect("came");
    assert_eq!(&*question.data, b"name");
    wire.machines[1]
        .udp_send(server, Some(question.source), slice(b"address"), now)
        .expect("sent");
    wire.settle();
    let answer = wire.machines[0].udp_receive(client, false).expect("came");
    assert_eq!((&*answer.data, answer.source), (&b"address"[..], to));
    // Nobody there.
    let to = SocketAddrV4::new(ADDRESSES[1], 54);
    wire.machines[0]
        .udp_connect(client, Some(to))
        .expect("a way there");
    wire.machines[0]
        .udp_send(client, None, slice(b"name"), now)
        .expect("sent");
    wire.settle();
    assert!(wire.machines[0].udp_take_refusal(client));
    assert!(!wire.machines[0].udp_take_refusal(client));
}
