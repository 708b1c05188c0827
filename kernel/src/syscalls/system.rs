//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn uname(_name: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn sysinfo(_information: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn syslog(_kind: i32, _buffer: UserPointer, _length: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getrandom(_buffer: UserPointer, _size: usize, _flags: u64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
