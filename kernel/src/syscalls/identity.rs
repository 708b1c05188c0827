//! Who the process is: `getpid(2)`, `getuid(2)` and their relatives.
//!
//! The first process starts as root. User numbers decide little here, since nobody else is on the machine; but what a
//! program sets it also gets, and a program that has given its privileges up can't have them back.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pith_linux::Errno;

use crate::fs::permission;
use crate::memory::{UserPointer, read_object, write_object};
use crate::task::{self, Capabilities, Credentials};

/// "Leave it as it is" in calls that set several numbers.
const UNCHANGED: u32 = u32::MAX;
/// Most supplementary groups (`NGROUPS_MAX`).
const MAXIMUM_GROUPS: usize = 65536;

fn credentials<T>(look: impl FnOnce(&Credentials) -> T) -> T {
    look(&task::current_process().credentials.lock())
}

/// `getpid(2)`
pub fn getpid() -> Result<usize, Errno> {
    Ok(task::current_process().id as usize)
}

/// `gettid(2)`
pub fn gettid() -> Result<usize, Errno> {
    Ok(task::current().id() as usize)
}

/// `getuid(2)`
pub fn getuid() -> Result<usize, Errno> {
    Ok(credentials(|own| own.users[0]) as usize)
}

/// `geteuid(2)`
pub fn geteuid() -> Result<usize, Errno> {
    Ok(credentials(|own| own.users[1]) as usize)
}

/// `getgid(2)`
pub fn getgid() -> Result<usize, Errno> {
    Ok(credentials(|own| own.groups[0]) as usize)
}

/// `getegid(2)`
pub fn getegid() -> Result<usize, Errno> {
    Ok(credentials(|own| own.groups[1]) as usize)
}

fn write_three(numbers: [u32; 3], places: [UserPointer; 3]) -> Result<usize, Errno> {
    for (number, place) in numbers.iter().zip(places) {
        write_object(place, number)?;
    }
    Ok(0)
}

/// `getresuid(2)`
pub fn getresuid(real: UserPointer, effective: UserPointer, saved: UserPointer) -> Result<usize, Errno> {
    write_three(credentials(|own| own.users), [real, effective, saved])
}

/// `getresgid(2)`
pub fn getresgid(real: UserPointer, effective: UserPointer, saved: UserPointer) -> Result<usize, Errno> {
    write_three(credentials(|own| own.groups), [real, effective, saved])
}

/// Which of the two kinds of numbers a call sets.
#[derive(Clone, Copy)]
enum Kind {
    User,
    Group,
}

/// Changes real, effective and saved numbers: `plan` makes the new ones of the old, after `requested` were found
/// to be allowed.
fn change(kind: Kind, requested: &[u32], plan: impl FnOnce([u32; 3], bool) -> [u32; 3]) -> Result<usize, Errno> {
    let process = task::current_process();
    let mut own = process.credentials.lock();
    let (numbers, capability) = match kind {
        Kind::User => (own.users, Capabilities::SET_USERS),
        Kind::Group => (own.groups, Capabilities::SET_GROUPS),
    };
    let privileged = own.capabilities.effective & capability != 0;
    let allowed = |number: &u32| privileged || *number == UNCHANGED || numbers.contains(number);
    if !requested.iter().all(allowed) {
        return Err(Errno::EPERM);
    }
    let new = plan(numbers, privileged);
    if new[1] != numbers[1] {
        process.settings.dumpable.store(false, Ordering::Relaxed);
    }
    match kind {
        Kind::User => {
            own.users = new;
            own.file_user = new[1];
            let keeps = process.settings.keeps_capabilities.load(Ordering::Relaxed);
            own.capabilities.follow(numbers, new, keeps);
        }
        Kind::Group => {
            own.groups = new;
            own.file_group = new[1];
        }
    }
    Ok(0)
}

fn set_one(kind: Kind, number: i32) -> Result<usize, Errno> {
    let number = number as u32;
    if number == UNCHANGED {
        return Err(Errno::EINVAL);
    }
    change(kind, &[number], |old, privileged| {
        if privileged {
            [number; 3]
        } else {
            [old[0], number, old[2]]
        }
    })
}

fn chosen(new: i32, old: u32) -> u32 {
    if new as u32 == UNCHANGED { old } else { new as u32 }
}

fn set_two(kind: Kind, real: i32, effective: i32) -> Result<usize, Errno> {
    change(kind, &[real as u32, effective as u32], |old, _| {
        let (new_real, new_effective) = (chosen(real, old[0]), chosen(effective, old[1]));
        let follows = real as u32 != UNCHANGED || (effective as u32 != UNCHANGED && new_effective != old[0]);
        [new_real, new_effective, if follows { new_effective } else { old[2] }]
    })
}

fn set_three(kind: Kind, new: [i32; 3]) -> Result<usize, Errno> {
    change(kind, &new.map(|number| number as u32), |old, _| {
        [chosen(new[0], old[0]), chosen(new[1], old[1]), chosen(new[2], old[2])]
    })
}

/// `setuid(2)`
pub fn setuid(user: i32) -> Result<usize, Errno> {
    set_one(Kind::User, user)
}

/// `setgid(2)`
pub fn setgid(group: i32) -> Result<usize, Errno> {
    set_one(Kind::Group, group)
}

/// `setreuid(2)`
pub fn setreuid(real: i32, effective: i32) -> Result<usize, Errno> {
    set_two(Kind::User, real, effective)
}

/// `setregid(2)`
pub fn setregid(real: i32, effective: i32) -> Result<usize, Errno> {
    set_two(Kind::Group, real, effective)
}

/// `setresuid(2)`
pub fn setresuid(real: i32, effective: i32, saved: i32) -> Result<usize, Errno> {
    set_three(Kind::User, [real, effective, saved])
}

/// `setresgid(2)`
pub fn setresgid(real: i32, effective: i32, saved: i32) -> Result<usize, Errno> {
    set_three(Kind::Group, [real, effective, saved])
}

/// Sets in whose name files are used. Gives what it was before, whether it was changed or not.
fn set_for_files(kind: Kind, number: i32) -> usize {
    let process = task::current_process();
    let mut own = process.credentials.lock();
    let (numbers, before, capability) = match kind {
        Kind::User => (own.users, own.file_user, Capabilities::SET_USERS),
        Kind::Group => (own.groups, own.file_group, Capabilities::SET_GROUPS),
    };
    let number = number as u32;
    let allowed = numbers.contains(&number) || number == before || own.capabilities.effective & capability != 0;
    if number == UNCHANGED || !allowed {
        return before as usize;
    }
    match kind {
        Kind::Group => own.file_group = number,
        Kind::User => {
            own.file_user = number;
            let sets = &mut own.capabilities;
            match (before == 0, number == 0) {
                (true, false) => sets.effective &= !Capabilities::OF_FILE_USER,
                (false, true) => sets.effective |= sets.permitted & Capabilities::OF_FILE_USER,
                _ => {}
            }
        }
    }
    before as usize
}

/// `setfsuid(2)`
pub fn setfsuid(user: i32) -> Result<usize, Errno> {
    Ok(set_for_files(Kind::User, user))
}

/// `setfsgid(2)`
pub fn setfsgid(group: i32) -> Result<usize, Errno> {
    Ok(set_for_files(Kind::Group, group))
}

/// `getgroups(2)`
pub fn getgroups(size: i32, list: UserPointer) -> Result<usize, Errno> {
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let groups = credentials(|own| own.supplementary.clone());
    if size != 0 {
        if size < groups.len() {
            return Err(Errno::EINVAL);
        }
        for (index, group) in groups.iter().enumerate() {
            write_object(list.offset(index as u64 * 4), group)?;
        }
    }
    Ok(groups.len())
}

/// `setgroups(2)`
pub fn setgroups(size: i32, list: UserPointer) -> Result<usize, Errno> {
    permission::require(Capabilities::SET_GROUPS)?;
    let size = usize::try_from(size)
        .ok()
        .filter(|&size| size <= MAXIMUM_GROUPS)
        .ok_or(Errno::EINVAL)?;
    let mut groups = Vec::new();
    groups.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
    for index in 0..size {
        groups.push(read_object::<u32>(list.offset(index as u64 * 4))?);
    }
    groups.sort_unstable();
    task::current_process().credentials.lock().supplementary = groups;
    Ok(0)
}
