//! `/proc/net`: what there is, in the tables that `netstat(8)` and its kin read (`proc_net(5)`).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::sockets::family;
use pith_tcpip::stack::Reach;
use pith_tcpip::tcp::State;

use super::interfaces::{self, Way, mask_v4};
use super::socket::InternetSocket;
use super::{network, now, stream_options};
use crate::fs::proc::Text;
use crate::net::socket;

/// What is told of a socket.
pub struct Line {
    /// Its address.
    pub local: SocketAddr,
    /// Its peer's.
    pub remote: SocketAddr,
    /// As Linux numbers the states of connections.
    pub state: u8,
    /// Bytes that wait to be sent or acknowledged.
    pub sending: usize,
    /// Bytes that wait to be received; of a listener, connections that wait to be accepted.
    pub receiving: usize,
    /// Of a listener: how many connections may wait.
    pub backlog: usize,
    lost: u64,
    /// The number of its inode.
    pub inode: u64,
    /// The interface that it is bound to; 0 for none.
    pub interface: u32,
    /// What the program has shut down: 1 for receiving, 2 for sending.
    pub shut: u8,
    /// It speaks with peers of IPv6 only.
    pub only_v6: bool,
    /// `struct tcp_info`
    pub information: Option<Vec<u8>>,
    /// The name of its congestion control.
    pub congestion: Option<&'static str>,
}

/// Linux's numbers of states.
fn number_of(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Closing => 11,
    }
}

/// A socket that only waits.
const LISTENING: u8 = 10;
const CLOSED: u8 = 7;

/// The sockets of a family and kind that have an address, by their numbers; `detailed`, with all that connections tell.
pub fn lines(family: u16, streams: bool, detailed: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for socket in network().all_sockets() {
        if socket.family == family && socket.is_stream() == streams && (streams || socket.is_udp()) {
            lines.extend(line(&socket, detailed));
        }
    }
    pith_sorted_map::sort_by_key(&mut lines, |line| line.inode);
    lines
}

fn line(socket: &InternetSocket, detailed: bool) -> Option<Line> {
    let stack = socket.network.stack.lock();
    let handle = socket.handle;
    // Without a port nobody can find it.
    let local = stack.bound(handle).filter(|local| local.port() != 0)?;
    let nobody = super::name::nobody(socket.family);
    let mut line = Line {
        local,
        remote: stack.remote(handle).unwrap_or(nobody),
        state: CLOSED,
        sending: 0,
        receiving: 0,
        backlog: 0,
        lost: 0,
        inode: socket.number,
        interface: socket.common.device(),
        shut: socket.no_more_input.load(Ordering::Relaxed).into(),
        only_v6: stack.reach(handle) == Some(Reach::V6),
        information: None,
        congestion: None,
    };
    if !socket.is_stream() {
        (line.receiving, line.lost) = stack.udp_waiting(handle);
        if stack.remote(handle).is_some() {
            line.state = number_of(State::Established);
        }
    } else if let Some(ready) = stack.tcp_listening(handle) {
        line.state = LISTENING;
        line.receiving = ready;
        line.backlog = stack.tcp_backlog(handle).unwrap_or(0);
    } else if let Some(connection) = stack.connection(handle) {
        line.state = number_of(connection.state());
        line.sending = connection.unacknowledged();
        line.receiving = connection.available();
        line.shut |= if connection.can_send() { 0 } else { 2 };
    }
    if detailed && socket.is_stream() {
        line.information = Some(stream_options::information(&stack, handle, now()));
        line.congestion = stack
            .tcp_chosen(handle)
            .map(|chosen| stream_options::name_of(chosen.algorithm));
    }
    Some(line)
}

/// An address in the notation of these tables: each word of it as this processor would print it.
fn address(family: u16, address: SocketAddr) -> String {
    let mut text = String::new();
    let octets = match (family, address.ip()) {
        (family::INTERNET, IpAddr::V4(ip)) => Vec::from(ip.octets()),
        (_, IpAddr::V4(ip)) => Vec::from(ip.to_ipv6_mapped().octets()),
        (_, IpAddr::V6(ip)) => Vec::from(ip.octets()),
    };
    let (words, _) = octets.as_chunks::<4>();
    for word in words {
        // A string takes everything.
        let _ = write!(text, "{:08X}", u32::from_ne_bytes(*word));
    }
    let _ = write!(text, ":{:04X}", address.port());
    text
}

fn table(text: &mut Text, family: u16, streams: bool) -> Result<(), Errno> {
    let names = match family {
        family::INTERNET => "local_address rem_address  ",
        _ => "local_address                         remote_address                       ",
    };
    let head = alloc::format!(" sl  {names} st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode");
    match streams {
        true => writeln!(text, " {head}{:>55}", "")?,
        false => writeln!(text, "  {head} ref pointer drops")?,
    }
    for (index, line) in lines(family, streams, false).iter().enumerate() {
        let (local, remote) = (address(family, line.local), address(family, line.remote));
        let rest = match streams {
            true => String::from("1 0000000000000000 100 0 0 10 0"),
            false => alloc::format!("2 0000000000000000 {}", line.lost),
        };
        writeln!(
            text,
            "{index:>4}: {local} {remote} {:02X} {:08X}:{:08X} 00:00000000 00000000 {:>5} {:>8} {} {rest}",
            line.state, line.sending, line.receiving, 0, 0, line.inode
        )?;
    }
    Ok(())
}

/// `/proc/net/tcp`
pub fn tcp(text: &mut Text) -> Result<(), Errno> {
    table(text, family::INTERNET, true)
}

/// `/proc/net/tcp6`
pub fn tcp6(text: &mut Text) -> Result<(), Errno> {
    table(text, family::INTERNET_6, true)
}

/// `/proc/net/udp`
pub fn udp(text: &mut Text) -> Result<(), Errno> {
    table(text, family::INTERNET, false)
}

/// `/proc/net/udp6`
pub fn udp6(text: &mut Text) -> Result<(), Errno> {
    table(text, family::INTERNET_6, false)
}

/// `/proc/net/dev`
pub fn devices(text: &mut Text) -> Result<(), Errno> {
    writeln!(
        text,
        "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame \
         compressed multicast|bytes    packets errs drop fifo colls carrier compressed"
    )?;
    for interface in interfaces::all() {
        let counts = interfaces::traffic(interface.index);
        writeln!(
            text,
            "{:>6}: {:>7} {:>7} {:>4} {:>4} {:>4} {:>5} {:>10} {:>9} {:>8} {:>7} {:>4} {:>4} {:>4} {:>5} {:>7} {:>10}",
            interface.name,
            counts.received_bytes,
            counts.received_packets,
            0,
            0,
            0,
            0,
            0,
            0,
            counts.sent_bytes,
            counts.sent_packets,
            0,
            0,
            0,
            0,
            0,
            0
        )?;
    }
    Ok(())
}

/// `/proc/net/route`: the ways of IPv4 that lead out.
pub fn routes(text: &mut Text) -> Result<(), Errno> {
    let padded = |text: &mut Text, line: &str| writeln!(text, "{line:<127}");
    padded(
        text,
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
    )?;
    for route in interfaces::routes() {
        let (IpAddr::V4(destination), Way::Unicast) = (route.destination, route.way) else {
            continue;
        };
        let Some(interface) = interfaces::by_index(route.interface) else {
            continue;
        };
        let gateway = match route.gateway {
            Some(IpAddr::V4(gateway)) => u32::from_ne_bytes(gateway.octets()),
            _ => 0,
        };
        // `RTF_UP`, `RTF_GATEWAY`
        let flags = if route.gateway.is_some() { 3 } else { 1 };
        let line = alloc::format!(
            "{}\t{:08X}\t{gateway:08X}\t{flags:04X}\t0\t0\t0\t{:08X}\t0\t0\t0",
            interface.name,
            u32::from_ne_bytes(destination.octets()),
            mask_v4(route.prefix).to_be()
        );
        padded(text, &line)?;
    }
    Ok(())
}

/// `/proc/net/if_inet6`
pub fn addresses_v6(text: &mut Text) -> Result<(), Errno> {
    for interface in interfaces::all() {
        for (address, prefix) in &interface.addresses {
            let IpAddr::V6(address) = address else { continue };
            // `IPV6_ADDR_LOOPBACK`, `IPV6_ADDR_LINKLOCAL`; permanent.
            let scope = match address {
                address if address.is_loopback() => 0x10,
                address if address.is_unicast_link_local() => 0x20,
                _ => 0,
            };
            writeln!(
                text,
                "{:032x} {:02x} {prefix:02x} {scope:02x} 80 {:>8}",
                address.to_bits(),
                interface.index,
                interface.name
            )?;
        }
    }
    Ok(())
}

/// `/proc/net/igmp`
pub fn groups_v4(text: &mut Text) -> Result<(), Errno> {
    writeln!(text, "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter")?;
    let groups = interfaces::groups();
    for interface in interfaces::all() {
        let own = groups.iter().filter(|group| group.interface == interface.index);
        let own: Vec<_> = own.filter(|group| group.ip.is_ipv4()).collect();
        if own.is_empty() {
            continue;
        }
        writeln!(
            text,
            "{}\t{:<10}: {:>5} {:>7}",
            interface.index,
            interface.name,
            own.len(),
            "V3"
        )?;
        for group in own {
            let IpAddr::V4(ip) = group.ip else { continue };
            let word = u32::from_ne_bytes(ip.octets());
            writeln!(text, "\t\t\t\t{word:08X} {:>5} 0:00000000\t\t0", group.users)?;
        }
    }
    Ok(())
}

/// `/proc/net/igmp6`
pub fn groups_v6(text: &mut Text) -> Result<(), Errno> {
    for group in interfaces::groups() {
        let IpAddr::V6(ip) = group.ip else { continue };
        let Some(interface) = interfaces::by_index(group.interface) else {
            continue;
        };
        // `MAF_LOADED`: the card lets it through. `MAF_NOREPORT`: all belong to it, or it does not leave the machine.
        let flags = match ip.segments() {
            [0xff02, 0, 0, 0, 0, 0, 0, 1] => 0xc,
            [first, ..] if first & 15 < 2 => 8,
            _ => 4,
        };
        writeln!(
            text,
            "{:<4} {:<15} {:032x} {:>5} {flags:08X} 0",
            group.interface,
            interface.name,
            ip.to_bits(),
            group.users
        )?;
    }
    Ok(())
}

/// Bytes of a page, in which memory is counted here.
const PAGE: usize = 4096;

/// `/proc/net/sockstat`
pub fn statistics(text: &mut Text) -> Result<(), Errno> {
    let usage = network().stack.lock().usage();
    // Connections count that wait for a program, or have none any more.
    let others = socket::count().saturating_sub(network().sockets.lock().len());
    let used = others + usage.all_streams + usage.all_datagrams;
    writeln!(text, "sockets: used {used}")?;
    writeln!(
        text,
        "TCP: inuse {} orphan {} tw {} alloc {} mem {}",
        usage.streams[0],
        usage.orphans,
        usage.late,
        usage.all_streams,
        usage.stream_memory.div_ceil(PAGE)
    )?;
    let memory = usage.datagram_memory.div_ceil(PAGE);
    writeln!(text, "UDP: inuse {} mem {memory}", usage.datagrams[0])?;
    let (raws, fragments, memory) = (usage.raws[0], usage.fragments[0], usage.fragment_memory[0]);
    writeln!(
        text,
        "UDPLITE: inuse 0\nRAW: inuse {raws}\nFRAG: inuse {fragments} memory {memory}"
    )
}

/// `/proc/net/sockstat6`
pub fn statistics_v6(text: &mut Text) -> Result<(), Errno> {
    let usage = network().stack.lock().usage();
    writeln!(
        text,
        "TCP6: inuse {}\nUDP6: inuse {}",
        usage.streams[1], usage.datagrams[1]
    )?;
    let (raws, fragments, memory) = (usage.raws[1], usage.fragments[1], usage.fragment_memory[1]);
    writeln!(
        text,
        "UDPLITE6: inuse 0\nRAW6: inuse {raws}\nFRAG6: inuse {fragments} memory {memory}"
    )
}

/// `/proc/net/arp`
pub fn neighbours(text: &mut Text) -> Result<(), Errno> {
    writeln!(
        text,
        "IP address       HW type     Flags       HW address            Mask     Device"
    )?;
    for neighbour in interfaces::neighbours() {
        let IpAddr::V4(ip) = neighbour.ip else { continue };
        let Some(interface) = interfaces::by_index(neighbour.interface) else {
            continue;
        };
        let [a, b, c, d, e, f] = neighbour.hardware.unwrap_or_default();
        // `ATF_COM`
        let flags = if neighbour.hardware.is_some() { 2 } else { 0 };
        let hardware = alloc::format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        writeln!(
            text,
            "{:<16} 0x{:<10x}0x{flags:<10x}{hardware:<17}     *        {}",
            alloc::format!("{ip}"),
            1,
            interface.name
        )?;
    }
    Ok(())
}
