//! Who may do what with files: permissions of files, users, groups and capabilities (`path_resolution(7)`,
//! `capabilities(7)`).

use alloc::sync::Arc;
use alloc::vec::Vec;

use bitflags::bitflags;
use core::sync::atomic::{AtomicUsize, Ordering};
use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::credentials::SecureBits;
use pith_linux::files::{DeviceNumber, OpenFlags};

use super::inode::Inode;
use super::metadata::{Metadata, without_special_rights};
use crate::task::{self, Capabilities, Credentials};

/// `/proc/sys/fs/protected_hardlinks`: no other names for files that one could not open for reading and writing. All four
/// are as Debian sets them.
pub static PROTECTED_HARD_LINKS: AtomicUsize = AtomicUsize::new(1);
/// `/proc/sys/fs/protected_symlinks`: links in directories where everybody may make them lead only their owners on.
pub static PROTECTED_SYMBOLIC_LINKS: AtomicUsize = AtomicUsize::new(1);
/// `/proc/sys/fs/protected_regular`: in such directories `O_CREAT` does not open files of others; 2: nor where a group may.
pub static PROTECTED_REGULAR: AtomicUsize = AtomicUsize::new(2);
/// `/proc/sys/fs/protected_fifos`: the same for named pipes.
pub static PROTECTED_PIPES: AtomicUsize = AtomicUsize::new(1);

/// Permissions of everybody (`S_IWOTH`), of the group (`S_IWGRP`), and special ones.
const OTHERS_WRITE: u16 = 0o2;
const GROUP_WRITES: u16 = 0o20;
const GROUP_EXECUTES: u16 = 0o10;
/// Only owners remove what is in it (`S_ISVTX`).
pub const STICKY: u16 = 0o1000;
const SET_GROUP: u16 = 0o2000;
const SET_USER: u16 = 0o4000;

bitflags! {
    /// What is to be done with a file: the bits of permissions.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u16 {
        /// Read it, or list the directory.
        const READ = 4;
        /// Write it, or change names in the directory.
        const WRITE = 2;
        /// Execute it, or find names in the directory.
        const EXECUTE = 1;
    }
}

impl Access {
    /// What opening a file with flags asks for.
    pub fn of_flags(flags: OpenFlags) -> Self {
        let mut access = match flags.bits() & 3 {
            0 => Self::READ,
            1 => Self::WRITE,
            _ => Self::READ | Self::WRITE,
        };
        access.set(
            Self::WRITE,
            access.contains(Self::WRITE) || flags.contains(OpenFlags::TRUNCATE),
        );
        access
    }
}

/// In whose name files are used.
#[derive(Clone)]
pub struct Rights {
    /// The user that owns what is made, and counts as owner.
    pub user: u32,
    /// The group that what is made belongs to.
    pub group: u32,
    supplementary: Option<Arc<Vec<u32>>>,
    capabilities: u64,
}

impl Rights {
    /// Those of the kernel before there is a process.
    pub const fn unlimited() -> Self {
        Self {
            user: 0,
            group: 0,
            supplementary: None,
            capabilities: Capabilities::ALL,
        }
    }

    fn of(own: &Credentials, user: u32, group: u32, capabilities: u64) -> Self {
        // Who may do everything is asked for no group.
        let supplementary = match capabilities & Capabilities::FILES {
            Capabilities::FILES => None,
            _ => own.supplementary.clone(),
        };
        Self {
            user,
            group,
            supplementary,
            capabilities,
        }
    }

    /// Those of the current thread.
    pub fn current() -> Self {
        match task::try_current() {
            None => Self::unlimited(),
            Some(thread) => {
                thread.with_credentials(|own| Self::of(own, own.file_user, own.file_group, own.capabilities.effective))
            }
        }
    }

    /// Those of the current thread's real user and group, for `access(2)`.
    pub fn real() -> Self {
        task::current().with_credentials(|own| {
            let capabilities = match own.users[0] {
                _ if own.secure.contains(SecureBits::NO_FOLLOWING) => own.capabilities.effective,
                0 => own.capabilities.permitted,
                _ => 0,
            };
            Self::of(own, own.users[0], own.groups[0], capabilities)
        })
    }

    /// Whether a capability is there.
    pub fn has(&self, capability: u64) -> bool {
        self.capabilities & capability != 0
    }

    /// Whether it is one of its groups.
    pub fn is_member(&self, group: u32) -> bool {
        let among = |groups: &Arc<Vec<u32>>| groups.binary_search(&group).is_ok();
        self.group == group || self.supplementary.as_ref().is_some_and(among)
    }

    /// Whether the owner's rights are there (`inode_owner_or_capable` of Linux).
    pub fn owns(&self, owner: u32) -> bool {
        self.user == owner || self.has(Capabilities::FILE_OWNER)
    }

    /// Whether an access to a file is allowed.
    ///
    /// # Errors
    /// `EACCES`
    pub fn check(&self, inode: &dyn Inode, access: Access) -> Result<(), Errno> {
        let harmless = !access.contains(Access::EXECUTE) || inode.kind() == FileKind::Directory;
        if harmless && self.has(Capabilities::OVERRIDE) {
            return Ok(());
        }
        match self.check_metadata(&inode.metadata(), access) {
            Err(_) if inode.is_own() && !access.contains(Access::WRITE) => Ok(()),
            checked => checked,
        }
    }

    /// As [`Self::check`], of a file of which this is known.
    ///
    /// # Errors
    /// `EACCES`
    pub fn check_metadata(&self, file: &Metadata, access: Access) -> Result<(), Errno> {
        let shift = match () {
            () if file.user == self.user => 6,
            () if self.is_member(file.group) => 3,
            () => 0,
        };
        if access.bits() & !(file.permissions >> shift) == 0 {
            return Ok(());
        }
        let directory = file.kind == FileKind::Directory;
        let only_reads = access == Access::READ || directory && !access.contains(Access::WRITE);
        let executable = !access.contains(Access::EXECUTE) || directory || file.permissions & 0o111 != 0;
        if self.has(Capabilities::OVERRIDE) && executable || self.has(Capabilities::READ_AND_SEARCH) && only_reads {
            return Ok(());
        }
        Err(Errno::EACCES)
    }

    /// Whether names may be changed in a directory.
    ///
    /// # Errors
    /// `EACCES`
    pub fn check_directory(&self, directory: &dyn Inode) -> Result<(), Errno> {
        self.check(directory, Access::WRITE | Access::EXECUTE)
    }

    /// Whether a file's name may be taken out of a directory. In a sticky one that is its owner's and the file's owner's
    /// affair.
    ///
    /// # Errors
    /// `EACCES`, `EPERM`
    pub fn check_removal(&self, directory: &dyn Inode, file: &dyn Inode) -> Result<(), Errno> {
        self.check_directory(directory)?;
        if self.has(Capabilities::FILE_OWNER) {
            return Ok(());
        }
        let above = directory.metadata();
        if above.permissions & STICKY != 0 && above.user != self.user && file.metadata().user != self.user {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Whether a file that was found may be opened.
    ///
    /// # Errors
    /// `EACCES`; `EPERM` for `O_NOATIME` on a file of somebody else.
    pub fn check_open(&self, inode: &dyn Inode, flags: OpenFlags) -> Result<(), Errno> {
        self.check(inode, Access::of_flags(flags))?;
        if flags.contains(OpenFlags::NO_ACCESS_TIME) && !self.owns(inode.metadata().user) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Whether `O_CREAT` may open a file that is there already, in a directory where others can make files.
    ///
    /// # Errors
    /// `EACCES`
    pub fn check_shared_directory(&self, directory: &dyn Inode, inode: &dyn Inode) -> Result<(), Errno> {
        let owner = inode.metadata().user;
        if owner == self.user {
            return Ok(());
        }
        let protection = match inode.kind() {
            FileKind::Regular => PROTECTED_REGULAR.load(Ordering::Relaxed),
            FileKind::Fifo => PROTECTED_PIPES.load(Ordering::Relaxed),
            _ => 0,
        };
        let above = directory.metadata();
        if protection == 0 || above.permissions & STICKY == 0 {
            return Ok(());
        }
        let others = above.permissions & OTHERS_WRITE != 0 || above.permissions & GROUP_WRITES != 0 && protection > 1;
        if others && owner != above.user {
            return Err(Errno::EACCES);
        }
        Ok(())
    }

    /// Whether a symbolic link that ends a path may be followed.
    ///
    /// # Errors
    /// `EACCES`
    pub fn check_link(&self, directory: &dyn Inode, link: &dyn Inode) -> Result<(), Errno> {
        if PROTECTED_SYMBOLIC_LINKS.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let above = directory.metadata();
        let shared = STICKY | OTHERS_WRITE;
        if above.permissions & shared != shared {
            return Ok(());
        }
        let owner = link.metadata().user;
        if owner == self.user || owner == above.user {
            return Ok(());
        }
        Err(Errno::EACCES)
    }

    /// Whether a file may get another name.
    ///
    /// # Errors
    /// `EPERM`
    pub fn check_source_of_link(&self, inode: &dyn Inode) -> Result<(), Errno> {
        if PROTECTED_HARD_LINKS.load(Ordering::Relaxed) == 0 || self.has(Capabilities::FILE_OWNER) {
            return Ok(());
        }
        let file = inode.metadata();
        let (special, executable) = (file.permissions & SET_GROUP, file.permissions & GROUP_EXECUTES);
        let safe = file.kind == FileKind::Regular
            && file.permissions & SET_USER == 0
            && (special == 0 || executable == 0)
            && self.check_metadata(&file, Access::READ | Access::WRITE).is_ok();
        if safe || file.user == self.user {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// Whether a special file may be made.
    ///
    /// # Errors
    /// `EPERM` for devices. The device 0:0 stands for nothing, and everybody may make it.
    pub fn check_special(&self, kind: FileKind, device: DeviceNumber) -> Result<(), Errno> {
        let nothing = kind == FileKind::CharacterDevice && device == DeviceNumber::default();
        let of_device = matches!(kind, FileKind::CharacterDevice | FileKind::BlockDevice);
        if of_device && !nothing && !self.has(Capabilities::MAKE_DEVICES) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// The permissions that a file gets of those that are asked for: the set-group-ID bit only for one's own group.
    pub fn allowed_mode(&self, group: u32, mode: u16) -> u16 {
        match self.is_member(group) || self.has(Capabilities::KEEP_SPECIAL) {
            true => mode,
            false => mode & !SET_GROUP,
        }
    }

    /// Whether an owner and a group may be given to a file.
    ///
    /// # Errors
    /// `EPERM`
    pub fn check_owner(&self, inode: &dyn Inode, user: Option<u32>, group: Option<u32>) -> Result<(), Errno> {
        if self.has(Capabilities::CHANGE_OWNER) {
            return Ok(());
        }
        let file = inode.metadata();
        let own = file.user == self.user;
        let user = user.is_none_or(|user| own && user == file.user);
        let group = group.is_none_or(|group| own && (group == file.group || self.is_member(group)));
        // Special permissions go with it, which is a change of permissions.
        let loses = file.kind != FileKind::Directory && without_special_rights(file.permissions) != file.permissions;
        if user && group && (!loses || self.owns(file.user)) {
            return Ok(());
        }
        Err(Errno::EPERM)
    }
}

/// What is left of a file's special permissions after the current thread has written to it.
pub fn after_writing(permissions: u16) -> u16 {
    match permissions & (SET_USER | SET_GROUP) {
        0 => permissions,
        _ if Rights::current().has(Capabilities::KEEP_SPECIAL) => permissions,
        _ => without_special_rights(permissions),
    }
}

/// Owner and group of what the current thread makes.
pub fn owner() -> (u32, u32) {
    task::try_current().map_or((0, 0), |thread| {
        thread.with_credentials(|own| (own.file_user, own.file_group))
    })
}

/// Whether the current thread may do something with a file.
///
/// # Errors
/// `EACCES`
pub fn check(inode: &Arc<dyn Inode>, access: Access) -> Result<(), Errno> {
    Rights::current().check(&**inode, access)
}

/// Whether the current thread has a capability.
///
/// # Errors
/// `EPERM`
pub fn require(capability: u64) -> Result<(), Errno> {
    match task::has_capability(capability) {
        true => Ok(()),
        false => Err(Errno::EPERM),
    }
}
