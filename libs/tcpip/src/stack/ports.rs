//! Addresses and ports of sockets.

use super::*;

impl<B: Buffer> Stack<B> {
    /// Whether another socket has the address and does not share it.
    pub(super) fn conflicts(
        &self,
        datagrams: bool,
        reach: Reach,
        address: SocketAddr,
        sharing: Sharing,
    ) -> bool {
        let table = if datagrams {
            &self.datagrams
        } else {
            &self.listeners
        };
        let mut bound = table.get(&address.port()).into_iter().flatten();
        bound.any(|handle| {
            self.conflict(*handle, reach, address)
                .is_some_and(|(other, listens)| !sharing.allows(other, listens))
        })
    }

    /// How a socket shares its address, and whether it listens there, if it gets what is for another address too.
    fn conflict(
        &self,
        handle: Handle,
        reach: Reach,
        address: SocketAddr,
    ) -> Option<(Sharing, bool)> {
        let (other, others, sharing, listens) = match self.sockets.get(handle)? {
            Socket::Tcp(socket) => {
                let listens = matches!(socket.state, TcpState::Listening(_));
                (socket.local?, socket.reach, socket.sharing, listens)
            }
            Socket::Udp(socket) => (socket.local?, socket.reach, socket.sharing, false),
        };
        let same = scope_of(other) == scope_of(address)
            && (reach.accepts(address.ip(), other.ip()) != 0
                || others.accepts(other.ip(), address.ip()) != 0);
        same.then_some((sharing, listens))
    }

    /// Whether another socket listens where this one is about to.
    pub(super) fn is_listened_to(&self, handle: Handle) -> bool {
        let Some(Socket::Tcp(Tcp {
            local: Some(address),
            reach,
            sharing,
            ..
        })) = self.sockets.get(handle)
        else {
            return false;
        };
        let mut bound = self.listeners.get(&address.port()).into_iter().flatten();
        bound.any(|other| {
            *other != handle
                && self
                    .conflict(*other, *reach, *address)
                    .is_some_and(|(other, listens)| listens && !sharing.allows(other, true))
        })
    }

    /// Whether connections hold an address that do not share it: as on Linux also those that are about to end.
    fn is_held(&self, reach: Reach, address: SocketAddr, sharing: Sharing) -> bool {
        let port = address.port();
        let lowest = (port, Ipv4Addr::UNSPECIFIED.into());
        let mut held = self.holders.range(lowest..);
        held.by_ref()
            .take_while(|((other, _), _)| *other == port)
            .filter(|((_, ip), _)| reach.accepts(address.ip(), *ip) != 0)
            .any(|(_, counts)| {
                let mut kinds = counts.iter().enumerate();
                kinds.any(|(kind, count)| {
                    let other = Sharing {
                        address: kind & 1 != 0,
                        port: kind & 2 != 0,
                    };
                    *count != 0 && !sharing.allows(other, false)
                })
            })
    }

    /// Whether the last of so many equal sockets gets what comes from a peer, instead of the one that was chosen before: so
    /// each is chosen by as many peers as the others.
    pub(super) fn draws_lot(&self, tuple: &Tuple, equals: u64) -> bool {
        let lot = self.secret.of_tuple(tuple, 4);
        self.secret.hash(&[lot, equals]).is_multiple_of(equals)
    }

    /// A connection begins to hold its own address.
    pub(super) fn hold(&mut self, local: SocketAddr, sharing: Sharing) {
        let counts = self.holders.entry((local.port(), local.ip())).or_default();
        counts[usize::from(sharing.address) | usize::from(sharing.port) << 1] += 1;
    }

    /// It does not hold it any more.
    pub(super) fn let_go(&mut self, local: SocketAddr, sharing: Sharing) {
        let key = (local.port(), local.ip());
        if let Some(counts) = self.holders.get_mut(&key) {
            let count = &mut counts[usize::from(sharing.address) | usize::from(sharing.port) << 1];
            *count = count.saturating_sub(1);
            if *counts == [0; 4] {
                self.holders.remove(&key);
            }
        }
    }

    pub(super) fn choose_port(
        &mut self,
        datagrams: bool,
        reach: Reach,
        mut address: SocketAddr,
        remote: Option<SocketAddr>,
        now: Instant,
    ) -> Result<u16, Error> {
        let count = u32::from(EPHEMERAL.end() - EPHEMERAL.start()) + 1;
        self.draws += 1;
        let start = self.secret.hash(&[self.draws, 0x706f_7274]) as u32;
        let none = Sharing::default();
        for step in 0..count {
            let port = EPHEMERAL.start() + (start.wrapping_add(step) % count) as u16;
            address.set_port(port);
            let used = match remote {
                Some(remote) => !self.is_free(&(address, remote), now),
                None => !datagrams && self.is_held(reach, address, none),
            };
            if !used && !self.conflicts(datagrams, reach, address, none) {
                return Ok(port);
            }
        }
        Err(Error::NoPort)
    }

    /// With which families a socket speaks.
    pub fn reach(&self, handle: Handle) -> Option<Reach> {
        match self.sockets.get(handle)? {
            Socket::Tcp(socket) => Some(socket.reach),
            Socket::Udp(socket) => Some(socket.reach),
        }
    }

    /// Changes the families of a socket that has no address yet (`IPV6_V6ONLY`).
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn set_reach(&mut self, handle: Handle, reach: Reach) -> Result<(), Error> {
        if self.bound(handle).is_some_and(|local| local.port() != 0) {
            return Err(Error::State);
        }
        match self.sockets.get_mut(handle) {
            Some(Socket::Tcp(socket)) => socket.reach = reach,
            Some(Socket::Udp(socket)) => socket.reach = reach,
            None => return Err(Error::State),
        }
        Ok(())
    }

    /// The address of a peer as a socket may have it: the unspecified one means this machine.
    pub(super) fn peer(
        &self,
        reach: Reach,
        bound: Option<SocketAddr>,
        mut remote: SocketAddr,
    ) -> Result<SocketAddr, Error> {
        if remote.ip().is_unspecified() {
            // What is bound to an address of the other version means that one's.
            let v4 = remote.is_ipv4()
                || bound.is_some_and(|bound| bound.is_ipv4()) && reach == Reach::Both;
            remote.set_ip(match v4 {
                true => Ipv4Addr::LOCALHOST.into(),
                false => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let fits = match bound {
            Some(bound) if !bound.ip().is_unspecified() || bound.is_ipv4() => {
                bound.is_ipv4() == remote.is_ipv4()
            }
            _ => true,
        };
        if !fits || !reach.includes(remote.ip()) {
            return Err(Error::Unreachable);
        }
        if let SocketAddr::V6(remote) = &mut remote {
            remote.set_flowinfo(0);
            if !interfaces::has_scope(*remote.ip()) {
                remote.set_scope_id(0);
            }
        }
        Ok(remote)
    }

    /// The own address for packets to a peer.
    pub(super) fn own_address(&self, remote: SocketAddr, port: u16) -> Result<SocketAddr, Error> {
        let source = self.source_for(remote.ip(), scope_of(remote))?;
        let interface = match scope_of(remote) {
            0 => self.route(remote.ip(), 0)?.interface,
            scope => scope as usize - 1,
        };
        Ok(self.socket_address(interface, source, port))
    }

    /// Checks that an address can be a socket's own, and brings it into the form of the tables.
    pub(super) fn bindable(
        &self,
        handle: Handle,
        reach: Reach,
        datagrams: bool,
        address: SocketAddr,
    ) -> Result<SocketAddr, Error> {
        let ip = address.ip();
        let anywhere = match self.sockets.get(handle) {
            Some(Socket::Tcp(socket)) => socket.anywhere,
            Some(Socket::Udp(socket)) => socket.anywhere,
            None => false,
        };
        if !reach.includes(ip) {
            return Err(Error::NotLocal);
        }
        match address {
            SocketAddr::V4(_) => {
                let group =
                    ip.is_multicast() || self.interfaces.iter().any(|one| one.is_broadcast(ip));
                match ip.is_unspecified() || group || anywhere || self.is_local(ip) {
                    true => Ok(address),
                    false => Err(Error::NotLocal),
                }
            }
            SocketAddr::V6(own) => {
                let scope = own.scope_id();
                let scoped = interfaces::has_scope(*own.ip());
                if ip.is_multicast() && !datagrams {
                    return Err(Error::State);
                }
                if scoped && scope == 0 && !ip.is_multicast() {
                    return Err(Error::NoScope);
                }
                let mut interfaces = self.interfaces.iter().enumerate();
                let held = interfaces.any(|(index, one)| {
                    (!scoped || index + 1 == scope as usize) && (ip.is_multicast() || one.holds(ip))
                });
                if !(ip.is_unspecified() || held || anywhere || ip.is_multicast() && scope == 0) {
                    return Err(if scoped && scope as usize > self.interfaces.len() {
                        Error::NoInterface
                    } else {
                        Error::NotLocal
                    });
                }
                let scope = if scoped { scope } else { 0 };
                Ok(SocketAddrV6::new(*own.ip(), own.port(), 0, scope).into())
            }
        }
    }

    /// Whether a socket may have an address that no interface has, or does not have yet (`IP_FREEBIND`).
    pub fn bind_anywhere(&mut self, handle: Handle, anywhere: bool) {
        match self.sockets.get_mut(handle) {
            Some(Socket::Tcp(socket)) => socket.anywhere = anywhere,
            Some(Socket::Udp(socket)) => socket.anywhere = anywhere,
            None => {}
        }
    }

    /// Refuses an own address that no interface has: as on Linux, with IPv4 no way leads anywhere from there.
    pub(super) fn check_source(&self, own: Option<SocketAddr>) -> Result<(), Error> {
        match own.map(|own| own.ip()) {
            Some(ip @ IpAddr::V4(_)) if !self.is_for_many(ip) && !self.is_local(ip) => {
                Err(Error::Unreachable)
            }
            _ => Ok(()),
        }
    }

    /// Whether an address is no station's, so that another one is the source of what a socket sends that has it.
    pub(super) fn is_for_many(&self, ip: IpAddr) -> bool {
        ip.is_unspecified() || ip.is_multicast() || self.is_broadcast(ip)
    }

    /// Gives a socket its own address.
    ///
    /// # Errors
    /// [`Error::State`] if it has one, or if the address is a group's and the socket no datagram socket; [`Error::NotLocal`], [`Error::NoScope`], [`Error::NoInterface`],
    /// [`Error::InUse`], [`Error::NoPort`].
    pub fn bind(
        &mut self,
        handle: Handle,
        address: SocketAddr,
        sharing: impl Into<Sharing>,
    ) -> Result<(), Error> {
        self.bind_shared(handle, address, sharing.into())?;
        self.note_bound(handle, address);
        Ok(())
    }

    /// Remembers what the program has chosen. A socket with an address of IPv6 has nothing to do with IPv4 any more.
    fn note_bound(&mut self, handle: Handle, address: SocketAddr) {
        let chosen = !address.ip().is_unspecified();
        let only_v6 = chosen && address.is_ipv6();
        match self.sockets.get_mut(handle) {
            Some(Socket::Udp(socket)) if socket.role == Role::Datagrams => {
                socket.chosen = (chosen, address.port() != 0);
                socket.reach = if only_v6 { Reach::V6 } else { socket.reach };
            }
            Some(Socket::Tcp(socket)) => {
                socket.chosen = (chosen, address.port() != 0);
                socket.reach = if only_v6 { Reach::V6 } else { socket.reach };
            }
            _ => {}
        }
    }

    fn bind_shared(
        &mut self,
        handle: Handle,
        address: SocketAddr,
        sharing: Sharing,
    ) -> Result<(), Error> {
        let datagrams = match self.sockets.get(handle) {
            Some(Socket::Udp(socket)) if socket.role != Role::Datagrams => {
                return self.bind_raw(handle, address, sharing);
            }
            Some(Socket::Udp(_)) => true,
            _ => false,
        };
        let is_bound = self.bound(handle).is_some_and(|local| local.port() != 0);
        let reach = self.reach(handle).ok_or(Error::State)?;
        // As on Linux, with IPv4 a wrong address is told first.
        if is_bound && reach != Reach::V4 {
            return Err(Error::State);
        }
        let mut address = self.bindable(handle, reach, datagrams, address)?;
        if is_bound {
            return Err(Error::State);
        }
        if address.port() == 0 {
            let now = Instant::default();
            address.set_port(self.choose_port(datagrams, reach, address, None, now)?);
        } else if self.conflicts(datagrams, reach, address, sharing)
            || !datagrams && self.is_held(reach, address, sharing)
        {
            return Err(Error::InUse);
        }
        self.set_local(handle, address, sharing);
        let table = if datagrams {
            &mut self.datagrams
        } else {
            &mut self.listeners
        };
        table.entry(address.port()).or_default().push(handle);
        Ok(())
    }

    fn set_local(&mut self, handle: Handle, address: SocketAddr, sharing: Sharing) {
        match self.sockets.get_mut(handle) {
            Some(Socket::Tcp(socket)) => {
                socket.local = Some(address);
                socket.sharing = sharing;
                socket.rebound = matches!(socket.state, TcpState::Connected(_));
            }
            Some(Socket::Udp(socket)) => {
                socket.local = Some(address);
                socket.sharing = sharing;
            }
            None => {}
        }
    }

    /// Gives a socket its own address, and a port only when it needs one: to listen, to send, or for the peer to which
    /// it is connected, so that many connections may have the same port (`IP_BIND_ADDRESS_NO_PORT`).
    ///
    /// # Errors
    /// Those of [`Self::bind`].
    pub fn bind_without_port(
        &mut self,
        handle: Handle,
        mut address: SocketAddr,
        sharing: Sharing,
    ) -> Result<(), Error> {
        let datagrams = match self.sockets.get(handle) {
            // What is counted as their ports are no ports.
            Some(Socket::Udp(socket)) if socket.role != Role::Datagrams => {
                return self.bind_raw(handle, address, sharing);
            }
            socket => matches!(socket, Some(Socket::Udp(_))),
        };
        if self.bound(handle).is_some_and(|local| local.port() != 0) {
            return Err(Error::State);
        }
        address.set_port(0);
        let reach = self.reach(handle).ok_or(Error::State)?;
        let address = self.bindable(handle, reach, datagrams, address)?;
        self.set_local(handle, address, sharing);
        self.note_bound(handle, address);
        Ok(())
    }

    /// Chooses a port for a socket that needs one now; one that has no address yet gets the usual one, and shares it as
    /// told.
    ///
    /// # Errors
    /// [`Error::NoPort`], or that the address is not there any more.
    pub(super) fn complete(
        &mut self,
        handle: Handle,
        usual: SocketAddr,
        shares: bool,
    ) -> Result<(), Error> {
        let sharing = match self.sockets.get(handle) {
            Some(Socket::Tcp(socket)) => socket.sharing,
            Some(Socket::Udp(socket)) => socket.sharing,
            None => return Err(Error::State),
        };
        match self.bound(handle) {
            None => self.bind_shared(handle, usual, shares.into()),
            Some(local) if local.port() == 0 => self.bind_shared(handle, local, sharing),
            Some(_) => Ok(()),
        }
    }

    /// The address that keeps a socket from getting another one. One whose connection has ended may be bound again, unless
    /// the program has chosen its port.
    pub fn bound(&self, handle: Handle) -> Option<SocketAddr> {
        match self.sockets.get(handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Connected(connection),
                detached: false,
                ..
            }) => Some(connection.local()),
            Socket::Tcp(socket) => socket.local,
            Socket::Udp(socket) => socket.local,
        }
    }

    /// A socket's own address, as it is shown.
    pub fn local(&self, handle: Handle) -> Option<SocketAddr> {
        match self.sockets.get(handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Connected(connection),
                rebound: false,
                ..
            }) => Some(connection.local()),
            Socket::Tcp(socket) => match socket.local {
                Some(local) if local.port() != 0 => Some(local),
                None if socket.old_port == 0 => None,
                local => {
                    let ip = local.map_or(socket.reach.any(), |local| local.ip());
                    Some(SocketAddr::new(ip, socket.old_port))
                }
            },
            Socket::Udp(socket) => socket.local,
        }
    }

    /// The address of a socket's peer.
    pub fn remote(&self, handle: Handle) -> Option<SocketAddr> {
        match self.sockets.get(handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Connected(connection),
                ..
            }) => Some(connection.remote()),
            Socket::Tcp(_) => None,
            Socket::Udp(socket) => socket.remote,
        }
    }

    pub(super) fn unbind(&mut self, handle: Handle, port: u16, datagrams: bool) {
        let table = if datagrams {
            &mut self.datagrams
        } else {
            &mut self.listeners
        };
        if let Some(list) = table.get_mut(&port) {
            list.retain(|other| *other != handle);
            if list.is_empty() {
                table.remove(&port);
            }
        }
    }
}
