//! Interrupts of devices: vectors, and who is called.
//!
//! A *vector* is the number under which the processor learns of an interrupt. A device sends it over a line
//! through the I/O interrupt controller, or by itself, by writing a message to an address that the local
//! controllers watch (MSI-X).
//!
//! Handlers run with interrupts off, on whatever stack the interrupt came in on: they must not sleep, not
//! allocate and not log. State that they share with threads belongs in an
//! [`InterruptMutex`](crate::sync::InterruptMutex).

use core::sync::atomic::{AtomicU8, Ordering};

use spin::Once;

use crate::arch;

/// What is called when an interrupt arrives, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Handler {
    /// The function.
    pub call: fn(usize),
    /// Its argument: which device it is, where there are several.
    pub argument: usize,
}

/// First vector for devices: those below are the processor's exceptions and the old controller's lines.
const FIRST: u8 = 0x30;
/// Last vector for devices; those above are the kernel's own (timer).
const LAST: u8 = 0xef;
const COUNT: usize = (LAST - FIRST) as usize + 1;

static HANDLERS: [Once<Handler>; COUNT] = [const { Once::new() }; COUNT];
static NEXT: AtomicU8 = AtomicU8::new(FIRST);

/// A vector that belongs to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(u8);

/// Takes a free vector and calls `handler` when it arrives. `None` if all vectors are in use.
pub fn register(handler: Handler) -> Option<Vector> {
    let vector = NEXT
        .try_update(Ordering::Relaxed, Ordering::Relaxed, |next| match next {
            ..=LAST if next + 1 == arch::LEGACY_SYSTEM_CALL => Some(next + 2),
            ..=LAST => Some(next + 1),
            _ => None,
        })
        .ok()?;
    HANDLERS[usize::from(vector - FIRST)].call_once(|| handler);
    Some(Vector(vector))
}

/// How a line tells that its device wants attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// By rising, once for each event: the lines of the ISA bus.
    Edge,
    /// By staying up until the device was served.
    Level,
}

/// Where a message-signalled interrupt is written to, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Physical address.
    pub address: u64,
    /// Value.
    pub data: u32,
}

impl Vector {
    /// Lets a line of the I/O interrupt controller (a *global system interrupt*) arrive as this vector.
    pub fn route_line(self, line: u32, trigger: Trigger) {
        arch::route_line(line, self.0, trigger == Trigger::Level);
    }

    /// What a device has to write for this vector to arrive at this processor (Intel SDM volume 3, 11.11:
    /// fixed delivery, edge).
    pub fn message(self) -> Message {
        // Leaf 1 tells the identifier of the local interrupt controller.
        let processor = arch::cpuid(1, 0).ebx >> 24;
        Message {
            address: 0xfee0_0000 | u64::from(processor) << 12,
            data: u32::from(self.0),
        }
    }
}

/// Calls the handler of a vector and acknowledges it. To be called by the trap floor, with interrupts off.
pub fn dispatch(vector: u8) {
    match vector {
        // Not in service, so there is nothing to acknowledge.
        arch::SPURIOUS_VECTOR => return,
        // It also wakes the processor: whoever waits looks at the clock again.
        arch::TIMER_VECTOR => crate::task::timer_fired(),
        _ => {
            let handler = vector
                .checked_sub(FIRST)
                .and_then(|index| HANDLERS.get(usize::from(index))?.get());
            // Nobody is told of a vector without a handler: no device was given it, and here is no place to log.
            if let Some(handler) = handler {
                (handler.call)(handler.argument);
            }
        }
    }
    arch::end_of_interrupt();
}
