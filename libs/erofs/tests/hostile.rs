//! Images that were damaged, or made to do harm: an error at worst, always and soon.

mod common;
#[path = "../fuzz/subject.rs"]
mod subject;

use common::{
    Scratch, TIME, attributes, contents, expect_success, find, image, noise, sample, tool,
};
use pith_erofs::{Builder, DataBlock, Error, Volume};
use proptest::prelude::*;
use std::sync::LazyLock;
use subject::exercise;

/// Corrects the checksum of a damaged superblock, so that the rest of the damage gets a chance.
/// Bit by bit, so as not to share a mistake with the library.
fn correct_checksum(image: &mut [u8]) {
    if image.len() < 4096 {
        return;
    }
    image[1028..1032].fill(0);
    let mut register = u32::MAX;
    for byte in &image[1024..4096] {
        register ^= u32::from(*byte);
        for _ in 0..8 {
            register = (register >> 1) ^ (0x82f6_3b78 * (register & 1));
        }
    }
    image[1028..1032].copy_from_slice(&register.to_le_bytes());
}

/// A small image with all types of files, directories of one and several blocks.
static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(|| image(sample()));

/// Images of mkfs.erofs, with inline data and with both forms of chunk tables.
static FOREIGN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let scratch = Scratch::new("hostile");
    let tree = scratch.path("tree");
    std::fs::create_dir_all(tree.join("etc")).unwrap();
    std::fs::write(tree.join("etc/motd"), "inline data").unwrap();
    let mut sparse = vec![0; 30_000];
    sparse[10_000..12_000].copy_from_slice(&noise(4, 2000));
    std::fs::write(tree.join("sparse"), sparse).unwrap();
    std::os::unix::fs::symlink("etc/motd", tree.join("link")).unwrap();
    let options: [&[&str]; 3] = [
        &["-Eforce-inode-extended"],
        &["--chunksize=4096"],
        &["--chunksize=4096", "-Eforce-chunk-indexes"],
    ];
    let make = |options: &&[&str]| {
        let file = scratch.text("image");
        let mut arguments = vec!["--quiet", "-x-1"];
        arguments.extend(*options);
        arguments.extend([&*file, tree.to_str().unwrap()]);
        expect_success(&tool("mkfs.erofs", &arguments));
        std::fs::read(&file).unwrap()
    };
    options.iter().map(make).collect()
});

/// One damage to an image.
#[derive(Clone, Debug)]
enum Damage {
    /// Changes bits of a byte.
    Flip(prop::sample::Index, u8),
    /// Overwrites a field, aligned as the format's fields are.
    Field(prop::sample::Index, u64, usize),
    /// Copies bytes to somewhere else.
    Copy(prop::sample::Index, prop::sample::Index, usize),
    /// Cuts the end off.
    Cut(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    let value = prop_oneof![
        Just(0),
        Just(u64::MAX),
        Just(u64::MAX >> 1),
        Just(1 << 31),
        0..200_u64,
        any::<u64>(),
    ];
    let width = prop_oneof![Just(1_usize), Just(2), Just(4), Just(8)];
    prop_oneof![
        8 => (index(), 1..=255_u8).prop_map(|(place, bits)| Damage::Flip(place, bits)),
        8 => (index(), value, width).prop_map(|(place, value, width)| Damage::Field(place, value, width)),
        2 => (index(), index(), 1..200_usize).prop_map(|(from, to, length)| Damage::Copy(from, to, length)),
        1 => index().prop_map(Damage::Cut),
    ]
}

/// Does damage, most of it where the metadata is: the first blocks.
fn apply(image: &mut Vec<u8>, damage: &Damage) {
    if image.len() < 16 {
        return;
    }
    let metadata = image.len().clamp(1040, 3 * 4096).min(image.len());
    let place = |index: &prop::sample::Index| match metadata > 1040 {
        true => 1024 + index.index(metadata - 1024),
        false => index.index(metadata),
    };
    match damage {
        Damage::Flip(index, bits) => image[place(index)] ^= bits,
        Damage::Field(index, value, width) => {
            let start = (place(index) / width * width).min(image.len() - width);
            image[start..start + width].copy_from_slice(&value.to_le_bytes()[..*width]);
        }
        Damage::Copy(from, to, length) => {
            let (from, to) = (place(from), place(to));
            let length = (*length).min(image.len() - from.max(to));
            image.copy_within(from..from + length, to);
        }
        Damage::Cut(index) => image.truncate(index.index(image.len())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_images_do_no_harm(
        base in 0..4_usize,
        damages in prop::collection::vec(damage(), 1..12),
        correct in prop::bool::weighted(0.9),
    ) {
        let mut image = match base {
            0 => SAMPLE.clone(),
            number => FOREIGN[number - 1].clone(),
        };
        for damage in &damages {
            apply(&mut image, damage);
        }
        if correct {
            correct_checksum(&mut image);
        }
        exercise(&image);
    }

    #[test]
    fn bytes_without_sense_do_no_harm(seed: u64, length in 0..20_000_usize) {
        let mut image = noise(seed, length);
        exercise(&image);
        // The same behind a superblock that is fine, up to the root's inode.
        let keep = SAMPLE.len().min(image.len()).min(1024 + 128 + 32);
        image[..keep].copy_from_slice(&SAMPLE[..keep]);
        if image.len() > 4096 {
            let blocks = image.len() as u32 / 4096;
            image[1024 + 0x24..][..4].copy_from_slice(&blocks.to_le_bytes());
        }
        correct_checksum(&mut image);
        exercise(&image);
    }
}

/// The tests above are worth little if damage always ended at the door.
#[test]
fn the_exercise_reaches_everything() {
    assert!(exercise(&SAMPLE) > 2000, "{}", exercise(&SAMPLE));
    for image in &*FOREIGN {
        assert!(exercise(image) > 100, "{}", exercise(image));
    }
    let mut damaged = SAMPLE.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    damaged[3000] ^= 1;
    correct_checksum(&mut damaged);
    assert!(exercise(&damaged) > 1000);
}

#[test]
fn every_truncation_is_noticed() {
    let mut builder = Builder::new(TIME);
    builder
        .add_file(b"/etc/motd", attributes(0o644), b"Hello".to_vec())
        .unwrap();
    builder
        .add_symlink(b"/link", attributes(0o777), b"etc")
        .unwrap();
    let image = image(builder);
    for length in 0..image.len() {
        let error = Volume::open(&image[..length]).unwrap_err();
        assert!(matches!(error, Error::Truncated { available, .. } if available == length as u64));
    }
    assert!(Volume::open(&image).is_ok());
    // More than the file system is fine: something may follow it.
    let longer = [&image[..], &[1; 5000]].concat();
    assert_eq!(Volume::open(&longer).unwrap().image(), image);
}

/// Every single byte of the metadata with one bit flipped, with and without a correct checksum.
#[test]
fn every_byte_can_be_wrong() {
    let mut builder = Builder::new(TIME);
    builder
        .add_file(b"/etc/motd", attributes(0o644), b"Hello".to_vec())
        .unwrap();
    builder
        .add_symlink(b"/link", attributes(0o777), b"etc")
        .unwrap();
    let image = image(builder);
    for place in 1024..1600 {
        for bit in 0..8 {
            let mut damaged = image.clone();
            damaged[place] ^= 1 << bit;
            // Only the bit that says that there is a checksum can't be protected by it.
            let protected = (place, bit) != (1024 + 8, 0);
            assert_eq!(Volume::open(&damaged).is_err(), protected, "{place} {bit}");
            correct_checksum(&mut damaged);
            exercise(&damaged);
        }
    }
}

/// Changes bytes of an inode, or of what belongs to it, in a copy of an image.
fn changed(image: &[u8], offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    image[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    correct_checksum(&mut image);
    image
}

/// Where a directory's record for a name lies, with its nid as the first field.
fn record(image: &[u8], volume: &Volume<'_>, directory: &str, name: &str) -> u64 {
    let directory = find(volume, directory).unwrap().unwrap();
    let mut previous = 0;
    for entry in volume.read_directory(&directory, 0).unwrap() {
        let entry = entry.unwrap();
        if entry.name == name.as_bytes() {
            let bytes = volume.contiguous(&directory, previous).unwrap();
            return bytes.as_ptr() as u64 - image.as_ptr() as u64;
        }
        previous = entry.next_offset;
    }
    panic!("{name} isn't there");
}

fn walk_error(image: &[u8]) -> &'static str {
    match contents(&Volume::open(image).unwrap()) {
        Err(Error::Corrupt { defect, .. }) => defect,
        other => panic!("{other:?}"),
    }
}

#[test]
fn directories_in_a_circle_are_noticed() {
    let mut builder = Builder::new(TIME);
    builder.add_directory(b"/a/b/c", attributes(0o755)).unwrap();
    let image = image(builder);
    let volume = Volume::open(&image).unwrap();
    let nid = |path| find(&volume, path).unwrap().unwrap().nid.to_le_bytes();
    let c = record(&image, &volume, "/a/b", "c");
    for target in ["/", "/a", "/a/b"] {
        let circle = changed(&image, c, &nid(target));
        assert_eq!(walk_error(&circle), "it is in two directories");
        exercise(&circle);
    }
    let dot = record(&image, &volume, "/a", ".");
    let elsewhere = changed(&image, dot, &nid("/a/b/c"));
    assert_eq!(walk_error(&elsewhere), "its . or .. leads elsewhere");
    let outside = changed(&image, c, &(1_u64 << 59).to_le_bytes());
    assert_eq!(walk_error(&outside), "it lies outside of the image");
    // File type 1 is a regular file.
    let disguised = changed(&image, c + 10, &[1]);
    assert_eq!(walk_error(&disguised), "its directory tells another type");
}

#[test]
fn directories_that_share_blocks_are_noticed() {
    let mut builder = Builder::new(TIME);
    for directory in ["/a", "/b", "/c"] {
        for number in 0..1200 {
            let path = format!("{directory}/{number:010}");
            builder.add_hard_link(path.as_bytes(), b"/z").unwrap();
        }
    }
    builder
        .add_file(b"/z", attributes(0o644), Vec::new())
        .unwrap();
    let image = image(builder);
    let volume = Volume::open(&image).unwrap();
    let a = find(&volume, "/a").unwrap().unwrap();
    let b = find(&volume, "/b").unwrap().unwrap();
    let block = image[a.nid as usize * 32 + 16..][..4].to_vec();
    // `.` and `..` of the shared block are those of /a.
    let overlapping = changed(&image, b.nid * 32 + 16, &block);
    assert_eq!(walk_error(&overlapping), "its . or .. leads elsewhere");
}

/// Directories that each claim most of the image, one in the other: each alone would be possible.
#[test]
fn directories_are_not_larger_than_the_image_together() {
    let mut builder = Builder::new(TIME);
    for directory in ["/a", "/a/0", "/a/0/0"] {
        for number in 0..400 {
            let path = format!("{directory}/x{number:010}");
            builder.add_hard_link(path.as_bytes(), b"/z").unwrap();
        }
    }
    builder
        .add_file(b"/z", attributes(0o644), noise(5, 40 * 4096))
        .unwrap();
    let mut image = image(builder);
    let shared = "its data is that of other directories";
    let inodes = ["/a", "/a/0"].map(|path| {
        let volume = Volume::open(&image).unwrap();
        find(&volume, path).unwrap().unwrap()
    });
    for (inode, expected) in inodes.into_iter().zip([false, true]) {
        let size = inode.size as u32 + 35 * 4096;
        image = changed(&image, inode.nid * 32 + 8, &size.to_le_bytes());
        assert_eq!(walk_error(&image) == shared, expected);
    }
    exercise(&image);
}

#[test]
fn huge_sizes_are_refused_at_once() {
    let image = SAMPLE.clone();
    let volume = Volume::open(&image).unwrap();
    let motd = find(&volume, "/etc/motd").unwrap().unwrap();
    let odd = find(&volume, "/usr/bin/odd").unwrap().unwrap();
    for (nid, size) in [
        (motd.nid, u64::from(u32::MAX)),
        (odd.nid, u64::MAX),
        (odd.nid, i64::MAX as u64),
        (odd.nid, 1 << 40),
    ] {
        let width = if nid == motd.nid { 4 } else { 8 };
        let huge = changed(&image, nid * 32 + 8, &size.to_le_bytes()[..width]);
        let volume = Volume::open(&huge).unwrap();
        assert!(matches!(volume.inode(nid), Err(Error::Corrupt { .. })));
    }
    // A first block near the end of what 32 bits can count.
    let far = changed(&image, motd.nid * 32 + 16, &0xffff_fffe_u32.to_le_bytes());
    let volume = Volume::open(&far).unwrap();
    assert!(matches!(volume.inode(motd.nid), Err(Error::Corrupt { .. })));
    // The superblock tells more blocks than there are.
    let large = changed(&image, 1024 + 0x24, &u32::MAX.to_le_bytes());
    assert!(matches!(Volume::open(&large), Err(Error::Truncated { .. })));
    let none = changed(&image, 1024 + 0x24, &[0; 4]);
    assert!(matches!(
        Volume::open(&none),
        Err(Error::InvalidSuperblock(_))
    ));
}

#[test]
fn other_formats_are_told_apart() {
    let image = SAMPLE.clone();
    assert_eq!(Volume::open(&[0; 9000]).unwrap_err(), Error::NotErofs);
    assert!(matches!(Volume::open(&[]), Err(Error::Truncated { .. })));
    let checksum = {
        let mut image = image.clone();
        image[1024 + 0x30] ^= 1;
        image
    };
    assert!(matches!(
        Volume::open(&checksum),
        Err(Error::Checksum { .. })
    ));
    for feature in [2_u32, 8, 16, 32, 128, 256, 1 << 31] {
        let other = changed(&image, 1024 + 0x50, &feature.to_le_bytes());
        assert!(matches!(Volume::open(&other), Err(Error::Unsupported(_))));
    }
    let blocks = changed(&image, 1024 + 0xc, &[9]);
    assert!(matches!(Volume::open(&blocks), Err(Error::Unsupported(_))));
    let motd = Volume::open(&image).and_then(|volume| find(&volume, "/etc/motd"));
    let root_is_a_file = motd.unwrap().unwrap().nid as u16;
    let root = changed(&image, 1024 + 0xe, &root_is_a_file.to_le_bytes());
    assert!(matches!(
        Volume::open(&root),
        Err(Error::NotADirectory { .. })
    ));
}

/// A page that is mapped as it is would show the program whatever lies behind the file's end.
#[test]
fn data_behind_the_end_is_not_shown() {
    let image = SAMPLE.clone();
    let volume = Volume::open(&image).unwrap();
    let inode = find(&volume, "/etc/motd").unwrap().unwrap();
    let Ok(DataBlock::Whole { image_offset }) = volume.block(&inode, 0) else {
        panic!("a regular file has blocks of its own");
    };
    let leaking = changed(&image, image_offset + 4095, &[1]);
    let volume = Volume::open(&leaking).unwrap();
    let block = volume.block(&inode, 0).unwrap();
    assert_eq!(block, DataBlock::Bytes(b"Good morning.\n"));
}

#[test]
fn names_that_could_lead_astray_are_refused() {
    let mut builder = Builder::new(TIME);
    builder
        .add_directory(b"/ab/cdefg", attributes(0o755))
        .unwrap();
    let image = image(builder);
    let volume = Volume::open(&image).unwrap();
    let root = volume.root().unwrap();
    let data = volume.contiguous(&root, 0).unwrap();
    let start = data.as_ptr() as u64 - image.as_ptr() as u64;
    let name = start + data.windows(2).rposition(|bytes| bytes == b"ab").unwrap() as u64;
    for bad in [&b"a/"[..], b"\0b"] {
        let image = changed(&image, name, bad);
        let volume = Volume::open(&image).unwrap();
        let mut entries = volume.read_directory(&volume.root().unwrap(), 0).unwrap();
        assert!(entries.by_ref().any(|entry| entry.is_err()));
        assert!(entries.next().is_none());
    }
    let dots = changed(&image, name, b"..");
    assert_eq!(walk_error(&dots), "its names aren't sorted");
}
