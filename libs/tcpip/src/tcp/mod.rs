//! TCP: one connection at a time (RFC 9293).

mod congestion;
mod connection;
mod receive;
mod round_trip;
mod send;
mod sequence;

pub use congestion::Algorithm;
pub use connection::{Connection, Ending, Options, Path, Readiness, State};
pub use sequence::Sequence;

use crate::buffer::Pieces;
use crate::wire::tcp::Header;

/// A segment that is to be sent.
#[derive(Clone, Debug)]
pub struct Segment<B> {
    /// Its header.
    pub header: Header,
    /// Its data, in pieces.
    pub payload: Pieces<B>,
    /// Data for each of the packets into which the device cuts it; 0 if it is one packet.
    pub cut: u16,
}

impl<B: crate::Buffer> Segment<B> {
    /// Bytes of data.
    pub fn length(&self) -> usize {
        self.payload.length()
    }
}
