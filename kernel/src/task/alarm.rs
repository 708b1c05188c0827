//! The alarm of a process (`setitimer(2)` with `ITIMER_REAL`).

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::signal::Signal;

use super::clock::{Instant, monotonic};
use super::process::Process;
use super::signal;
use super::timer::{Timer, TimerTarget};

/// When `SIGALRM` comes.
#[derive(Default)]
pub struct Alarm {
    timer: Timer,
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

    /// Sets the alarm of a process; gives what was left.
    pub fn set(process: &Arc<Process>, new: AlarmSetting) -> AlarmSetting {
        let alarm = &process.alarm;
        let old = alarm.get();
        alarm.timer.disarm();
        alarm.interval.store(new.interval, Ordering::Relaxed);
        if new.value == 0 {
            alarm.deadline.store(0, Ordering::Relaxed);
        } else {
            let deadline = monotonic().after(new.value);
            alarm.deadline.store(deadline.0, Ordering::Relaxed);
            let target: Weak<dyn TimerTarget> = Arc::<Process>::downgrade(process);
            alarm.timer.arm(deadline, target);
        }
        old
    }
}

impl TimerTarget for Process {
    fn expired(&self, now: Instant) -> Option<Instant> {
        let alarm = &self.alarm;
        let deadline = alarm.deadline.load(Ordering::Relaxed);
        let next = match alarm.interval.load(Ordering::Relaxed) {
            0 => None,
            // Those that were missed are not made up for.
            interval => {
                let missed = now.0.saturating_sub(deadline) / interval;
                Some(Instant(deadline.saturating_add((missed + 1).saturating_mul(interval))))
            }
        };
        alarm.deadline.store(next.map_or(0, |next| next.0), Ordering::Relaxed);
        signal::post(self, Signal::SIGALRM);
        next
    }
}
