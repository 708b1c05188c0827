//! Floor 5: files.
//!
//! * [`inode`] and [`file`] hold the traits: what a file system offers, and what an open file does;
//! * [`permission`] says who may do what;
//! * [`names`] makes, moves and removes names, and [`notify`] tells who watches files, as [`inotify`] does;
//! * [`mounts`] says what is mounted where;
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
pub mod leases;
pub mod limits;
pub mod locks;
pub mod metadata;
pub mod mounts;
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
use pith_linux::mounts::{MountFlags, MountOptions};
use pith_storage_settings::Settings;

pub use context::FileContext;
pub use file::Mappable;
pub use open::{Executable, FileForMapping, executable, file_for_mapping, open_executable};
pub use tree::{lacking, memory_file, secret_file};

use inode::{FileSystem, Inode, NewFile};
use mounts::{SuperBlock, limits_of, set_top, shown_settings};
use path::Origin;
use terminal::file_system::TerminalFileSystem;
use tree::{Character, Tree};

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

/// The directory of this name, which is made if it is missing.
fn directory(parent: &Arc<dyn Inode>, name: &[u8], permissions: u16) -> Result<Arc<dyn Inode>, Errno> {
    match parent.lookup(name) {
        Err(Errno::ENOENT) => parent.create(name, NewFile::Directory, permissions),
        Ok(inode) if inode.kind() == FileKind::Directory => Ok(inode),
        Ok(_) => Err(Errno::ENOTDIR),
        Err(errno) => Err(errno),
    }
}

/// Makes a file system in memory and mounts it, after making the directories on the way that are missing.
fn mount_in_memory(root: &Arc<dyn Inode>, settings: &Settings) -> Result<(), Errno> {
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
    let flags = MountFlags::empty();
    let super_block = mounts::temporary(settings, flags)?;
    mounts::mount_at("tmpfs", super_block, point, MountOptions::of_call(flags, None))
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
    let root = Tree::above(ROOT, volume, limits_of(&settings_of("/"))).map_err(MountError::Volume)?;
    let super_block = SuperBlock::new(root.tree().clone(), root.clone(), MountFlags::empty(), String::new());
    mounts::set_root("overlay", super_block, MountOptions::of_call(MountFlags::empty(), None));
    let root: Arc<dyn Inode> = root;
    let at = |path: &str| {
        let path = path.to_owned();
        move |errno| MountError::Directory(path, errno)
    };
    let mount = |place: &str, file_system: Arc<dyn FileSystem>, top: Arc<dyn Inode>, flags, settings: String| {
        let (above, name) = place.rsplit_once('/').unwrap_or_default();
        let kind = file_system.type_name();
        let permissions = if matches!(kind, "proc" | "sysfs") { 0o555 } else { 0o755 };
        let super_block = SuperBlock::new(file_system, top, MountFlags::empty(), settings);
        let origin = Origin::new(root.clone(), root.clone());
        let mounted = match above {
            "" => Ok(root.clone()),
            above => path::find(&origin, above.as_bytes(), true),
        };
        mounted
            .and_then(|above| directory(&above, name.as_bytes(), permissions))
            .and_then(|point| {
                mounts::register(&super_block);
                mounts::mount_at(kind, super_block, point, MountOptions::of_call(flags, None))
            })
            .map_err(at(place))
    };
    let harmless = MountFlags::NO_SET_USER | MountFlags::NO_DEVICES | MountFlags::NO_EXECUTE;
    let processes = proc::TextFileSystem::new(proc::PROCESSES);
    let top = processes.top();
    mount("/proc", processes, top, harmless, String::new())?;
    let system = proc::TextFileSystem::new(system::SYSTEM);
    let top = system.top();
    mount("/sys", system, top, harmless, String::new())?;
    let groups = proc::TextFileSystem::new(system::GROUPS);
    let (top, read_only) = (groups.top(), harmless | MountFlags::READ_ONLY);
    mount("/sys/fs/cgroup", groups, top, read_only, String::new())?;

    let devices = Tree::empty(DEVICES, 0o755, limits_of(&Settings::default()));
    let top: Arc<dyn Inode> = devices.clone();
    device_files::populate(&top).map_err(at("/dev"))?;
    let tree = devices.tree().clone();
    mount("/dev", tree, top, MountFlags::NO_SET_USER, String::new())?;
    let terminals = TerminalFileSystem::new();
    let (top, flags) = (terminals.top(), MountFlags::NO_SET_USER | MountFlags::NO_EXECUTE);
    mount(
        "/dev/pts",
        terminals,
        top,
        flags,
        String::from(",gid=5,mode=620,ptmxmode=000"),
    )?;
    let settings = settings_of(SHARED_MEMORY_POINT);
    let shared = Tree::empty(SHARED_MEMORY, 0o1777, limits_of(&settings));
    set_top(&*shared, &settings).map_err(at(SHARED_MEMORY_POINT))?;
    let (tree, flags) = (shared.tree().clone(), MountFlags::NO_SET_USER | MountFlags::NO_DEVICES);
    mount(SHARED_MEMORY_POINT, tree, shared, flags, shown_settings(&settings))?;

    // Programs rely on it, and an image may well have no file there.
    directory(&root, b"tmp", 0o1777).map_err(at("/tmp"))?;

    for (index, settings) in storage.iter().enumerate() {
        let replaced = storage[index + 1..].iter().any(|later| later.path == settings.path);
        if replaced || matches!(&*settings.path, "/" | SHARED_MEMORY_POINT) {
            continue;
        }
        mount_in_memory(&root, settings).map_err(at(&settings.path))?;
    }
    mounts::all_can_be_written();
    Ok(())
}

/// A name for what has none: `pipe:[7]`.
pub fn description(kind: &str, number: u64) -> Vec<u8> {
    let mut text = String::from(kind);
    let _ = fmt::write(&mut text, format_args!(":[{number}]"));
    text.into_bytes()
}
