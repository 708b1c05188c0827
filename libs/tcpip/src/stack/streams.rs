//! TCP: what programs ask of their sockets.

use super::*;

impl<B> Tcp<B> {
    pub(super) fn new(reach: Reach, options: Options) -> Self {
        Self {
            reach,
            local: None,
            sharing: Sharing::default(),
            state: TcpState::Idle(Box::new(options)),
            armed: None,
            orphaned: false,
            detached: false,
            chosen: (false, false),
            old_port: 0,
            rebound: false,
            lane: None,
            charged: 0,
            anywhere: false,
        }
    }
}

impl<B: Buffer> Stack<B> {
    /// A new socket.
    pub fn tcp_open(&mut self, reach: Reach, options: Options) -> Handle {
        self.add(Socket::Tcp(Tcp::new(reach, options)))
    }

    pub(super) fn tcp_mut(&mut self, handle: Handle) -> Result<&mut Tcp<B>, Error> {
        match self.sockets.get_mut(handle) {
            Some(Socket::Tcp(socket)) => Ok(socket),
            _ => Err(Error::State),
        }
    }

    /// The connection of a socket; `None` if it has none.
    pub fn connection(&self, handle: Handle) -> Option<&Connection<B>> {
        match self.sockets.get(handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Connected(connection),
                ..
            }) => Some(connection),
            _ => None,
        }
    }

    /// Whoever calls from now on has this lane, such as a processor: what connections send that are used by
    /// [`Self::with_connection`] leaves by it ([`Frame::lane`]), also when it is an arrival or the time that lets them send.
    pub fn set_caller(&mut self, lane: u16) {
        self.caller = Some(lane);
    }

    /// Does something with the connection of a socket, and sends what comes of it. `None` if it has none.
    pub fn with_connection<T>(
        &mut self,
        handle: Handle,
        now: Instant,
        action: impl FnOnce(&mut Connection<B>) -> T,
    ) -> Option<T> {
        let caller = self.caller;
        let Ok(Tcp {
            state: TcpState::Connected(connection),
            lane,
            ..
        }) = self.tcp_mut(handle)
        else {
            return None;
        };
        *lane = caller;
        let before = connection.state();
        let result = action(connection);
        let after = connection.state();
        self.counters.note_states(before, after);
        self.flush(handle, now);
        Some(result)
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
        let TcpState::Idle(options) = &socket.state else {
            return Err(Error::State);
        };
        let (bound, reach, options) = (socket.local, socket.reach, **options);
        let sharing = socket.sharing;
        let remote = self.peer(reach, bound, remote)?;
        if remote.ip().is_multicast() {
            return Err(Error::Unreachable);
        }
        let port = bound.map_or(0, |bound| bound.port());
        // There must be a way there, whatever the own address is.
        let usual = self.own_address(remote, port)?;
        self.check_source(bound)?;
        let mut local = bound
            .filter(|bound| !bound.ip().is_unspecified())
            .unwrap_or(usual);
        if local.port() == 0 {
            local.set_port(self.choose_port(false, reach, local, Some(remote), now)?);
        }
        let tuple = (local, remote);
        if !self.is_free(&tuple, now) {
            return Err(Error::InUse);
        }
        let path = self.path(remote);
        let mut initial = self.secret.initial(&tuple, now);
        if let Some(Place::Late(number)) = self.directory.find(&tuple) {
            initial.0 = self.reusable(number, now).unwrap_or(initial.0);
            self.drop_late(number);
        }
        let mut connection = Connection::connect(tuple, initial, path, options, now);
        connection.set_scarce(self.scarce);
        let socket = self.tcp_mut(handle)?;
        socket.state = TcpState::Connected(Box::new(connection));
        socket.detached = false;
        self.directory.insert(tuple, Place::Socket(handle));
        self.hold(local, sharing);
        self.counters.stream(StreamCount::Asked);
        self.flush(handle, now);
        Ok(())
    }

    /// Makes a socket new again whose connection has ended, so that it can ask for another one.
    ///
    /// # Errors
    /// [`Error::State`] if the connection has not ended.
    pub fn tcp_renew(&mut self, handle: Handle) -> Result<(), Error> {
        let socket = self.tcp_mut(handle)?;
        let connection = match &socket.state {
            TcpState::Connected(one) if one.state() == State::Closed => one,
            _ => return Err(Error::State),
        };
        let options = *connection.options();
        if let Some(armed) = socket.armed.take() {
            self.timers.remove(&(armed, Timer::Socket(handle)));
        }
        self.release(handle);
        let socket = self.tcp_mut(handle)?;
        socket.state = TcpState::Idle(Box::new(options));
        socket.rebound = false;
        self.charge(handle);
        Ok(())
    }

    /// A connection has ended and does not need its addresses any more, although the program still has the socket.
    pub(super) fn release(&mut self, handle: Handle) {
        let Ok(socket) = self.tcp_mut(handle) else {
            return;
        };
        let TcpState::Connected(connection) = &socket.state else {
            return;
        };
        if socket.detached {
            return;
        }
        let tuple = (connection.local(), connection.remote());
        let sharing = socket.sharing;
        socket.detached = true;
        self.directory.remove(&tuple, Place::Socket(handle));
        self.let_go(tuple.0, sharing);
        self.give_up_port(handle, tuple.0);
    }

    /// A socket that is not in use any more gives up the port that the program has not asked for, and what was chosen for it
    /// as an address. As on Linux, it still shows the port.
    pub(super) fn give_up_port(&mut self, handle: Handle, shown: SocketAddr) {
        let Ok(socket) = self.tcp_mut(handle) else {
            return;
        };
        let (address, port) = socket.chosen;
        if port {
            return;
        }
        socket.old_port = shown.port();
        let mut kept = socket.local.unwrap_or(shown);
        let port = socket.local.map_or(0, |local| local.port());
        kept.set_port(0);
        socket.local = address.then_some(kept);
        if port != 0 {
            self.unbind(handle, port, false);
        }
    }

    /// The program does not wait for connections any more, but keeps the socket. Those that wait to be accepted are reset.
    ///
    /// # Errors
    /// [`Error::State`] if it does not listen.
    pub fn tcp_stop_listening(&mut self, handle: Handle, now: Instant) -> Result<(), Error> {
        let socket = self.tcp_mut(handle)?;
        let TcpState::Listening(listener) = &socket.state else {
            return Err(Error::State);
        };
        let idle = TcpState::Idle(Box::new(listener.options));
        let old = core::mem::replace(&mut socket.state, idle);
        let local = socket.local;
        if let TcpState::Listening(listener) = old {
            self.stop_listening(handle, *listener, now);
        }
        if let Some(local) = local {
            self.give_up_port(handle, local);
        }
        Ok(())
    }

    /// What was chosen for a socket.
    pub fn tcp_chosen(&self, handle: Handle) -> Option<Options> {
        let Socket::Tcp(socket) = self.sockets.get(handle)? else {
            return None;
        };
        Some(match &socket.state {
            TcpState::Idle(options) => **options,
            TcpState::Listening(listener) => listener.options,
            TcpState::Connected(connection) => *connection.options(),
        })
    }

    /// Changes what a socket's connection, or those that it accepts, does.
    pub fn tcp_options(&mut self, handle: Handle, now: Instant, change: impl Fn(&mut Options)) {
        if let Ok(socket) = self.tcp_mut(handle) {
            match &mut socket.state {
                TcpState::Idle(options) => change(options),
                TcpState::Listening(listener) => change(&mut listener.options),
                TcpState::Connected(connection) => {
                    connection.choose(change, now);
                    self.flush(handle, now);
                }
            }
        }
    }

    /// The program is done with a socket. A connection ends by itself.
    pub fn close(&mut self, handle: Handle, now: Instant) {
        match self.sockets.get_mut(handle) {
            Some(Socket::Udp(socket)) => {
                let (local, role) = (socket.local, socket.role);
                let groups = core::mem::take(&mut socket.groups);
                self.sockets.remove(handle);
                for (interface, group) in groups {
                    self.leave_group(interface, group, now);
                }
                match (role, local) {
                    (Role::Datagrams, Some(local)) => self.unbind(handle, local.port(), true),
                    (Role::Datagrams, None) => {}
                    _ => self.unbind_raw(handle, local),
                }
            }
            Some(Socket::Tcp(socket)) => {
                if matches!(socket.state, TcpState::Connected(_)) {
                    self.close_connection(handle, now);
                    return;
                }
                let Some(Socket::Tcp(socket)) = self.sockets.remove(handle) else {
                    return;
                };
                if let Some(local) = socket.local {
                    self.unbind(handle, local.port(), false);
                }
                if let TcpState::Listening(listener) = socket.state {
                    self.stop_listening(handle, *listener, now);
                }
            }
            None => {}
        }
    }

    fn close_connection(&mut self, handle: Handle, now: Instant) {
        let too_many = self.orphans >= self.limits.orphans;
        let Ok(socket) = self.tcp_mut(handle) else {
            return;
        };
        if socket.orphaned {
            return;
        }
        socket.orphaned = true;
        let local = socket.local.take();
        if let TcpState::Connected(connection) = &mut socket.state {
            connection.close(now);
            if too_many && !connection.is_over() {
                connection.abort();
            }
        }
        self.orphans += 1;
        // Nobody else is kept from listening there; the connection itself holds the address.
        if let Some(local) = local {
            self.unbind(handle, local.port(), false);
        }
        self.flush(handle, now);
    }
}
