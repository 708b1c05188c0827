//! File trees in memory: the root (EROFS below, changes above), `/dev`, `/dev/shm`.
//!
//! A tree keeps a [`Node`] for every file that was looked up or made. Where an EROFS volume lies below, nodes
//! start as views of it: a directory's map of entries holds only what was found or changed, and a regular
//! file's map of pages only what was written. So the image is never copied or unpacked, and what a program
//! never touches costs nothing. Without a volume below, the same tree is what Linux calls a tmpfs.
//!
//! Locks, in the order in which they may be taken: a tree's `structure` (held while names change), then a
//! directory's entries, then attributes, place or pages of a node. None is held while the program's memory is
//! touched.

mod directory;
mod extended;
pub mod lacking;
mod named;
mod names;
mod regular;
mod seals;
mod space;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pith_erofs::{FileKind, Volume};
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, NAME_MAX, OpenFlags, RenameFlags, Statfs};
use pith_sorted_map::SortedMap;
use pith_storage_settings::Settings;
use spin::{Mutex, Once};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::device_files;
use super::file::{File, OpenFile};
use super::inode::{FileIdentity, FileSystem, Inode, NewFile, PathName, Place, Replacement, Target};
use super::leases::Openers;
use super::metadata::{AttributeChange, Metadata, Times, Timestamp};
use super::mounts::{self, FirstMount, Mount};
use super::permission;
use super::{notify, pipe};
use crate::memory::PAGE_SIZE;
use crate::task::random;
use directory::DirectoryContent;
use extended::ExtendedAttributes;
use named::PlaceOfNode;
use regular::RegularContent;
use seals::Seals;
use space::Space;
pub use space::SpaceLimits;

/// What kind of tree it is, for `/proc/mounts` and `statfs(2)`.
#[derive(Clone, Copy, Debug)]
pub struct Character {
    /// Type in `/proc/mounts`.
    pub type_name: &'static str,
    /// Type in `statfs(2)`.
    pub magic: i64,
    /// `st_dev`.
    pub device: DeviceNumber,
}

/// A file tree in memory.
pub struct Tree {
    character: Character,
    /// What lies below.
    lower: Option<Volume<'static>>,
    /// The top directory, which is kept alive by who made the tree.
    root: Once<Weak<Node>>,
    /// Where the tree was mounted first.
    mount: FirstMount,
    /// Held while names change.
    structure: Mutex<()>,
    /// Numbers from here on belong to files that were made.
    first_made: u64,
    next_number: AtomicU64,
    /// Data and files that were made and still exist, and how much of that there may be.
    space: Space,
    /// Files of the volume that have several names: one node for all of them.
    linked: Mutex<BTreeMap<u64, Arc<Node>>>,
    /// Files that somebody has a handle of, by number.
    known: Mutex<SortedMap<u64, Weak<Node>>>,
}

/// What tells a file of a tree from all others for ever (`name_to_handle_at(2)`).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Handle {
    /// Of this run of the machine: numbers begin anew with each.
    generation: u32,
    number: [u32; 2],
}

/// The generation of all handles.
fn generation() -> u32 {
    static GENERATION: Once<u32> = Once::new();
    *GENERATION.call_once(|| {
        let mut bytes = [0; 4];
        random::fill(&mut bytes);
        u32::from_ne_bytes(bytes)
    })
}

/// A handle of a file, by which it is found until it is gone; `None` for what is in no tree.
pub fn handle_of(inode: &dyn Inode) -> Option<Handle> {
    let node = inode.as_any().downcast_ref::<Node>()?;
    node.tree.known.lock().insert(node.number, node.itself.clone());
    Some(Handle {
        generation: generation(),
        number: [node.number as u32, (node.number >> 32) as u32],
    })
}

/// The file that a handle means, in the tree of another file.
pub fn of_handle(anchor: &Arc<dyn Inode>, handle: Handle) -> Option<Arc<dyn Inode>> {
    let tree = &anchor.as_any().downcast_ref::<Node>()?.tree;
    let number = u64::from(handle.number[0]) | u64::from(handle.number[1]) << 32;
    let known = tree.known.lock();
    let node = known.get(&number)?.upgrade();
    drop(known);
    node.filter(|_| handle.generation == generation())
        .map(|node| node as Arc<dyn Inode>)
}

/// Owner, permissions, links and times.
#[derive(Clone, Copy, Debug)]
struct AttributesOfNode {
    permissions: u16,
    user: u32,
    group: u32,
    links: u32,
    /// How many of the names were counted as files when they were made.
    counted_names: u32,
    times: Times,
}

enum Content {
    Regular(RegularContent),
    Directory(DirectoryContent),
    Symlink(Box<[u8]>),
    Special {
        represents: DeviceNumber,
        pipe: Once<Arc<pipe::Pipe>>,
    },
}

/// A file in a tree.
pub struct Node {
    tree: Arc<Tree>,
    itself: Weak<Node>,
    number: u64,
    kind: FileKind,
    attributes: Mutex<AttributesOfNode>,
    /// Its first name. Further ones have places of their own ([`named`]).
    place: Mutex<PlaceOfNode>,
    content: Content,
    /// How many mounts have it as their point, and which one those find who come through the tree's own mount.
    points: AtomicU32,
    covered: Mutex<Option<Arc<Mount>>>,
    /// Extended attributes; made for the first one.
    extended: Once<Box<ExtendedAttributes>>,
}

/// What Linux answers when a volume can't be read.
pub(super) fn volume_errno(error: pith_erofs::Error) -> Errno {
    use pith_erofs::Error;
    match error {
        Error::NotErofs | Error::Truncated { .. } | Error::NotASymlink { .. } => Errno::EINVAL,
        Error::Checksum { .. } => Errno::EBADMSG,
        Error::Unsupported(_) => Errno::EOPNOTSUPP,
        Error::NotADirectory { .. } => Errno::ENOTDIR,
        Error::InvalidSuperblock(_) | Error::Corrupt { .. } => Errno::EUCLEAN,
    }
}

/// A file without a place in any directory (`memfd_create(2)`). `executable` says whether it may be executed, and
/// `sealable` whether it may be sealed; one that may not be executed stays so.
///
/// # Errors
/// `ENOSPC`
pub fn memory_file(name: &[u8], executable: bool, sealable: bool) -> Result<Arc<dyn Inode>, Errno> {
    static FILES: Once<Arc<Node>> = Once::new();
    let mut seals = if sealable { Seals::empty() } else { Seals::SEAL };
    seals.set(Seals::EXECUTE, !executable);
    let permissions = if executable { 0o777 } else { 0o666 };
    let node = nameless(
        FILES.call_once(|| Tree::empty(super::MEMORY_FILES, 0o1777, SpaceLimits::default())),
        [b"memfd:", name].concat(),
        permissions,
        RegularContent::with_seals(seals),
    )?;
    Ok(node)
}

/// A file that can only be mapped, by its owner alone (`memfd_secret(2)`).
///
/// # Errors
/// `ENOSPC`
pub fn secret_file() -> Result<Arc<OpenFile>, Errno> {
    static FILES: Once<Arc<Node>> = Once::new();
    let node = nameless(
        FILES.call_once(|| Tree::empty(super::SECRET_MEMORY, 0o1777, SpaceLimits::default())),
        b"secretmem".to_vec(),
        0o600,
        RegularContent::new(None),
    )?;
    let file = Arc::new(regular::SecretFile(node.clone()));
    Ok(OpenFile::new(node, file, OpenFlags::READ_WRITE))
}

/// A regular file without a place in any directory.
fn nameless(root: &Arc<Node>, name: Vec<u8>, permissions: u16, content: RegularContent) -> Result<Arc<Node>, Errno> {
    let tree = &root.tree;
    let number = tree.new_number()?;
    let attributes = AttributesOfNode::new(permissions, 0);
    let node = Node::new(
        tree,
        number,
        FileKind::Regular,
        attributes,
        Content::Regular(content),
        None,
    );
    *node.place.lock() = PlaceOfNode {
        parent: Some(root.clone()),
        name: name.into(),
        removed: true,
        linkable: false,
    };
    Ok(node)
}

/// Who has a regular file of a tree open.
pub fn openers(inode: &dyn Inode) -> Option<&Openers> {
    match &inode.as_any().downcast_ref::<Node>()?.content {
        Content::Regular(content) => Some(&content.openers),
        _ => None,
    }
}

impl Tree {
    /// The top directory of an empty tree.
    pub fn empty(character: Character, permissions: u16, limits: SpaceLimits) -> Arc<Node> {
        let tree = Self::without_root(character, None, 2, limits);
        // The top directory counts, whatever the limit.
        let _ = tree.space.take_file();
        let attributes = AttributesOfNode::new(permissions, 2);
        let content = Content::Directory(DirectoryContent::new(None));
        let root = Node::new(&tree, 1, FileKind::Directory, attributes, content, None);
        tree.root.call_once(|| Arc::downgrade(&root));
        root
    }

    /// The top directory of a tree that starts as a view of an EROFS volume.
    ///
    /// # Errors
    /// What is wrong with the volume.
    pub fn above(
        character: Character,
        volume: Volume<'static>,
        limits: SpaceLimits,
    ) -> Result<Arc<Node>, pith_erofs::Error> {
        let root = volume.root()?;
        // Numbers of EROFS inodes are those of slots of 32 bytes in the image.
        let first_free = (volume.image().len() as u64 / 32).next_multiple_of(4096);
        let tree = Self::without_root(character, Some(volume), first_free, limits);
        let root =
            Node::of_volume(&tree, root, None).map_err(|_| pith_erofs::Error::NotADirectory { nid: root.nid })?;
        tree.root.call_once(|| Arc::downgrade(&root));
        Ok(root)
    }

    fn without_root(
        character: Character,
        lower: Option<Volume<'static>>,
        first_free: u64,
        limits: SpaceLimits,
    ) -> Arc<Self> {
        Arc::new(Self {
            character,
            lower,
            root: Once::new(),
            mount: FirstMount::new(),
            structure: Mutex::new(()),
            first_made: first_free,
            next_number: AtomicU64::new(first_free),
            space: Space::new(limits),
            linked: Mutex::new(BTreeMap::new()),
            known: Mutex::new(SortedMap::new()),
        })
    }

    /// A number for a new file, which counts from now on. Its node gives that back when it goes.
    ///
    /// # Errors
    /// `ENOSPC` if there are too many files.
    fn new_number(&self) -> Result<u64, Errno> {
        self.space.take_file()?;
        Ok(self.next_number.fetch_add(1, Ordering::Relaxed))
    }

    fn lower(&self) -> Result<&Volume<'static>, Errno> {
        self.lower.as_ref().ok_or(Errno::EIO)
    }
}

impl FileSystem for Tree {
    fn type_name(&self) -> &'static str {
        self.character.type_name
    }

    fn device(&self) -> DeviceNumber {
        self.character.device
    }

    fn statistics(&self) -> Statfs {
        let page = PAGE_SIZE as u64;
        let room = self.space.room();
        Statfs {
            kind: self.character.magic,
            block_size: page as i64,
            blocks: room.pages,
            free: room.free_pages,
            available: room.free_pages,
            files: room.files,
            files_free: room.free_files,
            identity: [self.character.device.encode() as i32, 0],
            name_length: NAME_MAX as i64,
            fragment_size: page as i64,
            flags: 0x20 | 0x1000, // valid, access times only after changes
            spare: [0; 4],
        }
    }

    fn set_mount(&self, mount: &Weak<Mount>) -> bool {
        self.mount.set(mount)
    }

    fn set_limits(&self, settings: &Settings) -> Result<(), Errno> {
        self.space.set_limits(settings)
    }

    /// Names and directories hold each other: they are parted one after the other, since a tree may be deep.
    fn end(&self) {
        if notify::anybody() {
            notify::unmounted(self.character.device);
        }
        let Some(root) = self.root.get().and_then(Weak::upgrade) else {
            return;
        };
        let mut directory = root.clone();
        loop {
            match directory.take_any_child() {
                Some(child) if child.is_directory() => directory = child,
                Some(_) => {}
                None if Arc::ptr_eq(&directory, &root) => break,
                None => {
                    let above = directory.place.lock().parent.clone();
                    directory = above.unwrap_or_else(|| root.clone());
                }
            }
        }
        mounts::free_device(self.character.device);
    }
}

impl AttributesOfNode {
    fn new(permissions: u16, links: u32) -> Self {
        let times = Times::all(Timestamp::now());
        let (user, group) = permission::owner();
        Self {
            permissions: permissions & 0o7777,
            user,
            group,
            links,
            counted_names: 0,
            times,
        }
    }
}

impl Node {
    fn new(
        tree: &Arc<Tree>,
        number: u64,
        kind: FileKind,
        attributes: AttributesOfNode,
        content: Content,
        place: Option<(&Arc<Node>, &Arc<[u8]>)>,
    ) -> Arc<Self> {
        let place = match place {
            Some((parent, name)) => PlaceOfNode::new(parent.clone(), name.clone()),
            None => PlaceOfNode {
                parent: None,
                name: Arc::default(),
                removed: false,
                linkable: false,
            },
        };
        Arc::new_cyclic(|itself| Self {
            tree: tree.clone(),
            itself: itself.clone(),
            number,
            kind,
            attributes: Mutex::new(attributes),
            place: Mutex::new(place),
            content,
            points: AtomicU32::new(0),
            covered: Mutex::new(None),
            extended: Once::new(),
        })
    }

    /// The tree that it belongs to.
    pub fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// Whether something is mounted on it, seen through whichever mount.
    fn is_point(&self) -> bool {
        self.points.load(Ordering::Relaxed) != 0
    }

    /// A view of an inode of the volume.
    fn of_volume(
        tree: &Arc<Tree>,
        inode: pith_erofs::Inode,
        place: Option<(&Arc<Node>, &Arc<[u8]>)>,
    ) -> Result<Arc<Self>, Errno> {
        let content = match inode.kind {
            FileKind::Regular => Content::Regular(RegularContent::new(Some(inode))),
            FileKind::Directory => Content::Directory(DirectoryContent::new(Some(inode))),
            FileKind::Symlink => Content::Symlink(tree.lower()?.symlink_target(&inode).map_err(volume_errno)?.into()),
            _ => Content::Special {
                represents: DeviceNumber::decode(inode.rdev.into()),
                pipe: Once::new(),
            },
        };
        let time = Timestamp {
            seconds: inode.modified_seconds,
            nanoseconds: inode.modified_nanoseconds,
        };
        let attributes = AttributesOfNode {
            permissions: inode.mode & 0o7777,
            user: inode.uid,
            group: inode.gid,
            links: inode.nlink,
            counted_names: 0,
            times: Times::all(time),
        };
        let extended = ExtendedAttributes::of_volume(tree, &inode)?;
        let make = || {
            let node = Self::new(tree, inode.nid, inode.kind, attributes, content, place);
            if let Some(extended) = extended {
                node.extended.call_once(|| extended);
            }
            node
        };
        if inode.nlink > 1 && inode.kind != FileKind::Directory {
            return Ok(tree.linked.lock().entry(inode.nid).or_insert_with(make).clone());
        }
        Ok(make())
    }

    /// The node as what keeps it alive.
    fn me(&self) -> Result<Arc<Node>, Errno> {
        self.itself.upgrade().ok_or(Errno::ENOENT)
    }

    fn touch_content(&self) {
        self.touch_mapped_content();
        if self.kind == FileKind::Regular {
            let mut attributes = self.attributes.lock();
            attributes.permissions = permission::after_writing(attributes.permissions);
            drop(attributes);
            self.forget_capabilities();
        }
    }

    /// The content was changed by a mapping, which as on Linux takes no rights of programs away.
    fn touch_mapped_content(&self) {
        let now = Timestamp::now();
        let mut attributes = self.attributes.lock();
        attributes.times.modified = now;
        attributes.times.changed = now;
    }

    /// The file was read. As Linux does with `relatime`, the access time is only set if something was changed since it
    /// was, or after a day.
    fn touch_access(&self, always: bool) {
        const DAY: i64 = 24 * 60 * 60;
        let mut attributes = self.attributes.lock();
        let times = attributes.times;
        let now = Timestamp::now();
        if always
            || times.accessed <= times.modified
            || times.accessed <= times.changed
            || now.seconds - times.accessed.seconds >= DAY
        {
            attributes.times.accessed = now;
        }
    }

    fn touch_metadata(&self) {
        self.attributes.lock().times.changed = Timestamp::now();
    }

    fn change_links(&self, by: i32) {
        let mut attributes = self.attributes.lock();
        attributes.links = attributes.links.saturating_add_signed(by);
        attributes.times.changed = Timestamp::now();
    }

    fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// The node behind an inode, if it is one of the same tree.
    fn of_same_tree<'a>(&self, inode: &'a Arc<dyn Inode>) -> Result<&'a Node, Errno> {
        inode
            .as_any()
            .downcast_ref::<Node>()
            .filter(|node| Arc::ptr_eq(&node.tree, &self.tree))
            .ok_or(Errno::EXDEV)
    }

    fn directory(&self) -> Result<&DirectoryContent, Errno> {
        match &self.content {
            Content::Directory(content) => Ok(content),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn regular(&self) -> Result<&RegularContent, Errno> {
        match &self.content {
            Content::Regular(content) => Ok(content),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if notify::anybody() && self.attributes.get_mut().links == 0 {
            notify::gone(Inode::identity(self));
        }
        let handle = self.tree.known.lock().remove(&self.number);
        drop(handle);
        // The volume's files are few and known; those that were made are counted.
        if self.number >= self.tree.first_made {
            self.tree.space.give_file_back();
        }
        if let Content::Regular(content) = &mut self.content {
            content.release(&self.tree.space);
        }
        // Directories that were removed while something below them was open go one after the other: there may be more of
        // them than calls fit on the stack.
        let mut above = self.place.get_mut().parent.take();
        while let Some(mut node) = above.and_then(Arc::into_inner) {
            above = node.place.get_mut().parent.take();
        }
    }
}

impl Inode for Node {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn statistics(&self) -> Statfs {
        self.tree.statistics()
    }

    fn metadata(&self) -> Metadata {
        let (size, blocks, represents) = match &self.content {
            Content::Regular(content) => content.size_and_blocks(),
            Content::Directory(content) => content.size_and_blocks(),
            Content::Symlink(target) => (target.len() as u64, if target.len() < 60 { 0 } else { 8 }, None),
            Content::Special { represents, .. } => (0, 0, Some(*represents)),
        };
        let attributes = *self.attributes.lock();
        Metadata {
            device: self.tree.character.device,
            number: self.number,
            kind: self.kind,
            is_typeless: false,
            knows_creation: true,
            permissions: attributes.permissions,
            links: attributes.links,
            user: attributes.user,
            group: attributes.group,
            represents: represents.unwrap_or_default(),
            size,
            blocks,
            times: attributes.times,
        }
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    fn identity(&self) -> FileIdentity {
        FileIdentity {
            device: self.tree.character.device,
            number: self.number,
        }
    }

    fn place(&self) -> Option<Place> {
        self.place.lock().told()
    }

    fn path(&self) -> PathName {
        mounts::absolute(self)
    }

    fn mount(&self) -> Option<Arc<Mount>> {
        self.tree.mount.get()
    }

    fn path_within(&self) -> PathName {
        PlaceOfNode::path(&self.place)
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        match &self.content {
            Content::Regular(_) => Ok(Arc::new(regular::RegularFile(self))),
            Content::Directory(_) => Ok(Arc::new(directory::DirectoryFile::new(self))),
            Content::Symlink(_) => Err(Errno::ELOOP),
            Content::Special { represents, pipe } => match self.kind {
                FileKind::CharacterDevice => device_files::open(*represents, flags),
                FileKind::Fifo => pipe::open_named(pipe.call_once(pipe::Pipe::new), flags),
                _ => Err(Errno::ENXIO),
            },
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.child(name)?.ok_or(Errno::ENOENT)?.into_inode())
    }

    fn note_lacking(&self, name: &[u8], rest: &[u8]) {
        if self.tree.lower.is_some() {
            lacking::note(self, name, rest);
        }
    }

    fn parent(&self) -> Result<Arc<dyn Inode>, Errno> {
        self.directory()?;
        if let Some(parent) = &self.place.lock().parent {
            return Ok(parent.clone());
        }
        match self.mount().and_then(|mount| mount.above()) {
            Some(above) => above,
            None => Ok(self.me()?),
        }
    }

    fn mounted(&self) -> Option<Arc<dyn Inode>> {
        if !self.is_point() {
            return None;
        }
        self.covered.lock().as_ref().map(Mount::root)
    }

    fn set_point(&self, used: bool) -> Result<(), Errno> {
        let _structure = self.tree.structure.lock();
        match used {
            true if self.attributes.lock().links == 0 => return Err(Errno::ENOENT),
            true => self.points.fetch_add(1, Ordering::Relaxed),
            false => self.points.fetch_sub(1, Ordering::Relaxed),
        };
        Ok(())
    }

    fn set_covered(&self, by: Option<Arc<Mount>>) {
        let old = core::mem::replace(&mut *self.covered.lock(), by);
        drop(old);
    }

    fn is_covered(&self) -> bool {
        self.covered.lock().is_some()
    }

    fn target(&self) -> Result<Target, Errno> {
        match &self.content {
            Content::Symlink(target) => Ok(Target::Path(target.to_vec())),
            _ => Err(Errno::EINVAL),
        }
    }

    fn create(&self, name: &[u8], new: NewFile<'_>, permissions: u16) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.create_node(name, new, permissions)?)
    }

    fn create_nameless(&self, permissions: u16, linkable: bool) -> Result<Arc<dyn Inode>, Errno> {
        self.directory()?;
        let number = self.tree.new_number()?;
        let attributes = AttributesOfNode::new(permissions, 0);
        let content = Content::Regular(RegularContent::new(None));
        let node = Self::new(&self.tree, number, FileKind::Regular, attributes, content, None);
        *node.place.lock() = PlaceOfNode {
            parent: Some(self.me()?),
            name: alloc::format!("#{number}").into_bytes().into(),
            removed: true,
            linkable,
        };
        Ok(node)
    }

    fn link(&self, name: &[u8], file: &Arc<dyn Inode>) -> Result<(), Errno> {
        self.link_node(name, self.of_same_tree(file)?)
    }

    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        self.remove(name, false)
    }

    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        self.remove(name, true)
    }

    fn rename(&self, old: &[u8], to: &Arc<dyn Inode>, new: &[u8], flags: RenameFlags) -> Result<(), Errno> {
        let to = self.of_same_tree(to)?;
        self.rename_node(old, to, new, flags)
    }

    fn change(&self, change: AttributeChange) -> Result<(), Errno> {
        let mut attributes = self.attributes.lock();
        if let Some(user) = change.user {
            attributes.user = user;
        }
        if let Some(group) = change.group {
            attributes.group = group;
        }
        if change.is_of_owner && self.kind != FileKind::Directory {
            self.forget_capabilities();
            attributes.permissions = super::metadata::without_special_rights(attributes.permissions);
        }
        if let (Some(permissions), Content::Regular(content)) = (change.permissions, &self.content)
            && (permissions ^ attributes.permissions) & 0o111 != 0
            && content.seals().contains(Seals::EXECUTE)
        {
            return Err(Errno::EPERM);
        }
        if let Some(permissions) = change.permissions {
            attributes.permissions = permissions & 0o7777;
        }
        if let Some(time) = change.accessed {
            attributes.times.accessed = time;
        }
        if let Some(time) = change.modified {
            attributes.times.modified = time;
        }
        attributes.times.changed = Timestamp::now();
        Ok(())
    }

    fn accessed(&self, always: bool) {
        self.touch_access(always);
    }

    fn extended_attribute(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.attribute(name)
    }

    fn extended_attribute_names(&self) -> Vec<Box<[u8]>> {
        self.attribute_names()
    }

    fn set_extended_attribute(&self, name: &[u8], value: Option<&[u8]>, replacement: Replacement) -> Result<(), Errno> {
        self.set_attribute(name, value, replacement)
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        match &self.content {
            Content::Regular(content) => {
                let (before, blocks, _) = content.size_and_blocks();
                content.truncate(self, size)?;
                // Unlike `ftruncate` and `O_TRUNC`, `truncate` tells nothing if the size stays, says Linux's tmpfs; but only of
                // a file without data.
                if size != before || blocks != 0 {
                    self.touch_content();
                }
                Ok(())
            }
            Content::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }
}
