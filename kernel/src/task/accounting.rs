//! Whether processor time was the program's or the kernel's.
//!
//! How much a thread has used is measured whenever the processor changes threads. What of that was the kernel's is only
//! sampled, as where Linux counts ticks (`CONFIG_TICK_CPU_ACCOUNTING`): an interrupt every hundredth of a second, while the
//! processor is not idle, looks what it has interrupted. So no system call takes longer, and both parts together are exact.

use core::sync::atomic::{AtomicU64, Ordering};

use pith_timekeeping::Split;

use crate::sync::InterruptMutex;

/// Time between two samples, in nanoseconds.
pub const PERIOD: u64 = 10_000_000;

/// Samples of a thread, a process or a processor.
pub struct Accounting {
    in_program: AtomicU64,
    in_kernel: AtomicU64,
    told: InterruptMutex<Split>,
}

impl Default for Accounting {
    fn default() -> Self {
        Self::new()
    }
}

impl Accounting {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            in_program: AtomicU64::new(0),
            in_kernel: AtomicU64::new(0),
            told: InterruptMutex::new(Split::NOTHING),
        }
    }

    /// Counts what was found. Called by interrupt handlers.
    pub fn sample(&self, in_program: bool) {
        let count = if in_program { &self.in_program } else { &self.in_kernel };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the program and the kernel were found.
    pub fn samples(&self) -> (u64, u64) {
        (
            self.in_program.load(Ordering::Relaxed),
            self.in_kernel.load(Ordering::Relaxed),
        )
    }

    /// Adds those of a thread that ends.
    pub fn add(&self, other: &Self) {
        let (in_program, in_kernel) = other.samples();
        self.in_program.fetch_add(in_program, Ordering::Relaxed);
        self.in_kernel.fetch_add(in_kernel, Ordering::Relaxed);
    }

    /// Divides processor time, in nanoseconds, by so many samples.
    pub fn divide(&self, whole: u64, samples: (u64, u64)) -> Split {
        self.told.lock().divide(whole, samples)
    }
}
