//! Randomness from the processor.
//!
//! RDSEED where there is one, else RDRAND; both may fail for a moment and are tried again. Where the
//! processor has neither, the jitter of the time stamp counter is all there is, and the caller is told.

use core::arch::asm;

use super::instructions::{cpuid, read_time_stamp_counter};

/// How good the seed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// From a hardware generator.
    Hardware,
    /// From timing jitter only; an attacker who shares the machine might guess it.
    Jitter,
}

fn hardware_word(seed: bool) -> Option<u64> {
    for _ in 0..64 {
        let (value, success): (u64, u8);
        // SAFETY: the caller has checked CPUID for the instruction.
        unsafe {
            if seed {
                asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) success, options(nomem, nostack));
            } else {
                asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) success, options(nomem, nostack));
            }
        }
        if success != 0 {
            return Some(value);
        }
        core::hint::spin_loop();
    }
    None
}

/// Fills a seed of 32 bytes.
pub fn seed() -> ([u8; 32], Quality) {
    let has_seed = cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & 1 << 18 != 0;
    let has_random = cpuid(1, 0).ecx & 1 << 30 != 0;
    let mut bytes = [0; 32];
    let mut quality = Quality::Hardware;
    for chunk in bytes.chunks_exact_mut(8) {
        let word = [(has_seed, true), (has_random, false)]
            .into_iter()
            .filter(|(available, _)| *available)
            .find_map(|(_, seed)| hardware_word(seed))
            .unwrap_or_else(|| {
                quality = Quality::Jitter;
                jitter_word()
            });
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    (bytes, quality)
}

/// Mixes the low bits of many counter readings around work of varying length.
fn jitter_word() -> u64 {
    let mut state = read_time_stamp_counter();
    for _ in 0..4096 {
        let now = read_time_stamp_counter();
        state = (state.rotate_left(7) ^ now).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for _ in 0..state >> 61 {
            core::hint::spin_loop();
        }
        cpuid(0, 0);
    }
    state
}
