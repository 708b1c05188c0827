//! The Linux x86-64 system call ABI as types: error numbers, flags and structures.
//!
//! Raw integers become these types at the border between program and kernel and nowhere else. Structures
//! have exactly Linux's layout and can be copied to and from user memory as bytes.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod asynchronous;
pub mod credentials;
mod errno;
pub mod events;
pub mod files;
pub mod inotify;
pub mod io_uring;
pub mod ipc;
pub mod mounts;
pub mod netlink;
pub mod packet;
pub mod signal;
pub mod sockets;
pub mod system;
pub mod time;

pub use errno::Errno;
