//! ICMP for IPv6: echoes, and errors in both directions.

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
        if source.is_unspecified() || !self.may_complain(packet.source, now) {
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
        mut data: Pieces<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source, packet.destination)
        else {
            return Ok(());
        };
        let sum = icmpv6::pseudo_header(source, destination, data.length());
        if !sum_of(sum, &data).is_right() {
            self.counters.one(true, Count::Messages);
            self.counters.one(true, Count::WrongMessages);
            self.counters.one(true, Count::MessageChecksums);
            return Err(Malformed::Checksum);
        }
        let header = icmp::Header::parse(data.first().ok_or(Malformed::Short)?)?;
        self.counters.message(true, false, header.kind);
        if header.kind == icmpv6::ECHO_REPLY {
            if !self.echoes.is_empty() {
                self.receive_reply(packet, &header, data, now);
            }
            return Ok(());
        }
        data.advance(icmp::HEADER);
        let unrouted = packet.hops == UNROUTED && header.code == 0;
        if header.kind == icmpv6::ECHO {
            self.answer_echo_v6(packet, (source, destination), header, data, now);
            return Ok(());
        }
        // No other message comes in parts (RFC 6980).
        let data = match data.is_empty() {
            true => return Err(Malformed::Short),
            false => data.into_only().ok_or(Malformed::Field)?,
        };
        match header.kind {
            kind if icmpv6::is_error(kind) => {
                let quoted = self.quoted_v6(packet.interface, &data)?;
                if let Some(fault) = Fault::of_icmpv6(&header, self.carrier(packet, (0, 0), now)) {
                    self.report(&quoted, fault, now);
                }
            }
            icmpv6::SOLICITATION if unrouted => {
                let addresses = (source, destination);
                self.receive_solicitation(packet, addresses, &data, now)?;
            }
            icmpv6::ROUTER_ADVERTISEMENT if unrouted => {
                self.receive_router(packet, source, header, &data, now)?;
            }
            icmpv6::REDIRECT if unrouted => {
                self.receive_redirect_v6(packet, source, &data, now)?;
            }
            icmpv6::LISTENER_QUERY => self.receive_listener_query(packet, header, &data, now)?,
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
        data: Pieces<B>,
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
        let sum = icmpv6::pseudo_header(own, source, icmp::HEADER + data.length());
        let bytes = answer.bytes_with(sum_of(sum, &data));
        let mut answer = ip::Header::new(own.into(), source.into(), scope, ip::ICMPV6);
        answer.do_not_fragment = false;
        answer.service = packet.service;
        self.send_packet(&answer, Transport::whole(&bytes, data), now);
    }
}
