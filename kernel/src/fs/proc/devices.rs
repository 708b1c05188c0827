//! What `/proc` tells about devices, locks, and parts of the kernel that others would have loaded.

use pith_linux::Errno;

use super::{Entry, Text, constant, text};
use crate::fs::locks;

/// The files of `/proc` about them. A list of what there is none of is empty, as on Linux: disks, modules, and devices
/// with numbers by chance.
pub const DEVICES: [Entry; 7] = [
    constant(
        "devices",
        "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n",
    ),
    constant("diskstats", ""),
    constant("execdomains", "0-0\tLinux           \t[kernel]\n"),
    text("locks", lock_table),
    constant("misc", ""),
    constant("modules", ""),
    constant("partitions", ""),
];

/// `/proc/locks`, as `proc_locks(5)` describes it. A lock of `fcntl` that belongs to a description has -1 for its process.
fn lock_table(text: &mut Text) -> Result<(), Errno> {
    for (index, lock) in locks::all().iter().enumerate() {
        let kind = match (lock.whole, lock.process) {
            (true, _) => "FLOCK ",
            (false, Some(_)) => "POSIX ",
            (false, None) => "OFDLCK",
        };
        let mode = if lock.exclusive { "WRITE" } else { "READ " };
        let process = lock.process.map_or(-1, i64::from);
        let device = pith_linux::files::DeviceNumber::decode(lock.file.0);
        write!(
            text,
            "{}: {kind} ADVISORY  {mode} {process} {:02x}:{:02x}:{} {} ",
            index + 1,
            device.major,
            device.minor,
            lock.file.1,
            lock.range.start
        )?;
        if lock.range.last >= i64::MAX as u64 {
            text.bytes(b"EOF\n")?;
        } else {
            writeln!(text, "{}", lock.range.last)?;
        }
    }
    Ok(())
}
