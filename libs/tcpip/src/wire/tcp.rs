//! TCP headers and their options (RFC 9293, RFC 7323, RFC 2018).

use super::{Malformed, array_at, u16_at, u32_at};
use crate::tcp::Sequence;

/// Bytes of a header without options.
pub const HEADER: usize = 20;
/// Most bytes of a header.
pub const LONGEST_HEADER: usize = 60;
/// Most blocks of a selective acknowledgement.
pub const SACK_BLOCKS: usize = 4;

/// The bits of a header.
pub mod flag {
    /// No more data will come.
    pub const FIN: u8 = 1;
    /// The start of a connection.
    pub const SYN: u8 = 2;
    /// There is no such connection.
    pub const RST: u8 = 4;
    /// Hand what there is to the program.
    pub const PSH: u8 = 8;
    /// The acknowledgement counts.
    pub const ACK: u8 = 16;
    /// The urgent pointer counts.
    pub const URG: u8 = 32;
}

/// A range of sequence numbers: the first, and the one behind the last.
pub type Block = (Sequence, Sequence);

/// What a header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// From which port.
    pub source: u16,
    /// To which port.
    pub destination: u16,
    /// Number of the first byte.
    pub sequence: Sequence,
    /// Number of the byte that is expected next.
    pub acknowledgement: Sequence,
    /// [`flag`].
    pub flags: u8,
    /// Bytes that may be sent, not scaled yet.
    pub window: u16,
    /// Where urgent data ends, from the sequence number on.
    pub urgent: u16,
    /// Most bytes of data that a segment may have.
    pub maximum_segment: Option<u16>,
    /// By how many bits windows are shifted.
    pub window_scale: Option<u8>,
    /// Selective acknowledgements are understood.
    pub sack_permitted: bool,
    /// The time of sending, and the one that is echoed.
    pub timestamps: Option<(u32, u32)>,
    /// What has arrived beyond the acknowledgement.
    pub sack: [Option<Block>; SACK_BLOCKS],
}

impl Header {
    /// Whether a bit is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Reads a header. Returns it and its length.
    ///
    /// # Errors
    /// [`Malformed`]. Options that make no sense are passed over.
    pub fn read(segment: &[u8]) -> Result<(Self, usize), Malformed> {
        let length = usize::from(u16_at(segment, 12)? >> 12) * 4;
        if length < HEADER {
            return Err(Malformed::Field);
        }
        let bytes = segment.get(..length).ok_or(Malformed::Short)?;
        let mut header = Self {
            source: u16_at(bytes, 0)?,
            destination: u16_at(bytes, 2)?,
            sequence: Sequence(u32_at(bytes, 4)?),
            acknowledgement: Sequence(u32_at(bytes, 8)?),
            flags: bytes[13] & 0x3f,
            window: u16_at(bytes, 14)?,
            urgent: u16_at(bytes, 18)?,
            ..Self::default()
        };
        header.read_options(&bytes[HEADER..]);
        Ok((header, length))
    }

    fn read_options(&mut self, mut options: &[u8]) {
        while let [kind, rest @ ..] = options {
            let length = match (*kind, rest.first()) {
                (0, _) => return,
                (1, _) => {
                    options = rest;
                    continue;
                }
                (_, Some(length)) => usize::from(*length),
                (_, None) => return,
            };
            if length < 2 || length > options.len() {
                return;
            }
            let body = &options[2..length];
            match (*kind, body.len()) {
                (2, 2) => self.maximum_segment = u16_at(body, 0).ok(),
                (3, 1) => self.window_scale = Some(body[0].min(14)),
                (4, 0) => self.sack_permitted = true,
                (5, size) if size % 8 == 0 => {
                    for (place, block) in self.sack.iter_mut().zip(body.chunks_exact(8)) {
                        let (Ok(start), Ok(end)) = (u32_at(block, 0), u32_at(block, 4)) else {
                            return;
                        };
                        *place = Some((Sequence(start), Sequence(end)));
                    }
                }
                (8, 8) => {
                    if let (Ok(value), Ok(echo)) = (u32_at(body, 0), u32_at(body, 4)) {
                        self.timestamps = Some((value, echo));
                    }
                }
                _ => {}
            }
            options = &options[length..];
        }
    }

    /// Writes the header without a checksum. Returns its length.
    pub fn write(&self, bytes: &mut [u8; LONGEST_HEADER]) -> usize {
        let mut end = HEADER;
        let mut put = |option: &[u8]| {
            // What does not fit is left out: only blocks of a selective acknowledgement may be so many.
            if end + option.len() <= LONGEST_HEADER {
                bytes[end..end + option.len()].copy_from_slice(option);
                end += option.len();
            }
        };
        if let Some(size) = self.maximum_segment {
            let [high, low] = size.to_be_bytes();
            put(&[2, 4, high, low]);
        }
        if self.sack_permitted {
            put(if self.timestamps.is_some() {
                &[4, 2]
            } else {
                &[1, 1, 4, 2]
            });
        }
        if let Some((value, echo)) = self.timestamps {
            if !self.sack_permitted {
                put(&[1, 1]);
            }
            put(&[8, 10]);
            put(&value.to_be_bytes());
            put(&echo.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            put(&[1, 3, 3, shift]);
        }
        let room = if self.timestamps.is_some() {
            3
        } else {
            SACK_BLOCKS
        };
        let count = self.sack.iter().flatten().take(room).count();
        if count != 0 {
            put(&[1, 1, 5, 2 + 8 * count as u8]);
            for (start, end) in self.sack.iter().flatten().take(room) {
                put(&start.0.to_be_bytes());
                put(&end.0.to_be_bytes());
            }
        }
        let length = end;
        bytes[..2].copy_from_slice(&self.source.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.destination.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.sequence.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.acknowledgement.0.to_be_bytes());
        bytes[12] = (length as u8 / 4) << 4;
        bytes[13] = self.flags;
        bytes[14..16].copy_from_slice(&self.window.to_be_bytes());
        bytes[16..18].copy_from_slice(&[0; 2]);
        bytes[18..20].copy_from_slice(&self.urgent.to_be_bytes());
        length
    }

    /// The ports of a segment, even of one of which only the start is there (in an ICMP message).
    ///
    /// # Errors
    /// [`Malformed::Short`].
    pub fn ports(segment: &[u8]) -> Result<(u16, u16), Malformed> {
        let ports: [u8; 4] = array_at(segment, 0)?;
        Ok((
            u16::from_be_bytes([ports[0], ports[1]]),
            u16::from_be_bytes([ports[2], ports[3]]),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let plain = Header {
            source: 80,
            destination: 40_000,
            sequence: Sequence(1),
            acknowledgement: Sequence(u32::MAX),
            flags: flag::ACK | flag::PSH,
            window: 1000,
            ..Header::default()
        };
        let block = |n| Some((Sequence(n), Sequence(n + 10)));
        let options = [
            plain,
            Header {
                maximum_segment: Some(1460),
                window_scale: Some(7),
                sack_permitted: true,
                timestamps: Some((1, 2)),
                ..plain
            },
            Header {
                sack: [block(1), block(20), block(40), None],
                timestamps: Some((7, 8)),
                ..plain
            },
            Header {
                sack: [block(1), block(20), block(40), block(60)],
                ..plain
            },
            Header {
                timestamps: Some((7, 8)),
                ..plain
            },
        ];
        for header in options {
            let mut bytes = [0; LONGEST_HEADER];
            let length = header.write(&mut bytes);
            assert_eq!(length % 4, 0);
            assert_eq!(Header::read(&bytes[..length]), Ok((header, length)));
            for end in 0..length {
                assert!(Header::read(&bytes[..end]).is_err());
            }
        }
    }

    #[test]
    fn options_that_make_no_sense_end_nothing() {
        for options in [
            &[2, 0, 0, 0][..],
            &[2, 1, 0, 0],
            &[2, 40, 0, 0],
            &[5, 7, 1, 2],
            &[1, 1, 1, 2],
            &[99, 4, 1, 2],
        ] {
            let mut bytes = [0; 24];
            bytes[12] = 0x60;
            bytes[20..].copy_from_slice(options);
            let (header, length) = Header::read(&bytes).expect("a header");
            assert_eq!(length, 24);
            assert_eq!(header.maximum_segment, None);
        }
    }
}
