//! Process groups and sessions as terminals see them: who leads a session, which group a process belongs to, who is told
//! of a signal that a terminal causes.

use pith_linux::signal::Signal;

use super::family;
use super::process::Process;
use super::signal;
use super::thread::current;

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

/// The session that a process group belongs to; `None` if there is no such group.
pub fn session_of_group(group: u32) -> Option<u32> {
    family::members(group).first().map(|process| session_of(process))
}

/// Whether nobody looks after the group of a process: a terminal does not stop it.
pub fn is_orphaned(process: &Process) -> bool {
    family::group_is_orphaned(process)
}

/// Sends a signal to all processes of a group.
pub fn signal_group(group: u32, signal: Signal) {
    for process in family::members(group) {
        signal::post(&process, signal);
    }
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
    let blocked = thread.blocked.load(core::sync::atomic::Ordering::Relaxed) & signal.bit() != 0;
    blocked || thread.process.actions.lock().get(signal).handler == pith_linux::signal::SIG_IGN
}
