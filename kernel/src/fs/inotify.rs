//! Events of files as a file: `inotify(7)`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicUsize, Ordering};

use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents};
use pith_linux::inotify::{EventQueue, FileEvents};
use pith_sorted_map::SortedMap;
use spin::Mutex;

use super::file::{File, OpenFile};
use super::inode::{FileIdentity, Inode};
use super::notify::{self, Afterwards, Listener, Notice};
use super::owner::Notices;
use super::proc::Text;
use crate::memory::{Destination, UserPointer, write_object};
use crate::task::{self, WaitQueue};

/// `FIONREAD`
const BYTES_TO_READ: u32 = 0x541b;

/// Limits that `/proc/sys/fs/inotify` tells and sets.
pub static MOST_QUEUED: AtomicUsize = AtomicUsize::new(16_384);
/// Files of this kind that a user may have.
pub static MOST_INSTANCES: AtomicUsize = AtomicUsize::new(128);
/// Watches that a user may have.
pub static MOST_WATCHES: AtomicUsize = AtomicUsize::new(65_536);

/// What each user has: instances and watches.
static USED: Mutex<SortedMap<u32, [usize; 2]>> = Mutex::new(SortedMap::new());

const INSTANCES: usize = 0;
const WATCHES: usize = 1;

/// Takes one of what a user may have. False if it has all.
fn charge(user: u32, what: usize, most: &AtomicUsize) -> bool {
    let mut used = USED.lock();
    let counts = used.get_or_insert_with(user, || [0; 2]);
    let room = counts[what] < most.load(Ordering::Relaxed);
    counts[what] += usize::from(room);
    room
}

fn give_back(user: u32, what: usize, count: usize) {
    let mut used = USED.lock();
    if let Some(counts) = used.get_mut(&user) {
        counts[what] -= count;
        if *counts == [0; 2] {
            used.remove(&user);
        }
    }
}

/// A watch, as its file knows it.
struct Watched {
    file: FileIdentity,
    events: FileEvents,
}

struct State {
    queue: EventQueue,
    watches: SortedMap<i32, Watched>,
    last: i32,
}

/// What the file and the points of notice share.
struct Shared {
    state: Mutex<State>,
    /// Held by who adds and ends watches; nothing is told under it.
    changes: Mutex<()>,
    readers: WaitQueue,
    user: u32,
}

impl Shared {
    fn queue(&self, state: &mut State, watch: i32, events: FileEvents, cookie: u32, name: &[u8]) -> bool {
        state
            .queue
            .push(watch, events, cookie, name, MOST_QUEUED.load(Ordering::Relaxed))
    }

    /// A watch has ended.
    fn forget(&self, state: &mut State, watch: i32) {
        if state.watches.remove(&watch).is_some() {
            give_back(self.user, WATCHES, 1);
            self.queue(state, watch, FileEvents::IGNORED, 0, &[]);
        }
    }

    fn wake(&self) {
        self.readers.wake(PollEvents::IN | PollEvents::READ_NORMAL);
    }
}

impl Listener for Shared {
    fn notice(&self, watch: i32, notice: &Notice<'_>) -> Afterwards {
        let mut state = self.state.lock();
        let Some(watched) = state.watches.get(&watch) else {
            return Afterwards::Ends; // it is just being removed
        };
        let ends = watched.events.contains(FileEvents::ONE_SHOT);
        let mut events = notice.events;
        if events.intersects(FileEvents::DELETE_SELF | FileEvents::MOVE_SELF) {
            events.remove(FileEvents::IS_DIRECTORY); // never told, for a reason that is lost
        }
        let mut news = self.queue(&mut state, watch, events, notice.cookie, notice.name);
        if ends {
            self.forget(&mut state, watch);
            news = true;
        }
        drop(state);
        if news {
            self.wake();
        }
        if ends { Afterwards::Ends } else { Afterwards::Stays }
    }

    fn gone(&self, watch: i32) {
        self.forget(&mut self.state.lock(), watch);
        self.wake();
    }

    fn unmounted(&self, watch: i32, events: FileEvents) {
        let mut state = self.state.lock();
        if state.watches.get(&watch).is_some() {
            self.queue(&mut state, watch, events, 0, &[]);
            self.forget(&mut state, watch);
        }
        drop(state);
        self.wake();
    }
}

/// The file of `inotify_init(2)`.
pub struct Inotify(Arc<Shared>);

impl Inotify {
    fn listener(&self) -> Arc<dyn Listener> {
        self.0.clone()
    }

    /// Watches a file, or changes what is watched of it. Returns the number of the watch.
    ///
    /// # Errors
    /// `EEXIST` with [`FileEvents::MASK_CREATE`], `ENOSPC` at the limit, `ENOMEM`.
    pub fn watch(&self, inode: &Arc<dyn Inode>, wanted: FileEvents) -> Result<i32, Errno> {
        let kept = FileEvents::ASKED | FileEvents::ONE_SHOT | FileEvents::EXCLUDE_UNLINKED;
        let (file, mut events) = (inode.identity(), wanted & kept);
        let kind = notify::kind_flag(inode.kind());
        // One thread at a time, so that no file is watched twice.
        let _turn = self.0.changes.lock();
        let listener = self.listener();
        if let Some(number) = notify::find(file, &listener) {
            if wanted.contains(FileEvents::MASK_CREATE) {
                return Err(Errno::EEXIST);
            }
            // It may just have ended; then it is watched anew.
            if let Some(watched) = self.0.state.lock().watches.get_mut(&number) {
                if wanted.contains(FileEvents::MASK_ADD) {
                    events |= watched.events;
                }
                watched.events = events;
            } else {
                return self.watch_anew(file, events, kind);
            }
            notify::change(file, &listener, number, events | kind);
            return Ok(number);
        }
        self.watch_anew(file, events, kind)
    }

    /// Watches a file that is not watched yet.
    fn watch_anew(&self, file: FileIdentity, events: FileEvents, kind: FileEvents) -> Result<i32, Errno> {
        if !charge(self.0.user, WATCHES, &MOST_WATCHES) {
            return Err(Errno::ENOSPC);
        }
        let number = {
            let mut state = self.0.state.lock();
            state.last = state.last.checked_add(1).unwrap_or(1);
            let number = state.last;
            state.watches.insert(number, Watched { file, events });
            number
        };
        if let Err(errno) = notify::watch(file, self.listener(), number, events | kind) {
            // Unless it was ended just now by its number.
            if self.0.state.lock().watches.remove(&number).is_some() {
                give_back(self.0.user, WATCHES, 1);
            }
            return Err(errno);
        }
        Ok(number)
    }

    /// Ends a watch.
    ///
    /// # Errors
    /// `EINVAL` if there is none of this number.
    pub fn end(&self, number: i32) -> Result<(), Errno> {
        let _turn = self.0.changes.lock();
        {
            let mut state = self.0.state.lock();
            if !state.watches.contains_key(&number) {
                return Err(Errno::EINVAL);
            }
            self.0.forget(&mut state, number);
        }
        notify::end(&self.listener(), Some(number));
        self.0.wake();
        Ok(())
    }

    /// The next event, if it fits.
    fn take(&self, room: usize) -> Option<Result<Vec<u8>, Errno>> {
        let taken = self.0.state.lock().queue.take(room)?;
        Some(taken.map_err(|_| Errno::EINVAL))
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        notify::end(&self.listener(), None);
        let left = self.0.state.lock().watches.len();
        give_back(self.0.user, WATCHES, left);
        give_back(self.0.user, INSTANCES, 1);
    }
}

impl File for Inotify {
    fn can_be_written(&self) -> bool {
        false
    }

    fn ignores_seeking(&self) -> bool {
        true
    }

    fn scatters(&self) -> bool {
        false
    }

    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        let mut next = match self.take(to.remaining()) {
            Some(first) => first?,
            None if flags.contains(OpenFlags::NONBLOCKING) => return Err(Errno::EAGAIN),
            None => self.0.readers.wait(|| self.take(to.remaining()))??,
        };
        let mut done = 0;
        loop {
            // As on Linux, an event that can't be copied is lost, and so is the count of those before.
            if to.put(&next)? != next.len() {
                return Err(Errno::EFAULT);
            }
            done += next.len();
            match self.take(to.remaining()) {
                Some(Ok(event)) => next = event,
                _ => return Ok(done),
            }
        }
    }

    fn control(&self, request: u32, argument: UserPointer) -> Result<usize, Errno> {
        if request != BYTES_TO_READ {
            return Err(Errno::ENOTTY);
        }
        let bytes = self.0.state.lock().queue.bytes();
        write_object(argument, &(bytes as i32))?;
        Ok(0)
    }

    // One line for each watch, for `/proc/self/fdinfo`; the newest first, as on Linux.
    fn describe(&self, text: &mut Text) -> Result<(), Errno> {
        let mut lines = Vec::new();
        for (number, watched) in self.0.state.lock().watches.iter() {
            lines.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            lines.push((*number, watched.file, watched.events));
        }
        for (number, FileIdentity { device, number: inode }, events) in lines.into_iter().rev() {
            // As the kernel of Linux writes devices within itself, which is how it shows them here.
            let device = device.major << 20 | device.minor;
            let events = events.bits();
            writeln!(
                text,
                "inotify wd:{number:x} ino:{inode:x} sdev:{device:x} mask:{events:x} ignored_mask:0 "
            )?;
        }
        Ok(())
    }

    fn readiness(&self) -> PollEvents {
        match self.0.state.lock().queue.is_empty() {
            true => PollEvents::empty(),
            false => PollEvents::IN | PollEvents::READ_NORMAL,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.readers)
    }

    fn notices(&self) -> Option<Notices> {
        Some(Notices::Line)
    }
}

/// A new file of events. Of the flags, [`OpenFlags::NONBLOCKING`] counts.
///
/// # Errors
/// `EMFILE` if the user has as many as it may.
pub fn create(flags: OpenFlags) -> Result<Arc<OpenFile>, Errno> {
    let user = task::credentials().users[0];
    if !charge(user, INSTANCES, &MOST_INSTANCES) {
        return Err(Errno::EMFILE);
    }
    let shared = Shared {
        state: Mutex::new(State {
            queue: EventQueue::new(),
            watches: SortedMap::new(),
            last: 0,
        }),
        changes: Mutex::new(()),
        readers: WaitQueue::new(),
        user,
    };
    let file = Arc::new(Inotify(Arc::new(shared)));
    Ok(super::anonymous::open(
        "anon_inode:inotify",
        file,
        flags & OpenFlags::NONBLOCKING,
    ))
}

/// The file of events behind an open file.
///
/// # Errors
/// `EINVAL` if it is something else.
pub fn of(open: &OpenFile) -> Result<Arc<Inotify>, Errno> {
    let file: Arc<dyn Any + Send + Sync> = open.file()?.clone();
    file.downcast().map_err(|_| Errno::EINVAL)
}
