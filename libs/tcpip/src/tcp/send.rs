//! What a connection has to send: the data from the oldest byte that was not acknowledged, and what became of each
//! segment (RFC 2018, RFC 2883, RFC 6675, RFC 8985).

use super::Sequence;
use crate::buffer::{self, Buffer, Pieces, Slice};
use crate::queue::Queue;
use crate::time::{Instant, MILLISECOND};
use crate::wire::tcp::Block;

/// So many recoveries in which nothing was sent twice for nothing make the patience with reordering as short as at first
/// (RFC 8985, section 6.2, step 4).
const PATIENT_RECOVERIES: u8 = 16;

/// A segment that was sent and not acknowledged.
#[derive(Clone, Copy, Debug)]
struct Sent {
    start: Sequence,
    /// Sequence numbers that it takes: its data, and one for a FIN.
    length: u32,
    at: Instant,
    /// It has arrived, out of order.
    sacked: bool,
    /// It is thought to be lost, and was not sent again since.
    lost: bool,
    again: bool,
}

impl Sent {
    fn end(&self) -> Sequence {
        self.start + self.length()
    }

    fn length(&self) -> usize {
        self.length as usize
    }
}

/// What an acknowledgement told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivered {
    /// Bytes that are known to have arrived, and were not before.
    pub bytes: usize,
    /// Bytes that need not be kept any more.
    pub acknowledged: usize,
    /// When the last of them was sent that was sent only once.
    pub sent_once_at: Option<Instant>,
    /// Something of it was sent more than once.
    pub again: bool,
}

/// The sending half.
#[derive(Debug)]
pub struct Sender<B> {
    /// The oldest byte that was not acknowledged.
    una: Sequence,
    /// The first that was not sent.
    nxt: Sequence,
    queue: Queue<Slice<B>>,
    queued: usize,
    cost: usize,
    /// A piece of the queue and how far behind [`Self::una`] it begins: where data was taken last.
    cursor: (usize, usize),
    sent: Queue<Sent>,
    sacked_bytes: usize,
    sacked_count: usize,
    lost_bytes: usize,
    /// Nothing before it is lost.
    lost_from: Sequence,
    /// The segment that was sent last of those that have arrived, and how long that took.
    newest: Option<(Instant, Sequence)>,
    newest_took: u64,
    /// Segments have arrived after others that were sent later.
    reordering: bool,
    /// By how much the patience with reordering has grown, and how long that lasts.
    patience: u8,
    patience_left: u8,
    /// The highest byte that was reported to have arrived.
    highest_sacked: Sequence,
}

impl<B: Buffer> Sender<B> {
    /// A sender whose first byte has this number.
    pub fn new(first: Sequence) -> Self {
        Self {
            una: first,
            nxt: first,
            queue: Queue::new(),
            queued: 0,
            cost: 0,
            cursor: (0, 0),
            sent: Queue::new(),
            sacked_bytes: 0,
            sacked_count: 0,
            lost_bytes: 0,
            lost_from: first,
            newest: None,
            newest_took: 0,
            reordering: false,
            patience: 1,
            patience_left: 0,
            highest_sacked: first,
        }
    }

    /// The oldest byte that was not acknowledged.
    pub fn una(&self) -> Sequence {
        self.una
    }

    /// The first byte that was not sent.
    pub fn nxt(&self) -> Sequence {
        self.nxt
    }

    /// Bytes of data from the oldest on.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes of memory that the data takes.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Bytes of data that were never sent.
    pub fn unsent(&self) -> usize {
        self.queued.saturating_sub(self.nxt.since(self.una))
    }

    /// The number behind all data: that of a FIN.
    pub fn end(&self) -> Sequence {
        self.una + self.queued
    }

    /// Bytes that are on their way, as far as is known.
    pub fn in_flight(&self) -> usize {
        self.nxt
            .since(self.una)
            .saturating_sub(self.sacked_bytes + self.lost_bytes)
    }

    /// Whether anything was sent and not acknowledged.
    pub fn is_waiting(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Whether something is to be sent again.
    pub fn has_lost(&self) -> bool {
        self.lost_bytes != 0
    }

    /// Segments that were sent and not acknowledged, those of them that have arrived out of order, that are lost, and
    /// that were sent again.
    pub fn counts(&self) -> [usize; 4] {
        let count = |suits: fn(&Sent) -> bool| self.sent.iter().filter(|sent| suits(sent)).count();
        [
            self.sent.len(),
            self.sacked_count,
            count(|sent| sent.lost),
            count(|sent| sent.again && !sent.lost && !sent.sacked),
        ]
    }

    /// Whether segments have arrived in another order than they were sent.
    pub fn saw_reordering(&self) -> bool {
        self.reordering
    }

    /// Adds data.
    pub fn push(&mut self, data: Slice<B>) {
        self.queued += data.len();
        // The last piece may be made anew, a little longer: where it begins stays.
        let (more, less) = buffer::append(&mut self.queue, data);
        self.cost = self.cost + more - less;
    }

    /// The data of a range, in pieces.
    pub fn gather(&mut self, start: Sequence, length: usize) -> Pieces<B> {
        let from = start.since(self.una);
        let (mut index, mut begin) = match self.cursor {
            cursor if cursor.1 <= from => cursor,
            _ => (0, 0),
        };
        let mut left = length;
        let mut pieces = Pieces::default();
        while left != 0
            && let Some(slice) = self.queue.get(index)
        {
            let skip = (from + length - left).saturating_sub(begin);
            if skip < slice.len() {
                let part = slice.part(skip, left);
                left -= part.len();
                pieces.push(part);
                self.cursor = (index, begin);
            }
            begin += slice.len();
            index += 1;
        }
        pieces
    }

    /// So many sequence numbers from [`Self::nxt`] on were sent, in segments of `size`.
    pub fn sent(&mut self, length: usize, size: usize, now: Instant) {
        let mut left = length;
        while left != 0 {
            let part = left.min(size.max(1));
            self.sent.push_back(Sent {
                start: self.nxt,
                length: part as u32,
                at: now,
                sacked: false,
                lost: false,
                again: false,
            });
            self.nxt = self.nxt + part;
            left -= part;
        }
    }

    /// The place of the segment that holds a byte.
    fn place(&self, byte: Sequence) -> usize {
        self.sent.partition_point(|sent| !sent.end().is_after(byte))
    }

    /// The next segment that is to be sent again: its start and length, at most `size`.
    pub fn next_lost(&mut self, size: usize) -> Option<(Sequence, usize)> {
        if self.lost_bytes == 0 {
            return None;
        }
        let from = self.place(self.lost_from);
        let index = from + self.sent.iter().skip(from).position(|sent| sent.lost)?;
        let first = self.sent.get_mut(index)?;
        self.lost_from = first.start;
        let (start, length) = (first.start, first.length());
        // The network takes less than when it was first sent; a FIN goes with the last byte.
        if length <= size + 1 {
            return Some((start, length));
        }
        let mut rest = *first;
        first.length = size as u32;
        rest.start = rest.start + size;
        rest.length -= size as u32;
        self.sent.insert(index + 1, rest);
        Some((start, size))
    }

    /// The last segment, to be sent once more as a probe.
    pub fn last(&self) -> Option<(Sequence, usize)> {
        self.sent.back().map(|sent| (sent.start, sent.length()))
    }

    /// A segment that begins there was sent again.
    pub fn sent_again(&mut self, start: Sequence, now: Instant) {
        let index = self.place(start);
        if let Some(sent) = self.sent.get_mut(index)
            && sent.start == start
        {
            if sent.lost {
                sent.lost = false;
                self.lost_bytes -= sent.length();
            }
            sent.again = true;
            sent.at = now;
        }
    }

    /// A segment has arrived.
    fn delivered(&mut self, sent: Sent, now: Instant, shortest: u64, delivered: &mut Delivered) {
        delivered.bytes += sent.length();
        let took = now.since(sent.at);
        if sent.again {
            delivered.again = true;
            // Too soon for the second sending: it was the first that arrived.
            if took < shortest {
                return;
            }
        } else {
            delivered.sent_once_at = delivered.sent_once_at.max(Some(sent.at));
            if sent.end().is_before(self.highest_sacked) {
                self.reordering = true;
            }
        }
        let new = (sent.at, sent.end());
        let later =
            |old: (Instant, Sequence)| new.0 > old.0 || new.0 == old.0 && new.1.is_after(old.1);
        if self.newest.is_none_or(later) {
            self.newest = Some(new);
            self.newest_took = took;
        }
        self.highest_sacked = self.highest_sacked.later(sent.end());
    }

    /// Everything before `ack` has arrived. `shortest` is the shortest round trip.
    pub fn acknowledge(
        &mut self,
        ack: Sequence,
        now: Instant,
        shortest: u64,
        delivered: &mut Delivered,
    ) {
        let bytes = ack.since(self.una);
        delivered.acknowledged += bytes;
        while let Some(front) = self.sent.front().copied() {
            if front.start.is_before(ack) && front.end().is_after(ack) {
                // A part of a segment: the rest stays.
                let part = ack.since(front.start) as u32;
                self.forget_bytes(&Sent {
                    length: part,
                    ..front
                });
                if !front.sacked {
                    delivered.bytes += part as usize;
                }
                if let Some(place) = self.sent.front_mut() {
                    place.start = ack;
                    place.length -= part;
                }
                break;
            }
            if !front.start.is_before(ack) {
                break;
            }
            self.sent.pop_front();
            self.forget_bytes(&front);
            if front.sacked {
                self.sacked_count -= 1;
            } else {
                self.delivered(front, now, shortest, delivered);
            }
        }
        self.una = ack;
        self.lost_from = self.lost_from.later(ack);
        self.drop_data(bytes.min(self.queued));
    }

    fn drop_data(&mut self, bytes: usize) {
        self.queued -= bytes;
        let (mut data, mut pieces) = (bytes, 0);
        while let Some(front) = self.queue.front_mut() {
            if data < front.len() {
                front.advance(data);
                break;
            }
            data -= front.len();
            self.cost -= front.cost();
            self.queue.pop_front();
            pieces += 1;
        }
        self.cursor = match self.cursor {
            (index, begin) if index >= pieces && begin >= bytes => (index - pieces, begin - bytes),
            _ => (0, 0),
        };
    }

    fn forget_bytes(&mut self, sent: &Sent) {
        if sent.sacked {
            self.sacked_bytes -= sent.length();
        }
        if sent.lost {
            self.lost_bytes -= sent.length();
        }
    }

    /// A range has arrived out of order. Ranges that can't be are passed over.
    pub fn selective(
        &mut self,
        (start, end): Block,
        now: Instant,
        shortest: u64,
        delivered: &mut Delivered,
    ) {
        if !start.is_before(end) || start.is_before(self.una) || end.is_after(self.nxt) {
            return;
        }
        let mut index = self.place(start);
        while let Some(sent) = self.sent.get_mut(index)
            && sent.start.is_before(end)
        {
            index += 1;
            if sent.sacked || sent.start.is_before(start) || sent.end().is_after(end) {
                continue;
            }
            if sent.lost {
                sent.lost = false;
                self.lost_bytes -= sent.length();
            }
            sent.sacked = true;
            self.sacked_bytes += sent.length();
            self.sacked_count += 1;
            let sent = *sent;
            self.delivered(sent, now, shortest, delivered);
        }
    }

    /// The peer says that it got something twice (RFC 2883): the network reorders more than was thought, so that there is
    /// more patience from now on.
    pub fn received_twice(&mut self) {
        self.reordering = true;
        self.patience = self.patience.saturating_add(1);
        self.patience_left = PATIENT_RECOVERIES;
    }

    /// A recovery has ended.
    pub fn recovered(&mut self) {
        self.patience_left = self.patience_left.saturating_sub(1);
        if self.patience_left == 0 {
            self.patience = 1;
        }
    }

    /// Decides by time what is lost: what was sent so long before something that has arrived (RFC 8985). `recovering`:
    /// something is known to be lost. Returns when to look again.
    pub fn detect_losses(
        &mut self,
        now: Instant,
        shortest: u64,
        smoothed: u64,
        recovering: bool,
    ) -> Option<Instant> {
        let (newest_at, newest_end) = self.newest?;
        let patience = if !self.reordering && (recovering || self.sacked_count >= 3) {
            0
        } else {
            (shortest / 4 * u64::from(self.patience)).min(smoothed)
        };
        // A machine has its own answers before its clock has moved. If no time were to pass, a segment that is refused
        // would be lost again as soon as it was sent again, without end.
        let took = match self.newest_took {
            0 => MILLISECOND,
            took => took,
        };
        let mut again = None;
        for sent in self.sent.iter_mut() {
            if sent.at > newest_at && !sent.again {
                // Nor was anything behind it sent earlier.
                break;
            }
            if sent.sacked || sent.lost {
                continue;
            }
            let before =
                sent.at < newest_at || sent.at == newest_at && sent.end().is_before(newest_end);
            if !before {
                continue;
            }
            let due = sent.at + took + patience;
            if due <= now {
                sent.lost = true;
                self.lost_bytes += sent.length();
                self.lost_from = self.lost_from.earlier(sent.start);
            } else {
                again = again.max(Some(due));
            }
        }
        again
    }

    /// Three acknowledgements of the same byte: what follows it is lost (RFC 5681), for peers that do not say more.
    pub fn lose_first(&mut self) {
        if let Some(first) = self.sent.front_mut()
            && !first.lost
            && !first.sacked
        {
            first.lost = true;
            self.lost_bytes += first.length();
            self.lost_from = self.una;
        }
    }

    fn lose_if(&mut self, suits: impl Fn(&Sent) -> bool) {
        for sent in self.sent.iter_mut() {
            if !sent.sacked && !sent.lost && suits(sent) {
                sent.lost = true;
                self.lost_bytes += sent.length();
            }
        }
        self.lost_from = self.una;
    }

    /// Nothing came back in time: all is lost that has not arrived.
    pub fn lose_all(&mut self) {
        self.lose_if(|_| true);
    }

    /// The network does not carry more than `size` bytes in a segment: longer ones were lost.
    pub fn lose_longer(&mut self, size: usize) {
        self.lose_if(|sent| sent.length() > size + 1);
    }

    /// Nothing was lost: what was to be sent again need not be.
    pub fn lose_none(&mut self) {
        for sent in self.sent.iter_mut() {
            sent.lost = false;
        }
        self.lost_bytes = 0;
    }

    /// Whether the peer has reported what it does not acknowledge now, although nothing before it is missing: it has thrown
    /// that away (RFC 2018, section 8).
    pub fn is_selective_withdrawn(&self) -> bool {
        self.sent.front().is_some_and(|first| first.sacked)
    }

    /// The peer may have thrown away what it reported out of order (RFC 2018, section 8).
    pub fn forget_selective(&mut self) {
        for sent in self.sent.iter_mut() {
            sent.sacked = false;
        }
        self.sacked_bytes = 0;
        self.sacked_count = 0;
    }

    /// Nothing will be sent any more.
    pub fn discard(&mut self) {
        self.queue = Queue::new();
        self.queued = 0;
        self.cost = 0;
        self.cursor = (0, 0);
        self.sent = Queue::new();
        self.sacked_bytes = 0;
        self.sacked_count = 0;
        self.lost_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn slice(bytes: &[u8]) -> Slice<Arc<[u8]>> {
        Slice::new(Arc::from(bytes))
    }

    fn bytes(pieces: &Pieces<Arc<[u8]>>) -> Vec<u8> {
        pieces.iter().flat_map(|piece| piece.to_vec()).collect()
    }

    #[test]
    fn any_range_is_found_whatever_was_asked_before() {
        let whole: Vec<u8> = (0..200_000_u32).map(|index| (index / 7) as u8).collect();
        let mut state = 7_usize;
        let mut random = |most: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % most
        };
        let mut sender = Sender::new(Sequence(u32::MAX - 1000));
        let (mut pushed, mut acknowledged) = (0, 0);
        for _ in 0..3000 {
            match random(3) {
                0 if pushed < whole.len() => {
                    let length = (1 + random(3000)).min(whole.len() - pushed);
                    sender.push(slice(&whole[pushed..pushed + length]));
                    pushed += length;
                }
                1 if pushed != acknowledged => {
                    let length = random(pushed - acknowledged + 1).min(2000);
                    let end = sender.una() + length;
                    let unsent = end.since(sender.nxt());
                    sender.sent(unsent, 1000, Instant(0));
                    sender.acknowledge(end, Instant(1), 1, &mut Delivered::default());
                    acknowledged += length;
                }
                _ => {
                    let from = random(pushed - acknowledged + 1);
                    let length = random(pushed - acknowledged - from + 1).min(3000);
                    let pieces = sender.gather(sender.una() + from, length);
                    let start = acknowledged + from;
                    assert!(bytes(&pieces) == whole[start..start + length]);
                }
            }
            assert_eq!(sender.queued(), pushed - acknowledged);
        }
    }

    #[test]
    fn single_bytes_share_buffers() {
        let mut sender = Sender::new(Sequence(0));
        for index in 0..10_000_u32 {
            sender.push(slice(&[index as u8]));
        }
        assert!(sender.queue.len() <= 10, "{}", sender.queue.len());
        assert!(sender.cost() <= 12_000, "{}", sender.cost());
        let expected: Vec<u8> = (0..10_000_u32).map(|index| index as u8).collect();
        assert!(bytes(&sender.gather(Sequence(0), 10_000)) == expected);
        sender.sent(10_000, 1000, Instant(0));
        sender.acknowledge(Sequence(10_000), Instant(1), 1, &mut Delivered::default());
        assert_eq!((sender.cost(), sender.queued()), (0, 0));
    }

    #[test]
    fn a_lost_segment_is_cut_where_the_network_has_become_narrow() {
        let mut sender = Sender::new(Sequence(0));
        sender.push(slice(&[0; 3000]));
        sender.sent(3000, 1500, Instant(0));
        sender.lose_longer(1000);
        let mut again = Vec::new();
        while let Some((start, length)) = sender.next_lost(1000) {
            sender.sent_again(start, Instant(1));
            again.push((start.0, length));
        }
        assert_eq!(again, [(0, 1000), (1000, 500), (1500, 1000), (2500, 500)]);
        assert_eq!(sender.in_flight(), 3000);
    }
}
