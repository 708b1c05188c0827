//! Signals that tell what happens in a directory: `F_NOTIFY` of `fcntl(2)`.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::inotify::FileEvents;

use super::file::OpenFile;
use super::notify::{self, Afterwards, Listener, Notice};
use super::owner::{self, Notifier};

/// What can be asked for (`DN_ACCESS` to `DN_ATTRIB`), in the order of its bits.
const KINDS: [FileEvents; 6] = [
    FileEvents::ACCESS,
    FileEvents::MODIFY,
    FileEvents::CREATE.union(FileEvents::MOVED_TO),
    FileEvents::DELETE.union(FileEvents::MOVED_FROM),
    FileEvents::MOVED_FROM, // a file got another name
    FileEvents::ATTRIBUTES,
];
/// The signal is sent more than once (`DN_MULTISHOT`).
const AGAIN: u32 = 1 << 31;

/// A directory that is watched by an open file of it.
pub struct DirectoryWatch {
    notifier: Weak<Notifier>,
    descriptor: AtomicI32,
    /// Bits of [`FileEvents`].
    events: AtomicU32,
    again: AtomicBool,
}

impl Listener for DirectoryWatch {
    fn notice(&self, _watch: i32, _notice: &Notice<'_>) -> Afterwards {
        if let Some(notifier) = self.notifier.upgrade() {
            notifier.tell_message(self.descriptor.load(Ordering::Relaxed));
        }
        if self.again.load(Ordering::Relaxed) {
            return Afterwards::Stays;
        }
        self.events.store(0, Ordering::Relaxed);
        Afterwards::Ends
    }

    fn gone(&self, _watch: i32) {
        self.events.store(0, Ordering::Relaxed);
    }
}

impl DirectoryWatch {
    /// Ends the watch.
    pub fn end(self: Arc<Self>) {
        let listener: Arc<dyn Listener> = self;
        notify::end(&listener, None);
    }
}

/// Watches a directory by an open file of it, for more than before; nothing asked for ends it.
///
/// # Errors
/// `ENOTDIR`, `EINVAL` for events that there are not, `ENOMEM`.
pub fn watch(open: &OpenFile, descriptor: i32, wanted: u32) -> Result<(), Errno> {
    let notifier = open.notifier();
    if wanted & !AGAIN == 0 {
        if let Some(watch) = notifier.directory.lock().take() {
            watch.end();
        }
        return Ok(());
    }
    if open.inode.kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    let asked = KINDS.iter().enumerate().filter(|(bit, _)| wanted >> bit & 1 != 0);
    let events = asked.fold(FileEvents::empty(), |events, (_, kind)| events | *kind);
    if notifier.owner().is_none() {
        notifier.set_owner(Some(owner::of_current()));
    }
    let mut directory = notifier.directory.lock();
    let watch = directory.get_or_insert_with(|| {
        Arc::new(DirectoryWatch {
            notifier: Arc::downgrade(notifier),
            descriptor: AtomicI32::new(descriptor),
            events: AtomicU32::new(0),
            again: AtomicBool::new(false),
        })
    });
    watch.descriptor.store(descriptor, Ordering::Relaxed);
    watch.again.fetch_or(wanted & AGAIN != 0, Ordering::Relaxed);
    let before = watch.events.fetch_or(events.bits(), Ordering::Relaxed);
    let events = events | FileEvents::from_bits_retain(before);
    let listener: Arc<dyn Listener> = watch.clone();
    let file = open.inode.identity();
    if before != 0 {
        notify::change(file, &listener, 0, events);
        return Ok(());
    }
    notify::watch(file, listener, 0, events).inspect_err(|_| watch.events.store(0, Ordering::Relaxed))
}
