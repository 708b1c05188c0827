//! Ethernet frames.

use super::{Malformed, array_at, u16_at};

/// Bytes of the header.
pub const HEADER: usize = 14;
/// The type of IPv4.
pub const IPV4: u16 = 0x0800;
/// The type of ARP.
pub const ARP: u16 = 0x0806;

/// An address of a network card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HardwareAddress(pub [u8; 6]);

impl HardwareAddress {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it names more than one station.
    pub fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// To whom.
    pub destination: HardwareAddress,
    /// From whom.
    pub source: HardwareAddress,
    /// What is inside.
    pub kind: u16,
}

impl Header {
    /// Reads the header at the start of a frame.
    ///
    /// # Errors
    /// [`Malformed::Short`].
    pub fn read(frame: &[u8]) -> Result<Self, Malformed> {
        Ok(Self {
            destination: HardwareAddress(array_at(frame, 0)?),
            source: HardwareAddress(array_at(frame, 6)?),
            kind: u16_at(frame, 12)?,
        })
    }

    /// The bytes.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..6].copy_from_slice(&self.destination.0);
        bytes[6..12].copy_from_slice(&self.source.0);
        bytes[12..].copy_from_slice(&self.kind.to_be_bytes());
        bytes
    }
}
