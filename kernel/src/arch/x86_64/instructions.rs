//! Single instructions as functions.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, _rdtsc, CpuidResult};

/// Reads a byte from an I/O port.
pub fn read_port_u8(port: u16) -> u8 {
    let value;
    // SAFETY: reading a port touches no memory of ours; what it does to a device is the driver's concern.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes a byte to an I/O port.
pub fn write_port_u8(port: u16, value: u8) {
    // SAFETY: the only device with access to memory that is driven by ports is PCI configuration, which
    // only enables mastering for devices whose rings lie in frames owned by their driver.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) };
}

/// Reads a 32-bit word from an I/O port.
pub fn read_port_u32(port: u16) -> u32 {
    let value;
    // SAFETY: as for `read_port_u8`.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes a 32-bit word to an I/O port.
pub fn write_port_u32(port: u16, value: u32) {
    // SAFETY: as for `write_port_u8`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) };
}

/// Reads a model-specific register.
///
/// # Safety
/// The register exists on this processor.
pub unsafe fn read_msr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller vouches for the register; reading has no side effect on memory.
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// The register exists, and the value keeps the kernel's assumptions true.
pub unsafe fn write_msr(register: u32, value: u64) {
    // SAFETY: the caller vouches for register and value.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nostack, preserves_flags));
    }
}

/// Reads the time stamp counter.
#[inline]
pub fn read_time_stamp_counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and CR4.TSD is clear.
    unsafe { _rdtsc() }
}

/// Asks the processor about itself.
pub fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    __cpuid_count(leaf, subleaf)
}

/// The address whose access caused the last page fault.
pub fn read_cr2() -> u64 {
    let value;
    // SAFETY: reading a control register at ring 0 has no side effect.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Forgets the translation of one page.
pub fn invalidate_page(address: u64) {
    // SAFETY: forgetting a translation only costs a page walk.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// Forgets all translations that are not global.
pub fn flush_translations() {
    // SAFETY: writing back the same root keeps every mapping as it is.
    unsafe {
        asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags));
    }
}

/// Forgets all translations, global ones too.
pub fn flush_all_translations() {
    // SAFETY: global translations survive a write of CR3; clearing and setting CR4.PGE forgets everything, and what is
    // mapped stays as the tables say.
    unsafe {
        asm!("mov {0}, cr4", "mov {1}, {0}", "xor {1}, 0x80", "mov cr4, {1}", "mov cr4, {0}",
             out(reg) _, out(reg) _, options(nostack));
    }
    flush_translations();
}

/// Lets interrupts come.
#[inline]
pub fn enable_interrupts() {
    // SAFETY: every vector has a handler before the first call. Not `nomem`: accesses must not move across.
    unsafe { asm!("sti", options(nostack)) };
}

/// Holds interrupts off.
#[inline]
pub fn disable_interrupts() {
    // SAFETY: holding interrupts off can't break memory safety. Not `nomem`: accesses must not move across.
    unsafe { asm!("cli", options(nostack)) };
}

/// Whether interrupts may come.
#[inline]
pub fn interrupts_enabled() -> bool {
    let flags: u64;
    // SAFETY: pushes and pops one word of the kernel stack, which has no red zone.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags, options(preserves_flags)) };
    flags & 0x200 != 0
}

/// Lets interrupts come and waits for one; on return they are off again.
///
/// No interrupt can be missed: `sti` takes effect after the following instruction, which is `hlt`.
pub fn wait_for_interrupt() {
    // SAFETY: every vector has a handler, and the kernel stack has no red zone.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) };
}

/// Stops the processor for good.
pub fn halt_forever() -> ! {
    loop {
        // SAFETY: with interrupts off the processor stays here.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
