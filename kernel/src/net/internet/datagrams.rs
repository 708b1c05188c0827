//! Sockets of datagrams: sending, receiving, and reports of what did not arrive.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::sockets::{MessageFlags, family, level, option};
use pith_tcpip::stack::{Carrier, Cause, Choice, Error, Exception, Reach};
use pith_tcpip::{Slice, Stack};

use super::errors::{errno, errno_for};
use super::ip_options::{IP, IPV6, UDP, udp, v4, v6};
use super::socket::InternetSocket;
use super::{Memory, name};
use crate::memory::{PacketRoom, Source};
use crate::net::address::Address;
use crate::net::message::{ControlMessage, Incoming, Outgoing};
use crate::net::options::Patience;
use crate::task;

/// Most datagrams into which one is cut (`UDP_MAX_SEGMENTS`).
const SEGMENTS: usize = 128;
/// Who reports a failure (`SO_EE_ORIGIN_ICMP`, `SO_EE_ORIGIN_ICMP6`).
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMPV6: u8 = 3;

/// Who tells that memory is free again (`SO_EE_ORIGIN_ZEROCOPY`), and that it was copied (`SO_EE_CODE_ZEROCOPY_COPIED`).
const ORIGIN_ZERO_COPY: u8 = 5;
const WAS_COPIED: u8 = 1;

/// Calls of which the program wants to know when it may change their memory again (`MSG_ZEROCOPY`). Since all of it is
/// copied at once, as Linux does for the machine's talk with itself, that is when they return.
#[derive(Default)]
pub(super) struct ZeroCopies {
    /// How many there were.
    sent: u32,
    /// How many of them were told of.
    told: u32,
}

impl ZeroCopies {
    fn add(&mut self) {
        self.sent = self.sent.wrapping_add(1);
    }

    /// Whether there is something to be told.
    pub(super) fn are_done(&self) -> bool {
        self.sent != self.told
    }

    /// The first and the last that were not told of.
    fn take_done(&mut self) -> Option<(u32, u32)> {
        let first = self.told;
        self.told = self.sent;
        (first != self.sent).then(|| (first, self.sent.wrapping_sub(1)))
    }
}

/// What waits until nothing more is added to it (`MSG_MORE`, `UDP_CORK`).
pub(super) struct Corked {
    to: Option<SocketAddr>,
    exception: Exception,
    bytes: Vec<u8>,
}

impl InternetSocket {
    /// An option of `SOL_SOCKET` was set.
    pub(super) fn datagram_option_set(&self, name: i32) {
        let choice = Choice {
            interface: self.common.device(),
            filter: self.common.filter(),
            counts_lost: self.common.switch(option::RECEIVE_QUEUE_OVERFLOW),
        };
        let capacity = self.common.receive_buffer.load(Ordering::Relaxed);
        let mut stack = self.network.stack.lock();
        // Both can only fail for streams, of which this is none.
        let _ = match name {
            option::BROADCAST => self.apply_manner(&mut stack),
            _ => stack.udp_choose(self.handle, capacity, choice),
        };
    }

    /// Tells the stack how the socket sends.
    fn apply_manner(&self, stack: &mut Stack<Memory>) -> Result<(), Error> {
        let mut manner = self.chosen.lock().manner(self.family);
        manner.broadcast = self.common.switch(option::BROADCAST);
        self.groups.lock().apply(&mut manner);
        stack.udp_set_manner(self.handle, manner)
    }

    /// The value of an option of IP or UDP.
    pub(super) fn ip_option(&self, level: i32, name: i32) -> Result<i32, Errno> {
        if level == IPV6 && self.family == family::INTERNET || level == UDP && self.is_stream() {
            return Err(match self.family {
                family::INTERNET => Errno::EOPNOTSUPP,
                _ => Errno::ENOPROTOOPT,
            });
        }
        if matches!((level, name), (IP, v4::MTU) | (IPV6, v6::MTU)) {
            let mtu = self.network.with(|stack, now| {
                let remote = stack.remote(self.handle)?;
                Some(stack.mtu_to(remote, now))
            });
            // A packet of IPv4 can't be longer than its header can say.
            let most = if level == IP { 0xffff } else { usize::MAX };
            return mtu.map(|mtu| mtu.min(most) as i32).ok_or(Errno::ENOTCONN);
        }
        if let Some(value) = self.group_option(level, name) {
            return Ok(value);
        }
        let chosen = self.chosen.lock();
        chosen.get(level, name).ok_or(Errno::ENOPROTOOPT)
    }

    /// Sets an option of IP or UDP.
    pub(super) fn set_ip_option(&self, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        if level == IPV6 && self.family == family::INTERNET || level == UDP && self.is_stream() {
            return Err(Errno::ENOPROTOOPT);
        }
        if matches!((level, name), (IP, v4::MTU) | (IPV6, v6::MTU)) {
            return Err(Errno::ENOPROTOOPT);
        }
        if let Some(result) = self.set_group_option(level, name, value) {
            result?;
            // It is no stream, so it works.
            let _ = self.apply_manner(&mut self.network.stack.lock());
            return Ok(());
        }
        let result = {
            // The interface may have to be looked up, which takes another lock.
            let mut chosen = *self.chosen.lock();
            let set = chosen.set(level, name, value);
            if self.is_stream() {
                // The two bits of congestion notification are no program's business there.
                chosen.leave_congestion_bits(*self.chosen.lock());
            }
            set.map(|()| *self.chosen.lock() = chosen)
        };
        if result == Err(Errno::ENOPROTOOPT) {
            crate::warning_once!("option {name} of level {level} is not there yet: setsockopt answers ENOPROTOOPT");
        }
        result?;
        if self.is_stream() {
            let [marking_v4, marking_v6] = self.chosen.lock().markings();
            self.change_options(|options| {
                (options.marking_v4, options.marking_v6) = (marking_v4, marking_v6);
            });
            return Ok(());
        }
        let chosen = *self.chosen.lock();
        // It is no stream, so it works.
        let mut stack = self.network.stack.lock();
        let _ = self.apply_manner(&mut stack);
        // As on Linux, who says that none of the one family are wanted loses those of the other too.
        let is_of_reports = matches!((level, name), (IP, v4::RECEIVE_ERRORS) | (IPV6, v6::RECEIVE_ERRORS));
        if is_of_reports && !chosen.is_on(level, name) {
            let _ = stack.udp_forget_reports(self.handle);
        }
        drop(stack);
        match chosen.is_on(UDP, udp::CORK) {
            true => Ok(()),
            false => self.uncork(),
        }
    }

    /// The error of a datagram that did not arrive, which is forgotten.
    pub(super) fn take_failure(&self) -> Option<Errno> {
        let taken = self.network.stack.lock().udp_take_error(self.handle);
        taken.map(errno_for).or_else(|| self.common.take_error())
    }

    pub(super) fn send_datagram(&self, message: Outgoing<'_, '_>) -> Result<usize, Errno> {
        let length = message.data.remaining();
        let too_long = length > usize::from(u16::MAX);
        let is_urgent = message.flags.contains(MessageFlags::OUT_OF_BAND);
        let named = message.address.as_ref().and_then(Address::family);
        // Linux's IPv6 looks for the peer first, unless an address of IPv4 is given.
        if self.family == family::INTERNET
            || self.is_udp() && self.reach() != Reach::V6 && named == Some(family::INTERNET)
        {
            if too_long {
                return Err(Errno::EMSGSIZE);
            }
            if is_urgent {
                return Err(Errno::EOPNOTSUPP);
            }
        }
        let to = self
            .peer_of(&message)?
            .map(|to| self.without_protocol(to))
            .transpose()?;
        let peer = to.or_else(|| self.network.stack.lock().remote(self.handle));
        let Some(peer) = peer else {
            return Err(Errno::EDESTADDRREQ);
        };
        if too_long {
            return Err(Errno::EMSGSIZE);
        }
        if is_urgent && peer.is_ipv4() {
            return Err(Errno::EOPNOTSUPP);
        }
        // As on Linux, a peer that a socket of IPv6 has in IPv4 is looked at like one that the program names.
        let is_named = to.is_some() || peer.is_ipv4() && self.family == family::INTERNET_6;
        if is_named && peer.port() == 0 && self.is_udp() {
            return Err(Errno::EINVAL);
        }
        let chosen = *self.chosen.lock();
        let (exception, segment) = chosen.exception(peer.ip(), self.common.device(), &message.ancillary)?;
        let more = message.flags.contains(MessageFlags::MORE) || chosen.is_on(UDP, udp::CORK);
        let corked = self.corked.lock().take();
        let before = corked.as_ref().map_or(0, |corked| corked.bytes.len());
        if before + length > usize::from(u16::MAX) {
            *self.corked.lock() = corked;
            return Err(Errno::EMSGSIZE);
        }
        if self.no_more_output.load(Ordering::Relaxed) {
            return Err(self.told_last(Errno::EPIPE, to, exception, length));
        }
        if more {
            return self.cork(corked, (to, exception), message.data);
        }
        let mut packet = PacketRoom::new(before + length).ok_or(Errno::ENOBUFS)?;
        let room = &mut packet.bytes_mut()[..before + length];
        if let Some(corked) = &corked {
            room[..before].copy_from_slice(&corked.bytes);
        }
        if message.data.take(&mut room[before..]) != Ok(length) {
            return Err(match self.is_udp() {
                true => self.told_last(Errno::EFAULT, to, exception, length),
                false => Errno::EFAULT,
            });
        }
        // The first part says where all of it goes.
        let (to, exception) = corked.map_or((to, exception), |corked| (corked.to, corked.exception));
        self.send_pieces(to, packet.filled(before + length), exception, segment.into())?;
        self.note_zero_copy(message.flags);
        Ok(length)
    }

    /// An error that, as on Linux, is told only if nothing else keeps a datagram from going.
    fn told_last(&self, last: Errno, to: Option<SocketAddr>, exception: Exception, length: usize) -> Errno {
        let would_go = self
            .network
            .with(|stack, now| stack.udp_would_send(self.handle, to, exception, length, now));
        would_go.map_or_else(error_of_sending, |()| last)
    }

    /// Keeps data until more has come.
    fn cork(
        &self,
        corked: Option<Corked>,
        (to, exception): (Option<SocketAddr>, Exception),
        data: &mut Source<'_>,
    ) -> Result<usize, Errno> {
        let mut corked = corked.unwrap_or(Corked {
            to,
            exception,
            bytes: Vec::new(),
        });
        let (before, length) = (corked.bytes.len(), data.remaining());
        corked.bytes.try_reserve_exact(length).map_err(|_| Errno::ENOBUFS)?;
        corked.bytes.resize(before + length, 0);
        if data.take(&mut corked.bytes[before..])? != length {
            return Err(Errno::EFAULT);
        }
        *self.corked.lock() = Some(corked);
        Ok(length)
    }

    /// Whether packets may be sent to an address: to everybody only with `SO_BROADCAST`.
    pub(super) fn check_broadcast(&self, peer: SocketAddr) -> Result<(), Errno> {
        let everybody = self.network.stack.lock().is_broadcast(peer.ip());
        match everybody && !self.common.switch(option::BROADCAST) {
            true => Err(Errno::EACCES),
            false => Ok(()),
        }
    }

    /// Sends what waits for more.
    pub(super) fn uncork(&self) -> Result<(), Errno> {
        let corked = self.corked.lock().take();
        match corked {
            Some(Corked { to, exception, bytes }) => {
                let mut packet = PacketRoom::new(bytes.len()).ok_or(Errno::ENOBUFS)?;
                packet.bytes_mut()[..bytes.len()].copy_from_slice(&bytes);
                self.send_pieces(to, packet.filled(bytes.len()), exception, 0)
            }
            None => Ok(()),
        }
    }

    /// Sends a datagram, or several that it is cut into.
    fn send_pieces(
        &self,
        to: Option<SocketAddr>,
        packet: Memory,
        exception: Exception,
        segment: usize,
    ) -> Result<(), Errno> {
        let data: Slice<Memory> = Slice::new(packet);
        if !self.is_udp() {
            return self.send_raw(to, data, exception);
        }
        let length = data.len();
        let step = if segment == 0 || segment >= length {
            length.max(1)
        } else {
            segment
        };
        if length.div_ceil(step) > SEGMENTS {
            return Err(Errno::EINVAL);
        }
        let sent = self
            .network
            .with(|stack, now| stack.udp_send_in_steps(self.handle, to, (data, step), exception, now));
        sent.map_err(error_of_sending)
    }

    /// Tells what is known of the packet that brought a message, and how many were lost before it, as far as the program wants
    /// to know.
    fn describe(&self, carrier: &Carrier, lost: u32, message: &mut Incoming<'_, '_>) {
        self.common
            .stamp(task::wall_clock_at(task::Instant(carrier.at.0)), message);
        if lost != 0 && self.common.switch(option::RECEIVE_QUEUE_OVERFLOW) {
            message.ancillary.others.push(ControlMessage {
                level: level::SOCKET,
                kind: option::RECEIVE_QUEUE_OVERFLOW,
                bytes: Vec::from(lost.to_ne_bytes()),
            });
        }
        self.chosen
            .lock()
            .describe(self.family, carrier, &mut message.ancillary);
    }

    pub(super) fn receive_datagram(&self, message: &mut Incoming<'_, '_>) -> Result<usize, Errno> {
        let patience = self
            .common
            .receive_patience(message.flags.contains(MessageFlags::DO_NOT_WAIT));
        let only_look = message.peeks();
        let waits = patience != Patience::None;
        let next = || {
            let mut stack = self.network.stack.lock();
            if let Some(cause) = stack.udp_take_error(self.handle) {
                return Some(Err(errno_for(cause)));
            }
            match stack.udp_receive(self.handle, only_look) {
                Some(datagram) => Some(Ok(Some(datagram))),
                // As on Linux, only who would wait learns that nothing more comes.
                None => (waits && self.no_more_input.load(Ordering::Relaxed)).then_some(Ok(None)),
            }
        };
        let Some(datagram) = self.wait(patience, next)?? else {
            return Ok(0);
        };
        message.address = Some(name::shown(self.family, datagram.carrier.source));
        let length = datagram.data.length();
        let copied = message.fill(&datagram.data)?;
        self.describe(&datagram.carrier, datagram.lost, message);
        let full = message.flags.contains(MessageFlags::TRUNCATED);
        Ok(if full { length } else { copied })
    }

    /// Level and kind of the ancillary data in which reports come.
    fn report_kind(&self) -> (i32, i32) {
        match self.family {
            family::INTERNET => (IP, v4::RECEIVE_ERRORS),
            _ => (IPV6, v6::RECEIVE_ERRORS),
        }
    }

    fn address_length(&self) -> usize {
        name::shown(self.family, name::nobody(self.family)).bytes().len()
    }

    /// Notes that a message was sent whose memory the program may use again at once (`MSG_ZEROCOPY`).
    pub(super) fn note_zero_copy(&self, flags: MessageFlags) {
        if flags.contains(MessageFlags::ZERO_COPY) && self.common.switch(option::ZERO_COPY) {
            self.zero_copies.lock().add();
            self.changed();
        }
    }

    /// Receives a report of what did not arrive, with what came back (`MSG_ERRQUEUE`). Never waits.
    pub(super) fn receive_failure(&self, message: &mut Incoming<'_, '_>) -> Result<usize, Errno> {
        if let Some((first, last)) = self.zero_copies.lock().take_done() {
            // Nothing comes with it, not even an address.
            let mut bytes = Vec::from([0; 4]);
            bytes.extend_from_slice(&[ORIGIN_ZERO_COPY, 0, WAS_COPIED, 0]);
            bytes.extend_from_slice(&first.to_ne_bytes());
            bytes.extend_from_slice(&last.to_ne_bytes());
            bytes.resize(bytes.len() + self.address_length(), 0);
            message.result |= MessageFlags::ERROR_QUEUE;
            let (level, kind) = self.report_kind();
            message.ancillary.others.push(ControlMessage { level, kind, bytes });
            return Ok(0);
        }
        let (report, own) = {
            let mut stack = self.network.stack.lock();
            (stack.udp_take_report(self.handle), stack.local(self.handle))
        };
        let report = report.ok_or(Errno::EAGAIN)?;
        let copied = match report.data.len() {
            0 => 0,
            _ => message.data.put_whole(&report.data)?,
        };
        if copied < report.data.len() {
            message.result |= MessageFlags::TRUNCATED;
        }
        message.result |= MessageFlags::ERROR_QUEUE;
        message.address = Some(name::shown(self.family, report.destination));
        if let Some(carrier) = &report.carrier {
            self.describe(carrier, 0, message);
        }
        let origin = match report.destination {
            SocketAddr::V4(_) => ORIGIN_ICMP,
            SocketAddr::V6(_) => ORIGIN_ICMPV6,
        };
        let information = match report.cause {
            Cause::TooLong => report.information,
            _ => 0,
        };
        let (kind, code) = report.message;
        // `struct sock_extended_err`, and who has reported it.
        let mut bytes = Vec::from(u32::from(errno_for(report.cause).number()).to_ne_bytes());
        bytes.extend_from_slice(&[origin, kind, code, 0]);
        bytes.extend_from_slice(&information.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let offender = report.carrier.map(|carrier| carrier.source);
        let offender = offender.or(own).unwrap_or(name::nobody(self.family));
        bytes.extend_from_slice(name::shown(self.family, offender).bytes());
        let (level, kind) = self.report_kind();
        message.ancillary.others.push(ControlMessage { level, kind, bytes });
        Ok(copied)
    }
}

fn error_of_sending(error: Error) -> Errno {
    match error {
        Error::State => Errno::EDESTADDRREQ,
        // From an address that is not ours, no way leads anywhere.
        Error::NotLocal => Errno::ENETUNREACH,
        error => errno(error),
    }
}
