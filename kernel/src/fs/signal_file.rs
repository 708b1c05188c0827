//! Signals as a file (`signalfd(2)`).

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents};
use pith_linux::signal::{SignalFileRecord, SignalInformation, UNBLOCKABLE};
use zerocopy::IntoBytes;

use super::file::{File, OpenFile};
use crate::memory::Destination;
use crate::task::{self, WaitQueue, signal};

/// Bytes of what is read for one signal (`struct signalfd_siginfo`).
const SIZE: usize = size_of::<SignalFileRecord>();

/// Signals of whoever reads: after `fork(2)` that may be another process than the one that made the file.
pub struct SignalFile {
    mask: AtomicU64,
}

impl SignalFile {
    /// Changes which signals are read.
    pub fn set_mask(&self, mask: u64) {
        self.mask.store(mask & !UNBLOCKABLE, Ordering::SeqCst);
        signal::FILES.wake_all();
    }

    fn take(&self) -> Option<SignalInformation> {
        let mask = self.mask.load(Ordering::SeqCst);
        signal::take_pending(&task::current(), mask).map(|(_, information)| information)
    }
}

impl File for SignalFile {
    fn can_be_written(&self) -> bool {
        false
    }

    fn ignores_seeking(&self) -> bool {
        true
    }

    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        if to.remaining() < SIZE {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        while to.remaining() >= SIZE {
            let information = match self.take() {
                Some(information) => information,
                None if done != 0 => break,
                None if flags.contains(OpenFlags::NONBLOCKING) => return Err(Errno::EAGAIN),
                None => signal::FILES.wait(|| self.take())?,
            };
            let record = SignalFileRecord::from(&information);
            match to.put(record.as_bytes()) {
                Ok(SIZE) => done += SIZE,
                _ if done != 0 => break,
                _ => return Err(Errno::EFAULT),
            }
        }
        Ok(done)
    }

    fn readiness(&self) -> PollEvents {
        let thread = task::current();
        let pending = thread.pending.set() | thread.process.pending.set();
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN, pending & self.mask.load(Ordering::SeqCst) != 0);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&signal::FILES)
    }
}

/// A new file for the signals of a mask. Of the flags, [`OpenFlags::NONBLOCKING`] counts.
pub fn create(mask: u64, flags: OpenFlags) -> Arc<OpenFile> {
    let file = Arc::new(SignalFile {
        mask: AtomicU64::new(mask & !UNBLOCKABLE),
    });
    super::anonymous::open(
        "anon_inode:[signalfd]",
        file,
        (flags & OpenFlags::NONBLOCKING) | OpenFlags::READ_WRITE,
    )
}

/// The file of signals behind an open file.
///
/// # Errors
/// `EINVAL` if it is something else.
pub fn of(open: &OpenFile) -> Result<Arc<SignalFile>, Errno> {
    let file: Arc<dyn Any + Send + Sync> = open.file()?.clone();
    file.downcast().map_err(|_| Errno::EINVAL)
}
