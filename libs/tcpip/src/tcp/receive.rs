//! What a connection has received: in order for the program, and out of order until the gap is filled.

use alloc::vec::Vec;

use super::Sequence;
use crate::buffer::{self, Buffer, Slice};
use crate::queue::Queue;
use crate::wire::tcp::{Block, SACK_BLOCKS};

/// Most pieces that wait for a gap to be filled: a peer that sends single bytes out of order gets no further.
const MOST_PIECES: usize = 1024;

/// What became of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// So many bytes are new for the program; a gap may have been filled.
    InOrder {
        /// Bytes.
        bytes: usize,
        /// Pieces that waited are among them.
        filled: bool,
    },
    /// Something before it is missing.
    OutOfOrder,
    /// It was there already, or lies beyond the window.
    Nothing,
}

/// The receiving half.
#[derive(Debug)]
pub struct Receiver<B> {
    next: Sequence,
    queue: Queue<Slice<B>>,
    queued: usize,
    /// Bytes of memory in the queue, and in the pieces.
    cost: usize,
    pieces_cost: usize,
    /// Sorted, without overlap.
    pieces: Vec<(Sequence, Slice<B>)>,
    /// Where the piece lies that came last.
    recent: Option<Sequence>,
    /// What came twice and was not reported yet (RFC 2883).
    twice: Option<Block>,
    /// The end of the window that the peer was told.
    edge: Sequence,
    /// Bytes that may wait for the program.
    capacity: usize,
}

impl<B: Buffer> Receiver<B> {
    /// A receiver that expects `next`, with room for so many bytes.
    pub fn new(next: Sequence, capacity: usize) -> Self {
        Self {
            next,
            queue: Queue::new(),
            queued: 0,
            cost: 0,
            pieces_cost: 0,
            pieces: Vec::new(),
            recent: None,
            twice: None,
            edge: next,
            capacity,
        }
    }

    /// The byte that is expected next.
    pub fn next(&self) -> Sequence {
        self.next
    }

    /// The peer's FIN was taken: it has a number of its own.
    pub fn skip_fin(&mut self) {
        self.next = self.next + 1;
    }

    /// Bytes for the program.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes of memory that the data takes.
    pub fn cost(&self) -> usize {
        self.cost + self.pieces_cost
    }

    /// Bytes that may wait for the program.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// More or fewer may from now on.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Whether something is missing before what has arrived.
    pub fn has_gap(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Whether something is to be reported that came twice.
    pub fn has_twice(&self) -> bool {
        self.twice.is_some()
    }

    /// Bytes that the peer may send, if it were told now; with less than `step` more than it knows of it is not told
    /// (RFC 9293, section 3.8.6.2.2). What it was told is never taken back.
    pub fn window(&self, step: usize) -> usize {
        let free = self.capacity.saturating_sub(self.queued);
        let told = self.told_window();
        if free >= told + step.min(self.capacity / 2).max(1) {
            free
        } else {
            told
        }
    }

    /// Bytes that the peer may still send as far as it knows.
    pub fn told_window(&self) -> usize {
        self.edge.since(self.next)
    }

    /// The peer is told a window.
    pub fn tell(&mut self, window: usize) {
        self.edge = self.edge.later(self.next + window);
    }

    /// Takes data that begins at `sequence`.
    pub fn accept(&mut self, mut sequence: Sequence, mut data: Slice<B>) -> Accepted {
        let old = self.next.since(sequence);
        if old != 0 {
            self.note_twice(sequence, data.len());
        }
        if old >= data.len() {
            return Accepted::Nothing;
        }
        data.advance(old);
        sequence = sequence + old;
        data.truncate(self.edge.since(sequence));
        if data.is_empty() {
            return Accepted::Nothing;
        }
        if sequence != self.next {
            return self.keep(sequence, data);
        }
        let mut bytes = self.append(data);
        let mut pieces = 0;
        while let Some((start, piece)) = self.pieces.get(pieces) {
            if start.is_after(self.next) {
                break;
            }
            self.pieces_cost -= piece.cost();
            let mut piece = piece.clone();
            piece.advance(self.next.since(*start));
            if !piece.is_empty() {
                bytes += self.append(piece);
            }
            pieces += 1;
        }
        self.pieces.drain(..pieces);
        if self.pieces.is_empty() {
            self.pieces = Vec::new();
        }
        let filled = pieces != 0;
        Accepted::InOrder { bytes, filled }
    }

    fn append(&mut self, data: Slice<B>) -> usize {
        let length = data.len();
        self.next = self.next + length;
        self.queued += length;
        let (more, less) = buffer::append(&mut self.queue, data);
        self.cost = self.cost + more - less;
        length
    }

    /// Keeps data behind a gap: the parts of it that are not there.
    fn keep(&mut self, mut start: Sequence, mut data: Slice<B>) -> Accepted {
        let mut new = false;
        let mut index = self
            .pieces
            .partition_point(|(there, piece)| !(*there + piece.len()).is_after(start));
        while !data.is_empty() {
            let Some((there, piece)) = self.pieces.get(index) else {
                new |= self.insert(index, start, data);
                break;
            };
            let (there, end) = (*there, *there + piece.len());
            let before = there.since(start).min(data.len());
            if before != 0 {
                let part = data.part(0, before);
                if !self.insert(index, start, part) {
                    break;
                }
                new = true;
                index += 1;
            }
            let skipped = end.since(start).min(data.len()).max(before);
            if skipped > before {
                self.twice = Some((start + before, start + skipped));
                self.recent = Some(there);
            }
            data.advance(skipped);
            start = start + skipped;
            index += 1;
        }
        if new {
            Accepted::OutOfOrder
        } else {
            Accepted::Nothing
        }
    }

    fn insert(&mut self, index: usize, start: Sequence, data: Slice<B>) -> bool {
        // Small pieces keep whole buffers: of those there may be as many as twice the data that is wanted.
        let cost = data.cost();
        if self.pieces.len() >= MOST_PIECES
            || self.cost() + cost > (4 * self.capacity).max(64 * 1024)
        {
            return false;
        }
        self.pieces_cost += cost;
        self.pieces.insert(index, (start, data));
        self.recent = Some(start);
        true
    }

    /// Throws away what waits behind a gap: memory is scarce. The peer still has it.
    pub fn prune(&mut self) {
        self.pieces = Vec::new();
        self.pieces_cost = 0;
        self.recent = None;
    }

    /// Data came that was there already.
    pub fn note_twice(&mut self, sequence: Sequence, length: usize) {
        self.twice = Some((sequence, self.next.earlier(sequence + length)));
    }

    /// What came twice, to be reported once.
    pub fn take_twice(&mut self) -> Option<Block> {
        self.twice.take()
    }

    /// The ranges that have arrived behind a gap, the one that grew last first (RFC 2018, section 4).
    pub fn blocks(&self) -> [Option<Block>; SACK_BLOCKS] {
        let mut blocks = [None; SACK_BLOCKS];
        let mut ranges: Vec<Block> = Vec::new();
        for (start, piece) in &self.pieces {
            let end = *start + piece.len();
            match ranges.last_mut() {
                Some((_, last)) if *last == *start => *last = end,
                _ => ranges.push((*start, end)),
            }
        }
        if let Some(recent) = self.recent {
            let holds = |(start, end): &Block| !recent.is_before(*start) && recent.is_before(*end);
            if let Some(index) = ranges.iter().position(holds) {
                let range = ranges.remove(index);
                ranges.insert(0, range);
            }
        }
        for (place, range) in blocks.iter_mut().zip(ranges) {
            *place = Some(range);
        }
        blocks
    }

    /// The data for the program, in its order.
    pub fn data(&self) -> impl Iterator<Item = &Slice<B>> {
        self.queue.iter()
    }

    /// The program took so many bytes.
    pub fn consume(&mut self, mut bytes: usize) {
        self.queued = self.queued.saturating_sub(bytes);
        while let Some(front) = self.queue.front_mut() {
            if bytes < front.len() {
                front.advance(bytes);
                return;
            }
            bytes -= front.len();
            self.cost -= front.cost();
            self.queue.pop_front();
        }
    }

    /// Nobody will take anything any more.
    pub fn discard(&mut self) {
        self.queue = Queue::new();
        self.queued = 0;
        self.cost = 0;
        self.prune();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn slice(bytes: &[u8]) -> Slice<Arc<[u8]>> {
        Slice::new(Arc::from(bytes))
    }

    fn content(receiver: &Receiver<Arc<[u8]>>) -> Vec<u8> {
        receiver.data().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn any_order_and_any_overlap_give_the_same_bytes() {
        let whole: Vec<u8> = (0..=99).collect();
        let mut state = 12345_u32;
        for start in [0, u32::MAX - 50] {
            for _ in 0..200 {
                let mut receiver = Receiver::new(Sequence(start), 200);
                receiver.tell(200);
                let mut rounds = 0;
                while receiver.queued() < 100 {
                    state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
                    let from = (state >> 8) as usize % 100;
                    let length = 1 + (state >> 20) as usize % 20;
                    let end = (from + length).min(100);
                    receiver.accept(Sequence(start) + from, slice(&whole[from..end]));
                    rounds += 1;
                    assert!(rounds < 10_000);
                }
                assert_eq!(content(&receiver), whole);
                assert!(!receiver.has_gap());
            }
        }
    }

    #[test]
    fn the_window_is_never_taken_back() {
        let mut receiver = Receiver::new(Sequence(0), 10);
        receiver.tell(10);
        assert_eq!(receiver.window(1), 10);
        assert_eq!(
            receiver.accept(Sequence(0), slice(&[0; 12])),
            Accepted::InOrder {
                bytes: 10,
                filled: false
            }
        );
        assert_eq!(receiver.window(1), 0);
        receiver.consume(2);
        // A little is not worth telling.
        assert_eq!(receiver.window(4), 0);
        receiver.consume(2);
        assert_eq!(receiver.window(4), 4);
    }

    #[test]
    fn blocks_are_merged_and_the_last_comes_first() {
        let mut receiver = Receiver::new(Sequence(0), 100);
        receiver.tell(100);
        for start in [10, 30, 20, 12] {
            receiver.accept(Sequence(start), slice(&[0; 2]));
        }
        let block = |start, end| Some((Sequence(start), Sequence(end)));
        assert_eq!(
            receiver.blocks(),
            [block(10, 14), block(20, 22), block(30, 32), None]
        );
        receiver.accept(Sequence(50), slice(&[0; 2]));
        assert_eq!(receiver.blocks()[0], block(50, 52));
    }

    #[test]
    fn pieces_are_limited() {
        let mut receiver = Receiver::new(Sequence(0), 100_000);
        receiver.tell(100_000);
        for index in 0..5000 {
            receiver.accept(Sequence(1 + 2 * index), slice(&[0]));
        }
        assert_eq!(receiver.pieces.len(), MOST_PIECES);
        // And the memory behind them.
        let mut receiver = Receiver::new(Sequence(0), 100_000);
        receiver.tell(100_000);
        for index in 0..5000 {
            let mut data = slice(&[0; 2048]);
            data.truncate(1);
            receiver.accept(Sequence(1 + 2 * index), data);
        }
        assert!(receiver.cost() <= 400_000, "{}", receiver.cost());
    }

    #[test]
    fn what_comes_twice_is_reported_once() {
        let mut receiver = Receiver::new(Sequence(0), 100);
        receiver.tell(100);
        let mut twice = |start, length| {
            receiver.accept(Sequence(start), slice(&vec![0; length]));
            receiver.take_twice().map(|(start, end)| (start.0, end.0))
        };
        assert_eq!(twice(0, 10), None);
        assert_eq!(twice(0, 10), Some((0, 10)));
        assert_eq!(twice(5, 10), Some((5, 10)));
        assert_eq!(twice(20, 10), None);
        assert_eq!(twice(25, 10), Some((25, 30)));
        assert_eq!(twice(25, 5), Some((25, 30)));
        assert_eq!(twice(40, 5), None);
    }
}
