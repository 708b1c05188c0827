//! Structures and numbers as they lie on disk. All integers are little-endian.
//!
//! Source: the kernel's `fs/erofs/erofs_fs.h` and the project's "Core On-Disk Format".

use crate::checksum;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Size of a block, in bytes: the only one that is supported, because it is that of a page frame.
pub const BLOCK_SIZE: u64 = 4096;

/// Binary logarithm of [`BLOCK_SIZE`].
pub(crate) const BLOCK_BITS: u8 = 12;

/// Longest name of a directory entry, in bytes (`NAME_MAX` in limits.h).
pub const MAXIMUM_NAME: usize = 255;

/// Longest path and longest target of a symbolic link, in bytes (`PATH_MAX` without the NUL).
pub const MAXIMUM_PATH: usize = 4095;

/// Where the superblock starts, in bytes.
pub(crate) const SUPERBLOCK_OFFSET: usize = 1024;

/// First field of a superblock.
pub(crate) const MAGIC: u32 = 0xe0f5_e1e2;

/// Size and alignment of an inode's slot, in bytes.
pub(crate) const SLOT_SIZE: u64 = 32;

/// Compatible features: a reader may ignore those it doesn't know.
pub(crate) mod compatible {
    /// The superblock has a checksum.
    pub(crate) const CHECKSUM: u32 = 0x1;
    /// Times in inodes are of modification, not of creation.
    pub(crate) const MODIFICATION_TIME: u32 = 0x2;
}

/// Incompatible features: a reader must refuse an image with one that it doesn't know.
pub(crate) mod incompatible {
    /// How compressed clusters are padded. Without meaning for files that aren't compressed.
    pub(crate) const ZERO_PADDING: u32 = 0x1;
    /// Files may be chunk based.
    pub(crate) const CHUNKED_FILE: u32 = 0x4;
    /// Names of extended attributes may be abbreviated. Such ones are skipped here.
    pub(crate) const ATTRIBUTE_PREFIXES: u32 = 0x40;

    /// All that the reader can deal with.
    pub(crate) const SUPPORTED: u32 = ZERO_PADDING | CHUNKED_FILE | ATTRIBUTE_PREFIXES;
}

/// The superblock, 128 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Superblock {
    /// [`MAGIC`].
    pub(crate) magic: U32,
    /// See [`superblock_checksum`].
    pub(crate) checksum: U32,
    /// Bits of [`compatible`].
    pub(crate) compatible_features: U32,
    /// Binary logarithm of the block size.
    pub(crate) block_bits: u8,
    /// The superblock goes on for this many times 16 bytes.
    pub(crate) extension_slots: u8,
    /// Nid of the root directory.
    pub(crate) root_nid: U16,
    /// Number of inodes in use.
    pub(crate) inode_count: U64,
    /// Seconds since 1970, to which times in compact inodes are relative.
    pub(crate) epoch: U64,
    /// Nanoseconds of every time in a compact inode.
    pub(crate) epoch_nanoseconds: U32,
    /// Size of the image in blocks.
    pub(crate) blocks: U32,
    /// Block from which slots of inodes are counted.
    pub(crate) metadata_block: U32,
    /// Block of the shared extended attributes.
    pub(crate) attribute_block: U32,
    /// Identity of the volume.
    pub(crate) uuid: [u8; 16],
    /// Label of the volume, padded with NUL.
    pub(crate) volume_name: [u8; 16],
    /// Bits of [`incompatible`].
    pub(crate) incompatible_features: U32,
    /// About compression.
    pub(crate) compression: U16,
    /// Number of further devices with data.
    pub(crate) extra_devices: U16,
    /// Where those devices are described.
    pub(crate) device_slot: U16,
    /// Binary logarithm of the size of directory blocks, in blocks; always 0 so far.
    pub(crate) directory_block_bits: u8,
    /// Features that aren't supported, or reserved.
    pub(crate) rest: [u8; 37],
}

/// Bits of an inode's first field.
pub(crate) mod inode_format {
    /// Set: [`ExtendedInode`](super::ExtendedInode). Clear: [`CompactInode`](super::CompactInode).
    pub(crate) const EXTENDED: u16 = 0x1;
    /// The layout follows from this bit on.
    pub(crate) const LAYOUT_SHIFT: u32 = 1;
    /// Bits that have a meaning here; the others belong to features that aren't supported.
    pub(crate) const KNOWN: u16 = 0xf;

    /// Layout: consecutive blocks.
    pub(crate) const FLAT_PLAIN: u16 = 0;
    /// Layout: consecutive blocks, the last part behind the inode.
    pub(crate) const FLAT_INLINE: u16 = 2;
    /// Layout: a table of chunks behind the inode.
    pub(crate) const CHUNK_BASED: u16 = 4;
}

/// An inode of 32 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct CompactInode {
    /// Bits of [`inode_format`].
    pub(crate) format: U16,
    /// Size of the extended attributes behind the inode; see [`attributes_size`].
    pub(crate) attribute_count: U16,
    /// Type and permissions, as `st_mode` of stat(2).
    pub(crate) mode: U16,
    /// Number of links.
    pub(crate) links: U16,
    /// Size of the data, in bytes.
    pub(crate) size: U32,
    /// Seconds since [`Superblock::epoch`].
    pub(crate) modified: U32,
    /// First block, device number or chunk format, depending on type and layout.
    pub(crate) location: U32,
    /// Serial number, for programs that can't deal with 64 bits.
    pub(crate) serial: U32,
    /// Owner.
    pub(crate) uid: U16,
    /// Group.
    pub(crate) gid: U16,
    /// 0.
    pub(crate) reserved: U32,
}

/// An inode of 64 bytes, for values that [`CompactInode`] can't hold.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct ExtendedInode {
    /// Bits of [`inode_format`].
    pub(crate) format: U16,
    /// Size of the extended attributes behind the inode; see [`attributes_size`].
    pub(crate) attribute_count: U16,
    /// Type and permissions, as `st_mode` of stat(2).
    pub(crate) mode: U16,
    /// 0.
    pub(crate) reserved: U16,
    /// Size of the data, in bytes.
    pub(crate) size: U64,
    /// First block, device number or chunk format, depending on type and layout.
    pub(crate) location: U32,
    /// Serial number, for programs that can't deal with 64 bits.
    pub(crate) serial: U32,
    /// Owner.
    pub(crate) uid: U32,
    /// Group.
    pub(crate) gid: U32,
    /// Seconds since 1970.
    pub(crate) modified: U64,
    /// Nanoseconds of that.
    pub(crate) modified_nanoseconds: U32,
    /// Number of links.
    pub(crate) links: U32,
    /// 0.
    pub(crate) reserved_end: [u8; 16],
}

/// An entry at the start of a directory block.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct DirectoryRecord {
    /// The inode.
    pub(crate) nid: U64,
    /// Where in the block the name starts. It ends where the next one starts. The first name starts
    /// where the last entry ends, which gives the number of entries.
    pub(crate) name_offset: U16,
    /// A [`FileKind`] by its [`code`](FileKind::code), or 0 for "ask the inode".
    pub(crate) kind: u8,
    /// 0.
    pub(crate) reserved: u8,
}

/// Size of a [`DirectoryRecord`], in bytes.
pub(crate) const RECORD_SIZE: usize = size_of::<DirectoryRecord>();

/// Chunk formats: the low half of a chunk-based inode's location.
pub(crate) mod chunk_format {
    /// Binary logarithm of the chunk size in blocks.
    pub(crate) const SIZE: u32 = 0x1f;
    /// The table consists of [`ChunkIndex`](super::ChunkIndex), not of block numbers of 32 bits.
    pub(crate) const INDEXES: u32 = 0x20;
    /// All bits that are supported.
    pub(crate) const KNOWN: u32 = SIZE | INDEXES;

    /// Instead of a block: the chunk is a hole, which reads as zeros.
    pub(crate) const HOLE: u32 = !0;
}

/// An entry in the long form of a chunk table.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct ChunkIndex {
    /// 0.
    pub(crate) reserved: U16,
    /// Device that holds the chunk; 0 is this image.
    pub(crate) device: U16,
    /// First block, or [`chunk_format::HOLE`].
    pub(crate) block: U32,
}

/// What comes first of the extended attributes behind an inode (`struct erofs_xattr_ibody_header`).
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct AttributeHeader {
    /// Hashes of names, by a feature that isn't used here.
    pub(crate) filter: U32,
    /// Number of places of 32 bits that follow, of attributes that several files share.
    pub(crate) shared_count: u8,
    /// 0.
    pub(crate) reserved: [u8; 7],
}

/// An extended attribute (`struct erofs_xattr_entry`), before the rest of its name and its value. The next one starts at a
/// multiple of 4 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct AttributeEntry {
    /// Length of the name without its prefix.
    pub(crate) name_length: u8,
    /// See [`attribute_prefix`].
    pub(crate) prefix: u8,
    /// Length of the value.
    pub(crate) value_size: U16,
}

/// How names of extended attributes begin, as numbers.
pub(crate) mod attribute_prefix {
    const ALL: [(u8, &[u8]); 3] = [(1, b"user."), (4, b"trusted."), (6, b"security.")];

    /// The prefix of a number, if it is supported.
    pub(crate) fn of_index(index: u8) -> Option<&'static [u8]> {
        let found = ALL.into_iter().find(|(number, _)| *number == index);
        found.map(|(_, prefix)| prefix)
    }

    /// The number of a name's prefix, and the rest of the name.
    pub(crate) fn split(name: &[u8]) -> Option<(u8, &[u8])> {
        ALL.into_iter()
            .find_map(|(index, prefix)| Some((index, name.strip_prefix(prefix)?)))
    }
}

/// The number that tells the size of extended attributes: see [`attributes_size`].
pub(crate) fn attribute_count(size: usize) -> u16 {
    match size {
        0 => 0,
        size => ((size - size_of::<AttributeHeader>()) / 4 + 1) as u16,
    }
}

/// Size, in bytes, of the extended attributes behind an inode: a header of 12 bytes, and then units of 4.
pub(crate) fn attributes_size(attribute_count: u16) -> u64 {
    match attribute_count {
        0 => 0,
        count => 12 + (u64::from(count) - 1) * 4,
    }
}

/// Checksum of the superblock, over the rest of its block, with the field of the checksum itself as zeros.
/// `block` is the first block of the image.
pub(crate) fn superblock_checksum(block: &[u8; BLOCK_SIZE as usize]) -> u32 {
    let field = core::mem::offset_of!(Superblock, checksum);
    let (before, after) = block[SUPERBLOCK_OFFSET..].split_at(field);
    let register = checksum::update(checksum::INITIAL, before);
    let register = checksum::update(register, &[0; 4]);
    checksum::update(register, &after[4..])
}

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A Unix domain socket.
    Socket,
    /// A symbolic link.
    Symlink,
}

impl FileKind {
    /// All kinds, in the order of their codes in directory entries, which start with 1.
    const ALL: [Self; 7] = [
        Self::Regular,
        Self::Directory,
        Self::CharacterDevice,
        Self::BlockDevice,
        Self::Fifo,
        Self::Socket,
        Self::Symlink,
    ];

    /// The type bits of `st_mode` (inode(7)), without permissions.
    pub const fn mode(self) -> u16 {
        match self {
            Self::Regular => 0o100_000,
            Self::Directory => 0o040_000,
            Self::CharacterDevice => 0o020_000,
            Self::BlockDevice => 0o060_000,
            Self::Fifo => 0o010_000,
            Self::Socket => 0o140_000,
            Self::Symlink => 0o120_000,
        }
    }

    /// The kind that an `st_mode` tells; `None` if its type bits have no meaning.
    pub fn from_mode(mode: u16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.mode() == mode & 0o170_000)
    }

    /// The code in a directory entry.
    pub(crate) fn code(self) -> u8 {
        self as u8 + 1
    }

    /// The kind of a code in a directory entry, if it has one.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// What people call it, with article.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Regular => "a regular file",
            Self::Directory => "a directory",
            Self::CharacterDevice => "a character device",
            Self::BlockDevice => "a block device",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
            Self::Symlink => "a symbolic link",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_format() {
        assert_eq!(size_of::<Superblock>(), 128);
        assert_eq!(size_of::<CompactInode>(), 32);
        assert_eq!(size_of::<ExtendedInode>(), 64);
        assert_eq!(size_of::<DirectoryRecord>(), 12);
        assert_eq!(size_of::<ChunkIndex>(), 8);
        assert_eq!(size_of::<AttributeHeader>(), 12);
        assert_eq!(size_of::<AttributeEntry>(), 4);
        assert_eq!(
            core::mem::offset_of!(Superblock, incompatible_features),
            0x50
        );
        assert_eq!(
            core::mem::offset_of!(Superblock, directory_block_bits),
            0x5a
        );
        assert_eq!(core::mem::offset_of!(ExtendedInode, modified), 0x20);
        assert_eq!(core::mem::offset_of!(CompactInode, uid), 0x18);
    }

    #[test]
    fn kinds_and_codes_agree() {
        for code in 1..=7 {
            let kind = FileKind::from_code(code).unwrap();
            assert_eq!(kind.code(), code);
            assert_eq!(FileKind::from_mode(kind.mode() | 0o7777), Some(kind));
        }
        assert_eq!(FileKind::from_code(0), None);
        assert_eq!(FileKind::from_code(8), None);
        assert_eq!(FileKind::from_mode(0o644), None);
    }
}
