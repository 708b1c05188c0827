//! TAP devices: interfaces of the host whose other end is a network card of a machine.

use std::fs::{self, File};

/// Most queues each way that a card gets. Each takes memory of the machine for its buffers.
pub(crate) const MAXIMUM_QUEUES: u32 = 8;

/// `IFF_MULTI_QUEUE` of `linux/if_tun.h`.
const MULTI_QUEUE: u32 = 0x100;

/// Whether a TAP device was made with several queues (`ip tuntap add … multi_queue`). Such a device takes no user of a
/// single one, and the other way around.
pub(crate) fn has_queues(name: &str) -> bool {
    fs::read_to_string(format!("/sys/class/net/{name}/tun_flags"))
        .ok()
        .and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok())
        .is_some_and(|flags| flags & MULTI_QUEUE != 0)
}

/// Whether the host's kernel moves the frames itself, if asked (`vhost_net`).
pub(crate) fn has_vhost() -> bool {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/vhost-net")
        .is_ok()
}
