//! What pages several address spaces have in common (`smaps`).
//!
//! Of a page that belongs to a process, the count of its frame's references says how many page tables have it. Frames of
//! objects have references of the object's own, or none at all if they are the image's, so whoever wants to know looks
//! through all page tables.

use super::*;

/// What of the pages of an area others have as well, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageShares {
    /// Pages that are mapped more than once.
    pub shared: u64,
    /// Of these, those that may have been written to.
    pub shared_dirty: u64,
    /// All pages, each divided by how often it is mapped (`Pss`), times [`PageShares::SCALE`].
    pub part: u64,
    /// The same of those that may have been written to.
    pub dirty_part: u64,
    /// The same of those that belong to processes and no object.
    pub own_part: u64,
}

impl PageShares {
    /// What parts are multiplied by, so that sums of them are exact enough.
    pub const SCALE: u64 = 4096;

    /// Adds those of another area.
    pub fn add(&mut self, other: &Self) {
        self.shared += other.shared;
        self.shared_dirty += other.shared_dirty;
        self.part += other.part;
        self.dirty_part += other.dirty_part;
        self.own_part += other.own_part;
    }

    fn add_page(&mut self, mapped: u32, dirty: bool, own: bool) {
        let part = PAGE * Self::SCALE / u64::from(mapped.max(1));
        self.part += part;
        self.dirty_part += if dirty { part } else { 0 };
        self.own_part += if own { part } else { 0 };
        if mapped > 1 {
            self.shared += PAGE;
            self.shared_dirty += if dirty { PAGE } else { 0 };
        }
    }
}

/// A frame of an object, and in how many places it was found.
struct ObjectPage {
    physical: u64,
    mapped: u32,
}

/// The frames of objects that an address space has mapped, and how often all of them together have each. Made once for all
/// areas: the page tables of the others are looked through once, however many areas are asked for.
pub struct ObjectPages(Vec<ObjectPage>);

impl ObjectPages {
    fn place(&self, physical: u64) -> Option<usize> {
        self.0.binary_search_by_key(&physical, |page| page.physical).ok()
    }

    /// How often a frame is mapped; once if it came after the counting.
    fn mapped(&self, physical: u64) -> u32 {
        self.place(physical).map_or(1, |place| self.0[place].mapped)
    }
}

impl AddressSpace {
    /// Counts who has the pages of objects that are mapped here.
    ///
    /// # Errors
    /// `ENOMEM`
    pub fn object_pages(&self) -> Result<ObjectPages, Errno> {
        let (mut pages, mut objects) = (Vec::new(), Vec::new());
        let mut enough = true;
        self.for_each_object_page(&mut |source, physical| {
            let object = Arc::as_ptr(source).addr();
            if objects.last() != Some(&object) {
                enough &= objects.try_reserve(1).is_ok();
                if enough {
                    objects.push(object);
                }
            }
            enough &= pages.try_reserve(1).is_ok();
            if enough {
                pages.push(ObjectPage { physical, mapped: 0 });
            }
        });
        if !enough {
            return Err(Errno::ENOMEM);
        }
        pith_sorted_map::sort_by_key(&mut objects, |object| *object);
        objects.dedup();
        pages.sort_unstable_by_key(|page| page.physical);
        pages.dedup_by_key(|page| page.physical);
        let mut pages = ObjectPages(pages);
        if !objects.is_empty() {
            duplicate::for_each_other(0, &mut |space| space.count_pages(&objects, &mut pages));
        }
        Ok(pages)
    }

    /// What others have of the pages of an area, which starts at this address.
    pub fn page_shares(&self, start: u64, of_objects: &ObjectPages) -> PageShares {
        let mut shares = PageShares::default();
        let inner = self.inner.lock();
        let Some(area) = inner.map.find(start) else {
            return shares;
        };
        let zero = Frame::shared_zero().physical();
        inner.table.for_each(area.start, area.end, &mut |_, mapping| {
            if mapping.physical == zero {
                return;
            }
            let mapped = if mapping.own {
                // SAFETY: the entry holds the reference and can't go while the lock is held; it is only borrowed.
                let frame = core::mem::ManuallyDrop::new(unsafe { Frame::from_raw(mapping.physical) });
                frame.references()
            } else {
                of_objects.mapped(mapping.physical)
            };
            shares.add_page(mapped, mapping.dirty, mapping.own);
        });
        shares
    }

    /// Calls `action` for each frame of an object that is mapped here.
    fn for_each_object_page(&self, action: &mut dyn FnMut(&Arc<dyn PageSource>, u64)) {
        let zero = Frame::shared_zero().physical();
        let inner = self.inner.lock();
        for area in inner.map.range(0, layout::PROGRAM_END) {
            if let Backing::Object { source, .. } = &area.backing {
                inner.table.for_each(area.start, area.end, &mut |_, mapping| {
                    if !mapping.own && mapping.physical != zero {
                        action(source, mapping.physical);
                    }
                });
            }
        }
    }

    /// Counts which of some pages of these objects, whose addresses are sorted, are mapped here.
    fn count_pages(&self, objects: &[usize], pages: &mut ObjectPages) {
        let inner = self.inner.lock();
        for area in inner.map.range(0, layout::PROGRAM_END) {
            let Backing::Object { source, .. } = &area.backing else {
                continue;
            };
            if objects.binary_search(&Arc::as_ptr(source).addr()).is_err() {
                continue;
            }
            inner.table.for_each(area.start, area.end, &mut |_, mapping| {
                if !mapping.own
                    && let Some(place) = pages.place(mapping.physical)
                {
                    pages.0[place].mapped += 1;
                }
            });
        }
    }
}
