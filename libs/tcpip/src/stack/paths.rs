//! What is known of paths: the longest packets that they carry (RFC 1191, RFC 8201).

use super::*;

/// Most stations whose paths are remembered.
const PATHS: usize = 1024;
/// What was learned is good for so long (`net.ipv4.route.mtu_expires`): a path may get better again.
const LIFETIME: u64 = 600 * SECOND;
/// Nobody gets away with less (`net.ipv4.route.min_pmtu`), or every byte would cost a packet. What is longer than a path
/// carries is cut by its routers, then.
const LEAST: usize = 552;
/// Links that exist, for routers that do not tell what theirs carries (RFC 1191, section 7.1).
const PLATEAUS: [usize; 8] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508];

/// What was learned of the path to a station.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learned {
    mtu: usize,
    /// Routers have to cut.
    cut: bool,
    until: Instant,
}

impl<B: Buffer> Stack<B> {
    fn learned(&self, to: IpAddr, now: Instant) -> Option<&Learned> {
        self.paths.get(&to).filter(|path| path.until > now)
    }

    /// Bytes of the longest packet that gets to a station.
    pub fn mtu_to(&self, to: SocketAddr, now: Instant) -> usize {
        let way = self.route(to.ip(), scope_of(to));
        let mtu = way.map_or(1500, |way| self.interfaces[way.interface].mtu_for(to.ip()));
        let learned = self.learned(to.ip(), now);
        learned.map_or(mtu, |path| mtu.min(path.mtu))
    }

    /// What a path is known to carry; very much if nothing is known.
    pub(super) fn learned_mtu(&self, to: IpAddr, now: Instant) -> usize {
        self.learned(to, now).map_or(usize::MAX, |path| path.mtu)
    }

    /// Whether routers on the way have to cut packets, since the path carries less than packets are made to have.
    pub(super) fn is_cut(&self, to: IpAddr, now: Instant) -> bool {
        self.learned(to, now).is_some_and(|path| path.cut)
    }

    /// What the first link on the way carries: what a peer is told does not depend on the rest of the path.
    pub(super) fn path(&self, to: SocketAddr) -> Path {
        let way = self.route(to.ip(), scope_of(to));
        let mtu = way.map_or(1500, |way| self.interfaces[way.interface].mtu_for(to.ip()));
        let header = if to.is_ipv4() {
            ipv4::HEADER
        } else {
            ipv6::HEADER
        };
        Path {
            segment: mtu.min(65_535) - header - tcp::HEADER,
        }
    }

    /// A router says how long a packet may be; 0 if it does not say. Returns whether that is news.
    pub(super) fn learn_mtu(
        &mut self,
        to: SocketAddr,
        told: usize,
        sent: usize,
        now: Instant,
    ) -> bool {
        let mut mtu = told;
        if mtu == 0 {
            let below = PLATEAUS.into_iter().find(|plateau| *plateau < sent);
            mtu = below.unwrap_or(LEAST);
        }
        let cut = to.is_ipv4() && mtu < LEAST;
        let least = if to.is_ipv4() { LEAST } else { ipv6::LEAST_MTU };
        if mtu >= self.mtu_to(to, now) || to.is_ipv6() && mtu < least {
            return false;
        }
        if self.paths.len() >= PATHS && !self.paths.contains_key(&to.ip()) {
            let oldest = self.paths.iter().min_by_key(|(_, path)| path.until);
            if let Some(oldest) = oldest.map(|(ip, _)| *ip) {
                self.paths.remove(&oldest);
            }
        }
        let path = Learned {
            mtu: mtu.max(least),
            cut,
            until: now + LIFETIME,
        };
        self.paths.insert(to.ip(), path);
        true
    }
}

/// How many errors are sent at most: a second's worth of them, in parts.
#[derive(Debug)]
pub(super) struct Complaints {
    all: Bucket,
    /// For stations, by a number made of their address.
    stations: [Bucket; STATIONS],
}

const STATIONS: usize = 64;

/// So many errors may be sent at once, and one more each time that passes.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    since: Instant,
}

impl Bucket {
    fn take(&mut self, most: u32, interval: u64, now: Instant) -> bool {
        let more = now.since(self.since) / interval;
        if more != 0 {
            self.left =
                u32::try_from(more).map_or(most, |more| self.left.saturating_add(more).min(most));
            self.since = now;
        }
        let some = self.left != 0;
        self.left -= u32::from(some);
        some
    }
}

impl Default for Complaints {
    fn default() -> Self {
        let full = |left| Bucket {
            left,
            since: Instant(0),
        };
        Self {
            all: full(BURST),
            stations: [full(STATION_BURST); STATIONS],
        }
    }
}

/// `net.ipv4.icmp_msgs_burst`, and one thousandth of a second for one of `icmp_msgs_per_sec`.
const BURST: u32 = 50;
const INTERVAL: u64 = crate::time::MILLISECOND;
/// `net.ipv4.icmp_ratelimit`: a second for each, and six at once.
const STATION_BURST: u32 = 6;
const STATION_INTERVAL: u64 = SECOND;

impl<B: Buffer> Stack<B> {
    /// Whether an error may be sent to a station now. The machine itself always gets them.
    pub(super) fn may_complain(&mut self, to: IpAddr, now: Instant) -> bool {
        if self.is_local(to) {
            return true;
        }
        let words = match to {
            IpAddr::V4(ip) => [0, ip.to_bits().into()],
            IpAddr::V6(ip) => [(ip.to_bits() >> 64) as u64, ip.to_bits() as u64],
        };
        let place = self.secret.hash(&words) as usize % STATIONS;
        let station = &mut self.complaints.stations[place];
        station.take(STATION_BURST, STATION_INTERVAL, now)
            && self.complaints.all.take(BURST, INTERVAL, now)
    }
}
