//! Atomics and the lock: the processor's, or those that loom watches.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// A lock around a value. The kernel's holds interrupts off, since interrupt handlers wake threads.
pub trait Lock<T> {
    /// Runs `action` with the lock held.
    fn with<R>(&self, action: impl FnOnce(&mut T) -> R) -> R;
}
