//! The checksum of the Internet protocols (RFC 1071): the sum of all 16-bit words in one's complement.

use core::net::IpAddr;

/// A sum that is being made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes that begin at an even offset; an odd one at the end counts as if a zero followed.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut sum = self.0;
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word = u64::from_ne_bytes([
                chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7],
            ]);
            // Either order of bytes gives the same sum, in that order (RFC 1071, section 2, B).
            let (value, carry) = sum.overflowing_add(word);
            sum = value + u64::from(carry);
        }
        let mut last = [0; 8];
        let rest = chunks.remainder();
        last[..rest.len()].copy_from_slice(rest);
        let (value, carry) = sum.overflowing_add(u64::from_ne_bytes(last));
        Self(value + u64::from(carry))
    }

    /// Adds a number of 16 bits.
    #[must_use]
    pub fn number(self, number: u16) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// Adds the pseudo-header of what is above IP (RFC 9293, section 3.1; RFC 8200, section 8.1).
    #[must_use]
    pub fn pseudo_header(
        self,
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        length: usize,
    ) -> Self {
        let address = |sum: Self, ip: IpAddr| match ip {
            IpAddr::V4(ip) => sum.bytes(&ip.octets()),
            IpAddr::V6(ip) => sum.bytes(&ip.octets()),
        };
        // For both versions it comes to the same sum: the length has more bits in one, which are zero.
        address(address(self, source), destination)
            .number(protocol.into())
            .bytes(&(length as u32).to_be_bytes())
    }

    /// Adds another sum, of bytes at an even offset.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (value, carry) = self.0.overflowing_add(other.0);
        Self(value + u64::from(carry))
    }

    /// Adds a sum of bytes that began at an odd offset.
    #[must_use]
    pub fn plus_odd(self, other: Self) -> Self {
        self.plus(Self(u64::from(other.folded().swap_bytes())))
    }

    /// The sum in 16 bits, in the order of the machine.
    fn folded(self) -> u16 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        ((sum & 0xffff) + (sum >> 16)) as u16
    }

    /// What is written into a packet whose checksum is zero so far.
    pub fn checksum(self) -> [u8; 2] {
        (!self.folded()).to_ne_bytes()
    }

    /// The sum itself, as a device wants it that adds the rest.
    pub fn partial(self) -> [u8; 2] {
        self.folded().to_ne_bytes()
    }

    /// Whether the bytes that were added, with their checksum, are whole.
    pub fn is_right(self) -> bool {
        self.folded() == 0xffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain way: word by word.
    fn reference(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().bytes(&bytes).checksum(), [0x22, 0x0d]);
    }

    #[test]
    fn every_length_and_place_agrees_with_the_plain_way() {
        let bytes: Vec<u8> = (0..100_u32).map(|i| (i * 167 + 13) as u8).collect();
        for end in 0..bytes.len() {
            let expected = reference(&bytes[..end]).to_be_bytes();
            assert_eq!(Sum::default().bytes(&bytes[..end]).checksum(), expected);
            for cut in (0..end).step_by(2) {
                let parts = Sum::default().bytes(&bytes[..cut]).bytes(&bytes[cut..end]);
                assert_eq!(parts.checksum(), expected);
            }
            for cut in (1..end).step_by(2) {
                let second = Sum::default().bytes(&bytes[cut..end]);
                let parts = Sum::default().bytes(&bytes[..cut]).plus_odd(second);
                assert_eq!(parts.checksum(), expected);
            }
        }
    }

    #[test]
    fn a_packet_with_its_checksum_is_right() {
        let mut packet = vec![
            0x45, 0, 0, 20, 1, 2, 3, 4, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        let checksum = Sum::default().bytes(&packet).checksum();
        packet[10..12].copy_from_slice(&checksum);
        assert!(Sum::default().bytes(&packet).is_right());
        packet[3] ^= 1;
        assert!(!Sum::default().bytes(&packet).is_right());
    }
}
