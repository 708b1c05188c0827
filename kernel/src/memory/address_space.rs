//! Address spaces: the map of areas, the page tables, and the page faults that connect them.
//!
//! The map (`libs/address_space`) says what the program asked for; the page tables hold what has been touched.
//! A fault looks the area up and puts the right frame under the page: zeroes, a page of a file, or a private
//! copy. Every entry of a page table holds one reference to its frame.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_address_space::{AddressMap, Area, AreaFlags, AreaName, GapRequest, MapError, Protection};
use pith_linux::Errno;
use spin::Mutex;

use super::frame::{self, Frame, Purpose};
use super::page_source::{PageError, PageSource};
use crate::arch::{Access, Mapping, PageTable, Rights, layout};

const PAGE: u64 = super::PAGE_SIZE as u64;

/// A fault on a page of a file maps up to this many neighbours too, if their frames exist already.
const FAULT_AROUND: u64 = 16;

/// Where the content of an area comes from.
#[derive(Clone)]
pub enum Backing {
    /// Zeroes, private to the process.
    Anonymous,
    /// An object, from `offset` (bytes, page aligned) on.
    Object {
        /// A file, shared memory, or pages of the kernel.
        source: Arc<dyn PageSource>,
        /// Offset of the area's start.
        offset: u64,
    },
}

impl PartialEq for Backing {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anonymous, Self::Anonymous) => true,
            (
                Self::Object {
                    source: one,
                    offset: first,
                },
                Self::Object {
                    source: two,
                    offset: second,
                },
            ) => Arc::ptr_eq(one, two) && first == second,
            _ => false,
        }
    }
}

impl pith_address_space::Backing for Backing {
    fn advance(&self, bytes: u64) -> Self {
        match self {
            Self::Anonymous => Self::Anonymous,
            Self::Object { source, offset } => Self::Object {
                source: source.clone(),
                offset: offset + bytes,
            },
        }
    }

    fn follows(&self, next: &Self, length: u64) -> bool {
        match (self, next) {
            (Self::Anonymous, Self::Anonymous) => true,
            (
                Self::Object {
                    source: one,
                    offset: first,
                },
                Self::Object {
                    source: two,
                    offset: second,
                },
            ) => Arc::ptr_eq(one, two) && first.checked_add(length) == Some(*second),
            _ => false,
        }
    }
}

/// Where a new mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Anywhere, here if it is free (0: no wish).
    Hint(u64),
    /// Here; what was there goes (`MAP_FIXED`).
    Fixed(u64),
    /// Here, or not at all (`MAP_FIXED_NOREPLACE`).
    FixedNoReplace(u64),
}

/// A wish for a mapping.
pub struct MapRequest {
    /// Where.
    pub placement: Placement,
    /// Bytes; rounded up to pages.
    pub length: u64,
    /// What the program may do.
    pub protection: Protection,
    /// What `mprotect` may allow at most.
    pub maximum_protection: Protection,
    /// Other properties.
    pub flags: AreaFlags,
    /// Role.
    pub name: AreaName,
    /// Content.
    pub backing: Backing,
}

impl MapRequest {
    /// Private zeroes that may be read and written, anywhere.
    pub fn anonymous(length: u64) -> Self {
        Self {
            placement: Placement::Hint(0),
            length,
            protection: Protection::READ | Protection::WRITE,
            maximum_protection: Protection::all(),
            flags: AreaFlags::empty(),
            name: AreaName::None,
            backing: Backing::Anonymous,
        }
    }
}

/// Where the parts of a program lie. Decided by `execve`, with randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// Mappings are placed below this address.
    pub mapping_top: u64,
    /// The heap (`brk`) starts here.
    pub break_start: u64,
}

/// Why a page fault could not be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// Nothing is mapped there: `SIGSEGV`, `SEGV_MAPERR`.
    NotMapped,
    /// Something is mapped, but not for this access: `SIGSEGV`, `SEGV_ACCERR`.
    Denied,
    /// The file ends before: `SIGBUS`, `BUS_ADRERR`.
    BeyondEnd,
    /// The file can't be read there: `SIGBUS`, `BUS_ADRERR`.
    Unreadable,
    /// The machine has no frame left.
    OutOfMemory,
}

impl From<PageError> for FaultError {
    fn from(error: PageError) -> Self {
        match error {
            PageError::BeyondEnd => Self::BeyondEnd,
            PageError::Unreadable => Self::Unreadable,
            PageError::OutOfMemory => Self::OutOfMemory,
        }
    }
}

struct Inner {
    map: AddressMap<Backing>,
    table: PageTable,
    layout: Layout,
    program_break: u64,
}

/// The address space of a process.
pub struct AddressSpace {
    inner: Mutex<Inner>,
    /// `RLIMIT_STACK`, kept here so that a fault need not ask the process.
    stack_limit: AtomicU64,
    /// Pages that are mapped to frames of their own.
    resident: AtomicU64,
}

fn error_of(error: MapError) -> Errno {
    match error {
        MapError::Invalid => Errno::EINVAL,
        MapError::OutOfRange => Errno::ENOMEM,
        MapError::Overlap => Errno::EEXIST,
        MapError::AccessDenied => Errno::EACCES,
        _ => Errno::ENOMEM,
    }
}

fn page_range(start: u64, length: u64) -> Result<Range<u64>, Errno> {
    if !start.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let length = length.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
    let end = start.checked_add(length).ok_or(Errno::ENOMEM)?;
    if end > layout::PROGRAM_END {
        return Err(Errno::ENOMEM);
    }
    Ok(start..end)
}

impl AddressSpace {
    /// An empty address space. `None` if there is no frame for its root table.
    pub fn new() -> Option<Arc<Self>> {
        let table = PageTable::new(&mut frame::table_frame)?;
        Some(Arc::new(Self {
            inner: Mutex::new(Inner {
                map: AddressMap::new(layout::PROGRAM_START..layout::PROGRAM_END),
                table,
                layout: Layout {
                    mapping_top: layout::PROGRAM_END,
                    break_start: 0,
                },
                program_break: 0,
            }),
            stack_limit: AtomicU64::new(8 << 20),
            resident: AtomicU64::new(0),
        }))
    }

    /// Says where mappings and heap go.
    pub fn set_layout(&self, layout: Layout) {
        let mut inner = self.inner.lock();
        inner.layout = layout;
        inner.program_break = layout.break_start;
    }

    /// Tells the limit of the stack's size, in bytes.
    pub fn set_stack_limit(&self, limit: u64) {
        self.stack_limit.store(limit, Ordering::Relaxed);
    }

    /// Makes this the address space of the processor.
    pub fn activate(&self) {
        self.inner.lock().table.activate();
    }

    /// Bytes in all areas (`VmSize`).
    pub fn total_bytes(&self) -> u64 {
        self.inner.lock().map.total_bytes()
    }

    /// Bytes that have been touched (`VmRSS`).
    pub fn resident_bytes(&self) -> u64 {
        self.resident.load(Ordering::Relaxed) * PAGE
    }

    /// Calls `action` for each area, in ascending order, with the address space locked.
    pub fn for_each_area(&self, action: &mut dyn FnMut(&Area<Backing>)) {
        self.inner.lock().map.iter().for_each(action);
    }

    /// Maps something and returns its address. `limit` is `RLIMIT_AS` in bytes.
    ///
    /// # Errors
    /// As `mmap(2)`: `ENOMEM`, `EINVAL`, `EEXIST`, `EPERM` (below the lowest address).
    pub fn map(&self, request: MapRequest, limit: u64) -> Result<u64, Errno> {
        let length = request.length.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
        if length == 0 {
            return Err(Errno::EINVAL);
        }
        if length > layout::PROGRAM_END {
            return Err(Errno::ENOMEM);
        }
        // As Linux's heuristic overcommit: what could never be backed is refused at once.
        let accountable = request.protection.contains(Protection::WRITE)
            && !request.flags.intersects(AreaFlags::SHARED | AreaFlags::NO_RESERVE);
        if accountable && length > frame::counters().total {
            return Err(Errno::ENOMEM);
        }
        let mut removed = Vec::new();
        let address = {
            let inner = &mut *self.inner.lock();
            let start = match request.placement {
                Placement::Hint(hint) => {
                    let mut gap = GapRequest::new(length, layout::PROGRAM_START..inner.layout.mapping_top);
                    gap.hint = (hint >= layout::PROGRAM_START).then_some(hint);
                    gap.fallback = inner.layout.mapping_top..layout::PROGRAM_END;
                    inner.map.find_gap(&gap).ok_or(Errno::ENOMEM)?
                }
                Placement::Fixed(start) | Placement::FixedNoReplace(start) => {
                    let range = page_range(start, length)?;
                    if range.start < layout::PROGRAM_START {
                        return Err(Errno::EPERM);
                    }
                    if !inner.map.is_free(range.start, range.end) {
                        if matches!(request.placement, Placement::FixedNoReplace(_)) {
                            return Err(Errno::EEXIST);
                        }
                        removed = inner.map.unmap(range.start, range.end).map_err(error_of)?;
                        self.release_range(inner, range.clone());
                    }
                    start
                }
            };
            if inner.map.total_bytes().saturating_add(length) > limit {
                return Err(Errno::ENOMEM);
            }
            inner
                .map
                .insert(Area {
                    start,
                    end: start + length,
                    protection: request.protection,
                    maximum_protection: request.maximum_protection,
                    flags: request.flags,
                    name: request.name,
                    backing: request.backing,
                })
                .map_err(error_of)?;
            start
        };
        // Files may be closed by this, which must not happen under the lock.
        drop(removed);
        Ok(address)
    }

    /// Takes the frames of a range out of the page tables.
    fn release_range(&self, inner: &mut Inner, range: Range<u64>) {
        let mut count = 0;
        inner.table.unmap(
            range.start,
            range.end,
            &mut |_, mapping| {
                count += 1;
                // SAFETY: the entry held this reference and is gone; the translation was forgotten.
                drop(unsafe { Frame::from_raw(mapping.physical) });
            },
            &mut frame::release_table,
        );
        self.resident.fetch_sub(count, Ordering::Relaxed);
    }

    /// Removes all mappings in a range, as `munmap(2)`.
    ///
    /// # Errors
    /// `EINVAL` for an address that is not aligned or an empty range, `ENOMEM` for too many areas.
    pub fn unmap(&self, start: u64, length: u64) -> Result<(), Errno> {
        let range = page_range(start, length).map_err(|_| Errno::EINVAL)?;
        if range.is_empty() {
            return Err(Errno::EINVAL);
        }
        let low = range.start.max(layout::PROGRAM_START);
        if low >= range.end {
            return Ok(());
        }
        let removed = {
            let inner = &mut *self.inner.lock();
            let removed = inner.map.unmap(low, range.end).map_err(error_of)?;
            if !removed.is_empty() {
                self.release_range(inner, low..range.end);
            }
            removed
        };
        drop(removed);
        Ok(())
    }

    /// Changes what the program may do in a range, as `mprotect(2)`.
    ///
    /// # Errors
    /// `EINVAL`, `ENOMEM` (a hole), `EACCES`.
    pub fn protect(&self, start: u64, length: u64, protection: Protection) -> Result<(), Errno> {
        let range = page_range(start, length)?;
        if range.is_empty() {
            return Ok(());
        }
        if range.start < layout::PROGRAM_START {
            return Err(Errno::ENOMEM);
        }
        let inner = &mut *self.inner.lock();
        let result = inner.map.protect(range.start, range.end, protection);
        let changed_until = match &result {
            Ok(()) => range.end,
            Err(change) => change.changed_until,
        };
        let accessible = !protection.is_empty();
        inner
            .table
            .protect(range.start, changed_until, &mut |_, mapping| Rights {
                read: accessible,
                // A page becomes writable by the fault that knows whether it must be copied first.
                write: mapping.rights.write && protection.contains(Protection::WRITE),
                execute: protection.contains(Protection::EXECUTE),
            });
        result.map_err(|change| error_of(change.error))
    }

    /// Moves the end of the heap, as `brk(2)`: returns the new end, or the old one if that is not possible.
    /// `limit` is the smaller of what `RLIMIT_DATA` and `RLIMIT_AS` leave, in bytes of heap.
    pub fn set_break(&self, wanted: u64, limit: u64) -> u64 {
        let inner = &mut *self.inner.lock();
        let start = inner.layout.break_start;
        let old = inner.program_break;
        if wanted < start || wanted >= layout::PROGRAM_END || wanted - start > limit {
            return old;
        }
        let (old_end, new_end) = (old.next_multiple_of(PAGE), wanted.next_multiple_of(PAGE));
        if new_end < old_end {
            if inner.map.unmap(new_end, old_end).is_err() {
                return old;
            }
            self.release_range(inner, new_end..old_end);
        } else if new_end > old_end {
            if new_end - old_end > frame::counters().total || !inner.map.is_free(old_end, new_end + PAGE) {
                return old;
            }
            let area = Area {
                start: old_end,
                end: new_end,
                protection: Protection::READ | Protection::WRITE,
                maximum_protection: Protection::all(),
                flags: AreaFlags::empty(),
                name: AreaName::Heap,
                backing: Backing::Anonymous,
            };
            if inner.map.insert(area).is_err() {
                return old;
            }
        }
        inner.program_break = wanted;
        wanted
    }

    /// Forgets the content of a range (`MADV_DONTNEED`): private pages become zeroes, or the file's again.
    /// With `anonymous_only`, other areas are an error (`MADV_FREE`).
    ///
    /// # Errors
    /// `EINVAL`, `ENOMEM` (a hole; the rest is done).
    pub fn forget(&self, start: u64, length: u64, anonymous_only: bool) -> Result<(), Errno> {
        let range = page_range(start, length)?;
        let inner = &mut *self.inner.lock();
        let mut parts = Vec::new();
        for area in inner.map.range(range.start, range.end) {
            let private = area.backing == Backing::Anonymous && !area.flags.contains(AreaFlags::SHARED);
            if area.flags.contains(AreaFlags::LOCKED) || anonymous_only && !private {
                return Err(Errno::EINVAL);
            }
            parts.push(area.start.max(range.start)..area.end.min(range.end));
        }
        let covered = inner.map.is_covered(range.start, range.end);
        for part in parts {
            self.release_range(inner, part);
        }
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Sets and clears flags of the areas in a range.
    ///
    /// # Errors
    /// `EINVAL`, `ENOMEM` (a hole; the rest is done).
    pub fn modify_flags(&self, start: u64, length: u64, set: AreaFlags, clear: AreaFlags) -> Result<(), Errno> {
        let range = page_range(start, length)?;
        self.inner
            .lock()
            .map
            .modify_flags(range.start, range.end, set, clear)
            .map_err(|change| error_of(change.error))
    }

    /// Whether every page of a range is mapped.
    pub fn is_covered(&self, start: u64, end: u64) -> bool {
        self.inner.lock().map.is_covered(start, end)
    }

    /// Tells for each page of a range whether it is in memory (`mincore(2)`).
    ///
    /// # Errors
    /// `EINVAL` if not aligned, `ENOMEM` if a page is not mapped.
    pub fn in_core(&self, start: u64, length: u64) -> Result<Vec<u8>, Errno> {
        let range = page_range(start, length)?;
        let inner = self.inner.lock();
        if !inner.map.is_covered(range.start, range.end) {
            return Err(Errno::ENOMEM);
        }
        let count = ((range.end - range.start) / PAGE) as usize;
        let mut vector = Vec::new();
        vector.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        vector.resize(count, 0);
        inner.table.for_each(range.start, range.end, &mut |address, _| {
            vector[((address - range.start) / PAGE) as usize] = 1;
        });
        Ok(vector)
    }

    /// Changes the size of a mapping, and moves it if that is allowed, as `mremap(2)` without
    /// `MREMAP_DONTUNMAP`. `fixed` is the new address of `MREMAP_FIXED`.
    ///
    /// # Errors
    /// As `mremap(2)`: `EFAULT`, `EINVAL`, `ENOMEM`.
    pub fn remap(
        &self,
        old: u64,
        old_length: u64,
        new_length: u64,
        may_move: bool,
        fixed: Option<u64>,
    ) -> Result<u64, Errno> {
        let old_range = page_range(old, old_length).map_err(|_| Errno::EINVAL)?;
        let new_length = new_length.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
        if new_length == 0 || old_range.is_empty() {
            return Err(Errno::EINVAL);
        }
        let old_length = old_range.end - old_range.start;
        let mut removed = Vec::new();
        let inner = &mut *self.inner.lock();
        let area = inner.map.find(old).ok_or(Errno::EFAULT)?.clone();
        if area.end < old_range.end {
            return Err(Errno::EFAULT);
        }
        if let Some(target) = fixed {
            let new_range = page_range(target, new_length)?;
            if new_range.start < old_range.end && old_range.start < new_range.end {
                return Err(Errno::EINVAL);
            }
            if new_range.start < layout::PROGRAM_START {
                return Err(Errno::EPERM);
            }
            removed = inner.map.unmap(new_range.start, new_range.end).map_err(error_of)?;
            self.release_range(inner, new_range);
        }
        if new_length <= old_length && fixed.is_none() {
            if new_length < old_length {
                removed = inner.map.unmap(old + new_length, old_range.end).map_err(error_of)?;
                self.release_range(inner, old + new_length..old_range.end);
            }
            drop(removed);
            return Ok(old);
        }
        let part = |start: u64, end: u64| Area {
            start,
            end,
            backing: pith_address_space::Backing::advance(&area.backing, old - area.start),
            ..area.clone()
        };
        if fixed.is_none()
            && area.end == old_range.end
            && old
                .checked_add(new_length)
                .is_some_and(|end| end <= layout::PROGRAM_END)
            && inner.map.is_free(old_range.end, old + new_length)
        {
            let mut extension = part(old_range.end, old + new_length);
            extension.backing = pith_address_space::Backing::advance(&extension.backing, old_length);
            inner.map.insert(extension).map_err(error_of)?;
            return Ok(old);
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        let target = match fixed {
            Some(target) => target,
            None => {
                let gap = GapRequest::new(new_length, layout::PROGRAM_START..inner.layout.mapping_top);
                inner.map.find_gap(&gap).ok_or(Errno::ENOMEM)?
            }
        };
        inner.map.insert(part(target, target + new_length)).map_err(error_of)?;
        let kept = old_length.min(new_length);
        let mut failed = false;
        let mut moved = Vec::new();
        inner.table.unmap(
            old,
            old + kept,
            &mut |address, mapping| moved.push((address, mapping)),
            &mut frame::release_table,
        );
        for (address, mapping) in moved {
            let place = target + (address - old);
            if inner
                .table
                .map(place, mapping.physical, mapping.rights, &mut frame::table_frame)
                .is_err()
            {
                failed = true;
                // SAFETY: the reference was the old entry's, and no entry holds it now.
                drop(unsafe { Frame::from_raw(mapping.physical) });
            }
        }
        let gone = inner.map.unmap(old_range.start, old_range.end).map_err(error_of)?;
        self.release_range(inner, old_range);
        drop((removed, gone));
        if failed {
            crate::error!("out of memory while a mapping moved: part of it reads as zeroes");
        }
        Ok(target)
    }

    /// Repairs a page fault.
    ///
    /// # Errors
    /// [`FaultError`]: what the program is to be told.
    pub fn handle_fault(&self, address: u64, access: Access) -> Result<(), FaultError> {
        let mut inner = self.inner.lock();
        self.fault(&mut inner, address, access).map(|_| ())
    }

    fn fault(&self, inner: &mut Inner, address: u64, access: Access) -> Result<u64, FaultError> {
        if inner.map.find(address).is_none() {
            let limit = self.stack_limit.load(Ordering::Relaxed);
            inner
                .map
                .grow_stack(address, limit)
                .map_err(|_| FaultError::NotMapped)?;
        }
        let area = inner.map.find(address).ok_or(FaultError::NotMapped)?;
        let protection = area.protection;
        let allowed = match access {
            Access::Read => !protection.is_empty(),
            Access::Write => protection.contains(Protection::WRITE),
            Access::Execute => protection.contains(Protection::EXECUTE),
        };
        if !allowed {
            return Err(FaultError::Denied);
        }
        let page = address & !(PAGE - 1);
        let shared = area.flags.contains(AreaFlags::SHARED);
        let write = access == Access::Write;
        let rights = Rights {
            read: true,
            write,
            execute: protection.contains(Protection::EXECUTE),
        };
        let table = &mut inner.table;

        if let Some(mapping) = table.query(page) {
            if mapping.rights.read
                && (!write || mapping.rights.write)
                && (access != Access::Execute || mapping.rights.execute)
            {
                return Ok(mapping.physical); // somebody repaired it already
            }
            if !write {
                // Present in memory, but not accessible until now.
                let keep = Rights {
                    write: mapping.rights.write,
                    ..rights
                };
                return Self::install(table, page, mapping.physical, keep).map(|_| mapping.physical);
            }
            return Self::make_writable(table, area, page, mapping, rights, shared);
        }

        let frame = match &area.backing {
            Backing::Anonymous if write => Frame::zeroed(Purpose::User).ok_or(FaultError::OutOfMemory)?,
            Backing::Anonymous => Frame::shared_zero().ok_or(FaultError::OutOfMemory)?,
            Backing::Object { source, offset } => {
                let index = (offset + (page - area.start)) / PAGE;
                let frame = source.page(index, write && shared)?;
                if write && !shared {
                    frame.duplicate(Purpose::User).ok_or(FaultError::OutOfMemory)?
                } else {
                    frame
                }
            }
        };
        let physical = frame.into_raw();
        let mut added = 1;
        if let Err(error) = Self::install(table, page, physical, rights) {
            // SAFETY: the reference was put into the address just now and no entry holds it.
            drop(unsafe { Frame::from_raw(physical) });
            return Err(error);
        }
        if let Backing::Object { source, offset } = &area.backing
            && !write
        {
            let window = page & !(FAULT_AROUND * PAGE - 1);
            for neighbour in
                (window.max(area.start)..(window + FAULT_AROUND * PAGE).min(area.end)).step_by(PAGE as usize)
            {
                if neighbour == page || table.query(neighbour).is_some() {
                    continue;
                }
                let Ok(frame) = source.page((offset + (neighbour - area.start)) / PAGE, false) else {
                    break;
                };
                let raw = frame.into_raw();
                if Self::install(table, neighbour, raw, rights).is_err() {
                    // SAFETY: as above.
                    drop(unsafe { Frame::from_raw(raw) });
                    break;
                }
                added += 1;
            }
        }
        self.resident.fetch_add(added, Ordering::Relaxed);
        Ok(physical)
    }

    /// A page that is in memory is to be written: it is this process's own, or it is copied, or the object
    /// behind it gives its own frame.
    fn make_writable(
        table: &mut PageTable,
        area: &Area<Backing>,
        page: u64,
        mapping: Mapping,
        rights: Rights,
        shared: bool,
    ) -> Result<u64, FaultError> {
        // SAFETY: the entry holds this reference; it is only looked at here and given back below.
        let current = unsafe { Frame::from_raw(mapping.physical) };
        let new = match &area.backing {
            Backing::Object { source, offset } if shared => {
                match source.page((offset + (page - area.start)) / PAGE, true) {
                    Ok(frame) => frame,
                    Err(error) => {
                        core::mem::forget(current);
                        return Err(error.into());
                    }
                }
            }
            _ if !current.is_shared_zero() && current.references() == 1 => {
                let physical = current.into_raw();
                return Self::install(table, page, physical, rights).map(|_| physical);
            }
            _ => {
                let copy = if current.is_shared_zero() {
                    Frame::zeroed(Purpose::User)
                } else {
                    current.duplicate(Purpose::User)
                };
                match copy {
                    Some(frame) => frame,
                    None => {
                        core::mem::forget(current);
                        return Err(FaultError::OutOfMemory);
                    }
                }
            }
        };
        let physical = new.into_raw();
        // The entry exists, so no table is needed and this can't fail; the old reference goes with `current`.
        Self::install(table, page, physical, rights)?;
        drop(current);
        Ok(physical)
    }

    /// Puts a frame under a page. The reference in `physical` goes into the entry; that of an entry which was
    /// there before is the caller's.
    fn install(table: &mut PageTable, page: u64, physical: u64, rights: Rights) -> Result<(), FaultError> {
        table
            .map(page, physical, rights, &mut frame::table_frame)
            .map(|_| ())
            .map_err(|_| FaultError::OutOfMemory)
    }

    /// Touches every page of a range (`MAP_POPULATE`); stops without a word where that is not possible.
    pub fn populate(&self, start: u64, length: u64) {
        for page in (start..start.saturating_add(length)).step_by(PAGE as usize) {
            let mut inner = self.inner.lock();
            let writable = inner
                .map
                .find(page)
                .is_some_and(|area| area.protection.contains(Protection::WRITE));
            let access = if writable { Access::Write } else { Access::Read };
            if self.fault(&mut inner, page, access).is_err() {
                break;
            }
        }
    }

    /// Writes into a private, writable area of an address space that need not be active (`execve`).
    ///
    /// # Errors
    /// `EFAULT` if the range is not such an area, `ENOMEM`.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.each_page(address, bytes.len() as u64, |frame, offset, done, length| {
            frame.write(offset, &bytes[done..done + length]);
        })
    }

    /// Zeroes a part of a private area of an address space that need not be active.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn clear(&self, range: Range<u64>) -> Result<(), Errno> {
        self.each_page(range.start, range.end - range.start, |frame, offset, _, length| {
            frame.clear(offset..offset + length);
        })
    }

    fn each_page(
        &self,
        address: u64,
        total: u64,
        mut action: impl FnMut(&Frame, usize, usize, usize),
    ) -> Result<(), Errno> {
        let mut done = 0;
        while done < total {
            let place = address + done;
            let offset = place % PAGE;
            let length = (PAGE - offset).min(total - done);
            let mut inner = self.inner.lock();
            let physical = self
                .fault(&mut inner, place, Access::Write)
                .map_err(|error| match error {
                    FaultError::OutOfMemory => Errno::ENOMEM,
                    _ => Errno::EFAULT,
                })?;
            // SAFETY: the entry holds the reference and can't go while the lock is held; it is only borrowed.
            let frame = core::mem::ManuallyDrop::new(unsafe { Frame::from_raw(physical) });
            action(&frame, offset as usize, done as usize, length as usize);
            done += length;
        }
        Ok(())
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        let inner = self.inner.get_mut();
        let mut release = |_: u64, mapping: Mapping| {
            // SAFETY: the entry held this reference and is gone.
            drop(unsafe { Frame::from_raw(mapping.physical) });
        };
        // The whole half: the tables on all levels below the root go too.
        inner.table.unmap(0, 1 << 47, &mut release, &mut frame::release_table);
        frame::release_table(inner.table.root());
    }
}
