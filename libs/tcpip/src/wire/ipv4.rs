//! IPv4 headers (RFC 791).

use core::net::Ipv4Addr;

use super::checksum::Sum;
use super::{Malformed, array_at, u16_at};

/// Bytes of a header without options.
pub const HEADER: usize = 20;
/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// From where.
    pub source: Ipv4Addr,
    /// To where.
    pub destination: Ipv4Addr,
    /// What is inside.
    pub protocol: u8,
    /// Routers that it may still pass.
    pub time_to_live: u8,
    /// Type of service.
    pub service: u8,
    /// Which packet a fragment belongs to.
    pub identification: u16,
    /// It must not be cut.
    pub do_not_fragment: bool,
    /// Fragments follow.
    pub more_fragments: bool,
    /// Where the fragment begins, in bytes.
    pub fragment_offset: u16,
    /// Bytes of the header, with options.
    pub header_length: usize,
    /// Bytes behind it.
    pub payload_length: usize,
}

impl Header {
    /// A header for a whole packet.
    pub fn new(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: u8,
        payload_length: usize,
    ) -> Self {
        Self {
            source,
            destination,
            protocol,
            time_to_live: 64,
            service: 0,
            identification: 0,
            do_not_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            header_length: HEADER,
            payload_length,
        }
    }

    /// Reads the header at the start of a packet, which may have bytes of padding behind its end.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(packet: &[u8]) -> Result<Self, Malformed> {
        Self::read_start(packet, packet.len())
    }

    /// As [`Self::read`], of a packet of which only the start is given, and how many bytes all of it has.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read_start(packet: &[u8], length: usize) -> Result<Self, Malformed> {
        let first = *packet.first().ok_or(Malformed::Short)?;
        let header_length = usize::from(first & 15) * 4;
        if first >> 4 != 4 || header_length < HEADER {
            return Err(Malformed::Field);
        }
        let header = packet.get(..header_length).ok_or(Malformed::Short)?;
        if !Sum::default().bytes(header).is_right() {
            return Err(Malformed::Checksum);
        }
        let total = usize::from(u16_at(header, 2)?);
        if total < header_length {
            return Err(Malformed::Field);
        }
        if total > length {
            return Err(Malformed::Short);
        }
        let fragment = u16_at(header, 6)?;
        Ok(Self {
            source: array_at::<4>(header, 12)?.into(),
            destination: array_at::<4>(header, 16)?.into(),
            protocol: header[9],
            time_to_live: header[8],
            service: header[1],
            identification: u16_at(header, 4)?,
            do_not_fragment: fragment & 0x4000 != 0,
            more_fragments: fragment & 0x2000 != 0,
            fragment_offset: (fragment & 0x1fff) * 8,
            header_length,
            payload_length: total - header_length,
        })
    }

    /// Whether it is only a part of a packet.
    pub fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// The bytes, with the option that makes routers look inside (RFC 2113).
    pub fn bytes_with_alert(&self) -> [u8; HEADER + 4] {
        let mut bytes = [0; HEADER + 4];
        bytes[..HEADER].copy_from_slice(&self.bytes());
        bytes[0] = 0x46;
        let total = (HEADER + 4 + self.payload_length) as u16;
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes[HEADER..].copy_from_slice(&[0x94, 4, 0, 0]);
        bytes[10..12].fill(0);
        let checksum = Sum::default().bytes(&bytes).checksum();
        bytes[10..12].copy_from_slice(&checksum);
        bytes
    }

    /// The bytes, without options.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let total = (HEADER + self.payload_length) as u16;
        let mut fragment = self.fragment_offset / 8;
        if self.do_not_fragment {
            fragment |= 0x4000;
        }
        if self.more_fragments {
            fragment |= 0x2000;
        }
        bytes[0] = 0x45;
        bytes[1] = self.service;
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.identification.to_be_bytes());
        bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
        bytes[8] = self.time_to_live;
        bytes[9] = self.protocol;
        bytes[12..16].copy_from_slice(&self.source.octets());
        bytes[16..20].copy_from_slice(&self.destination.octets());
        let checksum = Sum::default().bytes(&bytes).checksum();
        bytes[10..12].copy_from_slice(&checksum);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut header = Header::new(
            Ipv4Addr::new(10, 0, 0, 1),
            Ipv4Addr::new(10, 0, 0, 2),
            6,
            100,
        );
        header.fragment_offset = 1480;
        header.more_fragments = true;
        header.do_not_fragment = false;
        let mut packet = header.bytes().to_vec();
        assert_eq!(Header::read(&packet), Err(Malformed::Short));
        packet.resize(130, 0);
        assert_eq!(Header::read(&packet), Ok(header));
    }

    #[test]
    fn bad_headers_are_refused() {
        let good = Header::new(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, 17, 0).bytes();
        for (offset, value) in [(0, 0x65), (0, 0x44), (3, 19), (8, 1)] {
            let mut bad = good;
            bad[offset] = value;
            assert!(Header::read(&bad).is_err(), "byte {offset} is {value}");
        }
        for end in 0..good.len() {
            assert!(Header::read(&good[..end]).is_err());
        }
    }
}
