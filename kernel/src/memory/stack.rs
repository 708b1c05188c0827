//! Kernel stacks, each with unmapped pages below it.
//!
//! Threads come and go quickly, and unmapping a stack concerns all processors: so some stacks that are no longer used
//! are kept for the next threads, and what is too much is unmapped many at a time.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{Frame, PAGE_SIZE, Purpose, frame};
use crate::arch::{self, layout};
use crate::sync::InterruptMutex;

/// Unused stacks that are kept.
const KEPT: usize = 64;
/// Unused stacks beyond which the rest is unmapped.
const MOST: usize = 128;

/// Bytes of stacks that are mapped.
static MAPPED: AtomicU64 = AtomicU64::new(0);
static NEXT: AtomicU64 = AtomicU64::new(layout::KERNEL_STACKS + layout::KERNEL_STACK_SPACING);
/// Lowest usable addresses of unused stacks: mapped ones, and the places of those that were unmapped.
static UNUSED: InterruptMutex<(Vec<u64>, Vec<u64>)> = InterruptMutex::new((Vec::new(), Vec::new()));

/// The stack that a thread's kernel side runs on.
#[derive(Debug)]
pub struct KernelStack {
    bottom: u64,
}

impl KernelStack {
    /// A stack, or `None` if there is no memory.
    pub fn new() -> Option<Self> {
        let place = {
            let (mapped, places) = &mut *UNUSED.lock();
            // Room for them when they come back, so that dropping one never needs memory.
            if let Some(bottom) = mapped.pop() {
                return Some(Self { bottom });
            }
            mapped.try_reserve(MOST * 2).ok()?;
            places.pop()
        };
        let bottom = place.unwrap_or_else(|| {
            let slot = NEXT.fetch_add(layout::KERNEL_STACK_SPACING, Ordering::Relaxed);
            // The stack fills the upper end of its slot; what is below stays unmapped.
            slot + layout::KERNEL_STACK_SPACING - layout::KERNEL_STACK_SIZE
        });
        for page in (0..layout::KERNEL_STACK_SIZE).step_by(PAGE_SIZE) {
            let mapped = Frame::zeroed(Purpose::Kernel).and_then(|frame| {
                let physical = frame.physical();
                // SAFETY: the slot belongs to this stack alone, and the frame to the mapping.
                let mapped =
                    unsafe { arch::boot::map_kernel_page(bottom + page, physical, false, &mut frame::table_frame) };
                // From here on the mapping holds the reference; without one the frame goes back.
                mapped.map(|()| frame.into_raw()).ok()
            });
            if mapped.is_none() {
                unmap(&[bottom]);
                return None;
            }
            MAPPED.fetch_add(PAGE_SIZE as u64, Ordering::Relaxed);
        }
        Some(Self { bottom })
    }

    /// Lowest usable address.
    pub fn bottom(&self) -> u64 {
        self.bottom
    }

    /// Address behind the highest usable one.
    pub fn top(&self) -> u64 {
        self.bottom + layout::KERNEL_STACK_SIZE
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        let (mapped, _) = &mut *UNUSED.lock();
        // Without memory for the list the stack is lost, which costs its frames and nothing else.
        if mapped.try_reserve(1).is_ok() {
            mapped.push(self.bottom);
        }
    }
}

/// Bytes of all stacks, those that wait for a thread included.
pub fn stack_bytes() -> u64 {
    MAPPED.load(Ordering::Relaxed)
}

/// Bytes of stacks that no thread uses.
pub fn unused_bytes() -> u64 {
    UNUSED.lock().0.len() as u64 * layout::KERNEL_STACK_SIZE
}

/// Gives stacks back if many are unused. To be called now and then, where other processors may be waited for.
pub fn trim_stacks() {
    give_back_beyond(MOST, KEPT);
}

/// Gives all unused stacks back, where other processors may be waited for.
pub fn give_back_unused() {
    give_back_beyond(0, 0);
}

/// If more than `most` stacks are unused, leaves only `kept` of them.
fn give_back_beyond(most: usize, kept: usize) {
    if UNUSED.lock().0.len() <= most {
        return;
    }
    loop {
        // A few at a time, in a list that takes no memory: it may be gone.
        let mut bottoms = [0; AT_ONCE];
        let count = {
            let (mapped, _) = &mut *UNUSED.lock();
            let excess = mapped.len().saturating_sub(kept);
            let count = excess.min(bottoms.len());
            for (place, bottom) in bottoms.iter_mut().zip(mapped.drain(mapped.len() - count..)) {
                *place = bottom;
            }
            count
        };
        if count == 0 {
            return;
        }
        unmap(&bottoms[..count]);
    }
}

/// Stacks that are unmapped at a time.
const AT_ONCE: usize = 8;
const PAGES: usize = layout::KERNEL_STACK_SIZE as usize / PAGE_SIZE;

/// Unmaps up to [`AT_ONCE`] stacks, wholly or as far as they are mapped, and gives their frames back.
fn unmap(bottoms: &[u64]) {
    let mut frames = [const { None }; AT_ONCE * PAGES];
    let (mut start, mut end) = (u64::MAX, 0);
    let pages = bottoms
        .iter()
        .flat_map(|&bottom| (bottom..bottom + layout::KERNEL_STACK_SIZE).step_by(PAGE_SIZE));
    for (page, place) in pages.zip(&mut frames) {
        // SAFETY: the stack is unused: its thread is gone, or never came to be.
        let Some(physical) = (unsafe { arch::boot::unmap_kernel_page(page) }) else {
            continue;
        };
        // SAFETY: the mapping held this reference and is gone.
        *place = Some(unsafe { Frame::from_raw(physical) });
        MAPPED.fetch_sub(PAGE_SIZE as u64, Ordering::Relaxed);
        start = start.min(page);
        end = end.max(page + PAGE_SIZE as u64);
    }
    if start < end {
        arch::invalidate_elsewhere(arch::all_processors(), start..end);
    }
    // No processor remembers them.
    drop(frames);
    let (_, places) = &mut *UNUSED.lock();
    if places.try_reserve(bottoms.len()).is_ok() {
        places.extend_from_slice(bottoms);
    }
}
