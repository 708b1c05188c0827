//! What arrives.

use super::*;

impl<B: Buffer> Connection<B> {
    /// A segment of this connection has arrived, or several that the device has put together.
    pub fn receive(&mut self, header: &Header, data: impl Into<Pieces<B>>, now: Instant) {
        let data = data.into();
        self.counters.segments_in += 1;
        self.suspicion = None;
        match self.state {
            State::Closed => {}
            State::SynSent => self.receive_answer(header, data, now),
            _ => self.receive_segment(header, data, now),
        }
    }

    pub(super) fn challenge(&mut self, now: Instant) {
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
                self.receiver
                    .tell(self.options.offered_window().min(0xffff));
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
        self.recovery = None;
        self.timers.stop_retransmission();
        self.tuning.since = now;
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

    /// An old duplicate, by its timestamp (RFC 7323, section 5).
    fn is_old(&self, header: &Header, now: Instant) -> bool {
        match (self.timestamps, header.timestamps) {
            (Some(_), Some((value, _))) => {
                (value.wrapping_sub(self.recent) as i32) < 0
                    && now.since(self.recent_at) < OLD_TIMESTAMP
                    && !header.has(flag::RST)
            }
            _ => false,
        }
    }

    fn receive_segment(&mut self, header: &Header, data: Pieces<B>, now: Instant) {
        let length =
            data.length() + usize::from(header.has(flag::SYN)) + usize::from(header.has(flag::FIN));
        if self.is_old(header, now) {
            self.set_right(header, data.length(), length, now);
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
                    self.set_right(header, data.length(), length, now);
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
            self.receive_reset(header, now);
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
            // Of a SYN of long ago, or of what was never sent: nothing but the SYN was.
            if header.acknowledgement != self.sender.nxt() {
                self.reset = Some(header.acknowledgement);
                return;
            }
            self.window_from = Some((header.sequence, header.acknowledgement));
            self.window = usize::from(header.window) << self.send_shift;
            self.largest_window = self.window;
            self.established(now);
        }
        self.last_heard = now;
        self.keep_alive_sent = 0;
        if !self.acknowledged(header, now) {
            return;
        }
        self.receive_data(header, data, now);
    }

    fn receive_reset(&mut self, header: &Header, now: Instant) {
        // Only the exact number is believed (RFC 5961, section 3).
        if header.sequence != self.receiver.next() {
            self.challenge(now);
            return;
        }
        // As on Linux, the program still gets what has arrived in order.
        self.receiver.prune();
        self.end(Some(match self.state {
            State::SynReceived => Ending::Refused,
            State::CloseWait => Ending::Broken,
            _ => Ending::Reset,
        }));
    }

    /// A segment without use came: the peer is told how things are. For one that carries something at once, since it
    /// is waiting, and with what of it came twice.
    fn set_right(&mut self, header: &Header, data: usize, length: usize, now: Instant) {
        if self.state == State::TimeWait {
            self.end_at(now + time_wait::LENGTH);
        }
        if length == 0 {
            self.challenge(now);
            return;
        }
        self.acknowledge_now = true;
        if data != 0 && header.sequence.is_before(self.receiver.next()) {
            self.receiver.note_twice(header.sequence, data);
            self.counters.received_twice += 1;
        }
    }

    pub(super) fn receive_data(&mut self, header: &Header, data: Pieces<B>, now: Instant) {
        let fin = header
            .has(flag::FIN)
            .then(|| header.sequence + data.length());
        if header.has(flag::URG) && self.receives() {
            let copied = self.receiver.next() - self.receiver.queued();
            let next = self.receiver.next();
            self.urgent
                .announce(header.sequence, header.urgent, copied, next);
        }
        if !data.is_empty() {
            if !self.receives() {
                // Beyond the peer's own end.
                return;
            }
            if self.orphaned {
                // Nobody will ever read this.
                self.abort();
                return;
            }
            let after = (header.sequence + data.length()).is_after(self.receiver.next());
            if self.refuses && self.shut && after {
                // As on Linux, both sides learn that this will not be read (RFC 1122, section 4.2.2.13).
                self.reset = Some(self.sender.nxt());
                self.end(Some(Ending::Reset));
                return;
            }
            if self.scarce && !self.makes_room(header.sequence, data.length()) {
                // The peer sends it again when it has waited for long enough. An answer would only make it try at once.
                return;
            }
            let mut sequence = header.sequence;
            for piece in data.iter() {
                self.urgent.look(sequence, piece);
                sequence = sequence + piece.len();
            }
            self.take_data(header, data, now);
        }
        self.early_fin = fin.or(self.early_fin);
        if self.early_fin == Some(self.receiver.next()) && !self.peer_fin {
            self.receive_fin(now);
        }
    }

    /// Whether there is room for data although memory is scarce. What the program can read next goes before what waits
    /// behind a gap, which would else keep the gap from being filled.
    fn makes_room(&mut self, sequence: Sequence, length: usize) -> bool {
        let fits = |receiver: &Receiver<B>| receiver.cost() + length <= 4 * SCARCE;
        if !fits(&self.receiver) && !sequence.is_after(self.receiver.next()) {
            self.receiver.prune();
        }
        fits(&self.receiver)
    }

    fn take_data(&mut self, header: &Header, data: Pieces<B>, now: Instant) {
        let length = data.length();
        self.counters.data_segments_in += length.div_ceil(self.own_segment.max(1)) as u32;
        self.counters.last_data_received = now;
        self.measure_peer(header, length, now);
        let (mut all_in_order, mut gap_filled) = (true, false);
        let mut sequence = header.sequence;
        for piece in data {
            let next = sequence + piece.len();
            match self.receiver.accept(sequence, piece) {
                Accepted::InOrder { bytes, filled } => {
                    self.counters.bytes_received += bytes as u64;
                    self.unacknowledged += bytes;
                    gap_filled |= filled;
                }
                Accepted::OutOfOrder => {
                    self.counters.out_of_order += 1;
                    all_in_order = false;
                }
                Accepted::Nothing => {
                    self.counters.received_twice += 1;
                    all_in_order = false;
                }
            }
            sequence = next;
        }
        let odd = self.receiver.has_gap() || self.receiver.has_twice();
        if !all_in_order {
            self.acknowledge_now = true;
            return;
        }
        self.largest_received = self.largest_received.max(length).min(self.own_segment);
        let full = self.unacknowledged >= 2 * self.largest_received;
        if self.quick != 0 || gap_filled || full || odd {
            self.quick = self.quick.saturating_sub(1);
            self.acknowledge_now = true;
        } else {
            self.acknowledge_by(now + DELAYED_ACKNOWLEDGEMENT);
        }
    }

    /// How long the peer's data takes for a round trip, by the timestamp that it echoes.
    fn measure_peer(&mut self, header: &Header, length: usize, now: Instant) {
        let (Some(_), Some((_, echo))) = (self.timestamps, header.timestamps) else {
            return;
        };
        let took = self.stamp(now).wrapping_sub(echo);
        if echo == 0 || length < self.largest_received || took >= 1 << 20 {
            return;
        }
        let took = u64::from(took.max(1)) * MILLISECOND;
        let known = self.tuning.round_trip;
        self.tuning.round_trip = if known == 0 {
            took
        } else {
            (7 * known + took) / 8
        };
    }

    fn receive_fin(&mut self, now: Instant) {
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

    pub(super) fn begin_time_wait(&mut self, now: Instant) {
        self.state = State::TimeWait;
        self.timers = Timers::default();
        self.end_at(now + time_wait::LENGTH);
    }

    /// Lets the receive buffer grow with what the program takes in a round trip, so that the window is never what keeps
    /// the peer from sending.
    pub(super) fn tune(&mut self, now: Instant) {
        let measured = match self.tuning.round_trip {
            0 => self.round_trip.smoothed(),
            known => known,
        };
        if measured == 0 || now.since(self.tuning.since) < measured {
            return;
        }
        let taken = core::mem::take(&mut self.tuning.taken);
        self.tuning.since = now;
        if taken <= self.tuning.space {
            return;
        }
        let grown = taken - self.tuning.space;
        self.tuning.space = taken;
        if !self.options.receive_grows || self.scarce {
            return;
        }
        // Twice what a round trip took, and as much as it would be if the peer goes on to send more each time.
        let ahead = (taken as u64 * grown as u64 / (taken - grown).max(1) as u64) as usize;
        let wanted = 2 * taken + 16 * self.own_segment + 2 * ahead.min(2 * taken);
        let capacity = wanted.min(LARGEST_RECEIVE);
        if capacity > self.receiver.capacity() {
            self.receiver.set_capacity(capacity);
            if self.receives() && self.opens_much() {
                self.acknowledge_now = true;
            }
        }
    }
}
