//! Interfaces, neighbours and sockets: which packet belongs to whom, and where one goes.
//!
//! IPv4 only so far. The owner calls [`Stack::receive`] for what arrives, [`Stack::expire`] at [`Stack::deadline`], and
//! takes frames with [`Stack::take_frame`] and sockets whose readiness may have changed with [`Stack::take_event`] after
//! whatever it called.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::buffer::{Buffer, Slice};
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
}

impl Interface {
    /// The interface by which a machine talks to itself.
    pub fn loopback() -> Self {
        Self {
            hardware: None,
            mtu: 65_536,
            address: Some((Ipv4Addr::LOCALHOST, 8)),
            gateway: None,
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

/// A frame that is to be sent.
#[derive(Debug)]
pub struct Frame<B> {
    /// By which interface.
    pub interface: usize,
    /// Its headers.
    pub headers: Vec<u8>,
    /// Its data, in pieces.
    pub payload: Vec<Slice<B>>,
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

/// Addresses and ports.
impl<B: Buffer> Stack<B> {
    /// Whether another socket has the address. With `share`, only one that listens there counts.
    fn conflicts(&self, datagrams: bool, address: SocketAddrV4, share: bool) -> bool {
        let table = if datagrams {
            &self.datagrams
        } else {
            &self.listeners
        };
        let same = |other: Option<SocketAddrV4>| {
            other.is_some_and(|other| {
                other.ip() == address.ip()
                    || other.ip().is_unspecified()
                    || address.ip().is_unspecified()
            })
        };
        let bound = table.get(&address.port()).into_iter().flatten();
        let mut sockets = bound.filter_map(|handle| self.sockets.get(handle));
        sockets.any(|socket| match socket {
            Socket::Tcp(socket) => {
                same(socket.local) && (!share || matches!(socket.state, TcpState::Listening { .. }))
            }
            Socket::Udp(socket) => same(socket.local) && !share,
        })
    }

    fn choose_port(
        &mut self,
        datagrams: bool,
        ip: Ipv4Addr,
        remote: Option<SocketAddrV4>,
    ) -> Result<u16, Error> {
        let count = u32::from(EPHEMERAL.end() - EPHEMERAL.start()) + 1;
        self.draws += 1;
        let start = self.hash(&[self.draws, 0x706f_7274]) as u32;
        for step in 0..count {
            let port = EPHEMERAL.start() + (start.wrapping_add(step) % count) as u16;
            let address = SocketAddrV4::new(ip, port);
            let used = match remote {
                Some(remote) => self.connections.contains_key(&(address, remote)),
                None => false,
            };
            if !used && !self.conflicts(datagrams, address, false) {
                return Ok(port);
            }
        }
        Err(Error::NoPort)
    }

    /// Gives a socket its own address.
    ///
    /// # Errors
    /// [`Error::State`] if it has one, [`Error::NotLocal`], [`Error::InUse`], [`Error::NoPort`].
    pub fn bind(
        &mut self,
        handle: Handle,
        mut address: SocketAddrV4,
        share: bool,
    ) -> Result<(), Error> {
        if !address.ip().is_unspecified()
            && !self.is_local(*address.ip())
            && !address.ip().is_broadcast()
        {
            return Err(Error::NotLocal);
        }
        let datagrams = matches!(self.sockets.get(&handle), Some(Socket::Udp(_)));
        if self.local(handle).is_some() {
            return Err(Error::State);
        }
        if address.port() == 0 {
            address.set_port(self.choose_port(datagrams, *address.ip(), None)?);
        } else if self.conflicts(datagrams, address, share) {
            return Err(Error::InUse);
        }
        match self.sockets.get_mut(&handle) {
            Some(Socket::Tcp(socket)) => socket.local = Some(address),
            Some(Socket::Udp(socket)) => socket.local = Some(address),
            None => return Err(Error::State),
        }
        let table = if datagrams {
            &mut self.datagrams
        } else {
            &mut self.listeners
        };
        table.entry(address.port()).or_default().push(handle);
        Ok(())
    }

    /// A socket's own address.
    pub fn local(&self, handle: Handle) -> Option<SocketAddrV4> {
        match self.sockets.get(&handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Connected(connection),
                ..
            }) => v4(connection.local()),
            Socket::Tcp(socket) => socket.local,
            Socket::Udp(socket) => socket.local,
        }
    }

    /// The address of a socket's peer.
    pub fn remote(&self, handle: Handle) -> Option<SocketAddrV4> {
        match self.sockets.get(&handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Connected(connection),
                ..
            }) => v4(connection.remote()),
            Socket::Tcp(_) => None,
            Socket::Udp(socket) => socket.remote,
        }
    }

    fn unbind(&mut self, handle: Handle, port: u16, datagrams: bool) {
        let table = if datagrams {
            &mut self.datagrams
        } else {
            &mut self.listeners
        };
        if let Some(list) = table.get_mut(&port) {
            list.retain(|other| *other != handle);
            if list.is_empty() {
                table.remove(&port);
            }
        }
    }
}

fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}

/// TCP.
impl<B: Buffer> Stack<B> {
    /// A new socket.
    pub fn tcp_open(&mut self, options: Options) -> Handle {
        self.add(Socket::Tcp(Tcp {
            local: None,
            options,
            state: TcpState::Idle,
            listener: None,
            deadline: None,
            orphaned: false,
        }))
    }

    fn tcp_mut(&mut self, handle: Handle) -> Result<&mut Tcp<B>, Error> {
        match self.sockets.get_mut(&handle) {
            Some(Socket::Tcp(socket)) => Ok(socket),
            _ => Err(Error::State),
        }
    }

    /// The connection of a socket; `None` if it has none.
    pub fn connection(&self, handle: Handle) -> Option<&Connection<B>> {
        match self.sockets.get(&handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Connected(connection),
                ..
            }) => Some(connection),
            _ => None,
        }
    }

    /// Does something with the connection of a socket, and sends what comes of it. `None` if it has none.
    pub fn with_connection<T>(
        &mut self,
        handle: Handle,
        now: Instant,
        action: impl FnOnce(&mut Connection<B>) -> T,
    ) -> Option<T> {
        let Ok(Tcp {
            state: TcpState::Connected(connection),
            ..
        }) = self.tcp_mut(handle)
        else {
            return None;
        };
        let result = action(connection);
        self.flush(handle, now);
        Some(result)
    }

    /// Waits for connections, of which up to `backlog` may wait to be accepted.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::InUse`], [`Error::NoPort`].
    pub fn tcp_listen(&mut self, handle: Handle, backlog: usize) -> Result<(), Error> {
        if self.local(handle).is_none() {
            self.bind(handle, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), false)?;
        }
        let socket = self.tcp_mut(handle)?;
        match &mut socket.state {
            TcpState::Idle => {
                socket.state = TcpState::Listening {
                    backlog,
                    half_open: 0,
                    ready: VecDeque::new(),
                };
                Ok(())
            }
            TcpState::Listening { backlog: old, .. } => {
                *old = backlog;
                Ok(())
            }
            TcpState::Connected(_) => Err(Error::State),
        }
    }

    /// Whether a socket waits for connections, and how many there are.
    pub fn tcp_listening(&self, handle: Handle) -> Option<usize> {
        match self.sockets.get(&handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Listening { ready, .. },
                ..
            }) => Some(ready.len()),
            _ => None,
        }
    }

    /// Takes a connection that has come.
    ///
    /// # Errors
    /// [`Error::State`] if the socket does not listen.
    pub fn tcp_accept(&mut self, handle: Handle) -> Result<Option<Handle>, Error> {
        let socket = self.tcp_mut(handle)?;
        let TcpState::Listening { ready, .. } = &mut socket.state else {
            return Err(Error::State);
        };
        let next = ready.pop_front();
        if let Some(next) = next
            && let Ok(socket) = self.tcp_mut(next)
        {
            socket.listener = None;
        }
        Ok(next)
    }

    /// Asks a peer for a connection.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::Unreachable`], [`Error::NoPort`], [`Error::InUse`].
    pub fn tcp_connect(
        &mut self,
        handle: Handle,
        mut remote: SocketAddrV4,
        now: Instant,
    ) -> Result<(), Error> {
        if remote.ip().is_unspecified() {
            remote.set_ip(Ipv4Addr::LOCALHOST);
        }
        let socket = self.tcp_mut(handle)?;
        if !matches!(socket.state, TcpState::Idle) {
            return Err(Error::State);
        }
        let (bound, options) = (socket.local, socket.options);
        let mut local = bound.unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        if local.ip().is_unspecified() {
            local.set_ip(self.source_for(*remote.ip())?);
        }
        if local.port() == 0 {
            local.set_port(self.choose_port(false, *local.ip(), Some(remote))?);
        }
        let tuple = (local, remote);
        if self.connections.contains_key(&tuple) {
            return Err(Error::InUse);
        }
        let path = self.path(*remote.ip());
        let initial = self.initial(tuple, now);
        let connection =
            Connection::connect((local.into(), remote.into()), initial, path, options, now);
        let socket = self.tcp_mut(handle)?;
        socket.state = TcpState::Connected(Box::new(connection));
        self.connections.insert(tuple, handle);
        self.flush(handle, now);
        Ok(())
    }

    /// What was chosen for a socket.
    pub fn tcp_chosen(&self, handle: Handle) -> Option<Options> {
        match self.sockets.get(&handle)? {
            Socket::Tcp(socket) => Some(socket.options),
            Socket::Udp(_) => None,
        }
    }

    /// Changes what a socket's connection, or those that it accepts, does.
    pub fn tcp_options(&mut self, handle: Handle, now: Instant, change: impl Fn(&mut Options)) {
        if let Ok(socket) = self.tcp_mut(handle) {
            change(&mut socket.options);
            if let TcpState::Connected(connection) = &mut socket.state {
                change(connection.options_mut());
                connection.keep_alive_changed(now);
                self.flush(handle, now);
            }
        }
    }

    /// Sends what a connection has to send, and sets its timer.
    fn flush(&mut self, handle: Handle, now: Instant) {
        let mut segments = Vec::new();
        let Ok(socket) = self.tcp_mut(handle) else {
            return;
        };
        let TcpState::Connected(connection) = &mut socket.state else {
            return;
        };
        connection.transmit(now, 0, &mut segments);
        let deadline = connection.deadline();
        let over = connection.is_over() && socket.orphaned;
        let tuple = (v4(connection.local()), v4(connection.remote()));
        let old = core::mem::replace(&mut socket.deadline, deadline);
        if old != deadline {
            if let Some(old) = old {
                self.timers.remove(&(old, handle));
            }
            if let Some(deadline) = deadline {
                self.timers.insert((deadline, handle));
            }
        }
        if let (Some(local), Some(remote)) = tuple {
            for segment in segments {
                self.send_segment((local, remote), segment, now);
            }
            if over {
                self.forget(handle, (local, remote));
            }
        }
    }

    fn forget(&mut self, handle: Handle, tuple: Tuple) {
        self.connections.remove(&tuple);
        if let Some(Socket::Tcp(socket)) = self.sockets.remove(&handle) {
            if let Some(deadline) = socket.deadline {
                self.timers.remove(&(deadline, handle));
            }
            if let Some(local) = socket.local {
                self.unbind(handle, local.port(), false);
            }
        }
    }

    fn send_segment(&mut self, (local, remote): Tuple, segment: Segment<B>, now: Instant) {
        let mut bytes = [0; tcp::LONGEST_HEADER];
        let length = segment.header.write(&mut bytes);
        let data = segment.length();
        let mut sum = Sum::default()
            .pseudo_header_v4(*local.ip(), *remote.ip(), ipv4::TCP, (length + data) as u16)
            .bytes(&bytes[..length]);
        sum = sum_of(sum, &segment.payload);
        bytes[16..18].copy_from_slice(&sum.checksum());
        let header = ipv4::Header::new(*local.ip(), *remote.ip(), ipv4::TCP, length + data);
        self.send_packet(header, &bytes[..length], segment.payload, now);
    }

    fn receive_tcp(
        &mut self,
        packet: &ipv4::Header,
        payload: Slice<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let sum = Sum::default().pseudo_header_v4(
            packet.source,
            packet.destination,
            ipv4::TCP,
            payload.len() as u16,
        );
        if !sum.bytes(&payload).is_right() {
            return Err(Malformed::Checksum);
        }
        let (header, length) = tcp::Header::read(&payload)?;
        let local = SocketAddrV4::new(packet.destination, header.destination);
        let remote = SocketAddrV4::new(packet.source, header.source);
        let tuple = (local, remote);
        let mut data = payload;
        data.advance(length);
        if let Some(handle) = self.connections.get(&tuple).copied() {
            if self.deliver(handle, &header, &data, now) {
                return Ok(());
            }
            // The pair of addresses was only reserved: a new connection may have it.
            self.forget(handle, tuple);
        }
        let opens =
            header.flags & (tcp::flag::SYN | tcp::flag::ACK | tcp::flag::RST) == tcp::flag::SYN;
        match self.find_listener(local) {
            Some(listener) if opens => self.begin_connection(listener, tuple, &header, now),
            _ => self.refuse(tuple, &header, data.len(), now),
        }
        Ok(())
    }

    /// Gives a segment to a connection. False if that only waits for its end, and the segment begins a new one.
    fn deliver(
        &mut self,
        handle: Handle,
        header: &tcp::Header,
        data: &Slice<B>,
        now: Instant,
    ) -> bool {
        let Ok(socket) = self.tcp_mut(handle) else {
            return false;
        };
        let listener = socket.listener;
        let TcpState::Connected(connection) = &mut socket.state else {
            return false;
        };
        let before = noticeable(connection);
        if before.3 == State::TimeWait && header.has(tcp::flag::SYN) && !header.has(tcp::flag::ACK)
        {
            return false;
        }
        connection.receive(header, data.clone(), now);
        let after = noticeable(connection);
        self.flush(handle, now);
        if before != after {
            self.events.push_back(handle);
        }
        if let Some(listener) = listener {
            self.advance_half_open(listener, handle, (before.3, after.3));
        }
        true
    }

    /// A connection that a listener has begun was made, or has failed.
    fn advance_half_open(
        &mut self,
        listener: Handle,
        handle: Handle,
        (before, after): (State, State),
    ) {
        if before == after || before != State::SynReceived && after != State::Closed {
            return;
        }
        let mut kept = false;
        if let Ok(Tcp {
            state: TcpState::Listening {
                half_open, ready, ..
            },
            ..
        }) = self.tcp_mut(listener)
        {
            if before == State::SynReceived {
                *half_open = half_open.saturating_sub(1);
            }
            if after != State::Closed {
                ready.push_back(handle);
                kept = true;
            }
        }
        if kept {
            self.events.push_back(listener);
        } else if before == State::SynReceived
            && let Some(connection) = self.connection(handle)
            && let (Some(local), Some(remote)) = (v4(connection.local()), v4(connection.remote()))
        {
            self.forget(handle, (local, remote));
        }
    }

    fn find_listener(&self, local: SocketAddrV4) -> Option<Handle> {
        let list = self.listeners.get(&local.port())?;
        let listens = |handle: &Handle, exact: bool| match self.sockets.get(handle) {
            Some(Socket::Tcp(Tcp {
                state: TcpState::Listening { .. },
                local: Some(bound),
                ..
            })) if exact => bound.ip() == local.ip(),
            Some(Socket::Tcp(Tcp {
                state: TcpState::Listening { .. },
                local: Some(bound),
                ..
            })) => bound.ip().is_unspecified(),
            _ => false,
        };
        let exact = list.iter().find(|handle| listens(handle, true));
        exact
            .or_else(|| list.iter().find(|handle| listens(handle, false)))
            .copied()
    }

    fn begin_connection(
        &mut self,
        listener: Handle,
        tuple: Tuple,
        syn: &tcp::Header,
        now: Instant,
    ) {
        let Ok(socket) = self.tcp_mut(listener) else {
            return;
        };
        let options = socket.options;
        let TcpState::Listening {
            backlog,
            half_open,
            ready,
        } = &mut socket.state
        else {
            return;
        };
        // As Linux: one more than asked for; what does not fit is asked again by the peer.
        if ready.len() > *backlog || *half_open > (*backlog).max(8) {
            return;
        }
        *half_open += 1;
        let path = self.path(*tuple.1.ip());
        let initial = self.initial(tuple, now);
        let connection = Connection::answer(
            (tuple.0.into(), tuple.1.into()),
            syn,
            initial,
            path,
            options,
            now,
        );
        let handle = self.add(Socket::Tcp(Tcp {
            local: None,
            options,
            state: TcpState::Connected(Box::new(connection)),
            listener: Some(listener),
            deadline: None,
            orphaned: false,
        }));
        self.connections.insert(tuple, handle);
        self.flush(handle, now);
    }

    /// Answers a segment of no connection with a reset (RFC 9293, section 3.10.7.1).
    fn refuse(&mut self, tuple: Tuple, header: &tcp::Header, length: usize, now: Instant) {
        if header.has(tcp::flag::RST) {
            return;
        }
        let mut answer = tcp::Header {
            source: tuple.0.port(),
            destination: tuple.1.port(),
            flags: tcp::flag::RST,
            ..tcp::Header::default()
        };
        if header.has(tcp::flag::ACK) {
            answer.sequence = header.acknowledgement;
        } else {
            let numbers = length
                + usize::from(header.has(tcp::flag::SYN))
                + usize::from(header.has(tcp::flag::FIN));
            answer.flags |= tcp::flag::ACK;
            answer.acknowledgement = header.sequence + numbers;
        }
        let segment = Segment {
            header: answer,
            payload: Vec::new(),
            cut: 0,
        };
        self.send_segment(tuple, segment, now);
    }
}

fn sum_of<B: Buffer>(mut sum: Sum, pieces: &[Slice<B>]) -> Sum {
    let mut odd = false;
    for piece in pieces {
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

/// UDP.
impl<B: Buffer> Stack<B> {
    /// A new socket, for which so many bytes may wait.
    pub fn udp_open(&mut self, capacity: usize) -> Handle {
        self.add(Socket::Udp(Udp {
            local: None,
            remote: None,
            queue: VecDeque::new(),
            queued: 0,
            capacity,
            refused: false,
        }))
    }

    fn udp_mut(&mut self, handle: Handle) -> Result<&mut Udp<B>, Error> {
        match self.sockets.get_mut(&handle) {
            Some(Socket::Udp(socket)) => Ok(socket),
            _ => Err(Error::State),
        }
    }

    /// Sends to, and receives from, only this address from now on; `None` for any again.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::NoPort`].
    pub fn udp_connect(
        &mut self,
        handle: Handle,
        remote: Option<SocketAddrV4>,
    ) -> Result<(), Error> {
        if let Some(remote) = remote {
            let source = self.source_for(*remote.ip())?;
            if self.local(handle).is_none() {
                self.bind(handle, SocketAddrV4::new(source, 0), false)?;
            } else if let Ok(Udp {
                local: Some(local), ..
            }) = self.udp_mut(handle)
                && local.ip().is_unspecified()
            {
                local.set_ip(source);
            }
        }
        self.udp_mut(handle)?.remote = remote;
        Ok(())
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// [`Error::State`] without an address, [`Error::TooLong`], [`Error::Unreachable`], [`Error::NoPort`].
    pub fn udp_send(
        &mut self,
        handle: Handle,
        to: Option<SocketAddrV4>,
        data: Slice<B>,
        now: Instant,
    ) -> Result<(), Error> {
        let connected = self.udp_mut(handle)?.remote;
        let remote = to.or(connected).ok_or(Error::State)?;
        if self.local(handle).is_none() {
            self.bind(handle, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), false)?;
        }
        let local = self.local(handle).ok_or(Error::State)?;
        let source = match local.ip().is_unspecified() {
            true => self.source_for(*remote.ip())?,
            false => *local.ip(),
        };
        let (interface, _) = self.route(*remote.ip())?;
        let length = udp::HEADER + data.len();
        if ipv4::HEADER + length > self.interfaces[interface].mtu.min(65_535) {
            return Err(Error::TooLong);
        }
        let header = udp::Header {
            source: local.port(),
            destination: remote.port(),
            length: length as u16,
            checksum: 0,
        };
        let mut bytes = header.bytes();
        let sum = Sum::default()
            .pseudo_header_v4(source, *remote.ip(), ipv4::UDP, length as u16)
            .bytes(&bytes);
        let mut checksum = sum_of(sum, core::slice::from_ref(&data)).checksum();
        if checksum == [0, 0] {
            checksum = [0xff, 0xff]; // 0 would mean none
        }
        bytes[6..8].copy_from_slice(&checksum);
        let packet = ipv4::Header::new(source, *remote.ip(), ipv4::UDP, length);
        let payload = if data.is_empty() {
            Vec::new()
        } else {
            Vec::from([data])
        };
        self.send_packet(packet, &bytes, payload, now);
        Ok(())
    }

    /// The next datagram that has arrived; it stays if it is only looked at.
    pub fn udp_receive(&mut self, handle: Handle, only_look: bool) -> Option<Datagram<B>> {
        let socket = self.udp_mut(handle).ok()?;
        if only_look {
            return socket.queue.front().cloned();
        }
        let datagram = socket.queue.pop_front()?;
        socket.queued -= datagram.data.len();
        Some(datagram)
    }

    /// Bytes of the next datagram; `None` if there is none.
    pub fn udp_next(&self, handle: Handle) -> Option<usize> {
        match self.sockets.get(&handle)? {
            Socket::Udp(socket) => socket.queue.front().map(|datagram| datagram.data.len()),
            Socket::Tcp(_) => None,
        }
    }

    /// Whether the last datagram found nobody; the next call says no.
    pub fn udp_take_refusal(&mut self, handle: Handle) -> bool {
        self.udp_mut(handle)
            .is_ok_and(|socket| core::mem::take(&mut socket.refused))
    }

    /// Whether the last datagram found nobody.
    pub fn udp_was_refused(&self, handle: Handle) -> bool {
        matches!(
            self.sockets.get(&handle),
            Some(Socket::Udp(Udp { refused: true, .. }))
        )
    }

    fn receive_udp(
        &mut self,
        packet: &ipv4::Header,
        whole: &Slice<B>,
        payload: Slice<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let header = udp::Header::read(&payload)?;
        let mut data = payload;
        data.truncate(header.length.into());
        if header.checksum != 0 {
            let sum = Sum::default().pseudo_header_v4(
                packet.source,
                packet.destination,
                ipv4::UDP,
                header.length,
            );
            if !sum.bytes(&data).is_right() {
                return Err(Malformed::Checksum);
            }
        }
        data.advance(udp::HEADER);
        let source = SocketAddrV4::new(packet.source, header.source);
        let destination = SocketAddrV4::new(packet.destination, header.destination);
        let group = self
            .interfaces
            .iter()
            .any(|one| one.is_broadcast(packet.destination));
        let list = self
            .datagrams
            .get(&header.destination)
            .cloned()
            .unwrap_or_default();
        // The most particular one takes it: connected before bound before bound to any address.
        let mut best: Option<(u8, Handle)> = None;
        for handle in list {
            let Some(Socket::Udp(socket)) = self.sockets.get(&handle) else {
                continue;
            };
            let Some(local) = socket.local else { continue };
            if !local.ip().is_unspecified() && *local.ip() != packet.destination && !group {
                continue;
            }
            let score = match socket.remote {
                Some(remote) if remote == source => 2,
                Some(_) => continue,
                None => u8::from(!local.ip().is_unspecified()),
            };
            if best.is_none_or(|(other, _)| score > other) {
                best = Some((score, handle));
            }
        }
        let Some((_, handle)) = best else {
            if !group {
                self.send_unreachable(packet, whole, now);
            }
            return Ok(());
        };
        if let Ok(socket) = self.udp_mut(handle)
            && socket.queued + data.len() <= socket.capacity
        {
            socket.queued += data.len();
            socket.queue.push_back(Datagram {
                source,
                destination,
                data,
            });
            self.events.push_back(handle);
        }
        Ok(())
    }

    /// Says that nobody listens at the port of a datagram.
    fn send_unreachable(&mut self, packet: &ipv4::Header, whole: &Slice<B>, now: Instant) {
        // Its header and the first eight bytes behind it (RFC 792); as many as Linux: up to 548 (RFC 1812).
        let quoted = whole.part(0, packet.header_length + 520);
        let header = icmp::Header {
            kind: icmp::UNREACHABLE,
            code: icmp::PORT_UNREACHABLE,
            rest: 0,
        };
        let bytes = header.bytes(&quoted);
        let length = bytes.len() + quoted.len();
        let answer = ipv4::Header::new(packet.destination, packet.source, ipv4::ICMP, length);
        self.send_packet(answer, &bytes, Vec::from([quoted]), now);
    }

    fn receive_icmp(
        &mut self,
        packet: &ipv4::Header,
        payload: Slice<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let header = icmp::Header::read(&payload)?;
        let mut data = payload;
        data.advance(icmp::HEADER);
        match header.kind {
            icmp::ECHO if self.is_local(packet.destination) => {
                let answer = icmp::Header {
                    kind: icmp::ECHO_REPLY,
                    ..header
                };
                let bytes = answer.bytes(&data);
                let packet = ipv4::Header::new(
                    packet.destination,
                    packet.source,
                    ipv4::ICMP,
                    icmp::HEADER + data.len(),
                );
                self.send_packet(packet, &bytes, Vec::from([data]), now);
            }
            icmp::UNREACHABLE => self.receive_unreachable(header.code, &data)?,
            _ => {}
        }
        Ok(())
    }

    /// One of our packets could not be delivered: its start comes back.
    fn receive_unreachable(&mut self, code: u8, quoted: &[u8]) -> Result<(), Malformed> {
        // Less than a whole packet, so it is read by hand.
        let length = usize::from(quoted.first().ok_or(Malformed::Short)? & 15) * 4;
        let header = quoted
            .get(..length.max(ipv4::HEADER))
            .ok_or(Malformed::Short)?;
        let address = |offset| crate::wire::array_at::<4>(header, offset).map(Ipv4Addr::from);
        let (from, to) = (address(12)?, address(16)?);
        let (own, other) = tcp::Header::ports(&quoted[length..])?;
        let (local, remote) = (SocketAddrV4::new(from, own), SocketAddrV4::new(to, other));
        match header[9] {
            ipv4::UDP => {
                let list = self.datagrams.get(&own).cloned().unwrap_or_default();
                for handle in list {
                    if let Ok(socket) = self.udp_mut(handle)
                        && socket.remote == Some(remote)
                    {
                        socket.refused = true;
                        self.events.push_back(handle);
                    }
                }
            }
            ipv4::TCP => {
                if let Some(handle) = self.connections.get(&(local, remote)).copied()
                    && let Ok(Tcp {
                        state: TcpState::Connected(connection),
                        ..
                    }) = self.tcp_mut(handle)
                {
                    connection.unreachable(code == icmp::PORT_UNREACHABLE);
                    self.events.push_back(handle);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Packets.
impl<B: Buffer> Stack<B> {
    fn send_packet(
        &mut self,
        mut packet: ipv4::Header,
        header: &[u8],
        payload: Vec<Slice<B>>,
        now: Instant,
    ) {
        let Ok((interface, next)) = self.route(packet.destination) else {
            return;
        };
        self.identification = self.identification.wrapping_add(1);
        packet.identification = self.identification;
        let mut headers = Vec::with_capacity(ethernet::HEADER + ipv4::HEADER + header.len());
        let hardware = self.interfaces[interface].hardware;
        if let Some(source) = hardware {
            let frame = ethernet::Header {
                destination: HardwareAddress::BROADCAST,
                source,
                kind: ethernet::IPV4,
            };
            headers.extend_from_slice(&frame.bytes());
        }
        headers.extend_from_slice(&packet.bytes());
        headers.extend_from_slice(header);
        let frame = Frame {
            interface,
            headers,
            payload,
        };
        if hardware.is_none() || self.interfaces[interface].is_broadcast(packet.destination) {
            self.frames.push_back(frame);
        } else {
            self.send_to_neighbour(interface, next, frame, now);
        }
    }

    fn send_to_neighbour(
        &mut self,
        interface: usize,
        next: Ipv4Addr,
        mut frame: Frame<B>,
        now: Instant,
    ) {
        let key = (interface, next);
        match self.neighbours.get_mut(&key) {
            Some(Neighbour {
                hardware: Some(hardware),
                until,
                ..
            }) => {
                frame.headers[..6].copy_from_slice(&hardware.0);
                let old = *until <= now;
                if old {
                    // Still used until there is a better one.
                    *until = now + NEIGHBOUR_LIFETIME;
                }
                self.frames.push_back(frame);
                if old {
                    self.ask(interface, next);
                }
            }
            Some(neighbour) => {
                if neighbour.waiting.len() < NEIGHBOUR_QUEUE {
                    neighbour.waiting.push(frame);
                }
            }
            None => {
                if self.neighbours.len() >= NEIGHBOURS {
                    self.neighbours.pop_first();
                }
                let neighbour = Neighbour {
                    hardware: None,
                    until: now + NEIGHBOUR_INTERVAL,
                    retries: 0,
                    waiting: Vec::from([frame]),
                };
                self.neighbours.insert(key, neighbour);
                self.ask(interface, next);
            }
        }
    }

    fn send_arp(&mut self, interface: usize, packet: arp::Packet, destination: HardwareAddress) {
        let frame = ethernet::Header {
            destination,
            source: packet.sender.0,
            kind: ethernet::ARP,
        };
        let mut headers = Vec::from(frame.bytes());
        headers.extend_from_slice(&packet.bytes());
        self.frames.push_back(Frame {
            interface,
            headers,
            payload: Vec::new(),
        });
    }

    /// Asks for the hardware address of a neighbour.
    fn ask(&mut self, interface: usize, address: Ipv4Addr) {
        let one = &self.interfaces[interface];
        let (Some(hardware), Some((own, _))) = (one.hardware, one.address) else {
            return;
        };
        let question = arp::Packet {
            is_reply: false,
            sender: (hardware, own),
            target: (HardwareAddress::default(), address),
        };
        self.send_arp(interface, question, HardwareAddress::BROADCAST);
    }

    fn receive_arp(
        &mut self,
        interface: usize,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), Malformed> {
        let packet = arp::Packet::read(bytes)?;
        let one = &self.interfaces[interface];
        let (Some(hardware), Some((own, _))) = (one.hardware, one.address) else {
            return Ok(());
        };
        let (sender, address) = packet.sender;
        if sender.is_group() || address == own {
            return Ok(());
        }
        let asked = packet.target.1 == own;
        let known = self.neighbours.contains_key(&(interface, address));
        if known || asked && one.is_neighbour(address) && self.neighbours.len() < NEIGHBOURS {
            let entry = self
                .neighbours
                .entry((interface, address))
                .or_insert(Neighbour {
                    hardware: None,
                    until: now,
                    retries: 0,
                    waiting: Vec::new(),
                });
            entry.hardware = Some(sender);
            entry.until = now + NEIGHBOUR_LIFETIME;
            entry.retries = 0;
            for mut frame in core::mem::take(&mut entry.waiting) {
                frame.headers[..6].copy_from_slice(&sender.0);
                self.frames.push_back(frame);
            }
        }
        if asked && !packet.is_reply {
            let answer = arp::Packet {
                is_reply: true,
                sender: (hardware, own),
                target: packet.sender,
            };
            self.send_arp(interface, answer, sender);
        }
        Ok(())
    }

    /// A frame has arrived at an interface.
    ///
    /// # Errors
    /// Why it is thrown away, for statistics.
    pub fn receive(
        &mut self,
        interface: usize,
        frame: Slice<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let mut packet = frame;
        if let Some(own) = self.interfaces[interface].hardware {
            let header = ethernet::Header::read(&packet)?;
            if header.destination != own && !header.destination.is_group() {
                return Ok(());
            }
            packet.advance(ethernet::HEADER);
            match header.kind {
                ethernet::IPV4 => {}
                ethernet::ARP => return self.receive_arp(interface, &packet, now),
                _ => return Ok(()),
            }
        }
        let header = ipv4::Header::read(&packet)?;
        packet.truncate(header.header_length + header.payload_length);
        if header.is_fragment() {
            return Err(Malformed::Field); // not put together yet
        }
        let broadcast = self.interfaces[interface].is_broadcast(header.destination);
        if !self.is_local(header.destination) && !broadcast {
            return Ok(());
        }
        let payload = packet.part(header.header_length, header.payload_length);
        match header.protocol {
            ipv4::TCP if !broadcast => self.receive_tcp(&header, payload, now),
            ipv4::UDP => self.receive_udp(&header, &packet, payload, now),
            ipv4::ICMP => self.receive_icmp(&header, payload, now),
            _ => Ok(()),
        }
    }

    /// Time has passed.
    pub fn expire(&mut self, now: Instant) {
        while let Some((at, handle)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.timers.remove(&(at, handle));
            self.expire_connection(handle, now);
        }
        let due: Vec<(usize, Ipv4Addr)> = self
            .neighbours
            .iter()
            .filter(|(_, one)| one.hardware.is_none() && one.until <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let Some(neighbour) = self.neighbours.get_mut(&key) else {
                continue;
            };
            neighbour.retries += 1;
            neighbour.until = now + NEIGHBOUR_INTERVAL;
            if neighbour.retries >= NEIGHBOUR_RETRIES {
                self.neighbours.remove(&key);
            } else {
                self.ask(key.0, key.1);
            }
        }
    }

    fn expire_connection(&mut self, handle: Handle, now: Instant) {
        let mut segments = Vec::new();
        let Ok(socket) = self.tcp_mut(handle) else {
            return;
        };
        socket.deadline = None;
        let listener = socket.listener;
        let TcpState::Connected(connection) = &mut socket.state else {
            return;
        };
        let before = noticeable(connection);
        connection.expire(now, &mut segments);
        let after = noticeable(connection);
        if let (Some(local), Some(remote)) = (v4(connection.local()), v4(connection.remote())) {
            for segment in segments {
                self.send_segment((local, remote), segment, now);
            }
        }
        self.flush(handle, now);
        if before != after {
            self.events.push_back(handle);
        }
        if let Some(listener) = listener {
            self.advance_half_open(listener, handle, (before.3, after.3));
        }
    }

    /// The program is done with a socket. A connection ends by itself.
    pub fn close(&mut self, handle: Handle, now: Instant) {
        match self.sockets.get_mut(&handle) {
            Some(Socket::Udp(socket)) => {
                let local = socket.local;
                self.sockets.remove(&handle);
                if let Some(local) = local {
                    self.unbind(handle, local.port(), true);
                }
            }
            Some(Socket::Tcp(socket)) => {
                socket.orphaned = true;
                match &mut socket.state {
                    TcpState::Connected(connection) => {
                        connection.close(now);
                        // Its port is free for listeners from now on.
                        if let Some(local) = socket.local.take() {
                            self.unbind(handle, local.port(), false);
                        }
                        self.flush(handle, now);
                    }
                    TcpState::Idle | TcpState::Listening { .. } => {
                        let ready = match &mut socket.state {
                            TcpState::Listening { ready, .. } => core::mem::take(ready),
                            _ => VecDeque::new(),
                        };
                        let local = socket.local;
                        self.sockets.remove(&handle);
                        if let Some(local) = local {
                            self.unbind(handle, local.port(), false);
                        }
                        for connection in ready {
                            if let Ok(socket) = self.tcp_mut(connection) {
                                socket.orphaned = true;
                            }
                            self.with_connection(connection, now, |connection| connection.abort());
                        }
                    }
                }
            }
            None => {}
        }
    }
}
