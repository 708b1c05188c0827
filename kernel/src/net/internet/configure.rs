//! Gives interfaces what the machine was told about them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pith_network_settings::Settings;
use pith_tcpip::stack::{Offload, Route};
use pith_tcpip::wire::ethernet::HardwareAddress;
use pith_tcpip::{Instant, Stack};

use super::Memory;

/// Bytes of a packet where nobody says otherwise.
const MTU: u16 = 1500;

/// Adds a card with fixed addresses and routes.
pub fn add_card(stack: &mut Stack<Memory>, hardware: [u8; 6], settings: &Settings, now: Instant) {
    let mtu = settings.mtu.unwrap_or(MTU).into();
    let card = stack.add_card(HardwareAddress(hardware), mtu, Offload::default(), now);
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
}
