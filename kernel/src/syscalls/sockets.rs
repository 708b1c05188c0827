//! Sockets: `socket(2)`, `bind(2)`, `sendmsg(2)`, `recvmsg(2)` and their kin.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::offset_of;

use pith_linux::Errno;
use pith_linux::files::OpenFlags;
use pith_linux::sockets::{
    CONTROL_ALIGNMENT, ControlHeader, CountedMessageHeader, DESCRIPTORS_MAX, KIND_MASK, MESSAGES_MAX, MessageFlags,
    MessageHeader, PeerCredentials, Shutdown, control, family, level, option,
};
use pith_linux::time::Timespec;
use zerocopy::{FromBytes, IntoBytes};

use super::files;
use crate::fs::context;
use crate::fs::file::OpenFile;
use crate::memory::{
    Destination, IoSlice, Source, UserPointer, copy_from_user, copy_to_user, read_object, write_object,
};
use crate::net;
use crate::net::address::Address;
use crate::net::message::{Ancillary, ControlMessage, Incoming, Outgoing};
use crate::net::options::OptionValue;
use crate::net::socket::{self, Socket};
use crate::task::{self, Capabilities};

/// Most bytes of ancillary data that a message may have (`net.core.optmem_max`, in effect).
const CONTROL_MAX: u64 = 20_480;

/// The kind and the flags in the second argument of `socket(2)`.
pub(super) fn split_kind(kind: u32) -> Result<(u32, OpenFlags, bool), Errno> {
    let flags = kind & !KIND_MASK;
    let (close_on_exec, nonblocking) = (OpenFlags::CLOSE_ON_EXEC.bits(), OpenFlags::NONBLOCKING.bits());
    if flags & !(close_on_exec | nonblocking) != 0 {
        return Err(Errno::EINVAL);
    }
    let kept = OpenFlags::from_bits_truncate(flags & nonblocking);
    Ok((kind & KIND_MASK, kept, flags & close_on_exec != 0))
}

/// `socket(2)`
pub fn socket(family: i32, kind: i32, protocol: i32) -> Result<usize, Errno> {
    let (kind, flags, close_on_exec) = split_kind(kind as u32)?;
    let socket = net::create(family, kind, protocol)?;
    let descriptor = context::current().add(socket::open(socket, flags), close_on_exec, 0)?;
    Ok(descriptor as usize)
}

/// `socketpair(2)`
pub fn socketpair(family: i32, kind: i32, protocol: i32, descriptors: UserPointer) -> Result<usize, Errno> {
    let (kind, flags, close_on_exec) = split_kind(kind as u32)?;
    let files = context::current();
    // As on Linux, before anything else is looked at.
    files.check_room_for_pair()?;
    let [one, other] = net::create_pair(family, kind, protocol)?;
    let first = files.add(socket::open(one, flags), close_on_exec, 0)?;
    let second = match files.add(socket::open(other, flags), close_on_exec, 0) {
        Ok(second) => second,
        Err(errno) => {
            let _ = files.close(first);
            return Err(errno);
        }
    };
    if let Err(errno) = write_object(descriptors, &[first, second]) {
        let _ = files.close(first);
        let _ = files.close(second);
        return Err(errno);
    }
    Ok(0)
}

/// A socket, and its open file, which the caller keeps until it is done: another thread may close the descriptor meanwhile, and
/// with the last reference to the open file the socket is closed.
fn find(fd: i32) -> Result<(Arc<OpenFile>, Arc<dyn Socket>), Errno> {
    let open = context::current().file(fd)?;
    let socket = socket::of(&open)?.clone();
    Ok((open, socket))
}

fn is_nonblocking(open: &OpenFile) -> bool {
    open.flags().contains(OpenFlags::NONBLOCKING)
}

/// `bind(2)`
pub fn bind(fd: i32, address: UserPointer, length: i32) -> Result<usize, Errno> {
    let (_open, socket) = find(fd)?;
    socket.bind(&Address::read(address, length)?)?;
    Ok(0)
}

/// `connect(2)`
pub fn connect(fd: i32, address: UserPointer, length: i32) -> Result<usize, Errno> {
    let open = context::current().file(fd)?;
    open.file()?;
    // As on Linux, the address is looked at before what the descriptor is of.
    let address = Address::read(address, length)?;
    let result = socket::of(&open)?.connect(&address, is_nonblocking(&open));
    open.note_shortage(&result);
    result.map(|()| 0)
}

/// `listen(2)`
pub fn listen(fd: i32, backlog: i32) -> Result<usize, Errno> {
    let (_open, socket) = find(fd)?;
    socket.listen(backlog)?;
    Ok(0)
}

/// `accept(2)`
pub fn accept(fd: i32, address: UserPointer, length: UserPointer) -> Result<usize, Errno> {
    accept4(fd, address, length, 0)
}

/// `accept4(2)`
pub fn accept4(fd: i32, address: UserPointer, length: UserPointer, flags: u32) -> Result<usize, Errno> {
    let open = context::current().file(fd)?;
    open.file()?;
    accept_flags(flags)?;
    // Who is out of descriptors does not lose the connection.
    context::current().check_room()?;
    let socket = socket::of(&open)?;
    let (file, close_on_exec) = accept_from(&**socket, is_nonblocking(&open), address, length, flags)?;
    let descriptor = context::current().add(file, close_on_exec, 0)?;
    Ok(descriptor as usize)
}

/// The flags of `accept4(2)`: those of the file, and whether it is closed on exec.
///
/// # Errors
/// `EINVAL` for others.
pub(super) fn accept_flags(flags: u32) -> Result<(OpenFlags, bool), Errno> {
    let (kind, flags, close_on_exec) = split_kind(flags)?;
    if kind != 0 {
        return Err(Errno::EINVAL);
    }
    Ok((flags, close_on_exec))
}

/// Takes the next connection, tells whom it is with, and opens it. Says too whether it is closed on exec.
///
/// # Errors
/// As `accept4(2)`.
pub(super) fn accept_from(
    socket: &dyn Socket,
    nonblocking: bool,
    address: UserPointer,
    length: UserPointer,
    flags: u32,
) -> Result<(Arc<OpenFile>, bool), Errno> {
    let (flags, close_on_exec) = accept_flags(flags)?;
    let connection = socket.accept(nonblocking)?;
    let peer = connection.peer_address();
    let file = socket::open(connection, flags);
    if !address.is_null() {
        // As on Linux, one that has gone already has no name.
        peer.unwrap_or_else(|_| Address::new(&socket.family().to_ne_bytes()))
            .write(address, length)?;
    }
    Ok((file, close_on_exec))
}

/// `getsockname(2)`
pub fn getsockname(fd: i32, address: UserPointer, length: UserPointer) -> Result<usize, Errno> {
    let (_open, socket) = find(fd)?;
    socket.local_address()?.write(address, length)?;
    Ok(0)
}

/// `getpeername(2)`
pub fn getpeername(fd: i32, address: UserPointer, length: UserPointer) -> Result<usize, Errno> {
    let (_open, socket) = find(fd)?;
    socket.peer_address()?.write(address, length)?;
    Ok(0)
}

/// `shutdown(2)`
pub fn shutdown(fd: i32, how: i32) -> Result<usize, Errno> {
    let (_open, socket) = find(fd)?;
    socket.shutdown(Shutdown::from_number(how).ok_or(Errno::EINVAL)?)?;
    Ok(0)
}

/// `setsockopt(2)`
pub fn setsockopt(fd: i32, of_level: i32, name: i32, value: UserPointer, length: i32) -> Result<usize, Errno> {
    /// Longer values are cut: no option has one.
    const LONGEST: usize = 256;
    let (_open, socket) = find(fd)?;
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    let mut bytes = [0; LONGEST];
    let length = length.min(LONGEST);
    copy_from_user(&mut bytes[..length], value)?;
    match of_level {
        level::SOCKET if name == option::REUSE_PORT && family::is_internet(socket.family()) => {
            let value = bytes[..length].first_chunk().ok_or(Errno::EINVAL)?;
            socket.common().share_port(i32::from_ne_bytes(*value) != 0);
        }
        level::SOCKET if !socket.takes_option(name) => {
            crate::warning_once!(
                "a socket of family {} can't do what option {name} says: setsockopt answers EOPNOTSUPP",
                socket.family()
            );
            return Err(Errno::EOPNOTSUPP);
        }
        level::SOCKET => {
            socket.common().set_option(name, &bytes[..length])?;
            socket.common_set(name);
        }
        _ => socket.set_option(of_level, name, &bytes[..length])?,
    }
    Ok(0)
}

/// `getsockopt(2)`
pub fn getsockopt(fd: i32, of_level: i32, name: i32, value: UserPointer, length: UserPointer) -> Result<usize, Errno> {
    let (_open, socket) = find(fd)?;
    let room = usize::try_from(read_object::<i32>(length)?).map_err(|_| Errno::EINVAL)?;
    let question = || match room < size_of::<i32>() {
        true => Err(Errno::EINVAL),
        false => read_object(value),
    };
    let answer = socket.option_about(of_level, name, &question);
    let answer = match answer.or_else(|| socket.option(of_level, name)) {
        Some(answer) => answer?,
        None if of_level != level::SOCKET => return Err(Errno::EOPNOTSUPP),
        None => match name {
            option::KIND => OptionValue::Integer(socket.kind() as i32),
            option::DOMAIN => OptionValue::Integer(socket.family().into()),
            option::PROTOCOL => OptionValue::Integer(socket.protocol()),
            option::ACCEPTS_CONNECTIONS => OptionValue::Integer(socket.listens().into()),
            option::COOKIE => {
                if room < size_of::<u64>() {
                    return Err(Errno::EINVAL);
                }
                OptionValue::Bytes(socket.number().to_ne_bytes().to_vec())
            }
            option::PEER_NAME => {
                let peer = socket.peer_address().map_err(|_| Errno::ENOTCONN)?;
                if peer.bytes().len() < room {
                    return Err(Errno::EINVAL);
                }
                OptionValue::Bytes(peer.bytes().to_vec())
            }
            // Only local sockets know more.
            option::PEER_CREDENTIALS => OptionValue::Bytes(PeerCredentials::UNKNOWN.as_bytes().to_vec()),
            _ => socket.common().option(name)?,
        },
    };
    let bytes = match answer {
        // As on Linux, whoever has no room for a number gets one byte of it.
        OptionValue::Integer(number @ 0..=0xff) if of_level == level::IP && (1..size_of::<i32>()).contains(&room) => {
            Vec::from([number as u8])
        }
        OptionValue::Integer(number) => Vec::from(number.to_ne_bytes()),
        OptionValue::Bytes(bytes) => bytes,
    };
    let given = bytes.len().min(room);
    copy_to_user(value, &bytes[..given])?;
    write_object(length, &(given as i32))?;
    Ok(0)
}

/// The flags of a call, with those that follow from the file's.
fn flags_of(open: &OpenFile, flags: u32) -> MessageFlags {
    let mut flags = MessageFlags::from_bits_truncate(flags);
    flags.set(
        MessageFlags::DO_NOT_WAIT,
        flags.contains(MessageFlags::DO_NOT_WAIT) || is_nonblocking(open),
    );
    flags
}

/// `sendto(2)`
pub fn sendto(
    fd: i32,
    buffer: UserPointer,
    length: usize,
    flags: u32,
    address: UserPointer,
    address_length: i32,
) -> Result<usize, Errno> {
    let (open, socket) = find(fd)?;
    let address = match address.is_null() {
        true => None,
        false => Some(Address::read(address, address_length)?),
    };
    let piece = files::one_piece(buffer, length)?;
    let result = socket.send(Outgoing {
        data: &mut Source::program(&piece),
        address,
        ancillary: Ancillary::default(),
        flags: flags_of(&open, flags),
    });
    open.note_shortage(&result);
    result
}

/// `recvfrom(2)`
pub fn recvfrom(
    fd: i32,
    buffer: UserPointer,
    length: usize,
    flags: u32,
    address: UserPointer,
    address_length: UserPointer,
) -> Result<usize, Errno> {
    let (open, socket) = find(fd)?;
    let piece = files::one_piece(buffer, length)?;
    let mut data = Destination::program(&piece);
    let mut message = Incoming::new(&mut data, flags_of(&open, flags));
    let received = socket.receive(&mut message)?;
    if !address.is_null() {
        write_address(&message, address, address_length)?;
    }
    Ok(received)
}

fn write_address(message: &Incoming<'_, '_>, address: UserPointer, length: UserPointer) -> Result<(), Errno> {
    match &message.address {
        Some(found) => found.write(address, length),
        None => write_object(length, &0i32),
    }
}

/// The program's memory that a message's header names.
///
/// # Errors
/// `EMSGSIZE`, `EINVAL`, `EFAULT`.
pub(super) fn pieces_of(header: &MessageHeader) -> Result<Vec<IoSlice>, Errno> {
    let count = i32::try_from(header.vector_count).map_err(|_| Errno::EMSGSIZE)?;
    files::pieces(UserPointer(header.vectors), count).map_err(|errno| match errno {
        // More than 1024 pieces.
        Errno::EINVAL if count > 1024 => Errno::EMSGSIZE,
        other => other,
    })
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(CONTROL_ALIGNMENT)
}

const CONTROL_HEADER: usize = size_of::<ControlHeader>();

/// Reads the ancillary data that a program sends by a socket of a family. Only local sockets and netlink look at files and
/// credentials.
///
/// # Errors
/// As `sendmsg(2)`.
pub(super) fn read_control(header: &MessageHeader, family: u16) -> Result<Ancillary, Errno> {
    let mut ancillary = Ancillary::default();
    if header.control == 0 || header.control_length == 0 {
        return Ok(ancillary);
    }
    if header.control_length > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let mut bytes = alloc::vec![0; header.control_length as usize];
    copy_from_user(&mut bytes, UserPointer(header.control))?;
    let mut rest = &bytes[..];
    while rest.len() >= CONTROL_HEADER {
        let (head, _) = ControlHeader::read_from_prefix(rest).map_err(|_| Errno::EINVAL)?;
        let length = usize::try_from(head.length).map_err(|_| Errno::EINVAL)?;
        let content = rest.get(CONTROL_HEADER..length).ok_or(Errno::EINVAL)?;
        match (head.level, head.kind) {
            (level::SOCKET, control::RIGHTS | control::CREDENTIALS) if family::is_internet(family) => {}
            (level::SOCKET, control::RIGHTS) => {
                let files = context::current();
                for number in content.chunks_exact(size_of::<i32>()) {
                    let fd = number.first_chunk().map_or(-1, |bytes| i32::from_ne_bytes(*bytes));
                    ancillary.rights.push(files.file(fd)?);
                }
                if ancillary.rights.len() > DESCRIPTORS_MAX {
                    return Err(Errno::EINVAL);
                }
            }
            (level::SOCKET, control::CREDENTIALS) => {
                let credentials = PeerCredentials::read_from_bytes(content).map_err(|_| Errno::EINVAL)?;
                check_credentials(&credentials)?;
                ancillary.credentials = Some(credentials);
            }
            (level::SOCKET, _) => return Err(Errno::EINVAL),
            _ => ancillary.others.push(ControlMessage {
                level: head.level,
                kind: head.kind,
                bytes: content.to_vec(),
            }),
        }
        rest = rest.get(aligned(length)..).unwrap_or(&[]);
    }
    Ok(ancillary)
}

/// Who has the capabilities for it may say that it is anybody; others only who they are.
fn check_credentials(claimed: &PeerCredentials) -> Result<(), Errno> {
    let process = task::current_process();
    let own = task::credentials();
    let is_own = claimed.process == process.id as i32 || own.has(Capabilities::ADMINISTRATION);
    let user = own.users.contains(&claimed.user) || own.has(Capabilities::SET_USERS);
    let group = own.groups.contains(&claimed.group) || own.has(Capabilities::SET_GROUPS);
    match is_own && user && group {
        false => Err(Errno::EPERM),
        true if task::find_process(claimed.process as u32).is_none() => Err(Errno::ESRCH),
        true => Ok(()),
    }
}

/// Where a message is to be sent; `None` for where the socket is connected to.
///
/// # Errors
/// `EINVAL`, `EFAULT`.
pub(super) fn destination_of(header: &MessageHeader) -> Result<Option<Address>, Errno> {
    match header.name {
        0 => Ok(None),
        _ if header.name_length == 0 => Ok(None),
        name => Address::read(UserPointer(name), header.name_length as i32).map(Some),
    }
}

fn send_message(open: &OpenFile, socket: &dyn Socket, header: &MessageHeader, flags: u32) -> Result<usize, Errno> {
    let address = destination_of(header)?;
    let pieces = pieces_of(header)?;
    socket.may_send()?;
    let result = socket.send(Outgoing {
        data: &mut Source::program(&pieces),
        address,
        ancillary: read_control(header, socket.family())?,
        flags: flags_of(open, flags),
    });
    open.note_shortage(&result);
    result
}

/// `sendmsg(2)`
pub fn sendmsg(fd: i32, header: UserPointer, flags: u32) -> Result<usize, Errno> {
    let (open, socket) = find(fd)?;
    send_message(&open, &*socket, &read_object(header)?, flags)
}

/// Where the next of several messages is described.
fn nth(headers: UserPointer, index: usize) -> UserPointer {
    headers.offset((index * size_of::<CountedMessageHeader>()) as u64)
}

/// Notes how long one of several messages was.
fn write_length(headers: UserPointer, index: usize, length: usize) -> Result<(), Errno> {
    let place = nth(headers, index).offset(size_of::<MessageHeader>() as u64);
    write_object(place, &(length as u32))
}

/// `sendmmsg(2)`
pub fn sendmmsg(fd: i32, headers: UserPointer, count: u32, flags: u32) -> Result<usize, Errno> {
    let (open, socket) = find(fd)?;
    let mut done = 0;
    for index in 0..(count as usize).min(MESSAGES_MAX) {
        let sent = read_object(nth(headers, index))
            .and_then(|header: MessageHeader| send_message(&open, &*socket, &header, flags))
            .and_then(|length| write_length(headers, index, length));
        match sent {
            Ok(()) => done += 1,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Gives the program ancillary data. As on Linux, padding is not written, and what can't be written is left out: the data
/// has been received.
struct ControlWriter {
    place: UserPointer,
    left: usize,
    truncated: bool,
}

impl ControlWriter {
    /// Writes a header for `length` bytes of content. False if it can't be written.
    fn put_header(&self, of_level: i32, kind: i32, length: usize) -> bool {
        let header = ControlHeader {
            length: (CONTROL_HEADER + length) as u64,
            level: of_level,
            kind,
        };
        write_object(self.place, &header).is_ok()
    }

    /// Goes on behind `length` bytes of content.
    fn advance(&mut self, length: usize) {
        let used = aligned(CONTROL_HEADER + length).min(self.left);
        self.place = self.place.offset(used as u64);
        self.left -= used;
    }

    fn content(&self) -> UserPointer {
        self.place.offset(CONTROL_HEADER as u64)
    }

    fn put(&mut self, of_level: i32, kind: i32, content: &[u8]) {
        let Some(room) = self.left.checked_sub(CONTROL_HEADER) else {
            self.truncated = true;
            return;
        };
        let fitting = content.len().min(room);
        self.truncated |= fitting < content.len();
        if self.put_header(of_level, kind, fitting) && copy_to_user(self.content(), &content[..fitting]).is_ok() {
            self.advance(fitting);
        }
    }

    /// Opens as many files as fit in.
    fn put_files(&mut self, rights: &[Arc<OpenFile>], close_on_exec: bool) {
        let files = context::current();
        let fitting = self.left.saturating_sub(CONTROL_HEADER) / size_of::<i32>();
        let mut done = 0;
        for file in rights.iter().take(fitting) {
            let Ok(number) = files.add(file.clone(), close_on_exec, 0) else {
                break;
            };
            let place = self.content().offset((done * size_of::<i32>()) as u64);
            if write_object(place, &number).is_err() {
                let _ = files.close(number);
                break;
            }
            done += 1;
        }
        self.truncated |= done < rights.len();
        if done != 0 && self.put_header(level::SOCKET, control::RIGHTS, done * size_of::<i32>()) {
            self.advance(done * size_of::<i32>());
        }
    }
}

fn receive_message(open: &OpenFile, socket: &dyn Socket, place: UserPointer, flags: u32) -> Result<usize, Errno> {
    let header: MessageHeader = read_object(place)?;
    let pieces = pieces_of(&header)?;
    receive_into(socket, place, header, &pieces, flags_of(open, flags))
}

/// Receives a message as its header says, but into these pieces of memory, and tells at `place`, where the program has
/// the header, what came.
///
/// # Errors
/// As `recvmsg(2)`.
pub(super) fn receive_into(
    socket: &dyn Socket,
    place: UserPointer,
    mut header: MessageHeader,
    pieces: &[IoSlice],
    flags: MessageFlags,
) -> Result<usize, Errno> {
    let received = receive_parts(socket, &mut header, pieces, flags)?;
    // Nothing but what is told: the rest is the program's, and another thread may have changed it meanwhile.
    if header.name != 0 {
        let length = offset_of!(MessageHeader, name_length) as u64;
        write_object(place.offset(length), &header.name_length)?;
    }
    write_object(place.offset(offset_of!(MessageHeader, flags) as u64), &header.flags)?;
    let control_length = offset_of!(MessageHeader, control_length) as u64;
    write_object(place.offset(control_length), &header.control_length)?;
    Ok(received)
}

/// Receives a message to where a header says, and changes the header as Linux changes the program's.
pub(super) fn receive_parts(
    socket: &dyn Socket,
    header: &mut MessageHeader,
    pieces: &[IoSlice],
    flags: MessageFlags,
) -> Result<usize, Errno> {
    let mut data = Destination::program(pieces);
    let mut message = Incoming::new(&mut data, flags);
    let received = socket.receive(&mut message)?;
    if header.name != 0 {
        let found = message.address.unwrap_or(Address::EMPTY);
        let room = (header.name_length as usize).min(found.bytes().len());
        copy_to_user(UserPointer(header.name), &found.bytes()[..room])?;
        header.name_length = found.bytes().len() as u32;
    }
    let room = if header.control == 0 {
        0
    } else {
        header.control_length as usize
    };
    let mut writer = ControlWriter {
        place: UserPointer(header.control),
        left: room,
        truncated: false,
    };
    // As on Linux, what is known of the message comes before what its sender has added.
    for other in &message.ancillary.others {
        writer.put(other.level, other.kind, &other.bytes);
    }
    if let Some(credentials) = &message.ancillary.credentials {
        writer.put(level::SOCKET, control::CREDENTIALS, credentials.as_bytes());
    }
    let rights = core::mem::take(&mut message.ancillary.rights);
    if !rights.is_empty() {
        writer.put_files(&rights, flags.contains(MessageFlags::CLOSE_ON_EXEC));
    }
    header.control_length = (room - writer.left) as u64;
    let mut result = message.result | (flags & MessageFlags::CLOSE_ON_EXEC);
    result.set(MessageFlags::CONTROL_TRUNCATED, writer.truncated);
    header.flags = result.bits();
    Ok(received)
}

/// `recvmsg(2)`
pub fn recvmsg(fd: i32, header: UserPointer, flags: u32) -> Result<usize, Errno> {
    let (open, socket) = find(fd)?;
    receive_message(&open, &*socket, header, flags)
}

/// `recvmmsg(2)`
pub fn recvmmsg(fd: i32, headers: UserPointer, count: u32, flags: u32, timeout: UserPointer) -> Result<usize, Errno> {
    let (open, socket) = find(fd)?;
    let deadline = match timeout.is_null() {
        true => None,
        false => {
            let span = read_object::<Timespec>(timeout)?.to_nanoseconds()?;
            Some(task::monotonic().after(span))
        }
    };
    let once = MessageFlags::WAIT_FOR_ONE.bits();
    let mut flags_now = flags & !once;
    let mut done = 0;
    for index in 0..(count as usize).min(MESSAGES_MAX) {
        let received = receive_message(&open, &*socket, nth(headers, index), flags_now)
            .and_then(|length| write_length(headers, index, length));
        match received {
            Ok(()) => done += 1,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
        if flags & once != 0 {
            flags_now |= MessageFlags::DO_NOT_WAIT.bits();
        }
        // As on Linux, the time is looked at only between messages.
        if deadline.is_some_and(|deadline| task::monotonic() >= deadline) {
            break;
        }
    }
    if let Some(deadline) = deadline {
        let left = deadline.0.saturating_sub(task::monotonic().0);
        write_object(timeout, &Timespec::from_nanoseconds(left))?;
    }
    Ok(done)
}
