//! Timers as files (`timerfd_create(2)`).

use alloc::sync::{Arc, Weak};
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents};

use super::file::{File, OpenFile};
use crate::memory::Destination;
use crate::task::countdown::{ClockWatcher, Countdown, Look, Setting, TimerClock, watch_clock};
use crate::task::{Instant, TimerTarget, WaitQueue};

/// Bytes of a count.
const SIZE: usize = 8;

/// A timer.
pub struct TimerFile {
    own: Weak<Self>,
    countdown: Countdown,
    /// Expiries that nobody has read yet.
    expiries: AtomicU64,
    /// The wall clock was set, and whoever reads is to be told so (`TFD_TIMER_CANCEL_ON_SET`).
    cancels: AtomicBool,
    cancelled: AtomicBool,
    queue: WaitQueue,
}

impl TimerFile {
    /// What is left.
    pub fn get(&self) -> Setting {
        self.countdown.get()
    }

    /// Sets it; gives what was left.
    pub fn set(&self, new: Setting, absolute: bool, cancels: bool) -> Setting {
        let target: Weak<dyn TimerTarget> = self.own.clone();
        self.expiries.store(0, Ordering::SeqCst);
        self.cancelled.store(false, Ordering::SeqCst);
        self.cancels.store(cancels && absolute, Ordering::SeqCst);
        self.countdown.set(new, absolute, target)
    }

    /// What a read gives.
    fn take(&self) -> Option<Result<u64, Errno>> {
        if self.cancelled.swap(false, Ordering::SeqCst) {
            return Some(Err(Errno::ECANCELED));
        }
        match self.expiries.swap(0, Ordering::SeqCst) {
            0 => None,
            count => Some(Ok(count + self.countdown.resume(self.own.clone()))),
        }
    }
}

impl TimerTarget for TimerFile {
    fn expired(&self, _now: Instant) -> Option<Instant> {
        let count = self.countdown.advance();
        if count == 0 {
            return self.countdown.again(Look::Next);
        }
        // Before whoever reads can have it go on.
        let next = self.countdown.again(Look::WhenResumed);
        self.expiries.fetch_add(count, Ordering::SeqCst);
        self.queue.wake(PollEvents::IN | PollEvents::READ_NORMAL);
        next
    }
}

impl ClockWatcher for TimerFile {
    fn clock_was_set(self: Arc<Self>) {
        self.countdown.clock_was_set(self.own.clone());
        if self.cancels.load(Ordering::SeqCst) {
            self.cancelled.store(true, Ordering::SeqCst);
            self.queue.wake_all();
        }
    }
}

impl File for TimerFile {
    fn can_be_written(&self) -> bool {
        false
    }

    fn ignores_seeking(&self) -> bool {
        true
    }

    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        if to.remaining() < SIZE {
            return Err(Errno::EINVAL);
        }
        let taken = match self.take() {
            Some(taken) => taken,
            None if flags.contains(OpenFlags::NONBLOCKING) => return Err(Errno::EAGAIN),
            None => self.queue.wait(|| self.take())?,
        };
        to.put(&taken?.to_ne_bytes())
    }

    fn readiness(&self) -> PollEvents {
        let ready = self.expiries.load(Ordering::SeqCst) != 0 || self.cancelled.load(Ordering::SeqCst);
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN, ready);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }
}

/// A new timer, not armed. Of the flags, [`OpenFlags::NONBLOCKING`] counts.
pub fn create(clock: TimerClock, flags: OpenFlags) -> Arc<OpenFile> {
    let wall = matches!(clock, TimerClock::Wall);
    let file = Arc::new_cyclic(|own| TimerFile {
        own: own.clone(),
        countdown: Countdown::new(clock),
        expiries: AtomicU64::new(0),
        cancels: AtomicBool::new(false),
        cancelled: AtomicBool::new(false),
        queue: WaitQueue::new(),
    });
    if wall {
        let watcher: Weak<dyn ClockWatcher> = Arc::<TimerFile>::downgrade(&file);
        watch_clock(watcher);
    }
    super::anonymous::open(
        "anon_inode:[timerfd]",
        file,
        (flags & OpenFlags::NONBLOCKING) | OpenFlags::READ_WRITE,
    )
}

/// The timer behind an open file.
///
/// # Errors
/// `EINVAL` if it is something else.
pub fn of(open: &OpenFile) -> Result<Arc<TimerFile>, Errno> {
    let file: Arc<dyn Any + Send + Sync> = open.file()?.clone();
    file.downcast().map_err(|_| Errno::EINVAL)
}
