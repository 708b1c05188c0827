//! Acknowledgements, losses, and what is done about them: by time (RFC 8985), with a window that comes down in proportion
//! (RFC 6937), and with a way back should nothing have been lost (RFC 2883, RFC 3522, RFC 4015).

use super::*;

/// What to go back to, should a loss have been none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undo {
    congestion: Congestion,
    /// The oldest byte when the loss was found.
    una: Sequence,
    /// The clock of timestamps when something was first sent again.
    stamp: Option<u32>,
    /// Segments that were sent again, and that the peer has not got twice.
    again: usize,
}

/// Reads whether the first block reports something that came twice (RFC 2883, section 4).
fn twice(header: &Header) -> Option<Block> {
    let (start, end) = header.sack[0]?;
    if !start.is_before(end) {
        return None;
    }
    let inside =
        header.sack[1].is_some_and(|(outer, last)| !start.is_before(outer) && !end.is_after(last));
    (!end.is_after(header.acknowledgement) || inside).then_some((start, end))
}

impl<B: Buffer> Connection<B> {
    /// Takes an acknowledgement. False if the segment is not to be looked at further.
    pub(super) fn acknowledged(&mut self, header: &Header, now: Instant) -> bool {
        let ack = header.acknowledgement;
        let (una, nxt) = (self.sender.una(), self.sender.nxt());
        if ack.is_after(nxt) || una.since(ack) > self.largest_window.max(0xffff) {
            // Of something never sent, or of long ago (RFC 5961, section 5).
            self.challenge(now);
            return false;
        }
        self.persist_unanswered = 0;
        let had_data = self.sender.is_waiting();
        let same_window = !self.take_window(header);
        let reported_twice = if self.sack { twice(header) } else { None };
        if let Some(block) = reported_twice {
            self.peer_got_twice(block);
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
            self.counters.bytes_acknowledged += delivered.acknowledged as u64;
        }
        if self.sack {
            let first = usize::from(reported_twice.is_some());
            for block in header.sack[first..].iter().flatten() {
                self.sender.selective(*block, now, shortest, &mut delivered);
            }
        }
        self.measure(header, &delivered, now);
        if delivered.acknowledged != 0 {
            self.retries = 0;
            self.same_acknowledgements = 0;
            self.unanswered_since = self.sender.is_waiting().then_some(now);
            if self.urgent_end.is_some_and(|end| !end.is_after(ack)) {
                self.urgent_end = None;
            }
            self.try_undo(header, &delivered);
            self.fin_acknowledged(now);
        } else if had_data && same_window && !header.has(flag::FIN) {
            self.same_acknowledgements += 1;
        }
        self.end_probe(ack, reported_twice, &delivered);
        self.find_losses(&delivered, limited, now);
        if delivered.acknowledged != 0 || delivered.bytes != 0 {
            self.restart_retransmission(now);
        }
        true
    }

    /// Takes the window that a segment tells. True if it is another one.
    fn take_window(&mut self, header: &Header) -> bool {
        let shift = match header.has(flag::SYN) {
            true => 0,
            false => self.send_shift,
        };
        let window = usize::from(header.window) << shift;
        let other = window != self.window;
        let newer = self.window_from.is_none_or(|(from, by)| {
            header.sequence.is_after(from)
                || header.sequence == from && !by.is_after(header.acknowledgement)
        });
        if newer {
            self.window = window;
            self.largest_window = self.largest_window.max(window);
            self.window_from = Some((header.sequence, header.acknowledgement));
            if window != 0 {
                self.timers.stop_persist();
                self.persist_sent = 0;
            }
        }
        other
    }

    fn measure(&mut self, header: &Header, delivered: &Delivered, now: Instant) {
        if let Some(at) = delivered.sent_once_at {
            self.round_trip.measured(now.since(at));
            return;
        }
        if delivered.acknowledged == 0 {
            return;
        }
        if let (Some(_), Some((_, echo))) = (self.timestamps, header.timestamps)
            && echo != 0
        {
            let took = self.stamp(now).wrapping_sub(echo);
            if took < 1 << 20 {
                self.round_trip
                    .measured(u64::from(took).max(1) * MILLISECOND);
            }
        } else {
            self.round_trip.forget_backoff();
        }
    }

    /// The peer got something twice: sent again for nothing, or repeated by the network.
    fn peer_got_twice(&mut self, (start, end): Block) {
        self.sender.received_twice();
        self.counters.peer_received_twice += 1;
        let segments = end.since(start).div_ceil(self.segment.max(1));
        if let Some(undo) = &mut self.undo
            && !start.is_before(undo.una)
            && undo.again != 0
        {
            undo.again = undo.again.saturating_sub(segments);
            if undo.again == 0 {
                // All that was sent again was there already.
                self.undo();
            }
        }
    }

    /// Goes back if the first acknowledgement after a loss is for what was sent first, by its timestamp (RFC 3522).
    fn try_undo(&mut self, header: &Header, delivered: &Delivered) {
        let (Some(undo), Some((_, echo))) = (&self.undo, header.timestamps) else {
            return;
        };
        let Some(stamp) = undo.stamp else { return };
        let earlier = (echo.wrapping_sub(stamp) as i32) < 0;
        if self.recovery.is_some() && delivered.again && earlier && echo != 0 {
            self.undo();
        }
    }

    fn undo(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        self.congestion.undo(&undo.congestion);
        self.sender.lose_none();
        self.recovery = None;
        self.trouble = Trouble::None;
        self.round_trip.forget_backoff();
    }

    /// The tail was probed, and that was acknowledged: if only the probe has arrived, something was lost (RFC 8985,
    /// section 7.4.2).
    fn end_probe(&mut self, ack: Sequence, twice: Option<Block>, delivered: &Delivered) {
        let Some((end, again)) = self.probe else {
            return;
        };
        if ack.is_before(end) {
            return;
        }
        let nothing = delivered.acknowledged == 0 && delivered.bytes == 0;
        if !again || nothing || twice.is_some_and(|(_, last)| last == end) {
            self.probe = None;
        } else if ack.is_after(end) {
            self.probe = None;
            if self.recovery.is_none() {
                self.congestion.lost(self.sender.in_flight());
            }
        }
    }

    /// Looks for losses after an acknowledgement, and lets the window grow or shrink.
    fn find_losses(&mut self, delivered: &Delivered, limited: bool, now: Instant) {
        if let Some(point) = self.recovery
            && !self.sender.una().is_before(point)
        {
            self.recovery = None;
            self.trouble = Trouble::None;
            self.congestion.end_reduction();
            self.sender.recovered();
        }
        let lost_before = self.sender.has_lost();
        if self.sack {
            self.detect_by_time(now);
        } else if self.same_acknowledgements == 3
            || self.recovery.is_some() && delivered.acknowledged != 0
        {
            self.sender.lose_first();
        }
        if self.sender.has_lost() && self.recovery.is_none() {
            self.enter_recovery();
        }
        if self.trouble == Trouble::Recovery {
            let progress = delivered.acknowledged != 0 && lost_before >= self.sender.has_lost();
            let got = match self.sack {
                true => delivered.bytes,
                // Each repeated acknowledgement says that a segment has arrived.
                false => delivered.acknowledged.max(self.segment),
            };
            // A part of it was acknowledged: the next is missing too (RFC 6582).
            let partial = !self.sack && delivered.acknowledged != 0;
            self.congestion.reduce(got, self.pipe(), progress, partial);
        } else if delivered.acknowledged != 0 && limited {
            // After a timeout too: from one segment up to the threshold.
            self.congestion
                .acknowledged(delivered.acknowledged, self.round_trip.smoothed(), now);
        }
    }

    /// Bytes that are on their way, as far as is known.
    pub(super) fn pipe(&self) -> usize {
        let known = self.sender.in_flight();
        if self.sack {
            return known;
        }
        // Without selective acknowledgements each repeated one stands for a segment.
        known.saturating_sub(self.same_acknowledgements as usize * self.segment)
    }

    pub(super) fn detect_by_time(&mut self, now: Instant) {
        let (shortest, smoothed) = (self.round_trip.shortest(), self.round_trip.smoothed());
        let again = self
            .sender
            .detect_losses(now, shortest, smoothed, self.recovery.is_some());
        self.timers.set_reordering(again);
    }

    pub(super) fn enter_recovery(&mut self) {
        self.remember();
        self.recovery = Some(self.sender.nxt());
        self.trouble = Trouble::Recovery;
        let under_way = self.sender.nxt().since(self.sender.una());
        self.congestion.begin_reduction(under_way);
        self.congestion.reduce(0, self.pipe(), false, false);
    }

    /// Nothing came back in time.
    pub(super) fn enter_loss(&mut self) {
        if self.retries == 1 {
            if self.recovery.is_none() {
                self.remember();
            }
            self.congestion.timed_out(self.sender.in_flight());
        }
        if self.retries == 2 || self.sender.is_selective_withdrawn() {
            self.sender.forget_selective();
        }
        self.recovery = Some(self.sender.nxt());
        self.trouble = Trouble::Loss;
        self.probe = None;
        self.same_acknowledgements = 0;
    }

    fn remember(&mut self) {
        self.undo = Some(Box::new(Undo {
            congestion: self.congestion,
            una: self.sender.una(),
            stamp: None,
            again: 0,
        }));
    }

    /// A segment was sent again.
    pub(super) fn count_again(&mut self, bytes: usize, now: Instant) {
        self.counters.sent_again += 1;
        self.counters.bytes_again += bytes as u64;
        let stamp = self.stamp(now);
        if let Some(undo) = &mut self.undo {
            undo.stamp = undo.stamp.or(Some(stamp));
            undo.again += 1;
        }
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
                    self.wait_for_end(now);
                }
            }
            State::Closing => self.begin_time_wait(now),
            State::LastAck => self.end(None),
            _ => {}
        }
    }
}
