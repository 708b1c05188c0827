//! What time does.

use super::*;

/// When something is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timers {
    /// A segment is overdue, or (`is_probe`) the tail is to be probed.
    retransmission: Option<Instant>,
    is_probe: bool,
    /// Losses are to be looked for again.
    reordering: Option<Instant>,
    /// The peer's window is closed, or too small: ask whether it still is.
    persist: Option<Instant>,
    /// What was held back goes.
    cork: Option<Instant>,
    acknowledgement: Option<Instant>,
    keep_alive: Option<Instant>,
    /// The state ends by itself.
    end: Option<Instant>,
}

impl Timers {
    pub(super) fn end(&self) -> Option<Instant> {
        self.end
    }

    pub(super) fn stop_retransmission(&mut self) {
        self.retransmission = None;
        self.is_probe = false;
    }

    pub(super) fn stop_persist(&mut self) {
        self.persist = None;
    }

    pub(super) fn set_persist(&mut self, at: Instant) {
        self.persist = Some(at);
    }

    pub(super) fn persists(&self) -> bool {
        self.persist.is_some()
    }

    /// A segment is overdue then.
    pub(super) fn await_overdue(&mut self, at: Instant) {
        self.retransmission = Some(at);
        self.is_probe = false;
    }

    pub(super) fn stop_acknowledgement(&mut self) {
        self.acknowledgement = None;
    }

    pub(super) fn set_reordering(&mut self, at: Option<Instant>) {
        self.reordering = at;
    }

    /// Something is held back, or nothing is.
    pub(super) fn set_cork(&mut self, at: Option<Instant>) {
        self.cork = match at {
            Some(at) => self.cork.or(Some(at)),
            None => None,
        };
    }

    pub(super) fn retransmits(&self) -> bool {
        self.retransmission.is_some()
    }

    fn earliest(&self) -> Option<Instant> {
        [
            self.retransmission,
            self.reordering,
            self.persist,
            self.cork,
            self.acknowledgement,
            self.keep_alive,
            self.end,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl<B: Buffer> Connection<B> {
    pub(super) fn restart_retransmission(&mut self, now: Instant) {
        if !self.sender.is_waiting() {
            self.timers.stop_retransmission();
            self.timers.reordering = None;
            return;
        }
        let overdue = self.round_trip.timeout();
        // The last segments of a burst have nobody behind them to tell of their loss: one is sent once more before the
        // long timeout (RFC 8985, section 7).
        let probes = self.sack
            && self.recovery.is_none()
            && self.probe.is_none()
            && self.round_trip.is_known()
            && self.retries == 0;
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

    pub(super) fn restart_keep_alive(&mut self, now: Instant) {
        self.timers.keep_alive = self.options.keep_alive.map(|chosen| now + chosen.idle);
    }

    pub(super) fn acknowledge_by(&mut self, at: Instant) {
        self.timers.acknowledgement = self.timers.acknowledgement.or(Some(at));
    }

    pub(super) fn end_at(&mut self, at: Instant) {
        self.timers.end = Some(at);
    }

    /// When [`Self::expire`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.earliest()
    }

    /// Which timer runs, as Linux counts in `struct tcp_info` and `/proc/net/tcp`: 0 for none, 1 for retransmission, 2 for
    /// keep-alive, 4 for the closed window.
    pub fn timer_kind(&self) -> u8 {
        let timers = &self.timers;
        match (timers.retransmission, timers.persist, timers.keep_alive) {
            (Some(_), _, _) => 1,
            (_, Some(_), _) => 4,
            (_, _, Some(_)) => 2,
            _ => 0,
        }
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
        if due(&mut self.timers.cork) {
            self.push = true;
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

    /// Whether the peer has been silent for too long.
    fn gave_up(&self, tries: u32, now: Instant) -> bool {
        let limit = match self.state {
            State::SynSent | State::SynReceived => self.options.syn_retries.into(),
            _ if self.orphaned => ORPHAN_RETRIES,
            _ => RETRIES,
        };
        let waited = self.unanswered_since.map_or(0, |since| now.since(since));
        match self.options.user_timeout {
            0 => tries >= limit,
            // It takes the place of the number of retries.
            timeout => waited >= timeout && tries != 0,
        }
    }

    fn overdue(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        if self.timers.is_probe {
            self.probe_tail(now, out);
            return;
        }
        if self.gave_up(self.retries, now) {
            self.end(Some(Ending::TimedOut));
            return;
        }
        self.retries += 1;
        self.round_trip.back_off();
        if !matches!(self.state, State::SynSent | State::SynReceived) {
            self.enter_loss();
        }
        self.sender.lose_all();
        let mut patience = self.round_trip.timeout();
        if self.options.user_timeout != 0 {
            // Not longer than the program wants to wait.
            let waited = self.unanswered_since.map_or(0, |since| now.since(since));
            let left = self.options.user_timeout.saturating_sub(waited);
            patience = patience.min(left.max(MILLISECOND));
        }
        self.timers.retransmission = Some(now + patience);
    }

    fn probe_window(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        self.unanswered_since = self.unanswered_since.or(Some(now));
        let silent = self.persist_unanswered;
        if self.gave_up(silent, now) && silent != 0 {
            if self.orphaned {
                self.abort();
            } else {
                self.end(Some(Ending::TimedOut));
            }
            return;
        }
        self.persist_sent += 1;
        self.persist_unanswered += 1;
        if self.window != 0 {
            // What fits goes, little as it is.
            self.push = true;
            return;
        }
        // A number that the peer has acknowledged already makes it answer.
        let header = self.header(self.sender.una() - 1, flag::ACK, now);
        self.emit(Segment::plain(header), out);
        self.watch_window(now);
    }

    fn ask_whether_alive(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        let Some(chosen) = self.options.keep_alive else {
            return;
        };
        let quiet = now.since(self.last_heard);
        if quiet < chosen.idle || self.sender.is_waiting() || self.sender.unsent() != 0 {
            let wait = chosen.idle.saturating_sub(quiet).max(MILLISECOND);
            let wait = if quiet < chosen.idle {
                wait
            } else {
                chosen.idle
            };
            self.timers.keep_alive = Some(now + wait);
            return;
        }
        let silent = self.options.user_timeout != 0
            && quiet >= self.options.user_timeout
            && self.keep_alive_sent > 0;
        if silent || self.options.user_timeout == 0 && self.keep_alive_sent >= chosen.count {
            let reset = Some(self.sender.nxt());
            self.end(Some(Ending::TimedOut));
            self.reset = reset;
            return;
        }
        self.keep_alive_sent += 1;
        let header = self.header(self.sender.una() - 1, flag::ACK, now);
        self.emit(Segment::plain(header), out);
        self.timers.keep_alive = Some(now + chosen.interval);
    }
}
