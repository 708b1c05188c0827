//! The table behind `futex(2)`: who waits for which word.
//!
//! A waiter stands in the bucket of its key. It is marked as woken and taken out in one step, under the bucket's lock;
//! from then on it is the waker's business, and [`FutexTable::cancel`] tells the waiter so. Wakers are told to go on
//! only after the lock was given back.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::Lock;
use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// Which futex: a space of addresses and an address in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutexKey {
    /// Process, or object that is shared.
    pub space: u64,
    /// Address, or offset in the object.
    pub address: u64,
}

impl FutexKey {
    fn bucket(self, count: usize) -> usize {
        // Fibonacci hashing: words of one object differ in their low bits, objects in their middle ones.
        let mixed =
            (self.address >> 2 ^ self.space.rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize % count
    }
}

/// One wait for one futex.
#[derive(Debug)]
pub struct FutexWaiter<W> {
    who: W,
    woken: AtomicBool,
    /// The bucket in which it stands; a requeue changes it under the locks of both.
    bucket: AtomicUsize,
}

impl<W> FutexWaiter<W> {
    /// A wait that has not begun.
    pub fn new(who: W) -> Self {
        Self {
            who,
            woken: AtomicBool::new(false),
            bucket: AtomicUsize::new(0),
        }
    }

    /// Whether somebody has woken it.
    pub fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
struct Entry<W> {
    key: FutexKey,
    bits: u32,
    /// Smaller goes first.
    urgency: u8,
    waiter: Arc<FutexWaiter<W>>,
}

/// Places for waiters that an empty bucket keeps.
const KEPT: usize = 8;

/// Those who wait for the futexes of one bucket, the most urgent first, and in the order in which they came.
#[derive(Debug)]
pub struct Bucket<W>(Vec<Entry<W>>);

impl<W> Default for Bucket<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W> Bucket<W> {
    /// An empty bucket.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    fn insert(&mut self, entry: Entry<W>) {
        let place = self
            .0
            .partition_point(|other| other.urgency <= entry.urgency);
        self.0.insert(place, entry);
    }

    /// Gives memory back that was for many waiters, when all are gone.
    fn trim(&mut self) {
        if self.0.is_empty() && self.0.capacity() > KEPT {
            self.0 = Vec::new();
        }
    }

    /// Takes out up to `count` waiters of a futex whose bits meet `bits`, marked as woken.
    fn take(
        &mut self,
        key: FutexKey,
        count: usize,
        bits: u32,
        woken: &mut Vec<Arc<FutexWaiter<W>>>,
    ) -> usize {
        let mut taken = 0;
        self.0.retain(|entry| {
            if taken == count || entry.key != key || entry.bits & bits == 0 {
                return true;
            }
            taken += 1;
            entry.waiter.woken.store(true, Ordering::Release);
            woken.push(entry.waiter.clone());
            false
        });
        taken
    }
}

/// All futexes for which anybody waits.
#[derive(Debug)]
pub struct FutexTable<W, L, B>
where
    L: Lock<Bucket<W>>,
    B: AsRef<[L]>,
{
    buckets: B,
    marker: PhantomData<fn(W) -> L>,
}

impl<W, L, B> FutexTable<W, L, B>
where
    L: Lock<Bucket<W>>,
    B: AsRef<[L]>,
{
    /// A table of these buckets.
    pub const fn new(buckets: B) -> Self {
        Self {
            buckets,
            marker: PhantomData,
        }
    }

    fn index(&self, key: FutexKey) -> usize {
        key.bucket(self.buckets.as_ref().len())
    }

    fn with<R>(&self, index: usize, action: impl FnOnce(&mut Bucket<W>) -> R) -> R {
        self.buckets.as_ref()[index].with(|bucket| {
            let result = action(bucket);
            bucket.trim();
            result
        })
    }

    /// Runs `action` with the buckets of two futexes locked, which may be one: then there is no second.
    fn with_both<R>(
        &self,
        first: FutexKey,
        second: FutexKey,
        action: impl FnOnce(&mut Bucket<W>, Option<&mut Bucket<W>>) -> R,
    ) -> R {
        let (one, two) = (self.index(first), self.index(second));
        // Always in the same order, so that nobody waits for somebody who waits for him.
        match one.cmp(&two) {
            core::cmp::Ordering::Equal => self.with(one, |bucket| action(bucket, None)),
            core::cmp::Ordering::Less => self.with(one, |a| self.with(two, |b| action(a, Some(b)))),
            core::cmp::Ordering::Greater => {
                self.with(two, |b| self.with(one, |a| action(a, Some(b))))
            }
        }
    }

    /// Begins a wait if `check` succeeds, which looks at the word under the bucket's lock: whoever changes the word and
    /// wakes then finds either the change seen or the waiter there.
    ///
    /// # Errors
    /// Those of `check`; `no_memory` if there is none for the entry.
    pub fn enqueue_if<E>(
        &self,
        key: FutexKey,
        bits: u32,
        urgency: u8,
        waiter: &Arc<FutexWaiter<W>>,
        no_memory: E,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let index = self.index(key);
        self.with(index, |bucket| {
            if bucket.0.try_reserve(1).is_err() {
                return Err(no_memory);
            }
            check()?;
            waiter.bucket.store(index, Ordering::Relaxed);
            bucket.insert(Entry {
                key,
                bits,
                urgency,
                waiter: waiter.clone(),
            });
            Ok(())
        })
    }

    /// Ends a wait. False if somebody has woken it before: then the wake-up is its own.
    pub fn cancel(&self, waiter: &Arc<FutexWaiter<W>>) -> bool {
        loop {
            if waiter.is_woken() {
                return false;
            }
            let index = waiter.bucket.load(Ordering::Acquire);
            let found = self.with(index, |bucket| {
                let place = bucket
                    .0
                    .iter()
                    .position(|entry| Arc::ptr_eq(&entry.waiter, waiter));
                place.map(|place| bucket.0.remove(place)).is_some()
            });
            if found {
                return true;
            }
            // Woken, or moved to another bucket, or never begun.
            if waiter.bucket.load(Ordering::Acquire) == index && !waiter.is_woken() {
                return true;
            }
        }
    }

    fn go_on(woken: &[Arc<FutexWaiter<W>>], wake: impl Fn(&W)) {
        for waiter in woken {
            wake(&waiter.who);
        }
    }

    /// Wakes up to `count` waiters whose bits meet `bits`; gives how many.
    pub fn wake(&self, key: FutexKey, count: usize, bits: u32, wake: impl Fn(&W)) -> usize {
        let mut woken = Vec::new();
        let count = self.with(self.index(key), |bucket| {
            bucket.take(key, count, bits, &mut woken)
        });
        Self::go_on(&woken, wake);
        count
    }

    /// If `check` succeeds, wakes up to `wakes` waiters of `from` and lets up to `moves` others wait for `to`. Gives how
    /// many of each.
    ///
    /// # Errors
    /// Those of `check`.
    pub fn requeue<E>(
        &self,
        from: FutexKey,
        to: FutexKey,
        (wakes, moves): (usize, usize),
        check: impl FnOnce() -> Result<(), E>,
        wake: impl Fn(&W),
    ) -> Result<(usize, usize), E> {
        let target = self.index(to);
        let mut woken = Vec::new();
        let counts = self.with_both(from, to, |source, mut destination| {
            check()?;
            let count = source.take(from, wakes, u32::MAX, &mut woken);
            let mut moved = Vec::new();
            let mut index = 0;
            while index < source.0.len() && moved.len() < moves {
                if source.0[index].key == from {
                    moved.push(source.0.remove(index));
                } else {
                    index += 1;
                }
            }
            let moves = moved.len();
            for mut entry in moved {
                entry.key = to;
                entry.waiter.bucket.store(target, Ordering::Release);
                match &mut destination {
                    Some(bucket) => bucket.insert(entry),
                    None => source.insert(entry),
                }
            }
            Ok((count, moves))
        })?;
        Self::go_on(&woken, wake);
        Ok(counts)
    }

    /// Runs `operation` with both futexes held, wakes up to the first count of waiters of the first, and if the answer was
    /// true up to the second count of the second. Gives how many.
    ///
    /// # Errors
    /// Those of `operation`.
    pub fn wake_two<E>(
        &self,
        first: (FutexKey, usize),
        second: (FutexKey, usize),
        operation: impl FnOnce() -> Result<bool, E>,
        wake: impl Fn(&W),
    ) -> Result<usize, E> {
        let mut woken = Vec::new();
        let count = self.with_both(first.0, second.0, |one, two| {
            let both = operation()?;
            let mut count = one.take(first.0, first.1, u32::MAX, &mut woken);
            if both {
                let bucket = match two {
                    Some(bucket) => bucket,
                    None => one,
                };
                count += bucket.take(second.0, second.1, u32::MAX, &mut woken);
            }
            Ok(count)
        })?;
        Self::go_on(&woken, wake);
        Ok(count)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::cell::RefCell;

    use super::*;

    struct Single(RefCell<Bucket<()>>);

    impl Lock<Bucket<()>> for Single {
        fn with<R>(&self, action: impl FnOnce(&mut Bucket<()>) -> R) -> R {
            action(&mut self.0.borrow_mut())
        }
    }

    #[test]
    fn empty_buckets_keep_little_memory() {
        let table = FutexTable::new([Single(RefCell::default())]);
        let key = FutexKey {
            space: 1,
            address: 4096,
        };
        let capacity = || table.buckets[0].0.borrow().0.capacity();
        let many = |count| {
            for _ in 0..count {
                let waiter = Arc::new(FutexWaiter::new(()));
                let waits = table.enqueue_if(key, 1, 0, &waiter, (), || Ok(()));
                assert_eq!(waits, Ok(()));
            }
        };
        many(1000);
        assert_eq!(table.wake(key, 999, 1, |()| ()), 999);
        assert!(capacity() >= 1000, "somebody waits still");
        assert_eq!(table.wake(key, 1, 1, |()| ()), 1);
        assert!(capacity() <= KEPT);
        many(3);
        assert_eq!(table.wake(key, 3, 1, |()| ()), 3);
        assert!(
            capacity() >= 3,
            "what few need is not asked for again and again"
        );
    }
}
