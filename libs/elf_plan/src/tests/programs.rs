//! Real programs of the host, compared with what `readelf` says about them.

use crate::*;
use std::path::Path;
use std::process::Command;

/// One line of `readelf -lW`.
#[derive(Debug, PartialEq)]
struct Line {
    kind: String,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
    flags: String,
    alignment: u64,
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn readelf(path: &Path) -> (String, Vec<Line>) {
    let output = Command::new("readelf")
        .arg("-hlW")
        .arg(path)
        .output()
        .expect("readelf (Debian package binutils) is needed for this test");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [
                kind,
                offset,
                address,
                _,
                file_size,
                memory_size,
                flags @ ..,
                alignment,
            ] = words.as_slice()
            else {
                return None;
            };
            Some(Line {
                kind: (*kind).to_string(),
                offset: hexadecimal(offset)?,
                address: hexadecimal(address)?,
                file_size: hexadecimal(file_size)?,
                memory_size: hexadecimal(memory_size)?,
                flags: flags.concat(),
                alignment: hexadecimal(alignment)?,
            })
        })
        .collect();
    (text, lines)
}

fn value<'text>(text: &'text str, name: &str) -> &'text str {
    text.lines()
        .find_map(|line| line.trim().strip_prefix(name))
        .expect("readelf prints it")
        .trim()
}

fn compare(path: &Path) -> Plan {
    let file = std::fs::read(path).expect("a program of the host");
    let size = file.len() as u64;
    let plan = Plan::parse(&file, size).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    assert_eq!(Plan::parse(&file[..4096], size), Ok(plan.clone()));
    let (text, lines) = readelf(path);
    assert_eq!(
        Some(plan.entry),
        hexadecimal(value(&text, "Entry point address:"))
    );
    assert_eq!(
        plan.kind == Kind::Fixed,
        value(&text, "Type:").starts_with("EXEC")
    );
    assert_eq!(
        plan.program_header_count.to_string(),
        value(&text, "Number of program headers:")
    );
    let loads: Vec<&Line> = lines.iter().filter(|line| line.kind == "LOAD").collect();
    assert_eq!(plan.segments.len(), loads.len());
    let mut highest = 0;
    for (segment, load) in plan.segments.iter().zip(&loads) {
        let into_page = load.address % PAGE_SIZE;
        assert_eq!(segment.virtual_address, load.address - into_page);
        if load.file_size > 0 {
            assert_eq!(segment.file_offset, load.offset - into_page);
            assert_eq!(segment.file_bytes, load.file_size + into_page);
        }
        assert_eq!(segment.memory_bytes, load.memory_size + into_page);
        let protection = Protection {
            read: load.flags.contains('R'),
            write: load.flags.contains('W'),
            execute: load.flags.contains('E'),
        };
        assert_eq!(segment.protection, protection);
        highest = load.address + load.memory_size;
    }
    assert_eq!(plan.break_start, highest.next_multiple_of(PAGE_SIZE));
    assert_eq!(plan.lowest_address(), loads[0].address / 4096 * 4096);
    let alignment = loads.iter().map(|load| load.alignment).max();
    assert_eq!(Some(plan.alignment), alignment.map(|size| size.max(4096)));
    if let Some(line) = lines.iter().find(|line| line.kind == "PHDR") {
        assert_eq!(plan.program_headers_address, Some(line.address));
    }
    let stack = lines.iter().find(|line| line.kind == "GNU_STACK");
    assert_eq!(
        plan.executable_stack,
        stack.is_some_and(|line| line.flags.contains('E'))
    );
    let interpreter = lines.iter().find(|line| line.kind == "INTERP");
    assert_eq!(plan.interpreter.is_some(), interpreter.is_some());
    if let Some(FileRange { offset, length }) = plan.interpreter {
        let bytes = &file[offset as usize..][..length as usize];
        let path = Plan::interpreter_path(bytes).expect("valid");
        let path = std::str::from_utf8(path).expect("text");
        let expected = format!("[Requesting program interpreter: {path}]");
        assert!(text.contains(&expected), "{expected}");
    }
    plan
}

#[test]
fn a_dynamic_program() {
    let plan = compare(Path::new("/bin/ls"));
    assert_eq!(plan.kind, Kind::PositionIndependent);
    assert!(plan.interpreter.is_some());
    assert!(!plan.executable_stack);
    let writable = plan.segments.last().expect("data");
    assert!(writable.protection.write);
    assert!(!writable.to_clear().is_empty(), "it has .bss");
}

#[test]
fn the_dynamic_linker() {
    let plan = compare(Path::new("/lib64/ld-linux-x86-64.so.2"));
    assert_eq!(plan.kind, Kind::PositionIndependent);
    assert_eq!(plan.interpreter, None);
}

#[test]
fn a_program_of_rust() {
    compare(&std::env::current_exe().expect("this test"));
}

#[test]
fn a_static_program() {
    let directory = std::env::temp_dir().join(format!("pith-elf-plan-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("temporary directory");
    let source = directory.join("static.c");
    let program = directory.join("static");
    // Without any library, so that no static libc is needed. The variables give it .data and a large .bss.
    std::fs::write(
        &source,
        "int data = 1; char zeroes[100000]; void _start(void) { for (;;) data += zeroes[5]; }",
    )
    .expect("written");
    let status = Command::new("cc")
        .args(["-static", "-nostdlib", "-no-pie", "-o"])
        .arg(&program)
        .arg(&source)
        .status()
        .expect("cc (Rust needs it for linking too)");
    assert!(status.success());
    let plan = compare(&program);
    std::fs::remove_dir_all(&directory).expect("temporary directory");
    assert_eq!(plan.kind, Kind::Fixed);
    assert_eq!(plan.interpreter, None);
    let writable = plan.segments.last().expect("data");
    assert!(writable.anonymous_pages().end - writable.anonymous_pages().start >= 90000);
}

/// Not everywhere installed; the linked program above stands in for it.
#[test]
fn busybox_if_it_is_there() {
    let path = Path::new("/bin/busybox");
    if path.exists() {
        compare(path);
    }
}
