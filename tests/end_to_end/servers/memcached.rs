//! memcached with four threads, by its text protocol.

use super::Site;
use pith_end_to_end::guest::Recipe;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// Threads of the server.
const THREADS: &str = "4";
/// Clients that count at once, and how far.
const CLIENTS: u64 = 8;
const COUNTS: u64 = 200;

pub fn check(site: &Site<'_>) -> Result<(), String> {
    let command = [
        "/usr/bin/memcached",
        "-u",
        "root",
        "-t",
        THREADS,
        "-I",
        "2m",
    ];
    let recipe = Recipe::new(&command, 11211)
        .options(&["-m", "256M"])
        .status(&[0]);
    site.serve(
        &recipe,
        |guest| {
            Client::open(guest.first_address())?
                .expect("version\r\n", |text| text.starts_with("VERSION "))
        },
        |guest| {
            let address = guest.first_address();
            values(address)?;
            counters(address)?;
            statistics(address)
        },
    )?;
    Ok(())
}

/// One connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(text)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .and_then(|()| stream.set_nodelay(true))
            .map_err(text)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.0.get_mut().write_all(bytes).map_err(text)
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.0.read_line(&mut line).map_err(text)? {
            0 => Err("the connection ended".into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    /// Sends a command, whose answer of one line has to be like this.
    fn expect(&mut self, command: &str, is_right: impl FnOnce(&str) -> bool) -> Result<(), String> {
        self.send(command.as_bytes())?;
        let answer = self.line()?;
        match is_right(&answer) {
            true => Ok(()),
            false => Err(format!("{command:?} is answered with {answer:?}")),
        }
    }

    fn expect_text(&mut self, command: &str, answer: &str) -> Result<(), String> {
        self.expect(command, |line| line == answer)
    }

    /// The value of a key and what stands behind its length, or nothing.
    fn get(&mut self, command: &str) -> Result<Option<(Vec<u8>, String)>, String> {
        self.send(format!("{command}\r\n").as_bytes())?;
        let head = self.line()?;
        if head == "END" {
            return Ok(None);
        }
        let mut words = head.split(' ').skip(3);
        let length: usize = words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| format!("this is no value: {head:?}"))?;
        let rest = words.next().unwrap_or_default().to_owned();
        let mut value = vec![0; length + 2];
        self.0.read_exact(&mut value).map_err(text)?;
        value.truncate(length);
        match self.line()?.as_str() {
            "END" => Ok(Some((value, rest))),
            other => Err(format!("behind the value stands {other:?}")),
        }
    }

    fn expect_value(&mut self, key: &str, expected: Option<&[u8]>) -> Result<(), String> {
        let found = self.get(&format!("get {key}"))?.map(|(value, _)| value);
        match found.as_deref() == expected {
            true => Ok(()),
            false => Err(format!("{key} has another value")),
        }
    }
}

/// What is stored is found again, in whatever way it was stored.
fn values(address: SocketAddr) -> Result<(), String> {
    let mut client = Client::open(address)?;
    client.expect_text("set one 7 0 5\r\nfirst\r\n", "STORED")?;
    client.expect_value("one", Some(b"first"))?;
    client.expect_text("add one 0 0 1\r\nx\r\n", "NOT_STORED")?;
    client.expect_text("replace two 0 0 1\r\nx\r\n", "NOT_STORED")?;
    client.expect_text("append one 0 0 2\r\n-b\r\n", "STORED")?;
    client.expect_text("prepend one 0 0 2\r\na-\r\n", "STORED")?;
    client.expect_value("one", Some(b"a-first-b"))?;
    // Compare and swap: the second with the same number comes too late.
    let (_, unique) = client.get("gets one")?.ok_or("the value is gone")?;
    client.expect_text(&format!("cas one 0 0 3 {unique}\r\nnew\r\n"), "STORED")?;
    client.expect_text(&format!("cas one 0 0 4 {unique}\r\nlate\r\n"), "EXISTS")?;
    client.expect_value("one", Some(b"new"))?;
    client.expect_text("delete one\r\n", "DELETED")?;
    client.expect_text("delete one\r\n", "NOT_FOUND")?;
    client.expect_value("one", None)?;
    // One that lives for a second.
    client.expect_text("set short 0 1 1\r\nx\r\n", "STORED")?;
    client.expect_value("short", Some(b"x"))?;
    let large: Vec<u8> = (0..1_500_000_u32)
        .map(|index| ((index * 7) >> 3) as u8)
        .collect();
    client.send(format!("set large 0 0 {}\r\n", large.len()).as_bytes())?;
    client.send(&large)?;
    client.expect_text("\r\n", "STORED")?;
    client.expect_value("large", Some(&large))?;
    client.expect_text("nonsense\r\n", "ERROR")?;
    thread::sleep(Duration::from_millis(2500));
    client.expect_value("short", None)?;
    client.expect_text("flush_all\r\n", "OK")?;
    client.expect_value("large", None)
}

/// Clients that count the same number up at once, some of them without waiting for answers.
fn counters(address: SocketAddr) -> Result<(), String> {
    let mut client = Client::open(address)?;
    client.expect_text("set number 0 0 1\r\n0\r\n", "STORED")?;
    let mut others = Vec::new();
    for _ in 0..CLIENTS {
        let mut other = Client::open(address)?;
        other.expect("version\r\n", |text| text.starts_with("VERSION "))?;
        others.push(other);
    }
    let threads: Vec<_> = others
        .into_iter()
        .map(|mut other| {
            thread::spawn(move || {
                other.send("incr number 1\r\n".repeat(COUNTS as usize).as_bytes())?;
                let mut last = 0;
                for _ in 0..COUNTS {
                    let value: u64 = other.line()?.parse().map_err(|_| "this is no number")?;
                    if value <= last {
                        return Err(format!("{value} comes after {last}"));
                    }
                    last = value;
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a client failed")??;
    }
    let expected = (CLIENTS * COUNTS).to_string();
    client.expect_value("number", Some(expected.as_bytes()))
}

/// The server has counted what it was asked, and has the threads it was told to have.
fn statistics(address: SocketAddr) -> Result<(), String> {
    let mut client = Client::open(address)?;
    client.send(b"stats\r\n")?;
    let mut lines = Vec::new();
    loop {
        match client.line()? {
            line if line == "END" => break,
            line => lines.push(line),
        }
    }
    let hits = (CLIENTS * COUNTS).to_string();
    for (name, value) in [
        ("threads", THREADS),
        ("incr_hits", &hits),
        ("cmd_flush", "1"),
    ] {
        let expected = format!("STAT {name} {value}");
        if !lines.contains(&expected) {
            return Err(format!("{expected} is not among {lines:?}"));
        }
    }
    Ok(())
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}
