//! Segments, the task state with its interrupt stacks, and the interrupt descriptor table.
//!
//! Source: Intel SDM volume 3, chapters 3, 6 and 7.

use core::arch::asm;
use core::ptr::addr_of;

/// Code segment of kernel and program: the privilege of the program is decided here, by
/// [`DATA_SELECTOR`], and by the return path in `traps.s`.
pub const CODE_SELECTOR: u16 = 8;
/// Data and stack segment of kernel and program.
pub const DATA_SELECTOR: u16 = 16;
const TASK_SELECTOR: u16 = 24;

const INTERRUPT_STACK_SIZE: usize = 8192;

/// A stack with a page below it that is taken out of the map.
#[repr(C, align(4096))]
struct GuardedStack {
    guard: [u8; 4096],
    stack: [u8; INTERRUPT_STACK_SIZE],
}

/// Interrupt stacks of one CPU. Ordinary vectors leave theirs at once; the critical ones stay.
#[repr(C, align(4096))]
struct InterruptStacks([GuardedStack; 4]);

#[repr(C, packed(4))]
struct TaskState {
    reserved_0: u32,
    privileged_stacks: [u64; 3],
    reserved_1: u64,
    interrupt_stacks: [u64; 7],
    reserved_2: u64,
    reserved_3: u16,
    permission_map: u16,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    offset_low: u16,
    selector: u16,
    stack: u8,
    kind: u8,
    offset_middle: u16,
    offset_high: u32,
    reserved: u32,
}

#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u64,
}

static mut STACKS: InterruptStacks = InterruptStacks(
    [const {
        GuardedStack {
            guard: [0; 4096],
            stack: [0; INTERRUPT_STACK_SIZE],
        }
    }; 4],
);
static mut TASK_STATE: TaskState = TaskState {
    reserved_0: 0,
    privileged_stacks: [0; 3],
    reserved_1: 0,
    interrupt_stacks: [0; 7],
    reserved_2: 0,
    reserved_3: 0,
    permission_map: size_of::<TaskState>() as u16,
};
static mut DESCRIPTORS: [u64; 5] = [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0, 0];
static mut GATES: [Gate; 256] = [Gate {
    offset_low: 0,
    selector: 0,
    stack: 0,
    kind: 0,
    offset_middle: 0,
    offset_high: 0,
    reserved: 0,
}; 256];

unsafe extern "C" {
    static trap_stubs: u8;
}

/// Loads the boot processor's tables. Called once, before interrupts are enabled.
///
/// # Safety
/// Only the boot processor runs, and it calls this once.
pub unsafe fn load() {
    // SAFETY: nobody else touches the tables (the caller's promise), and they are static, so the addresses
    // given to the processor stay valid for ever. `trap_stubs` holds 256 stubs of 16 bytes.
    unsafe {
        let stacks = addr_of!(STACKS) as u64;
        for (index, stack) in [1u64, 2, 3, 4].into_iter().enumerate() {
            // A packed structure: written through a raw pointer, never by reference.
            (&raw mut TASK_STATE.interrupt_stacks)
                .cast::<u64>()
                .add(index)
                .write_unaligned(stacks + stack * size_of::<GuardedStack>() as u64);
        }
        let base = addr_of!(TASK_STATE) as u64;
        let limit = size_of::<TaskState>() as u64 - 1;
        (&raw mut DESCRIPTORS)
            .cast::<u64>()
            .add(3)
            .write(limit & 0xffff | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56);
        (&raw mut DESCRIPTORS).cast::<u64>().add(4).write(base >> 32);
        for vector in 0..256usize {
            let stub = addr_of!(trap_stubs) as u64 + vector as u64 * 16;
            let stack = match vector {
                2 => 2,
                8 => 3,
                18 => 4,
                _ => 1,
            };
            (&raw mut GATES).cast::<Gate>().add(vector).write(Gate {
                offset_low: stub as u16,
                selector: CODE_SELECTOR,
                stack,
                kind: 0x8e,
                offset_middle: (stub >> 16) as u16,
                offset_high: (stub >> 32) as u32,
                reserved: 0,
            });
        }
        let descriptors = TablePointer {
            limit: size_of::<[u64; 5]>() as u16 - 1,
            base: addr_of!(DESCRIPTORS) as u64,
        };
        let gates = TablePointer {
            limit: size_of::<[Gate; 256]>() as u16 - 1,
            base: addr_of!(GATES) as u64,
        };
        asm!(
            "lgdt [{descriptors}]",
            "lidt [{gates}]",
            "push {code}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2:",
            "mov ss, {data:x}",
            "ltr {task:x}",
            descriptors = in(reg) &descriptors,
            gates = in(reg) &gates,
            code = in(reg) u64::from(CODE_SELECTOR),
            data = in(reg) DATA_SELECTOR,
            task = in(reg) TASK_SELECTOR,
            scratch = out(reg) _,
        );
    }
}

/// Whether an address lies on one of the interrupt stacks.
pub fn on_interrupt_stack(address: u64) -> bool {
    let start = addr_of!(STACKS) as u64;
    (start..=start + size_of::<InterruptStacks>() as u64).contains(&address)
}

/// Addresses of the pages that guard the interrupt stacks.
pub fn guard_pages() -> [u64; 4] {
    let start = addr_of!(STACKS) as u64;
    [0, 1, 2, 3].map(|stack| start + stack * size_of::<GuardedStack>() as u64)
}
