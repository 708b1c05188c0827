//! Opening files: `open(2)` and what `execve(2)` needs of it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::credentials::FileCapabilities;
use pith_linux::files::OpenFlags;
use pith_linux::inotify::FileEvents;
use pith_linux::mounts::MountOptions;

use super::context;
use super::file::{File, Mappable, OpenFile};
use super::inode::{Inode, NewFile};
use super::leases::{Execution, Openers};
use super::metadata::Metadata;
use super::path::{self, Found, LastName, NamedPlace, Origin};
use super::permission::{self, Access, Rights};
pub use super::tree::{Handle, handle_of, of_handle};
use super::{leases, mounts, names, notify};
use crate::memory::{Destination, MappedFile, PageSource};
use crate::task;

/// Opens a file that has been found.
///
/// # Errors
/// As `open(2)`.
pub fn open_inode(inode: Arc<dyn Inode>, flags: OpenFlags) -> Result<Arc<OpenFile>, Errno> {
    let device = matches!(inode.kind(), FileKind::CharacterDevice | FileKind::BlockDevice);
    if device && mounts::restricts(&*inode, MountOptions::NO_DEVICES) {
        return Err(Errno::EACCES);
    }
    let changes = flags.asks_for_writing() && inode.kind() == FileKind::Regular;
    if changes {
        mounts::check_writable(&*inode)?;
    }
    let file = inode.clone().open(flags)?;
    if flags.contains(OpenFlags::DIRECT) && !file.can_be_direct() {
        return Err(Errno::EINVAL);
    }
    // As in every 64-bit program.
    let open = OpenFile::new(inode.clone(), file, flags | OpenFlags::LARGE_FILE);
    if changes {
        // From here on the mount can't become read-only; it may have done so just before.
        mounts::check_writable(&*inode)?;
    }
    let written = match changes {
        true => Openers::check_written(&*inode),
        false => Ok(()),
    };
    let nonblocking = flags.contains(OpenFlags::NONBLOCKING);
    if let Err(errno) = written.and_then(|()| leases::make_way(&*inode, flags.bits() & 3 != 0, nonblocking)) {
        open.discard();
        return Err(errno);
    }
    let mut events: &[FileEvents] = &[FileEvents::OPEN];
    if flags.contains(OpenFlags::TRUNCATE) && inode.kind() == FileKind::Regular {
        open.file()?.truncate(0)?;
        events = &[FileEvents::OPEN, FileEvents::MODIFY];
    }
    if notify::anybody() {
        for event in events {
            notify::happened(&*inode, *event);
        }
    }
    Ok(open)
}

/// Refuses flags that don't go together, before anything is looked for.
///
/// # Errors
/// `EINVAL`
pub fn check_flags(flags: OpenFlags) -> Result<(), Errno> {
    let temporary = flags.contains(OpenFlags::TEMPORARY);
    let create = flags.contains(OpenFlags::CREATE);
    let directory = flags.contains(OpenFlags::DIRECTORY);
    let odd = temporary && (create || !directory || flags.bits() & 3 == 0) || create && directory;
    if odd && !flags.contains(OpenFlags::PATH) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Opens the file at a path. The flags have been checked ([`check_flags`]).
///
/// # Errors
/// As `open(2)`.
pub fn open_at(origin: &Origin, path: &[u8], flags: OpenFlags, permissions: u16) -> Result<Arc<OpenFile>, Errno> {
    if flags.contains(OpenFlags::PATH) {
        return open_found(path::find(origin, path, !flags.contains(OpenFlags::NO_FOLLOW))?, flags);
    }
    if flags.contains(OpenFlags::TEMPORARY) {
        let directory = path::find(origin, path, !flags.contains(OpenFlags::NO_FOLLOW))?;
        if directory.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        mounts::check_writable(&*directory)?;
        origin.rights.check_directory(&*directory)?;
        let inode = directory.create_nameless(permissions, !flags.contains(OpenFlags::EXCLUSIVE))?;
        return open_inode(inode, flags);
    }
    let create = flags.contains(OpenFlags::CREATE);
    let exclusive = create && flags.contains(OpenFlags::EXCLUSIVE);
    let follow = !flags.contains(OpenFlags::NO_FOLLOW) && !exclusive;
    let inode = if create {
        match path::find_or_place(origin, path, follow)? {
            Found::File(..) if exclusive => return Err(Errno::EEXIST),
            Found::File(inode, directory) => {
                origin.rights.check_shared_directory(&*directory, &*inode)?;
                inode
            }
            Found::Missing(NamedPlace {
                directory,
                name: LastName::Name(name),
                ..
            }) => {
                match names::create(&directory, &name, NewFile::Regular, permissions) {
                    // It is empty.
                    Ok(inode) => return open_inode(inode, flags - OpenFlags::TRUNCATE),
                    // Somebody else was faster.
                    Err(Errno::EEXIST) if !exclusive => directory.lookup(&name)?,
                    // No files can be made in /proc: there, a name that is missing stays so.
                    Err(Errno::EPERM) => return Err(Errno::EACCES),
                    Err(errno) => return Err(errno),
                }
            }
            Found::Missing(_) => return Err(Errno::ENOENT),
        }
    } else {
        path::find(origin, path, follow)?
    };
    open_as(&origin.rights, inode, flags)
}

/// Opens a file that was found without a path.
///
/// # Errors
/// As `open(2)`.
pub fn open_found(inode: Arc<dyn Inode>, flags: OpenFlags) -> Result<Arc<OpenFile>, Errno> {
    if !flags.contains(OpenFlags::PATH) {
        return open_as(&Rights::current(), inode, flags);
    }
    if flags.contains(OpenFlags::DIRECTORY) && inode.kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    Ok(OpenFile::path_only(inode, flags))
}

/// Opens a file that is there, if that is allowed.
fn open_as(rights: &Rights, inode: Arc<dyn Inode>, flags: OpenFlags) -> Result<Arc<OpenFile>, Errno> {
    let writes = flags.contains(OpenFlags::CREATE) || flags.asks_for_writing();
    match inode.kind() {
        kind if flags.contains(OpenFlags::DIRECTORY) && kind != FileKind::Directory => return Err(Errno::ENOTDIR),
        FileKind::Symlink => return Err(Errno::ELOOP),
        FileKind::Directory if writes => return Err(Errno::EISDIR),
        _ => {}
    }
    rights.check_open(&*inode, flags)?;
    open_inode(inode, flags)
}

/// A program file that is open for execution.
pub struct Executable {
    inode: Arc<dyn Inode>,
    file: Arc<dyn File>,
    source: Arc<dyn PageSource>,
    execution: Arc<Execution>,
}

impl Executable {
    /// Keeps others from writing it.
    pub fn execution(&self) -> Arc<Execution> {
        self.execution.clone()
    }

    /// Reads at an offset; less than asked for only at the end of the file.
    ///
    /// # Errors
    /// `EIO`, or what is wrong with the file system.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
        self.file
            .read(offset, &mut Destination::kernel(bytes), OpenFlags::empty())
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.file.size()
    }

    /// Its pages, for mapping segments.
    pub fn page_source(&self) -> Arc<dyn PageSource> {
        self.source.clone()
    }

    /// As what its segments are mapped.
    pub fn mapped_file(&self) -> Arc<dyn MappedFile> {
        Arc::new(ProgramFile(self.inode.clone()))
    }

    /// What is known about it.
    pub fn metadata(&self) -> Metadata {
        self.inode.metadata()
    }

    /// Whether its mount lets it give rights to who runs it.
    pub fn gives_rights(&self) -> bool {
        mounts::gives_rights(&*self.inode)
    }

    /// The capabilities that its file gives.
    ///
    /// # Errors
    /// `EINVAL` if the attribute is damaged.
    pub fn capabilities(&self) -> Result<Option<FileCapabilities>, Errno> {
        match self.inode.extended_attribute(FileCapabilities::NAME) {
            Ok(value) => FileCapabilities::read(&value),
            Err(_) => Ok(None),
        }
    }

    /// Whether the current thread may read it.
    pub fn is_readable(&self) -> bool {
        permission::check(&self.inode, Access::READ).is_ok()
    }

    /// Its absolute path, without symbolic links.
    pub fn resolved_path(&self) -> Vec<u8> {
        self.inode.path().bytes
    }
}

/// The file of a program that runs. Nobody has it open for that.
struct ProgramFile(Arc<dyn Inode>);

impl MappedFile for ProgramFile {
    fn name(&self) -> String {
        path_text(&*self.0)
    }
}

impl MappedFile for OpenFile {
    fn name(&self) -> String {
        path_text(&*self.inode)
    }
}

/// A path as text, for people and for `/proc/self/maps`.
fn path_text(inode: &dyn Inode) -> String {
    String::from_utf8_lossy(&inode.path().shown()).into_owned()
}

/// Opens a file for execution, seen from the current process, or from the root before there is one.
///
/// # Errors
/// As `execve(2)`: `ENOENT`, `EACCES` for what is no regular file or has no execute permission, and others.
pub fn open_executable(path: &[u8]) -> Result<Executable, Errno> {
    let inode = match task::try_current() {
        Some(_) => context::current().find(pith_linux::files::AT_FDCWD, path, true)?,
        None => {
            let root = mounts::root_directory()?;
            path::find(&Origin::new(root.clone(), root), path, true)?
        }
    };
    executable(inode)
}

/// A file that was found, for execution.
///
/// # Errors
/// As `execve(2)`: `EACCES` for what is no regular file or has no execute permission, `ELOOP` for a symbolic link.
pub fn executable(inode: Arc<dyn Inode>) -> Result<Executable, Errno> {
    match inode.kind() {
        FileKind::Regular => {}
        FileKind::Symlink => return Err(Errno::ELOOP),
        _ => return Err(Errno::EACCES),
    }
    if mounts::forbids_code(&*inode) {
        return Err(Errno::EACCES);
    }
    permission::check(&inode, Access::EXECUTE)?;
    leases::make_way(&*inode, false, false)?;
    let execution = Execution::begin(&inode)?;
    let file = inode.clone().open(OpenFlags::empty())?;
    match file.mappable() {
        Ok(Mappable::Object(source)) => Ok(Executable {
            inode,
            file,
            source,
            execution,
        }),
        _ => Err(Errno::EACCES),
    }
}

const F_SEAL_WRITE: u32 = 8;
const F_SEAL_FUTURE_WRITE: u32 = 0x10;

/// A file as `mmap(2)` needs it.
pub struct FileForMapping {
    /// It is open for reading.
    pub readable: bool,
    /// It is open for writing.
    pub writable: bool,
    /// It is sealed so that shared mappings can't write it.
    pub sealed: bool,
    /// Its code can't be run: it lies in no file system with names, or its mount forbids it.
    pub no_code: bool,
    /// Where it was opened.
    pub open: Arc<OpenFile>,
    /// What to map; `ENODEV` for what can't be mapped.
    pub object: Result<Mappable, Errno>,
}

/// Looks a descriptor up for `mmap(2)`.
///
/// # Errors
/// `EBADF`
pub fn file_for_mapping(descriptor: i32) -> Result<FileForMapping, Errno> {
    let open = context::current().file(descriptor)?;
    let file = open.file()?;
    Ok(FileForMapping {
        readable: open.readable(),
        writable: open.writable(),
        sealed: file
            .seals()
            .is_ok_and(|seals| seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0),
        no_code: mounts::forbids_code(&*open.inode),
        object: file.mappable(),
        open: open.clone(),
    })
}
