//! Who waits for what, and who is woken.
//!
//! [`WaitList`] is the list behind a wait queue: those who want to hear of everything, and those of whom one is enough.
//! [`FutexTable`] is the table behind `futex(2)`. Neither puts threads to sleep: what is woken is the caller's.
//!
//! Both work together with the protocol of `pith-scheduling`: announce, look, sleep; and change, then wake. The models
//! in `tests/` check all interleavings of the two.
#![cfg_attr(not(loom), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod futex;
mod list;
mod sync;

pub use futex::{Bucket, FutexKey, FutexTable, FutexWaiter};
pub use list::{OutOfMemory, Token, WaitList};
pub use pith_scheduling::Lock;
