//! A small client of HTTP/1.1 (RFC 9112), for what `curl` can't show: many requests on one connection, some at once,
//! and some half sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Fields with their names in small letters.
    pub fields: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect_timeout(&address, LIMIT)
            .map_err(|error| format!("can't connect to {address}: {error}"))?;
        stream
            .set_read_timeout(Some(LIMIT))
            .and_then(|()| stream.set_write_timeout(Some(LIMIT)))
            .and_then(|()| stream.set_nodelay(true))
            .map_err(text)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Response, String> {
        let mut request = head(method, path, body.len()).into_bytes();
        request.extend_from_slice(body);
        self.send(&request)?;
        self.receive(method == "HEAD")
    }

    /// `GET`, which has to succeed.
    pub fn get(&mut self, path: &str) -> Result<Vec<u8>, String> {
        let response = self.ask("GET", path, b"")?;
        match response.status {
            200 => Ok(response.body),
            status => Err(format!("GET {path}: {status}")),
        }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.get_mut().write_all(bytes).map_err(text)
    }

    /// Reads one answer.
    pub fn receive(&mut self, without_body: bool) -> Result<Response, String> {
        let first = self.line()?;
        let status = first
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split(' ').nth(1))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| format!("this is no answer of HTTP: {first:?}"))?;
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| format!("this is no field: {line:?}"))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Response {
            status,
            fields,
            body: Vec::new(),
        };
        if without_body {
            return Ok(response);
        }
        if response.field("transfer-encoding") == Some("chunked") {
            response.body = self.chunks()?;
        } else if let Some(length) = response.field("content-length") {
            let length = length.parse().map_err(|_| "a strange length")?;
            response.body = self.bytes(length)?;
        } else {
            self.stream.read_to_end(&mut response.body).map_err(text)?;
        }
        Ok(response)
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).map_err(text)? {
            0 => Err("the connection ended".into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).map_err(text)?;
        Ok(bytes)
    }

    fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let length = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)
                .map_err(|_| format!("a strange chunk: {line:?}"))?;
            body.extend(self.bytes(length)?);
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}

/// The head of a request.
pub fn head(method: &str, path: &str, length: usize) -> String {
    let content = match length {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: pith.test\r\n{content}\r\n")
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// A server that says this to whoever comes.
    fn saying(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a loopback interface");
        let address = listener.local_addr().expect("it is bound");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the test comes");
            stream.write_all(answer.as_bytes()).expect("it listens");
        });
        address
    }

    #[test]
    fn answers_with_a_length_and_in_chunks_are_read_one_after_the_other() {
        let address = saying(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
             HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n",
        );
        let mut connection = Connection::open(address).expect("the server waits");
        let first = connection.receive(false).expect("it answers");
        assert_eq!((first.status, first.body.as_slice()), (200, &b"abc"[..]));
        let second = connection.receive(false).expect("it answers");
        assert_eq!((second.status, second.body.as_slice()), (404, &b"de"[..]));
        assert!(connection.receive(false).is_err());
    }

    #[test]
    fn what_ends_too_early_is_an_error() {
        let address = saying("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc");
        let mut connection = Connection::open(address).expect("the server waits");
        assert!(connection.receive(false).is_err());
    }
}
