//! ICMP: echoes, and errors that come back.

use super::*;

/// A packet of this machine that came back in an error.
pub(super) struct Quoted {
    pub(super) protocol: u8,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nobody listens at that port.
    Port,
    /// It did not get there.
    Unreachable,
}

impl<B: Buffer> Stack<B> {
    /// Says that nobody listens at the port of a datagram.
    pub(super) fn send_unreachable(&mut self, packet: &Arrival, whole: &Slice<B>, now: Instant) {
        match (packet.source, packet.destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                let header = icmp::Header {
                    kind: icmp::UNREACHABLE,
                    code: icmp::PORT_UNREACHABLE,
                    rest: 0,
                };
                // Its header and the first eight bytes behind it (RFC 792); as many as Linux: up to 548 (RFC 1812).
                let quoted = whole.part(0, packet.header_length + 520);
                self.send_icmp(packet, header, quoted, now);
            }
            _ => {
                let header = icmp::Header {
                    kind: icmpv6::UNREACHABLE,
                    code: icmpv6::PORT_UNREACHABLE,
                    rest: 0,
                };
                self.send_error_v6(packet, header, whole, now);
            }
        }
    }

    /// Answers a packet with a message.
    fn send_icmp(
        &mut self,
        packet: &Arrival,
        header: icmp::Header,
        payload: Slice<B>,
        now: Instant,
    ) {
        let bytes = header.bytes(&payload);
        let answer = ip::Header::new(packet.destination, packet.source, 0, ip::ICMP);
        self.send_packet(&answer, Transport::whole(&bytes, payload), now);
    }

    pub(super) fn receive_icmp(
        &mut self,
        packet: &Arrival,
        payload: Slice<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let header = icmp::Header::read(&payload)?;
        let mut data = payload;
        data.advance(icmp::HEADER);
        match header.kind {
            icmp::ECHO if !packet.group => {
                let answer = icmp::Header {
                    kind: icmp::ECHO_REPLY,
                    ..header
                };
                self.send_icmp(packet, answer, data, now);
            }
            icmp::UNREACHABLE => {
                let fault = match header.code {
                    icmp::PORT_UNREACHABLE => Fault::Port,
                    _ => Fault::Unreachable,
                };
                let quoted = self.quoted_v4(&data)?;
                self.report(&quoted, fault);
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads the start of a packet of ours: less than a whole one, so by hand.
    fn quoted_v4(&self, quoted: &[u8]) -> Result<Quoted, Malformed> {
        let length = usize::from(quoted.first().ok_or(Malformed::Short)? & 15) * 4;
        let header = quoted
            .get(..length.max(ipv4::HEADER))
            .ok_or(Malformed::Short)?;
        let ip = |offset| crate::wire::array_at::<4>(header, offset).map(Ipv4Addr::from);
        let inner = &quoted[header.len()..];
        let (own, other) = tcp::Header::ports(inner)?;
        Ok(Quoted {
            protocol: header[9],
            local: SocketAddrV4::new(ip(12)?, own).into(),
            remote: SocketAddrV4::new(ip(16)?, other).into(),
        })
    }

    /// Tells the socket that sent a packet what became of it.
    pub(super) fn report(&mut self, quoted: &Quoted, fault: Fault) {
        let (local, remote) = (quoted.local, quoted.remote);
        match quoted.protocol {
            ip::UDP if fault == Fault::Port => {
                let list = self
                    .datagrams
                    .get(&local.port())
                    .cloned()
                    .unwrap_or_default();
                for handle in list {
                    if let Ok(socket) = self.udp_mut(handle)
                        && socket.remote == Some(remote)
                    {
                        socket.refused = true;
                        self.events.push_back(handle);
                    }
                }
            }
            ip::TCP => {
                if let Some(Place::Socket(handle)) = self.directory.find(&(local, remote))
                    && let Ok(Tcp {
                        state: TcpState::Connected(connection),
                        ..
                    }) = self.tcp_mut(handle)
                {
                    connection.unreachable(fault == Fault::Port);
                    self.events.push_back(handle);
                }
            }
            _ => {}
        }
    }

    /// A packet of ours found no neighbour.
    pub(super) fn could_not_deliver(&mut self, frame: &Frame<B>, _now: Instant) {
        let packet = frame.headers.get(ethernet::HEADER..).unwrap_or_default();
        let quoted = match packet.first().map(|byte| byte >> 4) {
            Some(4) => self.quoted_v4(packet),
            _ => self.quoted_v6(frame.interface, packet),
        };
        if let Ok(quoted) = quoted {
            self.report(&quoted, Fault::Unreachable);
        }
    }
}
