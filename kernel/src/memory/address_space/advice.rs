//! What a program says about its memory: that it forgets it, how it will use it, what must stay.

use super::*;

/// The flags of locked memory.
const LOCKING: AreaFlags = AreaFlags::LOCKED.union(AreaFlags::LOCK_ON_FAULT);

/// Bytes whose pages are marked while the address space is locked.
pub(super) const MARKED_AT_ONCE: u64 = 64 << 20;

/// How content is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// Not where it is locked (`MADV_DONTNEED`).
    Unlocked,
    /// Locked or not (`MADV_DONTNEED_LOCKED`).
    Locked,
    /// Private memory without a file only, later, when memory is short, and only what is not written until then
    /// (`MADV_FREE`).
    Lazily,
}

/// What of an area is in memory, in bytes. Pages that show the shared zeroes don't count.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageUse {
    /// Pages that are mapped.
    pub resident: u64,
    /// Of these, those that were accessed since that was last forgotten.
    pub accessed: u64,
    /// Of those that are mapped, those that belong to the process alone: written to, and of no file.
    pub own: u64,
    /// Pages that may have been written to.
    pub dirty: u64,
    /// Of those that belong to the process, what is mapped by large pages.
    pub huge: u64,
    /// Of those that belong to the process, what may be given up (`MADV_FREE`).
    pub lazy: u64,
}

impl Inner {
    /// Sets how areas are locked, but for those that never are, the kernel's and what may be forgotten at any time, or always.
    ///
    /// # Errors
    /// `ENOMEM` for too many areas.
    fn change_locks(&mut self, range: Range<u64>, flags: AreaFlags) -> Result<(), Errno> {
        let mut cursor = range.start;
        loop {
            let Some(area) = self.map.range(cursor, range.end).next() else {
                return Ok(());
            };
            let part = area.start.max(cursor)..area.end.min(range.end);
            let never = area
                .flags
                .intersects(AreaFlags::KERNEL_PROVIDED | AreaFlags::DROPPABLE | AreaFlags::SECRET);
            cursor = part.end;
            if !never {
                let changed = self
                    .map
                    .modify_flags(part.start, part.end, flags, LOCKING.difference(flags));
                changed.map_err(|change| error_of(change.error))?;
            }
        }
    }
}

/// Refuses (`EPERM`) to throw content away that the program itself could not change, and sealed.
fn check_discard(area: &Area<Backing>) -> Result<(), Errno> {
    let sealed = area.flags.contains(AreaFlags::SEALED)
        && area.backing == Backing::Anonymous
        && !area.protection.contains(Protection::WRITE);
    if sealed { Err(Errno::EPERM) } else { Ok(()) }
}

impl AddressSpace {
    /// Forgets the content of a range: private pages become zeroes, or the file's again.
    ///
    /// # Errors
    /// `EINVAL` for an area that can't be forgotten so (what comes before is), `EPERM` for one that is sealed, `ENOMEM`
    /// (a hole; the rest is done).
    pub fn forget(&self, start: u64, length: u64, how: Forget) -> Result<(), Errno> {
        let range = page_range(start, length)?;
        if how != Forget::Lazily {
            self.tell_removed(&range);
        }
        let inner = &mut *self.inner.lock();
        let covered = inner.map.is_covered(range.start, range.end);
        let mut cursor = range.start;
        loop {
            let Some(area) = inner.map.range(cursor, range.end).next() else {
                break;
            };
            check_discard(area)?;
            let private = area.backing == Backing::Anonymous && !area.flags.contains(AreaFlags::SHARED);
            let locked = area.flags.contains(AreaFlags::LOCKED) && how != Forget::Locked;
            if locked || how == Forget::Lazily && !private {
                return Err(Errno::EINVAL);
            }
            let part = area.start.max(cursor)..area.end.min(range.end);
            cursor = part.end;
            if how == Forget::Lazily {
                inner.table.make_lazy(&part);
                inner.table.clear_marks(part.start, part.end, Mark::Poisoned);
                self.note_forgettable();
                continue;
            }
            let kept = if private { KeptMarks::Guards } else { KeptMarks::All };
            self.empty_range(inner, &part, kept);
        }
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Makes every page of a range one where nothing may be, whose content is gone (`MADV_GUARD_INSTALL`), or takes that
    /// back (`MADV_GUARD_REMOVE`).
    ///
    /// # Errors
    /// `EINVAL` at an area that can't have guards (what comes before has), `EPERM` for one that is sealed, `ENOMEM` (a hole;
    /// the rest is done. Or no memory).
    pub fn guard(&self, start: u64, length: u64, install: bool, go_on: GoOn) -> Result<(), Errno> {
        let range = page_range(start, length)?;
        let covered = self.inner.lock().map.is_covered(range.start, range.end);
        let mut cursor = range.start;
        while let Some(reached) = self.guard_some(cursor..range.end, install)? {
            cursor = reached;
            if !go_on() {
                return Err(Errno::EINTR);
            }
        }
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// As [`Self::guard`], for the first pages of a range. Answers up to where, or that nothing is mapped there.
    fn guard_some(&self, range: Range<u64>, install: bool) -> Result<Option<u64>, Errno> {
        let inner = &mut *self.inner.lock();
        let Some(area) = inner.map.range(range.start, range.end).next() else {
            return Ok(None);
        };
        if install {
            check_discard(area)?;
        }
        if area.flags.contains(AreaFlags::KERNEL_PROVIDED) || install && area.flags.contains(AreaFlags::LOCKED) {
            return Err(Errno::EINVAL);
        }
        let start = area.start.max(range.start);
        let part = start..area.end.min(range.end).min(start + MARKED_AT_ONCE);
        if !install {
            inner.table.clear_marks(part.start, part.end, Mark::Guard);
            return Ok(Some(part.end));
        }
        inner.has_shared_guards |= area.flags.contains(AreaFlags::SHARED);
        self.empty_range(inner, &part, KeptMarks::Guards);
        for page in part.clone().step_by(PAGE as usize) {
            let marked = inner.table.set_mark(page, Mark::Guard, &mut frame::user_table_frame);
            marked.map_err(|_| Errno::ENOMEM)?;
        }
        Ok(Some(part.end))
    }

    /// Makes large pages of the small ones of private memory, now (`MADV_COLLAPSE`). What is not there becomes zeroes.
    ///
    /// # Errors
    /// `EINVAL` if no large page fits into the range and its areas, or something in the way can't move; `ENOMEM` if there is
    /// no memory for one, or a hole.
    pub fn collapse(&self, start: u64, length: u64) -> Result<(), Errno> {
        let range = page_range(start, length)?;
        let first = range.start.next_multiple_of(LARGE_PAGE_SIZE);
        let inner = &mut *self.inner.lock();
        let covered = inner.map.is_covered(range.start, range.end);
        let mut result = if first + LARGE_PAGE_SIZE <= range.end {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        };
        for place in (first..range.end & !(LARGE_PAGE_SIZE - 1)).step_by(LARGE_PAGE_SIZE as usize) {
            result = result.and(self.collapse_one(inner, place));
        }
        if covered { result } else { Err(Errno::ENOMEM) }
    }

    fn collapse_one(&self, inner: &mut Inner, start: u64) -> Result<(), Errno> {
        let end = start + LARGE_PAGE_SIZE;
        let area = inner
            .map
            .find(start)
            .filter(|area| area.end >= end)
            .ok_or(Errno::EINVAL)?;
        let refused = area
            .flags
            .intersects(AreaFlags::NO_HUGE_PAGE | AreaFlags::GROWS_DOWN | AreaFlags::SHARED);
        if refused || area.backing != Backing::Anonymous || area.watcher != 0 {
            return Err(Errno::EINVAL);
        }
        let rights = Rights {
            read: !area.protection.is_empty(),
            write: area.protection.contains(Protection::WRITE),
            execute: area.protection.contains(Protection::EXECUTE),
        };
        if inner.table.query(start).is_some_and(|mapping| mapping.large) {
            return Ok(());
        }
        if !rights.read
            || (start..end)
                .step_by(PAGE as usize)
                .any(|page| inner.table.mark(page).is_some())
        {
            return Err(Errno::EINVAL);
        }
        let deposit = frame::user_table_frame().ok_or(Errno::ENOMEM)?;
        let Some(physical) = frame::zeroed_large() else {
            frame::release_table(deposit);
            return Err(Errno::ENOMEM);
        };
        // From here on nobody writes to the small pages: all that could wait for the lock.
        inner.table.protect(start, end, &mut |_, mapping| Rights {
            write: false,
            ..mapping.rights
        });
        inner.table.for_each(start, end, &mut |address, mapping| {
            // SAFETY: the entries hold these references while the lock is held; they are only borrowed.
            let (from, to) = unsafe {
                (
                    core::mem::ManuallyDrop::new(Frame::from_raw(mapping.physical)),
                    core::mem::ManuallyDrop::new(Frame::from_raw(physical + (address - start))),
                )
            };
            to.copy_from(&from);
        });
        // The table of small pages goes too: a large page takes its place.
        self.release_range(inner, start..end, start..end);
        let mapped = inner
            .table
            .map_large(start, physical, rights, deposit, &mut frame::user_table_frame);
        // The tables above have just held the small pages, or a frame for them is missing only before anything was there.
        if mapped.is_err() {
            frame::release_table(deposit);
            // SAFETY: no entry holds the frames.
            unsafe { frame::release_large(physical) };
            return Err(Errno::ENOMEM);
        }
        self.add_own(LARGE_PAGE_FRAMES);
        Ok(())
    }

    /// Removes a range of shared objects, which read as zeroes then (`MADV_REMOVE`).
    ///
    /// # Errors
    /// `EPERM` for what is sealed, `EINVAL` for locked areas and those without an object, `EACCES` for those that are not shared or may not be
    /// written, `ENOMEM` (a hole; the rest is done), and what the object answers.
    pub fn remove(&self, start: u64, length: u64) -> Result<(), Errno> {
        let range = page_range(start, length)?;
        self.tell_removed(&range);
        let mut cursor = range.start;
        let mut covered = true;
        while cursor < range.end {
            let (source, pages) = {
                let inner = self.inner.lock();
                let Some(area) = inner.map.range(cursor, range.end).next() else {
                    covered = false;
                    break;
                };
                check_discard(area)?;
                covered &= area.start <= cursor;
                let part = area.start.max(cursor)..area.end.min(range.end);
                cursor = part.end;
                let Backing::Object { source, offset, .. } = &area.backing else {
                    return Err(Errno::EINVAL);
                };
                if area.flags.contains(AreaFlags::LOCKED) {
                    return Err(Errno::EINVAL);
                }
                if !area.flags.contains(AreaFlags::SHARED) || !area.maximum_protection.contains(Protection::WRITE) {
                    return Err(Errno::EACCES);
                }
                let first = (offset + (part.start - area.start)) / PAGE;
                (source.clone(), first..first + (part.end - part.start) / PAGE)
            };
            // Without the lock: the object may come back to take its pages out of the tables, here and wherever else they are.
            if source.punch(pages.clone())? {
                let object = Arc::as_ptr(&source).cast();
                duplicate::forget_object_everywhere(object, pages, &|index, physical| {
                    let frame = source.existing(index, false);
                    frame.is_none_or(|frame| frame.physical() != physical)
                });
            }
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

    pub(super) fn forget_pages(
        &self,
        map: &AddressMap<Backing>,
        table: &mut PageTable,
        object: *const (),
        pages: Range<u64>,
        stale: &dyn Fn(u64, u64) -> bool,
    ) {
        for area in map.iter() {
            let Backing::Object { source, offset, .. } = &area.backing else {
                continue;
            };
            let first = offset / PAGE;
            let part = pages.start.max(first)..pages.end.min(first + (area.end - area.start) / PAGE);
            if part.is_empty() || Arc::as_ptr(source).cast::<()>() != object {
                continue;
            }
            let address_of = |index: u64| area.start + (index - first) * PAGE;
            // Private copies may be among them.
            let mut count = Pages::default();
            table.empty_where(
                &(address_of(part.start)..address_of(part.end)),
                &|address, mapping| stale(first + (address - area.start) / PAGE, mapping.physical),
                &mut |_, mapping| {
                    // SAFETY: the entry held this reference and is gone; the translation was forgotten.
                    count += unsafe { release_mapping(mapping) };
                },
                &mut frame::release_table,
            );
            self.subtract(count);
        }
    }

    /// Sets and clears flags of the areas in a range, up to one that refuses them.
    ///
    /// # Errors
    /// `EINVAL` at such an area, `EPERM` if a flag would throw sealed content away, `ENOMEM` (a hole; the rest is
    /// done).
    pub fn modify_flags(
        &self,
        start: u64,
        length: u64,
        change: (AreaFlags, AreaFlags),
        refuses: fn(&Area<Backing>) -> bool,
    ) -> Result<(), Errno> {
        let (set, clear) = change;
        let range = page_range(start, length)?;
        let inner = &mut *self.inner.lock();
        let discards = set.intersects(AreaFlags::DONT_FORK | AreaFlags::WIPE_ON_FORK);
        let check = |area: &Area<Backing>| {
            if discards {
                check_discard(area)?;
            }
            if refuses(area) { Err(Errno::EINVAL) } else { Ok(()) }
        };
        let refused = inner
            .map
            .range(range.start, range.end)
            .find_map(|area| Some((area.start.max(range.start), check(area).err()?)));
        let end = refused.map_or(range.end, |(start, _)| start);
        let result = inner.map.modify_flags(range.start, end, set, clear);
        match result {
            _ if let Some((_, errno)) = refused => Err(errno),
            result => result.map_err(|change| error_of(change.error)),
        }
    }

    /// Seals a range (`mseal(2)`).
    ///
    /// # Errors
    /// `ENOMEM` if a page is not mapped (nothing is sealed), or for too many areas.
    pub fn seal(&self, range: Range<u64>) -> Result<(), Errno> {
        let inner = &mut *self.inner.lock();
        if !inner.map.is_covered(range.start, range.end) {
            return Err(Errno::ENOMEM);
        }
        let sealed = inner
            .map
            .modify_flags(range.start, range.end, AreaFlags::SEALED, AreaFlags::empty());
        sealed.map_err(|change| error_of(change.error))
    }

    /// Locks a range into memory, or lets it go if `flags` has no [`AreaFlags::LOCKED`] (`mlock(2)`, `munlock(2)`).
    ///
    /// # Errors
    /// `ENOMEM` beyond the allowance (nothing is locked); at a hole, what comes before is locked then; and if a page
    /// can't be had, which is `EAGAIN` for want of memory.
    pub fn lock(&self, range: Range<u64>, flags: AreaFlags, allowance: &Allowance, go_on: GoOn) -> Result<(), Errno> {
        {
            let inner = &mut *self.inner.lock();
            if flags.contains(AreaFlags::LOCKED) {
                let parts = inner.map.range(range.start, range.end);
                let locked: u64 = parts
                    .filter(|area| area.flags.contains(AreaFlags::LOCKED))
                    .map(|area| area.end.min(range.end) - area.start.max(range.start))
                    .sum();
                let more = (range.end - range.start).saturating_sub(locked);
                if inner.map.locked_bytes().saturating_add(more) > allowance.locked {
                    return Err(Errno::ENOMEM);
                }
            }
            let end = inner.map.first_hole(range.start, range.end);
            if end > range.start {
                inner.change_locks(range.start..end, flags)?;
            }
            if end < range.end {
                return Err(Errno::ENOMEM);
            }
        }
        match self.populate_locked(range, go_on) {
            Ok(()) => Ok(()),
            Err(FaultError::OutOfMemory) => Err(Errno::EAGAIN),
            Err(FaultError::Interrupted) => Err(Errno::EINTR),
            Err(_) => Err(Errno::ENOMEM),
        }
    }

    /// Locks all areas, those to come, or both; whatever is not named is no longer locked in future
    /// (`mlockall(2)`, `munlockall(2)`).
    ///
    /// # Errors
    /// `ENOMEM` beyond the allowance, or for too many areas.
    pub fn lock_all(
        &self,
        current: Option<AreaFlags>,
        future: AreaFlags,
        allowance: &Allowance,
        go_on: GoOn,
    ) -> Result<(), Errno> {
        let bounds = {
            let inner = &mut *self.inner.lock();
            let locks = current.is_some_and(|flags| flags.contains(AreaFlags::LOCKED));
            if locks && inner.map.total_bytes() > allowance.locked {
                return Err(Errno::ENOMEM);
            }
            inner.future_flags = future;
            let Some(flags) = current else { return Ok(()) };
            let bounds = inner.map.bounds();
            inner.change_locks(bounds.clone(), flags)?;
            bounds
        };
        // What can't be had now is told when it is touched.
        let _ = self.populate_locked(bounds, go_on);
        Ok(())
    }

    /// Touches all pages of the locked areas in a range, as a read would, or a write where that makes a page of its
    /// own. Areas that are filled when they are touched are left out.
    ///
    /// # Errors
    /// What the first access that fails would have met; nothing behind it is touched.
    pub fn populate_locked(&self, range: Range<u64>, go_on: GoOn) -> Result<(), FaultError> {
        let mut cursor = range.start;
        loop {
            let (part, access) = {
                let inner = self.inner.lock();
                let Some(area) = inner.map.range(cursor, range.end).next() else {
                    return Ok(());
                };
                let part = area.start.max(cursor)..area.end.min(range.end);
                cursor = part.end;
                if !area.flags.contains(AreaFlags::LOCKED) || area.flags.contains(AreaFlags::LOCK_ON_FAULT) {
                    continue;
                }
                let copies = area.protection.contains(Protection::WRITE) && !area.flags.contains(AreaFlags::SHARED);
                (part, if copies { Access::Write } else { Access::Read })
            };
            self.populate(part.start, part.end - part.start, access, go_on)?;
        }
    }

    /// What of a range is in memory.
    pub fn page_use(&self, range: Range<u64>) -> PageUse {
        let inner = self.inner.lock();
        let zero = Frame::shared_zero().physical();
        let mut usage = PageUse::default();
        inner.table.for_each(range.start, range.end, &mut |_, mapping| {
            if mapping.physical != zero {
                usage.resident += PAGE;
                usage.accessed += if mapping.accessed { PAGE } else { 0 };
                usage.own += if mapping.own { PAGE } else { 0 };
                usage.dirty += if mapping.dirty { PAGE } else { 0 };
                usage.huge += if mapping.large { PAGE } else { 0 };
                usage.lazy += if mapping.lazy { PAGE } else { 0 };
            }
        });
        usage
    }

    /// Forgets which pages were accessed (`/proc/PID/clear_refs`), in those areas that `chosen` takes.
    pub fn forget_accesses(&self, chosen: fn(&Area<Backing>) -> bool) {
        let inner = &mut *self.inner.lock();
        for area in inner.map.iter().filter(|area| chosen(area)) {
            inner.table.clear_accessed(area.start, area.end);
        }
    }

    /// The words of `/proc/PID/pagemap` for some pages (`pagemap` in Linux's documentation): the frame's number, 57 it is
    /// write-protected by its watcher, 58 a guard, 61 a page of an object, 62 swapped out (here: a mark), 63 present.
    pub fn page_words(&self, start: u64, words: &mut [u64]) {
        let inner = self.inner.lock();
        words.fill(0);
        let end = start + words.len() as u64 * PAGE;
        let zero = Frame::shared_zero().physical();
        inner.table.for_each(start, end, &mut |address, mapping| {
            if mapping.physical == zero {
                return;
            }
            let object = if mapping.own { 0 } else { 1 << 61 };
            let alone = if mapping.own { 1 << 56 } else { 0 };
            let watched = if mapping.watched { 1 << 57 } else { 0 };
            words[((address - start) / PAGE) as usize] =
                (mapping.physical / PAGE) | (1 << 63) | object | alone | watched;
        });
        inner.table.for_each_mark(start, end, &mut |address, mark| {
            words[((address - start) / PAGE) as usize] = match mark {
                Mark::Guard => 1 << 62 | 1 << 58,
                Mark::Watched => 1 << 62 | 1 << 57,
                Mark::Poisoned => 1 << 62,
            };
        });
    }

    /// A copy of the area that holds an address.
    pub fn area_at(&self, address: u64) -> Option<Area<Backing>> {
        self.inner.lock().map.find(address).cloned()
    }

    /// Checks what `msync(2)` asks of a range.
    ///
    /// # Errors
    /// `EBUSY` for locked memory if `invalidates`, `ENOMEM` for a hole.
    pub fn check_synchronised(&self, start: u64, end: u64, invalidates: bool) -> Result<(), Errno> {
        let inner = self.inner.lock();
        let mut areas = inner.map.range(start, end);
        if invalidates && areas.any(|area| area.flags.contains(AreaFlags::LOCKED)) {
            return Err(Errno::EBUSY);
        }
        if inner.map.is_covered(start, end) {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    /// Refuses a place that can't be had, which `mmap(2)` tells before it looks at the file.
    ///
    /// # Errors
    /// `EINVAL`, `ENOMEM`, and `EEXIST` if something is there that must not be replaced.
    pub fn check_placement(&self, placement: &Placement, length: u64) -> Result<(), Errno> {
        match *placement {
            Placement::Fixed(start) => page_range(start, length).map(|_| ()),
            Placement::FixedNoReplace(start) => {
                let range = page_range(start, length)?;
                match self.inner.lock().mapped_bytes(&range) {
                    0 => Ok(()),
                    _ => Err(Errno::EEXIST),
                }
            }
            Placement::Hint(_) | Placement::Low(_) => Ok(()),
        }
    }

    /// Whether the program may read (or write, or run) what is at an address by its own account. Processors let also be
    /// read what may only be written.
    pub fn permits(&self, address: u64, access: Protection) -> bool {
        self.inner
            .lock()
            .map
            .find(address)
            .is_some_and(|area| area.protection.contains(access))
    }

    /// Tells for each of some pages whether it is in memory (1, else 0), as `mincore(2)`. Of an object that does not tell that,
    /// all are.
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
        for area in inner.map.range(range.start, range.end) {
            // Of an object, what is in memory although it was not touched here.
            if let Backing::Object { source, offset, .. } = &area.backing {
                let tells = source.tells_presence();
                for page in (area.start.max(range.start)..area.end.min(range.end)).step_by(PAGE as usize) {
                    let index = (offset + (page - area.start)) / PAGE;
                    let present = !tells || source.existing(index, false).is_some();
                    pages[((page - range.start) / PAGE) as usize] = u8::from(present);
                }
            }
        }
        inner.table.for_each(range.start, range.end, &mut |address, _| {
            pages[((address - range.start) / PAGE) as usize] = 1;
        });
        Ok(())
    }
}
