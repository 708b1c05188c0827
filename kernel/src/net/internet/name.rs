//! Addresses as programs write them: `struct sockaddr_in` (`ip(7)`) and `struct sockaddr_in6` (`ipv6(7)`).

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use pith_linux::Errno;
use pith_linux::sockets::family;

use crate::net::address::Address;

/// Bytes of `struct sockaddr_in`.
const LENGTH_V4: usize = 16;
/// Bytes of `struct sockaddr_in6`, and of it without the scope, as RFC 2133 had it.
const LENGTH_V6: usize = 28;
const LEAST_V6: usize = 24;

/// An address as a socket of the family shows it: one of IPv6 shows IPv4 as `::ffff:a.b.c.d`.
pub fn shown(family: u16, address: SocketAddr) -> Address {
    let ip = match (family, address) {
        (family::INTERNET, SocketAddr::V4(address)) => {
            let mut bytes = [0; LENGTH_V4];
            bytes[..2].copy_from_slice(&family::INTERNET.to_ne_bytes());
            bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
            bytes[4..8].copy_from_slice(&address.ip().octets());
            return Address::new(&bytes);
        }
        (_, SocketAddr::V4(address)) => address.ip().to_ipv6_mapped(),
        (_, SocketAddr::V6(address)) => *address.ip(),
    };
    let mut bytes = [0; LENGTH_V6];
    bytes[..2].copy_from_slice(&family::INTERNET_6.to_ne_bytes());
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    bytes[8..24].copy_from_slice(&ip.octets());
    if let SocketAddr::V6(address) = address {
        bytes[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
    }
    Address::new(&bytes)
}

/// The address that no socket has.
pub fn nobody(family: u16) -> SocketAddr {
    match family {
        family::INTERNET => (Ipv4Addr::UNSPECIFIED, 0).into(),
        _ => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// Reads an address for a socket of the family. Mapped addresses of IPv4 become such.
///
/// # Errors
/// `EINVAL` if it is too short, `EAFNOSUPPORT` for another family.
pub fn read(family: u16, address: &Address) -> Result<SocketAddr, Errno> {
    let bytes = address.bytes();
    let least = if family == family::INTERNET {
        LENGTH_V4
    } else {
        LEAST_V6
    };
    if bytes.len() < least {
        return Err(Errno::EINVAL);
    }
    if address.family() != Some(family) {
        return Err(Errno::EAFNOSUPPORT);
    }
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    if family == family::INTERNET {
        let ip = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
        return Ok(SocketAddrV4::new(ip, port).into());
    }
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[8..24]);
    let ip = Ipv6Addr::from(octets);
    if let Some(ip) = ip.to_ipv4_mapped() {
        return Ok(SocketAddrV4::new(ip, port).into());
    }
    let scope = bytes.get(24..28).and_then(<[u8]>::first_chunk);
    let scope = scope.map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    Ok(SocketAddrV6::new(ip, port, 0, scope).into())
}

/// The same for the peer of a datagram: sockets of IPv6 take addresses of IPv4 as they are, too, and for those of IPv4 no
/// family means theirs.
///
/// # Errors
/// As [`read`].
pub fn read_peer(family: u16, address: &Address) -> Result<SocketAddr, Errno> {
    match address.family() {
        Some(family::INTERNET) => read(family::INTERNET, address),
        Some(family::UNSPECIFIED) if family == family::INTERNET && address.bytes().len() >= LENGTH_V4 => {
            let mut bytes = [0; LENGTH_V4];
            bytes.copy_from_slice(&address.bytes()[..LENGTH_V4]);
            bytes[..2].copy_from_slice(&family::INTERNET.to_ne_bytes());
            read(family, &Address::new(&bytes))
        }
        _ => read(family, address),
    }
}
