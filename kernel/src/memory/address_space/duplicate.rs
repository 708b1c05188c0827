//! Second address spaces: the copy for a process that forks, the end of one that nobody runs in any more, and looking into
//! one in which somebody else runs.
//!
//! A copy shares all private pages with its original until one of both writes (`PageTable::share`); the count of references
//! of a frame says whether somebody else still has it. Pages of objects are not copied at all: the first access asks the
//! object for them.

use alloc::sync::Weak;

use super::super::page_source::promised_shared;
use super::*;

/// A watcher, and the one that handles the same areas of a copy.
type Heir = (Arc<dyn FaultWatcher>, Arc<dyn FaultWatcher>);

/// All address spaces, for objects whose pages change. The places of those that are gone are taken again; nothing ever moves,
/// so that nobody who goes through the list misses one.
static SPACES: Mutex<Vec<Weak<AddressSpace>>> = Mutex::new(Vec::new());

pub(super) fn enlist(space: &Arc<AddressSpace>) {
    let mut spaces = SPACES.lock();
    let new = Arc::downgrade(space);
    match spaces.iter_mut().find(|known| known.strong_count() == 0) {
        Some(place) => *place = new,
        None => spaces.push(new),
    }
}

/// Calls `action` for each address space but one, with no lock held.
pub(super) fn for_each_other(number: u64, action: &mut dyn FnMut(&AddressSpace)) {
    let mut index = 0;
    loop {
        // One at a time: an address space must not end under the lock of the list.
        let next = SPACES.lock().get(index).map(Weak::upgrade);
        match next {
            None => return,
            Some(Some(space)) if space.number != number => action(&space),
            Some(_) => {}
        }
        index += 1;
    }
}

/// Takes pages of an object out of the page tables of all address spaces, see [`AddressSpace::forget_object`].
pub fn forget_object_everywhere(object: *const (), pages: Range<u64>, stale: &dyn Fn(u64, u64) -> bool) {
    for_each_other(0, &mut |space| space.forget_object(object, pages.clone(), stale));
}

/// Calls `action` for each area of all address spaces, with the address space locked.
pub fn for_each_area_everywhere(action: &mut dyn FnMut(&Area<Backing>)) {
    for_each_other(0, &mut |space| space.for_each_area(action));
}

/// Bytes that all address spaces but one were promised, and shared memory (`Committed_AS` is the sum of all).
pub fn committed_elsewhere(number: u64) -> u64 {
    let mut sum = promised_shared();
    for_each_other(number, &mut |space| sum += space.committed_bytes());
    sum
}

impl AddressSpace {
    /// A copy for another process (`fork(2)`): the same areas with the same content, but for those that the program wants to
    /// keep to itself. Locks of memory are not inherited.
    ///
    /// # Errors
    /// `ENOMEM`, also if more was promised than there may be. Nothing is left behind then, but pages that are copied only
    /// when they are next written to.
    pub fn duplicate(&self, promised_elsewhere: u64) -> Result<Arc<Self>, Errno> {
        let copy = Self::new().ok_or(Errno::ENOMEM)?;
        let mut descendants = Vec::new();
        let result = self.copy_to(&copy, promised_elsewhere, &mut descendants);
        // With no lock held: who watches may take its time.
        for (watcher, descendant) in descendants {
            watcher.forked(descendant.number(), result.is_ok());
        }
        result.map(|()| copy)
    }

    fn copy_to(&self, copy: &Arc<Self>, promised_elsewhere: u64, descendants: &mut Vec<Heir>) -> Result<(), Errno> {
        let inner = &mut *self.inner.lock();
        let own = inner.committed();
        let too_much = Overcommit::current() == Overcommit::Never
            && own.saturating_mul(2).saturating_add(promised_elsewhere) > Overcommit::limit();
        if frame::is_low() || too_much {
            return Err(Errno::ENOMEM);
        }
        let theirs = &mut *copy.inner.lock();
        theirs.map = inner.map.fork();
        theirs.layout = inner.layout;
        theirs.program_break = inner.program_break;
        theirs.has_shared_guards = inner.has_shared_guards;
        descendants
            .try_reserve(inner.watchers.len())
            .map_err(|_| Errno::ENOMEM)?;
        theirs
            .watchers
            .try_reserve(inner.watchers.len())
            .map_err(|_| Errno::ENOMEM)?;
        for watcher in &inner.watchers {
            if let Some(descendant) = watcher.descendant(copy) {
                theirs.watchers.push(descendant.clone());
                descendants.push((watcher.clone(), descendant));
            }
        }
        for area in inner.map.iter().filter(|area| area.watcher != 0) {
            let heir = descendants.iter().find(|(watcher, _)| watcher.number() == area.watcher);
            if let Some((_, heir)) = heir {
                let what = area.flags.intersection(AreaFlags::WATCHED);
                // Whole areas, and what the copy does not get is a hole: nothing can fail.
                let _ = theirs.map.watch(area.start, area.end, heir.number(), what);
            }
        }
        copy.set_small_only(self.is_small_only());
        copy.set_stack_limit(self.stack_limit.load(Ordering::Relaxed));
        copy.set_size_limit(self.size_limit.load(Ordering::Relaxed));
        let (mut pages, mut result) = (0, Ok(()));
        for area in theirs.map.iter() {
            // What is said of writes to pages goes with who is told of them.
            let watched = area.flags.contains(AreaFlags::WATCH_WRITES);
            let comes_anew = area.flags.contains(AreaFlags::SHARED) && !watched && !inner.has_shared_guards;
            if area.flags.contains(AreaFlags::WIPE_ON_FORK) || comes_anew {
                continue;
            }
            let mut retain = |physical| {
                // SAFETY: the entry of our table holds the reference, which is only looked at.
                let frame = core::mem::ManuallyDrop::new(unsafe { Frame::from_raw(physical) });
                // This one is the other table's.
                let _ = Frame::clone(&frame).into_raw();
                pages += 1;
            };
            let range = area.start..area.end;
            let table = &mut theirs.table;
            result = inner
                .table
                .share(range, table, watched, &mut retain, &mut frame::user_table_frame);
            if result.is_err() {
                break;
            }
        }
        inner.table.end_sharing();
        if self.has_forgettable() {
            copy.note_forgettable();
        }
        copy.add_own(pages);
        theirs.note_size();
        result.map_err(|_| Errno::ENOMEM)
    }

    /// A process runs in it from now on.
    pub fn enter(&self) {
        self.processes.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether several processes run in it.
    pub fn is_shared(&self) -> bool {
        self.processes.load(Ordering::Relaxed) > 1
    }

    /// A process does not run in it any more. With the last one its content goes, whoever else still knows it: processors
    /// that have it loaded, and those that look at a process from outside.
    pub fn leave(&self) {
        if self.processes.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let removed = {
            let inner = &mut *self.inner.lock();
            let all = layout::PROGRAM_START..layout::PROGRAM_END;
            let removed = core::mem::replace(&mut inner.map, AddressMap::new(all.clone()));
            self.release_range(inner, 0..1 << 47, 0..1 << 47);
            (removed, core::mem::take(&mut inner.watchers))
        };
        // Files may be closed by this, which must not happen under the lock.
        drop(removed);
    }

    /// Copies bytes of one page into a frame, for another process. Answers how many.
    pub fn copy_to_frame(&self, frame: &Frame, address: u64, length: usize) -> usize {
        let copied = self.with_page(address, Access::Read, |page, offset| {
            copy(page, offset, frame, 0, length);
        });
        if copied { length } else { 0 }
    }

    /// Copies bytes of a frame into one page, for another process. Answers how many.
    pub fn copy_from_frame(&self, frame: &Frame, address: u64, length: usize) -> usize {
        let copied = self.with_page(address, Access::Write, |page, offset| {
            copy(frame, 0, page, offset, length);
        });
        if copied { length } else { 0 }
    }

    /// Does something with the frame of a page, if the program itself could access it so. Whoever watches the page is not
    /// waited for.
    fn with_page(&self, address: u64, access: Access, action: impl FnOnce(&Frame, usize)) -> bool {
        // What has to be waited for, or told to other address spaces, happens here.
        if address >= layout::PROGRAM_END || self.handle_fault(address, access, Waiting::Never).is_err() {
            return false;
        }
        let mut inner = self.inner.lock();
        let secret = |area: &Area<Backing>| area.flags.contains(AreaFlags::SECRET);
        if inner.map.find(address).is_some_and(secret) {
            return false;
        }
        let Ok(physical) = self.fault(&mut inner, address, access) else {
            return false;
        };
        // SAFETY: the entry holds the reference and can't go while the lock is held; it is only borrowed.
        let frame = core::mem::ManuallyDrop::new(unsafe { Frame::from_raw(physical) });
        action(&frame, (address % PAGE) as usize);
        let replaced = inner.replaced.take();
        drop(inner);
        fault::forget_replaced(replaced);
        true
    }
}

/// Copies bytes between frames, neither of which need be ours alone.
fn copy(from: &Frame, start: usize, to: &Frame, target: usize, length: usize) {
    let mut bytes = [0; 256];
    for done in (0..length).step_by(bytes.len()) {
        let part = &mut bytes[..(length - done).min(256)];
        from.read(start + done, part);
        to.write(target + done, part);
    }
}
