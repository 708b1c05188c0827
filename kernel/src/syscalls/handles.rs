//! Files by what they are instead of by name: `name_to_handle_at(2)`, `open_by_handle_at(2)`.

use pith_linux::Errno;
use pith_linux::files::{AtFlags, OpenFlags, PATH_MAX};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::metadata::{find_path, known_flags, of_descriptor};
use crate::fs::{context, mounts, open, permission};
use crate::memory::{UserPointer, read_object, read_string, write_object};
use crate::task::Capabilities;

/// The start of `struct file_handle`, behind which lie the handle's own bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    length: u32,
    kind: i32,
}

/// Longer than this none is (`MAX_HANDLE_SZ`).
const LONGEST: u32 = 128;
/// The kind of those that file systems in memory give (`FILEID_INO32_GEN`), and their length.
const KIND: i32 = 1;
const LENGTH: u32 = size_of::<open::Handle>() as u32;
/// `AT_HANDLE_MNT_ID_UNIQUE`: the mount's number is told as `statmount(2)` knows it.
const UNIQUE_MOUNT: u32 = 1;
/// `AT_HANDLE_FID`: the handle is to be compared, not to be opened.
const ONLY_TO_COMPARE: u32 = 0x200;

/// `name_to_handle_at(2)`
pub fn name_to_handle_at(
    directory: i32,
    path: UserPointer,
    handle: UserPointer,
    mount: UserPointer,
    flags: i32,
) -> Result<usize, Errno> {
    let special = UNIQUE_MOUNT | ONLY_TO_COMPARE;
    let unique = flags as u32 & UNIQUE_MOUNT != 0;
    let names = AtFlags::SYMLINK_FOLLOW | AtFlags::EMPTY_PATH;
    let mut names = known_flags((flags as u32 & !special) as i32, names)?;
    names.set(AtFlags::SYMLINK_NOFOLLOW, !names.contains(AtFlags::SYMLINK_FOLLOW));
    let path = read_string(path, PATH_MAX, Errno::ENAMETOOLONG)?;
    let inode = find_path(directory, &path, names)?;
    let (Some(made), Some(of)) = (open::handle_of(&*inode), inode.mount()) else {
        return Err(Errno::EOPNOTSUPP);
    };
    let room = read_object::<Header>(handle)?.length;
    if room > LONGEST {
        return Err(Errno::EINVAL);
    }
    match unique {
        true => write_object(mount, &of.unique_number())?,
        false => write_object(mount, &of.number)?,
    }
    let fits = room >= LENGTH;
    let header = Header {
        length: LENGTH,
        kind: if fits { KIND } else { 0xff },
    };
    write_object(handle, &header)?;
    if !fits {
        return Err(Errno::EOVERFLOW);
    }
    write_object(handle.offset(size_of::<Header>() as u64), &made)?;
    Ok(0)
}

/// `open_by_handle_at(2)`
pub fn open_by_handle_at(mount: i32, handle: UserPointer, flags: u32) -> Result<usize, Errno> {
    let anchor = of_descriptor(mount)?;
    permission::require(Capabilities::READ_AND_SEARCH)?;
    let header: Header = read_object(handle)?;
    if header.length == 0 || header.length > LONGEST || header.kind < 0 {
        return Err(Errno::EINVAL);
    }
    if header.length < LENGTH {
        return Err(Errno::ESTALE);
    }
    let handle = read_object(handle.offset(size_of::<Header>() as u64))?;
    let flags = OpenFlags::from_bits_truncate(flags);
    open::check_flags(flags)?;
    let inode = open::of_handle(&anchor, handle).ok_or(Errno::ESTALE)?;
    let mount = anchor.mount().ok_or(Errno::ESTALE)?;
    let files = context::current();
    files.check_room()?;
    let file = open::open_found(mounts::seen(&mount, inode), flags)?;
    files
        .add(file, flags.contains(OpenFlags::CLOSE_ON_EXEC), 0)
        .map(|fd| fd as usize)
}
