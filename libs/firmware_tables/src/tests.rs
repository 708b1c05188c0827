extern crate std;

use std::vec;
use std::vec::Vec;

use super::*;

/// Memory from address 0 on.
struct Bytes(Vec<u8>);

impl Memory for Bytes {
    fn read(&self, address: u64, bytes: &mut [u8]) -> bool {
        let Ok(start) = usize::try_from(address) else {
            return false;
        };
        match start
            .checked_add(bytes.len())
            .and_then(|end| self.0.get(start..end))
        {
            Some(found) => {
                bytes.copy_from_slice(found);
                true
            }
            None => false,
        }
    }
}

fn checksum(bytes: &mut [u8], place: usize) {
    bytes[place] = 0;
    let sum = bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
    bytes[place] = sum.wrapping_neg();
}

const ROOT: usize = 0xe_0010;
const XSDT: usize = 0x1000;
const MADT: usize = 0x2000;

fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 36];
    bytes[..4].copy_from_slice(signature);
    bytes[4..8].copy_from_slice(&(36 + body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(body);
    checksum(&mut bytes, 9);
    bytes
}

fn local(identifier: u8, flags: u8) -> Vec<u8> {
    vec![0, 8, identifier, identifier, flags, 0, 0, 0]
}

fn x2(identifier: u32, flags: u8) -> Vec<u8> {
    let mut bytes = vec![9, 16, 0, 0];
    bytes.extend(identifier.to_le_bytes());
    bytes.extend([flags, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn io(address: u32, base: u8) -> Vec<u8> {
    let mut bytes = vec![1, 12, 0, 0];
    bytes.extend(address.to_le_bytes());
    bytes.extend([base, 0, 0, 0]);
    bytes
}

fn with_acpi(entries: &[Vec<u8>]) -> Bytes {
    let mut memory = vec![0; 0x10_0000];
    let mut put =
        |place: usize, bytes: &[u8]| memory[place..place + bytes.len()].copy_from_slice(bytes);
    let mut body = vec![0; 8];
    body.extend(entries.concat());
    put(MADT, &table(b"APIC", &body));
    put(0x3000, &table(b"FACP", &[]));
    let pointers = [0x3000u64.to_le_bytes(), (MADT as u64).to_le_bytes()].concat();
    put(XSDT, &table(b"XSDT", &pointers));
    let mut root = [0; 36];
    root[..8].copy_from_slice(b"RSD PTR ");
    root[15] = 2;
    root[24..32].copy_from_slice(&(XSDT as u64).to_le_bytes());
    checksum(&mut root[..20], 8);
    put(ROOT, &root);
    Bytes(memory)
}

fn with_mp_table(entries: &[Vec<u8>]) -> Bytes {
    let mut memory = vec![0; 0x10_0000];
    let mut bytes = vec![0; 44];
    bytes[..4].copy_from_slice(b"PCMP");
    bytes[34..36].copy_from_slice(&(entries.len() as u16).to_le_bytes());
    bytes.extend(entries.concat());
    let length = bytes.len() as u16;
    bytes[4..6].copy_from_slice(&length.to_le_bytes());
    checksum(&mut bytes, 7);
    memory[0x9_fc10..0x9_fc10 + bytes.len()].copy_from_slice(&bytes);
    let mut pointer = [0; 16];
    pointer[..4].copy_from_slice(b"_MP_");
    pointer[4..8].copy_from_slice(&0x9_fc10u32.to_le_bytes());
    pointer[8] = 1;
    checksum(&mut pointer, 10);
    memory[0x9_fc00..0x9_fc10].copy_from_slice(&pointer);
    Bytes(memory)
}

fn mp_processor(identifier: u8, flags: u8) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    bytes[1] = identifier;
    bytes[3] = flags;
    bytes
}

#[test]
fn counts_enabled_processors_of_both_kinds() {
    let memory = with_acpi(&[
        local(0, 1),
        local(1, 1),
        local(2, 0),
        x2(300, 1),
        io(0xfec0_0000, 0),
    ]);
    let expected = Topology {
        processors: 3,
        interrupt_controller: Some(0xfec0_0000),
    };
    assert_eq!(read(&memory, 0), Ok(expected));
    assert_eq!(read(&memory, ROOT as u64), Ok(expected));
}

#[test]
fn takes_the_controller_of_line_0() {
    let memory = with_acpi(&[local(0, 1), io(0xfec1_0000, 24), io(0xfec0_0000, 0)]);
    assert_eq!(
        read(&memory, 0).unwrap().interrupt_controller,
        Some(0xfec0_0000)
    );
}

#[test]
fn refuses_a_wrong_checksum() {
    for (place, problem) in [
        (MADT + 44, "MADT"),
        (XSDT + 36, "ACPI root table"),
        (ROOT + 9, "ACPI root pointer"),
    ] {
        let mut memory = with_acpi(&[local(0, 1)]);
        memory.0[place] ^= 0x80;
        assert_eq!(read(&memory, ROOT as u64), Err(Problem::Damaged(problem)));
    }
}

#[test]
fn refuses_entries_that_do_not_fit() {
    for size in [0, 1, 7, 9, 255] {
        let mut entry = local(0, 1);
        entry[1] = size;
        assert_eq!(
            read(&with_acpi(&[entry]), 0),
            Err(Problem::Damaged("MADT")),
            "{size}"
        );
    }
}

#[test]
fn survives_every_truncation_and_every_flipped_byte() {
    let whole = with_acpi(&[local(0, 1), local(1, 1), io(0xfec0_0000, 0)]);
    for length in [
        0,
        1,
        XSDT,
        XSDT + 7,
        XSDT + 40,
        MADT + 3,
        MADT + 50,
        ROOT + 8,
        ROOT + 30,
    ] {
        let cut = Bytes(whole.0[..length].to_vec());
        assert!(read(&cut, ROOT as u64).is_err());
    }
    for place in (XSDT..XSDT + 60)
        .chain(MADT..MADT + 80)
        .chain(ROOT..ROOT + 36)
    {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = Bytes(whole.0.clone());
            damaged.0[place] = value;
            // It ends, without a panic; what it finds must be possible.
            if let Ok(topology) = read(&damaged, ROOT as u64) {
                assert!(topology.processors <= 2);
            }
        }
    }
}

#[test]
fn reads_the_mp_table() {
    let mut controller = vec![2, 2, 0x11, 1];
    controller.extend(0xfec0_0000u32.to_le_bytes());
    let bus = vec![1, 0, b'I', b'S', b'A', 0, 0, 0];
    let memory = with_mp_table(&[
        mp_processor(0, 3),
        mp_processor(1, 1),
        mp_processor(2, 0),
        bus,
        controller,
    ]);
    let expected = Topology {
        processors: 2,
        interrupt_controller: Some(0xfec0_0000),
    };
    assert_eq!(read(&memory, 0), Ok(expected));
}

#[test]
fn refuses_an_mp_table_that_counts_too_many_entries() {
    let mut memory = with_mp_table(&[mp_processor(0, 3)]);
    memory.0[0x9_fc10 + 34] = 200;
    checksum(&mut memory.0[0x9_fc10..0x9_fc10 + 64], 7);
    assert_eq!(read(&memory, 0), Err(Problem::Damaged("MP table")));
}

#[test]
fn says_that_there_is_no_table() {
    assert_eq!(read(&Bytes(vec![0; 0x10_0000]), 0), Err(Problem::Missing));
    assert_eq!(read(&Bytes(Vec::new()), 0), Err(Problem::Missing));
}
