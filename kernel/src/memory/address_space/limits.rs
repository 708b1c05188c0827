//! How much a process may map, and how much memory may be promised to all.

use core::sync::atomic::{AtomicU8, AtomicUsize};

use pith_address_space::MAXIMUM_AREAS;

use super::*;

/// How much a process may map: its limits (`getrlimit(2)`), in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// All mappings (`RLIMIT_AS`).
    pub address_space: u64,
    /// Private memory that can be written, without stacks (`RLIMIT_DATA`; if that is 0, what it could be raised to).
    pub data: u64,
    /// What `brk(2)` manages (`RLIMIT_DATA`).
    pub heap: u64,
    /// Locked memory (`RLIMIT_MEMLOCK`); no limit for who has the privilege.
    pub locked: u64,
    /// What other processes were promised, where that counts ([`Overcommit::Never`]).
    pub promised_elsewhere: u64,
}

impl Allowance {
    /// Everything: for the kernel's own mappings.
    pub const UNLIMITED: Self = Self {
        address_space: u64::MAX,
        data: u64::MAX,
        heap: u64::MAX,
        locked: u64::MAX,
        promised_elsewhere: 0,
    };
}

/// How much memory may be promised (`/proc/sys/vm/overcommit_memory`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overcommit {
    /// What could never be backed is refused (0).
    Heuristic,
    /// Everything is promised (1).
    Always,
    /// All promises together stay below a share of memory (2).
    Never,
}

static OVERCOMMIT: AtomicU8 = AtomicU8::new(0);
/// Per cent of memory that may be promised (`/proc/sys/vm/overcommit_ratio`).
static OVERCOMMIT_RATIO: AtomicU8 = AtomicU8::new(50);
/// Areas that an address space may have (`/proc/sys/vm/max_map_count`).
static AREA_LIMIT: AtomicUsize = AtomicUsize::new(MAXIMUM_AREAS);

impl Overcommit {
    /// The policy now.
    pub fn current() -> Self {
        match OVERCOMMIT.load(Ordering::Relaxed) {
            0 => Self::Heuristic,
            1 => Self::Always,
            _ => Self::Never,
        }
    }

    /// Makes this the policy.
    pub fn choose(self) {
        OVERCOMMIT.store(self as u8, Ordering::Relaxed);
    }

    /// Per cent of memory that may be promised under [`Self::Never`].
    pub fn ratio() -> u8 {
        OVERCOMMIT_RATIO.load(Ordering::Relaxed)
    }

    /// Sets [`Self::ratio`].
    pub fn set_ratio(percent: u8) {
        OVERCOMMIT_RATIO.store(percent, Ordering::Relaxed);
    }

    /// Whether shared memory of so many bytes may be promised.
    pub fn admits_shared(bytes: u64) -> bool {
        Self::current().admits(bytes, &|| duplicate::committed_elsewhere(0))
    }

    fn admits(self, charged: u64, promised: &dyn Fn() -> u64) -> bool {
        match self {
            Self::Heuristic => charged <= frame::total(),
            Self::Always => true,
            Self::Never => charged == 0 || promised().saturating_add(charged) <= Self::limit(),
        }
    }

    /// Bytes that may be promised under [`Self::Never`] (`CommitLimit`).
    pub fn limit() -> u64 {
        frame::total() / 100 * u64::from(Self::ratio())
    }
}

/// How many areas an address space may have.
pub fn area_limit() -> usize {
    AREA_LIMIT.load(Ordering::Relaxed)
}

/// Sets [`area_limit`]; address spaces look when they grow.
pub fn set_area_limit(areas: usize) {
    AREA_LIMIT.store(areas, Ordering::Relaxed);
}

/// What a new area counts as: promised, if the process may come to own pages by writing ([`AreaFlags::ACCOUNTED`]).
pub(super) fn accounted(protection: Protection, flags: AreaFlags) -> AreaFlags {
    let never = AreaFlags::SHARED | AreaFlags::NO_RESERVE;
    if protection.contains(Protection::WRITE) && !flags.intersects(never) {
        AreaFlags::ACCOUNTED
    } else {
        AreaFlags::empty()
    }
}

/// Bytes that count against overcommit.
fn charge(flags: AreaFlags, bytes: u64) -> u64 {
    if flags.contains(AreaFlags::ACCOUNTED) { bytes } else { 0 }
}

/// Whether an area counts as data (`RLIMIT_DATA`).
fn is_data(protection: Protection, flags: AreaFlags) -> bool {
    protection.contains(Protection::WRITE) && !flags.intersects(AreaFlags::SHARED | AreaFlags::GROWS_DOWN)
}

/// What an area that grows or comes needs.
pub(super) struct Growth {
    /// Bytes more than there are.
    pub(super) added: u64,
    /// What may be done with them.
    pub(super) protection: Protection,
    /// Other properties of the area.
    pub(super) flags: AreaFlags,
}

impl Inner {
    /// Refuses growth that a limit forbids, that could never be backed (see [`Overcommit`]), or for which the kernel
    /// has no memory to spare.
    ///
    /// # Errors
    /// `EAGAIN` for locked memory, else `ENOMEM`.
    pub(super) fn check_growth(&self, growth: &Growth, allowance: &Allowance) -> Result<(), Errno> {
        let added = growth.added;
        if growth.flags.contains(AreaFlags::LOCKED) && self.map.locked_bytes().saturating_add(added) > allowance.locked
        {
            return Err(Errno::EAGAIN);
        }
        let data_fits = allowance.data == u64::MAX
            || !is_data(growth.protection, growth.flags)
            || self.data_bytes().saturating_add(added) <= allowance.data;
        let within_limits = self.map.total_bytes().saturating_add(added) <= allowance.address_space && data_fits;
        if within_limits && self.may_promise(charge(growth.flags, added), allowance) && !frame::is_low() {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    fn may_promise(&self, charged: u64, allowance: &Allowance) -> bool {
        let promised = || self.committed().saturating_add(allowance.promised_elsewhere);
        Overcommit::current().admits(charged, &promised)
    }

    /// Bytes of private memory that can be written, without stacks.
    fn data_bytes(&self) -> u64 {
        let areas = self.map.iter();
        areas
            .filter(|area| is_data(area.protection, area.flags))
            .map(Area::length)
            .sum()
    }

    /// Bytes that were promised.
    pub(super) fn committed(&self) -> u64 {
        let areas = self.map.iter();
        areas.map(|area| charge(area.flags, area.length())).sum()
    }

    /// Rights have changed in a range, up to an address: what can be written counts as promised from now on. What was
    /// never written and can't be any more counts no longer; `untouched` are its parts.
    pub(super) fn account(&mut self, range: Range<u64>, untouched: &[Range<u64>]) {
        let missing = |area: &Area<Backing>| accounted(area.protection, area.flags) - area.flags;
        let mut cursor = range.start;
        loop {
            let next = {
                let mut areas = self.map.range(cursor, range.end);
                let area = areas.find(|area| !missing(area).is_empty());
                area.map(|area| area.start.max(range.start)..area.end.min(range.end))
            };
            let Some(part) = next else { break };
            cursor = part.end;
            // The part was made an area of its own, where it had to be, when its rights were changed.
            let _ = self
                .map
                .modify_flags(part.start, part.end, AreaFlags::ACCOUNTED, AreaFlags::empty());
        }
        for part in untouched {
            let end = part.end.min(range.end);
            if part.start < end {
                let _ = self
                    .map
                    .modify_flags(part.start, end, AreaFlags::empty(), AreaFlags::ACCOUNTED);
            }
        }
    }

    /// Parts of a range that count as promised although nothing was ever written to the areas that they belong to. Of other
    /// areas that is remembered, for all that they are divided into.
    ///
    /// # Errors
    /// `ENOMEM`
    pub(super) fn untouched(&mut self, range: &Range<u64>) -> Result<Vec<Range<u64>>, Errno> {
        let mut parts = Vec::new();
        let mut cursor = range.start;
        loop {
            let Some(area) = self.map.range(cursor, range.end).next() else {
                return Ok(parts);
            };
            let whole = area.start..area.end;
            cursor = whole.end;
            let counts = area.flags.contains(AreaFlags::ACCOUNTED) && area.backing == Backing::Anonymous;
            if !counts || area.flags.contains(AreaFlags::WRITTEN) {
                continue;
            }
            if self.table.has_own(whole.start, whole.end) {
                // Of a whole area this can't fail.
                let _ = self
                    .map
                    .modify_flags(whole.start, whole.end, AreaFlags::WRITTEN, AreaFlags::empty());
            } else {
                parts.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                parts.push(whole.start.max(range.start)..whole.end.min(range.end));
            }
        }
    }

    /// Refuses (`ENOMEM`) to make memory writable that a limit or the promises forbid.
    pub(super) fn check_becomes_data(
        &self,
        range: &Range<u64>,
        protection: Protection,
        allowance: &Allowance,
    ) -> Result<(), Errno> {
        let (mut data, mut charged) = (0, 0);
        for area in self.map.range(range.start, range.end) {
            if !area.protection.contains(Protection::WRITE) {
                let bytes = area.end.min(range.end) - area.start.max(range.start);
                data += if is_data(protection, area.flags) { bytes } else { 0 };
                if !area.flags.contains(AreaFlags::ACCOUNTED) {
                    charged += charge(accounted(protection, area.flags), bytes);
                }
            }
        }
        let data_fits =
            allowance.data == u64::MAX || data == 0 || self.data_bytes().saturating_add(data) <= allowance.data;
        if data_fits && self.may_promise(charged, allowance) {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }
}
