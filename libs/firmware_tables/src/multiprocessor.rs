//! The MP table.

use crate::{Memory, Problem, Topology, array, search, sums_up, word};

const TABLE: Problem = Problem::Damaged("MP table");

/// Bytes of the header of the configuration table.
const HEADER: u16 = 44;

/// Looks for the floating pointer: in the extended BIOS area, at the end of low memory, in the BIOS.
pub fn find(memory: &impl Memory) -> Option<u64> {
    let extended =
        array(memory, 0x40e).map_or(0, |bytes| u64::from(u16::from_le_bytes(bytes)) << 4);
    let places = [(extended, 0x400), (0x9_fc00, 0x400), (0xf_0000, 0x1_0000)];
    places
        .iter()
        .filter(|(start, _)| *start != 0)
        .find_map(|&(start, length)| {
            search(memory, start..start + length, b"_MP_", |address| {
                sums_up(memory, address, 16)
            })
        })
}

pub fn read(memory: &impl Memory, pointer: u64) -> Result<Topology, Problem> {
    const PROCESSOR: u8 = 0;
    const IO: u8 = 2;
    const USABLE: u8 = 1;
    let table = u64::from(word(memory, pointer + 4).ok_or(TABLE)?);
    if array(memory, table).as_ref() != Some(b"PCMP") {
        return Err(TABLE);
    }
    let length = u16::from_le_bytes(array(memory, table + 4).ok_or(TABLE)?);
    let count = u16::from_le_bytes(array(memory, table + 34).ok_or(TABLE)?);
    if length < HEADER || !sums_up(memory, table, u32::from(length)) {
        return Err(TABLE);
    }
    let mut topology = Topology::default();
    let mut offset = HEADER;
    for _ in 0..count {
        let place = table + u64::from(offset);
        let [kind, _, _, flags]: [u8; 4] = array(memory, place).ok_or(TABLE)?;
        let size = if kind == PROCESSOR { 20 } else { 8 };
        if length - offset < size {
            return Err(TABLE);
        }
        match kind {
            PROCESSOR if flags & USABLE != 0 => topology.processors += 1,
            IO if flags & USABLE != 0 && topology.interrupt_controller.is_none() => {
                let address = word(memory, place + 4).ok_or(TABLE)?;
                topology.interrupt_controller = Some(u64::from(address));
            }
            _ => {}
        }
        offset += size;
    }
    Ok(topology)
}
