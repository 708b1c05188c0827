//! Frames that go out.
//!
//! The device reads headers and data where they are. It is told once for several frames, and what it is done with is
//! taken back when the next ones come; only when its queue is full it is asked for an interrupt, and further frames wait.

use alloc::collections::VecDeque;

use pith_tcpip::buffer::{Pieces, Slice};
use pith_tcpip::stack::{CutInto, Frame};
use pith_virtqueue::network::{self as header, Segmentation, SegmentationKind};
use pith_virtqueue::{Queue, Region};

use super::Counts;
use crate::devices::shared_memory::SharedMemory;
use crate::devices::virtio::{Transport, notify};
use crate::memory::{LARGEST_PACKET, Packet, PacketRoom};

/// Most pieces of a frame: headers, and data.
pub const PIECES: usize = 18;
/// Most frames that wait for room in the queue.
const WAITING: usize = 1000;
/// Bytes of the block for headers.
const HEAD: usize = 220;
/// Data up to this length travels behind its headers.
const SMALL: usize = 72;

/// What the device reads of a frame.
pub struct Sent {
    /// Header and headers.
    _head: PacketRoom,
    /// Data.
    _payload: Pieces<Packet>,
}

/// The queue for frames that go out.
pub struct Transmit {
    pub queue: Queue<SharedMemory, Sent>,
    pub number: u16,
    waiting: VecDeque<Frame<Packet>>,
    /// What has gone.
    pub counts: Counts,
}

impl Transmit {
    /// A queue.
    pub fn new(mut queue: Queue<SharedMemory, Sent>, number: u16) -> Self {
        queue.set_interrupts(false);
        Self {
            queue,
            number,
            waiting: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Sends a frame, whose data it takes, now or when there is room. The device may have to be told: see [`Self::tell`].
    pub fn send(&mut self, frame: &mut Frame<Packet>) {
        if self.queue.in_flight() >= usize::from(self.queue.size() / 2) {
            self.reclaim();
        }
        if self.waiting.is_empty() && self.has_room(frame) {
            self.submit(frame);
            return;
        }
        if self.waiting.len() < WAITING && self.queue.misbehaviour().is_none() {
            let payload = core::mem::take(&mut frame.payload);
            self.waiting.push_back(Frame { payload, ..*frame });
            self.resume();
        } else {
            self.counts.lost += 1;
        }
    }

    /// Tells the device of what was sent since it was last told.
    pub fn tell(&mut self, transport: &dyn Transport) {
        notify(transport, &mut self.queue, self.number);
    }

    /// Whether frames wait for room.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes back what the device is done with.
    pub fn reclaim(&mut self) {
        while self.queue.take_used().is_some() {}
    }

    /// Sends frames that wait, as far as there is room. If some are left, an interrupt will tell when to go on. True if
    /// the device has to be told.
    pub fn resume(&mut self) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let mut any = false;
        loop {
            self.reclaim();
            while let Some(frame) = self.waiting.front()
                && self.has_room(frame)
            {
                if let Some(mut frame) = self.waiting.pop_front() {
                    self.submit(&mut frame);
                    any = true;
                }
            }
            if self.waiting.is_empty() {
                self.queue.set_interrupts(false);
                return any;
            }
            let some = self.queue.in_flight() / 2;
            self.queue.interrupt_after(some as u16);
            // What came back meanwhile causes no interrupt.
            if !self.queue.has_used() {
                return any;
            }
        }
    }

    fn has_room(&self, frame: &Frame<Packet>) -> bool {
        self.queue.has_room((frame.payload.count() + 1).min(PIECES))
    }

    fn submit(&mut self, frame: &mut Frame<Packet>) {
        let length = frame.length();
        match self.try_submit(frame) {
            Some(()) => {
                self.counts.packets += 1;
                self.counts.bytes += length as u64;
            }
            None => self.counts.lost += 1,
        }
    }

    fn try_submit(&mut self, frame: &mut Frame<Packet>) -> Option<()> {
        let mut head = PacketRoom::new(HEAD)?;
        let mut end = header::LENGTH + frame.headers.len();
        let bytes = head.bytes_mut();
        bytes[..header::LENGTH].copy_from_slice(&header_of(frame));
        bytes[header::LENGTH..end].copy_from_slice(&frame.headers);
        let mut payload = core::mem::take(&mut frame.payload);
        if payload.length() <= SMALL {
            for piece in payload.iter() {
                bytes[end..end + piece.len()].copy_from_slice(piece);
                end += piece.len();
            }
            payload = Pieces::default();
        } else if payload.count() >= PIECES {
            payload = in_one_piece(&payload)?;
        }
        let first = Region {
            address: head.physical(),
            length: end as u32,
        };
        if payload.is_empty() {
            let sent = Sent {
                _head: head,
                _payload: payload,
            };
            return self.queue.submit_chain(sent, &[first], &[]).ok();
        }
        let mut regions = [first; PIECES];
        let count = payload.count() + 1;
        for (region, piece) in regions[1..].iter_mut().zip(payload.iter()) {
            *region = region_of(piece);
        }
        let sent = Sent {
            _head: head,
            _payload: payload,
        };
        self.queue.submit_chain(sent, &regions[..count], &[]).ok()
    }
}

fn header_of(frame: &Frame<Packet>) -> [u8; header::LENGTH] {
    let checksum = frame.partial.map(|partial| (partial.start, partial.offset));
    let segmentation = frame.cut.map(|cut| Segmentation {
        headers: frame.headers.len() as u16,
        size: cut.size,
        kind: match (cut.into, cut.over_v6) {
            (CutInto::Segments, false) => SegmentationKind::TcpV4,
            (CutInto::Segments, true) => SegmentationKind::TcpV6,
            (CutInto::Parts, _) => SegmentationKind::UdpParts,
            (CutInto::Datagrams, _) => SegmentationKind::UdpDatagrams,
        },
    });
    header::outgoing(checksum, segmentation)
}

fn region_of(piece: &Slice<Packet>) -> Region {
    Region {
        address: piece.buffer().physical() + piece.offset() as u64,
        length: piece.len() as u32,
    }
}

/// A copy of data that is in too many pieces.
fn in_one_piece(pieces: &Pieces<Packet>) -> Option<Pieces<Packet>> {
    let length = pieces.length();
    if length > LARGEST_PACKET {
        return None;
    }
    let mut room = PacketRoom::new(length)?;
    let mut end = 0;
    for piece in pieces.iter() {
        room.bytes_mut()[end..end + piece.len()].copy_from_slice(piece);
        end += piece.len();
    }
    Some(Slice::new(room.filled(end)).into())
}
