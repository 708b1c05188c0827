//! ICMP: echoes, and errors that come back.

use super::*;

/// Most bytes of a packet that are sent back to its sender: with headers these make 576 (RFC 1812, section 4.3.2.3).
const QUOTED: usize = 576 - ipv4::HEADER - icmp::HEADER;

impl<B: Buffer> Stack<B> {
    /// Says that nobody listens at the port of a datagram.
    pub(super) fn send_unreachable(&mut self, packet: &Arrival, whole: &Slice<B>, now: Instant) {
        match packet.source {
            IpAddr::V4(_) => {
                let message = (icmp::UNREACHABLE, icmp::PORT_UNREACHABLE);
                self.send_error_v4(packet, message, whole, now);
            }
            IpAddr::V6(_) => {
                let header = icmp::Header {
                    kind: icmpv6::UNREACHABLE,
                    code: icmpv6::PORT_UNREACHABLE,
                    rest: 0,
                };
                self.send_error_v6(packet, header, whole, now);
            }
        }
    }

    /// Says that the parts of a packet that are missing did not come in time.
    pub(super) fn send_time_exceeded(&mut self, packet: &Arrival, whole: &Slice<B>, now: Instant) {
        const REASSEMBLY: u8 = 1;
        match packet.source {
            IpAddr::V4(_) => {
                let message = (icmp::TIME_EXCEEDED, REASSEMBLY);
                self.send_error_v4(packet, message, whole, now);
            }
            IpAddr::V6(_) => {
                let header = icmp::Header {
                    kind: icmpv6::TIME_EXCEEDED,
                    code: REASSEMBLY,
                    rest: 0,
                };
                self.send_error_v6(packet, header, whole, now);
            }
        }
    }

    /// Tells the sender of a packet what became of it. Groups never get such messages, nor does nobody (RFC 1122,
    /// section 3.2.2).
    pub(super) fn send_error_v4(
        &mut self,
        packet: &Arrival,
        (kind, code): (u8, u8),
        whole: &Slice<B>,
        now: Instant,
    ) {
        if packet.group || packet.source.is_unspecified() || !self.may_complain(packet.source, now)
        {
            return;
        }
        let header = icmp::Header {
            kind,
            code,
            rest: 0,
        };
        let quoted = whole.part(0, QUOTED);
        self.send_icmp(packet, header, quoted.into(), now);
    }

    /// Answers a packet with a message.
    fn send_icmp(
        &mut self,
        packet: &Arrival,
        header: icmp::Header,
        payload: Pieces<B>,
        now: Instant,
    ) {
        self.counters.message(false, true, header.kind);
        let bytes = header.bytes_with(sum_of(Sum::default(), &payload));
        let mut answer = ip::Header::new(packet.destination, packet.source, 0, ip::ICMP);
        answer.do_not_fragment = false;
        answer.service = packet.service;
        self.send_packet(&answer, Transport::whole(&bytes, payload), now);
    }

    pub(super) fn receive_icmp(
        &mut self,
        packet: &Arrival,
        mut data: Pieces<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        if !sum_of(Sum::default(), &data).is_right() {
            self.counters.one(false, Count::Messages);
            self.counters.one(false, Count::WrongMessages);
            self.counters.one(false, Count::MessageChecksums);
            return Err(Malformed::Checksum);
        }
        let header = icmp::Header::parse(data.first().ok_or(Malformed::Short)?)?;
        self.counters.message(false, false, header.kind);
        if header.kind == icmp::ECHO_REPLY && !self.echoes.is_empty() {
            self.receive_reply(packet, &header, data, now);
            return Ok(());
        }
        data.advance(icmp::HEADER);
        match header.kind {
            icmp::ECHO if !packet.group => {
                let answer = icmp::Header {
                    kind: icmp::ECHO_REPLY,
                    ..header
                };
                self.send_icmp(packet, answer, data, now);
            }
            icmp::REDIRECT => {
                let quoted = self.quoted_v4(data.first().ok_or(Malformed::Short)?)?;
                if self.is_local(quoted.local.ip()) {
                    self.receive_redirect_v4(packet, &header, &quoted, now);
                }
            }
            icmp::UNREACHABLE | icmp::TIME_EXCEEDED | icmp::PROBLEM => {
                let fault = Fault::of_icmp(&header, self.carrier(packet, (0, 0), now));
                let quoted = self.quoted_v4(data.first().ok_or(Malformed::Short)?)?;
                if let Some(fault) = fault {
                    self.report(&quoted, fault, now);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
