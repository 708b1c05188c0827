//! Interrupts of devices: vectors, and who is called.
//!
//! A *vector* is the number under which the processor learns of an interrupt. A device sends it over a line
//! through the I/O interrupt controller, or by itself, by writing a message to an address that the local
//! controllers watch (MSI-X).
//!
//! Handlers run with interrupts off, on whatever stack the interrupt came in on: they must not sleep, not
//! allocate and not log. State that they share with threads belongs in an
//! [`InterruptMutex`](crate::sync::InterruptMutex).

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use spin::Once;

use crate::arch;

/// What is called when an interrupt arrives, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Handler {
    /// The function.
    pub call: fn(usize),
    /// Its argument: which device it is, where there are several.
    pub argument: usize,
    /// Writes for people what the interrupt is for, from the argument.
    pub describe: fn(usize, &mut dyn fmt::Write) -> fmt::Result,
}

/// First vector for devices: those below are the processor's exceptions and the old controller's lines.
const FIRST: u8 = 0x30;
/// Last vector for devices; those above are the kernel's own (timer).
const LAST: u8 = 0xef;
const COUNT: usize = (LAST - FIRST) as usize + 1;

/// What is known of a vector.
struct Slot {
    handler: Handler,
    /// How often it has come, by processor.
    counts: Vec<AtomicU64>,
    /// The line that arrives as it; none for messages.
    line: Once<(u32, Trigger)>,
}

static SLOTS: [Once<Slot>; COUNT] = [const { Once::new() }; COUNT];
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
    SLOTS[usize::from(vector - FIRST)].call_once(|| Slot {
        handler,
        counts: (0..arch::MAXIMUM_CPUS).map(|_| AtomicU64::new(0)).collect(),
        line: Once::new(),
    });
    Some(Vector(vector))
}

/// How many vectors are free.
pub fn free() -> usize {
    let next = NEXT.load(Ordering::Relaxed);
    let reserved = next <= arch::LEGACY_SYSTEM_CALL;
    usize::from((LAST + 1).saturating_sub(next)) - usize::from(reserved)
}

fn slot(vector: u8) -> Option<&'static Slot> {
    SLOTS.get(usize::from(vector.checked_sub(FIRST)?))?.get()
}

/// A vector as it is shown to people.
pub struct Shown {
    /// Its number.
    pub vector: u8,
    /// How it arrives: the line with its trigger, or nothing for a message.
    pub line: Option<(u32, Trigger)>,
    slot: &'static Slot,
}

impl Shown {
    /// How often it has come to a processor.
    pub fn count(&self, processor: usize) -> u64 {
        let count = self.slot.counts.get(processor);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl Shown {
    /// How often it has come to all processors.
    pub fn total(&self) -> u64 {
        let counts = self.slot.counts.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.slot.handler.describe)(self.slot.handler.argument, formatter)
    }
}

/// The vectors that belong to devices.
pub fn all() -> impl Iterator<Item = Shown> {
    (FIRST..=LAST).filter_map(|vector| {
        let slot = slot(vector)?;
        let line = slot.line.get().copied();
        Some(Shown { vector, line, slot })
    })
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
        if let Some(slot) = slot(self.0) {
            slot.line.call_once(|| (line, trigger));
        }
        arch::route_line(line, self.0, trigger == Trigger::Level);
    }

    /// What a device has to write for this vector to arrive at a processor that has come up (Intel SDM volume 3, 11.11:
    /// fixed delivery, edge).
    pub fn message(self, processor: usize) -> Message {
        Message {
            address: 0xfee0_0000 | u64::from(arch::interrupt_identifier(processor)) << 12,
            data: u32::from(self.0),
        }
    }
}

/// Interrupts that belong to no device, as `/proc/interrupts` calls them.
pub const OWN: [(&str, &str); 4] = [
    ("LOC", "Local timer interrupts"),
    ("SPU", "Spurious interrupts"),
    ("RES", "Rescheduling interrupts"),
    ("TLB", "TLB shootdowns"),
];

/// How often those have come to a processor that it counts here, in a cache line of its own.
#[repr(align(64))]
struct OwnCounts([AtomicU64; OWN.len() - 1]);

static OWN_COUNTS: [OwnCounts; arch::MAXIMUM_CPUS] =
    [const { OwnCounts([const { AtomicU64::new(0) }; OWN.len() - 1]) }; arch::MAXIMUM_CPUS];

/// How often an interrupt of the list [`OWN`] has come to a processor.
pub fn own_count(index: usize, processor: usize) -> u64 {
    match OWN_COUNTS[processor].0.get(index) {
        Some(count) => count.load(Ordering::Relaxed),
        None => arch::shootdown_interrupts(processor),
    }
}

fn count_own(index: usize) {
    OWN_COUNTS[arch::cpu_index()].0[index].fetch_add(1, Ordering::Relaxed);
}

/// Calls the handler of a vector, which has interrupted the program or not, and acknowledges it. To be called by the trap
/// floor, with interrupts off.
pub fn dispatch(vector: u8, in_program: bool) {
    match vector {
        // Not in service, so there is nothing to acknowledge.
        arch::SPURIOUS_VECTOR => return count_own(1),
        // It also wakes the processor: whoever waits looks at the clock again.
        arch::TIMER_VECTOR => {
            count_own(0);
            crate::task::timer_fired(in_program);
        }
        arch::RESCHEDULE_VECTOR => count_own(2),
        _ => {
            // Nobody is told of a vector without a handler: no device was given it, and here is no place to log.
            if let Some(slot) = slot(vector) {
                if let Some(count) = slot.counts.get(arch::cpu_index()) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                (slot.handler.call)(slot.handler.argument);
            }
        }
    }
    arch::end_of_interrupt();
}
