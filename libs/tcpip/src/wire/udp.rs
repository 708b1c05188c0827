//! UDP headers (RFC 768).

use super::{Malformed, u16_at};

/// Bytes of the header.
pub const HEADER: usize = 8;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// From which port.
    pub source: u16,
    /// To which port.
    pub destination: u16,
    /// Bytes of header and data.
    pub length: u16,
    /// The checksum; 0 for none.
    pub checksum: u16,
}

impl Header {
    /// Reads the header of a datagram.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(datagram: &[u8]) -> Result<Self, Malformed> {
        Self::read_start(datagram, datagram.len())
    }

    /// As [`Self::read`], of a datagram of which only the start is given, and how many bytes all of it has.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read_start(datagram: &[u8], available: usize) -> Result<Self, Malformed> {
        let header = Self {
            source: u16_at(datagram, 0)?,
            destination: u16_at(datagram, 2)?,
            length: u16_at(datagram, 4)?,
            checksum: u16_at(datagram, 6)?,
        };
        match usize::from(header.length) {
            length if length < HEADER => Err(Malformed::Field),
            length if length > available => Err(Malformed::Short),
            _ => Ok(header),
        }
    }

    /// The bytes, without a checksum.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..2].copy_from_slice(&self.source.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.destination.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }
}
