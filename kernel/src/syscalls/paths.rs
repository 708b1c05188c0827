//! Names: making, moving and removing them, and the working directory.

use alloc::vec::Vec;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{AT_FDCWD, AtFlags, DeviceNumber, PATH_MAX, RenameFlags};

use crate::fs::context;
use crate::fs::inode::NewFile;
use crate::fs::mounts;
use crate::fs::names::{self, Named};
use crate::fs::path::{LastName, NamedPlace, find_place};
use crate::fs::permission::{self, Access};
use crate::memory::{UserPointer, copy_to_user, read_string};
use crate::task::{self, Capabilities};

/// A path of the program.
///
/// # Errors
/// `EFAULT`, `ENAMETOOLONG`.
pub(super) fn read_path(path: UserPointer) -> Result<Vec<u8>, Errno> {
    read_string(path, PATH_MAX, Errno::ENAMETOOLONG)
}

/// The place of a path's last name.
fn place(directory: i32, path: &[u8]) -> Result<NamedPlace, Errno> {
    find_place(&context::current().origin(directory, path)?, path)
}

/// `getcwd(2)`: returns the length with the NUL.
pub fn getcwd(buffer: UserPointer, size: usize) -> Result<usize, Errno> {
    let files = context::current();
    let path = files.path_of(&files.working_directory());
    if path.removed {
        return Err(Errno::ENOENT);
    }
    let mut bytes = path.bytes;
    bytes.push(0);
    if bytes.len() > size {
        return Err(Errno::ERANGE);
    }
    copy_to_user(buffer, &bytes)?;
    Ok(bytes.len())
}

/// `chdir(2)`
pub fn chdir(path: UserPointer) -> Result<usize, Errno> {
    let files = context::current();
    let directory = files.find(AT_FDCWD, &read_path(path)?, true)?;
    if directory.kind() == FileKind::Directory {
        permission::check(&directory, Access::EXECUTE)?;
    }
    files.set_working_directory(directory)?;
    Ok(0)
}

/// `fchdir(2)`
pub fn fchdir(fd: i32) -> Result<usize, Errno> {
    let files = context::current();
    let directory = files.file(fd)?.inode.clone();
    if directory.kind() == FileKind::Directory {
        permission::check(&directory, Access::EXECUTE)?;
    }
    files.set_working_directory(directory)?;
    Ok(0)
}

/// `chroot(2)`. The working directory and open directories stay where they are, as on Linux.
pub fn chroot(path: UserPointer) -> Result<usize, Errno> {
    let files = context::current();
    let directory = files.find(AT_FDCWD, &read_path(path)?, true)?;
    if directory.kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    permission::check(&directory, Access::EXECUTE)?;
    permission::require(Capabilities::CHANGE_ROOT)?;
    files.set_root(directory)?;
    Ok(0)
}

/// Makes a file under a name that must be new.
fn make(directory: i32, path: &[u8], new: NewFile<'_>, permissions: u16) -> Result<usize, Errno> {
    names::make(&place(directory, path)?, new, permissions)?;
    Ok(0)
}

fn masked(mode: u32) -> u16 {
    mode as u16 & 0o7777 & !context::current().mask()
}

/// `mkdir(2)`
pub fn mkdir(path: UserPointer, mode: u32) -> Result<usize, Errno> {
    mkdirat(AT_FDCWD, path, mode)
}

/// `mkdirat(2)`
pub fn mkdirat(directory: i32, path: UserPointer, mode: u32) -> Result<usize, Errno> {
    make_directory(directory, &read_path(path)?, mode)
}

/// Makes a directory (`mkdirat(2)`).
pub(super) fn make_directory(directory: i32, path: &[u8], mode: u32) -> Result<usize, Errno> {
    make(directory, path, NewFile::Directory, masked(mode) & 0o1777)
}

/// `mknod(2)`
pub fn mknod(path: UserPointer, mode: u32, device: u64) -> Result<usize, Errno> {
    mknodat(AT_FDCWD, path, mode, device)
}

/// `mknodat(2)`
pub fn mknodat(directory: i32, path: UserPointer, mode: u32, device: u64) -> Result<usize, Errno> {
    let number = DeviceNumber::decode(device);
    let new = match FileKind::from_mode(mode as u16) {
        None if mode & 0o170_000 == 0 => NewFile::Regular,
        Some(FileKind::Regular) => NewFile::Regular,
        Some(kind @ (FileKind::CharacterDevice | FileKind::BlockDevice)) => NewFile::Special(kind, number),
        Some(kind @ (FileKind::Fifo | FileKind::Socket)) => NewFile::Special(kind, DeviceNumber::default()),
        Some(FileKind::Directory) => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    make(directory, &read_path(path)?, new, masked(mode))
}

/// `symlink(2)`
pub fn symlink(target: UserPointer, path: UserPointer) -> Result<usize, Errno> {
    symlinkat(target, AT_FDCWD, path)
}

/// `symlinkat(2)`
pub fn symlinkat(target: UserPointer, directory: i32, path: UserPointer) -> Result<usize, Errno> {
    let target = read_path(target)?;
    if target.is_empty() {
        return Err(Errno::ENOENT); // told before the path is looked at
    }
    make_symlink(&target, directory, &read_path(path)?)
}

/// Makes a symbolic link (`symlinkat(2)`).
pub(super) fn make_symlink(target: &[u8], directory: i32, path: &[u8]) -> Result<usize, Errno> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    make(directory, path, NewFile::Symlink(target), 0o777)
}

/// `link(2)`
pub fn link(old: UserPointer, new: UserPointer) -> Result<usize, Errno> {
    linkat(AT_FDCWD, old, AT_FDCWD, new, 0)
}

/// `linkat(2)`
pub fn linkat(
    old_directory: i32,
    old: UserPointer,
    new_directory: i32,
    new: UserPointer,
    flags: i32,
) -> Result<usize, Errno> {
    link_flags(flags)?; // before the paths are looked at
    make_link(
        old_directory,
        &read_path(old)?,
        new_directory,
        read_path(new).as_deref(),
        flags,
    )
}

fn link_flags(flags: i32) -> Result<AtFlags, Errno> {
    let known = AtFlags::SYMLINK_FOLLOW | AtFlags::EMPTY_PATH;
    let flags = AtFlags::from_bits(flags as u32).ok_or(Errno::EINVAL)?;
    if known.contains(flags) {
        Ok(flags)
    } else {
        Err(Errno::EINVAL)
    }
}

/// Gives a file another name (`linkat(2)`). What is wrong with the new path is only told if there is a file.
pub(super) fn make_link(
    old_directory: i32,
    old: &[u8],
    new_directory: i32,
    new: Result<&[u8], &Errno>,
    flags: i32,
) -> Result<usize, Errno> {
    let flags = link_flags(flags)?;
    let files = context::current();
    // Descriptors that others have opened give no names, even if a path begins there.
    if flags.contains(AtFlags::EMPTY_PATH)
        && old_directory != AT_FDCWD
        && old.first() != Some(&b'/')
        && files.file(old_directory)?.opener != task::credentials_number()
        && !task::has_capability(Capabilities::READ_AND_SEARCH)
    {
        return Err(Errno::ENOENT);
    }
    let file = if old.is_empty() && flags.contains(AtFlags::EMPTY_PATH) {
        super::metadata::of_descriptor(old_directory)?
    } else {
        files.find(old_directory, old, flags.contains(AtFlags::SYMLINK_FOLLOW))?
    };
    let place = place(new_directory, new.map_err(|errno| *errno)?)?;
    let LastName::Name(name) = place.name else {
        return Err(Errno::EEXIST);
    };
    match place.directory.lookup(&name) {
        Ok(_) => return Err(Errno::EEXIST),
        Err(Errno::ENOENT) if !place.directory_only => {}
        Err(errno) => return Err(errno),
    }
    if !mounts::same_mount(&*file, &*place.directory) {
        return Err(Errno::EXDEV);
    }
    names::link(&place.directory, &name, &file)?;
    Ok(0)
}

/// `unlink(2)`
pub fn unlink(path: UserPointer) -> Result<usize, Errno> {
    unlinkat(AT_FDCWD, path, 0)
}

/// `rmdir(2)`
pub fn rmdir(path: UserPointer) -> Result<usize, Errno> {
    unlinkat(AT_FDCWD, path, AtFlags::REMOVE_DIRECTORY.bits() as i32)
}

/// `unlinkat(2)`
pub fn unlinkat(directory: i32, path: UserPointer, flags: i32) -> Result<usize, Errno> {
    check_removal(flags)?; // before the path is looked at
    remove(directory, &read_path(path)?, flags)
}

/// Whether flags ask for a directory to be removed.
fn check_removal(flags: i32) -> Result<bool, Errno> {
    match AtFlags::from_bits_retain(flags as u32) {
        AtFlags::REMOVE_DIRECTORY => Ok(true),
        flags if flags.is_empty() => Ok(false),
        _ => Err(Errno::EINVAL),
    }
}

/// Removes a name (`unlinkat(2)`).
pub(super) fn remove(directory: i32, path: &[u8], flags: i32) -> Result<usize, Errno> {
    let remove_directory = check_removal(flags)?;
    let place = place(directory, path)?;
    let name = match (place.name, remove_directory) {
        (LastName::Name(name), _) => name,
        (LastName::Itself, true) if path.iter().all(|&byte| byte == b'/') => return Err(Errno::EBUSY),
        (LastName::Itself, true) => return Err(Errno::EINVAL),
        (LastName::Above, true) => return Err(Errno::ENOTEMPTY),
        (_, false) => return Err(Errno::EISDIR),
    };
    mounts::check_writable(&*place.directory)?;
    let file = place.directory.lookup(&name)?;
    if file.mounted().is_some() {
        return Err(Errno::EBUSY);
    }
    if remove_directory {
        names::remove_directory(&place.directory, &name, file)?;
    } else {
        if place.directory_only {
            return Err(if file.kind() == FileKind::Directory {
                Errno::EISDIR
            } else {
                Errno::ENOTDIR
            });
        }
        names::unlink(&place.directory, &name, file)?;
    }
    Ok(0)
}

/// `rename(2)`
pub fn rename(old: UserPointer, new: UserPointer) -> Result<usize, Errno> {
    renameat2(AT_FDCWD, old, AT_FDCWD, new, 0)
}

/// `renameat(2)`
pub fn renameat(old_directory: i32, old: UserPointer, new_directory: i32, new: UserPointer) -> Result<usize, Errno> {
    renameat2(old_directory, old, new_directory, new, 0)
}

/// `renameat2(2)`
pub fn renameat2(
    old_directory: i32,
    old: UserPointer,
    new_directory: i32,
    new: UserPointer,
    flags: u64,
) -> Result<usize, Errno> {
    rename_flags(flags)?; // before the paths are looked at
    rename_paths(
        old_directory,
        &read_path(old)?,
        new_directory,
        read_path(new).as_deref(),
        flags,
    )
}

fn rename_flags(flags: u64) -> Result<RenameFlags, Errno> {
    let others = RenameFlags::NO_REPLACE | RenameFlags::WHITEOUT;
    u32::try_from(flags)
        .ok()
        .and_then(RenameFlags::from_bits)
        .filter(|flags| !flags.contains(RenameFlags::EXCHANGE) || !flags.intersects(others))
        .ok_or(Errno::EINVAL)
}

/// Gives a file another name and takes the old one away (`renameat2(2)`). What is wrong with the new path is only told
/// if the old one leads to a directory.
pub(super) fn rename_paths(
    old_directory: i32,
    old: &[u8],
    new_directory: i32,
    new: Result<&[u8], &Errno>,
    flags: u64,
) -> Result<usize, Errno> {
    let flags = rename_flags(flags)?;
    let from = place(old_directory, old)?;
    let to = place(new_directory, new.map_err(|errno| *errno)?)?;
    if !mounts::same_mount(&*from.directory, &*to.directory) {
        return Err(Errno::EXDEV);
    }
    let LastName::Name(old_name) = from.name else {
        return Err(Errno::EBUSY);
    };
    let LastName::Name(new_name) = to.name else {
        let exists = flags.contains(RenameFlags::NO_REPLACE);
        return Err(if exists { Errno::EEXIST } else { Errno::EBUSY });
    };
    mounts::check_writable(&*from.directory)?;
    let file = from.directory.lookup(&old_name)?;
    let existing = match to.directory.lookup(&new_name) {
        Ok(_) if flags.contains(RenameFlags::NO_REPLACE) => return Err(Errno::EEXIST),
        Ok(other)
            if flags.contains(RenameFlags::EXCHANGE) && to.directory_only && other.kind() != FileKind::Directory =>
        {
            return Err(Errno::ENOTDIR);
        }
        Err(Errno::ENOENT) if !flags.contains(RenameFlags::EXCHANGE) => None,
        Err(errno) => return Err(errno),
        Ok(other) => Some(other),
    };
    if file.kind() != FileKind::Directory
        && (from.directory_only || to.directory_only && !flags.contains(RenameFlags::EXCHANGE))
    {
        return Err(Errno::ENOTDIR);
    }
    let from = Named {
        directory: &from.directory,
        name: &old_name,
        file: Some(file),
    };
    let to = Named {
        directory: &to.directory,
        name: &new_name,
        file: existing,
    };
    names::rename(&from, &to, flags)?;
    Ok(0)
}

/// `readlink(2)`
pub fn readlink(path: UserPointer, buffer: UserPointer, size: usize) -> Result<usize, Errno> {
    readlinkat(AT_FDCWD, path, buffer, size)
}

/// `readlinkat(2)`
pub fn readlinkat(directory: i32, path: UserPointer, buffer: UserPointer, size: usize) -> Result<usize, Errno> {
    if (size as i32) <= 0 {
        return Err(Errno::EINVAL);
    }
    let files = context::current();
    let path = read_path(path)?;
    let link = if path.is_empty() {
        // A descriptor of `O_PATH` may stand for the link itself.
        let link = super::metadata::of_descriptor(directory)?;
        if link.kind() != FileKind::Symlink {
            return Err(Errno::ENOENT);
        }
        link
    } else {
        files.find(directory, &path, false)?
    };
    let target = link.read_link()?;
    mounts::accessed(&*link);
    let target = &target[..target.len().min(size)];
    copy_to_user(buffer, target)?;
    Ok(target.len())
}
