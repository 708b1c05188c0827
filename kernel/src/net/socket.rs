//! Sockets as files: the trait that a family fulfils, and what all sockets have in common as open files.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicUsize, Ordering};

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags, PollEvents, Statfs};
use pith_linux::sockets::{MessageFlags, Shutdown, SocketKind, family, option};
use spin::Mutex;

use super::address::Address;
use super::controls;
use super::message::{Ancillary, Incoming, Outgoing};
use super::options::{Common, OptionValue};
use crate::fs::file::{File, Mappable, OpenFile, WriteAt};
use crate::fs::inode::{Inode, PathName, Replacement};
use crate::fs::metadata::{AttributeChange, Metadata, Timestamp};
use crate::fs::owner::Notices;
use crate::fs::{self, pipe};
use crate::memory::{Destination, Source, UserPointer};
use crate::task::WaitQueue;

/// `st_dev` of sockets.
const DEVICE: DeviceNumber = DeviceNumber::new(0, 8);
/// What `statfs(2)` tells as the type (`SOCKFS_MAGIC`).
const MAGIC: i64 = 0x534f_434b;

/// A socket of some family. The default methods answer what Linux answers for "not with this kind".
pub trait Socket: Any + Send + Sync {
    /// The family's number.
    fn family(&self) -> u16;

    /// The kind.
    fn kind(&self) -> SocketKind;

    /// The protocol's number.
    fn protocol(&self) -> i32 {
        0
    }

    /// The number of its inode.
    fn number(&self) -> u64;

    /// What all sockets have.
    fn common(&self) -> &Common;

    /// The last descriptor was closed.
    fn close(&self);

    /// The open file of the socket was made: it lives as long as the socket is in use.
    fn opened(&self, _open: &Arc<OpenFile>) {}

    /// `bind(2)`
    fn bind(&self, _address: &Address) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// `connect(2)`
    fn connect(&self, _address: &Address, _nonblocking: bool) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// `listen(2)`
    fn listen(&self, _backlog: i32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Takes the next connection (`accept(2)`).
    fn accept(&self, _nonblocking: bool) -> Result<Arc<dyn Socket>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// `getsockname(2)`
    fn local_address(&self) -> Result<Address, Errno>;

    /// `getpeername(2)`
    fn peer_address(&self) -> Result<Address, Errno>;

    /// What keeps it from sending whatever message, and is told before that is looked at.
    fn may_send(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Sends a message and returns how many bytes of it.
    fn send(&self, message: Outgoing<'_, '_>) -> Result<usize, Errno>;

    /// Receives a message and returns how many bytes.
    fn receive(&self, message: &mut Incoming<'_, '_>) -> Result<usize, Errno>;

    /// `shutdown(2)`
    fn shutdown(&self, how: Shutdown) -> Result<(), Errno>;

    /// What can be done without waiting.
    fn readiness(&self) -> PollEvents;

    /// Who waits for that to change.
    fn wait_queue(&self) -> &WaitQueue;

    /// `ioctl(2)`
    fn control(&self, _request: u32, _argument: UserPointer) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }

    /// Whether it is waiting for connections (`SO_ACCEPTCONN`).
    fn listens(&self) -> bool {
        false
    }

    /// An option that the family answers, of any level; `None` leaves it to [`Common`].
    fn option(&self, _level: i32, _name: i32) -> Option<Result<OptionValue, Errno>> {
        None
    }

    /// The same for an option whose value depends on the number that the program has put into its buffer.
    fn option_about(
        &self,
        _level: i32,
        _name: i32,
        _question: &dyn Fn() -> Result<i32, Errno>,
    ) -> Option<Result<OptionValue, Errno>> {
        None
    }

    /// What `mmap(2)` maps.
    fn mappable(&self) -> Result<Mappable, Errno> {
        Err(Errno::ENODEV)
    }

    /// Whether it does what an option of `SOL_SOCKET` says that not all families can do.
    fn takes_option(&self, name: i32) -> bool {
        !matches!(
            name,
            option::ATTACH_FILTER
                | option::DETACH_FILTER
                | option::LOCK_FILTER
                | option::BIND_TO_DEVICE
                | option::BIND_TO_INTERFACE
                | option::ZERO_COPY
        )
    }

    /// An option of `SOL_SOCKET` was set: see [`Self::common`].
    fn common_set(&self, _name: i32) {}

    /// Sets an option of a level other than `SOL_SOCKET`.
    fn set_option(&self, _level: i32, _name: i32, _value: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}

/// Sockets that are open, of all families.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// How many sockets are open, of all families.
pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// A socket as an open file.
pub struct SocketFile {
    socket: Arc<dyn Socket>,
}

impl SocketFile {
    fn new(socket: Arc<dyn Socket>) -> Self {
        COUNT.fetch_add(1, Ordering::Relaxed);
        Self { socket }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
        self.socket.close();
    }
}

/// Flags of a message that an ordinary read or write is.
fn flags_of(flags: OpenFlags) -> MessageFlags {
    if flags.contains(OpenFlags::NONBLOCKING) {
        MessageFlags::DO_NOT_WAIT
    } else {
        MessageFlags::empty()
    }
}

impl File for SocketFile {
    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        if to.remaining() == 0 {
            return Ok(0);
        }
        self.socket.receive(&mut Incoming::new(to, flags_of(flags)))
    }

    fn write(&self, _at: WriteAt, from: &mut Source<'_>, flags: OpenFlags) -> Result<(usize, u64), Errno> {
        let message = Outgoing {
            data: from,
            address: None,
            ancillary: Ancillary::default(),
            flags: flags_of(flags),
        };
        self.socket.send(message).map(|sent| (sent, 0))
    }

    fn control(&self, request: u32, argument: UserPointer) -> Result<usize, Errno> {
        match self.socket.control(request, argument) {
            Err(Errno::ENOTTY) => controls::control(request, argument, self.socket.family() == family::INTERNET),
            other => other,
        }
    }

    fn mappable(&self) -> Result<Mappable, Errno> {
        self.socket.mappable()
    }

    fn readiness(&self) -> PollEvents {
        self.socket.readiness()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.socket.wait_queue())
    }

    fn notices(&self) -> Option<Notices> {
        Some(Notices::Socket)
    }
}

/// The inode of a socket.
struct SocketInode {
    metadata: Mutex<Metadata>,
    /// What the attribute [`PROTOCOL_ATTRIBUTE`] tells.
    protocol_name: &'static str,
}

/// The only extended attribute of sockets: the name of the protocol, for tools that list sockets (`lsof(8)`).
const PROTOCOL_ATTRIBUTE: &[u8] = b"system.sockprotoname";

/// What Linux calls the protocol of a socket.
fn protocol_name(socket: &dyn Socket) -> &'static str {
    const ICMP: i32 = 1;
    const ICMP_V6: i32 = 58;
    match (socket.family(), socket.kind(), socket.protocol()) {
        (family::UNIX, SocketKind::Stream, _) => "UNIX-STREAM",
        (family::UNIX, ..) => "UNIX",
        (family::NETLINK, ..) => "NETLINK",
        (family::PACKET, ..) => "PACKET",
        (family::INTERNET, SocketKind::Stream, _) => "TCP",
        (family::INTERNET, SocketKind::Datagram, ICMP) => "PING",
        (family::INTERNET, SocketKind::Datagram, _) => "UDP",
        (family::INTERNET, ..) => "RAW",
        (_, SocketKind::Stream, _) => "TCPv6",
        (_, SocketKind::Datagram, ICMP_V6) => "PINGv6",
        (_, SocketKind::Datagram, _) => "UDPv6",
        _ => "RAWv6",
    }
}

impl Inode for SocketInode {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn statistics(&self) -> Statfs {
        Statfs {
            kind: MAGIC,
            ..pipe::statistics()
        }
    }

    fn metadata(&self) -> Metadata {
        *self.metadata.lock()
    }

    fn kind(&self) -> FileKind {
        FileKind::Socket
    }

    fn path(&self) -> PathName {
        PathName {
            bytes: fs::description("socket", self.metadata.lock().number),
            removed: false,
        }
    }

    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        Err(Errno::ENXIO)
    }

    fn change(&self, change: AttributeChange) -> Result<(), Errno> {
        self.metadata.lock().apply(&change);
        Ok(())
    }

    fn extended_attribute(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        match name == PROTOCOL_ATTRIBUTE {
            true => Ok([self.protocol_name.as_bytes(), &[0]].concat()),
            false => Err(Errno::EOPNOTSUPP),
        }
    }

    fn extended_attribute_names(&self) -> Vec<Box<[u8]>> {
        vec![PROTOCOL_ATTRIBUTE.into()]
    }

    fn set_extended_attribute(&self, name: &[u8], value: Option<&[u8]>, _: Replacement) -> Result<(), Errno> {
        // Linux leaves these to a security module. That there is none is an answer of its own where one is set only.
        match name.starts_with(b"security.") && value.is_none() {
            true => Err(Errno::EAGAIN),
            false => Err(Errno::EOPNOTSUPP),
        }
    }
}

/// Makes an open file of a socket. Of the flags, [`OpenFlags::NONBLOCKING`] counts.
pub fn open(socket: Arc<dyn Socket>, flags: OpenFlags) -> Arc<OpenFile> {
    let metadata = Metadata::of_current(DEVICE, socket.number(), FileKind::Socket, 0o777, Timestamp::now());
    let inode = Arc::new(SocketInode {
        metadata: Mutex::new(metadata),
        protocol_name: protocol_name(&*socket),
    });
    let flags = (flags & OpenFlags::NONBLOCKING) | OpenFlags::READ_WRITE;
    let file = Arc::new(SocketFile::new(socket.clone()));
    let open = OpenFile::new(inode, file, flags);
    socket.opened(&open);
    open
}

/// The socket behind an open file.
///
/// # Errors
/// `EBADF` for a description that only names a file, `ENOTSOCK` for what is no socket.
pub fn of(open: &OpenFile) -> Result<&Arc<dyn Socket>, Errno> {
    let file: &dyn Any = &**open.file()?;
    match file.downcast_ref::<SocketFile>() {
        Some(file) => Ok(&file.socket),
        None => Err(Errno::ENOTSOCK),
    }
}
