//! Changes that programs ask for: `ip link set`, `ip address add`, `ip route add` and their kin.

use core::net::IpAddr;

use pith_linux::Errno;
use pith_linux::netlink::{
    AddressMessage, Attributes, LinkMessage, Request, RouteMessage, address_attribute, flag, link_attribute, route,
    route_attribute,
};
use pith_linux::sockets::family;

use super::route::{find_link, number_of, structure};
use crate::net::internet::administration::{self, Manner, NewAddress, RouteRequest};
use crate::net::internet::interfaces;

/// `IFA_F_NODAD`
const NOT_ASKED: u32 = 2;
/// A lifetime that never ends.
const FOR_EVER: u32 = u32::MAX;
/// `RT_TABLE_UNSPEC`, `RT_TABLE_MAIN`
const NO_TABLE: u32 = 0;
const MAIN_TABLE: u32 = 254;
/// `RTN_UNSPEC`, `RTN_UNICAST`
const NO_KIND: u8 = 0;
const UNICAST: u8 = 1;

/// Does what a program asks for.
///
/// # Errors
/// What the program is told: `EPERM` without the right to it, `EOPNOTSUPP` for what is not done here.
pub fn change(request: &Request<'_>) -> Result<(), Errno> {
    administration::permit()?;
    match request.header.kind {
        route::NEW_LINK | route::SET_LINK => change_link(request.body),
        route::NEW_ADDRESS => add_address(request),
        route::DELETE_ADDRESS => remove_address(request.body),
        route::NEW_ROUTE => add_route(request),
        route::DELETE_ROUTE => administration::remove_route(&route_of(request.body)?),
        kind => {
            crate::warning_once!("rtnetlink: message {kind} is not supported: it answers EOPNOTSUPP");
            Err(Errno::EOPNOTSUPP)
        }
    }
}

fn refuse(what: &str) -> Errno {
    crate::warning_once!("rtnetlink: what a program wants is not supported: it answers EOPNOTSUPP for {what}");
    Errno::EOPNOTSUPP
}

/// An address in an attribute.
fn address_in(number: u8, value: &[u8]) -> Result<IpAddr, Errno> {
    let address = match (u16::from(number), value.len()) {
        (family::INTERNET, 4) => value.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        (family::INTERNET_6, 16) => value.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
        (family::INTERNET | family::INTERNET_6, _) => None,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    address.ok_or(Errno::EINVAL)
}

fn check_prefix(prefix: u8, address: IpAddr) -> Result<(), Errno> {
    let most = if address.is_ipv4() { 32 } else { 128 };
    if prefix <= most { Ok(()) } else { Err(Errno::EINVAL) }
}

fn change_link(body: &[u8]) -> Result<(), Errno> {
    let (wanted, attributes): (LinkMessage, Attributes<'_>) = structure(body);
    let interface = find_link(body)?;
    let mut mtu = None;
    for (kind, value) in attributes {
        match kind {
            link_attribute::MTU => mtu = Some(number_of(value).ok_or(Errno::EINVAL)?),
            // By this it was found, unless it is to have another one.
            link_attribute::NAME if value.strip_suffix(&[0]).unwrap_or(value) == interface.name.as_bytes() => {}
            _ => return Err(refuse("a quality of an interface")),
        }
    }
    if wanted.change & !interfaces::flag::UP != 0 {
        return Err(refuse("a flag of an interface"));
    }
    if let Some(mtu) = mtu {
        administration::set_mtu(interface.index, mtu)?;
    }
    // Without a mask, programs mean all flags as they are.
    if wanted.change != 0 || wanted.flags != 0 {
        administration::set_up(interface.index, wanted.flags & interfaces::flag::UP != 0)?;
    }
    Ok(())
}

/// What a request says of an address: the interface, the address itself, and its network's bits.
fn address_of(body: &[u8]) -> Result<(AddressMessage, IpAddr), Errno> {
    let (message, attributes): (AddressMessage, Attributes<'_>) = structure(body);
    let (mut own, mut peer) = (None, None);
    for (kind, value) in attributes {
        match kind {
            address_attribute::LOCAL => own = Some(address_in(message.family, value)?),
            address_attribute::ADDRESS => peer = Some(address_in(message.family, value)?),
            _ => {}
        }
    }
    let ip = own.or(peer).ok_or(Errno::EINVAL)?;
    if peer.is_some_and(|peer| peer != ip) {
        return Err(refuse("an address with a peer"));
    }
    check_prefix(message.prefix, ip)?;
    Ok((message, ip))
}

fn add_address(request: &Request<'_>) -> Result<(), Errno> {
    let (message, ip) = address_of(request.body)?;
    let interface = interfaces::by_index(message.index).ok_or(Errno::ENODEV)?;
    let (_, attributes): (AddressMessage, Attributes<'_>) = structure(request.body);
    let mut flags = u32::from(message.flags);
    let mut lifetimes = [None; 2];
    for (kind, value) in attributes {
        match kind {
            address_attribute::FLAGS => flags = number_of(value).ok_or(Errno::EINVAL)?,
            address_attribute::BROADCAST => {
                let everybody = address_in(message.family, value)?;
                if interface.broadcast_of(ip, message.prefix).map(IpAddr::V4) != Some(everybody) {
                    return Err(refuse("an address for everybody that is not its network's last"));
                }
            }
            address_attribute::CACHE => {
                let (preferred, rest) = value.split_first_chunk::<4>().ok_or(Errno::EINVAL)?;
                let seconds = [u32::from_ne_bytes(*preferred), number_of(rest).ok_or(Errno::EINVAL)?];
                if seconds[1] == 0 || seconds[0] > seconds[1] {
                    return Err(Errno::EINVAL);
                }
                lifetimes = seconds.map(|seconds| (seconds != FOR_EVER).then_some(seconds));
            }
            _ => {}
        }
    }
    let new = NewAddress {
        interface: message.index,
        ip,
        prefix: message.prefix,
        asks: flags & NOT_ASKED == 0,
        lifetimes,
    };
    administration::add_address(&new, request.header.flags & flag::REPLACE != 0)
}

fn remove_address(body: &[u8]) -> Result<(), Errno> {
    let (message, ip) = address_of(body)?;
    administration::remove_address(message.index, ip, message.prefix)
}

/// The route that a request describes.
fn route_of(body: &[u8]) -> Result<RouteRequest, Errno> {
    let (message, attributes): (RouteMessage, Attributes<'_>) = structure(body);
    let any: IpAddr = match message.family.into() {
        family::INTERNET => [0; 4].into(),
        family::INTERNET_6 => [0; 16].into(),
        _ => return Err(Errno::EOPNOTSUPP),
    };
    let mut wanted = RouteRequest {
        network: any,
        prefix: message.destination_length,
        gateway: None,
        interface: None,
        metric: None,
    };
    /// `RTNH_F_ONLINK`: the router need not be a neighbour.
    const ON_LINK: u32 = 4;
    if message.flags & ON_LINK != 0 {
        return Err(refuse("a router that is no neighbour"));
    }
    let mut table = message.table.into();
    for (kind, value) in attributes {
        match kind {
            route_attribute::DESTINATION => wanted.network = address_in(message.family, value)?,
            route_attribute::GATEWAY => wanted.gateway = Some(address_in(message.family, value)?),
            route_attribute::OUT_INTERFACE => wanted.interface = number_of(value),
            route_attribute::PRIORITY => wanted.metric = number_of(value),
            route_attribute::TABLE => table = number_of(value).ok_or(Errno::EINVAL)?,
            _ => return Err(refuse("a quality of a route")),
        }
    }
    check_prefix(wanted.prefix, any)?;
    if !matches!(table, NO_TABLE | MAIN_TABLE) || !matches!(message.kind, NO_KIND | UNICAST) {
        return Err(refuse("a kind or table of routes"));
    }
    // Bits that do not count have to be 0.
    if interfaces::network_of(wanted.network, wanted.prefix) != wanted.network {
        return Err(Errno::EINVAL);
    }
    Ok(wanted)
}

fn add_route(request: &Request<'_>) -> Result<(), Errno> {
    let flags = request.header.flags;
    let manner = Manner {
        creates: flags & flag::CREATE != 0,
        exclusive: flags & flag::EXCLUSIVE != 0,
        replaces: flags & flag::REPLACE != 0,
    };
    administration::add_route(&route_of(request.body)?, &manner)
}
