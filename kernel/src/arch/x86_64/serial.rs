//! The first serial port, for text before there is anything better and when there is nothing else.

use core::fmt::{self, Write};

use super::instructions::{read_port_u8, write_port_u8};

const PORT: u16 = 0x3f8;

/// Writes bytes to the first serial port, waiting for room in its queue. Without a port nothing happens.
pub fn write_early(bytes: &[u8]) {
    for &byte in bytes {
        let mut patience = 100_000;
        // 0xff: no such port. Bit 5: the transmitter has room.
        loop {
            let status = read_port_u8(PORT + 5);
            if status == 0xff {
                return;
            }
            if status & 0x20 != 0 || patience == 0 {
                break;
            }
            patience -= 1;
            core::hint::spin_loop();
        }
        write_port_u8(PORT, byte);
    }
}

/// A byte from the first serial port, if one has come.
pub fn read_early() -> Option<u8> {
    let status = read_port_u8(PORT + 5);
    (status != 0xff && status & 1 != 0).then(|| read_port_u8(PORT))
}

/// Sets the port to 115,200 bits a second, eight data bits, no parity; its queues on, its interrupts as asked.
pub fn initialise(receive_interrupt: bool) {
    for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 0xc7), (4, 0x0b)] {
        write_port_u8(PORT + register, value);
    }
    write_port_u8(PORT + 1, u8::from(receive_interrupt));
}

/// Interrupt line of the first serial port (ISA).
pub const INTERRUPT_LINE: u32 = 4;

struct Early;

impl Write for Early {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => {
                    write_early(line.as_bytes());
                    write_early(b"\r\n");
                }
                None => write_early(line.as_bytes()),
            }
        }
        Ok(())
    }
}

/// Prints formatted text to the first serial port.
pub fn print_early(text: fmt::Arguments<'_>) {
    // `Early` never fails.
    let _ = Early.write_fmt(text);
}
