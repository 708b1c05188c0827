//! Limits and usage: `getrlimit(2)`, `prlimit(2)`, `getrusage(2)`.

use pith_linux::Errno;
use pith_linux::system::{ResourceLimit, ResourceUsage};
use pith_linux::time::Timeval;

use crate::memory::{UserPointer, read_object, write_object};
use crate::task::{self, Limits, Process};

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

fn set(process: &Process, index: usize, new: ResourceLimit) -> Result<(), Errno> {
    if new.soft > new.hard {
        return Err(Errno::EINVAL);
    }
    if index == Limits::OPEN_FILES && new.hard > MOST_OPEN_FILES {
        return Err(Errno::EPERM);
    }
    let privileged = process.credentials.lock().users[1] == 0;
    {
        let mut limits = process.limits.lock();
        if new.hard > limits.0[index].1 && !privileged {
            return Err(Errno::EPERM);
        }
        limits.0[index] = (new.soft, new.hard);
    }
    if index == Limits::STACK {
        process.address_space().set_stack_limit(new.soft);
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

/// `prlimit(2)`
pub fn prlimit64(pid: i32, resource: i32, new: UserPointer, old: UserPointer) -> Result<usize, Errno> {
    let new = if new.is_null() { None } else { Some(read_object(new)?) };
    let process = task::current_process();
    if pid != 0 && pid != process.id as i32 {
        return Err(Errno::ESRCH);
    }
    let index = resource_index(resource)?;
    let before = get(&process, index);
    if let Some(new) = new {
        set(&process, index, new)?;
    }
    if !old.is_null() {
        write_object(old, &before)?;
    }
    Ok(0)
}

/// `getrusage(2)`. All processor time counts as the program's own: between program and kernel it isn't told apart.
pub fn getrusage(who: i32, usage: UserPointer) -> Result<usize, Errno> {
    const SELF: i32 = 0;
    const CHILDREN: i32 = -1;
    const THREAD: i32 = 1;
    let thread = task::current();
    let process = &thread.process;
    let answer = |time: u64, switches: (u64, u64)| ResourceUsage {
        user_time: Timeval::from_nanoseconds(time),
        maximum_resident: (process.address_space().peak_bytes().1 >> 10) as i64,
        minor_faults: process.address_space().fault_count() as i64,
        voluntary_switches: switches.0 as i64,
        involuntary_switches: switches.1 as i64,
        ..ResourceUsage::default()
    };
    let of_thread = |thread: &task::Thread| {
        let (voluntary, involuntary) = thread.entity.switches();
        (u64::from(voluntary), u64::from(involuntary))
    };
    let answer = match who {
        CHILDREN => ResourceUsage::default(),
        THREAD => answer(thread.cpu_time(), of_thread(&thread)),
        SELF => {
            let switches = process
                .threads()
                .iter()
                .map(|thread| of_thread(thread))
                .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            answer(process.cpu_time(), switches)
        }
        _ => return Err(Errno::EINVAL),
    };
    write_object(usage, &answer)?;
    Ok(0)
}
