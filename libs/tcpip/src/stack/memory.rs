//! How much the stack may hold, and what it does when that is too much.

use super::*;

/// How much there may be of what peers and programs can make.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of data that wait in connections (`net.ipv4.tcp_mem`).
    pub memory: usize,
    /// Connections that are only remembered (`tcp_max_tw_buckets`).
    pub late: usize,
    /// Connections without a program (`tcp_max_orphans`).
    pub orphans: usize,
    /// Connections that wait to be accepted, for each listener (`net.core.somaxconn`).
    pub backlog: usize,
}

impl Limits {
    /// For a machine with so many bytes of memory.
    pub fn for_memory(bytes: usize) -> Self {
        let count = (bytes >> 17).clamp(256, 65_536);
        Self {
            memory: bytes / 8,
            late: count,
            orphans: count,
            backlog: 4096,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::for_memory(512 * 1024 * 1024)
    }
}

impl<B: Buffer> Stack<B> {
    /// Sets how much there may be.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.check_memory();
    }

    /// Bytes of data that wait in connections.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Connections, requests, connections that are only remembered, and connections without a program.
    pub fn counts(&self) -> [usize; 4] {
        [
            self.sockets.count(),
            self.requests.count(),
            self.late.count(),
            self.orphans,
        ]
    }

    /// Charges a socket for its data.
    pub(super) fn charge(&mut self, handle: Handle) {
        let Some(Socket::Tcp(socket)) = self.sockets.get_mut(handle) else {
            return;
        };
        let memory = match &socket.state {
            TcpState::Connected(connection) => connection.memory(),
            _ => 0,
        };
        let before = core::mem::replace(&mut socket.charged, memory);
        self.memory = self.memory - before + memory;
        self.check_memory();
    }

    /// If there is too much, what waits behind gaps goes, and buffers and windows are small until there is less by much.
    pub(super) fn check_memory(&mut self) {
        let limit = self.limits.memory;
        let scarce = if self.scarce {
            self.memory > limit / 4 * 3
        } else {
            self.memory > limit
        };
        if scarce == self.scarce {
            return;
        }
        self.scarce = scarce;
        for (handle, socket) in self.sockets.iter_mut() {
            if let Socket::Tcp(Tcp {
                state: TcpState::Connected(connection),
                charged,
                ..
            }) = socket
            {
                let could = noticeable(connection);
                connection.set_scarce(scarce);
                // A program that waits for room hears of no acknowledgement if there is nothing left to acknowledge.
                if could != noticeable(connection) {
                    self.events.push_back(handle);
                }
                let before = core::mem::replace(charged, connection.memory());
                self.memory = self.memory - before + *charged;
            }
        }
    }
}
