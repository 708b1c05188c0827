//! Locks that interrupt handlers may take too, and locks that not everybody takes with the same right.

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

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

/// A lock that some take only when nobody else waits for it: those who come again and again would else keep it from the
/// others for a long time, for a free lock goes to whoever looks first.
#[derive(Debug, Default)]
pub struct YieldingMutex<T> {
    mutex: spin::Mutex<T>,
    /// How many wait who have the right of way.
    waiting: AtomicU32,
}

impl<T> YieldingMutex<T> {
    /// A lock around a value.
    pub const fn new(value: T) -> Self {
        Self {
            mutex: spin::Mutex::new(value),
            waiting: AtomicU32::new(0),
        }
    }

    /// Waits for the lock, with the right of way.
    pub fn lock(&self) -> spin::MutexGuard<'_, T> {
        if let Some(guard) = self.mutex.try_lock() {
            return guard;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = self.mutex.lock();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// Waits for the lock, and lets those who wait with the right of way go first, though not for ever.
    pub fn lock_after_others(&self) -> spin::MutexGuard<'_, T> {
        const PATIENCE: u32 = 10_000;
        for _ in 0..PATIENCE {
            if self.waiting.load(Ordering::Relaxed) == 0 {
                break;
            }
            core::hint::spin_loop();
        }
        self.mutex.lock()
    }

    /// The value, of which nobody else knows.
    pub fn get_mut(&mut self) -> &mut T {
        self.mutex.get_mut()
    }
}
