//! Process groups and sessions as terminals see them: who leads a session, which group a process belongs to, who is told
//! of a signal that a terminal causes.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::signal::{Signal, SignalInformation};

use super::family;
use super::process::Process;
use super::signal;
use super::thread::current;
use super::threads::find_thread;

/// The number of a process's session.
pub fn session_of(process: &Process) -> u32 {
    process.family.session()
}

/// The number of its process group.
pub fn group_of(process: &Process) -> u32 {
    process.family.group()
}

/// Whether it leads its session, and may so have a terminal for it.
pub fn leads_session(process: &Process) -> bool {
    session_of(process) == process.id
}

/// The number of the terminal that controls the first session from the start, if there is one.
pub const FIRST_TERMINAL: u64 = 1;

/// Which terminal counts as a process's: the number that was drawn when it began to control its session; 0 for none.
pub fn terminal_of(process: &Process) -> u64 {
    process.family.terminal.load(Ordering::Relaxed)
}

/// Says which terminal counts as a process's; 0 for none.
pub fn set_terminal(process: &Process, terminal: u64) {
    process.family.terminal.store(terminal, Ordering::Relaxed);
}

/// The terminal of a session is hung up: its leader remembers who was in the foreground, who is told when it ends.
pub fn remember_foreground(session: u32, group: u32) {
    if let Some(leader) = family::find_process(session) {
        leader.family.last_foreground.store(group, Ordering::Relaxed);
    }
}

/// Who was in the foreground of the terminal of the session that a process leads, when that was hung up; 0 for nobody.
pub fn take_last_foreground(process: &Process) -> u32 {
    process.family.last_foreground.swap(0, Ordering::Relaxed)
}

/// The session that a process group belongs to; `None` if there is no such group.
pub fn session_of_group(group: u32) -> Option<u32> {
    family::members(group).first().map(|process| session_of(process))
}

/// The session of the group that a number names, or else of the process.
pub fn session_of_group_or_process(number: u32) -> Option<u32> {
    session_of_group(number).or_else(|| family::find_process(number).map(|process| session_of(&process)))
}

/// Whether nobody looks after the group of a process: a terminal does not stop it.
pub fn is_orphaned(process: &Process) -> bool {
    family::group_is_orphaned(process)
}

/// Sends a signal to all processes of a group.
pub fn signal_group(group: u32, signal: Signal) {
    let in_group = |process: &Process| process.family.group() == group;
    family::tell_all(&in_group, Some(signal), &mut |process| signal::post(process, signal));
}

/// Sends a signal to the leader of a session.
pub fn signal_leader(session: u32, signal: Signal) {
    if let Some(process) = family::find_process(session) {
        signal::post(&process, signal);
    }
}

/// Whether the current thread blocks a signal or ignores it.
pub fn withstands(signal: Signal) -> bool {
    let thread = current();
    let blocked = thread.blocked.load(Ordering::Relaxed) & signal.bit() != 0;
    blocked || thread.process.actions.lock().get(signal).handler == pith_linux::signal::SIG_IGN
}

/// Who a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A thread, by its number.
    Thread(u32),
    /// A process.
    Process(u32),
    /// All processes of a group.
    Group(u32),
}

/// The process of this number; any thread stands for its process.
fn process_of(number: u32) -> Option<Arc<Process>> {
    family::find_process(number).or_else(|| find_thread(number).map(|thread| thread.process.clone()))
}

/// Whether there is anybody of that number.
pub fn exists(target: Target) -> bool {
    match target {
        Target::Thread(number) => find_thread(number).is_some(),
        Target::Process(number) => process_of(number).is_some(),
        Target::Group(number) => session_of_group(number).is_some(),
    }
}

/// Sends a signal to those whom the sender is permitted to. May be called by interrupt handlers.
///
/// # Errors
/// `EAGAIN` if too many real-time signals are queued somewhere.
pub fn send(
    target: Target,
    signal: Signal,
    information: SignalInformation,
    permits: &dyn Fn(&Process) -> bool,
) -> Result<(), Errno> {
    match target {
        Target::Thread(number) => match find_thread(number) {
            Some(thread) if permits(&thread.process) => signal::send_to_thread(&thread, signal, information),
            _ => Ok(()),
        },
        Target::Process(number) => match process_of(number) {
            Some(process) if permits(&process) => signal::send(&process, signal, information),
            _ => Ok(()),
        },
        Target::Group(group) => {
            let mut result = Ok(());
            let in_group = |process: &Process| process.family.group() == group;
            family::tell_all(&in_group, Some(signal), &mut |process| {
                if permits(process) {
                    result = signal::send(process, signal, information).and(result);
                }
            });
            result
        }
    }
}
