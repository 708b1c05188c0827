//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn rt_sigaction(_signal: i32, _action: UserPointer, _old: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn rt_sigprocmask(_how: i32, _set: UserPointer, _old: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn rt_sigreturn(_registers: &mut crate::arch::Registers) -> Result<Reply, Errno> { Err(Errno::ENOSYS) }
pub fn pause() -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn kill(_pid: i32, _signal: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn rt_sigpending(_set: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn rt_sigsuspend(_set: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn sigaltstack(_stack: UserPointer, _old: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn tkill(_thread: i32, _signal: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn tgkill(_process: i32, _thread: i32, _signal: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
