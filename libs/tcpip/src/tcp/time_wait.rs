//! What is left of a connection that this side has ended first: a little record, so that late segments are understood
//! (RFC 9293, section 3.6.1; RFC 6191). Also of one that waits for the peer's end, when the program is gone.

use super::{Sequence, stamp_of};
use crate::time::{Instant, MILLISECOND, SECOND};
use crate::wire::tcp::{Header, flag};

/// How long the pair of addresses stays reserved, as on Linux.
pub const LENGTH: u64 = 60 * SECOND;
/// Segments that do not fit are answered no more often than this.
const ANSWER_INTERVAL: u64 = 500 * MILLISECOND;
/// The first number of a connection that takes the place is so far ahead of the last one's.
const AHEAD: usize = 65_535 + 2;

/// The record.
#[derive(Clone, Copy, Debug)]
pub struct TimeWait {
    /// The next number of the peer, and the own one.
    pub(super) next: Sequence,
    pub(super) own: Sequence,
    /// The window that was told, in bytes, and by how many bits it is shifted.
    pub(super) window: u32,
    pub(super) shift: u8,
    /// The peer's FIN has come.
    pub(super) ended: bool,
    /// What is added to the clock for timestamps, if they are used.
    pub(super) stamp: Option<u32>,
    pub(super) recent: u32,
    pub(super) recent_at: Instant,
    pub(super) answered_at: Option<Instant>,
    pub(super) until: Instant,
}

/// What is to be done about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Nothing.
    Ignore,
    /// It is answered with [`TimeWait::acknowledgement`].
    Acknowledge,
    /// The record is over; if told so, with a reset.
    End {
        /// A reset goes to the peer.
        reset: bool,
    },
    /// It asks for a new connection, which takes the place: its first number should be this.
    Reopen(Sequence),
}

impl TimeWait {
    /// When it is over.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// An outgoing connection may take the place: by its timestamps the peer can tell late segments from new ones
    /// (`net.ipv4.tcp_tw_reuse`). Returns the first number for it.
    pub fn may_be_reused(&self, now: Instant) -> Option<Sequence> {
        let safe = self.stamp.is_some() && self.ended && now.since(self.recent_at) >= SECOND;
        safe.then_some(self.own + AHEAD)
    }

    /// An acknowledgement that tells the peer how things are.
    pub fn acknowledgement(&self, (local, remote): (u16, u16), now: Instant) -> Header {
        Header {
            source: local,
            destination: remote,
            sequence: self.own,
            acknowledgement: self.next,
            flags: flag::ACK,
            window: (self.window >> self.shift).min(0xffff) as u16,
            timestamps: self
                .stamp
                .map(|offset| (stamp_of(offset, now), self.recent)),
            ..Header::default()
        }
    }

    /// A segment with `length` bytes of data has come.
    pub fn receive(&mut self, header: &Header, length: usize, now: Instant) -> Late {
        let newer = match (self.stamp, header.timestamps) {
            (Some(_), Some((value, _))) => Some(value.wrapping_sub(self.recent) as i32),
            _ => None,
        };
        let old = newer.is_some_and(|by| by < 0) && !header.has(flag::RST);
        let numbers =
            length + usize::from(header.has(flag::SYN)) + usize::from(header.has(flag::FIN));
        if self.ended {
            self.receive_late(header, numbers, newer, old, now)
        } else {
            self.receive_open(header, length, numbers, old, now)
        }
    }

    fn answer(&mut self, now: Instant) -> Late {
        if self
            .answered_at
            .is_some_and(|at| now.since(at) < ANSWER_INTERVAL)
        {
            return Late::Ignore;
        }
        self.answered_at = Some(now);
        Late::Acknowledge
    }

    fn take_stamp(&mut self, header: &Header, now: Instant) {
        if let (Some(_), Some((value, _))) = (self.stamp, header.timestamps) {
            self.recent = value;
            self.recent_at = now;
        }
    }

    /// The peer has not ended yet, and the program is gone: only its FIN is of use.
    fn receive_open(
        &mut self,
        header: &Header,
        length: usize,
        numbers: usize,
        old: bool,
        now: Instant,
    ) -> Late {
        let end = header.sequence + numbers;
        let inside = !header.sequence.is_after(self.next + self.window as usize)
            && !end.is_before(self.next);
        if old || !inside {
            return match header.has(flag::RST) {
                true => Late::Ignore,
                false => self.answer(now),
            };
        }
        if header.has(flag::RST) {
            return match header.sequence == self.next {
                true => Late::End { reset: false },
                false => self.answer(now),
            };
        }
        if header.has(flag::SYN) && !header.sequence.is_before(self.next) {
            return Late::End { reset: true };
        }
        if !header.has(flag::ACK) || !end.is_after(self.next) {
            return Late::Ignore;
        }
        if length != 0 && (header.sequence + length).is_after(self.next)
            || !header.has(flag::FIN)
            || end != self.next + 1
        {
            // Nobody will ever read this.
            return Late::End { reset: true };
        }
        self.next = end;
        self.ended = true;
        self.until = now + LENGTH;
        self.take_stamp(header, now);
        Late::Acknowledge
    }

    fn receive_late(
        &mut self,
        header: &Header,
        numbers: usize,
        newer: Option<i32>,
        old: bool,
        now: Instant,
    ) -> Late {
        if !old && header.sequence == self.next && (numbers == 0 || header.has(flag::RST)) {
            if header.has(flag::RST) {
                return Late::End { reset: false };
            }
            self.until = now + LENGTH;
            self.take_stamp(header, now);
            return Late::Ignore;
        }
        let kind = header.flags & (flag::SYN | flag::ACK | flag::RST);
        let fresh = header.sequence.is_after(self.next) || newer.is_some_and(|by| by > 0);
        if kind == flag::SYN && !old && fresh {
            return Late::Reopen(self.own + AHEAD);
        }
        if header.has(flag::RST) {
            return Late::Ignore;
        }
        if old || header.has(flag::ACK) {
            self.until = now + LENGTH;
        }
        // A repeated FIN has to be answered: the peer waits for that.
        if header.has(flag::FIN) {
            return Late::Acknowledge;
        }
        self.answer(now)
    }
}
