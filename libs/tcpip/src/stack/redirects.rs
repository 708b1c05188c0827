//! Redirects: a router knows a better way to one station (RFC 792; RFC 1122, section 3.2.2.2; RFC 4861, section 8).

use super::*;
use crate::wire::array_at;

/// Most stations whose better way is remembered.
const REDIRECTS: usize = 1024;
/// For how long (Linux's `RT_GC_TIMEOUT`).
const LIFETIME: u64 = 300 * SECOND;

/// A better way to one station.
#[derive(Clone, Copy, Debug)]
pub(super) struct Redirect {
    destination: IpAddr,
    /// The interface.
    interface: usize,
    /// The next station on the way.
    next: IpAddr,
    until: Instant,
}

impl<B: Buffer> Stack<B> {
    /// The next station to which packets to a destination were redirected.
    pub(super) fn redirected(&self, to: IpAddr, interface: usize) -> Option<IpAddr> {
        if self.redirects.is_empty() {
            return None;
        }
        let known = self.redirects.iter();
        let mut fitting = known.filter(|one| (one.destination, one.interface) == (to, interface));
        fitting.next().map(|one| one.next)
    }

    /// Believes a redirect if who sends it is the next station on the way, and the new one is a neighbour and somebody
    /// else.
    fn redirect(
        &mut self,
        interface: usize,
        router: IpAddr,
        destination: IpAddr,
        next: IpAddr,
        now: Instant,
    ) -> bool {
        let scope = interface as u32 + 1;
        let Ok(way) = self.route(destination, scope) else {
            return false;
        };
        // Nobody who is not used as a router for it redirects anything.
        let from_router = way.next == router && router != destination;
        // Of a neighbour by IPv6 the address does not tell that it is one, but the router does.
        let is_neighbour =
            next == destination && next.is_ipv6() || self.is_on_link(interface, next);
        if !from_router || next == router || self.is_local(next) || !is_neighbour {
            return false;
        }
        self.redirects
            .retain(|one| (one.destination, one.interface) != (destination, interface));
        if self.redirects.len() >= REDIRECTS {
            self.redirects.remove(0);
        }
        let until = now + LIFETIME;
        self.redirects.push(Redirect {
            destination,
            interface,
            next,
            until,
        });
        self.chores.insert((until, Chore::Routes));
        true
    }

    /// Whether a station is reached without a router.
    fn is_on_link(&self, interface: usize, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => true,
            _ if ip.is_multicast() || ip.is_unspecified() || ip.is_loopback() => false,
            _ if self.interfaces[interface].is_broadcast(ip) => false,
            _ => self.neighbour_interface(ip) == Some(interface),
        }
    }

    /// A redirect has come that quotes a packet to `destination`.
    pub(super) fn receive_redirect_v4(
        &mut self,
        packet: &Arrival,
        header: &icmp::Header,
        quoted: &faults::Quoted<'_>,
        now: Instant,
    ) {
        let next = Ipv4Addr::from(header.rest);
        let destination = quoted.remote.ip();
        // Of networks as a whole there are none any more: what is said of them is taken for the one station.
        if header.code <= 3 {
            self.redirect(
                packet.interface,
                packet.source,
                destination,
                next.into(),
                now,
            );
        }
    }

    /// The same for IPv6: target, destination and options.
    ///
    /// # Errors
    /// For one that makes no sense.
    pub(super) fn receive_redirect_v6(
        &mut self,
        packet: &Arrival,
        source: Ipv6Addr,
        body: &[u8],
        now: Instant,
    ) -> Result<(), Malformed> {
        let target = Ipv6Addr::from(array_at::<16>(body, 0)?);
        let destination = Ipv6Addr::from(array_at::<16>(body, 16)?);
        let is_router = target.is_unicast_link_local();
        if !source.is_unicast_link_local()
            || destination.is_multicast()
            || !is_router && target != destination
        {
            return Err(Malformed::Field);
        }
        let options = body.get(32..).unwrap_or(&[]);
        // All are looked at before anything is believed.
        let items: Vec<(u8, &[u8])> =
            icmpv6::Items::new(options).collect::<Result<Vec<_>, Malformed>>()?;
        let interface = packet.interface;
        let believed = self.redirect(
            interface,
            source.into(),
            destination.into(),
            target.into(),
            now,
        );
        if !believed {
            return Ok(());
        }
        for (kind, value) in items {
            if kind != icmpv6::TARGET_LINK {
                continue;
            }
            let hardware = HardwareAddress(array_at(value, 0)?);
            if !hardware.is_group() {
                let news = neighbours::News {
                    hardware,
                    solicited: false,
                    replaces: true,
                    is_new: true,
                    is_router: is_router.then_some(true),
                };
                self.learn(interface, target.into(), news, now);
            }
        }
        Ok(())
    }

    /// Forgets what is over.
    pub(super) fn expire_redirects(&mut self, now: Instant) {
        self.redirects.retain(|one| one.until > now);
    }
}
