//! `rtnetlink(7)`: interfaces, addresses, routes and neighbours. How they are changed is in [`changes`].

use alloc::vec::Vec;
use core::net::IpAddr;

use pith_linux::Errno;
use pith_linux::netlink::{
    AddressMessage, Attributes, Builder, Header, LinkMessage, NeighbourMessage, Request, RouteMessage,
    address_attribute, flag, link_attribute, neighbour_attribute, route, route_attribute,
};
use pith_linux::sockets::family;
use pith_tcpip::stack::NeighbourState;
use zerocopy::FromBytes;

use super::{Answers, changes};
use crate::net::internet::interfaces::{self, Interface, QUEUE_LENGTH, Route, Way};

/// `IFA_F_PERMANENT`
const PERMANENT: u32 = 0x80;
/// `RT_TABLE_MAIN`, `RT_TABLE_LOCAL`
const MAIN_TABLE: u8 = 254;
const LOCAL_TABLE: u8 = 255;
/// `RTM_F_CLONED`: the answer is for one destination.
const CLONED: u32 = 0x200;

/// How far away something is (`RT_SCOPE_…`).
mod scope {
    pub const UNIVERSE: u8 = 0;
    pub const LINK: u8 = 253;
    pub const HOST: u8 = 254;
}

/// How a request was answered.
pub enum Answered {
    /// With a dump, or otherwise so that nothing is to be added.
    Dump,
    /// An acknowledgement is still to come, if one was asked for.
    Silent,
}

fn number(family: u16) -> u8 {
    family as u8
}

fn family_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => number(family::INTERNET),
        IpAddr::V6(_) => number(family::INTERNET_6),
    }
}

fn with_address(builder: Builder, kind: u16, address: IpAddr) -> Builder {
    match address {
        IpAddr::V4(address) => builder.attribute(kind, &address.octets()),
        IpAddr::V6(address) => builder.attribute(kind, &address.octets()),
    }
}

fn with_name(builder: Builder, kind: u16, name: &str) -> Builder {
    let mut bytes = Vec::from(name.as_bytes());
    bytes.push(0);
    builder.attribute(kind, &bytes)
}

/// Counts in the order of `struct rtnl_link_stats64`: packets and bytes each way first, then errors, of which there are
/// none, then what was lost; nothing else is ever counted.
fn statistics(interface: &Interface) -> [u64; 24] {
    let traffic = interfaces::traffic(interface.index);
    let mut counts = [0; 24];
    counts[..4].copy_from_slice(&[
        traffic.received_packets,
        traffic.sent_packets,
        traffic.received_bytes,
        traffic.sent_bytes,
    ]);
    counts[6..8].copy_from_slice(&[traffic.received_lost, traffic.sent_lost]);
    counts
}

pub(super) fn link_message(interface: &Interface, header: Header) -> Vec<u8> {
    let (hardware, zero) = (interface.hardware, [0; 6]);
    let message = LinkMessage {
        family: 0,
        padding: 0,
        hardware: interface.hardware_kind(),
        index: interface.index as i32,
        flags: interface.flags,
        change: 0,
    };
    let everybody = if hardware.is_some() { [0xff; 6] } else { zero };
    let counts = statistics(interface);
    let mut wide = Vec::new();
    let mut narrow = Vec::new();
    for count in counts {
        wide.extend_from_slice(&count.to_ne_bytes());
        // The older structure has no room for more.
        narrow.extend_from_slice(&(count as u32).to_ne_bytes());
    }
    let builder = with_name(Builder::new(header, &message), link_attribute::NAME, &interface.name);
    let builder = builder
        .number(link_attribute::QUEUE_LENGTH, QUEUE_LENGTH)
        .attribute(link_attribute::OPERATIONAL_STATE, &[interface.state() as u8])
        .attribute(link_attribute::LINK_MODE, &[0])
        .number(link_attribute::MTU, interface.mtu)
        .number(link_attribute::GROUP, 0)
        .number(link_attribute::PROMISCUITY, interfaces::promiscuity(interface.index))
        .number(link_attribute::TRANSMIT_QUEUES, 1)
        .number(link_attribute::RECEIVE_QUEUES, 1)
        .attribute(link_attribute::CARRIER, &[interface.has_signal().into()]);
    let builder = builder
        .attribute(link_attribute::ADDRESS, &hardware.unwrap_or(zero))
        .attribute(link_attribute::BROADCAST, &everybody)
        .attribute(link_attribute::STATISTICS_64, &wide)
        .attribute(link_attribute::STATISTICS, &narrow);
    with_name(builder, link_attribute::DISCIPLINE, "noqueue").finish()
}

fn scope_of(interface: &Interface, address: IpAddr) -> u8 {
    match address {
        _ if interface.is_loopback() => scope::HOST,
        IpAddr::V6(address) if address.is_unicast_link_local() => scope::LINK,
        _ => scope::UNIVERSE,
    }
}

pub(super) fn address_message(interface: &Interface, (address, prefix): (IpAddr, u8), header: Header) -> Vec<u8> {
    let message = AddressMessage {
        family: family_of(address),
        prefix,
        flags: PERMANENT as u8,
        scope: scope_of(interface, address),
        index: interface.index,
    };
    let mut builder = with_address(Builder::new(header, &message), address_attribute::ADDRESS, address);
    if address.is_ipv4() {
        builder = with_address(builder, address_attribute::LOCAL, address);
        if let Some(everybody) = interface.broadcast_of(address, prefix) {
            builder = builder.attribute(address_attribute::BROADCAST, &everybody.octets());
        }
        builder = with_name(builder, address_attribute::LABEL, &interface.name);
    }
    // Good for ever, since the start of the machine: preferred, valid, made, changed.
    let mut times = [0xff; 16];
    times[8..].fill(0);
    builder
        .number(address_attribute::FLAGS, PERMANENT)
        .attribute(address_attribute::CACHE, &times)
        .finish()
}

fn table_of(route: &Route) -> u8 {
    match route.way {
        Way::Unicast => MAIN_TABLE,
        Way::Local | Way::Broadcast => LOCAL_TABLE,
    }
}

/// The way to one address (`ip route get`), which on Linux comes from the table of what is looked up and not from that
/// of routes: the latter's number and scope are not told.
fn way_message(to: IpAddr, route: &Route, header: Header) -> Vec<u8> {
    let message = RouteMessage {
        family: family_of(to),
        destination_length: if to.is_ipv4() { 32 } else { 128 },
        table: MAIN_TABLE,
        scope: scope::UNIVERSE,
        kind: kind_of(route.way),
        flags: CLONED,
        ..RouteMessage::default()
    };
    let builder = Builder::new(header, &message).number(route_attribute::TABLE, MAIN_TABLE.into());
    let mut builder =
        with_address(builder, route_attribute::DESTINATION, to).number(route_attribute::OUT_INTERFACE, route.interface);
    if let Some(source) = route.source {
        builder = with_address(builder, route_attribute::PREFERRED_SOURCE, source);
    }
    if let Some(gateway) = route.gateway {
        builder = with_address(builder, route_attribute::GATEWAY, gateway);
    }
    // Never used before, good for ever.
    builder.attribute(route_attribute::CACHE, &[0; 32]).finish()
}

/// `RTN_…`
fn kind_of(way: Way) -> u8 {
    match way {
        Way::Unicast => 1,
        Way::Local => 2,
        Way::Broadcast => 3,
    }
}

pub(super) fn route_message(route: &Route, header: Header) -> Vec<u8> {
    // `RTPROT_BOOT` for what the machine was told, `RTPROT_KERNEL` for what follows from its addresses.
    let protocol = if route.gateway.is_some() { 3 } else { 2 };
    let scope = match (route.way, route.destination) {
        // Routes of IPv6 have no scope.
        (_, IpAddr::V6(_)) => scope::UNIVERSE,
        (Way::Unicast, _) if route.gateway.is_some() => scope::UNIVERSE,
        (Way::Unicast | Way::Broadcast, _) => scope::LINK,
        (Way::Local, _) => scope::HOST,
    };
    let message = RouteMessage {
        family: family_of(route.destination),
        destination_length: route.prefix,
        table: table_of(route),
        protocol,
        scope,
        kind: kind_of(route.way),
        ..RouteMessage::default()
    };
    let mut builder = Builder::new(header, &message).number(route_attribute::TABLE, table_of(route).into());
    if route.prefix != 0 {
        builder = with_address(builder, route_attribute::DESTINATION, route.destination);
    }
    if let Some(source) = route
        .source
        .filter(|_| route.gateway.is_none() && route.destination.is_ipv4())
    {
        builder = with_address(builder, route_attribute::PREFERRED_SOURCE, source);
    }
    if let Some(gateway) = route.gateway {
        builder = with_address(builder, route_attribute::GATEWAY, gateway);
    }
    if route.metric != 0 {
        builder = builder.number(route_attribute::PRIORITY, route.metric);
    }
    builder.number(route_attribute::OUT_INTERFACE, route.interface).finish()
}

/// A structure at the start of a request. Programs may send less than all of it, which counts as zeroes: some send just
/// the family. What is behind it are attributes.
pub(super) fn structure<T: FromBytes + zerocopy::IntoBytes>(body: &[u8]) -> (T, Attributes<'_>) {
    let mut value = T::new_zeroed();
    let length = size_of::<T>().min(body.len());
    value.as_mut_bytes()[..length].copy_from_slice(&body[..length]);
    (value, Attributes::new(body.get(size_of::<T>()..).unwrap_or(&[])))
}

pub(super) fn number_of(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

pub(super) fn find_link(body: &[u8]) -> Result<Interface, Errno> {
    let (wanted, mut attributes): (LinkMessage, _) = structure(body);
    if wanted.index > 0 {
        return interfaces::by_index(wanted.index as u32).ok_or(Errno::ENODEV);
    }
    let name = attributes.find_map(|(kind, value)| (kind == link_attribute::NAME).then_some(value));
    let name = name.ok_or(Errno::EINVAL)?;
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    interfaces::by_name(&name[..end]).ok_or(Errno::ENODEV)
}

fn dump_links(answers: &mut Answers<'_>) {
    for interface in interfaces::all() {
        let message = link_message(&interface, answers.header(route::NEW_LINK, flag::MULTI));
        answers.add(&message);
    }
}

fn dump_addresses(body: &[u8], strict: bool, answers: &mut Answers<'_>) -> Result<(), Errno> {
    let (wanted, _): (AddressMessage, _) = structure(body);
    let index = if strict { wanted.index } else { 0 };
    if index != 0 && interfaces::by_index(index).is_none() {
        return Err(Errno::ENODEV);
    }
    // As on Linux, one family after the other.
    for family in [number(family::INTERNET), number(family::INTERNET_6)] {
        if wanted.family != 0 && wanted.family != family {
            continue;
        }
        for interface in interfaces::all() {
            if index != 0 && interface.index != index {
                continue;
            }
            for &address in interface
                .addresses
                .iter()
                .filter(|(address, _)| family_of(*address) == family)
            {
                let header = answers.header(route::NEW_ADDRESS, flag::MULTI);
                answers.add(&address_message(&interface, address, header));
            }
        }
    }
    Ok(())
}

fn dump_routes(body: &[u8], strict: bool, answers: &mut Answers<'_>) {
    let (wanted, attributes): (RouteMessage, _) = structure(body);
    let (mut table, mut interface) = (0, 0);
    if strict {
        table = wanted.table.into();
        for (kind, value) in attributes {
            match kind {
                route_attribute::TABLE => table = number_of(value).unwrap_or(0),
                route_attribute::OUT_INTERFACE => interface = number_of(value).unwrap_or(0),
                _ => {}
            }
        }
    }
    for route in interfaces::routes() {
        let suits = (wanted.family == 0 || wanted.family == family_of(route.destination))
            && (table == 0 || table == u32::from(table_of(&route)))
            && (interface == 0 || interface == route.interface);
        if suits {
            let header = answers.header(route::NEW_ROUTE, flag::MULTI);
            answers.add(&route_message(&route, header));
        }
    }
}

/// `NUD_…`
fn number_of_state(state: NeighbourState) -> u16 {
    match state {
        NeighbourState::Incomplete => 1,
        NeighbourState::Reachable => 2,
        NeighbourState::Stale => 4,
        NeighbourState::Delay => 8,
        NeighbourState::Probe => 16,
    }
}

fn dump_neighbours(body: &[u8], strict: bool, answers: &mut Answers<'_>) {
    let (wanted, attributes): (NeighbourMessage, _) = structure(body);
    let mut interface = 0;
    if strict {
        let named = attributes.filter(|(kind, _)| *kind == neighbour_attribute::INTERFACE);
        interface = named.last().and_then(|(_, value)| number_of(value)).unwrap_or(0);
    }
    for neighbour in interfaces::neighbours() {
        let family = family_of(neighbour.ip);
        if wanted.family != 0 && wanted.family != family || interface != 0 && interface != neighbour.interface {
            continue;
        }
        let message = NeighbourMessage {
            family,
            padding: [0; 3],
            index: neighbour.interface as i32,
            state: number_of_state(neighbour.state),
            flags: 0,
            kind: kind_of(Way::Unicast),
        };
        let header = answers.header(route::NEW_NEIGHBOUR, flag::MULTI);
        let mut builder = with_address(
            Builder::new(header, &message),
            neighbour_attribute::DESTINATION,
            neighbour.ip,
        );
        if let Some(hardware) = neighbour.hardware {
            builder = builder.attribute(neighbour_attribute::HARDWARE_ADDRESS, &hardware);
        }
        answers.add(&builder.finish());
    }
}

/// The route to one address (`ip route get`).
fn find_route(body: &[u8]) -> Result<(IpAddr, Route), Errno> {
    let (wanted, mut attributes): (RouteMessage, _) = structure(body);
    let destination = attributes.find_map(|(kind, value)| (kind == route_attribute::DESTINATION).then_some(value));
    let destination = destination.ok_or(Errno::EINVAL)?;
    let to = match (u16::from(wanted.family), destination.len()) {
        (family::INTERNET, 4..) => destination.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        (family::INTERNET_6, 16..) => destination.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
        (family::INTERNET | family::INTERNET_6, _) => None,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    let to = to.ok_or(Errno::EINVAL)?;
    let route = interfaces::route_to(to).ok_or(Errno::ENETUNREACH)?;
    Ok((to, route))
}

/// Answers a request.
///
/// # Errors
/// What the program is told: `EOPNOTSUPP`, `EPERM`, `EINVAL`, `ENODEV`, `ENETUNREACH`.
pub fn answer(request: &Request<'_>, strict: bool, answers: &mut Answers<'_>) -> Result<Answered, Errno> {
    let kind = request.header.kind;
    if kind > route::LAST {
        return Err(Errno::EOPNOTSUPP);
    }
    // Each has at least the family.
    if request.body.is_empty() {
        return Ok(Answered::Silent);
    }
    if kind & 3 != route::ASKS {
        return changes::change(request).map(|()| Answered::Silent);
    }
    let dump = request.header.flags & flag::DUMP != 0;
    match (kind, dump) {
        (route::GET_LINK, true) => dump_links(answers),
        (route::GET_ADDRESS, true) => dump_addresses(request.body, strict, answers)?,
        (route::GET_ROUTE, true) => dump_routes(request.body, strict, answers),
        (route::GET_NEIGHBOUR, true) => dump_neighbours(request.body, strict, answers),
        (route::GET_LINK, false) => {
            let interface = find_link(request.body)?;
            let message = link_message(&interface, answers.header(route::NEW_LINK, 0));
            answers.add(&message);
            return Ok(Answered::Silent);
        }
        (route::GET_ROUTE, false) => {
            let (to, route) = find_route(request.body)?;
            let message = way_message(to, &route, answers.header(route::NEW_ROUTE, 0));
            answers.add(&message);
            return Ok(Answered::Silent);
        }
        _ => {
            crate::warning_once!("rtnetlink: message {kind} is not supported: it answers EOPNOTSUPP");
            return Err(Errno::EOPNOTSUPP);
        }
    }
    answers.done();
    Ok(Answered::Dump)
}
