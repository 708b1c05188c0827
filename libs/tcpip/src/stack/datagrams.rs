//! UDP.

use super::frame::LARGEST_SEGMENT;
use super::*;

impl<B: Buffer> Stack<B> {
    /// A new socket, for which so many bytes may wait.
    pub fn udp_open(&mut self, reach: Reach, capacity: usize) -> Handle {
        self.open_datagrams(reach, Role::Datagrams, capacity)
    }

    pub(super) fn open_datagrams(&mut self, reach: Reach, role: Role, capacity: usize) -> Handle {
        self.add(Socket::Udp(Box::new(Udp {
            reach,
            role,
            local: None,
            remote: None,
            queue: VecDeque::new(),
            queued: 0,
            capacity,
            choice: Choice::default(),
            lost: 0,
            sharing: Sharing::default(),
            chosen: (false, false),
            manner: Manner::default(),
            error: None,
            reports: VecDeque::new(),
            groups: Vec::new(),
            anywhere: false,
        })))
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
            None => {
                self.forget_unchosen(handle)?;
                None
            }
            Some(remote) => {
                let (reach, bound) = self.udp_mut(handle).map(|one| (one.reach, one.local))?;
                let remote = self.peer(reach, bound, remote)?;
                let own = self.own_address(remote, 0)?;
                self.check_source(bound)?;
                self.complete(handle, own, false)?;
                if let Ok(Udp {
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

    /// Gives a socket a port if it has none, as before it sends or is connected.
    ///
    /// # Errors
    /// [`Error::NoPort`].
    pub fn udp_complete(&mut self, handle: Handle) -> Result<(), Error> {
        let socket = self.udp_mut(handle)?;
        if socket.role != Role::Datagrams {
            return Ok(());
        }
        let any = SocketAddr::new(socket.reach.any(), 0);
        self.complete(handle, any, false)
    }

    /// Takes the address and the port away that the program has not chosen itself.
    fn forget_unchosen(&mut self, handle: Handle) -> Result<(), Error> {
        let socket = self.udp_mut(handle)?;
        let (address, port) = socket.chosen;
        let Some(local) = socket.local.filter(|_| socket.role == Role::Datagrams) else {
            return Ok(());
        };
        let kept = match address {
            true => local.ip(),
            false => socket.reach.any(),
        };
        let mut kept = match local {
            SocketAddr::V6(local) if address => SocketAddr::V6(local),
            _ => SocketAddr::new(kept, local.port()),
        };
        if port {
            socket.local = Some(kept);
            return Ok(());
        }
        kept.set_port(0);
        socket.local = address.then_some(kept);
        self.unbind(handle, local.port(), true);
        Ok(())
    }

    /// How a socket sends.
    pub fn udp_manner(&self, handle: Handle) -> Option<Manner> {
        match self.sockets.get(handle)? {
            Socket::Udp(socket) => Some(socket.manner),
            Socket::Tcp(_) => None,
        }
    }

    /// Changes how a socket sends.
    ///
    /// # Errors
    /// [`Error::State`] if it is no such socket.
    pub fn udp_set_manner(&mut self, handle: Handle, manner: Manner) -> Result<(), Error> {
        self.udp_mut(handle)?.manner = manner;
        Ok(())
    }

    /// Forgets the reports that wait. The error that the last one has left is told nevertheless.
    ///
    /// # Errors
    /// [`Error::State`] if it is no such socket.
    pub fn udp_forget_reports(&mut self, handle: Handle) -> Result<(), Error> {
        self.udp_mut(handle)?.reports.clear();
        Ok(())
    }

    /// Changes which datagrams a socket receives, and how many bytes of them may wait.
    ///
    /// # Errors
    /// [`Error::State`] if it is no such socket.
    pub fn udp_choose(
        &mut self,
        handle: Handle,
        capacity: usize,
        choice: Choice,
    ) -> Result<(), Error> {
        let socket = self.udp_mut(handle)?;
        socket.capacity = capacity;
        socket.choice = choice;
        Ok(())
    }

    /// Bytes of memory that waiting datagrams keep, and datagrams that were thrown away since the start.
    pub fn udp_waiting(&self, handle: Handle) -> (usize, u64) {
        match self.sockets.get(handle) {
            Some(Socket::Udp(socket)) => (socket.queued, socket.lost),
            _ => (0, 0),
        }
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// As for [`Self::udp_send_as`].
    pub fn udp_send(
        &mut self,
        handle: Handle,
        to: Option<SocketAddr>,
        data: Slice<B>,
        now: Instant,
    ) -> Result<(), Error> {
        self.udp_send_as(handle, to, data, Exception::default(), now)
    }

    /// Sends a datagram in its own way.
    ///
    /// # Errors
    /// [`Error::State`] without an address, [`Error::TooLong`], [`Error::Unreachable`], [`Error::NoSource`],
    /// [`Error::NoScope`], [`Error::NoPort`], [`Error::Forbidden`], [`Error::NotLocal`] for a source that is not this
    /// machine's, [`Error::Failed`] if an error has come back since the last call.
    pub fn udp_send_as(
        &mut self,
        handle: Handle,
        to: Option<SocketAddr>,
        data: Slice<B>,
        exception: Exception,
        now: Instant,
    ) -> Result<(), Error> {
        let way_out = self.prepare(handle, to, exception, udp::HEADER + data.len(), now)?;
        self.send_datagram(&way_out, data, UNCUT, now);
        Ok(())
    }

    /// What [`Self::udp_send_as`] would answer for so many bytes, which it does not send.
    ///
    /// # Errors
    /// As for it.
    pub fn udp_would_send(
        &mut self,
        handle: Handle,
        to: Option<SocketAddr>,
        exception: Exception,
        length: usize,
        now: Instant,
    ) -> Result<(), Error> {
        self.prepare(handle, to, exception, udp::HEADER + length, now)
            .map(drop)
    }

    /// Sends data as datagrams of `step` bytes, the last one perhaps shorter: the device cuts them if it can.
    ///
    /// # Errors
    /// As for [`Self::udp_send_as`]; those before have been sent then.
    pub fn udp_send_in_steps(
        &mut self,
        handle: Handle,
        to: Option<SocketAddr>,
        (data, step): (Slice<B>, usize),
        exception: Exception,
        now: Instant,
    ) -> Result<(), Error> {
        let length = data.len();
        let mut start = 0;
        loop {
            let left = length - start;
            let piece = udp::HEADER + left.min(step);
            let way_out = self.prepare(handle, to, exception, piece, now)?;
            if left > step && way_out.cuts && left <= LARGEST_SEGMENT {
                let cut = (CutInto::Datagrams, step as u16);
                self.send_datagram(&way_out, data.part(start, left), cut, now);
                return Ok(());
            }
            self.send_datagram(&way_out, data.part(start, step), UNCUT, now);
            start += step;
            if start >= length {
                return Ok(());
            }
        }
    }

    fn send_datagram(
        &mut self,
        way_out: &WayOut,
        data: Slice<B>,
        cut: (CutInto, u16),
        now: Instant,
    ) {
        let packet = way_out.packet;
        let header = udp::Header {
            source: way_out.port,
            destination: way_out.remote.port(),
            length: (udp::HEADER + data.len()) as u16,
            checksum: 0,
        };
        let data = Pieces::from(data);
        let bytes = complete(&header, &packet, &data, way_out.partial);
        let transport = Transport {
            header: &bytes,
            payload: data,
            partial: way_out.partial.then_some(6),
            cut,
        };
        let v6 = packet.source.is_ipv6();
        self.counters.one(v6, Count::DatagramsSent);
        self.send_packet(&packet, transport, now);
    }

    /// Finds out how a packet leaves that carries so many bytes, and gives the socket an address if it has none.
    pub(super) fn prepare(
        &mut self,
        handle: Handle,
        to: Option<SocketAddr>,
        exception: Exception,
        length: usize,
        now: Instant,
    ) -> Result<WayOut, Error> {
        let socket = self.udp_mut(handle)?;
        let (reach, bound, connected) = (socket.reach, socket.local, socket.remote);
        let (manner, role) = (socket.manner, socket.role);
        let remote = match to {
            Some(to) => self.peer(reach, bound, to)?,
            None => connected.ok_or(Error::State)?,
        };
        // As on Linux, echoes share their identifiers unless they say otherwise.
        let shares = role == Role::Echoes;
        self.complete(handle, SocketAddr::new(reach.any(), 0), shares)?;
        let local = self.local(handle).ok_or(Error::State)?;
        let group = remote.ip().is_multicast();
        let scope = match (exception.interface, scope_of(remote)) {
            (0, 0) if group => manner.group_interface,
            (0, scope) => scope,
            (chosen, _) => chosen,
        };
        let source = match exception.source {
            Some(source) if !self.is_local(source) => return Err(Error::NotLocal),
            Some(source) => source,
            None if self.is_for_many(local.ip()) => self.source_for(remote.ip(), scope)?,
            None => {
                self.check_source(Some(local))?;
                local.ip()
            }
        };
        let way = self.route(remote.ip(), scope)?;
        let interface = &self.interfaces[way.interface];
        if !manner.broadcast && interface.is_broadcast(remote.ip()) {
            return Err(Error::Forbidden);
        }
        let (link, offload) = (interface.mtu_for(remote.ip()), interface.offload);
        // What goes to several stations may be for this machine as well, which takes it whole.
        let single = !group && !interface.is_broadcast(remote.ip());
        let (headers, longest) = match remote {
            SocketAddr::V4(_) => (ipv4::HEADER, 65_535 - ipv4::HEADER),
            SocketAddr::V6(_) => (ipv6::HEADER, 65_535),
        };
        let mtu = match manner.discovery {
            Discovery::Probe => link,
            _ => link.min(self.learned_mtu(remote.ip(), now)),
        };
        let fits = headers + length <= mtu;
        let refused = matches!(manner.discovery, Discovery::Always | Discovery::Probe);
        if length > longest || !fits && refused {
            return Err(Error::TooLong);
        }
        // As on Linux, what is wrong with this datagram is told before what was wrong with others.
        if let Some(cause) = self.udp_take_error(handle) {
            return Err(Error::Failed(cause));
        }
        let protocol = role.protocol(reach);
        let mut packet = ip::Header::new(source, remote.ip(), scope, protocol);
        let usual = if group {
            manner.group_hops
        } else {
            manner.hops
        };
        packet.hops = exception.hops.unwrap_or(usual);
        packet.group_loop = manner.group_loop;
        packet.service = exception.service.unwrap_or(manner.service);
        packet.do_not_fragment =
            fits && manner.discovery != Discovery::Never && !self.is_cut(remote.ip(), now);
        Ok(WayOut {
            packet,
            port: local.port(),
            remote,
            // A device completes the checksum of what it sends as one packet, and of what it cuts into parts itself.
            partial: offload.checksum
                && (fits || offload.parts && single && role == Role::Datagrams),
            cuts: offload.checksum && offload.datagrams && single && fits,
        })
    }

    /// The next datagram that has arrived; it stays if it is only looked at.
    pub fn udp_receive(&mut self, handle: Handle, only_look: bool) -> Option<Datagram<B>> {
        let socket = self.udp_mut(handle).ok()?;
        if only_look {
            return socket.queue.front().cloned();
        }
        let datagram = socket.queue.pop_front()?;
        socket.queued -= footprint(&datagram.data);
        if socket.role == Role::Datagrams {
            let v6 = datagram.carrier.source.is_ipv6();
            self.counters.one(v6, Count::Datagrams);
        }
        Some(datagram)
    }

    /// Bytes of the next datagram; `None` if there is none.
    pub fn udp_next(&self, handle: Handle) -> Option<usize> {
        match self.sockets.get(handle)? {
            Socket::Udp(socket) => socket.queue.front().map(|datagram| datagram.data.length()),
            Socket::Tcp(_) => None,
        }
    }

    /// What became of an earlier datagram, which is told once.
    pub fn udp_take_error(&mut self, handle: Handle) -> Option<Cause> {
        self.udp_mut(handle).ok()?.error.take()
    }

    /// Whether there is an error to be told, and whether there are reports.
    pub fn udp_has_error(&self, handle: Handle) -> (bool, bool) {
        match self.sockets.get(handle) {
            Some(Socket::Udp(socket)) => (socket.error.is_some(), !socket.reports.is_empty()),
            _ => (false, false),
        }
    }

    /// The next report of an error, if the socket wants them ([`Manner::reports`]).
    pub fn udp_take_report(&mut self, handle: Handle) -> Option<Report> {
        let socket = self.udp_mut(handle).ok()?;
        let report = socket.reports.pop_front()?;
        // As on Linux, the next one becomes the error that calls tell.
        socket.error = socket.reports.front().map(|next| next.cause);
        Some(report)
    }

    pub(super) fn receive_udp(
        &mut self,
        packet: &Arrival,
        whole: &Slice<B>,
        mut data: Pieces<B>,
        now: Instant,
    ) -> Result<(), Malformed> {
        let v6 = packet.source.is_ipv6();
        let first = data.first().ok_or(Malformed::Short)?;
        let header = udp::Header::read_start(first, data.length())
            .inspect_err(|_| self.counters.one(v6, Count::DatagramErrors))?;
        data.truncate(header.length.into());
        // Only IPv4 lets senders do without a checksum.
        if (header.checksum != 0 || packet.source.is_ipv6()) && !packet.verified {
            let length = header.length.into();
            let sum =
                Sum::default().pseudo_header(packet.source, packet.destination, ip::UDP, length);
            if !sum_of(sum, &data).is_right() {
                self.counters.one(v6, Count::DatagramErrors);
                self.counters.one(v6, Count::DatagramChecksums);
                return Err(Malformed::Checksum);
            }
        }
        data.advance(udp::HEADER);
        if self.receive_dhcp(packet, &header, &data, now) {
            return Ok(());
        }
        let interface = &self.interfaces[packet.interface];
        let carrier = self.carrier(packet, (header.source, header.destination), now);
        let (source, destination) = (carrier.source, carrier.destination);
        let datagram = Datagram {
            carrier,
            lost: 0,
            data,
        };
        if packet.destination.is_multicast() || interface.is_broadcast(packet.destination) {
            self.queue_for_all(packet, &header, &datagram);
            return Ok(());
        }
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
            self.counters.one(v6, Count::NoPort);
            if !packet.group {
                self.send_unreachable(packet, whole, now);
            }
            return Ok(());
        };
        self.queue_datagram(handle, &header, datagram);
        Ok(())
    }

    /// What is for a group is for all of its sockets.
    fn queue_for_all(&mut self, packet: &Arrival, header: &udp::Header, datagram: &Datagram<B>) {
        let (source, destination) = (datagram.carrier.source, datagram.carrier.destination);
        let list = self.datagrams.get(&destination.port());
        let meant = list.into_iter().flatten().copied().filter(|handle| {
            matches!(self.sockets.get(*handle), Some(Socket::Udp(socket))
                if self.udp_score(socket, packet, source, destination) != 0)
        });
        let meant: Vec<Handle> = meant.collect();
        for handle in meant {
            self.queue_datagram(handle, header, datagram.clone());
        }
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
        let chosen = socket.choice.interface;
        if chosen != 0 && chosen as usize != packet.interface + 1 {
            return 0;
        }
        let fit = socket.reach.accepts(local.ip(), packet.destination);
        if fit == 0 || scope_of(local) != 0 && scope_of(local) != scope_of(destination) {
            return 0;
        }
        match socket.remote {
            Some(remote) => {
                // A peer without a port is every port of its address.
                let host = remote.ip() == source.ip() && scope_of(remote) == scope_of(source);
                let port = remote.port() == 0 || remote.port() == source.port();
                if host && port { 4 } else { 0 }
            }
            None => fit,
        }
    }

    fn queue_datagram(&mut self, handle: Handle, header: &udp::Header, mut datagram: Datagram<B>) {
        let Ok(socket) = self.udp_mut(handle) else {
            return;
        };
        let size = footprint(&datagram.data);
        // The first one always has room, as on Linux.
        let fits = socket.queue.is_empty() || socket.queued + size <= socket.capacity;
        let filter = socket.choice.filter.as_deref();
        if !fits || filter.is_some_and(|filter| !choose(filter, header, &mut datagram)) {
            socket.lost += 1;
            let v6 = datagram.carrier.source.is_ipv6();
            self.counters.one(v6, Count::DatagramErrors);
            if !fits {
                self.counters.one(v6, Count::DatagramsWithoutRoom);
            }
            return;
        }
        socket.queued += footprint(&datagram.data);
        datagram.lost = socket.told_lost();
        socket.queue.push_back(datagram);
        self.events.push_back(handle);
    }
}

impl<B> Udp<B> {
    /// How many datagrams were lost so far, as one that comes now tells it.
    pub(super) fn told_lost(&self) -> u32 {
        if self.choice.counts_lost {
            self.lost as u32
        } else {
            0
        }
    }
}

/// Lets a filter look at a datagram, its header in front, and cut it. False if it does not want it.
fn choose<B: Buffer>(filter: &Program, header: &udp::Header, datagram: &mut Datagram<B>) -> bool {
    let mut bytes = Vec::from(header.bytes());
    bytes[6..8].copy_from_slice(&header.checksum.to_be_bytes());
    for piece in datagram.data.iter() {
        bytes.extend_from_slice(piece);
    }
    let facts = About {
        protocol: match datagram.carrier.source {
            SocketAddr::V4(_) => ethernet::IPV4,
            SocketAddr::V6(_) => ethernet::IPV6,
        },
        kind: 0,
        interface: datagram.carrier.interface as u32 + 1,
    };
    let kept = filter.run(&bytes, facts) as usize;
    // A header remains in any case.
    datagram.data.truncate(kept.saturating_sub(udp::HEADER));
    kept != 0
}

/// How a packet leaves that a socket sends.
pub(super) struct WayOut {
    /// Its header.
    pub packet: ip::Header,
    /// The socket's own port.
    pub port: u16,
    /// To whom it goes.
    pub remote: SocketAddr,
    /// A device completes its checksum, if it is UDP's.
    pub partial: bool,
    /// A device cuts what is longer into datagrams.
    pub cuts: bool,
}

/// What Linux reckons for the bookkeeping of a datagram.
const OVERHEAD: usize = 256;

/// Memory that a datagram keeps in use; even an empty one keeps some.
pub(super) fn footprint<B: Buffer>(data: &Pieces<B>) -> usize {
    let bytes: usize = data.iter().map(|piece| piece.buffer().footprint()).sum();
    OVERHEAD + bytes
}

/// The bytes of a header with its checksum, or with what a device needs to complete it.
pub(super) fn complete<B: Buffer>(
    header: &udp::Header,
    packet: &ip::Header,
    data: &Pieces<B>,
    partial: bool,
) -> [u8; udp::HEADER] {
    let mut bytes = header.bytes();
    let length = header.length.into();
    let sum = Sum::default().pseudo_header(packet.source, packet.destination, ip::UDP, length);
    let mut checksum = match partial {
        true => sum.partial(),
        false => sum_of(sum.bytes(&bytes), data).checksum(),
    };
    if checksum == [0, 0] {
        checksum = [0xff, 0xff]; // 0 would mean none
    }
    bytes[6..8].copy_from_slice(&checksum);
    bytes
}
