//! The benchmark's own clients: what no packaged one measures.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// Longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections to memcached.
const CONNECTIONS: usize = 32;

/// Bytes of a value in memcached.
const VALUE: usize = 32;

/// Threads that connect to the echo server.
const CALLERS: usize = 8;

fn connect(address: SocketAddrV4) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::V4(address), PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The value that so many of all are not greater than, in microseconds.
fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1].as_nanos() as f64 / 1e3
}

/// Median and 99.9th percentile in microseconds.
fn percentiles(mut times: Vec<Duration>) -> Vec<f64> {
    times.sort_unstable();
    vec![percentile(&times, 0.5), percentile(&times, 0.999)]
}

/// Times one call after the other, one in each millisecond.
fn paced(count: u32, mut call: impl FnMut() -> io::Result<()>) -> io::Result<Vec<f64>> {
    let start = Instant::now();
    let mut times = Vec::new();
    for number in 0..count {
        thread::sleep(Duration::from_millis(number.into()).saturating_sub(start.elapsed()));
        let asked = Instant::now();
        call()?;
        times.push(asked.elapsed());
    }
    Ok(percentiles(times))
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(format!("wrong answer: {what}"))
}

/// Reads one answer with its content from a connection that stays open.
fn read_http(stream: &mut impl BufRead, line: &mut String) -> io::Result<()> {
    let mut length = 0;
    let mut first = true;
    loop {
        line.clear();
        stream.read_line(line)?;
        let text = line.trim_end();
        if first && !text.starts_with("HTTP/1.1 200 ") {
            return Err(wrong(text));
        }
        first = false;
        if let Some(value) = text.strip_prefix("Content-Length: ") {
            length = value.parse().map_err(|_| wrong(value))?;
        }
        if text.is_empty() {
            break;
        }
    }
    let copied = io::copy(&mut stream.take(length), &mut io::sink())?;
    (copied == length)
        .then_some(())
        .ok_or_else(|| wrong("cut off"))
}

/// Requests over one connection, a thousand a second: time until the whole answer is there.
pub fn http_latency(address: SocketAddrV4) -> io::Result<Vec<f64>> {
    let mut stream = connect(address)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    // By default nginx closes connections after a thousand requests.
    let mut left = 1000;
    paced(3000, || {
        if left == 0 {
            stream = connect(address)?;
            answers = BufReader::new(stream.try_clone()?);
            left = 1000;
        }
        left -= 1;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        read_http(&mut answers, &mut line)
    })
}

/// Datagrams of 64 bytes to and fro, a thousand a second.
pub fn datagram_round_trips(address: SocketAddrV4) -> io::Result<Vec<f64>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut number = 0_u64;
    paced(2000, || {
        let mut sent = [0; 64];
        sent[..8].copy_from_slice(&number.to_ne_bytes());
        number += 1;
        socket.send(&sent)?;
        let mut got = [0; 65];
        let length = socket.recv(&mut got)?;
        (got[..length] == sent)
            .then_some(())
            .ok_or_else(|| wrong("another datagram"))
    })
}

/// Connections a second: connect, send a line, get it back, close; from several threads at once.
pub fn connections(address: SocketAddrV4) -> io::Result<Vec<f64>> {
    const TIME: Duration = Duration::from_secs(2);
    let start = Instant::now();
    let call = || -> io::Result<u32> {
        let mut count = 0;
        while start.elapsed() < TIME {
            let mut stream = connect(address)?;
            stream.write_all(b"hello\n")?;
            stream.shutdown(Shutdown::Write)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            if answer != "hello\n" {
                return Err(wrong(&answer));
            }
            count += 1;
        }
        Ok(count)
    };
    let count: u32 = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        let counts = callers.into_iter().map(|caller| {
            let count = caller.join().map_err(|_| wrong("a thread panicked"));
            count.flatten()
        });
        counts.sum::<io::Result<u32>>()
    })?;
    Ok(vec![f64::from(count) / start.elapsed().as_secs_f64()])
}

/// Sets and then gets, each over all connections at once, in requests a second.
pub fn memcached(address: SocketAddrV4) -> io::Result<Vec<f64>> {
    let value = "v".repeat(VALUE);
    let mut streams = (0..CONNECTIONS)
        .map(|_| connect(address))
        .collect::<io::Result<Vec<_>>>()?;
    let mut rates = Vec::new();
    for set in [true, false] {
        let ask = |number: usize| match set {
            true => format!("set key{number:06} 0 0 {VALUE}\r\n{value}\r\n"),
            false => format!("get key{number:06}\r\n"),
        };
        let answer = |number: usize| match set {
            true => "STORED\r\n".to_owned(),
            false => format!("VALUE key{number:06} 0 {VALUE}\r\n{value}\r\nEND\r\n"),
        };
        rates.push(requests(&mut streams, ask, answer)?);
    }
    Ok(rates)
}

/// Keeps one request under way on each connection, with numbers below 1,000 in turn. Returns requests a second.
fn requests(
    streams: &mut [TcpStream],
    ask: impl Fn(usize) -> String,
    answer: impl Fn(usize) -> String,
) -> io::Result<f64> {
    const TIME: Duration = Duration::from_millis(1500);
    const KEYS: usize = 1000;
    let start = Instant::now();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(ask(number).as_bytes())?;
    }
    let mut count = 0;
    let mut number = 0;
    let mut got = Vec::new();
    // Each key is set before it is asked for.
    while start.elapsed() < TIME || number < KEYS {
        for stream in streams.iter_mut() {
            let expected = answer(number % KEYS);
            got.resize(expected.len(), 0);
            stream.read_exact(&mut got)?;
            if got != expected.as_bytes() {
                return Err(wrong(&String::from_utf8_lossy(&got)));
            }
            count += 1;
            let next = (number + CONNECTIONS) % KEYS;
            stream.write_all(ask(next).as_bytes())?;
            number += 1;
        }
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    for stream in streams.iter_mut() {
        got.resize(answer(number % KEYS).len(), 0);
        stream.read_exact(&mut got)?;
        number += 1;
    }
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times = (1..=1000).rev().map(Duration::from_micros).collect();
        assert_eq!(percentiles(times), [500.0, 999.0]);
        assert_eq!(percentiles(vec![Duration::from_micros(7)]), [7.0, 7.0]);
    }

    #[test]
    fn answers_are_checked() {
        let mut line = String::new();
        let mut good = &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP"[..];
        read_http(&mut good, &mut line).expect("a good answer");
        assert_eq!(good, b"HTTP");
        let mut cut = &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"[..];
        assert!(read_http(&mut cut, &mut line).is_err());
        let mut bad = &b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nok"[..];
        assert!(read_http(&mut bad, &mut line).is_err());
    }
}
