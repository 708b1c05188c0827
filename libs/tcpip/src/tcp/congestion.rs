//! Congestion control: how much may be under way (RFC 5681), with CUBIC's growth (RFC 9438) in fixed point.

use crate::time::{Instant, SECOND};

/// Which rule lets the window grow after a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// By a segment for each round trip.
    Reno,
    /// By a cubic function of the time.
    Cubic,
}

/// What may be under way.
#[derive(Clone, Copy, Debug)]
pub struct Congestion {
    algorithm: Algorithm,
    /// Bytes of a full segment.
    segment: usize,
    window: usize,
    threshold: usize,
    /// Bytes that were acknowledged since the window last grew.
    acknowledged: usize,
    cubic: Cubic,
    reduction: Option<Reduction>,
}

/// How far a reduction of the window has come (RFC 6937), in bytes.
#[derive(Clone, Copy, Debug)]
struct Reduction {
    /// What was under way when it began.
    flight: usize,
    delivered: usize,
    sent: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cubic {
    /// The window before the last loss, in segments with 10 bits behind the point.
    most: u64,
    /// When growth began.
    epoch: Option<Instant>,
    /// Time until the window reaches `most` again, in 1/1024 s.
    plateau: u64,
    /// What Reno's window would be, in bytes.
    reno: usize,
    reno_acknowledged: usize,
}

/// `beta` of CUBIC, 0.7, in 1/1024.
const BETA: usize = 717;

/// The cube root of a number, rounded down.
fn cube_root(value: u64) -> u64 {
    let mut root = 0_u64;
    for bit in (0..22).rev() {
        let candidate = root | 1 << bit;
        if candidate * candidate * candidate <= value {
            root = candidate;
        }
    }
    root
}

impl Congestion {
    /// For a new connection (RFC 6928: ten segments).
    pub fn new(algorithm: Algorithm, segment: usize) -> Self {
        Self {
            algorithm,
            segment,
            window: 10 * segment,
            threshold: usize::MAX,
            acknowledged: 0,
            cubic: Cubic::default(),
            reduction: None,
        }
    }

    /// Follows another rule from now on.
    pub fn follow(&mut self, algorithm: Algorithm) {
        if algorithm != self.algorithm {
            self.algorithm = algorithm;
            self.acknowledged = 0;
            self.cubic = Cubic::default();
        }
    }

    /// Segments are of another size from now on.
    pub fn resize(&mut self, segment: usize) {
        self.window = (self.window / self.segment.max(1)).max(1) * segment;
        self.segment = segment;
    }

    /// Bytes that may be under way.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Above this window growth is slow.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// Data was acknowledged, and the window was what kept more from being sent.
    pub fn acknowledged(&mut self, bytes: usize, round_trip: u64, now: Instant) {
        if self.window < self.threshold {
            // Slow start: what is acknowledged may be sent twice.
            self.window += bytes;
            return;
        }
        match self.algorithm {
            Algorithm::Reno => self.grow_by_segments(bytes),
            Algorithm::Cubic => self.grow_by_time(bytes, round_trip, now),
        }
    }

    fn grow_by_segments(&mut self, bytes: usize) {
        self.acknowledged += bytes;
        if self.acknowledged >= self.window {
            self.acknowledged -= self.window;
            self.window += self.segment;
        }
    }

    fn grow_by_time(&mut self, bytes: usize, round_trip: u64, now: Instant) {
        let (window, segment) = (self.window, self.segment);
        let in_segments = |bytes: usize| (bytes as u64 * 1024) / segment.max(1) as u64;
        let cubic = &mut self.cubic;
        let epoch = match cubic.epoch {
            Some(epoch) => epoch,
            None => {
                cubic.epoch = Some(now);
                cubic.reno = window;
                cubic.reno_acknowledged = 0;
                let missing = cubic.most.saturating_sub(in_segments(window));
                // K = cube root of ((most - window) / C), C = 0.4, here in 1/1024 s.
                cubic.plateau = cube_root(missing * 5 / 2 * 1024 * 1024);
                cubic.most = cubic.most.max(in_segments(window));
                now
            }
        };
        let time = (now.since(epoch) + round_trip) * 1024 / SECOND;
        let distance = time.abs_diff(cubic.plateau).min(1 << 20);
        // C * distance^3, in segments with 10 bits behind the point.
        let change = ((u128::from(distance).pow(3) * 2 / 5) >> 20) as u64;
        let target = if time < cubic.plateau {
            cubic.most.saturating_sub(change)
        } else {
            cubic.most + change
        };
        let target = (target.min(1 << 32) as usize * segment) / 1024;
        // As Reno would with the same loss, so that nothing is lost on short paths (RFC 9438, 4.3).
        cubic.reno_acknowledged += bytes;
        // alpha = 3 * (1 - beta) / (1 + beta) = 9/17
        let step = cubic.reno * 17 / 9;
        if cubic.reno_acknowledged >= step {
            cubic.reno_acknowledged -= step;
            cubic.reno += segment;
        }
        let target = target.max(cubic.reno).min(window + window / 2);
        if target > window {
            // Spread over a window of acknowledgements.
            self.acknowledged += bytes;
            let step = window * segment / (target - window).max(1);
            let grown = self.acknowledged / step.max(1);
            if grown != 0 {
                self.acknowledged -= grown * step;
                self.window += grown * segment;
            }
        }
    }

    /// Something was lost: less from now on. The window is what recovery ends with.
    pub fn lost(&mut self, in_flight: usize) {
        let least = 2 * self.segment;
        let reduced = match self.algorithm {
            Algorithm::Reno => in_flight / 2,
            Algorithm::Cubic => {
                let window = (self.window as u64 * 1024) / self.segment.max(1) as u64;
                // Fast convergence: leave room for others if the window did not come back.
                self.cubic.most = if window < self.cubic.most {
                    window * (1024 + BETA as u64) / 2048
                } else {
                    window
                };
                self.cubic.epoch = None;
                self.window * BETA / 1024
            }
        };
        self.threshold = reduced.max(least);
        self.window = self.threshold;
        self.acknowledged = 0;
        self.reduction = None;
    }

    /// As [`Self::lost`], but the window comes down with what is delivered (RFC 6937): [`Self::reduce`] for each
    /// acknowledgement, and [`Self::end_reduction`].
    pub fn begin_reduction(&mut self, in_flight: usize) {
        self.lost(in_flight);
        self.reduction = Some(Reduction {
            flight: in_flight.max(1),
            delivered: 0,
            sent: 0,
        });
    }

    /// During a reduction so many bytes were delivered, and `pipe` are still under way. `progress`: the oldest byte was
    /// acknowledged, and nothing more was found lost. `at_once`: a segment goes whatever the proportion is, as the first
    /// one does.
    pub fn reduce(&mut self, delivered: usize, pipe: usize, progress: bool, at_once: bool) {
        let Some(reduction) = &mut self.reduction else {
            return;
        };
        reduction.delivered += delivered;
        let room = if pipe > self.threshold {
            let share = reduction.delivered as u64 * self.threshold as u64;
            let allowed = share.div_ceil(reduction.flight as u64) as usize;
            allowed.saturating_sub(reduction.sent)
        } else {
            // Below the goal: back to it, by what has left the network, or faster if all goes well.
            let left = reduction.delivered.saturating_sub(reduction.sent);
            let limit = left.max(delivered) + if progress { self.segment } else { 0 };
            limit.min(self.threshold - pipe)
        };
        let least = if reduction.sent == 0 || at_once {
            self.segment
        } else {
            0
        };
        self.window = pipe + room.max(least);
    }

    /// So many bytes were sent.
    pub fn sent(&mut self, bytes: usize) {
        if let Some(reduction) = &mut self.reduction {
            reduction.sent += bytes;
        }
    }

    /// What was lost has arrived.
    pub fn end_reduction(&mut self) {
        if self.reduction.take().is_some() {
            self.window = self.threshold;
        }
    }

    /// It was not lost: back to where it was before.
    pub fn undo(&mut self, before: &Self) {
        let window = self.window.max(before.window);
        *self = Self {
            segment: self.segment,
            algorithm: self.algorithm,
            reduction: None,
            ..*before
        };
        self.window = window;
    }

    /// Nothing came back in time: start again with one segment.
    pub fn timed_out(&mut self, in_flight: usize) {
        self.lost(in_flight);
        self.window = self.segment;
    }

    /// Nothing was sent for long: what was learnt is old (RFC 5681, section 4.1).
    pub fn idle(&mut self) {
        self.window = self.window.min(10 * self.segment);
        self.cubic.epoch = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MILLISECOND;

    #[test]
    fn slow_start_doubles_with_each_round_trip() {
        let mut control = Congestion::new(Algorithm::Reno, 1000);
        assert_eq!(control.window(), 10_000);
        for _ in 0..10 {
            control.acknowledged(1000, MILLISECOND, Instant(0));
        }
        assert_eq!(control.window(), 20_000);
    }

    #[test]
    fn reno_halves_and_grows_by_a_segment() {
        let mut control = Congestion::new(Algorithm::Reno, 1000);
        control.lost(20_000);
        assert_eq!(control.window(), 10_000);
        for _ in 0..10 {
            control.acknowledged(1000, MILLISECOND, Instant(0));
        }
        assert_eq!(control.window(), 11_000);
        control.timed_out(11_000);
        assert_eq!((control.window(), control.threshold()), (1000, 5500));
    }

    #[test]
    fn a_reduction_sends_in_proportion_to_what_arrives() {
        // RFC 6937: with CUBIC seven segments for ten that were delivered, without a pause at first.
        let mut control = Congestion::new(Algorithm::Cubic, 1000);
        control.window = 100_000;
        control.begin_reduction(100_000);
        assert_eq!(control.threshold(), 70_019);
        let (mut pipe, mut sent) = (99_000, 0);
        for _ in 0..90 {
            pipe -= 1000;
            control.reduce(1000, pipe, false, false);
            while pipe + 1000 <= control.window() {
                control.sent(1000);
                pipe += 1000;
                sent += 1;
            }
        }
        assert!((60..=65).contains(&sent), "{sent}");
        control.end_reduction();
        assert_eq!(control.window(), 70_019);
    }

    #[test]
    fn what_was_not_lost_is_undone() {
        let mut control = Congestion::new(Algorithm::Cubic, 1000);
        control.window = 50_000;
        let before = control;
        control.timed_out(50_000);
        assert_eq!(control.window(), 1000);
        control.undo(&before);
        assert_eq!(
            (control.window(), control.threshold()),
            (50_000, usize::MAX)
        );
    }

    #[test]
    fn cube_roots() {
        for root in [0, 1, 2, 10, 1000, 2_000_000] {
            let cube = root * root * root;
            assert_eq!(cube_root(cube), root);
            assert_eq!(cube_root(cube + 1), root.max(u64::from(cube == 0)));
        }
    }

    #[test]
    fn cubic_comes_back_to_where_it_was_and_goes_on() {
        let mut control = Congestion::new(Algorithm::Cubic, 1000);
        control.window = 100_000;
        control.lost(100_000);
        assert_eq!(control.window() / 1000, 70);
        // K is the cube root of 30 / 0.4, 4.2 s; a round trip takes 100 ms.
        let mut at_four = 0;
        for step in 0..80_u64 {
            let now = Instant(step * 100 * MILLISECOND);
            let segments = control.window() / 1000;
            for _ in 0..segments {
                control.acknowledged(1000, 100 * MILLISECOND, now);
            }
            if step == 42 {
                at_four = control.window() / 1000;
            }
        }
        assert!((95..=101).contains(&at_four), "{at_four}");
        assert!(control.window() / 1000 > 110);
    }
}
