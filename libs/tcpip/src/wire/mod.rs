//! Packets as bytes: reading them, where nothing is believed that was not checked, and writing them.

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod icmp;
pub mod icmpv6;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod tcp;
pub mod udp;

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They end too early.
    Short,
    /// A field has a value that can't be.
    Field,
    /// The checksum is wrong.
    Checksum,
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, Malformed> {
    let chunk = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    chunk
        .copied()
        .map(u16::from_be_bytes)
        .ok_or(Malformed::Short)
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, Malformed> {
    let chunk = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    chunk
        .copied()
        .map(u32::from_be_bytes)
        .ok_or(Malformed::Short)
}

pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], Malformed> {
    let chunk = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    chunk.copied().ok_or(Malformed::Short)
}
