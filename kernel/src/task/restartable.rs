//! Restartable sequences (`rseq(2)`): a few instructions of the program that must not be interrupted half-way.
//!
//! A thread registers an area of its memory. The kernel keeps the number of the processor there, and the program
//! writes there which sequence it is in. If a signal handler is about to run in the middle of one, the sequence is
//! aborted: the program goes on at its abort address. The same happens when another thread had the processor meanwhile,
//! or the thread went to another processor.
//!
//! Source: Linux's `uapi/linux/rseq.h`.

use core::sync::atomic::Ordering;

use pith_linux::Errno;
use zerocopy::{FromBytes, IntoBytes};

use super::thread::Thread;
use crate::arch::layout::PROGRAM_END;
use crate::arch::{self, Registers};
use crate::memory::{UserPointer, read_object, write_object};

/// Size and alignment of an area.
const AREA_SIZE: u32 = 32;
/// Offset in the area of the address of the current sequence's description.
const SEQUENCE_OFFSET: u64 = 8;

/// The number of the processor, twice: a guess for before the sequence, and the number to compare with in it.
fn processor_twice() -> [u32; 2] {
    [arch::cpu_index() as u32; 2]
}

/// What stands there when nothing is registered.
const NOT_REGISTERED: [u32; 2] = [0, u32::MAX];

/// `struct rseq_cs`: a sequence.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
struct Sequence {
    version: u32,
    flags: u32,
    start: u64,
    length: u64,
    abort: u64,
}

/// Registers an area.
///
/// # Errors
/// `EBUSY` if it is registered already; `EINVAL` for another one, or an area of wrong size or alignment; `EPERM` for
/// another signature; `EFAULT`.
pub fn register(thread: &Thread, area: u64, size: u32, signature: u32) -> Result<(), Errno> {
    let present = thread.restartable_area.load(Ordering::Relaxed);
    if present != 0 {
        check(thread, area, size, signature)?;
        return Err(Errno::EBUSY);
    }
    if size != AREA_SIZE || !area.is_multiple_of(u64::from(AREA_SIZE)) {
        return Err(Errno::EINVAL);
    }
    if area == 0 {
        return Err(Errno::EFAULT);
    }
    write_object(UserPointer(area), &processor_twice())?;
    thread.restartable_signature.store(signature, Ordering::Relaxed);
    thread.restartable_area.store(area, Ordering::Relaxed);
    Ok(())
}

/// Takes a registration back.
///
/// # Errors
/// `EINVAL` or `EPERM` if it is not this one; `EFAULT`.
pub fn unregister(thread: &Thread, area: u64, size: u32, signature: u32) -> Result<(), Errno> {
    if area == 0 {
        return Err(Errno::EINVAL);
    }
    check(thread, area, size, signature)?;
    write_object(UserPointer(area), &NOT_REGISTERED)?;
    forget(thread);
    Ok(())
}

fn check(thread: &Thread, area: u64, size: u32, signature: u32) -> Result<(), Errno> {
    if thread.restartable_area.load(Ordering::Relaxed) != area || size != AREA_SIZE {
        return Err(Errno::EINVAL);
    }
    if thread.restartable_signature.load(Ordering::Relaxed) != signature {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// The program that registered the area is gone (`execve`).
pub fn forget(thread: &Thread) {
    thread.restartable_area.store(0, Ordering::Relaxed);
}

/// Whether a thread has registered an area.
pub fn is_registered(thread: &Thread) -> bool {
    thread.restartable_area.load(Ordering::Relaxed) != 0
}

/// Another thread ran meanwhile, or the thread is on another processor: aborts the sequence that the program is in, and
/// tells it where it is. False if what the program left in its area makes no sense; it is to get a `SIGSEGV`.
pub fn after_switch(thread: &Thread, registers: &mut Registers) -> bool {
    let area = thread.restartable_area.load(Ordering::Relaxed);
    abort(thread, registers)
        .and_then(|()| write_object(UserPointer(area), &processor_twice()))
        .is_ok()
}

/// A handler is about to run, or somebody else ran: aborts the sequence that the program is in, if it is in one.
///
/// # Errors
/// `EFAULT` or `EINVAL` if what the program left in its area makes no sense; it is to get a `SIGSEGV`.
pub fn abort(thread: &Thread, registers: &mut Registers) -> Result<(), Errno> {
    let area = thread.restartable_area.load(Ordering::Relaxed);
    if area == 0 {
        return Ok(());
    }
    let place = UserPointer(area).offset(SEQUENCE_OFFSET);
    let description: u64 = read_object(place)?;
    if description == 0 {
        return Ok(());
    }
    let sequence: Sequence = read_object(UserPointer(description))?;
    let end = sequence
        .start
        .checked_add(sequence.length)
        .filter(|&end| end <= PROGRAM_END);
    let is_inside = |address: u64| address.wrapping_sub(sequence.start) < sequence.length;
    if sequence.version != 0 || end.is_none() || sequence.abort >= PROGRAM_END || is_inside(sequence.abort) {
        return Err(Errno::EINVAL);
    }
    // Left behind, or about to be aborted: in both cases no longer the current one.
    write_object(place, &0u64)?;
    if is_inside(registers.rip) {
        let signature: u32 = read_object(UserPointer(sequence.abort.wrapping_sub(4)))?;
        if signature != thread.restartable_signature.load(Ordering::Relaxed) {
            return Err(Errno::EINVAL);
        }
        registers.rip = sequence.abort;
    }
    Ok(())
}
