//! Parts of buffers that are shared, not copied.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

/// Memory with data; a clone is another reference to the same.
pub trait Buffer: Clone {
    /// The data.
    fn bytes(&self) -> &[u8];
}

impl Buffer for Arc<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

impl Buffer for Arc<Vec<u8>> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// A part of a buffer.
#[derive(Clone)]
pub struct Slice<B> {
    buffer: B,
    start: usize,
    end: usize,
}

impl<B: Buffer> Slice<B> {
    /// All of a buffer.
    pub fn new(buffer: B) -> Self {
        let end = buffer.bytes().len();
        Self {
            buffer,
            start: 0,
            end,
        }
    }

    /// Gives up the first `count` bytes, or all if there are fewer.
    pub fn advance(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Keeps only the first `count` bytes.
    pub fn truncate(&mut self, count: usize) {
        self.end = self.end.min(self.start.saturating_add(count));
    }

    /// The part from `from` on, `count` bytes at most.
    pub fn part(&self, from: usize, count: usize) -> Self {
        let mut part = self.clone();
        part.advance(from);
        part.truncate(count);
        part
    }

    /// The buffer of which this is a part.
    pub fn buffer(&self) -> &B {
        &self.buffer
    }

    /// Where in the buffer the part begins.
    pub fn offset(&self) -> usize {
        self.start
    }
}

impl<B: Buffer> Deref for Slice<B> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer.bytes()[self.start..self.end]
    }
}

impl<B> fmt::Debug for Slice<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.end - self.start)
    }
}
