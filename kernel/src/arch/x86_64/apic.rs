//! Interrupt controllers: the local one with its timer, and the I/O one for device lines.
//!
//! Source: Intel SDM volume 3, chapter 11; 82093AA I/O APIC data sheet.

use core::sync::atomic::{AtomicU64, Ordering};

use super::instructions::{cpuid, read_msr, read_time_stamp_counter, write_msr, write_port_u8};
use super::layout::DEVICE_REGISTERS;
use super::paging::{NoFrame, map_kernel_page};

/// Vector of the timer.
pub const TIMER_VECTOR: u8 = 0xfe;
/// Vector of interrupts that are none.
pub const SPURIOUS_VECTOR: u8 = 0xff;

const MSR_APIC_BASE: u32 = 0x1b;
const MSR_DEADLINE: u32 = 0x6e0;
/// Where the I/O interrupt controller is on PC-like machines (QEMU, Firecracker, Cloud Hypervisor).
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

/// Maps the controllers, masks the old ones and lets the local one work.
///
/// # Errors
/// [`NoFrame`] if there is no frame for page tables.
pub fn initialise(frames: &mut dyn FnMut() -> Option<u64>) -> Result<(), NoFrame> {
    // The two 8259: all lines masked.
    write_port_u8(0x21, 0xff);
    write_port_u8(0xa1, 0xff);
    // SAFETY: the register exists where CPUID has an APIC, as on every machine that we boot on; the windows
    // are this module's.
    unsafe {
        let base = read_msr(MSR_APIC_BASE) & 0x000f_ffff_ffff_f000;
        map_kernel_page(LOCAL_WINDOW, base, true, frames)?;
        map_kernel_page(IO_WINDOW, IO_CONTROLLER, true, frames)?;
    }
    LOCAL.store(LOCAL_WINDOW, Ordering::Relaxed);
    write(0x80, 0); // task priority: let everything in
    write(0x350, 0x1_0000); // LINT0 masked: no 8259
    write(0xf0, 0x100 | u32::from(SPURIOUS_VECTOR));
    Ok(())
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
pub fn counted() -> u64 {
    u64::from(u32::MAX - read(0x390))
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
    let frequencies = super::clock::frequencies();
    let ticks = deadline.saturating_sub(read_time_stamp_counter());
    let count = u128::from(ticks) * u128::from(frequencies.timer) / u128::from(frequencies.counter);
    write(0x320, u32::from(TIMER_VECTOR));
    write(0x3e0, 0xb);
    // Too far away for the counter: it fires early, and whoever waits asks again.
    write(0x380, (count + 1).min(u128::from(u32::MAX)) as u32);
}

/// Takes the request of [`set_timer`] back.
pub fn cancel_timer() {
    write(0x320, 0x1_0000);
    if has_deadline_timer() {
        // SAFETY: as in `set_timer`.
        unsafe { write_msr(MSR_DEADLINE, 0) };
    } else {
        write(0x380, 0);
    }
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
