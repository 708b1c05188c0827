//! Not written yet.
use pith_linux::Errno;
use crate::memory::UserPointer;
#[allow(unused)] use super::Reply;
pub fn sched_yield() -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn prctl(_option: i32, _argument2: u64, _argument3: u64, _argument4: u64, _argument5: u64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn arch_prctl(_code: i32, _address: u64) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn futex(_address: u64, _operation: i32, _value: u32, _timeout: UserPointer, _address2: u64, _value3: u32) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn sched_setaffinity(_pid: i32, _size: usize, _mask: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn sched_getaffinity(_pid: i32, _size: usize, _mask: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn set_tid_address(_address: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn set_robust_list(_head: UserPointer, _size: usize) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
pub fn getcpu(_cpu: UserPointer, _node: UserPointer) -> Result<usize, Errno> { Err(Errno::ENOSYS) }
