//! The traits of files that have a place: inodes, and the file systems that hold them.
//!
//! The default methods answer what Linux answers for "not with this kind of file".

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags, RenameFlags, Statfs};
use pith_storage_settings::Settings;

use super::file::File;
use super::metadata::{AttributeChange, Metadata};
use super::mounts::Mount;

/// Where a symbolic link leads.
pub enum Target {
    /// To the file at this path, seen from the link's directory.
    Path(Vec<u8>),
    /// Straight to a file, past all names: the links in `/proc/self/fd`.
    File(Arc<dyn Inode>),
}

/// The absolute path of a file, and whether its name is gone.
pub struct PathName {
    /// The path, or a description such as `pipe:[7]`.
    pub bytes: Vec<u8>,
    /// The name was removed; the file lives on while it is open.
    pub removed: bool,
}

impl PathName {
    /// As the links in `/proc/self/fd` show it.
    pub fn shown(mut self) -> Vec<u8> {
        if self.removed {
            self.bytes.extend_from_slice(b" (deleted)");
        }
        self.bytes
    }
}

/// A file to be made.
pub enum NewFile<'a> {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link to this path.
    Symlink(&'a [u8]),
    /// A device, named pipe or socket.
    Special(FileKind, DeviceNumber),
}

/// What is to happen if an extended attribute is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// It gets the new value.
    Either,
    /// `EEXIST` (`XATTR_CREATE`).
    Never,
    /// It gets the new value, and it is `ENODATA` if it is not there (`XATTR_REPLACE`).
    Always,
}

/// What tells one file from all others, as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileIdentity {
    /// The device that holds it.
    pub device: DeviceNumber,
    /// Its number there.
    pub number: u64,
}

/// A file's name and where it is.
pub struct Place {
    /// The directory.
    pub directory: FileIdentity,
    /// The name; of several, the one by which the file was found.
    pub name: Arc<[u8]>,
    /// It was removed.
    pub removed: bool,
}

/// A file system.
pub trait FileSystem: Send + Sync {
    /// The name of its type, as `/proc/mounts` tells it.
    fn type_name(&self) -> &'static str;

    /// `st_dev` of its files.
    fn device(&self) -> DeviceNumber;

    /// What `statfs(2)` tells.
    fn statistics(&self) -> Statfs;

    /// Says which mount its files are seen through as themselves: the first one. False if there was one before.
    fn set_mount(&self, mount: &Weak<Mount>) -> bool;

    /// Changes how much it may hold.
    ///
    /// # Errors
    /// `EINVAL` if it holds more, or has no limits.
    fn set_limits(&self, _settings: &Settings) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// Nobody can come to its files any more: it lets them go.
    fn end(&self) {}
}

/// A file, found by a name or already nameless.
pub trait Inode: Any + Send + Sync {
    /// For a file system to find its own type again.
    fn as_any(&self) -> &dyn Any;

    /// What `statfs(2)` tells about the file system that holds it.
    fn statistics(&self) -> Statfs;

    /// What `stat(2)` tells.
    fn metadata(&self) -> Metadata;

    /// The type.
    fn kind(&self) -> FileKind;

    /// Where it is. For what has no name, a description.
    fn path(&self) -> PathName;

    /// The path from the top of its mount on: empty for that itself, otherwise with a slash in front.
    fn path_within(&self) -> PathName {
        self.path()
    }

    /// The mount through which it is seen; `None` for what has no name.
    fn mount(&self) -> Option<Arc<Mount>> {
        None
    }

    /// If it is another file, seen through a mount: the mount and that file.
    fn view(&self) -> Option<(&Arc<Mount>, &Arc<dyn Inode>)> {
        None
    }

    /// What tells it from all other files.
    fn identity(&self) -> FileIdentity {
        let metadata = self.metadata();
        FileIdentity {
            device: metadata.device,
            number: metadata.number,
        }
    }

    /// The name by which it was found, if it has any.
    fn place(&self) -> Option<Place> {
        None
    }

    /// Whether the current process may look into it whatever its permissions say: its own directory of descriptors.
    fn is_own(&self) -> bool {
        false
    }

    /// Opens the file. The flags that only matter for finding it have been dealt with.
    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno>;

    /// Finds a name, which is neither `.` nor `..`, in the directory.
    fn lookup(&self, _name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::ENOTDIR)
    }

    /// The directory has no such name, although a program wants what is there, or at a path that goes on from there.
    fn note_lacking(&self, _name: &[u8], _rest: &[u8]) {}

    /// The directory that holds this directory; itself for the root of all.
    fn parent(&self) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::ENOTDIR)
    }

    /// The root of what is mounted on this file.
    fn mounted(&self) -> Option<Arc<dyn Inode>> {
        None
    }

    /// Something is mounted on it, or is not any more, as seen through any mount: its name has to stay.
    fn set_point(&self, _used: bool) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// What is mounted on it as it is seen through its file system's first mount. Only for who would take long to find
    /// that in the table of mounts.
    fn set_covered(&self, _by: Option<Arc<Mount>>) {}

    /// Whether it knows by itself what is mounted on it.
    fn is_covered(&self) -> bool {
        false
    }

    /// Where the symbolic link leads.
    fn target(&self) -> Result<Target, Errno> {
        Err(Errno::EINVAL)
    }

    /// What `readlink(2)` gives.
    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        match self.target()? {
            Target::Path(path) => Ok(path),
            Target::File(inode) => Ok(inode.path().shown()),
        }
    }

    /// Makes a file in the directory.
    fn create(&self, _name: &[u8], _new: NewFile<'_>, _permissions: u16) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::EPERM)
    }

    /// Makes a regular file without name, on the directory's file system (`O_TMPFILE`), which may get one later.
    fn create_nameless(&self, _permissions: u16, _linkable: bool) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Gives a file another name, in this directory.
    fn link(&self, _name: &[u8], _file: &Arc<dyn Inode>) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Removes a name of what is no directory.
    fn unlink(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Removes an empty directory.
    fn remove_directory(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Moves a name to another directory of the same file system.
    fn rename(&self, _old: &[u8], _to: &Arc<dyn Inode>, _new: &[u8], _flags: RenameFlags) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Whether anybody may change metadata at all, whoever asks.
    ///
    /// # Errors
    /// `EOPNOTSUPP`
    fn may_be_changed(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Changes metadata.
    fn change(&self, _change: AttributeChange) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// The file was read: its access time has to be set, always or only where Linux's `relatime` does.
    fn accessed(&self, _always: bool) {}

    /// An extended attribute.
    fn extended_attribute(&self, _name: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The names of all extended attributes.
    fn extended_attribute_names(&self) -> Vec<Box<[u8]>> {
        Vec::new()
    }

    /// Sets an extended attribute, or removes it if there is no value.
    fn set_extended_attribute(
        &self,
        _name: &[u8],
        _value: Option<&[u8]>,
        _replacement: Replacement,
    ) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets the length.
    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
}

/// The methods of [`Inode`] that a name of a file, or a view of it, leaves to the file itself.
macro_rules! answer_as {
    ($file:ident) => {
        /// For a file system it is the file itself.
        fn as_any(&self) -> &dyn Any {
            self.$file.as_any()
        }

        fn statistics(&self) -> Statfs {
            self.$file.statistics()
        }

        fn metadata(&self) -> Metadata {
            self.$file.metadata()
        }

        fn kind(&self) -> FileKind {
            self.$file.kind()
        }

        fn identity(&self) -> FileIdentity {
            self.$file.identity()
        }

        fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
            self.$file.clone().open(flags)
        }

        fn set_point(&self, used: bool) -> Result<(), Errno> {
            self.$file.set_point(used)
        }

        fn target(&self) -> Result<Target, Errno> {
            self.$file.target()
        }

        fn change(&self, change: AttributeChange) -> Result<(), Errno> {
            self.$file.change(change)
        }

        fn accessed(&self, always: bool) {
            self.$file.accessed(always);
        }

        fn extended_attribute(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
            self.$file.extended_attribute(name)
        }

        fn extended_attribute_names(&self) -> Vec<Box<[u8]>> {
            self.$file.extended_attribute_names()
        }

        fn set_extended_attribute(
            &self,
            name: &[u8],
            value: Option<&[u8]>,
            replacement: Replacement,
        ) -> Result<(), Errno> {
            self.$file.set_extended_attribute(name, value, replacement)
        }

        fn truncate(&self, size: u64) -> Result<(), Errno> {
            self.$file.truncate(size)
        }
    };
}
pub(super) use answer_as;

/// Whether two handles mean the same file, seen through the same mount.
pub fn same(one: &Arc<dyn Inode>, two: &Arc<dyn Inode>) -> bool {
    let mount = |inode: &Arc<dyn Inode>| inode.view().map(|(mount, _)| mount.number);
    core::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(two)) || {
        let (first, second) = (one.as_any(), two.as_any());
        core::ptr::addr_eq(&raw const *first, &raw const *second) && mount(one) == mount(two)
    }
}
