//! What is fuzzed: a program file of any bytes.

use pith_elf_plan::{Error, Executable, Kind, PAGE_SIZE, Plan, USER_END, USER_START};

/// What the plan promises, whatever the file was.
pub fn check_plan(plan: &Plan, file_size: u64) {
    assert!(!plan.segments.is_empty());
    assert!(plan.alignment.is_power_of_two() && plan.alignment >= PAGE_SIZE);
    let mut floor = match plan.kind {
        Kind::Fixed => USER_START,
        Kind::PositionIndependent => 0,
    };
    for segment in &plan.segments {
        assert!(segment.virtual_address.is_multiple_of(PAGE_SIZE));
        assert!(segment.file_offset.is_multiple_of(PAGE_SIZE));
        assert!(segment.virtual_address >= floor);
        assert!(segment.memory_bytes > 0 && segment.file_bytes <= segment.memory_bytes);
        assert!(segment.file_offset + segment.file_bytes <= file_size);
        let pages = segment.pages();
        assert_eq!(segment.file_pages().start, pages.start);
        assert_eq!(segment.file_pages().end, segment.anonymous_pages().start);
        assert_eq!(segment.anonymous_pages().end, pages.end);
        assert!(segment.to_clear().end <= pages.end);
        assert!(pages.end - pages.start >= segment.memory_bytes);
        floor = pages.end;
    }
    assert!(floor <= USER_END);
    assert_eq!(plan.break_start, floor);
    assert_eq!(plan.lowest_address() + plan.span(), floor);
    if let Some(range) = plan.interpreter {
        assert!(range.offset + range.length <= file_size);
    }
}

/// Plans a file of which the start is given, and which claims a size.
pub fn plan(start: &[u8], claimed: u64) {
    match Plan::parse(start, claimed) {
        Ok(plan) => check_plan(&plan, claimed),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            if let Error::NeedMore { bytes } = error {
                assert!(bytes > start.len() as u64 && bytes <= claimed);
            }
        }
    }
}

/// Takes any bytes for a program file, a script and the path of an interpreter.
pub fn executable(data: &[u8]) {
    plan(data, data.len() as u64);
    plan(data, u64::MAX);
    let _ = Executable::detect(data);
    let _ = Plan::interpreter_path(data);
}
