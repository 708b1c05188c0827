//! Mounting file systems: `mount(2)`, `umount2(2)`.

use alloc::string::String;

use bitflags::bitflags;

use crate::Errno;

bitflags! {
    /// What `mount(2)` is asked for (`MS_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountFlags: u64 {
        /// Nothing is written (`MS_RDONLY`).
        const READ_ONLY = 1;
        /// Programs give no rights.
        const NO_SET_USER = 2;
        /// Devices can't be opened.
        const NO_DEVICES = 4;
        /// Programs can't be run.
        const NO_EXECUTE = 8;
        /// Writes go through at once.
        const SYNCHRONOUS = 16;
        /// A mount that is there is changed.
        const REMOUNT = 32;
        /// Changes of directories go through at once.
        const SYNCHRONOUS_DIRECTORIES = 128;
        /// Symbolic links lead nowhere.
        const NO_LINKS = 256;
        /// Access times stay.
        const NO_ACCESS_TIME = 1024;
        /// Access times of directories stay.
        const NO_DIRECTORY_ACCESS_TIME = 2048;
        /// A part of the tree appears elsewhere as well.
        const BIND = 4096;
        /// A mount goes elsewhere.
        const MOVE = 8192;
        /// So do the mounts below.
        const RECURSIVE = 16384;
        /// Nobody else's mount of the same place follows, and it can't be bound.
        const UNBINDABLE = 1 << 17;
        /// It follows no other one.
        const PRIVATE = 1 << 18;
        /// It follows another one.
        const SLAVE = 1 << 19;
        /// It and others follow each other.
        const SHARED = 1 << 20;
        /// Access times change only with what was changed since, or after a day.
        const RELATIVE_ACCESS_TIME = 1 << 21;
        /// Access times change at each reading.
        const STRICT_ACCESS_TIME = 1 << 24;
        /// Times are stored late.
        const LAZY_TIMES = 1 << 25;
        /// For the kernel only (`MS_NOUSER`).
        const KERNEL_ONLY = 1 << 31;
    }
}

impl MountFlags {
    /// Those that concern a file system, wherever it is mounted.
    pub const OF_FILE_SYSTEM: Self = Self::READ_ONLY
        .union(Self::SYNCHRONOUS)
        .union(Self::SYNCHRONOUS_DIRECTORIES)
        .union(Self::LAZY_TIMES);
    /// How changes of one mount reach others.
    pub const PROPAGATION: Self = Self::UNBINDABLE
        .union(Self::PRIVATE)
        .union(Self::SLAVE)
        .union(Self::SHARED);
    /// What says when access times change.
    const ACCESS_TIMES: Self = Self::NO_ACCESS_TIME
        .union(Self::NO_DIRECTORY_ACCESS_TIME)
        .union(Self::RELATIVE_ACCESS_TIME)
        .union(Self::STRICT_ACCESS_TIME);
    /// What old programs put into the upper half (`MS_MGC_VAL`), and its mask.
    const MAGIC: (u64, u64) = (0xc0ed_0000, 0xffff_0000);

    /// The flags that a program passes.
    #[must_use]
    pub fn of_call(flags: u64) -> Self {
        let (magic, mask) = Self::MAGIC;
        let flags = if flags & mask == magic {
            flags & !mask
        } else {
            flags
        };
        Self::from_bits_retain(flags)
    }

    /// The kind of change of propagation that is asked for.
    ///
    /// # Errors
    /// `EINVAL` for several at once, or with anything else than [`Self::RECURSIVE`] and silence.
    pub fn propagation(self) -> Result<Self, Errno> {
        const SILENT: u64 = 1 << 15;
        let kind = self & !(Self::RECURSIVE | Self::from_bits_retain(SILENT));
        let one = kind.bits().is_power_of_two() && Self::PROPAGATION.contains(kind);
        if one { Ok(kind) } else { Err(Errno::EINVAL) }
    }

    /// Words for what concerns a file system, each with a comma before it. Whether it can be written is told elsewhere.
    #[must_use]
    pub fn words(self) -> String {
        words(&[
            (self.contains(Self::SYNCHRONOUS), ",sync"),
            (self.contains(Self::SYNCHRONOUS_DIRECTORIES), ",dirsync"),
            (self.contains(Self::LAZY_TIMES), ",lazytime"),
        ])
    }
}

fn words(words: &[(bool, &str)]) -> String {
    let shown = words.iter().filter(|(shown, _)| *shown);
    shown.map(|(_, word)| *word).collect()
}

bitflags! {
    /// What holds for a mount, as `statfs(2)` tells it (`ST_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountOptions: u32 {
        /// Nothing is written.
        const READ_ONLY = 1;
        /// Programs give no rights.
        const NO_SET_USER = 2;
        /// Devices can't be opened.
        const NO_DEVICES = 4;
        /// Programs can't be run.
        const NO_EXECUTE = 8;
        /// Writes go through at once.
        const SYNCHRONOUS = 16;
        /// The flags mean something (`ST_VALID`).
        const VALID = 0x20;
        /// Access times stay.
        const NO_ACCESS_TIME = 1024;
        /// Access times of directories stay.
        const NO_DIRECTORY_ACCESS_TIME = 2048;
        /// Access times change only with what was changed since, or after a day.
        const RELATIVE_ACCESS_TIME = 4096;
        /// Symbolic links lead nowhere.
        const NO_LINKS = 8192;
    }
}

impl MountOptions {
    /// What says when access times change.
    const ACCESS_TIMES: Self = Self::NO_ACCESS_TIME
        .union(Self::NO_DIRECTORY_ACCESS_TIME)
        .union(Self::RELATIVE_ACCESS_TIME);

    /// What a call makes of a mount. A change of one that is there keeps what it had of access times unless the call
    /// says something of them.
    #[must_use]
    pub fn of_call(flags: MountFlags, before: Option<Self>) -> Self {
        let mut options = Self::empty();
        for (flag, option) in [
            (MountFlags::READ_ONLY, Self::READ_ONLY),
            (MountFlags::NO_SET_USER, Self::NO_SET_USER),
            (MountFlags::NO_DEVICES, Self::NO_DEVICES),
            (MountFlags::NO_EXECUTE, Self::NO_EXECUTE),
            (MountFlags::NO_ACCESS_TIME, Self::NO_ACCESS_TIME),
            (
                MountFlags::NO_DIRECTORY_ACCESS_TIME,
                Self::NO_DIRECTORY_ACCESS_TIME,
            ),
            (MountFlags::NO_LINKS, Self::NO_LINKS),
        ] {
            options.set(option, flags.contains(flag));
        }
        options.set(
            Self::RELATIVE_ACCESS_TIME,
            !flags.contains(MountFlags::NO_ACCESS_TIME),
        );
        if flags.contains(MountFlags::STRICT_ACCESS_TIME) {
            options.remove(Self::RELATIVE_ACCESS_TIME | Self::NO_ACCESS_TIME);
        }
        match before {
            Some(before) if !flags.intersects(MountFlags::ACCESS_TIMES) => {
                (options - Self::ACCESS_TIMES) | (before & Self::ACCESS_TIMES)
            }
            _ => options,
        }
    }

    /// Words for them, each with a comma before it. Whether it can be written is told elsewhere.
    #[must_use]
    pub fn words(self) -> String {
        words(&[
            (self.contains(Self::NO_SET_USER), ",nosuid"),
            (self.contains(Self::NO_DEVICES), ",nodev"),
            (self.contains(Self::NO_EXECUTE), ",noexec"),
            (self.contains(Self::NO_ACCESS_TIME), ",noatime"),
            (self.contains(Self::NO_DIRECTORY_ACCESS_TIME), ",nodiratime"),
            (self.contains(Self::RELATIVE_ACCESS_TIME), ",relatime"),
            (self.contains(Self::NO_LINKS), ",nosymfollow"),
        ])
    }
}

bitflags! {
    /// How `umount2(2)` takes a mount away.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct UnmountFlags: u32 {
        /// Whatever the file system waits for (`MNT_FORCE`).
        const FORCE = 1;
        /// From the tree at once, for good when nobody uses it any more (`MNT_DETACH`).
        const DETACH = 2;
        /// Only what nobody has used since it was asked the last time (`MNT_EXPIRE`).
        const EXPIRE = 4;
        /// A symbolic link is not followed (`UMOUNT_NOFOLLOW`).
        const NO_FOLLOW = 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_programs_pass_a_magic_number() {
        let flags = MountFlags::of_call(0xc0ed_0000 | 1);
        assert_eq!(flags, MountFlags::READ_ONLY);
        assert_eq!(MountFlags::of_call(0x1000), MountFlags::BIND);
    }

    #[test]
    fn access_times_are_relative_unless_something_else_is_said() {
        let of = |flags| MountOptions::of_call(flags, None).words();
        assert_eq!(of(MountFlags::empty()), ",relatime");
        assert_eq!(of(MountFlags::NO_ACCESS_TIME), ",noatime");
        assert_eq!(
            of(MountFlags::STRICT_ACCESS_TIME | MountFlags::NO_ACCESS_TIME),
            ""
        );
        assert_eq!(
            of(MountFlags::NO_SET_USER | MountFlags::NO_DEVICES | MountFlags::NO_EXECUTE),
            ",nosuid,nodev,noexec,relatime"
        );
    }

    #[test]
    fn a_change_keeps_access_times_unless_it_says_something_of_them() {
        let before = MountOptions::NO_ACCESS_TIME | MountOptions::NO_DEVICES;
        let of = |flags| MountOptions::of_call(flags, Some(before));
        assert_eq!(
            of(MountFlags::READ_ONLY),
            MountOptions::READ_ONLY | MountOptions::NO_ACCESS_TIME
        );
        assert_eq!(of(MountFlags::STRICT_ACCESS_TIME), MountOptions::empty());
    }

    #[test]
    fn one_kind_of_propagation_at_a_time() {
        let shared = MountFlags::SHARED | MountFlags::RECURSIVE;
        assert_eq!(shared.propagation(), Ok(MountFlags::SHARED));
        assert_eq!(
            (shared | MountFlags::SLAVE).propagation(),
            Err(Errno::EINVAL)
        );
        assert_eq!(
            (shared | MountFlags::READ_ONLY).propagation(),
            Err(Errno::EINVAL)
        );
    }
}
