//! Waiting for events: `epoll(7)` and `eventfd(2)`.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::files::PollEvents;

bitflags! {
    /// How an event poll is interested in a file, beyond the events themselves (the upper bits of
    /// `epoll_event.events`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct InterestFlags: u32 {
        /// Of all event polls that watch the file so, only one is told (`EPOLLEXCLUSIVE`).
        const EXCLUSIVE = 1 << 28;
        /// The machine stays awake while the event is handled (`EPOLLWAKEUP`).
        const WAKE_UP = 1 << 29;
        /// Reported once, then not until it is changed (`EPOLLONESHOT`).
        const ONE_SHOT = 1 << 30;
        /// Reported when something happens, not while it lasts (`EPOLLET`).
        const EDGE = 1 << 31;
    }
}

/// An event, as the program gives and gets it (`struct epoll_event`, which is packed on x86-64).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
pub struct EventRecord {
    /// [`PollEvents`] in the lower half, [`InterestFlags`] in the upper bits.
    pub events: u32,
    /// Whatever the program wants to be told with the event.
    pub data: u64,
}

impl EventRecord {
    /// The events.
    pub fn poll_events(self) -> PollEvents {
        PollEvents::from_bits_retain(self.events as u16)
    }

    /// The flags.
    pub fn flags(self) -> InterestFlags {
        InterestFlags::from_bits_truncate(self.events)
    }
}

/// What `epoll_ctl(2)` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventControl {
    /// Adds a file (`EPOLL_CTL_ADD`).
    Add,
    /// Takes a file out (`EPOLL_CTL_DEL`).
    Delete,
    /// Changes the interest in a file (`EPOLL_CTL_MOD`).
    Modify,
}

impl EventControl {
    /// By its number.
    pub const fn from_number(number: i32) -> Option<Self> {
        match number {
            1 => Some(Self::Add),
            2 => Some(Self::Delete),
            3 => Some(Self::Modify),
            _ => None,
        }
    }
}

bitflags! {
    /// Flags of `eventfd2(2)` of its own.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct EventCounterFlags: u32 {
        /// Each reading takes 1 (`EFD_SEMAPHORE`).
        const SEMAPHORE = 1;
    }
}
