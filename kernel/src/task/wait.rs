//! Waiting: for a condition that somebody else makes true, for a time, for a signal.
//!
//! Until there are several threads, whoever waits is the only thread, and only an interrupt can change
//! anything: waiting halts the processor, and each interrupt makes the condition be looked at again. A wake-up
//! therefore needs no list. The interface is the one that several threads need.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::files::PollEvents;

use crate::arch;
use crate::sync::InterruptMutex;

use super::alarm;
use super::clock::{Instant, monotonic};
use super::signal;
use super::thread::current;

/// Ticks of the time stamp counter that the processor has spent halted.
static HALTED: AtomicU64 = AtomicU64::new(0);

/// Ticks of the time stamp counter that the processor has spent halted.
pub fn halted_ticks() -> u64 {
    HALTED.load(Ordering::Relaxed)
}

/// Somebody who wants to be told that a condition may have changed.
pub trait Wakeable: Send + Sync {
    /// Tells which events may have come. Called under the queue's lock with interrupts off, perhaps by an interrupt
    /// handler. True if the wake-up was of use: then no other exclusive waiter is woken.
    fn wake(&self, events: PollEvents) -> bool;
}

struct Entry {
    who: Arc<dyn Wakeable>,
    exclusive: bool,
}

/// Where threads wait for a condition.
#[derive(Default)]
pub struct WaitQueue {
    entries: InterruptMutex<Vec<Entry>>,
}

/// Why a wait ended without its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// A signal wants to be delivered (`EINTR`, or a restart of the call).
    Interrupted,
    /// The deadline has passed.
    TimedOut,
}

/// A wait without deadline was interrupted by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl From<Interrupted> for pith_linux::Errno {
    fn from(_: Interrupted) -> Self {
        Self::EINTR
    }
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            entries: InterruptMutex::new(Vec::new()),
        }
    }

    /// Lets all who wait look at their conditions again. May be called by interrupt handlers.
    pub fn wake_all(&self) {
        for entry in self.entries.lock().iter() {
            entry.who.wake(PollEvents::all());
        }
    }

    /// Tells all waiters about events, of the exclusive ones only the first that has a use for it.
    pub fn wake(&self, events: PollEvents) {
        let mut taken = false;
        for entry in self.entries.lock().iter() {
            if !(entry.exclusive && taken) {
                let useful = entry.who.wake(events);
                taken |= entry.exclusive && useful;
            }
        }
    }

    /// Adds somebody who is to be told.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn register(&self, who: &Arc<dyn Wakeable>, exclusive: bool) -> Result<(), Errno> {
        let mut entries = self.entries.lock();
        entries.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        entries.push(Entry {
            who: who.clone(),
            exclusive,
        });
        Ok(())
    }

    /// Takes somebody out again.
    pub fn unregister(&self, who: &Arc<dyn Wakeable>) {
        self.entries.lock().retain(|entry| !Arc::ptr_eq(&entry.who, who));
    }

    /// As [`Self::wait`], until a deadline at most.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_until<T>(
        &self,
        deadline: Option<Instant>,
        condition: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitError> {
        wait_any(&[self], deadline, condition)
    }

    /// As [`Self::wait_until`], woken one at a time by [`Self::wake`].
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_exclusive<T>(
        &self,
        deadline: Option<Instant>,
        condition: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitError> {
        wait_any(&[self], deadline, condition)
    }

    /// Waits until `condition` gives a value. It is called with interrupts off and must not sleep or touch the
    /// program's memory.
    ///
    /// # Errors
    /// [`Interrupted`] by a signal.
    pub fn wait<T>(&self, condition: impl FnMut() -> Option<T>) -> Result<T, Interrupted> {
        wait_any(&[self], None, condition).map_err(|_| Interrupted)
    }
}

/// Waits on several queues, until a deadline at most. See [`WaitQueue::wait`].
///
/// # Errors
/// [`WaitError`].
pub fn wait_any<T>(
    _queues: &[&WaitQueue],
    deadline: Option<Instant>,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T, WaitError> {
    let enabled_before = arch::interrupts_enabled();
    let result = loop {
        arch::disable_interrupts();
        if let Some(value) = condition() {
            break Ok(value);
        }
        if current().has_deliverable_signal() {
            // What most calls want; others say so after the wait.
            signal::set_restart(signal::Restart::IfHandlerAllows);
            break Err(WaitError::Interrupted);
        }
        if let Some(deadline) = deadline {
            if monotonic() >= deadline {
                break Err(WaitError::TimedOut);
            }
            alarm::arm(Some(deadline));
        }
        let before = arch::read_time_stamp_counter();
        arch::wait_for_interrupt();
        HALTED.fetch_add(
            arch::read_time_stamp_counter().saturating_sub(before),
            Ordering::Relaxed,
        );
    };
    if deadline.is_some() {
        alarm::arm(None);
    }
    if enabled_before {
        arch::enable_interrupts();
    }
    result
}

/// Sleeps until a time.
///
/// # Errors
/// [`Interrupted`] by a signal.
pub fn sleep_until(deadline: Instant) -> Result<(), Interrupted> {
    match wait_any(&[], Some(deadline), || None::<()>) {
        Ok(()) | Err(WaitError::TimedOut) => Ok(()),
        Err(WaitError::Interrupted) => Err(Interrupted),
    }
}
