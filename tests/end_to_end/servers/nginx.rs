//! nginx: pages small and large, connections kept and new, TLS, HTTP/2, and its log.

use super::Site;
use pith_end_to_end::guest::{Guest, Recipe, Transport};
use pith_end_to_end::http::{Connection, head};
use pith_end_to_end::namespace::run;
use std::fs;
use std::thread;

/// Size of the large file.
const LARGE: usize = 50 << 20;
/// Requests on a connection that is kept, one after the other.
const KEPT: usize = 200;
/// Requests that are sent before the first is answered.
const PIPELINED: usize = 50;
/// Connections that are opened one after the other.
const NEW: usize = 50;
/// Connections that ask at once.
const AT_ONCE: usize = 8;
/// Requests of `h2load`.
const MULTIPLEXED: usize = 500;

const CONFIGURATION: &str = "\
daemon off;
master_process off;
pid /tmp/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
    access_log /dev/stdout;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    include /etc/nginx/mime.types;
    root /srv;
    server { listen 80; }
    server { listen 81 http2; }
    server {
        listen 443 ssl http2;
        ssl_certificate /etc/nginx/own.pem;
        ssl_certificate_key /etc/nginx/own.key;
    }
}
";

/// Bytes that differ from one another, and from a shifted copy of themselves.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub fn check(site: &Site<'_>) -> Result<(), String> {
    let page = fs::read("/usr/share/nginx/html/index.html").map_err(|error| error.to_string())?;
    let large = noise(LARGE);
    let configuration = site.write("nginx.conf", CONFIGURATION)?;
    let content = site.write("large.bin", &large)?;
    let [certificate, key] = ["own.pem", "own.key"].map(|name| site.directory().join(name));
    let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=pith.test",
            "-addext",
            "subjectAltName=DNS:pith.test",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ],
    )?;
    let recipe = Recipe::new(&["/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf"], 80)
        .port(81, Transport::Tcp)
        .port(443, Transport::Tcp)
        .options(&["-m", "256M"])
        .file(format!("{configuration}:/etc/nginx/nginx.conf"))
        .file("/etc/nginx/mime.types")
        .file(format!("{certificate}:/etc/nginx/own.pem"))
        .file(format!("{key}:/etc/nginx/own.key"))
        .file("/usr/share/nginx/html/index.html:/srv/index.html")
        .file(format!("{content}:/srv/large.bin"))
        .file("/var/lib/nginx")
        .file("/var/log/nginx")
        .status(&[0]);
    let outcome = site.serve(
        &recipe,
        |guest| {
            Connection::open(guest.first_address())?
                .get("/ready")
                .map(drop)
                .or_else(missing)
        },
        |guest| {
            connections(guest, &page)?;
            ranges(guest, &large)?;
            curl(site, guest, &page, &large, &certificate)?;
            multiplexed(guest)
        },
    )?;
    let log = String::from_utf8_lossy(&outcome.output).into_owned();
    let expected = [
        (
            "\"GET / HTTP/1.1\" 200 ",
            KEPT + PIPELINED + NEW + AT_ONCE * NEW + 2,
        ),
        ("\"GET /large.bin HTTP/1.1\" 200 52428800 ", 1),
        ("\"GET /large.bin HTTP/1.1\" 206 1000 ", 1),
        ("\"GET /large.bin HTTP/1.1\" 416 ", 1),
        ("\"HEAD /large.bin HTTP/1.1\" 200 0 ", 1),
        ("\"POST / HTTP/1.1\" 405 ", 1),
        ("\"GET / HTTP/2.0\" 200 ", 2 * MULTIPLEXED + 1),
        ("\"GET /large.bin HTTP/2.0\" 206 5000000 ", 1),
    ];
    for (entry, count) in expected {
        let found = log.lines().filter(|line| line.contains(entry)).count();
        if found != count {
            return Err(format!(
                "the log has {found} and not {count} lines with {entry}"
            ));
        }
    }
    Ok(())
}

/// A server that says that there is no such page is ready.
fn missing(error: String) -> Result<(), String> {
    match error.ends_with(": 404") {
        true => Ok(()),
        false => Err(error),
    }
}

fn same(what: &str, found: &[u8], expected: &[u8]) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!(
            "{what}: {} other bytes came than {}",
            found.len(),
            expected.len()
        )),
    }
}

/// Requests on connections kept and new, one after the other, and all at once.
fn connections(guest: &Guest, page: &[u8]) -> Result<(), String> {
    let address = guest.first_address();
    let mut kept = Connection::open(address)?;
    for _ in 0..KEPT {
        same("kept", &kept.get("/")?, page)?;
    }
    kept.send(head("GET", "/", 0).repeat(PIPELINED).as_bytes())?;
    for _ in 0..PIPELINED {
        same("pipelined", &kept.receive(false)?.body, page)?;
    }
    for _ in 0..NEW {
        same("new", &Connection::open(address)?.get("/")?, page)?;
    }
    let mut clients = Vec::new();
    for _ in 0..AT_ONCE {
        clients.push(Connection::open(address)?);
    }
    thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                scope.spawn(move || {
                    (0..NEW).try_for_each(|_| same("at once", &client.get("/")?, page))
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a client failed")?)
    })
}

/// Parts of a file, its head alone, and requests that can't be granted.
fn ranges(guest: &Guest, large: &[u8]) -> Result<(), String> {
    let mut connection = Connection::open(guest.first_address())?;
    let ask = |range: &str| {
        format!("GET /large.bin HTTP/1.1\r\nHost: pith.test\r\nRange: bytes={range}\r\n\r\n")
    };
    connection.send(ask("40000000-40000999").as_bytes())?;
    let part = connection.receive(false)?;
    same("a range", &part.body, &large[40_000_000..40_001_000])?;
    if part.status != 206 {
        return Err(format!("a range: {}", part.status));
    }
    connection.send(ask("52428800-").as_bytes())?;
    if connection.receive(false)?.status != 416 {
        return Err("there is nothing behind the end".into());
    }
    let alone = connection.ask("HEAD", "/large.bin", b"")?;
    if alone.field("content-length") != Some(&LARGE.to_string()) {
        return Err(format!("the head alone: {alone:?}"));
    }
    match connection.ask("POST", "/", b"x")?.status {
        405 => Ok(()),
        status => Err(format!("POST to a file: {status}")),
    }
}

/// The large file in the clear and a page by TLS, as `curl` gets them.
fn curl(
    site: &Site<'_>,
    guest: &Guest,
    page: &[u8],
    large: &[u8],
    certificate: &str,
) -> Result<(), String> {
    let target = site.directory().join("received").display().to_string();
    let fetch = |url: &str, options: &[&str]| {
        let always = ["-sS", "--fail", "--max-time", "60", "-o", &target, url];
        run("curl", &[&always, options].concat())?;
        fs::read(&target).map_err(|error| error.to_string())
    };
    let address = guest.first_address();
    same("curl", &fetch(&format!("http://{address}/"), &[])?, page)?;
    same(
        "curl, the large file",
        &fetch(&format!("http://{address}/large.bin"), &[])?,
        large,
    )?;
    let secured = guest.address(443, Transport::Tcp);
    let (host, port) = (secured.ip(), secured.port());
    let to = format!("pith.test:443:{host}:{port}");
    let by = |version, part| {
        [
            "--cacert",
            certificate,
            "--connect-to",
            &to,
            version,
            "-r",
            part,
        ]
    };
    for version in ["--http1.1", "--http2"] {
        let got = fetch("https://pith.test/", &by(version, "")[..5])?;
        same(&format!("curl by TLS, {version}"), &got, page)?;
    }
    let got = fetch("https://pith.test/large.bin", &by("--http2", "7-5000006"))?;
    same("a part by HTTP/2 and TLS", &got, &large[7..5_000_007])
}

/// Requests of HTTP/2, twenty at once on each of two connections, in the clear and by TLS.
fn multiplexed(guest: &Guest) -> Result<(), String> {
    let requests = MULTIPLEXED.to_string();
    for (scheme, port) in [("http", 81), ("https", 443)] {
        let url = format!("{scheme}://{}/", guest.address(port, Transport::Tcp));
        let report = run("h2load", &["-n", &requests, "-c", "2", "-m", "20", &url])?;
        let expected = format!("{MULTIPLEXED} succeeded, 0 failed, 0 errored, 0 timeout");
        if !report.contains(&expected) {
            return Err(format!("h2load of {url} says:\n{report}"));
        }
    }
    Ok(())
}
