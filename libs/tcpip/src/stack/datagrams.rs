//! UDP.

use super::*;

impl<B: Buffer> Stack<B> {
    /// A new socket, for which so many bytes may wait.
    pub fn udp_open(&mut self, reach: Reach, capacity: usize) -> Handle {
        self.add(Socket::Udp(Udp {
            reach,
            local: None,
            remote: None,
            queue: VecDeque::new(),
            queued: 0,
            capacity,
            refused: false,
            sharing: Sharing::default(),
        }))
    }

    pub(super) fn udp_mut(&mut self, handle: Handle) -> Result<&mut Udp<B>, Error> {
        match self.sockets.get_mut(handle) {
            Some(Socket::Udp(socket)) => Ok(socket),
            _ => Err(Error::State),
        }
    }

    /// Sends to, and receives from, only this address from now on; `None` for any again.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::NoPort`].
    pub fn udp_connect(&mut self, handle: Handle, remote: Option<SocketAddr>) -> Result<(), Error> {
        let remote = match remote {
            None => None,
            Some(remote) => {
                let (reach, bound) = self.udp_mut(handle).map(|one| (one.reach, one.local))?;
                let remote = self.peer(reach, bound, remote)?;
                let own = self.own_address(remote, 0)?;
                if bound.is_none() {
                    self.bind(handle, own, false)?;
                } else if let Ok(Udp {
                    local: Some(local), ..
                }) = self.udp_mut(handle)
                    && local.ip().is_unspecified()
                {
                    *local = SocketAddr::new(own.ip(), local.port());
                    if let (SocketAddr::V6(local), scope) = (local, scope_of(own)) {
                        local.set_scope_id(scope);
                    }
                }
                Some(remote)
            }
        };
        self.udp_mut(handle)?.remote = remote;
        Ok(())
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// [`Error::State`] without an address, [`Error::TooLong`], [`Error::Unreachable`], [`Error::NoSource`],
    /// [`Error::NoScope`], [`Error::NoPort`].
    pub fn udp_send(
        &mut self,
        handle: Handle,
        to: Option<SocketAddr>,
        data: Slice<B>,
        now: Instant,
    ) -> Result<(), Error> {
        let socket = self.udp_mut(handle)?;
        let (reach, bound, connected) = (socket.reach, socket.local, socket.remote);
        let remote = match to {
            Some(to) => self.peer(reach, bound, to)?,
            None => connected.ok_or(Error::State)?,
        };
        if bound.is_none() {
            self.bind(handle, SocketAddr::new(reach.any(), 0), false)?;
        }
        let local = self.local(handle).ok_or(Error::State)?;
        let scope = scope_of(remote);
        let source = match local.ip().is_unspecified() || local.ip().is_multicast() {
            true => self.source_for(remote.ip(), scope)?,
            false => local.ip(),
        };
        let way = self.route(remote.ip(), scope)?;
        let length = udp::HEADER + data.len();
        let header = if remote.is_ipv4() {
            ipv4::HEADER
        } else {
            ipv6::HEADER
        };
        if header + length > self.interfaces[way.interface].mtu.min(65_535) {
            return Err(Error::TooLong);
        }
        let header = udp::Header {
            source: local.port(),
            destination: remote.port(),
            length: length as u16,
            checksum: 0,
        };
        let mut bytes = header.bytes();
        let sum = Sum::default().pseudo_header(source, remote.ip(), ip::UDP, length);
        let data = Pieces::from(data);
        let partial = self.interfaces[way.interface].offload.checksum;
        let mut checksum = match partial {
            true => sum.partial(),
            false => sum_of(sum.bytes(&bytes), &data).checksum(),
        };
        if checksum == [0, 0] {
            checksum = [0xff, 0xff]; // 0 would mean none
        }
        bytes[6..8].copy_from_slice(&checksum);
        let packet = ip::Header::new(source, remote.ip(), scope, ip::UDP);
        let transport = Transport {
            header: &bytes,
            payload: data,
            partial: partial.then_some(6),
            cut: 0,
        };
        self.send_packet(&packet, transport, now);
        Ok(())
    }

    /// The next datagram that has arrived; it stays if it is only looked at.
    pub fn udp_receive(&mut self, handle: Handle, only_look: bool) -> Option<Datagram<B>> {
        let socket = self.udp_mut(handle).ok()?;
        if only_look {
            return socket.queue.front().cloned();
        }
        let datagram = socket.queue.pop_front()?;
        socket.queued -= datagram.data.buffer().footprint();
        Some(datagram)
    }

    /// Bytes of the next datagram; `None` if there is none.
    pub fn udp_next(&self, handle: Handle) -> Option<usize> {
        match self.sockets.get(handle)? {
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
            self.sockets.get(handle),
            Some(Socket::Udp(Udp { refused: true, .. }))
        )
    }

    pub(super) fn receive_udp(
        &mut self,
        packet: &Arrival,
        whole: &Slice<B>,
        payload: Slice<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let header = udp::Header::read(&payload)?;
        let mut data = payload;
        data.truncate(header.length.into());
        // Only IPv4 lets senders do without a checksum.
        if (header.checksum != 0 || packet.source.is_ipv6()) && !packet.verified {
            let length = header.length.into();
            let sum =
                Sum::default().pseudo_header(packet.source, packet.destination, ip::UDP, length);
            if !sum.bytes(&data).is_right() {
                return Err(Malformed::Checksum);
            }
        }
        data.advance(udp::HEADER);
        let source = self.socket_address(packet.interface, packet.source, header.source);
        let destination =
            self.socket_address(packet.interface, packet.destination, header.destination);
        let list = self.datagrams.get(&header.destination);
        // The most particular one takes it: connected before bound before bound to any address. Of those that share a port
        // and are equal, the addresses of both sides choose one.
        let mut best: Option<(u8, Handle)> = None;
        let mut equals = 0;
        for handle in list.into_iter().flatten() {
            let Some(Socket::Udp(socket)) = self.sockets.get(*handle) else {
                continue;
            };
            let score = self.udp_score(socket, packet, source, destination);
            let (highest, _) = best.unwrap_or_default();
            if score > highest {
                best = Some((score, *handle));
                equals = 1;
            } else if score == highest && score != 0 {
                equals += 1;
                if socket.sharing.port && self.draws_lot(&(destination, source), equals) {
                    best = Some((score, *handle));
                }
            }
        }
        let Some((_, handle)) = best else {
            if !packet.group {
                self.send_unreachable(packet, whole, now);
            }
            return Ok(());
        };
        if let Ok(socket) = self.udp_mut(handle)
            // The first one always has room, as on Linux.
            && (socket.queue.is_empty()
                || socket.queued + data.buffer().footprint() <= socket.capacity)
        {
            socket.queued += data.buffer().footprint();
            socket.queue.push_back(Datagram {
                source,
                destination,
                interface: packet.interface,
                hops: packet.hops,
                service: packet.service,
                data,
            });
            self.events.push_back(handle);
        }
        Ok(())
    }

    /// How particularly a socket is meant by a datagram; 0 if it is not.
    fn udp_score(
        &self,
        socket: &Udp<B>,
        packet: &Arrival,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> u8 {
        let Some(local) = socket.local else { return 0 };
        let fit = socket.reach.accepts(local.ip(), packet.destination);
        if fit == 0 || scope_of(local) != 0 && scope_of(local) != scope_of(destination) {
            return 0;
        }
        match socket.remote {
            Some(remote) if remote == source => 4,
            Some(_) => 0,
            None => fit,
        }
    }
}
