//! Further processors: starting them, stopping them, and interrupting them.
//!
//! All of them are sent on their way at once and come by themselves; the boot processor does not wait. Each takes the
//! next number, and with it the stack and the data that were made for that number.
//!
//! Source: Intel SDM volume 3, 8.4 (multiple-processor initialisation) and 10.6 (interprocessor interrupts).

use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use spin::Once;

use super::cpu::{self, MAXIMUM_CPUS, PreparedCpu};
use super::paging::{NoFrame, direct, map_trampoline};
use super::traps::RESCHEDULE_VECTOR;
use super::{apic, instructions};

global_asm!(include_str!("trampoline.s"));

/// Where the trampoline lies, in the first MiB, which is never given out.
const TRAMPOLINE: u64 = 0x8000;

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_end: u8;
    static processors_expected: AtomicU32;
    static processor_stacks: [AtomicU64; MAXIMUM_CPUS];
}

/// What a processor finds when it comes.
struct Prepared {
    data: PreparedCpu,
    stack: (u64, u64),
}

static PREPARED: [Once<Prepared>; MAXIMUM_CPUS] = [const { Once::new() }; MAXIMUM_CPUS];
static MAIN: Once<fn(usize) -> !> = Once::new();
/// Identifiers of the local interrupt controllers, by number of the processor.
static IDENTIFIERS: [AtomicU32; MAXIMUM_CPUS] = [const { AtomicU32::new(0) }; MAXIMUM_CPUS];
static STOPPING: AtomicBool = AtomicBool::new(false);

/// Starts further processors, one on each of the stacks (lowest usable address, top), which they keep for ever. Each
/// calls `main` with its number, from 1, with interrupts off. Does not wait for them.
///
/// # Errors
/// [`NoFrame`] if there is no frame for page tables.
///
/// # Safety
/// Called once, by the boot processor, when the kernel's tables are final; nobody else uses the stacks.
pub unsafe fn start_processors(
    stacks: &[(u64, u64)],
    main: fn(usize) -> !,
    frames: &mut dyn FnMut() -> Option<u64>,
) -> Result<(), NoFrame> {
    assert!(stacks.len() < MAXIMUM_CPUS, "too many processors");
    MAIN.call_once(|| main);
    // SAFETY: the page belongs to nobody, and the trampoline is smaller than it.
    unsafe {
        let start = &raw const trampoline_start;
        let length = (&raw const trampoline_end).offset_from_unsigned(start);
        core::ptr::copy_nonoverlapping(start, direct(TRAMPOLINE), length);
    }
    map_trampoline(TRAMPOLINE, frames)?;
    for (slot, &stack) in stacks.iter().enumerate() {
        let data = cpu::prepare(slot + 1);
        PREPARED[slot].call_once(|| Prepared { data, stack });
        // SAFETY: an array of `MAXIMUM_CPUS` words in the kernel's data.
        unsafe { processor_stacks[slot].store(stack.1, Ordering::Relaxed) };
    }
    // SAFETY: a word in the kernel's data.
    unsafe { processors_expected.store(stacks.len() as u32, Ordering::SeqCst) };
    IDENTIFIERS[0].store(apic::identifier(), Ordering::Relaxed);
    apic::start_others((TRAMPOLINE >> 12) as u8);
    Ok(())
}

/// Where the trampoline leads, with the number that the processor took.
#[unsafe(no_mangle)]
extern "C" fn processor_entry(slot: u32) -> ! {
    let index = slot as usize + 1;
    let (Some(prepared), Some(main)) = (PREPARED[slot as usize].get(), MAIN.get()) else {
        instructions::halt_forever();
    };
    // SAFETY: this processor alone has the number; it is the first thing that it does, on the stack named here.
    unsafe { cpu::enter_processor(prepared.data, prepared.stack) };
    apic::enable();
    IDENTIFIERS[index].store(apic::identifier(), Ordering::SeqCst);
    PRESENT.fetch_or(1 << index, Ordering::SeqCst);
    main(index)
}

/// Processors that have come up so far: bit n for processor n.
static PRESENT: AtomicU64 = AtomicU64::new(1);

/// Processors that have come up so far: bit n for processor n.
pub fn all_processors() -> u64 {
    PRESENT.load(Ordering::SeqCst)
}

/// How many processors there are, with those that were started and have not come up yet.
pub fn expected_processors() -> usize {
    // SAFETY: a word in the kernel's data.
    1 + unsafe { processors_expected.load(Ordering::Relaxed) } as usize
}

/// Identifier of the local interrupt controller of a processor that has come up: devices send interrupts to it.
pub fn interrupt_identifier(cpu: usize) -> u32 {
    if cpu == cpu::cpu_index() {
        apic::identifier()
    } else {
        IDENTIFIERS[cpu].load(Ordering::SeqCst)
    }
}

/// Interrupts another processor, which is online, so that it looks for work.
pub fn send_reschedule(cpu: usize) {
    send(cpu, RESCHEDULE_VECTOR);
}

/// Interrupts another processor.
pub(super) fn send(cpu: usize, vector: u8) {
    apic::send(IDENTIFIERS[cpu].load(Ordering::Relaxed), vector);
}

/// Stops all other processors for good, wherever they are: the kernel has found a defect in itself.
pub fn stop_other_processors() {
    STOPPING.store(true, Ordering::SeqCst);
    // SAFETY: a word in the kernel's data.
    if unsafe { processors_expected.load(Ordering::Relaxed) } != 0 {
        apic::stop_others();
    }
}

/// Whether [`stop_other_processors`] was called.
pub(super) fn is_stopping() -> bool {
    STOPPING.load(Ordering::SeqCst)
}
