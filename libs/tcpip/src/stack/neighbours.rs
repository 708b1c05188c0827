//! Neighbours: the hardware addresses of stations on the same network, and whether they are still there.
//!
//! One table serves both versions; only the questions differ: ARP (RFC 826) and neighbour discovery (RFC 4861). An entry
//! goes through the states of RFC 4861, section 7.3.2: what was known a while ago is still used, and asked for again when
//! it is.

use super::*;

/// A question is asked again after this time (`RETRANS_TIMER`), and so often.
const INTERVAL: u64 = SECOND;
const RETRIES: u32 = 3;
/// A neighbour that has answered is there for so long (`REACHABLE_TIME`).
const REACHABLE: u64 = 30 * SECOND;
/// One that is used without having answered lately is asked after this time (`DELAY_FIRST_PROBE_TIME`).
const DELAY: u64 = 5 * SECOND;
/// Packets that wait for an answer, at most, for each neighbour, and bytes that wait for all of them.
const QUEUE: usize = 128;
const WAITING: usize = 1 << 20;
/// Most neighbours that are known (`gc_thresh3`).
const NEIGHBOURS: usize = 1024;

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourState {
    /// It was asked for, and has not answered yet.
    Incomplete,
    /// It has answered lately.
    Reachable,
    /// It has answered some time ago, or only told of itself.
    Stale,
    /// It is used again; what is above may tell that it answers.
    Delay,
    /// It is asked whether it is still there.
    Probe,
}

#[derive(Debug)]
pub(super) struct Neighbour<B> {
    state: NeighbourState,
    hardware: HardwareAddress,
    /// When the state ends.
    until: Instant,
    retries: u32,
    is_router: bool,
    waiting: VecDeque<Frame<B>>,
}

/// What a message says of a neighbour's hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) hardware: HardwareAddress,
    /// It answers our question.
    pub(super) solicited: bool,
    /// It replaces another address.
    pub(super) replaces: bool,
    /// An entry is made if there is none.
    pub(super) is_new: bool,
    pub(super) is_router: Option<bool>,
}

impl<B: Buffer> Stack<B> {
    /// The neighbours that are known: interface, address, hardware address, state.
    pub fn neighbours(
        &self,
    ) -> impl Iterator<Item = (usize, IpAddr, Option<HardwareAddress>, NeighbourState)> {
        self.neighbours.iter().map(|((interface, ip), one)| {
            let known = one.state != NeighbourState::Incomplete;
            (*interface, *ip, known.then_some(one.hardware), one.state)
        })
    }

    /// The hardware address of a neighbour, if a frame can be sent there at once.
    pub(super) fn hardware_of(
        &mut self,
        interface: usize,
        next: IpAddr,
        now: Instant,
    ) -> Option<HardwareAddress> {
        let neighbour = self.neighbours.get_mut(&(interface, next))?;
        let old = match neighbour.state {
            NeighbourState::Incomplete => return None,
            NeighbourState::Reachable => neighbour.until <= now,
            state => state == NeighbourState::Stale,
        };
        if old {
            neighbour.state = NeighbourState::Delay;
            neighbour.until = now + DELAY;
            self.chores
                .insert((now + DELAY, Chore::Neighbour(interface, next)));
        }
        Some(neighbour.hardware)
    }

    pub(super) fn send_to_neighbour(
        &mut self,
        interface: usize,
        next: IpAddr,
        mut frame: Frame<B>,
        now: Instant,
    ) {
        if let Some(hardware) = self.hardware_of(interface, next, now) {
            frame.headers[..6].copy_from_slice(&hardware.0);
            self.frames.push_back(frame);
            return;
        }
        let key = (interface, next);
        let length = frame.length();
        if !self.neighbours.contains_key(&key) {
            if !self.make_room() {
                return;
            }
            let neighbour = Neighbour {
                state: NeighbourState::Incomplete,
                hardware: HardwareAddress::default(),
                until: now + INTERVAL,
                retries: 0,
                is_router: false,
                waiting: VecDeque::new(),
            };
            self.neighbours.insert(key, neighbour);
            self.chores
                .insert((now + INTERVAL, Chore::Neighbour(interface, next)));
            self.ask(interface, next, None);
        }
        let Some(neighbour) = self.neighbours.get_mut(&key) else {
            return;
        };
        // The newest packets are kept: they are the most likely to be still wanted.
        if neighbour.waiting.len() >= QUEUE
            && let Some(oldest) = neighbour.waiting.pop_front()
        {
            self.waiting -= oldest.length();
        }
        if self.waiting + length <= WAITING {
            self.waiting += length;
            neighbour.waiting.push_back(frame);
        }
    }

    /// Makes room for one more neighbour. False if all are being asked for.
    fn make_room(&mut self) -> bool {
        if self.neighbours.len() < NEIGHBOURS {
            return true;
        }
        let routes = &self.routes;
        let is_gateway = |ip: IpAddr| routes.iter().any(|route| route.gateway == Some(ip));
        let idle = |state| matches!(state, NeighbourState::Stale | NeighbourState::Reachable);
        let candidates = self.neighbours.iter();
        let oldest = candidates
            .filter(|((_, ip), one)| idle(one.state) && !is_gateway(*ip))
            .min_by_key(|(_, one)| one.until)
            .map(|(key, _)| *key);
        oldest.is_some_and(|key| self.neighbours.remove(&key).is_some())
    }

    /// Asks for the hardware address of a neighbour; it alone if its address was known.
    fn ask(&mut self, interface: usize, ip: IpAddr, known: Option<HardwareAddress>) {
        match ip {
            IpAddr::V4(ip) => self.ask_by_arp(interface, ip, known),
            IpAddr::V6(ip) => self.solicit(interface, ip, known),
        }
    }

    /// What time does to a neighbour.
    pub(super) fn expire_neighbour(&mut self, interface: usize, ip: IpAddr, now: Instant) {
        let Some(neighbour) = self.neighbours.get_mut(&(interface, ip)) else {
            return;
        };
        if neighbour.until > now {
            return;
        }
        let known = match neighbour.state {
            NeighbourState::Reachable | NeighbourState::Stale => return,
            NeighbourState::Delay => {
                neighbour.state = NeighbourState::Probe;
                neighbour.retries = 0;
                Some(neighbour.hardware)
            }
            state => {
                neighbour.retries += 1;
                if neighbour.retries >= RETRIES {
                    return self.give_up(interface, ip, now);
                }
                (state == NeighbourState::Probe).then_some(neighbour.hardware)
            }
        };
        neighbour.until = now + INTERVAL;
        self.chores
            .insert((now + INTERVAL, Chore::Neighbour(interface, ip)));
        self.ask(interface, ip, known);
    }

    /// A neighbour does not answer.
    fn give_up(&mut self, interface: usize, ip: IpAddr, now: Instant) {
        let Some(neighbour) = self.neighbours.remove(&(interface, ip)) else {
            return;
        };
        for frame in neighbour.waiting {
            self.waiting -= frame.length();
            self.could_not_deliver(&frame, now);
        }
    }

    /// A message tells the hardware address of a neighbour (RFC 4861, section 7.2.5, which suits ARP too).
    pub(super) fn learn(&mut self, interface: usize, ip: IpAddr, news: News, now: Instant) {
        let key = (interface, ip);
        if !self.neighbours.contains_key(&key) {
            if !news.is_new || self.neighbours.len() >= NEIGHBOURS {
                return;
            }
            let neighbour = Neighbour {
                state: NeighbourState::Stale,
                hardware: news.hardware,
                until: now,
                retries: 0,
                is_router: false,
                waiting: VecDeque::new(),
            };
            self.neighbours.insert(key, neighbour);
        }
        let Some(neighbour) = self.neighbours.get_mut(&key) else {
            return;
        };
        let asked = neighbour.state == NeighbourState::Incomplete;
        let differs = !asked && neighbour.hardware != news.hardware;
        if differs && !news.replaces {
            // Two say that they have it: the first is used until it does not answer.
            if neighbour.state == NeighbourState::Reachable {
                neighbour.state = NeighbourState::Stale;
            }
            return;
        }
        neighbour.hardware = news.hardware;
        neighbour.retries = 0;
        if let Some(is_router) = news.is_router {
            neighbour.is_router = is_router;
        }
        if news.solicited {
            neighbour.state = NeighbourState::Reachable;
            neighbour.until = now + REACHABLE;
        } else if asked || differs {
            neighbour.state = NeighbourState::Stale;
            neighbour.until = now;
        }
        let waiting = core::mem::take(&mut neighbour.waiting);
        for frame in waiting {
            self.waiting -= frame.length();
            self.send_to_neighbour(interface, ip, frame, now);
        }
    }

    /// A neighbour that is asked for answers without telling its hardware address.
    pub(super) fn confirm(&mut self, interface: usize, ip: IpAddr, now: Instant) {
        if let Some(neighbour) = self.neighbours.get_mut(&(interface, ip))
            && neighbour.state != NeighbourState::Incomplete
        {
            neighbour.state = NeighbourState::Reachable;
            neighbour.until = now + REACHABLE;
            neighbour.retries = 0;
        }
    }

    fn send_arp(&mut self, interface: usize, packet: arp::Packet, destination: HardwareAddress) {
        let frame = ethernet::Header {
            destination,
            source: packet.sender.0,
            kind: ethernet::ARP,
        };
        let mut headers = Headers::new();
        headers.push(&frame.bytes());
        headers.push(&packet.bytes());
        self.frames.push_back(Frame {
            interface,
            headers,
            payload: Pieces::default(),
            partial: None,
            cut: None,
            lane: None,
        });
    }

    fn ask_by_arp(&mut self, interface: usize, ip: Ipv4Addr, known: Option<HardwareAddress>) {
        let source = self.source_for(ip.into(), interface as u32 + 1);
        let one = &self.interfaces[interface];
        let (Some(hardware), Ok(IpAddr::V4(own))) = (one.hardware, source) else {
            return;
        };
        let question = arp::Packet {
            is_reply: false,
            sender: (hardware, own),
            target: (HardwareAddress::default(), ip),
        };
        self.send_arp(
            interface,
            question,
            known.unwrap_or(HardwareAddress::BROADCAST),
        );
    }

    pub(super) fn receive_arp(
        &mut self,
        interface: usize,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), Malformed> {
        let packet = arp::Packet::read(bytes)?;
        let one = &self.interfaces[interface];
        let Some(hardware) = one.hardware else {
            return Ok(());
        };
        let (sender, ip) = packet.sender;
        let holds = |ip: Ipv4Addr| {
            one.addresses
                .iter()
                .any(|own| own.ip == ip && own.is_usable())
        };
        let stranger = ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast();
        if sender.is_group() || holds(ip) {
            return Ok(());
        }
        let asked = holds(packet.target.1);
        let near = one.addresses.iter().any(|own| own.is_near(ip.into()));
        if !stranger {
            let news = News {
                hardware: sender,
                solicited: asked && packet.is_reply,
                replaces: true,
                is_new: asked && near && !packet.is_reply,
                is_router: None,
            };
            self.learn(interface, ip.into(), news, now);
        }
        if asked && !packet.is_reply {
            let answer = arp::Packet {
                is_reply: true,
                sender: (hardware, packet.target.1),
                target: packet.sender,
            };
            self.send_arp(interface, answer, sender);
        }
        Ok(())
    }
}
