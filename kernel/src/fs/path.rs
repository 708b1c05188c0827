//! From paths to files: `path_resolution(7)`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{NAME_MAX, PATH_MAX};

use super::inode::{Inode, Target, same};

/// Most symbolic links that are followed for one path.
const MAXIMUM_LINKS: usize = 40;

/// From where a path is followed.
pub struct Origin {
    /// What `/` means.
    pub root: Arc<dyn Inode>,
    /// Where a relative path starts.
    pub start: Arc<dyn Inode>,
}

/// A place for a name: its directory, and the name itself.
pub struct NamedPlace {
    /// The directory.
    pub directory: Arc<dyn Inode>,
    /// The last name of the path.
    pub name: LastName,
    /// The path ends with a slash: only a directory is meant.
    pub directory_only: bool,
}

/// The last name of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastName {
    /// An ordinary name.
    Name(Vec<u8>),
    /// `.`, or nothing but slashes: the directory itself.
    Itself,
    /// `..`
    Above,
}

/// The state of a walk along a path.
struct Walk<'a> {
    origin: &'a Origin,
    directory: Arc<dyn Inode>,
    links: usize,
}

/// Goes to what is mounted on a directory.
fn cross(mut inode: Arc<dyn Inode>) -> Arc<dyn Inode> {
    while let Some(root) = inode.mounted() {
        inode = root;
    }
    inode
}

fn trim_start(mut path: &[u8]) -> &[u8] {
    while let [b'/', rest @ ..] = path {
        path = rest;
    }
    path
}

impl Walk<'_> {
    /// The file under a name of the current directory, mounts crossed, links not followed.
    fn step(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if self.directory.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        match name {
            b"." => Ok(self.directory.clone()),
            b".." if same(&self.directory, &self.origin.root) => Ok(self.directory.clone()),
            b".." => Ok(cross(self.directory.parent()?)),
            name if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
            name => Ok(cross(self.directory.lookup(name)?)),
        }
    }

    /// Walks all but the last name of a path, and returns that.
    fn walk_to_last(&mut self, path: &[u8]) -> Result<(LastName, bool), Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path[0] == b'/' {
            self.directory = self.origin.root.clone();
        }
        let mut rest = trim_start(path);
        loop {
            if rest.is_empty() {
                return Ok((LastName::Itself, true));
            }
            let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            let next = trim_start(behind);
            if next.is_empty() {
                let directory_only = !behind.is_empty();
                if self.directory.kind() != FileKind::Directory {
                    return Err(Errno::ENOTDIR);
                }
                let last = match name {
                    b"." => LastName::Itself,
                    b".." => LastName::Above,
                    name if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
                    name => LastName::Name(name.to_vec()),
                };
                return Ok((last, directory_only));
            }
            let inode = self.step(name)?;
            self.directory = match inode.kind() {
                FileKind::Symlink => self.follow(&inode)?,
                FileKind::Directory => inode,
                _ => return Err(Errno::ENOTDIR),
            };
            rest = next;
        }
    }

    /// The file that a symbolic link in the current directory leads to, all links followed.
    fn follow(&mut self, link: &Arc<dyn Inode>) -> Result<Arc<dyn Inode>, Errno> {
        self.links += 1;
        if self.links > MAXIMUM_LINKS {
            return Err(Errno::ELOOP);
        }
        match link.target()? {
            Target::File(inode) => Ok(inode),
            Target::Path(path) => {
                let (last, directory_only) = self.walk_to_last(&path)?;
                self.finish(&last, true, directory_only)
            }
        }
    }

    /// The file under the last name.
    fn finish(&mut self, last: &LastName, follow: bool, directory_only: bool) -> Result<Arc<dyn Inode>, Errno> {
        let inode = match last {
            LastName::Itself => self.step(b".")?,
            LastName::Above => self.step(b"..")?,
            LastName::Name(name) => self.step(name)?,
        };
        let inode = match inode.kind() {
            // A slash behind a link's name asks for what it leads to.
            FileKind::Symlink if follow || directory_only => self.follow(&inode)?,
            _ => inode,
        };
        if directory_only && inode.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(inode)
    }
}

fn check_length(path: &[u8]) -> Result<(), Errno> {
    if path.len() >= PATH_MAX {
        Err(Errno::ENAMETOOLONG)
    } else {
        Ok(())
    }
}

/// Finds the file at a path; a symbolic link as the last name is followed on demand.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`, `ELOOP`, `ENAMETOOLONG`, and what the file system answers.
pub fn find(origin: &Origin, path: &[u8], follow: bool) -> Result<Arc<dyn Inode>, Errno> {
    check_length(path)?;
    let mut walk = Walk {
        origin,
        directory: origin.start.clone(),
        links: 0,
    };
    let (last, directory_only) = walk.walk_to_last(path)?;
    walk.finish(&last, follow, directory_only)
}

/// Finds the directory of a path's last name, which need not exist.
///
/// # Errors
/// As for [`find`].
pub fn find_place(origin: &Origin, path: &[u8]) -> Result<NamedPlace, Errno> {
    check_length(path)?;
    let mut walk = Walk {
        origin,
        directory: origin.start.clone(),
        links: 0,
    };
    let (name, directory_only) = walk.walk_to_last(path)?;
    Ok(NamedPlace {
        directory: walk.directory,
        name,
        directory_only,
    })
}

/// What [`find_or_place`] found.
pub enum Found {
    /// The file.
    File(Arc<dyn Inode>),
    /// No file, but the place where it would be.
    Missing(NamedPlace),
}

/// Finds the file at a path, or the place where it can be made. Symbolic links are followed, even if what they
/// lead to does not exist yet.
///
/// # Errors
/// As for [`find`]; `EISDIR` for a missing file whose path ends with a slash.
pub fn find_or_place(origin: &Origin, path: &[u8], follow: bool) -> Result<Found, Errno> {
    check_length(path)?;
    let mut walk = Walk {
        origin,
        directory: origin.start.clone(),
        links: 0,
    };
    let mut path = path.to_vec();
    loop {
        let (last, directory_only) = walk.walk_to_last(&path)?;
        let LastName::Name(name) = &last else {
            return walk.finish(&last, follow, directory_only).map(Found::File);
        };
        let inode = match walk.step(name) {
            Err(Errno::ENOENT) if directory_only => return Err(Errno::EISDIR),
            Err(Errno::ENOENT) => {
                return Ok(Found::Missing(NamedPlace {
                    directory: walk.directory,
                    name: last,
                    directory_only,
                }));
            }
            Err(errno) => return Err(errno),
            Ok(inode) => inode,
        };
        if inode.kind() != FileKind::Symlink || !(follow || directory_only) {
            if directory_only && inode.kind() != FileKind::Directory {
                return Err(Errno::ENOTDIR);
            }
            return Ok(Found::File(inode));
        }
        walk.links += 1;
        if walk.links > MAXIMUM_LINKS {
            return Err(Errno::ELOOP);
        }
        match inode.target()? {
            Target::File(inode) => return Ok(Found::File(inode)),
            Target::Path(target) => path = target,
        }
    }
}
