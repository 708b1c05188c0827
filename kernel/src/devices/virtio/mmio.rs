//! Virtio devices whose registers lie in memory, as small machines have them (`microvm`, Firecracker).
//!
//! Nothing can be probed: the monitor names them on the kernel command line, by words such as
//! `virtio_mmio.device=512@0xfeb00e00:12` (size, address, interrupt line). A slot without a device is of
//! kind 0.
//!
//! Source: Virtual I/O Device (VIRTIO) Version 1.2, section 4.2; Linux's `kernel-parameters.txt`.

use alloc::boxed::Box;

use super::{Failure, Interrupts, QueueAddresses, Transport};
use crate::devices::command_line::{cut, number, values};
use crate::devices::interrupts::{self, Trigger};
use crate::memory::DeviceWindow;

/// The word's name on the kernel command line.
const WORD: &str = "virtio_mmio.device";
/// Least size of a slot in bytes: the registers without the device's own.
const LEAST_SIZE: u64 = 0x100;
/// "virt" in the register `MAGIC`.
const MAGIC_VALUE: u32 = 0x7472_6976;
/// Version of the transport that is spoken here.
const MODERN: u32 = 2;
/// The lines of an I/O interrupt controller. QEMU's and Firecracker's have 24.
const LINES: u32 = 24;

/// Bit of the interrupt registers: a queue.
const QUEUES: u32 = 1;
/// Bit of the interrupt registers: the configuration.
const CHANGED: u32 = 2;

/// Offsets of registers.
mod register {
    pub const MAGIC: u64 = 0x00;
    pub const CONFIGURATION: u64 = 0x100;
    pub const VERSION: u64 = 0x04;
    pub const KIND: u64 = 0x08;
    pub const DEVICE_FEATURES: u64 = 0x10;
    pub const DEVICE_FEATURES_SELECT: u64 = 0x14;
    pub const DRIVER_FEATURES: u64 = 0x20;
    pub const DRIVER_FEATURES_SELECT: u64 = 0x24;
    pub const QUEUE_SELECT: u64 = 0x30;
    pub const QUEUE_SIZE_LIMIT: u64 = 0x34;
    pub const QUEUE_SIZE: u64 = 0x38;
    pub const QUEUE_READY: u64 = 0x44;
    pub const QUEUE_NOTIFY: u64 = 0x50;
    pub const INTERRUPT_STATUS: u64 = 0x60;
    pub const INTERRUPT_ACKNOWLEDGE: u64 = 0x64;
    pub const STATUS: u64 = 0x70;
    pub const QUEUE_DESCRIPTORS: u64 = 0x80;
    pub const QUEUE_AVAILABLE: u64 = 0x90;
    pub const QUEUE_USED: u64 = 0xa0;
}

/// A place where a device may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    address: u64,
    size: u64,
    line: u32,
}

/// A size with Linux's suffixes.
fn size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        _ => (text, 0),
    };
    number(digits)?.checked_mul(1 << shift)
}

impl Slot {
    /// `SIZE@ADDRESS:LINE` or `SIZE@ADDRESS:LINE:ID`.
    fn parse(text: &str) -> Option<Self> {
        let (size_text, rest) = cut(text, b'@');
        let (address, rest) = cut(rest, b':');
        let (line, _) = cut(rest, b':');
        let slot = Self {
            size: size(size_text)?,
            address: number(address)?,
            line: u32::try_from(number(line)?).ok()?,
        };
        let sane = slot.size >= LEAST_SIZE
            && slot.address.is_multiple_of(4)
            && slot.address.checked_add(slot.size).is_some_and(|end| end < 1 << 52)
            && slot.line < LINES;
        sane.then_some(slot)
    }
}

/// The slots that the command line names.
fn slots(command_line: &str) -> impl Iterator<Item = Slot> {
    values(command_line, WORD).filter_map(Slot::parse)
}

/// Whether the command line names any slots.
pub fn is_named(command_line: &str) -> bool {
    slots(command_line).next().is_some()
}

/// A device of a kind: the first has index 0. What there is before it is subtracted from the index.
///
/// # Errors
/// [`Failure::Absent`], [`Failure::Legacy`], [`Failure::Registers`].
pub fn find(command_line: &str, kind: u32, index: &mut usize) -> Result<Box<dyn Transport>, Failure> {
    // Slots lie side by side, several in a page: one window for neighbours saves page tables.
    let mut window: Option<(u64, DeviceWindow)> = None;
    for slot in slots(command_line) {
        let reachable = window.as_ref().is_some_and(|(start, window)| {
            slot.address >= *start && slot.address + slot.size <= *start + window.length()
        });
        if !reachable {
            let page = crate::memory::PAGE_SIZE as u64;
            let start = slot.address & !(page - 1);
            let end = (slot.address + slot.size).next_multiple_of(page);
            let mapped = DeviceWindow::map(start, end - start).ok_or(Failure::Registers("they can't be mapped"))?;
            window = Some((start, mapped));
        }
        let Some((start, window)) = &window else { continue };
        let device = Mmio {
            window: *window,
            base: slot.address - start,
            line: slot.line,
        };
        if device.read(register::MAGIC) != MAGIC_VALUE || device.read(register::KIND) != kind {
            continue;
        }
        if *index != 0 {
            *index -= 1;
            continue;
        }
        return match device.read(register::VERSION) {
            MODERN => Ok(Box::new(device)),
            _ => Err(Failure::Legacy),
        };
    }
    Err(Failure::Absent)
}

/// A device in a slot.
#[derive(Debug)]
struct Mmio {
    window: DeviceWindow,
    /// Offset of its registers in the window.
    base: u64,
    line: u32,
}

impl Mmio {
    fn read(&self, register: u64) -> u32 {
        self.window.read_u32(self.base + register)
    }

    fn write(&self, register: u64, value: u32) {
        self.window.write_u32(self.base + register, value);
    }

    fn write_address(&self, register: u64, address: u64) {
        self.write(register, address as u32);
        self.write(register + 4, (address >> 32) as u32);
    }
}

impl Transport for Mmio {
    fn status(&self) -> u8 {
        self.read(register::STATUS) as u8
    }

    fn set_status(&self, status: u8) {
        self.write(register::STATUS, status.into());
    }

    fn device_features(&self) -> u64 {
        self.write(register::DEVICE_FEATURES_SELECT, 0);
        let low = self.read(register::DEVICE_FEATURES);
        self.write(register::DEVICE_FEATURES_SELECT, 1);
        u64::from(self.read(register::DEVICE_FEATURES)) << 32 | u64::from(low)
    }

    fn set_driver_features(&self, features: u64) {
        self.write(register::DRIVER_FEATURES_SELECT, 0);
        self.write(register::DRIVER_FEATURES, features as u32);
        self.write(register::DRIVER_FEATURES_SELECT, 1);
        self.write(register::DRIVER_FEATURES, (features >> 32) as u32);
    }

    fn queue_limit(&self, queue: u16) -> u16 {
        self.write(register::QUEUE_SELECT, queue.into());
        self.read(register::QUEUE_SIZE_LIMIT).min(32768) as u16
    }

    fn enable_queue(&mut self, queue: u16, size: u16, addresses: QueueAddresses) -> Result<(), Failure> {
        self.write(register::QUEUE_SELECT, queue.into());
        self.write(register::QUEUE_SIZE, size.into());
        self.write_address(register::QUEUE_DESCRIPTORS, addresses.descriptors);
        self.write_address(register::QUEUE_AVAILABLE, addresses.available);
        self.write_address(register::QUEUE_USED, addresses.used);
        self.write(register::QUEUE_READY, 1);
        Ok(())
    }

    fn connect_interrupts(&mut self, interrupts: &Interrupts<'_>) -> Result<(), Failure> {
        // There is one line for everything.
        let vector = interrupts::register(interrupts.any).ok_or(Failure::Interrupt)?;
        vector.route_line(self.line, Trigger::Level);
        Ok(())
    }

    fn acknowledge_interrupt(&self) -> bool {
        let pending = self.read(register::INTERRUPT_STATUS);
        if pending != 0 {
            self.write(register::INTERRUPT_ACKNOWLEDGE, pending);
        }
        pending & CHANGED != 0
    }

    fn acknowledge_queues(&self) {
        self.write(register::INTERRUPT_ACKNOWLEDGE, QUEUES);
    }

    fn notify(&self, queue: u16) {
        self.write(register::QUEUE_NOTIFY, queue.into());
    }

    fn configuration(&self, offset: u64) -> u8 {
        let place = self.base + register::CONFIGURATION + offset;
        if place < self.window.length() {
            self.window.read_u8(place)
        } else {
            0
        }
    }
}
