//! A client of DHCP for IPv4 (RFC 2131, options of RFC 2132, routes of RFC 3442).
//!
//! It knows messages and times, and neither sockets nor interfaces: its owner gives it what arrived at port 68, calls it
//! at [`Client::deadline`], sends what [`Client::take_message`] gives, and does what [`Event`] says.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use crate::time::{Instant, SECOND};
use crate::wire::ethernet::HardwareAddress;
use crate::wire::{Malformed, array_at, u32_at};

/// The port of servers.
pub const SERVER_PORT: u16 = 67;
/// The port of clients.
pub const CLIENT_PORT: u16 = 68;

/// Bytes in front of the options.
const FIXED: usize = 240;
/// Where in it addresses and the names are.
const CLIENT_ADDRESS: usize = 12;
const YOUR_ADDRESS: usize = 16;
const HARDWARE: usize = 28;
const SERVER_NAME: core::ops::Range<usize> = 44..108;
const FILE_NAME: core::ops::Range<usize> = 108..236;
/// What options begin with.
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Servers and relays expect messages that are not shorter than BOOTP's.
const SHORTEST: usize = 300;
/// A message that was not answered is sent again after this time, and then after twice as long each time.
const FIRST_WAIT: u64 = 4 * SECOND;
const LONGEST_WAIT: u64 = 64 * SECOND;
/// A server that does not answer a request so often is left alone.
const REQUESTS: u32 = 4;
/// While an address is held, the server is asked no more often than this (RFC 2131, section 4.4.5).
const SHORTEST_RENEWAL: u64 = 60 * SECOND;
/// No lease is taken for shorter than this, so that nobody can make the client ask all the time.
const SHORTEST_LEASE: u32 = 30;
/// Most routers, name servers and routes that are taken.
const MOST: usize = 16;

/// Options.
mod code {
    pub const SUBNET: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const NAME_SERVER: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN: u8 = 15;
    pub const MTU: u8 = 26;
    pub const ADDRESS: u8 = 50;
    pub const LEASE: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const PARAMETERS: u8 = 55;
    pub const LONGEST: u8 = 57;
    pub const RENEWAL: u8 = 58;
    pub const REBINDING: u8 = 59;
    pub const CLIENT: u8 = 61;
    pub const ROUTES: u8 = 121;
    pub const END: u8 = 255;
}

/// Kinds of messages.
mod kind {
    pub const DISCOVER: u8 = 1;
    pub const OFFER: u8 = 2;
    pub const REQUEST: u8 = 3;
    pub const ACKNOWLEDGE: u8 = 5;
    pub const REFUSE: u8 = 6;
}

/// What a server has given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The address, and how many bits of it are the network's.
    pub address: Option<(Ipv4Addr, u8)>,
    /// Who gave it.
    pub server: Option<Ipv4Addr>,
    /// Routers to everywhere else, the preferred one first.
    pub routers: Vec<Ipv4Addr>,
    /// Networks, how many bits count, and by which router; the unspecified one if they are on the link. If there are any,
    /// [`Self::routers`] are not used.
    pub routes: Vec<(Ipv4Addr, u8, Ipv4Addr)>,
    /// Name servers, the preferred one first.
    pub name_servers: Vec<Ipv4Addr>,
    /// The domain in which names are looked up; letters, digits, `-`, `_` and `.` only.
    pub domain: Option<Vec<u8>>,
    /// The machine's name; of the same characters.
    pub host_name: Option<Vec<u8>>,
    /// Bytes of the longest packet on the link.
    pub mtu: Option<u16>,
    /// Seconds that it is good for; [`u32::MAX`] for ever.
    pub seconds: u32,
}

/// A message that is to be sent, from port 68 to port 67.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Own address, if there is one.
    pub source: Ipv4Addr,
    /// To whom, perhaps everybody.
    pub destination: Ipv4Addr,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a message or time has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is an address, or the old one is good for longer.
    Bound,
    /// The address must not be used any more.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Servers are looked for.
    Selecting,
    /// One has offered an address, and was asked for it.
    Requesting,
    /// There is an address.
    Bound,
    /// The server is asked whether it may be kept,
    Renewing,
    /// and then any server.
    Rebinding,
}

/// A client, for one interface.
#[derive(Debug)]
pub struct Client {
    hardware: HardwareAddress,
    host_name: Vec<u8>,
    state: State,
    /// The number of the conversation, and what the next ones are made of.
    transaction: u32,
    random: u64,
    started: Instant,
    /// When something is to be done.
    until: Instant,
    wait: u64,
    attempts: u32,
    /// What was offered, or what is held.
    lease: Lease,
    /// When the lease ends, and when the server, and all servers, are asked to extend it.
    ends: Instant,
    renewal: Instant,
    rebinding: Instant,
    messages: VecDeque<Message>,
}

impl Client {
    /// A client that begins at once. `host_name` is told to servers, if it is not empty; `random` is any number.
    pub fn new(hardware: HardwareAddress, host_name: &[u8], random: u64, now: Instant) -> Self {
        let mut client = Self {
            hardware,
            host_name: Vec::from(&host_name[..host_name.len().min(64)]),
            state: State::Selecting,
            transaction: 0,
            random: random | 1,
            started: now,
            until: now,
            wait: FIRST_WAIT,
            attempts: 0,
            lease: Lease::default(),
            ends: now,
            renewal: now,
            rebinding: now,
            messages: VecDeque::new(),
        };
        client.start(now);
        client
    }

    /// What is held; `None` if there is nothing.
    pub fn lease(&self) -> Option<&Lease> {
        matches!(
            self.state,
            State::Bound | State::Renewing | State::Rebinding
        )
        .then_some(&self.lease)
    }

    /// When [`Self::expire`] is to be called.
    pub fn deadline(&self) -> Instant {
        self.until
    }

    /// The next message that is to be sent.
    pub fn take_message(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Looks for servers, from the beginning.
    fn start(&mut self, now: Instant) {
        self.state = State::Selecting;
        self.transaction = self.draw() as u32;
        self.started = now;
        self.wait = FIRST_WAIT;
        self.attempts = 0;
        self.lease = Lease::default();
        self.send(kind::DISCOVER, now);
        self.wait_for_answer(now);
    }

    /// Waits before the message is sent again: twice as long each time, and not exactly (RFC 2131, section 4.1).
    fn wait_for_answer(&mut self, now: Instant) {
        let shift = self.draw() % (2 * SECOND);
        self.until = now + (self.wait - SECOND + shift);
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        self.attempts += 1;
    }

    /// Time has passed.
    pub fn expire(&mut self, now: Instant) -> Option<Event> {
        if now < self.until {
            return None;
        }
        match self.state {
            State::Selecting => {
                self.send(kind::DISCOVER, now);
                self.wait_for_answer(now);
            }
            State::Requesting if self.attempts < REQUESTS => {
                self.send(kind::REQUEST, now);
                self.wait_for_answer(now);
            }
            State::Requesting => self.start(now),
            State::Bound | State::Renewing | State::Rebinding if now >= self.ends => {
                self.start(now);
                return Some(Event::Lost);
            }
            State::Bound | State::Renewing | State::Rebinding => self.extend(now),
        }
        None
    }

    /// Asks to keep the address: the server first, then all of them.
    fn extend(&mut self, now: Instant) {
        let end = match now < self.rebinding {
            true => self.rebinding,
            false => self.ends,
        };
        let state = match now < self.rebinding {
            true => State::Renewing,
            false => State::Rebinding,
        };
        if self.state == State::Bound {
            self.transaction = self.draw() as u32;
            self.started = now;
        }
        self.state = state;
        self.send(kind::REQUEST, now);
        // Half of what is left, but not all the time.
        let half = end.since(now) / 2;
        self.until = (now + half.max(SHORTEST_RENEWAL)).min(end);
    }

    fn send(&mut self, message: u8, now: Instant) {
        let mut bytes = vec![0; FIXED];
        // A question, by Ethernet, of six bytes.
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[4..8].copy_from_slice(&self.transaction.to_be_bytes());
        let seconds = (now.since(self.started) / SECOND).min(u16::MAX.into()) as u16;
        bytes[8..10].copy_from_slice(&seconds.to_be_bytes());
        let own = self.lease().and_then(|lease| lease.address);
        let source = own.map_or(Ipv4Addr::UNSPECIFIED, |(address, _)| address);
        if own.is_none() {
            // Without an address, only what is for everybody arrives.
            bytes[10] = 0x80;
        }
        bytes[CLIENT_ADDRESS..CLIENT_ADDRESS + 4].copy_from_slice(&source.octets());
        bytes[HARDWARE..HARDWARE + 6].copy_from_slice(&self.hardware.0);
        bytes[236..240].copy_from_slice(&COOKIE);
        let mut put = |code: u8, value: &[u8]| {
            bytes.extend_from_slice(&[code, value.len() as u8]);
            bytes.extend_from_slice(value);
        };
        put(code::MESSAGE, &[message]);
        let mut client = [1; 7];
        client[1..].copy_from_slice(&self.hardware.0);
        put(code::CLIENT, &client);
        if self.state == State::Requesting
            && let (Some((address, _)), Some(server)) = (self.lease.address, self.lease.server)
        {
            put(code::ADDRESS, &address.octets());
            put(code::SERVER, &server.octets());
        }
        put(code::LONGEST, &1472_u16.to_be_bytes());
        if !self.host_name.is_empty() {
            put(code::HOST_NAME, &self.host_name);
        }
        // Routes come before the router (RFC 3442).
        let wanted = [
            code::SUBNET,
            code::ROUTES,
            code::ROUTER,
            code::NAME_SERVER,
            code::HOST_NAME,
            code::DOMAIN,
            code::MTU,
            code::RENEWAL,
            code::REBINDING,
        ];
        put(code::PARAMETERS, &wanted);
        bytes.push(code::END);
        if bytes.len() < SHORTEST {
            bytes.resize(SHORTEST, 0);
        }
        let destination = match (self.state, self.lease.server) {
            (State::Renewing, Some(server)) => server,
            _ => Ipv4Addr::BROADCAST,
        };
        self.messages.push_back(Message {
            source,
            destination,
            bytes,
        });
    }

    /// Something has arrived at port 68.
    ///
    /// # Errors
    /// [`Malformed`]; what is for others is passed over.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Result<Option<Event>, Malformed> {
        let fixed = bytes.get(..FIXED).ok_or(Malformed::Short)?;
        if fixed[0] != 2 || fixed[236..] != COOKIE {
            return Err(Malformed::Field);
        }
        let hardware: [u8; 6] = array_at(fixed, HARDWARE)?;
        if u32_at(fixed, 4)? != self.transaction || hardware != self.hardware.0 {
            return Ok(None);
        }
        let options = Options::read(bytes)?;
        let message = *options
            .value(code::MESSAGE)
            .and_then(<[u8]>::first)
            .ok_or(Malformed::Field)?;
        let server = options.address(code::SERVER);
        match (message, self.state) {
            (kind::OFFER, State::Selecting) => {
                let lease = options.lease(fixed)?;
                if lease.server.is_none() {
                    return Err(Malformed::Field);
                }
                self.lease = lease;
                self.state = State::Requesting;
                self.wait = FIRST_WAIT;
                self.attempts = 0;
                self.send(kind::REQUEST, now);
                self.wait_for_answer(now);
                Ok(None)
            }
            (kind::ACKNOWLEDGE, State::Requesting | State::Renewing | State::Rebinding) => {
                let mut lease = options.lease(fixed)?;
                let same = lease.address.map(|own| own.0) == self.lease.address.map(|own| own.0);
                // Only whom it asked may answer, and not with another address than was asked for.
                let asked = self.state == State::Rebinding
                    || server.is_none_or(|one| Some(one) == self.lease.server);
                if !same || !asked {
                    return Ok(None);
                }
                lease.server = lease.server.or(self.lease.server);
                self.hold(lease, &options, now);
                Ok(Some(Event::Bound))
            }
            (kind::REFUSE, State::Requesting) if server == self.lease.server => {
                self.start(now);
                Ok(None)
            }
            (kind::REFUSE, State::Renewing | State::Rebinding)
                if self.state == State::Rebinding || server == self.lease.server =>
            {
                self.start(now);
                Ok(Some(Event::Lost))
            }
            _ => Ok(None),
        }
    }

    fn hold(&mut self, lease: Lease, options: &Options, now: Instant) {
        let seconds = u64::from(lease.seconds);
        let number = |code| options.number(code).map(u64::from);
        let second = number(code::REBINDING).filter(|time| *time < seconds);
        let second = second.unwrap_or(seconds * 7 / 8);
        let first = number(code::RENEWAL).filter(|time| *time <= second);
        let first = first.unwrap_or(seconds / 2).min(second);
        self.state = State::Bound;
        let forever = lease.seconds == u32::MAX;
        let at = |seconds: u64| match forever {
            true => Instant(u64::MAX),
            false => now + seconds * SECOND,
        };
        self.ends = at(seconds);
        self.renewal = at(first);
        self.rebinding = at(second);
        self.until = self.renewal;
        self.attempts = 0;
        self.lease = lease;
    }
}

/// Options of a message, those that are in several parts put together (RFC 3396).
struct Options(Vec<(u8, Vec<u8>)>);

impl Options {
    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut options = Self(Vec::new());
        options.add(&bytes[FIXED..])?;
        // Where the names are there may be options instead.
        let overload = options
            .value(code::OVERLOAD)
            .and_then(<[u8]>::first)
            .copied();
        let overload = overload.unwrap_or(0);
        if overload & 1 != 0 {
            options.add(&bytes[FILE_NAME])?;
        }
        if overload & 2 != 0 {
            options.add(&bytes[SERVER_NAME])?;
        }
        Ok(options)
    }

    fn add(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while let Some((&code, rest)) = bytes.split_first() {
            if code == code::END {
                return Ok(());
            }
            if code == 0 {
                bytes = rest;
                continue;
            }
            let length = usize::from(*rest.first().ok_or(Malformed::Short)?);
            let value = rest.get(1..=length).ok_or(Malformed::Short)?;
            match self.0.iter_mut().find(|(known, _)| *known == code) {
                Some((_, known)) => known.extend_from_slice(value),
                None => self.0.push((code, Vec::from(value))),
            }
            bytes = &rest[1 + length..];
        }
        Ok(())
    }

    fn value(&self, code: u8) -> Option<&[u8]> {
        let found = self.0.iter().find(|(known, _)| *known == code);
        found.map(|(_, value)| &value[..])
    }

    fn number(&self, code: u8) -> Option<u32> {
        let bytes = self.value(code)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    }

    fn addresses(&self, code: u8) -> Vec<Ipv4Addr> {
        let value = self.value(code).unwrap_or_default();
        let list = value
            .chunks_exact(4)
            .map(|chunk| Ipv4Addr::new(chunk[0], chunk[1], chunk[2], chunk[3]));
        list.filter(|address| is_station(*address))
            .take(MOST)
            .collect()
    }

    fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.addresses(code).first().copied()
    }

    /// A name that can be written into files without harm.
    fn name(&self, code: u8) -> Option<Vec<u8>> {
        let value = self.value(code)?;
        let end = value.iter().rposition(|byte| *byte != 0)? + 1;
        let value = &value[..end];
        let harmless =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        (value.len() <= 253 && value.iter().all(harmless)).then(|| Vec::from(value))
    }

    fn lease(&self, fixed: &[u8]) -> Result<Lease, Malformed> {
        let address = Ipv4Addr::from(array_at::<4>(fixed, YOUR_ADDRESS)?);
        if !is_station(address) {
            return Err(Malformed::Field);
        }
        let mask = self.number(code::SUBNET);
        let mask =
            mask.filter(|mask| mask.leading_ones() + mask.trailing_zeros() == 32 && *mask != 0);
        // Without a mask, what the class of the address says (RFC 950).
        let prefix = mask.map_or_else(
            || match address.octets()[0] {
                0..128 => 8,
                128..192 => 16,
                _ => 24,
            },
            u32::leading_ones,
        );
        let mtu = self.value(code::MTU).and_then(<[u8]>::first_chunk);
        let mtu = mtu.map(|bytes| u16::from_be_bytes(*bytes));
        Ok(Lease {
            address: Some((address, prefix as u8)),
            server: self.address(code::SERVER),
            routers: self.addresses(code::ROUTER),
            routes: routes(self.value(code::ROUTES).unwrap_or_default()),
            name_servers: self.addresses(code::NAME_SERVER),
            domain: self.name(code::DOMAIN),
            host_name: self.name(code::HOST_NAME),
            // What is too short for a whole datagram is no link (RFC 791).
            mtu: mtu.filter(|mtu| *mtu >= 576),
            seconds: self
                .number(code::LEASE)
                .ok_or(Malformed::Field)?
                .max(SHORTEST_LEASE),
        })
    }
}

/// Whether an address can be a station's.
fn is_station(address: Ipv4Addr) -> bool {
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.octets()[0] >= 240)
}

/// Classless routes (RFC 3442): a number of bits, as many bytes of the network as they need, a router. The list ends where
/// it makes no sense.
fn routes(mut bytes: &[u8]) -> Vec<(Ipv4Addr, u8, Ipv4Addr)> {
    let mut routes = Vec::new();
    while let Some((&prefix, rest)) = bytes.split_first() {
        let length = usize::from(prefix).div_ceil(8);
        let (Some(significant), Some(router)) = (
            rest.get(..length).filter(|_| prefix <= 32),
            rest.get(length..length + 4),
        ) else {
            break;
        };
        let mut network = [0; 4];
        network[..length].copy_from_slice(significant);
        let router = Ipv4Addr::new(router[0], router[1], router[2], router[3]);
        if (is_station(router) || router.is_unspecified()) && routes.len() < MOST {
            routes.push((network.into(), prefix, router));
        }
        bytes = &rest[length + 4..];
    }
    routes
}
