//! Extended attributes (`xattr(7)`): the file systems of Pith have none, and say so as such a file system of
//! Linux does. Files and names are still checked.

use alloc::sync::Arc;

use pith_linux::Errno;
use pith_linux::files::{AT_FDCWD, PATH_MAX};

use crate::fs::context;
use crate::fs::inode::Inode;
use crate::memory::{UserPointer, read_string};

/// Longest name of an attribute with its NUL (`XATTR_NAME_MAX`).
const NAME_LIMIT: usize = 256;

fn find(path: UserPointer, follow: bool) -> Result<Arc<dyn Inode>, Errno> {
    let path = read_string(path, PATH_MAX, Errno::ENAMETOOLONG)?;
    context::current().find(AT_FDCWD, &path, follow)
}

fn of_descriptor(fd: i32) -> Result<Arc<dyn Inode>, Errno> {
    let file = context::current().file(fd)?;
    file.file()?;
    Ok(file.inode.clone())
}

/// Answers for an attribute of a file that exists.
fn unsupported(file: Result<Arc<dyn Inode>, Errno>, name: UserPointer) -> Result<usize, Errno> {
    let name = read_string(name, NAME_LIMIT, Errno::ERANGE)?;
    if name.is_empty() {
        return Err(Errno::ERANGE);
    }
    file?;
    Err(Errno::EOPNOTSUPP)
}

/// The list of attributes is empty.
fn empty(file: Result<Arc<dyn Inode>, Errno>) -> Result<usize, Errno> {
    file.map(|_| 0)
}

/// `getxattr(2)`
pub fn getxattr(path: UserPointer, name: UserPointer, _value: UserPointer, _size: usize) -> Result<usize, Errno> {
    unsupported(find(path, true), name)
}

/// `lgetxattr(2)`
pub fn lgetxattr(path: UserPointer, name: UserPointer, _value: UserPointer, _size: usize) -> Result<usize, Errno> {
    unsupported(find(path, false), name)
}

/// `fgetxattr(2)`
pub fn fgetxattr(fd: i32, name: UserPointer, _value: UserPointer, _size: usize) -> Result<usize, Errno> {
    unsupported(of_descriptor(fd), name)
}

/// `setxattr(2)`
pub fn setxattr(
    path: UserPointer,
    name: UserPointer,
    _value: UserPointer,
    _size: usize,
    _flags: i32,
) -> Result<usize, Errno> {
    unsupported(find(path, true), name)
}

/// `lsetxattr(2)`
pub fn lsetxattr(
    path: UserPointer,
    name: UserPointer,
    _value: UserPointer,
    _size: usize,
    _flags: i32,
) -> Result<usize, Errno> {
    unsupported(find(path, false), name)
}

/// `fsetxattr(2)`
pub fn fsetxattr(fd: i32, name: UserPointer, _value: UserPointer, _size: usize, _flags: i32) -> Result<usize, Errno> {
    unsupported(of_descriptor(fd), name)
}

/// `removexattr(2)`
pub fn removexattr(path: UserPointer, name: UserPointer) -> Result<usize, Errno> {
    unsupported(find(path, true), name)
}

/// `lremovexattr(2)`
pub fn lremovexattr(path: UserPointer, name: UserPointer) -> Result<usize, Errno> {
    unsupported(find(path, false), name)
}

/// `fremovexattr(2)`
pub fn fremovexattr(fd: i32, name: UserPointer) -> Result<usize, Errno> {
    unsupported(of_descriptor(fd), name)
}

/// `listxattr(2)`
pub fn listxattr(path: UserPointer, _list: UserPointer, _size: usize) -> Result<usize, Errno> {
    empty(find(path, true))
}

/// `llistxattr(2)`
pub fn llistxattr(path: UserPointer, _list: UserPointer, _size: usize) -> Result<usize, Errno> {
    empty(find(path, false))
}

/// `flistxattr(2)`
pub fn flistxattr(fd: i32, _list: UserPointer, _size: usize) -> Result<usize, Errno> {
    empty(of_descriptor(fd))
}
