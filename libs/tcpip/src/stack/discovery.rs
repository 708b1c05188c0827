//! Neighbour discovery for IPv6 (RFC 4861), and whether an address is free (RFC 4862, section 5.4).

use super::neighbours::News;
use super::*;
use icmpv6::Neighbour as Body;

/// Messages for neighbours have passed no router: this is what they start with.
pub(super) const UNROUTED: u8 = 255;

impl<B: Buffer> Stack<B> {
    /// Sends a message for neighbours.
    pub(super) fn send_discovery(
        &mut self,
        interface: usize,
        (source, destination): (Ipv6Addr, Ipv6Addr),
        header: icmp::Header,
        body: &[u8],
        to: Option<HardwareAddress>,
    ) {
        let mut bytes = Vec::from(icmpv6::bytes(&header, source, destination, body));
        bytes.extend_from_slice(body);
        let mut packet = ip::Header::new(
            source.into(),
            destination.into(),
            interface as u32 + 1,
            ip::ICMPV6,
        );
        packet.hops = UNROUTED;
        let to = to.unwrap_or_else(|| HardwareAddress::of_group(destination.into()));
        let transport = Transport::whole(&bytes, Pieces::default());
        let frame = self.frame(interface, to, &packet, None, transport);
        self.frames.push_back(frame);
    }

    fn send_solicitation(
        &mut self,
        interface: usize,
        addresses: (Ipv6Addr, Ipv6Addr),
        body: Body,
        to: Option<HardwareAddress>,
    ) {
        let header = icmp::Header {
            kind: icmpv6::SOLICITATION,
            code: 0,
            rest: 0,
        };
        let mut bytes = [0; Body::LENGTH];
        let length = body.write(icmpv6::SOURCE_LINK, &mut bytes);
        self.send_discovery(interface, addresses, header, &bytes[..length], to);
    }

    /// Asks for the hardware address of a neighbour; it alone if its address was known.
    pub(super) fn solicit(
        &mut self,
        interface: usize,
        target: Ipv6Addr,
        known: Option<HardwareAddress>,
    ) {
        let Ok(IpAddr::V6(source)) = self.source_for(target.into(), interface as u32 + 1) else {
            return;
        };
        let destination = match known {
            Some(_) => target,
            None => icmpv6::solicited_group(target),
        };
        let body = Body {
            target,
            hardware: self.interfaces[interface].certain_hardware(source.into()),
        };
        self.send_solicitation(interface, (source, destination), body, known);
    }

    /// Asks whether somebody has an address that this machine wants.
    pub(super) fn ask_for_duplicates(&mut self, interface: usize, target: Ipv6Addr) {
        let addresses = (Ipv6Addr::UNSPECIFIED, icmpv6::solicited_group(target));
        let body = Body {
            target,
            hardware: None,
        };
        self.send_solicitation(interface, addresses, body, None);
    }

    /// Somebody has, or wants, an address of this interface. False if that is no conflict.
    fn is_duplicate(&mut self, interface: usize, ip: Ipv6Addr) -> bool {
        let list = &mut self.interfaces[interface].addresses;
        let own = list.iter_mut().find(|own| own.ip == ip);
        match own {
            Some(own) if own.state.is_asked_for() => {
                own.state = AddressState::Duplicate;
                own.until = None;
                true
            }
            _ => false,
        }
    }

    /// A question for a hardware address.
    pub(super) fn receive_solicitation(
        &mut self,
        packet: &Arrival,
        (source, destination): (Ipv6Addr, Ipv6Addr),
        body: &[u8],
        now: Instant,
    ) -> Result<(), Malformed> {
        let question = Body::read(body, icmpv6::SOURCE_LINK)?;
        let interface = packet.interface;
        if source.is_unspecified() {
            if question.hardware.is_some()
                || destination != icmpv6::solicited_group(question.target)
            {
                return Err(Malformed::Field);
            }
            // Somebody else wants the address at the same time.
            if self.is_duplicate(interface, question.target) {
                return Ok(());
            }
        }
        let one = &self.interfaces[interface];
        if !one.holds(question.target.into()) {
            return Ok(());
        }
        let Some(hardware) = one.hardware else {
            return Ok(());
        };
        let certain = one.certain_hardware(question.target.into()).is_some();
        if let (Some(sender), false) = (question.hardware, source.is_unspecified())
            && !sender.is_group()
        {
            let news = News {
                hardware: sender,
                solicited: false,
                replaces: true,
                is_new: true,
                is_router: None,
            };
            self.learn(interface, source.into(), news, now);
        }
        let answer = Body {
            target: question.target,
            hardware: Some(hardware),
        };
        let mut bytes = [0; Body::LENGTH];
        let length = answer.write(icmpv6::TARGET_LINK, &mut bytes);
        let mut header = icmp::Header {
            kind: icmpv6::ADVERTISEMENT,
            code: 0,
            rest: if certain { icmpv6::OVERRIDE } else { 0 },
        };
        if source.is_unspecified() {
            let addresses = (question.target, ALL_NODES);
            self.send_discovery(interface, addresses, header, &bytes[..length], None);
            return Ok(());
        }
        header.rest |= icmpv6::SOLICITED;
        let mut packet = ip::Header::new(
            question.target.into(),
            source.into(),
            interface as u32 + 1,
            ip::ICMPV6,
        );
        packet.hops = UNROUTED;
        let mut message = Vec::from(icmpv6::bytes(
            &header,
            question.target,
            source,
            &bytes[..length],
        ));
        message.extend_from_slice(&bytes[..length]);
        self.send_packet(&packet, Transport::whole(&message, Pieces::default()), now);
        Ok(())
    }

    /// An answer, or news without a question.
    pub(super) fn receive_advertisement(
        &mut self,
        packet: &Arrival,
        header: icmp::Header,
        body: &[u8],
        now: Instant,
    ) -> Result<(), Malformed> {
        let answer = Body::read(body, icmpv6::TARGET_LINK)?;
        let solicited = header.rest & icmpv6::SOLICITED != 0;
        if packet.destination.is_multicast() && solicited {
            return Err(Malformed::Field);
        }
        let interface = packet.interface;
        if self.is_duplicate(interface, answer.target)
            || self.interfaces[interface].holds(answer.target.into())
        {
            return Ok(());
        }
        match answer.hardware {
            Some(hardware) if !hardware.is_group() => {
                let news = News {
                    hardware,
                    solicited,
                    replaces: header.rest & icmpv6::OVERRIDE != 0,
                    is_new: false,
                    is_router: Some(header.rest & icmpv6::FROM_ROUTER != 0),
                };
                self.learn(interface, answer.target.into(), news, now);
            }
            Some(_) => return Err(Malformed::Field),
            None if solicited => self.confirm(interface, answer.target.into(), now),
            None => {}
        }
        Ok(())
    }
}

/// The group of all stations of a link.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
