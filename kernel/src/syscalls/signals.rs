//! Signals: `sigaction(2)`, `sigprocmask(2)`, `kill(2)` and their kin.

use core::sync::atomic::Ordering;

use alloc::sync::Arc;

use pith_linux::Errno;
use pith_linux::files::OpenFlags;
use pith_linux::signal::{SET_SIZE, Signal, SignalAction, SignalInformation, SignalStack, UNBLOCKABLE, code};
use pith_linux::time::Timespec;

use super::Reply;
use crate::arch::Registers;
use crate::fs::{context, proc, process_file, signal_file};
use crate::memory::{UserPointer, read_object, write_object};
use crate::task::signal::{self, Restart};
use crate::task::{self, Capabilities, Process, Thread, WaitError, family};

fn check_size(size: usize) -> Result<(), Errno> {
    if size == SET_SIZE { Ok(()) } else { Err(Errno::EINVAL) }
}

/// `rt_sigaction(2)`
pub fn rt_sigaction(number: i32, new: UserPointer, old: UserPointer, size: usize) -> Result<usize, Errno> {
    check_size(size)?;
    let action = if new.is_null() {
        None
    } else {
        Some(read_object::<SignalAction>(new)?)
    };
    let signal = signal_number(number)?;
    if action.is_some() && signal.bit() & UNBLOCKABLE != 0 {
        return Err(Errno::EINVAL);
    }
    let process = task::current_process();
    let previous = match action {
        Some(action) => signal::set_action(&process, signal, action),
        None => process.actions.lock().get(signal),
    };
    if !old.is_null() {
        write_object(old, &previous)?;
    }
    Ok(0)
}

fn signal_number(number: i32) -> Result<Signal, Errno> {
    u64::try_from(number)
        .ok()
        .and_then(Signal::from_number)
        .ok_or(Errno::EINVAL)
}

/// `rt_sigprocmask(2)`
pub fn rt_sigprocmask(how: i32, set: UserPointer, old: UserPointer, size: usize) -> Result<usize, Errno> {
    check_size(size)?;
    let thread = task::current();
    let before = thread.blocked.load(Ordering::Relaxed);
    if !set.is_null() {
        let set: u64 = read_object(set)?;
        let mask = match how {
            0 => before | set,
            1 => before & !set,
            2 => set,
            _ => return Err(Errno::EINVAL),
        };
        signal::set_blocked(&thread, mask);
    }
    if !old.is_null() {
        write_object(old, &before)?;
    }
    Ok(0)
}

/// `rt_sigreturn(2)`
pub fn rt_sigreturn(registers: &mut Registers) -> Result<Reply, Errno> {
    signal::return_from_handler(registers);
    Ok(Reply::Replaced)
}

/// `rt_sigpending(2)`
pub fn rt_sigpending(set: UserPointer, size: usize) -> Result<usize, Errno> {
    if size > SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let thread = task::current();
    let pending = (thread.process.pending.set() | thread.pending.set()) & thread.blocked.load(Ordering::Relaxed);
    crate::memory::copy_to_user(set, &pending.to_le_bytes()[..size])?;
    Ok(0)
}

/// Waits for a signal, for ever.
fn wait_for_signal() -> Result<usize, Errno> {
    let ended = task::wait_any(&[], None, || None::<usize>);
    signal::set_restart(Restart::IfNoHandlerRuns);
    match ended {
        Ok(value) => Ok(value),
        Err(WaitError::Interrupted | WaitError::TimedOut) => Err(Errno::EINTR),
    }
}

/// `restart_syscall(2)`: calls start again by being made again here, so there is never anything to go on with.
pub fn restart_syscall() -> Result<usize, Errno> {
    Err(Errno::EINTR)
}

/// `pause(2)`
pub fn pause() -> Result<usize, Errno> {
    wait_for_signal()
}

/// `rt_sigsuspend(2)`
pub fn rt_sigsuspend(set: UserPointer, size: usize) -> Result<usize, Errno> {
    check_size(size)?;
    let mask: u64 = read_object(set)?;
    signal::with_mask(Some(mask), wait_for_signal)
}

/// `rt_sigtimedwait(2)`
pub fn rt_sigtimedwait(
    set: UserPointer,
    information: UserPointer,
    timeout: UserPointer,
    size: usize,
) -> Result<usize, Errno> {
    check_size(size)?;
    let set = read_object::<u64>(set)? & !UNBLOCKABLE;
    let deadline = if timeout.is_null() {
        None
    } else {
        let duration = read_object::<Timespec>(timeout)?.to_nanoseconds()?;
        Some(task::monotonic().after(duration))
    };
    let thread = task::current();
    let queue = &thread.process.signal_queue;
    let waited = queue.wait_until(deadline, || signal::take_pending(&thread, set));
    signal::set_restart(Restart::Never);
    let (_, found) = match waited {
        Ok(taken) => taken,
        Err(WaitError::TimedOut) => return Err(Errno::EAGAIN),
        Err(WaitError::Interrupted) => return Err(Errno::EINTR),
    };
    if !information.is_null() {
        write_object(information, &found)?;
    }
    Ok(found.signal as usize)
}

/// `sigaltstack(2)`
pub fn sigaltstack(registers: &mut Registers, new: UserPointer, old: UserPointer) -> Result<Reply, Errno> {
    let thread = task::current();
    let new = if new.is_null() {
        None
    } else {
        Some(read_object::<SignalStack>(new)?)
    };
    let before = signal::alternate_stack(&thread, registers.rsp);
    if let Some(new) = new {
        signal::set_alternate_stack(&thread, new, registers.rsp)?;
    }
    if !old.is_null() {
        write_object(old, &before)?;
    }
    Ok(Reply::Value(0))
}

/// Sends signal `number`, or only checks it if it is 0.
fn send(process: &Process, number: i32, information: impl Fn(Signal) -> SignalInformation) -> Result<usize, Errno> {
    if number != 0 {
        let signal = signal_number(number)?;
        signal::send(process, signal, information(signal))?;
    }
    Ok(0)
}

fn from_self(process: &Process, code: i32) -> impl Fn(Signal) -> SignalInformation {
    let (process, user) = (process.id, task::credentials().users[0]);
    move |signal| SignalInformation::sent(signal, code, process, user)
}

/// Refuses a signal that there is not, and one that the current process may not send to another one, or to a thread of it,
/// whose real and saved users these are. `number` 0 only asks.
fn check_signal(target: &Process, theirs: [u32; 2], number: i32) -> Result<(), Errno> {
    if number != 0 {
        signal_number(number)?;
    }
    let own = task::current_process();
    if own.id == target.id {
        return Ok(());
    }
    let credentials = task::credentials();
    // Real or effective user here, real or saved user there.
    let allowed = credentials.has(Capabilities::KILL)
        || credentials.users[..2].iter().any(|user| theirs.contains(user))
        || number == i32::from(Signal::SIGCONT.number()) && own.family.session() == target.family.session();
    allowed.then_some(()).ok_or(Errno::EPERM)
}

/// As [`send`], if the current process may do that.
fn send_if_allowed(
    process: &Process,
    number: i32,
    information: impl Fn(Signal) -> SignalInformation,
) -> Result<usize, Errno> {
    check_signal(process, process.real_and_saved_users(), number)?;
    send(process, number, information)
}

/// The process of this number; as on Linux that of any of its threads does.
fn process_of(number: i32) -> Result<Arc<Process>, Errno> {
    task::find_process(number as u32)
        .or_else(|| task::find_thread(number as u32).map(|thread| thread.process.clone()))
        .ok_or(Errno::ESRCH)
}

/// `kill(2)`. Other than the first process of a container, which it resembles, number 1 is not spared the default actions
/// here: it is a program like any other.
pub fn kill(pid: i32, number: i32) -> Result<usize, Errno> {
    let own = task::current_process();
    let information = from_self(&own, code::SI_USER);
    if pid > 0 {
        return send_if_allowed(&*process_of(pid)?, number, information);
    }
    let own_group = own.family.group();
    let selected: &dyn Fn(&Process) -> bool = match pid {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => &|process| process.id != own.id && process.id != family::FIRST,
        0 => &|process| process.family.group() == own_group,
        group => &move |process| process.family.group() == group.unsigned_abs(),
    };
    // Each of them refuses one that there is not.
    let signal = signal_number(number).ok();
    // It is enough if one of them can be told; else the last error counts.
    let mut result = Err(Errno::ESRCH);
    family::tell_all(
        selected,
        signal,
        &mut |process| match send_if_allowed(process, number, &information) {
            Ok(_) => result = Ok(0),
            Err(Errno::EPERM) if pid == -1 => {}
            Err(errno) if result.is_err() => result = Err(errno),
            Err(_) => {}
        },
    );
    result
}

/// The thread that these numbers name.
fn find_thread(process: Option<i32>, thread: i32) -> Result<Arc<Thread>, Errno> {
    if thread <= 0 || process.is_some_and(|process| process <= 0) {
        return Err(Errno::EINVAL);
    }
    let found = task::find_thread(thread as u32).ok_or(Errno::ESRCH)?;
    if process.is_some_and(|process| process != found.process.id as i32) {
        return Err(Errno::ESRCH);
    }
    Ok(found)
}

/// Sends signal `number` to a thread, or only checks it if it is 0.
fn send_to_thread(
    thread: &Thread,
    number: i32,
    information: impl Fn(Signal) -> SignalInformation,
) -> Result<usize, Errno> {
    // Each thread may be somebody else.
    let theirs = thread.with_credentials(|own| [own.users[0], own.users[2]]);
    check_signal(&thread.process, theirs, number)?;
    if number != 0 {
        let signal = signal_number(number)?;
        signal::send_to_thread(thread, signal, information(signal))?;
    }
    Ok(0)
}

/// `tkill(2)`
pub fn tkill(thread: i32, number: i32) -> Result<usize, Errno> {
    let found = find_thread(None, thread)?;
    send_to_thread(&found, number, from_self(&task::current_process(), code::SI_TKILL))
}

/// `tgkill(2)`
pub fn tgkill(process: i32, thread: i32, number: i32) -> Result<usize, Errno> {
    let found = find_thread(Some(process), thread)?;
    send_to_thread(&found, number, from_self(&task::current_process(), code::SI_TKILL))
}

/// `rt_sigqueueinfo(2)`
pub fn rt_sigqueueinfo(process: i32, number: i32, information: UserPointer) -> Result<usize, Errno> {
    let information: SignalInformation = read_object(information)?;
    check_claim(process as u32, &information)?;
    if process <= 0 {
        return Err(Errno::ESRCH);
    }
    let target = process_of(process)?;
    send_if_allowed(&target, number, |signal| SignalInformation {
        signal: i32::from(signal.number()),
        ..information
    })
}

/// Only to itself may a thread say that the kernel or `kill` sent a signal. As on Linux, the number that is given must be the
/// thread's own: that of its process is another one's, unless the thread is the first.
fn check_claim(target: u32, information: &SignalInformation) -> Result<(), Errno> {
    let claims = information.code >= 0 || information.code == code::SI_TKILL;
    if claims && target != task::current().id() {
        Err(Errno::EPERM)
    } else {
        Ok(())
    }
}

/// `rt_tgsigqueueinfo(2)`
pub fn rt_tgsigqueueinfo(process: i32, thread: i32, number: i32, information: UserPointer) -> Result<usize, Errno> {
    let information: SignalInformation = read_object(information)?;
    if process <= 0 || thread <= 0 {
        return Err(Errno::EINVAL);
    }
    check_claim(thread as u32, &information)?;
    let found = find_thread(Some(process), thread)?;
    send_to_thread(&found, number, |signal| SignalInformation {
        signal: i32::from(signal.number()),
        ..information
    })
}

/// `pidfd_open(2)`
pub fn pidfd_open(pid: i32, flags: u32) -> Result<usize, Errno> {
    let nonblocking = OpenFlags::NONBLOCKING.bits();
    if flags & !nonblocking != 0 || pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let Some(process) = task::find_process(pid as u32) else {
        // A thread that is not the first has no descriptor of its own.
        let known = task::find_thread(pid as u32).is_some();
        return Err(if known { Errno::ENOENT } else { Errno::ESRCH });
    };
    let file = process_file::create(process, OpenFlags::from_bits_truncate(flags));
    let descriptor = context::current().add(file, true, 0)?;
    Ok(descriptor as usize)
}

/// `pidfd_send_signal(2)`
pub fn pidfd_send_signal(fd: i32, number: i32, information: UserPointer, flags: u32) -> Result<usize, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let process = if process_file::names_itself(fd) {
        task::current_process().clone()
    } else {
        let file = context::current().file(fd)?;
        match proc::process_of(&file)? {
            Some(process) => process,
            None => process_file::of(&file)?,
        }
    };
    // Until its parent has waited for it, it may be told what it will never hear.
    if !task::find_process(process.id).is_some_and(|known| Arc::ptr_eq(&known, &process)) {
        return Err(Errno::ESRCH);
    }
    if information.is_null() {
        return send_if_allowed(&process, number, from_self(&task::current_process(), code::SI_USER));
    }
    let information: SignalInformation = read_object(information)?;
    if information.signal != number {
        return Err(Errno::EINVAL);
    }
    check_claim(process.id, &information)?;
    send_if_allowed(&process, number, |_| information)
}

/// `pidfd_getfd(2)`
pub fn pidfd_getfd(fd: i32, wanted: i32, flags: u32) -> Result<usize, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let process = process_file::of(&*context::current().file(fd)?)?;
    if process.family.has_ended() {
        return Err(Errno::ESRCH);
    }
    if !task::may_look_into(&process, task::Looker::Real) {
        return Err(Errno::EPERM);
    }
    let file = context::of(&process).file(wanted)?;
    let descriptor = context::current().add(file, true, 0)?;
    Ok(descriptor as usize)
}

/// `signalfd(2)`
pub fn signalfd(fd: i32, mask: UserPointer, size: usize) -> Result<usize, Errno> {
    signalfd4(fd, mask, size, 0)
}

/// `signalfd4(2)`
pub fn signalfd4(fd: i32, mask: UserPointer, size: usize, flags: u32) -> Result<usize, Errno> {
    let (close_on_exec, nonblocking) = (OpenFlags::CLOSE_ON_EXEC.bits(), OpenFlags::NONBLOCKING.bits());
    if flags & !(close_on_exec | nonblocking) != 0 {
        return Err(Errno::EINVAL);
    }
    check_size(size)?;
    let mask: u64 = read_object(mask)?;
    if fd == -1 {
        let file = signal_file::create(mask, OpenFlags::from_bits_truncate(flags & nonblocking));
        let descriptor = context::current().add(file, flags & close_on_exec != 0, 0)?;
        return Ok(descriptor as usize);
    }
    let open = context::current().file(fd)?;
    signal_file::of(&open)?.set_mask(mask);
    Ok(fd as usize)
}
