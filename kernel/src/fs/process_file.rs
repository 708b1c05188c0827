//! Descriptors that name a process: `pidfd_open(2)`.

use alloc::sync::Arc;
use core::any::Any;

use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents};

use super::file::{File, OpenFile};
use crate::task::{Process, WaitQueue};

/// A name of a process, which is ready when that has ended.
struct ProcessFile(Arc<Process>);

impl File for ProcessFile {
    fn readiness(&self) -> PollEvents {
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN | PollEvents::READ_NORMAL, self.0.family.has_ended());
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
    super::anonymous::open("anon_inode:[pidfd]", Arc::new(ProcessFile(process)), flags)
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
