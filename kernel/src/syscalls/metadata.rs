//! What is known about files: `stat(2)`, `chmod(2)`, `utimensat(2)` and their relatives.

use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{AT_FDCWD, AtFlags, FileTime, PATH_MAX, Statx, StatxTime};
use pith_linux::inotify::FileEvents;

use crate::fs::inode::Inode;
use crate::fs::metadata::{AttributeChange, Timestamp};
use crate::fs::path;
use crate::fs::permission::{Access, Rights};
use crate::fs::{context, mounts, notify};
use crate::memory::{UserPointer, read_object, read_string, write_object};

pub(super) fn known_flags(flags: i32, known: AtFlags) -> Result<AtFlags, Errno> {
    AtFlags::from_bits(flags as u32)
        .filter(|flags| known.contains(*flags))
        .ok_or(Errno::EINVAL)
}

/// The file of a descriptor; with [`AT_FDCWD`], the working directory.
pub(super) fn of_descriptor(fd: i32) -> Result<Arc<dyn Inode>, Errno> {
    if fd == AT_FDCWD {
        return Ok(context::current().working_directory());
    }
    Ok(context::current().file(fd)?.inode.clone())
}

/// The file that a directory, a path and flags mean together.
pub(super) fn find(directory: i32, path: UserPointer, flags: AtFlags) -> Result<Arc<dyn Inode>, Errno> {
    find_path(directory, &path_or_empty(path, flags.bits() as i32)?, flags)
}

pub(super) fn find_path(directory: i32, path: &[u8], flags: AtFlags) -> Result<Arc<dyn Inode>, Errno> {
    if flags.contains(AtFlags::EMPTY_PATH) && path.is_empty() {
        return of_descriptor(directory);
    }
    context::current().find(directory, path, !flags.contains(AtFlags::SYMLINK_NOFOLLOW))
}

/// `stat(2)`
pub fn stat(path: UserPointer, status: UserPointer) -> Result<usize, Errno> {
    write_object(status, &find(AT_FDCWD, path, AtFlags::empty())?.metadata().stat())?;
    Ok(0)
}

/// `lstat(2)`
pub fn lstat(path: UserPointer, status: UserPointer) -> Result<usize, Errno> {
    write_object(
        status,
        &find(AT_FDCWD, path, AtFlags::SYMLINK_NOFOLLOW)?.metadata().stat(),
    )?;
    Ok(0)
}

/// `fstat(2)`
pub fn fstat(fd: i32, status: UserPointer) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    write_object(status, &file.inode.metadata().stat())?;
    Ok(0)
}

/// `fstatat(2)`
pub fn newfstatat(directory: i32, path: UserPointer, status: UserPointer, flags: i32) -> Result<usize, Errno> {
    let path = path_or_empty(path, flags);
    let flags = known_flags(flags_of_status(directory, &path, flags), STATUS_FLAGS)?;
    write_object(status, &find_path(directory, &path?, flags)?.metadata().stat())?;
    Ok(0)
}

/// The flags of `fstatat(2)` and `statx(2)`.
const STATUS_FLAGS: AtFlags = AtFlags::SYMLINK_NOFOLLOW
    .union(AtFlags::NO_AUTOMOUNT)
    .union(AtFlags::EMPTY_PATH)
    .union(AtFlags::STATX_DONT_SYNC)
    .union(AtFlags::STATX_FORCE_SYNC);

/// The flags that count. If a descriptor itself is meant, those that nobody knows do not, as on Linux.
fn flags_of_status(directory: i32, path: &Result<Vec<u8>, Errno>, flags: i32) -> i32 {
    let known = AtFlags::from_bits_retain(flags as u32) & STATUS_FLAGS;
    let is_empty = path.as_ref().is_ok_and(Vec::is_empty);
    match directory >= 0 && is_empty && known.contains(AtFlags::EMPTY_PATH) {
        true => known.bits() as i32,
        false => flags,
    }
}

/// `statx(2)`
pub fn statx(directory: i32, path: UserPointer, flags: i32, mask: u64, buffer: UserPointer) -> Result<usize, Errno> {
    let path = path_or_empty(path, flags);
    let flags = flags_of_status(directory, &path, flags);
    status_flags(flags, mask)?; // before what is wrong with the path is told
    extended_status(directory, &path?, flags, mask, buffer)
}

/// The path of a call that may take an empty one: newer C libraries pass NULL for it.
pub(super) fn path_or_empty(path: UserPointer, flags: i32) -> Result<Vec<u8>, Errno> {
    if path.is_null() && AtFlags::from_bits_retain(flags as u32).contains(AtFlags::EMPTY_PATH) {
        return Ok(Vec::new());
    }
    read_string(path, PATH_MAX, Errno::ENAMETOOLONG)
}

fn status_flags(flags: i32, mask: u64) -> Result<AtFlags, Errno> {
    let flags = known_flags(flags, STATUS_FLAGS)?;
    if mask as u32 & Statx::RESERVED != 0 || flags.contains(AtFlags::STATX_DONT_SYNC | AtFlags::STATX_FORCE_SYNC) {
        return Err(Errno::EINVAL);
    }
    Ok(flags)
}

/// What is known about a file (`statx(2)`).
pub(super) fn extended_status(
    directory: i32,
    path: &[u8],
    flags: i32,
    mask: u64,
    buffer: UserPointer,
) -> Result<usize, Errno> {
    let flags = status_flags(flags, mask)?;
    let inode = find_path(directory, path, flags)?;
    let mut status = inode.metadata().statx();
    if mask as u32 & Statx::CREATED == 0 {
        status.mask &= !Statx::CREATED;
        status.created = StatxTime::default();
    }
    if let Some(mount) = inode.mount() {
        let unique = mask as u32 & Statx::UNIQUE_MOUNT != 0;
        status.mask |= if unique { Statx::UNIQUE_MOUNT } else { Statx::MOUNT };
        status.mount = if unique {
            mount.unique_number()
        } else {
            mount.number.into()
        };
        if mount.is_top(&*inode) {
            status.attributes |= Statx::MOUNT_ROOT;
        }
    }
    write_object(buffer, &status)?;
    Ok(0)
}

/// `struct ustat`
#[derive(Clone, Copy, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C)]
struct OldStatistics {
    free_blocks: i32,
    padding: u32,
    free_files: u64,
    name: [u8; 12],
    end: [u8; 4],
}

/// `ustat(2)`: what is free on the file system of a device.
pub fn ustat(device: i32, buffer: UserPointer) -> Result<usize, Errno> {
    let of_device =
        |mount: &Arc<mounts::Mount>| mount.super_block.file_system.device().encode() == u64::from(device as u32);
    let mounted = mounts::list().into_iter().find(of_device).ok_or(Errno::EINVAL)?;
    let statistics = mounted.super_block.file_system.statistics();
    let answer = OldStatistics {
        free_blocks: statistics.free as i32,
        padding: 0,
        free_files: statistics.files_free,
        name: [0; 12],
        end: [0; 4],
    };
    write_object(buffer, &answer)?;
    Ok(0)
}

/// `access(2)`
pub fn access(path: UserPointer, mode: i32) -> Result<usize, Errno> {
    check_access(AT_FDCWD, path, mode, AtFlags::empty())
}

/// `faccessat(2)` as the kernel has it: without flags.
pub fn faccessat(directory: i32, path: UserPointer, mode: i32) -> Result<usize, Errno> {
    check_access(directory, path, mode, AtFlags::empty())
}

/// `faccessat2(2)`
pub fn faccessat2(directory: i32, path: UserPointer, mode: i32, flags: i32) -> Result<usize, Errno> {
    // The bit of "with the effective identity" is that of `unlinkat`'s "remove a directory".
    let known = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::REMOVE_DIRECTORY;
    check_access(directory, path, mode, known_flags(flags, known)?)
}

/// Checks what may be done: in the name of the real user and group, or of the effective ones on demand.
fn check_access(directory: i32, path: UserPointer, mode: i32, flags: AtFlags) -> Result<usize, Errno> {
    if !(0..=7).contains(&mode) {
        return Err(Errno::EINVAL);
    }
    // The bit of "with the effective identity" is that of `unlinkat`'s "remove a directory".
    let rights = match flags.contains(AtFlags::REMOVE_DIRECTORY) {
        true => Rights::current(),
        false => Rights::real(),
    };
    let path = path_or_empty(path, flags.bits() as i32)?;
    let inode = if flags.contains(AtFlags::EMPTY_PATH) && path.is_empty() {
        of_descriptor(directory)?
    } else {
        let mut origin = context::current().origin(directory, &path)?;
        origin.rights = rights.clone();
        path::find(&origin, &path, !flags.contains(AtFlags::SYMLINK_NOFOLLOW))?
    };
    let access = Access::from_bits_truncate(mode as u16);
    let regular = inode.kind() == FileKind::Regular;
    if access.contains(Access::EXECUTE) && regular && mounts::forbids_code(&*inode) {
        return Err(Errno::EACCES);
    }
    rights.check(&*inode, access)?;
    if access.contains(Access::WRITE) && (regular || inode.kind() == FileKind::Directory) {
        mounts::check_writable(&*inode)?;
    }
    Ok(0)
}

/// Changes metadata, and tells those who watch the file.
fn change(inode: &Arc<dyn Inode>, change: AttributeChange) -> Result<(), Errno> {
    inode.change(change)?;
    if notify::anybody() {
        let times = (change.accessed.is_some(), change.modified.is_some());
        let others = change.permissions.is_some() || change.user.is_some() || change.group.is_some();
        let mut events = FileEvents::empty();
        events.set(FileEvents::ATTRIBUTES, others || times == (true, true));
        events.set(FileEvents::ACCESS, times == (true, false));
        events.set(FileEvents::MODIFY, times == (false, true));
        notify::happened(&**inode, events);
    }
    Ok(())
}

fn set_mode(inode: &Arc<dyn Inode>, mode: u32) -> Result<usize, Errno> {
    if inode.kind() == FileKind::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    mounts::check_writable(&**inode)?;
    inode.may_be_changed()?;
    let (rights, file) = (Rights::current(), inode.metadata());
    if !rights.owns(file.user) {
        return Err(Errno::EPERM);
    }
    change(
        inode,
        AttributeChange {
            permissions: Some(rights.allowed_mode(file.group, (mode & 0o7777) as u16)),
            ..AttributeChange::default()
        },
    )?;
    Ok(0)
}

/// `chmod(2)`
pub fn chmod(path: UserPointer, mode: u32) -> Result<usize, Errno> {
    set_mode(&find(AT_FDCWD, path, AtFlags::empty())?, mode)
}

/// `fchmod(2)`
pub fn fchmod(fd: i32, mode: u32) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    file.file()?;
    set_mode(&file.inode, mode)
}

/// `fchmodat(2)` as the kernel has it: without flags.
pub fn fchmodat(directory: i32, path: UserPointer, mode: u32) -> Result<usize, Errno> {
    set_mode(&find(directory, path, AtFlags::empty())?, mode)
}

/// `fchmodat2(2)`
pub fn fchmodat2(directory: i32, path: UserPointer, mode: u32, flags: i32) -> Result<usize, Errno> {
    let flags = known_flags(flags, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)?;
    set_mode(&find(directory, path, flags)?, mode)
}

fn set_owner(inode: &Arc<dyn Inode>, user: i32, group: i32) -> Result<usize, Errno> {
    let id = |id: i32| (id != -1).then_some(id as u32);
    mounts::check_writable(&**inode)?;
    inode.may_be_changed()?;
    Rights::current().check_owner(&**inode, id(user), id(group))?;
    change(
        inode,
        AttributeChange {
            is_of_owner: true,
            user: id(user),
            group: id(group),
            ..AttributeChange::default()
        },
    )?;
    Ok(0)
}

/// `chown(2)`
pub fn chown(path: UserPointer, user: i32, group: i32) -> Result<usize, Errno> {
    set_owner(&find(AT_FDCWD, path, AtFlags::empty())?, user, group)
}

/// `lchown(2)`
pub fn lchown(path: UserPointer, user: i32, group: i32) -> Result<usize, Errno> {
    set_owner(&find(AT_FDCWD, path, AtFlags::SYMLINK_NOFOLLOW)?, user, group)
}

/// `fchown(2)`
pub fn fchown(fd: i32, user: i32, group: i32) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    file.file()?;
    set_owner(&file.inode, user, group)
}

/// `fchownat(2)`
pub fn fchownat(directory: i32, path: UserPointer, user: i32, group: i32, flags: i32) -> Result<usize, Errno> {
    let flags = known_flags(flags, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)?;
    set_owner(&find(directory, path, flags)?, user, group)
}

/// `umask(2)`
pub fn umask(mask: u32) -> Result<usize, Errno> {
    Ok(context::current().set_mask(mask as u16).into())
}

/// `statfs(2)`
pub fn statfs(path: UserPointer, buffer: UserPointer) -> Result<usize, Errno> {
    write_object(buffer, &mounts::statistics(&*find(AT_FDCWD, path, AtFlags::empty())?))?;
    Ok(0)
}

/// `fstatfs(2)`
pub fn fstatfs(fd: i32, buffer: UserPointer) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    write_object(buffer, &mounts::statistics(&*file.inode))?;
    Ok(0)
}

/// The file whose times are to be set.
fn subject_of_times(directory: i32, path: UserPointer, flags: AtFlags) -> Result<Arc<dyn Inode>, Errno> {
    // `futimens(3)` passes no path at all: the descriptor's own file.
    if path.is_null() && directory != AT_FDCWD {
        if !flags.is_empty() {
            return Err(Errno::EINVAL);
        }
        let file = context::current().file(directory)?;
        file.file()?;
        return Ok(file.inode.clone());
    }
    find(directory, path, flags)
}

/// Sets times. To set both to the present is allowed to everybody who may write the file.
fn set_times(
    inode: &Arc<dyn Inode>,
    accessed: Option<Timestamp>,
    modified: Option<Timestamp>,
    present: bool,
) -> Result<usize, Errno> {
    mounts::check_writable(&**inode)?;
    let rights = Rights::current();
    if !rights.owns(inode.metadata().user) {
        match present {
            true => rights.check(&**inode, Access::WRITE)?,
            false => {
                inode.may_be_changed()?;
                return Err(Errno::EPERM);
            }
        }
    }
    inode.may_be_changed()?;
    change(
        inode,
        AttributeChange {
            accessed,
            modified,
            ..AttributeChange::default()
        },
    )?;
    Ok(0)
}

fn chosen_time(time: FileTime) -> Result<Option<Timestamp>, Errno> {
    match time.nanoseconds {
        FileTime::NOW => Ok(Some(Timestamp::now())),
        FileTime::OMIT => Ok(None),
        nanoseconds @ 0..1_000_000_000 => Ok(Some(Timestamp {
            seconds: time.seconds,
            nanoseconds: nanoseconds as u32,
        })),
        _ => Err(Errno::EINVAL),
    }
}

/// `utimensat(2)`
pub fn utimensat(directory: i32, path: UserPointer, times: UserPointer, flags: i32) -> Result<usize, Errno> {
    let times = if times.is_null() {
        None
    } else {
        let times: [FileTime; 2] = read_object(times)?;
        // Then not even the flags and the path are looked at.
        if times.iter().all(|time| time.nanoseconds == FileTime::OMIT) {
            return Ok(0);
        }
        Some(times)
    };
    let flags = known_flags(flags, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)?;
    let inode = subject_of_times(directory, path, flags)?;
    let (accessed, modified) = match times {
        Some([accessed, modified]) => (chosen_time(accessed)?, chosen_time(modified)?),
        None => {
            let now = Timestamp::now();
            (Some(now), Some(now))
        }
    };
    let now = |time: FileTime| time.nanoseconds == FileTime::NOW;
    let present = times.is_none_or(|times| times.into_iter().all(now));
    set_times(&inode, accessed, modified, present)
}

/// Both times of `utimes(2)`, in seconds and microseconds.
fn times_in_microseconds(times: UserPointer) -> Result<(Timestamp, Timestamp), Errno> {
    if times.is_null() {
        let now = Timestamp::now();
        return Ok((now, now));
    }
    let times: [FileTime; 2] = read_object(times)?;
    let time = |time: FileTime| match time.nanoseconds {
        microseconds @ 0..1_000_000 => Ok(Timestamp {
            seconds: time.seconds,
            nanoseconds: microseconds as u32 * 1000,
        }),
        _ => Err(Errno::EINVAL),
    };
    Ok((time(times[0])?, time(times[1])?))
}

/// `utimes(2)`
pub fn utimes(path: UserPointer, times: UserPointer) -> Result<usize, Errno> {
    futimesat(AT_FDCWD, path, times)
}

/// `futimesat(2)`
pub fn futimesat(directory: i32, path: UserPointer, times: UserPointer) -> Result<usize, Errno> {
    let (accessed, modified) = times_in_microseconds(times)?;
    let inode = subject_of_times(directory, path, AtFlags::empty())?;
    set_times(&inode, Some(accessed), Some(modified), times.is_null())
}

/// `utime(2)`
pub fn utime(path: UserPointer, times: UserPointer) -> Result<usize, Errno> {
    let (accessed, modified) = if times.is_null() {
        (Timestamp::now(), Timestamp::now())
    } else {
        let seconds: [i64; 2] = read_object(times)?;
        let time = |seconds| Timestamp {
            seconds,
            nanoseconds: 0,
        };
        (time(seconds[0]), time(seconds[1]))
    };
    let inode = subject_of_times(AT_FDCWD, path, AtFlags::empty())?;
    set_times(&inode, Some(accessed), Some(modified), times.is_null())
}
