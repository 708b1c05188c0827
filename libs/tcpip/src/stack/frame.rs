//! Frames, in and out, and what of the work on them devices do.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use crate::buffer::{Buffer, Pieces, Slice};

/// Most bytes of all headers of a frame: Ethernet, IPv6 with an option, and TCP.
const LONGEST_HEADERS: usize = 128;
/// Most bytes of data of a segment that a device cuts: with its headers it has to fit into an IP packet.
pub(super) const LARGEST_SEGMENT: usize = 65_535 - LONGEST_HEADERS;

/// What a device does with frames that are to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// It completes the checksum of TCP and UDP.
    pub checksum: bool,
    /// It cuts large segments of TCP over IPv4. It has to complete checksums as well, then.
    pub segmentation_v4: bool,
    /// As before, over IPv6.
    pub segmentation_v6: bool,
    /// It cuts datagrams of UDP that are too long into parts of IP (UFO). It has to complete checksums as well, then.
    pub parts: bool,
    /// It cuts what is behind a header of UDP into datagrams (USO). It has to complete checksums as well, then.
    pub datagrams: bool,
}

impl Offload {
    /// Most bytes of data of a segment that is to be cut; 0 if none is.
    pub(super) fn largest_segment(self, over_v6: bool) -> usize {
        let cuts = if over_v6 {
            self.segmentation_v6
        } else {
            self.segmentation_v4
        };
        if self.checksum && cuts {
            LARGEST_SEGMENT
        } else {
            0
        }
    }
}

/// The headers of a frame.
#[derive(Clone, Copy)]
pub struct Headers {
    bytes: [u8; LONGEST_HEADERS],
    length: usize,
}

impl Headers {
    /// None so far.
    pub fn new() -> Self {
        Self {
            bytes: [0; LONGEST_HEADERS],
            length: 0,
        }
    }

    /// Adds a header.
    ///
    /// # Panics
    /// If it does not fit: the headers that are written here always do.
    pub fn push(&mut self, header: &[u8]) {
        let end = self.length + header.len();
        self.bytes[self.length..end].copy_from_slice(header);
        self.length = end;
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Headers {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl DerefMut for Headers {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

impl core::fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{:02x?}", &**self)
    }
}

/// A checksum that is not complete: its field holds the sum of the pseudo-header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// From where on in the frame bytes are to be added.
    pub start: u16,
    /// Where the checksum is, from there on.
    pub offset: u16,
}

/// What a frame is to be cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutInto {
    /// Segments of TCP.
    Segments,
    /// Parts of a datagram of UDP: the size counts UDP's header, too.
    Parts,
    /// Datagrams of UDP.
    Datagrams,
}

/// How a large frame is to be cut into packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// What they are.
    pub into: CutInto,
    /// Bytes of data for each packet.
    pub size: u16,
    /// Its packets are of IPv6.
    pub over_v6: bool,
}

/// A frame that is to be sent.
#[derive(Clone, Debug)]
pub struct Frame<B> {
    /// By which interface.
    pub interface: usize,
    /// Its headers.
    pub headers: Headers,
    /// Its data.
    pub payload: Pieces<B>,
    /// What of its checksum the device has to do.
    pub partial: Option<Partial>,
    /// Whether the device has to cut it.
    pub cut: Option<Cut>,
    /// By which of a card's lanes it should leave: that of the program which has used its connection last; `None` if any
    /// will do.
    pub lane: Option<u16>,
}

impl<B: Buffer> Frame<B> {
    /// Bytes of headers and data.
    pub fn length(&self) -> usize {
        self.headers.len() + self.payload.length()
    }

    /// A copy of all its bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length());
        bytes.extend_from_slice(&self.headers);
        for piece in self.payload.iter() {
            bytes.extend_from_slice(piece);
        }
        bytes
    }
}

/// A frame that has arrived.
#[derive(Clone, Debug)]
pub struct Received<B> {
    /// Its bytes. All headers are in the first piece; several pieces have only segments of TCP that the device has put
    /// together.
    pub bytes: Pieces<B>,
    /// The checksum of TCP or UDP need not be looked at: the device has, or the frame was on no wire.
    pub verified: bool,
}

impl<B: Buffer> From<Slice<B>> for Received<B> {
    fn from(bytes: Slice<B>) -> Self {
        Self {
            bytes: bytes.into(),
            verified: false,
        }
    }
}

/// What is inside of an IP packet that is to be sent.
pub(super) struct Transport<'a, B> {
    /// Its header.
    pub header: &'a [u8],
    /// Its data.
    pub payload: Pieces<B>,
    /// Where in the header the checksum is, if the device is to complete it.
    pub partial: Option<u16>,
    /// Into what the device is to cut it, and bytes of data for each packet; 0 if not.
    pub cut: (CutInto, u16),
}

/// Not to be cut.
pub(super) const UNCUT: (CutInto, u16) = (CutInto::Segments, 0);

impl<'a, B> Transport<'a, B> {
    /// What is complete as it is.
    pub fn whole(header: &'a [u8], payload: impl Into<Pieces<B>>) -> Self {
        Self {
            header,
            payload: payload.into(),
            partial: None,
            cut: UNCUT,
        }
    }
}
