//! Writes an image: the kernel's segments, the configuration, and the root file system.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use pith_abi::image::{Configuration, IMAGE_MAGIC, IMAGE_VERSION, ImageHeader, PAYLOAD_ALIGNMENT};
use pith_erofs::{Attributes, Builder, Layout, Output, Timestamp, WriteError};
use serde::Serialize;
use sha2::{Digest, Sha256};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U64};

use crate::container::{Container, FileHeader, Segment};
use crate::error::Error;
use crate::extended::{self, ExtendedAttribute};
use crate::plan::BuildPlan;
use crate::tree::{Content, HostFile, Metadata, Tree};

/// Physical addresses from here on are not memory on every machine: QEMU's `microvm` and `q35` and
/// Firecracker leave the range below 4 GiB to devices. The image must end before.
const MEMORY_LIMIT: u64 = 3 << 30;

/// How much is read and written at a time, in bytes.
const CHUNK: usize = 256 << 10;

/// A kernel that images are built around.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<'a> {
    /// Its ELF file, stripped or not: only loadable segments and notes are taken.
    pub elf: &'a [u8],
    /// Its version, such as `0.1.0`.
    pub version: &'a str,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Size of the root file system in it, in bytes.
    pub root_size: u64,
    /// Number of files in it; directories and links count, and a file with several names counts once.
    pub files: u64,
    /// SHA-256 of configuration and root file system, in hexadecimal.
    pub digest: String,
}

/// Builds an image.
///
/// The image appears under its name when it is complete and on disk; a failure leaves what was there
/// before. The same plan and kernel give the same bytes.
pub fn build(plan: &BuildPlan, kernel: &Kernel<'_>, output: &Path) -> Result<Summary, Error> {
    let bad_kernel = |reason| Error::BadKernel { reason };
    let container = Container::read(&kernel.elf).map_err(bad_kernel)?;
    let buffer = RefCell::new(vec![0; CHUNK]);
    let layout = lay_out(&plan.tree, &buffer)?;
    let configuration = Configuration {
        kernel_version: kernel.version.into(),
        ..plan.configuration.clone()
    };
    let configuration = postcard::to_allocvec(&configuration).map_err(|error| Error::BadValue {
        what: "configuration",
        value: plan.configuration.hostname.clone(),
        reason: format!("can't be encoded: {error}"),
    })?;

    let header_size = size_of::<ImageHeader>() as u64;
    let root_offset =
        (header_size + configuration.len() as u64).next_multiple_of(PAYLOAD_ALIGNMENT);
    let payload_length = root_offset + layout.size();
    let address = Container::payload_address(&container.loads)
        .ok_or_else(|| bad_kernel("its segments reach beyond all addresses".into()))?;
    let needed = address.saturating_add(payload_length);
    if needed > MEMORY_LIMIT {
        return Err(Error::TooLarge {
            needed,
            limit: MEMORY_LIMIT,
        });
    }

    let (start, payload_offset) = executable_part(kernel.elf, &container, address, payload_length);
    let temporary = Temporary::create(output)?;
    let mut writer = Writer {
        file: &temporary.file,
        pending: Vec::with_capacity(2 * CHUNK),
        offset: 0,
        hash: Sha256::new(),
    };
    let unwritable = |error| Error::unwritable(output)(error);
    // The header of the payload holds the digest and so is written last.
    writer.write_plain(&start).map_err(unwritable)?;
    writer
        .write_plain(&vec![0; header_size as usize])
        .map_err(unwritable)?;
    writer.hash.update(&configuration);
    writer.write_plain(&configuration).map_err(unwritable)?;
    let padding = root_offset - header_size - configuration.len() as u64;
    writer
        .write_plain(&vec![0; padding as usize])
        .map_err(unwritable)?;
    layout.write(&mut writer).map_err(|error| match error {
        WriteError::Content { error, .. } => error,
        WriteError::SizeChanged { path, .. } => Error::Changed { path: path.into() },
        WriteError::Output(error) => unwritable(error),
    })?;
    writer.flush().map_err(unwritable)?;
    let digest: [u8; 32] = writer.hash.finalize().into();
    let header = ImageHeader {
        magic: IMAGE_MAGIC,
        version: IMAGE_VERSION,
        header_size: header_size as u32,
        configuration_offset: header_size,
        configuration_length: configuration.len() as u64,
        root_offset,
        root_length: layout.size(),
        digest,
    };
    temporary
        .file
        .write_all_at(header.as_bytes(), payload_offset)
        .map_err(unwritable)?;
    temporary.keep()?;
    Ok(Summary {
        image_size: payload_offset + payload_length,
        root_size: layout.size(),
        files: layout.inode_count(),
        digest: hexadecimal(&digest),
    })
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Everything before the payload, and the payload's offset in the file.
fn executable_part(
    elf: &[u8],
    kernel: &Container,
    payload_address: u64,
    payload_length: u64,
) -> (Vec<u8>, u64) {
    let count = kernel.loads.len() + kernel.notes.len() + 1;
    let mut bytes = vec![0; size_of::<FileHeader>() + count * size_of::<Segment>()];
    let mut segments = Vec::with_capacity(count);
    // `Container::read` checked that segments lie inside the file.
    let contents = |segment: &Segment| {
        let offset = segment.offset.get() as usize;
        &elf[offset..offset + segment.file_size.get() as usize]
    };
    for segment in &kernel.loads {
        // A segment's place in the file and its address must be equal within a page, so that it could be
        // mapped (elf(5), p_align).
        let within_page = segment.virtual_address.get() % PAYLOAD_ALIGNMENT;
        let offset = (bytes.len() as u64).next_multiple_of(PAYLOAD_ALIGNMENT) + within_page;
        bytes.resize(offset as usize, 0);
        bytes.extend_from_slice(contents(segment));
        segments.push(Segment {
            offset: U64::new(offset),
            alignment: U64::new(PAYLOAD_ALIGNMENT),
            ..*segment
        });
    }
    for note in &kernel.notes {
        let (start, length) = (note.offset.get(), note.file_size.get());
        let inside = kernel.loads.iter().zip(&segments).find_map(|(old, new)| {
            let distance = start.checked_sub(old.offset.get())?;
            (distance + length <= old.file_size.get()).then(|| new.offset.get() + distance)
        });
        let offset = inside.unwrap_or_else(|| {
            let offset = bytes.len().next_multiple_of(8);
            bytes.resize(offset, 0);
            bytes.extend_from_slice(contents(note));
            offset as u64
        });
        segments.push(Segment {
            offset: U64::new(offset),
            ..*note
        });
    }
    let payload_offset = (bytes.len() as u64).next_multiple_of(PAYLOAD_ALIGNMENT);
    bytes.resize(payload_offset as usize, 0);
    segments.push(Segment::payload(
        payload_offset,
        payload_address,
        payload_length,
    ));
    let header = FileHeader {
        segments_offset: U64::new(size_of::<FileHeader>() as u64),
        sections_offset: U64::ZERO,
        header_size: U16::new(size_of::<FileHeader>() as u16),
        segment_size: U16::new(size_of::<Segment>() as u16),
        segment_count: U16::new(count as u16),
        section_size: U16::ZERO,
        section_count: U16::ZERO,
        section_names: U16::ZERO,
        ..kernel.header
    };
    let (head, rest) = bytes.split_at_mut(size_of::<FileHeader>());
    head.copy_from_slice(header.as_bytes());
    let table = segments.as_bytes();
    rest[..table.len()].copy_from_slice(table);
    (bytes, payload_offset)
}

/// Where the data of a file comes from.
struct Data<'a> {
    content: &'a Content,
    /// Shared by all files, for one is read at a time.
    buffer: &'a RefCell<Vec<u8>>,
}

impl pith_erofs::Content for Data<'_> {
    type Error = Error;

    fn size(&self) -> u64 {
        match self.content {
            Content::Host(file) => file.length,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Directory | Content::Link(_) => 0,
        }
    }

    fn stream(&self, sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Error> {
        let wanted = match self.content {
            Content::Bytes(bytes) => {
                // The sink says when it has enough; there is nothing more to give anyway.
                let _ = sink(bytes);
                return Ok(());
            }
            Content::Host(wanted) => wanted,
            Content::Directory | Content::Link(_) => return Ok(()),
        };
        let path = &wanted.path;
        let mut file = File::open(path).map_err(Error::unreadable(path))?;
        let metadata = file.metadata().map_err(Error::unreadable(path))?;
        if HostFile::of(path, &metadata).identity != wanted.identity {
            return Err(Error::Changed { path: path.clone() });
        }
        let mut buffer = self.buffer.borrow_mut();
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    if sink(&buffer[..count]).is_break() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::unreadable(path)(error)),
            }
        }
    }
}

/// Gives a file or directory that was added its extended attributes.
fn set_extended_attributes<T: pith_erofs::Content>(
    builder: &mut Builder<T>,
    path: &[u8],
    attributes: &[ExtendedAttribute],
) -> Result<(), pith_erofs::BuildError> {
    if attributes.is_empty() {
        return Ok(());
    }
    let named: Vec<(&[u8], &[u8])> = attributes
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    builder.set_extended_attributes(path, &named)
}

/// Lays out the root file system.
fn lay_out<'a>(tree: &'a Tree, buffer: &'a RefCell<Vec<u8>>) -> Result<Layout<Data<'a>>, Error> {
    let refused = |error: pith_erofs::BuildError| Error::FileSystem {
        reason: error.to_string(),
    };
    let mut builder = Builder::new(Timestamp::default());
    let mut names: HashMap<(u64, u64), (&Path, Metadata)> = HashMap::new();
    for (path, node) in tree.iter() {
        let metadata = node.metadata;
        let attributes = Attributes {
            permissions: metadata.mode as u16,
            uid: metadata.uid,
            gid: metadata.gid,
            modified: Timestamp {
                seconds: metadata.seconds,
                nanoseconds: metadata.nanoseconds,
            },
        };
        let bytes = path.as_os_str().as_bytes();
        match &node.content {
            Content::Directory => {
                builder.add_directory(bytes, attributes).map_err(refused)?;
                set_extended_attributes(&mut builder, bytes, &node.extended)
            }
            Content::Link(target) => {
                builder.add_symlink(bytes, attributes, target.as_os_str().as_bytes())
            }
            content => {
                // Names of one file stay names of one file.
                if let Content::Host(file) = content
                    && file.links > 1
                {
                    let (device, inode, ..) = file.identity;
                    match names.get(&(device, inode)) {
                        Some(&(first, same)) if same == metadata => {
                            builder
                                .add_hard_link(bytes, first.as_os_str().as_bytes())
                                .map_err(refused)?;
                            continue;
                        }
                        Some(_) => {}
                        None => {
                            names.insert((device, inode), (path, metadata));
                        }
                    }
                }
                builder
                    .add_file(bytes, attributes, Data { content, buffer })
                    .map_err(refused)?;
                if let Content::Host(file) = content {
                    let extended = extended::of_host(&file.path)?;
                    set_extended_attributes(&mut builder, bytes, &extended)
                } else {
                    Ok(())
                }
            }
        }
        .map_err(refused)?;
    }
    builder.layout().map_err(refused)
}

/// Collects small pieces, hashes and writes them.
struct Writer<'a> {
    file: &'a File,
    pending: Vec<u8>,
    offset: u64,
    hash: Sha256,
}

impl Writer<'_> {
    /// Writes without hashing.
    fn write_plain(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.write_all_at(&self.pending, self.offset)?;
        self.offset += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

impl Output for Writer<'_> {
    type Error = std::io::Error;

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hash.update(bytes);
        self.write_plain(bytes)
    }
}

/// A file next to the one that is wanted. It takes its place when complete, and vanishes otherwise.
struct Temporary<'a> {
    file: File,
    path: PathBuf,
    output: &'a Path,
    kept: bool,
}

impl<'a> Temporary<'a> {
    fn create(output: &'a Path) -> Result<Self, Error> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let Some(name) = output.file_name() else {
            return Err(Error::unwritable(output)(
                std::io::ErrorKind::IsADirectory.into(),
            ));
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(
            ".{}.{number}{TEMPORARY_SUFFIX}",
            std::process::id()
        ));
        let path = output.with_file_name(temporary);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(Error::unwritable(output))?;
        Ok(Self {
            file,
            path,
            output,
            kept: false,
        })
    }

    fn keep(mut self) -> Result<(), Error> {
        self.file
            .sync_all()
            .map_err(Error::unwritable(self.output))?;
        fs::rename(&self.path, self.output).map_err(Error::unwritable(self.output))?;
        self.kept = true;
        // The new name is on disk when its directory is. Not every file system can say so.
        let directory = match self.output.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing can be done about a failure, and the first error is the one to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// How names of incomplete images end.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";
