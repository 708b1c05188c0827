//! Notices of changes (`rtnetlink(7)`): members of the groups hear what addresses and routes come and go.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use pith_linux::netlink::{Header, group, protocol, route};
use spin::Mutex;

use super::route::{address_message, link_message, route_message};
use super::tell_group;
use crate::net::internet::interfaces::{self, Interface, Route};

/// What was last told of.
struct Known {
    interfaces: Vec<Interface>,
    routes: Vec<Route>,
}

impl Known {
    fn now() -> Self {
        Self {
            interfaces: interfaces::all(),
            routes: interfaces::routes(),
        }
    }
}

/// `None` until somebody first wants to hear of changes.
static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

/// Somebody wants to hear of what changes from now on.
pub fn begin() {
    // This may wait for the network, so nothing is locked meanwhile.
    let now = Known::now();
    KNOWN.lock().get_or_insert(now);
}

/// Addresses or routes may have changed: those who listen are told the difference.
pub fn changed() {
    let mut known = KNOWN.lock();
    // Whoever has begun has set the network up, so that nothing here waits for that.
    if let Some(before) = &mut *known {
        let now = Known::now();
        tell_difference(before, &now);
        *before = now;
    }
}

/// A message for all members of a group.
fn tell(number: u32, message: Vec<u8>) {
    tell_group(protocol::ROUTE, number, &Arc::new(message), 0);
}

fn announcement(kind: u16) -> Header {
    Header {
        kind,
        ..Header::default()
    }
}

fn address_group(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => group::ADDRESS_V4,
        IpAddr::V6(_) => group::ADDRESS_V6,
    }
}

fn route_group(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => group::ROUTE_V4,
        IpAddr::V6(_) => group::ROUTE_V6,
    }
}

fn tell_difference(before: &Known, now: &Known) {
    for interface in &now.interfaces {
        let changed = before.interfaces.iter().all(|other| {
            (other.index, other.flags, other.mtu, other.hardware)
                != (interface.index, interface.flags, interface.mtu, interface.hardware)
        });
        if changed {
            tell(group::LINK, link_message(interface, announcement(route::NEW_LINK)));
        }
    }
    tell_missing(now, before, route::DELETE_ADDRESS, route::DELETE_ROUTE);
    tell_missing(before, now, route::NEW_ADDRESS, route::NEW_ROUTE);
}

/// Tells of what of `all` is not there in `known`.
fn tell_missing(known: &Known, all: &Known, of_address: u16, of_route: u16) {
    for interface in &all.interfaces {
        let same = known.interfaces.iter().find(|same| same.index == interface.index);
        for address in &interface.addresses {
            if !same.is_some_and(|same| same.addresses.contains(address)) {
                let message = address_message(interface, *address, announcement(of_address));
                tell(address_group(address.0), message);
            }
        }
    }
    for route in all.routes.iter().filter(|route| !known.routes.contains(route)) {
        tell(
            route_group(route.destination),
            route_message(route, announcement(of_route)),
        );
    }
}
