//! All processors together.

use core::marker::PhantomData;

use crate::entity::{ENDED, RUNNABLE, SLEEPING};
use crate::policy::Policy;
use crate::run_queue::{Clock, RunQueue};
use crate::sync::{AtomicU64, Lock, Ordering};
use crate::{Entity, Schedulable};

/// What a wake-up has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The thread did not sleep; it will look at what it waits for anyway.
    WasAwake,
    /// It waits for a processor, behind others.
    Waits,
    /// It waits for this processor, whose thread's time is limited from now on.
    Limits(usize),
    /// This processor is idle or should give way: it has to look again.
    Preempts(usize),
}

/// Whether other threads wait for the one that runs to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OthersWait(pub bool);

/// What a processor does next.
#[derive(Debug)]
pub enum Next<T> {
    /// It goes on with the thread that it has.
    Same,
    /// It switches to this thread. If others wait for it to give way, it has to look again after a slice.
    Switch(T, OthersWait),
    /// Nobody wants it.
    Idle,
}

/// The run queues of all processors.
///
/// `Q` gives the locked queues, one for each processor.
pub struct Scheduler<T: Schedulable + Clone, L: Lock<RunQueue<T>>, Q: AsRef<[L]>> {
    queues: Q,
    /// Processors that exist: bit n for processor n.
    online: AtomicU64,
    /// Processors that were idle when last looked at. A hint.
    idle: AtomicU64,
    marker: PhantomData<fn(T) -> L>,
}

impl<T: Schedulable + Clone, L: Lock<RunQueue<T>>, Q: AsRef<[L]>> Scheduler<T, L, Q> {
    /// A scheduler without processors.
    #[cfg(not(loom))]
    pub const fn new(queues: Q) -> Self {
        Self {
            queues,
            online: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            marker: PhantomData,
        }
    }

    /// A scheduler without processors.
    #[cfg(loom)]
    pub fn new(queues: Q) -> Self {
        Self {
            queues,
            online: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            marker: PhantomData,
        }
    }

    fn with<R>(&self, cpu: usize, action: impl FnOnce(&mut RunQueue<T>) -> R) -> R {
        self.queues.as_ref()[cpu].with(action)
    }

    /// A processor works from now on.
    pub fn add_processor(&self, cpu: usize) {
        self.online.fetch_or(1 << cpu, Ordering::SeqCst);
    }

    /// Processors that work: bit n for processor n.
    pub fn online(&self) -> u64 {
        self.online.load(Ordering::Relaxed)
    }

    /// Makes room in all queues for this many threads. False if there is no memory.
    pub fn reserve(&self, threads: usize) -> bool {
        bits(self.online()).all(|cpu| self.with(cpu, |queue| queue.reserve(threads)))
    }

    /// Where a thread should run that last ran on `previous`, which is busy.
    fn place(&self, entity: &Entity, previous: usize) -> usize {
        let allowed = entity.affinity() & self.online();
        let idle = self.idle.load(Ordering::Relaxed) & allowed;
        if idle != 0 {
            return idle.trailing_zeros() as usize;
        }
        if allowed >> previous & 1 != 0 || allowed == 0 {
            return previous;
        }
        allowed.trailing_zeros() as usize
    }

    /// Lets a thread that sleeps run.
    pub fn wake(&self, thread: &T, clock: Clock) -> Woken {
        let entity = thread.entity();
        // What the thread waits for was changed before this; see `prepare_to_sleep`.
        crate::sync::fence(Ordering::SeqCst);
        loop {
            if entity.state.load(Ordering::SeqCst) != SLEEPING {
                return Woken::WasAwake;
            }
            let cpu = entity.cpu();
            let outcome = self.with(cpu, |queue| {
                if entity.cpu() != cpu {
                    return None;
                }
                if entity.state.load(Ordering::Relaxed) != SLEEPING {
                    return Some(Ok(Woken::WasAwake));
                }
                entity.state.store(RUNNABLE, Ordering::SeqCst);
                if queue.is_current(thread) {
                    // It has announced to sleep, but not given the processor up yet.
                    return Some(Ok(Woken::WasAwake));
                }
                let stays = !thread.may_move() || (queue.is_idle() && entity.may_run_on(cpu));
                let target = if stays { cpu } else { self.place(entity, cpu) };
                if target == cpu {
                    return Some(Ok(self.enqueue(queue, cpu, thread, clock)));
                }
                queue.detach(thread);
                // From here on it is in no queue, and only we know that it is to come into one.
                entity.cpu.store(target, Ordering::SeqCst);
                Some(Err(target))
            });
            match outcome {
                None => {}
                Some(Ok(woken)) => return woken,
                Some(Err(target)) => {
                    return self.with(target, |queue| {
                        queue.attach(thread);
                        self.enqueue(queue, target, thread, clock)
                    });
                }
            }
        }
    }

    fn enqueue(&self, queue: &mut RunQueue<T>, cpu: usize, thread: &T, clock: Clock) -> Woken {
        self.idle.fetch_and(!(1 << cpu), Ordering::Relaxed);
        let limits = queue.is_limited_by(thread);
        let preempts = queue.wake(thread.clone(), clock);
        Self::woken(cpu, preempts, limits)
    }

    fn woken(cpu: usize, preempts: bool, limits: bool) -> Woken {
        match (preempts, limits) {
            (true, _) => Woken::Preempts(cpu),
            (false, true) => Woken::Limits(cpu),
            (false, false) => Woken::Waits,
        }
    }

    /// Lets a new thread run.
    pub fn start(&self, thread: &T, clock: Clock) -> Woken {
        let entity = thread.entity();
        let target = self.place(entity, entity.cpu());
        let allowed = entity.affinity() & self.online();
        let target = match self.idle.load(Ordering::Relaxed) & allowed {
            // Nobody is idle: where the fewest wait.
            0 => bits(allowed)
                .min_by_key(|&cpu| self.with(cpu, |queue| queue.waiting()))
                .unwrap_or(target),
            _ => target,
        };
        self.with(target, |queue| {
            entity.cpu.store(target, Ordering::SeqCst);
            entity.state.store(RUNNABLE, Ordering::SeqCst);
            self.idle.fetch_and(!(1 << target), Ordering::Relaxed);
            let limits = queue.is_limited_by(thread);
            let preempts = queue.start(thread.clone(), clock);
            Self::woken(target, preempts, limits)
        })
    }

    /// Makes a thread the one that has a processor, without a queue: the first thread of the machine.
    pub fn adopt(&self, cpu: usize, thread: &T, now: u64) {
        self.with(cpu, |queue| {
            let entity = thread.entity();
            entity.cpu.store(cpu, Ordering::SeqCst);
            entity.state.store(RUNNABLE, Ordering::SeqCst);
            entity.since.store(now, Ordering::Relaxed);
            queue.enter(thread.clone(), now);
        });
    }

    /// The thread that has this processor gives it up until it is woken, if nobody has woken it since it announced to
    /// sleep. To be called on that processor, with interrupts off.
    pub fn block(&self, cpu: usize, now: u64) -> Next<T> {
        let next = self.with(cpu, |queue| {
            let Some(current) = queue.current() else {
                return Next::Idle;
            };
            let entity = current.entity();
            if entity.state.load(Ordering::SeqCst) == RUNNABLE {
                return Next::Same;
            }
            entity.voluntary.store(
                entity.voluntary.load(Ordering::Relaxed).wrapping_add(1),
                Ordering::Relaxed,
            );
            queue.leave(now);
            Self::take_next_or_idle(queue, now)
        });
        self.or_steal(cpu, next, now)
    }

    /// The thread that has this processor has ended. As [`Self::block`].
    pub fn end(&self, cpu: usize, now: u64) -> Next<T> {
        let next = self.with(cpu, |queue| {
            if let Some(ended) = queue.leave(now) {
                ended.entity().state.store(ENDED, Ordering::SeqCst);
            }
            Self::take_next_or_idle(queue, now)
        });
        self.or_steal(cpu, next, now)
    }

    /// What an idle processor does next. To be called on that processor, with interrupts off.
    pub fn pick(&self, cpu: usize, now: u64) -> Next<T> {
        let next = self.with(cpu, |queue| Self::take_next(queue, now));
        self.or_steal(cpu, next, now)
    }

    /// As [`Self::take_next`], of a processor that was not idle.
    fn take_next_or_idle(queue: &mut RunQueue<T>, now: u64) -> Next<T> {
        let next = Self::take_next(queue, now);
        queue.switches += u64::from(matches!(next, Next::Idle));
        next
    }

    fn take_next(queue: &mut RunQueue<T>, now: u64) -> Next<T> {
        match queue.pop(now) {
            Some(next) => {
                queue.enter(next.clone(), now);
                Next::Switch(next, OthersWait(queue.takes_turns()))
            }
            None => Next::Idle,
        }
    }

    fn or_steal(&self, cpu: usize, next: Next<T>, now: u64) -> Next<T> {
        let Next::Idle = next else { return next };
        if let Some(stolen) = self.steal(cpu) {
            return self.with(cpu, |queue| {
                queue.attach(&stolen);
                // Somebody may have come meanwhile; the stolen one waits with it.
                queue.put_back(stolen, false);
                Self::take_next(queue, now)
            });
        }
        self.idle.fetch_or(1 << cpu, Ordering::Relaxed);
        // Whoever put a thread into the queue before that did not see the hint, and told us in any case.
        Next::Idle
    }

    /// Takes a thread from the processor where the most wait.
    fn steal(&self, cpu: usize) -> Option<T> {
        let others = self.online() & !(1 << cpu);
        if others == 0 {
            return None;
        }
        let victim = bits(others)
            .map(|other| (self.with(other, |queue| queue.waiting()), other))
            .max_by_key(|&(waiting, _)| waiting)
            .filter(|&(waiting, _)| waiting != 0)?
            .1;
        self.with(victim, |queue| {
            let thread = queue.give_away(cpu)?;
            queue.detach(&thread);
            thread.entity().cpu.store(cpu, Ordering::SeqCst);
            Some(thread)
        })
    }

    /// Looks whether another thread should have this processor now: one that goes first has come, the slice is over, the
    /// thread that has it gives way (`yields`) or may no longer run here. To be called on that processor, with
    /// interrupts off. `Idle` if the thread has to leave and nobody else wants the processor; then, or if it leaves for
    /// another thread, the other answer names the processor that it went to, which has to be told.
    pub fn reschedule(&self, cpu: usize, yields: bool, clock: Clock) -> (Next<T>, Option<usize>) {
        enum Step<T> {
            Done(Next<T>),
            Move(T, Next<T>),
        }
        let now = clock.now;
        let step = self.with(cpu, |queue| {
            queue.charge(now);
            queue.look_at_allowance(clock);
            let Some(current) = queue.current() else {
                return Step::Done(Next::Same);
            };
            let entity = current.entity();
            if !entity.may_run_on(cpu) && entity.affinity() & self.online() != 0 {
                let Some(thread) = queue.leave(now) else {
                    return Step::Done(Next::Same);
                };
                queue.detach(&thread);
                return Step::Move(thread, Self::take_next(queue, now));
            }
            if !queue.is_due(yields, clock) {
                return Step::Done(Next::Same);
            }
            let counter = if yields {
                &entity.voluntary
            } else {
                &entity.involuntary
            };
            counter.store(
                counter.load(Ordering::Relaxed).wrapping_add(1),
                Ordering::Relaxed,
            );
            let (Some(next), Some(thread)) = (queue.pop(now), queue.leave(now)) else {
                return Step::Done(Next::Same);
            };
            let slice_over = yields || thread.entity().policy().0 == Policy::RoundRobin;
            queue.enter(next.clone(), now);
            queue.put_back(thread, slice_over);
            Step::Done(Next::Switch(next, OthersWait(queue.takes_turns())))
        });
        match step {
            Step::Done(next) => (next, None),
            Step::Move(thread, next) => {
                let target = self.place(thread.entity(), cpu);
                self.with(target, |queue| {
                    thread.entity().cpu.store(target, Ordering::SeqCst);
                    queue.attach(&thread);
                    queue.put_back(thread, false);
                });
                self.idle.fetch_and(!(1 << target), Ordering::Relaxed);
                (next, Some(target))
            }
        }
    }

    /// Whether this processor has to look again ([`Self::reschedule`]) after a slice, since others wait.
    pub fn takes_turns(&self, cpu: usize) -> bool {
        self.with(cpu, |queue| queue.takes_turns())
    }

    /// An idle processor that could take over one of the threads that wait for this one.
    pub fn helper(&self, cpu: usize) -> Option<usize> {
        let idle = self.idle.load(Ordering::Relaxed) & self.online() & !(1 << cpu);
        (idle != 0 && self.with(cpu, |queue| queue.waiting()) != 0)
            .then(|| idle.trailing_zeros() as usize)
    }

    /// Threads that run or want to, on all processors.
    pub fn runnable(&self) -> usize {
        self.sum(|queue| queue.waiting() as u64 + u64::from(queue.current().is_some())) as usize
    }

    /// How often processors went from one thread to another, or to idleness and back.
    pub fn switches(&self) -> u64 {
        self.sum(|queue| queue.switches)
    }

    /// Time that threads have waited for processors although they could have run, in the unit of [`Clock`].
    pub fn delayed(&self) -> u64 {
        self.sum(|queue| queue.delayed)
    }

    fn sum(&self, count: fn(&RunQueue<T>) -> u64) -> u64 {
        let counts = bits(self.online()).map(|cpu| self.with(cpu, |queue| count(queue)));
        counts.sum()
    }

    /// Changes what decides about a thread's turn. The answer names the processor that has to look again.
    fn change(&self, thread: &T, change: impl Fn(&Entity)) -> usize {
        let entity = thread.entity();
        loop {
            let cpu = entity.cpu();
            let done = self.with(cpu, |queue| {
                if entity.cpu() != cpu {
                    return false;
                }
                let waited = queue.remove(thread);
                let was_real_time = entity.rank().is_real_time();
                change(entity);
                if was_real_time != entity.rank().is_real_time() {
                    // Places in line and shares of time are not comparable.
                    queue.restart_order(thread);
                }
                if let Some(waited) = waited {
                    queue.put_back(waited, false);
                }
                true
            });
            if done {
                return cpu;
            }
        }
    }

    /// Changes a thread's policy and static priority. The processor that is named has to look again.
    pub fn set_policy(&self, thread: &T, policy: Policy, priority: u8) -> usize {
        self.change(thread, |entity| entity.set_policy(policy, priority))
    }

    /// Changes a thread's nice value. The processor that is named has to look again.
    pub fn set_nice(&self, thread: &T, nice: i8) -> usize {
        self.change(thread, |entity| entity.set_nice(nice))
    }

    /// Changes where a thread may run; the mask must have a processor that works. The processor that is named has to
    /// look again if the thread runs there; one that waits elsewhere is moved here and now.
    pub fn set_affinity(&self, thread: &T, mask: u64, clock: Clock) -> Woken {
        let entity = thread.entity();
        loop {
            let cpu = entity.cpu();
            let outcome = self.with(cpu, |queue| {
                if entity.cpu() != cpu {
                    return None;
                }
                entity.affinity.store(mask, Ordering::SeqCst);
                if entity.may_run_on(cpu) {
                    return Some(Ok(Woken::Waits));
                }
                if queue.is_current(thread) {
                    return Some(Ok(Woken::Preempts(cpu)));
                }
                // Asleep: it moves when it wakes. Waiting, but still on its old stack: when it has run once more.
                if !thread.may_move() {
                    return Some(Ok(Woken::Waits));
                }
                let Some(waited) = queue.remove(thread) else {
                    return Some(Ok(Woken::Waits));
                };
                queue.detach(&waited);
                let target = self.place(entity, cpu);
                entity.cpu.store(target, Ordering::SeqCst);
                Some(Err((waited, target)))
            });
            match outcome {
                None => {}
                Some(Ok(woken)) => return woken,
                Some(Err((waited, target))) => {
                    return self.with(target, |queue| {
                        queue.attach(&waited);
                        self.enqueue(queue, target, &waited, clock)
                    });
                }
            }
        }
    }
}

fn bits(mask: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |cpu| mask >> cpu & 1 != 0)
}
