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

/// A page of an object, and how often it was found.
struct ObjectPage {
    index: u64,
    physical: u64,
    dirty: bool,
    mapped: u32,
}

impl AddressSpace {
    /// What others have of the pages of an area, which starts at this address.
    ///
    /// # Errors
    /// `ENOMEM`
    pub fn page_shares(&self, start: u64) -> Result<PageShares, Errno> {
        let mut shares = PageShares::default();
        let mut pages: Vec<ObjectPage> = Vec::new();
        let object = {
            let inner = self.inner.lock();
            let Some(area) = inner.map.find(start) else {
                return Ok(shares);
            };
            let zero = Frame::shared_zero().physical();
            let object = match &area.backing {
                Backing::Object { source, offset } => Some((source.clone(), *offset)),
                Backing::Anonymous => None,
            };
            let offset = object.as_ref().map_or(0, |(_, offset)| *offset);
            let mut enough = true;
            inner.table.for_each(area.start, area.end, &mut |address, mapping| {
                if mapping.physical == zero {
                    return;
                }
                if mapping.own {
                    // SAFETY: the entry holds the reference and can't go while the lock is held; it is only borrowed.
                    let frame = core::mem::ManuallyDrop::new(unsafe { Frame::from_raw(mapping.physical) });
                    return shares.add_page(frame.references(), mapping.dirty, true);
                }
                enough &= pages.try_reserve(1).is_ok();
                if enough {
                    pages.push(ObjectPage {
                        index: (offset + (address - area.start)) / PAGE,
                        physical: mapping.physical,
                        dirty: mapping.dirty,
                        mapped: 0,
                    });
                }
            });
            if !enough {
                return Err(Errno::ENOMEM);
            }
            object
        };
        pages.sort_unstable_by_key(|page| page.index);
        if let Some((source, _)) = &object
            && !pages.is_empty()
        {
            duplicate::for_each_other(0, &mut |space| space.count_pages(source, &mut pages));
        }
        for page in &pages {
            shares.add_page(page.mapped, page.dirty, false);
        }
        Ok(shares)
    }

    /// Counts which of some pages of an object are mapped here.
    fn count_pages(&self, object: &Arc<dyn PageSource>, pages: &mut [ObjectPage]) {
        let inner = self.inner.lock();
        for area in inner.map.range(0, layout::PROGRAM_END) {
            let Backing::Object { source, offset } = &area.backing else {
                continue;
            };
            if !Arc::ptr_eq(source, object) {
                continue;
            }
            inner.table.for_each(area.start, area.end, &mut |address, mapping| {
                let index = (offset + (address - area.start)) / PAGE;
                if let Ok(place) = pages.binary_search_by_key(&index, |page| page.index)
                    && pages[place].physical == mapping.physical
                {
                    pages[place].mapped += 1;
                }
            });
        }
    }
}
