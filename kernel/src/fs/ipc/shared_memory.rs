//! System V shared memory: `shmget(2)`, `shmat(2)`, `shmctl(2)`.
//!
//! A segment is mapped like a file. How often it is mapped is how many areas refer to it, which the count of
//! references says: a process that ends or runs another program needs no extra step. A segment that was removed
//! lives as long as somebody maps it.

use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;

use pith_linux::Errno;
use pith_linux::ipc::{
    INFORMATION, PRIVATE, Permission, REMOVE, SET, SHM_DESTROYED, SHM_EXECUTE, SHM_HUGE_PAGES, SHM_INFO, SHM_LOCK,
    SHM_LOCKED, SHM_NO_RESERVE, SHM_READ_ONLY, SHM_REMAP, SHM_ROUND, SHM_STAT, SHM_STAT_ANY, SHM_UNLOCK, STATUS,
    SegmentLimits, SegmentStatus, SegmentUsage, limit,
};
use spin::Mutex;

use super::identifiers::{self, Object, READ, Table, WRITE};
use super::{process_id, seconds};
use crate::fs::proc::Text;
use crate::memory::{
    AreaFlags, AreaName, Backing, Frame, MapRequest, Overcommit, PAGE_SIZE, PageError, PageSource, Placement,
    Protection, SharedMemory, UserPointer, read_object, write_object,
};
use crate::task;

const PAGE: u64 = PAGE_SIZE as u64;

/// A segment.
struct Segment {
    memory: SharedMemory,
    pages: u64,
    id: spin::Once<i32>,
    key: i32,
    status: Mutex<SegmentStatus>,
}

impl PageSource for Segment {
    fn page(&self, index: u64, write: bool) -> Result<Frame, PageError> {
        if index >= self.pages {
            return Err(PageError::BeyondEnd);
        }
        self.memory.page(index, write)
    }

    fn existing(&self, index: u64, write: bool) -> Option<Frame> {
        self.memory.existing(index, write)
    }

    fn pages(&self) -> u64 {
        self.pages
    }

    fn punch(&self, pages: Range<u64>) -> Result<bool, Errno> {
        self.memory.punch(pages)
    }

    fn name(&self) -> String {
        format!("/SYSV{:08x} (deleted)", self.key)
    }

    fn identity(&self) -> (u64, u64) {
        (1, self.id.get().map_or(0, |id| *id as u64))
    }
}

/// How the table holds a segment.
#[derive(Clone)]
enum Held {
    /// It lives until it is removed.
    Kept(Arc<Segment>),
    /// It was removed and lives until nobody maps it.
    Removed(Weak<Segment>),
}

impl Held {
    fn get(&self) -> Option<Arc<Segment>> {
        match self {
            Self::Kept(segment) => Some(segment.clone()),
            Self::Removed(segment) => segment.upgrade(),
        }
    }

    /// How many areas map it.
    fn attachments(&self) -> usize {
        match self {
            Self::Kept(segment) => Arc::strong_count(segment) - 1,
            Self::Removed(segment) => segment.strong_count(),
        }
    }

    fn is_gone(&self) -> bool {
        matches!(self, Self::Removed(segment) if segment.strong_count() == 0)
    }

    fn status(&self) -> SegmentStatus {
        let attachments = self.attachments() as u64;
        let mut status = self.get().map(|segment| *segment.status.lock()).unwrap_or_default();
        status.attachments = attachments;
        status
    }
}

impl Object for Held {
    fn permission(&self) -> Permission {
        self.get()
            .map(|segment| segment.status.lock().permission)
            .unwrap_or_default()
    }
}

static SEGMENTS: Mutex<Table<Held>> = Mutex::new(Table::new());

/// Forgets segments that were removed and are no longer mapped.
fn forget_gone(table: &mut Table<Held>) {
    table.retain(|held| !held.is_gone());
}

/// Pages of all segments.
fn total_pages(table: &Table<Held>) -> u64 {
    table
        .iter()
        .filter_map(|(_, held)| held.get())
        .map(|segment| segment.pages)
        .sum()
}

/// `shmget(2)`
///
/// # Errors
/// As `shmget(2)`.
pub fn get(key: i32, size: usize, flags: i32) -> Result<i32, Errno> {
    let size = size as u64;
    let mut table = SEGMENTS.lock();
    forget_gone(&mut table);
    let used = total_pages(&table);
    let suits = |held: &Held| {
        if size > held.status().size {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    };
    let mut made = None;
    let id = table.get(key, flags, limit::SHM_SEGMENTS, suits, |permission| {
        if size == 0 || size > limit::SHM_SIZE {
            return Err(Errno::EINVAL);
        }
        let pages = size.div_ceil(PAGE);
        if pages > limit::SHM_PAGES - used {
            return Err(Errno::ENOSPC);
        }
        if flags & SHM_HUGE_PAGES != 0 {
            return Err(Errno::ENOMEM); // no pages are set aside, as on a Linux with nr_hugepages = 0
        }
        let reserved = flags & SHM_NO_RESERVE == 0 || Overcommit::current() == Overcommit::Never;
        if reserved && !Overcommit::admits_shared(size) {
            return Err(Errno::ENOMEM);
        }
        let segment = Arc::new(Segment {
            memory: SharedMemory::new(size, reserved),
            pages,
            id: spin::Once::new(),
            key,
            status: Mutex::new(SegmentStatus {
                permission,
                size,
                changed: seconds(),
                creator: process_id(),
                ..SegmentStatus::default()
            }),
        });
        made = Some(segment.clone());
        Ok(Held::Kept(segment))
    })?;
    if let Some(segment) = made {
        segment.id.call_once(|| id);
    }
    Ok(id)
}

/// `shmat(2)`: the address where the segment is.
///
/// # Errors
/// As `shmat(2)`.
pub fn attach(id: i32, address: u64, flags: i32) -> Result<u64, Errno> {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let remap = flags & SHM_REMAP != 0;
    let placement = if address != 0 {
        let rounded = address & !(PAGE - 1);
        if rounded != address && flags & SHM_ROUND == 0 || rounded == 0 && remap {
            return Err(Errno::EINVAL);
        }
        match (rounded, remap) {
            (0, _) => Placement::Hint(0),
            (_, true) => Placement::Fixed(rounded),
            (_, false) => Placement::FixedNoReplace(rounded),
        }
    } else if remap {
        return Err(Errno::EINVAL);
    } else {
        Placement::Hint(0)
    };
    let mut protection = Protection::READ;
    let mut maximum_protection = Protection::READ | Protection::EXECUTE;
    let mut wanted = READ;
    if flags & SHM_READ_ONLY == 0 {
        protection |= Protection::WRITE;
        maximum_protection |= Protection::WRITE;
        wanted |= WRITE;
    }
    if flags & SHM_EXECUTE != 0 {
        protection |= Protection::EXECUTE;
        wanted |= 0o111;
    }
    let segment = {
        let table = SEGMENTS.lock();
        let held = table.find(id)?;
        let segment = held.get().ok_or(Errno::EINVAL)?;
        identifiers::check(&held.permission(), wanted)?;
        segment
    };
    let process = task::current_process();
    let request = MapRequest {
        placement,
        length: segment.pages * PAGE,
        protection,
        maximum_protection,
        flags: AreaFlags::SHARED,
        name: AreaName::None,
        backing: Backing::object(segment.clone()),
    };
    let place = process
        .address_space()
        .map(request, &process.allowance())
        .map_err(|errno| match errno {
            Errno::EEXIST => Errno::EINVAL,
            errno => errno,
        })?;
    let mut status = segment.status.lock();
    status.attached = seconds();
    status.last = process_id();
    Ok(place)
}

/// `shmdt(2)`
///
/// # Errors
/// `EINVAL` if no segment starts there.
pub fn detach(address: u64) -> Result<(), Errno> {
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let segments: Vec<Arc<Segment>> = SEGMENTS.lock().iter().filter_map(|(_, held)| held.get()).collect();
    let space = task::current_process().address_space();
    // The first part of the segment that is still mapped says which one it is; the others lie where they were.
    let mut found: Option<(Arc<Segment>, u64)> = None;
    let mut parts = Vec::new();
    space.for_each_area(&mut |area| {
        let Backing::Object { source, offset, .. } = &area.backing else {
            return;
        };
        if area.start < address || area.start - address != *offset {
            return;
        }
        let object = Arc::as_ptr(source).cast::<()>();
        let known = match &found {
            Some((segment, end)) => Arc::as_ptr(segment).cast::<()>() == object && area.start < *end,
            None => {
                let segment = segments
                    .iter()
                    .find(|segment| Arc::as_ptr(segment).cast::<()>() == object);
                found = segment.map(|segment| (segment.clone(), address + segment.pages * PAGE));
                found.is_some()
            }
        };
        if known {
            parts.push((area.start, area.end - area.start));
        }
    });
    let (segment, _) = found.ok_or(Errno::EINVAL)?;
    for (start, length) in parts {
        space.unmap(start, length)?;
    }
    let mut status = segment.status.lock();
    status.detached = seconds();
    status.last = process_id();
    drop(status);
    drop(segments);
    drop(segment);
    forget_gone(&mut SEGMENTS.lock());
    Ok(())
}

fn remove(id: i32) -> Result<(), Errno> {
    let mut table = SEGMENTS.lock();
    identifiers::check_owner(&table.find(id)?.permission())?;
    let held = table.remove(id)?;
    let segment = held.get();
    if held.attachments() > 1
        && let Some(segment) = &segment
    {
        // Besides the one above somebody maps it.
        let mut status = segment.status.lock();
        status.permission.mode |= SHM_DESTROYED;
        status.permission.key = PRIVATE;
        drop(status);
        table.replace(id, Held::Removed(Arc::downgrade(segment)));
    }
    drop(table);
    Ok(())
}

/// `shmctl(2)`
///
/// # Errors
/// As `shmctl(2)`.
pub fn control(id: i32, command: i32, buffer: UserPointer) -> Result<usize, Errno> {
    if id < 0 || command < 0 {
        return Err(Errno::EINVAL);
    }
    forget_gone(&mut SEGMENTS.lock());
    match command {
        INFORMATION => {
            let highest = SEGMENTS.lock().highest();
            let limits = SegmentLimits {
                maximum: limit::SHM_SIZE,
                minimum: 1,
                segments: limit::SHM_SEGMENTS,
                per_process: limit::SHM_SEGMENTS,
                pages: limit::SHM_PAGES,
                unused: [0; 4],
            };
            write_object(buffer, &limits)?;
            Ok(highest)
        }
        SHM_INFO => {
            let (usage, highest) = {
                let table = SEGMENTS.lock();
                let resident = table.iter().filter_map(|(_, held)| held.get());
                let usage = SegmentUsage {
                    segments: table.len() as i32,
                    pages: total_pages(&table),
                    resident: resident.map(|segment| segment.memory.present()).sum(),
                    ..SegmentUsage::default()
                };
                (usage, table.highest())
            };
            write_object(buffer, &usage)?;
            Ok(highest)
        }
        STATUS | SHM_STAT | SHM_STAT_ANY => {
            let (id, status) = {
                let table = SEGMENTS.lock();
                let (found, held) = table.choose(id, command != STATUS)?;
                if command != SHM_STAT_ANY {
                    identifiers::check(&held.permission(), READ)?;
                }
                (if command == STATUS { 0 } else { found }, held.status())
            };
            write_object(buffer, &status)?;
            Ok(id as usize)
        }
        SET => {
            let new: SegmentStatus = read_object(buffer)?;
            let table = SEGMENTS.lock();
            let held = table.find(id)?;
            identifiers::check_owner(&held.permission())?;
            let segment = held.get().ok_or(Errno::EINVAL)?;
            let mut status = segment.status.lock();
            identifiers::set(&mut status.permission, &new.permission)?;
            status.changed = seconds();
            Ok(0)
        }
        REMOVE => remove(id).map(|()| 0),
        SHM_LOCK | SHM_UNLOCK => {
            let table = SEGMENTS.lock();
            let held = table.find(id)?;
            identifiers::check_owner(&held.permission())?;
            let segment = held.get().ok_or(Errno::EINVAL)?;
            let mut status = segment.status.lock();
            // Nothing is ever moved out of memory; only the mark is kept.
            if command == SHM_LOCK {
                status.permission.mode |= SHM_LOCKED;
            } else {
                status.permission.mode &= !SHM_LOCKED;
            }
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// The text of `/proc/sysvipc/shm`.
///
/// # Errors
/// `ENOMEM`.
pub fn list(text: &mut Text) -> Result<(), Errno> {
    writeln!(
        text,
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      \
         dtime      ctime                   rss                  swap"
    )?;
    let mut table = SEGMENTS.lock();
    forget_gone(&mut table);
    for (id, held) in table.iter() {
        let status = held.status();
        let permission = status.permission;
        let resident = held.get().map_or(0, |segment| segment.memory.present() * PAGE);
        writeln!(
            text,
            "{:>10} {:>10}  {:>4o} {:>21} {:>5} {:>5}  {:>5} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10} {:>21} {:>21}",
            permission.key,
            id,
            permission.mode,
            status.size,
            status.creator,
            status.last,
            status.attachments,
            permission.user,
            permission.group,
            permission.creator_user,
            permission.creator_group,
            status.attached,
            status.detached,
            status.changed,
            resident,
            0,
        )?;
    }
    Ok(())
}
