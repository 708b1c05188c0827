//! Frames that come in.
//!
//! What the device fills goes up as it is: a frame is not copied until the program takes its data. Only small frames are,
//! so that they don't keep a large buffer. When there is no memory for another buffer, the frame is lost and its buffer
//! goes back to the device: so the device always has buffers.

use alloc::vec::Vec;

use pith_tcpip::buffer::{Pieces, Slice};
use pith_tcpip::stack::Received;
use pith_virtqueue::network::{self as header, Arrived};
use pith_virtqueue::{Direction, Queue, Region};

use super::Counts;
use crate::devices::shared_memory::SharedMemory;
use crate::devices::virtio::{Transport, notify};
use crate::memory::{Packet, PacketRoom};

/// Frames up to this length are copied into a block of their size.
const SMALL: usize = 900;

/// The queue for frames that come in.
pub struct Receive {
    pub queue: Queue<SharedMemory, PacketRoom>,
    pub number: u16,
    /// Bytes of each buffer.
    pub room: usize,
    /// A frame may be in several buffers.
    merges: bool,
    /// Segments may have been put together.
    together: bool,
    /// Buffers for the device that were not given to it yet.
    empty: Vec<PacketRoom>,
    /// What has come.
    pub counts: Counts,
}

impl Receive {
    /// A queue whose buffers have so many bytes.
    pub fn new(queue: Queue<SharedMemory, PacketRoom>, number: u16, room: usize, merges: bool, together: bool) -> Self {
        Self {
            empty: Vec::with_capacity(queue.size().into()),
            queue,
            number,
            room,
            merges,
            together,
            counts: Counts::default(),
        }
    }

    /// Gives the device up to `count` new buffers. False if there is no memory for them.
    pub fn fill(&mut self, count: usize) -> bool {
        for _ in 0..count.min(self.queue.size().into()) {
            match PacketRoom::new(self.room) {
                Some(room) => self.empty.push(room),
                None => break,
            }
        }
        self.give();
        self.queue.in_flight() != 0
    }

    /// Gives the device the buffers that are empty.
    fn give(&mut self) {
        while let Some(room) = self.empty.pop() {
            let region = Region {
                address: room.physical(),
                length: room.capacity().min(self.room) as u32,
            };
            // The device may have a shorter queue than was asked for; fewer will do.
            if self.queue.submit(room, region, Direction::FromDevice).is_err() {
                break;
            }
        }
    }

    /// Takes up to `most` frames that have come, and gives the device new buffers. Returns how many there were, with those
    /// that were lost.
    pub fn take(&mut self, transport: &dyn Transport, most: usize, frames: &mut Vec<Received<Packet>>) -> usize {
        let mut count = 0;
        while count < most {
            let Some((room, length)) = self.queue.take_used() else {
                break;
            };
            count += 1;
            match self.frame(room, length) {
                Some(frame) => {
                    self.counts.packets += 1;
                    self.counts.bytes += frame.bytes.length() as u64;
                    frames.push(frame);
                }
                None => self.counts.lost += 1,
            }
        }
        if count != 0 {
            self.give();
            notify(transport, &mut self.queue, self.number);
        }
        count
    }

    /// The frame that begins in a buffer.
    fn frame(&mut self, room: PacketRoom, length: usize) -> Option<Received<Packet>> {
        let arrived =
            (room.bytes().get(..length)).and_then(|written| header::arrived(written, self.merges, self.together));
        let Some(arrived) = arrived else {
            self.empty.push(room);
            return None;
        };
        if arrived.buffers > 1 {
            return self.merged(room, length, arrived);
        }
        let bytes = self.piece(room, length, header::LENGTH)?;
        Some(Received {
            bytes: bytes.into(),
            verified: arrived.verified,
        })
    }

    /// What is in a buffer from `start` on; there will be an empty one in its place.
    fn piece(&mut self, room: PacketRoom, length: usize, start: usize) -> Option<Slice<Packet>> {
        if length - start <= SMALL {
            let copy = Packet::copy_of(&room.bytes()[start..length]);
            self.empty.push(room);
            return copy.map(Slice::new);
        }
        match PacketRoom::new(self.room) {
            Some(other) => self.empty.push(other),
            None => {
                self.empty.push(room);
                return None;
            }
        }
        let mut piece = Slice::new(room.filled(length));
        piece.advance(start);
        Some(piece)
    }

    /// A frame in several buffers, of which the device has given back all if it gives back one.
    fn merged(&mut self, first: PacketRoom, length: usize, arrived: Arrived) -> Option<Received<Packet>> {
        let mut bytes = Pieces::default();
        let mut whole = match self.piece(first, length, header::LENGTH) {
            Some(piece) => {
                bytes.push(piece);
                true
            }
            None => false,
        };
        for _ in 1..arrived.buffers {
            let (room, length) = self.queue.take_used()?;
            match self.piece(room, length, 0) {
                Some(piece) => bytes.push(piece),
                None => whole = false,
            }
        }
        if !whole {
            return None;
        }
        if !arrived.together {
            // One long packet: whoever reads it wants it in one piece.
            let mut room = PacketRoom::new(bytes.length())?;
            let mut end = 0;
            for piece in bytes.iter() {
                room.bytes_mut()[end..end + piece.len()].copy_from_slice(piece);
                end += piece.len();
            }
            bytes = Slice::new(room.filled(end)).into();
        }
        Some(Received {
            bytes,
            verified: arrived.verified,
        })
    }
}
