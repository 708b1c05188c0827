//! Starts a machine, carries its input and output, and learns how it ended.
//!
//! * [`Monitor`] is what can start a machine; each kind is one file ([`Qemu`] so far).
//! * [`run`] is the host's half of the channel between guest and host: it demultiplexes the frames of
//!   [`pith_abi::channel`], feeds standard input by credit, passes signals and the terminal's size on,
//!   and returns a [`Report`].
//! * [`accelerator::choose`] decides whether the processor can virtualise, or QEMU has to translate.
#![deny(unsafe_code)]

pub mod accelerator;
pub mod command_line;
pub mod forwarding;
pub mod frame;
pub mod symbols;
pub mod tap;

mod console;
mod death_signal;
mod launch;
mod qemu;
mod report;
mod session;
mod signals;
mod specification;
mod terminal;

pub use launch::{Machine, Monitor, StartError};
pub use qemu::{PROGRAM_VARIABLE, Qemu};
pub use report::{Ending, GuestFigures, HostTimes, Report, signal_name};
pub use session::{HostStreams, RunError, RunOptions, run};
pub use specification::{
    Connection, MachineSpecification, MachineType, NetworkCard, PublishedPorts,
};
pub use terminal::is_terminal;
