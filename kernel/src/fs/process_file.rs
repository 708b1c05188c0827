//! Descriptors that name a process: `pidfd_open(2)`. As on Linux, they are regular files of a file system of their own
//! (pidfs), with an inode for each process, by whose number programs find out whether two of them name the same one.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags, PollEvents, Statfs};

use super::file::{File, OpenFile};
use super::inode::{Inode, PathName};
use super::metadata::{Metadata, Timestamp};
use super::pipe;
use crate::memory::{UserPointer, write_object};
use crate::task::{Process, WaitQueue};

/// `st_dev` of processes.
const DEVICE: DeviceNumber = DeviceNumber::new(0, 7);
/// `PID_FS_MAGIC`
const MAGIC: i64 = 0x5049_4446;

/// The number of the inode of a process, which is never 0.
fn number_of(process: &Process) -> u64 {
    process.family.birth() + 1
}

/// The inode of a process.
struct ProcessInode(Arc<Process>);

impl Inode for ProcessInode {
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
        let number = number_of(&self.0);
        Metadata {
            is_typeless: true,
            ..Metadata::new(DEVICE, number, self.kind(), 0o700, Timestamp::now())
        }
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn path(&self) -> PathName {
        PathName {
            bytes: Vec::from(*b"anon_inode:[pidfd]"),
            removed: false,
        }
    }

    fn may_be_changed(&self) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(ProcessFile(self.0.clone())))
    }
}

/// A name of a process, which is ready when that has ended.
struct ProcessFile(Arc<Process>);

impl File for ProcessFile {
    fn takes_positions(&self) -> bool {
        true
    }

    fn can_be_read(&self) -> bool {
        false
    }

    fn can_be_written(&self) -> bool {
        false
    }

    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn allocate(&self, _mode: u32, _start: u64, _length: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn control(&self, request: u32, argument: UserPointer) -> Result<usize, Errno> {
        /// As on Linux, what the inode's number has beyond 32 bits.
        const FS_IOC_GETVERSION: u32 = 0x8008_7601;
        if request != FS_IOC_GETVERSION {
            return Err(Errno::ENOTTY);
        }
        write_object(argument, &((number_of(&self.0) >> 32) as u32))?;
        Ok(0)
    }

    fn readiness(&self) -> PollEvents {
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN | PollEvents::READ_NORMAL, self.0.family.has_ended());
        events.set(PollEvents::HANG_UP, self.0.family.is_gone());
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.family.changes)
    }
}

/// Numbers that name the calling thread or its process without a descriptor (`PIDFD_SELF_THREAD`,
/// `PIDFD_SELF_THREAD_GROUP`).
pub fn names_itself(descriptor: i32) -> bool {
    matches!(descriptor, -10_000 | -10_001)
}

/// A new name of a process. Of the flags, [`OpenFlags::NONBLOCKING`] counts.
pub fn create(process: Arc<Process>, flags: OpenFlags) -> Arc<OpenFile> {
    let flags = (flags & OpenFlags::NONBLOCKING) | OpenFlags::READ_WRITE;
    let file = Arc::new(ProcessFile(process.clone()));
    OpenFile::new(Arc::new(ProcessInode(process)), file, flags)
}

/// The process that an open file names.
///
/// # Errors
/// `EBADF` if it is something else.
pub fn of(open: &OpenFile) -> Result<Arc<Process>, Errno> {
    let file: &dyn Any = &**open.file()?;
    let process = file.downcast_ref::<ProcessFile>().map(|file| file.0.clone());
    process.ok_or(Errno::EBADF)
}
