//! Who waits for what, and who is woken.
//!
//! [`WaitList`] is the list behind a wait queue: those who want to hear of everything, and those of whom one is enough.
//! [`Halted`] is who waits for a lock without a queue. [`FutexTable`] is the table behind `futex(2)`, [`ReadyList`] the list behind `epoll(7)`. None puts threads to sleep:
//! what is woken is the caller's.
//!
//! All work together with the protocol of `pith-scheduling`: announce, look, sleep; and change, then wake. The models
//! in `tests/` check all interleavings of the two.
#![cfg_attr(not(loom), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod futex;
mod halted;
mod list;
mod ready;
mod sync;

pub use futex::{Bucket, FutexKey, FutexTable, FutexWaiter};
pub use halted::Halted;
pub use list::{OutOfMemory, Population, WaitList};
pub use pith_scheduling::Lock;
pub use ready::{End, Listed, Membership, ReadyList};
