//! Locks that interrupt handlers may take too, and locks that not everybody takes with the same right.

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

use pith_waiting::Halted;

use crate::arch;

/// A lock that holds interrupts off while it is held, so that a handler on the same processor can't wait for
/// the thread that it interrupted.
#[derive(Debug, Default)]
pub struct InterruptMutex<T>(spin::Mutex<T>);

/// Access to the content of a lock; dropping it gives the lock up, and then drops what does the rest.
pub struct Guard<'a, T, A> {
    // Dropped in this order.
    guard: spin::MutexGuard<'a, T>,
    _afterwards: A,
}

impl<'a, T, A> Guard<'a, T, A> {
    #[inline]
    fn new(guard: spin::MutexGuard<'a, T>, afterwards: A) -> Self {
        Self {
            guard,
            _afterwards: afterwards,
        }
    }
}

impl<T, A> Deref for Guard<'_, T, A> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T, A> DerefMut for Guard<'_, T, A> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Whether interrupts were on before a lock was taken; they are again when this is dropped.
pub struct InterruptState(bool);

impl InterruptState {
    /// Switches them off.
    #[inline]
    fn hold_off() -> Self {
        let enabled_before = arch::interrupts_enabled();
        arch::disable_interrupts();
        Self(enabled_before)
    }
}

impl Drop for InterruptState {
    #[inline]
    fn drop(&mut self) {
        if self.0 {
            arch::enable_interrupts();
        }
    }
}

/// Access to the content of an [`InterruptMutex`]; dropping it restores the interrupt state.
pub type InterruptGuard<'a, T> = Guard<'a, T, InterruptState>;

impl<T> InterruptMutex<T> {
    /// A lock around a value.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Waits for the lock.
    #[inline]
    pub fn lock(&self) -> InterruptGuard<'_, T> {
        let state = InterruptState::hold_off();
        Guard::new(self.0.try_lock().unwrap_or_else(|| self.wait()), state)
    }

    /// Apart from where there is nothing to wait for, which is nearly always and everywhere.
    #[cold]
    #[inline(never)]
    fn wait(&self) -> spin::MutexGuard<'_, T> {
        self.0.lock()
    }

    /// Takes the lock if it is free (for a panic, which may have interrupted its holder).
    pub fn try_lock(&self) -> Option<InterruptGuard<'_, T>> {
        let state = InterruptState::hold_off();
        Some(Guard::new(self.0.try_lock()?, state))
    }
}

/// A lock for which processors may have to wait long, and that not everybody takes with the same right: those who come again
/// and again let those go first who waited when they came, for a free lock goes to whoever looks first.
///
/// A processor that waits counts as idle for those who let others forget translations (`arch::shootdown`), so that the holder
/// need not interrupt it for that. After a while it halts, so that a host with fewer processors than the machine can run
/// the holder meanwhile. Interrupts are on while it waits.
#[derive(Debug, Default)]
pub struct YieldingMutex<T> {
    mutex: spin::Mutex<T>,
    /// How many with the right of way have come to wait, ever.
    came: AtomicU32,
    /// How many of them have got the lock.
    went: AtomicU32,
    halted: Halted,
}

/// Processors that wait halted are woken when this is dropped.
pub struct Waking<'a>(&'a Halted);

impl Drop for Waking<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.wake(arch::send_reschedule);
    }
}

/// Access to the content of a [`YieldingMutex`]; processors that wait halted are woken when it is dropped.
pub type YieldingGuard<'a, T> = Guard<'a, T, Waking<'a>>;

impl<T> YieldingMutex<T> {
    /// A lock around a value.
    pub const fn new(value: T) -> Self {
        Self {
            mutex: spin::Mutex::new(value),
            came: AtomicU32::new(0),
            went: AtomicU32::new(0),
            halted: Halted::new(),
        }
    }

    fn attempt(&self) -> Option<YieldingGuard<'_, T>> {
        Some(Guard::new(self.mutex.try_lock()?, Waking(&self.halted)))
    }

    /// Waits for the lock, with the right of way.
    pub fn lock(&self) -> YieldingGuard<'_, T> {
        if let Some(guard) = self.attempt() {
            return guard;
        }
        self.came.fetch_add(1, Ordering::Relaxed);
        let guard = self.wait(&|| true);
        // Before the lock is free again: whoever is woken by that sees it.
        self.went.fetch_add(1, Ordering::Relaxed);
        guard
    }

    /// Waits for the lock, and lets those go first who wait with the right of way already.
    pub fn lock_after_others(&self) -> YieldingGuard<'_, T> {
        let came = self.came.load(Ordering::Relaxed);
        let turn = || came.wrapping_sub(self.went.load(Ordering::Relaxed)).cast_signed() <= 0;
        if turn()
            && let Some(guard) = self.attempt()
        {
            return guard;
        }
        self.wait(&turn)
    }

    #[cold]
    fn wait(&self, turn: &dyn Fn() -> bool) -> YieldingGuard<'_, T> {
        /// So often it looks before it halts: some ten microseconds, for which the lock is mostly held.
        const LOOKS: u32 = 500;
        let mut looks = 0;
        let own = arch::cpu_index();
        arch::enter_idle();
        let guard = loop {
            if turn()
                && let Some(guard) = self.attempt()
            {
                break guard;
            }
            looks += 1;
            if !arch::interrupts_enabled() {
                // The holder may wait for this processor.
                arch::serve_shootdowns();
            }
            if looks < LOOKS || !arch::interrupts_enabled() {
                core::hint::spin_loop();
                continue;
            }
            looks = 0;
            arch::disable_interrupts();
            self.halted.enter(own);
            if self.mutex.is_locked() {
                arch::wait_for_interrupt();
            }
            self.halted.leave(own);
            arch::enable_interrupts();
        };
        arch::leave_idle();
        guard
    }

    /// The value, of which nobody else knows.
    pub fn get_mut(&mut self) -> &mut T {
        self.mutex.get_mut()
    }
}
