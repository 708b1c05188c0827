//! Who the process is: `getpid(2)`, `getuid(2)` and their relatives.
//!
//! The first process starts as the image says, else as root. What follows from what is in `pith_linux::credentials`. Each
//! thread has credentials of its own; libraries set them in all threads of a process.

use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_linux::Errno;
use pith_linux::credentials::{Capabilities, Credentials, Kind};

use crate::fs::permission;
use crate::memory::{UserPointer, read_object, write_object};
use crate::task;

/// Most supplementary groups (`NGROUPS_MAX`).
const MAXIMUM_GROUPS: usize = 65536;

fn credentials<T>(look: impl FnOnce(&Credentials) -> T) -> T {
    task::current().with_credentials(look)
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

/// The current thread becomes who a rule says.
fn become_of(rule: impl FnOnce(&Credentials) -> Result<Credentials, Errno>) -> Result<usize, Errno> {
    let new = credentials(rule)?;
    task::set_credentials(new);
    Ok(0)
}

fn set_one(kind: Kind, number: i32) -> Result<usize, Errno> {
    become_of(|own| own.set_one(kind, number as u32))
}

fn set_two(kind: Kind, real: i32, effective: i32) -> Result<usize, Errno> {
    become_of(|own| own.set_two(kind, real as u32, effective as u32))
}

fn set_three(kind: Kind, new: [i32; 3]) -> Result<usize, Errno> {
    become_of(|own| own.set_three(kind, new.map(|number| number as u32)))
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
    let (before, new) = credentials(|own| {
        let before = match kind {
            Kind::User => own.file_user,
            Kind::Group => own.file_group,
        };
        (before, own.set_for_files(kind, number as u32))
    });
    if let Some(new) = new {
        task::set_credentials(new);
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
    let own = task::credentials();
    let groups = own.supplementary();
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
        let group = read_object::<u32>(list.offset(index as u64 * 4))?;
        // That number is nobody's.
        if group == u32::MAX {
            return Err(Errno::EINVAL);
        }
        groups.push(group);
    }
    pith_sorted_map::sort_by_key(&mut groups, |group| *group);
    become_of(|own| {
        Ok(Credentials {
            supplementary: (!groups.is_empty()).then(|| Arc::new(groups)),
            ..own.clone()
        })
    })
}
