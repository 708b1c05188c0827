//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn getcwd(_buffer: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn chdir(_path: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fchdir(_fd: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn rename(_old: UserPointer, _new: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn mkdir(_path: UserPointer, _mode: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn rmdir(_path: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn link(_old: UserPointer, _new: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn unlink(_path: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn symlink(_target: UserPointer, _path: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn readlink(_path: UserPointer, _buffer: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn mkdirat(_directory: i32, _path: UserPointer, _mode: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn unlinkat(_directory: i32, _path: UserPointer, _flags: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn renameat(_old_directory: i32, _old: UserPointer, _new_directory: i32, _new: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn linkat(_old_directory: i32, _old: UserPointer, _new_directory: i32, _new: UserPointer, _flags: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn symlinkat(_target: UserPointer, _directory: i32, _path: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn readlinkat(_directory: i32, _path: UserPointer, _buffer: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn renameat2(_old_directory: i32, _old: UserPointer, _new_directory: i32, _new: UserPointer, _flags: u64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
