//! Requests on their way: alone or in chains, done at once or waiting for a file or a time.
//!
//! A [`Request`] is tried where it is submitted. One that has to wait becomes a [`Pending`], which is registered at the
//! file's wait queue or armed with a timer. Whoever wakes it only puts it on its ring's list; a thread then tries it
//! again: one that waits for completions, or the kernel's thread for deferred work.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::files::PollEvents;
use pith_linux::io_uring::{CQE_MORE, CQE_NOTIFICATION, Entry, entry_flag};
use spin::Mutex;

use super::operation::{self, Attempt, Operation, Outcome, Timeout};
use super::ring::Ring;
use crate::fs::file::OpenFile;
use crate::task::{self, Instant, Thread, Timer, TimerTarget, Wakeable};

/// A request that was read from the submission queue.
pub(super) struct Request {
    pub(super) user_data: u64,
    pub(super) descriptor: i32,
    flags: u8,
    opcode: u8,
    pub(super) operation: Operation,
    /// The file, once it has been looked up.
    pub(super) file: Option<Arc<OpenFile>>,
}

impl Request {
    /// Reads an entry.
    ///
    /// # Errors
    /// What is wrong with it.
    #[inline]
    pub(super) fn read(entry: &Entry) -> Result<Self, Errno> {
        if entry.flags & !entry_flag::ALL != 0 || entry.personality != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            user_data: entry.user_data,
            descriptor: entry.descriptor,
            flags: entry.flags,
            opcode: entry.opcode,
            operation: Operation::prepare(entry)?,
            file: None,
        })
    }

    /// Whether another one is linked behind it.
    fn is_linked(&self) -> bool {
        self.flags & (entry_flag::IO_LINK | entry_flag::IO_HARDLINK) != 0
    }

    pub(super) fn is_fixed(&self) -> bool {
        self.flags & entry_flag::FIXED_FILE != 0
    }

    fn is_silent(&self) -> bool {
        self.flags & entry_flag::CQE_SKIP_SUCCESS != 0
    }

    /// Whether it lets all before it end first.
    pub(super) fn drains(&self) -> bool {
        self.flags & entry_flag::IO_DRAIN != 0
    }

    fn is_link_timeout(&self) -> bool {
        matches!(self.operation, Operation::LinkTimeout(_))
    }

    /// Whether another thread has to do it.
    fn is_for_others(&self) -> bool {
        self.flags & entry_flag::ASYNC != 0 || self.operation.makes_named_pipe_wait()
    }

    /// Looks the file up, and tries it unless it is to be done elsewhere. `None` if it has to wait.
    #[inline]
    fn try_first(&mut self, ring: &Arc<Ring>, elsewhere: bool) -> Option<Outcome> {
        if operation::needs_file(self.opcode) {
            match ring.find_file(self.descriptor, self.is_fixed()) {
                Ok(file) => self.file = Some(file),
                Err(errno) => return Some(Outcome::error(errno)),
            }
        }
        if elsewhere || self.operation.is_multishot() {
            return None;
        }
        match self.attempt(ring, None) {
            Attempt::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Starts a request that has nothing to do with others.
    #[inline]
    pub(super) fn start_alone(mut self, ring: &Arc<Ring>) {
        let elsewhere = self.is_for_others();
        match self.try_first(ring, elsewhere) {
            Some(outcome) => {
                self.complete(ring, self.user_data, outcome);
            }
            None => Pending::begin(ring, self, Chain::default(), elsewhere),
        }
    }

    /// Tells the program how it ended. True if what is linked behind must not start.
    #[inline]
    fn complete(&self, ring: &Ring, user_data: u64, outcome: Outcome) -> bool {
        if !self.is_silent() || outcome.failed {
            let counts = !matches!(self.operation, Operation::Timeout { .. });
            let told = if self.operation.notifies() {
                outcome.with_more()
            } else {
                outcome
            };
            ring.post(user_data, told.result, told.flags, counts);
        }
        // What was sent was copied, if anything was sent at all.
        if self.operation.notifies() {
            ring.post(user_data, 0, CQE_NOTIFICATION, true);
        }
        outcome.failed && self.flags & entry_flag::IO_HARDLINK == 0
    }
}

/// Requests that are linked, the first in front.
#[derive(Default)]
pub(super) struct Chain {
    requests: VecDeque<Request>,
    /// What is wrong with one of them: none starts.
    wrong: Option<(usize, Errno)>,
}

impl Chain {
    /// Puts an entry behind the others. True if another one is linked to it.
    pub(super) fn push(&mut self, ring: &Ring, entry: &Entry) -> bool {
        let request = Request::read(entry).and_then(|request| {
            // Who drains has to see the end of each.
            if request.is_silent() {
                ring.disable_draining();
            }
            if request.drains() && !ring.can_drain() {
                return Err(Errno::EOPNOTSUPP);
            }
            // A link's timeout stands behind what it limits.
            let lonely = match self.requests.back() {
                Some(before) => before.is_link_timeout(),
                None => true,
            };
            if request.is_link_timeout() && lonely {
                return Err(Errno::EINVAL);
            }
            Ok(request)
        });
        let request = request.unwrap_or_else(|errno| {
            self.wrong.get_or_insert((self.requests.len(), errno));
            Request {
                user_data: entry.user_data,
                descriptor: entry.descriptor,
                flags: entry.flags,
                opcode: entry.opcode,
                operation: Operation::Nothing,
                file: None,
            }
        });
        let linked = request.is_linked();
        self.requests.push_back(request);
        linked
    }

    /// Whether it is a single request with something wrong.
    pub(super) fn is_refused(&self) -> bool {
        self.wrong.is_some() && self.requests.len() == 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether it waits for all requests before it.
    pub(super) fn drains(&self) -> bool {
        self.requests.iter().any(Request::drains)
    }

    /// Tells that none of them will start. `silent`: without words.
    fn cancel(self, ring: &Ring, silent: bool) {
        for (index, request) in self.requests.iter().enumerate() {
            let errno = match self.wrong {
                Some((wrong, errno)) if wrong == index => errno,
                _ => Errno::ECANCELED,
            };
            if !silent {
                ring.post(request.user_data, -i32::from(errno.number()), 0, true);
            }
        }
    }

    /// Takes the timeout that limits `request` off the front.
    fn take_timeout(&mut self, request: &Request) -> Option<Request> {
        let limited = request.is_linked() && self.requests.front().is_some_and(Request::is_link_timeout);
        if limited { self.requests.pop_front() } else { None }
    }

    /// Goes on behind a request that has ended.
    fn proceed(self, ring: &Arc<Ring>, request: &Request, stop: bool) {
        if stop {
            self.cancel(ring, request.is_silent());
        } else if !self.is_empty() {
            self.start(ring);
        }
    }

    /// Starts the first, and what follows when it has ended.
    pub(super) fn start(mut self, ring: &Arc<Ring>) {
        if self.wrong.is_some() {
            return self.cancel(ring, false);
        }
        while let Some(mut request) = self.requests.pop_front() {
            let elsewhere = request.is_for_others();
            let Some(outcome) = request.try_first(ring, elsewhere) else {
                return Pending::begin(ring, request, self, elsewhere);
            };
            let stop = request.complete(ring, request.user_data, outcome);
            if let Some(timeout) = self.take_timeout(&request) {
                timeout.complete(ring, timeout.user_data, Outcome::error(Errno::ECANCELED));
            }
            if stop {
                return self.cancel(ring, request.is_silent());
            }
        }
    }
}

impl Outcome {
    fn with_more(self) -> Self {
        Self {
            flags: self.flags | CQE_MORE,
            ..self
        }
    }
}

/// Waits to be woken.
const ARMED: u8 = 0;
/// Was woken and is on the ring's list.
const QUEUED: u8 = 1;
/// A thread deals with it.
const RUNNING: u8 = 2;
/// It was woken while a thread deals with it.
const WOKEN: u8 = 3;
/// It is over.
const OVER: u8 = 4;

/// A request that could not be done at once.
pub(super) struct Pending {
    itself: Weak<Self>,
    ring: Arc<Ring>,
    pub(super) sequence: u64,
    pub(super) request: Request,
    /// What the completion is known by: `POLL_REMOVE` can change it.
    user_data: AtomicU64,
    /// What is polled for: events, and above them whether to go on.
    polled: AtomicU32,
    /// What is linked behind it.
    chain: Mutex<Chain>,
    state: AtomicU8,
    /// That of a timeout.
    timer: Option<Timer>,
    expired: AtomicBool,
    /// It ends when it is dealt with next.
    cancelled: AtomicBool,
    /// The thread that may sleep for it, while it may.
    worker: Mutex<Option<Arc<Thread>>>,
    /// The timeout that limits it.
    limit: Mutex<Option<Arc<Pending>>>,
    /// What this timeout limits.
    limited: Weak<Pending>,
    /// A timeout ends when so many completions have been counted.
    last_count: Option<u32>,
}

const MULTISHOT: u32 = 1 << 16;

fn polled_bits(events: PollEvents, multishot: bool) -> u32 {
    let events = if events.is_empty() {
        events
    } else {
        events | PollEvents::ERROR | PollEvents::HANG_UP
    };
    u32::from(events.bits()) | if multishot { MULTISHOT } else { 0 }
}

impl Pending {
    fn new(ring: &Arc<Ring>, request: Request, chain: Chain, limited: Weak<Self>) -> Arc<Self> {
        let (timer, count) = match &request.operation {
            Operation::Timeout { count, .. } => (Some(Timer::new()), *count),
            Operation::LinkTimeout(_) => (Some(Timer::new()), 0),
            _ => (None, 0),
        };
        let polled = polled_bits(request.operation.events(), request.operation.is_multishot());
        Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            ring: ring.clone(),
            sequence: ring.next_sequence(),
            user_data: AtomicU64::new(request.user_data),
            polled: AtomicU32::new(polled),
            chain: Mutex::new(chain),
            state: AtomicU8::new(RUNNING),
            timer,
            expired: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            worker: Mutex::new(None),
            limit: Mutex::new(None),
            limited,
            last_count: (count != 0).then(|| ring.counted().wrapping_add(count)),
            request,
        })
    }

    /// Keeps a request that has to wait. `elsewhere`: it was not tried yet, and is to be tried by another thread.
    fn begin(ring: &Arc<Ring>, request: Request, mut chain: Chain, elsewhere: bool) {
        let timeout = chain.take_timeout(&request);
        let sleeps = request.operation.may_sleep();
        let pending = Self::new(ring, request, chain, Weak::new());
        if let Err(errno) = ring.keep(&pending).and_then(|()| pending.register()) {
            pending.end(Outcome::error(errno));
            return;
        }
        if let Some(timeout) = timeout {
            let limit = Self::new(ring, timeout, Chain::default(), Arc::downgrade(&pending));
            if ring.keep(&limit).is_ok() {
                *pending.limit.lock() = Some(limit.clone());
                limit.state.store(ARMED, Ordering::SeqCst);
                limit.arm_timer();
            }
        }
        if let Operation::Timeout { .. } = pending.request.operation {
            pending.state.store(ARMED, Ordering::SeqCst);
            pending.arm_timer();
        } else if sleeps {
            let sleeper = pending.clone();
            if ring.spawn(move || sleeper.work()).is_err() {
                pending.end(Outcome::error(Errno::EAGAIN));
            }
        } else if elsewhere {
            pending.state.store(ARMED, Ordering::SeqCst);
            pending.wake_up();
        } else {
            // It may have become possible before it was registered.
            pending.drive();
        }
    }

    fn register(&self) -> Result<(), Errno> {
        let Some(this) = self.itself.upgrade() else {
            return Ok(());
        };
        if self.request.operation.events().is_empty() {
            return Ok(());
        }
        let file = self.request.file.as_ref().ok_or(Errno::EBADF)?.file()?;
        let who: Arc<dyn Wakeable> = this;
        file.wait_queue().map_or(Ok(()), |queue| queue.register(&who, false))
    }

    fn unregister(&self) {
        let Some(this) = self.itself.upgrade() else { return };
        if let Some(Ok(file)) = self.request.file.as_ref().map(|open| open.file())
            && let Some(queue) = file.wait_queue()
        {
            let who: Arc<dyn Wakeable> = this;
            queue.unregister(&who);
        }
    }

    fn arm_timer(&self) {
        let (Operation::Timeout { timeout, .. } | Operation::LinkTimeout(timeout)) = &self.request.operation else {
            return;
        };
        self.arm_at(timeout.deadline);
    }

    fn arm_at(&self, deadline: Instant) {
        if let Some(timer) = &self.timer {
            let target: Weak<dyn TimerTarget> = self.itself.clone();
            timer.arm(deadline, target);
        }
    }

    /// Whether the time is over.
    pub(super) fn has_expired(&self) -> bool {
        self.expired.load(Ordering::SeqCst)
    }

    /// What is polled for, and whether to go on after the first event.
    pub(super) fn polled(&self) -> (PollEvents, bool) {
        let polled = self.polled.load(Ordering::SeqCst);
        (PollEvents::from_bits_truncate(polled as u16), polled & MULTISHOT != 0)
    }

    /// What its completion is known by.
    pub(super) fn user_data(&self) -> u64 {
        self.user_data.load(Ordering::Relaxed)
    }

    /// Changes what a poll is known by and waits for. The caller has [`Self::claim`]ed it.
    pub(super) fn change_poll(&self, events: Option<(PollEvents, bool)>, user_data: Option<u64>) {
        if let Some((events, multishot)) = events {
            self.polled.store(polled_bits(events, multishot), Ordering::SeqCst);
        }
        if let Some(user_data) = user_data {
            self.user_data.store(user_data, Ordering::Relaxed);
        }
        self.drive();
    }

    /// Lets a timeout be over at another time. The caller has [`Self::claim`]ed it.
    pub(super) fn change_timeout(&self, timeout: Timeout) {
        self.state.store(ARMED, Ordering::SeqCst);
        self.arm_at(timeout.deadline);
    }

    /// Whether a completion with this number ends the timeout.
    pub(super) fn ends_at(&self, counted: u32) -> bool {
        self.last_count
            .is_some_and(|last| counted.wrapping_sub(last) as i32 >= 0)
    }

    pub(super) fn has_count(&self) -> bool {
        self.last_count.is_some()
    }

    /// Takes it away from whoever might wake it. False if a thread deals with it already, or if it is over.
    pub(super) fn claim(&self) -> bool {
        [ARMED, QUEUED].iter().any(|&from| {
            self.state
                .compare_exchange(from, RUNNING, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        })
    }

    /// Lets it end when it is taken off the ring's list, where the caller, who has [`Self::claim`]ed it, puts it.
    pub(super) fn mark_cancelled(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.state.store(QUEUED, Ordering::SeqCst);
    }

    /// It was taken off the ring's list.
    pub(super) fn resume(&self) {
        if self
            .state
            .compare_exchange(QUEUED, RUNNING, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
        {
            self.drive();
        }
    }

    /// Does it in a thread of its own, which may sleep for it until it is interrupted.
    fn work(&self) {
        let thread = task::current().arc();
        *self.worker.lock() = thread;
        let wanted = !self.cancelled.load(Ordering::SeqCst);
        let attempt = wanted.then(|| self.request.attempt(&self.ring, Some(self)));
        let thread = self.worker.lock().take();
        if let Some(thread) = thread {
            // It may have to start what is linked behind.
            thread.end_waits(false);
        }
        self.ring.worker_is_free();
        match attempt {
            Some(Attempt::Done(outcome)) => self.end(outcome),
            _ => self.drive(),
        }
    }

    /// Lets it end soon although a thread deals with it: if that sleeps for it, it sleeps no more.
    pub(super) fn interrupt(&self) {
        if !self.request.operation.may_sleep() {
            return;
        }
        self.cancelled.store(true, Ordering::SeqCst);
        if let Some(thread) = &*self.worker.lock() {
            thread.end_waits(true);
        }
    }

    /// Tries until it is over or has to wait. The caller has it for itself.
    fn drive(&self) {
        loop {
            if self.cancelled.load(Ordering::SeqCst) {
                return self.end(Outcome::error(Errno::ECANCELED));
            }
            if self.request.is_link_timeout() {
                return self.end_limited();
            }
            match self.request.attempt(&self.ring, Some(self)) {
                Attempt::Done(outcome) => return self.end(outcome),
                Attempt::More(outcome) => {
                    self.ring
                        .post(self.user_data(), outcome.result, outcome.with_more().flags, true);
                }
                Attempt::Again(outcome) => {
                    self.ring
                        .post(self.user_data(), outcome.result, outcome.with_more().flags, true);
                    continue;
                }
                Attempt::Wait => {}
            }
            if self
                .state
                .compare_exchange(RUNNING, ARMED, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
            {
                return;
            }
            self.state.store(RUNNING, Ordering::SeqCst);
        }
    }

    /// The time that it limits another one with is over.
    fn end_limited(&self) {
        let outcome = match self.limited.upgrade() {
            // Without this, ending the other would end it too.
            Some(limited) => {
                limited.limit.lock().take();
                if limited.claim() {
                    limited.end(Outcome::error(Errno::ECANCELED));
                    self.request.timed_out()
                } else {
                    Outcome::error(Errno::EALREADY)
                }
            }
            None => self.request.timed_out(),
        };
        self.end(outcome);
    }

    /// Ends it. The caller has it for itself.
    pub(super) fn end(&self, outcome: Outcome) {
        self.release();
        let stop = self.request.complete(&self.ring, self.user_data(), outcome);
        let limit = self.limit.lock().take();
        if let Some(limit) = limit
            && limit.claim()
        {
            limit.end(Outcome::error(Errno::ECANCELED));
        }
        let chain = core::mem::take(&mut *self.chain.lock());
        chain.proceed(&self.ring, &self.request, stop);
    }

    /// Nothing wakes it any more, and the ring forgets it.
    fn release(&self) {
        self.state.store(OVER, Ordering::SeqCst);
        self.unregister();
        if let Some(timer) = &self.timer {
            timer.disarm();
        }
        self.ring.forget(self);
    }

    /// Ends it without a word, since its ring is closed or the program is replaced. False if a thread deals with it, which ends
    /// it instead of letting it wait again.
    pub(super) fn abandon(&self) -> bool {
        while !self.claim() {
            self.cancelled.store(true, Ordering::SeqCst);
            let told = self
                .state
                .compare_exchange(RUNNING, WOKEN, Ordering::SeqCst, Ordering::SeqCst);
            if !matches!(told, Err(ARMED | QUEUED)) {
                // Nor does anything start behind it.
                let chain = core::mem::take(&mut *self.chain.lock());
                drop(chain);
                self.interrupt();
                return false;
            }
        }
        self.release();
        let limit = self.limit.lock().take();
        let chain = core::mem::take(&mut *self.chain.lock());
        drop((limit, chain));
        true
    }

    /// Has it tried again.
    fn wake_up(&self) {
        loop {
            let (from, to) = match self.state.load(Ordering::SeqCst) {
                ARMED => (ARMED, QUEUED),
                RUNNING => (RUNNING, WOKEN),
                _ => return,
            };
            if self
                .state
                .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
            {
                if to == QUEUED
                    && let Some(this) = self.itself.upgrade()
                {
                    self.ring.make_ready(this);
                }
                return;
            }
        }
    }
}

impl Wakeable for Pending {
    fn wake(&self, events: PollEvents) -> bool {
        let wanted = PollEvents::from_bits_truncate(self.polled.load(Ordering::SeqCst) as u16);
        if !events.is_empty() && !events.intersects(wanted) {
            return false;
        }
        self.wake_up();
        true
    }
}

impl TimerTarget for Pending {
    fn expired(&self, _now: Instant) -> Option<Instant> {
        self.expired.store(true, Ordering::SeqCst);
        self.wake_up();
        None
    }
}
