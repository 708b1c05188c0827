//! ICMP for IPv6: echoes, and errors in both directions.

use super::control::{Fault, Quoted};
use super::discovery::UNROUTED;
use super::*;

/// An error quotes as much of the packet as fits into one that every link carries (RFC 4443, section 2.4).
const QUOTED: usize = ipv6::LEAST_MTU - ipv6::HEADER - icmp::HEADER;

impl<B: Buffer> Stack<B> {
    /// Tells the sender of a packet what is wrong.
    pub(super) fn send_error_v6(
        &mut self,
        packet: &Arrival,
        header: icmp::Header,
        whole: &Slice<B>,
        now: Instant,
    ) {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source, packet.destination)
        else {
            return;
        };
        if source.is_unspecified() || source.is_multicast() {
            return;
        }
        let scope = scope_of(self.socket_address(packet.interface, packet.source, 0));
        // What was for a group is answered from an address of one's own.
        let own = match destination.is_multicast() {
            false => destination,
            true => match self.source_for(packet.source, scope) {
                Ok(IpAddr::V6(own)) => own,
                _ => return,
            },
        };
        let quoted = whole.part(0, QUOTED);
        let bytes = icmpv6::bytes(&header, own, source, &quoted);
        let answer = ip::Header::new(own.into(), source.into(), scope, ip::ICMPV6);
        self.send_packet(&answer, Transport::whole(&bytes, quoted), now);
    }

    pub(super) fn receive_icmpv6(
        &mut self,
        packet: &Arrival,
        payload: Slice<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source, packet.destination)
        else {
            return Ok(());
        };
        let header = icmpv6::read(source, destination, &payload)?;
        let mut data = payload;
        data.advance(icmp::HEADER);
        let unrouted = packet.hops == UNROUTED && header.code == 0;
        match header.kind {
            icmpv6::ECHO => self.answer_echo_v6(packet, (source, destination), header, data, now),
            icmpv6::UNREACHABLE => {
                let fault = match header.code {
                    icmpv6::PORT_UNREACHABLE => Fault::Port,
                    _ => Fault::Unreachable,
                };
                let quoted = self.quoted_v6(packet.interface, &data)?;
                self.report(&quoted, fault);
            }
            icmpv6::SOLICITATION if unrouted => {
                let addresses = (source, destination);
                self.receive_solicitation(packet, addresses, &data, now)?;
            }
            icmpv6::ADVERTISEMENT if unrouted => {
                self.receive_advertisement(packet, header, &data, now)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn answer_echo_v6(
        &mut self,
        packet: &Arrival,
        (source, destination): (Ipv6Addr, Ipv6Addr),
        header: icmp::Header,
        data: Slice<B>,
        now: Instant,
    ) {
        let scope = scope_of(self.socket_address(packet.interface, packet.source, 0));
        // Unlike IPv4, groups are answered too (RFC 4443, section 4.2).
        let own = match destination.is_multicast() {
            false => destination,
            true => match self.source_for(source.into(), scope) {
                Ok(IpAddr::V6(own)) => own,
                _ => return,
            },
        };
        let answer = icmp::Header {
            kind: icmpv6::ECHO_REPLY,
            ..header
        };
        let bytes = icmpv6::bytes(&answer, own, source, &data);
        let answer = ip::Header::new(own.into(), source.into(), scope, ip::ICMPV6);
        self.send_packet(&answer, Transport::whole(&bytes, data), now);
    }

    /// Reads the start of a packet of ours that came back.
    pub(super) fn quoted_v6(&self, interface: usize, quoted: &[u8]) -> Result<Quoted, Malformed> {
        let ip = |offset| crate::wire::array_at::<16>(quoted, offset).map(Ipv6Addr::from);
        let (source, destination) = (ip(8)?, ip(24)?);
        let Ok(upper) = ipv6::walk(quoted) else {
            return Err(Malformed::Field);
        };
        let inner = quoted.get(upper.offset..).ok_or(Malformed::Short)?;
        let (own, other) = tcp::Header::ports(inner)?;
        Ok(Quoted {
            protocol: upper.protocol,
            local: self.socket_address(interface, source.into(), own),
            remote: self.socket_address(interface, destination.into(), other),
        })
    }
}
