//! What tables of files are made of: an entry's name, its permissions, and what it is.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use pith_erofs::FileKind;
use pith_linux::Errno;

use super::kind_of;
use super::namespaces::Namespace;
use crate::fs::file::File;
use crate::fs::inode::Target;
use crate::fs::{FileContext, context};
use crate::task::{self, Credentials, Process, Thread};

/// Where a file's text goes.
#[derive(Default)]
pub struct Text(pub(super) Vec<u8>);

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

/// Adds numbers of bits, as in `0-2,5`.
pub(in crate::fs) fn list_of_bits(set: u64, text: &mut Text) -> Result<(), Errno> {
    let mut separator = "";
    let mut bit = 0;
    while bit < 64 {
        let run = (set >> bit).trailing_ones();
        match run {
            0 => {}
            1 => write!(text, "{separator}{bit}")?,
            _ => write!(text, "{separator}{bit}-{}", bit + run - 1)?,
        }
        if run != 0 {
            separator = ",";
        }
        bit += run + 1;
    }
    Ok(())
}

/// Adds a set of processors as Linux writes it: in words of 32 bits, as many digits as the machine has processors.
pub(in crate::fs) fn mask_of_bits(set: u64, text: &mut Text) -> Result<(), Errno> {
    let digits = task::cpu_count().div_ceil(4);
    match digits {
        0..=8 => write!(text, "{set:0digits$x}"),
        _ => write!(text, "{:0width$x},{:08x}", set >> 32, set as u32, width = digits - 8),
    }
}

/// Makes the text of a file.
pub(in crate::fs) type Make = fn(&mut Text) -> Result<(), Errno>;
/// Takes what was written to a file.
pub(in crate::fs) type Set = fn(&[u8]) -> Result<(), Errno>;
/// Whom a directory of `/proc` that is named by a number is about: a process, or one of its threads.
pub(in crate::fs) struct Subject {
    /// Its number.
    pub number: u32,
    /// It is the process as a whole.
    pub whole: bool,
    /// The process.
    pub process: Arc<Process>,
    /// The thread; of the process as a whole its first, or another one if that has ended. None lives of a zombie.
    pub thread: Option<Arc<Thread>>,
}

/// In a number, says that a thread is meant and not its process as a whole.
pub(super) const OF_TASK: u32 = 1 << 31;

impl Subject {
    /// Who is meant by a number, which may have [`OF_TASK`] in it.
    ///
    /// # Errors
    /// `ESRCH`
    pub fn find(number: u32) -> Result<Self, Errno> {
        let (number, whole) = (number & !OF_TASK, number & OF_TASK == 0);
        let thread = task::find_thread(number);
        let process = thread.as_ref().map(|thread| thread.process.clone());
        let process = process.or_else(|| task::find_process(number)).ok_or(Errno::ESRCH)?;
        let thread = thread.or_else(|| process.threads().first().cloned());
        Ok(Self {
            number,
            whole,
            process,
            thread,
        })
    }

    /// What it has of files.
    pub fn files(&self) -> &FileContext {
        match &self.thread {
            Some(thread) => context::of_thread(thread),
            None => context::of(&self.process),
        }
    }

    /// Who it is.
    pub fn credentials(&self) -> Arc<Credentials> {
        match &self.thread {
            Some(thread) => thread.credentials(),
            None => self.process.credentials(),
        }
    }

    /// Refuses (`EACCES`) to tell the current process what not everybody may know.
    pub fn check_looking(&self) -> Result<(), Errno> {
        match self.may_be_seen() {
            true => Ok(()),
            false => Err(Errno::EACCES),
        }
    }

    /// Whether the current process may know what not everybody may.
    pub fn may_be_seen(&self) -> bool {
        task::may_look_into(&self.process, task::Looker::OfFiles)
    }
}

/// Makes the text of a file about a thread.
pub(in crate::fs) type MakeOfThread = fn(&Subject, &mut Text) -> Result<(), Errno>;
/// Takes what was written to a file about a thread.
pub(in crate::fs) type SetOfThread = fn(&Subject, &[u8]) -> Result<(), Errno>;
/// Opens a file about a thread that is no text.
pub(in crate::fs) type OpenOfThread = fn(&Subject) -> Result<Arc<dyn File>, Errno>;

/// Makes the text of a file about a thing, such as an interface, that has a number. The file's name says what is to be told.
pub(in crate::fs) type MakeOfThing = fn(u32, &str, &mut Text) -> Result<(), Errno>;

/// Where a link leads that follows from a thread.
pub(in crate::fs) type TargetOfThread = fn(&Subject) -> Result<Target, Errno>;
/// Stands for the thread of the directory in which a table's entry will be found.
pub(in crate::fs) const UNKNOWN: u32 = 0;

/// The parts of a thing, such as the caches of a processor: for each a number of its own, and its name.
pub(in crate::fs) type PartsOfThing = fn(u32) -> Vec<(u32, String)>;

/// Things of a kind, such as interfaces, that come and go. In a directory there is one for each.
pub(in crate::fs) struct Things {
    /// All of them: number and name. Numbers may be used again, but the order is kept.
    pub list: fn() -> Vec<(u32, String)>,
    /// What one of them is. Text of its own is [`Body::OfThing`].
    pub body: Body,
}

/// What a file of `/proc` or `/sys` is.
#[derive(Clone, Copy)]
pub(in crate::fs) enum Body {
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
    /// Something for each thing of a kind, and these.
    Each(&'static Things, &'static [Entry]),
    /// A directory for each part of the thing that is named by a directory above.
    OfThingParts(PartsOfThing, &'static [Entry]),
    ThingParts(u32, PartsOfThing, &'static [Entry]),
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
    /// A link that follows from the thread of the directory that holds it.
    OfThreadLink(TargetOfThread),
    ThreadLink(u32, TargetOfThread),
    /// The root of `/proc`: these, and a directory for each process.
    Processes(&'static [Entry]),
    /// A directory about a thread, or about its process.
    Thread(u32, &'static [Entry]),
    /// A file about the thread of the directory that holds it, which is no text.
    OfThreadFile(OpenOfThread),
    ThreadFile(u32, OpenOfThread),
    /// Here and below, the number is that of a thread of the process; [`UNKNOWN`] in tables. A directory for each thread.
    Threads(u32),
    /// A link to each open file.
    Descriptors(u32),
    /// A text about each open file.
    DescriptorTexts(u32),
    DescriptorLink(u32, i32),
    DescriptorText(u32, i32),
    /// A link for each area that shows an object.
    MappedFiles(u32),
    MappedFileLink(u32, u64, u64),
    /// The names of its namespaces.
    Namespaces(u32),
    NamespaceLink(u32, &'static Namespace),
}

impl Body {
    /// What it is about the thing of a number.
    pub(super) fn about(self, number: u32) -> Self {
        match self {
            Self::OfThingParts(list, entries) => Self::ThingParts(number, list, entries),
            Self::OfThingDirectory(entries) => Self::ThingDirectory(number, entries),
            Self::OfThing(make) => Self::ThingText(number, make),
            Self::OfThingLink(target) => Self::ThingLink(number, target),
            other => other,
        }
    }

    /// What it is about the thread of a number, or about its process.
    pub(super) fn of_thread(self, number: u32) -> Self {
        match self {
            Self::OfThread(make, set) => Self::ThreadText(number, make, set),
            Self::OfThreadLink(target) => Self::ThreadLink(number, target),
            Self::Threads(UNKNOWN) => Self::Threads(number),
            Self::Descriptors(UNKNOWN) => Self::Descriptors(number),
            Self::DescriptorTexts(UNKNOWN) => Self::DescriptorTexts(number),
            Self::OfThreadFile(open) => Self::ThreadFile(number, open),
            Self::MappedFiles(UNKNOWN) => Self::MappedFiles(number),
            Self::Namespaces(UNKNOWN) => Self::Namespaces(number),
            other => other,
        }
    }

    /// Its permissions, where no table says them.
    pub(super) fn permissions(self) -> u16 {
        match kind_of(self) {
            FileKind::Directory => 0o555,
            FileKind::Symlink => 0o777,
            _ => 0o444,
        }
    }
}

/// A file of `/proc` or `/sys`.
#[derive(Clone, Copy)]
pub(in crate::fs) struct Entry {
    pub(super) name: &'static str,
    /// May have [`GUARDED`] in it.
    pub(super) permissions: u16,
    pub(super) body: Body,
}

/// In permissions of a file about a process, says that who opens it has to be allowed to look into the process as well.
pub(super) const GUARDED: u16 = 0o10_000;

/// A file of a body that needs no permissions of its own.
pub(in crate::fs) const fn entry(name: &'static str, permissions: u16, body: Body) -> Entry {
    Entry {
        name,
        permissions,
        body,
    }
}

pub(in crate::fs) const fn directory(name: &'static str, entries: &'static [Entry]) -> Entry {
    Entry {
        name,
        permissions: 0o555,
        body: Body::Directory(entries),
    }
}

pub(in crate::fs) const fn text(name: &'static str, make: Make) -> Entry {
    Entry {
        name,
        permissions: 0o444,
        body: Body::Text(make),
    }
}

pub(in crate::fs) const fn of_thread(name: &'static str, make: MakeOfThread) -> Entry {
    Entry {
        name,
        permissions: 0o444,
        body: Body::OfThread(make, None),
    }
}

pub(in crate::fs) const fn constant(name: &'static str, value: &'static str) -> Entry {
    Entry {
        name,
        permissions: 0o444,
        body: Body::Constant(value),
    }
}

pub(in crate::fs) const fn setting(name: &'static str, make: Make, set: Set) -> Entry {
    Entry {
        name,
        permissions: 0o644,
        body: Body::Setting(make, set),
    }
}

pub(in crate::fs) const fn link(name: &'static str, target: fn() -> Result<Target, Errno>) -> Entry {
    Entry {
        name,
        permissions: 0o777,
        body: Body::Link(target),
    }
}
