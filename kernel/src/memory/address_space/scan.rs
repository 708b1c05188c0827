//! What is known of pages, in bulk: `PAGEMAP_SCAN` of `ioctl_pagemap_scan(2)`.

use bitflags::bitflags;

use super::*;

/// Pages that are looked at while the address space is locked once.
pub const SCANNED_AT_ONCE: u64 = 128;

bitflags! {
    /// `PAGE_IS_*`. Nobody notes soft-dirty pages, and nothing is swapped out; but marks of pages that are not there count as
    /// that, as on Linux.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PageCategories: u64 {
        /// Writes to it may be noted by who watches it.
        const WRITES_NOTED = 1 << 0;
        /// It was written since that was last noted.
        const WRITTEN = 1 << 1;
        /// It is a page of an object.
        const FILE = 1 << 2;
        /// It is in memory.
        const PRESENT = 1 << 3;
        /// It is not, but something is known of it.
        const SWAPPED = 1 << 4;
        /// It shows the shared zeroes.
        const ZERO = 1 << 5;
        /// It is a part of a large page.
        const HUGE = 1 << 6;
        /// It was written since `clear_refs`.
        const SOFT_DIRTY = 1 << 7;
        /// Nothing may be there.
        const GUARD = 1 << 8;
    }
}

/// Which pages are looked for.
#[derive(Clone, Copy, Debug)]
pub struct PageScan {
    /// Categories that count where they are not.
    pub inverted: PageCategories,
    /// All of these.
    pub all_of: PageCategories,
    /// One of these, if any is named.
    pub any_of: PageCategories,
    /// They are told. Else nobody wants to know.
    pub tells: bool,
    /// Writes to them are noted from now on.
    pub protects: bool,
    /// An area where that is not possible is an error.
    pub checks: bool,
}

impl PageScan {
    fn matches(&self, categories: PageCategories) -> bool {
        let categories = categories.symmetric_difference(self.inverted);
        categories.contains(self.all_of) && (self.any_of.is_empty() || categories.intersects(self.any_of))
    }

    fn may_match_in(&self, area: PageCategories) -> bool {
        let required = self.all_of & PageCategories::WRITES_NOTED;
        area.symmetric_difference(self.inverted).contains(required)
    }
}

impl Inner {
    /// Whether writes to an area may be noted and nobody is told of them.
    fn notes_writes(&self, area: &Area<Backing>) -> bool {
        area.flags.contains(AreaFlags::WATCH_WRITES)
            && self
                .watcher(area.watcher)
                .is_some_and(|watcher| watcher.lets_writes_pass())
    }

    fn categories(&self, range: &Range<u64>, of_area: PageCategories) -> [PageCategories; SCANNED_AT_ONCE as usize] {
        // Where writes are noted, what nothing is known of counts as written: nobody has said that it was not.
        let vacant = match of_area.contains(PageCategories::WRITES_NOTED) {
            true => of_area | PageCategories::WRITTEN,
            false => of_area,
        };
        let mut found = [vacant; SCANNED_AT_ONCE as usize];
        let zero = Frame::shared_zero().physical();
        let place = |address: u64| ((address - range.start) / PAGE) as usize;
        self.table.for_each(range.start, range.end, &mut |address, mapping| {
            let categories = &mut found[place(address)];
            let is_zero = mapping.physical == zero;
            *categories |= PageCategories::PRESENT;
            categories.set(PageCategories::WRITTEN, !mapping.watched);
            categories.set(PageCategories::FILE, !mapping.own && !is_zero);
            categories.set(PageCategories::ZERO, is_zero);
            categories.set(PageCategories::HUGE, mapping.large);
        });
        self.table.for_each_mark(range.start, range.end, &mut |address, mark| {
            let categories = &mut found[place(address)];
            *categories |= PageCategories::SWAPPED;
            categories.set(PageCategories::WRITTEN, mark != Mark::Watched);
            categories.set(PageCategories::GUARD, mark == Mark::Guard);
        });
        found
    }

    /// Lets writes to pages be noted, whether they are there or not.
    fn note_writes(&mut self, range: Range<u64>) -> Result<(), Errno> {
        self.table.watch(range.start, range.end, true);
        for page in range.step_by(PAGE as usize) {
            if self.table.is_vacant(page) {
                let marked = self.table.set_mark(page, Mark::Watched, &mut frame::user_table_frame);
                marked.map_err(|_| Errno::ENOMEM)?;
            }
        }
        Ok(())
    }
}

impl AddressSpace {
    /// Looks for pages in a range of [`SCANNED_AT_ONCE`] at most, in ascending order. `take` is told of each, with the address
    /// space locked, and says whether there was room for it. Answers up to where that was so, or where the next area behind
    /// the range starts: there is nothing before it.
    ///
    /// # Errors
    /// `EPERM` if writes can't be noted and that was to be checked, `ENOMEM`.
    pub fn scan_pages(
        &self,
        range: &Range<u64>,
        scan: &PageScan,
        take: &mut dyn FnMut(u64, PageCategories) -> bool,
    ) -> Result<u64, Errno> {
        debug_assert!(range.end - range.start <= SCANNED_AT_ONCE * PAGE);
        let inner = &mut *self.inner.lock();
        let mut cursor = range.start;
        loop {
            let Some(area) = inner.map.range(cursor, range.end).next() else {
                let next = inner.map.find_at_or_above(range.end);
                return Ok(next.map_or(layout::PROGRAM_END, |area| area.start.max(range.end)));
            };
            let part = area.start.max(cursor)..area.end.min(range.end);
            cursor = part.end;
            let noted = inner.notes_writes(area);
            if scan.checks && !noted {
                return Err(Errno::EPERM);
            }
            let of_area = match noted {
                true => PageCategories::WRITES_NOTED,
                false => PageCategories::empty(),
            };
            if scan.protects && !noted || !scan.may_match_in(of_area) {
                continue;
            }
            let found = inner.categories(&part, of_area);
            // Pages in a row that are to be protected.
            let mut row = part.start..part.start;
            for (page, categories) in part.step_by(PAGE as usize).zip(found) {
                if !scan.matches(categories) {
                    continue;
                }
                if scan.tells && !take(page, categories) {
                    inner.note_writes(row)?;
                    return Ok(page);
                }
                if scan.protects && row.end == page {
                    row.end += PAGE;
                } else if scan.protects {
                    inner.note_writes(core::mem::replace(&mut row, page..page + PAGE))?;
                }
            }
            inner.note_writes(row)?;
        }
    }
}
