//! The protocol of sleeping and waking, in all interleavings that loom finds: `cargo xtask models`.
#![cfg(loom)]

use std::sync::Arc as StdArc;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use pith_scheduling::{Clock, Entity, Lock, Next, RunQueue, Schedulable, Scheduler};

struct Thread {
    entity: Entity,
    /// Whether another processor may take it: nobody is on its stack.
    movable: bool,
}

impl Schedulable for Thread {
    fn entity(&self) -> &Entity {
        &self.entity
    }

    fn may_move(&self) -> bool {
        self.movable
    }
}

struct ModelLock<T>(Mutex<T>);

impl<T> Lock<T> for ModelLock<T> {
    fn with<R>(&self, action: impl FnOnce(&mut T) -> R) -> R {
        action(&mut self.0.lock().unwrap())
    }
}

type Handle = StdArc<Thread>;
type Queue = ModelLock<RunQueue<Handle>>;
type Machine = Scheduler<Handle, Queue, Box<[Queue]>>;

const CLOCK: Clock = Clock {
    now: 1,
    slice: 100,
    real_time: 1000,
    period: 1000,
};

fn thread(movable: bool) -> Handle {
    StdArc::new(Thread {
        entity: Entity::new(u64::MAX),
        movable,
    })
}

fn machine(processors: usize) -> Arc<Machine> {
    let queues = (0..processors)
        .map(|_| {
            let mut queue = RunQueue::new();
            assert!(queue.reserve(4));
            ModelLock(Mutex::new(queue))
        })
        .collect();
    let machine = Scheduler::new(queues);
    for processor in 0..processors {
        machine.add_processor(processor);
    }
    Arc::new(machine)
}

/// What a thread does to wait for `condition`. True if it gave the processor up.
fn wait(machine: &Machine, own: &Handle, condition: &AtomicBool) -> bool {
    own.entity.prepare_to_sleep();
    if condition.load(Ordering::SeqCst) {
        own.entity.stay_awake();
        return false;
    }
    match machine.block(0, 1) {
        Next::Same => false,
        // Woken after it had given the processor up, and the next to run again.
        Next::Switch(next, _) => {
            assert!(StdArc::ptr_eq(&next, own));
            false
        }
        Next::Idle => true,
    }
}

/// Whoever waits is found afterwards exactly once: it runs, or waits for the processor.
#[test]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let machine = machine(1);
        let sleeper = thread(false);
        let condition = Arc::new(AtomicBool::new(false));
        machine.adopt(0, &sleeper, 0);
        let waker = {
            let (machine, sleeper, condition) =
                (machine.clone(), sleeper.clone(), condition.clone());
            thread::spawn(move || {
                condition.store(true, Ordering::SeqCst);
                machine.wake(&sleeper, CLOCK);
            })
        };
        let gave_up = wait(&machine, &sleeper, &condition);
        waker.join().unwrap();
        assert_eq!(machine.runnable(), 1);
        if gave_up {
            assert!(matches!(machine.pick(0, 2), Next::Switch(..)));
        }
        assert!(!sleeper.entity.sleeps());
    });
}

/// Two that wake the same thread at once bring it into a queue once.
#[test]
fn nobody_is_queued_twice() {
    loom::model(|| {
        let machine = machine(1);
        let sleeper = thread(true);
        machine.adopt(0, &sleeper, 0);
        sleeper.entity.prepare_to_sleep();
        assert!(matches!(machine.block(0, 1), Next::Idle));
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let (machine, sleeper) = (machine.clone(), sleeper.clone());
                thread::spawn(move || machine.wake(&sleeper, CLOCK))
            })
            .collect();
        for waker in wakers {
            waker.join().unwrap();
        }
        assert_eq!(machine.runnable(), 1);
    });
}

/// A thread that others know before it is started comes into a queue once, whoever wakes it meanwhile.
#[test]
fn a_new_thread_is_queued_once() {
    loom::model(|| {
        let machine = machine(1);
        let new = thread(true);
        let waker = {
            let (machine, new) = (machine.clone(), new.clone());
            thread::spawn(move || {
                machine.wake(&new, CLOCK);
            })
        };
        machine.start(&new, CLOCK);
        waker.join().unwrap();
        assert_eq!(machine.runnable(), 1);
    });
}

/// A thread that is woken while idle processors look for work runs once, wherever that is.
#[test]
fn what_is_stolen_runs_once() {
    loom::model(|| {
        let machine = machine(2);
        let (busy, sleeper) = (thread(false), thread(true));
        machine.adopt(0, &sleeper, 0);
        sleeper.entity.prepare_to_sleep();
        assert!(matches!(machine.block(0, 1), Next::Idle));
        machine.adopt(0, &busy, 0);
        let waker = {
            let (machine, sleeper) = (machine.clone(), sleeper.clone());
            thread::spawn(move || {
                machine.wake(&sleeper, CLOCK);
            })
        };
        let picked = machine.pick(1, 2);
        waker.join().unwrap();
        match picked {
            Next::Switch(next, _) => {
                assert!(StdArc::ptr_eq(&next, &sleeper));
                assert_eq!(sleeper.entity.cpu(), 1);
            }
            // It came too late for the other processor, which was told or will look again.
            _ => assert!(matches!(machine.pick(1, 3), Next::Switch(..))),
        }
        assert_eq!(machine.runnable(), 2);
    });
}

/// A thread whose affinity changes while it is woken ends in one queue.
#[test]
fn affinity_may_change_while_it_wakes() {
    loom::model(|| {
        let machine = machine(2);
        let sleeper = thread(true);
        machine.adopt(0, &sleeper, 0);
        sleeper.entity.prepare_to_sleep();
        assert!(matches!(machine.block(0, 1), Next::Idle));
        let waker = {
            let (machine, sleeper) = (machine.clone(), sleeper.clone());
            thread::spawn(move || {
                machine.wake(&sleeper, CLOCK);
            })
        };
        machine.set_affinity(&sleeper, 2, CLOCK);
        waker.join().unwrap();
        assert_eq!(machine.runnable(), 1);
    });
}
