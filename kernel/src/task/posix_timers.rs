//! POSIX timers (`timer_create(2)`): countdowns that send signals.
//!
//! A timer has at most one signal pending; expiries until that is delivered are *overruns*, which the signal tells.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::signal::{Signal, SignalInformation, code};
use pith_sorted_map::SortedMap;
use spin::Mutex;

use super::clock::Instant;
use super::countdown::{ClockWatcher, Countdown, Look, Setting, TimerClock, watch_clock};
use super::process::Process;
use super::signal;
use super::thread::Thread;
use super::timer::TimerTarget;

/// Most timers of a process.
const MOST: usize = 4096;

/// Whom an expiry is told.
pub enum Notification {
    /// Nobody.
    None,
    /// The process, by a signal with this value.
    Process(Signal, u64),
    /// A thread, by a signal with this value.
    Thread(Weak<Thread>, Signal, u64),
}

/// A timer.
pub struct PosixTimer {
    number: i32,
    process: Weak<Process>,
    notification: Notification,
    countdown: Countdown,
    /// Its signal is pending.
    is_pending: AtomicBool,
    /// Its pending signal is of an expiry before it was set anew: nobody gets it, unless it expires again until then.
    is_stale: AtomicBool,
    /// Its signal counts as pending, but was not sent because it is ignored. It is as soon as it is not: only of a timer that
    /// repeats.
    is_ignored: AtomicBool,
    /// Expiries since its signal was sent.
    overrun: AtomicU64,
    /// Those that the last delivered signal told.
    told: AtomicI32,
}

/// The timers of a process.
#[derive(Default)]
pub struct PosixTimers {
    timers: Mutex<SortedMap<i32, Arc<PosixTimer>>>,
    next: AtomicI32,
}

impl PosixTimers {
    /// Makes a timer. `notification` is given its number, which is the signal's value if the program names none.
    ///
    /// # Errors
    /// `EAGAIN` if there are too many.
    pub fn create(
        process: &Arc<Process>,
        clock: TimerClock,
        notification: impl FnOnce(i32) -> Notification,
    ) -> Result<i32, Errno> {
        let own = &process.posix_timers;
        let mut timers = own.timers.lock();
        if timers.len() >= MOST {
            return Err(Errno::EAGAIN);
        }
        let number = loop {
            let number = own.next.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            if !timers.contains_key(&number) {
                break number;
            }
        };
        let timer = Arc::new(PosixTimer {
            number,
            process: Arc::downgrade(process),
            notification: notification(number),
            countdown: Countdown::new(clock),
            is_pending: AtomicBool::new(false),
            is_stale: AtomicBool::new(false),
            is_ignored: AtomicBool::new(false),
            overrun: AtomicU64::new(0),
            told: AtomicI32::new(0),
        });
        if matches!(timer.countdown.clock(), TimerClock::Wall) {
            let watcher: Weak<dyn ClockWatcher> = Arc::<PosixTimer>::downgrade(&timer);
            watch_clock(watcher);
        }
        timers.insert(number, timer);
        Ok(number)
    }

    /// Takes a number that no timer gets.
    pub fn skip_number(&self) {
        self.next.fetch_add(1, Ordering::Relaxed);
    }

    /// The timer with this number.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn find(&self, number: i32) -> Result<Arc<PosixTimer>, Errno> {
        self.timers.lock().get(&number).cloned().ok_or(Errno::EINVAL)
    }

    /// All of them.
    pub fn list(&self) -> Vec<Arc<PosixTimer>> {
        self.timers.lock().values().cloned().collect()
    }

    /// Deletes a timer. A signal of it that is pending stays so, but nobody gets it.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn delete(&self, number: i32) -> Result<(), Errno> {
        let timer = self.timers.lock().remove(&number).ok_or(Errno::EINVAL)?;
        timer.countdown.stop();
        Ok(())
    }

    /// Deletes all timers (`execve(2)`).
    pub fn clear(&self) {
        let timers = core::mem::take(&mut *self.timers.lock());
        for timer in timers.values() {
            timer.countdown.stop();
        }
    }

    /// What happens on a signal was changed, and what was pending of it is gone if it is ignored now.
    pub fn action_changed(&self, signal: Signal, ignored: bool) {
        if self.timers.lock().is_empty() {
            return;
        }
        let waits = |timer: &Arc<PosixTimer>| timer.is_told_by(signal) && timer.is_pending.load(Ordering::SeqCst);
        for timer in self.list().into_iter().filter(waits) {
            if ignored {
                timer.ignored();
            } else if timer.is_ignored.swap(false, Ordering::SeqCst) {
                timer.send();
            }
        }
    }

    /// A signal of a timer is about to be delivered: completes what it tells. False if it is of no timer any more, or of an
    /// expiry before that was set anew: as on Linux, nobody gets it then.
    pub fn delivered(&self, information: &mut SignalInformation) -> bool {
        let Ok(timer) = self.find(information.timer()) else {
            return false;
        };
        let stale = timer.is_stale.swap(false, Ordering::SeqCst);
        timer.is_ignored.store(false, Ordering::SeqCst);
        timer.is_pending.store(false, Ordering::SeqCst);
        if stale {
            return false;
        }
        let target: Weak<dyn TimerTarget> = Arc::<PosixTimer>::downgrade(&timer);
        let more = timer.countdown.resume(target);
        timer.overrun.fetch_add(more, Ordering::SeqCst);
        let overrun = timer.overrun.swap(0, Ordering::SeqCst).min(i32::MAX as u64) as i32;
        timer.told.store(overrun, Ordering::Relaxed);
        information.set_overrun(overrun);
        true
    }
}

impl PosixTimer {
    /// Its number.
    pub fn number(&self) -> i32 {
        self.number
    }

    /// The number of its clock.
    pub fn clock_number(&self) -> u8 {
        match self.countdown.clock() {
            TimerClock::Wall => 0,
            TimerClock::Monotonic => 1,
            TimerClock::Process(_) | TimerClock::Program(_) => 2,
            TimerClock::Thread(_) => 3,
        }
    }

    /// Whom an expiry is told, as `/proc/PID/timers` shows it: signal, value, how, and who. `process` is the number of the
    /// timer's process.
    pub fn told_to(&self, process: u32) -> (u8, u64, &'static str, u32) {
        match &self.notification {
            Notification::None => (0, 0, "none/pid", process),
            Notification::Process(signal, value) => (signal.number(), *value, "signal/pid", process),
            Notification::Thread(thread, signal, value) => {
                let number = thread.upgrade().map_or(0, |thread| thread.id());
                (signal.number(), *value, "signal/tid", number)
            }
        }
    }

    /// What is left.
    pub fn get(&self) -> Setting {
        self.countdown.get()
    }

    /// Sets it; gives what was left.
    ///
    /// # Errors
    /// `ESRCH` if it follows the clock of a process or a thread that is gone.
    pub fn set(self: &Arc<Self>, new: Setting, absolute: bool) -> Result<Setting, Errno> {
        self.countdown.clock().now().ok_or(Errno::ESRCH)?;
        self.overrun.store(0, Ordering::SeqCst);
        self.told.store(0, Ordering::Relaxed);
        self.is_stale
            .store(self.is_pending.load(Ordering::SeqCst), Ordering::SeqCst);
        let target: Weak<dyn TimerTarget> = Arc::<Self>::downgrade(self);
        // One that is disarmed has no interval either.
        let interval = if new.value == 0 { 0 } else { new.interval };
        Ok(self.countdown.set(Setting { interval, ..new }, absolute, target))
    }

    fn is_told_by(&self, signal: Signal) -> bool {
        match &self.notification {
            Notification::None => false,
            Notification::Process(own, _) | Notification::Thread(_, own, _) => own.number() == signal.number(),
        }
    }

    /// Sends its signal, which is pending from now on unless it fails.
    fn send(&self) {
        let information =
            |signal: Signal, value: u64| SignalInformation::of_timer(signal, code::SI_TIMER, self.number, value);
        let sent = match &self.notification {
            Notification::None => Err(Errno::EINVAL),
            Notification::Process(signal, value) => self.process.upgrade().map_or(Err(Errno::ESRCH), |process| {
                signal::send_unless_ignored(&process, *signal, information(*signal, *value))
            }),
            Notification::Thread(thread, signal, value) => thread.upgrade().map_or(Err(Errno::ESRCH), |thread| {
                signal::send_to_thread_unless_ignored(&thread, *signal, information(*signal, *value))
            }),
        };
        match sent {
            Ok(true) => {}
            Ok(false) => self.ignored(),
            Err(_) => self.is_pending.store(false, Ordering::SeqCst),
        }
    }

    /// Its signal is ignored: kept for later if the timer repeats.
    fn ignored(&self) {
        let repeats = self.countdown.get().interval != 0;
        self.is_ignored.store(repeats, Ordering::SeqCst);
        self.is_pending.store(repeats, Ordering::SeqCst);
    }

    /// Overruns that the last signal told.
    pub fn overrun(&self) -> i32 {
        self.told.load(Ordering::Relaxed)
    }
}

impl TimerTarget for PosixTimer {
    fn expired(&self, _now: Instant) -> Option<Instant> {
        let count = self.countdown.advance();
        if count == 0 {
            return self.countdown.again(Look::Next);
        }
        if self.is_pending.swap(true, Ordering::SeqCst) {
            // One that was of no use any more tells of this expiry now.
            let revived = self.is_stale.swap(false, Ordering::SeqCst);
            self.overrun.fetch_add(count - u64::from(revived), Ordering::SeqCst);
            if self.is_ignored.load(Ordering::SeqCst) {
                // It may have been caught just now, or the timer does not repeat any more.
                self.send();
            }
            // Not never: a signal that came to be ignored is not delivered.
            let next = self.countdown.again(Look::Seldom);
            return match self.is_pending.load(Ordering::SeqCst) {
                true => next,
                // It was delivered just now.
                false => self.countdown.again(Look::Next),
            };
        }
        self.overrun.fetch_add(count - 1, Ordering::SeqCst);
        self.send();
        self.countdown.again(Look::Next)
    }
}

impl ClockWatcher for PosixTimer {
    fn clock_was_set(self: Arc<Self>) {
        let target: Weak<dyn TimerTarget> = Arc::<Self>::downgrade(&self);
        self.countdown.clock_was_set(target);
    }
}
