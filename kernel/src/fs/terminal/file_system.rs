//! `/dev/pts`: a file for each pseudo-terminal whose master is open (devpts).

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags, Statfs};
use spin::Mutex;

use super::open_master;
use super::pair::{self, Pair};
use crate::fs::file::{File, ListedEntry, Listing};
use crate::fs::inode::{FileSystem, Inode, PathName};
use crate::fs::metadata::{AttributeChange, Metadata, Timestamp};
use crate::fs::mounts::{self, FirstMount, Mount};
use crate::fs::permission;
use crate::memory::Destination;

/// `DEVPTS_SUPER_MAGIC`
pub const MAGIC: i64 = 0x1cd1;
const DEVICE: DeviceNumber = DeviceNumber::new(0, 24);
/// The device that makes pseudo-terminals.
pub const MULTIPLEXER: DeviceNumber = DeviceNumber::new(5, 2);
const MULTIPLEXER_NAME: &[u8] = b"ptmx";
/// Inode numbers: the root, the multiplexer, and from where on those of terminals are counted.
const ROOT: u64 = 1;
const OF_MULTIPLEXER: u64 = 2;
const FIRST_SLAVE: u64 = 3;
/// The group that terminals belong to (`tty` in `/etc/group`), which may write to them: the options `gid=5,mode=620`.
const GROUP: u32 = 5;
const PERMISSIONS: u16 = 0o620;

fn statistics() -> Statfs {
    Statfs {
        kind: MAGIC,
        block_size: 4096,
        fragment_size: 4096,
        name_length: 255,
        ..Statfs::default()
    }
}

/// The file system.
pub struct TerminalFileSystem {
    root: Arc<Root>,
}

impl TerminalFileSystem {
    /// Its top directory.
    pub fn top(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    /// The file system of all pseudo-terminals.
    pub fn new() -> Arc<Self> {
        let metadata = |number, kind, permissions| Metadata::new(DEVICE, number, kind, permissions, Timestamp::now());
        let root = Arc::new(Root {
            metadata: Mutex::new(Metadata {
                links: 2,
                ..metadata(ROOT, FileKind::Directory, 0o755)
            }),
            multiplexer: Arc::new(Device {
                pair: None,
                name: MULTIPLEXER_NAME.to_vec(),
                metadata: Mutex::new(Metadata {
                    represents: MULTIPLEXER,
                    ..metadata(OF_MULTIPLEXER, FileKind::CharacterDevice, 0)
                }),
            }),
        });
        Arc::new(Self { root })
    }
}

impl FileSystem for TerminalFileSystem {
    fn type_name(&self) -> &'static str {
        "devpts"
    }

    fn device(&self) -> DeviceNumber {
        DEVICE
    }

    fn statistics(&self) -> Statfs {
        statistics()
    }

    fn set_mount(&self, mount: &Weak<Mount>) -> bool {
        FIRST_MOUNT.set(mount)
    }
}

static FIRST_MOUNT: FirstMount = FirstMount::new();

/// The directory.
struct Root {
    metadata: Mutex<Metadata>,
    multiplexer: Arc<Device>,
}

impl Inode for Root {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn statistics(&self) -> Statfs {
        statistics()
    }

    fn metadata(&self) -> Metadata {
        *self.metadata.lock()
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn path(&self) -> PathName {
        mounts::absolute(self)
    }

    fn path_within(&self) -> PathName {
        PathName {
            bytes: Vec::new(),
            removed: false,
        }
    }

    fn mount(&self) -> Option<Arc<Mount>> {
        FIRST_MOUNT.get()
    }

    fn mounted(&self) -> Option<Arc<dyn Inode>> {
        FIRST_MOUNT.covering(self)
    }

    fn set_point(&self, _used: bool) -> Result<(), Errno> {
        Ok(()) // it has no name that could go
    }

    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(Listed(self)))
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if name == MULTIPLEXER_NAME {
            return Ok(self.multiplexer.clone());
        }
        let text = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let number: u32 = text.parse().map_err(|_| Errno::ENOENT)?;
        let pair = pair::find(number).ok_or(Errno::ENOENT)?;
        // As the kernel writes it: no zero in front.
        if pair.node.0.name != name {
            return Err(Errno::ENOENT);
        }
        Ok(pair.node.inode())
    }

    fn parent(&self) -> Result<Arc<dyn Inode>, Errno> {
        match FIRST_MOUNT.get().and_then(|mount| mount.above()) {
            Some(above) => above,
            None => Err(Errno::ENOENT),
        }
    }

    fn change(&self, change: AttributeChange) -> Result<(), Errno> {
        self.metadata.lock().apply(&change);
        Ok(())
    }
}

/// The directory, opened.
struct Listed(Arc<Root>);

impl File for Listed {
    fn seekable(&self) -> bool {
        true
    }

    fn read(&self, _position: u64, _to: &mut Destination<'_>, _flags: OpenFlags) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    /// The position behind the entry of a terminal is its number and 4.
    fn list(&self, position: u64, listing: Listing<'_>) -> Result<(), Errno> {
        let above = self.0.parent().map_or(ROOT, |above| above.identity().number);
        let fixed: [(&[u8], u64, FileKind); 3] = [
            (b".", ROOT, FileKind::Directory),
            (b"..", above, FileKind::Directory),
            (MULTIPLEXER_NAME, OF_MULTIPLEXER, FileKind::CharacterDevice),
        ];
        for (next, (name, number, kind)) in (1..).zip(fixed) {
            let entry = ListedEntry {
                name,
                number,
                kind,
                next,
            };
            if position < next && !listing(entry) {
                return Ok(());
            }
        }
        let from = usize::try_from(position.saturating_sub(3)).unwrap_or(usize::MAX);
        for (number, pair) in pair::pairs(from) {
            let entry = ListedEntry {
                name: &pair.node.0.name,
                number: FIRST_SLAVE + u64::from(number),
                kind: FileKind::CharacterDevice,
                next: u64::from(number) + 4,
            };
            if !listing(entry) {
                break;
            }
        }
        Ok(())
    }
}

/// The file of a pseudo-terminal.
pub struct SlaveNode(Arc<Device>);

impl SlaveNode {
    /// A file that belongs to whoever makes the terminal.
    pub fn new(pair: Weak<Pair>, number: u32, represents: DeviceNumber) -> Self {
        let (user, _) = permission::owner();
        let kind = FileKind::CharacterDevice;
        let inode = FIRST_SLAVE + u64::from(number);
        let metadata = Metadata {
            user,
            group: GROUP,
            represents,
            ..Metadata::new(DEVICE, inode, kind, PERMISSIONS, Timestamp::now())
        };
        Self(Arc::new(Device {
            pair: Some(pair),
            name: alloc::format!("{number}").into_bytes(),
            metadata: Mutex::new(metadata),
        }))
    }

    /// The file.
    pub fn inode(&self) -> Arc<dyn Inode> {
        self.0.clone()
    }
}

/// A device in the directory.
struct Device {
    /// `None` for the multiplexer.
    pair: Option<Weak<Pair>>,
    name: Vec<u8>,
    metadata: Mutex<Metadata>,
}

impl Device {
    /// Whether its name is gone, as it is as soon as the master was closed.
    fn is_removed(&self) -> bool {
        let gone = |pair: &Weak<Pair>| pair.upgrade().is_none_or(|pair| pair.has_no_master());
        self.pair.as_ref().is_some_and(gone)
    }
}

impl Inode for Device {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn statistics(&self) -> Statfs {
        statistics()
    }

    fn metadata(&self) -> Metadata {
        let metadata = *self.metadata.lock();
        let links = metadata.links - u32::from(self.is_removed());
        Metadata { links, ..metadata }
    }

    fn kind(&self) -> FileKind {
        FileKind::CharacterDevice
    }

    fn path(&self) -> PathName {
        mounts::absolute(self)
    }

    fn mount(&self) -> Option<Arc<Mount>> {
        FIRST_MOUNT.get()
    }

    fn mounted(&self) -> Option<Arc<dyn Inode>> {
        FIRST_MOUNT.covering(self)
    }

    fn set_point(&self, _used: bool) -> Result<(), Errno> {
        Ok(()) // nothing takes its name away meanwhile but the end of the terminal
    }

    fn path_within(&self) -> PathName {
        let mut bytes = Vec::from(*b"/");
        bytes.extend_from_slice(&self.name);
        PathName {
            bytes,
            removed: self.is_removed(),
        }
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        match &self.pair {
            None => open_master(),
            Some(pair) => pair.upgrade().ok_or(Errno::EIO)?.open_slave(flags),
        }
    }

    fn change(&self, change: AttributeChange) -> Result<(), Errno> {
        self.metadata.lock().apply(&change);
        Ok(())
    }
}
