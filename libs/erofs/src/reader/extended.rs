//! The extended attributes of a file (xattr(7)).

use super::{Error, Inode, Volume};
use crate::format::{AttributeEntry, AttributeHeader, attribute_prefix};
use zerocopy::FromBytes;

/// An extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedAttribute<'a> {
    /// How its name begins, with the dot.
    pub prefix: &'static [u8],
    /// The rest of its name.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// Attributes of a file, in the order in which they lie there.
#[derive(Clone, Copy, Debug)]
pub struct ExtendedAttributes<'a> {
    nid: u64,
    /// What is left.
    bytes: &'a [u8],
}

impl<'a> Volume<'a> {
    /// The extended attributes of a file. Those that several files share, and those with abbreviated names, neither of which
    /// this library writes, are left out.
    pub fn extended_attributes(&self, inode: &Inode) -> Result<ExtendedAttributes<'a>, Error> {
        let corrupt = Error::Corrupt {
            nid: inode.nid,
            defect: "its extended attributes lie outside of the image",
        };
        let (start, size) = inode.attributes;
        let bytes = match size {
            0 => &[],
            _ => self.slice(start, size).ok_or(corrupt)?,
        };
        let Ok((header, behind)) = AttributeHeader::ref_from_prefix(bytes) else {
            return Ok(ExtendedAttributes {
                nid: inode.nid,
                bytes: &[],
            });
        };
        let shared = usize::from(header.shared_count) * 4;
        Ok(ExtendedAttributes {
            nid: inode.nid,
            bytes: behind.get(shared..).ok_or(corrupt)?,
        })
    }
}

impl<'a> ExtendedAttributes<'a> {
    fn next_of_any(&mut self) -> Result<Option<ExtendedAttribute<'a>>, Error> {
        let corrupt = Error::Corrupt {
            nid: self.nid,
            defect: "its extended attributes are longer than their place",
        };
        let (entry, rest) = AttributeEntry::ref_from_prefix(self.bytes).map_err(|_| corrupt)?;
        let (name_length, value_length) = (entry.name_length.into(), entry.value_size.get().into());
        let (name, rest) = rest.split_at_checked(name_length).ok_or(corrupt)?;
        let (value, _) = rest.split_at_checked(value_length).ok_or(corrupt)?;
        let length = (size_of::<AttributeEntry>() + name_length + value_length).next_multiple_of(4);
        self.bytes = self.bytes.get(length..).unwrap_or_default();
        Ok(
            attribute_prefix::of_index(entry.prefix).map(|prefix| ExtendedAttribute {
                prefix,
                name,
                value,
            }),
        )
    }
}

impl<'a> Iterator for ExtendedAttributes<'a> {
    type Item = Result<ExtendedAttribute<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.bytes.is_empty() {
            match self.next_of_any() {
                Ok(Some(attribute)) => return Some(Ok(attribute)),
                Ok(None) => {}
                Err(error) => {
                    self.bytes = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
