//! Floor 2: memory.
//!
//! Physical frames, the kernel's heap and stacks, address spaces, and access to the program's memory.
//!
//! **A rule for all floors above**: the program's memory is touched only with no lock held that a page fault
//! may need. A fault takes the address space's lock and may ask a file for a page. So: collect frames or bytes
//! under the lock, release it, then copy.
#![allow(
    unsafe_code,
    reason = "the memory manager is one of the places where unsafe code lives"
)]

mod address_space;
mod buffer;
mod frame;
mod heap;
mod packet;
mod page_source;
mod stack;
mod user;

pub use address_space::{
    AddressSpace, Allowance, Backing, FaultError, FaultReason, FaultWatcher, Fill, Forget, Layout, MapRequest,
    MemoryPolicy, Overcommit, PageCategories, PageScan, PageShares, PageUse, Placement, RangeEvent, RemapRequest,
    SCANNED_AT_ONCE, Waited, Waiting, WatchedFault, area_limit, committed_elsewhere, for_each_area_everywhere,
    forget_object_everywhere, forgettable_bytes, give_up_for, give_up_pages, given_up_pages, set_area_limit,
};
pub use buffer::{Destination, IoSlice, Source};
pub use frame::{
    Frame, Purpose, count_file_frames, counters, file_bytes, free, free_blocks, initialise as initialise_frames,
    is_low, is_scarce, is_short, large_pages_made, ram, remember_ram, table_bytes, table_frame, total,
};
pub use heap::{counters as heap_counters, small_blocks};
pub use packet::{LARGE_PACKET, LARGEST_PACKET, Packet, PacketRoom};
pub use page_source::{MappedFile, PageError, PageSource, RingMemory, SharedMemory, promised_shared};
pub use pith_address_space::{AreaFlags, AreaName, Protection};
pub use stack::{KernelStack, stack_bytes, trim_stacks};
pub use user::{UserPointer, copy_from_user, copy_to_user, read_object, read_string, write_object};

/// Gives back what the kernel keeps only to be faster: unused stacks, idle blocks for packets and of the heap. Called with interrupts
/// on, and with no lock that these need: at the border of system calls, and for page faults.
#[cold]
pub fn reclaim() {
    packet::trim();
    stack::give_back_unused();
    heap::trim();
}

/// Bytes that [`reclaim`] would give back at least.
pub fn idle_bytes() -> u64 {
    packet::idle_bytes() + stack::unused_bytes()
}

/// Bytes of a page.
pub const PAGE_SIZE: usize = crate::arch::layout::PAGE_SIZE as usize;

/// A page of device registers or a run of them, mapped uncached into the kernel's half.
#[derive(Clone, Copy, Debug)]
pub struct DeviceWindow {
    address: u64,
    length: u64,
}

static NEXT_WINDOW: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(crate::arch::FIRST_FREE_WINDOW);

impl DeviceWindow {
    /// Maps `length` bytes of device registers at physical address `physical`. `None` if there is no memory
    /// for page tables, or if the range is (partly) RAM.
    pub fn map(physical: u64, length: u64) -> Option<Self> {
        let page = PAGE_SIZE as u64;
        let first = physical & !(page - 1);
        let end = physical.checked_add(length)?.checked_next_multiple_of(page)?;
        if frame::is_ram(first, end) {
            return None;
        }
        let base = NEXT_WINDOW.fetch_add(end - first + page, core::sync::atomic::Ordering::Relaxed);
        for offset in (0..end - first).step_by(page as usize) {
            // SAFETY: the physical range is not RAM, so no kernel object lies there; the virtual range is
            // taken from the region of device windows and given out only once.
            unsafe {
                crate::arch::boot::map_kernel_page(base + offset, first + offset, true, &mut frame::table_frame)
                    .ok()?;
            }
        }
        Some(Self {
            address: base + (physical - first),
            length,
        })
    }

    fn check<T>(&self, offset: u64) -> *mut T {
        assert!(
            offset.is_multiple_of(size_of::<T>() as u64)
                && offset
                    .checked_add(size_of::<T>() as u64)
                    .is_some_and(|end| end <= self.length),
            "register outside of its window"
        );
        (self.address + offset) as *mut T
    }

    /// Bytes in the window.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads a register.
    pub fn read_u8(&self, offset: u64) -> u8 {
        // SAFETY: inside the window (checked), which is mapped for ever and holds no Rust object.
        unsafe { self.check::<u8>(offset).read_volatile() }
    }

    /// Reads a register.
    pub fn read_u16(&self, offset: u64) -> u16 {
        // SAFETY: as for `read_u8`.
        unsafe { self.check::<u16>(offset).read_volatile() }
    }

    /// Reads a register.
    pub fn read_u32(&self, offset: u64) -> u32 {
        // SAFETY: as for `read_u8`.
        unsafe { self.check::<u32>(offset).read_volatile() }
    }

    /// Writes a register.
    pub fn write_u8(&self, offset: u64, value: u8) {
        // SAFETY: as for `read_u8`; memory that a device reaches through its registers is the driver's concern.
        unsafe { self.check::<u8>(offset).write_volatile(value) };
    }

    /// Writes a register.
    pub fn write_u16(&self, offset: u64, value: u16) {
        // SAFETY: as for `write_u8`.
        unsafe { self.check::<u16>(offset).write_volatile(value) };
    }

    /// Writes a register.
    pub fn write_u32(&self, offset: u64, value: u32) {
        // SAFETY: as for `write_u8`.
        unsafe { self.check::<u32>(offset).write_volatile(value) };
    }
}
