//! How much there is of what, for those who want to know.

use super::*;

/// How much there is of what (`/proc/net/sockstat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sockets of IPv4, and of IPv6, that listen or have a connection: with a program or without.
    pub streams: [usize; 2],
    /// All sockets of TCP.
    pub all_streams: usize,
    /// Connections without a program.
    pub orphans: usize,
    /// Connections that are only remembered.
    pub late: usize,
    /// Bytes of data that wait in connections.
    pub stream_memory: usize,
    /// Datagram sockets of IPv4, and of IPv6, that have a port.
    pub datagrams: [usize; 2],
    /// Sockets of whole protocols of IPv4, and of IPv6.
    pub raws: [usize; 2],
    /// All sockets that are not of TCP.
    pub all_datagrams: usize,
    /// Bytes of memory that waiting datagrams keep.
    pub datagram_memory: usize,
    /// Packets of IPv4, and of IPv6, of which parts are missing.
    pub fragments: [usize; 2],
    /// Bytes of memory that parts of packets take, for each of the two.
    pub fragment_memory: [usize; 2],
}

impl<B: Buffer> Stack<B> {
    /// How much there is of what. It counts each socket.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage {
            orphans: self.orphans,
            late: self.late.count(),
            stream_memory: self.memory,
            ..Usage::default()
        };
        let version = |reach: Reach| usize::from(reach != Reach::V4);
        for (_, socket) in self.sockets.iter() {
            match socket {
                Socket::Tcp(socket) => {
                    usage.all_streams += 1;
                    let used = match &socket.state {
                        TcpState::Idle(_) => false,
                        TcpState::Listening(_) => true,
                        TcpState::Connected(connection) => connection.state() != State::Closed,
                    };
                    usage.streams[version(socket.reach)] += usize::from(used);
                }
                Socket::Udp(socket) => {
                    usage.all_datagrams += 1;
                    let used = socket.local.is_some_and(|local| local.port() != 0);
                    match socket.role {
                        Role::Datagrams => {
                            usage.datagrams[version(socket.reach)] += usize::from(used);
                            usage.datagram_memory += socket.queued;
                        }
                        Role::Raw { .. } => usage.raws[version(socket.reach)] += 1,
                        Role::Echoes => {}
                    }
                }
            }
        }
        for (whose, parts) in &self.fragments {
            let version = usize::from(whose.source.is_ipv6());
            usage.fragments[version] += 1;
            usage.fragment_memory[version] += parts.memory;
        }
        usage
    }
}
