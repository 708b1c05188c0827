//! What real-time threads leave for others (`sched_rt_runtime_us` of `sched(7)`).
#![cfg(not(loom))]

use std::sync::{Arc, Mutex};

use pith_scheduling::{Clock, Entity, Lock, Next, Policy, RunQueue, Schedulable, Scheduler, Woken};

struct Thread(Entity);

impl Schedulable for Thread {
    fn entity(&self) -> &Entity {
        &self.0
    }

    fn may_move(&self) -> bool {
        true
    }
}

struct HostLock<T>(Mutex<T>);

impl<T> Lock<T> for HostLock<T> {
    fn with<R>(&self, action: impl FnOnce(&mut T) -> R) -> R {
        action(&mut self.0.lock().unwrap())
    }
}

type Queue = HostLock<RunQueue<Arc<Thread>>>;

const SLICE: u64 = 4;

/// A processor whose clock the test sets.
struct Machine {
    scheduler: Scheduler<Arc<Thread>, Queue, Vec<Queue>>,
    now: u64,
    real_time: u64,
}

impl Machine {
    fn new(real_time: u64) -> Self {
        let scheduler = Scheduler::new(vec![HostLock(Mutex::new(RunQueue::new()))]);
        scheduler.add_processor(0);
        Self {
            scheduler,
            now: 1,
            real_time,
        }
    }

    fn clock(&self) -> Clock {
        Clock {
            now: self.now,
            slice: SLICE,
            real_time: self.real_time,
            period: 1000,
        }
    }

    fn add(&self, policy: Policy, priority: u8) -> (Arc<Thread>, Woken) {
        let thread = Arc::new(Thread(Entity::new(1)));
        self.scheduler.set_policy(&thread, policy, priority);
        let woken = self.scheduler.start(&thread, self.clock());
        (thread, woken)
    }

    /// Everybody runs for ever; the processor looks when its timer is set, or never.
    fn run(&mut self, span: u64) {
        let end = self.now + span;
        while self.now < end {
            if !self.scheduler.takes_turns(0) {
                self.now = end;
                return;
            }
            self.now += SLICE;
            self.scheduler.reschedule(0, false, self.clock());
        }
    }

    fn used(&self, thread: &Arc<Thread>) -> u64 {
        thread.0.used(self.now)
    }
}

/// A machine with a real-time thread that runs.
fn with_runner(real_time: u64) -> (Machine, Arc<Thread>) {
    let machine = Machine::new(real_time);
    let (runner, woken) = machine.add(Policy::FirstInFirstOut, 10);
    assert_eq!(woken, Woken::Preempts(0));
    assert!(matches!(
        machine.scheduler.pick(0, machine.now),
        Next::Switch(..)
    ));
    (machine, runner)
}

#[test]
fn others_get_the_rest() {
    let (mut machine, runner) = with_runner(950);
    let (other, woken) = machine.add(Policy::Normal, 0);
    assert_eq!(woken, Woken::Limits(0));
    machine.run(10_000);
    let (runner, other) = (machine.used(&runner), machine.used(&other));
    assert_eq!(runner + other, 10_000);
    assert!((400..600).contains(&other), "{other}");
}

#[test]
fn they_get_it_behind_other_real_time_threads_too() {
    let (mut machine, runner) = with_runner(950);
    let (second, woken) = machine.add(Policy::FirstInFirstOut, 5);
    assert_eq!(woken, Woken::Limits(0));
    assert!(
        !machine.scheduler.takes_turns(0),
        "the first needs not look"
    );
    let (other, woken) = machine.add(Policy::Normal, 0);
    assert_eq!(woken, Woken::Limits(0), "now it has to");
    machine.run(10_000);
    assert!(machine.used(&runner) > 9_000);
    assert_eq!(machine.used(&second), 0);
    assert!(machine.used(&other) > 400);
}

#[test]
fn nobody_gets_it_if_nothing_is_kept() {
    let (mut machine, runner) = with_runner(1000);
    let (other, _) = machine.add(Policy::Normal, 0);
    machine.run(10_000);
    assert_eq!(machine.used(&other), 0);
    assert_eq!(machine.used(&runner), 10_000);
}

#[test]
fn a_thread_that_wakes_waits_for_the_others_share() {
    let (mut machine, runner) = with_runner(950);
    machine.add(Policy::Normal, 0);
    // The real-time thread has used up its time.
    machine.run(960);
    let used = machine.used(&runner);
    let (late, woken) = machine.add(Policy::FirstInFirstOut, 99);
    assert_ne!(woken, Woken::Preempts(0));
    machine.run(24);
    assert_eq!((machine.used(&late), machine.used(&runner)), (0, used));
    machine.run(100);
    assert!(
        machine.used(&late) > 0,
        "a new period has begun: the highest priority goes first"
    );
}
