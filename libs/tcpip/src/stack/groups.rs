//! Groups: which the machine listens to, and how routers and switches learn of it: IGMP (RFC 3376, RFC 2236) and MLD
//! (RFC 3810, RFC 2710).
//!
//! Groups are joined whatever the source. Reports of version 3 (2 for IPv6) carry one group each; to a router that speaks
//! the version before, that one is spoken.

use super::*;
use crate::time::MILLISECOND;
use crate::wire::{array_at, u16_at};

/// A change is told this often (the *robustness variable*), the second time at most so much later.
const REPORTS: u8 = 2;
const REPORT_INTERVAL: u64 = SECOND;
/// Most groups of an interface.
const GROUPS: usize = 256;
/// Most groups that a socket may join (`net.ipv4.igmp_max_memberships`).
pub(super) const MEMBERSHIPS: usize = 20;
/// A router that spoke the older version may still be there for so long.
const OLDER: u64 = 260 * SECOND;
/// Where reports go: all routers that understand them.
const REPORTED_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
const REPORTED_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// All routers, where leaving is told in the older versions.
const ROUTERS_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
const ROUTERS_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Kinds of records: how things are, and what has changed.
const IS_EXCLUDE: u8 = 2;
const TO_INCLUDE: u8 = 3;
const TO_EXCLUDE: u8 = 4;

/// A group that an interface listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its address.
    pub ip: IpAddr,
    /// How many sockets and addresses want it.
    pub users: u32,
    /// How often it is still to be reported as new.
    news: u8,
    /// A router has asked.
    asked: bool,
}

/// The groups of all stations, which every interface belongs to for as long as it is there: those of its link and of
/// the interface alone (RFC 4291, section 2.8).
const STATIONS_V6: [Ipv6Addr; 2] = [
    discovery::ALL_NODES,
    Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 1),
];

/// What a new interface listens to before anybody asks.
pub(super) fn of_all_stations() -> Vec<Group> {
    let group = |ip: Ipv6Addr| Group {
        ip: ip.into(),
        users: 1,
        news: 0,
        asked: false,
    };
    Vec::from(STATIONS_V6.map(group))
}

/// Whether routers want to know of a group: not of what all stations belong to, or what never leaves the machine.
fn is_reported(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip != Ipv4Addr::new(224, 0, 0, 1),
        IpAddr::V6(ip) => ip != discovery::ALL_NODES && ip.octets()[1] & 15 > 1,
    }
}

impl<B: Buffer> Stack<B> {
    /// Listens to a group. False if there are too many.
    pub(super) fn join_group(&mut self, interface: usize, ip: IpAddr, now: Instant) -> bool {
        let one = &mut self.interfaces[interface];
        if let Some(group) = one.groups.iter_mut().find(|group| group.ip == ip) {
            group.users += 1;
            return true;
        }
        if one.groups.len() >= GROUPS {
            return false;
        }
        let reported = is_reported(ip) && one.hardware.is_some();
        one.groups.push(Group {
            ip,
            users: 1,
            news: if reported { REPORTS } else { 0 },
            asked: false,
        });
        if reported {
            self.report_groups(interface, now);
        }
        true
    }

    /// One user less of a group.
    pub(super) fn leave_group(&mut self, interface: usize, ip: IpAddr, now: Instant) {
        let Some(one) = self.interfaces.get_mut(interface) else {
            return;
        };
        let Some(place) = one.groups.iter().position(|group| group.ip == ip) else {
            return;
        };
        one.groups[place].users -= 1;
        if one.groups[place].users != 0 {
            return;
        }
        one.groups.swap_remove(place);
        if is_reported(ip) && one.hardware.is_some() {
            self.send_report(interface, ip, TO_INCLUDE, now);
        }
    }

    /// Sends the reports that are due.
    pub(super) fn report_groups(&mut self, interface: usize, now: Instant) {
        let Some(one) = self.interfaces.get_mut(interface) else {
            return;
        };
        let mut due = Vec::new();
        let mut again = false;
        for group in &mut one.groups {
            if group.news != 0 {
                group.news -= 1;
                again |= group.news != 0;
                due.push((group.ip, TO_EXCLUDE));
            } else if core::mem::take(&mut group.asked) {
                due.push((group.ip, IS_EXCLUDE));
            }
        }
        for (ip, record) in due {
            self.send_report(interface, ip, record, now);
        }
        if again {
            self.report_later(interface, REPORT_INTERVAL, now);
        }
    }

    /// Reports at some time before `interval` is over, so that not all stations do so at once.
    fn report_later(&mut self, interface: usize, interval: u64, now: Instant) {
        self.draws += 1;
        let delay = self.secret.hash(&[self.draws, 0x6772_6f75]) % interval.max(1);
        self.chores.insert((now + delay, Chore::Groups(interface)));
    }

    fn send_report(&mut self, interface: usize, ip: IpAddr, record: u8, now: Instant) {
        let one = &self.interfaces[interface];
        let older = one.older_until.is_some_and(|at| at > now);
        match ip {
            IpAddr::V4(ip) => {
                let source = one.own_v4().unwrap_or(Ipv4Addr::UNSPECIFIED);
                let mut message = Vec::new();
                let to = match (older, record) {
                    (true, TO_INCLUDE) => ROUTERS_V4,
                    (true, _) => ip,
                    (false, _) => REPORTED_V4,
                };
                if older {
                    // A report of version 2, or that the group is left.
                    let kind = if record == TO_INCLUDE { 0x17 } else { 0x16 };
                    message.extend_from_slice(&[kind, 0, 0, 0]);
                } else {
                    message.extend_from_slice(&[0x22, 0, 0, 0, 0, 0, 0, 1, record, 0, 0, 0]);
                }
                message.extend_from_slice(&ip.octets());
                let checksum = Sum::default().bytes(&message).checksum();
                message[2..4].copy_from_slice(&checksum);
                self.send_to_group(interface, source.into(), to.into(), ip::IGMP, &message);
            }
            IpAddr::V6(ip) => {
                let source = one.link_local().unwrap_or(Ipv6Addr::UNSPECIFIED);
                let to = match (older, record) {
                    (true, TO_INCLUDE) => ROUTERS_V6,
                    (true, _) => ip,
                    (false, _) => REPORTED_V6,
                };
                let kind = match (older, record) {
                    (true, TO_INCLUDE) => icmpv6::LISTENER_DONE,
                    (true, _) => icmpv6::LISTENER_REPORT,
                    (false, _) => icmpv6::LISTENER_REPORT_2,
                };
                let header = icmp::Header {
                    kind,
                    code: 0,
                    rest: u32::from(!older),
                };
                let mut body = Vec::new();
                if !older {
                    body.extend_from_slice(&[record, 0, 0, 0]);
                }
                body.extend_from_slice(&ip.octets());
                let mut message = Vec::from(ROUTER_ALERT);
                message.extend_from_slice(&icmpv6::bytes(&header, source, to, &body));
                message.extend_from_slice(&body);
                let next = ipv6::HOP_BY_HOP;
                self.send_to_group(interface, source.into(), to.into(), next, &message);
            }
        }
    }

    fn send_to_group(
        &mut self,
        interface: usize,
        source: IpAddr,
        to: IpAddr,
        protocol: u8,
        message: &[u8],
    ) {
        let mut packet = ip::Header::new(source, to, interface as u32 + 1, protocol);
        packet.hops = 1;
        packet.alert = source.is_ipv4();
        let transport = Transport::whole(message, Pieces::default());
        let hardware = HardwareAddress::of_group(to);
        let frame = self.frame(interface, hardware, &packet, None, transport);
        self.frames.push_back(frame);
    }

    /// A message of IGMP has arrived.
    pub(super) fn receive_igmp(
        &mut self,
        packet: &Arrival,
        data: &[u8],
        now: Instant,
    ) -> Result<(), Malformed> {
        const QUERY: u8 = 0x11;
        if !Sum::default().bytes(data).is_right() {
            return Err(Malformed::Checksum);
        }
        let [kind, code] = array_at(data, 0)?;
        let group = Ipv4Addr::from(array_at::<4>(data, 4)?);
        if kind != QUERY || packet.hops != 1 {
            return Ok(());
        }
        // Tenths of a second; large values of version 3 are written like floating-point numbers.
        let older = data.len() < 12;
        let tenths = match code {
            0 => 100,
            code if older || code < 128 => code.into(),
            code => u64::from(code & 15 | 16) << ((code >> 4 & 7) + 3),
        };
        self.answer_query(
            packet.interface,
            group.into(),
            tenths * 100 * MILLISECOND,
            older,
            now,
        );
        Ok(())
    }

    /// A router asks which groups of IPv6 are listened to.
    pub(super) fn receive_listener_query(
        &mut self,
        packet: &Arrival,
        header: icmp::Header,
        body: &[u8],
        now: Instant,
    ) -> Result<(), Malformed> {
        let group = Ipv6Addr::from(array_at::<16>(body, 0)?);
        if packet.hops != 1 {
            return Ok(());
        }
        let older = body.len() < 20;
        let code = (header.rest >> 16) as u16;
        let milliseconds = match older || code < 0x8000 {
            true => code.into(),
            false => u64::from(code & 0xfff | 0x1000) << ((code >> 12 & 7) + 3),
        };
        if !older {
            u16_at(body, 18)?;
        }
        self.answer_query(
            packet.interface,
            group.into(),
            milliseconds * MILLISECOND,
            older,
            now,
        );
        Ok(())
    }

    fn answer_query(
        &mut self,
        interface: usize,
        group: IpAddr,
        interval: u64,
        older: bool,
        now: Instant,
    ) {
        let one = &mut self.interfaces[interface];
        if one.hardware.is_none() {
            return;
        }
        if older {
            one.older_until = Some(now + OLDER);
        }
        let mut any = false;
        for own in &mut one.groups {
            let meant = match group.is_unspecified() {
                true => own.ip.is_ipv4() == group.is_ipv4(),
                false => own.ip == group,
            };
            if meant && is_reported(own.ip) {
                own.asked = true;
                any = true;
            }
        }
        if any {
            self.report_later(interface, interval, now);
        }
    }

    /// Lets a datagram socket listen to a group (`IP_ADD_MEMBERSHIP`, `IPV6_JOIN_GROUP`). `interface` is counted from 1; 0
    /// lets routes choose.
    ///
    /// # Errors
    /// [`Error::State`] if it is no group, [`Error::InUse`] if the socket has joined it already, [`Error::NoInterface`],
    /// [`Error::TooMany`].
    pub fn udp_join(
        &mut self,
        handle: Handle,
        group: IpAddr,
        interface: u32,
        now: Instant,
    ) -> Result<(), Error> {
        let interface = self.interface_for(group, interface)?;
        let socket = self.udp_mut(handle)?;
        if socket.groups.contains(&(interface, group)) {
            return Err(Error::InUse);
        }
        if socket.groups.len() >= MEMBERSHIPS {
            return Err(Error::TooMany);
        }
        socket.groups.push((interface, group));
        if !self.join_group(interface, group, now) {
            if let Ok(socket) = self.udp_mut(handle) {
                socket.groups.pop();
            }
            return Err(Error::TooMany);
        }
        Ok(())
    }

    /// Ends that.
    ///
    /// # Errors
    /// [`Error::State`] if it is no group, [`Error::NotLocal`] if the socket has not joined it, [`Error::NoInterface`].
    pub fn udp_leave(
        &mut self,
        handle: Handle,
        group: IpAddr,
        interface: u32,
        now: Instant,
    ) -> Result<(), Error> {
        let chosen = match interface {
            0 => None,
            _ => Some(self.interface_for(group, interface)?),
        };
        if !group.is_multicast() {
            return Err(Error::State);
        }
        let socket = self.udp_mut(handle)?;
        let joined = |(interface, ip): &(usize, IpAddr)| {
            *ip == group && chosen.is_none_or(|chosen| chosen == *interface)
        };
        let place = socket.groups.iter().position(joined);
        let (interface, _) = socket.groups.remove(place.ok_or(Error::NotLocal)?);
        self.leave_group(interface, group, now);
        Ok(())
    }

    fn interface_for(&self, group: IpAddr, interface: u32) -> Result<usize, Error> {
        if !group.is_multicast() {
            return Err(Error::State);
        }
        match interface {
            0 => self
                .route(group, 0)
                .map(|way| way.interface)
                .map_err(|_| Error::NoInterface),
            number => match self.interfaces.get(number as usize - 1) {
                Some(_) => Ok(number as usize - 1),
                None => Err(Error::NoInterface),
            },
        }
    }
}

/// Hop-by-hop options with a router alert for MLD (RFC 2711), before ICMP.
const ROUTER_ALERT: [u8; 8] = [ip::ICMPV6, 0, 5, 2, 0, 0, 1, 0];
