//! The machine's network cards.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_tcpip::stack::{Frame, Offload, Received};
use spin::{Mutex, Once};

use super::interrupts::Handler;
use super::virtio::Failure;
pub use super::virtio::network::PairCounts;
use super::virtio::network::{Found, Source, VirtioNetwork};
use crate::arch;
use crate::memory::Packet;

/// Most cards that are looked for.
const MOST: usize = 16;

static CARDS: Once<Cards> = Once::new();

struct Cards {
    list: Vec<Card>,
    /// Called by interrupt handlers when a processor has to look at what has come.
    arrived: fn(usize),
}

/// A network card.
pub struct Card {
    index: usize,
    hardware: [u8; 6],
    mtu: Option<u16>,
    offload: Offload,
    /// Before it was started.
    found: Mutex<Option<Found>>,
    started: Once<VirtioNetwork>,
    /// Of which of its first 64 pairs of queues it was told that they are of no use any more: bit n for pair n.
    told: AtomicU64,
}

/// How long to wait for processors that were started and have not come up yet, in seconds: each is to have queues. A
/// processor comes within a few milliseconds, unless the host is busy.
const PATIENCE: u64 = 1;

/// Finds the machine's cards, once. `arrived` is called by interrupt handlers with the processor that has to look at what
/// has come. Each card that can't be used is told to `failed`.
pub fn find(command_line: &str, arrived: fn(usize), failed: &mut dyn FnMut(usize, Failure)) -> &'static [Card] {
    let cards = CARDS.call_once(|| {
        let mut list = Vec::new();
        for index in 0..MOST {
            match Found::new(command_line, index) {
                Ok(found) => list.push(Card {
                    index: list.len(),
                    hardware: found.hardware,
                    mtu: found.mtu,
                    offload: found.offload(),
                    found: Mutex::new(Some(found)),
                    started: Once::new(),
                    told: AtomicU64::new(0),
                }),
                Err(Failure::Absent) => break,
                Err(failure) => failed(index, failure),
            }
        }
        Cards { list, arrived }
    });
    &cards.list
}

/// The processors that have come up, in the order of their numbers, after some patience with those that have not.
fn processors() -> Vec<usize> {
    let expected = arch::expected_processors();
    let present = || arch::all_processors();
    if (present().count_ones() as usize) < expected {
        let patience = arch::frequencies().counter.saturating_mul(PATIENCE);
        let start = arch::read_time_stamp_counter();
        while (present().count_ones() as usize) < expected
            && arch::read_time_stamp_counter().saturating_sub(start) < patience
        {
            core::hint::spin_loop();
        }
    }
    let present = present();
    (0..arch::MAXIMUM_CPUS).filter(|cpu| present >> cpu & 1 != 0).collect()
}

/// The argument of a handler: the card's number, and what the interrupt is for.
const fn argument(index: usize, source: Source) -> usize {
    let source = match source {
        Source::Any => ANY,
        Source::Changed => CHANGED,
        Source::Queue(queue) => queue as usize,
    };
    index << 32 | source
}

/// Beyond the numbers of queues.
const ANY: usize = 0x1_0000;
const CHANGED: usize = 0x1_0001;

const fn meaning(argument: usize) -> (usize, Source) {
    let source = match argument & 0xffff_ffff {
        ANY => Source::Any,
        CHANGED => Source::Changed,
        queue => Source::Queue(queue as u16),
    };
    (argument >> 32, source)
}

fn interrupt(argument: usize) {
    let Some(cards) = CARDS.get() else { return };
    let (index, source) = meaning(argument);
    if let Some(card) = cards.list.get(index).and_then(|card| card.started.get()) {
        card.interrupt(source, cards.arrived);
    }
}

/// As Linux's driver names its interrupts.
fn describe(argument: usize, text: &mut dyn fmt::Write) -> fmt::Result {
    let (index, source) = meaning(argument);
    match source {
        Source::Any => write!(text, "eth{index}"),
        Source::Changed => write!(text, "eth{index}-config"),
        Source::Queue(queue) => {
            let way = if queue % 2 == 0 { "input" } else { "output" };
            write!(text, "eth{index}-{way}.{}", queue / 2)
        }
    }
}

impl Card {
    /// Its address.
    pub fn hardware(&self) -> [u8; 6] {
        self.hardware
    }

    /// Most bytes of a packet, if it says so.
    pub fn mtu(&self) -> Option<u16> {
        self.mtu
    }

    /// What it does by itself with frames that are to be sent.
    pub fn offload(&self) -> Offload {
        self.offload
    }

    /// Lets it work, if it doesn't yet.
    ///
    /// # Errors
    /// Why it can't. It is told only once.
    pub fn start(&self) -> Result<(), Failure> {
        let Some(found) = self.found.lock().take() else {
            return Ok(());
        };
        let handler = |source| Handler {
            call: interrupt,
            argument: argument(self.index, source),
            describe,
        };
        let card = VirtioNetwork::new(found, &processors(), &handler)?;
        // From here on interrupts find it.
        let card = self.started.call_once(|| card);
        if let Err(failure) = card.start() {
            crate::warning!(
                "network card {} is used with one pair of queues instead of {}: {failure}",
                self.index,
                card.pairs().0
            );
        }
        Ok(())
    }

    /// How many pairs of queues it has, and how many of them it uses.
    pub fn pairs(&self) -> (usize, usize) {
        self.started.get().map_or((0, 0), VirtioNetwork::pairs)
    }

    /// The pair of queues that a processor deals with, if it does with any.
    pub fn pair_of(&self, processor: usize) -> Option<usize> {
        self.started.get()?.pair_of(processor)
    }

    /// Whether its configuration has changed, such as whether there is a signal, since this was last asked.
    pub fn take_changed(&self) -> bool {
        self.started.get().is_some_and(VirtioNetwork::take_changed)
    }

    /// Whether there is a signal.
    pub fn has_link(&self) -> bool {
        self.started.get().is_none_or(VirtioNetwork::has_link)
    }

    /// Sends a frame, whose data it takes, by the pair of queues of the frame's lane, which is the number of a processor, or
    /// else of this one. Returns the pair, 63 at most. The card may have to be told: see [`Self::tell`].
    pub fn send(&self, frame: &mut Frame<Packet>) -> usize {
        self.started.get().map_or(0, |card| card.send(frame))
    }

    /// Tells the card of what was sent by some pairs of queues since it was last told: bit n for pair n.
    pub fn tell(&self, pairs: u64) {
        if let Some(card) = self.started.get() {
            card.tell(pairs);
        }
    }

    /// Takes up to `most` frames that have come by a pair of queues; interrupts come again when there are no more. Returns
    /// how many frames there were, with those that make no sense.
    pub fn poll(&self, pair: usize, most: usize, frames: &mut Vec<Received<Packet>>) -> usize {
        let Some(card) = self.started.get() else {
            return 0;
        };
        let count = card.poll(pair, most, frames);
        if count == 0
            && let Some(failure) = card.failure(pair)
        {
            let bit = 1 << (pair % 64);
            if self.told.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                crate::warning!("network card {} is not used any more: {failure}", self.index);
            }
        }
        count
    }

    /// What each pair of queues has carried.
    pub fn queues(&self) -> Vec<PairCounts> {
        self.started.get().map_or(Vec::new(), VirtioNetwork::queues)
    }

    /// Frames that were lost here: those that came in, and those that were to go out.
    pub fn lost(&self) -> (u64, u64) {
        self.started.get().map_or((0, 0), VirtioNetwork::lost)
    }
}
