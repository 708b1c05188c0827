//! `/proc`: what the kernel knows, as files (`proc(5)`).
//!
//! A table says which files there are ([`Entry`]); [`counters`], [`devices`], [`machine`], [`memory`], [`network`] and
//! [`process`] make their text, and [`settings`] has `/proc/sys`.
//! Text is made when a file is read from its start. `/sys` is another such table ([`super::system`]).

/// A number in an atomic that can be set within a range.
macro_rules! number_setting {
    ($name:literal, $value:expr, $range:expr) => {
        setting(
            $name,
            |text| writeln!(text, "{}", $value.load(core::sync::atomic::Ordering::Relaxed)),
            |bytes| {
                $value.store(
                    super::settings::number(bytes, $range)?,
                    core::sync::atomic::Ordering::Relaxed,
                );
                Ok(())
            },
        )
    };
}

mod counters;
mod devices;
mod entry;
mod machine;
mod memory;
mod mount_tables;
mod namespaces;
mod network;
mod page_map;
mod process;
mod program_memory;
mod settings;

pub use entry::Text;
pub(super) use entry::{
    Body, Entry, Subject, TargetOfThread, Things, UNKNOWN, constant, directory, entry, link, list_of_bits,
    mask_of_bits, of_thread, setting, text,
};
use entry::{GUARDED, OF_TASK};

use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags, Statfs};
use spin::{Mutex, Once};

use super::file::{File, ListedEntry, Listing, OpenFile, WriteAt};
use super::inode::{FileIdentity, FileSystem, Inode, NewFile, PathName, Target};
use super::metadata::{Metadata, Timestamp};
use super::mounts::{self, FirstMount, Mount};
use crate::memory::{Destination, PAGE_SIZE, Source};
use crate::task::{self, Process};

const ROOT_NUMBER: u64 = 1;

/// What a file system of texts is.
pub struct Character {
    /// Its name in `/proc/filesystems`.
    pub type_name: &'static str,
    /// The type that `statfs(2)` tells.
    pub magic: i64,
    /// `st_dev` of its files.
    pub device: DeviceNumber,
    /// Whether anything in it could be changed; what says no answers `EROFS`.
    pub writable: bool,
    /// Its root.
    pub(super) root: Body,
}

/// `/proc`
pub const PROCESSES: Character = Character {
    type_name: "proc",
    magic: 0x9fa0,
    device: DeviceNumber::new(0, 21),
    writable: true,
    root: Body::Processes(machine::ROOT),
};

/// A file system of texts.
pub struct TextFileSystem {
    character: Character,
    root: Once<Arc<TextNode>>,
    mount: FirstMount,
    mounted: Timestamp,
}

/// A file of it that was looked up.
struct TextNode {
    file_system: Arc<TextFileSystem>,
    number: u64,
    name: String,
    parent: Option<Arc<TextNode>>,
    permissions: u16,
    body: Body,
}

impl TextFileSystem {
    /// A file system that a table describes.
    pub fn new(character: Character) -> Arc<Self> {
        let body = character.root;
        let file_system = Arc::new(Self {
            character,
            root: Once::new(),
            mount: FirstMount::new(),
            mounted: Timestamp::now(),
        });
        let root = TextNode {
            file_system: file_system.clone(),
            number: ROOT_NUMBER,
            name: String::new(),
            parent: None,
            permissions: 0o555,
            body,
        };
        file_system.root.call_once(|| Arc::new(root));
        file_system
    }

    /// Its top directory.
    pub fn top(&self) -> Arc<dyn Inode> {
        self.root_node().clone()
    }

    fn root_node(&self) -> &Arc<TextNode> {
        match self.root.get() {
            Some(root) => root,
            None => unreachable!("the file system is given its root where it is made"),
        }
    }
}

fn statistics(kind: i64) -> Statfs {
    Statfs {
        kind,
        block_size: 4096,
        fragment_size: 4096,
        name_length: 255,
        ..Statfs::default()
    }
}

impl FileSystem for TextFileSystem {
    fn type_name(&self) -> &'static str {
        self.character.type_name
    }

    fn device(&self) -> DeviceNumber {
        self.character.device
    }

    fn statistics(&self) -> Statfs {
        statistics(self.character.magic)
    }

    fn set_mount(&self, mount: &Weak<Mount>) -> bool {
        self.mount.set(mount)
    }
}

/// A number for a file, made of its directory's and its name (FNV-1a), so that it is the same at each look-up.
fn number_of(parent: u64, name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64 ^ parent, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32 ^ hash) & 0x7fff_ffff | 0x1000
}

impl TextNode {
    fn child(&self, itself: Arc<Self>, name: &str, permissions: u16, body: Body) -> Arc<Self> {
        Arc::new(Self {
            file_system: self.file_system.clone(),
            number: number_of(self.number, name),
            name: String::from(name),
            parent: Some(itself),
            permissions,
            body,
        })
    }

    /// The node as what keeps it alive: a copy, since nodes are values without state.
    fn to_shared(&self) -> Arc<Self> {
        if self.parent.is_none() {
            return self.file_system.root_node().clone();
        }
        Arc::new(Self {
            file_system: self.file_system.clone(),
            number: self.number,
            name: self.name.clone(),
            parent: self.parent.clone(),
            permissions: self.permissions,
            body: self.body,
        })
    }

    /// The text of the file.
    fn make(&self) -> Result<Text, Errno> {
        let mut text = Text::default();
        match self.body {
            Body::Text(make) | Body::Setting(make, _) => make(&mut text)?,
            Body::Constant(value) => text.bytes(value.as_bytes())?,
            Body::ThreadText(number, make, _) => make(&Subject::find(number)?, &mut text)?,
            Body::DescriptorText(number, descriptor) => {
                process::descriptor_text(&Subject::find(number)?, descriptor, &mut text)?;
            }
            Body::ThingText(number, make) => make(number, &self.name, &mut text)?,
            _ => return Err(Errno::EINVAL),
        }
        Ok(text)
    }

    /// The process that it is about, if it lies in the directory of one.
    fn process(&self) -> Option<Arc<Process>> {
        if self.file_system.character.magic != PROCESSES.magic {
            return None;
        }
        let (mut name, mut parent) = (self.name.as_str(), self.parent.as_ref()?);
        while let Some(above) = &parent.parent {
            (name, parent) = (&parent.name, above);
        }
        task::find_process(name.parse().ok()?)
    }

    fn permissions_now(&self) -> u16 {
        match self.body {
            // A link to an open file shows how it was opened.
            Body::DescriptorLink(number, descriptor) => open_file(number, descriptor).map_or(0o500, |file| {
                0o100 | if file.readable() { 0o400 } else { 0 } | if file.writable() { 0o200 } else { 0 }
            }),
            _ => self.permissions & 0o7777,
        }
    }

    /// The file of a table with this name.
    fn of_table(entries: &[Entry], name: &str) -> Result<(u16, Body), Errno> {
        let found = entries.iter().find(|entry| entry.name == name);
        found.map(|entry| (entry.permissions, entry.body)).ok_or(Errno::ENOENT)
    }
}

/// The type of a file.
fn kind_of(body: Body) -> FileKind {
    match body {
        Body::Directory(_)
        | Body::Each(..)
        | Body::OfThingParts(..)
        | Body::ThingParts(..)
        | Body::OfThingDirectory(_)
        | Body::ThingDirectory(..)
        | Body::Processes(_)
        | Body::Threads(_)
        | Body::Thread(..)
        | Body::Descriptors(_)
        | Body::MappedFiles(_)
        | Body::Namespaces(_)
        | Body::DescriptorTexts(_) => FileKind::Directory,
        Body::Link(_)
        | Body::OfThreadLink(_)
        | Body::ThreadLink(..)
        | Body::OfThingLink(_)
        | Body::ThingLink(..)
        | Body::MappedFileLink(..)
        | Body::NamespaceLink(..)
        | Body::DescriptorLink(..) => FileKind::Symlink,
        Body::Text(_)
        | Body::OfThreadFile(_)
        | Body::ThreadFile(..)
        | Body::Setting(..)
        | Body::OfThread(..)
        | Body::ThreadText(..)
        | Body::Constant(_)
        | Body::OfThing(_)
        | Body::ThingText(..)
        | Body::DescriptorText(..) => FileKind::Regular,
    }
}

/// Who a directory is about, for those who look something up in it: `ENOENT` if nobody any more.
fn subject(number: u32) -> Result<Subject, Errno> {
    Subject::find(number).map_err(|_| Errno::ENOENT)
}

/// The numbers of the threads of a process. The first one's is there as long as there is the process.
fn thread_numbers(process: &Process) -> Vec<u32> {
    let mut numbers: Vec<u32> = process.threads().iter().map(|thread| thread.id()).collect();
    // They come in their order.
    if let Err(place) = numbers.binary_search(&process.id) {
        numbers.insert(place, process.id);
    }
    numbers
}

/// An open file of the process of a thread.
fn open_file(number: u32, descriptor: i32) -> Result<Arc<OpenFile>, Errno> {
    let file = subject(number)?.files().file(descriptor);
    file.map_err(|_| Errno::ENOENT)
}

/// Whether a file can be written.
fn is_setting(body: Body) -> bool {
    matches!(body, Body::Setting(..) | Body::ThreadText(_, _, Some(_)))
}

/// A descriptor's number as a name, if it is written as the kernel writes it.
fn descriptor_of(name: &str) -> Option<i32> {
    let number: u32 = name.parse().ok()?;
    let canonical = name == "0" || !name.starts_with(['0', '+']);
    i32::try_from(number).ok().filter(|_| canonical)
}

impl Inode for TextNode {
    fn as_any(&self) -> &dyn Any {
        self
    }

    /// A setting is written whole: opening it with `O_TRUNC` changes nothing.
    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        if is_setting(self.body) {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    fn statistics(&self) -> Statfs {
        statistics(self.file_system.character.magic)
    }

    fn metadata(&self) -> Metadata {
        let kind = kind_of(self.body);
        let mut metadata = Metadata::new(
            self.file_system.character.device,
            self.number,
            kind,
            self.permissions_now(),
            self.file_system.mounted,
        );
        if let Some(process) = self.process() {
            // What must not be seen by those who lost it with their old user belongs to root then (proc(5)).
            if process.is_dumpable() || kind == FileKind::Directory && self.permissions == 0o555 {
                let own = process.credentials();
                (metadata.user, metadata.group) = (own.users[1], own.groups[1]);
            }
        }
        match self.body {
            Body::Directory(entries) | Body::ThingDirectory(_, entries) | Body::Thread(_, entries) => {
                let directories = entries
                    .iter()
                    .filter(|entry| kind_of(entry.body) == FileKind::Directory)
                    .count();
                metadata.links = 2 + directories as u32;
            }
            Body::Each(things, _) => {
                metadata.links = 2;
                if kind_of(things.body) == FileKind::Directory {
                    metadata.links += (things.list)().len() as u32;
                }
            }
            Body::Threads(number) => {
                metadata.links = 2 + subject(number).map_or(0, |subject| thread_numbers(&subject.process).len()) as u32;
            }
            Body::Processes(_) => metadata.links = 2 + task::processes().len() as u32,
            Body::Descriptors(_) | Body::DescriptorTexts(_) | Body::MappedFiles(_) | Body::Namespaces(_) => {
                metadata.links = 2;
            }
            Body::DescriptorLink(..) | Body::MappedFileLink(..) => metadata.size = 64,
            // As on Linux: nobody knows how long a text will be.
            Body::Text(_) | Body::Setting(..) | Body::ThingText(..) | Body::Constant(_)
                if self.file_system.character.magic == super::system::SYSTEM.magic =>
            {
                metadata.size = 4096;
            }
            _ => {}
        }
        metadata
    }

    fn kind(&self) -> FileKind {
        kind_of(self.body)
    }

    fn is_own(&self) -> bool {
        let own = |process: Arc<Process>| process.id == task::current_process().id;
        matches!(self.body, Body::Descriptors(_) | Body::DescriptorTexts(_)) && self.process().is_some_and(own)
    }

    fn create(&self, _name: &[u8], _new: NewFile<'_>, _permissions: u16) -> Result<Arc<dyn Inode>, Errno> {
        Err(match self.file_system.character.writable {
            true => Errno::EPERM,
            false => Errno::EROFS,
        })
    }

    fn path(&self) -> PathName {
        mounts::absolute(self)
    }

    fn path_within(&self) -> PathName {
        let mut bytes = Vec::new();
        if let Some(parent) = &self.parent {
            bytes = parent.path_within().bytes;
            bytes.push(b'/');
            bytes.extend_from_slice(self.name.as_bytes());
        }
        PathName { bytes, removed: false }
    }

    fn identity(&self) -> FileIdentity {
        FileIdentity {
            device: self.file_system.character.device,
            number: self.number,
        }
    }

    fn mount(&self) -> Option<Arc<Mount>> {
        self.file_system.mount.get()
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        match kind_of(self.body) {
            FileKind::Directory => Ok(Arc::new(DirectoryFile(self))),
            FileKind::Regular if let Body::ThreadFile(number, open) = self.body => {
                let subject = Subject::find(number)?;
                if self.permissions & GUARDED != 0 {
                    subject.check_looking()?;
                }
                open(&subject)
            }
            FileKind::Regular => {
                if flags.writes() && !is_setting(self.body) {
                    return Err(match self.file_system.character.writable {
                        true => Errno::EACCES,
                        false => Errno::EROFS,
                    });
                }
                if self.permissions & GUARDED != 0
                    && let Body::ThreadText(number, ..) = self.body
                {
                    Subject::find(number)?.check_looking()?;
                }
                Ok(Arc::new(TextFile {
                    node: self,
                    made: MadeText::default(),
                }))
            }
            _ => Err(Errno::ELOOP),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let name = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let (permissions, body) = match self.body {
            Body::Processes(_) if let Some(number) = descriptor_of(name) => {
                subject(number as u32)?;
                (0o555, Body::Thread(number as u32, process::PROCESS))
            }
            Body::Directory(entries) | Body::Processes(entries) => Self::of_table(entries, name)?,
            Body::ThingDirectory(number, entries) => {
                let (permissions, body) = Self::of_table(entries, name)?;
                (permissions, body.about(number))
            }
            Body::ThingParts(number, list, entries) => {
                let parts = list(number);
                let found = parts.iter().find(|(_, known)| known == name).ok_or(Errno::ENOENT)?;
                (0o555, Body::ThingDirectory(found.0, entries))
            }
            Body::Each(things, entries) => match Self::of_table(entries, name) {
                Ok(found) => found,
                Err(_) => {
                    let list = (things.list)();
                    let found = list.iter().find(|(_, known)| known == name).ok_or(Errno::ENOENT)?;
                    (things.body.permissions(), things.body.about(found.0))
                }
            },
            Body::Threads(number) => {
                let member = descriptor_of(name).ok_or(Errno::ENOENT)? as u32;
                if !thread_numbers(&subject(number)?.process).contains(&member) {
                    return Err(Errno::ENOENT);
                }
                (0o555, Body::Thread(member | OF_TASK, process::THREAD))
            }
            Body::Thread(number, entries) => {
                let (permissions, body) = Self::of_table(entries, name)?;
                subject(number)?;
                (permissions, body.of_thread(number))
            }
            Body::MappedFiles(number) => {
                let range = name.split_once('-').and_then(|(start, end)| {
                    let number = |digits| u64::from_str_radix(digits, 16).ok();
                    Some((number(start)?, number(end)?))
                });
                let (start, end) = range.ok_or(Errno::ENOENT)?;
                process::mapped_file(&subject(number)?, start, end)?;
                (0o500, Body::MappedFileLink(number, start, end))
            }
            Body::Namespaces(number) => {
                let namespace = namespaces::ALL.iter().find(|one| one.name == name);
                (0o777, Body::NamespaceLink(number, namespace.ok_or(Errno::ENOENT)?))
            }
            Body::Descriptors(number) | Body::DescriptorTexts(number) => {
                let descriptor = descriptor_of(name).ok_or(Errno::ENOENT)?;
                open_file(number, descriptor)?;
                match self.body {
                    Body::Descriptors(_) => (0o700, Body::DescriptorLink(number, descriptor)),
                    _ => (0o444 | GUARDED, Body::DescriptorText(number, descriptor)),
                }
            }
            _ => return Err(Errno::ENOTDIR),
        };
        Ok(self.child(self.to_shared(), name, permissions, body))
    }

    fn mounted(&self) -> Option<Arc<dyn Inode>> {
        self.file_system.mount.covering(self)
    }

    fn set_point(&self, _used: bool) -> Result<(), Errno> {
        Ok(()) // its name stays anyway
    }

    fn parent(&self) -> Result<Arc<dyn Inode>, Errno> {
        match &self.parent {
            Some(parent) => Ok(parent.clone()),
            None => match self.mount().and_then(|mount| mount.above()) {
                Some(above) => above,
                None => Ok(self.file_system.root_node().clone()),
            },
        }
    }

    fn target(&self) -> Result<Target, Errno> {
        match self.body {
            Body::Link(target) => target(),
            Body::ThingLink(number, target) => target(number),
            Body::ThreadLink(number, _)
            | Body::DescriptorLink(number, _)
            | Body::MappedFileLink(number, ..)
            | Body::NamespaceLink(number, _) => {
                let subject = subject(number)?;
                subject.check_looking()?;
                match self.body {
                    Body::ThreadLink(_, target) => target(&subject),
                    Body::MappedFileLink(_, start, end) => process::mapped_file(&subject, start, end),
                    Body::NamespaceLink(_, namespace) => Ok(Target::File(namespace.inode())),
                    Body::DescriptorLink(_, descriptor) => {
                        Ok(Target::File(open_file(number, descriptor)?.inode.clone()))
                    }
                    _ => Err(Errno::EINVAL),
                }
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

/// The text of an open file, as it was when it was read from its start.
#[derive(Default)]
struct MadeText(Mutex<Option<Arc<Text>>>);

impl MadeText {
    fn read(
        &self,
        position: u64,
        to: &mut Destination<'_>,
        make: &dyn Fn() -> Result<Text, Errno>,
    ) -> Result<usize, Errno> {
        let known = self.0.lock().clone().filter(|_| position != 0);
        let text = match known {
            Some(text) => text,
            None => {
                // Made with no lock held: it may read the program's memory.
                let text = Arc::new(make()?);
                *self.0.lock() = Some(text.clone());
                text
            }
        };
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(text.0.len());
        to.put(&text.0[start..])
    }
}

/// A text that is open.
struct TextFile {
    node: Arc<TextNode>,
    made: MadeText,
}

impl File for TextFile {
    fn seekable(&self) -> bool {
        true
    }

    fn read(&self, position: u64, to: &mut Destination<'_>, _flags: OpenFlags) -> Result<usize, Errno> {
        self.made.read(position, to, &|| self.node.make())
    }

    fn write(&self, at: WriteAt, from: &mut Source<'_>, _flags: OpenFlags) -> Result<(usize, u64), Errno> {
        let mut bytes = [0; 256];
        let length = from.remaining();
        if length > bytes.len() {
            return Err(Errno::EINVAL);
        }
        let taken = from.take(&mut bytes[..length])?;
        let bytes = &bytes[..taken];
        match self.node.body {
            // As Linux does where `kernel.sysctl_writes_strict` is 1: only what is at the start counts.
            Body::Setting(..) if taken == 0 || matches!(at, WriteAt::Position(1..)) => {}
            Body::Setting(_, set) => set(bytes)?,
            Body::ThreadText(number, _, Some(set)) => set(&Subject::find(number)?, bytes)?,
            _ => return Err(Errno::EINVAL),
        }
        let start = match at {
            WriteAt::Position(position) => position,
            WriteAt::End => 0,
        };
        Ok((taken, start + taken as u64))
    }

    /// `O_TRUNC` and `truncate` have no effect on a setting.
    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        Ok(())
    }
}

/// A directory that is open.
struct DirectoryFile(Arc<TextNode>);

/// The process whose directory in `/proc` an open file is, by which `pidfd_send_signal(2)` knows processes too.
///
/// # Errors
/// `EBADF` for a description that only names a file, `ESRCH` if the process is gone.
pub fn process_of(open: &OpenFile) -> Result<Option<Arc<Process>>, Errno> {
    let file: &dyn Any = &**open.file()?;
    let Some(DirectoryFile(node)) = file.downcast_ref::<DirectoryFile>() else {
        return Ok(None);
    };
    let in_root = node.parent.as_ref().is_some_and(|parent| parent.parent.is_none());
    // Nothing else in the root is called by a number.
    if !in_root || node.file_system.character.magic != PROCESSES.magic {
        return Ok(None);
    }
    let Ok(number) = node.name.parse() else { return Ok(None) };
    task::find_process(number).map(Some).ok_or(Errno::ESRCH)
}

impl File for DirectoryFile {
    fn seekable(&self) -> bool {
        true
    }

    fn read(&self, _position: u64, _to: &mut Destination<'_>, _flags: OpenFlags) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn list(&self, position: u64, listing: Listing<'_>) -> Result<(), Errno> {
        let node = &self.0;
        if position == 0 {
            let entry = ListedEntry {
                name: b".",
                number: node.number,
                kind: FileKind::Directory,
                next: 1,
            };
            if !listing(entry) {
                return Ok(());
            }
        }
        if position <= 1 {
            let number = node.parent()?.metadata().number;
            if !listing(ListedEntry {
                name: b"..",
                number,
                kind: FileKind::Directory,
                next: 2,
            }) {
                return Ok(());
            }
        }
        // Entry `index` has the position `index + 2`; of an open file, `index` is the descriptor.
        let start = usize::try_from(position.saturating_sub(2)).unwrap_or(usize::MAX);
        let mut offer = |index: usize, name: &str, kind| {
            let number = number_of(node.number, name);
            listing(ListedEntry {
                name: name.as_bytes(),
                number,
                kind,
                next: index as u64 + 3,
            })
        };
        match node.body {
            Body::Each(things, entries) => {
                for (index, entry) in entries.iter().enumerate().skip(start) {
                    if !offer(index, entry.name, kind_of(entry.body)) {
                        return Ok(());
                    }
                }
                let first = start.saturating_sub(entries.len());
                for (index, (_, name)) in (things.list)().iter().enumerate().skip(first) {
                    if !offer(entries.len() + index, name, kind_of(things.body)) {
                        break;
                    }
                }
            }
            Body::ThingParts(number, list, _) => {
                for (index, (_, name)) in list(number).iter().enumerate().skip(start) {
                    if !offer(index, name, FileKind::Directory) {
                        break;
                    }
                }
            }
            Body::Processes(entries) => {
                // Behind the files come the processes; a position says which number is the next.
                for (index, entry) in entries.iter().enumerate().skip(start) {
                    if !offer(index, entry.name, kind_of(entry.body)) {
                        return Ok(());
                    }
                }
                let first = start.saturating_sub(entries.len());
                let mut processes = task::processes();
                processes.retain(|process| process.id as usize >= first);
                for process in processes {
                    let (index, name) = (entries.len() + process.id as usize, alloc::format!("{}", process.id));
                    if !offer(index, &name, FileKind::Directory) {
                        break;
                    }
                }
            }
            Body::Directory(entries) | Body::ThingDirectory(_, entries) | Body::Thread(_, entries) => {
                for (index, entry) in entries.iter().enumerate().skip(start) {
                    if !offer(index, entry.name, kind_of(entry.body)) {
                        break;
                    }
                }
            }
            Body::Threads(number) => {
                // The position is the number of the next thread, so that none is missed while others end.
                let numbers = thread_numbers(&subject(number)?.process);
                for number in numbers.into_iter().filter(|number| *number as usize >= start) {
                    if !offer(number as usize, &alloc::format!("{number}"), FileKind::Directory) {
                        break;
                    }
                }
            }
            Body::Descriptors(number) | Body::DescriptorTexts(number) => {
                let kind = if matches!(node.body, Body::Descriptors(_)) {
                    FileKind::Symlink
                } else {
                    FileKind::Regular
                };
                for descriptor in subject(number)?.files().open_descriptors(start) {
                    if !offer(descriptor as usize, &alloc::format!("{descriptor}"), kind) {
                        break;
                    }
                }
            }
            Body::MappedFiles(number) => {
                let subject = subject(number)?;
                subject.check_looking()?;
                // The position is the first page that was not shown, so that none is missed while others change.
                for (first, last) in process::mapped_ranges(&subject.process, start as u64) {
                    let name = alloc::format!("{first:x}-{last:x}");
                    if !offer((last / PAGE_SIZE as u64) as usize - 1, &name, FileKind::Symlink) {
                        break;
                    }
                }
            }
            Body::Namespaces(_) => {
                for (index, namespace) in namespaces::ALL.iter().enumerate().skip(start) {
                    if !offer(index, namespace.name, FileKind::Symlink) {
                        break;
                    }
                }
            }
            _ => return Err(Errno::ENOTDIR),
        }
        Ok(())
    }
}
