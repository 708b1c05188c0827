//! Counters that wake whoever waits for them: `eventfd(2)`.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents};

use super::file::{File, OpenFile, WriteAt};
use crate::memory::{Destination, Source};
use crate::task::WaitQueue;

/// Bytes of every transfer: the counter.
const SIZE: usize = size_of::<u64>();

/// Most that writing lets the counter become. One more, the largest number, stands for an overflow.
const MAXIMUM: u64 = u64::MAX - 1;

/// A counter.
pub struct EventCounter {
    count: AtomicU64,
    /// Reading takes 1 instead of everything.
    semaphore: bool,
    queue: WaitQueue,
}

impl EventCounter {
    /// Takes what a reading takes, if there is anything.
    fn take(&self) -> Option<u64> {
        let taken = |count: u64| if self.semaphore { 1 } else { count };
        let before = self
            .count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count != 0).then(|| count - taken(count))
            })
            .ok()?;
        Some(taken(before))
    }

    /// Adds to the counter, if there is room.
    fn add(&self, value: u64) -> Option<()> {
        self.count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (value <= MAXIMUM - count.min(MAXIMUM)).then(|| count + value)
            })
            .ok()
            .map(|_| ())
    }

    /// Adds to the counter on behalf of the kernel: nothing waits, too much is kept as an overflow. May be called by
    /// interrupt handlers.
    pub fn signal(&self, value: u64) {
        let _ = self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
            Some(count.saturating_add(value))
        });
        self.queue.wake(PollEvents::IN | PollEvents::READ_NORMAL);
    }

    fn wait<T>(&self, nonblocking: bool, mut attempt: impl FnMut() -> Option<T>) -> Result<T, Errno> {
        match attempt() {
            Some(value) => Ok(value),
            None if nonblocking => Err(Errno::EAGAIN),
            None => Ok(self.queue.wait(attempt)?),
        }
    }
}

impl File for EventCounter {
    fn ignores_seeking(&self) -> bool {
        true
    }

    fn gathers(&self) -> bool {
        false
    }

    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        if to.remaining() < SIZE {
            return Err(Errno::EINVAL);
        }
        let value = self.wait(flags.contains(OpenFlags::NONBLOCKING), || self.take())?;
        self.queue.wake(PollEvents::OUT | PollEvents::WRITE_NORMAL);
        // As on Linux, what was taken is gone even if the program can't get it.
        match to.put(&value.to_ne_bytes())? {
            SIZE => Ok(SIZE),
            _ => Err(Errno::EFAULT),
        }
    }

    fn write(&self, _at: WriteAt, from: &mut Source<'_>, flags: OpenFlags) -> Result<(usize, u64), Errno> {
        if from.remaining() != SIZE {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; SIZE];
        if from.take(&mut bytes)? != SIZE {
            return Err(Errno::EFAULT);
        }
        let value = u64::from_ne_bytes(bytes);
        if value == u64::MAX {
            return Err(Errno::EINVAL);
        }
        self.wait(flags.contains(OpenFlags::NONBLOCKING), || self.add(value))?;
        self.queue.wake(PollEvents::IN | PollEvents::READ_NORMAL);
        Ok((SIZE, 0))
    }

    fn readiness(&self) -> PollEvents {
        let count = self.count.load(Ordering::Acquire);
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN, count != 0);
        events.set(PollEvents::ERROR, count == u64::MAX);
        events.set(PollEvents::OUT, count < MAXIMUM);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }
}

/// A new counter. Of the flags, [`OpenFlags::NONBLOCKING`] counts.
pub fn create(initial: u64, semaphore: bool, flags: OpenFlags) -> Arc<OpenFile> {
    let counter = EventCounter {
        count: AtomicU64::new(initial),
        semaphore,
        queue: WaitQueue::new(),
    };
    let flags = (flags & OpenFlags::NONBLOCKING) | OpenFlags::READ_WRITE;
    super::anonymous::open("anon_inode:[eventfd]", Arc::new(counter), flags)
}

/// The counter behind an open file.
///
/// # Errors
/// `EINVAL` if it is something else.
pub fn of(open: &OpenFile) -> Result<Arc<EventCounter>, Errno> {
    let file: Arc<dyn Any + Send + Sync> = open.file()?.clone();
    file.downcast().map_err(|_| Errno::EINVAL)
}
