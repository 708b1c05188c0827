//! Interfaces that get their addresses from others: by DHCP (RFC 2131) and from routers (RFC 4861, RFC 4862, RFC 8106).

use super::*;
use crate::dhcp::{self, Lease};
use crate::time::MILLISECOND;
use crate::wire::{array_at, u16_at, u32_at};

/// Routers are asked so often, and so long after each other (`MAX_RTR_SOLICITATIONS`, `RTR_SOLICITATION_INTERVAL`).
const SOLICITATIONS: u32 = 3;
const SOLICITATION_INTERVAL: u64 = 4 * SECOND;
/// Before that, the address on the link has to be certain.
const FIRST_SOLICITATION: u64 = SECOND + 10 * MILLISECOND;
/// Most addresses that routers may give an interface, and most routers, networks and name servers that they may tell of.
const ADDRESSES: usize = 16;
const ROUTES: usize = 32;
const NAME_SERVERS: usize = 8;
/// A router whom nobody has authenticated can't shorten the life of an address below this (RFC 4862, section 5.5.3).
const LEAST_LIFETIME: u64 = 7200 * SECOND;
/// All routers of a link.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Routes that somebody tells of are used after those that were given.
const DHCP_METRIC: u32 = 100;
const ROUTER_METRIC: u32 = 1024;

/// Options of a router's message.
mod option {
    pub const PREFIX: u8 = 3;
    pub const MTU: u8 = 5;
    pub const NAME_SERVERS: u8 = 25;
}

/// What an interface has got, or waits for.
#[derive(Debug, Default)]
pub(super) struct Automatic {
    dhcp: Option<dhcp::Client>,
    /// What of a lease is in use.
    lease: Option<Lease>,
    /// Addresses are taken from routers.
    slaac: bool,
    solicitations: u32,
    /// A router has answered.
    answered: bool,
    name_servers: Vec<(Ipv6Addr, Option<Instant>)>,
}

/// When something ends that is good for so many seconds; `None` for never.
fn end(now: Instant, seconds: u32) -> Option<Instant> {
    (seconds != u32::MAX).then(|| now + u64::from(seconds) * SECOND)
}

impl<B: Buffer> Stack<B> {
    /// Asks for an address by DHCP from now on. `host_name` is told to servers, if it is not empty.
    pub fn start_dhcp(&mut self, interface: usize, host_name: &[u8], now: Instant) {
        let Some(hardware) = self.interfaces[interface].hardware else {
            return;
        };
        self.draws += 1;
        let random = self.secret.hash(&[self.draws, interface as u64, now.0]);
        let client = dhcp::Client::new(hardware, host_name, random, now);
        self.automatic
            .get_or_insert_with(interface, Automatic::default)
            .dhcp = Some(client);
        self.after_dhcp(interface, None, now);
    }

    /// Takes addresses and routes of IPv6 from routers from now on.
    pub fn start_slaac(&mut self, interface: usize, now: Instant) {
        if self.interfaces[interface].hardware.is_some() {
            self.automatic
                .get_or_insert_with(interface, Automatic::default)
                .slaac = true;
            self.chores
                .insert((now + FIRST_SOLICITATION, Chore::Routers(interface)));
        }
    }

    /// What a server has given to an interface.
    pub fn lease(&self, interface: usize) -> Option<&Lease> {
        self.automatic.get(&interface)?.lease.as_ref()
    }

    /// Name servers that servers and routers have told of.
    pub fn name_servers(&self, now: Instant) -> Vec<IpAddr> {
        let mut servers: Vec<IpAddr> = Vec::new();
        let mut add = |server: IpAddr| {
            if !servers.contains(&server) {
                servers.push(server);
            }
        };
        for automatic in self.automatic.values() {
            for server in automatic.lease.iter().flat_map(|lease| &lease.name_servers) {
                add((*server).into());
            }
            for (server, until) in &automatic.name_servers {
                if until.is_none_or(|at| at > now) {
                    add((*server).into());
                }
            }
        }
        servers
    }

    /// Whether everything has come that was asked for, as far as it can be expected: addresses by DHCP, and an answer of a
    /// router, if there is one.
    pub fn is_configured(&self) -> bool {
        self.automatic.iter().all(|(interface, automatic)| {
            let leased = automatic.dhcp.is_none() || automatic.lease.is_some();
            let addresses = &self.interfaces[*interface].addresses;
            let tentative = addresses
                .iter()
                .any(|own| own.state == AddressState::Tentative);
            let asked =
                automatic.answered && !tentative || automatic.solicitations >= SOLICITATIONS;
            leased && (!automatic.slaac || asked)
        })
    }

    pub(super) fn expire_dhcp(&mut self, interface: usize, now: Instant) {
        let automatic = self.automatic.get_mut(&interface);
        if let Some(client) = automatic.and_then(|one| one.dhcp.as_mut()) {
            let event = client.expire(now);
            self.after_dhcp(interface, event, now);
        }
    }

    /// A datagram for port 68. False if it is none of the client's.
    pub(super) fn receive_dhcp(
        &mut self,
        packet: &Arrival,
        header: &udp::Header,
        data: &Pieces<B>,
        now: Instant,
    ) -> bool {
        if (header.source, header.destination) != (dhcp::SERVER_PORT, dhcp::CLIENT_PORT) {
            return false;
        }
        let automatic = self.automatic.get_mut(&packet.interface);
        let Some(client) = automatic.and_then(|one| one.dhcp.as_mut()) else {
            return false;
        };
        let bytes: Vec<u8> = data
            .iter()
            .flat_map(|piece| piece.iter().copied())
            .collect();
        // What makes no sense is as good as nothing.
        let event = client.receive(&bytes, now).ok().flatten();
        self.after_dhcp(packet.interface, event, now);
        true
    }

    /// Sends what a client has to send, and does what it says.
    fn after_dhcp(&mut self, interface: usize, event: Option<dhcp::Event>, now: Instant) {
        if event.is_some() {
            self.apply_lease(interface, now);
        }
        let automatic = self.automatic.get_mut(&interface);
        let Some(client) = automatic.and_then(|one| one.dhcp.as_mut()) else {
            return;
        };
        let mut messages = Vec::new();
        while let Some(message) = client.take_message() {
            messages.push(message);
        }
        let at = client.deadline();
        if at.0 != u64::MAX {
            self.chores.insert((at, Chore::Dhcp(interface)));
        }
        for message in messages {
            self.send_dhcp(interface, &message, now);
        }
    }

    fn send_dhcp(&mut self, interface: usize, message: &dhcp::Message, now: Instant) {
        let Some(data) = B::joined(&message.bytes, &[]) else {
            return; // out of memory: it is sent again
        };
        let data = Pieces::from(Slice::new(data));
        let header = udp::Header {
            source: dhcp::CLIENT_PORT,
            destination: dhcp::SERVER_PORT,
            length: (udp::HEADER + data.length()) as u16,
            checksum: 0,
        };
        let scope = interface as u32 + 1;
        let (source, destination) = (message.source.into(), message.destination.into());
        let mut packet = ip::Header::new(source, destination, scope, ip::UDP);
        packet.do_not_fragment = false;
        let bytes = datagrams::complete(&header, &packet, &data, false);
        self.send_packet(&packet, Transport::whole(&bytes, data), now);
    }

    /// Makes an interface what its lease says.
    fn apply_lease(&mut self, interface: usize, now: Instant) {
        let Some(automatic) = self.automatic.get_mut(&interface) else {
            return;
        };
        let lease = automatic
            .dhcp
            .as_ref()
            .and_then(|client| client.lease())
            .cloned();
        let old = core::mem::replace(&mut automatic.lease, lease.clone());
        let address = |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.address);
        self.routes
            .retain(|route| route.interface != interface || route.metric != DHCP_METRIC);
        if let Some((ip, _)) = address(&old)
            && address(&old) != address(&lease)
        {
            self.remove_address(interface, ip.into(), now);
        }
        let told = lease.as_ref().and_then(|lease| lease.mtu);
        let one = &mut self.interfaces[interface];
        one.mtu = told.map_or(one.link_mtu, |mtu| one.link_mtu.min(mtu.into()));
        let Some(lease) = lease else { return };
        if let Some((ip, prefix)) = lease.address
            && address(&old) != lease.address
        {
            self.add_address(interface, ip.into(), prefix, now);
        }
        let one = &mut self.interfaces[interface];
        one.mtu = lease
            .mtu
            .map_or(one.link_mtu, |mtu| one.link_mtu.min(mtu.into()));
        let mut routes = lease.routes.clone();
        if routes.is_empty() {
            routes.extend(
                lease
                    .routers
                    .first()
                    .map(|router| (Ipv4Addr::UNSPECIFIED, 0, *router)),
            );
        }
        for (network, prefix, router) in routes {
            self.add_route(Route {
                network: network.into(),
                prefix,
                interface,
                gateway: (!router.is_unspecified()).then(|| router.into()),
                metric: DHCP_METRIC,
                expires: None,
            });
        }
    }

    /// Asks routers to tell of themselves, unless one has done so.
    pub(super) fn solicit_routers(&mut self, interface: usize, now: Instant) {
        let source = self.interfaces[interface].link_local();
        let hardware = self.interfaces[interface].hardware;
        let Some(automatic) = self.automatic.get_mut(&interface) else {
            return;
        };
        if automatic.answered || automatic.solicitations >= SOLICITATIONS {
            return;
        }
        automatic.solicitations += 1;
        if automatic.solicitations < SOLICITATIONS {
            self.chores
                .insert((now + SOLICITATION_INTERVAL, Chore::Routers(interface)));
        }
        let (Some(source), Some(hardware)) = (source, hardware) else {
            return;
        };
        let header = icmp::Header {
            kind: icmpv6::ROUTER_SOLICITATION,
            code: 0,
            rest: 0,
        };
        let mut body = [0; 8];
        body[..2].copy_from_slice(&[icmpv6::SOURCE_LINK, 1]);
        body[2..].copy_from_slice(&hardware.0);
        self.send_discovery(interface, (source, ALL_ROUTERS), header, &body, None);
    }

    /// A router tells of itself.
    pub(super) fn receive_router(
        &mut self,
        packet: &Arrival,
        router: Ipv6Addr,
        header: icmp::Header,
        body: &[u8],
        now: Instant,
    ) -> Result<(), Malformed> {
        let options = body.get(8..).ok_or(Malformed::Short)?;
        if !router.is_unicast_link_local() {
            return Err(Malformed::Field);
        }
        for item in icmpv6::Items::new(options) {
            item?;
        }
        let interface = packet.interface;
        match self.automatic.get_mut(&interface) {
            Some(automatic) if automatic.slaac => automatic.answered = true,
            _ => return Ok(()),
        }
        let lifetime = header.rest & 0xffff;
        self.take_route(
            interface,
            (Ipv6Addr::UNSPECIFIED, 0),
            Some(router),
            lifetime,
            now,
        );
        for (kind, value) in icmpv6::Items::new(options).flatten() {
            match kind {
                icmpv6::SOURCE_LINK => {
                    let hardware = HardwareAddress(array_at(value, 0)?);
                    if !hardware.is_group() {
                        let news = neighbours::News {
                            hardware,
                            solicited: false,
                            replaces: true,
                            is_new: true,
                            is_router: Some(true),
                        };
                        self.learn(interface, router.into(), news, now);
                    }
                }
                option::PREFIX => self.take_prefix(interface, value, now)?,
                option::MTU => {
                    let mtu = u32_at(value, 2)? as usize;
                    let one = &mut self.interfaces[interface];
                    if (ipv6::LEAST_MTU..=one.link_mtu).contains(&mtu) {
                        one.mtu_v6 = mtu;
                    }
                }
                option::NAME_SERVERS => self.take_name_servers(interface, value, now)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A network and how it is reached, for so many seconds.
    fn take_route(
        &mut self,
        interface: usize,
        (network, prefix): (Ipv6Addr, u8),
        router: Option<Ipv6Addr>,
        seconds: u32,
        now: Instant,
    ) {
        let gateway = router.map(IpAddr::V6);
        if seconds == 0 {
            let given = |route: &Route| route.metric != ROUTER_METRIC;
            self.revision += 1;
            self.routes.retain(|route| {
                given(route)
                    || route.gateway != gateway
                    || !route.is_same(network.into(), prefix, interface)
            });
            return;
        }
        let told = self
            .routes
            .iter()
            .filter(|route| route.metric == ROUTER_METRIC);
        let known = |route: &&Route| {
            route.gateway == gateway && route.is_same(network.into(), prefix, interface)
        };
        if told.clone().count() >= ROUTES && !told.clone().any(|route| known(&route)) {
            return;
        }
        // A way that was given is not replaced by one that is only told of.
        if self
            .routes
            .iter()
            .any(|route| known(&route) && route.metric < ROUTER_METRIC)
        {
            return;
        }
        let expires = end(now, seconds);
        self.add_route(Route {
            network: network.into(),
            prefix,
            interface,
            gateway,
            metric: ROUTER_METRIC,
            expires,
        });
        if let Some(at) = expires {
            self.chores.insert((at, Chore::Routes));
        }
    }

    /// A network of the link, and whether stations may give themselves addresses in it.
    fn take_prefix(
        &mut self,
        interface: usize,
        value: &[u8],
        now: Instant,
    ) -> Result<(), Malformed> {
        const ON_LINK: u8 = 0x80;
        const AUTONOMOUS: u8 = 0x40;
        let [bits, flags] = array_at(value, 0)?;
        let (valid, preferred) = (u32_at(value, 2)?, u32_at(value, 6)?);
        let prefix = Ipv6Addr::from(array_at::<16>(value, 14)?);
        if bits > 128 || prefix.is_multicast() || prefix.is_unicast_link_local() {
            return Ok(());
        }
        if flags & ON_LINK != 0 {
            self.take_route(interface, (prefix, bits), None, valid, now);
        }
        let hardware = self.interfaces[interface].hardware;
        let (true, 64, Some(hardware)) = (flags & AUTONOMOUS != 0, bits, hardware) else {
            return Ok(());
        };
        if preferred > valid {
            return Ok(());
        }
        let own = link_local_address(hardware).to_bits() & u128::from(u64::MAX);
        let ip = Ipv6Addr::from_bits(prefix.to_bits() >> 64 << 64 | own);
        let (expires, until) = (end(now, valid), end(now, preferred));
        let one = &self.interfaces[interface];
        match one.addresses.iter().find(|own| own.ip == ip) {
            // One that was given stays as it is.
            Some(own) if own.expires.is_none() && !own.automatic => return Ok(()),
            Some(own) => {
                let left = own.expires.map_or(u64::MAX, |at| at.since(now));
                let told = expires.map_or(u64::MAX, |at| at.since(now));
                let least = left.min(LEAST_LIFETIME);
                let expires = match told > left || told > LEAST_LIFETIME {
                    true => expires,
                    false => Some(now + least),
                };
                self.set_lifetimes(interface, ip.into(), until, expires, now);
            }
            None => {
                let count = one.addresses.iter().filter(|own| own.automatic).count();
                if valid != 0 && count < ADDRESSES {
                    self.assign(interface, ip.into(), bits, true, now);
                    self.set_lifetimes(interface, ip.into(), until, expires, now);
                }
            }
        }
        Ok(())
    }

    /// Name servers, for so many seconds (RFC 8106, section 5.1).
    fn take_name_servers(
        &mut self,
        interface: usize,
        value: &[u8],
        now: Instant,
    ) -> Result<(), Malformed> {
        u16_at(value, 0)?;
        let seconds = u32_at(value, 2)?;
        let Some(automatic) = self.automatic.get_mut(&interface) else {
            return Ok(());
        };
        for chunk in value[6..].chunks_exact(16) {
            let server = Ipv6Addr::from(array_at::<16>(chunk, 0)?);
            let list = &mut automatic.name_servers;
            list.retain(|(known, until)| *known != server && until.is_none_or(|at| at > now));
            let usable =
                !server.is_multicast() && !server.is_unspecified() && !server.is_loopback();
            if seconds != 0 && usable && list.len() < NAME_SERVERS {
                list.push((server, end(now, seconds)));
            }
        }
        Ok(())
    }
}
