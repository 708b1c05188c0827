//! Files under their names.
//!
//! A file's first name is a part of its node, for most files have no other. Each further one has a place of its own: who has
//! opened the file by a name is told what became of that one, as on Linux, where a description holds a directory entry.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Deref;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{OpenFlags, Statfs};
use spin::Mutex;

use super::Node;
use crate::fs::file::File;
use crate::fs::inode::{FileIdentity, Inode, PathName, Place, Replacement, Target, answer_as};
use crate::fs::metadata::{AttributeChange, Metadata};
use crate::fs::mounts::{self, Mount};

/// A name of a node, and where it is.
pub(super) struct PlaceOfNode {
    pub(super) parent: Option<Arc<Node>>,
    pub(super) name: Arc<[u8]>,
    pub(super) removed: bool,
    /// It never had a name and may be given one, unlike those that have lost theirs.
    pub(super) linkable: bool,
}

impl PlaceOfNode {
    pub(super) fn new(parent: Arc<Node>, name: Arc<[u8]>) -> Self {
        Self {
            parent: Some(parent),
            name,
            removed: false,
            linkable: false,
        }
    }

    /// Whether it is this name in this directory.
    pub(super) fn is(&self, directory: &Node, name: &[u8]) -> bool {
        let here = |known: &Arc<Node>| core::ptr::eq(&raw const **known, directory);
        !self.removed && *self.name == *name && self.parent.as_ref().is_some_and(here)
    }

    /// As others see it; `None` for a top directory.
    pub(super) fn told(&self) -> Option<Place> {
        let directory = Inode::identity(&**self.parent.as_ref()?);
        Some(Place {
            directory,
            name: self.name.clone(),
            removed: self.removed,
        })
    }

    /// The path from the tree's top directory on.
    pub(super) fn path(place: &Mutex<Self>) -> PathName {
        // Names from the file up to the root, then turned around.
        let mut names: Vec<Arc<[u8]>> = Vec::new();
        let mut removed = false;
        let mut add = |place: &Mutex<Self>| {
            let place = place.lock();
            let parent = place.parent.clone()?;
            removed |= place.removed;
            names.push(place.name.clone());
            Some(parent)
        };
        let mut next = add(place);
        while let Some(directory) = next {
            next = add(&directory.place);
        }
        let mut bytes = Vec::new();
        for name in names.iter().rev() {
            bytes.push(b'/');
            bytes.extend_from_slice(name);
        }
        PathName { bytes, removed }
    }
}

/// A file under one of its names.
#[derive(Clone)]
pub(super) enum NamedNode {
    /// Under its first one.
    First(Arc<Node>),
    /// Under another one.
    Further(Arc<FurtherName>),
}

impl NamedNode {
    /// A further name of a file.
    pub(super) fn further(node: Arc<Node>, directory: Arc<Node>, name: Arc<[u8]>) -> Self {
        let place = Mutex::new(PlaceOfNode::new(directory, name));
        Self::Further(Arc::new(FurtherName { node, place }))
    }

    /// The file.
    pub(super) fn node(&self) -> &Arc<Node> {
        match self {
            Self::First(node) => node,
            Self::Further(name) => &name.node,
        }
    }

    fn place(&self) -> &Mutex<PlaceOfNode> {
        match self {
            Self::First(node) => &node.place,
            Self::Further(name) => &name.place,
        }
    }

    /// As what paths lead to.
    pub(super) fn into_inode(self) -> Arc<dyn Inode> {
        match self {
            Self::First(node) => node,
            Self::Further(name) => name,
        }
    }

    /// The name is another one now.
    pub(super) fn move_to(&self, directory: Arc<Node>, name: Arc<[u8]>) {
        let new = PlaceOfNode::new(directory, name);
        let old = core::mem::replace(&mut *self.place().lock(), new);
        drop(old);
    }

    /// The name was taken out of a directory.
    pub(super) fn lose(&self, directory: &Node) {
        self.count_lost_name(directory);
        self.place().lock().removed = true;
    }
}

impl From<Arc<Node>> for NamedNode {
    fn from(node: Arc<Node>) -> Self {
        Self::First(node)
    }
}

impl Deref for NamedNode {
    type Target = Node;

    fn deref(&self) -> &Node {
        self.node()
    }
}

/// A name of a file that had one before. Directories have one name each, so it is none.
pub(super) struct FurtherName {
    node: Arc<Node>,
    place: Mutex<PlaceOfNode>,
}

impl Inode for FurtherName {
    answer_as!(node);

    fn place(&self) -> Option<Place> {
        self.place.lock().told()
    }

    fn path(&self) -> PathName {
        mounts::absolute(self)
    }

    fn path_within(&self) -> PathName {
        PlaceOfNode::path(&self.place)
    }

    fn mount(&self) -> Option<Arc<Mount>> {
        self.node.mount()
    }

    fn mounted(&self) -> Option<Arc<dyn Inode>> {
        self.node.mounted()
    }

    fn set_covered(&self, by: Option<Arc<Mount>>) {
        self.node.set_covered(by);
    }

    fn is_covered(&self) -> bool {
        self.node.is_covered()
    }
}
