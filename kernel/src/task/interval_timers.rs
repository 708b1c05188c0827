//! The three interval timers of a process (`setitimer(2)`).

use alloc::sync::{Arc, Weak};

use pith_linux::signal::Signal;
use spin::Once;

use super::clock::Instant;
use super::countdown::{Countdown, Look, Setting, TimerClock};
use super::process::Process;
use super::signal;
use super::timer::TimerTarget;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalTimerKind {
    /// Real time: `SIGALRM`.
    Real,
    /// Processor time of the program: `SIGVTALRM`.
    Virtual,
    /// Processor time of the program and of the kernel on its behalf: `SIGPROF`.
    Profiling,
}

impl IntervalTimerKind {
    /// The kind with this number.
    pub fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            0 => Self::Real,
            1 => Self::Virtual,
            2 => Self::Profiling,
            _ => return None,
        })
    }

    fn signal(self) -> Signal {
        match self {
            Self::Real => Signal::SIGALRM,
            Self::Virtual => Signal::SIGVTALRM,
            Self::Profiling => Signal::SIGPROF,
        }
    }
}

struct IntervalTimer {
    kind: IntervalTimerKind,
    process: Weak<Process>,
    countdown: Countdown,
}

impl TimerTarget for IntervalTimer {
    fn expired(&self, _now: Instant) -> Option<Instant> {
        if self.countdown.advance() != 0
            && let Some(process) = self.process.upgrade()
        {
            signal::post(&process, self.kind.signal());
        }
        self.countdown.again(Look::Next)
    }
}

/// The interval timers of a process, made when they are first used.
#[derive(Default)]
pub struct IntervalTimers([Once<Arc<IntervalTimer>>; 3]);

impl IntervalTimers {
    /// Stops them all, for the process ends.
    pub fn clear(&self) {
        for timer in self.0.iter().filter_map(Once::get) {
            timer.countdown.stop();
        }
    }
}

fn timer(process: &Arc<Process>, kind: IntervalTimerKind) -> &Arc<IntervalTimer> {
    process.interval_timers.0[kind as usize].call_once(|| {
        let clock = match kind {
            IntervalTimerKind::Real => TimerClock::Monotonic,
            IntervalTimerKind::Virtual => TimerClock::Program(Arc::downgrade(process)),
            IntervalTimerKind::Profiling => TimerClock::Process(Arc::downgrade(process)),
        };
        Arc::new(IntervalTimer {
            kind,
            process: Arc::downgrade(process),
            countdown: Countdown::new(clock),
        })
    })
}

/// What is left of a timer.
pub fn get(process: &Arc<Process>, kind: IntervalTimerKind) -> Setting {
    process.interval_timers.0[kind as usize]
        .get()
        .map_or(Setting::default(), |timer| timer.countdown.get())
}

/// Sets a timer; gives what was left.
pub fn set(process: &Arc<Process>, kind: IntervalTimerKind, new: Setting) -> Setting {
    let timer = timer(process, kind);
    let target: Weak<dyn TimerTarget> = Arc::<IntervalTimer>::downgrade(timer);
    timer.countdown.set(new, false, target)
}
