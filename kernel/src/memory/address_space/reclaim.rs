//! Memory that programs can do without: what `madvise(2)` calls `MADV_FREE`, until it is written again, and what is mapped with
//! `MAP_DROPPABLE`. It is given up when memory is short, before anything is refused and before anybody is killed.
//!
//! Whether a page was written since is told by the dirty bit that the processor sets: an entry is taken out by one
//! instruction that finds it still clean, and a processor that remembers the entry as writable but clean has to look at it
//! again for its first write, which faults then.

use core::cell::Cell;

use super::*;

/// Address spaces that may have such pages.
static SPACES: AtomicUsize = AtomicUsize::new(0);

/// Pages that were given up so far.
static GIVEN_UP: AtomicU64 = AtomicU64::new(0);

/// Bytes of an address space that are looked through while it is locked.
const LOOKED_AT_ONCE: u64 = 256 << 20;

/// Pages that are given up at a time at most.
const GIVEN_UP_AT_ONCE: u64 = 128;

/// What an address space remembers of its forgettable pages.
#[derive(Debug, Default)]
pub(super) struct Forgettable {
    /// There may be some.
    any: AtomicBool,
    /// How often that was said, with the address space locked.
    notes: AtomicU64,
    /// Up to here it was looked through last.
    cursor: AtomicU64,
}

impl Drop for Forgettable {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Forgettable {
    fn forget(&self) {
        if self.any.swap(false, Ordering::Relaxed) {
            SPACES.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl AddressSpace {
    /// There may be pages now that can be given up. The address space is locked.
    pub(super) fn note_forgettable(&self) {
        self.forgettable.notes.fetch_add(1, Ordering::Relaxed);
        if !self.forgettable.any.load(Ordering::Relaxed) && !self.forgettable.any.swap(true, Ordering::Relaxed) {
            SPACES.fetch_add(1, Ordering::Relaxed);
            frame::look_ahead();
        }
    }

    /// Whether there may be pages that can be given up.
    pub(super) fn has_forgettable(&self) -> bool {
        self.forgettable.any.load(Ordering::Relaxed)
    }

    /// Gives up to so many pages up, from where it was looked for them last. Answers how many, which may be some more where
    /// pages are large.
    fn give_up(&self, most: u64) -> u64 {
        let mut given = 0;
        // From the cursor to the end, and then once through all.
        for round in 0..2 {
            let notes = self.forgettable.notes.load(Ordering::Relaxed);
            loop {
                // Not for longer at a time: others want to use it.
                let inner = &mut *self.inner.lock();
                let from = self.forgettable.cursor.load(Ordering::Relaxed);
                given += self.give_up_from(inner, from, most - given);
                if given >= most {
                    return given;
                }
                if self.forgettable.cursor.load(Ordering::Relaxed) == 0 {
                    // None were left behind, and none came meanwhile.
                    if round == 1 && given == 0 && self.forgettable.notes.load(Ordering::Relaxed) == notes {
                        self.forgettable.forget();
                    }
                    break;
                }
            }
        }
        given
    }

    /// Looks through some of the address space, and moves the cursor: to 0 at the end.
    fn give_up_from(&self, inner: &mut Inner, from: u64, most: u64) -> u64 {
        let (mut given, mut looked) = (0, 0);
        let mut cursor = from;
        while given < most && looked < LOOKED_AT_ONCE {
            let next = inner
                .map
                .range(cursor, layout::PROGRAM_END)
                .find(|area| is_candidate(area));
            let Some(area) = next else {
                cursor = 0;
                break;
            };
            let start = area.start.max(cursor);
            let end = area.end.min((start + LOOKED_AT_ONCE) & !(LARGE_PAGE_SIZE - 1));
            let part = start..end.max(start + PAGE);
            looked += part.end - part.start;
            let droppable = area.flags.contains(AreaFlags::DROPPABLE);
            let (pages, reached) = self.give_up_part(inner, part, droppable, most - given);
            given += pages;
            cursor = reached;
        }
        self.forgettable.cursor.store(cursor, Ordering::Relaxed);
        given
    }

    /// Takes up to so many pages out of a part of an area. Answers how many, and up to where.
    fn give_up_part(&self, inner: &mut Inner, part: Range<u64>, droppable: bool, most: u64) -> (u64, u64) {
        let (left, reached) = (Cell::new(most), Cell::new(part.end));
        let mut given = Pages::default();
        let chosen = |address: u64, mapping: Mapping| {
            if left.get() == 0 || !mapping.own || !(droppable || mapping.lazy) {
                return false;
            }
            let pages = if mapping.large { LARGE_PAGE_FRAMES } else { 1 };
            left.set(left.get().saturating_sub(pages));
            if left.get() == 0 {
                reached.set(address + pages * PAGE);
            }
            true
        };
        inner.table.empty_where(
            &part,
            &chosen,
            &mut |_, mapping| {
                // SAFETY: the entry held this reference and is gone; the translation was forgotten.
                given += unsafe { release_mapping(mapping) };
            },
            &mut frame::release_table,
        );
        self.subtract(given);
        GIVEN_UP.fetch_add(given.own, Ordering::Relaxed);
        (given.own, reached.get())
    }

    /// Bytes that may be given up now.
    fn forgettable_bytes(&self) -> u64 {
        let inner = self.inner.lock();
        let mut bytes = 0;
        for area in inner.map.iter().filter(|area| is_candidate(area)) {
            let droppable = area.flags.contains(AreaFlags::DROPPABLE);
            inner.table.for_each(area.start, area.end, &mut |_, mapping| {
                bytes += if mapping.own && (droppable || mapping.lazy) {
                    PAGE
                } else {
                    0
                };
            });
        }
        bytes
    }
}

/// Whether pages of an area may be given up at all: what is locked stays.
fn is_candidate(area: &Area<Backing>) -> bool {
    area.backing == Backing::Anonymous && !area.flags.contains(AreaFlags::LOCKED)
}

/// Gives pages up that programs can do without, a few at a time. Answers how many; 0 if there are none. No lock of an address
/// space or of an object may be held.
#[cold]
pub fn give_up_pages() -> u64 {
    let mut given = 0;
    if SPACES.load(Ordering::Relaxed) != 0 {
        duplicate::for_each_other(0, &mut |space| {
            if given < GIVEN_UP_AT_ONCE && space.has_forgettable() {
                given += space.give_up(GIVEN_UP_AT_ONCE - given);
            }
        });
    }
    given
}

/// Gives pages up until so many bytes can be had without coming near to what makes calls fail, or until there are none.
pub fn give_up_for(bytes: u64) {
    while frame::is_scarce(bytes) && give_up_pages() != 0 {}
}

/// Pages that were given up so far (`pglazyfreed`).
pub fn given_up_pages() -> u64 {
    GIVEN_UP.load(Ordering::Relaxed)
}

/// Bytes that programs can do without. What several share counts for each. Only those are looked through that may have such
/// pages.
pub fn forgettable_bytes() -> u64 {
    let mut bytes = 0;
    if SPACES.load(Ordering::Relaxed) != 0 {
        duplicate::for_each_other(0, &mut |space| {
            if space.has_forgettable() {
                bytes += space.forgettable_bytes();
            }
        });
    }
    bytes
}
