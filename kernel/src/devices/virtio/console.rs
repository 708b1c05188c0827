//! The virtio console: a byte stream in each direction.
//!
//! A device has one *port*, or several that are opened by messages on a pair of control queues. It matters
//! which: QEMU's device for port 0 (`virtconsole`) throws output away that the host does not take at once,
//! because some guests can't wait; its device for other ports (`virtserialport`) lets the guest wait. So a
//! port 1 is used if there is one, and port 0 otherwise.
//!
//! Source: Virtual I/O Device (VIRTIO) Version 1.2, section 5.3.

use alloc::boxed::Box;
use alloc::vec::Vec;

use pith_virtqueue::{Direction, Queue};

use super::{Failure, Interrupts, Transport, kind, make_queue, negotiate, notify, start};
use crate::devices::console::{Allocation, ConsoleDevice};
use crate::devices::interrupts::Handler;
use crate::devices::shared_memory::{Buffer, SharedMemory};
use crate::devices::{pci as bus, virtio};
use crate::memory::PAGE_SIZE;

/// Feature: the device may have several ports.
const MULTIPORT: u64 = 1 << 1;
/// The port that is opened where there are several.
const PORT: u32 = 1;
/// Queue for what comes in on port 0.
const RECEIVE: u16 = 0;
/// Queue for what goes out on port 0.
const TRANSMIT: u16 = 1;
/// Queue for messages from the device.
const RECEIVE_CONTROL: u16 = 2;
/// Queue for messages to the device.
const TRANSMIT_CONTROL: u16 = 3;
/// Queue for what comes in on port 1.
const RECEIVE_OF_PORT_1: u16 = 4;
/// Queue for what goes out on port 1.
const TRANSMIT_OF_PORT_1: u16 = 5;
/// Entries of the control queues.
const CONTROL_QUEUE_SIZE: u16 = 8;
/// Buffers for messages from the device.
const CONTROL_BUFFERS: usize = 2;
/// Bytes of a message: port (32 bits), event and value (16 bits each).
const CONTROL_LENGTH: usize = 8;
/// How often to look for a device's first message: about a second.
const CONTROL_PATIENCE: u32 = 20_000_000;

/// Events in messages.
mod control {
    pub const DEVICE_READY: u16 = 0;
    pub const DEVICE_ADD: u16 = 1;
    pub const PORT_READY: u16 = 3;
    pub const PORT_OPEN: u16 = 6;
}

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
    receive_number: u16,
    transmit: Queue<SharedMemory, Buffer>,
    transmit_number: u16,
    /// The control queues, which the device keeps using.
    control: Option<Control>,
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
        let transport = virtio::find(command_line, kind::CONSOLE, 0, bus::functions)?;
        Self::new(transport, handler)
    }

    fn new(mut transport: Box<dyn Transport>, handler: Handler) -> Result<Self, Failure> {
        let agreed = negotiate(&*transport, MULTIPORT)?;
        transport.connect_interrupts(&Interrupts::one(handler))?;
        if agreed & MULTIPORT != 0 {
            match Self::with_port(transport)? {
                Ok(console) => return Ok(console),
                // The only port is the first one, which needs none of this.
                Err(same) => transport = same,
            }
            negotiate(&*transport, 0)?;
        }
        let mut console = Self::with_queues(transport, RECEIVE, TRANSMIT)?;
        start(&*console.transport);
        notify(&*console.transport, &mut console.receive, RECEIVE);
        Ok(console)
    }

    /// Opens port 1 of a device with several ports. Gives the transport back if the device has a port 0
    /// instead.
    fn with_port(transport: Box<dyn Transport>) -> Result<Result<Self, Box<dyn Transport>>, Failure> {
        let mut console = Self::with_queues(transport, RECEIVE_OF_PORT_1, TRANSMIT_OF_PORT_1)?;
        let transport = &mut *console.transport;
        let mut control = Control::new(transport)?;
        start(transport);
        control.send(transport, 0, control::DEVICE_READY)?;
        if control.await_port(transport)? == 0 {
            // The queues go after the reset, so that the device has forgotten them by then.
            transport.set_status(0);
            return Ok(Err(console.transport));
        }
        control.send(transport, PORT, control::PORT_READY)?;
        control.send(transport, PORT, control::PORT_OPEN)?;
        notify(transport, &mut console.receive, RECEIVE_OF_PORT_1);
        console.control = Some(control);
        Ok(Ok(console))
    }

    /// Everything but the start.
    fn with_queues(
        mut transport: Box<dyn Transport>,
        receive_number: u16,
        transmit_number: u16,
    ) -> Result<Self, Failure> {
        let receive = make_receive_queue(&mut *transport, receive_number, QUEUE_SIZE, RECEIVE_BUFFERS)?;
        let mut transmit = make_queue(&mut *transport, transmit_number, QUEUE_SIZE)?;
        transmit.set_interrupts(false);
        let spare = Buffer::new(PAGE_SIZE).ok_or(Failure::Memory)?;
        Ok(Self {
            transport,
            receive,
            receive_number,
            transmit,
            transmit_number,
            control: None,
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

/// A queue that is full of empty buffers, a page each.
fn make_receive_queue(
    transport: &mut dyn Transport,
    number: u16,
    size: u16,
    buffers: usize,
) -> Result<Queue<SharedMemory, Buffer>, Failure> {
    let mut queue = make_queue(transport, number, size)?;
    for _ in 0..buffers {
        let buffer = Buffer::new(PAGE_SIZE).ok_or(Failure::Memory)?;
        let region = buffer.region(PAGE_SIZE);
        // The device may have said that its queue is shorter than that; fewer will do.
        if queue.submit(buffer, region, Direction::FromDevice).is_err() {
            break;
        }
    }
    Ok(queue)
}

/// The messages with which ports are opened. Once that is done nobody listens any more: the one port stays
/// open, and the device does without buffers for its messages.
struct Control {
    receive: Queue<SharedMemory, Buffer>,
    transmit: Queue<SharedMemory, Buffer>,
}

impl Control {
    fn new(transport: &mut dyn Transport) -> Result<Self, Failure> {
        let mut receive = make_receive_queue(transport, RECEIVE_CONTROL, CONTROL_QUEUE_SIZE, CONTROL_BUFFERS)?;
        let mut transmit = make_queue(transport, TRANSMIT_CONTROL, CONTROL_QUEUE_SIZE)?;
        receive.set_interrupts(false);
        transmit.set_interrupts(false);
        Ok(Self { receive, transmit })
    }

    fn send(&mut self, transport: &mut dyn Transport, port: u32, event: u16) -> Result<(), Failure> {
        let mut buffer = match self.transmit.take_used() {
            Some((buffer, _)) => buffer,
            None => Buffer::new(CONTROL_LENGTH).ok_or(Failure::Memory)?,
        };
        let message = &mut buffer.bytes_mut()[..CONTROL_LENGTH];
        message[..4].copy_from_slice(&port.to_le_bytes());
        message[4..6].copy_from_slice(&event.to_le_bytes());
        message[6..].copy_from_slice(&1_u16.to_le_bytes());
        let region = buffer.region(CONTROL_LENGTH);
        self.transmit
            .submit(buffer, region, Direction::ToDevice)
            .map_err(|_| Failure::Registers("its control queue is too short"))?;
        notify(transport, &mut self.transmit, TRANSMIT_CONTROL);
        Ok(())
    }

    /// Waits for the device to name its first port, 0 or 1.
    fn await_port(&mut self, transport: &mut dyn Transport) -> Result<u32, Failure> {
        for _ in 0..CONTROL_PATIENCE {
            let Some((buffer, length)) = self.receive.take_used() else {
                if let Some(how) = self.receive.misbehaviour() {
                    return Err(Failure::Misbehaved(how));
                }
                core::hint::spin_loop();
                continue;
            };
            let message = buffer.bytes();
            let port = u32::from_le_bytes([message[0], message[1], message[2], message[3]]);
            let event = u16::from_le_bytes([message[4], message[5]]);
            let names_port = length >= CONTROL_LENGTH && event == control::DEVICE_ADD && port <= PORT;
            let region = buffer.region(PAGE_SIZE);
            // There is room: this buffer was there before.
            let _ = self.receive.submit(buffer, region, Direction::FromDevice);
            notify(transport, &mut self.receive, RECEIVE_CONTROL);
            if names_port {
                return Ok(port);
            }
        }
        Err(Failure::Port)
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
            Ok(()) => notify(&*self.transport, &mut self.transmit, self.transmit_number),
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
            notify(&*self.transport, &mut self.receive, self.receive_number);
        }
    }

    fn failure(&self) -> Option<Failure> {
        self.transmit
            .misbehaviour()
            .or(self.receive.misbehaviour())
            .map(Failure::Misbehaved)
    }

    fn name(&self) -> &'static str {
        "virtio console"
    }
}
