//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn getpid() -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getuid() -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getgid() -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn setuid(_user: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn setgid(_group: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn geteuid() -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getegid() -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn setpgid(_pid: i32, _group: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getppid() -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getpgrp() -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn setsid() -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getgroups(_size: i32, _list: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getresuid(_real: UserPointer, _effective: UserPointer, _saved: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getresgid(_real: UserPointer, _effective: UserPointer, _saved: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getpgid(_pid: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getsid(_pid: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn gettid() -> Result<usize, Errno> { Err(Errno::ENOSYS) }
