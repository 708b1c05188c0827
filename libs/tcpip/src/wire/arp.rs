//! The address resolution protocol for IPv4 over Ethernet (RFC 826).

use core::net::Ipv4Addr;

use super::ethernet::HardwareAddress;
use super::{Malformed, array_at, u16_at};

/// Bytes of a packet.
pub const LENGTH: usize = 28;

/// A question or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// It is an answer.
    pub is_reply: bool,
    /// Who sends.
    pub sender: (HardwareAddress, Ipv4Addr),
    /// Who is asked for, or who asked.
    pub target: (HardwareAddress, Ipv4Addr),
}

impl Packet {
    /// Reads a packet.
    ///
    /// # Errors
    /// [`Malformed`], also for other kinds of networks.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let (network, protocol) = (u16_at(bytes, 0)?, u16_at(bytes, 2)?);
        let lengths: [u8; 2] = array_at(bytes, 4)?;
        if (network, protocol, lengths) != (1, super::ethernet::IPV4, [6, 4]) {
            return Err(Malformed::Field);
        }
        let is_reply = match u16_at(bytes, 6)? {
            1 => false,
            2 => true,
            _ => return Err(Malformed::Field),
        };
        let pair = |offset| -> Result<_, Malformed> {
            Ok((
                HardwareAddress(array_at(bytes, offset)?),
                Ipv4Addr::from(array_at::<4>(bytes, offset + 6)?),
            ))
        };
        Ok(Self {
            is_reply,
            sender: pair(8)?,
            target: pair(18)?,
        })
    }

    /// The bytes.
    pub fn bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, if self.is_reply { 2 } else { 1 }]);
        for (offset, (hardware, address)) in [(8, self.sender), (18, self.target)] {
            bytes[offset..offset + 6].copy_from_slice(&hardware.0);
            bytes[offset + 6..offset + 10].copy_from_slice(&address.octets());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let packet = Packet {
            is_reply: true,
            sender: (
                HardwareAddress([2, 0, 0, 0, 0, 1]),
                Ipv4Addr::new(10, 0, 0, 1),
            ),
            target: (
                HardwareAddress([2, 0, 0, 0, 0, 2]),
                Ipv4Addr::new(10, 0, 0, 2),
            ),
        };
        let bytes = packet.bytes();
        assert_eq!(Packet::read(&bytes), Ok(packet));
        for end in 0..bytes.len() {
            assert_eq!(Packet::read(&bytes[..end]), Err(Malformed::Short));
        }
    }
}
