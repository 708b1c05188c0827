//! One processor: its local data (through `gs`), its features, its control registers, vector state.

use core::any::{Any, TypeId};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use alloc::sync::Arc;

use super::instructions::{cpuid, read_msr, write_msr};

const MSR_EFER: u32 = 0xc000_0080;
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_FMASK: u32 = 0xc000_0084;
const MSR_FS_BASE: u32 = 0xc000_0100;
const MSR_GS_BASE: u32 = 0xc000_0101;

/// What the kernel keeps per processor. The first four fields are used by `traps.s`.
#[repr(C)]
struct PerCpu {
    own_address: AtomicU64,
    kernel_stack_top: AtomicU64,
    kernel_stack_limit: AtomicU64,
    program_stack: AtomicU64,
    current: AtomicUsize,
    current_kind: spin::Once<TypeId>,
}

static BOOT_CPU: PerCpu = PerCpu {
    own_address: AtomicU64::new(0),
    kernel_stack_top: AtomicU64::new(0),
    kernel_stack_limit: AtomicU64::new(0),
    program_stack: AtomicU64::new(0),
    current: AtomicUsize::new(0),
    current_kind: spin::Once::new(),
};

static XSAVE: AtomicBool = AtomicBool::new(false);
static VECTOR_STATE_SIZE: AtomicU32 = AtomicU32::new(512);
static XSAVE_FEATURES: AtomicU64 = AtomicU64::new(0);

/// Room that a trap needs below the interrupted kernel stack pointer, in bytes.
const TRAP_ROOM: u64 = 2048;

unsafe extern "C" {
    fn system_call_entry();
}

/// Sets the boot processor up: local data, system call entry, vector unit.
///
/// # Safety
/// Only the boot processor runs, it calls this once, and `stack` is the stack it runs on (bottom, top).
pub unsafe fn initialise(stack: (u64, u64)) {
    BOOT_CPU
        .own_address
        .store(&raw const BOOT_CPU as u64, Ordering::Relaxed);
    set_kernel_stack(stack.0, stack.1);
    // SAFETY: these registers exist on every x86-64 processor. `gs` points to a static; STAR selects the
    // descriptors that `descriptors::load` made; LSTAR is the entry for exactly this mechanism.
    unsafe {
        write_msr(MSR_GS_BASE, &raw const BOOT_CPU as u64);
        write_msr(MSR_EFER, read_msr(MSR_EFER) | 1);
        write_msr(MSR_STAR, 8u64 << 32);
        write_msr(MSR_LSTAR, system_call_entry as *const () as u64);
        // Interrupt, direction, trap, nested task and alignment check flags are cleared on entry.
        write_msr(MSR_FMASK, 0x4_4700);
    }

    let features = cpuid(1, 0);
    let extended = if cpuid(0, 0).eax >= 7 { cpuid(7, 0).ebx } else { 0 };
    let mut control: u64;
    // SAFETY: reads CR4.
    unsafe { asm!("mov {}, cr4", out(reg) control, options(nomem, nostack)) };
    control |= 1 << 9 | 1 << 10 | 1 << 7; // FXSAVE, SIMD exceptions, global pages
    if extended & 1 != 0 {
        control |= 1 << 16; // rdfsbase and friends
    }
    let has_xsave = features.ecx & 1 << 26 != 0;
    if has_xsave {
        control |= 1 << 18;
    }
    // SAFETY: each bit is set only where CPUID announces the feature.
    unsafe { asm!("mov cr4, {}", in(reg) control, options(nostack)) };
    if has_xsave {
        let supported = cpuid(13, 0);
        // x87, SSE, AVX and AVX-512 state, as far as the processor has them.
        let wanted = (u64::from(supported.edx) << 32 | u64::from(supported.eax)) & 0xe7;
        // SAFETY: CR4.OSXSAVE is set and `wanted` is a subset of the supported features with x87 in it.
        unsafe {
            asm!("xsetbv", in("ecx") 0, in("eax") wanted as u32, in("edx") (wanted >> 32) as u32,
                 options(nostack));
        }
        XSAVE.store(true, Ordering::Relaxed);
        XSAVE_FEATURES.store(wanted, Ordering::Relaxed);
        VECTOR_STATE_SIZE.store(cpuid(13, 0).ebx, Ordering::Relaxed);
    }
    reset_vector_state();
}

/// Names the stack on which the next trap from the program starts.
pub fn set_kernel_stack(bottom: u64, top: u64) {
    BOOT_CPU.kernel_stack_top.store(top, Ordering::Relaxed);
    BOOT_CPU.kernel_stack_limit.store(bottom + TRAP_ROOM, Ordering::Relaxed);
}

/// The kernel stack in use: its lowest usable address and its top.
pub fn kernel_stack() -> (u64, u64) {
    (
        BOOT_CPU
            .kernel_stack_limit
            .load(Ordering::Relaxed)
            .saturating_sub(TRAP_ROOM),
        BOOT_CPU.kernel_stack_top.load(Ordering::Relaxed),
    )
}

/// Makes `object` (the thread) current on this processor. All calls must use one type.
pub fn set_current<T: Any + Send + Sync>(object: Arc<T>) {
    BOOT_CPU.current_kind.call_once(TypeId::of::<T>);
    assert!(
        BOOT_CPU.current_kind.get() == Some(&TypeId::of::<T>()),
        "current() has one type"
    );
    // Threads are few and the reference must outlive every borrow from `current`: it is never given back.
    let pointer = Arc::into_raw(object);
    BOOT_CPU.current.store(pointer as usize, Ordering::Release);
}

/// The object last given to [`set_current`], if any.
#[inline]
pub fn current<T: Any + Send + Sync>() -> Option<&'static T> {
    if BOOT_CPU.current_kind.get() != Some(&TypeId::of::<T>()) {
        return None;
    }
    let pointer = BOOT_CPU.current.load(Ordering::Acquire) as *const T;
    // SAFETY: the pointer came from `Arc::into_raw` of a `T` (the type identity was compared) whose
    // reference is never given back, so the object lives for ever.
    unsafe { pointer.as_ref() }
}

/// The program's thread pointer (`fs` base).
pub fn thread_pointer() -> u64 {
    // SAFETY: the register exists on every x86-64 processor.
    unsafe { read_msr(MSR_FS_BASE) }
}

/// Sets the program's thread pointer (`fs` base).
pub fn set_thread_pointer(address: u64) {
    debug_assert!(address < super::layout::PROGRAM_END);
    // SAFETY: the kernel never uses `fs`; the value is a canonical address of the program's half.
    unsafe { write_msr(MSR_FS_BASE, address) };
}

/// `AT_HWCAP` and `AT_HWCAP2` of the auxiliary vector. The second does not announce the instructions that set
/// `fs` and `gs`, although `fs` works: a program that wrote `gs` would take the kernel's ground away.
pub fn hardware_capabilities() -> (u64, u64) {
    (u64::from(cpuid(1, 0).edx), 0)
}

/// Bytes that [`save_vector_state`] needs.
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

    /// Stores the processor's vector state here.
    pub fn save(&mut self) {
        assert!(
            vector_state_size() <= Self::CAPACITY,
            "vector state larger than foreseen"
        );
        let pointer = self.bytes.as_mut_ptr();
        // SAFETY: the buffer is aligned to 64 bytes and at least as large as CPUID asks for.
        unsafe {
            if XSAVE.load(Ordering::Relaxed) {
                // The header must be zero where XSAVE does not write it.
                core::ptr::write_bytes(pointer.add(512), 0, 64);
                asm!("xsave64 [{}]", in(reg) pointer, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
            } else {
                asm!("fxsave64 [{}]", in(reg) pointer, options(nostack));
            }
        }
    }

    /// Loads the processor's vector state from here. Bits that the processor would refuse are cleared first,
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
        let pointer = self.bytes.as_ptr();
        // SAFETY: buffer as in `save`; reserved bits of MXCSR and of the header were cleared above, so the
        // instruction can't fault.
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
    if BOOT_CPU.current.load(Ordering::Acquire) == 0 || frame < bottom {
        return None;
    }
    // SAFETY: the range lies on the mapped kernel stack of the current thread; any bytes are valid registers.
    let registers = unsafe { (frame as *const super::traps::Registers).read() };
    registers.is_program().then_some(registers)
}

/// Most processors that are used.
pub const MAXIMUM_CPUS: usize = 64;

/// Number of the processor that asks.
#[inline]
pub fn cpu_index() -> usize {
    0
}
