//! HAProxy in a machine, in front of servers on the host.

use super::Site;
use pith_end_to_end::guest::Recipe;
use pith_end_to_end::http::Connection;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Where the host is for a machine behind QEMU's router.
const HOST: &str = "10.0.2.2";
/// Size of the large answer.
const LARGE: usize = 8 << 20;
/// How soon the proxy has to notice that a server is gone.
const LIMIT: Duration = Duration::from_secs(30);

/// A server that tells its name and who it was asked for, and is gone when it is told to be.
struct Backend {
    port: u16,
    gone: Arc<AtomicBool>,
}

impl Backend {
    fn start(name: &'static str) -> Result<Self, String> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        let port = listener
            .local_addr()
            .map_err(|error| error.to_string())?
            .port();
        let gone = Arc::new(AtomicBool::new(false));
        let has_gone = Arc::clone(&gone);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if has_gone.load(Ordering::Relaxed) {
                    return;
                }
                // A client that goes away early is the proxy's right: that is how it looks whether a server lives.
                thread::spawn(move || answer(&stream, name));
            }
        });
        Ok(Self { port, gone })
    }

    /// Closes the port.
    fn leave(&self) {
        self.gone.store(true, Ordering::Relaxed);
        // The next connection is what ends it, so this one may fail.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn answer(mut stream: &TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut client) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or("none").into();
            } else if line.is_empty() {
                break;
            } else if let Some((_, value)) = line
                .split_once(':')
                .filter(|(field, _)| field.eq_ignore_ascii_case("x-forwarded-for"))
            {
                client = value.trim().into();
            }
        }
        let body = match path.as_str() {
            "/large" => vec![name.as_bytes()[0]; LARGE],
            _ => format!("{name} {path} for {client}\n").into_bytes(),
        };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(&body)?;
    }
}

pub fn haproxy(site: &Site<'_>) -> Result<(), String> {
    let backends = [Backend::start("alpha")?, Backend::start("beta")?];
    let [first, second] = [backends[0].port, backends[1].port];
    let configuration = site.write(
        "haproxy.cfg",
        format!(
            "global\n log stdout format raw local0\n nbthread 2\n\
             defaults\n mode http\n log global\n option httplog\n option redispatch\n retries 3\n\
             \u{20}timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             frontend outside\n bind 0.0.0.0:80\n option forwardfor\n default_backend inside\n\
             backend inside\n balance roundrobin\n\
             \u{20}server alpha {HOST}:{first} check inter 500ms fall 2\n\
             \u{20}server beta {HOST}:{second} check inter 500ms fall 2\n"
        ),
    )?;
    let recipe = Recipe::new(&["/usr/sbin/haproxy", "-db", "-f", "/etc/haproxy.cfg"], 80)
        .options(&["-m", "256M"])
        .file(format!("{configuration}:/etc/haproxy.cfg"));
    let outcome = site.serve(
        &recipe,
        |guest| {
            Connection::open(guest.first_address())?
                .get("/ready")
                .map(drop)
        },
        |guest| {
            let mut client = Connection::open(guest.first_address())?;
            let mut ask = |path: &str| {
                let body = client.get(path)?;
                Ok::<String, String>(String::from_utf8_lossy(&body).into_owned())
            };
            let mut counts = [0, 0];
            for number in 0..20 {
                let path = format!("/balanced/{number}");
                let answer = ask(&path)?;
                let expected = |name: &str| format!("{name} {path} for {HOST}\n");
                match ["alpha", "beta"]
                    .iter()
                    .position(|name| answer == expected(name))
                {
                    Some(backend) => counts[backend] += 1,
                    None => return Err(format!("a strange answer: {answer:?}")),
                }
            }
            if counts != [10, 10] {
                return Err(format!("not in turns: {counts:?}"));
            }
            for _ in 0..2 {
                let large = ask("/large")?;
                let first = large.as_bytes().first().copied().unwrap_or_default();
                if large.len() != LARGE || large.bytes().any(|byte| byte != first) {
                    return Err(format!("{} other bytes came than {LARGE}", large.len()));
                }
            }
            // One leaves; soon all go to the other, and nobody hears of an error.
            backends[0].leave();
            let start = Instant::now();
            let mut in_a_row = 0;
            while in_a_row < 10 {
                if start.elapsed() > LIMIT {
                    return Err("the proxy does not notice that a server is gone".into());
                }
                in_a_row = match ask("/left")?.starts_with("beta ") {
                    true => in_a_row + 1,
                    false => 0,
                };
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        },
    )?;
    let log = String::from_utf8_lossy(&outcome.output).into_owned();
    let logged = log
        .lines()
        .filter(|line| line.contains("\"GET /balanced/"))
        .count();
    match logged {
        20 => Ok(()),
        count => Err(format!("the log has {count} and not 20 requests:\n{log}")),
    }
}
