//! What the program asks of a connection.

use super::*;

impl<B: Buffer> Connection<B> {
    /// What the program has chosen.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The program chooses anew.
    pub fn choose(&mut self, change: impl Fn(&mut Options), now: Instant) {
        let before = self.options;
        change(&mut self.options);
        let chosen = self.options;
        self.congestion.follow(chosen.algorithm);
        if chosen.receive_capacity != before.receive_capacity {
            self.receiver.set_capacity(chosen.receive_capacity);
        }
        if chosen.maximum_segment != before.maximum_segment && chosen.maximum_segment != 0 {
            let room = if self.timestamps.is_some() { 12 } else { 0 };
            let segment = usize::from(chosen.maximum_segment).max(SMALLEST_SEGMENT);
            self.limit_segment(segment - room);
        }
        let opened = before.no_delay != chosen.no_delay || before.cork != chosen.cork;
        if opened && !chosen.cork && (chosen.no_delay || before.cork) {
            // What was held back goes.
            self.push = true;
        }
        if chosen.keep_alive != before.keep_alive
            && matches!(self.state, State::Established | State::CloseWait)
        {
            self.restart_keep_alive(now);
        }
    }

    /// The network does not carry more than so many bytes of data in a segment: those that were longer are sent again
    /// (RFC 1191).
    pub fn limit_segment(&mut self, segment: usize) {
        let segment = segment.max(SMALLEST_SEGMENT);
        if segment < self.segment {
            self.segment = segment;
            self.congestion.resize(segment);
            self.sender.lose_longer(segment);
        }
    }

    /// Data is acknowledged at once, or not (`TCP_QUICKACK`).
    pub fn acknowledge_quickly(&mut self, on: bool) {
        self.quick = if on { QUICK_ACKNOWLEDGEMENTS } else { 0 };
        if on && self.unacknowledged != 0 {
            self.acknowledge_now = true;
        }
    }

    /// Whether data is acknowledged at once.
    pub fn acknowledges_quickly(&self) -> bool {
        self.quick != 0
    }

    /// What the program can do without waiting.
    pub fn readiness(&self) -> Readiness {
        let ended = self.state == State::Closed || self.state == State::TimeWait;
        let connecting = matches!(self.state, State::SynSent | State::SynReceived);
        let room = self.free() >= self.send_capacity() / 3
            && self.sender.unsent() < self.options.unsent_limit as usize;
        Readiness {
            readable: self.available() != 0 || self.peer_fin || ended,
            writable: ended || !connecting && (self.shut || room),
            peer_ended: self.peer_fin || ended,
            ended: ended || (self.peer_fin || self.refuses) && self.shut,
            failed: self.ending.is_some(),
            urgent: self.urgent.has_byte(),
        }
    }

    /// Bytes that may wait to be sent: as much as is under way when the window is largest, twice.
    fn send_capacity(&self) -> usize {
        let chosen = self.options.send_capacity;
        if self.scarce {
            return chosen.min(SCARCE);
        }
        if !self.options.send_grows {
            return chosen;
        }
        chosen.max((2 * self.congestion.window()).min(LARGEST_SEND))
    }

    /// Bytes that may be given to [`Self::send`].
    pub fn free(&self) -> usize {
        self.send_capacity().saturating_sub(self.sender.queued())
    }

    /// Bytes that were sent or wait to be, and were not acknowledged (`SIOCOUTQ`).
    pub fn unacknowledged(&self) -> usize {
        self.sender.queued()
    }

    /// Bytes that were not sent (`SIOCOUTQNSD`).
    pub fn unsent(&self) -> usize {
        self.sender.unsent()
    }

    /// Whether data can still be sent.
    pub fn can_send(&self) -> bool {
        matches!(self.state, State::Established | State::CloseWait) && !self.shut
    }

    /// More data will follow what is sent now, or not (`MSG_MORE`): what is not a full segment waits for it.
    pub fn more_follows(&mut self, more: bool) {
        self.more = more;
    }

    /// Adds data that is to be sent.
    pub fn send(&mut self, data: Slice<B>) {
        if !data.is_empty() && !self.shut {
            self.sender.push(data);
        }
    }

    /// Adds data whose last byte is urgent (`MSG_OOB`).
    pub fn send_urgent(&mut self, data: Slice<B>) {
        if !data.is_empty() && !self.shut {
            self.more = false;
            self.sender.push(data);
            self.urgent_end = Some(self.sender.end());
            self.push = true;
        }
    }

    /// The first byte that the program has not taken.
    fn copied(&self) -> Sequence {
        self.receiver.next() - usize::from(self.peer_fin) - self.receiver.queued()
    }

    /// Bytes to be left out at the front, and those that can be read then: up to an urgent byte.
    fn readable(&self) -> (usize, usize) {
        let queued = self.receiver.queued();
        match self.urgent.distance(self.copied(), self.copied() + queued) {
            None => (0, queued),
            Some(0) if self.options.urgent_inline => (0, queued),
            Some(0) => (1, queued - 1),
            Some(distance) => (0, distance),
        }
    }

    /// Data that has arrived, in its order: what [`Self::available`] says.
    pub fn data(&self) -> impl Iterator<Item = Slice<B>> {
        let (mut skip, mut left) = self.readable();
        self.receiver.data().filter_map(move |slice| {
            let part = slice.part(skip, left);
            skip = skip.saturating_sub(slice.len());
            left -= part.len();
            (!part.is_empty()).then_some(part)
        })
    }

    /// Bytes that have arrived, as `SIOCINQ` counts them: up to an urgent byte, unless that stays in its place.
    pub fn waiting(&self) -> usize {
        let queued = self.receiver.queued();
        let mark = self.urgent.distance(self.copied(), self.copied() + queued);
        match mark {
            Some(distance) if !self.options.urgent_inline => distance,
            _ => queued,
        }
    }

    /// Bytes that have arrived and can be read in one go.
    pub fn available(&self) -> usize {
        self.readable().1
    }

    /// Bytes that have come and were not read, also those beyond an urgent one.
    pub fn received(&self) -> usize {
        self.receiver.queued()
    }

    /// Whether the end of the peer's data was reached.
    pub fn is_at_end(&self) -> bool {
        self.available() == 0 && (self.peer_fin || self.state == State::Closed)
    }

    /// Whether all data was read, and the peer has ended it in order: whatever goes wrong afterwards, that stays so.
    pub fn is_at_peers_end(&self) -> bool {
        self.available() == 0 && self.peer_fin
    }

    /// The program took so many bytes. The peer is told when that opens the window by much.
    pub fn consume(&mut self, bytes: usize) {
        let (skip, _) = self.readable();
        if bytes == 0 && skip == 0 {
            return;
        }
        self.receiver.consume(skip + bytes);
        self.urgent.pass(self.copied());
        self.tuning.taken += bytes;
        if self.receives() && self.opens_much() {
            self.acknowledge_now = true;
        }
    }

    /// Whether the peer could send much more than it knows.
    pub(super) fn opens_much(&self) -> bool {
        let tellable = self
            .offered_window()
            .min(0xffff << self.receive_shift.unwrap_or(0));
        let opened = tellable.saturating_sub(self.receiver.told_window());
        opened >= (2 * self.own_segment).min(self.receiver.capacity() / 2)
    }

    pub(super) fn receives(&self) -> bool {
        matches!(
            self.state,
            State::Established | State::FinWait1 | State::FinWait2
        )
    }

    /// The urgent byte (`MSG_OOB`); it stays if it is only looked at.
    pub fn take_urgent(&mut self, only_look: bool) -> Urgent {
        if self.options.urgent_inline {
            return Urgent::None;
        }
        self.urgent.take(only_look)
    }

    /// Whether the next byte is the urgent one (`SIOCATMARK`).
    pub fn is_at_mark(&self) -> bool {
        self.urgent.is_at(self.copied())
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

    /// The program takes no more than what has come. As on Linux, that counts once it has ended its own side too.
    pub fn refuse_input(&mut self) {
        self.refuses = true;
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
            self.wait_for_end(now);
        }
    }

    /// The program is gone, and the peer has not ended: it has some time for that (`TCP_LINGER2`).
    pub(super) fn wait_for_end(&mut self, now: Instant) {
        if self.options.fin_wait == 0 {
            self.abort();
        } else {
            self.end_at(now + self.options.fin_wait);
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
    pub fn unreachable(&mut self, reason: Ending) {
        // Only the start of a connection ends by that (RFC 5461).
        if self.state == State::SynSent {
            self.end(Some(reason));
        } else {
            self.suspicion = Some(reason);
        }
    }

    /// Whether a segment that begins there was sent and not acknowledged: what the network says of others is made up
    /// (RFC 5927, section 4.1).
    pub fn is_outstanding(&self, sequence: Sequence) -> bool {
        !sequence.is_before(self.sender.una()) && sequence.is_before(self.sender.nxt())
    }

    /// The path carries segments with so many bytes of options and data; see [`Self::limit_segment`].
    pub fn limit_path(&mut self, bytes: usize) {
        let room = if self.timestamps.is_some() { 12 } else { 0 };
        self.limit_segment(bytes.saturating_sub(room));
    }
}
