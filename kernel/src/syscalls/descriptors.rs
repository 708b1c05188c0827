//! Descriptors: opening, closing, duplicating and controlling them.

use pith_linux::Errno;
use pith_linux::files::{AT_FDCWD, FileLock, OpenFlags, PATH_MAX};

use crate::fs::{context, locks, pipe};
use crate::memory::{UserPointer, read_object, read_string, write_object};
use crate::task;

fn open_path(directory: i32, path: UserPointer, flags: OpenFlags, mode: u32) -> Result<usize, Errno> {
    let path = read_string(path, PATH_MAX, Errno::ENAMETOOLONG)?;
    open_at(directory, &path, flags, mode)
}

/// Opens a file under the lowest free descriptor (`openat(2)`).
pub(super) fn open_at(directory: i32, path: &[u8], flags: OpenFlags, mode: u32) -> Result<usize, Errno> {
    let files = context::current();
    // Before anything is made or truncated, as on Linux.
    files.check_room()?;
    let file = files.open(directory, path, flags, (mode & 0o7777) as u16)?;
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
    // The process's descriptors are shared with nobody.
    context::current().close_range(first, last, flags & CLOSE_RANGE_CLOEXEC != 0);
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
    let known = OpenFlags::CLOSE_ON_EXEC | OpenFlags::NONBLOCKING;
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
const F_OFD_GETLK: i32 = 36;
const F_OFD_SETLK: i32 = 37;
const F_OFD_SETLKW: i32 = 38;
const F_DUPFD_CLOEXEC: i32 = 1030;
const F_SETPIPE_SZ: i32 = 1031;
const F_GETPIPE_SZ: i32 = 1032;
const F_ADD_SEALS: i32 = 1033;
const F_GET_SEALS: i32 = 1034;

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
        // A description that only names a file does nothing else.
        _ if file.file().is_err() => Err(Errno::EBADF),
        F_SETFL => {
            file.set_flags(OpenFlags::from_bits_truncate(argument as u32));
            Ok(0)
        }
        F_GETLK | F_OFD_GETLK => {
            let pointer = UserPointer(argument);
            let mut lock: FileLock = read_object(pointer)?;
            check_lock(&lock, &file, false)?;
            // Locks of the only process are never in its own way.
            lock.kind = FileLock::UNLOCK;
            write_object(pointer, &lock)?;
            Ok(0)
        }
        F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW => {
            let lock: FileLock = read_object(UserPointer(argument))?;
            check_lock(&lock, &file, true)?;
            if command >= F_OFD_SETLK && lock.process != 0 {
                return Err(Errno::EINVAL);
            }
            Ok(0)
        }
        F_SETOWN => Ok(0),
        F_GETOWN => Ok(0),
        F_GETPIPE_SZ => file.file()?.pipe_capacity(None),
        F_SETPIPE_SZ => {
            let bytes = usize::try_from(argument as i32).map_err(|_| Errno::EINVAL)?;
            file.file()?.pipe_capacity(Some(bytes))
        }
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

/// Refuses a lock that could never be had: wrong kind or range, or a file that is not open for it.
fn check_lock(lock: &FileLock, file: &crate::fs::file::OpenFile, set: bool) -> Result<(), Errno> {
    let base = match lock.whence {
        0 => 0,
        1 => file.position() as i64,
        2 => file.file()?.size() as i64,
        _ => return Err(Errno::EINVAL),
    };
    let start = base.checked_add(lock.start).ok_or(Errno::EOVERFLOW)?;
    let other_end = start.checked_add(lock.length).ok_or(Errno::EOVERFLOW)?;
    if start < 0 || other_end < 0 {
        return Err(Errno::EINVAL);
    }
    match lock.kind {
        FileLock::READ if set && !file.readable() => Err(Errno::EBADF),
        FileLock::WRITE if set && !file.writable() => Err(Errno::EBADF),
        FileLock::READ | FileLock::WRITE => Ok(()),
        FileLock::UNLOCK if set => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

const LOCK_SH: i32 = 1;
const LOCK_EX: i32 = 2;
const LOCK_NB: i32 = 4;
const LOCK_UN: i32 = 8;

/// `flock(2)`
pub fn flock(fd: i32, operation: i32) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    file.file()?;
    match operation & !LOCK_NB {
        LOCK_SH => locks::lock(&file, false, operation & LOCK_NB != 0)?,
        LOCK_EX => locks::lock(&file, true, operation & LOCK_NB != 0)?,
        LOCK_UN => locks::unlock(&file),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

const FIONBIO: u32 = 0x5421;
const FIOASYNC: u32 = 0x5452;
const FIONCLEX: u32 = 0x5450;
const FIOCLEX: u32 = 0x5451;
const FIONREAD: u32 = 0x541b;

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
            flags.set(flag, on != 0);
            open.set_flags(flags);
        }
        FIONREAD if open.inode.kind() == pith_erofs::FileKind::Regular => {
            let rest = file.size().saturating_sub(open.position());
            write_object(argument, &(rest.min(i32::MAX as u64) as i32))?;
        }
        request => return file.control(request, argument),
    }
    Ok(0)
}
