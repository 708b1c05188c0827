//! What a machine is made of.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use pith_network_settings::Settings;

use crate::accelerator::Accelerator;
use crate::command_line::KernelCommandLine;

/// The board that a monitor emulates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MachineType {
    /// QEMU's `microvm`: no PCI, no ACPI, devices by virtio-mmio. Starts in a third of the time.
    #[default]
    Microvm,
    /// A PC of 2009 with PCI Express, as most clouds show it.
    Q35,
}

/// Ports of the host that lead to ports of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedPorts {
    /// Where the host listens. For datagrams it is an address of IPv4, since the router listens for them.
    pub address: IpAddr,
    /// The host's first port.
    pub host: u16,
    /// The machine's first port.
    pub guest: u16,
    /// How many ports there are from the first, at least 1.
    pub count: u16,
    /// Datagrams instead of connections.
    pub datagrams: bool,
}

/// What the cable of a network card leads to.
#[derive(Clone, Debug)]
pub enum Connection {
    /// A router that the monitor plays, which needs no privilege.
    User {
        /// Ports of the host that lead to the machine.
        ports: Vec<PublishedPorts>,
    },
    /// A TAP device: an interface of the host's own, whose other end is the card. One file for each queue.
    Tap(Vec<Arc<OwnedFd>>),
}

/// A network card.
#[derive(Clone, Debug)]
pub struct NetworkCard {
    /// Where its frames go.
    pub connection: Connection,
    /// What the machine is to set it to. The hardware address must be given: by it the kernel knows the card.
    pub settings: Settings,
}

impl NetworkCard {
    /// The card's address in the notation of [`Settings`].
    pub(crate) fn hardware_address(&self) -> String {
        let bytes = self.settings.hardware.unwrap_or_default();
        bytes.map(|byte| format!("{byte:02x}")).join(":")
    }

    /// The files that the monitor's process must have.
    pub(crate) fn files(&self) -> &[Arc<OwnedFd>] {
        match &self.connection {
            Connection::User { .. } => &[],
            Connection::Tap(files) => files,
        }
    }
}

/// Everything that a [`Monitor`](crate::Monitor) needs to start a machine.
#[derive(Clone, Debug)]
pub struct MachineSpecification {
    /// The image: an ELF file with a PVH entry point.
    pub image: PathBuf,
    /// Memory in MiB.
    pub memory_mebibytes: u32,
    /// Number of virtual CPUs, at least 1.
    pub cpus: u32,
    /// What executes the guest's instructions.
    pub accelerator: Accelerator,
    /// The board.
    pub machine_type: MachineType,
    /// The monitor's name for a model of processor; `None` takes the one with the most features.
    pub cpu_model: Option<String>,
    /// The network cards; none for no network.
    pub network: Vec<NetworkCard>,
    /// What the kernel is told.
    pub command_line: KernelCommandLine,
}
