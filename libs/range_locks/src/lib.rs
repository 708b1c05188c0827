//! Locks on ranges of a file, shared or exclusive, as `fcntl(2)` has them (POSIX's record locks and those of open file
//! descriptions).
//!
//! An owner has at most one lock on a byte: a new one replaces what it had there, cuts locks of the other kind, and
//! becomes one with its neighbours of the same kind. Locks of different owners are at odds where they overlap, unless
//! both are shared. Who owns a lock, and who waits, is the caller's affair.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;

/// A range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub last: u64,
}

impl Range {
    fn overlaps(self, other: Self) -> bool {
        self.start <= other.last && other.start <= self.last
    }

    fn touches(self, other: Self) -> bool {
        self.start <= other.last.saturating_add(1) && other.start <= self.last.saturating_add(1)
    }
}

/// A lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLock<Owner> {
    /// Who holds it.
    pub owner: Owner,
    /// On what.
    pub range: Range,
    /// Nobody else may hold one there.
    pub exclusive: bool,
}

/// There is no memory for more locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// The locks on one file.
#[derive(Clone, Debug)]
pub struct RangeLocks<Owner> {
    /// Those of an owner stand together, in the order of their bytes; owners in the order in which they came.
    locks: Vec<RangeLock<Owner>>,
}

impl<Owner> Default for RangeLocks<Owner> {
    fn default() -> Self {
        Self { locks: Vec::new() }
    }
}

impl<Owner: Copy + Eq> RangeLocks<Owner> {
    /// Whether nobody holds any.
    pub fn is_empty(&self) -> bool {
        self.locks.is_empty()
    }

    /// All of them: those of an owner together, in the order of their bytes.
    pub fn all(&self) -> &[RangeLock<Owner>] {
        &self.locks
    }

    /// The first lock of somebody else that is at odds with one.
    pub fn conflict(&self, wanted: &RangeLock<Owner>) -> Option<RangeLock<Owner>> {
        let at_odds = |held: &&RangeLock<Owner>| {
            held.owner != wanted.owner
                && (held.exclusive || wanted.exclusive)
                && held.range.overlaps(wanted.range)
        };
        self.locks.iter().find(at_odds).copied()
    }

    /// The first lock of an owner that overlaps a range.
    pub fn own(&self, owner: Owner, range: Range) -> Option<RangeLock<Owner>> {
        let found = |held: &&RangeLock<Owner>| held.owner == owner && held.range.overlaps(range);
        self.locks.iter().find(found).copied()
    }

    /// Gives an owner a lock, whatever others hold.
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing has changed then.
    pub fn lock(&mut self, new: RangeLock<Owner>) -> Result<(), OutOfMemory> {
        self.replace(new.owner, new.range, Some(new.exclusive))
    }

    /// Takes the locks of an owner on a range away.
    ///
    /// # Errors
    /// [`OutOfMemory`], since a lock may become two; nothing has changed then.
    pub fn unlock(&mut self, owner: Owner, range: Range) -> Result<(), OutOfMemory> {
        self.replace(owner, range, None)
    }

    /// Takes all locks of an owner away. True if there were any.
    pub fn release(&mut self, owner: Owner) -> bool {
        let before = self.locks.len();
        self.locks.retain(|lock| lock.owner != owner);
        self.locks.len() != before
    }

    fn replace(
        &mut self,
        owner: Owner,
        range: Range,
        exclusive: Option<bool>,
    ) -> Result<(), OutOfMemory> {
        // One lock may become two, and the new one comes between.
        self.locks.try_reserve(2).map_err(|_| OutOfMemory)?;
        let mut new = range;
        let first = self.locks.iter().position(|lock| lock.owner == owner);
        let mut index = first.unwrap_or(self.locks.len());
        while let Some(lock) = self
            .locks
            .get(index)
            .copied()
            .filter(|lock| lock.owner == owner)
        {
            if exclusive == Some(lock.exclusive) && lock.range.touches(range) {
                new.start = new.start.min(lock.range.start);
                new.last = new.last.max(lock.range.last);
                self.locks.remove(index);
                continue;
            }
            if !lock.range.overlaps(range) {
                index += 1;
                continue;
            }
            self.locks.remove(index);
            if lock.range.start < range.start {
                let last = range.start - 1;
                let range = Range { last, ..lock.range };
                self.locks.insert(index, RangeLock { range, ..lock });
                index += 1;
            }
            if lock.range.last > range.last {
                let start = range.last + 1;
                let range = Range {
                    start,
                    ..lock.range
                };
                self.locks.insert(index, RangeLock { range, ..lock });
                index += 1;
            }
        }
        if let Some(exclusive) = exclusive {
            let group = first.unwrap_or(self.locks.len());
            let behind =
                |lock: &RangeLock<Owner>| lock.owner != owner || lock.range.start > new.start;
            let offset = self.locks[group..].iter().position(behind);
            let place = offset.map_or(self.locks.len(), |offset| group + offset);
            self.locks.insert(
                place,
                RangeLock {
                    owner,
                    range: new,
                    exclusive,
                },
            );
        }
        Ok(())
    }
}
