//! A connection: its states, and what its two halves do when segments arrive, when time passes and when the program
//! calls (RFC 9293, with RFC 5961, RFC 7323 and RFC 8985).

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::congestion::{Algorithm, Congestion};
use super::receive::{Accepted, Receiver};
use super::round_trip::RoundTrip;
use super::send::{Delivered, Sender};
use super::{Segment, Sequence};
use crate::buffer::{Buffer, Pieces, Slice};
use crate::time::{Instant, MILLISECOND, SECOND};
use crate::wire::tcp::{Header, flag};

/// An acknowledgement waits at most so long for data to travel with.
const DELAYED_ACKNOWLEDGEMENT: u64 = 40 * MILLISECOND;
/// So many segments at the start are acknowledged at once, so that the peer learns the path quickly.
const QUICK_ACKNOWLEDGEMENTS: u32 = 16;
/// How long the address pair of a connection stays reserved, as on Linux.
const TIME_WAIT: u64 = 60 * SECOND;
/// Data is sent again so often before the connection is given up (`net.ipv4.tcp_retries2`).
const RETRIES: u32 = 15;
/// The start of a connection (`tcp_syn_retries`, `tcp_synack_retries`).
const SYN_RETRIES: u32 = 6;
/// Segments that are answered only to set the peer right are answered no more often than this (RFC 5961, section 7).
const CHALLENGE_INTERVAL: u64 = 500 * MILLISECOND;
/// A timestamp this old says nothing any more (RFC 7323, section 5.5).
const OLD_TIMESTAMP: u64 = 24 * 24 * 3600 * SECOND;
/// Data for a segment where the peer does not say (RFC 9293, section 3.7.1).
const SMALLEST_DEFAULT: usize = 536;
/// No peer gets away with less, or every byte would cost a packet.
const SMALLEST_SEGMENT: usize = 88;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It asks the peer.
    SynSent,
    /// The peer asked, and was answered.
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
    /// Nothing came back.
    TimedOut,
    /// The network says that it can't get there.
    Unreachable,
}

/// What the program has chosen.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Small segments are sent at once (`TCP_NODELAY`).
    pub no_delay: bool,
    /// Small segments wait for more (`TCP_CORK`).
    pub cork: bool,
    /// Bytes that may wait to be sent (`SO_SNDBUF`).
    pub send_capacity: usize,
    /// Bytes that may wait to be received (`SO_RCVBUF`).
    pub receive_capacity: usize,
    /// Idle time before the peer is asked whether it is there, time between questions, and how many
    /// (`SO_KEEPALIVE`).
    pub keep_alive: Option<(u64, u64, u32)>,
    /// How long data may go without acknowledgement (`TCP_USER_TIMEOUT`); 0 for the usual number of retries.
    pub user_timeout: u64,
    /// How the window grows.
    pub algorithm: Algorithm,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            no_delay: false,
            cork: false,
            send_capacity: 256 * 1024,
            receive_capacity: 128 * 1024,
            keep_alive: None,
            user_timeout: 0,
            algorithm: Algorithm::Cubic,
        }
    }
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
}

/// What the network in between allows.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Bytes of data for a segment without options.
    pub segment: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Timers {
    /// A segment is overdue, or (`is_probe`) the last one is to be sent once more.
    retransmission: Option<Instant>,
    is_probe: bool,
    /// Losses are to be looked for again.
    reordering: Option<Instant>,
    /// The peer's window is closed: ask whether it still is.
    persist: Option<Instant>,
    acknowledgement: Option<Instant>,
    keep_alive: Option<Instant>,
    /// The state ends by itself.
    end: Option<Instant>,
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
    window_from: (Sequence, Sequence),
    send_shift: u8,
    receive_shift: Option<u8>,
    sack: bool,
    /// Timestamps are used: what is added to the clock, and what the peer sent last, and when.
    timestamps: Option<u32>,
    recent: u32,
    recent_at: Instant,
    /// Start of recovery's end: what was sent when the loss was found.
    recovery: Option<Sequence>,
    same_acknowledgements: u32,
    retries: u32,
    keep_alive_sent: u32,
    persist_sent: u32,
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
    /// The program has no more to send; the FIN was sent.
    shut: bool,
    fin_sent: bool,
    /// The peer has no more to send.
    peer_fin: bool,
    /// Where the peer's FIN is, if data before it is missing.
    early_fin: Option<Sequence>,
    /// Nobody will read any more.
    orphaned: bool,
    ending: Option<Ending>,
    /// A reset is to be sent with this number.
    reset: Option<Sequence>,
}

fn shift_for(capacity: usize) -> u8 {
    let mut shift = 0;
    while shift < 14 && capacity >> shift > 0xffff {
        shift += 1;
    }
    // Room to grow: buffers may become larger later.
    shift.max(7)
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
            options,
            sender,
            receiver: Receiver::new(Sequence(0), options.receive_capacity),
            congestion: Congestion::new(options.algorithm, path.segment),
            round_trip: RoundTrip::default(),
            timers: Timers::default(),
            segment: path.segment.min(SMALLEST_DEFAULT),
            own_segment: path.segment,
            window: 0,
            largest_window: 0,
            window_from: (Sequence(0), Sequence(0)),
            send_shift: 0,
            receive_shift: None,
            sack: false,
            timestamps: None,
            recent: 0,
            recent_at: now,
            recovery: None,
            same_acknowledgements: 0,
            retries: 0,
            keep_alive_sent: 0,
            persist_sent: 0,
            unanswered_since: Some(now),
            last_heard: now,
            last_sent: now,
            last_challenge: None,
            quick: QUICK_ACKNOWLEDGEMENTS,
            largest_received: SMALLEST_DEFAULT,
            acknowledge_now: false,
            unacknowledged: 0,
            shut: false,
            fin_sent: false,
            peer_fin: false,
            early_fin: None,
            orphaned: false,
            ending: None,
            reset: None,
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
        connection.receive_shift = Some(shift_for(options.receive_capacity));
        connection.sack = true;
        connection.timestamps = Some(stamp);
        connection.sender.lose_all();
        connection
    }

    /// Answers a peer that asked with `syn`. The next [`Self::transmit`] sends the answer.
    pub fn answer(
        addresses: (SocketAddr, SocketAddr),
        syn: &Header,
        (first, stamp): (Sequence, u32),
        path: Path,
        options: Options,
        now: Instant,
    ) -> Self {
        let mut connection = Self::new(addresses, State::SynReceived, first, path, options, now);
        connection.receive_shift = syn
            .window_scale
            .map(|_| shift_for(options.receive_capacity));
        connection.sack = syn.sack_permitted;
        connection.timestamps = syn.timestamps.map(|_| stamp);
        connection.agree(syn, now);
        connection.sender.lose_all();
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
        self.window_from = (syn.sequence, syn.acknowledgement);
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

    /// What the program has chosen, to be changed.
    pub fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    /// Data of a full segment.
    pub fn segment_size(&self) -> usize {
        self.segment
    }

    /// The clock of timestamps, in milliseconds.
    fn stamp(&self, now: Instant) -> u32 {
        let offset = self.timestamps.unwrap_or(0);
        offset.wrapping_add((now.0 / MILLISECOND) as u32)
    }

    fn end(&mut self, ending: Option<Ending>) {
        self.state = State::Closed;
        self.ending = self.ending.or(ending);
        self.timers = Timers::default();
        self.sender.discard();
    }

    /// What the program can do without waiting.
    pub fn readiness(&self) -> Readiness {
        let ended = self.state == State::Closed || self.state == State::TimeWait;
        let connecting = matches!(self.state, State::SynSent | State::SynReceived);
        let free = self.free();
        Readiness {
            readable: self.receiver.queued() != 0 || self.peer_fin || ended,
            writable: ended || !connecting && (self.shut || free >= self.options.send_capacity / 3),
            peer_ended: self.peer_fin || ended,
            ended: ended || self.peer_fin && self.shut,
            failed: self.ending.is_some(),
        }
    }
}

/// What the program does.
impl<B: Buffer> Connection<B> {
    /// Bytes that may be given to [`Self::send`].
    pub fn free(&self) -> usize {
        self.options
            .send_capacity
            .saturating_sub(self.sender.queued())
    }

    /// Bytes that were sent or wait to be, and were not acknowledged (`SIOCOUTQ`).
    pub fn unacknowledged(&self) -> usize {
        self.sender.queued()
    }

    /// Whether data can still be sent.
    pub fn can_send(&self) -> bool {
        matches!(self.state, State::Established | State::CloseWait) && !self.shut
    }

    /// Adds data that is to be sent.
    pub fn send(&mut self, data: Slice<B>) {
        if !data.is_empty() && !self.shut {
            self.sender.push(data);
        }
    }

    /// Data that has arrived, in its order.
    pub fn data(&self) -> impl Iterator<Item = &Slice<B>> {
        self.receiver.data()
    }

    /// Bytes that have arrived and were not taken.
    pub fn available(&self) -> usize {
        self.receiver.queued()
    }

    /// Whether the end of the peer's data was reached.
    pub fn is_at_end(&self) -> bool {
        self.receiver.queued() == 0 && (self.peer_fin || self.state == State::Closed)
    }

    /// The program took so many bytes. The peer is told when that opens the window by much.
    pub fn consume(&mut self, bytes: usize) {
        self.receiver.consume(bytes);
        let tellable = self
            .receiver
            .window()
            .min(0xffff << self.receive_shift.unwrap_or(0));
        let opened = tellable.saturating_sub(self.receiver.told_window());
        if opened >= (2 * self.own_segment).min(self.options.receive_capacity / 2)
            && self.receives()
        {
            self.acknowledge_now = true;
        }
    }

    fn receives(&self) -> bool {
        matches!(
            self.state,
            State::Established | State::FinWait1 | State::FinWait2
        )
    }

    /// The program has no more to send.
    pub fn shut_down(&mut self) {
        match self.state {
            State::SynSent => self.end(None),
            State::SynReceived | State::Established => {
                self.shut = true;
                self.state = State::FinWait1;
            }
            State::CloseWait => {
                self.shut = true;
                self.state = State::LastAck;
            }
            _ => {}
        }
    }

    /// The program is gone. If it left data unread the peer is told so by a reset (RFC 2525, section 2.17).
    pub fn close(&mut self, now: Instant) {
        self.orphaned = true;
        if self.receiver.queued() != 0 {
            self.abort();
            return;
        }
        self.shut_down();
        if self.state == State::FinWait2 {
            self.timers.end = Some(now + TIME_WAIT);
        }
    }

    /// Ends it at once with a reset.
    pub fn abort(&mut self) {
        if !matches!(self.state, State::SynSent | State::TimeWait | State::Closed) {
            self.reset = Some(self.sender.nxt());
        }
        self.orphaned = true;
        self.receiver.discard();
        self.end(None);
    }

    /// The network says that the peer can't be reached.
    pub fn unreachable(&mut self, refused: bool) {
        // Only the start of a connection ends by that (RFC 5461).
        if self.state == State::SynSent {
            self.end(Some(if refused {
                Ending::Refused
            } else {
                Ending::Unreachable
            }));
        }
    }

    /// Whether nothing keeps it any more, once the program is gone.
    pub fn is_over(&self) -> bool {
        self.state == State::Closed && self.reset.is_none()
    }
}

/// What arrives.
impl<B: Buffer> Connection<B> {
    /// A segment of this connection has arrived, or several that the device has put together.
    pub fn receive(&mut self, header: &Header, data: impl Into<Pieces<B>>, now: Instant) {
        let data = data.into();
        match self.state {
            State::Closed => {}
            State::SynSent => self.receive_answer(header, data, now),
            _ => self.receive_segment(header, data, now),
        }
    }

    fn challenge(&mut self, now: Instant) {
        if self
            .last_challenge
            .is_none_or(|last| now.since(last) >= CHALLENGE_INTERVAL)
        {
            self.last_challenge = Some(now);
            self.acknowledge_now = true;
        }
    }

    /// The answer to a SYN.
    fn receive_answer(&mut self, header: &Header, data: Pieces<B>, now: Instant) {
        let acknowledges = header.has(flag::ACK);
        if acknowledges && header.acknowledgement != self.sender.nxt() {
            if !header.has(flag::RST) {
                self.reset = Some(header.acknowledgement);
            }
            return;
        }
        if header.has(flag::RST) {
            if acknowledges {
                self.end(Some(Ending::Refused));
            }
            return;
        }
        if !header.has(flag::SYN) {
            return;
        }
        self.agree(header, now);
        self.last_heard = now;
        if acknowledges {
            self.acknowledged(header, now);
            self.established(now);
            self.acknowledge_now = true;
            if !data.is_empty() || header.has(flag::FIN) {
                let behind = Header {
                    sequence: header.sequence + 1,
                    ..*header
                };
                self.receive_data(&behind, data, now);
            }
        } else {
            // Both ask at once.
            self.state = State::SynReceived;
            self.sender.lose_all();
        }
    }

    /// The peer has acknowledged the start.
    fn established(&mut self, now: Instant) {
        self.state = if self.shut {
            State::FinWait1
        } else {
            State::Established
        };
        self.retries = 0;
        self.timers.retransmission = None;
        self.restart_keep_alive(now);
    }

    /// Whether a segment of `length` numbers lies in the window (RFC 9293, section 3.10.7.4).
    fn is_acceptable(&self, start: Sequence, length: usize) -> bool {
        let (next, window) = (self.receiver.next(), self.receiver.told_window());
        let inside = |number: Sequence| !number.is_before(next) && number.is_before(next + window);
        match (length, window) {
            (0, 0) => start == next,
            (0, _) => inside(start) || start == next + window,
            (_, 0) => false,
            _ => {
                inside(start)
                    || inside(start + (length - 1))
                    || start.is_before(next) && (start + length).is_after(next)
            }
        }
    }

    fn receive_segment(&mut self, header: &Header, data: Pieces<B>, now: Instant) {
        let length =
            data.length() + usize::from(header.has(flag::SYN)) + usize::from(header.has(flag::FIN));
        // An old duplicate, by its timestamp.
        if let (Some(_), Some((value, _))) = (self.timestamps, header.timestamps)
            && (value.wrapping_sub(self.recent) as i32) < 0
            && now.since(self.recent_at) < OLD_TIMESTAMP
            && !header.has(flag::RST)
        {
            self.challenge_or_acknowledge(length, now);
            return;
        }
        let both = header.has(flag::SYN) && header.has(flag::ACK);
        if both && self.state == State::SynReceived && header.sequence + 1 == self.receiver.next() {
            // Both have asked at once, and this is the answer.
            if header.acknowledgement == self.sender.nxt() {
                self.acknowledged(header, now);
                self.established(now);
                self.acknowledge_now = true;
            }
            return;
        }
        if !self.is_acceptable(header.sequence, length) {
            if !header.has(flag::RST) {
                if self.state == State::SynReceived && header.has(flag::SYN) {
                    // The peer has not got the answer.
                    self.sender.lose_all();
                } else {
                    self.challenge_or_acknowledge(length, now);
                }
            }
            // A closed window still lets acknowledgements in.
            if length == 0 || !header.has(flag::ACK) || self.receiver.told_window() != 0 {
                return;
            }
            self.acknowledged(header, now);
            return;
        }
        if header.has(flag::RST) {
            // Only the exact number is believed (RFC 5961, section 3).
            if header.sequence == self.receiver.next() {
                let refused = self.state == State::SynReceived;
                self.receiver.discard();
                self.end(Some(if refused {
                    Ending::Refused
                } else {
                    Ending::Reset
                }));
            } else {
                self.challenge(now);
            }
            return;
        }
        if header.has(flag::SYN) {
            self.challenge(now);
            return;
        }
        if !header.has(flag::ACK) {
            return;
        }
        if let Some((value, _)) = header.timestamps
            && self.timestamps.is_some()
            && !header.sequence.is_after(self.receiver.next())
        {
            self.recent = value;
            self.recent_at = now;
        }
        if self.state == State::SynReceived {
            if header.acknowledgement != self.sender.nxt() {
                self.reset = Some(header.acknowledgement);
                return;
            }
            self.window_from = (header.sequence, header.acknowledgement);
            self.established(now);
        }
        self.last_heard = now;
        self.keep_alive_sent = 0;
        if !self.acknowledged(header, now) {
            return;
        }
        self.receive_data(header, data, now);
    }

    /// A segment without use came: the peer is told how things are. For one that carries something at once, since it
    /// is waiting.
    fn challenge_or_acknowledge(&mut self, length: usize, now: Instant) {
        if self.state == State::TimeWait {
            self.timers.end = Some(now + TIME_WAIT);
        }
        if length != 0 {
            self.acknowledge_now = true;
        } else {
            self.challenge(now);
        }
    }

    /// Takes an acknowledgement. False if the segment is not to be looked at further.
    fn acknowledged(&mut self, header: &Header, now: Instant) -> bool {
        let ack = header.acknowledgement;
        let (una, nxt) = (self.sender.una(), self.sender.nxt());
        if ack.is_after(nxt) || una.since(ack) > self.largest_window.max(0xffff) {
            // Of something never sent, or of long ago (RFC 5961, section 5).
            self.challenge(now);
            return false;
        }
        let window = usize::from(header.window)
            << if header.has(flag::SYN) {
                0
            } else {
                self.send_shift
            };
        let had_data = self.sender.is_waiting();
        let (from, by) = self.window_from;
        let newer = header.sequence.is_after(from) || header.sequence == from && !by.is_after(ack);
        let same_window = window == self.window;
        if newer || self.window_from == (Sequence(0), Sequence(0)) {
            self.window = window;
            self.largest_window = self.largest_window.max(window);
            self.window_from = (header.sequence, ack);
            if window != 0 {
                self.timers.persist = None;
                self.persist_sent = 0;
            }
        }
        if ack.is_before(una) {
            return true;
        }
        let before = self.sender.in_flight();
        let limited = before + self.segment > self.congestion.window()
            || self.congestion.window() < self.congestion.threshold()
                && 2 * before >= self.congestion.window();
        let shortest = self.round_trip.shortest();
        let mut delivered = Delivered::default();
        if ack != una {
            self.sender.acknowledge(ack, now, shortest, &mut delivered);
        }
        if self.sack {
            for block in header.sack.iter().flatten() {
                self.sender.selective(*block, now, shortest, &mut delivered);
            }
        }
        if let Some(at) = delivered.sent_once_at {
            self.round_trip.measured(now.since(at));
        } else if delivered.acknowledged != 0 {
            match (self.timestamps, header.timestamps) {
                (Some(_), Some((_, echo))) if echo != 0 => {
                    let took = self.stamp(now).wrapping_sub(echo);
                    if took < 1 << 20 {
                        self.round_trip
                            .measured(u64::from(took).max(1) * MILLISECOND);
                    }
                }
                _ => self.round_trip.forget_backoff(),
            }
        }
        if delivered.acknowledged != 0 {
            self.retries = 0;
            self.same_acknowledgements = 0;
            self.unanswered_since = self.sender.is_waiting().then_some(now);
            self.fin_acknowledged(now);
        } else if had_data && same_window && !header.has(flag::FIN) {
            self.same_acknowledgements += 1;
        }
        self.find_losses(&delivered, limited, now);
        if delivered.acknowledged != 0 || delivered.bytes != 0 {
            self.restart_retransmission(now);
        }
        true
    }

    /// Looks for losses after an acknowledgement, and lets the window grow or shrink.
    fn find_losses(&mut self, delivered: &Delivered, limited: bool, now: Instant) {
        if let Some(point) = self.recovery
            && !self.sender.una().is_before(point)
        {
            self.recovery = None;
        }
        if self.sack {
            self.detect_by_time(now);
        } else if self.same_acknowledgements == 3
            || self.recovery.is_some() && delivered.acknowledged != 0
        {
            self.sender.lose_first();
        }
        if self.sender.has_lost() && self.recovery.is_none() {
            self.enter_recovery();
        } else if self.recovery.is_none() && delivered.acknowledged != 0 && limited {
            self.congestion
                .acknowledged(delivered.acknowledged, self.round_trip.smoothed(), now);
        }
    }

    fn detect_by_time(&mut self, now: Instant) {
        let (shortest, smoothed) = (self.round_trip.shortest(), self.round_trip.smoothed());
        self.timers.reordering =
            self.sender
                .detect_losses(now, shortest, smoothed, self.recovery.is_some());
    }

    fn enter_recovery(&mut self) {
        self.recovery = Some(self.sender.nxt());
        let under_way = self.sender.nxt().since(self.sender.una());
        self.congestion.lost(under_way);
    }

    /// The peer may have acknowledged the FIN.
    fn fin_acknowledged(&mut self, now: Instant) {
        if !self.fin_sent || self.sender.is_waiting() {
            return;
        }
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                if self.orphaned {
                    self.timers.end = Some(now + TIME_WAIT);
                }
            }
            State::Closing => self.begin_time_wait(now),
            State::LastAck => self.end(None),
            _ => {}
        }
    }

    fn begin_time_wait(&mut self, now: Instant) {
        self.state = State::TimeWait;
        self.timers = Timers {
            end: Some(now + TIME_WAIT),
            ..Timers::default()
        };
    }

    /// Takes data, and decides when it is acknowledged.
    fn accept(&mut self, mut sequence: Sequence, data: Pieces<B>, now: Instant) {
        let length = data.length();
        let (mut all_in_order, mut gap_filled) = (true, false);
        for piece in data {
            let next = sequence + piece.len();
            match self.receiver.accept(sequence, piece) {
                Accepted::InOrder { bytes, filled } => {
                    self.unacknowledged += bytes;
                    gap_filled |= filled;
                }
                Accepted::OutOfOrder | Accepted::Nothing => all_in_order = false,
            }
            sequence = next;
        }
        if !all_in_order {
            self.acknowledge_now = true;
            return;
        }
        self.largest_received = self.largest_received.max(length).min(self.own_segment);
        let full = self.unacknowledged >= 2 * self.largest_received;
        if self.quick != 0 || gap_filled || full || self.receiver.has_gap() {
            self.quick = self.quick.saturating_sub(1);
            self.acknowledge_now = true;
        } else if self.timers.acknowledgement.is_none() {
            self.timers.acknowledgement = Some(now + DELAYED_ACKNOWLEDGEMENT);
        }
    }

    fn receive_data(&mut self, header: &Header, data: Pieces<B>, now: Instant) {
        let length = data.length();
        let fin = header.has(flag::FIN).then(|| header.sequence + length);
        if length != 0 {
            if !self.receives() {
                // Beyond the peer's own end.
                return;
            }
            if self.orphaned {
                // Nobody will ever read this.
                self.abort();
                return;
            }
            self.accept(header.sequence, data, now);
        }
        self.early_fin = fin.or(self.early_fin);
        if self.early_fin == Some(self.receiver.next()) && !self.peer_fin {
            self.early_fin = None;
            self.peer_fin = true;
            self.receiver.skip_fin();
            self.acknowledge_now = true;
            match self.state {
                State::Established => self.state = State::CloseWait,
                State::FinWait1 => self.state = State::Closing,
                State::FinWait2 => self.begin_time_wait(now),
                _ => {}
            }
        }
    }
}

/// What is sent.
impl<B: Buffer> Connection<B> {
    fn header(&mut self, sequence: Sequence, flags: u8, now: Instant) -> Header {
        let mut header = Header {
            source: self.local.port(),
            destination: self.remote.port(),
            sequence,
            flags,
            ..Header::default()
        };
        if flags & flag::SYN != 0 {
            header.maximum_segment = Some(self.own_segment.min(0xffff) as u16);
            header.window_scale = self.receive_shift;
            header.sack_permitted = self.sack;
        }
        if self.timestamps.is_some() {
            let echo = if flags & flag::ACK != 0 {
                self.recent
            } else {
                0
            };
            header.timestamps = Some((self.stamp(now), echo));
        }
        let shift = match flags & flag::SYN {
            0 => self.receive_shift.unwrap_or(0),
            _ => 0,
        };
        let window = (self.receiver.window() >> shift).min(0xffff);
        header.window = window as u16;
        if flags & flag::ACK != 0 {
            header.acknowledgement = self.receiver.next();
            if self.sack && self.receiver.has_gap() {
                header.sack = self.receiver.blocks();
            }
            self.receiver.tell(window << shift);
            self.acknowledge_now = false;
            self.unacknowledged = 0;
            self.timers.acknowledgement = None;
        }
        self.last_sent = now;
        header
    }

    /// Puts everything that may be sent now into `out`. A segment may have up to `largest` bytes, which the device cuts
    /// into packets.
    pub fn transmit(&mut self, now: Instant, largest: usize, out: &mut Vec<Segment<B>>) {
        if let Some(sequence) = self.reset.take() {
            let flags = if self.state == State::SynSent {
                flag::RST
            } else {
                flag::RST | flag::ACK
            };
            let header = self.header(sequence, flags, now);
            out.push(plain(header));
            return;
        }
        match self.state {
            State::Closed => return,
            State::SynSent | State::SynReceived => {
                if self.sender.has_lost() {
                    self.send_syn(now, out);
                }
                return;
            }
            _ => {}
        }
        if now.since(self.last_sent) > self.round_trip.timeout() && !self.sender.is_waiting() {
            self.congestion.idle();
        }
        self.send_lost(now, out);
        self.send_new(now, largest, out);
        if self.acknowledge_now {
            let header = self.header(self.sender.nxt(), flag::ACK, now);
            out.push(plain(header));
        }
        self.watch_window(now);
    }

    fn send_syn(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        let first = self.sender.una();
        let flags = match self.state {
            State::SynSent => flag::SYN,
            _ => flag::SYN | flag::ACK,
        };
        let header = self.header(first, flags, now);
        out.push(plain(header));
        let again = self.retries != 0;
        self.sender.sent_again(first, now);
        if !again {
            // Its round trip may be measured.
            self.sender = Sender::new(first);
            self.sender.sent(1, 1, now);
        }
        self.restart_retransmission(now);
    }

    /// Sends again what was lost, as far as the congestion window allows; one segment always goes.
    fn send_lost(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        let mut first = true;
        while let Some((start, length)) = self.sender.next_lost() {
            if !first && self.sender.in_flight() + length > self.congestion.window() {
                break;
            }
            first = false;
            self.send_range(start, length, now, out);
        }
    }

    /// Sends a segment again.
    fn send_range(
        &mut self,
        start: Sequence,
        length: usize,
        now: Instant,
        out: &mut Vec<Segment<B>>,
    ) {
        let payload = self.sender.gather(start, length);
        let mut flags = flag::ACK | if payload.is_empty() { 0 } else { flag::PSH };
        if self.fin_sent && start + length == self.sender.end() + 1 {
            flags |= flag::FIN;
        }
        let header = self.header(start, flags, now);
        out.push(Segment {
            header,
            payload,
            cut: 0,
        });
        self.sender.sent_again(start, now);
        if self.timers.retransmission.is_none() {
            self.restart_retransmission(now);
        }
    }

    /// Sends data for the first time, and the FIN.
    fn send_new(&mut self, now: Instant, largest: usize, out: &mut Vec<Segment<B>>) {
        loop {
            let unsent = if self.fin_sent {
                0
            } else {
                self.sender.unsent()
            };
            let under_way = self.sender.nxt().since(self.sender.una());
            let window = self.window.saturating_sub(under_way);
            let congestion = self
                .congestion
                .window()
                .saturating_sub(self.sender.in_flight());
            let mut length = unsent.min(window).min(congestion);
            if length > self.segment {
                let most = (largest / self.segment).max(1) * self.segment;
                length = length.min(most);
                // Whole segments; what is left of the data may go as a last, shorter one.
                if length < unsent || self.holds_back(length % self.segment) {
                    length -= length % self.segment;
                }
            }
            let all = length == unsent;
            let fin = self.shut && !self.fin_sent && all && (window > length || length == 0);
            if length == 0 && !fin {
                return;
            }
            let full = length >= self.segment;
            if !full && !fin {
                let half_window = self.largest_window != 0 && length >= self.largest_window / 2;
                if (!all || self.holds_back(length)) && !half_window {
                    return;
                }
            }
            let start = self.sender.nxt();
            let payload = self.sender.gather(start, length);
            let mut flags = flag::ACK;
            if all && length != 0 {
                flags |= flag::PSH;
            }
            if fin {
                flags |= flag::FIN;
                self.fin_sent = true;
            }
            let header = self.header(start, flags, now);
            out.push(Segment {
                header,
                payload,
                cut: if length > self.segment {
                    self.segment as u16
                } else {
                    0
                },
            });
            let idle = !self.sender.is_waiting();
            self.sender
                .sent(length + usize::from(fin), self.segment, now);
            if idle {
                self.unanswered_since = Some(now);
            }
            self.restart_retransmission(now);
            if fin {
                return;
            }
        }
    }

    /// Whether a segment that is not full waits for more data or for acknowledgements (Nagle, RFC 9293, section
    /// 3.7.4).
    fn holds_back(&self, length: usize) -> bool {
        if length == 0 || self.shut {
            return false;
        }
        self.options.cork || !self.options.no_delay && self.sender.is_waiting()
    }

    /// Asks for the window again if it is closed and nothing is under way that would tell.
    fn watch_window(&mut self, now: Instant) {
        let stuck = self.sender.unsent() != 0 && !self.sender.is_waiting() && self.window == 0;
        if stuck && self.timers.persist.is_none() {
            let patience = self.round_trip.timeout() << self.persist_sent.min(10);
            self.timers.persist = Some(now + patience.min(120 * SECOND));
        }
        if self.sender.unsent() == 0 {
            self.timers.persist = None;
        }
    }
}

/// A segment without data.
fn plain<B>(header: Header) -> Segment<B> {
    Segment {
        header,
        payload: Pieces::default(),
        cut: 0,
    }
}

/// Time.
impl<B: Buffer> Connection<B> {
    fn restart_retransmission(&mut self, now: Instant) {
        if !self.sender.is_waiting() {
            self.timers.retransmission = None;
            self.timers.reordering = None;
            return;
        }
        let overdue = self.round_trip.timeout();
        // The last segments of a burst have nobody behind them to tell of their loss: one is sent once more before the
        // long timeout (RFC 8985, section 7).
        let probes =
            self.sack && self.recovery.is_none() && self.round_trip.is_known() && self.retries == 0;
        if probes && !matches!(self.state, State::SynSent | State::SynReceived) {
            let alone = self.sender.in_flight() <= self.segment;
            let patience = 2 * self.round_trip.smoothed()
                + if alone {
                    200 * MILLISECOND
                } else {
                    2 * MILLISECOND
                };
            self.timers.retransmission = Some(now + patience.min(overdue));
            self.timers.is_probe = true;
            return;
        }
        self.timers.is_probe = false;
        self.timers.retransmission = Some(now + overdue);
    }

    fn restart_keep_alive(&mut self, now: Instant) {
        self.timers.keep_alive = self.options.keep_alive.map(|(idle, _, _)| now + idle);
    }

    /// When [`Self::expire`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let timers = &self.timers;
        [
            timers.retransmission,
            timers.reordering,
            timers.persist,
            timers.acknowledgement,
            timers.keep_alive,
            timers.end,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Time has passed. What is due is put into `out`, or sent by the next [`Self::transmit`].
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        let due = |timer: &mut Option<Instant>| timer.take_if(|at| *at <= now).is_some();
        if due(&mut self.timers.end) {
            self.end(None);
            return;
        }
        if due(&mut self.timers.acknowledgement) {
            self.acknowledge_now = true;
        }
        if due(&mut self.timers.reordering) {
            self.detect_by_time(now);
            if self.sender.has_lost() && self.recovery.is_none() {
                self.enter_recovery();
            }
        }
        if due(&mut self.timers.retransmission) {
            self.overdue(now, out);
        }
        if due(&mut self.timers.persist) {
            self.probe_window(now, out);
        }
        if due(&mut self.timers.keep_alive) {
            self.ask_whether_alive(now, out);
        }
    }

    fn gave_up(&self, now: Instant) -> bool {
        let limit = match self.state {
            State::SynSent | State::SynReceived => SYN_RETRIES,
            _ => RETRIES,
        };
        let waited = self.unanswered_since.map_or(0, |since| now.since(since));
        self.retries >= limit
            || self.options.user_timeout != 0 && waited >= self.options.user_timeout
    }

    fn overdue(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        if self.timers.is_probe {
            self.timers.is_probe = false;
            self.timers.retransmission = Some(now + self.round_trip.timeout());
            if let Some((start, length)) = self.sender.last() {
                self.send_range(start, length, now, out);
            }
            return;
        }
        if self.gave_up(now) {
            self.end(Some(Ending::TimedOut));
            return;
        }
        self.retries += 1;
        self.round_trip.back_off();
        if !matches!(self.state, State::SynSent | State::SynReceived) {
            if self.retries == 1 {
                self.congestion.timed_out(self.sender.in_flight());
            }
            if self.retries == 2 {
                self.sender.forget_selective();
            }
            self.recovery = Some(self.sender.nxt());
        }
        self.sender.lose_all();
        self.timers.retransmission = Some(now + self.round_trip.timeout());
    }

    fn probe_window(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        if self.persist_sent >= RETRIES && self.orphaned {
            self.abort();
            return;
        }
        self.persist_sent += 1;
        // A number that the peer has acknowledged already makes it answer.
        let header = self.header(self.sender.una() - 1, flag::ACK, now);
        out.push(plain(header));
        self.watch_window(now);
    }

    fn ask_whether_alive(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        let Some((idle, interval, count)) = self.options.keep_alive else {
            return;
        };
        let quiet = now.since(self.last_heard);
        if quiet < idle || self.sender.is_waiting() {
            self.timers.keep_alive = Some(now + idle.saturating_sub(quiet).max(MILLISECOND));
            return;
        }
        if self.keep_alive_sent >= count {
            self.reset = Some(self.sender.nxt());
            let reset = self.reset;
            self.end(Some(Ending::TimedOut));
            self.reset = reset;
            return;
        }
        self.keep_alive_sent += 1;
        let header = self.header(self.sender.una() - 1, flag::ACK, now);
        out.push(plain(header));
        self.timers.keep_alive = Some(now + interval);
    }

    /// The program has chosen [`Options::keep_alive`] anew.
    pub fn keep_alive_changed(&mut self, now: Instant) {
        if matches!(self.state, State::Established | State::CloseWait) {
            self.restart_keep_alive(now);
        }
    }
}
