//! The thread and the processor: `prctl(2)`, `arch_prctl(2)`, `futex(2)`, `sched_yield(2)`, affinity.

use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use pith_linux::Errno;
use pith_linux::signal::Signal;
use pith_linux::time::Timespec;

use crate::arch;
use crate::arch::layout::PROGRAM_END;
use crate::memory::{UserPointer, copy_to_user, read_object, read_string, write_object};
use crate::task::signal::{self, Restart};
use crate::task::{self, Instant, WaitError, restartable};

/// `sched_yield(2)`: nobody else wants the processor.
pub fn sched_yield() -> Result<usize, Errno> {
    Ok(0)
}

fn check_thread(pid: i32) -> Result<(), Errno> {
    match pid {
        0 => Ok(()),
        _ if pid == task::current().id as i32 => Ok(()),
        _ => Err(Errno::ESRCH),
    }
}

/// `sched_setaffinity(2)`: the only processor must be in the mask.
pub fn sched_setaffinity(pid: i32, size: usize, mask: UserPointer) -> Result<usize, Errno> {
    let mut first = [0];
    if size > 0 {
        crate::memory::copy_from_user(&mut first, mask)?;
    }
    check_thread(pid)?;
    if first[0] & 1 == 0 { Err(Errno::EINVAL) } else { Ok(0) }
}

/// `sched_getaffinity(2)`: gives the bytes written, one word.
pub fn sched_getaffinity(pid: i32, size: usize, mask: UserPointer) -> Result<usize, Errno> {
    if size == 0 || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    check_thread(pid)?;
    write_object(mask, &1u64)?;
    Ok(8)
}

/// `getcpu(2)`
pub fn getcpu(cpu: UserPointer, node: UserPointer) -> Result<usize, Errno> {
    for place in [cpu, node] {
        if !place.is_null() {
            write_object(place, &0u32)?;
        }
    }
    Ok(0)
}

/// `set_tid_address(2)`
pub fn set_tid_address(address: UserPointer) -> Result<usize, Errno> {
    let thread = task::current();
    thread.clear_on_exit.store(address.0, Ordering::Relaxed);
    Ok(thread.id as usize)
}

/// `set_robust_list(2)`
pub fn set_robust_list(head: UserPointer, size: usize) -> Result<usize, Errno> {
    /// Bytes of `struct robust_list_head`.
    const HEAD_SIZE: usize = 24;
    if size != HEAD_SIZE {
        return Err(Errno::EINVAL);
    }
    task::current().robust_list.store(head.0, Ordering::Relaxed);
    Ok(0)
}

/// `arch_prctl(2)`: the thread pointer. `gs` is the kernel's here, so that programs can't have it.
pub fn arch_prctl(code: i32, address: u64) -> Result<usize, Errno> {
    const SET_GS: i32 = 0x1001;
    const SET_FS: i32 = 0x1002;
    const GET_FS: i32 = 0x1003;
    const GET_GS: i32 = 0x1004;
    match code {
        SET_FS if address < PROGRAM_END => arch::set_thread_pointer(address),
        SET_FS => return Err(Errno::EPERM),
        GET_FS => write_object(UserPointer(address), &arch::thread_pointer())?,
        GET_GS => write_object(UserPointer(address), &0u64)?,
        SET_GS => {
            static SAID: AtomicBool = AtomicBool::new(false);
            if !SAID.swap(true, Ordering::Relaxed) {
                crate::warning!(
                    "arch_prctl(ARCH_SET_GS) is refused (EPERM): the gs register belongs to the kernel here"
                );
            }
            return Err(Errno::EPERM);
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

static DUMPABLE: AtomicBool = AtomicBool::new(true);
static KEEP_CAPABILITIES: AtomicBool = AtomicBool::new(false);
static NO_NEW_PRIVILEGES: AtomicBool = AtomicBool::new(false);
static PARENT_DEATH_SIGNAL: AtomicI32 = AtomicI32::new(0);
static TIMER_SLACK: AtomicI32 = AtomicI32::new(50_000);

/// `prctl(2)`
pub fn prctl(option: i32, second: u64, third: u64, fourth: u64, fifth: u64) -> Result<usize, Errno> {
    use linux_raw_sys::prctl as names;
    /// Capabilities that Linux knows (`CAP_LAST_CAP`).
    const LAST_CAPABILITY: u64 = 41;
    let switch = |flag: &AtomicBool| match second {
        0 | 1 => {
            flag.store(second == 1, Ordering::Relaxed);
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    };
    let thread = task::current();
    match option as u32 {
        names::PR_SET_NAME => {
            let name = match read_string(UserPointer(second), 16, Errno::E2BIG) {
                // Longer names are cut.
                Err(Errno::E2BIG) => read_object::<[u8; 15]>(UserPointer(second))?.to_vec(),
                other => other?,
            };
            let mut stored = [0; 16];
            stored[..name.len()].copy_from_slice(&name);
            *thread.name.lock() = stored;
            Ok(0)
        }
        names::PR_GET_NAME => {
            let name = *thread.name.lock();
            copy_to_user(UserPointer(second), &name)?;
            Ok(0)
        }
        names::PR_SET_PDEATHSIG => {
            if second != 0 && Signal::from_number(second).is_none() {
                return Err(Errno::EINVAL);
            }
            // There is no parent that could die.
            PARENT_DEATH_SIGNAL.store(second as i32, Ordering::Relaxed);
            Ok(0)
        }
        names::PR_GET_PDEATHSIG => {
            write_object(UserPointer(second), &PARENT_DEATH_SIGNAL.load(Ordering::Relaxed))?;
            Ok(0)
        }
        names::PR_SET_DUMPABLE => switch(&DUMPABLE),
        names::PR_GET_DUMPABLE => Ok(usize::from(DUMPABLE.load(Ordering::Relaxed))),
        names::PR_SET_KEEPCAPS => switch(&KEEP_CAPABILITIES),
        names::PR_GET_KEEPCAPS => Ok(usize::from(KEEP_CAPABILITIES.load(Ordering::Relaxed))),
        names::PR_SET_NO_NEW_PRIVS => {
            if second != 1 || third != 0 || fourth != 0 || fifth != 0 {
                return Err(Errno::EINVAL);
            }
            NO_NEW_PRIVILEGES.store(true, Ordering::Relaxed);
            Ok(0)
        }
        names::PR_GET_NO_NEW_PRIVS => {
            if second != 0 || third != 0 || fourth != 0 || fifth != 0 {
                return Err(Errno::EINVAL);
            }
            Ok(usize::from(NO_NEW_PRIVILEGES.load(Ordering::Relaxed)))
        }
        names::PR_SET_TIMERSLACK => {
            let slack = i32::try_from(second).unwrap_or(i32::MAX);
            TIMER_SLACK.store(if slack <= 0 { 50_000 } else { slack }, Ordering::Relaxed);
            Ok(0)
        }
        names::PR_GET_TIMERSLACK => Ok(TIMER_SLACK.load(Ordering::Relaxed) as usize),
        names::PR_CAPBSET_READ if second < LAST_CAPABILITY => Ok(1),
        names::PR_GET_SECCOMP => Ok(0),
        names::PR_GET_TID_ADDRESS => {
            write_object(UserPointer(second), &thread.clear_on_exit.load(Ordering::Relaxed))?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `futex(2)`: waiting and waking. With one thread a wait ends by its timeout or by a signal, and nobody waits to
/// be woken.
pub fn futex(
    address: u64,
    operation: i32,
    value: u32,
    timeout: UserPointer,
    _address2: u64,
    mask: u32,
) -> Result<usize, Errno> {
    const WAIT: i32 = 0;
    const WAKE: i32 = 1;
    const WAIT_BITSET: i32 = 9;
    const WAKE_BITSET: i32 = 10;
    const PRIVATE: i32 = 128;
    const REALTIME: i32 = 256;
    let real_time = operation & REALTIME != 0;
    let command = operation & !(PRIVATE | REALTIME);
    if real_time && !matches!(command, WAIT_BITSET) {
        return Err(Errno::ENOSYS);
    }
    if !matches!(command, WAIT | WAKE | WAIT_BITSET | WAKE_BITSET) {
        return Err(Errno::ENOSYS);
    }
    if !address.is_multiple_of(4) || (matches!(command, WAIT_BITSET | WAKE_BITSET) && mask == 0) {
        return Err(Errno::EINVAL);
    }
    if matches!(command, WAKE | WAKE_BITSET) {
        // Linux, too, faults only where it must look at the memory: for futexes that are shared.
        return Ok(0);
    }
    let deadline = if timeout.is_null() {
        None
    } else {
        let time = read_object::<Timespec>(timeout)?.to_nanoseconds()?;
        Some(match (command, real_time) {
            (WAIT, _) => task::monotonic().after(time),
            (_, true) => Instant(time.saturating_sub(task::clock_parameters().wall_base)),
            (_, false) => Instant(time),
        })
    };
    let found = arch::load_word(address).ok_or(Errno::EFAULT)?;
    if found != value {
        return Err(Errno::EAGAIN);
    }
    match task::wait_any(&[], deadline, || None::<()>) {
        Ok(()) => Ok(0),
        Err(WaitError::TimedOut) => Err(Errno::ETIMEDOUT),
        Err(WaitError::Interrupted) => {
            if deadline.is_some() {
                signal::set_restart(Restart::IfNoHandlerRuns);
            }
            Err(Errno::EINTR)
        }
    }
}

/// `rseq(2)`
pub fn rseq(area: u64, size: u32, flags: i32, signature: u64) -> Result<usize, Errno> {
    const UNREGISTER: i32 = 1;
    let (thread, signature) = (task::current(), signature as u32);
    match flags {
        0 => restartable::register(thread, area, size, signature)?,
        UNREGISTER => restartable::unregister(thread, area, size, signature)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}
