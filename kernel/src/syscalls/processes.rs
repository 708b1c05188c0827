//! Processes: `fork(2)` and its relatives, `wait4(2)`, `waitid(2)`, groups and sessions.

use alloc::sync::Arc;
use core::mem::offset_of;

use pith_linux::Errno;
use pith_linux::files::OpenFlags;
use pith_linux::signal::{Signal, SignalInformation};
use pith_linux::system::ResourceUsage;
use pith_linux::time::Timeval;

use super::namespaces::{NAMESPACES, refuse_namespaces};
use super::threads::{CloneArguments, CloneFlags};
use super::{Answer, Reply};
use crate::arch::Registers;
use crate::fs::{context, process_file};
use crate::memory::{UserPointer, write_object};
use crate::task::family::{self, News, Usage, Whom, Wishes};
use crate::task::fork::{self, NewProcess};
use crate::task::threads::NewThread;
use crate::task::{self, Process};

/// `fork(2)`
pub fn fork(registers: &mut Registers) -> Answer {
    start(registers, CloneFlags::empty(), &CloneArguments::for_child())
}

/// `vfork(2)`
pub fn vfork(registers: &mut Registers) -> Answer {
    let flags = CloneFlags::VM | CloneFlags::VFORK;
    start(registers, flags, &CloneArguments::for_child())
}

/// Makes a process as `clone(2)` says. The flags are known to suit each other.
///
/// # Errors
/// `EAGAIN`, `ENOMEM`, `EINVAL`, `EFAULT`, `EMFILE`; `ENOSYS` for what is not there.
pub(super) fn start(registers: &Registers, flags: CloneFlags, arguments: &CloneArguments) -> Answer {
    if flags.intersects(NAMESPACES) {
        return Err(refuse_namespaces("clone"));
    }
    if flags.contains(CloneFlags::INTO_CGROUP) {
        crate::warning_once!("there are no control groups: clone answers EOPNOTSUPP");
        return Err(Errno::EOPNOTSUPP);
    }
    if flags.contains(CloneFlags::SIGHAND) {
        crate::warning_once!("processes that share their signal handlers can't be started: clone answers ENOSYS");
        return Err(Errno::ENOSYS);
    }
    let process = task::current_process();
    if flags.contains(CloneFlags::PARENT) && process.id == family::FIRST {
        // As the first process of a container, whose siblings would not be in it.
        return Err(Errno::EINVAL);
    }
    let thread = NewThread::of(registers, flags, arguments)?;
    let files = context::current();
    let resources = files.descendant(flags.contains(CloneFlags::FILES), flags.contains(CloneFlags::FS))?;
    let new = NewProcess {
        thread,
        resources,
        shares_memory: flags.contains(CloneFlags::VM),
        suspends_maker: flags.contains(CloneFlags::VFORK),
        is_sibling: flags.contains(CloneFlags::PARENT),
        end_signal: arguments.exit_signal as u8,
        clears_handlers: flags.contains(CloneFlags::CLEAR_SIGHAND),
    };
    let announce = |child: &Arc<Process>| {
        if !flags.contains(CloneFlags::PIDFD) {
            return Ok(());
        }
        let file = process_file::create(child.clone(), OpenFlags::empty());
        let descriptor = files.add(file, true, 0)?;
        write_object(UserPointer(arguments.pidfd), &descriptor).inspect_err(|_| {
            let _ = files.close(descriptor);
        })
    };
    fork::create(new, announce).map(|number| Reply::Value(number as usize))
}

/// `WNOHANG`
const NO_HANG: u64 = 1;
/// `WUNTRACED` of `wait4(2)`, `WSTOPPED` of `waitid(2)`.
const STOPPED: u64 = 2;
/// `WEXITED`
const EXITED: u64 = 4;
/// `WCONTINUED`
const CONTINUED: u64 = 8;
/// `WNOWAIT`
const NO_WAIT: u64 = 0x100_0000;
/// `__WNOTHREAD`: only children of the calling thread.
const NO_THREAD: u64 = 0x2000_0000;
/// `__WALL`
const ALL: u64 = 0x4000_0000;
/// `__WCLONE`
const CLONE: u64 = 0x8000_0000;

fn wishes(options: u64) -> Wishes {
    Wishes {
        ended: options & EXITED != 0,
        stopped: options & STOPPED != 0,
        continued: options & CONTINUED != 0,
        no_wait: options & NO_HANG != 0,
        leave: options & NO_WAIT != 0,
        of_thread: options & NO_THREAD != 0,
        unusual: match options {
            _ if options & ALL != 0 => None,
            _ => Some(options & CLONE != 0),
        },
    }
}

/// What a process has used, as programs know it.
pub(super) fn resource_usage(usage: &Usage) -> ResourceUsage {
    ResourceUsage {
        user_time: Timeval::from_nanoseconds(usage.time.program),
        system_time: Timeval::from_nanoseconds(usage.time.kernel),
        maximum_resident: (usage.memory >> 10) as i64,
        minor_faults: usage.faults as i64,
        voluntary_switches: usage.switches.0 as i64,
        involuntary_switches: usage.switches.1 as i64,
        ..ResourceUsage::default()
    }
}

fn write_usage(place: UserPointer, news: &News) -> Result<(), Errno> {
    if place.is_null() {
        return Ok(());
    }
    write_object(place, &resource_usage(&news.usage))
}

/// `wait4(2)`
pub fn wait4(pid: i32, status: UserPointer, options: u64, usage: UserPointer) -> Result<usize, Errno> {
    let options = options & 0xffff_ffff;
    if options & !(NO_HANG | STOPPED | CONTINUED | NO_THREAD | ALL | CLONE) != 0 {
        return Err(Errno::EINVAL);
    }
    let whom = match pid {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => Whom::Any,
        0 => Whom::Group(task::current_process().family.group()),
        group if group < 0 => Whom::Group(group.unsigned_abs()),
        process => Whom::Process(process.unsigned_abs()),
    };
    let Some(news) = family::wait_for_child(&whom, &wishes(options | EXITED))? else {
        return Ok(0);
    };
    if !status.is_null() {
        write_object(status, &news.wait_status())?;
    }
    write_usage(usage, &news)?;
    Ok(news.process as usize)
}

/// What `waitid(2)` waits for. `None` if there is nothing yet and it is not to wait.
fn wait_for_news(which: i32, id: i32, options: u64) -> Result<Option<News>, Errno> {
    const ALL_CHILDREN: i32 = 0;
    const PROCESS: i32 = 1;
    const GROUP: i32 = 2;
    const DESCRIPTOR: i32 = 3;
    let options = options & 0xffff_ffff;
    let known = NO_HANG | NO_WAIT | EXITED | STOPPED | CONTINUED | NO_THREAD | ALL | CLONE;
    if options & !known != 0 || options & (EXITED | STOPPED | CONTINUED) == 0 {
        return Err(Errno::EINVAL);
    }
    let mut wishes = wishes(options);
    let mut nonblocking = false;
    let whom = match which {
        ALL_CHILDREN => Whom::Any,
        PROCESS if id > 0 => Whom::Process(id.unsigned_abs()),
        GROUP if id > 0 => Whom::Group(id.unsigned_abs()),
        GROUP if id == 0 => Whom::Group(task::current_process().family.group()),
        DESCRIPTOR if id >= 0 => {
            let file = context::current().file(id)?;
            nonblocking = file.flags().contains(OpenFlags::NONBLOCKING);
            Whom::Process(process_file::of(&file)?.id)
        }
        _ => return Err(Errno::EINVAL),
    };
    let asked_not_to_wait = wishes.no_wait;
    wishes.no_wait |= nonblocking;
    let news = family::wait_for_child(&whom, &wishes)?;
    if news.is_none() && !asked_not_to_wait {
        return Err(Errno::EAGAIN);
    }
    Ok(news)
}

/// `waitid(2)`
pub fn waitid(which: i32, id: i32, information: UserPointer, options: u64, usage: UserPointer) -> Result<usize, Errno> {
    let news = wait_for_news(which, id, options);
    if let Ok(Some(news)) = &news {
        write_usage(usage, news)?;
    }
    if !information.is_null() {
        // As on Linux, only these members are written, and without news, or if the call fails, everything that is told is 0.
        let (head, told) = match &news {
            Ok(Some(news)) => (
                [i32::from(Signal::SIGCHLD.number()), 0, news.code],
                [news.process, news.user, news.status as u32],
            ),
            _ => ([0; 3], [0; 3]),
        };
        write_object(information, &head)?;
        write_object(information.offset(offset_of!(SignalInformation, fields) as u64), &told)?;
    }
    news.map(|_| 0)
}

/// `process_mrelease(2)`: returns when a process that was killed has given its memory back.
pub fn process_mrelease(process: i32, flags: u32) -> Result<usize, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let process = process_file::of(&*context::current().file(process)?)?;
    if process.family.has_ended() {
        return Err(Errno::ESRCH);
    }
    let is_killed = process.threads().iter().any(|thread| task::signal::is_dying(thread));
    if !process.is_ending() && !is_killed {
        return Err(Errno::EINVAL);
    }
    process
        .family
        .changes
        .wait(|| process.family.has_ended().then_some(()))?;
    Ok(0)
}

/// `getppid(2)`
pub fn getppid() -> Result<usize, Errno> {
    Ok(task::current_process().family.parent() as usize)
}

/// The process that a number names, 0 the one that asks.
fn named(pid: i32) -> Result<Arc<Process>, Errno> {
    match u32::try_from(pid).map_err(|_| Errno::ESRCH)? {
        0 => Ok(task::current_process().clone()),
        number => task::find_process(number)
            .or_else(|| task::find_thread(number).map(|thread| thread.process.clone()))
            .ok_or(Errno::ESRCH),
    }
}

/// `getpgrp(2)`
pub fn getpgrp() -> Result<usize, Errno> {
    getpgid(0)
}

/// `getpgid(2)`
pub fn getpgid(pid: i32) -> Result<usize, Errno> {
    named(pid).map(|process| process.family.group() as usize)
}

/// `getsid(2)`
pub fn getsid(pid: i32) -> Result<usize, Errno> {
    named(pid).map(|process| process.family.session() as usize)
}

/// `setpgid(2)`
pub fn setpgid(pid: i32, group: i32) -> Result<usize, Errno> {
    let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
    let number = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    family::set_group(number, group)?;
    Ok(0)
}

/// `setsid(2)`
pub fn setsid() -> Result<usize, Errno> {
    family::new_session().map(|session| session as usize)
}
