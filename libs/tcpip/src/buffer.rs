//! Parts of buffers that are shared, not copied.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use crate::queue::Queue;

/// Memory with data; a clone is another reference to the same.
pub trait Buffer: Clone {
    /// The data.
    fn bytes(&self) -> &[u8];

    /// Bytes of memory that stay in use as long as there is a reference.
    fn footprint(&self) -> usize {
        self.bytes().len()
    }

    /// Replaces what lies behind the first `keep` bytes. False, and nothing done, if there is no room or if there are
    /// other references.
    fn replace_end(&mut self, _keep: usize, _bytes: &[u8]) -> bool {
        false
    }

    /// A buffer of its own with the data of two, perhaps with room for more: small pieces are put together in such.
    /// `None` without memory.
    fn joined(first: &[u8], second: &[u8]) -> Option<Self>;
}

impl Buffer for Arc<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn joined(first: &[u8], second: &[u8]) -> Option<Self> {
        Some([first, second].concat().into())
    }
}

impl Buffer for Arc<Vec<u8>> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn joined(first: &[u8], second: &[u8]) -> Option<Self> {
        Some(Self::new([first, second].concat()))
    }
}

/// Pieces shorter than this are put together, so that a peer or a program that sends single bytes does not take a buffer
/// for each.
const SMALL: usize = 512;
/// Up to this length.
const MERGED: usize = 2048;
/// Bytes that a piece costs beside its buffer: counters of references, its place in a queue, and what an allocator needs.
const OVERHEAD: usize = 128;

/// Adds a piece at the end of a queue. Returns how much more memory the queue takes, and how much less.
pub(crate) fn append<B: Buffer>(queue: &mut Queue<Slice<B>>, data: Slice<B>) -> (usize, usize) {
    if let Some(last) = queue.back_mut()
        && data.len() < SMALL
        && last.len() + data.len() <= MERGED
    {
        if last.extend(&data) {
            return (0, 0);
        }
        if let Some(joined) = B::joined(last, &data) {
            let less = last.cost();
            *last = Slice::new(joined);
            return (last.cost(), less);
        }
    }
    let more = data.cost();
    queue.push_back(data);
    (more, 0)
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

    /// Adds bytes behind the part, if its buffer has room there and nobody else refers to it.
    pub fn extend(&mut self, bytes: &[u8]) -> bool {
        let extended = self.buffer.replace_end(self.end, bytes);
        if extended {
            self.end += bytes.len();
        }
        extended
    }

    /// The buffer of which this is a part.
    pub fn buffer(&self) -> &B {
        &self.buffer
    }

    /// Bytes of memory that are kept for it: the whole buffer is.
    pub fn cost(&self) -> usize {
        self.buffer.footprint() + OVERHEAD
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

/// Data in pieces, mostly in one or none.
#[derive(Clone)]
pub struct Pieces<B> {
    /// `None` if there are no pieces at all.
    first: Option<Slice<B>>,
    others: Vec<Slice<B>>,
}

impl<B> Default for Pieces<B> {
    fn default() -> Self {
        Self {
            first: None,
            others: Vec::new(),
        }
    }
}

impl<B: Buffer> Pieces<B> {
    /// Adds a piece; an empty one is left out.
    pub fn push(&mut self, piece: Slice<B>) {
        if piece.is_empty() {
            return;
        }
        match self.first {
            None => self.first = Some(piece),
            Some(_) => self.others.push(piece),
        }
    }

    /// The pieces, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Slice<B>> {
        self.first.iter().chain(&self.others)
    }

    /// The first piece; `None` if there is no data.
    pub fn first(&self) -> Option<&Slice<B>> {
        self.first.as_ref()
    }

    /// How many pieces there are.
    pub fn count(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    /// Bytes of all pieces.
    pub fn length(&self) -> usize {
        self.iter().map(|piece| piece.len()).sum()
    }

    /// Whether there is no data.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Gives up the first `count` bytes, or all if there are fewer.
    pub fn advance(&mut self, mut count: usize) {
        while let Some(first) = &mut self.first {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.first = if self.others.is_empty() {
                None
            } else {
                Some(self.others.remove(0))
            };
        }
    }

    /// Keeps only the first `count` bytes.
    pub fn truncate(&mut self, count: usize) {
        let mut left = count;
        let mut kept = 0;
        for piece in self.first.iter_mut().chain(&mut self.others) {
            if left == 0 {
                break;
            }
            piece.truncate(left);
            left -= piece.len();
            kept += 1;
        }
        if kept == 0 {
            self.first = None;
        }
        self.others.truncate(kept.max(1) - 1);
    }

    /// The only piece, if there is no more than one.
    pub fn into_only(self) -> Option<Slice<B>> {
        if self.others.is_empty() {
            self.first
        } else {
            None
        }
    }
}

impl<B: Buffer> From<Slice<B>> for Pieces<B> {
    fn from(piece: Slice<B>) -> Self {
        let mut pieces = Self::default();
        pieces.push(piece);
        pieces
    }
}

impl<B> IntoIterator for Pieces<B> {
    type Item = Slice<B>;
    type IntoIter =
        core::iter::Chain<core::option::IntoIter<Slice<B>>, alloc::vec::IntoIter<Slice<B>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.others)
    }
}

impl<B> fmt::Debug for Pieces<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.first.iter().chain(&self.others))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(parts: &[&[u8]]) -> Pieces<Arc<[u8]>> {
        let mut pieces = Pieces::default();
        for part in parts {
            pieces.push(Slice::new(Arc::from(*part)));
        }
        pieces
    }

    fn content(pieces: &Pieces<Arc<[u8]>>) -> Vec<u8> {
        pieces.iter().flat_map(|piece| piece.to_vec()).collect()
    }

    #[test]
    fn pieces_are_cut_at_any_place() {
        let all: Vec<u8> = (0..9).collect();
        let split: [&[&[u8]]; 3] = [
            &[&all],
            &[&all[..4], &[], &all[4..]],
            &[&[], &all[..1], &all[1..3], &all[3..8], &all[8..]],
        ];
        for parts in split {
            for start in 0..12 {
                for count in 0..12 {
                    let mut cut = pieces(parts);
                    cut.advance(start);
                    cut.truncate(count);
                    let rest = &all[start.min(9)..];
                    let expected = &rest[..count.min(rest.len())];
                    assert_eq!(content(&cut), expected);
                    assert_eq!(cut.length(), expected.len());
                    assert_eq!(cut.is_empty(), expected.is_empty());
                    assert!(cut.iter().all(|piece| !piece.is_empty()));
                    assert_eq!(cut.count(), cut.iter().count());
                }
            }
        }
    }
}
