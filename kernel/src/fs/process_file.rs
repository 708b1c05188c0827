//! Descriptors that name the process: `pidfd_open(2)`.

use alloc::sync::Arc;
use core::any::Any;

use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents};

use super::file::{File, OpenFile};

/// A name of the process. There is only one process, and it never sees its own end, so it is never ready.
struct ProcessFile;

impl File for ProcessFile {
    fn readiness(&self) -> PollEvents {
        PollEvents::empty()
    }
}

/// Numbers that name the calling thread or its process without a descriptor (`PIDFD_SELF_THREAD`,
/// `PIDFD_SELF_THREAD_GROUP`).
pub fn names_itself(descriptor: i32) -> bool {
    matches!(descriptor, -10_000 | -10_001)
}

/// A new name of the process. Of the flags, [`OpenFlags::NONBLOCKING`] counts.
pub fn create(flags: OpenFlags) -> Arc<OpenFile> {
    let flags = (flags & OpenFlags::NONBLOCKING) | OpenFlags::READ_WRITE;
    super::anonymous::open("anon_inode:[pidfd]", Arc::new(ProcessFile), flags)
}

/// Checks that an open file names the process.
///
/// # Errors
/// `EBADF` if it is something else.
pub fn of(open: &OpenFile) -> Result<(), Errno> {
    let file: &dyn Any = &**open.file()?;
    if file.is::<ProcessFile>() {
        Ok(())
    } else {
        Err(Errno::EBADF)
    }
}
