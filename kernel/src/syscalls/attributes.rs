//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn getxattr(_path: UserPointer, _name: UserPointer, _value: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn lgetxattr(_path: UserPointer, _name: UserPointer, _value: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fgetxattr(_fd: i32, _name: UserPointer, _value: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn listxattr(_path: UserPointer, _list: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn llistxattr(_path: UserPointer, _list: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn flistxattr(_fd: i32, _list: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
