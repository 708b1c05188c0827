//! What requests do: from an entry of the submission queue to a result.

use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::events::{EventControl, EventRecord};
use pith_linux::files::{OpenFlags, PollEvents};
use pith_linux::io_uring::{Entry, cancel, entry_flag, network as socket_flag, opcode, poll, timeout};
use pith_linux::time::Timespec;

use super::network::{self, SocketOperation};
use super::request::{Pending, Request};
use super::ring::Ring;
use crate::fs::context;
use crate::fs::event_poll;
use crate::fs::file::{FlagChange, OpenFile, Place};
use crate::fs::path::Restrictions;
use crate::memory::{Destination, IoSlice, Source, UserPointer, read_object};
use crate::syscalls::{descriptors, files, memory, metadata, paths};
use crate::task::{self, Instant};

/// Events that are reported whether asked for or not.
const ALWAYS: PollEvents = PollEvents::ERROR.union(PollEvents::HANG_UP);
pub(super) const READABLE: PollEvents = PollEvents::IN.union(PollEvents::READ_NORMAL).union(ALWAYS);
pub(super) const WRITABLE: PollEvents = PollEvents::OUT.union(PollEvents::WRITE_NORMAL).union(ALWAYS);

/// The program's memory of a transfer.
pub(super) enum Buffers {
    /// Known from the start.
    Pieces(Vec<IoSlice>),
    /// As the most frequent case, without an allocation.
    Piece([IoSlice; 1]),
    /// A piece of a registered buffer.
    Registered {
        /// Its index.
        index: u16,
        /// The piece.
        piece: [IoSlice; 1],
    },
    /// One of the provided buffers of a group, and how much of it at most (0 for all).
    Selected(u16, usize),
}

impl Buffers {
    /// Memory that data is taken from.
    ///
    /// # Errors
    /// `EFAULT`: it is not registered. `EOPNOTSUPP`: provided buffers are for what comes in.
    pub(super) fn pieces(&self, ring: &Ring) -> Result<&[IoSlice], Errno> {
        match self {
            Self::Piece(piece) => Ok(piece),
            Self::Pieces(pieces) => Ok(pieces),
            Self::Registered { index, piece } => ring.check_registered(*index, piece[0]).map(|()| &piece[..]),
            Self::Selected(..) => Err(Errno::EOPNOTSUPP),
        }
    }
}

/// What the first two arguments of a call that end in `at` say.
pub(super) struct Named {
    directory: i32,
    path: Vec<u8>,
}

/// When a timeout is over.
#[derive(Clone, Copy)]
pub(super) struct Timeout {
    pub(super) deadline: Instant,
    /// That it is over counts as success.
    pub(super) is_success: bool,
}

/// Which requests are cancelled.
pub(super) enum Match {
    /// What the completion is known by.
    UserData(u64),
    /// The file.
    File(Arc<OpenFile>),
    /// Every request.
    Any,
}

pub(super) enum Operation {
    Nothing,
    Read {
        buffers: Buffers,
        offset: u64,
        flags: FlagChange,
    },
    Write {
        buffers: Buffers,
        offset: u64,
        flags: FlagChange,
    },
    Synchronise,
    SynchroniseRange {
        offset: i64,
        length: i64,
        flags: u32,
    },
    Poll {
        events: PollEvents,
        multishot: bool,
    },
    ChangePoll {
        user_data: u64,
        events: Option<(PollEvents, bool)>,
        new_user_data: Option<u64>,
    },
    Timeout {
        timeout: Timeout,
        /// Over after so many completions; 0 for no such number.
        count: u32,
    },
    ChangeTimeout {
        user_data: u64,
        new: Option<Timeout>,
        of_link: bool,
    },
    LinkTimeout(Timeout),
    Cancel {
        user_data: u64,
        flags: u32,
    },
    Allocate {
        mode: u32,
        start: i64,
        length: i64,
    },
    Open {
        named: Named,
        flags: OpenFlags,
        mode: u32,
        slot: u32,
    },
    Close {
        slot: u32,
    },
    UpdateFiles {
        descriptors: UserPointer,
        count: u32,
        offset: u64,
    },
    Status {
        named: Named,
        flags: i32,
        mask: u32,
        buffer: UserPointer,
    },
    AdviseFile {
        offset: i64,
        length: usize,
        advice: i32,
    },
    AdviseMemory {
        address: u64,
        length: usize,
        advice: i32,
    },
    ControlEvents {
        operation: i32,
        descriptor: i32,
        record: EventRecord,
    },
    Rename(Named, Named, u64),
    Remove(Named, i32),
    MakeDirectory(Named, u32),
    MakeSymlink(Vec<u8>, Named),
    MakeLink(Named, Named, i32),
    ProvideBuffers {
        address: u64,
        length: u32,
        count: u16,
        group: u16,
        first: u16,
    },
    RemoveBuffers {
        count: u16,
        group: u16,
    },
    Message {
        user_data: u64,
        result: u32,
    },
    Socket(SocketOperation),
}

/// What came of an attempt.
pub(super) enum Attempt {
    /// The request is over.
    Done(Outcome),
    /// There is a result, and more will come when something changes.
    More(Outcome),
    /// There is a result, and there may be another one already.
    Again(Outcome),
    /// Nothing yet: it is to be tried again when the file or the time has changed.
    Wait,
}

/// What a completion says.
#[derive(Clone, Copy)]
pub(super) struct Outcome {
    pub(super) result: i32,
    pub(super) flags: u32,
    /// What is linked behind must not start.
    pub(super) failed: bool,
}

impl From<Result<usize, Errno>> for Outcome {
    fn from(result: Result<usize, Errno>) -> Self {
        match result {
            Ok(value) => Self {
                result: value as i32,
                flags: 0,
                failed: false,
            },
            Err(errno) => Self::error(errno),
        }
    }
}

impl Outcome {
    pub(super) fn error(errno: Errno) -> Self {
        Self {
            result: -i32::from(errno.number()),
            flags: 0,
            failed: true,
        }
    }
}

fn named(directory: i32, address: u64) -> Result<Named, Errno> {
    Ok(Named {
        directory,
        path: paths::read_path(UserPointer(address))?,
    })
}

/// The time that a timeout's entry means.
fn read_timeout(address: u64, flags: u32) -> Result<Timeout, Errno> {
    let both = timeout::BOOTTIME | timeout::REALTIME;
    if flags & both == both {
        return Err(Errno::EINVAL);
    }
    let time: Timespec = read_object(UserPointer(address))?;
    if time.seconds < 0 || time.nanoseconds < 0 {
        return Err(Errno::EINVAL);
    }
    let nanoseconds = (time.seconds as u64)
        .saturating_mul(1_000_000_000)
        .saturating_add(time.nanoseconds as u64);
    let deadline = match (flags & timeout::ABSOLUTE != 0, flags & timeout::REALTIME != 0) {
        (false, _) => task::monotonic().after(nanoseconds),
        (true, true) => task::monotonic_at(nanoseconds),
        (true, false) => Instant(nanoseconds),
    };
    Ok(Timeout {
        deadline,
        is_success: flags & timeout::ETIME_SUCCESS != 0,
    })
}

/// Whether the memory lies in a registered buffer.
fn is_registered(entry: &Entry) -> bool {
    match entry.opcode {
        opcode::READ_FIXED | opcode::WRITE_FIXED => true,
        opcode::SEND_ZC => entry.priority & socket_flag::FIXED_BUFFER != 0,
        _ => false,
    }
}

fn piece(address: u64, length: usize) -> Result<IoSlice, Errno> {
    files::one_piece(UserPointer(address), length).map(|[piece]| piece)
}

pub(super) fn buffers(entry: &Entry, vectors: bool) -> Result<Buffers, Errno> {
    if entry.flags & entry_flag::BUFFER_SELECT != 0 {
        let length = if vectors {
            // One piece, of which only the length counts.
            let [_, length]: [u64; 2] = read_object(UserPointer(entry.address))?;
            if entry.length != 1 {
                return Err(Errno::EINVAL);
            }
            length as usize
        } else {
            entry.length as usize
        };
        return Ok(Buffers::Selected(entry.buffer, length));
    }
    Ok(match entry.opcode {
        _ if is_registered(entry) => Buffers::Registered {
            index: entry.buffer,
            piece: [piece(entry.address, entry.length as usize)?],
        },
        _ if vectors => Buffers::Pieces(files::pieces(UserPointer(entry.address), entry.length as i32)?),
        _ => Buffers::Piece([piece(entry.address, entry.length as usize)?]),
    })
}

/// Whether Pith has an operation, for `IORING_REGISTER_PROBE`.
pub(super) fn is_known(operation: u8) -> bool {
    matches!(
        operation,
        opcode::NOP..=opcode::SYNC_FILE_RANGE
            | opcode::TIMEOUT
            | opcode::TIMEOUT_REMOVE
            | opcode::ASYNC_CANCEL
            | opcode::LINK_TIMEOUT
            | opcode::FALLOCATE..=opcode::MADVISE
            | opcode::EPOLL_CTL
            | opcode::PROVIDE_BUFFERS
            | opcode::REMOVE_BUFFERS
            | opcode::RENAMEAT..=opcode::MSG_RING
    ) || network::is_known(operation)
}

/// Whether an operation needs the file of its entry's descriptor.
pub(super) fn needs_file(operation: u8) -> bool {
    matches!(
        operation,
        opcode::READV
            ..=opcode::POLL_ADD
                | opcode::SYNC_FILE_RANGE
                | opcode::FALLOCATE
                | opcode::READ
                | opcode::WRITE
                | opcode::FADVISE
                | opcode::MSG_RING
    ) || network::needs_file(operation)
}

impl Operation {
    /// Reads everything that an entry points to.
    ///
    /// # Errors
    /// What is wrong with the entry: the completion's result.
    pub(super) fn prepare(entry: &Entry) -> Result<Self, Errno> {
        let select = entry.flags & entry_flag::BUFFER_SELECT != 0;
        if select
            && !matches!(
                entry.opcode,
                opcode::READ | opcode::READV | opcode::RECV | opcode::RECVMSG
            )
        {
            return Err(Errno::EOPNOTSUPP);
        }
        let fixed = entry.flags & entry_flag::FIXED_FILE != 0;
        let address = UserPointer(entry.address);
        let refuse = |wrong: bool| if wrong { Err(Errno::EINVAL) } else { Ok(()) };
        Ok(match entry.opcode {
            opcode::NOP => Self::Nothing,
            opcode::READ | opcode::READV | opcode::READ_FIXED => Self::Read {
                buffers: buffers(entry, entry.opcode == opcode::READV)?,
                offset: entry.offset,
                flags: files::transfer_flags(entry.operation_flags as i32)?,
            },
            opcode::WRITE | opcode::WRITEV | opcode::WRITE_FIXED => Self::Write {
                buffers: buffers(entry, entry.opcode == opcode::WRITEV)?,
                offset: entry.offset,
                flags: files::transfer_flags(entry.operation_flags as i32)?,
            },
            opcode::FSYNC => {
                refuse(entry.address != 0 || entry.buffer != 0 || entry.operation_flags & !1 != 0)?;
                Self::Synchronise
            }
            opcode::SYNC_FILE_RANGE => {
                refuse(entry.address != 0 || entry.buffer != 0)?;
                Self::SynchroniseRange {
                    offset: entry.offset as i64,
                    length: entry.length.into(),
                    flags: entry.operation_flags,
                }
            }
            opcode::POLL_ADD => {
                refuse(entry.buffer != 0 || entry.offset != 0 || entry.address != 0)?;
                refuse(entry.length & !(poll::MULTISHOT | poll::LEVEL) != 0)?;
                let multishot = entry.length & poll::MULTISHOT != 0;
                refuse(multishot && entry.flags & entry_flag::CQE_SKIP_SUCCESS != 0)?;
                Self::Poll {
                    events: PollEvents::from_bits_truncate(entry.operation_flags as u16),
                    multishot,
                }
            }
            opcode::POLL_REMOVE => {
                let update = entry.length & (poll::UPDATE_EVENTS | poll::UPDATE_USER_DATA) != 0;
                refuse(entry.buffer != 0 || fixed)?;
                refuse(entry.length & !(poll::MULTISHOT | poll::UPDATE_EVENTS | poll::UPDATE_USER_DATA) != 0)?;
                // Whether to go on can be said only with events.
                refuse(entry.length == poll::MULTISHOT || !update && entry.offset != 0)?;
                let events = PollEvents::from_bits_truncate(entry.operation_flags as u16);
                Self::ChangePoll {
                    user_data: entry.address,
                    events: (entry.length & poll::UPDATE_EVENTS != 0)
                        .then_some((events, entry.length & poll::MULTISHOT != 0)),
                    new_user_data: (entry.length & poll::UPDATE_USER_DATA != 0).then_some(entry.offset),
                }
            }
            opcode::TIMEOUT | opcode::LINK_TIMEOUT => {
                let link = entry.opcode == opcode::LINK_TIMEOUT;
                let known = timeout::ABSOLUTE | timeout::BOOTTIME | timeout::REALTIME | timeout::ETIME_SUCCESS;
                refuse(entry.buffer != 0 || entry.length != 1 || link && entry.offset != 0)?;
                refuse(entry.operation_flags & !known != 0)?;
                let timeout = read_timeout(entry.address, entry.operation_flags)?;
                if link {
                    Self::LinkTimeout(timeout)
                } else {
                    Self::Timeout {
                        timeout,
                        count: entry.offset as u32,
                    }
                }
            }
            opcode::TIMEOUT_REMOVE => {
                refuse(fixed || entry.buffer != 0 || entry.length != 0)?;
                let update = entry.operation_flags & (timeout::UPDATE | timeout::LINK_UPDATE) != 0;
                let clocks = timeout::ABSOLUTE | timeout::BOOTTIME | timeout::REALTIME;
                let known = if update {
                    timeout::UPDATE | timeout::LINK_UPDATE | clocks
                } else {
                    0
                };
                refuse(entry.operation_flags & !known != 0)?;
                Self::ChangeTimeout {
                    user_data: entry.address,
                    new: update
                        .then(|| read_timeout(entry.offset, entry.operation_flags))
                        .transpose()?,
                    of_link: entry.operation_flags & timeout::LINK_UPDATE != 0,
                }
            }
            opcode::ASYNC_CANCEL => {
                let known = cancel::ALL | cancel::DESCRIPTOR | cancel::ANY | cancel::FIXED;
                let flags = entry.operation_flags;
                refuse(entry.offset != 0 || entry.other_descriptor != 0 || flags & !known != 0)?;
                refuse(flags & cancel::DESCRIPTOR != 0 && flags & cancel::ANY != 0)?;
                Self::Cancel {
                    user_data: entry.address,
                    flags,
                }
            }
            opcode::FALLOCATE => {
                refuse(entry.buffer != 0 || entry.operation_flags != 0)?;
                Self::Allocate {
                    mode: entry.length,
                    start: entry.offset as i64,
                    length: entry.address as i64,
                }
            }
            opcode::OPENAT => {
                refuse(entry.buffer != 0)?;
                if fixed {
                    return Err(Errno::EBADF);
                }
                let flags = OpenFlags::from_bits_truncate(entry.operation_flags);
                let slot = entry.other_descriptor as u32;
                refuse(slot != 0 && flags.contains(OpenFlags::CLOSE_ON_EXEC))?;
                Self::Open {
                    named: named(entry.descriptor, entry.address)?,
                    flags,
                    mode: entry.length,
                    slot,
                }
            }
            opcode::CLOSE => {
                refuse(entry.offset != 0 || entry.address != 0 || entry.length != 0)?;
                refuse(entry.operation_flags != 0 || entry.buffer != 0)?;
                if fixed {
                    return Err(Errno::EBADF);
                }
                let slot = entry.other_descriptor as u32;
                refuse(slot != 0 && entry.descriptor != 0)?;
                Self::Close { slot }
            }
            opcode::FILES_UPDATE => {
                refuse(fixed || entry.operation_flags != 0 || entry.length == 0)?;
                Self::UpdateFiles {
                    descriptors: address,
                    count: entry.length,
                    offset: entry.offset,
                }
            }
            opcode::STATX => {
                refuse(entry.buffer != 0)?;
                if fixed {
                    return Err(Errno::EBADF);
                }
                let flags = entry.operation_flags as i32;
                Self::Status {
                    named: Named {
                        directory: entry.descriptor,
                        path: metadata::path_or_empty(address, flags)?,
                    },
                    flags,
                    mask: entry.length,
                    buffer: UserPointer(entry.offset),
                }
            }
            opcode::FADVISE => {
                refuse(entry.buffer != 0 || entry.address != 0)?;
                Self::AdviseFile {
                    offset: entry.offset as i64,
                    length: entry.length as usize,
                    advice: entry.operation_flags as i32,
                }
            }
            opcode::MADVISE => {
                refuse(entry.buffer != 0 || entry.offset != 0)?;
                Self::AdviseMemory {
                    address: entry.address,
                    length: entry.length as usize,
                    advice: entry.operation_flags as i32,
                }
            }
            opcode::EPOLL_CTL => {
                refuse(entry.buffer != 0)?;
                let operation = entry.length as i32;
                Self::ControlEvents {
                    operation,
                    descriptor: entry.offset as i32,
                    record: match EventControl::from_number(operation) {
                        Some(EventControl::Delete) => EventRecord::default(),
                        _ => read_object(address)?,
                    },
                }
            }
            opcode::RENAMEAT => {
                refuse(entry.buffer != 0)?;
                Self::Rename(
                    named(entry.descriptor, entry.address)?,
                    named(entry.length as i32, entry.offset)?,
                    entry.operation_flags.into(),
                )
            }
            opcode::UNLINKAT => {
                refuse(entry.offset != 0 || entry.length != 0 || entry.buffer != 0)?;
                Self::Remove(named(entry.descriptor, entry.address)?, entry.operation_flags as i32)
            }
            opcode::MKDIRAT => {
                refuse(entry.offset != 0 || entry.operation_flags != 0 || entry.buffer != 0)?;
                Self::MakeDirectory(named(entry.descriptor, entry.address)?, entry.length)
            }
            opcode::SYMLINKAT => {
                refuse(entry.length != 0 || entry.operation_flags != 0 || entry.buffer != 0)?;
                Self::MakeSymlink(paths::read_path(address)?, named(entry.descriptor, entry.offset)?)
            }
            opcode::LINKAT => {
                refuse(entry.buffer != 0)?;
                Self::MakeLink(
                    named(entry.descriptor, entry.address)?,
                    named(entry.length as i32, entry.offset)?,
                    entry.operation_flags as i32,
                )
            }
            opcode::PROVIDE_BUFFERS => {
                refuse(entry.operation_flags != 0)?;
                let count = u16::try_from(entry.descriptor).map_err(|_| Errno::E2BIG)?;
                let bytes = u64::from(count) * u64::from(entry.length);
                if count == 0 {
                    return Err(Errno::E2BIG);
                }
                refuse(entry.offset > u16::MAX.into())?;
                if entry.offset + u64::from(count) > u64::from(u16::MAX) + 1 {
                    return Err(Errno::E2BIG);
                }
                if entry
                    .address
                    .checked_add(bytes)
                    .is_none_or(|end| i64::try_from(end).is_err())
                {
                    return Err(Errno::EFAULT);
                }
                Self::ProvideBuffers {
                    address: entry.address,
                    length: entry.length,
                    count,
                    group: entry.buffer,
                    first: entry.offset as u16,
                }
            }
            opcode::REMOVE_BUFFERS => {
                refuse(entry.operation_flags != 0 || entry.address != 0 || entry.length != 0 || entry.offset != 0)?;
                let count = u16::try_from(entry.descriptor).ok().filter(|count| *count != 0);
                Self::RemoveBuffers {
                    count: count.ok_or(Errno::EINVAL)?,
                    group: entry.buffer,
                }
            }
            opcode::MSG_RING => {
                // Sending files from ring to ring (`IORING_MSG_SEND_FD`) is not there.
                refuse(entry.buffer != 0 || entry.operation_flags != 0 || entry.address != 0)?;
                Self::Message {
                    user_data: entry.offset,
                    result: entry.length,
                }
            }
            other if network::is_known(other) => Self::Socket(SocketOperation::prepare(entry)?),
            _ => return Err(Errno::EINVAL),
        })
    }

    /// Whether a second completion tells that the memory may be changed again.
    pub(super) fn notifies(&self) -> bool {
        matches!(self, Self::Socket(operation) if operation.notifies())
    }

    /// The events for which a file is waited for.
    pub(super) fn events(&self) -> PollEvents {
        match self {
            Self::Read { .. } => READABLE,
            Self::Write { .. } => WRITABLE,
            Self::Poll { events, .. } => *events | ALWAYS,
            Self::Socket(operation) => operation.events(),
            _ => PollEvents::empty(),
        }
    }

    /// Whether it may have more than one result. Such a request is registered before the first look, so that no event
    /// is told twice and none is lost.
    pub(super) fn is_multishot(&self) -> bool {
        match self {
            Self::Poll { multishot, .. } => *multishot,
            Self::Socket(operation) => operation.is_multishot(),
            _ => false,
        }
    }

    /// Whether an attempt that is not the first may sleep, so that a thread of its own has to make it: opening a named pipe
    /// waits for who opens the other end, and connecting a local socket waits at the listener's queue instead of at its own.
    pub(super) fn may_sleep(&self) -> bool {
        match self {
            Self::Socket(operation) => operation.may_sleep(),
            Self::Open { flags, .. } => !flags.intersects(OpenFlags::NONBLOCKING | OpenFlags::PATH),
            _ => false,
        }
    }

    /// Whether it opens a named pipe in a way that Linux leaves to a thread without a first attempt, so that it waits for the
    /// other end: with what may change a directory or a file.
    pub(super) fn makes_named_pipe_wait(&self) -> bool {
        let Self::Open { named, flags, .. } = self else {
            return false;
        };
        self.may_sleep()
            && flags.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::TEMPORARY)
            && context::current()
                .find(named.directory, &named.path, true)
                .is_ok_and(|inode| inode.kind() == FileKind::Fifo)
    }
}

fn file_of(file: Option<&Arc<OpenFile>>) -> Result<&Arc<OpenFile>, Errno> {
    file.ok_or(Errno::EBADF)
}

/// Where a transfer happens: files without positions ignore what the entry says.
fn place(file: &OpenFile, offset: u64) -> Result<Place, Errno> {
    Ok(if offset == u64::MAX || !file.file()?.seekable() {
        Place::Current
    } else {
        Place::At(offset)
    })
}

/// The outcome of a transfer: short ones don't let go on what is linked behind.
fn transferred(result: Result<usize, Errno>, wanted: usize, file: &OpenFile, nowait: bool) -> Attempt {
    match result {
        Err(Errno::EAGAIN) if !nowait && file.file().is_ok_and(|file| file.wait_queue().is_some()) => Attempt::Wait,
        result => {
            let mut outcome = Outcome::from(result);
            outcome.failed |= result.is_ok_and(|done| done < wanted);
            Attempt::Done(outcome)
        }
    }
}

fn total(pieces: &[IoSlice]) -> usize {
    pieces.iter().map(|piece| piece.length).sum()
}

fn read(ring: &Ring, file: &OpenFile, buffers: &Buffers, offset: u64, flags: FlagChange) -> Attempt {
    let nowait = flags.more.contains(OpenFlags::NONBLOCKING);
    let run = |pieces: &[IoSlice]| {
        let place = match place(file, offset) {
            Ok(place) => place,
            Err(errno) => return Attempt::Done(Outcome::error(errno)),
        };
        let result = file.read_with(place, &mut Destination::program(pieces), flags.nonblocking());
        transferred(result, total(pieces), file, nowait)
    };
    match buffers {
        Buffers::Piece(piece) => run(piece),
        Buffers::Pieces(pieces) => run(pieces),
        Buffers::Registered { index, piece } => match ring.check_registered(*index, piece[0]) {
            Ok(()) => run(piece),
            Err(errno) => Attempt::Done(Outcome::error(errno)),
        },
        Buffers::Selected(group, length) => {
            let Some(provided) = ring.take_buffer(*group) else {
                return Attempt::Done(Outcome::error(Errno::ENOBUFS));
            };
            let whole = provided.length as usize;
            let piece = IoSlice {
                address: provided.address,
                length: if *length == 0 { whole } else { whole.min(*length) },
            };
            match run(&[piece]) {
                Attempt::Done(outcome) if outcome.result >= 0 => Attempt::Done(Outcome {
                    flags: provided.completion_flags(),
                    ..outcome
                }),
                other => {
                    ring.give_buffer_back(*group, provided);
                    other
                }
            }
        }
    }
}

fn write(ring: &Ring, file: &OpenFile, buffers: &Buffers, offset: u64, flags: FlagChange) -> Attempt {
    let nowait = flags.more.contains(OpenFlags::NONBLOCKING);
    let pieces = match buffers.pieces(ring) {
        Ok(pieces) => pieces,
        Err(errno) => return Attempt::Done(Outcome::error(errno)),
    };
    let result =
        place(file, offset).and_then(|place| file.write_with(place, &mut Source::program(pieces), flags.nonblocking()));
    transferred(result, total(pieces), file, nowait)
}

impl Request {
    /// Tries to do what the request asks for. `pending` is it, once it has had to wait.
    pub(super) fn attempt(&self, ring: &Arc<Ring>, pending: Option<&Pending>) -> Attempt {
        let file = self.file.as_ref();
        match &self.operation {
            Operation::Read { buffers, offset, flags } => match file_of(file) {
                Ok(file) => read(ring, file, buffers, *offset, *flags),
                Err(errno) => Attempt::Done(Outcome::error(errno)),
            },
            Operation::Write { buffers, offset, flags } => match file_of(file) {
                Ok(file) => write(ring, file, buffers, *offset, *flags),
                Err(errno) => Attempt::Done(Outcome::error(errno)),
            },
            Operation::Poll { events, multishot } => {
                let Ok(file) = file_of(file) else {
                    return Attempt::Done(Outcome::error(Errno::EBADF));
                };
                let (wanted, multishot) = pending.map_or((*events | ALWAYS, *multishot), |pending| pending.polled());
                let found = file.readiness() & wanted;
                let outcome = Outcome::from(Ok(found.bits().into()));
                match (found.is_empty(), multishot) {
                    (true, _) => Attempt::Wait,
                    (false, true) => Attempt::More(outcome),
                    (false, false) => Attempt::Done(outcome),
                }
            }
            Operation::Timeout { .. } => match pending {
                Some(pending) if pending.has_expired() => Attempt::Done(self.timed_out()),
                _ => Attempt::Wait,
            },
            // Only as part of a chain, where it is dealt with.
            Operation::LinkTimeout(_) => Attempt::Done(Outcome::error(Errno::EINVAL)),
            Operation::Socket(operation) => operation.attempt(ring, file, pending.is_some()),
            Operation::Open { .. } => {
                let first = pending.is_none() && self.operation.may_sleep();
                match self.open(ring, first) {
                    Err(Errno::EAGAIN) if first => Attempt::Wait,
                    result => Attempt::Done(result.into()),
                }
            }
            _ => Attempt::Done(self.perform(ring).into()),
        }
    }

    /// What a timeout says that is over.
    pub(super) fn timed_out(&self) -> Outcome {
        let (Operation::Timeout { timeout, .. } | Operation::LinkTimeout(timeout)) = &self.operation else {
            return Outcome::error(Errno::ETIME);
        };
        Outcome {
            failed: !timeout.is_success,
            ..Outcome::error(Errno::ETIME)
        }
    }

    /// Opens a file. `quickly`: without waiting, as Linux tries it first, so that one end of a named pipe is there without
    /// the other, or is refused with `ENXIO`.
    fn open(&self, ring: &Ring, quickly: bool) -> Result<usize, Errno> {
        let Operation::Open {
            named,
            flags,
            mode,
            slot,
        } = &self.operation
        else {
            return Err(Errno::EINVAL);
        };
        let files = context::current();
        if *slot == 0 {
            // Before anything is made or truncated, as on Linux.
            files.check_room()?;
        }
        let mode = (*mode & 0o7777) as u16;
        let mut tried = *flags;
        tried.set(
            OpenFlags::NONBLOCKING,
            quickly || flags.contains(OpenFlags::NONBLOCKING),
        );
        let file = files.open(named.directory, &named.path, tried, mode, Restrictions::empty())?;
        if quickly {
            file.set_flags(file.flags() - OpenFlags::NONBLOCKING);
        }
        if *slot != 0 {
            return ring.install_file(*slot, file);
        }
        let descriptor = files.add(file, flags.contains(OpenFlags::CLOSE_ON_EXEC), 0)?;
        Ok(descriptor as usize)
    }

    /// Does what is done at once.
    fn perform(&self, ring: &Arc<Ring>) -> Result<usize, Errno> {
        let file = self.file.as_ref();
        match &self.operation {
            Operation::Nothing => Ok(0),
            Operation::Synchronise => {
                file_of(file)?.file()?.synchronise()?;
                Ok(0)
            }
            Operation::SynchroniseRange { offset, length, flags } => {
                files::synchronise_range(file_of(file)?, *offset, *length, *flags)
            }
            Operation::ChangePoll {
                user_data,
                events,
                new_user_data,
            } => ring.change_poll(*user_data, *events, *new_user_data),
            Operation::ChangeTimeout {
                user_data,
                new,
                of_link,
            } => ring.change_timeout(*user_data, *new, *of_link),
            Operation::Cancel { user_data, flags } => {
                let what = if flags & cancel::ANY != 0 {
                    Match::Any
                } else if flags & cancel::DESCRIPTOR != 0 {
                    let fixed = self.is_fixed() || flags & cancel::FIXED != 0;
                    Match::File(ring.find_file(self.descriptor, fixed)?)
                } else {
                    Match::UserData(*user_data)
                };
                ring.cancel(&what, flags & (cancel::ALL | cancel::ANY) != 0)
            }
            Operation::Allocate { mode, start, length } => {
                files::allocate(file_of(file)?, (*mode).into(), *start, *length)
            }
            Operation::Close { slot: 0 } => descriptors::close(self.descriptor),
            Operation::Close { slot } => ring.remove_file(*slot - 1),
            Operation::UpdateFiles {
                descriptors,
                count,
                offset,
            } => ring.update_files(u32::try_from(*offset).map_err(|_| Errno::EINVAL)?, *descriptors, *count),
            Operation::Status {
                named,
                flags,
                mask,
                buffer,
            } => metadata::extended_status(named.directory, &named.path, *flags, (*mask).into(), *buffer),
            Operation::AdviseFile { offset, length, advice } => {
                files::advise(file_of(file)?, *offset, *length, *advice)
            }
            Operation::AdviseMemory {
                address,
                length,
                advice,
            } => memory::madvise(*address, *length, *advice),
            Operation::ControlEvents {
                operation,
                descriptor,
                record,
            } => {
                let files = context::current();
                let poll = files.file(self.descriptor)?;
                poll.file()?;
                let target = files.file(*descriptor)?;
                event_poll::control(
                    &poll,
                    EventControl::from_number(*operation),
                    *descriptor,
                    &target,
                    *record,
                )?;
                Ok(0)
            }
            Operation::Rename(old, new, flags) => {
                paths::rename_paths(old.directory, &old.path, new.directory, Ok(&new.path), *flags)
            }
            Operation::Remove(named, flags) => paths::remove(named.directory, &named.path, *flags),
            Operation::MakeDirectory(named, mode) => paths::make_directory(named.directory, &named.path, *mode),
            Operation::MakeSymlink(target, named) => paths::make_symlink(target, named.directory, &named.path),
            Operation::MakeLink(old, new, flags) => {
                paths::make_link(old.directory, &old.path, new.directory, Ok(&new.path), *flags)
            }
            Operation::ProvideBuffers {
                address,
                length,
                count,
                group,
                first,
            } => ring.provide_buffers(*address, *length, *count, *group, *first),
            Operation::RemoveBuffers { count, group } => ring.remove_buffers(*count, *group),
            Operation::Message { user_data, result } => {
                super::ring::of(file_of(file)?)
                    .map_err(|_| Errno::EBADFD)?
                    .receive(*user_data, *result as i32);
                Ok(0)
            }
            Operation::Read { .. }
            | Operation::Write { .. }
            | Operation::Poll { .. }
            | Operation::Open { .. }
            | Operation::Socket(_)
            | Operation::Timeout { .. }
            | Operation::LinkTimeout(_) => Err(Errno::EINVAL),
        }
    }
}
