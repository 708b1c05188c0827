//! What time does.

use super::*;

/// A point in time at which something is due, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Alarm(Instant);

impl Default for Alarm {
    fn default() -> Self {
        Self::NEVER
    }
}

impl Alarm {
    const NEVER: Self = Self(Instant(u64::MAX));

    fn is_set(self) -> bool {
        self != Self::NEVER
    }

    /// Whether it is due; it is never, then.
    fn rings(&mut self, now: Instant) -> bool {
        let due = self.0 <= now && self.is_set();
        if due {
            *self = Self::NEVER;
        }
        due
    }

    /// Sets it, unless it is set already.
    fn set_once(&mut self, at: Instant) {
        if !self.is_set() {
            self.0 = at;
        }
    }
}

/// When something is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timers {
    /// A segment is overdue, or (`is_probe`) the tail is to be probed.
    retransmission: Alarm,
    is_probe: bool,
    /// Losses are to be looked for again.
    reordering: Alarm,
    /// The peer's window is closed, or too small: ask whether it still is.
    persist: Alarm,
    /// What was held back goes.
    cork: Alarm,
    acknowledgement: Alarm,
    keep_alive: Alarm,
    /// The state ends by itself.
    end: Alarm,
}

impl Timers {
    pub(super) fn end(&self) -> Option<Instant> {
        self.end.is_set().then_some(self.end.0)
    }

    pub(super) fn stop_retransmission(&mut self) {
        self.retransmission = Alarm::NEVER;
        self.is_probe = false;
    }

    pub(super) fn stop_persist(&mut self) {
        self.persist = Alarm::NEVER;
    }

    pub(super) fn set_persist(&mut self, at: Instant) {
        self.persist = Alarm(at);
    }

    pub(super) fn persists(&self) -> bool {
        self.persist.is_set()
    }

    /// A segment is overdue then.
    pub(super) fn await_overdue(&mut self, at: Instant) {
        self.retransmission = Alarm(at);
        self.is_probe = false;
    }

    pub(super) fn stop_acknowledgement(&mut self) {
        self.acknowledgement = Alarm::NEVER;
    }

    pub(super) fn set_reordering(&mut self, at: Option<Instant>) {
        self.reordering = at.map_or(Alarm::NEVER, Alarm);
    }

    /// Something is held back, or nothing is.
    pub(super) fn set_cork(&mut self, at: Option<Instant>) {
        match at {
            Some(at) => self.cork.set_once(at),
            None => self.cork = Alarm::NEVER,
        }
    }

    pub(super) fn retransmits(&self) -> bool {
        self.retransmission.is_set()
    }

    fn earliest(&self) -> Option<Instant> {
        let first = self
            .retransmission
            .min(self.reordering)
            .min(self.persist)
            .min(self.cork)
            .min(self.acknowledgement)
            .min(self.keep_alive)
            .min(self.end);
        first.is_set().then_some(first.0)
    }
}

impl<B: Buffer> Connection<B> {
    pub(super) fn restart_retransmission(&mut self, now: Instant) {
        if !self.sender.is_waiting() {
            self.timers.stop_retransmission();
            self.timers.reordering = Alarm::NEVER;
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
            self.timers.retransmission = Alarm(now + patience.min(overdue));
            self.timers.is_probe = true;
            return;
        }
        self.timers.await_overdue(now + overdue);
    }

    pub(super) fn restart_keep_alive(&mut self, now: Instant) {
        self.timers.keep_alive = match self.options.keep_alive {
            Some(chosen) => Alarm(now + chosen.idle),
            None => Alarm::NEVER,
        };
    }

    pub(super) fn acknowledge_by(&mut self, at: Instant) {
        self.timers.acknowledgement.set_once(at);
    }

    pub(super) fn end_at(&mut self, at: Instant) {
        self.timers.end = Alarm(at);
    }

    /// When [`Self::expire`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.earliest()
    }

    /// Which timer runs, as Linux counts in `struct tcp_info` and `/proc/net/tcp`: 0 for none, 1 for retransmission, 2 for
    /// keep-alive, 4 for the closed window.
    pub fn timer_kind(&self) -> u8 {
        let timers = &self.timers;
        if timers.retransmission.is_set() {
            1
        } else if timers.persist.is_set() {
            4
        } else if timers.keep_alive.is_set() {
            2
        } else {
            0
        }
    }

    /// Time has passed. What is due is put into `out`, or sent by the next [`Self::transmit`].
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Segment<B>>) {
        if self.timers.end.rings(now) {
            self.end(None);
            return;
        }
        if self.timers.acknowledgement.rings(now) {
            self.acknowledge_now = true;
        }
        if self.timers.cork.rings(now) {
            self.push = true;
        }
        if self.timers.reordering.rings(now) {
            self.detect_by_time(now);
            if self.sender.has_lost() && self.recovery.is_none() {
                self.enter_recovery();
            }
        }
        if self.timers.retransmission.rings(now) {
            self.overdue(now, out);
        }
        if self.timers.persist.rings(now) {
            self.probe_window(now, out);
        }
        if self.timers.keep_alive.rings(now) {
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
        self.timers.retransmission = Alarm(now + patience);
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
            self.timers.keep_alive = Alarm(now + wait);
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
        self.timers.keep_alive = Alarm(now + chosen.interval);
    }
}
