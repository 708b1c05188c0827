//! UDP.

use super::*;

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

    pub(super) fn udp_mut(&mut self, handle: Handle) -> Result<&mut Udp<B>, Error> {
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
        let sum = Sum::default().pseudo_header_v4(source, *remote.ip(), ipv4::UDP, length as u16);
        let data = Pieces::from(data);
        let partial = self.interfaces[interface].offload.checksum;
        let mut checksum = match partial {
            true => sum.partial(),
            false => sum_of(sum.bytes(&bytes), &data).checksum(),
        };
        if checksum == [0, 0] {
            checksum = [0xff, 0xff]; // 0 would mean none
        }
        bytes[6..8].copy_from_slice(&checksum);
        let packet = ipv4::Header::new(source, *remote.ip(), ipv4::UDP, length);
        let transport = Transport {
            header: &bytes,
            payload: data,
            partial: partial.then_some(6),
            cut: 0,
        };
        self.send_packet(packet, transport, now);
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

    pub(super) fn receive_udp(
        &mut self,
        packet: &ipv4::Header,
        whole: &Slice<B>,
        payload: Slice<B>,
        verified: bool,
        now: Instant,
    ) -> Result<(), Malformed> {
        let header = udp::Header::read(&payload)?;
        let mut data = payload;
        data.truncate(header.length.into());
        if header.checksum != 0 && !verified {
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
            // The first one always has room, as on Linux.
            && (socket.queue.is_empty()
                || socket.queued + data.buffer().footprint() <= socket.capacity)
        {
            socket.queued += data.buffer().footprint();
            socket.queue.push_back(Datagram {
                source,
                destination,
                data,
            });
            self.events.push_back(handle);
        }
        Ok(())
    }
}
