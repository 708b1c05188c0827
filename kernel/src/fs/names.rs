//! Names that are made, moved and removed: what every way to do so has in common. Who may do it is checked here, and
//! those who watch the directories are told.

use alloc::sync::Arc;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::RenameFlags;
use pith_linux::inotify::FileEvents;

use super::inode::{Inode, NewFile, same};
use super::path::{LastName, NamedPlace};
use super::permission::{Access, Rights};
use super::{mounts, notify};

/// Makes a file in a directory.
///
/// # Errors
/// What the file system answers.
pub fn create(
    directory: &Arc<dyn Inode>,
    name: &[u8],
    new: NewFile<'_>,
    permissions: u16,
) -> Result<Arc<dyn Inode>, Errno> {
    mounts::check_writable(&**directory)?;
    let rights = Rights::current();
    rights.check_directory(&**directory)?;
    if let NewFile::Special(kind, device) = new {
        rights.check_special(kind, device)?;
    }
    let inode = directory.create(name, new, permissions)?;
    if notify::anybody() {
        notify::name_changed(&**directory, name, inode.kind(), FileEvents::CREATE);
    }
    Ok(inode)
}

/// Makes a file under a name that must be new, whoever asks.
///
/// # Errors
/// `EEXIST`, and what the file system answers.
pub fn make(place: &NamedPlace, new: NewFile<'_>, permissions: u16) -> Result<Arc<dyn Inode>, Errno> {
    let LastName::Name(name) = &place.name else {
        return Err(Errno::EEXIST);
    };
    match place.directory.lookup(name) {
        Ok(_) => return Err(Errno::EEXIST),
        // Only a directory may be made under a name with a slash behind it.
        Err(_) if place.directory_only && !matches!(new, NewFile::Directory) => return Err(Errno::ENOENT),
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    create(&place.directory, name, new, permissions)
}

/// Gives a file another name.
///
/// # Errors
/// What the file system answers.
pub fn link(directory: &Arc<dyn Inode>, name: &[u8], file: &Arc<dyn Inode>) -> Result<(), Errno> {
    mounts::check_writable(&**directory)?;
    let rights = Rights::current();
    rights.check_source_of_link(&**file)?;
    rights.check_directory(&**directory)?;
    directory.link(name, file)?;
    if notify::anybody() {
        notify::happened_to_itself(&**file, FileEvents::ATTRIBUTES);
        notify::name_changed(&**directory, name, file.kind(), FileEvents::CREATE);
    }
    Ok(())
}

/// Removes a name of a file, which was found under it.
///
/// # Errors
/// What the file system answers.
pub fn unlink(directory: &Arc<dyn Inode>, name: &[u8], file: Arc<dyn Inode>) -> Result<(), Errno> {
    Rights::current().check_removal(&**directory, &*file)?;
    directory.unlink(name)?;
    if notify::anybody() {
        notify::happened_to_itself(&*file, FileEvents::ATTRIBUTES);
        let kind = file.kind();
        drop(file); // the last one tells that it is gone
        notify::name_changed(&**directory, name, kind, FileEvents::DELETE);
    }
    Ok(())
}

/// Removes a directory, which was found under a name.
///
/// # Errors
/// What the file system answers.
pub fn remove_directory(directory: &Arc<dyn Inode>, name: &[u8], file: Arc<dyn Inode>) -> Result<(), Errno> {
    Rights::current().check_removal(&**directory, &*file)?;
    directory.remove_directory(name)?;
    if notify::anybody() {
        drop(file);
        notify::name_changed(&**directory, name, FileKind::Directory, FileEvents::DELETE);
    }
    Ok(())
}

/// A name in a directory, and the file that was found under it.
pub struct Named<'a> {
    /// The directory.
    pub directory: &'a Arc<dyn Inode>,
    /// The name.
    pub name: &'a [u8],
    /// The file, if there is one.
    pub file: Option<Arc<dyn Inode>>,
}

/// Moves a name.
///
/// # Errors
/// What the file system answers.
pub fn rename(from: &Named<'_>, to: &Named<'_>, flags: RenameFlags) -> Result<(), Errno> {
    let exchange = flags.contains(RenameFlags::EXCHANGE);
    check_places(from, to, exchange)?;
    check_rename(from, to, exchange)?;
    from.directory.rename(from.name, to.directory, to.name, flags)?;
    if notify::anybody() {
        tell_of_move(from, to, exchange);
    }
    Ok(())
}

/// Whether a directory is another one or lies below it.
fn lies_within(directory: &Arc<dyn Inode>, other: &Arc<dyn Inode>) -> bool {
    let mut place = directory.clone();
    loop {
        if same(&place, other) {
            return true;
        }
        match place.parent() {
            Ok(parent) if !same(&parent, &place) => place = parent,
            // The root, or nowhere any more.
            _ => return false,
        }
    }
}

/// As on Linux, that a directory would come into itself is told before anybody asks who may do that. Whoever does it looks
/// again, with all places standing still.
fn check_places(from: &Named<'_>, to: &Named<'_>, exchange: bool) -> Result<(), Errno> {
    let holds = |file: &Option<Arc<dyn Inode>>, directory| {
        let above = file.as_ref().filter(|file| file.kind() == FileKind::Directory);
        above.is_some_and(|above| lies_within(directory, above))
    };
    if holds(&from.file, to.directory) {
        return Err(Errno::EINVAL);
    }
    match holds(&to.file, from.directory) {
        true if exchange => Err(Errno::EINVAL),
        true => Err(Errno::ENOTEMPTY),
        false => Ok(()),
    }
}

fn check_rename(from: &Named<'_>, to: &Named<'_>, exchange: bool) -> Result<(), Errno> {
    let rights = Rights::current();
    let moves = !same(from.directory, to.directory);
    let check = |directory: &Arc<dyn Inode>, file: &Arc<dyn Inode>, moves: bool| {
        rights.check_removal(&**directory, &**file)?;
        match moves && file.kind() == FileKind::Directory {
            // Its entry `..` changes.
            true => rights.check(&**file, Access::WRITE),
            false => Ok(()),
        }
    };
    match (&from.file, &to.file) {
        (Some(file), Some(other)) if same(file, other) => Ok(()),
        (Some(file), Some(other)) => {
            check(from.directory, file, moves)?;
            check(to.directory, other, moves && exchange)
        }
        (Some(file), None) => {
            check(from.directory, file, moves)?;
            rights.check_directory(&**to.directory)
        }
        (None, _) => Ok(()),
    }
}

fn tell_of_move(from: &Named<'_>, to: &Named<'_>, exchange: bool) {
    let places = ((&**from.directory, from.name), (&**to.directory, to.name));
    let Some(file) = &from.file else { return };
    let other = to.file.as_ref();
    if other.is_some_and(|other| same(file, other)) {
        return; // two names of one file stay
    }
    notify::moved(places.0, places.1, file.kind());
    if let Some(other) = other.filter(|_| !exchange) {
        notify::happened_to_itself(&**other, FileEvents::ATTRIBUTES);
    }
    notify::happened_to_itself(&**file, FileEvents::MOVE_SELF);
    if let Some(other) = other.filter(|_| exchange) {
        notify::moved(places.1, places.0, other.kind());
        notify::happened_to_itself(&**other, FileEvents::MOVE_SELF);
    }
}
