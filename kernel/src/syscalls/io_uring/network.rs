//! Requests about sockets: what the calls of [`sockets`](crate::syscalls::sockets) do, tried without waiting.
//!
//! As on Linux, `O_NONBLOCK` of the socket doesn't count: a request that can't be done waits, unless it says
//! `MSG_DONTWAIT`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents};
use pith_linux::io_uring::{ALLOCATE_INDEX, Entry, entry_flag, network, opcode};
use pith_linux::sockets::{MessageFlags, MessageHeader, Shutdown, SocketKind, family};
use pith_tcpip::wire::ip;

use super::operation::{Attempt, Buffers, Outcome, READABLE, WRITABLE, buffers};
use super::ring::{Provided, Ring};
use crate::fs::context;
use crate::fs::file::OpenFile;
use crate::memory::{Destination, IoSlice, Source, UserPointer, read_object, write_object};
use crate::net;
use crate::net::address::Address;
use crate::net::message::{Ancillary, Incoming, Outgoing};
use crate::net::socket::{self, Socket};
use crate::syscalls::sockets;

/// Data on its way from or to a socket.
pub(super) struct Transfer {
    buffers: Buffers,
    flags: MessageFlags,
    /// A notification follows (`SEND_ZC`).
    notifies: bool,
    /// Bytes that were moved already, for `MSG_WAITALL`.
    done: AtomicUsize,
    /// It was tried once.
    tried: AtomicBool,
}

/// What the header of a message to be sent says.
pub(super) struct Letter {
    address: Option<Address>,
    header: MessageHeader,
}

/// What the header of a message to be received says, and where the program has it.
pub(super) struct Envelope {
    place: UserPointer,
    header: MessageHeader,
    /// Each message comes into a buffer of its own, with a record of it in front.
    multishot: bool,
}

/// What is done with a socket.
pub(super) enum SocketOperation {
    Accept {
        address: UserPointer,
        length: UserPointer,
        flags: u32,
        /// Where it is registered, counted from 1; 0 for a descriptor.
        slot: u32,
        multishot: bool,
    },
    Connect {
        address: Box<Address>,
        /// An attempt has begun to make the connection.
        begun: AtomicBool,
    },
    Send(Transfer, Option<Box<Address>>),
    Receive {
        transfer: Transfer,
        multishot: bool,
    },
    SendMessage(Transfer, Box<Letter>),
    ReceiveMessage(Transfer, Box<Envelope>),
    /// The number says how.
    Shutdown(i32),
    Make {
        family: i32,
        kind: u32,
        protocol: i32,
        flags: OpenFlags,
        close_on_exec: bool,
        slot: u32,
    },
}

/// Whether an operation is one of these.
pub(super) fn is_known(operation: u8) -> bool {
    operation == opcode::SOCKET || needs_file(operation)
}

/// Whether an operation needs the file of its entry's descriptor.
pub(super) fn needs_file(operation: u8) -> bool {
    matches!(
        operation,
        opcode::SENDMSG
            | opcode::RECVMSG
            | opcode::ACCEPT
            | opcode::CONNECT
            | opcode::SEND
            | opcode::RECV
            | opcode::SHUTDOWN
            | opcode::SEND_ZC
            | opcode::SENDMSG_ZC
    )
}

fn refuse(wrong: bool) -> Result<(), Errno> {
    if wrong { Err(Errno::EINVAL) } else { Ok(()) }
}

impl SocketOperation {
    /// Reads what an entry says and points to.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn prepare(entry: &Entry) -> Result<Self, Errno> {
        let slot = entry.other_descriptor as u32;
        match entry.opcode {
            opcode::ACCEPT => prepare_accept(entry),
            opcode::CONNECT => {
                refuse(entry.length != 0 || entry.buffer != 0 || entry.operation_flags != 0 || slot != 0)?;
                Ok(Self::Connect {
                    address: Box::new(Address::read(UserPointer(entry.address), entry.offset as i32)?),
                    begun: AtomicBool::new(false),
                })
            }
            opcode::SHUTDOWN => {
                refuse(entry.offset != 0 || entry.address != 0 || entry.operation_flags != 0)?;
                refuse(entry.buffer != 0 || slot != 0)?;
                Ok(Self::Shutdown(entry.length as i32))
            }
            opcode::SOCKET => {
                refuse(entry.address != 0 || entry.operation_flags != 0 || entry.buffer != 0)?;
                let (kind, flags, close_on_exec) = sockets::split_kind(entry.offset as u32)?;
                refuse(slot != 0 && close_on_exec)?;
                Ok(Self::Make {
                    family: entry.descriptor,
                    kind,
                    protocol: entry.length as i32,
                    flags,
                    close_on_exec,
                    slot,
                })
            }
            opcode::SEND | opcode::SENDMSG | opcode::SEND_ZC | opcode::SENDMSG_ZC => prepare_sending(entry),
            _ => prepare_receiving(entry),
        }
    }

    /// The events for which the socket is waited for.
    pub(super) fn events(&self) -> PollEvents {
        match self {
            Self::Accept { .. } | Self::Receive { .. } | Self::ReceiveMessage(..) => READABLE,
            Self::Connect { .. } | Self::Send(..) | Self::SendMessage(..) => WRITABLE,
            Self::Shutdown(_) | Self::Make { .. } => PollEvents::empty(),
        }
    }

    /// Whether it may have more than one result.
    pub(super) fn is_multishot(&self) -> bool {
        match self {
            Self::Accept { multishot, .. } | Self::Receive { multishot, .. } => *multishot,
            Self::ReceiveMessage(_, envelope) => envelope.multishot,
            _ => false,
        }
    }

    /// Whether a second completion tells that the memory may be changed again.
    pub(super) fn notifies(&self) -> bool {
        match self {
            Self::Send(transfer, _) | Self::SendMessage(transfer, _) => transfer.notifies,
            _ => false,
        }
    }

    /// Whether it may have to sleep: a local socket that connects waits for room at the listener.
    pub(super) fn may_sleep(&self) -> bool {
        matches!(self, Self::Connect { address, .. } if address.family() == Some(family::UNIX))
    }

    /// Tries it. `open` is the entry's file. `again`: it has had to wait already.
    pub(super) fn attempt(&self, ring: &Ring, open: Option<&Arc<OpenFile>>, again: bool) -> Attempt {
        let socket = || open.ok_or(Errno::EBADF).and_then(|open| socket::of(open));
        let result = match self {
            Self::Make { .. } => self.make(ring),
            _ => socket().map(|socket| self.run(ring, &**socket, again)),
        };
        result.unwrap_or_else(|errno| Attempt::Done(Outcome::error(errno)))
    }

    fn run(&self, ring: &Ring, socket: &dyn Socket, again: bool) -> Attempt {
        if self.notifies() && !lets_memory_be_shared(socket) {
            return Attempt::Done(Outcome::error(Errno::EOPNOTSUPP));
        }
        match self {
            Self::Accept { .. } => self.accept(ring, socket),
            Self::Connect { address, begun } => {
                let sleeps = again && self.may_sleep();
                match socket.connect(address, !sleeps) {
                    Err(Errno::EAGAIN) if !sleeps => Attempt::Wait,
                    Err(Errno::EINPROGRESS) => {
                        begun.store(true, Ordering::Relaxed);
                        Attempt::Wait
                    }
                    // Unless it is another one's connection.
                    Err(Errno::EALREADY) if begun.load(Ordering::Relaxed) => Attempt::Wait,
                    result => Attempt::Done(result.map(|()| 0).into()),
                }
            }
            Self::Send(transfer, address) => transfer.run(ring, socket, |pieces, flags| {
                socket.send(Outgoing {
                    data: &mut Source::program(pieces),
                    address: address.as_deref().copied(),
                    ancillary: Ancillary::default(),
                    flags,
                })
            }),
            Self::SendMessage(transfer, letter) => transfer.run(ring, socket, |pieces, flags| {
                let ancillary = match transfer.moved() {
                    0 => sockets::read_control(&letter.header, socket.family())?,
                    // It went with the first part.
                    _ => Ancillary::default(),
                };
                socket.send(Outgoing {
                    data: &mut Source::program(pieces),
                    address: letter.address,
                    ancillary,
                    flags,
                })
            }),
            Self::Receive { transfer, multishot } => {
                let attempt = transfer.receive(ring, socket, |pieces, flags| {
                    let mut data = Destination::program(pieces);
                    socket.receive(&mut Incoming::new(&mut data, flags))
                });
                match attempt {
                    Attempt::Done(outcome) if *multishot && outcome.result > 0 => next(ring, outcome),
                    other => other,
                }
            }
            Self::ReceiveMessage(transfer, envelope) if envelope.multishot => {
                let mut ended = false;
                let attempt = transfer.receive(ring, socket, |pieces, flags| {
                    let (length, data) = receive_with_record(socket, &envelope.header, pieces, flags)?;
                    ended = data == 0;
                    Ok(length)
                });
                match attempt {
                    Attempt::Done(outcome) if outcome.result > 0 && !ended => next(ring, outcome),
                    other => other,
                }
            }
            Self::ReceiveMessage(transfer, envelope) => transfer.receive(ring, socket, |pieces, flags| {
                sockets::receive_into(socket, envelope.place, envelope.header, pieces, flags)
            }),
            Self::Shutdown(how) => {
                let how = Shutdown::from_number(*how).ok_or(Errno::EINVAL);
                Attempt::Done(how.and_then(|how| socket.shutdown(how)).map(|()| 0).into())
            }
            Self::Make { .. } => Attempt::Done(Outcome::error(Errno::EINVAL)),
        }
    }

    fn accept(&self, ring: &Ring, socket: &dyn Socket) -> Attempt {
        let Self::Accept {
            address,
            length,
            flags,
            slot,
            multishot,
        } = self
        else {
            return Attempt::Done(Outcome::error(Errno::EINVAL));
        };
        let room = match slot {
            // Who is out of descriptors does not lose the connection.
            0 => context::current().check_room(),
            _ => Ok(()),
        };
        let accepted = room
            .and_then(|()| sockets::accept_from(socket, true, *address, *length, *flags))
            .and_then(|(file, close_on_exec)| install(ring, file, close_on_exec, *slot));
        match accepted {
            Err(Errno::EAGAIN) => Attempt::Wait,
            Ok(place) if *multishot && !ring.overflows() => Attempt::Again(Ok(place).into()),
            result => Attempt::Done(result.into()),
        }
    }

    fn make(&self, ring: &Ring) -> Result<Attempt, Errno> {
        let Self::Make {
            family,
            kind,
            protocol,
            flags,
            close_on_exec,
            slot,
        } = self
        else {
            return Err(Errno::EINVAL);
        };
        let file = socket::open(net::create(*family, *kind, *protocol)?, *flags);
        let place = install(ring, file, *close_on_exec, *slot)?;
        Ok(Attempt::Done(Ok(place).into()))
    }
}

/// A result after which others come, unless a completion finds no room.
fn next(ring: &Ring, outcome: Outcome) -> Attempt {
    match ring.overflows() {
        true => Attempt::Done(outcome),
        false => Attempt::Again(outcome),
    }
}

/// Whether Linux would send from the program's memory itself: by TCP and UDP.
fn lets_memory_be_shared(socket: &dyn Socket) -> bool {
    matches!(socket.family(), family::INTERNET | family::INTERNET_6)
        && [ip::TCP, ip::UDP].map(i32::from).contains(&socket.protocol())
        && socket.kind() != SocketKind::Raw
}

/// Length of the record in front of a message (`struct io_uring_recvmsg_out`).
const RECORD: usize = 16;

/// Receives a message into one buffer: a record, room for the sender's address and for ancillary data as long as the
/// `header` says, and what is left for the data. Returns how much of the buffer counts, and how long the data is.
fn receive_with_record(
    socket: &dyn Socket,
    header: &MessageHeader,
    buffer: &[IoSlice],
    flags: MessageFlags,
) -> Result<(usize, usize), Errno> {
    let buffer = buffer.first().ok_or(Errno::EFAULT)?;
    let (name_room, control_room) = (header.name_length as usize, header.control_length as usize);
    let front = RECORD + name_room + control_room;
    let room = buffer.length.checked_sub(front).ok_or(Errno::EFAULT)?;
    let name = buffer.address + RECORD as u64;
    // Without room for it, nothing is told of the sender: the length stays 0.
    let mut parts = MessageHeader {
        name: if name_room == 0 { 0 } else { name },
        name_length: header.name_length,
        control: name + name_room as u64,
        control_length: header.control_length,
        ..MessageHeader::default()
    };
    let data = IoSlice {
        address: buffer.address + front as u64,
        length: room,
    };
    let received = sockets::receive_parts(socket, &mut parts, &[data], flags)?;
    let record = [
        parts.name_length,
        parts.control_length as u32,
        received as u32,
        parts.flags,
    ];
    write_object(UserPointer(buffer.address), &record)?;
    Ok((front + received.min(room), received))
}

/// Gives a new file a descriptor, or a place among the registered files.
fn install(ring: &Ring, file: Arc<OpenFile>, close_on_exec: bool, slot: u32) -> Result<usize, Errno> {
    match slot {
        0 => context::current()
            .add(file, close_on_exec, 0)
            .map(|descriptor| descriptor as usize),
        slot => ring.install_file(slot, file),
    }
}

fn prepare_accept(entry: &Entry) -> Result<SocketOperation, Errno> {
    let slot = entry.other_descriptor as u32;
    let multishot = entry.priority & network::ACCEPT_MULTISHOT != 0;
    refuse(entry.length != 0 || entry.buffer != 0 || entry.priority & !network::ACCEPT_MULTISHOT != 0)?;
    let (_, close_on_exec) = sockets::accept_flags(entry.operation_flags)?;
    refuse(slot != 0 && close_on_exec)?;
    // One place is not enough for several.
    refuse(multishot && slot != 0 && slot != ALLOCATE_INDEX)?;
    Ok(SocketOperation::Accept {
        address: UserPointer(entry.address),
        length: UserPointer(entry.offset),
        flags: entry.operation_flags,
        slot,
        multishot,
    })
}

fn prepare_sending(entry: &Entry) -> Result<SocketOperation, Errno> {
    let other = entry.other_descriptor as u32;
    let notifies = matches!(entry.opcode, opcode::SEND_ZC | opcode::SENDMSG_ZC);
    let registered = entry.priority & network::FIXED_BUFFER != 0;
    refuse(entry.priority & !(network::POLL_FIRST | network::FIXED_BUFFER) != 0)?;
    refuse(registered && entry.opcode != opcode::SEND_ZC)?;
    if notifies {
        refuse(entry.flags & entry_flag::CQE_SKIP_SUCCESS != 0 || entry.address3 != 0 || entry.padding != 0)?;
        if entry.flags & entry_flag::BUFFER_SELECT != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
    }
    // The program learns of a broken connection from the completion.
    let flags = MessageFlags::from_bits_truncate(entry.operation_flags) | MessageFlags::NO_SIGNAL;
    if matches!(entry.opcode, opcode::SEND | opcode::SEND_ZC) {
        // The length of the address is in the lower half.
        refuse(other >> 16 != 0)?;
        let address = match entry.offset {
            0 => None,
            address => Some(Box::new(Address::read(UserPointer(address), other as i32)?)),
        };
        return Ok(SocketOperation::Send(
            Transfer::new(buffers(entry, false)?, flags, notifies),
            address,
        ));
    }
    refuse(entry.offset != 0 || other != 0)?;
    let header: MessageHeader = read_object(UserPointer(entry.address))?;
    let letter = Letter {
        address: sockets::destination_of(&header)?,
        header,
    };
    let buffers = Buffers::Pieces(sockets::pieces_of(&header)?);
    Ok(SocketOperation::SendMessage(
        Transfer::new(buffers, flags, notifies),
        Box::new(letter),
    ))
}

fn prepare_receiving(entry: &Entry) -> Result<SocketOperation, Errno> {
    refuse(entry.offset != 0 || entry.other_descriptor != 0)?;
    refuse(entry.priority & !(network::POLL_FIRST | network::RECEIVE_MULTISHOT) != 0)?;
    let flags = MessageFlags::from_bits_truncate(entry.operation_flags);
    let multishot = entry.priority & network::RECEIVE_MULTISHOT != 0;
    let selects = entry.flags & entry_flag::BUFFER_SELECT != 0;
    refuse(multishot && (!selects || flags.contains(MessageFlags::WAIT_ALL)))?;
    if entry.opcode == opcode::RECV {
        // Of each buffer all is used.
        refuse(multishot && entry.length != 0)?;
        let transfer = Transfer::new(buffers(entry, false)?, flags, false);
        return Ok(SocketOperation::Receive { transfer, multishot });
    }
    let place = UserPointer(entry.address);
    let header: MessageHeader = read_object(place)?;
    let longest = RECORD as u64 + u64::from(header.name_length);
    // Linux counts with signed numbers of 32 bits here.
    if multishot && i32::try_from(longest.saturating_add(header.control_length)).is_err() {
        return Err(Errno::EOVERFLOW);
    }
    let pieces = sockets::pieces_of(&header)?;
    let buffers = if selects {
        refuse(pieces.len() > 1)?;
        // Only its length counts.
        Buffers::Selected(entry.buffer, pieces.first().map_or(0, |piece| piece.length))
    } else {
        Buffers::Pieces(pieces)
    };
    let envelope = Box::new(Envelope {
        place,
        header,
        multishot,
    });
    let transfer = Transfer::new(buffers, flags, false);
    Ok(SocketOperation::ReceiveMessage(transfer, envelope))
}

/// What is left of memory of which some bytes are done.
fn rest(pieces: &[IoSlice], mut done: usize) -> Vec<IoSlice> {
    let mut rest = Vec::new();
    for piece in pieces {
        let skipped = done.min(piece.length);
        done -= skipped;
        if skipped < piece.length {
            rest.push(IoSlice {
                address: piece.address + skipped as u64,
                length: piece.length - skipped,
            });
        }
    }
    rest
}

impl Transfer {
    fn new(buffers: Buffers, flags: MessageFlags, notifies: bool) -> Self {
        Self {
            buffers,
            flags,
            notifies,
            done: AtomicUsize::new(0),
            tried: AtomicBool::new(false),
        }
    }

    fn moved(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    fn waits(&self) -> bool {
        !self.flags.contains(MessageFlags::DO_NOT_WAIT)
    }

    /// The outcome of a transfer that is over. A short one stops what is linked behind if all was asked for.
    fn over(&self, moved: usize, wanted: usize) -> Attempt {
        let mut outcome = Outcome::from(Ok(moved));
        outcome.failed = self.flags.contains(MessageFlags::WAIT_ALL) && moved < wanted;
        Attempt::Done(outcome)
    }

    /// Moves data with `step`, which doesn't wait.
    fn run(
        &self,
        ring: &Ring,
        socket: &dyn Socket,
        mut step: impl FnMut(&[IoSlice], MessageFlags) -> Result<usize, Errno>,
    ) -> Attempt {
        let pieces = match self.buffers.pieces(ring) {
            Ok(pieces) => pieces,
            Err(errno) => return Attempt::Done(Outcome::error(errno)),
        };
        let wanted: usize = pieces.iter().map(|piece| piece.length).sum();
        let goes_on = self.waits()
            && self.flags.contains(MessageFlags::WAIT_ALL)
            && !self.flags.contains(MessageFlags::PEEK)
            && matches!(socket.kind(), SocketKind::Stream | SocketKind::SequencedPackets);
        let flags = self.flags | MessageFlags::DO_NOT_WAIT;
        loop {
            let before = self.moved();
            let result = match before {
                0 => step(pieces, flags),
                _ => step(&rest(pieces, before), flags),
            };
            match result {
                Ok(moved) if goes_on && moved > 0 && before + moved < wanted => {
                    self.done.store(before + moved, Ordering::Relaxed);
                }
                Ok(moved) => return self.over(before + moved, wanted),
                Err(Errno::EAGAIN) if self.waits() => return Attempt::Wait,
                Err(errno) if before == 0 => return Attempt::Done(Outcome::error(errno)),
                Err(_) => return self.over(before, wanted),
            }
        }
    }

    /// As [`Self::run`], or into one of the provided buffers, which is used once: what `MSG_WAITALL` misses stays away.
    /// As on Linux, that there is none counts at the first attempt, and then only when there is something to receive.
    fn receive(
        &self,
        ring: &Ring,
        socket: &dyn Socket,
        mut step: impl FnMut(&[IoSlice], MessageFlags) -> Result<usize, Errno>,
    ) -> Attempt {
        let Buffers::Selected(group, length) = self.buffers else {
            return self.run(ring, socket, step);
        };
        if self.tried.swap(true, Ordering::Relaxed) && !socket.readiness().intersects(READABLE) {
            return Attempt::Wait;
        }
        let Some(provided) = ring.take_buffer(group) else {
            return Attempt::Done(Outcome::error(Errno::ENOBUFS));
        };
        let piece = part(&provided, length);
        match step(&[piece], self.flags | MessageFlags::DO_NOT_WAIT) {
            Ok(moved) if moved > 0 => match self.over(moved, piece.length) {
                Attempt::Done(outcome) => Attempt::Done(Outcome {
                    flags: provided.completion_flags(),
                    ..outcome
                }),
                other => other,
            },
            result => {
                ring.give_buffer_back(group, provided);
                match result {
                    Err(Errno::EAGAIN) if self.waits() => Attempt::Wait,
                    result => Attempt::Done(result.into()),
                }
            }
        }
    }
}

/// The part of a provided buffer that may be used: so many bytes, or all if that is 0.
fn part(provided: &Provided, length: usize) -> IoSlice {
    let whole = provided.length as usize;
    IoSlice {
        address: provided.address,
        length: if length == 0 { whole } else { whole.min(length) },
    }
}
