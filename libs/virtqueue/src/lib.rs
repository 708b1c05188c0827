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
//! A request is a chain of regions of memory: those that the device reads, then those that it writes. It takes a
//! descriptor for each region, or, if the device can do that, a single one that names a table with the others
//! (*indirect*). The tables lie behind the rings, one for each descriptor.
//!
//! Who wants to be told of what is a flag in each ring, or, if the device can do that, the index at which it wants to be
//! told (*event index*).
//!
//! [`network`] reads and writes what network cards put before each frame, [`control`] what they are told over a queue of
//! its own.
//!
//! Source: Virtual I/O Device (VIRTIO) Version 1.2, section 2.7.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{Ordering, fence};

pub mod control;
pub mod network;
#[cfg(test)]
mod tests;

/// Bytes of one descriptor.
const DESCRIPTOR_LENGTH: usize = 16;
/// Offset of the entries in either ring: behind flags and index.
const RING_ENTRIES: usize = 4;
/// Bytes of one entry of the used ring.
const USED_ENTRY_LENGTH: usize = 8;
/// Flag of a descriptor: the chain goes on.
const DESCRIPTOR_NEXT: u16 = 1;
/// Flag of a descriptor: the device writes into the buffer.
const DESCRIPTOR_WRITE: u16 = 2;
/// Flag of a descriptor: it names a table of descriptors.
const DESCRIPTOR_INDIRECT: u16 = 4;
/// Flag of the available ring: the driver wants no interrupts.
const NO_INTERRUPT: u16 = 1;
/// Flag of the used ring: the device wants no notifications.
const NO_NOTIFY: u16 = 1;

/// Memory that driver and device share.
///
/// Each access is one access of this size, not to be merged or left out (volatile). Offsets are aligned and
/// inside of what [`Layout::length`] asks for.
pub trait RingMemory {
    /// Where a place in it is for the device.
    fn address(&self, offset: usize) -> u64;
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
    /// Tables for indirect descriptors.
    pub tables: usize,
    /// All of it.
    pub length: usize,
}

impl Layout {
    /// The layout of a queue of `size` entries, a power of two of at most 32768.
    pub const fn new(size: u16) -> Self {
        Self::with_tables(size, 0)
    }

    /// As [`Self::new`], with tables for indirect descriptors of so many entries each.
    pub const fn with_tables(size: u16, entries: u16) -> Self {
        let size = size as usize;
        let available = size * DESCRIPTOR_LENGTH;
        let used = (available + RING_ENTRIES + size * 2 + 2).next_multiple_of(4);
        let end = used + RING_ENTRIES + size * USED_ENTRY_LENGTH + 2;
        let tables = end.next_multiple_of(DESCRIPTOR_LENGTH);
        let length = match entries {
            0 => end,
            _ => tables + size * entries as usize * DESCRIPTOR_LENGTH,
        };
        Self {
            descriptors: 0,
            available,
            used,
            tables,
            length,
        }
    }
}

/// What driver and device have agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Entries of each table of indirect descriptors; 0 if there are none (`VIRTIO_F_INDIRECT_DESC`).
    pub table_entries: u16,
    /// Each side names the index at which it wants to be told (`VIRTIO_F_EVENT_IDX`).
    pub event_index: bool,
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

/// A request that the device has.
#[derive(Debug)]
struct Given<B> {
    buffer: B,
    /// Bytes that the device may write; `None` if it only reads, and then what it says about it means nothing.
    room: Option<u32>,
    /// Descriptors that it takes.
    descriptors: u16,
}

/// A queue whose requests are of type `B`, which owns their memory while the device has them.
#[derive(Debug)]
pub struct Queue<M, B> {
    memory: M,
    layout: Layout,
    agreement: Agreement,
    size: u16,
    /// Requests, by their first descriptors.
    given: Vec<Option<Given<B>>>,
    /// The descriptor that follows each one in its chain, in memory that the device can't change.
    next: Vec<u16>,
    /// Descriptors that are free.
    free: Vec<u16>,
    in_flight: usize,
    /// The available ring's index, as last written.
    available: u16,
    /// Up to where the device was told of what is available.
    told: u16,
    /// How far the used ring was read.
    seen: u16,
    misbehaviour: Option<Misbehaviour>,
}

impl<M: RingMemory, B> Queue<M, B> {
    /// A queue of `size` entries (a power of two, at most 32768) in zeroed memory that is laid out as
    /// [`Layout::new`] says. Allocates; nothing else here does.
    pub fn new(memory: M, size: u16) -> Self {
        Self::with_agreement(memory, size, Agreement::default())
    }

    /// As [`Self::new`], in memory that is laid out as [`Layout::with_tables`] says.
    pub fn with_agreement(memory: M, size: u16, agreement: Agreement) -> Self {
        assert!(
            size.is_power_of_two() && size <= 32768,
            "a queue's size is a power of two"
        );
        Self {
            memory,
            layout: Layout::with_tables(size, agreement.table_entries),
            agreement,
            size,
            given: (0..size).map(|_| None).collect(),
            next: (0..size).map(|_| 0).collect(),
            free: (0..size).rev().collect(),
            in_flight: 0,
            available: 0,
            told: 0,
            seen: 0,
            misbehaviour: None,
        }
    }

    /// The memory, for its address.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// How many entries it has.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Requests that the device has.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// What the device did wrong, if anything.
    pub fn misbehaviour(&self) -> Option<Misbehaviour> {
        self.misbehaviour
    }

    /// Descriptors that a request of so many regions takes.
    fn needed(&self, regions: usize) -> usize {
        match regions {
            2.. if regions <= usize::from(self.agreement.table_entries) => 1,
            _ => regions,
        }
    }

    /// Whether there is room for a request of so many regions now.
    pub fn has_room(&self, regions: usize) -> bool {
        self.misbehaviour.is_none() && self.needed(regions) <= self.free.len()
    }

    /// Most regions that a request may have, if the queue is empty.
    pub fn most_regions(&self) -> usize {
        usize::from(self.size.max(self.agreement.table_entries))
    }

    /// Gives a buffer to the device. It sees it at once, but may need to be notified: see
    /// [`Self::wants_notification`].
    ///
    /// # Errors
    /// The buffer, if the queue is full or the device has misbehaved.
    pub fn submit(&mut self, buffer: B, region: Region, direction: Direction) -> Result<(), B> {
        match direction {
            Direction::ToDevice => self.submit_chain(buffer, &[region], &[]),
            Direction::FromDevice => self.submit_chain(buffer, &[], &[region]),
        }
    }

    /// As [`Self::submit`], for a request of several regions: those that the device reads, and those that it writes.
    ///
    /// # Errors
    /// The buffer, if there are no regions, if the queue has no room for so many, or if the device has misbehaved.
    pub fn submit_chain(
        &mut self,
        buffer: B,
        readable: &[Region],
        writable: &[Region],
    ) -> Result<(), B> {
        let count = readable.len() + writable.len();
        if count == 0 || !self.has_room(count) {
            return Err(buffer);
        }
        let room = writable
            .iter()
            .fold(0_u32, |sum, region| sum.saturating_add(region.length));
        let regions = (readable.iter().map(|region| (region, 0)))
            .chain(writable.iter().map(|region| (region, DESCRIPTOR_WRITE)));
        let needed = self.needed(count);
        let head = match needed {
            1 if count > 1 => self.write_table(regions, count),
            _ => self.write_chain(regions),
        };
        let Some(head) = head else {
            return Err(buffer);
        };
        self.given[usize::from(head)] = Some(Given {
            buffer,
            room: (!writable.is_empty()).then_some(room),
            descriptors: needed as u16,
        });
        self.in_flight += 1;
        let slot = usize::from(self.available & (self.size - 1));
        self.memory
            .write_u16(self.layout.available + RING_ENTRIES + slot * 2, head);
        // The device must see the entry and the buffer's content before it sees the index.
        fence(Ordering::Release);
        self.available = self.available.wrapping_add(1);
        self.memory
            .write_u16(self.layout.available + 2, self.available);
        Ok(())
    }

    fn write_descriptor(&mut self, place: usize, region: Region, flags: u16, next: u16) {
        self.memory.write_u64(place, region.address);
        self.memory.write_u32(place + 8, region.length);
        self.memory.write_u16(place + 12, flags);
        self.memory.write_u16(place + 14, next);
    }

    /// Writes a descriptor for each region, from the last to the first. There are enough of them.
    fn write_chain<'a>(
        &mut self,
        regions: impl DoubleEndedIterator<Item = (&'a Region, u16)>,
    ) -> Option<u16> {
        let mut head = None;
        for (region, flags) in regions.rev() {
            let descriptor = self.free.pop()?;
            let (flags, next) = match head {
                Some(next) => (flags | DESCRIPTOR_NEXT, next),
                None => (flags, 0),
            };
            self.next[usize::from(descriptor)] = next;
            let place = self.layout.descriptors + usize::from(descriptor) * DESCRIPTOR_LENGTH;
            self.write_descriptor(place, *region, flags, next);
            head = Some(descriptor);
        }
        head
    }

    /// Writes the table that belongs to a free descriptor, and the descriptor.
    fn write_table<'a>(
        &mut self,
        regions: impl Iterator<Item = (&'a Region, u16)>,
        count: usize,
    ) -> Option<u16> {
        let head = self.free.pop()?;
        let length = usize::from(self.agreement.table_entries) * DESCRIPTOR_LENGTH;
        let table = self.layout.tables + usize::from(head) * length;
        for (index, (region, flags)) in regions.enumerate() {
            let (flags, next) = match index + 1 {
                next if next < count => (flags | DESCRIPTOR_NEXT, next as u16),
                _ => (flags, 0),
            };
            self.write_descriptor(table + index * DESCRIPTOR_LENGTH, *region, flags, next);
        }
        let whole = Region {
            address: self.memory.address(table),
            length: (count * DESCRIPTOR_LENGTH) as u32,
        };
        let place = self.layout.descriptors + usize::from(head) * DESCRIPTOR_LENGTH;
        self.write_descriptor(place, whole, DESCRIPTOR_INDIRECT, 0);
        Some(head)
    }

    /// Whether the device asks to be told about what was submitted since this was last asked. Without being told it may
    /// sleep.
    pub fn wants_notification(&mut self) -> bool {
        // Both sides write one thing and then read another: without a full barrier each could miss the other.
        fence(Ordering::SeqCst);
        let old = core::mem::replace(&mut self.told, self.available);
        if !self.agreement.event_index {
            return self.memory.read_u16(self.layout.used) & NO_NOTIFY == 0;
        }
        let place = self.layout.used + RING_ENTRIES + usize::from(self.size) * USED_ENTRY_LENGTH;
        let event = self.memory.read_u16(place);
        // Whether its index is among those that are new.
        self.available.wrapping_sub(event).wrapping_sub(1) < self.available.wrapping_sub(old)
    }

    /// Asks for interrupts when buffers come back, or for none (a hint: some may come anyway). After turning
    /// them on, look at [`Self::take_used`] once more: what came back before causes no interrupt.
    pub fn set_interrupts(&mut self, wanted: bool) {
        if wanted {
            self.interrupt_after(0);
        } else if self.agreement.event_index {
            // As far away as can be.
            self.write_used_event(self.seen.wrapping_add(0x8000));
        } else {
            self.memory.write_u16(self.layout.available, NO_INTERRUPT);
        }
    }

    /// Asks for an interrupt when more than `count` further requests have come back; without event index, when the next
    /// comes back. Look at [`Self::take_used`] afterwards, as with [`Self::set_interrupts`].
    pub fn interrupt_after(&mut self, count: u16) {
        if self.agreement.event_index {
            self.write_used_event(self.seen.wrapping_add(count));
        } else {
            self.memory.write_u16(self.layout.available, 0);
        }
        fence(Ordering::SeqCst);
    }

    fn write_used_event(&mut self, index: u16) {
        let place = self.layout.available + RING_ENTRIES + usize::from(self.size) * 2;
        self.memory.write_u16(place, index);
    }

    /// Whether the device has given something back that was not taken.
    pub fn has_used(&self) -> bool {
        self.misbehaviour.is_none() && self.memory.read_u16(self.layout.used + 2) != self.seen
    }

    /// A request that the device is done with, and how many bytes it wrote.
    pub fn take_used(&mut self) -> Option<(B, usize)> {
        if self.misbehaviour.is_some() {
            return None;
        }
        let index = self.memory.read_u16(self.layout.used + 2);
        let returned = index.wrapping_sub(self.seen);
        if returned == 0 {
            return None;
        }
        if usize::from(returned) > self.in_flight {
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
        let written = match given {
            None => return self.distrust(Misbehaviour::NotGiven(descriptor)),
            Some(Given { room: None, .. }) => 0,
            Some(Given {
                room: Some(room), ..
            }) if written <= *room => written,
            // The device may still be writing: the buffer stays out of anybody else's hands.
            Some(Given {
                room: Some(room), ..
            }) => {
                let room = *room;
                return self.distrust(Misbehaviour::TooLong { written, room });
            }
        };
        let Given {
            buffer,
            descriptors,
            ..
        } = given.take()?;
        let mut descriptor = descriptor as u16;
        for _ in 0..descriptors {
            self.free.push(descriptor);
            descriptor = self.next[usize::from(descriptor)];
        }
        self.in_flight -= 1;
        self.seen = self.seen.wrapping_add(1);
        Some((buffer, written as usize))
    }

    fn distrust<T>(&mut self, misbehaviour: Misbehaviour) -> Option<T> {
        self.misbehaviour = Some(misbehaviour);
        None
    }
}
