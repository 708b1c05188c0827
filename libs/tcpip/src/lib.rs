//! TCP/IP as a pure library.
//!
//! Nothing here waits, locks, looks at a clock or knows a device. Whoever owns a [`Stack`] gives it packets that arrived,
//! the time, and the calls of programs; and takes packets that are to be sent, events for sockets, and the time at which
//! it wants to be called again. So everything can be proven on the host: with packets written down one by one, and with
//! two stacks that talk through a network which loses, repeats and reorders.
//!
//! Data is not copied: what arrives stays in the buffer in which the device put it, what is sent in the buffer into which
//! the program's data was copied, and a [`Slice`] names a part of either.
//!
//! * [`wire`]: packets as bytes;
//! * [`dhcp`]: a client that asks for addresses;
//! * [`tcp`]: connections, one at a time;
//! * [`stack`]: interfaces, neighbours, sockets, and which packet belongs to whom.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod buffer;
pub mod dhcp;
mod queue;
pub mod stack;
pub mod tcp;
pub mod time;
pub mod wire;

pub use buffer::{Buffer, Pieces, Slice};
pub use stack::Stack;
pub use time::Instant;
