//! The vDSO in the program's address space: its data page below, its code above.
//!
//! The code (`arch/x86_64/vdso.s`) computes the time from the counter and the numbers in the data page. They
//! are there as soon as anybody has asked the kernel for the time; before that the code asks the kernel, so
//! that a program that never looks at a clock does not pay for calibrating it.

use alloc::string::String;
use alloc::sync::Arc;

use spin::Once;

use super::clock::{self, ClockParameters};
use crate::arch;
use crate::memory::{Frame, PAGE_SIZE, PageError, PageSource, Purpose};

/// Pages of data, right below the code.
pub const DATA_PAGES: u64 = 1;

// Offsets in the data page, as in `vdso.s`.
const READY: usize = 0;
const BASE: usize = 8;
const MULTIPLIER: usize = 16;
const WALL_BASE: usize = 24;

static DATA: Once<Frame> = Once::new();

/// Pages of code.
pub fn code_pages() -> u64 {
    arch::vdso_image().len().div_ceil(PAGE_SIZE) as u64
}

/// What to map: the data and the code.
pub fn sources() -> (Arc<dyn PageSource>, Arc<dyn PageSource>) {
    (Arc::new(Data), Arc::new(Code))
}

/// Lets programs compute the time themselves from now on.
pub(super) fn publish(parameters: &ClockParameters) {
    if let Some(frame) = DATA.get() {
        fill(frame, parameters);
    }
}

fn fill(frame: &Frame, parameters: &ClockParameters) {
    frame.write(BASE, &parameters.base.to_le_bytes());
    frame.write(MULTIPLIER, &parameters.nanoseconds.bits().to_le_bytes());
    frame.write(WALL_BASE, &parameters.wall_base.to_le_bytes());
    frame.write(READY, &1u32.to_le_bytes());
}

struct Data;

impl PageSource for Data {
    fn page(&self, _index: u64, _write: bool) -> Result<Frame, PageError> {
        if let Some(frame) = DATA.get() {
            return Ok(frame.clone());
        }
        let frame = Frame::zeroed(Purpose::Kernel).ok_or(PageError::OutOfMemory)?;
        let frame = DATA.call_once(|| frame).clone();
        clock::publish();
        Ok(frame)
    }

    fn name(&self) -> String {
        String::from("[vvar]")
    }

    fn identity(&self) -> (u64, u64) {
        (0, 0)
    }
}

struct Code;

impl PageSource for Code {
    fn page(&self, index: u64, _write: bool) -> Result<Frame, PageError> {
        let page = usize::try_from(index)
            .ok()
            .and_then(|index| arch::vdso_image().chunks(PAGE_SIZE).nth(index));
        let page = page.ok_or(PageError::BeyondEnd)?;
        let frame = Frame::zeroed(Purpose::Kernel).ok_or(PageError::OutOfMemory)?;
        frame.write(0, page);
        Ok(frame)
    }

    fn name(&self) -> String {
        String::from("[vdso]")
    }

    fn identity(&self) -> (u64, u64) {
        (0, 0)
    }
}
