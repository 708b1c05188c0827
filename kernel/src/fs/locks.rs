//! Locks on files: `flock(2)` and `fcntl(2)`.
//!
//! A lock of `fcntl` belongs to the process, a lock of `flock`, or an "open file description" lock of `fcntl`, to an
//! open file description. Two descriptions can well be at odds within one process, and with the process itself.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use pith_linux::Errno;
use pith_range_locks::{Range, RangeLock, RangeLocks};
use pith_sorted_map::SortedMap;
use spin::Mutex;

use super::context;
use super::file::OpenFile;
use crate::task::{self, WaitQueue};

/// A lock that a description holds on a whole file.
struct Held {
    /// Device and number of the file.
    file: (u64, u64),
    exclusive: bool,
    /// Who asked for it.
    process: u32,
}

/// A lock, for `/proc/locks`.
pub struct Listed {
    /// Device and number of the file.
    pub file: (u64, u64),
    /// The process that has it; none for one of `fcntl` that a description has.
    pub process: Option<u32>,
    /// Nobody else may hold one there.
    pub exclusive: bool,
    /// On what.
    pub range: Range,
    /// It is one of `flock`.
    pub whole: bool,
}

/// All locks.
pub fn all() -> Vec<Listed> {
    let mut list = Vec::new();
    for held in LOCKS.lock().values() {
        list.push(Listed {
            file: held.file,
            process: Some(held.process),
            exclusive: held.exclusive,
            range: Range {
                start: 0,
                last: u64::MAX,
            },
            whole: true,
        });
    }
    for records in RECORDS.lock().iter() {
        list.extend(records.locks.all().iter().map(|lock| Listed {
            file: records.file,
            process: process_of(lock.owner),
            exclusive: lock.exclusive,
            range: lock.range,
            whole: false,
        }));
    }
    list
}

/// Locks by the address of the description that holds them. A description gives its lock up before it goes, so
/// no two have the same address here.
static LOCKS: Mutex<SortedMap<usize, Held>> = Mutex::new(SortedMap::new());
static QUEUE: WaitQueue = WaitQueue::new();

fn holder(file: &OpenFile) -> usize {
    core::ptr::from_ref(file).addr()
}

/// Who owns the record locks of the current process, or of its thread that has descriptors of its own. Descriptions own theirs
/// by their addresses, which are those of the kernel's half.
pub fn process() -> usize {
    context::current().lock_owner()
}

/// The process that is an owner of record locks, or whose thread is, if it is no description.
pub fn process_of(owner: usize) -> Option<u32> {
    (owner.leading_zeros() != 0).then_some(owner as u32)
}

/// The record locks on a file.
struct Records {
    /// Device and number of the file.
    file: (u64, u64),
    locks: RangeLocks<usize>,
}

/// Files with record locks: few at a time.
static RECORDS: Mutex<Vec<Records>> = Mutex::new(Vec::new());
/// Whether there ever was a record lock of a process: closing a file gives them up.
static PROCESS_LOCKS: AtomicBool = AtomicBool::new(false);

fn identity(file: &OpenFile) -> (u64, u64) {
    let metadata = file.inode.metadata();
    (metadata.device.encode(), metadata.number)
}

/// The owner of record locks that belong to a description.
pub fn description(file: &OpenFile) -> usize {
    holder(file)
}

/// The first record lock that is in the way of one.
pub fn record_in_the_way(file: &OpenFile, wanted: &RangeLock<usize>) -> Option<RangeLock<usize>> {
    let file = identity(file);
    let records = RECORDS.lock();
    records
        .iter()
        .find(|records| records.file == file)?
        .locks
        .conflict(wanted)
}

/// The first record lock of an owner in a range.
pub fn own_record(file: &OpenFile, owner: usize, range: Range) -> Option<RangeLock<usize>> {
    let file = identity(file);
    let records = RECORDS.lock();
    records
        .iter()
        .find(|records| records.file == file)?
        .locks
        .own(owner, range)
}

/// A process that waits for a record lock.
struct Waiting {
    /// Which of its threads.
    thread: u32,
    /// Device and number of the file.
    file: (u64, u64),
    wanted: RangeLock<usize>,
}

impl Waiting {
    /// Whose lock is in the way now: not who was when it began to wait, for that one may have given its lock up since.
    fn blocked_by(&self, records: &[Records]) -> Option<usize> {
        let records = records.iter().find(|records| records.file == self.file)?;
        Some(records.locks.conflict(&self.wanted)?.owner)
    }
}

/// Who waits for record locks. Its lock is taken after that of the locks.
static WAITING: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());
/// As many processes are looked at that wait for one another; as on Linux, which looks no further either.
const LONGEST_CIRCLE: usize = 10;

/// Notes that the current thread waits for a lock of a process.
///
/// # Errors
/// `EDEADLK` if whoever is in the way waits, by way of others or not, for the process; `ENOLCK` without memory.
fn note_waiting(records: &[Records], file: (u64, u64), wanted: RangeLock<usize>) -> Result<(), Errno> {
    let thread = task::current().id();
    let own = Waiting { thread, file, wanted };
    let mut waiting = WAITING.lock();
    waiting.retain(|other| other.thread != thread);
    let mut next = own.blocked_by(records);
    for _ in 0..LONGEST_CIRCLE {
        let Some(owner) = next else { break };
        if owner == wanted.owner {
            return Err(Errno::EDEADLK);
        }
        let other = waiting.iter().find(|other| other.wanted.owner == owner);
        next = other.and_then(|other| other.blocked_by(records));
    }
    waiting.try_reserve(1).map_err(|_| Errno::ENOLCK)?;
    waiting.push(own);
    Ok(())
}

/// Undoes [`note_waiting`].
fn note_end_of_waiting() {
    let thread = task::current().id();
    WAITING.lock().retain(|other| other.thread != thread);
}

/// Sets a record lock.
///
/// # Errors
/// `EAGAIN` if another one is in the way and `nonblocking` is set; `EDEADLK` if whoever has that waits for the process that
/// asks; `EINTR`, `ENOLCK` without memory.
pub fn lock_record(file: &OpenFile, wanted: RangeLock<usize>, nonblocking: bool) -> Result<(), Errno> {
    if process_of(wanted.owner).is_some() {
        PROCESS_LOCKS.store(true, Ordering::Relaxed);
    } else {
        file.ever_locked.store(true, Ordering::Relaxed);
    }
    let file = identity(file);
    let mut waits = false;
    let result = QUEUE
        .wait(|| {
            let mut records = RECORDS.lock();
            let place = records.iter().position(|records| records.file == file);
            let place = match place {
                Some(place) => place,
                None if records.try_reserve(1).is_err() => return Some(Err(Errno::ENOLCK)),
                None => {
                    let locks = RangeLocks::default();
                    records.push(Records { file, locks });
                    records.len() - 1
                }
            };
            let locks = &mut records[place].locks;
            if locks.conflict(&wanted).is_some() {
                if nonblocking {
                    return Some(Err(Errno::EAGAIN));
                }
                // Locks of descriptions may be given up by anybody: nobody can tell that they never will.
                if process_of(wanted.owner).is_some() {
                    waits = true;
                    return note_waiting(&records, file, wanted).err().map(Err);
                }
                return None;
            }
            Some(locks.lock(wanted).map_err(|_| Errno::ENOLCK))
        })
        .map_err(|_| Errno::EINTR);
    if waits {
        note_end_of_waiting();
    }
    result??;
    // A shared lock may have taken the place of an exclusive one.
    QUEUE.wake_all();
    Ok(())
}

/// Gives record locks in a range up.
///
/// # Errors
/// `ENOLCK` without memory.
pub fn unlock_record(file: &OpenFile, owner: usize, range: Range) -> Result<(), Errno> {
    let file = identity(file);
    {
        let mut records = RECORDS.lock();
        let Some(place) = records.iter().position(|records| records.file == file) else {
            return Ok(());
        };
        records[place].locks.unlock(owner, range).map_err(|_| Errno::ENOLCK)?;
        if records[place].locks.is_empty() {
            records.swap_remove(place);
        }
    }
    QUEUE.wake_all();
    Ok(())
}

fn release(file: (u64, u64), owner: usize) {
    let released = {
        let mut records = RECORDS.lock();
        let place = records.iter().position(|records| records.file == file);
        place.is_some_and(|place| {
            let released = records[place].locks.release(owner);
            if records[place].locks.is_empty() {
                records.swap_remove(place);
            }
            released
        })
    };
    if released {
        QUEUE.wake_all();
    }
}

/// The process has closed a descriptor: it loses its record locks on the file, whatever other descriptors it has.
pub fn closed(file: &OpenFile) {
    if PROCESS_LOCKS.load(Ordering::Relaxed) {
        release(identity(file), process());
    }
}

/// An owner that is no description has ended.
pub fn ended(owner: usize) {
    if !PROCESS_LOCKS.load(Ordering::Relaxed) {
        return;
    }
    let mut released = false;
    RECORDS.lock().retain_mut(|records| {
        released |= records.locks.release(owner);
        !records.locks.is_empty()
    });
    if released {
        QUEUE.wake_all();
    }
}

/// Gives up all that a description holds.
pub fn forget(file: &OpenFile) {
    unlock(file);
    release(identity(file), holder(file));
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
    let file = identity(file);
    QUEUE
        .wait(|| {
            let mut locks = LOCKS.lock();
            // Another thread may have locked it by the same description meanwhile, which is changed, not waited for.
            let in_the_way =
                |(other, held): (&usize, &Held)| *other != holder && held.file == file && (held.exclusive || exclusive);
            if locks.iter().any(in_the_way) {
                return nonblocking.then_some(Err(Errno::EAGAIN));
            }
            let process = task::current_process().id;
            let held = Held {
                file,
                exclusive,
                process,
            };
            locks.insert(holder, held);
            Some(Ok(()))
        })
        .map_err(|_| Errno::EINTR)?
}
