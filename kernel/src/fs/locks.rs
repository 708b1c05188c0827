//! Locks on files: `flock(2)` and `fcntl(2)`.
//!
//! A lock of `fcntl` belongs to a process, so while there is one process none can be in its way. A lock of
//! `flock`, or an "open file description" lock, belongs to an open file description, and two of those can
//! well be at odds within one process.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use pith_linux::Errno;
use spin::Mutex;

use super::file::OpenFile;
use crate::task::WaitQueue;

/// A lock that a description holds on a whole file.
struct Held {
    holder: Weak<OpenFile>,
    exclusive: bool,
}

/// Locks by device and number of the file.
static LOCKS: Mutex<BTreeMap<(u64, u64), Vec<Held>>> = Mutex::new(BTreeMap::new());
static QUEUE: WaitQueue = WaitQueue::new();

fn key(file: &OpenFile) -> (u64, u64) {
    let metadata = file.inode.metadata();
    (metadata.device.encode(), metadata.number)
}

/// Gives the description's lock on the whole file up, if it has one.
pub fn unlock(file: &Arc<OpenFile>) {
    let mut locks = LOCKS.lock();
    if let Some(held) = locks.get_mut(&key(file)) {
        held.retain(|lock| lock.holder.strong_count() != 0 && !core::ptr::eq(lock.holder.as_ptr(), Arc::as_ptr(file)));
        if held.is_empty() {
            locks.remove(&key(file));
        }
    }
    drop(locks);
    QUEUE.wake_all();
}

/// Locks the whole file (`flock`). A lock that the description has is replaced.
///
/// # Errors
/// `EWOULDBLOCK` (`EAGAIN`) if another description is in the way and `nonblocking` is set; `EINTR`.
pub fn lock(file: &Arc<OpenFile>, exclusive: bool, nonblocking: bool) -> Result<(), Errno> {
    unlock(file);
    let key = key(file);
    QUEUE
        .wait(|| {
            let mut locks = LOCKS.lock();
            let held = locks.entry(key).or_default();
            held.retain(|lock| lock.holder.strong_count() != 0);
            if held.iter().any(|lock| lock.exclusive || exclusive) {
                return nonblocking.then_some(Err(Errno::EAGAIN));
            }
            held.push(Held {
                holder: Arc::downgrade(file),
                exclusive,
            });
            Some(Ok(()))
        })
        .map_err(|_| Errno::EINTR)?
}
