//! Damaged and hostile files.

use super::{Builder, Header, content, subject};
use crate::*;
use elf::abi::*;
use proptest::prelude::*;

/// Where test programs are linked.
const BASE: u64 = 0x40_0000;

fn parse(file: &[u8]) -> Result<Plan, Error> {
    Plan::parse(file, file.len() as u64)
}

fn good() -> Vec<u8> {
    Builder::new(ET_EXEC, &[Header::load(BASE, 0, 0x1234, 0x3000)]).build()
}

fn with(change: impl FnOnce(&mut Header)) -> Result<Plan, Error> {
    let mut header = Header::load(BASE + 0x1010, 0x1010, 0x100, 0x200);
    change(&mut header);
    let first = Header::load(BASE, 0, 0x1000, 0x1000);
    parse(&Builder::new(ET_EXEC, &[first, header]).build())
}

/// The good file with a byte of the ELF header changed.
fn patched(offset: usize, bytes: &[u8]) -> Result<Plan, Error> {
    let mut file = good();
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
    parse(&file)
}

#[test]
fn a_good_file() {
    let plan = parse(&good()).expect("valid");
    let segment = plan.segments[0];
    assert_eq!(plan.segments.len(), 1);
    assert_eq!(segment.file_pages(), BASE..BASE + 0x2000);
    assert_eq!(segment.to_clear(), BASE + 0x1234..BASE + 0x2000);
    assert_eq!(segment.anonymous_pages(), BASE + 0x2000..BASE + 0x3000);
    assert_eq!(plan.program_headers_address, Some(BASE + 64));
    assert_eq!((plan.span(), plan.break_start), (0x3000, BASE + 0x3000));
}

#[test]
fn not_for_this_machine() {
    assert_eq!(parse(b""), Err(Error::NotExecutableFormat));
    assert_eq!(parse(b"MZ\x90\0"), Err(Error::NotExecutableFormat));
    assert_eq!(parse(b"\x7fELF"), Err(Error::Truncated));
    assert_eq!(patched(EI_CLASS, &[1]), Err(Error::Not64Bit));
    assert_eq!(patched(EI_CLASS, &[7]), Err(Error::NotExecutableFormat));
    assert_eq!(patched(EI_DATA, &[2]), Err(Error::BigEndian));
    assert_eq!(patched(EI_DATA, &[0]), Err(Error::NotExecutableFormat));
    assert_eq!(
        patched(EI_VERSION, &[2]),
        Err(Error::UnknownVersion { version: 2 })
    );
    let foreign = patched(18, &183u16.to_le_bytes()).expect_err("aarch64");
    assert_eq!(foreign, Error::WrongMachine { machine: 183 });
    assert!(foreign.to_string().contains("aarch64"));
    let unknown = patched(18, &64222u16.to_le_bytes()).expect_err("unknown");
    assert!(unknown.to_string().contains("64222"));
    for kind in [ET_REL, ET_CORE, ET_NONE, 77] {
        assert_eq!(
            patched(16, &kind.to_le_bytes()),
            Err(Error::NotAProgram { kind })
        );
    }
}

#[test]
fn bad_tables() {
    assert_eq!(patched(54, &[32, 0]), Err(Error::HeaderSize { size: 32 }));
    assert_eq!(patched(56, &[0, 0]), Err(Error::HeaderCount { count: 0 }));
    let many = 1171u16;
    assert_eq!(
        patched(56, &many.to_le_bytes()),
        Err(Error::HeaderCount { count: many })
    );
    assert_eq!(
        patched(56, &1170u16.to_le_bytes()),
        Err(Error::Truncated),
        "the table would reach beyond the end of the file"
    );
    assert_eq!(patched(32, &[0xff; 8]), Err(Error::Truncated));
    assert_eq!(
        patched(32, &0x3fff_u64.to_le_bytes()),
        Err(Error::Truncated)
    );
    let note = Header {
        kind: PT_NOTE,
        ..Header::load(BASE, 0, 64, 64)
    };
    let no_load = Builder::new(ET_DYN, &[note]).build();
    assert_eq!(parse(&no_load), Err(Error::NoSegments));
    let empty = Builder::new(ET_DYN, &[Header::load(0, 0, 0, 0)]).build();
    assert_eq!(parse(&empty), Err(Error::NoSegments));
}

#[test]
fn more_of_the_file_is_asked_for() {
    let file = good();
    let size = file.len() as u64;
    assert_eq!(Plan::parse(&[], size), Err(Error::NeedMore { bytes: 64 }));
    assert_eq!(
        Plan::parse(&file[..63], size),
        Err(Error::NeedMore { bytes: 64 })
    );
    assert_eq!(
        Plan::parse(&file[..64], size),
        Err(Error::NeedMore { bytes: 120 })
    );
    assert_eq!(Plan::parse(&file[..120], size), parse(&file));
    // The table far from the start, read by itself.
    let mut moved = file.clone();
    moved.extend_from_slice(&file[64..120]);
    moved[32..40].copy_from_slice(&size.to_le_bytes());
    let range = Plan::program_headers(&moved[..64], size + 56).expect("valid");
    assert_eq!((range.offset, range.length), (size, 56));
    let plan = Plan::parse_parts(&moved[..64], &moved[file.len()..], size + 56).expect("valid");
    assert_eq!(plan.program_headers_address, None);
    assert_eq!(plan, parse(&moved).expect("valid"));
    assert_eq!(
        Plan::parse_parts(&moved[..64], &[0; 55], size + 56),
        Err(Error::Truncated)
    );
}

#[test]
fn bad_segments() {
    let header = 1;
    assert!(with(|_| {}).is_ok());
    assert_eq!(
        with(|segment| segment.memory_size = 0xff),
        Err(Error::LargerInFile { header })
    );
    assert_eq!(
        with(|segment| segment.offset = 0x3f00),
        Err(Error::Misaligned { header })
    );
    assert_eq!(
        with(|segment| segment.offset = 0x3f01),
        Err(Error::BeyondEndOfFile { header })
    );
    assert_eq!(
        with(|segment| segment.offset = u64::MAX - 0xff),
        Err(Error::BeyondEndOfFile { header })
    );
    assert_eq!(
        with(|segment| segment.address = BASE + 0x10),
        Err(Error::OutOfOrder { header })
    );
    assert_eq!(
        with(|segment| segment.address = BASE - 0x10000),
        Err(Error::OutOfOrder { header })
    );
    assert_eq!(
        with(|segment| segment.address = 0xfff0),
        Err(Error::BadAddress { header })
    );
    for address in [USER_END - 0x1ff, 0xffff_8000_0000_1010, u64::MAX] {
        assert_eq!(
            with(|segment| segment.address = address),
            Err(Error::BadAddress { header })
        );
    }
    assert_eq!(
        with(|segment| segment.memory_size = u64::MAX),
        Err(Error::BadAddress { header })
    );
    assert_eq!(
        with(|segment| segment.memory_size = USER_END),
        Err(Error::BadAddress { header })
    );
    assert_eq!(
        with(|segment| segment.alignment = 1 << 62),
        Err(Error::HugeAlignment { header })
    );
    let alignment = |value| with(|segment| segment.alignment = value).map(|plan| plan.alignment);
    assert_eq!(alignment(0), Ok(4096));
    assert_eq!(alignment(3 << 20), Ok(4096), "none, so it is ignored");
    assert_eq!(alignment(1 << 21), Ok(1 << 21));
    let highest = with(|segment| {
        segment.address = USER_END - 0x200;
        segment.offset = 0xe00;
    })
    .expect("just fits");
    assert_eq!(highest.break_start, USER_END);
}

#[test]
fn segments_that_share_a_page() {
    // The second starts in the last page of the first, which has .bss there.
    let first = Header::load(BASE, 0, 0x1100, 0x1200);
    let mut second = Header::load(BASE + 0x1200, 0x1200, 0x100, 0x100);
    let plan = parse(&Builder::new(ET_EXEC, &[first, second]).build()).expect("valid");
    assert_eq!(plan.segments[0].pages(), BASE..BASE + 0x1000);
    assert_eq!(plan.segments[1].pages(), BASE + 0x1000..BASE + 0x2000);
    second.address = BASE + 0x200;
    second.offset = 0x200;
    let only_page = Header::load(BASE, 0, 0x100, 0x200);
    let plan = parse(&Builder::new(ET_EXEC, &[only_page, second]).build()).expect("valid");
    assert_eq!(plan.segments.len(), 1);
    assert_eq!(plan.segments[0].file_bytes, 0x300);
}

#[test]
fn bad_interpreters() {
    let interpreter = |offset, length| {
        let header = Header {
            kind: PT_INTERP,
            ..Header::load(0, offset, length, length)
        };
        let load = Header::load(0, 0, 0x1000, 0x1000);
        parse(&Builder::new(ET_DYN, &[load, header]).build()).map(|plan| plan.interpreter)
    };
    assert_eq!(
        interpreter(100, 28),
        Ok(Some(FileRange {
            offset: 100,
            length: 28
        }))
    );
    assert_eq!(interpreter(100, 1), Err(Error::BadInterpreter));
    assert_eq!(interpreter(100, 4097), Err(Error::BadInterpreter));
    let beyond = Err(Error::BeyondEndOfFile { header: 1 });
    assert_eq!(interpreter(4 * 4096 - 4, 28), beyond);
    assert_eq!(interpreter(u64::MAX - 4, 28), beyond);
    let path = Plan::interpreter_path;
    assert_eq!(path(b"/lib/ld.so\0"), Ok(b"/lib/ld.so".as_slice()));
    assert_eq!(path(b"/lib\0/ld.so\0"), Ok(b"/lib".as_slice()));
    assert_eq!(path(b"/lib/ld.so"), Err(Error::BadInterpreter));
    assert_eq!(path(b"\0\0"), Err(Error::BadInterpreter));
    assert_eq!(path(b""), Err(Error::BadInterpreter));
}

#[test]
fn executable_stacks_are_asked_for() {
    let stack = |flags| {
        let header = Header {
            kind: PT_GNU_STACK,
            flags,
            ..Header::load(0, 0, 0, 0)
        };
        let load = Header::load(0, 0, 0x1000, 0x1000);
        parse(&Builder::new(ET_DYN, &[load, header]).build()).map(|plan| plan.executable_stack)
    };
    assert_eq!(stack(PF_R | PF_W), Ok(false));
    assert_eq!(stack(PF_R | PF_W | PF_X), Ok(true));
    assert!(!parse(&good()).expect("valid").executable_stack);
}

#[test]
fn error_numbers_are_those_of_linux() {
    assert_eq!(Error::NotExecutableFormat.errno(), 8);
    assert_eq!(Error::BadAddress { header: 0 }.errno(), 22);
    assert_eq!(Error::OutOfMemory.errno(), 12);
    assert_eq!(Error::Not64Bit.errno_of_interpreter(), 80);
    assert_eq!(Error::OutOfMemory.errno_of_interpreter(), 12);
}

/// Carries the plan out in memory that starts at `base`.
fn carry_out(plan: &Plan, file: &[u8], base: u64, memory: &mut [u8]) {
    for segment in &plan.segments {
        let at = |address: u64| (address - base) as usize;
        let pages = segment.file_pages();
        for address in pages.clone() {
            let offset = (segment.file_offset + (address - pages.start)) as usize;
            memory[at(address)] = file.get(offset).copied().unwrap_or(0);
        }
        let clear = segment.to_clear();
        memory[at(clear.start)..at(clear.end)].fill(0);
        let anonymous = segment.anonymous_pages();
        memory[at(anonymous.start)..at(anonymous.end)].fill(0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_plan_gives_every_segment_its_bytes(
        parts in prop::collection::vec((0u64..0x1800, 0u64..3, 0u64..0x1800, 0u64..0x2800), 1..5),
    ) {
        let mut address = BASE;
        let mut headers = Vec::new();
        for (gap, pages, file_size, more) in parts {
            address += gap;
            let offset = pages * PAGE_SIZE + address % PAGE_SIZE;
            let header = Header::load(address, offset, file_size, file_size + more);
            headers.push(header);
            address = header.address + header.memory_size;
        }
        let mut builder = Builder::new(ET_EXEC, &headers);
        builder.size = 8 * 4096;
        let file = builder.build();
        let Ok(plan) = parse(&file) else {
            prop_assert!(headers.iter().all(|header| header.memory_size == 0));
            return Ok(());
        };
        subject::check_plan(&plan, file.len() as u64);
        let mut memory = vec![0xee; (plan.break_start - BASE) as usize];
        carry_out(&plan, &file, BASE, &mut memory);
        for (index, header) in headers.iter().enumerate() {
            // The page where the next segment starts is that one's alone.
            let next = headers[index + 1..].iter().find(|next| next.memory_size > 0);
            let limit = next.map_or(u64::MAX, |next| next.address & !(PAGE_SIZE - 1));
            let end = (header.address + header.memory_size).min(limit);
            for address in header.address..end {
                let into = address - header.address;
                let expected = if into < header.file_size {
                    file[(header.offset + into) as usize]
                } else {
                    0
                };
                prop_assert_eq!(memory[(address - BASE) as usize], expected, "at {:#x}", address);
            }
        }
    }

    #[test]
    fn damaged_files_never_panic(
        flips in prop::collection::vec((0usize..64 + 56 * 4, any::<u8>()), 0..6),
        words in prop::collection::vec((0usize..(64 + 56 * 4) / 8, prop_oneof![
            Just(u64::MAX), Just(1 << 63), Just(u64::MAX - 4095), Just(USER_END), Just(0), any::<u64>(),
        ]), 0..3),
        given in 0usize..20000,
        claimed in prop_oneof![Just(16384u64), 0u64..20000, Just(u64::MAX)],
    ) {
        let mut file = Builder::new(ET_DYN, &[
            Header { kind: PT_INTERP, ..Header::load(0x300, 0x300, 28, 28) },
            Header::load(0, 0, 0x1000, 0x1000),
            Header::load(0x2000, 0x1000, 0x1000, 0x1000),
            Header::load(0x3000, 0x2000, 0x800, 0x2000),
        ]).build();
        for (offset, value) in flips {
            file[offset] ^= value;
        }
        for (index, word) in words {
            file[index * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
        subject::plan(&file[..given.min(file.len())], claimed);
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        subject::executable(&bytes);
    }
}

#[test]
fn the_content_of_test_files_is_never_zero() {
    assert!((0..100_000).all(|offset| content(offset) != 0));
}
