//! Giving system calls up: `seccomp(2)`, and what becomes of calls that a filter does not allow.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::signal::{Signal, SignalInformation, code};
use pith_packet_filter::calls::{ARCHITECTURE, Action, Call};
use pith_packet_filter::{LONGEST, Program};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Answer, FILTERED, Reply, WATCHED, name};
use crate::arch::Registers;
use crate::arch::layout::PROGRAM_END;
use crate::fs::permission;
use crate::memory::{UserPointer, read_object};
use crate::net::options::read_instructions;
use crate::task::seccomp::{Filter, OwnCalls, Seccomp, hold_still};
use crate::task::{self, Capabilities, ExitReason, Thread, signal, threads};

const SET_MODE_STRICT: u32 = 0;
const SET_MODE_FILTER: u32 = 1;
const GET_ACTION_AVAILABLE: u32 = 2;
const GET_NOTIFICATION_SIZES: u32 = 3;

const ALL_THREADS: u32 = 1;
const LOG: u32 = 2;
/// Nothing is done here against speculative reads, so that nothing can be left out.
const ALLOW_SPECULATION: u32 = 4;
const NEW_LISTENER: u32 = 8;
const ALL_THREADS_OR_ERROR: u32 = 16;
const WAIT_KILLABLE: u32 = 32;

/// `struct sock_fprog`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct ProgramOfUser {
    count: u16,
    padding: [u8; 6],
    instructions: u64,
}

/// `seccomp(2)`
pub fn seccomp(operation: u32, flags: u32, argument: UserPointer) -> Result<usize, Errno> {
    match operation {
        SET_MODE_STRICT if flags == 0 && argument.is_null() => set_strict(),
        SET_MODE_FILTER => set_filter(flags, argument),
        GET_ACTION_AVAILABLE if flags == 0 => match Action::known(read_object(argument)?) {
            None | Some(Action::AskProcess) => Err(Errno::EOPNOTSUPP),
            Some(_) => Ok(0),
        },
        GET_NOTIFICATION_SIZES if flags == 0 => Err(without_listeners()),
        _ => Err(Errno::EINVAL),
    }
}

/// `PR_SET_SECCOMP` of `prctl(2)`.
pub(super) fn set_mode(mode: u64, filter: UserPointer) -> Result<usize, Errno> {
    match mode {
        1 => set_strict(),
        2 => set_filter(0, filter),
        _ => Err(Errno::EINVAL),
    }
}

/// Another process that decides: as on Linux before 5.0.
fn without_listeners() -> Errno {
    crate::warning_once!("seccomp: a process can't decide about another one's calls: listeners answer EINVAL");
    Errno::EINVAL
}

fn set_strict() -> Result<usize, Errno> {
    let thread = task::current();
    let mut own = thread.seccomp.lock();
    match *own {
        Seccomp::Filtered(_) => Err(Errno::EINVAL),
        _ => {
            *own = Seccomp::Strict;
            WATCHED.fetch_or(FILTERED, Ordering::Relaxed);
            Ok(0)
        }
    }
}

/// Reads a filter and checks it.
fn read_program(argument: UserPointer) -> Result<Program, Errno> {
    let program: ProgramOfUser = read_object(argument)?;
    let count = usize::from(program.count);
    if count == 0 || count > LONGEST {
        return Err(Errno::EINVAL);
    }
    let gains_nothing = task::credentials().no_new_privileges;
    if !gains_nothing && permission::require(Capabilities::ADMINISTRATION).is_err() {
        return Err(Errno::EACCES);
    }
    let instructions = read_instructions(UserPointer(program.instructions), count)?;
    Program::for_calls(instructions).map_err(|_| Errno::EINVAL)
}

fn set_filter(flags: u32, argument: UserPointer) -> Result<usize, Errno> {
    const ALL: u32 = ALL_THREADS | LOG | ALLOW_SPECULATION | NEW_LISTENER | ALL_THREADS_OR_ERROR | WAIT_KILLABLE;
    if flags & !ALL != 0 || flags & WAIT_KILLABLE != 0 && flags & NEW_LISTENER == 0 {
        return Err(Errno::EINVAL);
    }
    if flags & NEW_LISTENER != 0 {
        return Err(without_listeners());
    }
    let program = read_program(argument)?;
    let thread = task::current();
    let guard = hold_still();
    let older = match &*thread.seccomp.lock() {
        Seccomp::Strict => return Err(Errno::EINVAL),
        Seccomp::Disabled => None,
        Seccomp::Filtered(filter) => Some(filter.clone()),
    };
    let before = older.clone().map_or(Seccomp::Disabled, Seccomp::Filtered);
    let others = match flags & ALL_THREADS {
        0 => alloc::vec::Vec::new(),
        _ => thread.process.threads(),
    };
    if let Some(other) = others.iter().find(|other| !other.seccomp.lock().may_become(&before)) {
        return match flags & ALL_THREADS_OR_ERROR {
            0 => Ok(other.id() as usize),
            _ => Err(Errno::ESRCH),
        };
    }
    let filter = Filter::new(program, older, flags & LOG != 0).ok_or(Errno::ENOMEM)?;
    let after = Seccomp::Filtered(Arc::new(filter));
    let forgoes = thread.credentials().no_new_privileges;
    for other in &others {
        if forgoes {
            other.forgo_privileges();
        }
        *other.seccomp.lock() = after.clone();
    }
    *thread.seccomp.lock() = after;
    WATCHED.fetch_or(FILTERED, Ordering::Relaxed);
    drop(guard);
    Ok(0)
}

/// `PR_SET_SYSCALL_USER_DISPATCH` of `prctl(2)`.
pub(super) fn set_own_calls(mode: u64, [start, length, selector]: [u64; 3]) -> Result<usize, Errno> {
    const OFF: u64 = 0;
    /// Calls from outside of the range.
    const OUTSIDE: u64 = 1;
    /// Calls from the range.
    const INSIDE: u64 = 2;
    let end = start.wrapping_add(length);
    let range = match mode {
        OFF if start | length | selector == 0 => None,
        OUTSIDE if start == 0 || end > start => Some((start, length)),
        INSIDE if length != 0 && end > start => Some((end, length.wrapping_neg())),
        _ => return Err(Errno::EINVAL),
    };
    if selector >= PROGRAM_END {
        return Err(Errno::EFAULT);
    }
    *task::current().own_calls.lock() = range.map(|(start, length)| OwnCalls {
        start,
        length,
        selector,
    });
    if range.is_some() {
        WATCHED.fetch_or(FILTERED, Ordering::Relaxed);
    }
    Ok(0)
}

/// Lets the program handle a call itself, if it wants to.
fn hand_over(thread: &Thread, number: u64, registers: &Registers) -> Option<Answer> {
    const ALLOW: u8 = 0;
    const BLOCK: u8 = 1;
    let own = (*thread.own_calls.lock())?;
    if registers.rip.wrapping_sub(own.start) < own.length {
        return None;
    }
    if own.selector != 0 {
        let wrong = match read_object::<u8>(UserPointer(own.selector)) {
            Ok(ALLOW) => return None,
            Ok(BLOCK) => None,
            Ok(_) => Some(Signal::SIGSYS),
            Err(_) => Some(Signal::SIGSEGV),
        };
        if let Some(signal) = wrong {
            let information = SignalInformation::new(signal, code::SI_KERNEL);
            let what = String::from("the byte that says whether it handles calls itself is wrong or not there");
            signal::end_by(signal, &information, what);
        }
    }
    let information =
        SignalInformation::system_call(code::SYS_USER_DISPATCH, registers.rip, number as i32, ARCHITECTURE);
    signal::force(
        information,
        Signal::SIGSYS,
        format!("it handles {} itself", words(number)),
    );
    // The number of the call stays where it was.
    Some(Ok(Reply::Replaced))
}

/// What becomes of a call instead of being made; `None` if it is to be made.
pub(super) fn judge(number: u64, registers: &mut Registers) -> Option<Answer> {
    let thread = task::current();
    if let Some(answer) = hand_over(&thread, number, registers) {
        return Some(answer);
    }
    let filter = match &*thread.seccomp.lock() {
        Seccomp::Disabled => return None,
        Seccomp::Strict => None,
        Seccomp::Filtered(filter) => Some(filter.clone()),
    };
    let Some(filter) = filter else {
        judge_strictly(&thread, number);
        return None;
    };
    let call = Call {
        number: number as i32,
        instruction: registers.rip,
        arguments: registers.call_arguments(),
    };
    let (answer, logs) = filter.judge(&call);
    // A thread that ends here would not give it back.
    drop(filter);
    let action = Action::of(answer);
    let notes = match action {
        Action::Allow => false,
        Action::Log | Action::KillProcess | Action::KillThread => true,
        _ => logs,
    };
    if notes {
        crate::info!(
            "seccomp: process {}, {} at {:#x}: {action:?}",
            thread.process.id,
            words(number),
            call.instruction
        );
    }
    match action {
        Action::Allow | Action::Log => None,
        Action::Fail(errno) => Some(failed(errno)),
        Action::AskProcess | Action::AskDebugger => Some(Err(Errno::ENOSYS)),
        Action::Trap(data) => {
            let mut information = system_signal(&call);
            information.errno = data.into();
            signal::force(information, Signal::SIGSYS, reason(number));
            // The number of the call stays where it was.
            Some(Ok(Reply::Replaced))
        }
        Action::KillThread if thread.process.thread_count() > 1 => threads::exit_current(0),
        Action::KillThread | Action::KillProcess => {
            signal::end_by(Signal::SIGSYS, &system_signal(&call), reason(number))
        }
    }
}

fn judge_strictly(thread: &Thread, number: u64) {
    const ALLOWED: [&str; 4] = ["read", "write", "exit", "rt_sigreturn"];
    if name(number).is_some_and(|name| ALLOWED.contains(&name)) {
        return;
    }
    if thread.process.thread_count() > 1 {
        threads::exit_current(0);
    }
    thread
        .process
        .exit(ExitReason::Signaled(Signal::SIGKILL.number(), reason(number)))
}

fn words(number: u64) -> String {
    match name(number) {
        Some(name) => String::from(name),
        None => format!("system call {number}"),
    }
}

fn reason(number: u64) -> String {
    format!("it had given up the right to call {} (seccomp)", words(number))
}

fn failed(errno: u16) -> Answer {
    match Errno::from_number(errno) {
        Some(errno) => Err(errno),
        // 0 is success, and any other number is passed on as it is.
        None => Ok(Reply::Value((errno as isize).wrapping_neg() as usize)),
    }
}

fn system_signal(call: &Call) -> SignalInformation {
    SignalInformation::system_call(code::SYS_SECCOMP, call.instruction, call.number, ARCHITECTURE)
}
