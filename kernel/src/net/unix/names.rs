//! Names of local sockets: paths of files, and abstract names that no file has (`unix(7)`).

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{AT_FDCWD, DeviceNumber};
use pith_linux::sockets::{SocketKind, UNIX_PATH_MAX, family};
use spin::Mutex;

use super::UnixSocket;
use crate::fs::context;
use crate::fs::inode::{Inode, NewFile};
use crate::fs::names;
use crate::fs::path;
use crate::fs::permission::{self, Access};
use crate::net::address::Address;

/// Where the name starts in an address: behind the family.
const FAMILY_SIZE: usize = size_of::<u16>();

/// What a name is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// A file, by device and number.
    File(u64, u64),
    /// An abstract name, for one kind of socket.
    Abstract(u16, Vec<u8>),
}

/// The name of a socket.
pub struct Name {
    /// As the program gave it.
    pub address: Address,
    key: Key,
}

static NAMES: Mutex<BTreeMap<Key, Weak<UnixSocket>>> = Mutex::new(BTreeMap::new());

/// What an address says.
enum Meaning<'a> {
    Path(&'a [u8]),
    Abstract(&'a [u8]),
}

/// An address without a name.
pub fn unnamed() -> Address {
    Address::new(&family::UNIX.to_ne_bytes())
}

fn meaning(address: &Address) -> Result<Meaning<'_>, Errno> {
    let name = address.bytes().get(FAMILY_SIZE..).unwrap_or(&[]);
    if name.is_empty() || name.len() > UNIX_PATH_MAX || address.family() != Some(family::UNIX) {
        return Err(Errno::EINVAL);
    }
    match name.iter().position(|&byte| byte == 0) {
        Some(0) => Ok(Meaning::Abstract(name)),
        Some(end) => Ok(Meaning::Path(&name[..end])),
        None => Ok(Meaning::Path(name)),
    }
}

/// Whether a program asks for any abstract name that is free.
pub fn asks_for_any(address: &Address) -> bool {
    address.bytes() == family::UNIX.to_ne_bytes()
}

fn key_of_file(inode: &Arc<dyn Inode>) -> Key {
    let metadata = inode.metadata();
    Key::File(metadata.device.encode(), metadata.number)
}

/// The address with this name; `end` is what follows it.
fn address_of(name: &[u8], end: &[u8]) -> Address {
    let mut bytes = Vec::from(family::UNIX.to_ne_bytes());
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(end);
    Address::new(&bytes)
}

/// Gives a socket a name.
///
/// # Errors
/// `EADDRINUSE`, `EINVAL`, and for a path what making a file may answer.
pub fn bind(socket: &Arc<UnixSocket>, address: &Address) -> Result<Arc<Name>, Errno> {
    match meaning(address)? {
        Meaning::Abstract(name) => bind_abstract(socket, name),
        Meaning::Path(path) => {
            let files = context::current();
            let origin = files.origin(AT_FDCWD, path)?;
            let place = path::find_place(&origin, path)?;
            let new = NewFile::Special(FileKind::Socket, DeviceNumber::default());
            let made = names::make(&place, new, 0o777 & !files.mask());
            let inode = made.map_err(|errno| match errno {
                Errno::EEXIST => Errno::EADDRINUSE,
                other => other,
            })?;
            let name = Arc::new(Name {
                address: address_of(path, &[0]),
                key: key_of_file(&inode),
            });
            NAMES.lock().insert(name.key.clone(), Arc::downgrade(socket));
            Ok(name)
        }
    }
}

fn bind_abstract(socket: &Arc<UnixSocket>, name: &[u8]) -> Result<Arc<Name>, Errno> {
    let key = Key::Abstract(socket.kind as u16, name.into());
    let mut names = NAMES.lock();
    if names.contains_key(&key) {
        return Err(Errno::EADDRINUSE);
    }
    names.insert(key.clone(), Arc::downgrade(socket));
    Ok(Arc::new(Name {
        address: address_of(name, &[]),
        key,
    }))
}

/// Where the search for a free name goes on.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Gives a socket an abstract name of five hexadecimal digits.
///
/// # Errors
/// `ENOSPC` if all are taken.
pub fn bind_to_any(socket: &Arc<UnixSocket>) -> Result<Arc<Name>, Errno> {
    const NAMES_OF_FIVE_DIGITS: u32 = 1 << 20;
    for _ in 0..NAMES_OF_FIVE_DIGITS {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % NAMES_OF_FIVE_DIGITS;
        let name = alloc::format!("\0{number:05x}");
        match bind_abstract(socket, name.as_bytes()) {
            Err(Errno::EADDRINUSE) => {}
            result => return result,
        }
    }
    Err(Errno::ENOSPC)
}

/// Forgets the name of a socket that was closed. The file of a path stays.
pub fn forget(name: &Name) {
    NAMES.lock().remove(&name.key);
}

/// Checks that an address can be one of a local socket.
///
/// # Errors
/// `EINVAL`
pub fn check(address: &Address) -> Result<(), Errno> {
    meaning(address).map(drop)
}

/// Finds the socket with a name, of a kind.
///
/// # Errors
/// `ECONNREFUSED` if there is none, `EPROTOTYPE` if it is of another kind, `EINVAL`, and what finding a file may
/// answer.
pub fn find(address: &Address, kind: SocketKind) -> Result<Arc<UnixSocket>, Errno> {
    let key = match meaning(address)? {
        Meaning::Abstract(name) => Key::Abstract(kind as u16, name.into()),
        Meaning::Path(path) => {
            let inode = context::current().find(AT_FDCWD, path, true)?;
            permission::check(&inode, Access::WRITE)?;
            if inode.kind() != FileKind::Socket {
                return Err(Errno::ECONNREFUSED);
            }
            key_of_file(&inode)
        }
    };
    let found = NAMES.lock().get(&key).and_then(Weak::upgrade);
    let socket = found.ok_or(Errno::ECONNREFUSED)?;
    if socket.kind != kind {
        return Err(Errno::EPROTOTYPE);
    }
    Ok(socket)
}
