//! Which processors a machine has, and where its I/O interrupt controller is.
//!
//! Two descriptions are understood: the MADT of ACPI (ACPI specification 6.5, 5.2.12), found through the root pointer
//! that the monitor names or that lies in the BIOS area, and the older MP table (Intel MultiProcessor Specification
//! 1.4), which Firecracker makes. Nothing is allocated, and nothing that the tables say is trusted: a table that is
//! damaged is an error, and the machine runs with one processor.
#![no_std]
#![forbid(unsafe_code)]

mod acpi;
mod multiprocessor;
#[cfg(test)]
mod tests;

/// Physical memory, as far as it can be read.
pub trait Memory {
    /// Fills `bytes` from a physical address; false if it can't be read there.
    fn read(&self, address: u64, bytes: &mut [u8]) -> bool;
}

/// What the tables say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Processors that can be used, the one that boots included.
    pub processors: u32,
    /// Physical address of the I/O interrupt controller that has line 0.
    pub interrupt_controller: Option<u64>,
}

/// Why no table could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is none.
    Missing,
    /// The table of this name can't be read or contradicts itself.
    Damaged(&'static str),
}

impl core::fmt::Display for Problem {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Missing => out.write_str("there is no ACPI or MP table"),
            Self::Damaged(table) => write!(out, "the {table} is damaged"),
        }
    }
}

/// Tables longer than this are not believed.
const LONGEST_TABLE: u32 = 1 << 20;

/// Reads the topology; `root_pointer` is the address of ACPI's root pointer, 0 if the monitor did not name it.
///
/// # Errors
/// [`Problem`]
pub fn read(memory: &impl Memory, root_pointer: u64) -> Result<Topology, Problem> {
    let root = match root_pointer {
        0 => acpi::find_root(memory),
        named => Some(named),
    };
    if let Some(root) = root {
        return acpi::read(memory, root);
    }
    match multiprocessor::find(memory) {
        Some(pointer) => multiprocessor::read(memory, pointer),
        None => Err(Problem::Missing),
    }
}

fn array<const N: usize>(memory: &impl Memory, address: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    memory.read(address, &mut bytes).then_some(bytes)
}

fn word(memory: &impl Memory, address: u64) -> Option<u32> {
    array(memory, address).map(u32::from_le_bytes)
}

/// Whether the bytes of a table sum up to 0.
fn sums_up(memory: &impl Memory, address: u64, length: u32) -> bool {
    let mut sum = 0u8;
    let mut done = 0;
    while done < length {
        let mut piece = [0; 64];
        let count = (length - done).min(64) as usize;
        let Some(start) = address.checked_add(u64::from(done)) else {
            return false;
        };
        if !memory.read(start, &mut piece[..count]) {
            return false;
        }
        sum = piece[..count]
            .iter()
            .fold(sum, |sum, &byte| sum.wrapping_add(byte));
        done += count as u32;
    }
    sum == 0
}

/// Searches a range for a signature at every 16th byte.
fn search<const N: usize>(
    memory: &impl Memory,
    range: core::ops::Range<u64>,
    signature: &[u8; N],
    accept: impl Fn(u64) -> bool,
) -> Option<u64> {
    range
        .step_by(16)
        .find(|&address| array(memory, address).as_ref() == Some(signature) && accept(address))
}
