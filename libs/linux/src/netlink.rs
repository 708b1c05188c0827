//! Netlink: messages by which programs ask for interfaces, addresses and routes (`netlink(7)`, `rtnetlink(7)`).
//!
//! A datagram holds messages, each with a [`Header`]; most hold a structure of fixed size and then attributes: length,
//! kind, value, padded to four bytes. [`Requests`] reads what a program sends and believes none of its lengths; a
//! [`Builder`] makes answers.

use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What messages and attributes are aligned to.
pub const ALIGNMENT: usize = 4;
/// Bytes of a [`Header`].
pub const HEADER: usize = size_of::<Header>();
/// Bytes before an attribute's value.
const ATTRIBUTE_HEADER: usize = 4;
/// The bits of an attribute's kind that are its number; the others say that it is nested or in network order.
const ATTRIBUTE_KIND: u16 = 0x3fff;

/// Protocols of the family (`NETLINK_…`).
pub mod protocol {
    /// Interfaces, addresses, routes.
    pub const ROUTE: i32 = 0;
    /// Sockets.
    pub const DIAGNOSIS: i32 = 4;
    /// Protocols have numbers below this (`MAX_LINKS`).
    pub const LIMIT: i32 = 32;
}

/// Kinds of messages that all protocols share (`NLMSG_…`).
pub mod control {
    /// An error, or 0 for an acknowledgement.
    pub const ERROR: u16 = 2;
    /// The end of a dump.
    pub const DONE: u16 = 3;
    /// Kinds from this on belong to the protocol (`NLMSG_MIN_TYPE`).
    pub const FIRST: u16 = 16;
}

/// Flags of messages (`NLM_F_…`).
pub mod flag {
    /// It asks for something.
    pub const REQUEST: u16 = 1;
    /// It is one of several.
    pub const MULTI: u16 = 2;
    /// An answer is wanted even if there is nothing to say.
    pub const ACKNOWLEDGE: u16 = 4;
    /// Of a change: what is there already is replaced.
    pub const REPLACE: u16 = 0x100;
    /// Of a change: nothing may be there already.
    pub const EXCLUSIVE: u16 = 0x200;
    /// Of a change: what is not there is made.
    pub const CREATE: u16 = 0x400;
    /// All objects are asked for (`NLM_F_ROOT | NLM_F_MATCH`).
    pub const DUMP: u16 = 0x300;
    /// In an error: what was asked is not repeated wholly.
    pub const CAPPED: u16 = 0x100;
}

/// Options of level [`OPTIONS`] (`NETLINK_…`).
pub mod option {
    /// Hear of a group.
    pub const ADD_MEMBERSHIP: i32 = 1;
    /// Hear of it no more.
    pub const DROP_MEMBERSHIP: i32 = 2;
    /// Each message comes with the number of its group.
    pub const PACKET_INFORMATION: i32 = 3;
    /// Who sends to a group learns of failures.
    pub const BROADCAST_ERROR: i32 = 4;
    /// Lost messages are no error.
    pub const NO_BUFFER_ERRORS: i32 = 5;
    /// The groups that are heard, as bits.
    pub const LIST_MEMBERSHIPS: i32 = 9;
    /// Errors don't repeat what was asked.
    pub const CAP_ACKNOWLEDGE: i32 = 10;
    /// Errors may come with an explanation.
    pub const EXTENDED_ACKNOWLEDGE: i32 = 11;
    /// Dumps are checked and filtered strictly.
    pub const STRICT_CHECK: i32 = 12;
}

/// The level of netlink's options (`SOL_NETLINK`).
pub const OPTIONS: i32 = 270;

/// What stands before each message (`struct nlmsghdr`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Header {
    /// Its length, this header included.
    pub length: u32,
    /// What it is.
    pub kind: u16,
    /// [`flag`]s.
    pub flags: u16,
    /// Repeated in answers.
    pub sequence: u32,
    /// The port of whom it answers, or of who asks.
    pub port: u32,
}

/// An address (`struct sockaddr_nl`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SocketAddress {
    /// [`super::sockets::family::NETLINK`]
    pub family: u16,
    /// 0.
    pub padding: u16,
    /// The port; 0 is the kernel's.
    pub port: u32,
    /// The first 32 groups, as bits.
    pub groups: u32,
}

/// Kinds of messages of [`protocol::ROUTE`] (`RTM_…`).
#[allow(missing_docs, reason = "rtnetlink(7) explains them under these names")]
pub mod route {
    pub const NEW_LINK: u16 = 16;
    pub const DELETE_LINK: u16 = 17;
    pub const GET_LINK: u16 = 18;
    pub const SET_LINK: u16 = 19;
    pub const NEW_ADDRESS: u16 = 20;
    pub const DELETE_ADDRESS: u16 = 21;
    pub const GET_ADDRESS: u16 = 22;
    pub const NEW_ROUTE: u16 = 24;
    pub const DELETE_ROUTE: u16 = 25;
    pub const GET_ROUTE: u16 = 26;
    pub const GET_NEIGHBOUR: u16 = 30;
    pub const NEW_NEIGHBOUR: u16 = 28;
    /// Kinds end here (`RTM_MAX`).
    pub const LAST: u16 = 123;
    /// Of each four kinds, the third asks.
    pub const ASKS: u16 = 2;
}

/// What [`protocol::DIAGNOSIS`] tells of sockets (`sock_diag(7)`).
pub mod diagnosis {
    use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

    /// The only kind of message (`SOCK_DIAG_BY_FAMILY`).
    pub const BY_FAMILY: u16 = 20;

    /// Attributes of answers (`INET_DIAG_…`). What is asked for has a bit one lower than its number.
    #[allow(missing_docs, reason = "sock_diag(7) explains them under these names")]
    pub mod attribute {
        pub const INFORMATION: u16 = 2;
        pub const CONGESTION: u16 = 4;
        pub const SHUTDOWN: u16 = 8;
        pub const ONLY_V6: u16 = 11;
    }

    /// Which socket (`struct inet_diag_sockid`).
    #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    pub struct SocketIdentity {
        /// Its port, in network order.
        pub source_port: [u8; 2],
        /// Its peer's.
        pub destination_port: [u8; 2],
        /// Its address; one of IPv4 has four bytes.
        pub source: [u8; 16],
        /// Its peer's.
        pub destination: [u8; 16],
        /// The interface that it is bound to.
        pub interface: [u8; 4],
        /// A number that no other socket has.
        pub cookie: [u8; 8],
    }

    /// A question (`struct inet_diag_req_v2`).
    #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    pub struct InternetRequest {
        /// The family's number.
        pub family: u8,
        /// The protocol's.
        pub protocol: u8,
        /// Attributes that are wanted, as bits.
        pub extensions: u8,
        /// 0.
        pub padding: u8,
        /// States that are wanted, as bits.
        pub states: u32,
        /// The socket, unless it is a dump.
        pub identity: SocketIdentity,
    }

    /// What is told of a socket (`struct inet_diag_msg`).
    #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    pub struct InternetMessage {
        /// The family's number.
        pub family: u8,
        /// `TCP_ESTABLISHED`, …
        pub state: u8,
        /// Which timer is running.
        pub timer: u8,
        /// How often a segment was sent again.
        pub again: u8,
        /// Which socket.
        pub identity: SocketIdentity,
        /// When the timer expires, in milliseconds.
        pub expires: u32,
        /// Bytes that wait to be received; of a listener, connections.
        pub receiving: u32,
        /// Bytes that wait to be sent; of a listener, how many connections may wait.
        pub sending: u32,
        /// Whose it is.
        pub user: u32,
        /// Its inode.
        pub inode: u32,
    }
}

/// Groups of [`protocol::ROUTE`] (`RTNLGRP_…`).
#[allow(missing_docs, reason = "rtnetlink(7) explains them under these names")]
pub mod group {
    pub const LINK: u32 = 1;
    pub const ADDRESS_V4: u32 = 5;
    pub const ROUTE_V4: u32 = 7;
    pub const ADDRESS_V6: u32 = 9;
    pub const ROUTE_V6: u32 = 11;
    /// The last one (`RTNLGRP_MAX`).
    pub const LAST: u32 = 36;
}

/// Attributes of interfaces (`IFLA_…`).
#[allow(missing_docs, reason = "rtnetlink(7) explains them under these names")]
pub mod link_attribute {
    pub const ADDRESS: u16 = 1;
    pub const BROADCAST: u16 = 2;
    pub const NAME: u16 = 3;
    pub const MTU: u16 = 4;
    pub const DISCIPLINE: u16 = 6;
    pub const STATISTICS: u16 = 7;
    pub const QUEUE_LENGTH: u16 = 13;
    pub const OPERATIONAL_STATE: u16 = 16;
    pub const LINK_MODE: u16 = 17;
    pub const STATISTICS_64: u16 = 23;
    pub const GROUP: u16 = 27;
    pub const PROMISCUITY: u16 = 30;
    pub const TRANSMIT_QUEUES: u16 = 31;
    pub const RECEIVE_QUEUES: u16 = 32;
    pub const CARRIER: u16 = 33;
}

/// Attributes of addresses (`IFA_…`).
#[allow(missing_docs, reason = "rtnetlink(7) explains them under these names")]
pub mod address_attribute {
    pub const ADDRESS: u16 = 1;
    pub const LOCAL: u16 = 2;
    pub const LABEL: u16 = 3;
    pub const BROADCAST: u16 = 4;
    pub const CACHE: u16 = 6;
    pub const FLAGS: u16 = 8;
}

/// Attributes of routes (`RTA_…`).
#[allow(missing_docs, reason = "rtnetlink(7) explains them under these names")]
pub mod route_attribute {
    pub const DESTINATION: u16 = 1;
    pub const OUT_INTERFACE: u16 = 4;
    pub const GATEWAY: u16 = 5;
    pub const PRIORITY: u16 = 6;
    pub const PREFERRED_SOURCE: u16 = 7;
    pub const CACHE: u16 = 12;
    pub const TABLE: u16 = 15;
    pub const PREFERENCE: u16 = 20;
}

/// Attributes of neighbours (`NDA_…`).
#[allow(missing_docs, reason = "rtnetlink(7) explains them under these names")]
pub mod neighbour_attribute {
    pub const DESTINATION: u16 = 1;
    pub const HARDWARE_ADDRESS: u16 = 2;
    pub const INTERFACE: u16 = 8;
}

/// An interface (`struct ifinfomsg`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LinkMessage {
    /// 0 for any.
    pub family: u8,
    /// 0.
    pub padding: u8,
    /// What kind of hardware (`ARPHRD_…`).
    pub hardware: u16,
    /// Its number.
    pub index: i32,
    /// `IFF_…`
    pub flags: u32,
    /// Which flags change.
    pub change: u32,
}

/// An address of an interface (`struct ifaddrmsg`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AddressMessage {
    /// The family's number.
    pub family: u8,
    /// Bits that are the network's.
    pub prefix: u8,
    /// `IFA_F_…`
    pub flags: u8,
    /// `RT_SCOPE_…`
    pub scope: u8,
    /// The interface's number.
    pub index: u32,
}

/// A route (`struct rtmsg`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RouteMessage {
    /// The family's number.
    pub family: u8,
    /// Bits of the destination that count.
    pub destination_length: u8,
    /// Bits of the source that count.
    pub source_length: u8,
    /// Type of service.
    pub service: u8,
    /// `RT_TABLE_…`
    pub table: u8,
    /// Who made it (`RTPROT_…`).
    pub protocol: u8,
    /// How far away the destination is (`RT_SCOPE_…`).
    pub scope: u8,
    /// `RTN_…`
    pub kind: u8,
    /// `RTM_F_…`, `RTNH_F_…`
    pub flags: u32,
}

/// A neighbour (`struct ndmsg`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NeighbourMessage {
    /// The family's number.
    pub family: u8,
    /// 0.
    pub padding: [u8; 3],
    /// The interface's number.
    pub index: i32,
    /// `NUD_…`
    pub state: u16,
    /// `NTF_…`
    pub flags: u8,
    /// `RTN_…`
    pub kind: u8,
}

/// A message that a program sent.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its header.
    pub header: Header,
    /// Header and body.
    pub whole: &'a [u8],
    /// What is behind the header.
    pub body: &'a [u8],
}

/// The messages in a datagram. They end where one claims a length that can't be, as on Linux.
pub struct Requests<'a>(&'a [u8]);

impl<'a> Requests<'a> {
    /// Those in a datagram.
    pub fn new(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Requests<'a> {
    type Item = Request<'a>;

    fn next(&mut self) -> Option<Request<'a>> {
        let (header, _) = Header::read_from_prefix(self.0).ok()?;
        let whole = self.0.get(..header.length as usize)?;
        let body = whole.get(HEADER..)?;
        let padded = whole.len().next_multiple_of(ALIGNMENT).min(self.0.len());
        self.0 = &self.0[padded..];
        Some(Request {
            header,
            whole,
            body,
        })
    }
}

/// The attributes behind a structure: number and value of each. They end where one claims a length that can't be.
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// Those in the rest of a message.
    pub fn new(rest: &'a [u8]) -> Self {
        Self(rest)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (kind, _) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_ne_bytes(*length));
        let value = self.0.get(ATTRIBUTE_HEADER..length)?;
        let padded = length.next_multiple_of(ALIGNMENT).min(self.0.len());
        self.0 = &self.0[padded..];
        Some((u16::from_ne_bytes(*kind) & ATTRIBUTE_KIND, value))
    }
}

/// Makes one message.
pub struct Builder(Vec<u8>);

impl Builder {
    /// A message with this header, whose length is set at the end, and structure.
    pub fn new<T: IntoBytes + Immutable>(header: Header, structure: &T) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(structure.as_bytes());
        Self(bytes)
    }

    /// Adds bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds an attribute. What is longer than an attribute can be is left out.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let Ok(length) = u16::try_from(ATTRIBUTE_HEADER + value.len()) else {
            return self;
        };
        let start = self.0.len().next_multiple_of(ALIGNMENT);
        self.0.resize(start, 0);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self
    }

    /// Adds a number as an attribute.
    #[must_use]
    pub fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// The message, padded; its length is in its header.
    pub fn finish(mut self) -> Vec<u8> {
        let padded = self.0.len().next_multiple_of(ALIGNMENT);
        self.0.resize(padded, 0);
        let length = (self.0.len() as u32).to_ne_bytes();
        self.0[..length.len()].copy_from_slice(&length);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kind: u16, body: &[u8]) -> Vec<u8> {
        let header = Header {
            kind,
            flags: flag::REQUEST,
            sequence: 7,
            ..Header::default()
        };
        Builder::new(header, &[0_u8; 0]).bytes(body).finish()
    }

    #[test]
    fn what_is_built_can_be_read() {
        let message = Builder::new(Header::default(), &AddressMessage::default())
            .attribute(address_attribute::LABEL, b"eth0\0")
            .number(address_attribute::FLAGS, 0x80)
            .finish();
        assert_eq!(message.len() % ALIGNMENT, 0);
        let requests: Vec<_> = Requests::new(&message).collect();
        assert_eq!(requests.len(), 1);
        let attributes = &requests[0].body[size_of::<AddressMessage>()..];
        let found: Vec<_> = Attributes::new(attributes).collect();
        assert_eq!(found[0], (address_attribute::LABEL, &b"eth0\0"[..]));
        assert_eq!(
            found[1],
            (address_attribute::FLAGS, &0x80_u32.to_ne_bytes()[..])
        );
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn several_requests_follow_each_other_even_if_the_last_is_not_padded() {
        let mut datagram = ask(route::GET_LINK, &[0]);
        datagram.extend_from_slice(&ask(route::GET_ADDRESS, &[2]));
        datagram.truncate(datagram.len() - 3);
        let last = datagram.len() - 17;
        datagram[last..last + 4].copy_from_slice(&17_u32.to_ne_bytes());
        let kinds: Vec<_> = Requests::new(&datagram)
            .map(|one| (one.header.kind, one.body.len()))
            .collect();
        assert_eq!(kinds, [(route::GET_LINK, 4), (route::GET_ADDRESS, 1)]);
    }

    #[test]
    fn lengths_that_can_not_be_end_the_reading() {
        for length in [0_u32, 15, 21, 1000, u32::MAX] {
            let mut datagram = ask(route::GET_LINK, &[0; 4]);
            datagram[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(Requests::new(&datagram).count(), 0, "{length}");
        }
        for cut in 0..HEADER {
            assert_eq!(Requests::new(&ask(18, &[])[..cut]).count(), 0);
        }
        for length in [0_u16, 3, 9, u16::MAX] {
            let mut attribute = Vec::from(length.to_ne_bytes());
            attribute.extend_from_slice(&[3, 0, 1, 2, 3, 4]);
            assert_eq!(Attributes::new(&attribute).count(), 0, "{length}");
        }
    }
}
