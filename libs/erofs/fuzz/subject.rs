//! What is fuzzed: a volume of any bytes.

use pith_erofs::{DataBlock, Error, FileKind, Inode, Volume};

/// Uses a volume in all ways, whatever comes of it. That it ends, without a panic, is the test.
/// Returns the number of calls that worked, so that a test can tell whether it reached anything.
pub fn exercise(image: &[u8]) -> usize {
    let Ok(volume) = Volume::open(image) else {
        return 0;
    };
    let mut worked = 1;
    let _any = volume.walk(|_, inode| {
        worked += exercise_inode(&volume, inode);
        Ok::<(), Error>(())
    });
    // Inodes that no directory leads to, and slots that aren't inodes.
    for nid in (0..image.len() as u64 / 32 + 4).chain([u64::MAX, u64::MAX / 32, 1 << 58, 1 << 63]) {
        if let Ok(inode) = volume.inode(nid) {
            worked += exercise_inode(&volume, &inode);
        }
    }
    worked
}

/// Uses one inode in all ways.
fn exercise_inode(volume: &Volume<'_>, inode: &Inode) -> usize {
    let mut worked = 0;
    let mut buffer = [0; 5000];
    let end = inode.size;
    for offset in [
        0,
        1,
        4095,
        4096,
        70_000,
        end.saturating_sub(1),
        end,
        end / 2,
        u64::MAX,
    ] {
        if let Ok(length) = volume.read_at(inode, offset, &mut buffer) {
            assert!(length as u64 <= end.saturating_sub(offset));
            worked += 1;
        }
        if let Ok(data) = volume.contiguous(inode, offset) {
            assert!(data.len() as u64 <= end.saturating_sub(offset));
            worked += 1;
        }
        if let Ok(block) = volume.block(inode, offset / 4096) {
            match block {
                DataBlock::Whole { image_offset } => {
                    assert!(image_offset % 4096 == 0);
                    assert!(image_offset + 4096 <= volume.image().len() as u64);
                }
                DataBlock::Bytes(bytes) => assert!(bytes.len() <= 4096),
            }
            worked += 1;
        }
    }
    assert_eq!(volume.block(inode, u64::MAX), Ok(DataBlock::Bytes(&[])));
    if let Ok(target) = volume.symlink_target(inode) {
        assert!(inode.kind == FileKind::Symlink && !target.is_empty());
        worked += 1;
    }
    for start in [0, 5, 4090, 4096, end, u64::MAX] {
        let Ok(entries) = volume.read_directory(inode, start) else {
            continue;
        };
        let mut previous = start;
        for entry in entries {
            let Ok(entry) = entry else { break };
            assert!(!entry.name.is_empty() && entry.name.len() <= 255);
            assert!(!entry.name.iter().any(|byte| matches!(byte, 0 | b'/')));
            assert!(entry.next_offset > previous, "a listing must get ahead");
            previous = entry.next_offset;
            worked += 1;
        }
    }
    for name in [&b"."[..], b"..", b"", b"motd", b"\xff\xff", b"n"] {
        worked += usize::from(volume.lookup(inode, name).is_ok());
    }
    worked
}
