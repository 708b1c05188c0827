//! Timers: something that is to happen at a time.
//!
//! Each processor keeps the timers that were armed on it, ordered by deadline, and asks its hardware timer for the
//! earliest. Beside that, a processor that is busy samples what it does ([`super::accounting`]). A timer that is disarmed
//! leaves the hardware as it is, since most are disarmed and armed again long before their time; the interrupt then finds
//! nothing to do.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::accounting::PERIOD;
use super::clock::{Instant, arm_timer, monotonic};
use crate::arch;
use crate::sync::InterruptMutex;

/// Who is told that a timer has expired.
pub trait TimerTarget: Send + Sync {
    /// The timer has expired. Called by the interrupt handler with interrupts off: must not sleep. The answer is when
    /// the timer is to expire again.
    fn expired(&self, now: Instant) -> Option<Instant>;
}

/// When the timer expires, and its number: no two are equal.
type Key = (u64, u64);

/// Where a timer is armed. Changed only under the lock of the queue that it names.
struct Place {
    number: u64,
    /// Which processor's queue.
    cpu: AtomicUsize,
    /// The deadline under which it is there; 0 for not at all.
    deadline: AtomicU64,
    /// Changes whenever the owner arms or disarms it, so that an expiry that is under way knows.
    generation: AtomicU64,
}

struct Armed {
    place: Arc<Place>,
    target: Weak<dyn TimerTarget>,
}

struct Queue {
    armed: BTreeMap<Key, Armed>,
    /// When the slice of the thread that runs is over, if others wait for that.
    slice: Option<Instant>,
    /// When to look what the processor does ([`super::accounting`]), unless it was idle last time.
    sample: Option<Instant>,
    /// What the hardware timer is set to.
    hardware: Option<Instant>,
}

static QUEUES: [InterruptMutex<Queue>; arch::MAXIMUM_CPUS] = [const {
    InterruptMutex::new(Queue {
        armed: BTreeMap::new(),
        slice: None,
        sample: None,
        hardware: None,
    })
}; arch::MAXIMUM_CPUS];

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

impl Queue {
    /// Sets this processor's hardware timer for the earliest deadline, unless it fires early enough already.
    fn program(&mut self) {
        let first = self
            .armed
            .first_key_value()
            .map(|(&(deadline, _), _)| Instant(deadline));
        let Some(earliest) = first.into_iter().chain(self.slice).chain(self.sample).min() else {
            return;
        };
        if self.hardware.is_none_or(|set| set > earliest) {
            self.hardware = Some(earliest);
            arm_timer(earliest);
        }
    }

    fn insert(&mut self, place: Arc<Place>, deadline: Instant, target: Weak<dyn TimerTarget>) {
        // 0 says that it is not armed.
        let deadline = deadline.0.max(1);
        place.deadline.store(deadline, Ordering::Relaxed);
        self.armed.insert((deadline, place.number), Armed { place, target });
    }

    fn remove(&mut self, place: &Place) -> Option<Armed> {
        place.generation.fetch_add(1, Ordering::Relaxed);
        match place.deadline.swap(0, Ordering::Relaxed) {
            0 => None,
            deadline => self.armed.remove(&(deadline, place.number)),
        }
    }
}

/// A timer: armed or not. Disarmed when it is dropped.
pub struct Timer {
    /// Held by whoever arms or disarms.
    place: InterruptMutex<Arc<Place>>,
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl Timer {
    /// A timer that is not armed.
    pub fn new() -> Self {
        Self {
            place: InterruptMutex::new(Arc::new(Place {
                number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
                cpu: AtomicUsize::new(0),
                deadline: AtomicU64::new(0),
                generation: AtomicU64::new(0),
            })),
        }
    }

    /// Lets it expire at a time; replaces an earlier request. Not to be called by its own target's `expired`, which
    /// gives the next time as its answer.
    pub fn arm(&self, deadline: Instant, target: Weak<dyn TimerTarget>) {
        let place = self.place.lock();
        // What is given up is dropped without the queue's lock.
        let _old = QUEUES[place.cpu.load(Ordering::Relaxed)].lock().remove(&place);
        let cpu = arch::cpu_index();
        let mut queue = QUEUES[cpu].lock();
        place.cpu.store(cpu, Ordering::Relaxed);
        queue.insert(place.clone(), deadline, target);
        queue.program();
    }

    /// Takes the request back. False if there was none, or if it has expired or is expiring now.
    pub fn disarm(&self) -> bool {
        let place = self.place.lock();
        let old = QUEUES[place.cpu.load(Ordering::Relaxed)].lock().remove(&place);
        old.is_some()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// The slice of the thread that runs on this processor ends then. Called with interrupts off.
pub(super) fn limit_slice(deadline: Instant) {
    let mut queue = QUEUES[arch::cpu_index()].lock();
    queue.slice = Some(deadline);
    queue.program();
}

/// Looks now and then what this processor does, from now on until it is found idle. Called with interrupts off.
pub(super) fn start_sampling() {
    let mut queue = QUEUES[arch::cpu_index()].lock();
    queue.sample = Some(monotonic().after(PERIOD));
    queue.program();
}

/// The hardware timer of this processor has fired, and interrupted the program or not. Called by the interrupt's handler.
pub fn fired(in_program: bool) {
    let queue = &QUEUES[arch::cpu_index()];
    {
        let mut locked = queue.lock();
        locked.hardware = None;
        let now = monotonic();
        if locked.sample.is_some_and(|at| at <= now) {
            let goes_on = super::scheduler::sample(in_program);
            locked.sample = goes_on.then(|| now.after(PERIOD));
        }
        if locked.slice.is_some_and(|end| end <= monotonic()) {
            locked.slice = None;
            drop(locked);
            super::scheduler::slice_over();
        }
    }
    // What was armed again meanwhile waits for the next interrupt, so that the program gets on between them.
    let now = monotonic();
    loop {
        let mut locked = queue.lock();
        let due = match locked.armed.first_key_value() {
            Some((&key, _)) if key.0 <= now.0 => locked.armed.pop_first(),
            _ => None,
        };
        let Some((_, Armed { place, target })) = due else {
            locked.program();
            return;
        };
        place.deadline.store(0, Ordering::Relaxed);
        let generation = place.generation.load(Ordering::Relaxed);
        drop(locked);
        let Some(living) = target.upgrade() else { continue };
        if let Some(next) = living.expired(now) {
            let mut locked = queue.lock();
            if place.generation.load(Ordering::Relaxed) == generation {
                locked.insert(place, next, target);
            }
        }
        super::soon::leave(living);
    }
}
