//! Extended attributes (xattr(7)), as they lie behind an inode.

use crate::format::{
    AttributeEntry, AttributeHeader, BLOCK_SIZE, ExtendedInode, MAXIMUM_NAME, attribute_prefix,
};
use alloc::boxed::Box;
use alloc::vec::Vec;
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

/// Most bytes that the attributes of a file take, so that they and its inode lie in one block.
const MOST: usize = BLOCK_SIZE as usize - size_of::<ExtendedInode>();

const TOO_LONG: &str = "its extended attributes take more than a block with its inode";

/// The bytes that attributes take, which are given by their whole names and values, in the order of names.
pub(super) fn encode(attributes: &[(&[u8], &[u8])]) -> Result<Box<[u8]>, &'static str> {
    if attributes.is_empty() {
        return Ok(Box::default());
    }
    let mut sorted = Vec::from(attributes);
    sorted.sort_unstable();
    let mut bytes = Vec::from(AttributeHeader::default().as_bytes());
    for (name, value) in sorted {
        let (index, rest) = attribute_prefix::split(name)
            .ok_or("extended attributes begin with user., trusted. or security.")?;
        if rest.is_empty() || name.len() > MAXIMUM_NAME {
            return Err("the name of an extended attribute has 1 to 255 bytes");
        }
        if value.len() > MOST {
            return Err(TOO_LONG);
        }
        let entry = AttributeEntry {
            name_length: rest.len() as u8,
            prefix: index,
            value_size: U16::new(value.len() as u16),
        };
        for part in [entry.as_bytes(), rest, value] {
            bytes.extend_from_slice(part);
        }
        bytes.resize(bytes.len().next_multiple_of(size_of::<U32>()), 0);
    }
    match bytes.len() {
        ..=MOST => Ok(bytes.into_boxed_slice()),
        _ => Err(TOO_LONG),
    }
}
