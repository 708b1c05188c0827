//! Access to the program's memory with fault recovery.
//!
//! The ranges are checked against the program's half; a page that can't be made present ends the copy early
//! instead of the machine.

use core::arch::global_asm;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::instructions::cpuid;
use super::layout::PROGRAM_END;

global_asm!(include_str!("copy.s"));

/// From this length on memory is copied and filled by string instructions (`copy.s` reads it). At first never.
#[unsafe(no_mangle)]
static STRING_LENGTH: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Where processors are fast at string instructions, these pay from about this length on, because they take a while to
/// start.
const FAST_STRING_LENGTH: usize = 1024;

/// Learns whether string instructions are fast: the processor says so (ERMS), and is none that QEMU translates.
pub(super) fn choose_copying(extended_features: u32) {
    let says_so = extended_features & 1 << 9 != 0;
    if says_so && !is_translated() {
        STRING_LENGTH.store(FAST_STRING_LENGTH, Ordering::Relaxed);
    }
}

/// Whether QEMU's translator executes this machine's instructions: it gives its name where hypervisors do.
fn is_translated() -> bool {
    let has_hypervisor = cpuid(1, 0).ecx & 1 << 31 != 0;
    let word = u32::from_le_bytes;
    let name = [word(*b"TCGT"), word(*b"CGTC"), word(*b"GTCG")];
    has_hypervisor && {
        let leaf = cpuid(0x4000_0000, 0);
        [leaf.ebx, leaf.ecx, leaf.edx] == name
    }
}

unsafe extern "C" {
    fn copy_with_recovery(destination: *mut u8, source: *const u8, length: usize) -> usize;
    fn zero_with_recovery(destination: *mut u8, length: usize) -> usize;
    fn compare_exchange_with_recovery(address: *mut u32, expected: &mut u32, new: u32) -> u64;
    fn load_word_with_recovery(address: *const u32, value: *mut u32) -> u64;
}

fn in_program(address: u64, length: usize) -> bool {
    address.checked_add(length as u64).is_some_and(|end| end <= PROGRAM_END)
}

/// Copies to the program's memory. Returns how many bytes could not be copied.
#[inline]
pub fn copy_to_program(address: u64, source: &[u8]) -> usize {
    if !in_program(address, source.len()) {
        return source.len();
    }
    // SAFETY: the destination lies in the program's half, where no kernel object lives; faults are recovered.
    unsafe { copy_with_recovery(address as *mut u8, source.as_ptr(), source.len()) }
}

/// Copies from the program's memory. Returns how many bytes could not be copied.
#[inline]
pub fn copy_from_program(destination: &mut [u8], address: u64) -> usize {
    if !in_program(address, destination.len()) {
        return destination.len();
    }
    // SAFETY: the source lies in the program's half and faults are recovered; the destination is ours.
    unsafe { copy_with_recovery(destination.as_mut_ptr(), address as *const u8, destination.len()) }
}

/// Zeroes the program's memory. Returns how many bytes could not be written.
pub fn zero_program(address: u64, length: usize) -> usize {
    if !in_program(address, length) {
        return length;
    }
    // SAFETY: as for `copy_to_program`.
    unsafe { zero_with_recovery(address as *mut u8, length) }
}

/// Reads a word of the program's memory in one access (futexes).
pub fn load_word(address: u64) -> Option<u32> {
    if !in_program(address, 4) || !address.is_multiple_of(4) {
        return None;
    }
    let mut value = 0;
    // SAFETY: the source lies in the program's half and faults are recovered.
    let failed = unsafe { load_word_with_recovery(address as *const u32, &mut value) };
    (failed == 0).then_some(value)
}

/// Replaces a word of the program's memory in one step if it has the expected value. `None` if it can't be written;
/// otherwise the value it had, as success or failure.
pub fn compare_exchange_program(address: u64, expected: u32, new: u32) -> Option<Result<u32, u32>> {
    if !in_program(address, 4) || !address.is_multiple_of(4) {
        return None;
    }
    let mut found = expected;
    // SAFETY: the word lies in the program's half and faults are recovered.
    let failed = unsafe { compare_exchange_with_recovery(address as *mut u32, &mut found, new) };
    (failed == 0).then_some(if found == expected { Ok(found) } else { Err(found) })
}
