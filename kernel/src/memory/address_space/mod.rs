//! Address spaces: the map of areas, the page tables, and the page faults that connect them.
//!
//! The map (`libs/address_space`) says what the program asked for; the page tables hold what has been touched.
//! A fault looks the area up and puts the right frame under the page: zeroes, a page of a file, or a private
//! copy. Every entry of a page table holds one reference to its frame.
//!
//! # Locking
//! One lock of an address space guards map and tables together. Each operation takes it once, changes the map,
//! then the tables, then waits until the other processors have forgotten what was taken out (`arch::shootdown`),
//! and only then gives frames back and the lock up. So:
//! * a fault sees the map and the tables before or after an `munmap`, `mprotect` or `mremap`, never between: it can't
//!   put a page back that is being taken out, nor find a page at both or neither of the places of a move;
//! * a frame is never given to somebody else while a processor may still reach it by an old translation;
//! * no processor reads the frame that a page had while another one writes to the frame that it has now;
//! * rights that were taken away are gone everywhere when the call returns. Rights that were added need not be known
//!   elsewhere: a processor that remembers the old ones faults, finds the entry right, and goes on.
//!
//! Faults that the program handles itself are told with no lock held ([`watch`]).
//!
//! The order of locks: address space, then the object that is mapped (`PageSource::page`), then frames. Objects that
//! call back ([`AddressSpace::forget_object`]) hold none of the locks that `page` takes. The lock is held with
//! interrupts on, so a processor that spins for it serves shootdowns meanwhile. What is dropped under it must not
//! close files: areas that were removed are dropped after it.

mod advice;
mod duplicate;
mod fault;
mod limits;
mod policy;
mod reclaim;
mod remap;
mod request;
mod scan;
mod shares;
mod watch;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use pith_address_space::{AddressMap, Area, AreaFlags, AreaName, Backing as _, GapRequest, MapError, Protection};
use pith_linux::Errno;
use spin::Mutex;

use crate::sync::YieldingMutex;

use super::frame::{self, Frame, Purpose};
use super::page_source::{MappedFile, PageError, PageSource};
use crate::arch::{
    Access, Activation, KeptMarks, LARGE_PAGE_FRAMES, LARGE_PAGE_SIZE, Mapping, Mark, PageTable, Rights, layout,
};
use limits::Growth;

pub use advice::{Forget, PageUse};
pub use duplicate::{committed_elsewhere, for_each_area_everywhere, forget_object_everywhere};
use fault::GoOn;
pub use limits::{Allowance, Overcommit, area_limit, set_area_limit};
pub use policy::MemoryPolicy;
pub use reclaim::{forgettable_bytes, give_up_for, give_up_pages, given_up_pages};
pub use remap::RemapRequest;
pub use request::{Backing, MapRequest, Placement};
pub use scan::{PageCategories, PageScan, SCANNED_AT_ONCE};
pub use shares::PageShares;
pub use watch::{FaultReason, FaultWatcher, Fill, RangeEvent, Waited, Waiting, WatchedFault};

const PAGE: u64 = super::PAGE_SIZE as u64;

/// A fault on a page of a file maps up to this many neighbours too, if their frames exist already.
const FAULT_AROUND: u64 = 16;

/// Where mappings go that must be reached with 31 bits of address (`MAP_32BIT`), as on Linux.
const LOW_RANGE: Range<u64> = 0x4000_0000..0x8000_0000;

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
    /// The file can't be read there, or not be written for want of space: `SIGBUS`, `BUS_ADRERR`.
    Unreadable,
    /// The machine has no frame left.
    OutOfMemory,
    /// The program forbade it (`MADV_GUARD_INSTALL`): `SIGSEGV`, `SEGV_MAPERR`.
    Guarded,
    /// The content was lost (`UFFDIO_POISON`): `SIGBUS`, `BUS_MCEERR_AR`.
    Poisoned,
    /// A stack would have to grow, and limits decide that: [`AddressSpace::grow_stack`].
    MustGrow,
    /// The watcher handles it, and the thread may not wait for that.
    Watched,
    /// The watcher does not handle it: `SIGBUS`, `BUS_ADRERR`.
    Unhandled,
    /// A signal ended the wait for the watcher.
    Interrupted,
}

impl From<PageError> for FaultError {
    fn from(error: PageError) -> Self {
        match error {
            PageError::BeyondEnd => Self::BeyondEnd,
            PageError::Unreadable | PageError::NoSpace => Self::Unreadable,
            PageError::OutOfMemory => Self::OutOfMemory,
        }
    }
}

struct Inner {
    map: AddressMap<Backing>,
    table: PageTable,
    layout: Layout,
    program_break: u64,
    /// What new areas are (`mlockall(2)` with `MCL_FUTURE`).
    future_flags: AreaFlags,
    /// Most bytes that were mapped at one time (`VmPeak`).
    peak_bytes: u64,
    /// Who handles faults of some areas.
    watchers: Vec<Arc<dyn FaultWatcher>>,
    /// There were guards in shared areas (`MADV_GUARD_INSTALL`): what is said of their pages is not known elsewhere.
    has_shared_guards: bool,
    /// A fault let an object replace the image's frame of a page by one of its own: other address spaces have to forget it.
    replaced: Option<Replaced>,
}

/// A frame that an object has replaced.
struct Replaced {
    object: Arc<dyn PageSource>,
    index: u64,
    /// Where the frame is that it had before.
    physical: u64,
}

/// The address space of a process, or of several that share it (`vfork(2)`).
pub struct AddressSpace {
    inner: YieldingMutex<Inner>,
    /// How processors come to use it, without the lock.
    activation: Arc<Activation>,
    /// Tells address spaces apart for ever: no two have the same number.
    number: u64,
    /// Processes that run in it; the last one that leaves empties it.
    processes: AtomicUsize,
    /// `RLIMIT_STACK` and `RLIMIT_AS`, kept here so that a fault need not ask the process.
    stack_limit: AtomicU64,
    size_limit: AtomicU64,
    /// Pages that are mapped, but for those that show the shared zeroes.
    resident: AtomicU64,
    /// Of these, pages that belong to the process alone.
    own: AtomicU64,
    /// Most that were mapped at one time (`VmHWM`).
    peak_resident: AtomicU64,
    /// Page faults that were repaired.
    faults: AtomicU64,
    /// No large pages are wanted (`PR_SET_THP_DISABLE`).
    small_only: AtomicBool,
    /// What is known of pages that the program can do without.
    forgettable: reclaim::Forgettable,
}

fn error_of(error: MapError) -> Errno {
    match error {
        MapError::Invalid => Errno::EINVAL,
        MapError::OutOfRange => Errno::ENOMEM,
        MapError::Overlap => Errno::EEXIST,
        MapError::AccessDenied => Errno::EACCES,
        MapError::Sealed => Errno::EPERM,
        _ => Errno::ENOMEM,
    }
}

impl Inner {
    /// Refuses (`EPERM`) to change what was sealed.
    fn check_sealed(&self, range: &Range<u64>) -> Result<(), Errno> {
        let mut areas = self.map.range(range.start, range.end);
        if areas.any(|area| area.flags.contains(AreaFlags::SEALED)) {
            Err(Errno::EPERM)
        } else {
            Ok(())
        }
    }

    /// The map has changed, perhaps grown.
    fn note_size(&mut self) {
        self.peak_bytes = self.peak_bytes.max(self.map.total_bytes());
    }

    /// Refuses (`ENOMEM`) to replace what is in a range if that could fail half way: the hole may split an
    /// area, and what comes into it is one more.
    fn check_replacement(&self) -> Result<(), Errno> {
        if self.map.len() + 2 <= self.map.maximum_areas() {
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

/// Pages that count.
#[derive(Clone, Copy, Default)]
struct Pages {
    /// Mapped, but for those that show the shared zeroes.
    resident: u64,
    /// Of these, those that belong to the process alone.
    own: u64,
}

impl core::ops::AddAssign for Pages {
    fn add_assign(&mut self, other: Self) {
        self.resident += other.resident;
        self.own += other.own;
    }
}

/// Gives the references back that an entry of a page table held. Answers which pages count no more.
///
/// # Safety
/// The entry is gone, and no processor remembers it.
unsafe fn release_mapping(mapping: Mapping) -> Pages {
    if mapping.large {
        // SAFETY: the entry of a large page holds a reference to each of its frames.
        unsafe { frame::release_large(mapping.physical) };
        return Pages {
            resident: LARGE_PAGE_FRAMES,
            own: LARGE_PAGE_FRAMES,
        };
    }
    // SAFETY: the entry held this reference.
    let frame = unsafe { Frame::from_raw(mapping.physical) };
    Pages {
        resident: u64::from(!frame.is_shared_zero()),
        own: u64::from(mapping.own),
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
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let table = PageTable::new(&mut frame::user_table_frame)?;
        let space = Arc::new(Self {
            activation: table.activation(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            processes: AtomicUsize::new(0),
            inner: YieldingMutex::new(Inner {
                map: AddressMap::new(layout::PROGRAM_START..layout::PROGRAM_END),
                table,
                layout: Layout {
                    mapping_top: layout::PROGRAM_END,
                    break_start: 0,
                },
                program_break: 0,
                future_flags: AreaFlags::empty(),
                peak_bytes: 0,
                watchers: Vec::new(),
                has_shared_guards: false,
                replaced: None,
            }),
            stack_limit: AtomicU64::new(8 << 20),
            size_limit: AtomicU64::new(u64::MAX),
            resident: AtomicU64::new(0),
            own: AtomicU64::new(0),
            peak_resident: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            small_only: AtomicBool::new(false),
            forgettable: reclaim::Forgettable::default(),
        });
        duplicate::enlist(&space);
        Some(space)
    }

    /// The number that tells it apart from all others that there ever were.
    pub fn number(&self) -> u64 {
        self.number
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

    /// Tells the limit of all areas together, in bytes, for stacks that grow.
    pub fn set_size_limit(&self, limit: u64) {
        self.size_limit.store(limit, Ordering::Relaxed);
    }

    /// Whether no large pages are wanted (`PR_GET_THP_DISABLE`).
    pub fn is_small_only(&self) -> bool {
        self.small_only.load(Ordering::Relaxed)
    }

    /// Says whether no large pages are wanted (`PR_SET_THP_DISABLE`). Those that are there stay.
    pub fn set_small_only(&self, small_only: bool) {
        self.small_only.store(small_only, Ordering::Relaxed);
    }

    /// Makes this the address space of the processor. The caller keeps it until [`Self::deactivate`].
    pub fn activate(&self) {
        self.activation.activate();
    }

    /// This processor uses another address space now.
    pub fn deactivate(&self) {
        self.activation.deactivate();
    }

    /// Bytes in all areas (`VmSize`).
    pub fn total_bytes(&self) -> u64 {
        self.inner.lock().map.total_bytes()
    }

    /// The most bytes that were mapped, and that were touched, at one time (`VmPeak`, `VmHWM`).
    pub fn peak_bytes(&self) -> (u64, u64) {
        let peak = self.peak_resident.load(Ordering::Relaxed) * PAGE;
        let inner = self.inner.lock();
        // Stacks grow without a note.
        (inner.peak_bytes.max(inner.map.total_bytes()), peak)
    }

    /// Lets the most that was touched at one time be what is touched now.
    pub fn reset_peak(&self) {
        self.peak_resident
            .store(self.resident.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Bytes that belong to the process alone.
    pub fn own_bytes(&self) -> u64 {
        self.own.load(Ordering::Relaxed) * PAGE
    }

    /// Bytes that are mapped by large pages.
    pub fn large_bytes(&self) -> u64 {
        self.inner.lock().table.large_pages() * LARGE_PAGE_SIZE
    }

    /// Bytes that are mapped, but for the shared zeroes (`VmRSS`).
    pub fn resident_bytes(&self) -> u64 {
        self.resident.load(Ordering::Relaxed) * PAGE
    }

    /// Page faults that were repaired (`ru_minflt`; none takes input or output).
    pub fn fault_count(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// Bytes of page tables below the root (`VmPTE`).
    pub fn table_bytes(&self) -> u64 {
        self.inner.lock().table.table_count() * PAGE
    }

    /// Bytes of locked areas (`VmLck`).
    pub fn locked_bytes(&self) -> u64 {
        self.inner.lock().map.locked_bytes()
    }

    /// Bytes that were promised (`Committed_AS`).
    pub fn committed_bytes(&self) -> u64 {
        self.inner.lock().committed()
    }

    /// Pages of objects came.
    fn add_resident(&self, pages: u64) {
        let now = self.resident.fetch_add(pages, Ordering::Relaxed) + pages;
        self.peak_resident.fetch_max(now, Ordering::Relaxed);
    }

    /// Pages came that belong to the process alone.
    fn add_own(&self, pages: u64) {
        self.own.fetch_add(pages, Ordering::Relaxed);
        self.add_resident(pages);
    }

    /// Pages are gone.
    fn subtract(&self, pages: Pages) {
        self.resident.fetch_sub(pages.resident, Ordering::Relaxed);
        self.own.fetch_sub(pages.own, Ordering::Relaxed);
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
            Backing::Object { source, offset, .. } if area.flags.contains(AreaFlags::SHARED) => {
                Some((Arc::as_ptr(source).cast::<()>() as u64, offset + (address - area.start)))
            }
            _ => None,
        })
    }

    /// Calls `action` for each area, in ascending order, with the address space locked.
    pub fn for_each_area(&self, action: &mut dyn FnMut(&Area<Backing>)) {
        self.inner.lock().map.iter().for_each(action);
    }

    /// Maps something and returns its address.
    ///
    /// # Errors
    /// As `mmap(2)`: `ENOMEM`, `EAGAIN`, `EINVAL`, `EEXIST`, `EPERM` (below the lowest address, or sealed).
    pub fn map(&self, request: MapRequest, allowance: &Allowance) -> Result<u64, Errno> {
        // What is replaced. It is dropped after the lock, for files may be closed by that.
        let mut replaced = Vec::new();
        let length = request.length;
        let result = self.map_over(request, allowance, &mut replaced);
        if let (Ok(start), false) = (&result, replaced.is_empty()) {
            self.tell_unmapped(*start..*start + length.next_multiple_of(PAGE), &replaced);
        }
        result
    }

    fn map_over(
        &self,
        request: MapRequest,
        allowance: &Allowance,
        removed: &mut Vec<Area<Backing>>,
    ) -> Result<u64, Errno> {
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
        let inner = &mut *self.inner.lock();
        inner.map.set_maximum_areas(area_limit());
        let flags = request.flags | inner.future_flags;
        let flags = flags | limits::accounted(request.protection, flags);
        let growth = |replaced: u64| Growth {
            added: length - replaced,
            protection: request.protection,
            flags,
        };
        let start = match request.placement {
            Placement::Hint(hint) => {
                inner.check_growth(&growth(0), allowance)?;
                inner.find_place(length, hint)?
            }
            Placement::Low(hint) => {
                inner.check_growth(&growth(0), allowance)?;
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
                inner.check_sealed(&range)?;
                inner.check_growth(&growth(replaced), allowance)?;
                if replaced != 0 {
                    inner.check_replacement()?;
                    *removed = inner.map.unmap(range.start, range.end).map_err(error_of)?;
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
            flags,
            watcher: 0,
            policy: 0,
            name: request.name,
            backing: request.backing,
        };
        inner.map.insert(area).map_err(error_of)?;
        inner.note_size();
        Ok(start)
    }

    /// Takes the frames of a range out of the page tables, and those tables that serve nothing outside of
    /// `unused`.
    fn release_range(&self, inner: &mut Inner, range: Range<u64>, unused: Range<u64>) {
        let mut count = Pages::default();
        inner.table.unmap(
            range,
            unused,
            &mut |_, mapping| {
                // SAFETY: the entry held this reference and is gone; the translation was forgotten.
                count += unsafe { release_mapping(mapping) };
            },
            &mut frame::release_table,
        );
        self.subtract(count);
    }

    /// As [`Self::release_range`], but the area stays, with its tables and some marks.
    fn empty_range(&self, inner: &mut Inner, range: &Range<u64>, kept: KeptMarks) {
        let mut count = Pages::default();
        inner.table.empty(
            range,
            kept,
            &mut |_, mapping| {
                // SAFETY: as for `release_range`.
                count += unsafe { release_mapping(mapping) };
            },
            &mut frame::release_table,
        );
        self.subtract(count);
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
    /// `EINVAL` for an address that is not aligned or an empty range, `ENOMEM` for too many areas, `EPERM` if sealed.
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
            inner.check_sealed(&(low..range.end))?;
            let removed = inner.map.unmap(low, range.end).map_err(error_of)?;
            if !removed.is_empty() {
                self.release_hole(inner, low..range.end);
            }
            removed
        };
        self.tell_unmapped(range, &removed);
        // Files may be closed by this, which must not happen under the lock.
        drop(removed);
        Ok(())
    }

    /// Changes what the program may do in a range, as `mprotect(2)`.
    ///
    /// # Errors
    /// `EINVAL`, `ENOMEM` (a hole, a limit), `EACCES`, `EPERM` at what is sealed; what comes before a hole or such an area is
    /// changed.
    pub fn protect(&self, start: u64, length: u64, protection: Protection, allowance: &Allowance) -> Result<(), Errno> {
        let range = page_range(start, length)?;
        if range.is_empty() {
            return Ok(());
        }
        if range.start < layout::PROGRAM_START {
            return Err(Errno::ENOMEM);
        }
        let inner = &mut *self.inner.lock();
        if protection.contains(Protection::WRITE) {
            inner.check_becomes_data(&range, protection, allowance)?;
        }
        let untouched = match protection.contains(Protection::WRITE) {
            true => Vec::new(),
            false => inner.untouched(&range)?,
        };
        let result = inner.map.protect(range.start, range.end, protection);
        let changed_until = match &result {
            Ok(()) => range.end,
            Err(change) => change.changed_until,
        };
        inner.account(range.start..changed_until, &untouched);
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

    /// Gives memory without a file a name, as `PR_SET_VMA_ANON_NAME` of `prctl(2)`, or takes it away.
    ///
    /// # Errors
    /// `EBADF` at an area of a file (what comes before is done), `EAGAIN` for too many areas, `ENOMEM` (a hole; the rest is
    /// done).
    pub fn set_name(&self, range: Range<u64>, name: &AreaName) -> Result<(), Errno> {
        let inner = &mut *self.inner.lock();
        let of_file = |area: &&Area<Backing>| match &area.backing {
            Backing::Anonymous => false,
            Backing::Object { source, .. } => !source.is_anonymous(),
        };
        let stop = inner.map.range(range.start, range.end).find(of_file);
        let end = stop.map_or(range.end, |area| area.start.max(range.start));
        match inner.map.set_name(range.start, end, name) {
            _ if end != range.end && end == range.start => Err(Errno::EBADF),
            Err(change) if change.error == MapError::TooManyAreas => Err(Errno::EAGAIN),
            Ok(()) | Err(_) if end != range.end => Err(Errno::EBADF),
            result => result.map_err(|change| error_of(change.error)),
        }
    }

    /// Moves the end of the heap, as `brk(2)`: returns the new end, or the old one if that is not possible.
    pub fn set_break(&self, wanted: u64, allowance: &Allowance) -> u64 {
        // Dropped after the lock, for a program may have mapped a file there.
        let mut removed = Vec::new();
        let end = self.move_break(wanted, allowance, &mut removed);
        if let (Some(first), Some(last)) = (removed.first(), removed.last()) {
            self.tell_unmapped(first.start..last.end, &removed);
        }
        end
    }

    fn move_break(&self, wanted: u64, allowance: &Allowance, removed: &mut Vec<Area<Backing>>) -> u64 {
        let inner = &mut *self.inner.lock();
        let start = inner.layout.break_start;
        let old = inner.program_break;
        if wanted < start || wanted >= layout::PROGRAM_END || wanted - start > allowance.heap {
            return old;
        }
        let (old_end, new_end) = (old.next_multiple_of(PAGE), wanted.next_multiple_of(PAGE));
        if new_end < old_end {
            if inner.check_sealed(&(new_end..old_end)).is_err() {
                return old;
            }
            match inner.map.unmap(new_end, old_end) {
                Ok(areas) => *removed = areas,
                Err(_) => return old,
            }
            self.release_hole(inner, new_end..old_end);
        } else if new_end > old_end {
            let growth = Growth {
                added: new_end - old_end,
                protection: Protection::READ | Protection::WRITE,
                flags: inner.future_flags | AreaFlags::ACCOUNTED,
            };
            if inner.check_growth(&growth, allowance).is_err() || !inner.map.is_free(old_end, new_end + PAGE) {
                return old;
            }
            let area = Area {
                start: old_end,
                end: new_end,
                protection: Protection::READ | Protection::WRITE,
                maximum_protection: Protection::all(),
                flags: growth.flags,
                watcher: 0,
                policy: 0,
                name: AreaName::Heap,
                backing: Backing::Anonymous,
            };
            if inner.map.insert(area).is_err() {
                return old;
            }
            inner.note_size();
        }
        inner.program_break = wanted;
        wanted
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        let inner = self.inner.get_mut();
        let mut release = |_: u64, mapping: Mapping| {
            // SAFETY: the entry held this reference and is gone.
            unsafe { release_mapping(mapping) };
        };
        // The whole half: the tables on all levels below the root go too.
        inner
            .table
            .unmap(0..1 << 47, 0..1 << 47, &mut release, &mut frame::release_table);
        frame::release_table(inner.table.root());
    }
}
