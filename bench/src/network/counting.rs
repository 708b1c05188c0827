//! How many instructions a machine has executed: exactly, by a plugin of QEMU's translator (`bench/programs/count.c`).

use crate::run::{read, write};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Bytes of a record: address, instructions, and how often they were executed.
const RECORD: usize = 24;

/// A QEMU that counts.
#[derive(Clone, Debug)]
pub struct Counting {
    /// What to start in place of QEMU.
    pub program: PathBuf,
    counts: PathBuf,
}

impl Counting {
    /// `plugin` is the compiled plugin; two files beside it are made.
    pub fn new(plugin: &Path) -> Result<Self, String> {
        let program = plugin.with_extension("sh");
        let counts = plugin.with_extension("counts");
        let (plugin, file) = (plugin.display(), counts.display());
        let script =
            format!("#!/bin/sh\nexec qemu-system-x86_64 \"$@\" -plugin {plugin},counts={file}\n");
        write(&program, script.as_bytes())?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
            .map_err(|error| error.to_string())?;
        Ok(Self { program, counts })
    }

    /// Instructions until now.
    pub fn instructions(&self) -> Result<u64, String> {
        total(&read(&self.counts)?)
    }
}

fn total(bytes: &[u8]) -> Result<u64, String> {
    let words = |record: &[u8]| -> Option<[u64; 3]> {
        let word = |at: usize| {
            let bytes = record.get(at..at + 8)?.first_chunk()?;
            Some(u64::from_ne_bytes(*bytes))
        };
        Some([word(0)?, word(8)?, word(16)?])
    };
    let mut records = bytes.chunks(RECORD).map_while(words);
    match records.next() {
        Some([_, _, 0]) => {}
        _ => return Err("not all instructions could be counted".into()),
    }
    Ok(records
        .take_while(|[_, instructions, _]| *instructions != 0)
        .map(|[_, instructions, executed]| instructions * executed)
        .sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_added_up() {
        let records = [[0, 0, 0], [0x1000, 3, 10], [0x2000, 5, 2], [0, 0, 0]];
        let bytes = |records: [[u64; 3]; 4]| -> Vec<u8> {
            let words = records.into_iter().flatten();
            words.flat_map(u64::to_ne_bytes).collect()
        };
        assert_eq!(total(&bytes(records)), Ok(40));
        let mut lost = records;
        lost[0][2] = 1;
        assert!(total(&bytes(lost)).is_err());
        assert!(total(&[]).is_err());
    }
}
