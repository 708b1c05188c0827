//! Virtio: one interface for many devices, over several buses.
//!
//! A *transport* ([`mmio`], [`pci`]) is how a device's registers are reached. A *queue*
//! ([`pith_virtqueue`]) is how data moves. A driver ([`console`]) knows neither the bus nor the processor.
//! Only version 1 ("modern") is spoken.
//!
//! Source: Virtual I/O Device (VIRTIO) Version 1.2.

pub mod console;
pub mod mmio;
pub mod network;
pub mod pci;

use core::fmt;

use pith_virtqueue::{Agreement, Layout, Misbehaviour, Queue, RingMemory};

use super::interrupts::Handler;
use super::shared_memory::{Buffer, SharedMemory};

/// Kinds of devices (section 5).
pub mod kind {
    /// A network card.
    pub const NETWORK: u32 = 1;
    /// A console.
    pub const CONSOLE: u32 = 3;
}

/// Feature: the device follows version 1 of the specification.
const VERSION_1: u64 = 1 << 32;

/// Bits of the device's status (section 2.1).
mod status {
    pub const ACKNOWLEDGE: u8 = 1;
    pub const DRIVER: u8 = 2;
    pub const DRIVER_OK: u8 = 4;
    pub const FEATURES_OK: u8 = 8;
    pub const FAILED: u8 = 128;
}

/// Physical addresses of a queue's parts.
#[derive(Clone, Copy, Debug)]
pub struct QueueAddresses {
    /// The descriptor table.
    pub descriptors: u64,
    /// The available ring.
    pub available: u64,
    /// The used ring.
    pub used: u64,
}

/// Who is called by the interrupts of a device.
pub struct Interrupts<'a> {
    /// Whatever it was for: where the bus has no interrupts for single queues, or the device has too few of them.
    pub any: Handler,
    /// When the configuration has changed; if nobody wants to know, there are no such interrupts.
    pub changed: Option<Handler>,
    /// For each of the first queues, with the processor that is to be interrupted. Other queues do not interrupt, unless
    /// this is empty: then all call [`Self::any`].
    pub queues: &'a [(Handler, usize)],
}

impl Interrupts<'_> {
    /// One for everything.
    pub fn one(any: Handler) -> Self {
        Self {
            any,
            changed: None,
            queues: &[],
        }
    }
}

/// A device's registers.
pub trait Transport: Send + Sync {
    /// The device's status.
    fn status(&self) -> u8;
    /// Changes the status; 0 resets.
    fn set_status(&self, status: u8);
    /// What the device offers.
    fn device_features(&self) -> u64;
    /// What of it is used.
    fn set_driver_features(&self, features: u64);
    /// Largest size of a queue in entries; 0 if there is no such queue.
    fn queue_limit(&self, queue: u16) -> u16;
    /// Tells the device of a queue and lets it begin.
    ///
    /// # Errors
    /// [`Failure::Interrupt`].
    fn enable_queue(&mut self, queue: u16, size: u16, addresses: QueueAddresses) -> Result<(), Failure>;
    /// Lets interrupts of the device call handlers. Before any queue is enabled.
    ///
    /// # Errors
    /// [`Failure::Interrupt`], [`Failure::Registers`].
    fn connect_interrupts(&mut self, interrupts: &Interrupts<'_>) -> Result<(), Failure>;
    /// Tells the device that its interrupt was seen, whatever it was for. Returns whether it says that its configuration has
    /// changed; a bus with an interrupt of its own for that says no.
    fn acknowledge_interrupt(&self) -> bool;
    /// Tells the device that an interrupt for its queues was seen. If it was not only for them, another one follows. Costs
    /// less than [`Self::acknowledge_interrupt`]: nothing is read.
    fn acknowledge_queues(&self);
    /// Tells the device that a queue has something for it.
    fn notify(&self, queue: u16);
    /// A byte of what is particular to the kind of device; 0 beyond its end.
    fn configuration(&self, offset: u64) -> u8;
}

/// Why a device can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No such device was found.
    Absent,
    /// Its registers can't be reached, or make no sense.
    Registers(&'static str),
    /// It does not come out of reset.
    Reset,
    /// It speaks only the old protocol ("legacy").
    Legacy,
    /// It takes back what it offered.
    Features,
    /// It lacks a queue.
    Queue(u16),
    /// It can't interrupt.
    Interrupt,
    /// It does not answer to a command.
    Silent,
    /// It refuses a command, or answers what can't be understood.
    Refused,
    /// There is no memory for its queues.
    Memory,
    /// It has no port.
    Port,
    /// It broke the rules.
    Misbehaved(Misbehaviour),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => formatter.write_str("no such device was found"),
            Self::Registers(what) => write!(formatter, "its registers can't be used: {what}"),
            Self::Reset => formatter.write_str("it does not reset"),
            Self::Legacy => {
                formatter.write_str("it speaks only the old protocol; for QEMU: -global virtio-mmio.force-legacy=false")
            }
            Self::Features => formatter.write_str("it refuses the features that it offers"),
            Self::Queue(queue) => write!(formatter, "it has no queue {queue}"),
            Self::Interrupt => formatter.write_str("it can't be given an interrupt"),
            Self::Silent => formatter.write_str("it does not answer to a command"),
            Self::Refused => formatter.write_str("it refuses a command"),
            Self::Memory => formatter.write_str("there is no memory for its queues; give the machine more"),
            Self::Port => formatter.write_str("it names no port; for QEMU: -device virtserialport,chardev=..."),
            Self::Misbehaved(how) => how.fmt(formatter),
        }
    }
}

/// A device of a kind, over whichever bus it is reached: the first has index 0.
///
/// # Errors
/// [`Failure`].
pub fn find(
    command_line: &str,
    kind: u32,
    mut index: usize,
    functions: impl Fn() -> alloc::vec::Vec<super::pci::Function>,
) -> Result<alloc::boxed::Box<dyn Transport>, Failure> {
    if mmio::is_named(command_line) {
        match mmio::find(command_line, kind, &mut index) {
            Err(Failure::Absent) => {}
            found => return found,
        }
    }
    pci::find(kind, index, &functions())
}

/// Polls for a reset device this often; the specification sets no limit.
const RESET_PATIENCE: u32 = 100_000;

/// Resets a device and agrees on features: those of `wanted` that it has. Returns them.
///
/// # Errors
/// [`Failure::Reset`], [`Failure::Legacy`], [`Failure::Features`].
pub fn negotiate(transport: &dyn Transport, wanted: u64) -> Result<u64, Failure> {
    choose(transport, &|_| wanted)
}

/// As [`negotiate`], with features that depend on which are offered.
///
/// # Errors
/// As for [`negotiate`].
pub fn choose(transport: &dyn Transport, wanted: &dyn Fn(u64) -> u64) -> Result<u64, Failure> {
    transport.set_status(0);
    let mut patience = RESET_PATIENCE;
    while transport.status() != 0 {
        patience = patience.checked_sub(1).ok_or(Failure::Reset)?;
        core::hint::spin_loop();
    }
    transport.set_status(status::ACKNOWLEDGE | status::DRIVER);
    let offered = transport.device_features();
    if offered & VERSION_1 == 0 {
        transport.set_status(status::FAILED);
        return Err(Failure::Legacy);
    }
    let agreed = offered & (wanted(offered) | VERSION_1);
    transport.set_driver_features(agreed);
    transport.set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK);
    if transport.status() & status::FEATURES_OK == 0 {
        transport.set_status(status::FAILED);
        return Err(Failure::Features);
    }
    Ok(agreed)
}

/// Makes a queue of at most `size` entries, a power of two.
///
/// # Errors
/// [`Failure::Queue`], [`Failure::Memory`], [`Failure::Interrupt`].
pub fn make_queue(
    transport: &mut dyn Transport,
    number: u16,
    size: u16,
) -> Result<Queue<SharedMemory, Buffer>, Failure> {
    make_queue_for(transport, number, size, Agreement::default())
}

/// As [`make_queue`], for requests of any type, with what driver and device have agreed on.
///
/// # Errors
/// As for [`make_queue`].
pub fn make_queue_for<B>(
    transport: &mut dyn Transport,
    number: u16,
    size: u16,
    agreement: Agreement,
) -> Result<Queue<SharedMemory, B>, Failure> {
    let limit = transport.queue_limit(number);
    if limit == 0 {
        return Err(Failure::Queue(number));
    }
    // The largest power of two that both sides can do.
    let size = size.min(1 << limit.ilog2());
    let layout = Layout::with_tables(size, agreement.table_entries);
    let memory = SharedMemory::new(layout.length).ok_or(Failure::Memory)?;
    let base = memory.physical();
    let addresses = QueueAddresses {
        descriptors: base + layout.descriptors as u64,
        available: base + layout.available as u64,
        used: base + layout.used as u64,
    };
    let queue = Queue::with_agreement(memory, size, agreement);
    transport.enable_queue(number, size, addresses)?;
    Ok(queue)
}

/// Tells the device that the driver is ready.
pub fn start(transport: &dyn Transport) {
    transport.set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK);
}

/// Tells the device about what was submitted, if it wants to know.
fn notify<M: RingMemory, B>(transport: &dyn Transport, queue: &mut Queue<M, B>, number: u16) {
    if queue.wants_notification() {
        transport.notify(number);
    }
}
