//! What the image builder, the monitor and the kernel agree on.
//!
//! Three contracts, each versioned and without logic:
//!
//! * [`image`]: how an image is laid out, and the configuration baked into it;
//! * [`channel`]: the frames that host and guest exchange while the machine runs;
//! * [`command_line`]: what a monitor may say on the kernel command line.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod channel;
pub mod command_line;
pub mod image;
