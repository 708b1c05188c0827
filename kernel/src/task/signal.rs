//! Signals: what is pending, what a program wants to happen, and entering its handlers.
//!
//! A signal is *sent* to a process, where any thread may take it that does not block it, or to one thread
//! ([`PendingSignals`](super::pending::PendingSignals)); interrupt handlers may do so as well. It is *delivered* by [`deliver`], just before
//! the program goes on: there the program's registers are complete, so that they can be stored on its stack,
//! in the frame that `sigreturn` restores. An exception of the program *forces* a signal ([`force`]): one
//! that can't wait and can't be ignored, since the instruction would only fault again.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::signal::{
    ActionFlags, ContextFlags, DefaultAction, MINIMUM_STACK_SIZE, MachineContext, SIG_DFL, SIG_IGN, Signal,
    SignalAction, SignalFrame, SignalInformation, SignalStack, StackFlags, UNBLOCKABLE, UserContext, VectorStateSize,
    code,
};
use spin::Once;
use zerocopy::IntoBytes;

use super::clock::Instant;
use super::family;
use super::process::{ExitReason, Process};
use super::restartable;
use super::thread::{MUST_STOP, Thread, current};
use super::wait::WaitQueue;
use crate::arch::layout::PROGRAM_END;
use crate::arch::{self, Access, Exception, PageFault, Registers, VectorState};
use crate::memory::{FaultError, UserPointer, copy_from_user, copy_to_user, read_object};

/// Bytes below the stack pointer that belong to the interrupted function (System V ABI for x86-64).
const RED_ZONE: u64 = 128;
/// What a handler's stack pointer is aligned to, before its return address is pushed.
const STACK_ALIGNMENT: u64 = 16;
/// Alignment of the vector state.
const VECTOR_ALIGNMENT: u64 = 64;
/// Bytes of the vector state without extensions (FXSAVE).
const LEGACY_STATE: usize = 512;
/// Where XSAVE's header starts: which features the state holds.
const STATE_HEADER: usize = 512;
/// x87 and SSE, which Linux always marks as present.
const LEGACY_FEATURES: u64 = 3;
/// Length of the `syscall` instruction.
const SYSTEM_CALL_LENGTH: u64 = 2;
/// Direction, trap and resume flag, which a handler starts without.
const FLAGS_CLEARED: u64 = 0x1_0500;
/// Selectors that a program sees on Linux.
const LINUX_CODE_SELECTOR: u16 = 0x33;
const LINUX_DATA_SELECTOR: u16 = 0x2b;
/// The bit of a page fault's error code that says that the program, not the kernel, did it.
const FAULT_BY_PROGRAM: u64 = 4;

/// Handlers of a process.
#[derive(Clone, Debug)]
pub struct SignalActions([SignalAction; Signal::MAXIMUM as usize]);

impl Default for SignalActions {
    fn default() -> Self {
        Self([SignalAction::default(); Signal::MAXIMUM as usize])
    }
}

impl SignalActions {
    /// What is to happen on a signal.
    pub fn get(&self, signal: Signal) -> SignalAction {
        self.0[usize::from(signal.number()) - 1]
    }

    fn set(&mut self, signal: Signal, action: SignalAction) {
        self.0[usize::from(signal.number()) - 1] = action;
    }

    /// Signals on whose delivery nothing happens: those that are ignored.
    pub fn silent(&self) -> u64 {
        (1..=u64::from(Signal::MAXIMUM))
            .filter_map(Signal::from_number)
            .filter(|&signal| match self.get(signal).handler {
                SIG_IGN => true,
                SIG_DFL => matches!(signal.default_action(), DefaultAction::Ignore | DefaultAction::Continue),
                _ => false,
            })
            .fold(0, |set, signal| set | signal.bit())
    }

    /// Forgets handlers; what is ignored stays so.
    pub fn reset(&mut self) {
        for action in &mut self.0 {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = SignalAction {
                handler,
                ..SignalAction::default()
            };
        }
    }

    pub(super) fn ignores(&self, signal: Signal) -> bool {
        match self.get(signal).handler {
            SIG_IGN => true,
            SIG_DFL => matches!(signal.default_action(), DefaultAction::Ignore | DefaultAction::Continue),
            _ => false,
        }
    }
}

/// Where those wait who have signals as files (`signalfd(2)`), all of them: such a file tells everybody who has it of their own
/// signals.
pub static FILES: WaitQueue = WaitQueue::new();

/// What a thread keeps about signals.
#[derive(Debug)]
pub struct ThreadSignals {
    /// The alternate stack.
    stack: SignalStack,
    /// The mask that a temporary one replaced (`rt_sigsuspend`).
    saved_mask: Option<u64>,
    /// Vector, error code and address of the last exception, for the frame of its signal.
    last_exception: (u64, u64, u64),
}

const NO_STACK: SignalStack = SignalStack {
    base: 0,
    flags: StackFlags::DISABLE.bits(),
    reserved: 0,
    size: 0,
};

impl ThreadSignals {
    /// Takes over what a process that was forked has of the thread that forked it.
    pub(super) fn inherit(&mut self, from: &Self) {
        self.stack = from.stack;
    }
}

impl Default for ThreadSignals {
    fn default() -> Self {
        Self {
            stack: NO_STACK,
            saved_mask: None,
            last_exception: (0, 0, 0),
        }
    }
}

/// What becomes of a call that answers `EINTR`, see `signal(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Restart {
    /// The program gets `EINTR`.
    Never = 0,
    /// It starts again, unless a handler without `SA_RESTART` runs. What every wait says by itself.
    IfHandlerAllows = 1,
    /// It starts again only if no handler runs: `poll`, `select`, `pause`, sleeping.
    IfNoHandlerRuns = 2,
    /// It starts again in any case: nobody may see that it was interrupted.
    Always = 3,
}

/// Says what becomes of the current call if it answers `EINTR`.
pub fn set_restart(restart: Restart) {
    current().restart.store(restart as u8, Ordering::Relaxed);
}

/// The current call, which waits for a span of time, ends then also if it starts again.
pub fn keep_deadline(deadline: Instant) {
    current().kept_deadline.store(deadline.0.max(1), Ordering::Relaxed);
}

/// When the current call has to end, if it has started again.
pub fn kept_deadline() -> Option<Instant> {
    match current().kept_deadline.swap(0, Ordering::Relaxed) {
        0 => None,
        deadline => Some(Instant(deadline)),
    }
}

fn take_restart(thread: &Thread) -> Restart {
    match thread.restart.swap(0, Ordering::Relaxed) {
        1 => Restart::IfHandlerAllows,
        2 => Restart::IfNoHandlerRuns,
        3 => Restart::Always,
        _ => Restart::Never,
    }
}

const FAULT_DENIED: u8 = 1;
const FAULT_BEYOND_END: u8 = 2;
const FAULT_UNREADABLE: u8 = 3;
const FAULT_POISONED: u8 = 4;
const FAULT_UNHANDLED: u8 = 5;

/// Whether a thread is about to end: for another program, or by a signal that is pending.
pub fn is_dying(thread: &Thread) -> bool {
    if thread.attention.load(Ordering::Relaxed) & super::thread::MUST_END != 0 {
        return true;
    }
    let deliverable = thread.deliverable_signals();
    deliverable != 0 && {
        let actions = thread.process.actions.lock();
        let signals = (1..=u64::from(Signal::MAXIMUM)).filter_map(Signal::from_number);
        signals.filter(|signal| deliverable & signal.bit() != 0).any(|signal| {
            let ends = matches!(signal.default_action(), DefaultAction::Terminate | DefaultAction::Core);
            ends && actions.get(signal).handler == SIG_DFL
        })
    }
}

/// Lets others run in the middle of a long call, if it is their turn; nothing may be held that they wait for. False if the
/// thread has to end, and with it the call.
pub fn go_on() -> bool {
    super::scheduler::give_way();
    let thread = current();
    !(thread.is_interrupted() && is_dying(&thread))
}

/// Remembers why a page fault could not be repaired, for the exception that follows.
pub fn note_fault(thread: &Thread, error: FaultError) {
    let kind = match error {
        FaultError::NotMapped
        | FaultError::MustGrow
        | FaultError::OutOfMemory
        | FaultError::Guarded
        | FaultError::Watched
        | FaultError::Interrupted => 0,
        FaultError::Poisoned => FAULT_POISONED,
        FaultError::Unhandled => FAULT_UNHANDLED,
        FaultError::Denied => FAULT_DENIED,
        FaultError::BeyondEnd => FAULT_BEYOND_END,
        FaultError::Unreadable => FAULT_UNREADABLE,
    };
    thread.fault.store(kind, Ordering::Relaxed);
}

/// Bytes that a signal frame may need on a stack (`AT_MINSIGSTKSZ`).
pub fn minimum_stack_size() -> u64 {
    let frame = size_of::<SignalFrame>() as u64 + STACK_ALIGNMENT;
    (frame + vector_state_length() + VECTOR_ALIGNMENT + RED_ZONE).max(MINIMUM_STACK_SIZE)
}

/// Bytes of the vector state in a frame, with the number that ends it.
fn vector_state_length() -> u64 {
    let end = if arch::vector_features().is_some() {
        size_of::<u32>()
    } else {
        0
    };
    (arch::vector_state_size() + end) as u64
}

/// Forgets handlers and the alternate stack, as `execve(2)` does; what is ignored stays so.
pub fn reset_for_exec(process: &Process, thread: &Thread) {
    let mut actions = process.actions.lock();
    actions.reset();
    process.silent.store(actions.silent(), Ordering::Relaxed);
    drop(actions);
    process.posix_timers.clear();
    for pending in [&process.pending, &thread.pending] {
        pending.discard_timers();
    }
    thread.signals.lock().stack = NO_STACK;
    restartable::forget(thread);
}

/// Sets what is to happen on a signal; gives what it was before.
pub fn set_action(process: &Process, signal: Signal, mut action: SignalAction) -> SignalAction {
    action.flags &= ActionFlags::all().bits();
    action.mask &= !UNBLOCKABLE;
    let mut actions = process.actions.lock();
    let old = actions.get(signal);
    actions.set(signal, action);
    process.silent.store(actions.silent(), Ordering::Relaxed);
    let ignored = actions.ignores(signal);
    drop(actions);
    if ignored {
        // Also what is pending already is ignored.
        discard(process, signal.bit());
    }
    process.posix_timers.action_changed(signal, ignored);
    old
}

fn limit_of(process: &Process) -> u64 {
    // Interrupt handlers come here too, and they can't wait for the owner of the limits.
    match process.limits.try_lock() {
        Some(limits) => limits.0[super::Limits::PENDING_SIGNALS].0,
        None => super::Limits::INFINITY,
    }
}

/// Signals that stop a process.
const STOPPING: u64 = Signal::SIGSTOP.bit() | Signal::SIGTSTP.bit() | Signal::SIGTTIN.bit() | Signal::SIGTTOU.bit();

fn discard(process: &Process, set: u64) {
    process.pending.discard(set);
    process.each_thread(&mut |thread| thread.pending.discard(set));
}

/// What a signal does by being sent, whoever blocks or ignores it: stopping and going on undo each other.
fn prepare(process: &Process, signal: Signal) {
    if signal == Signal::SIGCONT {
        discard(process, STOPPING);
        family::go_on(process, true);
    } else if signal.bit() & STOPPING != 0 {
        discard(process, Signal::SIGCONT.bit());
    }
}

/// What a signal does once it is pending: a process that was stopped has to end, without running its program before that.
fn conclude(process: &Process, signal: Signal) {
    if signal == Signal::SIGKILL {
        discard(process, STOPPING);
        family::go_on(process, false);
    }
}

/// Sends a signal to a process, with what is known about it. May be called by interrupt handlers.
///
/// # Errors
/// `EAGAIN` if too many real-time signals are queued.
pub fn send(process: &Process, signal: Signal, information: SignalInformation) -> Result<(), Errno> {
    send_unless_ignored(process, signal, information).map(drop)
}

/// As [`send`]. Whether it is pending, and not ignored.
pub(super) fn send_unless_ignored(
    process: &Process,
    signal: Signal,
    information: SignalInformation,
) -> Result<bool, Errno> {
    prepare(process, signal);
    let blocks = |thread: &Thread| thread.blocked.load(Ordering::Relaxed) & signal.bit() != 0;
    // Blocked signals are kept even if they are ignored now: that may change until they are delivered.
    let mut kept = false;
    process.each_thread(&mut |thread| kept |= blocks(thread));
    if !kept && process.actions.lock().ignores(signal) {
        return Ok(false);
    }
    process.pending.add(signal, information, limit_of(process))?;
    conclude(process, signal);
    process.signal_came(signal);
    Ok(true)
}

/// Sends a signal to a process that the kernel raises, without more to say. May be called by interrupt handlers.
pub fn post(process: &Process, signal: Signal) {
    // What the kernel sends is never refused.
    let _ = send(process, signal, SignalInformation::new(signal, code::SI_KERNEL));
}

/// Sends a signal to one thread, with what is known about it. May be called by interrupt handlers.
///
/// # Errors
/// `EAGAIN` if too many real-time signals are queued.
pub fn send_to_thread(thread: &Thread, signal: Signal, information: SignalInformation) -> Result<(), Errno> {
    send_to_thread_unless_ignored(thread, signal, information).map(drop)
}

/// As [`send_to_thread`]. Whether it is pending, and not ignored.
pub(super) fn send_to_thread_unless_ignored(
    thread: &Thread,
    signal: Signal,
    information: SignalInformation,
) -> Result<bool, Errno> {
    let process = &thread.process;
    prepare(process, signal);
    let blocked = thread.blocked.load(Ordering::Relaxed) & signal.bit() != 0;
    if !blocked && process.actions.lock().ignores(signal) {
        return Ok(false);
    }
    thread.pending.add(signal, information, limit_of(process))?;
    conclude(process, signal);
    thread.interrupt();
    process.signal_queue.wake_all();
    FILES.wake_all();
    Ok(true)
}

/// Sends a signal that the kernel itself raises because of what the current thread did: `SIGPIPE`, `SIGXFSZ`.
pub fn raise(signal: Signal) {
    let thread = current();
    let process = &thread.process;
    let user = thread.with_credentials(|own| own.users[0]);
    let information = SignalInformation::sent(signal, code::SI_USER, process.id, user);
    // A standard signal is never refused.
    let _ = send_to_thread(&thread, signal, information);
}

/// Takes the next pending signal of a set, its own or the process's, for `rt_sigtimedwait(2)` and `signalfd(2)`.
pub fn take_pending(thread: &Thread, set: u64) -> Option<(Signal, SignalInformation)> {
    let process = &thread.process;
    loop {
        let (signal, mut information) = thread.pending.take(set).or_else(|| process.pending.take(set))?;
        if !information.take_of_timer() || process.posix_timers.delivered(&mut information) {
            return Some((signal, information));
        }
    }
}

/// Takes pending signals that are ignored and not blocked, as delivering them does.
pub fn take_ignored() {
    let thread = current();
    let ignored = thread.deliverable_signals() & thread.process.silent.load(Ordering::Relaxed);
    while take_pending(&thread, ignored).is_some() {}
}

/// Replaces the blocked signals.
pub fn set_blocked(thread: &Thread, mask: u64) {
    let mask = mask & !UNBLOCKABLE;
    let before = thread.blocked.swap(mask, Ordering::SeqCst);
    let left = thread.process.pending.set() & mask & !before;
    if left != 0 {
        // It may have been this thread that was told.
        thread.process.reconsider_signals(left);
    }
}

/// Runs a wait with other signals blocked, as `rt_sigsuspend(2)` and `ppoll(2)` do. If a signal ends it, the
/// handler still runs with the temporary mask, and the old one comes back when it returns.
///
/// # Errors
/// Those of `wait`.
pub fn with_mask<T>(mask: Option<u64>, wait: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let Some(mask) = mask else { return wait() };
    let thread = current();
    let old = thread.blocked.load(Ordering::Relaxed);
    set_blocked(&thread, mask);
    let result = wait();
    if matches!(result, Err(Errno::EINTR)) {
        thread.signals.lock().saved_mask = Some(old);
        thread.mask_is_temporary.store(true, Ordering::Relaxed);
    } else {
        set_blocked(&thread, old);
    }
    result
}

/// Is told of each signal that is delivered: the trace of the floor above.
pub type Observer = fn(Signal, &SignalInformation);

static OBSERVER: Once<Observer> = Once::new();

/// Names who is told of signals.
pub fn observe(observer: Observer) {
    OBSERVER.call_once(|| observer);
}

fn tell(signal: Signal, information: &SignalInformation) {
    if let Some(observer) = OBSERVER.get() {
        observer(signal, information);
    }
}

/// The end of a process by a signal.
fn die(process: &Process, signal: Signal, reason: String) -> ! {
    process.exit(ExitReason::Signaled(signal.number(), reason))
}

/// Why a signal that nobody forced was sent, for people.
fn reason(signal: Signal, information: &SignalInformation) -> String {
    match (signal, information.code) {
        (Signal::SIGPIPE, _) => String::from("it wrote to a pipe or socket that nobody reads"),
        (Signal::SIGXFSZ, _) => String::from("it wrote beyond the limit of file size"),
        (Signal::SIGABRT, _) => String::from("it gave up (abort)"),
        (Signal::SIGALRM, code::SI_KERNEL) => String::from("its alarm went off"),
        (_, code::SI_USER | code::SI_QUEUE | code::SI_TKILL) => match information.sender() {
            (sender, _) if sender == super::current_process().id => format!("it sent {signal} to itself"),
            (sender, _) => format!("process {sender} sent {signal}"),
        },
        (_, code::SI_KERNEL) => format!("{signal} came from outside of the machine"),
        _ => String::new(),
    }
}

/// Delivers one pending signal, or ends a call that was interrupted. True if there was anything to do, and then
/// it is to be called again. Called with interrupts off, just before the program goes on.
#[inline]
pub fn deliver(registers: &mut Registers) -> bool {
    let thread = current();
    // A call that was interrupted starts again also if another thread has taken the signal by now. What was said of it must not
    // outlive it: the program may be interrupted later, with the same number in its register.
    if thread.deliverable_signals() == 0
        && thread.restart.load(Ordering::Relaxed) == Restart::Never as u8
        && !thread.mask_is_temporary.load(Ordering::Relaxed)
        && thread.attention.load(Ordering::Relaxed) & MUST_STOP == 0
    {
        return false;
    }
    arch::enable_interrupts();
    deliver_next(&thread, registers);
    true
}

#[cold]
fn deliver_next(thread: &Thread, registers: &mut Registers) {
    let process = &*thread.process;
    let interrupted = -i64::from(Errno::EINTR.number()) as u64;
    let restart = match take_restart(thread) {
        restart if registers.rax == interrupted => restart,
        _ => Restart::Never,
    };
    loop {
        wait_while_stopped(thread);
        let continues = process.continues.load(Ordering::SeqCst);
        let Some((signal, information)) = take_pending(thread, !thread.blocked.load(Ordering::Relaxed)) else {
            break;
        };
        let action = {
            let mut actions = process.actions.lock();
            let action = actions.get(signal);
            let flags = ActionFlags::from_bits_truncate(action.flags);
            if action.handler > SIG_IGN && flags.contains(ActionFlags::RESETHAND) {
                actions.set(
                    signal,
                    SignalAction {
                        handler: SIG_DFL,
                        ..action
                    },
                );
                process.silent.store(actions.silent(), Ordering::Relaxed);
            }
            action
        };
        if action.handler != SIG_IGN {
            tell(signal, &information);
        }
        match (action.handler, signal.default_action()) {
            (SIG_IGN, _) | (SIG_DFL, DefaultAction::Ignore | DefaultAction::Continue) => {}
            // A terminal does not stop a process group that no shell looks after.
            (SIG_DFL, DefaultAction::Stop) if signal == Signal::SIGSTOP || !family::group_is_orphaned(process) => {
                stop(process, signal, continues)
            }
            (SIG_DFL, DefaultAction::Stop) => {}
            (SIG_DFL, DefaultAction::Terminate | DefaultAction::Core) => {
                die(process, signal, reason(signal, &information))
            }
            _ => {
                let flags = ActionFlags::from_bits_truncate(action.flags);
                thread.kept_deadline.store(0, Ordering::Relaxed);
                let starts_again = match restart {
                    Restart::Always => true,
                    Restart::IfHandlerAllows => flags.contains(ActionFlags::RESTART),
                    Restart::IfNoHandlerRuns | Restart::Never => false,
                };
                if starts_again {
                    start_again(registers);
                }
                enter_handler(thread, registers, signal, &action, &information);
                return;
            }
        }
    }
    // No handler runs.
    if thread.mask_is_temporary.swap(false, Ordering::Relaxed)
        && let Some(mask) = thread.signals.lock().saved_mask.take()
    {
        set_blocked(thread, mask);
    }
    if restart != Restart::Never {
        start_again(registers);
    } else {
        thread.kept_deadline.store(0, Ordering::Relaxed);
    }
}

/// Makes the program execute its `syscall` instruction again.
fn start_again(registers: &mut Registers) {
    registers.rip -= SYSTEM_CALL_LENGTH;
    // Where the entry put the number of the call.
    registers.rax = registers.vector;
}

/// Stops all threads of a process, unless it was told to go on since `continues` was read.
fn stop(process: &Process, signal: Signal, continues: u64) {
    if !family::stop(process, signal, continues) {
        return;
    }
    if process.id == family::FIRST {
        crate::warning_once!("SIGSTOP: the program waits for SIGCONT (`kill -CONT` to pith passes it on)");
    }
    process.each_thread(&mut |thread| {
        thread.attention.fetch_or(MUST_STOP, Ordering::SeqCst);
        thread.interrupt();
    });
}

/// Waits until the process goes on, if it was stopped.
fn wait_while_stopped(thread: &Thread) {
    if thread.attention.fetch_and(!MUST_STOP, Ordering::SeqCst) & MUST_STOP == 0 {
        return;
    }
    let process = &thread.process;
    // No signal ends this: `SIGCONT` and `SIGKILL` let the process go on when they are sent.
    let mask = thread.blocked.swap(u64::MAX, Ordering::SeqCst);
    // Until it is told to stop or to end (again), which it looks for before it goes back to its program.
    thread.stands.store(true, Ordering::SeqCst);
    family::stands(process);
    while process.stopped.load(Ordering::SeqCst) {
        let going_on = || (!process.stopped.load(Ordering::SeqCst)).then_some(());
        if process.continued.wait(going_on).is_err() {
            break; // it has to end
        }
    }
    thread.stands.store(false, Ordering::SeqCst);
    thread.blocked.store(mask, Ordering::SeqCst);
}

/// Makes the program enter its handler.
fn enter_handler(
    thread: &Thread,
    registers: &mut Registers,
    signal: Signal,
    action: &SignalAction,
    information: &SignalInformation,
) {
    let flags = ActionFlags::from_bits_truncate(action.flags);
    let mask = if thread.mask_is_temporary.swap(false, Ordering::Relaxed) {
        thread.signals.lock().saved_mask.take()
    } else {
        None
    };
    let mask = mask.unwrap_or_else(|| thread.blocked.load(Ordering::Relaxed));
    let pushed = restartable::abort(thread, registers)
        .and_then(|()| push_frame(thread, registers, signal, action, information, mask));
    match pushed {
        Ok(()) => {
            let own = if flags.contains(ActionFlags::NODEFER) {
                0
            } else {
                signal.bit()
            };
            set_blocked(thread, thread.blocked.load(Ordering::Relaxed) | action.mask | own);
        }
        Err(_) => {
            let what = if action.handler >= PROGRAM_END {
                format!(
                    "the handler of {signal} is at {:#x}, which belongs to the kernel",
                    action.handler
                )
            } else if !flags.contains(ActionFlags::RESTORER) {
                format!("the handler of {signal} has no way back (SA_RESTORER)")
            } else {
                format!("no room for the frame of {signal} on the stack at {:#x}", registers.rsp)
            };
            if signal == Signal::SIGSEGV {
                die(&thread.process, signal, what);
            }
            force(
                SignalInformation::new(Signal::SIGSEGV, code::SI_KERNEL),
                Signal::SIGSEGV,
                what,
            );
        }
    }
}

/// Whether an address lies on the alternate stack while that may not be changed.
fn on_alternate_stack(stack: &SignalStack, address: u64) -> bool {
    !StackFlags::from_bits_truncate(stack.flags).contains(StackFlags::AUTODISARM)
        && stack.size != 0
        && address > stack.base
        && address - stack.base <= stack.size
}

/// Stores registers, vector state and `siginfo_t` on the program's stack and points the registers to the
/// handler. Nothing has changed if it fails.
fn push_frame(
    thread: &Thread,
    registers: &mut Registers,
    signal: Signal,
    action: &SignalAction,
    information: &SignalInformation,
    mask: u64,
) -> Result<(), Errno> {
    let flags = ActionFlags::from_bits_truncate(action.flags);
    // The C library must say where the handler returns to; and a handler in the kernel's half is a fault.
    if !flags.contains(ActionFlags::RESTORER) || action.handler >= PROGRAM_END {
        return Err(Errno::EFAULT);
    }
    let (stack, (vector, error_code, cr2)) = {
        let signals = thread.signals.lock();
        (signals.stack, signals.last_exception)
    };
    let already_there = on_alternate_stack(&stack, registers.rsp);
    let switches = flags.contains(ActionFlags::ONSTACK) && stack.size != 0 && !already_there;
    let top = if switches {
        stack.base + stack.size
    } else {
        registers.rsp.wrapping_sub(RED_ZONE)
    };

    let state_address = top.wrapping_sub(vector_state_length()) & !(VECTOR_ALIGNMENT - 1);
    let frame_address =
        (state_address.wrapping_sub(size_of::<SignalFrame>() as u64) & !(STACK_ALIGNMENT - 1)).wrapping_sub(8);
    if (switches || already_there) && (frame_address < stack.base || frame_address >= stack.base + stack.size) {
        return Err(Errno::EFAULT);
    }

    let mut state = VectorState::new();
    state.save();
    let mut context_flags = ContextFlags::SIGCONTEXT_SS | ContextFlags::STRICT_RESTORE_SS;
    let size = arch::vector_state_size();
    if let Some(features) = arch::vector_features() {
        context_flags |= ContextFlags::FP_XSTATE;
        let bytes = state.bytes_mut();
        let description = VectorStateSize {
            magic: VectorStateSize::MAGIC,
            extended_size: vector_state_length() as u32,
            features,
            state_size: size as u32,
            reserved: [0; 7],
        };
        bytes[VectorStateSize::OFFSET..LEGACY_STATE].copy_from_slice(description.as_bytes());
        let header = u64_at(bytes, STATE_HEADER) | LEGACY_FEATURES;
        bytes[STATE_HEADER..STATE_HEADER + 8].copy_from_slice(&header.to_le_bytes());
        let end = state_address.wrapping_add(size as u64);
        copy_to_user(UserPointer(end), &VectorStateSize::END_MAGIC.to_le_bytes())?;
    }
    copy_to_user(UserPointer(state_address), state.bytes())?;

    let r = &*registers;
    let frame = SignalFrame {
        restorer: action.restorer,
        context: UserContext {
            flags: context_flags.bits(),
            link: 0,
            stack,
            machine: MachineContext {
                r8: r.r8,
                r9: r.r9,
                r10: r.r10,
                r11: r.r11,
                r12: r.r12,
                r13: r.r13,
                r14: r.r14,
                r15: r.r15,
                rdi: r.rdi,
                rsi: r.rsi,
                rbp: r.rbp,
                rbx: r.rbx,
                rdx: r.rdx,
                rax: r.rax,
                rcx: r.rcx,
                rsp: r.rsp,
                rip: r.rip,
                rflags: r.rflags,
                cs: LINUX_CODE_SELECTOR,
                gs: 0,
                fs: 0,
                ss: LINUX_DATA_SELECTOR,
                error_code,
                vector,
                old_mask: mask,
                cr2,
                vector_state: state_address,
                reserved: [0; 8],
            },
            mask,
        },
        information: *information,
    };
    copy_to_user(UserPointer(frame_address), frame.as_bytes())?;

    if StackFlags::from_bits_truncate(stack.flags).contains(StackFlags::AUTODISARM) {
        thread.signals.lock().stack = NO_STACK;
    }
    let context_offset = core::mem::offset_of!(SignalFrame, context) as u64;
    let information_offset = core::mem::offset_of!(SignalFrame, information) as u64;
    registers.rdi = u64::from(signal.number());
    registers.rsi = frame_address + information_offset;
    registers.rdx = frame_address + context_offset;
    // A function without a prototype expects here how many vector registers hold arguments.
    registers.rax = 0;
    registers.rip = action.handler;
    registers.rsp = frame_address;
    registers.rflags &= !FLAGS_CLEARED;
    Ok(())
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(word)
}

/// `rt_sigreturn(2)`: restores what the frame at the stack pointer holds. A frame that is no good forces
/// `SIGSEGV`.
pub fn return_from_handler(registers: &mut Registers) {
    if restore_frame(&current(), registers).is_err() {
        let what = format!(
            "the signal frame at {:#x} can't be restored",
            registers.rsp.wrapping_sub(8)
        );
        force(
            SignalInformation::new(Signal::SIGSEGV, code::SI_KERNEL),
            Signal::SIGSEGV,
            what,
        );
    }
}

fn restore_frame(thread: &Thread, registers: &mut Registers) -> Result<(), Errno> {
    // The handler's `ret` has taken the return address off.
    let address = registers.rsp.wrapping_sub(8) + core::mem::offset_of!(SignalFrame, context) as u64;
    let context: UserContext = read_object(UserPointer(address))?;
    let m = &context.machine;
    // Returning to the kernel's half would be a fault of the kernel.
    if m.rip >= PROGRAM_END {
        return Err(Errno::EFAULT);
    }
    restore_vector_state(m.vector_state)?;
    set_blocked(thread, context.mask);
    // As on Linux, a stack that is refused (the handler runs on the present one) changes nothing.
    let _ = set_alternate_stack(thread, context.stack, registers.rsp);
    *registers = Registers {
        r15: m.r15,
        r14: m.r14,
        r13: m.r13,
        r12: m.r12,
        rbp: m.rbp,
        rbx: m.rbx,
        r11: m.r11,
        r10: m.r10,
        r9: m.r9,
        r8: m.r8,
        rax: m.rax,
        rcx: m.rcx,
        rdx: m.rdx,
        rsi: m.rsi,
        rdi: m.rdi,
        rip: m.rip,
        rflags: m.rflags,
        rsp: m.rsp,
        ..*registers
    };
    registers.sanitise();
    Ok(())
}

/// Loads the vector state of a frame: all of it if it is described as XSAVE's, else x87 and SSE only.
fn restore_vector_state(address: u64) -> Result<(), Errno> {
    if address == 0 {
        arch::reset_vector_state();
        return Ok(());
    }
    let size = arch::vector_state_size();
    let mut state = VectorState::new();
    let mut bytes = vec![0; LEGACY_STATE];
    copy_from_user(&mut bytes, UserPointer(address))?;
    if arch::vector_features().is_some() {
        let word = |offset: usize| u64_at(&bytes, VectorStateSize::OFFSET + offset);
        let (magic, extended_size) = (word(0) as u32, (word(0) >> 32) as u32);
        let state_size = word(16) as u32;
        let mut end = [0; 4];
        let complete = magic == VectorStateSize::MAGIC
            && state_size as usize == size
            && u64::from(extended_size) == vector_state_length()
            && copy_from_user(&mut end, UserPointer(address.wrapping_add(size as u64))).is_ok()
            && u32::from_le_bytes(end) == VectorStateSize::END_MAGIC;
        if complete {
            bytes.resize(size, 0);
            copy_from_user(&mut bytes, UserPointer(address))?;
        } else {
            bytes.resize(size, 0);
            bytes[STATE_HEADER..STATE_HEADER + 8].copy_from_slice(&LEGACY_FEATURES.to_le_bytes());
        }
    }
    state.bytes_mut()[..bytes.len()].copy_from_slice(&bytes);
    state.restore();
    Ok(())
}

/// The alternate stack as `sigaltstack(2)` reports it to a program whose stack pointer this is.
pub fn alternate_stack(thread: &Thread, stack_pointer: u64) -> SignalStack {
    let stack = thread.signals.lock().stack;
    let in_use = if stack.size == 0 {
        StackFlags::DISABLE
    } else if on_alternate_stack(&stack, stack_pointer) {
        StackFlags::ONSTACK
    } else {
        StackFlags::empty()
    };
    let kept = StackFlags::from_bits_truncate(stack.flags) & StackFlags::AUTODISARM;
    SignalStack {
        flags: (in_use | kept).bits(),
        ..stack
    }
}

/// Sets the alternate stack.
///
/// # Errors
/// `EPERM` if the program runs on the present one; `EINVAL` for unknown flags; `ENOMEM` if it is too small.
pub fn set_alternate_stack(thread: &Thread, new: SignalStack, stack_pointer: u64) -> Result<(), Errno> {
    let mut signals = thread.signals.lock();
    if on_alternate_stack(&signals.stack, stack_pointer) {
        return Err(Errno::EPERM);
    }
    let flags = StackFlags::from_bits(new.flags).ok_or(Errno::EINVAL)?;
    let mode = flags - StackFlags::AUTODISARM;
    if mode == StackFlags::all() - StackFlags::AUTODISARM {
        return Err(Errno::EINVAL);
    }
    if mode == StackFlags::DISABLE {
        signals.stack = SignalStack {
            flags: new.flags,
            ..NO_STACK
        };
        return Ok(());
    }
    if new.size < MINIMUM_STACK_SIZE {
        return Err(Errno::ENOMEM);
    }
    signals.stack = SignalStack { reserved: 0, ..new };
    Ok(())
}

/// Makes a signal happen that can't wait: if it is blocked, ignored or not handled, the process ends, and `what`
/// says why.
pub fn force(information: SignalInformation, signal: Signal, what: String) {
    let thread = current();
    let process = &*thread.process;
    let handler = process.actions.lock().get(signal).handler;
    let blocked = thread.blocked.load(Ordering::Relaxed) & signal.bit() != 0;
    if blocked || handler == SIG_DFL || handler == SIG_IGN {
        tell(signal, &information);
        die(process, signal, what);
    }
    thread.pending.add_first(signal, information);
}

/// Ends the process by a signal, whatever it wants to happen on that; `what` says why.
pub fn end_by(signal: Signal, information: &SignalInformation, what: String) -> ! {
    tell(signal, information);
    die(&current().process, signal, what)
}

/// The program has broken a rule that Linux punishes by `SIGSEGV`.
pub fn force_fault(what: &str) {
    force(
        SignalInformation::new(Signal::SIGSEGV, code::SI_KERNEL),
        Signal::SIGSEGV,
        String::from(what),
    );
}

/// A thread ends: nothing of its signals is left behind.
pub fn forget_thread(thread: &Thread) {
    set_blocked(thread, u64::MAX);
}

/// The program caused an exception: makes it the signal that Linux makes of it.
pub fn exception(registers: &mut Registers, exception: Exception) {
    let thread = current();
    let address = exception.fault.map_or(0, |fault| fault.address);
    let kind = match thread.fault.swap(0, Ordering::Relaxed) {
        kind if address < PROGRAM_END => kind,
        _ => 0, // nobody was asked about an address of the kernel's half
    };
    let by_program = if exception.fault.is_some() { FAULT_BY_PROGRAM } else { 0 };
    {
        let mut signals = thread.signals.lock();
        let cr2 = if exception.fault.is_some() {
            address
        } else {
            signals.last_exception.2
        };
        signals.last_exception = (exception.vector, exception.error_code | by_program, cr2);
    }
    let at = registers.rip;
    let fault = |signal, code| (signal, SignalInformation::fault(signal, code, at));
    let plain = |signal| (signal, SignalInformation::new(signal, code::SI_KERNEL));
    let ((signal, information), what) = match (exception.vector, exception.fault) {
        (_, Some(page_fault)) => page_fault_signal(page_fault, kind, at),
        (0, _) => (
            fault(Signal::SIGFPE, code::FPE_INTDIV),
            format!("division by zero at {at:#x}"),
        ),
        (1, _) => (
            fault(Signal::SIGTRAP, code::TRAP_TRACE),
            format!("a debug trap at {at:#x}"),
        ),
        (3, _) => (plain(Signal::SIGTRAP), format!("a breakpoint at {at:#x}")),
        (4, _) => (plain(Signal::SIGSEGV), format!("an overflow trap at {at:#x}")),
        (6, _) => (
            fault(Signal::SIGILL, code::ILL_ILLOPN),
            format!("an invalid instruction at {at:#x}"),
        ),
        (10 | 13, _) => (
            plain(Signal::SIGSEGV),
            format!("a general protection fault at {at:#x}: an address that is not canonical, or a misaligned operand"),
        ),
        (11 | 12, _) => (
            plain(Signal::SIGBUS),
            format!("a stack address that is not canonical at {at:#x}"),
        ),
        (16 | 19, _) => match arithmetic_code(exception.vector) {
            Some(code) => (
                fault(Signal::SIGFPE, code),
                format!("a floating-point exception at {at:#x}"),
            ),
            // Gone by the time we look: nothing to tell.
            None => return,
        },
        (17, _) => (
            fault(Signal::SIGBUS, code::BUS_ADRALN),
            format!("a misaligned access at {at:#x}"),
        ),
        (vector, _) => (plain(Signal::SIGSEGV), format!("exception {vector} at {at:#x}")),
    };
    force(information, signal, what);
}

fn page_fault_signal(fault: PageFault, kind: u8, at: u64) -> ((Signal, SignalInformation), String) {
    let address = fault.address;
    let access = match fault.access {
        Access::Read => "read of",
        Access::Write => "write to",
        Access::Execute => "jump to",
    };
    let (signal, code, why) = match kind {
        FAULT_DENIED => (
            Signal::SIGSEGV,
            code::SEGV_ACCERR,
            match fault.access {
                Access::Read => "which is not readable",
                Access::Write => "which is not writable",
                Access::Execute => "which is not executable",
            },
        ),
        FAULT_BEYOND_END => (
            Signal::SIGBUS,
            code::BUS_ADRERR,
            "which lies beyond the end of the mapped file",
        ),
        FAULT_UNREADABLE => (Signal::SIGBUS, code::BUS_ADRERR, "whose file can't be read"),
        FAULT_POISONED => (
            Signal::SIGBUS,
            code::BUS_MCEERR_AR,
            "whose content was given up (UFFDIO_POISON)",
        ),
        FAULT_UNHANDLED => (Signal::SIGBUS, code::BUS_ADRERR, "which userfaultfd does not handle"),
        _ if address >= PROGRAM_END => (Signal::SIGSEGV, code::SEGV_MAPERR, "which belongs to the kernel"),
        _ => (Signal::SIGSEGV, code::SEGV_MAPERR, "which is not mapped"),
    };
    let what = match fault.access {
        Access::Execute => format!("{access} {address:#x}, {why}"),
        _ => format!("{access} {address:#x}, {why}, by the instruction at {at:#x}"),
    };
    let information = match code {
        code::BUS_MCEERR_AR => SignalInformation::lost_memory(signal, address),
        code => SignalInformation::fault(signal, code, address),
    };
    ((signal, information), what)
}

/// Which arithmetic exception x87 or SSE has, as `si_code`.
fn arithmetic_code(vector: u64) -> Option<i32> {
    let mut state = VectorState::new();
    state.save();
    let bytes = state.bytes();
    let half = |offset: usize| u32::from(bytes[offset]) | u32::from(bytes[offset + 1]) << 8;
    let raised = if vector == 16 {
        half(2) & !half(0) // status word without what the control word masks
    } else {
        half(24) & !(half(24) >> 7) // flags of MXCSR without its masks
    };
    let table = [
        (0x01, code::FPE_FLTINV),
        (0x04, code::FPE_FLTDIV),
        (0x08, code::FPE_FLTOVF),
        (0x12, code::FPE_FLTUND),
        (0x20, code::FPE_FLTRES),
    ];
    table.iter().find(|(bits, _)| raised & bits != 0).map(|&(_, code)| code)
}
