//! Page tables: four levels of 512 entries (Intel SDM volume 3, chapter 4).
//!
//! The upper half (kernel) is shared by all tables; a [`PageTable`] owns the lower half. Frames for tables
//! come from the caller, since this floor stands below the frame allocator. This file has what an entry says; [`table`] the
//! tables of programs, [`visit`] ways through them, and [`kernel`] what all of them share.

mod kernel;
mod table;
mod visit;

use core::sync::atomic::{AtomicU64, Ordering};

use super::instructions::invalidate_page;
use super::layout::{DIRECT_MAP, KERNEL_BASE, PAGE_SIZE};

pub use kernel::{extend_direct_map, map_kernel_page, seal, unmap_kernel_page};
pub(super) use kernel::{leave_program, map_trampoline, return_to_program};
pub use table::{Activation, PageTable};

/// There was no frame for a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFrame;

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
/// Of an entry with a frame of the process: the content may be given up as long as [`DIRTY`] is not set (`MADV_FREE`). The
/// processor sets that at any time, so such an entry is only changed by instructions that lose nothing of it.
const LAZY: u64 = 1 << 55;
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
    /// It was accessed since that was last forgotten.
    pub accessed: bool,
    /// The frame belongs to the process alone: it is no page of an object.
    pub own: bool,
    /// It may not be written before that was told ([`Mark::Watched`]).
    pub watched: bool,
    /// Its content may be given up: it was not written since the program said so (`MADV_FREE`).
    pub lazy: bool,
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
    for line in (0..PAGE_SIZE as usize / 8).step_by(32) {
        for word in line..line + 32 {
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

/// The entry that says what is at an address: of a small page or, as [`is_large`] tells, of a large one. 0 where there is no table.
fn leaf(root: u64, address: u64) -> u64 {
    let mut table = root;
    for level in (1..=3).rev() {
        let value = entry(table, index(address, level)).load(Ordering::Relaxed);
        if value & PRESENT == 0 {
            return 0;
        }
        if value & LARGE != 0 {
            return value;
        }
        table = value & ADDRESS;
    }
    entry(table, index(address, 0)).load(Ordering::Relaxed)
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

/// What other rights make of an entry, the rest of which stays.
fn with_rights(value: u64, rights: Rights, kept: u64) -> u64 {
    // What may be given up becomes dirty by a write only, not by the right to it.
    let lost = if value & (LAZY | DIRTY) == LAZY { DIRTY } else { 0 };
    encode(value & ADDRESS, rights) & !lost | value & kept
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
        accessed: value & ACCESSED != 0,
        own: value & OWN != 0,
        watched: value & WATCHED != 0,
        lazy: value & (LAZY | DIRTY) == LAZY,
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
