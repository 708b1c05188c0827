//! ICMP: echoes, and errors that come back.

use super::*;

impl<B: Buffer> Stack<B> {
    /// Says that nobody listens at the port of a datagram.
    pub(super) fn send_unreachable(
        &mut self,
        packet: &ipv4::Header,
        whole: &Slice<B>,
        now: Instant,
    ) {
        // Its header and the first eight bytes behind it (RFC 792); as many as Linux: up to 548 (RFC 1812).
        let quoted = whole.part(0, packet.header_length + 520);
        let header = icmp::Header {
            kind: icmp::UNREACHABLE,
            code: icmp::PORT_UNREACHABLE,
            rest: 0,
        };
        let bytes = header.bytes(&quoted);
        let length = bytes.len() + quoted.len();
        let answer = ipv4::Header::new(packet.destination, packet.source, ipv4::ICMP, length);
        self.send_packet(answer, Transport::whole(&bytes, quoted), now);
    }

    pub(super) fn receive_icmp(
        &mut self,
        packet: &ipv4::Header,
        payload: Slice<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let header = icmp::Header::read(&payload)?;
        let mut data = payload;
        data.advance(icmp::HEADER);
        match header.kind {
            icmp::ECHO if self.is_local(packet.destination) => {
                let answer = icmp::Header {
                    kind: icmp::ECHO_REPLY,
                    ..header
                };
                let bytes = answer.bytes(&data);
                let packet = ipv4::Header::new(
                    packet.destination,
                    packet.source,
                    ipv4::ICMP,
                    icmp::HEADER + data.len(),
                );
                self.send_packet(packet, Transport::whole(&bytes, data), now);
            }
            icmp::UNREACHABLE => self.receive_unreachable(header.code, &data)?,
            _ => {}
        }
        Ok(())
    }

    /// One of our packets could not be delivered: its start comes back.
    pub(super) fn receive_unreachable(&mut self, code: u8, quoted: &[u8]) -> Result<(), Malformed> {
        // Less than a whole packet, so it is read by hand.
        let length = usize::from(quoted.first().ok_or(Malformed::Short)? & 15) * 4;
        let header = quoted
            .get(..length.max(ipv4::HEADER))
            .ok_or(Malformed::Short)?;
        let address = |offset| crate::wire::array_at::<4>(header, offset).map(Ipv4Addr::from);
        let (from, to) = (address(12)?, address(16)?);
        let (own, other) = tcp::Header::ports(&quoted[length..])?;
        let (local, remote) = (SocketAddrV4::new(from, own), SocketAddrV4::new(to, other));
        match header[9] {
            ipv4::UDP => {
                let list = self.datagrams.get(&own).cloned().unwrap_or_default();
                for handle in list {
                    if let Ok(socket) = self.udp_mut(handle)
                        && socket.remote == Some(remote)
                    {
                        socket.refused = true;
                        self.events.push_back(handle);
                    }
                }
            }
            ipv4::TCP => {
                if let Some(handle) = self.connections.get(&(local, remote)).copied()
                    && let Ok(Tcp {
                        state: TcpState::Connected(connection),
                        ..
                    }) = self.tcp_mut(handle)
                {
                    connection.unreachable(code == icmp::PORT_UNREACHABLE);
                    self.events.push_back(handle);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
