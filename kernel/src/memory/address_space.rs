//! Address spaces: the map of areas, the page tables, and the page faults that connect them.
//!
//! The map (`libs/address_space`) says what the program asked for; the page tables hold what has been touched.
//! A fault looks the area up and puts the right frame under the page: zeroes, a page of a file, or a private
//! copy. Every entry of a page table holds one reference to its frame.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_address_space::{
    AddressMap, Area, AreaFlags, AreaName, Backing as _, GapRequest, MAXIMUM_AREAS, MapError, Protection,
};
use pith_linux::Errno;
use spin::Mutex;

use super::frame::{self, Frame, Purpose};
use super::page_source::{PageError, PageSource};
use crate::arch::{Access, Mapping, PageTable, Rights, layout};

const PAGE: u64 = super::PAGE_SIZE as u64;

/// A fault on a page of a file maps up to this many neighbours too, if their frames exist already.
const FAULT_AROUND: u64 = 16;

/// Where mappings go that must be reached with 31 bits of address (`MAP_32BIT`), as on Linux.
const LOW_RANGE: Range<u64> = 0x4000_0000..0x8000_0000;

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
    /// As [`Self::Hint`], but below 2 GiB (`MAP_32BIT`).
    Low(u64),
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

/// Bytes that count against overcommit: those that a process may come to own by writing.
fn charge(protection: Protection, flags: AreaFlags, bytes: u64) -> u64 {
    let accountable =
        protection.contains(Protection::WRITE) && !flags.intersects(AreaFlags::SHARED | AreaFlags::NO_RESERVE);
    if accountable { bytes } else { 0 }
}

impl Inner {
    /// Refuses (`ENOMEM`) to map `added` bytes more than there are: because of `limit` (`RLIMIT_AS`), because
    /// `charged` bytes could never be backed (as Linux's heuristic overcommit), or because the kernel needs
    /// what memory is left.
    fn check_growth(&self, added: u64, charged: u64, limit: u64) -> Result<(), Errno> {
        let within_limit = self.map.total_bytes().saturating_add(added) <= limit;
        if within_limit && charged <= frame::total() && !frame::is_low() {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    /// Refuses (`ENOMEM`) to replace what is in a range if that could fail half way: the hole may split an
    /// area, and what comes into it is one more.
    fn check_replacement(&self) -> Result<(), Errno> {
        if self.map.len() + 2 <= MAXIMUM_AREAS {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    /// Bytes of a range that are mapped.
    fn mapped_bytes(&self, range: &Range<u64>) -> u64 {
        let areas = self.map.range(range.start, range.end);
        areas
            .map(|area| area.end.min(range.end) - area.start.max(range.start))
            .sum()
    }

    /// Finds a free place for a mapping.
    fn find_place(&mut self, length: u64, hint: u64) -> Result<u64, Errno> {
        let top = self.layout.mapping_top;
        let mut gap = GapRequest::new(length, layout::PROGRAM_START..top);
        gap.hint = (hint >= layout::PROGRAM_START).then_some(hint);
        gap.fallback = top..layout::PROGRAM_END;
        self.map.find_gap(&gap).ok_or(Errno::ENOMEM)
    }

    /// Finds a free place below 2 GiB.
    fn find_low_place(&mut self, length: u64, hint: u64) -> Result<u64, Errno> {
        let mut gap = GapRequest::new(length, LOW_RANGE);
        let fits = hint.checked_add(length).is_some_and(|end| end <= LOW_RANGE.end);
        gap.hint = (hint >= layout::PROGRAM_START && fits).then_some(hint);
        self.map.find_gap(&gap).ok_or(Errno::ENOMEM)
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
        let table = PageTable::new(&mut frame::user_table_frame)?;
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

    /// This processor uses another address space now.
    pub fn deactivate(&self) {
        self.inner.lock().table.deactivate();
    }

    /// Bytes in all areas (`VmSize`).
    pub fn total_bytes(&self) -> u64 {
        self.inner.lock().map.total_bytes()
    }

    /// Bytes that have been touched (`VmRSS`).
    pub fn resident_bytes(&self) -> u64 {
        self.resident.load(Ordering::Relaxed) * PAGE
    }

    /// The object that is shared at an address, as a number that tells objects apart, and the offset in it. `None` for
    /// memory that is private to the process.
    ///
    /// # Errors
    /// `EFAULT` where nothing is mapped.
    pub fn shared_object(&self, address: u64) -> Result<Option<(u64, u64)>, Errno> {
        let inner = self.inner.lock();
        let area = inner.map.find(address).ok_or(Errno::EFAULT)?;
        Ok(match &area.backing {
            Backing::Object { source, offset } if area.flags.contains(AreaFlags::SHARED) => {
                Some((Arc::as_ptr(source).cast::<()>() as u64, offset + (address - area.start)))
            }
            _ => None,
        })
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
        if request.flags.contains(AreaFlags::GROWS_DOWN) && request.backing != Backing::Anonymous {
            return Err(Errno::EINVAL);
        }
        let charged = charge(request.protection, request.flags, length);
        // What is replaced. It is dropped after the lock, for files may be closed by that.
        let mut _removed = Vec::new();
        let inner = &mut *self.inner.lock();
        let start = match request.placement {
            Placement::Hint(hint) => {
                inner.check_growth(length, charged, limit)?;
                inner.find_place(length, hint)?
            }
            Placement::Low(hint) => {
                inner.check_growth(length, charged, limit)?;
                inner.find_low_place(length, hint)?
            }
            Placement::Fixed(start) | Placement::FixedNoReplace(start) => {
                let range = page_range(start, length)?;
                if range.start < layout::PROGRAM_START {
                    return Err(Errno::EPERM);
                }
                let replaced = inner.mapped_bytes(&range);
                if replaced != 0 && matches!(request.placement, Placement::FixedNoReplace(_)) {
                    return Err(Errno::EEXIST);
                }
                inner.check_growth(length - replaced, charged, limit)?;
                if replaced != 0 {
                    inner.check_replacement()?;
                    _removed = inner.map.unmap(range.start, range.end).map_err(error_of)?;
                    self.release_range(inner, range.clone(), range);
                }
                start
            }
        };
        let area = Area {
            start,
            end: start + length,
            protection: request.protection,
            maximum_protection: request.maximum_protection,
            flags: request.flags,
            name: request.name,
            backing: request.backing,
        };
        inner.map.insert(area).map_err(error_of)?;
        Ok(start)
    }

    /// Takes the frames of a range out of the page tables, and those tables that serve nothing outside of
    /// `unused`.
    fn release_range(&self, inner: &mut Inner, range: Range<u64>, unused: Range<u64>) {
        let mut count = 0;
        inner.table.unmap(
            range,
            unused,
            &mut |_, mapping| {
                count += 1;
                // SAFETY: the entry held this reference and is gone; the translation was forgotten.
                drop(unsafe { Frame::from_raw(mapping.physical) });
            },
            &mut frame::release_table,
        );
        self.resident.fetch_sub(count, Ordering::Relaxed);
    }

    /// As [`Self::release_range`], for a range that is no longer in the map: tables may reach out of it into
    /// the free addresses around.
    fn release_hole(&self, inner: &mut Inner, range: Range<u64>) {
        let unused = inner.map.hole_around(range.start, range.end);
        self.release_range(inner, range, unused);
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
                self.release_hole(inner, low..range.end);
            }
            removed
        };
        // Files may be closed by this, which must not happen under the lock.
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
    /// `data_limit` is `RLIMIT_DATA` and `limit` is `RLIMIT_AS`, in bytes.
    pub fn set_break(&self, wanted: u64, data_limit: u64, limit: u64) -> u64 {
        // Dropped after the lock, for a program may have mapped a file there.
        let mut _removed = Vec::new();
        let inner = &mut *self.inner.lock();
        let start = inner.layout.break_start;
        let old = inner.program_break;
        if wanted < start || wanted >= layout::PROGRAM_END || wanted - start > data_limit {
            return old;
        }
        let (old_end, new_end) = (old.next_multiple_of(PAGE), wanted.next_multiple_of(PAGE));
        if new_end < old_end {
            match inner.map.unmap(new_end, old_end) {
                Ok(areas) => _removed = areas,
                Err(_) => return old,
            }
            self.release_hole(inner, new_end..old_end);
        } else if new_end > old_end {
            let added = new_end - old_end;
            if inner.check_growth(added, added, limit).is_err() || !inner.map.is_free(old_end, new_end + PAGE) {
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
        let covered = inner.map.is_covered(range.start, range.end);
        let mut cursor = range.start;
        loop {
            let Some(area) = inner.map.range(cursor, range.end).next() else {
                break;
            };
            let private = area.backing == Backing::Anonymous && !area.flags.contains(AreaFlags::SHARED);
            if area.flags.contains(AreaFlags::LOCKED) || anonymous_only && !private {
                return Err(Errno::EINVAL);
            }
            let part = area.start.max(cursor)..area.end.min(range.end);
            cursor = part.end;
            self.release_range(inner, part.clone(), part);
        }
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Takes pages of an object out of the page tables wherever they are mapped, if `stale` (page of the object,
    /// physical address of the frame) says so; the next access asks the object again. `object` is the address
    /// of the [`PageSource`].
    ///
    /// The caller holds no lock that the object's [`PageSource::page`] takes.
    pub fn forget_object(&self, object: *const (), pages: Range<u64>, stale: &dyn Fn(u64, u64) -> bool) {
        let inner = &mut *self.inner.lock();
        self.forget_pages(&inner.map, &mut inner.table, object, pages, stale);
    }

    fn forget_pages(
        &self,
        map: &AddressMap<Backing>,
        table: &mut PageTable,
        object: *const (),
        pages: Range<u64>,
        stale: &dyn Fn(u64, u64) -> bool,
    ) {
        for area in map.iter() {
            let Backing::Object { source, offset } = &area.backing else {
                continue;
            };
            let first = offset / PAGE;
            let part = pages.start.max(first)..pages.end.min(first + (area.end - area.start) / PAGE);
            if part.is_empty() || Arc::as_ptr(source).cast::<()>() != object {
                continue;
            }
            let address_of = |index: u64| area.start + (index - first) * PAGE;
            let mut found = Vec::new();
            table.for_each(address_of(part.start), address_of(part.end), &mut |address, mapping| {
                if stale(first + (address - area.start) / PAGE, mapping.physical) {
                    found.push(address);
                }
            });
            for address in &found {
                // Tables stay with the area.
                table.unmap(
                    *address..address + PAGE,
                    0..0,
                    &mut |_, mapping| {
                        // SAFETY: the entry held this reference and is gone; the translation was forgotten.
                        drop(unsafe { Frame::from_raw(mapping.physical) });
                    },
                    &mut frame::release_table,
                );
            }
            self.resident.fetch_sub(found.len() as u64, Ordering::Relaxed);
        }
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

    /// Tells for each of some pages whether it is in memory (1, else 0), as `mincore(2)`.
    ///
    /// # Errors
    /// `EINVAL` if not aligned, `ENOMEM` if a page is not mapped.
    pub fn in_core(&self, start: u64, pages: &mut [u8]) -> Result<(), Errno> {
        let range = page_range(start, pages.len() as u64 * PAGE)?;
        let inner = self.inner.lock();
        if !inner.map.is_covered(range.start, range.end) {
            return Err(Errno::ENOMEM);
        }
        pages.fill(0);
        inner.table.for_each(range.start, range.end, &mut |address, _| {
            pages[((address - range.start) / PAGE) as usize] = 1;
        });
        Ok(())
    }

    /// Changes the size of a mapping, and moves it if that is allowed, as `mremap(2)` without
    /// `MREMAP_DONTUNMAP`. `fixed` is the new address of `MREMAP_FIXED`, `limit` is `RLIMIT_AS` in bytes.
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
        limit: u64,
    ) -> Result<u64, Errno> {
        let old_range = page_range(old, old_length).map_err(|_| Errno::EINVAL)?;
        let new_length = new_length.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
        if new_length == 0 || old_range.is_empty() {
            return Err(Errno::EINVAL);
        }
        let old_length = old_range.end - old_range.start;
        // What goes. It is dropped after the lock, for files may be closed by that.
        let (mut _replaced, mut _removed) = (Vec::new(), Vec::new());
        let inner = &mut *self.inner.lock();
        let area = inner.map.find(old).ok_or(Errno::EFAULT)?.clone();
        if area.end < old_range.end {
            return Err(Errno::EFAULT);
        }
        if let Backing::Object { offset, .. } = &area.backing
            && (offset + (old - area.start)).checked_add(new_length).is_none()
        {
            return Err(Errno::EINVAL);
        }
        let fixed = fixed.map(|target| page_range(target, new_length)).transpose()?;
        if let Some(target) = &fixed {
            if target.start < old_range.end && old_range.start < target.end {
                return Err(Errno::EINVAL);
            }
            if target.start < layout::PROGRAM_START {
                return Err(Errno::EPERM);
            }
        }
        if new_length > old_length {
            let grown = new_length - old_length;
            let replaced = fixed.as_ref().map_or(0, |target| inner.mapped_bytes(target));
            let charged = charge(area.protection, area.flags, grown);
            inner.check_growth(grown.saturating_sub(replaced), charged, limit)?;
        } else if fixed.is_none() {
            if new_length < old_length {
                _removed = inner.map.unmap(old + new_length, old_range.end).map_err(error_of)?;
                self.release_hole(inner, old + new_length..old_range.end);
            }
            return Ok(old);
        }
        let part = |start: u64, end: u64, skipped: u64| Area {
            start,
            end,
            backing: area.backing.advance(old - area.start + skipped),
            ..area.clone()
        };
        if fixed.is_none()
            && area.end == old_range.end
            && old
                .checked_add(new_length)
                .is_some_and(|end| end <= layout::PROGRAM_END)
            && inner.map.is_free(old_range.end, old + new_length)
        {
            let extension = part(old_range.end, old + new_length, old_length);
            inner.map.insert(extension).map_err(error_of)?;
            return Ok(old);
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        let target = match fixed {
            Some(range) => {
                inner.check_replacement()?;
                _replaced = inner.map.unmap(range.start, range.end).map_err(error_of)?;
                self.release_range(inner, range.clone(), range.clone());
                range.start
            }
            None => inner.find_place(new_length, 0)?,
        };
        let new_range = target..target + new_length;
        inner
            .map
            .insert(part(new_range.start, new_range.end, 0))
            .map_err(error_of)?;
        let kept = old..old + old_length.min(new_length);
        // All that may fail comes before the first page moves.
        let prepared = inner
            .table
            .prepare_relocation(kept.clone(), target, &mut frame::user_table_frame)
            .map_err(|_| Errno::ENOMEM)
            .and_then(|()| inner.map.unmap(old_range.start, old_range.end).map_err(error_of));
        match prepared {
            Ok(areas) => _removed = areas,
            Err(errno) => {
                // If even this fails, an empty mapping stays behind.
                _removed = inner.map.unmap(new_range.start, new_range.end).unwrap_or_default();
                self.release_hole(inner, new_range);
                return Err(errno);
            }
        }
        inner.table.relocate(kept, target);
        self.release_hole(inner, old_range);
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
        let area = match inner.map.find(address) {
            Some(area) => area,
            None => {
                let limit = self.stack_limit.load(Ordering::Relaxed);
                let grown = inner.map.grow_stack(address, limit);
                grown.map_err(|_| FaultError::NotMapped)?;
                inner.map.find(address).ok_or(FaultError::NotMapped)?
            }
        };
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
        // What `write(2)` or another mapping changes later must be seen here too.
        let own = shared && area.maximum_protection.contains(Protection::WRITE);
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
            Backing::Anonymous => Frame::shared_zero(),
            Backing::Object { source, offset } => {
                let index = (offset + (page - area.start)) / PAGE;
                let before = if own { source.existing(index, false) } else { None };
                let frame = source.page(index, own)?;
                if let Some(old) = before.filter(|old| *old != frame) {
                    // The object has a frame of its own from now on: who maps the image's must see it too.
                    let object = Arc::as_ptr(source).cast();
                    self.forget_pages(&inner.map, table, object, index..index + 1, &|_, physical| {
                        physical == old.physical()
                    });
                }
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
                if table.query(neighbour).is_some() {
                    continue;
                }
                let Some(frame) = source.existing((offset + (neighbour - area.start)) / PAGE, own) else {
                    continue;
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
            .map(page, physical, rights, &mut frame::user_table_frame)
            .map(|_| ())
            .map_err(|_| FaultError::OutOfMemory)
    }

    /// Touches every page of a range (`MAP_POPULATE`, `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE`).
    ///
    /// # Errors
    /// What the first access that fails would have met; the pages before are there.
    pub fn populate(&self, start: u64, length: u64, access: Access) -> Result<(), FaultError> {
        for page in (start..start.saturating_add(length)).step_by(PAGE as usize) {
            self.handle_fault(page, access)?;
        }
        Ok(())
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
        inner
            .table
            .unmap(0..1 << 47, 0..1 << 47, &mut release, &mut frame::release_table);
        frame::release_table(inner.table.root());
    }
}
