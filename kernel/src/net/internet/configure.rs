//! Gives interfaces what the machine was told about them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pith_network_settings::Settings;
use pith_tcpip::stack::Route;
use pith_tcpip::wire::ethernet::HardwareAddress;
use pith_tcpip::{Instant, Stack};

use super::Memory;
use crate::devices::network::Card;

/// Bytes of a packet where nobody says otherwise.
const MTU: u16 = 1500;

/// Adds a card with fixed addresses and routes.
pub fn add_card(stack: &mut Stack<Memory>, device: &Card, settings: &Settings, now: Instant) {
    let mtu = settings.mtu.or(device.mtu()).unwrap_or(MTU).into();
    let hardware = HardwareAddress(device.hardware());
    let card = stack.add_card(hardware, mtu, device.offload(), now);
    for subnet in &settings.addresses {
        stack.add_address(card, subnet.address, subnet.bits, now);
    }
    let mut add = |network: IpAddr, prefix, gateway| {
        let route = Route {
            network,
            prefix,
            interface: card,
            gateway: Some(gateway),
            metric: 0,
            expires: None,
        };
        if !stack.add_route(route) {
            crate::warning_once!("there are too many routes; some are left out");
        }
    };
    for route in &settings.routes {
        add(route.destination.address, route.destination.bits, route.gateway);
    }
    if let Some(gateway) = settings.gateway {
        add(Ipv4Addr::UNSPECIFIED.into(), 0, gateway.into());
    }
    if let Some(gateway) = settings.gateway6 {
        add(Ipv6Addr::UNSPECIFIED.into(), 0, gateway.into());
    }
    if settings.dhcp {
        stack.start_dhcp(card, b"", now);
    }
    if settings.slaac {
        stack.start_slaac(card, now);
    }
}
