//! Kernel stacks, each with unmapped pages below it.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{Frame, PAGE_SIZE, Purpose, frame};
use crate::arch::{self, layout};

static NEXT: AtomicU64 = AtomicU64::new(layout::KERNEL_STACKS + layout::KERNEL_STACK_SPACING);

/// The stack that a thread's kernel side runs on.
#[derive(Debug)]
pub struct KernelStack {
    bottom: u64,
}

impl KernelStack {
    /// A new stack, or `None` if there is no memory.
    pub fn new() -> Option<Self> {
        let slot = NEXT.fetch_add(layout::KERNEL_STACK_SPACING, Ordering::Relaxed);
        // The stack fills the upper end of its slot; what is below stays unmapped.
        let bottom = slot + layout::KERNEL_STACK_SPACING - layout::KERNEL_STACK_SIZE;
        let stack = Self { bottom };
        for page in (0..layout::KERNEL_STACK_SIZE).step_by(PAGE_SIZE) {
            // On failure, dropping `stack` gives back what was mapped.
            let frame = Frame::zeroed(Purpose::Kernel)?;
            // SAFETY: the slot belongs to this stack alone, and the frame to the mapping.
            unsafe {
                arch::boot::map_kernel_page(bottom + page, frame.into_raw(), false, &mut frame::table_frame).ok()?;
            }
        }
        Some(stack)
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
        for page in (0..layout::KERNEL_STACK_SIZE).step_by(PAGE_SIZE) {
            // SAFETY: a stack is dropped when its thread is gone, so nothing uses the page; the reference in
            // the mapping is taken back once.
            unsafe {
                if let Some(physical) = arch::boot::unmap_kernel_page(self.bottom + page) {
                    drop(Frame::from_raw(physical));
                }
            }
        }
    }
}
