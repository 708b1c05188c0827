//! Deciding where everything goes, and putting it there.
//!
//! ```text
//! block 0: unused │ superblock │ inodes, each with its inline data    metadata
//! blocks:  inodes …
//! blocks:  directories and links that don't fit behind their inodes
//! blocks:  data of regular files, each from a block of its own on
//! ```
//!
//! An inode never crosses a block, and neither does it with its inline data. To lose little space by that,
//! each goes where the least room is left over (best fit).
//!
//! The image depends on the tree only: inodes are numbered depth first in the order of names.

use super::{
    Attributes, BuildError, Builder, Content, NodeIndex, NodeKind, Output, ROOT, Timestamp,
    WriteError, text,
};
use crate::format::{
    self, BLOCK_BITS, BLOCK_SIZE, CompactInode, DirectoryRecord, ExtendedInode, FileKind, MAGIC,
    RECORD_SIZE, SLOT_SIZE, SUPERBLOCK_OFFSET, Superblock, compatible, inode_format,
};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::ControlFlow;
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

/// The first bytes of a block in memory.
type Block = [u8; BLOCK_SIZE as usize];

/// Where inodes can start in block 0: behind the superblock.
const FIRST_INODE: u64 = (SUPERBLOCK_OFFSET + size_of::<Superblock>()) as u64;

/// Label of the volume.
const VOLUME_NAME: [u8; 16] = *b"pith\0\0\0\0\0\0\0\0\0\0\0\0";

/// An image of which it is known where everything goes.
pub struct Layout<C> {
    /// The tree.
    builder: Builder<C>,
    /// All inodes in the order of their serial numbers, the root first.
    inodes: Vec<PlannedInode>,
    /// Index into `inodes` by node; hard links have that of their target.
    inode_of_node: Vec<usize>,
    /// Indexes into `inodes`, in the order of their places.
    by_place: Vec<usize>,
    /// Time of most files, which is stored once.
    epoch: Timestamp,
    /// Number of blocks with inodes.
    metadata_blocks: u32,
    /// Number of all blocks.
    blocks: u32,
}

/// An inode and its place.
struct PlannedInode {
    /// The first path that leads to it.
    path: Box<[u8]>,
    /// What it describes.
    node: NodeIndex,
    /// The directory above, for directories.
    parent: NodeIndex,
    /// Number of names for it.
    links: u32,
    /// Size of the data, in bytes.
    size: u64,
    /// Whether it takes 64 bytes.
    extended: bool,
    /// Size of its extended attributes, in bytes.
    attributes_size: usize,
    /// How many bytes of the data, from the end, lie behind the inode.
    inline: u64,
    /// Where it lies in the image, in bytes.
    offset: u64,
    /// First block of the data that isn't inline; 0 if there is none.
    start_block: u32,
}

impl PlannedInode {
    /// Size of the inode without what follows it.
    fn inode_size(&self) -> usize {
        match self.extended {
            true => size_of::<ExtendedInode>(),
            false => size_of::<CompactInode>(),
        }
    }

    /// Size of the inode and its extended attributes, without its data.
    fn size_on_disk(&self) -> u64 {
        (self.inode_size() + self.attributes_size) as u64
    }

    /// Its number, which follows from its place.
    fn nid(&self) -> u64 {
        self.offset / SLOT_SIZE
    }

    /// Number of blocks of the data that isn't inline.
    fn data_blocks(&self) -> u64 {
        (self.size - self.inline).div_ceil(BLOCK_SIZE)
    }
}

/// Places inodes in blocks.
struct Metadata {
    /// Number of blocks so far.
    blocks: u64,
    /// Blocks by the number of bytes that are free at their end.
    free: BTreeMap<u64, BTreeSet<u64>>,
}

impl Metadata {
    /// Starts with what the superblock leaves of the first block.
    fn new() -> Self {
        Self {
            blocks: 1,
            free: BTreeMap::from([(BLOCK_SIZE - FIRST_INODE, BTreeSet::from([0]))]),
        }
    }

    /// Finds a place for an inode with its inline data, at most a block in all; returns its offset.
    fn place(&mut self, size: u64) -> u64 {
        let best = self
            .free
            .range(size..)
            .find_map(|(free, blocks)| Some((*free, *blocks.first()?)));
        let (free, block) = match best {
            Some((free, block)) => {
                if let Some(blocks) = self.free.get_mut(&free) {
                    blocks.remove(&block);
                    if blocks.is_empty() {
                        self.free.remove(&free);
                    }
                }
                (free, block)
            }
            None => {
                self.blocks += 1;
                (BLOCK_SIZE, self.blocks - 1)
            }
        };
        // The rest of the last slot is lost, as every inode starts a slot.
        let left = (free - size) / SLOT_SIZE * SLOT_SIZE;
        if left > 0 {
            self.free.entry(left).or_default().insert(block);
        }
        (block + 1) * BLOCK_SIZE - free
    }
}

impl<C: Content> Layout<C> {
    /// See [`Builder::layout`].
    pub(super) fn new(builder: Builder<C>) -> Result<Self, BuildError> {
        let mut layout = Self {
            inode_of_node: Vec::from_iter(builder.nodes.iter().map(|_| usize::MAX)),
            builder,
            inodes: Vec::new(),
            by_place: Vec::new(),
            epoch: Timestamp::default(),
            metadata_blocks: 0,
            blocks: 0,
        };
        layout.collect()?;
        layout.choose_epoch();
        layout.place()?;
        Ok(layout)
    }

    /// Size of the image, in bytes; a multiple of [`BLOCK_SIZE`].
    pub fn size(&self) -> u64 {
        u64::from(self.blocks) * BLOCK_SIZE
    }

    /// Number of files, each counted once however many hard links it has.
    pub fn inode_count(&self) -> u64 {
        self.inodes.len() as u64
    }

    /// Goes through the tree, makes an inode of each file and counts links.
    fn collect(&mut self) -> Result<(), BuildError> {
        // Paths yet to be visited with the directory above, the next one last.
        let mut pending = Vec::from([(Box::<[u8]>::from(*b"/"), ROOT, ROOT)]);
        while let Some((path, named, parent)) = pending.pop() {
            let node = self.builder.resolve(&path, named)?;
            let known = self.inode_of_node[node];
            if known != usize::MAX {
                self.inode_of_node[named] = known;
                self.inodes[known].links += 1;
                continue;
            }
            self.inode_of_node[named] = self.inodes.len();
            self.inode_of_node[node] = self.inodes.len();
            let mut links = 1;
            let size = match &self.builder.nodes[node].kind {
                NodeKind::Directory(children) => {
                    // Every directory is its own `.` and the `..` of those in it.
                    links += 1;
                    for (name, child) in children.iter().rev() {
                        let mut child_path = path.to_vec();
                        if child_path != b"/" {
                            child_path.push(b'/');
                        }
                        child_path.extend_from_slice(name);
                        pending.push((child_path.into(), *child, node));
                        if let NodeKind::Directory(_) = self.builder.nodes[*child].kind {
                            links += 1;
                        }
                    }
                    directory_size(children)
                }
                NodeKind::File(content) => content.size(),
                NodeKind::Symlink(target) => target.len() as u64,
                NodeKind::Special(_) | NodeKind::HardLink(_) => 0,
            };
            self.inodes.push(PlannedInode {
                path,
                node,
                parent,
                links,
                size,
                extended: false,
                attributes_size: self.builder.nodes[node].extended.len(),
                inline: 0,
                offset: 0,
                start_block: 0,
            });
        }
        if u32::try_from(self.inodes.len()).is_err() {
            return Err(BuildError::TooLarge);
        }
        Ok(())
    }

    /// Attributes of an inode.
    fn attributes(&self, inode: &PlannedInode) -> Attributes {
        self.builder.nodes[inode.node]
            .attributes
            .unwrap_or(self.builder.directory_attributes)
    }

    /// Stores the commonest time in the superblock, so that as many inodes as possible can be compact.
    fn choose_epoch(&mut self) {
        let mut counts = BTreeMap::<Timestamp, usize>::new();
        for inode in &self.inodes {
            *counts.entry(self.attributes(inode).modified).or_default() += 1;
        }
        // Of equally common times the earliest.
        let commonest = counts.into_iter().rev().max_by_key(|(_, count)| *count);
        self.epoch = commonest.map(|(time, _)| time).unwrap_or_default();
    }

    /// Gives every inode and its data a place.
    fn place(&mut self) -> Result<(), BuildError> {
        let mut metadata = Metadata::new();
        for index in 0..self.inodes.len() {
            let attributes = self.attributes(&self.inodes[index]);
            let inode = &mut self.inodes[index];
            // Older kernels don't know times relative to the epoch, so only the epoch itself is compact.
            inode.extended = attributes.modified != self.epoch
                || attributes.uid > u16::MAX.into()
                || attributes.gid > u16::MAX.into()
                || inode.links > u16::MAX.into()
                || inode.size > u32::MAX.into();
            let tail = inode.size - inode.size.saturating_sub(1) / BLOCK_SIZE * BLOCK_SIZE;
            let inlined = match self.builder.nodes[inode.node].kind {
                NodeKind::Directory(_) | NodeKind::Symlink(_) => true,
                NodeKind::File(_) | NodeKind::Special(_) | NodeKind::HardLink(_) => false,
            };
            if inlined && inode.size_on_disk() + tail <= BLOCK_SIZE {
                inode.inline = tail;
            }
            inode.offset = metadata.place(inode.size_on_disk() + inode.inline);
        }
        self.by_place = Vec::from_iter(0..self.inodes.len());
        self.by_place
            .sort_unstable_by_key(|index| self.inodes[*index].offset);

        let mut blocks = metadata.blocks;
        for regular in [false, true] {
            for inode in &mut self.inodes {
                let is_regular = matches!(self.builder.nodes[inode.node].kind, NodeKind::File(_));
                let needed = inode.data_blocks();
                if is_regular == regular && needed > 0 {
                    inode.start_block = u32::try_from(blocks).map_err(|_| BuildError::TooLarge)?;
                    blocks += needed;
                }
            }
        }
        self.metadata_blocks = u32::try_from(metadata.blocks).map_err(|_| BuildError::TooLarge)?;
        self.blocks = u32::try_from(blocks).map_err(|_| BuildError::TooLarge)?;
        Ok(())
    }

    /// Writes the image, [`size`](Self::size) bytes. Of the data, one piece at a time is in memory.
    pub fn write<O: Output>(&self, output: &mut O) -> Result<(), WriteError<C::Error, O::Error>> {
        self.write_metadata(output).map_err(WriteError::Output)?;
        for inode in &self.inodes {
            let is_regular = matches!(self.builder.nodes[inode.node].kind, NodeKind::File(_));
            if is_regular || inode.data_blocks() == 0 {
                continue;
            }
            let data = self.small_data(inode);
            let blocks = &data[..data.len() - inode.inline as usize];
            output.write(blocks).map_err(WriteError::Output)?;
            write_padding(output, blocks.len() as u64).map_err(WriteError::Output)?;
        }
        for inode in &self.inodes {
            if let NodeKind::File(content) = &self.builder.nodes[inode.node].kind {
                write_content(output, inode, content)?;
                write_padding(output, inode.size).map_err(WriteError::Output)?;
            }
        }
        Ok(())
    }

    /// Writes superblock and inodes with their inline data.
    fn write_metadata<O: Output>(&self, output: &mut O) -> Result<(), O::Error> {
        let mut remaining = self
            .by_place
            .iter()
            .map(|index| &self.inodes[*index])
            .peekable();
        for number in 0..u64::from(self.metadata_blocks) {
            let mut block: Block = [0; BLOCK_SIZE as usize];
            if number == 0 {
                put(&mut block, SUPERBLOCK_OFFSET, self.superblock().as_bytes());
            }
            while let Some(inode) = remaining.next_if(|inode| inode.offset / BLOCK_SIZE == number) {
                let start = (inode.offset % BLOCK_SIZE) as usize;
                if inode.extended {
                    put(&mut block, start, self.extended_inode(inode).as_bytes());
                } else {
                    put(&mut block, start, self.compact_inode(inode).as_bytes());
                }
                let extended = &self.builder.nodes[inode.node].extended;
                put(&mut block, start + inode.inode_size(), extended);
                if inode.inline > 0 {
                    let data = self.small_data(inode);
                    let inline = &data[data.len() - inode.inline as usize..];
                    put(&mut block, start + inode.size_on_disk() as usize, inline);
                }
            }
            if number == 0 {
                let checksum = format::superblock_checksum(&block);
                let field = SUPERBLOCK_OFFSET + core::mem::offset_of!(Superblock, checksum);
                put(&mut block, field, &checksum.to_le_bytes());
            }
            output.write(&block)?;
        }
        Ok(())
    }

    /// The superblock, without its checksum.
    fn superblock(&self) -> Superblock {
        Superblock {
            magic: U32::new(MAGIC),
            checksum: U32::ZERO,
            compatible_features: U32::new(compatible::CHECKSUM | compatible::MODIFICATION_TIME),
            block_bits: BLOCK_BITS,
            extension_slots: 0,
            // The root is placed first, so it is in one of the first two blocks.
            root_nid: U16::new(self.inodes[0].nid() as u16),
            inode_count: U64::new(self.inode_count()),
            epoch: U64::new(self.epoch.seconds.cast_unsigned()),
            epoch_nanoseconds: U32::new(self.epoch.nanoseconds),
            blocks: U32::new(self.blocks),
            metadata_block: U32::ZERO,
            attribute_block: U32::ZERO,
            // A random identity would make each build differ; images are told apart by their digest.
            uuid: [0; 16],
            volume_name: VOLUME_NAME,
            incompatible_features: U32::ZERO,
            compression: U16::ZERO,
            extra_devices: U16::ZERO,
            device_slot: U16::ZERO,
            directory_block_bits: 0,
            rest: [0; 37],
        }
    }

    /// An inode of 32 bytes.
    fn compact_inode(&self, inode: &PlannedInode) -> CompactInode {
        let attributes = self.attributes(inode);
        // Nothing is cut off below: `place` chose this form because all values fit.
        CompactInode {
            format: U16::new(layout_bits(inode)),
            attribute_count: U16::new(format::attribute_count(inode.attributes_size)),
            mode: U16::new(self.kind(inode.node).mode() | attributes.permissions),
            links: U16::new(inode.links as u16),
            size: U32::new(inode.size as u32),
            modified: U32::ZERO,
            location: U32::new(self.location(inode)),
            serial: U32::new(self.serial(inode)),
            uid: U16::new(attributes.uid as u16),
            gid: U16::new(attributes.gid as u16),
            reserved: U32::ZERO,
        }
    }

    /// An inode of 64 bytes.
    fn extended_inode(&self, inode: &PlannedInode) -> ExtendedInode {
        let attributes = self.attributes(inode);
        ExtendedInode {
            format: U16::new(layout_bits(inode) | inode_format::EXTENDED),
            attribute_count: U16::new(format::attribute_count(inode.attributes_size)),
            mode: U16::new(self.kind(inode.node).mode() | attributes.permissions),
            reserved: U16::ZERO,
            size: U64::new(inode.size),
            location: U32::new(self.location(inode)),
            serial: U32::new(self.serial(inode)),
            uid: U32::new(attributes.uid),
            gid: U32::new(attributes.gid),
            modified: U64::new(attributes.modified.seconds.cast_unsigned()),
            modified_nanoseconds: U32::new(attributes.modified.nanoseconds),
            links: U32::new(inode.links),
            reserved_end: [0; 16],
        }
    }

    /// Type of a node that has an inode of its own.
    fn kind(&self, node: NodeIndex) -> FileKind {
        self.builder.nodes[node]
            .kind
            .kind()
            .unwrap_or(FileKind::Regular)
    }

    /// First block of the data, or number of the device.
    fn location(&self, inode: &PlannedInode) -> u32 {
        match self.builder.nodes[inode.node].kind {
            NodeKind::Special(special) => {
                let (major, minor) = special.numbers();
                (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
            }
            _ => inode.start_block,
        }
    }

    /// Serial number: the inode's place in the order, from 1 on.
    fn serial(&self, inode: &PlannedInode) -> u32 {
        self.inode_of_node[inode.node] as u32 + 1
    }

    /// The data of anything but a regular file.
    fn small_data(&self, inode: &PlannedInode) -> Vec<u8> {
        match &self.builder.nodes[inode.node].kind {
            NodeKind::Directory(children) => self.directory_data(inode, children),
            NodeKind::Symlink(target) => target.to_vec(),
            NodeKind::File(_) | NodeKind::Special(_) | NodeKind::HardLink(_) => Vec::new(),
        }
    }

    /// The blocks of a directory, the last one cut where its last name ends.
    fn directory_data(
        &self,
        inode: &PlannedInode,
        children: &BTreeMap<Box<[u8]>, NodeIndex>,
    ) -> Vec<u8> {
        let mut data = Vec::with_capacity(inode.size as usize);
        let links = [(&b"."[..], inode.node), (&b".."[..], inode.parent)];
        for names in directory_blocks(children) {
            data.resize(data.len().next_multiple_of(BLOCK_SIZE as usize), 0);
            let mut name_offset = names.len() * RECORD_SIZE;
            for name in &names {
                let node = match links.iter().find(|(link, _)| link == name) {
                    Some((_, node)) => *node,
                    None => children[*name],
                };
                let target = &self.inodes[self.inode_of_node[node]];
                let record = DirectoryRecord {
                    nid: U64::new(target.nid()),
                    name_offset: U16::new(name_offset as u16),
                    kind: self.kind(target.node).code(),
                    reserved: 0,
                };
                data.extend_from_slice(record.as_bytes());
                name_offset += name.len();
            }
            data.extend(names.iter().copied().flatten());
        }
        data
    }
}

/// Bits of an inode's format that tell its layout.
fn layout_bits(inode: &PlannedInode) -> u16 {
    let layout = if inode.inline > 0 {
        inode_format::FLAT_INLINE
    } else {
        inode_format::FLAT_PLAIN
    };
    layout << inode_format::LAYOUT_SHIFT
}

/// Distributes the names of a directory, with `.` and `..`, over blocks in their order.
fn directory_blocks(children: &BTreeMap<Box<[u8]>, NodeIndex>) -> Vec<Vec<&[u8]>> {
    let mut names = Vec::from([&b"."[..], &b".."[..]]);
    names.extend(children.keys().map(|name| &name[..]));
    names.sort_unstable();
    let mut blocks = Vec::new();
    let mut block = Vec::new();
    let mut used = 0;
    for name in names {
        let needed = RECORD_SIZE + name.len();
        if used + needed > BLOCK_SIZE as usize {
            blocks.push(core::mem::take(&mut block));
            used = 0;
        }
        used += needed;
        block.push(name);
    }
    blocks.push(block);
    blocks
}

/// Size of a directory's data, in bytes.
fn directory_size(children: &BTreeMap<Box<[u8]>, NodeIndex>) -> u64 {
    let blocks = directory_blocks(children);
    let last = blocks.last().map_or(0, |names| {
        names
            .iter()
            .map(|name| (RECORD_SIZE + name.len()) as u64)
            .sum()
    });
    (blocks.len() as u64 - 1) * BLOCK_SIZE + last
}

/// Copies bytes into a block. What `Layout::place` has planned always fits.
fn put(block: &mut Block, start: usize, bytes: &[u8]) {
    block[start..start + bytes.len()].copy_from_slice(bytes);
}

/// Writes zeros behind data of this length, up to the end of its last block.
fn write_padding<O: Output>(output: &mut O, length: u64) -> Result<(), O::Error> {
    let padding = length.next_multiple_of(BLOCK_SIZE) - length;
    output.write(&[0; BLOCK_SIZE as usize][..padding as usize])
}

/// Writes the data of a regular file, and makes sure that it is as long as was planned.
fn write_content<C: Content, O: Output>(
    output: &mut O,
    inode: &PlannedInode,
    content: &C,
) -> Result<(), WriteError<C::Error, O::Error>> {
    let mut received = 0;
    let mut failed = None;
    let streamed = content.stream(&mut |bytes| {
        received += bytes.len() as u64;
        if received > inode.size {
            return ControlFlow::Break(());
        }
        match output.write(bytes) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(error) = failed {
        return Err(WriteError::Output(error));
    }
    streamed.map_err(|error| WriteError::Content {
        path: text(&inode.path),
        error,
    })?;
    if received != inode.size {
        return Err(WriteError::SizeChanged {
            path: text(&inode.path),
            expected: inode.size,
            received,
        });
    }
    Ok(())
}
