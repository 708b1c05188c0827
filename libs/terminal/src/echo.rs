//! What is to be echoed and has not gone out yet. How a step looks is known only when it goes out, since that depends on
//! the column.

use alloc::collections::VecDeque;

/// Most steps that wait (`N_TTY_BUF_SIZE`, less what one character may add). Older ones are given up.
const MOST: usize = 3808;

/// A step of echoing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// A character, as if the program had written it.
    Byte(u8),
    /// A control character as `^X`.
    Caret(u8),
    /// Goes back over a tab. So many columns lie before it, counted from the last tab or from the start of the line.
    EraseTab {
        /// Columns, below 8.
        columns: u8,
        /// Counted from a tab.
        from_tab: bool,
    },
    /// The line starts in this column.
    LineStarts,
    /// The last character was part of one that is already counted.
    BackOneColumn,
}

/// Steps in their order.
#[derive(Debug, Default)]
pub struct Echoes {
    steps: VecDeque<Echo>,
    /// So many of them belong to characters that were received in full.
    committed: usize,
}

impl Echoes {
    /// Adds a step. Without memory, nothing is echoed.
    pub fn push(&mut self, step: Echo) {
        if self.steps.len() >= MOST {
            self.pop();
        }
        if self.steps.try_reserve(1).is_ok() {
            self.steps.push_back(step);
        }
    }

    /// What there is belongs to characters that were received in full.
    pub fn commit(&mut self) {
        self.committed = self.steps.len();
    }

    /// Steps.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// The next step that may go out.
    pub fn next(&self) -> Option<Echo> {
        if self.committed == 0 {
            return None;
        }
        self.steps.front().copied()
    }

    /// It has gone out.
    pub fn pop(&mut self) {
        self.steps.pop_front();
        self.committed = self.committed.saturating_sub(1);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.committed = 0;
    }
}
