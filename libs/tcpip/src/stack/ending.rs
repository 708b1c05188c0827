//! The end of a machine: its connections end as those of a program do that exits.

use super::*;

impl<B: Buffer> Stack<B> {
    /// Nobody will read or write any more: closes all sockets, as [`Self::close`] does. What connections were given is
    /// still sent.
    pub fn close_all(&mut self, now: Instant) {
        // Listeners first: what they have not handed out ends with them.
        for connected in [false, true] {
            let handles: Vec<Handle> = self
                .sockets
                .iter()
                .filter(|(_, socket)| connected_in(socket).is_some() == connected)
                .map(|(handle, _)| handle)
                .collect();
            for handle in handles {
                self.close(handle, now);
            }
        }
    }

    /// What peers have not acknowledged of all connections: bytes of data, and one for each end.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.sockets
            .iter()
            .filter_map(|(_, socket)| connected_in(socket))
            .map(|connection| {
                let ends = matches!(
                    connection.state(),
                    State::FinWait1 | State::Closing | State::LastAck
                );
                connection.unacknowledged() + usize::from(ends)
            })
            .sum()
    }
}

fn connected_in<B: Buffer>(socket: &Socket<B>) -> Option<&Connection<B>> {
    match socket {
        Socket::Tcp(Tcp {
            state: TcpState::Connected(connection),
            ..
        }) => Some(connection),
        _ => None,
    }
}
