//! x86-64.

pub mod apic;
pub mod calls;
pub mod clock;
pub mod context;
pub mod cpu;
pub mod descriptors;
pub mod entropy;
pub mod instructions;
pub mod layout;
pub mod paging;
pub mod power;
pub mod serial;
pub mod shootdown;
pub mod smp;
pub mod traps;
pub mod user_access;
pub mod vdso;
pub mod vector_state;

core::arch::global_asm!(include_str!("boot.s"));
