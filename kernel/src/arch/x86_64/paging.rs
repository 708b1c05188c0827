//! Page tables: four levels of 512 entries (Intel SDM volume 3, chapter 4).
//!
//! The upper half (kernel) is shared by all tables; a [`PageTable`] owns the lower half. Frames for tables
//! come from the caller, since this floor stands below the frame allocator.

use core::arch::asm;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::instructions::{flush_all_translations, invalidate_page};
use super::layout::{DIRECT_MAP, DIRECT_MAP_SIZE, KERNEL_BASE, PAGE_SIZE};
use super::shootdown;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
/// Ignored by the processor: the entry holds a frame although the page is not accessible (`PROT_NONE`).
const PARKED: u64 = 1 << 9;
/// Ignored by the processor: the frame belongs to the process alone.
const OWN: u64 = 1 << 10;
/// Ignored by the processor, as are all up to bit 58: writes are to be told ([`Mark::Watched`]). An entry without a frame
/// keeps it for the page that comes.
const WATCHED: u64 = 1 << 52;
/// Of an entry without a frame: [`Mark::Poisoned`].
const POISONED: u64 = 1 << 53;
/// Of an entry without a frame: [`Mark::Guard`].
const GUARD: u64 = 1 << 54;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// What may be done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// It may be accessed at all.
    pub read: bool,
    /// It may be written.
    pub write: bool,
    /// Instructions may be fetched from it.
    pub execute: bool,
}

/// What an entry says of a page that has no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// When the page comes, the first write to it is to be told (`UFFDIO_WRITEPROTECT`).
    Watched,
    /// Its content was lost: accesses are bus errors (`UFFDIO_POISON`).
    Poisoned,
    /// Nothing may be there (`MADV_GUARD_INSTALL`).
    Guard,
}

impl Mark {
    fn encode(self) -> u64 {
        match self {
            Self::Watched => WATCHED,
            Self::Poisoned => POISONED,
            Self::Guard => GUARD,
        }
    }

    /// The mark of an entry without a frame.
    fn decode(value: u64) -> Option<Self> {
        let marks = [Self::Guard, Self::Poisoned, Self::Watched];
        marks
            .into_iter()
            .find(|mark| value & (PRESENT | PARKED) == 0 && value & mark.encode() != 0)
    }
}

/// Which marks stay when pages are taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptMarks {
    /// None: the area is gone.
    None,
    /// Guards: the content of private memory is forgotten.
    Guards,
    /// Guards, and what is watched stays watched: pages of an object, which come back with their content.
    All,
}

impl KeptMarks {
    fn mask(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Guards => GUARD,
            Self::All => GUARD | WATCHED,
        }
    }
}

/// A page of the program as the tables have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Physical address of the frame.
    pub physical: u64,
    /// What may be done.
    pub rights: Rights,
    /// It may have been written since it was mapped.
    pub dirty: bool,
    /// The frame belongs to the process alone: it is no page of an object.
    pub own: bool,
    /// It may not be written before that was told ([`Mark::Watched`]).
    pub watched: bool,
    /// It is a part of a large page. Where whole large pages are given out, this is the first frame of
    /// [`LARGE_PAGE_FRAMES`].
    pub large: bool,
}

unsafe extern "C" {
    static boot_page_map: u64;
    static boot_direct_pointers: u64;
    static boot_page_directories: u64;
    static __kernel_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __kernel_end: u8;
    static boot_stack_guard: u8;
    static boot_stack_top: u8;
}

/// First and last physical address of the kernel itself.
pub fn kernel_extent() -> (u64, u64) {
    (
        &raw const __kernel_start as u64 - KERNEL_BASE,
        &raw const __kernel_end as u64 - KERNEL_BASE,
    )
}

/// The kernel's text, as virtual addresses.
pub fn kernel_text() -> (u64, u64) {
    (&raw const __kernel_start as u64, &raw const __text_end as u64)
}

/// The boot stack: lowest usable address and top.
pub fn boot_stack() -> (u64, u64) {
    (
        &raw const boot_stack_guard as u64 + PAGE_SIZE,
        &raw const boot_stack_top as u64,
    )
}

/// Where the direct map has a physical address.
pub fn direct(physical: u64) -> *mut u8 {
    (DIRECT_MAP + physical) as *mut u8
}

/// One entry of a table. Tables are shared with the page walker, hence atomics.
fn entry(table: u64, index: usize) -> &'static AtomicU64 {
    debug_assert!(index < 512);
    // SAFETY: `table` is the physical address of a table that this module made or the boot code did; the
    // direct map covers it, and entries are only accessed atomically.
    unsafe { &*(direct(table & ADDRESS).cast::<AtomicU64>().add(index)) }
}

fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize & 511
}

/// Fills a frame with zeroes, by plain stores: where QEMU translates the instructions, a string instruction takes
/// twice as long, and a processor hardly makes a difference.
///
/// # Safety
/// The frame is memory that nobody else uses.
pub unsafe fn clear_frame(physical: u64) {
    let words = direct(physical).cast::<u64>();
    for line in (0..PAGE_SIZE as usize / 8).step_by(8) {
        for word in line..line + 8 {
            // SAFETY: inside the frame, which is the caller's. Volatile, or the loop becomes a string instruction.
            unsafe { words.add(word).write_volatile(0) };
        }
    }
}

fn zeroed_table(frames: &mut dyn FnMut() -> Option<u64>) -> Option<u64> {
    let frame = frames()?;
    // SAFETY: the frame was just handed out, so nobody else uses it.
    unsafe { clear_frame(frame) };
    Some(frame)
}

/// Finds the entry of `address` on `level` (0: pages), making tables on the way.
fn walk(root: u64, address: u64, level: u32, frames: &mut dyn FnMut() -> Option<u64>) -> Option<&'static AtomicU64> {
    let mut table = root;
    for current in (level + 1..=3).rev() {
        let slot = entry(table, index(address, current));
        let mut value = slot.load(Ordering::Relaxed);
        if value & PRESENT == 0 {
            value = zeroed_table(frames)? | PRESENT | WRITABLE;
            slot.store(value, Ordering::Release);
        }
        debug_assert!(value & LARGE == 0, "a page where a table is expected");
        table = value & ADDRESS;
    }
    Some(entry(table, index(address, level)))
}

/// As [`walk`], without making anything.
fn find(root: u64, address: u64) -> Option<&'static AtomicU64> {
    let mut table = root;
    for level in (1..=3).rev() {
        let value = entry(table, index(address, level)).load(Ordering::Relaxed);
        if value & PRESENT == 0 || value & LARGE != 0 {
            return None;
        }
        table = value & ADDRESS;
    }
    Some(entry(table, index(address, 0)))
}

fn encode(physical: u64, rights: Rights) -> u64 {
    let mut value = physical & ADDRESS;
    // Accessed and dirty are set at once, so that the processor need not come back to do it.
    value |= if rights.read || rights.write || rights.execute {
        PRESENT | ACCESSED
    } else {
        PARKED
    };
    if rights.write {
        value |= WRITABLE | DIRTY;
    }
    if !rights.execute {
        value |= NO_EXECUTE;
    }
    value
}

fn decode(value: u64) -> Option<Mapping> {
    if value & (PRESENT | PARKED) == 0 {
        return None;
    }
    let present = value & PRESENT != 0;
    Some(Mapping {
        physical: value & ADDRESS,
        rights: Rights {
            read: present,
            write: present && value & WRITABLE != 0,
            execute: present && value & NO_EXECUTE == 0,
        },
        dirty: value & DIRTY != 0,
        own: value & OWN != 0,
        watched: value & WATCHED != 0,
        large: false,
    })
}

/// Bytes of a large page: what one entry of the second level maps.
pub const LARGE_PAGE_SIZE: u64 = PAGE_SIZE << 9;
/// Frames of a large page.
pub const LARGE_PAGE_FRAMES: u64 = 512;

/// A large page as the tables have it, or its part at an offset.
fn decode_large(value: u64, offset: u64) -> Option<Mapping> {
    let mapping = decode(value & !LARGE)?;
    Some(Mapping {
        physical: mapping.physical + offset,
        large: true,
        ..mapping
    })
}

fn is_large(value: u64) -> bool {
    value & (PRESENT | LARGE) == PRESENT | LARGE
}

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
    /// Processors that use it: bit n for processor n.
    fn users(&self) -> u64 {
        self.users.load(Ordering::SeqCst)
    }

    /// This processor uses other tables now.
    pub fn deactivate(&self) {
        self.users.fetch_and(!(1 << super::cpu::cpu_index()), Ordering::SeqCst);
    }

    /// Makes these tables the processor's. They must outlive their use: whoever calls this keeps the owner of the
    /// [`PageTable`] until [`Self::deactivate`].
    pub fn activate(&self) {
        // First, so that nobody who changes them from now on leaves this processor out.
        self.users.fetch_or(1 << super::cpu::cpu_index(), Ordering::SeqCst);
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

/// What was taken out of a table: given back when all processors that use the table have forgotten it. What only this
/// processor uses is given back at once.
struct Batch<'a> {
    /// Other processors that use the table.
    others: u64,
    /// The frames for splitting large pages: one of them goes with each.
    deposits: &'a mut u64,
    /// Bits that stay in entries.
    kept: u64,
    release: &'a mut dyn FnMut(u64, Mapping),
    release_table: &'a mut dyn FnMut(u64),
    pages: Vec<(u64, Mapping)>,
    tables: Vec<u64>,
    /// Smallest range with all of it.
    range: Range<u64>,
}

impl<'a> Batch<'a> {
    fn new(
        users: u64,
        deposits: &'a mut u64,
        kept: KeptMarks,
        release: &'a mut dyn FnMut(u64, Mapping),
        release_table: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self {
            deposits,
            kept: kept.mask(),
            others: users & !(1 << super::cpu::cpu_index()),
            release,
            release_table,
            pages: Vec::new(),
            tables: Vec::new(),
            range: NOTHING,
        }
    }

    /// Whatever the size of the page, forgetting its first address forgets all of it.
    fn include(&mut self, address: u64) {
        self.range = self.range.start.min(address)..self.range.end.max(address + PAGE_SIZE);
    }

    /// A page was taken out, that was `present` or not.
    fn page(&mut self, address: u64, mapping: Mapping, present: bool) {
        if self.others == 0 {
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
        if self.others == 0 {
            invalidate_page(address);
            (self.release_table)(table);
            return;
        }
        self.include(address);
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
            forget(self.others, range);
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
        for index in 0..LARGE_PAGE_FRAMES {
            let small = (value & !LARGE) + index * PAGE_SIZE;
            entry(table, index as usize).store(small, Ordering::Relaxed);
        }
        // No processor may ever find pages of both sizes for one address. Who touches it meanwhile faults, and waits for
        // the lock that is held.
        slot.store(0, Ordering::Release);
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
        debug_assert!(address < super::layout::PROGRAM_END);
        self.split(address);
        let slot = walk(self.root, address, 0, frames).ok_or(NoFrame)?;
        let new = encode(physical, rights) | if own { OWN } else { 0 };
        let old = slot.swap(new, Ordering::AcqRel);
        if old & PRESENT != 0 {
            if loses(old, new) {
                forget(self.users(), address..address + PAGE_SIZE);
            } else {
                // Processors that know the old rights only fault once more.
                invalidate_page(address);
            }
        }
        Ok(decode(old))
    }

    /// What is mapped at an address.
    pub fn query(&self, address: u64) -> Option<Mapping> {
        match find(self.root, address) {
            Some(slot) => decode(slot.load(Ordering::Relaxed)),
            None => {
                let value = self.large_slot(address)?.load(Ordering::Relaxed);
                let offset = address & (LARGE_PAGE_SIZE - 1) & !(PAGE_SIZE - 1);
                is_large(value).then(|| decode_large(value, offset)).flatten()
            }
        }
    }

    /// Calls `change` for each mapped page in a range; what it returns becomes the page's rights.
    pub fn protect(&mut self, start: u64, end: u64, change: &mut dyn FnMut(u64, Mapping) -> Rights) {
        self.split_borders(&(start..end));
        let mut stale = NOTHING;
        // Large pages as a whole; those that may not be accessed any more become small ones.
        let mut inaccessible = NOTHING;
        visit_large(self.root, start, end, &mut |address, slot| {
            let value = slot.load(Ordering::Relaxed);
            let Some(mapping) = decode_large(value, 0) else { return };
            let rights = change(address, mapping);
            if rights.read {
                let new = encode(mapping.physical, rights) | LARGE | value & (OWN | DIRTY);
                slot.store(new, Ordering::Release);
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
            let value = slot.load(Ordering::Relaxed);
            if let Some(mapping) = decode(value) {
                let new = encode(mapping.physical, change(address, mapping)) | value & (OWN | DIRTY | WATCHED);
                slot.store(new, Ordering::Release);
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
        self.take_out(&range, &unused, KeptMarks::None, release, release_table);
    }

    /// As [`Self::unmap`], but all tables stay, and some marks.
    pub fn empty(
        &mut self,
        range: &Range<u64>,
        kept: KeptMarks,
        release: &mut dyn FnMut(u64, Mapping),
        release_table: &mut dyn FnMut(u64),
    ) {
        self.take_out(range, &(0..0), kept, release, release_table);
    }

    fn take_out(
        &mut self,
        range: &Range<u64>,
        unused: &Range<u64>,
        kept: KeptMarks,
        release: &mut dyn FnMut(u64, Mapping),
        release_table: &mut dyn FnMut(u64),
    ) {
        self.split_borders(range);
        let mut batch = Batch::new(self.users(), &mut self.deposits, kept, release, release_table);
        remove(self.root, 3, 0, range, unused, &mut batch);
        batch.flush();
    }

    /// The mark of a page without a frame.
    pub fn mark(&self, address: u64) -> Option<Mark> {
        Mark::decode(find(self.root, address)?.load(Ordering::Relaxed))
    }

    /// Whether there is neither a frame nor a mark at an address.
    pub fn is_vacant(&self, address: u64) -> bool {
        self.query(address).is_none() && self.mark(address).is_none()
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
        self.split(address);
        let slot = walk(self.root, address, 0, frames).ok_or(NoFrame)?;
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
        let mut large = NOTHING;
        visit_large(self.root, start, end, &mut |address, _| {
            large = large.start.min(address)..address + LARGE_PAGE_SIZE;
        });
        if watched {
            self.split_all(large);
        }
        let mut stale = NOTHING;
        visit(self.root, 3, 0, start, end, &mut |address, slot| {
            let value = slot.load(Ordering::Relaxed);
            if decode(value).is_none() {
                return;
            }
            let new = if watched {
                value & !WRITABLE | WATCHED
            } else {
                value & !WATCHED
            };
            slot.store(new, Ordering::Release);
            if loses(value, new) {
                stale = stale.start.min(address)..address + PAGE_SIZE;
            }
        });
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
        let mut large = NOTHING;
        visit_large(self.root, range.start, range.end, &mut |address, _| {
            large = large.start.min(address)..address + LARGE_PAGE_SIZE;
        });
        self.split_all(large);
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
            let value = slot.load(Ordering::Relaxed);
            if value != 0 {
                let place = find(self.root, target + (address - range.start)).expect("the tables are prepared");
                slot.store(0, Ordering::Release);
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
    /// have now, before the other table holds it. Other processors may write with what they remember until
    /// [`Self::end_sharing`].
    ///
    /// # Errors
    /// [`NoFrame`] for a table; what was shared until then stays so.
    pub fn share(
        &mut self,
        range: Range<u64>,
        with: &mut Self,
        retain: &mut dyn FnMut(u64),
        frames: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<(), NoFrame> {
        // Large pages are not shared as such: a write to one of their small ones would have to copy all.
        let mut large = NOTHING;
        visit_large(self.root, range.start, range.end, &mut |address, _| {
            large = large.start.min(address)..address + LARGE_PAGE_SIZE;
        });
        self.split_all(large);
        let (mut complete, mut last) = (true, (0, 0));
        visit(self.root, 3, 0, range.start, range.end, &mut |address, slot| {
            let value = slot.load(Ordering::Relaxed);
            let mapped = decode(value).is_some();
            // Pages of an object come by the first access; what is said of pages that are not there stays true, but for who
            // watches them.
            let wanted = if mapped {
                value & OWN
            } else {
                value & (GUARD | POISONED)
            };
            if !complete || wanted == 0 {
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
            if !mapped {
                place.store(wanted, Ordering::Release);
                return;
            }
            retain(value & ADDRESS);
            place.store(value & !(WRITABLE | WATCHED), Ordering::Release);
            slot.store(value & !WRITABLE, Ordering::Release);
        });
        if complete { Ok(()) } else { Err(NoFrame) }
    }

    /// Lets all processors forget that they could write to what [`Self::share`] has shared in the whole program's half.
    pub fn end_sharing(&mut self) {
        forget(self.users(), 0..super::layout::PROGRAM_END);
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

    /// Physical address of the root table, for its owner to release after [`Self::unmap`] of everything.
    pub fn root(&self) -> u64 {
        self.root
    }
}

/// Whether an entry allows less than before, or something else.
fn loses(old: u64, new: u64) -> bool {
    let lost = |flag: u64| old & flag != 0 && new & flag == 0;
    (old ^ new) & ADDRESS != 0 || lost(PRESENT) || lost(WRITABLE) || (old & NO_EXECUTE == 0 && new & NO_EXECUTE != 0)
}

/// There was no frame for a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFrame;

fn visit(table: u64, level: u32, base: u64, start: u64, end: u64, action: &mut dyn FnMut(u64, &AtomicU64)) {
    let span = PAGE_SIZE << (9 * level);
    let first = index(start.max(base), level);
    for slot in first..512 {
        let address = base + slot as u64 * span;
        if address >= end {
            break;
        }
        let item = entry(table, slot);
        if level == 0 {
            action(address, item);
            continue;
        }
        let value = item.load(Ordering::Relaxed);
        if value & PRESENT != 0 && !is_large_at(value, level) {
            visit(value & ADDRESS, level - 1, address, start.max(address), end, action);
        }
    }
}

/// Whether an entry of a level is a large page and no table.
fn is_large_at(value: u64, level: u32) -> bool {
    level == 1 && is_large(value)
}

/// Calls `action` for each large page of which some part lies in a range.
fn visit_large(root: u64, start: u64, end: u64, action: &mut dyn FnMut(u64, &AtomicU64)) {
    visit_large_below(root, 3, 0, start, end, action);
}

fn visit_large_below(table: u64, level: u32, base: u64, start: u64, end: u64, action: &mut dyn FnMut(u64, &AtomicU64)) {
    let span = PAGE_SIZE << (9 * level);
    for slot in index(start.max(base), level)..512 {
        let address = base + slot as u64 * span;
        if address >= end {
            break;
        }
        let item = entry(table, slot);
        let value = item.load(Ordering::Relaxed);
        if level == 1 {
            if is_large(value) {
                action(address, item);
            }
        } else if value & PRESENT != 0 {
            visit_large_below(value & ADDRESS, level - 1, address, start.max(address), end, action);
        }
    }
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
            if value != 0 {
                item.store(value & batch.kept, Ordering::Release);
            }
            if let Some(mapping) = decode(value) {
                batch.page(address, mapping, value & PRESENT != 0);
            }
        } else if is_large_at(value, level) {
            if let Some(mapping) = decode_large(value, 0) {
                item.store(0, Ordering::Release);
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

/// Held by whoever makes tables of the kernel's half.
static KERNEL_TABLES: crate::sync::InterruptMutex<()> = crate::sync::InterruptMutex::new(());

/// Maps a page of the kernel's half (stacks, device registers).
///
/// # Errors
/// [`NoFrame`] if there is no frame for a table.
///
/// # Safety
/// `physical` is memory that the caller owns or device registers, and `address` lies in a region of the
/// kernel's half that the caller owns.
pub unsafe fn map_kernel_page(
    address: u64,
    physical: u64,
    uncached: bool,
    frames: &mut dyn FnMut() -> Option<u64>,
) -> Result<(), NoFrame> {
    let root = &raw const boot_page_map as u64 - KERNEL_BASE;
    // Two that map at once must not both make a table.
    let _turn = KERNEL_TABLES.lock();
    let slot = walk(root, address, 0, frames).ok_or(NoFrame)?;
    let mut value = physical & ADDRESS | PRESENT | WRITABLE | ACCESSED | DIRTY | GLOBAL | NO_EXECUTE;
    if uncached {
        value |= CACHE_DISABLE | WRITE_THROUGH;
    }
    slot.store(value, Ordering::Release);
    invalidate_page(address);
    Ok(())
}

/// Maps the page of the trampoline at its own address, in the table with which processors start and no program runs.
///
/// # Errors
/// [`NoFrame`] if there is no frame for a table.
pub(super) fn map_trampoline(address: u64, frames: &mut dyn FnMut() -> Option<u64>) -> Result<(), NoFrame> {
    let root = &raw const boot_page_map as u64 - KERNEL_BASE;
    let slot = walk(root, address, 0, frames).ok_or(NoFrame)?;
    slot.store(address | PRESENT | ACCESSED, Ordering::Release);
    Ok(())
}

/// Takes a page of the kernel's half out again and returns its physical address.
///
/// # Safety
/// Nothing uses the page any more.
pub unsafe fn unmap_kernel_page(address: u64) -> Option<u64> {
    let root = &raw const boot_page_map as u64 - KERNEL_BASE;
    let slot = find(root, address)?;
    let old = slot.swap(0, Ordering::AcqRel);
    invalidate_page(address);
    decode(old).map(|mapping| mapping.physical)
}

/// Extends the direct map beyond the 4 GiB that the boot code mapped, up to `end` or its greatest size.
///
/// # Errors
/// [`NoFrame`] if a table could not be made.
pub fn extend_direct_map(end: u64, frames: &mut dyn FnMut() -> Option<u64>) -> Result<(), NoFrame> {
    let gigabyte_pages = super::instructions::cpuid(0x8000_0001, 0).edx & 1 << 26 != 0;
    let pointers = &raw const boot_direct_pointers as u64 - KERNEL_BASE;
    for gigabyte in 4..end.min(DIRECT_MAP_SIZE).div_ceil(1 << 30) {
        let physical = gigabyte << 30;
        let flags = PRESENT | WRITABLE | LARGE | GLOBAL | NO_EXECUTE;
        let slot = entry(pointers, gigabyte as usize);
        if gigabyte_pages {
            slot.store(physical | flags, Ordering::Release);
        } else {
            let table = zeroed_table(frames).ok_or(NoFrame)?;
            for large in 0..512u64 {
                entry(table, large as usize).store((physical + (large << 21)) | flags, Ordering::Relaxed);
            }
            slot.store(table | PRESENT | WRITABLE, Ordering::Release);
        }
    }
    Ok(())
}

/// Gives kernel and direct map their final rights: text executable and read-only, constants and the image
/// read-only, everything else not executable; no identity map; holes below the boot stack and
/// the interrupt stacks.
///
/// `image` is the physical range of the payload; `regions` are the ranges that are memory; everything else
/// below 4 GiB leaves the direct map.
///
/// # Errors
/// [`NoFrame`] if a table could not be made.
pub fn seal(
    image: (u64, u64),
    regions: &mut dyn Iterator<Item = (u64, u64)>,
    frames: &mut dyn FnMut() -> Option<u64>,
) -> Result<(), NoFrame> {
    let root = &raw const boot_page_map as u64 - KERNEL_BASE;
    let directories = &raw const boot_page_directories as u64 - KERNEL_BASE;
    let (kernel_start, kernel_end) = kernel_extent();
    let text_end = &raw const __text_end as u64 - KERNEL_BASE;
    let rodata_end = &raw const __rodata_end as u64 - KERNEL_BASE;
    let [first, second, third, fourth] = super::descriptors::guard_pages();
    let guards =
        [&raw const boot_stack_guard as u64, first, second, third, fourth].map(|address| address - KERNEL_BASE);

    // The kernel's own mapping: pages of its own tables.
    let kernel_directory = zeroed_table(frames).ok_or(NoFrame)?;
    for large in kernel_start >> 21..kernel_end.div_ceil(1 << 21) {
        let table = zeroed_table(frames).ok_or(NoFrame)?;
        for page in 0..512u64 {
            let physical = (large << 21) + (page << 12);
            let rights = if physical < kernel_start || physical >= kernel_end || guards.contains(&physical) {
                continue;
            } else if physical < text_end {
                PRESENT
            } else if physical < rodata_end {
                PRESENT | NO_EXECUTE
            } else {
                PRESENT | WRITABLE | NO_EXECUTE
            };
            entry(table, page as usize).store(physical | rights | GLOBAL | ACCESSED | DIRTY, Ordering::Relaxed);
        }
        entry(kernel_directory, large as usize).store(table | PRESENT | WRITABLE, Ordering::Relaxed);
    }

    // From here on the kernel no longer runs through the directories of the direct map, which change next.
    let kernel_pointers = entry(root, 511).load(Ordering::Relaxed) & ADDRESS;
    entry(kernel_pointers, 510).store(kernel_directory | PRESENT | WRITABLE, Ordering::Release);

    // The direct map below 4 GiB: memory only, never executable, sealed parts read-only.
    let read_only = [(kernel_start, rodata_end), image];
    let flags = PRESENT | ACCESSED | DIRTY | GLOBAL | NO_EXECUTE;
    let mut usable = [0u64; 2048 / 64];
    for (start, end) in regions {
        for large in start >> 21..end.div_ceil(1 << 21).min(2048) {
            usable[large as usize / 64] |= 1 << (large % 64);
        }
    }
    for large in 0..2048u64 {
        let memory = usable[large as usize / 64] & 1 << (large % 64) != 0;
        let value = if memory {
            large << 21 | flags | LARGE | WRITABLE
        } else {
            0
        };
        entry(directories, large as usize).store(value, Ordering::Relaxed);
    }
    for range in &read_only {
        for large in range.0 >> 21..range.1.div_ceil(1 << 21) {
            let slot = entry(directories, large as usize);
            let start = large << 21;
            if range.0 <= start && start + (1 << 21) <= range.1 {
                slot.store(start | flags | LARGE, Ordering::Relaxed);
                continue;
            }
            // Only partly read-only: pages instead of the large page (unless the other range did that already).
            if slot.load(Ordering::Relaxed) & LARGE == 0 {
                continue;
            }
            let table = zeroed_table(frames).ok_or(NoFrame)?;
            for page in 0..512u64 {
                let physical = start + (page << 12);
                let sealed = read_only.iter().any(|range| range.0 <= physical && physical < range.1);
                let rights = if sealed { 0 } else { WRITABLE };
                entry(table, page as usize).store(physical | flags | rights, Ordering::Relaxed);
            }
            slot.store(table | PRESENT | WRITABLE, Ordering::Release);
        }
    }

    // Tables of the regions that every address space shares must exist before the first one copies them.
    for region in [super::layout::KERNEL_STACKS, super::layout::DEVICE_REGISTERS] {
        let table = zeroed_table(frames).ok_or(NoFrame)?;
        entry(root, index(region, 3)).store(table | PRESENT | WRITABLE, Ordering::Release);
    }

    entry(root, 0).store(0, Ordering::Release);
    flush_all_translations();
    Ok(())
}
