//! Memory that a device reads and writes by itself, while the kernel runs.
//!
//! The unsafe code of this floor is here. Two kinds of use are safe:
//! * [`SharedMemory`] as a ring: both sides access it at any time, so the kernel only ever makes single,
//!   volatile accesses inside its bounds, and never a Rust reference.
//! * [`Buffer`]: belongs to one side at a time. While a driver owns the value, the device was not told the
//!   address (or has given the buffer back), so it is ordinary memory. A driver moves the value into its
//!   queue when it tells the device.
//!
//! A device that writes elsewhere than it was told could overwrite anything; only an IOMMU can keep it from
//! that. What is guarded against is what it *says*.
#![allow(unsafe_code, reason = "memory that devices access is reached through pointers")]

use pith_virtqueue::{Region, RingMemory};

use crate::arch;
use crate::memory::{Frame, PAGE_SIZE};

/// Zeroed memory, contiguous in physical memory and aligned to a page.
#[derive(Debug)]
pub struct SharedMemory {
    /// The first of the frames; it owns all of them.
    frame: Frame,
    /// Address of the first byte in the direct map.
    start: usize,
    length: usize,
}

impl SharedMemory {
    /// At least `length` bytes. `None` without free memory.
    pub fn new(length: usize) -> Option<Self> {
        let pages = length.div_ceil(PAGE_SIZE).next_power_of_two();
        let frame = Frame::contiguous(pages.trailing_zeros() as u8)?;
        Some(Self {
            start: arch::boot::direct(frame.physical()) as usize,
            frame,
            length: pages * PAGE_SIZE,
        })
    }

    /// Physical address of the first byte.
    pub fn physical(&self) -> u64 {
        self.frame.physical()
    }

    #[inline(always)]
    fn start(&self) -> *mut u8 {
        self.start as *mut u8
    }

    #[inline(always)]
    fn place<T>(&self, offset: usize) -> *mut T {
        assert!(
            offset.is_multiple_of(size_of::<T>())
                && offset.checked_add(size_of::<T>()).is_some_and(|end| end <= self.length),
            "inside of the shared memory"
        );
        // SAFETY: the offset is inside of the frames that `self` owns (just checked), which the direct map
        // maps contiguously.
        unsafe { self.start().add(offset).cast() }
    }
}

impl RingMemory for SharedMemory {
    fn address(&self, offset: usize) -> u64 {
        self.physical() + offset as u64
    }

    fn read_u16(&self, offset: usize) -> u16 {
        // SAFETY: `place` checked bounds and alignment; any bit pattern is a number; a device may write at
        // the same time, which a volatile access of this size sees as before or after.
        u16::from_le(unsafe { self.place::<u16>(offset).read_volatile() })
    }

    fn read_u32(&self, offset: usize) -> u32 {
        // SAFETY: as for `read_u16`.
        u32::from_le(unsafe { self.place::<u32>(offset).read_volatile() })
    }

    fn write_u16(&mut self, offset: usize, value: u16) {
        // SAFETY: `place` checked bounds and alignment; no Rust reference to this memory exists.
        unsafe { self.place::<u16>(offset).write_volatile(value.to_le()) };
    }

    fn write_u32(&mut self, offset: usize, value: u32) {
        // SAFETY: as for `write_u16`.
        unsafe { self.place::<u32>(offset).write_volatile(value.to_le()) };
    }

    fn write_u64(&mut self, offset: usize, value: u64) {
        // SAFETY: as for `write_u16`.
        unsafe { self.place::<u64>(offset).write_volatile(value.to_le()) };
    }
}

/// Memory that is handed to a device and comes back.
#[derive(Debug)]
pub struct Buffer(SharedMemory);

impl Buffer {
    /// At least `length` bytes, at first zero. `None` without free memory.
    pub fn new(length: usize) -> Option<Self> {
        SharedMemory::new(length).map(Self)
    }

    /// Its size in bytes.
    pub fn length(&self) -> usize {
        self.0.length
    }

    /// Where its first `length` bytes are for the device.
    pub fn region(&self, length: usize) -> Region {
        Region {
            address: self.0.physical(),
            length: length.min(self.0.length) as u32,
        }
    }

    /// Its content.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the frames are owned by `self`, initialised, and no device has them (see the module).
        unsafe { core::slice::from_raw_parts(self.0.start(), self.0.length) }
    }

    /// Its content, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.0.start(), self.0.length) }
    }
}
