//! Reading an image that lies in memory.
//!
//! An image may come from anyone, so nothing in it is believed: every offset is checked against the image
//! before it is used, and every loop is bounded by the image's size. What doesn't fit is an [`Error`].
//! Nothing is allocated, with the exception of [`Volume::walk`].

mod directory;
mod extended;
mod walk;

pub use directory::{Directory, DirectoryEntry};
pub use extended::{ExtendedAttribute, ExtendedAttributes};

use crate::format::{
    self, BLOCK_BITS, BLOCK_SIZE, ChunkIndex, CompactInode, ExtendedInode, FileKind, MAGIC,
    MAXIMUM_PATH, SLOT_SIZE, SUPERBLOCK_OFFSET, Superblock, chunk_format, compatible, incompatible,
    inode_format,
};
use core::fmt;
use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U32};

/// What a hole in a file reads as.
static ZEROS: [u8; BLOCK_SIZE as usize] = [0; BLOCK_SIZE as usize];

/// Why an image, or a part of it, can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The image has no EROFS superblock. Linux: `EINVAL`.
    NotErofs,
    /// The image is shorter than its superblock says, or too short to have one. Linux: `EINVAL`.
    Truncated {
        /// Size that the image should have, in bytes.
        needed: u64,
        /// Size that it has, in bytes.
        available: u64,
    },
    /// The superblock was changed after its checksum was computed. Linux: `EBADMSG`.
    Checksum {
        /// The checksum that the superblock tells.
        stored: u32,
        /// The checksum that it has.
        computed: u32,
    },
    /// The image, or an inode, uses a part of the format that this reader doesn't know. The text names it.
    /// Linux: `EOPNOTSUPP`.
    Unsupported(&'static str),
    /// The superblock contradicts itself. The text says how. Linux: `EUCLEAN`.
    InvalidSuperblock(&'static str),
    /// An inode, or what belongs to it, contradicts the format. Linux: `EUCLEAN`.
    Corrupt {
        /// Number of the inode.
        nid: u64,
        /// What is wrong with it.
        defect: &'static str,
    },
    /// A directory was expected. Linux: `ENOTDIR`.
    NotADirectory {
        /// Number of the inode.
        nid: u64,
    },
    /// A symbolic link was expected. Linux: `EINVAL`.
    NotASymlink {
        /// Number of the inode.
        nid: u64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotErofs => write!(
                formatter,
                "not an EROFS file system: no magic number at offset 1024"
            ),
            Self::Truncated { needed, available } => write!(
                formatter,
                "the EROFS image is truncated: it needs {needed} bytes and has {available}"
            ),
            Self::Checksum { stored, computed } => write!(
                formatter,
                "the EROFS superblock is damaged: its checksum should be {stored:#010x} and is {computed:#010x}"
            ),
            Self::Unsupported(what) => write!(
                formatter,
                "the EROFS image uses {what}, which isn't supported"
            ),
            Self::InvalidSuperblock(defect) => {
                write!(formatter, "invalid EROFS superblock: {defect}")
            }
            Self::Corrupt { nid, defect } => {
                write!(formatter, "EROFS inode {nid} is corrupt: {defect}")
            }
            Self::NotADirectory { nid } => {
                write!(formatter, "EROFS inode {nid} is not a directory")
            }
            Self::NotASymlink { nid } => {
                write!(formatter, "EROFS inode {nid} is not a symbolic link")
            }
        }
    }
}

impl core::error::Error for Error {}

/// An EROFS file system in memory.
#[derive(Clone, Copy, Debug)]
pub struct Volume<'a> {
    /// The image, cut to the size that the superblock tells.
    image: &'a [u8],
    /// Where slot 0 of the inodes lies, in bytes.
    metadata_offset: u64,
    /// Nid of the root directory.
    root_nid: u64,
    /// Number of inodes, as the superblock tells it.
    inode_count: u64,
    /// Seconds since 1970, to which compact inodes add theirs.
    epoch: i64,
    /// Nanoseconds of every time in a compact inode.
    epoch_nanoseconds: u32,
    /// Whether inodes may be chunk based.
    chunked: bool,
}

/// A file of a [`Volume`], whatever its type.
///
/// A program sees `nid` as `st_ino`, as on Linux: [`serial`](Self::serial) has only 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Number of the inode; unique in its volume.
    pub nid: u64,
    /// Type and permissions, as `st_mode` of stat(2).
    pub mode: u16,
    /// The type that `mode` tells.
    pub kind: FileKind,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of hard links.
    pub nlink: u32,
    /// Size of the data, in bytes; at most `i64::MAX`.
    pub size: u64,
    /// When the data last changed, in seconds since 1970.
    pub modified_seconds: i64,
    /// Nanoseconds of that, below 1,000,000,000.
    pub modified_nanoseconds: u32,
    /// Which device a device file stands for, as `st_rdev` of stat(2) has it: the low 8 bits of the minor
    /// number, 12 bits of major number, the other 12 bits of the minor number. Otherwise 0.
    pub rdev: u32,
    /// Serial number that the image's maker gave.
    pub serial: u32,
    /// Where the extended attributes lie in the image, and their size, in bytes.
    attributes: (u64, u64),
    /// Where the data lies.
    data: Data,
}

/// Where the data of an inode lies. Offsets are bytes from the start of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    /// Nowhere: devices, pipes and sockets have none.
    None,
    /// One after the other in the image, with at most one cut.
    Flat {
        /// Where the first byte lies.
        start: u64,
        /// Where in the file the part behind the inode starts; the file's size if there is none.
        tail: u64,
        /// Where in the image that part lies.
        tail_start: u64,
    },
    /// In chunks of equal size.
    Chunked {
        /// Where the table of chunks lies.
        table: u64,
        /// Whether the table's entries are [`ChunkIndex`]; otherwise they are block numbers of 32 bits.
        indexes: bool,
        /// Binary logarithm of the chunk size in bytes.
        chunk_bits: u32,
    },
}

/// Contiguous data of a file.
#[derive(Clone, Copy)]
struct Extent {
    /// Where it lies in the image, in bytes; `None` for a hole.
    position: Option<u64>,
    /// Its length, in bytes.
    length: u64,
}

/// Where one page of a file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataBlock<'a> {
    /// In a block of its own, which can be mapped as it is: if the file ends within the page, the rest of
    /// the block is zeros.
    Whole {
        /// Where the block starts, in bytes from the start of the image; a multiple of [`BLOCK_SIZE`].
        image_offset: u64,
    },
    /// In these bytes. The page must be put together: all that they don't fill is zeros. For a page in a
    /// hole, or behind the end of the file, there are no bytes.
    Bytes(&'a [u8]),
}

impl<'a> Volume<'a> {
    /// Opens an image, which may be longer than its file system. Checks the superblock and the root
    /// directory's inode; everything else is checked when it is used.
    pub fn open(image: &'a [u8]) -> Result<Self, Error> {
        let available = image.len() as u64;
        let truncated = |needed| Error::Truncated { needed, available };
        let (superblock, _) = image
            .get(SUPERBLOCK_OFFSET..)
            .and_then(|bytes| Superblock::ref_from_prefix(bytes).ok())
            .ok_or(truncated(BLOCK_SIZE))?;
        if superblock.magic.get() != MAGIC {
            return Err(Error::NotErofs);
        }
        let first_block = image.first_chunk().ok_or(truncated(BLOCK_SIZE))?;
        if superblock.block_bits != BLOCK_BITS || superblock.directory_block_bits != 0 {
            return Err(Error::Unsupported("blocks of a size other than 4096 bytes"));
        }
        if superblock.compatible_features.get() & compatible::CHECKSUM != 0 {
            let stored = superblock.checksum.get();
            let computed = format::superblock_checksum(first_block);
            if stored != computed {
                return Err(Error::Checksum { stored, computed });
            }
        }
        let features = superblock.incompatible_features.get();
        if features & !incompatible::SUPPORTED != 0 {
            return Err(Error::Unsupported(
                "compression, several devices or a feature newer than this reader",
            ));
        }
        let needed = u64::from(superblock.blocks.get()) * BLOCK_SIZE;
        if needed == 0 {
            return Err(Error::InvalidSuperblock("it has no blocks"));
        }
        let image = usize::try_from(needed)
            .ok()
            .and_then(|needed| image.get(..needed))
            .ok_or(truncated(needed))?;
        let epoch_nanoseconds = superblock.epoch_nanoseconds.get();
        if epoch_nanoseconds >= 1_000_000_000 {
            return Err(Error::InvalidSuperblock(
                "its time has too many nanoseconds",
            ));
        }
        let volume = Self {
            image,
            metadata_offset: u64::from(superblock.metadata_block.get()) * BLOCK_SIZE,
            root_nid: superblock.root_nid.get().into(),
            inode_count: superblock.inode_count.get(),
            epoch: superblock.epoch.get().cast_signed(),
            epoch_nanoseconds,
            chunked: features & incompatible::CHUNKED_FILE != 0,
        };
        volume.root()?;
        Ok(volume)
    }

    /// The image, without anything behind the file system.
    pub fn image(&self) -> &'a [u8] {
        self.image
    }

    /// Number of inodes as the superblock tells it: for information, not to be relied on.
    pub fn inode_count(&self) -> u64 {
        self.inode_count
    }

    /// The root directory.
    pub fn root(&self) -> Result<Inode, Error> {
        let inode = self.inode(self.root_nid)?;
        match inode.kind {
            FileKind::Directory => Ok(inode),
            _ => Err(Error::NotADirectory { nid: inode.nid }),
        }
    }

    /// The inode with a number that came from a directory of this volume.
    pub fn inode(&self, nid: u64) -> Result<Inode, Error> {
        let corrupt = |defect| Error::Corrupt { nid, defect };
        let outside = corrupt("it lies outside of the image");
        let offset = nid
            .checked_mul(SLOT_SIZE)
            .and_then(|offset| offset.checked_add(self.metadata_offset))
            .ok_or(outside)?;
        let bytes = self
            .image
            .get(usize::try_from(offset).map_err(|_| outside)?..)
            .ok_or(outside)?;
        let (compact, _) = CompactInode::ref_from_prefix(bytes).map_err(|_| outside)?;
        let inode_format = compact.format.get();
        if inode_format & !inode_format::KNOWN != 0 {
            return Err(Error::Unsupported("an inode format newer than this reader"));
        }
        let mode = compact.mode.get();
        let kind = FileKind::from_mode(mode).ok_or(corrupt("its type is unknown"))?;
        let attributes_size = format::attributes_size(compact.attribute_count.get());

        let mut inode = Inode {
            nid,
            mode,
            kind,
            uid: compact.uid.get().into(),
            gid: compact.gid.get().into(),
            nlink: compact.links.get().into(),
            size: compact.size.get().into(),
            modified_seconds: self.epoch.saturating_add(compact.modified.get().into()),
            modified_nanoseconds: self.epoch_nanoseconds,
            rdev: 0,
            serial: compact.serial.get(),
            attributes: (0, 0),
            data: Data::None,
        };
        let mut location = compact.location.get();
        let mut inode_size = size_of::<CompactInode>();
        if inode_format & inode_format::EXTENDED != 0 {
            let (extended, _) = ExtendedInode::ref_from_prefix(bytes).map_err(|_| outside)?;
            inode.uid = extended.uid.get();
            inode.gid = extended.gid.get();
            inode.nlink = extended.links.get();
            inode.size = extended.size.get();
            inode.modified_seconds = extended.modified.get().cast_signed();
            inode.modified_nanoseconds = extended.modified_nanoseconds.get();
            inode.serial = extended.serial.get();
            location = extended.location.get();
            inode_size = size_of::<ExtendedInode>();
        }
        if i64::try_from(inode.size).is_err() {
            return Err(corrupt("its size is negative"));
        }
        if inode.modified_nanoseconds >= 1_000_000_000 {
            return Err(corrupt("its time has too many nanoseconds"));
        }
        // What lies behind the inode and its extended attributes: the tail of its data, or its chunk table.
        inode.attributes = (offset + inode_size as u64, attributes_size);
        let behind = offset + inode_size as u64 + attributes_size;
        match kind {
            FileKind::Regular | FileKind::Directory | FileKind::Symlink => {
                let layout = inode_format >> inode_format::LAYOUT_SHIFT;
                inode.data = self.data(&inode, layout, location, behind)?;
            }
            FileKind::CharacterDevice | FileKind::BlockDevice => inode.rdev = location,
            FileKind::Fifo | FileKind::Socket => {}
        }
        Ok(inode)
    }

    /// Finds out where the data of an inode lies, and that this is within the image.
    fn data(&self, inode: &Inode, layout: u16, location: u32, behind: u64) -> Result<Data, Error> {
        let corrupt = |defect| Error::Corrupt {
            nid: inode.nid,
            defect,
        };
        let check = |start: u64, length: u64| {
            if length == 0 || self.slice(start, length).is_some() {
                Ok(())
            } else {
                Err(corrupt("its data lies outside of the image"))
            }
        };
        let start = u64::from(location) * BLOCK_SIZE;
        match layout {
            inode_format::FLAT_PLAIN => {
                check(start, inode.size)?;
                Ok(Data::Flat {
                    start,
                    tail: inode.size,
                    tail_start: 0,
                })
            }
            inode_format::FLAT_INLINE => {
                let tail = inode.size.saturating_sub(1) / BLOCK_SIZE * BLOCK_SIZE;
                let tail_length = inode.size - tail;
                check(start, tail)?;
                check(behind, tail_length)?;
                if behind % BLOCK_SIZE + tail_length > BLOCK_SIZE {
                    return Err(corrupt("its inline data crosses a block"));
                }
                Ok(Data::Flat {
                    start,
                    tail,
                    tail_start: behind,
                })
            }
            inode_format::CHUNK_BASED => {
                if !self.chunked {
                    return Err(corrupt("it has chunks, which the superblock excludes"));
                }
                // Chunks can repeat each other without end. Directories never have reason to.
                if inode.kind == FileKind::Directory {
                    return Err(Error::Unsupported("chunks for a directory"));
                }
                if location & !chunk_format::KNOWN != 0 {
                    return Err(Error::Unsupported("a chunk format newer than this reader"));
                }
                let chunk_bits = u32::from(BLOCK_BITS) + (location & chunk_format::SIZE);
                let indexes = location & chunk_format::INDEXES != 0;
                let entry_size = if indexes { 8_u64 } else { 4 };
                let table = behind.next_multiple_of(entry_size);
                let chunks = inode.size.div_ceil(1 << chunk_bits);
                let length = chunks
                    .checked_mul(entry_size)
                    .ok_or(corrupt("its chunk table is too large"))?;
                check(table, length)?;
                Ok(Data::Chunked {
                    table,
                    indexes,
                    chunk_bits,
                })
            }
            _ => Err(Error::Unsupported("compressed files")),
        }
    }

    /// Finds the longest contiguous data at `offset` of a file; its length is 0 only at the end.
    fn extent(&self, inode: &Inode, offset: u64) -> Result<Extent, Error> {
        let corrupt = |defect| Error::Corrupt {
            nid: inode.nid,
            defect,
        };
        if offset >= inode.size {
            return Ok(Extent {
                position: None,
                length: 0,
            });
        }
        match inode.data {
            Data::None => Ok(Extent {
                position: None,
                length: 0,
            }),
            Data::Flat { start, tail, .. } if offset < tail => Ok(Extent {
                position: Some(start + offset),
                length: tail - offset,
            }),
            Data::Flat {
                tail, tail_start, ..
            } => Ok(Extent {
                position: Some(tail_start.saturating_add(offset - tail)),
                length: inode.size - offset,
            }),
            Data::Chunked {
                table,
                indexes,
                chunk_bits,
            } => {
                let chunk = offset >> chunk_bits;
                let within = offset & ((1 << chunk_bits) - 1);
                let length = ((1 << chunk_bits) - within).min(inode.size - offset);
                let outside = corrupt("its chunk table lies outside of the image");
                let block = if indexes {
                    let bytes = self.slice(table + chunk * 8, 8).ok_or(outside)?;
                    let index = ChunkIndex::ref_from_bytes(bytes).map_err(|_| outside)?;
                    if index.device != U16::ZERO {
                        return Err(Error::Unsupported("several devices"));
                    }
                    index.block.get()
                } else {
                    let bytes = self.slice(table + chunk * 4, 4).ok_or(outside)?;
                    U32::ref_from_bytes(bytes).map_err(|_| outside)?.get()
                };
                let position =
                    (block != chunk_format::HOLE).then_some(u64::from(block) * BLOCK_SIZE + within);
                Ok(Extent { position, length })
            }
        }
    }

    /// The longest contiguous data of a file at `offset`, in bytes: for large reads. It is empty only at
    /// the end of the file, and ends within a block only there.
    pub fn contiguous(&self, inode: &Inode, offset: u64) -> Result<&'a [u8], Error> {
        let extent = self.extent(inode, offset)?;
        match extent.position {
            Some(position) => self.slice(position, extent.length).ok_or(Error::Corrupt {
                nid: inode.nid,
                defect: "its data lies outside of the image",
            }),
            None => {
                // Up to the next block only, as there is no more than one block of zeros.
                let length = extent.length.min(BLOCK_SIZE - offset % BLOCK_SIZE);
                Ok(&ZEROS[..length as usize])
            }
        }
    }

    /// Reads data of a file at `offset` and returns how many bytes there were: fewer than the buffer takes
    /// only if the file ends. The bytes of a directory are those on disk.
    pub fn read_at(&self, inode: &Inode, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        while done < buffer.len() {
            let Some(position) = offset.checked_add(done as u64) else {
                break;
            };
            let data = self.contiguous(inode, position)?;
            let length = data.len().min(buffer.len() - done);
            if length == 0 {
                break;
            }
            buffer[done..done + length].copy_from_slice(&data[..length]);
            done += length;
        }
        Ok(done)
    }

    /// Tells where the page with number `index` of a file lies, counted in [`BLOCK_SIZE`].
    pub fn block(&self, inode: &Inode, index: u64) -> Result<DataBlock<'a>, Error> {
        let Some(offset) = index.checked_mul(BLOCK_SIZE) else {
            return Ok(DataBlock::Bytes(&[]));
        };
        let extent = self.extent(inode, offset)?;
        let Some(position) = extent.position else {
            return Ok(DataBlock::Bytes(&[]));
        };
        let length = extent.length.min(BLOCK_SIZE);
        let data = self.slice(position, length).ok_or(Error::Corrupt {
            nid: inode.nid,
            defect: "its data lies outside of the image",
        })?;
        if position % BLOCK_SIZE == 0
            && let Some(block) = self.slice(position, BLOCK_SIZE)
            && block[data.len()..].iter().all(|byte| *byte == 0)
        {
            return Ok(DataBlock::Whole {
                image_offset: position,
            });
        }
        Ok(DataBlock::Bytes(data))
    }

    /// The target of a symbolic link: 1 to [`MAXIMUM_PATH`] bytes without NUL.
    pub fn symlink_target(&self, inode: &Inode) -> Result<&'a [u8], Error> {
        if inode.kind != FileKind::Symlink {
            return Err(Error::NotASymlink { nid: inode.nid });
        }
        let corrupt = |defect| Error::Corrupt {
            nid: inode.nid,
            defect,
        };
        if inode.size == 0 || inode.size > MAXIMUM_PATH as u64 {
            return Err(corrupt("its target is empty or too long"));
        }
        // A target is shorter than a block, and no layout cuts within a block.
        let target = self.contiguous(inode, 0)?;
        if target.len() as u64 != inode.size || target.contains(&0) {
            return Err(corrupt("its target has a NUL"));
        }
        Ok(target)
    }

    /// A part of the image, by offset and length in bytes; `None` if it isn't all within the image.
    fn slice(&self, offset: u64, length: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        self.image.get(start..end)
    }
}
