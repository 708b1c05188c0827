//! Memory for packets: contiguous in physical memory, counted, and kept for the next packet.
//!
//! A block begins with a header and goes on with data. [`PacketRoom`] is a block that one owner fills: a device, or a
//! call that copies the program's data into it. [`Packet`] is a reference to one that is filled; the last reference puts
//! the block back on the list of its size. Only when a list is empty is memory allocated (and zeroed, once); what does
//! not fit on a list goes back. So packets cost no allocation, and their memory is bounded by what is in use plus the
//! lists.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering, fence};

use pith_tcpip::Buffer;
use spin::Mutex;

use super::frame::{Purpose, allocate_block, release_block};
use super::{PAGE_SIZE, is_low};
use crate::arch;

/// Bytes of a block before its data. Data is aligned to this.
const HEADER: usize = 32;
/// The sizes of blocks, and most of each that lie idle.
const CLASSES: [(usize, usize); 8] = [
    (256, 1024),
    (1024, 256),
    (2048, 512),
    (4096, 128),
    (16_384, 32),
    // A record of TLS is a little longer than 16 KiB.
    (32_768, 16),
    (65_536, 16),
    // For IP packets of their full length, and their headers.
    (131_072, 2),
];
/// Data for which a block of 64 KiB is enough: what streams are sent in.
pub const LARGE_PACKET: usize = 65_536 - HEADER;
/// Most data of a packet.
pub const LARGEST_PACKET: usize = CLASSES[CLASSES.len() - 1].0 - HEADER;

/// The start of a block.
#[repr(C)]
struct Header {
    references: AtomicU32,
    /// Index into [`CLASSES`].
    class: u32,
    /// Bytes of data that are filled. Changed only by whoever has the only reference.
    length: usize,
    /// The next idle block, while this one is idle.
    next: Option<NonNull<Header>>,
}

const _: () = assert!(size_of::<Header>() <= HEADER);

/// Idle blocks of one size.
struct Idle {
    first: Option<NonNull<Header>>,
    count: usize,
}

// SAFETY: the blocks of a list belong to the list alone.
unsafe impl Send for Idle {}

static IDLE: [Mutex<Idle>; CLASSES.len()] = [const { Mutex::new(Idle { first: None, count: 0 }) }; CLASSES.len()];

fn layout(class: usize) -> Layout {
    match Layout::from_size_align(CLASSES[class].0, HEADER) {
        Ok(layout) => layout,
        Err(_) => unreachable!("sizes of blocks are small"),
    }
}

/// Order of a block of this class in frames; `None` for those that are smaller than a frame.
fn order(class: usize) -> Option<u8> {
    let size = CLASSES[class].0;
    (size >= PAGE_SIZE).then(|| (size / PAGE_SIZE).trailing_zeros() as u8)
}

/// New memory for a block, zeroed. Both the heap and the frame allocator give memory that is contiguous, since it lies in
/// the direct map.
fn allocate(class: usize) -> Option<NonNull<Header>> {
    let start = match order(class) {
        Some(order) => {
            let start = arch::boot::direct(allocate_block(order, Purpose::User)?);
            // SAFETY: the block was just handed out, and is this long.
            unsafe { start.write_bytes(0, CLASSES[class].0) };
            start
        }
        // The heap can't fail without ending the machine.
        None if is_low() => return None,
        // SAFETY: the size is not zero.
        None => unsafe { alloc_zeroed(layout(class)) },
    };
    let block = NonNull::new(start.cast::<Header>())?;
    // SAFETY: the block is ours alone, aligned and large enough; zeroes are a valid `Header`.
    unsafe { (*block.as_ptr()).class = class as u32 };
    Some(block)
}

/// Gives the memory of a block back.
///
/// # Safety
/// The block came from [`allocate`], and nobody refers to it any more.
unsafe fn deallocate(block: NonNull<Header>) {
    // SAFETY: the caller owns the block.
    let class = unsafe { (*block.as_ptr()).class } as usize;
    match order(class) {
        Some(_) => release_block(block.as_ptr() as u64 - arch::layout::DIRECT_MAP),
        // SAFETY: it was allocated with this layout.
        None => unsafe { dealloc(block.as_ptr().cast(), layout(class)) },
    }
}

fn take(class: usize) -> Option<NonNull<Header>> {
    let mut idle = IDLE[class].lock();
    let Some(block) = idle.first else {
        drop(idle);
        return allocate(class);
    };
    // SAFETY: a block on the list is valid and belongs to the list.
    idle.first = unsafe { (*block.as_ptr()).next };
    idle.count -= 1;
    Some(block)
}

/// Puts a block on the list of its size, or gives its memory back.
///
/// # Safety
/// Nobody refers to the block any more.
unsafe fn put_back(block: NonNull<Header>) {
    // SAFETY: the caller owns the block.
    let class = unsafe { (*block.as_ptr()).class } as usize;
    {
        let mut idle = IDLE[class].lock();
        if idle.count < CLASSES[class].1 {
            // SAFETY: as before.
            unsafe { (*block.as_ptr()).next = idle.first };
            idle.first = Some(block);
            idle.count += 1;
            return;
        }
    }
    // SAFETY: as before.
    unsafe { deallocate(block) };
}

/// Bytes of all idle blocks.
pub fn idle_bytes() -> u64 {
    let sizes = IDLE.iter().zip(CLASSES);
    sizes.map(|(idle, (size, _))| (idle.lock().count * size) as u64).sum()
}

/// Gives the memory of all idle blocks back.
pub fn trim() {
    for idle in &IDLE {
        let mut next = {
            let mut idle = idle.lock();
            idle.count = 0;
            idle.first.take()
        };
        while let Some(block) = next {
            // SAFETY: a block that was on the list is valid, and nobody else has it now.
            unsafe {
                next = (*block.as_ptr()).next;
                deallocate(block);
            }
        }
    }
}

/// The first byte of a block's data.
fn data(block: NonNull<Header>) -> *mut u8 {
    block.as_ptr().cast::<u8>().wrapping_add(HEADER)
}

/// A block that is being filled, with one owner.
pub struct PacketRoom {
    block: NonNull<Header>,
}

// SAFETY: it is the only reference to its block.
unsafe impl Send for PacketRoom {}
// SAFETY: through a shared reference its content can only be read.
unsafe impl Sync for PacketRoom {}

impl PacketRoom {
    /// Room for so many bytes, at most [`LARGEST_PACKET`]. `None` without memory.
    pub fn new(bytes: usize) -> Option<Self> {
        let class = CLASSES.iter().position(|(size, _)| size - HEADER >= bytes)?;
        take(class).map(|block| Self { block })
    }

    /// Room for so many bytes, or for fewer if memory is short or lies in pieces. `None` without memory.
    pub fn up_to(bytes: usize) -> Option<Self> {
        let fitting = CLASSES.iter().position(|(size, _)| size - HEADER >= bytes);
        let largest = fitting.unwrap_or(CLASSES.len() - 1);
        (0..=largest).rev().find_map(take).map(|block| Self { block })
    }

    /// Bytes that fit.
    pub fn capacity(&self) -> usize {
        // SAFETY: `class` is set once and never changes.
        let class = unsafe { (*self.block.as_ptr()).class };
        CLASSES[class as usize].0 - HEADER
    }

    /// The physical address of the first byte.
    pub fn physical(&self) -> u64 {
        data(self.block) as u64 - arch::layout::DIRECT_MAP
    }

    /// Its content, whatever it is.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the block is this long, was initialised when it was allocated, and `self` owns it; while a device
        // has it, the driver's queue owns `self`.
        unsafe { core::slice::from_raw_parts(data(self.block), self.capacity()) }
    }

    /// Its content, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(data(self.block), self.capacity()) }
    }

    /// Its first `length` bytes are filled.
    pub fn filled(self, length: usize) -> Packet {
        let room = ManuallyDrop::new(self);
        let length = length.min(room.capacity());
        let block = room.block;
        // SAFETY: `room` is the only reference, and is not used again.
        unsafe {
            (*block.as_ptr()).length = length;
            (*block.as_ptr()).references = AtomicU32::new(1);
        }
        Packet { block }
    }
}

impl Drop for PacketRoom {
    fn drop(&mut self) {
        // SAFETY: `self` was the only reference.
        unsafe { put_back(self.block) };
    }
}

impl fmt::Debug for PacketRoom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "room for {} bytes", self.capacity())
    }
}

/// A reference to a block that is filled.
pub struct Packet {
    block: NonNull<Header>,
}

// SAFETY: the count is atomic, and what is counted changes only through the only reference.
unsafe impl Send for Packet {}
// SAFETY: as before.
unsafe impl Sync for Packet {}

impl Packet {
    /// A packet with a copy of these bytes. `None` without memory, or if they are more than [`LARGEST_PACKET`].
    pub fn copy_of(bytes: &[u8]) -> Option<Self> {
        let mut room = PacketRoom::new(bytes.len())?;
        room.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        Some(room.filled(bytes.len()))
    }

    fn header(&self) -> &Header {
        // SAFETY: the block lives as long as there is a reference, and what changes of its header meanwhile is atomic.
        unsafe { self.block.as_ref() }
    }

    /// The physical address of the first byte.
    pub fn physical(&self) -> u64 {
        data(self.block) as u64 - arch::layout::DIRECT_MAP
    }
}

impl Buffer for Packet {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the block is at least this long and initialised; nobody changes these bytes while there is a reference
        // to them: `replace_end` needs the only one, exclusively.
        unsafe { core::slice::from_raw_parts(data(self.block), self.header().length) }
    }

    fn footprint(&self) -> usize {
        CLASSES[self.header().class as usize].0
    }

    fn joined(first: &[u8], second: &[u8]) -> Option<Self> {
        let length = first.len() + second.len();
        // What was small may go on so.
        let mut room = PacketRoom::new(2 * length).or_else(|| PacketRoom::new(length))?;
        room.bytes_mut()[..first.len()].copy_from_slice(first);
        room.bytes_mut()[first.len()..length].copy_from_slice(second);
        Some(room.filled(length))
    }

    fn replace_end(&mut self, keep: usize, bytes: &[u8]) -> bool {
        let length = keep.saturating_add(bytes.len());
        let fits = keep <= self.header().length && length <= self.footprint() - HEADER;
        // What others read through references that they have given up came before.
        if !fits || self.header().references.load(Ordering::Acquire) != 1 {
            return false;
        }
        // SAFETY: this is the only reference, borrowed exclusively; the range is inside of the block (just checked), and
        // `bytes` can't lie in it.
        unsafe {
            data(self.block)
                .add(keep)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            (*self.block.as_ptr()).length = length;
        }
        true
    }
}

impl Clone for Packet {
    fn clone(&self) -> Self {
        let before = self.header().references.fetch_add(1, Ordering::Relaxed);
        assert!(before < u32::MAX / 2, "2^31 references to a packet");
        Self { block: self.block }
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        if self.header().references.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: this was the last reference.
            unsafe { put_back(self.block) };
        }
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "packet of {} bytes", self.header().length)
    }
}
