//! Visiting every file of a volume.

use super::{Directory, Error, Inode, Volume};
use crate::format::{FileKind, MAXIMUM_PATH};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// A directory that is being walked through.
struct Level<'a> {
    /// Its inode's number.
    nid: u64,
    /// That of the directory above, which is itself for the root.
    parent: u64,
    /// What is left of it.
    entries: Directory<'a>,
    /// Its last name, to check the order.
    previous: Option<&'a [u8]>,
    /// Length of its path; 0 for the root.
    path_length: usize,
    /// Which of `.` and `..` were seen.
    links_seen: [bool; 2],
}

impl<'a> Volume<'a> {
    /// Visits every file with its absolute path: first the root as `/`, then depth first in the order of
    /// the names. A file with several hard links is visited once for each.
    ///
    /// On the way the tree is checked as a whole, which no single look-up can do: names are sorted, types
    /// in directories are those of the inodes, `.` and `..` are right, no directory can be reached in two
    /// ways (or from itself), and directories share no data, so that the work is proportional to the image.
    /// Memory is needed for the number of each directory.
    ///
    /// Meant for the host; the kernel has no need of it.
    pub fn walk<E: From<Error>>(
        &self,
        mut visit: impl FnMut(&[u8], &Inode) -> Result<(), E>,
    ) -> Result<(), E> {
        let root = self.root()?;
        visit(b"/", &root)?;
        let mut path = Vec::new();
        let mut visited = BTreeSet::from([root.nid]);
        let mut directory_bytes = root.size;
        let mut levels = Vec::from([self.level(&root, root.nid, 0)?]);
        while let Some(level) = levels.last_mut() {
            path.truncate(level.path_length);
            let Some(entry) = level.entries.next() else {
                if level.links_seen != [true; 2] {
                    return Err(corrupt(level.nid, "it has no . or no ..").into());
                }
                levels.pop();
                continue;
            };
            let entry = entry?;
            if level
                .previous
                .is_some_and(|previous| previous >= entry.name)
            {
                return Err(corrupt(level.nid, "its names aren't sorted").into());
            }
            level.previous = Some(entry.name);
            let (link, expected) = match entry.name {
                b"." => (Some(0), level.nid),
                b".." => (Some(1), level.parent),
                _ => (None, entry.nid),
            };
            if entry.nid != expected {
                return Err(corrupt(level.nid, "its . or .. leads elsewhere").into());
            }
            if let Some(link) = link {
                level.links_seen[link] = true;
                continue;
            }
            path.push(b'/');
            path.extend_from_slice(entry.name);
            if path.len() > MAXIMUM_PATH {
                return Err(corrupt(level.nid, "a path in it is too long").into());
            }
            let inode = self.inode(entry.nid)?;
            if entry.kind.is_some_and(|kind| kind != inode.kind) {
                return Err(corrupt(inode.nid, "its directory tells another type").into());
            }
            if inode.kind == FileKind::Directory {
                if !visited.insert(inode.nid) {
                    return Err(corrupt(inode.nid, "it is in two directories").into());
                }
                directory_bytes = directory_bytes.saturating_add(inode.size);
                if directory_bytes > self.image().len() as u64 {
                    return Err(corrupt(inode.nid, "its data is that of other directories").into());
                }
                let parent = level.nid;
                levels.push(self.level(&inode, parent, path.len())?);
            }
            visit(&path, &inode)?;
        }
        Ok(())
    }

    /// Starts with a directory.
    fn level(&self, inode: &Inode, parent: u64, path_length: usize) -> Result<Level<'a>, Error> {
        Ok(Level {
            nid: inode.nid,
            parent,
            entries: self.read_directory(inode, 0)?,
            previous: None,
            path_length,
            links_seen: [false; 2],
        })
    }
}

/// Says what is wrong with an inode.
fn corrupt(nid: u64, defect: &'static str) -> Error {
    Error::Corrupt { nid, defect }
}
