//! Machines that serve, on either side.

use super::counting::Counting;
use super::server::{SERVERS, Server, modules_of};
use super::wire::{Plan, Tap};
use crate::linux::{self, newest_kernel};
use crate::run::{Workshop, read};
use std::cell::Cell;
use std::fs::File;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a machine may take until it serves.
const PATIENCE: Duration = Duration::from_secs(12);

/// Which kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `pith run`.
    Pith,
    /// QEMU with Linux.
    Linux,
}

/// How a machine is started.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// What serves.
    pub server: Server,
    /// Memory in MiB.
    pub memory: u32,
    /// Processors.
    pub processors: u32,
    /// Whether its instructions are counted.
    pub counting: Option<&'a Counting>,
}

/// Tells Linux how fast its time stamp counter runs, which under TCG is the host's. Left to itself it calibrates the counter
/// against an emulated timer, which fails on a busy host, and then most often hangs.
fn clock_words(processor_information: &[u8]) -> String {
    /// Ticks a second of Debian's kernel (`CONFIG_HZ`).
    const TICKS: f64 = 250.0;
    let text = String::from_utf8_lossy(processor_information);
    let line = text.lines().find(|line| line.starts_with("cpu MHz"));
    let megahertz = line.and_then(|line| line.split_once(':')?.1.trim().parse::<f64>().ok());
    megahertz.map_or_else(String::new, |frequency| {
        let kilohertz = frequency * 1000.0;
        let loops = kilohertz * 1000.0 / TICKS;
        format!("tsc_early_khz={kilohertz:.0} lpj={loops:.0}")
    })
}

/// What machines are made of.
pub struct Factory {
    pith: PathBuf,
    kernel: PathBuf,
    accelerator: String,
    directory: PathBuf,
    clock_words: String,
    discarded: Cell<usize>,
}

impl Factory {
    /// Builds images and initial file systems of all servers.
    pub fn new(workshop: &Workshop, sources: &Path, accelerator: &str) -> Result<Self, String> {
        let factory = Self {
            pith: crate::pith::command()?,
            kernel: newest_kernel(Path::new("/boot"))?,
            accelerator: accelerator.into(),
            directory: workshop.path(""),
            clock_words: match accelerator {
                "tcg" => clock_words(&read(Path::new("/proc/cpuinfo"))?),
                _ => String::new(),
            },
            discarded: Cell::new(0),
        };
        let modules = modules_of(&factory.kernel)?;
        let wire = Tap::planned(Side::Linux);
        let network = format!("{}\n255.255.255.0\n{}\n", wire.machine, wire.own);
        for server in SERVERS {
            server.build_image(&factory.pith, workshop, sources)?;
            server.build_archive(workshop, sources, &modules, network.clone())?;
        }
        Ok(factory)
    }

    fn command(&self, side: Side, setting: Setting<'_>, wire: Plan) -> Command {
        // Whatever ends the benchmark ends the machines.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        match side {
            Side::Pith => self.pith(&mut command, setting, wire),
            Side::Linux => self.linux(&mut command, setting, wire),
        }
        command
    }

    fn pith(&self, command: &mut Command, setting: Setting<'_>, wire: Plan) {
        let network = format!(
            "tap:{},ip={}/24,gateway={}",
            wire.name, wire.machine, wire.own
        );
        command
            .arg(&self.pith)
            .args(["run", "--accel", &self.accelerator, "--net", &network])
            .args(["-m", &setting.memory.to_string()])
            .args(["-c", &setting.processors.to_string()])
            .arg("--")
            .arg(self.directory.join(format!("{}.pith", setting.server.name)));
        if let Some(counting) = setting.counting {
            command.env("PITH_QEMU", &counting.program);
        }
    }

    fn linux(&self, command: &mut Command, setting: Setting<'_>, wire: Plan) {
        let cpu = match self.accelerator.as_str() {
            "kvm" => "host",
            _ => "max",
        };
        // As `pith run` does it.
        let vhost = match Path::new("/dev/vhost-net").exists() {
            true => "on",
            false => "off",
        };
        match setting.counting {
            Some(counting) => command.arg(&counting.program),
            None => command.arg("qemu-system-x86_64"),
        };
        command
            // Debian's kernel finds MMIO devices by ACPI only.
            .args(["-machine", "microvm,acpi=on,rtc=on"])
            .args(["-accel", &self.accelerator, "-cpu", cpu])
            .args(["-m", &format!("{}M", setting.memory)])
            .args(["-smp", &setting.processors.to_string()])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-no-reboot", "-serial", "stdio"])
            .args(["-global", "virtio-mmio.force-legacy=false"])
            .arg("-netdev")
            .arg(format!(
                "tap,id=network,ifname={},script=no,downscript=no,vnet_hdr=on,vhost={vhost}",
                wire.name
            ))
            .args(["-device", "virtio-net-device,netdev=network"])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(self.directory.join(format!("{}.cpio", setting.server.name)))
            .arg("-append")
            .arg(format!(
                "console=ttyS0 quiet panic=-1 reboot=t {}",
                self.clock_words
            ));
    }

    /// Starts a machine; it may not serve yet.
    pub fn start(&self, side: Side, setting: Setting<'_>) -> Result<Machine, String> {
        let tap = Tap::new(side)?;
        let console = self.directory.join(format!("{side:?}-console"));
        let output = File::create(&console).map_err(|error| error.to_string())?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let address = SocketAddrV4::new(tap.0.machine, setting.server.port);
        let mut command = self.command(side, setting, tap.0);
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("can't start {command:?}: {error}"))?;
        Ok(Machine {
            side,
            server: setting.server,
            address,
            started,
            child,
            console,
            _tap: tap,
        })
    }

    /// Starts a machine and waits until it serves. Returns also how long that took.
    pub fn serve(&self, side: Side, setting: Setting<'_>) -> Result<(Machine, Duration), String> {
        // Linux now and then hangs (see `linux::ATTEMPTS`).
        let attempts = match side {
            Side::Pith => 1,
            Side::Linux => linux::ATTEMPTS,
        };
        let mut complaint = String::new();
        for _ in 0..attempts {
            let mut machine = self.start(side, setting)?;
            let patience = match setting.counting {
                None => PATIENCE,
                // Counting takes time.
                Some(_) => 4 * PATIENCE,
            };
            if let Some(time) = machine.time_of_answer(patience)? {
                return Ok((machine, time));
            }
            complaint = machine.complaint("it does not serve");
            if side == Side::Linux {
                self.discarded.set(self.discarded.get() + 1);
            }
        }
        Err(complaint)
    }

    /// The file name of Linux's kernel, with its version.
    pub fn kernel_name(&self) -> String {
        let name = self.kernel.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// How many boots of Linux were thrown away.
    pub fn discarded(&self) -> usize {
        self.discarded.get()
    }
}

/// A machine that runs, until the value goes.
#[derive(Debug)]
pub struct Machine {
    side: Side,
    server: Server,
    /// Where it serves.
    pub address: SocketAddrV4,
    started: Instant,
    child: Child,
    console: PathBuf,
    /// After the process, which has it open.
    _tap: Tap,
}

impl Machine {
    /// Time from the start to the first good answer; `None` if the machine ended, or was not as fast as that.
    pub fn time_of_answer(&mut self, limit: Duration) -> Result<Option<Duration>, String> {
        while self.started.elapsed() < limit {
            if self.server.answers(self.address, Duration::from_millis(20)) {
                return Ok(Some(self.started.elapsed()));
            }
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() {
                return Ok(None);
            }
            // Refusals come at once.
            thread::sleep(Duration::from_millis(1));
        }
        Ok(None)
    }

    /// What went wrong, with what the machine said.
    pub fn complaint(&self, what: &str) -> String {
        let said = read(&self.console).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(20)..].join("\n");
        format!("{:?} with {}: {what}\n{last}", self.side, self.server.name)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended already; a second failure would hide the first.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frequency_is_read() {
        let text = b"model name\t: EPYC\ncpu MHz\t\t: 2596.146\n";
        assert_eq!(clock_words(text), "tsc_early_khz=2596146 lpj=10384584");
        assert_eq!(clock_words(b""), "");
    }
}
