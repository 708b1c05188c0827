//! The network: sockets within a machine, compared with the host, and servers that are asked from outside.

use pith_end_to_end::namespace::{in_namespace, run};
use pith_end_to_end::workshop::Build;
use pith_end_to_end::{Case, Machine, Workshop};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

type Check = fn(&Workshop) -> Result<(), String>;

/// Name and check.
pub const CHECKS: &[(&str, Check)] = &[
    ("echo-microvm", echo_microvm),
    ("echo-q35", echo_q35),
    ("dhcp-and-routers", dhcp_and_routers),
    ("datagrams-in-parts", datagrams_in_parts),
    ("notices", notices),
];

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Programs of sockets within one machine, and what the kernel says of each.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("internet", &[]),
    ("datagram_corners", &[]),
    ("interfaces", &[]),
    // On the host it counts away from others.
    ("proc_net", &["there are no namespaces of users: unshare"]),
    ("socket_options", &[]),
    ("splice", &[]),
    ("sys_net", &[]),
    ("tcp_options", &[]),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (program, messages) in PROGRAMS {
        let mut case = Case::new(
            format!("network::{program}-{}", Build::Dynamic.name()),
            &format!("{{{program}:{}}}", Build::Dynamic.name()),
            &[],
        )
        .on_several_processors()
        .options(&["-m", "256M", "--net", "user"]);
        for message in *messages {
            case = case.message(message);
        }
        case.machines = vec![Machine::Microvm, Machine::Q35];
        cases.push(case);
    }
    // Without a card there is still the loopback interface.
    let name = Build::Dynamic.name();
    for program in [
        "administration",
        "counts",
        "internet6",
        "packet_rings",
        "raw_sockets",
    ] {
        let mut case = Case::new(
            format!("network::{program}-{name}"),
            &format!("{{{program}:{name}}}"),
            &[],
        );
        if program != "internet6" {
            // On Linux it wants to be alone.
            case = case.message("there are no namespaces: unshare");
        }
        if matches!(program, "administration" | "counts" | "raw_sockets") {
            // Nobody else's packets are counted or seen, and there are no ways but those that it makes.
            case = case.options(&["--net", "none"]);
        }
        if program == "packet_rings" {
            case = case.message("option 1000 of packet sockets");
        }
        cases.push(case.on_several_processors());
    }
    cases
}

/// A port of the host that nobody uses now.
fn free_port() -> Result<u16, String> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    Ok(address.port())
}

/// A machine that is ended when the test is over.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server and waits for its first line.
fn start(mut command: Command, expected: &str) -> Result<Server, String> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| format!("can't start {command:?}: {error}"))?;
    let mut server = Server(child);
    let output = server.0.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(output)
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
    if line.trim_end() == expected {
        Ok(server)
    } else {
        Err(format!("the server said {line:?} instead of {expected:?}"))
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect_timeout(&address, LIMIT).map_err(|error| format!("can't connect: {error}"))
}

/// Sends bytes, and checks that they come back.
fn exchange(mut stream: TcpStream, length: usize, seed: u8) -> Result<(), String> {
    let text = |error: std::io::Error| format!("{length} bytes: {error}");
    stream.set_read_timeout(Some(LIMIT)).map_err(text)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(text)?;
    let sent: Vec<u8> = (0..length)
        .map(|index| (index * 31) as u8 ^ (index >> 8) as u8 ^ seed)
        .collect();
    let mut writer = stream.try_clone().map_err(text)?;
    let copy = sent.clone();
    let writing = thread::spawn(move || {
        writer
            .write_all(&copy)
            .and_then(|()| writer.shutdown(Shutdown::Write))
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).map_err(text)?;
    match writing.join() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(text(error)),
        Err(_) => return Err("the writer failed".into()),
    }
    if received == sent {
        Ok(())
    } else {
        Err(format!(
            "{} other bytes came back than {length}",
            received.len()
        ))
    }
}

fn echo(workshop: &Workshop, machine: &str) -> Result<(), String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/echo/echo.c");
    let program = workshop
        .directory_for(&format!("network-echo-{machine}"))?
        .join("echo");
    let compiled = Command::new("gcc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(source)
        .status()
        .map_err(|error| format!("can't start gcc: {error}"))?;
    if !compiled.success() {
        return Err("the example can't be compiled".into());
    }
    let port = free_port()?;
    let mut command = workshop.pith("run");
    command
        .args(["--machine", machine, "-q", "-p"])
        .arg(format!("127.0.0.1:{port}:5555"))
        .arg("--")
        .arg(program);
    let _server = start(command, "listening on port 5555")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let begin = Instant::now();
    for (length, seed) in [(0, 0), (1, 1), (1500, 2), (100_000, 3), (2_000_000, 4)] {
        exchange(connect(address)?, length, seed)?;
    }
    // Several ask at once; the server answers one after the other.
    let mut clients = Vec::new();
    for seed in 0..8 {
        let stream = connect(address)?;
        clients.push(thread::spawn(move || exchange(stream, 20_000, seed)));
    }
    for client in clients {
        client.join().map_err(|_| "a client failed")??;
    }
    if begin.elapsed() > LIMIT {
        return Err(format!("it took {:?}", begin.elapsed()));
    }
    Ok(())
}

fn echo_microvm(workshop: &Workshop) -> Result<(), String> {
    echo(workshop, "microvm")
}

fn echo_q35(workshop: &Workshop) -> Result<(), String> {
    echo(workshop, "q35")
}

/// What dnsmasq gives to the one machine on its wire.
const GIVEN: &str = "\
lo 127.0.0.1
eth0 10.77.0.50
lo ::1
eth0 fe80::5054:ff:fe00:77
eth0 fd77::5054:ff:fe00:77
#MANUAL
search example.org
nameserver 10.77.0.1
nameserver fd77::1
";

/// A machine gets its addresses and name servers by DHCP and from a router, before its program has a socket.
fn dhcp_and_routers(workshop: &Workshop) -> Result<(), String> {
    let program = workshop.program("addresses", Build::Dynamic)?;
    let directory = workshop.directory_for("network-dhcp")?;
    in_namespace(|| {
        run("ip", &["tuntap", "add", "dev", "wire", "mode", "tap"])?;
        run("ip", &["address", "add", "10.77.0.1/24", "dev", "wire"])?;
        run("ip", &["link", "set", "wire", "up"])?;
        let v6 = ["-6", "address", "add", "fd77::1/64", "dev", "wire", "nodad"];
        run("ip", &v6)?;
        let leases = format!("--dhcp-leasefile={}", directory.join("leases").display());
        let dnsmasq = Command::new("dnsmasq")
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0"])
            .args(["--interface=wire", "--bind-interfaces", "--pid-file="])
            .args(["--user=root", "--log-facility=/dev/null", &leases])
            .args(["--dhcp-range=10.77.0.50,10.77.0.50,1h", "--enable-ra"])
            .args(["--dhcp-option=6,10.77.0.1", "--dhcp-option=15,example.org"])
            .args(["--dhcp-range=fd77::,ra-only,64", "--ra-param=wire,5"])
            .arg("--dhcp-option=option6:dns-server,[fd77::1]")
            .spawn()
            .map_err(|error| format!("can't start dnsmasq: {error}"))?;
        let _server = Server(dnsmasq);
        let mut command = workshop.pith("run");
        command
            .args(["-q", "--net", "tap:wire,mac=52:54:00:00:00:77,dhcp,slaac"])
            .arg("--")
            .arg(&program)
            .stdin(Stdio::null());
        let output = command
            .output()
            .map_err(|error| format!("can't start {command:?}: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        match text == GIVEN {
            true => Ok(()),
            false => Err(format!(
                "the machine has:\n{text}{}",
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    })
}

/// A program that listens hears of the address and the route that a router brings, which comes up later.
fn notices(workshop: &Workshop) -> Result<(), String> {
    let program = workshop.program("changes", Build::Dynamic)?;
    in_namespace(|| {
        run("ip", &["tuntap", "add", "dev", "wire", "mode", "tap"])?;
        run("ip", &["link", "set", "wire", "up"])?;
        let v6 = ["-6", "address", "add", "fd77::1/64", "dev", "wire", "nodad"];
        run("ip", &v6)?;
        let mut command = workshop.pith("run");
        command
            .args(["-q", "--net", "tap:wire,mac=52:54:00:00:00:77,slaac"])
            .arg("--")
            .arg(&program)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut machine = command
            .spawn()
            .map_err(|error| format!("can't start {command:?}: {error}"))?;
        let output = machine.stdout.take().ok_or("no output")?;
        let _machine = Server(machine);
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let next = || lines.recv_timeout(LIMIT).map_err(|error| error.to_string());
        if next()? != "ready" {
            return Err("the program does not start".into());
        }
        let dnsmasq = Command::new("dnsmasq")
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0"])
            .args(["--interface=wire", "--bind-interfaces", "--pid-file="])
            .args(["--user=root", "--log-facility=/dev/null"])
            .args(["--enable-ra", "--ra-param=wire,5"])
            .arg("--dhcp-range=fd77::,ra-only,64")
            .spawn()
            .map_err(|error| format!("can't start dnsmasq: {error}"))?;
        let _router = Server(dnsmasq);
        for expected in [
            "router, group 0x400",
            "address fd77::5054:ff:fe00:77/64, group 0x100, from 0",
        ] {
            let line = next()?;
            if line != expected {
                return Err(format!("the program heard {line:?}, not {expected:?}"));
            }
        }
        Ok(())
    })
}

/// Datagrams of all lengths go to Linux and back in parts, over both versions of IP, and nobody at a port is told.
fn datagrams_in_parts(workshop: &Workshop) -> Result<(), String> {
    let program = workshop.program("echo_datagrams", Build::Dynamic)?;
    in_namespace(|| {
        run("ip", &["tuntap", "add", "dev", "wire", "mode", "tap"])?;
        run("ip", &["address", "add", "10.77.0.1/24", "dev", "wire"])?;
        run("ip", &["link", "set", "wire", "up"])?;
        let v6 = ["-6", "address", "add", "fd77::1/64", "dev", "wire", "nodad"];
        run("ip", &v6)?;
        let mut command = workshop.pith("run");
        command
            .args(["-q", "--net", "tap:wire,ip=10.77.0.2/24,ip6=fd77::2/64"])
            .arg("--")
            .arg(&program);
        let _server = start(command, "ready")?;
        for machine in ["10.77.0.2", "fd77::2"] {
            let before = frames_from("wire")?;
            echo_datagrams(machine).map_err(|error| format!("{machine}: {error}"))?;
            // Linux takes datagrams whole from a TAP device, and the kernel leaves it to the card to cut them. In parts of
            // 1,480 bytes they would be 112.
            let frames = frames_from("wire")? - before;
            if frames > 30 {
                return Err(format!("{machine}: {frames} frames came from the machine"));
            }
        }
        Ok(())
    })
}

/// How many frames have come from the machine at the other end of a TAP device.
fn frames_from(device: &str) -> Result<u64, String> {
    let table = run("cat", &["/proc/net/dev"])?;
    let count = table.lines().find_map(|line| {
        let figures = line.trim().strip_prefix(device)?.strip_prefix(':')?;
        figures.split_whitespace().nth(1)?.parse().ok()
    });
    count.ok_or_else(|| format!("there is no {device}:\n{table}"))
}

fn echo_datagrams(machine: &str) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let any = match machine.contains(':') {
        true => "[::]:0",
        false => "0.0.0.0:0",
    };
    let socket = UdpSocket::bind(any).map_err(text)?;
    socket.set_read_timeout(Some(LIMIT)).map_err(text)?;
    socket.connect((machine, 5000)).map_err(text)?;
    let mut room = vec![0; 70_000];
    for length in [0, 1, 1452, 1453, 1472, 1473, 4000, 20_000, 65_000, 65_507] {
        let sent: Vec<u8> = (0..length).map(|index| (index * 7 / 5) as u8).collect();
        socket.send(&sent).map_err(text)?;
        let received = socket.recv(&mut room).map_err(text)?;
        if room[..received] != sent {
            return Err(format!("{length} bytes came back as {received} others"));
        }
    }
    socket.connect((machine, 5001)).map_err(text)?;
    socket.send(b"x").map_err(text)?;
    match socket.recv(&mut room) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(format!("a port without program answered {other:?}")),
    }
}
