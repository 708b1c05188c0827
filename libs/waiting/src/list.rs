//! The list behind a wait queue.

use alloc::vec::Vec;

use crate::sync::{AtomicUsize, Ordering, fence};

/// There is no memory for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

#[derive(Debug)]
struct Entry<W> {
    exclusive: bool,
    who: W,
}

/// Those who wait, in the order in which they came.
#[derive(Debug)]
pub struct WaitList<W> {
    entries: Vec<Entry<W>>,
}

impl<W> Default for WaitList<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W> WaitList<W> {
    /// An empty list.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds somebody. Of those that are `exclusive`, a wake-up takes one.
    ///
    /// # Errors
    /// [`OutOfMemory`]
    pub fn register(&mut self, who: W, exclusive: bool) -> Result<(), OutOfMemory> {
        self.entries.try_reserve(1).map_err(|_| OutOfMemory)?;
        self.entries.push(Entry { exclusive, who });
        Ok(())
    }

    /// Takes out the first for whom `is_it` is true; `None` if there is nobody.
    pub fn unregister(&mut self, mut is_it: impl FnMut(&W) -> bool) -> Option<W> {
        let index = self.entries.iter().position(|entry| is_it(&entry.who))?;
        Some(self.entries.remove(index).who)
    }

    /// Wakes everybody.
    pub fn wake_all(&self, mut wake: impl FnMut(&W)) {
        for entry in &self.entries {
            wake(&entry.who);
        }
    }

    /// Wakes all that are not exclusive, and of the exclusive ones in their order as many as it takes until one has a use
    /// for it: `wake` answers that.
    pub fn wake(&self, mut wake: impl FnMut(&W) -> bool) {
        let mut taken = false;
        for entry in &self.entries {
            if !entry.exclusive {
                wake(&entry.who);
            } else if !taken {
                taken = wake(&entry.who);
            }
        }
    }
}

/// How many stand in a list, known without its lock: most of the time nobody waits, and whoever would wake need not
/// look.
///
/// Either the waker, who changes a condition and asks then, sees the waiter; or the waiter, who enters and looks at the
/// condition then, sees the change.
#[derive(Debug)]
pub struct Population(AtomicUsize);

impl Default for Population {
    fn default() -> Self {
        Self::new()
    }
}

impl Population {
    /// Nobody.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Nobody.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Somebody registered, and will look at the condition after this.
    pub fn enter(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Somebody was taken out.
    pub fn leave(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether somebody may wait for what was changed before this.
    pub fn anybody(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::SeqCst) != 0
    }
}
