//! Mappings that grow, shrink or move: `mremap(2)`.

use super::*;

/// What `mremap(2)` is asked for. Lengths are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct RemapRequest {
    /// Start of the range.
    pub old: u64,
    /// Its length; 0 maps the pages of a shared object a second time.
    pub old_length: u64,
    /// The length that it is to have.
    pub new_length: u64,
    /// It may move (`MREMAP_MAYMOVE`).
    pub may_move: bool,
    /// It has to move to this address, where everything goes (`MREMAP_FIXED`).
    pub fixed: Option<u64>,
    /// An empty mapping stays at the old place, and the new one is here if that is free (`MREMAP_DONTUNMAP`).
    pub keep_old: Option<u64>,
}

/// A move, with all that has been checked.
struct Move {
    /// The old range.
    old: Range<u64>,
    /// The new range.
    new: Range<u64>,
    /// What is mapped at `new`.
    area: Area<Backing>,
    /// An empty mapping stays behind.
    keep_old: bool,
}

/// What a call has taken away, and who is to be told.
#[derive(Default)]
struct Gone {
    /// What was where the mapping is now.
    replaced: Vec<Area<Backing>>,
    /// What was cut off.
    removed: Vec<Area<Backing>>,
    /// The old place of what moved.
    dropped: Vec<Area<Backing>>,
    /// The watcher that follows a move, and how much moved.
    moved: Option<(u32, u64)>,
}

impl AddressSpace {
    /// Changes the size of a mapping, and moves it if that is allowed, as `mremap(2)`.
    ///
    /// # Errors
    /// As `mremap(2)`: `EAGAIN`, `EFAULT`, `EINVAL`, `ENOMEM`, and `EPERM` for what is sealed.
    pub fn remap(&self, request: &RemapRequest, allowance: &Allowance) -> Result<u64, Errno> {
        let parts = self.areas_to_move(request)?;
        let Some(target) = request.fixed.filter(|_| !parts.is_empty()) else {
            return self.remap_area(request, allowance);
        };
        for part in parts {
            let length = part.end - part.start;
            let moved = RemapRequest {
                old: part.start,
                old_length: length,
                new_length: length,
                fixed: Some(target + (part.start - request.old)),
                ..*request
            };
            self.remap_area(&moved, allowance)?;
        }
        Ok(target)
    }

    /// What lies in the range of a request that only moves it to a fixed place: as on Linux since 6.17, these may be
    /// several areas, with holes between them and behind. None for any other request.
    fn areas_to_move(&self, request: &RemapRequest) -> Result<Vec<Range<u64>>, Errno> {
        let mut parts = Vec::new();
        let old = page_range(request.old, request.old_length).map_err(|_| Errno::EINVAL)?;
        let Some(target) = request.fixed else { return Ok(parts) };
        let length = request.new_length.checked_next_multiple_of(PAGE);
        if old.is_empty() || length != Some(old.end - old.start) {
            return Ok(parts);
        }
        fixed_target(target, old.end - old.start, &old)?;
        let inner = self.inner.lock();
        for area in inner.map.range(old.start, old.end) {
            parts.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            parts.push(area.start.max(old.start)..area.end.min(old.end));
        }
        match parts.first() {
            Some(first) if first.start == old.start => Ok(parts),
            _ => Err(Errno::EFAULT),
        }
    }

    fn remap_area(&self, request: &RemapRequest, allowance: &Allowance) -> Result<u64, Errno> {
        // What goes. It is dropped after the lock, for files may be closed by that.
        let mut gone = Gone::default();
        let result = self.remap_over(request, allowance, &mut gone);
        if let Ok(to) = result {
            let from = request.old;
            let whole = |start: u64, length: u64| start..start + length.next_multiple_of(PAGE);
            self.tell_unmapped(whole(to, request.new_length), &gone.replaced);
            if let Some((watcher, length)) = gone.moved {
                self.tell(watcher, RangeEvent::Moved { from, to, length });
            }
            self.tell_unmapped(whole(from, request.old_length), &gone.dropped);
            if let (Some(first), Some(last)) = (gone.removed.first(), gone.removed.last()) {
                self.tell_unmapped(first.start..last.end, &gone.removed);
            }
        }
        result
    }

    fn remap_over(&self, request: &RemapRequest, allowance: &Allowance, gone: &mut Gone) -> Result<u64, Errno> {
        let old = request.old;
        let old_range = page_range(old, request.old_length).map_err(|_| Errno::EINVAL)?;
        let new_length = request.new_length.checked_next_multiple_of(PAGE).unwrap_or(0);
        if new_length == 0 {
            return Err(Errno::EINVAL);
        }
        let old_length = old_range.end - old_range.start;
        let fixed = match request.fixed {
            Some(target) => Some(fixed_target(target, new_length, &old_range)?),
            None => None,
        };
        if let Some(hint) = request.keep_old {
            check_apart(&(hint..hint.saturating_add(new_length)), &old_range)?;
        }
        let inner = &mut *self.inner.lock();
        inner.map.set_maximum_areas(area_limit());
        let area = inner.map.find(old).ok_or(Errno::EFAULT)?.clone();
        inner.check_sealed(&(old..old_range.end.max(old + PAGE)))?;
        let keep_old = request.keep_old.is_some();
        if old_length == 0 && !area.flags.contains(AreaFlags::SHARED)
            || keep_old && area.flags.contains(AreaFlags::KERNEL_PROVIDED)
        {
            return Err(Errno::EINVAL);
        }
        // What is cut off may lie in other areas, or in none.
        let needed = match fixed {
            None if new_length <= old_length && !keep_old => PAGE,
            _ => old_length.min(new_length),
        };
        if area.end < old + needed {
            return Err(Errno::EFAULT);
        }
        if let Backing::Object { offset, .. } = &area.backing
            && (offset + (old - area.start)).checked_add(new_length).is_none()
        {
            return Err(Errno::EINVAL);
        }
        // What stays behind or comes is more; what is replaced is less.
        let grown = if keep_old {
            old_length
        } else {
            new_length.saturating_sub(old_length)
        };
        if grown != 0 {
            let replaced = fixed.as_ref().map_or(0, |target| inner.mapped_bytes(target));
            let growth = Growth {
                added: grown.saturating_sub(replaced),
                protection: area.protection,
                flags: if keep_old {
                    area.flags - AreaFlags::LOCKED
                } else {
                    area.flags
                },
            };
            inner.check_growth(&growth, allowance)?;
        } else if fixed.is_none() {
            if new_length < old_length {
                gone.removed = inner.map.unmap(old + new_length, old_range.end).map_err(error_of)?;
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
            && !keep_old
            && area.end == old_range.end
            && old_length != 0
            && old
                .checked_add(new_length)
                .is_some_and(|end| end <= layout::PROGRAM_END)
            && inner.map.is_free(old_range.end, old + new_length)
        {
            let extension = part(old_range.end, old + new_length, old_length);
            inner.map.insert(extension).map_err(error_of)?;
            inner.note_size();
            return Ok(old);
        }
        if !request.may_move {
            return Err(Errno::ENOMEM);
        }
        let target = match fixed {
            Some(range) => {
                inner.check_sealed(&range)?;
                inner.check_replacement()?;
                gone.replaced = inner.map.unmap(range.start, range.end).map_err(error_of)?;
                self.release_range(inner, range.clone(), range.clone());
                // A second mapping of what it has replaced itself: as on Linux, that is found out too late.
                if range.contains(&old) {
                    return Err(Errno::EFAULT);
                }
                range.start
            }
            None => inner.find_place(new_length, request.keep_old.unwrap_or(0) & !(PAGE - 1))?,
        };
        let new = target..target + new_length;
        let mut area = part(new.start, new.end, 0);
        let watcher = core::mem::take(&mut area.watcher);
        let follows = inner
            .watchers
            .iter()
            .any(|other| other.number() == watcher && other.follows_moves());
        if follows {
            area.watcher = watcher;
            gone.moved = Some((watcher, old_length));
        } else {
            area.flags.remove(AreaFlags::WATCHED);
        }
        let moved = Move {
            area,
            old: old_range,
            new,
            keep_old,
        };
        gone.dropped = self.move_area(inner, moved)?;
        Ok(target)
    }

    /// Moves the pages of a range to a place where nothing is mapped. Returns the areas that are gone.
    fn move_area(&self, inner: &mut Inner, moved: Move) -> Result<Vec<Area<Backing>>, Errno> {
        let Move {
            old,
            new,
            area,
            keep_old,
        } = moved;
        let watched = area.watcher != 0;
        inner.map.insert(area).map_err(error_of)?;
        inner.note_size();
        let kept = old.start..old.end.min(old.start + (new.end - new.start));
        // All that may fail comes before the first page moves.
        let prepared = inner
            .table
            .prepare_relocation(kept.clone(), new.start, &mut frame::user_table_frame)
            .map_err(|_| Errno::ENOMEM)
            .and_then(|()| {
                if keep_old {
                    // What stays behind is no longer locked.
                    let locking = AreaFlags::LOCKED | AreaFlags::LOCK_ON_FAULT;
                    let unlocked = inner.map.modify_flags(old.start, old.end, AreaFlags::empty(), locking);
                    unlocked.map(|()| Vec::new()).map_err(|change| error_of(change.error))
                } else if old.is_empty() {
                    Ok(Vec::new())
                } else {
                    inner.map.unmap(old.start, old.end).map_err(error_of)
                }
            });
        let removed = match prepared {
            Ok(areas) => areas,
            Err(errno) => {
                // If even this fails, an empty mapping stays behind.
                let _ = inner.map.unmap(new.start, new.end);
                self.release_hole(inner, new);
                return Err(errno);
            }
        };
        inner.table.relocate(kept, new.start, watched);
        if !keep_old && !old.is_empty() {
            self.release_hole(inner, old);
        }
        Ok(removed)
    }
}

/// The range of `MREMAP_FIXED`.
fn fixed_target(start: u64, length: u64, old: &Range<u64>) -> Result<Range<u64>, Errno> {
    let target = page_range(start, length).map_err(|_| Errno::EINVAL)?;
    check_apart(&target, old)?;
    if target.start < layout::PROGRAM_START {
        return Err(Errno::EPERM);
    }
    Ok(target)
}

/// Refuses to move a range over itself.
fn check_apart(target: &Range<u64>, old: &Range<u64>) -> Result<(), Errno> {
    if target.start < old.end && old.start < target.end {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
