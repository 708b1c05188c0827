//! Where things are in the virtual address space.
//!
//! | from | to | what |
//! |---|---|---|
//! | `0x0000_0000_0001_0000` | `0x0000_7fff_ffff_f000` | the program, as on Linux |
//! | `0xffff_8880_0000_0000` | + RAM | direct map of physical memory |
//! | `0xffff_c900_0000_0000` | + 512 GiB | kernel stacks, a guard page below each |
//! | `0xffff_d000_0000_0000` | + 512 GiB | device registers, not cached |
//! | `0xffff_ffff_8000_0000` | + 1 GiB | the kernel (linked at + 1 MiB) |

/// First address that a program may map (`vm.mmap_min_addr` of Linux).
pub const PROGRAM_START: u64 = 0x1_0000;
/// End of the program's half; the last page of the lower half stays free, as on Linux.
pub const PROGRAM_END: u64 = 0x7fff_ffff_f000;
/// Virtual address of physical address 0 in the direct map.
pub const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;
/// Most bytes that the direct map holds: what one table of the third level covers.
pub const DIRECT_MAP_SIZE: u64 = 512 << 30;
/// Region of kernel stacks.
pub const KERNEL_STACKS: u64 = 0xffff_c900_0000_0000;
/// Region of device registers.
pub const DEVICE_REGISTERS: u64 = 0xffff_d000_0000_0000;
/// Virtual address of physical address 0 in the kernel's own mapping.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
/// Bytes of a page and of a frame.
pub const PAGE_SIZE: u64 = 4096;
/// Bytes of a kernel stack, guard page not counted.
pub const KERNEL_STACK_SIZE: u64 = 32768;
/// Distance between kernel stacks: each has at least one unmapped page below it.
pub const KERNEL_STACK_SPACING: u64 = 65536;
