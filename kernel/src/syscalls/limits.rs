//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn getrlimit(_resource: i32, _limit: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getrusage(_who: i32, _usage: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn setrlimit(_resource: i32, _limit: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn prlimit64(_pid: i32, _resource: i32, _new: UserPointer, _old: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
