//! `/proc/self/ns`: the namespaces of a process (`namespaces(7)`). There is one of each kind, to which all processes belong.

use alloc::format;
use alloc::sync::Arc;
use core::any::Any;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags, Statfs};

use crate::fs::file::File;
use crate::fs::inode::{Inode, PathName};
use crate::fs::metadata::{Metadata, Timestamp};
use crate::fs::pipe;
use crate::memory::UserPointer;

/// A kind of namespace, and the one that there is of it.
#[derive(Clone, Copy)]
pub(in crate::fs) struct Namespace {
    /// The name in `/proc/self/ns`.
    pub name: &'static str,
    /// What the link shows before the number.
    kind: &'static str,
    /// Inode number: that of Linux's first namespace of the kind.
    number: u64,
    /// The flag of `clone(2)` for the kind.
    flag: u32,
}

const fn of(name: &'static str, kind: &'static str, number: u64, flag: u32) -> Namespace {
    Namespace {
        name,
        kind,
        number,
        flag,
    }
}

/// All of them.
pub(super) static ALL: [Namespace; 10] = [
    of("cgroup", "cgroup", 0xefff_fffb, 0x0200_0000),
    of("ipc", "ipc", 0xefff_ffff, 0x0800_0000),
    of("mnt", "mnt", 0xf000_0001, 0x0002_0000),
    of("net", "net", 0xf000_0000, 0x4000_0000),
    of("pid", "pid", 0xefff_fffc, 0x2000_0000),
    of("pid_for_children", "pid", 0xefff_fffc, 0x2000_0000),
    of("time", "time", 0xefff_fffa, 0x80),
    of("time_for_children", "time", 0xefff_fffa, 0x80),
    of("user", "user", 0xefff_fffd, 0x1000_0000),
    of("uts", "uts", 0xefff_fffe, 0x0400_0000),
];

/// `st_dev` of namespaces.
const DEVICE: DeviceNumber = DeviceNumber::new(0, 4);
/// `NSFS_MAGIC`
const MAGIC: i64 = 0x6e73_6673;

impl Namespace {
    /// The file that stands for it.
    pub fn inode(&self) -> Arc<dyn Inode> {
        Arc::new(*self)
    }
}

impl Inode for Namespace {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn statistics(&self) -> Statfs {
        Statfs {
            kind: MAGIC,
            ..pipe::statistics()
        }
    }

    fn metadata(&self) -> Metadata {
        Metadata::new(DEVICE, self.number, FileKind::Regular, 0o444, Timestamp::now())
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn path(&self) -> PathName {
        PathName {
            bytes: format!("{}:[{}]", self.kind, self.number).into_bytes(),
            removed: false,
        }
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        match flags.asks_for_writing() {
            true => Err(Errno::EPERM),
            false => Ok(self),
        }
    }
}

impl File for Namespace {
    /// `ioctl_ns(2)`. There is nothing above the first namespaces that one could be told of.
    fn control(&self, request: u32, _argument: UserPointer) -> Result<usize, Errno> {
        match request & 0xffff {
            0xb701 | 0xb702 => Err(Errno::EPERM),
            0xb703 => Ok(self.flag as usize),
            0xb704 => Err(Errno::EINVAL),
            _ => Err(Errno::ENOTTY),
        }
    }
}
