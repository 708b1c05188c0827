//! Policies and what follows from them for the order of threads.

/// How a thread competes for processors (`sched(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// Fair shares by nice value (`SCHED_OTHER`).
    Normal = 0,
    /// Real-time, until it waits or yields (`SCHED_FIFO`).
    FirstInFirstOut = 1,
    /// Real-time, in turns among equals (`SCHED_RR`).
    RoundRobin = 2,
    /// As [`Policy::Normal`], but it never preempts when it wakes (`SCHED_BATCH`).
    Batch = 3,
    /// Only what nobody else wants (`SCHED_IDLE`).
    Idle = 5,
}

impl Policy {
    /// The policy of a number of Linux, without flags.
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Normal,
            1 => Self::FirstInFirstOut,
            2 => Self::RoundRobin,
            3 => Self::Batch,
            5 => Self::Idle,
            _ => return None,
        })
    }

    pub(crate) fn from_stored(number: u8) -> Self {
        Self::from_number(u32::from(number)).unwrap_or(Self::Normal)
    }

    /// Whether it is one of the real-time policies, which have static priorities from 1 to 99.
    pub fn is_real_time(self) -> bool {
        matches!(self, Self::FirstInFirstOut | Self::RoundRobin)
    }
}

/// Threads of a lower rank run only when none of a higher one wants to; smaller is higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(u8);

impl Rank {
    const FAIR: u8 = 100;

    pub(crate) fn of(policy: Policy, priority: u8) -> Self {
        if policy.is_real_time() {
            Self(99 - priority.clamp(1, 99))
        } else {
            Self(Self::FAIR)
        }
    }

    pub(crate) fn is_real_time(self) -> bool {
        self.0 < Self::FAIR
    }
}
