//! What a process has of files: its descriptors, working directory, root and file mode mask.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Deref;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{AT_FDCWD, OpenFlags};
use spin::Mutex;

use super::file::OpenFile;
use super::inode::{Inode, PathName, same};
use super::mounts::{self, Mount};
use super::path::{self, Origin, Restrictions};
use super::permission::Rights;
use super::{console, locks};
use crate::task::{self, Current, Limits, Process, Resources, Thread};

/// More descriptors than this a process never has (`fs.nr_open` of Linux).
const MOST_DESCRIPTORS: u64 = 1_048_576;

#[derive(Clone)]
struct Slot {
    file: Arc<OpenFile>,
    close_on_exec: bool,
}

impl Slot {
    fn close(self) {
        locks::closed(&self.file);
    }
}

/// The descriptors of a process.
#[derive(Default)]
pub struct Descriptors {
    slots: Vec<Option<Slot>>,
    /// No descriptor below is free.
    lowest: usize,
}

impl Descriptors {
    fn index(descriptor: i32) -> Result<usize, Errno> {
        usize::try_from(descriptor).map_err(|_| Errno::EBADF)
    }

    fn slot(&self, descriptor: i32) -> Result<&Slot, Errno> {
        self.slots
            .get(Self::index(descriptor)?)
            .and_then(Option::as_ref)
            .ok_or(Errno::EBADF)
    }

    fn slot_mut(&mut self, descriptor: i32) -> Result<&mut Slot, Errno> {
        self.slots
            .get_mut(Self::index(descriptor)?)
            .and_then(Option::as_mut)
            .ok_or(Errno::EBADF)
    }

    /// Makes room for a descriptor.
    fn extend_to(&mut self, index: usize) -> Result<(), Errno> {
        if index >= self.slots.len() {
            let more = index + 1 - self.slots.len();
            self.slots.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
            self.slots.resize(index + 1, None);
        }
        Ok(())
    }

    /// The lowest free descriptor, not below `from`.
    fn free(&self, from: usize, limit: u64) -> Result<usize, Errno> {
        let start = from.max(self.lowest);
        let index = (start..self.slots.len())
            .find(|&index| self.slots[index].is_none())
            .unwrap_or(start.max(self.slots.len()));
        if index as u64 >= limit.min(MOST_DESCRIPTORS) {
            return Err(Errno::EMFILE);
        }
        Ok(index)
    }

    fn add(&mut self, file: Arc<OpenFile>, close_on_exec: bool, from: usize, limit: u64) -> Result<i32, Errno> {
        let index = self.free(from, limit)?;
        self.extend_to(index)?;
        self.slots[index] = Some(Slot { file, close_on_exec });
        if from <= self.lowest {
            self.lowest = index + 1;
        }
        Ok(index as i32)
    }

    /// The same files under the same numbers, for another process.
    fn copy(&self) -> Result<Self, Errno> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(self.slots.len()).map_err(|_| Errno::ENOMEM)?;
        slots.extend(self.slots.iter().cloned());
        Ok(Self {
            slots,
            lowest: self.lowest,
        })
    }

    /// Closes all. To be called with no lock held.
    fn close(self) {
        self.slots.into_iter().flatten().for_each(Slot::close);
    }

    fn remove(&mut self, index: usize) -> Option<Slot> {
        let slot = self.slots.get_mut(index)?.take()?;
        self.lowest = self.lowest.min(index);
        Some(slot)
    }
}

/// Descriptors that several processes share (`CLONE_FILES`): the last one that leaves closes them.
struct SharedDescriptors {
    descriptors: Mutex<Descriptors>,
    users: AtomicUsize,
}

/// The descriptors of a process: mostly its own, so that nothing stands between it and them.
enum Table {
    Own(Descriptors),
    Shared(Arc<SharedDescriptors>),
}

/// A directory that a process stays in, which keeps its mount in use.
#[derive(Clone)]
struct Standing {
    directory: Arc<dyn Inode>,
    _mount: Option<Arc<Mount>>,
}

impl Standing {
    fn at(directory: Arc<dyn Inode>) -> Mutex<Self> {
        Mutex::new(Self {
            _mount: directory.mount(),
            directory,
        })
    }
}

/// Goes to another directory.
fn go(standing: &Mutex<Standing>, directory: Arc<dyn Inode>) {
    let new = Standing::at(directory).into_inner();
    let old = core::mem::replace(&mut *standing.lock(), new);
    drop(old); // with no lock held
}

/// Where a process is among the files; several processes may share it (`CLONE_FS`).
struct Whereabouts {
    working_directory: Mutex<Standing>,
    root: Mutex<Standing>,
    mask: AtomicU32,
}

impl Whereabouts {
    fn copy(&self) -> Self {
        Self {
            working_directory: Mutex::new(self.working_directory.lock().clone()),
            root: Mutex::new(self.root.lock().clone()),
            mask: AtomicU32::new(self.mask.load(Ordering::Relaxed)),
        }
    }
}

/// What a process has of files, or a thread for itself.
pub struct FileContext {
    table: Mutex<Table>,
    whereabouts: Mutex<Arc<Whereabouts>>,
    /// Threads with the same descriptors have the same number here, by which record locks are theirs; 0 for those of the
    /// process.
    apart: AtomicUsize,
}

/// A number for descriptors that are not those of the process.
fn new_apart() -> usize {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Resources for FileContext {
    fn before_exec(&self) {
        self.unshare_descriptors();
        self.unshare_whereabouts();
        let mut closed = Vec::new();
        self.with_descriptors(|descriptors| {
            for index in 0..descriptors.slots.len() {
                if descriptors.slots[index].as_ref().is_some_and(|slot| slot.close_on_exec) {
                    closed.extend(descriptors.remove(index));
                }
            }
        });
        // Closing a pipe wakes others: only now, with no lock held.
        closed.into_iter().for_each(Slot::close);
    }

    fn end(&self) {
        let table = core::mem::replace(&mut *self.table.lock(), Table::Own(Descriptors::default()));
        let (descriptors, last) = match table {
            Table::Own(descriptors) => (descriptors, true),
            Table::Shared(shared) => shared.leave(),
        };
        // What a process still has was got by descriptors that other processes use, too.
        let last = last || task::current_process().thread_count() == 0;
        descriptors.close();
        if last {
            locks::ended(self.lock_owner());
        }
        self.leave_place();
    }
}

impl Drop for FileContext {
    fn drop(&mut self) {
        // Of a process that never came to be; the others are left with nothing by their end.
        if let Table::Shared(shared) = self.table.get_mut() {
            drop(shared.leave().0);
        }
    }
}

impl SharedDescriptors {
    /// Somebody does not use them any more: what is left to be closed, and whether nobody uses them now.
    fn leave(&self) -> (Descriptors, bool) {
        let last = self.users.fetch_sub(1, Ordering::AcqRel) == 1;
        let left = match last {
            true => core::mem::take(&mut *self.descriptors.lock()),
            false => Descriptors::default(),
        };
        (left, last)
    }
}

/// The file context of a process, but for threads that have one of their own.
pub fn of(process: &Process) -> &FileContext {
    as_context(&*process.resources)
}

/// The file context of a thread.
#[inline]
pub fn of_thread(thread: &Thread) -> &FileContext {
    as_context(&**thread.resources.get().unwrap_or(&thread.process.resources))
}

/// Does something with the file contexts of all processes and threads.
pub fn for_each(action: &mut dyn FnMut(&FileContext)) {
    for process in task::processes() {
        action(of(&process));
        if task::threads::any_apart() {
            for thread in process.threads() {
                if let Some(own) = thread.resources.get() {
                    action(as_context(&**own));
                }
            }
        }
    }
}

/// Gives the current thread descriptors or a place among the files that it shares with nobody (`unshare(2)`).
///
/// # Errors
/// `ENOMEM`
pub fn unshare(descriptors: bool, whereabouts: bool) -> Result<(), Errno> {
    let thread = task::current();
    let apart = thread.resources.is_completed();
    if !apart && thread.process.thread_count() > 1 && (descriptors || whereabouts) {
        let own = of(&thread.process).for_thread(!descriptors, !whereabouts)?;
        thread.resources.call_once(|| own);
        return Ok(());
    }
    let files = of_thread(&thread);
    if whereabouts {
        files.unshare_whereabouts();
    }
    if descriptors && files.unshare_descriptors() && apart {
        files.apart.store(new_apart(), Ordering::Relaxed);
    }
    Ok(())
}

/// What a new thread of the current process has of files for itself: nothing if it shares all with the current thread, and
/// that with the process.
///
/// # Errors
/// `ENOMEM`
pub fn for_new_thread(shares_descriptors: bool, shares_whereabouts: bool) -> Result<Option<Arc<dyn Resources>>, Errno> {
    let thread = task::current();
    if shares_descriptors && shares_whereabouts && !thread.resources.is_completed() {
        return Ok(None);
    }
    let own = of_thread(&thread).for_thread(shares_descriptors, shares_whereabouts)?;
    Ok(Some(own))
}

#[inline]
fn as_context(resources: &dyn Resources) -> &FileContext {
    let resources: &dyn Any = resources;
    match resources.downcast_ref() {
        Some(context) => context,
        // Boot makes the first process with one, and the others have it of that.
        None => unreachable!("a process's resources are its files"),
    }
}

/// The file context of the current thread, which is mostly its process's.
pub struct CurrentContext(Current);

impl Deref for CurrentContext {
    type Target = FileContext;

    #[inline]
    fn deref(&self) -> &FileContext {
        of_thread(&self.0)
    }
}

/// The file context of the current thread.
#[inline]
pub fn current() -> CurrentContext {
    CurrentContext(task::current())
}

fn descriptor_limit() -> u64 {
    task::current_process().limit(Limits::OPEN_FILES)
}

impl FileContext {
    /// That of the first process: standard input, output and error, and a working directory.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR` and the like for the working directory; `ENODEV` without a root file system.
    pub fn first(working_directory: &[u8]) -> Result<Arc<Self>, Errno> {
        let root = mounts::root_directory()?;
        let origin = Origin::new(root.clone(), root.clone());
        let directory = path::find(&origin, working_directory, true)?;
        if directory.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let mut descriptors = Descriptors::default();
        for stream in 0..3 {
            let file = console::open_standard(stream, &origin)?;
            descriptors.add(file, false, 0, 3)?;
        }
        let whereabouts = Whereabouts {
            working_directory: Standing::at(directory),
            root: Standing::at(root),
            mask: AtomicU32::new(0o022),
        };
        Ok(Arc::new(Self {
            table: Mutex::new(Table::Own(descriptors)),
            whereabouts: Mutex::new(Arc::new(whereabouts)),
            apart: AtomicUsize::new(0),
        }))
    }

    /// That of a new process: a copy, or the same descriptors, or the same place among the files.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn descendant(&self, shares_descriptors: bool, shares_whereabouts: bool) -> Result<Arc<Self>, Errno> {
        let table = if shares_descriptors {
            let mut table = self.table.lock();
            let shared = match &mut *table {
                Table::Shared(shared) => shared.clone(),
                Table::Own(descriptors) => Arc::new(SharedDescriptors {
                    descriptors: Mutex::new(core::mem::take(descriptors)),
                    users: AtomicUsize::new(1),
                }),
            };
            shared.users.fetch_add(1, Ordering::AcqRel);
            *table = Table::Shared(shared.clone());
            Table::Shared(shared)
        } else {
            Table::Own(self.with_descriptors(|descriptors| descriptors.copy())?)
        };
        let whereabouts = self.whereabouts();
        let whereabouts = if shares_whereabouts {
            whereabouts
        } else {
            Arc::new(whereabouts.copy())
        };
        Ok(Arc::new(Self {
            table: Mutex::new(table),
            whereabouts: Mutex::new(whereabouts),
            apart: AtomicUsize::new(0),
        }))
    }

    /// As [`Self::descendant`], for a thread of the same process.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn for_thread(&self, shares_descriptors: bool, shares_whereabouts: bool) -> Result<Arc<Self>, Errno> {
        let own = self.descendant(shares_descriptors, shares_whereabouts)?;
        let apart = match shares_descriptors {
            true => self.apart.load(Ordering::Relaxed),
            false => new_apart(),
        };
        own.apart.store(apart, Ordering::Relaxed);
        task::threads::note_apart();
        Ok(own)
    }

    /// Who owns record locks that are got by these descriptors. The process is in the lower half, and the number is smaller
    /// than any address of the kernel's half.
    pub fn lock_owner(&self) -> usize {
        self.apart.load(Ordering::Relaxed) << 32 | task::current_process().id as usize
    }

    /// Gives its user descriptors of its own, if it shares them (`unshare(2)` with `CLONE_FILES`). Whether it did.
    fn unshare_descriptors(&self) -> bool {
        let left = {
            let mut table = self.table.lock();
            let Table::Shared(shared) = &*table else { return false };
            let shared = shared.clone();
            let own = {
                let theirs = shared.descriptors.lock();
                Descriptors {
                    slots: theirs.slots.clone(),
                    lowest: theirs.lowest,
                }
            };
            *table = Table::Own(own);
            shared
        };
        left.leave().0.close();
        true
    }

    /// Gives its user a place among the files of its own (`unshare(2)` with `CLONE_FS`).
    fn unshare_whereabouts(&self) {
        let mut whereabouts = self.whereabouts.lock();
        if Arc::strong_count(&whereabouts) > 1 {
            *whereabouts = Arc::new(whereabouts.copy());
        }
    }

    /// Addresses of the descriptors and of the place among the files: two processes that share them have the same.
    pub fn addresses(&self) -> (usize, usize) {
        let descriptors = match &*self.table.lock() {
            Table::Own(_) => core::ptr::from_ref(self).addr(),
            Table::Shared(shared) => Arc::as_ptr(shared).addr(),
        };
        (descriptors, Arc::as_ptr(&*self.whereabouts.lock()).addr())
    }

    /// The process has ended and stays nowhere: as a zombie it must not keep a directory or its mount in use. And whoever has
    /// the last reference to it, perhaps an interrupt handler, must not let files go with it.
    fn leave_place(&self) {
        let Ok(root) = mounts::root_directory() else { return };
        let nowhere = Whereabouts {
            working_directory: Standing::at(root.clone()),
            root: Standing::at(root),
            mask: AtomicU32::new(0),
        };
        let left = core::mem::replace(&mut *self.whereabouts.lock(), Arc::new(nowhere));
        drop(left); // with no lock held
    }

    fn whereabouts(&self) -> Arc<Whereabouts> {
        self.whereabouts.lock().clone()
    }

    /// Does something with the descriptors, locked.
    #[inline]
    fn with_descriptors<R>(&self, action: impl FnOnce(&mut Descriptors) -> R) -> R {
        let mut table = self.table.lock();
        match &mut *table {
            Table::Own(descriptors) => action(descriptors),
            Table::Shared(shared) => {
                let shared = shared.clone();
                drop(table);
                let mut descriptors = shared.descriptors.lock();
                action(&mut descriptors)
            }
        }
    }

    /// The open file of a descriptor.
    ///
    /// # Errors
    /// `EBADF`
    #[inline]
    pub fn file(&self, descriptor: i32) -> Result<Arc<OpenFile>, Errno> {
        self.with_descriptors(|descriptors| descriptors.slot(descriptor).map(|slot| slot.file.clone()))
    }

    /// Gives a file the lowest free descriptor, not below `from`.
    ///
    /// # Errors
    /// `EMFILE` at the limit `RLIMIT_NOFILE`, `ENOMEM`.
    pub fn add(&self, file: Arc<OpenFile>, close_on_exec: bool, from: usize) -> Result<i32, Errno> {
        let limit = descriptor_limit();
        self.with_descriptors(|descriptors| descriptors.add(file, close_on_exec, from, limit))
    }

    /// Whether one more file can get a descriptor.
    ///
    /// # Errors
    /// `EMFILE` at the limit `RLIMIT_NOFILE`.
    pub fn check_room(&self) -> Result<(), Errno> {
        let limit = descriptor_limit();
        self.with_descriptors(|descriptors| descriptors.free(0, limit).map(|_| ()))
    }

    /// As [`Self::check_room`], for two.
    ///
    /// # Errors
    /// `EMFILE`, `ENOMEM`.
    pub fn check_room_for_pair(&self) -> Result<(), Errno> {
        let limit = descriptor_limit();
        self.with_descriptors(|descriptors| {
            let first = descriptors.free(0, limit)?;
            descriptors.free(first + 1, limit).map(|_| ())
        })
    }

    /// Gives a file the descriptor `index` and closes what had it (`dup2`).
    ///
    /// # Errors
    /// `EBADF` at or above the limit, `ENOMEM`.
    pub fn replace(&self, file: Arc<OpenFile>, close_on_exec: bool, descriptor: i32) -> Result<(), Errno> {
        let index = Descriptors::index(descriptor)?;
        if index as u64 >= descriptor_limit().min(MOST_DESCRIPTORS) {
            return Err(Errno::EBADF);
        }
        let old = self.with_descriptors(|descriptors| {
            descriptors.extend_to(index)?;
            Ok::<_, Errno>(descriptors.slots[index].replace(Slot { file, close_on_exec }))
        })?;
        if let Some(old) = old {
            old.close();
        }
        Ok(())
    }

    /// Closes a descriptor.
    ///
    /// # Errors
    /// `EBADF`
    pub fn close(&self, descriptor: i32) -> Result<(), Errno> {
        let index = Descriptors::index(descriptor)?;
        let slot = self.with_descriptors(|descriptors| descriptors.remove(index));
        slot.map(Slot::close).ok_or(Errno::EBADF)
    }

    /// Closes all descriptors in a range, or marks them to be closed by `execve`.
    pub fn close_range(&self, first: u32, last: u32, only_mark: bool) {
        let mut closed = Vec::new();
        self.with_descriptors(|descriptors| {
            let end = descriptors.slots.len().min((last as usize).saturating_add(1));
            for index in first as usize..end {
                if only_mark {
                    if let Some(slot) = &mut descriptors.slots[index] {
                        slot.close_on_exec = true;
                    }
                } else {
                    closed.extend(descriptors.remove(index));
                }
            }
        });
        closed.into_iter().for_each(Slot::close);
    }

    /// Whether a descriptor is closed by `execve`.
    ///
    /// # Errors
    /// `EBADF`
    pub fn close_on_exec(&self, descriptor: i32) -> Result<bool, Errno> {
        self.with_descriptors(|descriptors| descriptors.slot(descriptor).map(|slot| slot.close_on_exec))
    }

    /// Says whether a descriptor is closed by `execve`.
    ///
    /// # Errors
    /// `EBADF`
    pub fn set_close_on_exec(&self, descriptor: i32, close: bool) -> Result<(), Errno> {
        self.with_descriptors(|descriptors| descriptors.slot_mut(descriptor).map(|slot| slot.close_on_exec = close))
    }

    /// The descriptors that are open, from one on.
    pub fn open_descriptors(&self, from: usize) -> Vec<i32> {
        self.with_descriptors(|descriptors| {
            let slots = descriptors.slots.iter().enumerate().skip(from);
            slots
                .filter(|(_, slot)| slot.is_some())
                .map(|(index, _)| index as i32)
                .collect()
        })
    }

    /// The root directory of the process.
    pub fn root(&self) -> Arc<dyn Inode> {
        self.whereabouts().root.lock().directory.clone()
    }

    /// Changes the root directory (`chroot(2)`).
    ///
    /// # Errors
    /// `ENOTDIR`
    pub fn set_root(&self, directory: Arc<dyn Inode>) -> Result<(), Errno> {
        if directory.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        go(&self.whereabouts().root, directory);
        Ok(())
    }

    /// The root of all has changed (`pivot_root(2)`): who stands on the old one goes to the new one.
    pub fn change_root(&self, old: &Arc<dyn Inode>, new: &Arc<dyn Inode>) {
        let whereabouts = self.whereabouts();
        for standing in [&whereabouts.root, &whereabouts.working_directory] {
            let stands = same(&standing.lock().directory, old);
            if stands {
                go(standing, new.clone());
            }
        }
    }

    /// Where a file is, seen from the process's root directory. What lies outside begins with `(unreachable)`.
    pub fn path_of(&self, inode: &Arc<dyn Inode>) -> PathName {
        let mut path = inode.path();
        let root = self.root().path().bytes;
        if root == b"/" {
            return path;
        }
        match path.bytes.strip_prefix(&root[..]) {
            Some([]) => path.bytes = Vec::from(*b"/"),
            Some(inner @ [b'/', ..]) => path.bytes = inner.to_vec(),
            _ => {
                let outside = b"(unreachable)";
                path.bytes.splice(0..0, outside.iter().copied());
            }
        }
        path
    }

    /// The working directory.
    pub fn working_directory(&self) -> Arc<dyn Inode> {
        self.whereabouts().working_directory.lock().directory.clone()
    }

    /// Changes the working directory.
    ///
    /// # Errors
    /// `ENOTDIR`
    pub fn set_working_directory(&self, directory: Arc<dyn Inode>) -> Result<(), Errno> {
        if directory.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        go(&self.whereabouts().working_directory, directory);
        Ok(())
    }

    /// Permissions that new files don't get.
    pub fn mask(&self) -> u16 {
        self.whereabouts().mask.load(Ordering::Relaxed) as u16
    }

    /// Sets them and returns what they were.
    pub fn set_mask(&self, mask: u16) -> u16 {
        self.whereabouts().mask.swap(u32::from(mask & 0o777), Ordering::Relaxed) as u16
    }

    /// From where a path is followed: the working directory, or that of a descriptor.
    ///
    /// # Errors
    /// `EBADF`, and `ENOTDIR` for a relative path.
    pub fn origin(&self, directory: i32, path: &[u8]) -> Result<Origin, Errno> {
        self.restricted_origin(directory, path, Restrictions::empty())
    }

    /// As [`Self::origin`], with restrictions on where the path leads.
    ///
    /// # Errors
    /// As [`Self::origin`].
    pub fn restricted_origin(&self, directory: i32, path: &[u8], restrictions: Restrictions) -> Result<Origin, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT); // whatever the descriptor is
        }
        let absolute = path.first() == Some(&b'/');
        let root = self.root();
        let start = if absolute && !restrictions.contains(Restrictions::IN_ROOT) {
            root.clone()
        } else if directory == AT_FDCWD {
            self.working_directory()
        } else {
            let inode = self.file(directory)?.inode.clone();
            if inode.kind() != FileKind::Directory {
                return Err(Errno::ENOTDIR);
            }
            inode
        };
        let scoped = restrictions.intersects(Restrictions::BENEATH | Restrictions::IN_ROOT);
        Ok(Origin {
            root: if scoped { start.clone() } else { root },
            start,
            restrictions,
            rights: Rights::current(),
        })
    }

    /// The file at a path.
    ///
    /// # Errors
    /// As for [`path::find`] and [`Self::origin`].
    pub fn find(&self, directory: i32, path: &[u8], follow: bool) -> Result<Arc<dyn Inode>, Errno> {
        path::find(&self.origin(directory, path)?, path, follow)
    }

    /// Opens the file at a path as `openat(2)` does.
    ///
    /// # Errors
    /// As `openat(2)`.
    pub fn open(
        &self,
        directory: i32,
        path: &[u8],
        flags: OpenFlags,
        permissions: u16,
        restrictions: Restrictions,
    ) -> Result<Arc<OpenFile>, Errno> {
        let origin = self.restricted_origin(directory, path, restrictions)?;
        super::open::open_at(&origin, path, flags, permissions & !self.mask())
    }
}
