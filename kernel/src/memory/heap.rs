//! The kernel's heap: the `talc` allocator on memory taken from the frame allocator as it is needed.
//!
//! Its lock holds interrupts off, so that interrupt handlers and the scheduler may allocate, too.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;

use super::{PAGE_SIZE, frame};
use crate::sync::InterruptMutex;

/// Least that is taken from the frame allocator at a time: 2^4 frames, 64 KiB.
const LEAST_ORDER: u8 = 4;

/// Takes frames when the heap is empty.
#[derive(Debug)]
struct Frames;

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
        // SAFETY: the block was just handed out for the heap, for ever.
        unsafe { talc.claim(base, PAGE_SIZE << order) }.map(|_| ()).ok_or(())
    }
}

struct Heap(InterruptMutex<Talc<Frames, talc::DefaultBinning>>);

#[global_allocator]
static HEAP: Heap = Heap(InterruptMutex::new(Talc::new(Frames)));

// SAFETY: `talc` gives out disjoint blocks of the layout asked for; the lock serialises it.
unsafe impl GlobalAlloc for Heap {
    // In one place: it is called from everywhere.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: `GlobalAlloc` guarantees a layout of non-zero size.
        unsafe { self.0.lock().allocate(layout) }.map_or(null_mut(), NonNull::as_ptr)
    }

    #[inline(never)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` with this layout (the contract of `GlobalAlloc`), so it is not
        // null.
        unsafe { self.0.lock().deallocate(pointer, layout) };
    }
}
