//! What several tests share: a model of a tree, images of it, and the tools of erofs-utils.
#![allow(dead_code, reason = "every test file uses a part of it")]

use pith_erofs::{
    Attributes, Builder, DataBlock, Error, FileKind, Inode, SpecialFile, Timestamp, Volume,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Time of everything that doesn't say otherwise.
pub const TIME: Timestamp = Timestamp {
    seconds: 1_700_000_000,
    nanoseconds: 0,
};

/// Attributes of everything that doesn't say otherwise.
pub fn attributes(permissions: u16) -> Attributes {
    Attributes {
        permissions,
        uid: 0,
        gid: 0,
        modified: TIME,
    }
}

/// Bytes without a pattern that could hide a mix-up.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let step = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

/// The image of a builder.
pub fn image(builder: Builder<Vec<u8>>) -> Vec<u8> {
    let layout = builder.layout().expect("the tree can be laid out");
    let mut image = Vec::new();
    layout.write(&mut image).expect("the image can be written");
    assert_eq!(image.len() as u64, layout.size());
    image
}

/// A tree with some of everything. Small enough that an image can be damaged in every place.
pub fn sample() -> Builder<Vec<u8>> {
    let mut builder = Builder::new(TIME);
    let odd = Attributes {
        permissions: 0o4750,
        uid: 70_000,
        gid: 80_000,
        modified: Timestamp {
            seconds: -5,
            nanoseconds: 999_999_999,
        },
    };
    builder.add_directory(b"/", attributes(0o755)).unwrap();
    builder.add_directory(b"/empty", attributes(0o700)).unwrap();
    builder.add_directory(b"/tmp", attributes(0o1777)).unwrap();
    builder
        .add_file(b"/usr/bin/tool", attributes(0o755), noise(1, 10_000))
        .unwrap();
    builder
        .add_file(b"/usr/bin/odd", odd, noise(2, 4096))
        .unwrap();
    builder
        .add_file(b"/etc/nothing", attributes(0o644), Vec::new())
        .unwrap();
    builder
        .add_file(b"/etc/motd", attributes(0o644), b"Good morning.\n".to_vec())
        .unwrap();
    builder
        .set_extended_attributes(
            b"/usr/bin/odd",
            &[(b"user.a", b"value"), (b"security.capability", &[1; 20])],
        )
        .unwrap();
    builder
        .add_hard_link(b"/a/first/link", b"/usr/bin/tool")
        .unwrap();
    builder.add_hard_link(b"/z/link", b"/a/first/link").unwrap();
    builder
        .add_symlink(b"/lib", attributes(0o777), b"usr/lib")
        .unwrap();
    builder.add_symlink(b"/long", odd, &[b'x'; 4095]).unwrap();
    let null = SpecialFile::CharacterDevice { major: 1, minor: 3 };
    builder
        .add_special(b"/dev/null", attributes(0o666), null)
        .unwrap();
    let disk = SpecialFile::BlockDevice {
        major: 0xabc,
        minor: 0xf_1234,
    };
    builder.add_special(b"/dev/disk", odd, disk).unwrap();
    builder
        .add_special(b"/run/pipe", attributes(0o600), SpecialFile::Fifo)
        .unwrap();
    builder
        .add_special(b"/run/socket", attributes(0o600), SpecialFile::Socket)
        .unwrap();
    for number in 0..40 {
        let name = format!("/many/{}{number}", "n".repeat(number * 3));
        builder
            .add_symlink(name.as_bytes(), attributes(0o777), b"/etc/motd")
            .unwrap();
    }
    builder
}

/// What a file is, as far as a program can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Type and permissions.
    pub mode: u16,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub modified: (i64, u32),
    /// Device number.
    pub rdev: u32,
    /// Links; 0 where it isn't compared.
    pub nlink: u32,
    /// Data of a regular file, target of a link.
    pub data: Vec<u8>,
}

/// Everything in a volume, by path.
pub fn contents(volume: &Volume<'_>) -> Result<BTreeMap<Vec<u8>, Seen>, Error> {
    let mut contents = BTreeMap::new();
    volume.walk(|path, inode| {
        let data = match inode.kind {
            FileKind::Regular => read_all(volume, inode)?,
            FileKind::Symlink => volume.symlink_target(inode)?.to_vec(),
            _ => Vec::new(),
        };
        for attribute in volume.extended_attributes(inode)? {
            attribute?;
        }
        let seen = Seen {
            mode: inode.mode,
            owner: (inode.uid, inode.gid),
            modified: (inode.modified_seconds, inode.modified_nanoseconds),
            rdev: inode.rdev,
            nlink: inode.nlink,
            data,
        };
        contents.insert(path.to_vec(), seen);
        Ok::<(), Error>(())
    })?;
    Ok(contents)
}

/// The data of a file, read in all three ways, which must agree.
pub fn read_all(volume: &Volume<'_>, inode: &Inode) -> Result<Vec<u8>, Error> {
    let size = usize::try_from(inode.size).unwrap();
    assert!(size <= 64 << 20, "only for files that the test made");
    let mut data = vec![0xaa; size + 1];
    assert_eq!(volume.read_at(inode, 0, &mut data)?, size);
    data.pop();

    let mut contiguous = Vec::new();
    while contiguous.len() < size {
        let piece = volume.contiguous(inode, contiguous.len() as u64)?;
        assert!(!piece.is_empty());
        contiguous.extend_from_slice(piece);
    }
    assert!(contiguous == data, "contiguous() differs from read_at()");

    let mut blocks = Vec::new();
    for index in 0..inode.size.div_ceil(4096) {
        let mut page = [0; 4096];
        match volume.block(inode, index)? {
            DataBlock::Whole { image_offset } => {
                assert_eq!(image_offset % 4096, 0);
                page.copy_from_slice(&volume.image()[image_offset as usize..][..4096]);
            }
            DataBlock::Bytes(bytes) => page[..bytes.len()].copy_from_slice(bytes),
        }
        blocks.extend_from_slice(&page);
    }
    assert!(blocks[size..].iter().all(|byte| *byte == 0));
    assert!(blocks[..size] == data, "block() differs from read_at()");
    Ok(data)
}

/// The inode at a path, name by name.
pub fn find(volume: &Volume<'_>, path: &str) -> Result<Option<Inode>, Error> {
    let mut inode = volume.root()?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let Some(nid) = volume.lookup(&inode, name.as_bytes())? else {
            return Ok(None);
        };
        inode = volume.inode(nid)?;
    }
    Ok(Some(inode))
}

/// Runs one of the tools of erofs-utils. That they are there is a condition of the tests, not an option.
pub fn tool(name: &str, arguments: &[&str]) -> Output {
    Command::new(name)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!("{name} can't be run ({error}): apt-get install -y erofs-utils")
        })
}

/// Fails with all that a tool said if it failed, or complained.
pub fn expect_success(output: &Output) {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success() && !text.contains("<E>") && !text.contains("<W>"),
        "{text}"
    );
}

/// A directory for files of a test, removed at its end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty one; `name` is unique among tests.
    pub fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _absent = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.0);
    }
}
