//! Time: structures and the numbers of clocks.
//!
//! Source: `clock_gettime(2)`, `gettimeofday(2)`, `times(2)`; Linux's `uapi/linux/time.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Errno;

/// Nanoseconds of a second.
pub const NANOSECONDS: u64 = 1_000_000_000;

/// Ticks per second of `times(2)` (`USER_HZ`).
pub const TICKS_PER_SECOND: u64 = 100;

/// `struct timespec`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Timespec {
    /// Whole seconds.
    pub seconds: i64,
    /// And nanoseconds, 0–999 999 999.
    pub nanoseconds: i64,
}

impl Timespec {
    /// From nanoseconds.
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self {
            seconds: (nanoseconds / NANOSECONDS) as i64,
            nanoseconds: (nanoseconds % NANOSECONDS) as i64,
        }
    }

    /// In nanoseconds; the largest number if it does not fit.
    ///
    /// # Errors
    /// `EINVAL` if negative, or if the nanoseconds are a second or more.
    pub const fn to_nanoseconds(self) -> Result<u64, Errno> {
        if self.seconds < 0 || self.nanoseconds < 0 || self.nanoseconds >= NANOSECONDS as i64 {
            return Err(Errno::EINVAL);
        }
        Ok((self.seconds as u64)
            .saturating_mul(NANOSECONDS)
            .saturating_add(self.nanoseconds as u64))
    }
}

/// `struct timeval`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Timeval {
    /// Whole seconds.
    pub seconds: i64,
    /// And microseconds, 0–999 999.
    pub microseconds: i64,
}

impl Timeval {
    /// From nanoseconds, rounded down.
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self {
            seconds: (nanoseconds / NANOSECONDS) as i64,
            microseconds: (nanoseconds % NANOSECONDS / 1000) as i64,
        }
    }

    /// In nanoseconds; the largest number if it does not fit.
    ///
    /// # Errors
    /// `EINVAL` if negative, or if the microseconds are a second or more.
    pub const fn to_nanoseconds(self) -> Result<u64, Errno> {
        if self.seconds < 0 || self.microseconds < 0 || self.microseconds >= 1_000_000 {
            return Err(Errno::EINVAL);
        }
        Ok((self.seconds as u64)
            .saturating_mul(NANOSECONDS)
            .saturating_add(self.microseconds as u64 * 1000))
    }
}

/// `struct itimerval`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct IntervalTimer {
    /// What the timer starts from again when it has expired; 0 for once only.
    pub interval: Timeval,
    /// Time left; 0 if it does not run.
    pub value: Timeval,
}

/// `struct timezone`, which nobody uses any more.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Timezone {
    /// Minutes west of Greenwich.
    pub minutes_west: i32,
    /// Kind of daylight saving time.
    pub daylight_saving: i32,
}

/// `struct tms` of `times(2)`, in ticks of 1/[`TICKS_PER_SECOND`] s.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ProcessTimes {
    /// Of the process, in its own code.
    pub user: i64,
    /// Of the process, in the kernel.
    pub system: i64,
    /// Of its children that ended, in their own code.
    pub children_user: i64,
    /// Of its children that ended, in the kernel.
    pub children_system: i64,
}

/// A clock of `clock_gettime(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockId {
    /// Wall clock.
    Realtime,
    /// Since boot, never set.
    Monotonic,
    /// Processor time of the process.
    ProcessCpu,
    /// Processor time of the thread.
    ThreadCpu,
    /// Since boot, not even slewed.
    MonotonicRaw,
    /// Wall clock, fast.
    RealtimeCoarse,
    /// Since boot, fast.
    MonotonicCoarse,
    /// Since boot, with time spent in suspension.
    Boottime,
    /// As `Realtime`, for timers that wake the machine.
    RealtimeAlarm,
    /// As `Boottime`, for timers that wake the machine.
    BoottimeAlarm,
    /// International atomic time; equal to the wall clock until somebody sets the offset.
    Tai,
}

const CLOCKS: [(i32, ClockId, &str); 11] = [
    (0, ClockId::Realtime, "CLOCK_REALTIME"),
    (1, ClockId::Monotonic, "CLOCK_MONOTONIC"),
    (2, ClockId::ProcessCpu, "CLOCK_PROCESS_CPUTIME_ID"),
    (3, ClockId::ThreadCpu, "CLOCK_THREAD_CPUTIME_ID"),
    (4, ClockId::MonotonicRaw, "CLOCK_MONOTONIC_RAW"),
    (5, ClockId::RealtimeCoarse, "CLOCK_REALTIME_COARSE"),
    (6, ClockId::MonotonicCoarse, "CLOCK_MONOTONIC_COARSE"),
    (7, ClockId::Boottime, "CLOCK_BOOTTIME"),
    (8, ClockId::RealtimeAlarm, "CLOCK_REALTIME_ALARM"),
    (9, ClockId::BoottimeAlarm, "CLOCK_BOOTTIME_ALARM"),
    (11, ClockId::Tai, "CLOCK_TAI"),
];

impl ClockId {
    /// The clock with this number.
    pub fn from_number(number: i32) -> Option<Self> {
        CLOCKS.iter().find(|row| row.0 == number).map(|row| row.1)
    }

    /// The name of the constant.
    pub fn name(self) -> &'static str {
        CLOCKS
            .iter()
            .find(|row| row.1 == self)
            .map_or("", |row| row.2)
    }
}

/// Flag of `clock_nanosleep(2)`: the time is a point, not a duration.
pub const TIMER_ABSTIME: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_checked_and_converted() {
        assert_eq!(
            Timespec {
                seconds: 1,
                nanoseconds: 2
            }
            .to_nanoseconds(),
            Ok(1_000_000_002)
        );
        assert_eq!(
            Timespec {
                seconds: -1,
                nanoseconds: 2
            }
            .to_nanoseconds(),
            Err(Errno::EINVAL)
        );
        assert_eq!(
            Timespec {
                seconds: 0,
                nanoseconds: 1_000_000_000
            }
            .to_nanoseconds(),
            Err(Errno::EINVAL)
        );
        assert_eq!(
            Timespec {
                seconds: i64::MAX,
                nanoseconds: 0
            }
            .to_nanoseconds(),
            Ok(u64::MAX)
        );
        assert_eq!(
            Timespec::from_nanoseconds(3_000_000_004),
            Timespec {
                seconds: 3,
                nanoseconds: 4
            }
        );
        assert_eq!(
            Timeval::from_nanoseconds(3_000_004_999),
            Timeval {
                seconds: 3,
                microseconds: 4
            }
        );
        assert_eq!(
            Timeval {
                seconds: 0,
                microseconds: 1_000_000
            }
            .to_nanoseconds(),
            Err(Errno::EINVAL)
        );
    }

    #[test]
    fn clocks_have_linux_numbers() {
        assert_eq!(ClockId::from_number(7), Some(ClockId::Boottime));
        assert_eq!(ClockId::from_number(10), None);
        assert_eq!(ClockId::from_number(-1), None);
        assert_eq!(ClockId::Tai.name(), "CLOCK_TAI");
    }

    #[test]
    fn layouts_are_those_of_linux() {
        assert_eq!(size_of::<Timespec>(), 16);
        assert_eq!(size_of::<Timeval>(), 16);
        assert_eq!(size_of::<IntervalTimer>(), 32);
        assert_eq!(size_of::<Timezone>(), 8);
        assert_eq!(size_of::<ProcessTimes>(), 32);
    }
}
