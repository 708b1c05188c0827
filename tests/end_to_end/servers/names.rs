//! Servers of names in a machine, asked from the host; and the small one that tests ask from a machine.

use super::Site;
use pith_end_to_end::guest::{Guest, Recipe, Transport};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

const NAME: &str = "www.pith.test";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
/// Questions that are asked one after the other, and how many are on their way at once.
const QUESTIONS: u16 = 200;
const AT_ONCE: u16 = 20;
/// Code of an answer: there is no such name.
const NO_SUCH_NAME: u8 = 3;

/// A question for the IPv4 address of a name (RFC 1035, section 4.1).
fn question(identifier: u16, name: &str) -> Vec<u8> {
    let mut message = identifier.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// What an answer says: the code and the last address in it.
fn address_in(answer: &[u8], question: &[u8]) -> Result<(u8, Option<Ipv4Addr>), String> {
    let is_answer = answer.len() >= question.len()
        && answer[..2] == question[..2]
        && answer[2] & 0x80 != 0
        && answer[12..question.len()] == question[12..];
    if !is_answer {
        return Err(format!("this is no answer to {question:?}: {answer:?}"));
    }
    let count = u16::from_be_bytes([answer[6], answer[7]]);
    let address = match (count, answer[question.len()..].get(..16)) {
        (0, _) => None,
        // A pointer to the name, then kind, class, time to live and length.
        (_, Some([_, _, 0, 1, 0, 1, _, _, _, _, 0, 4, a, b, c, d])) => {
            Some(Ipv4Addr::new(*a, *b, *c, *d))
        }
        _ => return Err(format!("a strange answer: {answer:?}")),
    };
    Ok((answer[3] & 15, address))
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

/// Asks once, by a datagram.
fn ask(server: SocketAddr, name: &str) -> Result<(u8, Option<Ipv4Addr>), String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .map_err(text)?;
    let question = question(7, name);
    socket.send_to(&question, server).map_err(text)?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer).map_err(text)?;
    address_in(&answer[..length], &question)
}

fn knows_the_name(guest: &Guest) -> Result<(), String> {
    match ask(guest.address(53, Transport::Udp), NAME)? {
        (0, Some(ADDRESS)) => Ok(()),
        other => Err(format!("{NAME} is {other:?}")),
    }
}

/// Checks a server of that name.
fn check(site: &Site<'_>, recipe: &Recipe) -> Result<(), String> {
    site.serve(recipe, knows_the_name, |guest| {
        let server = guest.address(53, Transport::Udp);
        match ask(server, "nobody.pith.test")? {
            (NO_SUCH_NAME, None) => {}
            other => return Err(format!("a name that does not exist is {other:?}")),
        }
        many(server)?;
        by_connection(guest.address(53, Transport::Tcp))
    })?;
    Ok(())
}

/// Many questions at once from one socket. Each is answered once, and to whom it was asked by.
fn many(server: SocketAddr) -> Result<(), String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .map_err(text)?;
    let mut first = 0;
    while first < QUESTIONS {
        let mut open = BTreeMap::new();
        for identifier in first..first + AT_ONCE {
            let question = question(identifier, NAME);
            socket.send_to(&question, server).map_err(text)?;
            open.insert(identifier, question);
        }
        while !open.is_empty() {
            let mut answer = [0; 1500];
            let length = socket.recv(&mut answer).map_err(text)?;
            let question = open
                .remove(&u16::from_be_bytes([answer[0], answer[1]]))
                .ok_or("an answer that nobody asked for")?;
            if address_in(&answer[..length], &question)? != (0, Some(ADDRESS)) {
                return Err("an answer of many is another".into());
            }
        }
        first += AT_ONCE;
    }
    Ok(())
}

/// Two questions on one connection (RFC 7766).
fn by_connection(server: SocketAddr) -> Result<(), String> {
    let mut stream = TcpStream::connect(server).map_err(text)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .map_err(text)?;
    for identifier in [1, 2] {
        let question = question(identifier, NAME);
        let length = question.len() as u16;
        stream
            .write_all(&[&length.to_be_bytes()[..], &question].concat())
            .map_err(text)?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).map_err(text)?;
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut answer).map_err(text)?;
        if address_in(&answer, &question)? != (0, Some(ADDRESS)) {
            return Err("the answer by a connection is another".into());
        }
    }
    Ok(())
}

pub fn dnsmasq(site: &Site<'_>) -> Result<(), String> {
    let record = format!("--host-record={NAME},{ADDRESS}");
    let command = [
        "/usr/sbin/dnsmasq",
        // Questions on a connection are answered by the same process then.
        "--no-daemon",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--log-facility=-",
        "--local=/pith.test/",
        &record,
    ];
    let recipe = Recipe::new(&command, 53)
        .port(53, Transport::Udp)
        .options(&["-m", "128M"])
        .message("TCP_FASTOPEN is not supported")
        .message("system call capget ")
        .status(&[0]);
    check(site, &recipe)
}

pub fn unbound(site: &Site<'_>) -> Result<(), String> {
    let configuration = site.write(
        "unbound.conf",
        format!(
            "server:\n interface: 0.0.0.0\n access-control: 0.0.0.0/0 allow\n chroot: \"\"\n username: \"\"\n\
             \u{20}directory: \"/\"\n pidfile: \"\"\n use-syslog: no\n do-daemonize: no\n num-threads: 2\n\
             \u{20}local-zone: \"pith.test.\" static\n local-data: \"{NAME}. IN A {ADDRESS}\"\n\
             remote-control:\n control-enable: no\n"
        ),
    )?;
    let command = ["/usr/sbin/unbound", "-d", "-p", "-c", "/unbound.conf"];
    let recipe = Recipe::new(&command, 53)
        .port(53, Transport::Udp)
        .options(&["-m", "256M"])
        .file(format!("{configuration}:/unbound.conf"))
        .message("TCP_FASTOPEN is not supported")
        .status(&[0]);
    check(site, &recipe)
}

/// Answers questions by datagrams at this address, as long as the test runs: with the address for the names that are
/// given, for others that there is none such.
pub fn serve(
    own: SocketAddr,
    names: &'static [&'static str],
    address: Ipv4Addr,
) -> Result<(), String> {
    let socket = UdpSocket::bind(own).map_err(text)?;
    thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut message) {
            let answer = answer_to(&message[..length], names, address);
            // Who asked may be gone.
            let _ = socket.send_to(&answer, client);
        }
    });
    Ok(())
}

fn answer_to(question: &[u8], names: &[&str], address: Ipv4Addr) -> Vec<u8> {
    let known = names.iter().find(|name| {
        question
            .get(12..)
            .is_some_and(|rest| rest.starts_with(&labels(name)))
    });
    let end = known.map(|name| 12 + labels(name).len());
    let Some(kind) = end.and_then(|end| question.get(end..end + 4)) else {
        let mut refusal = question.to_vec();
        if let Some([flags, code]) = refusal.get_mut(2..4) {
            (*flags, *code) = (0x81, 0x80 | NO_SUCH_NAME);
        }
        return refusal;
    };
    // The head and the question; a name that has other addresses than the one asked for is there all the same.
    let mut answer = question[..end.unwrap_or_default() + 4].to_vec();
    let is_asked = kind == [0, 1, 0, 1];
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_asked), 0, 0, 0, 0]);
    if is_asked {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}

fn labels(name: &str) -> Vec<u8> {
    let message = question(0, name);
    message[12..message.len() - 4].to_vec()
}
