//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn open(_path: UserPointer, _flags: u32, _mode: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn close(_fd: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn ioctl(_fd: i32, _request: i32, _argument: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn pipe(_descriptors: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn dup(_fd: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn dup2(_old: i32, _new: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fcntl(_fd: i32, _command: i32, _argument: u64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn creat(_path: UserPointer, _mode: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn openat(_directory: i32, _path: UserPointer, _flags: u32, _mode: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn dup3(_old: i32, _new: i32, _flags: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn pipe2(_descriptors: UserPointer, _flags: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn close_range(_first: u32, _last: u32, _flags: u64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
