//! One connection that is carried: bytes from the client to the router and back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::sockopt;

/// Bytes that are read at a time, and most that are kept for a side that does not take them.
pub(super) const BUFFER: usize = 64 * 1024;

/// How many times one connection may read before others have their turn.
const TURNS: usize = 8;

/// The two ends of a connection that is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Router,
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    /// What was read and could not be written yet.
    pending: Vec<u8>,
    /// Something came.
    began: bool,
    /// Nothing more comes.
    ended: bool,
    /// The other side was told so.
    told: bool,
}

impl Direction {
    /// Carries what there is. Stops where it would wait, and after some turns. The end is told only if `may_end`.
    fn pump(
        &mut self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        may_end: bool,
        scratch: &mut [u8],
    ) -> io::Result<()> {
        for _ in 0..TURNS {
            while !self.pending.is_empty() {
                match would_block(to.write(&self.pending))? {
                    Some(written) => drop(self.pending.drain(..written)),
                    None => return Ok(()),
                }
            }
            if self.ended {
                break;
            }
            let length = match would_block(from.read(scratch))? {
                Some(0) => {
                    self.ended = true;
                    break;
                }
                Some(length) => length,
                None => return Ok(()),
            };
            self.began = true;
            // Mostly all of it is taken at once, and nothing has to be kept.
            let written = would_block(to.write(&scratch[..length]))?.unwrap_or(0);
            self.pending.extend_from_slice(&scratch[written..length]);
        }
        if self.ended && self.pending.is_empty() && !self.told && may_end {
            self.told = true;
            // Who has closed meanwhile is found out by the other direction.
            match to.shutdown(Shutdown::Write) {
                Err(error) if error.kind() != ErrorKind::NotConnected => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether reading would be of use.
    fn reads(&self) -> bool {
        !self.ended && self.pending.is_empty()
    }

    /// Whether writing would be of use.
    fn writes(&self) -> bool {
        !self.pending.is_empty()
    }
}

/// `None` for what would have to wait.
fn would_block<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A connection that is carried.
#[derive(Debug)]
pub(super) struct Pair {
    client: TcpStream,
    router: TcpStream,
    inward: Direction,
    outward: Direction,
    /// It is so old that the machine must have answered.
    settled: bool,
    /// What the poll was asked to watch, for the client and for the router; nothing means that it does not know them.
    watched: [EventFlags; 2],
}

impl Pair {
    pub(super) fn new(client: TcpStream, router: TcpStream) -> Self {
        Self {
            client,
            router,
            inward: Direction::default(),
            outward: Direction::default(),
            settled: false,
            watched: [EventFlags::empty(); 2],
        }
    }

    /// Carries what there is, both ways. False when both are at their end.
    ///
    /// # Errors
    /// A side was reset.
    pub(super) fn pump(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        self.outward
            .pump(&self.router, &self.client, true, scratch)?;
        let may_end = self.is_established();
        self.inward
            .pump(&self.client, &self.router, may_end, scratch)?;
        Ok(!(self.inward.told && self.outward.told))
    }

    /// Whether the machine has answered, as far as can be known: it has sent something, or there was time enough.
    pub(super) fn is_established(&self) -> bool {
        self.settled || self.outward.began || self.outward.ended
    }

    /// There was time enough.
    pub(super) fn settle(&mut self) {
        self.settled = true;
    }

    /// Asks the poll for what is of use now. A socket of which nothing is wanted is not watched at all, since it would
    /// report again and again that it is closed.
    pub(super) fn watch(&mut self, poll: BorrowedFd<'_>, tokens: [u64; 2]) -> io::Result<()> {
        let wanted = [
            flags(self.inward.reads(), self.outward.writes()),
            flags(self.outward.reads(), self.inward.writes()),
        ];
        let sockets = [&self.client, &self.router];
        for side in 0..2 {
            let (socket, data) = (sockets[side], EventData::new_u64(tokens[side]));
            match (self.watched[side].is_empty(), wanted[side].is_empty()) {
                (true, true) => {}
                (true, false) => epoll::add(poll, socket, data, wanted[side])?,
                (false, true) => epoll::delete(poll, socket)?,
                (false, false) if self.watched[side] == wanted[side] => {}
                (false, false) => epoll::modify(poll, socket, data, wanted[side])?,
            }
            self.watched[side] = wanted[side];
        }
        Ok(())
    }

    /// Resets both sides: one of them was, and the other must not take it for an orderly end.
    pub(super) fn reset(&self) {
        reset(&self.client);
        reset(&self.router);
    }
}

/// Makes closing a reset.
pub(super) fn reset(socket: &TcpStream) {
    // If this fails, an orderly end is all that is left.
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

fn flags(reads: bool, writes: bool) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, reads);
    flags.set(EventFlags::OUT, writes);
    flags
}
