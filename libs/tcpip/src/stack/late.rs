//! What is left of connections that have ended: a record for each, and not too many of them.

use super::*;
use crate::tcp::{Late as Step, TimeWait};

/// A record.
#[derive(Debug)]
pub(super) struct Late {
    tuple: Tuple,
    record: TimeWait,
    sharing: Sharing,
    /// Type of service, or traffic class, of what is sent.
    service: u8,
    /// When [`Stack::expire`] looks at it, at the latest.
    armed: Instant,
}

impl<B: Buffer> Stack<B> {
    /// A connection is over but for late segments: a record takes its place. If there are too many, none does, as on
    /// Linux.
    pub(super) fn leave(&mut self, handle: Handle, now: Instant) {
        let Ok(socket) = self.tcp_mut(handle) else {
            return;
        };
        let (sharing, orphaned) = (socket.sharing, socket.orphaned);
        let TcpState::Connected(connection) = &mut socket.state else {
            return;
        };
        let Some(record) = connection.remains(now) else {
            return;
        };
        let tuple = (connection.local(), connection.remote());
        let service = connection.options().marking(tuple.1).service;
        connection.detach();
        socket.detached = true;
        let armed = record.until();
        let late = Late {
            tuple,
            record,
            sharing,
            service,
            armed,
        };
        let number = match self.late.count() < self.limits.late {
            true => self.late.insert(late),
            false => None,
        };
        match number {
            Some(number) => {
                // The address stays held.
                self.directory.insert(tuple, Place::Late(number));
                self.timers.insert((armed, Timer::Late(number)));
            }
            None => {
                self.directory.remove(&tuple, Place::Socket(handle));
                self.let_go(tuple.0, sharing);
            }
        }
        if orphaned {
            self.forget(handle, tuple);
        } else {
            self.give_up_port(handle, tuple.0);
        }
    }

    pub(super) fn drop_late(&mut self, number: u32) {
        if let Some(late) = self.late.remove(number) {
            self.timers.remove(&(late.armed, Timer::Late(number)));
            self.directory.remove(&late.tuple, Place::Late(number));
            self.let_go(late.tuple.0, late.sharing);
        }
    }

    pub(super) fn expire_late(&mut self, number: u32, now: Instant) {
        let Some(late) = self.late.get_mut(number) else {
            return;
        };
        let until = late.record.until();
        if until > now {
            late.armed = until;
            self.timers.insert((until, Timer::Late(number)));
        } else {
            self.drop_late(number);
        }
    }

    /// A segment for a record has come. Gives the first number for a new connection if it asks for one.
    pub(super) fn receive_late(
        &mut self,
        number: u32,
        header: &tcp::Header,
        length: usize,
        now: Instant,
    ) -> Option<Sequence> {
        let late = self.late.get_mut(number)?;
        let tuple = late.tuple;
        let step = late.record.receive(header, length, now);
        // It may last shorter than it would have.
        let until = late.record.until();
        if until < late.armed {
            self.timers.remove(&(late.armed, Timer::Late(number)));
            late.armed = until;
            self.timers.insert((until, Timer::Late(number)));
        }
        match step {
            Step::Ignore => {}
            Step::Acknowledge => self.acknowledge_late(number, now),
            Step::End { reset } => {
                self.drop_late(number);
                if reset {
                    self.refuse(tuple, header, length, now);
                }
            }
            Step::Reopen(first) => {
                if self.find_listener(&tuple).is_some() {
                    self.drop_late(number);
                    return Some(first);
                }
                self.acknowledge_late(number, now);
            }
        }
        None
    }

    fn acknowledge_late(&mut self, number: u32, now: Instant) {
        if let Some(late) = self.late.get(number) {
            let (local, remote) = late.tuple;
            let ports = (local.port(), remote.port());
            let header = late.record.acknowledgement(ports, now);
            // The number of hops is forgotten, as on Linux.
            let marking = ip::Marking {
                service: late.service,
                ..ip::Marking::default()
            };
            self.send_segment((local, remote), marking, Segment::plain(header), now);
        }
    }

    /// Whether an outgoing connection may have a pair of addresses: nobody has, or it is only remembered, is of this
    /// machine itself, and can be told from a new one (`net.ipv4.tcp_tw_reuse` is 2).
    pub(super) fn is_free(&self, tuple: &Tuple, now: Instant) -> bool {
        match self.directory.find(tuple) {
            None => true,
            Some(Place::Late(number)) => {
                tuple.1.ip().to_canonical().is_loopback() && self.reusable(number, now).is_some()
            }
            Some(_) => false,
        }
    }

    /// The first number of an outgoing connection in the place of a record.
    pub(super) fn reusable(&self, number: u32, now: Instant) -> Option<Sequence> {
        self.late.get(number)?.record.may_be_reused(now)
    }
}
