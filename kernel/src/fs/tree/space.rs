//! How much a tree may hold.

use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::Errno;
use pith_storage_settings::Settings;

use crate::memory::{self, PAGE_SIZE};

/// Limits of a tree; `None` for no limit but memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpaceLimits {
    /// Most pages of data.
    pub pages: Option<u64>,
    /// Most files, counting further names of a file, too.
    pub files: Option<u64>,
}

/// Something that is counted and has a limit.
struct Quantity {
    used: AtomicU64,
    most: AtomicU64,
}

impl Quantity {
    fn new(most: Option<u64>) -> Self {
        Self {
            used: AtomicU64::new(0),
            most: AtomicU64::new(most.unwrap_or(u64::MAX)),
        }
    }

    fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// Sets how much there may be.
    ///
    /// # Errors
    /// `EINVAL` if there is more already, or if there was no limit before, as for Linux's tmpfs.
    fn limit(&self, most: Option<u64>) -> Result<(), Errno> {
        let most = most.unwrap_or(u64::MAX);
        if self.used.load(Ordering::Relaxed) > most || self.most() == u64::MAX && most != u64::MAX {
            return Err(Errno::EINVAL);
        }
        self.most.store(most, Ordering::Relaxed);
        Ok(())
    }

    /// Takes so much, all or nothing.
    fn take(&self, count: u64) -> Result<(), Errno> {
        let before = self.used.fetch_add(count, Ordering::Relaxed);
        if before.saturating_add(count) > self.most() {
            self.give_back(count);
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }

    fn give_back(&self, count: u64) {
        self.used.fetch_sub(count, Ordering::Relaxed);
    }

    fn left(&self) -> u64 {
        // Somebody who is being refused may have counted already.
        self.most().saturating_sub(self.used.load(Ordering::Relaxed))
    }
}

/// What a tree holds, and how much it may hold.
pub(super) struct Space {
    pages: Quantity,
    files: Quantity,
}

/// What `statfs(2)` tells of it.
pub(super) struct Room {
    /// Pages in all.
    pub(super) pages: u64,
    /// Pages that can still be written.
    pub(super) free_pages: u64,
    /// Files in all.
    pub(super) files: u64,
    /// Files that can still be made.
    pub(super) free_files: u64,
}

/// Bytes that file data may still take of the machine's memory. The rest is left to the program: a full file system must
/// not be what ends it.
fn room_in_memory() -> u64 {
    memory::free().saturating_sub(memory::total() / 32)
}

impl Space {
    pub(super) fn new(limits: SpaceLimits) -> Self {
        Self {
            pages: Quantity::new(limits.pages),
            files: Quantity::new(limits.files),
        }
    }

    /// Changes the limits that settings name.
    ///
    /// # Errors
    /// `EINVAL`
    pub(super) fn set_limits(&self, settings: &Settings) -> Result<(), Errno> {
        let memory = memory::total();
        if settings.size.is_some() {
            self.pages.limit(settings.pages(memory))?;
        }
        if settings.files.is_some() {
            self.files.limit(settings.most_files(memory))?;
        }
        Ok(())
    }

    /// Takes room for a page of data.
    ///
    /// # Errors
    /// `ENOSPC`
    pub(super) fn take_page(&self) -> Result<(), Errno> {
        self.pages.take(1)
    }

    /// Whether a write may ask for another page: memory has room for it. Page faults don't ask, as the program would be
    /// ended by either answer.
    pub(super) fn may_grow(&self) -> bool {
        room_in_memory() != 0
    }

    /// Gives the room of pages back.
    pub(super) fn give_pages_back(&self, count: u64) {
        if count != 0 {
            self.pages.give_back(count);
        }
    }

    /// Pages that can still be taken.
    pub(super) fn pages_left(&self) -> u64 {
        self.pages.left().min(room_in_memory() / PAGE_SIZE as u64)
    }

    /// Counts a new file, or another name of one.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many, or if memory is low: files live on the kernel's heap, which must not be what fails.
    pub(super) fn take_file(&self) -> Result<(), Errno> {
        if memory::is_low() {
            return Err(Errno::ENOSPC);
        }
        self.files.take(1)
    }

    /// A file, or a further name of one, is gone.
    pub(super) fn give_file_back(&self) {
        self.files.give_back(1);
    }

    pub(super) fn room(&self) -> Room {
        // What has no limit has that of memory.
        let used = self.pages.used.load(Ordering::Relaxed);
        let pages = self.pages.most().min(memory::total() / PAGE_SIZE as u64);
        let files_used = self.files.used.load(Ordering::Relaxed);
        let free_files = match self.files.most() {
            u64::MAX => memory::free() / PAGE_SIZE as u64,
            _ => self.files.left(),
        };
        Room {
            pages,
            free_pages: self.pages_left().min(pages.saturating_sub(used)),
            files: files_used + free_files,
            free_files,
        }
    }
}
