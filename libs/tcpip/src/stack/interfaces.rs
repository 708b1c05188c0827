//! Interfaces and their addresses.

use super::*;

/// Time between the question whether somebody has an address and its use (RFC 4862, `RetransTimer`).
const DETECTION: u64 = SECOND;

/// Whether an address may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// Others are asked whether they have it (RFC 4862, section 5.4).
    Tentative,
    /// Others are asked, but it is used already: it was given by somebody who should know (RFC 4429). What neighbours
    /// remember of it is not touched until it is certain.
    Optimistic,
    /// It is this machine's.
    Preferred,
    /// It is, but new connections should use another one.
    Deprecated,
    /// Another station has it.
    Duplicate,
}

impl AddressState {
    /// Whether others may still say that they have the address.
    pub(super) fn is_asked_for(self) -> bool {
        matches!(self, Self::Tentative | Self::Optimistic)
    }
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// How many bits of it are the network's.
    pub prefix: u8,
    /// Whether it may be used.
    pub state: AddressState,
    /// When it is certain that nobody else has it; `None` if it is already, or if it can't be.
    pub certain: Option<Instant>,
    /// Until when it is preferred; `None` for ever.
    pub until: Option<Instant>,
    /// When it is taken away; `None` for never.
    pub expires: Option<Instant>,
    /// It was made of what a router has told.
    pub automatic: bool,
}

impl Address {
    /// Whether packets may come from it.
    pub fn is_usable(&self) -> bool {
        matches!(
            self.state,
            AddressState::Optimistic | AddressState::Preferred | AddressState::Deprecated
        )
    }

    /// Whether another address is in the same network.
    pub fn is_near(&self, other: IpAddr) -> bool {
        common_bits(self.ip, other).is_some_and(|bits| bits >= self.prefix)
    }
}

/// How many bits two addresses have in common at the start; `None` if they are of different families.
pub(super) fn common_bits(one: IpAddr, other: IpAddr) -> Option<u8> {
    let bits = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return None,
    };
    Some(bits as u8)
}

/// An interface.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its card's address; `None` for the loopback interface.
    pub hardware: Option<HardwareAddress>,
    /// Bytes of a packet of IPv4.
    pub mtu: usize,
    /// Bytes of a packet of IPv6.
    pub mtu_v6: usize,
    /// Bytes of a packet that the card can carry.
    pub link_mtu: usize,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// What its device does by itself.
    pub offload: Offload,
    /// The groups that it listens to.
    pub groups: Vec<Group>,
    /// It is in use, see [`Stack::set_up`].
    pub up: bool,
    /// Until when routers are reckoned with that speak an older version about groups.
    pub(super) older_until: Option<Instant>,
}

impl Interface {
    /// The interface by which a machine talks to itself.
    pub(super) fn loopback() -> Self {
        let own = |ip, prefix| Address {
            ip,
            prefix,
            state: AddressState::Preferred,
            certain: None,
            until: None,
            expires: None,
            automatic: false,
        };
        Self {
            hardware: None,
            mtu: 65_536,
            mtu_v6: 65_536,
            link_mtu: 65_536,
            groups: groups::of_all_stations(),
            up: true,
            older_until: None,
            addresses: Vec::from([
                own(Ipv4Addr::LOCALHOST.into(), 8),
                own(Ipv6Addr::LOCALHOST.into(), 128),
            ]),
            offload: Offload {
                checksum: true,
                segmentation_v4: true,
                segmentation_v6: true,
                parts: false,
                datagrams: false,
            },
        }
    }

    /// Whether packets to the address are for this machine.
    pub(super) fn holds(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) if self.hardware.is_none() && ip.is_loopback() => true,
            _ => self
                .addresses
                .iter()
                .any(|own| own.ip == ip && own.is_usable()),
        }
    }

    /// The address of its card, as neighbours may remember it for one of its own addresses; `None` while somebody else
    /// might have that (RFC 4429, section 3.2).
    pub(super) fn certain_hardware(&self, ip: IpAddr) -> Option<HardwareAddress> {
        let uncertain = |own: &Address| own.ip == ip && own.state.is_asked_for();
        self.hardware
            .filter(|_| !self.addresses.iter().any(uncertain))
    }

    /// Its first usable address of version 4.
    pub fn own_v4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|own| match own.ip {
            IpAddr::V4(ip) if own.is_usable() => Some(ip),
            _ => None,
        })
    }

    /// Its first usable address with the scope of the link.
    pub(super) fn link_local(&self) -> Option<Ipv6Addr> {
        self.addresses.iter().find_map(|own| match own.ip {
            IpAddr::V6(ip) if own.is_usable() && ip.is_unicast_link_local() => Some(ip),
            _ => None,
        })
    }

    /// Bytes of a packet to such an address.
    pub(super) fn mtu_for(&self, ip: IpAddr) -> usize {
        match ip {
            IpAddr::V4(_) => self.mtu,
            IpAddr::V6(_) => self.mtu_v6,
        }
    }

    pub(super) fn is_broadcast(&self, ip: IpAddr) -> bool {
        let IpAddr::V4(ip) = ip else { return false };
        ip.is_broadcast()
            || self.addresses.iter().any(|own| match own.ip {
                IpAddr::V4(address) if own.prefix < 31 && self.hardware.is_some() => {
                    let host = u32::MAX.checked_shr(own.prefix.into()).unwrap_or(0);
                    ip.to_bits() == address.to_bits() | host
                }
                _ => false,
            })
    }
}

/// The address that a card gives itself on its link (RFC 4291, appendix A).
pub fn link_local_address(hardware: HardwareAddress) -> Ipv6Addr {
    let own = hardware.0;
    let [a, b, c, d, e, f] = own;
    Ipv6Addr::from([
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ])
}

impl<B: Buffer> Stack<B> {
    /// The interfaces; the first is the loopback interface.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// A new card, without addresses but that of the link. Returns its place among [`Self::interfaces`].
    pub fn add_card(
        &mut self,
        hardware: HardwareAddress,
        mtu: usize,
        offload: Offload,
        now: Instant,
    ) -> usize {
        let index = self.interfaces.len();
        self.revision += 1;
        self.interfaces.push(Interface {
            hardware: Some(hardware),
            mtu,
            mtu_v6: mtu,
            link_mtu: mtu,
            addresses: Vec::new(),
            offload,
            groups: groups::of_all_stations(),
            up: true,
            older_until: None,
        });
        self.join_group(index, Ipv4Addr::new(224, 0, 0, 1).into(), now);
        self.add_address(index, link_local_address(hardware).into(), 64, now);
        index
    }

    /// Gives an interface an address, and a way to its network. Others are asked whether they have it if it is of version
    /// 6; unless it is one of the link, it is used meanwhile.
    pub fn add_address(&mut self, interface: usize, ip: IpAddr, prefix: u8, now: Instant) {
        self.assign(interface, ip, prefix, false, now);
        self.add_way_to_network(interface, ip, prefix);
    }

    /// Adds the way to the network of an address. There is always one to the loopback interface.
    pub(super) fn add_way_to_network(&mut self, interface: usize, ip: IpAddr, prefix: u8) {
        if self.interfaces[interface].hardware.is_some() {
            self.add_route(Route {
                network: ip,
                prefix,
                interface,
                gateway: None,
                metric: 0,
                expires: None,
            });
        }
    }

    /// The same without a way to its network. `automatic`: a router has told of the network.
    pub(super) fn assign(
        &mut self,
        interface: usize,
        ip: IpAddr,
        prefix: u8,
        automatic: bool,
        now: Instant,
    ) {
        let detect = ip.is_ipv6() && self.interfaces[interface].hardware.is_some();
        let address = Address {
            ip,
            prefix,
            state: match ip {
                _ if !detect => AddressState::Preferred,
                IpAddr::V6(ip) if !automatic && !ip.is_unicast_link_local() => {
                    AddressState::Optimistic
                }
                _ => AddressState::Tentative,
            },
            certain: detect.then(|| now + DETECTION),
            until: None,
            expires: None,
            automatic,
        };
        self.revision += 1;
        let list = &mut self.interfaces[interface].addresses;
        let known = list.iter_mut().find(|own| own.ip == ip);
        match known {
            Some(known) => *known = address,
            None => {
                list.push(address);
                if let IpAddr::V6(ip) = ip {
                    // Those who ask for the address ask its group.
                    self.join_group(interface, icmpv6::solicited_group(ip).into(), now);
                }
            }
        }
        if let (true, IpAddr::V6(ip)) = (detect, ip) {
            self.chores
                .insert((now + DETECTION, Chore::Address(interface)));
            self.ask_for_duplicates(interface, ip);
        }
    }

    /// Sets until when an address is preferred, and when it is taken away.
    pub fn set_lifetimes(
        &mut self,
        interface: usize,
        ip: IpAddr,
        until: Option<Instant>,
        expires: Option<Instant>,
        now: Instant,
    ) {
        self.revision += 1;
        let list = &mut self.interfaces[interface].addresses;
        let Some(own) = list.iter_mut().find(|own| own.ip == ip) else {
            return;
        };
        (own.until, own.expires) = (until, expires);
        if own.state == AddressState::Deprecated && until.is_none_or(|at| at > now) {
            own.state = AddressState::Preferred;
        }
        for at in [until, expires].into_iter().flatten() {
            self.chores.insert((at, Chore::Address(interface)));
        }
    }

    /// Takes an address away from an interface, and the way to its network if no other address needs it.
    pub fn remove_address(&mut self, interface: usize, ip: IpAddr, now: Instant) {
        self.revision += 1;
        let list = &mut self.interfaces[interface].addresses;
        let Some(place) = list.iter().position(|own| own.ip == ip) else {
            return;
        };
        let gone = list.remove(place);
        if !gone.automatic
            && !list
                .iter()
                .any(|own| own.prefix == gone.prefix && gone.is_near(own.ip))
        {
            self.remove_route(gone.ip, gone.prefix, interface, Some(None));
        }
        if let IpAddr::V6(ip) = ip {
            self.leave_group(interface, icmpv6::solicited_group(ip).into(), now);
        }
    }

    /// What time does to addresses of an interface.
    pub(super) fn expire_addresses(&mut self, interface: usize, now: Instant) {
        self.revision += 1;
        let Some(one) = self.interfaces.get_mut(interface) else {
            return;
        };
        for own in &mut one.addresses {
            let past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            if past(own.certain) {
                own.certain = None;
                if own.state.is_asked_for() {
                    own.state = AddressState::Preferred;
                }
            }
            if past(own.until) && own.state == AddressState::Preferred {
                own.state = AddressState::Deprecated;
            }
        }
        let over = |own: &&Address| own.expires.is_some_and(|at| at <= now);
        let gone: Vec<IpAddr> = one
            .addresses
            .iter()
            .filter(over)
            .map(|own| own.ip)
            .collect();
        for ip in gone {
            self.remove_address(interface, ip, now);
        }
    }

    /// Whether packets to the address are for everybody on some link.
    pub fn is_broadcast(&self, ip: IpAddr) -> bool {
        let mut interfaces = self.interfaces.iter();
        interfaces.any(|interface| interface.is_broadcast(ip))
    }

    /// Whether packets to the address, of the interface if its scope is the link, are for this machine.
    pub(super) fn is_local(&self, ip: IpAddr) -> bool {
        self.interfaces.iter().any(|interface| interface.holds(ip))
    }

    /// An address with what makes it unique: the interface, if its scope is the link.
    pub(super) fn socket_address(&self, interface: usize, ip: IpAddr, port: u16) -> SocketAddr {
        match ip {
            IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
            IpAddr::V6(ip) => {
                let scope = match has_scope(ip) {
                    false => 0,
                    // To itself, a packet goes by way of the loopback interface.
                    true if interface == 0 => self
                        .interfaces
                        .iter()
                        .position(|one| one.holds(ip.into()))
                        .unwrap_or(0),
                    true => interface,
                };
                let scope = if has_scope(ip) { scope as u32 + 1 } else { 0 };
                SocketAddrV6::new(ip, port, 0, scope).into()
            }
        }
    }
}

/// Whether an address means something on one link only.
pub(super) fn has_scope(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local() || ip.is_multicast() && ip.octets()[1] & 15 <= 2
}

/// The interface that an address names, counted from 1; 0 for none.
pub(super) fn scope_of(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}
