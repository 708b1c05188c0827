//! Interrupt controllers: the local one with its timer, and the I/O one for device lines.
//!
//! Source: Intel SDM volume 3, chapter 11; 82093AA I/O APIC data sheet.

use core::sync::atomic::{AtomicU64, Ordering};

use pith_timekeeping::Ratio;

use super::instructions::{
    cpuid, disable_interrupts, enable_interrupts, interrupts_enabled, read_msr, read_time_stamp_counter, write_msr,
    write_port_u8,
};
use super::layout::DEVICE_REGISTERS;
use super::paging::{NoFrame, map_kernel_page};

/// Vector of the timer.
pub const TIMER_VECTOR: u8 = 0xfe;
/// Vector of interrupts that are none.
pub const SPURIOUS_VECTOR: u8 = 0xff;

const MSR_APIC_BASE: u32 = 0x1b;
const MSR_DEADLINE: u32 = 0x6e0;
/// Where the I/O interrupt controller is on PC-like machines, if nobody says it.
const IO_CONTROLLER: u64 = 0xfec0_0000;
const LOCAL_WINDOW: u64 = DEVICE_REGISTERS;
const IO_WINDOW: u64 = DEVICE_REGISTERS + 4096;
/// First address behind the windows of this module; other device registers are mapped from here.
pub const FIRST_FREE_WINDOW: u64 = DEVICE_REGISTERS + 8192;

static LOCAL: AtomicU64 = AtomicU64::new(0);

fn local(register: u64) -> *mut u32 {
    (LOCAL.load(Ordering::Relaxed) + register) as *mut u32
}

fn read(register: u64) -> u32 {
    // SAFETY: the window was mapped by `initialise` before anything else here runs.
    unsafe { local(register).read_volatile() }
}

fn write(register: u64, value: u32) {
    // SAFETY: as for `read`; the local controller touches no memory.
    unsafe { local(register).write_volatile(value) };
}

/// Maps the controllers (`io_controller` is the physical address of the one for device lines, if known), masks the old ones and lets the local one work.
///
/// # Errors
/// [`NoFrame`] if there is no frame for page tables.
pub fn initialise(io_controller: Option<u64>, frames: &mut dyn FnMut() -> Option<u64>) -> Result<(), NoFrame> {
    // The two 8259: all lines masked.
    write_port_u8(0x21, 0xff);
    write_port_u8(0xa1, 0xff);
    // SAFETY: the register exists where CPUID has an APIC, as on every machine that we boot on; the windows
    // are this module's.
    unsafe {
        let base = read_msr(MSR_APIC_BASE) & 0x000f_ffff_ffff_f000;
        map_kernel_page(LOCAL_WINDOW, base, true, frames)?;
        let io_controller = io_controller.unwrap_or(IO_CONTROLLER) & !0xfff;
        map_kernel_page(IO_WINDOW, io_controller, true, frames)?;
    }
    LOCAL.store(LOCAL_WINDOW, Ordering::Relaxed);
    enable();
    Ok(())
}

/// Lets the local controller of this processor work. All of them are at the same address.
pub fn enable() {
    write(0x80, 0); // task priority: let everything in
    write(0x350, 0x1_0000); // LINT0 masked: no 8259
    write(0xf0, 0x100 | u32::from(SPURIOUS_VECTOR));
}

/// Interrupt command: a non-maskable interrupt.
const NON_MASKABLE: u32 = 0x4400;
/// Interrupt command: wait for the start-up interrupt.
const INITIALISE: u32 = 0x4500;
/// Interrupt command: start at the page in the lowest byte.
const START_UP: u32 = 0x4600;
/// To all processors but this one.
const ALL_OTHERS: u32 = 0xc_0000;

/// Gives an interrupt command. Both halves of the register belong together, so no interrupt handler may come between.
fn command(destination: u32, low: u32) {
    let enabled_before = interrupts_enabled();
    disable_interrupts();
    while read(0x300) & 0x1000 != 0 {
        core::hint::spin_loop(); // the last one is still being sent
    }
    write(0x310, destination << 24);
    write(0x300, low);
    if enabled_before {
        enable_interrupts();
    }
}

/// Interrupts the processor whose local controller has this identifier.
pub fn send(identifier: u32, vector: u8) {
    command(identifier, 0x4000 | u32::from(vector));
}

/// Starts all other processors in real mode, at this page. Hypervisors need no pauses in between; on bare machines those
/// that the specification names are made.
pub fn start_others(page: u8) {
    let hypervisor = cpuid(1, 0).ecx & 1 << 31 != 0;
    let pause = |microseconds: u64| {
        if !hypervisor {
            let ticks = super::clock::frequencies().counter / 1_000_000 * microseconds;
            let start = read_time_stamp_counter();
            while read_time_stamp_counter() - start < ticks {
                core::hint::spin_loop();
            }
        }
    };
    command(0, ALL_OTHERS | INITIALISE);
    pause(10_000);
    for _ in 0..2 {
        command(0, ALL_OTHERS | START_UP | u32::from(page));
        pause(200);
    }
}

/// Interrupts all other processors whatever they do.
pub fn stop_others() {
    command(0, ALL_OTHERS | NON_MASKABLE);
}

/// Acknowledges the interrupt in service.
pub fn end_of_interrupt() {
    write(0xb0, 0);
}

/// Identifier of this processor's controller.
pub fn identifier() -> u32 {
    read(0x20) >> 24
}

/// Lets the timer count down from its largest value, for calibration.
pub fn start_counting() {
    write(0x320, 0x1_0000); // masked
    write(0x3e0, 0xb); // divider 1
    write(0x380, u32::MAX);
}

/// What the timer has counted since [`start_counting`].
pub fn counted() -> u32 {
    u32::MAX - read(0x390)
}

fn has_deadline_timer() -> bool {
    // Asking is an exit to the monitor: once is enough.
    static ANSWER: spin::Once<bool> = spin::Once::new();
    *ANSWER.call_once(|| cpuid(1, 0).ecx & 1 << 24 != 0)
}

/// Asks for one [`TIMER_VECTOR`] interrupt when the time stamp counter reaches `deadline`; replaces an
/// earlier request.
pub fn set_timer(deadline: u64) {
    if has_deadline_timer() {
        write(0x320, 0x4_0000 | u32::from(TIMER_VECTOR));
        // SAFETY: the processor has the register (CPUID), and zero or a time only arms the timer. The fence
        // orders it behind the mode that was just written to memory-mapped registers (SDM 11.5.4.1).
        unsafe {
            core::arch::asm!("mfence", options(nostack, preserves_flags));
            write_msr(MSR_DEADLINE, deadline.max(1));
        }
        return;
    }
    static RATIO: spin::Once<Ratio> = spin::Once::new();
    let ratio = RATIO.call_once(|| {
        let frequencies = super::clock::frequencies();
        Ratio::new(frequencies.timer, frequencies.counter)
    });
    let count = ratio.of(deadline.saturating_sub(read_time_stamp_counter()));
    write(0x320, u32::from(TIMER_VECTOR));
    write(0x3e0, 0xb);
    // Too far away for the counter: it fires early, and whoever waits asks again.
    write(0x380, count.saturating_add(1).min(u32::MAX.into()) as u32);
}

/// Sends an I/O interrupt line to this processor as `vector`.
///
/// `level` lines stay asserted until the device is served. Active high.
pub fn route_line(line: u32, vector: u8, level: bool) {
    let low = u32::from(vector) | if level { 1 << 15 } else { 0 };
    let high = identifier() << 24;
    let select = IO_WINDOW as *mut u32;
    let window = (IO_WINDOW + 0x10) as *mut u32;
    // SAFETY: the window was mapped by `initialise`; redirection entries touch no memory. Masked first, so
    // that no half-written entry is used.
    unsafe {
        for (register, value) in [
            (0x10 + line * 2, 1 << 16),
            (0x11 + line * 2, high),
            (0x10 + line * 2, low),
        ] {
            select.write_volatile(register);
            window.write_volatile(value);
        }
    }
}
