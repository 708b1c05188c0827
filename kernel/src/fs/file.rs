//! Open files.
//!
//! A [`File`] does input and output for one kind of file. An [`OpenFile`] is what `open(2)` calls an *open file
//! description*: a file together with a position and flags, shared by all descriptors that were duplicated
//! from one another.

use alloc::sync::Arc;
use core::any::Any;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents};
use pith_linux::inotify::FileEvents;
use spin::Once;

use super::event_poll::Watchers;
use super::inode::Inode;
use super::leases::{self, Openers};
use super::mounts::{self, Mount};
use super::owner::{Notices, Notifier};
use super::proc::Text;
use super::turn::{Turn, TurnGuard};
use super::{locks, notify};
use crate::memory::{Destination, PageSource, Source, UserPointer};
use crate::task::jobs::Target;
use crate::task::{self, WaitQueue};

/// What `mmap(2)` maps for a file.
pub enum Mappable {
    /// Fresh zeroes: `/dev/zero`.
    Zero,
    /// The object's own pages.
    Object(Arc<dyn PageSource>),
    /// The same, for the program alone (`memfd_secret(2)`).
    Secret(Arc<dyn PageSource>),
}

/// An entry of a directory listing.
#[derive(Clone, Copy)]
pub struct ListedEntry<'a> {
    /// The name.
    pub name: &'a [u8],
    /// Number of the inode.
    pub number: u64,
    /// Type.
    pub kind: FileKind,
    /// Position of the entry behind this one.
    pub next: u64,
}

/// Takes entries of a listing; false when there is no room for the one that was offered.
pub type Listing<'a> = &'a mut dyn FnMut(ListedEntry<'_>) -> bool;

/// Where in a file a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteAt {
    /// There.
    Position(u64),
    /// To the end, wherever that is (`O_APPEND`).
    End,
}

/// Input and output of one kind of file. Nothing of the program's memory may be touched with a lock held that
/// a page fault needs.
pub trait File: Any + Send + Sync {
    /// Whether positions mean something; otherwise `lseek`, `pread` and `pwrite` answer `ESPIPE`.
    fn seekable(&self) -> bool {
        false
    }

    /// Whether `pread` and `pwrite` are refused, if at all, for another reason than that they name a position.
    fn takes_positions(&self) -> bool {
        self.seekable()
    }

    /// Whether a position means anything. Where it does not, `lseek` succeeds and stays at 0, as on
    /// `/dev/null`.
    fn has_positions(&self) -> bool {
        self.seekable()
    }

    /// Whether `lseek` succeeds and stays at 0 although the file is not seekable, as with event counters.
    fn ignores_seeking(&self) -> bool {
        false
    }

    /// Goes to a record of a file that has records instead of positions; `None` for all others.
    fn seek_record(&self, _offset: i64, _whence: i32) -> Option<Result<u64, Errno>> {
        None
    }

    /// Whether such files are read at all; `readv` of nothing succeeds only then.
    fn can_be_read(&self) -> bool {
        true
    }

    /// Whether such files are written at all; `writev` of nothing succeeds only then.
    fn can_be_written(&self) -> bool {
        true
    }

    /// Whether its terminal has hung up: no data comes from it or goes to it, and it sends no signals.
    fn is_hung_up(&self) -> bool {
        false
    }

    /// Whether several pieces of memory are read as one. Otherwise each is a reading of its own, and flags of `preadv2` are
    /// refused.
    fn scatters(&self) -> bool {
        true
    }

    /// Whether several pieces of memory are written as one. Otherwise each is a write of its own, and flags of
    /// `pwritev2` are refused.
    fn gathers(&self) -> bool {
        true
    }

    /// Whether one transfer may be asked not to wait (`RWF_NOWAIT`).
    fn takes_nowait(&self) -> bool {
        true
    }

    /// Reads, at a position if the file is seekable. 0 is the end of the file.
    fn read(&self, _position: u64, _to: &mut Destination<'_>, _flags: OpenFlags) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// Writes. Returns the number of bytes and the position behind them.
    fn write(&self, _at: WriteAt, _from: &mut Source<'_>, _flags: OpenFlags) -> Result<(usize, u64), Errno> {
        Err(Errno::EINVAL)
    }

    /// The size that `SEEK_END` counts from.
    fn size(&self) -> u64 {
        0
    }

    /// Start of the next data (`SEEK_DATA`) or hole (`SEEK_HOLE`) from a position on.
    fn next_extent(&self, position: u64, data: bool) -> Result<u64, Errno> {
        let size = self.size();
        if position >= size {
            return Err(Errno::ENXIO);
        }
        Ok(if data { position } else { size })
    }

    /// Lists a directory from a position on.
    fn list(&self, _position: u64, _listing: Listing<'_>) -> Result<(), Errno> {
        Err(Errno::ENOTDIR)
    }

    /// `ioctl(2)`
    fn control(&self, _request: u32, _argument: UserPointer) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }

    /// What `mmap(2)` maps.
    fn mappable(&self) -> Result<Mappable, Errno> {
        Err(Errno::ENODEV)
    }

    /// Whether it may be open for input and output past the page cache (`O_DIRECT`), which with files in memory makes no
    /// difference.
    fn can_be_direct(&self) -> bool {
        false
    }

    /// Sets the length.
    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// `fallocate(2)`
    fn allocate(&self, _mode: u32, _start: u64, _length: u64) -> Result<(), Errno> {
        Err(if self.seekable() { Errno::ENODEV } else { Errno::ESPIPE })
    }

    /// Whether `fsync(2)` makes sense.
    fn synchronise(&self) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// What may never happen to it (`F_GET_SEALS`).
    fn seals(&self) -> Result<u32, Errno> {
        Err(Errno::EINVAL)
    }

    /// Adds to that (`F_ADD_SEALS`).
    fn add_seals(&self, _seals: u32) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// What can be done without waiting.
    fn readiness(&self) -> PollEvents {
        PollEvents::IN | PollEvents::READ_NORMAL | PollEvents::OUT | PollEvents::WRITE_NORMAL
    }

    /// Who waits for readiness to change; `None` if it never does.
    fn wait_queue(&self) -> Option<&WaitQueue> {
        None
    }

    /// What `/proc/self/fdinfo` tells beside position and flags.
    fn describe(&self, _text: &mut Text) -> Result<(), Errno> {
        Ok(())
    }

    /// Which events such files signal (`O_ASYNC`); `None` if none.
    fn notices(&self) -> Option<Notices> {
        None
    }

    /// The owner of a new file that is to send signals and has none (`F_SETOWN`).
    fn natural_owner(&self) -> Option<Target> {
        None
    }

    /// Size of the pipe's buffer (`F_GETPIPE_SZ`), after changing it (`F_SETPIPE_SZ`) if a size is given.
    fn pipe_capacity(&self, _new: Option<usize>) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }
}

/// Flags that stay with an open file; those that `F_SETFL` may change are fewer.
const KEPT: OpenFlags = OpenFlags::all()
    .difference(OpenFlags::CREATE)
    .difference(OpenFlags::EXCLUSIVE)
    .difference(OpenFlags::NO_CONTROLLING_TERMINAL)
    .difference(OpenFlags::TRUNCATE)
    .difference(OpenFlags::CLOSE_ON_EXEC);

/// Flags that `F_SETFL` changes.
const CHANGEABLE: OpenFlags = OpenFlags::APPEND
    .union(OpenFlags::NONBLOCKING)
    .union(OpenFlags::ASYNCHRONOUS)
    .union(OpenFlags::DIRECT)
    .union(OpenFlags::NO_ACCESS_TIME);

/// What one transfer wants otherwise than the open file is used.
#[derive(Clone, Copy, Default)]
pub struct FlagChange {
    /// Flags that it has besides.
    pub more: OpenFlags,
    /// Flags that it has not.
    pub less: OpenFlags,
}

impl FlagChange {
    /// The same, but it does not wait.
    pub fn nonblocking(mut self) -> Self {
        self.more |= OpenFlags::NONBLOCKING;
        self
    }

    fn applied_to(self, flags: OpenFlags) -> OpenFlags {
        (flags | self.more) - self.less
    }
}

/// An open file description.
pub struct OpenFile {
    /// The file as found, for `fstat` and paths.
    pub inode: Arc<dyn Inode>,
    /// Its input and output; `None` for `O_PATH`.
    file: Option<Arc<dyn File>>,
    /// The mount that it keeps in use, and whether it keeps that from becoming read-only.
    mount: Option<Arc<Mount>>,
    keeps_writable: bool,
    flags: AtomicU32,
    position: Position,
    /// With which credentials it was opened ([`task::credentials_number`]).
    pub opener: u64,
    /// Whether [`locks`] may know it.
    pub(super) ever_locked: AtomicBool,
    /// The event polls that watch it.
    pub(super) watchers: Watchers,
    /// Whom it tells by signals.
    notifier: Once<Arc<Notifier>>,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if *self.ever_locked.get_mut() {
            locks::forget(self);
            leases::forget(self);
        }
        if self.keeps_writable
            && let Some(mount) = &self.mount
        {
            mount.count_writer(false);
            Openers::count_named_writer(&*self.inode, false);
        }
        let flags = OpenFlags::from_bits_truncate(*self.flags.get_mut());
        if let Some(file) = &self.file {
            Openers::leave(&*self.inode, flags);
            self.watchers.end(&**file);
            if let Some(notifier) = self.notifier.get() {
                notifier.end(&**file);
            }
            if notify::anybody() {
                let closed = if flags.writes() {
                    FileEvents::CLOSE_WRITE
                } else {
                    FileEvents::CLOSE_NO_WRITE
                };
                notify::happened(&*self.inode, closed);
            }
        }
    }
}

/// Where a read or write happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the description's own position, which moves on.
    Current,
    /// There; the description's position stays (`pread`, `pwrite`).
    At(u64),
}

/// A position that one thread moves at a time, and that everybody can look at: `/proc/self/fdinfo` even while
/// it is read itself.
#[derive(Default)]
struct Position {
    turn: Turn,
    value: AtomicU64,
}

/// The right to move a position; it is stored when the guard goes.
struct PositionGuard<'a> {
    _turn: TurnGuard<'a>,
    stored: &'a AtomicU64,
    value: u64,
}

impl Position {
    fn lock(&self) -> PositionGuard<'_> {
        let turn = self.turn.take();
        PositionGuard {
            _turn: turn,
            stored: &self.value,
            value: self.value.load(Ordering::Relaxed),
        }
    }
}

impl Deref for PositionGuard<'_> {
    type Target = u64;

    fn deref(&self) -> &u64 {
        &self.value
    }
}

impl DerefMut for PositionGuard<'_> {
    fn deref_mut(&mut self) -> &mut u64 {
        &mut self.value
    }
}

impl Drop for PositionGuard<'_> {
    fn drop(&mut self) {
        self.stored.store(self.value, Ordering::Relaxed);
    }
}

/// Positions are signed: a transfer must not go beyond the largest one.
fn check_range(position: u64, length: usize) -> Result<(), Errno> {
    match position.checked_add(length as u64) {
        Some(end) if i64::try_from(end).is_ok() => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

impl OpenFile {
    /// A description of a file that is open.
    pub fn new(inode: Arc<dyn Inode>, file: Arc<dyn File>, flags: OpenFlags) -> Arc<Self> {
        let mount = inode.mount();
        let keeps_writable = flags.writes() && mount.is_some() && inode.kind() == FileKind::Regular;
        if keeps_writable && let Some(mount) = &mount {
            mount.count_writer(true);
            Openers::count_named_writer(&*inode, true);
        }
        Openers::enter(&*inode, flags);
        let flags = AtomicU32::new((flags & KEPT).bits());
        Arc::new(Self {
            inode,
            file: Some(file),
            mount,
            keeps_writable,
            flags,
            position: Position::default(),
            opener: task::credentials_number(),
            ever_locked: AtomicBool::new(false),
            watchers: Watchers::default(),
            notifier: Once::new(),
        })
    }

    /// A description that only names a file (`O_PATH`).
    pub fn path_only(inode: Arc<dyn Inode>, flags: OpenFlags) -> Arc<Self> {
        let kept = flags & (OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NO_FOLLOW);
        Arc::new(Self {
            mount: inode.mount(),
            keeps_writable: false,
            inode,
            file: None,
            flags: AtomicU32::new(kept.bits()),
            position: Position::default(),
            opener: task::credentials_number(),
            ever_locked: AtomicBool::new(false),
            watchers: Watchers::default(),
            notifier: Once::new(),
        })
    }

    /// It was opened in vain, which nobody is told.
    pub fn discard(mut self: Arc<Self>) {
        if let Some(new) = Arc::get_mut(&mut self) {
            Openers::leave(&*new.inode, new.flags());
            new.file = None;
        }
    }

    /// Its flags now.
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Changes the flags that may change (`F_SETFL`).
    pub fn set_flags(&self, wanted: OpenFlags) {
        let flags = (self.flags() - CHANGEABLE) | (wanted & CHANGEABLE);
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// Whom it tells by signals, and of what.
    pub fn notifier(&self) -> &Arc<Notifier> {
        self.notifier.call_once(|| {
            let notices = self.file.as_ref().and_then(|file| file.notices());
            Notifier::new(notices.unwrap_or(Notices::Line))
        })
    }

    /// The same, if anybody ever asked for it.
    pub fn known_notifier(&self) -> Option<&Arc<Notifier>> {
        self.notifier.get()
    }

    /// Names whom it tells. A socket tells of urgent data whether it is asked to or not.
    ///
    /// # Errors
    /// `ENOMEM`
    pub fn set_owner(&self, target: Option<Target>) -> Result<(), Errno> {
        let notifier = self.notifier();
        notifier.set_owner(target);
        match &self.file {
            Some(file) if file.notices() == Some(Notices::Socket) => notifier.register(&**file),
            _ => Ok(()),
        }
    }

    /// Signals are wanted or not, says a descriptor (`O_ASYNC`). The flag itself is set by the caller.
    ///
    /// # Errors
    /// `ENOTTY` if such files send none, or the terminal has hung up; `ENOMEM`.
    pub fn send_signals(&self, on: bool, descriptor: i32) -> Result<(), Errno> {
        let file = self.file()?;
        file.notices().filter(|_| !file.is_hung_up()).ok_or(Errno::ENOTTY)?;
        let notifier = self.notifier();
        if on
            && notifier.owner().is_none()
            && let Some(owner) = file.natural_owner()
        {
            notifier.set_owner(Some(owner));
        }
        notifier.enable(&**file, on, descriptor)
    }

    /// Remembers that a writer found no room, if signals tell when there is some again.
    pub fn note_shortage<T>(&self, result: &Result<T, Errno>) {
        if matches!(result, Err(Errno::EAGAIN | Errno::EINPROGRESS))
            && let Some(notifier) = self.notifier.get()
        {
            notifier.no_room();
        }
    }

    /// Input and output.
    ///
    /// # Errors
    /// `EBADF` for a description of `O_PATH`.
    pub fn file(&self) -> Result<&Arc<dyn File>, Errno> {
        self.file.as_ref().ok_or(Errno::EBADF)
    }

    /// Whether it is a regular file, and also looks like one, as one that names a process does not.
    pub fn is_regular(&self) -> bool {
        self.inode.kind() == FileKind::Regular && !self.inode.metadata().is_typeless
    }

    /// Whether it may be read.
    pub fn readable(&self) -> bool {
        self.file.is_some() && self.flags().reads()
    }

    /// Whether it may be written.
    pub fn writable(&self) -> bool {
        self.file.is_some() && self.flags().writes()
    }

    /// What can be done without waiting; nothing with a description that only names a file.
    pub fn readiness(&self) -> PollEvents {
        self.file.as_ref().map_or(PollEvents::empty(), |file| file.readiness())
    }

    /// Whether something can be read there at all, which is told before what is read.
    ///
    /// # Errors
    /// `ESPIPE`, `EBADF`, `EINVAL`.
    pub fn check_readable(&self, place: Place) -> Result<(), Errno> {
        self.check_place(place, self.flags().reads())?;
        if self.file()?.can_be_read() {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// As [`Self::check_readable`], for writing.
    ///
    /// # Errors
    /// `ESPIPE`, `EBADF`, `EINVAL`.
    pub fn check_writable(&self, place: Place) -> Result<(), Errno> {
        self.check_place(place, self.flags().writes())?;
        if self.file()?.can_be_written() {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    fn check_place(&self, place: Place, allowed: bool) -> Result<(), Errno> {
        if matches!(place, Place::At(_)) && !self.file()?.takes_positions() {
            return Err(Errno::ESPIPE);
        }
        self.file()?;
        if allowed { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// Reads (`read`, `pread`, …).
    ///
    /// # Errors
    /// `EBADF` if it isn't open for reading, `EISDIR`, `ESPIPE`, and what the kind of file answers.
    #[inline]
    pub fn read(&self, place: Place, to: &mut Destination<'_>) -> Result<usize, Errno> {
        self.read_with(place, to, FlagChange::default())
    }

    /// As [`Self::read`], with other flags than its own.
    ///
    /// # Errors
    /// As [`Self::read`].
    #[inline]
    pub fn read_with(&self, place: Place, to: &mut Destination<'_>, change: FlagChange) -> Result<usize, Errno> {
        let done = self.read_untold(place, to, change)?;
        if done != 0 && notify::anybody() {
            notify::happened(&*self.inode, FileEvents::ACCESS);
        }
        Ok(done)
    }

    #[inline]
    fn read_untold(&self, place: Place, to: &mut Destination<'_>, change: FlagChange) -> Result<usize, Errno> {
        let mut flags = change.applied_to(self.flags());
        let file = self.file()?;
        self.check_readable(place)?;
        if mounts::has_odd_times() && !flags.contains(OpenFlags::NO_ACCESS_TIME) {
            // The mount may want it otherwise than files do by themselves.
            flags |= OpenFlags::NO_ACCESS_TIME;
            mounts::accessed(&*self.inode);
        }
        if !file.has_positions() {
            return file.read(0, to, flags);
        }
        match place {
            Place::At(position) => {
                check_range(position, to.remaining())?;
                file.read(position, to, flags)
            }
            Place::Current => {
                // Held during the copy, so that two threads never read the same bytes. No page fault needs it.
                let mut position = self.position.lock();
                check_range(*position, to.remaining())?;
                let done = file.read(*position, to, flags)?;
                *position += done as u64;
                Ok(done)
            }
        }
    }

    /// Writes (`write`, `pwrite`, …).
    ///
    /// # Errors
    /// `EBADF` if it isn't open for writing, `ESPIPE`, `EFBIG` and what the kind of file answers.
    pub fn write(&self, place: Place, from: &mut Source<'_>) -> Result<usize, Errno> {
        self.write_with(place, from, FlagChange::default())
    }

    /// As [`Self::write`], with other flags than its own.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_with(&self, place: Place, from: &mut Source<'_>, change: FlagChange) -> Result<usize, Errno> {
        let done = self.write_untold(place, from, change)?;
        if done != 0 && notify::anybody() {
            notify::happened(&*self.inode, FileEvents::MODIFY);
        }
        Ok(done)
    }

    #[inline]
    fn write_untold(&self, place: Place, from: &mut Source<'_>, change: FlagChange) -> Result<usize, Errno> {
        let flags = change.applied_to(self.flags());
        let file = self.file()?;
        self.check_writable(place)?;
        if !file.seekable() {
            let result = file.write(WriteAt::End, from, flags).map(|(done, _)| done);
            self.note_shortage(&result);
            return result;
        }
        let append = flags.contains(OpenFlags::APPEND);
        match place {
            // As on Linux, `pwrite` to a file with `O_APPEND` appends.
            Place::At(position) => {
                check_range(position, from.remaining())?;
                let at = if append {
                    WriteAt::End
                } else {
                    WriteAt::Position(position)
                };
                file.write(at, from, flags).map(|(done, _)| done)
            }
            Place::Current => {
                let mut position = self.position.lock();
                check_range(*position, from.remaining())?;
                let at = if append {
                    WriteAt::End
                } else {
                    WriteAt::Position(*position)
                };
                let (done, behind) = file.write(at, from, flags)?;
                // Nothing written moves nothing, not even to the end.
                if done != 0 {
                    *position = behind;
                }
                Ok(done)
            }
        }
    }

    /// `lseek(2)`
    ///
    /// # Errors
    /// `ESPIPE`, `EINVAL`, `ENXIO`.
    pub fn seek(&self, offset: i64, whence: i32) -> Result<u64, Errno> {
        let file = self.file()?;
        if !(0..=4).contains(&whence) {
            return Err(Errno::EINVAL);
        }
        if let Some(result) = file.seek_record(offset, whence) {
            return result;
        }
        if !file.seekable() && !file.ignores_seeking() {
            return Err(Errno::ESPIPE);
        }
        if !file.has_positions() {
            return Ok(0);
        }
        if self.inode.kind() == FileKind::Directory && whence > 1 {
            return Err(Errno::EINVAL); // a listing has no end that could be counted from
        }
        let mut position = self.position.lock();
        let base = match whence {
            0 => 0,
            1 => *position,
            2 => file.size(),
            3 | 4 => {
                let start = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                *position = file.next_extent(start, whence == 3)?;
                return Ok(*position);
            }
            _ => return Err(Errno::EINVAL),
        };
        let sum = i64::try_from(base)
            .ok()
            .and_then(|base| base.checked_add(offset))
            .ok_or(Errno::EINVAL)?;
        *position = u64::try_from(sum).map_err(|_| Errno::EINVAL)?;
        Ok(*position)
    }

    /// The position now.
    pub fn position(&self) -> u64 {
        self.position.value.load(Ordering::Relaxed)
    }

    /// Lists a directory from the position on; `listing` tells by its answer which entry was the last.
    ///
    /// # Errors
    /// `ENOTDIR`, `EBADF`, and what the file system answers.
    pub fn list(&self, listing: Listing<'_>) -> Result<(), Errno> {
        let mut position = self.position.lock();
        let mut next = *position;
        self.file()?.list(*position, &mut |entry| {
            let taken = listing(entry);
            if taken {
                next = entry.next;
            }
            taken
        })?;
        *position = next;
        self.accessed();
        if notify::anybody() {
            notify::happened(&*self.inode, FileEvents::ACCESS);
        }
        Ok(())
    }

    /// Notes that the file was read, unless it was opened with `O_NOATIME`.
    pub fn accessed(&self) {
        if !self.flags().contains(OpenFlags::NO_ACCESS_TIME) {
            mounts::accessed(&*self.inode);
        }
    }
}
