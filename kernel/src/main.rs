//! The kernel of Pith: boot as a table of contents.
//!
//! Each module is a floor of the house and stands only on those above it in this list; see
//! `docs/architecture.md`.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod arch;
mod boot;
mod devices;
mod fs;
mod log;
mod memory;
mod net;
mod panic;
mod sync;
mod syscalls;
mod task;
