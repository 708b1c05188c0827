//! What `execve(2)` has to know about a file, and how a program finds its arguments.
//!
//! Three steps of starting a program need no kernel, only bytes, so they are here and tested on the host:
//!
//! * [`Executable::detect`] tells an ELF file from a script and finds a script's interpreter;
//! * [`Plan::parse`] turns the headers of an ELF file into a list of mappings;
//! * [`StackContents::build`] lays out arguments, environment and auxiliary vector as the System V ABI for
//!   x86-64 (section 3.4.1) and Linux do.
//!
//! All of it takes input from files that anybody may have written. It answers with an error, never a panic,
//! and a plan that it returns can be carried out without further checks of its numbers.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate self as pith_elf_plan;

pub mod auxiliary;
mod error;
mod plan;
mod script;
mod stack;

pub use error::{Error, machine_name};
pub use plan::{FileRange, Kind, Plan, Protection, Segment};
pub use script::{Executable, SCRIPT_LINE_LIMIT, Script};
pub use stack::{
    ARGUMENT_STRING_LIMIT, InitialStack, StackContents, StackError, argument_bytes_limit,
};

/// Size of a page, in bytes.
pub const PAGE_SIZE: u64 = 4096;

/// Lowest address that a program may be loaded at: `vm.mmap_min_addr` of Linux distributions.
pub const USER_START: u64 = 0x1_0000;

/// Address behind the last one of a program: the lower half less one page, as on Linux.
pub const USER_END: u64 = 0x7fff_ffff_f000;

#[cfg(test)]
mod tests;
