//! Terminals without hardware: what happens to characters between a keyboard and a program, as `termios(3)` and
//! `ioctl_tty(2)` describe it and as Linux's standard line discipline (`N_TTY`) does it.
//!
//! A [`LineDiscipline`] is one end of a line. Bytes that come from the other side are [received](LineDiscipline::receive):
//! lines are edited, characters echoed, signals found. What the program writes is [sent](LineDiscipline::write): line ends
//! and tabs are changed. What goes to the other side waits in a queue of the discipline. It has no lock and no clock, and
//! never waits: its owner looks at what has changed and wakes whoever waits.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod characters;
mod discipline;
mod echo;
mod output;
mod settings;

pub use discipline::{LineDiscipline, LineEnd, Reading, packet, signals};
pub use settings::{
    ExtendedTermios, OldTermios, character, control, input, local, output as output_mode,
};
