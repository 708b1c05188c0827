//! A thread.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use spin::Mutex;

use super::process::Process;
use super::signal::ThreadSignals;
use crate::arch;
use crate::memory::KernelStack;

/// A thread of a process.
pub struct Thread {
    /// Its number; that of the first thread is its process's.
    pub id: u32,
    /// The process.
    pub process: Arc<Process>,
    /// Its kernel stack.
    pub stack: KernelStack,
    /// Alternate stack, last fault, mask to be restored.
    pub signals: Mutex<ThreadSignals>,
    /// Blocked signals: bit n-1 is signal n.
    pub blocked: AtomicU64,
    /// A temporary mask is in force (`rt_sigsuspend`); the one to be restored is in `signals`.
    pub mask_is_temporary: AtomicBool,
    /// What becomes of a call that a signal interrupted: a `signal::Restart`.
    pub restart: AtomicU8,
    /// What the last page fault was: a `signal::FaultKind`, as the page fault handler noted it.
    pub fault: AtomicU8,
    /// Where to write 0 when the thread ends (`set_tid_address`).
    pub clear_on_exit: AtomicU64,
    /// Head of the robust futex list (`set_robust_list`).
    pub robust_list: AtomicU64,
    /// Registered area for restartable sequences (`rseq(2)`), 0 for none.
    pub restartable_area: AtomicU64,
    /// What must stand before the abort address of a restartable sequence.
    pub restartable_signature: AtomicU32,
    /// Name, up to 15 bytes (`PR_SET_NAME`).
    pub name: Mutex<[u8; 16]>,
}

impl Thread {
    /// A thread. `None` if there is no memory for its stack.
    pub fn new(id: u32, process: Arc<Process>) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            id,
            process,
            stack: KernelStack::new()?,
            signals: Mutex::new(ThreadSignals::default()),
            blocked: AtomicU64::new(0),
            mask_is_temporary: AtomicBool::new(false),
            restart: AtomicU8::new(0),
            fault: AtomicU8::new(0),
            clear_on_exit: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            restartable_area: AtomicU64::new(0),
            restartable_signature: AtomicU32::new(0),
            name: Mutex::new([0; 16]),
        }))
    }

    /// Makes this the processor's current thread.
    pub fn make_current(self: Arc<Self>) {
        arch::set_kernel_stack(self.stack.bottom(), self.stack.top());
        arch::set_current(self);
    }

    /// Pending signals that this thread does not block.
    #[inline]
    pub fn deliverable_signals(&self) -> u64 {
        self.process.pending.load(Ordering::Acquire) & !self.blocked.load(Ordering::Relaxed)
    }

    /// Whether a signal is pending that this thread does not block and that is worth interrupting a wait.
    #[inline]
    pub fn has_deliverable_signal(&self) -> bool {
        self.deliverable_signals() & !self.process.silent.load(Ordering::Relaxed) != 0
    }
}

/// The current thread.
///
/// # Panics
/// If there is none yet (during boot).
#[inline]
pub fn current() -> &'static Thread {
    arch::current::<Thread>().expect("a thread runs")
}

/// The current thread, if there is one.
pub fn try_current() -> Option<&'static Thread> {
    arch::current::<Thread>()
}

/// The process of the current thread.
#[inline]
pub fn current_process() -> &'static Arc<Process> {
    &current().process
}
