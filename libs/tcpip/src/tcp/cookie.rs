//! SYN cookies: what a request says is kept by the peer, when there is no room for it here (RFC 4987, section 3.6).
//!
//! The first sequence number is made of the peer's, of the minute, and of a number for the size of segments, each with a
//! secret hash; the lowest bits of the timestamp carry window scale and SACK, as on Linux.

use super::{Request, Sequence, stamp_of};
use crate::time::{Instant, SECOND};
use crate::wire::tcp::Header;

/// Sizes of segments that a cookie can name: those that are most common.
const SIZES: [u16; 4] = [536, 1300, 1440, 1460];
/// A cookie is good for so many minutes.
const LIFETIME: u32 = 2;
const MINUTE: u64 = 60 * SECOND;
/// Bits of a cookie below the minute.
const BITS: u32 = 24;
const MASK: u32 = (1 << BITS) - 1;
/// Bits of a timestamp: four for the window scale, of which 15 says that there is none, and one for SACK.
const STAMP_BITS: u32 = 6;
const NO_SCALE: u32 = 0xf;
const SACK: u32 = 1 << 4;

/// Cookies are good for so long after the last one was given out.
pub const VALID: u64 = LIFETIME as u64 * MINUTE;

/// Two hashes of the addresses of a connection, which nobody else can reckon: a fixed one, and one for each minute.
pub trait Secret {
    /// The hash for a minute; the fixed one for `None`.
    fn hash(&self, minute: Option<u32>) -> u32;
}

impl<F: Fn(Option<u32>) -> u32> Secret for F {
    fn hash(&self, minute: Option<u32>) -> u32 {
        self(minute)
    }
}

fn minute_of(now: Instant) -> u32 {
    (now.0 / MINUTE) as u32
}

/// Answers `syn` without keeping anything: the request is only good for [`Request::answer`].
pub fn give(secret: &dyn Secret, syn: &Header, stamp: u32, now: Instant) -> Request {
    let minute = minute_of(now);
    let asked = syn.maximum_segment.unwrap_or(SIZES[0]);
    let index = SIZES.iter().rposition(|size| *size <= asked).unwrap_or(0);
    let low = (secret.hash(Some(minute)).wrapping_add(index as u32)) & MASK;
    let ours = secret
        .hash(None)
        .wrapping_add(syn.sequence.0)
        .wrapping_add(minute << BITS)
        .wrapping_add(low);
    let mut request = Request::new(syn, (Sequence(ours), stamp), now);
    if request.timestamps.is_none() {
        // Nothing else can carry what the peer offers.
        request.shift = None;
        request.sack = false;
        return request;
    }
    let carried = request.shift.map_or(NO_SCALE, u32::from) | if request.sack { SACK } else { 0 };
    let clock = stamp_of(0, now);
    let mut marked = clock >> STAMP_BITS << STAMP_BITS | carried;
    if marked > clock {
        marked = marked.wrapping_sub(1 << STAMP_BITS);
    }
    request.set_clock_back(clock.wrapping_sub(marked));
    request
}

/// Reads the cookie in the acknowledgement of an answer. `None` if it is not one of ours, or too old.
pub fn take(secret: &dyn Secret, ack: &Header, stamp: u32, now: Instant) -> Option<Request> {
    let theirs = ack.sequence - 1;
    let ours = ack.acknowledgement - 1;
    let rest = ours
        .0
        .wrapping_sub(secret.hash(None))
        .wrapping_sub(theirs.0);
    let minute = minute_of(now);
    // Of the minute eight bits are there.
    let age = minute.wrapping_sub(rest >> BITS) & (u32::MAX >> BITS);
    if age >= LIFETIME {
        return None;
    }
    let given = minute.wrapping_sub(age);
    let index = rest.wrapping_sub(secret.hash(Some(given))) & MASK;
    let size = *SIZES.get(index as usize)?;
    let mut request = Request::new(ack, (ours, stamp), now);
    request.theirs = theirs;
    request.segment = Some(size);
    if let Some((_, echo)) = ack.timestamps {
        let carried = echo.wrapping_sub(stamp);
        let scale = carried & 0xf;
        request.shift = (scale != NO_SCALE).then_some(scale.min(14) as u8);
        request.sack = carried & SACK != 0;
    }
    Some(request)
}

/// Whether a segment of a peer that has a cookie comes behind the one that brings it back, but within the first `window`.
/// Only its place is uncertain, and so the cookie can't be read. Of other segments one in ten thousand looks like that.
pub fn is_behind(secret: &dyn Secret, segment: &Header, window: u16, now: Instant) -> bool {
    let rest = (segment.acknowledgement - 1)
        .0
        .wrapping_sub(secret.hash(None))
        .wrapping_sub((segment.sequence - 1).0);
    let minute = minute_of(now);
    (0..LIFETIME).any(|age| {
        let given = minute.wrapping_sub(age);
        let hash = secret.hash(Some(given));
        (0..SIZES.len() as u32).any(|index| {
            let least = (given << BITS).wrapping_add(hash.wrapping_add(index) & MASK);
            least.wrapping_sub(rest) <= window.into()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp::flag;

    fn secret(minute: Option<u32>) -> u32 {
        let word = u64::from(minute.map_or(0, |minute| minute + 1));
        ((word + 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
    }

    fn syn(options: Option<u8>) -> Header {
        Header {
            sequence: Sequence(u32::MAX),
            flags: flag::SYN,
            maximum_segment: Some(1460),
            window_scale: options,
            sack_permitted: options.is_some(),
            timestamps: options.map(|_| (7, 0)),
            ..Header::default()
        }
    }

    fn ack(answer: &Header) -> Header {
        Header {
            sequence: answer.acknowledgement,
            acknowledgement: answer.sequence + 1,
            flags: flag::ACK,
            timestamps: answer.timestamps.map(|(value, _)| (8, value)),
            ..Header::default()
        }
    }

    const OFFER: super::super::request::Offer = super::super::request::Offer {
        segment: 1460,
        window: 65_535,
        shift: 7,
        deferred: 0,
    };

    #[test]
    fn what_was_offered_comes_back() {
        for (start, scale) in [(0, 0), (90, 7), (100_000, 14), (7, 9)] {
            let now = Instant(start * SECOND + 12_345_678);
            let request = give(&secret, &syn(Some(scale)), 1234, now);
            let answer = request.answer((80, 1), OFFER, now);
            let back = take(&secret, &ack(&answer), 1234, now + SECOND).expect("ours");
            assert_eq!(
                (back.theirs, back.ours, back.segment, back.shift, back.sack),
                (request.theirs, request.ours, Some(1460), Some(scale), true)
            );
            assert_eq!(back.timestamps, Some((1234, 8)));
        }
    }

    #[test]
    fn without_timestamps_only_the_size_comes_back() {
        let now = Instant(1000 * SECOND);
        for (asked, given) in [
            (100, 536),
            (536, 536),
            (1400, 1300),
            (1459, 1440),
            (9000, 1460),
        ] {
            let mut syn = syn(None);
            syn.maximum_segment = Some(asked);
            syn.window_scale = Some(3);
            let answer = give(&secret, &syn, 0, now).answer((80, 1), OFFER, now);
            assert_eq!(answer.window_scale, None);
            let back = take(&secret, &ack(&answer), 0, now).expect("ours");
            assert_eq!((back.segment, back.shift), (Some(given), None));
        }
    }

    #[test]
    fn old_ones_and_guesses_are_refused() {
        let now = Instant(1000 * SECOND);
        let answer = give(&secret, &syn(None), 0, now).answer((80, 1), OFFER, now);
        assert!(take(&secret, &ack(&answer), 0, now + 119 * SECOND).is_none());
        assert!(take(&secret, &ack(&answer), 0, now + 50 * SECOND).is_some());
        let accepted = (1..100_000_u32)
            .filter(|guess| {
                let mut ack = ack(&answer);
                ack.acknowledgement = ack.acknowledgement + (*guess as usize * 40_503 + 5);
                take(&secret, &ack, 0, now).is_some()
            })
            .count();
        // One number in two millions is right.
        assert!(accepted <= 2, "{accepted}");
    }
}
