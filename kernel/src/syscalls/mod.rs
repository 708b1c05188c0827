//! Floor 6: system calls.
//!
//! [`table.in`](table.in) declares every call; from it come dispatch, tracing and the table in the docs. One
//! file per family implements them. Handlers take typed arguments (see [`argument`]) and return
//! `Result<usize, Errno>`; raw integers exist only in this file and in `argument`.

mod argument;
mod asynchronous;
mod attributes;
mod capabilities;
mod clock_adjustment;
mod descriptors;
mod files;
mod handles;
mod identity;
mod io_uring;
mod ipc;
mod limits;
mod machine;
mod memory;
mod metadata;
mod mount_steps;
mod mounting;
mod namespaces;
mod notifications;
mod paths;
mod processes;
pub mod program;
mod scheduling;
mod seccomp;
mod signals;
mod sockets;
mod splice;
mod system;
mod threads;
mod time;
mod trace;
mod waiting;

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use pith_linux::Errno;

use crate::arch::Registers;
use crate::memory::{give_up_for, is_scarce, is_short, reclaim};
use argument::Argument;

pub use trace::{last_calls, set_tracing};

/// What a handler that works on the registers themselves answers.
pub enum Reply {
    /// An ordinary result.
    Value(usize),
    /// The registers were replaced; there is no result.
    Replaced,
}

type Answer = Result<Reply, Errno>;

/// A row of the table.
struct Call {
    name: &'static str,
    /// Prints one argument for the trace, by its index; false if there is none.
    show: fn(&trace::Values, usize, &mut dyn core::fmt::Write) -> Result<bool, core::fmt::Error>,
}

type Handler = fn(&mut Registers) -> Answer;

/// Numbers from 0 up to here may have a row.
const LIMIT: usize = 463;

macro_rules! handler {
    ($family:ident, $name:ident, ($($argument:ident : $kind:ident),*), with registers) => {{
        fn handle(registers: &mut Registers) -> Answer {
            #[allow(unused, reason = "a call may have no arguments")]
            let mut raw = registers.call_arguments().into_iter();
            $(let $argument = <argument::$kind as Argument>::parse(raw.next().unwrap_or_default())?;)*
            $family::$name(registers, $($argument),*)
        }
        handle as Handler
    }};
    ($family:ident, $name:ident, ($($argument:ident : $kind:ident),*),) => {{
        fn handle(registers: &mut Registers) -> Answer {
            #[allow(unused, reason = "a call may have no arguments")]
            let mut raw = registers.call_arguments().into_iter();
            $(let $argument = <argument::$kind as Argument>::parse(raw.next().unwrap_or_default())?;)*
            $family::$name($($argument),*).map(Reply::Value)
        }
        handle as Handler
    }};
}

macro_rules! system_calls {
    ($($number:literal $name:ident $(: $reason:literal)? $(($($argument:ident : $kind:ident),*) => $family:ident $(with $registers:ident)?)?;)*) => {
        static TABLE: [Option<Call>; LIMIT] = {
            let mut table = [const { None }; LIMIT];
            $(
                table[$number] = Some(Call {
                    name: stringify!($name),
                    show: {
                        fn show(
                            _values: &trace::Values,
                            _index: usize,
                            _out: &mut dyn core::fmt::Write,
                        ) -> Result<bool, core::fmt::Error> {
                            $(
                                let shows: &[argument::Show] = &[$(<argument::$kind as Argument>::show),*];
                                if let Some(show) = shows.get(_index) {
                                    show(_values, _index, _out)?;
                                    return Ok(true);
                                }
                            )?
                            Ok(false)
                        }
                        show
                    },
                });
            )*
            table
        };

        /// What each number does: apart from the names, so that a call takes one load to find.
        static HANDLERS: [Handler; LIMIT] = {
            let mut table = [absent as Handler; LIMIT];
            $($(
                table[$number] = handler!($family, $name, ($($argument : $kind),*), $(with $registers)?);
            )?)*
            table
        };
    };
}

include!("table.in");

/// Calls that were asked for and are not implemented; each is named once.
static NAMED: [AtomicU64; LIMIT.div_ceil(64)] = [const { AtomicU64::new(0) }; LIMIT.div_ceil(64)];
static BEYOND_NAMED: AtomicBool = AtomicBool::new(false);

/// What numbers do that nothing implements.
#[cold]
fn absent(registers: &mut Registers) -> Answer {
    let number = registers.rax;
    match row(number) {
        Some(call) => {
            let bit = 1 << (number % 64);
            if NAMED[number as usize / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                crate::warning!(
                    "system call {} ({number}) is not implemented: it answers ENOSYS",
                    call.name
                );
            }
        }
        None => {
            if !BEYOND_NAMED.swap(true, Ordering::Relaxed) {
                crate::warning!("system call {number} does not exist on Linux: it answers ENOSYS");
            }
        }
    }
    Err(Errno::ENOSYS)
}

/// Runs the system call that the registers ask for. True if they were replaced as a whole.
pub fn dispatch(registers: &mut Registers) -> bool {
    let number = registers.rax;
    let answer = match WATCHED.load(Ordering::Relaxed) {
        0 => run(number, registers),
        watched => run_watched(watched, number, registers),
    };
    let value = match answer {
        Ok(Reply::Value(value)) => value as u64,
        Ok(Reply::Replaced) => return true,
        Err(errno) => -i64::from(errno.number()) as u64,
    };
    registers.rax = value;
    false
}

#[inline]
fn row(number: u64) -> Option<&'static Call> {
    TABLE.get(usize::try_from(number).ok()?)?.as_ref()
}

/// Calls that make lasting objects of the kernel. When little more than its reserve is left they answer `ENOMEM`, so that what remains
/// does for calls that give memory back, and for the threads that are under way.
const CREATING: [u64; LIMIT.div_ceil(64)] = {
    // open, pipe, dup, dup2, socket, connect, accept, socketpair, bind, listen, clone, rename, mkdir, creat, link, symlink,
    // mknod, timer_create, epoll_create, inotify_init, inotify_add_watch, openat, mkdirat, mknodat, renameat, linkat,
    // symlinkat, signalfd, timerfd_create, eventfd, accept4, signalfd4, eventfd2, epoll_create1, dup3, pipe2,
    // inotify_init1, setxattr and its kin, epoll_ctl, mq_open, renameat2, memfd_create, userfaultfd, pidfd_open, clone3,
    // openat2, mount
    const NUMBERS: &[u64] = &[
        2, 22, 32, 33, 41, 42, 43, 53, 49, 50, 56, 82, 83, 85, 86, 88, 133, 222, 213, 253, 254, 257, 258, 259, 264,
        265, 266, 282, 283, 284, 288, 289, 290, 291, 292, 293, 294, 188, 189, 190, 233, 240, 316, 319, 323, 434, 435,
        437, 165,
    ];
    let mut set = [0; LIMIT.div_ceil(64)];
    let mut index = 0;
    while index < NUMBERS.len() {
        set[NUMBERS[index] as usize / 64] |= 1 << (NUMBERS[index] % 64);
        index += 1;
    }
    set
};

/// Whether a call has to be refused because memory is short, and stays so.
#[cold]
fn is_refused(number: u64) -> bool {
    // What programs can do without comes first.
    give_up_for(0);
    if !is_short() {
        return false;
    }
    let creates = |number: usize| {
        CREATING
            .get(number / 64)
            .is_some_and(|set| set >> (number % 64) & 1 != 0)
    };
    usize::try_from(number).is_ok_and(creates) && {
        reclaim();
        is_short()
    }
}

#[inline]
fn run(number: u64, registers: &mut Registers) -> Answer {
    if is_scarce(0) && is_refused(number) {
        return Err(Errno::ENOMEM);
    }
    let handler = usize::try_from(number).ok().and_then(|number| HANDLERS.get(number));
    handler.copied().unwrap_or(absent)(registers)
}

/// Why calls can't simply be made: [`TRACED`], [`FILTERED`].
static WATCHED: AtomicU8 = AtomicU8::new(0);
/// They are shown.
const TRACED: u8 = 1;
/// Some thread has given calls up.
const FILTERED: u8 = 2;

#[cold]
fn run_watched(watched: u8, number: u64, registers: &mut Registers) -> Answer {
    let started = (watched & TRACED != 0).then(|| trace::before(number, row(number), &registers.call_arguments()));
    let refused = match watched & FILTERED {
        0 => None,
        _ => seccomp::judge(number, registers),
    };
    let answer = refused.unwrap_or_else(|| run(number, registers));
    if let Some(started) = started {
        trace::after(started, &answer);
    }
    answer
}

/// Name of a system call, for messages.
pub fn name(number: u64) -> Option<&'static str> {
    row(number).map(|call| call.name)
}
