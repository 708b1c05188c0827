//! Sockets of the families `AF_INET` and `AF_INET6`: `ip(7)`, `ipv6(7)`, `tcp(7)`, `udp(7)`.

use alloc::sync::{Arc, Weak};
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pith_linux::Errno;
use pith_linux::files::PollEvents;
use pith_linux::sockets::{MessageFlags, Shutdown, SocketKind, family, level, option};
use pith_linux::time::{Timespec, Timeval};
use pith_tcpip::stack::{Handle, Reach, Role, Sharing};
use pith_tcpip::tcp::{LARGEST_RECEIVE, Options, State};
use pith_tcpip::time::SECOND;
use spin::Mutex;

use super::datagrams::{Corked, ZeroCopies};
use super::errors::errno;
use super::groups::Groups;
use super::ip_options::{Chosen, IP, IPV6, v4};
use super::{Network, configured_network, name, raw};
use crate::fs::owner::URGENT_HAS_COME;
use crate::fs::permission;
use crate::fs::pipe;
use crate::fs::turn::Turn;
use crate::memory::{UserPointer, is_low, write_object};
use crate::net::address::Address;
use crate::net::message::{Incoming, Outgoing};
use crate::net::options::{Common, OptionValue, Patience};
use crate::net::socket::Socket;
use crate::task::Capabilities;
use crate::task::WaitQueue;

/// The number of TCP as a protocol and as a level of options.
const TCP: i32 = 6;
/// That of UDP.
const UDP: i32 = 17;
/// Most connections that wait to be accepted (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// Protocols have numbers below this (`IPPROTO_MAX`).
const PROTOCOL_LIMIT: i32 = 263;
/// `FIONREAD`
const BYTES_TO_READ: u32 = 0x541b;
/// `SIOCOUTQ`
const BYTES_IN_FLIGHT: u32 = 0x5411;
/// `SIOCGSTAMP`, `SIOCGSTAMPNS`
const GET_ARRIVAL: u32 = 0x8906;
const GET_ARRIVAL_NANOSECONDS: u32 = 0x8907;
/// `SIOCOUTQNSD`
const BYTES_UNSENT: u32 = 0x894b;
/// `SIOCATMARK`
const AT_MARK: u32 = 0x8905;

/// Options of IPv6.
mod ipv6_option {
    pub const ONLY_V6: i32 = 26;
}

/// A socket.
pub struct InternetSocket {
    itself: Weak<Self>,
    pub(super) network: &'static Network,
    pub(super) handle: Handle,
    pub(super) family: u16,
    kind: SocketKind,
    protocol: i32,
    pub(super) number: u64,
    pub(super) common: Common,
    queue: WaitQueue,
    /// One thread receives at a time, so that data keeps its order.
    pub(super) receiving: Turn,
    pub(super) sending: Turn,
    pub(super) connecting: AtomicBool,
    /// A signal has told of the urgent data that is there.
    pub(super) urgent_told: AtomicBool,
    /// Idle time, interval and number of questions, for when `SO_KEEPALIVE` is on.
    pub(super) keep_alive: Mutex<(u64, u64, u32)>,
    /// What the program has shut down.
    pub(super) no_more_input: AtomicBool,
    /// The same for a socket of datagrams, and for a stream that was not connected then; else its connection knows.
    pub(super) no_more_output: AtomicBool,
    /// Options of IP and UDP.
    pub(super) chosen: Mutex<Chosen>,
    pub(super) groups: Mutex<Groups>,
    pub(super) corked: Mutex<Option<Corked>>,
    pub(super) zero_copies: Mutex<ZeroCopies>,
}

/// A new socket.
///
/// # Errors
/// `EINVAL`, `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`, `EACCES`, `ENOMEM`.
pub fn create(family: u16, kind: u32, protocol: i32) -> Result<Arc<dyn Socket>, Errno> {
    if !(0..PROTOCOL_LIMIT).contains(&protocol) {
        return Err(Errno::EINVAL);
    }
    let made = match (SocketKind::from_number(kind), protocol) {
        (Some(SocketKind::Stream), 0 | TCP) => InternetSocket::make(family, SocketKind::Stream, Role::Datagrams),
        (Some(SocketKind::Datagram), 0 | UDP) => InternetSocket::make(family, SocketKind::Datagram, Role::Datagrams),
        (Some(kind @ (SocketKind::Datagram | SocketKind::Raw)), protocol) => {
            InternetSocket::make(family, kind, raw::role_of(family, kind, protocol)?)
        }
        (Some(SocketKind::Stream), _) => Err(Errno::EPROTONOSUPPORT),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    };
    made.map(|socket| socket as Arc<dyn Socket>)
}

/// The first port that needs no capability (`/proc/sys/net/ipv4/ip_unprivileged_port_start`).
pub static FIRST_FREE_PORT: AtomicUsize = AtomicUsize::new(1024);

impl InternetSocket {
    fn make(family: u16, kind: SocketKind, role: Role) -> Result<Arc<Self>, Errno> {
        if is_low() {
            return Err(Errno::ENOMEM);
        }
        let network = configured_network();
        let reach = match family {
            family::INTERNET => Reach::V4,
            _ if role == Role::Datagrams => Reach::Both,
            _ => Reach::V6,
        };
        network.start()?;
        let common = Common::default();
        let capacity = common.receive_buffer.load(Ordering::Relaxed);
        let handle = network.with(|stack, _| match kind {
            SocketKind::Stream => stack.tcp_open(reach, Options::default()),
            _ => stack.raw_open(reach, role, capacity),
        });
        Ok(Self::with_handle(network, (family, kind, role), handle))
    }

    fn with_handle(
        network: &'static Network,
        (family, kind, role): (u16, SocketKind, Role),
        handle: Handle,
    ) -> Arc<Self> {
        let socket = Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            network,
            handle,
            family,
            kind,
            protocol: match kind {
                SocketKind::Stream => TCP,
                _ => raw::protocol_of(family, role),
            },
            number: pipe::next_number(),
            common: Common::default(),
            queue: WaitQueue::new(),
            receiving: Turn::new(),
            sending: Turn::new(),
            connecting: AtomicBool::new(false),
            urgent_told: AtomicBool::new(false),
            keep_alive: Mutex::new((7200 * SECOND, 75 * SECOND, 9)),
            no_more_input: AtomicBool::new(false),
            no_more_output: AtomicBool::new(false),
            chosen: Mutex::new(Chosen::default()),
            groups: Mutex::new(Groups::default()),
            corked: Mutex::new(None),
            zero_copies: Mutex::new(ZeroCopies::default()),
        });
        if !socket.is_stream() && !socket.is_udp() {
            // As on Linux, these share their addresses at first. A number is always a value of it.
            let _ = socket.common.set_option(option::REUSE_ADDRESS, &1_i32.to_ne_bytes());
        }
        network.sockets.lock().insert(handle.into(), socket.itself.clone());
        socket
    }

    /// Something may be possible that was not.
    pub fn changed(&self) {
        let mut events = self.readiness();
        // A signal tells of urgent data once, however long it stays to be read.
        if !events.contains(PollEvents::PRIORITY) {
            self.urgent_told.store(false, Ordering::Relaxed);
        } else if !self.urgent_told.swap(true, Ordering::Relaxed) {
            events |= URGENT_HAS_COME;
        }
        self.queue.wake(events);
    }

    pub(super) fn is_stream(&self) -> bool {
        self.kind == SocketKind::Stream
    }

    /// Whether it is a socket of UDP.
    pub(super) fn is_udp(&self) -> bool {
        self.kind == SocketKind::Datagram && self.protocol == UDP
    }

    pub(super) fn wait<T>(&self, patience: Patience, condition: impl FnMut() -> Option<T>) -> Result<T, Errno> {
        patience.wait(&self.queue, condition)
    }

    pub(super) fn reach(&self) -> Reach {
        let reach = self.network.stack.lock().reach(self.handle);
        reach.unwrap_or(Reach::V4)
    }

    /// Gives a socket of UDP a port before it is used, as Linux does whatever comes of that use.
    fn complete_datagrams(&self) -> Result<(), Errno> {
        let completed = self.network.with(|stack, _| stack.udp_complete(self.handle));
        completed.map_err(|_| Errno::EAGAIN)
    }

    /// To whom a datagram goes, if the program says so.
    pub(super) fn peer_of(&self, message: &Outgoing<'_, '_>) -> Result<Option<SocketAddr>, Errno> {
        match &message.address {
            // As on Linux: no family means where the socket is connected to.
            Some(address) if address.family() == Some(family::UNSPECIFIED) && self.family != family::INTERNET => {
                Ok(None)
            }
            Some(address) => match name::read_peer(self.family, address) {
                // As Linux tells it, for datagrams of IPv6 only.
                Err(Errno::EAFNOSUPPORT) if self.is_udp() && self.family == family::INTERNET_6 => Err(Errno::EINVAL),
                read => read.map(Some),
            },
            None => Ok(None),
        }
    }
}

impl Socket for InternetSocket {
    fn family(&self) -> u16 {
        self.family
    }

    fn kind(&self) -> SocketKind {
        self.kind
    }

    fn protocol(&self) -> i32 {
        self.protocol
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn close(&self) {
        match self.common.linger() {
            Some(0) => self.abort_unlingering(),
            Some(seconds) => self.linger(u64::from(seconds) * SECOND),
            None => {}
        }
        self.network.sockets.lock().remove(&self.handle.into());
        self.network.with(|stack, now| stack.close(self.handle, now));
    }

    fn bind(&self, address: &Address) -> Result<(), Errno> {
        // Without a family, the address of nobody in particular is one of IPv4 (`bind(2)` of old programs).
        let address = match (self.family, address.family()) {
            (family::INTERNET, Some(family::UNSPECIFIED)) => {
                let read = name::read_peer(self.family, address)?;
                if !read.ip().is_unspecified() {
                    return Err(Errno::EAFNOSUPPORT);
                }
                read
            }
            _ => name::read(self.family, address)?,
        };
        if address.is_ipv4() && self.reach() == Reach::V6 {
            return Err(Errno::EINVAL);
        }
        let sharing = Sharing {
            address: self.common.switch(option::REUSE_ADDRESS),
            port: self.common.switch(option::REUSE_PORT),
        };
        if (1..FIRST_FREE_PORT.load(Ordering::Relaxed)).contains(&usize::from(address.port())) {
            permission::require(Capabilities::LOW_PORTS).map_err(|_| Errno::EACCES)?;
        }
        let chosen = *self.chosen.lock();
        let later = address.port() == 0 && chosen.is_on(IP, v4::BIND_ADDRESS_NO_PORT);
        let bound = self.network.with(|stack, _| {
            stack.bind_anywhere(self.handle, chosen.is_on(IP, v4::FREE_BIND));
            match later {
                true => stack.bind_without_port(self.handle, address, sharing),
                false => stack.bind(self.handle, address, sharing),
            }
        });
        bound.map_err(errno)
    }

    fn connect(&self, address: &Address, nonblocking: bool) -> Result<(), Errno> {
        if address.family() == Some(family::UNSPECIFIED) && !self.is_stream() {
            return self
                .network
                .with(|stack, _| stack.udp_connect(self.handle, None))
                .map_err(errno);
        }
        if !self.is_stream() {
            if address.family().is_some() {
                self.complete_datagrams()?;
            }
            let remote = name::read_peer(self.family, address)?;
            if remote.is_ipv4() && self.reach() == Reach::V6 && address.family() == Some(family::INTERNET) {
                return Err(Errno::EAFNOSUPPORT);
            }
            self.check_broadcast(remote)?;
            let connected = self
                .network
                .with(|stack, _| stack.udp_connect(self.handle, Some(remote)));
            return connected.map_err(errno);
        }
        self.connect_stream(address, nonblocking)
    }

    fn listen(&self, backlog: i32) -> Result<(), Errno> {
        if !self.is_stream() {
            return Err(Errno::EOPNOTSUPP);
        }
        // A negative number is a very large one.
        let backlog = if backlog < 0 { BACKLOG } else { backlog.min(BACKLOG) };
        let listening = self
            .network
            .with(|stack, _| stack.tcp_listen(self.handle, backlog as usize));
        listening.map_err(errno)
    }

    fn accept(&self, nonblocking: bool) -> Result<Arc<dyn Socket>, Errno> {
        if !self.is_stream() {
            return Err(Errno::EOPNOTSUPP);
        }
        let next = || {
            let mut stack = self.network.stack.lock();
            match stack.tcp_accept(self.handle) {
                Ok(Some(handle)) => Some(Ok(handle)),
                Ok(None) => None,
                Err(_) => Some(Err(Errno::EINVAL)),
            }
        };
        let handle = self.wait(self.common.receive_patience(nonblocking), next)??;
        let accepted = Self::with_handle(self.network, (self.family, SocketKind::Stream, Role::Datagrams), handle);
        accepted.common.inherit(&self.common);
        *accepted.chosen.lock() = *self.chosen.lock();
        *accepted.keep_alive.lock() = *self.keep_alive.lock();
        Ok(accepted)
    }

    fn local_address(&self) -> Result<Address, Errno> {
        let local = self.network.stack.lock().local(self.handle);
        Ok(name::shown(self.family, local.unwrap_or(name::nobody(self.family))))
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        if self.is_stream()
            && !matches!(self.connection(), Some((state, _)) if !matches!(state, State::Closed | State::TimeWait | State::SynSent))
        {
            return Err(Errno::ENOTCONN);
        }
        let remote = self.network.stack.lock().remote(self.handle);
        // As on Linux, a peer without a port has no name.
        let remote = remote.filter(|remote| remote.port() != 0);
        let shown = remote.map(|remote| name::shown(self.family, remote));
        shown.ok_or(Errno::ENOTCONN)
    }

    fn send(&self, message: Outgoing<'_, '_>) -> Result<usize, Errno> {
        if self.is_stream() {
            return self.send_stream(message);
        }
        self.complete_datagrams()?;
        // UDP over IPv6 does not look at that.
        let looks = !self.is_udp() || self.family == family::INTERNET;
        if message.flags.contains(MessageFlags::OUT_OF_BAND) && looks {
            return Err(Errno::EOPNOTSUPP);
        }
        self.send_datagram(message)
    }

    fn receive(&self, message: &mut Incoming<'_, '_>) -> Result<usize, Errno> {
        if message.flags.contains(MessageFlags::ERROR_QUEUE) {
            return self.receive_failure(message);
        }
        // Of datagrams nothing is urgent, and nobody looks at that.
        if message.flags.contains(MessageFlags::OUT_OF_BAND) && !self.is_udp() {
            return self.receive_urgent(message);
        }
        if self.is_stream() {
            self.receive_stream(message)
        } else {
            self.receive_datagram(message)
        }
    }

    fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        // As on Linux, what listens does not any more, and what asks for a connection does not either.
        if self.listens() {
            return match how.receiving() {
                true => self.disconnect_stream(),
                false => Ok(()),
            };
        }
        if matches!(self.connection(), Some((State::SynSent, _))) {
            return self.disconnect_stream();
        }
        if how.receiving() {
            self.no_more_input.store(true, Ordering::Relaxed);
        }
        // As on Linux, it counts even without a peer, although the call says otherwise.
        let connected = match self.is_stream() {
            true => self.peer_address().is_ok(),
            false => self.network.stack.lock().remote(self.handle).is_some(),
        };
        if how.sending() && !(self.is_stream() && connected) {
            self.no_more_output.store(true, Ordering::Relaxed);
        }
        if self.is_stream() && connected {
            self.network.with(|stack, now| {
                stack.with_connection(self.handle, now, |connection| {
                    if how.receiving() {
                        connection.refuse_input();
                    }
                    if how.sending() {
                        connection.shut_down();
                    }
                });
            });
        }
        self.changed();
        connected.then_some(()).ok_or(Errno::ENOTCONN)
    }

    fn readiness(&self) -> PollEvents {
        const READABLE: PollEvents = PollEvents::IN.union(PollEvents::READ_NORMAL);
        const WRITABLE: PollEvents = PollEvents::OUT.union(PollEvents::WRITE_NORMAL);
        let mut events = PollEvents::empty();
        let told = self.zero_copies.lock().are_done();
        let stack = self.network.stack.lock();
        if !self.is_stream() {
            let (failed, reported) = stack.udp_has_error(self.handle);
            let shut = self.no_more_input.load(Ordering::Relaxed);
            events.set(READABLE, stack.udp_next(self.handle).is_some() || shut);
            events |= WRITABLE;
            events.set(PollEvents::ERROR, failed || reported || told);
            events.set(PollEvents::READ_HANG_UP, shut);
            let ended = shut && self.no_more_output.load(Ordering::Relaxed);
            events.set(PollEvents::HANG_UP, ended);
            return events;
        }
        if let Some(ready) = stack.tcp_listening(self.handle) {
            events.set(READABLE, ready != 0);
            return events;
        }
        let Some(connection) = stack.connection(self.handle) else {
            // Never connected, or not any more.
            events |= WRITABLE | PollEvents::HANG_UP;
            events.set(
                READABLE | PollEvents::READ_HANG_UP,
                self.no_more_input.load(Ordering::Relaxed),
            );
            events.set(PollEvents::ERROR, self.common.has_error() || told);
            return events;
        };
        let readiness = connection.readiness();
        let shut = self.no_more_input.load(Ordering::Relaxed);
        let least = self.common.receive_low_water.load(Ordering::Relaxed) as usize;
        let enough = readiness.peer_ended || readiness.failed || connection.available() >= least;
        events.set(READABLE, readiness.readable && enough || shut);
        events.set(WRITABLE, readiness.writable);
        events.set(PollEvents::PRIORITY, readiness.urgent);
        events.set(PollEvents::READ_HANG_UP, readiness.peer_ended || shut);
        let both_shut = shut && self.no_more_output.load(Ordering::Relaxed);
        events.set(PollEvents::HANG_UP, readiness.ended || both_shut);
        events.set(PollEvents::ERROR, readiness.failed || self.common.has_error() || told);
        events
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn control(&self, request: u32, argument: UserPointer) -> Result<usize, Errno> {
        if matches!(request, GET_ARRIVAL | GET_ARRIVAL_NANOSECONDS) {
            let arrival = self.common.last_arrival().ok_or(Errno::ENOENT)?;
            match request {
                GET_ARRIVAL => write_object(argument, &Timeval::from_nanoseconds(arrival))?,
                _ => write_object(argument, &Timespec::from_nanoseconds(arrival))?,
            }
            return Ok(0);
        }
        if self.listens() && matches!(request, BYTES_TO_READ | BYTES_IN_FLIGHT) {
            return Err(Errno::EINVAL);
        }
        let bytes = {
            let stack = self.network.stack.lock();
            let connection = stack.connection(self.handle);
            match request {
                BYTES_TO_READ if self.is_stream() => connection.map_or(0, |connection| connection.waiting()),
                BYTES_TO_READ => stack.udp_next(self.handle).unwrap_or(0),
                BYTES_IN_FLIGHT => connection.map_or(0, |connection| connection.unacknowledged()),
                BYTES_UNSENT if self.is_stream() => connection.map_or(0, |connection| connection.unsent()),
                AT_MARK if self.is_stream() => connection.is_some_and(|connection| connection.is_at_mark()).into(),
                _ => return Err(Errno::ENOTTY),
            }
        };
        write_object(argument, &(bytes as i32))?;
        Ok(0)
    }

    fn listens(&self) -> bool {
        self.network.stack.lock().tcp_listening(self.handle).is_some()
    }

    fn option(&self, number: i32, name: i32) -> Option<Result<OptionValue, Errno>> {
        if let Some(value) = self.raw_option(number, name) {
            return Some(value);
        }
        match number {
            TCP if self.is_stream() => Some(self.tcp_option(name)),
            IP | UDP => Some(self.ip_option(number, name).map(OptionValue::Integer)),
            IPV6 if name != ipv6_option::ONLY_V6 => Some(self.ip_option(number, name).map(OptionValue::Integer)),
            IPV6 if self.family == family::INTERNET_6 && name == ipv6_option::ONLY_V6 => {
                let only = self.reach() == Reach::V6;
                Some(Ok(OptionValue::Integer(only.into())))
            }
            level::SOCKET if name == option::ERROR => {
                let taken = if self.is_stream() {
                    self.take_ending()
                } else {
                    self.take_failure()
                };
                let errno = taken.map_or(0, |errno| errno.number().into());
                Some(Ok(OptionValue::Integer(errno)))
            }
            number if number != level::SOCKET && self.family == family::INTERNET_6 => Some(Err(Errno::ENOPROTOOPT)),
            _ => None,
        }
    }

    fn takes_option(&self, name: i32) -> bool {
        !self.is_stream() || name == option::ZERO_COPY || {
            // What streams can't do yet.
            !matches!(
                name,
                option::ATTACH_FILTER
                    | option::DETACH_FILTER
                    | option::LOCK_FILTER
                    | option::BIND_TO_DEVICE
                    | option::BIND_TO_INTERFACE
            )
        }
    }

    fn common_set(&self, name: i32) {
        if !self.is_stream() {
            return self.datagram_option_set(name);
        }
        let size = |size: &AtomicUsize| size.load(Ordering::Relaxed);
        match name {
            option::KEEP_ALIVE => self.apply_keep_alive(),
            option::RECEIVE_LOW_WATER => {
                // As on Linux, never more than may come before anybody reads.
                let most = match self.options().receive_grows {
                    true => LARGEST_RECEIVE,
                    false => size(&self.common.receive_buffer),
                };
                let most = i32::try_from(most / 2).unwrap_or(i32::MAX);
                self.common.receive_low_water.fetch_min(most, Ordering::Relaxed);
            }
            option::OUT_OF_BAND_INLINE => {
                let on = self.common.switch(name);
                self.change_options(|options| options.urgent_inline = on);
            }
            option::SEND_BUFFER | option::SEND_BUFFER_FORCE => {
                let capacity = size(&self.common.send_buffer);
                self.change_options(|options| {
                    options.send_capacity = capacity;
                    options.send_grows = false;
                });
            }
            // As tcp(7) says, it counts for connections that are made afterwards.
            option::RECEIVE_BUFFER | option::RECEIVE_BUFFER_FORCE => {
                let capacity = size(&self.common.receive_buffer);
                self.change_options(|options| {
                    options.receive_capacity = capacity;
                    options.receive_grows = false;
                });
            }
            _ => {}
        }
    }

    fn set_option(&self, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        if let Some(result) = self.set_raw_option(level, name, value) {
            return result;
        }
        if matches!(level, IP | UDP) || level == IPV6 && name != ipv6_option::ONLY_V6 {
            return self.set_ip_option(level, name, value);
        }
        if level == TCP && self.is_stream() {
            return self.set_tcp_option(name, value);
        }
        if level != IPV6 || self.family != family::INTERNET_6 {
            return Err(Errno::ENOPROTOOPT);
        }
        let value = value.first_chunk().ok_or(Errno::EINVAL)?;
        let reach = match i32::from_ne_bytes(*value) {
            0 => Reach::Both,
            _ => Reach::V6,
        };
        let changed = self.network.with(|stack, _| stack.set_reach(self.handle, reach));
        changed.map_err(errno)
    }
}
