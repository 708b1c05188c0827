//! A thread.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use pith_linux::credentials::Credentials;
use pith_linux::files::PollEvents;
use pith_scheduling::{Entity, Policy, Schedulable};
use pith_timekeeping::Split;
use spin::{Mutex, Once};

use super::accounting::Accounting;
use super::clock::Instant;
use super::pending::PendingSignals;
use super::process::{Process, Resources, Transfers};
use super::seccomp::{OwnCalls, Seccomp};
use super::signal::ThreadSignals;
use super::time_limits::Unbroken;
use super::timer::{Timer, TimerTarget};
use super::wait::Wakeable;
use super::{clock, scheduler};
use crate::arch::{self, Context, HasContext};
use crate::memory::KernelStack;

/// Another processor may run the thread now, or it was interrupted anywhere: its restartable sequence has to be looked
/// at.
pub(super) const MOVED: u32 = 1;
/// The thread has to end, since its process does or becomes another program.
pub(super) const MUST_END: u32 = 2;
/// The thread has to wait until its process goes on.
pub(super) const MUST_STOP: u32 = 4;

/// What a kernel thread does.
pub type Body = Box<dyn FnOnce() + Send>;

/// A thread of a process.
pub struct Thread {
    number: AtomicU32,
    /// The process.
    pub process: Arc<Process>,
    /// Itself.
    pub(super) this: Weak<Self>,
    stack: KernelStack,
    /// The scheduler's part.
    pub entity: Entity,
    context: Context,
    /// What it does if it is a kernel thread: taken when it starts.
    pub(super) body: Mutex<Option<Body>>,
    /// Policy and priority of its own while it has inherited those of a thread that waits for it.
    pub(super) base_policy: Mutex<Option<(Policy, u8)>>,
    /// Ends its waits that have a deadline.
    pub(super) sleep_timer: Timer,
    /// What is due before the program goes on: [`MOVED`], [`MUST_END`], [`MUST_STOP`].
    pub(super) attention: AtomicU32,
    /// It waits until its process goes on.
    pub(super) stands: AtomicBool,
    /// Alternate stack, last fault, mask to be restored.
    pub signals: Mutex<ThreadSignals>,
    /// Signals that are pending for this thread alone.
    pub pending: PendingSignals,
    /// Blocked signals: bit n-1 is signal n.
    pub blocked: AtomicU64,
    /// A temporary mask is in force (`rt_sigsuspend`); the one to be restored is in `signals`.
    pub mask_is_temporary: AtomicBool,
    /// When a call that starts again has to end, in nanoseconds of the monotonic clock; 0 if it says so itself.
    pub kept_deadline: AtomicU64,
    /// What becomes of a call that a signal interrupted: a `signal::Restart`.
    pub restart: AtomicU8,
    /// From which node its pages should come: a `memory::MemoryPolicy`, encoded.
    pub memory_policy: AtomicU16,
    /// Whether page faults may not wait for a watcher (`userfaultfd(2)`), and whether one would have: [`FAULTS_DO_NOT_WAIT`],
    /// [`FAULT_DID_NOT_WAIT`].
    fault_wait: AtomicU8,
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
    /// Which of Linux's habits the program wants (`personality(2)`).
    pub personality: AtomicU32,
    /// Who it is: see [`Self::credentials`].
    pub(super) own_credentials: Mutex<Arc<Credentials>>,
    /// What it has for itself of what the floors above keep, if it does not share that with the process.
    pub resources: Once<Arc<dyn Resources>>,
    /// Class and level of its input and output (`ioprio_set(2)`); 0 if nobody has said anything.
    pub io_priority: AtomicU16,
    /// Which system calls it may make.
    pub seccomp: Mutex<Seccomp>,
    /// Which of them it handles itself.
    pub own_calls: Mutex<Option<OwnCalls>>,
    /// When it became another user, that one had more threads than it may have.
    pub(super) too_many: AtomicBool,
    /// What it has read and written.
    pub transfers: Transfers,
    /// When it was made, by the time stamp counter.
    pub started: u64,
    /// Most ticks of processor time that anybody was told.
    told_ticks: AtomicU64,
    /// Whether its time was the program's.
    pub(super) accounting: Accounting,
    /// How long it has run without waiting, if it is a real-time thread.
    pub(super) unbroken: Unbroken,
}

/// Locks are held that a watcher of faults may need.
const FAULTS_DO_NOT_WAIT: u8 = 1;
/// A page fault failed for the only reason that it was not allowed to wait.
const FAULT_DID_NOT_WAIT: u8 = 2;

impl Thread {
    /// A thread, not yet running. `None` if there is no memory.
    pub fn new(number: u32, process: Arc<Process>, entity: Entity) -> Option<Arc<Self>> {
        let stack = KernelStack::new()?;
        let credentials = process.credentials();
        let context = Context::new()?;
        Some(Arc::new_cyclic(|this| Self {
            number: AtomicU32::new(number),
            process,
            this: this.clone(),
            stack,
            entity,
            context,
            body: Mutex::new(None),
            base_policy: Mutex::new(None),
            sleep_timer: Timer::new(),
            attention: AtomicU32::new(0),
            stands: AtomicBool::new(false),
            signals: Mutex::new(ThreadSignals::default()),
            pending: PendingSignals::default(),
            blocked: AtomicU64::new(0),
            mask_is_temporary: AtomicBool::new(false),
            kept_deadline: AtomicU64::new(0),
            restart: AtomicU8::new(0),
            memory_policy: AtomicU16::new(0),
            fault_wait: AtomicU8::new(0),
            fault: AtomicU8::new(0),
            clear_on_exit: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            restartable_area: AtomicU64::new(0),
            restartable_signature: AtomicU32::new(0),
            name: Mutex::new([0; 16]),
            personality: AtomicU32::new(0),
            own_credentials: Mutex::new(credentials),
            resources: Once::new(),
            io_priority: AtomicU16::new(0),
            seccomp: Mutex::new(Seccomp::Disabled),
            own_calls: Mutex::new(None),
            too_many: AtomicBool::new(false),
            transfers: Transfers::default(),
            started: arch::read_time_stamp_counter(),
            told_ticks: AtomicU64::new(0),
            accounting: Accounting::new(),
            unbroken: Unbroken::default(),
        }))
    }

    /// Takes over what a new thread has of the one that made it.
    pub(super) fn inherit_habits(&self, parent: &Self) {
        // A new process has credentials of its own, which are equal.
        *self.own_credentials.lock() = match Arc::ptr_eq(&self.process, &parent.process) {
            true => parent.credentials(),
            false => self.process.credentials(),
        };
        let personality = parent.personality.load(Ordering::Relaxed);
        self.personality.store(personality, Ordering::Relaxed);
        let priority = parent.io_priority.load(Ordering::Relaxed);
        self.io_priority.store(priority, Ordering::Relaxed);
        let policy = parent.memory_policy.load(Ordering::Relaxed);
        self.memory_policy.store(policy, Ordering::Relaxed);
    }

    /// Its number; that of the first thread is its process's.
    pub fn id(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }

    /// Gives it another number: the thread that calls `execve` takes its process's over.
    pub(super) fn set_id(&self, number: u32) {
        self.number.store(number, Ordering::Relaxed);
    }

    /// A reference to it; `None` only while it is being dropped.
    pub fn arc(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    /// Pending signals that this thread does not block.
    #[inline]
    pub fn deliverable_signals(&self) -> u64 {
        (self.process.pending.set() | self.pending.set()) & !self.blocked.load(Ordering::Relaxed)
    }

    /// Whether a signal is pending that this thread does not block and that is worth interrupting a wait.
    #[inline]
    pub fn has_deliverable_signal(&self) -> bool {
        self.deliverable_signals() & !self.process.silent.load(Ordering::Relaxed) != 0
    }

    /// Whether its waits should end: for a signal, or because it has to end or to stop.
    #[inline]
    pub fn is_interrupted(&self) -> bool {
        self.has_deliverable_signal() || self.attention.load(Ordering::Relaxed) & (MUST_END | MUST_STOP) != 0
    }

    /// Whether its page faults may wait for somebody to handle them. Threads of the kernel do not wait for programs.
    pub fn may_wait_for_faults(&self) -> bool {
        self.fault_wait.load(Ordering::Relaxed) & FAULTS_DO_NOT_WAIT == 0 && self.id() != 0
    }

    /// A page fault failed for the only reason that it may not wait now.
    pub fn note_unwaited_fault(&self) {
        if self.id() == 0 {
            crate::warning_once!("a thread of the kernel does not wait for userfaultfd: the request answers EFAULT");
        }
        self.set_fault_wait(FAULT_DID_NOT_WAIT, true);
    }

    /// Whether a page fault did not wait since this was last asked. What failed may succeed after the page was touched with
    /// no lock held.
    pub fn take_unwaited_fault(&self) -> bool {
        let found = self.fault_wait.load(Ordering::Relaxed) & FAULT_DID_NOT_WAIT != 0;
        self.set_fault_wait(FAULT_DID_NOT_WAIT, false);
        found
    }

    /// Page faults do not wait for a watcher from now on, or may again: around accesses to the program's memory with a lock
    /// held. Only the thread itself says so.
    pub fn forbid_waiting_for_faults(&self, forbidden: bool) {
        self.set_fault_wait(FAULTS_DO_NOT_WAIT, forbidden);
    }

    /// Only the thread itself changes this, so no atomic change is needed.
    fn set_fault_wait(&self, bit: u8, set: bool) {
        let old = self.fault_wait.load(Ordering::Relaxed);
        let new = if set { old | bit } else { old & !bit };
        self.fault_wait.store(new, Ordering::Relaxed);
    }

    /// Whether it has to end, since its process does or becomes another program.
    pub(super) fn must_end(&self) -> bool {
        self.attention.load(Ordering::SeqCst) & MUST_END != 0
    }

    /// Ends what it waits for, for a thread of the kernel whose work is no longer wanted; or lets it wait again.
    pub fn end_waits(&self, end: bool) {
        if end {
            self.attention.fetch_or(MUST_END, Ordering::SeqCst);
            self.interrupt();
        } else {
            self.attention.fetch_and(!MUST_END, Ordering::SeqCst);
        }
    }

    /// Lets it go on for a while although its process was stopped. True if it was to stop.
    pub(super) fn put_stop_off(&self) -> bool {
        self.attention.fetch_and(!MUST_STOP, Ordering::SeqCst) & MUST_STOP != 0
    }

    /// Undoes [`Self::put_stop_off`].
    pub(super) fn stop_later(&self) {
        self.attention.fetch_or(MUST_STOP, Ordering::SeqCst);
    }

    /// Makes it look at its signals: ends a wait that signals end, interrupts it if it runs on another processor. May
    /// be called by interrupt handlers.
    pub fn interrupt(&self) {
        scheduler::interrupt(self);
    }

    /// Its restartable sequence starts again if it is in one (`membarrier(2)`).
    pub fn look_at_sequence(&self) {
        self.attention.fetch_or(MOVED, Ordering::SeqCst);
    }

    /// Processor time that it has used, in nanoseconds.
    pub fn cpu_time(&self) -> u64 {
        let ticks = scheduler::used_ticks(self);
        // As for processes.
        let told = self.told_ticks.fetch_max(ticks, Ordering::Relaxed);
        clock::ticks_to_nanoseconds(ticks.max(told))
    }

    /// The same, told apart.
    pub fn split_time(&self) -> Split {
        self.accounting.divide(self.cpu_time(), self.accounting.samples())
    }
}

impl HasContext for Thread {
    fn context(&self) -> &Context {
        &self.context
    }

    fn kernel_stack(&self) -> (u64, u64) {
        (self.stack.bottom(), self.stack.top())
    }
}

impl arch::Threads for arch::Kernel {
    type Thread = Thread;
}

impl Schedulable for Thread {
    fn entity(&self) -> &Entity {
        &self.entity
    }

    fn may_move(&self) -> bool {
        !self.context.is_loaded()
    }
}

impl Wakeable for Thread {
    fn wake(&self, _events: PollEvents) -> bool {
        scheduler::wake(self)
    }
}

impl TimerTarget for Thread {
    fn expired(&self, _now: Instant) -> Option<Instant> {
        scheduler::wake(self);
        None
    }
}

/// The current thread, for as long as its own code runs.
pub type Current = arch::Current;

/// The process of the current thread.
pub struct CurrentProcess(Current);

impl Deref for CurrentProcess {
    type Target = Arc<Process>;

    fn deref(&self) -> &Arc<Process> {
        &self.0.process
    }
}

/// The current thread.
///
/// # Panics
/// If there is none yet (during boot).
#[inline]
pub fn current() -> Current {
    arch::current().expect("a thread runs")
}

/// The current thread, if there is one.
pub fn try_current() -> Option<Current> {
    arch::current()
}

/// The process of the current thread.
#[inline]
pub fn current_process() -> CurrentProcess {
    CurrentProcess(current())
}
