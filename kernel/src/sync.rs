//! Locks that interrupt handlers may take too.

use core::ops::{Deref, DerefMut};

use crate::arch;

/// A lock that holds interrupts off while it is held, so that a handler on the same processor can't wait for
/// the thread that it interrupted.
#[derive(Debug, Default)]
pub struct InterruptMutex<T>(spin::Mutex<T>);

/// Access to the content of an [`InterruptMutex`]; dropping it restores the interrupt state.
pub struct InterruptGuard<'a, T> {
    guard: Option<spin::MutexGuard<'a, T>>,
    enabled_before: bool,
}

impl<T> InterruptMutex<T> {
    /// A lock around a value.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> InterruptGuard<'_, T> {
        let enabled_before = arch::interrupts_enabled();
        arch::disable_interrupts();
        InterruptGuard {
            guard: Some(self.0.lock()),
            enabled_before,
        }
    }

    /// Takes the lock if it is free (for a panic, which may have interrupted its holder).
    pub fn try_lock(&self) -> Option<InterruptGuard<'_, T>> {
        let enabled_before = arch::interrupts_enabled();
        arch::disable_interrupts();
        match self.0.try_lock() {
            Some(guard) => Some(InterruptGuard {
                guard: Some(guard),
                enabled_before,
            }),
            None => {
                if enabled_before {
                    arch::enable_interrupts();
                }
                None
            }
        }
    }
}

impl<T> Deref for InterruptGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.guard {
            Some(guard) => guard,
            None => unreachable!("the guard is only empty while it is dropped"),
        }
    }
}

impl<T> DerefMut for InterruptGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.guard {
            Some(guard) => guard,
            None => unreachable!("the guard is only empty while it is dropped"),
        }
    }
}

impl<T> Drop for InterruptGuard<'_, T> {
    fn drop(&mut self) {
        self.guard = None;
        if self.enabled_before {
            arch::enable_interrupts();
        }
    }
}
