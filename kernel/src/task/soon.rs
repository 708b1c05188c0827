//! Work that an interrupt handler leaves to the next thread that comes by.
//!
//! A handler may not take the locks that threads hold. But soon after it some thread goes back to its program, or finds
//! that there is nothing to do: there the work is done, without a switch to another thread. It must be short, and it must
//! not sleep; what takes longer belongs to [`super::deferred`]. Each processor has its own: what a card has for a processor
//! is dealt with there, near the threads that wait for it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::Once;

use super::timer::TimerTarget;
use crate::arch::{self, MAXIMUM_CPUS};
use crate::sync::InterruptMutex;

static WORK: Once<fn()> = Once::new();

/// Whether a processor has work and how often it did some, in a cache line of its own.
#[repr(align(128))]
struct Wanted(AtomicBool, AtomicU64);

static WANTED: [Wanted; MAXIMUM_CPUS] = [const { Wanted(AtomicBool::new(false), AtomicU64::new(0)) }; MAXIMUM_CPUS];

/// What a handler of a processor's interrupts had to do with and may have the last reference to.
struct Left {
    anything: AtomicBool,
    references: InterruptMutex<Vec<Arc<dyn TimerTarget>>>,
}

static LEFT: [Left; MAXIMUM_CPUS] = [const {
    Left {
        anything: AtomicBool::new(false),
        references: InterruptMutex::new(Vec::new()),
    }
}; MAXIMUM_CPUS];

/// Has a reference dropped soon. For interrupt handlers: with the last one to a thread its process may go, and files with
/// that, whose locks the handler may have interrupted.
pub fn leave(reference: Arc<dyn TimerTarget>) {
    let left = &LEFT[arch::cpu_index()];
    let mut references = left.references.lock();
    if references.try_reserve(1).is_err() {
        // One for each timer that expires at once is seldom too many. What is kept for ever is at least no deadlock.
        core::mem::forget(reference);
        return;
    }
    references.push(reference);
    left.anything.store(true, Ordering::Relaxed);
}

/// How often a processor has done the work.
pub fn count(cpu: usize) -> u64 {
    WANTED[cpu].1.load(Ordering::Relaxed)
}

/// Names what is to be done, once.
pub fn set_work(work: fn()) {
    WORK.call_once(|| work);
}

/// Has the work done soon, on this processor. May be called by interrupt handlers.
pub fn want() {
    WANTED[arch::cpu_index()].0.store(true, Ordering::Release);
}

/// Has the work done soon on a processor that has come up. May be called by interrupt handlers.
pub fn want_on(cpu: usize) {
    // Whoever has set it before has told the processor, which has not looked since.
    if !WANTED[cpu].0.swap(true, Ordering::AcqRel) && cpu != arch::cpu_index() {
        arch::send_reschedule(cpu);
    }
}

/// Does the work if somebody wants it. Called with interrupts off and no locks; they are on meanwhile. False if there was
/// nothing to do.
#[inline]
pub fn work_if_wanted() -> bool {
    let cpu = arch::cpu_index();
    (WANTED[cpu].0.load(Ordering::Relaxed) || LEFT[cpu].anything.load(Ordering::Relaxed)) && work()
}

/// Drops what handlers have left on this processor.
fn drop_left() {
    let left = &LEFT[arch::cpu_index()];
    if !left.anything.swap(false, Ordering::Relaxed) {
        return;
    }
    arch::enable_interrupts();
    loop {
        let reference = left.references.lock().pop();
        if reference.is_none() {
            break;
        }
        drop(reference);
    }
    arch::disable_interrupts();
}

#[inline(never)]
fn work() -> bool {
    drop_left();
    if !WANTED[arch::cpu_index()].0.swap(false, Ordering::Acquire) {
        return false;
    }
    if let Some(work) = WORK.get() {
        WANTED[arch::cpu_index()].1.fetch_add(1, Ordering::Relaxed);
        arch::enable_interrupts();
        work();
        arch::disable_interrupts();
    }
    true
}
