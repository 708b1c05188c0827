//! Packets in parts: cutting those that are too long for a path, and putting together those that come (RFC 791, section
//! 3.2; RFC 8200, section 4.5).
//!
//! Parts that overlap make a packet that means different things to different stations: all of it is thrown away (RFC
//! 5722), for both versions.

use super::*;

/// Memory of all parts that wait, at most.
const MEMORY: usize = 1 << 20;
/// Packets that wait for parts, at most, and parts of each.
const PACKETS: usize = 256;
const PARTS: usize = 256;
/// How long parts wait for others (`net.ipv4.ipfrag_time`; RFC 8200).
const LIFETIME_V4: u64 = 30 * SECOND;
const LIFETIME_V6: u64 = 60 * SECOND;
/// Most bytes behind the headers.
const LONGEST: usize = 65_535;

/// What makes parts those of the same packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Whose {
    pub(super) interface: usize,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Of IPv4 only.
    pub(super) protocol: u8,
    pub(super) identification: u32,
}

/// A part: where it begins, whether others follow, and its data.
pub(super) struct Part<B> {
    pub(super) offset: usize,
    pub(super) more: bool,
    pub(super) data: Pieces<B>,
    /// All of the packet that it came in, to be quoted.
    pub(super) packet: Slice<B>,
    /// What follows, of the first part.
    pub(super) next: u8,
}

/// A packet of which parts have come.
#[derive(Debug)]
pub(super) struct Parts<B> {
    /// In the order of their places.
    parts: Vec<(usize, Pieces<B>)>,
    /// The packet that the first part came in, and what it carries.
    first: Option<(Arrival, Slice<B>, u8)>,
    /// Where the end is, if that is known.
    end: Option<usize>,
    pub(super) memory: usize,
    until: Instant,
}

/// A packet that has been put together.
pub(super) struct Whole<B> {
    pub(super) arrival: Arrival,
    /// The packet of the first part.
    pub(super) packet: Slice<B>,
    pub(super) next: u8,
    pub(super) data: Pieces<B>,
}

impl<B: Buffer> Parts<B> {
    /// Takes a part. `None` if it contradicts others.
    fn add(&mut self, arrival: &Arrival, part: Part<B>) -> Option<()> {
        let length = part.data.length();
        let end = part.offset + length;
        if self
            .end
            .is_some_and(|known| end > known || !part.more && end != known)
        {
            return None;
        }
        let place = self
            .parts
            .partition_point(|(offset, _)| *offset < part.offset);
        if let Some((offset, data)) = self.parts.get(place) {
            if *offset == part.offset && data.length() == length {
                // The same part came twice.
                return Some(());
            }
            if end > *offset {
                return None;
            }
        }
        if let Some((offset, data)) = place.checked_sub(1).map(|before| &self.parts[before])
            && offset + data.length() > part.offset
        {
            return None;
        }
        if !part.more {
            let last = self.parts.last();
            if last.is_some_and(|(offset, data)| offset + data.length() > end) {
                return None;
            }
            self.end = Some(end);
        }
        if part.offset == 0 {
            self.first = Some((*arrival, part.packet, part.next));
        }
        self.memory += footprint(&part.data);
        self.parts.insert(place, (part.offset, part.data));
        Some(())
    }

    fn is_whole(&self) -> bool {
        let mut expected = 0;
        for (offset, data) in &self.parts {
            if *offset != expected {
                return false;
            }
            expected += data.length();
        }
        self.end == Some(expected)
    }
}

fn footprint<B: Buffer>(data: &Pieces<B>) -> usize {
    data.iter().map(|piece| piece.buffer().footprint()).sum()
}

/// Bytes that each part of a packet carries, the last one perhaps fewer; 0 if the way is too narrow for any.
pub(super) fn room(packet: &ip::Header, mtu: usize) -> usize {
    let headers = match packet.source {
        IpAddr::V4(_) => ipv4::HEADER,
        IpAddr::V6(_) => ipv6::HEADER + ipv6::FRAGMENT_HEADER,
    };
    mtu.saturating_sub(headers) & !7
}

impl<B: Buffer> Stack<B> {
    /// A part has arrived. Returns the packet when it is whole.
    pub(super) fn add_part(
        &mut self,
        whose: Whose,
        arrival: &Arrival,
        part: Part<B>,
        now: Instant,
    ) -> Option<Whole<B>> {
        let v6 = whose.source.is_ipv6();
        self.counters.one(v6, Count::Parts);
        let end = part.offset + part.data.length();
        if part.data.is_empty() || end > LONGEST {
            return None;
        }
        if !self.fragments.contains_key(&whose) {
            if self.fragments.len() >= PACKETS {
                self.forget_oldest_parts();
            }
            let lifetime = match whose.source {
                IpAddr::V4(_) => LIFETIME_V4,
                IpAddr::V6(_) => LIFETIME_V6,
            };
            let parts = Parts {
                parts: Vec::new(),
                first: None,
                end: None,
                memory: 0,
                until: now + lifetime,
            };
            self.chores.insert((parts.until, Chore::Fragments));
            self.fragments.insert(whose, parts);
        }
        let parts = self.fragments.get_mut(&whose)?;
        let before = parts.memory;
        let fits = parts.parts.len() < PARTS && parts.add(arrival, part).is_some();
        self.fragment_memory += parts.memory - before;
        let whole = parts.is_whole();
        if !fits {
            self.give_up_parts(&whose);
            return None;
        }
        if !whole {
            while self.fragment_memory > MEMORY && self.fragments.len() > 1 {
                self.forget_oldest_parts();
            }
            if self.fragment_memory > MEMORY {
                self.give_up_parts(&whose);
            }
            return None;
        }
        self.counters.one(v6, Count::Joined);
        let parts = self.forget_parts(&whose)?;
        let (mut arrival, packet, next) = parts.first?;
        // Each part was of the right length, but nobody has looked at the sum of all.
        arrival.verified &= arrival.interface == 0;
        let mut data = Pieces::default();
        for (_, part) in parts.parts {
            for piece in part {
                data.push(piece);
            }
        }
        Some(Whole {
            arrival,
            packet,
            next,
            data,
        })
    }

    fn forget_parts(&mut self, whose: &Whose) -> Option<Parts<B>> {
        let parts = self.fragments.remove(whose)?;
        self.fragment_memory -= parts.memory;
        Some(parts)
    }

    /// A packet can't be put together.
    fn give_up_parts(&mut self, whose: &Whose) -> Option<Parts<B>> {
        self.counters.one(whose.source.is_ipv6(), Count::NotJoined);
        self.forget_parts(whose)
    }

    fn forget_oldest_parts(&mut self) {
        let oldest = self.fragments.iter().min_by_key(|(_, parts)| parts.until);
        if let Some(whose) = oldest.map(|(whose, _)| *whose) {
            self.give_up_parts(&whose);
        }
    }

    /// Gives up packets whose parts have waited long enough.
    pub(super) fn expire_fragments(&mut self, now: Instant) {
        let due: Vec<Whose> = self
            .fragments
            .iter()
            .filter(|(_, parts)| parts.until <= now)
            .map(|(whose, _)| *whose)
            .collect();
        for whose in due {
            let parts = self.give_up_parts(&whose);
            // Only who has sent the first part is told (RFC 792; RFC 8200).
            if let Some((arrival, packet, _)) = parts.and_then(|parts| parts.first)
                && !arrival.group
            {
                self.send_time_exceeded(&arrival, &packet, now);
            }
        }
    }

    /// Sends a packet that is longer than the path carries in parts.
    pub(super) fn send_parts(
        &mut self,
        way: Way,
        packet: &ip::Header,
        transport: Transport<'_, B>,
        mtu: usize,
        now: Instant,
    ) {
        let room = room(packet, mtu);
        if room == 0 || transport.partial.is_some() {
            return;
        }
        self.identification = self.identification.wrapping_add(1);
        let v6 = packet.source.is_ipv6();
        self.counters.one(v6, Count::Sent);
        self.counters.one(v6, Count::Cut);
        let identification = self.identification_for(packet);
        let total = transport.header.len() + transport.payload.length();
        let mut offset = 0;
        while offset < total {
            let length = room.min(total - offset);
            // The header of what is inside is in the first part.
            let header = if offset == 0 { transport.header } else { &[] };
            let mut payload = transport.payload.clone();
            payload.advance(offset.saturating_sub(transport.header.len()));
            payload.truncate(length - header.len());
            let part = ipv6::Fragment {
                next: packet.protocol,
                offset: offset as u16,
                more: offset + length < total,
                identification,
            };
            self.counters.one(v6, Count::PartsMade);
            self.send_frame(
                way,
                packet,
                Some(part),
                Transport::whole(header, payload),
                now,
            );
            offset += length;
        }
    }

    /// A number for the parts of a packet that nobody can guess who does not see packets to the same station (RFC
    /// 7739).
    pub(super) fn identification_for(&self, packet: &ip::Header) -> u32 {
        let words = match (packet.source, packet.destination) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                [one.to_bits().into(), other.to_bits().into(), 4, 0]
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                let (one, other) = (one.to_bits(), other.to_bits());
                [
                    (one >> 64) as u64,
                    one as u64,
                    (other >> 64) as u64,
                    other as u64,
                ]
            }
            _ => [0; 4],
        };
        (self.secret.hash(&words) as u32).wrapping_add(self.identification)
    }
}
