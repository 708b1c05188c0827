//! Sockets: `socket(2)`, `send(2)`, `recv(2)`, `unix(7)`, `socket(7)`.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Address families (`AF_…`).
pub mod family {
    /// None: in `connect(2)` it ends an association.
    pub const UNSPECIFIED: u16 = 0;
    /// Local sockets.
    pub const UNIX: u16 = 1;
    /// IPv4.
    pub const INTERNET: u16 = 2;
    /// IPv6.
    pub const INTERNET_6: u16 = 10;
    /// Messages with the kernel about its tables (`netlink(7)`).
    pub const NETLINK: u16 = 16;
    /// Frames of interfaces (`packet(7)`).
    pub const PACKET: u16 = 17;
    /// Families have numbers below this.
    pub const LIMIT: i32 = 46;

    /// Whether sockets of a family speak IP.
    pub const fn is_internet(family: u16) -> bool {
        matches!(family, INTERNET | INTERNET_6)
    }
}

/// Most bytes of an address (`struct sockaddr_storage`).
pub const ADDRESS_MAX: usize = 128;
/// Bytes of a name of a local socket (`sun_path`).
pub const UNIX_PATH_MAX: usize = 108;
/// Most descriptors in a message (`SCM_MAX_FD`).
pub const DESCRIPTORS_MAX: usize = 253;
/// Most messages of one `sendmmsg(2)` or `recvmmsg(2)` (`UIO_MAXIOV`).
pub const MESSAGES_MAX: usize = 1024;

/// How a socket moves data (`SOCK_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum SocketKind {
    /// Bytes in order, without borders.
    Stream = 1,
    /// Messages, each for itself.
    Datagram = 2,
    /// The protocol below (IP).
    Raw = 3,
    /// Messages that may arrive in another order.
    ReliableMessages = 4,
    /// Messages in order, over a connection.
    SequencedPackets = 5,
    /// Congestion-controlled datagrams.
    Congestion = 6,
    /// Packets of a device.
    Packet = 10,
}

impl SocketKind {
    /// By its number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Stream),
            2 => Some(Self::Datagram),
            3 => Some(Self::Raw),
            4 => Some(Self::ReliableMessages),
            5 => Some(Self::SequencedPackets),
            6 => Some(Self::Congestion),
            10 => Some(Self::Packet),
            _ => None,
        }
    }
}

/// The bits of `type` that hold the kind (`SOCK_TYPE_MASK`); the others are flags.
pub const KIND_MASK: u32 = 0xf;

bitflags! {
    /// Flags of `send(2)` and `recv(2)`, and those that `recvmsg(2)` answers (`MSG_…`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MessageFlags: u32 {
        /// Out-of-band data.
        const OUT_OF_BAND = 0x1;
        /// Data stays where it is.
        const PEEK = 0x2;
        /// Not through a gateway.
        const DO_NOT_ROUTE = 0x4;
        /// Ancillary data did not fit.
        const CONTROL_TRUNCATED = 0x8;
        /// The message did not fit; for `recv`: its true length is the answer.
        const TRUNCATED = 0x20;
        /// Don't wait.
        const DO_NOT_WAIT = 0x40;
        /// The end of a record.
        const END_OF_RECORD = 0x80;
        /// Wait for all that was asked for.
        const WAIT_ALL = 0x100;
        /// The path is fine.
        const CONFIRM = 0x800;
        /// From the queue of errors.
        const ERROR_QUEUE = 0x2000;
        /// No `SIGPIPE`.
        const NO_SIGNAL = 0x4000;
        /// More will follow.
        const MORE = 0x8000;
        /// `recvmmsg`: don't wait after the first message.
        const WAIT_FOR_ONE = 0x1_0000;
        /// The program waits with changing the data until it is told.
        const ZERO_COPY = 0x400_0000;
        /// Descriptors that arrive are closed by `execve`.
        const CLOSE_ON_EXEC = 0x4000_0000;
    }
}

/// A message (`struct msghdr`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MessageHeader {
    /// Where the address is.
    pub name: u64,
    /// Its length.
    pub name_length: u32,
    /// 0.
    pub padding: u32,
    /// Where the pieces of data are described.
    pub vectors: u64,
    /// How many there are.
    pub vector_count: u64,
    /// Where ancillary data is.
    pub control: u64,
    /// Its length.
    pub control_length: u64,
    /// [`MessageFlags`] of what was received.
    pub flags: u32,
    /// 0.
    pub padding_end: u32,
}

/// One of several messages (`struct mmsghdr`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CountedMessageHeader {
    /// The message.
    pub header: MessageHeader,
    /// Bytes that were sent or received.
    pub length: u32,
    /// 0.
    pub padding: u32,
}

/// What stands before each piece of ancillary data (`struct cmsghdr`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ControlHeader {
    /// Length of header and data.
    pub length: u64,
    /// The protocol that it belongs to.
    pub level: i32,
    /// What it is.
    pub kind: i32,
}

/// What ancillary data is aligned to.
pub const CONTROL_ALIGNMENT: usize = 8;

/// Ancillary data of [`level::SOCKET`].
pub mod control {
    /// Descriptors (`SCM_RIGHTS`).
    pub const RIGHTS: i32 = 1;
    /// Who sent it (`SCM_CREDENTIALS`).
    pub const CREDENTIALS: i32 = 2;
}

/// Protocols that options and ancillary data belong to (`SOL_…`).
pub mod level {
    /// IPv4.
    pub const IP: i32 = 0;
    /// Sockets in general.
    pub const SOCKET: i32 = 1;
}

/// Options of [`level::SOCKET`] (`SO_…`), in the numbers of x86-64.
#[allow(missing_docs, reason = "socket(7) explains them under these names")]
pub mod option {
    pub const DEBUG: i32 = 1;
    pub const REUSE_ADDRESS: i32 = 2;
    pub const KIND: i32 = 3;
    pub const ERROR: i32 = 4;
    pub const DO_NOT_ROUTE: i32 = 5;
    pub const BROADCAST: i32 = 6;
    pub const SEND_BUFFER: i32 = 7;
    pub const RECEIVE_BUFFER: i32 = 8;
    pub const KEEP_ALIVE: i32 = 9;
    pub const OUT_OF_BAND_INLINE: i32 = 10;
    pub const NO_CHECK: i32 = 11;
    pub const PRIORITY: i32 = 12;
    pub const LINGER: i32 = 13;
    pub const REUSE_PORT: i32 = 15;
    pub const PASS_CREDENTIALS: i32 = 16;
    pub const PEER_CREDENTIALS: i32 = 17;
    pub const RECEIVE_LOW_WATER: i32 = 18;
    pub const SEND_LOW_WATER: i32 = 19;
    pub const RECEIVE_TIMEOUT: i32 = 20;
    pub const SEND_TIMEOUT: i32 = 21;
    pub const BSD_COMPATIBLE: i32 = 14;
    pub const BIND_TO_DEVICE: i32 = 25;
    pub const ATTACH_FILTER: i32 = 26;
    pub const DETACH_FILTER: i32 = 27;
    pub const PEER_NAME: i32 = 28;
    pub const TIMESTAMP: i32 = 29;
    pub const ACCEPTS_CONNECTIONS: i32 = 30;
    pub const PEER_SECURITY: i32 = 31;
    pub const SEND_BUFFER_FORCE: i32 = 32;
    pub const RECEIVE_BUFFER_FORCE: i32 = 33;
    pub const PASS_SECURITY: i32 = 34;
    pub const TIMESTAMP_NANOSECONDS: i32 = 35;
    pub const MARK: i32 = 36;
    pub const PROTOCOL: i32 = 38;
    pub const DOMAIN: i32 = 39;
    pub const RECEIVE_QUEUE_OVERFLOW: i32 = 40;
    pub const WIFI_STATUS: i32 = 41;
    pub const PEEK_OFFSET: i32 = 42;
    pub const NO_CHECKSUM_OF_FRAMES: i32 = 43;
    pub const LOCK_FILTER: i32 = 44;
    pub const SELECT_ERROR_QUEUE: i32 = 45;
    pub const BUSY_POLL: i32 = 46;
    pub const INCOMING_CPU: i32 = 49;
    pub const CONNECTION_ADVICE: i32 = 53;
    pub const INCOMING_QUEUE: i32 = 56;
    pub const COOKIE: i32 = 57;
    pub const PEER_GROUPS: i32 = 59;
    pub const ZERO_COPY: i32 = 60;
    pub const BIND_TO_INTERFACE: i32 = 62;
    pub const TIMESTAMP_64: i32 = 63;
    pub const TIMESTAMP_NANOSECONDS_64: i32 = 64;
    pub const RECEIVE_TIMEOUT_64: i32 = 66;
    pub const SEND_TIMEOUT_64: i32 = 67;
    pub const PREFER_BUSY_POLL: i32 = 69;
}

/// Who somebody is (`struct ucred`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PeerCredentials {
    /// Process.
    pub process: i32,
    /// Effective user.
    pub user: u32,
    /// Effective group.
    pub group: u32,
}

impl PeerCredentials {
    /// Nobody in particular: users and groups that are not known show as these numbers.
    pub const UNKNOWN: Self = Self {
        process: 0,
        user: u32::MAX,
        group: u32::MAX,
    };
}

/// `SO_LINGER` (`struct linger`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Linger {
    /// Whether closing waits.
    pub on: i32,
    /// For how many seconds.
    pub seconds: i32,
}

/// Which half of a connection ends (`shutdown(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Receiving.
    Receiving,
    /// Sending.
    Sending,
    /// Both.
    Both,
}

impl Shutdown {
    /// By its number.
    pub const fn from_number(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Receiving),
            1 => Some(Self::Sending),
            2 => Some(Self::Both),
            _ => None,
        }
    }

    /// Whether receiving ends.
    pub const fn receiving(self) -> bool {
        matches!(self, Self::Receiving | Self::Both)
    }

    /// Whether sending ends.
    pub const fn sending(self) -> bool {
        matches!(self, Self::Sending | Self::Both)
    }
}
