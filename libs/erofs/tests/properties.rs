//! Random trees: what goes in comes out.

mod common;

use common::{Seen, TIME, contents, image, noise};
use pith_erofs::{Attributes, Builder, FileKind, SpecialFile, Timestamp, Volume};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What can be at a path.
#[derive(Clone, Debug)]
enum Kind {
    Directory,
    File { seed: u64, size: usize },
    Symlink(Vec<u8>),
    Special(SpecialFile),
    HardLink(prop::sample::Index),
}

/// Any name: all bytes but slash and NUL, with the likely ones being short and alike.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let any_byte = any::<u8>().prop_map(|byte| match byte {
        0 | b'/' => b'-',
        byte => byte,
    });
    prop_oneof![
        4 => "[ab.]{1,3}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any_byte, 1..=255),
    ]
    .prop_map(|name| match &name[..] {
        b"." | b".." => b"...".to_vec(),
        _ => name,
    })
}

/// Any path of a few names.
fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(name(), 1..4).prop_map(|names| {
        names
            .iter()
            .flat_map(|name| [b"/", &name[..]].concat())
            .collect()
    })
}

/// Anything that can be at a path.
fn kind() -> impl Strategy<Value = Kind> {
    let around_blocks = prop_oneof![0..3_usize, 4090..4100_usize, 0..20_000_usize];
    let target = prop::collection::vec(1..=255_u8, 1..=4095);
    let numbers = (0..=0xfff_u32, 0..=0xf_ffff_u32);
    prop_oneof![
        2 => Just(Kind::Directory),
        4 => (any::<u64>(), around_blocks).prop_map(|(seed, size)| Kind::File { seed, size }),
        2 => target.prop_map(Kind::Symlink),
        1 => numbers.clone().prop_map(|(major, minor)| {
            Kind::Special(SpecialFile::CharacterDevice { major, minor })
        }),
        1 => numbers.prop_map(|(major, minor)| {
            Kind::Special(SpecialFile::BlockDevice { major, minor })
        }),
        1 => Just(Kind::Special(SpecialFile::Fifo)),
        1 => Just(Kind::Special(SpecialFile::Socket)),
        2 => any::<prop::sample::Index>().prop_map(Kind::HardLink),
    ]
}

/// Any attributes, with the likely ones fitting a compact inode.
fn attributes() -> impl Strategy<Value = Attributes> {
    let id = || prop_oneof![0..2000_u32, any::<u32>()];
    let modified = prop_oneof![
        Just(TIME),
        (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanoseconds)| Timestamp {
            seconds,
            nanoseconds
        }),
    ];
    (0..=0o7777_u16, id(), id(), modified).prop_map(|(permissions, uid, gid, modified)| {
        Attributes {
            permissions,
            uid,
            gid,
            modified,
        }
    })
}

/// What a tree must look like when it is read.
struct Model {
    /// All paths; the number of links is filled in at the end.
    seen: BTreeMap<Vec<u8>, Seen>,
    /// Names of each file with data, under the first one that was added.
    names: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
}

/// A directory that nobody added.
fn implied_directory() -> Seen {
    Seen {
        mode: 0o40_755,
        owner: (0, 0),
        modified: (TIME.seconds, TIME.nanoseconds),
        rdev: 0,
        nlink: 0,
        data: Vec::new(),
    }
}

/// Paths of the directories above a path, save for the root.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = (1..path.len()).filter(|end| path[*end] == b'/');
    ends.map(|end| &path[..end])
}

impl Model {
    fn new() -> Self {
        Self {
            seen: BTreeMap::from([(b"/".to_vec(), implied_directory())]),
            names: BTreeMap::new(),
        }
    }

    /// Whether something can be added at a path: it is free and all above it are directories.
    fn is_free(&self, path: &[u8]) -> bool {
        let is_directory = |path| {
            self.seen
                .get(path)
                .is_none_or(|seen| seen.mode >> 12 == 0o4)
        };
        !self.seen.contains_key(path) && above(path).all(is_directory)
    }

    fn insert(&mut self, path: &[u8], seen: Seen) {
        for directory in above(path) {
            let entry = self.seen.entry(directory.to_vec());
            entry.or_insert_with(implied_directory);
        }
        self.seen.insert(path.to_vec(), seen);
    }

    /// Everything, with its number of links.
    fn finish(mut self) -> BTreeMap<Vec<u8>, Seen> {
        for names in self.names.values() {
            for name in names {
                self.seen.get_mut(name).unwrap().nlink = names.len() as u32;
            }
        }
        let is_directory = |seen: &Seen| seen.mode >> 12 == 0o4;
        let all = self.seen.iter();
        let directories: Vec<_> = all
            .filter(|(_, seen)| is_directory(seen))
            .map(|(path, _)| path.clone())
            .collect();
        for path in directories {
            // Its `..` counts for the directory above; its `.` and its name, if it has one, for itself.
            let parent = above(&path).last().unwrap_or(b"/").to_vec();
            self.seen.get_mut(&parent).unwrap().nlink += 1;
            self.seen.get_mut(&path).unwrap().nlink += if path == b"/" { 1 } else { 2 };
        }
        self.seen
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_goes_in_comes_out(
        files in prop::collection::vec((path(), kind(), attributes()), 0..60),
    ) {
        let mut builder = Builder::new(TIME);
        let mut model = Model::new();
        for (path, kind, attributes) in files {
            let free = model.is_free(&path);
            let file_kind = match &kind {
                Kind::Directory => FileKind::Directory,
                Kind::File { .. } | Kind::HardLink(_) => FileKind::Regular,
                Kind::Symlink(_) => FileKind::Symlink,
                Kind::Special(SpecialFile::CharacterDevice { .. }) => FileKind::CharacterDevice,
                Kind::Special(SpecialFile::BlockDevice { .. }) => FileKind::BlockDevice,
                Kind::Special(SpecialFile::Fifo) => FileKind::Fifo,
                Kind::Special(SpecialFile::Socket) => FileKind::Socket,
            };
            let mut seen = Seen {
                mode: file_kind.mode() | attributes.permissions,
                owner: (attributes.uid, attributes.gid),
                modified: (attributes.modified.seconds, attributes.modified.nanoseconds),
                rdev: 0,
                nlink: 0,
                data: Vec::new(),
            };
            let mut first_name = path.clone();
            let result = match kind {
                Kind::Directory => {
                    // A directory that was implied so far can be added as well; that has its own test.
                    if !free {
                        continue;
                    }
                    builder.add_directory(&path, attributes)
                }
                Kind::File { seed, size } => {
                    seen.data = noise(seed, size);
                    builder.add_file(&path, attributes, seen.data.clone())
                }
                Kind::Symlink(target) => {
                    seen.mode = 0o120_777;
                    seen.data = target.clone();
                    builder.add_symlink(&path, attributes, &target)
                }
                Kind::Special(special) => {
                    if let SpecialFile::CharacterDevice { major, minor }
                    | SpecialFile::BlockDevice { major, minor } = special
                    {
                        // stat(2) spreads the numbers over the bits like this.
                        seen.rdev = minor % 256 + major * 256 + minor / 256 * (1 << 20);
                    }
                    builder.add_special(&path, attributes, special)
                }
                Kind::HardLink(index) => {
                    // The same link again is allowed; that has its own test.
                    if model.names.is_empty() || model.seen.contains_key(&path) {
                        continue;
                    }
                    let target = index.get(&model.names.keys().cloned().collect::<Vec<_>>()).clone();
                    seen = model.seen[&target].clone();
                    first_name = target.clone();
                    builder.add_hard_link(&path, &target)
                }
            };
            prop_assert_eq!(result.is_ok(), free, "{:?}", result);
            if free {
                if seen.mode >> 12 != 0o4 {
                    model.names.entry(first_name).or_default().push(path.clone());
                }
                model.insert(&path, seen);
            }
        }
        let expected = model.finish();
        let image = image(builder);
        let volume = Volume::open(&image).unwrap();
        let contents = contents(&volume).unwrap();
        prop_assert_eq!(
            contents.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>()
        );
        for (path, seen) in &expected {
            prop_assert_eq!(&contents[path], seen, "{}", path.escape_ascii());
            let mut inode = volume.root().unwrap();
            for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
                inode = volume.inode(volume.lookup(&inode, name).unwrap().unwrap()).unwrap();
            }
            prop_assert_eq!(inode.mode, seen.mode);
        }
    }

    /// Any part of any file is the same whether it is read as a whole or as a part.
    #[test]
    fn parts_are_parts_of_the_whole(
        seed: u64,
        size in 0..30_000_usize,
        offset in 0..40_000_u64,
        length in 0..40_000_usize,
    ) {
        let data = noise(seed, size);
        let mut builder = Builder::new(TIME);
        builder.add_file(b"/file", common::attributes(0o644), data.clone()).unwrap();
        let image = image(builder);
        let volume = Volume::open(&image).unwrap();
        let inode = common::find(&volume, "file").unwrap().unwrap();
        let start = size.min(offset as usize);
        let expected = &data[start..size.min(start + length)];
        let mut buffer = vec![0; length];
        let done = volume.read_at(&inode, offset, &mut buffer).unwrap();
        prop_assert_eq!(&buffer[..done], expected);
    }
}
