//! Several things that a runtime does, one after the other; what is printed depends on nothing but the program.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::panic;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

fn steps(from: u64, to: u64) -> u64 {
    let mut steps = 0;
    for start in from..to {
        let mut value = start;
        while value != 1 {
            value = if value % 2 == 0 { value / 2 } else { 3 * value + 1 };
            steps += 1;
        }
    }
    steps
}

fn compute() {
    let results: Vec<u64> = thread::scope(|scope| {
        let parts: Vec<_> = (0..4)
            .map(|index| scope.spawn(move || steps(index * 50_000 + 1, (index + 1) * 50_000)))
            .collect();
        parts.into_iter().map(|part| part.join().expect("no panic")).collect()
    });
    let listed = fs::read_to_string("/proc/cpuinfo")
        .map_or(0, |text| text.lines().filter(|line| line.starts_with("processor")).count());
    let available = thread::available_parallelism().map_or(0, |count| count.get());
    println!("{results:?} {}", available == listed);
}

fn timers() {
    let begin = Instant::now();
    let (sender, receiver) = mpsc::channel();
    for milliseconds in [60, 20, 40] {
        let sender = sender.clone();
        let time = Duration::from_millis(milliseconds);
        thread::spawn(move || {
            thread::sleep(time);
            sender.send(begin.elapsed() >= time)
        });
    }
    let in_time: Vec<bool> = receiver.iter().take(3).collect();
    let late = receiver.recv_timeout(Duration::from_millis(30)) == Err(RecvTimeoutError::Timeout);
    println!("{in_time:?} {late} {}", begin.elapsed() >= Duration::from_millis(90));
}

/// The standard library has no HTTP: a few lines of it, on both sides.
fn serve(stream: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    let mut request = String::new();
    stream.read_line(&mut request)?;
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let status = if path == "/page" { "200 OK" } else { "404 Not Found" };
    let body = format!("you asked for {path}");
    write!(stream.get_mut(), "HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn ask(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn web() -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let server = thread::spawn(move || -> std::io::Result<()> {
        for _ in 0..2 {
            serve(&mut BufReader::new(listener.accept()?.0))?;
        }
        Ok(())
    });
    for path in ["/page", "/other"] {
        println!("{:?}", ask(port, path)?);
    }
    server.join().expect("no panic")?;
    println!("{:?}", ask(1, "/").map_err(|error| error.kind()));
    Ok(())
}

/// Safe Rust has no null pointers to follow; what comes closest panics.
fn panics() {
    panic::set_hook(Box::new(|information| println!("{information}")));
    let nothing: Option<&u64> = std::env::args().nth(9).map(|_| &0);
    let caught = panic::catch_unwind(|| *nothing.expect("something"));
    let in_thread = thread::Builder::new()
        .name("panics".into())
        .spawn(|| [0_u8; 4][std::env::args().count() + 9])
        .map(|thread| thread.join().is_err());
    println!("{} {in_thread:?}", caught.is_err());
}

fn main() -> std::io::Result<()> {
    println!("hello from Rust");
    compute();
    timers();
    web()?;
    panics();
    Ok(())
}
