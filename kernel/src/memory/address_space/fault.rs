//! Page faults: the right frame under a page.

use super::*;

impl AddressSpace {
    /// Repairs a page fault.
    ///
    /// # Errors
    /// [`FaultError`]: what the program is to be told.
    pub fn handle_fault(&self, address: u64, access: Access) -> Result<(), FaultError> {
        self.faults.fetch_add(1, Ordering::Relaxed);
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
                return Self::install(table, page, mapping.physical, keep, mapping.own).map(|_| mapping.physical);
            }
            let physical = Self::make_writable(table, area, page, mapping, rights, shared)?;
            if mapping.physical == Frame::shared_zero().physical() {
                self.add_resident(1);
            }
            return Ok(physical);
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
        let mut added = u64::from(!frame.is_shared_zero());
        let own_frame = write && !shared;
        let physical = frame.into_raw();
        if let Err(error) = Self::install(table, page, physical, rights, own_frame) {
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
                if Self::install(table, neighbour, raw, rights, false).is_err() {
                    // SAFETY: as above.
                    drop(unsafe { Frame::from_raw(raw) });
                    break;
                }
                added += 1;
            }
        }
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
    fn install(table: &mut PageTable, page: u64, physical: u64, rights: Rights, own: bool) -> Result<(), FaultError> {
        table
            .map(page, physical, rights, own, &mut frame::user_table_frame)
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
