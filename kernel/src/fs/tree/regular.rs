//! Regular files of a tree: an image's pages below, written pages above.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use pith_erofs::{DataBlock, Inode as LowerInode, Volume};
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags};
use spin::Mutex;

use super::seals::{SealSet, Seals};
use super::space::Space;
use super::{Node, Tree, volume_errno};
use crate::fs::file::{File, Mappable, WriteAt};
use crate::fs::inode::Inode;
use crate::fs::leases::Openers;
use crate::fs::permission::{Access, Rights};
use crate::fs::turn::Turn;
use crate::memory::{self, Destination, Frame, PAGE_SIZE, PageError, PageSource, Purpose, Source};

const PAGE: u64 = PAGE_SIZE as u64;

/// `FALLOC_FL_*` of `fallocate(2)`.
const KEEP_SIZE: u32 = 1;
const PUNCH_HOLE: u32 = 2;
const ZERO_RANGE: u32 = 0x10;

/// The content of a regular file.
pub(super) struct RegularContent {
    lower: Option<Box<LowerInode>>,
    state: Mutex<State>,
    /// Had during a whole write or change of size: each is seen as one. Page faults don't need it, and a write may have to
    /// wait for whoever handles them.
    writer: Turn,
    seals: SealSet,
    pub(super) openers: Openers,
}

/// Pages that are taken out of a file at a time, so that a list of them needs little memory; and where there is none.
const REMOVED_AT_ONCE: [usize; 2] = [4096, 64];

struct State {
    size: u64,
    /// So many bytes of the volume's file still count, where no page lies above: all of them, or whole pages.
    lower_end: u64,
    /// Pages that differ from what lies below.
    pages: BTreeMap<u64, Frame>,
    /// Pages that room was made for (`fallocate(2)`), but that nobody has written or mapped yet: they read as zeroes and count
    /// as a hole, as on Linux. They lie wholly behind `lower_end`.
    room: BTreeMap<u64, Frame>,
    /// How many pages of both lie wholly behind `lower_end`, where they cover no block of the volume.
    above: u64,
}

impl State {
    /// The first page that lies wholly behind what counts of the volume's file.
    fn below(&self) -> u64 {
        self.lower_end.div_ceil(PAGE)
    }

    /// Puts a page in, for which room was taken.
    fn insert(&mut self, index: u64, frame: Frame) {
        let new = self.pages.insert(index, frame).is_none();
        memory::count_file_frames(i64::from(new));
        self.above += u64::from(new && index >= self.below());
    }

    /// The frame of a page that has one, which from now on is one that was written.
    fn get(&mut self, index: u64) -> Option<Frame> {
        if let Some(frame) = self.pages.get(&index) {
            return Some(frame.clone());
        }
        let frame = self.room.remove(&index)?;
        self.pages.insert(index, frame.clone());
        Some(frame)
    }

    /// Whether a page has a frame.
    fn has_frame(&self, index: u64) -> bool {
        self.pages.contains_key(&index) || self.room.contains_key(&index)
    }

    /// How many pages of a range have frames.
    fn frames(&self, range: Range<u64>) -> u64 {
        let count = |pages: &BTreeMap<u64, Frame>| pages.range(range.clone()).count() as u64;
        count(&self.pages) + count(&self.room)
    }

    /// How many pages have frames.
    fn all_frames(&self) -> usize {
        self.pages.len() + self.room.len()
    }

    /// Takes pages out, which must all lie wholly behind `lower_end`: those of a range, in ascending order, for which there is
    /// room in a list.
    fn remove(&mut self, space: &Space, range: Range<u64>, gone: &mut Vec<(u64, Frame)>) {
        let room = gone.capacity() - gone.len();
        let before = gone.len();
        gone.extend(self.pages.extract_if(range, |_, _| true).take(room));
        self.count_removed(space, gone.len() - before);
    }

    /// Gives room in a range back that nobody has used.
    fn remove_room(&mut self, space: &Space, range: Range<u64>) {
        let gone = self.room.extract_if(range, |_, _| true).count();
        self.count_removed(space, gone);
    }

    fn count_removed(&mut self, space: &Space, pages: usize) {
        self.above -= pages as u64;
        count_gone(space, pages);
    }
}

/// So many pages are no longer the file's.
fn count_gone(space: &Space, pages: usize) {
    memory::count_file_frames(-(pages as i64));
    space.give_pages_back(pages as u64);
}

/// Takes pages of a file out of all page tables, where `stale` (page, physical address) says so: the
/// next access finds what the file has there then. No lock of the file may be held but `writer`, for a page
/// fault takes the address space's lock first.
fn forget_mapped(node: &Node, pages: Range<u64>, stale: &dyn Fn(u64, u64) -> bool) {
    memory::forget_object_everywhere(core::ptr::from_ref(node).cast(), pages, stale);
}

/// As [`forget_mapped`], for one page that had a frame of the image until now.
fn forget_replaced(node: &Node, index: u64, replaced: Option<Frame>) {
    if let Some(old) = replaced {
        forget_mapped(node, index..index + 1, &|_, physical| physical == old.physical());
    }
}

/// A piece of a file for reading.
enum Piece {
    Image(&'static [u8]),
    Page(Frame, usize, usize),
    Hole(usize),
}

fn no_page(error: PageError) -> Errno {
    match error {
        PageError::OutOfMemory | PageError::NoSpace => Errno::ENOSPC,
        PageError::BeyondEnd | PageError::Unreadable => Errno::EIO,
    }
}

/// The frame of a whole block of a volume, which lies in the image.
fn image_frame(volume: &Volume<'static>, image_offset: u64) -> Option<Frame> {
    let start = image_offset as usize;
    volume.image().get(start..start + PAGE_SIZE).map(Frame::of_image)
}

impl RegularContent {
    pub(super) fn new(lower: Option<LowerInode>) -> Self {
        let size = lower.map_or(0, |inode| inode.size);
        let state = State {
            size,
            lower_end: size,
            pages: BTreeMap::new(),
            room: BTreeMap::new(),
            above: 0,
        };
        Self {
            lower: lower.map(Box::new),
            state: Mutex::new(state),
            writer: Turn::new(),
            // As every file of a tmpfs that was not made to be sealed.
            seals: SealSet::new(Seals::SEAL),
            openers: Openers::default(),
        }
    }

    /// An empty file with these seals.
    pub(super) fn with_seals(seals: Seals) -> Self {
        Self {
            seals: SealSet::new(seals),
            ..Self::new(None)
        }
    }

    /// The file goes: its pages count no longer.
    pub(super) fn release(&mut self, space: &Space) {
        count_gone(space, self.state.get_mut().all_frames());
    }

    pub(super) fn seals(&self) -> Seals {
        self.seals.get()
    }

    pub(super) fn size(&self) -> u64 {
        self.state.lock().size
    }

    pub(super) fn size_and_blocks(&self) -> (u64, u64, Option<DeviceNumber>) {
        let state = self.state.lock();
        (state.size, (state.below() + state.above) * (PAGE / 512), None)
    }

    /// The piece that starts at `position`; `None` at the end.
    fn piece(&self, tree: &Tree, position: u64, wanted: usize) -> Result<Option<Piece>, Errno> {
        let state = self.state.lock();
        if position >= state.size || wanted == 0 {
            return Ok(None);
        }
        let wanted = (state.size - position).min(wanted as u64);
        let index = position / PAGE;
        if let Some(frame) = state.pages.get(&index) {
            let offset = position % PAGE;
            return Ok(Some(Piece::Page(
                frame.clone(),
                offset as usize,
                wanted.min(PAGE - offset) as usize,
            )));
        }
        // What comes next without a page of its own.
        let border = state
            .pages
            .range(index..)
            .next()
            .map_or(u64::MAX, |(next, _)| next * PAGE);
        let room = wanted.min(border - position);
        match &self.lower {
            Some(lower) if position < state.lower_end => {
                let room = room.min(state.lower_end - position);
                let data = tree.lower()?.contiguous(lower, position).map_err(volume_errno)?;
                if data.is_empty() {
                    return Err(Errno::EIO);
                }
                Ok(Some(Piece::Image(&data[..data.len().min(room as usize)])))
            }
            _ => Ok(Some(Piece::Hole(room as usize))),
        }
    }

    fn read(&self, tree: &Tree, mut position: u64, to: &mut Destination<'_>) -> Result<usize, Errno> {
        let mut done = 0;
        while to.remaining() != 0 {
            let copied = match self.piece(tree, position, to.remaining()) {
                Ok(None) => break,
                Ok(Some(Piece::Image(bytes))) => to.put(bytes),
                Ok(Some(Piece::Page(frame, offset, length))) => to.put_frame(&frame, offset, length),
                Ok(Some(Piece::Hole(length))) => to.put_zeroes(length),
                Err(errno) => Err(errno),
            };
            match copied {
                Ok(0) => break,
                Ok(copied) => {
                    done += copied;
                    position += copied as u64;
                }
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// The frame of a page, and the frame of the image that it has replaced just now: who maps that must
    /// forget it.
    fn page_of(
        &self,
        tree: &Tree,
        state: &mut State,
        index: u64,
        write: bool,
    ) -> Result<(Frame, Option<Frame>), PageError> {
        if let Some(frame) = state.get(index) {
            return Ok((frame, None));
        }
        let mut replaced = None;
        let mut below: &[u8] = &[];
        if let Some(lower) = &self.lower
            && index.saturating_mul(PAGE) < state.lower_end
        {
            let volume = tree.lower().map_err(|_| PageError::Unreadable)?;
            match volume.block(lower, index).map_err(|_| PageError::Unreadable)? {
                DataBlock::Whole { image_offset } => {
                    let frame = image_frame(volume, image_offset).ok_or(PageError::Unreadable)?;
                    if !write {
                        return Ok((frame, None));
                    }
                    replaced = Some(frame);
                }
                DataBlock::Bytes(bytes) => below = &bytes[..bytes.len().min(PAGE_SIZE)],
            }
        }
        let frame = Self::new_frame(&tree.space, replaced.as_ref())?;
        if !below.is_empty() {
            frame.write(0, below);
        }
        state.insert(index, frame.clone());
        Ok((frame, replaced))
    }

    /// A frame for a page more, which counts from now on: a copy of another one, or zeroes.
    fn new_frame(space: &Space, copied: Option<&Frame>) -> Result<Frame, PageError> {
        space.take_page().map_err(|_| PageError::NoSpace)?;
        let made = match copied {
            Some(frame) => frame.duplicate(Purpose::User),
            None => Frame::zeroed(Purpose::User),
        };
        if made.is_none() {
            space.give_pages_back(1);
        }
        made.ok_or(PageError::OutOfMemory)
    }

    /// As [`Self::page_of`], to be written, and refused if file data has its share of memory already.
    fn page_with_room(&self, tree: &Tree, state: &mut State, index: u64) -> Result<(Frame, Option<Frame>), Errno> {
        if tree.space.may_grow() || state.has_frame(index) {
            self.page_of(tree, state, index, true).map_err(no_page)
        } else {
            Err(Errno::ENOSPC)
        }
    }

    /// As [`Self::page_of`], if no frame must be made or cleared for it.
    fn existing_page(&self, tree: &Tree, state: &State, index: u64, write: bool) -> Option<Frame> {
        if let Some(frame) = state.pages.get(&index) {
            return Some(frame.clone());
        }
        let lower = self
            .lower
            .as_ref()
            .filter(|_| !write && index.saturating_mul(PAGE) < state.lower_end)?;
        let volume = tree.lower().ok()?;
        match volume.block(lower, index).ok()? {
            DataBlock::Whole { image_offset } => image_frame(volume, image_offset),
            DataBlock::Bytes(_) => None,
        }
    }

    /// Bytes behind the end of the file, in its last page, may have been written through a mapping. They must
    /// be zeroes when the file grows over them.
    fn clear_behind_end(state: &State) {
        let offset = (state.size % PAGE) as usize;
        if offset != 0
            && let Some(frame) = state.pages.get(&(state.size / PAGE))
        {
            frame.clear(offset..PAGE_SIZE);
        }
    }

    fn write(&self, node: &Node, at: WriteAt, from: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        let _writer = self.writer.take();
        if from.remaining() != 0 {
            self.seals.check(Seals::NO_WRITES)?;
        }
        let start = match at {
            WriteAt::Position(position) => position,
            WriteAt::End => self.size(),
        };
        if from.remaining() == 0 {
            return Ok((0, start));
        }
        let room = super::super::limits::room_for_write(start)?;
        from.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        let mut position = start;
        while from.remaining() != 0 {
            let index = position / PAGE;
            let end = position + (PAGE - position % PAGE).min(from.remaining() as u64);
            let page = {
                let mut state = self.state.lock();
                if position > state.size {
                    Self::clear_behind_end(&state);
                }
                let may_grow = if end > state.size {
                    self.seals.check(Seals::GROW)
                } else {
                    Ok(())
                };
                may_grow.and_then(|()| self.page_with_room(&node.tree, &mut state, index))
            };
            let frame = page.map(|(frame, replaced)| {
                forget_replaced(node, index, replaced);
                frame
            });
            let offset = (position % PAGE) as usize;
            let copied = frame.and_then(|frame| from.take_to_frame(&frame, offset, PAGE_SIZE - offset));
            match copied {
                Ok(0) => break,
                Ok(copied) => {
                    position += copied as u64;
                    let mut state = self.state.lock();
                    state.size = state.size.max(position);
                }
                // What programs can do without comes first.
                Err(_) if !node.tree.space.may_grow() && memory::give_up_pages() != 0 => {}
                Err(errno) if position == start => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(((position - start) as usize, position))
    }

    pub(super) fn truncate(&self, node: &Node, size: u64) -> Result<(), Errno> {
        let _writer = self.writer.take();
        if size > self.size() {
            self.seals.check(Seals::GROW)?;
            super::super::limits::room_for_size(size)?;
        } else if size < self.size() {
            self.seals.check(Seals::SHRINK)?;
        }
        let mut state = self.state.lock();
        if size > state.size {
            Self::clear_behind_end(&state);
            state.size = size;
            return Ok(());
        }
        let shrinks = size < state.size;
        let (index, first_gone) = (size / PAGE, size.div_ceil(PAGE));
        let mut replaced = None;
        if index != first_gone && (size < state.lower_end || state.pages.contains_key(&index)) {
            let page = self.page_of(&node.tree, &mut state, index, true).map_err(no_page)?;
            page.0.clear((size % PAGE) as usize..PAGE_SIZE);
            replaced = page.1;
        }
        let before = state.all_frames();
        let gone = (state.pages.split_off(&first_gone), state.room.split_off(&first_gone));
        let count = before - state.all_frames();
        count_gone(&node.tree.space, count);
        if size < state.lower_end {
            state.lower_end = index * PAGE;
            // All that is left behind it is the last page, if only a part of that is gone.
            state.above = u64::from(index != first_gone);
        } else {
            state.above -= count as u64;
        }
        state.size = size;
        drop(state);
        forget_replaced(node, index, replaced);
        if shrinks {
            // Private copies go too: nothing is mapped behind the end of a file (mmap(2)).
            forget_mapped(node, first_gone..u64::MAX, &|_, _| true);
        }
        drop(gone);
        Ok(())
    }

    /// Makes a range read as zeroes, within the size.
    fn clear(&self, node: &Node, start: u64, end: u64) -> Result<(), Errno> {
        let mut position = start;
        while position < end {
            let index = position / PAGE;
            let stop = ((index + 1) * PAGE).min(end);
            let mut state = self.state.lock();
            if state.pages.contains_key(&index) || index * PAGE < state.lower_end {
                let (frame, replaced) = self.page_with_room(&node.tree, &mut state, index)?;
                let offset = (position - index * PAGE) as usize;
                frame.clear(offset..offset + (stop - position) as usize);
                drop(state);
                forget_replaced(node, index, replaced);
                position = stop;
            } else {
                // Nothing there; on to the next page above.
                position = state
                    .pages
                    .range(index..)
                    .next()
                    .map_or(end, |(next, _)| next * PAGE)
                    .min(end);
            }
        }
        Ok(())
    }

    /// Gives the memory of a range back, also behind the end of the file; the range reads as zeroes then. What
    /// lies over the volume's file stays, as pages of zeroes.
    fn punch(&self, node: &Node, start: u64, end: u64) -> Result<(), Errno> {
        let (size, below) = {
            let state = self.state.lock();
            (state.size, state.below())
        };
        let mut pages = start.div_ceil(PAGE).max(below)..end / PAGE;
        let mut gone = Vec::new();
        if !pages.is_empty() && !REMOVED_AT_ONCE.iter().any(|most| gone.try_reserve_exact(*most).is_ok()) {
            return Err(Errno::ENOMEM);
        }
        if !pages.is_empty() {
            self.state.lock().remove_room(&node.tree.space, pages.clone());
        }
        while !pages.is_empty() {
            self.state.lock().remove(&node.tree.space, pages.clone(), &mut gone);
            let (Some((first, _)), Some((last, _))) = (gone.first(), gone.last()) else {
                break;
            };
            pages.start = last + 1;
            // The file no longer has these frames, so the mappings must not show them either. Private copies stay.
            forget_mapped(node, *first..pages.start, &|index, physical| {
                let place = gone.binary_search_by_key(&index, |(removed, _)| *removed);
                place.is_ok_and(|place| gone[place].1.physical() == physical)
            });
            gone.clear();
        }
        self.clear(node, start, end.min(size))
    }

    /// Makes room for the pages of a range: for all of them, or none and `ENOSPC`. The volume's file needs none. Where that was
    /// done before, pages count as written, as on Linux.
    fn preallocate(&self, tree: &Tree, start: u64, end: u64) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let pages = (start / PAGE).max(state.below())..end.div_ceil(PAGE);
        if pages.is_empty() {
            return Ok(());
        }
        if pages.end - pages.start - state.frames(pages.clone()) > tree.space.pages_left() {
            return Err(Errno::ENOSPC);
        }
        let mut made: Vec<Range<u64>> = Vec::new();
        for index in pages {
            if state.get(index).is_some() {
                continue;
            }
            match Self::new_frame(&tree.space, None) {
                Ok(frame) => {
                    state.room.insert(index, frame);
                    state.above += 1;
                    memory::count_file_frames(1);
                    match made.last_mut() {
                        Some(run) if run.end == index => run.end += 1,
                        _ => made.push(index..index + 1),
                    }
                }
                Err(error) => {
                    for run in made {
                        state.remove_room(&tree.space, run);
                    }
                    return Err(no_page(error));
                }
            }
        }
        Ok(())
    }

    fn allocate(&self, node: &Node, mode: u32, start: u64, length: u64) -> Result<(), Errno> {
        let end = start
            .checked_add(length)
            .filter(|end| i64::try_from(*end).is_ok())
            .ok_or(Errno::EFBIG)?;
        let _writer = self.writer.take();
        let grows = mode & KEEP_SIZE == 0 && end > self.size();
        if mode & PUNCH_HOLE != 0 {
            self.seals.check(Seals::NO_WRITES)?;
        } else if end > self.size() {
            self.seals.check(Seals::GROW)?;
        }
        match mode {
            0 | KEEP_SIZE => {
                // As in Linux's tmpfs, room is limited like size.
                if end > self.size() {
                    super::super::limits::room_for_size(end)?;
                }
                memory::give_up_for(length);
                self.preallocate(&node.tree, start, end)?;
            }
            mode if mode == PUNCH_HOLE | KEEP_SIZE => self.punch(node, start, end)?,
            mode if mode & !KEEP_SIZE == ZERO_RANGE => {
                if grows {
                    super::super::limits::room_for_size(end)?;
                }
                self.clear(node, start, end.min(self.size()))?;
            }
            _ => return Err(Errno::EOPNOTSUPP),
        }
        if grows {
            let mut state = self.state.lock();
            Self::clear_behind_end(&state);
            state.size = end;
        }
        Ok(())
    }

    /// `SEEK_DATA` and `SEEK_HOLE`.
    fn next_extent(&self, position: u64, data: bool) -> Result<u64, Errno> {
        let state = self.state.lock();
        if position >= state.size {
            return Err(Errno::ENXIO);
        }
        let below = state.below();
        let has = |index: u64| index < below || state.pages.contains_key(&index);
        let index = position / PAGE;
        if has(index) == data {
            return Ok(position);
        }
        if data {
            let next = state.pages.range(index..).next().map(|(next, _)| next * PAGE);
            return next.filter(|next| *next < state.size).ok_or(Errno::ENXIO);
        }
        let mut hole = index.max(below);
        while state.pages.contains_key(&hole) {
            hole += 1;
        }
        Ok((hole * PAGE).min(state.size))
    }
}

impl PageSource for Node {
    fn page(&self, index: u64, write: bool) -> Result<Frame, PageError> {
        let content = self.regular().map_err(|_| PageError::Unreadable)?;
        let mut state = content.state.lock();
        if index >= state.size.div_ceil(PAGE) {
            return Err(PageError::BeyondEnd);
        }
        let (frame, _) = content.page_of(&self.tree, &mut state, index, write)?;
        Ok(frame)
    }

    fn existing(&self, index: u64, write: bool) -> Option<Frame> {
        let content = self.regular().ok()?;
        let state = content.state.lock();
        if index >= state.size.div_ceil(PAGE) {
            return None;
        }
        content.existing_page(&self.tree, &state, index, write)
    }

    fn pages(&self) -> u64 {
        self.regular().map_or(0, |content| content.size().div_ceil(PAGE))
    }

    fn present(&self, pages: Range<u64>) -> u64 {
        let Ok(content) = self.regular() else { return 0 };
        let state = content.state.lock();
        let end = pages.end.min(state.size.div_ceil(PAGE));
        if pages.start >= end {
            return 0;
        }
        // The image's blocks are in memory, and those above count once.
        let below = state.below().clamp(pages.start, end);
        (below - pages.start) + state.frames(below..end)
    }

    fn tells_presence(&self) -> bool {
        let looker = Rights::current();
        looker.owns(self.metadata().user) || looker.check(self, Access::WRITE).is_ok()
    }

    fn is_shared_memory(&self) -> bool {
        self.tree.character.magic == super::super::SHARED_MEMORY.magic
    }

    fn offer(&self, index: u64, frame: Frame) -> Result<(), Errno> {
        let content = self.regular()?;
        let mut state = content.state.lock();
        if index >= state.size.div_ceil(PAGE) {
            return Err(Errno::EFAULT);
        }
        if state.room.contains_key(&index) || content.existing_page(&self.tree, &state, index, false).is_some() {
            return Err(Errno::EEXIST);
        }
        let space = &self.tree.space;
        if !space.may_grow() || space.take_page().is_err() {
            return Err(Errno::ENOMEM);
        }
        state.insert(index, frame);
        Ok(())
    }

    fn punch(&self, pages: Range<u64>) -> Result<bool, Errno> {
        let content = self.regular()?;
        let start = pages.start * PAGE;
        content.allocate(self, PUNCH_HOLE | KEEP_SIZE, start, (pages.end - pages.start) * PAGE)?;
        self.touch_content();
        Ok(false)
    }

    fn written(&self) {
        self.touch_mapped_content();
    }

    fn identity(&self) -> (u64, u64) {
        (self.tree.character.device.encode(), self.number)
    }
}

/// A regular file that is open.
pub(super) struct RegularFile(pub(super) Arc<Node>);

impl File for RegularFile {
    fn seekable(&self) -> bool {
        true
    }

    fn read(&self, position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        let result = self.0.regular()?.read(&self.0.tree, position, to);
        // As on Linux, also if the program's memory can't take anything.
        if !flags.contains(OpenFlags::NO_ACCESS_TIME) {
            self.0.touch_access(false);
        }
        result
    }

    fn write(&self, at: WriteAt, from: &mut Source<'_>, _flags: OpenFlags) -> Result<(usize, u64), Errno> {
        let wanted = from.remaining();
        let result = self.0.regular()?.write(&self.0, at, from);
        // As on Linux the times change before the program's memory is looked at.
        if wanted != 0 && result != Err(Errno::EFBIG) {
            self.0.touch_content();
        }
        result
    }

    fn can_be_direct(&self) -> bool {
        true
    }

    fn size(&self) -> u64 {
        self.0.regular().map_or(0, RegularContent::size)
    }

    fn next_extent(&self, position: u64, data: bool) -> Result<u64, Errno> {
        self.0.regular()?.next_extent(position, data)
    }

    fn mappable(&self) -> Result<Mappable, Errno> {
        Ok(Mappable::Object(self.0.clone()))
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.0.regular()?.truncate(&self.0, size)?;
        self.0.touch_content();
        Ok(())
    }

    fn allocate(&self, mode: u32, start: u64, length: u64) -> Result<(), Errno> {
        self.0.regular()?.allocate(&self.0, mode, start, length)?;
        self.0.touch_content();
        Ok(())
    }

    fn synchronise(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn seals(&self) -> Result<u32, Errno> {
        // Only files in memory have seals, and the root counts as a file system on a disk.
        if self.0.tree.character.magic != super::super::SHARED_MEMORY.magic {
            return Err(Errno::EINVAL);
        }
        Ok(self.0.regular()?.seals.get().bits())
    }

    fn add_seals(&self, seals: u32) -> Result<(), Errno> {
        self.seals()?;
        let seals = Seals::from_bits(seals).ok_or(Errno::EINVAL)?;
        let content = self.0.regular()?;
        let _writer = content.writer.take();
        content.seals.add(&self.0, seals)
    }
}

/// A file of `memfd_secret(2)`: it has no calls for its content, and its size is set once.
pub(super) struct SecretFile(pub(super) Arc<Node>);

impl File for SecretFile {
    fn size(&self) -> u64 {
        self.0.regular().map_or(0, RegularContent::size)
    }

    fn mappable(&self) -> Result<Mappable, Errno> {
        Ok(Mappable::Secret(self.0.clone()))
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        if self.size() != 0 {
            return Err(Errno::EINVAL);
        }
        self.0.regular()?.truncate(&self.0, size)
    }

    fn allocate(&self, _mode: u32, _start: u64, _length: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}
