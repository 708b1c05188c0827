//! The machine and the process as calls describe them: `uname`, `sysinfo`, limits and usage.
//!
//! Source: `uname(2)`, `sysinfo(2)`, `getrlimit(2)`, `getrusage(2)`, `getrandom(2)`; Linux's headers of the
//! same names.

use bitflags::bitflags;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::time::Timeval;

/// `struct new_utsname`: six strings, each ended by NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SystemName {
    /// `Linux`.
    pub system: [u8; 65],
    /// Host name.
    pub node: [u8; 65],
    /// Version of the interface, such as `6.1.0`.
    pub release: [u8; 65],
    /// Version of what is really running.
    pub version: [u8; 65],
    /// Processor architecture.
    pub machine: [u8; 65],
    /// Name of the NIS domain.
    pub domain: [u8; 65],
}

impl SystemName {
    /// A field that holds as much of the text as fits, with NUL behind it.
    pub fn field(text: &[u8]) -> [u8; 65] {
        let mut field = [0; 65];
        let length = text.len().min(64);
        field[..length].copy_from_slice(&text[..length]);
        field
    }
}

/// `struct sysinfo`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SystemInformation {
    /// Seconds since boot.
    pub uptime: i64,
    /// Load averages of 1, 5 and 15 minutes, times 65536.
    pub loads: [u64; 3],
    /// Memory, in `unit` bytes.
    pub total_memory: u64,
    /// Free memory.
    pub free_memory: u64,
    /// Memory shared between processes.
    pub shared_memory: u64,
    /// Memory in buffers.
    pub buffer_memory: u64,
    /// Swap space.
    pub total_swap: u64,
    /// Free swap space.
    pub free_swap: u64,
    /// Processes.
    pub processes: u16,
    /// Aligns what follows.
    pub reserved_0: u16,
    /// Aligns what follows.
    pub reserved_1: u32,
    /// High memory; 0.
    pub total_high: u64,
    /// Free high memory; 0.
    pub free_high: u64,
    /// Bytes of a unit of memory.
    pub unit: u32,
    /// Aligns the whole.
    pub reserved_2: u32,
}

/// `struct rlimit` and `struct rlimit64`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ResourceLimit {
    /// The limit in force; `u64::MAX` for none.
    pub soft: u64,
    /// How far it may be raised.
    pub hard: u64,
}

/// Names of the resources of `getrlimit(2)`, by number.
pub const RESOURCES: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// `struct rusage`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ResourceUsage {
    /// Time in the program's code.
    pub user_time: Timeval,
    /// Time in the kernel.
    pub system_time: Timeval,
    /// Most memory in use, in KiB.
    pub maximum_resident: i64,
    /// Four fields that Linux leaves 0.
    pub unused_sizes: [i64; 3],
    /// Page faults without input.
    pub minor_faults: i64,
    /// Page faults with input.
    pub major_faults: i64,
    /// Left 0.
    pub swaps: i64,
    /// Blocks read.
    pub input_blocks: i64,
    /// Blocks written.
    pub output_blocks: i64,
    /// Left 0.
    pub messages: [i64; 2],
    /// Left 0.
    pub signals: i64,
    /// Switches because the thread waited.
    pub voluntary_switches: i64,
    /// Switches because its time was over.
    pub involuntary_switches: i64,
}

bitflags! {
    /// Flags of `getrandom(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RandomFlags: u32 {
        /// `EAGAIN` instead of waiting.
        const NONBLOCK = 1;
        /// From `/dev/random`.
        const RANDOM = 2;
        /// Whatever there is, even before the generator is seeded.
        const INSECURE = 4;
    }
}

impl Default for SystemName {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn layouts_are_those_of_linux() {
        assert_eq!(size_of::<SystemName>(), 390);
        assert_eq!(size_of::<SystemInformation>(), 112);
        assert_eq!(offset_of!(SystemInformation, processes), 80);
        assert_eq!(offset_of!(SystemInformation, unit), 104);
        assert_eq!(size_of::<ResourceLimit>(), 16);
        assert_eq!(size_of::<ResourceUsage>(), 144);
        assert_eq!(offset_of!(ResourceUsage, minor_faults), 64);
        assert_eq!(offset_of!(ResourceUsage, voluntary_switches), 128);
    }

    #[test]
    fn long_names_are_cut() {
        let field = SystemName::field(&[b'a'; 100]);
        assert_eq!((field[63], field[64]), (b'a', 0));
    }
}
