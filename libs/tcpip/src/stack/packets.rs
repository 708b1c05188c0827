//! Packets: in from interfaces, out to them, and what time does.

use super::*;

impl<B: Buffer> Stack<B> {
    pub(super) fn send_packet(
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

    pub(super) fn expire_connection(&mut self, handle: Handle, now: Instant) {
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
