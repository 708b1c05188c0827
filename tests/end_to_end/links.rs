//! How machines are connected: TAP devices, bridges, published ports, settings in images, names.
//!
//! TAP devices and bridges are made in network namespaces that last as long as the test.

use crate::command::{ensure, expect, run};
use pith_end_to_end::compare::accelerator;
use pith_end_to_end::guest::{Guest, Network, Recipe, Transport, free_address};
use pith_end_to_end::namespace::{self, in_namespace};
use pith_end_to_end::{Machine, Workshop};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

type Check = fn(&Workshop) -> Result<(), String>;

/// Name and check.
pub const CHECKS: &[(&str, Check)] = &[
    ("tap-microvm", |workshop| tap(workshop, Machine::Microvm, 1)),
    ("tap-q35-queues", |workshop| tap(workshop, Machine::Q35, 2)),
    ("bridge", bridge),
    ("bridge-by-helper", bridge_by_helper),
    ("several-cards", several_cards),
    ("tap-at-once", tap_at_once),
    ("fixed-address-at-once", fixed_address_at_once),
    ("published-at-once", published_at_once),
    ("published-range", published_range),
    ("baked", baked),
    ("default", default),
    ("names", names),
    ("refusals", refusals),
];

/// How long an exchange may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The example with a thread for each connection, compiled.
fn echo_server(workshop: &Workshop, test: &str) -> Result<String, String> {
    let program = workshop
        .directory_for(&format!("links-{test}"))?
        .join("echo");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/echo-threads/echo.c");
    let (program, source) = (text(&program), text(&source));
    namespace::run("gcc", &["-O2", "-pthread", "-o", &program, &source])?;
    Ok(program)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn ip(line: &str) -> Result<String, String> {
    namespace::run("ip", &line.split(' ').collect::<Vec<_>>())
}

/// Makes a TAP device whose end at the host has this address.
fn make_tap(name: &str, options: &str, address: &str) -> Result<(), String> {
    ip(&format!("tuntap add dev {name} mode tap{options}"))?;
    ip(&format!("address add dev {name} {address}"))?;
    ip(&format!("link set {name} up")).map(drop)
}

fn ping(address: Ipv4Addr) -> Result<(), String> {
    namespace::run(
        "busybox",
        &["ping", "-c", "3", "-w", "20", &address.to_string()],
    )
    .map(drop)
}

/// Bytes that do not repeat soon.
pub(crate) fn pattern(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32)
        .map(|index| (index.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

/// Sends all of this and then the end, and takes meanwhile what comes until the other side ends.
pub(crate) fn there_and_back(
    stream: &TcpStream,
    sent: &[u8],
    told: impl Fn(std::io::Error) -> String,
) -> Result<Vec<u8>, String> {
    let mut received = Vec::new();
    thread::scope(|scope| {
        let mut writer = stream;
        let writing = scope.spawn(move || {
            writer
                .write_all(sent)
                .and_then(|()| writer.shutdown(Shutdown::Write))
        });
        let mut reader = stream;
        reader.read_to_end(&mut received).map_err(&told)?;
        writing
            .join()
            .map_err(|_| "the writer failed")?
            .map_err(&told)
    })?;
    Ok(received)
}

/// Sends bytes, and checks that they come back.
fn exchange(address: SocketAddr, length: usize, seed: u32) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{length} bytes to {address}: {error}");
    let stream = TcpStream::connect_timeout(&address, LIMIT).map_err(told)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(told)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(told)?;
    let sent = pattern(length, seed);
    let received = there_and_back(&stream, &sent, told)?;
    match received == sent {
        true => Ok(()),
        false => Err(format!(
            "{} other bytes came back than {length}",
            received.len()
        )),
    }
}

/// Starts the echo server on cards that the options make, and asks it.
fn serve(
    workshop: &Workshop,
    machine: (Machine, u32),
    options: &[&str],
    address: Ipv4Addr,
    program: &str,
) -> Result<Guest, String> {
    let options = options.iter().map(|&option| option.into()).collect();
    let network = Network::Direct(options, address);
    let recipe = Recipe::new(&[program], 5555);
    Guest::start(workshop, machine, &network, &recipe, |guest| {
        exchange(guest.first_address(), 10, 0)
    })
}

/// A machine on a TAP device is reached at its own address, by pings and connections.
fn tap(workshop: &Workshop, machine: Machine, processors: u32) -> Result<(), String> {
    let program = echo_server(workshop, &format!("tap-{}", machine.name()))?;
    in_namespace(|| {
        let options = if processors > 1 { " multi_queue" } else { "" };
        make_tap("tap0", options, "10.7.0.1/24")?;
        let own = Ipv4Addr::new(10, 7, 0, 2);
        let net = ["--net", "tap:tap0,ip=10.7.0.2/24,gateway=10.7.0.1"];
        let guest = serve(workshop, (machine, processors), &net, own, &program)?;
        ping(own).map_err(|error| guest.explain(&error))?;
        for length in [0, 1, 1460, 1_000_000] {
            exchange(guest.first_address(), length, 7).map_err(|error| guest.explain(&error))?;
        }
        guest.stop().map(drop)
    })
}

/// Machines on a bridge reach each other's host; their devices go away with them.
fn bridge(workshop: &Workshop) -> Result<(), String> {
    let program = echo_server(workshop, "bridge")?;
    in_namespace(|| {
        ip("link add br0 type bridge")?;
        ip("address add 10.7.1.1/24 dev br0")?;
        ip("link set br0 up")?;
        let start = |last: u8, machine| {
            let own = Ipv4Addr::new(10, 7, 1, last);
            let net = format!("bridge:br0,ip={own}/24");
            let guest = serve(workshop, machine, &["--net", &net], own, &program)?;
            Ok::<_, String>((own, guest))
        };
        let machines = [
            start(2, (Machine::Microvm, 1))?,
            start(3, (Machine::Q35, 2))?,
        ];
        for (own, guest) in &machines {
            ping(*own)?;
            exchange(guest.first_address(), 100_000, 1)?;
        }
        let ports = ip("-brief link show master br0")?;
        ensure(
            ports.lines().count() == 2,
            format!("two devices were expected:\n{ports}"),
        )?;
        for (_, guest) in machines {
            guest.stop()?;
        }
        let ports = ip("-brief link show master br0")?;
        ensure(ports.is_empty(), format!("these devices stayed:\n{ports}"))
    })
}

/// Who may not make TAP devices asks QEMU's helper, and is told what to do if that may not either.
fn bridge_by_helper(workshop: &Workshop) -> Result<(), String> {
    let directory = workshop.directory_for("links-bridge-by-helper")?;
    let script = directory.join("script");
    fs::write(&script, BRIDGE_BY_HELPER).map_err(|error| error.to_string())?;
    // Others than root must get through to the command, so it is copied to where they may look.
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-eu", &text(&script)])
        .arg(workshop.command())
        .arg(accelerator())
        .output()
        .map_err(|error| format!("can't start unshare: {error}"))?;
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure(
        output.status.success()
            && said.contains("first: 125")
            && said.contains("second: 0")
            && complained.contains("echo 'allow br0' | sudo tee -a /etc/qemu/bridge.conf"),
        format!("{}\n{said}\n{complained}", output.status),
    )
}

/// In a file system of its own, where changes to `/etc` and to the helper last as long as the script: once as installed,
/// once set up.
const BRIDGE_BY_HELPER: &str = r#"
place=/run/pith-bridge-test
mkdir -p $place
mount -t tmpfs -o mode=755 none $place
cp "$1" $place/pith
mkdir -m 777 $place/cache
mkdir $place/etc-upper $place/etc-work
ip link add br0 type bridge
ip link set br0 up
as_nobody() {
    setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=$place/cache PITH_CACHE=$place/cache \
        timeout 60 $place/pith run -q --accel "$2" --net bridge:br0,ip=10.7.2.2/24 -- /bin/true
}
status=0
as_nobody "$@" || status=$?
echo "first: $status"
mount -t overlay -o lowerdir=/etc,upperdir=$place/etc-upper,workdir=$place/etc-work none /etc
mkdir -p /etc/qemu
echo 'allow br0' > /etc/qemu/bridge.conf
cp /usr/lib/qemu/qemu-bridge-helper $place/helper
chmod u+s $place/helper
mount --bind $place/helper /usr/lib/qemu/qemu-bridge-helper
status=0
as_nobody "$@" || status=$?
echo "second: $status"
"#;

/// Two TAP devices and QEMU's router at once: each card gets its own settings, whatever the order of the devices.
fn several_cards(workshop: &Workshop) -> Result<(), String> {
    let program = echo_server(workshop, "several-cards")?;
    in_namespace(|| {
        make_tap("tap0", "", "10.7.3.1/24")?;
        make_tap("tap1", "", "10.7.4.1/24")?;
        for machine in [Machine::Microvm, Machine::Q35] {
            let own = Ipv4Addr::new(10, 7, 3, 2);
            let port = free_address(Transport::Tcp)?;
            let publish = format!("{port}:5555");
            let net = [
                "--net",
                "tap:tap0,ip=10.7.3.2/24",
                "--net",
                "tap:tap1,ip=10.7.4.2/24",
                "--net",
                "user",
                "-p",
                &publish,
            ];
            let guest = serve(workshop, (machine, 1), &net, own, &program)?;
            let other = Ipv4Addr::new(10, 7, 4, 2);
            let asked = ping(other)
                .and_then(|()| exchange((other, 5555).into(), 50_000, 2))
                .and_then(|()| exchange(port, 50_000, 3));
            asked.map_err(|error| guest.explain(&error))?;
            guest.stop()?;
        }
        Ok(())
    })
}

/// Connections come at once, many more than the server lets wait; each gets its own bytes back.
fn exchange_at_once(guest: &Guest) -> Result<(), String> {
    let address = guest.first_address();
    for count in [50, 500] {
        let barrier = Arc::new(Barrier::new(count));
        let clients: Vec<_> = (0..count as u32)
            .map(|seed| {
                let barrier = Arc::clone(&barrier);
                thread::spawn(move || {
                    barrier.wait();
                    exchange(address, 20_000, seed)
                })
            })
            .collect();
        let failures: Vec<String> = clients
            .into_iter()
            .filter_map(|client| match client.join() {
                Ok(result) => result.err(),
                Err(_) => Some("a client failed".into()),
            })
            .collect();
        if let Some(first) = failures.first() {
            let told = format!("{} of {count} failed, the first: {first}", failures.len());
            return Err(guest.explain(&told));
        }
    }
    Ok(())
}

/// Five hundred connections come at once to a published port.
fn published_at_once(workshop: &Workshop) -> Result<(), String> {
    let program = echo_server(workshop, "published-at-once")?;
    let recipe = Recipe::new(&[&program], 5555).options(&["-m", "512M"]);
    for processors in [1, 2] {
        let machine = (Machine::Microvm, processors);
        let guest = Guest::start(workshop, machine, &Network::User, &recipe, |guest| {
            exchange(guest.first_address(), 10, 0)
        })?;
        exchange_at_once(&guest)?;
        guest.stop()?;
    }
    Ok(())
}

/// Five hundred connections come at once to a machine on a TAP device: who finds no room tries again, and nobody is reset.
fn tap_at_once(workshop: &Workshop) -> Result<(), String> {
    let program = echo_server(workshop, "tap-at-once")?;
    in_namespace(|| {
        make_tap("tap0", " multi_queue", "10.7.10.1/24")?;
        for processors in [1, 2] {
            let own = Ipv4Addr::new(10, 7, 10, 2);
            let options = ["--net", "tap:tap0,ip=10.7.10.2/24", "-m", "512M"];
            let machine = (Machine::Microvm, processors);
            let guest = serve(workshop, machine, &options, own, &program)?;
            exchange_at_once(&guest)?;
            guest.stop()?;
        }
        Ok(())
    })
}

/// A program's first act is a connection from a fixed address of IPv6, which nobody has confirmed yet.
fn fixed_address_at_once(workshop: &Workshop) -> Result<(), String> {
    in_namespace(|| {
        make_tap("tap0", "", "fd00:7::1/64 nodad")?;
        let listener = TcpListener::bind("[fd00:7::1]:0").map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let server = thread::spawn(move || {
            let (mut stream, peer) = listener.accept()?;
            stream.write_all(format!("from {}\n", peer.ip()).as_bytes())
        });
        let script = format!(
            "exec 3<>/dev/tcp/fd00:7::1/{}; read -r line <&3; echo \"$line\"",
            address.port()
        );
        let mut command = run(workshop);
        command.args([
            "--net",
            "tap:tap0,ip6=fd00:7::2/64",
            "--",
            "/bin/bash",
            "-c",
        ]);
        expect(command.arg(&script), &[0], "^from fd00:7::2\n$", "^$")?;
        server
            .join()
            .map_err(|_| "the server failed")?
            .map_err(|error| error.to_string())
    })
}

/// Several ports in a row lead to as many of the machine.
fn published_range(workshop: &Workshop) -> Result<(), String> {
    let program = echo_server(workshop, "published-range")?;
    // Two neighbours that are free now; the machine's are 5554 and 5555, of which the second is served.
    let first = (0..50)
        .find_map(|_| {
            let address = free_address(Transport::Tcp).ok()?;
            let next = SocketAddr::new(address.ip(), address.port().checked_add(1)?);
            TcpListener::bind(next).ok().map(|_| address)
        })
        .ok_or("no two ports in a row are free")?;
    let range = format!(
        "{}:{}-{}:5554-5555",
        first.ip(),
        first.port(),
        first.port() + 1
    );
    let network = Network::Direct(vec!["-p".into(), range], Ipv4Addr::LOCALHOST);
    let served = SocketAddr::new(first.ip(), first.port() + 1);
    let recipe = Recipe::new(&[&program], 5555);
    let guest = Guest::start(workshop, (Machine::Microvm, 1), &network, &recipe, |_| {
        exchange(served, 10, 0)
    })?;
    exchange(served, 100_000, 1)?;
    ensure(
        exchange(first, 10, 0).is_err(),
        "somebody answers at a port where nobody listens",
    )?;
    guest.stop().map(drop)
}

fn build(workshop: &Workshop, directory: &Path, manifest: &str) -> Result<PathBuf, String> {
    let (file, image) = (directory.join("pith.toml"), directory.join("image.pith"));
    fs::write(&file, manifest).map_err(|error| error.to_string())?;
    let mut command = workshop.pith("build");
    expect(
        command.arg("-f").arg(&file).arg("-o").arg(&image),
        &[0],
        "",
        "",
    )?;
    Ok(image)
}

/// Settings in an image hold on a TAP device and behind QEMU's router; whether they may be replaced, the image says.
fn baked(workshop: &Workshop) -> Result<(), String> {
    let program = echo_server(workshop, "baked")?;
    let directory = workshop.directory_for("links-baked-image")?;
    let manifest = |more: &str| {
        format!(
            "program = '{program}'\n{more}\n[network]\naddresses = ['10.7.5.2/24']\ngateway = '10.7.5.1'\n\
             dns = ['10.7.5.1']\n"
        )
    };
    let image = text(&build(workshop, &directory, &manifest(""))?);
    let inspect = workshop.pith("inspect").args(["--json", &image]).output();
    let told = inspect.map_err(|error| error.to_string())?.stdout;
    ensure(
        String::from_utf8_lossy(&told).contains("ip=10.7.5.2/24,gateway=10.7.5.1,dns=10.7.5.1"),
        "pith inspect --json does not show the network",
    )?;
    in_namespace(|| {
        make_tap("tap0", " multi_queue", "10.7.5.1/24")?;
        ip("address add 10.7.6.1/24 dev tap0")?;
        let own = Ipv4Addr::new(10, 7, 5, 2);
        serve(
            workshop,
            (Machine::Microvm, 1),
            &["--net", "tap:tap0"],
            own,
            &image,
        )?
        .stop()?;

        // QEMU's router agrees with the image.
        let port = free_address(Transport::Tcp)?;
        let network = Network::Direct(vec!["-p".into(), format!("{port}:5555")], own);
        let recipe = Recipe::new(&[&image], 5555);
        Guest::start(workshop, (Machine::Q35, 1), &network, &recipe, |_| {
            exchange(port, 1000, 1)
        })?
        .stop()?;

        let other = ["--net", "tap:tap0,ip=10.7.6.2/24"];
        expect(
            run(workshop).args(other).arg(&image),
            &[125],
            "^$",
            r#"does not let the settings `ip=10.7.6.2/24` of its network be changed\n.*overridable = \["network"\]"#,
        )?;
        let image = build(workshop, &directory, &manifest("overridable = ['network']"))?;
        let own = Ipv4Addr::new(10, 7, 6, 2);
        serve(workshop, (Machine::Microvm, 1), &other, own, &text(&image))?
            .stop()
            .map(drop)
    })?;
    // What could never work is found when the image is built.
    for (wrong, reason) in [
        ("addresses = ['10.7.5.2']", "prefix length"),
        (
            "addresses = ['10.7.5.2/24']\ngateway = '10.7.6.1'",
            "can't be reached",
        ),
        ("adresses = ['10.7.5.2/24']", "did you mean `addresses`"),
    ] {
        let file = directory.join("wrong.toml");
        let manifest = format!("program = '{program}'\n[network]\n{wrong}\n");
        fs::write(&file, manifest).map_err(|error| error.to_string())?;
        let mut command = workshop.pith("build");
        command
            .arg("-f")
            .arg(&file)
            .arg("-o")
            .arg(directory.join("wrong.pith"));
        expect(&mut command, &[125], "^$", reason)?;
    }
    Ok(())
}

/// Without options, a program that opens sockets has a network, and one that can't has no card.
fn default(workshop: &Workshop) -> Result<(), String> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let port = listener
        .local_addr()
        .map_err(|error| error.to_string())?
        .port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(b"from the host\n")
    });
    // The router's address leads to the host itself.
    let script = format!("exec 3<>/dev/tcp/10.0.2.2/{port}; read -r line <&3; echo \"$line\"");
    let mut command = run(workshop);
    command.args(["--", "/bin/bash", "-c", &script]);
    expect(&mut command, &[0], "^from the host\n$", "^$")?;
    server
        .join()
        .map_err(|_| "the server failed")?
        .map_err(|error| error.to_string())?;

    // By IPv6 as well, where it is asked for, and at once: an address that was given is used while others are asked
    // whether it is theirs.
    let listener =
        TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let port = listener
        .local_addr()
        .map_err(|error| error.to_string())?
        .port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(b"from the host\n")
    });
    let script = format!("exec 3<>/dev/tcp/fec0::2/{port}; read -r line <&3; echo \"$line\"");
    let mut command = run(workshop);
    command.args([
        "--net",
        "user,ip6=fec0::15/64,gateway6=fec0::2",
        "--",
        "/bin/bash",
        "-c",
        &script,
    ]);
    expect(&mut command, &[0], "^from the host\n$", "^$")?;
    server
        .join()
        .map_err(|_| "the server failed")?
        .map_err(|error| error.to_string())?;

    let image = |program: &str| {
        let directory = workshop.directory_for("links-default")?;
        let image = text(&directory.join("image.pith"));
        let mut command = workshop.pith("build");
        expect(command.args(["-o", &image, program]), &[0], "", "")?;
        let shown = workshop.pith("inspect").arg(&image).output();
        let shown = shown.map_err(|error| error.to_string())?.stdout;
        Ok::<_, String>(String::from_utf8_lossy(&shown).into_owned())
    };
    ensure(
        image("/usr/bin/sha256sum")?.contains("no program opens sockets"),
        "sha256sum is said to open sockets",
    )?;
    ensure(
        !image("/bin/bash")?.contains("no program opens sockets"),
        "bash is said to open none",
    )
}

/// Names are looked up as on the host: in files, and by DNS at the server that the machine was told of.
fn names(workshop: &Workshop) -> Result<(), String> {
    for (arguments, expected) in [
        (&["hosts", "localhost"][..], "^::1 +localhost\n$"),
        (&["ahostsv4", "pith"], "^127.0.1.1 +STREAM pith\n"),
        (&["services", "https"], "^https +443/tcp\n$"),
        (&["protocols", "udp"], "^udp +17 UDP\n$"),
    ] {
        let mut command = run(workshop);
        expect(command.arg("getent").args(arguments), &[0], expected, "^$")?;
    }
    in_namespace(|| {
        make_tap("tap0", "", "10.7.8.1/24")?;
        let server = UdpSocket::bind("10.7.8.1:53").map_err(|error| error.to_string())?;
        server
            .set_read_timeout(Some(LIMIT))
            .map_err(|error| error.to_string())?;
        let answering = thread::spawn(move || answer_name(&server));
        let mut command = run(workshop);
        command
            .args([
                "--net",
                "tap:tap0,ip=10.7.8.2/24,dns=10.7.8.1,search=example.test",
            ])
            .args(["getent", "ahostsv4", "shop"]);
        expect(
            &mut command,
            &[0],
            "^198.51.100.7 +STREAM shop.example.test\n",
            "^$",
        )?;
        answering.join().map_err(|_| "the name server failed")?
    })
}

/// Answers one question for an address of IPv4 (RFC 1035).
fn answer_name(server: &UdpSocket) -> Result<(), String> {
    let mut packet = [0; 512];
    let (length, client) = server
        .recv_from(&mut packet)
        .map_err(|error| error.to_string())?;
    let question = &packet[..length];
    let name = b"\x04shop\x07example\x04test\x00\x00\x01\x00\x01";
    if question.get(12..12 + name.len()) != Some(&name[..]) {
        return Err(format!("it was asked {question:?}"));
    }
    let mut answer = question[..2].to_vec();
    // A response without error, recursion available; one question, one answer.
    answer.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend(name);
    // The name of the question, an address, for a minute.
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 7]);
    server
        .send_to(&answer, client)
        .map_err(|error| error.to_string())
        .map(drop)
}

/// What can't be done is told with its remedy, before a machine is started.
fn refusals(workshop: &Workshop) -> Result<(), String> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let port = listener
        .local_addr()
        .map_err(|error| error.to_string())?
        .port();
    let taken = format!("127.0.0.1:{port}:80");
    let told = format!("TCP port {port} of this machine is taken\n  remedy: .*ss -ltnp");
    in_namespace(|| {
        ip("link add br0 type bridge")?;
        make_tap("tap0", "", "10.7.9.1/24")?;
        ip("tuntap add dev tap1 mode tap")?;
        for (net, expected) in [
            (
                "tap:tap7",
                "there is no TAP device `tap7`\n  remedy: .*ip tuntap add dev tap7",
            ),
            (
                "bridge:br7",
                "there is no bridge `br7`\n  remedy: .*ip link add br7 type bridge",
            ),
            ("tap:br0", "`br0` is an interface, but no TAP device"),
            ("bridge:tap0", "`tap0` is an interface, but no bridge"),
        ] {
            expect(
                run(workshop).args(["--net", net, "true"]),
                &[125],
                "^$",
                expected,
            )?;
        }
        let down =
            "^pith: note: tap1 is down, so nothing goes through it: sudo ip link set tap1 up\n$";
        expect(
            run(workshop).args(["--net", "tap:tap1", "true"]),
            &[0],
            "^$",
            down,
        )?;
        let own = Ipv4Addr::new(10, 7, 9, 2);
        let program = echo_server(workshop, "refusals")?;
        let net = ["--net", "tap:tap0,ip=10.7.9.2/24"];
        let guest = serve(workshop, (Machine::Microvm, 1), &net, own, &program)?;
        let busy = "the TAP device `tap0` is in use by another process";
        expect(run(workshop).args(net).arg("true"), &[125], "^$", busy)?;
        guest.stop().map(drop)
    })?;
    for (arguments, status, expected) in [
        (&["-p", &taken][..], 125, &*told),
        (
            &["-p", "192.0.2.77:80:80"],
            125,
            "192.0.2.77 is no address of this machine",
        ),
        (&["-p", "80"], 2, "write \\[ADDRESS:\\]HOST:GUEST"),
        (&["--net", "none", "-p", "80:80"], 2, "-p publishes ports"),
        (
            &["--net", "none", "--net", "user"],
            2,
            "--net none stands beside another",
        ),
        (&["--net", "tap:tap0,ip=10.0.0.2"], 2, "prefix length"),
    ] {
        expect(
            run(workshop).args(arguments).arg("true"),
            &[status],
            "^$",
            expected,
        )?;
    }
    Ok(())
}
