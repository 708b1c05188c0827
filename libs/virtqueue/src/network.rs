//! The header before each frame of a network card (`struct virtio_net_hdr`, section 5.1.6): writing it, and reading what a
//! device says, of which nothing is believed that can't be.

/// Bytes of the header.
pub const LENGTH: usize = 12;

/// Flag: the checksum has to be completed.
const NEEDS_CHECKSUM: u8 = 1;
/// Flag: the checksum is right.
const DATA_VALID: u8 = 2;
/// Kinds of segmentation.
const NONE: u8 = 0;
const TCP_V4: u8 = 1;
const UDP_PARTS: u8 = 3;
const TCP_V6: u8 = 4;
const UDP_DATAGRAMS: u8 = 5;
/// Added to the kind: the sender was told of congestion.
const CONGESTION: u8 = 0x80;

/// What the device is to cut a frame into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentationKind {
    /// Segments of TCP over IPv4.
    TcpV4,
    /// Segments of TCP over IPv6.
    TcpV6,
    /// Parts of a datagram of UDP (UFO).
    UdpParts,
    /// Datagrams of UDP (USO).
    UdpDatagrams,
}

/// A frame that the device is to cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// Bytes of all headers, which each packet gets.
    pub headers: u16,
    /// Bytes of data for each packet.
    pub size: u16,
    /// What the packets are.
    pub kind: SegmentationKind,
}

/// The header of a frame that is to be sent. `checksum` says from where in the frame on bytes are to be added, and where
/// from there on the sum goes.
pub fn outgoing(checksum: Option<(u16, u16)>, segmentation: Option<Segmentation>) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    if let Some((start, offset)) = checksum {
        bytes[0] = NEEDS_CHECKSUM;
        bytes[6..8].copy_from_slice(&start.to_le_bytes());
        bytes[8..10].copy_from_slice(&offset.to_le_bytes());
    }
    if let Some(segmentation) = segmentation {
        bytes[1] = match segmentation.kind {
            SegmentationKind::TcpV4 => TCP_V4,
            SegmentationKind::TcpV6 => TCP_V6,
            SegmentationKind::UdpParts => UDP_PARTS,
            SegmentationKind::UdpDatagrams => UDP_DATAGRAMS,
        };
        bytes[2..4].copy_from_slice(&segmentation.headers.to_le_bytes());
        bytes[4..6].copy_from_slice(&segmentation.size.to_le_bytes());
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
    /// In how many buffers the frame is; 1 at least.
    pub buffers: u16,
}

/// Reads the header at the start of what the device has written into a frame's first buffer. `merges` says that a frame may
/// be in several buffers, and `together` that segments may have been put together. `None` if the header says what can't be
/// or was not agreed on.
pub fn arrived(written: &[u8], merges: bool, together: bool) -> Option<Arrived> {
    let (header, frame) = written.split_first_chunk::<LENGTH>()?;
    let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let is_together = match header[1] & !CONGESTION {
        NONE => false,
        TCP_V4 | TCP_V6 if together && word(4) != 0 => true,
        _ => return None,
    };
    if header[0] & NEEDS_CHECKSUM != 0 {
        // The place of the checksum lies among the headers, and those are in the first buffer.
        let end = usize::from(word(6)) + usize::from(word(8)) + 2;
        if end > frame.len() {
            return None;
        }
    }
    let buffers = match merges {
        true => word(10),
        false => 1,
    };
    (buffers != 0).then_some(Arrived {
        verified: header[0] & (NEEDS_CHECKSUM | DATA_VALID) != 0,
        together: is_together,
        buffers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(header: [u8; LENGTH], frame: usize) -> Vec<u8> {
        [&header[..], &vec![7; frame]].concat()
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        assert_eq!(outgoing(None, None), [0; LENGTH]);
        let segmentation = Segmentation {
            headers: 66,
            size: 1448,
            kind: SegmentationKind::TcpV4,
        };
        assert_eq!(
            outgoing(Some((34, 16)), Some(segmentation)),
            [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0]
        );
        for (kind, number) in [
            (SegmentationKind::TcpV6, 4),
            (SegmentationKind::UdpParts, 3),
            (SegmentationKind::UdpDatagrams, 5),
        ] {
            let other = Segmentation {
                kind,
                ..segmentation
            };
            assert_eq!(outgoing(None, Some(other))[..2], [0, number]);
        }
    }

    #[test]
    fn what_a_device_may_say_is_understood() {
        let plain = Arrived {
            verified: false,
            together: false,
            buffers: 1,
        };
        let mut header = [0; LENGTH];
        header[10] = 1;
        assert_eq!(arrived(&written(header, 60), true, true), Some(plain));
        header[0] = 2;
        let verified = Arrived {
            verified: true,
            ..plain
        };
        assert_eq!(arrived(&written(header, 60), true, true), Some(verified));
        header[..10].copy_from_slice(&[1, 0x81, 66, 0, 100, 0, 34, 0, 16, 0]);
        header[10] = 3;
        let together = Arrived {
            together: true,
            buffers: 3,
            ..verified
        };
        assert_eq!(arrived(&written(header, 60), true, true), Some(together));
        // Without that agreement the number of buffers means nothing.
        assert_eq!(
            arrived(&written(header, 60), false, true),
            Some(Arrived {
                buffers: 1,
                ..together
            })
        );
    }

    #[test]
    fn what_can_not_be_is_refused() {
        let mut good = [0; LENGTH];
        good[10] = 1;
        assert!(arrived(&written(good, 60), true, true).is_some());
        let bad = |change: fn(&mut [u8; LENGTH])| {
            let mut header = good;
            change(&mut header);
            arrived(&written(header, 60), true, false)
        };
        // No buffer at all.
        assert_eq!(bad(|header| header[10] = 0), None);
        // Put together, which was not agreed on; in unknown ways; into packets of no data.
        assert_eq!(
            bad(|header| header[1..5].copy_from_slice(&[1, 0, 0, 9])),
            None
        );
        for kind in [2, 3, 5, 127] {
            let mut header = good;
            header[1..5].copy_from_slice(&[kind, 0, 0, 9]);
            assert_eq!(arrived(&written(header, 60), true, true), None);
        }
        let mut header = good;
        header[1] = 1;
        assert_eq!(arrived(&written(header, 60), true, true), None);
        // A checksum behind the end.
        for (start, offset, fits) in [
            (58, 0, true),
            (59, 0, false),
            (34, 16, true),
            (50, 16, false),
            (255, 255, false),
        ] {
            let mut header = good;
            header[0] = 1;
            header[6] = start;
            header[8] = offset;
            assert_eq!(arrived(&written(header, 60), true, true).is_some(), fits);
        }
        // Less than a header.
        for length in 0..LENGTH {
            assert_eq!(arrived(&good[..length], true, true), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..40), merges: bool, together: bool) {
            if let Some(arrived) = arrived(&bytes, merges, together) {
                prop_assert!(arrived.buffers != 0);
                prop_assert!(merges || arrived.buffers == 1);
                prop_assert!(together || !arrived.together);
            }
        }
    }
}
