//! The time of a round trip, and the time after which an acknowledgement is overdue (RFC 6298).

use crate::time::{MILLISECOND, SECOND};

/// The shortest time to wait, as on Linux.
const SHORTEST: u64 = 200 * MILLISECOND;
/// The longest.
const LONGEST: u64 = 120 * SECOND;
/// As long as nothing was measured.
const INITIAL: u64 = SECOND;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct RoundTrip {
    /// Smoothed; 0 before the first measurement.
    smoothed: u64,
    variation: u64,
    /// The shortest ever.
    shortest: u64,
    /// How often the time was doubled.
    backoff: u32,
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self {
            smoothed: 0,
            variation: 0,
            shortest: u64::MAX,
            backoff: 0,
        }
    }
}

impl RoundTrip {
    /// Takes a measurement.
    pub fn measured(&mut self, time: u64) {
        let time = time.max(1);
        self.shortest = self.shortest.min(time);
        if self.smoothed == 0 {
            self.smoothed = time;
            self.variation = time / 2;
        } else {
            let difference = self.smoothed.abs_diff(time);
            self.variation = (3 * self.variation + difference) / 4;
            self.smoothed = (7 * self.smoothed + time) / 8;
        }
        self.backoff = 0;
    }

    /// Whether anything was measured.
    pub fn is_known(&self) -> bool {
        self.smoothed != 0
    }

    /// The smoothed time, in nanoseconds.
    pub fn smoothed(&self) -> u64 {
        self.smoothed
    }

    /// How much it varies, in nanoseconds.
    pub fn variation(&self) -> u64 {
        self.variation
    }

    /// How often the time was doubled.
    pub fn backoff(&self) -> u32 {
        self.backoff
    }

    /// The shortest time ever; a second if nothing was measured.
    pub fn shortest(&self) -> u64 {
        if self.is_known() {
            self.shortest
        } else {
            INITIAL
        }
    }

    /// After this time without acknowledgement a segment is sent again.
    pub fn timeout(&self) -> u64 {
        let base = if self.is_known() {
            (self.smoothed + (4 * self.variation).max(SHORTEST)).clamp(SHORTEST, LONGEST)
        } else {
            INITIAL
        };
        base.saturating_mul(1 << self.backoff.min(20)).min(LONGEST)
    }

    /// The time has passed: twice as long from now on, until something is measured.
    pub fn back_off(&mut self) {
        self.backoff += 1;
    }

    /// Data was acknowledged, if not measured: the path works again.
    pub fn forget_backoff(&mut self) {
        self.backoff = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_measurement_counts_whole() {
        let mut time = RoundTrip::default();
        assert_eq!(time.timeout(), SECOND);
        time.measured(100 * MILLISECOND);
        assert_eq!(time.smoothed(), 100 * MILLISECOND);
        assert_eq!(time.timeout(), 300 * MILLISECOND);
    }

    #[test]
    fn it_doubles_until_something_is_measured() {
        let mut time = RoundTrip::default();
        time.measured(10 * MILLISECOND);
        let usual = time.timeout();
        time.back_off();
        time.back_off();
        assert_eq!(time.timeout(), 4 * usual);
        for _ in 0..100 {
            time.back_off();
        }
        assert_eq!(time.timeout(), LONGEST);
        time.measured(10 * MILLISECOND);
        assert!(time.timeout() <= usual);
    }
}
