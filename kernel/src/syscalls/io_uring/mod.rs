//! `io_uring(7)`: requests and completions in memory that the program shares with the kernel.
//!
//! What can be done at once is done where it is submitted, and files in memory always can. What has to wait is
//! registered at the file's wait queue (see [`request`]); no thread sleeps for it. There is no thread that polls the
//! submission queue (`IORING_SETUP_SQPOLL`), and no polling of devices (`IORING_SETUP_IOPOLL`).

mod network;
mod operation;
mod request;
mod ring;

use pith_linux::Errno;
use pith_linux::io_uring::{
    LAST_OPCODE, Parameters, ProbeEntry, ProbeHead, ResourceRegister, ResourceUpdate, Shape, SynchronousCancel,
    WaitArgument, cancel, enter, feature, register, setup,
};
use pith_linux::time::Timespec;

use crate::fs::context;
use crate::memory::{UserPointer, read_object, write_object};
use crate::task::signal;
use crate::task::{self, Instant};
use operation::Match;

pub(super) use ring::forget_all;

const FEATURES: u32 = feature::SINGLE_MMAP
    | feature::NODROP
    | feature::SUBMIT_STABLE
    | feature::RW_CUR_POS
    | feature::CUR_PERSONALITY
    | feature::FAST_POLL
    | feature::POLL_32BITS
    | feature::EXT_ARG
    | feature::NATIVE_WORKERS
    | feature::CQE_SKIP
    | feature::LINKED_FILE;

/// `io_uring_setup(2)`
pub fn io_uring_setup(entries: u32, parameters: UserPointer) -> Result<usize, Errno> {
    let mut asked: Parameters = read_object(parameters)?;
    if asked.reserved != [0; 3] {
        return Err(Errno::EINVAL);
    }
    if asked.flags & !setup::ALL != 0 {
        name_flags(asked.flags & !setup::ALL);
        return Err(Errno::EINVAL);
    }
    let task_flags = asked.flags & (setup::COOP_TASKRUN | setup::DEFER_TASKRUN);
    if asked.flags & setup::TASKRUN_FLAG != 0 && task_flags == 0 {
        return Err(Errno::EINVAL);
    }
    if asked.flags & setup::DEFER_TASKRUN != 0 && asked.flags & setup::SINGLE_ISSUER == 0 {
        return Err(Errno::EINVAL);
    }
    if asked.flags & setup::ATTACH_WQ != 0 {
        // Rings share the kernel's threads anyway.
        ring::of(&*context::current().file(asked.workers as i32)?).map_err(|_| Errno::EINVAL)?;
    }
    let shape = Shape::of(entries, &asked)?;
    let file = ring::create(shape, asked.flags)?;
    if asked.flags & (setup::SINGLE_ISSUER | setup::R_DISABLED) == setup::SINGLE_ISSUER {
        ring::of(&file)?.check_issuer()?;
    }
    asked.submissions = shape.submissions;
    asked.completions = shape.completions;
    asked.features = FEATURES;
    (asked.submission_offsets, asked.completion_offsets) = shape.offsets();
    write_object(parameters, &asked)?;
    let descriptor = context::current().add(file, true, 0)?;
    Ok(descriptor as usize)
}

/// Says once which wish is not fulfilled.
fn name_flags(flags: u32) {
    use core::sync::atomic::{AtomicBool, Ordering};
    static NAMED: AtomicBool = AtomicBool::new(false);
    const KNOWN_TO_LINUX: [(u32, &str); 4] = [
        (1 << 0, "IORING_SETUP_IOPOLL"),
        (1 << 1, "IORING_SETUP_SQPOLL"),
        (1 << 10, "IORING_SETUP_SQE128"),
        (1 << 11, "IORING_SETUP_CQE32"),
    ];
    let known = KNOWN_TO_LINUX.iter().find(|(bit, _)| flags & bit != 0);
    if let Some((_, name)) = known
        && !NAMED.swap(true, Ordering::Relaxed)
    {
        crate::warning!("io_uring_setup: {name} is not supported: it answers EINVAL");
    }
}

/// What `io_uring_enter` waits with: a set of signals and a deadline.
fn read_wait(flags: u32, argument: UserPointer, size: usize) -> Result<(Option<u64>, Option<Instant>), Errno> {
    if flags & enter::EXT_ARG == 0 {
        return Ok((super::waiting::read_mask(argument, size)?, None));
    }
    if size != size_of::<WaitArgument>() {
        return Err(Errno::EINVAL);
    }
    let wait: WaitArgument = read_object(argument)?;
    if wait.minimum_wait != 0 {
        return Err(Errno::EINVAL);
    }
    let mask = super::waiting::read_mask(UserPointer(wait.mask), wait.mask_size as usize)?;
    if wait.timeout == 0 {
        return Ok((mask, None));
    }
    let time: Timespec = read_object(UserPointer(wait.timeout))?;
    // As on Linux, a time that can't be is none at all: it has passed.
    let nanoseconds = time.to_nanoseconds().unwrap_or(0);
    Ok((mask, Some(task::monotonic().after(nanoseconds))))
}

/// `io_uring_enter(2)`
pub fn io_uring_enter(
    fd: i32,
    submit: u32,
    least: u32,
    flags: i32,
    argument: UserPointer,
    size: usize,
) -> Result<usize, Errno> {
    let flags = flags as u32;
    if flags & !(enter::GETEVENTS | enter::SQ_WAKEUP | enter::SQ_WAIT | enter::EXT_ARG) != 0 {
        return Err(Errno::EINVAL);
    }
    let open = context::current().file(fd)?;
    let ring = ring::of(&open)?;
    ring.check_enabled()?;
    let mut submitted = 0;
    if submit != 0 {
        ring.check_issuer()?;
        submitted = ring.submit(submit);
        if submitted != submit {
            return Ok(submitted as usize);
        }
    }
    // What waiting answers counts only where nothing was submitted.
    let there = submitted != 0 && ring.has(least.min(ring.most_completions()));
    if flags & enter::GETEVENTS != 0 && !there {
        let waited = read_wait(flags, argument, size).and_then(|(mask, deadline)| {
            let least = least.min(ring.most_completions());
            signal::with_mask(mask, || {
                let result = ring.wait(least, deadline);
                if matches!(result, Err(Errno::EINTR)) {
                    signal::set_restart(signal::Restart::Never);
                }
                result
            })
        });
        if submitted == 0 {
            waited?;
        }
    }
    Ok(submitted as usize)
}

/// Tells which operations there are.
fn probe(argument: UserPointer, count: u32) -> Result<(), Errno> {
    let head_size = size_of::<ProbeHead>() as u64;
    let entry_size = size_of::<ProbeEntry>() as u64;
    let head: ProbeHead = read_object(argument)?;
    if head != ProbeHead::default() || count > 256 {
        return Err(Errno::EINVAL);
    }
    let count = count.min(u32::from(LAST_OPCODE) + 1) as u8;
    for operation in 0..count {
        let entry = ProbeEntry {
            operation,
            flags: u16::from(operation::is_known(operation)),
            ..ProbeEntry::default()
        };
        write_object(argument.offset(head_size + entry_size * u64::from(operation)), &entry)?;
    }
    let head = ProbeHead {
        last: LAST_OPCODE,
        count,
        ..head
    };
    write_object(argument, &head)
}

fn read_update(argument: UserPointer) -> Result<(u32, UserPointer), Errno> {
    let [first, data]: [u64; 2] = read_object(argument)?;
    if first >> 32 != 0 {
        return Err(Errno::EINVAL);
    }
    Ok((first as u32, UserPointer(data)))
}

fn read_resources(argument: UserPointer, size: u32) -> Result<ResourceRegister, Errno> {
    if size as usize != size_of::<ResourceRegister>() {
        return Err(Errno::EINVAL);
    }
    let resources: ResourceRegister = read_object(argument)?;
    if resources.reserved != 0 || resources.flags & !1 != 0 || resources.tags != 0 && resources.flags == 1 {
        return Err(Errno::EINVAL);
    }
    no_tags(resources.tags, resources.count)?;
    Ok(resources)
}

/// Tags announce when a resource is no longer used; that is not supported, only tables of none.
fn no_tags(tags: u64, count: u32) -> Result<(), Errno> {
    if tags != 0 {
        for index in 0..u64::from(count) {
            if read_object::<u64>(UserPointer(tags).offset(index * 8))? != 0 {
                return Err(Errno::EINVAL);
            }
        }
    }
    Ok(())
}

fn read_resource_update(argument: UserPointer, size: u32) -> Result<ResourceUpdate, Errno> {
    if size as usize != size_of::<ResourceUpdate>() {
        return Err(Errno::EINVAL);
    }
    let update: ResourceUpdate = read_object(argument)?;
    if update.reserved != 0 || update.reserved2 != 0 {
        return Err(Errno::EINVAL);
    }
    no_tags(update.tags, update.count)?;
    Ok(update)
}

/// `io_uring_register(2)`
pub fn io_uring_register(fd: i32, operation: u32, argument: UserPointer, count: u32) -> Result<usize, Errno> {
    let open = context::current().file(fd)?;
    let ring = ring::of(&open)?;
    let refuse = |wrong: bool| if wrong { Err(Errno::EINVAL) } else { Ok(()) };
    let nothing = |result: Result<(), Errno>| result.map(|()| 0);
    let without = |result: fn(&ring::Ring) -> Result<(), Errno>| {
        refuse(!argument.is_null() || count != 0)?;
        result(ring).map(|()| 0)
    };
    match operation {
        register::BUFFERS => {
            if argument.is_null() {
                return Err(Errno::EFAULT);
            }
            nothing(ring.register_buffers(argument, count))
        }
        register::UNREGISTER_BUFFERS => without(ring::Ring::unregister_buffers),
        register::FILES => {
            if argument.is_null() {
                return Err(Errno::EFAULT);
            }
            nothing(ring.register_files(argument, count))
        }
        register::UNREGISTER_FILES => without(ring::Ring::unregister_files),
        register::FILES_UPDATE => {
            let (offset, data) = read_update(argument)?;
            refuse(count == 0)?;
            ring.update_files(offset, data, count)
        }
        register::EVENTFD | register::EVENTFD_ASYNC => {
            refuse(count != 1)?;
            let descriptor: i32 = read_object(argument)?;
            nothing(ring.register_event(descriptor, operation == register::EVENTFD_ASYNC))
        }
        register::UNREGISTER_EVENTFD => without(ring::Ring::unregister_event),
        register::PROBE => {
            refuse(argument.is_null())?;
            nothing(probe(argument, count))
        }
        register::ENABLE_RINGS => without(ring::Ring::enable),
        register::FILES2 => {
            let resources = read_resources(argument, count)?;
            let data = if resources.flags & 1 != 0 { 0 } else { resources.data };
            nothing(ring.register_files(UserPointer(data), resources.count))
        }
        register::BUFFERS2 => {
            let resources = read_resources(argument, count)?;
            let data = if resources.flags & 1 != 0 { 0 } else { resources.data };
            nothing(ring.register_buffers(UserPointer(data), resources.count))
        }
        register::FILES_UPDATE2 => {
            let update = read_resource_update(argument, count)?;
            ring.update_files(update.offset, UserPointer(update.data), update.count)
        }
        register::BUFFERS_UPDATE => {
            let update = read_resource_update(argument, count)?;
            ring.update_buffers(update.offset, UserPointer(update.data), update.count)
        }
        register::IOWQ_AFFINITY => {
            // There is no pool of threads to be bound.
            refuse(argument.is_null() || count == 0)?;
            Ok(0)
        }
        register::UNREGISTER_IOWQ_AFFINITY => {
            refuse(!argument.is_null() || count != 0)?;
            Ok(0)
        }
        register::SYNC_CANCEL => {
            refuse(argument.is_null() || count != 1)?;
            synchronous_cancel(ring, argument)
        }
        _ => Err(Errno::EINVAL),
    }
}

fn synchronous_cancel(ring: &ring::Ring, argument: UserPointer) -> Result<usize, Errno> {
    let asked: SynchronousCancel = read_object(argument)?;
    let known = cancel::ALL | cancel::DESCRIPTOR | cancel::ANY | cancel::FIXED;
    if asked.flags & !known != 0 || asked.reserved != [0; 4] {
        return Err(Errno::EINVAL);
    }
    let what = if asked.flags & cancel::ANY != 0 {
        Match::Any
    } else if asked.flags & cancel::DESCRIPTOR != 0 {
        Match::File(ring.find_file(asked.descriptor, asked.flags & cancel::FIXED != 0)?)
    } else {
        Match::UserData(asked.user_data)
    };
    let result = ring.cancel(&what, asked.flags & (cancel::ALL | cancel::ANY) != 0);
    ring.settle_cancelled();
    result
}
