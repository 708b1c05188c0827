//! Who is told what happens to files: the floor under `inotify(7)` and `F_NOTIFY`.
//!
//! A [`Listener`] watches files by their identity, so that it keeps none alive. What happens is told at a few points:
//! open files tell of reading, writing and closing, [`super::names`] of names, and whoever changes metadata of that. As
//! long as nobody watches anything, each point costs one look at [`anybody`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::DeviceNumber;
use pith_linux::inotify::FileEvents;
use spin::Mutex;

use super::inode::{FileIdentity, Inode};

/// Something that happened to a file.
#[derive(Clone, Copy)]
pub struct Notice<'a> {
    /// What.
    pub events: FileEvents,
    /// The file's name, if it was the directory that is watched; empty otherwise.
    pub name: &'a [u8],
    /// The same number for the two halves of a move; otherwise 0.
    pub cookie: u32,
}

/// What becomes of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It goes on.
    Stays,
    /// It has ended.
    Ends,
}

/// Whoever watches files. Called with a lock held that everybody needs who tells of anything: it must not touch files.
pub trait Listener: Send + Sync {
    /// Something that was asked for has happened. `watch` is the number under which the file was given.
    fn notice(&self, watch: i32, notice: &Notice<'_>) -> Afterwards;

    /// The file is gone, and the watch with it.
    fn gone(&self, watch: i32);

    /// The file's file system is gone, and the watch with it. `events` says that, and whether the file was a directory.
    fn unmounted(&self, _watch: i32, _events: FileEvents) {}
}

/// A watch: who is told what about a file.
struct Watch {
    file: FileIdentity,
    listener: Arc<dyn Listener>,
    number: i32,
    /// What is told, [`FileEvents::EXCLUDE_UNLINKED`], and of a directory [`FileEvents::IS_DIRECTORY`].
    events: FileEvents,
}

/// All watches, ordered by file.
static WATCHES: Mutex<Vec<Watch>> = Mutex::new(Vec::new());
/// Whether there are any.
static ANYBODY: AtomicBool = AtomicBool::new(false);

/// Whether anybody watches anything.
#[inline]
pub fn anybody() -> bool {
    ANYBODY.load(Ordering::Relaxed)
}

fn same(one: &Arc<dyn Listener>, two: &Arc<dyn Listener>) -> bool {
    core::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(two))
}

/// The places of all watches of a file.
fn range(watches: &[Watch], file: FileIdentity) -> core::ops::Range<usize> {
    let start = watches.partition_point(|watch| watch.file < file);
    let length = watches[start..].iter().take_while(|watch| watch.file == file).count();
    start..start + length
}

/// Watches a file.
///
/// # Errors
/// `ENOMEM`
pub fn watch(file: FileIdentity, listener: Arc<dyn Listener>, number: i32, events: FileEvents) -> Result<(), Errno> {
    let mut watches = WATCHES.lock();
    watches.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    let place = range(&watches, file).end;
    watches.insert(
        place,
        Watch {
            file,
            listener,
            number,
            events,
        },
    );
    ANYBODY.store(true, Ordering::Relaxed);
    Ok(())
}

/// The number under which a listener watches a file.
pub fn find(file: FileIdentity, listener: &Arc<dyn Listener>) -> Option<i32> {
    let watches = WATCHES.lock();
    let mut of_file = watches[range(&watches, file)].iter();
    of_file
        .find(|watch| same(&watch.listener, listener))
        .map(|watch| watch.number)
}

/// Changes what a watch is told.
pub fn change(file: FileIdentity, listener: &Arc<dyn Listener>, number: i32, events: FileEvents) {
    let mut watches = WATCHES.lock();
    let of_file = range(&watches, file);
    for watch in &mut watches[of_file] {
        if watch.number == number && same(&watch.listener, listener) {
            watch.events = events;
        }
    }
}

/// Ends watches of a listener: one of a number, or all.
pub fn end(listener: &Arc<dyn Listener>, number: Option<i32>) {
    let mut gone = Vec::new();
    let mut watches = WATCHES.lock();
    let ends =
        |watch: &mut Watch| same(&watch.listener, listener) && number.is_none_or(|number| number == watch.number);
    gone.extend(watches.extract_if(.., ends));
    ANYBODY.store(!watches.is_empty(), Ordering::Relaxed);
    drop(watches);
    drop(gone); // may be the last reference to the listener
}

/// Tells those who watch a file.
fn tell(file: FileIdentity, notice: &Notice<'_>, unlinked: bool) {
    let mut ended = Vec::new();
    let mut watches = WATCHES.lock();
    let mut place = range(&watches, file).start;
    while let Some(watch) = watches.get(place).filter(|watch| watch.file == file) {
        let wanted = watch.events.intersects(notice.events & FileEvents::ASKED)
            && !(unlinked && watch.events.contains(FileEvents::EXCLUDE_UNLINKED));
        if wanted && watch.listener.notice(watch.number, notice) == Afterwards::Ends {
            ended.push(watches.remove(place));
        } else {
            place += 1;
        }
    }
    ANYBODY.store(!watches.is_empty(), Ordering::Relaxed);
    drop(watches);
    drop(ended);
}

/// A file system is gone: the watches of its files end, those of the youngest first, as on Linux.
#[cold]
pub fn unmounted(device: DeviceNumber) {
    let mut watches = WATCHES.lock();
    let mut ended: Vec<Watch> = watches.extract_if(.., |watch| watch.file.device == device).collect();
    ANYBODY.store(!watches.is_empty(), Ordering::Relaxed);
    drop(watches);
    while let Some(watch) = ended.pop() {
        let events = FileEvents::UNMOUNT | watch.events & FileEvents::IS_DIRECTORY;
        watch.listener.unmounted(watch.number, events);
    }
}

/// As an event tells it.
pub fn kind_flag(kind: FileKind) -> FileEvents {
    match kind {
        FileKind::Directory => FileEvents::IS_DIRECTORY,
        _ => FileEvents::empty(),
    }
}

fn plain(inode: &dyn Inode, events: FileEvents) -> Notice<'static> {
    Notice {
        events: events | kind_flag(inode.kind()),
        name: &[],
        cookie: 0,
    }
}

/// Something happened to a file: tells those who watch its directory, and those who watch the file.
#[cold]
pub fn happened(inode: &dyn Inode, events: FileEvents) {
    let notice = plain(inode, events);
    if let Some(place) = inode.place() {
        let in_directory = Notice {
            name: &place.name,
            ..notice
        };
        tell(place.directory, &in_directory, place.removed);
    }
    tell(inode.identity(), &notice, false);
}

/// Something happened that concerns the file alone and not its directory.
#[cold]
pub fn happened_to_itself(inode: &dyn Inode, events: FileEvents) {
    tell(inode.identity(), &plain(inode, events), false);
}

/// A name was made in a directory or removed from it.
#[cold]
pub fn name_changed(directory: &dyn Inode, name: &[u8], kind: FileKind, events: FileEvents) {
    let notice = Notice {
        events: events | kind_flag(kind),
        name,
        cookie: 0,
    };
    tell(directory.identity(), &notice, false);
}

/// A name moved.
#[cold]
pub fn moved(from: (&dyn Inode, &[u8]), to: (&dyn Inode, &[u8]), kind: FileKind) {
    static COOKIE: AtomicU32 = AtomicU32::new(0);
    let cookie = COOKIE.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    for ((directory, name), events) in [(from, FileEvents::MOVED_FROM), (to, FileEvents::MOVED_TO)] {
        let notice = Notice {
            events: events | kind_flag(kind),
            name,
            cookie,
        };
        tell(directory.identity(), &notice, false);
    }
}

/// A file is gone for good: no name leads to it, and nobody has it open.
#[cold]
pub fn gone(file: FileIdentity) {
    let notice = Notice {
        events: FileEvents::DELETE_SELF,
        name: &[],
        cookie: 0,
    };
    let mut watches = WATCHES.lock();
    let of_file = range(&watches, file);
    let mut ended = Vec::new();
    for watch in watches.drain(of_file) {
        let told = match watch.events.contains(FileEvents::DELETE_SELF) {
            true => watch.listener.notice(watch.number, &notice),
            false => Afterwards::Stays,
        };
        if told == Afterwards::Stays {
            watch.listener.gone(watch.number);
        }
        ended.push(watch);
    }
    ANYBODY.store(!watches.is_empty(), Ordering::Relaxed);
    drop(watches);
    drop(ended);
}
