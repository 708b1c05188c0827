//! Linux's native asynchronous input and output: `io_submit(2)`.
//!
//! Source: `uapi/linux/aio_abi.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a request does (`IOCB_CMD_…`).
#[allow(missing_docs, reason = "the names are those of the header")]
pub mod command {
    pub const PREAD: u16 = 0;
    pub const PWRITE: u16 = 1;
    pub const FSYNC: u16 = 2;
    pub const FDSYNC: u16 = 3;
    pub const POLL: u16 = 5;
    pub const NOOP: u16 = 6;
    pub const PREADV: u16 = 7;
    pub const PWRITEV: u16 = 8;
}

/// Flag of a request: an event counter is told of its end (`IOCB_FLAG_RESFD`).
pub const TELL_EVENT_COUNTER: u32 = 1;
/// Flag of a request: it has a priority (`IOCB_FLAG_IOPRIO`).
pub const HAS_PRIORITY: u32 = 2;

/// Most requests of all contexts (`fs.aio-max-nr`).
pub const MAXIMUM_REQUESTS: u64 = 65_536;

/// `struct iocb`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ControlBlock {
    /// Given back with the event.
    pub data: u64,
    /// Written by the kernel: 0.
    pub key: u32,
    /// `RWF_…`
    pub flags_of_transfer: i32,
    /// [`command`].
    pub command: u16,
    /// Priority.
    pub priority: i16,
    /// The descriptor.
    pub descriptor: u32,
    /// Address of memory, or events.
    pub buffer: u64,
    /// Bytes, or pieces.
    pub length: u64,
    /// Position in the file.
    pub offset: i64,
    /// Nothing.
    pub reserved: u64,
    /// [`TELL_EVENT_COUNTER`], [`HAS_PRIORITY`].
    pub flags: u32,
    /// The descriptor of the event counter.
    pub event_counter: u32,
}

/// `struct io_event`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Event {
    /// From the request.
    pub data: u64,
    /// Address of the request.
    pub request: u64,
    /// Bytes or events, or a negative error number.
    pub result: i64,
    /// 0.
    pub result2: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_linux() {
        assert_eq!(size_of::<ControlBlock>(), 64);
        assert_eq!(size_of::<Event>(), 32);
    }
}
