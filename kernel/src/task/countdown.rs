//! Countdowns: what interval timers, POSIX timers and `timerfd` have in common.
//!
//! A countdown follows a clock, expires at a point of it, and perhaps again and again. Expiries are counted by the
//! clock, not by interrupts: whoever looks late learns how many there were.
//!
//! A short interval does not keep a processor busy with interrupts whose expiries nobody has noticed yet: until then the
//! countdown looks seldom or not at all ([`Countdown::again`]), and whoever notices has it go on ([`Countdown::resume`]).
//!
//! Clocks of processor time need no tick: from how many processors can work on them at once follows when such a clock
//! reaches a value at the earliest, and until then nobody looks.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use super::clock::{self, Instant, monotonic};
use super::process::Process;
use super::thread::Thread;
use super::timer::{Timer, TimerTarget};
use crate::sync::InterruptMutex;

/// The shortest time between two interrupts of one countdown, in nanoseconds: shorter intervals are counted together.
const SHORTEST: u64 = 50_000;
/// As [`SHORTEST`], for clocks of processor time.
const SHORTEST_PROCESSOR_TIME: u64 = 500_000;

/// When a countdown looks again whose last expiry nobody has noticed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// At the next expiry: nothing is left to notice.
    Next,
    /// Seldom: it is not certain that somebody will call [`Countdown::resume`].
    Seldom,
    /// Not before [`Countdown::resume`] is called.
    WhenResumed,
}

/// Nanoseconds between two looks of [`Look::Seldom`].
const SELDOM: u64 = 10_000_000;

/// A clock that a countdown can follow.
#[derive(Clone)]
pub enum TimerClock {
    /// Since boot.
    Monotonic,
    /// The wall clock, which can be set.
    Wall,
    /// Processor time of a process.
    Process(Weak<Process>),
    /// The part of that which was the program's own, as far as samples tell.
    Program(Weak<Process>),
    /// Processor time of a thread.
    Thread(Weak<Thread>),
}

impl TimerClock {
    /// Its value in nanoseconds; `None` if what it measured is gone.
    pub fn now(&self) -> Option<u64> {
        Some(match self {
            Self::Monotonic => monotonic().0,
            Self::Wall => clock::wall_clock(),
            Self::Process(process) => living(process)?.cpu_time(),
            Self::Program(process) => living(process)?.split_time().program,
            Self::Thread(thread) => thread.upgrade().filter(super::threads::is_listed)?.cpu_time(),
        })
    }

    /// When it reaches a value at the earliest.
    fn earliest(&self, value: u64) -> Option<Instant> {
        let left = value.saturating_sub(self.now()?);
        let now = monotonic();
        Some(match self {
            Self::Monotonic => Instant(value.max(now.0)),
            Self::Wall | Self::Thread(_) => now.after(left),
            Self::Process(process) | Self::Program(process) => {
                let threads = process.upgrade()?.thread_count().max(1);
                let at_once = threads.min(super::cpu_count()) as u64;
                now.after((left / at_once).max(left.min(SHORTEST_PROCESSOR_TIME)))
            }
        })
    }

    fn shortest(&self) -> u64 {
        match self {
            Self::Monotonic | Self::Wall => SHORTEST,
            Self::Process(_) | Self::Program(_) | Self::Thread(_) => SHORTEST_PROCESSOR_TIME,
        }
    }
}

/// A process that somebody can ask for still: a zombie too.
fn living(process: &Weak<Process>) -> Option<Arc<Process>> {
    process.upgrade().filter(|process| !process.family.is_gone())
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Value of the clock at the next expiry; 0 while it is not armed.
    deadline: u64,
    /// Nanoseconds between expiries; 0 for one only.
    interval: u64,
    /// Follows the wall clock when that is set: its deadline is a point of it.
    absolute: bool,
    /// It does not look at the next expiry unless it is resumed.
    waits: bool,
}

/// What is left, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Until the next expiry; 0 for never.
    pub value: u64,
    /// Between expiries; 0 for one only.
    pub interval: u64,
}

/// A countdown. Its target is told by [`TimerTarget::expired`], which asks [`Countdown::advance`] what happened.
pub struct Countdown {
    clock: TimerClock,
    timer: Timer,
    state: InterruptMutex<State>,
}

impl Countdown {
    /// A countdown that is not armed.
    pub fn new(clock: TimerClock) -> Self {
        Self {
            clock,
            timer: Timer::new(),
            state: InterruptMutex::new(State::default()),
        }
    }

    /// The clock that it follows.
    pub fn clock(&self) -> &TimerClock {
        &self.clock
    }

    /// What is left.
    pub fn get(&self) -> Setting {
        let state = *self.state.lock();
        if state.deadline == 0 {
            return Setting {
                value: 0,
                interval: state.interval,
            };
        }
        let Some(now) = self.clock.now() else {
            return Setting::default();
        };
        let value = match (state.deadline.saturating_sub(now), state.interval) {
            // It is due and has not been noticed yet: then it is about to come, or has come and will again.
            (0, 0) => 1,
            (0, interval) => interval - (now - state.deadline) % interval,
            (left, _) => left,
        };
        Setting {
            value,
            interval: state.interval,
        }
    }

    /// Sets it: to expire after a time, or at a point of its clock if `absolute`; a value of 0 disarms it. Gives what
    /// was left.
    pub fn set(&self, new: Setting, absolute: bool, target: Weak<dyn TimerTarget>) -> Setting {
        let old = self.get();
        self.timer.disarm();
        let deadline = match (new.value, absolute) {
            (0, _) => 0,
            (point, true) => point,
            (span, false) => self.clock.now().unwrap_or(0).saturating_add(span),
        };
        *self.state.lock() = State {
            deadline,
            interval: new.interval,
            absolute,
            waits: false,
        };
        self.arm(deadline, target);
        old
    }

    fn arm(&self, deadline: u64, target: Weak<dyn TimerTarget>) {
        if deadline != 0
            && let Some(earliest) = self.clock.earliest(deadline)
        {
            self.timer.arm(earliest, target);
        }
    }

    /// Disarms it.
    pub fn stop(&self) {
        self.timer.disarm();
        *self.state.lock() = State::default();
    }

    /// The wall clock was set: the deadline lies elsewhere now.
    pub fn clock_was_set(&self, target: Weak<dyn TimerTarget>) {
        let state = *self.state.lock();
        if matches!(self.clock, TimerClock::Wall) && state.absolute && state.deadline != 0 {
            self.arm(state.deadline, target);
        }
    }

    /// To be asked when the timer has expired: how often the clock has passed a deadline since the last time. Afterwards
    /// [`again`](Self::again) says when to look again.
    pub fn advance(&self) -> u64 {
        self.pass(&mut self.state.lock())
    }

    fn pass(&self, state: &mut State) -> u64 {
        let (deadline, interval) = (state.deadline, state.interval);
        let Some(now) = self.clock.now().filter(|&now| deadline != 0 && now >= deadline) else {
            return 0;
        };
        if interval == 0 {
            state.deadline = 0;
            return 1;
        }
        let count = (now - deadline) / interval + 1;
        state.deadline = deadline.saturating_add(count.saturating_mul(interval));
        count
    }

    /// When the timer is to expire again: the answer of its target.
    pub fn again(&self, look: Look) -> Option<Instant> {
        let mut state = self.state.lock();
        if state.deadline == 0 {
            return None;
        }
        let gap = match look {
            Look::Next => self.clock.shortest(),
            Look::Seldom => SELDOM,
            Look::WhenResumed => {
                state.waits = true;
                return None;
            }
        };
        state.waits = look == Look::Seldom;
        self.soon(&state, gap)
    }

    /// When the next deadline can be passed that is at least `gap` nanoseconds away, if it is not the first.
    fn soon(&self, state: &State, gap: u64) -> Option<Instant> {
        let soon = match state.interval {
            0 => state.deadline,
            _ => state.deadline.max(self.clock.now()?.saturating_add(gap)),
        };
        self.clock.earliest(soon)
    }

    /// Goes on after the last expiry was noticed: how often the clock has passed a deadline since then.
    pub fn resume(&self, target: Weak<dyn TimerTarget>) -> u64 {
        let (count, next) = {
            let mut state = self.state.lock();
            if !core::mem::take(&mut state.waits) {
                return 0;
            }
            let count = self.pass(&mut state);
            (count, self.soon(&state, self.clock.shortest()))
        };
        if let Some(next) = next {
            self.timer.arm(next, target);
        }
        count
    }
}

/// Who is told when the wall clock is set.
pub trait ClockWatcher: Send + Sync {
    /// The wall clock was set.
    fn clock_was_set(self: Arc<Self>);
}

static WATCHERS: InterruptMutex<Vec<Weak<dyn ClockWatcher>>> = InterruptMutex::new(Vec::new());

/// Lets somebody know when the wall clock is set.
pub fn watch_clock(watcher: Weak<dyn ClockWatcher>) {
    let mut watchers = WATCHERS.lock();
    watchers.retain(|watcher| watcher.strong_count() != 0);
    if watchers.try_reserve(1).is_ok() {
        watchers.push(watcher);
    }
}

/// Sets the wall clock, in nanoseconds since 1970.
pub fn set_wall_clock(nanoseconds: u64) {
    clock::set_wall_clock(nanoseconds);
    let watchers: Vec<_> = WATCHERS.lock().iter().filter_map(Weak::upgrade).collect();
    for watcher in watchers {
        watcher.clock_was_set();
    }
}
