//! What `/proc` tells of mounts.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents};
use pith_linux::mounts::{MountFlags, MountOptions};

use super::{Body, MadeText, Subject, Text};
use crate::fs::context;
use crate::fs::file::File;
use crate::fs::mounts::{self, Mount};
use crate::memory::Destination;
use crate::task::{Process, WaitQueue};

/// `/proc/N/mounts`
pub const MOUNTS: Body = Body::OfThreadFile(|subject| Ok(OpenTable::new(subject, mount_table)));
/// `/proc/N/mountinfo`
pub const MOUNT_INFORMATION: Body = Body::OfThreadFile(|subject| Ok(OpenTable::new(subject, mount_information)));
/// `/proc/N/mountstats`
pub const MOUNT_STATISTICS: Body = Body::OfThreadFile(|subject| Ok(OpenTable::new(subject, mount_statistics)));

/// Writes a table of what a process sees.
type Make = fn(&Process, &mut Text) -> Result<(), Errno>;

/// A table that is open: `poll(2)` tells of each change once.
struct OpenTable {
    process: Arc<Process>,
    make: Make,
    made: MadeText,
    /// Changes until the last look.
    seen: AtomicU32,
}

impl OpenTable {
    fn new(subject: &Subject, make: Make) -> Arc<Self> {
        Arc::new(Self {
            process: subject.process.clone(),
            make,
            made: MadeText::default(),
            seen: AtomicU32::new(mounts::change_count()),
        })
    }
}

impl File for OpenTable {
    fn seekable(&self) -> bool {
        true
    }

    fn read(&self, position: u64, to: &mut Destination<'_>, _flags: OpenFlags) -> Result<usize, Errno> {
        self.made.read(position, to, &|| {
            let mut text = Text::default();
            (self.make)(&self.process, &mut text)?;
            Ok(text)
        })
    }

    fn readiness(&self) -> PollEvents {
        let now = mounts::change_count();
        let mut events = PollEvents::IN | PollEvents::READ_NORMAL;
        if self.seen.swap(now, Ordering::Relaxed) != now {
            events |= PollEvents::ERROR | PollEvents::PRIORITY;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&mounts::CHANGED)
    }
}

/// The mounts that a process sees: those in its root directory, with their points as it knows them.
fn seen_mounts(process: &Process) -> Vec<(Arc<Mount>, String)> {
    let root = context::of(process).root().path().bytes;
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

fn mount_table(process: &Process, text: &mut Text) -> Result<(), Errno> {
    for (mount, point) in seen_mounts(process) {
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

fn mount_statistics(process: &Process, text: &mut Text) -> Result<(), Errno> {
    for (mount, point) in seen_mounts(process) {
        let (source, kind) = (
            shown_word(mount.source.as_bytes()),
            mount.super_block.file_system.type_name(),
        );
        writeln!(text, "device {source} mounted on {point} with fstype {kind}")?;
    }
    Ok(())
}

fn mount_information(process: &Process, text: &mut Text) -> Result<(), Errno> {
    for (mount, point) in seen_mounts(process) {
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
