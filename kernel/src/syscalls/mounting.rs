//! What is mounted where: `mount(2)`, `umount2(2)`, `pivot_root(2)`.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{AT_FDCWD, PATH_MAX};
use pith_linux::mounts::{MountFlags, UnmountFlags};

use super::paths::read_path;
use crate::fs::inode::Inode;
use crate::fs::mounts::{self, Subject};
use crate::fs::{context, permission};
use crate::memory::{PAGE_SIZE, UserPointer, copy_from_user, read_string};
use crate::task::Capabilities;

/// A string that may be missing.
fn optional_string(from: UserPointer) -> Result<Option<Vec<u8>>, Errno> {
    match from.is_null() {
        true => Ok(None),
        false => read_string(from, PAGE_SIZE, Errno::EINVAL).map(Some),
    }
}

/// The options of a file system: what lies in memory up to a NUL, or to where it ends, at most a page.
fn read_options(from: UserPointer) -> Result<Vec<u8>, Errno> {
    if from.is_null() {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(PAGE_SIZE).map_err(|_| Errno::ENOMEM)?;
    while bytes.len() < PAGE_SIZE - 1 {
        let mut byte = [0];
        match copy_from_user(&mut byte, from.offset(bytes.len() as u64)) {
            Err(errno) if bytes.is_empty() => return Err(errno),
            Ok(()) if byte != [0] => bytes.extend(byte),
            _ => break,
        }
    }
    Ok(bytes)
}

fn find(path: &[u8], follow: bool) -> Result<Arc<dyn Inode>, Errno> {
    context::current().find(AT_FDCWD, path, follow)
}

/// `mount(2)`
pub fn mount(
    source: UserPointer,
    target: UserPointer,
    kind: UserPointer,
    flags: u64,
    data: UserPointer,
) -> Result<usize, Errno> {
    let kind = optional_string(kind)?;
    let source = optional_string(source)?;
    let options = read_options(data)?;
    let point = find(&read_path(target)?, true)?;
    let flags = MountFlags::of_call(flags);
    if flags.contains(MountFlags::KERNEL_ONLY) {
        return Err(Errno::EINVAL);
    }
    permission::require(Capabilities::ADMINISTRATION)?;
    let recursive = flags.contains(MountFlags::RECURSIVE);
    if flags.contains(MountFlags::REMOUNT) {
        let subject = Subject::of(&*point)?;
        match flags.contains(MountFlags::BIND) {
            true => mounts::change_mount(&subject, flags)?,
            false => mounts::change_file_system(&subject, flags, &options)?,
        }
    } else if flags.contains(MountFlags::BIND) {
        let source = source.filter(|source| !source.is_empty()).ok_or(Errno::EINVAL)?;
        mounts::bind(&find(&source, true)?, point, recursive)?;
    } else if flags.intersects(MountFlags::PROPAGATION) {
        let subject = Subject::of(&*point)?;
        mounts::set_propagation(&subject, flags.propagation()?, recursive)?;
    } else if flags.contains(MountFlags::MOVE) {
        let source = source.filter(|source| !source.is_empty()).ok_or(Errno::EINVAL)?;
        let from = find(&source, true)?;
        mounts::move_mount(&Subject::of(&*from)?, point)?;
    } else {
        let kind = kind.ok_or(Errno::EINVAL)?;
        let source = match &source {
            Some(source) => String::from_utf8_lossy(source),
            None => "none".into(),
        };
        mounts::mount_new(&source, &kind, point, flags, &options)?;
    }
    Ok(0)
}

/// `umount2(2)`
pub fn umount2(target: UserPointer, flags: i32) -> Result<usize, Errno> {
    let flags = UnmountFlags::from_bits(flags as u32).ok_or(Errno::EINVAL)?;
    let at_once = flags.intersects(UnmountFlags::FORCE | UnmountFlags::DETACH);
    let inode = find(&read_path(target)?, !flags.contains(UnmountFlags::NO_FOLLOW))?;
    permission::require(Capabilities::ADMINISTRATION)?;
    let subject = Subject::of(&*inode)?;
    drop(inode); // it may keep the mount in use
    if flags.contains(UnmountFlags::EXPIRE) {
        if !at_once {
            crate::warning_once!("umount2(MNT_EXPIRE) answers EINVAL: nobody notes when a mount was used");
        }
        return Err(Errno::EINVAL);
    }
    if !flags.contains(UnmountFlags::DETACH)
        && let Some(answer) = mounts::take_root_away(&subject)
    {
        return answer.map(|()| 0);
    }
    mounts::unmount(subject, flags)?;
    Ok(0)
}

/// `pivot_root(2)`
pub fn pivot_root(new: UserPointer, old: UserPointer) -> Result<usize, Errno> {
    permission::require(Capabilities::ADMINISTRATION)?;
    let directory = |path: UserPointer| {
        let inode = find(&read_string(path, PATH_MAX, Errno::ENAMETOOLONG)?, true)?;
        match inode.kind() {
            FileKind::Directory => Ok(inode),
            _ => Err(Errno::ENOTDIR),
        }
    };
    let new = directory(new)?;
    mounts::pivot(&new, directory(old)?)?;
    Ok(0)
}
