//! Runs machines on QEMU (`qemu-system-x86_64`).
//!
//! The channel is a virtio console whose backend is QEMU's standard input and output. QEMU's standard
//! error carries two things, told apart by how a line starts: the first serial port, where the kernel
//! writes before the channel is up, and QEMU's own complaints.
//!
//! Time to start matters (see `docs/`): `microvm` without ACPI lets QEMU choose the small `qboot` firmware
//! and skips tables nobody reads. Measured with QEMU 7.2 under TCG: 27 ms from start to the end of a guest
//! that leaves at once, against 37 ms with ACPI and 100 ms for `q35` as it comes.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use pith_abi::command_line as key;
use pith_network_settings::Settings;

use crate::accelerator::Accelerator;
use crate::death_signal::die_with_parent;
use crate::launch::{Machine, Monitor, StartError};
use crate::specification::{Connection, MachineSpecification, MachineType, NetworkCard};
use crate::tap;

/// Environment variable that names another program to start in place of `qemu-system-x86_64`.
pub const PROGRAM_VARIABLE: &str = "PITH_QEMU";

/// QEMU for this architecture.
const PROGRAM: &str = "qemu-system-x86_64";

/// How to get it.
const INSTALL: &str = "sudo apt-get install qemu-system-x86";

/// Most bytes of kernel command line that arrive on `q35`: QEMU's PVH loader keeps 4 KiB and cuts the rest.
const Q35_COMMAND_LINE_LIMIT: usize = 4000;

/// Most bytes of kernel command line on `microvm`, whose firmware passes it whole; Linux allows no longer
/// single argument to QEMU than 128 KiB (`MAX_ARG_STRLEN`).
const MICROVM_COMMAND_LINE_LIMIT: usize = 100_000;

/// QEMU, found in `PATH` or named by [`PROGRAM_VARIABLE`].
#[derive(Clone, Debug)]
pub struct Qemu {
    program: OsString,
}

impl Qemu {
    /// The QEMU that the environment names.
    pub fn from_environment() -> Self {
        Self {
            program: env::var_os(PROGRAM_VARIABLE)
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| PROGRAM.into()),
        }
    }

    /// This program.
    pub fn at(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
        }
    }
}

impl Default for Qemu {
    fn default() -> Self {
        Self::from_environment()
    }
}

impl Monitor for Qemu {
    fn name(&self) -> &'static str {
        "QEMU"
    }

    fn channel_words(&self) -> &'static [(&'static str, &'static str)] {
        &[(key::CHANNEL, "virtio")]
    }

    fn start(&self, specification: &MachineSpecification) -> Result<Machine, StartError> {
        let arguments = arguments(specification)?;
        check_memory(specification)?;
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at the terminal reaches every process of the foreground group. QEMU would end at once;
            // it is the program inside that has to decide.
            .process_group(0);
        let files = specification.network.iter().flat_map(|card| card.files());
        die_with_parent(&mut command, files.cloned().collect());
        command
            .spawn()
            .and_then(Machine::new)
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => StartError::NotInstalled {
                    program: self.program.clone(),
                    remedy: INSTALL,
                },
                _ => StartError::Spawn {
                    program: self.program.clone(),
                    source,
                },
            })
    }

    fn owns_line(&self, line: &str) -> bool {
        line.starts_with("qemu")
    }

    fn remedy(&self, complaint: &str) -> Option<&'static str> {
        let has = |text: &str| complaint.contains(text);
        if has("Could not access KVM") || has("failed to initialize kvm") {
            Some("use --accel tcg, or give yourself access to /dev/kvm: sudo adduser $USER kvm")
        } else if has("cannot set up guest memory") || has("Cannot allocate memory") {
            Some("give the machine less memory: -m MEMORY")
        } else if has("Address space limit") || has("phys-bits too low") {
            Some("give the machine less memory, or a processor with more address bits: --cpu max")
        } else if has("unable to find CPU model") {
            Some("see the models that QEMU knows: qemu-system-x86_64 -cpu help")
        } else if has("SMP CPUs") || has("smp") {
            Some("give the machine fewer processors: -c CPUS")
        } else if has("is not a valid device model name") || has("unsupported machine type") {
            Some("this QEMU is too old or lacks modules: sudo apt-get install qemu-system-x86")
        } else {
            None
        }
    }
}

/// The small board, with what the kernel needs. Without ACPI it starts sooner, but its tables do not tell how many
/// processors there are: the command line does.
const MICROVM: &str = "microvm,acpi=off,graphics=off,usb=off,pcie=off,pit=on,pic=on,rtc=on,isa-serial=on,\
                       auto-kernel-cmdline=on";

/// Where the segments of an image end in physical memory; `None` if the file is no ELF file of 64 bits, which QEMU will
/// say in its own words.
fn end_in_memory(image: &Path) -> Option<u64> {
    const LOAD: u32 = 1;
    let mut start = Vec::new();
    File::open(image)
        .ok()?
        .take(4096)
        .read_to_end(&mut start)
        .ok()?;
    let word = |offset: usize| Some(u64::from_le_bytes(*start.get(offset..)?.first_chunk()?));
    let half = |offset: usize| Some(u16::from_le_bytes(*start.get(offset..)?.first_chunk()?));
    if start.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let (table, size, count) = (word(32)?, half(54)?, half(56)?);
    let mut end = 0;
    for index in 0..u64::from(count) {
        let header = usize::try_from(table.checked_add(index * u64::from(size))?).ok()?;
        if word(header)? as u32 == LOAD {
            end = end.max(word(header + 24)?.checked_add(word(header + 40)?)?);
        }
    }
    Some(end)
}

/// Too little memory even to load the image is told before QEMU starts: the kernel could not.
fn check_memory(specification: &MachineSpecification) -> Result<(), StartError> {
    let memory = u64::from(specification.memory_mebibytes) << 20;
    match end_in_memory(&specification.image) {
        Some(end) if end > memory => Err(StartError::Specification(format!(
            "too little memory: the image ends at {} KiB, and the machine has {} KiB; give it more (-m)",
            end >> 10,
            memory >> 10
        ))),
        _ => Ok(()),
    }
}

/// The host's side of a network card.
fn backend(index: usize, card: &NetworkCard) -> String {
    match &card.connection {
        Connection::User { ports } => {
            let mut backend = format!("user,id=network{index},ipv4=on");
            backend += &router(&card.settings);
            backend += &router6(&card.settings);
            for ports in ports {
                let protocol = if ports.datagrams { "udp" } else { "tcp" };
                let (address, host, guest) = (ports.address, ports.host, ports.guest);
                for offset in 0..ports.count {
                    let (host, guest) = (host + offset, guest + offset);
                    backend += &format!(",hostfwd={protocol}:{address}:{host}-:{guest}");
                }
            }
            backend
        }
        Connection::Tap(files) => {
            let numbers: Vec<String> = files
                .iter()
                .map(|file| file.as_raw_fd().to_string())
                .collect();
            let key = if files.len() == 1 { "fd" } else { "fds" };
            let vhost = if tap::has_vhost() { "on" } else { "off" };
            // Whether frames carry a header with checksums and sizes still to be dealt with, QEMU asks the device.
            format!(
                "tap,id=network{index},{key}={},vhost={vhost}",
                numbers.join(":")
            )
        }
    }
}

/// What QEMU's router has to be told to agree with a machine's fixed address: its network, itself in it, and the name
/// server that it plays.
fn router(settings: &Settings) -> String {
    let fixed = settings
        .addresses
        .iter()
        .find_map(|subnet| match subnet.address {
            IpAddr::V4(address) => Some((subnet, address)),
            IpAddr::V6(_) => None,
        });
    let Some((subnet, address)) = fixed else {
        return String::new();
    };
    let mask = u32::MAX
        .checked_shl(32 - u32::from(subnet.bits))
        .unwrap_or(0);
    let network = Ipv4Addr::from_bits(address.to_bits() & mask);
    let mut options = format!(",net={network}/{},dhcpstart={address}", subnet.bits);
    if let Some(gateway) = settings.gateway {
        options += &format!(",host={gateway}");
    }
    // A server elsewhere is asked by way of the router.
    let inside = |server: &&IpAddr| {
        subnet.contains(**server) && settings.gateway.map(IpAddr::V4) != Some(**server)
    };
    if let Some(server) = settings.name_servers.iter().find(inside) {
        options += &format!(",dns={server}");
    }
    options
}

/// The same for IPv6: its network and itself in it. A machine without an address of that family has no use for it.
fn router6(settings: &Settings) -> String {
    let fixed = settings
        .addresses
        .iter()
        .find_map(|subnet| match subnet.address {
            IpAddr::V6(address) => Some((subnet, address)),
            IpAddr::V4(_) => None,
        });
    match fixed {
        Some((subnet, address)) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(subnet.bits))
                .unwrap_or(0);
            let network = Ipv6Addr::from_bits(address.to_bits() & mask);
            let mut options = format!(",ipv6=on,ipv6-net={network}/{}", subnet.bits);
            if let Some(gateway) = settings.gateway6 {
                options += &format!(",ipv6-host={gateway}");
            }
            options
        }
        None if settings.slaac => ",ipv6=on".to_owned(),
        None => ",ipv6=off".to_owned(),
    }
}

/// The machine's side of a network card.
fn device(index: usize, card: &NetworkCard, machine_type: MachineType) -> String {
    let mut device = match machine_type {
        MachineType::Microvm => "virtio-net-device".to_owned(),
        // Without the program with which it could start the machine.
        MachineType::Q35 => "virtio-net-pci,disable-legacy=on,romfile=".to_owned(),
    };
    device += &format!(",netdev=network{index},mac={}", card.hardware_address());
    if let Some(mtu) = card.settings.mtu {
        device += &format!(",host_mtu={mtu}");
    }
    let queues = card.files().len();
    if queues > 1 {
        device += ",mq=on";
        if machine_type == MachineType::Q35 {
            // Two for each pair of queues, one for the control queue and one for changes of the configuration.
            device += &format!(",vectors={}", 2 * queues + 2);
        }
    }
    device
}

/// QEMU's arguments for a machine.
fn arguments(specification: &MachineSpecification) -> Result<Vec<OsString>, StartError> {
    let MachineSpecification {
        image,
        memory_mebibytes,
        cpus,
        accelerator,
        machine_type,
        cpu_model,
        network,
        command_line,
    } = specification;

    let (board, channel, limit) = match machine_type {
        MachineType::Microvm => (MICROVM, "virtio-serial-device", MICROVM_COMMAND_LINE_LIMIT),
        MachineType::Q35 => (
            "q35,usb=off,sata=off,smbus=off,hpet=off,vmport=off",
            "virtio-serial-pci,disable-legacy=on",
            Q35_COMMAND_LINE_LIMIT,
        ),
    };
    let mut command_line = command_line.clone();
    if *machine_type == MachineType::Microvm {
        command_line.push(key::PROCESSORS, cpus.to_string().as_bytes());
    }
    for card in network {
        command_line.push(key::NETWORK, card.settings.to_string().as_bytes());
    }
    let length = command_line.as_str().len();
    if length > limit {
        return Err(StartError::CommandLineTooLong { length, limit });
    }
    if *cpus == 0 || *memory_mebibytes == 0 {
        return Err(StartError::Specification(format!(
            "a machine needs at least one processor and 1 MiB of memory, not {cpus} and {memory_mebibytes}"
        )));
    }

    // A name that starts with a dash would be taken for an option.
    let image = match image.is_relative() {
        true => std::path::Path::new(".").join(image),
        false => image.clone(),
    };
    let (accelerator, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg", "max"),
        Accelerator::TcgInTurns => ("tcg,thread=single", "max"),
    };
    let cpu = cpu_model.as_deref().unwrap_or(cpu);

    let mut arguments: Vec<OsString> = Vec::with_capacity(40);
    let mut option = |name: &str, value: &str| {
        arguments.push(name.into());
        arguments.push(value.into());
    };
    option("-machine", &format!("{board},memory-backend=memory"));
    // Memory is taken from the host when the guest touches it; a large machine may start on a small host.
    option(
        "-object",
        &format!("memory-backend-ram,id=memory,size={memory_mebibytes}M,reserve=off"),
    );
    option("-m", &format!("{memory_mebibytes}M"));
    option("-smp", &cpus.to_string());
    option("-accel", accelerator);
    option("-cpu", cpu);
    option("-display", "none");
    // What the machine emulator itself may do on the host: no new processes, no new privileges.
    option(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    );
    option("-chardev", "file,id=log,path=/proc/self/fd/2");
    option("-serial", "chardev:log");
    option("-global", "virtio-mmio.force-legacy=false");
    option("-device", channel);
    option("-chardev", "stdio,id=channel,signal=off");
    option("-device", "virtserialport,chardev=channel");
    option("-device", "isa-debug-exit,iobase=0xf4,iosize=4");
    for (index, card) in network.iter().enumerate() {
        option("-netdev", &backend(index, card));
        option("-device", &device(index, card, *machine_type));
    }
    if !command_line.is_empty() {
        option("-append", command_line.as_str());
    }
    arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(OsString::from));
    arguments.push("-kernel".into());
    arguments.push(image.into());
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::KernelCommandLine;
    use crate::specification::PublishedPorts;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    fn specification() -> MachineSpecification {
        let mut command_line = KernelCommandLine::new();
        command_line.push("pith.argument", b"a b");
        MachineSpecification {
            image: "-image".into(),
            memory_mebibytes: 64,
            cpus: 2,
            accelerator: Accelerator::Tcg,
            machine_type: MachineType::Microvm,
            cpu_model: None,
            network: Vec::new(),
            command_line,
        }
    }

    fn after(arguments: &[OsString], name: &str) -> Vec<String> {
        arguments
            .windows(2)
            .filter(|pair| pair[0] == name)
            .map(|pair| pair[1].to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn each_figure_reaches_qemu() {
        let arguments = arguments(&specification()).unwrap();
        assert_eq!(after(&arguments, "-m"), ["64M"]);
        assert_eq!(after(&arguments, "-smp"), ["2"]);
        assert_eq!(after(&arguments, "-accel"), ["tcg"]);
        let in_turns = MachineSpecification {
            accelerator: Accelerator::TcgInTurns,
            ..specification()
        };
        let in_turns = super::arguments(&in_turns).unwrap();
        assert_eq!(after(&in_turns, "-accel"), ["tcg,thread=single"]);
        assert_eq!(after(&arguments, "-cpu"), ["max"]);
        assert_eq!(
            after(&arguments, "-append"),
            ["pith.argument=a%20b pith.processors=2"]
        );
        assert_eq!(after(&arguments, "-kernel"), ["./-image"]);
        assert!(after(&arguments, "-machine")[0].starts_with("microvm,"));
        assert!(after(&arguments, "-device").contains(&"virtio-serial-device".to_string()));
    }

    #[test]
    fn q35_has_its_console_on_pci_and_refuses_what_would_be_cut_off() {
        let mut specification = specification();
        specification.machine_type = MachineType::Q35;
        specification.accelerator = Accelerator::Kvm;
        let arguments_q35 = arguments(&specification).unwrap();
        assert_eq!(after(&arguments_q35, "-cpu"), ["host"]);
        assert!(
            after(&arguments_q35, "-device")
                .contains(&"virtio-serial-pci,disable-legacy=on".to_string())
        );

        specification
            .command_line
            .push("pith.argument", &[b'x'; 4000]);
        assert!(matches!(
            arguments(&specification),
            Err(StartError::CommandLineTooLong { limit: 4000, .. })
        ));
        specification.machine_type = MachineType::Microvm;
        assert!(arguments(&specification).is_ok());
    }

    #[test]
    fn each_card_has_a_backend_and_its_settings_on_the_command_line() {
        let mut specification = specification();
        let card = |connection, settings| NetworkCard {
            connection,
            settings: Settings::parse(settings).unwrap(),
        };
        let file = || Arc::new(File::open("/dev/null").unwrap().into());
        let (queue, other): (_, Arc<OwnedFd>) = (file(), file());
        let numbers = [&queue, &other].map(|file| file.as_raw_fd());
        let settings = |index: u8, rest: &str| format!("mac=52:54:00:00:00:{index:02x},{rest}");
        specification.network = vec![
            card(
                Connection::User {
                    ports: vec![PublishedPorts {
                        address: Ipv4Addr::LOCALHOST.into(),
                        host: 8080,
                        guest: 80,
                        count: 2,
                        datagrams: false,
                    }],
                },
                &settings(1, "ip=10.0.9.15/24,gateway=10.0.9.2,dns=10.0.9.3"),
            ),
            card(
                Connection::Tap(vec![queue, other]),
                &settings(2, "dhcp,mtu=9000"),
            ),
        ];
        let options = arguments(&specification).unwrap();
        let vhost = if tap::has_vhost() { "on" } else { "off" };
        assert_eq!(
            after(&options, "-netdev"),
            [
                "user,id=network0,ipv4=on,net=10.0.9.0/24,dhcpstart=10.0.9.15,host=10.0.9.2,dns=10.0.9.3,ipv6=off,\
                 hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=tcp:127.0.0.1:8081-:81"
                    .to_owned(),
                format!("tap,id=network1,fds={}:{},vhost={vhost}", numbers[0], numbers[1]),
            ]
        );
        let devices = after(&options, "-device");
        for device in [
            "virtio-net-device,netdev=network0,mac=52:54:00:00:00:01",
            "virtio-net-device,netdev=network1,mac=52:54:00:00:00:02,host_mtu=9000,mq=on",
        ] {
            assert!(devices.contains(&device.to_owned()), "{devices:?}");
        }
        let line = &after(&options, "-append")[0];
        assert!(
            line.ends_with(
                "pith.network=mac=52:54:00:00:00:01,ip=10.0.9.15/24,gateway=10.0.9.2,dns=10.0.9.3 \
                 pith.network=mac=52:54:00:00:00:02,mtu=9000,dhcp"
            ),
            "{line}"
        );
        specification.machine_type = MachineType::Q35;
        let devices = after(&arguments(&specification).unwrap(), "-device");
        assert!(
            devices.contains(
                &"virtio-net-pci,disable-legacy=on,romfile=,netdev=network1,mac=52:54:00:00:00:02,host_mtu=9000,\
                  mq=on,vectors=6"
                    .to_owned()
            ),
            "{devices:?}"
        );
    }

    #[test]
    fn the_router_agrees_with_fixed_addresses_of_ipv6() {
        let options = |text| router6(&Settings::parse(text).unwrap());
        assert_eq!(
            options("ip6=fec0::15/64,gateway6=fec0::2"),
            ",ipv6=on,ipv6-net=fec0::/64,ipv6-host=fec0::2"
        );
        assert_eq!(options("slaac"), ",ipv6=on");
        assert_eq!(options("ip=10.0.0.2/24"), ",ipv6=off");
    }

    #[test]
    fn no_processor_is_no_machine() {
        let mut specification = specification();
        specification.cpus = 0;
        assert!(matches!(
            arguments(&specification),
            Err(StartError::Specification(_))
        ));
    }

    #[test]
    fn a_missing_program_is_named_with_the_remedy() {
        let error = Qemu::at("/nonexistent/qemu")
            .start(&specification())
            .unwrap_err();
        assert_eq!(error.to_string(), "/nonexistent/qemu is not installed");
        assert_eq!(error.remedy(), Some(INSTALL));
    }
}
