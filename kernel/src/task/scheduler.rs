//! Switching between threads.
//!
//! Which thread runs where is decided by `libs/scheduling`; here are the occasions: a thread waits, gives way or ends,
//! its slice is over, somebody is woken. The kernel is never preempted: a processor changes threads only in
//! [`block`], in [`end`], and before it returns to the program ([`before_return`]).
//!
//! A processor that finds nothing to run stays on the stack of the thread that waits, halted: if that thread is the
//! next to run, as it mostly is, nothing was switched at all. Only when a thread has ended or moved away does the
//! processor go to its idle thread.
//!
//! Time is counted in ticks of the time stamp counter here, so that a program that never looks at a clock need not
//! wait for it to be calibrated.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use pith_scheduling::{Clock, Lock, Next, OthersWait, Policy, RunQueue, Scheduler, Woken};
use spin::Mutex;

use super::accounting::Accounting;
use super::thread::{MOVED, MUST_END, Thread, current};
use super::{clock, load, restartable, signal, soon, time_limits, timer};
use crate::arch::{self, MAXIMUM_CPUS, Registers};
use crate::memory::AddressSpace;
use crate::sync::InterruptMutex;

/// How long a thread runs while others wait, in nanoseconds.
pub const SLICE: u64 = 4_000_000;
/// The same in ticks, before anybody knows how long a tick is.
const SLICE_BEFORE_CALIBRATION: u64 = 8_000_000;
/// Slices in a period of [`REAL_TIME`].
const SLICES_OF_PERIOD: u64 = 250;
/// Microseconds in which threads of real-time policies have [`REAL_TIME`] (`/proc/sys/kernel/sched_rt_period_us`).
pub const REAL_TIME_PERIOD: u64 = SLICES_OF_PERIOD * SLICE / 1000;
/// Microseconds of a period that threads of real-time policies have while others wait (`sched_rt_runtime_us`); -1 for all.
pub static REAL_TIME: AtomicI32 = AtomicI32::new(950_000);

impl<T> Lock<T> for InterruptMutex<T> {
    fn with<R>(&self, action: impl FnOnce(&mut T) -> R) -> R {
        action(&mut self.lock())
    }
}

type Queue = InterruptMutex<RunQueue<Arc<Thread>>>;

static SCHEDULER: Scheduler<Arc<Thread>, Queue, [Queue; MAXIMUM_CPUS]> =
    Scheduler::new([const { InterruptMutex::new(RunQueue::new()) }; MAXIMUM_CPUS]);

/// What the scheduler keeps per processor, each in cache lines of its own.
#[repr(align(128))]
struct Cpu {
    /// It has to look whether another thread should run, before it returns to the program.
    must_look: AtomicBool,
    /// The timer is set for the end of a slice.
    slice_limited: AtomicBool,
    /// The timer is set for samples of what it does.
    sampled: AtomicBool,
    /// Whether its time was the program's.
    accounting: Accounting,
    /// Ticks that it was halted.
    halted: AtomicU64,
    /// Since when it is halted; 0 while it is not.
    halted_since: AtomicU64,
    /// The number of the address space that it uses.
    space: AtomicU64,
    /// That address space, kept alive.
    active: Mutex<Option<Arc<AddressSpace>>>,
    /// Its idle thread.
    idle: Mutex<Option<Arc<Thread>>>,
}

static CPUS: [Cpu; MAXIMUM_CPUS] = [const {
    Cpu {
        must_look: AtomicBool::new(false),
        slice_limited: AtomicBool::new(false),
        sampled: AtomicBool::new(false),
        accounting: Accounting::new(),
        halted: AtomicU64::new(0),
        halted_since: AtomicU64::new(0),
        space: AtomicU64::new(0),
        active: Mutex::new(None),
        idle: Mutex::new(None),
    }
}; MAXIMUM_CPUS];

static SLICE_TICKS: AtomicU64 = AtomicU64::new(SLICE_BEFORE_CALIBRATION);

fn now() -> u64 {
    arch::read_time_stamp_counter()
}

fn time() -> Clock {
    let slice = SLICE_TICKS.load(Ordering::Relaxed);
    let period = SLICES_OF_PERIOD * slice;
    let real_time = match u64::try_from(REAL_TIME.load(Ordering::Relaxed)) {
        Ok(microseconds) => period * microseconds / REAL_TIME_PERIOD,
        Err(_) => period,
    };
    Clock {
        now: now(),
        slice,
        real_time,
        period,
    }
}

fn this_cpu() -> &'static Cpu {
    &CPUS[arch::cpu_index()]
}

/// Processors that run threads.
pub fn cpu_count() -> usize {
    SCHEDULER.online().count_ones().max(1) as usize
}

/// Processors that run threads: bit n for processor n.
pub fn online_cpus() -> u64 {
    SCHEDULER.online().max(1)
}

/// Ticks that all processors together have been halted.
pub fn halted_ticks() -> u64 {
    (0..MAXIMUM_CPUS).map(halted_ticks_of).sum()
}

/// Ticks that one processor has been halted.
pub fn halted_ticks_of(cpu: usize) -> u64 {
    let state = &CPUS[cpu];
    let running = match state.halted_since.load(Ordering::Relaxed) {
        0 => 0,
        since => now().saturating_sub(since),
    };
    state.halted.load(Ordering::Relaxed) + running
}

/// Ticks that all processors together were not halted until `now`.
pub(super) fn busy_ticks(now: u64) -> u64 {
    let all = now.saturating_sub(arch::entry_ticks()) * cpu_count() as u64;
    all.saturating_sub(halted_ticks())
}

/// Ticks that threads have waited for processors.
pub(super) fn delayed_ticks() -> u64 {
    SCHEDULER.delayed()
}

/// How often processors went from one thread to another, or to idleness and back.
pub fn switches() -> u64 {
    SCHEDULER.switches()
}

/// Threads that run or want to.
pub fn runnable() -> usize {
    SCHEDULER.runnable()
}

/// Ticks of processor time that a thread has used.
pub fn used_ticks(thread: &Thread) -> u64 {
    thread.entity.used(now())
}

/// Makes the code that runs the given thread, the first of the machine, on this processor.
pub fn adopt(thread: Arc<Thread>) {
    let cpu = arch::cpu_index();
    SCHEDULER.add_processor(cpu);
    SCHEDULER.adopt(cpu, &thread, now());
    arch::set_current(thread);
}

/// Runs with interrupts off.
fn without_interrupts<R>(action: impl FnOnce() -> R) -> R {
    let enabled_before = arch::interrupts_enabled();
    arch::disable_interrupts();
    let result = action();
    if enabled_before {
        arch::enable_interrupts();
    }
    result
}

/// Tells the processor that a wake-up concerns. Called with interrupts off.
fn tell(woken: Woken) {
    let (cpu, preempts) = match woken {
        Woken::WasAwake | Woken::Waits => return,
        Woken::Limits(cpu) => (cpu, false),
        Woken::Preempts(cpu) => (cpu, true),
    };
    let state = &CPUS[cpu];
    if cpu == arch::cpu_index() {
        if preempts {
            state.must_look.store(true, Ordering::Relaxed);
        } else {
            limit_slice(state);
        }
    } else if preempts {
        state.must_look.store(true, Ordering::SeqCst);
        arch::send_reschedule(cpu);
    } else if !state.slice_limited.load(Ordering::Relaxed) && !state.must_look.swap(true, Ordering::SeqCst) {
        arch::send_reschedule(cpu);
    }
}

/// Sets this processor's timer for the end of a slice, if it isn't.
fn limit_slice(state: &Cpu) {
    if !state.slice_limited.swap(true, Ordering::Relaxed) {
        let deadline = clock::monotonic().after(SLICE);
        // The clock is calibrated by now.
        SLICE_TICKS.store(clock::to_ticks(SLICE), Ordering::Relaxed);
        timer::limit_slice(deadline);
    }
}

/// The slice that [`limit_slice`] started is over. Called by the timer's interrupt handler.
pub(super) fn slice_over() {
    let cpu = arch::cpu_index();
    let state = &CPUS[cpu];
    state.slice_limited.store(false, Ordering::Relaxed);
    state.must_look.store(true, Ordering::Relaxed);
    load::look(now());
    if let Some(helper) = SCHEDULER.helper(cpu) {
        arch::send_reschedule(helper);
    }
}

/// A thread runs on this processor, where samples may have ended because it was idle. Called with interrupts off.
#[inline]
fn runs_thread(state: &Cpu) {
    if !state.sampled.load(Ordering::Relaxed) && clock::is_known() {
        state.sampled.store(true, Ordering::Relaxed);
        timer::start_sampling();
    }
}

/// The clock can be used from now on. The processor starts samples when it looks what to do next: here locks may be held.
pub(super) fn clock_known() {
    this_cpu().must_look.store(true, Ordering::Relaxed);
}

/// Counts what the timer's interrupt has found on this processor. False if it is idle. Called by its handler.
pub(super) fn sample(in_program: bool) -> bool {
    let state = this_cpu();
    let busy = state.halted_since.load(Ordering::Relaxed) == 0;
    if busy {
        state.accounting.sample(in_program);
        let thread = current();
        thread.accounting.sample(in_program);
        time_limits::sample(&thread);
    }
    state.sampled.store(busy, Ordering::Relaxed);
    busy
}

/// The samples of a processor.
pub(super) fn accounting_of(cpu: usize) -> &'static Accounting {
    &CPUS[cpu].accounting
}

/// Lets a thread run that sleeps. May be called by interrupt handlers.
pub fn wake(thread: &Thread) -> bool {
    if !thread.entity.sleeps_now() {
        return false;
    }
    let Some(thread) = thread.this.upgrade() else {
        return false;
    };
    without_interrupts(|| {
        let woken = SCHEDULER.wake(&thread, time());
        tell(woken);
        woken != Woken::WasAwake
    })
}

/// Makes a thread look for work before it returns to the program: it is woken, or interrupted if it runs on another
/// processor. May be called by interrupt handlers.
pub fn interrupt(thread: &Thread) {
    if wake(thread) {
        return;
    }
    without_interrupts(|| {
        let cpu = thread.entity.cpu();
        if thread.entity.runs() && cpu != arch::cpu_index() {
            arch::send_reschedule(cpu);
        }
    });
}

/// Lets a new thread run.
pub(super) fn start(thread: &Arc<Thread>) {
    without_interrupts(|| tell(SCHEDULER.start(thread, time())));
}

/// Makes sure that this many threads can be woken without allocating. False if there is no memory.
pub(super) fn reserve(threads: usize) -> bool {
    SCHEDULER.reserve(threads)
}

/// Gives the processor up until the thread is woken; comes back at once if it was woken since it announced to sleep.
pub(super) fn block() {
    without_interrupts(|| {
        let cpu = arch::cpu_index();
        match SCHEDULER.block(cpu, now()) {
            Next::Same => {}
            Next::Switch(next, others_wait) => switch(next, others_wait, false),
            Next::Idle => wait_in_place(),
        }
        runs_thread(this_cpu());
        if !current().entity.may_run_on(arch::cpu_index()) {
            // Its affinity was changed while it slept, and it could not be moved.
            this_cpu().must_look.store(true, Ordering::Relaxed);
        }
    });
}

/// Halts on the stack of the current thread until there is something to run.
fn wait_in_place() {
    loop {
        let cpu = arch::cpu_index();
        match SCHEDULER.pick(cpu, now()) {
            Next::Switch(next, others_wait) => return switch(next, others_wait, false),
            Next::Same | Next::Idle if soon::work_if_wanted() => {}
            Next::Same | Next::Idle => halt(&CPUS[cpu]),
        }
    }
}

fn halt(state: &Cpu) {
    let before = now();
    load::look(before);
    state.halted_since.store(before, Ordering::Relaxed);
    arch::enter_idle();
    arch::wait_for_interrupt();
    arch::leave_idle();
    state.halted_since.store(0, Ordering::Relaxed);
    let halted = now().saturating_sub(before);
    state.halted.fetch_add(halted, Ordering::Relaxed);
}

/// Changes to another thread; comes back when this one has its turn again, on whatever processor that is. If it has its
/// turn already, it just goes on. Called with interrupts off.
fn switch(next: Arc<Thread>, others_wait: OthersWait, preempted: bool) {
    if others_wait.0 {
        limit_slice(this_cpu());
    }
    if core::ptr::eq(&*current(), &*next) {
        return;
    }
    let before = arch::cpu_index();
    use_address_space_of(&next);
    arch::switch_to(next);
    let thread = current();
    if preempted || arch::cpu_index() != before {
        thread.attention.fetch_or(MOVED, Ordering::Relaxed);
    }
}

/// Makes this processor use the address space of a thread's process. Called with interrupts off.
fn use_address_space_of(thread: &Thread) {
    let process = &thread.process;
    let state = this_cpu();
    if state.space.load(Ordering::Relaxed) == process.space_number() {
        return;
    }
    let space = process.address_space();
    state.space.store(space.number(), Ordering::Relaxed);
    space.activate();
    let old = state.active.lock().replace(space);
    if let Some(old) = &old {
        old.deactivate();
    }
    // If this was the last that knew it, it is empty: whoever leaves an address space last clears it before.
    drop(old);
}

/// The current process has another address space: this processor uses it from now on, and so do those that are idle.
pub fn address_space_replaced() {
    without_interrupts(|| {
        use_address_space_of(&current());
        let own = arch::cpu_index();
        for cpu in (0..MAXIMUM_CPUS).filter(|&cpu| cpu != own && SCHEDULER.online() >> cpu & 1 != 0) {
            arch::send_reschedule(cpu);
        }
    });
}

/// Ends the current thread's life on the processor.
pub(super) fn end() -> ! {
    arch::disable_interrupts();
    let cpu = arch::cpu_index();
    let next = match SCHEDULER.end(cpu, now()) {
        Next::Switch(next, others_wait) => {
            if others_wait.0 {
                limit_slice(&CPUS[cpu]);
            }
            next
        }
        Next::Same | Next::Idle => idle_thread(cpu),
    };
    use_address_space_of(&next);
    arch::exit_to(next)
}

fn idle_thread(cpu: usize) -> Arc<Thread> {
    CPUS[cpu]
        .idle
        .lock()
        .clone()
        .expect("a processor with several threads has an idle thread")
}

/// Names the thread that a processor runs when there is nothing else.
pub(super) fn set_idle_thread(cpu: usize, thread: Arc<Thread>) {
    *CPUS[cpu].idle.lock() = Some(thread);
}

/// Whether a processor has an idle thread.
pub(super) fn has_idle_thread(cpu: usize) -> bool {
    CPUS[cpu].idle.lock().is_some()
}

/// A further processor has come up, on the stack of its idle thread: from now on it runs threads.
pub fn processor_started(cpu: usize) -> ! {
    let idle = idle_thread(cpu);
    arch::set_current(idle.clone());
    use_address_space_of(&idle);
    SCHEDULER.add_processor(cpu);
    idle_loop()
}

/// Does nothing any more, for the machine ends.
pub fn stay_halted() -> ! {
    loop {
        arch::disable_interrupts();
        arch::wait_for_interrupt();
    }
}

/// What idle threads do. Interrupts are off.
pub(super) fn idle_loop() -> ! {
    loop {
        let cpu = arch::cpu_index();
        match SCHEDULER.pick(cpu, now()) {
            Next::Switch(next, others_wait) => {
                runs_thread(&CPUS[cpu]);
                switch(next, others_wait, false);
            }
            Next::Same | Next::Idle if soon::work_if_wanted() => {}
            Next::Same | Next::Idle => {
                use_address_space_of(&current());
                halt(&CPUS[cpu]);
            }
        }
    }
}

/// Lets others run that want the processor (`sched_yield(2)`).
pub fn yield_now() {
    without_interrupts(|| look(true));
}

/// Lets others run in the middle of a long call, if it is their turn. Nothing may be held that they wait for.
pub fn give_way() {
    if this_cpu().must_look.load(Ordering::Relaxed) {
        without_interrupts(|| look(false));
    }
}

/// Looks whether another thread should run. Called with interrupts off.
fn look(yields: bool) {
    let cpu = arch::cpu_index();
    let state = &CPUS[cpu];
    state.must_look.store(false, Ordering::Relaxed);
    runs_thread(state);
    let (next, moved_to) = SCHEDULER.reschedule(cpu, yields, time());
    if let Some(target) = moved_to {
        tell(Woken::Preempts(target));
    }
    match next {
        Next::Same if SCHEDULER.takes_turns(cpu) => limit_slice(state),
        Next::Same => {}
        Next::Switch(next, others_wait) => switch(next, others_wait, true),
        Next::Idle => switch(idle_thread(cpu), OthersWait(false), true),
    }
}

/// Everything that is due before the program goes on. Called with interrupts off, again and again until it returns
/// false: then the program goes on with the registers as they are.
pub fn before_return(registers: &mut Registers) -> bool {
    // First, since it may wake threads.
    soon::work_if_wanted();
    if this_cpu().must_look.load(Ordering::Relaxed) {
        look(false);
    }
    let thread = current();
    let attention = thread.attention.load(Ordering::Relaxed);
    if attention & MOVED != 0 {
        thread.attention.fetch_and(!MOVED, Ordering::Relaxed);
        if restartable::is_registered(&thread) {
            arch::enable_interrupts();
            if !restartable::after_switch(&thread, registers) {
                signal::force_fault("the area of restartable sequences makes no sense");
            }
            return true;
        }
    }
    if attention & MUST_END != 0 {
        arch::enable_interrupts();
        super::threads::exit_current(0);
    }
    signal::deliver(registers)
}

/// Changes a thread's policy and static priority.
pub fn set_policy(thread: &Arc<Thread>, policy: Policy, priority: u8) {
    let cpu = SCHEDULER.set_policy(thread, policy, priority);
    without_interrupts(|| tell(Woken::Preempts(cpu)));
}

/// Changes a thread's nice value.
pub fn set_nice(thread: &Arc<Thread>, nice: i8) {
    let cpu = SCHEDULER.set_nice(thread, nice);
    without_interrupts(|| tell(Woken::Preempts(cpu)));
}

/// Changes on which processors a thread may run; if it is the current one, it goes there before this returns.
pub fn set_affinity(thread: &Arc<Thread>, mask: u64) {
    without_interrupts(|| {
        tell(SCHEDULER.set_affinity(thread, mask, time()));
        if core::ptr::eq(&*current(), &**thread) {
            look(false);
        }
    });
}
