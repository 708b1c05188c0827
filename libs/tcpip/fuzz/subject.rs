//! What is fuzzed: each function takes any bytes, and panics if something is wrong.
#![allow(dead_code, reason = "each target uses one")]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use pith_tcpip::stack::{Handle, Limits, Offload, Reach};
use pith_tcpip::tcp::{
    Connection, KeepAlive, Offer, Options, Path, Request, Segment, Sequence, Step,
};
use pith_tcpip::time::{MILLISECOND, SECOND};
use pith_tcpip::wire::checksum::Sum;
use pith_tcpip::wire::ethernet::{self, HardwareAddress};
use pith_tcpip::wire::tcp::{Header, LONGEST_HEADER, flag};
use pith_tcpip::wire::{arp, icmp, icmpv6, ip, ipv4, ipv6, udp};
use pith_tcpip::{Instant, Slice, Stack};

type Memory = Arc<[u8]>;

fn slice(bytes: &[u8]) -> Slice<Memory> {
    Slice::new(Arc::from(bytes))
}

/// The input, taken bit by bit; at its end there are zeros.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn long(&mut self) -> u32 {
        u32::from(self.word()) << 16 | u32::from(self.word())
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.0.len());
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken.to_vec()
    }
}

/// Every parser of `wire`.
pub fn parsers(data: &[u8]) {
    let _ = ethernet::Header::read(data);
    let _ = arp::Packet::read(data);
    let _ = icmp::Header::parse(data);
    let _ = udp::Header::read(data);
    if let Ok(header) = ipv4::Header::read(data) {
        assert!(header.header_length + header.payload_length <= data.len());
    }
    if let Ok(header) = ipv6::Header::read(data) {
        assert!(ipv6::HEADER + header.payload_length <= data.len());
        if let Ok(upper) = ipv6::walk(data) {
            assert!(upper.offset <= data.len());
        }
    }
    let _ = ipv6::walk(data);
    if let Some((next, rest)) = data.split_first() {
        let _ = ipv6::walk_inside(rest, *next);
    }
    let _ = icmpv6::read(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, data);
    let _ = icmpv6::Neighbour::read(data, 1);
    let _ = Header::ports(data);
    if let Ok((header, length)) = Header::read(data) {
        assert!(length <= data.len());
        // What is read is written, and read again.
        let mut bytes = [0; LONGEST_HEADER];
        let length = header.write(&mut bytes);
        let (again, read) = Header::read(&bytes[..length]).expect("it was written");
        assert_eq!(read, length);
        assert_eq!(
            (
                again.sequence,
                again.acknowledgement,
                again.flags,
                again.window
            ),
            (
                header.sequence,
                header.acknowledgement,
                header.flags,
                header.window
            )
        );
        assert_eq!(again.timestamps, header.timestamps);
    }
}

const OWN: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
];
const OTHER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
];
const HARDWARE: [HardwareAddress; 2] = [
    HardwareAddress([2, 0, 0, 0, 0, 1]),
    HardwareAddress([2, 0, 0, 0, 0, 2]),
];
const LIMITS: Limits = Limits {
    memory: 1 << 20,
    late: 16,
    orphans: 16,
    backlog: 16,
};

struct Engine {
    stack: Stack<Memory>,
    now: Instant,
    listener: Handle,
    datagrams: Handle,
    handles: Vec<Handle>,
    /// The last segment that was sent, by version, with the number behind it.
    last: [Header; 2],
}

impl Engine {
    fn new() -> Self {
        let now = Instant(1000 * SECOND);
        let mut stack = Stack::new([1, 2]);
        stack.set_limits(LIMITS);
        let card = stack.add_card(HARDWARE[0], 1500, Offload::default(), now);
        stack.add_address(card, OWN[0], 24, now);
        stack.add_address(card, OWN[1], 64, now);
        stack.expire(now + 10 * SECOND);
        let now = now + 10 * SECOND;
        let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let listener = stack.tcp_open(Reach::Both, Options::default());
        stack.bind(listener, any(80), true).expect("free");
        stack.tcp_listen(listener, 8).expect("new");
        let datagrams = stack.udp_open(Reach::Both, 10_000);
        stack.bind(datagrams, any(53), false).expect("free");
        let mut engine = Self {
            stack,
            now,
            listener,
            datagrams,
            handles: Vec::new(),
            last: [Header::default(); 2],
        };
        engine.drain();
        engine
    }

    /// Takes what is sent, and remembers the last segments.
    fn drain(&mut self) {
        let mut frames = 0;
        while let Some(frame) = self.stack.take_frame() {
            frames += 1;
            assert!(frames < 2000, "no end of frames");
            let bytes = frame.to_vec();
            if frame.interface == 0 {
                let _ = self.stack.receive(0, slice(&bytes), self.now);
                continue;
            }
            self.answer_neighbour(&bytes);
            let (version, offset) = match bytes.get(12..14) {
                Some([8, 0]) if bytes.get(23) == Some(&ip::TCP) => (0, 34),
                Some([0x86, 0xdd]) if bytes.get(20) == Some(&ip::TCP) => (1, 54),
                _ => continue,
            };
            if let Ok((mut header, length)) = Header::read(&bytes[offset..])
                && !header.has(flag::RST)
            {
                // What the other side acknowledges is what comes behind it.
                let numbers =
                    usize::from(header.has(flag::SYN)) + usize::from(header.has(flag::FIN));
                header.sequence = header.sequence + (bytes.len() - offset - length + numbers);
                self.last[version] = header;
            }
        }
        let mut events = 0;
        while self.stack.take_event().is_some() {
            events += 1;
            assert!(events < 10_000, "no end of events");
        }
        let [sockets, requests, late, orphans] = self.stack.counts();
        assert!(
            sockets <= 200 && requests <= 8 + LIMITS.late,
            "{sockets} {requests}"
        );
        assert!(late <= LIMITS.late && orphans <= LIMITS.orphans + 1);
        assert!(self.stack.memory() <= LIMITS.memory + (2 << 20));
    }

    /// The other station says where it is when it is asked.
    fn answer_neighbour(&mut self, question: &[u8]) {
        let frame = match (question.get(12..14), question.get(54)) {
            (Some([8, 6]), _) => {
                let (IpAddr::V4(own), IpAddr::V4(other)) = (OWN[0], OTHER[0]) else {
                    return;
                };
                let answer = arp::Packet {
                    is_reply: true,
                    sender: (HARDWARE[1], other),
                    target: (HARDWARE[0], own),
                };
                let start = ethernet::Header {
                    destination: HARDWARE[0],
                    source: HARDWARE[1],
                    kind: ethernet::ARP,
                };
                [&start.bytes()[..], &answer.bytes()].concat()
            }
            (Some([0x86, 0xdd]), Some(135)) => {
                let IpAddr::V6(other) = OTHER[1] else { return };
                // An advertisement that was asked for, with its address.
                let mut inner = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
                inner.extend_from_slice(&other.octets());
                inner.extend_from_slice(&[2, 1]);
                inner.extend_from_slice(&HARDWARE[1].0);
                let sum = Sum::default()
                    .pseudo_header(OTHER[1], OWN[1], ip::ICMPV6, inner.len())
                    .bytes(&inner);
                inner[2..4].copy_from_slice(&sum.checksum());
                self.frame(1, ip::ICMPV6, &inner)
            }
            _ => return,
        };
        let _ = self.stack.receive(1, slice(&frame), self.now);
    }

    fn frame(&self, version: usize, protocol: u8, inner: &[u8]) -> Vec<u8> {
        let start = ethernet::Header {
            destination: HARDWARE[0],
            source: HARDWARE[1],
            kind: [ethernet::IPV4, ethernet::IPV6][version],
        };
        let packet = match (OTHER[version], OWN[version]) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ipv4::Header::new(source, destination, protocol, inner.len())
                    .bytes()
                    .to_vec()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => ipv6::Header {
                source,
                destination,
                next: protocol,
                hops: 255,
                service: 0,
                flow: 0,
                payload_length: inner.len(),
            }
            .bytes()
            .to_vec(),
            _ => unreachable!("one version"),
        };
        [&start.bytes()[..], &packet, inner].concat()
    }

    /// A segment whose numbers are near those of the last one that was sent.
    fn segment(&self, input: &mut Input<'_>, version: usize) -> Vec<u8> {
        let last = &self.last[version];
        let shape = input.byte();
        let near = |input: &mut Input<'_>, number: Sequence| match input.byte() {
            0 => number - usize::from(input.byte()),
            1 => Sequence(input.long()),
            offset if offset < 128 => number,
            offset => number + usize::from(offset - 128) * 100,
        };
        let fresh = shape & 1 != 0 && input.byte() < 100;
        let mut header = Header {
            source: if fresh {
                1000 + u16::from(input.byte() % 16)
            } else {
                last.destination
            },
            destination: if fresh { 80 } else { last.source },
            sequence: near(input, last.acknowledgement),
            acknowledgement: near(input, last.sequence),
            flags: match shape >> 1 & 7 {
                0 => flag::SYN,
                1 => flag::SYN | flag::ACK,
                2 => input.byte(),
                3 => flag::FIN | flag::ACK,
                _ => flag::ACK,
            },
            window: input.word(),
            urgent: if shape & 0x80 != 0 { input.word() } else { 0 },
            ..Header::default()
        };
        if shape & 0x10 != 0 {
            let echo = last.timestamps.map_or(0, |(value, _)| value);
            header.timestamps = Some((input.long(), echo));
        }
        if shape & 0x20 != 0 {
            header.maximum_segment = Some(input.word());
            header.window_scale = Some(input.byte() % 16);
            header.sack_permitted = true;
        }
        if shape & 0x40 != 0 {
            for place in &mut header.sack[..2] {
                let start = near(input, last.sequence);
                *place = Some((start, start + usize::from(input.byte()) * 50));
            }
        }
        let mut bytes = [0; LONGEST_HEADER];
        let length = header.write(&mut bytes);
        let mut inner = bytes[..length].to_vec();
        let count = usize::from(input.byte()) * 5;
        inner.extend(core::iter::repeat_n(7, count));
        let sum = Sum::default()
            .pseudo_header(OTHER[version], OWN[version], ip::TCP, inner.len())
            .bytes(&inner);
        inner[16..18].copy_from_slice(&sum.checksum());
        self.frame(version, ip::TCP, &inner)
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let now = self.now;
        let choice = usize::from(input.byte());
        let handle = self
            .handles
            .get(choice % self.handles.len().max(1))
            .copied();
        match input.byte() % 16 {
            0 => {
                let count = usize::from(input.byte());
                let bytes = input.take(count);
                let _ = self.stack.receive(1, slice(&bytes), now);
            }
            kind @ 1..=6 => {
                let frame = self.segment(input, usize::from(kind & 1));
                let _ = self.stack.receive(1, slice(&frame), now);
            }
            7 => {
                let count = usize::from(input.byte());
                let inner = input.take(count);
                let version = usize::from(input.byte() & 1);
                let protocol = [ip::UDP, ip::ICMP, ip::ICMPV6, 0][usize::from(input.byte() & 3)];
                let frame = self.frame(version, protocol, &inner);
                let _ = self.stack.receive(1, slice(&frame), now);
            }
            8 => {
                self.now = now + u64::from(input.word()) * MILLISECOND / 8;
                if self.stack.deadline().is_some_and(|at| at <= self.now) {
                    self.stack.expire(self.now);
                }
            }
            9 => drop(self.stack.udp_receive(self.datagrams, false)),
            10 if self.handles.len() < 64 => {
                let handle = self.stack.tcp_open(Reach::Both, Options::default());
                let to = SocketAddr::new(OTHER[choice & 1], 1000 + u16::from(input.byte() % 4));
                let _ = self.stack.tcp_connect(handle, to, now);
                self.handles.push(handle);
            }
            _ => {
                if let Some(handle) = handle {
                    self.call(input, handle);
                }
            }
        }
        self.drain();
        if self.handles.len() < 64
            && let Ok(Some(handle)) = self.stack.tcp_accept(self.listener)
        {
            self.handles.push(handle);
        }
    }

    /// A call of the program.
    fn call(&mut self, input: &mut Input<'_>, handle: Handle) {
        let now = self.now;
        let (call, value) = (input.byte() % 12, input.byte());
        if call == 0 {
            self.handles.retain(|other| *other != handle);
            self.stack.close(handle, now);
            return;
        }
        if call == 1 {
            self.stack.tcp_options(handle, now, |options| {
                options.no_delay = value & 1 != 0;
                options.cork = value & 2 != 0;
                options.urgent_inline = value & 4 != 0;
                options.maximum_segment = u16::from(value) * 4;
                options.user_timeout = u64::from(value & 8) * SECOND;
                options.keep_alive = (value & 16 != 0).then_some(KeepAlive {
                    idle: SECOND,
                    interval: SECOND,
                    count: 3,
                });
            });
            return;
        }
        self.stack
            .with_connection(handle, now, |connection| match call {
                2 => connection.shut_down(),
                3 => connection.limit_segment(usize::from(value) * 8),
                4 => drop(connection.take_urgent(value & 1 != 0)),
                5 if connection.free() != 0 => connection.send_urgent(slice(&[value])),
                6 => connection.acknowledge_quickly(value & 1 != 0),
                7..=9 => {
                    let length = (usize::from(value) * 100).min(connection.free());
                    connection.send(slice(&vec![value; length]));
                }
                _ => {
                    let all: usize = connection.data().map(|piece| piece.len()).sum();
                    assert_eq!(all, connection.available());
                    connection.consume(all.min(usize::from(value) * 40));
                    let _ = connection.information(now);
                }
            });
    }
}

/// The engine's input: frames, time and calls, in any order.
pub fn engine(data: &[u8]) {
    let mut engine = Engine::new();
    let mut input = Input(data);
    while !input.is_over() {
        engine.step(&mut input);
    }
    // Whatever has happened, all ends when everybody goes, even if nobody answers.
    for handle in core::mem::take(&mut engine.handles) {
        engine.stack.close(handle, engine.now);
        engine.drain();
    }
    engine.stack.close(engine.listener, engine.now);
    engine.stack.close(engine.datagrams, engine.now);
    let end = engine.now + 20_000 * SECOND;
    let mut rounds = 0;
    while let Some(at) = engine.stack.deadline() {
        if at > end || engine.stack.counts() == [0; 4] {
            break;
        }
        engine.now = engine.now.max(at);
        engine.stack.expire(engine.now);
        engine.drain();
        rounds += 1;
        assert!(rounds < 100_000, "no end of timers");
    }
    assert_eq!(engine.stack.counts(), [0; 4]);
    assert_eq!(engine.stack.memory(), 0);
}

/// Two connections and a network that does what the input says: what arrives is what was sent, as far as it goes.
pub fn connections(data: &[u8]) {
    let mut input = Input(data);
    let mut now = Instant(1000 * SECOND);
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let path = Path { segment: 1000 };
    let options = Options::default();
    let first = (Sequence(input.long()), input.long());
    let client: Connection<Memory> =
        Connection::connect((address(1), address(2)), first, path, options, now);
    let mut ends = [Some(client), None];
    let mut request: Option<Request> = None;
    let mut ways: [VecDeque<(Header, Vec<u8>)>; 2] = Default::default();
    let (mut sent, mut received) = ([0_usize; 2], [0_usize; 2]);
    while !input.is_over() {
        let which = usize::from(input.byte() & 1);
        let value = input.byte();
        let mut out: Vec<Segment<Memory>> = Vec::new();
        match input.byte() % 8 {
            0 => {
                if let Some(end) = &mut ends[which]
                    && end.can_send()
                {
                    let length = (usize::from(value) * 30).min(end.free());
                    let bytes: Vec<u8> = (0..length)
                        .map(|index| (sent[which] + index) as u8)
                        .collect();
                    end.send(slice(&bytes));
                    sent[which] += length;
                }
            }
            1 => {
                if let Some(end) = &mut ends[which] {
                    let pieces: Vec<Slice<Memory>> = end.data().collect();
                    for piece in pieces {
                        for byte in piece.iter() {
                            assert_eq!(*byte, received[which] as u8, "another byte");
                            received[which] += 1;
                        }
                        end.consume(piece.len());
                    }
                    assert!(received[which] <= sent[1 - which]);
                }
            }
            2 => {
                now = now + u64::from(value) * 10 * MILLISECOND;
                for end in ends.iter_mut().flatten() {
                    if end.deadline().is_some_and(|at| at <= now) {
                        end.expire(now, &mut Vec::new());
                    }
                }
            }
            // Lost, out of order, twice, or as it should be.
            3 => drop(ways[which].pop_front()),
            4 => {
                let packet = ways[which].pop_front();
                ways[which].extend(packet);
            }
            5 => {
                let packet = ways[which].front().cloned();
                ways[which].extend(packet);
            }
            _ => {
                let Some((header, bytes)) = ways[which].pop_front() else {
                    continue;
                };
                if let Some(end) = &mut ends[which] {
                    end.receive(&header, slice(&bytes), now);
                } else if which == 1 {
                    let offer = Offer::new(path, &options);
                    let step = match &mut request {
                        Some(request) => request.receive(&header, bytes.len(), offer, now),
                        None if header.flags == flag::SYN => {
                            request = Some(Request::new(&header, (Sequence(7), 9), now));
                            Step::Answer
                        }
                        None => Step::Ignore,
                    };
                    match (step, request) {
                        (Step::Answer, Some(request)) => {
                            ways[0].push_back((request.answer((2, 1), offer, now), Vec::new()));
                        }
                        (Step::Establish, Some(request)) => {
                            let addresses = (address(2), address(1));
                            let mut end =
                                Connection::accept(addresses, &request, path, options, now);
                            end.receive(&header, slice(&bytes), now);
                            ends[1] = Some(end);
                        }
                        _ => {}
                    }
                }
            }
        }
        for (index, end) in ends.iter_mut().enumerate() {
            let Some(end) = end else { continue };
            end.transmit(now, 0, &mut out);
            assert!(out.len() < 5000, "{} segments at once", out.len());
            for segment in out.drain(..) {
                let bytes = segment.payload.iter().flat_map(|piece| piece.to_vec());
                let bytes: Vec<u8> = bytes.collect();
                if ways[1 - index].len() < 500 {
                    ways[1 - index].push_back((segment.header, bytes));
                }
            }
            assert!(end.memory() <= 32 << 20);
        }
    }
}
