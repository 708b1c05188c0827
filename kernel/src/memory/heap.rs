//! The kernel's heap: the `talc` allocator on memory taken from the frame allocator as it is needed, and in front of it
//! for each processor lists of small blocks that were given back.
//!
//! Nearly all blocks are small and live briefly: the lists serve them without a lock and without a search. Interrupts are
//! off meanwhile, as they are under the lock of the heap itself, so interrupt handlers and the scheduler may allocate, too.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU64, Ordering};

use talc::base::binning::Binning;
use talc::base::{CHUNK_UNIT, Talc};
use talc::source::Source;

use super::{PAGE_SIZE, frame};
use crate::arch;
use crate::sync::InterruptMutex;

/// Least that is taken from the frame allocator at a time: 2^4 frames, 64 KiB.
const LEAST_ORDER: u8 = 4;

/// Bytes that the heap has taken from the frame allocator.
static CLAIMED: AtomicU64 = AtomicU64::new(0);
/// Bytes of blocks that are in use and on no list; those of lists are counted by each processor.
static LARGE_USED: AtomicU64 = AtomicU64::new(0);

/// Counters of the heap, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct HeapCounters {
    /// Taken from the frame allocator.
    pub claimed: u64,
    /// In use.
    pub used: u64,
}

/// The counters now.
pub fn counters() -> HeapCounters {
    let small: u64 = small_blocks().map(|(size, count)| size as u64 * count).sum();
    HeapCounters {
        claimed: CLAIMED.load(Ordering::Relaxed),
        used: LARGE_USED.load(Ordering::Relaxed) + small,
    }
}

/// The sizes of small blocks, and how many of each are in use (`/proc/slabinfo`).
pub fn small_blocks() -> impl Iterator<Item = (usize, u64)> {
    SIZES.iter().enumerate().map(|(list, size)| {
        // A block may be given back on another processor than it was taken on: only the sum means something.
        let counts = PROCESSORS.iter().map(|lists| lists.used[list].load(Ordering::Relaxed));
        (*size, counts.fold(0, u64::wrapping_add))
    })
}

/// Takes frames when the heap is empty, and gives them back when all of a block is free again.
#[derive(Debug)]
struct Frames;

/// Free bytes that the heap keeps, beside an eighth of what it has: who needs memory and gives it back in turns does not
/// ask for frames each time.
const SPARE: u64 = 256 * 1024;

// SAFETY: `acquire` uses only the allocator that it is given and the frame allocator, which never calls back
// into the heap.
unsafe impl Source for Frames {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let bytes = layout
            .size()
            .checked_add(layout.align())
            .and_then(|sum| sum.checked_add(1024))
            .ok_or(())?;
        let order = bytes.div_ceil(PAGE_SIZE).next_power_of_two().trailing_zeros() as u8;
        let order = order.max(LEAST_ORDER);
        let (base, order) = match frame::allocate_for_heap(order) {
            Some(base) => (base, order),
            // Memory is nearly gone, or in pieces: take no more than is needed now.
            None => {
                let least = bytes.div_ceil(PAGE_SIZE).next_power_of_two().trailing_zeros() as u8;
                (frame::allocate_for_heap(least).ok_or(())?, least)
            }
        };
        CLAIMED.fetch_add((PAGE_SIZE << order) as u64, Ordering::Relaxed);
        // SAFETY: the block was just handed out for the heap, until `resize` gives it back.
        unsafe { talc.claim(base, PAGE_SIZE << order) }.map(|_| ()).ok_or(())
    }

    const TRACK_HEAP_END: bool = true;

    unsafe fn resize(&mut self, chunk_base: *mut u8, heap_end: *mut u8, is_heap_base: bool) -> *mut u8 {
        // A block starts at a page, and what is free of it when it is empty starts up to a unit behind. The first block
        // of all has the heap's own lists there, and stays.
        let start = (chunk_base as usize - 1) & !(PAGE_SIZE - 1);
        if !is_heap_base || chunk_base as usize - start > CHUNK_UNIT {
            return heap_end;
        }
        let counters = counters();
        let size = (heap_end as usize - start) as u64;
        if counters.claimed.saturating_sub(counters.used) < size + SPARE + counters.claimed / 8 {
            return heap_end;
        }
        CLAIMED.fetch_sub(size, Ordering::Relaxed);
        // The heap forgets the block with this answer, and does not look at it any more.
        frame::release_block(start as u64 - arch::layout::DIRECT_MAP);
        chunk_base
    }
}

/// Sizes of the blocks that are kept on lists.
const SIZES: [usize; 10] = [32, 64, 96, 128, 192, 256, 384, 512, 768, 1024];
/// Alignment of these blocks.
const ALIGNMENT: usize = 16;
/// Most bytes that lie on one list.
const KEPT: usize = 8192;

/// The list for a size in steps of 32 bytes.
const LISTS: [u8; SIZES[SIZES.len() - 1] / 32 + 1] = {
    let mut lists = [0; SIZES[SIZES.len() - 1] / 32 + 1];
    let mut step = 0;
    let mut list = 0;
    while step < lists.len() {
        while SIZES[list] < step * 32 {
            list += 1;
        }
        lists[step] = list as u8;
        step += 1;
    }
    lists
};

/// The list whose blocks serve a layout; `None` if it is for the heap itself.
fn list_for(layout: Layout) -> Option<usize> {
    if layout.align() > ALIGNMENT {
        return None;
    }
    LISTS.get(layout.size().div_ceil(32)).map(|list| usize::from(*list))
}

/// The layout of the blocks of a list.
fn layout_of(list: usize) -> Layout {
    match Layout::from_size_align(SIZES[list], ALIGNMENT) {
        Ok(layout) => layout,
        Err(_) => unreachable!("sizes of blocks are small"),
    }
}

/// A block on a list.
struct Block {
    next: *mut Block,
}

/// Blocks of one size.
struct List {
    first: *mut Block,
    count: usize,
}

/// The lists of one processor.
struct Lists {
    lists: UnsafeCell<[List; SIZES.len()]>,
    /// For each list, blocks that were taken here, less those that were given back here.
    used: [AtomicU64; SIZES.len()],
}

// SAFETY: only its own processor uses it, with interrupts off.
unsafe impl Sync for Lists {}

const EMPTY: List = List {
    first: null_mut(),
    count: 0,
};

static PROCESSORS: [Lists; arch::MAXIMUM_CPUS] = [const {
    Lists {
        lists: UnsafeCell::new([EMPTY; SIZES.len()]),
        used: [const { AtomicU64::new(0) }; SIZES.len()],
    }
}; arch::MAXIMUM_CPUS];

/// Does something with a list of this processor, undisturbed, and counts `change` blocks more in use. `action` must not allocate.
#[inline(always)]
fn with_list<T>(list: usize, change: u64, action: impl FnOnce(&mut List) -> T) -> T {
    let enabled_before = arch::interrupts_enabled();
    arch::disable_interrupts();
    let own = &PROCESSORS[arch::cpu_index()];
    // Others only read it.
    let used = own.used[list].load(Ordering::Relaxed).wrapping_add(change);
    own.used[list].store(used, Ordering::Relaxed);
    // SAFETY: no other processor uses these lists; on this one nobody else does while interrupts are off, and `action`
    // does not come here again.
    let result = action(unsafe { &mut (*own.lists.get())[list] });
    if enabled_before {
        arch::enable_interrupts();
    }
    result
}

/// Gives the blocks on this processor's lists back to the heap.
pub fn trim() {
    for list in 0..SIZES.len() {
        let mut next = with_list(list, 0, |list| {
            list.count = 0;
            core::mem::replace(&mut list.first, null_mut())
        });
        while !next.is_null() {
            let block = next;
            // SAFETY: a block that was on the list is memory of the list that nobody else has now, with its `next` written
            // when it was put there; it came from `allocate` with the layout of the list.
            unsafe {
                next = (*block).next;
                HEAP.deallocate(block.cast(), layout_of(list));
            }
        }
    }
}

struct Heap(InterruptMutex<Talc<Frames, talc::DefaultBinning>>);

#[global_allocator]
static HEAP: Heap = Heap(InterruptMutex::new(Talc::new(Frames)));

impl Heap {
    /// # Safety
    /// The layout's size is not zero.
    #[inline(never)]
    unsafe fn allocate(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.lock().allocate(layout) }.map_or(null_mut(), NonNull::as_ptr)
    }

    /// # Safety
    /// The block came from [`Self::allocate`] with this layout, and nobody uses it any more.
    #[inline(never)]
    unsafe fn deallocate(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.lock().deallocate(pointer, layout) };
    }
}

// SAFETY: `talc` gives out disjoint blocks of the layout asked for, which its lock serialises. A block on a list came from
// it with the layout of the list, is at least as large and as aligned as what the list serves, and is on one list only until
// it is given out again.
unsafe impl GlobalAlloc for Heap {
    // In one place: it is called from everywhere.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(list) = list_for(layout) else {
            // SAFETY: `GlobalAlloc` guarantees a layout of non-zero size.
            let block = unsafe { self.allocate(layout) };
            if !block.is_null() {
                LARGE_USED.fetch_add(layout.size() as u64, Ordering::Relaxed);
            }
            return block;
        };
        let block = with_list(list, 1, |list| {
            let block = list.first;
            if !block.is_null() {
                // SAFETY: a block on the list is memory of the list, with its `next` written when it was put there.
                list.first = unsafe { (*block).next };
                list.count -= 1;
            }
            block
        });
        if block.is_null() {
            // SAFETY: no block of a list is empty.
            let block = unsafe { self.allocate(layout_of(list)) };
            if block.is_null() {
                with_list(list, u64::MAX, |_| ());
            }
            return block;
        }
        block.cast()
    }

    #[inline(never)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let Some(list) = list_for(layout) else {
            LARGE_USED.fetch_sub(layout.size() as u64, Ordering::Relaxed);
            // SAFETY: the pointer came from `alloc` with this layout (the contract of `GlobalAlloc`), so from `allocate`.
            return unsafe { self.deallocate(pointer, layout) };
        };
        let most = KEPT / SIZES[list];
        let kept = with_list(list, u64::MAX, |list| {
            if list.count == most {
                return false;
            }
            let block = pointer.cast::<Block>();
            // SAFETY: the block is no longer used by whoever had it, large enough and aligned.
            unsafe { (*block).next = list.first };
            list.first = block;
            list.count += 1;
            true
        });
        if !kept {
            // SAFETY: blocks of this list came from `allocate` with the layout of the list.
            unsafe { self.deallocate(pointer, layout_of(list)) };
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(size, layout.align()) else {
            return null_mut();
        };
        let list = list_for(layout);
        if list.is_some() && list == list_for(new) {
            return pointer;
        }
        // SAFETY: `GlobalAlloc` guarantees a new size that is not zero.
        let moved = unsafe { self.alloc(new) };
        if !moved.is_null() {
            // SAFETY: both blocks are at least so long, and they are not the same; the old one came from `alloc` with its
            // layout and is not used any more.
            unsafe {
                moved.copy_from_nonoverlapping(pointer, layout.size().min(size));
                self.dealloc(pointer, layout);
            }
        }
        moved
    }
}
