//! Clients in a machine, which look names up, check certificates and load files from servers of the host.

use super::{Site, names};
use pith_end_to_end::compare::accelerator;
use pith_end_to_end::execute::{Handling, Outcome, execute};
use pith_end_to_end::guest::Network;
use pith_end_to_end::namespace::{OWN, on_a_wire, run};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Size of the file.
const SIZE: usize = 3_000_001;
/// What names lead to the host.
const NAMES: &[&str] = &["www.pith.test", "other.pith.test"];
/// Where the authority's certificate lies in the machine.
const AUTHORITY: &str = "/etc/authority.pem";

/// A program of the host that ends with the test.
struct Server(Child);

impl Server {
    /// Starts it, and waits until it accepts connections.
    fn start(command: &mut Command, port: u16) -> Result<Self, String> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("can't start {command:?}: {error}"))?;
        let server = Self(child);
        let start = Instant::now();
        while let Err(error) = TcpStream::connect((OWN, port)) {
            if start.elapsed() > Duration::from_secs(20) {
                return Err(format!("{command:?} does not listen: {error}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An authority, and a certificate that it gives to `www.pith.test` alone.
fn certificates(site: &Site<'_>) -> Result<[String; 3], String> {
    let path = |name: &str| site.directory().join(name).display().to_string();
    let [authority, authority_key, own, own_key] =
        ["authority.pem", "authority.key", "own.pem", "own.key"].map(path);
    let curve = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "30",
    ];
    let make = |subject: &str, key: &str, certificate: &str, rest: &[&str]| {
        let always = [
            "req",
            "-x509",
            "-subj",
            subject,
            "-keyout",
            key,
            "-out",
            certificate,
        ];
        run("openssl", &[&always[..], &curve, rest].concat()).map(drop)
    };
    make("/CN=authority of a test", &authority_key, &authority, &[])?;
    let signed = [
        "-CA",
        &authority,
        "-CAkey",
        &authority_key,
        "-addext",
        "subjectAltName=DNS:www.pith.test",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    make("/CN=www.pith.test", &own_key, &own, &signed)?;
    Ok([authority, own, own_key])
}

/// Runs a client in a machine.
fn client(
    site: &Site<'_>,
    network: &Network,
    files: &[String],
    command: &[&str],
) -> Result<Outcome, String> {
    let mut pith = site.workshop.pith("run");
    let (machine, processors) = site.board;
    pith.args([
        "--machine",
        machine.name(),
        "--accel",
        accelerator(),
        "-m",
        "256M",
        "-q",
    ])
    .args(["-c", &processors.to_string()]);
    if let Network::Direct(options, _) = network {
        pith.args(options);
    }
    for file in files {
        pith.args(["--file", file]);
    }
    execute(pith.arg("--").args(command), &Handling::default())
}

pub fn check(site: &Site<'_>) -> Result<(), String> {
    let [authority, own, own_key] = certificates(site)?;
    let content: Vec<u8> = (0..SIZE as u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 9) as u8)
        .collect();
    site.write("content.bin", &content)?;
    let authority = format!("{authority}:{AUTHORITY}");
    let files = [authority];
    on_a_wire(|network| {
        names::serve(SocketAddr::from((OWN, 53)), NAMES, OWN)?;
        let own_address = OWN.to_string();
        let _clear = Server::start(
            Command::new("python3")
                .args(["-m", "http.server", "--bind", &own_address, "80"])
                .current_dir(site.directory()),
            80,
        )?;
        let _secured = Server::start(
            Command::new("openssl")
                .args([
                    "s_server",
                    "-quiet",
                    "-WWW",
                    "-accept",
                    &format!("{OWN}:443"),
                ])
                .args(["-cert", &own, "-key", &own_key])
                .current_dir(site.directory()),
            443,
        )?;
        let loads = |command: &[&str]| {
            let outcome = client(site, network, &files, command)?;
            match outcome.status == 0 && outcome.output == content {
                true => Ok(()),
                false => Err(failure(command, &outcome)),
            }
        };
        loads(&["/usr/bin/curl", "-sS", "http://www.pith.test/content.bin"])?;
        loads(&[
            "/usr/bin/wget",
            "-q",
            "-O",
            "-",
            "http://www.pith.test/content.bin",
        ])?;
        let url = "https://www.pith.test/content.bin";
        loads(&["/usr/bin/curl", "-sS", "--cacert", AUTHORITY, url])?;
        loads(&[
            "/usr/bin/wget",
            "-q",
            "--ca-certificate",
            AUTHORITY,
            "-O",
            "-",
            url,
        ])?;
        let ends_with = |status: i32, command: &[&str]| {
            let outcome = client(site, network, &files, command)?;
            match outcome.status == status && outcome.output.is_empty() {
                true => Ok(()),
                false => Err(failure(command, &outcome)),
            }
        };
        // Without the authority, with another's name, to a name and to a port that do not exist: curl's own codes.
        ends_with(60, &["/usr/bin/curl", "-sS", url])?;
        ends_with(
            60,
            &[
                "/usr/bin/curl",
                "-sS",
                "--cacert",
                AUTHORITY,
                "https://other.pith.test/content.bin",
            ],
        )?;
        ends_with(6, &["/usr/bin/curl", "-sS", "http://nobody.pith.test/"])?;
        ends_with(7, &["/usr/bin/curl", "-sS", "http://www.pith.test:81/"])
    })
}

fn failure(command: &[&str], outcome: &Outcome) -> String {
    format!(
        "{command:?} ended with {}, {} bytes came:\n{}",
        outcome.status,
        outcome.output.len(),
        String::from_utf8_lossy(&outcome.error)
    )
}
