//! ICMP for IPv6 (RFC 4443) and its messages for neighbours (RFC 4861).

use core::net::Ipv6Addr;

use super::checksum::Sum;
use super::ethernet::HardwareAddress;
use super::icmp::{HEADER, Header};
use super::{Malformed, array_at, ip};

/// A packet could not be delivered.
pub const UNREACHABLE: u8 = 1;
/// A packet was too long for a link.
pub const TOO_BIG: u8 = 2;
/// A packet was under way for too long.
pub const TIME_EXCEEDED: u8 = 3;
/// A field of a packet was not understood.
pub const PROBLEM: u8 = 4;
/// A request to be echoed.
pub const ECHO: u8 = 128;
/// The answer to it.
pub const ECHO_REPLY: u8 = 129;
/// Routers ask which groups are listened to.
pub const LISTENER_QUERY: u8 = 130;
/// The answer to it, in the first version.
pub const LISTENER_REPORT: u8 = 131;
/// A group is not listened to any more, in the first version.
pub const LISTENER_DONE: u8 = 132;
/// What groups are listened to, in the second version.
pub const LISTENER_REPORT_2: u8 = 143;
/// Routers are asked to tell of themselves.
pub const ROUTER_SOLICITATION: u8 = 133;
/// A router tells of itself.
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// Somebody is asked for a hardware address.
pub const SOLICITATION: u8 = 135;
/// The answer to it.
pub const ADVERTISEMENT: u8 = 136;
/// There is a better way.
pub const REDIRECT: u8 = 137;
/// Code of [`UNREACHABLE`]: nobody listens at that port.
pub const PORT_UNREACHABLE: u8 = 4;
/// In [`Header::rest`] of an advertisement: a router sends it.
pub const FROM_ROUTER: u32 = 1 << 31;
/// It answers a question.
pub const SOLICITED: u32 = 1 << 30;
/// It replaces what was known.
pub const OVERRIDE: u32 = 1 << 29;
/// The option that tells the sender's hardware address.
pub const SOURCE_LINK: u8 = 1;
/// The option that tells the target's.
pub const TARGET_LINK: u8 = 2;

/// Reads a message.
///
/// # Errors
/// [`Malformed`].
pub fn read(source: Ipv6Addr, destination: Ipv6Addr, bytes: &[u8]) -> Result<Header, Malformed> {
    let sum = pseudo_header(source, destination, bytes.len());
    match sum.bytes(bytes).is_right() {
        true => Header::parse(bytes),
        false => Err(Malformed::Checksum),
    }
}

/// The bytes of the header of a message that goes on with `payload`.
pub fn bytes(
    header: &Header,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    payload: &[u8],
) -> [u8; HEADER] {
    let sum = pseudo_header(source, destination, HEADER + payload.len());
    header.bytes_with(sum.bytes(payload))
}

/// The sum of what a checksum covers besides the message (RFC 8200, section 8.1).
pub fn pseudo_header(source: Ipv6Addr, destination: Ipv6Addr, length: usize) -> Sum {
    Sum::default().pseudo_header(source.into(), destination.into(), ip::ICMPV6, length)
}

/// Whether a message reports an error (RFC 4443, section 2.1).
pub fn is_error(kind: u8) -> bool {
    kind < 128
}

/// The group of all stations whose address ends like this one (RFC 4291, section 2.7.1).
pub fn solicited_group(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// A question for a neighbour or its answer, behind the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Who is asked for.
    pub target: Ipv6Addr,
    /// The hardware address that is told.
    pub hardware: Option<HardwareAddress>,
}

impl Neighbour {
    /// Bytes with the hardware address.
    pub const LENGTH: usize = 24;

    /// Reads what is behind the header; `option` is the kind that tells the hardware address.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8], option: u8) -> Result<Self, Malformed> {
        let target = Ipv6Addr::from(array_at::<16>(bytes, 0)?);
        if target.is_multicast() {
            return Err(Malformed::Field);
        }
        let mut hardware = None;
        for found in Items::new(&bytes[16..]) {
            let (kind, body) = found?;
            if kind == option {
                hardware = Some(HardwareAddress(array_at(body, 0)?));
            }
        }
        Ok(Self { target, hardware })
    }

    /// The bytes, with the hardware address as this option.
    pub fn write(&self, option: u8, bytes: &mut [u8; Self::LENGTH]) -> usize {
        bytes[..16].copy_from_slice(&self.target.octets());
        match self.hardware {
            None => 16,
            Some(hardware) => {
                bytes[16..18].copy_from_slice(&[option, 1]);
                bytes[18..].copy_from_slice(&hardware.0);
                Self::LENGTH
            }
        }
    }
}

/// The options of a message for neighbours: kind and content, one after the other.
#[derive(Clone, Debug)]
pub struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    /// Options that are in these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<(u8, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, rest) = self.0.split_first()?;
        let item = match rest.first() {
            // An option without length would have no end (RFC 4861, section 4.6).
            Some(0) => Err(Malformed::Field),
            Some(&words) => self
                .0
                .get(2..usize::from(words) * 8)
                .map(|body| (*kind, body))
                .ok_or(Malformed::Short),
            None => Err(Malformed::Short),
        };
        self.0 = match item {
            Ok((_, body)) => &self.0[body.len() + 2..],
            Err(_) => &[],
        };
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let target = Ipv6Addr::from_bits(0xfe80 << 112 | 7);
        for hardware in [None, Some(HardwareAddress([2, 0, 0, 0, 0, 9]))] {
            let question = Neighbour { target, hardware };
            let mut bytes = [0; Neighbour::LENGTH];
            let length = question.write(SOURCE_LINK, &mut bytes);
            let read = Neighbour::read(&bytes[..length], SOURCE_LINK);
            assert_eq!(read, Ok(question));
        }
    }

    #[test]
    fn options_without_length_end_the_message() {
        let mut bytes = [0; 32];
        assert_eq!(Neighbour::read(&bytes, 1), Err(Malformed::Field));
        bytes[16..18].copy_from_slice(&[1, 3]);
        assert_eq!(Neighbour::read(&bytes, 1), Err(Malformed::Short));
        bytes[0] = 0xff;
        assert_eq!(Neighbour::read(&bytes, 1), Err(Malformed::Field));
    }

    #[test]
    fn the_checksum_covers_the_addresses() {
        let (one, other) = (Ipv6Addr::LOCALHOST, Ipv6Addr::from_bits(5));
        let header = Header {
            kind: ECHO,
            code: 0,
            rest: 7,
        };
        let message = [&bytes(&header, one, other, b"data")[..], b"data"].concat();
        assert_eq!(read(one, other, &message), Ok(header));
        assert_eq!(
            read(one, Ipv6Addr::from_bits(6), &message),
            Err(Malformed::Checksum)
        );
    }

    #[test]
    fn groups_of_askers() {
        let ip: Ipv6Addr = "2001:db8::1:2345:6789".parse().expect("an address");
        let group: Ipv6Addr = "ff02::1:ff45:6789".parse().expect("an address");
        assert_eq!(solicited_group(ip), group);
        assert_eq!(
            HardwareAddress::of_group(group.into()).0,
            [0x33, 0x33, 0xff, 0x45, 0x67, 0x89]
        );
    }
}
