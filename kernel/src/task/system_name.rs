//! What the system calls itself: `uname(2)` and `/proc/sys/kernel` tell it.

use alloc::string::String;

use spin::Mutex;

/// The Linux whose interface programs find; the C library refuses one that is too old.
pub const RELEASE: &str = "6.1.0-pith";

/// What is really running.
pub const VERSION: &str = concat!("#1 Pith ", env!("CARGO_PKG_VERSION"));

static HOSTNAME: Mutex<String> = Mutex::new(String::new());

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
