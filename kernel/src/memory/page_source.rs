//! Objects whose content can be mapped: files, and memory shared without a file.

use alloc::collections::BTreeMap;
use alloc::string::String;

use spin::Mutex;

use super::{Frame, Purpose};

/// Why an object has no page at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageError {
    /// It lies wholly beyond the end of the object: `SIGBUS`.
    BeyondEnd,
    /// No memory for it: the machine is full.
    OutOfMemory,
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

    /// Path for `/proc/self/maps`.
    fn name(&self) -> String;

    /// Device and inode numbers for `/proc/self/maps`.
    fn identity(&self) -> (u64, u64);
}

/// Anonymous memory that is shared (`MAP_SHARED | MAP_ANONYMOUS`).
#[derive(Debug, Default)]
pub struct SharedMemory {
    pages: Mutex<BTreeMap<u64, Frame>>,
}

impl SharedMemory {
    /// How many pages are in memory.
    pub fn pages(&self) -> u64 {
        self.pages.lock().len() as u64
    }
}

impl PageSource for SharedMemory {
    fn page(&self, index: u64, _write: bool) -> Result<Frame, PageError> {
        let mut pages = self.pages.lock();
        if let Some(frame) = pages.get(&index) {
            return Ok(frame.clone());
        }
        let frame = Frame::zeroed(Purpose::User).ok_or(PageError::OutOfMemory)?;
        pages.insert(index, frame.clone());
        Ok(frame)
    }

    fn existing(&self, index: u64, _write: bool) -> Option<Frame> {
        self.pages.lock().get(&index).cloned()
    }

    fn name(&self) -> String {
        String::from("/dev/zero (deleted)")
    }

    fn identity(&self) -> (u64, u64) {
        (1, 1)
    }
}
