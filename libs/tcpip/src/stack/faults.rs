//! Errors that come back, and the sockets that learn of them.

use super::*;
use crate::tcp::Ending;

/// Errors that wait for a socket that wants all of them, at most.
const REPORTS: usize = 32;

/// Why a packet did not arrive, as a program is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nobody listens at that port.
    Refused,
    /// The station can't be reached.
    HostUnreachable,
    /// Its network can't be reached.
    NetworkUnreachable,
    /// The station does not know the protocol.
    NoProtocol,
    /// It was too long for a link on the way.
    TooLong,
    /// The station is off.
    HostDown,
    /// The station's network is cut off.
    Isolated,
    /// The list of stations to pass can't be kept.
    SourceRoute,
    /// Somebody does not allow it.
    Forbidden,
    /// A field was not understood.
    Malformed,
}

impl Cause {
    /// What a connection that is being made ends by.
    fn ending(self) -> Ending {
        match self {
            Self::Refused => Ending::Refused,
            Self::NetworkUnreachable | Self::Isolated => Ending::NoNetwork,
            Self::NoProtocol => Ending::NoProtocol,
            Self::Forbidden => Ending::Forbidden,
            Self::HostUnreachable
            | Self::TooLong
            | Self::HostDown
            | Self::SourceRoute
            | Self::Malformed => Ending::Unreachable,
        }
    }
}

/// An error, and whether it will stay so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) cause: Cause,
    pub(super) lasting: bool,
    pub(super) kind: u8,
    pub(super) code: u8,
    /// What a link would carry, for [`Cause::TooLong`]; where the field is, for [`Cause::Malformed`].
    pub(super) information: u32,
    /// The packet that says so; `None` if this machine does.
    pub(super) carrier: Option<Carrier>,
}

impl Fault {
    /// What a message of ICMP means (RFC 1122, section 3.2.2.1; the same as Linux makes of it).
    pub(super) fn of_icmp(header: &icmp::Header, carrier: Carrier) -> Option<Self> {
        use Cause::*;
        let (cause, lasting) = match (header.kind, header.code) {
            (icmp::UNREACHABLE, code) => match code {
                0 => (NetworkUnreachable, false),
                1 => (HostUnreachable, false),
                2 => (NoProtocol, true),
                3 => (Refused, true),
                4 => (TooLong, true),
                5 => (SourceRoute, false),
                6 => (NetworkUnreachable, true),
                7 => (HostDown, true),
                8 => (Isolated, true),
                9 => (NetworkUnreachable, true),
                10 => (HostUnreachable, true),
                11 => (NetworkUnreachable, false),
                12 => (HostUnreachable, false),
                13..=15 => (HostUnreachable, true),
                _ => return None,
            },
            (icmp::TIME_EXCEEDED, _) => (HostUnreachable, false),
            (icmp::PROBLEM, _) => (Malformed, true),
            _ => return None,
        };
        Some(Self {
            cause,
            lasting,
            kind: header.kind,
            code: header.code,
            information: header.rest & 0xffff,
            carrier: Some(carrier),
        })
    }

    /// What a message of ICMP for IPv6 means (RFC 4443).
    pub(super) fn of_icmpv6(header: &icmp::Header, carrier: Carrier) -> Option<Self> {
        use Cause::*;
        let (cause, lasting) = match (header.kind, header.code) {
            (icmpv6::UNREACHABLE, code) => match code {
                0 => (NetworkUnreachable, false),
                1 => (Forbidden, true),
                2 | 3 => (HostUnreachable, false),
                4 => (Refused, true),
                5 | 6 => (Forbidden, true),
                _ => return None,
            },
            (icmpv6::TOO_BIG, _) => (TooLong, true),
            (icmpv6::TIME_EXCEEDED, _) => (HostUnreachable, false),
            (icmpv6::PROBLEM, _) => (Malformed, true),
            _ => return None,
        };
        Some(Self {
            cause,
            lasting,
            kind: header.kind,
            code: header.code,
            information: header.rest,
            carrier: Some(carrier),
        })
    }
}

/// An error, for a program that wants all of them (`IP_RECVERR`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Why.
    pub cause: Cause,
    /// Type and code of the message of ICMP.
    pub message: (u8, u8),
    /// Bytes that a link carries, or where the wrong field is.
    pub information: u32,
    /// The packet that says so; `None` if this machine does.
    pub carrier: Option<Carrier>,
    /// To whom the packet went.
    pub destination: SocketAddr,
    /// The data of the datagram, as far as it came back.
    pub data: Vec<u8>,
}

/// A packet of this machine that came back in an error.
pub(super) struct Quoted<'a> {
    pub(super) protocol: u8,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Bytes of the whole packet.
    length: usize,
    /// What it carried, as far as it came back.
    pub(super) inner: &'a [u8],
}

impl<B> Udp<B> {
    /// Learns what became of a packet with this data to a peer. Who is connected learns what will not pass; who wants to
    /// know everything learns the rest as well.
    pub(super) fn learn(&mut self, fault: Fault, remote: SocketAddr, data: &[u8]) {
        let told = fault.cause != Cause::TooLong || self.manner.discovery != Discovery::Never;
        let reports = match remote {
            SocketAddr::V4(_) => self.manner.reports_v4,
            SocketAddr::V6(_) => self.manner.reports_v6,
        };
        if reports && told {
            if self.reports.len() < REPORTS {
                self.reports.push_back(Report {
                    cause: fault.cause,
                    message: (fault.kind, fault.code),
                    information: fault.information,
                    carrier: fault.carrier,
                    destination: remote,
                    data: Vec::from(data),
                });
            }
            self.error = Some(fault.cause);
        } else if fault.lasting && told && self.remote.is_some() {
            self.error = Some(fault.cause);
        }
    }
}

impl<B: Buffer> Stack<B> {
    /// Reads the start of a packet of ours: less than a whole one, so by hand.
    pub(super) fn quoted_v4<'a>(&self, quoted: &'a [u8]) -> Result<Quoted<'a>, Malformed> {
        let length = usize::from(quoted.first().ok_or(Malformed::Short)? & 15) * 4;
        let header = quoted
            .get(..length.max(ipv4::HEADER))
            .ok_or(Malformed::Short)?;
        let ip = |offset| crate::wire::array_at::<4>(header, offset).map(Ipv4Addr::from);
        // Only the first part of a packet tells whose it is.
        if crate::wire::u16_at(header, 6)? & 0x1fff != 0 {
            return Err(Malformed::Field);
        }
        let inner = &quoted[header.len()..];
        let (own, other) = tcp::Header::ports(inner)?;
        Ok(Quoted {
            protocol: header[9],
            local: SocketAddrV4::new(ip(12)?, own).into(),
            remote: SocketAddrV4::new(ip(16)?, other).into(),
            length: crate::wire::u16_at(header, 2)?.into(),
            inner,
        })
    }

    /// The same for IPv6.
    pub(super) fn quoted_v6<'a>(
        &self,
        interface: usize,
        quoted: &'a [u8],
    ) -> Result<Quoted<'a>, Malformed> {
        let ip = |offset| crate::wire::array_at::<16>(quoted, offset).map(Ipv6Addr::from);
        let (source, destination) = (ip(8)?, ip(24)?);
        let Ok(upper) = ipv6::walk(quoted) else {
            return Err(Malformed::Field);
        };
        if upper.fragment.is_some_and(|part| part.offset != 0) {
            return Err(Malformed::Field);
        }
        let inner = quoted.get(upper.offset..).ok_or(Malformed::Short)?;
        let (own, other) = tcp::Header::ports(inner)?;
        Ok(Quoted {
            protocol: upper.protocol,
            local: self.socket_address(interface, source.into(), own),
            remote: self.socket_address(interface, destination.into(), other),
            length: ipv6::HEADER + usize::from(crate::wire::u16_at(quoted, 4)?),
            inner,
        })
    }

    /// What is known of a packet, with the ports of its source and its destination; 0 where there are none.
    pub(super) fn carrier(
        &self,
        packet: &Arrival,
        (source, destination): (u16, u16),
        now: Instant,
    ) -> Carrier {
        Carrier {
            source: self.socket_address(packet.interface, packet.source, source),
            destination: self.socket_address(packet.interface, packet.destination, destination),
            interface: packet.interface,
            hops: packet.hops,
            service: packet.service,
            at: now,
        }
    }

    /// Tells the socket that sent a packet what became of it. What nobody here can have sent is not believed.
    pub(super) fn report(&mut self, quoted: &Quoted<'_>, fault: Fault, now: Instant) {
        if !self.raws.is_empty() {
            self.report_to_raws(quoted, fault);
        }
        match quoted.protocol {
            ip::ICMP | ip::ICMPV6 => self.report_to_echoes(quoted, fault),
            ip::UDP => self.report_to_datagrams(quoted, fault, now),
            ip::TCP => self.report_to_stream(quoted, fault, now),
            _ => {}
        }
    }

    fn report_to_datagrams(&mut self, quoted: &Quoted<'_>, fault: Fault, now: Instant) {
        let (local, remote) = (quoted.local, quoted.remote);
        let list = self
            .datagrams
            .get(&local.port())
            .cloned()
            .unwrap_or_default();
        let mut sender = false;
        for handle in list {
            let Ok(socket) = self.udp_mut(handle) else {
                continue;
            };
            let bound = socket
                .local
                .is_some_and(|bound| socket.reach.accepts(bound.ip(), local.ip()) != 0);
            if !bound || socket.remote.is_some_and(|peer| peer != remote) {
                continue;
            }
            sender = true;
            let data = quoted.inner.get(udp::HEADER..).unwrap_or_default();
            socket.learn(fault, remote, data);
            self.events.push_back(handle);
        }
        if sender && fault.cause == Cause::TooLong {
            self.learn_mtu(remote, fault.information as usize, quoted.length, now);
        }
    }

    fn report_to_stream(&mut self, quoted: &Quoted<'_>, fault: Fault, now: Instant) {
        let (local, remote) = (quoted.local, quoted.remote);
        let Ok(sequence) = crate::wire::u32_at(quoted.inner, 4) else {
            return;
        };
        let Some(Place::Socket(handle)) = self.directory.find(&(local, remote)) else {
            return;
        };
        let Ok(Tcp {
            state: TcpState::Connected(connection),
            ..
        }) = self.tcp_mut(handle)
        else {
            return;
        };
        if !connection.is_outstanding(Sequence(sequence)) {
            return;
        }
        if fault.cause != Cause::TooLong {
            connection.unreachable(fault.cause.ending());
            self.flush(handle, now);
            self.events.push_back(handle);
        } else if self.learn_mtu(remote, fault.information as usize, quoted.length, now) {
            self.limit_to_path(handle, now);
            self.flush(handle, now);
        }
    }

    /// Makes the segments of a connection as short as its path needs them.
    pub(super) fn limit_to_path(&mut self, handle: Handle, now: Instant) {
        let Some(remote) = self.connection(handle).map(|one| one.remote()) else {
            return;
        };
        let learned = self.learned_mtu(remote.ip(), now);
        if learned == usize::MAX {
            return;
        }
        let headers = match remote {
            SocketAddr::V4(_) => ipv4::HEADER + tcp::HEADER,
            SocketAddr::V6(_) => ipv6::HEADER + tcp::HEADER,
        };
        if let Ok(Tcp {
            state: TcpState::Connected(connection),
            ..
        }) = self.tcp_mut(handle)
        {
            connection.limit_path(learned - headers);
        }
    }

    /// A packet of ours found no neighbour.
    pub(super) fn could_not_deliver(&mut self, frame: &Frame<B>, now: Instant) {
        let packet = frame.headers.get(ethernet::HEADER..).unwrap_or_default();
        let version = packet.first().map(|byte| byte >> 4);
        let (quoted, kind, code) = match version {
            Some(4) => (self.quoted_v4(packet), icmp::UNREACHABLE, 1),
            _ => (
                self.quoted_v6(frame.interface, packet),
                icmpv6::UNREACHABLE,
                3,
            ),
        };
        let fault = Fault {
            cause: Cause::HostUnreachable,
            lasting: false,
            kind,
            code,
            information: 0,
            carrier: None,
        };
        if let Ok(quoted) = quoted {
            self.report(&quoted, fault, now);
        }
    }
}
