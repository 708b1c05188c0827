//! Files: flags of the calls that open and find them, and the structures that describe them.
//!
//! Source: `open(2)`, `stat(2)`, `statx(2)`, `statfs(2)`, `getdents(2)`, `fcntl(2)`, `poll(2)`, `termios(3)`
//! and the kernel's headers in `include/uapi`.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest path that a system call takes, with its NUL (`PATH_MAX`), in bytes.
pub const PATH_MAX: usize = 4096;

/// Longest name in a directory, in bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;

/// Most bytes that one call reads or writes (`MAX_RW_COUNT`): the rest is left to the next one.
pub const MAXIMUM_TRANSFER: usize = 0x7fff_f000;

/// Most pieces of memory in `readv(2)` and its relatives (`UIO_MAXIOV`).
pub const MAXIMUM_PIECES: usize = 1024;

/// Instead of a directory's descriptor: the working directory (`AT_FDCWD`).
pub const AT_FDCWD: i32 = -100;

bitflags! {
    /// How a file is opened, and what `F_GETFL` tells about an open file (`open(2)`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        /// For writing only. Both access bits together: for neither, but `ioctl` only.
        const WRITE_ONLY = 0o1;
        /// For reading and writing.
        const READ_WRITE = 0o2;
        /// Create it if there is none (`O_CREAT`).
        const CREATE = 0o100;
        /// Fail if there is one (`O_EXCL`).
        const EXCLUSIVE = 0o200;
        /// A terminal does not become the controlling one (`O_NOCTTY`).
        const NO_CONTROLLING_TERMINAL = 0o400;
        /// Cut it to length 0 (`O_TRUNC`).
        const TRUNCATE = 0o1000;
        /// Each write goes to the end (`O_APPEND`).
        const APPEND = 0o2000;
        /// Fail with `EAGAIN` rather than wait (`O_NONBLOCK`).
        const NONBLOCKING = 0o4000;
        /// Data is stored when a write returns (`O_DSYNC`).
        const DATA_SYNCHRONOUS = 0o10000;
        /// Send `SIGIO` (`O_ASYNC`).
        const ASYNCHRONOUS = 0o20000;
        /// Past the page cache (`O_DIRECT`); for pipes: packets.
        const DIRECT = 0o40000;
        /// Large files are welcome (`O_LARGEFILE`); always so in 64-bit programs.
        const LARGE_FILE = 0o100_000;
        /// Fail if it is no directory (`O_DIRECTORY`).
        const DIRECTORY = 0o200_000;
        /// Fail if the last name is a symbolic link (`O_NOFOLLOW`).
        const NO_FOLLOW = 0o400_000;
        /// Reading leaves the access time alone (`O_NOATIME`).
        const NO_ACCESS_TIME = 0o1_000_000;
        /// Close it when another program is executed (`O_CLOEXEC`).
        const CLOSE_ON_EXEC = 0o2_000_000;
        /// Data and metadata are stored when a write returns (the part of `O_SYNC` that `O_DSYNC` lacks).
        const SYNCHRONOUS = 0o4_000_000;
        /// Only find it (`O_PATH`).
        const PATH = 0o10_000_000;
        /// Create a file without name in a directory (the part of `O_TMPFILE` that `O_DIRECTORY` lacks).
        const TEMPORARY = 0o20_000_000;
    }
}

impl OpenFlags {
    /// Whether reading is asked for.
    pub fn reads(self) -> bool {
        self.bits() & 3 == 0 || self.bits() & 3 == 2
    }

    /// Whether permission to write is asked for: by the access bits, of which both mean neither reading nor writing but
    /// take both permissions, or in order to cut the file.
    pub fn asks_for_writing(self) -> bool {
        self.bits() & 3 != 0 || self.contains(Self::TRUNCATE)
    }

    /// Whether reading is asked for, when it is opened.
    pub fn asks_for_reading(self) -> bool {
        self.bits() & 3 != 1
    }

    /// Whether writing is asked for.
    pub fn writes(self) -> bool {
        matches!(self.bits() & 3, 1 | 2)
    }
}

bitflags! {
    /// Flags of the calls that take a directory's descriptor (`AT_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct AtFlags: u32 {
        /// The last name is not followed if it is a symbolic link.
        const SYMLINK_NOFOLLOW = 0x100;
        /// `unlinkat`: remove a directory. `faccessat`: with the effective identity.
        const REMOVE_DIRECTORY = 0x200;
        /// The last name is followed if it is a symbolic link (`linkat`).
        const SYMLINK_FOLLOW = 0x400;
        /// Nothing is mounted in order to answer.
        const NO_AUTOMOUNT = 0x800;
        /// An empty path means the descriptor's own file.
        const EMPTY_PATH = 0x1000;
        /// `statx`: do not ask a remote server.
        const STATX_DONT_SYNC = 0x4000;
        /// `statx`: ask the remote server.
        const STATX_FORCE_SYNC = 0x2000;
    }
}

bitflags! {
    /// Flags of `renameat2(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        /// Fail if the new name exists.
        const NO_REPLACE = 1;
        /// Swap both names.
        const EXCHANGE = 2;
        /// Leave a whiteout behind.
        const WHITEOUT = 4;
    }
}

bitflags! {
    /// What can happen to a file without waiting (`poll(2)`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PollEvents: u16 {
        /// There is something to read, or the end.
        const IN = 0x1;
        /// There is urgent data.
        const PRIORITY = 0x2;
        /// Writing will not block.
        const OUT = 0x4;
        /// An error; for a pipe: nobody reads any more.
        const ERROR = 0x8;
        /// The other side is gone.
        const HANG_UP = 0x10;
        /// The descriptor is not open.
        const INVALID = 0x20;
        /// As `IN`.
        const READ_NORMAL = 0x40;
        /// Priority band data can be read.
        const READ_BAND = 0x80;
        /// As `OUT`.
        const WRITE_NORMAL = 0x100;
        /// Priority data may be written.
        const WRITE_BAND = 0x200;
        /// The other side has shut down its writing half.
        const READ_HANG_UP = 0x2000;
    }
}

/// A time (`struct timespec`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FileTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds; in `utimensat(2)` also [`FileTime::NOW`] or [`FileTime::OMIT`].
    pub nanoseconds: i64,
}

impl FileTime {
    /// In the nanoseconds: the time of the call (`UTIME_NOW`).
    pub const NOW: i64 = 0x3fff_ffff;
    /// In the nanoseconds: leave the time as it is (`UTIME_OMIT`).
    pub const OMIT: i64 = 0x3fff_fffe;
}

/// What `stat(2)` tells (`struct stat`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Stat {
    /// Device that holds the file.
    pub device: u64,
    /// Number of the inode.
    pub inode: u64,
    /// Number of hard links.
    pub links: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// 0.
    pub padding: u32,
    /// Device that a device file stands for.
    pub represents: u64,
    /// Size in bytes.
    pub size: i64,
    /// Best size of reads and writes, in bytes.
    pub block_size: i64,
    /// Memory or disk that it uses, in units of 512 bytes.
    pub blocks: i64,
    /// Last reading.
    pub accessed: FileTime,
    /// Last change of the content.
    pub modified: FileTime,
    /// Last change of content or metadata.
    pub changed: FileTime,
    /// 0.
    pub reserved: [i64; 3],
}

/// A time in [`Statx`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct StatxTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds of that.
    pub nanoseconds: u32,
    /// 0.
    pub reserved: i32,
}

/// What `statx(2)` tells (`struct statx`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Statx {
    /// Which fields are valid.
    pub mask: u32,
    /// Best size of reads and writes, in bytes.
    pub block_size: u32,
    /// Properties of the file.
    pub attributes: u64,
    /// Number of hard links.
    pub links: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Type and permissions.
    pub mode: u16,
    /// 0.
    pub padding: u16,
    /// Number of the inode.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Memory or disk that it uses, in units of 512 bytes.
    pub blocks: u64,
    /// Which of the attributes the file system knows.
    pub attributes_mask: u64,
    /// Last reading.
    pub accessed: StatxTime,
    /// Creation.
    pub created: StatxTime,
    /// Last change of content or metadata.
    pub changed: StatxTime,
    /// Last change of the content.
    pub modified: StatxTime,
    /// Major number of the device that a device file stands for.
    pub represents_major: u32,
    /// Its minor number.
    pub represents_minor: u32,
    /// Major number of the device that holds the file.
    pub device_major: u32,
    /// Its minor number.
    pub device_minor: u32,
    /// Number of the mount.
    pub mount: u64,
    /// Alignment of memory for direct transfers.
    pub direct_memory_alignment: u32,
    /// Alignment of offsets for direct transfers.
    pub direct_offset_alignment: u32,
    /// 0.
    pub reserved: [u64; 12],
}

impl Statx {
    /// The fields of `stat(2)` (`STATX_BASIC_STATS`).
    pub const BASIC: u32 = 0x7ff;
    /// Time of creation (`STATX_BTIME`).
    pub const CREATED: u32 = 0x800;
    /// Number of the mount (`STATX_MNT_ID`).
    pub const MOUNT: u32 = 0x1000;
    /// The same, as no other mount ever had it (`STATX_MNT_ID_UNIQUE`).
    pub const UNIQUE_MOUNT: u32 = 0x4000;
    /// A bit that a caller must not set.
    pub const RESERVED: u32 = 0x8000_0000;
    /// Attribute: a mount's root (`STATX_ATTR_MOUNT_ROOT`).
    pub const MOUNT_ROOT: u64 = 0x2000;
}

/// What `statfs(2)` tells (`struct statfs`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Statfs {
    /// Magic number of the type of file system.
    pub kind: i64,
    /// Best size of transfers, in bytes.
    pub block_size: i64,
    /// Size of the file system, in blocks.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Free blocks for ordinary users.
    pub available: u64,
    /// Inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// Number of the file system.
    pub identity: [i32; 2],
    /// Longest name.
    pub name_length: i64,
    /// Size of fragments, in bytes: the unit of the counts above.
    pub fragment_size: i64,
    /// Flags of the mount.
    pub flags: i64,
    /// 0.
    pub spare: [i64; 4],
}

/// How a file is opened by `openat2(2)` (`struct open_how`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct OpenHow {
    /// [`OpenFlags`]; no other bits may be set.
    pub flags: u64,
    /// Permissions of a new file; otherwise 0.
    pub mode: u64,
    /// Where the path must not lead (`RESOLVE_*`).
    pub resolve: u64,
}

/// Length of the fixed part of a `struct linux_dirent64`, in bytes; the name and a NUL follow, and padding up
/// to a multiple of 8.
pub const DIRENT_HEADER: usize = 19;

/// Encodes the fixed part of a directory entry of `getdents64(2)`.
pub fn dirent_header(inode: u64, next: u64, length: u16, kind: u8) -> [u8; DIRENT_HEADER] {
    let mut bytes = [0; DIRENT_HEADER];
    bytes[..8].copy_from_slice(&inode.to_le_bytes());
    bytes[8..16].copy_from_slice(&next.to_le_bytes());
    bytes[16..18].copy_from_slice(&length.to_le_bytes());
    bytes[18] = kind;
    bytes
}

/// Length of an entry of `getdents64(2)` with a name of `name` bytes.
pub const fn dirent_length(name: usize) -> usize {
    (DIRENT_HEADER + name + 1).next_multiple_of(8)
}

/// Length of the fixed part of a `struct linux_dirent` (`getdents(2)`), in bytes; the name, a NUL, padding and,
/// as the last byte, the type follow.
pub const OLD_DIRENT_HEADER: usize = 18;

/// Length of an entry of `getdents(2)` with a name of `name` bytes.
pub const fn old_dirent_length(name: usize) -> usize {
    (OLD_DIRENT_HEADER + name + 2).next_multiple_of(8)
}

/// A piece of memory (`struct iovec`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct IoVector {
    /// First address.
    pub address: u64,
    /// Length in bytes.
    pub length: u64,
}

/// What to look for at one descriptor, and what was found (`struct pollfd`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PollDescriptor {
    /// The descriptor; ignored if negative.
    pub descriptor: i32,
    /// [`PollEvents`] that are asked for.
    pub events: u16,
    /// [`PollEvents`] that were found.
    pub returned: u16,
}

/// A lock on a part of a file (`struct flock`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FileLock {
    /// [`FileLock::READ`], [`FileLock::WRITE`] or [`FileLock::UNLOCK`].
    pub kind: i16,
    /// What `start` counts from, as in `lseek(2)`.
    pub whence: i16,
    /// 0.
    pub padding: u32,
    /// First byte.
    pub start: i64,
    /// Number of bytes; 0 up to the end of time.
    pub length: i64,
    /// Who holds the lock.
    pub process: i32,
    /// 0.
    pub padding_end: u32,
}

impl FileLock {
    /// Shared lock.
    pub const READ: i16 = 0;
    /// Exclusive lock.
    pub const WRITE: i16 = 1;
    /// No lock.
    pub const UNLOCK: i16 = 2;
}

/// Settings of a terminal, as the kernel keeps them (`struct termios` of `asm-generic/termbits.h`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Termios {
    /// Treatment of input.
    pub input: u32,
    /// Treatment of output.
    pub output: u32,
    /// Treatment of the line.
    pub control: u32,
    /// Echo, lines, signals.
    pub local: u32,
    /// Line discipline.
    pub discipline: u8,
    /// Characters with a meaning.
    pub characters: [u8; 19],
}

impl Termios {
    /// What a terminal on Linux starts with: lines, echo, signals, 38400 baud (`tty_std_termios`).
    pub const STANDARD: Self = Self {
        input: 0o400 | 0o2000,
        output: 0o1 | 0o4,
        control: 0o17 | 0o60 | 0o200 | 0o2000,
        local: 0o1 | 0o2 | 0o10 | 0o20 | 0o40 | 0o1000 | 0o4000 | 0o100_000,
        discipline: 0,
        characters: [
            3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0,
        ],
    };
}

/// Size of a terminal (`struct winsize`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct WindowSize {
    /// Rows of characters.
    pub rows: u16,
    /// Columns of characters.
    pub columns: u16,
    /// Width in pixels; 0 if unknown.
    pub width: u16,
    /// Height in pixels; 0 if unknown.
    pub height: u16,
}

/// A device number: which driver, and which of its devices (`makedev(3)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Number of the driver.
    pub major: u32,
    /// Number of the device.
    pub minor: u32,
}

impl DeviceNumber {
    /// A device number.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Takes the form of `st_dev` and `st_rdev` apart.
    pub const fn decode(encoded: u64) -> Self {
        Self {
            major: ((encoded >> 8) & 0xfff) as u32,
            minor: ((encoded & 0xff) | ((encoded >> 12) & 0xfff_ff00)) as u32,
        }
    }

    /// The form of `st_dev` and `st_rdev`.
    pub const fn encode(self) -> u64 {
        (self.minor as u64 & 0xff)
            | ((self.major as u64 & 0xfff) << 8)
            | ((self.minor as u64 & !0xff) << 12)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn structures_have_the_layout_of_linux() {
        assert_eq!(size_of::<Stat>(), 144);
        assert_eq!(offset_of!(Stat, mode), 24);
        assert_eq!(offset_of!(Stat, represents), 40);
        assert_eq!(offset_of!(Stat, size), 48);
        assert_eq!(offset_of!(Stat, blocks), 64);
        assert_eq!(offset_of!(Stat, accessed), 72);
        assert_eq!(offset_of!(Stat, changed), 104);
        assert_eq!(size_of::<Statx>(), 256);
        assert_eq!(offset_of!(Statx, mode), 28);
        assert_eq!(offset_of!(Statx, size), 40);
        assert_eq!(offset_of!(Statx, accessed), 64);
        assert_eq!(offset_of!(Statx, represents_major), 128);
        assert_eq!(offset_of!(Statx, mount), 144);
        assert_eq!(size_of::<OpenHow>(), 24);
        assert_eq!(size_of::<Statfs>(), 120);
        assert_eq!(offset_of!(Statfs, identity), 56);
        assert_eq!(offset_of!(Statfs, flags), 80);
        assert_eq!(size_of::<PollDescriptor>(), 8);
        assert_eq!(size_of::<FileLock>(), 32);
        assert_eq!(offset_of!(FileLock, start), 8);
        assert_eq!(offset_of!(FileLock, process), 24);
        assert_eq!(size_of::<Termios>(), 36);
        assert_eq!(offset_of!(Termios, characters), 17);
        assert_eq!(size_of::<WindowSize>(), 8);
        assert_eq!(size_of::<IoVector>(), 16);
    }

    #[test]
    fn directory_entries_are_aligned_and_end_with_nul() {
        assert_eq!(dirent_length(1), 24);
        assert_eq!(dirent_length(4), 24);
        assert_eq!(dirent_length(5), 32);
        assert_eq!(old_dirent_length(1), 24);
        assert_eq!(old_dirent_length(4), 24);
        assert_eq!(old_dirent_length(5), 32);
        let header = dirent_header(0x0102, 7, 24, 8);
        assert_eq!(header[..2], [2, 1]);
        assert_eq!(header[8], 7);
        assert_eq!(header[16..], [24, 0, 8]);
    }

    #[test]
    fn device_numbers_are_encoded_as_by_makedev() {
        assert_eq!(DeviceNumber::new(1, 3).encode(), 0x103);
        assert_eq!(DeviceNumber::new(136, 0).encode(), 0x8800);
        assert_eq!(DeviceNumber::new(259, 0x12345).encode(), 0x1231_0345);
        for number in [
            DeviceNumber::new(0, 0),
            DeviceNumber::new(8, 17),
            DeviceNumber::new(4095, 0xf_ffff),
        ] {
            assert_eq!(DeviceNumber::decode(number.encode()), number);
        }
    }

    #[test]
    fn access_modes_are_read_from_the_two_lowest_bits() {
        assert!(OpenFlags::empty().reads() && !OpenFlags::empty().writes());
        assert!(!OpenFlags::WRITE_ONLY.reads() && OpenFlags::WRITE_ONLY.writes());
        assert!(OpenFlags::READ_WRITE.reads() && OpenFlags::READ_WRITE.writes());
        let neither = OpenFlags::WRITE_ONLY | OpenFlags::READ_WRITE;
        assert!(!neither.reads() && !neither.writes());
    }
}
