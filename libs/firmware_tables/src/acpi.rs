//! ACPI: from the root pointer to the MADT.

use crate::{LONGEST_TABLE, Memory, Problem, Topology, array, search, sums_up, word};

/// Bytes of the header that all tables begin with.
const HEADER: u32 = 36;
/// Most tables that a root table may name.
const MOST_TABLES: u32 = 256;

const ROOT: Problem = Problem::Damaged("ACPI root pointer");
const ROOT_TABLE: Problem = Problem::Damaged("ACPI root table");
const MADT: Problem = Problem::Damaged("MADT");

/// Looks for the root pointer where a BIOS leaves it.
pub fn find_root(memory: &impl Memory) -> Option<u64> {
    search(memory, 0xe_0000..0x10_0000, b"RSD PTR ", |address| {
        sums_up(memory, address, 20)
    })
}

pub fn read(memory: &impl Memory, root: u64) -> Result<Topology, Problem> {
    let pointer: [u8; 20] = array(memory, root).ok_or(ROOT)?;
    if &pointer[..8] != b"RSD PTR " || !sums_up(memory, root, 20) {
        return Err(ROOT);
    }
    let revision = pointer[15];
    let old = u64::from(u32::from_le_bytes([
        pointer[16],
        pointer[17],
        pointer[18],
        pointer[19],
    ]));
    let new = match revision {
        0 | 1 => 0,
        _ => root
            .checked_add(24)
            .and_then(|place| array(memory, place))
            .map(u64::from_le_bytes)
            .ok_or(ROOT)?,
    };
    let (table, signature, entry_size) = match new {
        0 => (old, b"RSDT", 4),
        new => (new, b"XSDT", 8),
    };
    let length = header(memory, table, signature).ok_or(ROOT_TABLE)?;
    let count = ((length - HEADER) / entry_size).min(MOST_TABLES);
    for index in 0..count {
        let place = table + u64::from(HEADER) + u64::from(index * entry_size);
        let address = match entry_size {
            4 => word(memory, place).map(u64::from),
            _ => array(memory, place).map(u64::from_le_bytes),
        }
        .ok_or(ROOT_TABLE)?;
        if array(memory, address).as_ref() == Some(b"APIC") {
            let length = header(memory, address, b"APIC").ok_or(MADT)?;
            return entries(memory, address, length);
        }
    }
    Err(Problem::Missing)
}

/// The length of a table whose header is in order.
fn header(memory: &impl Memory, address: u64, signature: &[u8; 4]) -> Option<u32> {
    if array(memory, address).as_ref() != Some(signature) {
        return None;
    }
    let length = word(memory, address.checked_add(4)?)?;
    address.checked_add(u64::from(LONGEST_TABLE))?;
    ((HEADER..=LONGEST_TABLE).contains(&length) && sums_up(memory, address, length))
        .then_some(length)
}

fn entries(memory: &impl Memory, table: u64, length: u32) -> Result<Topology, Problem> {
    const LOCAL: u8 = 0;
    const IO: u8 = 1;
    const LOCAL_X2: u8 = 9;
    const ENABLED: u32 = 1;
    let mut topology = Topology::default();
    // Behind the header: address of the local controllers, flags.
    let mut offset = HEADER + 8;
    while offset < length {
        let place = table + u64::from(offset);
        let [kind, size] = array(memory, place).ok_or(MADT)?;
        let least = match kind {
            LOCAL => 8,
            IO => 12,
            LOCAL_X2 => 16,
            _ => 2,
        };
        if size < least || u32::from(size) > length - offset {
            return Err(MADT);
        }
        match kind {
            LOCAL if word(memory, place + 4).ok_or(MADT)? & ENABLED != 0 => {
                topology.processors += 1;
            }
            LOCAL_X2 if word(memory, place + 8).ok_or(MADT)? & ENABLED != 0 => {
                topology.processors += 1;
            }
            IO if word(memory, place + 8).ok_or(MADT)? == 0 => {
                let address = word(memory, place + 4).ok_or(MADT)?;
                topology.interrupt_controller = Some(u64::from(address));
            }
            _ => {}
        }
        offset += u32::from(size);
    }
    Ok(topology)
}
