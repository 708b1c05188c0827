//! The layout of a machine image.
//!
//! An image is an ELF64 executable that any monitor with the PVH boot protocol can start. Its loadable
//! segments are those of the kernel and, behind them, one more: the *payload*. The payload's physical
//! address is the first multiple of [`PAYLOAD_ALIGNMENT`] at or above the end of the kernel's last
//! segment in memory (`p_paddr + p_memsz`), so both sides know it without being told.
//!
//! ```text
//! payload:  ImageHeader │ Configuration (postcard) │ padding │ root file system (EROFS, 4 KiB blocks)
//! ```
//!
//! Offsets in the header count from the start of the payload. The root file system starts at a multiple
//! of [`PAYLOAD_ALIGNMENT`], so that its blocks are page frames.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Alignment, in bytes, of the payload and of the root file system: one page frame.
pub const PAYLOAD_ALIGNMENT: u64 = 4096;

/// The first eight bytes of a payload.
pub const IMAGE_MAGIC: [u8; 8] = *b"PITHIMG\0";

/// The version of [`ImageHeader`] and [`Configuration`]; a kernel refuses any other.
pub const IMAGE_VERSION: u32 = 5;

/// The most virtual CPUs of a machine; the kernel has room for no more.
pub const MAXIMUM_CPUS: u32 = 64;

/// The start of a payload. All integers are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ImageHeader {
    /// [`IMAGE_MAGIC`].
    pub magic: [u8; 8],
    /// [`IMAGE_VERSION`].
    pub version: u32,
    /// Size of this structure in bytes.
    pub header_size: u32,
    /// Offset of the postcard-encoded [`Configuration`], in bytes.
    pub configuration_offset: u64,
    /// Length of the encoded configuration, in bytes.
    pub configuration_length: u64,
    /// Offset of the EROFS root file system, in bytes; a multiple of [`PAYLOAD_ALIGNMENT`].
    pub root_offset: u64,
    /// Length of the root file system, in bytes; a multiple of [`PAYLOAD_ALIGNMENT`].
    pub root_length: u64,
    /// SHA-256 of the encoded configuration followed by the root file system. `pith inspect` checks it;
    /// the kernel does not, to keep boot time independent of the image's size.
    pub digest: [u8; 32],
}

/// Everything about a machine that is fixed when its image is built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Version of the kernel in this image, such as `0.1.0`.
    pub kernel_version: String,
    /// Guest path of the program (bytes without NUL).
    pub program: Vec<u8>,
    /// `argv`, with `argv[0]`. Each without NUL.
    pub arguments: Vec<Vec<u8>>,
    /// `envp`: `NAME=VALUE` each, without NUL.
    pub environment: Vec<Vec<u8>>,
    /// Working directory; an absolute guest path.
    pub working_directory: Vec<u8>,
    /// In whose name the program starts; without it, root with all capabilities.
    pub user: Option<User>,
    /// Host name as `uname(2)` gives it.
    pub hostname: String,
    /// Memory that the monitor gives the machine unless told otherwise, in MiB; 0 leaves it to the monitor.
    pub memory_mebibytes: u32,
    /// Virtual CPUs that the monitor gives the machine unless told otherwise, at most [`MAXIMUM_CPUS`]; 0 means 1.
    pub cpus: u32,
    /// Print every system call in strace's notation.
    pub trace: bool,
    /// Least severe level of kernel messages that are shown.
    pub log_level: LogLevel,
    /// Whether a program of the image may open sockets. Those that can't need no network card.
    pub sockets: bool,
    /// What the network cards are set to, one after the other, in the notation of `libs/network_settings`. Cards beyond
    /// these are set as the kernel command line says.
    pub network: Vec<String>,
    /// How much may be written above the image, and further file systems in memory, in the notation of
    /// `libs/storage_settings`.
    pub storage: Vec<String>,
    /// What the kernel command line may change.
    pub overridable: Overridable,
}

/// In whose name a program runs, as `credentials(7)` numbers users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User number: real, effective and saved.
    pub user: u32,
    /// Group number: real, effective and saved.
    pub group: u32,
    /// Supplementary groups.
    pub supplementary: Vec<u32>,
}

/// What the kernel command line may change in a [`Configuration`]; everything else is baked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overridable {
    /// `pith.argument=` replaces the arguments after `argv[0]`.
    pub arguments: bool,
    /// `pith.environment=` adds or replaces variables.
    pub environment: bool,
    /// `pith.working_directory=`.
    pub working_directory: bool,
    /// `pith.network=` replaces the settings of a card.
    pub network: bool,
    /// `pith.storage=` adds file systems in memory or replaces their settings.
    pub storage: bool,
    /// `pith.user=` says in whose name the program runs.
    pub user: bool,
    /// `pith.trace=` and `pith.log=`: what is told about the program, not what it does.
    pub diagnostics: bool,
}

/// Severity of a kernel message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum LogLevel {
    /// The machine, or the program, can't go on.
    Error = 1,
    /// Something that explains a failure later on: a system call that is not implemented, say.
    #[default]
    Warn = 2,
    /// Milestones of boot.
    Info = 3,
    /// For whoever works on the kernel.
    Debug = 4,
    /// Every event.
    Trace = 5,
}
