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
    /// Reads a message whose checksum covers all of `bytes`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let rest = u32_at(bytes, 4)?;
        if !Sum::default().bytes(bytes).is_right() {
            return Err(Malformed::Checksum);
        }
        Ok(Self {
            kind: bytes[0],
            code: bytes[1],
            rest,
        })
    }

    /// The bytes, with the checksum of a message that goes on with `payload`.
    pub fn bytes(&self, payload: &[u8]) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.kind;
        bytes[1] = self.code;
        bytes[4..].copy_from_slice(&self.rest.to_be_bytes());
        let checksum = Sum::default().bytes(&bytes).bytes(payload).checksum();
        bytes[2..4].copy_from_slice(&checksum);
        bytes
    }
}
