//! What `/proc/net` and `/proc/sys/net` tell.

use pith_linux::Errno;

use super::{Entry, Text, constant, directory, setting, text};
use crate::net::internet::socket::FIRST_FREE_PORT;
use crate::net::internet::{self, counts, listing, raw};
use crate::net::unix;

/// The files of `/proc/net`.
pub const NETWORK: &[Entry] = &[
    text("arp", listing::neighbours),
    text("dev", listing::devices),
    text("if_inet6", listing::addresses_v6),
    text("igmp", listing::groups_v4),
    text("igmp6", listing::groups_v6),
    text("netstat", counts::netstat),
    text("pnp", resolver),
    text("route", listing::routes),
    text("snmp", counts::snmp),
    text("snmp6", counts::snmp6),
    text("sockstat", listing::statistics),
    text("sockstat6", listing::statistics_v6),
    text("tcp", listing::tcp),
    text("tcp6", listing::tcp6),
    text("udp", listing::udp),
    text("udp6", listing::udp6),
    text("unix", unix::list),
];

/// The files of `/proc/sys/net`. Most can't be changed: each says what the kernel does.
pub const SETTINGS: &[Entry] = &[
    directory(
        "core",
        &[
            constant("optmem_max", "20480\n"),
            constant("rmem_default", "212992\n"),
            constant("rmem_max", "4194304\n"),
            constant("somaxconn", "4096\n"),
            constant("wmem_default", "212992\n"),
            constant("wmem_max", "4194304\n"),
        ],
    ),
    directory(
        "ipv4",
        &[
            constant("ip_default_ttl", "64\n"),
            constant("ip_forward", "0\n"),
            constant("ip_local_port_range", "32768\t60999\n"),
            constant("ip_nonlocal_bind", "0\n"),
            number_setting!("ip_unprivileged_port_start", FIRST_FREE_PORT, 0..=65535),
            setting("ping_group_range", raw::ping_groups, raw::set_ping_groups),
            constant("tcp_congestion_control", "cubic\n"),
            constant("tcp_keepalive_intvl", "75\n"),
            constant("tcp_keepalive_probes", "9\n"),
            constant("tcp_keepalive_time", "7200\n"),
            constant("tcp_retries2", "15\n"),
            constant("tcp_sack", "1\n"),
            constant("tcp_syncookies", "1\n"),
            constant("tcp_timestamps", "1\n"),
            constant("tcp_window_scaling", "1\n"),
        ],
    ),
    directory("ipv6", &[constant("bindv6only", "0\n")]),
    directory("unix", &[constant("max_dgram_qlen", "10\n")]),
];

/// The name servers in the notation of resolv.conf(5), as Linux tells them when its kernel has set the network up.
fn resolver(text: &mut Text) -> Result<(), Errno> {
    let (servers, domains) = internet::name_servers();
    text.bytes(b"#MANUAL\n")?;
    if !domains.is_empty() {
        writeln!(text, "search {}", domains.join(" "))?;
    }
    for server in servers {
        writeln!(text, "nameserver {server}")?;
    }
    Ok(())
}
