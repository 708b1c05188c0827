//! Limits and usage: `getrlimit(2)`, `prlimit(2)`, `getrusage(2)`.

use alloc::sync::Arc;

use pith_linux::Errno;
use pith_linux::system::ResourceLimit;

use super::processes::resource_usage;
use crate::memory::{UserPointer, read_object, write_object};
use crate::task::family::Usage;
use crate::task::{self, Capabilities, Limits, Process, time_limits};

/// Most open files that anybody may allow (`fs.nr_open` of Linux).
const MOST_OPEN_FILES: u64 = 1 << 20;

fn resource_index(resource: i32) -> Result<usize, Errno> {
    usize::try_from(resource)
        .ok()
        .filter(|&index| index < Limits::default().0.len())
        .ok_or(Errno::EINVAL)
}

fn get(process: &Process, index: usize) -> ResourceLimit {
    let (soft, hard) = process.limits.lock().0[index];
    ResourceLimit { soft, hard }
}

fn set(process: &Arc<Process>, index: usize, new: ResourceLimit) -> Result<(), Errno> {
    if new.soft > new.hard {
        return Err(Errno::EINVAL);
    }
    if index == Limits::OPEN_FILES && new.hard > MOST_OPEN_FILES {
        return Err(Errno::EPERM);
    }
    let privileged = crate::fs::permission::require(Capabilities::RESOURCES).is_ok();
    {
        let mut limits = process.limits.lock();
        if new.hard > limits.0[index].1 && !privileged {
            return Err(Errno::EPERM);
        }
        limits.0[index] = (new.soft, new.hard);
    }
    match index {
        Limits::STACK => process.address_space().set_stack_limit(new.soft),
        Limits::ADDRESS_SPACE => process.address_space().set_size_limit(new.soft),
        Limits::PROCESSOR_TIME => time_limits::set(process, new.soft),
        _ => {}
    }
    Ok(())
}

/// `getrlimit(2)`
pub fn getrlimit(resource: i32, limit: UserPointer) -> Result<usize, Errno> {
    write_object(limit, &get(&task::current_process(), resource_index(resource)?))?;
    Ok(0)
}

/// `setrlimit(2)`
pub fn setrlimit(resource: i32, limit: UserPointer) -> Result<usize, Errno> {
    let new = read_object(limit)?;
    set(&task::current_process(), resource_index(resource)?, new)?;
    Ok(0)
}

/// Whether the current thread may ask for the limits of a process and change them: those of another only if that is
/// wholly its own user's.
fn check_other(process: &Process) -> Result<(), Errno> {
    if process.id == task::current_process().id {
        return Ok(());
    }
    let (own, theirs) = (task::credentials(), process.credentials());
    if theirs.users == [own.users[0]; 3] && theirs.groups == [own.groups[0]; 3] {
        return Ok(());
    }
    crate::fs::permission::require(Capabilities::RESOURCES)
}

/// `prlimit(2)`
pub fn prlimit64(pid: i32, resource: i32, new: UserPointer, old: UserPointer) -> Result<usize, Errno> {
    let new = if new.is_null() { None } else { Some(read_object(new)?) };
    let process = super::scheduling::thread_of(pid)
        .map_err(|_| Errno::ESRCH)?
        .process
        .clone();
    let index = resource_index(resource)?;
    check_other(&process)?;
    let before = get(&process, index);
    if let Some(new) = new {
        set(&process, index, new)?;
    }
    if !old.is_null() {
        write_object(old, &before)?;
    }
    Ok(0)
}

/// `getrusage(2)`
pub fn getrusage(who: i32, place: UserPointer) -> Result<usize, Errno> {
    const SELF: i32 = 0;
    const CHILDREN: i32 = -1;
    const THREAD: i32 = 1;
    let thread = task::current();
    let process = &thread.process;
    let usage = match who {
        CHILDREN => Usage::of_children(process),
        SELF => Usage::of(process),
        THREAD => {
            let (waited, gave_way) = thread.entity.switches();
            Usage {
                time: thread.split_time(),
                switches: (waited.into(), gave_way.into()),
                ..Usage::of(process)
            }
        }
        _ => return Err(Errno::EINVAL),
    };
    write_object(place, &resource_usage(&usage))?;
    Ok(0)
}
