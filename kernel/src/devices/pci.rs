//! The PCI bus: which functions there are, and their configuration.
//!
//! Configuration is reached through two I/O ports, which every PC-like machine with PCI has. Firmware has
//! assigned addresses to all base address registers before the kernel starts.
//!
//! Source: PCI Local Bus Specification 3.0, chapter 6; PCI-to-PCI Bridge Architecture Specification 1.2.

use alloc::vec::Vec;

use crate::arch;
use crate::memory::DeviceWindow;

const ADDRESS_PORT: u16 = 0xcf8;
const DATA_PORT: u16 = 0xcfc;

/// Offsets in the configuration space.
mod register {
    pub const IDENTIFIERS: u8 = 0x00;
    pub const COMMAND: u8 = 0x04;
    pub const HEADER: u8 = 0x0c;
    pub const FIRST_BASE_ADDRESS: u8 = 0x10;
    pub const BUS_NUMBERS: u8 = 0x18;
    pub const CAPABILITIES: u8 = 0x34;
}

/// Command: answer to accesses to memory.
const MEMORY_SPACE: u32 = 1 << 1;
/// Command: may access memory by itself, which interrupts by message need too.
const BUS_MASTER: u32 = 1 << 2;
/// Command: no interrupts over lines.
const NO_LINE_INTERRUPT: u32 = 1 << 10;
/// Status (upper half of the command register): there is a list of capabilities.
const HAS_CAPABILITIES: u32 = 1 << 20;
/// Most capabilities that fit into the configuration space; a longer list goes in circles.
const MOST_CAPABILITIES: usize = 48;
/// Base address registers of a function.
const BASE_ADDRESSES: u8 = 6;

/// One function of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    bus: u8,
    device: u8,
    function: u8,
    /// Who made it.
    pub vendor: u16,
    /// What it is, in the vendor's numbering.
    pub identifier: u16,
}

/// A capability: a structure in the configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What kind it is.
    pub kind: u8,
    /// Where it starts.
    pub offset: u8,
}

fn read(bus: u8, device: u8, function: u8, offset: u8) -> u32 {
    let address =
        1 << 31 | u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8 | u32::from(offset & !3);
    arch::write_port_u32(ADDRESS_PORT, address);
    arch::read_port_u32(DATA_PORT)
}

/// All functions of the machine: those of bus 0, and of the buses behind bridges.
pub fn functions() -> Vec<Function> {
    let mut found = Vec::new();
    // Behind bridges, numbers only grow, so each bus is looked at once.
    let mut buses = Vec::from([0_u8]);
    let mut next = 0;
    while let Some(&bus) = buses.get(next) {
        next += 1;
        for device in 0..32 {
            scan_device(bus, device, &mut found, &mut buses);
        }
    }
    found
}

fn scan_device(bus: u8, device: u8, found: &mut Vec<Function>, buses: &mut Vec<u8>) {
    for function in 0..8 {
        let identifiers = read(bus, device, function, register::IDENTIFIERS);
        let vendor = identifiers as u16;
        if vendor == 0xffff {
            // Without function 0 there is no device.
            if function == 0 {
                return;
            }
            continue;
        }
        found.push(Function {
            bus,
            device,
            function,
            vendor,
            identifier: (identifiers >> 16) as u16,
        });
        let header = (read(bus, device, function, register::HEADER) >> 16) as u8;
        if header & 0x7f == 1 {
            let secondary = (read(bus, device, function, register::BUS_NUMBERS) >> 8) as u8;
            if secondary > bus && !buses.contains(&secondary) {
                buses.push(secondary);
            }
        }
        let several = header & 0x80 != 0;
        if function == 0 && !several {
            return;
        }
    }
}

impl Function {
    /// Reads a word of the configuration space.
    pub fn read(&self, offset: u8) -> u32 {
        read(self.bus, self.device, self.function, offset)
    }

    /// Writes a word of the configuration space.
    pub fn write(&self, offset: u8, value: u32) {
        // Sets the address; what is there is of no interest.
        self.read(offset);
        arch::write_port_u32(DATA_PORT, value);
    }

    /// Lets the function answer to accesses and access memory; interrupts come as messages only.
    pub fn enable(&self) {
        let command = self.read(register::COMMAND) & 0xffff;
        // The status in the upper half is cleared by writing ones, so zeroes leave it alone.
        self.write(
            register::COMMAND,
            command | MEMORY_SPACE | BUS_MASTER | NO_LINE_INTERRUPT,
        );
    }

    /// Its capabilities, in the order of its list.
    pub fn capabilities(&self) -> impl Iterator<Item = Capability> {
        let function = *self;
        let has_list = self.read(register::COMMAND) & HAS_CAPABILITIES != 0;
        let mut next = if has_list {
            self.read(register::CAPABILITIES) as u8
        } else {
            0
        };
        core::iter::from_fn(move || {
            let offset = next & !3;
            if offset < 0x40 {
                return None;
            }
            let word = function.read(offset);
            next = (word >> 8) as u8;
            Some(Capability {
                kind: word as u8,
                offset,
            })
        })
        .take(MOST_CAPABILITIES)
    }

    /// Maps a part of the memory behind a base address register (0–5). `None` if the register holds no
    /// address in memory, or the part can't be mapped.
    pub fn map(&self, base_address: u8, offset: u64, length: u64) -> Option<DeviceWindow> {
        if base_address >= BASE_ADDRESSES {
            return None;
        }
        let place = register::FIRST_BASE_ADDRESS + base_address * 4;
        let low = self.read(place);
        // Bit 0: I/O ports. Bits 1 and 2: width.
        let high = match low & 0b111 {
            0b000 => 0,
            0b100 if base_address + 1 < BASE_ADDRESSES => self.read(place + 4),
            _ => return None,
        };
        let start = u64::from(high) << 32 | u64::from(low & !0xf);
        if start == 0 {
            return None;
        }
        DeviceWindow::map(start.checked_add(offset)?, length)
    }
}
