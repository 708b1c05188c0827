//! Waiting for files: `poll(2)`, `select(2)`, `epoll(7)` and their relatives, and `eventfd(2)`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::offset_of;

use pith_linux::Errno;
use pith_linux::events::{EventControl, EventCounterFlags, EventRecord};
use pith_linux::files::{OpenFlags, PollDescriptor, PollEvents};
use pith_linux::time::{NANOSECONDS, Timespec, Timeval};
use zerocopy::IntoBytes;

use crate::fs::file::File;
use crate::fs::{context, event_counter, event_poll};
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
        // A signal that the mask lets through is delivered even so.
        Patience::None => {
            return signal::with_mask(mask, || match task::current().is_interrupted() {
                false => Ok(found_nothing()),
                true => {
                    signal::set_restart(Restart::IfNoHandlerRuns);
                    Err(Errno::EINTR)
                }
            });
        }
        Patience::Until(deadline) => Some(deadline),
        Patience::Endless => None,
    };
    signal::with_mask(mask, || match wait_any(&queues, deadline, look) {
        Ok(count) => Ok(count),
        Err(task::WaitError::TimedOut) => Ok(found_nothing()),
        Err(task::WaitError::Interrupted) => {
            signal::set_restart(Restart::IfNoHandlerRuns);
            Err(Errno::EINTR)
        }
    })
}

/// As on Linux, ignored signals that the mask lets through are gone after a wait in which nothing else has happened.
fn found_nothing() -> usize {
    signal::take_ignored();
    0
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
    let result = wait(&mut watches, patience, mask);
    for watch in &watches {
        list[watch.index].returned = watch.found.bits();
    }
    // Nothing but the answers, which are there even if a signal has ended the wait: what was asked is the program's, and
    // another thread may have changed it meanwhile.
    for (index, entry) in list.iter().enumerate() {
        let place = index * size_of::<PollDescriptor>() + offset_of!(PollDescriptor, returned);
        write_object(descriptors.offset(place as u64), &entry.returned)?;
    }
    result
}

/// `poll(2)`
pub fn poll(descriptors: UserPointer, count: usize, timeout: i32) -> Result<usize, Errno> {
    poll_descriptors(descriptors, count, patience_of_milliseconds(timeout), None)
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

/// A set of signals for the time of a wait, if there is one.
///
/// # Errors
/// `EINVAL`, `EFAULT`.
pub(super) fn read_mask(mask: UserPointer, size: usize) -> Result<Option<u64>, Errno> {
    if mask.is_null() {
        return Ok(None);
    }
    if size != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    read_object(mask).map(Some)
}

/// As [`read_mask`], from a place that holds address and size.
///
/// # Errors
/// `EINVAL`, `EFAULT`.
pub(super) fn read_sized_mask(place: UserPointer) -> Result<Option<u64>, Errno> {
    if place.is_null() {
        return Ok(None);
    }
    let [address, size]: [u64; 2] = read_object(place)?;
    read_mask(UserPointer(address), size as usize)
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
            let file = files.file(index as i32)?.file().cloned().ok();
            // As on Linux, a descriptor that only names a file is ready for whatever fails with it.
            let found = if file.is_none() { wanted } else { PollEvents::empty() };
            watches.push(Watch {
                index,
                file,
                wanted,
                found,
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
    let mask = read_sized_mask(mask)?;
    let result = select_descriptors(count, [read, write, except], patience, mask);
    store_left(timeout, patience);
    result
}

/// `eventfd(2)`
pub fn eventfd(initial: u32) -> Result<usize, Errno> {
    eventfd2(initial, 0)
}

/// `eventfd2(2)`
pub fn eventfd2(initial: u32, flags: u32) -> Result<usize, Errno> {
    let (close_on_exec, nonblocking) = (OpenFlags::CLOSE_ON_EXEC.bits(), OpenFlags::NONBLOCKING.bits());
    let semaphore = EventCounterFlags::SEMAPHORE.bits();
    if flags & !(close_on_exec | nonblocking | semaphore) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = event_counter::create(
        initial.into(),
        flags & semaphore != 0,
        OpenFlags::from_bits_truncate(flags & nonblocking),
    );
    let descriptor = context::current().add(file, flags & close_on_exec != 0, 0)?;
    Ok(descriptor as usize)
}

/// `epoll_create(2)`; the size only has to be above 0.
pub fn epoll_create(size: i32) -> Result<usize, Errno> {
    if size <= 0 {
        return Err(Errno::EINVAL);
    }
    epoll_create1(0)
}

/// `epoll_create1(2)`
pub fn epoll_create1(flags: u32) -> Result<usize, Errno> {
    let close_on_exec = OpenFlags::CLOSE_ON_EXEC.bits();
    if flags & !close_on_exec != 0 {
        return Err(Errno::EINVAL);
    }
    let descriptor = context::current().add(event_poll::create(), flags & close_on_exec != 0, 0)?;
    Ok(descriptor as usize)
}

/// `epoll_ctl(2)`
pub fn epoll_ctl(poll: i32, operation: i32, fd: i32, event: UserPointer) -> Result<usize, Errno> {
    let control = EventControl::from_number(operation);
    // Read for everything but a removal, whose pointer may be anything.
    let record = match control {
        Some(EventControl::Delete) => EventRecord::default(),
        _ => read_object(event)?,
    };
    let files = context::current();
    let poll = files.file(poll)?;
    poll.file()?;
    let target = files.file(fd)?;
    event_poll::control(&poll, control, fd, &target, record)?;
    Ok(0)
}

/// Most events of one call (`EP_MAX_EVENTS`).
const MOST_EVENTS: usize = i32::MAX as usize / size_of::<EventRecord>();

fn wait_for_events(
    poll: i32,
    events: UserPointer,
    count: i32,
    patience: Patience,
    mask: Option<u64>,
) -> Result<usize, Errno> {
    let open = context::current().file(poll)?;
    open.file()?;
    let most = usize::try_from(count)
        .ok()
        .filter(|count| (1..=MOST_EVENTS).contains(count))
        .ok_or(Errno::EINVAL)?;
    let end = events.0.checked_add((most * size_of::<EventRecord>()) as u64);
    if end.is_none_or(|end| i64::try_from(end).is_err()) {
        return Err(Errno::EFAULT);
    }
    let poll = event_poll::event_poll(&open)?;
    let (deadline, only_look) = match patience {
        Patience::None => (None, true),
        Patience::Until(deadline) => (Some(deadline), false),
        Patience::Endless => (None, false),
    };
    signal::with_mask(mask, || {
        let result = poll.wait(events, most, deadline, only_look);
        // Never started again, whatever the handler says.
        if matches!(result, Err(Errno::EINTR)) {
            signal::set_restart(Restart::Never);
        }
        result
    })
}

fn patience_of_milliseconds(timeout: i32) -> Patience {
    match u64::try_from(timeout) {
        Ok(milliseconds) => Patience::of(milliseconds * 1_000_000),
        Err(_) => Patience::Endless,
    }
}

/// `epoll_wait(2)`
pub fn epoll_wait(poll: i32, events: UserPointer, count: i32, timeout: i32) -> Result<usize, Errno> {
    wait_for_events(poll, events, count, patience_of_milliseconds(timeout), None)
}

/// `epoll_pwait(2)`
pub fn epoll_pwait(
    poll: i32,
    events: UserPointer,
    count: i32,
    timeout: i32,
    mask: UserPointer,
    size: usize,
) -> Result<usize, Errno> {
    let mask = read_mask(mask, size)?;
    wait_for_events(poll, events, count, patience_of_milliseconds(timeout), mask)
}

/// `epoll_pwait2(2)`
pub fn epoll_pwait2(
    poll: i32,
    events: UserPointer,
    count: i32,
    timeout: UserPointer,
    mask: UserPointer,
    size: usize,
) -> Result<usize, Errno> {
    let patience = patience_of(timeout)?;
    let mask = read_mask(mask, size)?;
    wait_for_events(poll, events, count, patience, mask)
}
