//! Reads an image back: what is in it, and whether it is intact.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use pith_abi::image::{
    Configuration, IMAGE_MAGIC, IMAGE_VERSION, ImageHeader, LogLevel, PAYLOAD_ALIGNMENT, User,
};
use pith_erofs::{FileKind, Volume};
use serde::Serialize;
use sha2::{Digest, Sha256};
use zerocopy::{FromZeros, IntoBytes};

use crate::assemble::hexadecimal;
use crate::container::{Container, Segment};
use crate::error::Error;
use crate::tree::MAXIMUM_LINKS;
use crate::user;

/// Largest encoded configuration that is read, in bytes. Linux takes 6 MiB of arguments and environment.
const MAXIMUM_CONFIGURATION: u64 = 32 << 20;

/// Everything about an image. Texts that are not UTF-8 are shown with replacement characters.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Version of the image format.
    pub image_version: u32,
    /// The kernel in the image.
    pub kernel: KernelInspection,
    /// The configuration baked into it.
    pub configuration: ConfigurationInspection,
    /// SHA-256 of configuration and root file system, in hexadecimal. It was checked.
    pub digest: String,
    /// Size of the root file system in bytes.
    pub root_size: u64,
    /// All files of the root file system: depth first, each directory in the order of its names.
    pub files: Vec<FileInspection>,
}

/// The kernel of an image.
#[derive(Clone, Debug, Serialize)]
pub struct KernelInspection {
    /// Its version.
    pub version: String,
    /// Size of its segments in the image, in bytes.
    pub file_size: u64,
    /// Size of its segments in memory, in bytes.
    pub memory_size: u64,
    /// Physical address of its first byte.
    pub physical_address: u64,
    /// Physical address of the payload behind it.
    pub payload_address: u64,
}

/// The configuration of an image.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigurationInspection {
    /// Guest path of the program.
    pub program: String,
    /// `argv`, with `argv[0]`.
    pub arguments: Vec<String>,
    /// `NAME=VALUE` each.
    pub environment: Vec<String>,
    /// Working directory.
    pub working_directory: String,
    /// Host name.
    pub hostname: String,
    /// Memory in MiB; none leaves it to the monitor.
    pub memory_mebibytes: Option<u32>,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Whether every system call is printed.
    pub trace: bool,
    /// Least severe level of kernel messages that are shown.
    pub log_level: &'static str,
    /// Whether a program of the image may open sockets.
    pub sockets: bool,
    /// In whose name the program runs: `USER:GROUP`, and behind a comma each supplementary group.
    pub user: String,
    /// Settings of the network cards.
    pub network: Vec<String>,
    /// Limits of what may be written, and further file systems in memory.
    pub storage: Vec<String>,
    /// What the kernel command line may change.
    pub overridable: Vec<&'static str>,
}

/// One file of an image.
#[derive(Clone, Debug, Serialize)]
pub struct FileInspection {
    /// Guest path.
    pub path: String,
    /// `file`, `directory`, `link` or another type.
    pub kind: &'static str,
    /// Size of its data in bytes.
    pub size: u64,
    /// Permission bits, with set-user-ID, set-group-ID and sticky bit.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in seconds since 1970 (UTC).
    pub modified: i64,
    /// Target of a symbolic link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// An image whose headers were read and checked.
struct Opened {
    file: File,
    size: u64,
    container: Container,
    payload: Segment,
    header: ImageHeader,
    encoded: Vec<u8>,
    configuration: Configuration,
}

/// Whether a file is a Pith image, rather than an ordinary program: an ELF file that boots by PVH and
/// ends in a payload. It need not be intact. A file that can't be read is none.
#[must_use]
pub fn is_image(path: &Path) -> bool {
    // Opening a named pipe would wait for a writer.
    if !std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return false;
    }
    let Ok(file) = File::open(path) else {
        return false;
    };
    let Ok(container) = Container::read(&file) else {
        return false;
    };
    let mut magic = [0; IMAGE_MAGIC.len()];
    container
        .loads
        .last()
        .is_some_and(|payload| file.read_exact_at(&mut magic, payload.offset.get()).is_ok())
        && magic == IMAGE_MAGIC
}

/// Reads header and configuration of an image, and its size in bytes.
///
/// Fast: neither digest nor file system is checked, only that the file reaches as far as it should.
pub fn read_configuration(path: &Path) -> Result<(ImageHeader, Configuration, u64), Error> {
    let opened = open(path)?;
    Ok((opened.header, opened.configuration, opened.size))
}

/// In whose name `USER[:GROUP]` has the program of an image run, by the image's own accounts, and that user's home
/// directory.
///
/// # Errors
///
/// The image can't be read, or there is no such user or group.
pub fn find_user(path: &Path, text: &str) -> Result<(User, Vec<u8>), Error> {
    let opened = open(path)?;
    let root = opened.root(path)?;
    let volume = Volume::open(&root).map_err(|error| damaged(path, error))?;
    let contents = |file| contents(&volume, file).map_err(|error| damaged(path, error));
    user::account(text, &contents("/etc/passwd")?, &contents("/etc/group")?)
        .map(|account| (account.user, account.home))
}

/// What a volume has at an absolute path, links followed; nothing if there is no such file.
fn contents(volume: &Volume<'_>, path: &str) -> Result<Vec<u8>, pith_erofs::Error> {
    let mut above = vec![volume.root()?];
    let mut left: Vec<Vec<u8>> = names(path.as_bytes());
    let mut links = 0;
    while let Some(name) = left.pop() {
        let directory = above[above.len() - 1];
        if name == b".." {
            above.truncate((above.len() - 1).max(1));
            continue;
        }
        if directory.kind != FileKind::Directory {
            return Ok(Vec::new());
        }
        let Some(number) = volume.lookup(&directory, &name)? else {
            return Ok(Vec::new());
        };
        let inode = volume.inode(number)?;
        if inode.kind != FileKind::Symlink {
            above.push(inode);
            continue;
        }
        links += 1;
        if links > MAXIMUM_LINKS {
            return Ok(Vec::new());
        }
        let target = volume.symlink_target(&inode)?;
        if target.starts_with(b"/") {
            above.truncate(1);
        }
        left.extend(names(target));
    }
    let inode = above[above.len() - 1];
    let mut contents = Vec::new();
    while inode.kind == FileKind::Regular && (contents.len() as u64) < inode.size {
        contents.extend_from_slice(volume.contiguous(&inode, contents.len() as u64)?);
    }
    Ok(contents)
}

/// The names of a path, the first one last.
fn names(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

fn damaged(path: &Path, error: pith_erofs::Error) -> Error {
    Error::bad_image(
        path,
        format!("its root file system is damaged ({error}): build it again"),
    )
}

impl Opened {
    /// Reads the root file system.
    fn root(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let mut root = vec![0; self.header.root_length as usize];
        self.file
            .read_exact_at(
                &mut root,
                self.payload.offset.get() + self.header.root_offset,
            )
            .map_err(Error::unreadable(path))?;
        Ok(root)
    }
}

fn open(path: &Path) -> Result<Opened, Error> {
    let bad = |reason: &str| Error::bad_image(path, reason);
    let unreadable = |error| Error::unreadable(path)(error);
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(bad("it is not a regular file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Missing {
                role: "image",
                path: path.into(),
            });
        }
        _ => {}
    }
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let container = Container::read(&file).map_err(|reason| bad(&reason))?;
    let (payload, kernel) = match container.loads.split_last() {
        Some((payload, kernel)) if !kernel.is_empty() => (*payload, kernel),
        _ => {
            return Err(bad(
                "it holds no payload behind the kernel: it is a kernel or another program",
            ));
        }
    };
    let length = payload.file_size.get();
    if length < size_of::<ImageHeader>() as u64 {
        return Err(bad(
            "it holds no payload behind the kernel: it is a kernel or another program",
        ));
    }
    let mut header = ImageHeader::new_zeroed();
    file.read_exact_at(header.as_mut_bytes(), payload.offset.get())
        .map_err(unreadable)?;
    if header.magic != IMAGE_MAGIC {
        return Err(bad(
            "it holds no payload behind the kernel: it is a kernel or another program",
        ));
    }
    if header.version != IMAGE_VERSION {
        return Err(bad(&format!(
            "its format has version {}, and this is a tool for version {IMAGE_VERSION}: build it again",
            header.version
        )));
    }
    if header.header_size as usize != size_of::<ImageHeader>() {
        return Err(bad("its header has an unknown size: build it again"));
    }
    if Container::payload_address(kernel) != Some(payload.physical_address.get()) {
        return Err(bad(
            "its payload is not where the kernel looks for it: build it again",
        ));
    }
    let inside = |offset: u64, part: u64| {
        offset >= size_of::<ImageHeader>() as u64
            && offset.checked_add(part).is_some_and(|end| end <= length)
    };
    let (start, encoded_length) = (header.configuration_offset, header.configuration_length);
    if !inside(start, encoded_length) || encoded_length > MAXIMUM_CONFIGURATION {
        return Err(bad(
            "its configuration lies outside the payload: build it again",
        ));
    }
    if !inside(header.root_offset, header.root_length)
        || header.root_offset % PAYLOAD_ALIGNMENT != 0
        || header.root_length % PAYLOAD_ALIGNMENT != 0
        || header.root_offset < start + encoded_length
    {
        return Err(bad(
            "its root file system lies outside the payload: build it again",
        ));
    }
    let mut encoded = vec![0; encoded_length as usize];
    file.read_exact_at(&mut encoded, payload.offset.get() + start)
        .map_err(unreadable)?;
    let configuration = match postcard::take_from_bytes::<Configuration>(&encoded) {
        Ok((configuration, [])) => configuration,
        Ok(_) => {
            return Err(bad(
                "its configuration is longer than it should be: build it again",
            ));
        }
        Err(error) => {
            return Err(bad(&format!(
                "its configuration can't be decoded ({error}): build it again"
            )));
        }
    };
    Ok(Opened {
        file,
        size,
        container,
        payload,
        header,
        encoded,
        configuration,
    })
}

/// Reads a whole image, and checks it: header, digest, and every structure of the root file system.
pub fn inspect(path: &Path) -> Result<Inspection, Error> {
    let opened = open(path)?;
    let root = opened.root(path)?;
    let Opened {
        size,
        container,
        payload,
        header,
        encoded,
        configuration,
        ..
    } = opened;
    let digest: [u8; 32] = Sha256::new()
        .chain_update(&encoded)
        .chain_update(&root)
        .finalize()
        .into();
    if digest != header.digest {
        return Err(Error::bad_image(
            path,
            "its contents do not agree with its digest, so it was damaged: build it again",
        ));
    }
    let damaged = |error| damaged(path, error);
    let volume = Volume::open(&root).map_err(damaged)?;
    let mut files = Vec::new();
    volume
        .walk(|path, inode| {
            let target = match inode.kind {
                FileKind::Symlink => Some(text(volume.symlink_target(inode)?)),
                _ => None,
            };
            files.push(FileInspection {
                path: text(path),
                kind: kind_name(inode.kind),
                size: inode.size,
                mode: u32::from(inode.mode) & 0o7777,
                uid: inode.uid,
                gid: inode.gid,
                modified: inode.modified_seconds,
                target,
            });
            Ok(())
        })
        .map_err(damaged)?;
    let kernel = &container.loads[..container.loads.len() - 1];
    let overridable = configuration.overridable;
    Ok(Inspection {
        image_size: size,
        image_version: header.version,
        kernel: KernelInspection {
            version: configuration.kernel_version,
            file_size: kernel.iter().map(|segment| segment.file_size.get()).sum(),
            memory_size: kernel.iter().map(|segment| segment.memory_size.get()).sum(),
            physical_address: kernel
                .first()
                .map_or(0, |segment| segment.physical_address.get()),
            payload_address: payload.physical_address.get(),
        },
        configuration: ConfigurationInspection {
            program: text(&configuration.program),
            arguments: configuration
                .arguments
                .iter()
                .map(|argument| text(argument))
                .collect(),
            environment: configuration
                .environment
                .iter()
                .map(|entry| text(entry))
                .collect(),
            working_directory: text(&configuration.working_directory),
            hostname: configuration.hostname,
            memory_mebibytes: (configuration.memory_mebibytes != 0)
                .then_some(configuration.memory_mebibytes),
            cpus: configuration.cpus.max(1),
            trace: configuration.trace,
            log_level: match configuration.log_level {
                LogLevel::Error => "error",
                LogLevel::Warn => "warn",
                LogLevel::Info => "info",
                LogLevel::Debug => "debug",
                LogLevel::Trace => "trace",
            },
            sockets: configuration.sockets,
            user: user_text(configuration.user.unwrap_or_default()),
            network: configuration.network,
            storage: configuration.storage,
            overridable: [
                (overridable.arguments, "arguments"),
                (overridable.environment, "environment"),
                (overridable.working_directory, "working_directory"),
                (overridable.network, "network"),
                (overridable.storage, "storage"),
                (overridable.user, "user"),
                (overridable.diagnostics, "diagnostics"),
            ]
            .into_iter()
            .filter_map(|(set, name)| set.then_some(name))
            .collect(),
        },
        digest: hexadecimal(&digest),
        root_size: header.root_length,
        files,
    })
}

fn user_text(user: User) -> String {
    let mut text = format!("{}:{}", user.user, user.group);
    for group in user.supplementary {
        text.push_str(&format!(",{group}"));
    }
    text
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "link",
        FileKind::CharacterDevice => "character device",
        FileKind::BlockDevice => "block device",
        FileKind::Fifo => "named pipe",
        FileKind::Socket => "socket",
    }
}
