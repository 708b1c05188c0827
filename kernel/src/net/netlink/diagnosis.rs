//! `sock_diag(7)`: which sockets of the Internet there are, as ss(8) asks for them.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use pith_linux::Errno;
use pith_linux::netlink::diagnosis::{self, InternetMessage, InternetRequest, SocketIdentity, attribute};
use pith_linux::netlink::{Builder, Request, control, flag};
use pith_linux::sockets::family;

use super::Answers;
use super::route::{Answered, structure};
use crate::net::internet::listing::{self, Line};

/// Protocols that can be asked for.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Answers a request.
///
/// # Errors
/// `EINVAL`, `ENOENT` for families and protocols that tell nothing, `EOPNOTSUPP` for all but dumps.
pub fn answer(request: &Request<'_>, answers: &mut Answers<'_>) -> Result<Answered, Errno> {
    if request.header.kind != diagnosis::BY_FAMILY {
        let is_known = request.header.kind > control::FIRST;
        return Err(if is_known { Errno::EOPNOTSUPP } else { Errno::EINVAL });
    }
    let number = u16::from(*request.body.first().ok_or(Errno::EINVAL)?);
    if !matches!(number, family::INTERNET | family::INTERNET_6) {
        return Err(Errno::ENOENT);
    }
    if request.body.len() < size_of::<InternetRequest>() {
        return Err(Errno::EINVAL);
    }
    let (wanted, _): (InternetRequest, _) = structure(request.body);
    if request.header.flags & flag::DUMP == 0 {
        crate::warning_once!("sock_diag answers dumps only: a single socket is EOPNOTSUPP");
        return Err(Errno::EOPNOTSUPP);
    }
    if !matches!(wanted.protocol, TCP | UDP) {
        // As on Linux, a dump of nothing ends with the error.
        answers.done_with(-i32::from(Errno::ENOENT.number()));
        return Ok(Answered::Dump);
    }
    for line in listing::lines(number, wanted.protocol == TCP, true) {
        if wanted.states & 1_u32.checked_shl(line.state.into()).unwrap_or(0) != 0 {
            let message = message(number, &wanted, &line, answers);
            answers.add(&message);
        }
    }
    answers.done();
    Ok(Answered::Dump)
}

fn address(number: u16, address: SocketAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    match address.ip() {
        IpAddr::V4(ip) if number == family::INTERNET => bytes[..4].copy_from_slice(&ip.octets()),
        IpAddr::V4(ip) => bytes = ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => bytes = ip.octets(),
    }
    bytes
}

fn message(number: u16, wanted: &InternetRequest, line: &Line, answers: &Answers<'_>) -> Vec<u8> {
    let message = InternetMessage {
        family: number as u8,
        state: line.state,
        identity: SocketIdentity {
            source_port: line.local.port().to_be_bytes(),
            destination_port: line.remote.port().to_be_bytes(),
            source: address(number, line.local),
            destination: address(number, line.remote),
            interface: line.interface.to_ne_bytes(),
            cookie: line.inode.to_ne_bytes(),
        },
        receiving: line.receiving as u32,
        // Of a listener, how many connections may wait.
        sending: (line.sending + line.backlog) as u32,
        inode: line.inode as u32,
        ..InternetMessage::default()
    };
    let header = answers.header(diagnosis::BY_FAMILY, flag::MULTI);
    let mut builder = Builder::new(header, &message).attribute(attribute::SHUTDOWN, &[line.shut]);
    if number == family::INTERNET_6 {
        builder = builder.attribute(attribute::ONLY_V6, &[line.only_v6.into()]);
    }
    let asks = |name: u16| wanted.extensions & 1 << (name - 1) != 0;
    if asks(attribute::INFORMATION)
        && let Some(information) = &line.information
    {
        builder = builder.attribute(attribute::INFORMATION, information);
    }
    if asks(attribute::CONGESTION)
        && let Some(name) = line.congestion
    {
        let mut text = Vec::from(name.as_bytes());
        text.push(0);
        builder = builder.attribute(attribute::CONGESTION, &text);
    }
    builder.finish()
}
