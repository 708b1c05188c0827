//! Traps: from the stubs in `traps.s` to the handlers that the floors above install.
//!
//! This floor knows what the processor did; what it means is decided above, by [`Handlers`].

use core::arch::global_asm;
use spin::Once;

use super::cpu::this_cpu;
use super::instructions::{disable_interrupts, enable_interrupts, read_cr2};
use super::layout::PROGRAM_END;

global_asm!(include_str!("traps.s"));

/// The registers of an interrupted program or kernel function, as `traps.s` stores them.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[allow(missing_docs, reason = "the fields are the processor's register names")]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// The vector of a trap; the number of a system call.
    pub vector: u64,
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Where the upper half of the canonical addresses begins, which is the kernel's.
const KERNEL_HALF: u64 = 0xffff_8000_0000_0000;

impl Registers {
    /// Registers with which a program starts: flags clear but for interrupts, everything else zero.
    pub fn for_program(instruction: u64, stack: u64) -> Self {
        Self {
            rip: instruction,
            rsp: stack,
            cs: u64::from(super::descriptors::CODE_SELECTOR),
            ss: u64::from(super::descriptors::DATA_SELECTOR),
            rflags: 0x202,
            ..Self::default()
        }
    }

    /// Whether the program was interrupted, and not the kernel. A program may have jumped anywhere, but then
    /// its stack is still its own, or no stack at all: what is not canonical is below the kernel's half too. (The kernel runs on the program's stack only for the first and the last
    /// instruction of a system call, with interrupts off.)
    pub fn is_program(&self) -> bool {
        self.rip < KERNEL_HALF || self.rsp < KERNEL_HALF
    }

    /// The six arguments of a system call.
    #[inline]
    pub fn call_arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// Makes registers that come from a program's memory (a signal frame) safe to return to: kernel
    /// selectors, interrupts on, no I/O privilege games.
    pub fn sanitise(&mut self) {
        self.cs = u64::from(super::descriptors::CODE_SELECTOR);
        self.ss = u64::from(super::descriptors::DATA_SELECTOR);
        // Carry, parity, adjust, zero, sign, trap, direction, overflow, alignment check, identification.
        self.rflags = self.rflags & 0x24_0dd5 | 0x202;
    }
}

/// How memory was accessed when a page fault arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Data was read.
    Read,
    /// Data was written.
    Write,
    /// An instruction was fetched.
    Execute,
}

/// A page fault in the program's half of the address space.
#[derive(Clone, Copy, Debug)]
pub struct PageFault {
    /// The address that was accessed.
    pub address: u64,
    /// How.
    pub access: Access,
    /// The program did it itself, not the kernel for it.
    pub by_program: bool,
    /// Interrupts are on: whoever repairs it may sleep, as far as locks allow.
    pub may_sleep: bool,
}

/// An exception that the program caused and that is not a page fault that could be repaired.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// Vector, 0–31.
    pub vector: u64,
    /// Error code, 0 where the vector has none.
    pub error_code: u64,
    /// For page faults, the address.
    pub fault: Option<PageFault>,
}

/// What the floors above do about traps.
pub struct Handlers {
    /// Repairs a page fault in the program's half (demand paging, copy-on-write, stack growth). False if
    /// that is not possible: then [`Handlers::exception`] follows, or the kernel's copy ends early.
    pub page_fault: fn(PageFault) -> bool,
    /// The program caused an exception: make it a signal.
    pub exception: fn(&mut Registers, Exception),
    /// A device asks for attention. Runs with interrupts off and must not sleep.
    pub interrupt: fn(vector: u8, in_program: bool),
    /// A system call. Interrupts are on. True if the registers were replaced as a whole.
    pub system_call: fn(&mut Registers) -> bool,
    /// Work before the program goes on: signals. Called with interrupts off, again and again until it
    /// returns false; it may turn them on meanwhile.
    pub before_return: fn(&mut Registers) -> bool,
    /// A trap that nothing can repair: a defect of the kernel. Must not return.
    pub fatal: fn(&Registers, &'static str) -> !,
}

static HANDLERS: Once<Handlers> = Once::new();

/// Installs the handlers; once, at boot.
pub fn install_handlers(handlers: Handlers) {
    HANDLERS.call_once(|| handlers);
}

unsafe extern "C" {
    static __exception_table_start: [u64; 2];
    static __exception_table_end: [u64; 2];
    fn enter_program(registers: *const Registers) -> !;
}

/// Where a fault at this kernel instruction continues, if it is one that may fault.
fn recovery_address(instruction: u64) -> Option<u64> {
    let start = &raw const __exception_table_start;
    let end = &raw const __exception_table_end;
    // SAFETY: both symbols delimit one array of pairs in read-only data, made by `traps.s` and linker.ld.
    let table = unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) };
    table.iter().find(|entry| entry[0] == instruction).map(|entry| entry[1])
}

/// The flag with which interrupts come.
const INTERRUPTS_ON: u64 = 0x200;

/// All flags but carry, parity, adjust, zero, sign, interrupt and overflow (and the bit that is always set).
const UNUSUAL_FLAGS: u64 = !0xad7;

const NAMES: [&str; 32] = [
    "division error",
    "debug exception",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid instruction",
    "device not available",
    "double fault",
    "coprocessor segment overrun",
    "invalid task state",
    "segment not present",
    "stack fault",
    "general protection",
    "page fault",
    "reserved exception",
    "x87 error",
    "alignment check",
    "machine check",
    "SIMD error",
    "virtualisation exception",
    "control protection",
    "reserved exception",
    "reserved exception",
    "reserved exception",
    "reserved exception",
    "reserved exception",
    "reserved exception",
    "hypervisor injection",
    "VMM communication",
    "security exception",
    "reserved exception",
];

/// The vector by which another processor asks this one to look for work.
pub const RESCHEDULE_VECTOR: u8 = 0xfd;
/// The vector by which another processor asks this one to forget translations.
pub const SHOOTDOWN_VECTOR: u8 = 0xfc;
const NON_MASKABLE: u64 = 2;
const DEVICE_NOT_AVAILABLE: u64 = 7;

/// The vector of 32-bit system calls; never given to a device.
pub const LEGACY_SYSTEM_CALL: u8 = 0x80;

/// A general protection fault that no segment is the cause of.
const GENERAL_PROTECTION: Exception = Exception {
    vector: 13,
    error_code: 0,
    fault: None,
};

#[unsafe(no_mangle)]
extern "C" fn trap_entry(registers: &mut Registers) {
    let Some(handlers) = HANDLERS.get() else {
        super::serial::print_early(format_args!("trap before the kernel was ready: {registers:#x?}\n"));
        super::instructions::halt_forever();
    };
    let vector = registers.vector;
    if vector == DEVICE_NOT_AVAILABLE {
        // Interrupts are off, and nothing else is due.
        super::vector_state::first_use();
        return;
    }
    if vector == NON_MASKABLE && super::smp::is_stopping() {
        super::instructions::halt_forever();
    }
    let from_program = registers.is_program();
    if from_program {
        // It may have switched them off by `cli`: what is done for it may have to wait.
        registers.rflags |= INTERRUPTS_ON;
    }
    // `sysret` has brought it to ring 3, where nothing is mapped; there it would have been a general protection fault itself.
    let left_ring = from_program && registers.cs != u64::from(super::descriptors::CODE_SELECTOR);
    if vector == u64::from(SHOOTDOWN_VECTOR) {
        super::apic::end_of_interrupt();
        super::shootdown::interrupted();
    } else if vector == u64::from(LEGACY_SYSTEM_CALL) && from_program {
        // `int 0x80`: on a Linux without 32-bit programs a general protection fault.
        registers.rip -= 2;
        let error_code = 0x80 << 3 | 2;
        (handlers.exception)(
            registers,
            Exception {
                error_code,
                ..GENERAL_PROTECTION
            },
        );
    } else if vector >= 32 {
        (handlers.interrupt)(vector as u8, from_program);
    } else if !left_ring {
        exception(handlers, registers, vector, from_program);
    }
    if left_ring {
        registers.sanitise();
        enable_interrupts();
        (handlers.exception)(registers, GENERAL_PROTECTION);
    }
    disable_interrupts();
    if from_program {
        finish(handlers, registers);
    }
}

fn exception(handlers: &Handlers, registers: &mut Registers, vector: u64, from_program: bool) {
    let on_thread_stack = !super::descriptors::on_interrupt_stack(&raw const *registers as u64);
    let fault = (vector == 14).then(|| PageFault {
        address: read_cr2(),
        access: match registers.error_code {
            code if code & 16 != 0 => Access::Execute,
            code if code & 2 != 0 => Access::Write,
            _ => Access::Read,
        },
        by_program: from_program,
        may_sleep: registers.rflags & INTERRUPTS_ON != 0,
    });
    if !on_thread_stack {
        let name = match fault {
            Some(_) => "kernel stack overflow",
            None => NAMES[vector as usize & 31],
        };
        (handlers.fatal)(registers, name);
    }
    if registers.rflags & INTERRUPTS_ON != 0 {
        enable_interrupts();
    }
    if let Some(fault) = fault
        && fault.address < PROGRAM_END
    {
        let may_repair = from_program || recovery_address(registers.rip).is_some();
        if may_repair && (handlers.page_fault)(fault) {
            return;
        }
    }
    if from_program {
        (handlers.exception)(
            registers,
            Exception {
                vector,
                error_code: registers.error_code,
                fault,
            },
        );
    } else if let (Some(address), 13 | 14) = (recovery_address(registers.rip), vector) {
        // General protection: the program gave an address that is not canonical.
        registers.rip = address;
    } else {
        (handlers.fatal)(registers, NAMES[vector as usize & 31]);
    }
}

/// Everything that is due before the program goes on. Returns with interrupts off.
fn finish(handlers: &Handlers, registers: &mut Registers) -> bool {
    let mut replaced = false;
    while (handlers.before_return)(registers) {
        replaced = true;
        disable_interrupts();
    }
    replaced
}

/// Everything that is due before a new thread's program starts. Returns with interrupts off.
pub(super) fn before_program(registers: &mut Registers) {
    disable_interrupts();
    if let Some(handlers) = HANDLERS.get() {
        finish(handlers, registers);
    }
}

#[unsafe(no_mangle)]
extern "C" fn system_call_dispatch(registers: &mut Registers) -> bool {
    // Only a program executes `syscall`, and there is none before the handlers are installed.
    let Some(handlers) = HANDLERS.get() else {
        super::instructions::halt_forever()
    };
    let remembered = this_cpu().calls.remember(registers);
    enable_interrupts();
    let replaced = (handlers.system_call)(registers);
    disable_interrupts();
    remembered.returned(if replaced { 0 } else { registers.rax });
    // The fast way out restores the arithmetic flags only. Above all, a program that single-steps itself must
    // not be trapped on the way: `iretq` restores the trap flag and the instruction pointer at once.
    finish(handlers, registers) || replaced || registers.rflags & UNUSUAL_FLAGS != 0
}

/// Starts the program with these registers, abandoning the kernel stack in use.
pub fn start_program(registers: &Registers) -> ! {
    disable_interrupts();
    // SAFETY: `registers` is a complete frame with sane selectors; `iretq` loads all of it. Nothing on the
    // abandoned stack is needed again: the next trap starts at its top.
    unsafe { enter_program(registers) }
}
