//! Two machines on one wire.

use core::net::{Ipv4Addr, SocketAddr};

use pith_tcpip::stack::{Handle, Offload, Reach, Received};
use pith_tcpip::tcp::{Options, State};
use pith_tcpip::wire::ethernet::HardwareAddress;
use pith_tcpip::{Instant, Slice, Stack};

use super::{Memory, card, slice};

pub const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];

pub fn machine(index: u8, offload: Offload) -> Stack<Memory> {
    let mut stack = Stack::new([7 + u64::from(index), 9]);
    let now = Instant(1_000_000_000);
    let hardware = HardwareAddress([2, 0, 0, 0, 0, index]);
    let card = stack.add_card(hardware, 1500, offload, now);
    stack.add_address(card, ADDRESSES[usize::from(index)].into(), 24, now);
    stack
}

pub struct Wire {
    pub machines: [Stack<Memory>; 2],
    pub now: Instant,
    /// The cards put segments together again, in buffers of so many bytes.
    puts_together: Option<usize>,
    /// Segments that were cut.
    pub cut: usize,
}

impl Wire {
    pub fn new() -> Self {
        Self::with_cards(Offload::default(), None)
    }

    pub fn with_cards(offload: Offload, puts_together: Option<usize>) -> Self {
        Self {
            machines: [machine(0, offload), machine(1, offload)],
            now: Instant(1_000_000_000),
            puts_together,
            cut: 0,
        }
    }

    /// Carries all frames until there are none.
    pub fn settle(&mut self) {
        loop {
            let mut any = false;
            for index in 0..2 {
                while let Some(mut frame) = self.machines[index].take_frame() {
                    any = true;
                    let interface = frame.interface;
                    if interface == 0 {
                        if self.machines[index].loop_back(&mut frame, self.now) {
                            continue;
                        }
                        let whole = Received {
                            bytes: slice(&frame.to_vec()).into(),
                            verified: true,
                        };
                        let result = self.machines[index].receive(0, whole, self.now);
                        assert_eq!(result, Ok(()));
                        continue;
                    }
                    let frames = card::to_wire(&frame);
                    let receiver = &mut self.machines[1 - index];
                    self.cut += usize::from(frames.len() > 1);
                    if let (Some(room), true) = (self.puts_together, frames.len() > 1) {
                        let whole = card::put_together(&frames, room);
                        assert_eq!(receiver.receive(interface, whole, self.now), Ok(()));
                        continue;
                    }
                    for bytes in frames {
                        assert!(bytes.len() <= 1514);
                        let result = receiver.receive(interface, slice(&bytes), self.now);
                        assert_eq!(result, Ok(()));
                    }
                }
            }
            if !any {
                return;
            }
        }
    }

    /// Lets time pass until nothing is due for the given number of nanoseconds.
    pub fn pass(&mut self, nanoseconds: u64) {
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

    pub fn listen(&mut self, index: usize, port: u16, backlog: usize) -> Handle {
        let handle = self.machines[index].tcp_open(Reach::V4, Options::default());
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        self.machines[index]
            .bind(handle, address, false)
            .expect("free");
        self.machines[index]
            .tcp_listen(handle, backlog)
            .expect("new");
        handle
    }

    pub fn connect(&mut self, index: usize, to: SocketAddr) -> Handle {
        let handle = self.machines[index].tcp_open(Reach::V4, Options::default());
        let now = self.now;
        self.machines[index]
            .tcp_connect(handle, to, now)
            .expect("a way there");
        self.settle();
        handle
    }

    pub fn state(&self, index: usize, handle: Handle) -> Option<State> {
        self.machines[index]
            .connection(handle)
            .map(|connection| connection.state())
    }

    pub fn send(&mut self, index: usize, handle: Handle, bytes: &[u8]) {
        let now = self.now;
        let sent = self.machines[index]
            .with_connection(handle, now, |connection| connection.send(slice(bytes)));
        assert!(sent.is_some());
        self.settle();
    }

    pub fn received(&mut self, index: usize, handle: Handle) -> Vec<u8> {
        let now = self.now;
        self.machines[index]
            .with_connection(handle, now, |connection| {
                let bytes: Vec<u8> = connection
                    .data()
                    .flat_map(|part: Slice<Memory>| part.to_vec())
                    .collect();
                connection.consume(bytes.len());
                bytes
            })
            .expect("connected")
    }
}
