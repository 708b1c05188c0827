//! A connection: its states, and what its two halves do when segments arrive, when time passes and when the program
//! calls (RFC 9293, with RFC 5961, RFC 7323 and RFC 8985).
//!
//! * `input`: what arrives;
//! * `recovery`: losses, and what is done about them;
//! * `output`: what is sent;
//! * `timers`: what time does;
//! * `program`: what the program asks for;
//! * `information`: what a connection tells of itself.

mod information;
mod input;
mod output;
mod program;
mod recovery;
mod timers;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::congestion::Congestion;
use super::options::{Options, Path, SMALLEST_DEFAULT, SMALLEST_SEGMENT};
use super::receive::{Accepted, Receiver};
use super::request::Request;
use super::round_trip::RoundTrip;
use super::send::{Delivered, Sender};
use super::time_wait::{self, TimeWait};
use super::urgent::{Urgent, UrgentMark};
use super::{Segment, Sequence, stamp_of, window_shift};
use crate::buffer::{Buffer, Pieces, Slice};
use crate::time::{Instant, MILLISECOND, SECOND};
use crate::wire::tcp::{Block, Header, flag};

pub use information::{Information, Trouble};
use recovery::Undo;
use timers::Timers;

/// An acknowledgement waits at most so long for data to travel with.
const DELAYED_ACKNOWLEDGEMENT: u64 = 40 * MILLISECOND;
/// So many segments at the start are acknowledged at once, so that the peer learns the path quickly.
const QUICK_ACKNOWLEDGEMENTS: u32 = 16;
/// Data is sent again so often before the connection is given up (`net.ipv4.tcp_retries2`).
const RETRIES: u32 = 15;
/// The same without a program (`tcp_orphan_retries`).
const ORPHAN_RETRIES: u32 = 8;
/// Segments that are answered only to set the peer right are answered no more often than this (RFC 5961, section 7).
const CHALLENGE_INTERVAL: u64 = 500 * MILLISECOND;
/// A timestamp this old says nothing any more (RFC 7323, section 5.5).
const OLD_TIMESTAMP: u64 = 24 * 24 * 3600 * SECOND;
/// What is held back is sent after this time (`TCP_CORK` of tcp(7)).
const CORKED: u64 = 200 * MILLISECOND;
/// Buffers that grow by themselves grow to this (`net.ipv4.tcp_rmem`, `tcp_wmem`).
pub const LARGEST_RECEIVE: usize = 6 * 1024 * 1024;
const LARGEST_SEND: usize = 4 * 1024 * 1024;
/// What may wait in either direction when the machine is short of memory.
const SCARCE: usize = 16 * 1024;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It asks the peer.
    SynSent,
    /// Both have asked, and the peer was answered.
    SynReceived,
    /// Data goes both ways.
    Established,
    /// This side has ended, and the peer does not know yet.
    FinWait1,
    /// The peer knows.
    FinWait2,
    /// The peer has ended.
    CloseWait,
    /// Both have ended at once.
    Closing,
    /// Both have ended, the peer first.
    LastAck,
    /// It is over, and late segments may still come.
    TimeWait,
    /// It is over.
    Closed,
}

/// Why a connection ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nobody listens there.
    Refused,
    /// The peer has reset it.
    Reset,
    /// The peer has reset it after it had ended its own direction in order.
    Broken,
    /// Nothing came back.
    TimedOut,
    /// The network says that it can't get there.
    Unreachable,
    /// There is no way to the peer's network.
    NoNetwork,
    /// The peer does not know TCP.
    NoProtocol,
    /// Somebody on the way does not allow it.
    Forbidden,
}

/// What a program can do without waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// There is data, or its end.
    pub readable: bool,
    /// There is room.
    pub writable: bool,
    /// The peer will send no more.
    pub peer_ended: bool,
    /// Both directions have ended.
    pub ended: bool,
    /// Something went wrong.
    pub failed: bool,
    /// There is an urgent byte.
    pub urgent: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Connection<B> {
    state: State,
    local: SocketAddr,
    remote: SocketAddr,
    options: Options,
    sender: Sender<B>,
    receiver: Receiver<B>,
    congestion: Congestion,
    round_trip: RoundTrip,
    timers: Timers,
    /// Most data of a segment to the peer, without options.
    segment: usize,
    /// What the peer is told.
    own_segment: usize,
    /// What the peer would take.
    window: usize,
    largest_window: usize,
    /// Which segment told the window last.
    window_from: Option<(Sequence, Sequence)>,
    send_shift: u8,
    receive_shift: Option<u8>,
    sack: bool,
    /// Timestamps are used: what is added to the clock, and what the peer sent last, and when.
    timestamps: Option<u32>,
    recent: u32,
    recent_at: Instant,
    /// Something was lost: what was sent when that was found.
    recovery: Option<Sequence>,
    trouble: Trouble,
    /// What to go back to, should the loss have been none.
    undo: Option<Box<Undo>>,
    /// The end of a probe of the tail that was sent, and whether it was sent before.
    probe: Option<(Sequence, bool)>,
    same_acknowledgements: u32,
    retries: u32,
    keep_alive_sent: u32,
    /// How often the closed window was asked for, and how often without an answer.
    persist_sent: u32,
    persist_unanswered: u32,
    /// When data was first sent without being acknowledged since.
    unanswered_since: Option<Instant>,
    last_heard: Instant,
    last_sent: Instant,
    last_challenge: Option<Instant>,
    quick: u32,
    /// The largest segment that has come: two of them are acknowledged at once.
    largest_received: usize,
    /// Data came that was not acknowledged yet, and must be now.
    acknowledge_now: bool,
    unacknowledged: usize,
    /// How the buffers grow.
    tuning: Tuning,
    /// The machine is short of memory.
    scarce: bool,
    urgent: UrgentMark,
    /// The end of urgent data that is sent.
    urgent_end: Option<Sequence>,
    counters: Counters,
    /// What is held back goes out once.
    push: bool,
    /// More data will follow at once (`MSG_MORE`).
    more: bool,
    /// The end of the last segment that was not full.
    small_end: Sequence,
    /// The program has no more to send; the FIN was sent.
    shut: bool,
    fin_sent: bool,
    /// The program takes no more data.
    refuses: bool,
    /// The peer has no more to send.
    peer_fin: bool,
    /// Where the peer's FIN is, if data before it is missing.
    early_fin: Option<Sequence>,
    /// Nobody will read any more.
    orphaned: bool,
    ending: Option<Ending>,
    /// What the network has said since something arrived: the reason, should nothing arrive any more.
    suspicion: Option<Ending>,
    /// A reset is to be sent with this number.
    reset: Option<Sequence>,
}

/// What is measured to let the receive buffer grow with what the program takes.
#[derive(Clone, Copy, Debug, Default)]
struct Tuning {
    /// Bytes that were taken since then.
    taken: usize,
    since: Instant,
    /// The most that was taken in a round trip.
    space: usize,
    /// The shortest round trip of the peer's data, in nanoseconds; 0 if unknown.
    round_trip: u64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    segments_in: u32,
    segments_out: u32,
    data_segments_in: u32,
    data_segments_out: u32,
    sent_again: u32,
    bytes_sent: u64,
    bytes_again: u64,
    bytes_acknowledged: u64,
    bytes_received: u64,
    received_twice: u32,
    peer_received_twice: u32,
    out_of_order: u32,
    last_data_sent: Instant,
    last_data_received: Instant,
}

impl<B: Buffer> Connection<B> {
    fn new(
        (local, remote): (SocketAddr, SocketAddr),
        state: State,
        first: Sequence,
        path: Path,
        options: Options,
        now: Instant,
    ) -> Self {
        let mut sender = Sender::new(first);
        // The SYN takes a number.
        sender.sent(1, 1, now);
        Self {
            state,
            local,
            remote,
            sender,
            receiver: Receiver::new(Sequence(0), options.receive_capacity),
            congestion: Congestion::new(options.algorithm, path.segment),
            round_trip: RoundTrip::default(),
            timers: Timers::default(),
            segment: path.segment.min(SMALLEST_DEFAULT),
            own_segment: options.offered_segment(path),
            window: 0,
            largest_window: 0,
            window_from: None,
            send_shift: 0,
            receive_shift: Some(window_shift(options.receive_capacity)),
            sack: true,
            timestamps: None,
            recent: 0,
            recent_at: now,
            recovery: None,
            trouble: Trouble::None,
            undo: None,
            probe: None,
            same_acknowledgements: 0,
            retries: 0,
            keep_alive_sent: 0,
            persist_sent: 0,
            persist_unanswered: 0,
            unanswered_since: Some(now),
            last_heard: now,
            last_sent: now,
            last_challenge: None,
            quick: QUICK_ACKNOWLEDGEMENTS,
            largest_received: SMALLEST_DEFAULT,
            acknowledge_now: false,
            unacknowledged: 0,
            tuning: Tuning {
                since: now,
                space: options.receive_capacity / 2,
                ..Tuning::default()
            },
            scarce: false,
            urgent: UrgentMark::default(),
            urgent_end: None,
            counters: Counters {
                last_data_sent: now,
                last_data_received: now,
                ..Counters::default()
            },
            push: false,
            more: false,
            small_end: first,
            shut: false,
            refuses: false,
            fin_sent: false,
            peer_fin: false,
            early_fin: None,
            orphaned: false,
            ending: None,
            suspicion: None,
            reset: None,
            options,
        }
    }

    /// Asks a peer for a connection. The next [`Self::transmit`] sends the SYN. `first` is the initial sequence
    /// number, `stamp` what is added to the clock for timestamps: both must be hard to guess.
    pub fn connect(
        addresses: (SocketAddr, SocketAddr),
        (first, stamp): (Sequence, u32),
        path: Path,
        options: Options,
        now: Instant,
    ) -> Self {
        let mut connection = Self::new(addresses, State::SynSent, first, path, options, now);
        connection.timestamps = Some(stamp);
        connection.sender.lose_all();
        connection
    }

    /// The peer has acknowledged the answer to its request: the connection takes the segment that did so next.
    pub fn accept(
        addresses: (SocketAddr, SocketAddr),
        request: &Request,
        path: Path,
        options: Options,
        now: Instant,
    ) -> Self {
        let mut connection = Self::new(
            addresses,
            State::SynReceived,
            request.ours,
            path,
            options,
            now,
        );
        connection.timestamps = request.timestamps.map(|(stamp, _)| stamp);
        let syn = Header {
            sequence: request.theirs,
            window: request.window,
            maximum_segment: request.segment,
            window_scale: request.shift,
            sack_permitted: request.sack,
            timestamps: request.timestamps.map(|(_, value)| (value, 0)),
            ..Header::default()
        };
        connection.agree(&syn, now);
        let offered = options.offered_window().min(0xffff);
        connection.receiver.tell(offered);
        // The SYN was sent when the request came. If it had to be sent again, nothing is to be learnt of its time.
        connection.sender = Sender::new(request.ours);
        connection.sender.sent(1, 1, request.since);
        if request.retries() != 0 {
            connection.sender.sent_again(request.ours, now);
        }
        connection
    }

    /// Takes what the peer's SYN says.
    fn agree(&mut self, syn: &Header, now: Instant) {
        self.receiver = Receiver::new(syn.sequence + 1, self.options.receive_capacity);
        match syn.window_scale {
            Some(shift) if self.receive_shift.is_some() => self.send_shift = shift,
            _ => self.receive_shift = None,
        }
        self.sack &= syn.sack_permitted;
        match syn.timestamps {
            Some((value, _)) if self.timestamps.is_some() => {
                self.recent = value;
                self.recent_at = now;
            }
            _ => self.timestamps = None,
        }
        let theirs = syn.maximum_segment.map_or(SMALLEST_DEFAULT, usize::from);
        let segment = theirs.max(SMALLEST_SEGMENT).min(self.own_segment);
        self.segment = segment - if self.timestamps.is_some() { 12 } else { 0 };
        self.congestion = Congestion::new(self.options.algorithm, self.segment);
        // A window in a SYN is not scaled.
        self.window = syn.window.into();
        self.largest_window = self.window;
        self.window_from = Some((syn.sequence, syn.acknowledgement));
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        self.state
    }

    /// Its own address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The peer's.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Why it ended before its time.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// As [`Self::ending`]; the next call gives none.
    pub fn take_ending(&mut self) -> Option<Ending> {
        self.ending.take()
    }

    /// Data of a full segment.
    pub fn segment_size(&self) -> usize {
        self.segment
    }

    /// Bytes of memory that its data takes.
    pub fn memory(&self) -> usize {
        self.sender.cost() + self.receiver.cost()
    }

    /// Whether its program is gone.
    pub fn is_orphaned(&self) -> bool {
        self.orphaned
    }

    /// The machine is short of memory, or is not any more. What waits behind a gap is thrown away then.
    pub fn set_scarce(&mut self, scarce: bool) {
        self.scarce = scarce;
        if scarce && self.receiver.has_gap() {
            self.receiver.prune();
        }
    }

    fn stamp(&self, now: Instant) -> u32 {
        stamp_of(self.timestamps.unwrap_or(0), now)
    }

    fn end(&mut self, ending: Option<Ending>) {
        self.state = State::Closed;
        let ending = match ending {
            Some(Ending::TimedOut) => self.suspicion.or(ending),
            _ => ending,
        };
        self.ending = self.ending.or(ending);
        self.timers = Timers::default();
        self.undo = None;
        self.sender.discard();
    }

    /// Whether nothing keeps it any more, once the program is gone.
    pub fn is_over(&self) -> bool {
        self.state == State::Closed && self.reset.is_none()
    }

    /// Late segments are somebody else's from now on: what is left is data for the program.
    pub fn detach(&mut self) {
        self.end(None);
    }

    /// What is left to do for a connection whose program is gone, if that is little enough for a record.
    pub fn remains(&self, now: Instant) -> Option<TimeWait> {
        let ended = self.state == State::TimeWait;
        let waits = self.state == State::FinWait2 && self.orphaned;
        if !(ended || waits) || self.reset.is_some() {
            return None;
        }
        Some(TimeWait {
            next: self.receiver.next(),
            own: self.sender.nxt(),
            window: self.receiver.told_window() as u32,
            shift: self.receive_shift.unwrap_or(0),
            ended,
            stamp: self.timestamps,
            recent: self.recent,
            recent_at: self.recent_at,
            answered_at: None,
            until: self.timers.end().unwrap_or(now + time_wait::LENGTH),
        })
    }
}
