//! The map of one process's address space: which addresses mean what.
//!
//! An [`AddressMap`] is an ordered list of [`Area`]s that do not overlap. It knows nothing of page tables and
//! frames: the kernel asks it at a page fault what belongs at an address, and tells it what `mmap(2)`,
//! `munmap(2)`, `mprotect(2)`, `madvise(2)` and `mremap(2)` ask for. Like Linux, it joins neighbours that
//! differ in nothing, so that the number of areas says something about the program and not about its history.
//!
//! The content of an area is of a type that the kernel chooses, see [`Backing`].
//!
//! # Memory
//! The tree of areas allocates its nodes through the global allocator, which has no way to fail but to abort.
//! A split or an insertion needs one node of less than a page at most, so a kernel that keeps a few frames in
//! reserve for its own heap does not get there. Lists that grow with the request ([`AddressMap::unmap`]) are
//! allocated before anything changes, and fail with [`MapError::OutOfMemory`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod area;
mod map;

pub use area::{Area, AreaFlags, AreaName, Backing, Protection};
pub use map::{AddressMap, GapRequest, MapError, PartialChange};

/// Size of a page, in bytes.
pub const PAGE_SIZE: u64 = 4096;

/// Distance that is kept free below an area that grows down, in bytes: 256 pages, as on Linux. A function with
/// a large frame then hits nothing rather than the neighbour's data.
pub const STACK_GUARD_GAP: u64 = 256 * PAGE_SIZE;

/// Most areas that one map holds at first: the default of `vm.max_map_count` on Linux.
pub const MAXIMUM_AREAS: usize = 65530;

#[cfg(test)]
mod tests;
