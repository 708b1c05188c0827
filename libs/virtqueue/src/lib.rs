//! Split virtqueues: how driver and device pass buffers to each other through shared memory.
//!
//! A queue has three parts. The *descriptor table* says where buffers are. In the *available ring* the driver
//! names descriptors that the device may use; in the *used ring* the device names those that it is done
//! with. Each ring has a running index that only its writer changes, so neither side ever waits for a lock.
//!
//! The device is not trusted. Nothing that it writes is believed before it was compared with what the driver
//! remembers in its own memory: a number of a buffer that it was not given, a length beyond the buffer's end
//! or an index that runs ahead make the queue unusable, and never anything worse. Descriptors are only written,
//! never read back.
//!
//! Each request is one buffer, contiguous in physical memory; chains are not needed by the drivers so far.
//!
//! Source: Virtual I/O Device (VIRTIO) Version 1.2, section 2.7.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{Ordering, fence};

#[cfg(test)]
mod tests;

/// Bytes of one descriptor.
const DESCRIPTOR_LENGTH: usize = 16;
/// Offset of the entries in either ring: behind flags and index.
const RING_ENTRIES: usize = 4;
/// Bytes of one entry of the used ring.
const USED_ENTRY_LENGTH: usize = 8;
/// Flag of a descriptor: the device writes into the buffer.
const DESCRIPTOR_WRITE: u16 = 2;
/// Flag of the available ring: the driver wants no interrupts.
const NO_INTERRUPT: u16 = 1;
/// Flag of the used ring: the device wants no notifications.
const NO_NOTIFY: u16 = 1;

/// Memory that driver and device share.
///
/// Each access is one access of this size, not to be merged or left out (volatile). Offsets are aligned and
/// inside of what [`Layout::length`] asks for.
pub trait RingMemory {
    /// Reads a little-endian value.
    fn read_u16(&self, offset: usize) -> u16;
    /// Reads a little-endian value.
    fn read_u32(&self, offset: usize) -> u32;
    /// Writes a little-endian value.
    fn write_u16(&mut self, offset: usize, value: u16);
    /// Writes a little-endian value.
    fn write_u32(&mut self, offset: usize, value: u32);
    /// Writes a little-endian value.
    fn write_u64(&mut self, offset: usize, value: u64);
}

/// Where the parts of a queue lie in its memory, in bytes from its start, which is aligned to 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The descriptor table.
    pub descriptors: usize,
    /// The available ring.
    pub available: usize,
    /// The used ring.
    pub used: usize,
    /// All of it.
    pub length: usize,
}

impl Layout {
    /// The layout of a queue of `size` entries, a power of two of at most 32768.
    pub const fn new(size: u16) -> Self {
        let size = size as usize;
        let available = size * DESCRIPTOR_LENGTH;
        let used = (available + RING_ENTRIES + size * 2 + 2).next_multiple_of(4);
        let length = used + RING_ENTRIES + size * USED_ENTRY_LENGTH + 2;
        Self {
            descriptors: 0,
            available,
            used,
            length,
        }
    }
}

/// Who writes into a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The driver wrote it, the device reads it.
    ToDevice,
    /// The device writes it.
    FromDevice,
}

/// Where a buffer lies for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Physical address of its first byte.
    pub address: u64,
    /// Bytes.
    pub length: u32,
}

/// What the device did that no device may do. The queue is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// It returned more buffers than it had.
    IndexTooFar {
        /// Its index.
        index: u16,
        /// The driver's.
        seen: u16,
    },
    /// It returned a buffer that it did not have.
    NotGiven(u32),
    /// It wrote more bytes than the buffer holds.
    TooLong {
        /// Bytes that it claims to have written.
        written: u32,
        /// Bytes that fit.
        room: u32,
    },
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IndexTooFar { index, seen } => {
                write!(
                    formatter,
                    "the device returned more buffers than it had: from {seen} to {index}"
                )
            }
            Self::NotGiven(descriptor) => {
                write!(
                    formatter,
                    "the device returned buffer {descriptor}, which it did not have"
                )
            }
            Self::TooLong { written, room } => {
                write!(
                    formatter,
                    "the device claims to have written {written} bytes into a buffer of {room}"
                )
            }
        }
    }
}

impl core::error::Error for Misbehaviour {}

/// A buffer that the device has.
#[derive(Debug)]
struct Given<B> {
    buffer: B,
    /// Bytes that the device may write; `None` if it only reads, and then what it says about it means nothing.
    room: Option<u32>,
}

/// A queue whose requests are buffers of type `B`, owned by the queue while the device has them.
#[derive(Debug)]
pub struct Queue<M, B> {
    memory: M,
    layout: Layout,
    size: u16,
    given: Vec<Option<Given<B>>>,
    /// Descriptors that are free.
    free: Vec<u16>,
    /// The available ring's index, as last written.
    available: u16,
    /// How far the used ring was read.
    seen: u16,
    misbehaviour: Option<Misbehaviour>,
}

impl<M: RingMemory, B> Queue<M, B> {
    /// A queue of `size` entries (a power of two, at most 32768) in zeroed memory that is laid out as
    /// [`Layout::new`] says. Allocates; nothing else here does.
    pub fn new(memory: M, size: u16) -> Self {
        assert!(
            size.is_power_of_two() && size <= 32768,
            "a queue's size is a power of two"
        );
        Self {
            memory,
            layout: Layout::new(size),
            size,
            given: (0..size).map(|_| None).collect(),
            free: (0..size).rev().collect(),
            available: 0,
            seen: 0,
            misbehaviour: None,
        }
    }

    /// The memory, for its address.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Buffers that the device has.
    pub fn in_flight(&self) -> usize {
        usize::from(self.size) - self.free.len()
    }

    /// What the device did wrong, if anything.
    pub fn misbehaviour(&self) -> Option<Misbehaviour> {
        self.misbehaviour
    }

    /// Gives a buffer to the device. It sees it at once, but may need to be notified: see
    /// [`Self::wants_notification`].
    ///
    /// # Errors
    /// The buffer, if the queue is full or the device has misbehaved.
    pub fn submit(&mut self, buffer: B, region: Region, direction: Direction) -> Result<(), B> {
        if self.misbehaviour.is_some() {
            return Err(buffer);
        }
        let Some(descriptor) = self.free.pop() else {
            return Err(buffer);
        };
        let (flags, room) = match direction {
            Direction::ToDevice => (0, None),
            Direction::FromDevice => (DESCRIPTOR_WRITE, Some(region.length)),
        };
        self.given[usize::from(descriptor)] = Some(Given { buffer, room });
        let entry = self.layout.descriptors + usize::from(descriptor) * DESCRIPTOR_LENGTH;
        self.memory.write_u64(entry, region.address);
        self.memory.write_u32(entry + 8, region.length);
        self.memory.write_u16(entry + 12, flags);
        self.memory.write_u16(entry + 14, 0);
        let slot = usize::from(self.available & (self.size - 1));
        self.memory
            .write_u16(self.layout.available + RING_ENTRIES + slot * 2, descriptor);
        // The device must see the entry and the buffer's content before it sees the index.
        fence(Ordering::Release);
        self.available = self.available.wrapping_add(1);
        self.memory
            .write_u16(self.layout.available + 2, self.available);
        Ok(())
    }

    /// Whether the device asks to be told about what was submitted. Without being told it may sleep.
    pub fn wants_notification(&self) -> bool {
        // Both sides write one thing and then read another: without a full barrier each could miss the other.
        fence(Ordering::SeqCst);
        self.memory.read_u16(self.layout.used) & NO_NOTIFY == 0
    }

    /// Asks for interrupts when buffers come back, or for none (a hint: some may come anyway). After turning
    /// them on, look at [`Self::take_used`] once more: what came back before causes no interrupt.
    pub fn set_interrupts(&mut self, wanted: bool) {
        let flags = if wanted { 0 } else { NO_INTERRUPT };
        self.memory.write_u16(self.layout.available, flags);
        fence(Ordering::SeqCst);
    }

    /// A buffer that the device is done with, and how many bytes it wrote to it.
    pub fn take_used(&mut self) -> Option<(B, usize)> {
        if self.misbehaviour.is_some() {
            return None;
        }
        let index = self.memory.read_u16(self.layout.used + 2);
        let returned = index.wrapping_sub(self.seen);
        if returned == 0 {
            return None;
        }
        if usize::from(returned) > self.in_flight() {
            return self.distrust(Misbehaviour::IndexTooFar {
                index,
                seen: self.seen,
            });
        }
        // What the device wrote before the index must not be read earlier than the index.
        fence(Ordering::Acquire);
        let slot = usize::from(self.seen & (self.size - 1));
        let entry = self.layout.used + RING_ENTRIES + slot * USED_ENTRY_LENGTH;
        // Each value is read once, so that it can't change between check and use.
        let descriptor = self.memory.read_u32(entry);
        let written = self.memory.read_u32(entry + 4);
        let given = usize::try_from(descriptor)
            .ok()
            .and_then(|descriptor| self.given.get_mut(descriptor));
        let Some(given) = given else {
            return self.distrust(Misbehaviour::NotGiven(descriptor));
        };
        let Some(Given { buffer, room }) = given.take() else {
            return self.distrust(Misbehaviour::NotGiven(descriptor));
        };
        let written = match room {
            None => 0,
            Some(room) if written <= room => written,
            Some(room) => {
                // The device may still be writing: keep the buffer out of anybody else's hands.
                *given = Some(Given {
                    buffer,
                    room: Some(room),
                });
                return self.distrust(Misbehaviour::TooLong { written, room });
            }
        };
        self.free.push(descriptor as u16);
        self.seen = self.seen.wrapping_add(1);
        Some((buffer, written as usize))
    }

    fn distrust<T>(&mut self, misbehaviour: Misbehaviour) -> Option<T> {
        self.misbehaviour = Some(misbehaviour);
        None
    }
}
