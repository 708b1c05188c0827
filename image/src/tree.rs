//! The files of an image, before they are written.
//!
//! A [`Tree`] maps guest paths to nodes. It is filled from two sides: what the user placed in it
//! explicitly, and what programs turn out to need. The second kind is looked up in a *view* in which the
//! tree lies on top of the host: a path is walked component by component, each taken from the tree where
//! the tree has it and from the host otherwise, with symbolic links followed as the guest will follow
//! them. [`Tree::import`] then stores every link and directory that the walk crossed, so that the same
//! path resolves in the guest (`/lib64/ld-linux-x86-64.so.2` through the link `/lib64`, for example).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use crate::error::Error;
use crate::extended::{self, ExtendedAttribute};

/// Linux follows at most this many symbolic links in one path (`MAXSYMLINKS`, path_resolution(7)).
pub(crate) const MAXIMUM_LINKS: usize = 40;

/// Owner, permissions and time of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// Permission bits with set-user-ID, set-group-ID and sticky bit; no file type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, seconds since 1970 (UTC).
    pub seconds: i64,
    /// Nanoseconds of the modification time.
    pub nanoseconds: u32,
}

impl Metadata {
    /// Metadata of a file that the builder makes up: owned by root, dated 1970 so that builds repeat.
    pub const fn generated(mode: u32) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            seconds: 0,
            nanoseconds: 0,
        }
    }

    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec() as u32,
        }
    }
}

/// A regular file of the host, as it was when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostFile {
    /// Where its contents are read.
    pub path: PathBuf,
    /// Length in bytes.
    pub length: u64,
    /// Number of names that the file has on the host.
    pub links: u64,
    /// What changes whenever the file does: device, inode, and change time in seconds and nanoseconds.
    pub identity: (u64, u64, i64, i64),
}

impl HostFile {
    pub fn of(path: &Path, metadata: &fs::Metadata) -> Self {
        Self {
            path: path.into(),
            length: metadata.len(),
            links: metadata.nlink(),
            identity: (
                metadata.dev(),
                metadata.ino(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ),
        }
    }
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Directory,
    /// A symbolic link and its target.
    Link(PathBuf),
    /// A regular file whose contents are on the host.
    Host(HostFile),
    /// A regular file that the builder made up.
    Bytes(Vec<u8>),
}

/// A file, directory or symbolic link of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub metadata: Metadata,
    pub content: Content,
    /// The extended attributes of a directory. Those of files are read with their contents.
    pub extended: Vec<ExtendedAttribute>,
}

impl Node {
    /// The node for a file of the host. Links are not followed.
    fn from_host(path: &Path, metadata: &fs::Metadata) -> Result<Self, Error> {
        let content = if metadata.is_dir() {
            Content::Directory
        } else if metadata.is_symlink() {
            Content::Link(fs::read_link(path).map_err(Error::unreadable(path))?)
        } else if metadata.is_file() {
            Content::Host(HostFile::of(path, metadata))
        } else {
            return Err(Error::SpecialFile {
                path: path.into(),
                kind: kind_of(metadata),
            });
        };
        Ok(Self {
            metadata: Metadata::of(metadata),
            content,
            extended: Vec::new(),
        })
    }
}

/// What a file of the host is, with its article.
pub(crate) fn kind_of(metadata: &fs::Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "a regular file"
    }
}

/// What becomes of a file that is in the tree already when another one is copied to its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Present {
    /// It stays.
    Keep,
    /// It is replaced.
    Replace,
}

/// Where a walk ended.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// At a regular file, under this canonical guest path.
    File(PathBuf),
    /// At a directory, under this canonical guest path.
    Directory(PathBuf),
    /// Nowhere.
    Nothing,
}

/// Directories in which the files are a kernel's.
const KERNELS: [&str; 2] = ["/proc", "/sys"];

/// Whether a file of the host is one of its kernel's.
pub(crate) fn is_of_kernel(path: &Path) -> bool {
    KERNELS.iter().any(|kernels| path.starts_with(kernels))
}

/// A walk through the view: what it crossed on the host, and where it ended.
struct Walk {
    crossed: Vec<(PathBuf, Node)>,
    found: Found,
}

/// The files of an image by canonical guest path (absolute, without links, `.` or `..` on the way).
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<PathBuf, Node>,
}

impl Tree {
    /// A tree with nothing but `/`.
    pub fn new() -> Self {
        let mut tree = Self::default();
        tree.nodes.insert(
            "/".into(),
            Node {
                metadata: Metadata::generated(0o755),
                content: Content::Directory,
                extended: Vec::new(),
            },
        );
        tree
    }

    /// All nodes, parents before children.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_path(), node))
    }

    /// The node at a canonical path.
    pub fn get(&self, canonical: &Path) -> Option<&Node> {
        self.nodes.get(canonical)
    }

    /// Changes the modification time of every node.
    pub fn set_times(&mut self, seconds: i64) {
        for node in self.nodes.values_mut() {
            node.metadata.seconds = seconds;
            node.metadata.nanoseconds = 0;
        }
    }

    /// Walks an absolute guest path through the view, following links.
    fn walk(&self, path: &Path, follow_last: bool) -> Result<Walk, Error> {
        let mut current = PathBuf::from("/");
        let mut pending: VecDeque<OsString> = names(path);
        let mut crossed: Vec<(PathBuf, Node)> = Vec::new();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == ".." {
                current.pop();
                continue;
            }
            let next = current.join(&name);
            let from_host;
            let node = match self.nodes.get(&next) {
                Some(node) => node,
                // A link such as /etc/mtab leads there: what it says of the machine, the machine's own kernel will say.
                None if is_of_kernel(&next) => {
                    return Ok(Walk {
                        crossed,
                        found: Found::Nothing,
                    });
                }
                None => match fs::symlink_metadata(&next) {
                    Ok(metadata)
                        if metadata.is_dir() || metadata.is_symlink() || metadata.is_file() =>
                    {
                        from_host = Node::from_host(&next, &metadata)?;
                        crossed.push((next.clone(), from_host));
                        &crossed[crossed.len() - 1].1
                    }
                    Ok(_) => {
                        return Ok(Walk {
                            crossed,
                            found: Found::Nothing,
                        });
                    }
                    Err(error)
                        if error.kind() == std::io::ErrorKind::NotFound
                            || error.kind() == std::io::ErrorKind::NotADirectory =>
                    {
                        return Ok(Walk {
                            crossed,
                            found: Found::Nothing,
                        });
                    }
                    Err(error) => return Err(Error::unreadable(next)(error)),
                },
            };
            match &node.content {
                Content::Directory => current = next,
                Content::Link(_) if pending.is_empty() && !follow_last => {
                    return Ok(Walk {
                        crossed,
                        found: Found::Nothing,
                    });
                }
                Content::Link(target) => {
                    links += 1;
                    if links > MAXIMUM_LINKS {
                        return Err(Error::TooManyLinks { path: path.into() });
                    }
                    if target.is_absolute() {
                        current = "/".into();
                    }
                    for name in names(target).into_iter().rev() {
                        pending.push_front(name);
                    }
                }
                Content::Host(_) | Content::Bytes(_) => {
                    let found = if pending.is_empty() {
                        Found::File(next)
                    } else {
                        Found::Nothing
                    };
                    return Ok(Walk { crossed, found });
                }
            }
        }
        Ok(Walk {
            crossed,
            found: Found::Directory(current),
        })
    }

    /// Looks an absolute guest path up in the view, without storing anything.
    pub fn find(&self, path: &Path) -> Result<Found, Error> {
        Ok(self.walk(path, true)?.found)
    }

    /// Where the contents of a canonical guest path are on the host, if it is a file of the host.
    ///
    /// Holds for files of the view, whether imported yet or not.
    pub fn host_path(&self, canonical: &Path) -> PathBuf {
        match self.nodes.get(canonical) {
            Some(Node {
                content: Content::Host(file),
                ..
            }) => file.path.clone(),
            _ => canonical.into(),
        }
    }

    /// Stores a file or directory of the view, with every link and directory on the way to it.
    ///
    /// The contents of a directory are not stored. Returns where the path led.
    pub fn import(&mut self, path: &Path) -> Result<Found, Error> {
        let walk = self.walk(path, true)?;
        if !matches!(walk.found, Found::Nothing) {
            self.store(walk.crossed)?;
        }
        Ok(walk.found)
    }

    /// Stores every link and directory on the way of a path, also if it leads to nothing that is taken.
    pub fn import_way(&mut self, path: &Path) -> Result<(), Error> {
        let walk = self.walk(path, true)?;
        self.store(walk.crossed)?;
        Ok(())
    }

    fn store(&mut self, crossed: Vec<(PathBuf, Node)>) -> Result<(), Error> {
        for (path, mut node) in crossed {
            let Entry::Vacant(entry) = self.nodes.entry(path) else {
                continue;
            };
            if matches!(node.content, Content::Directory) {
                node.extended = extended::of_host(entry.key())?;
                // A directory that is only on the way: its time on the host says when some file next to
                // ours changed, and would make builds differ.
                node.metadata.seconds = 0;
                node.metadata.nanoseconds = 0;
            }
            entry.insert(node);
        }
        Ok(())
    }

    /// Resolves the directory part of a guest path; see [`Tree::directory_for`].
    fn parent_for(&mut self, guest: &Path) -> Result<PathBuf, Error> {
        self.directory_for(guest.parent().unwrap_or(Path::new("/")))
    }

    /// Resolves a directory of the guest, and creates the directories that do not exist yet: as
    /// on the host where the host has them, otherwise owned by root with mode 0755.
    fn directory_for(&mut self, guest: &Path) -> Result<PathBuf, Error> {
        let mut canonical = PathBuf::from("/");
        for name in names(guest) {
            if name == ".." {
                canonical.pop();
                continue;
            }
            let step = canonical.join(&name);
            match self.import(&step)? {
                Found::Directory(directory) => canonical = directory,
                Found::File(file) => {
                    return Err(Error::Conflict {
                        guest: guest.into(),
                        reason: format!("`{}` is a file, not a directory", file.display()),
                    });
                }
                Found::Nothing if self.nodes.contains_key(&step) => {
                    return Err(Error::Conflict {
                        guest: guest.into(),
                        reason: format!("`{}` is a link that leads nowhere", step.display()),
                    });
                }
                Found::Nothing => {
                    self.nodes.insert(
                        step.clone(),
                        Node {
                            metadata: Metadata::generated(0o755),
                            content: Content::Directory,
                            extended: Vec::new(),
                        },
                    );
                    canonical = step;
                }
            }
        }
        Ok(canonical)
    }

    /// Makes sure that a directory exists, with those above it.
    pub fn create_directory(&mut self, guest: &Path) -> Result<(), Error> {
        self.directory_for(guest).map(drop)
    }

    /// Stores the links of the host's `/` that lead to directories of the image, such as `/bin`: programs use the names
    /// of both sides, whichever of them a file was named by.
    pub fn import_links_of_root(&mut self) -> Result<(), Error> {
        let root = Path::new("/");
        for entry in fs::read_dir(root).map_err(Error::unreadable(root))? {
            let path = entry.map_err(Error::unreadable(root))?.path();
            let walk = self.walk(&path, true)?;
            // All on the way but the link is in the image already.
            let leads_into_image = matches!(walk.found, Found::Directory(_))
                && matches!(&walk.crossed[..], [(_, node)] if matches!(node.content, Content::Link(_)));
            if leads_into_image {
                self.store(walk.crossed)?;
            }
        }
        Ok(())
    }

    /// Gives `/` the attributes that it has in every image.
    pub fn reset_root(&mut self) {
        if let Some(root) = self.nodes.get_mut(Path::new("/")) {
            root.metadata = Metadata::generated(0o755);
            root.extended.clear();
        }
    }

    /// Adds a node that the builder makes up, unless something is at that path already.
    pub fn generate(&mut self, guest: &str, mode: u32, content: Content) -> Result<(), Error> {
        let guest = Path::new(guest);
        let canonical = match guest.file_name() {
            Some(name) => self.parent_for(guest)?.join(name),
            None => return Ok(()),
        };
        if let Entry::Vacant(entry) = self.nodes.entry(canonical) {
            entry.insert(Node {
                metadata: Metadata::generated(mode),
                content,
                extended: Vec::new(),
            });
        }
        Ok(())
    }

    /// Copies a file or, with everything below it, a directory of the host to a guest path.
    ///
    /// A link given as `host` is followed; links below a directory are kept. `wanted` may refuse files
    /// below the directory, by their host path and whether they are directories. Returns the guest paths
    /// of the regular files that were stored.
    pub fn copy(
        &mut self,
        host: &Path,
        guest: &Path,
        present: Present,
        wanted: &mut dyn FnMut(&Path, bool) -> bool,
    ) -> Result<Vec<PathBuf>, Error> {
        let metadata = fs::metadata(host).map_err(Error::unreadable(host))?;
        let mut files = Vec::new();
        let canonical = match guest.file_name() {
            None => PathBuf::from("/"),
            Some(name) => {
                let unresolved = self.parent_for(guest)?.join(name);
                // A directory goes where a link in the image already leads.
                match self.find(&unresolved)? {
                    Found::Directory(directory) if metadata.is_dir() => {
                        self.import(&unresolved)?;
                        directory
                    }
                    _ => unresolved,
                }
            }
        };
        let node = Node::from_host(host, &metadata)?;
        // Iterative, for the depth of a directory tree is the user's.
        let mut pending = vec![(host.to_path_buf(), canonical, node)];
        while let Some((host, guest, mut node)) = pending.pop() {
            let is_directory = matches!(node.content, Content::Directory);
            if is_directory {
                node.extended = extended::of_host(&host)?;
            }
            if let Some(there) = self.nodes.get(&guest) {
                let both_directories = matches!(there.content, Content::Directory) && is_directory;
                if present == Present::Keep && !both_directories {
                    continue;
                }
                if matches!(there.content, Content::Directory) != is_directory {
                    return Err(Error::Conflict {
                        guest,
                        reason: if is_directory {
                            format!(
                                "`{}` is a directory, and a file or link has that name already",
                                host.display()
                            )
                        } else {
                            format!(
                                "`{}` is not a directory, and a directory has that name already",
                                host.display()
                            )
                        },
                    });
                }
            }
            if matches!(node.content, Content::Host(_)) {
                files.push(guest.clone());
            }
            self.nodes.insert(guest.clone(), node);
            if !is_directory {
                continue;
            }
            for entry in fs::read_dir(&host).map_err(Error::unreadable(&host))? {
                let entry = entry.map_err(Error::unreadable(&host))?;
                let path = entry.path();
                let metadata = entry.metadata().map_err(Error::unreadable(&path))?;
                if wanted(&path, metadata.is_dir()) {
                    let node = Node::from_host(&path, &metadata)?;
                    pending.push((path, guest.join(entry.file_name()), node));
                }
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// The names of what lies in a canonical directory of the tree itself.
    pub fn children<'a>(&'a self, directory: &'a Path) -> impl Iterator<Item = &'a OsStr> {
        self.nodes
            .range(directory.to_path_buf()..)
            .take_while(move |(path, _)| path.starts_with(directory))
            .filter(move |(path, _)| path.parent() == Some(directory))
            .filter_map(|(path, _)| path.file_name())
    }

    /// The symbolic links below a canonical directory.
    pub fn links_below(&self, directory: &Path) -> Vec<PathBuf> {
        self.nodes
            .range(directory.to_path_buf()..)
            .take_while(|(path, _)| path.starts_with(directory))
            .filter(|(_, node)| matches!(node.content, Content::Link(_)))
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Removes a file that was added before.
    pub fn remove(&mut self, canonical: &Path) {
        self.nodes.remove(canonical);
    }
}

/// The names of a path in order, without `/` and `.`.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_os_string()),
            Component::ParentDir => Some(OsStr::new("..").to_os_string()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}
