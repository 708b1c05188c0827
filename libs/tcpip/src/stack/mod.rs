//! Interfaces, neighbours and sockets: which packet belongs to whom, and where one goes.
//!
//! The owner calls [`Stack::receive`] for what arrives, [`Stack::expire`] at [`Stack::deadline`], and
//! takes frames with [`Stack::take_frame`] and sockets whose readiness may have changed with [`Stack::take_event`] after
//! whatever it called.

mod control;
mod control6;
mod datagrams;
mod discovery;
mod frame;
mod interfaces;
mod neighbours;
mod packets;
mod ports;
mod routes;
mod streams;

use frame::Transport;
pub use frame::{Cut, Frame, Headers, Offload, Partial, Received};

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::buffer::{Buffer, Pieces, Slice};
use crate::tcp::{Connection, Options, Path, Readiness, Segment, Sequence, State};
use crate::time::{Instant, SECOND};
use crate::wire::checksum::Sum;
use crate::wire::ethernet::HardwareAddress;
use crate::wire::{Malformed, arp, ethernet, icmp, icmpv6, ip, ipv4, ipv6, tcp, udp};
use interfaces::scope_of;
use neighbours::Neighbour;
use routes::Way;

pub use interfaces::{Address, AddressState, Interface, link_local_address};
pub use neighbours::NeighbourState;
pub use routes::Route;

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

#[derive(Debug)]
enum TcpState<B> {
    Idle,
    Listening {
        backlog: usize,
        /// Connections that are being made.
        half_open: usize,
        ready: VecDeque<Handle>,
    },
    Connected(Box<Connection<B>>),
}

#[derive(Debug)]
struct Tcp<B> {
    reach: Reach,
    local: Option<SocketAddr>,
    options: Options,
    state: TcpState<B>,
    /// The listener that it came from, until it is accepted.
    listener: Option<Handle>,
    /// When [`Stack::expire`] looks at it.
    deadline: Option<Instant>,
    /// The program is gone.
    orphaned: bool,
}

/// A datagram that has arrived.
#[derive(Clone, Debug)]
pub struct Datagram<B> {
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
    /// Its data.
    pub data: Slice<B>,
}

#[derive(Debug)]
struct Udp<B> {
    reach: Reach,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    queue: VecDeque<Datagram<B>>,
    queued: usize,
    /// Bytes that may wait.
    capacity: usize,
    /// The last datagram found nobody.
    refused: bool,
}

#[derive(Debug)]
enum Socket<B> {
    Tcp(Tcp<B>),
    Udp(Udp<B>),
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
}

/// Everything.
#[derive(Debug)]
pub struct Stack<B> {
    interfaces: Vec<Interface>,
    routes: Vec<Route>,
    neighbours: BTreeMap<(usize, IpAddr), Neighbour<B>>,
    sockets: BTreeMap<Handle, Socket<B>>,
    next_handle: Handle,
    connections: BTreeMap<Tuple, Handle>,
    listeners: BTreeMap<u16, Vec<Handle>>,
    datagrams: BTreeMap<u16, Vec<Handle>>,
    timers: BTreeSet<(Instant, Handle)>,
    chores: BTreeSet<(Instant, Chore)>,
    /// Bytes that wait for neighbours.
    waiting: usize,
    frames: VecDeque<Frame<B>>,
    events: VecDeque<Handle>,
    secret: [u64; 2],
    identification: u16,
    draws: u64,
}

/// What of a connection a program can notice.
fn noticeable<B: Buffer>(connection: &Connection<B>) -> (usize, bool, Readiness, State) {
    (
        connection.available(),
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
            neighbours: BTreeMap::new(),
            sockets: BTreeMap::new(),
            next_handle: 1,
            connections: BTreeMap::new(),
            listeners: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            timers: BTreeSet::new(),
            chores: BTreeSet::new(),
            waiting: 0,
            frames: VecDeque::new(),
            events: VecDeque::new(),
            secret,
            identification: secret[0] as u16,
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

    /// When [`Self::expire`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let chore = self.chores.first().map(|(at, _)| *at);
        let timer = self.timers.first().map(|(at, _)| *at);
        chore.into_iter().chain(timer).min()
    }

    /// A number that is hard to guess, made of the secret and others (SipHash with 1 and 3 rounds).
    fn hash(&self, words: &[u64]) -> u64 {
        let [k0, k1] = self.secret;
        let mut v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        let round = |v: &mut [u64; 4]| {
            v[0] = v[0].wrapping_add(v[1]);
            v[1] = v[1].rotate_left(13) ^ v[0];
            v[0] = v[0].rotate_left(32);
            v[2] = v[2].wrapping_add(v[3]);
            v[3] = v[3].rotate_left(16) ^ v[2];
            v[0] = v[0].wrapping_add(v[3]);
            v[3] = v[3].rotate_left(21) ^ v[0];
            v[2] = v[2].wrapping_add(v[1]);
            v[1] = v[1].rotate_left(17) ^ v[2];
            v[2] = v[2].rotate_left(32);
        };
        for word in words {
            v[3] ^= word;
            round(&mut v);
            v[0] ^= word;
        }
        v[2] ^= 0xff;
        for _ in 0..3 {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }

    /// The first sequence number and the offset of timestamps of a connection (RFC 6528).
    fn initial(&self, (local, remote): Tuple, now: Instant) -> (Sequence, u32) {
        let words = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => [0, ip.to_bits().into()],
            IpAddr::V6(ip) => [(ip.to_bits() >> 64) as u64, ip.to_bits() as u64],
        };
        let ([a, b], [c, d]) = (words(local.ip()), words(remote.ip()));
        let ports = u64::from(local.port()) << 16 | u64::from(remote.port());
        let first = self.hash(&[a, b, c, d, ports]) as u32;
        let stamp = self.hash(&[a, b, c, d]) as u32;
        // A step every 64 ns, as on Linux.
        (Sequence(first.wrapping_add((now.0 >> 6) as u32)), stamp)
    }

    fn add(&mut self, socket: Socket<B>) -> Handle {
        while self.sockets.contains_key(&self.next_handle) {
            self.next_handle = self.next_handle.wrapping_add(1);
        }
        let handle = self.next_handle;
        self.next_handle = self.next_handle.wrapping_add(1);
        self.sockets.insert(handle, socket);
        handle
    }

    fn path(&self, to: SocketAddr) -> Path {
        let way = self.route(to.ip(), scope_of(to));
        let mtu = way.map_or(1500, |way| self.interfaces[way.interface].mtu);
        let header = if to.is_ipv4() {
            ipv4::HEADER
        } else {
            ipv6::HEADER
        };
        Path {
            segment: mtu.min(65_535) - header - tcp::HEADER,
        }
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
