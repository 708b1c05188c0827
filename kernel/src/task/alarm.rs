//! The alarm of a process (`setitimer(2)` with `ITIMER_REAL`), and who may have the processor's one timer.
//!
//! Two ask for timer interrupts: the thread that waits with a deadline, and the alarm. The timer is set for the
//! earlier of them; whoever finds that it fired for the other sets it again.

use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::signal::Signal;

use super::clock::{Instant, arm_timer, disarm_timer, monotonic};
use super::process::Process;
use super::thread::try_current;
use crate::arch;

/// When `SIGALRM` comes. Changed only with interrupts off.
#[derive(Debug, Default)]
pub struct Alarm {
    /// A point of the monotonic clock, in nanoseconds; 0 for never.
    deadline: AtomicU64,
    /// After how many nanoseconds it comes again; 0 for not at all.
    interval: AtomicU64,
}

/// What an alarm is set to, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlarmSetting {
    /// From now until it comes; 0 for never.
    pub value: u64,
    /// After how much time it comes again; 0 for not at all.
    pub interval: u64,
}

impl Alarm {
    /// What is left.
    pub fn get(&self) -> AlarmSetting {
        let value = match self.deadline.load(Ordering::Relaxed) {
            0 => 0,
            // It may be due and not have been noticed yet: then it is about to come.
            deadline => deadline.saturating_sub(monotonic().0).max(1),
        };
        AlarmSetting {
            value,
            interval: self.interval.load(Ordering::Relaxed),
        }
    }

    /// Sets it; gives what was left.
    pub fn set(&self, new: AlarmSetting) -> AlarmSetting {
        let enabled_before = arch::interrupts_enabled();
        arch::disable_interrupts();
        let old = self.get();
        let deadline = if new.value == 0 {
            0
        } else {
            monotonic().after(new.value).0
        };
        self.deadline.store(deadline, Ordering::Relaxed);
        self.interval.store(new.interval, Ordering::Relaxed);
        arm(None);
        if enabled_before {
            arch::enable_interrupts();
        }
        old
    }

    fn deadline(&self) -> Option<Instant> {
        match self.deadline.load(Ordering::Relaxed) {
            0 => None,
            deadline => Some(Instant(deadline)),
        }
    }

    /// Posts the signal if it is due, and plans the next.
    fn check(&self, process: &Process) {
        let Some(Instant(deadline)) = self.deadline() else {
            return;
        };
        let now = monotonic().0;
        if now < deadline {
            return;
        }
        process.post_signal(Signal::SIGALRM.number());
        let next = match self.interval.load(Ordering::Relaxed) {
            0 => 0,
            // Those that were missed are not made up for.
            interval => deadline.saturating_add(((now - deadline) / interval + 1).saturating_mul(interval)),
        };
        self.deadline.store(next, Ordering::Relaxed);
    }
}

/// Sets the timer for a waiting thread's deadline or for the alarm, whichever is earlier; with neither, no timer
/// interrupt will come. Called with interrupts off.
pub(super) fn arm(deadline: Option<Instant>) {
    let alarm = try_current().and_then(|thread| thread.process.alarm.deadline());
    match deadline.into_iter().chain(alarm).min() {
        Some(earliest) => arm_timer(earliest),
        None => disarm_timer(),
    }
}

/// The timer has fired. Called by the interrupt's handler; a thread that waits looks at the clock by itself.
pub fn timer_fired() {
    super::timer::fired();
    let Some(thread) = try_current() else { return };
    if thread.process.alarm.deadline().is_some() {
        thread.process.alarm.check(&thread.process);
        arm(None);
    }
}
