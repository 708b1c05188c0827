//! One area of an address space, and what is known about it.

use alloc::sync::Arc;

use bitflags::bitflags;

bitflags! {
    /// What a program may do with memory. The bits are those of `PROT_*` in `mmap(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Protection: u8 {
        /// Read (`PROT_READ`).
        const READ = 1;
        /// Write (`PROT_WRITE`).
        const WRITE = 2;
        /// Execute instructions (`PROT_EXEC`).
        const EXECUTE = 4;
    }
}

bitflags! {
    /// Properties of an area besides its protection. The values are Pith's own.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct AreaFlags: u32 {
        /// Changes are seen by all who map the same object (`MAP_SHARED`); without it, by this process only.
        const SHARED = 1 << 0;
        /// An access just below the area extends it (`MAP_GROWSDOWN`, and the main stack). A distance of
        /// [`STACK_GUARD_GAP`](crate::STACK_GUARD_GAP) to the area below is kept.
        const GROWS_DOWN = 1 << 1;
        /// Meant as a stack (`MAP_STACK`); no effect, as on Linux.
        const STACK = 1 << 2;
        /// Not counted against overcommit (`MAP_NORESERVE`).
        const NO_RESERVE = 1 << 3;
        /// Locked into memory (`mlock(2)`); not inherited by a forked process.
        const LOCKED = 1 << 4;
        /// Not given to a forked process (`MADV_DONTFORK`).
        const DONT_FORK = 1 << 5;
        /// A forked process sees zeroes (`MADV_WIPEONFORK`).
        const WIPE_ON_FORK = 1 << 6;
        /// Left out of core dumps (`MADV_DONTDUMP`).
        const DONT_DUMP = 1 << 7;
        /// Large pages are wanted (`MADV_HUGEPAGE`).
        const HUGE_PAGE = 1 << 8;
        /// Large pages are not wanted (`MADV_NOHUGEPAGE`).
        const NO_HUGE_PAGE = 1 << 9;
        /// Accesses will jump about (`MADV_RANDOM`).
        const RANDOM_ACCESS = 1 << 10;
        /// Accesses will follow the addresses (`MADV_SEQUENTIAL`).
        const SEQUENTIAL_ACCESS = 1 << 11;
        /// Made by the kernel for the program's use, such as the vDSO.
        const KERNEL_PROVIDED = 1 << 12;
        /// Of a locked area, that pages come when they are touched and not before (`MLOCK_ONFAULT`).
        const LOCK_ON_FAULT = 1 << 13;
        /// Neither place, size nor protection may ever change (`mseal(2)`).
        const SEALED = 1 << 14;
        /// The area's watcher is told of accesses to pages that are not there (`UFFDIO_REGISTER_MODE_MISSING`).
        const WATCH_MISSING = 1 << 15;
        /// It is told of writes to pages that it protects (`UFFDIO_REGISTER_MODE_WP`).
        const WATCH_WRITES = 1 << 16;
        /// It is told of accesses to pages that the object has and the process does not (`UFFDIO_REGISTER_MODE_MINOR`).
        const WATCH_MINOR = 1 << 17;
        /// The kernel may forget the content if memory is short; never locked, never inherited (`MAP_DROPPABLE`).
        const DROPPABLE = 1 << 18;
        /// Only the program itself may look at it; locked as long as it is mapped (`memfd_secret(2)`).
        const SECRET = 1 << 19;
        /// Counts as promised memory: private, and it could be written at some time.
        const ACCOUNTED = 1 << 20;
        /// Something was written to it, or to what it was a part of. Areas are joined whether it is set or not.
        const WRITTEN = 1 << 21;
    }
}

impl AreaFlags {
    /// What a watcher may be told of.
    pub const WATCHED: Self = Self::WATCH_MISSING
        .union(Self::WATCH_WRITES)
        .union(Self::WATCH_MINOR);
}

/// The role of an area that has no file to name it by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum AreaName {
    /// Any area.
    #[default]
    None,
    /// Memory that `brk(2)` manages.
    Heap,
    /// The stack of the first thread.
    Stack,
    /// The code that the kernel offers the program, see `vdso(7)`.
    Vdso,
    /// The data that the vDSO reads.
    Vvar,
    /// Memory without a file to which the program has given a name (`PR_SET_VMA_ANON_NAME` of `prctl(2)`).
    Given(Arc<str>),
}

impl AreaName {
    /// The name in `/proc/PID/maps`, see `proc_pid_maps(5)`; empty for [`AreaName::None`] and for what the program has
    /// named.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None | Self::Given(_) => "",
            Self::Heap => "[heap]",
            Self::Stack => "[stack]",
            Self::Vdso => "[vdso]",
            Self::Vvar => "[vvar]",
        }
    }
}

/// Where the content of an area comes from: nothing (zeroes), or an object at some offset.
pub trait Backing: Clone + PartialEq {
    /// The backing of the part of an area that starts `bytes` further on. A file's offset grows; zeroes stay
    /// what they are.
    #[must_use]
    fn advance(&self, bytes: u64) -> Self;

    /// Whether `next` goes on where an area of `length` bytes with this backing ends, so that both areas can
    /// be one. Usually `self.advance(length) == *next`.
    fn follows(&self, next: &Self, length: u64) -> bool {
        self.advance(length) == *next
    }
}

/// A range of addresses with one set of properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area<B> {
    /// First address; a multiple of [`PAGE_SIZE`](crate::PAGE_SIZE).
    pub start: u64,
    /// Address behind the last one; a multiple of [`PAGE_SIZE`](crate::PAGE_SIZE).
    pub end: u64,
    /// What the program may do now.
    pub protection: Protection,
    /// What `mprotect(2)` may allow at most: a file that is open for reading only can't be made writable
    /// through a shared mapping.
    pub maximum_protection: Protection,
    /// Other properties.
    pub flags: AreaFlags,
    /// Who handles its page faults (`userfaultfd(2)`): a number that means something to the kernel, 0 for nobody. Only areas
    /// with the same watcher are joined.
    pub watcher: u32,
    /// From which node its pages should come (`mbind(2)`): a number that means something to the kernel, 0 for no wish.
    pub policy: u16,
    /// Role of the area.
    pub name: AreaName,
    /// Where the content of `start` comes from.
    pub backing: B,
}

impl<B> Area<B> {
    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.end - self.start
    }

    /// Whether `address` lies in the area.
    pub fn contains(&self, address: u64) -> bool {
        self.start <= address && address < self.end
    }

    /// Lowest address that others must leave free: the start, or the guard gap below it if the area may grow.
    pub fn guarded_start(&self) -> u64 {
        if self.flags.contains(AreaFlags::GROWS_DOWN) {
            self.start.saturating_sub(crate::STACK_GUARD_GAP)
        } else {
            self.start
        }
    }
}

impl<B: Backing> Area<B> {
    /// The part of the area between two addresses, which must lie in it.
    pub(crate) fn part(&self, start: u64, end: u64) -> Self {
        Self {
            start,
            end,
            backing: self.backing.advance(start - self.start),
            ..self.clone()
        }
    }

    /// Whether `next` starts where this area ends and has the same properties.
    pub(crate) fn joins(&self, next: &Self) -> bool {
        self.end == next.start
            && self.protection == next.protection
            && self.maximum_protection == next.maximum_protection
            && self.flags.union(AreaFlags::WRITTEN) == next.flags.union(AreaFlags::WRITTEN)
            && self.watcher == next.watcher
            && self.policy == next.policy
            && self.name == next.name
            && self.backing.follows(&next.backing, self.length())
    }
}
