//! Who runs where and when: policies, priorities, affinity; `prctl(2)` and `arch_prctl(2)`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use pith_linux::Errno;
use pith_linux::credentials::{Capabilities, Credentials};
use pith_linux::signal::Signal;
use pith_linux::time::Timespec;
use pith_scheduling::Policy;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::arch;
use crate::arch::layout::PROGRAM_END;
use crate::fs::permission;
use crate::memory::{UserPointer, copy_from_user, copy_to_user, read_object, read_string, write_object};
use crate::task::{self, Limits, Process, Thread};

/// `sched_yield(2)`
pub fn sched_yield() -> Result<usize, Errno> {
    task::yield_now();
    Ok(0)
}

/// The thread that a number names; 0 is the one that asks. No thread has a negative number (`ESRCH`); calls that check
/// their arguments first have answered `EINVAL` before.
pub(super) fn thread_of(pid: i32) -> Result<Arc<Thread>, Errno> {
    let thread = match u32::try_from(pid).map_err(|_| Errno::ESRCH)? {
        0 => task::current().arc(),
        number => task::find_thread(number),
    };
    thread.ok_or(Errno::ESRCH)
}

/// Whether the current thread may tell another one when to run, for it belongs to the same user.
fn owns(own: &Credentials, theirs: &Credentials) -> bool {
    theirs.users[..2].contains(&own.users[1])
}

/// Refuses what needs `CAP_SYS_NICE` (`EPERM`), unless another reason allows it.
fn permit(allowed: bool) -> Result<(), Errno> {
    if allowed {
        Ok(())
    } else {
        permission::require(Capabilities::SCHEDULING)
    }
}

/// Whether its limit lets a process have a nice value.
fn may_be_nice(process: &Process, nice: i32) -> bool {
    20 - i64::from(nice) <= i64::try_from(process.limit(Limits::NICE)).unwrap_or(i64::MAX)
}

/// Whether the current thread may give a thread policy, priority and nice value.
fn check_change(thread: &Thread, policy: Policy, resets: bool, priority: i32, nice: i32) -> Result<(), Errno> {
    let (own, theirs) = (task::credentials(), thread.credentials());
    // Nobody tells a thread that may do more than oneself.
    permit(theirs.capabilities.permitted & !own.capabilities.permitted == 0)?;
    let (old, old_priority) = thread.entity.policy();
    let old_nice = i32::from(thread.entity.nice());
    let limit = i64::try_from(thread.process.limit(Limits::REAL_TIME_PRIORITY)).unwrap_or(i64::MAX);
    let more_priority = priority > i32::from(old_priority) && i64::from(priority) > limit;
    let refused = match policy.is_real_time() {
        true => policy != old && limit == 0 || more_priority,
        false => nice < old_nice && !may_be_nice(&thread.process, nice),
    };
    let leaves_idle = old == Policy::Idle && policy != Policy::Idle && !may_be_nice(&thread.process, old_nice);
    let forgets = thread.entity.resets_on_fork() && !resets;
    permit(!refused && !leaves_idle && !forgets && owns(&own, &theirs))
}

/// `sched_setaffinity(2)`
pub fn sched_setaffinity(pid: i32, size: usize, mask: UserPointer) -> Result<usize, Errno> {
    let mut bytes = [0; 8];
    let length = size.min(bytes.len());
    copy_from_user(&mut bytes[..length], mask)?;
    let thread = thread_of(pid)?;
    permit(owns(&task::credentials(), &thread.credentials()))?;
    let wanted = u64::from_le_bytes(bytes) & task::online_cpus();
    if wanted == 0 {
        return Err(Errno::EINVAL);
    }
    task::set_affinity(&thread, wanted);
    Ok(0)
}

/// `sched_getaffinity(2)`: gives the bytes written, one word.
pub fn sched_getaffinity(pid: i32, size: usize, mask: UserPointer) -> Result<usize, Errno> {
    if size == 0 || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let thread = thread_of(pid)?;
    write_object(mask, &(thread.entity.affinity() & task::online_cpus()))?;
    Ok(8)
}

/// `getcpu(2)`
pub fn getcpu(cpu: UserPointer, node: UserPointer) -> Result<usize, Errno> {
    if !cpu.is_null() {
        write_object(cpu, &(arch::cpu_index() as u32))?;
    }
    if !node.is_null() {
        write_object(node, &0u32)?;
    }
    Ok(0)
}

/// Set in a policy: threads that this one makes do not inherit it.
const RESET_ON_FORK: u32 = 0x4000_0000;
/// `SCHED_DEADLINE`, which is not offered.
const DEADLINE: u32 = 6;

fn policy_of(number: u32) -> Result<Policy, Errno> {
    if number == DEADLINE {
        crate::warning_once!("SCHED_DEADLINE is not offered: sched_setattr answers EINVAL");
    }
    Policy::from_number(number).ok_or(Errno::EINVAL)
}

/// Changes policy and priority; the numbers are checked as `sched_setscheduler(2)` does.
fn change_policy(thread: &Arc<Thread>, policy: u32, priority: i32, nice: i32) -> Result<(), Errno> {
    let resets = policy & RESET_ON_FORK != 0;
    let policy = policy_of(policy & !RESET_ON_FORK)?;
    let valid = if policy.is_real_time() { 1..=99 } else { 0..=0 };
    if !valid.contains(&priority) {
        return Err(Errno::EINVAL);
    }
    check_change(thread, policy, resets, priority, nice)?;
    thread.entity.set_reset_on_fork(resets);
    task::set_policy(thread, policy, priority as u8);
    Ok(())
}

/// `sched_setscheduler(2)`
pub fn sched_setscheduler(pid: i32, policy: i32, parameters: UserPointer) -> Result<usize, Errno> {
    if parameters.is_null() || pid < 0 || policy < 0 {
        return Err(Errno::EINVAL);
    }
    let priority: i32 = read_object(parameters)?;
    let thread = thread_of(pid)?;
    change_policy(&thread, policy as u32, priority, thread.entity.nice().into())?;
    Ok(0)
}

/// `sched_getscheduler(2)`
pub fn sched_getscheduler(pid: i32) -> Result<usize, Errno> {
    if pid < 0 {
        return Err(Errno::EINVAL);
    }
    let thread = thread_of(pid)?;
    let flag = if thread.entity.resets_on_fork() {
        RESET_ON_FORK
    } else {
        0
    };
    Ok((thread.entity.policy().0 as u32 | flag) as usize)
}

/// `sched_setparam(2)`
pub fn sched_setparam(pid: i32, parameters: UserPointer) -> Result<usize, Errno> {
    if parameters.is_null() || pid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority: i32 = read_object(parameters)?;
    let thread = thread_of(pid)?;
    let (policy, _) = thread.entity.policy();
    let flag = if thread.entity.resets_on_fork() {
        RESET_ON_FORK
    } else {
        0
    };
    change_policy(&thread, policy as u32 | flag, priority, thread.entity.nice().into())?;
    Ok(0)
}

/// `sched_getparam(2)`
pub fn sched_getparam(pid: i32, parameters: UserPointer) -> Result<usize, Errno> {
    if parameters.is_null() || pid < 0 {
        return Err(Errno::EINVAL);
    }
    let thread = thread_of(pid)?;
    write_object(parameters, &i32::from(thread.entity.policy().1))?;
    Ok(0)
}

/// `sched_get_priority_max(2)`
pub fn sched_get_priority_max(policy: i32) -> Result<usize, Errno> {
    match policy {
        1 | 2 => Ok(99),
        0 | 3 | 5 | 6 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// `sched_get_priority_min(2)`
pub fn sched_get_priority_min(policy: i32) -> Result<usize, Errno> {
    match policy {
        1 | 2 => Ok(1),
        0 | 3 | 5 | 6 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// `sched_rr_get_interval(2)`
pub fn sched_rr_get_interval(pid: i32, interval: UserPointer) -> Result<usize, Errno> {
    if pid < 0 {
        return Err(Errno::EINVAL);
    }
    let thread = thread_of(pid)?;
    let nanoseconds = match thread.entity.policy().0 {
        Policy::FirstInFirstOut => 0,
        _ => task::SLICE,
    };
    write_object(interval, &Timespec::from_nanoseconds(nanoseconds))?;
    Ok(0)
}

/// `struct sched_attr`
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    least_utilisation: u32,
    greatest_utilisation: u32,
}

/// Size of the first version of `struct sched_attr`.
const FIRST_SIZE: u32 = 48;
const FLAG_RESET_ON_FORK: u64 = 1;
const FLAG_KEEP_POLICY: u64 = 8;
const FLAG_KEEP_PARAMETERS: u64 = 16;

/// `sched_setattr(2)`
pub fn sched_setattr(pid: i32, attributes: UserPointer, flags: u32) -> Result<usize, Errno> {
    const NEWEST: u32 = size_of::<Attributes>() as u32;
    if attributes.is_null() || pid < 0 || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let size = match read_object::<u32>(attributes)? {
        0 => FIRST_SIZE,
        size => size,
    };
    if !(FIRST_SIZE..=4096).contains(&size) {
        write_object(attributes, &NEWEST)?;
        return Err(Errno::E2BIG);
    }
    let mut bytes = [0; NEWEST as usize];
    copy_from_user(&mut bytes[..size.min(NEWEST) as usize], attributes)?;
    for offset in NEWEST..size {
        if read_object::<u8>(attributes.offset(u64::from(offset)))? != 0 {
            write_object(attributes, &NEWEST)?;
            return Err(Errno::E2BIG);
        }
    }
    let wanted: Attributes = zerocopy::transmute!(bytes);
    if wanted.flags & !(FLAG_RESET_ON_FORK | FLAG_KEEP_POLICY | FLAG_KEEP_PARAMETERS) != 0 {
        return Err(Errno::EINVAL);
    }
    let thread = thread_of(pid)?;
    let (policy, priority) = thread.entity.policy();
    let new_policy = match wanted.flags & FLAG_KEEP_POLICY {
        0 => wanted.policy,
        _ => policy as u32,
    };
    let (new_priority, nice) = match wanted.flags & FLAG_KEEP_PARAMETERS {
        0 => (wanted.priority as i32, wanted.nice),
        _ => (i32::from(priority), i32::from(thread.entity.nice())),
    };
    let reset = if wanted.flags & FLAG_RESET_ON_FORK != 0 {
        RESET_ON_FORK
    } else {
        0
    };
    let nice = nice.clamp(-20, 19);
    change_policy(&thread, new_policy | reset, new_priority, nice)?;
    if !policy_of(new_policy)?.is_real_time() {
        task::set_nice(&thread, nice as i8);
    }
    Ok(0)
}

/// `sched_getattr(2)`
pub fn sched_getattr(pid: i32, attributes: UserPointer, size: u32, flags: u32) -> Result<usize, Errno> {
    if attributes.is_null() || pid < 0 || flags != 0 || !(FIRST_SIZE..=4096).contains(&size) {
        return Err(Errno::EINVAL);
    }
    let thread = thread_of(pid)?;
    let (policy, priority) = thread.entity.policy();
    let fair = !policy.is_real_time();
    let known = (size as usize).min(size_of::<Attributes>());
    let answer = Attributes {
        size: known as u32,
        policy: policy as u32,
        flags: if thread.entity.resets_on_fork() {
            FLAG_RESET_ON_FORK
        } else {
            0
        },
        nice: if fair { i32::from(thread.entity.nice()) } else { 0 },
        priority: u32::from(priority),
        greatest_utilisation: 1024,
        ..Attributes::default()
    };
    // As on Linux (6.18), what is not known here is 0.
    let mut bytes = alloc::vec![0; size as usize];
    bytes[..known].copy_from_slice(&answer.as_bytes()[..known]);
    copy_to_user(attributes, &bytes)?;
    Ok(0)
}

const WHICH_PROCESS: i32 = 0;
const WHICH_GROUP: i32 = 1;
const WHICH_USER: i32 = 2;

/// Who has a nice value: a thread, or the first thread of a process, which has ended and was not waited for.
struct Sharer {
    process: Arc<Process>,
    thread: Option<Arc<Thread>>,
}

impl Sharer {
    fn of_thread(thread: Arc<Thread>) -> Self {
        Self {
            process: thread.process.clone(),
            thread: Some(thread),
        }
    }

    /// All of a process.
    fn of_process(process: &Arc<Process>) -> impl Iterator<Item = Self> {
        let threads = process.threads();
        let first_has_ended = !threads.iter().any(|thread| thread.id() == process.id);
        let ended = first_has_ended.then(|| Self {
            process: process.clone(),
            thread: None,
        });
        threads.into_iter().map(Self::of_thread).chain(ended)
    }

    fn with_number(number: i32) -> Result<Self, Errno> {
        if let Ok(thread) = thread_of(number) {
            return Ok(Self::of_thread(thread));
        }
        let process = task::find_process(number as u32).ok_or(Errno::ESRCH)?;
        Ok(Self { process, thread: None })
    }

    fn nice(&self) -> i32 {
        match &self.thread {
            Some(thread) => thread.entity.nice().into(),
            None => self.process.last_nice().into(),
        }
    }

    fn set_nice(&self, nice: i8) {
        match &self.thread {
            Some(thread) => task::set_nice(thread, nice),
            None => self.process.set_last_nice(nice),
        }
    }

    fn credentials(&self) -> Arc<Credentials> {
        match &self.thread {
            Some(thread) => thread.credentials(),
            None => self.process.credentials(),
        }
    }
}

/// Those that `getpriority(2)` means.
fn sharers(which: i32, who: i32) -> Result<Vec<Sharer>, Errno> {
    let process = task::current_process();
    let suits: &dyn Fn(&Process) -> bool = match which {
        WHICH_PROCESS => return Ok(alloc::vec![Sharer::with_number(who)?]),
        WHICH_GROUP => &|other| other.family.group() == if who == 0 { process.family.group() } else { who as u32 },
        WHICH_USER => {
            let user = if who == 0 {
                task::credentials().users[0]
            } else {
                who as u32
            };
            &move |other| other.real_user() == user
        }
        _ => return Err(Errno::EINVAL),
    };
    let found: Vec<_> = task::processes()
        .iter()
        .filter(|process| suits(process))
        .flat_map(Sharer::of_process)
        .collect();
    if found.is_empty() { Err(Errno::ESRCH) } else { Ok(found) }
}

/// `getpriority(2)`: gives 20 less the nice value, as the system call does.
pub fn getpriority(which: i32, who: i32) -> Result<usize, Errno> {
    let best = sharers(which, who)?.iter().map(|sharer| 20 - sharer.nice()).max();
    best.map(|value| value as usize).ok_or(Errno::ESRCH)
}

/// `setpriority(2)`
pub fn setpriority(which: i32, who: i32, nice: i32) -> Result<usize, Errno> {
    let nice = nice.clamp(-20, 19);
    let own = task::credentials();
    let change = |sharer: &Sharer| {
        let theirs = sharer.credentials();
        permit(owns(&own, &theirs))?;
        let lower = nice < sharer.nice() && !may_be_nice(&sharer.process, nice);
        permit(!lower).map_err(|_| Errno::EACCES)?;
        permit(theirs.capabilities.permitted & !own.capabilities.permitted == 0)?;
        sharer.set_nice(nice as i8);
        Ok(())
    };
    // All are tried; of several failures the last counts.
    let mut result = Ok(0);
    for sharer in sharers(which, who)? {
        if let Err(errno) = change(&sharer) {
            result = Err(errno);
        }
    }
    result
}

/// What `ioprio_set(2)` takes apart: the class is above these bits.
const IO_CLASS_SHIFT: u16 = 13;
/// Classes of input and output.
const IO_NONE: u16 = 0;
const IO_REAL_TIME: u16 = 1;
const IO_BEST_EFFORT: u16 = 2;
const IO_IDLE: u16 = 3;
/// Levels within a class.
const IO_LEVELS: u16 = 8;
/// `IOPRIO_WHO_PROCESS`; groups and users follow, in the order of `getpriority(2)`.
const IO_WHICH_PROCESS: i32 = 1;

/// The threads that `ioprio_get(2)` means.
fn threads_of_io(which: i32, who: i32) -> Result<Vec<Arc<Thread>>, Errno> {
    let sharers = sharers(which.checked_sub(IO_WHICH_PROCESS).ok_or(Errno::EINVAL)?, who)?;
    let threads: Vec<_> = sharers.into_iter().filter_map(|sharer| sharer.thread).collect();
    if threads.is_empty() {
        Err(Errno::ESRCH)
    } else {
        Ok(threads)
    }
}

/// The priority that a thread's input and output has: without one of its own, it follows from the nice value.
fn effective_io_priority(thread: &Thread) -> u16 {
    let own = thread.io_priority.load(Ordering::Relaxed);
    if own >> IO_CLASS_SHIFT != IO_NONE {
        return own;
    }
    let class = match thread.entity.policy().0 {
        Policy::Idle => IO_IDLE,
        policy if policy.is_real_time() => IO_REAL_TIME,
        _ => IO_BEST_EFFORT,
    };
    let level = (i32::from(thread.entity.nice()) + 20) / 5;
    class << IO_CLASS_SHIFT | level as u16
}

/// `ioprio_get(2)`. Of one thread it tells what was set, of several the best that any of them has.
pub fn ioprio_get(which: i32, who: i32) -> Result<usize, Errno> {
    let threads = threads_of_io(which, who)?;
    let priority = match (which, &threads[..]) {
        (IO_WHICH_PROCESS, [thread]) => Some(thread.io_priority.load(Ordering::Relaxed)),
        _ => threads.iter().map(|thread| effective_io_priority(thread)).min(),
    };
    priority.map(usize::from).ok_or(Errno::ESRCH)
}

/// `ioprio_set(2)`. No device orders its work by it: files are in memory, where none waits.
pub fn ioprio_set(which: i32, who: i32, priority: i32) -> Result<usize, Errno> {
    let class = priority as u16 >> IO_CLASS_SHIFT;
    let level = priority as u16 & ((1 << IO_CLASS_SHIFT) - 1);
    match class {
        IO_REAL_TIME if !task::has_capability(Capabilities::ADMINISTRATION | Capabilities::SCHEDULING) => {
            return Err(Errno::EPERM);
        }
        IO_REAL_TIME | IO_BEST_EFFORT if level < IO_LEVELS => {}
        IO_IDLE => {}
        IO_NONE if level == 0 => {}
        _ => return Err(Errno::EINVAL),
    }
    let own = task::credentials();
    for thread in threads_of_io(which, who)? {
        let theirs = thread.credentials();
        permit(own.users[..2].contains(&theirs.users[0]))?;
        permit(theirs.capabilities.permitted & !own.capabilities.permitted == 0)?;
        thread.io_priority.store(priority as u16, Ordering::Relaxed);
    }
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

/// `prctl(2)`
pub fn prctl(option: i32, second: u64, third: u64, fourth: u64, fifth: u64) -> Result<usize, Errno> {
    use linux_raw_sys::prctl as names;
    let switch = |flag: &AtomicBool| match second {
        0 | 1 => {
            flag.store(second == 1, Ordering::Relaxed);
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    };
    let thread = task::current();
    let (settings, family) = (&thread.process.settings, &thread.process.family);
    match option as u32 {
        names::PR_SET_CHILD_SUBREAPER => {
            family.takes_orphans.store(second != 0, Ordering::Relaxed);
            Ok(0)
        }
        names::PR_GET_CHILD_SUBREAPER => {
            let takes = i32::from(family.takes_orphans.load(Ordering::Relaxed));
            write_object(UserPointer(second), &takes)?;
            Ok(0)
        }
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
            family.parent_end_signal.store(second as u8, Ordering::Relaxed);
            Ok(0)
        }
        names::PR_GET_PDEATHSIG => {
            let signal = i32::from(family.parent_end_signal.load(Ordering::Relaxed));
            write_object(UserPointer(second), &signal)?;
            Ok(0)
        }
        names::PR_SET_THP_DISABLE => {
            if third != 0 || fourth != 0 || fifth != 0 {
                return Err(Errno::EINVAL);
            }
            thread.process.address_space().set_small_only(second != 0);
            Ok(0)
        }
        names::PR_GET_THP_DISABLE => {
            if second != 0 || third != 0 || fourth != 0 || fifth != 0 {
                return Err(Errno::EINVAL);
            }
            Ok(usize::from(thread.process.address_space().is_small_only()))
        }
        names::PR_SET_VMA if second == u64::from(names::PR_SET_VMA_ANON_NAME) => {
            super::memory::name_area(third, fourth, UserPointer(fifth))
        }
        names::PR_SET_DUMPABLE => switch(&settings.dumpable),
        names::PR_GET_DUMPABLE => Ok(usize::from(settings.dumpable.load(Ordering::Relaxed))),
        names::PR_SET_TIMERSLACK => {
            let slack = i32::try_from(second).unwrap_or(i32::MAX);
            settings
                .timer_slack
                .store(if slack <= 0 { 50_000 } else { slack }, Ordering::Relaxed);
            Ok(0)
        }
        names::PR_GET_TIMERSLACK => Ok(settings.timer_slack.load(Ordering::Relaxed) as usize),
        // Processor time is sampled, and whoever can tell the time may: there is nothing else to be chosen.
        names::PR_GET_TIMING => Ok(names::PR_TIMING_STATISTICAL as usize),
        names::PR_SET_TIMING if second == u64::from(names::PR_TIMING_STATISTICAL) => Ok(0),
        names::PR_GET_TSC => {
            write_object(UserPointer(second), &names::PR_TSC_ENABLE)?;
            Ok(0)
        }
        names::PR_SET_TSC if second == u64::from(names::PR_TSC_ENABLE) => Ok(0),
        names::PR_GET_SECCOMP => Ok(thread.seccomp.lock().mode().into()),
        names::PR_SET_SECCOMP => super::seccomp::set_mode(second, UserPointer(third)),
        names::PR_SET_SYSCALL_USER_DISPATCH => super::seccomp::set_own_calls(second, [third, fourth, fifth]),
        names::PR_GET_TID_ADDRESS => {
            write_object(UserPointer(second), &thread.clear_on_exit.load(Ordering::Relaxed))?;
            Ok(0)
        }
        option => super::capabilities::control(option, [second, third, fourth, fifth]).unwrap_or(Err(Errno::EINVAL)),
    }
}
