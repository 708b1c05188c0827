//! What the system calls itself: `uname(2)` and `/proc/sys/kernel` tell it.

use alloc::string::String;

use spin::Mutex;

/// The Linux whose interface programs find; the C library refuses one that is too old.
pub const RELEASE: &str = "6.1.0-pith";

/// What is really running.
pub const VERSION: &str = concat!("#1 Pith ", env!("CARGO_PKG_VERSION"));

/// Longest name of the machine or its domain, in bytes (`__NEW_UTS_LEN`).
pub const NAME_LIMIT: usize = 64;

static HOSTNAME: Mutex<String> = Mutex::new(String::new());
static DOMAIN: Mutex<String> = Mutex::new(String::new());

/// Names the domain (`setdomainname(2)`).
pub fn set_domain(name: &str) {
    *DOMAIN.lock() = String::from(name);
}

/// The domain's name.
pub fn domain() -> String {
    let set = DOMAIN.lock();
    if set.is_empty() {
        String::from("(none)")
    } else {
        set.clone()
    }
}

/// Names the machine.
pub fn set_hostname(name: &str) {
    *HOSTNAME.lock() = String::from(name);
}

/// The machine's name.
pub fn hostname() -> String {
    let configured = HOSTNAME.lock();
    if configured.is_empty() {
        String::from("pith")
    } else {
        configured.clone()
    }
}
