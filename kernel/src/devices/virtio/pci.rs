//! Virtio devices on the PCI bus.
//!
//! Capabilities in the device's configuration space say where in its memory the groups of registers are.
//! Interrupts come as messages (MSI-X): one for all queues, or one for each, aimed at a processor.
//!
//! Source: Virtual I/O Device (VIRTIO) Version 1.2, section 4.1; PCI Local Bus Specification 3.0, section
//! 6.8.2 (MSI-X).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Failure, Interrupts, QueueAddresses, Transport};
use crate::arch;
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
/// Bits of that word's upper half: the last entry of the table.
const MSI_X_SIZE: u16 = 0x7ff;
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
    /// Queues that work, and the offset in `notify` for each.
    notify_offsets: Vec<(u16, u64)>,
    entries: Entries,
}

/// Which entries of the table of messages queues have.
#[derive(Clone, Copy, Debug)]
enum Entries {
    /// All the same one.
    One(u16),
    /// Each of the first queues its own, behind the one for changes; others none.
    Each(u16),
}

impl Entries {
    fn of(self, queue: u16) -> u16 {
        match self {
            Self::One(entry) => entry,
            Self::Each(queues) if queue < queues => queue + 1,
            Self::Each(_) => NO_VECTOR,
        }
    }
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
            notify_offsets: Vec::new(),
            entries: Entries::One(0),
            function,
        })
    }

    /// Fills the first entries of the table of interrupt messages; `capability` is where it is described.
    fn fill_table(&self, capability: u8, messages: &[(Handler, usize)]) -> Result<(), Failure> {
        // The low bits say behind which base address register the table is, the others where.
        let place = self.function.read(capability + 4);
        let length = MSI_X_ENTRY * messages.len() as u64;
        let table = self
            .function
            .map(place as u8 & 7, (place & !7).into(), length)
            .ok_or(Failure::Registers("the table of interrupt messages can't be mapped"))?;
        for (index, &(handler, processor)) in messages.iter().enumerate() {
            let vector = interrupts::register(handler).ok_or(Failure::Interrupt)?;
            let message = vector.message(processor);
            let entry = MSI_X_ENTRY * index as u64;
            table.write_u32(entry, message.address as u32);
            table.write_u32(entry + 4, (message.address >> 32) as u32);
            table.write_u32(entry + 8, message.data);
            // No longer held back.
            table.write_u32(entry + 12, 0);
        }
        Ok(())
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
        // Of those that `connect_interrupts` filled.
        let entry = self.entries.of(queue);
        self.common.write_u16(register::QUEUE_VECTOR, entry);
        if self.common.read_u16(register::QUEUE_VECTOR) != entry {
            return Err(Failure::Interrupt);
        }
        let offset = u64::from(self.common.read_u16(register::QUEUE_NOTIFY_OFFSET)) * u64::from(self.notify_multiplier);
        let inside = offset.is_multiple_of(2) && offset.saturating_add(2) <= self.notify.length();
        if !inside {
            return Err(Failure::Registers("the place to notify is outside of its group"));
        }
        // After a reset, a queue is enabled once more.
        self.notify_offsets.retain(|(other, _)| *other != queue);
        self.notify_offsets.push((queue, offset));
        self.common.write_u16(register::QUEUE_ENABLE, 1);
        Ok(())
    }

    fn connect_interrupts(&mut self, interrupts: &Interrupts<'_>) -> Result<(), Failure> {
        let Capability { offset, .. } = self
            .function
            .capabilities()
            .find(|capability| capability.kind == MSI_X && capability.offset <= 0xf8)
            .ok_or(Failure::Interrupt)?;
        let control = self.function.read(offset);
        let size = usize::from((control >> 16) as u16 & MSI_X_SIZE) + 1;
        let target = (interrupts.queues.first()).map_or_else(arch::cpu_index, |(_, processor)| *processor);
        let any = (interrupts.any, target);
        let room = size.min(interrupts::free());
        let changed = interrupts.changed.map(|handler| (handler, target));
        let mut messages = Vec::new();
        match changed {
            Some(changed) if !interrupts.queues.is_empty() && room > interrupts.queues.len() => {
                messages.push(changed);
                messages.extend_from_slice(interrupts.queues);
                self.entries = Entries::Each(interrupts.queues.len() as u16);
            }
            Some(changed) if room >= 2 => {
                messages.extend([changed, any]);
                self.entries = Entries::One(1);
            }
            _ => {
                messages.push(any);
                self.entries = Entries::One(0);
            }
        }
        self.fill_table(offset, &messages)?;
        self.function.write(offset, control & !MSI_X_MASK_ALL | MSI_X_ENABLE);
        let entry = if messages.len() > 1 { 0 } else { NO_VECTOR };
        self.common.write_u16(register::CONFIGURATION_VECTOR, entry);
        match self.common.read_u16(register::CONFIGURATION_VECTOR) == entry {
            true => Ok(()),
            false => Err(Failure::Interrupt),
        }
    }

    fn acknowledge_interrupt(&self) -> bool {
        // A message needs no answer, and there is one for changes alone.
        false
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
        // Most lie where their number says, since they are enabled in order.
        let known = self.notify_offsets.get(usize::from(queue));
        let known = known.filter(|(number, _)| *number == queue);
        let known = known.or_else(|| self.notify_offsets.iter().find(|(number, _)| *number == queue));
        if let Some(&(_, offset)) = known {
            self.notify.write_u16(offset, queue);
        }
    }
}
