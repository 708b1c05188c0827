//! The threads that want one processor.

use alloc::collections::BinaryHeap;
use core::cmp::Ordering as Comparison;

use crate::Schedulable;
use crate::policy::{Policy, Rank};
use crate::sync::Ordering;

/// The time, as the scheduler sees it. The unit is the caller's: any counter that never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Now.
    pub now: u64,
    /// How long a thread runs while others of its rank wait.
    pub slice: u64,
    /// So much of each [`Self::period`] real-time threads may use while others wait; the rest is kept for these. As much as the
    /// period, and nothing is kept.
    pub real_time: u64,
    /// A time in which real-time threads have so much.
    pub period: u64,
}

impl Clock {
    /// What a thread that slept may be ahead of those that ran meanwhile.
    fn sleeper_bonus(self) -> u64 {
        self.slice / 4 * 3
    }

    /// How far behind the running thread must be before one that wakes takes the processor.
    fn granularity(self) -> u64 {
        self.slice / 4
    }
}

struct Ready<T> {
    rank: Rank,
    order: u64,
    sequence: u64,
    thread: T,
}

impl<T> Ready<T> {
    fn key(&self) -> (Rank, u64, u64) {
        (self.rank, self.order, self.sequence)
    }
}

impl<T> PartialEq for Ready<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Ready<T> {}

impl<T> PartialOrd for Ready<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Comparison> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ready<T> {
    /// The one that goes first is the greatest: the heap gives that.
    fn cmp(&self, other: &Self) -> Comparison {
        other.key().cmp(&self.key())
    }
}

/// The threads that want one processor, and the one that has it.
pub struct RunQueue<T> {
    ready: BinaryHeap<Ready<T>>,
    /// Who has the processor; `None` while it is idle.
    pub(crate) current: Option<T>,
    /// When `current` got it.
    picked: u64,
    /// Order of the fair thread that is furthest behind; it never goes back.
    floor: u64,
    next_sequence: u64,
    /// How often the processor went from one thread to another, or to idleness and back.
    pub(crate) switches: u64,
    /// Time that threads have waited for it.
    pub(crate) delayed: u64,
    /// What real-time threads have used of it lately.
    allowance: Allowance,
}

/// How much of a processor real-time threads have used in the current period.
struct Allowance {
    start: u64,
    period: u64,
    used: u64,
    /// They have used all: others go first until the period is over.
    exhausted: bool,
}

impl Allowance {
    const fn new() -> Self {
        Self {
            start: 0,
            period: 0,
            used: 0,
            exhausted: false,
        }
    }

    /// Begins a period if the last one is over.
    fn renew(&mut self, now: u64) {
        if now.saturating_sub(self.start) >= self.period {
            (self.start, self.used, self.exhausted) = (now, 0, false);
        }
    }

    /// Looks whether anything is left.
    fn look(&mut self, clock: Clock) {
        self.period = clock.period;
        self.renew(clock.now);
        self.exhausted = clock.real_time < clock.period && self.used >= clock.real_time;
    }
}

impl<T: Schedulable> Default for RunQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Schedulable> RunQueue<T> {
    /// An empty queue of an idle processor.
    pub const fn new() -> Self {
        Self {
            ready: BinaryHeap::new(),
            current: None,
            picked: 0,
            floor: 0,
            next_sequence: 0,
            switches: 0,
            delayed: 0,
            allowance: Allowance::new(),
        }
    }

    /// Makes room for this many threads, so that waking one never allocates. False if there is no memory.
    pub fn reserve(&mut self, threads: usize) -> bool {
        let additional = threads.saturating_sub(self.ready.len());
        self.ready.try_reserve(additional).is_ok()
    }

    /// Threads that wait for the processor.
    pub fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// Whether nobody has the processor or waits for it.
    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none() && self.ready.is_empty()
    }

    /// Who has the processor.
    pub fn current(&self) -> Option<&T> {
        self.current.as_ref()
    }

    /// Whether this thread has the processor.
    pub(crate) fn is_current(&self, thread: &T) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| core::ptr::eq(current.entity(), thread.entity()))
    }

    fn push(&mut self, thread: T) {
        let entity = thread.entity();
        self.next_sequence += 1;
        self.ready.push(Ready {
            rank: entity.rank(),
            order: entity.order.load(Ordering::Relaxed),
            sequence: self.next_sequence,
            thread,
        });
    }

    /// Puts a real-time thread behind all others in the line.
    fn send_to_end(&mut self, thread: &T) {
        self.next_sequence += 1;
        thread
            .entity()
            .order
            .store(self.next_sequence, Ordering::Relaxed);
    }

    /// Takes a thread in that slept. True if it should have the processor at once.
    pub(crate) fn wake(&mut self, thread: T, clock: Clock) -> bool {
        let entity = thread.entity();
        if entity.rank().is_real_time() {
            self.send_to_end(&thread);
        } else {
            let order = entity.order.load(Ordering::Relaxed);
            let least = self.floor.saturating_sub(clock.sleeper_bonus());
            entity.order.store(order.max(least), Ordering::Relaxed);
        }
        entity.since.store(clock.now, Ordering::Relaxed);
        self.allowance.renew(clock.now);
        let preempts = self.preempts(&thread, clock);
        self.push(thread);
        preempts
    }

    /// Takes a new thread in: it starts behind those that are there. True if it should have the processor at once.
    pub(crate) fn start(&mut self, thread: T, clock: Clock) -> bool {
        let entity = thread.entity();
        if entity.rank().is_real_time() {
            self.send_to_end(&thread);
        } else {
            let order = self.floor + entity.weighted(clock.slice / 2);
            entity.order.store(order, Ordering::Relaxed);
        }
        entity.since.store(clock.now, Ordering::Relaxed);
        self.allowance.renew(clock.now);
        let preempts = self.preempts(&thread, clock);
        self.push(thread);
        preempts
    }

    /// Whether a thread that wakes takes the processor from the one that has it.
    fn preempts(&mut self, thread: &T, clock: Clock) -> bool {
        let Some(current) = &self.current else {
            return true;
        };
        let (new, running) = (thread.entity(), current.entity());
        let (new_rank, running_rank) = (new.rank(), running.rank());
        if self.allowance.exhausted && new_rank.is_real_time() != running_rank.is_real_time() {
            return running_rank.is_real_time();
        }
        if new_rank != running_rank || new_rank.is_real_time() {
            return new_rank < running_rank;
        }
        match (new.policy().0, running.policy().0) {
            (Policy::Idle, _) | (Policy::Batch, Policy::Normal | Policy::Batch) => return false,
            (_, Policy::Idle) => return true,
            _ => {}
        }
        running.charge(clock.now);
        let behind = new.order.load(Ordering::Relaxed) + clock.granularity();
        behind < running.order.load(Ordering::Relaxed)
    }

    fn raise_floor(&mut self) {
        let fair = |thread: &T| !thread.entity().rank().is_real_time();
        let running = self
            .current
            .as_ref()
            .filter(|current| fair(current))
            .map(|current| current.entity().order.load(Ordering::Relaxed));
        let first = self
            .ready
            .peek()
            .filter(|first| fair(&first.thread))
            .map(|first| first.order);
        if let Some(least) = running.into_iter().chain(first).min() {
            self.floor = self.floor.max(least);
        }
    }

    /// Charges the thread that has the processor for its time.
    pub(crate) fn charge(&mut self, now: u64) {
        if let Some(current) = &self.current {
            let elapsed = current.entity().charge(now);
            if current.entity().rank().is_real_time() {
                self.allowance.used = self.allowance.used.saturating_add(elapsed);
            }
        }
        self.raise_floor();
    }

    /// Looks whether real-time threads have used up what they may, after [`Self::charge`].
    pub(crate) fn look_at_allowance(&mut self, clock: Clock) {
        self.allowance.look(clock);
    }

    /// The processor is taken from whoever has it.
    pub(crate) fn leave(&mut self, now: u64) -> Option<T> {
        self.charge(now);
        let thread = self.current.take()?;
        thread.entity().runs.store(0, Ordering::Relaxed);
        Some(thread)
    }

    /// Gives the processor to a thread.
    pub(crate) fn enter(&mut self, thread: T, now: u64) {
        let entity = thread.entity();
        self.switches += 1;
        self.delayed += entity.take_turn(now);
        entity.runs.store(1, Ordering::Relaxed);
        self.picked = now;
        self.current = Some(thread);
    }

    /// The first of those that wait and are not real-time.
    fn first_fair(&self) -> Option<&Ready<T>> {
        self.ready
            .iter()
            .filter(|ready| !ready.rank.is_real_time())
            .max()
    }

    /// Who goes first of those that wait.
    fn first(&self) -> Option<&Ready<T>> {
        let fair = if self.allowance.exhausted {
            self.first_fair()
        } else {
            None
        };
        fair.or_else(|| self.ready.peek())
    }

    /// Takes out the thread that goes first.
    pub(crate) fn pop(&mut self, now: u64) -> Option<T> {
        self.allowance.renew(now);
        if self.allowance.exhausted
            && let Some(key) = self.first_fair().map(Ready::key)
        {
            return self.take_out(|ready| ready.key() == key);
        }
        self.ready.pop().map(|first| first.thread)
    }

    /// Whether a thread that waits goes before the one that has the processor, after `yields` or the end of its slice.
    pub(crate) fn is_due(&self, yields: bool, clock: Clock) -> bool {
        let (Some(first), Some(current)) = (self.first(), &self.current) else {
            return false;
        };
        let entity = current.entity();
        let rank = entity.rank();
        if self.allowance.exhausted && first.rank.is_real_time() != rank.is_real_time() {
            return rank.is_real_time();
        }
        if first.rank != rank {
            return first.rank < rank;
        }
        let slice_over = clock.now.saturating_sub(self.picked) >= clock.slice;
        if rank.is_real_time() {
            return yields || (entity.policy().0 == Policy::RoundRobin && slice_over);
        }
        let order = entity.order.load(Ordering::Relaxed);
        yields || first.order + clock.granularity() < order || (slice_over && first.order <= order)
    }

    /// Puts a thread back that had the processor and wants it again.
    pub(crate) fn put_back(&mut self, thread: T, to_the_end: bool) {
        if to_the_end {
            let entity = thread.entity();
            if entity.rank().is_real_time() {
                self.send_to_end(&thread);
            } else if let Some(first) = self.first() {
                // Behind the one that it lets go first, but it keeps its share.
                let order = entity.order.load(Ordering::Relaxed);
                let behind = first.order + 1;
                entity.order.store(order.max(behind), Ordering::Relaxed);
            }
        }
        self.push(thread);
    }

    /// A thread has changed between real-time and fair: it starts its new life at the end of the line.
    pub(crate) fn restart_order(&mut self, thread: &T) {
        if thread.entity().rank().is_real_time() {
            self.send_to_end(thread);
        } else {
            thread.entity().order.store(self.floor, Ordering::Relaxed);
        }
    }

    /// Takes out the first thread that may go to another processor. Its order becomes relative to this queue.
    pub(crate) fn give_away(&mut self, cpu: usize) -> Option<T> {
        let best = self
            .ready
            .iter()
            .filter(|ready| ready.thread.may_move() && ready.thread.entity().may_run_on(cpu))
            .max()
            .map(Ready::key)?;
        self.take_out(|ready| ready.key() == best)
    }

    fn take_out(&mut self, is_it: impl Fn(&Ready<T>) -> bool) -> Option<T> {
        // The heap keeps its memory; all that happens is that it is put in order again.
        let mut all = core::mem::take(&mut self.ready).into_vec();
        let found = all
            .iter()
            .position(is_it)
            .map(|index| all.swap_remove(index));
        self.ready = BinaryHeap::from(all);
        found.map(|ready| ready.thread)
    }

    /// Takes a thread out, wherever it stands.
    pub(crate) fn remove(&mut self, thread: &T) -> Option<T> {
        self.take_out(|ready| core::ptr::eq(ready.thread.entity(), thread.entity()))
    }

    /// A thread goes to another processor: its order becomes relative to this queue.
    pub(crate) fn detach(&self, thread: &T) {
        let entity = thread.entity();
        if !entity.rank().is_real_time() {
            let order = entity.order.load(Ordering::Relaxed);
            entity
                .order
                .store(order.saturating_sub(self.floor), Ordering::Relaxed);
        }
    }

    /// A thread comes from another processor, see [`Self::detach`].
    pub(crate) fn attach(&self, thread: &T) {
        let entity = thread.entity();
        if !entity.rank().is_real_time() {
            let order = entity.order.load(Ordering::Relaxed);
            entity
                .order
                .store(order.saturating_add(self.floor), Ordering::Relaxed);
        }
    }

    /// Whether the running thread's time is limited, since others wait for it to end, or real-time threads and others share the
    /// processor by their allowance.
    pub(crate) fn takes_turns(&self) -> bool {
        let (Some(first), Some(current)) = (self.ready.peek(), &self.current) else {
            return false;
        };
        let entity = current.entity();
        let rank = entity.rank();
        if rank.is_real_time() {
            let in_turns = first.rank == rank && entity.policy().0 != Policy::FirstInFirstOut;
            return in_turns || self.first_fair().is_some();
        }
        // What real-time threads have used up comes again.
        first.rank == rank || self.allowance.exhausted
    }

    /// Whether the running thread's time is limited from when this thread waits: it is the first, or waits for a real-time
    /// thread's allowance to be used up.
    pub(crate) fn is_limited_by(&self, thread: &T) -> bool {
        let is_real_time = |thread: &T| thread.entity().rank().is_real_time();
        self.waiting() == 0
            || !is_real_time(thread) && self.current.as_ref().is_some_and(is_real_time)
    }
}
