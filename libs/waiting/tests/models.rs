//! Wait queues and futexes together with the protocol of sleeping, in all interleavings that loom finds:
//! `cargo xtask models`.
#![cfg(loom)]

use std::sync::Arc as StdArc;

use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use pith_scheduling::{Clock, Entity, Next, RunQueue, Schedulable, Scheduler};
use pith_waiting::{
    Bucket, End, FutexKey, FutexTable, FutexWaiter, Halted, Listed, Lock, Membership, Population,
    ReadyList, WaitList,
};
use std::collections::VecDeque;

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

const CLOCK: Clock = Clock {
    now: 1,
    slice: 100,
    real_time: 1000,
    period: 1000,
};

fn machine() -> (Arc<Machine>, Handle) {
    let mut queue = RunQueue::new();
    assert!(queue.reserve(4));
    let machine = Scheduler::new(vec![ModelLock(Mutex::new(queue))].into_boxed_slice());
    machine.add_processor(0);
    let own = StdArc::new(Thread(Entity::new(u64::MAX)));
    machine.adopt(0, &own, 0);
    (Arc::new(machine), own)
}

/// A processor that waits for a lock halts, as in the kernel's lock of an address space: it is woken when that is free. An
/// interrupt that comes before it has halted is kept.
#[test]
fn who_is_halted_until_a_lock_is_free_is_woken() {
    loom::model(|| {
        let taken = Arc::new(AtomicBool::new(true));
        let halted = Arc::new(Halted::new());
        let interrupt = Arc::new(loom::sync::Notify::new());
        let processor = {
            let (taken, halted, interrupt) = (taken.clone(), halted.clone(), interrupt.clone());
            thread::spawn(move || {
                halted.enter(3);
                if taken.load(Ordering::Relaxed) {
                    interrupt.wait();
                    assert!(
                        !taken.load(Ordering::Relaxed),
                        "woken before the lock was free"
                    );
                }
                halted.leave(3);
            })
        };
        taken.store(false, Ordering::Release);
        halted.wake(|processor| {
            assert_eq!(processor, 3);
            interrupt.notify();
        });
        processor.join().unwrap();
    });
}

/// A wait queue as the kernel has it: register, announce, look, sleep; change, then wake.
#[test]
fn a_wait_queue_loses_no_wake_up() {
    loom::model(|| {
        let (machine, own) = machine();
        let queue = Arc::new(ModelLock(Mutex::new(WaitList::new())));
        let population = Arc::new(Population::new());
        let condition = Arc::new(AtomicBool::new(false));
        let waker = {
            let (machine, queue, condition) = (machine.clone(), queue.clone(), condition.clone());
            let population = population.clone();
            thread::spawn(move || {
                condition.store(true, Ordering::Relaxed);
                if !population.anybody() {
                    return;
                }
                queue.with(|list: &mut WaitList<Handle>| {
                    list.wake(|thread| {
                        machine.wake(thread, CLOCK);
                        true
                    });
                });
            })
        };
        queue.with(|list| list.register(own.clone(), true)).unwrap();
        population.enter();
        own.0.prepare_to_sleep();
        if condition.load(Ordering::Relaxed) {
            own.0.stay_awake();
        } else {
            let _ = machine.block(0, 1);
        }
        waker.join().unwrap();
        // It has seen the condition, or somebody has woken it.
        assert_eq!(machine.runnable(), 1);
        assert!(matches!(machine.pick(0, 2), Next::Switch(..) | Next::Idle));
        let found = queue.with(|list| list.unregister(|who| StdArc::ptr_eq(who, &own)));
        assert!(found.is_some());
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

/// Something that an event poll watches: a counter of events, and the interest in it.
struct Watched {
    membership: Membership,
    events: AtomicU32,
}

impl Listed for Watched {
    fn membership(&self) -> &Membership {
        &self.membership
    }
}

type Ready = ReadyList<Watched, ModelLock<VecDeque<StdArc<Watched>>>>;

fn watched() -> (Arc<Ready>, StdArc<Watched>) {
    let ready = Ready::new(ModelLock(Mutex::new(VecDeque::new())));
    assert!(ready.reserve(1));
    let item = StdArc::new(Watched {
        membership: Membership::new(),
        events: AtomicU32::new(0),
    });
    (Arc::new(ready), item)
}

/// A thread that waits for events as `epoll_wait` does sees the event, or is woken for it.
#[test]
fn an_event_is_seen_or_wakes_who_waits() {
    loom::model(|| {
        let (machine, own) = machine();
        let (ready, item) = watched();
        let reporter = {
            let (machine, ready, item, own) =
                (machine.clone(), ready.clone(), item.clone(), own.clone());
            thread::spawn(move || {
                item.events.fetch_add(1, Ordering::SeqCst);
                ready.report(item, || {
                    machine.wake(&own, CLOCK);
                });
            })
        };
        let slept = if ready.is_empty() {
            ready.begin_wait();
            own.0.prepare_to_sleep();
            if ready.is_empty() {
                let _ = machine.block(0, 1);
                true
            } else {
                own.0.stay_awake();
                ready.end_wait();
                false
            }
        } else {
            false
        };
        reporter.join().unwrap();
        assert!(
            !slept || machine.runnable() == 1,
            "it sleeps, and an event is there"
        );
        let collected = ready.next().expect("the event is on the list");
        assert_eq!(collected.events.load(Ordering::SeqCst), 1);
        assert!(ready.next().is_none());
    });
}

/// With edges, an event that comes while others are collected is seen by this look or by the next.
#[test]
fn no_edge_is_lost_while_events_are_collected() {
    loom::model(|| {
        let (ready, item) = watched();
        item.events.store(1, Ordering::SeqCst);
        ready.enqueue(item.clone(), End::Last);
        let reporter = {
            let (ready, item) = (ready.clone(), item.clone());
            thread::spawn(move || {
                item.events.fetch_add(1, Ordering::SeqCst);
                ready.report(item, || {});
            })
        };
        let first = ready.next().expect("it was put there");
        let mut seen = first.events.swap(0, Ordering::SeqCst);
        reporter.join().unwrap();
        while let Some(again) = ready.next() {
            seen += again.events.swap(0, Ordering::SeqCst);
        }
        assert_eq!(seen, 2);
    });
}

/// With levels, whoever collects puts an item back while an event puts it there too: it is there once.
#[test]
fn an_item_is_on_the_list_once() {
    loom::model(|| {
        let (ready, item) = watched();
        ready.enqueue(item.clone(), End::Last);
        let reporter = {
            let (ready, item) = (ready.clone(), item.clone());
            thread::spawn(move || {
                ready.report(item, || {});
            })
        };
        if let Some(collected) = ready.next() {
            ready.enqueue(collected, End::Last);
        }
        reporter.join().unwrap();
        assert_eq!(ready.len(), 1);
    });
}

/// An item that was taken out is never on the list again, whoever is just putting it there.
#[test]
fn what_was_taken_out_stays_out() {
    loom::model(|| {
        let (ready, item) = watched();
        let reporter = {
            let (ready, item) = (ready.clone(), item.clone());
            thread::spawn(move || {
                ready.report(item, || {});
            })
        };
        ready.take_out(&item);
        reporter.join().unwrap();
        assert!(ready.is_empty());
        assert_eq!(StdArc::strong_count(&item), 1);
    });
}
