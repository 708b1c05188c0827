//! Extended attributes: `xattr(7)`. What names there may be is the file system's affair; who may use them is told here.

use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::credentials::{Capabilities, FileCapabilities};
use pith_linux::files::{AT_FDCWD, PATH_MAX};
use pith_linux::inotify::FileEvents;

use crate::fs::inode::{Inode, Replacement};
use crate::fs::permission::{self, Access, Rights, STICKY};
use crate::fs::{context, mounts, notify};
use crate::memory::{UserPointer, copy_from_user, copy_to_user, read_string};

/// Longest name of an attribute with its NUL (`XATTR_NAME_MAX`).
const NAME_LIMIT: usize = 256;
/// Longest value (`XATTR_SIZE_MAX`) and list of names (`XATTR_LIST_MAX`), in bytes.
const MOST_BYTES: usize = 65536;
/// `XATTR_CREATE` and `XATTR_REPLACE`
const CREATE: i32 = 1;
const REPLACE: i32 = 2;

/// How the file of a call is found; only after its other arguments were looked at.
#[derive(Clone, Copy)]
enum Subject {
    Path(UserPointer, bool),
    Descriptor(i32),
}

impl Subject {
    fn find(self) -> Result<Arc<dyn Inode>, Errno> {
        match self {
            Self::Path(path, follow) => {
                let path = read_string(path, PATH_MAX, Errno::ENAMETOOLONG)?;
                context::current().find(AT_FDCWD, &path, follow)
            }
            Self::Descriptor(fd) => {
                let file = context::current().file(fd)?;
                file.file()?;
                Ok(file.inode.clone())
            }
        }
    }
}

fn read_name(name: UserPointer) -> Result<Vec<u8>, Errno> {
    let name = read_string(name, NAME_LIMIT, Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}

/// Whether the program may use attributes of this name of the file.
fn check(file: &Arc<dyn Inode>, name: &[u8], writes: bool) -> Result<(), Errno> {
    let refusal = if writes { Errno::EPERM } else { Errno::ENODATA };
    let trusted = name.starts_with(b"trusted.");
    if trusted && permission::require(Capabilities::ADMINISTRATION).is_err() {
        return Err(refusal);
    }
    if name.starts_with(b"user.") && !matches!(file.kind(), FileKind::Regular | FileKind::Directory) {
        return Err(refusal);
    }
    if trusted || name.starts_with(b"system.") {
        return Ok(());
    }
    if name.starts_with(b"security.") {
        return match writes {
            false => Ok(()),
            // Who may set it is decided together with its value.
            true if name == FileCapabilities::NAME => Ok(()),
            true => permission::require(Capabilities::ADMINISTRATION),
        };
    }
    if writes && file.kind() == FileKind::Directory {
        let directory = file.metadata();
        // What anybody may write to is still its owner's.
        if directory.permissions & STICKY != 0 && !Rights::current().owns(directory.user) {
            return Err(Errno::EPERM);
        }
    }
    permission::check(file, if writes { Access::WRITE } else { Access::READ })
}

/// Hands bytes to the program, or only their length if it has no room at all.
fn give(bytes: &[u8], to: UserPointer, size: usize) -> Result<usize, Errno> {
    if size != 0 {
        if bytes.len() > size {
            return Err(Errno::ERANGE);
        }
        copy_to_user(to, bytes)?;
    }
    Ok(bytes.len())
}

fn get(subject: Subject, name: UserPointer, value: UserPointer, size: usize) -> Result<usize, Errno> {
    let name = read_name(name)?;
    let file = subject.find()?;
    check(&file, &name, false)?;
    give(&file.extended_attribute(&name)?, value, size)
}

fn set(subject: Subject, name: UserPointer, value: UserPointer, size: usize, flags: i32) -> Result<usize, Errno> {
    if flags & !(CREATE | REPLACE) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = read_name(name)?;
    if size > MOST_BYTES {
        return Err(Errno::E2BIG);
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(size, 0);
    copy_from_user(&mut bytes, value)?;
    let file = subject.find()?;
    mounts::check_writable(&*file)?;
    check(&file, &name, true)?;
    // As on Linux, nothing at all may be stored by anybody: no program can be run with that.
    if name == FileCapabilities::NAME && size != 0 {
        FileCapabilities::to_be_stored(&mut bytes)?;
        permission::require(Capabilities::SET_FILE_CAPABILITIES)?;
    }
    let replacement = match flags {
        0 => Replacement::Either,
        CREATE => Replacement::Never,
        REPLACE => Replacement::Always,
        // It would have to be there and not to be there.
        _ => match file.extended_attribute(&name) {
            Ok(_) => Replacement::Never,
            Err(_) => Replacement::Always,
        },
    };
    change(&file, &name, Some(&bytes), replacement)
}

/// Sets or removes an attribute, and tells those who watch the file.
fn change(file: &Arc<dyn Inode>, name: &[u8], value: Option<&[u8]>, replacement: Replacement) -> Result<usize, Errno> {
    file.set_extended_attribute(name, value, replacement)?;
    if notify::anybody() {
        notify::happened(&**file, FileEvents::ATTRIBUTES);
    }
    Ok(0)
}

fn list(subject: Subject, list: UserPointer, size: usize) -> Result<usize, Errno> {
    let names = subject.find()?.extended_attribute_names();
    let trusted = permission::require(Capabilities::ADMINISTRATION).is_ok();
    let mut bytes = Vec::new();
    for name in names.iter().filter(|name| trusted || !name.starts_with(b"trusted.")) {
        bytes.extend_from_slice(name);
        bytes.push(0);
    }
    give(&bytes, list, size)
}

fn remove(subject: Subject, name: UserPointer) -> Result<usize, Errno> {
    let name = read_name(name)?;
    let file = subject.find()?;
    mounts::check_writable(&*file)?;
    check(&file, &name, true)?;
    if name == FileCapabilities::NAME {
        permission::require(Capabilities::SET_FILE_CAPABILITIES)?;
    }
    change(&file, &name, None, Replacement::Always)
}

/// `getxattr(2)`
pub fn getxattr(path: UserPointer, name: UserPointer, value: UserPointer, size: usize) -> Result<usize, Errno> {
    get(Subject::Path(path, true), name, value, size)
}

/// `lgetxattr(2)`
pub fn lgetxattr(path: UserPointer, name: UserPointer, value: UserPointer, size: usize) -> Result<usize, Errno> {
    get(Subject::Path(path, false), name, value, size)
}

/// `fgetxattr(2)`
pub fn fgetxattr(fd: i32, name: UserPointer, value: UserPointer, size: usize) -> Result<usize, Errno> {
    get(Subject::Descriptor(fd), name, value, size)
}

/// `setxattr(2)`
pub fn setxattr(
    path: UserPointer,
    name: UserPointer,
    value: UserPointer,
    size: usize,
    flags: i32,
) -> Result<usize, Errno> {
    set(Subject::Path(path, true), name, value, size, flags)
}

/// `lsetxattr(2)`
pub fn lsetxattr(
    path: UserPointer,
    name: UserPointer,
    value: UserPointer,
    size: usize,
    flags: i32,
) -> Result<usize, Errno> {
    set(Subject::Path(path, false), name, value, size, flags)
}

/// `fsetxattr(2)`
pub fn fsetxattr(fd: i32, name: UserPointer, value: UserPointer, size: usize, flags: i32) -> Result<usize, Errno> {
    set(Subject::Descriptor(fd), name, value, size, flags)
}

/// `listxattr(2)`
pub fn listxattr(path: UserPointer, names: UserPointer, size: usize) -> Result<usize, Errno> {
    list(Subject::Path(path, true), names, size)
}

/// `llistxattr(2)`
pub fn llistxattr(path: UserPointer, names: UserPointer, size: usize) -> Result<usize, Errno> {
    list(Subject::Path(path, false), names, size)
}

/// `flistxattr(2)`
pub fn flistxattr(fd: i32, names: UserPointer, size: usize) -> Result<usize, Errno> {
    list(Subject::Descriptor(fd), names, size)
}

/// `removexattr(2)`
pub fn removexattr(path: UserPointer, name: UserPointer) -> Result<usize, Errno> {
    remove(Subject::Path(path, true), name)
}

/// `lremovexattr(2)`
pub fn lremovexattr(path: UserPointer, name: UserPointer) -> Result<usize, Errno> {
    remove(Subject::Path(path, false), name)
}

/// `fremovexattr(2)`
pub fn fremovexattr(fd: i32, name: UserPointer) -> Result<usize, Errno> {
    remove(Subject::Descriptor(fd), name)
}
