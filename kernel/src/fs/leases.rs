//! Leases on files: `F_SETLEASE` of `fcntl(2)`.
//!
//! A lease belongs to an open file description, whose owner is told by a signal when somebody else opens the file in a way
//! that does not go with it, or cuts it. Whoever does so waits until the lease was given up, or its time is over. Who has
//! a file open is counted by the file itself ([`Openers`]), before leases are looked for: so no lease is granted while
//! somebody is on the way.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{FileLock, OpenFlags};
use spin::Mutex;

use super::file::OpenFile;
use super::inode::{FileIdentity, Inode};
use super::owner::{self, Notifier};
use super::permission::Rights;
use super::tree;
use crate::task::{self, Capabilities, Instant, WaitError, WaitQueue, monotonic};

/// `/proc/sys/fs/lease-break-time`: for so many seconds a lease stands in the way of others; 0: for ever.
pub static BREAK_TIME: AtomicUsize = AtomicUsize::new(45);
/// `/proc/sys/fs/leases-enable`: there may be new ones.
pub static ENABLED: AtomicUsize = AtomicUsize::new(1);

/// How many descriptions of a file are open for reading only, and for writing.
#[derive(Default)]
pub struct Openers {
    readers: AtomicU32,
    writers: AtomicU32,
    /// How many write it by a name, and how many processes run it: not both at a time.
    named_writers: AtomicU32,
    executions: AtomicU32,
    /// How long its data will live, as programs say for whoever asks (`F_SET_RW_HINT`).
    write_hint: AtomicU8,
}

/// The hint of a regular file how long its data will live.
pub fn write_hint(inode: &dyn Inode) -> Option<&AtomicU8> {
    Some(&tree::openers(inode)?.write_hint)
}

impl Openers {
    fn of(inode: &dyn Inode, flags: OpenFlags) -> Option<&AtomicU32> {
        let openers = tree::openers(inode)?;
        match (flags.reads(), flags.writes()) {
            (_, true) => Some(&openers.writers),
            (true, false) => Some(&openers.readers),
            (false, false) => None,
        }
    }

    /// One more has the file open with these flags.
    pub fn enter(inode: &dyn Inode, flags: OpenFlags) {
        if let Some(count) = Self::of(inode, flags) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// One more writes the file, which has a name, or is about to: if it does not run ([`Self::check_written`]). Or one less.
    pub fn count_named_writer(inode: &dyn Inode, begins: bool) {
        if let Some(openers) = tree::openers(inode) {
            match begins {
                true => openers.named_writers.fetch_add(1, Ordering::SeqCst),
                false => openers.named_writers.fetch_sub(1, Ordering::SeqCst),
            };
        }
    }

    /// Whether a file may be written whose writer was counted.
    ///
    /// # Errors
    /// `ETXTBSY` for a program that runs.
    pub fn check_written(inode: &dyn Inode) -> Result<(), Errno> {
        match tree::openers(inode).is_some_and(|openers| openers.executions.load(Ordering::SeqCst) != 0) {
            true => Err(Errno::ETXTBSY),
            false => Ok(()),
        }
    }

    /// The opposite of [`Self::enter`].
    pub fn leave(inode: &dyn Inode, flags: OpenFlags) {
        if let Some(count) = Self::of(inode, flags) {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A file runs as a program: as long as this lives nobody writes it.
pub struct Execution(Arc<dyn Inode>);

impl Execution {
    /// Runs a file.
    ///
    /// # Errors
    /// `ETXTBSY` if somebody writes it.
    pub fn begin(inode: &Arc<dyn Inode>) -> Result<Arc<Self>, Errno> {
        let execution = Arc::new(Self(inode.clone()));
        if let Some(openers) = tree::openers(&**inode) {
            openers.executions.fetch_add(1, Ordering::SeqCst);
            // Whoever writes is counted first, and looks then.
            if openers.named_writers.load(Ordering::SeqCst) != 0 {
                return Err(Errno::ETXTBSY);
            }
        }
        Ok(execution)
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        if let Some(openers) = tree::openers(&*self.0) {
            openers.executions.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A lease.
struct Lease {
    /// Address of the description, which gives its lease up before it goes.
    holder: usize,
    file: FileIdentity,
    /// Who is told.
    notifier: Arc<Notifier>,
    descriptor: i32,
    /// Who asked for it.
    process: u32,
    /// Nobody else may have the file open; otherwise, nobody may write it.
    exclusive: bool,
    /// Somebody waits until it has ended, or is exclusive no longer: when that happens by itself.
    ends: Option<Instant>,
    weakens: Option<Instant>,
}

/// A time that does not come.
const NEVER: Instant = Instant(u64::MAX);

impl Lease {
    /// What it is after all that others wait for has happened (`F_GETLEASE`).
    fn kind(&self) -> i16 {
        match (self.ends, self.exclusive && self.weakens.is_none()) {
            (Some(_), _) => FileLock::UNLOCK,
            (None, true) => FileLock::WRITE,
            (None, false) => FileLock::READ,
        }
    }

    fn in_the_way(&self, file: FileIdentity, writes: bool) -> bool {
        self.file == file && (writes || self.exclusive)
    }
}

/// A lease, for `/proc/locks`.
pub struct Listed {
    /// The file.
    pub file: FileIdentity,
    /// The process that asked for it.
    pub process: u32,
    /// `F_RDLCK`, `F_WRLCK` or `F_UNLCK`, as others want it.
    pub kind: i16,
    /// Somebody waits for it.
    pub breaking: bool,
}

static LEASES: Mutex<Vec<Lease>> = Mutex::new(Vec::new());
/// Whether there ever was one. It is set before openers are counted, and read after.
static EVER: AtomicBool = AtomicBool::new(false);
/// Who waits for leases to end.
static QUEUE: WaitQueue = WaitQueue::new();

/// All leases.
pub fn all() -> Vec<Listed> {
    let leases = LEASES.lock();
    let listed = leases.iter().map(|lease| Listed {
        file: lease.file,
        process: lease.process,
        kind: lease.kind(),
        breaking: lease.ends.is_some() || lease.weakens.is_some(),
    });
    listed.collect()
}

/// Ends those whose time is over.
fn expire(leases: &mut Vec<Lease>) {
    let now = monotonic();
    leases.retain_mut(|lease| {
        if lease.weakens.is_some_and(|time| time <= now) {
            lease.exclusive = false;
            lease.weakens = None;
        }
        let over = lease.ends.is_some_and(|time| time <= now);
        if over {
            forget_owner(lease);
        }
        !over
    });
}

/// Whoever gives a lease up is told of nothing else by its description.
fn forget_owner(lease: &Lease) {
    lease.notifier.set_owner(None);
    lease.notifier.set_signal(0);
}

/// The kind of lease that a description has, or will have when those have got their way who wait (`F_GETLEASE`).
pub fn get(open: &OpenFile) -> i16 {
    let holder = core::ptr::from_ref(open).addr();
    let mut leases = LEASES.lock();
    expire(&mut leases);
    let own = leases.iter().find(|lease| lease.holder == holder);
    own.map_or(FileLock::UNLOCK, Lease::kind)
}

/// Takes a lease by a descriptor, changes it or gives it up (`F_SETLEASE`).
///
/// # Errors
/// `EINVAL` for an unknown kind, for what is no regular file, and where there may be none; `EACCES` for files of others;
/// `EAGAIN` if the file is open otherwise, or if there is nothing to be given up; `ENOMEM`.
pub fn set(open: &OpenFile, descriptor: i32, kind: i32) -> Result<(), Errno> {
    let kind = i16::try_from(kind).map_err(|_| Errno::EINVAL)?;
    if !matches!(kind, FileLock::READ | FileLock::WRITE | FileLock::UNLOCK) {
        return Err(Errno::EINVAL);
    }
    let metadata = open.inode.metadata();
    let rights = Rights::current();
    if rights.user != metadata.user && !rights.has(Capabilities::LEASE) {
        return Err(Errno::EACCES);
    }
    let openers = tree::openers(&*open.inode).filter(|_| metadata.kind == FileKind::Regular);
    let openers = openers.ok_or(Errno::EINVAL)?;
    EVER.store(true, Ordering::SeqCst);
    let holder = core::ptr::from_ref(open).addr();
    let mut leases = LEASES.lock();
    expire(&mut leases);
    let own = leases.iter().position(|lease| lease.holder == holder);
    if kind == FileLock::UNLOCK {
        let lease = leases.swap_remove(own.ok_or(Errno::EAGAIN)?);
        forget_owner(&lease);
    } else {
        let exclusive = kind == FileLock::WRITE;
        let count = (
            openers.readers.load(Ordering::SeqCst),
            openers.writers.load(Ordering::SeqCst),
        );
        let flags = open.flags();
        let alone = (u32::from(flags.reads() && !flags.writes()), u32::from(flags.writes()));
        let file = open.inode.identity();
        let mut others = leases
            .iter()
            .filter(|lease| lease.file == file && lease.holder != holder);
        let opposed = if exclusive { count != alone } else { count.1 != 0 };
        if opposed || others.any(|other| exclusive || other.ends.is_some()) {
            return Err(Errno::EAGAIN);
        }
        match own {
            Some(own) => {
                leases[own].exclusive = exclusive;
                if !exclusive {
                    leases[own].weakens = None;
                }
            }
            None if ENABLED.load(Ordering::Relaxed) == 0 => return Err(Errno::EINVAL),
            None => {
                leases.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                open.ever_locked.store(true, Ordering::Relaxed);
                leases.push(Lease {
                    holder,
                    file,
                    notifier: open.notifier().clone(),
                    descriptor,
                    process: task::current_process().id,
                    exclusive,
                    ends: None,
                    weakens: None,
                });
            }
        }
        if open.notifier().owner().is_none() {
            open.notifier().set_owner(Some(owner::of_current()));
        }
    }
    drop(leases);
    QUEUE.wake_all();
    Ok(())
}

/// A description goes, and its lease with it.
pub fn forget(open: &OpenFile) {
    if EVER.load(Ordering::Relaxed) {
        let holder = core::ptr::from_ref(open).addr();
        LEASES.lock().retain(|lease| lease.holder != holder);
        QUEUE.wake_all();
    }
}

/// Until when a lease is in the way of an access.
fn conflict(file: FileIdentity, writes: bool) -> Option<Instant> {
    let mut leases = LEASES.lock();
    expire(&mut leases);
    let in_the_way = leases.iter().filter(|lease| lease.in_the_way(file, writes));
    let times = in_the_way.flat_map(|lease| lease.ends.into_iter().chain(lease.weakens).chain([NEVER]));
    times.min_by_key(|time| time.0)
}

/// Tells those who have leases on a file that somebody comes whom they are in the way of.
fn announce(file: FileIdentity, writes: bool) {
    let time = match BREAK_TIME.load(Ordering::Relaxed) as u64 {
        0 => NEVER,
        seconds => monotonic().after(seconds.saturating_mul(1_000_000_000)),
    };
    let mut told = Vec::new();
    let mut leases = LEASES.lock();
    expire(&mut leases);
    for lease in leases.iter_mut().filter(|lease| lease.in_the_way(file, writes)) {
        let known = lease.ends.is_some() || !writes && lease.weakens.is_some();
        if !known {
            let what = if writes { &mut lease.ends } else { &mut lease.weakens };
            *what = Some(time);
            told.push((lease.notifier.clone(), lease.descriptor));
        }
    }
    drop(leases);
    for (notifier, descriptor) in told {
        notifier.tell_message(descriptor);
    }
}

/// Makes way for somebody who opens a file, or cuts it (`writes`), and has been counted: waits until no lease is against it.
///
/// # Errors
/// `EAGAIN` instead of waiting, if `nonblocking`; `EINTR`.
pub fn make_way(inode: &dyn Inode, writes: bool, nonblocking: bool) -> Result<(), Errno> {
    if !EVER.load(Ordering::SeqCst) || inode.kind() != FileKind::Regular {
        return Ok(());
    }
    let file = inode.identity();
    announce(file, writes);
    while let Some(time) = conflict(file, writes) {
        if nonblocking {
            return Err(Errno::EAGAIN);
        }
        let deadline = (time.0 != NEVER.0).then_some(time);
        match QUEUE.wait_until(deadline, || conflict(file, writes).is_none().then_some(())) {
            Ok(()) => break,
            Err(WaitError::TimedOut) => {}
            Err(WaitError::Interrupted) => return Err(Errno::EINTR),
        }
    }
    Ok(())
}
