//! The kernel's half, which all tables share: stacks, registers of devices, the direct map, and the rights of the kernel's
//! own pages.

use core::arch::asm;

use super::super::instructions::flush_all_translations;
use super::super::layout::DIRECT_MAP_SIZE;
use super::*;

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

/// Lets this processor use tables that have the kernel's half only. Returns the root that it used.
pub(in super::super) fn leave_program() -> u64 {
    let root = &raw const boot_page_map as u64 - KERNEL_BASE;
    let before: u64;
    // SAFETY: the kernel's half is the same in all tables; nothing touches the program's half before `return_to_program`.
    unsafe { asm!("mov {0}, cr3", "mov cr3, {1}", out(reg) before, in(reg) root, options(nostack, preserves_flags)) };
    before
}

/// Lets this processor use the tables again that [`leave_program`] has left, and forgets what it knows of them.
pub(in super::super) fn return_to_program(root: u64) {
    // SAFETY: the processor has kept the address space meanwhile, and the kernel's half is the same in all tables.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) };
}

/// Maps the page of the trampoline at its own address, in the table with which processors start and no program runs.
///
/// # Errors
/// [`NoFrame`] if there is no frame for a table.
pub(in super::super) fn map_trampoline(address: u64, frames: &mut dyn FnMut() -> Option<u64>) -> Result<(), NoFrame> {
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
    let gigabyte_pages = super::super::instructions::cpuid(0x8000_0001, 0).edx & 1 << 26 != 0;
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
    let [first, second, third, fourth] = super::super::descriptors::guard_pages();
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
    for region in [
        super::super::layout::KERNEL_STACKS,
        super::super::layout::DEVICE_REGISTERS,
    ] {
        let table = zeroed_table(frames).ok_or(NoFrame)?;
        entry(root, index(region, 3)).store(table | PRESENT | WRITABLE, Ordering::Release);
    }

    entry(root, 0).store(0, Ordering::Release);
    flush_all_translations();
    Ok(())
}
