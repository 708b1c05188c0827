//! What is known about a file besides its content.

use super::permission;
use pith_erofs::FileKind;
use pith_linux::files::{DeviceNumber, FileTime, Stat, Statx, StatxTime};

/// A time, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970; negative before.
    pub seconds: i64,
    /// Nanoseconds of that, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The wall clock.
    pub fn now() -> Self {
        let now = crate::task::wall_clock_without_waiting();
        Self {
            seconds: (now / 1_000_000_000) as i64,
            nanoseconds: (now % 1_000_000_000) as u32,
        }
    }

    fn file_time(self) -> FileTime {
        FileTime {
            seconds: self.seconds,
            nanoseconds: self.nanoseconds.into(),
        }
    }

    fn statx_time(self) -> StatxTime {
        StatxTime {
            seconds: self.seconds,
            nanoseconds: self.nanoseconds,
            reserved: 0,
        }
    }
}

/// The four times of a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Last reading.
    pub accessed: Timestamp,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of content or metadata.
    pub changed: Timestamp,
    /// Creation.
    pub created: Timestamp,
}

impl Times {
    /// All four the same.
    pub fn all(time: Timestamp) -> Self {
        Self {
            accessed: time,
            modified: time,
            changed: time,
            created: time,
        }
    }
}

/// Bytes of a block, as `st_blksize` tells: a page.
pub const BLOCK_SIZE: u64 = 4096;

/// What `stat(2)` tells about a file.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    /// Device that holds the file.
    pub device: DeviceNumber,
    /// Number of the inode.
    pub number: u64,
    /// Type.
    pub kind: FileKind,
    /// `st_mode` does not tell the type, as with what only descriptors name.
    pub is_typeless: bool,
    /// When it was made is known. The file systems of pipes, sockets and processes don't know that.
    pub knows_creation: bool,
    /// Permissions: the lower 12 bits of `st_mode`.
    pub permissions: u16,
    /// Number of hard links.
    pub links: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Device that a device file stands for.
    pub represents: DeviceNumber,
    /// Size in bytes.
    pub size: u64,
    /// Memory that it uses, in units of 512 bytes.
    pub blocks: u64,
    /// Its times.
    pub times: Times,
}

impl Metadata {
    /// An empty file of root.
    pub fn new(device: DeviceNumber, number: u64, kind: FileKind, permissions: u16, time: Timestamp) -> Self {
        Self {
            device,
            number,
            kind,
            is_typeless: false,
            knows_creation: false,
            permissions,
            links: 1,
            user: 0,
            group: 0,
            represents: DeviceNumber::default(),
            size: 0,
            blocks: 0,
            times: Times::all(time),
        }
    }

    /// An empty file of the current user.
    pub fn of_current(device: DeviceNumber, number: u64, kind: FileKind, permissions: u16, time: Timestamp) -> Self {
        let (user, group) = permission::owner();
        Self {
            user,
            group,
            ..Self::new(device, number, kind, permissions, time)
        }
    }

    /// `st_mode`: type and permissions.
    pub fn mode(&self) -> u32 {
        let kind = if self.is_typeless { 0 } else { self.kind.mode() };
        u32::from(kind | self.permissions)
    }

    /// Changes it as a program asks, whose right to that was checked before.
    pub fn apply(&mut self, change: &AttributeChange) {
        if change.is_of_owner {
            self.permissions = without_special_rights(self.permissions);
        }
        self.permissions = change.permissions.unwrap_or(self.permissions);
        self.user = change.user.unwrap_or(self.user);
        self.group = change.group.unwrap_or(self.group);
        self.times.accessed = change.accessed.unwrap_or(self.times.accessed);
        self.times.modified = change.modified.unwrap_or(self.times.modified);
        self.times.changed = Timestamp::now();
    }

    /// The form of `stat(2)`.
    pub fn stat(&self) -> Stat {
        Stat {
            device: self.device.encode(),
            inode: self.number,
            links: self.links.into(),
            mode: self.mode(),
            user: self.user,
            group: self.group,
            padding: 0,
            represents: self.represents.encode(),
            size: self.size as i64,
            block_size: BLOCK_SIZE as i64,
            blocks: self.blocks as i64,
            accessed: self.times.accessed.file_time(),
            modified: self.times.modified.file_time(),
            changed: self.times.changed.file_time(),
            reserved: [0; 3],
        }
    }

    /// The form of `statx(2)`.
    pub fn statx(&self) -> Statx {
        let (more, created) = match self.knows_creation {
            true => (Statx::CREATED, self.times.created.statx_time()),
            false => (0, StatxTime::default()),
        };
        Statx {
            mask: Statx::BASIC | more,
            block_size: BLOCK_SIZE as u32,
            links: self.links,
            user: self.user,
            group: self.group,
            mode: self.mode() as u16,
            inode: self.number,
            size: self.size,
            blocks: self.blocks,
            attributes_mask: Statx::MOUNT_ROOT,
            accessed: self.times.accessed.statx_time(),
            created,
            changed: self.times.changed.statx_time(),
            modified: self.times.modified.statx_time(),
            represents_major: self.represents.major,
            represents_minor: self.represents.minor,
            device_major: self.device.major,
            device_minor: self.device.minor,
            ..Statx::default()
        }
    }
}

/// A change to a file's metadata. `None` leaves a part as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttributeChange {
    /// New permissions.
    pub permissions: Option<u16>,
    /// It is a change of owner or group, which takes special permissions away even if both stay.
    pub is_of_owner: bool,
    /// New owner.
    pub user: Option<u32>,
    /// New group.
    pub group: Option<u32>,
    /// New time of the last reading.
    pub accessed: Option<Timestamp>,
    /// New time of the last change of the content.
    pub modified: Option<Timestamp>,
}

/// The code of a type in directory entries of `getdents64(2)`: the type bits of the mode.
pub fn entry_kind(kind: FileKind) -> u8 {
    (kind.mode() >> 12) as u8
}

/// Permissions of a file that gets another owner, who must not inherit the old one's power (`chown(2)`).
pub fn without_special_rights(permissions: u16) -> u16 {
    let group_executes = permissions & 0o10 != 0;
    permissions & if group_executes { !0o6000 } else { !0o4000 }
}
