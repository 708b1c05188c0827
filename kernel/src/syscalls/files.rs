//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn read(_fd: i32, _buffer: UserPointer, _count: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn write(_fd: i32, _buffer: UserPointer, _count: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn lseek(_fd: i32, _offset: i64, _whence: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn pread64(_fd: i32, _buffer: UserPointer, _count: usize, _offset: i64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn pwrite64(_fd: i32, _buffer: UserPointer, _count: usize, _offset: i64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn readv(_fd: i32, _slices: UserPointer, _count: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn writev(_fd: i32, _slices: UserPointer, _count: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn sendfile(_output: i32, _input: i32, _offset: UserPointer, _count: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fsync(_fd: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fdatasync(_fd: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn truncate(_path: UserPointer, _length: i64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn ftruncate(_fd: i32, _length: i64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn sync() -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getdents64(_fd: i32, _entries: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fadvise64(_fd: i32, _offset: i64, _length: usize, _advice: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn fallocate(_fd: i32, _mode: u64, _offset: i64, _length: i64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn preadv(_fd: i32, _slices: UserPointer, _count: i32, _offset: i64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn pwritev(_fd: i32, _slices: UserPointer, _count: i32, _offset: i64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn syncfs(_fd: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn copy_file_range(_input: i32, _input_offset: UserPointer, _output: i32, _output_offset: UserPointer, _length: usize, _flags: u64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
