//! Writing an image.
//!
//! A [`Builder`] collects files by path, in any order. [`Builder::layout`] then decides where everything
//! goes, so that the image's size is known; [`Layout::write`] produces the bytes from first to last and
//! reads the files' data only then, a piece at a time.

mod extended;
mod layout;
mod output;

pub use layout::Layout;
pub use output::{Content, Output, WriteError};

use crate::format::{FileKind, MAXIMUM_NAME, MAXIMUM_PATH};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970 (UTC).
    pub seconds: i64,
    /// Nanoseconds of that, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// What every file has, whatever its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permissions, with set-user-ID, set-group-ID and sticky bit: at most `0o7777` (inode(7)).
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When the data last changed.
    pub modified: Timestamp,
}

/// A file without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialFile {
    /// A character device.
    CharacterDevice {
        /// Its driver: at most `0xfff`.
        major: u32,
        /// Which of the driver's devices: at most `0xfffff`.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Its driver: at most `0xfff`.
        major: u32,
        /// Which of the driver's devices: at most `0xfffff`.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A Unix domain socket.
    Socket,
}

/// Why a file can't be added, or an image can't be laid out. Paths are shown as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// The path isn't one that an image can have.
    InvalidPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        defect: &'static str,
    },
    /// The path was added before, as something else.
    Conflict {
        /// The path, or the part of it that is in the way.
        path: String,
        /// What it is.
        existing: &'static str,
        /// What it should have become.
        new: &'static str,
    },
    /// An attribute has a value that the format can't hold.
    InvalidAttribute {
        /// The path.
        path: String,
        /// Which one, and what it may be.
        defect: &'static str,
    },
    /// A hard link leads to a path that wasn't added, or only to other links in a circle.
    MissingLinkTarget {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A hard link leads to a directory, which Linux doesn't allow (link(2)).
    LinkToDirectory {
        /// The link.
        path: String,
        /// The directory.
        target: String,
    },
    /// The image would be larger than 16 TiB, or have more than 2³² files.
    TooLarge,
}

impl fmt::Display for BuildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidPath { path, defect } => write!(formatter, "path \"{path}\": {defect}"),
            Self::Conflict {
                path,
                existing,
                new,
            } => write!(
                formatter,
                "\"{path}\" is already {existing} of the image and can't become {new} as well: leave one of them out"
            ),
            Self::InvalidAttribute { path, defect } => write!(formatter, "\"{path}\": {defect}"),
            Self::MissingLinkTarget { path, target } => write!(
                formatter,
                "hard link \"{path}\" leads to \"{target}\", which is not a file of the image: add that file"
            ),
            Self::LinkToDirectory { path, target } => write!(
                formatter,
                "hard link \"{path}\" leads to directory \"{target}\": use a symbolic link"
            ),
            Self::TooLarge => formatter.write_str(
                "the image is too large: a file system of EROFS has at most 16 TiB and 2^32 files",
            ),
        }
    }
}

impl core::error::Error for BuildError {}

/// Number of a node in [`Builder::nodes`].
type NodeIndex = usize;

/// The root directory, always the first node.
const ROOT: NodeIndex = 0;

/// A path of the tree.
struct Node<C> {
    /// `None` for directories that nobody added: they were missing above something else.
    attributes: Option<Attributes>,
    /// Its extended attributes, as they lie behind its inode.
    extended: Box<[u8]>,
    /// What is there.
    kind: NodeKind<C>,
}

/// What a path of the tree stands for.
enum NodeKind<C> {
    /// A directory, with its names in the order that the format wants.
    Directory(BTreeMap<Box<[u8]>, NodeIndex>),
    /// A regular file.
    File(C),
    /// A symbolic link, with its target.
    Symlink(Box<[u8]>),
    /// A device, pipe or socket.
    Special(SpecialFile),
    /// One more name for the file with this path.
    HardLink(Box<[u8]>),
}

impl<C> NodeKind<C> {
    /// Type of the file; `None` for a hard link, which has that of its target.
    fn kind(&self) -> Option<FileKind> {
        match self {
            Self::Directory(_) => Some(FileKind::Directory),
            Self::File(_) => Some(FileKind::Regular),
            Self::Symlink(_) => Some(FileKind::Symlink),
            Self::Special(special) => Some(special.kind()),
            Self::HardLink(_) => None,
        }
    }

    /// What people call it, with article.
    fn description(&self) -> &'static str {
        self.kind().map_or("a hard link", |kind| kind.description())
    }
}

impl SpecialFile {
    /// The type of the file.
    fn kind(self) -> FileKind {
        match self {
            Self::CharacterDevice { .. } => FileKind::CharacterDevice,
            Self::BlockDevice { .. } => FileKind::BlockDevice,
            Self::Fifo => FileKind::Fifo,
            Self::Socket => FileKind::Socket,
        }
    }

    /// Major and minor number; zeros if it isn't a device.
    fn numbers(self) -> (u32, u32) {
        match self {
            Self::CharacterDevice { major, minor } | Self::BlockDevice { major, minor } => {
                (major, minor)
            }
            Self::Fifo | Self::Socket => (0, 0),
        }
    }
}

/// Collects the files of an image.
///
/// Paths are absolute bytes; repeated slashes, and slashes at the end, mean nothing. Symbolic links in a
/// path aren't followed. Files can be added in any order with the same result: it never happens that a
/// later call silently wins over an earlier one. Directories that are missing above a file are created.
///
/// `C` is where the data of regular files comes from: see [`Content`].
pub struct Builder<C> {
    /// All paths, [`ROOT`] first.
    nodes: Vec<Node<C>>,
    /// For directories that nobody adds.
    directory_attributes: Attributes,
}

impl<C: Content> Builder<C> {
    /// Starts with an empty root directory. Directories that nobody adds belong to user 0 and group 0,
    /// have permissions `0o755`, and were changed at `modified`.
    pub fn new(modified: Timestamp) -> Self {
        Self {
            nodes: Vec::from([Node {
                attributes: None,
                extended: Box::default(),
                kind: NodeKind::Directory(BTreeMap::new()),
            }]),
            directory_attributes: Attributes {
                permissions: 0o755,
                uid: 0,
                gid: 0,
                modified,
            },
        }
    }

    /// Whether something was added at a path, or is a directory above something that was added.
    pub fn contains(&self, path: &[u8]) -> bool {
        self.find(path).is_some()
    }

    /// The type of the file at a path. `None` if nothing was added there, or only a hard link that leads
    /// nowhere so far.
    pub fn kind(&self, path: &[u8]) -> Option<FileKind> {
        let node = self.follow(self.find(path)?)?;
        self.nodes[node].kind.kind()
    }

    /// Adds a directory, which may have been created already for something in it. Adding it twice is
    /// allowed if the attributes are the same. The root directory can be given its attributes this way.
    pub fn add_directory(&mut self, path: &[u8], attributes: Attributes) -> Result<(), BuildError> {
        check_attributes(path, attributes)?;
        let node = self.directory(path, &components(path)?)?;
        match self.nodes[node].attributes.replace(attributes) {
            Some(existing) if existing != attributes => {
                self.nodes[node].attributes = Some(existing);
                Err(BuildError::Conflict {
                    path: text(path),
                    existing: "a directory",
                    new: "a directory with another owner, mode or time",
                })
            }
            _ => Ok(()),
        }
    }

    /// Adds a regular file. A path can be added once only, as contents can't be compared here.
    pub fn add_file(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        content: C,
    ) -> Result<(), BuildError> {
        check_attributes(path, attributes)?;
        if i64::try_from(content.size()).is_err() {
            return Err(BuildError::TooLarge);
        }
        self.add(path, Some(attributes), NodeKind::File(content))
    }

    /// Adds a symbolic link with any target of 1 to [`MAXIMUM_PATH`] bytes without NUL. Its permissions
    /// mean nothing and are always `0o777` (symlink(7)). Adding the same link twice is allowed.
    pub fn add_symlink(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        target: &[u8],
    ) -> Result<(), BuildError> {
        check_attributes(path, attributes)?;
        if target.is_empty() || target.len() > MAXIMUM_PATH || target.contains(&0) {
            return Err(BuildError::InvalidAttribute {
                path: text(path),
                defect: "the target of a symbolic link needs 1 to 4095 bytes, none of them NUL",
            });
        }
        let attributes = Attributes {
            permissions: 0o777,
            ..attributes
        };
        self.add(path, Some(attributes), NodeKind::Symlink(target.into()))
    }

    /// Adds a device, named pipe or socket. Adding the same one twice is allowed.
    pub fn add_special(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        special: SpecialFile,
    ) -> Result<(), BuildError> {
        check_attributes(path, attributes)?;
        let (major, minor) = special.numbers();
        if major > 0xfff || minor > 0xf_ffff {
            return Err(BuildError::InvalidAttribute {
                path: text(path),
                defect: "a device number has at most 12 bits of major and 20 bits of minor number",
            });
        }
        self.add(path, Some(attributes), NodeKind::Special(special))
    }

    /// Adds one more name for the file at `target`, which must be added too, before or later, and not be a
    /// directory. Adding the same link twice is allowed.
    pub fn add_hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), BuildError> {
        components(target)?;
        self.add(path, None, NodeKind::HardLink(target.into()))
    }

    /// Gives a file that was added its extended attributes by their whole names and values, in place of those that it had.
    /// Together they and the inode must fit into a block.
    pub fn set_extended_attributes(
        &mut self,
        path: &[u8],
        attributes: &[(&[u8], &[u8])],
    ) -> Result<(), BuildError> {
        let invalid = |defect| BuildError::InvalidAttribute {
            path: text(path),
            defect,
        };
        let found = self.find(path).and_then(|node| self.follow(node));
        let node = found.ok_or_else(|| invalid("nothing was added there"))?;
        self.nodes[node].extended = extended::encode(attributes).map_err(invalid)?;
        Ok(())
    }

    /// Adds anything but a directory.
    fn add(
        &mut self,
        path: &[u8],
        attributes: Option<Attributes>,
        kind: NodeKind<C>,
    ) -> Result<(), BuildError> {
        let components = components(path)?;
        let Some((name, parents)) = components.split_last() else {
            return Err(BuildError::Conflict {
                path: text(path),
                existing: "a directory",
                new: kind.description(),
            });
        };
        let parent = self.directory(path, parents)?;
        let new = self.nodes.len();
        let NodeKind::Directory(children) = &mut self.nodes[parent].kind else {
            return Err(self.conflict(path, parent, "a directory"));
        };
        let Some(existing) = children.get(*name).copied() else {
            children.insert((*name).into(), new);
            self.nodes.push(Node {
                attributes,
                extended: Box::default(),
                kind,
            });
            return Ok(());
        };
        let node = &self.nodes[existing];
        let same = match (&node.kind, &kind) {
            (NodeKind::Symlink(existing), NodeKind::Symlink(new)) => existing == new,
            (NodeKind::Special(existing), NodeKind::Special(new)) => existing == new,
            (NodeKind::HardLink(existing), NodeKind::HardLink(new)) => existing == new,
            _ => false,
        };
        if same && node.attributes == attributes {
            return Ok(());
        }
        Err(self.conflict(path, existing, kind.description()))
    }

    /// Finds a directory, and creates it and those above where they are missing. `path` is for messages.
    fn directory(&mut self, path: &[u8], components: &[&[u8]]) -> Result<NodeIndex, BuildError> {
        let mut node = ROOT;
        for name in components {
            let new = self.nodes.len();
            let NodeKind::Directory(children) = &mut self.nodes[node].kind else {
                return Err(self.conflict(path, node, "a directory"));
            };
            node = *children.entry((*name).into()).or_insert(new);
            if node == new {
                self.nodes.push(Node {
                    attributes: None,
                    extended: Box::default(),
                    kind: NodeKind::Directory(BTreeMap::new()),
                });
            }
        }
        match self.nodes[node].kind {
            NodeKind::Directory(_) => Ok(node),
            _ => Err(self.conflict(path, node, "a directory")),
        }
    }

    /// Says that what is at `node`, which is `path` or on the way to it, can't become `new`.
    fn conflict(&self, path: &[u8], node: NodeIndex, new: &'static str) -> BuildError {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let on_the_way = slashes
            .map(|(end, _)| &path[..end])
            .find(|above| self.find(above) == Some(node));
        BuildError::Conflict {
            path: text(on_the_way.unwrap_or(path)),
            existing: self.nodes[node].kind.description(),
            new,
        }
    }

    /// The node at a path, if there is one.
    fn find(&self, path: &[u8]) -> Option<NodeIndex> {
        let mut node = ROOT;
        for name in path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
        {
            let NodeKind::Directory(children) = &self.nodes[node].kind else {
                return None;
            };
            node = *children.get(name)?;
        }
        Some(node)
    }

    /// Follows hard links from a node to the file that they stand for; `None` if they lead nowhere.
    fn follow(&self, node: NodeIndex) -> Option<NodeIndex> {
        let mut node = node;
        // A chain that is longer than the number of nodes is a circle.
        for _ in 0..self.nodes.len() {
            match &self.nodes[node].kind {
                NodeKind::HardLink(target) => node = self.find(target)?,
                _ => return Some(node),
            }
        }
        None
    }

    /// Follows hard links from a node to the file whose inode it shares.
    fn resolve(&self, path: &[u8], node: NodeIndex) -> Result<NodeIndex, BuildError> {
        let NodeKind::HardLink(target) = &self.nodes[node].kind else {
            return Ok(node);
        };
        let file = self
            .follow(node)
            .ok_or_else(|| BuildError::MissingLinkTarget {
                path: text(path),
                target: text(target),
            })?;
        match self.nodes[file].kind {
            NodeKind::Directory(_) => Err(BuildError::LinkToDirectory {
                path: text(path),
                target: text(target),
            }),
            _ => Ok(file),
        }
    }

    /// Decides where in the image everything goes.
    pub fn layout(self) -> Result<Layout<C>, BuildError> {
        check_attributes(b"/", self.directory_attributes)?;
        Layout::new(self)
    }
}

/// Splits a path into names; none for the root.
fn components(path: &[u8]) -> Result<Vec<&[u8]>, BuildError> {
    let invalid = |defect| BuildError::InvalidPath {
        path: text(path),
        defect,
    };
    if path.first() != Some(&b'/') {
        return Err(invalid("it must be absolute, that is start with a slash"));
    }
    if path.len() > MAXIMUM_PATH {
        return Err(invalid("it is longer than 4095 bytes"));
    }
    if path.contains(&0) {
        return Err(invalid("it has a NUL"));
    }
    let components: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .collect();
    for name in &components {
        if matches!(*name, b"." | b"..") {
            return Err(invalid("it has . or .. in it: write it without"));
        }
        if name.len() > MAXIMUM_NAME {
            return Err(invalid("a name in it is longer than 255 bytes"));
        }
    }
    Ok(components)
}

/// Refuses attributes that an inode can't hold.
fn check_attributes(path: &[u8], attributes: Attributes) -> Result<(), BuildError> {
    let invalid = |defect| {
        Err(BuildError::InvalidAttribute {
            path: text(path),
            defect,
        })
    };
    if attributes.permissions > 0o7777 {
        return invalid("permissions have at most 12 bits (0o7777)");
    }
    if attributes.modified.nanoseconds >= 1_000_000_000 {
        return invalid("a time has less than 1,000,000,000 nanoseconds");
    }
    Ok(())
}

/// A path for people.
fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).as_ref().to_owned()
}
