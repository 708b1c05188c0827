//! What `packet(7)` and the kernel's `packet_mmap` document lay down: options of sockets that see frames, and the rings
//! of memory by which they are shared with programs.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Errno;

/// The level of these sockets' options (`SOL_PACKET`).
pub const LEVEL: i32 = 263;

/// Options (`PACKET_…`).
#[allow(missing_docs, reason = "packet(7) explains them under these names")]
pub mod option {
    pub const ADD_MEMBERSHIP: i32 = 1;
    pub const DROP_MEMBERSHIP: i32 = 2;
    pub const RECEIVE_RING: i32 = 5;
    pub const STATISTICS: i32 = 6;
    pub const AUXILIARY_DATA: i32 = 8;
    pub const ORIGINAL_DEVICE: i32 = 9;
    pub const VERSION: i32 = 10;
    pub const HEADER_LENGTH: i32 = 11;
    pub const RESERVE: i32 = 12;
    pub const TRANSMIT_RING: i32 = 13;
    pub const LOSS: i32 = 14;
    pub const TIMESTAMP: i32 = 17;
    pub const DISCIPLINE_BYPASS: i32 = 20;
    pub const IGNORE_OUTGOING: i32 = 23;
}

/// Kinds of memberships (`PACKET_MR_…`).
pub mod membership {
    /// A group of stations.
    pub const MULTICAST: u16 = 0;
    /// Whatever comes by.
    pub const PROMISCUOUS: u16 = 1;
    /// All groups.
    pub const ALL_GROUPS: u16 = 2;
    /// One more station.
    pub const UNICAST: u16 = 3;
}

/// Bits of a frame's status (`TP_STATUS_…`).
pub mod status {
    /// The frame is the kernel's, to be filled.
    pub const KERNEL: u32 = 0;
    /// It is the program's, to be read.
    pub const USER: u32 = 1;
    /// Frames were lost.
    pub const LOSING: u32 = 4;
    /// The card has yet to complete the checksum.
    pub const CHECKSUM_MISSING: u32 = 8;
    /// The block was given out because time was over.
    pub const BLOCK_TIMED_OUT: u32 = 0x20;
    /// The checksum was looked at and is right.
    pub const CHECKSUM_RIGHT: u32 = 0x80;
    /// To be sent: the program wants it to be.
    pub const SEND: u32 = 1;
    /// To be sent: it makes no sense.
    pub const WRONG_FORMAT: u32 = 4;
}

/// Bytes of `struct sockaddr_ll`.
pub const ADDRESS: usize = 20;
/// What headers and frames in a ring are aligned to (`TPACKET_ALIGNMENT`).
const ALIGNMENT: usize = 16;
/// Room in front of the data for a header of the link, at least.
const LEAST_LINK_HEADER: usize = 16;
/// Bytes in front of a block's own area (`struct tpacket_block_desc`).
pub const BLOCK_HEADER: usize = 48;
/// What frames in a block of version 3 are aligned to.
const BLOCK_ALIGNMENT: usize = 8;
/// Blocks are made of pages.
const PAGE: u32 = 4096;

/// What a program joins (`struct packet_mreq`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Membership {
    /// The interface's number.
    pub interface: i32,
    /// One of [`membership`].
    pub kind: u16,
    /// Bytes of the address that count.
    pub length: u16,
    /// A group's or a station's address.
    pub address: [u8; 8],
}

/// How a ring is to be (`struct tpacket_req3`; older versions have the first four words).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RingRequest {
    /// Bytes of each block.
    pub block_size: u32,
    /// How many blocks; 0 takes the ring away.
    pub blocks: u32,
    /// Bytes of each frame.
    pub frame_size: u32,
    /// How many frames in all blocks together.
    pub frames: u32,
    /// Milliseconds after which a block that is not full is given out.
    pub patience: u32,
    /// Bytes of each block that are the program's own.
    pub private: u32,
    /// Bit 0: the hash of each frame is wanted.
    pub features: u32,
}

/// Versions of rings (`TPACKET_V1`, …).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// With times in microseconds.
    #[default]
    V1,
    /// With times in nanoseconds.
    V2,
    /// With frames of any length in blocks that are given out together.
    V3,
}

impl Version {
    /// The version of a number.
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::V1, Self::V2, Self::V3]
            .into_iter()
            .find(|version| *version as i32 == number)
    }

    /// Bytes of a frame's header.
    pub fn header(self) -> usize {
        match self {
            Self::V1 | Self::V2 => 32,
            Self::V3 => 48,
        }
    }

    /// Bytes of it with the address behind it (`TPACKET_HDRLEN`).
    pub fn header_and_address(self) -> usize {
        self.header() + ADDRESS
    }

    /// Bytes that a program passes to ask for a ring.
    pub fn request(self) -> usize {
        match self {
            Self::V1 | Self::V2 => 16,
            Self::V3 => size_of::<RingRequest>(),
        }
    }
}

/// Where things are in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingShape {
    /// The version.
    pub version: Version,
    /// Bytes of each block.
    pub block_size: usize,
    /// How many blocks.
    pub blocks: usize,
    /// Bytes of each frame.
    pub frame_size: usize,
    /// Frames in a block.
    frames_per_block: usize,
    /// Bytes that a program wants in front of each frame's data.
    reserve: usize,
    /// Bytes of each block that are the program's own.
    private: usize,
    /// Milliseconds until a block is given out that is not full; 0 if nobody says.
    pub patience: u32,
}

impl RingShape {
    /// The shape of a ring that a program asks for; `None` if it wants none any more.
    ///
    /// # Errors
    /// `EINVAL` if it can't be so.
    pub fn new(
        version: Version,
        request: &RingRequest,
        reserve: u32,
        sends: bool,
    ) -> Result<Option<Self>, Errno> {
        if request.blocks == 0 {
            return match request.frames {
                0 => Ok(None),
                _ => Err(Errno::EINVAL),
            };
        }
        let ok = |condition: bool| condition.then_some(()).ok_or(Errno::EINVAL);
        let least = version.header_and_address() as u64 + u64::from(reserve);
        ok(i32::try_from(request.block_size).is_ok_and(|size| size > 0))?;
        ok(request.block_size.is_multiple_of(PAGE))?;
        let (mut patience, mut private) = (0, 0);
        if version == Version::V3 {
            (patience, private) = (request.patience, request.private);
            let before = BLOCK_HEADER as u64 + u64::from(private).next_multiple_of(8);
            ok(u64::from(request.block_size) >= before + least)?;
            ok(!sends || (patience, private, request.features) == (0, 0, 0))?;
        }
        ok(u64::from(request.frame_size) >= least)?;
        ok(request.frame_size.is_multiple_of(ALIGNMENT as u32))?;
        let per_block = request.block_size / request.frame_size;
        ok(per_block != 0)?;
        ok(per_block.checked_mul(request.blocks) == Some(request.frames))?;
        Ok(Some(Self {
            version,
            block_size: request.block_size as usize,
            blocks: request.blocks as usize,
            frame_size: request.frame_size as usize,
            frames_per_block: per_block as usize,
            reserve: reserve as usize,
            private: private as usize,
            patience,
        }))
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.block_size * self.blocks
    }

    /// How many frames.
    pub fn frames(&self) -> usize {
        self.frames_per_block * self.blocks
    }

    /// Where a frame begins.
    pub fn frame(&self, index: usize) -> usize {
        index / self.frames_per_block * self.block_size
            + index % self.frames_per_block * self.frame_size
    }

    /// Where data begins within a frame: from its link's header of so many bytes on, and from behind it. Without a header
    /// both are the same.
    pub fn data(&self, link_header: usize) -> (usize, usize) {
        let before = self.version.header_and_address() + LEAST_LINK_HEADER.max(link_header);
        let behind = before.next_multiple_of(ALIGNMENT) + self.reserve;
        (behind - link_header, behind)
    }

    /// Where the data is that a program wants to be sent.
    pub fn data_to_send(&self) -> usize {
        self.version.header()
    }

    /// Where the first frame of a block begins, within it.
    pub fn first_frame(&self) -> usize {
        BLOCK_HEADER + self.private.next_multiple_of(BLOCK_ALIGNMENT)
    }

    /// Bytes that a frame of version 3 takes in its block.
    pub fn footprint(&self, bytes: usize) -> usize {
        bytes.next_multiple_of(BLOCK_ALIGNMENT)
    }
}

/// What is said of a frame beside its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameFacts {
    /// [`status`] bits.
    pub status: u32,
    /// Bytes that it had.
    pub length: u32,
    /// Bytes of it that are there.
    pub captured: u32,
    /// Where it begins within its place in the ring,
    pub start: u16,
    /// and where what its link's header is in front of.
    pub inner: u16,
    /// Seconds since 1970
    pub seconds: u32,
    /// and nanoseconds.
    pub nanoseconds: u32,
    /// Of version 3: where the next one begins, from this one on.
    pub next: u32,
}

impl FrameFacts {
    /// The header of a frame of a version, without the status, which is written last and whose place comes with it.
    pub fn header(&self, version: Version) -> ([u8; 48], usize) {
        let mut bytes = [0; 48];
        let mut at = 0;
        let mut put = |value: &[u8]| {
            bytes[at..at + value.len()].copy_from_slice(value);
            at += value.len();
        };
        let places = |put: &mut dyn FnMut(&[u8])| {
            put(&self.start.to_ne_bytes());
            put(&self.inner.to_ne_bytes());
        };
        match version {
            Version::V1 | Version::V2 => {
                // In version 1 a word of 64 bits.
                put(&[0; 8][..if version == Version::V1 { 8 } else { 4 }]);
                put(&self.length.to_ne_bytes());
                put(&self.captured.to_ne_bytes());
                places(&mut put);
                put(&self.seconds.to_ne_bytes());
                let fraction = match version {
                    Version::V1 => self.nanoseconds / 1000,
                    _ => self.nanoseconds,
                };
                put(&fraction.to_ne_bytes());
                (bytes, 0)
            }
            Version::V3 => {
                for value in [
                    self.next,
                    self.seconds,
                    self.nanoseconds,
                    self.captured,
                    self.length,
                    0,
                ] {
                    put(&value.to_ne_bytes());
                }
                places(&mut put);
                (bytes, 20)
            }
        }
    }

    /// `struct tpacket_auxdata`
    pub fn auxiliary(&self) -> [u8; ADDRESS] {
        let mut bytes = [0; ADDRESS];
        for (place, value) in
            bytes
                .chunks_exact_mut(4)
                .zip([self.status, self.length, self.captured])
        {
            place.copy_from_slice(&value.to_ne_bytes());
        }
        bytes[12..14].copy_from_slice(&self.start.to_ne_bytes());
        bytes[14..16].copy_from_slice(&self.inner.to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What libpcap asks for.
    const REQUEST: RingRequest = RingRequest {
        block_size: 131_072,
        blocks: 16,
        frame_size: 65_536,
        frames: 32,
        patience: 1000,
        private: 0,
        features: 0,
    };

    #[test]
    fn shapes_of_rings_are_checked_as_linux_does() {
        let shape = |request: &RingRequest, version, reserve, sends| {
            RingShape::new(version, request, reserve, sends)
        };
        assert!(shape(&REQUEST, Version::V2, 4, false).is_ok_and(|shape| shape.is_some()));
        assert!(shape(&REQUEST, Version::V3, 4, false).is_ok_and(|shape| shape.is_some()));
        let wrong = [
            RingRequest {
                frames: 31,
                ..REQUEST
            },
            RingRequest {
                block_size: 131_073,
                ..REQUEST
            },
            RingRequest {
                block_size: 0,
                ..REQUEST
            },
            RingRequest {
                block_size: 0x8000_0000,
                ..REQUEST
            },
            RingRequest {
                frame_size: 48,
                frames: 2730 * 16,
                ..REQUEST
            },
            RingRequest {
                frame_size: 1000,
                frames: 131 * 16,
                ..REQUEST
            },
            RingRequest {
                frame_size: 262_144,
                frames: 0,
                ..REQUEST
            },
            RingRequest {
                blocks: 0,
                ..REQUEST
            },
            RingRequest {
                blocks: u32::MAX,
                frames: u32::MAX - 1,
                ..REQUEST
            },
        ];
        for request in wrong {
            assert_eq!(
                shape(&request, Version::V2, 0, false),
                Err(Errno::EINVAL),
                "{request:?}"
            );
        }
        let greedy = RingRequest {
            private: 131_072,
            ..REQUEST
        };
        assert_eq!(shape(&greedy, Version::V3, 0, false), Err(Errno::EINVAL));
        assert!(shape(&greedy, Version::V2, 0, false).is_ok());
        assert_eq!(shape(&REQUEST, Version::V3, 0, true), Err(Errno::EINVAL));
        assert_eq!(
            shape(&REQUEST, Version::V2, 65_536, false),
            Err(Errno::EINVAL)
        );
        assert_eq!(
            shape(&RingRequest::default(), Version::V1, 0, false),
            Ok(None)
        );
    }

    #[test]
    fn data_is_where_linux_puts_it() {
        let shape = |version| RingShape::new(version, &REQUEST, 0, false).ok().flatten();
        // Seen on Linux 6.1: `tp_mac` and `tp_net` of frames of Ethernet.
        let places = |version| shape(version).map(|shape| (shape.data(14), shape.data(0)));
        assert_eq!(places(Version::V1), Some(((66, 80), (80, 80))));
        assert_eq!(places(Version::V2), Some(((66, 80), (80, 80))));
        assert_eq!(places(Version::V3), Some(((82, 96), (96, 96))));
    }

    #[test]
    fn frames_lie_in_blocks() {
        let request = RingRequest {
            block_size: 4096,
            blocks: 3,
            frame_size: 1360,
            frames: 9,
            ..REQUEST
        };
        let shape = RingShape::new(Version::V2, &request, 0, false)
            .ok()
            .flatten();
        let places = shape.map(|shape| [0, 2, 3, 8].map(|index| shape.frame(index)));
        assert_eq!(places, Some([0, 2720, 4096, 8192 + 2720]));
    }
}
