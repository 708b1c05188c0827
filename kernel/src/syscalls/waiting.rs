//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn poll(_descriptors: UserPointer, _count: usize, _timeout: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn select(_count: i32, _read: UserPointer, _write: UserPointer, _except: UserPointer, _timeout: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn pselect6(_count: i32, _read: UserPointer, _write: UserPointer, _except: UserPointer, _timeout: UserPointer, _mask: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn ppoll(_descriptors: UserPointer, _count: usize, _timeout: UserPointer, _mask: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
