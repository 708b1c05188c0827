//! Whatever a network does, no byte is lost or changed, nothing hangs, and memory stays within its limits.

mod common;

use core::net::SocketAddr;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use common::wire::{ADDRESSES, machine};
use common::{Memory, Random, slice};
use pith_tcpip::stack::{Handle, Limits, Offload, Reach};
use pith_tcpip::tcp::{Algorithm, Options};
use pith_tcpip::time::{MILLISECOND, SECOND};
use pith_tcpip::{Instant, Slice, Stack};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

/// What the network does to frames, in a thousand.
#[derive(Clone, Debug)]
struct Weather {
    loss: u64,
    repetition: u64,
    reordering: u64,
    corruption: u64,
    /// One way, in milliseconds.
    delay: u64,
}

#[derive(Clone, Debug)]
struct Plan {
    seed: u64,
    weather: Weather,
    connections: usize,
    /// Bytes that each connection carries from the one that asked, and back.
    lengths: [usize; 2],
    options: [Options; 2],
    /// Bytes that a program reads at a time, at most.
    reads: usize,
    memory: usize,
}

/// A connection and what has become of its data.
struct End {
    handle: Handle,
    index: usize,
    sent: usize,
    received: usize,
    ended: bool,
}

/// Frames on their way: when they arrive, a serial number, to whom, and their bytes.
type Way = BinaryHeap<Reverse<(u64, u64, usize, Vec<u8>)>>;

struct World {
    machines: [Stack<Memory>; 2],
    now: Instant,
    random: Random,
    weather: Weather,
    under_way: Way,
    serial: u64,
}

/// The data of a connection in one direction.
fn content(index: usize, from: usize, place: usize) -> u8 {
    (index * 31 + from * 101 + place * 7 + (place >> 8)) as u8
}

impl World {
    fn carry(&mut self) {
        for from in 0..2 {
            while let Some(frame) = self.machines[from].take_frame() {
                let copies = 1 + usize::from(self.random.happens(self.weather.repetition));
                for _ in 0..copies {
                    self.carry_one(1 - from, frame.to_vec());
                }
            }
            while self.machines[from].take_event().is_some() {}
        }
    }

    fn carry_one(&mut self, to: usize, mut bytes: Vec<u8>) {
        if self.random.happens(self.weather.loss) {
            return;
        }
        // Not those for neighbours, which carry no checksum.
        if bytes[12..14] == [8, 0] && self.random.happens(self.weather.corruption) {
            let place = 14 + self.random.next() as usize % (bytes.len() - 14);
            bytes[place] ^= 1 + (self.random.next() % 255) as u8;
        }
        let mut at = self.now.0 + self.weather.delay * MILLISECOND;
        if self.random.happens(self.weather.reordering) {
            at += self.random.next() % (20 * MILLISECOND);
        }
        self.serial += 1;
        self.under_way.push(Reverse((at, self.serial, to, bytes)));
    }

    /// Lets the next thing happen. False if nothing ever will.
    fn step(&mut self) -> bool {
        self.carry();
        let arrival = self.under_way.peek().map(|Reverse((at, ..))| Instant(*at));
        let timers = self.machines.iter().filter_map(Stack::deadline);
        let Some(next) = timers.chain(arrival).min() else {
            return false;
        };
        self.now = self.now.max(next);
        for machine in &mut self.machines {
            if machine.deadline().is_some_and(|at| at <= self.now) {
                machine.expire(self.now);
            }
        }
        while let Some(Reverse((at, ..))) = self.under_way.peek()
            && *at <= self.now.0
            && let Some(Reverse((.., to, bytes))) = self.under_way.pop()
        {
            // What was changed on the way is thrown away.
            let _ = self.machines[to].receive(1, slice(&bytes), self.now);
        }
        true
    }

    /// What the program at one end does. True if that end has done all.
    fn work(&mut self, side: usize, end: &mut End, plan: &Plan) -> bool {
        let (length, expected) = (plan.lengths[side], plan.lengths[1 - side]);
        let now = self.now;
        let worked = self.machines[side].with_connection(end.handle, now, |connection| {
            assert_eq!(connection.ending(), None, "connection {} failed", end.index);
            while end.sent < length && connection.can_send() && connection.free() != 0 {
                let count = (length - end.sent).min(connection.free()).min(3000);
                let bytes: Vec<u8> = (end.sent..end.sent + count)
                    .map(|place| content(end.index, side, place))
                    .collect();
                connection.send(slice(&bytes));
                end.sent += count;
            }
            if end.sent == length && connection.can_send() {
                connection.shut_down();
            }
            let pieces: Vec<Slice<Memory>> = connection.data().collect();
            let mut left = plan.reads;
            for piece in pieces {
                let count = piece.len().min(left);
                for byte in &piece[..count] {
                    let wanted = content(end.index, 1 - side, end.received);
                    assert_eq!(*byte, wanted, "byte {}", end.received);
                    end.received += 1;
                }
                connection.consume(count);
                left -= count;
                if left == 0 {
                    break;
                }
            }
            assert!(end.received <= expected);
            end.received == expected && connection.is_at_end() && connection.unacknowledged() == 0
        });
        if worked == Some(true) && end.sent == length && !end.ended {
            end.ended = true;
            self.machines[side].close(end.handle, now);
        }
        end.ended
    }
}

fn run(plan: &Plan) {
    let mut world = World {
        machines: [
            machine(0, Offload::default()),
            machine(1, Offload::default()),
        ],
        now: Instant(1_000_000_000),
        random: Random(plan.seed | 1),
        weather: plan.weather.clone(),
        under_way: Way::new(),
        serial: 0,
    };
    let limits = Limits {
        memory: plan.memory,
        ..Limits::default()
    };
    for machine in &mut world.machines {
        machine.set_limits(limits);
    }
    let to = SocketAddr::from((ADDRESSES[1], 80));
    let listener = world.machines[1].tcp_open(Reach::V4, plan.options[1]);
    world.machines[1].bind(listener, to, false).expect("free");
    world.machines[1].tcp_listen(listener, 200).expect("free");
    let mut ends: [Vec<End>; 2] = Default::default();
    let mut ports = Vec::new();
    for index in 0..plan.connections {
        let now = world.now;
        let handle = world.machines[0].tcp_open(Reach::V4, plan.options[0]);
        world.machines[0]
            .tcp_connect(handle, to, now)
            .expect("a way there");
        ports.push(world.machines[0].local(handle).expect("connected"));
        ends[0].push(End {
            handle,
            index,
            sent: 0,
            received: 0,
            ended: false,
        });
    }
    let start = world.now;
    let mut moved = 0;
    loop {
        while let Some(handle) = world.machines[1].tcp_accept(listener).expect("listens") {
            let peer = world.machines[1].remote(handle).expect("connected");
            let index = ports.iter().position(|port| *port == peer).expect("asked");
            ends[1].push(End {
                handle,
                index,
                sent: 0,
                received: 0,
                ended: false,
            });
        }
        let mut done = ends[1].len() == plan.connections;
        for (side, ends) in ends.iter_mut().enumerate() {
            for end in ends {
                done &= world.work(side, end, plan);
            }
        }
        if done {
            break;
        }
        let now: usize = ends
            .iter()
            .flatten()
            .map(|end| end.sent + end.received)
            .sum();
        let went_on = core::mem::replace(&mut moved, now) != now;
        assert!(world.step() || went_on, "nothing happens any more");
        // What each connection may hold when memory is scarce comes on top.
        let most = plan.memory + plan.connections * 400_000;
        for machine in &world.machines {
            assert!(machine.memory() <= most, "{} bytes", machine.memory());
        }
        let took = world.now.since(start);
        assert!(
            took < 3000 * SECOND,
            "no end: {:?}",
            ends.each_ref().map(|ends| {
                ends.iter()
                    .map(|end| (end.sent, end.received))
                    .collect::<Vec<_>>()
            })
        );
    }
    // All ends, and nothing is left.
    let end = world.now + 3000 * SECOND;
    while world.now < end && world.step() {
        let counts = world.machines.each_ref().map(|machine| machine.counts());
        if counts == [[0; 4], [1, 0, 0, 0]] {
            break;
        }
    }
    for machine in &world.machines {
        assert_eq!(machine.memory(), 0);
    }
    assert_eq!(world.machines[0].counts(), [0; 4]);
    assert_eq!(world.machines[1].counts(), [1, 0, 0, 0]);
}

fn weather() -> impl Strategy<Value = Weather> {
    (0..80_u64, 0..100_u64, 0..300_u64, 0..40_u64, 0..60_u64).prop_map(
        |(loss, repetition, reordering, corruption, delay)| Weather {
            loss,
            repetition,
            reordering,
            corruption,
            delay,
        },
    )
}

fn options() -> impl Strategy<Value = Options> {
    (
        any::<[bool; 4]>(),
        prop_oneof![Just(128 * 1024), 2500..60_000_usize],
        prop_oneof![Just(256 * 1024), 2500..60_000_usize],
    )
        .prop_map(|([no_delay, grows, reno, small], receive, send)| Options {
            no_delay,
            receive_capacity: receive,
            receive_grows: grows,
            send_capacity: send,
            send_grows: grows,
            algorithm: if reno {
                Algorithm::Reno
            } else {
                Algorithm::Cubic
            },
            maximum_segment: if small { 536 } else { 0 },
            ..Options::default()
        })
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        any::<u64>(),
        weather(),
        1..10_usize,
        [0..60_000_usize, 0..60_000_usize],
        [options(), options()],
        prop_oneof![Just(usize::MAX), 500..5000_usize],
        prop_oneof![Just(64 << 20), 60_000..300_000_usize],
    )
        .prop_map(
            |(seed, weather, connections, lengths, options, reads, memory)| Plan {
                seed,
                weather,
                connections,
                lengths,
                options,
                reads,
                memory,
            },
        )
}

proptest! {
    #![proptest_config(Config {
        cases: 40,
        rng_seed: RngSeed::Fixed(20_261_126),
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn every_byte_arrives_once_and_in_order(plan in plan()) {
        run(&plan);
    }
}

#[test]
fn many_at_once_through_a_bad_network() {
    let options = Options::default();
    run(&Plan {
        seed: 77,
        weather: Weather {
            loss: 20,
            repetition: 20,
            reordering: 100,
            corruption: 10,
            delay: 10,
        },
        connections: 150,
        lengths: [5000, 20_000],
        options: [options, options],
        reads: usize::MAX,
        memory: 64 << 20,
    });
}
