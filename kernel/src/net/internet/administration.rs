//! What programs with the right to do so change about interfaces, addresses and routes.

use core::net::IpAddr;

use pith_linux::Errno;
use pith_linux::credentials::Capabilities;
use pith_tcpip::Instant;
use pith_tcpip::stack::{Error, Route};
use pith_tcpip::time::SECOND;

use super::configured_network;
use super::errors::errno;
use crate::fs::permission;

/// Whether the process may change anything.
///
/// # Errors
/// `EPERM`
pub fn permit() -> Result<(), Errno> {
    permission::require(Capabilities::NETWORK_ADMINISTRATION)
}

/// The place of an interface among all, which has to exist.
fn place_of(index: u32) -> Result<usize, Errno> {
    let place = (index as usize).checked_sub(1).ok_or(Errno::ENODEV)?;
    let count = configured_network().stack.lock().interfaces().len();
    if place < count { Ok(place) } else { Err(Errno::ENODEV) }
}

/// Puts the interface of a number into use, or out of it.
///
/// # Errors
/// `ENODEV`
pub fn set_up(index: u32, up: bool) -> Result<(), Errno> {
    let place = place_of(index)?;
    let changed = configured_network().with(|stack, now| stack.set_up(place, up, now));
    changed.map_err(errno)
}

/// Sets how long packets may be.
///
/// # Errors
/// `ENODEV`, `EINVAL`.
pub fn set_mtu(index: u32, mtu: u32) -> Result<(), Errno> {
    let place = place_of(index)?;
    let changed = configured_network().with(|stack, _| stack.set_mtu(place, mtu as usize));
    changed.map_err(errno)
}

/// An address that is to be added.
pub struct NewAddress {
    /// The interface's number.
    pub interface: u32,
    /// The address,
    pub ip: IpAddr,
    /// and how many bits are the network's.
    pub prefix: u8,
    /// Others are asked whether they have it.
    pub asks: bool,
    /// Seconds for which it is preferred, and for which it is valid; `None` for ever.
    pub lifetimes: [Option<u32>; 2],
}

/// Adds an address. `replaces`: it may be there already, and then only its lifetimes change.
///
/// # Errors
/// `ENODEV`, `EEXIST`.
pub fn add_address(new: &NewAddress, replaces: bool) -> Result<(), Errno> {
    let place = place_of(new.interface)?;
    configured_network().with(|stack, now| {
        let known = stack.interfaces()[place].addresses.iter().any(|own| own.ip == new.ip);
        if known && !replaces {
            return Err(Errno::EEXIST);
        }
        if !known && new.asks {
            stack.add_address(place, new.ip, new.prefix, now);
        } else if !known {
            stack.add_address_unasked(place, new.ip, new.prefix, now);
        }
        let end = |seconds: u32| Instant(now.0 + u64::from(seconds) * SECOND);
        let [preferred, valid] = new.lifetimes.map(|lifetime| lifetime.map(end));
        stack.set_lifetimes(place, new.ip, preferred, valid, now);
        Ok(())
    })
}

/// Takes an address away.
///
/// # Errors
/// `ENODEV`, `EADDRNOTAVAIL`.
pub fn remove_address(interface: u32, ip: IpAddr, prefix: u8) -> Result<(), Errno> {
    let place = place_of(interface)?;
    configured_network().with(|stack, now| {
        let mut own = stack.interfaces()[place].addresses.iter();
        if !own.any(|own| (own.ip, own.prefix) == (ip, prefix)) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        stack.remove_address(place, ip, now);
        Ok(())
    })
}

/// A route that is to be added or removed.
pub struct RouteRequest {
    /// The network,
    pub network: IpAddr,
    /// and how many of its bits count.
    pub prefix: u8,
    /// The router.
    pub gateway: Option<IpAddr>,
    /// The interface's number.
    pub interface: Option<u32>,
    /// Of two routes to a network, the lower one is used.
    pub metric: Option<u32>,
}

/// What is done about a route that is there already, or is not (`NLM_F_…`).
pub struct Manner {
    /// It is made if it is not there.
    pub creates: bool,
    /// It must not be there.
    pub exclusive: bool,
    /// It takes the place of the one that is there.
    pub replaces: bool,
}

/// Metric of routes of IPv6 whose makers say nothing (`IP6_RT_PRIO_USER`).
const METRIC_V6: u32 = 1024;

/// Adds a route.
///
/// # Errors
/// `ENODEV`, `ENETUNREACH`, `EEXIST`, `ENOENT`, `ENOBUFS`, `ENETDOWN`.
pub fn add_route(new: &RouteRequest, manner: &Manner) -> Result<(), Errno> {
    let named = new.interface.map(place_of).transpose()?;
    let metric = new.metric.unwrap_or(if new.network.is_ipv6() { METRIC_V6 } else { 0 });
    configured_network().with(|stack, _| {
        let interface = match (named, new.gateway) {
            // A router has to be a neighbour.
            (None, Some(gateway)) => stack.neighbour_interface(gateway).ok_or(Errno::ENETUNREACH)?,
            (None, None) => return Err(Errno::ENODEV),
            (Some(interface), Some(gateway)) => match stack.neighbour_interface(gateway) {
                Some(found) if found == interface => interface,
                _ if matches!(gateway, IpAddr::V6(gateway) if gateway.is_unicast_link_local()) => interface,
                _ => return Err(Errno::ENETUNREACH),
            },
            (Some(interface), None) => interface,
        };
        if !stack.interfaces()[interface].up {
            return Err(Errno::ENETDOWN);
        }
        let same = |route: &&Route| route.metric == metric && route.is_for(new.network, new.prefix);
        let known = stack.routes().iter().find(same).copied();
        match known {
            Some(_) if manner.exclusive || !manner.replaces && !manner.creates => return Err(Errno::EEXIST),
            Some(old) if manner.replaces => {
                stack.remove_route(old.network, old.prefix, old.interface, Some(old.gateway));
            }
            None if !manner.creates => return Err(Errno::ENOENT),
            _ => {}
        }
        let route = Route {
            network: new.network,
            prefix: new.prefix,
            interface,
            gateway: new.gateway,
            metric,
            expires: None,
        };
        match stack.add_route(route) {
            true => Ok(()),
            false => Err(errno(Error::TooMany)),
        }
    })
}

/// Takes the first route away that a request describes.
///
/// # Errors
/// `ENODEV`, `ESRCH`.
pub fn remove_route(wanted: &RouteRequest) -> Result<(), Errno> {
    let named = wanted.interface.map(place_of).transpose()?;
    configured_network().with(|stack, _| {
        let suits = |route: &&Route| {
            route.is_for(wanted.network, wanted.prefix)
                && named.is_none_or(|interface| interface == route.interface)
                && (wanted.gateway.is_none() || wanted.gateway == route.gateway)
                && wanted.metric.is_none_or(|metric| metric == route.metric)
        };
        let found = *stack.routes().iter().find(suits).ok_or(Errno::ESRCH)?;
        stack.remove_route(found.network, found.prefix, found.interface, Some(found.gateway));
        Ok(())
    })
}
