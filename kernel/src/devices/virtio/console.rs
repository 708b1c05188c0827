//! The virtio console: a byte stream in each direction. One port, so none of the multi-port protocol.
//!
//! Source: Virtual I/O Device (VIRTIO) Version 1.2, section 5.3.

use alloc::boxed::Box;
use alloc::vec::Vec;

use pith_virtqueue::{Direction, Queue};

use super::{Failure, Transport, kind, make_queue, negotiate, notify, start};
use crate::devices::console::{Allocation, ConsoleDevice};
use crate::devices::interrupts::Handler;
use crate::devices::shared_memory::{Buffer, SharedMemory};
use crate::devices::{pci as bus, virtio};
use crate::memory::PAGE_SIZE;

/// Queue for what comes in.
const RECEIVE: u16 = 0;
/// Queue for what goes out.
const TRANSMIT: u16 = 1;
/// Entries of each queue: with its rings, one page.
const QUEUE_SIZE: u16 = 64;
/// Buffers for what comes in, a page each: QEMU passes at most 4 KiB on at a time.
const RECEIVE_BUFFERS: usize = 4;
/// Bytes of a buffer for what goes out.
const TRANSMIT_LENGTH: usize = 32 * 1024;
/// Most buffers of this size.
const TRANSMIT_BUFFERS: usize = 4;

/// A virtio console.
pub struct VirtioConsole {
    transport: Box<dyn Transport>,
    receive: Queue<SharedMemory, Buffer>,
    transmit: Queue<SharedMemory, Buffer>,
    /// Buffers that are neither filled nor with the device.
    idle: Vec<Buffer>,
    /// Large buffers that exist.
    allocated: usize,
    /// A small buffer for messages at times when memory can't be allocated.
    spare: Option<Buffer>,
}

impl VirtioConsole {
    /// Finds the first console of the machine and sets it up. `handler` is called by its interrupts.
    ///
    /// # Errors
    /// Why there is none, or why it can't be used.
    pub fn find(command_line: &str, handler: Handler) -> Result<Self, Failure> {
        let transport = match virtio::mmio::is_named(command_line) {
            true => match virtio::mmio::find(command_line, kind::CONSOLE) {
                Err(Failure::Absent) => virtio::pci::find(kind::CONSOLE, &bus::functions()),
                found => found,
            },
            false => virtio::pci::find(kind::CONSOLE, &bus::functions()),
        }?;
        Self::new(transport, handler)
    }

    fn new(mut transport: Box<dyn Transport>, handler: Handler) -> Result<Self, Failure> {
        negotiate(&mut *transport, 0)?;
        transport.connect_interrupt(handler)?;
        let mut receive = make_queue(&mut *transport, RECEIVE, QUEUE_SIZE)?;
        let mut transmit = make_queue(&mut *transport, TRANSMIT, QUEUE_SIZE)?;
        transmit.set_interrupts(false);
        for _ in 0..RECEIVE_BUFFERS {
            let buffer = Buffer::new(PAGE_SIZE).ok_or(Failure::Memory)?;
            let region = buffer.region(PAGE_SIZE);
            // A queue of a hostile device may be shorter than the buffers are many; fewer will do.
            if receive.submit(buffer, region, Direction::FromDevice).is_err() {
                break;
            }
        }
        let spare = Buffer::new(PAGE_SIZE).ok_or(Failure::Memory)?;
        start(&mut *transport);
        notify(&mut *transport, &receive, RECEIVE);
        Ok(Self {
            transport,
            receive,
            transmit,
            idle: Vec::with_capacity(TRANSMIT_BUFFERS),
            allocated: 0,
            spare: Some(spare),
        })
    }

    /// Takes back what the device is done with.
    fn reclaim(&mut self) {
        while let Some((buffer, _)) = self.transmit.take_used() {
            self.keep_buffer(buffer);
        }
    }
}

impl ConsoleDevice for VirtioConsole {
    fn take_buffer(&mut self, allocation: Allocation) -> Option<Buffer> {
        if self.idle.is_empty() {
            self.reclaim();
        }
        if let Some(buffer) = self.idle.pop() {
            return Some(buffer);
        }
        match allocation {
            Allocation::Allowed if self.allocated < TRANSMIT_BUFFERS => {
                if let Some(buffer) = Buffer::new(TRANSMIT_LENGTH) {
                    self.allocated += 1;
                    return Some(buffer);
                }
                // Memory is nearly gone: go on with what there is.
                if self.allocated == 0 { self.spare.take() } else { None }
            }
            Allocation::Allowed => None,
            Allocation::Forbidden => self.spare.take(),
        }
    }

    fn keep_buffer(&mut self, buffer: Buffer) {
        if buffer.length() < TRANSMIT_LENGTH {
            self.spare = Some(buffer);
        } else if self.idle.len() < self.idle.capacity() {
            self.idle.push(buffer);
        }
    }

    fn send(&mut self, buffer: Buffer, length: usize) {
        let region = buffer.region(length);
        // There are fewer buffers than entries. The queue refuses only if the device has misbehaved, and then
        // nothing can be sent any more; `failure` tells.
        match self.transmit.submit(buffer, region, Direction::ToDevice) {
            Ok(()) => notify(&mut *self.transport, &self.transmit, TRANSMIT),
            Err(buffer) => self.keep_buffer(buffer),
        }
    }

    fn in_flight(&mut self) -> usize {
        self.reclaim();
        self.transmit.in_flight()
    }

    fn set_completion_interrupts(&mut self, wanted: bool) {
        self.transmit.set_interrupts(wanted);
    }

    fn acknowledge_interrupt(&mut self) {
        self.transport.acknowledge_interrupt();
    }

    fn receive(&mut self, _limit: usize, take: &mut dyn FnMut(&[u8])) {
        let mut resubmitted = false;
        while let Some((buffer, length)) = self.receive.take_used() {
            take(&buffer.bytes()[..length]);
            let region = buffer.region(PAGE_SIZE);
            if self.receive.submit(buffer, region, Direction::FromDevice).is_err() {
                break;
            }
            resubmitted = true;
        }
        if resubmitted {
            notify(&mut *self.transport, &self.receive, RECEIVE);
        }
    }

    fn failure(&self) -> Option<Failure> {
        self.transmit.misbehaviour().or(self.receive.misbehaviour()).map(Failure::Misbehaved)
    }

    fn name(&self) -> &'static str {
        "virtio console"
    }
}
