//! Virtio devices on the PCI bus.
//!
//! Capabilities in the device's configuration space say where in its memory the groups of registers are.
//! Interrupts come as messages (MSI-X), one vector for all queues.
//!
//! Source: Virtual I/O Device (VIRTIO) Version 1.2, section 4.1; PCI Local Bus Specification 3.0, section
//! 6.8.2 (MSI-X).

use alloc::boxed::Box;

use super::{Failure, QueueAddresses, Transport};
use crate::devices::interrupts::{self, Handler};
use crate::devices::pci::{Capability, Function};
use crate::memory::DeviceWindow;

/// The vendor of all virtio devices.
const VENDOR: u16 = 0x1af4;
/// Identifier of a modern device: this plus its kind.
const MODERN: u16 = 0x1040;
/// Identifiers of devices that speak both protocols.
const TRANSITIONAL: core::ops::Range<u16> = 0x1000..MODERN;
/// Word of the configuration space whose upper half is a transitional device's kind.
const SUBSYSTEM: u8 = 0x2c;

/// Capability: registers of virtio.
const VENDOR_SPECIFIC: u8 = 0x09;
/// Capability: interrupts by message.
const MSI_X: u8 = 0x11;
/// Bit of the first word of [`MSI_X`]: interrupts come as messages.
const MSI_X_ENABLE: u32 = 1 << 31;
/// Bit of that word: all messages are held back.
const MSI_X_MASK_ALL: u32 = 1 << 30;
/// Bytes of an entry of its table.
const MSI_X_ENTRY: u64 = 16;
/// No message.
const NO_VECTOR: u16 = 0xffff;

/// Groups of registers.
mod group {
    pub const COMMON: u8 = 1;
    pub const NOTIFY: u8 = 2;
    pub const DEVICE: u8 = 4;
}

/// Offsets of the common registers.
mod register {
    pub const DEVICE_FEATURES_SELECT: u64 = 0x00;
    pub const DEVICE_FEATURES: u64 = 0x04;
    pub const DRIVER_FEATURES_SELECT: u64 = 0x08;
    pub const DRIVER_FEATURES: u64 = 0x0c;
    pub const CONFIGURATION_VECTOR: u64 = 0x10;
    pub const STATUS: u64 = 0x14;
    pub const QUEUE_SELECT: u64 = 0x16;
    pub const QUEUE_SIZE: u64 = 0x18;
    pub const QUEUE_VECTOR: u64 = 0x1a;
    pub const QUEUE_ENABLE: u64 = 0x1c;
    pub const QUEUE_NOTIFY_OFFSET: u64 = 0x1e;
    pub const QUEUE_DESCRIPTORS: u64 = 0x20;
    pub const QUEUE_AVAILABLE: u64 = 0x28;
    pub const QUEUE_USED: u64 = 0x30;
    /// Bytes of the group.
    pub const LENGTH: u64 = 0x38;
}

/// Most queues for which notification is kept.
const QUEUES: usize = 8;

/// A device of a kind: the first has index 0.
///
/// # Errors
/// [`Failure::Absent`], [`Failure::Legacy`], [`Failure::Registers`].
pub fn find(kind: u32, mut index: usize, functions: &[Function]) -> Result<Box<dyn Transport>, Failure> {
    for function in functions.iter().filter(|function| function.vendor == VENDOR) {
        let this = match function.identifier {
            identifier if TRANSITIONAL.contains(&identifier) => function.read(SUBSYSTEM) >> 16,
            identifier => u32::from(identifier.wrapping_sub(MODERN)),
        };
        if this != kind {
            continue;
        }
        if index == 0 {
            return Ok(Box::new(Pci::new(*function)?));
        }
        index -= 1;
    }
    Err(Failure::Absent)
}

/// Where a group of registers is.
#[derive(Clone, Copy, Debug)]
struct Place {
    base_address: u8,
    offset: u32,
    length: u32,
    /// Of the capability that names it.
    capability: u8,
}

fn place(function: &Function, wanted: u8) -> Option<Place> {
    let of_virtio = |capability: &Capability| capability.kind == VENDOR_SPECIFIC;
    function
        .capabilities()
        .filter(of_virtio)
        .find_map(|Capability { offset: capability, .. }| {
            let last = capability.checked_add(12)?;
            let kind = (function.read(capability) >> 24) as u8;
            (kind == wanted).then(|| Place {
                base_address: function.read(capability + 4) as u8,
                offset: function.read(capability + 8),
                length: function.read(last),
                capability,
            })
        })
}

#[derive(Debug)]
struct Pci {
    function: Function,
    common: DeviceWindow,
    notify: DeviceWindow,
    /// What is particular to the kind of device, if there is anything.
    particular: Option<DeviceWindow>,
    notify_multiplier: u32,
    /// Offset in `notify` for each queue.
    notify_offsets: [u64; QUEUES],
}

impl Pci {
    fn new(function: Function) -> Result<Self, Failure> {
        let common = place(&function, group::COMMON).ok_or(Failure::Legacy)?;
        let notify = place(&function, group::NOTIFY).ok_or(Failure::Legacy)?;
        if u64::from(common.length) < register::LENGTH || notify.length < 2 {
            return Err(Failure::Registers("a group is too short"));
        }
        let multiplier = notify
            .capability
            .checked_add(16)
            .ok_or(Failure::Registers("a capability is cut off"))?;
        let map = |place: &Place, length: u64| {
            function
                .map(place.base_address, place.offset.into(), length)
                .ok_or(Failure::Registers("their address can't be mapped"))
        };
        function.enable();
        Ok(Self {
            common: map(&common, register::LENGTH)?,
            notify: map(&notify, u64::from(notify.length))?,
            particular: match place(&function, group::DEVICE) {
                Some(place) => Some(map(&place, u64::from(place.length).min(4096))?),
                None => None,
            },
            notify_multiplier: function.read(multiplier),
            notify_offsets: [0; QUEUES],
            function,
        })
    }

    fn select(&self, queue: u16) {
        self.common.write_u16(register::QUEUE_SELECT, queue);
    }

    fn write_address(&mut self, register: u64, address: u64) {
        self.common.write_u32(register, address as u32);
        self.common.write_u32(register + 4, (address >> 32) as u32);
    }
}

impl Transport for Pci {
    fn status(&self) -> u8 {
        self.common.read_u8(register::STATUS)
    }

    fn set_status(&self, status: u8) {
        self.common.write_u8(register::STATUS, status);
    }

    fn device_features(&self) -> u64 {
        self.common.write_u32(register::DEVICE_FEATURES_SELECT, 0);
        let low = self.common.read_u32(register::DEVICE_FEATURES);
        self.common.write_u32(register::DEVICE_FEATURES_SELECT, 1);
        u64::from(self.common.read_u32(register::DEVICE_FEATURES)) << 32 | u64::from(low)
    }

    fn set_driver_features(&self, features: u64) {
        self.common.write_u32(register::DRIVER_FEATURES_SELECT, 0);
        self.common.write_u32(register::DRIVER_FEATURES, features as u32);
        self.common.write_u32(register::DRIVER_FEATURES_SELECT, 1);
        self.common
            .write_u32(register::DRIVER_FEATURES, (features >> 32) as u32);
    }

    fn queue_limit(&self, queue: u16) -> u16 {
        self.select(queue);
        self.common.read_u16(register::QUEUE_SIZE).min(32768)
    }

    fn enable_queue(&mut self, queue: u16, size: u16, addresses: QueueAddresses) -> Result<(), Failure> {
        self.select(queue);
        self.common.write_u16(register::QUEUE_SIZE, size);
        self.write_address(register::QUEUE_DESCRIPTORS, addresses.descriptors);
        self.write_address(register::QUEUE_AVAILABLE, addresses.available);
        self.write_address(register::QUEUE_USED, addresses.used);
        // Entry 0 of the table, which `connect_interrupt` filled.
        self.common.write_u16(register::QUEUE_VECTOR, 0);
        if self.common.read_u16(register::QUEUE_VECTOR) == NO_VECTOR {
            return Err(Failure::Interrupt);
        }
        let offset = u64::from(self.common.read_u16(register::QUEUE_NOTIFY_OFFSET)) * u64::from(self.notify_multiplier);
        let inside = offset.is_multiple_of(2) && offset.saturating_add(2) <= self.notify.length();
        match self.notify_offsets.get_mut(usize::from(queue)) {
            Some(place) if inside => *place = offset,
            _ => return Err(Failure::Registers("the place to notify is outside of its group")),
        }
        self.common.write_u16(register::QUEUE_ENABLE, 1);
        Ok(())
    }

    fn connect_interrupt(&mut self, handler: Handler) -> Result<(), Failure> {
        let Capability { offset, .. } = self
            .function
            .capabilities()
            .find(|capability| capability.kind == MSI_X && capability.offset <= 0xf8)
            .ok_or(Failure::Interrupt)?;
        // The low bits say behind which base address register the table is, the others where.
        let table = self.function.read(offset + 4);
        let entry = self
            .function
            .map(table as u8 & 7, (table & !7).into(), MSI_X_ENTRY)
            .ok_or(Failure::Registers("the table of interrupt messages can't be mapped"))?;
        let message = interrupts::register(handler).ok_or(Failure::Interrupt)?.message();
        entry.write_u32(0, message.address as u32);
        entry.write_u32(4, (message.address >> 32) as u32);
        entry.write_u32(8, message.data);
        entry.write_u32(12, 0);
        let control = self.function.read(offset);
        self.function.write(offset, control & !MSI_X_MASK_ALL | MSI_X_ENABLE);
        self.common.write_u16(register::CONFIGURATION_VECTOR, NO_VECTOR);
        Ok(())
    }

    fn acknowledge_interrupt(&self) {
        // A message needs no answer.
    }

    fn acknowledge_queues(&self) {
        // As before.
    }

    fn configuration(&self, offset: u64) -> u8 {
        match &self.particular {
            Some(window) if offset < window.length() => window.read_u8(offset),
            _ => 0,
        }
    }

    fn notify(&self, queue: u16) {
        if let Some(&offset) = self.notify_offsets.get(usize::from(queue)) {
            self.notify.write_u16(offset, queue);
        }
    }
}
