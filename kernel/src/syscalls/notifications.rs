//! Events of files: `inotify(7)`.

use pith_linux::Errno;
use pith_linux::files::{AT_FDCWD, OpenFlags};
use pith_linux::inotify::FileEvents;

use super::paths::read_path;
use crate::fs::permission::{self, Access};
use crate::fs::{context, inotify};
use crate::memory::UserPointer;

/// `inotify_init(2)`
pub fn inotify_init() -> Result<usize, Errno> {
    inotify_init1(0)
}

/// `inotify_init1(2)`
pub fn inotify_init1(flags: u32) -> Result<usize, Errno> {
    let known = OpenFlags::CLOSE_ON_EXEC | OpenFlags::NONBLOCKING;
    let flags = OpenFlags::from_bits(flags)
        .filter(|flags| known.contains(*flags))
        .ok_or(Errno::EINVAL)?;
    let file = inotify::create(flags)?;
    let descriptor = context::current().add(file, flags.contains(OpenFlags::CLOSE_ON_EXEC), 0)?;
    Ok(descriptor as usize)
}

/// `inotify_add_watch(2)`
pub fn inotify_add_watch(fd: i32, path: UserPointer, mask: u32) -> Result<usize, Errno> {
    let wanted = FileEvents::from_bits(mask)
        .filter(|wanted| !wanted.is_empty())
        .ok_or(Errno::EINVAL)?;
    let files = context::current();
    let file = files.file(fd)?;
    file.file()?;
    if wanted.contains(FileEvents::MASK_ADD | FileEvents::MASK_CREATE) {
        return Err(Errno::EINVAL);
    }
    let inotify = inotify::of(&file)?;
    let inode = files.find(AT_FDCWD, &read_path(path)?, !wanted.contains(FileEvents::DONT_FOLLOW))?;
    if wanted.contains(FileEvents::ONLY_DIRECTORY) && inode.kind() != pith_erofs::FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    permission::check(&inode, Access::READ)?;
    inotify.watch(&inode, wanted).map(|number| number as usize)
}

/// `inotify_rm_watch(2)`
pub fn inotify_rm_watch(fd: i32, watch: i32) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    file.file()?;
    inotify::of(&file)?.end(watch)?;
    Ok(0)
}
