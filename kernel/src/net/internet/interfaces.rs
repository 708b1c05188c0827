//! What the stack knows, as programs may see it: interfaces, their addresses, and routes. Netlink, the controls of
//! `netdevice(7)` and `/proc/net` tell it in their own words.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::sync::atomic::Ordering;

use pith_tcpip::stack::{self, NeighbourState};

use super::{configured_network, network};
use crate::devices::network::PairCounts;

/// Flags of interfaces (`IFF_…`).
pub mod flag {
    /// It is in use.
    pub const UP: u32 = 1;
    /// It has an address for everybody.
    pub const BROADCAST: u32 = 2;
    /// It leads to the machine itself.
    pub const LOOPBACK: u32 = 8;
    /// It works.
    pub const RUNNING: u32 = 0x40;
    /// It lets all frames through.
    pub const PROMISCUOUS: u32 = 0x100;
    /// It carries messages to groups.
    pub const MULTICAST: u32 = 0x1000;
    /// There is a signal.
    pub const LOWER_UP: u32 = 0x1_0000;
}

/// Frames that may wait to be sent (`txqueuelen`): Linux's standard, and what nothing here ever reaches, since what the
/// card can't take waits in the sockets.
pub const QUEUE_LENGTH: u32 = 1000;

/// `ARPHRD_LOOPBACK`, `ARPHRD_ETHER`
const LOOPBACK_HARDWARE: u16 = 772;
const ETHERNET_HARDWARE: u16 = 1;

/// Whether an interface works (RFC 2863, section 3.1.14), in the numbers of `IF_OPER_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationalState {
    /// Nobody knows: what Linux says of a loopback interface.
    Unknown = 0,
    /// It does not.
    Down = 2,
    /// It does.
    Up = 6,
}

impl OperationalState {
    /// Its name in `/sys`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Down => "down",
            Self::Up => "up",
        }
    }
}

/// What kind of hardware an interface is (`ARPHRD_…`).
pub fn hardware_kind(is_loopback: bool) -> u16 {
    match is_loopback {
        true => LOOPBACK_HARDWARE,
        false => ETHERNET_HARDWARE,
    }
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number, from 1 on.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// [`flag`]s.
    pub flags: u32,
    /// Bytes of an IP packet.
    pub mtu: u32,
    /// Its card's address; `None` for the loopback interface.
    pub hardware: Option<[u8; 6]>,
    /// Its addresses, and how many bits of each are the network's.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Interface {
    /// Whether it leads to the machine itself.
    pub fn is_loopback(&self) -> bool {
        self.hardware.is_none()
    }

    /// Whether there is a signal.
    pub fn has_signal(&self) -> bool {
        self.flags & flag::LOWER_UP != 0
    }

    /// Whether it works.
    pub fn state(&self) -> OperationalState {
        match self.hardware {
            None => OperationalState::Unknown,
            Some(_) if self.has_signal() && self.flags & flag::UP != 0 => OperationalState::Up,
            Some(_) => OperationalState::Down,
        }
    }

    /// What kind of hardware it is (`ARPHRD_…`).
    pub fn hardware_kind(&self) -> u16 {
        hardware_kind(self.is_loopback())
    }

    /// Its first address of IPv4.
    pub fn address_v4(&self) -> Option<(Ipv4Addr, u8)> {
        self.addresses.iter().find_map(|(address, prefix)| match address {
            IpAddr::V4(address) => Some((*address, *prefix)),
            IpAddr::V6(_) => None,
        })
    }

    /// The address from which packets to a network come that have none: one in it, or else the first one.
    fn source_near(&self, network: IpAddr, prefix: u8) -> Option<IpAddr> {
        let mut own = self.addresses.iter().map(|(address, _)| *address);
        let near = |address: &IpAddr| {
            address.is_ipv4() == network.is_ipv4() && network_of(*address, prefix) == network_of(network, prefix)
        };
        let inside = own.clone().find(near);
        inside.or_else(|| own.find(|address| network.is_ipv4() && address.is_ipv4()))
    }

    /// The address for everybody in an address's network; `None` where there is none.
    pub fn broadcast_of(&self, address: IpAddr, prefix: u8) -> Option<Ipv4Addr> {
        match address {
            IpAddr::V4(address) if !self.is_loopback() && prefix < 31 => {
                Some(Ipv4Addr::from_bits(address.to_bits() | !mask_v4(prefix)))
            }
            _ => None,
        }
    }
}

/// The bits of an address that are the network's.
pub fn mask_v4(prefix: u8) -> u32 {
    let host = 32_u32.saturating_sub(prefix.into());
    u32::MAX.checked_shl(host).unwrap_or(0)
}

/// An address without the bits that are not the network's.
pub fn network_of(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask_v4(prefix))),
        IpAddr::V6(address) => {
            let host = 128_u32.saturating_sub(prefix.into());
            let mask = u128::MAX.checked_shl(host).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Out, perhaps by way of a router.
    Unicast,
    /// To the machine itself.
    Local,
    /// To everybody on the network.
    Broadcast,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which addresses it is for,
    pub destination: IpAddr,
    /// and how many bits of them count.
    pub prefix: u8,
    /// The router.
    pub gateway: Option<IpAddr>,
    /// The address from which packets come that have none.
    pub source: Option<IpAddr>,
    /// The interface's number.
    pub interface: u32,
    /// Of two routes to a network, the lower one is used.
    pub metric: u32,
    /// Where it leads.
    pub way: Way,
}

impl Route {
    fn suits(&self, to: IpAddr) -> bool {
        self.destination.is_ipv4() == to.is_ipv4() && network_of(to, self.prefix) == self.destination
    }
}

fn describe(index: usize, interface: &stack::Interface) -> Interface {
    let hardware = interface.hardware.map(|address| address.0);
    let (name, flags) = match hardware {
        None => (String::from("lo"), flag::LOOPBACK),
        // Cards are counted from 0; the loopback interface is before them.
        Some(_) => (
            alloc::format!("eth{}", index.saturating_sub(1)),
            flag::BROADCAST | flag::MULTICAST,
        ),
    };
    let card = network().card(index);
    let signal = match card.is_none_or(|card| card.has_link()) {
        true => flag::RUNNING | flag::LOWER_UP,
        false => 0,
    };
    Interface {
        index: index as u32 + 1,
        name,
        flags: match interface.up {
            true => flags | flag::UP | signal,
            false => flags,
        },
        mtu: interface.mtu as u32,
        hardware,
        addresses: interface
            .addresses
            .iter()
            .filter(|own| own.is_usable())
            .map(|own| (own.ip, own.prefix))
            .collect(),
    }
}

/// What an interface has carried since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Packets that came.
    pub received_packets: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Packets that went.
    pub sent_packets: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Packets that came and were lost, for lack of memory or because the card described them wrongly.
    pub received_lost: u64,
    /// Packets that were to go and were lost, for lack of memory or because the card did not take them.
    pub sent_lost: u64,
}

/// What the interface of a number has carried.
pub fn traffic(index: u32) -> Counts {
    let Some(traffic) = network().traffic.get(index as usize - 1) else {
        return Counts::default();
    };
    let card = network().card(index as usize - 1);
    let (received_lost, sent_lost) = card.map_or((0, 0), |card| card.lost());
    Counts {
        received_packets: traffic.received_packets.load(Ordering::Relaxed),
        received_bytes: traffic.received_bytes.load(Ordering::Relaxed),
        sent_packets: traffic.sent_packets.load(Ordering::Relaxed),
        sent_bytes: traffic.sent_bytes.load(Ordering::Relaxed),
        received_lost,
        sent_lost,
    }
}

/// How many sockets see all frames that come by an interface, whomever they are for.
pub fn promiscuity(index: u32) -> u32 {
    let wanted = network().wanted_frames.get(index as usize - 1);
    wanted.map_or(0, |wanted| wanted.promiscuous.load(Ordering::Relaxed))
}

/// What each pair of queues of a card has carried.
pub fn queues(index: u32) -> Vec<PairCounts> {
    let card = network().card(index as usize - 1);
    card.map_or(Vec::new(), |card| card.queues())
}

/// All interfaces, in the order of their numbers.
pub fn all() -> Vec<Interface> {
    let stack = configured_network().stack.lock();
    let list = stack.interfaces().iter().enumerate();
    list.map(|(index, interface)| describe(index, interface)).collect()
}

/// The interface of a name.
pub fn by_name(name: &[u8]) -> Option<Interface> {
    all().into_iter().find(|interface| interface.name.as_bytes() == name)
}

/// The interface of a number.
pub fn by_index(index: u32) -> Option<Interface> {
    all().into_iter().find(|interface| interface.index == index)
}

/// A station on one of the machine's links.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour {
    /// The interface's number.
    pub interface: u32,
    /// Its address.
    pub ip: IpAddr,
    /// Its card's address; `None` while it is asked for.
    pub hardware: Option<[u8; 6]>,
    /// What is known of it.
    pub state: NeighbourState,
}

/// The stations that are known.
pub fn neighbours() -> Vec<Neighbour> {
    let stack = network().stack.lock();
    let list = stack.neighbours();
    list.map(|(interface, ip, hardware, state)| Neighbour {
        interface: interface as u32 + 1,
        ip,
        hardware: hardware.map(|address| address.0),
        state,
    })
    .collect()
}

/// A group that an interface listens to.
pub struct Group {
    /// The interface.
    pub interface: u32,
    /// Its address.
    pub ip: IpAddr,
    /// How many sockets and addresses want it.
    pub users: u32,
}

/// The groups that interfaces listen to, by interface.
pub fn groups() -> Vec<Group> {
    let stack = configured_network().stack.lock();
    let all = stack.interfaces().iter().zip(1..);
    all.flat_map(|(one, interface)| {
        one.groups.iter().map(move |group| Group {
            interface,
            ip: group.ip,
            users: group.users,
        })
    })
    .collect()
}

/// All routes: those that lead out first, then those to the machine itself.
pub fn routes() -> Vec<Route> {
    let interfaces = all();
    let mut out: Vec<Route> = {
        let stack = configured_network().stack.lock();
        let table = stack.routes().iter();
        table
            .map(|one| Route {
                destination: network_of(one.network, one.prefix),
                prefix: one.prefix,
                gateway: one.gateway,
                source: interfaces[one.interface].source_near(one.network, one.prefix),
                interface: one.interface as u32 + 1,
                metric: one.metric,
                way: Way::Unicast,
            })
            .collect()
    };
    let route = |interface: &Interface, destination: IpAddr, prefix, source, way| Route {
        destination,
        prefix,
        gateway: None,
        source: Some(source),
        interface: interface.index,
        metric: 0,
        way,
    };
    let mut local = Vec::new();
    for interface in &interfaces {
        for &(address, prefix) in &interface.addresses {
            let network = network_of(address, prefix);
            if interface.is_loopback() && address.is_ipv4() {
                local.push(route(interface, network, prefix, address, Way::Local));
            }
            local.push(route(
                interface,
                address,
                if address.is_ipv4() { 32 } else { 128 },
                address,
                Way::Local,
            ));
            if let Some(everybody) = interface.broadcast_of(address, prefix) {
                local.push(route(interface, IpAddr::V4(everybody), 32, address, Way::Broadcast));
            }
        }
    }
    out.extend(local);
    out
}

/// The route that packets to an address take: the one of which most bits count.
pub fn route_to(to: IpAddr) -> Option<Route> {
    routes()
        .into_iter()
        .filter(|route| route.suits(to))
        .max_by_key(|route| (route.prefix, route.way != Way::Unicast))
}
