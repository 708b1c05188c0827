//! The trace of system calls in strace's notation, and the memory of the last ones for a panic.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::Ordering;

use linux_raw_sys::general::{O_CREAT, O_DIRECTORY, O_TMPFILE};
use pith_linux::Errno;
use pith_linux::signal::{SYNCHRONOUS, Signal, SignalInformation, code};

use super::argument::LATER;
use super::{Answer, Call, Reply, TRACED, WATCHED};
use crate::arch;
use crate::devices::console::trace_line;
use crate::task::{self, signal, signal::Restart};

/// What is known about a call when an argument is shown.
pub struct Values {
    /// Name of the call.
    pub name: &'static str,
    /// The six argument registers.
    pub arguments: [u64; 6],
    /// The result, once there is one: what buffers hold is only known then.
    pub result: Option<i64>,
}

/// Switches the trace on or off.
pub fn set_tracing(on: bool) {
    if on {
        WATCHED.fetch_or(TRACED, Ordering::Relaxed);
        signal::observe(signal_delivered);
    } else {
        WATCHED.fetch_and(!TRACED, Ordering::Relaxed);
    }
}

/// Whether calls are traced.
#[inline]
pub fn tracing() -> bool {
    WATCHED.load(Ordering::Relaxed) & TRACED != 0
}

/// A call that was made, for a panic: prints itself without memory and without looking at the program's.
pub struct LastCall(&'static arch::RememberedCall);

impl fmt::Display for LastCall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.number();
        match super::name(number) {
            Some(name) => write!(out, "{name}(")?,
            None => write!(out, "syscall_{number:#x}(")?,
        }
        for (index, argument) in self.0.arguments().into_iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(out, "{separator}{argument:#x}")?;
        }
        let Some(result) = self.0.result() else {
            return write!(out, ") has not returned");
        };
        match errno(result as i64) {
            Some(errno) => write!(out, ") = -1 {errno}"),
            None => write!(out, ") = {result:#x}"),
        }
    }
}

/// The last calls of a processor, oldest first. None if there is no such processor.
pub fn last_calls(cpu: usize) -> Option<impl ExactSizeIterator<Item = LastCall>> {
    arch::last_calls(cpu).map(|calls| calls.map(LastCall))
}

fn errno(result: i64) -> Option<Errno> {
    u16::try_from(result.checked_neg()?).ok().and_then(Errno::from_number)
}

/// Calls whose result is an address.
const ADDRESS_RESULTS: [&str; 4] = ["mmap", "brk", "mremap", "shmat"];
/// Calls that do not return.
const WITHOUT_RETURN: [&str; 2] = ["exit", "exit_group"];
/// Column of the equals sign, if the call leaves room.
const RESULT_COLUMN: usize = 39;

/// A traced call that runs: its arguments as far as they could be shown before.
pub(super) struct Started {
    number: u64,
    call: Option<&'static Call>,
    values: Values,
    texts: Vec<String>,
}

impl Started {
    fn shown(&self, index: usize) -> Option<String> {
        let mut text = String::new();
        match self.call {
            // Writing to a string can't fail.
            Some(call) => match (call.show)(&self.values, index, &mut text) {
                Ok(true) if !self.is_left_out(index) => Some(text),
                _ => None,
            },
            None => {
                let _ = write!(text, "{:#x}", self.values.arguments.get(index)?);
                Some(text)
            }
        }
    }

    /// Whether Linux does not look at an argument: the mode of a file that is not created.
    fn is_left_out(&self, index: usize) -> bool {
        let flags = match (self.values.name, index) {
            ("open", 2) => self.values.arguments[1],
            ("openat", 3) => self.values.arguments[2],
            _ => return false,
        };
        flags & u64::from(O_CREAT | (O_TMPFILE & !O_DIRECTORY)) == 0
    }

    fn text(&self) -> String {
        let mut line = String::new();
        let _ = match self.call {
            Some(call) => write!(line, "{}(", call.name),
            None => write!(line, "syscall_{:#x}(", self.number),
        };
        for (index, text) in self.texts.iter().enumerate() {
            if index > 0 {
                line.push_str(", ");
            }
            line.push_str(text);
        }
        line.push(')');
        line
    }
}

/// Called before a traced call runs: what it gives is shown before it can change.
pub(super) fn before(number: u64, call: Option<&'static Call>, arguments: &[u64; 6]) -> Started {
    let name = call.map_or("", |call| call.name);
    let values = Values {
        name,
        arguments: *arguments,
        result: None,
    };
    let mut started = Started {
        number,
        call,
        values,
        texts: Vec::new(),
    };
    while let Some(text) = started.shown(started.texts.len()) {
        started.texts.push(text);
    }
    if WITHOUT_RETURN.contains(&name) {
        trace_line(&alloc::format!("{:<RESULT_COLUMN$} = ?", started.text()));
    }
    started
}

/// Called after a traced call: prints its line.
pub(super) fn after(mut started: Started, answer: &Answer) {
    let result = match answer {
        Ok(Reply::Value(value)) => *value as i64,
        // `execve` and `rt_sigreturn`.
        Ok(Reply::Replaced) => 0,
        Err(errno) => -i64::from(errno.number()),
    };
    started.values.result = Some(result);
    for index in 0..started.texts.len() {
        if started.texts[index] == LATER {
            started.texts[index] = started.shown(index).unwrap_or_default();
        }
    }
    let mut line = alloc::format!("{:<RESULT_COLUMN$} = ", started.text());
    let _ = match answer {
        Err(Errno::EINTR) => line.write_str(interrupted()),
        Err(errno) => write!(line, "-1 {errno}"),
        Ok(_) if ADDRESS_RESULTS.contains(&started.values.name) => write!(line, "{result:#x}"),
        Ok(_) => write!(line, "{result}"),
    };
    trace_line(&line);
}

/// The result of a call that a signal interrupts, in the words of strace: what the program gets to see is
/// decided when the signal is delivered.
fn interrupted() -> &'static str {
    const NO_HANDLER: u8 = Restart::IfNoHandlerRuns as u8;
    const HANDLER_ALLOWS: u8 = Restart::IfHandlerAllows as u8;
    match task::current().restart.load(Ordering::Relaxed) {
        HANDLER_ALLOWS => "? ERESTARTSYS (To be restarted if SA_RESTART is set)",
        NO_HANDLER => "? ERESTARTNOHAND (To be restarted if no handler)",
        _ => "-1 EINTR (Interrupted system call)",
    }
}

/// The name of `si_code`.
fn code_name(signal: Signal, number: i32) -> Option<&'static str> {
    Some(match (signal, number) {
        (_, code::SI_USER) => "SI_USER",
        (_, code::SI_KERNEL) => "SI_KERNEL",
        (_, code::SI_QUEUE) => "SI_QUEUE",
        (_, code::SI_TKILL) => "SI_TKILL",
        (Signal::SIGSEGV, code::SEGV_MAPERR) => "SEGV_MAPERR",
        (Signal::SIGSEGV, code::SEGV_ACCERR) => "SEGV_ACCERR",
        (Signal::SIGBUS, code::BUS_ADRALN) => "BUS_ADRALN",
        (Signal::SIGBUS, code::BUS_ADRERR) => "BUS_ADRERR",
        (Signal::SIGBUS, code::BUS_MCEERR_AR) => "BUS_MCEERR_AR",
        (Signal::SIGILL, code::ILL_ILLOPN) => "ILL_ILLOPN",
        (Signal::SIGTRAP, code::TRAP_TRACE) => "TRAP_TRACE",
        (Signal::SIGFPE, code::FPE_INTDIV) => "FPE_INTDIV",
        (Signal::SIGFPE, code::FPE_FLTDIV) => "FPE_FLTDIV",
        (Signal::SIGFPE, code::FPE_FLTOVF) => "FPE_FLTOVF",
        (Signal::SIGFPE, code::FPE_FLTUND) => "FPE_FLTUND",
        (Signal::SIGFPE, code::FPE_FLTRES) => "FPE_FLTRES",
        (Signal::SIGFPE, code::FPE_FLTINV) => "FPE_FLTINV",
        _ => return None,
    })
}

/// Prints the line of a signal that is delivered.
fn signal_delivered(signal: Signal, information: &SignalInformation) {
    if !tracing() {
        return;
    }
    let mut line = alloc::format!("--- {signal} {{si_signo={signal}, si_code=");
    // Writing to a string can't fail.
    let _ = match code_name(signal, information.code) {
        Some(name) => line.write_str(name),
        None => write!(line, "{}", information.code),
    };
    let _ = match information.code {
        code::SI_KERNEL => Ok(()),
        code::SI_USER | code::SI_QUEUE | code::SI_TKILL => {
            let (process, user) = information.sender();
            write!(line, ", si_pid={process}, si_uid={user}")
        }
        _ if signal.bit() & SYNCHRONOUS != 0 => write!(line, ", si_addr={:#x}", information.address()),
        _ => Ok(()),
    };
    line.push_str("} ---");
    trace_line(&line);
}
