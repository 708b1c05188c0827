//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn execve(_registers: &mut crate::arch::Registers, _path: UserPointer, _arguments: UserPointer, _environment: UserPointer) -> Result<Reply, Errno> { Err(Errno::ENOSYS) }
pub fn exit(_status: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn exit_group(_status: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
