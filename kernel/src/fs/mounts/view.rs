//! Files as they are seen through a mount that is not the first one of their file system (`mount --bind`).
//!
//! A file system's first mount needs nothing of this: there, its own files are what paths lead to. Through any other one,
//! each file that is found is wrapped in a [`View`], which knows the way by which it was found.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{OpenFlags, RenameFlags, Statfs};

use super::{Mount, absolute, covering};
use crate::fs::file::File;
use crate::fs::inode::{FileIdentity, Inode, NewFile, PathName, Place, Replacement, Target, answer_as};
use crate::fs::metadata::{AttributeChange, Metadata};

/// A file, seen through a mount.
pub struct View {
    mount: Arc<Mount>,
    inner: Arc<dyn Inode>,
}

impl View {
    /// A file of the mount's file system.
    pub fn of(mount: &Arc<Mount>, inner: Arc<dyn Inode>) -> Arc<dyn Inode> {
        Arc::new(Self {
            mount: mount.clone(),
            inner,
        })
    }
}

impl Inode for View {
    answer_as!(inner);

    fn view(&self) -> Option<(&Arc<Mount>, &Arc<dyn Inode>)> {
        Some((&self.mount, &self.inner))
    }

    fn mount(&self) -> Option<Arc<Mount>> {
        Some(self.mount.clone())
    }

    fn path(&self) -> PathName {
        absolute(self)
    }

    /// The path from the mount's top directory on; all of it if the file was moved out of that.
    fn path_within(&self) -> PathName {
        let mut path = self.inner.path_within();
        let top = self.mount.top.path_within().bytes;
        if path.bytes.starts_with(&top) {
            path.bytes.drain(..top.len());
        }
        path
    }

    fn place(&self) -> Option<Place> {
        self.inner.place()
    }

    fn is_own(&self) -> bool {
        self.inner.is_own()
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Ok(Self::of(&self.mount, self.inner.lookup(name)?))
    }

    fn note_lacking(&self, name: &[u8], rest: &[u8]) {
        self.inner.note_lacking(name, rest);
    }

    fn parent(&self) -> Result<Arc<dyn Inode>, Errno> {
        if self.mount.is_top(&*self.inner) {
            return match self.mount.above() {
                Some(above) => above,
                None => Ok(self.mount.root()),
            };
        }
        // Only who was moved out of the mount comes to the top of the whole file system.
        let above = self.inner.parent()?;
        if above.identity().device != self.inner.identity().device {
            return Err(Errno::ENOENT);
        }
        Ok(Self::of(&self.mount, above))
    }

    fn mounted(&self) -> Option<Arc<dyn Inode>> {
        covering(&self.mount, &*self.inner)
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        self.inner.read_link()
    }

    fn create(&self, name: &[u8], new: NewFile<'_>, permissions: u16) -> Result<Arc<dyn Inode>, Errno> {
        Ok(Self::of(&self.mount, self.inner.create(name, new, permissions)?))
    }

    fn create_nameless(&self, permissions: u16, linkable: bool) -> Result<Arc<dyn Inode>, Errno> {
        Ok(Self::of(
            &self.mount,
            self.inner.create_nameless(permissions, linkable)?,
        ))
    }

    fn link(&self, name: &[u8], file: &Arc<dyn Inode>) -> Result<(), Errno> {
        self.inner.link(name, file)
    }

    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        self.inner.unlink(name)
    }

    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        self.inner.remove_directory(name)
    }

    fn rename(&self, old: &[u8], to: &Arc<dyn Inode>, new: &[u8], flags: RenameFlags) -> Result<(), Errno> {
        self.inner.rename(old, to, new, flags)
    }
}
