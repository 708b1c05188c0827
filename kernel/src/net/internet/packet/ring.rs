//! Rings of memory by which frames are shared with programs, as the kernel's document `packet_mmap` describes.
//!
//! A frame that was seen is copied into the next place that is the kernel's; a word in front of it says whose it is. In
//! version 3 frames of any length fill a block, which becomes the program's when it is full or when time is over.

use alloc::string::String;
use alloc::sync::{Arc, Weak};

use pith_linux::packet::{BLOCK_HEADER, FrameFacts, RingShape, Version, status};

use super::PacketSocket;
use crate::memory::{Frame, PAGE_SIZE, PageError, PageSource, RingMemory};
use crate::task::deferred::{self, Ticket, Work};
use crate::task::{self, Instant, Timer, TimerTarget};

/// Milliseconds until a block is given out, where the program does not say.
const USUAL_PATIENCE: u32 = 8;

/// Words of a block's header (`struct tpacket_block_desc`), by their places.
mod block {
    pub const VERSION: usize = 0;
    pub const PRIVATE: usize = 4;
    pub const STATUS: usize = 8;
    pub const FRAMES: usize = 12;
    pub const FIRST: usize = 16;
    pub const LENGTH: usize = 20;
    pub const SEQUENCE: usize = 24;
    pub const FIRST_TIME: usize = 32;
    pub const LAST_TIME: usize = 40;
}

/// What a program maps: the ring of what is received, and behind it that of what is sent.
#[derive(Default)]
pub(super) struct Mapped {
    pub(super) rings: [Option<Arc<RingMemory>>; 2],
}

impl PageSource for Mapped {
    fn page(&self, index: u64, _write: bool) -> Result<Frame, PageError> {
        let mut index = index as usize;
        for memory in self.rings.iter().flatten() {
            match memory.frame(index) {
                Some(frame) => return Ok(frame),
                None => index -= memory.pages(),
            }
        }
        Err(PageError::BeyondEnd)
    }

    fn existing(&self, index: u64, write: bool) -> Option<Frame> {
        self.page(index, write).ok()
    }

    fn name(&self) -> String {
        String::from("socket:[packet]")
    }

    fn identity(&self) -> (u64, u64) {
        (8, 1)
    }
}

/// Gives blocks out that are not full when their time is over.
struct Retirement {
    ticket: Ticket,
    itself: Weak<Self>,
    socket: Weak<PacketSocket>,
}

impl TimerTarget for Retirement {
    fn expired(&self, _now: Instant) -> Option<Instant> {
        if let Some(itself) = self.itself.upgrade() {
            deferred::defer(itself);
        }
        None
    }
}

impl Work for Retirement {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    fn work(&self) {
        if let Some(socket) = self.socket.upgrade() {
            socket.retire_block();
        }
    }
}

/// A block that is being filled.
#[derive(Default)]
struct OpenBlock {
    frames: u32,
    /// Where the next frame goes, within the block.
    next: usize,
    /// Where the last one is.
    last: usize,
    times: [(u32, u32); 2],
}

/// The ring of what is received.
pub(super) struct ReceiveRing {
    pub(super) shape: RingShape,
    pub(super) memory: Arc<RingMemory>,
    /// The frame, or the block, that is filled next.
    head: usize,
    block: OpenBlock,
    sequence: u64,
    /// Frames that were lost, since the program last asked; and how often no block was free.
    pub(super) lost: u32,
    pub(super) freezes: u32,
    frozen: bool,
    timer: Timer,
    retirement: Option<Arc<Retirement>>,
}

/// Something that is put into a ring.
pub(super) struct Capture<'a> {
    pub(super) pieces: &'a mut dyn Iterator<Item = &'a [u8]>,
    /// Bytes of the link's header in front; 0 without one.
    pub(super) link_header: usize,
    pub(super) facts: FrameFacts,
    pub(super) address: &'a [u8],
}

impl ReceiveRing {
    /// A ring in memory of zeroes. `None` without memory.
    pub(super) fn new(shape: RingShape, memory: Arc<RingMemory>, socket: Weak<PacketSocket>) -> Option<Self> {
        let retirement = match shape.version {
            Version::V3 => {
                let ticket = Ticket::new().ok()?;
                Some(Arc::new_cyclic(|itself| Retirement {
                    ticket,
                    itself: itself.clone(),
                    socket,
                }))
            }
            _ => None,
        };
        Some(Self {
            shape,
            memory,
            head: 0,
            block: OpenBlock::default(),
            sequence: 1,
            lost: 0,
            freezes: 0,
            frozen: false,
            timer: Timer::new(),
            retirement,
        })
    }

    /// Whether there is something for the program.
    pub(super) fn is_readable(&self) -> bool {
        let count = self.places();
        let before = (self.head + count - 1) % count;
        let place = match self.shape.version {
            Version::V3 => before * self.shape.block_size + block::STATUS,
            _ => self.shape.frame(before),
        };
        self.memory.load(place) != status::KERNEL
    }

    fn places(&self) -> usize {
        match self.shape.version {
            Version::V3 => self.shape.blocks,
            _ => self.shape.frames(),
        }
    }

    /// Puts a frame in. False if there was no room.
    pub(super) fn put(&mut self, mut capture: Capture<'_>) -> bool {
        let (_, inner) = self.shape.data(capture.link_header);
        let stored = match self.shape.version {
            // Headers could not say where the data is.
            _ if inner > usize::from(u16::MAX) => false,
            Version::V3 => self.put_into_block(&mut capture),
            _ => self.put_into_frame(&mut capture),
        };
        if !stored {
            self.lost = self.lost.wrapping_add(1);
        }
        stored
    }

    fn put_into_frame(&mut self, capture: &mut Capture<'_>) -> bool {
        let place = self.shape.frame(self.head);
        if self.memory.load(place) != status::KERNEL {
            return false;
        }
        if self.lost != 0 {
            capture.facts.status |= status::LOSING;
        }
        self.fill(place, self.shape.frame_size, capture);
        self.head = (self.head + 1) % self.shape.frames();
        true
    }

    /// Copies a frame to its place, in which it has so much room, and then says that it is the program's.
    fn fill(&mut self, place: usize, room: usize, capture: &mut Capture<'_>) -> usize {
        let (start, inner) = self.shape.data(capture.link_header);
        let most = room.saturating_sub(start);
        let mut copied = 0;
        for piece in &mut *capture.pieces {
            let piece = &piece[..piece.len().min(most - copied)];
            self.memory.copy_in(place + start + copied, piece);
            copied += piece.len();
        }
        let facts = FrameFacts {
            captured: copied as u32,
            start: start as u16,
            inner: inner as u16,
            next: self.shape.footprint(start + copied) as u32,
            ..capture.facts
        };
        let version = self.shape.version;
        let (header, status_place) = facts.header(version);
        self.memory.copy_in(place, &header[..version.header()]);
        self.memory.copy_in(place + version.header(), capture.address);
        self.memory.store(place + status_place, facts.status);
        start + copied
    }

    fn base(&self) -> usize {
        self.head * self.shape.block_size
    }

    fn open_block(&mut self) {
        let base = self.base();
        self.block = OpenBlock {
            next: self.shape.first_frame(),
            ..OpenBlock::default()
        };
        self.memory.store(base + block::VERSION, Version::V3 as u32);
        self.memory.store(base + block::PRIVATE, BLOCK_HEADER as u32);
        self.memory.store(base + block::FRAMES, 0);
        self.memory.store(base + block::FIRST, self.shape.first_frame() as u32);
        self.memory.write(base + block::SEQUENCE, [self.sequence]);
        self.sequence += 1;
    }

    fn put_into_block(&mut self, capture: &mut Capture<'_>) -> bool {
        let (start, _) = self.shape.data(capture.link_header);
        let longest = self.shape.block_size - self.shape.first_frame();
        let whole = (start + capture.facts.captured as usize).min(longest);
        if self.block.frames != 0 && self.block.next + whole > self.shape.block_size {
            self.close_block(0);
        }
        if self.block.frames == 0 {
            if self.memory.load(self.base() + block::STATUS) != status::KERNEL {
                if !core::mem::replace(&mut self.frozen, true) {
                    self.freezes = self.freezes.wrapping_add(1);
                }
                return false;
            }
            self.frozen = false;
            self.open_block();
        }
        let place = self.base() + self.block.next;
        let room = self.shape.block_size - self.block.next;
        let used = self.fill(place, room, capture);
        let time = (capture.facts.seconds, capture.facts.nanoseconds);
        let block = &mut self.block;
        if block.frames == 0 {
            block.times[0] = time;
        }
        block.times[1] = time;
        block.frames += 1;
        block.last = block.next;
        block.next += self.shape.footprint(used);
        let frames = block.frames;
        self.memory.store(self.base() + block::FRAMES, frames);
        if frames == 1 {
            self.arm();
        }
        true
    }

    fn arm(&self) {
        if let Some(retirement) = &self.retirement {
            let patience = match self.shape.patience {
                0 => USUAL_PATIENCE,
                patience => patience,
            };
            let deadline = task::monotonic().after(u64::from(patience) * 1_000_000);
            let target: Weak<dyn TimerTarget> = Arc::<Retirement>::downgrade(retirement);
            self.timer.arm(deadline, target);
        }
    }

    /// Gives the block to the program, and goes on to the next one.
    fn close_block(&mut self, why: u32) {
        let base = self.base();
        // Nothing follows the last one.
        self.memory.store(base + self.block.last, 0);
        self.memory.store(base + block::LENGTH, self.block.next as u32);
        for (place, (seconds, nanoseconds)) in [block::FIRST_TIME, block::LAST_TIME].into_iter().zip(self.block.times) {
            self.memory.store(base + place, seconds);
            self.memory.store(base + place + 4, nanoseconds);
        }
        self.memory.store(base + block::STATUS, status::USER | why);
        self.head = (self.head + 1) % self.shape.blocks;
        self.block = OpenBlock::default();
    }

    /// The time of a block is over. True if it had anything.
    pub(super) fn retire_block(&mut self) -> bool {
        let has_frames = self.shape.version == Version::V3 && self.block.frames != 0;
        if has_frames {
            self.close_block(status::BLOCK_TIMED_OUT);
        }
        has_frames
    }
}

/// The ring of what is sent.
pub(super) struct TransmitRing {
    pub(super) shape: RingShape,
    pub(super) memory: Arc<RingMemory>,
    head: usize,
}

impl TransmitRing {
    pub(super) fn new(shape: RingShape, memory: Arc<RingMemory>) -> Self {
        Self { shape, memory, head: 0 }
    }

    fn places(&self) -> (usize, usize) {
        let place = self.shape.frame(self.head);
        match self.shape.version {
            Version::V1 => (place, place + 8),
            Version::V2 => (place, place + 4),
            Version::V3 => (place + 20, place + 16),
        }
    }

    /// Whether the program may fill the next frame.
    pub(super) fn is_writable(&self) -> bool {
        self.memory.load(self.places().0) == status::KERNEL
    }

    /// Where the data of the next frame is that the program wants to be sent, and how long it says it is.
    pub(super) fn next(&self) -> Option<(usize, usize)> {
        let (status_place, length_place) = self.places();
        if self.memory.load(status_place) & status::SEND == 0 {
            return None;
        }
        let start = self.shape.frame(self.head) + self.shape.data_to_send();
        Some((start, self.memory.load(length_place) as usize))
    }

    /// Most bytes of a frame's data.
    pub(super) fn longest(&self) -> usize {
        self.shape.frame_size.saturating_sub(self.shape.data_to_send())
    }

    /// The next frame was dealt with.
    pub(super) fn done(&mut self, result: u32) {
        self.memory.store(self.places().0, result);
        self.head = (self.head + 1) % self.shape.frames();
    }
}

/// Memory for a ring; `None` if there is too little.
pub(super) fn memory_for(shape: &RingShape) -> Option<Arc<RingMemory>> {
    /// A ring may have this part of what is free.
    const PART: u64 = 2;
    if shape.bytes() as u64 > crate::memory::counters().free / PART {
        return None;
    }
    debug_assert!(shape.bytes().is_multiple_of(PAGE_SIZE), "whole pages");
    RingMemory::new(shape.bytes()).map(Arc::new)
}
