//! From paths to files: `path_resolution(7)`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use bitflags::bitflags;
use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::PATH_MAX;
use pith_linux::mounts::MountOptions;

use super::inode::{Inode, Target, same};
use super::mounts;
use super::permission::{Access, Rights};

/// Most symbolic links that are followed for one path.
const MAXIMUM_LINKS: usize = 40;

bitflags! {
    /// Where a path must not lead (`RESOLVE_*` of `openat2(2)`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Restrictions: u64 {
        /// To another mount (`RESOLVE_NO_XDEV`).
        const ONE_MOUNT = 0x1;
        /// Through the links of `/proc` that lead straight to files (`RESOLVE_NO_MAGICLINKS`).
        const NO_MAGIC_LINKS = 0x2;
        /// Through symbolic links (`RESOLVE_NO_SYMLINKS`).
        const NO_SYMLINKS = 0x4;
        /// Out of the directory where it starts (`RESOLVE_BENEATH`).
        const BENEATH = 0x8;
        /// Out of the directory where it starts, which is the root for it (`RESOLVE_IN_ROOT`).
        const IN_ROOT = 0x10;
        /// To what is not in memory (`RESOLVE_CACHED`): everything is.
        const CACHED = 0x20;
    }
}

/// From where a path is followed.
pub struct Origin {
    /// What `/` means.
    pub root: Arc<dyn Inode>,
    /// Where a relative path starts.
    pub start: Arc<dyn Inode>,
    /// Where the path must not lead.
    pub restrictions: Restrictions,
    /// In whose name it is followed.
    pub rights: Rights,
}

impl Origin {
    /// Without restrictions, in the name of the current process.
    pub fn new(root: Arc<dyn Inode>, start: Arc<dyn Inode>) -> Self {
        Self {
            root,
            start,
            restrictions: Restrictions::empty(),
            rights: Rights::current(),
        }
    }
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

/// Moves of directories to other directories that have begun and that have ended, ever.
static MOVES: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// A directory is being moved to another directory. Begun before `..` of it, or of anything in it, can lead elsewhere.
pub struct DirectoryMove(());

impl DirectoryMove {
    /// It begins.
    pub fn begin() -> Self {
        MOVES[0].fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for DirectoryMove {
    fn drop(&mut self) {
        MOVES[1].fetch_add(1, Ordering::SeqCst);
    }
}

/// The state of a walk along a path.
struct Walk<'a> {
    origin: &'a Origin,
    directory: Arc<dyn Inode>,
    links: usize,
    /// The root was met already. As long as it was not, Linux takes an absolute link for one to another mount.
    knows_root: bool,
    /// Moves of directories that had ended when the walk began.
    moves: usize,
}

fn trim_start(mut path: &[u8]) -> &[u8] {
    while let [b'/', rest @ ..] = path {
        path = rest;
    }
    path
}

impl<'a> Walk<'a> {
    fn new(origin: &'a Origin) -> Self {
        Self {
            origin,
            directory: origin.start.clone(),
            links: 0,
            knows_root: origin
                .restrictions
                .intersects(Restrictions::BENEATH | Restrictions::IN_ROOT),
            moves: MOVES[1].load(Ordering::SeqCst),
        }
    }

    /// The file under a name of the current directory, mounts crossed, links not followed.
    fn step(&mut self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if self.directory.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        self.knows_root |= name == b"..";
        match name {
            b"." => Ok(self.directory.clone()),
            b".." if same(&self.directory, &self.origin.root) => {
                if self.is_restricted(Restrictions::BENEATH) {
                    return Err(Errno::EXDEV);
                }
                Ok(self.directory.clone())
            }
            b".." => {
                let above = self.cross(self.directory.parent()?)?;
                // Since the walk came down, something may have been moved out of where it must stay. Linux says so, too.
                if self.is_restricted(Restrictions::BENEATH | Restrictions::IN_ROOT)
                    && MOVES[0].load(Ordering::SeqCst) != self.moves
                {
                    return Err(Errno::EAGAIN);
                }
                if self.is_restricted(Restrictions::ONE_MOUNT) && !mounts::same_mount(&*above, &*self.directory) {
                    return Err(Errno::EXDEV);
                }
                Ok(above)
            }
            name => self.cross(self.directory.lookup(name)?),
        }
    }

    /// As [`Self::step`], to a file that should be there, and from there along the rest of the path.
    fn step_to_existing(&mut self, name: &[u8], rest: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        self.step(name).inspect_err(|errno| {
            if *errno == Errno::ENOENT {
                self.directory.note_lacking(name, rest);
            }
        })
    }

    fn is_restricted(&self, by: Restrictions) -> bool {
        self.origin.restrictions.intersects(by)
    }

    /// Goes to what is mounted on a directory.
    fn cross(&self, mut inode: Arc<dyn Inode>) -> Result<Arc<dyn Inode>, Errno> {
        while let Some(root) = inode.mounted() {
            if self.is_restricted(Restrictions::ONE_MOUNT) {
                return Err(Errno::EXDEV);
            }
            inode = root;
        }
        Ok(inode)
    }

    /// Where a symbolic link leads, if it may be followed.
    fn target(&mut self, link: &Arc<dyn Inode>) -> Result<Target, Errno> {
        self.links += 1;
        if self.links > MAXIMUM_LINKS
            || self.is_restricted(Restrictions::NO_SYMLINKS)
            || mounts::restricts(&**link, MountOptions::NO_LINKS)
        {
            return Err(Errno::ELOOP);
        }
        let target = link.target()?;
        mounts::accessed(&**link);
        if let Target::File(file) = &target {
            if self.is_restricted(Restrictions::NO_MAGIC_LINKS) {
                return Err(Errno::ELOOP);
            }
            let elsewhere = || !mounts::same_mount(&**file, &**link);
            if self.is_restricted(Restrictions::BENEATH | Restrictions::IN_ROOT)
                || self.is_restricted(Restrictions::ONE_MOUNT) && elsewhere()
            {
                return Err(Errno::EXDEV);
            }
        }
        Ok(target)
    }

    /// Walks all but the last name of a path, and returns that.
    fn walk_to_last(&mut self, path: &[u8]) -> Result<(LastName, bool), Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path[0] == b'/' {
            if self.is_restricted(Restrictions::BENEATH) {
                return Err(Errno::EXDEV);
            }
            if self.links != 0 && self.is_restricted(Restrictions::ONE_MOUNT) {
                let elsewhere = || !mounts::same_mount(&*self.origin.root, &*self.directory);
                if !self.knows_root || elsewhere() {
                    return Err(Errno::EXDEV);
                }
            }
            self.knows_root = true;
            self.directory = self.origin.root.clone();
        }
        let mut rest = trim_start(path);
        loop {
            if rest.is_empty() {
                return Ok((LastName::Itself, true));
            }
            if self.directory.kind() == FileKind::Directory {
                self.origin.rights.check(&*self.directory, Access::EXECUTE)?;
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
                    name => LastName::Name(name.to_vec()),
                };
                return Ok((last, directory_only));
            }
            let inode = self.step_to_existing(name, next)?;
            self.directory = match inode.kind() {
                FileKind::Symlink => self.follow(&inode, false)?,
                FileKind::Directory => inode,
                _ => return Err(Errno::ENOTDIR),
            };
            rest = next;
        }
    }

    /// The file that a symbolic link in the current directory leads to, all links followed. Only of links that end the whole path
    /// it matters who made them.
    fn follow(&mut self, link: &Arc<dyn Inode>, ends_path: bool) -> Result<Arc<dyn Inode>, Errno> {
        match self.target(link)? {
            Target::File(inode) => Ok(inode),
            Target::Path(path) => {
                let (last, directory_only) = self.walk_to_last(&path)?;
                self.finish(&last, true, directory_only, ends_path)
            }
        }
    }

    /// The file under the last name of the path, or of one that a link in its middle leads along.
    fn finish(
        &mut self,
        last: &LastName,
        follow: bool,
        directory_only: bool,
        ends_path: bool,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let inode = match last {
            LastName::Itself => self.step(b".")?,
            LastName::Above => self.step(b"..")?,
            LastName::Name(name) => self.step_to_existing(name, b"")?,
        };
        let inode = match inode.kind() {
            // A slash behind a link's name asks for what it leads to.
            FileKind::Symlink if follow || directory_only => {
                if ends_path {
                    self.origin.rights.check_link(&*self.directory, &*inode)?;
                }
                self.follow(&inode, ends_path)?
            }
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
    let mut walk = Walk::new(origin);
    let (last, directory_only) = walk.walk_to_last(path)?;
    walk.finish(&last, follow, directory_only, true)
}

/// Finds the directory of a path's last name, which need not exist.
///
/// # Errors
/// As for [`find`].
pub fn find_place(origin: &Origin, path: &[u8]) -> Result<NamedPlace, Errno> {
    check_length(path)?;
    let mut walk = Walk::new(origin);
    let (name, directory_only) = walk.walk_to_last(path)?;
    Ok(NamedPlace {
        directory: walk.directory,
        name,
        directory_only,
    })
}

/// What [`find_or_place`] found.
pub enum Found {
    /// The file, and the directory that holds its name.
    File(Arc<dyn Inode>, Arc<dyn Inode>),
    /// No file, but the place where it would be.
    Missing(NamedPlace),
}

/// Finds the file at a path, or the place where it can be made. Symbolic links are followed, even if what they
/// lead to does not exist yet.
///
/// # Errors
/// As for [`find`]; `EISDIR` if the path ends with a slash, as no directory is made so.
pub fn find_or_place(origin: &Origin, path: &[u8], follow: bool) -> Result<Found, Errno> {
    check_length(path)?;
    let mut walk = Walk::new(origin);
    let mut path = path.to_vec();
    loop {
        let (last, directory_only) = walk.walk_to_last(&path)?;
        let LastName::Name(name) = &last else {
            let inode = walk.finish(&last, follow, directory_only, true)?;
            return Ok(Found::File(inode, walk.directory));
        };
        if directory_only {
            return Err(Errno::EISDIR);
        }
        let inode = match walk.step(name) {
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
        if inode.kind() != FileKind::Symlink || !follow {
            return Ok(Found::File(inode, walk.directory));
        }
        origin.rights.check_link(&*walk.directory, &*inode)?;
        match walk.target(&inode)? {
            Target::File(inode) => return Ok(Found::File(inode, walk.directory)),
            Target::Path(target) => path = target,
        }
    }
}
