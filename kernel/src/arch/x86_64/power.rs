//! Leaving the machine.

use super::instructions::{halt_forever, write_port_u8};

/// Port of QEMU's `isa-debug-exit` device, as the monitor configures it.
const DEBUG_EXIT: u16 = 0xf4;

/// Ends the machine. The exit report has gone out before; this only tells the monitor that nothing more comes.
pub fn off() -> ! {
    write_port_u8(DEBUG_EXIT, 0);
    // Elsewhere: the keyboard controller's reset line, which monitors take as the end (`-no-reboot`).
    write_port_u8(0x64, 0xfe);
    halt_forever()
}
