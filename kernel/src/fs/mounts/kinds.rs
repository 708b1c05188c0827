//! The types of file systems that `mount(2)` knows.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use pith_linux::Errno;
use pith_linux::files::DeviceNumber;
use pith_linux::mounts::{MountFlags, MountOptions};
use pith_storage_settings::Settings;
use spin::Mutex;

use super::{SuperBlock, mount_at};
use crate::fs::inode::Inode;
use crate::fs::metadata::AttributeChange;
use crate::fs::tree::{Character, SpaceLimits, Tree};
use crate::memory;

/// Minor number of the device of the first file system in memory. Those of what every machine has come before.
const FIRST_DEVICE: u32 = 64;

/// The numbers of devices from [`FIRST_DEVICE`] on that are in use, in order.
static DEVICES: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn new_device() -> DeviceNumber {
    let mut used = DEVICES.lock();
    let place = used.iter().zip(0..).position(|(number, index)| *number != index);
    let number = place.unwrap_or(used.len());
    used.insert(number, number as u32);
    DeviceNumber::new(0, FIRST_DEVICE + number as u32)
}

/// The device of a file system that is gone.
pub fn free_device(device: DeviceNumber) {
    if let Some(number) = device.minor.checked_sub(FIRST_DEVICE) {
        DEVICES.lock().retain(|used| *used != number);
    }
}

/// How much a file system in memory may hold on this machine.
pub fn limits_of(settings: &Settings) -> SpaceLimits {
    let memory = memory::total();
    SpaceLimits {
        pages: settings.pages(memory),
        files: settings.most_files(memory),
    }
}

/// What differs from what every tmpfs has, as `/proc/mounts` shows it.
pub fn shown_settings(settings: &Settings) -> String {
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
///
/// # Errors
/// What the file system answers.
pub fn set_top(top: &dyn Inode, settings: &Settings) -> Result<(), Errno> {
    top.change(AttributeChange {
        permissions: settings.permissions,
        user: settings.user,
        group: settings.group,
        ..AttributeChange::default()
    })
}

/// A new file system in memory.
///
/// # Errors
/// What the file system answers.
pub fn temporary(settings: &Settings, flags: MountFlags) -> Result<Arc<SuperBlock>, Errno> {
    let character = Character {
        type_name: "tmpfs",
        magic: 0x0102_1994,
        device: new_device(),
    };
    let top = Tree::empty(character, 0o1777, limits_of(settings));
    let super_block = SuperBlock::new(top.tree().clone(), top.clone(), flags, shown_settings(settings));
    set_top(&*top, settings)?;
    Ok(super_block)
}

/// The words of a program that say what a tmpfs is to be. `ro` and `rw` among them are a flag.
///
/// # Errors
/// `EINVAL`
pub(super) fn settings_of(data: &[u8], flags: &mut MountFlags) -> Result<Settings, Errno> {
    let text = core::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
    let mut words = Vec::new();
    for word in text.split(',') {
        match word {
            "ro" => flags.insert(MountFlags::READ_ONLY),
            "rw" => flags.remove(MountFlags::READ_ONLY),
            // What holds anyhow: numbers of files have 64 bits, and nothing is swapped out.
            "inode64" | "noswap" => {}
            "suid" | "dev" | "exec" => return Err(Errno::EINVAL),
            word => words.push(word),
        }
    }
    // The path is not part of what is parsed here.
    Settings::with_options("/mnt", &words.join(",")).map_err(|problem| {
        crate::warning_once!("mount: {problem}");
        Errno::EINVAL
    })
}

/// The file systems of which there is one only, wherever it is mounted.
static SINGLE: Mutex<Vec<Arc<SuperBlock>>> = Mutex::new(Vec::new());

/// Keeps a file system for further mounts by the name of its type, unless programs make such file systems themselves.
pub fn register(super_block: &Arc<SuperBlock>) {
    if super_block.file_system.type_name() != "tmpfs" {
        SINGLE.lock().push(super_block.clone());
    }
}

fn single(kind: &[u8]) -> Option<Arc<SuperBlock>> {
    let of_kind = |known: &&Arc<SuperBlock>| known.file_system.type_name().as_bytes() == kind;
    SINGLE.lock().iter().find(of_kind).cloned()
}

/// Mounts a file system of a type on a file (`mount(2)`).
///
/// # Errors
/// `ENODEV` for a type that there is not, `EINVAL` for options that the type does not have, `EBUSY` if the same file system
/// is mounted there already, and as [`super::mount_at`].
pub fn mount_new(
    source: &str,
    kind: &[u8],
    point: Arc<dyn Inode>,
    mut flags: MountFlags,
    data: &[u8],
) -> Result<(), Errno> {
    let options = MountOptions::of_call(flags, None);
    let super_block = super_block(kind, &mut flags, data)?;
    let here = point.mount().is_some_and(|mount| mount.is_top(&*point));
    // Linux makes a new one for each mount of these.
    let alone = !matches!(kind, b"tmpfs" | b"proc" | b"devpts");
    if alone && here && point.metadata().device == super_block.file_system.device() {
        return Err(Errno::EBUSY);
    }
    mount_at(source, super_block, point, options)
}

/// A file system of a type: a new one, or the only one that there is.
///
/// # Errors
/// `ENODEV` for a type that there is not, `EINVAL` for options that the type does not have.
pub(super) fn super_block(kind: &[u8], flags: &mut MountFlags, data: &[u8]) -> Result<Arc<SuperBlock>, Errno> {
    if kind == b"tmpfs" {
        let settings = settings_of(data, flags)?;
        return temporary(&settings, *flags);
    }
    let found = single(kind).ok_or(Errno::ENODEV)?;
    check_words(&found, data)?;
    Ok(found)
}

/// Whether there is such a type.
pub(super) fn is_known(kind: &[u8]) -> bool {
    kind == b"tmpfs" || single(kind).is_some()
}

/// Whether a type has such an option.
///
/// # Errors
/// `EINVAL`
pub(super) fn check_word(kind: &[u8], word: &[u8]) -> Result<(), Errno> {
    match single(kind) {
        Some(found) => check_words(&found, word),
        None => settings_of(word, &mut MountFlags::empty()).map(|_| ()),
    }
}

/// Whether a file system that is there already is as a program wants it to be.
///
/// # Errors
/// `EINVAL`
pub(super) fn check_words(super_block: &SuperBlock, data: &[u8]) -> Result<(), Errno> {
    let text = core::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
    let settings = super_block.settings();
    let mut known = settings.split(',');
    for word in text.split(',').filter(|word| !matches!(*word, "" | "rw" | "ro")) {
        if !known.any(|known| known == word) {
            crate::warning_once!("mount: there is one such file system only, without the option {word}");
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}
