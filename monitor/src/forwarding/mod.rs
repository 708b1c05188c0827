//! Published ports: listens for the machine, and hands connections on to the router that QEMU plays.
//!
//! QEMU's router can listen by itself, but it does so with a backlog of one. Of connections that come at once, Linux
//! keeps two; the others are dropped, so that they try again after a second, or are answered with cookies whose
//! completion finds no room, so that they are reset: of 50 connections at once, 43 were (`docs/architecture.md`). Once a
//! connection is accepted, the router carries it as well as any other. So this listens with the longest backlog that
//! the host allows, and connects to the router one after the other: the next only when the last has been taken.
//!
//! The router takes a connection before it has asked the machine for it, with two consequences. It forgets a connection
//! whose client has sent all it has before the machine has answered; so this tells the end only once the machine has sent
//! something, or after a while. And it asks again only after six seconds if the machine had no room; so this hands on no
//! more than some connections of which it does not know whether the machine has answered.
//!
//! One thread serves all ports of a machine. It holds back whoever sends faster than the other side takes: for each
//! direction of a connection it keeps no more than one buffer of bytes that could not be passed on.

mod relay;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::specification::PublishedPorts;
use relay::{Pair, Side};

/// Connections that may wait to be accepted; Linux takes less if `net.core.somaxconn` says so.
const BACKLOG: i32 = 4096;

/// How long the router may take to answer. On the host's own network an answer takes microseconds, so that none means
/// that there was no room.
const PATIENCE: Duration = Duration::from_millis(4);

/// Most connections of a port that are accepted before they can be handed on. Each holds a file.
const MAXIMUM_WAITING: usize = 16;

/// How long the router may take to have the machine's answer, in which the client's end is not told.
const SETTLING: Duration = Duration::from_millis(250);

/// Most connections that are handed on within [`WINDOW`] and of which nothing has come back.
const MAXIMUM_YOUNG: usize = 8;

/// How long a connection counts as young if nothing comes back.
const WINDOW: Duration = Duration::from_millis(50);

/// How long listening pauses when the process has no more files.
const PAUSE: Duration = Duration::from_millis(50);

/// The router's port at the addresses that are made up for it.
const INNER_PORT: u16 = 20_000;

/// Token of the file that ends the thread.
const STOP: u64 = u64::MAX;

/// Forwards the connections of a machine until it is dropped.
#[derive(Debug)]
pub struct Forwarding {
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        // A counter that holds at most one can't overflow; and the thread ends only by it.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Forwarding {
    /// Listens at the ports for connections among these, and answers with where the router has to listen in their
    /// place. Ports for datagrams stay as they are.
    ///
    /// # Errors
    /// Which address can't be listened at, and why.
    pub fn start(
        ports: &[PublishedPorts],
    ) -> Result<(Option<Self>, Vec<PublishedPorts>), (SocketAddr, io::Error)> {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut doors = Vec::new();
        let mut inner = Vec::new();
        for published in ports {
            if published.datagrams {
                inner.push(*published);
                continue;
            }
            let address = private_address();
            for offset in 0..published.count {
                let outer = SocketAddr::from((published.address, published.host + offset));
                let listener = listen(outer).map_err(|error| (outer, error))?;
                doors.push(Door {
                    listener,
                    inner: SocketAddrV4::new(address, INNER_PORT + offset),
                    open: true,
                    waiting: VecDeque::new(),
                    greeting: None,
                    again: None,
                });
            }
            inner.push(PublishedPorts {
                address: address.into(),
                host: INNER_PORT,
                ..*published
            });
        }
        if doors.is_empty() {
            return Ok((None, inner));
        }
        let run = move || -> io::Result<Self> {
            allow_many_files();
            let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            let mut forwarder = Forwarder::new(doors, &stop)?;
            let thread = std::thread::Builder::new()
                .name("published ports".into())
                .spawn(move || forwarder.run())?;
            Ok(Self {
                stop,
                thread: Some(thread),
            })
        };
        let forwarding = run().map_err(|error| (nowhere, error))?;
        Ok((Some(forwarding), inner))
    }
}

/// An address of the host's own that nobody else is likely to use: one of the sixteen million of 127.0.0.0/8, by chance.
fn private_address() -> Ipv4Addr {
    let random = RandomState::new().build_hasher().finish().to_le_bytes();
    // Neither the network's name nor its broadcast address, whatever prefix they are taken to have.
    let [second, third, fourth] = [random[0], random[1], random[2]].map(|byte| byte.clamp(1, 254));
    Ipv4Addr::new(127, second, third, fourth)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let listener = socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    if address.is_ipv6() {
        // The same port may be published for IPv4 as well.
        sockopt::set_ipv6_v6only(&listener, true)?;
    }
    sockopt::set_socket_reuseaddr(&listener, true)?;
    rustix::net::bind(&listener, &address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener.into())
}

/// Each connection takes two files here and one of the router's process, which inherits the limit.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    // Without it there is room for fewer connections; the first that finds none tells.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}

/// A published port.
struct Door {
    listener: TcpListener,
    /// Where the router listens for it.
    inner: SocketAddrV4,
    /// Whether the poll watches the listener.
    open: bool,
    /// Who was accepted and not yet handed on, the first first. All others wait in the listener's queue.
    waiting: VecDeque<TcpStream>,
    /// The connection to the router that is being made for the first of them.
    greeting: Option<TcpStream>,
    /// When to try again, while somebody waits.
    again: Option<Instant>,
}

/// What a token of an event stands for, in its two highest bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// Somebody knocks at a door.
    Knock(usize),
    /// The router may have answered at a door.
    Answer(usize),
    /// A side of a connection is ready.
    Pair(u64, Side),
}

impl Token {
    fn number(self) -> u64 {
        match self {
            Self::Knock(door) => door as u64,
            Self::Answer(door) => 1 << 62 | door as u64,
            Self::Pair(pair, Side::Client) => 2 << 62 | pair << 1,
            Self::Pair(pair, Side::Router) => 2 << 62 | pair << 1 | 1,
        }
    }

    fn from_number(number: u64) -> Self {
        let rest = number & !(3 << 62);
        match number >> 62 {
            0 => Self::Knock(rest as usize),
            1 => Self::Answer(rest as usize),
            _ if rest & 1 == 0 => Self::Pair(rest >> 1, Side::Client),
            _ => Self::Pair(rest >> 1, Side::Router),
        }
    }
}

struct Forwarder {
    poll: Arc<OwnedFd>,
    doors: Vec<Door>,
    pairs: BTreeMap<u64, Pair>,
    next: u64,
    /// Connections younger than [`SETTLING`], the oldest first.
    young: VecDeque<(Instant, u64)>,
    /// When to listen again, after there were no more files.
    paused: Option<Instant>,
    complained: bool,
    scratch: Vec<u8>,
}

impl Forwarder {
    fn new(doors: Vec<Door>, stop: &OwnedFd) -> io::Result<Self> {
        let poll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        epoll::add(&poll, stop, EventData::new_u64(STOP), EventFlags::IN)?;
        for (index, door) in doors.iter().enumerate() {
            let token = EventData::new_u64(Token::Knock(index).number());
            epoll::add(&poll, &door.listener, token, EventFlags::IN)?;
        }
        Ok(Self {
            poll,
            doors,
            pairs: BTreeMap::new(),
            next: 0,
            young: VecDeque::new(),
            paused: None,
            complained: false,
            scratch: vec![0; relay::BUFFER],
        })
    }

    fn run(&mut self) {
        let mut events: Vec<Event> = Vec::with_capacity(256);
        loop {
            events.clear();
            let timeout = self.timeout();
            match epoll::wait(
                &self.poll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                // Nothing that this loop does makes it fail otherwise; to go round would be to spin.
                Err(_) => return,
            }
            for event in &events {
                let number = event.data.u64();
                if number == STOP {
                    return;
                }
                match Token::from_number(number) {
                    Token::Knock(door) => self.accept(door),
                    Token::Answer(door) => self.greet(door),
                    Token::Pair(pair, _) => self.pump(pair),
                }
            }
            self.look_at_clocks();
        }
    }

    /// How long there is nothing to do unless something happens.
    fn timeout(&self) -> Option<Timespec> {
        let now = Instant::now();
        let again = self.doors.iter().filter_map(|door| door.again);
        let settled = self.young.front().map(|(born, _)| *born + SETTLING);
        let somebody_waits = self.doors.iter().any(|door| !door.waiting.is_empty());
        let room = if somebody_waits {
            self.full_until(now)
        } else {
            None
        };
        let first = again.chain(self.paused).chain(settled).chain(room).min()?;
        let left = first.saturating_duration_since(now);
        Some(Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        })
    }

    /// Until when no more connections may be handed on, since of too many it is not known whether the machine has
    /// answered; `None` if there is room.
    fn full_until(&self, now: Instant) -> Option<Instant> {
        let recent = self
            .young
            .iter()
            .rev()
            .take_while(|(born, _)| now < *born + WINDOW);
        let waiting = |number: &u64| {
            self.pairs
                .get(number)
                .is_some_and(|pair| !pair.is_established())
        };
        let mut silent = recent.filter(|(_, number)| waiting(number));
        let (born, _) = silent.nth(MAXIMUM_YOUNG - 1)?;
        Some(*born + WINDOW)
    }

    fn look_at_clocks(&mut self) {
        let now = Instant::now();
        while let Some((born, number)) = self.young.front().copied()
            && now >= born + SETTLING
        {
            self.young.pop_front();
            if let Some(pair) = self.pairs.get_mut(&number) {
                pair.settle();
                self.pump(number);
            }
        }
        for index in 0..self.doors.len() {
            let door = &mut self.doors[index];
            if door.again.is_some_and(|at| now >= at) {
                // There was no room, and the host would try again only after a second.
                door.greeting = None;
                door.again = None;
            }
            if door.greeting.is_none() && door.again.is_none() {
                self.greet(index);
            }
        }
        if self.paused.is_some_and(|until| now >= until) {
            self.paused = None;
        }
        for index in 0..self.doors.len() {
            self.open_or_close(index);
        }
    }

    /// Watches a listener, or no longer, as there is room for those who wait at it.
    fn open_or_close(&mut self, index: usize) {
        let door = &mut self.doors[index];
        let open = self.paused.is_none() && door.waiting.len() < MAXIMUM_WAITING;
        if open != door.open {
            let token = EventData::new_u64(Token::Knock(index).number());
            let flags = if open {
                EventFlags::IN
            } else {
                EventFlags::empty()
            };
            // It was added when the thread began.
            let _ = epoll::modify(&self.poll, &door.listener, token, flags);
            door.open = open;
        }
    }

    /// Accepts whoever waits at a door.
    fn accept(&mut self, index: usize) {
        while self.doors[index].waiting.len() < MAXIMUM_WAITING {
            let door = &mut self.doors[index];
            match door.listener.accept() {
                Ok((client, _)) => {
                    // Neither can fail for a new socket; a connection that blocks would stop all others.
                    if client.set_nonblocking(true).is_ok() {
                        let _ = client.set_nodelay(true);
                        door.waiting.push_back(client);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It was gone again.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.complain(&error);
                    self.paused = Some(Instant::now() + PAUSE);
                    break;
                }
            }
        }
        self.greet(index);
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            eprintln!(
                "pith: warning: connections have to wait: {error}; allow more files: ulimit -n"
            );
        }
    }

    /// Connects to the router for those who wait at a door, one after the other, as long as it answers at once.
    fn greet(&mut self, index: usize) {
        loop {
            let door = &mut self.doors[index];
            if door.waiting.is_empty() {
                door.again = None;
                return;
            }
            let stream = match door.greeting.take() {
                Some(stream) => stream,
                None => {
                    let now = Instant::now();
                    if self.full_until(now).is_some() {
                        return;
                    }
                    self.doors[index].again = Some(now + PATIENCE);
                    match self.begin_greeting(index) {
                        Ok(stream) => stream,
                        Err(error) => return self.complain(&error),
                    }
                }
            };
            let door = &mut self.doors[index];
            match state(&stream) {
                Greeting::Answered => {
                    door.again = None;
                    let _ = epoll::delete(&self.poll, &stream);
                    if let Some(client) = door.waiting.pop_front() {
                        self.add_pair(client, stream);
                    }
                }
                Greeting::Unanswered => {
                    door.greeting = Some(stream);
                    return;
                }
                Greeting::Refused => return,
                Greeting::Reset => {
                    if let Some(client) = door.waiting.pop_front() {
                        relay::reset(&client);
                    }
                }
            }
        }
    }

    fn begin_greeting(&self, index: usize) -> io::Result<TcpStream> {
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &self.doors[index].inner) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let token = EventData::new_u64(Token::Answer(index).number());
        epoll::add(&self.poll, &socket, token, EventFlags::OUT)?;
        Ok(socket.into())
    }

    fn add_pair(&mut self, client: TcpStream, router: TcpStream) {
        let number = self.next;
        self.next += 1;
        self.pairs.insert(number, Pair::new(client, router));
        self.young.push_back((Instant::now(), number));
        self.pump(number);
    }

    /// Carries what can be carried for a connection.
    fn pump(&mut self, number: u64) {
        // Events of a connection that ended earlier in the same turn.
        let Some(pair) = self.pairs.get_mut(&number) else {
            return;
        };
        let poll = self.poll.as_fd();
        let tokens = [Side::Client, Side::Router].map(|side| Token::Pair(number, side).number());
        if !pair
            .pump(&mut self.scratch)
            .and_then(|goes_on| {
                if goes_on {
                    pair.watch(poll, tokens)?;
                }
                Ok(goes_on)
            })
            .unwrap_or_else(|_| {
                pair.reset();
                false
            })
        {
            self.pairs.remove(&number);
        }
    }
}

/// How far a connection to the router is.
enum Greeting {
    Answered,
    Unanswered,
    /// Nobody listens yet.
    Refused,
    /// It was taken, and ended at once.
    Reset,
}

fn state(stream: &TcpStream) -> Greeting {
    match stream.take_error() {
        Ok(None) => match stream.peer_addr() {
            Ok(_) => Greeting::Answered,
            Err(_) => Greeting::Unanswered,
        },
        Ok(Some(error)) if error.kind() == io::ErrorKind::ConnectionReset => Greeting::Reset,
        _ => Greeting::Refused,
    }
}

#[cfg(test)]
mod tests;
