//! Extended attributes of a tree's files (`xattr(7)`), as Linux's tmpfs has them: those of `user`, `trusted` and
//! `security`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use pith_linux::Errno;
use pith_linux::credentials::FileCapabilities;
use spin::Mutex;

use super::{Node, Tree, volume_errno};
use crate::fs::inode::Replacement;
use crate::memory;

/// An attribute: name and value.
type Attribute = (Box<[u8]>, Box<[u8]>);

/// The attributes of one file. Few files have any, and those have few.
#[derive(Default)]
pub(super) struct ExtendedAttributes(Mutex<Vec<Attribute>>);

/// Most bytes that names and values of one file take together. Linux's tmpfs knows no limit but memory; this leaves room for
/// some of the longest values.
const MOST_BYTES: usize = 1024 * 1024;

/// Refuses names that no attribute can have here.
fn check(name: &[u8]) -> Result<(), Errno> {
    let prefixes: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    match prefixes.iter().find_map(|prefix| name.strip_prefix(*prefix)) {
        Some([]) => Err(Errno::EINVAL),
        Some(_) => Ok(()),
        None => Err(Errno::EOPNOTSUPP),
    }
}

fn copied(bytes: &[u8]) -> Result<Box<[u8]>, Errno> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| Errno::ENOSPC)?;
    copy.extend_from_slice(bytes);
    Ok(copy.into_boxed_slice())
}

impl ExtendedAttributes {
    /// Those that a file of the image has; `None` if there are none.
    pub(super) fn of_volume(tree: &Tree, inode: &pith_erofs::Inode) -> Result<Option<Box<Self>>, Errno> {
        let mut attributes = Vec::new();
        for attribute in tree.lower()?.extended_attributes(inode).map_err(volume_errno)? {
            let attribute = attribute.map_err(volume_errno)?;
            let name = [attribute.prefix, attribute.name].concat().into_boxed_slice();
            attributes.push((name, copied(attribute.value)?));
        }
        Ok((!attributes.is_empty()).then(|| Box::new(Self(Mutex::new(attributes)))))
    }
}

impl Node {
    pub(super) fn attribute(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        check(name)?;
        let attributes = self.extended.get().ok_or(Errno::ENODATA)?.0.lock();
        let found = attributes.iter().find(|(known, _)| **known == *name);
        found.map(|(_, value)| value.to_vec()).ok_or(Errno::ENODATA)
    }

    pub(super) fn attribute_names(&self) -> Vec<Box<[u8]>> {
        self.extended.get().map_or(Vec::new(), |attributes| {
            attributes.0.lock().iter().map(|(name, _)| name.clone()).collect()
        })
    }

    /// Whoever changes content or owner of a program takes its capabilities away, whatever rights they have themselves.
    pub(super) fn forget_capabilities(&self) {
        if let Some(attributes) = self.extended.get() {
            let mut attributes = attributes.0.lock();
            let place = attributes
                .iter()
                .position(|(known, _)| **known == *FileCapabilities::NAME);
            let gone = place.map(|place| attributes.remove(place));
            drop(attributes);
            drop(gone);
        }
    }

    /// Sets an attribute, or removes it if there is no value.
    pub(super) fn set_attribute(
        &self,
        name: &[u8],
        value: Option<&[u8]>,
        replacement: Replacement,
    ) -> Result<(), Errno> {
        check(name)?;
        if value.is_some() && memory::is_low() {
            return Err(Errno::ENOSPC);
        }
        let mut attributes = self.extended.call_once(Box::default).0.lock();
        let place = attributes.iter().position(|(known, _)| **known == *name);
        match (place, replacement) {
            (Some(_), Replacement::Never) => return Err(Errno::EEXIST),
            (None, Replacement::Always) => return Err(Errno::ENODATA),
            _ => {}
        }
        match (place, value) {
            (Some(place), None) => drop(attributes.remove(place)),
            (None, None) => {}
            (place, Some(value)) => {
                let others = attributes.iter().filter(|(known, _)| **known != *name);
                let taken: usize = others.map(|(name, value)| name.len() + value.len()).sum();
                if taken + name.len() + value.len() > MOST_BYTES {
                    return Err(Errno::ENOSPC);
                }
                let value = copied(value)?;
                match place {
                    Some(place) => attributes[place].1 = value,
                    None => {
                        attributes.try_reserve(1).map_err(|_| Errno::ENOSPC)?;
                        attributes.push((copied(name)?, value));
                    }
                }
            }
        }
        drop(attributes);
        self.touch_metadata();
        Ok(())
    }
}
