//! Segments: in to the connection, request or listener that they are for, and out.

use super::*;

impl<B: Buffer> Stack<B> {
    /// Sends what a connection has to send, and sets its timer.
    pub(super) fn flush(&mut self, handle: Handle, now: Instant) {
        let Some(connection) = self.connection(handle) else {
            return;
        };
        // Only what is longer than a segment can be left to the device to cut, and most often there is no such thing.
        let largest = if connection.unsent() > connection.segment_size() {
            let remote = connection.remote();
            self.offload_to(remote).largest_segment(remote.is_ipv6())
        } else {
            0
        };
        let Some(Socket::Tcp(socket)) = self.sockets.get_mut(handle) else {
            return;
        };
        let TcpState::Connected(connection) = &mut socket.state else {
            return;
        };
        let segments = &mut self.segments;
        let again = connection.sent_again();
        connection.transmit(now, largest, segments);
        let again = connection.sent_again().wrapping_sub(again);
        self.counters.add_streams(StreamCount::Again, again.into());
        let (over, orphaned) = (connection.is_over(), socket.orphaned);
        let remains = !socket.detached && connection.remains(now).is_some();
        let tuple = (connection.local(), connection.remote());
        // Most deadlines are moved before they come: it is cheaper to look once too often than to move the timer each
        // time.
        if let Some(deadline) = connection.deadline()
            && socket.armed.is_none_or(|armed| armed > deadline)
        {
            if let Some(old) = socket.armed.replace(deadline) {
                self.timers.remove(&(old, Timer::Socket(handle)));
            }
            self.timers.insert((deadline, Timer::Socket(handle)));
        }
        let memory = connection.memory();
        if memory != socket.charged {
            self.memory = self.memory - socket.charged + memory;
            socket.charged = memory;
            self.check_memory();
        }
        if !self.segments.is_empty() {
            self.send_segments(handle, tuple, now);
        }
        if over && orphaned {
            self.forget(handle, tuple);
        } else if over {
            self.release(handle);
        } else if remains {
            self.leave(handle, now);
        }
    }

    /// Sends what a connection has put into `segments`.
    fn send_segments(&mut self, handle: Handle, tuple: Tuple, now: Instant) {
        let Some(Socket::Tcp(Tcp {
            state: TcpState::Connected(connection),
            lane,
            ..
        })) = self.sockets.get(handle)
        else {
            return;
        };
        let marking = connection.options().marking(tuple.1);
        self.lane = *lane;
        let mut segments = core::mem::take(&mut self.segments);
        for segment in segments.drain(..) {
            self.send_segment(tuple, marking, segment, now);
        }
        self.segments = segments;
        self.lane = None;
    }

    pub(super) fn expire_connection(&mut self, handle: Handle, now: Instant) {
        let mut segments = Vec::new();
        let Ok(socket) = self.tcp_mut(handle) else {
            return;
        };
        socket.armed = None;
        let TcpState::Connected(connection) = &mut socket.state else {
            return;
        };
        let lane = socket.lane;
        let before = noticeable(connection);
        let again = connection.sent_again();
        connection.expire(now, &mut segments);
        let again = connection.sent_again().wrapping_sub(again);
        let after = noticeable(connection);
        let tuple = (connection.local(), connection.remote());
        let marking = connection.options().marking(tuple.1);
        self.counters.add_streams(StreamCount::Again, again.into());
        self.counters.note_states(before.3, after.3);
        self.lane = lane;
        for segment in segments {
            self.send_segment(tuple, marking, segment, now);
        }
        self.lane = None;
        self.flush(handle, now);
        if before != after {
            self.events.push_back(handle);
        }
    }

    /// A socket is of no use any more.
    pub(super) fn forget(&mut self, handle: Handle, tuple: Tuple) {
        let Some(Socket::Tcp(socket)) = self.sockets.remove(handle) else {
            return;
        };
        if let Some(armed) = socket.armed {
            self.timers.remove(&(armed, Timer::Socket(handle)));
        }
        self.memory -= socket.charged;
        if socket.orphaned {
            self.orphans = self.orphans.saturating_sub(1);
        }
        if !socket.detached {
            self.directory.remove(&tuple, Place::Socket(handle));
            self.let_go(tuple.0, socket.sharing);
        }
        if let Some(local) = socket.local {
            self.unbind(handle, local.port(), false);
        }
    }

    pub(super) fn send_segment(
        &mut self,
        (local, remote): Tuple,
        marking: ip::Marking,
        segment: Segment<B>,
        now: Instant,
    ) {
        let mut bytes = [0; tcp::LONGEST_HEADER];
        let length = segment.header.write(&mut bytes);
        let data = segment.length();
        // What a device cuts are several.
        let pieces = data.div_ceil(usize::from(segment.cut).max(1)).max(1);
        let pieces = if segment.cut == 0 { 1 } else { pieces };
        self.counters.add_streams(StreamCount::Sent, pieces as u64);
        if segment.header.has(tcp::flag::RST) {
            self.counters.stream(StreamCount::Resets);
        }
        let mut sum = Sum::default().pseudo_header(local.ip(), remote.ip(), ip::TCP, length + data);
        let Ok(way) = self.route(remote.ip(), scope_of(remote)) else {
            return;
        };
        let partial = self.interfaces[way.interface].offload.checksum;
        if partial {
            bytes[16..18].copy_from_slice(&sum.partial());
        } else {
            sum = sum_of(sum.bytes(&bytes[..length]), &segment.payload);
            bytes[16..18].copy_from_slice(&sum.checksum());
        }
        let mut header = ip::Header::new(local.ip(), remote.ip(), scope_of(remote), ip::TCP);
        (header.hops, header.service) = (marking.hops, marking.service);
        let transport = Transport {
            header: &bytes[..length],
            payload: segment.payload,
            partial: partial.then_some(16),
            cut: (CutInto::Segments, segment.cut),
        };
        self.send_frame(way, &header, None, transport, now);
    }

    pub(super) fn receive_tcp(
        &mut self,
        packet: &Arrival,
        mut payload: Pieces<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        if !packet.verified {
            let length = payload.length();
            let sum =
                Sum::default().pseudo_header(packet.source, packet.destination, ip::TCP, length);
            if !sum_of(sum, &payload).is_right() {
                self.counters.stream(StreamCount::Received);
                self.counters.stream(StreamCount::Wrong);
                self.counters.stream(StreamCount::Checksums);
                return Err(Malformed::Checksum);
            }
        }
        let first = payload.first().ok_or(Malformed::Short)?;
        let (header, length) = tcp::Header::read(first).inspect_err(|_| {
            self.counters.stream(StreamCount::Received);
            self.counters.stream(StreamCount::Wrong);
        })?;
        payload.advance(length);
        self.receive_segment(packet, &header, payload, now);
        Ok(())
    }

    /// A segment has arrived, whose checksum is right.
    pub(super) fn receive_segment(
        &mut self,
        packet: &Arrival,
        header: &tcp::Header,
        data: Pieces<B>,
        now: Instant,
    ) {
        self.counters.stream(StreamCount::Received);
        let local = self.socket_address(packet.interface, packet.destination, header.destination);
        let remote = self.socket_address(packet.interface, packet.source, header.source);
        let tuple = (local, remote);
        let first = match self.directory.find(&tuple) {
            Some(Place::Socket(handle)) => {
                self.deliver(handle, header, data, now);
                return;
            }
            Some(Place::Request(number)) => {
                self.receive_for_request(number, header, data, now);
                return;
            }
            Some(Place::Late(number)) => {
                match self.receive_late(number, header, data.length(), now) {
                    None => return,
                    first => first,
                }
            }
            None => None,
        };
        let opens =
            header.flags & (tcp::flag::SYN | tcp::flag::ACK | tcp::flag::RST) == tcp::flag::SYN;
        match self.find_listener(&tuple) {
            Some(listener) if opens => self.receive_request(listener, tuple, header, first, now),
            Some(listener) if self.take_cookie(listener, tuple, header, &data, now) => {}
            _ => self.refuse(tuple, header, data.length(), now),
        }
    }

    /// Gives a segment to a connection.
    pub(super) fn deliver(
        &mut self,
        handle: Handle,
        header: &tcp::Header,
        data: Pieces<B>,
        now: Instant,
    ) {
        let Ok(Tcp {
            state: TcpState::Connected(connection),
            ..
        }) = self.tcp_mut(handle)
        else {
            return;
        };
        let before = noticeable(connection);
        connection.receive(header, data, now);
        let after = noticeable(connection);
        self.counters.note_states(before.3, after.3);
        // Only now is it known what the peer takes.
        if before.3 != after.3 && !self.paths.is_empty() {
            self.limit_to_path(handle, now);
        }
        self.flush(handle, now);
        if before != after {
            self.events.push_back(handle);
        }
    }

    /// Answers a segment of no connection with a reset (RFC 9293, section 3.10.7.1).
    pub(super) fn refuse(
        &mut self,
        tuple: Tuple,
        header: &tcp::Header,
        length: usize,
        now: Instant,
    ) {
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
        // Nobody has chosen anything for it.
        let marking = ip::Marking::default();
        self.send_segment(tuple, marking, Segment::plain(answer), now);
    }
}
