//! Physical frames, reference counted.
//!
//! One [`Frame`] value is one reference. Frames of the image (the read-only root file system) are *pinned*:
//! the allocator does not manage them, and references to them cost nothing.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_frames::{FrameAllocator, FrameRecord};
use spin::Once;

use super::PAGE_SIZE;
use crate::arch;
use crate::sync::InterruptMutex;

pub use pith_frames::Purpose;

/// The lock holds interrupts off: the heap asks for frames wherever it is used.
static ALLOCATOR: Once<InterruptMutex<FrameAllocator<'static>>> = Once::new();
static RAM: Once<alloc::boxed::Box<[Range<u64>]>> = Once::new();
/// Bytes that the allocator manages. They never change, so no lock is needed to know them.
static TOTAL: AtomicU64 = AtomicU64::new(0);
/// Frames that are free, and of these, what only the kernel may take: told by whoever held the lock last.
static FREE: AtomicU64 = AtomicU64::new(0);
static RESERVE: AtomicU64 = AtomicU64::new(0);
/// Frames that are page tables of programs.
static TABLES: AtomicU64 = AtomicU64::new(0);
/// Frames that hold file data and shared memory.
static FILE_FRAMES: AtomicU64 = AtomicU64::new(0);

/// What all readers of untouched memory see. A page of the kernel itself, so it is pinned.
#[repr(C, align(4096))]
struct ZeroPage([u8; PAGE_SIZE]);

static ZERO: ZeroPage = ZeroPage([0; PAGE_SIZE]);

fn zero_frame() -> u64 {
    (&raw const ZERO as u64 - arch::layout::KERNEL_BASE) / PAGE_SIZE as u64
}

fn allocator() -> &'static InterruptMutex<FrameAllocator<'static>> {
    ALLOCATOR.get().expect("frames are initialised first at boot")
}

/// Makes the allocator of all memory in `ram` (byte ranges) that is not in `taken`.
///
/// Returns an error text if the machine has too little memory even for the records.
pub fn initialise(ram: &[Range<u64>], taken: &[Range<u64>]) -> Result<(), &'static str> {
    const PAGE: u64 = PAGE_SIZE as u64;
    // Memory that the direct map can't reach stays unused.
    let reachable = |end: u64| end.min(arch::layout::DIRECT_MAP_SIZE);
    let span_end = ram
        .iter()
        .map(|range| reachable(range.end))
        .max()
        .ok_or("the monitor reports no memory")?
        / PAGE;
    let record_bytes = (span_end * size_of::<FrameRecord>() as u64).next_multiple_of(PAGE);
    // What is free, in frames, after the parts that are taken.
    let mut free: heapless_ranges::Ranges = heapless_ranges::Ranges::new();
    for range in ram {
        free.push(range.start.max(PAGE).div_ceil(PAGE)..reachable(range.end) / PAGE);
    }
    for range in taken {
        free.remove(range.start / PAGE..range.end.div_ceil(PAGE));
    }
    // The records go into the highest free range below 4 GiB, which the boot code has mapped.
    let record_frames = record_bytes / PAGE;
    let place = free
        .iter()
        .filter(|range| range.start < 1 << 20)
        .map(|range| range.start..range.end.min(1 << 20))
        .filter(|range| range.end.saturating_sub(range.start) >= record_frames)
        .max_by_key(|range| range.end)
        .ok_or("no room for the frame records")?;
    let start = place.end - record_frames;
    free.remove(start..place.end);
    // SAFETY: the range is RAM that nobody else uses (it was just taken out of what is free), it is mapped by
    // the direct map, and any bit pattern is a valid record.
    let records = unsafe {
        core::slice::from_raw_parts_mut(
            arch::boot::direct(start * PAGE).cast::<FrameRecord>(),
            span_end as usize,
        )
    };
    let regions: &[Range<u64>] = free.as_slice();
    let mut frames =
        FrameAllocator::new(0, records, regions).map_err(|_| "the monitor's memory map has too many ranges")?;
    // The kernel's own needs (tables, heap) must not fail because the program took the last frame.
    frames.set_reserve((frames.total() / 64).clamp(64, 4096));
    TOTAL.store(frames.total() * PAGE, Ordering::Relaxed);
    FREE.store(frames.free(), Ordering::Relaxed);
    RESERVE.store(frames.reserve(), Ordering::Relaxed);
    SCARCE.store(2 * frames.reserve(), Ordering::Relaxed);
    ALLOCATOR.call_once(|| InterruptMutex::new(frames));
    Ok(())
}

/// Remembers which physical ranges are memory, for [`is_ram`]. Needs the heap.
pub fn remember_ram(ram: &[Range<u64>]) {
    RAM.call_once(|| ram.into());
}

/// Whether any byte of the physical range is memory.
pub fn is_ram(start: u64, end: u64) -> bool {
    RAM.get()
        .is_none_or(|ram| ram.iter().any(|range| range.start < end && start < range.end))
}

mod heapless_ranges {
    //! A few ranges without a heap.
    use core::ops::Range;

    pub struct Ranges {
        items: [Range<u64>; 32],
        count: usize,
    }

    impl Ranges {
        pub fn new() -> Self {
            Self {
                items: [const { 0..0 }; 32],
                count: 0,
            }
        }

        pub fn push(&mut self, range: Range<u64>) {
            if range.start < range.end && self.count < self.items.len() {
                self.items[self.count] = range;
                self.count += 1;
            }
        }

        pub fn remove(&mut self, hole: Range<u64>) {
            for index in 0..self.count {
                let range = self.items[index].clone();
                if hole.start >= range.end || hole.end <= range.start {
                    continue;
                }
                self.items[index] = range.start..hole.start.clamp(range.start, range.end);
                self.push(hole.end..range.end);
            }
        }

        pub fn as_slice(&self) -> &[Range<u64>] {
            &self.items[..self.count]
        }

        pub fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
            self.as_slice().iter()
        }
    }
}

/// Counters of physical memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct MemoryCounters {
    /// Memory that the allocator manages.
    pub total: u64,
    /// Not in use.
    pub free: u64,
    /// Most that was in use at one time.
    pub peak: u64,
    /// What only the kernel may take of the rest.
    pub reserve: u64,
}

/// The counters now.
pub fn counters() -> MemoryCounters {
    let frames = allocator().lock();
    MemoryCounters {
        total: frames.total() * PAGE_SIZE as u64,
        free: frames.free() * PAGE_SIZE as u64,
        peak: frames.peak_used() * PAGE_SIZE as u64,
        reserve: frames.reserve() * PAGE_SIZE as u64,
    }
}

/// How many free blocks of 2^n frames there are, by n (`/proc/buddyinfo`).
pub fn free_blocks() -> impl IntoIterator<Item = u64> {
    allocator().lock().free_blocks()
}

/// The ranges of physical addresses that are memory.
pub fn ram() -> &'static [Range<u64>] {
    RAM.get().map_or(&[], |ram| ram)
}

/// Bytes that the allocator manages: most that could ever be backed.
pub fn total() -> u64 {
    TOTAL.load(Ordering::Relaxed)
}

/// Bytes that are not in use.
#[inline]
pub fn free() -> u64 {
    FREE.load(Ordering::Relaxed) * PAGE_SIZE as u64
}

/// Whether only the kernel's reserve is left. Who makes a lasting object of the kernel for the program refuses
/// then (`ENOMEM`, `ENOSPC`): the heap has no way to fail but to end the machine.
#[inline]
pub fn is_low() -> bool {
    FREE.load(Ordering::Relaxed) <= RESERVE.load(Ordering::Relaxed)
}

/// Whether so little is left that no more lasting objects are made at a program's wish. It is more than the reserve, so
/// that the program can still touch its own memory when it is told.
#[inline]
pub fn is_short() -> bool {
    FREE.load(Ordering::Relaxed) <= 2 * RESERVE.load(Ordering::Relaxed)
}

/// When fewer frames are free than this, calls first look for what can be given up ([`look_ahead`]); before that is ever called,
/// as many as where calls fail ([`is_short`]).
static SCARCE: AtomicU64 = AtomicU64::new(0);

/// Programs have memory that they can do without: it is given up early enough, so that nothing has to be refused for want of
/// it. That is more than what files leave free.
pub fn look_ahead() {
    let reserve = RESERVE.load(Ordering::Relaxed);
    let share = TOTAL.load(Ordering::Relaxed) / PAGE_SIZE as u64 / 16;
    SCARCE.store(share.max(4 * reserve), Ordering::Relaxed);
}

/// Whether so little is left, beside so many bytes, that it is time to look for what can be given up.
#[inline]
pub fn is_scarce(bytes: u64) -> bool {
    FREE.load(Ordering::Relaxed) <= SCARCE.load(Ordering::Relaxed) + bytes / PAGE_SIZE as u64
}

/// Whether more than half of memory is free.
#[inline]
pub fn is_plentiful() -> bool {
    FREE.load(Ordering::Relaxed) * 2 * PAGE_SIZE as u64 > TOTAL.load(Ordering::Relaxed)
}

/// Takes 2^order frames; the number of the first.
fn take(order: u8, purpose: Purpose) -> Option<u64> {
    let mut frames = allocator().lock();
    let frame = frames.allocate(order, purpose);
    FREE.store(frames.free(), Ordering::Relaxed);
    frame
}

/// Gives a reference to a block back. False if there was none.
fn give_back(frame: u64) -> bool {
    let mut frames = allocator().lock();
    let released = frames.release(frame).is_ok();
    FREE.store(frames.free(), Ordering::Relaxed);
    released
}

/// A frame for a page table of the kernel's half, as a physical address.
pub fn table_frame() -> Option<u64> {
    take(0, Purpose::Kernel).map(|frame| frame * PAGE_SIZE as u64)
}

/// A frame for a page table of a program, which must not use the reserve up. It is given back by
/// [`release_table`].
pub fn user_table_frame() -> Option<u64> {
    let frame = take(0, Purpose::User)?;
    TABLES.fetch_add(1, Ordering::Relaxed);
    Some(frame * PAGE_SIZE as u64)
}

/// Bytes of page tables of programs.
pub fn table_bytes() -> u64 {
    TABLES.load(Ordering::Relaxed) * PAGE_SIZE as u64
}

/// Counts frames that hold file data or shared memory from now on, or that many fewer.
pub fn count_file_frames(change: i64) {
    FILE_FRAMES.fetch_add(change as u64, Ordering::Relaxed);
}

/// Bytes of file data and shared memory, but for what lies in the image.
pub fn file_bytes() -> u64 {
    FILE_FRAMES.load(Ordering::Relaxed) * PAGE_SIZE as u64
}

/// Gives a frame of a page table back.
pub fn release_table(physical: u64) {
    TABLES.fetch_sub(1, Ordering::Relaxed);
    // The frame was allocated for a table, so this can't fail; if it did, keeping the frame is the safe side.
    give_back(physical / PAGE_SIZE as u64);
}

/// Contiguous memory for the kernel's heap, for ever: 2^order frames.
pub fn allocate_for_heap(order: u8) -> Option<*mut u8> {
    take(order, Purpose::Kernel).map(|frame| arch::boot::direct(frame * PAGE_SIZE as u64))
}

/// A block of 2^order contiguous frames with whatever they held before, as a physical address.
pub fn allocate_block(order: u8, purpose: Purpose) -> Option<u64> {
    take(order, purpose).map(|frame| frame * PAGE_SIZE as u64)
}

/// Gives a block back that [`allocate_block`] gave.
pub fn release_block(physical: u64) {
    // As for tables.
    give_back(physical / PAGE_SIZE as u64);
}

/// Large pages that were handed out.
static LARGE_PAGES: AtomicU64 = AtomicU64::new(0);

/// Large pages that programs got so far.
pub fn large_pages_made() -> u64 {
    LARGE_PAGES.load(Ordering::Relaxed)
}

/// Frames for a large page, filled with zeroes and with one reference each. The address of the first.
pub fn zeroed_large() -> Option<u64> {
    let first = {
        let mut frames = allocator().lock();
        let first = frames.allocate(LARGE_ORDER, Purpose::User)?;
        // Of a block that was just allocated this can't fail.
        let _ = frames.split(first);
        FREE.store(frames.free(), Ordering::Relaxed);
        first
    };
    for frame in first..first + arch::LARGE_PAGE_FRAMES {
        // SAFETY: the frames were just handed out.
        unsafe { arch::boot::clear_frame(frame * PAGE_SIZE as u64) };
    }
    LARGE_PAGES.fetch_add(1, Ordering::Relaxed);
    Some(first * PAGE_SIZE as u64)
}

/// Gives one reference to each frame of a large page back.
///
/// # Safety
/// The caller has these references and does not use them again.
pub unsafe fn release_large(physical: u64) {
    let first = physical / PAGE_SIZE as u64;
    let mut frames = allocator().lock();
    for frame in first..first + arch::LARGE_PAGE_FRAMES {
        let released = frames.release(frame);
        debug_assert!(released.is_ok(), "a frame of a large page was released twice");
    }
    FREE.store(frames.free(), Ordering::Relaxed);
}

/// Order of a block of frames for a large page.
const LARGE_ORDER: u8 = arch::LARGE_PAGE_FRAMES.trailing_zeros() as u8;

/// One reference to a frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    number: u64,
}

impl Frame {
    /// A frame of zeroes.
    pub fn zeroed(purpose: Purpose) -> Option<Self> {
        let frame = Self::uninitialised(purpose)?;
        // SAFETY: the frame was just handed out: nobody else sees it.
        unsafe { arch::boot::clear_frame(frame.physical()) };
        Some(frame)
    }

    /// A frame with whatever it held before; the caller overwrites all of it before a program sees it.
    fn uninitialised(purpose: Purpose) -> Option<Self> {
        take(0, purpose).map(|number| Self { number })
    }

    /// A new frame with the content of this one.
    pub fn duplicate(&self, purpose: Purpose) -> Option<Self> {
        let copy = Self::uninitialised(purpose)?;
        // SAFETY: two different frames, one of them nobody else sees.
        unsafe { copy.pointer().copy_from_nonoverlapping(self.pointer(), PAGE_SIZE) };
        Some(copy)
    }

    /// Overwrites it with the content of another one.
    pub fn copy_from(&self, other: &Self) {
        if self.number != other.number {
            // SAFETY: two different frames, to both of which references are held.
            unsafe { self.pointer().copy_from_nonoverlapping(other.pointer(), PAGE_SIZE) };
        }
    }

    /// Contiguous, zeroed frames, for rings of devices: 2^order of them; the references of all are in the first.
    pub fn contiguous(order: u8) -> Option<Self> {
        let number = take(order, Purpose::Kernel)?;
        let block = Self { number };
        // SAFETY: the frames were just handed out.
        unsafe { block.pointer().write_bytes(0, PAGE_SIZE << order) };
        Some(block)
    }

    /// The pinned frame of zeroes that all readers of untouched memory share.
    pub fn shared_zero() -> Self {
        Self { number: zero_frame() }
    }

    /// Whether this is the shared frame of zeroes.
    pub fn is_shared_zero(&self) -> bool {
        self.number == zero_frame()
    }

    /// The pinned frame at an address in the image, which is page aligned and read-only for ever.
    ///
    /// # Panics
    /// If the address is not aligned, or the frame is managed by the allocator.
    pub fn of_image(bytes: &'static [u8]) -> Self {
        let address = bytes.as_ptr() as u64;
        assert!(
            address.is_multiple_of(PAGE_SIZE as u64) && bytes.len() == PAGE_SIZE,
            "one whole frame"
        );
        let number = (address - arch::layout::DIRECT_MAP) / PAGE_SIZE as u64;
        debug_assert!(
            allocator().lock().is_reserved(number),
            "frames of the image are not managed"
        );
        Self { number }
    }

    /// How many references there are; `u32::MAX` for pinned frames.
    pub fn references(&self) -> u32 {
        allocator().lock().references(self.number)
    }

    /// The physical address.
    pub fn physical(&self) -> u64 {
        self.number * PAGE_SIZE as u64
    }

    /// Turns the reference into a physical address that carries it (a page table entry).
    pub fn into_raw(self) -> u64 {
        let physical = self.physical();
        core::mem::forget(self);
        physical
    }

    /// Takes a reference back that [`Self::into_raw`] put into an address.
    ///
    /// # Safety
    /// The address came from `into_raw`, and its reference has not been taken back yet.
    pub unsafe fn from_raw(physical: u64) -> Self {
        Self {
            number: physical / PAGE_SIZE as u64,
        }
    }

    /// Where the kernel sees the frame.
    pub(super) fn pointer(&self) -> *mut u8 {
        arch::boot::direct(self.physical())
    }

    /// Copies bytes out, from `offset` on. A program may be changing them at the same time.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        assert!(
            offset.checked_add(bytes.len()).is_some_and(|end| end <= PAGE_SIZE),
            "within the frame"
        );
        // SAFETY: inside the frame, to which we hold a reference; only raw copies are made of memory that a
        // program may share, never Rust references.
        unsafe {
            bytes
                .as_mut_ptr()
                .copy_from_nonoverlapping(self.pointer().add(offset), bytes.len())
        };
    }

    /// Copies bytes in, from `offset` on. Not for frames of the image.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(
            offset.checked_add(bytes.len()).is_some_and(|end| end <= PAGE_SIZE),
            "within the frame"
        );
        // SAFETY: as for `read`.
        unsafe {
            self.pointer()
                .add(offset)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
        };
    }

    /// Zeroes a range.
    pub fn clear(&self, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= PAGE_SIZE, "within the frame");
        // SAFETY: as for `read`.
        unsafe { self.pointer().add(range.start).write_bytes(0, range.len()) };
    }

    /// Copies from the program's memory straight into the frame. Returns the number of bytes not copied.
    /// No lock may be held (see the module).
    pub fn write_from_user(&self, offset: usize, address: u64, length: usize) -> usize {
        assert!(
            offset.checked_add(length).is_some_and(|end| end <= PAGE_SIZE),
            "within the frame"
        );
        // SAFETY: inside the frame, to which we hold a reference; the slice is only the target of a raw copy.
        let target = unsafe { core::slice::from_raw_parts_mut(self.pointer().add(offset), length) };
        arch::copy_from_program(target, address)
    }

    /// Copies straight into the program's memory. Returns the number of bytes not copied. No lock may be held.
    pub fn read_to_user(&self, offset: usize, address: u64, length: usize) -> usize {
        assert!(
            offset.checked_add(length).is_some_and(|end| end <= PAGE_SIZE),
            "within the frame"
        );
        // SAFETY: as for `write_from_user`.
        let source = unsafe { core::slice::from_raw_parts(self.pointer().add(offset), length) };
        arch::copy_to_program(address, source)
    }
}

impl Clone for Frame {
    fn clone(&self) -> Self {
        if allocator().lock().retain(self.number).is_err() {
            panic!("a reference to a frame that is not allocated, or 2^32 of them");
        }
        Self { number: self.number }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if !give_back(self.number) {
            panic!("frame {:#x} released twice", self.number);
        }
    }
}
