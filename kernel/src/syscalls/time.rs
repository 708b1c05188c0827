//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn nanosleep(_request: UserPointer, _remaining: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn gettimeofday(_time: UserPointer, _zone: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn times(_buffer: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn time(_location: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn clock_gettime(_clock: i32, _time: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn clock_getres(_clock: i32, _resolution: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn clock_nanosleep(_clock: i32, _flags: u64, _request: UserPointer, _remaining: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
