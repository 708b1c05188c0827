//! Options of datagram sockets about groups (`ip(7)`, `ipv6(7)`): which they listen to, and how they send to them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pith_linux::Errno;
use pith_tcpip::stack::Manner;

use super::errors::errno;
use super::ip_options::{IP, IPV6};
use super::socket::InternetSocket;
use super::{interfaces, now};

/// Options of [`IP`] (`IP_MULTICAST_…`, `IP_ADD_MEMBERSHIP`, `IP_DROP_MEMBERSHIP`).
mod v4 {
    pub const INTERFACE: i32 = 32;
    pub const HOPS: i32 = 33;
    pub const LOOP: i32 = 34;
    pub const JOIN: i32 = 35;
    pub const LEAVE: i32 = 36;
}

/// Options of [`IPV6`] (`IPV6_MULTICAST_…`, `IPV6_JOIN_GROUP`, `IPV6_LEAVE_GROUP`).
mod v6 {
    pub const INTERFACE: i32 = 17;
    pub const HOPS: i32 = 18;
    pub const LOOP: i32 = 19;
    pub const JOIN: i32 = 20;
    pub const LEAVE: i32 = 21;
}

/// How a socket sends to groups.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    hops: u8,
    loops: bool,
    interface: u32,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            hops: 1,
            loops: true,
            interface: 0,
        }
    }
}

impl Groups {
    /// Makes a socket send so.
    pub fn apply(&self, manner: &mut Manner) {
        manner.group_hops = self.hops;
        manner.group_loop = self.loops;
        manner.group_interface = self.interface;
    }
}

fn integer(value: &[u8]) -> Option<i32> {
    value.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
}

fn address_at(value: &[u8], offset: usize) -> Option<Ipv4Addr> {
    let bytes: &[u8; 4] = value.get(offset..)?.first_chunk()?;
    Some(Ipv4Addr::from(*bytes))
}

/// The interface that `struct ip_mreqn` or `struct ip_mreq` names behind the group: by its number, or by an address.
fn interface_of(value: &[u8], missing: Errno) -> Result<u32, Errno> {
    if let Some(index) = value.get(8..).and_then(integer)
        && index != 0
    {
        let index = index as u32;
        return interfaces::by_index(index).map(|_| index).ok_or(missing);
    }
    match address_at(value, 4) {
        None | Some(Ipv4Addr::UNSPECIFIED) => Ok(0),
        Some(address) => interface_with(address).ok_or(missing),
    }
}

fn interface_with(address: Ipv4Addr) -> Option<u32> {
    let holds = |one: &interfaces::Interface| one.addresses.iter().any(|(own, _)| *own == IpAddr::V4(address));
    interfaces::all().into_iter().find(holds).map(|one| one.index)
}

impl InternetSocket {
    /// Sets an option about groups; `None` if it is none.
    pub(super) fn set_group_option(&self, level: i32, name: i32, value: &[u8]) -> Option<Result<(), Errno>> {
        let result = match (level, name) {
            (IP, v4::JOIN | v4::LEAVE) => self.change_membership_v4(name == v4::JOIN, value),
            (IPV6, v6::JOIN | v6::LEAVE) => self.change_membership_v6(name == v6::JOIN, value),
            (IP, v4::INTERFACE) => set_interface_v4(value).map(|index| self.groups.lock().interface = index),
            (IPV6, v6::INTERFACE) => set_interface_v6(integer(value)).map(|index| self.groups.lock().interface = index),
            (IP, v4::HOPS) | (IPV6, v6::HOPS) => {
                // A byte will do for IPv4.
                let number = integer(value).or(value.first().map(|byte| (*byte).into()));
                match number {
                    Some(-1) => Ok(1),
                    Some(number) => u8::try_from(number).map_err(|_| Errno::EINVAL),
                    None => Err(Errno::EINVAL),
                }
                .map(|hops| self.groups.lock().hops = hops)
            }
            (IP, v4::LOOP) | (IPV6, v6::LOOP) => {
                let number = integer(value).or(value.first().map(|byte| (*byte).into()));
                match number {
                    Some(number) if level == IP || matches!(number, 0 | 1) => Ok(number != 0),
                    _ => Err(Errno::EINVAL),
                }
                .map(|loops| self.groups.lock().loops = loops)
            }
            _ => return None,
        };
        if self.is_stream() {
            return Some(Err(match (level, name) {
                (IP, v4::JOIN | v4::LEAVE) | (IPV6, v6::JOIN | v6::LEAVE) => Errno::EPROTO,
                (IP, _) => Errno::EINVAL,
                _ => Errno::ENOPROTOOPT,
            }));
        }
        Some(result)
    }

    /// The value of an option about groups; `None` if it is none, or has no value.
    pub(super) fn group_option(&self, level: i32, name: i32) -> Option<i32> {
        let groups = *self.groups.lock();
        Some(match (level, name) {
            (IP, v4::HOPS) | (IPV6, v6::HOPS) => groups.hops.into(),
            (IP, v4::LOOP) | (IPV6, v6::LOOP) => groups.loops.into(),
            (IPV6, v6::INTERFACE) => groups.interface as i32,
            (IP, v4::INTERFACE) => {
                let one = interfaces::by_index(groups.interface);
                let own = one.and_then(|one| one.address_v4());
                own.map_or(0, |(address, _)| i32::from_ne_bytes(address.octets()))
            }
            _ => return None,
        })
    }

    fn change_membership_v4(&self, join: bool, value: &[u8]) -> Result<(), Errno> {
        if value.len() < 8 {
            return Err(Errno::EINVAL);
        }
        let group = address_at(value, 0).ok_or(Errno::EINVAL)?;
        if !group.is_multicast() {
            return Err(if join { Errno::EINVAL } else { Errno::EADDRNOTAVAIL });
        }
        let interface = interface_of(value, Errno::ENODEV)?;
        self.change_membership(join, group.into(), interface)
    }

    fn change_membership_v6(&self, join: bool, value: &[u8]) -> Result<(), Errno> {
        let (group, interface) = value.split_first_chunk::<16>().ok_or(Errno::EINVAL)?;
        let interface = integer(interface).ok_or(Errno::EINVAL)? as u32;
        let group = Ipv6Addr::from(*group);
        if !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        self.change_membership(join, group.into(), interface)
    }

    fn change_membership(&self, join: bool, group: IpAddr, interface: u32) -> Result<(), Errno> {
        let handle = self.handle;
        let result = self.network.with(|stack, _| match join {
            true => stack.udp_join(handle, group, interface, now()),
            false => stack.udp_leave(handle, group, interface, now()),
        });
        result.map_err(errno)
    }
}

fn set_interface_v4(value: &[u8]) -> Result<u32, Errno> {
    if value.len() >= 8 {
        return interface_of(value, Errno::EADDRNOTAVAIL);
    }
    match address_at(value, 0) {
        None => Err(Errno::EINVAL),
        Some(Ipv4Addr::UNSPECIFIED) => Ok(0),
        Some(address) => interface_with(address).ok_or(Errno::EADDRNOTAVAIL),
    }
}

fn set_interface_v6(index: Option<i32>) -> Result<u32, Errno> {
    match index {
        None => Err(Errno::EINVAL),
        Some(0) => Ok(0),
        Some(index) => match interfaces::by_index(index as u32) {
            Some(_) => Ok(index as u32),
            None => Err(Errno::ENODEV),
        },
    }
}
