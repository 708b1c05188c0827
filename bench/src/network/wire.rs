//! A network namespace of the benchmark's own, and the wires from it to the machines.
//!
//! The namespace has no name: it lives as long as the processes in it, and the kernel takes it away, with all that is in
//! it, however they end. So nothing can stay behind on the host.

use super::machine::Side;
use crate::run::{time, write};
use std::env;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Tells the benchmark that it is inside.
const INSIDE: &str = "PITH_BENCH_INSIDE";

/// No command here takes longer.
const LIMIT: Duration = Duration::from_secs(10);

/// Starts this program once more, inside of a new network namespace, in place of this process; returns if it is inside
/// already.
pub fn enter() -> Result<(), String> {
    if env::var_os(INSIDE).is_none() {
        let this = env::current_exe().map_err(|error| format!("can't find myself: {error}"))?;
        let mut unshare = Command::new("unshare");
        unshare.arg("--net");
        if output("id", &["-u"])? != "0" {
            unshare.arg("--map-root-user");
        }
        let error = unshare
            .arg("--")
            .arg(this)
            .args(env::args_os().skip(1))
            .env(INSIDE, "1")
            .exec();
        return Err(format!("can't start unshare: {error}"));
    }
    if !Path::new("/dev/net/tun").exists() {
        return Err("there is no /dev/net/tun, which the machines' network needs".into());
    }
    output("ip", &["link", "set", "lo", "up"])?;
    let settings = Path::new("/proc/sys/net/ipv4");
    for (name, value) in [
        // Tens of thousands of connections within a minute need ports.
        ("ip_local_port_range", "1024 65535"),
        ("tcp_tw_reuse", "1"),
    ] {
        write(&settings.join(name), value.as_bytes())?;
    }
    // Nothing is to be on the wires but what is measured.
    write(
        Path::new("/proc/sys/net/ipv6/conf/default/disable_ipv6"),
        b"1",
    )
}

/// What a command prints, without the end of the line.
fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    match time(Command::new(program).args(arguments), LIMIT)? {
        Some(run) if run.success => Ok(run.output.trim_end().to_owned()),
        Some(run) => Err(format!("{program} {}: {}", arguments.join(" "), run.error)),
        None => Err(format!("{program} {} hangs", arguments.join(" "))),
    }
}

/// Name and addresses of a wire.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The name of the TAP device.
    pub name: &'static str,
    /// The address of this side, with 24 bits of network.
    pub own: Ipv4Addr,
    /// The address that the machine is to have.
    pub machine: Ipv4Addr,
}

/// A TAP device, with an address for this side of the wire; taken away with the value.
#[derive(Debug)]
pub struct Tap(pub Plan);

impl Tap {
    /// What [`new`](Self::new) is going to make.
    pub fn planned(side: Side) -> Plan {
        let (name, number) = match side {
            Side::Pith => ("bench-pith", 1),
            Side::Linux => ("bench-linux", 2),
        };
        Plan {
            name,
            own: Ipv4Addr::new(10, 77, number, 1),
            machine: Ipv4Addr::new(10, 77, number, 2),
        }
    }

    /// Makes the one of this side.
    pub fn new(side: Side) -> Result<Self, String> {
        let tap = Self(Self::planned(side));
        let Plan { name, own, .. } = tap.0;
        output("ip", &["tuntap", "add", "dev", name, "mode", "tap"])?;
        output("ip", &["address", "add", &format!("{own}/24"), "dev", name])?;
        // A machine that starts is asked every few milliseconds, not every second.
        let neighbours = Path::new("/proc/sys/net/ipv4/neigh").join(name);
        write(&neighbours.join("retrans_time_ms"), b"5")?;
        output("ip", &["link", "set", name, "up"])?;
        Ok(tap)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // If it fails, the next of this name fails as well, and says so.
        let _ = output("ip", &["link", "delete", self.0.name]);
    }
}
