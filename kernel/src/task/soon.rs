//! Work that an interrupt handler leaves to the next thread that comes by.
//!
//! A handler may not take the locks that threads hold. But soon after it some thread goes back to its program, or finds
//! that there is nothing to do: there the work is done, without a switch to another thread. It must be short, and it must
//! not sleep; what takes longer belongs to [`super::deferred`].

use core::sync::atomic::{AtomicBool, Ordering};

use spin::Once;

use crate::arch;

static WORK: Once<fn()> = Once::new();
static WANTED: AtomicBool = AtomicBool::new(false);

/// Names what is to be done, once.
pub fn set_work(work: fn()) {
    WORK.call_once(|| work);
}

/// Has the work done soon. May be called by interrupt handlers.
pub fn want() {
    WANTED.store(true, Ordering::Release);
}

/// Does the work if somebody wants it. Called with interrupts off and no locks; they are on meanwhile. False if there was
/// nothing to do.
#[inline]
pub fn work_if_wanted() -> bool {
    WANTED.load(Ordering::Relaxed) && work()
}

#[inline(never)]
fn work() -> bool {
    if !WANTED.swap(false, Ordering::Acquire) {
        return false;
    }
    if let Some(work) = WORK.get() {
        arch::enable_interrupts();
        work();
        arch::disable_interrupts();
    }
    true
}
