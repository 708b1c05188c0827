//! Virtual memory: `mmap(2)` and its relatives.

use alloc::sync::Arc;

use pith_linux::Errno;

use crate::arch::Access;
use crate::fs;
use crate::memory::{
    AreaFlags, AreaName, Backing, FaultError, MapRequest, PAGE_SIZE, Placement, Protection, SharedMemory, UserPointer,
    copy_to_user,
};
use crate::task::{Limits, current_process};

const MAP_SHARED: u32 = 0x01;
const MAP_PRIVATE: u32 = 0x02;
const MAP_SHARED_VALIDATE: u32 = 0x03;
const MAP_TYPE: u32 = 0x0f;
const MAP_FIXED: u32 = 0x10;
const MAP_ANONYMOUS: u32 = 0x20;
const MAP_32BIT: u32 = 0x40;
const MAP_GROWSDOWN: u32 = 0x100;
const MAP_LOCKED: u32 = 0x2000;
const MAP_NORESERVE: u32 = 0x4000;
const MAP_POPULATE: u32 = 0x8000;
const MAP_STACK: u32 = 0x2_0000;
const MAP_HUGETLB: u32 = 0x4_0000;
const MAP_SYNC: u32 = 0x8_0000;
const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;

/// `PROT_GROWSDOWN` and `PROT_GROWSUP` of `mprotect(2)`.
const PROT_GROWS: u32 = 0x0300_0000;

fn protection(bits: u32) -> Protection {
    Protection::from_bits_truncate((bits & 7) as u8)
}

/// `mmap(2)`
pub fn mmap(address: u64, length: usize, bits: u32, flags: u32, fd: i32, offset: i64) -> Result<usize, Errno> {
    let page = PAGE_SIZE as u64;
    if !(offset as u64).is_multiple_of(page) {
        return Err(Errno::EINVAL);
    }
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    let kind = flags & MAP_TYPE;
    if !matches!(kind, MAP_SHARED | MAP_PRIVATE | MAP_SHARED_VALIDATE) {
        return Err(Errno::EINVAL);
    }
    if flags & MAP_HUGETLB != 0 {
        return Err(Errno::ENOMEM); // no pages are set aside, as on a Linux with nr_hugepages = 0
    }
    let placement = if flags & MAP_FIXED_NOREPLACE != 0 {
        Placement::FixedNoReplace(address)
    } else if flags & MAP_FIXED != 0 {
        Placement::Fixed(address)
    } else if flags & MAP_32BIT != 0 {
        Placement::Low(address & !(page - 1))
    } else {
        Placement::Hint(address & !(page - 1))
    };
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 && !address.is_multiple_of(page) {
        return Err(Errno::EINVAL);
    }
    let shared = kind != MAP_PRIVATE;
    let mut area_flags = AreaFlags::empty();
    for (bit, flag) in [
        (MAP_GROWSDOWN, AreaFlags::GROWS_DOWN),
        (MAP_LOCKED, AreaFlags::LOCKED),
        (MAP_NORESERVE, AreaFlags::NO_RESERVE),
        (MAP_STACK, AreaFlags::STACK),
    ] {
        if flags & bit != 0 {
            area_flags |= flag;
        }
    }
    if shared {
        area_flags |= AreaFlags::SHARED;
    }
    let protection = protection(bits);
    let mut maximum_protection = Protection::all();
    let anonymous = |shared: bool| {
        if shared {
            Backing::Object {
                source: Arc::new(SharedMemory::default()),
                offset: 0,
            }
        } else {
            Backing::Anonymous
        }
    };
    let backing = if flags & MAP_ANONYMOUS != 0 {
        if kind == MAP_SHARED_VALIDATE || shared && flags & MAP_GROWSDOWN != 0 {
            return Err(Errno::EINVAL);
        }
        anonymous(shared)
    } else {
        if flags & MAP_GROWSDOWN != 0 || kind == MAP_SHARED_VALIDATE && flags & MAP_SYNC != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        (offset as u64).checked_add(length as u64).ok_or(Errno::EOVERFLOW)?;
        let file = fs::file_for_mapping(fd)?;
        if !file.readable {
            return Err(Errno::EACCES);
        }
        if shared && !file.writable {
            if protection.contains(Protection::WRITE) {
                return Err(Errno::EACCES);
            }
            maximum_protection.remove(Protection::WRITE);
        }
        match file.object {
            fs::Mappable::Zero => anonymous(shared),
            fs::Mappable::Object(source) => Backing::Object {
                source,
                offset: offset as u64,
            },
        }
    };
    let process = current_process();
    let space = process.address_space();
    let address = space.map(
        MapRequest {
            placement,
            length: length as u64,
            protection,
            maximum_protection,
            flags: area_flags,
            name: AreaName::None,
            backing,
        },
        process.limit(Limits::ADDRESS_SPACE),
    )?;
    if flags & (MAP_POPULATE | MAP_LOCKED) != 0 && !protection.is_empty() {
        let access = if protection.contains(Protection::WRITE) {
            Access::Write
        } else {
            Access::Read
        };
        // The mapping exists; what can't be had now is told when it is touched.
        let _ = space.populate(address, length as u64, access);
    }
    Ok(address as usize)
}

/// `munmap(2)`
pub fn munmap(address: u64, length: usize) -> Result<usize, Errno> {
    current_process().address_space().unmap(address, length as u64)?;
    Ok(0)
}

/// `mprotect(2)`
pub fn mprotect(address: u64, length: usize, bits: u32) -> Result<usize, Errno> {
    if bits & PROT_GROWS == PROT_GROWS || bits & !(7 | 8 | PROT_GROWS) != 0 {
        return Err(Errno::EINVAL);
    }
    let space = current_process().address_space();
    let (mut address, mut length) = (address, length as u64);
    if bits & PROT_GROWS != 0 {
        // PROT_GROWSDOWN: from the start of the area that grows down.
        let mut start = None;
        space.for_each_area(&mut |area| {
            if area.contains(address) && area.flags.contains(AreaFlags::GROWS_DOWN) {
                start = Some(area.start);
            }
        });
        let start = start.filter(|_| bits & 0x0200_0000 == 0).ok_or(Errno::EINVAL)?;
        length = address.saturating_add(length) - start;
        address = start;
    }
    space.protect(address, length, protection(bits))?;
    Ok(0)
}

/// `brk(2)`
pub fn brk(address: u64) -> Result<usize, Errno> {
    let process = current_process();
    let space = process.address_space();
    let (data_limit, limit) = (process.limit(Limits::DATA), process.limit(Limits::ADDRESS_SPACE));
    Ok(space.set_break(address, data_limit, limit) as usize)
}

/// `mremap(2)`
pub fn mremap(old: u64, old_length: usize, new_length: usize, flags: u64, new: u64) -> Result<usize, Errno> {
    const MAYMOVE: u64 = 1;
    const FIXED: u64 = 2;
    // MREMAP_DONTUNMAP (4) is refused like any flag of a newer kernel.
    if flags & !(MAYMOVE | FIXED) != 0 || flags & FIXED != 0 && flags & MAYMOVE == 0 {
        return Err(Errno::EINVAL);
    }
    let fixed = (flags & FIXED != 0).then_some(new);
    let may_move = flags & MAYMOVE != 0;
    let process = current_process();
    let space = process.address_space();
    let limit = process.limit(Limits::ADDRESS_SPACE);
    let address = space.remap(old, old_length as u64, new_length as u64, may_move, fixed, limit)?;
    Ok(address as usize)
}

/// `msync(2)`: there is nothing behind the page cache, so a valid request is done at once.
pub fn msync(address: u64, length: usize, flags: u64) -> Result<usize, Errno> {
    const ASYNC: u64 = 1;
    const INVALIDATE: u64 = 2;
    const SYNC: u64 = 4;
    if flags & !(ASYNC | INVALIDATE | SYNC) != 0
        || flags & ASYNC != 0 && flags & SYNC != 0
        || !address.is_multiple_of(PAGE_SIZE as u64)
    {
        return Err(Errno::EINVAL);
    }
    // As Linux: a length that overflows when it is rounded up is none.
    let length = (length as u64).wrapping_add(PAGE_SIZE as u64 - 1) & !(PAGE_SIZE as u64 - 1);
    let end = address.checked_add(length).ok_or(Errno::ENOMEM)?;
    if length == 0 || current_process().address_space().is_covered(address, end) {
        Ok(0)
    } else {
        Err(Errno::ENOMEM)
    }
}

/// `mincore(2)`
pub fn mincore(address: u64, length: usize, vector: UserPointer) -> Result<usize, Errno> {
    if !address.is_multiple_of(PAGE_SIZE as u64) {
        return Err(Errno::EINVAL);
    }
    let space = current_process().address_space();
    let mut piece = [0; 1024];
    let (mut address, mut vector) = (address, vector);
    let mut left = length.div_ceil(PAGE_SIZE);
    while left != 0 {
        let count = left.min(piece.len());
        space.in_core(address, &mut piece[..count])?;
        copy_to_user(vector, &piece[..count])?;
        address += (count * PAGE_SIZE) as u64;
        vector = vector.offset(count as u64);
        left -= count;
    }
    Ok(0)
}

/// `madvise(2)`
pub fn madvise(address: u64, length: usize, advice: i32) -> Result<usize, Errno> {
    let space = current_process().address_space();
    if !address.is_multiple_of(PAGE_SIZE as u64) {
        return Err(Errno::EINVAL);
    }
    let length = (length as u64)
        .checked_next_multiple_of(PAGE_SIZE as u64)
        .ok_or(Errno::EINVAL)?;
    let end = address.checked_add(length).ok_or(Errno::EINVAL)?;
    let none = AreaFlags::empty();
    let (set, clear) = match advice {
        0 => (none, AreaFlags::RANDOM_ACCESS | AreaFlags::SEQUENTIAL_ACCESS), // MADV_NORMAL
        1 => (AreaFlags::RANDOM_ACCESS, AreaFlags::SEQUENTIAL_ACCESS),
        2 => (AreaFlags::SEQUENTIAL_ACCESS, AreaFlags::RANDOM_ACCESS),
        4 => return space.forget(address, length, false).map(|()| 0), // MADV_DONTNEED
        8 => return space.forget(address, length, true).map(|()| 0),  // MADV_FREE
        // MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT: hints about input and output that does not exist here.
        3 | 20 | 21 => (none, none),
        10 => (AreaFlags::DONT_FORK, none),
        11 => (none, AreaFlags::DONT_FORK),
        14 => (AreaFlags::HUGE_PAGE, AreaFlags::NO_HUGE_PAGE),
        15 => (AreaFlags::NO_HUGE_PAGE, AreaFlags::HUGE_PAGE),
        16 => (AreaFlags::DONT_DUMP, none),
        17 => (none, AreaFlags::DONT_DUMP),
        18 => (AreaFlags::WIPE_ON_FORK, none),
        19 => (none, AreaFlags::WIPE_ON_FORK),
        22 | 23 => {
            // MADV_POPULATE_READ, MADV_POPULATE_WRITE
            if !space.is_covered(address, end) {
                return Err(Errno::ENOMEM);
            }
            let access = if advice == 22 { Access::Read } else { Access::Write };
            return match space.populate(address, length, access) {
                Ok(()) => Ok(0),
                Err(FaultError::Denied) => Err(Errno::EINVAL),
                Err(FaultError::NotMapped | FaultError::OutOfMemory) => Err(Errno::ENOMEM),
                Err(FaultError::BeyondEnd | FaultError::Unreadable) => Err(Errno::EFAULT),
            };
        }
        _ => return Err(Errno::EINVAL),
    };
    if length == 0 {
        return Ok(0);
    }
    space.modify_flags(address, length, set, clear)?;
    Ok(0)
}
