//! Waiting for files: `poll(2)`, `select(2)` and their relatives.

use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_linux::Errno;
use pith_linux::files::{PollDescriptor, PollEvents};
use pith_linux::time::{NANOSECONDS, Timespec, Timeval};
use zerocopy::IntoBytes;

use crate::fs::context;
use crate::fs::file::File;
use crate::memory::{UserPointer, copy_from_user, copy_to_user, read_object, write_object};
use crate::task::signal::{self, Restart};
use crate::task::{self, Instant, Limits, WaitQueue, wait_any};

/// How long a call waits at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// Not at all.
    None,
    /// Until then.
    Until(Instant),
    /// For ever.
    Endless,
}

impl Patience {
    fn of(nanoseconds: u64) -> Self {
        if nanoseconds == 0 {
            Self::None
        } else {
            Self::Until(task::monotonic().after(nanoseconds))
        }
    }

    /// What is left, in nanoseconds.
    fn left(self) -> u64 {
        match self {
            Self::Until(deadline) => deadline.0.saturating_sub(task::monotonic().0),
            Self::None | Self::Endless => 0,
        }
    }
}

/// What is waited for at one file: its position in the caller's list, and the events.
struct Watch {
    index: usize,
    file: Option<Arc<dyn File>>,
    wanted: PollEvents,
    found: PollEvents,
}

impl Watch {
    /// Looks at the file. True if anything was found.
    fn look(&mut self) -> bool {
        if let Some(file) = &self.file {
            self.found = file.readiness() & self.wanted;
        }
        !self.found.is_empty()
    }
}

/// Waits until anything is found. Returns how many watches found something.
fn wait(watches: &mut [Watch], patience: Patience, mask: Option<u64>) -> Result<usize, Errno> {
    let files: Vec<Arc<dyn File>> = watches.iter().filter_map(|watch| watch.file.clone()).collect();
    let queues: Vec<&WaitQueue> = files.iter().filter_map(|file| file.wait_queue()).collect();
    let mut look = || {
        let count = watches.iter_mut().map(Watch::look).filter(|found| *found).count();
        (count != 0).then_some(count)
    };
    if let Some(count) = look() {
        return Ok(count);
    }
    let deadline = match patience {
        Patience::None => return Ok(0),
        Patience::Until(deadline) => Some(deadline),
        Patience::Endless => None,
    };
    signal::with_mask(mask, || match wait_any(&queues, deadline, look) {
        Ok(count) => Ok(count),
        Err(task::WaitError::TimedOut) => Ok(0),
        Err(task::WaitError::Interrupted) => {
            signal::set_restart(Restart::IfNoHandlerRuns);
            Err(Errno::EINTR)
        }
    })
}

fn poll_descriptors(
    descriptors: UserPointer,
    count: usize,
    patience: Patience,
    mask: Option<u64>,
) -> Result<usize, Errno> {
    if count as u64 > task::current_process().limit(Limits::OPEN_FILES) {
        return Err(Errno::EINVAL);
    }
    let mut list: Vec<PollDescriptor> = Vec::new();
    list.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    list.resize(count, PollDescriptor::default());
    copy_from_user(list.as_mut_bytes(), descriptors)?;

    let files = context::current();
    let mut watches = Vec::new();
    watches.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for (index, entry) in list.iter_mut().enumerate() {
        entry.returned = 0;
        if entry.descriptor < 0 {
            continue;
        }
        // Errors and the other side's end are reported whether asked for or not.
        let wanted = PollEvents::from_bits_truncate(entry.events) | PollEvents::ERROR | PollEvents::HANG_UP;
        // A descriptor that only names a file is as good as none.
        let file = files.file(entry.descriptor).and_then(|open| open.file().cloned()).ok();
        let found = if file.is_none() {
            PollEvents::INVALID
        } else {
            PollEvents::empty()
        };
        watches.push(Watch {
            index,
            file,
            wanted,
            found,
        });
    }
    let result = wait(&mut watches, patience, mask)?;
    for watch in &watches {
        list[watch.index].returned = watch.found.bits();
    }
    copy_to_user(descriptors, list.as_bytes())?;
    Ok(result)
}

/// `poll(2)`
pub fn poll(descriptors: UserPointer, count: usize, timeout: i32) -> Result<usize, Errno> {
    let patience = match u64::try_from(timeout) {
        Ok(milliseconds) => Patience::of(milliseconds * 1_000_000),
        Err(_) => Patience::Endless,
    };
    poll_descriptors(descriptors, count, patience, None)
}

fn patience_of(timeout: UserPointer) -> Result<Patience, Errno> {
    if timeout.is_null() {
        return Ok(Patience::Endless);
    }
    Ok(Patience::of(read_object::<Timespec>(timeout)?.to_nanoseconds()?))
}

/// Writes back how much of the timeout is left, as Linux does; if that fails, the result still counts.
fn store_left(timeout: UserPointer, patience: Patience) {
    if !timeout.is_null() {
        let _ = write_object(timeout, &Timespec::from_nanoseconds(patience.left()));
    }
}

fn read_mask(mask: UserPointer, size: usize) -> Result<Option<u64>, Errno> {
    if mask.is_null() {
        return Ok(None);
    }
    if size != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    read_object(mask).map(Some)
}

/// `ppoll(2)`
pub fn ppoll(
    descriptors: UserPointer,
    count: usize,
    timeout: UserPointer,
    mask: UserPointer,
    size: usize,
) -> Result<usize, Errno> {
    let patience = patience_of(timeout)?;
    let mask = read_mask(mask, size)?;
    let result = poll_descriptors(descriptors, count, patience, mask);
    store_left(timeout, patience);
    result
}

/// The three sets of `select(2)`, and what each waits for.
const WANTED: [PollEvents; 3] = [
    PollEvents::IN
        .union(PollEvents::READ_NORMAL)
        .union(PollEvents::READ_BAND)
        .union(PollEvents::HANG_UP)
        .union(PollEvents::ERROR),
    PollEvents::OUT
        .union(PollEvents::WRITE_NORMAL)
        .union(PollEvents::WRITE_BAND)
        .union(PollEvents::ERROR),
    PollEvents::PRIORITY,
];

fn select_descriptors(
    count: i32,
    pointers: [UserPointer; 3],
    patience: Patience,
    mask: Option<u64>,
) -> Result<usize, Errno> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let files = context::current();
    // Beyond the last descriptor there is nothing to look at (and nothing to complain about, on Linux).
    let open = files.open_descriptors(0);
    let count = count.min(open.last().map_or(0, |last| (*last as usize + 1).next_multiple_of(64)));
    let words = count.div_ceil(64);
    let mut sets: [Vec<u64>; 3] = Default::default();
    for (set, pointer) in sets.iter_mut().zip(pointers) {
        set.resize(words, 0);
        if !pointer.is_null() {
            copy_from_user(set.as_mut_bytes(), pointer)?;
        }
    }
    let mut watches = Vec::new();
    for index in 0..count {
        let (word, bit) = (index / 64, 1_u64 << (index % 64));
        let mut wanted = PollEvents::empty();
        for (set, events) in sets.iter().zip(WANTED) {
            if set[word] & bit != 0 {
                wanted |= events;
            }
        }
        if !wanted.is_empty() {
            let file = files.file(index as i32)?.file()?.clone();
            watches.push(Watch {
                index,
                file: Some(file),
                wanted,
                found: PollEvents::empty(),
            });
        }
    }
    wait(&mut watches, patience, mask)?;
    let mut results: [Vec<u64>; 3] = Default::default();
    let mut total = 0;
    for ((result, set), events) in results.iter_mut().zip(&sets).zip(WANTED) {
        result.resize(words, 0);
        for watch in &watches {
            let (word, bit) = (watch.index / 64, 1_u64 << (watch.index % 64));
            if set[word] & bit != 0 && watch.found.intersects(events) {
                result[word] |= bit;
                total += 1;
            }
        }
    }
    for (result, pointer) in results.iter().zip(pointers) {
        if !pointer.is_null() {
            copy_to_user(pointer, result.as_bytes())?;
        }
    }
    Ok(total)
}

/// `select(2)`
pub fn select(
    count: i32,
    read: UserPointer,
    write: UserPointer,
    except: UserPointer,
    timeout: UserPointer,
) -> Result<usize, Errno> {
    let patience = if timeout.is_null() {
        Patience::Endless
    } else {
        let time: Timeval = read_object(timeout)?;
        let (seconds, microseconds) = (u64::try_from(time.seconds), u64::try_from(time.microseconds));
        match (seconds, microseconds) {
            (Ok(seconds), Ok(microseconds)) => Patience::of(
                seconds
                    .saturating_mul(NANOSECONDS)
                    .saturating_add(microseconds.saturating_mul(1000)),
            ),
            _ => return Err(Errno::EINVAL),
        }
    };
    let result = select_descriptors(count, [read, write, except], patience, None);
    if !timeout.is_null() {
        let _ = write_object(timeout, &Timeval::from_nanoseconds(patience.left()));
    }
    result
}

/// `pselect(2)`; the last argument points to the mask's address and size.
pub fn pselect6(
    count: i32,
    read: UserPointer,
    write: UserPointer,
    except: UserPointer,
    timeout: UserPointer,
    mask: UserPointer,
) -> Result<usize, Errno> {
    let patience = patience_of(timeout)?;
    let mask = if mask.is_null() {
        None
    } else {
        let [address, size]: [u64; 2] = read_object(mask)?;
        read_mask(UserPointer(address), size as usize)?
    };
    let result = select_descriptors(count, [read, write, except], patience, mask);
    store_left(timeout, patience);
    result
}
