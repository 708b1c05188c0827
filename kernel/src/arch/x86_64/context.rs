//! Contexts: what a processor needs to leave a thread and to come back to it.
//!
//! A suspended thread is a kernel stack with the registers that functions preserve on top. Its owner, the [`Arc`] of
//! the thread, lies in the frame of [`switch_to`] on that same stack: whoever runs is kept alive by the processor,
//! whoever is suspended by itself, until another thread lets it end ([`exit_to`]).

use core::arch::global_asm;
use core::marker::PhantomData;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloc::sync::Arc;

use super::cpu::{self, this_cpu};
use super::traps::Registers;
use super::vector_state::{self, VectorArea};

global_asm!(include_str!("context.s"));

unsafe extern "C" {
    fn switch_stacks(stack: *mut u64, next: u64, loaded: *mut u8);
    fn start_context();
}

/// Where a thread goes on, with its thread pointer and vector registers.
pub struct Context {
    stack_pointer: AtomicU64,
    thread_pointer: AtomicU64,
    /// A processor is on its stack.
    loaded: AtomicBool,
    pub(super) vectors: VectorArea,
}

// SAFETY: the vector area is touched only by the processor that runs the thread, or before the thread runs.
unsafe impl Sync for Context {}
// SAFETY: nothing in it belongs to a processor.
unsafe impl Send for Context {}

impl Context {
    /// A context without a place to go on. `None` without memory.
    pub fn new() -> Option<Self> {
        Some(Self {
            stack_pointer: AtomicU64::new(0),
            thread_pointer: AtomicU64::new(0),
            loaded: AtomicBool::new(false),
            vectors: VectorArea::new()?,
        })
    }

    /// Whether a processor is on its stack.
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }
}

/// A thread.
pub trait HasContext: Send + Sync + 'static {
    /// Its context; always the same.
    fn context(&self) -> &Context;

    /// Its kernel stack, which is its alone: lowest usable address and top.
    fn kernel_stack(&self) -> (u64, u64);
}

/// Where the floors above say what runs on processors: `impl Threads for Kernel`.
pub struct Kernel;

/// What runs on processors. Only [`Kernel`] implements it, and once: so pointers to what runs need no check of their type.
pub trait Threads {
    /// The one type of threads.
    type Thread: HasContext;
}

/// The one type of threads.
pub(super) type Thread = <Kernel as Threads>::Thread;

/// Makes a thread that has not run yet start: `start` runs on its kernel stack with interrupts off, and when it returns,
/// the program goes on with `registers`, and the vector registers of the current thread if `inherits`.
///
/// # Panics
/// If it has run.
pub fn prepare(thread: &Thread, registers: &Registers, thread_pointer: u64, inherits: bool, start: fn()) {
    let context = thread.context();
    assert!(
        context.stack_pointer.load(Ordering::Relaxed) == 0 && !context.is_loaded(),
        "a thread starts once"
    );
    if inherits {
        vector_state::copy_current(context);
    }
    let (bottom, top) = thread.kernel_stack();
    let place = top - size_of::<Registers>() as u64;
    let frame = place - 7 * 8;
    assert!(bottom < frame && top.is_multiple_of(16), "a kernel stack");
    // SAFETY: the stack is the thread's alone and nobody is on it; both places lie on it and are aligned.
    unsafe {
        (place as *mut Registers).write(*registers);
        // What `switch_stacks` takes off: r15, r14, r13, r12, rbx, rbp, and where it returns to.
        (frame as *mut [u64; 7]).write([0, 0, 0, 0, start as usize as u64, 0, start_context as *const () as u64]);
    }
    context.thread_pointer.store(thread_pointer, Ordering::Relaxed);
    context.stack_pointer.store(frame, Ordering::Release);
}

/// The current thread. It exists for as long as its own code runs, so this can't go to another thread.
pub struct Current(*const Thread, PhantomData<*mut ()>);

impl Deref for Current {
    type Target = Thread;

    #[inline]
    fn deref(&self) -> &Thread {
        // SAFETY: made by `current`, on the stack of this thread. The processor holds a reference to the thread that it
        // runs, and a suspended thread holds one in the frame that suspended it; both end only after its code has.
        unsafe { &*self.0 }
    }
}

/// The thread whose code runs, if there is one.
#[inline]
pub fn current() -> Option<Current> {
    let pointer = cpu::current_pointer();
    (!pointer.is_null()).then_some(Current(pointer, PhantomData))
}

/// Makes the code that runs, on the stack that is the thread's from now on, that of a thread that has not run yet.
pub fn set_current(thread: Arc<Thread>) {
    let (bottom, top) = thread.kernel_stack();
    let context = thread.context();
    assert!(!context.loaded.swap(true, Ordering::AcqRel), "a thread runs once");
    vector_state::adopt(context);
    cpu::set_kernel_stack(bottom, top);
    let cpu = this_cpu();
    cpu.context
        .store(core::ptr::from_ref(context).cast_mut(), Ordering::Relaxed);
    let before = cpu.current.swap(Arc::into_raw(thread).cast_mut(), Ordering::AcqRel);
    assert!(before.is_null(), "a processor adopts one thread");
}

/// Takes the current thread off the processor and puts another there, up to the stack. Returns the old one.
fn exchange(next: Arc<Thread>) -> Arc<Thread> {
    let cpu = this_cpu();
    let old = cpu.current.load(Ordering::Acquire);
    assert!(
        !old.is_null() && old.cast_const() != Arc::as_ptr(&next),
        "a switch has two threads"
    );
    {
        // SAFETY: the processor holds a reference to it.
        let context = unsafe { &*old }.context();
        vector_state::leave(context);
        context.thread_pointer.store(cpu::thread_pointer(), Ordering::Relaxed);
    }
    let context = next.context();
    // Another processor may be about to leave it.
    while context.loaded.swap(true, Ordering::AcqRel) {
        super::shootdown::serve();
        core::hint::spin_loop();
    }
    let (bottom, top) = next.kernel_stack();
    cpu::set_kernel_stack(bottom, top);
    let thread_pointer = context.thread_pointer.load(Ordering::Relaxed);
    if thread_pointer != cpu::thread_pointer() {
        cpu::set_thread_pointer(thread_pointer);
    }
    cpu.context
        .store(core::ptr::from_ref(context).cast_mut(), Ordering::Relaxed);
    vector_state::enter(context);
    cpu.current.store(Arc::into_raw(next).cast_mut(), Ordering::Release);
    // SAFETY: `set_current` or an earlier exchange put it there with `Arc::into_raw`.
    unsafe { Arc::from_raw(old) }
}

/// Goes to another thread; comes back when somebody goes to this one, perhaps on another processor. To be called with
/// interrupts off.
///
/// # Panics
/// If `next` is the current thread.
pub fn switch_to(next: Arc<Thread>) {
    let target = next.context().stack_pointer.as_ptr();
    let own = exchange(next);
    let context = own.context();
    // SAFETY: `target` is the stack pointer of a thread that the processor holds a reference to, and that nobody else
    // is on (`exchange` has waited for that and marked it): what lies there was left by `prepare` or by
    // `switch_stacks`. Our own stack stays as it is until somebody comes back.
    unsafe {
        let next_pointer = target.read();
        switch_stacks(
            context.stack_pointer.as_ptr(),
            next_pointer,
            context.loaded.as_ptr().cast(),
        );
    }
    // Whoever came back gave the processor a reference of its own.
    drop(own);
    drop_ended();
}

/// Goes to another thread for ever: the current one ends when its stack is left.
pub fn exit_to(next: Arc<Thread>) -> ! {
    let target = next.context().stack_pointer.as_ptr();
    let own = Arc::into_raw(exchange(next));
    this_cpu().ended.store(own.cast_mut(), Ordering::Release);
    // SAFETY: as in `switch_to`. The reference that is passed on keeps the stack until it was left; nobody comes back.
    unsafe {
        let context = (*own).context();
        let next_pointer = target.read();
        switch_stacks(
            context.stack_pointer.as_ptr(),
            next_pointer,
            context.loaded.as_ptr().cast(),
        );
    }
    unreachable!("a thread that has ended is never run");
}

/// Drops the thread that has ended on this processor just before.
fn drop_ended() {
    let ended = this_cpu().ended.swap(core::ptr::null_mut(), Ordering::Acquire);
    if !ended.is_null() {
        // SAFETY: `exit_to` put it there with `Arc::into_raw`, and its stack was left.
        drop(unsafe { Arc::from_raw(ended.cast_const()) });
    }
}

/// The first thing that a new thread does. `start` is a `fn()`, as [`prepare`] put it on the stack.
#[unsafe(no_mangle)]
extern "C" fn context_started(start: usize, registers: &mut Registers) {
    // SAFETY: `prepare` stored a `fn()` in the register that comes here, and nobody changes it on the way.
    let start: fn() = unsafe { core::mem::transmute(start) };
    drop_ended();
    start();
    super::traps::before_program(registers);
}
