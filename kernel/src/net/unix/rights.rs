//! Open files that travel in messages (`SCM_RIGHTS`).
//!
//! A socket in a message may itself have messages with sockets in its inbox, and so on in a circle: then nobody can
//! ever receive them, and they keep each other alive. [`collect`] finds such circles. A socket whose only references
//! are messages is a candidate; if it can't be reached from any message that lies elsewhere than in the inbox of a
//! candidate, it is garbage, and what lies in its inbox is thrown away.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pith_linux::Errno;
use pith_sorted_map::SortedMap;
use spin::Mutex;

use super::UnixSocket;
use super::queue::Packet;
use crate::fs::file::OpenFile;
use crate::net::socket;
use crate::task::{self, Capabilities, Limits};

/// Local sockets that are in messages, by their address: how often.
struct InFlight {
    socket: Weak<UnixSocket>,
    count: usize,
}

static IN_FLIGHT: Mutex<BTreeMap<u64, Box<InFlight>>> = Mutex::new(BTreeMap::new());
/// Files of any kind in messages.
static FILES: AtomicUsize = AtomicUsize::new(0);

/// So many sockets in messages make sending more look for garbage first (`UNIX_INFLIGHT_TRIGGER_GC`).
const MANY: usize = 16_000;

fn unix_socket(file: &OpenFile) -> Option<&UnixSocket> {
    let socket: &dyn Any = &**socket::of(file).ok()?;
    socket.downcast_ref()
}

fn key(socket: &UnixSocket) -> u64 {
    core::ptr::from_ref(socket).addr() as u64
}

/// Open files in a message.
pub struct Rights(Vec<Arc<OpenFile>>);

impl Rights {
    /// Puts files into a message. `None` if there are none.
    ///
    /// # Errors
    /// `ETOOMANYREFS` if more are under way than the process may have open, unless it is root's.
    pub fn new(files: Vec<Arc<OpenFile>>) -> Result<Option<Self>, Errno> {
        if files.is_empty() {
            return Ok(None);
        }
        let limit = task::current_process().limit(Limits::OPEN_FILES);
        let privileged = || task::has_capability(Capabilities::RESOURCES | Capabilities::ADMINISTRATION);
        if FILES.load(Ordering::Relaxed) as u64 > limit && !privileged() {
            return Err(Errno::ETOOMANYREFS);
        }
        FILES.fetch_add(files.len(), Ordering::Relaxed);
        let mut many = false;
        for socket in files.iter().filter_map(|file| unix_socket(file)) {
            let mut in_flight = IN_FLIGHT.lock();
            let entry = in_flight.entry(key(socket)).or_insert_with(|| {
                Box::new(InFlight {
                    socket: socket.itself.clone(),
                    count: 0,
                })
            });
            entry.count += 1;
            many |= in_flight.len() > MANY;
        }
        if many {
            collect();
        }
        Ok(Some(Self(files)))
    }

    /// The files, which stay in the message too.
    pub fn files(&self) -> &[Arc<OpenFile>] {
        &self.0
    }

    /// They are no longer under way.
    fn land(&self) {
        FILES.fetch_sub(self.0.len(), Ordering::Relaxed);
        for socket in self.0.iter().filter_map(|file| unix_socket(file)) {
            let mut in_flight = IN_FLIGHT.lock();
            let key = key(socket);
            if let Some(entry) = in_flight.get_mut(&key) {
                entry.count -= 1;
                if entry.count == 0 {
                    in_flight.remove(&key);
                }
            }
        }
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.land();
            discard(core::mem::take(&mut self.0));
        }
    }
}

/// Files that are to be closed, and whether somebody is at it.
struct Discarded {
    files: Vec<Arc<OpenFile>>,
    busy: bool,
}

static DISCARDED: Mutex<Discarded> = Mutex::new(Discarded {
    files: Vec::new(),
    busy: false,
});

/// Closes files one after the other. A socket that is closed so may discard more: they wait for their turn, so that
/// a long chain does not need a deep stack.
fn discard(mut files: Vec<Arc<OpenFile>>) {
    let mut discarded = DISCARDED.lock();
    discarded.files.append(&mut files);
    if discarded.busy {
        return;
    }
    discarded.busy = true;
    while let Some(file) = discarded.files.pop() {
        drop(discarded);
        drop(file);
        discarded = DISCARDED.lock();
    }
    discarded.busy = false;
}

/// Adds the keys of all sockets in the messages of an inbox to `found`, those of connections that wait there included.
/// These connections themselves are added to `held`.
fn look_into_inbox(socket: &UnixSocket, found: &mut Vec<u64>, held: &mut Vec<Arc<UnixSocket>>) {
    let first = held.len();
    {
        let content = socket.inbox.content.lock();
        let rights = content.packets.iter().flat_map(|packet| &packet.rights);
        let sockets = rights.flat_map(Rights::files).filter_map(|file| unix_socket(file));
        found.extend(sockets.map(key));
        held.extend(content.pending.iter().cloned());
    }
    // Connections that were not accepted have no descriptor: nothing waits at them in turn.
    for index in first..held.len() {
        let connection = held[index].clone();
        look_into_inbox(&connection, found, held);
    }
}

static COLLECTING: AtomicBool = AtomicBool::new(false);

/// A socket that may be garbage.
struct Candidate {
    socket: Arc<UnixSocket>,
    /// Messages with it that lie elsewhere than in the inbox of a candidate.
    elsewhere: usize,
    /// The sockets in the messages of its inbox.
    inbox: Vec<u64>,
    reachable: bool,
}

/// Throws away what lies in the inboxes of sockets that can't be reached any more.
pub fn collect() {
    if IN_FLIGHT.lock().is_empty() || COLLECTING.swap(true, Ordering::Acquire) {
        return;
    }
    // Connections that may be accepted and closed meanwhile: with the last reference to one messages go, whose files have to
    // land.
    let mut held = Vec::new();
    let garbage = find_garbage(&mut held);
    COLLECTING.store(false, Ordering::Release);
    drop((garbage, held));
}

fn find_garbage(held: &mut Vec<Arc<UnixSocket>>) -> Vec<Packet> {
    // Held all the time: what is taken out of a message counts as being elsewhere until it has landed.
    let in_flight = IN_FLIGHT.lock();
    let mut candidates: SortedMap<u64, Candidate> = SortedMap::new();
    for (&key, entry) in in_flight.iter() {
        let Some(socket) = entry.socket.upgrade() else { continue };
        let references = socket.open.get().map_or(0, Weak::strong_count);
        if references == entry.count {
            let candidate = Candidate {
                socket,
                elsewhere: entry.count,
                inbox: Vec::new(),
                reachable: false,
            };
            candidates.insert(key, candidate);
        }
    }
    // Each inbox is looked into once: what is received from it afterwards was there, so that whoever can reach the inbox can
    // reach that too.
    let mut found = Vec::new();
    for candidate in candidates.values_mut() {
        look_into_inbox(&candidate.socket, &mut candidate.inbox, held);
        found.extend_from_slice(&candidate.inbox);
    }
    for key in found {
        if let Some(candidate) = candidates.get_mut(&key) {
            candidate.elsewhere = candidate.elsewhere.saturating_sub(1);
        }
    }
    let mut reached: Vec<u64> = Vec::new();
    for (&key, candidate) in candidates.iter_mut() {
        if candidate.elsewhere != 0 {
            candidate.reachable = true;
            reached.push(key);
        }
    }
    while let Some(key) = reached.pop() {
        let inbox = candidates
            .get_mut(&key)
            .map(|candidate| core::mem::take(&mut candidate.inbox));
        for key in inbox.into_iter().flatten() {
            if let Some(candidate) = candidates.get_mut(&key)
                && !candidate.reachable
            {
                candidate.reachable = true;
                reached.push(key);
            }
        }
    }
    let mut garbage = Vec::new();
    for candidate in candidates.values().filter(|candidate| !candidate.reachable) {
        throw_away(&candidate.socket, &mut garbage, held);
    }
    garbage
}

/// Takes the messages out of an inbox that nobody can reach.
fn throw_away(socket: &UnixSocket, garbage: &mut Vec<Packet>, held: &mut Vec<Arc<UnixSocket>>) {
    let first = held.len();
    {
        let mut content = socket.inbox.content.lock();
        let packets = core::mem::take(&mut content.packets);
        content.bytes = 0;
        garbage.extend(packets);
        held.extend(content.pending.iter().cloned());
    }
    for index in first..held.len() {
        let connection = held[index].clone();
        throw_away(&connection, garbage, held);
    }
}
