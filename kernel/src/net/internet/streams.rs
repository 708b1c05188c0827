//! Sockets of TCP: connecting, sending and receiving.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::signal::Signal;
use pith_linux::sockets::{MessageFlags, family};
use pith_tcpip::Slice;
use pith_tcpip::stack::Error;
use pith_tcpip::tcp::{Options, Readiness, State, Urgent};

use super::errors::{errno, errno_of};
use super::socket::InternetSocket;
use super::{Memory, name};
use crate::fs::turn::{Turn, TurnGuard};
use crate::memory::{LARGE_PACKET, PacketRoom};
use crate::net::address::Address;
use crate::net::message::{Incoming, Outgoing};
use crate::net::options::Patience;
use crate::net::socket::Socket;
use crate::task::{self, signal};

impl InternetSocket {
    /// Ends the connection with a reset if the program did not want it to linger (`SO_LINGER` with no time).
    pub fn abort_unlingering(&self) {
        if self.common.linger() == Some(0) {
            self.network.with(|stack, now| {
                stack.with_connection(self.handle, now, |connection| connection.abort());
            });
        }
    }

    /// What the connection says of itself; `None` if there is none.
    pub(super) fn connection(&self) -> Option<(State, Readiness)> {
        let stack = self.network.stack.lock();
        let connection = stack.connection(self.handle)?;
        Some((connection.state(), connection.readiness()))
    }

    /// The error of a connection that has failed, which is forgotten.
    pub(super) fn take_ending(&self) -> Option<Errno> {
        if let Some(errno) = self.common.take_error() {
            return Some(errno);
        }
        let ending = self
            .network
            .with(|stack, now| stack.with_connection(self.handle, now, |connection| connection.take_ending()));
        ending.flatten().map(errno_of)
    }

    fn finish_connecting(&self, patience: Patience) -> Result<(), Errno> {
        let done = || match self.connection() {
            Some((State::SynSent | State::SynReceived, _)) => None,
            Some((state, _)) => Some(state),
            None => Some(State::Closed),
        };
        let state = match self.wait(patience, done) {
            Ok(state) => state,
            Err(Errno::EAGAIN) => return Err(Errno::EINPROGRESS),
            Err(errno) => return Err(errno),
        };
        self.connecting.store(false, Ordering::Relaxed);
        let result = match self.take_ending() {
            Some(errno) => Err(errno),
            None if state == State::Closed => Err(Errno::ECONNABORTED),
            None => Ok(()),
        };
        if result.is_err() {
            // It is as new, and may try again. Nothing to renew means that somebody else has connected it.
            let _ = self.network.with(|stack, _| stack.tcp_renew(self.handle));
            self.no_more_input.store(false, Ordering::Relaxed);
            self.no_more_output.store(false, Ordering::Relaxed);
        }
        result
    }

    /// Takes the connection away, or the listening (`connect(2)` to no family, `shutdown(2)` of what listens or asks for a
    /// connection).
    pub(super) fn disconnect_stream(&self) -> Result<(), Errno> {
        let state = self.connection().map(|(state, _)| state);
        self.connecting.store(false, Ordering::Relaxed);
        self.no_more_input.store(false, Ordering::Relaxed);
        self.no_more_output.store(false, Ordering::Relaxed);
        let listened = self
            .network
            .with(|stack, now| stack.tcp_stop_listening(self.handle, now));
        if listened.is_ok() {
            self.changed();
            return Ok(());
        }
        let Some(state) = state else { return Ok(()) };
        // What has ended the connection is still to be told.
        if let Some(errno) = self.take_ending() {
            self.common.set_error(errno);
        }
        // Who is reset learns it, and so does the one that has done it.
        let resets = !matches!(state, State::Closed | State::TimeWait | State::LastAck | State::Closing);
        self.network.with(|stack, now| {
            stack.with_connection(self.handle, now, |connection| connection.abort());
            // It has ended just now.
            let _ = stack.tcp_renew(self.handle);
        });
        if resets {
            self.common.set_error(Errno::ECONNRESET);
        }
        self.changed();
        Ok(())
    }

    /// Takes the turn when `condition` gives something, which then holds as long as the turn is kept. While a thread
    /// sleeps others have the turn: a call that does not wait must not wait for one that does.
    fn in_turn<'a, T>(
        &self,
        turn: &'a Turn,
        patience: Patience,
        condition: impl Fn() -> Option<Result<T, Errno>>,
    ) -> Result<(TurnGuard<'a>, T), Errno> {
        loop {
            let guard = turn.take();
            if let Some(result) = condition() {
                return result.map(|value| (guard, value));
            }
            drop(guard);
            self.wait(patience, || condition().map(drop))?;
        }
    }

    pub(super) fn send_stream(&self, message: Outgoing<'_, '_>) -> Result<usize, Errno> {
        let patience = self
            .common
            .send_patience(message.flags.contains(MessageFlags::DO_NOT_WAIT));
        let more = message.flags.contains(MessageFlags::MORE);
        let urgent = message.flags.contains(MessageFlags::OUT_OF_BAND);
        let mut done = 0;
        let mut room_at_first = None;
        // Who sends nothing learns too that nothing can be sent.
        loop {
            let nothing = message.data.remaining() == 0;
            if nothing && done != 0 {
                break;
            }
            let room = || {
                let stack = self.network.stack.lock();
                let Some(connection) = stack.connection(self.handle) else {
                    return Some(Err(Errno::EPIPE));
                };
                if self.no_more_output.load(Ordering::Relaxed) {
                    return Some(Err(Errno::EPIPE));
                }
                if connection.ending().is_some() {
                    return Some(Err(Errno::ECONNRESET));
                }
                match connection.state() {
                    State::SynSent | State::SynReceived => None,
                    _ if !connection.can_send() => Some(Err(Errno::EPIPE)),
                    _ => match connection.free() {
                        0 if !nothing => None,
                        free => Some(Ok(free)),
                    },
                }
            };
            // A call that blocks sends everything.
            let step = self.in_turn(&self.sending, patience, room).and_then(|(_turn, room)| {
                room_at_first.get_or_insert(room);
                let length = room.min(LARGE_PACKET).min(message.data.remaining());
                if nothing {
                    return Ok(0);
                }
                let mut packet = PacketRoom::up_to(length).ok_or(Errno::ENOBUFS)?;
                let length = length.min(packet.capacity());
                let copied = message.data.take(&mut packet.bytes_mut()[..length])?;
                // As on Linux, a piece that can't be read wholly is not sent.
                if copied != length {
                    return Err(Errno::EFAULT);
                }
                let data: Slice<Memory> = Slice::new(packet.filled(copied));
                self.network.with(|stack, now| {
                    stack.with_connection(self.handle, now, |connection| {
                        connection.more_follows(more);
                        match urgent && message.data.remaining() == 0 {
                            true => connection.send_urgent(data),
                            false => connection.send(data),
                        }
                    });
                });
                Ok(copied)
            });
            match step {
                Ok(0) => break,
                Ok(copied) => done += copied,
                Err(Errno::EPIPE | Errno::ECONNRESET) if done != 0 => {
                    // As on Linux, a reset that comes while a call sends is noticed after it: what there was room for at
                    // first counts as sent, and is lost like the rest.
                    let room = room_at_first.unwrap_or(0).saturating_sub(done);
                    done += room.min(message.data.remaining());
                    break;
                }
                Err(_) if done != 0 => break,
                Err(Errno::EPIPE | Errno::ECONNRESET) => {
                    let errno = self.take_ending().unwrap_or(Errno::EPIPE);
                    if errno == Errno::EPIPE && !message.flags.contains(MessageFlags::NO_SIGNAL) {
                        signal::raise(Signal::SIGPIPE);
                    }
                    return Err(errno);
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(done)
    }

    /// The urgent byte. It never waits.
    pub(super) fn receive_urgent(&self, message: &mut Incoming<'_, '_>) -> Result<usize, Errno> {
        if !self.is_stream() {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.listens() {
            return Err(Errno::ENOTCONN);
        }
        let only_look = message.peeks();
        let urgent = self
            .network
            .with(|stack, now| stack.with_connection(self.handle, now, |connection| connection.take_urgent(only_look)));
        match urgent.unwrap_or(Urgent::None) {
            Urgent::None => Err(Errno::EINVAL),
            Urgent::Announced if self.no_more_input.load(Ordering::Relaxed) => Ok(0),
            Urgent::Announced => Err(Errno::EAGAIN),
            Urgent::Byte(byte) => {
                if !only_look {
                    self.urgent_told.store(false, Ordering::Relaxed);
                }
                message.result |= MessageFlags::OUT_OF_BAND;
                if message.data.remaining() == 0 {
                    message.result |= MessageFlags::TRUNCATED;
                    return Ok(0);
                }
                message.data.put(&[byte])
            }
        }
    }

    pub(super) fn receive_stream(&self, message: &mut Incoming<'_, '_>) -> Result<usize, Errno> {
        let patience = self
            .common
            .receive_patience(message.flags.contains(MessageFlags::DO_NOT_WAIT));
        let all = message.flags.contains(MessageFlags::WAIT_ALL) && !message.peeks();
        // As long as there are fewer bytes, the call goes on waiting.
        let least = match all {
            true => message.data.remaining(),
            false => self.common.receive_low_water.load(Ordering::Relaxed) as usize,
        };
        // Who asks for nothing waits too, until there is something.
        let least = least.min(message.data.remaining()).max(1);
        let mut done = 0;
        loop {
            let wanted = message.data.remaining();
            let available = || {
                let stack = self.network.stack.lock();
                let Some(connection) = stack.connection(self.handle) else {
                    if stack.tcp_listening(self.handle).is_some() {
                        return Some(Err(Errno::ENOTCONN));
                    }
                    // It may have been disconnected, which is told once.
                    return Some(match self.no_more_input.load(Ordering::Relaxed) {
                        _ if self.common.has_error() => Err(Errno::ECONNRESET),
                        true => Ok(Vec::new()),
                        false => Err(Errno::ENOTCONN),
                    });
                };
                if done != 0 && connection.is_at_mark() {
                    // A call does not read across urgent data.
                    return Some(Ok(Vec::new()));
                }
                if connection.available() != 0 {
                    let mut pieces: Vec<Slice<Memory>> = Vec::new();
                    let mut length = 0;
                    for piece in connection.data() {
                        if length >= wanted {
                            break;
                        }
                        length += piece.len();
                        pieces.push(piece);
                    }
                    return Some(Ok(pieces));
                }
                if connection.is_at_peers_end() {
                    return Some(Ok(Vec::new()));
                }
                if connection.ending().is_some() {
                    return Some(Err(Errno::ECONNRESET));
                }
                let ended = connection.is_at_end() || self.no_more_input.load(Ordering::Relaxed);
                ended.then(|| Ok(Vec::new()))
            };
            let patience = if done < least { patience } else { Patience::None };
            let (_turn, pieces) = match self.in_turn(&self.receiving, patience, available) {
                Ok((_, pieces)) if pieces.is_empty() => break,
                Ok(found) => found,
                Err(_) if done != 0 => break,
                // As on Linux, who asks for nothing is not told how the wait has ended.
                Err(Errno::EINTR | Errno::EAGAIN) if wanted == 0 && !matches!(patience, Patience::None) => break,
                Err(Errno::ECONNRESET) => return self.take_ending().map_or(Ok(0), Err),
                Err(errno) => return Err(errno),
            };
            let mut copied = 0;
            let mut result = Ok(0);
            for piece in &pieces {
                // Such data is thrown away.
                result = match message.flags.contains(MessageFlags::TRUNCATED) {
                    true => Ok(message.data.skip(piece.len())),
                    // As on Linux, a piece that the program's memory takes only a part of is not received.
                    false => message.data.put_whole(piece),
                };
                match result {
                    Ok(length) => copied += length,
                    Err(_) => break,
                }
                if message.data.remaining() == 0 {
                    break;
                }
            }
            if copied == 0 {
                return if done == 0 { result } else { Ok(done) };
            }
            done += copied;
            if message.peeks() {
                break;
            }
            self.network.with(|stack, now| {
                stack.with_connection(self.handle, now, |connection| connection.consume(copied));
            });
            if message.data.remaining() == 0 {
                break;
            }
        }
        Ok(done)
    }

    pub(super) fn change_options(&self, change: impl Fn(&mut Options)) {
        self.network
            .with(|stack, now| stack.tcp_options(self.handle, now, change));
    }

    /// Waits until everything was sent and acknowledged, but no longer than that.
    pub(super) fn linger(&self, nanoseconds: u64) {
        let sent = || {
            let stack = self.network.stack.lock();
            let waits = stack
                .connection(self.handle)
                .is_some_and(|connection| connection.unacknowledged() != 0);
            (!waits).then_some(())
        };
        let deadline = task::monotonic().after(nanoseconds);
        // Whatever ends it, the connection is closed then.
        let _ = self.wait(Patience::Until(deadline), sent);
    }

    pub(super) fn options(&self) -> Options {
        self.network
            .with(|stack, _| stack.tcp_chosen(self.handle))
            .unwrap_or_default()
    }

    /// Connects it, or goes on with what an earlier call has begun.
    pub(super) fn connect_stream(&self, address: &Address, nonblocking: bool) -> Result<(), Errno> {
        match address.family() {
            None => return Err(Errno::EINVAL),
            Some(family::UNSPECIFIED) => return self.disconnect_stream(),
            _ if self.listens() => return Err(Errno::EISCONN),
            _ => {}
        }
        let patience = self.common.send_patience(nonblocking);
        if self.connecting.load(Ordering::Relaxed) {
            let pending = matches!(self.connection(), Some((State::SynSent | State::SynReceived, _)));
            if pending && patience == Patience::None {
                return Err(Errno::EALREADY);
            }
            return self.finish_connecting(patience);
        }
        if self.connection().is_some() {
            return Err(Errno::EISCONN);
        }
        // As on Linux, the address is of no interest before.
        let remote = name::read(self.family, address)?;
        let asked = self
            .network
            .with(|stack, now| stack.tcp_connect(self.handle, remote, now));
        match asked {
            Ok(()) => {}
            Err(Error::State) => return Err(Errno::EISCONN),
            Err(error) => return Err(errno(error)),
        }
        self.connecting.store(true, Ordering::Relaxed);
        // What ended the last connection is of no interest any more.
        let _ = self.common.take_error();
        if patience == Patience::None {
            // As on Linux, even if the peer is this machine and has answered already.
            return Err(Errno::EINPROGRESS);
        }
        self.finish_connecting(patience)
    }
}
