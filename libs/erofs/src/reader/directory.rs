//! Directories: finding a name, and listing all names.
//!
//! A directory's data is a sequence of blocks. Each starts with fixed-size records, sorted by name; behind
//! them lie the names. Blocks are sorted among each other as well, so that a name is found by halving, and
//! a position in the listing is simply the offset of a record.

use super::{Error, Inode, Volume};
use crate::format::{BLOCK_SIZE, DirectoryRecord, FileKind, MAXIMUM_NAME, RECORD_SIZE};
use core::cmp::Ordering;
use core::iter::FusedIterator;
use zerocopy::FromBytes;

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryEntry<'a> {
    /// The name: 1 to [`MAXIMUM_NAME`] bytes without NUL and slash. Every directory has `.` and `..`,
    /// somewhere in its order.
    pub name: &'a [u8],
    /// Number of the inode.
    pub nid: u64,
    /// Type of the file, where the directory tells it (`d_type` of getdents64(2)).
    pub kind: Option<FileKind>,
    /// Where to go on behind this entry; see [`Volume::read_directory`].
    pub next_offset: u64,
}

/// One block of a directory.
struct DirectoryBlock<'a> {
    /// The directory, for messages.
    nid: u64,
    /// Where the block starts in the directory's data.
    offset: u64,
    /// Records and names.
    bytes: &'a [u8],
    /// The records.
    records: &'a [DirectoryRecord],
}

impl<'a> DirectoryBlock<'a> {
    /// Reads block number `index` of a directory.
    fn read(volume: &Volume<'a>, directory: &Inode, index: u64) -> Result<Self, Error> {
        let corrupt = |defect| Error::Corrupt {
            nid: directory.nid,
            defect,
        };
        let offset = index * BLOCK_SIZE;
        let data = volume.contiguous(directory, offset)?;
        let bytes = &data[..data.len().min(BLOCK_SIZE as usize)];
        let (first, _) = DirectoryRecord::ref_from_prefix(bytes)
            .map_err(|_| corrupt("a directory block has no room for an entry"))?;
        let records_size = usize::from(first.name_offset.get());
        if records_size == 0 || records_size % RECORD_SIZE != 0 || records_size >= bytes.len() {
            return Err(corrupt("a directory block has a wrong number of entries"));
        }
        let records = <[DirectoryRecord]>::ref_from_bytes(&bytes[..records_size])
            .map_err(|_| corrupt("a directory block has a wrong number of entries"))?;
        Ok(Self {
            nid: directory.nid,
            offset,
            bytes,
            records,
        })
    }

    /// Entry number `index`, which must be below the number of records.
    fn entry(&self, index: usize) -> Result<DirectoryEntry<'a>, Error> {
        let corrupt = |defect| Error::Corrupt {
            nid: self.nid,
            defect,
        };
        let record = &self.records[index];
        let start = usize::from(record.name_offset.get());
        let next = self.records.get(index + 1);
        let end = next.map_or(self.bytes.len(), |next| next.name_offset.get().into());
        let mut name = self
            .bytes
            .get(start..end)
            .ok_or(corrupt("a name lies outside of its directory block"))?;
        let next_offset = match next {
            Some(_) => self.offset + ((index + 1) * RECORD_SIZE) as u64,
            None => {
                // Behind the last name, the block is filled up with NUL.
                let length = name.iter().position(|byte| *byte == 0);
                name = &name[..length.unwrap_or(name.len())];
                self.offset + BLOCK_SIZE
            }
        };
        if name.is_empty() || name.len() > MAXIMUM_NAME {
            return Err(corrupt("a name is empty or too long"));
        }
        if name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(corrupt("a name has a NUL or a slash"));
        }
        Ok(DirectoryEntry {
            name,
            nid: record.nid.get(),
            kind: FileKind::from_code(record.kind),
            next_offset,
        })
    }
}

impl<'a> Volume<'a> {
    /// Finds a name in a directory and returns the inode's number; `None` if there is no such name.
    pub fn lookup(&self, directory: &Inode, name: &[u8]) -> Result<Option<u64>, Error> {
        check_directory(directory)?;
        // The name's block is the last one whose first name isn't behind the name.
        let mut candidate = None;
        let (mut low, mut high) = (0, directory.size.div_ceil(BLOCK_SIZE));
        while low < high {
            let middle = low + (high - low) / 2;
            let block = DirectoryBlock::read(self, directory, middle)?;
            let first = block.entry(0)?;
            match first.name.cmp(name) {
                Ordering::Less => {
                    candidate = Some(block);
                    low = middle + 1;
                }
                Ordering::Equal => return Ok(Some(first.nid)),
                Ordering::Greater => high = middle,
            }
        }
        let Some(block) = candidate else {
            return Ok(None);
        };
        let (mut low, mut high) = (1, block.records.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = block.entry(middle)?;
            match entry.name.cmp(name) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(Some(entry.nid)),
                Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    /// Lists a directory from an offset on: 0, or [`DirectoryEntry::next_offset`] of the last entry that
    /// was taken. Offsets stay valid for as long as the image exists, and any other number does no harm:
    /// the listing goes on with some later entry.
    pub fn read_directory(
        &self,
        directory: &Inode,
        start_offset: u64,
    ) -> Result<Directory<'a>, Error> {
        check_directory(directory)?;
        Ok(Directory {
            volume: *self,
            directory: *directory,
            offset: start_offset,
            block: None,
        })
    }
}

/// Refuses anything but a directory.
fn check_directory(inode: &Inode) -> Result<(), Error> {
    match inode.kind {
        FileKind::Directory => Ok(()),
        _ => Err(Error::NotADirectory { nid: inode.nid }),
    }
}

/// The entries of a directory in their order, from [`Volume::read_directory`]. It ends after an error.
pub struct Directory<'a> {
    volume: Volume<'a>,
    directory: Inode,
    /// Offset of the next record, or where to look for one.
    offset: u64,
    /// The block that the last entry came from.
    block: Option<DirectoryBlock<'a>>,
}

impl<'a> Directory<'a> {
    /// The next entry, or `None` at the end.
    fn advance(&mut self) -> Result<Option<DirectoryEntry<'a>>, Error> {
        while self.offset < self.directory.size {
            let start = self.offset / BLOCK_SIZE * BLOCK_SIZE;
            let block = match self.block.take() {
                Some(block) if block.offset == start => block,
                _ => DirectoryBlock::read(&self.volume, &self.directory, start / BLOCK_SIZE)?,
            };
            let index = ((self.offset - start) as usize).div_ceil(RECORD_SIZE);
            if index < block.records.len() {
                let entry = block.entry(index)?;
                self.offset = entry.next_offset;
                self.block = Some(block);
                return Ok(Some(entry));
            }
            self.offset = start + BLOCK_SIZE;
        }
        Ok(None)
    }
}

impl<'a> Iterator for Directory<'a> {
    type Item = Result<DirectoryEntry<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.advance();
        if result.is_err() {
            self.offset = u64::MAX;
        }
        result.transpose()
    }
}

impl FusedIterator for Directory<'_> {}
