//! Mounts that are made step by step: `fsopen(2)`, `fsconfig(2)`, `fsmount(2)`, `fspick(2)`, `open_tree(2)`, `move_mount(2)`,
//! and `mount_setattr(2)`.

use alloc::sync::Arc;

use pith_linux::Errno;
use pith_linux::files::{AT_FDCWD, AtFlags, OpenFlags};
use pith_linux::mounts::MountOptions;

use super::descriptors::check_newer_part;
use super::metadata::{find, known_flags};
use crate::fs::file::OpenFile;
use crate::fs::inode::Inode;
use crate::fs::mounts::{self, Subject};
use crate::fs::{context, permission};
use crate::memory::{PAGE_SIZE, UserPointer, read_object, read_string};
use crate::task::Capabilities;

fn check_right() -> Result<(), Errno> {
    permission::require(Capabilities::ADMINISTRATION)
}

fn add(file: Arc<OpenFile>, close_on_exec: bool) -> Result<usize, Errno> {
    context::current().add(file, close_on_exec, 0).map(|fd| fd as usize)
}

/// The file that a call names, whose bits for an empty path and for a symbolic link that is not followed are its own.
fn subject(directory: i32, path: UserPointer, empty: bool, follow: bool) -> Result<Arc<dyn Inode>, Errno> {
    let mut flags = AtFlags::empty();
    flags.set(AtFlags::EMPTY_PATH, empty);
    flags.set(AtFlags::SYMLINK_NOFOLLOW, !follow);
    find(directory, path, flags)
}

/// `FSOPEN_CLOEXEC`, `FSMOUNT_CLOEXEC`, `FSPICK_CLOEXEC`
const CLOSE_ON_EXEC: u32 = 1;

/// `fsopen(2)`
pub fn fsopen(kind: UserPointer, flags: u32) -> Result<usize, Errno> {
    check_right()?;
    if flags & !CLOSE_ON_EXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let kind = read_string(kind, PAGE_SIZE, Errno::EINVAL)?;
    add(mounts::begin(kind)?, flags != 0)
}

/// `fsconfig(2)`
pub fn fsconfig(fd: i32, command: u32, key: UserPointer, value: UserPointer, other: i32) -> Result<usize, Errno> {
    const FLAG: u32 = 0;
    const STRING: u32 = 1;
    const BINARY: u32 = 2;
    const PATH: u32 = 3;
    const EMPTY_PATH: u32 = 4;
    const DESCRIPTOR: u32 = 5;
    const CREATE: u32 = 6;
    const RECONFIGURE: u32 = 7;
    const CREATE_ALONE: u32 = 8;
    if fd < 0 {
        return Err(Errno::EINVAL);
    }
    let (has_key, has_value) = (!key.is_null(), !value.is_null());
    let fits = match command {
        FLAG => has_key && !has_value && other == 0,
        STRING => has_key && has_value && other == 0,
        BINARY => has_key && has_value && (1..=1 << 20).contains(&other),
        PATH | EMPTY_PATH => has_key && has_value && (other == AT_FDCWD || other >= 0),
        DESCRIPTOR => has_key && !has_value && other >= 0,
        CREATE | RECONFIGURE | CREATE_ALONE => !has_key && !has_value && other == 0,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    if !fits {
        return Err(Errno::EINVAL);
    }
    let file = context::current().file(fd)?;
    let made = mounts::context_of(&file)?;
    let word = |from| read_string(from, 256, Errno::EINVAL);
    match command {
        FLAG => made.set(&word(key)?, None)?,
        STRING => made.set(&word(key)?, Some(&word(value)?))?,
        CREATE | CREATE_ALONE => {
            check_right()?;
            made.create(command == CREATE_ALONE)?;
        }
        RECONFIGURE => made.change()?,
        // No file system here takes such values.
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// What holds for a mount, in the bits of `fsmount(2)` and `mount_setattr(2)` (`MOUNT_ATTR_*`).
const ATTRIBUTES: [(u64, MountOptions); 7] = [
    (1, MountOptions::READ_ONLY),
    (2, MountOptions::NO_SET_USER),
    (4, MountOptions::NO_DEVICES),
    (8, MountOptions::NO_EXECUTE),
    (0x10, MountOptions::NO_ACCESS_TIME),
    (0x80, MountOptions::NO_DIRECTORY_ACCESS_TIME),
    (0x20_0000, MountOptions::NO_LINKS),
];
/// Which of them say when access times change, and that they change with each access.
const ACCESS_TIMES: u64 = 0x70;
const STRICT_ACCESS_TIMES: u64 = 0x20;
/// All of them.
const KNOWN_ATTRIBUTES: u64 = 0x20_008f | ACCESS_TIMES;

/// What these bits mean, apart from access times that are relative.
fn options_of(attributes: u64) -> MountOptions {
    let set = ATTRIBUTES.iter().filter(|(bit, _)| attributes & bit != 0);
    set.fold(MountOptions::empty(), |options, (_, option)| options | *option)
}

/// What these bits say of access times.
///
/// # Errors
/// `EINVAL` for a choice that there is not.
fn access_times_of(attributes: u64) -> Result<MountOptions, Errno> {
    match attributes & ACCESS_TIMES {
        0 => Ok(MountOptions::RELATIVE_ACCESS_TIME),
        0x10 => Ok(MountOptions::NO_ACCESS_TIME),
        STRICT_ACCESS_TIMES => Ok(MountOptions::empty()),
        _ => Err(Errno::EINVAL),
    }
}

/// `fsmount(2)`
pub fn fsmount(fd: i32, flags: u32, attributes: u32) -> Result<usize, Errno> {
    check_right()?;
    let attributes = u64::from(attributes);
    if flags & !CLOSE_ON_EXEC != 0 || attributes & !KNOWN_ATTRIBUTES != 0 {
        return Err(Errno::EINVAL);
    }
    let options = options_of(attributes) | access_times_of(attributes)?;
    let file = context::current().file(fd)?;
    add(mounts::context_of(&file)?.mount(options)?, flags != 0)
}

/// `fspick(2)`
pub fn fspick(directory: i32, path: UserPointer, flags: u32) -> Result<usize, Errno> {
    const NO_FOLLOW: u32 = 2;
    const NO_AUTOMOUNT: u32 = 4;
    const EMPTY_PATH: u32 = 8;
    check_right()?;
    if flags & !(CLOSE_ON_EXEC | NO_FOLLOW | NO_AUTOMOUNT | EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let inode = subject(directory, path, flags & EMPTY_PATH != 0, flags & NO_FOLLOW == 0)?;
    add(mounts::pick(&Subject::of(&*inode)?), flags & CLOSE_ON_EXEC != 0)
}

/// `AT_RECURSIVE`: what is mounted inside as well.
const RECURSIVE: u32 = 0x8000;

/// `open_tree(2)`
pub fn open_tree(directory: i32, path: UserPointer, flags: u32) -> Result<usize, Errno> {
    const CLONE: u32 = 1;
    let close_on_exec = OpenFlags::CLOSE_ON_EXEC.bits();
    let clones = flags & CLONE != 0;
    let recursive = flags & RECURSIVE != 0;
    let known = AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
    let names = known_flags((flags & !(CLONE | RECURSIVE | close_on_exec)) as i32, known)?;
    if recursive && !clones {
        return Err(Errno::EINVAL);
    }
    if clones {
        check_right()?;
    }
    let inode = find(directory, path, names)?;
    let file = match clones {
        true => mounts::clone_tree(&inode, recursive)?,
        false => OpenFile::path_only(inode, OpenFlags::PATH),
    };
    add(file, flags & close_on_exec != 0)
}

/// `move_mount(2)`
pub fn move_mount(
    from_directory: i32,
    from: UserPointer,
    to_directory: i32,
    to: UserPointer,
    flags: u32,
) -> Result<usize, Errno> {
    const FROM_FOLLOWS: u32 = 1;
    const FROM_EMPTY: u32 = 4;
    const TO_FOLLOWS: u32 = 0x10;
    const TO_EMPTY: u32 = 0x40;
    const SET_GROUP: u32 = 0x100;
    const BENEATH: u32 = 0x200;
    const KNOWN: u32 = 0x377;
    check_right()?;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let from = subject(from_directory, from, flags & FROM_EMPTY != 0, flags & FROM_FOLLOWS != 0)?;
    let point = subject(to_directory, to, flags & TO_EMPTY != 0, flags & TO_FOLLOWS != 0)?;
    if flags & (SET_GROUP | BENEATH) != 0 {
        crate::warning_once!("move_mount with MOVE_MOUNT_SET_GROUP or MOVE_MOUNT_BENEATH answers EINVAL");
        return Err(Errno::EINVAL);
    }
    match mounts::attach_apart(&*from, &point) {
        Some(result) => result?,
        None => mounts::move_mount(&Subject::of(&*from)?, point)?,
    }
    Ok(0)
}

/// `mount_setattr(2)`
pub fn mount_setattr(
    directory: i32,
    path: UserPointer,
    flags: u32,
    attributes: UserPointer,
    size: usize,
) -> Result<usize, Errno> {
    /// Bytes of `struct mount_attr`: what is set, what is cleared, propagation, a namespace of users.
    const SIZE: usize = 32;
    const IDENTITIES: u64 = 0x10_0000;
    let known = AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
    let names = known_flags((flags & !RECURSIVE) as i32, known)?;
    if size > PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    if size < SIZE {
        return Err(Errno::EINVAL);
    }
    check_right()?;
    let [set, clear, propagation, _]: [u64; 4] = read_object(attributes)?;
    check_newer_part(attributes, SIZE, size)?;
    if set | clear | propagation == 0 {
        return Ok(0);
    }
    if propagation != 0 || (set | clear) & IDENTITIES != 0 {
        crate::warning_once!("mount_setattr answers EINVAL for propagation and for other users");
        return Err(Errno::EINVAL);
    }
    let of_times = clear & ACCESS_TIMES;
    let odd = if of_times == 0 {
        set & ACCESS_TIMES != 0
    } else {
        of_times != ACCESS_TIMES
    };
    if (set | clear) & !KNOWN_ATTRIBUTES != 0 || odd {
        return Err(Errno::EINVAL);
    }
    let (mut new, mut old) = (options_of(set), options_of(clear));
    if of_times != 0 {
        old |= MountOptions::RELATIVE_ACCESS_TIME | MountOptions::NO_ACCESS_TIME;
        new |= access_times_of(set)?;
    }
    let inode = find(directory, path, names)?;
    mounts::set_options(&*inode, new, old, flags & RECURSIVE != 0)?;
    Ok(0)
}
