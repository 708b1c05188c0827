//! A peer's request for a connection until it is one: little is kept of it, so that many may wait (RFC 9293, section
//! 3.10.7.4, for the state SYN-RECEIVED; RFC 5961; `TCP_DEFER_ACCEPT` of tcp(7)).

use super::{Options, Path, Sequence, stamp_of, window_shift};
use crate::time::{Instant, MILLISECOND, SECOND};
use crate::wire::tcp::{Header, flag};

/// The answer is sent again so often (`net.ipv4.tcp_synack_retries`).
const RETRIES: u8 = 5;
/// The first time after so long, then after twice as long each time.
const PATIENCE: u64 = SECOND;
/// Segments that do not fit are answered no more often than this (`net.ipv4.tcp_invalid_ratelimit`).
const ANSWER_INTERVAL: u64 = 500 * MILLISECOND;

/// What a listener offers to who asks.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Most data of a segment to it.
    pub segment: u16,
    /// The first window, and by how many bits later ones are shifted.
    pub window: u16,
    /// See [`Self::window`].
    pub shift: u8,
    /// Answers that are sent again until data has to be there (`TCP_DEFER_ACCEPT`).
    pub deferred: u8,
}

impl Offer {
    /// What follows from the way to the peer and from what the program has chosen.
    pub fn new(path: Path, options: &Options) -> Self {
        Self {
            segment: options.offered_segment(path).min(0xffff) as u16,
            window: options.offered_window().min(0xffff) as u16,
            shift: window_shift(options.receive_capacity),
            deferred: options.defer_accept,
        }
    }
}

/// What the peer has asked for, and what it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The peer's first number, and the own one.
    pub theirs: Sequence,
    /// See [`Self::theirs`].
    pub ours: Sequence,
    /// Most data of a segment to the peer; `None` if it does not say.
    pub segment: Option<u16>,
    /// By how many bits the peer shifts windows, if it does.
    pub shift: Option<u8>,
    /// It takes selective acknowledgements.
    pub sack: bool,
    /// What is added to the clock for timestamps, and the peer's last one, if they are used.
    pub timestamps: Option<(u32, u32)>,
    /// What is taken off the clock in the answer: a cookie needs these bits.
    clock_back: u32,
    /// The window of the SYN.
    pub window: u16,
    /// When it came.
    pub since: Instant,
    /// When the answer is sent again.
    deadline: Instant,
    answered_at: Option<Instant>,
    retries: u8,
    /// The peer has acknowledged the answer, but was not let in.
    acknowledged: bool,
}

/// What is to be done about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Ignore,
    /// The answer is to be sent (again).
    Answer,
    /// The peer is to be set right.
    Acknowledge,
    /// The segment is answered with a reset; the request stays.
    Refuse,
    /// The request is over; if told so, with a reset.
    End {
        /// A reset goes to the peer.
        reset: bool,
    },
    /// A connection is to be made, which then takes the segment.
    Establish,
}

impl Request {
    /// A peer asks with `syn`. `ours` is the first sequence number and `stamp` what is added to the clock for timestamps:
    /// both must be hard to guess.
    pub fn new(syn: &Header, (ours, stamp): (Sequence, u32), now: Instant) -> Self {
        Self {
            theirs: syn.sequence,
            ours,
            segment: syn.maximum_segment,
            shift: syn.window_scale,
            sack: syn.sack_permitted,
            timestamps: syn.timestamps.map(|(value, _)| (stamp, value)),
            clock_back: 0,
            window: syn.window,
            since: now,
            deadline: now + PATIENCE,
            answered_at: None,
            retries: 0,
            acknowledged: false,
        }
    }

    /// The clock of timestamps goes behind by so many milliseconds in the answer.
    pub(super) fn set_clock_back(&mut self, milliseconds: u32) {
        self.clock_back = milliseconds;
    }

    /// The SYN-ACK, from `local` port to `remote` port.
    pub fn answer(&self, (local, remote): (u16, u16), offer: Offer, now: Instant) -> Header {
        Header {
            source: local,
            destination: remote,
            sequence: self.ours,
            flags: flag::SYN | flag::ACK,
            window: offer.window,
            maximum_segment: Some(offer.segment),
            window_scale: self.shift.map(|_| offer.shift),
            sack_permitted: self.sack,
            ..self.plain(now)
        }
    }

    /// An acknowledgement that tells the peer how things are.
    pub fn acknowledgement(
        &self,
        (local, remote): (u16, u16),
        offer: Offer,
        now: Instant,
    ) -> Header {
        Header {
            source: local,
            destination: remote,
            sequence: self.ours + 1,
            flags: flag::ACK,
            window: offer.window >> self.shift.map_or(0, |_| offer.shift),
            ..self.plain(now)
        }
    }

    fn plain(&self, now: Instant) -> Header {
        Header {
            acknowledgement: self.theirs + 1,
            timestamps: self.timestamps.map(|(offset, recent)| {
                let stamp = stamp_of(offset, now).wrapping_sub(self.clock_back);
                (stamp, recent)
            }),
            ..Header::default()
        }
    }

    /// A segment with `length` bytes of data has come.
    pub fn receive(&mut self, header: &Header, length: usize, offer: Offer, now: Instant) -> Step {
        let old = match (self.timestamps, header.timestamps) {
            (Some((_, recent)), Some((value, _))) => (value.wrapping_sub(recent) as i32) < 0,
            _ => false,
        };
        let kind = header.flags & (flag::SYN | flag::ACK | flag::RST);
        if kind == flag::SYN && header.sequence == self.theirs && !old {
            // The peer has not got the answer.
            return self.limited(Step::Answer, now);
        }
        if kind & (flag::ACK | flag::RST) == flag::ACK && header.acknowledgement != self.ours + 1 {
            return Step::Refuse;
        }
        let next = self.theirs + 1;
        let fin = usize::from(header.has(flag::FIN));
        let window = usize::from(offer.window);
        let inside = !(header.sequence + length + fin).is_before(next)
            && !header.sequence.is_after(next + window);
        if old || !inside {
            return match header.has(flag::RST) {
                true => Step::Ignore,
                false => self.limited(Step::Acknowledge, now),
            };
        }
        if header.has(flag::RST) {
            // Only the exact number is believed (RFC 5961, section 3).
            return match header.sequence == next {
                true => Step::End { reset: false },
                false => self.limited(Step::Acknowledge, now),
            };
        }
        if header.has(flag::SYN) && header.sequence != self.theirs {
            return Step::End { reset: true };
        }
        if !header.has(flag::ACK) {
            return Step::Ignore;
        }
        if self.retries < offer.deferred && length + fin == 0 && header.sequence == next {
            self.acknowledged = true;
            return Step::Ignore;
        }
        Step::Establish
    }

    /// There is no room for the connection: the peer has to acknowledge again, and is asked to in time.
    pub fn put_off(&mut self) {
        self.acknowledged = true;
    }

    fn limited(&mut self, step: Step, now: Instant) -> Step {
        if self
            .answered_at
            .is_some_and(|at| now.since(at) < ANSWER_INTERVAL)
        {
            return Step::Ignore;
        }
        self.answered_at = Some(now);
        step
    }

    /// When [`Self::expire`] is to be called.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How often the answer was sent again.
    pub fn retries(&self) -> u8 {
        self.retries
    }

    /// Time has passed.
    pub fn expire(&mut self, offer: Offer, now: Instant) -> Step {
        if now < self.deadline {
            return Step::Ignore;
        }
        let deferring = self.acknowledged && self.retries < offer.deferred;
        if self.retries >= RETRIES && !deferring {
            return Step::End { reset: false };
        }
        let waits = deferring && self.retries + 1 < offer.deferred;
        self.retries += 1;
        self.deadline = now + (PATIENCE << self.retries.min(16)).min(120 * SECOND);
        if waits { Step::Ignore } else { Step::Answer }
    }
}
