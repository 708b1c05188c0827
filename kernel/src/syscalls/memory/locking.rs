//! Memory that stays: `mlock(2)` and its relatives. Nothing is ever paged out here, so what they do is to touch the
//! pages now, to count them against `RLIMIT_MEMLOCK`, and to keep them from being forgotten.

use core::ops::Range;

use pith_linux::Errno;

use crate::memory::{AreaFlags, PAGE_SIZE};
use crate::task::{current_process, go_on};

const PAGE: u64 = PAGE_SIZE as u64;

/// The pages of which a range has some byte.
fn pages(address: u64, length: usize) -> Result<Range<u64>, Errno> {
    let start = address & !(PAGE - 1);
    // As Linux: a length that overflows when it is rounded up is none.
    let length = (length as u64).wrapping_add(address - start).wrapping_add(PAGE - 1) & !(PAGE - 1);
    let end = start.checked_add(length).ok_or(Errno::EINVAL)?;
    Ok(start..end)
}

fn lock(address: u64, length: usize, flags: AreaFlags) -> Result<usize, Errno> {
    let process = current_process();
    let allowance = process.allowance();
    if allowance.locked == 0 && !flags.is_empty() {
        return Err(Errno::EPERM);
    }
    let range = pages(address, length)?;
    if !range.is_empty() {
        process.address_space().lock(range, flags, &allowance, go_on)?;
    }
    Ok(0)
}

/// `mlock(2)`
pub fn mlock(address: u64, length: usize) -> Result<usize, Errno> {
    lock(address, length, AreaFlags::LOCKED)
}

/// `mlock2(2)`
pub fn mlock2(address: u64, length: usize, flags: i32) -> Result<usize, Errno> {
    match flags {
        0 => mlock(address, length),
        // MLOCK_ONFAULT
        1 => lock(address, length, AreaFlags::LOCKED | AreaFlags::LOCK_ON_FAULT),
        _ => Err(Errno::EINVAL),
    }
}

/// `munlock(2)`
pub fn munlock(address: u64, length: usize) -> Result<usize, Errno> {
    lock(address, length, AreaFlags::empty())
}

/// `mlockall(2)`
pub fn mlockall(flags: i32) -> Result<usize, Errno> {
    const CURRENT: i32 = 1;
    const FUTURE: i32 = 2;
    const ON_FAULT: i32 = 4;
    if flags & !(CURRENT | FUTURE | ON_FAULT) != 0 || flags & (CURRENT | FUTURE) == 0 {
        return Err(Errno::EINVAL);
    }
    let process = current_process();
    let allowance = process.allowance();
    if allowance.locked == 0 {
        return Err(Errno::EPERM);
    }
    let mut locking = AreaFlags::LOCKED;
    locking.set(AreaFlags::LOCK_ON_FAULT, flags & ON_FAULT != 0);
    let current = (flags & CURRENT != 0).then_some(locking);
    let future = if flags & FUTURE != 0 {
        locking
    } else {
        AreaFlags::empty()
    };
    process.address_space().lock_all(current, future, &allowance, go_on)?;
    Ok(0)
}

/// `munlockall(2)`
pub fn munlockall() -> Result<usize, Errno> {
    let process = current_process();
    let none = AreaFlags::empty();
    process
        .address_space()
        .lock_all(Some(none), none, &process.allowance(), go_on)?;
    Ok(0)
}
