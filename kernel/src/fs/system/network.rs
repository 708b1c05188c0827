//! What `/sys/class/net` tells of interfaces.

use alloc::string::String;
use alloc::vec::Vec;

use pith_linux::Errno;

use crate::fs::inode::Target;
use crate::fs::proc::{Body, Entry, Text, Things, constant, entry};
use crate::net::internet::interfaces::{self, QUEUE_LENGTH, flag};

/// `/sys/class/net`: a link for each interface.
pub const CLASS: Entry = entry("net", 0o555, Body::Each(&LINKS, &[]));
/// `/sys/devices/virtual/net`: their directories.
pub const DEVICES: Entry = entry("net", 0o555, Body::Each(&INTERFACES, &[]));

static LINKS: Things = Things {
    list: names,
    body: Body::OfThingLink(directory_of),
};
static INTERFACES: Things = Things {
    list: names,
    body: Body::OfThingDirectory(FILES),
};

const fn fact(name: &'static str) -> Entry {
    entry(name, 0o444, Body::OfThing(tell))
}

const fn count(name: &'static str) -> Entry {
    entry(name, 0o444, Body::OfThing(tell_count))
}

const FILES: &[Entry] = &[
    constant("addr_assign_type", "0\n"),
    constant("addr_len", "6\n"),
    fact("address"),
    fact("broadcast"),
    fact("carrier"),
    constant("dev_id", "0x0\n"),
    constant("dev_port", "0\n"),
    constant("dormant", "0\n"),
    fact("flags"),
    constant("ifalias", ""),
    fact("ifindex"),
    fact("iflink"),
    constant("link_mode", "0\n"),
    fact("mtu"),
    constant("netdev_group", "0\n"),
    fact("operstate"),
    constant("proto_down", "0\n"),
    entry("statistics", 0o555, Body::OfThingDirectory(STATISTICS)),
    fact("tx_queue_len"),
    fact("type"),
    fact("uevent"),
];

const STATISTICS: &[Entry] = &[
    count("collisions"),
    count("multicast"),
    count("rx_bytes"),
    count("rx_compressed"),
    count("rx_crc_errors"),
    count("rx_dropped"),
    count("rx_errors"),
    count("rx_fifo_errors"),
    count("rx_frame_errors"),
    count("rx_length_errors"),
    count("rx_missed_errors"),
    count("rx_nohandler"),
    count("rx_over_errors"),
    count("rx_packets"),
    count("tx_aborted_errors"),
    count("tx_bytes"),
    count("tx_carrier_errors"),
    count("tx_compressed"),
    count("tx_dropped"),
    count("tx_errors"),
    count("tx_fifo_errors"),
    count("tx_heartbeat_errors"),
    count("tx_packets"),
    count("tx_window_errors"),
];

fn names() -> Vec<(u32, String)> {
    let all = interfaces::all().into_iter();
    all.map(|interface| (interface.index, interface.name)).collect()
}

fn directory_of(index: u32) -> Result<Target, Errno> {
    let interface = interfaces::by_index(index).ok_or(Errno::ENOENT)?;
    let path = alloc::format!("../../devices/virtual/net/{}", interface.name);
    Ok(Target::Path(path.into_bytes()))
}

fn tell(index: u32, name: &str, text: &mut Text) -> Result<(), Errno> {
    let interface = interfaces::by_index(index).ok_or(Errno::ENODEV)?;
    let is_up = interface.flags & flag::UP != 0;
    let hardware = |text: &mut Text, [a, b, c, d, e, f]: [u8; 6]| {
        writeln!(text, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    };
    match name {
        "address" => hardware(text, interface.hardware.unwrap_or_default()),
        "broadcast" => hardware(text, interface.hardware.map_or([0; 6], |_| [0xff; 6])),
        // As on Linux, nobody knows of an interface that is down.
        "carrier" if !is_up => Err(Errno::EINVAL),
        "carrier" => writeln!(text, "{}", u32::from(interface.has_signal())),
        "flags" => {
            let promiscuous = match interfaces::promiscuity(index) {
                0 => 0,
                _ => flag::PROMISCUOUS,
            };
            let flags = interface.flags & !(flag::RUNNING | flag::LOWER_UP);
            writeln!(text, "{:#x}", flags | promiscuous)
        }
        "ifindex" | "iflink" => writeln!(text, "{index}"),
        "mtu" => writeln!(text, "{}", interface.mtu),
        "operstate" => writeln!(text, "{}", interface.state().name()),
        "tx_queue_len" => writeln!(text, "{QUEUE_LENGTH}"),
        "type" => writeln!(text, "{}", interface.hardware_kind()),
        "uevent" => writeln!(text, "INTERFACE={}\nIFINDEX={index}", interface.name),
        _ => Err(Errno::EINVAL),
    }
}

/// What is never counted here is 0.
fn tell_count(index: u32, name: &str, text: &mut Text) -> Result<(), Errno> {
    let counts = interfaces::traffic(index);
    let count = match name {
        "rx_bytes" => counts.received_bytes,
        "rx_dropped" => counts.received_lost,
        "rx_packets" => counts.received_packets,
        "tx_bytes" => counts.sent_bytes,
        "tx_dropped" => counts.sent_lost,
        "tx_packets" => counts.sent_packets,
        _ => 0,
    };
    writeln!(text, "{count}")
}
