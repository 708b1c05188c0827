//! Addresses and ports of sockets.

use super::*;

impl<B: Buffer> Stack<B> {
    /// Whether another socket has the address. With `share`, only one that listens there counts.
    pub(super) fn conflicts(&self, datagrams: bool, address: SocketAddrV4, share: bool) -> bool {
        let table = if datagrams {
            &self.datagrams
        } else {
            &self.listeners
        };
        let same = |other: Option<SocketAddrV4>| {
            other.is_some_and(|other| {
                other.ip() == address.ip()
                    || other.ip().is_unspecified()
                    || address.ip().is_unspecified()
            })
        };
        let bound = table.get(&address.port()).into_iter().flatten();
        let mut sockets = bound.filter_map(|handle| self.sockets.get(handle));
        sockets.any(|socket| match socket {
            Socket::Tcp(socket) => {
                same(socket.local) && (!share || matches!(socket.state, TcpState::Listening { .. }))
            }
            Socket::Udp(socket) => same(socket.local) && !share,
        })
    }

    pub(super) fn choose_port(
        &mut self,
        datagrams: bool,
        ip: Ipv4Addr,
        remote: Option<SocketAddrV4>,
    ) -> Result<u16, Error> {
        let count = u32::from(EPHEMERAL.end() - EPHEMERAL.start()) + 1;
        self.draws += 1;
        let start = self.hash(&[self.draws, 0x706f_7274]) as u32;
        for step in 0..count {
            let port = EPHEMERAL.start() + (start.wrapping_add(step) % count) as u16;
            let address = SocketAddrV4::new(ip, port);
            let used = match remote {
                Some(remote) => self.connections.contains_key(&(address, remote)),
                None => false,
            };
            if !used && !self.conflicts(datagrams, address, false) {
                return Ok(port);
            }
        }
        Err(Error::NoPort)
    }

    /// Gives a socket its own address.
    ///
    /// # Errors
    /// [`Error::State`] if it has one, [`Error::NotLocal`], [`Error::InUse`], [`Error::NoPort`].
    pub fn bind(
        &mut self,
        handle: Handle,
        mut address: SocketAddrV4,
        share: bool,
    ) -> Result<(), Error> {
        if !address.ip().is_unspecified()
            && !self.is_local(*address.ip())
            && !address.ip().is_broadcast()
        {
            return Err(Error::NotLocal);
        }
        let datagrams = matches!(self.sockets.get(&handle), Some(Socket::Udp(_)));
        if self.local(handle).is_some() {
            return Err(Error::State);
        }
        if address.port() == 0 {
            address.set_port(self.choose_port(datagrams, *address.ip(), None)?);
        } else if self.conflicts(datagrams, address, share) {
            return Err(Error::InUse);
        }
        match self.sockets.get_mut(&handle) {
            Some(Socket::Tcp(socket)) => socket.local = Some(address),
            Some(Socket::Udp(socket)) => socket.local = Some(address),
            None => return Err(Error::State),
        }
        let table = if datagrams {
            &mut self.datagrams
        } else {
            &mut self.listeners
        };
        table.entry(address.port()).or_default().push(handle);
        Ok(())
    }

    /// A socket's own address.
    pub fn local(&self, handle: Handle) -> Option<SocketAddrV4> {
        match self.sockets.get(&handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Connected(connection),
                ..
            }) => v4(connection.local()),
            Socket::Tcp(socket) => socket.local,
            Socket::Udp(socket) => socket.local,
        }
    }

    /// The address of a socket's peer.
    pub fn remote(&self, handle: Handle) -> Option<SocketAddrV4> {
        match self.sockets.get(&handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Connected(connection),
                ..
            }) => v4(connection.remote()),
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
