//! The first serial port as a console: for monitors without virtio, and for plain text.
//!
//! Sending waits until the port has taken the bytes, so nothing is ever in flight; receiving is driven by the
//! port's interrupt.
//!
//! Source: National Semiconductor PC16550D data sheet.

use alloc::vec::Vec;

use super::console::{Allocation, ConsoleDevice};
use super::interrupts::{self, Handler, Trigger};
use super::shared_memory::Buffer;
use super::virtio::Failure;
use crate::arch::{self, serial};
use crate::memory::PAGE_SIZE;

/// First I/O port of the device.
const PORT: u16 = 0x3f8;
/// Register to write a byte to.
const TRANSMIT: u16 = PORT;
/// Register that tells the state of both directions.
const LINE_STATUS: u16 = PORT + 5;
/// Its bit: the queue for bytes to send is empty.
const QUEUE_EMPTY: u8 = 1 << 5;
/// Its value where there is no port.
const NO_PORT: u8 = 0xff;
/// Bytes that fit into that queue.
const QUEUE_LENGTH: usize = 16;
/// Buffers: one for the thread that writes, and one for a message in between.
const BUFFERS: usize = 2;

/// The first serial port.
pub struct SerialConsole {
    idle: Vec<Buffer>,
}

impl SerialConsole {
    /// Sets the port up. `handler` is called when bytes have come.
    ///
    /// # Errors
    /// [`Failure::Absent`], [`Failure::Interrupt`], [`Failure::Memory`].
    pub fn new(handler: Handler) -> Result<Self, Failure> {
        if arch::read_port_u8(LINE_STATUS) == NO_PORT {
            return Err(Failure::Absent);
        }
        let mut idle = Vec::with_capacity(BUFFERS);
        for _ in 0..BUFFERS {
            idle.push(Buffer::new(PAGE_SIZE).ok_or(Failure::Memory)?);
        }
        let vector = interrupts::register(handler).ok_or(Failure::Interrupt)?;
        vector.route_line(serial::INTERRUPT_LINE, Trigger::Edge);
        serial::initialise(true);
        Ok(Self { idle })
    }
}

impl ConsoleDevice for SerialConsole {
    fn take_buffer(&mut self, _: Allocation) -> Option<Buffer> {
        self.idle.pop()
    }

    fn keep_buffer(&mut self, buffer: Buffer) {
        if self.idle.len() < self.idle.capacity() {
            self.idle.push(buffer);
        }
    }

    fn send(&mut self, buffer: Buffer, length: usize) {
        for chunk in buffer.bytes()[..length].chunks(QUEUE_LENGTH) {
            while arch::read_port_u8(LINE_STATUS) & QUEUE_EMPTY == 0 {
                core::hint::spin_loop();
            }
            for &byte in chunk {
                arch::write_port_u8(TRANSMIT, byte);
            }
        }
        self.keep_buffer(buffer);
    }

    fn in_flight(&mut self) -> usize {
        0
    }

    fn set_completion_interrupts(&mut self, _: bool) {}

    fn acknowledge_interrupt(&mut self) {
        // Reading the bytes does it.
    }

    fn receive(&mut self, limit: usize, take: &mut dyn FnMut(&[u8])) {
        let mut bytes = [0; 64];
        let mut left = limit;
        loop {
            let mut count = 0;
            while count < bytes.len().min(left)
                && let Some(byte) = serial::read_early()
            {
                bytes[count] = byte;
                count += 1;
            }
            if count == 0 {
                return;
            }
            left -= count;
            take(&bytes[..count]);
        }
    }

    fn failure(&self) -> Option<Failure> {
        None
    }

    fn name(&self) -> &'static str {
        "serial port"
    }
}
