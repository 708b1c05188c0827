//! Limits of processor time (`setrlimit(2)`): of a process (`RLIMIT_CPU`), and of a real-time thread that does not wait
//! (`RLIMIT_RTTIME`).
//!
//! Whoever has used up the soft limit is told by `SIGXCPU`, and again after each second more, by which the soft limit moves
//! on, as on Linux; at the hard limit the process is killed.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::signal::Signal;
use spin::Once;

use super::accounting::PERIOD;
use super::clock::Instant;
use super::countdown::{Countdown, Look, Setting, TimerClock};
use super::process::{Limits, Process};
use super::signal;
use super::thread::Thread;
use super::timer::TimerTarget;

/// A second in the units of a clock, and of `RLIMIT_RTTIME`.
const NANOSECONDS: u64 = 1_000_000_000;
const MICROSECONDS: u64 = 1_000_000;

/// Looks at the processor time of a process, in each second from its soft limit on.
struct Watch {
    process: Weak<Process>,
    countdown: Countdown,
}

impl TimerTarget for Watch {
    fn expired(&self, _now: Instant) -> Option<Instant> {
        if self.countdown.advance() != 0
            && let Some(process) = self.process.upgrade()
        {
            exceeded(&process, Limits::PROCESSOR_TIME, process.cpu_time(), NANOSECONDS, 1);
        }
        self.countdown.again(Look::Next)
    }
}

/// Compares a limit, times `unit`, with what was used. A soft one that is reached moves on by `step`, a second in what limits
/// are kept in. Called by interrupt handlers, which can't wait for the owner of the limits: then it is seen a little later.
fn exceeded(process: &Process, index: usize, used: u64, unit: u64, step: u64) {
    let Some(mut limits) = process.limits.try_lock() else {
        return;
    };
    let (soft, hard) = limits.0[index];
    let reached = |limit: u64| limit != Limits::INFINITY && used >= limit.saturating_mul(unit);
    let signal = match () {
        () if !reached(soft) => return,
        () if reached(hard) => Signal::SIGKILL,
        () => {
            limits.0[index].0 = soft.saturating_add(step);
            Signal::SIGXCPU
        }
    };
    drop(limits);
    signal::post(process, signal);
}

/// What watches over the processor time of a process, made when that is limited first.
#[derive(Default)]
pub struct TimeLimit(Once<Arc<Watch>>);

impl TimeLimit {
    /// Ends it, for the process ends.
    pub fn clear(&self) {
        if let Some(watch) = self.0.get() {
            watch.countdown.stop();
        }
    }
}

/// The soft limit of a process's time was set, in seconds.
pub fn set(process: &Arc<Process>, soft: u64) {
    if soft == Limits::INFINITY {
        return process.time_limit.clear();
    }
    let watch = process.time_limit.0.call_once(|| {
        Arc::new(Watch {
            process: Arc::downgrade(process),
            countdown: Countdown::new(TimerClock::Process(Arc::downgrade(process))),
        })
    });
    let setting = Setting {
        value: soft.saturating_mul(NANOSECONDS).max(1),
        interval: NANOSECONDS,
    };
    let target: Weak<dyn TimerTarget> = Arc::<Watch>::downgrade(watch);
    watch.countdown.set(setting, true, target);
}

/// How long a real-time thread has run without waiting.
#[derive(Debug, Default)]
pub struct Unbroken {
    /// How often it had waited when it was found last.
    waits: AtomicU64,
    /// Samples that have found it since then.
    samples: AtomicU64,
}

/// A sample has found the current thread. Called by the timer's interrupt handler.
pub(super) fn sample(thread: &Thread) {
    if !thread.entity.policy().0.is_real_time() {
        return;
    }
    let (waits, _) = thread.entity.switches();
    let (waits, own) = (u64::from(waits), &thread.unbroken);
    if own.waits.swap(waits, Ordering::Relaxed) != waits {
        own.samples.store(0, Ordering::Relaxed);
    }
    let samples = own.samples.fetch_add(1, Ordering::Relaxed) + 1;
    let used = samples.saturating_mul(PERIOD / 1000);
    exceeded(&thread.process, Limits::REAL_TIME, used, 1, MICROSECONDS);
}
