//! Load averages: how many threads ran or wanted to, lately (`getloadavg(3)`).

/// Seconds after which the averages change.
pub const LOAD_PERIOD: u64 = 5;
/// Bits behind the point of the averages.
pub const LOAD_BITS: u32 = 11;
const ONE: u64 = 1 << LOAD_BITS;

/// What is left of the past after a period: e to the power of -5/60, -5/300 and -5/900.
const KEPT: [u64; 3] = [1884, 2014, 2037];

/// The averages over 1, 5 and 15 minutes, with the weight of the past falling exponentially, as Linux reckons them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadAverages([u64; 3]);

impl LoadAverages {
    /// Nothing has run.
    pub const fn new() -> Self {
        Self([0; 3])
    }

    /// The averages, in units of 2^-[`LOAD_BITS`].
    pub fn get(&self) -> [u64; 3] {
        self.0
    }

    /// So many periods have passed in which, on average, so many threads ran or wanted to (in units of 2^-[`LOAD_BITS`]).
    pub fn pass(&mut self, periods: u64, active: u64) {
        for (average, kept) in self.0.iter_mut().zip(KEPT) {
            let kept = power(kept, periods);
            let sum = *average * kept + active * (ONE - kept);
            // Rounded towards what is approached, so that it is reached.
            let round = if active >= *average { ONE - 1 } else { 0 };
            *average = (sum + round) / ONE;
        }
    }
}

/// A power of a number below one, in units of 2^-[`LOAD_BITS`].
fn power(mut base: u64, mut exponent: u64) -> u64 {
    let mut result = ONE;
    while exponent != 0 {
        if exponent & 1 != 0 {
            result = (result * base + ONE / 2) / ONE;
        }
        base = (base * base + ONE / 2) / ONE;
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_busy_thread_approaches_one() {
        let mut load = LoadAverages::new();
        load.pass(12, ONE);
        let [one, five, fifteen] = load.get();
        // 1 - 1/e after a minute; the others follow more slowly.
        assert!((1250..=1330).contains(&one), "{one}");
        assert!((360..=390).contains(&five), "{five}");
        assert!((125..=145).contains(&fifteen), "{fifteen}");
        load.pass(10_000, ONE);
        assert_eq!(load.get(), [ONE; 3]);
        load.pass(100_000, 0);
        assert_eq!(load.get(), [0; 3]);
    }

    #[test]
    fn periods_at_once_are_the_same_as_one_by_one() {
        let (mut at_once, mut apart) = (LoadAverages::new(), LoadAverages::new());
        at_once.pass(60, 3 * ONE);
        for _ in 0..60 {
            apart.pass(1, 3 * ONE);
        }
        for (one, other) in at_once.get().into_iter().zip(apart.get()) {
            assert!(one.abs_diff(other) < ONE / 8, "{one} {other}");
        }
    }
}
