//! Segments, the task state with its interrupt stacks, and the interrupt descriptor table.
//!
//! Source: Intel SDM volume 3, chapters 3, 6 and 7.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::ptr::addr_of;

use alloc::boxed::Box;

/// Code segment of kernel and program: the privilege of the program is decided here, by
/// [`DATA_SELECTOR`], and by the return path in `traps.s`.
pub const CODE_SELECTOR: u16 = 8;
/// Data and stack segment of kernel and program.
pub const DATA_SELECTOR: u16 = 16;
const TASK_SELECTOR: u16 = 24;

/// Where the number of the processor is told to programs: the limit of this segment, read by `lsl`, as on Linux.
const NUMBER_INDEX: usize = 15;

const INTERRUPT_STACK_SIZE: usize = 8192;
const INTERRUPT_STACKS: usize = 4;

/// A stack with a page below it that is taken out of the map.
#[repr(C, align(4096))]
struct GuardedStack {
    guard: [u8; 4096],
    stack: [u8; INTERRUPT_STACK_SIZE],
}

/// Interrupt stacks of the boot processor. Ordinary vectors leave theirs at once; the critical ones stay.
#[repr(C, align(4096))]
struct InterruptStacks([GuardedStack; INTERRUPT_STACKS]);

/// Interrupt stacks of a further processor, without guards: only the critical vectors do more on them than to store
/// registers, and those end the machine.
#[repr(C, align(16))]
struct PlainStacks([[u8; INTERRUPT_STACK_SIZE]; INTERRUPT_STACKS]);

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
    }; INTERRUPT_STACKS],
);

/// Segments and task state of one processor. The interrupt descriptor table is one for all.
#[repr(C, align(16))]
pub struct Descriptors {
    segments: UnsafeCell<[u64; NUMBER_INDEX + 1]>,
    task_state: UnsafeCell<TaskState>,
    /// The interrupt stacks, lowest address and end; 0 for the boot processor's, which are static.
    stacks: (u64, u64),
}

// SAFETY: the cells are written only by their processor while it loads them.
unsafe impl Sync for Descriptors {}

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

impl Descriptors {
    /// Tables that are not loaded yet, with the boot processor's interrupt stacks.
    pub const fn new() -> Self {
        let mut segments = [0; NUMBER_INDEX + 1];
        segments[1] = 0x00af_9b00_0000_ffff;
        segments[2] = 0x00cf_9300_0000_ffff;
        Self {
            segments: UnsafeCell::new(segments),
            task_state: UnsafeCell::new(TaskState {
                reserved_0: 0,
                privileged_stacks: [0; 3],
                reserved_1: 0,
                interrupt_stacks: [0; 7],
                reserved_2: 0,
                reserved_3: 0,
                permission_map: size_of::<TaskState>() as u16,
            }),
            stacks: (0, 0),
        }
    }

    /// Gives a further processor interrupt stacks, for ever.
    pub fn take_stacks_from_heap(&mut self) {
        let stacks: &'static mut PlainStacks =
            Box::leak(Box::new(PlainStacks([[0; INTERRUPT_STACK_SIZE]; INTERRUPT_STACKS])));
        let start = core::ptr::from_mut(stacks) as u64;
        self.stacks = (start, start + size_of::<PlainStacks>() as u64);
    }

    /// Address behind the highest usable one of an interrupt stack, counted from 0.
    fn stack_top(&self, index: usize) -> u64 {
        match self.stacks {
            (0, _) => addr_of!(STACKS) as u64 + (index as u64 + 1) * size_of::<GuardedStack>() as u64,
            (start, _) => start + (index as u64 + 1) * INTERRUPT_STACK_SIZE as u64,
        }
    }

    /// Whether an address lies on one of the interrupt stacks.
    pub fn on_interrupt_stack(&self, address: u64) -> bool {
        let (start, end) = match self.stacks {
            (0, _) => {
                let start = addr_of!(STACKS) as u64;
                (start, start + size_of::<InterruptStacks>() as u64)
            }
            range => range,
        };
        (start..=end).contains(&address)
    }

    /// Loads the tables of this processor, whose number is `index`. Clears `gs`.
    ///
    /// # Safety
    /// Called once, by the processor that the tables are for, before interrupts are enabled there; the tables live for
    /// ever. The boot processor calls it before any other starts.
    pub unsafe fn load(&'static self, index: usize) {
        let segments = self.segments.get().cast::<u64>();
        let task_state = self.task_state.get();
        // SAFETY: nobody else touches the tables (the caller's promise), and they live for ever, so the addresses
        // given to the processor stay valid.
        unsafe {
            for stack in 0..INTERRUPT_STACKS {
                // A packed structure: written through a raw pointer, never by reference.
                (&raw mut (*task_state).interrupt_stacks)
                    .cast::<u64>()
                    .add(stack)
                    .write_unaligned(self.stack_top(stack));
            }
            let base = task_state as u64;
            let limit = size_of::<TaskState>() as u64 - 1;
            segments
                .add(3)
                .write(limit & 0xffff | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56);
            segments.add(4).write(base >> 32);
            // A read-only data segment that every privilege may ask about; the limit is the number (node 0).
            segments
                .add(NUMBER_INDEX)
                .write(0x0040_f500_0000_0000 | (index as u64 & 0xffff));
            if index == 0 {
                fill_gates();
            }
            let descriptors = TablePointer {
                limit: size_of::<[u64; NUMBER_INDEX + 1]>() as u16 - 1,
                base: segments as u64,
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
}

/// Fills the interrupt descriptor table.
///
/// # Safety
/// Only the boot processor runs.
unsafe fn fill_gates() {
    for vector in 0..256usize {
        let stub = addr_of!(trap_stubs) as u64 + vector as u64 * 16;
        let stack = match vector {
            2 => 2,
            8 => 3,
            18 => 4,
            _ => 1,
        };
        // SAFETY: inside the table, which nobody else uses yet. `trap_stubs` holds 256 stubs of 16 bytes.
        unsafe {
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
    }
}

/// Whether an address lies on one of the interrupt stacks of this processor.
pub fn on_interrupt_stack(address: u64) -> bool {
    super::cpu::this_cpu().descriptors.on_interrupt_stack(address)
}

/// Addresses of the pages that guard the interrupt stacks.
pub fn guard_pages() -> [u64; 4] {
    let start = addr_of!(STACKS) as u64;
    [0, 1, 2, 3].map(|stack| start + stack * size_of::<GuardedStack>() as u64)
}
