//! The kernel of Pith.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod arch;
mod devices;
mod fs;
mod log;
mod memory;
mod sync;
mod syscalls;
mod task;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    arch::halt_forever()
}
