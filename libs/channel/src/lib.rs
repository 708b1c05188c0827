//! The guest's side of [`pith_abi::channel`]: what the host says, and how much it may say.
//!
//! The decoder runs in an interrupt handler: it allocates nothing, keeps at most one header and a payload of
//! four bytes, and hands the bytes of standard input on in the pieces in which they arrive. What it accepts
//! is strict. Bytes of a broken stream have no meaning, so after the first error nothing follows.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod credit;
mod decoder;

pub use credit::Credit;
pub use decoder::{HostDecoder, HostEvent, Malformed};

use pith_abi::channel::{FrameHeader, FrameKind};
use zerocopy::IntoBytes;

/// Bytes of a frame's header.
pub const HEADER_LENGTH: usize = size_of::<FrameHeader>();

/// The header of a frame from guest to host.
pub fn header(kind: FrameKind, detail: u8, length: u32) -> [u8; HEADER_LENGTH] {
    let header = FrameHeader {
        kind: kind as u8,
        detail,
        reserved: 0,
        length,
    };
    let mut bytes = [0; HEADER_LENGTH];
    bytes.copy_from_slice(header.as_bytes());
    bytes
}
