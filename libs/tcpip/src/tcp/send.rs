//! What a connection has to send: the data from the oldest byte that was not acknowledged, and what became of each
//! segment (RFC 2018, RFC 6675, RFC 8985).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Sequence;
use crate::buffer::{Buffer, Pieces, Slice};
use crate::time::Instant;
use crate::wire::tcp::Block;

/// A segment that was sent and not acknowledged.
#[derive(Clone, Copy, Debug)]
struct Sent {
    start: Sequence,
    /// Sequence numbers that it takes: its data, and one for a FIN.
    length: usize,
    at: Instant,
    /// It has arrived, out of order.
    sacked: bool,
    /// It is thought to be lost, and was not sent again since.
    lost: bool,
    again: bool,
}

impl Sent {
    fn end(&self) -> Sequence {
        self.start + self.length
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
}

/// The sending half.
#[derive(Debug)]
pub struct Sender<B> {
    /// The oldest byte that was not acknowledged.
    una: Sequence,
    /// The first that was not sent.
    nxt: Sequence,
    queue: VecDeque<Slice<B>>,
    queued: usize,
    sent: VecDeque<Sent>,
    sacked_bytes: usize,
    lost_bytes: usize,
    /// The segment that was sent last of those that have arrived, and how long that took.
    newest: Option<(Instant, Sequence)>,
    newest_took: u64,
    /// Segments have arrived after others that were sent later.
    reordering: bool,
    /// The highest byte that was reported to have arrived.
    highest_sacked: Sequence,
}

impl<B: Buffer> Sender<B> {
    /// A sender whose first byte has this number.
    pub fn new(first: Sequence) -> Self {
        Self {
            una: first,
            nxt: first,
            queue: VecDeque::new(),
            queued: 0,
            sent: VecDeque::new(),
            sacked_bytes: 0,
            lost_bytes: 0,
            newest: None,
            newest_took: 0,
            reordering: false,
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

    /// Segments that have arrived out of order.
    pub fn sacked_segments(&self) -> usize {
        self.sent.iter().filter(|sent| sent.sacked).count()
    }

    /// Adds data.
    pub fn push(&mut self, data: Slice<B>) {
        self.queued += data.len();
        self.queue.push_back(data);
    }

    /// The data of a range, in pieces.
    pub fn gather(&self, start: Sequence, length: usize) -> Pieces<B> {
        let mut skip = start.since(self.una);
        let mut left = length;
        let mut pieces = Pieces::default();
        for slice in &self.queue {
            if left == 0 {
                break;
            }
            if skip >= slice.len() {
                skip -= slice.len();
                continue;
            }
            let part = slice.part(skip, left);
            skip = 0;
            left -= part.len();
            pieces.push(part);
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
                length: part,
                at: now,
                sacked: false,
                lost: false,
                again: false,
            });
            self.nxt = self.nxt + part;
            left -= part;
        }
    }

    /// The next segment that is to be sent again: its start and length.
    pub fn next_lost(&self) -> Option<(Sequence, usize)> {
        if self.lost_bytes == 0 {
            return None;
        }
        let sent = self.sent.iter().find(|sent| sent.lost)?;
        Some((sent.start, sent.length))
    }

    /// The last segment, to be sent once more as a probe.
    pub fn last(&self) -> Option<(Sequence, usize)> {
        self.sent.back().map(|sent| (sent.start, sent.length))
    }

    /// A segment that begins there was sent again.
    pub fn sent_again(&mut self, start: Sequence, now: Instant) {
        if let Some(sent) = self.sent.iter_mut().find(|sent| sent.start == start) {
            if sent.lost {
                sent.lost = false;
                self.lost_bytes -= sent.length;
            }
            sent.again = true;
            sent.at = now;
        }
    }

    /// A segment has arrived.
    fn delivered(&mut self, sent: Sent, now: Instant, shortest: u64, delivered: &mut Delivered) {
        delivered.bytes += sent.length;
        let took = now.since(sent.at);
        if sent.again {
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
                let part = ack.since(front.start);
                let rest = Sent {
                    start: ack,
                    length: front.length - part,
                    ..front
                };
                self.forget_counts(&Sent {
                    length: part,
                    ..front
                });
                if !front.sacked {
                    delivered.bytes += part;
                }
                if let Some(place) = self.sent.front_mut() {
                    *place = rest;
                }
                break;
            }
            if !front.start.is_before(ack) {
                break;
            }
            self.sent.pop_front();
            self.forget_counts(&front);
            if !front.sacked {
                self.delivered(front, now, shortest, delivered);
            }
        }
        self.una = ack;
        let mut data = bytes.min(self.queued);
        self.queued -= data;
        while let Some(front) = self.queue.front_mut() {
            if data < front.len() {
                front.advance(data);
                break;
            }
            data -= front.len();
            self.queue.pop_front();
        }
    }

    fn forget_counts(&mut self, sent: &Sent) {
        if sent.sacked {
            self.sacked_bytes -= sent.length;
        }
        if sent.lost {
            self.lost_bytes -= sent.length;
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
        let mut arrived: Vec<Sent> = Vec::new();
        for sent in &mut self.sent {
            if !sent.start.is_before(end) {
                break;
            }
            if sent.sacked || sent.start.is_before(start) || sent.end().is_after(end) {
                continue;
            }
            if sent.lost {
                sent.lost = false;
                self.lost_bytes -= sent.length;
            }
            sent.sacked = true;
            self.sacked_bytes += sent.length;
            arrived.push(*sent);
        }
        for sent in arrived {
            self.delivered(sent, now, shortest, delivered);
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
        let patience = if !self.reordering && (recovering || self.sacked_segments() >= 3) {
            0
        } else {
            (shortest / 4).min(smoothed)
        };
        let mut again = None;
        for sent in &mut self.sent {
            if sent.sacked || sent.lost {
                continue;
            }
            let before =
                sent.at < newest_at || sent.at == newest_at && sent.end().is_before(newest_end);
            if !before {
                continue;
            }
            let due = sent.at + self.newest_took + patience;
            if due <= now {
                sent.lost = true;
                self.lost_bytes += sent.length;
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
            self.lost_bytes += first.length;
        }
    }

    /// Nothing came back in time: all is lost that has not arrived.
    pub fn lose_all(&mut self) {
        for sent in &mut self.sent {
            if !sent.sacked && !sent.lost {
                sent.lost = true;
                self.lost_bytes += sent.length;
            }
        }
    }

    /// The peer may have thrown away what it reported out of order (RFC 2018, section 8).
    pub fn forget_selective(&mut self) {
        for sent in &mut self.sent {
            sent.sacked = false;
        }
        self.sacked_bytes = 0;
    }

    /// Nothing will be sent any more.
    pub fn discard(&mut self) {
        self.queue.clear();
        self.queued = 0;
        self.sent.clear();
        self.sacked_bytes = 0;
        self.lost_bytes = 0;
    }
}
