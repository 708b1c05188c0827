//! Listeners, and requests for connections: in a queue of small records, and in cookies when that is full.

use super::*;
use crate::tcp::{Offer, Request, Step, cookie};

/// A request that is not yet a connection.
#[derive(Debug)]
pub(super) struct Pending {
    tuple: Tuple,
    listener: Handle,
    request: Request,
    armed: Instant,
}

impl<B: Buffer> Stack<B> {
    pub(super) fn listener_mut(&mut self, handle: Handle) -> Option<&mut Listener> {
        match self.sockets.get_mut(handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Listening(listener),
                ..
            }) => Some(listener),
            _ => None,
        }
    }

    /// Waits for connections, of which up to `backlog` may wait to be accepted.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::InUse`], [`Error::NoPort`].
    pub fn tcp_listen(&mut self, handle: Handle, backlog: usize) -> Result<(), Error> {
        let any = self.tcp_mut(handle)?.reach.any();
        if self.connection(handle).is_some() {
            return Err(Error::State);
        }
        self.complete(handle, SocketAddr::new(any, 0), false)?;
        let backlog = backlog.min(self.limits.backlog);
        let taken = self.is_listened_to(handle);
        let socket = self.tcp_mut(handle)?;
        match &mut socket.state {
            TcpState::Idle(_) if taken => Err(Error::InUse),
            TcpState::Idle(options) => {
                socket.state = TcpState::Listening(Box::new(Listener {
                    options: **options,
                    backlog,
                    requests: 0,
                    ready: Queue::new(),
                    cookies_at: None,
                }));
                Ok(())
            }
            TcpState::Listening(listener) => {
                listener.backlog = backlog;
                Ok(())
            }
            TcpState::Connected(_) => Err(Error::State),
        }
    }

    /// Whether a socket waits for connections, and how many there are.
    pub fn tcp_listening(&self, handle: Handle) -> Option<usize> {
        match self.sockets.get(handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Listening(listener),
                ..
            }) => Some(listener.ready.len()),
            _ => None,
        }
    }

    /// How many connections may wait to be accepted.
    pub fn tcp_backlog(&self, handle: Handle) -> Option<usize> {
        match self.sockets.get(handle)? {
            Socket::Tcp(Tcp {
                state: TcpState::Listening(listener),
                ..
            }) => Some(listener.backlog),
            _ => None,
        }
    }

    /// Takes a connection that has come.
    ///
    /// # Errors
    /// [`Error::State`] if the socket does not listen.
    pub fn tcp_accept(&mut self, handle: Handle) -> Result<Option<Handle>, Error> {
        let listener = self.listener_mut(handle).ok_or(Error::State)?;
        Ok(listener.ready.pop_front())
    }

    /// The program does not wait for connections any more. Those that wait to be accepted are reset.
    pub(super) fn stop_listening(&mut self, handle: Handle, mut listener: Listener, now: Instant) {
        let numbers: Vec<u32> = self
            .requests
            .iter()
            .filter(|(_, pending)| pending.listener == handle)
            .map(|(number, _)| number)
            .collect();
        for number in numbers {
            self.drop_request(number);
        }
        while let Some(connection) = listener.ready.pop_front() {
            self.with_connection(connection, now, |connection| connection.abort());
            self.close(connection, now);
        }
    }

    /// The listener for a pair of addresses: the one that is bound most exactly. Of several that share a port, the
    /// addresses choose one.
    pub(super) fn find_listener(&self, tuple: &Tuple) -> Option<Handle> {
        let (local, _) = tuple;
        let list = self.listeners.get(&local.port())?;
        let mut best = (0, None);
        let mut equals = 0;
        for handle in list {
            let Some(Socket::Tcp(Tcp {
                state: TcpState::Listening(_),
                local: Some(bound),
                reach,
                sharing,
                ..
            })) = self.sockets.get(*handle)
            else {
                continue;
            };
            let fit = match scope_of(*bound) {
                0 => reach.accepts(bound.ip(), local.ip()),
                scope if scope == scope_of(*local) => reach.accepts(bound.ip(), local.ip()),
                _ => 0,
            };
            if fit > best.0 {
                best = (fit, Some(*handle));
                equals = 1;
            } else if fit != 0 && fit == best.0 && sharing.port {
                equals += 1;
                if self.draws_lot(tuple, equals) {
                    best.1 = Some(*handle);
                }
            }
        }
        best.1
    }

    /// What a listener offers to a peer.
    fn offer(&self, listener: Handle, remote: SocketAddr) -> Option<(Offer, Options, Path)> {
        let options = self.tcp_chosen(listener)?;
        self.tcp_listening(listener)?;
        let path = self.path(remote);
        Some((Offer::new(path, &options), options, path))
    }

    /// A peer asks for a connection. `first` is the first number if it must not be just any.
    pub(super) fn receive_request(
        &mut self,
        handle: Handle,
        tuple: Tuple,
        syn: &tcp::Header,
        first: Option<Sequence>,
        now: Instant,
    ) {
        let Some((offer, options, _)) = self.offer(handle, tuple.1) else {
            return;
        };
        let marking = options.marking(tuple.1);
        let (secret, late) = (self.secret, first.is_some());
        let (initial, stamp) = secret.initial(&tuple, now);
        let Some(listener) = self.listener_mut(handle) else {
            return;
        };
        if listener.ready.len() > listener.backlog {
            // The peer asks again, and then there may be room.
            return;
        }
        let ports = (tuple.0.port(), tuple.1.port());
        let full = listener.requests >= listener.backlog;
        if full && !late {
            listener.cookies_at = Some(now);
            let request = cookie::give(&secret.cookie(&tuple), syn, stamp, now);
            let answer = request.answer(ports, offer, now);
            self.send_segment(tuple, marking, Segment::plain(answer), now);
            return;
        }
        let request = Request::new(syn, (first.unwrap_or(initial), stamp), now);
        if self.keep_request(handle, tuple, request) {
            let answer = request.answer(ports, offer, now);
            self.send_segment(tuple, marking, Segment::plain(answer), now);
        }
    }

    /// Remembers a request. False if there are too many.
    fn keep_request(&mut self, handle: Handle, tuple: Tuple, request: Request) -> bool {
        let armed = request.deadline();
        let pending = Pending {
            tuple,
            listener: handle,
            request,
            armed,
        };
        let Some(number) = self.requests.insert(pending) else {
            return false;
        };
        if let Some(listener) = self.listener_mut(handle) {
            listener.requests += 1;
        }
        self.directory.insert(tuple, Place::Request(number));
        self.timers.insert((armed, Timer::Request(number)));
        true
    }

    pub(super) fn drop_request(&mut self, number: u32) -> Option<Pending> {
        let pending = self.requests.remove(number)?;
        self.timers.remove(&(pending.armed, Timer::Request(number)));
        self.directory
            .remove(&pending.tuple, Place::Request(number));
        if let Some(listener) = self.listener_mut(pending.listener) {
            listener.requests = listener.requests.saturating_sub(1);
        }
        Some(pending)
    }

    pub(super) fn expire_request(&mut self, number: u32, now: Instant) {
        let Some((listener, remote)) = self
            .requests
            .get(number)
            .map(|pending| (pending.listener, pending.tuple.1))
        else {
            return;
        };
        let Some((offer, options, _)) = self.offer(listener, remote) else {
            self.drop_request(number);
            return;
        };
        let marking = options.marking(remote);
        let Some(pending) = self.requests.get_mut(number) else {
            return;
        };
        let step = pending.request.expire(offer, now);
        pending.armed = pending.request.deadline();
        self.timers.insert((pending.armed, Timer::Request(number)));
        match step {
            Step::Answer => self.answer(number, marking, offer, now),
            Step::End { .. } => {
                self.drop_request(number);
            }
            _ => {}
        }
    }

    fn answer(&mut self, number: u32, marking: ip::Marking, offer: Offer, now: Instant) {
        if let Some(Pending { tuple, request, .. }) = self.requests.get(number) {
            let (tuple, ports) = (*tuple, (tuple.0.port(), tuple.1.port()));
            let header = request.answer(ports, offer, now);
            self.send_segment(tuple, marking, Segment::plain(header), now);
        }
    }

    /// A segment for a request has come.
    pub(super) fn receive_for_request(
        &mut self,
        number: u32,
        header: &tcp::Header,
        data: Pieces<B>,
        now: Instant,
    ) {
        let Some(Pending {
            tuple, listener, ..
        }) = self.requests.get(number)
        else {
            return;
        };
        let (tuple, listener) = (*tuple, *listener);
        let Some((offer, options, _)) = self.offer(listener, tuple.1) else {
            self.drop_request(number);
            self.refuse(tuple, header, data.length(), now);
            return;
        };
        let marking = options.marking(tuple.1);
        let Some(pending) = self.requests.get_mut(number) else {
            return;
        };
        let request = &mut pending.request;
        let ports = (tuple.0.port(), tuple.1.port());
        match request.receive(header, data.length(), offer, now) {
            Step::Ignore => {}
            Step::Answer => self.answer(number, marking, offer, now),
            Step::Acknowledge => {
                let header = request.acknowledgement(ports, offer, now);
                self.send_segment(tuple, marking, Segment::plain(header), now);
            }
            Step::Refuse => {
                // It may have got a cookie before there was room for its request.
                if !self.take_cookie(listener, tuple, header, &data, now) {
                    self.refuse(tuple, header, data.length(), now);
                }
            }
            Step::End { reset } => {
                self.drop_request(number);
                if reset {
                    self.refuse(tuple, header, data.length(), now);
                }
            }
            Step::Establish => {
                let request = *request;
                if self.has_room(listener) {
                    self.drop_request(number);
                    self.establish(listener, tuple, &request, header, data, now);
                } else if let Some(pending) = self.requests.get_mut(number) {
                    // As Linux: the acknowledgement is dropped, and asked for again in time
                    // (`tcp_abort_on_overflow` is 0).
                    pending.request.put_off();
                }
            }
        }
    }

    fn has_room(&mut self, listener: Handle) -> bool {
        self.listener_mut(listener)
            .is_some_and(|listener| listener.ready.len() <= listener.backlog)
    }

    /// A peer that nobody remembers has acknowledged something: perhaps a cookie. False if the peer is to be refused.
    pub(super) fn take_cookie(
        &mut self,
        handle: Handle,
        tuple: Tuple,
        header: &tcp::Header,
        data: &Pieces<B>,
        now: Instant,
    ) -> bool {
        let (secret, (_, stamp)) = (self.secret, self.secret.initial(&tuple, now));
        let given = self
            .listener_mut(handle)
            .and_then(|listener| listener.cookies_at)
            .is_some_and(|at| now.since(at) < cookie::VALID);
        if !given
            || header.flags & (tcp::flag::SYN | tcp::flag::RST | tcp::flag::ACK) != tcp::flag::ACK
        {
            return false;
        }
        let secret = secret.cookie(&tuple);
        let Some(request) = cookie::take(&secret, header, stamp, now) else {
            // What brings the cookie was lost, or met a full queue. What is behind it must not be the end of a
            // connection that the peer believes to have: what brings the cookie comes again.
            return self
                .offer(handle, tuple.1)
                .is_some_and(|(offer, ..)| cookie::is_behind(&secret, header, offer.window, now));
        };
        if let Some(Place::Request(number)) = self.directory.find(&tuple) {
            self.drop_request(number);
        }
        if self.has_room(handle) {
            self.establish(handle, tuple, &request, header, data.clone(), now);
        } else {
            self.put_off_cookie(handle, tuple, request);
        }
        true
    }

    /// There is no room for the connection of a peer that has a cookie. If there is some for a request, the peer is
    /// asked to acknowledge again, even if it sends nothing by itself. Its address is no forgery.
    fn put_off_cookie(&mut self, handle: Handle, tuple: Tuple, mut request: Request) {
        request.put_off();
        let room = self
            .listener_mut(handle)
            .is_some_and(|listener| listener.requests < listener.backlog);
        if room {
            self.keep_request(handle, tuple, request);
        }
    }

    /// Makes a connection of a request.
    fn establish(
        &mut self,
        listener: Handle,
        tuple: Tuple,
        request: &Request,
        header: &tcp::Header,
        data: Pieces<B>,
        now: Instant,
    ) {
        let Some((_, options, path)) = self.offer(listener, tuple.1) else {
            return;
        };
        let Ok(socket) = self.tcp_mut(listener) else {
            return;
        };
        let (reach, sharing, address) = (socket.reach, socket.sharing, socket.chosen.0);
        let mut connection = Connection::accept(tuple, request, path, options, now);
        self.counters.stream(StreamCount::Answered);
        connection.set_scarce(self.scarce);
        let handle = self.add(Socket::Tcp(Tcp {
            sharing,
            chosen: (address, false),
            state: TcpState::Connected(Box::new(connection)),
            ..Tcp::new(reach, options)
        }));
        if handle == 0 {
            return;
        }
        self.directory.insert(tuple, Place::Socket(handle));
        self.hold(tuple.0, sharing);
        if let Some(listener) = self.listener_mut(listener) {
            listener.ready.push_back(handle);
        }
        self.events.push_back(listener);
        self.limit_to_path(handle, now);
        self.deliver(handle, header, data, now);
    }
}
