//! Virtio network cards (section 5.1), as simple as they come: one queue each way, a frame in each buffer.

use alloc::boxed::Box;
use alloc::vec::Vec;

use pith_virtqueue::{Direction, Queue};

use super::{Failure, Transport, kind, make_queue, negotiate, notify, start};
use crate::devices::interrupts::Handler;
use crate::devices::pci as bus;
use crate::devices::shared_memory::{Buffer, SharedMemory};
use crate::devices::virtio;
use crate::memory::PAGE_SIZE;

/// Feature: the device says its address.
const ADDRESS: u64 = 1 << 5;
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
/// Entries of each queue.
const QUEUE_SIZE: u16 = 256;
/// Buffers for frames that come in, and most for those that go out, a page each.
const RECEIVE_BUFFERS: usize = 128;
const TRANSMIT_BUFFERS: usize = 128;
/// Bytes before each frame (`struct virtio_net_hdr`).
const HEADER: usize = 12;
/// Most bytes of a frame.
const FRAME: usize = PAGE_SIZE - HEADER;

/// A network card.
pub struct VirtioNetwork {
    transport: Box<dyn Transport>,
    receive: Queue<SharedMemory, Buffer>,
    transmit: Queue<SharedMemory, Buffer>,
    idle: Vec<Buffer>,
    allocated: usize,
    address: [u8; 6],
}

impl VirtioNetwork {
    /// Finds the first network card of the machine and sets it up. `handler` is called by its interrupts.
    ///
    /// # Errors
    /// Why there is none, or why it can't be used.
    pub fn find(command_line: &str, handler: Handler) -> Result<Self, Failure> {
        let mut transport = virtio::find(command_line, kind::NETWORK, bus::functions)?;
        let agreed = negotiate(&mut *transport, ADDRESS)?;
        if agreed & ADDRESS == 0 {
            return Err(Failure::Features);
        }
        transport.connect_interrupt(handler)?;
        let mut receive = make_queue(&mut *transport, RECEIVE, QUEUE_SIZE)?;
        let mut transmit = make_queue(&mut *transport, TRANSMIT, QUEUE_SIZE)?;
        transmit.set_interrupts(false);
        for _ in 0..RECEIVE_BUFFERS {
            let buffer = Buffer::new(PAGE_SIZE).ok_or(Failure::Memory)?;
            let region = buffer.region(PAGE_SIZE);
            // The device may have a shorter queue; fewer will do.
            if receive.submit(buffer, region, Direction::FromDevice).is_err() {
                break;
            }
        }
        let mut address = [0; 6];
        for (offset, byte) in address.iter_mut().enumerate() {
            *byte = transport.configuration(offset as u64);
        }
        start(&mut *transport);
        notify(&mut *transport, &mut receive, RECEIVE);
        Ok(Self {
            transport,
            receive,
            transmit,
            idle: Vec::with_capacity(TRANSMIT_BUFFERS),
            allocated: 0,
            address,
        })
    }

    /// Its address.
    pub fn address(&self) -> [u8; 6] {
        self.address
    }

    /// The interrupt was seen.
    pub fn acknowledge_interrupt(&mut self) {
        self.transport.acknowledge_interrupt();
    }

    fn take_buffer(&mut self) -> Option<Buffer> {
        while let Some((buffer, _)) = self.transmit.take_used() {
            self.idle.push(buffer);
        }
        if let Some(buffer) = self.idle.pop() {
            return Some(buffer);
        }
        if self.allocated == TRANSMIT_BUFFERS {
            return None;
        }
        let buffer = Buffer::new(PAGE_SIZE)?;
        self.allocated += 1;
        Some(buffer)
    }

    /// Sends a frame, given in pieces. False if there is no room: it is lost, as on a wire.
    pub fn send<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> bool {
        let Some(mut buffer) = self.take_buffer() else {
            return false;
        };
        let mut end = HEADER;
        buffer.bytes_mut()[..HEADER].fill(0);
        for piece in pieces {
            let Some(place) = buffer.bytes_mut().get_mut(end..end + piece.len()) else {
                self.idle.push(buffer);
                return false;
            };
            place.copy_from_slice(piece);
            end += piece.len();
        }
        let region = buffer.region(end);
        match self.transmit.submit(buffer, region, Direction::ToDevice) {
            Ok(()) => {
                notify(&mut *self.transport, &mut self.transmit, TRANSMIT);
                true
            }
            Err(buffer) => {
                self.idle.push(buffer);
                false
            }
        }
    }

    /// Takes up to `most` frames that have come. Returns how many there were.
    pub fn receive(&mut self, most: usize, take: &mut dyn FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < most {
            let Some((buffer, length)) = self.receive.take_used() else {
                break;
            };
            if let Some(frame) = buffer.bytes().get(HEADER..length.min(HEADER + FRAME)) {
                take(frame);
            }
            count += 1;
            let region = buffer.region(PAGE_SIZE);
            if self.receive.submit(buffer, region, Direction::FromDevice).is_err() {
                break;
            }
        }
        if count != 0 {
            notify(&mut *self.transport, &mut self.receive, RECEIVE);
        }
        count
    }
}
