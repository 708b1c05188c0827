//! Waiting: for a condition that somebody else makes true, for a time, for a signal.
//!
//! Until there are several threads, whoever waits is the only thread, and only an interrupt can change
//! anything: waiting halts the processor, and each interrupt makes the condition be looked at again. A wake-up
//! therefore needs no list. The interface is the one that several threads need.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::arch;

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

/// Where threads wait for a condition.
#[derive(Debug, Default)]
pub struct WaitQueue(());

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
        Self(())
    }

    /// Lets all who wait look at their conditions again. May be called by interrupt handlers.
    pub fn wake_all(&self) {}

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
