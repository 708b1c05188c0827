//! The tables of one program.

use core::arch::asm;
use core::ops::Range;
use core::sync::atomic::fence;

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::{shootdown, smp};
use super::visit::{count_tables, has_own, is_large_at, visit, visit_large};
use super::*;

/// What a processor needs of an address space to use it. It is apart from the [`PageTable`], whose owner holds a lock while
/// it waits for other processors: a processor that changes to another thread, with interrupts off, must not wait for that
/// lock.
#[derive(Debug)]
pub struct Activation {
    root: u64,
    /// Processors that use it: bit n for processor n.
    users: AtomicU64,
}

impl Activation {
    /// Processors that use it: bit n for processor n. A processor that is missing here sees all that was stored into the
    /// tables before this was asked, once it comes to use them.
    fn users(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.users.load(Ordering::SeqCst)
    }

    /// This processor uses other tables now.
    pub fn deactivate(&self) {
        self.users
            .fetch_and(!(1 << super::super::cpu::cpu_index()), Ordering::SeqCst);
    }

    /// Makes these tables the processor's. They must outlive their use: whoever calls this keeps the owner of the
    /// [`PageTable`] until [`Self::deactivate`].
    pub fn activate(&self) {
        // First, so that nobody who changes them from now on leaves this processor out.
        self.users
            .fetch_or(1 << super::super::cpu::cpu_index(), Ordering::SeqCst);
        // SAFETY: the upper half is the kernel's, so the kernel stays mapped.
        unsafe { asm!("mov cr3, {}", in(reg) self.root, options(nostack, preserves_flags)) };
    }
}

/// The tables of one address space. Not synchronised: the owner holds a lock, with interrupts on, since other
/// processors may have to be waited for.
#[derive(Debug)]
pub struct PageTable {
    root: u64,
    activation: Arc<Activation>,
    /// One frame for each large page, so that it can always be split: the first of a list, or 0. The first word of each
    /// is the address of the next.
    deposits: u64,
}

/// A range that any page makes larger.
const NOTHING: Range<u64> = Range {
    start: u64::MAX,
    end: 0,
};

const BATCH_PAGES: usize = 64;
const BATCH_TABLES: usize = 16;

/// What was taken out of a table: given back when all processors that use the table have forgotten it. On a machine with one
/// processor that is at once.
struct Batch<'a> {
    /// Who uses the table. A processor may come to use it at any time, and meet pages that are not taken out yet: so this is
    /// asked when they have been, each time.
    activation: Arc<Activation>,
    /// There is no other processor.
    alone: bool,
    /// The frames for splitting large pages: one of them goes with each.
    deposits: &'a mut u64,
    /// Bits that stay in entries.
    kept: u64,
    /// Only pages for which this holds are taken out, if there is such a condition.
    only: Option<&'a dyn Fn(u64, Mapping) -> bool>,
    release: &'a mut dyn FnMut(u64, Mapping),
    release_table: &'a mut dyn FnMut(u64),
    pages: Vec<(u64, Mapping)>,
    tables: Vec<u64>,
    /// There are tables among it.
    gives_tables: bool,
    /// Smallest range with all of it.
    range: Range<u64>,
}

impl<'a> Batch<'a> {
    fn new(
        activation: Arc<Activation>,
        deposits: &'a mut u64,
        kept: KeptMarks,
        release: &'a mut dyn FnMut(u64, Mapping),
        release_table: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self {
            deposits,
            kept: kept.mask(),
            only: None,
            activation,
            alone: smp::expected_processors() == 1,
            release,
            release_table,
            pages: Vec::new(),
            tables: Vec::new(),
            gives_tables: false,
            range: NOTHING,
        }
    }

    /// Takes an entry out, if it is not to stay. What it was, and what that meant.
    fn take(
        &self,
        slot: &AtomicU64,
        address: u64,
        decode: impl Fn(u64) -> Option<Mapping>,
    ) -> Option<(u64, Option<Mapping>)> {
        let mut value = slot.load(Ordering::Relaxed);
        let Some(only) = self.only else {
            if value != 0 {
                slot.store(value & self.kept, Ordering::Release);
            }
            return Some((value, decode(value)));
        };
        loop {
            let mapping = decode(value).filter(|mapping| only(address, *mapping))?;
            // The processor may note at any time that the page is written, which is asked once more then.
            let new = value & self.kept;
            match slot.compare_exchange(value, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some((value, Some(mapping))),
                Err(now) => value = now,
            }
        }
    }

    /// Whatever the size of the page, forgetting its first address forgets all of it.
    fn include(&mut self, address: u64) {
        self.range = self.range.start.min(address)..self.range.end.max(address + PAGE_SIZE);
    }

    /// A page was taken out, that was `present` or not.
    fn page(&mut self, address: u64, mapping: Mapping, present: bool) {
        if self.alone {
            if present {
                invalidate_page(address);
            }
            (self.release)(address, mapping);
            return;
        }
        if present {
            self.include(address);
        }
        if self.pages.try_reserve(1).is_err() {
            // Without memory for a list each page goes by itself.
            self.flush();
            (self.release)(address, mapping);
            return;
        }
        self.pages.push((address, mapping));
        if self.pages.len() == BATCH_PAGES {
            self.flush();
        }
    }

    /// A large page was taken out.
    fn large_page(&mut self, address: u64, mapping: Mapping) {
        // No processor ever knew the frame that was kept for splitting it.
        let deposit = core::mem::replace(self.deposits, entry(*self.deposits, 0).load(Ordering::Relaxed));
        (self.release_table)(deposit);
        self.page(address, mapping, true);
    }

    /// A table was taken out, that served this address.
    fn table(&mut self, address: u64, table: u64) {
        // Processors may hold the pointer to the table in their paging-structure caches.
        if self.alone {
            invalidate_page(address);
            (self.release_table)(table);
            return;
        }
        self.include(address);
        self.gives_tables = true;
        if self.tables.try_reserve(1).is_err() {
            self.flush();
            (self.release_table)(table);
            return;
        }
        self.tables.push(table);
        if self.tables.len() == BATCH_TABLES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.range.start < self.range.end {
            let range = core::mem::replace(&mut self.range, NOTHING);
            let users = self.activation.users();
            if core::mem::take(&mut self.gives_tables) {
                shootdown::invalidate_here(&range);
                shootdown::invalidate_tables_elsewhere(users, range);
            } else {
                forget(users, range);
            }
        }
        for (address, mapping) in self.pages.drain(..) {
            (self.release)(address, mapping);
        }
        for table in self.tables.drain(..) {
            (self.release_table)(table);
        }
    }
}

/// Lets all processors that use a table forget a range.
fn forget(users: u64, range: Range<u64>) {
    shootdown::invalidate_here(&range);
    shootdown::invalidate_elsewhere(users, range);
}

impl PageTable {
    /// New tables with the kernel's half and an empty program's half. `None` if there is no frame.
    pub fn new(frames: &mut dyn FnMut() -> Option<u64>) -> Option<Self> {
        let root = zeroed_table(frames)?;
        let kernel = &raw const boot_page_map as u64 - KERNEL_BASE;
        for slot in 256..512 {
            entry(root, slot).store(entry(kernel, slot).load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let users = AtomicU64::new(0);
        Some(Self {
            root,
            activation: Arc::new(Activation { root, users }),
            deposits: 0,
        })
    }

    /// By what processors use the tables.
    pub fn activation(&self) -> Arc<Activation> {
        self.activation.clone()
    }

    /// The entry of a large page's place, if the tables down to it exist.
    fn large_slot(&self, address: u64) -> Option<&'static AtomicU64> {
        let mut table = self.root;
        for level in [3, 2] {
            let value = entry(table, index(address, level)).load(Ordering::Relaxed);
            if value & PRESENT == 0 {
                return None;
            }
            table = value & ADDRESS;
        }
        Some(entry(table, index(address, 1)))
    }

    /// Whether a large page can be put at an address: not even a table of small pages is there.
    pub fn has_room_for_large(&self, address: u64) -> bool {
        self.large_slot(address)
            .is_none_or(|slot| slot.load(Ordering::Relaxed) == 0)
    }

    /// Maps a large page that belongs to the process where [`Self::has_room_for_large`]. `deposit` is a frame for the
    /// table that a split needs.
    ///
    /// # Errors
    /// [`NoFrame`] for a table; nothing is mapped then, and the deposit stays the caller's.
    pub fn map_large(
        &mut self,
        address: u64,
        physical: u64,
        rights: Rights,
        deposit: u64,
        frames: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<(), NoFrame> {
        debug_assert!(address.is_multiple_of(LARGE_PAGE_SIZE) && physical.is_multiple_of(LARGE_PAGE_SIZE));
        let slot = walk(self.root, address, 1, frames).ok_or(NoFrame)?;
        debug_assert!(slot.load(Ordering::Relaxed) == 0, "nothing is there");
        entry(deposit, 0).store(self.deposits, Ordering::Relaxed);
        self.deposits = deposit;
        slot.store(encode(physical, rights) | OWN | LARGE, Ordering::Release);
        Ok(())
    }

    /// Makes small pages of the large page that holds an address, if one does. What they allow stays the same.
    fn split(&mut self, address: u64) {
        let Some(slot) = self.large_slot(address) else { return };
        let value = slot.load(Ordering::Relaxed);
        if !is_large(value) {
            return;
        }
        let table = self.deposits;
        self.deposits = entry(table, 0).load(Ordering::Relaxed);
        // No processor may ever find pages of both sizes for one address. Who touches it meanwhile faults, and waits for
        // the lock that is held.
        let value = slot.swap(0, Ordering::AcqRel);
        for index in 0..LARGE_PAGE_FRAMES {
            let small = (value & !LARGE) + index * PAGE_SIZE;
            entry(table, index as usize).store(small, Ordering::Relaxed);
        }
        let start = address & !(LARGE_PAGE_SIZE - 1);
        forget(self.users(), start..start + PAGE_SIZE);
        slot.store(table | PRESENT | WRITABLE, Ordering::Release);
    }

    /// Splits all large pages of a range, which starts and ends with one.
    fn split_all(&mut self, range: Range<u64>) {
        for address in range.step_by(LARGE_PAGE_SIZE as usize) {
            self.split(address);
        }
    }

    /// Splits all large pages that a range touches.
    fn split_within(&mut self, range: &Range<u64>) {
        let mut large = NOTHING;
        visit_large(self.root, range.start, range.end, &mut |address, _| {
            large = large.start.min(address)..address + LARGE_PAGE_SIZE;
        });
        self.split_all(large);
    }

    /// Splits large pages that lie only partly in a range.
    fn split_borders(&mut self, range: &Range<u64>) {
        for border in [range.start, range.end] {
            if !border.is_multiple_of(LARGE_PAGE_SIZE) {
                self.split(border);
            }
        }
    }

    fn users(&self) -> u64 {
        self.activation.users()
    }

    /// Maps a page; what was mapped before is returned. `Err` if there is no frame for a table.
    pub fn map(
        &mut self,
        address: u64,
        physical: u64,
        rights: Rights,
        own: bool,
        frames: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<Option<Mapping>, NoFrame> {
        debug_assert!(address < super::super::layout::PROGRAM_END);
        let slot = self.slot(address, frames)?;
        let new = encode(physical, rights) | if own { OWN } else { 0 };
        let page = address..address + PAGE_SIZE;
        let old = slot.load(Ordering::Relaxed);
        if old & PRESENT != 0 && (old ^ new) & ADDRESS != 0 {
            // Nobody may write to the new frame while others still read the old one: whoever touches the page meanwhile
            // faults, and waits for the lock that is held.
            let old = slot.swap(0, Ordering::AcqRel);
            forget(self.users(), page);
            slot.store(new, Ordering::Release);
            return Ok(decode(old));
        }
        let old = slot.swap(new, Ordering::AcqRel);
        if old & PRESENT != 0 {
            if loses(old, new) {
                forget(self.users(), page);
            } else {
                // Processors that know the old rights only fault once more.
                invalidate_page(address);
            }
        }
        Ok(decode(old))
    }

    /// The entry of a small page, with the tables down to it.
    fn slot(&mut self, address: u64, frames: &mut dyn FnMut() -> Option<u64>) -> Result<&'static AtomicU64, NoFrame> {
        if let Some(slot) = find(self.root, address) {
            return Ok(slot);
        }
        self.split(address);
        walk(self.root, address, 0, frames).ok_or(NoFrame)
    }

    /// What is mapped at an address.
    pub fn query(&self, address: u64) -> Option<Mapping> {
        self.look(address).0
    }

    /// What is mapped at an address, or the mark of a page without a frame.
    pub fn look(&self, address: u64) -> (Option<Mapping>, Option<Mark>) {
        let value = leaf(self.root, address);
        if is_large(value) {
            let offset = address & (LARGE_PAGE_SIZE - 1) & !(PAGE_SIZE - 1);
            return (decode_large(value, offset), None);
        }
        (decode(value), Mark::decode(value))
    }

    /// How many tables there are below the root, with those that are kept for splitting large pages.
    pub fn table_count(&self) -> u64 {
        count_tables(self.root, 3)
    }

    /// Calls `change` for each mapped page in a range; what it returns becomes the page's rights.
    pub fn protect(&mut self, start: u64, end: u64, change: &mut dyn FnMut(u64, Mapping) -> Rights) {
        self.split_borders(&(start..end));
        let mut stale = NOTHING;
        // Large pages as a whole; those that may not be accessed any more become small ones.
        let mut inaccessible = NOTHING;
        visit_large(self.root, start, end, &mut |address, slot| {
            let Some(mapping) = decode_large(slot.load(Ordering::Relaxed), 0) else {
                return;
            };
            let rights = change(address, mapping);
            if rights.read {
                let (value, new) = update(slot, |value| with_rights(value, rights, OWN | DIRTY | LAZY | LARGE));
                if loses(value, new) {
                    stale = stale.start.min(address)..address + LARGE_PAGE_SIZE;
                } else if new != value {
                    invalidate_page(address);
                }
            } else {
                inaccessible = inaccessible.start.min(address)..address + LARGE_PAGE_SIZE;
            }
        });
        self.split_all(inaccessible);
        visit(self.root, 3, 0, start, end, &mut |address, slot| {
            if let Some(mapping) = decode(slot.load(Ordering::Relaxed)) {
                let rights = change(address, mapping);
                let (value, new) = update(slot, |value| with_rights(value, rights, OWN | DIRTY | LAZY | WATCHED));
                if value & PRESENT != 0 && loses(value, new) {
                    stale = stale.start.min(address)..address + PAGE_SIZE;
                } else if value & PRESENT != 0 && new != value {
                    invalidate_page(address);
                }
            }
        });
        if stale.start < stale.end {
            forget(self.users(), stale);
        }
    }

    /// Takes all pages of a range out and gives each to `release`. Tables of the range that serve nothing
    /// outside of `unused` (the range, or more around it that is free too) are given to `release_table`.
    /// Translations are forgotten before `release` sees the frame.
    pub fn unmap(
        &mut self,
        range: Range<u64>,
        unused: Range<u64>,
        release: &mut dyn FnMut(u64, Mapping),
        release_table: &mut dyn FnMut(u64),
    ) {
        self.take_out(&range, &unused, KeptMarks::None, None, release, release_table);
    }

    /// As [`Self::unmap`], but all tables stay, and some marks.
    pub fn empty(
        &mut self,
        range: &Range<u64>,
        kept: KeptMarks,
        release: &mut dyn FnMut(u64, Mapping),
        release_table: &mut dyn FnMut(u64),
    ) {
        self.take_out(range, &(0..0), kept, None, release, release_table);
    }

    /// As [`Self::empty`] with [`KeptMarks::All`], of pages for which a condition holds. It is asked of a large page as a
    /// whole, and once more of a page that was accessed meanwhile.
    pub fn empty_where(
        &mut self,
        range: &Range<u64>,
        only: &dyn Fn(u64, Mapping) -> bool,
        release: &mut dyn FnMut(u64, Mapping),
        release_table: &mut dyn FnMut(u64),
    ) {
        self.take_out(range, &(0..0), KeptMarks::All, Some(only), release, release_table);
    }

    fn take_out(
        &mut self,
        range: &Range<u64>,
        unused: &Range<u64>,
        kept: KeptMarks,
        only: Option<&dyn Fn(u64, Mapping) -> bool>,
        release: &mut dyn FnMut(u64, Mapping),
        release_table: &mut dyn FnMut(u64),
    ) {
        self.split_borders(range);
        let mut batch = Batch::new(self.activation(), &mut self.deposits, kept, release, release_table);
        batch.only = only;
        remove(self.root, 3, 0, range, unused, &mut batch);
        batch.flush();
    }

    /// The mark of a page without a frame.
    pub fn mark(&self, address: u64) -> Option<Mark> {
        self.look(address).1
    }

    /// Whether there is neither a frame nor a mark at an address.
    pub fn is_vacant(&self, address: u64) -> bool {
        self.look(address) == (None, None)
    }

    /// Marks a page that has no frame; a mark that was there goes.
    ///
    /// # Errors
    /// [`NoFrame`] for a table.
    pub fn set_mark(
        &mut self,
        address: u64,
        mark: Mark,
        frames: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<(), NoFrame> {
        let slot = self.slot(address, frames)?;
        debug_assert!(decode(slot.load(Ordering::Relaxed)).is_none(), "no frame is there");
        slot.store(mark.encode(), Ordering::Release);
        Ok(())
    }

    /// Calls `inspect` for each mark in a range.
    pub fn for_each_mark(&self, start: u64, end: u64, inspect: &mut dyn FnMut(u64, Mark)) {
        visit(self.root, 3, 0, start, end, &mut |address, slot| {
            if let Some(mark) = Mark::decode(slot.load(Ordering::Relaxed)) {
                inspect(address, mark);
            }
        });
    }

    /// Takes a mark away from all pages without a frame in a range.
    pub fn clear_marks(&mut self, start: u64, end: u64, mark: Mark) {
        visit(self.root, 3, 0, start, end, &mut |_, slot| {
            let value = slot.load(Ordering::Relaxed);
            if Mark::decode(value) == Some(mark) {
                slot.store(0, Ordering::Release);
            }
        });
    }

    /// Lets writes to the pages with a frame in a range be told, or no more. They become writable by the next fault.
    pub fn watch(&mut self, start: u64, end: u64, watched: bool) {
        if watched {
            self.split_within(&(start..end));
        }
        let mut stale = NOTHING;
        visit(self.root, 3, 0, start, end, &mut |address, slot| {
            if decode(slot.load(Ordering::Relaxed)).is_none() {
                return;
            }
            let (value, new) = update(slot, |value| match watched {
                true => value & !WRITABLE | WATCHED,
                false => value & !WATCHED,
            });
            if loses(value, new) {
                stale = stale.start.min(address)..address + PAGE_SIZE;
            }
        });
        if stale.start < stale.end {
            forget(self.users(), stale);
        }
    }

    /// Lets the content of the process's own pages in a range be given up until they are written again ([`Mapping::lazy`]).
    /// Those whose writes are to be told stay as they are.
    pub fn make_lazy(&mut self, range: &Range<u64>) {
        self.split_borders(range);
        let mut stale = NOTHING;
        let mut change = |address: u64, slot: &AtomicU64, size: u64| {
            let value = slot.load(Ordering::Relaxed);
            if value & (PRESENT | PARKED) == 0 || value & (OWN | WATCHED) != OWN {
                return;
            }
            let (value, new) = update(slot, |value| value & !(ACCESSED | DIRTY) | LAZY);
            // Processors that remember that it is dirty would not say so again.
            if value & PRESENT != 0 && value != new {
                stale = stale.start.min(address)..stale.end.max(address + size);
            }
        };
        visit_large(self.root, range.start, range.end, &mut |address, slot| {
            change(address, slot, LARGE_PAGE_SIZE);
        });
        visit(self.root, 3, 0, range.start, range.end, &mut |address, slot| {
            change(address, slot, PAGE_SIZE);
        });
        if stale.start < stale.end {
            forget(self.users(), stale);
        }
    }

    /// Notes that a page is written by other ways than by its address.
    pub fn note_write(&mut self, address: u64) {
        let slot = match self.large_slot(address) {
            Some(slot) if is_large(slot.load(Ordering::Relaxed)) => slot,
            _ => match find(self.root, address) {
                Some(slot) => slot,
                None => return,
            },
        };
        slot.fetch_or(DIRTY, Ordering::AcqRel);
    }

    /// Forgets which pages of a range were accessed.
    pub fn clear_accessed(&mut self, start: u64, end: u64) {
        let mut stale = NOTHING;
        let mut clear = |address: u64, slot: &AtomicU64| {
            // The processor may set bits at the same time.
            if slot.load(Ordering::Relaxed) & ACCESSED != 0 {
                slot.fetch_and(!ACCESSED, Ordering::AcqRel);
                stale = stale.start.min(address)..stale.end.max(address + PAGE_SIZE);
            }
        };
        visit_large(self.root, start, end, &mut clear);
        visit(self.root, 3, 0, start, end, &mut clear);
        if stale.start < stale.end {
            forget(self.users(), stale);
        }
    }

    /// Makes the tables that [`Self::relocate`] needs.
    ///
    /// # Errors
    /// [`NoFrame`]; tables that were made stay, for an [`Self::unmap`] of the target to release.
    pub fn prepare_relocation(
        &mut self,
        range: Range<u64>,
        target: u64,
        frames: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<(), NoFrame> {
        self.split_within(&range);
        let mut complete = true;
        visit(self.root, 3, 0, range.start, range.end, &mut |address, slot| {
            complete = complete
                && (slot.load(Ordering::Relaxed) == 0
                    || walk(self.root, target + (address - range.start), 0, frames).is_some());
        });
        if complete { Ok(()) } else { Err(NoFrame) }
    }

    /// Moves all pages of a range, with their rights and marks, to `target`, where nothing is mapped. What was watched is
    /// that no more unless `watched` says so.
    ///
    /// # Panics
    /// If [`Self::prepare_relocation`] of the same range has not succeeded before.
    pub fn relocate(&mut self, range: Range<u64>, target: u64, watched: bool) {
        let kept = if watched { !0 } else { !WATCHED };
        let mut stale = NOTHING;
        visit(self.root, 3, 0, range.start, range.end, &mut |address, slot| {
            if slot.load(Ordering::Relaxed) != 0 {
                let place = find(self.root, target + (address - range.start)).expect("the tables are prepared");
                let value = slot.swap(0, Ordering::AcqRel);
                if value & PRESENT != 0 {
                    stale = stale.start.min(address)..address + PAGE_SIZE;
                }
                place.store(value & kept, Ordering::Release);
            }
        });
        if stale.start < stale.end {
            forget(self.users(), stale);
        }
    }

    /// Shares the private pages of a range with another table, in which nothing of the range is mapped: from now on neither
    /// may write to them, and whoever does gets a page of its own by the fault. `retain` is called for each page that both
    /// have now, before the other table holds it. With `watched`, what is watched here is so there too. Other processors may
    /// write with what they remember until [`Self::end_sharing`].
    ///
    /// # Errors
    /// [`NoFrame`] for a table; what was shared until then stays so.
    pub fn share(
        &mut self,
        range: Range<u64>,
        with: &mut Self,
        watched: bool,
        retain: &mut dyn FnMut(u64),
        frames: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<(), NoFrame> {
        // Large pages are not shared as such: a write to one of their small ones would have to copy all.
        self.split_within(&range);
        let (mut complete, mut last) = (true, (0, 0));
        let kept_watch = if watched { WATCHED } else { 0 };
        visit(self.root, 3, 0, range.start, range.end, &mut |address, slot| {
            let value = slot.load(Ordering::Relaxed);
            let mapped = decode(value).is_some();
            let shared = mapped && value & OWN != 0;
            // Pages of an object come by the first access. What is said of pages that are not there stays true.
            let mark = match mapped {
                true => value & kept_watch,
                false => value & (GUARD | POISONED | kept_watch),
            };
            if !complete || !shared && mark == 0 {
                return;
            }
            // Tables are looked for once for all of their pages.
            let span = address >> 21;
            if last.1 == 0 || last.0 != span {
                let Some(first) = walk(with.root, span << 21, 0, frames) else {
                    complete = false;
                    return;
                };
                last = (span, core::ptr::from_ref(first) as u64 - DIRECT_MAP);
            }
            let place = entry(last.1, index(address, 0));
            if !shared {
                place.store(mark, Ordering::Release);
                return;
            }
            retain(value & ADDRESS);
            // Whoever may give the content up does so for itself alone.
            let (value, _) = update(slot, |value| value & !WRITABLE);
            place.store(value & !(WRITABLE | WATCHED) | mark, Ordering::Release);
        });
        if complete { Ok(()) } else { Err(NoFrame) }
    }

    /// Lets all processors forget that they could write to what [`Self::share`] has shared in the whole program's half.
    pub fn end_sharing(&mut self) {
        forget(self.users(), 0..super::super::layout::PROGRAM_END);
    }

    /// Calls `inspect` for each mapped page in a range, those that are part of large ones included.
    pub fn for_each(&self, start: u64, end: u64, inspect: &mut dyn FnMut(u64, Mapping)) {
        visit_large(self.root, start, end, &mut |address, slot| {
            let value = slot.load(Ordering::Relaxed);
            for page in (address.max(start)..(address + LARGE_PAGE_SIZE).min(end)).step_by(PAGE_SIZE as usize) {
                if let Some(mapping) = decode_large(value, page - address) {
                    inspect(page, mapping);
                }
            }
        });
        visit(self.root, 3, 0, start, end, &mut |address, slot| {
            if let Some(mapping) = decode(slot.load(Ordering::Relaxed)) {
                inspect(address, mapping);
            }
        });
    }

    /// How many large pages there are.
    pub fn large_pages(&self) -> u64 {
        let next = |deposit: u64| (deposit != 0).then_some(deposit);
        core::iter::successors(next(self.deposits), |deposit| {
            next(entry(*deposit, 0).load(Ordering::Relaxed))
        })
        .count() as u64
    }

    /// Whether any page in a range belongs to the process alone.
    pub fn has_own(&self, start: u64, end: u64) -> bool {
        has_own(self.root, 3, 0, start, end)
    }

    /// Physical address of the root table, for its owner to release after [`Self::unmap`] of everything.
    pub fn root(&self) -> u64 {
        self.root
    }
}

/// Changes an entry, without losing what the processor notes in it at the same time. What it was before, and what it is.
fn update(slot: &AtomicU64, change: impl Fn(u64) -> u64) -> (u64, u64) {
    let mut value = slot.load(Ordering::Relaxed);
    loop {
        let new = change(value);
        match slot.compare_exchange_weak(value, new, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return (value, new),
            Err(now) => value = now,
        }
    }
}

/// Whether an entry allows less than before, or something else.
fn loses(old: u64, new: u64) -> bool {
    let lost = |flag: u64| old & flag != 0 && new & flag == 0;
    (old ^ new) & ADDRESS != 0 || lost(PRESENT) || lost(WRITABLE) || (old & NO_EXECUTE == 0 && new & NO_EXECUTE != 0)
}

fn remove(table: u64, level: u32, base: u64, range: &Range<u64>, unused: &Range<u64>, batch: &mut Batch<'_>) {
    let span = PAGE_SIZE << (9 * level);
    for slot in index(range.start.max(base), level)..512 {
        let address = base + slot as u64 * span;
        if address >= range.end {
            break;
        }
        let item = entry(table, slot);
        let value = item.load(Ordering::Relaxed);
        if level == 0 {
            if let Some((value, Some(mapping))) = batch.take(item, address, decode) {
                batch.page(address, mapping, value & PRESENT != 0);
            }
        } else if is_large_at(value, level) {
            if let Some((_, Some(mapping))) = batch.take(item, address, |value| decode_large(value, 0)) {
                batch.large_page(address, mapping);
            }
        } else if value & PRESENT != 0 {
            remove(value & ADDRESS, level - 1, address, range, unused, batch);
            if unused.start <= address && address + span <= unused.end {
                item.store(0, Ordering::Release);
                batch.table(address, value & ADDRESS);
            }
        }
    }
}
