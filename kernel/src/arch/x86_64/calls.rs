//! The last system calls of each processor, for whoever has to explain a panic.
//!
//! Each processor has a list of its own: one for all would be the one line of memory that every call of every program
//! writes, and processors would wait for each other there.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::cpu;
use super::traps::Registers;

/// How many calls a processor remembers.
const REMEMBERED: usize = 16;
/// A result that no call has: the call has not returned.
const RUNNING: u64 = 1 << 63;

/// A call as it is remembered.
pub struct RememberedCall {
    number: AtomicU64,
    arguments: [AtomicU64; 6],
    result: AtomicU64,
}

impl RememberedCall {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// What was in the six registers for arguments.
    pub fn arguments(&self) -> [u64; 6] {
        core::array::from_fn(|index| self.arguments[index].load(Ordering::Relaxed))
    }

    /// What it returned, if it has.
    pub fn result(&self) -> Option<u64> {
        Some(self.result.load(Ordering::Relaxed)).filter(|&result| result != RUNNING)
    }

    /// The call has returned this.
    #[inline]
    pub(super) fn returned(&self, result: u64) {
        self.result.store(result, Ordering::Relaxed);
    }
}

/// The calls that a processor remembers. Only that processor adds some; a thread that has waited adds its result from
/// wherever it runs then, and where more calls than are remembered were made meanwhile, to a later one's place.
pub(super) struct CallLog {
    made: AtomicUsize,
    calls: [RememberedCall; REMEMBERED],
}

impl CallLog {
    pub(super) const fn new() -> Self {
        Self {
            made: AtomicUsize::new(0),
            calls: [const {
                RememberedCall {
                    number: AtomicU64::new(0),
                    arguments: [const { AtomicU64::new(0) }; 6],
                    result: AtomicU64::new(0),
                }
            }; REMEMBERED],
        }
    }

    /// Remembers the call that the registers ask for. To be called with interrupts off, on the log's processor.
    #[inline]
    pub(super) fn remember(&self, registers: &Registers) -> &RememberedCall {
        let made = self.made.load(Ordering::Relaxed);
        self.made.store(made.wrapping_add(1), Ordering::Relaxed);
        let call = &self.calls[made % REMEMBERED];
        call.number.store(registers.rax, Ordering::Relaxed);
        call.result.store(RUNNING, Ordering::Relaxed);
        for (place, value) in call.arguments.iter().zip(registers.call_arguments()) {
            place.store(value, Ordering::Relaxed);
        }
        call
    }

    fn last(&self) -> impl ExactSizeIterator<Item = &RememberedCall> {
        let made = self.made.load(Ordering::Relaxed);
        (made.saturating_sub(REMEMBERED)..made).map(|index| &self.calls[index % REMEMBERED])
    }
}

/// The last calls of a processor, oldest first. None if there is no such processor.
pub fn last_calls(cpu: usize) -> Option<impl ExactSizeIterator<Item = &'static RememberedCall>> {
    cpu::call_log(cpu).map(CallLog::last)
}
