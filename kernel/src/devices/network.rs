//! The machine's network cards.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use pith_tcpip::stack::{Frame, Offload, Received};
use spin::{Mutex, Once};

use super::interrupts::Handler;
use super::virtio::Failure;
use super::virtio::network::{Found, VirtioNetwork};
use crate::memory::Packet;

/// Most cards that are looked for.
const MOST: usize = 16;

static CARDS: Once<Cards> = Once::new();

struct Cards {
    list: Vec<Card>,
    /// Called by interrupt handlers when frames may have come.
    arrived: fn(),
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
    /// It was told that it is of no use any more.
    told: AtomicBool,
}

/// Finds the machine's cards, once. `arrived` is called by interrupt handlers when frames may have come. Each card that
/// can't be used is told to `failed`.
pub fn find(command_line: &str, arrived: fn(), failed: &mut dyn FnMut(usize, Failure)) -> &'static [Card] {
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
                    told: AtomicBool::new(false),
                }),
                Err(Failure::Absent) => break,
                Err(failure) => failed(index, failure),
            }
        }
        Cards { list, arrived }
    });
    &cards.list
}

fn interrupt(index: usize) {
    let Some(cards) = CARDS.get() else { return };
    if let Some(card) = cards.list.get(index).and_then(|card| card.started.get()) {
        card.interrupt();
    }
    (cards.arrived)();
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
        let handler = Handler {
            call: interrupt,
            argument: self.index,
        };
        let card = VirtioNetwork::new(found, handler)?;
        self.started.call_once(|| card).start();
        Ok(())
    }

    /// Whether there is a signal.
    pub fn has_link(&self) -> bool {
        self.started.get().is_none_or(VirtioNetwork::has_link)
    }

    /// Sends a frame, whose data it takes. The card may have to be told: see [`Self::tell`].
    pub fn send(&self, frame: &mut Frame<Packet>) {
        if let Some(card) = self.started.get() {
            card.send(frame);
        }
    }

    /// Tells the card of what was sent since it was last told.
    pub fn tell(&self) {
        if let Some(card) = self.started.get() {
            card.tell();
        }
    }

    /// Takes up to `most` frames that have come; interrupts come again when there are no more. Returns how many frames
    /// there were, with those that make no sense.
    pub fn poll(&self, most: usize, frames: &mut Vec<Received<Packet>>) -> usize {
        let Some(card) = self.started.get() else {
            return 0;
        };
        let count = card.poll(most, frames);
        if count == 0
            && let Some(failure) = card.failure()
            && !self.told.swap(true, Ordering::Relaxed)
        {
            crate::warning!("network card {} is not used any more: {failure}", self.index);
        }
        count
    }

    /// Frames that were lost here: those that came in, and those that were to go out.
    pub fn lost(&self) -> (u64, u64) {
        self.started.get().map_or((0, 0), VirtioNetwork::lost)
    }
}
