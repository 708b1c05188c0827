//! What `/proc` tells of mounts.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use pith_linux::Errno;
use pith_linux::mounts::{MountFlags, MountOptions};

use super::{Subject, Text};
use crate::fs::context;
use crate::fs::mounts::{self, Mount};

/// The mounts that a process sees: those in its root directory, with their points as it knows them.
fn seen_mounts(subject: &Subject) -> Vec<(Arc<Mount>, String)> {
    let root = context::of(&subject.process).root().path().bytes;
    let seen = mounts::list().into_iter().filter_map(|mount| {
        let point = mount.path();
        let rest = match (&root[..], &point[..]) {
            (b"/", point) => point,
            (root, point) => match point.strip_prefix(root)? {
                b"" => b"/",
                rest if rest.starts_with(b"/") => rest,
                _ => return None,
            },
        };
        let shown = shown_word(rest);
        Some((mount, shown))
    });
    seen.collect()
}

/// A word of a table whose columns are parted by blanks: what would break it is shown as a number.
fn shown_word(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for part in bytes.utf8_chunks() {
        for letter in part.valid().chars() {
            let _ = match letter {
                ' ' | '\t' | '\n' | '\\' | '#' => fmt::write(&mut shown, format_args!("\\{:03o}", u32::from(letter))),
                letter => fmt::Write::write_char(&mut shown, letter),
            };
        }
        if !part.invalid().is_empty() {
            shown.push(char::REPLACEMENT_CHARACTER);
        }
    }
    shown
}

/// Whether something can be written.
fn access_word(read_only: bool) -> &'static str {
    if read_only { "ro" } else { "rw" }
}

/// `/proc/N/mounts`
pub fn mount_table(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    for (mount, point) in seen_mounts(subject) {
        let (options, super_block) = (mount.options(), &mount.super_block);
        writeln!(
            text,
            "{} {point} {} {}{}{}{} 0 0",
            shown_word(mount.source.as_bytes()),
            super_block.file_system.type_name(),
            access_word(options.contains(MountOptions::READ_ONLY)),
            super_block.flags().words(),
            options.words(),
            super_block.settings()
        )?;
    }
    Ok(())
}

/// `/proc/N/mountstats`
pub fn mount_statistics(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    for (mount, point) in seen_mounts(subject) {
        let (source, kind) = (
            shown_word(mount.source.as_bytes()),
            mount.super_block.file_system.type_name(),
        );
        writeln!(text, "device {source} mounted on {point} with fstype {kind}")?;
    }
    Ok(())
}

/// `/proc/N/mountinfo`
pub fn mount_information(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    for (mount, point) in seen_mounts(subject) {
        let (options, super_block) = (mount.own_options(), &mount.super_block);
        let (device, flags) = (super_block.file_system.device(), super_block.flags());
        writeln!(
            text,
            "{} {} {}:{} {} {point} {}{}{} - {} {} {}{}{}",
            mount.number,
            mount.mount_above().map_or(0, |above| above.number),
            device.major,
            device.minor,
            shown_word(&mount.part()),
            access_word(options.contains(MountOptions::READ_ONLY)),
            options.words(),
            if mount.is_unbindable() { " unbindable" } else { "" },
            super_block.file_system.type_name(),
            shown_word(mount.source.as_bytes()),
            access_word(flags.contains(MountFlags::READ_ONLY)),
            flags.words(),
            super_block.settings()
        )?;
    }
    Ok(())
}
