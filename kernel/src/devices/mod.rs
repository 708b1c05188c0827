//! Floor 4: devices.
//!
//! [`interrupts`] gives vectors out and passes interrupts on. Buses ([`pci`], [`virtio`]) find devices. One
//! trait per class says what the floors above need from a device; for now that is [`console`], over which the
//! program's standard streams, the kernel's messages and the exit report leave the machine.
//!
//! No device is trusted: what it writes is checked against what its driver remembers, so a hostile or
//! broken one can fail its driver and nothing more.

pub mod command_line;
pub mod console;
pub mod interrupts;
pub mod network;
mod pci;
mod serial;
mod shared_memory;
mod virtio;
