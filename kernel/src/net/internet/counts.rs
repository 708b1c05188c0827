//! `/proc/net/snmp`, `netstat` and `snmp6`: counts of packets, under their names on Linux. What the stack never does, such
//! as forwarding, is 0; counts of Linux that mean its own workings are left out.

use alloc::string::String;
use alloc::vec::Vec;

use pith_linux::Errno;
use pith_tcpip::stack::{Count, Counters, StreamCount};
use pith_tcpip::wire::ip;

use super::network;
use crate::fs::proc::Text;

/// A row of names and values.
type Row = Vec<(&'static str, i64)>;

fn counters() -> (Counters, usize) {
    let stack = network().stack.lock();
    (stack.counters().clone(), stack.established())
}

/// Two lines: names, then values.
fn lines(text: &mut Text, head: &str, row: &[(&str, i64)]) -> Result<(), Errno> {
    write!(text, "{head}:")?;
    for (name, _) in row {
        write!(text, " {name}")?;
    }
    write!(text, "\n{head}:")?;
    for (_, value) in row {
        write!(text, " {value}")?;
    }
    text.bytes(b"\n")
}

/// Counts of IP that both versions have.
fn of_ip(counters: &Counters, v6: bool) -> impl Fn(Count) -> i64 + '_ {
    move |what| counters.get(v6, what) as i64
}

/// Kinds of messages of ICMP, by their names (RFC 4293 for the older ones).
const MESSAGES: [(u8, &str, &str); 11] = [
    (3, "InDestUnreachs", "OutDestUnreachs"),
    (11, "InTimeExcds", "OutTimeExcds"),
    (12, "InParmProbs", "OutParmProbs"),
    (4, "InSrcQuenchs", "OutSrcQuenchs"),
    (5, "InRedirects", "OutRedirects"),
    (8, "InEchos", "OutEchos"),
    (0, "InEchoReps", "OutEchoReps"),
    (13, "InTimestamps", "OutTimestamps"),
    (14, "InTimestampReps", "OutTimestampReps"),
    (17, "InAddrMasks", "OutAddrMasks"),
    (18, "InAddrMaskReps", "OutAddrMaskReps"),
];

/// The same of ICMP for IPv6.
const MESSAGES_V6: [(u8, &str); 15] = [
    (1, "DestUnreachs"),
    (2, "PktTooBigs"),
    (3, "TimeExcds"),
    (4, "ParmProblems"),
    (128, "Echos"),
    (129, "EchoReplies"),
    (130, "GroupMembQueries"),
    (131, "GroupMembResponses"),
    (132, "GroupMembReductions"),
    (133, "RouterSolicits"),
    (134, "RouterAdvertisements"),
    (135, "NeighborSolicits"),
    (136, "NeighborAdvertisements"),
    (137, "Redirects"),
    (143, "MLDv2Reports"),
];

fn icmp(text: &mut Text, counters: &Counters) -> Result<(), Errno> {
    let get = of_ip(counters, false);
    let of_kind = |out: bool, kind: u8| i64::from(counters.messages(false, out, kind));
    let mut row: Row = Vec::from([
        ("InMsgs", get(Count::Messages)),
        ("InErrors", get(Count::WrongMessages)),
        ("InCsumErrors", get(Count::MessageChecksums)),
    ]);
    row.extend(MESSAGES.map(|(kind, name, _)| (name, of_kind(false, kind))));
    row.extend([("OutMsgs", get(Count::MessagesSent)), ("OutErrors", 0)]);
    row.extend(MESSAGES.map(|(kind, _, name)| (name, of_kind(true, kind))));
    lines(text, "Icmp", &row)?;
    // Those of each kind that there were.
    let (mut names, mut values) = (String::new(), String::new());
    for (out, direction) in [(false, "In"), (true, "Out")] {
        for kind in 0..=u8::MAX {
            let count = of_kind(out, kind);
            if count != 0 {
                names.push_str(&alloc::format!(" {direction}Type{kind}"));
                values.push_str(&alloc::format!(" {count}"));
            }
        }
    }
    match names.is_empty() {
        true => Ok(()),
        false => writeln!(text, "IcmpMsg:{names}\nIcmpMsg:{values}"),
    }
}

fn datagrams(counters: &Counters, v6: bool) -> [(&'static str, i64); 9] {
    let get = of_ip(counters, v6);
    [
        ("InDatagrams", get(Count::Datagrams)),
        ("NoPorts", get(Count::NoPort)),
        ("InErrors", get(Count::DatagramErrors)),
        ("OutDatagrams", get(Count::DatagramsSent)),
        ("RcvbufErrors", get(Count::DatagramsWithoutRoom)),
        ("SndbufErrors", 0),
        ("InCsumErrors", get(Count::DatagramChecksums)),
        ("IgnoredMulti", 0),
        ("MemErrors", 0),
    ]
}

/// `/proc/net/snmp`
pub fn snmp(text: &mut Text) -> Result<(), Errno> {
    let (counters, established) = counters();
    let get = of_ip(&counters, false);
    let row = [
        // It does not forward.
        ("Forwarding", 2),
        ("DefaultTTL", ip::HOPS.into()),
        ("InReceives", get(Count::Received)),
        ("InHdrErrors", get(Count::WrongHeaders)),
        ("InAddrErrors", get(Count::ForOthers)),
        ("ForwDatagrams", 0),
        ("InUnknownProtos", get(Count::UnknownProtocols)),
        ("InDiscards", 0),
        ("InDelivers", get(Count::Delivered)),
        ("OutRequests", get(Count::Sent)),
        ("OutDiscards", 0),
        ("OutNoRoutes", get(Count::NoWay)),
        ("ReasmTimeout", 0),
        ("ReasmReqds", get(Count::Parts)),
        ("ReasmOKs", get(Count::Joined)),
        ("ReasmFails", get(Count::NotJoined)),
        ("FragOKs", get(Count::Cut)),
        ("FragFails", 0),
        ("FragCreates", get(Count::PartsMade)),
    ];
    lines(text, "Ip", &row)?;
    icmp(text, &counters)?;
    let stream = |what| counters.streams(what) as i64;
    let row = [
        // Like Van Jacobson's; 200 ms to 120 s; without limit.
        ("RtoAlgorithm", 1),
        ("RtoMin", 200),
        ("RtoMax", 120_000),
        ("MaxConn", -1),
        ("ActiveOpens", stream(StreamCount::Asked)),
        ("PassiveOpens", stream(StreamCount::Answered)),
        ("AttemptFails", stream(StreamCount::Failed)),
        ("EstabResets", stream(StreamCount::Broken)),
        ("CurrEstab", established as i64),
        ("InSegs", stream(StreamCount::Received)),
        ("OutSegs", stream(StreamCount::Sent) - stream(StreamCount::Again)),
        ("RetransSegs", stream(StreamCount::Again)),
        ("InErrs", stream(StreamCount::Wrong)),
        ("OutRsts", stream(StreamCount::Resets)),
        ("InCsumErrors", stream(StreamCount::Checksums)),
    ];
    lines(text, "Tcp", &row)?;
    lines(text, "Udp", &datagrams(&counters, false))?;
    lines(text, "UdpLite", &datagrams(&counters, false).map(|(name, _)| (name, 0)))
}

/// `/proc/net/netstat`
pub fn netstat(text: &mut Text) -> Result<(), Errno> {
    let (counters, _) = counters();
    let get = of_ip(&counters, false);
    let row = [
        ("InOctets", get(Count::ReceivedBytes)),
        ("OutOctets", get(Count::SentBytes)),
    ];
    lines(text, "IpExt", &row)
}

/// `/proc/net/snmp6`
pub fn snmp6(text: &mut Text) -> Result<(), Errno> {
    let (counters, _) = counters();
    let get = of_ip(&counters, true);
    let mut row = |name: &str, value: i64| writeln!(text, "{name:<32}\t{value}");
    for (name, value) in [
        ("Ip6InReceives", get(Count::Received)),
        ("Ip6InHdrErrors", get(Count::WrongHeaders)),
        ("Ip6InAddrErrors", get(Count::ForOthers)),
        ("Ip6InUnknownProtos", get(Count::UnknownProtocols)),
        ("Ip6InDelivers", get(Count::Delivered)),
        ("Ip6OutForwDatagrams", 0),
        ("Ip6OutRequests", get(Count::Sent)),
        ("Ip6OutNoRoutes", get(Count::NoWay)),
        ("Ip6ReasmReqds", get(Count::Parts)),
        ("Ip6ReasmOKs", get(Count::Joined)),
        ("Ip6ReasmFails", get(Count::NotJoined)),
        ("Ip6FragOKs", get(Count::Cut)),
        ("Ip6FragFails", 0),
        ("Ip6FragCreates", get(Count::PartsMade)),
        ("Ip6InOctets", get(Count::ReceivedBytes)),
        ("Ip6OutOctets", get(Count::SentBytes)),
        ("Icmp6InMsgs", get(Count::Messages)),
        ("Icmp6InErrors", get(Count::WrongMessages)),
        ("Icmp6OutMsgs", get(Count::MessagesSent)),
        ("Icmp6OutErrors", 0),
        ("Icmp6InCsumErrors", get(Count::MessageChecksums)),
    ] {
        row(name, value)?;
    }
    for (out, direction) in [(false, "In"), (true, "Out")] {
        for (kind, name) in MESSAGES_V6 {
            let name = alloc::format!("Icmp6{direction}{name}");
            row(&name, counters.messages(true, out, kind).into())?;
        }
    }
    for (out, direction) in [(false, "In"), (true, "Out")] {
        for kind in 0..=u8::MAX {
            match counters.messages(true, out, kind) {
                0 => {}
                count => row(&alloc::format!("Icmp6{direction}Type{kind}"), count.into())?,
            }
        }
    }
    for (prefix, counts) in [("Udp6", true), ("UdpLite6", false)] {
        for (name, value) in datagrams(&counters, true) {
            row(&alloc::format!("{prefix}{name}"), if counts { value } else { 0 })?;
        }
    }
    Ok(())
}
