//! Sockets of what is inside of packets: those of echoes (`ping` in `icmp(7)`), and those that send and receive a whole
//! protocol (`raw(7)`). They have queues, errors and manners as sockets of datagrams do.

use super::datagrams::footprint;
use super::faults::Quoted;
use super::*;

/// What a socket of datagrams sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Datagrams of UDP.
    Datagrams,
    /// Echoes, under an identifier of its own, which is its port.
    Echoes,
    /// All packets of a protocol.
    Raw {
        /// Its number.
        protocol: u8,
        /// Where in what is sent and received over IPv6 a checksum is, which the stack makes and verifies
        /// (`IPV6_CHECKSUM`).
        checksum: Option<u16>,
        /// Kinds of messages of ICMP that are not received, as bits (`ICMP_FILTER`, `ICMP6_FILTER`).
        blocked: [u32; 8],
        /// What is sent begins with a header of IP (`IP_HDRINCL`).
        own_header: bool,
    },
}

impl Role {
    /// All packets of a protocol.
    pub fn raw(protocol: u8, reach: Reach) -> Self {
        Self::Raw {
            protocol,
            // RFC 3542, section 3.1.
            checksum: (reach == Reach::V6 && protocol == ip::ICMPV6).then_some(2),
            blocked: [0; 8],
            own_header: protocol == ip::RAW,
        }
    }

    /// The number of the protocol.
    pub(super) fn protocol(self, reach: Reach) -> u8 {
        match self {
            Self::Datagrams => ip::UDP,
            Self::Echoes if reach == Reach::V4 => ip::ICMP,
            Self::Echoes => ip::ICMPV6,
            Self::Raw { protocol, .. } => protocol,
        }
    }
}

/// Bytes that a checksum is written into without a copy of the rest.
const START: usize = icmp::HEADER;

impl<B: Buffer> Stack<B> {
    /// A new socket for what is inside of packets, of one family, for which so many bytes may wait.
    pub fn raw_open(&mut self, reach: Reach, role: Role, capacity: usize) -> Handle {
        let handle = self.open_datagrams(reach, role, capacity);
        if let (Role::Raw { protocol, .. }, Ok(socket)) = (role, self.udp_mut(handle)) {
            // As on Linux, the protocol is shown as the port.
            socket.local = Some(SocketAddr::new(reach.any(), protocol.into()));
            self.raws.push(handle);
        }
        handle
    }

    /// What a socket sends and receives.
    pub fn role(&self, handle: Handle) -> Option<Role> {
        match self.sockets.get(handle)? {
            Socket::Udp(socket) => Some(socket.role),
            Socket::Tcp(_) => None,
        }
    }

    /// Changes checksum and filter of a socket that receives all packets of a protocol.
    ///
    /// # Errors
    /// [`Error::State`] for another kind of socket, or another protocol.
    pub fn set_role(&mut self, handle: Handle, role: Role) -> Result<(), Error> {
        let socket = self.udp_mut(handle)?;
        match (socket.role, role) {
            (Role::Raw { protocol, .. }, Role::Raw { protocol: same, .. }) if protocol == same => {
                socket.role = role;
                Ok(())
            }
            _ => Err(Error::State),
        }
    }

    /// Gives such a socket its own address.
    pub(super) fn bind_raw(
        &mut self,
        handle: Handle,
        address: SocketAddr,
        sharing: Sharing,
    ) -> Result<(), Error> {
        let socket = self.udp_mut(handle)?;
        let (reach, role) = (socket.reach, socket.role);
        // It may be bound again, as long as it is not connected.
        if role != Role::Echoes && socket.remote.is_some() {
            return Err(Error::State);
        }
        let mut address = self.bindable(handle, reach, true, address)?;
        // As on Linux, a wrong address is told first.
        if role == Role::Echoes && self.local(handle).is_some() {
            return Err(Error::State);
        }
        match role {
            Role::Echoes => {
                let identifier = self.choose_identifier(address.port(), sharing)?;
                address.set_port(identifier);
                // As on Linux, the newest of those that share one gets what comes.
                let list = self.echoes.entry(identifier).or_default();
                list.insert(0, handle);
            }
            _ => address.set_port(role.protocol(reach).into()),
        }
        let socket = self.udp_mut(handle)?;
        socket.local = Some(address);
        socket.sharing = sharing;
        Ok(())
    }

    /// An identifier for echoes: the one that is wished, or for 0 one that nobody has.
    fn choose_identifier(&mut self, wished: u16, sharing: Sharing) -> Result<u16, Error> {
        let shares = |handle: &Handle| {
            matches!(self.sockets.get(*handle), Some(Socket::Udp(other))
                if other.sharing.address && sharing.address)
        };
        if wished != 0 {
            let mut others = self.echoes.get(&wished).into_iter().flatten();
            return match others.all(shares) {
                true => Ok(wished),
                false => Err(Error::InUse),
            };
        }
        self.draws += 1;
        let start = self.secret.hash(&[self.draws, 0x6563_686f]) as u16;
        let mut all = (0..u16::MAX).map(|step| start.wrapping_add(step));
        all.find(|identifier| *identifier != 0 && !self.echoes.contains_key(identifier))
            .ok_or(Error::InUse)
    }

    /// The socket is gone.
    pub(super) fn unbind_raw(&mut self, handle: Handle, local: Option<SocketAddr>) {
        self.raws.retain(|other| *other != handle);
        let Some(identifier) = local.map(|local| local.port()) else {
            return;
        };
        if let Some(list) = self.echoes.get_mut(&identifier) {
            list.retain(|other| *other != handle);
            if list.is_empty() {
                self.echoes.remove(&identifier);
            }
        }
    }

    /// Sends what is inside of a packet, or a request for an echo, which gets the socket's identifier.
    ///
    /// # Errors
    /// As for [`Self::udp_send_as`]; [`Error::State`] also if there is no room for the checksum.
    pub fn raw_send_as(
        &mut self,
        handle: Handle,
        to: Option<SocketAddr>,
        data: Slice<B>,
        exception: Exception,
        now: Instant,
    ) -> Result<(), Error> {
        let role = self.udp_mut(handle)?.role;
        if let Role::Raw {
            own_header: true, ..
        } = role
        {
            return self.send_with_own_header(handle, to, data, exception, now);
        }
        let way_out = self.prepare(handle, to, exception, data.len(), now)?;
        let packet = way_out.packet;
        let checksum = match role {
            Role::Raw { checksum, .. } => checksum.map(usize::from),
            _ => Some(2),
        };
        let Some(place) = checksum else {
            self.send_packet(&packet, Transport::whole(&[], data), now);
            return Ok(());
        };
        if place + 2 > data.len() {
            return Err(Error::State);
        }
        let mut sum = Sum::default();
        if packet.source.is_ipv6() {
            sum = sum.pseudo_header(
                packet.source,
                packet.destination,
                packet.protocol,
                data.len(),
            );
        }
        // What is sent may be cut into parts: so only its start is changed, if possible.
        let mut start =
            Vec::from(&data[..START.max(place + 2).next_multiple_of(2).min(data.len())]);
        if role == Role::Echoes
            && let Some(identifier) = start.get_mut(4..6)
        {
            identifier.copy_from_slice(&way_out.port.to_be_bytes());
        }
        start[place..place + 2].fill(0);
        let rest = data.part(start.len(), data.len());
        let mut checksum = sum.bytes(&start).bytes(&rest).checksum();
        if checksum == [0, 0] && packet.protocol == ip::UDP {
            checksum = [0xff, 0xff];
        }
        start[place..place + 2].copy_from_slice(&checksum);
        if start.len() <= START {
            self.send_packet(&packet, Transport::whole(&start, rest), now);
            return Ok(());
        }
        let whole = B::joined(&start, &rest).ok_or(Error::TooMany)?;
        self.send_packet(&packet, Transport::whole(&[], Slice::new(whole)), now);
        Ok(())
    }

    /// Gives a packet to all sockets that want to see it. True if there were any.
    pub(super) fn receive_raw(
        &mut self,
        packet: &Arrival,
        protocol: u8,
        whole: &Slice<B>,
        payload: &Pieces<B>,
        now: Instant,
    ) -> bool {
        let meant = self.raws.iter().copied();
        let meant: Vec<Handle> = meant
            .filter(|handle| self.is_for_raw(*handle, packet, protocol, payload))
            .collect();
        if meant.is_empty() {
            return false;
        }
        let data = match packet.source {
            // Those of IPv4 see the header, those of IPv6 do not.
            IpAddr::V4(_) => match with_header(packet, whole, payload) {
                Some(data) => data,
                None => return true,
            },
            IpAddr::V6(_) => payload.clone(),
        };
        for handle in meant {
            self.queue_message(handle, packet, data.clone(), now);
        }
        true
    }

    fn is_for_raw(
        &self,
        handle: Handle,
        packet: &Arrival,
        number: u8,
        payload: &Pieces<B>,
    ) -> bool {
        let Some(Socket::Udp(socket)) = self.sockets.get(handle) else {
            return false;
        };
        let Role::Raw {
            protocol,
            checksum,
            blocked,
            ..
        } = socket.role
        else {
            return false;
        };
        if protocol != number || !self.is_meant(socket, packet, true) {
            return false;
        }
        let kind = payload.first().and_then(|first| first.first()).copied();
        if let (ip::ICMP | ip::ICMPV6, Some(kind)) = (protocol, kind)
            && blocked[usize::from(kind) / 32] & 1 << (kind % 32) != 0
        {
            return false;
        }
        checksum.is_none() || packet.verified || {
            let (source, destination) = (packet.source, packet.destination);
            let sum = Sum::default().pseudo_header(source, destination, number, payload.length());
            sum_of(sum, payload).is_right()
        }
    }

    /// Whether addresses and interface of a packet are those of a socket.
    fn is_meant(&self, socket: &Udp<B>, packet: &Arrival, of_peer: bool) -> bool {
        let chosen = socket.choice.interface;
        if socket.reach.includes(packet.source)
            && (chosen == 0 || chosen as usize == packet.interface + 1)
        {
            let own = self.socket_address(packet.interface, packet.destination, 0);
            let bound = socket.local.is_none_or(|local| {
                let scope = scope_of(local);
                socket.reach.accepts(local.ip(), packet.destination) != 0
                    && (scope == 0 || scope == scope_of(own))
            });
            let peer = socket.remote.is_none_or(|peer| peer.ip() == packet.source);
            return bound && (peer || !of_peer);
        }
        false
    }

    /// An echo has come back: it is for the newest socket that has its identifier.
    pub(super) fn receive_reply(
        &mut self,
        packet: &Arrival,
        header: &icmp::Header,
        data: Pieces<B>,
        now: Instant,
    ) {
        let identifier = (header.rest >> 16) as u16;
        let list = self.echoes.get(&identifier).into_iter().flatten();
        let found = list.copied().find(|handle| {
            matches!(self.sockets.get(*handle), Some(Socket::Udp(socket))
                if self.is_meant(socket, packet, false))
        });
        if let Some(handle) = found {
            self.queue_message(handle, packet, data, now);
        }
    }

    fn queue_message(&mut self, handle: Handle, packet: &Arrival, data: Pieces<B>, now: Instant) {
        let carrier = self.carrier(packet, (0, 0), now);
        let mut datagram = Datagram {
            carrier,
            lost: 0,
            data,
        };
        let Ok(socket) = self.udp_mut(handle) else {
            return;
        };
        if let Some(filter) = socket.choice.filter.as_deref() {
            let facts = About {
                protocol: match packet.source {
                    IpAddr::V4(_) => ethernet::IPV4,
                    IpAddr::V6(_) => ethernet::IPV6,
                },
                kind: 0,
                interface: packet.interface as u32 + 1,
            };
            let kept = run_filter(filter, &datagram.data, facts);
            if kept == 0 {
                socket.lost += 1;
                return;
            }
            datagram.data.truncate(kept);
        }
        let size = footprint(&datagram.data);
        // The first one always has room, as on Linux.
        if !socket.queue.is_empty() && socket.queued + size > socket.capacity {
            socket.lost += 1;
            return;
        }
        socket.queued += size;
        datagram.lost = socket.told_lost();
        socket.queue.push_back(datagram);
        self.events.push_back(handle);
    }

    /// Tells sockets that see a whole protocol what became of a packet of it.
    pub(super) fn report_to_raws(&mut self, quoted: &Quoted<'_>, fault: Fault) {
        for index in 0..self.raws.len() {
            let handle = self.raws[index];
            let Ok(socket) = self.udp_mut(handle) else {
                continue;
            };
            let (local, remote) = (quoted.local.ip(), quoted.remote.ip());
            let sender = socket.role.protocol(socket.reach) == quoted.protocol
                && socket.reach.includes(local)
                && socket
                    .local
                    .is_none_or(|bound| socket.reach.accepts(bound.ip(), local) != 0)
                && socket.remote.is_none_or(|peer| peer.ip() == remote);
            if sender {
                let mut peer = quoted.remote;
                peer.set_port(0);
                socket.learn(fault, peer, quoted.inner);
                self.events.push_back(handle);
            }
        }
    }

    /// Tells the socket that has asked for an echo what became of the request.
    pub(super) fn report_to_echoes(&mut self, quoted: &Quoted<'_>, fault: Fault) {
        let Ok(identifier) = crate::wire::u16_at(quoted.inner, 4) else {
            return;
        };
        if !matches!(quoted.inner.first(), Some(&(icmp::ECHO | icmpv6::ECHO))) {
            return;
        }
        let list = self.echoes.get(&identifier).cloned().unwrap_or_default();
        for handle in list {
            let Ok(socket) = self.udp_mut(handle) else {
                continue;
            };
            if socket.reach.includes(quoted.local.ip()) {
                let mut peer = quoted.remote;
                peer.set_port(0);
                socket.learn(fault, peer, quoted.inner);
                self.events.push_back(handle);
                return;
            }
        }
    }
}

/// How many bytes of a packet a filter lets through; it sees all of them in one piece.
pub(super) fn run_filter<B: Buffer>(filter: &Program, data: &Pieces<B>, facts: About) -> usize {
    let mut joined = Vec::new();
    let bytes: &[u8] = match data.first() {
        Some(first) if data.count() == 1 => first,
        _ => {
            if joined.try_reserve_exact(data.length()).is_err() {
                return 0;
            }
            for piece in data.iter() {
                joined.extend_from_slice(piece);
            }
            &joined
        }
    };
    filter.run(bytes, facts) as usize
}

/// A packet of IPv4 with its header in front, which for one that came in parts says what it would if it had not.
fn with_header<B: Buffer>(
    packet: &Arrival,
    whole: &Slice<B>,
    payload: &Pieces<B>,
) -> Option<Pieces<B>> {
    let header = whole.part(0, packet.header_length);
    let total = (header.len() + payload.length()) as u16;
    let is_part = crate::wire::u16_at(&header, 6).ok()? & 0x3fff != 0;
    let mut data = match is_part {
        false => Pieces::from(header),
        true => {
            let mut bytes = Vec::from(&header[..]);
            bytes[2..4].copy_from_slice(&total.to_be_bytes());
            bytes[6..8].fill(0);
            bytes[10..12].fill(0);
            let checksum = Sum::default().bytes(&bytes).checksum();
            bytes[10..12].copy_from_slice(&checksum);
            Pieces::from(Slice::new(B::joined(&bytes, &[])?))
        }
    };
    for piece in payload.iter() {
        data.push(piece.clone());
    }
    Some(data)
}
