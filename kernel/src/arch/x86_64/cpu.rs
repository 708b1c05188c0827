//! One processor: its local data (through `gs`), its features, its control registers.

use core::arch::asm;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use alloc::boxed::Box;

use super::calls::CallLog;
use super::context::{Context, Thread};
use super::descriptors::Descriptors;
use super::instructions::{cpuid, read_msr, write_msr};
use super::{user_access, vector_state};

const MSR_EFER: u32 = 0xc000_0080;
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_FMASK: u32 = 0xc000_0084;
const MSR_FS_BASE: u32 = 0xc000_0100;
const MSR_GS_BASE: u32 = 0xc000_0101;
const MSR_KERNEL_GS_BASE: u32 = 0xc000_0102;
const MSR_TSC_AUX: u32 = 0xc000_0103;

/// `rdfsbase` and `wrfsbase` work.
static FSGSBASE: AtomicBool = AtomicBool::new(false);

/// Most processors that are used.
pub const MAXIMUM_CPUS: usize = pith_abi::image::MAXIMUM_CPUS as usize;

/// What the kernel keeps per processor; `gs` points to it. The first four fields are used by `traps.s`.
#[repr(C)]
pub(super) struct PerCpu {
    own_address: AtomicU64,
    kernel_stack_top: AtomicU64,
    kernel_stack_limit: AtomicU64,
    program_stack: AtomicU64,
    /// The thread that runs: what [`Arc::into_raw`] gave.
    pub(super) current: AtomicPtr<Thread>,
    /// Its context.
    pub(super) context: AtomicPtr<Context>,
    /// Number of the processor, from 0.
    index: AtomicUsize,
    /// Whose vector state the registers hold, as far as this processor knows.
    pub(super) vector_owner: AtomicPtr<Context>,
    /// A thread that has ended on this processor, to be dropped by the next: what [`Arc::into_raw`] gave.
    pub(super) ended: AtomicPtr<Thread>,
    /// The last system calls.
    pub(super) calls: CallLog,
    /// Segments, task state and interrupt stacks.
    pub(super) descriptors: Descriptors,
}

impl PerCpu {
    const fn new(index: usize, descriptors: Descriptors) -> Self {
        Self {
            own_address: AtomicU64::new(0),
            kernel_stack_top: AtomicU64::new(0),
            kernel_stack_limit: AtomicU64::new(0),
            program_stack: AtomicU64::new(0),
            current: AtomicPtr::new(null_mut()),
            context: AtomicPtr::new(null_mut()),
            index: AtomicUsize::new(index),
            vector_owner: AtomicPtr::new(null_mut()),
            ended: AtomicPtr::new(null_mut()),
            calls: CallLog::new(),
            descriptors,
        }
    }
}

static BOOT_CPU: PerCpu = PerCpu::new(0, Descriptors::new());

/// The data of the processors that have come up, for those that look at others.
static ALL: [AtomicPtr<PerCpu>; MAXIMUM_CPUS] = [const { AtomicPtr::new(null_mut()) }; MAXIMUM_CPUS];

/// The last system calls of a processor, if it has come up.
pub(super) fn call_log(index: usize) -> Option<&'static CallLog> {
    let cpu = ALL.get(index)?.load(Ordering::Acquire);
    // SAFETY: null, or what `enter` put there: it lives for ever, and nobody has it mutably any more.
    unsafe { cpu.as_ref() }.map(|cpu| &cpu.calls)
}

/// The data of the processor that asks. It may be another's as soon as the thread is switched away from.
#[inline]
pub(super) fn this_cpu() -> &'static PerCpu {
    let address: *const PerCpu;
    // SAFETY: `gs` points to a `PerCpu` that lives for ever, whose first word is its own address.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) address, options(nostack, readonly, preserves_flags));
        &*address
    }
}

/// Number of the processor that asks, from 0. The thread may run on another as soon as it waits.
#[inline]
pub fn cpu_index() -> usize {
    let index: usize;
    // SAFETY: as for `this_cpu`; the offset is that of the field.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) index, const core::mem::offset_of!(PerCpu, index),
             options(nostack, readonly, preserves_flags));
    }
    index
}

/// Room that a trap needs below the interrupted kernel stack pointer, in bytes.
const TRAP_ROOM: u64 = 2048;

unsafe extern "C" {
    fn system_call_entry();
}

/// Sets the boot processor up: segments, local data, system call entry, vector unit.
///
/// # Safety
/// Only the boot processor runs, it calls this once, and `stack` is the stack it runs on (bottom, top).
pub unsafe fn initialise(stack: (u64, u64)) {
    // SAFETY: the processor's data is static and nobody else uses it yet.
    unsafe { enter(&BOOT_CPU, stack) };
}

/// The data of a further processor, made before it starts.
#[derive(Clone, Copy)]
pub struct PreparedCpu(&'static PerCpu);

/// Makes the data of a further processor. It lives for ever: processors do not leave.
pub fn prepare(index: usize) -> PreparedCpu {
    let data: &'static mut PerCpu = Box::leak(Box::new(PerCpu::new(index, Descriptors::new())));
    data.descriptors.take_stacks_from_heap();
    PreparedCpu(data)
}

/// Sets a further processor up, as [`initialise`] does for the first.
///
/// # Safety
/// Called once per processor, on that processor, before anything else; `stack` is the stack it runs on (bottom, top).
pub unsafe fn enter_processor(prepared: PreparedCpu, stack: (u64, u64)) {
    // SAFETY: the data was made for this processor, which is the only one to use it.
    unsafe { enter(prepared.0, stack) };
}

/// # Safety
/// `data` is this processor's alone, and `stack` is the stack it runs on.
unsafe fn enter(data: &'static PerCpu, stack: (u64, u64)) {
    let index = data.index.load(Ordering::Relaxed);
    data.own_address.store(&raw const *data as u64, Ordering::Relaxed);
    // SAFETY: nobody else uses the tables (the caller's promise), and they live for ever. The order matters: loading
    // segments clears `gs`.
    unsafe { data.descriptors.load(index) };
    // SAFETY: these registers exist on every x86-64 processor. `gs` points to data that lives for ever; STAR selects
    // the descriptors that were just loaded; LSTAR is the entry for exactly this mechanism.
    unsafe {
        write_msr(MSR_GS_BASE, &raw const *data as u64);
        // The other base is the same, so that a program's `swapgs` takes nothing away.
        write_msr(MSR_KERNEL_GS_BASE, &raw const *data as u64);
        write_msr(MSR_EFER, read_msr(MSR_EFER) | 1);
        write_msr(MSR_STAR, 8u64 << 32);
        write_msr(MSR_LSTAR, system_call_entry as *const () as u64);
        // Interrupt, direction, trap, nested task and alignment check flags are cleared on entry.
        write_msr(MSR_FMASK, 0x4_4700);
        if cpuid(0x8000_0001, 0).edx & 1 << 27 != 0 {
            // What `rdtscp` and `rdpid` tell the program.
            write_msr(MSR_TSC_AUX, index as u64);
        }
    }
    set_kernel_stack(stack.0, stack.1);
    ALL[index].store(core::ptr::from_ref(data).cast_mut(), Ordering::Release);

    let features = cpuid(1, 0);
    let extended = if cpuid(0, 0).eax >= 7 { cpuid(7, 0).ebx } else { 0 };
    let mut control: u64;
    // SAFETY: reads CR4.
    unsafe { asm!("mov {}, cr4", out(reg) control, options(nomem, nostack)) };
    control |= 1 << 9 | 1 << 10 | 1 << 7; // FXSAVE, SIMD exceptions, global pages
    if extended & 1 != 0 {
        control |= 1 << 16; // rdfsbase and friends
        FSGSBASE.store(true, Ordering::Relaxed);
    }
    let has_xsave = features.ecx & 1 << 26 != 0;
    if has_xsave {
        control |= 1 << 18;
    }
    // SAFETY: each bit is set only where CPUID announces the feature.
    unsafe { asm!("mov cr4, {}", in(reg) control, options(nostack)) };
    vector_state::initialise(has_xsave);
    if index == 0 {
        user_access::choose_copying(extended);
    }
}

/// Names the stack on which the next trap from the program starts.
pub fn set_kernel_stack(bottom: u64, top: u64) {
    let cpu = this_cpu();
    cpu.kernel_stack_top.store(top, Ordering::Relaxed);
    cpu.kernel_stack_limit.store(bottom + TRAP_ROOM, Ordering::Relaxed);
}

/// The kernel stack in use: its lowest usable address and its top.
pub fn kernel_stack() -> (u64, u64) {
    let cpu = this_cpu();
    (
        cpu.kernel_stack_limit.load(Ordering::Relaxed).saturating_sub(TRAP_ROOM),
        cpu.kernel_stack_top.load(Ordering::Relaxed),
    )
}

/// The current thread's address, if there is one.
#[inline]
pub(super) fn current_pointer() -> *const Thread {
    let pointer: *const Thread;
    // SAFETY: as for `this_cpu`; one load, so that it is that of the processor on which it happens.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) pointer, const core::mem::offset_of!(PerCpu, current),
             options(nostack, readonly, preserves_flags));
    }
    pointer
}

/// The program's thread pointer (`fs` base).
pub fn thread_pointer() -> u64 {
    if FSGSBASE.load(Ordering::Relaxed) {
        let value;
        // SAFETY: CR4.FSGSBASE is set.
        unsafe { asm!("rdfsbase {}", out(reg) value, options(nomem, nostack, preserves_flags)) };
        return value;
    }
    // SAFETY: the register exists on every x86-64 processor.
    unsafe { read_msr(MSR_FS_BASE) }
}

/// Sets the program's thread pointer (`fs` base).
pub fn set_thread_pointer(address: u64) {
    debug_assert!(address < super::layout::PROGRAM_END);
    if FSGSBASE.load(Ordering::Relaxed) {
        // SAFETY: CR4.FSGSBASE is set; the kernel never uses `fs`.
        unsafe { asm!("wrfsbase {}", in(reg) address, options(nomem, nostack, preserves_flags)) };
        return;
    }
    // SAFETY: the kernel never uses `fs`; the value is a canonical address of the program's half.
    unsafe { write_msr(MSR_FS_BASE, address) };
}

/// `AT_HWCAP` and `AT_HWCAP2` of the auxiliary vector. The second does not announce the instructions that set
/// `fs` and `gs`, although `fs` works: a program that wrote `gs` would take the kernel's ground away.
pub fn hardware_capabilities() -> (u64, u64) {
    (u64::from(cpuid(1, 0).edx), 0)
}

/// The frame pointer of the caller.
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let frame;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    frame
}

/// The saved frame pointer and the return address of a stack frame, if the frame lies on a kernel stack.
pub fn read_stack_frame(frame: u64) -> Option<(u64, u64)> {
    let stacks = [kernel_stack(), super::paging::boot_stack()];
    let inside = |&(bottom, top): &(u64, u64)| bottom <= frame && frame.checked_add(16).is_some_and(|end| end <= top);
    if !frame.is_multiple_of(8) || !(stacks.iter().any(inside) || super::descriptors::on_interrupt_stack(frame)) {
        return None;
    }
    // SAFETY: the frame lies wholly on a mapped kernel stack; only two words are read.
    unsafe { Some(((frame as *const u64).read(), (frame as *const u64).add(1).read())) }
}

/// The registers with which the program last entered the kernel, for a panic: the first frame on the thread's
/// kernel stack. `None` if there is none.
pub fn last_program_registers() -> Option<super::traps::Registers> {
    let (bottom, top) = kernel_stack();
    let frame = top.checked_sub(size_of::<super::traps::Registers>() as u64)?;
    if this_cpu().current.load(Ordering::Acquire).is_null() || frame < bottom {
        return None;
    }
    // SAFETY: the range lies on the mapped kernel stack of the current thread; any bytes are valid registers.
    let registers = unsafe { (frame as *const super::traps::Registers).read() };
    registers.is_program().then_some(registers)
}
