//! Sockets: there is no network yet, and a kernel without an address family says so.

use core::sync::atomic::{AtomicBool, Ordering};

use pith_linux::Errno;

/// `AF_UNIX`: C libraries look for a name service daemon there and carry on without one.
const UNIX: i32 = 1;

static NAMED: AtomicBool = AtomicBool::new(false);

/// `socket(2)`: no address family exists.
///
/// # Errors
/// Always `EAFNOSUPPORT`, as of a Linux without the family.
pub fn socket(family: i32, _kind: i32, _protocol: i32) -> Result<usize, Errno> {
    if family == UNIX {
        crate::info!("socket: no local sockets yet: it answers EAFNOSUPPORT");
    } else if !NAMED.swap(true, Ordering::Relaxed) {
        crate::warning!("socket: no network yet (address family {family}): it answers EAFNOSUPPORT");
    }
    Err(Errno::EAFNOSUPPORT)
}
