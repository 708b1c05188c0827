//! Linux's initial file system: a cpio archive in the `newc` format.
//!
//! The format is described in the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`:
//! for each file 110 bytes of header in hexadecimal digits, the name with a NUL, and the data, both padded to
//! multiples of four bytes.

use std::collections::BTreeSet;

/// What an entry is.
#[derive(Clone, Copy)]
pub enum Entry<'a> {
    /// A directory.
    Directory,
    /// An executable file with these bytes, of 1970.
    Program(&'a [u8]),
    /// The same, changed at this time in seconds since then. Python compiles modules anew whose time is another.
    Dated(&'a [u8], u32),
    /// A character device with its major and minor number.
    Device(u32, u32),
}

/// Packs entries into an archive, in this order; a directory comes before what is in it.
pub fn pack(entries: &[(&str, Entry<'_>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (number, (name, entry)) in (1_u32..).zip(entries) {
        match entry {
            Entry::Directory => append(&mut archive, number, name, 0o040_755, 0, (0, 0), &[]),
            Entry::Program(data) => append(&mut archive, number, name, 0o100_755, 0, (0, 0), data),
            Entry::Dated(data, time) => {
                append(&mut archive, number, name, 0o100_755, *time, (0, 0), data);
            }
            Entry::Device(major, minor) => {
                append(
                    &mut archive,
                    number,
                    name,
                    0o020_600,
                    0,
                    (*major, *minor),
                    &[],
                );
            }
        }
    }
    append(&mut archive, 0, "TRAILER!!!", 0, 0, (0, 0), &[]);
    archive
}

/// Packs files, which may lie in directories, with these empty directories and devices.
pub fn pack_files(
    directories: &[&str],
    devices: &[(&str, Entry<'_>)],
    files: &[(String, Vec<u8>)],
) -> Vec<u8> {
    let files = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), Entry::Program(bytes)));
    pack_below(directories, files.chain(devices.iter().copied()).collect())
}

/// Packs entries, which may lie in directories, with these empty directories.
pub fn pack_below(directories: &[&str], entries: Vec<(&str, Entry<'_>)>) -> Vec<u8> {
    let mut above: BTreeSet<&str> = directories.iter().copied().collect();
    for (name, _) in &entries {
        above.extend(name.match_indices('/').map(|(index, _)| &name[..index]));
    }
    let directories = above.iter().map(|name| (*name, Entry::Directory));
    let all: Vec<(&str, Entry<'_>)> = directories.chain(entries.iter().copied()).collect();
    pack(&all)
}

fn append(
    archive: &mut Vec<u8>,
    inode: u32,
    name: &str,
    mode: u32,
    time: u32,
    device: (u32, u32),
    data: &[u8],
) {
    let fields = [
        inode,
        mode,
        0, // user
        0, // group
        1, // links
        time,
        u32::try_from(data.len()).expect("benchmark programs are small"),
        0, // major and minor number of the device that holds the file
        0,
        device.0,
        device.1,
        u32::try_from(name.len() + 1).expect("names are short"),
        0, // check sum, which this variant of the format does not have
    ];
    archive.extend_from_slice(b"070701");
    for field in fields {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend_from_slice(data);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn entries_are_aligned_and_the_end_is_marked() {
        let archive = pack(&[("a", Entry::Directory), ("a/b", Entry::Program(b"12345"))]);
        assert_eq!(archive.len() % 4, 0);
        assert!(archive.starts_with(b"070701"));
        assert!(archive.windows(11).any(|window| window == b"TRAILER!!!\0"));
    }

    #[test]
    fn busybox_reads_the_archive() {
        let archive = pack(&[
            ("dev", Entry::Directory),
            ("dev/zero", Entry::Device(1, 5)),
            ("init", Entry::Program(b"program")),
        ]);
        // Only where there is a reference to ask.
        let Ok(mut child) = Command::new("/bin/busybox")
            .args(["cpio", "-t"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
        else {
            return;
        };
        let mut input = child.stdin.take().expect("piped");
        input.write_all(&archive).expect("busybox reads");
        drop(input);
        let output = child.wait_with_output().expect("busybox ends");
        assert_eq!(output.stdout, b"dev\ndev/zero\ninit\n");
    }
}
