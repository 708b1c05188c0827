//! Numbers that nobody else can guess, made of a secret.

use core::net::{IpAddr, SocketAddr};

use super::Tuple;
use crate::tcp::Sequence;
use crate::time::Instant;

/// The secret of a stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret(pub(super) [u64; 2]);

/// An address as words.
fn words(address: SocketAddr) -> [u64; 3] {
    let [high, low] = match address.ip() {
        IpAddr::V4(ip) => [0, u64::from(ip.to_bits()) | 0xffff << 32],
        IpAddr::V6(ip) => [(ip.to_bits() >> 64) as u64, ip.to_bits() as u64],
    };
    [high, low, address.port().into()]
}

impl Secret {
    /// A number made of the secret and others (SipHash with 1 and 3 rounds).
    pub(super) fn hash(self, words: &[u64]) -> u64 {
        let Self([k0, k1]) = self;
        let mut v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        let round = |v: &mut [u64; 4]| {
            v[0] = v[0].wrapping_add(v[1]);
            v[1] = v[1].rotate_left(13) ^ v[0];
            v[0] = v[0].rotate_left(32);
            v[2] = v[2].wrapping_add(v[3]);
            v[3] = v[3].rotate_left(16) ^ v[2];
            v[0] = v[0].wrapping_add(v[3]);
            v[3] = v[3].rotate_left(21) ^ v[0];
            v[2] = v[2].wrapping_add(v[1]);
            v[1] = v[1].rotate_left(17) ^ v[2];
            v[2] = v[2].rotate_left(32);
        };
        for word in words {
            v[3] ^= word;
            round(&mut v);
            v[0] ^= word;
        }
        v[2] ^= 0xff;
        for _ in 0..3 {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }

    /// The hash of both addresses of a connection, and of something else.
    pub(super) fn of_tuple(self, (local, remote): &Tuple, other: u64) -> u64 {
        if let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (local, remote) {
            let addresses =
                u64::from(local.ip().to_bits()) << 32 | u64::from(remote.ip().to_bits());
            let ports = u64::from(local.port()) << 16 | u64::from(remote.port());
            return self.hash(&[addresses, ports, other]);
        }
        let ([a, b, c], [d, e, f]) = (words(*local), words(*remote));
        self.hash(&[a, b, d, e, c << 16 | f, other])
    }

    /// The first sequence number and the offset of timestamps of a connection (RFC 6528, RFC 7323, section 7.1).
    pub(super) fn initial(self, tuple: &Tuple, now: Instant) -> (Sequence, u32) {
        let first = self.of_tuple(tuple, 1) as u32;
        let ([a, b, _], [c, d, _]) = (words(tuple.0), words(tuple.1));
        let stamp = self.hash(&[a, b, c, d]) as u32;
        // A step every 64 ns, as on Linux.
        (Sequence(first.wrapping_add((now.0 >> 6) as u32)), stamp)
    }

    /// What SYN cookies are made of: see [`crate::tcp::cookie`].
    pub(super) fn cookie(self, tuple: &Tuple) -> impl Fn(Option<u32>) -> u32 {
        let tuple = *tuple;
        move |minute| {
            let other = minute.map_or(2, |minute| u64::from(minute) | 3 << 32);
            self.of_tuple(&tuple, other) as u32
        }
    }
}
