//! The frames that host and guest exchange.
//!
//! The channel is one ordered, reliable byte stream in each direction: a virtio console port where the
//! monitor has one, a serial port otherwise. Each frame is a [`FrameHeader`] and `length` bytes of payload.
//!
//! Standard input is flow-controlled by credit, so that control frames (signals) never queue behind
//! input that the program does not read: the host may have sent at most as many bytes of [`FrameKind::Input`]
//! as the sum of all [`FrameKind::InputCredit`] grants.
//!
//! When no channel is named on the command line, the guest writes plain text to the first serial port.

use alloc::string::String;
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of this protocol, sent in [`FrameKind::Ready`]. Guests of version 1 know no [`FrameKind::Time`]; those before
/// version 3 send no [`FrameKind::Lacking`].
pub const CHANNEL_VERSION: u32 = 3;

/// Largest payload of one frame, in bytes. A receiver treats more as a broken channel.
pub const MAXIMUM_PAYLOAD: u32 = 65536;

/// The start of each frame. Little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FrameHeader {
    /// A [`FrameKind`].
    pub kind: u8,
    /// Meaning depends on the kind: a stream number, a level, else 0.
    pub detail: u8,
    /// 0.
    pub reserved: u16,
    /// Length of the payload, in bytes.
    pub length: u32,
}

/// What a frame says. Values below 64 go from guest to host, the others from host to guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// The guest's channel is up. Payload: [`CHANNEL_VERSION`] as `u32`.
    Ready = 1,
    /// Bytes that the program wrote. Detail: file descriptor of the stream, 1 or 2.
    Output = 2,
    /// A kernel message in UTF-8 without trailing newline. Detail: [`LogLevel`](crate::image::LogLevel).
    Log = 3,
    /// The guest can take more standard input. Payload: `u32`, bytes granted in addition.
    InputCredit = 4,
    /// The program set the terminal's attributes. Payload: the 36 bytes of the kernel's `struct termios`.
    /// Detail: file descriptor that it used.
    TerminalAttributes = 5,
    /// The machine is done; the last frame. Payload: [`ExitReport`] in postcard.
    Exit = 6,
    /// One line of the system call trace in UTF-8, without trailing newline.
    Trace = 7,
    /// Paths that the program looked for in the image in vain, each with a byte of zero behind it. Comes before
    /// [`Self::Exit`], perhaps several times.
    Lacking = 8,
    /// Bytes for the program's standard input.
    Input = 64,
    /// Standard input has ended.
    InputEnd = 65,
    /// Deliver a signal to the program. Payload: signal number as `u32`.
    Signal = 66,
    /// The terminal's size. Payload: rows `u16`, columns `u16`.
    WindowSize = 67,
    /// Nobody reads this output any more (`EPIPE` on the host). Detail: 1 or 2.
    OutputClosed = 68,
    /// What time it is, in answer to [`FrameKind::Ready`]. Payload: nanoseconds since 1970 (UTC) as `u64`.
    Time = 69,
}

/// How a machine ended, and what it used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    /// How it ended.
    pub outcome: Outcome,
    /// When it passed which point.
    pub timeline: Timeline,
    /// Memory at the end.
    pub memory: MemoryReport,
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The program called `exit_group` with this status.
    Exited(u8),
    /// The program died of this signal. The command's status is 128 + signal.
    Signaled {
        /// Signal number, 1–64.
        signal: u8,
        /// Why, for people: the faulting address, for example. May be empty.
        reason: String,
    },
    /// The program could not be started: errno of the failed step and a sentence that names it.
    NotStarted {
        /// Linux error number.
        errno: u16,
        /// What failed, and what to do.
        message: String,
    },
    /// A defect of the kernel. The log holds registers and backtrace.
    Panicked(String),
}

/// Points in the life of a machine, in ticks of its time stamp counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The kernel's first instruction.
    pub entry: u64,
    /// Just before the program's first instruction; 0 if it never ran.
    pub program: u64,
    /// When the report was made.
    pub exit: u64,
    /// Frequency of the counter; 0 if it was not measured.
    pub ticks_per_second: u64,
}

/// Memory of a machine, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryReport {
    /// Memory that the monitor gave.
    pub total: u64,
    /// Most that was ever in use, kernel and image included.
    pub peak: u64,
}
