//! TCP: one connection at a time (RFC 9293).

mod congestion;
mod connection;
pub mod cookie;
mod options;
mod receive;
mod request;
mod round_trip;
mod send;
mod sequence;
mod time_wait;
mod urgent;

pub use congestion::Algorithm;
pub use connection::{Connection, Ending, Information, LARGEST_RECEIVE, Readiness, State, Trouble};
pub use options::{KeepAlive, Options, Path};
pub use request::{Offer, Request, Step};
pub use sequence::Sequence;
pub use time_wait::{Late, TimeWait};
pub use urgent::Urgent;

use crate::buffer::Pieces;
use crate::time::{Instant, MILLISECOND};
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
    /// A segment without data.
    pub fn plain(header: Header) -> Self {
        Self {
            header,
            payload: Pieces::default(),
            cut: 0,
        }
    }

    /// Bytes of data.
    pub fn length(&self) -> usize {
        self.payload.length()
    }
}

/// The clock of timestamps, in milliseconds.
fn stamp_of(offset: u32, now: Instant) -> u32 {
    offset.wrapping_add((now.0 / MILLISECOND) as u32)
}

/// By how many bits windows are shifted, for a buffer of so many bytes; those that grow by themselves need seven.
fn window_shift(capacity: usize) -> u8 {
    let mut shift = 7;
    while shift < 14 && capacity >> shift > 0xffff {
        shift += 1;
    }
    shift
}
