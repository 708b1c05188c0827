//! The Internet: the stack of `libs/tcpip`, its interfaces, and its sockets.
//!
//! One lock is around the stack. It is held while packets are made and read, never while the program's memory is touched
//! and never by interrupt handlers. What these tell is dealt with by whichever thread comes by next (`task::soon`), in
//! batches: many frames under one hold of the lock, each card told once of all that goes out, each socket once of all that
//! came in. A flood is handed over to the kernel's thread for deferred work, so that the program has its turn.

pub mod administration;
mod configure;
pub mod counts;
mod datagrams;
mod errors;
mod groups;
pub mod interfaces;
mod ip_options;
mod leave;
pub mod listing;
mod name;
pub mod packet;
pub mod raw;
pub mod socket;
mod stream_options;
mod streams;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::packet::membership;
use pith_network_settings::Settings;
use pith_sorted_map::SortedMap;
use pith_tcpip::stack::{self, Frame, Handle, Limits, Received};
use pith_tcpip::{Instant, Slice, Stack};
use spin::{Mutex, MutexGuard, Once};

use crate::arch;
use crate::devices::network::{self, Card};
use crate::memory::{self, Packet, PacketRoom};
use crate::net::netlink;
use crate::task::deferred::{self, Ticket, Work};
use crate::task::{self, Timer, TimerTarget, WaitError, WaitQueue, random, soon};

pub use leave::leave;
use packet::PacketSocket;
use socket::InternetSocket;
pub use socket::create;

/// What packets are in.
pub type Memory = Packet;

/// Most frames that are taken from a card at a time.
const BATCH: usize = 64;
/// How long programs wait for addresses, in nanoseconds.
const PATIENCE: u64 = 10 * pith_tcpip::time::SECOND;
/// Most interfaces: the loopback interface and cards.
const INTERFACES: usize = 1 + CARDS;
/// The number of the first card; others follow.
const FIRST_CARD: usize = 1;
/// Most cards.
const CARDS: usize = 8;

struct Network {
    stack: Mutex<Stack<Memory>>,
    /// The cards, by their interfaces.
    cards: [Once<Attached>; INTERFACES],
    sockets: Mutex<BTreeMap<u64, Weak<InternetSocket>>>,
    /// Those that see frames, whose numbers no other socket has.
    taps: Mutex<SortedMap<Handle, Weak<PacketSocket>>>,
    /// When the timer is set to fire.
    armed: Mutex<Option<Instant>>,
    timer: Timer,
    alarm: Arc<Alarm>,
    worker: Once<Arc<Worker>>,
    /// What each interface has carried.
    traffic: [Traffic; INTERFACES],
    /// What sockets of frames want of each interface.
    wanted_frames: [WantedFrames; INTERFACES],
    /// Addresses have been asked for, and programs that want sockets wait until they have come, but no longer than this.
    expected: Mutex<Option<task::Instant>>,
    /// Whether there is such a time.
    expecting: AtomicBool,
    waiting: WaitQueue,
    /// The stack's revision of interfaces, addresses and routes that was last seen.
    revision: AtomicU64,
}

/// A card, and room for a batch of frames of each of its pairs of queues, so that none need be allocated for each. Whoever
/// has the room deals with the pair: so frames of a pair stay in their order.
struct Attached {
    card: &'static Card,
    batches: Vec<Mutex<Vec<Received<Memory>>>>,
}

/// Which pairs of queues are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pairs {
    /// Those of this processor.
    Own,
    All,
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

/// How many want frames of an interface that are not for this machine.
#[derive(Default)]
struct WantedFrames {
    /// All.
    promiscuous: AtomicU32,
    /// Those to groups.
    all_groups: AtomicU32,
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
            while network.look(Pairs::All) {
                task::yield_now();
            }
        }
    }
}

/// What the timer tells.
struct Alarm;

impl TimerTarget for Alarm {
    fn expired(&self, _now: task::Instant) -> Option<task::Instant> {
        soon::want();
        None
    }
}

/// What the machine was told about its cards.
struct Told {
    command_line: &'static str,
    settings: Vec<Settings>,
}

static TOLD: Once<Told> = Once::new();
static CONFIGURED: Once<()> = Once::new();

/// Remembers what the machine was told about its cards, in the order in which the monitor names them. They are set up when
/// a program first wants to know of the network: those that never do don't wait for it.
pub fn initialise(command_line: &'static str, settings: Vec<Settings>) {
    TOLD.call_once(|| Told { command_line, settings });
}

/// The name servers that the machine was told of, and those that servers of DHCP and routers have told of, the preferred
/// one first; and the domains to look names up in.
pub fn name_servers() -> (Vec<IpAddr>, Vec<String>) {
    let settings = TOLD.get().map_or(&[][..], |told| &told.settings);
    let servers = settings.iter().flat_map(|settings| &settings.name_servers).copied();
    let domains = settings.iter().flat_map(|settings| &settings.search).cloned();
    let (mut servers, mut domains): (Vec<IpAddr>, Vec<String>) = (servers.collect(), domains.collect());
    let automatic = settings.iter().any(|settings| settings.dhcp || settings.slaac);
    if automatic {
        let stack = configured_network().stack.lock();
        servers.extend(stack.name_servers(now()));
        let leases = (0..stack.interfaces().len()).filter_map(|interface| stack.lease(interface));
        let learned = leases.filter_map(|lease| lease.domain.as_deref());
        domains.extend(learned.map(|domain| String::from_utf8_lossy(domain).into_owned()));
    }
    (servers, domains)
}

/// Sets the cards up. What is not there, or can't be used, is told of.
fn configure(network: &'static Network, told: &Told) {
    let cards = network::find(told.command_line, arrived, &mut |index, failure| {
        crate::warning!("network card {index} can't be used: {failure}");
    });
    let mut free: Vec<&'static Card> = cards.iter().collect();
    for settings in &told.settings {
        let meant = |card: &&'static Card| settings.hardware.is_none_or(|hardware| hardware == card.hardware());
        let Some(place) = free.iter().position(meant) else {
            crate::warning!("there is no network card for the settings `{settings}`");
            continue;
        };
        let card = free.remove(place);
        match card.start() {
            Ok(()) => network.add_card(card, settings),
            Err(failure) => crate::warning!("a network card can't be used: {failure}"),
        }
    }
    if told.settings.iter().any(|settings| settings.dhcp || settings.slaac) {
        network.expect(Some(task::monotonic().after(PATIENCE)));
    }
}

/// The network, with the addresses that were asked for, or without them if they do not come in time: as on other systems,
/// where programs start when the network is there.
fn configured_network() -> &'static Network {
    let network = network();
    let expected = *network.expected.lock();
    if expected.is_some() {
        let come = || network.stack.lock().is_configured().then_some(());
        let result = network.waiting.wait_until(expected, come);
        if result == Err(WaitError::TimedOut) && network.expect(None).is_some() {
            crate::warning!("no address has come by DHCP or from a router; the program goes on without");
        }
        if result.is_ok() {
            network.expect(None);
        }
    }
    network
}

/// An interrupt says that frames may have come for a processor.
fn arrived(processor: usize) {
    soon::want_on(processor);
}

/// What [`soon`] calls.
fn look() {
    if let Some(network) = NETWORK.get()
        && network.look(Pairs::Own)
    {
        network.look_later();
    }
}

/// The network. A machine that was given none has the interface by which it talks to itself.
fn network() -> &'static Network {
    let network = NETWORK.call_once(Network::new);
    if let Some(told) = TOLD.get() {
        CONFIGURED.call_once(|| configure(network, told));
    }
    network
}

/// The own address for answers to a packet that came to an address by an interface, counted from 1.
fn own_address(interface: u32, to: Ipv4Addr) -> Ipv4Addr {
    let stack = network().stack.lock();
    if !to.is_multicast() && !stack.is_broadcast(to.into()) {
        return to;
    }
    let interface = stack.interfaces().get(interface as usize - 1);
    interface.and_then(stack::Interface::own_v4).unwrap_or(to)
}

fn now() -> Instant {
    Instant(task::monotonic().0)
}

impl Network {
    fn new() -> Self {
        soon::set_work(look);
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
            wanted_frames: core::array::from_fn(|_| WantedFrames::default()),
            cards: [const { Once::new() }; INTERFACES],
            stack: Mutex::new(stack),
            sockets: Mutex::new(BTreeMap::new()),
            taps: Mutex::new(SortedMap::new()),
            armed: Mutex::new(None),
            timer: Timer::new(),
            alarm: Arc::new(Alarm),
            worker: Once::new(),
            expected: Mutex::new(None),
            expecting: AtomicBool::new(false),
            waiting: WaitQueue::new(),
            revision: AtomicU64::new(0),
        }
    }

    /// Adds a card that works.
    fn add_card(&self, card: &'static Card, settings: &Settings) {
        self.with(|stack, now| {
            if stack.interfaces().len() < INTERFACES {
                // Frames may leave before this is done.
                self.cards[stack.interfaces().len()].call_once(|| Attached {
                    card,
                    batches: (0..card.pairs().0).map(|_| Mutex::new(Vec::new())).collect(),
                });
                configure::add_card(stack, card, settings, now);
            } else {
                crate::warning!("more than {CARDS} network cards: one is not used");
            }
        });
    }

    /// Lets programs that want sockets wait for addresses until then. Returns what held before.
    fn expect(&self, until: Option<task::Instant>) -> Option<task::Instant> {
        let mut expected = self.expected.lock();
        self.expecting.store(until.is_some(), Ordering::Relaxed);
        core::mem::replace(&mut *expected, until)
    }

    /// The sockets that programs have open.
    fn all_sockets(&self) -> Vec<Arc<InternetSocket>> {
        self.sockets.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// A socket of frames wants more of an interface (counted from 1) than what is for this machine, or wants it no more.
    /// `kind` is one of [`membership`]. Cards let everything through anyway as long as nobody tells them what not to.
    fn want_frames(&self, interface: u32, kind: u16, wants: bool) {
        let Some(wanted) = self.wanted_frames.get(interface as usize - 1) else {
            return;
        };
        let count = match kind {
            // One more address than the card has may need all.
            membership::PROMISCUOUS | membership::UNICAST => &wanted.promiscuous,
            _ => &wanted.all_groups,
        };
        match wants {
            true => count.fetch_add(1, Ordering::Relaxed),
            false => count.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// Starts the thread that deals with floods.
    fn start(&self) -> Result<(), Errno> {
        if self.worker.get().is_none() {
            let ticket = Ticket::new()?;
            self.worker.call_once(|| Arc::new(Worker { ticket }));
        }
        Ok(())
    }

    fn look_later(&self) {
        match self.worker.get() {
            Some(worker) => deferred::defer(worker.clone()),
            // No program has a socket yet.
            None => soon::want(),
        }
    }

    /// The card of an interface, if it has one.
    fn card(&self, interface: usize) -> Option<&'static Card> {
        self.cards[interface].get().map(|attached| attached.card)
    }

    /// Deals with a batch of frames from each card, and with what time has brought. True if there may be more frames.
    fn look(&self, pairs: Pairs) -> bool {
        let processor = arch::cpu_index();
        let mut more = false;
        let mut any = false;
        let mut changed = false;
        for (index, attached) in self.cards[FIRST_CARD..].iter().map_while(Once::get).enumerate() {
            let interface = FIRST_CARD + index;
            changed |= attached.card.take_changed();
            let meant = match pairs {
                Pairs::Own => match attached.card.pair_of(processor) {
                    Some(pair) => pair..pair + 1,
                    None => continue,
                },
                Pairs::All => 0..attached.batches.len(),
            };
            for pair in meant {
                let count = self.look_at(interface, attached, pair);
                more |= count >= BATCH;
                any |= count != 0;
            }
        }
        if changed {
            // Perhaps whether there is a signal.
            netlink::changed();
        }
        if !any {
            // It was the timer.
            self.with(|_, _| ());
        }
        more
    }

    /// Deals with a batch of frames that have come by a pair of queues. Returns how many there were.
    fn look_at(&self, interface: usize, attached: &Attached, pair: usize) -> usize {
        let Some(batch) = attached.batches.get(pair) else {
            return 0;
        };
        let mut batch = batch.lock();
        let count = attached.card.poll(pair, BATCH, &mut batch);
        if batch.is_empty() {
            return 0;
        }
        let traffic = &self.traffic[interface];
        self.with(|stack, now| {
            for frame in batch.drain(..) {
                traffic.received(frame.bytes.length());
                // What makes no sense is thrown away.
                let _ = stack.receive(interface, frame, now);
            }
        });
        count
    }

    /// Does something with the stack; sends what comes of it, and tells the sockets.
    fn with<T>(&self, action: impl FnOnce(&mut Stack<Memory>, Instant) -> T) -> T {
        let now = now();
        let mut stack = self.stack.lock();
        if stack.deadline().is_some_and(|at| at <= now) {
            stack.expire(now);
        }
        stack.set_caller(arch::cpu_index() as u16);
        let result = action(&mut stack, now);
        let changed = stack.revision() != self.revision.load(Ordering::Relaxed);
        if stack.has_output() || changed || self.expecting.load(Ordering::Relaxed) {
            self.carry(stack, now);
        } else {
            // Most calls bring nothing forth.
            let deadline = stack.deadline();
            drop(stack);
            self.arm(deadline, now);
        }
        result
    }

    /// Takes what the stack has for cards and sockets, and tells them without its lock.
    #[inline(never)]
    fn carry(&self, mut stack: MutexGuard<'_, Stack<Memory>>, now: Instant) {
        let mut outcome = Outcome::default();
        stack.send_frames(now, |stack, frame| {
            let (interface, length) = (frame.interface, frame.length());
            let traffic = &self.traffic[interface];
            traffic.sent(length);
            if let Some(card) = self.card(interface) {
                outcome.used_pairs |= 1 << card.send(frame);
                outcome.used_cards |= 1 << interface;
                return;
            }
            traffic.received(length);
            if !stack.loop_back(frame, now)
                && let Some(whole) = whole(frame)
            {
                let whole = Received {
                    bytes: Slice::new(whole).into(),
                    verified: true,
                };
                let _ = stack.receive(interface, whole, now);
            }
        });
        while let Some(event) = stack.take_event() {
            outcome.add(event);
        }
        outcome.deadline = stack.deadline();
        outcome.revision = stack.revision();
        outcome.configured = self.expecting.load(Ordering::Relaxed) && stack.is_configured();
        drop(stack);
        self.finish(&outcome, now);
    }

    /// Tells cards and sockets, without the lock of the stack.
    #[inline(never)]
    fn finish(&self, outcome: &Outcome, now: Instant) {
        let mut used = outcome.used_cards;
        while used != 0 {
            if let Some(card) = self.card(used.trailing_zeros() as usize) {
                card.tell(outcome.used_pairs);
            }
            used &= used - 1;
        }
        self.arm(outcome.deadline, now);
        if outcome.configured {
            self.waiting.wake_all();
        }
        if self.revision.swap(outcome.revision, Ordering::Relaxed) != outcome.revision {
            netlink::changed();
        }
        for handle in outcome.events() {
            let socket = self.sockets.lock().get(&u64::from(*handle)).and_then(Weak::upgrade);
            if let Some(socket) = socket {
                socket.changed();
            } else if let Some(socket) = self.tap(*handle) {
                socket.changed();
            }
        }
    }

    fn tap(&self, handle: Handle) -> Option<Arc<PacketSocket>> {
        self.taps.lock().get(&handle).and_then(Weak::upgrade)
    }

    /// Sets the timer, unless it fires early enough already.
    fn arm(&self, deadline: Option<Instant>, now: Instant) {
        let Some(deadline) = deadline else { return };
        let mut armed = self.armed.lock();
        if armed.is_none_or(|at| at <= now || at > deadline) {
            *armed = Some(deadline);
            let target: Weak<dyn TimerTarget> = Arc::<Alarm>::downgrade(&self.alarm);
            self.timer.arm(task::Instant(deadline.0.max(now.0 + 1)), target);
        }
    }
}

/// Sockets for which nothing is allocated.
const FEW: usize = 8;

/// What is to be done after the stack was used.
#[derive(Default)]
struct Outcome {
    /// Sockets whose readiness may have changed: the first of them, how many these are, and the others.
    few: [Handle; FEW],
    count: usize,
    others: Vec<Handle>,
    /// Cards that frames were given to: bit n for interface n.
    used_cards: u32,
    /// And by which of their pairs of queues.
    used_pairs: u64,
    /// When the stack wants to be looked at.
    deadline: Option<Instant>,
    /// All addresses are there that were asked for.
    configured: bool,
    /// That of interfaces, addresses and routes.
    revision: u64,
}

impl Outcome {
    fn events(&self) -> impl Iterator<Item = &Handle> {
        self.few[..self.count].iter().chain(&self.others)
    }

    fn add(&mut self, event: Handle) {
        if self.events().any(|other| *other == event) {
            return;
        }
        match self.few.get_mut(self.count) {
            Some(place) => {
                *place = event;
                self.count += 1;
            }
            None => self.others.push(event),
        }
    }
}

/// A copy of a frame in one piece. `None` without memory.
fn whole(frame: &Frame<Memory>) -> Option<Memory> {
    let length = frame.length();
    let mut room = PacketRoom::new(length)?;
    let mut end = frame.headers.len();
    room.bytes_mut()[..end].copy_from_slice(&frame.headers);
    for piece in frame.payload.iter() {
        room.bytes_mut()[end..end + piece.len()].copy_from_slice(piece);
        end += piece.len();
    }
    Some(room.filled(length))
}
