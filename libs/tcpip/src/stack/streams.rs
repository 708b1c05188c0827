//! TCP: listeners, connections, and which segment belongs to which.

use super::*;

impl<B: Buffer> Stack<B> {
    /// A new socket.
    pub fn tcp_open(&mut self, reach: Reach, options: Options) -> Handle {
        self.add(Socket::Tcp(Tcp {
            reach,
            local: None,
            options,
            state: TcpState::Idle,
            listener: None,
            deadline: None,
            orphaned: false,
        }))
    }

    pub(super) fn tcp_mut(&mut self, handle: Handle) -> Result<&mut Tcp<B>, Error> {
        match self.sockets.get_mut(&handle) {
            Some(Socket::Tcp(socket)) => Ok(socket),
            _ => Err(Error::State),
        }
    }

    /// The connection of a socket; `None` if it has none.
    pub fn connection(&self, handle: Handle) -> Option<&Connection<B>> {
        match self.sockets.get(&handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Connected(connection),
                ..
            }) => Some(connection),
            _ => None,
        }
    }

    /// Does something with the connection of a socket, and sends what comes of it. `None` if it has none.
    pub fn with_connection<T>(
        &mut self,
        handle: Handle,
        now: Instant,
        action: impl FnOnce(&mut Connection<B>) -> T,
    ) -> Option<T> {
        let Ok(Tcp {
            state: TcpState::Connected(connection),
            ..
        }) = self.tcp_mut(handle)
        else {
            return None;
        };
        let result = action(connection);
        self.flush(handle, now);
        Some(result)
    }

    /// Waits for connections, of which up to `backlog` may wait to be accepted.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::InUse`], [`Error::NoPort`].
    pub fn tcp_listen(&mut self, handle: Handle, backlog: usize) -> Result<(), Error> {
        if self.local(handle).is_none() {
            let any = self.tcp_mut(handle)?.reach.any();
            self.bind(handle, SocketAddr::new(any, 0), false)?;
        }
        let socket = self.tcp_mut(handle)?;
        match &mut socket.state {
            TcpState::Idle => {
                socket.state = TcpState::Listening {
                    backlog,
                    half_open: 0,
                    ready: VecDeque::new(),
                };
                Ok(())
            }
            TcpState::Listening { backlog: old, .. } => {
                *old = backlog;
                Ok(())
            }
            TcpState::Connected(_) => Err(Error::State),
        }
    }

    /// Whether a socket waits for connections, and how many there are.
    pub fn tcp_listening(&self, handle: Handle) -> Option<usize> {
        match self.sockets.get(&handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Listening { ready, .. },
                ..
            }) => Some(ready.len()),
            _ => None,
        }
    }

    /// Takes a connection that has come.
    ///
    /// # Errors
    /// [`Error::State`] if the socket does not listen.
    pub fn tcp_accept(&mut self, handle: Handle) -> Result<Option<Handle>, Error> {
        let socket = self.tcp_mut(handle)?;
        let TcpState::Listening { ready, .. } = &mut socket.state else {
            return Err(Error::State);
        };
        let next = ready.pop_front();
        if let Some(next) = next
            && let Ok(socket) = self.tcp_mut(next)
        {
            socket.listener = None;
        }
        Ok(next)
    }

    /// Asks a peer for a connection.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::Unreachable`], [`Error::NoSource`], [`Error::NoScope`], [`Error::NoPort`],
    /// [`Error::InUse`].
    pub fn tcp_connect(
        &mut self,
        handle: Handle,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<(), Error> {
        let socket = self.tcp_mut(handle)?;
        if !matches!(socket.state, TcpState::Idle) {
            return Err(Error::State);
        }
        let (bound, reach, options) = (socket.local, socket.reach, socket.options);
        let remote = self.peer(reach, bound, remote)?;
        if remote.ip().is_multicast() {
            return Err(Error::Unreachable);
        }
        let port = bound.map_or(0, |bound| bound.port());
        let mut local = match bound {
            Some(bound) if !bound.ip().is_unspecified() => bound,
            _ => self.own_address(remote, port)?,
        };
        if local.port() == 0 {
            local.set_port(self.choose_port(false, reach, local, Some(remote))?);
        }
        let tuple = (local, remote);
        if self.connections.contains_key(&tuple) {
            return Err(Error::InUse);
        }
        let path = self.path(remote);
        let initial = self.initial(tuple, now);
        let connection = Connection::connect(tuple, initial, path, options, now);
        let socket = self.tcp_mut(handle)?;
        socket.state = TcpState::Connected(Box::new(connection));
        self.connections.insert(tuple, handle);
        self.flush(handle, now);
        Ok(())
    }

    /// Makes a socket new again whose connection has ended, so that it can ask for another one.
    ///
    /// # Errors
    /// [`Error::State`] if the connection has not ended.
    pub fn tcp_renew(&mut self, handle: Handle) -> Result<(), Error> {
        let socket = self.tcp_mut(handle)?;
        let tuple = match &socket.state {
            TcpState::Connected(one) if one.state() == State::Closed => (one.local(), one.remote()),
            _ => return Err(Error::State),
        };
        socket.state = TcpState::Idle;
        if let Some(deadline) = socket.deadline.take() {
            self.timers.remove(&(deadline, handle));
        }
        self.connections.remove(&tuple);
        Ok(())
    }

    /// What was chosen for a socket.
    pub fn tcp_chosen(&self, handle: Handle) -> Option<Options> {
        match self.sockets.get(&handle)? {
            Socket::Tcp(socket) => Some(socket.options),
            Socket::Udp(_) => None,
        }
    }

    /// Changes what a socket's connection, or those that it accepts, does.
    pub fn tcp_options(&mut self, handle: Handle, now: Instant, change: impl Fn(&mut Options)) {
        if let Ok(socket) = self.tcp_mut(handle) {
            change(&mut socket.options);
            if let TcpState::Connected(connection) = &mut socket.state {
                change(connection.options_mut());
                connection.keep_alive_changed(now);
                self.flush(handle, now);
            }
        }
    }

    /// Sends what a connection has to send, and sets its timer.
    pub(super) fn flush(&mut self, handle: Handle, now: Instant) {
        let mut segments = Vec::new();
        let Some(remote) = self.connection(handle).map(|one| one.remote()) else {
            return;
        };
        let largest = self.offload_to(remote).largest_segment(remote.is_ipv6());
        let Ok(socket) = self.tcp_mut(handle) else {
            return;
        };
        let TcpState::Connected(connection) = &mut socket.state else {
            return;
        };
        connection.transmit(now, largest, &mut segments);
        let deadline = connection.deadline();
        let over = connection.is_over() && socket.orphaned;
        let tuple = (connection.local(), connection.remote());
        let old = core::mem::replace(&mut socket.deadline, deadline);
        if old != deadline {
            if let Some(old) = old {
                self.timers.remove(&(old, handle));
            }
            if let Some(deadline) = deadline {
                self.timers.insert((deadline, handle));
            }
        }
        for segment in segments {
            self.send_segment(tuple, segment, now);
        }
        if over {
            self.forget(handle, tuple);
        }
    }

    pub(super) fn forget(&mut self, handle: Handle, tuple: Tuple) {
        self.connections.remove(&tuple);
        if let Some(Socket::Tcp(socket)) = self.sockets.remove(&handle) {
            if let Some(deadline) = socket.deadline {
                self.timers.remove(&(deadline, handle));
            }
            if let Some(local) = socket.local {
                self.unbind(handle, local.port(), false);
            }
        }
    }

    pub(super) fn send_segment(
        &mut self,
        (local, remote): Tuple,
        segment: Segment<B>,
        now: Instant,
    ) {
        let mut bytes = [0; tcp::LONGEST_HEADER];
        let length = segment.header.write(&mut bytes);
        let data = segment.length();
        let mut sum = Sum::default().pseudo_header(local.ip(), remote.ip(), ip::TCP, length + data);
        let partial = self.offload_to(remote).checksum;
        if partial {
            bytes[16..18].copy_from_slice(&sum.partial());
        } else {
            sum = sum_of(sum.bytes(&bytes[..length]), &segment.payload);
            bytes[16..18].copy_from_slice(&sum.checksum());
        }
        let header = ip::Header::new(local.ip(), remote.ip(), scope_of(remote), ip::TCP);
        let transport = Transport {
            header: &bytes[..length],
            payload: segment.payload,
            partial: partial.then_some(16),
            cut: segment.cut,
        };
        self.send_packet(&header, transport, now);
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
                return Err(Malformed::Checksum);
            }
        }
        let first = payload.first().ok_or(Malformed::Short)?;
        let (header, length) = tcp::Header::read(first)?;
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
        let local = self.socket_address(packet.interface, packet.destination, header.destination);
        let remote = self.socket_address(packet.interface, packet.source, header.source);
        let tuple = (local, remote);
        let length = data.length();
        if let Some(handle) = self.connections.get(&tuple).copied() {
            if self.deliver(handle, header, data, now) {
                return;
            }
            // The pair of addresses was only reserved: a new connection may have it.
            self.forget(handle, tuple);
        }
        let opens =
            header.flags & (tcp::flag::SYN | tcp::flag::ACK | tcp::flag::RST) == tcp::flag::SYN;
        match self.find_listener(local) {
            Some(listener) if opens => self.begin_connection(listener, tuple, header, now),
            _ => self.refuse(tuple, header, length, now),
        }
    }

    /// Gives a segment to a connection. False if that only waits for its end, and the segment begins a new one.
    pub(super) fn deliver(
        &mut self,
        handle: Handle,
        header: &tcp::Header,
        data: Pieces<B>,
        now: Instant,
    ) -> bool {
        let Ok(socket) = self.tcp_mut(handle) else {
            return false;
        };
        let listener = socket.listener;
        let TcpState::Connected(connection) = &mut socket.state else {
            return false;
        };
        let before = noticeable(connection);
        if before.3 == State::TimeWait && header.has(tcp::flag::SYN) && !header.has(tcp::flag::ACK)
        {
            return false;
        }
        connection.receive(header, data, now);
        let after = noticeable(connection);
        self.flush(handle, now);
        if before != after {
            self.events.push_back(handle);
        }
        if let Some(listener) = listener {
            self.advance_half_open(listener, handle, (before.3, after.3));
        }
        true
    }

    /// A connection that a listener has begun was made, or has failed.
    pub(super) fn advance_half_open(
        &mut self,
        listener: Handle,
        handle: Handle,
        (before, after): (State, State),
    ) {
        if before == after || before != State::SynReceived && after != State::Closed {
            return;
        }
        let mut kept = false;
        if let Ok(Tcp {
            state: TcpState::Listening {
                half_open, ready, ..
            },
            ..
        }) = self.tcp_mut(listener)
        {
            if before == State::SynReceived {
                *half_open = half_open.saturating_sub(1);
            }
            if after != State::Closed {
                ready.push_back(handle);
                kept = true;
            }
        }
        if kept {
            self.events.push_back(listener);
        } else if before == State::SynReceived
            && let Some(connection) = self.connection(handle)
        {
            let tuple = (connection.local(), connection.remote());
            self.forget(handle, tuple);
        }
    }

    pub(super) fn find_listener(&self, local: SocketAddr) -> Option<Handle> {
        let list = self.listeners.get(&local.port())?;
        let fit = |handle: &Handle| match self.sockets.get(handle) {
            Some(Socket::Tcp(Tcp {
                state: TcpState::Listening { .. },
                local: Some(bound),
                reach,
                ..
            })) => reach.accepts(bound.ip(), local.ip()),
            _ => 0,
        };
        let mut best = (0, None);
        for handle in list {
            let fit = fit(handle);
            if fit > best.0 {
                best = (fit, Some(*handle));
            }
        }
        best.1
    }

    pub(super) fn begin_connection(
        &mut self,
        listener: Handle,
        tuple: Tuple,
        syn: &tcp::Header,
        now: Instant,
    ) {
        let Ok(socket) = self.tcp_mut(listener) else {
            return;
        };
        let (options, reach) = (socket.options, socket.reach);
        let TcpState::Listening {
            backlog,
            half_open,
            ready,
        } = &mut socket.state
        else {
            return;
        };
        // As Linux: one more than asked for; what does not fit is asked again by the peer.
        if ready.len() > *backlog || *half_open > (*backlog).max(8) {
            return;
        }
        *half_open += 1;
        let path = self.path(tuple.1);
        let initial = self.initial(tuple, now);
        let connection = Connection::answer(tuple, syn, initial, path, options, now);
        let handle = self.add(Socket::Tcp(Tcp {
            reach,
            local: None,
            options,
            state: TcpState::Connected(Box::new(connection)),
            listener: Some(listener),
            deadline: None,
            orphaned: false,
        }));
        self.connections.insert(tuple, handle);
        self.flush(handle, now);
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
        let segment = Segment {
            header: answer,
            payload: Pieces::default(),
            cut: 0,
        };
        self.send_segment(tuple, segment, now);
    }
}
