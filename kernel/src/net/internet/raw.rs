//! Sockets of what is inside of packets: raw ones (`raw(7)`), and those of echoes (`icmp(7)`, `ping_group_range`). All
//! else about them is as with datagrams.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::sockets::{SocketKind, family};
use pith_tcpip::Slice;
use pith_tcpip::stack::{Error, Exception, Reach, Role};
use pith_tcpip::wire::{icmp, icmpv6, ip};

use super::Memory;
use super::errors::errno;
use super::ip_options::{IP, IPV6, UDP};
use super::socket::InternetSocket;
use crate::fs::proc::Text;
use crate::net::options::OptionValue;

/// The protocol under which packets are sent with headers of their own (`IPPROTO_RAW`), which is also a level of options
/// (`SOL_RAW`).
const RAW: i32 = 255;
/// `IPPROTO_ICMP`
const ICMP: i32 = ip::ICMP as i32;
/// `IPPROTO_ICMPV6`, also a level of options.
const ICMPV6: i32 = ip::ICMPV6 as i32;
/// `ICMP_FILTER` of [`RAW`], `ICMP6_FILTER` of [`ICMPV6`].
const FILTER: i32 = 1;
/// `IP_HDRINCL`, `IPV6_HDRINCL`
const OWN_HEADER: i32 = 3;
const OWN_HEADER_V6: i32 = 36;
/// Bytes of an option that is a number.
const INTEGER: usize = size_of::<i32>();
/// `IPV6_CHECKSUM`
const CHECKSUM: i32 = 7;
/// Bytes of a filter of ICMP, and of ICMP for IPv6.
const FILTER_V4: usize = 4;
const FILTER_V6: usize = 32;
/// The highest number of a group (`net.ipv4.ping_group_range`).
const HIGHEST_GROUP: u32 = i32::MAX as u32;
/// The only group of processes here.
const OWN_GROUP: u32 = 0;

/// Groups whose processes may have sockets of echoes: the first and, in the upper half, the last. As on Linux, nobody's at
/// first.
static PING_GROUPS: AtomicU64 = AtomicU64::new(1);

/// The first and the last group.
fn groups() -> (u32, u32) {
    let groups = PING_GROUPS.load(Ordering::Relaxed);
    (groups as u32, (groups >> 32) as u32)
}

/// `/proc/sys/net/ipv4/ping_group_range`
pub fn ping_groups(text: &mut Text) -> Result<(), Errno> {
    let (first, last) = groups();
    writeln!(text, "{first}\t{last}")
}

/// What is written to it.
pub fn set_ping_groups(bytes: &[u8]) -> Result<(), Errno> {
    let words = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    let (first, last) = groups();
    let mut numbers = [first, last];
    for (number, word) in numbers.iter_mut().zip(words.split_ascii_whitespace()) {
        *number = word.parse().map_err(|_| Errno::EINVAL)?;
        if *number > HIGHEST_GROUP {
            return Err(Errno::EINVAL);
        }
    }
    let [mut first, mut last] = numbers;
    if last < first {
        (first, last) = (1, 0);
    }
    PING_GROUPS.store(u64::from(first) | u64::from(last) << 32, Ordering::Relaxed);
    Ok(())
}

/// What a socket of neither TCP nor UDP does.
///
/// # Errors
/// `EPROTONOSUPPORT`; `EACCES` if the process may not have it.
pub fn role_of(of_family: u16, kind: SocketKind, protocol: i32) -> Result<Role, Errno> {
    let v4 = of_family == family::INTERNET;
    if kind == SocketKind::Raw {
        let reach = if v4 { Reach::V4 } else { Reach::V6 };
        return match u8::try_from(protocol) {
            Ok(0) | Err(_) => Err(Errno::EPROTONOSUPPORT),
            Ok(number) => Ok(Role::raw(number, reach)),
        };
    }
    let echoes = if v4 { ICMP } else { ICMPV6 };
    let (first, last) = groups();
    match protocol == echoes {
        false => Err(Errno::EPROTONOSUPPORT),
        true if (first..=last).contains(&OWN_GROUP) => Ok(Role::Echoes),
        true => Err(Errno::EACCES),
    }
}

/// The number of the protocol of a socket of the family.
pub fn protocol_of(of_family: u16, role: Role) -> i32 {
    match role {
        Role::Datagrams => UDP,
        Role::Echoes if of_family == family::INTERNET => ICMP,
        Role::Echoes => ICMPV6,
        Role::Raw { protocol, .. } => protocol.into(),
    }
}

impl InternetSocket {
    fn role(&self) -> Role {
        let role = self.network.stack.lock().role(self.handle);
        role.unwrap_or(Role::Datagrams)
    }

    /// The peer of a packet: raw sockets of IPv6 may be told the protocol in place of a port, which must be theirs.
    pub(super) fn without_protocol(&self, mut to: SocketAddr) -> Result<SocketAddr, Errno> {
        if let Role::Raw { protocol, .. } = self.role() {
            if self.family != family::INTERNET && to.port() != 0 && to.port() != u16::from(protocol) {
                return Err(Errno::EINVAL);
            }
            to.set_port(0);
        }
        Ok(to)
    }

    /// Sends what is inside of a packet.
    pub(super) fn send_raw(
        &self,
        to: Option<SocketAddr>,
        data: Slice<Memory>,
        exception: Exception,
    ) -> Result<(), Errno> {
        if self.role() == Role::Echoes {
            let request = match self.family {
                family::INTERNET => icmp::ECHO,
                _ => icmpv6::ECHO,
            };
            // Nothing but requests can be sent.
            if data.len() < icmp::HEADER || data[..2] != [request, 0] {
                return Err(Errno::EINVAL);
            }
        }
        let sent = self
            .network
            .with(|stack, now| stack.raw_send_as(self.handle, to, data, exception, now));
        sent.map_err(|error| match error {
            // From an address that is not ours, no way leads anywhere.
            Error::NotLocal => Errno::ENETUNREACH,
            error => errno(error),
        })
    }

    /// The value of an option that only these sockets have, or that they don't have.
    pub(super) fn raw_option(&self, level: i32, name: i32) -> Option<Result<OptionValue, Errno>> {
        if self.is_stream() || self.is_udp() {
            return None;
        }
        let Role::Raw {
            protocol,
            checksum,
            blocked,
            own_header,
        } = self.role()
        else {
            return (level == UDP).then_some(Err(Errno::EOPNOTSUPP));
        };
        let v4 = self.family == family::INTERNET;
        let filter = |length: usize| {
            let bytes = blocked.iter().flat_map(|word| word.to_ne_bytes());
            Ok(OptionValue::Bytes(bytes.take(length).collect()))
        };
        Some(match (level, name) {
            (RAW, FILTER) if v4 && protocol == ip::ICMP => filter(FILTER_V4),
            (RAW, FILTER) if v4 => Err(Errno::EOPNOTSUPP),
            (ICMPV6, FILTER) if !v4 && protocol == ip::ICMPV6 => filter(FILTER_V6),
            (ICMPV6, _) if !v4 && protocol != ip::ICMPV6 => Err(Errno::EOPNOTSUPP),
            (IPV6 | RAW, CHECKSUM) if !v4 => Ok(OptionValue::Integer(checksum.map_or(-1, i32::from))),
            (IP, OWN_HEADER) if v4 => Ok(OptionValue::Integer(own_header.into())),
            (IPV6 | RAW, OWN_HEADER_V6) if !v4 => Ok(OptionValue::Integer(own_header.into())),
            (UDP, _) => Err(Errno::EOPNOTSUPP),
            (RAW | ICMPV6, _) => Err(Errno::ENOPROTOOPT),
            _ => return None,
        })
    }

    /// Sets such an option.
    pub(super) fn set_raw_option(&self, level: i32, name: i32, value: &[u8]) -> Option<Result<(), Errno>> {
        if self.is_stream() || self.is_udp() {
            return ((level, name) == (IP, OWN_HEADER)).then_some(Err(Errno::ENOPROTOOPT));
        }
        let Role::Raw {
            protocol,
            mut checksum,
            mut blocked,
            mut own_header,
        } = self.role()
        else {
            return (level == UDP).then_some(Err(Errno::ENOPROTOOPT));
        };
        let v4 = self.family == family::INTERNET;
        let mut filter = |length: usize| {
            let mut bytes: Vec<u8> = blocked.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let length = length.min(value.len());
            bytes[..length].copy_from_slice(&value[..length]);
            let (words, _) = bytes.as_chunks();
            for (word, bytes) in blocked.iter_mut().zip(words) {
                *word = u32::from_ne_bytes(*bytes);
            }
        };
        match (level, name) {
            (RAW, FILTER) if v4 && protocol == ip::ICMP => filter(FILTER_V4),
            (RAW, FILTER) if v4 => return Some(Err(Errno::EOPNOTSUPP)),
            (ICMPV6, FILTER) if !v4 && protocol == ip::ICMPV6 => filter(FILTER_V6),
            (ICMPV6, _) if !v4 && protocol != ip::ICMPV6 => return Some(Err(Errno::EOPNOTSUPP)),
            (IPV6 | RAW, CHECKSUM) if !v4 => match checksum_place(level, protocol, value) {
                Ok(place) => checksum = place,
                Err(errno) => return Some(Err(errno)),
            },
            (IP, OWN_HEADER) if v4 => match value.is_empty() {
                true => return Some(Err(Errno::EINVAL)),
                false => own_header = value.iter().take(INTEGER).any(|byte| *byte != 0),
            },
            (IPV6 | RAW, OWN_HEADER_V6) if !v4 => match value.first_chunk::<INTEGER>() {
                None => return Some(Err(Errno::EINVAL)),
                Some(number) => own_header = *number != [0; INTEGER],
            },
            (RAW | UDP | ICMPV6, _) => return Some(Err(Errno::ENOPROTOOPT)),
            _ => return None,
        }
        let role = Role::Raw {
            protocol,
            checksum,
            blocked,
            own_header,
        };
        let changed = self.network.stack.lock().set_role(self.handle, role);
        Some(changed.map_err(errno))
    }
}

/// `IPV6_CHECKSUM`: where the checksum is; none for a negative number.
fn checksum_place(level: i32, protocol: u8, value: &[u8]) -> Result<Option<u16>, Errno> {
    let bytes = value.first_chunk().ok_or(Errno::EINVAL)?;
    let place = i32::from_ne_bytes(*bytes);
    // That of ICMP is where RFC 3542, section 3.1, has it.
    if protocol == ip::ICMPV6 && level == IPV6 || place > 0 && place % 2 != 0 {
        return Err(Errno::EINVAL);
    }
    match u16::try_from(place) {
        _ if place < 0 => Ok(None),
        Ok(place) => Ok(Some(place)),
        // No packet is so long.
        Err(_) => Ok(Some(u16::MAX - 1)),
    }
}
