//! The list behind a wait queue.

use alloc::collections::VecDeque;

/// There is no memory for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// Names an entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(u64);

#[derive(Debug)]
struct Entry<W> {
    token: u64,
    exclusive: bool,
    who: W,
}

/// Those who wait, in the order in which they came. Entries are ordered by their tokens, so that each is found quickly.
#[derive(Debug)]
pub struct WaitList<W> {
    entries: VecDeque<Entry<W>>,
    next: u64,
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
            entries: VecDeque::new(),
            next: 0,
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
    pub fn register(&mut self, who: W, exclusive: bool) -> Result<Token, OutOfMemory> {
        self.entries.try_reserve(1).map_err(|_| OutOfMemory)?;
        let token = self.next;
        self.next += 1;
        self.entries.push_back(Entry {
            token,
            exclusive,
            who,
        });
        Ok(Token(token))
    }

    /// Takes somebody out; `None` if the token names nobody (any more).
    pub fn unregister(&mut self, token: Token) -> Option<W> {
        let index = self
            .entries
            .binary_search_by_key(&token.0, |entry| entry.token)
            .ok()?;
        self.entries.remove(index).map(|entry| entry.who)
    }

    /// Wakes everybody.
    pub fn wake_all(&self, mut wake: impl FnMut(&W) -> bool) {
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
