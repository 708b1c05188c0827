//! The engine and Linux's own TCP, over a TAP device, with a network in between that loses, delays and reorders.
//!
//! Linux's side is `linux/peer.py`, in a network namespace of its own (`unshare --net`, which needs no privilege where user
//! namespaces are allowed). What a bad network does is done here, since not every kernel has `netem`.

mod common;

use core::net::{IpAddr, SocketAddr};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant as Clock};

use common::{Memory, Random, slice};
use pith_tcpip::stack::{Handle, Offload, Reach};
use pith_tcpip::tcp::{Algorithm, Options};
use pith_tcpip::time::MILLISECOND;
use pith_tcpip::wire::ethernet::HardwareAddress;
use pith_tcpip::{Instant, Slice, Stack};

/// What the network does to frames, in a thousand, and to both directions alike.
#[derive(Clone, Copy, Debug)]
struct Weather {
    loss: u64,
    reordering: u64,
    /// One way, in milliseconds.
    delay: u64,
}

struct Linux {
    process: Child,
    commands: ChildStdin,
    results: BufReader<ChildStdout>,
    frames: UnixDatagram,
    directory: std::path::PathBuf,
}

impl Linux {
    fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("pith-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let (theirs, ours) = (directory.join("linux"), directory.join("engine"));
        let frames = UnixDatagram::bind(&ours).expect("a socket");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/linux/peer.py");
        let mut process = Command::new("unshare")
            .args(["--map-root-user", "--net", "python3", script])
            .args([&theirs, &ours])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux and python3 are there");
        let commands = process.stdin.take().expect("piped");
        let results = BufReader::new(process.stdout.take().expect("piped"));
        let mut linux = Self {
            process,
            commands,
            results,
            frames,
            directory,
        };
        assert_eq!(linux.result(), "ready");
        linux.frames.connect(theirs).expect("its socket is there");
        linux.frames.set_nonblocking(true).expect("possible");
        linux
    }

    fn command(&mut self, text: &str) {
        writeln!(self.commands, "{text}").expect("it runs");
    }

    fn result(&mut self) -> String {
        let mut line = String::new();
        self.results.read_line(&mut line).expect("it runs");
        line.trim().to_owned()
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        // It has nothing to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Frames on their way, by when they arrive.
type Way = BinaryHeap<Reverse<(u64, u64, Vec<u8>)>>;

struct Bridge {
    linux: Linux,
    stack: Stack<Memory>,
    weather: Weather,
    random: Random,
    start: Clock,
    ways: [Way; 2],
    count: u64,
}

impl Bridge {
    fn new(name: &str, weather: Weather) -> Self {
        let mut stack = Stack::new([3, 5]);
        let now = Instant(1_000_000_000);
        let hardware = HardwareAddress([2, 0, 0, 0, 0, 1]);
        let card = stack.add_card(hardware, 1500, Offload::default(), now);
        stack.add_address(card, [10, 0, 0, 1].into(), 24, now);
        stack.add_address(card, "fd00::1".parse().expect("an address"), 64, now);
        Self {
            linux: Linux::start(name),
            stack,
            weather,
            random: Random(0x1234_5678_9abc_def1),
            start: Clock::now(),
            ways: [Way::new(), Way::new()],
            count: 0,
        }
    }

    fn now(&self) -> Instant {
        Instant(1_000_000_000 + self.start.elapsed().as_nanos() as u64)
    }

    /// Puts a frame on its way, unless it is lost.
    fn carry(&mut self, way: usize, frame: Vec<u8>) {
        // Neighbours have to find each other: what is tested is TCP.
        let is_tcp = frame[12..].starts_with(&[8, 0]) && frame[23] == 6
            || frame[12..].starts_with(&[0x86, 0xdd]) && frame[20] == 6;
        let mut at = self.now().0;
        if is_tcp {
            if self.random.happens(self.weather.loss) {
                return;
            }
            at += self.weather.delay * MILLISECOND;
            if self.random.happens(self.weather.reordering) {
                at += self.random.next() % (8 * MILLISECOND);
            }
        }
        self.count += 1;
        self.ways[way].push(Reverse((at, self.count, frame)));
    }

    /// Moves what is to be moved now.
    fn turn(&mut self) {
        let now = self.now();
        if self.stack.deadline().is_some_and(|at| at <= now) {
            self.stack.expire(now);
        }
        let mut buffer = vec![0; 65_536];
        while let Ok(length) = self.linux.frames.recv(&mut buffer) {
            self.carry(0, buffer[..length].to_vec());
        }
        while let Some(frame) = self.stack.take_frame() {
            self.carry(1, frame.to_vec());
        }
        let due = |way: &mut Way| match way.peek() {
            Some(Reverse((at, ..))) if *at <= now.0 => way.pop().map(|Reverse((.., frame))| frame),
            _ => None,
        };
        while let Some(frame) = due(&mut self.ways[0]) {
            let _ = self.stack.receive(1, slice(&frame), now);
        }
        while let Some(frame) = due(&mut self.ways[1]) {
            if self.linux.frames.send(&frame).is_err() {
                // It is full: later.
                self.ways[1].push(Reverse((now.0, 0, frame)));
                break;
            }
        }
        while self.stack.take_event().is_some() {}
        std::thread::sleep(Duration::from_micros(100));
    }

    /// Exchanges so many bytes each way by a connection, and checks them.
    fn exchange(&mut self, handle: Handle, length: usize) {
        let block: Vec<u8> = (0..65_521_u32)
            .map(|index| (index * 31 + (index >> 8) * 7) as u8)
            .collect();
        let (mut sent, mut received) = (0, 0);
        let begin = Clock::now();
        loop {
            self.turn();
            let now = self.now();
            let done = self.stack.with_connection(handle, now, |connection| {
                assert_eq!(
                    connection.ending(),
                    None,
                    "after {sent} and {received} bytes"
                );
                while sent < length && connection.can_send() && connection.free() >= 16_384 {
                    let start = sent % block.len();
                    let end = block.len().min(start + 16_384).min(start + length - sent);
                    connection.send(slice(&block[start..end]));
                    sent += end - start;
                }
                if sent == length && connection.can_send() {
                    connection.shut_down();
                }
                let data: Vec<Slice<Memory>> = connection.data().collect();
                for piece in data {
                    for byte in piece.iter() {
                        assert_eq!(*byte, block[received % block.len()], "byte {received}");
                        received += 1;
                    }
                    connection.consume(piece.len());
                }
                connection.is_at_end() && connection.unacknowledged() == 0 && sent == length
            });
            if done == Some(true) {
                break;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(240),
                "only {sent} and {received} bytes: {:#?}",
                self.stack
                    .connection(handle)
                    .map(|end| end.information(now)),
            );
        }
        let now = self.now();
        println!(
            "{length} bytes each way in {:?}: {:?}",
            begin.elapsed(),
            self.stack
                .connection(handle)
                .map(|end| end.information(now))
        );
        self.stack.close(handle, now);
        assert_eq!(received, length);
        // Let the last acknowledgements arrive.
        for _ in 0..2000 {
            self.turn();
        }
        assert_eq!(self.linux.result(), format!("received {length}"));
    }

    /// The engine asks Linux.
    fn ask(&mut self, server: IpAddr, options: Options, length: usize) {
        self.linux.command(&format!("accept {server} {length}"));
        let handle = self.stack.tcp_open(Reach::Both, options);
        let now = self.now();
        let asked = self
            .stack
            .tcp_connect(handle, SocketAddr::new(server, 80), now);
        asked.expect("a way there");
        self.exchange(handle, length);
    }

    /// Linux asks the engine.
    fn answer(&mut self, own: IpAddr, port: u16, length: usize) {
        let listener = self.stack.tcp_open(Reach::Both, Options::default());
        let bound = self.stack.bind(listener, SocketAddr::new(own, port), false);
        bound.expect("free");
        self.stack.tcp_listen(listener, 5).expect("free");
        self.linux
            .command(&format!("connect {own} {port} {length}"));
        let begin = Clock::now();
        let handle = loop {
            self.turn();
            if let Some(handle) = self.stack.tcp_accept(listener).expect("listens") {
                break handle;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "nobody comes");
        };
        self.exchange(handle, length);
        let now = self.now();
        self.stack.close(listener, now);
    }
}

const V4: [u8; 4] = [10, 0, 0, 2];
const OWN: [u8; 4] = [10, 0, 0, 1];
const MEGABYTES: usize = 1 << 20;

#[test]
fn on_a_good_network() {
    let weather = Weather {
        loss: 0,
        reordering: 0,
        delay: 0,
    };
    let mut bridge = Bridge::new("good", weather);
    bridge.ask(V4.into(), Options::default(), 10 * MEGABYTES);
    bridge.answer(OWN.into(), 81, 10 * MEGABYTES);
    let v6 = |text: &str| text.parse::<IpAddr>().expect("an address");
    bridge.ask(v6("fd00::2"), Options::default(), 2 * MEGABYTES);
    bridge.answer(v6("fd00::1"), 82, 2 * MEGABYTES);
    bridge.linux.command("refused 10.0.0.1 99");
    for _ in 0..1000 {
        bridge.turn();
    }
    assert_eq!(bridge.linux.result(), "refused");
}

#[test]
fn with_loss_delay_and_reordering() {
    let weather = Weather {
        loss: 10,
        reordering: 20,
        delay: 20,
    };
    let mut bridge = Bridge::new("bad", weather);
    bridge.ask(V4.into(), Options::default(), 5 * MEGABYTES);
    bridge.answer(OWN.into(), 81, MEGABYTES);
}

#[test]
fn with_more_loss() {
    let weather = Weather {
        loss: 30,
        reordering: 0,
        delay: 5,
    };
    let mut bridge = Bridge::new("worse", weather);
    bridge.ask(V4.into(), Options::default(), 3 * MEGABYTES);
    let reno = Options {
        algorithm: Algorithm::Reno,
        ..Options::default()
    };
    bridge.ask(V4.into(), reno, MEGABYTES);
    bridge.answer(OWN.into(), 81, MEGABYTES);
}

#[test]
fn what_linux_does_not_offer_is_not_used() {
    let weather = Weather {
        loss: 10,
        reordering: 0,
        delay: 5,
    };
    let mut bridge = Bridge::new("old", weather);
    bridge.linux.command("plain");
    bridge.ask(V4.into(), Options::default(), 2 * MEGABYTES);
    bridge.answer(OWN.into(), 81, 2 * MEGABYTES);
}
