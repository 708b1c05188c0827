//! Whether settings make sense: what a machine could never work with is refused before it starts.

use core::net::{IpAddr, Ipv4Addr};

use crate::{Problem, Settings, Subnet};

/// Least size of packets that every IPv4 link takes (RFC 791), in bytes.
const LEAST_MTU: u16 = 68;
/// Least size of packets on links with IPv6 (RFC 8200, section 5), in bytes.
const LEAST_MTU_IPV6: u16 = 1280;

impl Settings {
    /// Checks that the parts agree: addresses that a machine may have, routers on the same link, sizes of packets.
    ///
    /// # Errors
    /// Which part is wrong, and why.
    pub fn check(&self) -> Result<(), Problem> {
        if let Some(hardware) = self.hardware
            && (hardware[0] & 1 != 0 || hardware == [0; 6])
        {
            return Err(Problem::new(
                "mac",
                "is not the address of a single card: its first byte must be even",
            ));
        }
        for (index, subnet) in self.addresses.iter().enumerate() {
            check_own_address(subnet)?;
            if self.addresses[..index]
                .iter()
                .any(|other| other.address == subnet.address)
            {
                return Err(Problem::new(subnet, "is given twice"));
            }
        }
        let has_ipv4 = self.addresses.iter().any(|subnet| subnet.address.is_ipv4());
        let has_ipv6 = self.slaac || self.addresses.iter().any(|subnet| subnet.address.is_ipv6());
        if self.dhcp && has_ipv4 {
            return Err(Problem::new(
                "dhcp",
                "and a fixed IPv4 address (ip=) exclude each other",
            ));
        }
        if let Some(gateway) = self.gateway {
            self.check_router(gateway.into())?;
        }
        if let Some(gateway) = self.gateway6 {
            self.check_router(gateway.into())?;
        }
        for route in &self.routes {
            check_destination(&route.destination)?;
            if route.destination.address.is_ipv4() != route.gateway.is_ipv4() {
                return Err(Problem::new(
                    route.gateway,
                    "is of another family than the network it leads to",
                ));
            }
            self.check_router(route.gateway)?;
        }
        for server in &self.name_servers {
            if server.is_unspecified() || server.is_multicast() {
                return Err(Problem::new(server, "can't be a name server"));
            }
        }
        match self.mtu {
            Some(mtu) if mtu < LEAST_MTU => Err(Problem::new(
                mtu,
                "is too little for an mtu: the least is 68",
            )),
            Some(mtu) if has_ipv6 && mtu < LEAST_MTU_IPV6 => Err(Problem::new(
                mtu,
                "is too little for an mtu with IPv6: the least is 1280",
            )),
            _ => Ok(()),
        }
    }

    /// A router must be reachable without a router.
    fn check_router(&self, router: IpAddr) -> Result<(), Problem> {
        if router.is_unspecified() || router.is_multicast() || router.is_loopback() {
            return Err(Problem::new(router, "can't be a router"));
        }
        if self.addresses.iter().any(|subnet| subnet.address == router) {
            return Err(Problem::new(router, "is the machine itself, not a router"));
        }
        let link_local = matches!(router, IpAddr::V6(address) if address.is_unicast_link_local());
        if link_local || self.addresses.iter().any(|subnet| subnet.contains(router)) {
            return Ok(());
        }
        Err(Problem::new(
            router,
            "is a router that no fixed address (ip=, ip6=) shares a network with, so it can't be reached",
        ))
    }
}

fn check_own_address(subnet: &Subnet) -> Result<(), Problem> {
    let address = subnet.address;
    if subnet.bits == 0 {
        return Err(Problem::new(
            subnet,
            "has no prefix: a network of all addresses needs no router",
        ));
    }
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
        return Err(Problem::new(subnet, "can't be the address of a card"));
    }
    if let IpAddr::V4(address) = address {
        if address == Ipv4Addr::BROADCAST {
            return Err(Problem::new(subnet, "can't be the address of a card"));
        }
        // RFC 3021: a network of two addresses has neither.
        let host = u32::MAX.checked_shr(subnet.bits.into()).unwrap_or(0);
        if subnet.bits < 31 && address.to_bits() & host == 0 {
            return Err(Problem::new(
                subnet,
                "is the name of a network, not an address in it",
            ));
        }
        if subnet.bits < 31 && address.to_bits() & host == host {
            return Err(Problem::new(
                subnet,
                "is the broadcast address of its network",
            ));
        }
    }
    Ok(())
}

fn check_destination(destination: &Subnet) -> Result<(), Problem> {
    let rest = match destination.address {
        IpAddr::V4(address) => u128::from(
            address.to_bits() & u32::MAX.checked_shr(destination.bits.into()).unwrap_or(0),
        ),
        IpAddr::V6(address) => {
            address.to_bits() & u128::MAX.checked_shr(destination.bits.into()).unwrap_or(0)
        }
    };
    if rest != 0 {
        return Err(Problem::new(
            destination,
            "is an address and not a network: the bits behind the prefix must be zero",
        ));
    }
    Ok(())
}
