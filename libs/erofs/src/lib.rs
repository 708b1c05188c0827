//! EROFS file systems: a reader for the kernel, a writer for the image builder.
//!
//! EROFS is Linux's format for read-only file systems (kernel documentation, `filesystems/erofs`). It has
//! three kinds of structure and no central tables:
//!
//! * one *superblock*, 1024 bytes into the image;
//! * *inodes* of 32 or 64 bytes, each in a slot at a multiple of 32 bytes. An inode's number (its *nid*)
//!   is the number of its slot, so that finding an inode is one multiplication;
//! * *directory blocks* of 4 KiB: a sorted array of entries, then the names, so that finding a name is a
//!   binary search, first over blocks, then within one.
//!
//! A file's data is a run of whole blocks (the *plain* layout), or such a run with the last part directly
//! behind the inode (*inline*), or a table of equally sized chunks (*chunk based*). Data that is
//! compressed isn't read or written here: a unikernel's image lies in memory, and an uncompressed block
//! there *is* a page of the file, with nothing to unpack or copy.
//!
//! [`Volume`] reads an image in memory and never trusts it. [`Builder`] collects files and [`Layout`]
//! writes them as an image that depends on nothing but the files.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod checksum;
mod format;
mod reader;
mod writer;

pub use format::{BLOCK_SIZE, FileKind, MAXIMUM_NAME, MAXIMUM_PATH};
pub use reader::{
    DataBlock, Directory, DirectoryEntry, Error, ExtendedAttribute, ExtendedAttributes, Inode,
    Volume,
};
pub use writer::{
    Attributes, BuildError, Builder, Content, Layout, Output, SpecialFile, Timestamp, WriteError,
};
