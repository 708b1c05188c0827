//! The trace of system calls in strace's notation, and the memory of the last ones for a panic.

use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::{Answer, Call};
use crate::arch::Registers;

/// What is known about a call when an argument is shown.
pub struct Values {
    /// The six argument registers.
    pub arguments: [u64; 6],
    /// The result, once there is one: what buffers hold is only known then.
    pub result: Option<i64>,
}

static TRACING: AtomicBool = AtomicBool::new(false);

/// Switches the trace on or off.
pub fn set_tracing(on: bool) {
    TRACING.store(on, Ordering::Relaxed);
}

/// Whether calls are traced.
#[inline]
pub fn tracing() -> bool {
    TRACING.load(Ordering::Relaxed)
}

const REMEMBERED: usize = 16;
static LAST: [AtomicU64; REMEMBERED] = [const { AtomicU64::new(u64::MAX) }; REMEMBERED];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Remembers that a call was made.
#[inline]
pub fn remember(number: u64, _registers: &Registers) {
    let slot = NEXT.load(Ordering::Relaxed);
    NEXT.store(slot.wrapping_add(1), Ordering::Relaxed);
    LAST[slot % REMEMBERED].store(number, Ordering::Relaxed);
}

/// Numbers of the last calls, oldest first.
pub fn last_calls() -> impl Iterator<Item = u64> {
    let next = NEXT.load(Ordering::Relaxed);
    (0..REMEMBERED)
        .map(move |index| LAST[(next + index) % REMEMBERED].load(Ordering::Relaxed))
        .filter(|&number| number != u64::MAX)
}

/// Called before a traced call runs.
pub(super) fn before(_number: u64, _call: Option<&Call>, _values: &[u64; 6]) {}

/// Called after a traced call: prints its line.
pub(super) fn after(number: u64, call: Option<&Call>, arguments: &[u64; 6], answer: &Answer) {
    let mut line = alloc::string::String::new();
    let _ = write!(line, "{} {number} {arguments:x?}", call.map_or("?", |call| call.name));
    let _ = write!(line, " = {}", match answer { Ok(super::Reply::Value(value)) => *value as i64, Ok(_) => 0, Err(errno) => -i64::from(errno.number()) });
    crate::warning!("{line}");
}
