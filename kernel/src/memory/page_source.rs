//! Objects whose content can be mapped: files, and memory shared without a file.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pith_linux::Errno;
use spin::Mutex;

use super::frame;
use super::{Frame, PAGE_SIZE, Purpose};

/// Why an object has no page at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageError {
    /// It lies wholly beyond the end of the object: `SIGBUS`.
    BeyondEnd,
    /// No memory for it: the machine is full.
    OutOfMemory,
    /// The file system may hold no more: `SIGBUS`.
    NoSpace,
    /// The object can't be read there (`EIO`): `SIGBUS`.
    Unreadable,
}

/// An object whose content is held in frames: the page cache of a file.
///
/// The frames that it gives out *are* its content: `read`, `write` and shared mappings use the same ones.
pub trait PageSource: Send + Sync {
    /// The frame of page `index` (in units of 4 KiB). With `write`, the frame will be written through a shared
    /// mapping, so it must be one that belongs to this object alone and not to the image.
    ///
    /// Called from page faults, with the address space locked: it must not touch the program's memory.
    ///
    /// # Errors
    /// See [`PageError`].
    fn page(&self, index: u64, write: bool) -> Result<Frame, PageError>;

    /// As [`Self::page`], if the frame exists already: nothing is made or copied for it.
    fn existing(&self, _index: u64, _write: bool) -> Option<Frame> {
        None
    }

    /// Forgets the content of some pages, which read as zeroes then (`MADV_REMOVE`). True if they have to be taken out
    /// of page tables still. The address space is not locked.
    ///
    /// # Errors
    /// `EOPNOTSUPP` if the object can't do that.
    fn punch(&self, _pages: Range<u64>) -> Result<bool, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// How many pages it has: behind them is nothing.
    fn pages(&self) -> u64 {
        u64::MAX
    }

    /// How many of some pages are in memory (`cachestat(2)`).
    fn present(&self, _pages: Range<u64>) -> u64 {
        0
    }

    /// Whether the current thread may know which pages are in memory although it did not touch them (`mincore(2)`): that tells
    /// what others do with a file.
    fn tells_presence(&self) -> bool {
        true
    }

    /// Whether it is memory and no file of a disk: pages that are missing may be brought by whoever handles the faults
    /// (`userfaultfd(2)`). On Linux System V's shared memory is not among that.
    fn is_shared_memory(&self) -> bool {
        false
    }

    /// Whether it is shared memory that nothing but mappings of it leads to (`MAP_SHARED | MAP_ANONYMOUS`).
    fn is_anonymous(&self) -> bool {
        false
    }

    /// Takes a frame as the content of a page that has none yet. The caller writes to it no more.
    ///
    /// # Errors
    /// `EEXIST` if there is a page, `EFAULT` behind the end, `ENOMEM`, `EINVAL` if the object takes none.
    fn offer(&self, _index: u64, _frame: Frame) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// A shared mapping is about to be written through a page that was not there for writing: times of a file change.
    /// Called with the address space locked.
    fn written(&self) {}

    /// Path for `/proc/self/maps`, if it was not mapped through a file.
    fn name(&self) -> String {
        String::new()
    }

    /// Device and inode numbers for `/proc/self/maps`.
    fn identity(&self) -> (u64, u64);
}

/// The file through which an object was mapped. The mapping keeps it as it is: open, if it was.
pub trait MappedFile: Send + Sync {
    /// Path for `/proc/self/maps`.
    fn name(&self) -> String;
}

/// Anonymous memory that is shared (`MAP_SHARED | MAP_ANONYMOUS`).
#[derive(Debug)]
pub struct SharedMemory {
    pages: Mutex<BTreeMap<u64, Frame>>,
    /// So many pages there can be: what `mremap(2)` maps behind them is beyond the end.
    most: u64,
    /// Bytes that count as promised.
    promised: u64,
}

/// Bytes of shared memory that were promised, to whoever maps it.
static PROMISED: AtomicU64 = AtomicU64::new(0);

/// Bytes of shared memory that were promised (a part of `Committed_AS`).
pub fn promised_shared() -> u64 {
    PROMISED.load(Ordering::Relaxed)
}

impl SharedMemory {
    /// So many bytes of zeroes, rounded up to whole pages. They count as promised unless nothing is reserved for them
    /// (`MAP_NORESERVE`).
    pub fn new(length: u64, reserved: bool) -> Self {
        let most = length.div_ceil(PAGE_SIZE as u64);
        let promised = if reserved { most * PAGE_SIZE as u64 } else { 0 };
        PROMISED.fetch_add(promised, Ordering::Relaxed);
        Self {
            pages: Mutex::default(),
            most,
            promised,
        }
    }

    /// How many pages are in memory.
    pub fn present(&self) -> u64 {
        self.pages.lock().len() as u64
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        PROMISED.fetch_sub(self.promised, Ordering::Relaxed);
        frame::count_file_frames(-(self.pages.get_mut().len() as i64));
    }
}

impl PageSource for SharedMemory {
    fn page(&self, index: u64, _write: bool) -> Result<Frame, PageError> {
        if index >= self.most {
            return Err(PageError::BeyondEnd);
        }
        let mut pages = self.pages.lock();
        if let Some(frame) = pages.get(&index) {
            return Ok(frame.clone());
        }
        let frame = Frame::zeroed(Purpose::User).ok_or(PageError::OutOfMemory)?;
        pages.insert(index, frame.clone());
        frame::count_file_frames(1);
        Ok(frame)
    }

    fn existing(&self, index: u64, _write: bool) -> Option<Frame> {
        self.pages.lock().get(&index).cloned()
    }

    fn pages(&self) -> u64 {
        self.most
    }

    fn is_shared_memory(&self) -> bool {
        true
    }

    fn is_anonymous(&self) -> bool {
        true
    }

    fn offer(&self, index: u64, frame: Frame) -> Result<(), Errno> {
        if index >= self.most {
            return Err(Errno::EFAULT);
        }
        let mut pages = self.pages.lock();
        if pages.contains_key(&index) {
            return Err(Errno::EEXIST);
        }
        pages.insert(index, frame);
        frame::count_file_frames(1);
        Ok(())
    }

    fn punch(&self, pages: Range<u64>) -> Result<bool, Errno> {
        loop {
            // A few at a time: they may be as many as memory has, and there may be no room for a list of them.
            let mut gone = [const { None }; 64];
            let mut locked = self.pages.lock();
            let taken = gone.iter_mut().zip(locked.extract_if(pages.clone(), |_, _| true));
            let count = taken.map(|(place, (_, frame))| *place = Some(frame)).count();
            drop(locked);
            frame::count_file_frames(-(count as i64));
            if count < gone.len() {
                return Ok(true);
            }
        }
    }

    fn name(&self) -> String {
        String::from("/dev/zero (deleted)")
    }

    fn identity(&self) -> (u64, u64) {
        (1, 1)
    }
}

/// Memory that a program and the kernel both write: rings of requests. It is there as a whole from the start.
#[derive(Debug)]
pub struct RingMemory {
    frames: Box<[Frame]>,
}

impl RingMemory {
    /// So many bytes of zeroes. `None` without memory.
    pub fn new(bytes: usize) -> Option<Self> {
        let count = bytes.div_ceil(PAGE_SIZE);
        let mut frames = Vec::new();
        frames.try_reserve_exact(count).ok()?;
        for _ in 0..count {
            frames.push(Frame::zeroed(Purpose::User)?);
        }
        Some(Self {
            frames: frames.into_boxed_slice(),
        })
    }

    /// How many pages it has.
    pub fn pages(&self) -> usize {
        self.frames.len()
    }

    /// One of its frames.
    pub fn frame(&self, index: usize) -> Option<Frame> {
        self.frames.get(index).cloned()
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        let frame = &self.frames[offset / PAGE_SIZE];
        assert!(offset.is_multiple_of(size_of::<u32>()), "an aligned word");
        // SAFETY: aligned and inside of a frame that lives as long as `self`. The program may write it at any time, as
        // another processor may: an atomic allows that.
        unsafe { AtomicU32::from_ptr(frame.pointer().add(offset % PAGE_SIZE).cast()) }
    }

    /// Reads a word; what the program wrote before it wrote the word is seen afterwards.
    pub fn load(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Writes a word; who reads it sees all that was written before.
    pub fn store(&self, offset: usize, value: u32) {
        self.word(offset).store(value, Ordering::Release);
    }

    /// Sets or clears bits of a word.
    pub fn change_bits(&self, offset: usize, bits: u32, set: bool) {
        if set {
            self.word(offset).fetch_or(bits, Ordering::SeqCst);
        } else {
            self.word(offset).fetch_and(!bits, Ordering::SeqCst);
        }
    }

    /// Where `N` words of 64 bits are.
    fn words<const N: usize>(&self, offset: usize) -> *mut u64 {
        let frame = &self.frames[offset / PAGE_SIZE];
        let inside = offset % PAGE_SIZE;
        assert!(
            inside.is_multiple_of(size_of::<u64>()) && inside <= PAGE_SIZE - N * size_of::<u64>(),
            "aligned words in one page"
        );
        frame.pointer().wrapping_add(inside).cast()
    }

    /// Copies words out that do not cross a page.
    #[inline]
    pub fn read<const N: usize>(&self, offset: usize) -> [u64; N] {
        let words = self.words::<N>(offset);
        // SAFETY: aligned and inside of a frame that lives as long as `self`. The program may be writing there: each word
        // is read once and nothing is concluded from what it was.
        core::array::from_fn(|index| unsafe { words.add(index).read_volatile() })
    }

    /// Copies words in that do not cross a page.
    #[inline]
    pub fn write<const N: usize>(&self, offset: usize, values: [u64; N]) {
        let words = self.words::<N>(offset);
        for (index, value) in values.into_iter().enumerate() {
            // SAFETY: as for `read`; no reference is ever made to the memory.
            unsafe { words.add(index).write_volatile(value) };
        }
    }

    /// Where `length` bytes are that do not cross a page.
    fn piece(&self, offset: usize, length: usize) -> *mut u8 {
        let inside = offset % PAGE_SIZE;
        assert!(length <= PAGE_SIZE - inside, "bytes in one page");
        self.frames[offset / PAGE_SIZE].pointer().wrapping_add(inside)
    }

    /// Copies bytes in.
    pub fn copy_in(&self, mut offset: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(PAGE_SIZE - offset % PAGE_SIZE));
            let to = self.piece(offset, part.len());
            // SAFETY: `part.len()` bytes of a frame that lives as long as `self`, and to which no reference is ever made.
            // The program may write there at the same time: what is there then is its own affair.
            unsafe { to.copy_from_nonoverlapping(part.as_ptr(), part.len()) };
            (offset, bytes) = (offset + part.len(), rest);
        }
    }

    /// Copies bytes out. The program may be writing there: nothing may be concluded from them that was not looked at in
    /// the copy.
    pub fn copy_out(&self, mut offset: usize, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let length = bytes.len().min(PAGE_SIZE - offset % PAGE_SIZE);
            let (part, rest) = bytes.split_at_mut(length);
            let from = self.piece(offset, length);
            // SAFETY: as for `copy_in`; `part` is the kernel's own.
            unsafe { from.copy_to_nonoverlapping(part.as_mut_ptr(), length) };
            (offset, bytes) = (offset + length, rest);
        }
    }
}
