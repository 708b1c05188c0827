//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn mmap(_address: u64, _length: usize, _protection: u32, _flags: u32, _fd: i32, _offset: i64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn mprotect(_address: u64, _length: usize, _protection: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn munmap(_address: u64, _length: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn brk(_address: u64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn mremap(_old: u64, _old_length: usize, _new_length: usize, _flags: u64, _new: u64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn msync(_address: u64, _length: usize, _flags: u64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn mincore(_address: u64, _length: usize, _vector: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn madvise(_address: u64, _length: usize, _advice: i32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
