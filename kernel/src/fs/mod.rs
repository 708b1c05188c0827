//! Floor 5: files.
//!
//! * [`inode`] and [`file`] hold the traits: what a file system offers, and what an open file does;
//! * [`permission`] says who may do what;
//! * [`names`] makes, moves and removes names, and [`notify`] tells who watches files, as [`inotify`] does;
//! * [`path`] goes from names to files, [`open`] from files to open files, [`context`] keeps those of a process;
//! * [`tree`] is the file tree in memory: the image's EROFS volume with changes above it, and `/dev`;
//! * [`proc`] makes `/proc`, [`system`] `/sys`; [`device_files`], [`console`], [`kernel_log`], [`pipe`], [`event_counter`],
//!   [`process_file`] and [`event_poll`] are the
//!   other kinds of files; [`terminal`] is what the console and pseudo-terminals have in common, and [`anonymous`] gives those without a name their inode.

pub mod anonymous;
pub mod console;
pub mod context;
mod device_files;
pub mod directory_signals;
pub mod event_counter;
pub mod event_poll;
pub mod file;
pub mod inode;
pub mod inotify;
pub mod ipc;
pub mod kernel_log;
pub mod limits;
pub mod locks;
pub mod metadata;
pub mod names;
pub mod notify;
pub mod open;
pub mod owner;
pub mod path;
pub mod permission;
pub mod pipe;
pub mod proc;
pub mod process_file;
pub mod signal_file;
mod system;
pub mod terminal;
pub mod timer_file;
mod tree;
pub mod turn;
pub mod user_faults;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use pith_erofs::{FileKind, Volume};
use pith_linux::Errno;
use pith_linux::files::DeviceNumber;
use pith_storage_settings::Settings;
use spin::Once;

pub use context::FileContext;
pub use file::Mappable;
pub use open::{Executable, FileForMapping, executable, file_for_mapping, open_executable};
pub use tree::{lacking, memory_file, secret_file};

use inode::{FileSystem, Inode, NewFile};
use metadata::AttributeChange;
use path::Origin;
use terminal::file_system::TerminalFileSystem;
use tree::{Character, Node, SpaceLimits, Tree};

use crate::memory;

/// `st_dev` of files that belong to no file system with names: pipes and standard streams.
pub const NAMELESS_DEVICE: DeviceNumber = DeviceNumber::new(0, 14);

/// `st_dev` of the image's files.
pub const ROOT_DEVICE: DeviceNumber = DeviceNumber::new(0, 20);

const ROOT: Character = Character {
    type_name: "overlay",
    magic: 0x794c_7630,
    device: ROOT_DEVICE,
};
const DEVICES: Character = Character {
    type_name: "devtmpfs",
    magic: 0x0102_1994,
    device: DeviceNumber::new(0, 5),
};
const MEMORY_FILES: Character = Character {
    type_name: "tmpfs",
    magic: 0x0102_1994,
    device: DeviceNumber::new(0, 1),
};
const SECRET_MEMORY: Character = Character {
    type_name: "secretmem",
    magic: 0x5345_434d,
    device: DeviceNumber::new(0, 6),
};
const SHARED_MEMORY: Character = Character {
    type_name: "tmpfs",
    magic: 0x0102_1994,
    device: DeviceNumber::new(0, 22),
};

const SHARED_MEMORY_POINT: &str = "/dev/shm";

/// Minor number of the device of the first file system that was asked for. Those of message queues and the like come before.
const FIRST_VOLUME: u32 = 64;

/// A mount.
pub struct Mount {
    /// What is mounted, as `/proc/mounts` names it.
    pub source: &'static str,
    /// Where.
    pub point: String,
    /// Options of the mount, as `/proc/mounts` shows them.
    pub options: &'static str,
    /// Options of the file system, which follow those, each with a comma before it.
    pub settings: String,
    /// The file system.
    pub file_system: Arc<dyn FileSystem>,
}

static MOUNTS: Once<Vec<Mount>> = Once::new();

/// All mounts, the root first.
pub fn mounts() -> &'static [Mount] {
    MOUNTS.get().map_or(&[], Vec::as_slice)
}

/// Why there is no root file system.
#[derive(Debug)]
pub enum MountError {
    /// The image is not right.
    Volume(pith_erofs::Error),
    /// A directory that every system has could not be made.
    Directory(String, Errno),
}

impl fmt::Display for MountError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(error) => error.fmt(formatter),
            Self::Directory(path, errno) => write!(formatter, "{path}: {errno}"),
        }
    }
}

/// The root directory.
///
/// # Errors
/// `ENODEV` before anything is mounted.
pub fn root_directory() -> Result<Arc<dyn Inode>, Errno> {
    mounts()
        .first()
        .map(|mount| mount.file_system.root())
        .ok_or(Errno::ENODEV)
}

/// The directory of this name, which is made if it is missing.
fn directory(parent: &Arc<dyn Inode>, name: &[u8], permissions: u16) -> Result<Arc<dyn Inode>, Errno> {
    match parent.lookup(name) {
        Err(Errno::ENOENT) => parent.create(name, NewFile::Directory, permissions),
        Ok(inode) if inode.kind() == FileKind::Directory => Ok(inode),
        Ok(_) => Err(Errno::ENOTDIR),
        Err(errno) => Err(errno),
    }
}

fn cover(point: &Arc<dyn Inode>, root: Arc<dyn Inode>) -> Result<(), Errno> {
    point.as_any().downcast_ref::<Node>().ok_or(Errno::EINVAL)?.cover(root);
    Ok(())
}

/// How much a file system in memory may hold on this machine.
fn limits_of(settings: &Settings) -> SpaceLimits {
    let memory = memory::total();
    SpaceLimits {
        pages: settings.pages(memory),
        files: settings.most_files(memory),
    }
}

/// What differs from what every tmpfs has, as `/proc/mounts` shows it.
fn shown_settings(settings: &Settings) -> String {
    let mut text = String::new();
    let mut word = |arguments: fmt::Arguments<'_>| {
        let _ = fmt::write(&mut text, arguments);
    };
    if settings.size.is_some() {
        let pages = settings.pages(memory::total()).unwrap_or(0);
        word(format_args!(",size={}k", pages * (memory::PAGE_SIZE as u64 / 1024)));
    }
    if let Some(files) = settings.files {
        word(format_args!(",nr_inodes={files}"));
    }
    if let Some(permissions) = settings.permissions.filter(|permissions| *permissions != 0o1777) {
        word(format_args!(",mode={permissions:03o}"));
    }
    for (key, owner) in [("uid", settings.user), ("gid", settings.group)] {
        if let Some(number) = owner.filter(|number| *number != 0) {
            word(format_args!(",{key}={number}"));
        }
    }
    text
}

/// Gives the top directory of a file system the permissions and the owner that it is to have.
fn set_top(root: &Arc<dyn Inode>, settings: &Settings) -> Result<(), Errno> {
    root.change(AttributeChange {
        permissions: settings.permissions,
        user: settings.user,
        group: settings.group,
        ..AttributeChange::default()
    })
}

/// Makes a file system in memory and mounts it, after making the directories on the way that are missing.
fn mount_in_memory(root: &Arc<dyn Inode>, settings: &Settings, device: DeviceNumber) -> Result<Mount, Errno> {
    let origin = Origin::new(root.clone(), root.clone());
    let mut point = root.clone();
    for (end, _) in settings
        .path
        .match_indices('/')
        .skip(1)
        .chain([(settings.path.len(), "")])
    {
        let path = &settings.path[..end];
        point = match path::find(&origin, path.as_bytes(), true) {
            Err(Errno::ENOENT) => {
                let name = path.rsplit('/').next().unwrap_or_default();
                point.create(name.as_bytes(), NewFile::Directory, 0o755)?
            }
            found => found?,
        };
    }
    if point.kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    let tree = Tree::new(
        Character {
            device,
            ..SHARED_MEMORY
        },
        0o1777,
        limits_of(settings),
    );
    set_top(&tree.root(), settings)?;
    let path = point.path().bytes;
    tree.attach(&path, point.parent()?);
    cover(&point, tree.root())?;
    Ok(Mount {
        source: "tmpfs",
        point: String::from_utf8_lossy(&path).into_owned(),
        options: "rw,relatime",
        settings: shown_settings(settings),
        file_system: tree,
    })
}

/// Mounts the image as `/`, with changes kept in memory, `/dev`, `/proc` and `/sys` in it, and further file systems in
/// memory. Of two settings for the same path, the later one counts.
///
/// # Errors
/// [`MountError`].
pub fn mount_root(image: &'static [u8], storage: &[Settings]) -> Result<(), MountError> {
    let volume = Volume::open(image).map_err(MountError::Volume)?;
    let settings_of = |path: &str| {
        let found = storage.iter().rfind(|settings| settings.path == path);
        found.cloned().unwrap_or_default()
    };
    let tree = Tree::above(ROOT, volume, limits_of(&settings_of("/"))).map_err(MountError::Volume)?;
    let root = tree.root();
    let at = |path: &str| {
        let path = path.to_owned();
        move |errno| MountError::Directory(path, errno)
    };

    let point = directory(&root, b"dev", 0o755).map_err(at("/dev"))?;
    let devices = Tree::new(DEVICES, 0o755, limits_of(&Settings::default()));
    devices.attach(b"/dev", root.clone());
    device_files::populate(&devices.root()).map_err(at("/dev"))?;
    cover(&point, devices.root()).map_err(at("/dev"))?;

    let point = directory(&devices.root(), b"shm", 0o1777).map_err(at("/dev/shm"))?;
    let settings = settings_of(SHARED_MEMORY_POINT);
    let shared = Tree::new(SHARED_MEMORY, 0o1777, limits_of(&settings));
    set_top(&shared.root(), &settings).map_err(at("/dev/shm"))?;
    shared.attach(b"/dev/shm", devices.root());
    cover(&point, shared.root()).map_err(at("/dev/shm"))?;

    let point = directory(&devices.root(), b"pts", 0o755).map_err(at("/dev/pts"))?;
    let terminals = TerminalFileSystem::new(devices.root());
    cover(&point, terminals.root()).map_err(at("/dev/pts"))?;

    let point = directory(&root, b"proc", 0o555).map_err(at("/proc"))?;
    let processes = proc::TextFileSystem::new(proc::PROCESSES, root.clone());
    cover(&point, processes.root()).map_err(at("/proc"))?;

    let point = directory(&root, b"sys", 0o555).map_err(at("/sys"))?;
    let system = proc::TextFileSystem::new(system::SYSTEM, root.clone());
    cover(&point, system.root()).map_err(at("/sys"))?;
    let above = system.root().lookup(b"fs").map_err(at("/sys/fs"))?;
    let groups = proc::TextFileSystem::new(system::GROUPS, above);
    system::GROUP_ROOT.call_once(|| groups.root());

    // Programs rely on it, and an image may well have no file there.
    directory(&root, b"tmp", 0o1777).map_err(at("/tmp"))?;

    let mount = |source, point: &str, options, file_system: Arc<dyn FileSystem>| Mount {
        source,
        point: point.to_owned(),
        options,
        settings: String::new(),
        file_system,
    };
    let mut mounts = Vec::from([
        mount("overlay", "/", "rw,relatime", tree),
        mount("proc", "/proc", "rw,nosuid,nodev,noexec,relatime", processes),
        mount("sysfs", "/sys", "rw,nosuid,nodev,noexec,relatime", system),
        mount("cgroup2", "/sys/fs/cgroup", "ro,nosuid,nodev,noexec,relatime", groups),
        mount("devtmpfs", "/dev", "rw,nosuid,relatime", devices),
        mount(
            "devpts",
            "/dev/pts",
            "rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=000",
            terminals,
        ),
        Mount {
            settings: shown_settings(&settings),
            ..mount("tmpfs", SHARED_MEMORY_POINT, "rw,nosuid,nodev,relatime", shared)
        },
    ]);
    for (index, settings) in storage.iter().enumerate() {
        let replaced = storage[index + 1..].iter().any(|later| later.path == settings.path);
        if replaced || matches!(&*settings.path, "/" | SHARED_MEMORY_POINT) {
            continue;
        }
        let device = DeviceNumber::new(0, FIRST_VOLUME + index as u32);
        mounts.push(mount_in_memory(&root, settings, device).map_err(at(&settings.path))?);
    }
    MOUNTS.call_once(|| mounts);
    Ok(())
}

/// A name for what has none: `pipe:[7]`.
pub fn description(kind: &str, number: u64) -> Vec<u8> {
    let mut text = String::from(kind);
    let _ = fmt::write(&mut text, format_args!(":[{number}]"));
    text.into_bytes()
}
