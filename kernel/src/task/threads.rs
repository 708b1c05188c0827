//! The life of threads: how they come to be, how they end, and how those of a process are found.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::credentials::{Capabilities, Credentials};
use pith_scheduling::Entity;

use super::family::{self, FIRST};
use super::process::{Process, Resources};
use super::thread::{Body, Thread, current};
use super::wait::WaitQueue;
use super::{futex, scheduler, seccomp, signal};
use crate::arch::{self, MAXIMUM_CPUS, Registers};
use crate::memory::{self, UserPointer, write_object};
use crate::sync::InterruptMutex;

/// Numbers wrap around here (`/proc/sys/kernel/pid_max`).
pub const MAXIMUM_NUMBER: u32 = 4_194_304;

/// The number of threads of the kernel itself.
const KERNEL_THREAD: u32 = 0;

/// All threads that programs see, by number, which is a `u64` for the size of the kernel: maps whose keys and values have the
/// same sizes are the same code.
static THREADS: InterruptMutex<BTreeMap<u64, Weak<Thread>>> = InterruptMutex::new(BTreeMap::new());
static LAST_NUMBER: AtomicU32 = AtomicU32::new(1);
/// Threads that programs could see, since the start.
static CREATED: AtomicU64 = AtomicU64::new(0);
/// Told whenever a thread has ended.
static ENDED: WaitQueue = WaitQueue::new();

/// A thread by its number.
pub fn find_thread(number: u32) -> Option<Arc<Thread>> {
    THREADS.lock().get(&number.into()).and_then(Weak::upgrade)
}

/// Whether a thread can be found by its number still.
pub fn is_listed(thread: &Arc<Thread>) -> bool {
    let threads = THREADS.lock();
    threads
        .get(&thread.id().into())
        .is_some_and(|listed| core::ptr::eq(listed.as_ptr(), Arc::as_ptr(thread)))
}

/// Number of threads that programs see.
pub fn thread_count() -> usize {
    THREADS.lock().len()
}

/// The number that was given last.
pub fn last_number() -> u32 {
    LAST_NUMBER.load(Ordering::Relaxed)
}

/// How many threads there ever were.
pub fn created_count() -> u64 {
    CREATED.load(Ordering::Relaxed)
}

pub(super) fn enlist(thread: &Arc<Thread>) {
    CREATED.fetch_add(1, Ordering::Relaxed);
    THREADS.lock().insert(thread.id().into(), Arc::downgrade(thread));
    thread.process.add_thread(thread.clone());
}

/// Makes the first thread of a process, whose number is the process's.
pub fn first_thread(process: &Arc<Process>) -> Option<Arc<Thread>> {
    scheduler::reserve(16);
    let thread = Thread::new(process.id, process.clone(), Entity::new(u64::MAX))?;
    enlist(&thread);
    Some(thread)
}

/// Numbers of threads that are being made: they name something soon.
static RESERVED: InterruptMutex<Vec<u32>> = InterruptMutex::new(Vec::new());

/// The number of a thread that is being made, which no other one gets until this goes: it is listed then.
pub(super) struct Number(pub(super) u32);

impl Number {
    /// The number that is wanted, or the next that is free if none is (0).
    ///
    /// # Errors
    /// `EEXIST` if something has it; `EAGAIN` without memory.
    pub(super) fn of(wanted: u32) -> Result<Self, Errno> {
        if wanted != 0 {
            return Self::reserve(wanted)?.ok_or(Errno::EEXIST);
        }
        // As Linux, which keeps the first 300 for its own.
        let after = |last: u32| if last + 1 >= MAXIMUM_NUMBER { 300 } else { last + 1 };
        loop {
            let last = LAST_NUMBER.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
            if let Some(number) = Self::reserve(after(last.unwrap_or_else(|last| last)))? {
                return Ok(number);
            }
        }
    }

    /// Reserves a number; `None` if it names something, or will.
    fn reserve(number: u32) -> Result<Option<Self>, Errno> {
        {
            let mut reserved = RESERVED.lock();
            if reserved.contains(&number) {
                return Ok(None);
            }
            reserved.try_reserve(1).map_err(|_| Errno::EAGAIN)?;
            reserved.push(number);
        }
        let this = Self(number);
        let is_taken = THREADS.lock().contains_key(&number.into()) || family::is_taken(number);
        Ok((!is_taken).then_some(this))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let mut reserved = RESERVED.lock();
        if let Some(place) = reserved.iter().position(|number| *number == self.0) {
            reserved.swap_remove(place);
        }
    }
}

/// Refuses (`EAGAIN`) one more thread if the limit of its user or memory forbids it.
pub(super) fn check_room(process: &Arc<Process>) -> Result<(), Errno> {
    let limit = process.limit(super::Limits::PROCESSES);
    let own = super::credentials();
    let user = own.users[0];
    // As on Linux, root and who administers the machine are not held to it.
    let held = user != 0 && !own.has(Capabilities::ADMINISTRATION | Capabilities::RESOURCES);
    let too_many = held && limit != super::Limits::INFINITY && family::threads_of_user(user) >= limit;
    if too_many || memory::is_low() || !family::reserve_room() {
        return Err(Errno::EAGAIN);
    }
    ensure_idle_thread(process)
}

/// What `clone` wants of a new thread.
#[derive(Clone, Copy, Debug)]
pub struct NewThread {
    /// Registers to start with.
    pub registers: Registers,
    /// Its thread pointer.
    pub thread_pointer: u64,
    /// Where its number is to be written for its maker, if anywhere.
    pub number_for_parent: UserPointer,
    /// Where its number is to be written for itself.
    pub number_for_child: UserPointer,
    /// Where 0 is to be written when it ends.
    pub clear_on_exit: u64,
    /// The number that it is to have; 0 for any.
    pub number: u32,
}

/// A thread has something for itself that threads mostly share, or had: then each end of a thread has to look who is left.
static APART: AtomicBool = AtomicBool::new(false);

/// The current thread, or one that it makes, gets resources of its own.
pub fn note_apart() {
    APART.store(true, Ordering::SeqCst);
}

/// Whether any thread ever had resources of its own.
pub fn any_apart() -> bool {
    APART.load(Ordering::SeqCst)
}

/// Makes a thread of the current process and starts it, with resources of its own if there are any. Returns its number.
///
/// # Errors
/// `EAGAIN` without memory or beyond the limit of threads; `EEXIST` if the number that it is to have names something.
pub fn create(new: &NewThread, resources: Option<Arc<dyn Resources>>) -> Result<u32, Errno> {
    memory::trim_stacks();
    let parent = current();
    let process = &parent.process;
    check_room(process)?;
    let entity = Entity::inherit(&parent.entity);
    let reserved = Number::of(new.number)?;
    let number = reserved.0;
    let thread = Thread::new(number, process.clone(), entity).ok_or(Errno::EAGAIN)?;
    // It starts with the registers, and nothing else to do before.
    arch::prepare_context(&thread, &new.registers, new.thread_pointer, true, || {});
    thread
        .blocked
        .store(parent.blocked.load(Ordering::Relaxed), Ordering::Relaxed);
    thread.clear_on_exit.store(new.clear_on_exit, Ordering::Relaxed);
    *thread.name.lock() = *parent.name.lock();
    thread.inherit_habits(&parent);
    if let Some(resources) = resources {
        thread.resources.call_once(|| resources);
    }
    for place in [new.number_for_parent, new.number_for_child] {
        if !place.is_null() {
            // As on Linux the thread is there, whether that can be written or not.
            let _ = write_object(place, &number);
        }
    }
    {
        let _still = seccomp::hold_still();
        seccomp::inherit(&thread, &parent);
        enlist(&thread);
    }
    scheduler::start(&thread);
    Ok(number)
}

/// Starts a kernel thread that works for a process in its address space. Programs do not see it and it gets no signals.
///
/// # Errors
/// `EAGAIN` without memory.
pub fn spawn_kernel_thread(process: &Arc<Process>, name: &str, body: Body) -> Result<(), Errno> {
    memory::trim_stacks();
    if !family::reserve_room() {
        return Err(Errno::EAGAIN);
    }
    ensure_idle_thread(process)?;
    let thread = Thread::new(KERNEL_THREAD, process.clone(), Entity::new(u64::MAX)).ok_or(Errno::EAGAIN)?;
    thread.blocked.store(u64::MAX, Ordering::Relaxed);
    set_name(&thread, name);
    *thread.body.lock() = Some(body);
    arch::prepare_context(&thread, &Registers::default(), 0, false, run_body);
    scheduler::start(&thread);
    Ok(())
}

/// Names a thread; what is longer than 15 bytes is cut.
fn set_name(thread: &Thread, name: &str) {
    let length = name.len().min(15);
    let mut stored = [0; 16];
    stored[..length].copy_from_slice(&name.as_bytes()[..length]);
    *thread.name.lock() = stored;
}

/// The first function of a kernel thread.
fn run_body() {
    arch::enable_interrupts();
    let body = current().body.lock().take();
    if let Some(body) = body {
        body();
    }
    scheduler::end()
}

/// The first function of the boot processor's idle thread.
fn run_idle() {
    scheduler::idle_loop()
}

/// An idle thread for a processor, on whose stack the processor starts. `None` if there is no memory.
pub fn prepare_idle_thread(process: &Arc<Process>, cpu: usize) -> Option<Arc<Thread>> {
    let entity = Entity::new(1 << cpu);
    let thread = Thread::new(KERNEL_THREAD, process.clone(), entity)?;
    thread.blocked.store(u64::MAX, Ordering::Relaxed);
    set_name(&thread, "idle");
    scheduler::set_idle_thread(cpu, thread.clone());
    Some(thread)
}

/// Makes the boot processor's idle thread, which it needs only where there are several threads or processors.
///
/// # Errors
/// `EAGAIN` without memory.
pub fn ensure_idle_thread(process: &Arc<Process>) -> Result<(), Errno> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.load(Ordering::Relaxed) {
        return Ok(());
    }
    let cpu = 0;
    if !scheduler::has_idle_thread(cpu) {
        let thread = prepare_idle_thread(process, cpu).ok_or(Errno::EAGAIN)?;
        arch::prepare_context(&thread, &Registers::default(), 0, false, run_idle);
    }
    DONE.store(true, Ordering::Relaxed);
    debug_assert!(cpu < MAXIMUM_CPUS);
    Ok(())
}

/// What a thread owes the program's memory when it leaves it, since it ends or runs another program.
pub fn leave_memory(thread: &Thread) {
    futex::release_robust_list(thread);
    let place = thread.clear_on_exit.swap(0, Ordering::Relaxed);
    // Nobody could look there any more if it were the last.
    let others = thread.process.thread_count() > 1 || thread.process.address_space().is_shared();
    if place != 0 && others && write_object(UserPointer(place), &0u32).is_ok() {
        futex::wake_address(place, 1);
    }
}

/// What a thread owes its process and the program's memory when it ends.
fn settle(thread: &Thread) {
    leave_memory(thread);
    signal::forget_thread(thread);
}

/// Ends the current thread, and with the last one the process (`exit(2)`).
pub fn exit_current(status: u8) -> ! {
    memory::trim_stacks();
    {
        let thread = current();
        let process = &thread.process;
        if thread.id() == KERNEL_THREAD {
            scheduler::end();
        }
        settle(&thread);
        // The status of a process whose threads end one by one is that of its first.
        if thread.id() == process.id {
            process.note_status(status);
        }
        if let Some(own) = thread.resources.get() {
            own.end();
        }
        THREADS.lock().remove(&thread.id().into());
        if process.remove_thread(&thread) == 0 {
            // Nothing may end its last waits early.
            thread.attention.store(0, Ordering::SeqCst);
            if process.id == FIRST {
                family::end_others();
                process.end_machine();
            }
            family::end(process);
        } else {
            family::thread_ends(process, thread.id());
            if any_apart() && process.threads().iter().all(|other| other.resources.is_completed()) {
                // Nobody is left who uses what was for all.
                process.resources.end();
            }
            family::stands(process);
        }
        ENDED.wake_all();
    }
    scheduler::end()
}

/// Ends all other threads of the current process, which is about to run another program, and gives the current one the
/// process's number.
///
/// # Errors
/// `EINTR` if another thread does the same, or ends the process.
pub fn end_others() -> Result<(), Errno> {
    let thread = current();
    let process = &thread.process;
    if process.thread_count() == 1 {
        return Ok(());
    }
    if !process.begin_replacement() {
        return Err(Errno::EINTR);
    }
    let own = thread.id();
    process.end_threads();
    // Other signals wait until the program runs, the old one or the new one: there is no way back.
    let waited = ENDED.wait_killable(|| (process.thread_count() == 1).then_some(()));
    process.end_replacement();
    waited.map_err(|_| Errno::EINTR)?;
    if own != process.id {
        let mut threads = THREADS.lock();
        threads.remove(&own.into());
        thread.set_id(process.id);
        if let Some(arc) = thread.arc() {
            threads.insert(process.id.into(), Arc::downgrade(&arc));
        }
        drop(threads);
        process.renumber_thread(own, process.id);
        family::thread_renumbered(process, process.id);
        // It is the first now, and others see the process as it is.
        thread.replace_credentials(Credentials::clone(&thread.credentials()));
    }
    Ok(())
}
