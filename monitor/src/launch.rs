//! What every monitor does: start a machine and hand out its ends.

use std::ffi::OsString;
use std::io;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus};

use crate::specification::MachineSpecification;

/// A program that runs virtual machines.
pub trait Monitor {
    /// The name people know it by.
    fn name(&self) -> &'static str;

    /// Words that the kernel command line needs on this monitor, for the channel to be found.
    fn channel_words(&self) -> &'static [(&'static str, &'static str)];

    /// Starts a machine. It must not outlive this process, whatever ends it.
    fn start(&self, specification: &MachineSpecification) -> Result<Machine, StartError>;

    /// Whether a line of [`Machine::console`] is the monitor's own rather than the kernel's.
    fn owns_line(&self, line: &str) -> bool;

    /// What a user can do about a complaint of the monitor's.
    fn remedy(&self, complaint: &str) -> Option<&'static str>;
}

/// A machine that was started. Dropping it kills it.
#[derive(Debug)]
pub struct Machine {
    process: Child,
    /// Frames for the guest go here.
    pub to_guest: ChildStdin,
    /// Frames from the guest come here.
    pub from_guest: ChildStdout,
    /// Plain text: the kernel's before the channel is up and when it panics, and the monitor's own complaints.
    pub console: ChildStderr,
    ended: bool,
}

impl Machine {
    /// Wraps a process whose standard streams are all pipes.
    pub(crate) fn new(mut process: Child) -> io::Result<Self> {
        match (
            process.stdin.take(),
            process.stdout.take(),
            process.stderr.take(),
        ) {
            (Some(to_guest), Some(from_guest), Some(console)) => Ok(Self {
                process,
                to_guest,
                from_guest,
                console,
                ended: false,
            }),
            _ => {
                process.kill()?;
                process.wait()?;
                Err(io::Error::other("the monitor was started without pipes"))
            }
        }
    }

    /// The process that is the machine.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Whether the machine has ended, and how.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.process.try_wait()?;
        self.ended |= status.is_some();
        Ok(status)
    }

    /// Ends the machine at once and waits until it is gone.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        // A process that has already ended is no error to `kill`.
        self.process.kill()?;
        let status = self.process.wait()?;
        self.ended = true;
        Ok(status)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if !self.ended {
            // Nothing is left to tell anybody if this fails: the process is gone then.
            let _ = self.kill();
        }
    }
}

/// Why no machine was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The monitor's program is not installed.
    #[error("{} is not installed", program.display())]
    NotInstalled {
        /// What was looked for.
        program: OsString,
        /// How to get it.
        remedy: &'static str,
    },
    /// The monitor's program can't be started.
    #[error("{} can't be started: {source}", program.display())]
    Spawn {
        /// The program.
        program: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel command line would be cut off.
    #[error("the kernel command line has {length} bytes, and this machine type takes {limit}")]
    CommandLineTooLong {
        /// Length in bytes.
        length: usize,
        /// Most bytes that arrive.
        limit: usize,
    },
    /// The machine's description makes no sense.
    #[error("{0}")]
    Specification(String),
}

impl StartError {
    /// What the user can do.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::NotInstalled { remedy, .. } => Some(remedy),
            Self::Spawn { .. } => {
                Some("check the permissions of that file and your process limits")
            }
            Self::CommandLineTooLong { .. } => Some(
                "build an image with these arguments in it: pith build PROGRAM ARGUMENTS… -o IMAGE",
            ),
            Self::Specification(_) => None,
        }
    }
}
