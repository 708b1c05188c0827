//! What both versions of the Internet Protocol have in common.

use core::net::IpAddr;

/// The number of ICMP as a protocol.
pub const ICMP: u8 = 1;
/// That of IGMP.
pub const IGMP: u8 = 2;
/// That of TCP.
pub const TCP: u8 = 6;
/// That of UDP.
pub const UDP: u8 = 17;
/// That of ICMP for IPv6.
pub const ICMPV6: u8 = 58;
/// Packets whose header says what they carry (`IPPROTO_RAW`).
pub const RAW: u8 = 255;
/// Routers that a packet may pass if nobody says otherwise (`net.ipv4.ip_default_ttl`).
pub const HOPS: u8 = 64;

/// What a program may choose for the headers of its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marking {
    /// Routers that they may pass (`IP_TTL`, `IPV6_UNICAST_HOPS`).
    pub hops: u8,
    /// Type of service, or traffic class (`IP_TOS`, `IPV6_TCLASS`).
    pub service: u8,
}

impl Default for Marking {
    fn default() -> Self {
        Self {
            hops: HOPS,
            service: 0,
        }
    }
}

/// A packet that is to be sent, whatever its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// From where.
    pub source: IpAddr,
    /// To where, of the same family.
    pub destination: IpAddr,
    /// By which interface, where the address alone does not say; counted from 1, as Linux does; 0 for any.
    pub scope: u32,
    /// What is inside.
    pub protocol: u8,
    /// Routers that it may pass.
    pub hops: u8,
    /// Type of service, or traffic class.
    pub service: u8,
    /// No router may cut it (IPv6 routers never do).
    pub do_not_fragment: bool,
    /// If it goes to a group that this machine listens to, it arrives here too.
    pub group_loop: bool,
    /// Routers have to look inside (RFC 2113); for IPv4 only.
    pub alert: bool,
}

impl Header {
    /// A usual packet.
    pub fn new(source: IpAddr, destination: IpAddr, scope: u32, protocol: u8) -> Self {
        Self {
            source,
            destination,
            scope,
            protocol,
            hops: HOPS,
            service: 0,
            do_not_fragment: true,
            group_loop: false,
            alert: false,
        }
    }
}
