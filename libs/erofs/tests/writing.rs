//! The writer: what it makes of a tree, and what it refuses.

mod common;

use common::{TIME, attributes, contents, find, image, noise, sample};
use pith_erofs::{
    Attributes, BLOCK_SIZE, BuildError, Builder, Content, DataBlock, FileKind, Output, SpecialFile,
    Timestamp, Volume, WriteError,
};
use std::ops::ControlFlow;

#[test]
fn everything_is_read_back() {
    let image = image(sample());
    let volume = Volume::open(&image).unwrap();
    let contents = contents(&volume).unwrap();

    let tool = &contents[&b"/usr/bin/tool"[..]];
    assert_eq!(tool.mode, 0o100_755);
    assert_eq!(tool.data, noise(1, 10_000));
    assert_eq!(tool.nlink, 3);
    assert_eq!(&contents[&b"/z/link"[..]], tool);
    assert_eq!(&contents[&b"/a/first/link"[..]], tool);

    let odd = &contents[&b"/usr/bin/odd"[..]];
    assert_eq!(odd.mode, 0o104_750);
    assert_eq!(odd.owner, (70_000, 80_000));
    assert_eq!(odd.modified, (-5, 999_999_999));
    assert_eq!(odd.data, noise(2, 4096));

    assert_eq!(contents[&b"/"[..]].nlink, 2 + 9);
    assert_eq!(contents[&b"/usr"[..]].nlink, 3);
    assert_eq!(contents[&b"/usr"[..]].mode, 0o040_755);
    assert_eq!(contents[&b"/usr"[..]].modified, (TIME.seconds, 0));
    assert_eq!(contents[&b"/tmp"[..]].mode, 0o041_777);
    assert_eq!(contents[&b"/etc/nothing"[..]].data, b"");
    assert_eq!(contents[&b"/lib"[..]].data, b"usr/lib");
    assert_eq!(contents[&b"/long"[..]].data, [b'x'; 4095]);
    assert_eq!(contents[&b"/dev/null"[..]].rdev, 0x103);
    assert_eq!(contents[&b"/dev/disk"[..]].rdev, 0xf12a_bc34);
    assert_eq!(contents[&b"/run/pipe"[..]].mode, 0o010_600);
    assert_eq!(contents[&b"/run/socket"[..]].mode, 0o140_600);
    // 9 directories below the root, usr/bin, a/first and the root; 4 files; 42 links; 4 special files.
    assert_eq!(volume.inode_count(), 12 + 4 + 42 + 4);
}

#[test]
fn hard_links_share_an_inode() {
    let image = image(sample());
    let volume = Volume::open(&image).unwrap();
    let nid = |path| find(&volume, path).unwrap().unwrap().nid;
    assert_eq!(nid("/usr/bin/tool"), nid("/z/link"));
    assert_eq!(nid("/usr/bin/tool"), nid("/a/first/link"));
    assert_ne!(nid("/usr/bin/tool"), nid("/usr/bin/odd"));
}

/// The kernel maps file data as it lies in the image, so all of it must start at a block.
#[test]
fn every_page_of_a_regular_file_can_be_mapped() {
    let image = image(sample());
    let volume = Volume::open(&image).unwrap();
    for path in ["/usr/bin/tool", "/usr/bin/odd", "/etc/motd"] {
        let inode = find(&volume, path).unwrap().unwrap();
        for index in 0..inode.size.div_ceil(BLOCK_SIZE) {
            let block = volume.block(&inode, index).unwrap();
            assert!(matches!(block, DataBlock::Whole { .. }), "{path} {index}");
        }
    }
}

#[test]
fn order_of_adding_does_not_matter() {
    let mut forward = Builder::new(TIME);
    let mut backward = Builder::new(TIME);
    let paths: Vec<String> = (0..50)
        .map(|n| format!("/d{}/f{}", n % 7, n * 37))
        .collect();
    let add = |builder: &mut Builder<Vec<u8>>, path: &String| {
        let data = path.clone().into_bytes();
        builder
            .add_file(path.as_bytes(), attributes(0o644), data)
            .unwrap();
    };
    forward.add_directory(b"/d3", attributes(0o711)).unwrap();
    forward.add_hard_link(b"/hard", b"/d1/f37").unwrap();
    paths.iter().for_each(|path| add(&mut forward, path));
    paths.iter().rev().for_each(|path| add(&mut backward, path));
    backward.add_hard_link(b"/hard", b"/d1/f37").unwrap();
    backward.add_directory(b"/d3", attributes(0o711)).unwrap();
    assert!(image(forward) == image(backward));
}

#[test]
fn repeating_a_path_with_the_same_meaning_is_allowed() {
    let mut builder = sample();
    builder
        .add_directory(b"/empty//", attributes(0o700))
        .unwrap();
    builder
        .add_symlink(b"/lib", attributes(0o777), b"usr/lib")
        .unwrap();
    builder.add_hard_link(b"/z/link", b"/a/first/link").unwrap();
    let null = SpecialFile::CharacterDevice { major: 1, minor: 3 };
    builder
        .add_special(b"/dev/null", attributes(0o666), null)
        .unwrap();
    assert!(image(builder) == image(sample()));
}

#[test]
fn conflicts_name_what_is_in_the_way() {
    let mut builder = sample();
    let conflict = |path: &str, existing, new| {
        Err(BuildError::Conflict {
            path: path.into(),
            existing,
            new,
        })
    };
    assert_eq!(
        builder.add_file(b"/lib/x/y", attributes(0o644), Vec::new()),
        conflict("/lib", "a symbolic link", "a directory")
    );
    assert_eq!(
        builder.add_file(b"/lib/x", attributes(0o644), Vec::new()),
        conflict("/lib", "a symbolic link", "a directory")
    );
    assert_eq!(
        builder.add_directory(b"/usr/bin/tool", attributes(0o755)),
        conflict("/usr/bin/tool", "a regular file", "a directory")
    );
    assert_eq!(
        builder.add_file(b"/usr", attributes(0o644), Vec::new()),
        conflict("/usr", "a directory", "a regular file")
    );
    assert_eq!(
        builder.add_file(b"/etc/motd", attributes(0o644), Vec::new()),
        conflict("/etc/motd", "a regular file", "a regular file")
    );
    assert_eq!(
        builder.add_symlink(b"/lib", attributes(0o777), b"lib64"),
        conflict("/lib", "a symbolic link", "a symbolic link")
    );
    assert_eq!(
        builder.add_special(b"/", attributes(0o600), SpecialFile::Fifo),
        conflict("/", "a directory", "a named pipe")
    );
    assert!(matches!(
        builder.add_directory(b"/empty", attributes(0o755)),
        Err(BuildError::Conflict { .. })
    ));
    assert_eq!(builder.kind(b"/lib"), Some(FileKind::Symlink));
    assert_eq!(builder.kind(b"/z/link"), Some(FileKind::Regular));
    assert_eq!(builder.kind(b"/usr/"), Some(FileKind::Directory));
    assert_eq!(builder.kind(b"/usr/none"), None);
    assert!(builder.contains(b"/dev/null"));
    // None of that left a trace.
    assert!(image(builder) == image(sample()));
}

#[test]
fn invalid_input_is_refused() {
    let mut builder = Builder::<Vec<u8>>::new(TIME);
    let long_name = format!("/{}", "n".repeat(256));
    let long_path = "/n".repeat(2048);
    for path in [
        "", "relative", "/a/../b", "/./a", "/a\0b", &long_name, &long_path,
    ] {
        let result = builder.add_directory(path.as_bytes(), attributes(0o755));
        assert!(
            matches!(result, Err(BuildError::InvalidPath { .. })),
            "{path:?}"
        );
    }
    let long_target = [b't'; 4096];
    for target in [&b""[..], b"a\0b", &long_target] {
        let result = builder.add_symlink(b"/link", attributes(0o777), target);
        assert!(matches!(result, Err(BuildError::InvalidAttribute { .. })));
    }
    let large = SpecialFile::BlockDevice {
        major: 0x1000,
        minor: 0,
    };
    assert!(
        builder
            .add_special(b"/device", attributes(0o600), large)
            .is_err()
    );
    assert!(
        builder
            .add_directory(b"/mode", attributes(0o10000))
            .is_err()
    );
    let late = Attributes {
        modified: Timestamp {
            seconds: 0,
            nanoseconds: 1_000_000_000,
        },
        ..attributes(0o755)
    };
    assert!(builder.add_directory(b"/late", late).is_err());
    assert!(Builder::<Vec<u8>>::new(late.modified).layout().is_err());
}

#[test]
fn hard_links_must_lead_to_a_file() {
    let error = |links: &[(&str, &str)]| {
        let mut builder = sample();
        for (path, target) in links {
            builder
                .add_hard_link(path.as_bytes(), target.as_bytes())
                .unwrap();
        }
        builder.layout().err()
    };
    let missing = |path: &str, target: &str| {
        Some(BuildError::MissingLinkTarget {
            path: path.into(),
            target: target.into(),
        })
    };
    assert_eq!(error(&[("/b", "/none")]), missing("/b", "/none"));
    assert_eq!(
        error(&[("/b", "/etc/motd/none")]),
        missing("/b", "/etc/motd/none")
    );
    assert_eq!(error(&[("/b", "/c"), ("/c", "/b")]), missing("/b", "/c"));
    assert_eq!(
        error(&[("/b", "/usr")]),
        Some(BuildError::LinkToDirectory {
            path: "/b".into(),
            target: "/usr".into(),
        })
    );
    assert_eq!(error(&[("/b", "/etc/motd")]), None);
}

/// A content that doesn't keep its word, or fails.
struct Unsteady {
    promised: u64,
    pieces: Vec<usize>,
    fails: bool,
}

impl Content for Unsteady {
    type Error = &'static str;

    fn size(&self) -> u64 {
        self.promised
    }

    fn stream(&self, sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Self::Error> {
        for piece in &self.pieces {
            if sink(&vec![7; *piece]).is_break() {
                return Ok(());
            }
        }
        if self.fails {
            Err("disk on fire")
        } else {
            Ok(())
        }
    }
}

/// An output with room for so many bytes.
struct Full(usize);

impl Output for Full {
    type Error = &'static str;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or("no space left")?;
        Ok(())
    }
}

#[test]
fn data_that_changes_or_fails_is_an_error_that_names_the_file() {
    let write = |promised, pieces: &[usize], fails, room| {
        let mut builder = Builder::new(TIME);
        let content = Unsteady {
            promised,
            pieces: pieces.to_vec(),
            fails,
        };
        builder
            .add_file(b"/data", attributes(0o644), content)
            .unwrap();
        builder.layout().unwrap().write(&mut Full(room))
    };
    let changed = |received| {
        Err(WriteError::SizeChanged {
            path: "/data".into(),
            expected: 5000,
            received,
        })
    };
    assert_eq!(write(5000, &[4000, 1000], false, 12288), Ok(()));
    assert_eq!(write(5000, &[4000, 999], false, 12288), changed(4999));
    assert_eq!(write(5000, &[4000, 1001], false, 12288), changed(5001));
    assert_eq!(write(5000, &[], false, 12288), changed(0));
    assert_eq!(
        write(5000, &[4000], true, 12288),
        Err(WriteError::Content {
            path: "/data".into(),
            error: "disk on fire"
        })
    );
    assert_eq!(
        write(5000, &[4000, 1000], false, 12287),
        Err(WriteError::Output("no space left"))
    );
    assert_eq!(
        write(5000, &[4000, 1000], false, 9000),
        Err(WriteError::Output("no space left"))
    );
}

#[test]
fn sizes_beyond_the_format_are_refused_before_anything_is_written() {
    let mut builder = Builder::new(TIME);
    for name in ["/a", "/b"] {
        let content = Unsteady {
            promised: 9 << 40,
            pieces: Vec::new(),
            fails: false,
        };
        builder
            .add_file(name.as_bytes(), attributes(0o644), content)
            .unwrap();
    }
    assert_eq!(builder.layout().err(), Some(BuildError::TooLarge));
}

#[test]
fn an_empty_image_is_one_block() {
    let image = image(Builder::new(TIME));
    assert_eq!(image.len(), 4096);
    let volume = Volume::open(&image).unwrap();
    assert_eq!(contents(&volume).unwrap().len(), 1);
}

/// Directory sizes around every border of the layout: inline, plain, one block, several blocks.
#[test]
fn directories_of_all_sizes() {
    for count in (0..420).step_by(7).chain([5000]) {
        let mut builder = Builder::new(TIME);
        for number in 0..count {
            let path = format!("/directory/{number:0width$}", width = 5 + number % 40);
            builder
                .add_file(path.as_bytes(), attributes(0o644), Vec::new())
                .unwrap();
        }
        builder
            .add_directory(b"/directory", attributes(0o755))
            .unwrap();
        let image = image(builder);
        let volume = Volume::open(&image).unwrap();
        let directory = find(&volume, "/directory").unwrap().unwrap();
        let names: Vec<_> = volume
            .read_directory(&directory, 0)
            .unwrap()
            .map(|entry| entry.unwrap())
            .collect();
        assert_eq!(names.len(), count + 2);
        assert!(names.is_sorted_by(|a, b| a.name < b.name));
        for entry in &names {
            let found = volume.lookup(&directory, entry.name).unwrap();
            assert_eq!(found, Some(entry.nid));
        }
        for absent in [&b"!"[..], b"00", b"000000", b"zzz", b"", b"...", b"00001\0"] {
            assert_eq!(volume.lookup(&directory, absent).unwrap(), None);
        }
        assert_eq!(contents(&volume).unwrap().len(), count + 2);
    }
}

/// A listing can be interrupted anywhere, and any offset whatever is answered.
#[test]
fn listings_go_on_where_they_stopped() {
    let image = image(sample());
    let volume = Volume::open(&image).unwrap();
    let directory = find(&volume, "/many").unwrap().unwrap();
    let list = |offset| {
        let listing = volume.read_directory(&directory, offset).unwrap();
        listing.map(|entry| entry.unwrap()).collect::<Vec<_>>()
    };
    let all = list(0);
    assert_eq!(all.len(), 42);
    for (index, entry) in all.iter().enumerate() {
        assert_eq!(list(entry.next_offset), all[index + 1..]);
        assert_eq!(list(entry.next_offset - 1), all[index + 1..]);
    }
    assert_eq!(list(u64::MAX), []);
    assert_eq!(list(directory.size), []);
}
