//! Wait queues and futexes together with the protocol of sleeping, in all interleavings that loom finds:
//! `cargo xtask models`.
#![cfg(loom)]

use std::sync::Arc as StdArc;

use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use pith_scheduling::{Clock, Entity, Next, RunQueue, Schedulable, Scheduler};
use pith_waiting::{Bucket, FutexKey, FutexTable, FutexWaiter, Lock, WaitList};

struct ModelLock<T>(Mutex<T>);

impl<T> Lock<T> for ModelLock<T> {
    fn with<R>(&self, action: impl FnOnce(&mut T) -> R) -> R {
        action(&mut self.0.lock().unwrap())
    }
}

struct Thread(Entity);

impl Schedulable for Thread {
    fn entity(&self) -> &Entity {
        &self.0
    }

    fn may_move(&self) -> bool {
        false
    }
}

type Handle = StdArc<Thread>;
type Queue = ModelLock<RunQueue<Handle>>;
type Machine = Scheduler<Handle, Queue, Box<[Queue]>>;

const CLOCK: Clock = Clock { now: 1, slice: 100 };

fn machine() -> (Arc<Machine>, Handle) {
    let mut queue = RunQueue::new();
    assert!(queue.reserve(4));
    let machine = Scheduler::new(vec![ModelLock(Mutex::new(queue))].into_boxed_slice());
    machine.add_processor(0);
    let own = StdArc::new(Thread(Entity::new(u64::MAX)));
    machine.adopt(0, &own, 0);
    (Arc::new(machine), own)
}

/// A wait queue as the kernel has it: register, announce, look, sleep; change, then wake.
#[test]
fn a_wait_queue_loses_no_wake_up() {
    loom::model(|| {
        let (machine, own) = machine();
        let queue = Arc::new(ModelLock(Mutex::new(WaitList::new())));
        let condition = Arc::new(AtomicBool::new(false));
        let waker = {
            let (machine, queue, condition) = (machine.clone(), queue.clone(), condition.clone());
            thread::spawn(move || {
                condition.store(true, Ordering::SeqCst);
                queue.with(|list: &mut WaitList<Handle>| {
                    list.wake(|thread| {
                        machine.wake(thread, CLOCK);
                        true
                    });
                });
            })
        };
        let token = queue.with(|list| list.register(own.clone(), true)).unwrap();
        own.0.prepare_to_sleep();
        if condition.load(Ordering::SeqCst) {
            own.0.stay_awake();
        } else {
            let _ = machine.block(0, 1);
        }
        waker.join().unwrap();
        // It has seen the condition, or somebody has woken it.
        assert_eq!(machine.runnable(), 1);
        assert!(matches!(machine.pick(0, 2), Next::Switch(..) | Next::Idle));
        assert!(queue.with(|list| list.unregister(token)).is_some());
    });
}

type Table = FutexTable<(), ModelLock<Bucket<()>>, Box<[ModelLock<Bucket<()>>]>>;

fn table(buckets: usize) -> Arc<Table> {
    let buckets = (0..buckets)
        .map(|_| ModelLock(Mutex::new(Bucket::new())))
        .collect();
    Arc::new(FutexTable::new(buckets))
}

const FIRST: FutexKey = FutexKey {
    space: 1,
    address: 4,
};
const SECOND: FutexKey = FutexKey {
    space: 1,
    address: 8,
};

/// Whoever waits for a word has seen its old value, and then is woken by whoever changes it.
#[test]
fn a_futex_wait_sees_the_change_or_the_wake_up() {
    loom::model(|| {
        let table = table(2);
        let word = Arc::new(AtomicU32::new(0));
        let waker = {
            let (table, word) = (table.clone(), word.clone());
            thread::spawn(move || {
                word.store(1, Ordering::SeqCst);
                table.wake(FIRST, 1, u32::MAX, |()| {})
            })
        };
        let waiter = StdArc::new(FutexWaiter::new(()));
        let queued = table.enqueue_if(FIRST, u32::MAX, 100, &waiter, "memory", || {
            match word.load(Ordering::SeqCst) {
                0 => Ok(()),
                _ => Err("changed"),
            }
        });
        let woken = waker.join().unwrap();
        assert_eq!(queued.is_ok(), woken == 1);
        assert_eq!(queued.is_ok(), waiter.is_woken());
    });
}

/// A wait that ends by itself is either cancelled or woken, even while it is moved to another word.
#[test]
fn cancelling_finds_a_waiter_that_is_moved() {
    loom::model(|| {
        let table = table(2);
        let waiter = StdArc::new(FutexWaiter::new(()));
        table
            .enqueue_if(FIRST, u32::MAX, 100, &waiter, (), || Ok(()))
            .unwrap();
        let mover = {
            let table = table.clone();
            thread::spawn(move || {
                table
                    .requeue(FIRST, SECOND, (0, 1), || Ok::<(), ()>(()), |()| {})
                    .unwrap()
            })
        };
        assert!(table.cancel(&waiter));
        mover.join().unwrap();
        assert_eq!(table.wake(FIRST, 9, u32::MAX, |()| {}), 0);
        assert_eq!(table.wake(SECOND, 9, u32::MAX, |()| {}), 0);
    });
}

/// A wake-up belongs either to the waker's count or to nobody: never lost between waking and cancelling.
#[test]
fn waking_and_cancelling_exclude_each_other() {
    loom::model(|| {
        let table = table(1);
        let waiter = StdArc::new(FutexWaiter::new(()));
        table
            .enqueue_if(FIRST, u32::MAX, 100, &waiter, (), || Ok(()))
            .unwrap();
        let waker = {
            let table = table.clone();
            thread::spawn(move || table.wake(FIRST, 1, u32::MAX, |()| {}))
        };
        let cancelled = table.cancel(&waiter);
        let woken = waker.join().unwrap();
        assert_eq!(cancelled, woken == 0);
    });
}
