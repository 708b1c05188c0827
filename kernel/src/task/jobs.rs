//! Process groups and sessions as terminals see them: who leads a session, which group a process belongs to, who is told
//! of a signal that a terminal causes.
//!
//! There is one process. It leads its session and its group, which both have its number.

use pith_linux::signal::Signal;

use super::process::Process;
use super::signal;
use super::thread::{current, current_process};

/// The number of a process's session.
pub fn session_of(process: &Process) -> u32 {
    process.id
}

/// The number of its process group.
pub fn group_of(process: &Process) -> u32 {
    process.id
}

/// Whether it leads its session, and may so have a terminal for it.
pub fn leads_session(process: &Process) -> bool {
    session_of(process) == process.id
}

/// The session that a process group belongs to; `None` if there is no such group.
pub fn session_of_group(group: u32) -> Option<u32> {
    let process = current_process();
    (group_of(&process) == group).then(|| session_of(&process))
}

/// Whether nobody looks after the group of a process: a terminal does not stop it.
pub fn is_orphaned(_process: &Process) -> bool {
    true // its parent is not in its session, whoever that is
}

/// Sends a signal to all processes of a group.
pub fn signal_group(group: u32, signal: Signal) {
    let process = current_process();
    if group_of(&process) == group {
        signal::post(&process, signal);
    }
}

/// Sends a signal to the leader of a session.
pub fn signal_leader(session: u32, signal: Signal) {
    signal_group(session, signal);
}

/// Whether the current thread blocks a signal or ignores it.
pub fn withstands(signal: Signal) -> bool {
    let thread = current();
    let blocked = thread.blocked.load(core::sync::atomic::Ordering::Relaxed) & signal.bit() != 0;
    blocked || thread.process.actions.lock().get(signal).handler == pith_linux::signal::SIG_IGN
}
