//! Memory of a process by its number: `process_vm_readv(2)` and `process_vm_writev(2)`. Debuggers and sanitizers use them on
//! their own process as well, to read what may not be mapped without a signal.

use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_linux::Errno;

use crate::memory::{AddressSpace, Destination, Frame, IoSlice, PAGE_SIZE, Protection, Purpose, Source, UserPointer};
use crate::syscalls::files;
use crate::task::{Looker, find_process, find_thread, may_look_into};

/// Pieces here and there, and where there is.
type Arguments = (Vec<IoSlice>, Vec<IoSlice>, Arc<AddressSpace>);

/// What both calls check first.
fn arguments(
    pid: i32,
    local: (UserPointer, usize),
    remote: (UserPointer, usize),
    flags: u64,
) -> Result<Arguments, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let count = |count: usize| i32::try_from(count).map_err(|_| Errno::EINVAL);
    let local = files::pieces(local.0, count(local.1)?)?;
    let remote = files::pieces(remote.0, count(remote.1)?)?;
    let number = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    let process = find_thread(number).map(|thread| thread.process.clone());
    let process = process.or_else(|| find_process(number)).ok_or(Errno::ESRCH)?;
    if process.family.has_ended() {
        return Err(Errno::ESRCH);
    }
    if !may_look_into(&process, Looker::Real) {
        return Err(Errno::EPERM);
    }
    Ok((local, remote, process.address_space()))
}

/// Calls `step` (address, length) for each page or part of one of some pieces, until it has moved less than that.
/// Returns how much was moved.
///
/// # Errors
/// That of the first step, if it moved nothing.
fn each_part(pieces: &[IoSlice], mut step: impl FnMut(u64, usize) -> Result<usize, Errno>) -> Result<usize, Errno> {
    let mut moved = 0;
    for piece in pieces {
        let mut done = 0;
        while done < piece.length {
            let address = piece.address + done as u64;
            let length = (PAGE_SIZE - address as usize % PAGE_SIZE).min(piece.length - done);
            match step(address, length) {
                Ok(0) => return Ok(moved),
                Ok(count) => {
                    moved += count;
                    done += count;
                    if count < length {
                        return Ok(moved);
                    }
                }
                Err(errno) if moved == 0 => return Err(errno),
                Err(_) => return Ok(moved),
            }
        }
    }
    Ok(moved)
}

/// `process_vm_readv(2)`
pub fn process_vm_readv(
    pid: i32,
    local: UserPointer,
    local_count: usize,
    remote: UserPointer,
    remote_count: usize,
    flags: u64,
) -> Result<usize, Errno> {
    let (local, remote, space) = arguments(pid, (local, local_count), (remote, remote_count), flags)?;
    let buffer = Frame::zeroed(Purpose::User).ok_or(Errno::ENOMEM)?;
    let mut to = Destination::program(&local);
    each_part(&remote, |address, length| {
        let wanted = length.min(to.remaining());
        if wanted == 0 {
            return Ok(0);
        }
        if !space.permits(address, Protection::READ) {
            return Err(Errno::EFAULT);
        }
        let read = space.copy_to_frame(&buffer, address, wanted);
        if read == 0 {
            return Err(Errno::EFAULT);
        }
        to.put_frame(&buffer, 0, read)
    })
}

/// `process_vm_writev(2)`
pub fn process_vm_writev(
    pid: i32,
    local: UserPointer,
    local_count: usize,
    remote: UserPointer,
    remote_count: usize,
    flags: u64,
) -> Result<usize, Errno> {
    let (local, remote, space) = arguments(pid, (local, local_count), (remote, remote_count), flags)?;
    let buffer = Frame::zeroed(Purpose::User).ok_or(Errno::ENOMEM)?;
    let mut from = Source::program(&local);
    each_part(&remote, |address, length| {
        let wanted = length.min(from.remaining());
        if wanted == 0 {
            return Ok(0);
        }
        let taken = from.take_to_frame(&buffer, 0, wanted)?;
        let written = space.copy_from_frame(&buffer, address, taken);
        if written == 0 { Err(Errno::EFAULT) } else { Ok(written) }
    })
}
