//! Processors that are halted until a lock is free.

use crate::sync::{AtomicU64, Ordering, fence};

/// Which processors wait halted, known without a lock: bit n for processor n.
///
/// Either the holder, who gives the lock up and asks then, sees the processor; or the processor, which enters and looks at the
/// lock then, sees that it is free.
#[derive(Debug)]
pub struct Halted(AtomicU64);

impl Default for Halted {
    fn default() -> Self {
        Self::new()
    }
}

impl Halted {
    /// Nobody.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Nobody.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// A processor looks at the lock once more after this, and halts if it is taken. It can be interrupted only when it has
    /// halted.
    pub fn enter(&self, processor: usize) {
        self.0.fetch_or(1 << processor, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// A processor is not halted any more.
    pub fn leave(&self, processor: usize) {
        self.0.fetch_and(!(1 << processor), Ordering::SeqCst);
    }

    /// Calls `interrupt` for each processor that is halted, or about to be. The lock was given up before this.
    pub fn wake(&self, mut interrupt: impl FnMut(usize)) {
        fence(Ordering::SeqCst);
        let mut halted = self.0.load(Ordering::SeqCst);
        while halted != 0 {
            interrupt(halted.trailing_zeros() as usize);
            halted &= halted - 1;
        }
    }
}
