//! Floor 5: sockets.
//!
//! * [`socket`] holds the trait that a family of sockets fulfils, and makes files of sockets;
//! * [`address`], [`message`] and [`options`] are what all families share: addresses, data with what travels beside it,
//!   and the options of `SOL_SOCKET`;
//! * [`controls`] are those that all sockets have, about interfaces;
//! * [`unix`] is the family of local sockets, [`internet`] are those of IPv4 and IPv6, [`netlink`] that of questions to
//!   the kernel.

pub mod address;
pub mod controls;
mod ethtool;
pub mod internet;
pub mod message;
pub mod netlink;
pub mod options;
pub mod socket;
pub mod unix;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::sockets::family;

use socket::Socket;

/// Families that were asked for and do not exist; each is named once.
static NAMED: AtomicU64 = AtomicU64::new(0);

fn unsupported(number: i32) -> Errno {
    let bit = 1_u64 << (number as u32 % 64);
    if NAMED.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
        crate::warning!("socket: there is no address family {number}: it answers EAFNOSUPPORT");
    }
    Errno::EAFNOSUPPORT
}

/// Most that a kind of socket may be as a number (`SOCK_MAX`).
const KIND_LIMIT: u32 = 11;

fn check(family: i32, kind: u32) -> Result<(), Errno> {
    if !(0..family::LIMIT).contains(&family) {
        return Err(Errno::EAFNOSUPPORT);
    }
    if kind >= KIND_LIMIT {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// A new socket (`socket(2)`).
///
/// # Errors
/// `EAFNOSUPPORT`, `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`, `EINVAL`.
pub fn create(family: i32, kind: u32, protocol: i32) -> Result<Arc<dyn Socket>, Errno> {
    check(family, kind)?;
    if family == i32::from(family::UNIX) {
        return Ok(unix::create(kind, protocol)?);
    }
    for known in [family::INTERNET, family::INTERNET_6] {
        if family == i32::from(known) {
            return internet::create(known, kind, protocol);
        }
    }
    if family == i32::from(family::PACKET) {
        return Ok(internet::packet::create(kind, protocol)?);
    }
    if family == i32::from(family::NETLINK) {
        return Ok(netlink::create(kind, protocol)?);
    }
    Err(unsupported(family))
}

/// Two sockets that are connected with each other (`socketpair(2)`).
///
/// # Errors
/// As for [`create`]; `EOPNOTSUPP` for families that have no pairs.
pub fn create_pair(family: i32, kind: u32, protocol: i32) -> Result<[Arc<dyn Socket>; 2], Errno> {
    check(family, kind)?;
    if family == i32::from(family::UNIX) {
        let [one, other] = unix::create_pair(kind, protocol)?;
        return Ok([one, other]);
    }
    // As on Linux, which makes the sockets before it finds that they can't be connected.
    create(family, kind, protocol)?;
    Err(Errno::EOPNOTSUPP)
}
