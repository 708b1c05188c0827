//! Areas whose page faults the program handles itself: `userfaultfd(2)`.
//!
//! A fault that a watcher is to be told of is not repaired: [`AddressSpace::handle_fault`] gives the lock up and lets the
//! thread wait with the watcher, which first takes it among those that wait and then asks once more whether there is
//! still something to wait for. Whoever handles the fault changes the tables first and wakes afterwards, so one of both
//! sees the other. The order of locks: a watcher's own lock is never held while the address space is asked.

use super::advice::MARKED_AT_ONCE;
use super::*;

/// How a thread may wait for somebody to handle a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Not at all: a lock is held.
    Never,
    /// Until a signal comes: the program itself met the fault, and meets it again after the signal's handler.
    Interruptible,
    /// Until the thread has to end: the kernel reads or writes the program's memory.
    Killable,
}

/// How waiting for a fault ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The fault may have been handled.
    Woken,
    /// Nobody will handle it: it is to be a bus error.
    Refused,
    /// The thread was interrupted.
    Interrupted,
}

/// Why a fault is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultReason {
    /// There is no page.
    Missing,
    /// The page may not be written yet.
    Protected,
    /// The object has the page, but the process does not.
    Minor,
}

/// A fault that a watcher is told of.
#[derive(Clone, Copy, Debug)]
pub struct WatchedFault {
    /// The address, as it was accessed.
    pub address: u64,
    /// It was a write.
    pub write: bool,
    /// What is to be done about it.
    pub reason: FaultReason,
}

/// What happened to a watched range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeEvent {
    /// It is mapped somewhere else now (`mremap(2)`).
    Moved {
        /// Where it was.
        from: u64,
        /// Where it is.
        to: u64,
        /// Bytes.
        length: u64,
    },
    /// Its content is forgotten (`madvise(2)`).
    Removed(u64, u64),
    /// It is no longer mapped.
    Unmapped(u64, u64),
}

/// Who handles page faults of some areas.
pub trait FaultWatcher: Send + Sync {
    /// Its number, which no other watcher has.
    fn number(&self) -> u32;

    /// Whether a write to a protected page lifts the protection and is not told (`UFFD_FEATURE_WP_ASYNC`).
    fn lets_writes_pass(&self) -> bool;

    /// Whether pages that were never there can be protected (`UFFD_FEATURE_WP_UNPOPULATED`).
    fn protects_absent(&self) -> bool;

    /// Whether it goes on watching what moves (`UFFD_FEATURE_EVENT_REMAP`).
    fn follows_moves(&self) -> bool;

    /// Tells the fault and waits until it is handled. `unhandled` says whether it still needs to be.
    fn wait(&self, fault: &WatchedFault, waiting: Waiting, unhandled: &dyn Fn() -> bool) -> Waited;

    /// Tells an event and waits until it was taken, if the watcher wants to know such events.
    fn tell(&self, event: RangeEvent);

    /// Makes the watcher that handles the same areas of a copy of the address space, if it wants to go on with copies
    /// (`UFFD_FEATURE_EVENT_FORK`). [`Self::forked`] follows, whatever comes of the copy. `None` also without memory.
    fn descendant(&self, copy: &Arc<AddressSpace>) -> Option<Arc<dyn FaultWatcher>>;

    /// Tells that the copy is there for which [`Self::descendant`] has made the watcher of this number, and waits until that
    /// was taken; or forgets that watcher if there is no copy.
    fn forked(&self, descendant: u32, succeeded: bool);
}

/// What a missing page is to be.
pub enum Fill<'a> {
    /// This frame, of which nobody else has a reference (`UFFDIO_COPY`).
    Frame {
        /// It.
        frame: Frame,
        /// Writes to it are to be told.
        protected: bool,
    },
    /// Zeroes (`UFFDIO_ZEROPAGE`).
    Zeroes,
    /// What the object has there (`UFFDIO_CONTINUE`).
    Content {
        /// Writes to it are to be told.
        protected: bool,
    },
    /// Lost (`UFFDIO_POISON`).
    Poison,
    /// The page from another place of private memory, which is missing there afterwards (`UFFDIO_MOVE`).
    Moved {
        /// That place.
        from: u64,
        /// It need not be there.
        may_be_absent: bool,
        /// Both places as a whole: each lies in one area.
        source: &'a Range<u64>,
    },
}

/// Whether an area's pages may be handled by a watcher that wants to be told of this.
fn may_watch(area: &Area<Backing>, what: AreaFlags, lets_writes_pass: bool) -> bool {
    if lets_writes_pass && what == AreaFlags::WATCH_WRITES {
        return true;
    }
    match &area.backing {
        Backing::Anonymous => !what.contains(AreaFlags::WATCH_MINOR),
        Backing::Object { source, .. } => source.is_shared_memory(),
    }
}

/// Whether an object has nothing for a page: neither content nor room that was made for it.
fn lacks(source: &dyn PageSource, index: u64) -> bool {
    source.existing(index, false).is_none() && source.present(index..index + 1) == 0
}

impl Inner {
    pub(super) fn watcher(&self, number: u32) -> Option<&Arc<dyn FaultWatcher>> {
        self.watchers.iter().find(|watcher| watcher.number() == number)
    }

    /// Why an access that the area allows is to be told to its watcher, if it is.
    pub(super) fn told_reason(&self, area: &Area<Backing>, page: u64, write: bool) -> Option<FaultReason> {
        if let Some(mapping) = self.table.query(page) {
            let told = write && mapping.watched && area.flags.contains(AreaFlags::WATCH_WRITES);
            let told = told
                && self
                    .watcher(area.watcher)
                    .is_some_and(|watcher| !watcher.lets_writes_pass());
            return told.then_some(FaultReason::Protected);
        }
        if matches!(self.table.mark(page), Some(Mark::Guard | Mark::Poisoned)) {
            return None;
        }
        match &area.backing {
            Backing::Anonymous => area
                .flags
                .contains(AreaFlags::WATCH_MISSING)
                .then_some(FaultReason::Missing),
            Backing::Object { source, offset, .. } => {
                let index = (offset + (page - area.start)) / PAGE;
                if index >= source.pages() {
                    None
                } else if lacks(&**source, index) {
                    area.flags
                        .contains(AreaFlags::WATCH_MISSING)
                        .then_some(FaultReason::Missing)
                } else {
                    area.flags
                        .contains(AreaFlags::WATCH_MINOR)
                        .then_some(FaultReason::Minor)
                }
            }
        }
    }
}

impl AddressSpace {
    /// Who is to be told of an access, and what, as things are now.
    fn watched_fault(&self, address: u64, access: Access) -> Option<(Arc<dyn FaultWatcher>, WatchedFault)> {
        let inner = self.inner.lock();
        let area = inner.map.find(address)?;
        let write = access == Access::Write;
        if area.watcher == 0 || write && !area.protection.contains(Protection::WRITE) {
            return None;
        }
        let reason = inner.told_reason(area, address & !(PAGE - 1), write)?;
        let fault = WatchedFault { address, write, reason };
        Some((inner.watcher(area.watcher)?.clone(), fault))
    }

    /// Lets a watcher handle a fault. Says whether to look at the fault again.
    ///
    /// # Errors
    /// [`FaultError::Watched`] if waiting is not allowed, [`FaultError::Unhandled`], [`FaultError::Interrupted`].
    pub(super) fn wait_for_watcher(&self, address: u64, access: Access, waiting: Waiting) -> Result<(), FaultError> {
        if waiting == Waiting::Never {
            return Err(FaultError::Watched);
        }
        let Some((watcher, fault)) = self.watched_fault(address, access) else {
            return Ok(());
        };
        match watcher.wait(&fault, waiting, &|| self.watched_fault(address, access).is_some()) {
            Waited::Woken => Ok(()),
            Waited::Refused => Err(FaultError::Unhandled),
            Waited::Interrupted => Err(FaultError::Interrupted),
        }
    }

    /// Lets a watcher handle faults in a range from now on (`UFFDIO_REGISTER`).
    ///
    /// # Errors
    /// `EINVAL` (nothing is mapped in the range, or areas of other kinds), `ENOMEM`, `EPERM` for what may never be written, `EBUSY` for what has another watcher.
    pub fn watch(&self, range: Range<u64>, watcher: &Arc<dyn FaultWatcher>, what: AreaFlags) -> Result<(), Errno> {
        let inner = &mut *self.inner.lock();
        inner.check_watchable(&range)?;
        for area in inner.map.range(range.start, range.end) {
            if !may_watch(area, what, watcher.lets_writes_pass()) {
                return Err(Errno::EINVAL);
            }
            if !area.maximum_protection.contains(Protection::WRITE) {
                return Err(Errno::EPERM);
            }
            if area.watcher != 0 && area.watcher != watcher.number() {
                return Err(Errno::EBUSY);
            }
        }
        let number = watcher.number();
        if inner.watcher(number).is_none() {
            inner.watchers.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            inner.watchers.push(watcher.clone());
        }
        let changed = inner.map.watch(range.start, range.end, number, what);
        changed.map_err(|change| error_of(change.error))
    }

    /// A watcher no longer handles faults in a range (`UFFDIO_UNREGISTER`). What it protected can be written again.
    ///
    /// # Errors
    /// As [`Self::watch`]: `ENOMEM`, `EINVAL`.
    pub fn unwatch(&self, range: Range<u64>, watcher: &dyn FaultWatcher) -> Result<(), Errno> {
        let inner = &mut *self.inner.lock();
        inner.check_watchable(&range)?;
        for area in inner.map.range(range.start, range.end) {
            let theirs = area.watcher != 0 && area.watcher != watcher.number();
            if theirs || !may_watch(area, AreaFlags::WATCH_WRITES, watcher.lets_writes_pass()) {
                return Err(Errno::EINVAL);
            }
        }
        inner.end_watching(&range)
    }

    /// A watcher is gone: nobody handles the faults of its areas any more.
    pub fn forget_watcher(&self, number: u32) {
        // Dropped after the lock.
        let mut _gone = None;
        let inner = &mut *self.inner.lock();
        let mut cursor = inner.map.bounds().start;
        loop {
            let next = inner
                .map
                .range(cursor, inner.map.bounds().end)
                .find(|area| area.watcher == number);
            let Some(range) = next.map(|area| area.start..area.end) else {
                break;
            };
            cursor = range.end;
            // Whole areas: nothing is split, so nothing can fail.
            let _ = inner.end_watching(&range);
        }
        if let Some(index) = inner.watchers.iter().position(|watcher| watcher.number() == number) {
            _gone = Some(inner.watchers.swap_remove(index));
        }
    }

    /// Lets writes to a range be told, or no more (`UFFDIO_WRITEPROTECT`). There may be very much of it: `go_on` is asked now
    /// and then, with no lock held.
    ///
    /// # Errors
    /// `ENOENT` if it is not mapped, or not watched so, all of it (nothing is changed, unless another thread has unmapped
    /// some of it meanwhile); `ENOMEM`; `EINTR` if it shall not go on.
    pub fn protect_watched(&self, range: Range<u64>, protected: bool, go_on: GoOn) -> Result<(), Errno> {
        self.inner.lock().check_writes_watched(&range)?;
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + MARKED_AT_ONCE);
            self.protect_some(&(start..end), protected)?;
            start = end;
            if !go_on() {
                return Err(Errno::EINTR);
            }
        }
        Ok(())
    }

    /// As [`Self::protect_watched`], for a part of a range.
    fn protect_some(&self, range: &Range<u64>, protected: bool) -> Result<(), Errno> {
        let inner = &mut *self.inner.lock();
        inner.check_writes_watched(range)?;
        inner.table.watch(range.start, range.end, protected);
        if !protected {
            inner.table.clear_marks(range.start, range.end, Mark::Watched);
            return Ok(());
        }
        // Pages that come later: of objects, and of private memory if the watcher wants that.
        for area in inner.map.range(range.start, range.end) {
            let absent = area.backing != Backing::Anonymous
                || inner
                    .watcher(area.watcher)
                    .is_some_and(|watcher| watcher.protects_absent());
            if !absent {
                continue;
            }
            for page in (area.start.max(range.start)..area.end.min(range.end)).step_by(PAGE as usize) {
                if inner.table.is_vacant(page) {
                    let marked = inner.table.set_mark(page, Mark::Watched, &mut frame::user_table_frame);
                    marked.map_err(|_| Errno::ENOMEM)?;
                }
            }
        }
        Ok(())
    }

    /// Puts a page where one is missing. `whole` is the range of the request, which must lie in one watched area.
    ///
    /// # Errors
    /// `ENOENT` without such an area, `EEXIST` if there is a page, `EINVAL` where this is not possible, `EFAULT` if the
    /// object has no such page, `ENOMEM`.
    pub fn fill(&self, whole: &Range<u64>, page: u64, fill: Fill<'_>) -> Result<(), Errno> {
        let inner = &mut *self.inner.lock();
        let area = inner.map.find(whole.start).filter(|area| area.end >= whole.end);
        let area = match area {
            Some(area) if area.watcher != 0 => area,
            Some(_) if matches!(fill, Fill::Moved { .. }) => return Err(Errno::EINVAL),
            _ => return Err(Errno::ENOENT),
        };
        let shared = area.flags.contains(AreaFlags::SHARED);
        let writable = area.protection.contains(Protection::WRITE);
        let protected = match fill {
            Fill::Frame { protected, .. } | Fill::Content { protected } => protected,
            _ => false,
        };
        if protected && !area.flags.contains(AreaFlags::WATCH_WRITES) {
            return Err(Errno::EINVAL);
        }
        let place = match &area.backing {
            Backing::Object { source, .. } if !source.is_shared_memory() => return Err(Errno::EINVAL),
            Backing::Object { source, offset, .. } if shared || matches!(fill, Fill::Content { .. }) => {
                Some((source.clone(), (offset + (page - area.start)) / PAGE))
            }
            _ => None,
        };
        let mark = inner.table.mark(page);
        // What brings content replaces marks.
        let taken = inner.table.query(page).is_some()
            || mark.is_some() && !matches!(fill, Fill::Frame { .. } | Fill::Content { .. });
        let rights = Rights {
            read: !area.protection.is_empty(),
            write: writable && !protected,
            execute: area.protection.contains(Protection::EXECUTE),
        };
        let (frame, rights, own) = match (fill, place) {
            (
                Fill::Moved {
                    from,
                    may_be_absent,
                    source,
                },
                _,
            ) => {
                return self.move_page(inner, (whole, page), (source, from), may_be_absent);
            }
            (Fill::Content { .. }, None) => return Err(Errno::EINVAL),
            _ if taken => return Err(Errno::EEXIST),
            (Fill::Poison, _) => {
                let marked = inner.table.set_mark(page, Mark::Poisoned, &mut frame::user_table_frame);
                return marked.map_err(|_| Errno::ENOMEM);
            }
            (Fill::Content { .. }, Some((source, index))) => {
                if lacks(&*source, index) {
                    return Err(Errno::EFAULT);
                }
                let frame = source.page(index, shared).map_err(|_| Errno::EFAULT)?;
                let write = rights.write && shared;
                (frame, Rights { write, ..rights }, false)
            }
            (Fill::Frame { frame, .. }, Some((source, index))) => {
                source.offer(index, frame.clone())?;
                (frame, rights, false)
            }
            (Fill::Zeroes, Some((source, index))) => {
                let frame = Frame::zeroed(Purpose::User).ok_or(Errno::ENOMEM)?;
                source.offer(index, frame.clone())?;
                (frame, rights, false)
            }
            (Fill::Frame { frame, .. }, None) => (frame, rights, true),
            (Fill::Zeroes, None) => (Frame::shared_zero(), Rights { write: false, ..rights }, false),
        };
        let added = u64::from(!frame.is_shared_zero());
        let physical = frame.into_raw();
        if Self::install(&mut inner.table, page, physical, rights, own).is_err() {
            // SAFETY: the reference was put into the address just now and no entry holds it.
            drop(unsafe { Frame::from_raw(physical) });
            return Err(Errno::ENOMEM);
        }
        if protected {
            inner.table.watch(page, page + PAGE, true);
        }
        if own {
            self.add_own(added);
        } else {
            self.add_resident(added);
        }
        Ok(())
    }

    /// Moves a page of private memory to where one is missing.
    fn move_page(
        &self,
        inner: &mut Inner,
        (whole, page): (&Range<u64>, u64),
        (source, from): (&Range<u64>, u64),
        may_be_absent: bool,
    ) -> Result<(), Errno> {
        let map = &inner.map;
        let to_area = map.find(whole.start).ok_or(Errno::ENOENT)?;
        let from_area = map.find(source.start).ok_or(Errno::ENOENT)?;
        let movable =
            |area: &Area<Backing>| area.backing == Backing::Anonymous && !area.flags.contains(AreaFlags::SHARED);
        let same = from_area.protection == to_area.protection
            && from_area.flags.contains(AreaFlags::LOCKED) == to_area.flags.contains(AreaFlags::LOCKED)
            && from_area.protection.contains(Protection::WRITE);
        if from_area.end < source.end || !movable(from_area) || !movable(to_area) || !same {
            return Err(Errno::EINVAL);
        }
        if inner.table.query(page).is_some() || inner.table.mark(page).is_some() {
            return Err(Errno::EEXIST);
        }
        let Some(mapping) = inner.table.query(from) else {
            return if may_be_absent { Ok(()) } else { Err(Errno::ENOENT) };
        };
        if !mapping.own && mapping.physical != Frame::shared_zero().physical() {
            return Err(Errno::EBUSY);
        }
        inner
            .table
            .prepare_relocation(from..from + PAGE, page, &mut frame::user_table_frame)
            .map_err(|_| Errno::ENOMEM)?;
        inner.table.relocate(from..from + PAGE, page, false);
        Ok(())
    }

    /// Tells the watchers of areas that are gone, each once, that the whole range of the call is; with no lock held.
    pub(super) fn tell_unmapped(&self, range: Range<u64>, removed: &[Area<Backing>]) {
        for (index, area) in removed.iter().enumerate().filter(|(_, area)| area.watcher != 0) {
            let told = removed[..index].iter().any(|other| other.watcher == area.watcher);
            if !told {
                self.tell(area.watcher, RangeEvent::Unmapped(range.start, range.end));
            }
        }
    }

    /// Tells the watchers of a range whose content is about to be forgotten.
    pub(super) fn tell_removed(&self, range: &Range<u64>) {
        let mut cursor = range.start;
        loop {
            let next = {
                let inner = self.inner.lock();
                if inner.watchers.is_empty() {
                    return;
                }
                let mut areas = inner.map.range(cursor, range.end);
                let next = areas.find(|area| area.watcher != 0);
                next.map(|area| (area.watcher, area.start.max(cursor), area.end.min(range.end)))
            };
            let Some((watcher, start, end)) = next else { return };
            cursor = end;
            self.tell(watcher, RangeEvent::Removed(start, end));
        }
    }

    pub(super) fn tell(&self, watcher: u32, event: RangeEvent) {
        let watcher = self.inner.lock().watcher(watcher).cloned();
        if let Some(watcher) = watcher {
            watcher.tell(event);
        }
    }
}

impl Inner {
    /// What registering and its end ask first of a range.
    fn check_watchable(&self, range: &Range<u64>) -> Result<(), Errno> {
        if self.map.is_free(range.start, range.end) {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    }

    fn check_writes_watched(&self, range: &Range<u64>) -> Result<(), Errno> {
        let watched = |area: &Area<Backing>| area.flags.contains(AreaFlags::WATCH_WRITES);
        let mut areas = self.map.range(range.start, range.end);
        if self.map.is_covered(range.start, range.end) && areas.all(watched) {
            Ok(())
        } else {
            Err(Errno::ENOENT)
        }
    }

    fn end_watching(&mut self, range: &Range<u64>) -> Result<(), Errno> {
        let changed = self.map.watch(range.start, range.end, 0, AreaFlags::empty());
        changed.map_err(|change| error_of(change.error))?;
        self.table.watch(range.start, range.end, false);
        self.table.clear_marks(range.start, range.end, Mark::Watched);
        Ok(())
    }
}
