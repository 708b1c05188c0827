//! What a thread may still ask of the kernel: filters of system calls (`seccomp(2)`).
//!
//! A thread that gives calls up never gets them back, and passes what it has left on to the threads and processes that it
//! makes and the programs that it runs. As long as no thread of the machine has given anything up, nobody looks here.

use alloc::sync::Arc;

use pith_packet_filter::calls::{self, Call};
use pith_packet_filter::{About, Program};
use spin::{Mutex, MutexGuard};

use super::thread::Thread;

/// Each filter of a chain counts for so many instructions more.
const COST_OF_FILTER: usize = 4;
/// Most instructions of a chain (`MAX_INSNS_PER_PATH`). Linux counts those into which it translates them, about twice as many.
const LONGEST_CHAIN: usize = (1 << 18) / 8;

/// A filter, and those that were there before it.
pub struct Filter {
    program: Program,
    older: Option<Arc<Filter>>,
    /// Instructions of all of them, with their costs.
    cost: usize,
    /// How many they are.
    count: usize,
    /// What it refuses is noted down.
    logs: bool,
}

impl Filter {
    /// A filter in front of others; `None` if there are too many instructions.
    pub fn new(program: Program, older: Option<Arc<Filter>>, logs: bool) -> Option<Self> {
        let length = program.length();
        let (cost, count) = older.as_ref().map_or((0, 0), |older| (older.cost, older.count));
        // The newest one's own cost is not counted yet, as on Linux.
        (cost + length <= LONGEST_CHAIN).then_some(Self {
            program,
            older,
            cost: cost + length + COST_OF_FILTER,
            count: count + 1,
            logs,
        })
    }

    fn chain(&self) -> impl Iterator<Item = &Self> {
        core::iter::successors(Some(self), |filter| filter.older.as_deref())
    }

    /// What all of them together answer about a call, and whether who answered wants that noted down.
    pub fn judge(&self, call: &Call) -> (u32, bool) {
        let packet = call.packet();
        let mut verdict = (calls::ALLOW, false);
        for filter in self.chain() {
            let answer = filter.program.run(&packet, About::default());
            if calls::is_stricter(answer, verdict.0) {
                verdict = (answer, filter.logs);
            }
        }
        verdict
    }
}

impl Drop for Filter {
    /// One after the other: a chain may be longer than the kernel's stack.
    fn drop(&mut self) {
        let mut next = self.older.take();
        while let Some(filter) = next {
            next = Arc::into_inner(filter).and_then(|mut filter| filter.older.take());
        }
    }
}

/// Which calls a thread may make.
#[derive(Clone, Default)]
pub enum Seccomp {
    /// All.
    #[default]
    Disabled,
    /// `read`, `write`, `exit` and `rt_sigreturn`.
    Strict,
    /// Those that filters allow.
    Filtered(Arc<Filter>),
}

impl Seccomp {
    /// As `prctl(2)` and `/proc` tell it.
    pub fn mode(&self) -> u8 {
        match self {
            Self::Disabled => 0,
            Self::Strict => 1,
            Self::Filtered(_) => 2,
        }
    }

    /// How many filters there are.
    pub fn filter_count(&self) -> usize {
        match self {
            Self::Filtered(filter) => filter.count,
            _ => 0,
        }
    }

    /// Whether a thread may take over what another one of its process has, which began with this: it has given nothing up
    /// that the other one has not.
    pub fn may_become(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Disabled, _) => true,
            (Self::Filtered(own), Self::Filtered(other)) => other.chain().any(|filter| core::ptr::eq(filter, &**own)),
            _ => false,
        }
    }
}

/// Which calls a thread handles itself, by `SIGSYS` (`PR_SET_SYSCALL_USER_DISPATCH`): those that come from outside of a range
/// of addresses, as long as a byte of the program says so. Unlike what is given up, nobody inherits this.
#[derive(Clone, Copy, Debug)]
pub struct OwnCalls {
    /// Where the range begins; calls from it are made.
    pub start: u64,
    /// Its length.
    pub length: u64,
    /// Where the byte is; 0 if there is none and it is always so.
    pub selector: u64,
}

/// Held while all threads of a process change together, and while a thread takes over what its maker has.
static TOGETHER: Mutex<()> = Mutex::new(());

/// Nobody becomes a thread of a process as long as this is held.
pub fn hold_still() -> MutexGuard<'static, ()> {
    TOGETHER.lock()
}

/// A new thread has what its maker has.
pub(super) fn inherit(thread: &Thread, parent: &Thread) {
    let inherited = parent.seccomp.lock().clone();
    *thread.seccomp.lock() = inherited;
}
