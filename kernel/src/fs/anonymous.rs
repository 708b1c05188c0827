//! Files that only descriptors name, such as those of `eventfd(2)` and `epoll_create(2)`. On Linux they share one
//! inode, and `/proc/self/fd` shows them as `anon_inode:[eventfd]`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{OpenFlags, Statfs};

use super::file::{File, OpenFile};
use super::inode::{Inode, PathName};
use super::metadata::{Metadata, Timestamp};
use super::{NAMELESS_DEVICE, pipe};

/// What `statfs(2)` tells as the type (`ANON_INODE_FS_MAGIC`).
const MAGIC: i64 = 0x0904_1934;

/// The inode of such a file.
struct AnonymousInode {
    /// What `/proc/self/fd` shows.
    description: &'static str,
    metadata: Metadata,
}

impl Inode for AnonymousInode {
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
        self.metadata
    }

    fn kind(&self) -> FileKind {
        FileKind::CharacterDevice
    }

    fn path(&self) -> PathName {
        PathName {
            bytes: Vec::from(self.description),
            removed: false,
        }
    }

    fn may_be_changed(&self) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        Err(Errno::ENXIO)
    }
}

/// As on Linux, all of them have one inode, so that record locks on them are in each other's way.
const NUMBER: u64 = 15;

/// A new open file without name. `description` is what `/proc/self/fd` shows: `anon_inode:[eventfd]`.
pub fn open(description: &'static str, file: Arc<dyn File>, flags: OpenFlags) -> Arc<OpenFile> {
    let kind = FileKind::CharacterDevice;
    let metadata = Metadata {
        is_typeless: true,
        ..Metadata::new(NAMELESS_DEVICE, NUMBER, kind, 0o600, Timestamp::now())
    };
    OpenFile::new(Arc::new(AnonymousInode { description, metadata }), file, flags)
}
