//! Debian's tools of the network, unmodified, in a machine on a wire whose other end is Linux.

use pith_end_to_end::Workshop;
use pith_end_to_end::guest::Network;
use pith_end_to_end::namespace::{GUEST, OWN, on_a_wire};
use std::fs::{self, File};
use std::net::UdpSocket;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

type Check = fn(&Workshop) -> Result<(), String>;

/// Name and check.
pub const CHECKS: &[(&str, Check)] = &[
    ("arping", arping),
    ("ip", ip),
    ("ping", ping),
    ("ss", ss),
    ("tcpdump", tcpdump),
    ("traceroute", traceroute),
];

/// How long a tool may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The command that runs a tool in a machine.
fn machine(workshop: &Workshop, network: &Network, tool: &[&str]) -> Result<Command, String> {
    let Network::Direct(options, _) = network else {
        return Err("the machine is not on the wire".into());
    };
    let mut command = workshop.pith("run");
    command
        .arg("-q")
        .args(options)
        .arg("--")
        .args(tool)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

/// Runs a command, and `meanwhile` again and again until it ends. It has to succeed.
fn run(
    mut command: Command,
    mut meanwhile: impl FnMut() -> Result<(), String>,
) -> Result<String, String> {
    let mut child = command
        .spawn()
        .map_err(|error| format!("can't start {command:?}: {error}"))?;
    let end = Instant::now() + LIMIT;
    while child
        .try_wait()
        .map_err(|error| error.to_string())?
        .is_none()
    {
        if Instant::now() > end {
            // It may have ended by itself.
            let _ = child.kill();
        }
        meanwhile()?;
        thread::sleep(Duration::from_millis(20));
    }
    let Output {
        status,
        stdout,
        stderr,
    } = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let (output, errors) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    match status.success() {
        true => Ok(format!("{output}{errors}")),
        false => Err(format!("{status}:\n{output}{errors}")),
    }
}

/// Whether each of some texts is in an output.
fn expect(output: &str, texts: &[&str]) -> Result<(), String> {
    match texts.iter().find(|text| !output.contains(**text)) {
        Some(missing) => Err(format!("no {missing:?} in the output:\n{output}")),
        None => Ok(()),
    }
}

/// Runs a tool on a wire and looks for texts in what it says.
fn check(workshop: &Workshop, tool: &[&str], texts: &[&str]) -> Result<(), String> {
    on_a_wire(|network| {
        let output = run(machine(workshop, network, tool)?, || Ok(()))?;
        expect(&output, texts)
    })
}

fn ping(workshop: &Workshop) -> Result<(), String> {
    let own = OWN.to_string();
    let texts = [
        "2 packets transmitted, 2 received, 0% packet loss",
        "64 bytes from 10.7.0.1: icmp_seq=2 ttl=64",
    ];
    check(workshop, &["ping", "-c", "2", "-i", "0.2", &own], &texts)
}

/// What it changes has effect: the machine answers under its new address by a router's route.
fn ip(workshop: &Workshop) -> Result<(), String> {
    on_a_wire(|network| {
        let path = workshop.directory_for("tools-ip")?.join("changes");
        let lines = "address add 10.8.0.2/24 brd + dev eth0\n\
            link set eth0 mtu 1400\n\
            route add 10.9.0.0/16 via 10.8.0.1 metric 7\n\
            address show dev eth0\n\
            route show\n\
            link set eth0 down\n\
            link show dev eth0\n";
        fs::write(&path, lines).map_err(|error| error.to_string())?;
        let file = File::open(&path).map_err(|error| error.to_string())?;
        let mut command = machine(workshop, network, &["ip", "-batch", "-"])?;
        command.stdin(Stdio::from(file));
        let output = run(command, || Ok(()))?;
        expect(
            &output,
            &[
                "inet 10.8.0.2/24 brd 10.8.0.255 scope global eth0",
                "<BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400",
                "10.9.0.0/16 via 10.8.0.1 dev eth0 metric 7",
                "10.8.0.0/24 dev eth0",
                "<BROADCAST,MULTICAST> mtu 1400",
            ],
        )
    })
}

/// Connections of others there are none, but what it asks for is answered.
fn ss(workshop: &Workshop) -> Result<(), String> {
    check(
        workshop,
        &["ss", "-tuanp"],
        &["Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port"],
    )
}

fn arping(workshop: &Workshop) -> Result<(), String> {
    let own = OWN.to_string();
    let texts = [
        "index=1",
        "2 packets transmitted, 2 packets received,   0% unanswered (0 extra)",
    ];
    check(workshop, &["arping", "-c", "2", "-i", "eth0", &own], &texts)
}

/// By UDP, whose errors come back, and by echoes.
fn traceroute(workshop: &Workshop) -> Result<(), String> {
    let own = OWN.to_string();
    for way in ["-U", "-I"] {
        let texts = ["1  10.7.0.1  "];
        check(
            workshop,
            &["traceroute", "-n", "-m", "2", way, &own],
            &texts,
        )?;
    }
    Ok(())
}

/// It sees what Linux sends, by a filter and a ring of its own choice.
fn tcpdump(workshop: &Workshop) -> Result<(), String> {
    on_a_wire(|network| {
        let socket = UdpSocket::bind((OWN, 4000)).map_err(|error| error.to_string())?;
        let tool = [
            "tcpdump", "-n", "-i", "eth0", "-c", "3", "udp", "port", "9999",
        ];
        let output = run(machine(workshop, network, &tool)?, || {
            // The machine may not be there yet.
            let _ = socket.send_to(b"bytes", (GUEST, 9999));
            Ok(())
        })?;
        let seen = "IP 10.7.0.1.4000 > 10.7.0.2.9999: UDP, length 5";
        if output.matches(seen).count() != 3 {
            return Err(format!("it saw something else:\n{output}"));
        }
        expect(
            &output,
            &["3 packets captured", "0 packets dropped by kernel"],
        )
    })
}
