//! Floor 5: files.
//!
//! * [`inode`] and [`file`] hold the traits: what a file system offers, and what an open file does;
//! * [`path`] goes from names to files, [`open`] from files to open files, [`context`] keeps those of a process;
//! * [`tree`] is the file tree in memory: the image's EROFS volume with changes above it, and `/dev`;
//! * [`proc`] makes `/proc`, [`system`] `/sys`; [`device_files`], [`console`], [`pipe`], [`event_counter`],
//!   [`process_file`] and [`event_poll`] are the
//!   other kinds of files, and [`anonymous`] gives those without a name their inode.

pub mod anonymous;
pub mod console;
pub mod context;
mod device_files;
pub mod event_counter;
pub mod event_poll;
pub mod file;
pub mod inode;
pub mod ipc;
pub mod limits;
pub mod locks;
pub mod metadata;
pub mod open;
pub mod path;
pub mod pipe;
pub mod proc;
pub mod process_file;
pub mod signal_file;
mod system;
pub mod timer_file;
mod tree;
pub mod turn;
pub mod user_faults;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use pith_erofs::{FileKind, Volume};
use pith_linux::Errno;
use pith_linux::files::DeviceNumber;
use spin::Once;

pub use context::FileContext;
pub use file::Mappable;
pub use open::{Executable, file_for_mapping, open_executable};

use inode::{FileSystem, Inode, NewFile};
pub use tree::memory_file;

use tree::{Character, Node, Tree};

/// `st_dev` of files that belong to no file system with names: pipes and standard streams.
pub const NAMELESS_DEVICE: DeviceNumber = DeviceNumber::new(0, 14);

const ROOT: Character = Character {
    type_name: "overlay",
    magic: 0x794c_7630,
    device: DeviceNumber::new(0, 20),
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
const SHARED_MEMORY: Character = Character {
    type_name: "tmpfs",
    magic: 0x0102_1994,
    device: DeviceNumber::new(0, 22),
};

/// A mount.
pub struct Mount {
    /// What is mounted, as `/proc/mounts` names it.
    pub source: &'static str,
    /// Where.
    pub point: &'static str,
    /// Options, as `/proc/mounts` shows them.
    pub options: &'static str,
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
    Directory(&'static str, Errno),
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

/// Mounts the image as `/`, with changes kept in memory, and `/dev` and `/proc` in it.
///
/// # Errors
/// [`MountError`].
pub fn mount_root(image: &'static [u8]) -> Result<(), MountError> {
    let volume = Volume::open(image).map_err(MountError::Volume)?;
    let tree = Tree::above(ROOT, volume).map_err(MountError::Volume)?;
    let root = tree.root();
    let at = |path: &'static str| move |errno| MountError::Directory(path, errno);

    let point = directory(&root, b"dev", 0o755).map_err(at("/dev"))?;
    let devices = Tree::new(DEVICES, 0o755);
    devices.attach(b"/dev", root.clone());
    device_files::populate(&devices.root()).map_err(at("/dev"))?;
    cover(&point, devices.root()).map_err(at("/dev"))?;

    let point = directory(&devices.root(), b"shm", 0o1777).map_err(at("/dev/shm"))?;
    let shared = Tree::new(SHARED_MEMORY, 0o1777);
    shared.attach(b"/dev/shm", devices.root());
    cover(&point, shared.root()).map_err(at("/dev/shm"))?;

    let point = directory(&root, b"proc", 0o555).map_err(at("/proc"))?;
    let processes = proc::TextFileSystem::new(proc::PROCESSES, root.clone());
    cover(&point, processes.root()).map_err(at("/proc"))?;

    let point = directory(&root, b"sys", 0o555).map_err(at("/sys"))?;
    let system = proc::TextFileSystem::new(system::SYSTEM, root.clone());
    cover(&point, system.root()).map_err(at("/sys"))?;

    // Programs rely on it, and an image may well have no file there.
    directory(&root, b"tmp", 0o1777).map_err(at("/tmp"))?;

    let mount = |source, point, options, file_system: Arc<dyn FileSystem>| Mount {
        source,
        point,
        options,
        file_system,
    };
    MOUNTS.call_once(|| {
        Vec::from([
            mount("overlay", "/", "rw,relatime", tree),
            mount("proc", "/proc", "rw,nosuid,nodev,noexec,relatime", processes),
            mount("sysfs", "/sys", "rw,nosuid,nodev,noexec,relatime", system),
            mount("devtmpfs", "/dev", "rw,nosuid,relatime", devices),
            mount("tmpfs", "/dev/shm", "rw,nosuid,nodev,relatime", shared),
        ])
    });
    Ok(())
}

/// A name for what has none: `pipe:[7]`.
pub fn description(kind: &str, number: u64) -> Vec<u8> {
    let mut text = String::from(kind);
    let _ = fmt::write(&mut text, format_args!(":[{number}]"));
    text.into_bytes()
}
