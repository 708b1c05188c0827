//! Directories of a tree: an image's names below, changes above.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_erofs::{FileKind, Inode as LowerInode};
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, NAME_MAX, RenameFlags};
use spin::{Mutex, Once};

use super::named::{NamedNode, PlaceOfNode};
use super::names::Names;
use super::regular::RegularContent;
use super::{AttributesOfNode, Content, Node, Tree, volume_errno};
use crate::fs::file::{File, ListedEntry, Listing};
use crate::fs::inode::{Inode, NewFile};
use crate::fs::path::DirectoryMove;
use crate::fs::permission::Rights;
use crate::memory;

/// Positions in a listing: `.`, `..`, then the volume's entries by their offsets, then added ones by age.
const DOT: u64 = 0;
const DOT_DOT: u64 = 1;
const FIRST_LOWER: u64 = 2;
const FIRST_ADDED: u64 = 1 << 40;

/// What a directory knows about a name.
enum Slot {
    /// The file. `added` is its position in the listing if the volume has no such name.
    Node { file: NamedNode, added: Option<u64> },
    /// There is none, although the volume has one.
    Whiteout,
}

#[derive(Default)]
struct Entries {
    /// Names that were found or changed.
    slots: Names<Slot>,
    /// Added names by their position in the listing.
    order: BTreeMap<u64, Arc<[u8]>>,
    last_added: u64,
    /// The directory was removed: nothing can be made in it.
    removed: bool,
}

impl Entries {
    fn last_position(&self) -> u64 {
        FIRST_ADDED + self.last_added
    }
}

/// The content of a directory.
pub(super) struct DirectoryContent {
    lower: Option<Box<LowerInode>>,
    entries: Mutex<Entries>,
}

impl DirectoryContent {
    pub(super) fn new(lower: Option<LowerInode>) -> Self {
        Self {
            lower: lower.map(Box::new),
            entries: Mutex::new(Entries::default()),
        }
    }

    /// As for Linux's tmpfs, where each entry counts for 20 bytes and there are no blocks.
    pub(super) fn size_and_blocks(&self) -> (u64, u64, Option<DeviceNumber>) {
        const ENTRY: u64 = 20;
        let below = self.lower.as_ref().map_or(0, |inode| inode.size);
        let above = (self.entries.lock().order.len() as u64 + 2) * ENTRY;
        (below + above, below.div_ceil(512), None)
    }

    fn lower_has(&self, tree: &Tree, name: &[u8]) -> Result<Option<u64>, Errno> {
        match &self.lower {
            Some(lower) => tree.lower()?.lookup(lower, name).map_err(volume_errno),
            None => Ok(None),
        }
    }

    fn is_empty(&self, tree: &Tree) -> Result<bool, Errno> {
        let entries = self.entries.lock();
        if !entries.order.is_empty() {
            return Ok(false);
        }
        let Some(lower) = &self.lower else { return Ok(true) };
        for entry in tree.lower()?.read_directory(lower, 0).map_err(volume_errno)? {
            let name = entry.map_err(volume_errno)?.name;
            if !matches!(name, b"." | b"..") && !matches!(entries.slots.get(name), Some(Slot::Whiteout)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts a file under a name, whatever was there.
    fn insert(&self, tree: &Tree, name: &Arc<[u8]>, file: NamedNode) -> Result<(), Errno> {
        let below = self.lower_has(tree, name)?.is_some();
        let mut entries = self.entries.lock();
        let known = match entries.slots.get(name) {
            Some(Slot::Node { added, .. }) => *added,
            _ => None,
        };
        let added = if below {
            None
        } else {
            Some(known.unwrap_or_else(|| {
                entries.last_added += 1;
                let position = FIRST_ADDED + entries.last_added;
                entries.order.insert(position, name.clone());
                position
            }))
        };
        entries.slots.insert(name.clone(), Slot::Node { file, added });
        Ok(())
    }

    /// Takes a name away.
    fn take(&self, tree: &Tree, name: &[u8]) -> Result<(), Errno> {
        let below = self.lower_has(tree, name)?.is_some();
        let mut entries = self.entries.lock();
        let old = if below {
            entries.slots.insert(name.into(), Slot::Whiteout)
        } else {
            entries.slots.remove(name)
        };
        if let Some(Slot::Node {
            added: Some(position), ..
        }) = old
        {
            entries.order.remove(&position);
        }
        Ok(())
    }
}

impl Node {
    /// Takes any name out of the directory, for good: nothing can be made in it any more. For trees without a volume.
    pub(super) fn take_any_child(&self) -> Option<Arc<Node>> {
        let mut entries = self.directory().ok()?.entries.lock();
        entries.removed = true;
        let (_, name) = entries.order.pop_first()?;
        match entries.slots.remove(&name)? {
            Slot::Node { file, .. } => Some(file.node().clone()),
            Slot::Whiteout => None,
        }
    }

    /// Finds a name in the directory.
    pub(super) fn child(&self, name: &[u8]) -> Result<Option<NamedNode>, Errno> {
        let content = self.directory()?;
        let mut entries = content.entries.lock();
        if entries.removed {
            return Err(Errno::ENOENT);
        }
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        match entries.slots.get(name) {
            Some(Slot::Node { file, .. }) => return Ok(Some(file.clone())),
            Some(Slot::Whiteout) => return Ok(None),
            None => {}
        }
        let Some(number) = content.lower_has(&self.tree, name)? else {
            return Ok(None);
        };
        if memory::is_low() {
            return Err(Errno::ENOMEM); // the node would stay, and the kernel's own memory is not for that
        }
        let inode = self.tree.lower()?.inode(number).map_err(volume_errno)?;
        let shared: Arc<[u8]> = name.into();
        let directory = self.me()?;
        let node = Node::of_volume(&self.tree, inode, Some((&directory, &shared)))?;
        // Another name may have led to it before.
        let file = match node.place.lock().is(self, name) {
            true => NamedNode::from(node.clone()),
            false => NamedNode::further(node.clone(), directory, shared.clone()),
        };
        let added = None;
        let slot = Slot::Node {
            file: file.clone(),
            added,
        };
        entries.slots.insert(shared, slot);
        Ok(Some(file))
    }

    /// Whether something may be made under a name.
    fn check_new_name(&self, name: &[u8]) -> Result<(), Errno> {
        if self.child(name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        if self.directory()?.entries.lock().removed {
            return Err(Errno::ENOENT);
        }
        Ok(())
    }

    pub(super) fn create_node(&self, name: &[u8], new: NewFile<'_>, permissions: u16) -> Result<Arc<Node>, Errno> {
        let directory = self.directory()?;
        let _structure = self.tree.structure.lock();
        self.check_new_name(name)?;
        let number = self.tree.new_number()?;
        let (kind, content) = match new {
            NewFile::Regular => (FileKind::Regular, Content::Regular(RegularContent::new(None))),
            NewFile::Directory => (FileKind::Directory, Content::Directory(DirectoryContent::new(None))),
            NewFile::Symlink(target) => (FileKind::Symlink, Content::Symlink(target.into())),
            NewFile::Special(kind, represents) => (
                kind,
                Content::Special {
                    represents,
                    pipe: Once::new(),
                },
            ),
        };
        let mut attributes = AttributesOfNode::new(permissions, if kind == FileKind::Directory { 2 } else { 1 });
        {
            // A directory with the set-group-ID bit hands its group down (inode(7)).
            let parent = self.attributes.lock();
            if parent.permissions & 0o2000 != 0 {
                attributes.group = parent.group;
                if kind == FileKind::Directory {
                    attributes.permissions |= 0o2000;
                } else if attributes.permissions & 0o10 != 0 {
                    attributes.permissions = Rights::current().allowed_mode(parent.group, attributes.permissions);
                }
            }
        }
        let name: Arc<[u8]> = name.into();
        let node = Node::new(
            &self.tree,
            number,
            kind,
            attributes,
            content,
            Some((&self.me()?, &name)),
        );
        directory.insert(&self.tree, &name, node.clone().into())?;
        if kind == FileKind::Directory {
            self.change_links(1);
        }
        self.touch_content();
        Ok(node)
    }

    pub(super) fn link_node(&self, name: &[u8], file: &Node) -> Result<(), Errno> {
        if file.is_directory() {
            return Err(Errno::EPERM);
        }
        let directory = self.directory()?;
        let _structure = self.tree.structure.lock();
        self.check_new_name(name)?;
        let linkable = file.place.lock().linkable;
        if file.attributes.lock().links == 0 && !linkable {
            return Err(Errno::ENOENT); // its last name is gone
        }
        let (here, name): (Arc<Node>, Arc<[u8]>) = (self.me()?, name.into());
        let named = if linkable {
            *file.place.lock() = PlaceOfNode::new(here, name.clone());
            NamedNode::from(file.me()?)
        } else {
            self.tree.space.take_file()?; // further names need memory, too
            file.attributes.lock().counted_names += 1;
            NamedNode::further(file.me()?, here, name.clone())
        };
        directory.insert(&self.tree, &name, named)?;
        file.change_links(1);
        self.touch_content();
        Ok(())
    }

    /// One name less for a file. What it was called is said to the name ([`NamedNode::lose`]).
    pub(super) fn count_lost_name(&self, parent: &Node) {
        if self.is_directory() {
            let mut attributes = self.attributes.lock();
            attributes.links = 0;
            drop(attributes);
            parent.change_links(-1);
            if let Ok(content) = self.directory() {
                content.entries.lock().removed = true;
            }
        } else {
            self.change_links(-1);
            let mut attributes = self.attributes.lock();
            if attributes.counted_names != 0 {
                attributes.counted_names -= 1;
                self.tree.space.give_file_back();
            }
            if attributes.links == 0 {
                drop(attributes);
                self.tree.linked.lock().remove(&self.number);
            }
        }
    }

    pub(super) fn remove(&self, name: &[u8], directory: bool) -> Result<(), Errno> {
        let content = self.directory()?;
        let _structure = self.tree.structure.lock();
        let node = self.child(name)?.ok_or(Errno::ENOENT)?;
        match (directory, node.is_directory()) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            _ if node.is_point() => return Err(Errno::EBUSY),
            (true, true) => {
                if !node.directory()?.is_empty(&self.tree)? {
                    return Err(Errno::ENOTEMPTY);
                }
            }
            (false, false) => {}
        }
        content.take(&self.tree, name)?;
        node.lose(self);
        self.touch_content();
        Ok(())
    }

    /// Whether the directory lies in (or is) another one.
    fn is_within(&self, ancestor: &Node) -> bool {
        let mut node = self.itself.upgrade();
        while let Some(current) = node {
            if core::ptr::eq(&raw const *current, ancestor) {
                return true;
            }
            node = current.place.lock().parent.clone();
        }
        false
    }

    /// What `RENAME_WHITEOUT` leaves under a name: a character device 0:0, which stands for "there is nothing" in an
    /// overlay that a program mounts elsewhere.
    fn whiteout(&self, here: &Arc<Node>, name: &Arc<[u8]>) -> Result<Arc<Node>, Errno> {
        let number = self.tree.new_number()?;
        let content = Content::Special {
            represents: DeviceNumber::default(),
            pipe: Once::new(),
        };
        let attributes = AttributesOfNode::new(0, 1);
        let kind = FileKind::CharacterDevice;
        Ok(Node::new(
            &self.tree,
            number,
            kind,
            attributes,
            content,
            Some((here, name)),
        ))
    }

    pub(super) fn rename_node(&self, old: &[u8], to: &Node, new: &[u8], flags: RenameFlags) -> Result<(), Errno> {
        let (from_content, to_content) = (self.directory()?, to.directory()?);
        let _structure = self.tree.structure.lock();
        let node = self.child(old)?.ok_or(Errno::ENOENT)?;
        let existing = to.child(new)?;
        if to_content.entries.lock().removed {
            return Err(Errno::ENOENT);
        }
        if node.is_directory() && to.is_within(&node) {
            return Err(Errno::EINVAL); // into itself
        }
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        match &existing {
            None if exchange => return Err(Errno::ENOENT),
            None => {}
            Some(_) if flags.contains(RenameFlags::NO_REPLACE) => return Err(Errno::EEXIST),
            Some(other) if Arc::ptr_eq(other.node(), node.node()) => return Ok(()),
            Some(other) => {
                if other.is_directory() && self.is_within(other) {
                    return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
                }
                if !exchange {
                    match (node.is_directory(), other.is_directory()) {
                        (true, false) => return Err(Errno::ENOTDIR),
                        (false, true) => return Err(Errno::EISDIR),
                        _ if other.is_point() => return Err(Errno::EBUSY),
                        (true, true) if !other.directory()?.is_empty(&self.tree)? => return Err(Errno::ENOTEMPTY),
                        _ => {}
                    }
                }
            }
        }
        if node.is_point() || existing.as_ref().is_some_and(|other| other.is_point()) {
            return Err(Errno::EBUSY);
        }
        let (here, there) = (self.me()?, to.me()?);
        let (old, new): (Arc<[u8]>, Arc<[u8]>) = (old.into(), new.into());
        let whiteout = match flags.contains(RenameFlags::WHITEOUT) {
            true => Some(self.whiteout(&here, &old)?),
            false => None,
        };
        let moved = |node: &NamedNode| node.is_directory() && !core::ptr::eq(self, to);
        let _moving = (moved(&node) || exchange && existing.as_ref().is_some_and(moved)).then(DirectoryMove::begin);
        to_content.insert(&self.tree, &new, node.clone())?;
        match &existing {
            Some(other) if exchange => {
                from_content.insert(&self.tree, &old, other.clone())?;
                other.move_to(here, old);
                other.touch_metadata();
                match (node.is_directory(), other.is_directory()) {
                    (true, false) => {
                        self.change_links(-1);
                        to.change_links(1);
                    }
                    (false, true) => {
                        self.change_links(1);
                        to.change_links(-1);
                    }
                    _ => {}
                }
            }
            _ => {
                match whiteout {
                    Some(whiteout) => from_content.insert(&self.tree, &old, whiteout.into())?,
                    None => from_content.take(&self.tree, &old)?,
                }
                if let Some(other) = &existing {
                    other.lose(to);
                }
                if node.is_directory() {
                    self.change_links(-1);
                    to.change_links(1);
                }
            }
        }
        node.move_to(there, new);
        node.touch_metadata();
        self.touch_content();
        to.touch_content();
        Ok(())
    }

    /// Lists the directory from a position up to another one.
    fn list(&self, mut position: u64, last: u64, listing: Listing<'_>) -> Result<(), Errno> {
        let content = self.directory()?;
        if position == DOT {
            let entry = ListedEntry {
                name: b".",
                number: self.number,
                kind: FileKind::Directory,
                next: DOT_DOT,
            };
            if !listing(entry) {
                return Ok(());
            }
            position = DOT_DOT;
        }
        if position == DOT_DOT {
            let number = self.parent()?.metadata().number;
            let entry = ListedEntry {
                name: b"..",
                number,
                kind: FileKind::Directory,
                next: FIRST_LOWER,
            };
            if !listing(entry) {
                return Ok(());
            }
            position = FIRST_LOWER;
        }
        if position < FIRST_ADDED {
            if let Some(lower) = &content.lower {
                let volume = self.tree.lower()?;
                for entry in volume
                    .read_directory(lower, position - FIRST_LOWER)
                    .map_err(volume_errno)?
                {
                    let entry = entry.map_err(volume_errno)?;
                    if matches!(entry.name, b"." | b"..") {
                        continue;
                    }
                    let changed = match content.entries.lock().slots.get(entry.name) {
                        Some(Slot::Whiteout) => continue,
                        Some(Slot::Node { file, .. }) => Some((file.number, file.kind)),
                        None => None,
                    };
                    let (number, kind) = match (changed, entry.kind) {
                        (Some(changed), _) => changed,
                        (None, Some(kind)) => (entry.nid, kind),
                        (None, None) => (entry.nid, volume.inode(entry.nid).map_err(volume_errno)?.kind),
                    };
                    let next = FIRST_LOWER + entry.next_offset;
                    if !listing(ListedEntry {
                        name: entry.name,
                        number,
                        kind,
                        next,
                    }) {
                        return Ok(());
                    }
                }
            }
            position = FIRST_ADDED;
        }
        let entries = content.entries.lock();
        if position > last {
            return Ok(());
        }
        for (place, name) in entries.order.range(position..=last) {
            if let Some(Slot::Node { file, .. }) = entries.slots.get(name) {
                let (number, kind) = (file.number, file.kind);
                if !listing(ListedEntry {
                    name,
                    number,
                    kind,
                    next: place + 1,
                }) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// A directory that is open.
pub(super) struct DirectoryFile {
    node: Arc<Node>,
    /// The last position of a listing: what was added since it began, or since the directory was opened, is not shown, so
    /// that it ends although names are made on the way.
    last: AtomicU64,
}

impl DirectoryFile {
    pub(super) fn new(node: Arc<Node>) -> Self {
        let last = match &node.content {
            Content::Directory(content) => content.entries.lock().last_position(),
            _ => 0,
        };
        let last = AtomicU64::new(last);
        Self { node, last }
    }
}

impl File for DirectoryFile {
    fn seekable(&self) -> bool {
        true
    }

    fn read(
        &self,
        _position: u64,
        _to: &mut crate::memory::Destination<'_>,
        _flags: pith_linux::files::OpenFlags,
    ) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn size(&self) -> u64 {
        i64::MAX as u64
    }

    fn list(&self, position: u64, listing: Listing<'_>) -> Result<(), Errno> {
        {
            let entries = self.node.directory()?.entries.lock();
            if entries.removed {
                return Err(Errno::ENOENT);
            }
            if position == DOT {
                self.last.store(entries.last_position(), Ordering::Relaxed);
            }
        }
        self.node.list(position, self.last.load(Ordering::Relaxed), listing)
    }

    fn synchronise(&self) -> Result<(), Errno> {
        Ok(())
    }
}
