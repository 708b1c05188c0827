//! The writer against Linux's own tools, and the reader against images that those tools make.

mod common;

use common::{
    Scratch, Seen, TIME, attributes, contents, expect_success, find, image, noise, sample, tool,
};
use pith_erofs::{
    Attributes, BuildError, Builder, DataBlock, Error, ExtendedAttribute, FileKind, Timestamp,
    Volume,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// Lets fsck.erofs check an image and unpack it, and returns what is there then.
fn extract(name: &str, image: &[u8]) -> BTreeMap<Vec<u8>, Seen> {
    let scratch = Scratch::new(name);
    let (file, target) = (scratch.text("image"), scratch.text("target"));
    fs::write(&file, image).unwrap();
    expect_success(&tool("fsck.erofs", &[&file]));
    expect_success(&tool("dump.erofs", &["-s", "-S", &file]));
    let option = format!("--extract={target}");
    expect_success(&tool(
        "fsck.erofs",
        &[&option, "--preserve", "--force", &file],
    ));
    host_contents(Path::new(&target))
}

/// What a directory of the host holds, in the terms of [`contents`].
fn host_contents(root: &Path) -> BTreeMap<Vec<u8>, Seen> {
    let mut contents = BTreeMap::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let data = if kind.is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            Vec::new()
        } else if kind.is_symlink() {
            fs::read_link(&path)
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec()
        } else if kind.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        let is_device = kind.is_char_device() || kind.is_block_device();
        let seen = Seen {
            mode: metadata.mode() as u16,
            owner: (metadata.uid(), metadata.gid()),
            modified: (metadata.mtime(), metadata.mtime_nsec() as u32),
            rdev: if is_device { metadata.rdev() as u32 } else { 0 },
            nlink: metadata.nlink() as u32,
            data,
        };
        let relative = path.strip_prefix(root).unwrap();
        contents.insert([b"/", relative.as_os_str().as_bytes()].concat(), seen);
    }
    contents
}

/// Compares, save for what unpacking loses: fsck.erofs 1.5 knows no hard links, and the file system that
/// it unpacks to may count the links of directories in its own way.
fn assert_same(ours: BTreeMap<Vec<u8>, Seen>, theirs: BTreeMap<Vec<u8>, Seen>) {
    let comparable = |mut contents: BTreeMap<Vec<u8>, Seen>| {
        for seen in contents.values_mut() {
            seen.nlink = 0;
        }
        contents
    };
    let (ours, theirs) = (comparable(ours), comparable(theirs));
    let names = |contents: &BTreeMap<Vec<u8>, Seen>| contents.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for (path, seen) in ours {
        assert!(
            theirs[&path] == seen,
            "{}: {seen:?} differs from {:?}",
            path.escape_ascii(),
            theirs[&path]
        );
    }
}

/// Whether files can be given to others here, without which unpacking keeps no owner and no device.
fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn fsck_accepts_everything() {
    let image = image(sample());
    let scratch = Scratch::new("fsck-accepts");
    let file = scratch.text("image");
    fs::write(&file, &image).unwrap();
    expect_success(&tool("fsck.erofs", &[&file]));
    let dump = tool("dump.erofs", &["-s", &file]);
    expect_success(&dump);
    let text = String::from_utf8(dump.stdout).unwrap();
    assert!(text.contains("sb_csum mtime"), "{text}");
    assert!(
        text.contains("Filesystem inode count:                       62"),
        "{text}"
    );
}

#[test]
fn fsck_extracts_what_was_put_in() {
    if is_root() {
        let image = image(sample());
        let volume = Volume::open(&image).unwrap();
        let mut ours = contents(&volume).unwrap();
        for seen in ours.values_mut().filter(|seen| seen.mode >> 12 != 0o4) {
            // Unpacking sets the mode before the owner, which clears these bits (chown(2)).
            seen.mode &= !0o6000;
        }
        assert_same(ours, extract("extract-sample", &image));
    }
    // What an ordinary user can unpack as well.
    let metadata = fs::metadata("/proc/self").unwrap();
    let mine = Attributes {
        uid: metadata.uid(),
        gid: metadata.gid(),
        ..attributes(0o755)
    };
    let mut builder = Builder::new(TIME);
    for path in ["/", "/bin", "/large"] {
        builder.add_directory(path.as_bytes(), mine).unwrap();
    }
    builder
        .add_file(b"/bin/large", mine, noise(3, 3_000_001))
        .unwrap();
    for number in 0..5000 {
        let path = format!("/large/{number}");
        builder
            .add_file(path.as_bytes(), mine, vec![number as u8; number % 50])
            .unwrap();
    }
    let image = image(builder);
    let volume = Volume::open(&image).unwrap();
    assert_same(contents(&volume).unwrap(), extract("extract-large", &image));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Random trees, unpacked by fsck.erofs.
    #[test]
    fn fsck_extracts_random_trees(
        files in prop::collection::btree_map("[a-d]{1,2}(/[a-z]{1,60}){0,3}/f[a-z.]{0,40}", 0..20_000_usize, 1..60),
        links in prop::collection::btree_map("[a-d]{1,2}/l[a-z]{0,200}", "[a-z/.]{1,500}", 0..40),
        seed: u64,
        seconds in 0..2_000_000_000_i64,
    ) {
        let metadata = fs::metadata("/proc/self").unwrap();
        let mine = |number: usize| Attributes {
            permissions: 0o700 | (number % 64) as u16,
            uid: metadata.uid(),
            gid: metadata.gid(),
            modified: Timestamp { seconds: seconds + (number % 3) as i64, nanoseconds: 5 },
        };
        let mut builder = Builder::new(TIME);
        for (path, size) in &files {
            let path = format!("/{path}");
            let data = noise(seed ^ *size as u64, *size);
            // A path through another file is refused, and has no part in the image.
            let _conflict = builder.add_file(path.as_bytes(), mine(*size), data);
        }
        for (path, target) in &links {
            let path = format!("/{path}");
            let _conflict = builder.add_symlink(path.as_bytes(), mine(0o77), target.as_bytes());
        }
        if is_root() {
            let image = image(builder);
            let volume = Volume::open(&image).unwrap();
            assert_same(contents(&volume).unwrap(), extract("extract-random", &image));
        } else {
            let scratch = Scratch::new("fsck-random");
            let file = scratch.text("image");
            fs::write(&file, image(builder)).unwrap();
            expect_success(&tool("fsck.erofs", &[&file]));
        }
    }
}

/// A directory of the host with files around every border of the format.
fn host_tree(root: &Path) {
    let modes =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    fs::DirBuilder::new()
        .mode(0o755)
        .recursive(true)
        .create(root.join("a/b/c"))
        .unwrap();
    fs::create_dir(root.join("many")).unwrap();
    for size in [
        0, 1, 100, 4000, 4032, 4064, 4095, 4096, 4097, 8192, 9000, 70_000,
    ] {
        fs::write(root.join(format!("a/size{size}")), noise(size as u64, size)).unwrap();
    }
    modes(&root.join("a/size1"), 0o4711);
    modes(&root.join("a/b"), 0o1777);
    for number in 0..1500 {
        fs::write(
            root.join(format!("many/file-with-a-name-{number}")),
            format!("{number}"),
        )
        .unwrap();
    }
    symlink("b/c", root.join("a/link")).unwrap();
    symlink("t".repeat(4090), root.join("a/long")).unwrap();
    fs::hard_link(root.join("a/size9000"), root.join("many/hard")).unwrap();
    let mut sparse = vec![0; 300_000];
    sparse[200_000..200_100].fill(1);
    fs::write(root.join("sparse"), sparse).unwrap();
}

#[test]
fn images_of_mkfs_are_read() {
    let scratch = Scratch::new("mkfs");
    let tree = scratch.path("tree");
    fs::create_dir(&tree).unwrap();
    host_tree(&tree);
    let expected = host_contents(&tree);
    let options: [&[&str]; 6] = [
        &[],
        &["-Eforce-inode-compact", "-T1600000000"],
        &["-Eforce-inode-extended"],
        &["-Enoinline_data"],
        &["--chunksize=4096"],
        &["--chunksize=65536", "-Eforce-chunk-indexes"],
    ];
    for options in options {
        let file = scratch.text("image");
        let mut arguments = vec!["--quiet", "-x-1"];
        arguments.extend(options);
        let tree = tree.to_str().unwrap();
        arguments.extend([&*file, tree]);
        expect_success(&tool("mkfs.erofs", &arguments));
        let image = fs::read(&file).unwrap();
        let volume = Volume::open(&image).unwrap();
        let chunked = options
            .iter()
            .any(|option| option.starts_with("--chunksize"));
        assert_eq!(image[1024 + 0x50] & 4 != 0, chunked);
        let mut expected = expected.clone();
        let mut ours = contents(&volume).unwrap();
        if options.contains(&"-Eforce-inode-compact") {
            // That is what the option is for: one time for all.
            ours.values_mut().for_each(|seen| seen.modified = (0, 0));
            expected
                .values_mut()
                .for_each(|seen| seen.modified = (0, 0));
        }
        assert_same(ours, expected);
        let hard = find(&volume, "many/hard").unwrap().unwrap();
        assert_eq!(hard.nlink, 2);
        assert_eq!(hard, find(&volume, "a/size9000").unwrap().unwrap());
    }
}

/// Extended attributes lie between an inode and its inline data.
#[test]
fn extended_attributes_are_skipped() {
    let scratch = Scratch::new("attributes");
    let tree = scratch.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "inline data").unwrap();
    fs::write(tree.join("other"), "more of it").unwrap();
    let contexts = scratch.text("contexts");
    fs::write(&contexts, "/.* user:role:type_with_a_name:s0\n").unwrap();
    let file = scratch.text("image");
    let option = format!("--file-contexts={contexts}");
    let tree_text = tree.to_str().unwrap();
    expect_success(&tool("mkfs.erofs", &["--quiet", &option, &file, tree_text]));
    let image = fs::read(&file).unwrap();
    let label = b"user:role:type_with_a_name:s0";
    assert!(image.windows(label.len()).any(|window| window == label));
    let volume = Volume::open(&image).unwrap();
    assert_same(contents(&volume).unwrap(), host_contents(&tree));
}

/// Those of each file for itself are read.
#[test]
fn extended_attributes_of_mkfs_are_read() {
    let scratch = Scratch::new("own-attributes");
    let tree = scratch.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "inline data").unwrap();
    let contexts = scratch.text("contexts");
    fs::write(&contexts, "/.* user:role:type:s0\n").unwrap();
    let file = scratch.text("image");
    let option = format!("--file-contexts={contexts}");
    let tree_text = tree.to_str().unwrap();
    let arguments = ["--quiet", "-x", "100", &option, &file, tree_text];
    expect_success(&tool("mkfs.erofs", &arguments));
    let image = fs::read(&file).unwrap();
    let volume = Volume::open(&image).unwrap();
    let inode = find(&volume, "file").unwrap().unwrap();
    let found: Vec<_> = volume.extended_attributes(&inode).unwrap().collect();
    assert_eq!(
        found,
        [Ok(ExtendedAttribute {
            prefix: b"security.",
            name: b"selinux",
            value: b"user:role:type:s0",
        })]
    );
}

#[test]
fn extended_attributes_are_written() {
    let mut builder = Builder::new(TIME);
    let large = noise(7, 3900);
    let of_file: [(&[u8], &[u8]); 3] = [
        (b"user.z", b"the last"),
        (b"security.capability", &[1, 2, 3]),
        (b"user.empty", b""),
    ];
    let of_link: [(&[u8], &[u8]); 1] = [(b"trusted.large", &large)];
    builder
        .add_file(b"/file", attributes(0o644), noise(1, 5000))
        .unwrap();
    builder
        .add_symlink(b"/link", attributes(0o777), &[b't'; 500])
        .unwrap();
    builder.add_hard_link(b"/also", b"/file").unwrap();
    builder.set_extended_attributes(b"/also", &of_file).unwrap();
    builder.set_extended_attributes(b"/link", &of_link).unwrap();
    let too_large = noise(7, 4033);
    for refused in [
        (&b"other.x"[..], &b""[..]),
        (b"user.", b""),
        (b"user.x", &too_large),
    ] {
        assert!(matches!(
            builder.set_extended_attributes(b"/file", &[refused]),
            Err(BuildError::InvalidAttribute { .. })
        ));
    }
    assert!(builder.set_extended_attributes(b"/none", &[]).is_err());

    let image = image(builder);
    let scratch = Scratch::new("written-attributes");
    let file = scratch.text("image");
    fs::write(&file, &image).unwrap();
    expect_success(&tool("fsck.erofs", &[&file]));
    let volume = Volume::open(&image).unwrap();
    let read = |path: &str| -> Vec<(Vec<u8>, Vec<u8>)> {
        let inode = find(&volume, path).unwrap().unwrap();
        let all = volume.extended_attributes(&inode).unwrap();
        all.map(|one| one.unwrap())
            .map(|one| ([one.prefix, one.name].concat(), one.value.to_vec()))
            .collect()
    };
    let sorted = [of_file[1], of_file[2], of_file[0]];
    let owned = |all: &[(&[u8], &[u8])]| -> Vec<(Vec<u8>, Vec<u8>)> {
        all.iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect()
    };
    assert_eq!(read("file"), owned(&sorted));
    assert_eq!(read("also"), owned(&sorted));
    assert_eq!(read("link"), owned(&of_link));
    assert_eq!(read("."), []);
    let contents = contents(&volume).unwrap();
    assert_eq!(contents[&b"/file"[..]].data, noise(1, 5000));
    assert_eq!(contents[&b"/link"[..]].data, [b't'; 500]);
}

#[test]
fn inline_data_and_holes_are_not_pages_to_map() {
    let scratch = Scratch::new("blocks");
    let tree = scratch.path("tree");
    fs::create_dir(&tree).unwrap();
    host_tree(&tree);
    let file = scratch.text("image");
    let tree = tree.to_str().unwrap();
    expect_success(&tool("mkfs.erofs", &["--quiet", "-x-1", &file, tree]));
    let image = fs::read(&file).unwrap();
    let volume = Volume::open(&image).unwrap();
    let inode = find(&volume, "a/size4097").unwrap().unwrap();
    assert!(matches!(
        volume.block(&inode, 0),
        Ok(DataBlock::Whole { .. })
    ));
    let tail = noise(4097, 4097)[4096];
    assert_eq!(volume.block(&inode, 1), Ok(DataBlock::Bytes(&[tail])));
    assert_eq!(volume.block(&inode, 2), Ok(DataBlock::Bytes(&[])));
    assert_eq!(volume.block(&inode, u64::MAX), Ok(DataBlock::Bytes(&[])));
}

#[test]
fn compression_is_refused_by_name() {
    let scratch = Scratch::new("compressed");
    let tree = scratch.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), vec![b'z'; 100_000]).unwrap();
    let file = scratch.text("image");
    let tree = tree.to_str().unwrap();
    expect_success(&tool(
        "mkfs.erofs",
        &["--quiet", "-x-1", "-zlz4", &file, tree],
    ));
    let image = fs::read(&file).unwrap();
    let volume = Volume::open(&image);
    let result = volume.and_then(|volume| find(&volume, "file"));
    assert!(matches!(result, Err(Error::Unsupported(_))), "{result:?}");
}

#[test]
fn kinds_of_mkfs_are_ours() {
    let scratch = Scratch::new("kinds");
    let tree = scratch.path("tree");
    fs::create_dir(&tree).unwrap();
    let fifo = tree.join("fifo");
    let output = tool("mkfifo", &[fifo.to_str().unwrap()]);
    assert!(output.status.success());
    drop(std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap());
    let file = scratch.text("image");
    expect_success(&tool(
        "mkfs.erofs",
        &["--quiet", "-x-1", &file, tree.to_str().unwrap()],
    ));
    let image = fs::read(&file).unwrap();
    let volume = Volume::open(&image).unwrap();
    let root = volume.root().unwrap();
    let kinds: Vec<_> = volume
        .read_directory(&root, 0)
        .unwrap()
        .map(|entry| entry.unwrap().kind.unwrap())
        .collect();
    use FileKind::{Directory, Fifo, Socket};
    assert_eq!(kinds, [Directory, Directory, Fifo, Socket]);
}
