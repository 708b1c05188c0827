//! `/proc`: what the kernel knows, as files (`proc(5)`).
//!
//! A table says which files there are ([`Entry`]); [`machine`], [`memory`], [`network`] and [`process`] make their text.
//! Text is made when a file is read from its start. `/sys` is another such table ([`super::system`]).

/// A number in an atomic that can be set within a range.
macro_rules! number_setting {
    ($name:literal, $value:expr, $range:expr) => {
        setting(
            $name,
            |text| writeln!(text, "{}", $value.load(core::sync::atomic::Ordering::Relaxed)),
            |bytes| {
                $value.store(
                    super::machine::number(bytes, $range)?,
                    core::sync::atomic::Ordering::Relaxed,
                );
                Ok(())
            },
        )
    };
}

mod machine;
mod memory;
mod network;
mod page_map;
mod process;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;
use core::sync::atomic::Ordering;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags, Statfs};
use spin::{Mutex, Once};

use super::context;
use super::file::{File, ListedEntry, Listing, OpenFile, WriteAt};
use super::inode::{FileSystem, Inode, PathName, Target};
use super::metadata::{Metadata, Timestamp};
use crate::memory::{Destination, Source};
use crate::task::{self, Process, Thread};

/// Where a file's text goes.
#[derive(Default)]
pub struct Text(Vec<u8>);

impl Text {
    /// Adds bytes.
    ///
    /// # Errors
    /// `ENOMEM`
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.0.try_reserve(bytes.len()).map_err(|_| Errno::ENOMEM)?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// The text so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds formatted text, for `write!`.
    ///
    /// # Errors
    /// `ENOMEM`
    pub fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> Result<(), Errno> {
        fmt::write(self, arguments).map_err(|_| Errno::ENOMEM)
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Makes the text of a file.
type Make = fn(&mut Text) -> Result<(), Errno>;
/// Takes what was written to a file.
type Set = fn(&[u8]) -> Result<(), Errno>;
/// Makes the text of a file about a thread.
type MakeOfThread = fn(&Thread, &mut Text) -> Result<(), Errno>;
/// Takes what was written to a file about a thread.
type SetOfThread = fn(&Thread, &[u8]) -> Result<(), Errno>;

/// Makes the text of a file about a thing, such as an interface, that has a number. The file's name says what is to be told.
type MakeOfThing = fn(u32, &str, &mut Text) -> Result<(), Errno>;

/// Things of a kind, such as interfaces, that come and go. In a directory there is one for each.
pub(super) struct Things {
    /// All of them: number and name. Numbers may be used again, but the order is kept.
    pub list: fn() -> Vec<(u32, String)>,
    /// What one of them is. Text of its own is [`Body::OfThing`].
    pub body: Body,
}

/// What a file of `/proc` or `/sys` is.
#[derive(Clone, Copy)]
pub(super) enum Body {
    Directory(&'static [Entry]),
    Text(Make),
    /// Text that can be changed.
    Setting(Make, Set),
    /// Text that never changes.
    Constant(&'static str),
    Link(fn() -> Result<Target, Errno>),
    /// Text about the thread of the directory that holds it, which some can change.
    OfThread(MakeOfThread, Option<SetOfThread>),
    /// The same, of a thread that is known.
    ThreadText(u32, MakeOfThread, Option<SetOfThread>),
    /// Something for each thing of a kind.
    Each(&'static Things),
    /// A directory about the thing that is named by a directory above.
    OfThingDirectory(&'static [Entry]),
    /// Text about it.
    OfThing(MakeOfThing),
    /// A link about it.
    OfThingLink(fn(u32) -> Result<Target, Errno>),
    /// The same of a thing that is known.
    ThingDirectory(u32, &'static [Entry]),
    ThingText(u32, MakeOfThing),
    ThingLink(u32, fn(u32) -> Result<Target, Errno>),
    /// A directory for each thread.
    Threads,
    /// What is known about one.
    Thread(u32),
    /// A link to each open file.
    Descriptors,
    /// A text about each open file.
    DescriptorTexts,
    DescriptorLink(i32),
    DescriptorText(i32),
    /// Which page of the program is where.
    PageMap,
}

impl Body {
    /// What it is about the thing of a number.
    fn about(self, number: u32) -> Self {
        match self {
            Self::OfThingDirectory(entries) => Self::ThingDirectory(number, entries),
            Self::OfThing(make) => Self::ThingText(number, make),
            Self::OfThingLink(target) => Self::ThingLink(number, target),
            other => other,
        }
    }

    /// Its permissions, where no table says them.
    fn permissions(self) -> u16 {
        match kind_of(self) {
            FileKind::Directory => 0o555,
            FileKind::Symlink => 0o777,
            _ => 0o444,
        }
    }
}

/// A file of `/proc` or `/sys`.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    name: &'static str,
    permissions: u16,
    body: Body,
}

/// A file of a body that needs no permissions of its own.
pub(super) const fn entry(name: &'static str, permissions: u16, body: Body) -> Entry {
    Entry {
        name,
        permissions,
        body,
    }
}

pub(super) const fn directory(name: &'static str, entries: &'static [Entry]) -> Entry {
    Entry {
        name,
        permissions: 0o555,
        body: Body::Directory(entries),
    }
}

pub(super) const fn text(name: &'static str, make: Make) -> Entry {
    Entry {
        name,
        permissions: 0o444,
        body: Body::Text(make),
    }
}

const fn of_thread(name: &'static str, make: MakeOfThread) -> Entry {
    Entry {
        name,
        permissions: 0o444,
        body: Body::OfThread(make, None),
    }
}

pub(super) const fn constant(name: &'static str, value: &'static str) -> Entry {
    Entry {
        name,
        permissions: 0o444,
        body: Body::Constant(value),
    }
}

pub(super) const fn setting(name: &'static str, make: Make, set: Set) -> Entry {
    Entry {
        name,
        permissions: 0o644,
        body: Body::Setting(make, set),
    }
}

pub(super) const fn link(name: &'static str, target: fn() -> Result<Target, Errno>) -> Entry {
    Entry {
        name,
        permissions: 0o777,
        body: Body::Link(target),
    }
}

const ROOT_NUMBER: u64 = 1;

/// What a file system of texts is.
pub struct Character {
    /// Its name in `/proc/filesystems`.
    pub type_name: &'static str,
    /// Where it is.
    pub path: &'static str,
    /// The type that `statfs(2)` tells.
    pub magic: i64,
    /// `st_dev` of its files.
    pub device: DeviceNumber,
    /// The files in its root.
    pub(super) entries: &'static [Entry],
}

/// `/proc`
pub const PROCESSES: Character = Character {
    type_name: "proc",
    path: "/proc",
    magic: 0x9fa0,
    device: DeviceNumber::new(0, 21),
    entries: machine::ROOT,
};

/// A file system of texts.
pub struct TextFileSystem {
    character: Character,
    root: Once<Arc<TextNode>>,
    above: Arc<dyn Inode>,
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
    /// A file system for a directory in `above`.
    pub fn new(character: Character, above: Arc<dyn Inode>) -> Arc<Self> {
        let body = Body::Directory(character.entries);
        let file_system = Arc::new(Self {
            character,
            root: Once::new(),
            above,
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
    fn root(&self) -> Arc<dyn Inode> {
        self.root_node().clone()
    }

    fn type_name(&self) -> &'static str {
        self.character.type_name
    }

    fn device(&self) -> DeviceNumber {
        self.character.device
    }

    fn statistics(&self) -> Statfs {
        statistics(self.character.magic)
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
            Body::OfThread(make, _) => make(&*first_thread()?, &mut text)?,
            Body::ThreadText(number, make, _) => make(&*thread(number)?, &mut text)?,
            Body::DescriptorText(descriptor) => process::descriptor_text(descriptor, &mut text)?,
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
            Body::DescriptorLink(descriptor) => context::current().file(descriptor).map_or(0o500, |file| {
                0o100 | if file.readable() { 0o400 } else { 0 } | if file.writable() { 0o200 } else { 0 }
            }),
            _ => self.permissions,
        }
    }
}

/// The type of a file.
fn kind_of(body: Body) -> FileKind {
    match body {
        Body::Directory(_)
        | Body::Each(_)
        | Body::OfThingDirectory(_)
        | Body::ThingDirectory(..)
        | Body::Threads
        | Body::Thread(_)
        | Body::Descriptors
        | Body::DescriptorTexts => FileKind::Directory,
        Body::Link(_) | Body::OfThingLink(_) | Body::ThingLink(..) | Body::DescriptorLink(_) => FileKind::Symlink,
        Body::Text(_)
        | Body::PageMap
        | Body::Setting(..)
        | Body::OfThread(..)
        | Body::ThreadText(..)
        | Body::Constant(_)
        | Body::OfThing(_)
        | Body::ThingText(..)
        | Body::DescriptorText(_) => FileKind::Regular,
    }
}

/// A thread by its number.
fn thread(number: u32) -> Result<Arc<Thread>, Errno> {
    task::find_thread(number).ok_or(Errno::ESRCH)
}

/// The thread that stands for the process; another one if that has ended.
fn first_thread() -> Result<Arc<Thread>, Errno> {
    let process = task::current_process();
    let first = task::find_thread(process.id).or_else(|| process.threads().first().cloned());
    first.ok_or(Errno::ESRCH)
}

/// Whether a file can be written.
fn is_setting(body: Body) -> bool {
    matches!(
        body,
        Body::Setting(..) | Body::OfThread(_, Some(_)) | Body::ThreadText(_, _, Some(_))
    )
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
            let dumpable = process.settings.dumpable.load(Ordering::Relaxed);
            if dumpable || kind == FileKind::Directory && self.permissions == 0o555 {
                let own = process.credentials.lock();
                (metadata.user, metadata.group) = (own.users[1], own.groups[1]);
            }
        }
        match self.body {
            Body::Directory(entries) | Body::ThingDirectory(_, entries) => {
                let directories = entries
                    .iter()
                    .filter(|entry| kind_of(entry.body) == FileKind::Directory)
                    .count();
                metadata.links = 2 + directories as u32;
            }
            Body::Each(things) => {
                metadata.links = 2;
                if kind_of(things.body) == FileKind::Directory {
                    metadata.links += (things.list)().len() as u32;
                }
            }
            Body::Threads => metadata.links = 2 + task::thread_count() as u32,
            Body::Thread(_) | Body::Descriptors | Body::DescriptorTexts => metadata.links = 2,
            Body::DescriptorLink(_) => metadata.size = 64,
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
        matches!(self.body, Body::Descriptors | Body::DescriptorTexts) && self.process().is_some_and(own)
    }

    fn path(&self) -> PathName {
        let mut bytes = match &self.parent {
            Some(parent) => parent.path().bytes,
            None => {
                return PathName {
                    bytes: self.file_system.character.path.into(),
                    removed: false,
                };
            }
        };
        bytes.push(b'/');
        bytes.extend_from_slice(self.name.as_bytes());
        PathName { bytes, removed: false }
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        match kind_of(self.body) {
            FileKind::Directory => Ok(Arc::new(DirectoryFile(self))),
            FileKind::Regular if matches!(self.body, Body::PageMap) => Ok(Arc::new(page_map::PageMap)),
            FileKind::Regular => {
                if flags.writes() && !is_setting(self.body) {
                    return Err(Errno::EACCES);
                }
                Ok(Arc::new(TextFile {
                    node: self,
                    made: Mutex::new(None),
                }))
            }
            _ => Err(Errno::ELOOP),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let name = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let (permissions, body) = match self.body {
            Body::Directory(entries) => {
                let entry = entries.iter().find(|entry| entry.name == name).ok_or(Errno::ENOENT)?;
                (entry.permissions, entry.body)
            }
            Body::ThingDirectory(number, entries) => {
                let entry = entries.iter().find(|entry| entry.name == name).ok_or(Errno::ENOENT)?;
                (entry.permissions, entry.body.about(number))
            }
            Body::Each(things) => {
                let list = (things.list)();
                let found = list.iter().find(|(_, known)| known == name).ok_or(Errno::ENOENT)?;
                (things.body.permissions(), things.body.about(found.0))
            }
            Body::Threads => {
                let number = descriptor_of(name).ok_or(Errno::ENOENT)? as u32;
                thread(number).map_err(|_| Errno::ENOENT)?;
                (0o555, Body::Thread(number))
            }
            Body::Thread(number) => {
                let mut entries = process::THREAD.iter();
                let entry = entries.find(|entry| entry.name == name).ok_or(Errno::ENOENT)?;
                thread(number).map_err(|_| Errno::ENOENT)?;
                let body = match entry.body {
                    Body::OfThread(make, set) => Body::ThreadText(number, make, set),
                    other => other,
                };
                (entry.permissions, body)
            }
            Body::Descriptors | Body::DescriptorTexts => {
                let descriptor = descriptor_of(name).ok_or(Errno::ENOENT)?;
                context::current().file(descriptor).map_err(|_| Errno::ENOENT)?;
                match self.body {
                    Body::Descriptors => (0o700, Body::DescriptorLink(descriptor)),
                    _ => (0o400, Body::DescriptorText(descriptor)),
                }
            }
            _ => return Err(Errno::ENOTDIR),
        };
        Ok(self.child(self.to_shared(), name, permissions, body))
    }

    fn parent(&self) -> Result<Arc<dyn Inode>, Errno> {
        match &self.parent {
            Some(parent) => Ok(parent.clone()),
            None => Ok(self.file_system.above.clone()),
        }
    }

    fn target(&self) -> Result<Target, Errno> {
        match self.body {
            Body::Link(target) => target(),
            Body::ThingLink(number, target) => target(number),
            Body::DescriptorLink(descriptor) => {
                let file = context::current().file(descriptor).map_err(|_| Errno::ENOENT)?;
                Ok(Target::File(file.inode.clone()))
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

/// A text that is open.
struct TextFile {
    node: Arc<TextNode>,
    made: Mutex<Option<Arc<Text>>>,
}

impl TextFile {
    /// The text as it was when it was read from its start.
    fn text(&self, position: u64) -> Result<Arc<Text>, Errno> {
        if position != 0
            && let Some(text) = &*self.made.lock()
        {
            return Ok(text.clone());
        }
        // Made with no lock held: it may read the program's memory.
        let text = Arc::new(self.node.make()?);
        *self.made.lock() = Some(text.clone());
        Ok(text)
    }
}

impl File for TextFile {
    fn seekable(&self) -> bool {
        true
    }

    fn read(&self, position: u64, to: &mut Destination<'_>, _flags: OpenFlags) -> Result<usize, Errno> {
        let text = self.text(position)?;
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(text.0.len());
        to.put(&text.0[start..])
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
            Body::Setting(_, set) => set(bytes)?,
            Body::OfThread(_, Some(set)) => set(&*first_thread()?, bytes)?,
            Body::ThreadText(number, _, Some(set)) => set(&*thread(number)?, bytes)?,
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
            Body::Each(things) => {
                for (index, (_, name)) in (things.list)().iter().enumerate().skip(start) {
                    if !offer(index, name, kind_of(things.body)) {
                        break;
                    }
                }
            }
            Body::Directory(entries) | Body::ThingDirectory(_, entries) => {
                for (index, entry) in entries.iter().enumerate().skip(start) {
                    if !offer(index, entry.name, kind_of(entry.body)) {
                        break;
                    }
                }
            }
            Body::Thread(_) => {
                for (index, entry) in process::THREAD.iter().enumerate().skip(start) {
                    if !offer(index, entry.name, kind_of(entry.body)) {
                        break;
                    }
                }
            }
            Body::Threads => {
                // The position is the number of the next thread, so that none is missed while others end.
                let mut numbers: Vec<u32> = task::current_process().threads().iter().map(|t| t.id()).collect();
                numbers.sort_unstable();
                for number in numbers.into_iter().filter(|number| *number as usize >= start) {
                    if !offer(number as usize, &alloc::format!("{number}"), FileKind::Directory) {
                        break;
                    }
                }
            }
            Body::Descriptors | Body::DescriptorTexts => {
                let kind = if matches!(node.body, Body::Descriptors) {
                    FileKind::Symlink
                } else {
                    FileKind::Regular
                };
                for descriptor in context::current().open_descriptors(start) {
                    if !offer(descriptor as usize, &alloc::format!("{descriptor}"), kind) {
                        break;
                    }
                }
            }
            _ => return Err(Errno::ENOTDIR),
        }
        Ok(())
    }
}
