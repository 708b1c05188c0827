//! Local sockets (`unix(7)`): streams, datagrams and packets in sequence.
//!
//! A socket receives into its [`Inbox`]; what it has sent and nobody has received yet is charged to its [`Outbox`].
//! Who is connected with whom is in the state of each; no two states are locked at once.

mod listing;
mod names;
mod queue;
mod rights;

pub use listing::list;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use pith_linux::Errno;
use pith_linux::files::PollEvents;
use pith_linux::signal::Signal;
use pith_linux::sockets::{MessageFlags, PeerCredentials, Shutdown, SocketKind, family, option};
use spin::{Mutex, Once};

use super::address::Address;
use super::message::{Incoming, Outgoing};
use super::options::{Common, OptionValue, Patience};
use super::socket::Socket;
use crate::fs::file::OpenFile;
use crate::fs::pipe;
use crate::fs::turn::{Turn, TurnGuard};
use crate::memory::{UserPointer, write_object};
use crate::task::{self, Instant, WaitError, WaitQueue, signal};
use names::Name;
use queue::{Inbox, Outbox, Packet, READABLE, SMALL, WRITABLE};

/// Something else than data and room has changed at a socket.
const LOOK: PollEvents = PollEvents::empty();
use rights::Rights;

/// Packets of strangers that wait for a socket (`net.unix.max_dgram_qlen`).
const STRANGERS: usize = 10;
/// Most connections that wait to be accepted (`net.core.somaxconn`).
const MOST_CONNECTIONS: i32 = 4096;
/// Most bytes of a stream that one packet carries.
const LARGE: usize = 32 << 10;
/// What a message may be shorter than the buffer for sending.
const MESSAGE_OVERHEAD: usize = 32;

/// `FIONREAD`
const BYTES_TO_READ: u32 = 0x541b;
/// `SIOCOUTQ`
const BYTES_IN_FLIGHT: u32 = 0x5411;

/// Who is said to have ended a stream.
const NOBODY: PeerCredentials = PeerCredentials {
    process: 0,
    user: 0,
    group: 0,
};

/// What is known about the other side.
#[derive(Default)]
struct State {
    /// The name was given to this socket, and not inherited from the one that listens.
    owns_name: bool,
    peer: Option<Arc<UnixSocket>>,
    /// It was connected once: what comes after is the end, and not `ENOTCONN`.
    was_connected: bool,
    listens: bool,
    /// Sending was shut down.
    sending_shut: bool,
    peer_credentials: Option<PeerCredentials>,
}

/// A local socket.
pub struct UnixSocket {
    kind: SocketKind,
    number: u64,
    itself: Weak<Self>,
    /// The open file, while it is in use.
    open: Once<Weak<OpenFile>>,
    common: Common,
    state: Mutex<State>,
    inbox: Inbox,
    outbox: Arc<Outbox>,
    /// Whoever receives: one after the other, so that data keeps its order.
    receiving: Turn,
    closed: AtomicBool,
}

/// Who the current process is.
fn own_credentials() -> PeerCredentials {
    let process = task::current_process();
    let credentials = task::credentials();
    PeerCredentials {
        process: process.id as i32,
        user: credentials.users[1],
        group: credentials.groups[1],
    }
}

impl UnixSocket {
    fn new(kind: SocketKind) -> Arc<Self> {
        let common = Common::default();
        let outbox = Outbox::new(common.send_buffer.load(Ordering::Relaxed));
        Arc::new_cyclic(|itself| Self {
            kind,
            number: pipe::next_number(),
            itself: itself.clone(),
            open: Once::new(),
            common,
            state: Mutex::new(State::default()),
            inbox: Inbox::new(STRANGERS),
            outbox,
            receiving: Turn::new(),
            closed: AtomicBool::new(false),
        })
    }

    fn is_connection(&self) -> bool {
        self.kind != SocketKind::Datagram
    }

    fn arc(&self) -> Result<Arc<Self>, Errno> {
        self.itself.upgrade().ok_or(Errno::EBADF)
    }

    fn peer(&self) -> Option<Arc<Self>> {
        self.state.lock().peer.clone()
    }

    /// Tells everybody who waits at this socket for data or its end.
    fn tell_readers(&self) {
        self.inbox.receivers.wake_all();
        let (sending_shut, peer) = {
            let state = self.state.lock();
            (state.sending_shut, state.peer.clone())
        };
        let nobody_reads = peer.is_some_and(|peer| peer.inbox.content.lock().shut);
        let mut events = READABLE | PollEvents::READ_HANG_UP;
        events.set(PollEvents::HANG_UP, sending_shut || nobody_reads);
        self.outbox.watchers.wake(events);
    }

    fn tell_arrival(&self) {
        self.inbox.wake_receiver();
        self.outbox.watchers.wake(READABLE);
    }

    /// Nothing will arrive at this socket any more.
    fn end_input(&self) {
        self.inbox.content.lock().shut = true;
        self.tell_readers();
        // Who sends to it learns that nobody reads.
        if let Some(peer) = self.peer() {
            peer.outbox.senders.wake_all();
            peer.outbox.watchers.wake(LOOK);
        }
    }

    /// Waits for a condition, as long as the socket's options say.
    fn wait<T>(queue: &WaitQueue, patience: Patience, condition: impl FnMut() -> Option<T>) -> Result<T, Errno> {
        let mut condition = condition;
        let deadline: Option<Instant> = match patience {
            Patience::None => return condition().ok_or(Errno::EAGAIN),
            Patience::Until(deadline) => Some(deadline),
            Patience::Endless => None,
        };
        queue.wait_until(deadline, condition).map_err(|error| match error {
            WaitError::TimedOut => Errno::EAGAIN,
            WaitError::Interrupted => {
                if deadline.is_some() {
                    // As on Linux, a call with a time limit is not started again.
                    signal::set_restart(signal::Restart::Never);
                }
                Errno::EINTR
            }
        })
    }

    /// The packet for a part of a message, ready to be queued.
    fn packet(&self, data: Vec<u8>, to: &Self) -> Packet {
        let mut packet = Packet::new(data, &self.outbox);
        if self.common.switch(option::PASS_CREDENTIALS) || to.common.switch(option::PASS_CREDENTIALS) {
            packet.credentials = Some(own_credentials());
        }
        packet
    }

    fn read_data(message: &mut Outgoing<'_, '_>, length: usize, mut data: Vec<u8>) -> Result<Vec<u8>, Errno> {
        data.clear();
        data.try_reserve(length).map_err(|_| Errno::ENOBUFS)?;
        data.resize(length, 0);
        if message.data.take(&mut data)? != length {
            return Err(Errno::EFAULT);
        }
        Ok(data)
    }

    fn send_stream(&self, mut message: Outgoing<'_, '_>) -> Result<usize, Errno> {
        if message.address.is_some() {
            let connected = self.state.lock().peer.is_some();
            return Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP });
        }
        let patience = self
            .common
            .send_patience(message.flags.contains(MessageFlags::DO_NOT_WAIT));
        let mut rights = Rights::new(core::mem::take(&mut message.ancillary.rights))?;
        let credentials = message.ancillary.credentials;
        let mut sent = 0;
        let result = loop {
            let peer = {
                let state = self.state.lock();
                match &state.peer {
                    None if !state.was_connected => break Err(Errno::ENOTCONN),
                    Some(peer) if !state.sending_shut => peer.clone(),
                    _ => break Err(Errno::EPIPE),
                }
            };
            let gone = || {
                let content = peer.inbox.content.lock();
                content.shut || content.dead
            };
            if gone() {
                break Err(Errno::EPIPE);
            }
            let remaining = message.data.remaining();
            // As on Linux, files go with the first byte, and without one nowhere.
            if remaining == 0 {
                break Ok(());
            }
            let room = || (self.outbox.has_room() || gone()).then_some(());
            if let Err(errno) = Self::wait(&self.outbox.senders, patience, room) {
                break Err(errno);
            }
            let length = remaining.min(LARGE);
            let buffer = if length <= SMALL {
                peer.inbox.content.lock().small_buffer()
            } else {
                Ok(Vec::new())
            };
            let data = match buffer.and_then(|buffer| Self::read_data(&mut message, length, buffer)) {
                Ok(data) => data,
                Err(errno) => break Err(errno),
            };
            let mut packet = self.packet(data, &peer);
            packet.credentials = credentials.or(packet.credentials);
            packet.rights = rights.take();
            let refused = {
                let mut content = peer.inbox.content.lock();
                if content.shut || content.dead {
                    Some(packet)
                } else {
                    content.bytes += length;
                    let appended = packet.rights.is_none()
                        && content
                            .packets
                            .back_mut()
                            .is_some_and(|last| last.append(&packet.data, &self.outbox, packet.credentials));
                    if appended {
                        Some(packet)
                    } else if content.packets.try_reserve(1).is_ok() {
                        content.packets.push_back(packet);
                        None
                    } else {
                        content.bytes -= length;
                        break Err(Errno::ENOBUFS);
                    }
                }
            };
            // What was appended or refused goes without a lock.
            drop(refused);
            if gone() {
                break Err(Errno::EPIPE);
            }
            peer.tell_arrival();
            sent += length;
            if message.data.remaining() == 0 {
                break Ok(());
            }
        };
        match result {
            Err(_) if sent != 0 => Ok(sent),
            Err(Errno::EPIPE) => {
                if !message.flags.contains(MessageFlags::NO_SIGNAL) {
                    signal::raise(Signal::SIGPIPE);
                }
                Err(Errno::EPIPE)
            }
            Err(errno) => Err(errno),
            Ok(()) => Ok(sent),
        }
    }

    /// Sends a message as a whole. Errors are looked at in Linux's order.
    fn send_packet(&self, mut message: Outgoing<'_, '_>) -> Result<usize, Errno> {
        let flags = message.flags;
        let patience = self.common.send_patience(flags.contains(MessageFlags::DO_NOT_WAIT));
        if self.is_connection() {
            self.may_send()?;
            // As on Linux, it goes to the peer whatever address is given.
            message.address = None;
        }
        if let Some(address) = &message.address {
            names::check(address)?;
        }
        self.bind_for_credentials()?;
        let length = message.data.remaining();
        if length + MESSAGE_OVERHEAD > self.common.send_buffer.load(Ordering::Relaxed) {
            return Err(Errno::EMSGSIZE);
        }
        if let Some(errno) = self.common.take_error() {
            return Err(errno);
        }
        // Other than for streams, no signal tells of it.
        if self.state.lock().sending_shut {
            return Err(Errno::EPIPE);
        }
        // As on Linux since 6.14, all of the message is there before its receiver is looked for.
        let rights = Rights::new(core::mem::take(&mut message.ancillary.rights))?;
        let data = Self::read_data(&mut message, length, Vec::new())?;
        let peer = match &message.address {
            Some(address) => names::find(address, self.kind)?,
            None => match self.peer() {
                Some(peer) => peer,
                None if self.is_connection() => return Err(Errno::EPIPE),
                None => return Err(Errno::ENOTCONN),
            },
        };
        if !self.is_connection() {
            // Who is connected hears only the one it is connected with.
            let stranger = peer.peer().is_some_and(|other| !core::ptr::eq(&*other, self));
            if stranger {
                return Err(Errno::EPERM);
            }
        }
        let mut packet = self.packet(data, &peer);
        packet.credentials = message.ancillary.credentials.or(packet.credentials);
        packet.rights = rights;
        if peer.common.tells_arrival() {
            packet.arrival = task::wall_clock();
        }
        let mut packet = Some(packet);
        let own = core::ptr::eq(&*peer, self);
        let reciprocal = own || peer.peer().is_some_and(|other| core::ptr::eq(&*other, self));
        // The one that it is connected with has only the sender's buffer for a limit; strangers wait in line.
        let queue = if reciprocal {
            &self.outbox.senders
        } else {
            &peer.inbox.room
        };
        let attempt = || {
            let mut content = peer.inbox.content.lock();
            if content.dead {
                return Some(Err(if self.is_connection() {
                    Errno::EPIPE
                } else {
                    Errno::ECONNREFUSED
                }));
            }
            if content.shut {
                return Some(Err(Errno::EPIPE));
            }
            // The packet itself is charged already.
            let room = match reciprocal {
                true => self.outbox.fits_last(),
                false => !content.is_full(),
            };
            if !room {
                return None;
            }
            if content.packets.try_reserve(1).is_err() {
                return Some(Err(Errno::ENOBUFS));
            }
            content.bytes += length;
            if let Some(packet) = packet.take() {
                content.packets.push_back(packet);
            }
            Some(Ok(()))
        };
        match Self::wait(queue, patience, attempt)? {
            Ok(()) => {
                peer.tell_arrival();
                Ok(length)
            }
            Err(Errno::ECONNREFUSED) => {
                let left = {
                    let mut state = self.state.lock();
                    let is_known = state.peer.as_ref().is_some_and(|known| Arc::ptr_eq(known, &peer));
                    if is_known { state.peer.take() } else { None }
                };
                if let Some(peer) = left {
                    self.forget_messages_of(&peer);
                }
                Err(Errno::ECONNREFUSED)
            }
            Err(errno) => Err(errno),
        }
    }

    /// Takes the next packet out of the inbox, or tells that nothing will come. It is the caller's turn, but for the time
    /// that it sleeps: a call that does not wait must not wait for one that does.
    fn next_packet<'a>(
        &'a self,
        patience: Patience,
        turn: &mut Option<TurnGuard<'a>>,
    ) -> Result<Option<Packet>, Errno> {
        loop {
            {
                let mut content = self.inbox.content.lock();
                // Of messages, an error is told before those that are there.
                if self.kind != SocketKind::Stream
                    && let Some(errno) = self.common.take_error()
                {
                    return Err(errno);
                }
                if let Some(packet) = content.packets.pop_front() {
                    content.taken += 1;
                    return Ok(Some(packet));
                }
                if let Some(errno) = self.common.take_error() {
                    return Err(errno);
                }
                // As on Linux, of datagrams only who would wait learns that nothing more comes.
                if content.shut && (self.is_connection() || patience != Patience::None) {
                    return Ok(None);
                }
            }
            if patience == Patience::None {
                return Err(Errno::EAGAIN);
            }
            *turn = None;
            let something = || {
                let content = self.inbox.content.lock();
                (content.has_packets() || content.shut || self.common.has_error()).then_some(())
            };
            self.inbox.waiting.fetch_add(1, Ordering::SeqCst);
            let waited = Self::wait(&self.inbox.receivers, patience, something);
            self.inbox.waiting.fetch_sub(1, Ordering::SeqCst);
            waited?;
            *turn = Some(self.receiving.take());
        }
    }

    /// A socket of datagrams has left its peer: what waits is thrown away, and a peer that is still connected with it learns
    /// that it was.
    fn forget_messages_of(&self, peer: &Self) {
        let packets = {
            let mut content = self.inbox.content.lock();
            content.bytes = 0;
            core::mem::take(&mut content.packets)
        };
        if packets.is_empty() {
            return;
        }
        drop(packets);
        self.inbox.room.wake_all();
        let is_mutual = peer.peer().is_some_and(|other| core::ptr::eq(&*other, self));
        if is_mutual && !peer.inbox.content.lock().dead {
            peer.common.set_error(Errno::ECONNRESET);
            peer.tell_readers();
        }
    }

    fn put_back(&self, packet: Packet) {
        let mut content = self.inbox.content.lock();
        // It was there before, so there is room.
        content.packets.push_front(packet);
        content.taken -= 1;
    }

    /// A packet was received wholly.
    fn consumed(&self, mut packet: Packet) {
        let mut was_full = false;
        {
            let mut content = self.inbox.content.lock();
            content.taken -= 1;
            content.bytes -= packet.data.len().min(content.bytes);
            if !self.is_connection() {
                was_full = content.packets.len() <= content.backlog;
            }
            if packet.data.capacity() == SMALL && content.spare.is_none() {
                content.spare = Some(core::mem::take(&mut packet.data));
            }
        }
        drop(packet);
        if was_full {
            self.inbox.room.wake_all();
        }
    }

    /// What travels beside a packet's data.
    fn describe(&self, packet: &Packet, message: &mut Incoming<'_, '_>) {
        if self.common.switch(option::PASS_CREDENTIALS) {
            message.ancillary.credentials = Some(packet.credentials.unwrap_or(PeerCredentials::UNKNOWN));
        }
        // As on Linux, whatever the sender was called when it was sent.
        message.address = packet.name().map(|name| name.address);
    }

    fn give_rights(packet: &Packet, message: &mut Incoming<'_, '_>) {
        if let Some(rights) = &packet.rights {
            message.ancillary.rights = rights.files().to_vec();
        }
    }

    fn receive_stream(&self, message: &mut Incoming<'_, '_>) -> Result<usize, Errno> {
        {
            let state = self.state.lock();
            if state.listens || (!state.was_connected && state.peer.is_none()) {
                return Err(Errno::EINVAL);
            }
        }
        let patience = self
            .common
            .receive_patience(message.flags.contains(MessageFlags::DO_NOT_WAIT));
        let all = message.flags.contains(MessageFlags::WAIT_ALL);
        let peeks = message.peeks();
        let mut seen: Vec<Packet> = Vec::new();
        let mut done = 0;
        let mut result = Ok(());
        // Who only looks keeps the others away until everything is back.
        let mut turn = None;
        // Who asks for nothing waits too, until there is something.
        loop {
            if !peeks {
                drop(turn.take());
            }
            let turn = &mut turn;
            if turn.is_none() {
                *turn = Some(self.receiving.take());
            }
            // As on Linux, what has gone wrong is left for the next call.
            let has_enough = !seen.is_empty() || done != 0 && !all;
            if has_enough && self.inbox.content.lock().packets.is_empty() {
                break;
            }
            let is_first = done == 0 && seen.is_empty();
            let patience = if done == 0 || (all && !peeks) {
                patience
            } else {
                Patience::None
            };
            let mut packet = match self.next_packet(patience, turn) {
                Ok(Some(packet)) => packet,
                Ok(None) => {
                    if done == 0 && self.common.switch(option::PASS_CREDENTIALS) {
                        // As on Linux, the end comes from nobody.
                        message.ancillary.credentials = Some(NOBODY);
                    }
                    break;
                }
                Err(errno) => {
                    result = Err(errno);
                    break;
                }
            };
            // Data of different senders is not mixed.
            let mixes = is_first
                || !self.common.switch(option::PASS_CREDENTIALS)
                || message.ancillary.credentials == packet.credentials;
            if !mixes {
                self.put_back(packet);
                break;
            }
            if is_first {
                self.describe(&packet, message);
            }
            let start = packet.start;
            let copied = match message.data.put_whole(&packet.data[start..]) {
                Ok(copied) => copied,
                Err(errno) => {
                    self.put_back(packet);
                    result = Err(errno);
                    break;
                }
            };
            done += copied;
            Self::give_rights(&packet, message);
            let had_rights = packet.rights.is_some();
            if peeks {
                seen.push(packet);
            } else {
                packet.start += copied;
                if packet.remaining() == 0 {
                    self.consumed(packet);
                } else {
                    // Files are received with the first byte of what they came with.
                    let landed = packet.rights.take();
                    self.put_back(packet);
                    drop(landed);
                    break;
                }
            }
            // As on Linux, who only looks sees what comes with the bytes behind those asked for.
            if had_rights || message.data.remaining() == 0 && !peeks {
                break;
            }
        }
        for packet in seen.into_iter().rev() {
            self.put_back(packet);
        }
        match result {
            Err(errno) if done == 0 => Err(errno),
            _ => Ok(done),
        }
    }

    /// Receives a message as a whole; what does not fit is lost.
    fn receive_packet(&self, message: &mut Incoming<'_, '_>) -> Result<usize, Errno> {
        if self.kind == SocketKind::SequencedPackets {
            let state = self.state.lock();
            if !state.was_connected && state.peer.is_none() {
                return Err(Errno::ENOTCONN);
            }
        }
        let patience = self
            .common
            .receive_patience(message.flags.contains(MessageFlags::DO_NOT_WAIT));
        let mut turn = Some(self.receiving.take());
        let Some(mut packet) = self.next_packet(patience, &mut turn)? else {
            return Ok(0);
        };
        self.describe(&packet, message);
        if self.common.tells_arrival() {
            // As on Linux, one that came before that was asked for comes now.
            if packet.arrival == 0 {
                packet.arrival = task::wall_clock();
            }
            self.common.stamp(packet.arrival, message);
        }
        Self::give_rights(&packet, message);
        let copied = match message.data.put_whole(&packet.data) {
            Ok(copied) => copied,
            // As on Linux, what can't be copied is lost, unless it is only looked at.
            Err(errno) => {
                match message.peeks() {
                    true => self.put_back(packet),
                    false => self.consumed(packet),
                }
                return Err(errno);
            }
        };
        let length = packet.data.len();
        if copied < length {
            message.result |= MessageFlags::TRUNCATED;
        }
        if message.peeks() {
            self.put_back(packet);
        } else {
            self.consumed(packet);
        }
        let full = message.flags.contains(MessageFlags::TRUNCATED);
        Ok(if full { length } else { copied })
    }

    fn take_name(&self, name: Arc<Name>) {
        self.outbox.name.call_once(|| name);
        self.state.lock().owns_name = true;
    }

    fn name(&self) -> Option<&Arc<Name>> {
        self.outbox.name.get()
    }

    fn bind_to_any(&self) -> Result<(), Errno> {
        let name = names::bind_to_any(&self.arc()?)?;
        self.take_name(name);
        Ok(())
    }

    /// Whoever wants to know of its peers who they are is to have a name for them too.
    fn bind_for_credentials(&self) -> Result<(), Errno> {
        if self.name().is_none() && self.common.switch(option::PASS_CREDENTIALS) {
            self.bind_to_any()?;
        }
        Ok(())
    }

    fn connect_stream(&self, address: &Address, nonblocking: bool) -> Result<(), Errno> {
        names::check(address)?;
        self.bind_for_credentials()?;
        let listener = names::find(address, self.kind)?;
        let own = self.arc()?;
        let connection = Self::new(self.kind);
        let credentials = {
            let state = listener.state.lock();
            if !state.listens {
                return Err(Errno::ECONNREFUSED);
            }
            state.peer_credentials
        };
        if let Some(name) = listener.name() {
            connection.outbox.name.call_once(|| name.clone());
        }
        {
            let mut state = connection.state.lock();
            state.peer = Some(own);
            state.was_connected = true;
            state.peer_credentials = Some(own_credentials());
        }
        let attempt = || {
            let mut content = listener.inbox.content.lock();
            if content.dead || content.shut {
                return Some(Err(Errno::ECONNREFUSED));
            }
            if content.is_full() {
                return None;
            }
            if content.pending.try_reserve(1).is_err() {
                return Some(Err(Errno::ENOMEM));
            }
            // As on Linux, what is wrong with this side is told last.
            let mut state = self.state.lock();
            if state.listens {
                return Some(Err(Errno::EINVAL));
            }
            if state.peer.is_some() || state.was_connected {
                return Some(Err(Errno::EISCONN));
            }
            state.peer_credentials = credentials;
            state.peer = Some(connection.clone());
            state.was_connected = true;
            drop(state);
            content.pending.push_back(connection.clone());
            Some(Ok(()))
        };
        Self::wait(&listener.inbox.room, self.common.send_patience(nonblocking), attempt)??;
        listener.tell_arrival();
        self.outbox.watchers.wake(WRITABLE);
        Ok(())
    }
}

impl Socket for UnixSocket {
    fn family(&self) -> u16 {
        family::UNIX
    }

    fn kind(&self) -> SocketKind {
        self.kind
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn opened(&self, open: &Arc<OpenFile>) {
        self.open.call_once(|| Arc::downgrade(open));
    }

    fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let (name, peer) = {
            let mut state = self.state.lock();
            // The name stays, for those who ask the other side for it.
            (self.name().filter(|_| state.owns_name), state.peer.take())
        };
        if let Some(name) = name {
            names::forget(name);
        }
        let (packets, pending) = {
            let mut content = self.inbox.content.lock();
            content.dead = true;
            content.shut = true;
            (
                core::mem::take(&mut content.packets),
                core::mem::take(&mut content.pending),
            )
        };
        // As on Linux, one without data at the front does not count.
        let empty = packets.front().is_some_and(|first| first.remaining() == 0);
        let unread = packets.len() > usize::from(empty);
        drop(packets);
        for connection in pending {
            // Whoever connected learns that nobody will ever accept it.
            if let Some(peer) = connection.peer() {
                peer.common.set_error(Errno::ECONNRESET);
            }
            connection.close();
        }
        if let Some(peer) = peer {
            if self.is_connection() {
                if unread {
                    peer.common.set_error(Errno::ECONNRESET);
                }
                // What was sent to it stays; then comes the end.
                peer.state.lock().sending_shut = true;
                peer.end_input();
                peer.outbox.senders.wake_all();
                peer.outbox.watchers.wake(LOOK);
            } else {
                peer.outbox.watchers.wake(LOOK);
            }
        }
        self.inbox.room.wake_all();
        self.tell_readers();
        rights::collect();
    }

    fn bind(&self, address: &Address) -> Result<(), Errno> {
        if self.name().is_some() {
            // Who asks for any name has one.
            return names::asks_for_any(address).then_some(()).ok_or(Errno::EINVAL);
        }
        if names::asks_for_any(address) {
            return self.bind_to_any();
        }
        let name = names::bind(&self.arc()?, address)?;
        self.take_name(name);
        Ok(())
    }

    fn connect(&self, address: &Address, nonblocking: bool) -> Result<(), Errno> {
        if self.is_connection() {
            return self.connect_stream(address, nonblocking);
        }
        if address.family() == Some(family::UNSPECIFIED) {
            let old = self.state.lock().peer.take();
            if let Some(old) = old {
                self.forget_messages_of(&old);
            }
            return Ok(());
        }
        names::check(address)?;
        self.bind_for_credentials()?;
        let peer = names::find(address, self.kind)?;
        let allowed = peer.peer().is_none_or(|other| core::ptr::eq(&*other, self));
        if !allowed {
            return Err(Errno::EPERM);
        }
        let old = {
            let mut state = self.state.lock();
            state.was_connected = true;
            state.peer.replace(peer.clone())
        };
        if let Some(old) = old.filter(|old| !Arc::ptr_eq(old, &peer)) {
            self.forget_messages_of(&old);
        }
        Ok(())
    }

    fn listen(&self, backlog: i32) -> Result<(), Errno> {
        if !self.is_connection() {
            return Err(Errno::EOPNOTSUPP);
        }
        {
            let mut state = self.state.lock();
            if self.name().is_none() || state.peer.is_some() || state.was_connected {
                return Err(Errno::EINVAL);
            }
            state.listens = true;
            state.peer_credentials = Some(own_credentials());
        }
        let backlog = (backlog as u32).min(MOST_CONNECTIONS as u32) as usize;
        self.inbox.content.lock().backlog = backlog;
        self.inbox.room.wake_all();
        Ok(())
    }

    fn accept(&self, nonblocking: bool) -> Result<Arc<dyn Socket>, Errno> {
        if !self.is_connection() {
            return Err(Errno::EOPNOTSUPP);
        }
        if !self.state.lock().listens {
            return Err(Errno::EINVAL);
        }
        let patience = self.common.receive_patience(nonblocking);
        let attempt = || {
            let mut content = self.inbox.content.lock();
            match content.pending.pop_front() {
                Some(connection) => Some(Ok(connection)),
                // As on Linux, only who would wait learns that nobody comes any more.
                None => (content.shut && patience != Patience::None).then_some(Err(Errno::EINVAL)),
            }
        };
        self.inbox.waiting.fetch_add(1, Ordering::SeqCst);
        let waited = Self::wait(&self.inbox.receivers, patience, attempt);
        self.inbox.waiting.fetch_sub(1, Ordering::SeqCst);
        let connection = waited??;
        self.inbox.room.wake_all();
        Ok(connection)
    }

    fn local_address(&self) -> Result<Address, Errno> {
        Ok(self.name().map_or_else(names::unnamed, |name| name.address))
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        self.peer().ok_or(Errno::ENOTCONN)?.local_address()
    }

    fn may_send(&self) -> Result<(), Errno> {
        if self.kind != SocketKind::SequencedPackets {
            return Ok(());
        }
        if let Some(errno) = self.common.take_error() {
            return Err(errno);
        }
        let state = self.state.lock();
        match state.peer.is_none() && !state.was_connected {
            true => Err(Errno::ENOTCONN),
            false => Ok(()),
        }
    }

    fn send(&self, message: Outgoing<'_, '_>) -> Result<usize, Errno> {
        if message.flags.contains(MessageFlags::OUT_OF_BAND) {
            return Err(Errno::EOPNOTSUPP);
        }
        let limit = self.common.send_buffer.load(Ordering::Relaxed);
        self.outbox.set_limit(limit);
        match self.kind {
            SocketKind::Stream => self.send_stream(message),
            _ => self.send_packet(message),
        }
    }

    fn receive(&self, message: &mut Incoming<'_, '_>) -> Result<usize, Errno> {
        if message.flags.contains(MessageFlags::OUT_OF_BAND) {
            return Err(Errno::EOPNOTSUPP);
        }
        match self.kind {
            SocketKind::Stream => self.receive_stream(message),
            _ => self.receive_packet(message),
        }
    }

    fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        let peer = self.peer();
        if how.receiving() {
            if let Some(peer) = peer.as_ref().filter(|_| self.is_connection()) {
                // Who can be read by nobody has nothing more to send.
                peer.state.lock().sending_shut = true;
            }
            self.end_input();
            self.inbox.room.wake_all();
        }
        if how.sending() {
            self.state.lock().sending_shut = true;
            self.outbox.senders.wake_all();
            self.outbox.watchers.wake(LOOK);
            if let Some(peer) = peer.as_ref().filter(|_| self.is_connection()) {
                peer.end_input();
            }
        }
        Ok(())
    }

    fn readiness(&self) -> PollEvents {
        let mut events = PollEvents::empty();
        let (shut, has_data, has_connections) = {
            let content = self.inbox.content.lock();
            (content.shut, content.has_packets(), !content.pending.is_empty())
        };
        let (peer, was_connected, listens, sending_shut) = {
            let state = self.state.lock();
            (
                state.peer.clone(),
                state.was_connected,
                state.listens,
                state.sending_shut,
            )
        };
        if self.common.has_error() {
            events |= PollEvents::ERROR;
        }
        if listens {
            events.set(READABLE, has_connections || shut);
            return events;
        }
        events.set(READABLE, has_data || shut);
        events.set(PollEvents::READ_HANG_UP, shut);
        let is_new = self.is_connection() && peer.is_none() && !was_connected;
        events.set(PollEvents::HANG_UP, is_new || (shut && sending_shut));
        let full = match &peer {
            Some(peer) if !self.is_connection() => {
                let mutual = peer.peer().is_some_and(|other| core::ptr::eq(&*other, self));
                !mutual && peer.inbox.content.lock().is_full()
            }
            _ => false,
        };
        let connected = peer.is_some() || !self.is_connection() || was_connected || !events.is_empty();
        events.set(WRITABLE, connected && !full && self.outbox.is_writable());
        events
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.outbox.watchers
    }

    fn control(&self, request: u32, argument: UserPointer) -> Result<usize, Errno> {
        let bytes = match request {
            BYTES_TO_READ => {
                if self.state.lock().listens {
                    return Err(Errno::EINVAL);
                }
                let content = self.inbox.content.lock();
                match self.kind {
                    SocketKind::Datagram => content.packets.front().map_or(0, Packet::remaining),
                    _ => content.packets.iter().map(Packet::remaining).sum(),
                }
            }
            BYTES_IN_FLIGHT => self.outbox.charged(),
            _ => return Err(Errno::ENOTTY),
        };
        write_object(argument, &(bytes as i32))?;
        Ok(0)
    }

    fn listens(&self) -> bool {
        self.state.lock().listens
    }

    fn option(&self, level: i32, name: i32) -> Option<Result<OptionValue, Errno>> {
        if level != pith_linux::sockets::level::SOCKET {
            return None;
        }
        match name {
            option::PEER_CREDENTIALS => {
                let known = self.state.lock().peer_credentials;
                let credentials = known.unwrap_or(PeerCredentials::UNKNOWN);
                let bytes = zerocopy::IntoBytes::as_bytes(&credentials).to_vec();
                Some(Ok(OptionValue::Bytes(bytes)))
            }
            _ => None,
        }
    }
}

fn kind_of(kind: u32, protocol: i32) -> Result<SocketKind, Errno> {
    if protocol != 0 && protocol != i32::from(family::UNIX) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match SocketKind::from_number(kind) {
        // As on Linux, raw local sockets are datagrams.
        Some(SocketKind::Raw) => Ok(SocketKind::Datagram),
        Some(kind @ (SocketKind::Stream | SocketKind::Datagram | SocketKind::SequencedPackets)) => Ok(kind),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

/// A new socket.
///
/// # Errors
/// `EPROTONOSUPPORT`, `ESOCKTNOSUPPORT`.
pub fn create(kind: u32, protocol: i32) -> Result<Arc<UnixSocket>, Errno> {
    Ok(UnixSocket::new(kind_of(kind, protocol)?))
}

/// Two sockets that are connected with each other.
///
/// # Errors
/// As for [`create`].
pub fn create_pair(kind: u32, protocol: i32) -> Result<[Arc<UnixSocket>; 2], Errno> {
    let (one, other) = (create(kind, protocol)?, create(kind, protocol)?);
    for (socket, peer) in [(&one, &other), (&other, &one)] {
        let mut state = socket.state.lock();
        state.peer = Some(peer.clone());
        state.was_connected = true;
        state.peer_credentials = Some(own_credentials());
    }
    Ok([one, other])
}
