//! What the scheduler knows about one thread.

use crate::policy::{Policy, Rank};
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Whether a thread wants a processor.
pub(crate) const RUNNABLE: u8 = 0;
pub(crate) const SLEEPING: u8 = 1;
pub(crate) const ENDED: u8 = 2;
/// It was not started yet: nobody can wake it.
pub(crate) const NEW: u8 = 3;

/// The part of a thread that belongs to the scheduler.
///
/// All of it is atomic so that anybody may look; except for `state`, which its own thread sets when it is about to
/// sleep, it changes only under the lock of the run queue that `cpu` names.
#[derive(Debug)]
pub struct Entity {
    pub(crate) state: AtomicU8,
    pub(crate) cpu: AtomicUsize,
    /// Processors on which it may run: bit n for processor n.
    pub(crate) affinity: AtomicU64,
    /// [`Policy`] as a number.
    policy: AtomicU8,
    /// Static priority of real-time policies, 1 (low) to 99.
    priority: AtomicU8,
    /// Nice value + 20: 0 to 39.
    nice: AtomicU8,
    /// Threads that it makes start with the normal policy: 1, else 0.
    resets_on_fork: AtomicU8,
    /// Processor time weighted by the nice value, or for real-time threads a place in the line.
    pub(crate) order: AtomicU64,
    /// Processor time used until it last got a processor.
    used: AtomicU64,
    /// When it last got a processor, or was charged; while it waits for one, since when.
    pub(crate) since: AtomicU64,
    /// Time that it has waited for processors, and how often it got one.
    delayed: AtomicU64,
    turns: AtomicU64,
    /// Whether a processor runs it now: 1, else 0.
    pub(crate) runs: AtomicU8,
    /// Times that it gave the processor up, and times that it lost it.
    pub(crate) voluntary: AtomicU32,
    pub(crate) involuntary: AtomicU32,
}

/// Weights by nice value, each a factor of 1.25 from the next, 1024 for nice 0 (Linux, `sched_prio_to_weight`).
const WEIGHTS: [u32; 40] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904,
    3906, 3121, 2501, 1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87,
    70, 56, 45, 36, 29, 23, 18, 15,
];
const WEIGHT_OF_NICE_0: u64 = 1024;
const WEIGHT_OF_IDLE: u64 = 3;

impl Entity {
    /// A thread that is still to be started, has used no time and may run on the processors of the mask. Until then wake-ups
    /// are of no use to it: others may know it already, and send it signals.
    pub fn new(affinity: u64) -> Self {
        Self {
            state: AtomicU8::new(NEW),
            cpu: AtomicUsize::new(0),
            affinity: AtomicU64::new(affinity),
            policy: AtomicU8::new(Policy::Normal as u8),
            priority: AtomicU8::new(0),
            nice: AtomicU8::new(20),
            resets_on_fork: AtomicU8::new(0),
            order: AtomicU64::new(0),
            used: AtomicU64::new(0),
            since: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            runs: AtomicU8::new(0),
            voluntary: AtomicU32::new(0),
            involuntary: AtomicU32::new(0),
        }
    }

    /// A new thread's entity: policy, priority, nice value and affinity of the one that makes it.
    pub fn inherit(parent: &Self) -> Self {
        let new = Self::new(parent.affinity());
        let (policy, priority) = parent.policy();
        let nice = parent.nice();
        if parent.resets_on_fork() {
            new.set_nice(nice.max(0));
        } else {
            new.set_policy(policy, priority);
            new.set_nice(nice);
        }
        new.cpu
            .store(parent.cpu.load(Ordering::Relaxed), Ordering::Relaxed);
        new
    }

    /// Says that its thread is about to sleep: from now on a wake-up counts. To be called by the thread itself, before
    /// it looks at what it waits for.
    pub fn prepare_to_sleep(&self) {
        self.state.store(SLEEPING, Ordering::SeqCst);
        // The store must be seen before what the thread looks at next is read: its waker changes that first and
        // then looks here.
        crate::sync::fence(Ordering::SeqCst);
    }

    /// Takes [`Self::prepare_to_sleep`] back: the thread goes on.
    pub fn stay_awake(&self) {
        self.state.store(RUNNABLE, Ordering::SeqCst);
    }

    /// Whether it waits for a wake-up.
    pub fn sleeps(&self) -> bool {
        self.state.load(Ordering::Relaxed) == SLEEPING
    }

    /// Whether it waits for a wake-up, asked by somebody who has just changed what it may wait for.
    pub fn sleeps_now(&self) -> bool {
        crate::sync::fence(Ordering::SeqCst);
        self.state.load(Ordering::SeqCst) == SLEEPING
    }

    /// Whether its thread has ended.
    pub fn has_ended(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ENDED
    }

    /// The processor that runs it, or ran it last.
    pub fn cpu(&self) -> usize {
        self.cpu.load(Ordering::Relaxed)
    }

    /// Whether a processor runs it now.
    pub fn runs(&self) -> bool {
        self.runs.load(Ordering::Relaxed) != 0
    }

    /// Processors on which it may run: bit n for processor n.
    pub fn affinity(&self) -> u64 {
        self.affinity.load(Ordering::Relaxed)
    }

    /// Whether it may run on a processor.
    pub fn may_run_on(&self, cpu: usize) -> bool {
        self.affinity() >> cpu & 1 != 0
    }

    /// Its policy and static priority (0 unless real-time).
    pub fn policy(&self) -> (Policy, u8) {
        (
            Policy::from_stored(self.policy.load(Ordering::Relaxed)),
            self.priority.load(Ordering::Relaxed),
        )
    }

    /// Whether threads that it makes start with the normal policy (`SCHED_RESET_ON_FORK`).
    pub fn resets_on_fork(&self) -> bool {
        self.resets_on_fork.load(Ordering::Relaxed) != 0
    }

    /// Sets [`Self::resets_on_fork`].
    pub fn set_reset_on_fork(&self, resets: bool) {
        self.resets_on_fork
            .store(u8::from(resets), Ordering::Relaxed);
    }

    pub(crate) fn set_policy(&self, policy: Policy, priority: u8) {
        self.policy.store(policy as u8, Ordering::Relaxed);
        self.priority.store(priority, Ordering::Relaxed);
    }

    /// Nice value, -20 (much processor time) to 19 (little).
    pub fn nice(&self) -> i8 {
        self.nice.load(Ordering::Relaxed) as i8 - 20
    }

    pub(crate) fn set_nice(&self, nice: i8) {
        self.nice
            .store((nice.clamp(-20, 19) + 20) as u8, Ordering::Relaxed);
    }

    /// Processor time used when it is `now`, in the unit of [`Clock`](crate::Clock). Of a thread that is being charged by its
    /// processor it may lack that time.
    pub fn used(&self, now: u64) -> u64 {
        // What was charged is not counted again: whoever sees it sees until when it was.
        let used = self.used.load(Ordering::Acquire);
        match self.runs() {
            true => used + now.saturating_sub(self.since.load(Ordering::Relaxed)),
            false => used,
        }
    }

    /// Times that it waited by itself, and times that it lost the processor to another.
    pub fn switches(&self) -> (u32, u32) {
        (
            self.voluntary.load(Ordering::Relaxed),
            self.involuntary.load(Ordering::Relaxed),
        )
    }

    /// Time that it has waited for a processor although it could have run, in the unit of [`Clock`](crate::Clock), and how
    /// often it got one.
    pub fn waits(&self) -> (u64, u64) {
        (
            self.delayed.load(Ordering::Relaxed),
            self.turns.load(Ordering::Relaxed),
        )
    }

    /// It gets a processor after it has waited for it. Answers how long.
    pub(crate) fn take_turn(&self, now: u64) -> u64 {
        let waited = now.saturating_sub(self.since.load(Ordering::Relaxed));
        let add = |counter: &AtomicU64, more: u64| {
            let value = counter.load(Ordering::Relaxed) + more;
            counter.store(value, Ordering::Relaxed);
        };
        add(&self.delayed, waited);
        add(&self.turns, 1);
        self.since.store(now, Ordering::Relaxed);
        waited
    }

    /// What goes first on a processor.
    pub(crate) fn rank(&self) -> Rank {
        let (policy, priority) = self.policy();
        Rank::of(policy, priority)
    }

    /// Charges it for the time since it was last charged. Answers how much that is.
    pub(crate) fn charge(&self, now: u64) -> u64 {
        let elapsed = now.saturating_sub(self.since.load(Ordering::Relaxed));
        self.since.store(now, Ordering::Relaxed);
        self.used.store(
            self.used.load(Ordering::Relaxed) + elapsed,
            Ordering::Release,
        );
        if !self.rank().is_real_time() {
            let order = self.order.load(Ordering::Relaxed);
            self.order
                .store(order + self.weighted(elapsed), Ordering::Relaxed);
        }
        elapsed
    }

    /// Processor time in the currency in which threads are compared.
    pub(crate) fn weighted(&self, nanoseconds: u64) -> u64 {
        let weight = match self.policy().0 {
            Policy::Idle => WEIGHT_OF_IDLE,
            _ => u64::from(WEIGHTS[usize::from(self.nice.load(Ordering::Relaxed)).min(39)]),
        };
        if weight == WEIGHT_OF_NICE_0 {
            return nanoseconds;
        }
        (u128::from(nanoseconds) * u128::from(WEIGHT_OF_NICE_0) / u128::from(weight)) as u64
    }
}
