//! The Internet: the stack of `libs/tcpip`, its interfaces, and its sockets.
//!
//! One lock is around the stack. It is held while packets are made and read, never while the program's memory is touched
//! and never by interrupt handlers: these leave the work to the kernel's thread for it.

mod configure;
pub mod interfaces;
mod name;
mod socket;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::Errno;
use pith_network_settings::Settings;
use pith_tcpip::stack::{Handle, Limits, Received};
use pith_tcpip::{Instant, Slice, Stack};
use spin::{Mutex, Once};

use crate::devices::network;
use crate::memory;
use crate::task::deferred::{self, Ticket, Work};
use crate::task::{self, Timer, TimerTarget, random};

use socket::InternetSocket;
pub use socket::create;

/// What packets are in.
pub type Memory = Arc<Vec<u8>>;

/// Frames that are taken from the card at a time.
const BATCH: usize = 32;
/// Most interfaces: the loopback interface and cards.
const INTERFACES: usize = 1 + CARDS;
/// Most cards.
const CARDS: usize = 8;
/// The card.
const CARD: usize = 1;

struct Network {
    stack: Mutex<Stack<Memory>>,
    sockets: Mutex<BTreeMap<Handle, Weak<InternetSocket>>>,
    /// When the timer is set to fire.
    armed: Mutex<Option<Instant>>,
    timer: Timer,
    worker: Once<Arc<Worker>>,
    /// What each interface has carried.
    traffic: [Traffic; INTERFACES],
}

/// What an interface has carried.
#[derive(Default)]
struct Traffic {
    received_packets: AtomicU64,
    received_bytes: AtomicU64,
    sent_packets: AtomicU64,
    sent_bytes: AtomicU64,
}

impl Traffic {
    fn received(&self, bytes: usize) {
        self.received_packets.fetch_add(1, Ordering::Relaxed);
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn sent(&self, bytes: usize) {
        self.sent_packets.fetch_add(1, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

static NETWORK: Once<Network> = Once::new();

struct Worker {
    ticket: Ticket,
}

impl Work for Worker {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    fn work(&self) {
        if let Some(network) = NETWORK.get() {
            network.receive_all();
        }
    }
}

impl TimerTarget for Worker {
    fn expired(&self, _now: task::Instant) -> Option<task::Instant> {
        if let Some(network) = NETWORK.get() {
            network.look_later();
        }
        None
    }
}

/// Sets the cards up, by the settings of each in the order in which the monitor names them.
///
/// # Errors
/// Why the card can't be used.
pub fn initialise(command_line: &str, interfaces: &[Settings]) -> Result<(), Box<dyn core::fmt::Display>> {
    let settings = &interfaces[0];
    if interfaces.len() > 1 {
        crate::warning!("only the first of {} network cards is used", interfaces.len());
    }
    let hardware = network::initialise(command_line, arrived)
        .map_err(|failure| -> Box<dyn core::fmt::Display> { Box::new(failure) })?;
    self::network().with(|stack, now| configure::add_card(stack, hardware, settings, now));
    Ok(())
}

/// An interrupt says that frames may have come.
fn arrived() {
    if let Some(network) = NETWORK.get() {
        network.look_later();
    }
}

/// The network. A machine that was given none has the interface by which it talks to itself.
fn network() -> &'static Network {
    NETWORK.call_once(Network::new)
}

fn now() -> Instant {
    Instant(task::monotonic().0)
}

impl Network {
    fn new() -> Self {
        let mut secret = [0; 16];
        random::fill(&mut secret);
        let [low, high] = [0, 8].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&secret[at..at + 8]);
            u64::from_le_bytes(word)
        });
        let mut stack = Stack::new([low, high]);
        let memory = memory::counters().total as usize;
        stack.set_limits(Limits::for_memory(memory));
        Self {
            traffic: core::array::from_fn(|_| Traffic::default()),
            stack: Mutex::new(stack),
            sockets: Mutex::new(BTreeMap::new()),
            armed: Mutex::new(None),
            timer: Timer::new(),
            worker: Once::new(),
        }
    }

    /// Starts the thread that deals with what interrupts tell.
    fn start(&self) -> Result<(), Errno> {
        if self.worker.get().is_none() {
            let ticket = Ticket::new()?;
            self.worker.call_once(|| Arc::new(Worker { ticket }));
            self.look_later();
        }
        Ok(())
    }

    fn look_later(&self) {
        if let Some(worker) = self.worker.get() {
            deferred::defer(worker.clone());
        }
    }

    /// Takes what the card has.
    fn receive_all(&self) {
        loop {
            let mut frames: Vec<Memory> = Vec::new();
            let count = network::receive(BATCH, &mut |frame| frames.push(Arc::new(Vec::from(frame))));
            self.with(|stack, now| {
                for frame in frames {
                    self.traffic[CARD].received(frame.len());
                    // What makes no sense is thrown away.
                    let _ = stack.receive(CARD, Slice::new(frame), now);
                }
            });
            if count == 0 {
                return;
            }
        }
    }

    /// Does something with the stack; sends what comes of it, and tells the sockets.
    fn with<T>(&self, action: impl FnOnce(&mut Stack<Memory>, Instant) -> T) -> T {
        let now = now();
        let mut events = Vec::new();
        let (result, deadline) = {
            let mut stack = self.stack.lock();
            if stack.deadline().is_some_and(|at| at <= now) {
                stack.expire(now);
            }
            let result = action(&mut stack, now);
            while let Some(frame) = stack.take_frame() {
                let length = frame.headers.len() + frame.payload.iter().map(|piece| piece.len()).sum::<usize>();
                self.traffic[frame.interface].sent(length);
                if frame.interface == CARD {
                    let pieces = frame.payload.iter().map(|piece| &**piece);
                    network::send(core::iter::once(&frame.headers[..]).chain(pieces));
                    continue;
                }
                let interface = frame.interface;
                self.traffic[interface].received(length);
                if let Some(frame) = stack.loop_back(frame, now) {
                    let whole = Received {
                        bytes: Slice::new(Arc::new(frame.to_vec())).into(),
                        verified: true,
                    };
                    let _ = stack.receive(interface, whole, now);
                }
            }
            while let Some(event) = stack.take_event() {
                if events.last() != Some(&event) {
                    events.push(event);
                }
            }
            (result, stack.deadline())
        };
        self.arm(deadline, now);
        for handle in events {
            let socket = self.sockets.lock().get(&handle).and_then(Weak::upgrade);
            if let Some(socket) = socket {
                socket.changed();
            }
        }
        result
    }

    /// Sets the timer, unless it fires early enough already.
    fn arm(&self, deadline: Option<Instant>, now: Instant) {
        let (Some(deadline), Some(worker)) = (deadline, self.worker.get()) else {
            return;
        };
        let mut armed = self.armed.lock();
        if armed.is_none_or(|at| at <= now || at > deadline) {
            *armed = Some(deadline);
            let target: Weak<dyn TimerTarget> = Arc::<Worker>::downgrade(worker);
            self.timer.arm(task::Instant(deadline.0.max(now.0 + 1)), target);
        }
    }
}
