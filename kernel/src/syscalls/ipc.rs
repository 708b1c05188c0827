//! Communication between processes: System V shared memory, semaphores and messages; POSIX message queues.

use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PATH_MAX};
use pith_linux::time::Timespec;

use crate::fs::ipc::{messages, queues, semaphores, shared_memory};
use crate::memory::{UserPointer, copy_from_user, copy_to_user, read_object, read_string, write_object};
use crate::task::{self, Instant};

/// `shmget(2)`
pub fn shmget(key: i32, size: usize, flags: i32) -> Result<usize, Errno> {
    shared_memory::get(key, size, flags).map(|id| id as usize)
}

/// `shmat(2)`
pub fn shmat(id: i32, address: u64, flags: i32) -> Result<usize, Errno> {
    shared_memory::attach(id, address, flags).map(|address| address as usize)
}

/// `shmdt(2)`
pub fn shmdt(address: u64) -> Result<usize, Errno> {
    shared_memory::detach(address).map(|()| 0)
}

/// `shmctl(2)`
pub fn shmctl(id: i32, command: i32, buffer: UserPointer) -> Result<usize, Errno> {
    shared_memory::control(id, command, buffer)
}

/// `semget(2)`
pub fn semget(key: i32, count: i32, flags: i32) -> Result<usize, Errno> {
    semaphores::get(key, count, flags).map(|id| id as usize)
}

/// `semop(2)`
pub fn semop(id: i32, operations: UserPointer, count: usize) -> Result<usize, Errno> {
    semaphores::operate(id, operations, count, None).map(|()| 0)
}

/// `semtimedop(2)`
pub fn semtimedop(id: i32, operations: UserPointer, count: usize, timeout: UserPointer) -> Result<usize, Errno> {
    let deadline = if timeout.is_null() {
        None
    } else {
        let time: Timespec = read_object(timeout)?;
        Some(task::monotonic().after(time.to_nanoseconds()?))
    };
    semaphores::operate(id, operations, count, deadline).map(|()| 0)
}

/// `semctl(2)`
pub fn semctl(id: i32, number: i32, command: i32, argument: u64) -> Result<usize, Errno> {
    semaphores::control(id, number, command, argument)
}

/// `msgget(2)`
pub fn msgget(key: i32, flags: i32) -> Result<usize, Errno> {
    messages::get(key, flags).map(|id| id as usize)
}

/// `msgsnd(2)`
pub fn msgsnd(id: i32, message: UserPointer, size: usize, flags: i32) -> Result<usize, Errno> {
    messages::send(id, message, size, flags).map(|()| 0)
}

/// `msgrcv(2)`
pub fn msgrcv(id: i32, buffer: UserPointer, size: usize, kind: i64, flags: i32) -> Result<usize, Errno> {
    messages::receive(id, buffer, size, kind, flags)
}

/// `msgctl(2)`
pub fn msgctl(id: i32, command: i32, buffer: UserPointer) -> Result<usize, Errno> {
    messages::control(id, command, buffer)
}

fn read_name(name: UserPointer) -> Result<alloc::vec::Vec<u8>, Errno> {
    read_string(name, PATH_MAX, Errno::ENAMETOOLONG)
}

/// A point of the wall clock as a deadline.
fn deadline_of(time: UserPointer) -> Result<Option<Instant>, Errno> {
    if time.is_null() {
        return Ok(None);
    }
    let time = read_object::<Timespec>(time)?.to_nanoseconds()?;
    let left = time.saturating_sub(task::wall_clock());
    Ok(Some(task::monotonic().after(left)))
}

/// `mq_open(3)`
pub fn mq_open(name: UserPointer, flags: u32, mode: u32, attributes: UserPointer) -> Result<usize, Errno> {
    let attributes = if attributes.is_null() {
        None
    } else {
        Some(read_object(attributes)?)
    };
    let name = read_name(name)?;
    let flags = OpenFlags::from_bits_truncate(flags);
    queues::open(&name, flags, mode as u16, attributes).map(|descriptor| descriptor as usize)
}

/// `mq_unlink(3)`
pub fn mq_unlink(name: UserPointer) -> Result<usize, Errno> {
    queues::unlink(&read_name(name)?).map(|()| 0)
}

/// `mq_timedsend(3)`
pub fn mq_timedsend(
    fd: i32,
    message: UserPointer,
    length: usize,
    priority: u32,
    timeout: UserPointer,
) -> Result<usize, Errno> {
    let deadline = deadline_of(timeout)?;
    queues::send(fd, length, priority, deadline, |bytes| copy_from_user(bytes, message))?;
    Ok(0)
}

/// `mq_timedreceive(3)`
pub fn mq_timedreceive(
    fd: i32,
    message: UserPointer,
    length: usize,
    priority: UserPointer,
    timeout: UserPointer,
) -> Result<usize, Errno> {
    let deadline = deadline_of(timeout)?;
    let (bytes, its_priority) = queues::receive(fd, length, deadline)?;
    if !priority.is_null() {
        write_object(priority, &its_priority)?;
    }
    copy_to_user(message, &bytes)?;
    Ok(bytes.len())
}

/// `mq_notify(3)`
pub fn mq_notify(fd: i32, event: UserPointer) -> Result<usize, Errno> {
    let event = if event.is_null() {
        None
    } else {
        Some(read_object(event)?)
    };
    queues::notify(fd, event).map(|()| 0)
}

/// `mq_getsetattr(2)`
pub fn mq_getsetattr(fd: i32, new: UserPointer, old: UserPointer) -> Result<usize, Errno> {
    let wanted = if new.is_null() { None } else { Some(read_object(new)?) };
    let before = queues::attributes(fd, wanted)?;
    if !old.is_null() {
        write_object(old, &before)?;
    }
    Ok(0)
}
