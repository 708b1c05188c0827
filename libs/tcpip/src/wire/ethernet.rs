//! Ethernet frames.

use core::net::IpAddr;

use super::{Malformed, array_at, u16_at};

/// Bytes of the header.
pub const HEADER: usize = 14;
/// The type of IPv4.
pub const IPV4: u16 = 0x0800;
/// The type of IPv6.
pub const IPV6: u16 = 0x86dd;
/// The type of ARP.
pub const ARP: u16 = 0x0806;

/// An address of a network card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HardwareAddress(pub [u8; 6]);

impl HardwareAddress {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The stations that listen to a group of IPv4 (RFC 1112, section 6.4) or of IPv6 (RFC 2464, section 7).
    pub fn of_group(group: IpAddr) -> Self {
        match group {
            IpAddr::V4(ip) => {
                let [_, b, c, d] = ip.octets();
                Self([1, 0, 0x5e, b & 0x7f, c, d])
            }
            IpAddr::V6(ip) => {
                let [.., a, b, c, d] = ip.octets();
                Self([0x33, 0x33, a, b, c, d])
            }
        }
    }

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
