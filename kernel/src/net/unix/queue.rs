//! What lies between two sockets: packets that were sent and not yet received.
//!
//! A packet lies in the inbox of its receiver, and is charged to the outbox of its sender until it is consumed. The
//! program's memory is never touched while an inbox is locked: a reader takes a packet out, copies, and puts back what
//! is left; the socket's turn keeps other readers away meanwhile. No packet is dropped under a lock either, since that
//! may close files.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use pith_linux::files::PollEvents;
use pith_linux::sockets::PeerCredentials;
use spin::{Mutex, Once};

use super::UnixSocket;
use super::names::Name;
use super::rights::Rights;
use crate::task::WaitQueue;

/// Bytes that a packet costs its sender beside its data.
const PACKET_COST: usize = 768;
/// Least room of a packet of a stream, so that small writes share packets.
pub const SMALL: usize = 512;

/// Data that was sent, with what travels beside it.
pub struct Packet {
    /// The data.
    pub data: Vec<u8>,
    /// Bytes of it that were received.
    pub start: usize,
    /// Open files.
    pub rights: Option<Rights>,
    /// Who sent it, if sender or receiver wanted that to be known.
    pub credentials: Option<PeerCredentials>,
    /// When it came (of the wall clock, in nanoseconds), if its receiver wanted to know that by then; 0 if not.
    pub arrival: u64,
    charge: usize,
    outbox: Arc<Outbox>,
}

impl Packet {
    /// A packet that is charged to its sender.
    pub fn new(data: Vec<u8>, outbox: &Arc<Outbox>) -> Self {
        let charge = data.len() + PACKET_COST;
        outbox.charged.fetch_add(charge, Ordering::SeqCst);
        Self {
            data,
            start: 0,
            rights: None,
            credentials: None,
            arrival: 0,
            charge,
            outbox: outbox.clone(),
        }
    }

    /// What its sender is called by now, if it has a name.
    pub fn name(&self) -> Option<&Arc<Name>> {
        self.outbox.name.get()
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.data.len() - self.start
    }

    /// Adds data behind its own, if that makes no difference to anybody and needs no memory.
    pub fn append(&mut self, data: &[u8], outbox: &Arc<Outbox>, credentials: Option<PeerCredentials>) -> bool {
        if self.rights.is_some()
            || self.credentials != credentials
            || !Arc::ptr_eq(&self.outbox, outbox)
            || self.data.capacity() - self.data.len() < data.len()
        {
            return false;
        }
        self.data.extend_from_slice(data);
        let charge = data.len() + PACKET_COST;
        outbox.charged.fetch_add(charge, Ordering::SeqCst);
        self.charge += charge;
        true
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        self.outbox.release(self.charge);
    }
}

/// What a socket has sent and nobody has received yet, and who waits at the socket.
pub struct Outbox {
    charged: AtomicUsize,
    /// The most that may be charged: `SO_SNDBUF`.
    limit: AtomicUsize,
    /// Threads that wait for room.
    pub senders: WaitQueue,
    /// Who polls the socket.
    pub watchers: WaitQueue,
    /// The socket's name, once it has one.
    pub name: Once<Arc<Name>>,
}

/// What is told when there is room to write.
pub const WRITABLE: PollEvents = PollEvents::OUT
    .union(PollEvents::WRITE_NORMAL)
    .union(PollEvents::WRITE_BAND);
/// What is told when there is something to read.
pub const READABLE: PollEvents = PollEvents::IN.union(PollEvents::READ_NORMAL);

impl Outbox {
    /// An empty one.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            charged: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            senders: WaitQueue::new(),
            watchers: WaitQueue::new(),
            name: Once::new(),
        })
    }

    /// Changes the limit.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes that are charged.
    pub fn charged(&self) -> usize {
        self.charged.load(Ordering::SeqCst)
    }

    /// Whether another packet may be sent.
    pub fn has_room(&self) -> bool {
        self.charged() < self.limit.load(Ordering::Relaxed)
    }

    /// Whether what was charged last was within the limit but for itself: it may go although it exceeds it.
    pub fn fits_last(&self) -> bool {
        self.charged() <= self.limit.load(Ordering::Relaxed) + PACKET_COST
    }

    /// Whether so much room is there that whoever polls is told.
    pub fn is_writable(&self) -> bool {
        self.charged() * 4 <= self.limit.load(Ordering::Relaxed)
    }

    fn release(&self, charge: usize) {
        self.charged.fetch_sub(charge, Ordering::SeqCst);
        if self.is_writable() {
            self.senders.wake(WRITABLE);
            self.watchers.wake(WRITABLE);
        }
    }
}

/// The content of an inbox.
#[derive(Default)]
pub struct Content {
    /// What has arrived, in order.
    pub packets: VecDeque<Packet>,
    /// Packets that somebody has taken out to copy them, and may put back: until then they count as being here.
    pub taken: usize,
    /// Bytes in the packets, with those of one that is being copied.
    pub bytes: usize,
    /// Connections that nobody has accepted yet.
    pub pending: VecDeque<Arc<UnixSocket>>,
    /// Connections, or packets of strangers, beyond which it is full.
    pub backlog: usize,
    /// Nothing will arrive any more.
    pub shut: bool,
    /// The socket was closed.
    pub dead: bool,
    /// Memory of a packet that was received, for the next one.
    pub spare: Option<Vec<u8>>,
}

impl Content {
    /// Whether there is something to receive, now or when whoever copies of it is done.
    pub fn has_packets(&self) -> bool {
        !self.packets.is_empty() || self.taken != 0
    }

    /// Whether it is full for connections or packets of strangers.
    pub fn is_full(&self) -> bool {
        self.packets.len().max(self.pending.len()) > self.backlog
    }

    /// Memory for a small packet.
    pub fn small_buffer(&mut self) -> Result<Vec<u8>, pith_linux::Errno> {
        if let Some(spare) = self.spare.take() {
            return Ok(spare);
        }
        let mut buffer = Vec::new();
        buffer
            .try_reserve_exact(SMALL)
            .map_err(|_| pith_linux::Errno::ENOBUFS)?;
        Ok(buffer)
    }
}

/// Where what is sent to a socket arrives.
pub struct Inbox {
    /// What has arrived.
    pub content: Mutex<Content>,
    /// Threads that wait for more.
    pub receivers: WaitQueue,
    /// How many those are.
    pub waiting: AtomicUsize,
    /// Threads that wait until it is no longer full.
    pub room: WaitQueue,
}

impl Inbox {
    /// An empty one.
    pub fn new(backlog: usize) -> Self {
        Self {
            content: Mutex::new(Content {
                backlog,
                ..Content::default()
            }),
            receivers: WaitQueue::new(),
            waiting: AtomicUsize::new(0),
            room: WaitQueue::new(),
        }
    }

    /// Wakes a thread that waits for something to arrive.
    pub fn wake_receiver(&self) {
        if self.waiting.load(Ordering::SeqCst) != 0 {
            self.receivers.wake(READABLE);
        }
    }
}
