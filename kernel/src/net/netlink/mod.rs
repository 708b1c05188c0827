//! Netlink sockets (`netlink(7)`): programs ask the kernel for interfaces, addresses and routes, and hear of changes.
//!
//! Of the protocols there are [`protocol::ROUTE`], which [`route`] answers, and [`protocol::DIAGNOSIS`] ([`diagnosis`]). A
//! question is answered while it is sent: the answers wait in the socket until they are received.

mod changes;
mod diagnosis;
mod notices;
mod route;

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use pith_linux::Errno;
use pith_linux::files::PollEvents;
use pith_linux::netlink::{
    Builder, HEADER, Header, OPTIONS, Request, Requests, SocketAddress, control, flag, group, option as netlink_option,
    protocol,
};
use pith_linux::sockets::PeerCredentials;
use pith_linux::sockets::{MessageFlags, Shutdown, SocketKind, family, option};
use spin::Mutex;
use zerocopy::{FromBytes, IntoBytes};

pub use notices::changed;

use super::address::Address;
use super::message::{ControlMessage, Incoming, Outgoing};
use super::options::{Common, OptionValue};
use super::socket::Socket;
use crate::fs::pipe;
use crate::task::{self, WaitQueue};

/// Bytes of one answer, which may hold several messages: what fits into the buffers of programs that take a page.
const ANSWER: usize = 3776;
/// What a message may be shorter than the buffer for sending.
const MESSAGE_OVERHEAD: usize = 32;
/// Kind of the ancillary data that names a message's group (`NETLINK_PKTINFO`).
const PACKET_INFORMATION: i32 = 3;

/// Options that are on or off.
const SWITCHES: [i32; 6] = [
    netlink_option::PACKET_INFORMATION,
    netlink_option::BROADCAST_ERROR,
    netlink_option::NO_BUFFER_ERRORS,
    netlink_option::CAP_ACKNOWLEDGE,
    netlink_option::EXTENDED_ACKNOWLEDGE,
    netlink_option::STRICT_CHECK,
];

/// A datagram that waits to be received.
#[derive(Clone)]
struct Datagram {
    bytes: Arc<Vec<u8>>,
    /// Who sent it; 0 is the kernel.
    port: u32,
    /// For which group; 0 for this socket alone.
    group: u32,
}

#[derive(Default)]
struct State {
    /// Its own port, once it has one.
    port: Option<u32>,
    /// The groups that it hears of, as bits.
    groups: u64,
    /// Where messages without an address go, and to which groups.
    peer: (u32, u32),
    waiting: VecDeque<Datagram>,
    bytes: usize,
}

/// A netlink socket.
pub struct NetlinkSocket {
    itself: Weak<Self>,
    kind: SocketKind,
    protocol: i32,
    number: u64,
    common: Common,
    switches: AtomicU32,
    state: Mutex<State>,
    queue: WaitQueue,
}

/// Every socket, to find ports and members of groups. Locked before a socket's state.
static SOCKETS: Mutex<Vec<Weak<NetlinkSocket>>> = Mutex::new(Vec::new());

/// What a socket is asked while it answers.
struct Answers<'a> {
    socket: &'a NetlinkSocket,
    header: Header,
    /// Messages that are not queued yet.
    collected: Vec<u8>,
}

impl Answers<'_> {
    /// The header of an answer.
    fn header(&self, kind: u16, flags: u16) -> Header {
        Header {
            kind,
            flags,
            sequence: self.header.sequence,
            port: self.header.port,
            ..Header::default()
        }
    }

    fn add(&mut self, message: &[u8]) {
        if self.collected.len() + message.len() > ANSWER {
            self.flush();
        }
        if self.collected.try_reserve(message.len()).is_err() {
            self.socket.overrun();
            return;
        }
        self.collected.extend_from_slice(message);
    }

    fn flush(&mut self) {
        if !self.collected.is_empty() {
            let datagram = Datagram {
                bytes: Arc::new(core::mem::take(&mut self.collected)),
                port: 0,
                group: 0,
            };
            self.socket.deliver(datagram);
        }
    }

    /// Ends a dump.
    fn done(&mut self) {
        self.done_with(0);
    }

    /// Ends a dump, perhaps because of an error, whose number is told as a negative one.
    fn done_with(&mut self, error: i32) {
        let end = Builder::new(self.header(control::DONE, flag::MULTI), &error).finish();
        self.add(&end);
        self.flush();
    }

    /// Says how a request ended (`NLMSG_ERROR`): an error comes with what was asked, unless the socket wants less.
    fn acknowledge(&mut self, request: &Request<'_>, result: Result<(), Errno>) {
        let capped = result.is_ok() || self.socket.switch(netlink_option::CAP_ACKNOWLEDGE);
        let error = result.err().map_or(0, |errno| -i32::from(errno.number()));
        let flags = if capped { flag::CAPPED } else { 0 };
        let repeated = if capped {
            &request.whole[..HEADER]
        } else {
            request.whole
        };
        let message = Builder::new(self.header(control::ERROR, flags), &error)
            .bytes(repeated)
            .finish();
        self.add(&message);
        self.flush();
    }
}

impl NetlinkSocket {
    fn make(kind: SocketKind, protocol: i32) -> Result<Arc<Self>, Errno> {
        let socket = Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            kind,
            protocol,
            number: pipe::next_number(),
            common: Common::default(),
            switches: AtomicU32::new(0),
            state: Mutex::new(State::default()),
            queue: WaitQueue::new(),
        });
        let mut sockets = SOCKETS.lock();
        sockets.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        sockets.push(socket.itself.clone());
        Ok(socket)
    }

    fn switch(&self, name: i32) -> bool {
        let index = SWITCHES.iter().position(|&known| known == name);
        index.is_some_and(|index| self.switches.load(Ordering::Relaxed) & 1 << index != 0)
    }

    /// Something was lost, for want of room.
    fn overrun(&self) {
        if !self.switch(netlink_option::NO_BUFFER_ERRORS) {
            self.common.set_error(Errno::ENOBUFS);
            self.queue.wake_all();
        }
    }

    /// Puts a datagram behind those that wait.
    fn deliver(&self, datagram: Datagram) {
        {
            let mut state = self.state.lock();
            let room = self.common.receive_buffer.load(Ordering::Relaxed);
            let fits = state.bytes == 0 || state.bytes + datagram.bytes.len() <= room;
            if !fits || state.waiting.try_reserve(1).is_err() {
                drop(state);
                return self.overrun();
            }
            state.bytes += datagram.bytes.len();
            state.waiting.push_back(datagram);
        }
        self.queue.wake(PollEvents::IN | PollEvents::READ_NORMAL);
    }

    /// Gives the socket a port: the process's number if it is free, otherwise one that no process has.
    fn bind_to(&self, wanted: u32) -> Result<u32, Errno> {
        let sockets = SOCKETS.lock();
        if let Some(port) = self.state.lock().port {
            return Ok(port);
        }
        let is_free = |port: u32| {
            let mut others = sockets.iter().filter_map(Weak::upgrade);
            !others.any(|other| other.protocol == self.protocol && other.state.lock().port == Some(port))
        };
        let own = task::current_process().id;
        let port = match wanted {
            0 if is_free(own) => own,
            0 => (0..=u32::MAX / 2)
                .map(|step| (-4096_i32 as u32).wrapping_sub(step))
                .find(|port| is_free(*port))
                .ok_or(Errno::EADDRINUSE)?,
            wanted if is_free(wanted) => wanted,
            _ => return Err(Errno::EADDRINUSE),
        };
        self.state.lock().port = Some(port);
        Ok(port)
    }

    /// Sends a program's datagram to other programs.
    fn send_to_socket(&self, to: u32, datagram: Datagram) -> Result<(), Errno> {
        let receiver = {
            let sockets = SOCKETS.lock();
            let mut list = sockets.iter().filter_map(Weak::upgrade);
            list.find(|socket| socket.protocol == self.protocol && socket.state.lock().port == Some(to))
        };
        receiver.ok_or(Errno::ECONNREFUSED)?.deliver(datagram);
        Ok(())
    }

    /// Deals with what a program asks of the kernel.
    fn answer(&self, port: u32, datagram: &[u8]) {
        for request in Requests::new(datagram) {
            let mut answers = Answers {
                socket: self,
                header: Header { port, ..request.header },
                collected: Vec::new(),
            };
            let asks = request.header.flags & flag::REQUEST != 0 && request.header.kind >= control::FIRST;
            let result = match self.protocol {
                _ if !asks => Ok(route::Answered::Silent),
                protocol::DIAGNOSIS => diagnosis::answer(&request, &mut answers),
                _ => route::answer(&request, self.switch(netlink_option::STRICT_CHECK), &mut answers),
            };
            answers.flush();
            match result {
                // The end of a dump says enough.
                Ok(route::Answered::Dump) => {}
                Ok(route::Answered::Silent) if request.header.flags & flag::ACKNOWLEDGE == 0 => {}
                Ok(route::Answered::Silent) => answers.acknowledge(&request, Ok(())),
                Err(errno) => answers.acknowledge(&request, Err(errno)),
            }
        }
    }

    fn change_membership(&self, value: i32, join: bool) -> Result<(), Errno> {
        let number = u32::try_from(value)
            .ok()
            .filter(|number| (1..=group::LAST).contains(number));
        let bit = 1_u64 << (number.ok_or(Errno::EINVAL)? - 1);
        if join {
            notices::begin();
        }
        let mut state = self.state.lock();
        if join {
            state.groups |= bit;
        } else {
            state.groups &= !bit;
        }
        Ok(())
    }
}

/// Tells all members of a group of a protocol.
fn tell_group(protocol: i32, number: u32, message: &Arc<Vec<u8>>, from: u32) {
    let bit = 1_u64 << (number - 1);
    let sockets: Vec<Arc<NetlinkSocket>> = SOCKETS.lock().iter().filter_map(Weak::upgrade).collect();
    for socket in sockets {
        let hears = {
            let state = socket.state.lock();
            socket.protocol == protocol && state.groups & bit != 0 && (from == 0 || state.port != Some(from))
        };
        if hears {
            socket.deliver(Datagram {
                bytes: message.clone(),
                port: from,
                group: number,
            });
        }
    }
}

fn read_address(address: &Address) -> Result<SocketAddress, Errno> {
    let (found, _) = SocketAddress::read_from_prefix(address.bytes()).map_err(|_| Errno::EINVAL)?;
    if found.family != family::NETLINK {
        return Err(Errno::EINVAL);
    }
    Ok(found)
}

fn address_of(port: u32, groups: u32) -> Address {
    Address::new(
        SocketAddress {
            family: family::NETLINK,
            padding: 0,
            port,
            groups,
        }
        .as_bytes(),
    )
}

impl Socket for NetlinkSocket {
    fn family(&self) -> u16 {
        family::NETLINK
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
        SOCKETS
            .lock()
            .retain(|other| !core::ptr::eq(other.as_ptr(), self) && other.strong_count() != 0);
    }

    fn bind(&self, address: &Address) -> Result<(), Errno> {
        let wanted = read_address(address)?;
        let bound = self.state.lock().port;
        match bound {
            Some(port) if wanted.port != port => return Err(Errno::EINVAL),
            Some(_) => {}
            None => {
                self.bind_to(wanted.port)?;
            }
        }
        if wanted.groups != 0 {
            notices::begin();
        }
        let mut state = self.state.lock();
        state.groups = state.groups & !u64::from(u32::MAX) | u64::from(wanted.groups);
        Ok(())
    }

    fn connect(&self, address: &Address, _nonblocking: bool) -> Result<(), Errno> {
        if address.family() == Some(family::UNSPECIFIED) {
            self.state.lock().peer = (0, 0);
            return Ok(());
        }
        let to = read_address(address)?;
        self.bind_to(0)?;
        self.state.lock().peer = (to.port, to.groups);
        Ok(())
    }

    fn local_address(&self) -> Result<Address, Errno> {
        let state = self.state.lock();
        Ok(address_of(state.port.unwrap_or(0), state.groups as u32))
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        let (port, groups) = self.state.lock().peer;
        Ok(address_of(port, groups))
    }

    fn send(&self, message: Outgoing<'_, '_>) -> Result<usize, Errno> {
        if message.flags.contains(MessageFlags::OUT_OF_BAND) {
            return Err(Errno::EOPNOTSUPP);
        }
        let (to, groups) = match &message.address {
            Some(address) => {
                let address = read_address(address)?;
                (address.port, address.groups)
            }
            None => self.state.lock().peer,
        };
        let port = self.bind_to(0)?;
        let length = message.data.remaining();
        if length + MESSAGE_OVERHEAD > self.common.send_buffer.load(Ordering::Relaxed) {
            return Err(Errno::EMSGSIZE);
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| Errno::ENOBUFS)?;
        bytes.resize(length, 0);
        if message.data.take(&mut bytes)? != length {
            return Err(Errno::EFAULT);
        }
        let bytes = Arc::new(bytes);
        // As on Linux, only the lowest of several groups is meant.
        if groups != 0 {
            tell_group(self.protocol, groups.trailing_zeros() + 1, &bytes, port);
        }
        if to != 0 {
            let datagram = Datagram { bytes, port, group: 0 };
            self.send_to_socket(to, datagram)?;
        } else {
            self.answer(port, &bytes);
        }
        Ok(length)
    }

    fn receive(&self, message: &mut Incoming<'_, '_>) -> Result<usize, Errno> {
        if message.flags.contains(MessageFlags::OUT_OF_BAND) {
            return Err(Errno::EOPNOTSUPP);
        }
        let patience = self
            .common
            .receive_patience(message.flags.contains(MessageFlags::DO_NOT_WAIT));
        let peeks = message.peeks();
        let next = || {
            if let Some(errno) = self.common.take_error() {
                return Some(Err(errno));
            }
            let mut state = self.state.lock();
            if peeks {
                return state.waiting.front().cloned().map(Ok);
            }
            let datagram = state.waiting.pop_front()?;
            state.bytes -= datagram.bytes.len();
            Some(Ok(datagram))
        };
        let datagram = patience.wait(&self.queue, next)??;
        let copied = message.data.put_whole(&datagram.bytes)?;
        if copied < datagram.bytes.len() {
            message.result |= MessageFlags::TRUNCATED;
        }
        let groups = match datagram.group {
            0 => 0,
            group => 1_u32.checked_shl(group - 1).unwrap_or(0),
        };
        message.address = Some(address_of(datagram.port, groups));
        if self.switch(netlink_option::PACKET_INFORMATION) {
            message.ancillary.others.push(ControlMessage {
                level: OPTIONS,
                kind: PACKET_INFORMATION,
                bytes: datagram.group.to_ne_bytes().to_vec(),
            });
        }
        if self.common.switch(option::PASS_CREDENTIALS) {
            let process = if datagram.port == 0 {
                0
            } else {
                task::current_process().id
            };
            message.ancillary.credentials = Some(PeerCredentials {
                process: process as i32,
                user: 0,
                group: 0,
            });
        }
        let full = message.flags.contains(MessageFlags::TRUNCATED);
        Ok(if full { datagram.bytes.len() } else { copied })
    }

    fn shutdown(&self, _how: Shutdown) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn readiness(&self) -> PollEvents {
        let mut events = PollEvents::OUT | PollEvents::WRITE_NORMAL;
        let readable = !self.state.lock().waiting.is_empty();
        events.set(PollEvents::IN | PollEvents::READ_NORMAL, readable);
        events.set(PollEvents::ERROR, self.common.has_error());
        events
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn option(&self, level: i32, name: i32) -> Option<Result<OptionValue, Errno>> {
        if level != OPTIONS {
            return None;
        }
        Some(match name {
            netlink_option::LIST_MEMBERSHIPS => {
                let groups = self.state.lock().groups;
                // As many words as there are groups.
                Ok(OptionValue::Bytes(groups.to_ne_bytes().to_vec()))
            }
            name if SWITCHES.contains(&name) => Ok(OptionValue::Integer(self.switch(name).into())),
            _ => Err(Errno::ENOPROTOOPT),
        })
    }

    fn set_option(&self, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        if level != OPTIONS {
            return Err(Errno::ENOPROTOOPT);
        }
        // As on Linux, what is too short for a number is 0.
        let number = value.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        match name {
            netlink_option::ADD_MEMBERSHIP => self.change_membership(number, true),
            netlink_option::DROP_MEMBERSHIP => self.change_membership(number, false),
            name => {
                let index = SWITCHES.iter().position(|&known| known == name);
                let bit = 1 << index.ok_or(Errno::ENOPROTOOPT)?;
                if number != 0 {
                    self.switches.fetch_or(bit, Ordering::Relaxed);
                } else {
                    self.switches.fetch_and(!bit, Ordering::Relaxed);
                }
                Ok(())
            }
        }
    }
}

/// A new socket.
///
/// # Errors
/// `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`, `ENOMEM`.
pub fn create(kind: u32, number: i32) -> Result<Arc<NetlinkSocket>, Errno> {
    let kind = match SocketKind::from_number(kind) {
        Some(kind @ (SocketKind::Raw | SocketKind::Datagram)) => kind,
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    };
    if !matches!(number, protocol::ROUTE | protocol::DIAGNOSIS) {
        if (0..protocol::LIMIT).contains(&number) {
            crate::warning_once!("netlink has no protocol {number}: it answers EPROTONOSUPPORT");
        }
        return Err(Errno::EPROTONOSUPPORT);
    }
    NetlinkSocket::make(kind, number)
}
