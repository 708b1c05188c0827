//! Packets: in from interfaces, out to them, and what time does.

use super::*;

impl<B: Buffer> Stack<B> {
    pub(super) fn send_packet(
        &mut self,
        mut packet: ipv4::Header,
        transport: Transport<'_, B>,
        now: Instant,
    ) {
        let Ok((interface, next)) = self.route(packet.destination) else {
            return;
        };
        self.identification = self.identification.wrapping_add(1);
        packet.identification = self.identification;
        let mut headers = Headers::new();
        let hardware = self.interfaces[interface].hardware;
        if let Some(source) = hardware {
            let frame = ethernet::Header {
                destination: HardwareAddress::BROADCAST,
                source,
                kind: ethernet::IPV4,
            };
            headers.push(&frame.bytes());
        }
        headers.push(&packet.bytes());
        let start = headers.len() as u16;
        headers.push(transport.header);
        let cut = Cut {
            size: transport.cut,
            over_v6: false,
        };
        let frame = Frame {
            interface,
            headers,
            payload: transport.payload,
            partial: transport.partial.map(|offset| Partial { start, offset }),
            cut: (transport.cut != 0).then_some(cut),
        };
        if hardware.is_none() || self.interfaces[interface].is_broadcast(packet.destination) {
            self.frames.push_back(frame);
        } else {
            self.send_to_neighbour(interface, next, frame, now);
        }
    }

    /// What the device does by which packets to this address leave.
    pub(super) fn offload_to(&self, address: Ipv4Addr) -> Offload {
        self.route(address)
            .map(|(interface, _)| self.interfaces[interface].offload)
            .unwrap_or_default()
    }

    /// A frame has arrived at an interface.
    ///
    /// # Errors
    /// Why it is thrown away, for statistics.
    pub fn receive(
        &mut self,
        interface: usize,
        frame: impl Into<Received<B>>,
        now: Instant,
    ) -> Result<(), Malformed> {
        self.receive_frame(interface, frame.into(), now)
    }

    fn receive_frame(
        &mut self,
        interface: usize,
        frame: Received<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let Received {
            bytes: mut packet,
            verified,
        } = frame;
        if let Some(own) = self.interfaces[interface].hardware {
            let first = packet.first().ok_or(Malformed::Short)?;
            let header = ethernet::Header::read(first)?;
            if header.destination != own && !header.destination.is_group() {
                return Ok(());
            }
            packet.advance(ethernet::HEADER);
            match header.kind {
                ethernet::IPV4 => {}
                ethernet::ARP => {
                    let packet = packet.into_only().ok_or(Malformed::Short)?;
                    return self.receive_arp(interface, &packet, now);
                }
                _ => return Ok(()),
            }
        }
        let first = packet.first().ok_or(Malformed::Short)?;
        let header = ipv4::Header::read_start(first, packet.length())?;
        packet.truncate(header.header_length + header.payload_length);
        if header.is_fragment() {
            return Err(Malformed::Field); // not put together yet
        }
        let broadcast = self.interfaces[interface].is_broadcast(header.destination);
        if !self.is_local(header.destination) && !broadcast {
            return Ok(());
        }
        if header.protocol == ipv4::TCP {
            packet.advance(header.header_length);
            return match broadcast {
                false => self.receive_tcp(&header, packet, verified, now),
                true => Ok(()),
            };
        }
        let packet = packet.into_only().ok_or(Malformed::Short)?;
        let payload = packet.part(header.header_length, header.payload_length);
        match header.protocol {
            ipv4::UDP => self.receive_udp(&header, &packet, payload, verified, now),
            ipv4::ICMP => self.receive_icmp(&header, payload, now),
            _ => Ok(()),
        }
    }

    /// A frame for the loopback interface arrives there. Its data is not copied.
    ///
    /// Gives the frame back if it is not of TCP: it has to be made whole, in one piece, and given to [`Self::receive`].
    pub fn loop_back(&mut self, frame: Frame<B>, now: Instant) -> Option<Frame<B>> {
        let Ok(packet) = ipv4::Header::read_start(&frame.headers, frame.length()) else {
            return Some(frame);
        };
        let Some(header) = frame.headers.get(packet.header_length..) else {
            return Some(frame);
        };
        if packet.protocol != ipv4::TCP || !self.is_local(packet.destination) {
            return Some(frame);
        }
        if let Ok((header, _)) = tcp::Header::read(header) {
            self.receive_segment(&packet, &header, frame.payload, now);
        }
        None
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
