//! Which thread runs on which processor.
//!
//! Each processor has a [`RunQueue`] under a lock of its own. A thread belongs to one queue at a time, the one that
//! its [`Entity`] names, whether it runs, waits for the processor, or sleeps. Everything that concerns two threads or
//! two processors happens in [`Scheduler`]; how a processor is switched, interrupted or halted is the kernel's.
//!
//! **The protocol of sleeping.** A thread announces that it is about to sleep ([`Entity::prepare_to_sleep`]), looks
//! once more at what it waits for, and only then gives the processor up ([`Scheduler::block`]). Whoever changes what
//! it waits for calls [`Scheduler::wake`] afterwards. Under the lock of the thread's queue, `wake` makes a sleeping
//! thread runnable, and `block` takes the processor only from a thread that still sleeps: so no wake-up is lost, and
//! no thread is in a queue twice. The models in `tests/` check that for all interleavings.
#![cfg_attr(not(loom), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod entity;
mod load;
mod policy;
mod run_queue;
mod scheduler;
mod sync;

pub use entity::Entity;
pub use load::{LOAD_BITS, LOAD_PERIOD, LoadAverages};
pub use policy::Policy;
pub use run_queue::{Clock, RunQueue};
pub use scheduler::{Next, OthersWait, Scheduler, Woken};
pub use sync::Lock;

/// A thread, or a reference to one.
pub trait Schedulable {
    /// The scheduler's part of the thread.
    fn entity(&self) -> &Entity;

    /// Whether another processor may run it now: none is on its stack.
    fn may_move(&self) -> bool;
}

impl<T: Schedulable> Schedulable for alloc::sync::Arc<T> {
    fn entity(&self) -> &Entity {
        (**self).entity()
    }

    fn may_move(&self) -> bool {
        (**self).may_move()
    }
}
