//! Physical frame allocation: a buddy allocator that starts without touching memory.
//!
//! A *frame* is 4 KiB of physical memory and is named by its number (address / 4096). A *block* is 2^order
//! frames whose first frame number is a multiple of 2^order; its first frame is the block's *head* and
//! stands for the whole block. A free block whose neighbour of the same size (its *buddy*) is free too
//! becomes one block of the next order, so that large blocks come back when small ones are released.
//!
//! One [`FrameRecord`] describes each frame. At boot there may be millions of them in memory of unknown
//! content, so each region has a *watermark*: frames at or above it were never handed out, their records
//! are neither read nor written. Starting costs time for each region, not for each frame, and a machine
//! with much memory that runs a small program never pays for the rest.
//!
//! Frames that belong to no region are *reserved*: the kernel, the image (whose frames are the page cache),
//! devices. They can be mapped and shared like others, so [`FrameAllocator::retain`] and
//! [`FrameAllocator::release`] accept them and do nothing.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use core::fmt;
use core::ops::Range;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Size of a frame, in bytes.
pub const FRAME_SIZE: u64 = 4096;

/// The largest order of a block: 2^18 frames are 1 GiB, the largest page that x86-64 can map.
pub const MAXIMUM_ORDER: u8 = 18;

/// Most regions that an allocator manages, after those that touch were joined.
pub const MAXIMUM_REGIONS: usize = 32;

/// A link that leads nowhere.
const NO_FRAME: u32 = u32::MAX;

/// Number of orders.
pub const ORDERS: usize = MAXIMUM_ORDER as usize + 1;

/// Frame numbers stay below this, so that addresses fit in 64 bits and alignment can't overflow.
const FRAME_NUMBER_LIMIT: u64 = 1 << 52;

/// The frame is inside a block, not its head.
const INTERIOR: u8 = 0;
/// The frame is the head of a free block, which is in the free list of its order.
const FREE: u8 = 1;
/// The frame is the head of an allocated block.
const ALLOCATED: u8 = 2;

/// What the allocator knows about one frame: 16 bytes, of which any pattern is valid.
///
/// The content belongs to the allocator; the kernel only provides the memory, in any state.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FrameRecord {
    /// Index of the next head in the free list, or [`NO_FRAME`].
    next: u32,
    /// Index of the previous head in the free list, or [`NO_FRAME`].
    previous: u32,
    /// How many owners an allocated block has.
    references: u32,
    /// Order of the block that this frame heads.
    order: u8,
    /// [`INTERIOR`], [`FREE`] or [`ALLOCATED`].
    state: u8,
    /// Always 0.
    reserved: u16,
}

impl FrameRecord {
    /// A frame inside a block; also a good initial content for tests.
    pub const INTERIOR: Self = Self {
        next: NO_FRAME,
        previous: NO_FRAME,
        references: 0,
        order: 0,
        state: INTERIOR,
        reserved: 0,
    };
}

/// For whom a block is allocated, which decides whether the reserve may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Memory of a program. At least [`FrameAllocator::reserve`] frames stay free.
    User,
    /// Memory of the kernel itself, which may use the last frame.
    Kernel,
}

/// Why an operation on a frame was refused. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The frame is not the head of an allocated block: it is free (released twice?) or inside a block.
    NotAllocated {
        /// Number of the frame.
        frame: u64,
    },
    /// The block has 2^32 - 2 owners already.
    TooManyReferences {
        /// Number of the frame.
        frame: u64,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllocated { frame } => {
                write!(
                    formatter,
                    "frame {frame:#x} is not the head of an allocated block"
                )
            }
            Self::TooManyReferences { frame } => {
                write!(formatter, "frame {frame:#x} has too many references")
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// Why an allocator could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// More than [`MAXIMUM_REGIONS`] separate regions.
    TooManyRegions,
    /// A region reaches beyond the frames that have records, or ends before it starts.
    RegionOutsideRecords {
        /// First frame of the region.
        start: u64,
        /// Frame behind the region.
        end: u64,
    },
    /// More than 2^32 - 1 records, or frame numbers of 2^52 and more.
    SpanTooLarge,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRegions => {
                write!(formatter, "more than {MAXIMUM_REGIONS} regions of memory")
            }
            Self::RegionOutsideRecords { start, end } => {
                write!(
                    formatter,
                    "frames {start:#x}..{end:#x} lie outside the managed span"
                )
            }
            Self::SpanTooLarge => write!(formatter, "the managed span has too many frames"),
        }
    }
}

impl core::error::Error for LayoutError {}

/// A range of usable frames.
#[derive(Clone, Copy, Debug)]
struct Region {
    /// First frame.
    start: u64,
    /// Frame behind the last one.
    end: u64,
    /// First frame that was never handed out; records from here on are not initialised.
    watermark: u64,
}

impl Region {
    /// A region without frames, for unused places.
    const EMPTY: Self = Self {
        start: 0,
        end: 0,
        watermark: 0,
    };
}

/// Counters of an allocator, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameStatistics {
    /// All frames of all regions.
    pub total: u64,
    /// Frames that are not allocated, those never touched included.
    pub free: u64,
    /// Most frames that were ever allocated at the same time.
    pub peak_used: u64,
    /// Frames that only the kernel may take.
    pub reserve: u64,
    /// Free frames that were never handed out.
    pub untouched: u64,
}

/// The buddy allocator. It takes no lock; the kernel wraps it in one.
#[derive(Debug)]
pub struct FrameAllocator<'records> {
    /// Number of the frame that the first record describes.
    base_frame: u64,
    /// One record for each frame from `base_frame` on.
    records: &'records mut [FrameRecord],
    /// Regions in ascending order, separated by at least one reserved frame.
    regions: [Region; MAXIMUM_REGIONS],
    /// How many places of `regions` are used.
    region_count: usize,
    /// First head of each order's free list.
    free_lists: [u32; ORDERS],
    /// How many blocks each of them has.
    free_counts: [u32; ORDERS],
    /// Bit n is set while the free list of order n has blocks.
    free_orders: u32,
    /// All frames of all regions.
    total: u64,
    /// Frames that are not allocated.
    free: u64,
    /// Most frames ever allocated at the same time.
    peak_used: u64,
    /// Frames that must stay free when a program's memory is allocated.
    reserve: u64,
}

impl<'records> FrameAllocator<'records> {
    /// Makes an allocator of the frames in `regions`, in any order; regions that touch or overlap are joined
    /// and empty ones are ignored.
    ///
    /// `records[0]` describes `base_frame`, and so on. Their content does not matter. The frames that hold the
    /// records must not be part of a region.
    ///
    /// # Errors
    /// See [`LayoutError`].
    pub fn new(
        base_frame: u64,
        records: &'records mut [FrameRecord],
        regions: &[Range<u64>],
    ) -> Result<Self, LayoutError> {
        let length = records.len() as u64;
        if length >= u64::from(NO_FRAME)
            || base_frame
                .checked_add(length)
                .is_none_or(|end| end > FRAME_NUMBER_LIMIT)
        {
            return Err(LayoutError::SpanTooLarge);
        }
        let mut allocator = Self {
            base_frame,
            records,
            regions: [Region::EMPTY; MAXIMUM_REGIONS],
            region_count: 0,
            free_lists: [NO_FRAME; ORDERS],
            free_counts: [0; ORDERS],
            free_orders: 0,
            total: 0,
            free: 0,
            peak_used: 0,
            reserve: 0,
        };
        for region in regions {
            if region.start > region.end
                || (region.start < region.end
                    && (region.start < base_frame || region.end > base_frame + length))
            {
                return Err(LayoutError::RegionOutsideRecords {
                    start: region.start,
                    end: region.end,
                });
            }
            if region.start < region.end {
                allocator.add_region(region.start, region.end)?;
            }
        }
        let used = &allocator.regions[..allocator.region_count];
        allocator.total = used.iter().map(|region| region.end - region.start).sum();
        allocator.free = allocator.total;
        Ok(allocator)
    }

    /// Inserts a region in ascending order and joins it with those that it touches.
    fn add_region(&mut self, mut start: u64, mut end: u64) -> Result<(), LayoutError> {
        let used = &self.regions[..self.region_count];
        let first = used.partition_point(|region| region.end < start);
        let behind = used.partition_point(|region| region.start <= end);
        if first < behind {
            start = start.min(used[first].start);
            end = end.max(used[behind - 1].end);
            self.regions
                .copy_within(behind..self.region_count, first + 1);
            self.region_count -= behind - first - 1;
        } else {
            if self.region_count == MAXIMUM_REGIONS {
                return Err(LayoutError::TooManyRegions);
            }
            self.regions
                .copy_within(first..self.region_count, first + 1);
            self.region_count += 1;
        }
        self.regions[first] = Region {
            start,
            end,
            watermark: start,
        };
        Ok(())
    }

    /// Allocates 2^`order` frames that start at a multiple of 2^`order` and returns the number of the first.
    /// The block has one reference. The content of the frames is whatever they held before.
    ///
    /// `None` means that no such block is free (or, for [`Purpose::User`], that the reserve would be
    /// touched): `ENOMEM`. Memory that was used before is preferred to memory never touched, because the host
    /// has paid for it already.
    pub fn allocate(&mut self, order: u8, purpose: Purpose) -> Option<u64> {
        if order > MAXIMUM_ORDER {
            return None;
        }
        let size = 1 << order;
        let floor = match purpose {
            Purpose::User => self.reserve,
            Purpose::Kernel => 0,
        };
        if self.free < size || self.free - size < floor {
            return None;
        }
        let frame = self
            .take_from_lists(order)
            .or_else(|| self.carve(order))
            .or_else(|| {
                if self.lower_watermarks() {
                    self.carve(order)
                } else {
                    None
                }
            })?;
        self.free -= size;
        self.peak_used = self.peak_used.max(self.total - self.free);
        Some(frame)
    }

    /// Adds a reference to the allocated block that `frame` heads. Reserved frames are not counted.
    ///
    /// # Errors
    /// [`FrameError::NotAllocated`], [`FrameError::TooManyReferences`].
    pub fn retain(&mut self, frame: u64) -> Result<(), FrameError> {
        let Some(region) = self.region_of(frame) else {
            return Ok(());
        };
        let index = self.allocated_head(frame, &region)?;
        let record = &mut self.records[index];
        // u32::MAX stands for "reserved" in the answer of `references`.
        if record.references >= u32::MAX - 1 {
            return Err(FrameError::TooManyReferences { frame });
        }
        record.references += 1;
        Ok(())
    }

    /// Takes a reference from the allocated block that `frame` heads, and frees the whole block if it was the
    /// last one. Returns whether the block was freed. Reserved frames are not counted and never freed.
    ///
    /// # Errors
    /// [`FrameError::NotAllocated`]: the caller has lost count. The allocator is intact.
    pub fn release(&mut self, frame: u64) -> Result<bool, FrameError> {
        let Some(region) = self.region_of(frame) else {
            return Ok(false);
        };
        let index = self.allocated_head(frame, &region)?;
        let record = &mut self.records[index];
        if record.references > 1 {
            record.references -= 1;
            return Ok(false);
        }
        let order = record.order;
        self.free_block(frame, order, &region);
        self.free += 1 << order;
        Ok(true)
    }

    /// How many references the block that `frame` heads has: 0 for free frames and for frames inside a block,
    /// `u32::MAX` for reserved ones, which are always there and always shared.
    pub fn references(&self, frame: u64) -> u32 {
        let Some(region) = self.region_of(frame) else {
            return u32::MAX;
        };
        match self.allocated_head(frame, &region) {
            Ok(index) => self.records[index].references,
            Err(_) => 0,
        }
    }

    /// The order of the allocated block that `frame` heads; `None` for any other frame.
    pub fn order(&self, frame: u64) -> Option<u8> {
        let region = self.region_of(frame)?;
        let index = self.allocated_head(frame, &region).ok()?;
        Some(self.records[index].order)
    }

    /// Makes single frames of the allocated block that `frame` heads, each with as many references as the
    /// block had. They are released one by one from then on.
    ///
    /// # Errors
    /// [`FrameError::NotAllocated`]; reserved frames are no blocks, so they are refused too.
    pub fn split(&mut self, frame: u64) -> Result<(), FrameError> {
        let region = self
            .region_of(frame)
            .ok_or(FrameError::NotAllocated { frame })?;
        let index = self.allocated_head(frame, &region)?;
        let FrameRecord {
            order, references, ..
        } = self.records[index];
        self.records[index..index + (1 << order)].fill(FrameRecord {
            references,
            state: ALLOCATED,
            ..FrameRecord::INTERIOR
        });
        Ok(())
    }

    /// Whether `frame` belongs to no region.
    pub fn is_reserved(&self, frame: u64) -> bool {
        self.region_of(frame).is_none()
    }

    /// All frames of all regions.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Frames that are not allocated, those never touched included.
    pub fn free(&self) -> u64 {
        self.free
    }

    /// Most frames that were ever allocated at the same time.
    pub fn peak_used(&self) -> u64 {
        self.peak_used
    }

    /// How many frames must stay free when a program's memory is allocated. 0 at first.
    pub fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Sets how many frames must stay free when a program's memory is allocated.
    pub fn set_reserve(&mut self, frames: u64) {
        self.reserve = frames;
    }

    /// All counters at once.
    pub fn statistics(&self) -> FrameStatistics {
        let used = &self.regions[..self.region_count];
        FrameStatistics {
            total: self.total,
            free: self.free,
            peak_used: self.peak_used,
            reserve: self.reserve,
            untouched: used
                .iter()
                .map(|region| region.end - region.watermark)
                .sum(),
        }
    }

    /// How many free blocks there are of each order. What was never handed out counts as the largest blocks that it holds.
    pub fn free_blocks(&self) -> [u64; ORDERS] {
        let mut blocks = self.free_counts.map(u64::from);
        for region in &self.regions[..self.region_count] {
            let mut frame = region.watermark;
            while frame < region.end {
                let aligned = frame.trailing_zeros().min(ORDERS as u32 - 1);
                let order = aligned.min((region.end - frame).ilog2());
                blocks[order as usize] += 1;
                frame += 1 << order;
            }
        }
        blocks
    }

    /// The region that holds `frame`.
    fn region_of(&self, frame: u64) -> Option<Region> {
        let used = &self.regions[..self.region_count];
        let position = used.partition_point(|region| region.end <= frame);
        used.get(position)
            .copied()
            .filter(|region| frame >= region.start)
    }

    /// Index of the record of `frame`, which lies in a region.
    fn index(&self, frame: u64) -> usize {
        (frame - self.base_frame) as usize
    }

    /// Index of the record of `frame` if it is the head of an allocated block of `region`.
    fn allocated_head(&self, frame: u64, region: &Region) -> Result<usize, FrameError> {
        let index = self.index(frame);
        if frame < region.watermark && self.records[index].state == ALLOCATED {
            Ok(index)
        } else {
            Err(FrameError::NotAllocated { frame })
        }
    }

    /// Whether a block of `order` at `frame` (below the watermark of its region) is free.
    fn is_free_block(&self, frame: u64, order: u8) -> bool {
        let record = &self.records[self.index(frame)];
        record.state == FREE && record.order == order
    }

    /// Makes `frame` the head of an allocated block with one reference.
    fn mark_allocated(&mut self, frame: u64, order: u8) {
        let index = self.index(frame);
        self.records[index] = FrameRecord {
            references: 1,
            order,
            state: ALLOCATED,
            ..FrameRecord::INTERIOR
        };
    }

    /// Puts a free block at the front of its list.
    fn link(&mut self, frame: u64, order: u8) {
        let index = self.index(frame);
        let next = self.free_lists[usize::from(order)];
        self.records[index] = FrameRecord {
            next,
            order,
            state: FREE,
            ..FrameRecord::INTERIOR
        };
        if next != NO_FRAME {
            self.records[next as usize].previous = index as u32;
        }
        self.free_lists[usize::from(order)] = index as u32;
        self.free_orders |= 1 << order;
        self.free_counts[usize::from(order)] += 1;
    }

    /// Takes a free block out of its list; its head is an interior frame until the caller says otherwise.
    fn unlink(&mut self, frame: u64) {
        let index = self.index(frame);
        let FrameRecord {
            next,
            previous,
            order,
            ..
        } = self.records[index];
        self.records[index] = FrameRecord::INTERIOR;
        self.free_counts[usize::from(order)] -= 1;
        if next != NO_FRAME {
            self.records[next as usize].previous = previous;
        }
        if previous != NO_FRAME {
            self.records[previous as usize].next = next;
        } else {
            self.free_lists[usize::from(order)] = next;
            if next == NO_FRAME {
                self.free_orders &= !(1 << order);
            }
        }
    }

    /// Allocates from the smallest free block that is large enough and frees what is not needed of it.
    fn take_from_lists(&mut self, order: u8) -> Option<u64> {
        let candidates = self.free_orders >> order << order;
        if candidates == 0 {
            return None;
        }
        let mut size = candidates.trailing_zeros() as u8;
        let frame = self.base_frame + u64::from(self.free_lists[usize::from(size)]);
        self.unlink(frame);
        while size > order {
            size -= 1;
            self.link(frame + (1 << size), size);
        }
        self.mark_allocated(frame, order);
        Some(frame)
    }

    /// Allocates from frames never handed out. The frames between the watermark and the block, which exist
    /// because of its alignment, become free blocks.
    fn carve(&mut self, order: u8) -> Option<u64> {
        for position in 0..self.region_count {
            let region = self.regions[position];
            let frame = region.watermark.next_multiple_of(1 << order);
            let behind = frame + (1 << order);
            if behind > region.end {
                continue;
            }
            let first = self.index(region.watermark);
            let last = self.index(behind);
            self.records[first..last].fill(FrameRecord::INTERIOR);
            self.regions[position].watermark = behind;
            self.mark_allocated(frame, order);
            let region = self.regions[position];
            let mut gap = first as u64 + self.base_frame;
            while gap < frame {
                let aligned = gap.trailing_zeros().min(u32::from(MAXIMUM_ORDER));
                let order = aligned.min((frame - gap).ilog2()) as u8;
                self.free_block(gap, order, &region);
                gap += 1 << order;
            }
            return Some(frame);
        }
        None
    }

    /// Frees a block, joined with its buddy as often as that is free. Counters are the caller's.
    fn free_block(&mut self, mut frame: u64, mut order: u8, region: &Region) {
        let index = self.index(frame);
        self.records[index] = FrameRecord::INTERIOR;
        while order < MAXIMUM_ORDER {
            let size = 1 << order;
            let buddy = frame ^ size;
            // The record of a buddy below the watermark is initialised, and it is the head of some block: a
            // block that held the buddy inside would hold `frame` as well.
            if buddy < region.start
                || buddy + size > region.watermark
                || !self.is_free_block(buddy, order)
            {
                break;
            }
            self.unlink(buddy);
            frame = frame.min(buddy);
            order += 1;
        }
        self.link(frame, order);
    }

    /// Returns free blocks just below a watermark to the untouched frames, so that they can join those in a
    /// large block. Only needed when nothing else helps. Returns whether a watermark has moved.
    fn lower_watermarks(&mut self) -> bool {
        let mut moved = false;
        for position in 0..self.region_count {
            while let Some(frame) = self.free_block_at_watermark(&self.regions[position]) {
                self.unlink(frame);
                self.regions[position].watermark = frame;
                moved = true;
            }
        }
        moved
    }

    /// The free block that ends at the watermark of `region`.
    fn free_block_at_watermark(&self, region: &Region) -> Option<u64> {
        (0..=MAXIMUM_ORDER)
            .map(|order| (order, 1 << order))
            .take_while(|(_, size)| region.watermark - region.start >= *size)
            .take_while(|(_, size)| region.watermark.is_multiple_of(*size))
            .find(|(order, size)| self.is_free_block(region.watermark - size, *order))
            .map(|(_, size)| region.watermark - size)
    }
}

#[cfg(test)]
mod tests;
