//! Threads: `clone(2)`, `exit(2)`, `futex(2)`, robust lists, `membarrier(2)`, `rseq(2)`.

use core::sync::atomic::Ordering;

use bitflags::bitflags;
use pith_linux::Errno;
use pith_linux::signal::Signal;
use pith_linux::time::Timespec;
use zerocopy::FromBytes;

use super::descriptors::check_newer_part;
use super::{Answer, Reply};
use crate::arch::layout::PROGRAM_END;
use crate::arch::{self, Registers};
use crate::fs::{context, permission};
use crate::memory::{UserPointer, copy_from_user, read_object, write_object};
use crate::task::futex::{self, Deadline, Space};
use crate::task::threads::{self, NewThread};
use crate::task::{self, Capabilities, Instant, restartable};

bitflags! {
    /// Flags of `clone(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct CloneFlags: u64 {
        const VM = 0x100;
        const FS = 0x200;
        const FILES = 0x400;
        const SIGHAND = 0x800;
        const PIDFD = 0x1000;
        const PTRACE = 0x2000;
        const VFORK = 0x4000;
        const PARENT = 0x8000;
        const THREAD = 0x1_0000;
        const NEWNS = 0x2_0000;
        const SYSVSEM = 0x4_0000;
        const SETTLS = 0x8_0000;
        const PARENT_SETTID = 0x10_0000;
        const CHILD_CLEARTID = 0x20_0000;
        const DETACHED = 0x40_0000;
        const UNTRACED = 0x80_0000;
        const CHILD_SETTID = 0x100_0000;
        const NEWCGROUP = 0x200_0000;
        const NEWUTS = 0x400_0000;
        const NEWIPC = 0x800_0000;
        const NEWUSER = 0x1000_0000;
        const NEWPID = 0x2000_0000;
        const NEWNET = 0x4000_0000;
        const IO = 0x8000_0000;
        const CLEAR_SIGHAND = 0x1_0000_0000;
        const INTO_CGROUP = 0x2_0000_0000;
    }
}

/// `struct clone_args`, version 3.
#[derive(Clone, Copy, Default, FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C)]
pub(super) struct CloneArguments {
    flags: u64,
    pub(super) pidfd: u64,
    child_tid: u64,
    pub(super) parent_tid: u64,
    pub(super) exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

impl CloneArguments {
    /// Those of a child without anything unusual: its end is told by `SIGCHLD`.
    pub(super) fn for_child() -> Self {
        Self {
            exit_signal: Signal::SIGCHLD.number().into(),
            ..Self::default()
        }
    }
}

/// The number that a new thread is to have by `set_tid` of `clone3(2)`, which has one for each namespace: there is one. 0 for
/// any number.
///
/// # Errors
/// `EFAULT`; `EINVAL` for more namespaces and for what can't be a number; `EPERM`.
fn chosen_number(arguments: &CloneArguments) -> Result<u32, Errno> {
    if arguments.set_tid_size == 0 {
        return Ok(0);
    }
    if arguments.set_tid_size != 1 {
        return Err(Errno::EINVAL);
    }
    let number: u32 = read_object(UserPointer(arguments.set_tid))?;
    if number == 0 || number >= threads::MAXIMUM_NUMBER {
        return Err(Errno::EINVAL);
    }
    permission::require(Capabilities::RESTORE | Capabilities::ADMINISTRATION)?;
    Ok(number)
}

impl NewThread {
    /// The thread that these arguments ask for: it goes on where the current one is.
    ///
    /// # Errors
    /// `EPERM` for a thread pointer in the kernel's half; what is wrong with the number that is asked for (`EFAULT`, `EINVAL`,
    /// `EPERM`).
    pub(super) fn of(registers: &Registers, flags: CloneFlags, arguments: &CloneArguments) -> Result<Self, Errno> {
        let thread_pointer = if flags.contains(CloneFlags::SETTLS) {
            if arguments.tls >= PROGRAM_END {
                return Err(Errno::EPERM);
            }
            arguments.tls
        } else {
            arch::thread_pointer()
        };
        let mut child = *registers;
        child.rax = 0;
        if arguments.stack != 0 {
            child.rsp = arguments.stack;
        }
        let place = |flag: CloneFlags, address: u64| UserPointer(if flags.contains(flag) { address } else { 0 });
        Ok(Self {
            registers: child,
            thread_pointer,
            number_for_parent: place(CloneFlags::PARENT_SETTID, arguments.parent_tid),
            number_for_child: place(CloneFlags::CHILD_SETTID, arguments.child_tid),
            clear_on_exit: place(CloneFlags::CHILD_CLEARTID, arguments.child_tid).0,
            number: chosen_number(arguments)?,
        })
    }
}

/// Size of the first version of `struct clone_args`.
const FIRST_SIZE: usize = 64;

/// `clone(2)`
pub fn clone(registers: &mut Registers, flags: u64, stack: u64, parent_tid: u64, child_tid: u64, tls: u64) -> Answer {
    /// The lowest byte is the signal at the end.
    const SIGNAL: u64 = 0xff;
    let arguments = CloneArguments {
        flags: flags & 0xffff_ffff & !SIGNAL,
        // One place for both, of which only one can be asked for.
        pidfd: parent_tid,
        child_tid,
        parent_tid,
        exit_signal: flags & SIGNAL,
        stack,
        tls,
        ..CloneArguments::default()
    };
    let both = (CloneFlags::PIDFD | CloneFlags::PARENT_SETTID).bits();
    if flags & both == both {
        return Err(Errno::EINVAL);
    }
    make_thread(registers, &arguments)
}

/// `clone3(2)`
pub fn clone3(registers: &mut Registers, arguments: UserPointer, size: usize) -> Answer {
    const NEWEST: usize = size_of::<CloneArguments>();
    if size < FIRST_SIZE {
        return Err(Errno::EINVAL);
    }
    if size > crate::memory::PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    let mut bytes = [0; NEWEST];
    let known = size.min(NEWEST);
    copy_from_user(&mut bytes[..known], arguments)?;
    check_newer_part(arguments, NEWEST, size)?;
    let mut arguments: CloneArguments = zerocopy::transmute!(bytes);
    if arguments.exit_signal > 64 || CloneFlags::from_bits(arguments.flags).is_none() {
        return Err(Errno::EINVAL);
    }
    if arguments.flags & CloneFlags::DETACHED.bits() != 0 {
        return Err(Errno::EINVAL);
    }
    if (arguments.stack == 0) != (arguments.stack_size == 0) {
        return Err(Errno::EINVAL);
    }
    let is_thread = arguments.flags & (CloneFlags::THREAD | CloneFlags::PARENT).bits() != 0;
    if is_thread && arguments.exit_signal != 0 {
        return Err(Errno::EINVAL);
    }
    if (arguments.set_tid == 0) != (arguments.set_tid_size == 0) {
        return Err(Errno::EINVAL);
    }
    arguments.stack = arguments.stack.wrapping_add(arguments.stack_size);
    make_thread(registers, &arguments)
}

fn make_thread(registers: &mut Registers, arguments: &CloneArguments) -> Answer {
    let flags = CloneFlags::from_bits_truncate(arguments.flags);
    let lacks = |flag: CloneFlags, needed: CloneFlags| flags.contains(flag) && !flags.contains(needed);
    if lacks(CloneFlags::THREAD, CloneFlags::SIGHAND)
        || lacks(CloneFlags::SIGHAND, CloneFlags::VM)
        || flags.contains(CloneFlags::CLEAR_SIGHAND | CloneFlags::SIGHAND)
        || flags.contains(CloneFlags::NEWNS | CloneFlags::FS)
        || flags.contains(CloneFlags::THREAD | CloneFlags::PIDFD)
    {
        return Err(Errno::EINVAL);
    }
    if flags.contains(CloneFlags::PIDFD | CloneFlags::DETACHED)
        || flags.contains(CloneFlags::NEWUSER | CloneFlags::FS)
        || flags.contains(CloneFlags::THREAD) && flags.intersects(CloneFlags::NEWUSER | CloneFlags::NEWPID)
    {
        return Err(Errno::EINVAL);
    }
    if !flags.contains(CloneFlags::THREAD) {
        return super::processes::start(registers, flags, arguments);
    }
    let new = NewThread::of(registers, flags, arguments)?;
    let own = context::for_new_thread(flags.contains(CloneFlags::FILES), flags.contains(CloneFlags::FS))?;
    let number = threads::create(&new, own)?;
    Ok(Reply::Value(number as usize))
}

/// `exit(2)`: the thread ends, and with the last one the process.
pub fn exit(status: i32) -> Result<usize, Errno> {
    threads::exit_current(status as u8)
}

/// `set_tid_address(2)`
pub fn set_tid_address(address: UserPointer) -> Result<usize, Errno> {
    let thread = task::current();
    thread.clear_on_exit.store(address.0, Ordering::Relaxed);
    Ok(thread.id() as usize)
}

/// Bytes of `struct robust_list_head`.
const ROBUST_HEAD_SIZE: usize = 24;

/// `set_robust_list(2)`
pub fn set_robust_list(head: UserPointer, size: usize) -> Result<usize, Errno> {
    if size != ROBUST_HEAD_SIZE {
        return Err(Errno::EINVAL);
    }
    task::current().robust_list.store(head.0, Ordering::Relaxed);
    Ok(0)
}

/// `get_robust_list(2)`
pub fn get_robust_list(pid: i32, head: UserPointer, size: UserPointer) -> Result<usize, Errno> {
    let thread = super::scheduling::thread_of(pid)?;
    write_object(size, &(ROBUST_HEAD_SIZE as u64))?;
    write_object(head, &thread.robust_list.load(Ordering::Relaxed))?;
    Ok(0)
}

/// `rseq(2)`
pub fn rseq(area: u64, size: u32, flags: i32, signature: u64) -> Result<usize, Errno> {
    const UNREGISTER: i32 = 1;
    let (thread, signature) = (task::current(), signature as u32);
    match flags {
        0 => restartable::register(&thread, area, size, signature)?,
        UNREGISTER => restartable::unregister(&thread, area, size, signature)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// `membarrier(2)`: all threads of the program that run now pass a memory barrier before this returns.
pub fn membarrier(command: i32, flags: u32, cpu: i32) -> Result<usize, Errno> {
    const QUERY: i32 = 0;
    const GLOBAL: i32 = 1;
    const GLOBAL_EXPEDITED: i32 = 2;
    const REGISTER_GLOBAL: i32 = 4;
    const PRIVATE: i32 = 8;
    const REGISTER_PRIVATE: i32 = 16;
    const PRIVATE_CORE: i32 = 32;
    const REGISTER_PRIVATE_CORE: i32 = 64;
    const PRIVATE_RSEQ: i32 = 128;
    const REGISTER_PRIVATE_RSEQ: i32 = 256;
    const TELL_REGISTRATIONS: i32 = 512;
    const ALL: i32 = 0x3ff;
    const FLAG_CPU: u32 = 1;

    let process = task::current_process();
    let registered = &process.settings.barriers;
    let one_cpu = flags == FLAG_CPU && command == PRIVATE_RSEQ;
    if flags != 0 && !one_cpu {
        return Err(Errno::EINVAL);
    }
    let needs = |registration: i32| {
        if registered.load(Ordering::Relaxed) & registration as u32 == 0 {
            Err(Errno::EPERM)
        } else {
            Ok(())
        }
    };
    match command {
        QUERY => return Ok(ALL as usize),
        TELL_REGISTRATIONS => return Ok(registered.load(Ordering::Relaxed) as usize),
        REGISTER_GLOBAL | REGISTER_PRIVATE | REGISTER_PRIVATE_CORE | REGISTER_PRIVATE_RSEQ => {
            registered.fetch_or(command as u32, Ordering::Relaxed);
            return Ok(0);
        }
        GLOBAL | GLOBAL_EXPEDITED => {}
        PRIVATE => needs(REGISTER_PRIVATE)?,
        PRIVATE_CORE => needs(REGISTER_PRIVATE_CORE)?,
        PRIVATE_RSEQ => needs(REGISTER_PRIVATE_RSEQ)?,
        _ => return Err(Errno::EINVAL),
    }
    if command == PRIVATE_RSEQ {
        // Sequences that run now on other processors start again.
        let only = one_cpu.then_some(cpu);
        for thread in process.threads() {
            if only.is_none_or(|cpu| cpu == thread.entity.cpu() as i32) {
                thread.look_at_sequence();
            }
        }
    }
    // An interrupt and the return from it order memory and instructions of the processor that takes it.
    arch::synchronise_processors(task::online_cpus());
    Ok(0)
}

const WAIT: i32 = 0;
const WAKE: i32 = 1;
const REQUEUE: i32 = 3;
const CMP_REQUEUE: i32 = 4;
const WAKE_OP: i32 = 5;
const LOCK_PI: i32 = 6;
const UNLOCK_PI: i32 = 7;
const TRYLOCK_PI: i32 = 8;
const WAIT_BITSET: i32 = 9;
const WAKE_BITSET: i32 = 10;
const WAIT_REQUEUE_PI: i32 = 11;
const CMP_REQUEUE_PI: i32 = 12;
const LOCK_PI2: i32 = 13;
const PRIVATE: i32 = 128;
const REALTIME: i32 = 256;

/// `futex(2)`
pub fn futex(
    address: u64,
    operation: i32,
    value: u32,
    timeout: UserPointer,
    address2: u64,
    value3: u32,
) -> Result<usize, Errno> {
    let real_time = operation & REALTIME != 0;
    let command = operation & !(PRIVATE | REALTIME);
    if real_time && !matches!(command, WAIT_BITSET | WAIT_REQUEUE_PI | LOCK_PI2) {
        return Err(Errno::ENOSYS);
    }
    let space = if operation & PRIVATE != 0 {
        Space::Private
    } else {
        Space::Shared
    };
    // Where no time is expected the argument is a second count.
    let second_count = timeout.0 as u32;
    let timed = matches!(command, WAIT | WAIT_BITSET | LOCK_PI | LOCK_PI2);
    let deadline = || -> Result<Option<Deadline>, Errno> {
        if timeout.is_null() || !timed {
            return Ok(None);
        }
        let time = read_object::<Timespec>(timeout)?.to_nanoseconds()?;
        Ok(Some(match command {
            WAIT => Deadline::new(task::monotonic().after(time), true),
            // The only one of the old operations whose time is always the wall clock's.
            LOCK_PI => Deadline::new(task::monotonic_at(time), false),
            _ if real_time => Deadline::new(task::monotonic_at(time), false),
            _ => Deadline::new(Instant(time), false),
        }))
    };
    let deadline = deadline()?;
    let attempt = || match command {
        WAIT => futex::wait(address, space, value, u32::MAX, deadline),
        WAIT_BITSET => futex::wait(address, space, value, value3, deadline),
        WAKE => futex::wake(address, space, value, u32::MAX),
        WAKE_BITSET => futex::wake(address, space, value, value3),
        REQUEUE => futex::requeue(address, address2, space, value, second_count, None),
        CMP_REQUEUE => futex::requeue(address, address2, space, value, second_count, Some(value3)),
        WAKE_OP => futex::wake_operation(address, address2, space, value, second_count, value3),
        LOCK_PI | LOCK_PI2 => futex::lock_pi(address, space, deadline),
        TRYLOCK_PI => futex::try_lock_pi(address, space),
        UNLOCK_PI => futex::unlock_pi(address, space),
        WAIT_REQUEUE_PI | CMP_REQUEUE_PI => {
            crate::warning_once!("futex requeueing to a lock with priority inheritance answers ENOSYS");
            Err(Errno::ENOSYS)
        }
        _ => Err(Errno::ENOSYS),
    };
    let writes = matches!(command, LOCK_PI | LOCK_PI2 | TRYLOCK_PI | UNLOCK_PI);
    let words = [(address, writes), (address2, true)];
    touching(&words[..if command == WAKE_OP { 2 } else { 1 }], attempt)
}

/// Does something with words of which pages may be missing that a watcher of faults has to provide: they are touched with no
/// lock held, for writing if that is said, and it is done again.
fn touching(words: &[(u64, bool)], mut attempt: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        let result = attempt();
        if result != Err(Errno::EFAULT) || !task::current().take_unwaited_fault() {
            return result;
        }
        for (address, writes) in words {
            futex::touch(*address, *writes)?;
        }
    }
}

/// `struct futex_waitv`
#[derive(Clone, Copy, FromBytes, zerocopy::IntoBytes)]
#[repr(C)]
struct WaitVector {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// `FUTEX2_SIZE_U32`: the only size of words.
const SIZE_U32: u32 = 2;
/// `FUTEX2_PRIVATE`
const FLAG_PRIVATE: u32 = 128;
/// `FUTEX2_SIZE_MASK`
const SIZE_MASK: u32 = 3;

/// Where a word is, by its flags.
fn space_of(flags: u32) -> Result<Space, Errno> {
    match flags & !FLAG_PRIVATE {
        SIZE_U32 if flags & FLAG_PRIVATE != 0 => Ok(Space::Private),
        SIZE_U32 => Ok(Space::Shared),
        _ => Err(Errno::EINVAL),
    }
}

/// A number that a word of 32 bits can have.
fn word(value: u64) -> Result<u32, Errno> {
    u32::try_from(value).map_err(|_| Errno::EINVAL)
}

/// When a call has to end, by a clock; `None` if never.
fn deadline_of(timeout: UserPointer, clock: i32) -> Result<Option<Instant>, Errno> {
    const CLOCK_REALTIME: i32 = 0;
    const CLOCK_MONOTONIC: i32 = 1;
    if timeout.is_null() {
        return Ok(None);
    }
    if clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC {
        return Err(Errno::EINVAL);
    }
    let time = read_object::<Timespec>(timeout)?.to_nanoseconds()?;
    Ok(Some(match clock {
        CLOCK_REALTIME => task::monotonic_at(time),
        _ => Instant(time),
    }))
}

/// Reads what `futex_waitv` and `futex_requeue` know about words.
fn read_waiters(waiters: UserPointer, count: u64) -> Result<alloc::vec::Vec<(u64, Space, u32)>, Errno> {
    let mut wanted = alloc::vec::Vec::new();
    for index in 0..count {
        let waiter: WaitVector = read_object(waiters.offset(index * size_of::<WaitVector>() as u64))?;
        if waiter.flags & !(SIZE_MASK | FLAG_PRIVATE) != 0 || waiter.reserved != 0 {
            return Err(Errno::EINVAL);
        }
        wanted.push((waiter.address, space_of(waiter.flags)?, word(waiter.value)?));
    }
    Ok(wanted)
}

/// `futex_waitv(2)`
pub fn futex_waitv(
    waiters: UserPointer,
    count: u32,
    flags: u32,
    timeout: UserPointer,
    clock: i32,
) -> Result<usize, Errno> {
    const MOST: u32 = 128;
    if flags != 0 || count == 0 || count > MOST || waiters.is_null() {
        return Err(Errno::EINVAL);
    }
    let deadline = deadline_of(timeout, clock)?;
    let wanted = read_waiters(waiters, count.into())?;
    let mut words = alloc::vec::Vec::new();
    words.extend(wanted.iter().map(|(address, ..)| (*address, false)));
    touching(&words, || futex::wait_many(&wanted, deadline))
}

/// `futex_wake(2)`: wakes those who wait for any of some bits.
pub fn futex_wake(address: u64, mask: u64, count: i32, flags: u32) -> Result<usize, Errno> {
    let (space, mask) = (space_of(flags)?, word(mask)?);
    if mask == 0 {
        return Err(Errno::EINVAL);
    }
    if count == 0 {
        return Ok(0);
    }
    touching(&[(address, false)], || futex::wake(address, space, count as u32, mask))
}

/// `futex_wait(2)`: waits as long as a word has a value, for a wake-up with any of some bits.
pub fn futex_wait(
    address: u64,
    value: u64,
    mask: u64,
    flags: u32,
    timeout: UserPointer,
    clock: i32,
) -> Result<usize, Errno> {
    let (space, value, mask) = (space_of(flags)?, word(value)?, word(mask)?);
    let deadline = deadline_of(timeout, clock)?.map(|at| Deadline::new(at, false));
    touching(&[(address, false)], || {
        futex::wait(address, space, value, mask, deadline)
    })
}

/// `futex_requeue(2)`: wakes some who wait for the first of two words, and lets others wait for the second.
pub fn futex_requeue(waiters: UserPointer, flags: u32, wake: i32, requeue: i32) -> Result<usize, Errno> {
    if flags != 0 || waiters.is_null() {
        return Err(Errno::EINVAL);
    }
    let [(from, space, value), (to, other_space, _)] = read_waiters(waiters, 2)?[..] else {
        return Err(Errno::EINVAL);
    };
    if wake < 0 || requeue < 0 {
        return Err(Errno::EINVAL);
    }
    if space != other_space {
        crate::warning_once!("futex_requeue from a private word to a shared one, or back, answers EINVAL");
        return Err(Errno::EINVAL);
    }
    touching(&[(from, false), (to, false)], || {
        futex::requeue(from, to, space, wake as u32, requeue as u32, Some(value))
    })
}
