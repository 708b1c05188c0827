//! Two connections, and a network between them that does what a test wants.
#![allow(dead_code, reason = "each test uses a part")]

pub mod card;
pub mod host;
pub mod script;
pub mod wire;

use core::net::SocketAddr;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use pith_tcpip::tcp::{Connection, Offer, Options, Path, Request, Segment, Sequence, Step};
use pith_tcpip::time::MILLISECOND;
use pith_tcpip::wire::tcp::Header;
use pith_tcpip::{Instant, Slice};

pub type Memory = Arc<[u8]>;
pub type End = Connection<Memory>;

pub const PATH: Path = Path { segment: 1460 };

pub fn slice(bytes: &[u8]) -> Slice<Memory> {
    Slice::new(Arc::from(bytes))
}

pub fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

pub fn client(options: Options, now: Instant) -> End {
    Connection::connect(
        (address(40_000), address(80)),
        (Sequence(u32::MAX - 2000), 77),
        PATH,
        options,
        now,
    )
}

/// A small generator of numbers that are the same each time.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// True `per_mille` times in a thousand.
    pub fn happens(&mut self, per_mille: u64) -> bool {
        self.next() % 1000 < per_mille
    }
}

/// What the network does to packets, in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    pub loss: u64,
    pub repetition: u64,
    pub reordering: u64,
    /// One way, in nanoseconds.
    pub delay: u64,
}

struct Packet {
    to: usize,
    header: Header,
    data: Vec<u8>,
}

/// Two ends and the network. End 0 has asked end 1, which comes to be with the first SYN.
pub struct Net {
    pub now: Instant,
    pub ends: [Option<End>; 2],
    request: Option<Request>,
    pub random: Random,
    pub weather: Weather,
    pub packets: usize,
    pub bytes: usize,
    options: Options,
    under_way: BinaryHeap<Reverse<(u64, u64, usize)>>,
    stored: Vec<Option<Packet>>,
    serial: u64,
}

impl Net {
    pub fn new(seed: u64, weather: Weather, options: Options) -> Self {
        let now = Instant(1_000_000_000);
        Self {
            now,
            ends: [Some(client(options, now)), None],
            request: None,
            random: Random(seed | 1),
            weather,
            packets: 0,
            bytes: 0,
            options,
            under_way: BinaryHeap::new(),
            stored: Vec::new(),
            serial: 0,
        }
    }

    fn carry(&mut self, from: usize, segment: &Segment<Memory>) {
        let data: Vec<u8> = segment
            .payload
            .iter()
            .flat_map(|part| part.to_vec())
            .collect();
        let cut = usize::from(segment.cut);
        // What a device does with a large segment.
        let parts: Vec<&[u8]> = if cut == 0 {
            vec![&data]
        } else {
            data.chunks(cut).collect()
        };
        let count = parts.len();
        let mut sequence = segment.header.sequence;
        for (index, part) in parts.into_iter().enumerate() {
            let mut header = segment.header;
            header.sequence = sequence;
            sequence = sequence + part.len();
            if index + 1 != count {
                header.flags &=
                    !(pith_tcpip::wire::tcp::flag::FIN | pith_tcpip::wire::tcp::flag::PSH);
            }
            self.packets += 1;
            self.bytes += part.len();
            let copies = if self.random.happens(self.weather.repetition) {
                2
            } else {
                1
            };
            for _ in 0..copies {
                if self.random.happens(self.weather.loss) {
                    continue;
                }
                let mut delay = self.weather.delay;
                if self.random.happens(self.weather.reordering) {
                    delay += self.random.next() % (5 * MILLISECOND);
                }
                self.serial += 1;
                self.stored.push(Some(Packet {
                    to: 1 - from,
                    header,
                    data: part.to_vec(),
                }));
                let place = self.stored.len() - 1;
                self.under_way
                    .push(Reverse((self.now.0 + delay, self.serial, place)));
            }
        }
    }

    /// Lets both ends send what they can.
    pub fn transmit(&mut self) {
        for from in 0..2 {
            let mut out = Vec::new();
            if let Some(end) = &mut self.ends[from] {
                end.transmit(self.now, 64 * 1024, &mut out);
            }
            for segment in out {
                self.carry(from, &segment);
            }
        }
    }

    /// The next thing that happens: a packet arrives or a timer expires. False if nothing ever will.
    pub fn step(&mut self) -> bool {
        self.transmit();
        let arrival = self.under_way.peek().map(|Reverse((at, ..))| *at);
        let timer = self
            .ends
            .iter()
            .flatten()
            .filter_map(|end| end.deadline())
            .chain(self.request.map(|request| request.deadline()))
            .min();
        let next = [arrival, timer.map(|at| at.0)].into_iter().flatten().min();
        let Some(next) = next else { return false };
        self.now = Instant(next.max(self.now.0));
        if arrival.is_some_and(|at| at <= self.now.0) {
            let Some(Reverse((_, _, place))) = self.under_way.pop() else {
                return false;
            };
            let packet = self.stored[place].take().expect("carried once");
            self.arrive(packet);
        } else {
            if let Some(request) = &mut self.request {
                let step = request.expire(Offer::new(PATH, &self.options), self.now);
                self.take_step(step, None);
            }
            for from in 0..2 {
                let mut out = Vec::new();
                if let Some(end) = &mut self.ends[from] {
                    end.expire(self.now, &mut out);
                }
                for segment in out {
                    self.carry(from, &segment);
                }
            }
        }
        true
    }

    fn arrive(&mut self, packet: Packet) {
        let now = self.now;
        if let Some(end) = &mut self.ends[packet.to] {
            end.receive(&packet.header, slice(&packet.data), now);
            return;
        }
        let offer = Offer::new(PATH, &self.options);
        let step = match &mut self.request {
            Some(request) => request.receive(&packet.header, packet.data.len(), offer, now),
            None if packet.header.has(pith_tcpip::wire::tcp::flag::SYN) => {
                self.request = Some(Request::new(&packet.header, (Sequence(5000), 99), now));
                Step::Answer
            }
            None => return,
        };
        self.take_step(step, Some(packet));
    }

    /// Does what the request of end 1 wants.
    fn take_step(&mut self, step: Step, packet: Option<Packet>) {
        let Some(request) = self.request else { return };
        let now = self.now;
        let offer = Offer::new(PATH, &self.options);
        match step {
            Step::Answer => {
                let header = request.answer((80, 40_000), offer, now);
                self.carry(1, &Segment::plain(header));
            }
            Step::Acknowledge => {
                let header = request.acknowledgement((80, 40_000), offer, now);
                self.carry(1, &Segment::plain(header));
            }
            Step::Establish => {
                let addresses = (address(80), address(40_000));
                let mut end = Connection::accept(addresses, &request, PATH, self.options, now);
                if let Some(packet) = packet {
                    end.receive(&packet.header, slice(&packet.data), now);
                }
                self.ends[1] = Some(end);
                self.request = None;
            }
            Step::End { .. } => self.request = None,
            Step::Ignore | Step::Refuse => {}
        }
    }
}
