//! Options of IP and UDP (`ip(7)`, `ipv6(7)`, `udp(7)`), and the ancillary data that belongs to them.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use pith_linux::Errno;
use pith_linux::sockets::family;
use pith_tcpip::stack::{Carrier, Discovery, Exception, Manner};
use pith_tcpip::wire::ip::{HOPS, Marking};

use super::name;
use crate::net::message::{Ancillary, ControlMessage};

/// The level of options of IP.
pub const IP: i32 = 0;
/// That of IPv6.
pub const IPV6: i32 = 41;
/// That of UDP.
pub const UDP: i32 = 17;

/// Options of [`IP`] (`IP_…`).
#[allow(missing_docs, reason = "ip(7) explains them under these names")]
pub mod v4 {
    pub const SERVICE: i32 = 1;
    pub const HOPS: i32 = 2;
    pub const PACKET_INFORMATION: i32 = 8;
    pub const DISCOVER_MTU: i32 = 10;
    pub const RECEIVE_ERRORS: i32 = 11;
    pub const RECEIVE_HOPS: i32 = 12;
    pub const RECEIVE_SERVICE: i32 = 13;
    pub const MTU: i32 = 14;
    pub const FREE_BIND: i32 = 15;
    pub const TRANSPARENT: i32 = 19;
    pub const RECEIVE_DESTINATION: i32 = 20;
    pub const BIND_ADDRESS_NO_PORT: i32 = 24;
    pub const UNICAST_INTERFACE: i32 = 50;
}

/// Options of [`IPV6`] (`IPV6_…`).
#[allow(missing_docs, reason = "ipv6(7) explains them under these names")]
pub mod v6 {
    pub const HOPS: i32 = 16;
    pub const DISCOVER_MTU: i32 = 23;
    pub const MTU: i32 = 24;
    pub const RECEIVE_ERRORS: i32 = 25;
    pub const RECEIVE_PACKET_INFORMATION: i32 = 49;
    pub const PACKET_INFORMATION: i32 = 50;
    pub const RECEIVE_HOP_LIMIT: i32 = 51;
    pub const HOP_LIMIT: i32 = 52;
    pub const DO_NOT_FRAGMENT: i32 = 62;
    pub const RECEIVE_CLASS: i32 = 66;
    pub const CLASS: i32 = 67;
    pub const TRANSPARENT: i32 = 75;
    pub const UNICAST_INTERFACE: i32 = 76;
    pub const FREE_BIND: i32 = 78;
}

/// Options of [`UDP`] (`UDP_…`).
pub mod udp {
    /// Small datagrams become one.
    pub const CORK: i32 = 1;
    /// What is sent is cut into datagrams of this length.
    pub const SEGMENT: i32 = 103;
    /// Datagrams may be received several at a time, which never happens here.
    pub const RECEIVE_SEGMENTS: i32 = 104;
}

/// `INET_ECN_MASK`
const CONGESTION_BITS: u8 = 3;

/// What a program has chosen.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    service: u8,
    class: u8,
    hops: Option<u8>,
    hops_v6: Option<u8>,
    discover_mtu: u8,
    discover_mtu_v6: u8,
    interface: u32,
    interface_v6: u32,
    /// The options of [`SWITCHES`] that are on, as bits.
    switches: u32,
    /// The length into which datagrams are cut; 0 for not at all.
    pub segment: u16,
}

impl Default for Chosen {
    fn default() -> Self {
        Self {
            service: 0,
            class: 0,
            hops: None,
            hops_v6: None,
            // `IP_PMTUDISC_WANT`
            discover_mtu: 1,
            discover_mtu_v6: 1,
            interface: 0,
            interface_v6: 0,
            switches: 0,
            segment: 0,
        }
    }
}

/// Options that are on or off, by level and number.
const SWITCHES: [(i32, i32); 14] = [
    (IP, v4::PACKET_INFORMATION),
    (IP, v4::RECEIVE_ERRORS),
    (IP, v4::RECEIVE_HOPS),
    (IP, v4::RECEIVE_SERVICE),
    (IP, v4::RECEIVE_DESTINATION),
    (IP, v4::BIND_ADDRESS_NO_PORT),
    (IP, v4::FREE_BIND),
    (IPV6, v6::RECEIVE_ERRORS),
    (IPV6, v6::RECEIVE_PACKET_INFORMATION),
    (IPV6, v6::RECEIVE_HOP_LIMIT),
    (IPV6, v6::DO_NOT_FRAGMENT),
    (IPV6, v6::RECEIVE_CLASS),
    (UDP, udp::CORK),
    (UDP, udp::RECEIVE_SEGMENTS),
];

/// A number as these levels take it: a byte will do, and for IPv6 what is too short is 0.
fn number_of(level: i32, value: &[u8]) -> Result<i32, Errno> {
    if let Some(bytes) = value.first_chunk() {
        return Ok(i32::from_ne_bytes(*bytes));
    }
    match (level, value) {
        (IP, [byte, ..]) => Ok((*byte).into()),
        (IP, []) => Err(Errno::EINVAL),
        (UDP, _) => Err(Errno::EINVAL),
        _ => Ok(0),
    }
}

/// A number of hops; -1 for the usual one.
fn hops_of(number: i32, least: i32) -> Result<Option<u8>, Errno> {
    match number {
        -1 => Ok(None),
        number if (least..=255).contains(&number) => Ok(Some(number as u8)),
        _ => Err(Errno::EINVAL),
    }
}

impl Chosen {
    /// Whether an option is on.
    pub fn is_on(&self, level: i32, name: i32) -> bool {
        let index = SWITCHES.iter().position(|known| *known == (level, name));
        index.is_some_and(|index| self.switches & 1 << index != 0)
    }

    /// The value of an option; `None` if it is not known here.
    pub fn get(&self, level: i32, name: i32) -> Option<i32> {
        Some(match (level, name) {
            (IP, v4::SERVICE) => self.service.into(),
            (IP, v4::HOPS) => self.hops.unwrap_or(HOPS).into(),
            (IP, v4::DISCOVER_MTU) => self.discover_mtu.into(),
            (IP, v4::TRANSPARENT) | (IPV6, v6::TRANSPARENT) => 0,
            (IP, v4::UNICAST_INTERFACE) => self.interface.to_be() as i32,
            (IPV6, v6::HOPS) => self.hops_v6.unwrap_or(HOPS).into(),
            (IPV6, v6::DISCOVER_MTU) => self.discover_mtu_v6.into(),
            (IPV6, v6::CLASS) => self.class.into(),
            (IPV6, v6::UNICAST_INTERFACE) => self.interface_v6.to_be() as i32,
            (UDP, udp::SEGMENT) => self.segment.into(),
            // The same for both.
            (IPV6, v6::FREE_BIND) => self.is_on(IP, v4::FREE_BIND).into(),
            _ if SWITCHES.contains(&(level, name)) => self.is_on(level, name).into(),
            _ => return None,
        })
    }

    /// Sets an option.
    ///
    /// # Errors
    /// `EINVAL`, `EPERM`; `ENOPROTOOPT` if it is not known here.
    pub fn set(&mut self, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        let number = number_of(level, value)?;
        let byte = |most: u8| {
            u8::try_from(number)
                .ok()
                .filter(|byte| *byte <= most)
                .ok_or(Errno::EINVAL)
        };
        match (level, name) {
            (IP, v4::SERVICE) => self.service = number as u8,
            (IP, v4::HOPS) => self.hops = hops_of(number, 1)?,
            (IP, v4::DISCOVER_MTU) => self.discover_mtu = byte(5)?,
            // For whom may change the network itself.
            (IP, v4::TRANSPARENT) | (IPV6, v6::TRANSPARENT) if number != 0 => return Err(Errno::EPERM),
            (IP, v4::TRANSPARENT) | (IPV6, v6::TRANSPARENT) => {}
            (IP, v4::UNICAST_INTERFACE) => self.interface = existing(number)?,
            (IPV6, v6::UNICAST_INTERFACE) => self.interface_v6 = existing(number)?,
            (IPV6, v6::HOPS) => self.hops_v6 = hops_of(number, 0)?,
            (IPV6, v6::DISCOVER_MTU) => self.discover_mtu_v6 = byte(5)?,
            (IPV6, v6::CLASS) => self.class = if number == -1 { 0 } else { byte(255)? },
            (UDP, udp::SEGMENT) => self.segment = u16::try_from(number).map_err(|_| Errno::EINVAL)?,
            _ => {
                let known = match (level, name) {
                    (IPV6, v6::FREE_BIND) => (IP, v4::FREE_BIND),
                    other => other,
                };
                let index = SWITCHES.iter().position(|one| *one == known);
                let bit = 1 << index.ok_or(Errno::ENOPROTOOPT)?;
                self.switches = self.switches & !bit | if number != 0 { bit } else { 0 };
            }
        }
        Ok(())
    }

    /// Hops and service of packets to a peer, where they are not the usual ones.
    pub fn of_packets(&self, v4: bool) -> (Option<u8>, u8) {
        match v4 {
            true => (self.hops, self.service),
            false => (self.hops_v6, self.class),
        }
    }

    /// The bits of `IP_TOS` and `IPV6_TCLASS` that routers set (RFC 3168) stay what they were.
    pub fn leave_congestion_bits(&mut self, before: Self) {
        let keep = |new: u8, old: u8| new & !CONGESTION_BITS | old & CONGESTION_BITS;
        self.service = keep(self.service, before.service);
        self.class = keep(self.class, before.class);
    }

    /// What headers of IPv4 and of IPv6 say.
    pub fn markings(&self) -> [Marking; 2] {
        [true, false].map(|v4| {
            let (hops, service) = self.of_packets(v4);
            Marking {
                hops: hops.unwrap_or(HOPS),
                service,
            }
        })
    }

    /// How a socket of a family sends.
    pub fn manner(&self, family: u16) -> Manner {
        let v4 = family == family::INTERNET;
        let (hops, service) = self.of_packets(v4);
        // `IP_PMTUDISC_DONT` and its kin.
        let discovery = match if v4 { self.discover_mtu } else { self.discover_mtu_v6 } {
            _ if !v4 && self.is_on(IPV6, v6::DO_NOT_FRAGMENT) => Discovery::Always,
            0 | 5 => Discovery::Never,
            2 => Discovery::Always,
            3 | 4 => Discovery::Probe,
            _ => Discovery::Usual,
        };
        Manner {
            hops: hops.unwrap_or(HOPS),
            service,
            discovery,
            broadcast: false,
            reports_v4: self.is_on(IP, v4::RECEIVE_ERRORS),
            reports_v6: self.is_on(IPV6, v6::RECEIVE_ERRORS),
            ..Manner::default()
        }
    }

    /// What is different for one datagram, by what was chosen and by what comes with it. Also the length into which it
    /// is cut.
    ///
    /// # Errors
    /// `EINVAL` for ancillary data that makes no sense.
    pub fn exception(&self, to: IpAddr, device: u32, ancillary: &Ancillary) -> Result<(Exception, u16), Errno> {
        let v4 = to.is_ipv4();
        let (hops, service) = self.of_packets(v4);
        let interface = if v4 { self.interface } else { self.interface_v6 };
        let mut exception = Exception {
            source: None,
            interface: if device != 0 { device } else { interface },
            // Those to groups are another option.
            hops: (!to.is_multicast()).then_some(hops.unwrap_or(HOPS)),
            service: Some(service),
        };
        let mut segment = self.segment;
        for message in &ancillary.others {
            let bytes = &message.bytes[..];
            let integer = bytes.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
            match (message.level, message.kind) {
                (IP, v4::PACKET_INFORMATION) if v4 => {
                    let information: &[u8; 12] = bytes.try_into().map_err(|_| Errno::EINVAL)?;
                    let [a, b, c, d, e, f, g, h, ..] = *information;
                    choose(
                        &mut exception,
                        u32::from_ne_bytes([a, b, c, d]),
                        Ipv4Addr::new(e, f, g, h).into(),
                    );
                }
                (IPV6, v6::PACKET_INFORMATION) => {
                    let information: &[u8; 20] = bytes.first_chunk().ok_or(Errno::EINVAL)?;
                    let (address, interface) = information.split_first_chunk::<16>().ok_or(Errno::EINVAL)?;
                    let address = Ipv6Addr::from(*address);
                    let address = address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4);
                    if address.is_ipv4() != v4 && !address.is_unspecified() {
                        return Err(Errno::EINVAL);
                    }
                    let interface = interface.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
                    choose(&mut exception, interface, address);
                }
                (IP, v4::HOPS) if v4 => {
                    let number = integer.filter(|number| (1..=255).contains(number));
                    exception.hops = Some(number.ok_or(Errno::EINVAL)? as u8);
                }
                (IPV6, v6::HOP_LIMIT) => {
                    exception.hops = Some(hops_of(integer.ok_or(Errno::EINVAL)?, 0)?.unwrap_or(HOPS))
                }
                (IP, v4::SERVICE) if v4 => {
                    let number = integer.or(bytes.first().map(|byte| (*byte).into()));
                    let number = number.filter(|number| (0..=255).contains(number));
                    exception.service = Some(number.ok_or(Errno::EINVAL)? as u8);
                }
                (IPV6, v6::CLASS) => {
                    let number = integer.filter(|number| (-1..=255).contains(number));
                    exception.service = Some(number.ok_or(Errno::EINVAL)?.max(0) as u8);
                }
                (UDP, udp::SEGMENT) => {
                    let length: &[u8; 2] = bytes.try_into().map_err(|_| Errno::EINVAL)?;
                    segment = u16::from_ne_bytes(*length);
                }
                (IP | IPV6 | UDP, _) => return Err(Errno::EINVAL),
                _ => {}
            }
        }
        Ok((exception, segment))
    }

    /// What a program wants to know about a datagram beside its data.
    pub fn describe(&self, family: u16, carrier: &Carrier, ancillary: &mut Ancillary) {
        let mut put = |level, kind, bytes: &[u8]| {
            ancillary.others.push(ControlMessage {
                level,
                kind,
                bytes: Vec::from(bytes),
            });
        };
        let index = carrier.interface as u32 + 1;
        let v4 = carrier.destination.is_ipv4();
        if family != family::INTERNET && self.is_on(IPV6, v6::RECEIVE_PACKET_INFORMATION) {
            let address = match carrier.destination.ip() {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            let mut bytes = [0; 20];
            bytes[..16].copy_from_slice(&address.octets());
            bytes[16..].copy_from_slice(&index.to_ne_bytes());
            put(IPV6, v6::PACKET_INFORMATION, &bytes);
        }
        if !v4 {
            if self.is_on(IPV6, v6::RECEIVE_HOP_LIMIT) {
                put(IPV6, v6::HOP_LIMIT, &i32::from(carrier.hops).to_ne_bytes());
            }
            if self.is_on(IPV6, v6::RECEIVE_CLASS) {
                put(IPV6, v6::CLASS, &i32::from(carrier.service).to_ne_bytes());
            }
            return;
        }
        if self.is_on(IP, v4::PACKET_INFORMATION) {
            put(IP, v4::PACKET_INFORMATION, &information_v4(index, carrier.destination));
        }
        if self.is_on(IP, v4::RECEIVE_HOPS) {
            put(IP, v4::HOPS, &i32::from(carrier.hops).to_ne_bytes());
        }
        if self.is_on(IP, v4::RECEIVE_SERVICE) {
            put(IP, v4::SERVICE, &[carrier.service]);
        }
        if self.is_on(IP, v4::RECEIVE_DESTINATION) {
            let shown = name::shown(family::INTERNET, carrier.destination);
            put(IP, v4::RECEIVE_DESTINATION, shown.bytes());
        }
    }
}

/// The number of an interface, in network order; 0 for none.
fn existing(number: i32) -> Result<u32, Errno> {
    let index = u32::from_be(number as u32);
    match index == 0 || super::interfaces::by_index(index).is_some() {
        true => Ok(index),
        false => Err(Errno::EADDRNOTAVAIL),
    }
}

fn choose(exception: &mut Exception, interface: u32, address: IpAddr) {
    if interface != 0 {
        exception.interface = interface;
    }
    if !address.is_unspecified() {
        exception.source = Some(address);
    }
}

/// `struct in_pktinfo`: the interface, the address for answers, and that to which the packet was sent.
fn information_v4(index: u32, destination: SocketAddr) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&index.to_ne_bytes());
    if let IpAddr::V4(to) = destination.ip() {
        let own = super::own_address(index, to);
        bytes[4..8].copy_from_slice(&own.octets());
        bytes[8..].copy_from_slice(&to.octets());
    }
    bytes
}
