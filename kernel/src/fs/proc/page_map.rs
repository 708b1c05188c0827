//! `/proc/self/pagemap`: a word of 64 bits for each page of the program's addresses, and a call that looks for pages.

use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_linux::Errno;
use pith_linux::files::OpenFlags;
use zerocopy::IntoBytes;

use crate::arch::layout::PROGRAM_END;
use crate::fs::file::File;
use crate::memory::{
    AddressSpace, Destination, PAGE_SIZE, PageCategories, PageScan, SCANNED_AT_ONCE, UserPointer, read_object,
    write_object,
};
use crate::task::{self, Capabilities};

/// Bytes of a word.
const WORD: u64 = 8;
/// The bits that tell the frame, for those who may know it.
const FRAME: u64 = (1 << 55) - 1;
/// Words that are made at a time.
const PIECE: usize = 128;

/// The file.
pub struct PageMap(pub Arc<AddressSpace>);

impl File for PageMap {
    fn seekable(&self) -> bool {
        true
    }

    fn read(&self, position: u64, to: &mut Destination<'_>, _flags: OpenFlags) -> Result<usize, Errno> {
        if !position.is_multiple_of(WORD) || !(to.remaining() as u64).is_multiple_of(WORD) {
            return Err(Errno::EINVAL);
        }
        let space = &self.0;
        let may_know = task::has_capability(Capabilities::ADMINISTRATION);
        let mut page = position / WORD;
        let end = PROGRAM_END / PAGE_SIZE as u64;
        let mut done = 0;
        while to.remaining() != 0 && page < end {
            let mut words = [0; PIECE];
            let count = (to.remaining() / WORD as usize).min(PIECE).min((end - page) as usize);
            let words = &mut words[..count];
            space.page_words(page * PAGE_SIZE as u64, words);
            if !may_know {
                words.iter_mut().for_each(|word| *word &= !FRAME);
            }
            match to.put(words.as_bytes()) {
                Ok(copied) => done += copied,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
            page += count as u64;
        }
        Ok(done)
    }

    fn control(&self, request: u32, argument: UserPointer) -> Result<usize, Errno> {
        match request {
            SCAN => scan(&self.0, argument),
            _ => Err(Errno::ENOTTY),
        }
    }
}

/// `PAGEMAP_SCAN`
const SCAN: u32 = 0xc060_6610;
/// Words of `struct pm_scan_arg`: size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask,
/// category_anyof_mask, return_mask.
const SCAN_WORDS: usize = 12;
/// Where `walk_end` is, in bytes.
const WALK_END: u64 = 32;
/// `PM_SCAN_WP_MATCHING`
const PROTECT: u64 = 1;
/// `PM_SCAN_CHECK_WPASYNC`
const CHECK: u64 = 2;
/// `struct page_region`: start, end, categories.
type Region = [u64; 3];

/// Regions that were found, and where they go.
struct Regions {
    found: Vec<Region>,
    /// Which categories are told.
    told: PageCategories,
    /// So many more may come.
    room: u64,
    /// So many pages may come.
    pages: u64,
    to: UserPointer,
    written: u64,
}

impl Regions {
    /// Takes a page; false if there is no room for it.
    fn take(&mut self, page: u64, categories: PageCategories) -> bool {
        if self.pages == 0 {
            return false;
        }
        let told = (categories & self.told).bits();
        match self.found.last_mut() {
            Some([_, end, same]) if *end == page && *same == told => *end += PAGE_SIZE as u64,
            _ if self.room == 0 => return false,
            _ => {
                self.found.push([page, page + PAGE_SIZE as u64, told]);
                self.room -= 1;
            }
        }
        self.pages -= 1;
        true
    }

    /// Gives the program what was found, but for the last `kept`, which may grow.
    fn give(&mut self, kept: usize) -> Result<(), Errno> {
        let count = self.found.len().saturating_sub(kept);
        for region in self.found.drain(..count) {
            let place = self.to.offset(self.written * size_of::<Region>() as u64);
            write_object(place, &region)?;
            self.written += 1;
        }
        Ok(())
    }
}

/// `PAGEMAP_SCAN` of `ioctl_pagemap_scan(2)`: how many regions were found.
fn scan(space: &AddressSpace, argument: UserPointer) -> Result<usize, Errno> {
    let [
        size,
        flags,
        start,
        end,
        _,
        to,
        room,
        most,
        inverted,
        all_of,
        any_of,
        told,
    ]: [u64; SCAN_WORDS] = read_object(argument)?;
    let known = PageCategories::all().bits();
    let page = PAGE_SIZE as u64;
    if size != size_of::<[u64; SCAN_WORDS]>() as u64
        || flags & !(PROTECT | CHECK) != 0
        || (inverted | all_of | any_of | told) & !known != 0
        || !start.is_multiple_of(page)
    {
        return Err(Errno::EINVAL);
    }
    if end < start || end > PROGRAM_END {
        return Err(Errno::EFAULT);
    }
    if to == 0 && room != 0 {
        return Err(Errno::EINVAL);
    }
    let end = end.next_multiple_of(page);
    let request = PageScan {
        inverted: PageCategories::from_bits_truncate(inverted),
        all_of: PageCategories::from_bits_truncate(all_of),
        any_of: PageCategories::from_bits_truncate(any_of),
        tells: to != 0,
        protects: flags & PROTECT != 0,
        checks: flags & CHECK != 0,
    };
    let mut regions = Regions {
        found: Vec::new(),
        told: PageCategories::from_bits_truncate(told),
        room,
        pages: if most == 0 { u64::MAX } else { most },
        to: UserPointer(to),
        written: 0,
    };
    let mut reached = start;
    while reached < end {
        let piece = reached..end.min(reached + SCANNED_AT_ONCE * page);
        let reserved = regions.found.try_reserve(SCANNED_AT_ONCE as usize);
        reserved.map_err(|_| Errno::ENOMEM)?;
        reached = space.scan_pages(&piece, &request, &mut |page, categories| regions.take(page, categories))?;
        regions.give(1)?;
        if reached < piece.end {
            break;
        }
        if !task::go_on() {
            return Err(Errno::EINTR);
        }
    }
    regions.give(0)?;
    write_object(argument.offset(WALK_END), &reached.min(end))?;
    Ok(regions.written as usize)
}
