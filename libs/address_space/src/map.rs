//! The ordered map of areas and the operations on it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::{
    Area, AreaFlags, AreaName, Backing, MAXIMUM_AREAS, PAGE_SIZE, Protection, STACK_GUARD_GAP,
};

/// Why an operation was refused. The words in brackets are the error numbers that the kernel answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// A range that is empty, ends before it starts or is not made of whole pages; or an area that grows down
    /// over a file (`EINVAL`).
    Invalid,
    /// A range that reaches beyond the addresses of the map (`ENOMEM`).
    OutOfRange,
    /// A range where something is mapped already (`EEXIST`).
    Overlap,
    /// A range where nothing is mapped (`ENOMEM`; at a page fault `SIGSEGV` with `SEGV_MAPERR`).
    Hole,
    /// A protection beyond the area's maximum (`EACCES`).
    AccessDenied,
    /// An area that is sealed (`EPERM`).
    Sealed,
    /// More than [`AddressMap::maximum_areas`] (`ENOMEM`).
    TooManyAreas,
    /// The stack may not grow any more: its limit is reached, or the guard gap (`SIGSEGV`).
    StackLimit,
    /// The kernel has no memory for its answer (`ENOMEM`).
    OutOfMemory,
}

impl fmt::Display for MapError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Invalid => "the range is not made of whole pages",
            Self::OutOfRange => "the range lies outside the address space",
            Self::Overlap => "something is mapped there already",
            Self::Hole => "nothing is mapped there",
            Self::AccessDenied => "the mapped object does not allow this protection",
            Self::Sealed => "the mapping is sealed",
            Self::TooManyAreas => "the process has too many mappings",
            Self::StackLimit => "the stack has reached its limit",
            Self::OutOfMemory => "no memory",
        })
    }
}

impl core::error::Error for MapError {}

/// An operation on a range ended early, and the part before that point is done. That is what Linux does: it
/// walks the range and stops at the first area that can't be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialChange {
    /// The range is changed from its start to this address.
    pub changed_until: u64,
    /// What stopped it.
    pub error: MapError,
}

/// What kind of free range is wanted, see [`AddressMap::find_gap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRequest {
    /// Length in bytes; rounded up to pages.
    pub length: u64,
    /// The result is a multiple of this power of two; at least a page.
    pub alignment: u64,
    /// Address to take if it is free (the first argument of `mmap(2)`); rounded down to a page.
    pub hint: Option<u64>,
    /// Addresses to search from the top down: from the lowest that a program may map to the base of mappings.
    pub range: Range<u64>,
    /// Addresses to search from the bottom up if that failed; may be empty.
    pub fallback: Range<u64>,
}

impl GapRequest {
    /// A request for `length` bytes in `range` with the alignment of a page, without hint and fallback.
    pub fn new(length: u64, range: Range<u64>) -> Self {
        Self {
            length,
            alignment: PAGE_SIZE,
            hint: None,
            range,
            fallback: 0..0,
        }
    }
}

/// What the last search from the top down has found out: between `above` and `limit` is no gap of `length`
/// bytes or more. It makes a row of `mmap` calls cost the same however many areas there are.
#[derive(Clone, Copy, Debug)]
struct Searched {
    /// Top of the searched range.
    limit: u64,
    /// Down to here.
    above: u64,
    /// Size of the gaps that don't exist, in bytes.
    length: u64,
}

impl Searched {
    /// Nothing is known.
    const NOTHING: Self = Self {
        limit: 0,
        above: 0,
        length: 0,
    };
}

/// What of an area can be changed besides its protection.
#[derive(Clone, PartialEq, Eq)]
struct Traits {
    flags: AreaFlags,
    watcher: u32,
    policy: u16,
    name: AreaName,
}

/// The areas of one address space in ascending order. Cloning it is the first half of `fork(2)`.
#[derive(Clone, Debug)]
pub struct AddressMap<B> {
    /// Addresses that may be mapped.
    bounds: Range<u64>,
    /// The areas by their start.
    areas: BTreeMap<u64, Area<B>>,
    /// Sum of all lengths.
    total_bytes: u64,
    /// Sum of the lengths of locked areas.
    locked_bytes: u64,
    /// Most areas.
    maximum_areas: usize,
    /// Memory of the search for gaps.
    searched: Searched,
}

impl<B: Backing> AddressMap<B> {
    /// An empty map of the addresses in `bounds`, which are rounded inwards to whole pages.
    pub fn new(bounds: Range<u64>) -> Self {
        let end = bounds.end & !(PAGE_SIZE - 1);
        let start = bounds
            .start
            .checked_next_multiple_of(PAGE_SIZE)
            .map_or(end, |start| start.min(end));
        Self {
            bounds: start..end,
            areas: BTreeMap::new(),
            total_bytes: 0,
            locked_bytes: 0,
            maximum_areas: MAXIMUM_AREAS,
            searched: Searched::NOTHING,
        }
    }

    /// Sets how many areas there may be ([`MAXIMUM_AREAS`] at first). Those that are there stay.
    pub fn set_maximum_areas(&mut self, areas: usize) {
        self.maximum_areas = areas;
    }

    /// How many areas there may be: `vm.max_map_count`.
    pub fn maximum_areas(&self) -> usize {
        self.maximum_areas
    }

    /// Addresses that may be mapped.
    pub fn bounds(&self) -> Range<u64> {
        self.bounds.clone()
    }

    /// Number of areas.
    pub fn len(&self) -> usize {
        self.areas.len()
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.areas.is_empty()
    }

    /// Sum of the lengths of all areas, in bytes: `VmSize` in `/proc/PID/status`, `RLIMIT_AS`.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Sum of the lengths of the areas with [`AreaFlags::LOCKED`], in bytes: `VmLck`, `RLIMIT_MEMLOCK`.
    pub fn locked_bytes(&self) -> u64 {
        self.locked_bytes
    }

    /// All areas in ascending order, as `/proc/PID/maps` lists them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Area<B>> + Clone {
        self.areas.values()
    }

    /// The area that holds `address`.
    pub fn find(&self, address: u64) -> Option<&Area<B>> {
        let (_, area) = self.areas.range(..=address).next_back()?;
        (address < area.end).then_some(area)
    }

    /// The area that holds `address`, or else the first one above it.
    pub fn find_at_or_above(&self, address: u64) -> Option<&Area<B>> {
        self.find(address)
            .or_else(|| self.areas.range(address..).next().map(|(_, area)| area))
    }

    /// All areas of which some part lies between `start` and `end`, in ascending order and not cut to the
    /// range.
    pub fn range(&self, start: u64, end: u64) -> impl Iterator<Item = &Area<B>> + Clone {
        let first = self.find(start).map_or(start, |area| area.start);
        self.areas
            .range(first..end.max(first))
            .map(|(_, area)| area)
            .filter(move |area| start < end && start < area.end)
    }

    /// Whether nothing is mapped between `start` and `end`.
    pub fn is_free(&self, start: u64, end: u64) -> bool {
        self.range(start, end).next().is_none()
    }

    /// The free addresses around a range in which nothing is mapped: from the end of the area below it (or 0) to
    /// the start of the area above it (or [`u64::MAX`]). Page tables that lie inside serve nobody.
    pub fn hole_around(&self, start: u64, end: u64) -> Range<u64> {
        let below = self.areas.range(..start).next_back();
        let above = self.areas.range(end..).next();
        below.map_or(0, |(_, area)| area.end)..above.map_or(u64::MAX, |(start, _)| *start)
    }

    /// Whether every page between `start` and `end` is mapped.
    pub fn is_covered(&self, start: u64, end: u64) -> bool {
        let mut cursor = start;
        for area in self.range(start, end) {
            if area.start > cursor {
                return false;
            }
            cursor = area.end;
        }
        cursor >= end
    }

    /// The first address from `start` on that is not mapped; `end` if every page before is.
    pub fn first_hole(&self, start: u64, end: u64) -> u64 {
        let mut cursor = start;
        for area in self.range(start, end) {
            if area.start > cursor {
                break;
            }
            cursor = area.end.min(end);
        }
        cursor
    }

    /// Adds an area, which becomes part of its neighbours where nothing differs.
    ///
    /// # Errors
    /// [`MapError::Invalid`], [`MapError::OutOfRange`], [`MapError::Overlap`], [`MapError::TooManyAreas`].
    pub fn insert(&mut self, mut area: Area<B>) -> Result<(), MapError> {
        self.check(area.start, area.end)?;
        if area.flags.contains(AreaFlags::GROWS_DOWN)
            && area.backing.advance(PAGE_SIZE) != area.backing
        {
            // What would belong below the start of a file?
            return Err(MapError::Invalid);
        }
        let Range { start, end } = area.start..area.end;
        let full = self.areas.len() >= self.maximum_areas;
        let next = self.areas.range(end..).next();
        let next = next.map(|(_, next)| {
            let joins = area.joins(next).then_some(next.flags);
            (next.start, next.guarded_start(), next.end, joins)
        });
        let below = self
            .areas
            .range_mut(..end)
            .next_back()
            .map(|(_, below)| below);
        if below.as_ref().is_some_and(|below| below.end > start) {
            return Err(MapError::Overlap);
        }
        if full {
            return Err(MapError::TooManyAreas);
        }
        let length = area.length();
        let locked = area.flags.contains(AreaFlags::LOCKED);
        let joined = next.and_then(|(_, _, end, joins)| Some((end, joins?)));
        if let Some((end, flags)) = joined {
            area.end = end;
            area.flags |= flags;
        }
        let below = below.filter(|below| below.joins(&area));
        let extends = below.is_some();
        if let Some(below) = below {
            below.end = area.end;
            below.flags |= area.flags;
        }
        if joined.is_some() {
            self.areas.remove(&end);
        }
        if !extends {
            self.areas.insert(start, area);
        }
        self.total_bytes += length;
        self.locked_bytes += if locked { length } else { 0 };
        if let Some((next, guarded_start, _, _)) = next
            && guarded_start < end
        {
            // Only the next area above keeps its guard gap: what lies below this one may be larger now.
            self.searched.above = self.searched.above.max(next);
        }
        Ok(())
    }

    /// Removes everything between `start` and `end` and returns the parts that were there, in ascending order
    /// and cut to the range. It is no error if there was nothing.
    ///
    /// # Errors
    /// [`MapError::Invalid`], [`MapError::OutOfRange`], [`MapError::TooManyAreas`] (a hole makes two areas of
    /// one), [`MapError::OutOfMemory`]. Nothing has changed then.
    pub fn unmap(&mut self, start: u64, end: u64) -> Result<Vec<Area<B>>, MapError> {
        self.check(start, end)?;
        let mut removed = Vec::new();
        let mut parts = self.range(start, end);
        let Some(first) = parts.next() else {
            return Ok(removed);
        };
        let mut left = 1 + parts.count();
        if first.start < start && first.end > end && self.areas.len() >= self.maximum_areas {
            return Err(MapError::TooManyAreas);
        }
        removed
            .try_reserve_exact(left)
            .map_err(|_| MapError::OutOfMemory)?;
        let mut next = Some(first.start);
        while let Some(area) = next.and_then(|first| self.take(first)) {
            left -= 1;
            next = match left {
                0 => None,
                _ => self.areas.range(area.end..).next().map(|(start, _)| *start),
            };
            if area.start < start {
                self.add(area.part(area.start, start));
            }
            if area.end > end {
                self.add(area.part(end, area.end));
            }
            removed.push(area.part(area.start.max(start), area.end.min(end)));
        }
        // The gap that exists now ends at the next area; what is known of the addresses above it stays true.
        let gap_end = self
            .areas
            .range(end..)
            .next()
            .map_or(self.bounds.end, |(start, _)| *start);
        self.searched.above = self.searched.above.max(gap_end);
        Ok(removed)
    }

    /// Changes what the program may do between `start` and `end`, as `mprotect(2)`. An empty range is fine.
    ///
    /// # Errors
    /// [`MapError::Invalid`], [`MapError::OutOfRange`]: nothing has changed. [`MapError::Hole`],
    /// [`MapError::AccessDenied`], [`MapError::Sealed`], [`MapError::TooManyAreas`]: the part below
    /// [`changed_until`](PartialChange::changed_until) has.
    pub fn protect(
        &mut self,
        start: u64,
        end: u64,
        protection: Protection,
    ) -> Result<(), PartialChange> {
        if start == end && start.is_multiple_of(PAGE_SIZE) {
            return Ok(());
        }
        self.check(start, end).map_err(|error| PartialChange {
            changed_until: start,
            error,
        })?;
        let mut cursor = start;
        let mut result = Ok(());
        while cursor < end {
            match self.protect_part(cursor, end, protection) {
                Ok(next) => cursor = next,
                Err(error) => {
                    result = Err(PartialChange {
                        changed_until: cursor,
                        error,
                    });
                    break;
                }
            }
        }
        self.join_between(start, cursor);
        result
    }

    /// Changes the protection of the area at `start` up to its end or `end`, and returns where that is.
    fn protect_part(
        &mut self,
        start: u64,
        end: u64,
        protection: Protection,
    ) -> Result<u64, MapError> {
        let area = self.find(start).ok_or(MapError::Hole)?;
        if !area.maximum_protection.contains(protection) {
            return Err(MapError::AccessDenied);
        }
        if area.flags.contains(AreaFlags::SEALED) {
            return Err(MapError::Sealed);
        }
        let end = end.min(area.end);
        if area.protection != protection {
            self.isolate(start, end)?;
            if let Some(area) = self.areas.get_mut(&start) {
                area.protection = protection;
            }
        }
        Ok(end)
    }

    /// Sets and clears flags between `start` and `end`, as `madvise(2)`: holes are skipped, and reported when
    /// everything else is done. An empty range is fine.
    ///
    /// # Errors
    /// [`MapError::Invalid`], [`MapError::OutOfRange`]: nothing has changed. [`MapError::TooManyAreas`]: the
    /// part below [`changed_until`](PartialChange::changed_until) has. [`MapError::Hole`]: all areas in the
    /// range have, `changed_until` is `end`.
    pub fn modify_flags(
        &mut self,
        start: u64,
        end: u64,
        set: AreaFlags,
        clear: AreaFlags,
    ) -> Result<(), PartialChange> {
        if clear.contains(AreaFlags::GROWS_DOWN) {
            // The gaps below these areas are larger now.
            self.searched = Searched::NOTHING;
        }
        self.modify(start, end, &|traits| {
            traits.flags = traits.flags.difference(clear).union(set);
        })
    }

    /// Gives the areas between `start` and `end` a watcher, which is told what the flags `what` say
    /// ([`AreaFlags::WATCHED`]); 0 and no flags take it away. Holes are skipped.
    ///
    /// # Errors
    /// As [`Self::modify_flags`], but holes are none.
    pub fn watch(
        &mut self,
        start: u64,
        end: u64,
        watcher: u32,
        what: AreaFlags,
    ) -> Result<(), PartialChange> {
        let change = |traits: &mut Traits| {
            traits.flags = traits.flags.difference(AreaFlags::WATCHED) | what;
            traits.watcher = watcher;
        };
        match self.modify(start, end, &change) {
            Err(PartialChange {
                error: MapError::Hole,
                ..
            }) => Ok(()),
            result => result,
        }
    }

    /// Says from which node the pages between `start` and `end` should come.
    ///
    /// # Errors
    /// As [`Self::modify_flags`].
    pub fn set_policy(&mut self, start: u64, end: u64, policy: u16) -> Result<(), PartialChange> {
        self.modify(start, end, &|traits| traits.policy = policy)
    }

    /// Gives what is mapped between `start` and `end` a name, or takes the name away. Areas with a role of their own keep
    /// that.
    ///
    /// # Errors
    /// As [`Self::modify_flags`].
    pub fn set_name(&mut self, start: u64, end: u64, name: &AreaName) -> Result<(), PartialChange> {
        self.modify(start, end, &|traits| {
            if matches!(traits.name, AreaName::None | AreaName::Given(_)) {
                traits.name = name.clone();
            }
        })
    }

    /// Changes traits of what is mapped between `start` and `end`. Errors are those of [`Self::modify_flags`].
    fn modify(
        &mut self,
        start: u64,
        end: u64,
        change: &dyn Fn(&mut Traits),
    ) -> Result<(), PartialChange> {
        if start == end && start.is_multiple_of(PAGE_SIZE) {
            return Ok(());
        }
        self.check(start, end).map_err(|error| PartialChange {
            changed_until: start,
            error,
        })?;
        let mut cursor = start;
        let mut result = Ok(());
        let mut hole = false;
        while cursor < end {
            let Some(area) = self.range(cursor, end).next() else {
                hole = true;
                cursor = end;
                break;
            };
            hole |= area.start > cursor;
            let part = area.start.max(cursor)..area.end.min(end);
            let old = Traits {
                flags: area.flags,
                watcher: area.watcher,
                policy: area.policy,
                name: area.name.clone(),
            };
            let mut new = old.clone();
            change(&mut new);
            if new != old {
                if let Err(error) = self.isolate(part.start, part.end) {
                    cursor = part.start;
                    result = Err(error);
                    break;
                }
                if let Some(mut area) = self.take(part.start) {
                    (area.flags, area.watcher) = (new.flags, new.watcher);
                    area.policy = new.policy;
                    area.name = new.name;
                    self.add(area);
                }
            }
            cursor = part.end;
        }
        self.join_between(start, cursor);
        if hole && result.is_ok() {
            result = Err(MapError::Hole);
        }
        result.map_err(|error| PartialChange {
            changed_until: cursor,
            error,
        })
    }

    /// Finds a free range and returns its start; nothing is reserved. The order is that of Linux: the hint, then
    /// the highest place in `range`, then the lowest in `fallback`. Guard gaps below areas that grow down count
    /// as taken.
    ///
    /// `None` means that there is none (`ENOMEM`), or that the length is 0.
    pub fn find_gap(&mut self, request: &GapRequest) -> Option<u64> {
        let alignment = request.alignment.max(PAGE_SIZE);
        let length = request.length.checked_next_multiple_of(PAGE_SIZE)?;
        if length == 0 || !alignment.is_power_of_two() {
            return None;
        }
        if let Some(hint) = request.hint {
            let start = hint & !(PAGE_SIZE - 1);
            if start.is_multiple_of(alignment) && self.may_place(start, length) {
                return Some(start);
            }
        }
        self.find_highest(length, alignment, &request.range)
            .or_else(|| self.find_lowest(length, alignment, &request.fallback))
    }

    /// Whether `length` bytes at `start` are free and in no guard gap.
    fn may_place(&self, start: u64, length: u64) -> bool {
        let Some(end) = start.checked_add(length) else {
            return false;
        };
        self.bounds.start <= start
            && end <= self.bounds.end
            && self
                .find_at_or_above(start)
                .is_none_or(|next| end <= next.guarded_start())
    }

    /// The highest free place in `range`.
    fn find_highest(&mut self, length: u64, alignment: u64, range: &Range<u64>) -> Option<u64> {
        let lowest = range.start.max(self.bounds.start);
        let limit = range.end.min(self.bounds.end);
        let known = self.searched.limit == limit && self.searched.length <= length;
        let top = if known {
            limit.min(self.searched.above)
        } else {
            limit
        };
        // The area that holds the top, or whose guard gap does, moves the end of the first gap down.
        let mut gap_end = self
            .find_at_or_above(top)
            .map_or(top, |next| top.min(next.guarded_start()));
        let mut above = top;
        let mut all_too_small = true;
        let mut found = None;
        let areas = self.areas.range(..top).rev();
        let bottom = self.bounds.start;
        for (start, guarded_start, end) in areas
            .map(|(_, area)| (area.start, area.guarded_start(), area.end))
            .chain([(bottom, bottom, bottom)])
        {
            found = highest_place(length, alignment, end.max(lowest), gap_end);
            // A gap that only the alignment or the range rules out may do for another request.
            all_too_small &= gap_end.saturating_sub(end) < length;
            if all_too_small {
                above = start;
            }
            if found.is_some() || start <= lowest {
                break;
            }
            gap_end = guarded_start;
        }
        self.searched = Searched {
            limit,
            above,
            length,
        };
        found
    }

    /// The lowest free place in `range`.
    fn find_lowest(&self, length: u64, alignment: u64, range: &Range<u64>) -> Option<u64> {
        let mut gap_start = range.start.max(self.bounds.start);
        let limit = range.end.min(self.bounds.end);
        for area in self.range(gap_start, limit) {
            let found = lowest_place(
                length,
                alignment,
                gap_start,
                area.guarded_start().min(limit),
            );
            if found.is_some() {
                return found;
            }
            gap_start = gap_start.max(area.end);
        }
        let gap_end = self
            .areas
            .range(limit..)
            .next()
            .map_or(limit, |(_, area)| limit.min(area.guarded_start()));
        lowest_place(length, alignment, gap_start, gap_end)
    }

    /// Extends the area above `address` down to it if that area grows down, for an access that found nothing.
    /// `limit` is `RLIMIT_STACK` in bytes. Returns the addresses that were added; none if `address` is mapped.
    ///
    /// # Errors
    /// [`MapError::Hole`]: the next area above does not grow (or there is none). [`MapError::StackLimit`]: the
    /// stack would be larger than `limit`, or come closer than the guard gap to the accessible area below it.
    /// [`MapError::OutOfRange`]: below the lowest address.
    pub fn grow_stack(&mut self, address: u64, limit: u64) -> Result<Range<u64>, MapError> {
        let start = address & !(PAGE_SIZE - 1);
        let area = self.find_at_or_above(address).ok_or(MapError::Hole)?;
        if area.contains(address) {
            return Ok(start..start);
        }
        if !area.flags.contains(AreaFlags::GROWS_DOWN) {
            return Err(MapError::Hole);
        }
        if start < self.bounds.start {
            return Err(MapError::OutOfRange);
        }
        if area.end - start > limit {
            return Err(MapError::StackLimit);
        }
        if let Some((_, below)) = self.areas.range(..start).next_back()
            && !below.flags.contains(AreaFlags::GROWS_DOWN)
            && !below.protection.is_empty()
            && start - below.end < STACK_GUARD_GAP
        {
            return Err(MapError::StackLimit);
        }
        let old_start = area.start;
        if let Some(mut area) = self.take(old_start) {
            area.start = start;
            self.add(area);
            self.join_at(start);
        }
        Ok(start..old_start)
    }

    /// The map of a forked process, see `fork(2)`: without the areas that it does not get, and with none
    /// locked or watched. What [`AreaFlags::WIPE_ON_FORK`] means for the content is the kernel's part.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut child = Self::new(self.bounds.clone());
        child.maximum_areas = self.maximum_areas;
        for area in self.iter() {
            if !area.flags.contains(AreaFlags::DONT_FORK) {
                let mut area = area.clone();
                area.flags
                    .remove(AreaFlags::LOCKED | AreaFlags::LOCK_ON_FAULT | AreaFlags::WATCHED);
                area.watcher = 0;
                let start = area.start;
                child.add(area);
                child.join_at(start);
            }
        }
        child
    }

    /// Refuses ranges that are empty, not made of whole pages or out of bounds.
    fn check(&self, start: u64, end: u64) -> Result<(), MapError> {
        if start >= end || !start.is_multiple_of(PAGE_SIZE) || !end.is_multiple_of(PAGE_SIZE) {
            return Err(MapError::Invalid);
        }
        if start < self.bounds.start || end > self.bounds.end {
            return Err(MapError::OutOfRange);
        }
        Ok(())
    }

    /// Adds an area as it is.
    fn add(&mut self, area: Area<B>) {
        self.total_bytes += area.length();
        if area.flags.contains(AreaFlags::LOCKED) {
            self.locked_bytes += area.length();
        }
        self.areas.insert(area.start, area);
    }

    /// Takes out the area that starts at `start`.
    fn take(&mut self, start: u64) -> Option<Area<B>> {
        let area = self.areas.remove(&start)?;
        self.total_bytes -= area.length();
        if area.flags.contains(AreaFlags::LOCKED) {
            self.locked_bytes -= area.length();
        }
        Some(area)
    }

    /// Makes an area of its own of the part of one area between `start` and `end`.
    fn isolate(&mut self, start: u64, end: u64) -> Result<(), MapError> {
        let Some(area) = self.find(start) else {
            return Err(MapError::Hole);
        };
        let splits = usize::from(area.start < start) + usize::from(area.end > end);
        if self.areas.len() + splits > self.maximum_areas {
            return Err(MapError::TooManyAreas);
        }
        self.split_at(start);
        self.split_at(end);
        Ok(())
    }

    /// Makes two areas of the one that holds `address` inside.
    fn split_at(&mut self, address: u64) {
        let Some((_, area)) = self.areas.range_mut(..address).next_back() else {
            return;
        };
        if area.end > address {
            let upper = area.part(address, area.end);
            area.end = address;
            self.areas.insert(address, upper);
        }
    }

    /// Makes one area of the two that meet at `address`, if nothing differs.
    fn join_at(&mut self, address: u64) {
        let Some(upper) = self.areas.get(&address) else {
            return;
        };
        let (end, flags) = (upper.end, upper.flags);
        let Some((_, lower)) = self.areas.range(..address).next_back() else {
            return;
        };
        if lower.joins(upper) {
            self.areas.remove(&address);
            if let Some((_, lower)) = self.areas.range_mut(..address).next_back() {
                lower.end = end;
                lower.flags |= flags;
            }
        }
    }

    /// Joins what can be joined where areas meet from `start` to `end`, both included.
    fn join_between(&mut self, start: u64, end: u64) {
        let mut cursor = start;
        while cursor <= end
            && let Some((&boundary, _)) = self.areas.range(cursor..=end).next()
        {
            self.join_at(boundary);
            cursor = boundary + PAGE_SIZE;
        }
    }
}

/// The highest multiple of `alignment` in a gap at which `length` bytes fit.
fn highest_place(length: u64, alignment: u64, gap_start: u64, gap_end: u64) -> Option<u64> {
    let start = gap_end.checked_sub(length)? & !(alignment - 1);
    (start >= gap_start).then_some(start)
}

/// The lowest multiple of `alignment` in a gap at which `length` bytes fit.
fn lowest_place(length: u64, alignment: u64, gap_start: u64, gap_end: u64) -> Option<u64> {
    let start = gap_start.checked_next_multiple_of(alignment)?;
    let end = start.checked_add(length)?;
    (end <= gap_end).then_some(start)
}
