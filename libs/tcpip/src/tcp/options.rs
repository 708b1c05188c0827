//! What a program has chosen for a connection, and what the network allows.

use core::net::SocketAddr;

use super::Algorithm;
use crate::time::SECOND;
use crate::wire::ip::Marking;

/// Data for a segment where the peer does not say (RFC 9293, section 3.7.1).
pub(super) const SMALLEST_DEFAULT: usize = 536;
/// No peer gets away with less, or every byte would cost a packet.
pub(super) const SMALLEST_SEGMENT: usize = 88;

/// The peer is asked whether it is still there (`SO_KEEPALIVE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Idle time before the first question, in nanoseconds (`TCP_KEEPIDLE`).
    pub idle: u64,
    /// Time between questions (`TCP_KEEPINTVL`).
    pub interval: u64,
    /// How many there are (`TCP_KEEPCNT`).
    pub count: u32,
}

/// What the program has chosen.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Small segments are sent at once (`TCP_NODELAY`).
    pub no_delay: bool,
    /// Small segments wait for more (`TCP_CORK`).
    pub cork: bool,
    /// Bytes that may wait to be sent (`SO_SNDBUF`).
    pub send_capacity: usize,
    /// [`Self::send_capacity`] grows by itself: the program has not chosen it.
    pub send_grows: bool,
    /// Bytes that may wait to be received (`SO_RCVBUF`).
    pub receive_capacity: usize,
    /// [`Self::receive_capacity`] grows by itself.
    pub receive_grows: bool,
    /// Whether, and how, the peer is asked whether it is there.
    pub keep_alive: Option<KeepAlive>,
    /// How long data may go without acknowledgement, in nanoseconds (`TCP_USER_TIMEOUT`); 0 for the usual number of
    /// retries.
    pub user_timeout: u64,
    /// How the window grows (`TCP_CONGESTION`).
    pub algorithm: Algorithm,
    /// Most data of a segment (`TCP_MAXSEG`); 0 for what the network allows.
    pub maximum_segment: u16,
    /// The largest window that the peer is told (`TCP_WINDOW_CLAMP`); 0 for any.
    pub window_clamp: u32,
    /// The program is told that there is room only while fewer bytes were not sent yet (`TCP_NOTSENT_LOWAT`).
    pub unsent_limit: u32,
    /// The start is tried again so often (`TCP_SYNCNT`).
    pub syn_retries: u8,
    /// A connection is only handed over with data, unless the answer was sent again so often (`TCP_DEFER_ACCEPT`).
    pub defer_accept: u8,
    /// How long the peer has to end, when the program is gone, in nanoseconds (`TCP_LINGER2`); 0 for no time at all.
    pub fin_wait: u64,
    /// Urgent data stays in its place (`SO_OOBINLINE`).
    pub urgent_inline: bool,
    /// What headers of IPv4 say.
    pub marking_v4: Marking,
    /// What those of IPv6 say.
    pub marking_v6: Marking,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            no_delay: false,
            cork: false,
            send_capacity: 256 * 1024,
            send_grows: true,
            receive_capacity: 128 * 1024,
            receive_grows: true,
            keep_alive: None,
            user_timeout: 0,
            algorithm: Algorithm::Cubic,
            maximum_segment: 0,
            window_clamp: 0,
            unsent_limit: u32::MAX,
            syn_retries: 6,
            defer_accept: 0,
            fin_wait: 60 * SECOND,
            urgent_inline: false,
            marking_v4: Marking::default(),
            marking_v6: Marking::default(),
        }
    }
}

/// What the network in between allows.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Bytes of data for a segment without options.
    pub segment: usize,
}

impl Options {
    /// What the headers of packets to a peer say.
    pub fn marking(&self, remote: SocketAddr) -> Marking {
        match remote {
            SocketAddr::V4(_) => self.marking_v4,
            SocketAddr::V6(_) => self.marking_v6,
        }
    }

    /// Most data of a segment that the peer may send.
    pub(super) fn offered_segment(&self, path: Path) -> usize {
        match usize::from(self.maximum_segment) {
            0 => path.segment,
            chosen => path.segment.min(chosen.max(SMALLEST_SEGMENT)),
        }
    }

    /// The first window.
    pub(super) fn offered_window(&self) -> usize {
        self.clamped(self.receive_capacity)
    }

    /// A window that is not too large for the program.
    pub(super) fn clamped(&self, window: usize) -> usize {
        match self.window_clamp {
            0 => window,
            clamp => window.min(clamp as usize),
        }
    }

    /// How often the answer to a request has been sent again after so many seconds (`TCP_DEFER_ACCEPT`), as Linux
    /// reckons it: 1, 3, 7 ... seconds.
    pub fn retries_in(seconds: u32) -> u8 {
        let (mut count, mut patience, mut period) = (0, 1, 1);
        if seconds == 0 {
            return 0;
        }
        count += 1;
        while seconds > period && count < 255 {
            count += 1;
            patience = (patience * 2_u32).min(120);
            period += patience;
        }
        count
    }

    /// The time that so many retries take, in seconds.
    pub fn seconds_of(retries: u8) -> u32 {
        let (mut patience, mut period) = (1_u32, u32::from(retries != 0));
        for _ in 1..retries {
            patience = (patience * 2).min(120);
            period += patience;
        }
        period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_and_seconds_are_those_of_linux() {
        let pairs = [(0, 0), (1, 1), (2, 3), (3, 3), (4, 7), (10, 15), (60, 63)];
        for (asked, given) in pairs {
            assert_eq!(Options::seconds_of(Options::retries_in(asked)), given);
        }
        assert_eq!(Options::retries_in(u32::MAX), 255);
    }
}
