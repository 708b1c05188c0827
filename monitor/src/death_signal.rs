//! Ties the life of a child process to ours.
//!
//! A machine that outlives its `pith` would burn a processor for nobody. Linux can send a process a signal
//! when its parent dies, however it dies (`PR_SET_PDEATHSIG` of prctl(2)), but only the child itself can
//! ask for it, between `fork` and `execve`. It needs `unsafe`, as one other place of the host tools
//! does (`tap.rs`).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

/// Makes the command's process die when the thread that spawns it ends. The process gets these files, under the
/// numbers that they have here; all others that are open here were opened to be closed in children.
pub(crate) fn die_with_parent(command: &mut Command, files: Vec<Arc<OwnedFd>>) {
    let parent = getpid();
    let prepare = move || -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above; then nobody would ever send the signal.
        if getppid() != Some(parent) {
            return Err(Errno::SRCH.into());
        }
        for file in &files {
            fcntl_setfd(file, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: After `fork` in a process with several threads, the child may only do what is
    // async-signal-safe (signal-safety(7)): no locks, no allocation. The closure makes three system calls,
    // prctl, getppid and fcntl, through rustix's direct system calls; it reads a number and a list that it
    // captured; errors are made from an errno, without allocating.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(prepare);
    }
}
