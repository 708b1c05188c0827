//! Locks on files: `flock(2)` and `fcntl(2)`.
//!
//! A lock of `fcntl` belongs to a process, so while there is one process none can be in its way. A lock of
//! `flock`, or an "open file description" lock, belongs to an open file description, and two of those can
//! well be at odds within one process.

use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_sorted_map::SortedMap;
use spin::Mutex;

use super::file::OpenFile;
use crate::task::WaitQueue;

/// A lock that a description holds on a whole file.
struct Held {
    /// Device and number of the file.
    file: (u64, u64),
    exclusive: bool,
}

/// Locks by the address of the description that holds them. A description gives its lock up before it goes, so
/// no two have the same address here.
static LOCKS: Mutex<SortedMap<usize, Held>> = Mutex::new(SortedMap::new());
static QUEUE: WaitQueue = WaitQueue::new();

fn holder(file: &OpenFile) -> usize {
    core::ptr::from_ref(file).addr()
}

/// Gives the description's lock on the whole file up, if it has one.
pub fn unlock(file: &OpenFile) {
    let held = LOCKS.lock().remove(&holder(file));
    if held.is_some() {
        QUEUE.wake_all();
    }
}

/// Locks the whole file (`flock`). A lock of the other kind that the description has is given up first, as on
/// Linux also if the new one can't be had.
///
/// # Errors
/// `EWOULDBLOCK` (`EAGAIN`) if another description is in the way and `nonblocking` is set; `EINTR`.
pub fn lock(file: &OpenFile, exclusive: bool, nonblocking: bool) -> Result<(), Errno> {
    let holder = holder(file);
    if LOCKS
        .lock()
        .get(&holder)
        .is_some_and(|held| held.exclusive == exclusive)
    {
        return Ok(());
    }
    unlock(file);
    file.ever_locked.store(true, Ordering::Relaxed);
    let metadata = file.inode.metadata();
    let file = (metadata.device.encode(), metadata.number);
    QUEUE
        .wait(|| {
            let mut locks = LOCKS.lock();
            let in_the_way = |held: &Held| held.file == file && (held.exclusive || exclusive);
            if locks.values().any(in_the_way) {
                return nonblocking.then_some(Err(Errno::EAGAIN));
            }
            locks.insert(holder, Held { file, exclusive });
            Some(Ok(()))
        })
        .map_err(|_| Errno::EINTR)?
}
