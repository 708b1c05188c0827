//! Page faults: the right frame under a page.

use super::*;

/// Areas of this size and more get large pages unasked.
const LARGE_AREA: u64 = 8 << 20;

/// Pages that are touched before others may have the processor.
const TOUCHED_AT_ONCE: usize = 256;

/// Lets others run if it is their turn, and says whether a long call shall go on.
pub type GoOn = fn() -> bool;

/// Where a large page may go for a write to a page that is not there: the program asked for it (`MADV_HUGEPAGE`), or the
/// area is large, is being filled in order, and there is much memory. A program that touches pages here and there gets
/// small ones, so that it takes no more memory than it would otherwise.
fn place_for_large(area: &Area<Backing>, page: u64, table: &PageTable) -> Option<u64> {
    let start = page & !(LARGE_PAGE_SIZE - 1);
    if area.watcher != 0 {
        return None; // its pages are handled one by one
    }
    let unwanted = AreaFlags::NO_HUGE_PAGE | AreaFlags::LOCK_ON_FAULT | AreaFlags::GROWS_DOWN | AreaFlags::SHARED;
    if start < area.start || area.end - start < LARGE_PAGE_SIZE || area.flags.intersects(unwanted) {
        return None;
    }
    let asked = area.flags.contains(AreaFlags::HUGE_PAGE);
    let in_order = || page == start && table.query(start.wrapping_sub(PAGE)).is_some_and(|before| before.own);
    let wanted = asked || area.length() >= LARGE_AREA && frame::is_plentiful() && in_order();
    (wanted && table.has_room_for_large(start)).then_some(start)
}

/// A page of an object has another frame from now on, if so: no address space shows the old one any more. Not to be called with
/// one of them locked: two processes may do this to each other.
pub(super) fn forget_replaced(replaced: Option<Replaced>) {
    if let Some(replaced) = replaced {
        let (index, old) = (replaced.index, replaced.physical);
        let object = Arc::as_ptr(&replaced.object).cast();
        duplicate::forget_object_everywhere(object, index..index + 1, &|_, physical| physical == old);
    }
}

impl AddressSpace {
    /// Repairs a page fault.
    ///
    /// # Errors
    /// [`FaultError`]: what the program is to be told.
    pub fn handle_fault(&self, address: u64, access: Access, waiting: Waiting) -> Result<(), FaultError> {
        self.faults.fetch_add(1, Ordering::Relaxed);
        loop {
            let (repaired, replaced) = {
                // Threads that fault again and again must not keep others from what would end that.
                let mut inner = self.inner.lock_after_others();
                let repaired = self.fault(&mut inner, address, access).map(|_| ());
                (repaired, inner.replaced.take())
            };
            forget_replaced(replaced);
            match repaired {
                Err(FaultError::Watched) => self.wait_for_watcher(address, access, waiting)?,
                Err(FaultError::OutOfMemory) if give_up_pages() != 0 => {}
                repaired => return repaired,
            }
        }
    }

    /// Lets a stack grow down to an address after [`FaultError::MustGrow`], if limits allow that.
    ///
    /// # Errors
    /// [`FaultError::NotMapped`] if they do not, or no stack is there; [`FaultError::OutOfMemory`].
    pub fn grow_stack(&self, address: u64, allowance: &Allowance) -> Result<(), FaultError> {
        let inner = &mut *self.inner.lock();
        let above = inner.map.find_at_or_above(address).ok_or(FaultError::NotMapped)?;
        let growth = Growth {
            added: above.start.saturating_sub(address & !(PAGE - 1)),
            protection: above.protection,
            flags: above.flags,
        };
        inner
            .check_growth(&growth, allowance)
            .map_err(|_| match frame::is_low() {
                true => FaultError::OutOfMemory,
                false => FaultError::NotMapped,
            })?;
        let grown = inner.map.grow_stack(address, self.stack_limit.load(Ordering::Relaxed));
        grown.map(drop).map_err(|_| FaultError::NotMapped)
    }

    pub(super) fn fault(&self, inner: &mut Inner, address: u64, access: Access) -> Result<u64, FaultError> {
        let area = match inner.map.find(address) {
            Some(area) => area,
            None => {
                let limit = self.stack_limit.load(Ordering::Relaxed);
                let above = inner.map.find_at_or_above(address).ok_or(FaultError::NotMapped)?;
                let size = inner.map.total_bytes() + (above.start - (address & !(PAGE - 1)));
                if size > self.size_limit.load(Ordering::Relaxed) {
                    return Err(FaultError::NotMapped);
                }
                let limited = above.flags.contains(AreaFlags::LOCKED) || Overcommit::current() == Overcommit::Never;
                if limited && above.flags.contains(AreaFlags::GROWS_DOWN) {
                    return Err(FaultError::MustGrow);
                }
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
        if area.watcher != 0 && inner.told_reason(area, page, write).is_some() {
            return Err(FaultError::Watched);
        }
        let table = &mut inner.table;

        let (known, mark) = table.look(page);
        if let Some(mapping) = known {
            if mapping.rights.read
                && (!write || mapping.rights.write)
                && (access != Access::Execute || mapping.rights.execute)
            {
                // Somebody repaired it already, or the kernel is about to write to the frame.
                if write && mapping.lazy {
                    table.note_write(page);
                }
                return Ok(mapping.physical);
            }
            if !write {
                // Present in memory, but not accessible until now.
                let keep = Rights {
                    write: mapping.rights.write,
                    ..rights
                };
                Self::install(table, page, mapping.physical, keep, mapping.own)?;
                if mapping.watched {
                    table.watch(page, page + PAGE, true);
                }
                return Ok(mapping.physical);
            }
            let physical = Self::make_writable(table, area, page, mapping, rights, shared)?;
            if let Backing::Object { source, .. } = &area.backing
                && shared
            {
                source.written();
            }
            // Zeroes that all share were not counted, a page of an object was.
            if mapping.physical == Frame::shared_zero().physical() {
                self.add_own(1);
            } else if !shared && !mapping.own {
                self.own.fetch_add(1, Ordering::Relaxed);
            }
            if let Backing::Object { source, offset, .. } = &area.backing
                && shared
                && physical != mapping.physical
            {
                // As below.
                let object = Arc::as_ptr(source).cast();
                let index = (offset + (page - area.start)) / PAGE;
                self.forget_pages(&inner.map, table, object, index..index + 1, &|_, known| {
                    known == mapping.physical
                });
                inner.replaced = Some(Replaced {
                    object: source.clone(),
                    index,
                    physical: mapping.physical,
                });
            }
            return Ok(physical);
        }

        match mark {
            Some(Mark::Guard) => return Err(FaultError::Guarded),
            Some(Mark::Poisoned) => return Err(FaultError::Poisoned),
            Some(Mark::Watched) if write => {
                // As a read first, so that the page is there and the watcher is told of a write to it.
                let lets_pass = |number| {
                    let watcher = inner.watchers.iter().find(|watcher| watcher.number() == number);
                    watcher.is_none_or(|watcher| watcher.lets_writes_pass())
                };
                if !lets_pass(area.watcher) {
                    self.fault(inner, address, Access::Read)?;
                    return Err(FaultError::Watched);
                }
                table.clear_marks(page, page + PAGE, Mark::Watched);
            }
            Some(Mark::Watched) | None => {}
        }
        if write && area.flags.contains(AreaFlags::DROPPABLE) {
            self.note_forgettable();
        }
        if write
            && area.backing == Backing::Anonymous
            && !self.small_only.load(Ordering::Relaxed)
            && let Some(start) = place_for_large(area, page, table)
            && let Some(physical) = Self::install_large(table, start, rights)
        {
            self.add_own(LARGE_PAGE_FRAMES);
            return Ok(physical + (page - start));
        }
        let frame = match &area.backing {
            Backing::Anonymous if write => Frame::zeroed(Purpose::User).ok_or(FaultError::OutOfMemory)?,
            Backing::Anonymous => Frame::shared_zero(),
            Backing::Object { source, offset, .. } => {
                let index = (offset + (page - area.start)) / PAGE;
                let before = if own { source.existing(index, false) } else { None };
                let frame = match source.page(index, own) {
                    // What is there can be read without room for a copy.
                    Err(PageError::NoSpace | PageError::OutOfMemory) if own && !write => source.page(index, false)?,
                    frame => frame?,
                };
                if let Some(old) = before.filter(|old| *old != frame) {
                    // The object has a frame of its own from now on: who maps the image's must see it too.
                    let object = Arc::as_ptr(source).cast();
                    self.forget_pages(&inner.map, table, object, index..index + 1, &|_, physical| {
                        physical == old.physical()
                    });
                    inner.replaced = Some(Replaced {
                        object: source.clone(),
                        index,
                        physical: old.physical(),
                    });
                }
                if write && !shared {
                    frame.duplicate(Purpose::User).ok_or(FaultError::OutOfMemory)?
                } else {
                    frame
                }
            }
        };
        if let Backing::Object { source, .. } = &area.backing
            && write
            && shared
        {
            source.written();
        }
        // As with Linux's tmpfs, what can be written needs no fault of its own for that.
        let rights = Rights {
            write: write || own && protection.contains(Protection::WRITE),
            ..rights
        };
        let mut added = u64::from(!frame.is_shared_zero());
        let own_frame = write && !shared;
        let physical = frame.into_raw();
        if let Err(error) = Self::install(table, page, physical, rights, own_frame) {
            // SAFETY: the reference was put into the address just now and no entry holds it.
            drop(unsafe { Frame::from_raw(physical) });
            return Err(error);
        }
        if mark == Some(Mark::Watched) && !write {
            table.watch(page, page + PAGE, true);
        }
        // Neighbours too, but for those of a private page that is written, which gets a copy. Who writes does so mostly in order,
        // and Linux maps nothing else for it: so only what comes next.
        if let Backing::Object { source, offset, .. } = &area.backing
            && !own_frame
            && area.watcher == 0
        {
            let window = if write { page } else { page & !(FAULT_AROUND * PAGE - 1) };
            for neighbour in
                (window.max(area.start)..(window + FAULT_AROUND * PAGE).min(area.end)).step_by(PAGE as usize)
            {
                if !table.is_vacant(neighbour) {
                    continue;
                }
                let Some(frame) = source.existing((offset + (neighbour - area.start)) / PAGE, own) else {
                    continue;
                };
                let raw = frame.into_raw();
                if Self::install(table, neighbour, raw, rights, false).is_err() {
                    // SAFETY: as above.
                    drop(unsafe { Frame::from_raw(raw) });
                    break;
                }
                added += 1;
            }
        }
        self.own.fetch_add(u64::from(own_frame), Ordering::Relaxed);
        self.add_resident(added);
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
            Backing::Object { source, offset, .. } if shared => {
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
                return Self::install(table, page, physical, rights, true).map(|_| physical);
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
        Self::install(table, page, physical, rights, !shared)?;
        drop(current);
        Ok(physical)
    }

    /// Puts a frame under a page. The reference in `physical` goes into the entry; that of an entry which was
    /// there before is the caller's.
    pub(super) fn install(
        table: &mut PageTable,
        page: u64,
        physical: u64,
        rights: Rights,
        own: bool,
    ) -> Result<(), FaultError> {
        table
            .map(page, physical, rights, own, &mut frame::user_table_frame)
            .map(|_| ())
            .map_err(|_| FaultError::OutOfMemory)
    }

    /// Puts a large page of zeroes where there is room for it; the physical address of its start. `None` if memory is
    /// short or lies in pieces: small pages do then.
    fn install_large(table: &mut PageTable, start: u64, rights: Rights) -> Option<u64> {
        let deposit = frame::user_table_frame()?;
        let mapped = frame::zeroed_large().and_then(|physical| {
            let mapped = table.map_large(start, physical, rights, deposit, &mut frame::user_table_frame);
            if mapped.is_err() {
                // SAFETY: the frames were just handed out, and no entry holds them.
                unsafe { frame::release_large(physical) };
            }
            mapped.ok().map(|()| physical)
        });
        if mapped.is_none() {
            frame::release_table(deposit);
        }
        mapped
    }

    /// Touches every page of a range (`MAP_POPULATE`, `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE`). There may be very many:
    /// `go_on` is asked now and then, with no lock held.
    ///
    /// # Errors
    /// What the first access that fails would have met; the pages before are there. [`FaultError::Interrupted`] if it shall
    /// not go on.
    pub fn populate(&self, start: u64, length: u64, access: Access, go_on: GoOn) -> Result<(), FaultError> {
        self.populate_permitted(start, length, access, go_on, &|_| Ok(()))
    }

    /// As [`Self::populate`], if `permit` lets each page be touched.
    ///
    /// # Errors
    /// And what `permit` answers.
    pub fn populate_permitted(
        &self,
        start: u64,
        length: u64,
        access: Access,
        go_on: GoOn,
        permit: &dyn Fn(u64) -> Result<(), FaultError>,
    ) -> Result<(), FaultError> {
        for (count, page) in (start..start.saturating_add(length)).step_by(PAGE as usize).enumerate() {
            if (count + 1).is_multiple_of(TOUCHED_AT_ONCE) && !go_on() {
                return Err(FaultError::Interrupted);
            }
            permit(page)?;
            self.handle_fault(page, access, Waiting::Killable)?;
        }
        Ok(())
    }

    /// Writes into a private, writable area of an address space that need not be active (`execve`).
    ///
    /// # Errors
    /// `EFAULT` if the range is not such an area, `ENOMEM`.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.each_page(
            address,
            bytes.len() as u64,
            Access::Write,
            |frame, offset, done, length| {
                frame.write(offset, &bytes[done..done + length]);
            },
        )
    }

    /// Zeroes a part of a private area of an address space that need not be active.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn clear(&self, range: Range<u64>) -> Result<(), Errno> {
        self.each_page(
            range.start,
            range.end - range.start,
            Access::Write,
            |frame, offset, _, length| {
                frame.clear(offset..offset + length);
            },
        )
    }

    /// Reads from an address space that need not be active.
    ///
    /// # Errors
    /// `EFAULT` if the program could not read there, `ENOMEM`.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        self.each_page(
            address,
            bytes.len() as u64,
            Access::Read,
            |frame, offset, done, length| {
                frame.read(offset, &mut bytes[done..done + length]);
            },
        )
    }

    fn each_page(
        &self,
        address: u64,
        total: u64,
        access: Access,
        mut action: impl FnMut(&Frame, usize, usize, usize),
    ) -> Result<(), Errno> {
        let mut done = 0;
        while done < total {
            let place = address + done;
            let offset = place % PAGE;
            let length = (PAGE - offset).min(total - done);
            let mut inner = self.inner.lock();
            let physical = match self.fault(&mut inner, place, access) {
                Ok(physical) => physical,
                Err(FaultError::OutOfMemory) => {
                    drop(inner);
                    match give_up_pages() {
                        0 => return Err(Errno::ENOMEM),
                        _ => continue,
                    }
                }
                Err(_) => return Err(Errno::EFAULT),
            };
            // SAFETY: the entry holds the reference and can't go while the lock is held; it is only borrowed.
            let frame = core::mem::ManuallyDrop::new(unsafe { Frame::from_raw(physical) });
            action(&frame, offset as usize, done as usize, length as usize);
            done += length;
            let replaced = inner.replaced.take();
            drop(inner);
            forget_replaced(replaced);
        }
        Ok(())
    }
}
