//! What is sent.

use super::*;

impl<B: Buffer> Connection<B> {
    /// The window that the peer is told next.
    pub(super) fn offered_window(&self) -> usize {
        let told = self.receiver.told_window();
        let mut window = self
            .options
            .clamped(self.receiver.window(self.own_segment))
            .max(told);
        if self.scarce {
            let room = SCARCE.saturating_sub(self.receiver.queued());
            window = window.min(room.max(told));
        }
        window
    }

    pub(super) fn header(&mut self, sequence: Sequence, flags: u8, now: Instant) -> Header {
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
        let window = (self.offered_window() >> shift).min(0xffff);
        header.window = window as u16;
        if flags & flag::ACK != 0 {
            header.acknowledgement = self.receiver.next();
            if self.sack {
                self.report_blocks(&mut header);
            }
            self.receiver.tell(window << shift);
            self.acknowledge_now = false;
            self.unacknowledged = 0;
            self.timers.stop_acknowledgement();
        }
        if let Some(end) = self.urgent_end
            && end.is_after(sequence)
            && flags & flag::SYN == 0
        {
            header.flags |= flag::URG;
            header.urgent = end.since(sequence).min(0xffff) as u16;
        }
        self.last_sent = now;
        header
    }

    /// What came twice first (RFC 2883), then what waits behind a gap.
    fn report_blocks(&mut self, header: &mut Header) {
        let twice = self.receiver.take_twice();
        if self.receiver.has_gap() {
            header.sack = self.receiver.blocks();
        }
        if twice.is_some() {
            header.sack.rotate_right(1);
            header.sack[0] = twice;
        }
    }

    /// Puts a segment into `out`.
    pub(super) fn emit(&mut self, segment: Segment<B>, out: &mut Vec<Segment<B>>) {
        self.counters.segments_out += 1;
        out.push(segment);
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
            self.emit(Segment::plain(header), out);
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
        self.tune(now);
        if self.has_nothing_to_send() {
            self.push = false;
            self.timers.set_cork(None);
            self.timers.stop_persist();
            return;
        }
        if now.since(self.last_sent) > self.round_trip.timeout() && !self.sender.is_waiting() {
            self.congestion.idle();
        }
        self.send_lost(now, out);
        self.send_new(now, largest, out);
        self.push = false;
        if self.acknowledge_now {
            let header = self.header(self.sender.nxt(), flag::ACK, now);
            self.emit(Segment::plain(header), out);
        }
        self.watch_window(now);
    }

    /// Whether there is no data that could be sent, no end, and no acknowledgement that must be: so it is most of the times
    /// that somebody looks.
    fn has_nothing_to_send(&self) -> bool {
        let ends = self.shut && !self.fin_sent;
        !(self.acknowledge_now || ends || self.sender.has_lost() || self.sender.unsent() != 0)
    }

    fn send_syn(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        let first = self.sender.una();
        let flags = match self.state {
            State::SynSent => flag::SYN,
            _ => flag::SYN | flag::ACK,
        };
        let header = self.header(first, flags, now);
        self.emit(Segment::plain(header), out);
        let again = self.retries != 0;
        self.sender.sent_again(first, now);
        if again {
            self.counters.sent_again += 1;
        } else {
            // Its round trip may be measured.
            self.sender = Sender::new(first);
            self.sender.sent(1, 1, now);
        }
        self.restart_retransmission(now);
    }

    /// Sends again what was lost, as far as the congestion window allows; if nothing is under way, one segment.
    fn send_lost(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        while let Some((start, length)) = self.sender.next_lost(self.segment) {
            let under_way = self.pipe();
            if under_way != 0 && under_way + length.min(self.segment) > self.congestion.window() {
                break;
            }
            self.send_range(start, length, now, out);
        }
    }

    /// Sends a segment again.
    pub(super) fn send_range(
        &mut self,
        start: Sequence,
        length: usize,
        now: Instant,
        out: &mut Vec<Segment<B>>,
    ) {
        let payload = self.sender.gather(start, length);
        let data = payload.length();
        let mut flags = flag::ACK | if data == 0 { 0 } else { flag::PSH };
        if self.fin_sent && start + length == self.sender.end() + 1 {
            flags |= flag::FIN;
        }
        let header = self.header(start, flags, now);
        let segment = Segment {
            header,
            payload,
            cut: 0,
        };
        self.emit(segment, out);
        self.count_again(data, now);
        self.congestion.sent(length);
        self.sender.sent_again(start, now);
        if !self.timers.retransmits() {
            self.restart_retransmission(now);
        }
    }

    /// How much may be sent for the first time in a segment now, and whether it is the last of all data and ends with a
    /// FIN.
    fn next_new(&mut self, largest: usize) -> Option<(usize, bool, bool)> {
        if self.fin_sent {
            return None;
        }
        let unsent = self.sender.unsent();
        let under_way = self.sender.nxt().since(self.sender.una());
        let window = self.window.saturating_sub(under_way);
        let congestion = self.congestion.window().saturating_sub(self.pipe());
        let mut length = unsent.min(window).min(congestion);
        if length > self.segment {
            let largest = if self.urgent_end.is_some() {
                // A device that cuts segments does not know what to do with the pointer.
                0
            } else {
                largest
            };
            let most = (largest / self.segment).max(1) * self.segment;
            length = length.min(most);
            // Whole segments; what is left of the data may go as a last, shorter one.
            if length < unsent || self.holds_back(length % self.segment) {
                length -= length % self.segment;
            }
        }
        let all = length == unsent;
        let fin = self.shut && all && (window > length || length == 0);
        if length == 0 {
            return fin.then_some((0, true, true));
        }
        if length < self.segment && !fin && !self.push {
            let half_window = self.largest_window != 0 && length >= self.largest_window / 2;
            if (!all || self.holds_back(length)) && !half_window {
                return None;
            }
        }
        Some((length, all, fin))
    }

    /// Sends data for the first time, and the FIN.
    fn send_new(&mut self, now: Instant, largest: usize, out: &mut Vec<Segment<B>>) {
        while let Some((length, all, fin)) = self.next_new(largest) {
            self.send_next(length, all, fin, now, out);
            if fin {
                break;
            }
        }
        let held = self.sender.unsent() != 0 && !self.sender.is_waiting() && self.window != 0;
        let until = held.then_some(now + CORKED);
        self.timers
            .set_cork(until.filter(|_| !self.is_window_small()));
    }

    /// Sends so many bytes for the first time.
    pub(super) fn send_next(
        &mut self,
        length: usize,
        all: bool,
        fin: bool,
        now: Instant,
        out: &mut Vec<Segment<B>>,
    ) {
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
        let cut = if length > self.segment {
            self.segment as u16
        } else {
            0
        };
        let segment = Segment {
            header,
            payload,
            cut,
        };
        self.emit(segment, out);
        if length != 0 {
            self.counters.data_segments_out += length.div_ceil(self.segment) as u32;
            self.counters.bytes_sent += length as u64;
            self.counters.last_data_sent = now;
        }
        self.congestion.sent(length);
        if !self.sender.is_waiting() {
            self.unanswered_since = Some(now);
        }
        if !length.is_multiple_of(self.segment) {
            self.small_end = start + length;
        }
        self.sender
            .sent(length + usize::from(fin), self.segment, now);
        self.restart_retransmission(now);
    }

    /// Whether a segment that is not full waits for more data or for acknowledgements (Nagle, RFC 9293, section
    /// 3.7.4), as on Linux only while another small one is under way.
    fn holds_back(&self, length: usize) -> bool {
        if length == 0 || self.shut || self.push {
            return false;
        }
        let small = self.sender.is_waiting() && self.small_end.is_after(self.sender.una());
        self.options.cork || self.more || !self.options.no_delay && small
    }

    /// Whether the peer would take less than what is worth a segment.
    fn is_window_small(&self) -> bool {
        let wanted = self.sender.unsent().min(self.segment);
        self.window == 0 || self.window < wanted && self.window < self.largest_window / 2
    }

    /// Asks for the window again if it is closed, or too small, and nothing is under way that would tell.
    pub(super) fn watch_window(&mut self, now: Instant) {
        let stuck =
            self.sender.unsent() != 0 && !self.sender.is_waiting() && self.is_window_small();
        if !stuck {
            self.timers.stop_persist();
        } else if !self.timers.persists() {
            let patience = self.round_trip.timeout() << self.persist_sent.min(10);
            self.timers.set_persist(now + patience.min(120 * SECOND));
        }
    }

    /// Sends the tail once more, or something new behind it, so that an acknowledgement tells what was lost (RFC 8985,
    /// section 7.3).
    pub(super) fn probe_tail(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        let under_way = self.sender.nxt().since(self.sender.una());
        let unsent = self.sender.unsent();
        let new = unsent.min(self.segment);
        if new != 0 && !self.fin_sent && self.window >= under_way + new {
            self.send_next(new, new == unsent, false, now, out);
            self.probe = Some((self.sender.nxt(), false));
        } else if let Some((start, length)) = self.sender.last() {
            self.probe = Some((self.sender.nxt(), true));
            self.send_range(start, length, now, out);
        }
        self.timers.await_overdue(now + self.round_trip.timeout());
    }
}
