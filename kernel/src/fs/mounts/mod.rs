//! What is mounted where.
//!
//! A [`SuperBlock`] is a file system that is in use, a [`Mount`] a place in the tree of names where (a part of) it appears.
//! Of each file system the first mount is *direct*: files there are the file system's own, and a file that something
//! is mounted on knows that by itself, so that paths cost no more than without mounts. Through any further mount files are
//! found as [`View`]s, and what is mounted there is looked up in the table.
//!
//! Who uses a mount holds a reference to it: open files, working directories, views. A mount that only the table knows
//! can be taken away; one that was taken away although it was in use (`MNT_DETACH`) ends with its last user, and with the
//! last mount a file system lets all its files go.
//!
//! Locks: [`CHANGES`] is held while the table changes; then that of the table, and within it none but positions of mounts
//! and what a file system needs to tell a file's identity.

mod change;
mod kinds;
mod pending;
mod view;

use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::Statfs;
use pith_linux::mounts::{MountFlags, MountOptions};
use spin::{Mutex, MutexGuard, Once};

use super::NAMELESS_DEVICE;
use super::inode::{FileSystem, Inode, PathName, same};
use crate::task::WaitQueue;

pub use change::{
    Subject, bind, change_file_system, change_mount, move_mount, pivot, set_propagation, take_root_away, unmount,
};
pub use kinds::{free_device, limits_of, mount_new, register, set_top, shown_settings, temporary};
pub use pending::{attach_apart, begin, clone_tree, context_of, pick, set_options};
pub use view::View;

/// Most mounts (`fs.mount-max` of Linux).
const MOST_MOUNTS: usize = 100_000;

/// A file system in use.
pub struct SuperBlock {
    /// The file system.
    pub file_system: Arc<dyn FileSystem>,
    /// Its top directory; it keeps the file system's tree alive.
    top: Arc<dyn Inode>,
    /// Those of [`MountFlags::OF_FILE_SYSTEM`].
    flags: AtomicU64,
    /// Options of the file system as `/proc/mounts` shows them, each with a comma before it.
    settings: Mutex<String>,
}

impl SuperBlock {
    /// A file system that begins to be used.
    pub fn new(
        file_system: Arc<dyn FileSystem>,
        top: Arc<dyn Inode>,
        flags: MountFlags,
        settings: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            file_system,
            top,
            flags: AtomicU64::new((flags & MountFlags::OF_FILE_SYSTEM).bits()),
            settings: Mutex::new(settings),
        })
    }

    /// What holds wherever it is mounted.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.flags.load(Ordering::SeqCst))
    }

    /// Its own options, each with a comma before it.
    pub fn settings(&self) -> String {
        self.settings.lock().clone()
    }
}

impl Drop for SuperBlock {
    fn drop(&mut self) {
        self.file_system.end();
    }
}

/// Where a mount is: on a file that is seen through another mount.
struct Position {
    above: Arc<Mount>,
    point: Arc<dyn Inode>,
}

/// A place where a file system appears.
pub struct Mount {
    /// Its number (`mnt_id`).
    pub number: u32,
    /// What is mounted, in the words of who mounted it.
    pub source: String,
    /// The file system.
    pub super_block: Arc<SuperBlock>,
    /// The file of the file system that appears there.
    top: Arc<dyn Inode>,
    /// Whether files are found as themselves.
    direct: bool,
    options: AtomicU32,
    unbindable: AtomicBool,
    /// It was made to be mounted later.
    apart: AtomicBool,
    /// `None` for the root of all and for what was taken away.
    position: Mutex<Option<Position>>,
    /// Mounts on its files.
    children: AtomicUsize,
    /// Regular files that are open for writing.
    writers: AtomicUsize,
}

/// The mount through which the files of a file system are seen as themselves: its first one.
pub struct FirstMount(Once<Weak<Mount>>);

impl FirstMount {
    /// None so far.
    pub const fn new() -> Self {
        Self(Once::new())
    }

    /// Says which it is. False if there was one before.
    pub fn set(&self, mount: &Weak<Mount>) -> bool {
        let mut set = false;
        self.0.call_once(|| {
            set = true;
            mount.clone()
        });
        set
    }

    /// It, if it is still there.
    pub fn get(&self) -> Option<Arc<Mount>> {
        self.0.get()?.upgrade()
    }

    /// What is mounted on a file that is seen through it, for file systems whose files don't know that by themselves.
    pub fn covering(&self, inode: &dyn Inode) -> Option<Arc<dyn Inode>> {
        covering(&self.get()?, inode)
    }
}

/// All mounts in the order in which they were made.
static TABLE: Mutex<Vec<Arc<Mount>>> = Mutex::new(Vec::new());

/// The root of all, which is not always the first: `pivot_root(2)`.
static ROOT: Mutex<Option<Arc<Mount>>> = Mutex::new(None);

/// Held while the table changes.
static CHANGES: Mutex<()> = Mutex::new(());

/// The options that any mount ever had: as long as none had one, nobody need ask for it.
static EVER: AtomicU32 = AtomicU32::new(0);

static CHANGE_COUNT: AtomicU32 = AtomicU32::new(0);
/// Whoever waits for changes of the table.
pub static CHANGED: WaitQueue = WaitQueue::new();

/// How often the table has changed.
pub fn change_count() -> u32 {
    CHANGE_COUNT.load(Ordering::SeqCst)
}

/// The table has changed.
fn note_change() {
    CHANGE_COUNT.fetch_add(1, Ordering::SeqCst);
    CHANGED.wake_all();
}

fn changes() -> MutexGuard<'static, ()> {
    CHANGES.lock()
}

/// All mounts.
pub fn list() -> Vec<Arc<Mount>> {
    TABLE.lock().clone()
}

/// The mount at the root of all.
///
/// # Errors
/// `ENODEV` before anything is mounted.
pub fn root() -> Result<Arc<Mount>, Errno> {
    ROOT.lock().clone().ok_or(Errno::ENODEV)
}

/// The root directory of all.
///
/// # Errors
/// `ENODEV` before anything is mounted.
pub fn root_directory() -> Result<Arc<dyn Inode>, Errno> {
    Ok(root()?.root())
}

/// What is mounted on a file that is seen through a mount.
pub fn covering(mount: &Arc<Mount>, inner: &dyn Inode) -> Option<Arc<dyn Inode>> {
    if mount.children.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let identity = inner.identity();
    let found = TABLE
        .lock()
        .iter()
        .rfind(|other| {
            let position = other.position.lock();
            let here =
                |position: &Position| Arc::ptr_eq(&position.above, mount) && position.point.identity() == identity;
            position.as_ref().is_some_and(here)
        })
        .cloned();
    found.map(|found| found.root())
}

/// A file of a mount's file system, as it is seen through that.
pub fn seen(mount: &Arc<Mount>, inner: Arc<dyn Inode>) -> Arc<dyn Inode> {
    match mount.direct {
        true => inner,
        false => View::of(mount, inner),
    }
}

/// The absolute path of a file that has a mount.
pub fn absolute(inode: &dyn Inode) -> PathName {
    let mut path = inode.path_within();
    let mut mount = inode.mount();
    while let Some(current) = mount {
        let Some((above, point)) = current.position() else {
            break;
        };
        let outer = point.path_within();
        path.removed |= outer.removed;
        path.bytes.splice(0..0, outer.bytes);
        mount = Some(above);
    }
    if path.bytes.is_empty() {
        path.bytes.push(b'/');
    }
    path
}

/// Forgets that anything was mounted read-only: what the kernel mounts so answers `EROFS` by itself.
pub fn all_can_be_written() {
    EVER.fetch_and(!MountOptions::READ_ONLY.bits(), Ordering::SeqCst);
}

/// Whether options could matter at all.
fn has_ever_been(options: MountOptions) -> bool {
    EVER.load(Ordering::Relaxed) & options.bits() != 0
}

/// Whether a file's mount has one of these options.
pub fn restricts(inode: &dyn Inode, options: MountOptions) -> bool {
    has_ever_been(options) && inode.mount().is_some_and(|mount| mount.options().intersects(options))
}

/// Whether the code of a file can't be run: it lies in no file system with names, or its mount forbids it.
pub fn forbids_code(inode: &dyn Inode) -> bool {
    let metadata = inode.metadata();
    metadata.is_typeless || metadata.device == NAMELESS_DEVICE || restricts(inode, MountOptions::NO_EXECUTE)
}

/// Whether a program gives rights where it is: not where the mount forbids it, nor where there is no mount or none any more.
pub fn gives_rights(inode: &dyn Inode) -> bool {
    inode.mount().is_some_and(|mount| {
        let known = TABLE.lock().iter().any(|known| Arc::ptr_eq(known, &mount));
        known && !mount.options().contains(MountOptions::NO_SET_USER)
    })
}

/// Whether anything may be changed where a file is.
///
/// # Errors
/// `EROFS`
pub fn check_writable(inode: &dyn Inode) -> Result<(), Errno> {
    match restricts(inode, MountOptions::READ_ONLY) {
        true => Err(Errno::EROFS),
        false => Ok(()),
    }
}

/// Whether two files are seen through the same mount.
pub fn same_mount(one: &dyn Inode, other: &dyn Inode) -> bool {
    let number = |inode: &dyn Inode| inode.mount().map(|mount| mount.number);
    one.metadata().device == other.metadata().device && number(one) == number(other)
}

/// Whether there ever was a mount where access times are set otherwise than everywhere.
pub fn has_odd_times() -> bool {
    const ODD: MountOptions = MountOptions::READ_ONLY
        .union(MountOptions::NO_ACCESS_TIME)
        .union(MountOptions::NO_DIRECTORY_ACCESS_TIME)
        .union(STRICT);
    has_ever_been(ODD)
}

/// Notes that a file was read, as its mount says.
pub fn accessed(inode: &dyn Inode) {
    let mut always = false;
    if has_odd_times()
        && let Some(mount) = inode.mount()
    {
        let options = mount.options();
        let directory = options.contains(MountOptions::NO_DIRECTORY_ACCESS_TIME) && inode.kind() == FileKind::Directory;
        if options.intersects(MountOptions::READ_ONLY | MountOptions::NO_ACCESS_TIME) || directory {
            return;
        }
        always = !options.contains(MountOptions::RELATIVE_ACCESS_TIME);
    }
    inode.accessed(always);
}

/// Stands in [`EVER`] for a mount where access times are always set.
const STRICT: MountOptions = MountOptions::from_bits_retain(1 << 31);

/// What `statfs(2)` tells of a file's file system and mount.
pub fn statistics(inode: &dyn Inode) -> Statfs {
    let mut statistics = inode.statistics();
    if let Some(mount) = inode.mount() {
        let mut options = mount.options() | MountOptions::VALID;
        options.set(
            MountOptions::SYNCHRONOUS,
            mount.super_block.flags().contains(MountFlags::SYNCHRONOUS),
        );
        statistics.flags = options.bits().into();
    }
    statistics
}

impl Mount {
    /// A mount that is nowhere yet. It is direct if the whole file system appears for the first time.
    fn new(source: String, super_block: Arc<SuperBlock>, top: Arc<dyn Inode>, options: MountOptions) -> Arc<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mount = Arc::new_cyclic(|itself: &Weak<Self>| {
            let direct = same(&top, &super_block.top) && super_block.file_system.set_mount(itself);
            Self {
                number,
                source,
                super_block,
                top,
                direct,
                options: AtomicU32::new(options.bits()),
                unbindable: AtomicBool::new(false),
                apart: AtomicBool::new(false),
                position: Mutex::new(None),
                children: AtomicUsize::new(0),
                writers: AtomicUsize::new(0),
            }
        });
        mount.set_options(options);
        mount
    }

    /// The file that is found where it is mounted.
    pub fn root(self: &Arc<Self>) -> Arc<dyn Inode> {
        seen(self, self.top.clone())
    }

    /// Its number among all that ever were (`STATX_MNT_ID_UNIQUE`): no other one's, in either way of counting.
    pub fn unique_number(&self) -> u64 {
        1 << 31 | u64::from(self.number)
    }

    /// Whether a file is the one that is found where it is mounted.
    pub fn is_top(&self, inode: &dyn Inode) -> bool {
        inode.identity() == self.top.identity()
    }

    /// What holds for it, also because of its file system.
    pub fn options(&self) -> MountOptions {
        let mut options = self.own_options();
        if self.super_block.flags().contains(MountFlags::READ_ONLY) {
            options |= MountOptions::READ_ONLY;
        }
        options
    }

    /// What holds for it alone.
    pub fn own_options(&self) -> MountOptions {
        MountOptions::from_bits_truncate(self.options.load(Ordering::SeqCst))
    }

    fn set_options(&self, options: MountOptions) {
        let strict = MountOptions::RELATIVE_ACCESS_TIME | MountOptions::NO_ACCESS_TIME;
        let seen = match options.intersects(strict) {
            true => options,
            false => options | STRICT,
        };
        let of_all = match self.super_block.flags().contains(MountFlags::READ_ONLY) {
            true => MountOptions::READ_ONLY,
            false => MountOptions::empty(),
        };
        EVER.fetch_or((seen | of_all).bits(), Ordering::SeqCst);
        self.options.store(options.bits(), Ordering::SeqCst);
    }

    fn position(&self) -> Option<(Arc<Self>, Arc<dyn Inode>)> {
        let position = self.position.lock();
        let position = position.as_ref()?;
        Some((position.above.clone(), position.point.clone()))
    }

    /// The mount that it is mounted in.
    pub fn mount_above(&self) -> Option<Arc<Self>> {
        Some(self.position()?.0)
    }

    /// The directory above the one that it is mounted on; `None` at the root of all.
    pub fn above(&self) -> Option<Result<Arc<dyn Inode>, Errno>> {
        let (mut above, mut point) = self.position()?;
        // One may be mounted upon another.
        while above.is_top(&*point) {
            (above, point) = above.position()?;
        }
        Some(point.parent())
    }

    /// Where it is, as an absolute path.
    pub fn path(self: &Arc<Self>) -> Vec<u8> {
        absolute(&*self.root()).bytes
    }

    /// What of its file system appears, as a path from the file system's top directory on.
    pub fn part(&self) -> Vec<u8> {
        match self.top.path_within().bytes {
            path if path.is_empty() => Vec::from(*b"/"),
            path => path,
        }
    }

    /// Whether nobody may bind it.
    pub fn is_unbindable(&self) -> bool {
        self.unbindable.load(Ordering::Relaxed)
    }

    /// A regular file was opened for writing, or closed.
    pub fn count_writer(&self, opened: bool) {
        match opened {
            true => self.writers.fetch_add(1, Ordering::SeqCst),
            false => self.writers.fetch_sub(1, Ordering::SeqCst),
        };
    }
}

/// Puts the first mount of all at the root.
pub fn set_root(source: &str, super_block: Arc<SuperBlock>, options: MountOptions) -> Arc<Mount> {
    let top = super_block.top.clone();
    let mount = Mount::new(source.into(), super_block, top, options);
    TABLE.lock().push(mount.clone());
    *ROOT.lock() = Some(mount.clone());
    mount
}

/// Mounts a file system on a file, or on what is mounted there already.
///
/// # Errors
/// `ENOTDIR` if only one of both is a directory, `ENOSPC` if there are too many mounts, `EINVAL` where nothing can be
/// mounted.
pub fn mount_at(
    source: &str,
    super_block: Arc<SuperBlock>,
    point: Arc<dyn Inode>,
    options: MountOptions,
) -> Result<(), Errno> {
    let top = super_block.top.clone();
    let _changes = changes();
    attach(Mount::new(source.into(), super_block, top, options), point)
}

/// Puts a mount into the table. To be called with [`CHANGES`] held.
fn attach(mount: Arc<Mount>, point: Arc<dyn Inode>) -> Result<(), Errno> {
    if TABLE.lock().len() >= MOST_MOUNTS {
        return Err(Errno::ENOSPC);
    }
    place(&mount, point)?;
    TABLE.lock().push(mount);
    Ok(())
}

/// Gives a mount a position.
fn place(mount: &Arc<Mount>, mut point: Arc<dyn Inode>) -> Result<(), Errno> {
    while let Some(root) = point.mounted() {
        point = root; // somebody was faster
    }
    let is_directory = |inode: &dyn Inode| inode.kind() == FileKind::Directory;
    if is_directory(&*point) != is_directory(&*mount.top) {
        return Err(Errno::ENOTDIR);
    }
    let above = point.mount().ok_or(Errno::EINVAL)?;
    point.set_point(true)?;
    above.children.fetch_add(1, Ordering::Relaxed);
    *mount.position.lock() = Some(Position {
        above,
        point: point.clone(),
    });
    point.set_covered(Some(mount.clone()));
    note_change();
    Ok(())
}

/// Takes a mount's position away.
fn displace(mount: &Arc<Mount>) -> Option<(Arc<Mount>, Arc<dyn Inode>)> {
    let position = mount.position.lock().take()?;
    position.point.set_covered(None);
    position.above.children.fetch_sub(1, Ordering::Relaxed);
    // It could be done before.
    let _ = position.point.set_point(false);
    note_change();
    Some((position.above, position.point))
}
