//! `/etc/ld.so.cache`: where the dynamic linker of glibc finds libraries by name.
//!
//! The format is glibc's own ("new" format, `glibc-ld.so.cache1.1`, `dl-cache.h`): a header of 48 bytes,
//! entries of 24 bytes, then strings. Offsets of strings count from the start of the header. All integers
//! are in the byte order of the machine.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Magic and version of the new format.
const MAGIC: &[u8; 20] = b"glibc-ld.so.cache1.1";

/// A cache of the old format starts like this; glibc up to 2.31 put the new format behind it.
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";

/// `FLAG_ELF_LIBC6 | FLAG_X8664_LIB64`: a 64-bit x86 library for the C library that is in use since 1997.
const FLAGS_X86_64: u32 = 0x0303;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
struct Header {
    magic: [u8; 20],
    entries: U32,
    strings_length: U32,
    /// 2: little-endian; 0: not said (before glibc 2.33).
    flags: u8,
    padding: [u8; 3],
    extension_offset: U32,
    unused: [U32; 3],
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
struct Entry {
    flags: U32,
    key: U32,
    value: U32,
    os_version: U32,
    /// Not zero: a variant for certain processors (glibc-hwcaps).
    hardware: U64,
}

/// The base entries for x86-64, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct LibraryCache {
    entries: Vec<(OsString, PathBuf)>,
    by_name: HashMap<OsString, usize>,
}

impl LibraryCache {
    /// Reads a cache. An unknown or damaged one counts as empty, as it does for ld.so.
    pub fn parse(bytes: &[u8]) -> Self {
        Self::parse_new(bytes)
            .or_else(|| Self::parse_new(behind_old(bytes)?))
            .unwrap_or_default()
    }

    fn parse_new(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = Header::ref_from_prefix(bytes).ok()?;
        if header.magic != *MAGIC || !matches!(header.flags, 0 | 2) {
            return None;
        }
        let (entries, _) =
            <[Entry]>::ref_from_prefix_with_elems(rest, header.entries.get() as usize).ok()?;
        let text = |offset: U32| {
            let rest = bytes.get(offset.get() as usize..)?;
            let end = rest.iter().position(|&byte| byte == 0)?;
            Some(OsStr::from_bytes(&rest[..end]).to_os_string())
        };
        let mut cache = Self::default();
        for entry in entries {
            // Variants for certain processors are left out: see the module `closure`.
            if entry.flags.get() != FLAGS_X86_64 || entry.hardware.get() != 0 {
                continue;
            }
            let (name, path) = (text(entry.key)?, text(entry.value)?);
            cache
                .by_name
                .entry(name.clone())
                .or_insert(cache.entries.len());
            cache.entries.push((name, path.into()));
        }
        Some(cache)
    }

    /// The path of a library by name.
    pub fn get(&self, name: &OsStr) -> Option<&Path> {
        self.by_name
            .get(name)
            .map(|&index| self.entries[index].1.as_path())
    }

    /// A cache with those entries whose path is `kept`, in the new format.
    ///
    /// Dropping entries keeps the order, on which the binary search of ld.so relies.
    pub fn filtered(&self, mut kept: impl FnMut(&Path) -> bool) -> Vec<u8> {
        let kept: Vec<_> = self.entries.iter().filter(|(_, path)| kept(path)).collect();
        let mut strings = Vec::new();
        let base = size_of::<Header>() + kept.len() * size_of::<Entry>();
        let mut add = |text: &[u8]| {
            let offset = base + strings.len();
            strings.extend_from_slice(text);
            strings.push(0);
            U32::new(offset as u32)
        };
        let entries: Vec<Entry> = kept
            .iter()
            .map(|(name, path)| Entry {
                flags: U32::new(FLAGS_X86_64),
                key: add(name.as_bytes()),
                value: add(path.as_os_str().as_bytes()),
                os_version: U32::ZERO,
                hardware: U64::ZERO,
            })
            .collect();
        let header = Header {
            magic: *MAGIC,
            entries: U32::new(entries.len() as u32),
            strings_length: U32::new(strings.len() as u32),
            flags: 2,
            padding: [0; 3],
            extension_offset: U32::ZERO,
            unused: [U32::ZERO; 3],
        };
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(entries.as_bytes());
        bytes.extend_from_slice(&strings);
        bytes
    }
}

/// The new format behind the old one: header (16 bytes) and entries (12 bytes each), aligned to 8.
fn behind_old(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(OLD_MAGIC)?;
    let count = u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?);
    let end = 16usize.checked_add((count as usize).checked_mul(12)?)?;
    bytes.get(end.checked_next_multiple_of(8)?..)
}

/// Splits a colon-separated list of directories. Semicolons count too, as they do for ld.so.
pub(crate) fn directories(list: &OsStr, separators: &[u8]) -> Vec<OsString> {
    list.as_bytes()
        .split(|byte| separators.contains(byte))
        .map(|part| OsString::from_vec(part.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> LibraryCache {
        let entries = [
            ("libz.so.1", "/lib/libz.so.1"),
            ("libc.so.6", "/usr/lib/libc.so.6"),
        ];
        let mut cache = LibraryCache::default();
        for (name, path) in entries {
            cache.by_name.insert(name.into(), cache.entries.len());
            cache.entries.push((name.into(), path.into()));
        }
        cache
    }

    #[test]
    fn a_written_cache_reads_back() {
        let cache = LibraryCache::parse(&sample().filtered(|_| true));
        assert_eq!(
            cache.get(OsStr::new("libc.so.6")),
            Some(Path::new("/usr/lib/libc.so.6"))
        );
        assert_eq!(cache.entries, sample().entries);
        let one = LibraryCache::parse(&sample().filtered(|path| path.ends_with("libz.so.1")));
        assert_eq!(one.entries.len(), 1);
        assert!(one.get(OsStr::new("libc.so.6")).is_none());
    }

    #[test]
    fn a_damaged_cache_is_empty() {
        let bytes = sample().filtered(|_| true);
        for length in 0..bytes.len() {
            assert!(
                LibraryCache::parse(&bytes[..length]).entries.is_empty(),
                "{length}"
            );
        }
        let mut huge = bytes.clone();
        huge[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(LibraryCache::parse(&huge).entries.is_empty());
        assert!(LibraryCache::parse(b"nonsense").entries.is_empty());
    }

    #[test]
    fn the_new_format_is_found_behind_the_old() {
        let mut bytes = OLD_MAGIC.to_vec();
        bytes.extend_from_slice(&1u32.to_le_bytes());
        bytes.extend_from_slice(&[0; 12]);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let base = bytes.len();
        bytes.extend_from_slice(&sample().filtered(|_| true));
        assert_eq!(base, 32);
        assert_eq!(LibraryCache::parse(&bytes).entries, sample().entries);
    }
}
