//! Vector registers: x87, SSE, AVX, AVX-512.
//!
//! The kernel never uses them, so they hold the program's values throughout. They are switched only with threads, and
//! only for threads that use them: after a switch the first use traps ([`first_use`]) and loads them, unless the
//! registers of this processor still hold what the thread had left there. A thread that uses them all the time is
//! loaded at once instead. When a thread leaves, what it used is stored ([`leave`]), so that it can go on anywhere.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::context::Context;
use super::cpu::{cpu_index, this_cpu};
use super::instructions::cpuid;

static XSAVE: AtomicBool = AtomicBool::new(false);
static XSAVEOPT: AtomicBool = AtomicBool::new(false);
static VECTOR_STATE_SIZE: AtomicU32 = AtomicU32::new(512);
static XSAVE_FEATURES: AtomicU64 = AtomicU64::new(0);

/// After so many slices with vector registers a thread gets them without asking; the count wraps at 256, and then it
/// has to ask again.
const EAGER_AFTER: u8 = 5;

/// Sets the vector unit of this processor up.
pub(super) fn initialise(has_xsave: bool) {
    if has_xsave {
        let supported = cpuid(13, 0);
        // x87, SSE, AVX and AVX-512 state, as far as the processor has them.
        let wanted = (u64::from(supported.edx) << 32 | u64::from(supported.eax)) & 0xe7;
        // SAFETY: CR4.OSXSAVE is set and `wanted` is a subset of the supported features with x87 in it.
        unsafe {
            asm!("xsetbv", in("ecx") 0, in("eax") wanted as u32, in("edx") (wanted >> 32) as u32,
                 options(nostack));
        }
        XSAVE_FEATURES.store(wanted, Ordering::Relaxed);
        VECTOR_STATE_SIZE.store(cpuid(13, 0).ebx, Ordering::Relaxed);
        XSAVEOPT.store(cpuid(13, 1).eax & 1 != 0, Ordering::Relaxed);
        XSAVE.store(true, Ordering::Relaxed);
    }
    load_initial();
}

/// The part of a context that holds vector registers.
pub(super) struct VectorArea {
    state: UnsafeCell<Box<[VectorState]>>,
    /// The processor whose registers hold the same as `state`.
    cpu: AtomicUsize,
    /// Slices in which they were used, modulo 256.
    uses: AtomicU8,
}

impl VectorArea {
    /// Registers as a new program finds them. `None` without memory.
    pub(super) fn new() -> Option<Self> {
        let mut state = Vec::new();
        state.try_reserve_exact(1).ok()?;
        state.push(VectorState::initial());
        Some(Self {
            state: UnsafeCell::new(state.into_boxed_slice()),
            cpu: AtomicUsize::new(usize::MAX),
            uses: AtomicU8::new(0),
        })
    }

    /// # Safety
    /// Nobody else uses the state meanwhile: the context is the current one, or one that has not run yet, and
    /// interrupts are off or the kernel does not give the processor up.
    #[expect(clippy::mut_from_ref, reason = "the caller vouches for exclusive access")]
    unsafe fn state(&self) -> &mut VectorState {
        // SAFETY: the caller's promise.
        unsafe { &mut (&mut *self.state.get())[0] }
    }
}

const TASK_SWITCHED: u64 = 1 << 3;

fn control() -> u64 {
    let value;
    // SAFETY: reads CR0.
    unsafe { asm!("mov {}, cr0", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Whether the registers may be used, so that they may have changed.
fn are_live() -> bool {
    control() & TASK_SWITCHED == 0
}

fn allow() {
    // SAFETY: lets vector instructions work.
    unsafe { asm!("clts", options(nostack, preserves_flags)) };
}

fn forbid() {
    let value = control();
    if value & TASK_SWITCHED == 0 {
        // SAFETY: vector instructions trap from now on, which `first_use` expects.
        unsafe { asm!("mov cr0, {}", in(reg) value | TASK_SWITCHED, options(nostack, preserves_flags)) };
    }
}

/// The current thread leaves this processor: stores what it used.
pub(super) fn leave(context: &Context) {
    if !are_live() {
        context.vectors.uses.store(0, Ordering::Relaxed);
        return;
    }
    let area = &context.vectors;
    // SAFETY: the context is the current one, and interrupts are off. Nothing but this function and `load_registers` has
    // changed the area since registers were last loaded from it.
    unsafe { area.state().store_changed_registers() };
    area.uses
        .store(area.uses.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    area.cpu.store(cpu_index(), Ordering::Relaxed);
    this_cpu()
        .vector_owner
        .store(core::ptr::from_ref(context).cast_mut(), Ordering::Relaxed);
}

/// A thread comes to this processor.
pub(super) fn enter(context: &Context) {
    if context.vectors.uses.load(Ordering::Relaxed) > EAGER_AFTER {
        allow();
        load(context);
    } else {
        forbid();
    }
}

/// Loads a thread's registers, unless they are still there. They are allowed.
fn load(context: &Context) {
    let cpu = this_cpu();
    let own = core::ptr::from_ref(context).cast_mut();
    let index = cpu_index();
    let area = &context.vectors;
    if cpu.vector_owner.load(Ordering::Relaxed) != own || area.cpu.load(Ordering::Relaxed) != index {
        // SAFETY: the context is the current one (or about to be), and nobody else touches its state.
        unsafe { area.state().load_registers() };
        cpu.vector_owner.store(own, Ordering::Relaxed);
        area.cpu.store(index, Ordering::Relaxed);
    }
}

/// The current thread uses vector registers for the first time since it came here (exception 7), or the kernel wants
/// to look at them.
pub(super) fn first_use() {
    if are_live() {
        return;
    }
    allow();
    // SAFETY: the pointer is null or that of the current thread's context, which lives while it runs.
    if let Some(context) = unsafe { this_cpu().context.load(Ordering::Relaxed).as_ref() } {
        load(context);
    }
}

/// The code that runs becomes a thread's: so do the registers.
pub(super) fn adopt(context: &Context) {
    context.vectors.cpu.store(cpu_index(), Ordering::Relaxed);
    this_cpu()
        .vector_owner
        .store(core::ptr::from_ref(context).cast_mut(), Ordering::Relaxed);
}

/// Gives a context that has not run yet the registers of the current thread.
pub(super) fn copy_current(to: &Context) {
    // SAFETY: nobody else knows the new context's state yet; that of the current thread is only read, and the kernel
    // does not give the processor up meanwhile.
    unsafe {
        let state = to.vectors.state();
        if are_live() {
            state.store_registers();
        } else if let Some(current) = this_cpu().context.load(Ordering::Relaxed).as_ref() {
            *state = current.vectors.state().clone();
        }
    }
}

/// Bytes that a saved state needs.
pub fn vector_state_size() -> usize {
    VECTOR_STATE_SIZE.load(Ordering::Relaxed) as usize
}

/// The XSAVE features in use, or `None` where only FXSAVE exists.
pub fn vector_features() -> Option<u64> {
    XSAVE
        .load(Ordering::Relaxed)
        .then(|| XSAVE_FEATURES.load(Ordering::Relaxed))
}

/// A buffer with the alignment that XSAVE asks for.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct VectorState {
    bytes: [u8; Self::CAPACITY],
}

impl VectorState {
    /// Enough for x87, SSE, AVX and AVX-512.
    pub const CAPACITY: usize = 2752;

    /// What a new program finds.
    const fn initial() -> Self {
        let mut bytes = [0; Self::CAPACITY];
        bytes[0] = 0x7f; // x87 control word: all exceptions masked, extended precision
        bytes[1] = 0x03;
        bytes[24] = 0x80; // MXCSR: all exceptions masked
        bytes[25] = 0x1f;
        Self { bytes }
    }

    /// A zeroed buffer, on the heap.
    pub fn new() -> alloc::boxed::Box<Self> {
        alloc::boxed::Box::new(Self {
            bytes: [0; Self::CAPACITY],
        })
    }

    /// The saved bytes, in the layout of XSAVE (standard form) or FXSAVE.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..vector_state_size()]
    }

    /// The saved bytes, to be replaced before a restore.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..vector_state_size()]
    }

    /// Stores the current thread's vector state here.
    pub fn save(&mut self) {
        first_use();
        // The header must be zero where XSAVE does not write it.
        self.bytes[512..576].fill(0);
        self.store_registers();
    }

    /// Stores this processor's registers here; they are allowed. Where a state was stored before, or an initial one is,
    /// what XSAVE leaves out has a meaning by its header.
    fn store_registers(&mut self) {
        assert!(
            vector_state_size() <= Self::CAPACITY,
            "vector state larger than foreseen"
        );
        let pointer = self.bytes.as_mut_ptr();
        // SAFETY: the buffer is aligned to 64 bytes and at least as large as CPUID asks for.
        unsafe {
            if XSAVE.load(Ordering::Relaxed) {
                asm!("xsave64 [{}]", in(reg) pointer, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
            } else {
                asm!("fxsave64 [{}]", in(reg) pointer, options(nostack));
            }
        }
    }

    /// The same, but it may leave out what has not changed since registers were loaded from this address. The processor
    /// knows the address only (Intel SDM volume 1, 13.9): a buffer on the heap may lie where another one was.
    ///
    /// # Safety
    /// The bytes are those that registers were last loaded from at this address, on this processor, or that were stored since.
    unsafe fn store_changed_registers(&mut self) {
        if !XSAVEOPT.load(Ordering::Relaxed) {
            return self.store_registers();
        }
        let pointer = self.bytes.as_mut_ptr();
        // SAFETY: as above; the processor has shown the instruction. What it leaves out is there already (the caller's promise).
        unsafe { asm!("xsaveopt64 [{}]", in(reg) pointer, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack)) };
    }

    /// Loads the current thread's vector state from here. Bits that the processor would refuse are cleared first,
    /// since the bytes may come from a program.
    pub fn restore(&mut self) {
        let allowed = mxcsr_mask();
        let mxcsr = u32::from_le_bytes([self.bytes[24], self.bytes[25], self.bytes[26], self.bytes[27]]) & allowed;
        self.bytes[24..28].copy_from_slice(&mxcsr.to_le_bytes());
        if let Some(features) = vector_features() {
            let mut present = [0; 8];
            present.copy_from_slice(&self.bytes[512..520]);
            let present = u64::from_le_bytes(present) & features;
            self.bytes[512..520].copy_from_slice(&present.to_le_bytes());
            self.bytes[520..576].fill(0); // standard form, reserved bytes zero
        }
        first_use();
        // SAFETY: the reserved bits of MXCSR and of the header were cleared above.
        unsafe { self.load_registers() };
    }

    /// Loads this processor's registers from here; they are allowed.
    ///
    /// # Safety
    /// The bytes are a state that the processor accepts: stored by it, or checked by [`Self::restore`].
    unsafe fn load_registers(&self) {
        let pointer = self.bytes.as_ptr();
        // SAFETY: the buffer is aligned and large enough, and the processor accepts its content (the caller's promise),
        // so the instruction can't fault.
        unsafe {
            if XSAVE.load(Ordering::Relaxed) {
                asm!("xrstor64 [{}]", in(reg) pointer, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
            } else {
                asm!("fxrstor64 [{}]", in(reg) pointer, options(nostack));
            }
        }
    }
}

fn mxcsr_mask() -> u32 {
    first_use();
    static MASK: spin::Once<u32> = spin::Once::new();
    *MASK.call_once(|| {
        #[repr(C, align(64))]
        struct Area([u8; 512]);
        let mut area = Area([0; 512]);
        // SAFETY: 512 bytes, aligned.
        unsafe { asm!("fxsave64 [{}]", in(reg) area.0.as_mut_ptr(), options(nostack)) };
        match u32::from_le_bytes([area.0[28], area.0[29], area.0[30], area.0[31]]) {
            0 => 0xffbf,
            mask => mask,
        }
    })
}

/// Gives the vector registers the values that a new program finds: zero, all exceptions masked.
pub fn reset_vector_state() {
    first_use();
    load_initial();
}

fn load_initial() {
    static INITIAL: VectorState = VectorState::initial();
    let pointer = INITIAL.bytes.as_ptr();
    // SAFETY: the area is aligned and large enough, its header says that every component is in its initial
    // state, and MXCSR has its architectural default: the instructions can't fault.
    unsafe {
        asm!("fninit", options(nostack));
        if XSAVE.load(Ordering::Relaxed) {
            asm!("xrstor64 [{}]", in(reg) pointer, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
        } else {
            asm!("fxrstor64 [{}]", in(reg) pointer, options(nostack));
        }
    }
}
