//! ICMP (RFC 792).

use super::checksum::Sum;
use super::{Malformed, u32_at};

/// Bytes of the header.
pub const HEADER: usize = 8;
/// Answer to an echo request.
pub const ECHO_REPLY: u8 = 0;
/// A packet could not be delivered.
pub const UNREACHABLE: u8 = 3;
/// A request to be echoed.
pub const ECHO: u8 = 8;
/// There is a better way.
pub const REDIRECT: u8 = 5;
/// A packet was under way for too long.
pub const TIME_EXCEEDED: u8 = 11;
/// A field of a packet was not understood.
pub const PROBLEM: u8 = 12;
/// Code of [`UNREACHABLE`]: the protocol is not known.
pub const PROTOCOL_UNREACHABLE: u8 = 2;
/// Code of [`UNREACHABLE`]: nobody listens at that port.
pub const PORT_UNREACHABLE: u8 = 3;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Kind of message.
    pub kind: u8,
    /// Which of its kind.
    pub code: u8,
    /// Meaning depends on the kind.
    pub rest: u32,
}

impl Header {
    /// Reads the header of a message whose checksum is known to be right.
    ///
    /// # Errors
    /// [`Malformed::Short`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let rest = u32_at(bytes, 4)?;
        Ok(Self {
            kind: bytes[0],
            code: bytes[1],
            rest,
        })
    }

    /// The bytes, with the checksum of a message that goes on with `payload`.
    pub fn bytes(&self, payload: &[u8]) -> [u8; HEADER] {
        self.bytes_with(Sum::default().bytes(payload))
    }

    /// The bytes, with the checksum of a message of which all else has this sum.
    pub fn bytes_with(&self, sum: Sum) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.kind;
        bytes[1] = self.code;
        bytes[4..].copy_from_slice(&self.rest.to_be_bytes());
        let checksum = sum.bytes(&bytes).checksum();
        bytes[2..4].copy_from_slice(&checksum);
        bytes
    }
}
