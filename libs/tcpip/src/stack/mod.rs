//! Interfaces, neighbours and sockets: which packet belongs to whom, and where one goes.
//!
//! IPv4 only so far. The owner calls [`Stack::receive`] for what arrives, [`Stack::expire`] at [`Stack::deadline`], and
//! takes frames with [`Stack::take_frame`] and sockets whose readiness may have changed with [`Stack::take_event`] after
//! whatever it called.

mod control;
mod datagrams;
mod frame;
mod neighbours;
mod packets;
mod ports;
mod streams;

use frame::Transport;
pub use frame::{Cut, Frame, Headers, Offload, Partial, Received};

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::buffer::{Buffer, Pieces, Slice};
use crate::tcp::{Connection, Options, Path, Readiness, Segment, Sequence, State};
use crate::time::{Instant, SECOND};
use crate::wire::checksum::Sum;
use crate::wire::ethernet::HardwareAddress;
use crate::wire::{Malformed, arp, ethernet, icmp, ipv4, tcp, udp};

/// A socket's number.
pub type Handle = u32;

/// Ports that the stack chooses by itself (`net.ipv4.ip_local_port_range`).
const EPHEMERAL: core::ops::RangeInclusive<u16> = 32_768..=60_999;
/// A question for a neighbour's address is asked again after this time, and so often.
const NEIGHBOUR_INTERVAL: u64 = SECOND;
const NEIGHBOUR_RETRIES: u32 = 3;
/// An answer is good for so long.
const NEIGHBOUR_LIFETIME: u64 = 60 * SECOND;
/// Packets that wait for an answer, at most, for each neighbour.
const NEIGHBOUR_QUEUE: usize = 16;
/// Most neighbours that are known.
const NEIGHBOURS: usize = 1024;

/// Why a call can't be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The address is taken.
    InUse,
    /// No interface has the address.
    NotLocal,
    /// No way leads there.
    Unreachable,
    /// All ports are taken.
    NoPort,
    /// Not in this state.
    State,
    /// The datagram is too long.
    TooLong,
}

/// An interface.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its card's address; `None` for the loopback interface.
    pub hardware: Option<HardwareAddress>,
    /// Bytes of an IP packet.
    pub mtu: usize,
    /// Its address, and how many bits of it are the network's.
    pub address: Option<(Ipv4Addr, u8)>,
    /// The router to everywhere else.
    pub gateway: Option<Ipv4Addr>,
    /// What its device does by itself.
    pub offload: Offload,
}

impl Interface {
    /// The interface by which a machine talks to itself.
    pub fn loopback() -> Self {
        Self {
            hardware: None,
            mtu: 65_536,
            address: Some((Ipv4Addr::LOCALHOST, 8)),
            gateway: None,
            offload: Offload {
                checksum: true,
                segmentation_v4: true,
                segmentation_v6: true,
            },
        }
    }

    fn holds(&self, address: Ipv4Addr) -> bool {
        match self.address {
            Some((_, 8)) if self.hardware.is_none() => address.is_loopback(),
            Some((own, _)) => own == address,
            None => false,
        }
    }

    fn mask(prefix: u8) -> u32 {
        u32::MAX
            .checked_shl(32 - u32::from(prefix.min(32)))
            .unwrap_or(0)
    }

    fn is_neighbour(&self, address: Ipv4Addr) -> bool {
        self.address.is_some_and(|(own, prefix)| {
            (u32::from(own) ^ u32::from(address)) & Self::mask(prefix) == 0
        })
    }

    fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address.is_broadcast()
            || self.address.is_some_and(|(own, prefix)| {
                prefix < 31 && u32::from(address) == u32::from(own) | !Self::mask(prefix)
            })
    }
}

#[derive(Debug)]
struct Neighbour<B> {
    hardware: Option<HardwareAddress>,
    /// Until when it is known, or when it is to be asked for again.
    until: Instant,
    retries: u32,
    waiting: Vec<Frame<B>>,
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
    local: Option<SocketAddrV4>,
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
    pub source: SocketAddrV4,
    /// To which of our addresses.
    pub destination: SocketAddrV4,
    /// Its data.
    pub data: Slice<B>,
}

#[derive(Debug)]
struct Udp<B> {
    local: Option<SocketAddrV4>,
    remote: Option<SocketAddrV4>,
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

type Tuple = (SocketAddrV4, SocketAddrV4);

/// Everything.
#[derive(Debug)]
pub struct Stack<B> {
    interfaces: Vec<Interface>,
    neighbours: BTreeMap<(usize, Ipv4Addr), Neighbour<B>>,
    sockets: BTreeMap<Handle, Socket<B>>,
    next_handle: Handle,
    connections: BTreeMap<Tuple, Handle>,
    listeners: BTreeMap<u16, Vec<Handle>>,
    datagrams: BTreeMap<u16, Vec<Handle>>,
    timers: BTreeSet<(Instant, Handle)>,
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
    /// A stack with these interfaces. `secret` makes sequence numbers and ports hard to guess.
    pub fn new(interfaces: Vec<Interface>, secret: [u64; 2]) -> Self {
        Self {
            interfaces,
            neighbours: BTreeMap::new(),
            sockets: BTreeMap::new(),
            next_handle: 1,
            connections: BTreeMap::new(),
            listeners: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            timers: BTreeSet::new(),
            frames: VecDeque::new(),
            events: VecDeque::new(),
            secret,
            identification: secret[0] as u16,
            draws: 0,
        }
    }

    /// The interfaces.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
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
        let neighbours = self.neighbours.values();
        let asked = neighbours
            .filter(|one| one.hardware.is_none())
            .map(|one| one.until);
        let timer = self.timers.first().map(|(at, _)| *at);
        asked.chain(timer).min()
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
        let addresses =
            u64::from(u32::from(*local.ip())) << 32 | u64::from(u32::from(*remote.ip()));
        let ports = u64::from(local.port()) << 16 | u64::from(remote.port());
        let first = self.hash(&[addresses, ports]) as u32;
        let stamp = self.hash(&[addresses]) as u32;
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

    fn is_local(&self, address: Ipv4Addr) -> bool {
        self.interfaces
            .iter()
            .any(|interface| interface.holds(address))
    }

    /// The interface and the next station on the way to an address.
    fn route(&self, to: Ipv4Addr) -> Result<(usize, Ipv4Addr), Error> {
        let local = self
            .interfaces
            .iter()
            .position(|one| one.hardware.is_none());
        if self.is_local(to) || to.is_loopback() {
            return local.map(|index| (index, to)).ok_or(Error::Unreachable);
        }
        let usable = |one: &&Interface| one.hardware.is_some() && one.address.is_some();
        let find = |suits: &dyn Fn(&Interface) -> bool| {
            let mut list = self.interfaces.iter();
            list.position(|one| usable(&one) && suits(one))
        };
        if let Some(index) = find(&|one| one.is_neighbour(to) || to.is_broadcast()) {
            return Ok((index, to));
        }
        let index = find(&|one| one.gateway.is_some()).ok_or(Error::Unreachable)?;
        let gateway = self.interfaces[index].gateway.ok_or(Error::Unreachable)?;
        Ok((index, gateway))
    }

    /// The address from which packets to another one come.
    fn source_for(&self, to: Ipv4Addr) -> Result<Ipv4Addr, Error> {
        if self.is_local(to) || to.is_loopback() {
            return Ok(to);
        }
        let (index, _) = self.route(to)?;
        let address = self.interfaces[index].address;
        address.map(|(own, _)| own).ok_or(Error::Unreachable)
    }

    fn path(&self, to: Ipv4Addr) -> Path {
        let mtu = self
            .route(to)
            .map_or(1500, |(index, _)| self.interfaces[index].mtu);
        Path {
            segment: mtu.min(65_535) - ipv4::HEADER - tcp::HEADER,
        }
    }
}

fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
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
