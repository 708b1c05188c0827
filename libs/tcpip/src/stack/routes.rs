//! Ways: by which interface and which router a packet goes, and from which address.

use super::interfaces::common_bits;
use super::*;

/// Most entries of the table.
const ROUTES: usize = 1024;

/// An entry of the routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// An address in the network.
    pub network: IpAddr,
    /// How many of its bits count.
    pub prefix: u8,
    /// The interface.
    pub interface: usize,
    /// The router; `None` if the stations are neighbours.
    pub gateway: Option<IpAddr>,
    /// Of two entries for the same network, the lower one is used.
    pub metric: u32,
    /// When it ends; `None` for never.
    pub expires: Option<Instant>,
}

impl Route {
    fn leads_to(&self, ip: IpAddr) -> bool {
        common_bits(self.network, ip).is_some_and(|bits| bits >= self.prefix)
    }

    /// Whether it is for a network.
    pub fn is_for(&self, network: IpAddr, prefix: u8) -> bool {
        self.prefix == prefix && self.leads_to(network)
    }

    pub(super) fn is_same(&self, network: IpAddr, prefix: u8, interface: usize) -> bool {
        (self.prefix, self.interface) == (prefix, interface) && self.leads_to(network)
    }
}

/// A way to a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) interface: usize,
    /// The next station.
    pub(super) next: IpAddr,
}

impl<B: Buffer> Stack<B> {
    /// The routing table.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Adds an entry; one for the same network, interface and router is replaced. False if the table is full.
    pub fn add_route(&mut self, route: Route) -> bool {
        self.remove_route(
            route.network,
            route.prefix,
            route.interface,
            Some(route.gateway),
        );
        if self.routes.len() >= ROUTES {
            return false;
        }
        // The longest prefix first.
        let order = |one: &Route| (core::cmp::Reverse(one.prefix), one.metric);
        let place = self
            .routes
            .partition_point(|other| order(other) <= order(&route));
        self.routes.insert(place, route);
        true
    }

    /// Removes entries, whatever their router is, or only with that one.
    pub fn remove_route(
        &mut self,
        network: IpAddr,
        prefix: u8,
        interface: usize,
        gateway: Option<Option<IpAddr>>,
    ) {
        self.revision += 1;
        self.routes.retain(|one| {
            !one.is_same(network, prefix, interface) || gateway.is_some_and(|at| at != one.gateway)
        });
    }

    /// The interface at which an address is a neighbour's; `None` if it is no neighbour's, or this machine's own.
    pub fn neighbour_interface(&self, ip: IpAddr) -> Option<usize> {
        let route = self.routes.iter().find(|one| one.leads_to(ip))?;
        (route.gateway.is_none() && !self.is_local(ip)).then_some(route.interface)
    }

    /// Takes entries away that are over.
    pub(super) fn expire_routes(&mut self, now: Instant) {
        self.revision += 1;
        self.expire_redirects(now);
        self.routes
            .retain(|route| route.expires.is_none_or(|at| at > now));
    }

    /// The way to an address; `scope` names an interface, counted from 1.
    pub(super) fn route(&self, to: IpAddr, scope: u32) -> Result<Way, Error> {
        let way = |interface| {
            Ok(Way {
                interface,
                next: to,
            })
        };
        if self.is_local(to) || is_loopback(to) {
            return way(0);
        }
        let chosen = match scope {
            0 => None,
            number => match self.interfaces.get(number as usize - 1) {
                Some(_) => Some(number as usize - 1),
                None => return Err(Error::Unreachable),
            },
        };
        let direct = match to {
            IpAddr::V4(to) => to.is_broadcast(),
            IpAddr::V6(to) => to.is_unicast_link_local() || to.is_multicast(),
        };
        if direct && let Some(interface) = chosen {
            return way(interface);
        }
        if let IpAddr::V6(to) = to
            && to.is_unicast_link_local()
        {
            return Err(Error::NoScope);
        }
        let mut routes = self.routes.iter();
        let found = routes.find(|one| {
            one.leads_to(to) && chosen.is_none_or(|interface| one.interface == interface)
        });
        match found {
            Some(route) => Ok(Way {
                interface: route.interface,
                next: match route.gateway {
                    Some(gateway) if !to.is_multicast() => {
                        self.redirected(to, route.interface).unwrap_or(gateway)
                    }
                    _ => to,
                },
            }),
            None if direct || to.is_multicast() => {
                let card = |one: &Interface| {
                    one.hardware.is_some() && (to.is_ipv6() || one.own_v4().is_some())
                };
                let index = chosen.or_else(|| self.interfaces.iter().position(card));
                index.map_or(Err(Error::Unreachable), way)
            }
            None => Err(Error::Unreachable),
        }
    }

    /// The address from which packets to another one come (RFC 6724, section 5).
    pub(super) fn source_for(&self, to: IpAddr, scope: u32) -> Result<IpAddr, Error> {
        match to {
            IpAddr::V4(to) if to.is_loopback() => return Ok(Ipv4Addr::LOCALHOST.into()),
            _ if self.is_local(to) => return Ok(to),
            _ => {}
        }
        let way = self.route(to, scope)?;
        let rank = |interface: usize, own: &Address| {
            let bits = common_bits(own.ip, to)?;
            if !own.is_usable() || interface == 0 && way.interface != 0 {
                return None;
            }
            let here = interface == way.interface;
            Some(match own.ip {
                // The network of the next station, then the first address of the interface.
                IpAddr::V4(_) => (here, true, own.is_near(way.next), 0),
                IpAddr::V6(ip) => {
                    let link = ip.is_unicast_link_local();
                    if link && !here {
                        return None;
                    }
                    let wide = !link;
                    let fits = match to {
                        IpAddr::V6(to) if interfaces::has_scope(to) => link,
                        _ => wide,
                    };
                    (fits, own.state == AddressState::Preferred, here, bits)
                }
            })
        };
        let mut best: Option<((bool, bool, bool, u8), IpAddr)> = None;
        for (index, interface) in self.interfaces.iter().enumerate() {
            for own in &interface.addresses {
                if let Some(rank) = rank(index, own)
                    && best.is_none_or(|(other, _)| rank > other)
                {
                    best = Some((rank, own.ip));
                }
            }
        }
        best.map(|(_, ip)| ip).ok_or(Error::NoSource)
    }
}

pub(super) fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback()
}
