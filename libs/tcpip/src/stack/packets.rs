//! Packets: in from interfaces, out to them, and what time does.

use super::*;

impl<B: Buffer> Stack<B> {
    /// Puts headers in front of what a packet carries, or of a part of it.
    pub(super) fn frame(
        &mut self,
        interface: usize,
        to: HardwareAddress,
        packet: &ip::Header,
        part: Option<ipv6::Fragment>,
        transport: Transport<'_, B>,
    ) -> Frame<B> {
        let mut headers = Headers::new();
        if let Some(source) = self.interfaces[interface].hardware {
            let frame = ethernet::Header {
                destination: to,
                source,
                kind: match packet.source {
                    IpAddr::V4(_) => ethernet::IPV4,
                    IpAddr::V6(_) => ethernet::IPV6,
                },
            };
            headers.push(&frame.bytes());
        }
        let length = transport.header.len() + transport.payload.length();
        let v6 = packet.source.is_ipv6();
        if part.is_none() {
            self.counters.one(v6, Count::Sent);
        }
        if packet.protocol == ip::ICMPV6 && part.is_none_or(|part| part.offset == 0) {
            let first = transport.header.first().copied();
            let kind = first.or_else(|| transport.payload.first()?.first().copied());
            self.counters.message(true, true, kind.unwrap_or_default());
        }
        let own_header = if v6 { ipv6::HEADER } else { ipv4::HEADER };
        self.counters.add(v6, Count::SentBytes, own_header + length);
        match (packet.source, packet.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut own = ipv4::Header::new(source, destination, packet.protocol, length);
                own.time_to_live = packet.hops;
                own.service = packet.service;
                own.do_not_fragment = packet.do_not_fragment;
                // Only what may be cut needs a number (RFC 6864, section 4.1).
                if let Some(part) = part {
                    own.identification = part.identification as u16;
                    own.fragment_offset = part.offset;
                    own.more_fragments = part.more;
                } else if !packet.do_not_fragment {
                    self.identification = self.identification.wrapping_add(1);
                    own.identification = self.identification_for(packet) as u16;
                }
                match packet.alert {
                    true => headers.push(&own.bytes_with_alert()),
                    false => headers.push(&own.bytes()),
                }
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (next, more) = match part {
                    Some(_) => (ipv6::FRAGMENT, ipv6::FRAGMENT_HEADER),
                    None => (packet.protocol, 0),
                };
                let own = ipv6::Header {
                    source,
                    destination,
                    next,
                    hops: packet.hops,
                    service: packet.service,
                    flow: 0,
                    payload_length: length + more,
                };
                headers.push(&own.bytes());
                if let Some(part) = part {
                    headers.push(&part.bytes());
                }
            }
            _ => debug_assert!(false, "addresses of two families"),
        }
        let start = headers.len() as u16;
        headers.push(transport.header);
        let (into, size) = transport.cut;
        let cut = Cut {
            into,
            size,
            over_v6: packet.source.is_ipv6(),
        };
        Frame {
            interface,
            headers,
            payload: transport.payload,
            partial: transport.partial.map(|offset| Partial { start, offset }),
            cut: (size != 0).then_some(cut),
            lane: self.lane,
        }
    }

    /// Sends a packet on its way, if there is one; in parts if it is too long and may be cut.
    pub(super) fn send_packet(
        &mut self,
        packet: &ip::Header,
        mut transport: Transport<'_, B>,
        now: Instant,
    ) {
        let Ok(way) = self.route(packet.destination, packet.scope) else {
            let v6 = packet.destination.is_ipv6();
            self.counters.one(v6, Count::NoWay);
            return;
        };
        if !packet.do_not_fragment && transport.cut == UNCUT {
            let headers = match packet.source {
                IpAddr::V4(_) => ipv4::HEADER,
                IpAddr::V6(_) => ipv6::HEADER,
            };
            let length = headers + transport.header.len() + transport.payload.length();
            let learned = self.learned_mtu(packet.destination, now);
            let mtu = self.interfaces[way.interface]
                .mtu_for(packet.destination)
                .min(learned);
            if length > mtu {
                if transport.partial.is_none() {
                    return self.send_parts(way, packet, transport, mtu, now);
                }
                // Whoever has left the checksum to the device has made sure that it cuts as well.
                let size = super::fragments::room(packet, mtu);
                if size == 0 {
                    return;
                }
                transport.cut = (CutInto::Parts, size as u16);
            }
        }
        self.send_frame(way, packet, None, transport, now);
    }

    pub(super) fn send_frame(
        &mut self,
        way: Way,
        packet: &ip::Header,
        part: Option<ipv6::Fragment>,
        transport: Transport<'_, B>,
        now: Instant,
    ) {
        let (interface, destination) = (way.interface, packet.destination);
        let to = match self.station(interface, destination) {
            None if self.interfaces[interface].hardware.is_some() => {
                self.hardware_of(interface, way.next, now)
            }
            known => known,
        };
        let frame = self.frame(interface, to.unwrap_or_default(), packet, part, transport);
        if destination.is_multicast()
            && packet.group_loop
            && interface != 0
            && self.is_group(interface, destination)
        {
            self.loop_to_groups(packet, &frame);
        }
        self.hand_over(way, to.is_some(), frame, now);
    }

    /// The station of an address that nobody has to be asked for.
    pub(super) fn station(&self, interface: usize, ip: IpAddr) -> Option<HardwareAddress> {
        match ip.is_multicast() {
            true => Some(HardwareAddress::of_group(ip)),
            false if self.interfaces[interface].is_broadcast(ip) => {
                Some(HardwareAddress::BROADCAST)
            }
            false => None,
        }
    }

    /// Sends a frame; `addressed`: it names its station already.
    pub(super) fn hand_over(&mut self, way: Way, addressed: bool, frame: Frame<B>, now: Instant) {
        if !self.interfaces[way.interface].up {
            return;
        }
        if addressed || self.interfaces[way.interface].hardware.is_none() {
            self.frames.push_back(frame);
        } else {
            self.send_to_neighbour(way.interface, way.next, frame, now);
        }
    }

    /// A packet to a group arrives at this machine as well.
    fn loop_to_groups(&mut self, packet: &ip::Header, frame: &Frame<B>) {
        let mut copy = frame.clone();
        copy.interface = 0;
        copy.headers = Headers::new();
        copy.headers.push(&frame.headers[ethernet::HEADER..]);
        // Nobody completes its checksum, and nobody looks at it.
        copy.partial = None;
        debug_assert!(copy.cut.is_none(), "groups have no connections: {packet:?}");
        self.frames.push_back(copy);
    }

    /// What the device does by which packets to this address leave.
    pub(super) fn offload_to(&self, to: SocketAddr) -> Offload {
        self.route(to.ip(), scope_of(to))
            .map(|way| self.interfaces[way.interface].offload)
            .unwrap_or_default()
    }

    /// A frame has arrived at an interface.
    ///
    /// # Errors
    /// Why it is thrown away, for statistics.
    pub fn receive(
        &mut self,
        interface: usize,
        frame: impl Into<Received<B>>,
        now: Instant,
    ) -> Result<(), Malformed> {
        self.receive_frame(interface, frame.into(), now)
    }

    fn receive_frame(
        &mut self,
        interface: usize,
        frame: Received<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let Received {
            bytes: mut packet,
            verified,
        } = frame;
        if !self.interfaces[interface].up {
            return Ok(());
        }
        if !self.taps.is_empty() {
            self.see_arrival(interface, &packet, verified, now);
        }
        let first = packet.first().ok_or(Malformed::Short)?;
        let mut group = false;
        let version = match self.interfaces[interface].hardware {
            Some(own) => {
                let header = ethernet::Header::read(first)?;
                group = header.destination.is_group();
                if header.destination != own && !group || header.source == own {
                    return Ok(());
                }
                packet.advance(ethernet::HEADER);
                match header.kind {
                    ethernet::IPV4 => 4,
                    ethernet::IPV6 => 6,
                    ethernet::ARP => {
                        let packet = packet.into_only().ok_or(Malformed::Short)?;
                        return self.receive_arp(interface, &packet, now);
                    }
                    _ => return Ok(()),
                }
            }
            None => first.first().ok_or(Malformed::Short)? >> 4,
        };
        let frame = Received {
            bytes: packet,
            verified,
        };
        self.receive_packet(interface, (version, group), frame, now)
    }

    /// A packet of a version has arrived. `group`: it was for more than one station.
    pub(super) fn receive_packet(
        &mut self,
        interface: usize,
        (version, group): (u8, bool),
        frame: Received<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let Received {
            bytes: packet,
            verified,
        } = frame;
        let arrival = Arrival {
            interface,
            source: Ipv4Addr::UNSPECIFIED.into(),
            destination: Ipv4Addr::UNSPECIFIED.into(),
            group,
            hops: 0,
            service: 0,
            verified,
            header_length: 0,
        };
        match version {
            4 => self.receive_v4(arrival, packet, now),
            6 => self.receive_v6(arrival, packet, now),
            _ => Err(Malformed::Field),
        }
    }

    fn receive_v4(
        &mut self,
        arrival: Arrival,
        mut packet: Pieces<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let first = packet.first().ok_or(Malformed::Short)?;
        self.counters.one(false, Count::Received);
        self.counters
            .add(false, Count::ReceivedBytes, packet.length());
        let header = ipv4::Header::read_start(first, packet.length())
            .inspect_err(|_| self.counters.one(false, Count::WrongHeaders))?;
        packet.truncate(header.header_length + header.payload_length);
        let arrival = self.arrival_v4(arrival, &header);
        if !self.is_for_us(&arrival) {
            self.counters.one(false, Count::ForOthers);
            return Ok(());
        }
        if header.is_fragment() {
            let packet = packet.into_only().ok_or(Malformed::Short)?;
            return self.receive_part_v4(&arrival, &header, packet, now);
        }
        let whole = packet.first().ok_or(Malformed::Short)?.clone();
        packet.advance(header.header_length);
        self.dispatch_v4(&arrival, header.protocol, &whole, packet, now)
    }

    /// Gives what a packet carries to whom it belongs. `whole`: the packet, or the first part of it.
    fn dispatch_v4(
        &mut self,
        arrival: &Arrival,
        protocol: u8,
        whole: &Slice<B>,
        payload: Pieces<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let wanted =
            !self.raws.is_empty() && self.receive_raw(arrival, protocol, whole, &payload, now);
        self.counters.one(false, Count::Delivered);
        match protocol {
            ip::TCP if arrival.group => Ok(()),
            ip::TCP => self.receive_tcp(arrival, payload, now),
            ip::UDP => self.receive_udp(arrival, whole, payload, now),
            ip::ICMP => self.receive_icmp(arrival, payload, now),
            ip::IGMP => {
                let payload = payload.into_only().ok_or(Malformed::Short)?;
                self.receive_igmp(arrival, &payload, now)
            }
            _ if wanted => Ok(()),
            _ => {
                self.counters.one(false, Count::UnknownProtocols);
                let message = (icmp::UNREACHABLE, icmp::PROTOCOL_UNREACHABLE);
                self.send_error_v4(arrival, message, whole, now);
                Ok(())
            }
        }
    }

    fn receive_part_v4(
        &mut self,
        arrival: &Arrival,
        header: &ipv4::Header,
        packet: Slice<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        // All parts but the last are cut at multiples of eight.
        if header.more_fragments && !header.payload_length.is_multiple_of(8) {
            return Err(Malformed::Field);
        }
        let whose = Whose {
            interface: arrival.interface,
            source: arrival.source,
            destination: arrival.destination,
            protocol: header.protocol,
            identification: header.identification.into(),
        };
        let part = Part {
            offset: header.fragment_offset.into(),
            more: header.more_fragments,
            data: packet
                .part(header.header_length, header.payload_length)
                .into(),
            packet,
            next: header.protocol,
        };
        match self.add_part(whose, arrival, part, now) {
            Some(whole) => {
                self.dispatch_v4(&whole.arrival, whole.next, &whole.packet, whole.data, now)
            }
            None => Ok(()),
        }
    }

    /// The interface at which a packet arrives: what the machine sends to a group comes back by the loopback interface,
    /// and yet is the group's.
    fn home(&self, interface: usize, destination: IpAddr) -> usize {
        if interface != 0 || !destination.is_multicast() {
            return interface;
        }
        let listens = |one: &Interface| one.groups.iter().any(|group| group.ip == destination);
        self.interfaces.iter().position(listens).unwrap_or(0)
    }

    fn arrival_v4(&self, arrival: Arrival, header: &ipv4::Header) -> Arrival {
        let destination = header.destination.into();
        let interface = self.home(arrival.interface, destination);
        Arrival {
            interface,
            source: header.source.into(),
            destination,
            group: arrival.group || self.is_group(interface, destination),
            hops: header.time_to_live,
            service: header.service,
            header_length: header.header_length,
            ..arrival
        }
    }

    fn receive_v6(
        &mut self,
        arrival: Arrival,
        mut packet: Pieces<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let first = packet.first().ok_or(Malformed::Short)?;
        self.counters.one(true, Count::Received);
        self.counters
            .add(true, Count::ReceivedBytes, packet.length());
        let header = ipv6::Header::read_start(first, packet.length())
            .inspect_err(|_| self.counters.one(true, Count::WrongHeaders))?;
        packet.truncate(ipv6::HEADER + header.payload_length);
        let mut arrival = self.arrival_v6(arrival, &header);
        if !self.is_for_us(&arrival) {
            self.counters.one(true, Count::ForOthers);
            return Ok(());
        }
        let first = packet.first().ok_or(Malformed::Short)?;
        let upper = match ipv6::walk(first) {
            Ok(upper) => upper,
            Err(ipv6::Trouble::Malformed(malformed)) => return Err(malformed),
            Err(ipv6::Trouble::Problem(code, at, even_for_groups)) => {
                if (!arrival.group || even_for_groups)
                    && let Some(packet) = packet.into_only()
                {
                    self.send_problem(&arrival, code, at, &packet, now);
                }
                return Err(Malformed::Field);
            }
        };
        arrival.header_length = upper.offset;
        let whole = first.clone();
        if let Some(part) = upper.fragment {
            let packet = packet.into_only().ok_or(Malformed::Short)?;
            return self.receive_part_v6(&arrival, part, packet, now);
        }
        packet.advance(upper.offset);
        self.dispatch_v6(&arrival, &upper, &whole, packet, now)
    }

    /// Gives what a packet carries to whom it belongs. `whole`: the packet, or the first part of it.
    fn dispatch_v6(
        &mut self,
        arrival: &Arrival,
        upper: &ipv6::Upper,
        whole: &Slice<B>,
        payload: Pieces<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let wanted = !self.raws.is_empty()
            && self.receive_raw(arrival, upper.protocol, whole, &payload, now);
        self.counters.one(true, Count::Delivered);
        match upper.protocol {
            ip::ICMPV6 => self.receive_icmpv6(arrival, payload, now),
            // Nobody has this address: only messages for neighbours come from it.
            _ if arrival.source.is_unspecified() => Err(Malformed::Field),
            ip::TCP if arrival.group => Ok(()),
            ip::TCP => self.receive_tcp(arrival, payload, now),
            ip::UDP => self.receive_udp(arrival, whole, payload, now),
            ipv6::NOTHING => Ok(()),
            _ if wanted => Ok(()),
            _ => {
                if !arrival.group {
                    self.send_problem(arrival, 1, upper.next_at, whole, now);
                }
                Ok(())
            }
        }
    }

    fn receive_part_v6(
        &mut self,
        arrival: &Arrival,
        header: ipv6::Fragment,
        packet: Slice<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let data: Pieces<B> = packet.part(arrival.header_length, packet.len()).into();
        if header.more && !data.length().is_multiple_of(8) {
            // The field of the payload's length is at fault (RFC 8200, section 4.5).
            self.send_problem(arrival, 0, 4, &packet, now);
            return Err(Malformed::Field);
        }
        if usize::from(header.offset) + data.length() > 65_535 {
            let at = arrival.header_length - ipv6::FRAGMENT_HEADER + 2;
            self.send_problem(arrival, 0, at, &packet, now);
            return Err(Malformed::Field);
        }
        // A part that is all of it waits for nobody (RFC 6946).
        if header.offset == 0 && !header.more {
            return self.dispatch_inside(arrival, header.next, &packet, data, now);
        }
        let whose = Whose {
            interface: arrival.interface,
            source: arrival.source,
            destination: arrival.destination,
            protocol: 0,
            identification: header.identification,
        };
        let part = Part {
            offset: header.offset.into(),
            more: header.more,
            data,
            packet,
            next: header.next,
        };
        match self.add_part(whose, arrival, part, now) {
            Some(whole) => {
                self.dispatch_inside(&whole.arrival, whole.next, &whole.packet, whole.data, now)
            }
            None => Ok(()),
        }
    }

    /// What has been put together may begin with more headers.
    fn dispatch_inside(
        &mut self,
        arrival: &Arrival,
        next: u8,
        whole: &Slice<B>,
        mut data: Pieces<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let first = data.first().ok_or(Malformed::Short)?;
        let mut upper = match ipv6::walk_inside(first, next) {
            Ok(upper) => upper,
            Err(ipv6::Trouble::Malformed(malformed)) => return Err(malformed),
            Err(ipv6::Trouble::Problem(code, at, even_for_groups)) => {
                if !arrival.group || even_for_groups {
                    self.send_problem(arrival, code, arrival.header_length + at, whole, now);
                }
                return Err(Malformed::Field);
            }
        };
        upper.next_at = match upper.offset {
            0 => arrival.header_length - ipv6::FRAGMENT_HEADER,
            _ => arrival.header_length + upper.next_at,
        };
        // Messages for neighbours do not come in parts (RFC 6980): an echo is all that does.
        if upper.protocol == ip::ICMPV6
            && !matches!(
                first.get(upper.offset),
                Some(&(icmpv6::ECHO | icmpv6::ECHO_REPLY))
            )
        {
            return Err(Malformed::Field);
        }
        data.advance(upper.offset);
        self.dispatch_v6(arrival, &upper, whole, data, now)
    }

    fn arrival_v6(&self, arrival: Arrival, header: &ipv6::Header) -> Arrival {
        let destination = header.destination.into();
        let interface = self.home(arrival.interface, destination);
        Arrival {
            interface,
            source: header.source.into(),
            destination,
            group: arrival.group || self.is_group(interface, destination),
            hops: header.hops,
            service: header.service,
            header_length: ipv6::HEADER,
            ..arrival
        }
    }

    /// Tells the sender which byte of a packet was not understood.
    fn send_problem(
        &mut self,
        packet: &Arrival,
        code: u8,
        at: usize,
        whole: &Slice<B>,
        now: Instant,
    ) {
        let header = icmp::Header {
            kind: icmpv6::PROBLEM,
            code,
            rest: at as u32,
        };
        self.send_error_v6(packet, header, whole, now);
    }

    /// Whether an address names several stations, this one among them.
    fn is_group(&self, interface: usize, ip: IpAddr) -> bool {
        let one = &self.interfaces[interface];
        let listens = |one: &Interface| one.groups.iter().any(|group| group.ip == ip);
        match ip {
            _ if !ip.is_multicast() => one.is_broadcast(ip),
            _ => listens(one),
        }
    }

    /// Whether a packet is for this machine, and may have come from where it says.
    fn is_for_us(&self, packet: &Arrival) -> bool {
        let one = &self.interfaces[packet.interface];
        let (source, destination) = (packet.source, packet.destination);
        if source.is_multicast() || one.is_broadcast(source) {
            return false;
        }
        if one.hardware.is_some() && (source.is_loopback() || destination.is_loopback()) {
            return false;
        }
        let on_link = |ip| matches!(ip, IpAddr::V6(ip) if interfaces::has_scope(ip));
        match packet.group && !self.is_local(destination) {
            true => self.is_group(packet.interface, destination),
            // An address of a link belongs to that link.
            false if on_link(destination) && packet.interface != 0 => one.holds(destination),
            false => self.is_local(destination),
        }
    }

    /// A frame for the loopback interface arrives there. Its data is not copied but taken.
    ///
    /// False, and nothing done, if it is not of TCP, or if somebody wants to see whole packets: it has to be made whole, in
    /// one piece, and given to [`Self::receive`].
    pub fn loop_back(&mut self, frame: &mut Frame<B>, now: Instant) -> bool {
        let arrival = Arrival {
            interface: frame.interface,
            source: Ipv4Addr::UNSPECIFIED.into(),
            destination: Ipv4Addr::UNSPECIFIED.into(),
            group: false,
            hops: 0,
            service: 0,
            verified: true,
            header_length: 0,
        };
        let (arrival, protocol) = match frame.headers.first().map(|first| first >> 4) {
            Some(4) => match ipv4::Header::read_start(&frame.headers, frame.length()) {
                Ok(header) => (self.arrival_v4(arrival, &header), header.protocol),
                Err(_) => return false,
            },
            _ => match ipv6::Header::read_start(&frame.headers, frame.length()) {
                Ok(header) => (self.arrival_v6(arrival, &header), header.next),
                Err(_) => return false,
            },
        };
        let length = frame.length();
        let Some(header) = frame.headers.get(arrival.header_length..) else {
            return false;
        };
        if protocol != ip::TCP
            || !self.raws.is_empty()
            || !self.taps.is_empty()
            || arrival.group
            || !self.is_local(arrival.destination)
        {
            return false;
        }
        let v6 = arrival.source.is_ipv6();
        self.counters.one(v6, Count::Received);
        self.counters.add(v6, Count::ReceivedBytes, length);
        self.counters.one(v6, Count::Delivered);
        if let Ok((header, _)) = tcp::Header::read(header) {
            let data = core::mem::take(&mut frame.payload);
            self.receive_segment(&arrival, &header, data, now);
        }
        true
    }

    /// Time has passed.
    pub fn expire(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Socket(handle) => self.expire_connection(handle, now),
                Timer::Request(number) => self.expire_request(number, now),
                Timer::Late(number) => self.expire_late(number, now),
            }
        }
        while let Some(chore) = self.chores.take_due(now) {
            match chore {
                Chore::Address(interface) => self.expire_addresses(interface, now),
                Chore::Neighbour(interface, ip) => self.expire_neighbour(interface, ip, now),
                Chore::Fragments => self.expire_fragments(now),
                Chore::Groups(interface) => self.report_groups(interface, now),
                Chore::Dhcp(interface) => self.expire_dhcp(interface, now),
                Chore::Routers(interface) => self.solicit_routers(interface, now),
                Chore::Routes => self.expire_routes(now),
            }
        }
    }
}
