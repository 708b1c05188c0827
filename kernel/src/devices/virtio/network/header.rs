//! The header before each frame (`struct virtio_net_hdr`, section 5.1.6).

use pith_tcpip::stack::{Cut, Frame, Partial};

use crate::memory::Packet;

/// Bytes of the header.
pub const LENGTH: usize = 12;

/// Flag: the checksum has to be completed.
const NEEDS_CHECKSUM: u8 = 1;
/// Flag: the checksum is right.
const DATA_VALID: u8 = 2;
/// Kinds of segmentation.
const NONE: u8 = 0;
const TCP_V4: u8 = 1;
const TCP_V6: u8 = 4;
/// Added to the kind: the sender was told of congestion.
const CONGESTION: u8 = 0x80;

/// The header of a frame that is to be sent.
pub fn write(frame: &Frame<Packet>) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    if let Some(Partial { start, offset }) = frame.partial {
        bytes[0] = NEEDS_CHECKSUM;
        bytes[6..8].copy_from_slice(&start.to_le_bytes());
        bytes[8..10].copy_from_slice(&offset.to_le_bytes());
    }
    if let Some(Cut { size, over_v6 }) = frame.cut {
        bytes[1] = if over_v6 { TCP_V6 } else { TCP_V4 };
        bytes[2..4].copy_from_slice(&(frame.headers.len() as u16).to_le_bytes());
        bytes[4..6].copy_from_slice(&size.to_le_bytes());
    }
    bytes
}

/// What the device says of a frame that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The checksum need not be looked at: the device has done so, or the frame was never on a wire.
    pub verified: bool,
    /// Several segments of TCP were put together.
    pub together: bool,
    /// In how many buffers it is, if the device says so.
    pub buffers: u16,
}

/// Reads the header of a frame. `None` if it says what can't be.
pub fn read(bytes: &[u8]) -> Option<Arrived> {
    let bytes: &[u8; LENGTH] = bytes.first_chunk()?;
    let kind = bytes[1] & !CONGESTION;
    if !matches!(kind, NONE | TCP_V4 | TCP_V6) {
        return None;
    }
    Some(Arrived {
        verified: bytes[0] & (NEEDS_CHECKSUM | DATA_VALID) != 0,
        together: kind != NONE,
        buffers: u16::from_le_bytes([bytes[10], bytes[11]]),
    })
}
