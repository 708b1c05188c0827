//! Descriptors: opening, closing, duplicating and controlling them.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{AT_FDCWD, FileLock, OpenFlags, OpenHow, PATH_MAX};
use pith_linux::signal::Signal;

use pith_range_locks::{Range, RangeLock};

use super::threads::CloneFlags;
use crate::fs::file::OpenFile;
use crate::fs::metadata::BLOCK_SIZE;
use crate::fs::open::check_flags;
use crate::fs::path::Restrictions;
use crate::fs::permission::{self, Rights};
use crate::fs::{context, directory_signals, leases, locks, owner, pipe};
use crate::memory::{PAGE_SIZE, UserPointer, copy_from_user, read_object, read_string, write_object};
use crate::task::{self, jobs::Target};

fn open_path(directory: i32, path: UserPointer, flags: OpenFlags, mode: u32) -> Result<usize, Errno> {
    check_flags(flags)?;
    let path = read_string(path, PATH_MAX, Errno::ENAMETOOLONG)?;
    open_at(directory, &path, flags, mode, Restrictions::empty())
}

/// Opens a file under the lowest free descriptor (`openat(2)`).
pub(super) fn open_at(
    directory: i32,
    path: &[u8],
    flags: OpenFlags,
    mode: u32,
    restrictions: Restrictions,
) -> Result<usize, Errno> {
    let files = context::current();
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    // Before anything is made or truncated, as on Linux.
    files.check_room()?;
    let file = files.open(directory, path, flags, (mode & 0o7777) as u16, restrictions)?;
    files
        .add(file, flags.contains(OpenFlags::CLOSE_ON_EXEC), 0)
        .map(|fd| fd as usize)
}

/// `open(2)`
pub fn open(path: UserPointer, flags: u32, mode: u32) -> Result<usize, Errno> {
    open_path(AT_FDCWD, path, OpenFlags::from_bits_truncate(flags), mode)
}

/// `openat(2)`; like Linux, it ignores flags that it doesn't know.
pub fn openat(directory: i32, path: UserPointer, flags: u32, mode: u32) -> Result<usize, Errno> {
    open_path(directory, path, OpenFlags::from_bits_truncate(flags), mode)
}

/// `openat2(2)`: unlike `openat`, it refuses what it does not know.
pub fn openat2(directory: i32, path: UserPointer, how: UserPointer, size: usize) -> Result<usize, Errno> {
    let how = read_open_how(how, size)?;
    let (flags, restrictions) = check_open_how(&how)?;
    let path = read_string(path, PATH_MAX, Errno::ENAMETOOLONG)?;
    open_at(directory, &path, flags, how.mode as u32, restrictions)
}

/// What a newer program asks for in a structure, beyond what is known of it, has to be nothing.
///
/// # Errors
/// `E2BIG`, `EFAULT`.
pub(super) fn check_newer_part(pointer: UserPointer, known: usize, size: usize) -> Result<(), Errno> {
    let mut bytes = [0; 64];
    let mut position = known;
    while position < size {
        let part = &mut bytes[..(size - position).min(64)];
        copy_from_user(part, pointer.offset(position as u64))?;
        if part.iter().any(|&byte| byte != 0) {
            return Err(Errno::E2BIG);
        }
        position += part.len();
    }
    Ok(())
}

/// Reads a structure that may be longer than the one that is known; what is beyond must be zeroes then.
///
/// # Errors
/// `EINVAL`, `E2BIG`, `EFAULT`.
pub(super) fn read_open_how(pointer: UserPointer, size: usize) -> Result<OpenHow, Errno> {
    const KNOWN: usize = size_of::<OpenHow>();
    if size < KNOWN {
        return Err(Errno::EINVAL);
    }
    if size > PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    check_newer_part(pointer, KNOWN, size)?;
    read_object(pointer)
}

/// What is asked for, if all of it is known and fits together.
///
/// # Errors
/// `EINVAL`; `EAGAIN` for what `RESOLVE_CACHED` rules out.
pub(super) fn check_open_how(how: &OpenHow) -> Result<(OpenFlags, Restrictions), Errno> {
    let restrictions = Restrictions::from_bits(how.resolve).ok_or(Errno::EINVAL)?;
    if restrictions.contains(Restrictions::BENEATH | Restrictions::IN_ROOT) {
        return Err(Errno::EINVAL);
    }
    let flags = u32::try_from(how.flags).ok().and_then(OpenFlags::from_bits);
    let flags = flags.ok_or(Errno::EINVAL)?;
    let creates = flags.intersects(OpenFlags::CREATE | OpenFlags::TEMPORARY);
    if how.mode & !if creates { 0o7777 } else { 0 } != 0 {
        return Err(Errno::EINVAL);
    }
    let with_path = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NO_FOLLOW | OpenFlags::CLOSE_ON_EXEC;
    if flags.contains(OpenFlags::PATH) && !with_path.contains(flags) {
        return Err(Errno::EINVAL);
    }
    check_flags(flags)?;
    let changes = creates || flags.contains(OpenFlags::TRUNCATE);
    if restrictions.contains(Restrictions::CACHED) && changes {
        return Err(Errno::EAGAIN);
    }
    Ok((flags, restrictions))
}

/// `creat(2)`
pub fn creat(path: UserPointer, mode: u32) -> Result<usize, Errno> {
    open_path(
        AT_FDCWD,
        path,
        OpenFlags::CREATE | OpenFlags::WRITE_ONLY | OpenFlags::TRUNCATE,
        mode,
    )
}

/// `close(2)`
pub fn close(fd: i32) -> Result<usize, Errno> {
    context::current().close(fd)?;
    Ok(0)
}

/// `CLOSE_RANGE_UNSHARE` and `CLOSE_RANGE_CLOEXEC`
const CLOSE_RANGE_UNSHARE: u64 = 2;
const CLOSE_RANGE_CLOEXEC: u64 = 4;

/// `close_range(2)`
pub fn close_range(first: u32, last: u32, flags: u64) -> Result<usize, Errno> {
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL);
    }
    let files = context::current();
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        super::namespaces::unshare(CloneFlags::FILES.bits())?;
    }
    files.close_range(first, last, flags & CLOSE_RANGE_CLOEXEC != 0);
    Ok(0)
}

/// `dup(2)`
pub fn dup(fd: i32) -> Result<usize, Errno> {
    let files = context::current();
    files.add(files.file(fd)?, false, 0).map(|fd| fd as usize)
}

/// `dup2(2)`
pub fn dup2(old: i32, new: i32) -> Result<usize, Errno> {
    let files = context::current();
    let file = files.file(old)?;
    if old != new {
        files.replace(file, false, new)?;
    }
    Ok(new as usize)
}

/// `dup3(2)`
pub fn dup3(old: i32, new: i32, flags: u32) -> Result<usize, Errno> {
    if flags & !OpenFlags::CLOSE_ON_EXEC.bits() != 0 || old == new {
        return Err(Errno::EINVAL);
    }
    let files = context::current();
    files.replace(files.file(old)?, flags != 0, new)?;
    Ok(new as usize)
}

/// `pipe(2)`
pub fn pipe(descriptors: UserPointer) -> Result<usize, Errno> {
    pipe2(descriptors, 0)
}

/// `pipe2(2)`
pub fn pipe2(descriptors: UserPointer, flags: u32) -> Result<usize, Errno> {
    let known = OpenFlags::CLOSE_ON_EXEC | OpenFlags::NONBLOCKING | OpenFlags::DIRECT;
    let flags = OpenFlags::from_bits(flags)
        .filter(|flags| known.contains(*flags))
        .ok_or(Errno::EINVAL)?;
    let close_on_exec = flags.contains(OpenFlags::CLOSE_ON_EXEC);
    let files = context::current();
    let (reader, writer) = pipe::create(flags);
    let reader = files.add(reader, close_on_exec, 0)?;
    let writer = match files.add(writer, close_on_exec, 0) {
        Ok(writer) => writer,
        Err(errno) => {
            files.close(reader)?;
            return Err(errno);
        }
    };
    if let Err(errno) = write_object(descriptors, &[reader, writer]) {
        files.close(reader)?;
        files.close(writer)?;
        return Err(errno);
    }
    Ok(0)
}

const F_DUPFD: i32 = 0;
const F_GETFD: i32 = 1;
const F_SETFD: i32 = 2;
const F_GETFL: i32 = 3;
const F_SETFL: i32 = 4;
const F_GETLK: i32 = 5;
const F_SETLK: i32 = 6;
const F_SETLKW: i32 = 7;
const F_SETOWN: i32 = 8;
const F_GETOWN: i32 = 9;
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const F_GETOWNER_UIDS: i32 = 17;
const F_SETLEASE: i32 = 1024;
const F_GETLEASE: i32 = 1025;
const F_DUPFD_QUERY: i32 = 1027;
const F_NOTIFY: i32 = 1026;
const F_OFD_GETLK: i32 = 36;
const F_OFD_SETLK: i32 = 37;
const F_OFD_SETLKW: i32 = 38;
const F_DUPFD_CLOEXEC: i32 = 1030;
const F_SETPIPE_SZ: i32 = 1031;
const F_GETPIPE_SZ: i32 = 1032;
const F_ADD_SEALS: i32 = 1033;
const F_GET_SEALS: i32 = 1034;
const F_GET_RW_HINT: i32 = 1035;
const F_SET_RW_HINT: i32 = 1036;
/// The last of the hints how long data will live (`RWH_WRITE_LIFE_EXTREME`).
const LONGEST_LIFE: u64 = 5;

/// `fcntl(2)`
pub fn fcntl(fd: i32, command: i32, argument: u64) -> Result<usize, Errno> {
    let files = context::current();
    let file = files.file(fd)?;
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let from = argument as i32;
            let limit = task::current_process().limit(task::Limits::OPEN_FILES);
            let from = usize::try_from(from)
                .ok()
                .filter(|from| (*from as u64) < limit)
                .ok_or(Errno::EINVAL)?;
            files.add(file, command == F_DUPFD_CLOEXEC, from).map(|fd| fd as usize)
        }
        F_GETFD => files.close_on_exec(fd).map(usize::from),
        F_SETFD => {
            files.set_close_on_exec(fd, argument & 1 != 0)?;
            Ok(0)
        }
        // Programs of 64 bits always open large files, and are told so.
        F_GETFL if file.flags().contains(OpenFlags::PATH) => Ok(file.flags().bits() as usize),
        F_GETFL => Ok(file.flags().bits() as usize),
        F_DUPFD_QUERY => Ok(Arc::ptr_eq(&file, &files.file(argument as i32)?).into()),
        // A description that only names a file does nothing else.
        _ if file.file().is_err() => Err(Errno::EBADF),
        F_SETFL => {
            let mut flags = OpenFlags::from_bits_truncate(argument as u32);
            let new = flags - file.flags();
            let is_owner = || Rights::current().owns(file.inode.metadata().user);
            if new.contains(OpenFlags::NO_ACCESS_TIME) && !is_owner() {
                return Err(Errno::EPERM);
            }
            let in_packets = file.inode.kind() == FileKind::Fifo;
            if flags.contains(OpenFlags::DIRECT) && !in_packets && !file.file()?.can_be_direct() {
                return Err(Errno::EINVAL);
            }
            if (flags ^ file.flags()).contains(OpenFlags::ASYNCHRONOUS) {
                match file.file()?.notices() {
                    Some(_) => file.send_signals(flags.contains(OpenFlags::ASYNCHRONOUS), fd)?,
                    // Such files never send any, and keep what was said when they were opened.
                    None => flags ^= OpenFlags::ASYNCHRONOUS,
                }
            }
            file.set_flags(flags);
            Ok(0)
        }
        F_GETLK | F_OFD_GETLK => {
            let pointer = UserPointer(argument);
            let mut lock: FileLock = read_object(pointer)?;
            find_lock(&file, &mut lock, command == F_OFD_GETLK)?;
            write_object(pointer, &lock)?;
            Ok(0)
        }
        F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW => {
            let lock: FileLock = read_object(UserPointer(argument))?;
            let waits = matches!(command, F_SETLKW | F_OFD_SETLKW);
            let of_description = command >= F_OFD_SETLK;
            set_lock(&file, &lock, of_description, waits)?;
            let closed = || !matches!(context::current().file(fd), Ok(now) if Arc::ptr_eq(&now, &file));
            if lock.kind != FileLock::UNLOCK && !of_description && closed() {
                // Closed while it waited, when there was no lock yet to be given up.
                let kind = FileLock::UNLOCK;
                set_lock(&file, &FileLock { kind, ..lock }, false, false)?;
                return Err(Errno::EBADF);
            }
            Ok(0)
        }
        F_SETOWN => file.set_owner(owner::target_of(argument as i32)?).map(|()| 0),
        // A group is told as a negative number, which is no error.
        F_GETOWN => Ok(owner::number_of(owner_of_signals(&file)) as isize as usize),
        F_SETOWN_EX => {
            let wanted = read_object(UserPointer(argument))?;
            file.set_owner(owner::target_of_kind(wanted)?).map(|()| 0)
        }
        F_GETOWN_EX => {
            write_object(UserPointer(argument), &owner::kind_of(owner_of_signals(&file)))?;
            Ok(0)
        }
        F_GETOWNER_UIDS => {
            let users = file.known_notifier().map_or((0, 0), |notifier| notifier.users());
            write_object(UserPointer(argument), &[users.0, users.1])?;
            Ok(0)
        }
        F_SETSIG if argument > u64::from(Signal::MAXIMUM) => Err(Errno::EINVAL),
        F_SETSIG => {
            file.notifier().set_signal(argument as u8);
            Ok(0)
        }
        F_GETSIG => Ok(file.known_notifier().map_or(0, |notifier| notifier.signal().into())),
        F_GETPIPE_SZ => file.file()?.pipe_capacity(None),
        F_SETPIPE_SZ => file.file()?.pipe_capacity(Some(argument as u32 as usize)),
        F_GET_RW_HINT => {
            let hint = leases::write_hint(&*file.inode).ok_or(Errno::EINVAL)?;
            write_object(UserPointer(argument), &u64::from(hint.load(Ordering::Relaxed)))?;
            Ok(0)
        }
        F_SET_RW_HINT => {
            let hint: u64 = read_object(UserPointer(argument))?;
            let place = leases::write_hint(&*file.inode).filter(|_| hint <= LONGEST_LIFE);
            let place = place.ok_or(Errno::EINVAL)?;
            if !Rights::current().owns(file.inode.metadata().user) {
                return Err(Errno::EPERM);
            }
            place.store(hint as u8, Ordering::Relaxed);
            Ok(0)
        }
        F_GETLEASE => Ok(leases::get(&file) as usize),
        F_SETLEASE => leases::set(&file, fd, argument as i32).map(|()| 0),
        F_NOTIFY => directory_signals::watch(&file, fd, argument as u32).map(|()| 0),
        F_GET_SEALS => file.file()?.seals().map(|seals| seals as usize),
        F_ADD_SEALS => {
            if !file.writable() {
                return Err(Errno::EPERM);
            }
            file.file()?.add_seals(argument as u32)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// The bytes that a lock means.
///
/// # Errors
/// `EINVAL` for a range that starts before the file or an unknown kind of lock, `EOVERFLOW`.
fn range_of(lock: &FileLock, file: &OpenFile) -> Result<Range, Errno> {
    let base = match lock.whence {
        0 => 0,
        1 => file.position() as i64,
        2 => file.inode.metadata().size as i64,
        _ => return Err(Errno::EINVAL),
    };
    let start = base.checked_add(lock.start).ok_or(Errno::EOVERFLOW)?;
    let start = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
    let most = i64::MAX as u64;
    let range = match u64::try_from(lock.length) {
        Ok(0) => Range { start, last: most },
        Ok(length) if length - 1 > most - start => return Err(Errno::EOVERFLOW),
        Ok(length) => Range {
            start,
            last: start + length - 1,
        },
        // The bytes before.
        Err(_) => {
            let length = lock.length.unsigned_abs();
            Range {
                start: start.checked_sub(length).ok_or(Errno::EINVAL)?,
                last: start - 1,
            }
        }
    };
    match lock.kind {
        FileLock::READ | FileLock::WRITE | FileLock::UNLOCK => Ok(range),
        _ => Err(Errno::EINVAL),
    }
}

/// Whom a file tells by signals.
fn owner_of_signals(file: &OpenFile) -> Option<Target> {
    file.known_notifier().and_then(|notifier| notifier.told_owner())
}

fn owner_of(file: &OpenFile, of_description: bool) -> usize {
    if of_description {
        locks::description(file)
    } else {
        locks::process()
    }
}

/// Tells which lock is in the way of one (`F_GETLK`).
fn find_lock(file: &OpenFile, lock: &mut FileLock, of_description: bool) -> Result<(), Errno> {
    if !of_description && !matches!(lock.kind, FileLock::READ | FileLock::WRITE) {
        return Err(Errno::EINVAL);
    }
    let range = range_of(lock, file)?;
    if of_description && lock.process != 0 {
        return Err(Errno::EINVAL);
    }
    let owner = owner_of(file, of_description);
    let found = match lock.kind {
        // A description may ask for its own locks.
        FileLock::UNLOCK => locks::own_record(file, owner, range),
        kind => {
            let exclusive = kind == FileLock::WRITE;
            locks::record_in_the_way(
                file,
                &RangeLock {
                    owner,
                    range,
                    exclusive,
                },
            )
        }
    };
    let Some(found) = found else {
        lock.kind = FileLock::UNLOCK;
        return Ok(());
    };
    let Range { start, last } = found.range;
    *lock = FileLock {
        kind: if found.exclusive {
            FileLock::WRITE
        } else {
            FileLock::READ
        },
        whence: 0,
        start: start as i64,
        length: if last == i64::MAX as u64 {
            0
        } else {
            (last - start + 1) as i64
        },
        process: locks::process_of(found.owner).map_or(-1, |process| process as i32),
        ..*lock
    };
    Ok(())
}

/// Sets a lock or gives it up (`F_SETLK`, `F_SETLKW`).
fn set_lock(file: &OpenFile, lock: &FileLock, of_description: bool, waits: bool) -> Result<(), Errno> {
    let range = range_of(lock, file)?;
    let allowed = match lock.kind {
        FileLock::READ => file.readable(),
        FileLock::WRITE => file.writable(),
        _ => true,
    };
    if !allowed {
        return Err(Errno::EBADF);
    }
    if of_description && lock.process != 0 {
        return Err(Errno::EINVAL);
    }
    let owner = owner_of(file, of_description);
    match lock.kind {
        FileLock::UNLOCK => locks::unlock_record(file, owner, range),
        kind => {
            let exclusive = kind == FileLock::WRITE;
            locks::lock_record(
                file,
                RangeLock {
                    owner,
                    range,
                    exclusive,
                },
                !waits,
            )
        }
    }
}

const LOCK_SH: i32 = 1;
const LOCK_EX: i32 = 2;
const LOCK_NB: i32 = 4;
const LOCK_UN: i32 = 8;
const LOCK_MAND: i32 = 32;

/// `flock(2)`
pub fn flock(fd: i32, operation: i32) -> Result<usize, Errno> {
    // Locks that are not only advisory: Linux has given them up, and says nothing.
    if operation & LOCK_MAND != 0 {
        return Ok(0);
    }
    if !matches!(operation & !LOCK_NB, LOCK_SH | LOCK_EX | LOCK_UN) {
        return Err(Errno::EINVAL);
    }
    let file = context::current().file(fd)?;
    file.file()?;
    if operation & !LOCK_NB != LOCK_UN && !file.readable() && !file.writable() {
        return Err(Errno::EBADF);
    }
    match operation & !LOCK_NB {
        LOCK_SH => locks::lock(&file, false, operation & LOCK_NB != 0)?,
        LOCK_EX => locks::lock(&file, true, operation & LOCK_NB != 0)?,
        _ => locks::unlock(&file),
    }
    Ok(0)
}

const FIONBIO: u32 = 0x5421;
const FIOASYNC: u32 = 0x5452;
const FIOSETOWN: u32 = 0x8901;
const SIOCSPGRP: u32 = 0x8902;
const FIOGETOWN: u32 = 0x8903;
const SIOCGPGRP: u32 = 0x8904;
const FIONCLEX: u32 = 0x5450;
const FIOCLEX: u32 = 0x5451;
const FIONREAD: u32 = 0x541b;
const FIBMAP: u32 = 1;
const FIGETBSZ: u32 = 2;
const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
const FIOQSIZE: u32 = 0x5460;
const FICLONE: u32 = 0x4004_9409;
const FICLONERANGE: u32 = 0x4020_940d;

/// `ioctl(2)`
pub fn ioctl(fd: i32, request: i32, argument: UserPointer) -> Result<usize, Errno> {
    let files = context::current();
    let open = files.file(fd)?;
    let file = open.file()?;
    match request as u32 {
        FIOCLEX => files.set_close_on_exec(fd, true)?,
        FIONCLEX => files.set_close_on_exec(fd, false)?,
        FIONBIO | FIOASYNC => {
            let flag = if request as u32 == FIONBIO {
                OpenFlags::NONBLOCKING
            } else {
                OpenFlags::ASYNCHRONOUS
            };
            let on: i32 = read_object(argument)?;
            let mut flags = open.flags();
            if flag == OpenFlags::ASYNCHRONOUS && (on != 0) != flags.contains(flag) {
                open.send_signals(on != 0, fd)?;
            }
            flags.set(flag, on != 0);
            open.set_flags(flags);
        }
        FIOSETOWN | SIOCSPGRP if open.inode.kind() == FileKind::Socket => {
            open.set_owner(owner::target_of(read_object(argument)?)?)?;
        }
        FIOGETOWN | SIOCGPGRP if open.inode.kind() == FileKind::Socket => {
            write_object(argument, &owner::number_of(owner_of_signals(&open)))?;
        }
        FIGETBSZ => write_object(argument, &(BLOCK_SIZE as i32))?,
        // Where the blocks of a file are: nowhere.
        FIBMAP if open.is_regular() => {
            permission::require(task::Capabilities::RAW_INPUT_AND_OUTPUT)?;
            return Err(Errno::EINVAL);
        }
        FS_IOC_GETFLAGS if open.is_regular() || open.inode.kind() == FileKind::Directory => {
            write_object(argument, &0_u32)?; // none of them
        }
        FIOQSIZE => match open.inode.kind() {
            FileKind::Regular if !open.is_regular() => return Err(Errno::ENOTTY),
            FileKind::Regular | FileKind::Directory | FileKind::Symlink => {
                write_object(argument, &(open.inode.metadata().blocks * 512))?;
            }
            _ => return Err(Errno::ENOTTY),
        },
        FICLONE => return super::files::clone_file(argument.0 as i32, &open),
        // The range's first field is the descriptor.
        FICLONERANGE => return super::files::clone_file(read_object::<i64>(argument)? as i32, &open),
        FIONREAD if open.is_regular() => {
            // Cut off, as on Linux.
            write_object(argument, &(file.size().wrapping_sub(open.position()) as i32))?;
        }
        request => return file.control(request, argument),
    }
    Ok(0)
}
