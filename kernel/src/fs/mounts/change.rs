//! Changes of what is mounted, as `mount(2)`, `umount2(2)` and `pivot_root(2)` ask for them.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::mounts::{MountFlags, MountOptions, UnmountFlags};

use super::kinds::settings_of;
use super::{MOST_MOUNTS, Mount, ROOT, SuperBlock, TABLE, attach, changes, displace, list, place};
use crate::fs::context;
use crate::fs::inode::Inode;
use crate::fs::path::DirectoryMove;

/// A mount that a path leads to the top of.
pub struct Subject(pub(super) Arc<Mount>);

impl Subject {
    /// The mount whose top a file is.
    ///
    /// # Errors
    /// `EINVAL` for any other file, and for what is in the table no more.
    pub fn of(inode: &dyn Inode) -> Result<Self, Errno> {
        let mount = inode.mount().filter(|mount| mount.is_top(inode)).ok_or(Errno::EINVAL)?;
        match is_known(&mount) {
            true => Ok(Self(mount)),
            false => Err(Errno::EINVAL),
        }
    }
}

pub(super) fn is_known(mount: &Arc<Mount>) -> bool {
    TABLE.lock().iter().any(|known| Arc::ptr_eq(known, mount))
}

fn is_root(mount: &Arc<Mount>) -> bool {
    ROOT.lock().as_ref().is_some_and(|root| Arc::ptr_eq(root, mount))
}

/// Whether a mount is another one or lies in it.
fn is_within(mount: &Arc<Mount>, outer: &Arc<Mount>) -> bool {
    let mut current = Some(mount.clone());
    while let Some(mount) = current {
        if Arc::ptr_eq(&mount, outer) {
            return true;
        }
        current = mount.mount_above();
    }
    false
}

/// A mount and all that lie in it, the outer ones first.
pub(super) fn with_inner(outer: &Arc<Mount>) -> Vec<Arc<Mount>> {
    let mut found = Vec::from([outer.clone()]);
    if outer.children.load(Ordering::Relaxed) == 0 {
        return found;
    }
    let all = list();
    let mut next = 0;
    while let Some(current) = found.get(next).cloned() {
        let here = |mount: &&Arc<Mount>| mount.mount_above().is_some_and(|above| Arc::ptr_eq(&above, &current));
        if current.children.load(Ordering::Relaxed) != 0 {
            found.extend(all.iter().filter(here).cloned());
        }
        next += 1;
    }
    found
}

/// A mount of what another one shows, nowhere yet.
pub(super) fn copy(mount: &Arc<Mount>, top: Arc<dyn Inode>) -> Arc<Mount> {
    let super_block = mount.super_block.clone();
    Mount::new(mount.source.clone(), super_block, top, mount.own_options())
}

/// The file behind a view.
pub(super) fn inner(inode: &Arc<dyn Inode>) -> Arc<dyn Inode> {
    inode.view().map_or_else(|| inode.clone(), |(_, inner)| inner.clone())
}

/// Whether a file is or lies below a directory, both seen through the same mount.
fn lies_below(inode: &Arc<dyn Inode>, directory: &Arc<dyn Inode>) -> bool {
    let (path, above) = (inode.path_within().bytes, directory.path_within().bytes);
    path.strip_prefix(&above[..])
        .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Lets a file or a part of the tree appear at another place as well, with all that is mounted in it on demand.
///
/// # Errors
/// `EINVAL` for what must not be bound, and as [`super::mount_at`].
pub fn bind(from: &Arc<dyn Inode>, point: Arc<dyn Inode>, recursive: bool) -> Result<(), Errno> {
    let _changes = changes();
    let mount = from.mount().filter(is_known).ok_or(Errno::EINVAL)?;
    if mount.is_unbindable() {
        return Err(Errno::EINVAL);
    }
    let top = copy(&mount, inner(from));
    // The copies are placed from the inside out, so that all appear at once.
    let mut pairs = Vec::from([(mount.clone(), top.clone())]);
    let below: Vec<Arc<Mount>> = match recursive {
        true => with_inner(&mount).into_iter().skip(1).collect(),
        false => Vec::new(),
    };
    let mut copies = Vec::new();
    for original in below {
        let Some((above, point)) = original.position() else {
            continue;
        };
        let skipped = original.is_unbindable() || Arc::ptr_eq(&above, &mount) && !lies_below(&point, from);
        let Some((_, above)) = pairs.iter().find(|(known, _)| Arc::ptr_eq(known, &above)) else {
            continue;
        };
        if skipped {
            continue;
        }
        let copied = copy(&original, original.top.clone());
        copies.push((copied.clone(), super::View::of(above, inner(&point))));
        pairs.push((original, copied));
    }
    if TABLE.lock().len() + copies.len() >= MOST_MOUNTS {
        return Err(Errno::ENOSPC);
    }
    attach(top, point)?;
    copies.into_iter().try_for_each(|(mount, point)| attach(mount, point))
}

/// Moves a mount to another place.
///
/// # Errors
/// `EINVAL` for the root of all, and if only one of both is a directory; `ELOOP` into itself.
pub fn move_mount(from: &Subject, point: Arc<dyn Inode>) -> Result<(), Errno> {
    let _changes = changes();
    let mount = &from.0;
    let there = point.mount().filter(is_known).ok_or(Errno::EINVAL)?;
    let is_directory = |inode: &dyn Inode| inode.kind() == FileKind::Directory;
    if is_root(mount) || is_directory(&*point) != is_directory(&*mount.top) {
        return Err(Errno::EINVAL);
    }
    if is_within(&there, mount) {
        return Err(Errno::ELOOP);
    }
    let _move = DirectoryMove::begin();
    let old = displace(mount);
    place(mount, point).inspect_err(|_| {
        if let Some((_, point)) = old {
            // It could be there before.
            let _ = place(mount, point);
        }
    })
}

/// Sets what holds for a mount alone (`MS_REMOUNT | MS_BIND`).
///
/// # Errors
/// `EBUSY` if it is to be read-only, and files are open for writing.
pub fn change_mount(subject: &Subject, flags: MountFlags) -> Result<(), Errno> {
    let _changes = changes();
    let mount = &subject.0;
    let before = mount.own_options();
    mount.set_options(MountOptions::of_call(flags, Some(before)));
    if mount.own_options().contains(MountOptions::READ_ONLY) && mount.writers.load(Ordering::SeqCst) != 0 {
        mount.set_options(before);
        return Err(Errno::EBUSY);
    }
    super::note_change();
    Ok(())
}

/// Sets what holds for a file system and the mount that was named (`MS_REMOUNT`).
///
/// # Errors
/// `EBUSY` if it is to be read-only, and files are open for writing; `EINVAL` for options that it does not have.
pub fn change_file_system(subject: &Subject, mut flags: MountFlags, data: &[u8]) -> Result<(), Errno> {
    let _changes = changes();
    let mount = &subject.0;
    change_super_block(&mount.super_block, &mut flags, data)?;
    mount.set_options(MountOptions::of_call(flags, Some(mount.own_options())));
    super::note_change();
    Ok(())
}

/// Sets what holds for a file system, wherever it is mounted. To be called with [`super::CHANGES`] held.
///
/// # Errors
/// As [`change_file_system`].
pub(super) fn change_super_block(
    super_block: &Arc<SuperBlock>,
    flags: &mut MountFlags,
    data: &[u8],
) -> Result<(), Errno> {
    if super_block.file_system.type_name() == "tmpfs" {
        let settings = settings_of(data, flags)?;
        if settings.size.is_some() || settings.files.is_some() {
            super_block.file_system.set_limits(&settings)?;
            // Whose its top directory is to be, was said when it was made.
            let mut shown = settings_of(super_block.settings().as_bytes(), &mut MountFlags::empty())?;
            shown.size = settings.size.or(shown.size);
            shown.files = settings.files.or(shown.files);
            *super_block.settings.lock() = super::shown_settings(&shown);
        }
    } else {
        super::kinds::check_words(super_block, data)?;
    }
    let before = super_block.flags();
    super_block
        .flags
        .store((*flags & MountFlags::OF_FILE_SYSTEM).bits(), Ordering::SeqCst);
    if flags.contains(MountFlags::READ_ONLY) {
        super::EVER.fetch_or(MountOptions::READ_ONLY.bits(), Ordering::SeqCst);
    }
    let of_this = |other: &&Arc<Mount>| Arc::ptr_eq(&other.super_block, super_block);
    let writes = |other: &Arc<Mount>| other.writers.load(Ordering::SeqCst) != 0;
    if flags.contains(MountFlags::READ_ONLY) && list().iter().filter(of_this).any(writes) {
        super_block.flags.store(before.bits(), Ordering::SeqCst);
        return Err(Errno::EBUSY);
    }
    Ok(())
}

/// Says whether a mount may be bound, and those in it. As there is one tree of mounts only, and none follows another,
/// there is nothing to be done for what shall follow none.
///
/// # Errors
/// `EINVAL` for mounts that shall follow each other.
pub fn set_propagation(subject: &Subject, kind: MountFlags, recursive: bool) -> Result<(), Errno> {
    if kind == MountFlags::SHARED {
        crate::warning_once!("mounts follow no other ones: mount(MS_SHARED) answers EINVAL");
        return Err(Errno::EINVAL);
    }
    let _changes = changes();
    let mounts = match recursive {
        true => with_inner(&subject.0),
        false => Vec::from([subject.0.clone()]),
    };
    for mount in mounts {
        mount
            .unbindable
            .store(kind == MountFlags::UNBINDABLE, Ordering::Relaxed);
    }
    Ok(())
}

/// Takes a mount away.
///
/// # Errors
/// `EBUSY` if it is in use, unless it is to vanish at once; `EINVAL` if it is gone.
pub fn unmount(subject: Subject, flags: UnmountFlags) -> Result<(), Errno> {
    let Subject(mount) = subject;
    let mut gone = Vec::new();
    {
        let _changes = changes();
        if !is_known(&mount) {
            return Err(Errno::EINVAL);
        }
        if is_root(&mount) {
            return Err(Errno::EBUSY);
        }
        if !flags.contains(UnmountFlags::DETACH) {
            // The table, the point if it knows what covers it, and the caller.
            let known_to_point = mount
                .position()
                .is_some_and(|(_, point)| point.view().is_none() && point.is_covered());
            let idle = 2 + usize::from(known_to_point);
            if mount.children.load(Ordering::Relaxed) != 0 || Arc::strong_count(&mount) > idle {
                return Err(Errno::EBUSY);
            }
        }
        gone.extend(with_inner(&mount));
        TABLE
            .lock()
            .retain(|known| !gone.iter().any(|gone| Arc::ptr_eq(known, gone)));
        for mount in &gone {
            drop(displace(mount));
        }
    }
    // Now, with no lock held, what nobody uses goes.
    drop(gone);
    Ok(())
}

/// `umount` of the root of all, which Linux takes for a wish that nothing be written any more.
///
/// # Errors
/// `EBUSY` if files are open for writing.
pub fn take_root_away(subject: &Subject) -> Option<Result<(), Errno>> {
    if !is_root(&subject.0) {
        return None;
    }
    if subject.0.super_block.flags().contains(MountFlags::READ_ONLY) {
        return Some(Ok(()));
    }
    Some(change_file_system(subject, MountFlags::READ_ONLY, b""))
}

/// Makes a mount the root of all, and puts the old root on a directory in it (`pivot_root(2)`). Processes whose root or
/// working directory was the old root get the new one.
///
/// # Errors
/// `EINVAL` unless `new` is the top of a mount, the process's root that of another one, and `old` in `new`; `EBUSY` if two
/// of them are the same mount.
pub fn pivot(new: &Arc<dyn Inode>, old: Arc<dyn Inode>) -> Result<(), Errno> {
    let root = context::current().root();
    {
        let _changes = changes();
        let mount_of = |inode: &Arc<dyn Inode>| inode.mount().filter(is_known).ok_or(Errno::EINVAL);
        let (new_mount, old_mount, root_mount) = (mount_of(new)?, mount_of(&old)?, mount_of(&root)?);
        if Arc::ptr_eq(&new_mount, &root_mount) || Arc::ptr_eq(&old_mount, &root_mount) {
            return Err(Errno::EBUSY);
        }
        if !root_mount.is_top(&*root) || !new_mount.is_top(&**new) {
            return Err(Errno::EINVAL);
        }
        if !is_root(&root_mount) {
            // Linux allows it for whoever's root is another mount, too.
            crate::warning_once!("pivot_root works for processes at the root of all only: it answers EINVAL");
            return Err(Errno::EINVAL);
        }
        if !is_within(&old_mount, &new_mount) || Arc::ptr_eq(&old_mount, &new_mount) && !lies_below(&old, new) {
            return Err(Errno::EINVAL);
        }
        let _move = DirectoryMove::begin();
        let position = displace(&new_mount);
        // `pivot_root(".", ".")` stacks the old root upon the new one.
        if let Err(errno) = place(&root_mount, old) {
            if let Some((_, point)) = position {
                let _ = place(&new_mount, point);
            }
            return Err(errno);
        }
        *ROOT.lock() = Some(new_mount);
    }
    context::for_each(&mut |files| files.change_root(&root, new));
    Ok(())
}
