//! Network namespaces: a test that needs ports, interfaces or packets of its own gets a network of its own.

use crate::guest::Network;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

/// Runs `body` in a fresh network namespace, in which only the loopback interface is up. What `body` starts, threads
/// and processes, is in there too; with the last of them the namespace goes away.
///
/// # Errors
/// Without the right to make one, which takes root.
pub fn in_namespace<T: Send>(body: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    thread::scope(|scope| {
        scope
            .spawn(|| {
                enter()?;
                run("ip", &["link", "set", "lo", "up"])?;
                body()
            })
            .join()
            .unwrap_or_else(|_| Err("the test failed in its namespace".into()))
    })
}

/// The test's end of the wire in [`on_a_wire`].
pub const OWN: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
/// The machine's end.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);

/// Runs `body` in a namespace with a TAP device, at whose other end the machine is. Linux's own TCP is then the peer,
/// and no router is between the two. The machine asks this end for names.
pub fn on_a_wire<T: Send>(
    body: impl FnOnce(&Network) -> Result<T, String> + Send,
) -> Result<T, String> {
    in_namespace(|| {
        make_tap("wire")?;
        run(
            "ip",
            &["address", "add", &format!("{OWN}/24"), "dev", "wire"],
        )?;
        run("ip", &["link", "set", "wire", "up"])?;
        let card = format!("tap:wire,ip={GUEST}/24,gateway={OWN},dns={OWN}");
        body(&Network::Direct(vec!["--net".into(), card], GUEST))
    })
}

/// The second machine of [`on_a_bridge`].
pub const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 3);

/// Runs `body` in a namespace with a bridge, on which are the test and two machines.
pub fn on_a_bridge<T: Send>(
    body: impl FnOnce([&Network; 2]) -> Result<T, String> + Send,
) -> Result<T, String> {
    in_namespace(|| {
        run("ip", &["link", "add", "name", "bridge", "type", "bridge"])?;
        run(
            "ip",
            &["address", "add", &format!("{OWN}/24"), "dev", "bridge"],
        )?;
        run("ip", &["link", "set", "bridge", "up"])?;
        let wire = |name: &str, address: Ipv4Addr| {
            make_tap(name)?;
            run("ip", &["link", "set", name, "master", "bridge", "up"])?;
            // Cards of the same address would hear one another's frames.
            let last = address.octets()[3];
            let card = format!("tap:{name},ip={address}/24,mac=52:54:00:07:00:{last:02x}");
            Ok::<_, String>(Network::Direct(vec!["--net".into(), card], address))
        };
        let (one, other) = (wire("one", GUEST)?, wire("other", NEIGHBOUR)?);
        body([&one, &other])
    })
}

/// Makes a TAP device, with as many queues as a machine has processors.
fn make_tap(name: &str) -> Result<(), String> {
    let kind = ["mode", "tap", "multi_queue"];
    run("ip", &[&["tuntap", "add", "dev", name], &kind[..]].concat()).map(drop)
}

/// Moves this thread into a fresh namespace.
fn enter() -> Result<(), String> {
    let explain =
        |error: std::io::Error| format!("can't make a network namespace, which root may: {error}");
    // A process holds it until this thread is inside.
    let mut holder = Command::new("unshare")
        .args(["--net", "sh", "-c", "echo; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(explain)?;
    let mut line = String::new();
    if let Some(output) = holder.stdout.take() {
        BufReader::new(output)
            .read_line(&mut line)
            .map_err(explain)?;
    }
    let entered = File::open(format!("/proc/{}/ns/net", holder.id())).and_then(|file| {
        if line.is_empty() {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    });
    drop(holder.stdin.take());
    holder.wait().map_err(explain)?;
    entered.map_err(explain)
}

/// Runs a command that has to succeed.
pub fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("can't start {program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!(
            "{program} {} ended with {}:\n{}{}",
            arguments.join(" "),
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        ))
    }
}
