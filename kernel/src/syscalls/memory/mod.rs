//! Virtual memory: `mmap(2)` and its relatives.

mod advice;
mod locking;
mod nodes;
mod remote;

pub use advice::{madvise, process_madvise};
pub use locking::{mlock, mlock2, mlockall, munlock, munlockall};
pub use nodes::{get_mempolicy, mbind, migrate_pages, move_pages, set_mempolicy, set_mempolicy_home_node};
pub use remote::{process_vm_readv, process_vm_writev};

use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::Ordering;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::OpenFlags;

use crate::arch::Access;
use crate::fs::{self, user_faults};
use crate::memory::{
    AddressSpace, AreaFlags, AreaName, Backing, MapRequest, Overcommit, PAGE_SIZE, Placement, Protection, RemapRequest,
    SharedMemory, UserPointer, copy_to_user, read_object, read_string, write_object,
};
use crate::task::{self, Capabilities, current_process};

const MAP_SHARED: u32 = 0x01;
const MAP_PRIVATE: u32 = 0x02;
const MAP_SHARED_VALIDATE: u32 = 0x03;
const MAP_DROPPABLE: u32 = 0x08;
const MAP_TYPE: u32 = 0x0f;
const MAP_FIXED: u32 = 0x10;
const MAP_ANONYMOUS: u32 = 0x20;
const MAP_32BIT: u32 = 0x40;
const MAP_GROWSDOWN: u32 = 0x100;
const MAP_LOCKED: u32 = 0x2000;
const MAP_NORESERVE: u32 = 0x4000;
const MAP_POPULATE: u32 = 0x8000;
const MAP_NONBLOCK: u32 = 0x1_0000;
const MAP_STACK: u32 = 0x2_0000;
const MAP_HUGETLB: u32 = 0x4_0000;
const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;
/// The flags that `MAP_SHARED_VALIDATE` knows; the others need a file system that has them.
const MAP_VALIDATED: u32 = MAP_FIXED
    | MAP_ANONYMOUS
    | MAP_32BIT
    | MAP_GROWSDOWN
    | 0x800 // MAP_DENYWRITE
    | 0x1000 // MAP_EXECUTABLE
    | MAP_LOCKED
    | MAP_NORESERVE
    | MAP_POPULATE
    | MAP_NONBLOCK
    | MAP_STACK
    | MAP_HUGETLB
    | 0x7c00_0000; // the sizes of huge pages, MAP_UNINITIALIZED

/// `PROT_GROWSDOWN` and `PROT_GROWSUP` of `mprotect(2)`.
const PROT_GROWS: u32 = 0x0300_0000;

/// Touches what was just mapped, if it is locked: what can't be had now is told when it is touched.
fn populate_if_locked(space: &AddressSpace, address: u64, length: u64) {
    if space.locked_bytes() != 0 {
        let _ = space.populate_locked(address..address.saturating_add(length), task::go_on);
    }
}

fn protection(bits: u32) -> Protection {
    Protection::from_bits_truncate((bits & 7) as u8)
}

/// What a shared mapping without a file shows, and a mapping of `/dev/zero`.
///
/// # Errors
/// `ENOMEM` for more than may be promised.
fn zeroes(shared: bool, length: u64, flags: u32) -> Result<Backing, Errno> {
    if !shared {
        return Ok(Backing::Anonymous);
    }
    let reserved = flags & MAP_NORESERVE == 0 || Overcommit::current() == Overcommit::Never;
    if reserved && !Overcommit::admits_shared(length) {
        return Err(Errno::ENOMEM);
    }
    Ok(Backing::object(Arc::new(SharedMemory::new(length, reserved))))
}

/// What a mapping of a file shows, and the rights that it may ever have. Checks in the order of Linux.
fn mapped_file(
    file: &fs::FileForMapping,
    (offset, length): (u64, u64),
    bits: u32,
    flags: u32,
) -> Result<(Backing, Protection), Errno> {
    // Positions are signed, and whole pages are mapped.
    let largest = match file.open.inode.kind() {
        FileKind::Regular | FileKind::BlockDevice | FileKind::Socket => i64::MAX as u64,
        _ => u64::MAX,
    };
    let (kind, write) = (flags & MAP_TYPE, protection(bits).contains(Protection::WRITE));
    if length > largest || offset / PAGE_SIZE as u64 > (largest - length) / PAGE_SIZE as u64 {
        return Err(Errno::EOVERFLOW);
    }
    if kind == MAP_SHARED_VALIDATE && flags & !(MAP_VALIDATED | MAP_TYPE) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let shared = matches!(kind, MAP_SHARED | MAP_SHARED_VALIDATE);
    if !shared && kind != MAP_PRIVATE {
        return Err(Errno::EINVAL);
    }
    if shared && write && !file.writable || !file.readable {
        return Err(Errno::EACCES);
    }
    if file.no_code && protection(bits).contains(Protection::EXECUTE) {
        return Err(Errno::EPERM);
    }
    let object = file.object.as_ref().map_err(|errno| *errno)?;
    if flags & MAP_GROWSDOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let mut maximum = Protection::all();
    if shared && (file.sealed || !file.writable) {
        if file.writable && write {
            return Err(Errno::EPERM);
        }
        maximum.remove(Protection::WRITE);
    }
    file.open.accessed();
    let backing = match object {
        fs::Mappable::Zero => zeroes(shared, length, flags)?,
        fs::Mappable::Secret(_) if !shared => return Err(Errno::EINVAL),
        fs::Mappable::Object(source) | fs::Mappable::Secret(source) => Backing::Object {
            source: source.clone(),
            offset,
            file: Some(file.open.clone()),
        },
    };
    Ok((backing, maximum))
}

/// `mmap(2)`
pub fn mmap(address: u64, length: usize, bits: u32, flags: u32, fd: i32, offset: i64) -> Result<usize, Errno> {
    let page = PAGE_SIZE as u64;
    if !(offset as u64).is_multiple_of(page) {
        return Err(Errno::EINVAL);
    }
    let kind = flags & MAP_TYPE;
    let anonymous = flags & MAP_ANONYMOUS != 0;
    let file = if anonymous {
        None
    } else {
        Some(fs::file_for_mapping(fd)?)
    };
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    if flags & MAP_HUGETLB != 0 {
        return Err(Errno::ENOMEM); // no pages are set aside, as on a Linux with nr_hugepages = 0
    }
    let whole = (length as u64).checked_next_multiple_of(page).ok_or(Errno::ENOMEM)?;
    if file.is_some() && (offset as u64 / page).checked_add(whole / page).is_none() {
        return Err(Errno::EOVERFLOW);
    }
    let process = current_process();
    let allowance = process.allowance();
    let space = process.address_space();
    let placement = if flags & MAP_FIXED_NOREPLACE != 0 {
        Placement::FixedNoReplace(address)
    } else if flags & MAP_FIXED != 0 {
        Placement::Fixed(address)
    } else if flags & MAP_32BIT != 0 {
        Placement::Low(address & !(page - 1))
    } else {
        Placement::Hint(address & !(page - 1))
    };
    space.check_placement(&placement, whole)?;
    if flags & MAP_LOCKED != 0 && allowance.locked == 0 {
        return Err(Errno::EPERM);
    }
    let shared = matches!(kind, MAP_SHARED | MAP_SHARED_VALIDATE);
    let mut area_flags = AreaFlags::empty();
    for (bit, flag) in [
        (MAP_GROWSDOWN, AreaFlags::GROWS_DOWN),
        (MAP_LOCKED, AreaFlags::LOCKED),
        (MAP_STACK, AreaFlags::STACK | AreaFlags::NO_HUGE_PAGE),
    ] {
        if flags & bit != 0 {
            area_flags |= flag;
        }
    }
    if shared {
        area_flags |= AreaFlags::SHARED;
    }
    if flags & MAP_NORESERVE != 0 && Overcommit::current() != Overcommit::Never {
        area_flags |= AreaFlags::NO_RESERVE;
    }
    if kind == MAP_DROPPABLE && anonymous {
        if flags & (MAP_LOCKED | MAP_GROWSDOWN) != 0 {
            return Err(Errno::EINVAL);
        }
        area_flags |= AreaFlags::DROPPABLE | AreaFlags::NO_RESERVE | AreaFlags::WIPE_ON_FORK | AreaFlags::DONT_DUMP;
    }
    if file
        .as_ref()
        .is_some_and(|file| matches!(file.object, Ok(fs::Mappable::Secret(_))))
    {
        area_flags |= AreaFlags::SECRET | AreaFlags::LOCKED | AreaFlags::DONT_DUMP;
    }
    // The descriptor may be closed meanwhile: the file must not go with a mapping that is refused, under a lock.
    let (backing, maximum_protection) = match &file {
        Some(file) => mapped_file(file, (offset as u64, whole), bits, flags)?,
        None if !matches!(kind, MAP_SHARED | MAP_PRIVATE | MAP_DROPPABLE) || shared && flags & MAP_GROWSDOWN != 0 => {
            return Err(Errno::EINVAL);
        }
        None => (zeroes(shared, whole, flags)?, Protection::all()),
    };
    let protection = protection(bits);
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
        &allowance,
    )?;
    if flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE && !protection.is_empty() {
        // What is shared is written later, if at all: a file's times must not say that it was.
        let access = if protection.contains(Protection::WRITE) && !shared {
            Access::Write
        } else {
            Access::Read
        };
        // The mapping exists; what can't be had now is told when it is touched.
        let _ = space.populate(address, length as u64, access, task::go_on);
    }
    populate_if_locked(&space, address, length as u64);
    Ok(address as usize)
}

/// `memfd_create(2)`
pub fn memfd_create(name: UserPointer, flags: u32) -> Result<usize, Errno> {
    const CLOSE_ON_EXEC: u32 = 1;
    const ALLOW_SEALING: u32 = 2;
    const HUGE_PAGES: u32 = 4;
    const NO_EXECUTION: u32 = 8;
    const EXECUTABLE: u32 = 0x10;
    /// Longest name, without its NUL.
    const NAME_MAX: usize = 249;
    let sizes = if flags & HUGE_PAGES != 0 { 0x3f << 26 } else { 0 };
    if flags & !(0x1f | sizes) != 0 || flags & NO_EXECUTION != 0 && flags & EXECUTABLE != 0 {
        return Err(Errno::EINVAL);
    }
    let name = read_string(name, NAME_MAX + 1, Errno::EINVAL)?;
    if flags & HUGE_PAGES != 0 {
        crate::warning_once!("memfd_create with MFD_HUGETLB answers ENOSYS, as on a Linux without hugetlbfs");
        return Err(Errno::ENOSYS);
    }
    let inode = fs::memory_file(
        &name,
        flags & NO_EXECUTION == 0,
        flags & (ALLOW_SEALING | NO_EXECUTION) != 0,
    )
    .map_err(|_| Errno::ENOMEM)?;
    let file = fs::open::open_inode(inode, OpenFlags::READ_WRITE)?;
    let descriptor = fs::context::current().add(file, flags & CLOSE_ON_EXEC != 0, 0)?;
    Ok(descriptor as usize)
}

/// `memfd_secret(2)`
pub fn memfd_secret(flags: u32) -> Result<usize, Errno> {
    // The call takes the flag of `open(2)`, and no other.
    if flags & !OpenFlags::CLOSE_ON_EXEC.bits() != 0 {
        return Err(Errno::EINVAL);
    }
    let file = fs::secret_file()?;
    let descriptor = fs::context::current().add(file, flags != 0, 0)?;
    Ok(descriptor as usize)
}

/// `userfaultfd(2)`
pub fn userfaultfd(flags: u32) -> Result<usize, Errno> {
    let allowed = flags & user_faults::USER_MODE_ONLY != 0
        || user_faults::UNPRIVILEGED.load(Ordering::Relaxed)
        || crate::task::has_capability(Capabilities::TRACE);
    if !allowed {
        return Err(Errno::EPERM);
    }
    user_faults::open(flags)
}

/// `munmap(2)`
pub fn munmap(address: u64, length: usize) -> Result<usize, Errno> {
    current_process().address_space().unmap(address, length as u64)?;
    Ok(0)
}

/// `mprotect(2)`
pub fn mprotect(address: u64, length: usize, bits: u32) -> Result<usize, Errno> {
    if bits & PROT_GROWS == PROT_GROWS || !address.is_multiple_of(PAGE_SIZE as u64) {
        return Err(Errno::EINVAL);
    }
    if length == 0 {
        return Ok(0);
    }
    aligned_range(address, length).map_err(|_| Errno::ENOMEM)?;
    if bits & !(7 | 8 | PROT_GROWS) != 0 {
        return Err(Errno::EINVAL);
    }
    let process = current_process();
    let space = process.address_space();
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
    space.protect(address, length, protection(bits), &process.allowance())?;
    Ok(0)
}

/// `pkey_mprotect(2)`. Protection keys are a matter of pages for ring 3, and there are none: as on a processor without
/// them, a program has not even key 0.
pub fn pkey_mprotect(address: u64, length: usize, bits: u32, key: i32) -> Result<usize, Errno> {
    if key != -1 {
        return Err(Errno::EINVAL);
    }
    mprotect(address, length, bits)
}

/// `pkey_alloc(2)`: what Linux answers where the processor has no protection keys.
pub fn pkey_alloc(_flags: u64, _rights: u64) -> Result<usize, Errno> {
    Err(Errno::EINVAL)
}

/// `pkey_free(2)`: no key was given out.
pub fn pkey_free(_key: i32) -> Result<usize, Errno> {
    Err(Errno::EINVAL)
}

/// `PR_SET_VMA_ANON_NAME` of `prctl(2)`: a name for `/proc/PID/maps`, or none without one.
pub fn name_area(address: u64, length: u64, name: UserPointer) -> Result<usize, Errno> {
    /// Longest name, with its NUL.
    const LONGEST: usize = 80;
    let name = if name.0 == 0 {
        AreaName::None
    } else {
        let name = read_string(name, LONGEST, Errno::EINVAL)?;
        let allowed = |byte: &u8| matches!(byte, b' '..=b'~') && !b"\\`$[]".contains(byte);
        let text = core::str::from_utf8(&name).map_err(|_| Errno::EINVAL)?;
        if !name.iter().all(allowed) {
            return Err(Errno::EINVAL);
        }
        AreaName::Given(text.into())
    };
    let range = aligned_range(address, length as usize)?;
    if !range.is_empty() {
        current_process().address_space().set_name(range, &name)?;
    }
    Ok(0)
}

/// `mseal(2)`
pub fn mseal(address: u64, length: usize, flags: u64) -> Result<usize, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let range = aligned_range(address, length)?;
    if !range.is_empty() {
        current_process().address_space().seal(range)?;
    }
    Ok(0)
}

/// A range that starts at a page and is rounded up to whole ones.
///
/// # Errors
/// `EINVAL` if it does not, or beyond the last address.
fn aligned_range(address: u64, length: usize) -> Result<Range<u64>, Errno> {
    if !address.is_multiple_of(PAGE_SIZE as u64) {
        return Err(Errno::EINVAL);
    }
    let length = (length as u64)
        .checked_next_multiple_of(PAGE_SIZE as u64)
        .ok_or(Errno::EINVAL)?;
    let end = address.checked_add(length).ok_or(Errno::EINVAL)?;
    Ok(address..end)
}

/// `brk(2)`
pub fn brk(address: u64) -> Result<usize, Errno> {
    let process = current_process();
    let space = process.address_space();
    let end = space.set_break(address, &process.allowance());
    populate_if_locked(&space, 0, end);
    Ok(end as usize)
}

/// `mremap(2)`
pub fn mremap(old: u64, old_length: usize, new_length: usize, flags: u64, new: u64) -> Result<usize, Errno> {
    const MAYMOVE: u64 = 1;
    const FIXED: u64 = 2;
    const DONTUNMAP: u64 = 4;
    let (may_move, fixed, keep_old) = (flags & MAYMOVE != 0, flags & FIXED != 0, flags & DONTUNMAP != 0);
    if flags & !(MAYMOVE | FIXED | DONTUNMAP) != 0
        || (fixed || keep_old) && !may_move
        || keep_old && old_length.div_ceil(PAGE_SIZE) != new_length.div_ceil(PAGE_SIZE)
        || (fixed || keep_old) && !new.is_multiple_of(PAGE_SIZE as u64)
    {
        return Err(Errno::EINVAL);
    }
    let process = current_process();
    let space = process.address_space();
    let request = RemapRequest {
        old,
        old_length: old_length as u64,
        new_length: new_length as u64,
        may_move,
        fixed: fixed.then_some(new),
        keep_old: keep_old.then_some(new),
    };
    let address = space.remap(&request, &process.allowance())?;
    if new_length > old_length {
        populate_if_locked(&space, address, new_length as u64);
    }
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
    if length != 0 {
        let space = current_process().address_space();
        space.check_synchronised(address, end, flags & INVALIDATE != 0)?;
    }
    Ok(0)
}

/// `remap_file_pages(2)`: other pages of the same object in a part of a shared mapping. As on Linux that is a mapping of
/// its own.
pub fn remap_file_pages(address: u64, length: usize, bits: u32, first: u64, flags: u32) -> Result<usize, Errno> {
    const PAGE: u64 = PAGE_SIZE as u64;
    let start = address & !(PAGE - 1);
    let length = length as u64 & !(PAGE - 1);
    let end = start.checked_add(length).filter(|end| *end > start);
    let (end, last) = (end.ok_or(Errno::EINVAL)?, first.checked_add(length / PAGE));
    if bits != 0 || last.is_none_or(|last| last > u64::MAX / PAGE) {
        return Err(Errno::EINVAL);
    }
    let process = current_process();
    let space = process.address_space();
    let area = space.area_at(start).ok_or(Errno::EINVAL)?;
    let Backing::Object { source, file, .. } = &area.backing else {
        return Err(Errno::EINVAL);
    };
    // As on Linux, what can never be written is not shared.
    if !area.flags.contains(AreaFlags::SHARED) || !area.maximum_protection.contains(Protection::WRITE) {
        return Err(Errno::EINVAL);
    }
    // More areas may follow without a hole, if they are of the same kind.
    let mut reached = area.end;
    while reached < end {
        let next = space.area_at(reached).ok_or(Errno::EINVAL)?;
        let same = matches!(&next.backing, Backing::Object { source: other, .. } if Arc::ptr_eq(source, other));
        if !same || next.flags != area.flags || next.protection != area.protection {
            return Err(Errno::EINVAL);
        }
        reached = next.end;
    }
    space.map(
        MapRequest {
            placement: Placement::Fixed(start),
            length,
            protection: area.protection,
            maximum_protection: area.maximum_protection,
            flags: area.flags - AreaFlags::WATCHED,
            name: area.name,
            backing: Backing::Object {
                source: source.clone(),
                offset: first * PAGE,
                file: file.clone(),
            },
        },
        &process.allowance(),
    )?;
    if flags & MAP_NONBLOCK == 0 {
        // What can't be had now is told when it is touched.
        let _ = space.populate(start, length, Access::Read, task::go_on);
    }
    Ok(0)
}

/// `cachestat(2)`: how much of a file is in memory. Nothing here is ever written back or given up for want of memory.
pub fn cachestat(fd: i32, range: UserPointer, result: UserPointer, flags: u32) -> Result<usize, Errno> {
    const PAGE: u64 = PAGE_SIZE as u64;
    let file = fs::context::current().file(fd)?;
    let [offset, length]: [u64; 2] = read_object(range)?;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let first = offset / PAGE;
    let end = match length {
        0 => u64::MAX,
        length => offset.saturating_add(length - 1) / PAGE + 1,
    };
    let present = match file.file()?.mappable() {
        Ok(fs::Mappable::Object(object)) => object.present(first..end),
        _ => 0,
    };
    write_object(result, &[present, 0, 0, 0, 0])?;
    Ok(0)
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
