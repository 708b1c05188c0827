//! What a program asks to be mapped: content, place and rights.

use super::*;

/// Where the content of an area comes from.
#[derive(Clone)]
pub enum Backing {
    /// Zeroes, private to the process.
    Anonymous,
    /// An object, from `offset` (bytes, page aligned) on.
    Object {
        /// A file, shared memory, or pages of the kernel.
        source: Arc<dyn PageSource>,
        /// Offset of the area's start.
        offset: u64,
        /// Through which file, if any.
        file: Option<Arc<dyn MappedFile>>,
    },
}

impl Backing {
    /// An object that no file leads to, from its start on.
    pub fn object(source: Arc<dyn PageSource>) -> Self {
        let (offset, file) = (0, None);
        Self::Object { source, offset, file }
    }
}

impl PartialEq for Backing {
    fn eq(&self, other: &Self) -> bool {
        pith_address_space::Backing::follows(self, other, 0)
    }
}

impl pith_address_space::Backing for Backing {
    fn advance(&self, bytes: u64) -> Self {
        match self {
            Self::Anonymous => Self::Anonymous,
            Self::Object { source, offset, file } => Self::Object {
                source: source.clone(),
                offset: offset + bytes,
                file: file.clone(),
            },
        }
    }

    fn follows(&self, next: &Self, length: u64) -> bool {
        match (self, next) {
            (Self::Anonymous, Self::Anonymous) => true,
            (
                Self::Object {
                    source: one,
                    offset: first,
                    file: by,
                },
                Self::Object {
                    source: two,
                    offset: second,
                    file: other,
                },
            ) => {
                let same_file = match (by, other) {
                    (Some(by), Some(other)) => Arc::ptr_eq(by, other),
                    (by, other) => by.is_none() && other.is_none(),
                };
                Arc::ptr_eq(one, two) && same_file && first.checked_add(length) == Some(*second)
            }
            _ => false,
        }
    }
}

/// Where a new mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Anywhere, here if it is free (0: no wish).
    Hint(u64),
    /// As [`Self::Hint`], but below 2 GiB (`MAP_32BIT`).
    Low(u64),
    /// Here; what was there goes (`MAP_FIXED`).
    Fixed(u64),
    /// Here, or not at all (`MAP_FIXED_NOREPLACE`).
    FixedNoReplace(u64),
}

/// A wish for a mapping.
pub struct MapRequest {
    /// Where.
    pub placement: Placement,
    /// Bytes; rounded up to pages.
    pub length: u64,
    /// What the program may do.
    pub protection: Protection,
    /// What `mprotect` may allow at most.
    pub maximum_protection: Protection,
    /// Other properties.
    pub flags: AreaFlags,
    /// Role.
    pub name: AreaName,
    /// Content.
    pub backing: Backing,
}

impl MapRequest {
    /// Private zeroes that may be read and written, anywhere.
    pub fn anonymous(length: u64) -> Self {
        Self {
            placement: Placement::Hint(0),
            length,
            protection: Protection::READ | Protection::WRITE,
            maximum_protection: Protection::all(),
            flags: AreaFlags::empty(),
            name: AreaName::None,
            backing: Backing::Anonymous,
        }
    }
}
