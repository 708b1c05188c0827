//! The list behind `epoll(7)`: what may be ready.
//!
//! Whoever notices an event puts the item on the list, once, and wakes a thread that waits. A thread that collects takes
//! an item off *before* it asks what is the case: an event that comes later puts it on the list again, so that it is
//! seen either by this look or by the next.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::marker::PhantomData;

use crate::Lock;
use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// An item's part of the list: whether it is on it. Changed only under the list's lock.
#[derive(Debug)]
pub struct Membership {
    queued: AtomicBool,
    removed: AtomicBool,
}

impl Default for Membership {
    fn default() -> Self {
        Self::new()
    }
}

impl Membership {
    /// That of an item which is not on the list.
    pub fn new() -> Self {
        Self {
            queued: AtomicBool::new(false),
            removed: AtomicBool::new(false),
        }
    }

    /// Whether it was taken out for good.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }
}

/// What can be on a list.
pub trait Listed {
    /// Its part of the list.
    fn membership(&self) -> &Membership;
}

/// Which end of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is looked at first.
    First,
    /// It is looked at last.
    Last,
}

/// Items that may be ready, and how many threads wait for some.
#[derive(Debug)]
pub struct ReadyList<T, L> {
    list: L,
    waiting: AtomicUsize,
    items: PhantomData<fn(Arc<T>)>,
}

impl<T: Listed, L: Lock<VecDeque<Arc<T>>>> ReadyList<T, L> {
    /// A list; `list` is empty.
    pub fn new(list: L) -> Self {
        Self {
            list,
            waiting: AtomicUsize::new(0),
            items: PhantomData,
        }
    }

    /// Makes room for `count` items in all, so that putting them on the list allocates nothing. False without memory.
    pub fn reserve(&self, count: usize) -> bool {
        self.list.with(|list| {
            let more = count.saturating_sub(list.len());
            list.try_reserve(more).is_ok()
        })
    }

    /// Puts an item on the list. True if it was not there; never after [`Self::take_out`].
    pub fn enqueue(&self, item: Arc<T>, end: End) -> bool {
        self.list.with(|list| {
            let membership = item.membership();
            if membership.queued.load(Ordering::Relaxed) || membership.is_removed() {
                return false;
            }
            membership.queued.store(true, Ordering::Relaxed);
            match end {
                End::First => list.push_front(item),
                End::Last => list.push_back(item),
            }
            true
        })
    }

    /// Puts an item on the list, and has a thread woken if one waits and does not know of the item. True if one waits.
    pub fn report(&self, item: Arc<T>, wake: impl FnOnce()) -> bool {
        let new = self.enqueue(item, End::Last);
        let waited = self.has_waiters();
        if new && waited {
            wake();
        }
        waited
    }

    /// Takes the next item off the list.
    pub fn next(&self) -> Option<Arc<T>> {
        self.list.with(|list| {
            let item = list.pop_front()?;
            item.membership().queued.store(false, Ordering::Relaxed);
            Some(item)
        })
    }

    /// Takes an item off the list for good.
    pub fn take_out(&self, item: &T) {
        let found = self.list.with(|list| {
            let membership = item.membership();
            membership.removed.store(true, Ordering::Relaxed);
            if !membership.queued.load(Ordering::Relaxed) {
                return None;
            }
            membership.queued.store(false, Ordering::Relaxed);
            let index = list
                .iter()
                .position(|queued| core::ptr::eq(&**queued, item));
            index.and_then(|index| list.remove(index))
        });
        // Not under the lock: it may be the last reference.
        drop(found);
    }

    /// How many items are on the list.
    pub fn len(&self) -> usize {
        self.list.with(|list| list.len())
    }

    /// Whether nothing is on the list.
    pub fn is_empty(&self) -> bool {
        self.list.with(|list| list.is_empty())
    }

    /// A thread is about to wait. It has to look at the list again after this.
    pub fn begin_wait(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }

    /// It waits no more.
    pub fn end_wait(&self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether a thread waits.
    pub fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) != 0
    }
}
