//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn stat(_path: UserPointer, _status: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fstat(_fd: i32, _status: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn lstat(_path: UserPointer, _status: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn access(_path: UserPointer, _mode: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn chmod(_path: UserPointer, _mode: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fchmod(_fd: i32, _mode: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn chown(_path: UserPointer, _user: i32, _group: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fchown(_fd: i32, _user: i32, _group: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn lchown(_path: UserPointer, _user: i32, _group: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn umask(_mask: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn statfs(_path: UserPointer, _buffer: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fstatfs(_fd: i32, _buffer: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn utimes(_path: UserPointer, _times: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fchownat(_directory: i32, _path: UserPointer, _user: i32, _group: i32, _flags: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn newfstatat(_directory: i32, _path: UserPointer, _status: UserPointer, _flags: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fchmodat(_directory: i32, _path: UserPointer, _mode: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn faccessat(_directory: i32, _path: UserPointer, _mode: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn utimensat(_directory: i32, _path: UserPointer, _times: UserPointer, _flags: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn statx(_directory: i32, _path: UserPointer, _flags: i32, _mask: u64, _buffer: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn faccessat2(_directory: i32, _path: UserPointer, _mode: i32, _flags: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
