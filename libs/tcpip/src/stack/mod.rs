//! Interfaces, neighbours and sockets: which packet belongs to whom, and where one goes.
//!
//! The owner calls [`Stack::receive`] for what arrives, [`Stack::expire`] at [`Stack::deadline`], and
//! takes frames with [`Stack::take_frame`] and sockets whose readiness may have changed with [`Stack::take_event`] after
//! whatever it called.

mod administration;
mod agenda;
mod automatic;
mod control;
mod control6;
mod counters;
mod datagrams;
mod directory;
mod discovery;
mod ending;
mod faults;
mod fragments;
mod frame;
mod groups;
mod interfaces;
mod late;
mod memory;
mod neighbours;
mod own_headers;
mod packets;
mod paths;
mod ports;
mod raw;
mod redirects;
mod requests;
mod routes;
mod secret;
mod segments;
mod streams;
mod table;
mod taps;
mod usage;

pub use frame::{Cut, CutInto, Frame, Headers, Offload, Partial, Received};
use frame::{Transport, UNCUT};

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use pith_sorted_map::SortedMap;

use crate::buffer::{Buffer, Pieces, Slice};
use crate::queue::Queue;
use crate::tcp::{Connection, Options, Path, Readiness, Segment, Sequence, State};
use crate::time::{Instant, SECOND};
use crate::wire::checksum::Sum;
use crate::wire::ethernet::HardwareAddress;
use crate::wire::{Malformed, arp, ethernet, icmp, icmpv6, ip, ipv4, ipv6, tcp, udp};
use agenda::Agenda;
use automatic::Automatic;
use directory::{Directory, Place};
use faults::Fault;
use fragments::{Part, Parts, Whose};
use interfaces::scope_of;
use late::Late;
use neighbours::Neighbour;
use paths::{Complaints, Learned};
use pith_packet_filter::{About, Program};
use requests::Pending;
use routes::Way;
use secret::Secret;
use table::Table;

pub use counters::{Count, Counters, StreamCount};
pub use faults::{Cause, Report};
pub use groups::Group;
pub use interfaces::{Address, AddressState, Interface, link_local_address};
pub use memory::Limits;
pub use neighbours::NeighbourState;
pub use raw::Role;
pub use routes::Route;
pub use taps::{EVERY_PROTOCOL, Seen, SeenChecksum, packet_kind};
pub use usage::Usage;

/// A socket's number.
pub type Handle = u32;

/// Ports that the stack chooses by itself (`net.ipv4.ip_local_port_range`).
const EPHEMERAL: core::ops::RangeInclusive<u16> = 32_768..=60_999;
/// Why a call can't be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The address is taken.
    InUse,
    /// No interface has the address.
    NotLocal,
    /// No way leads there.
    Unreachable,
    /// A way leads there, but no own address can be used on it.
    NoSource,
    /// There is no such interface.
    NoInterface,
    /// The address means something on one link only, and none was named.
    NoScope,
    /// All ports are taken.
    NoPort,
    /// Not in this state.
    State,
    /// The datagram is too long.
    TooLong,
    /// The socket is not allowed to send to everybody.
    Forbidden,
    /// An error that has come back.
    Failed(Cause),
    /// There are too many of that.
    TooMany,
}

/// What a socket does about the length of packets that a path carries (`IP_MTU_DISCOVER`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// Routers may cut packets.
    Never,
    /// Datagrams that are too long for the path are sent in parts.
    #[default]
    Usual,
    /// They are refused.
    Always,
    /// They are sent as they are, whatever is known of the path.
    Probe,
}

/// How a datagram socket sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Routers that a packet may pass (`IP_TTL`, `IPV6_UNICAST_HOPS`).
    pub hops: u8,
    /// Type of service, or traffic class (`IP_TOS`, `IPV6_TCLASS`).
    pub service: u8,
    /// What is done about long packets.
    pub discovery: Discovery,
    /// Packets to everybody are allowed (`SO_BROADCAST`).
    pub broadcast: bool,
    /// All errors of packets of IPv4 are wanted (`IP_RECVERR`), see [`Stack::udp_take_report`].
    pub reports_v4: bool,
    /// Those of packets of IPv6 (`IPV6_RECVERR`).
    pub reports_v6: bool,
    /// Routers that packets to groups may pass (`IP_MULTICAST_TTL`, `IPV6_MULTICAST_HOPS`).
    pub group_hops: u8,
    /// The interface for packets to groups, counted from 1; 0 for what routes say (`IP_MULTICAST_IF`).
    pub group_interface: u32,
    /// Packets to groups arrive at this machine too, if it listens (`IP_MULTICAST_LOOP`).
    pub group_loop: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            hops: ip::HOPS,
            service: 0,
            discovery: Discovery::Usual,
            broadcast: false,
            reports_v4: false,
            reports_v6: false,
            group_hops: 1,
            group_interface: 0,
            group_loop: true,
        }
    }
}

/// Which datagrams a socket receives, and what it wants to know of others.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Those that come by this interface, counted from 1; 0 for any (`SO_BINDTODEVICE`).
    pub interface: u32,
    /// Those that a program accepts (`SO_ATTACH_FILTER`).
    pub filter: Option<Arc<Program>>,
    /// Each tells how many were lost before it (`SO_RXQ_OVFL`).
    pub counts_lost: bool,
}

/// What is different for one datagram (`IP_PKTINFO`, `IP_TTL`, … as ancillary data).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    /// Its source.
    pub source: Option<IpAddr>,
    /// The interface, counted from 1; 0 for any.
    pub interface: u32,
    /// [`Manner::hops`]
    pub hops: Option<u8>,
    /// [`Manner::service`]
    pub service: Option<u8>,
}

/// With which families a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// IPv4.
    V4,
    /// IPv6 (`IPV6_V6ONLY`).
    V6,
    /// IPv6, and IPv4 too.
    Both,
}

impl Reach {
    /// The address that stands for all of them.
    pub fn any(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 | Self::Both => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// Whether it can have such an address.
    pub fn includes(self, ip: IpAddr) -> bool {
        match self {
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
            Self::Both => true,
        }
    }

    /// Whether a socket that is bound to an address gets what is sent to another one: 0 if it does not, and more if it
    /// was more exactly bound.
    fn accepts(self, bound: IpAddr, ip: IpAddr) -> u8 {
        match bound == ip {
            true => 3,
            false if !bound.is_unspecified() => 0,
            false if bound.is_ipv4() == ip.is_ipv4() => 2,
            false => u8::from(self == Self::Both && bound.is_ipv6()),
        }
    }
}

/// What others may do with an address that a socket has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// They may have it too, as long as nobody listens there (`SO_REUSEADDR`).
    pub address: bool,
    /// They may have it too, and share what comes (`SO_REUSEPORT`).
    pub port: bool,
}

impl From<bool> for Sharing {
    fn from(address: bool) -> Self {
        Self {
            address,
            port: false,
        }
    }
}

impl Sharing {
    /// Whether two sockets may have the same address. `listens`: the other one waits for connections.
    fn allows(self, other: Self, listens: bool) -> bool {
        self.address && other.address && !listens || self.port && other.port
    }
}

/// A socket that waits for connections.
#[derive(Debug)]
struct Listener {
    /// For those that it accepts.
    options: Options,
    /// How many connections may wait to be accepted; one more is let in, as on Linux.
    backlog: usize,
    /// Requests that are not yet connections.
    requests: usize,
    ready: Queue<Handle>,
    /// When a cookie was last given out.
    cookies_at: Option<Instant>,
}

#[derive(Debug)]
enum TcpState<B> {
    Idle(Box<Options>),
    Listening(Box<Listener>),
    Connected(Box<Connection<B>>),
}

#[derive(Debug)]
struct Tcp<B> {
    reach: Reach,
    local: Option<SocketAddr>,
    sharing: Sharing,
    state: TcpState<B>,
    /// When [`Stack::expire`] looks at it, at the latest.
    armed: Option<Instant>,
    /// The program is gone.
    orphaned: bool,
    /// The pair of addresses belongs to somebody else already.
    detached: bool,
    /// Whether the program has chosen the address, and the port: only then does it keep them without a connection.
    chosen: (bool, bool),
    /// The port of a connection that has ended, which a socket without one shows on.
    old_port: u16,
    /// It was bound anew although its connection, which has ended, was not taken away.
    rebound: bool,
    /// What it was charged for its data.
    charged: usize,
    /// The lane of whoever has used it last.
    lane: Option<u16>,
    /// See [`Stack::bind_anywhere`].
    anywhere: bool,
}

/// The packet by which something came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// From whom.
    pub source: SocketAddr,
    /// To which of our addresses.
    pub destination: SocketAddr,
    /// By which interface.
    pub interface: usize,
    /// Routers that it might still have passed.
    pub hops: u8,
    /// Type of service, or traffic class.
    pub service: u8,
    /// When it came.
    pub at: Instant,
}

/// A datagram that has arrived.
#[derive(Clone, Debug)]
pub struct Datagram<B> {
    /// The packet that it came by, with the ports of both sides.
    pub carrier: Carrier,
    /// Datagrams that the socket had lost by then, if it counts them: [`Choice::counts_lost`].
    pub lost: u32,
    /// Its data.
    pub data: Pieces<B>,
}

#[derive(Debug)]
struct Udp<B> {
    reach: Reach,
    /// What it sends and receives, if that is not datagrams of UDP.
    role: Role,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    queue: VecDeque<Datagram<B>>,
    queued: usize,
    /// Bytes that may wait.
    capacity: usize,
    /// Which of the datagrams that come are received.
    choice: Choice,
    /// Datagrams that were thrown away, for want of room or by the filter.
    lost: u64,
    sharing: Sharing,
    /// Whether the program has chosen its own address, and its port.
    chosen: (bool, bool),
    manner: Manner,
    /// What became of an earlier datagram; the next call tells it.
    error: Option<Cause>,
    /// What became of earlier datagrams, if the program wants to know everything.
    reports: VecDeque<Report>,
    /// Groups that it has joined: interface and address.
    groups: Vec<(usize, IpAddr)>,
    /// See [`Stack::bind_anywhere`].
    anywhere: bool,
}

#[derive(Debug)]
enum Socket<B> {
    Tcp(Tcp<B>),
    /// Elsewhere in memory, so that connections, of which there are more, need not be as large.
    Udp(Box<Udp<B>>),
}

type Tuple = (SocketAddr, SocketAddr);

/// A packet that has arrived, without its version.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    interface: usize,
    source: IpAddr,
    destination: IpAddr,
    /// It was for more than one station.
    group: bool,
    hops: u8,
    service: u8,
    /// A device has checked the checksum, or there was no wire.
    verified: bool,
    /// Bytes in front of what it carries.
    header_length: usize,
}

/// What is to be done at some time, besides the timers of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Chore {
    /// Addresses of an interface change.
    Address(usize),
    /// A neighbour is asked again.
    Neighbour(usize, IpAddr),
    /// Parts of packets have waited long enough.
    Fragments,
    /// Groups of an interface are reported.
    Groups(usize),
    /// A client of DHCP goes on.
    Dhcp(usize),
    /// Routers of an interface are asked.
    Routers(usize),
    /// Routes end.
    Routes,
}

/// Whose timer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Socket(Handle),
    Request(u32),
    Late(u32),
}

/// Everything.
#[derive(Debug)]
pub struct Stack<B> {
    interfaces: Vec<Interface>,
    routes: Vec<Route>,
    /// Grows whenever one of these two may have changed.
    revision: u64,
    neighbours: SortedMap<(usize, IpAddr), Neighbour<B>>,
    sockets: Table<Socket<B>>,
    requests: Table<Pending>,
    late: Table<Late>,
    directory: Directory,
    /// How many connections hold an own address, by how others may share it.
    holders: BTreeMap<(u16, IpAddr), [u32; 4]>,
    listeners: BTreeMap<u16, Vec<Handle>>,
    datagrams: BTreeMap<u16, Vec<Handle>>,
    /// Sockets of echoes, by the identifiers of these.
    echoes: BTreeMap<u16, Vec<Handle>>,
    /// Sockets that receive whole packets.
    raws: Vec<Handle>,
    taps: taps::Taps<B>,
    timers: Agenda<Timer>,
    limits: Limits,
    /// Bytes of data of all connections.
    memory: usize,
    scarce: bool,
    orphans: usize,
    /// Segments on their way out: kept for its memory.
    segments: Vec<Segment<B>>,
    chores: Agenda<Chore>,
    /// The lane of whoever calls, and the one that frames get which are made now.
    caller: Option<u16>,
    lane: Option<u16>,
    /// Bytes that wait for neighbours.
    waiting: usize,
    paths: SortedMap<IpAddr, Learned>,
    complaints: Complaints,
    redirects: Vec<redirects::Redirect>,
    automatic: SortedMap<usize, Automatic>,
    fragments: SortedMap<Whose, Parts<B>>,
    /// Bytes of memory that parts of packets take.
    fragment_memory: usize,
    frames: VecDeque<Frame<B>>,
    events: VecDeque<Handle>,
    counters: Box<Counters>,
    secret: Secret,
    identification: u32,
    draws: u64,
}

/// What of a connection a program can notice.
fn noticeable<B: Buffer>(connection: &Connection<B>) -> (usize, bool, Readiness, State) {
    (
        connection.received(),
        connection.free() != 0,
        connection.readiness(),
        connection.state(),
    )
}

impl<B: Buffer> Stack<B> {
    /// A stack with nothing but the loopback interface. `secret` makes sequence numbers and ports hard to guess.
    pub fn new(secret: [u64; 2]) -> Self {
        Self {
            interfaces: Vec::from([Interface::loopback()]),
            routes: Vec::new(),
            revision: 0,
            neighbours: SortedMap::new(),
            sockets: Table::new(),
            requests: Table::new(),
            late: Table::new(),
            directory: Directory::new(Secret(secret)),
            holders: BTreeMap::new(),
            listeners: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            echoes: BTreeMap::new(),
            raws: Vec::new(),
            taps: taps::Taps::default(),
            timers: Agenda::new(),
            limits: Limits::default(),
            memory: 0,
            scarce: false,
            orphans: 0,
            segments: Vec::new(),
            chores: Agenda::new(),
            caller: None,
            lane: None,
            waiting: 0,
            paths: SortedMap::new(),
            complaints: Complaints::default(),
            redirects: Vec::new(),
            automatic: SortedMap::new(),
            fragments: SortedMap::new(),
            fragment_memory: 0,
            frames: VecDeque::new(),
            events: VecDeque::new(),
            counters: Box::new(Counters::new()),
            secret: Secret(secret),
            identification: secret[0] as u32,
            draws: 0,
        }
    }

    /// The next frame that is to be sent. Those for the loopback interface go to [`Self::receive`] again.
    pub fn take_frame(&mut self) -> Option<Frame<B>> {
        self.frames.pop_front()
    }

    /// The next socket whose readiness may have changed.
    pub fn take_event(&mut self) -> Option<Handle> {
        self.events.pop_front()
    }

    /// A number that grows whenever interfaces, their addresses or routes may have changed.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When [`Self::expire`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.chores.first(), self.timers.first()) {
            (Some(chore), Some(timer)) => Some(chore.min(timer)),
            (chore, timer) => chore.or(timer),
        }
    }

    /// Adds a socket. Returns its number, or one that no socket has if there are too many.
    fn add(&mut self, socket: Socket<B>) -> Handle {
        self.sockets.insert(socket).unwrap_or(0)
    }
}

fn sum_of<B: Buffer>(mut sum: Sum, pieces: &Pieces<B>) -> Sum {
    let mut odd = false;
    for piece in pieces.iter() {
        let own = Sum::default().bytes(piece);
        sum = if odd {
            sum.plus_odd(own)
        } else {
            sum.plus(own)
        };
        odd ^= piece.len() % 2 == 1;
    }
    sum
}
