//! How large a file may become.

use pith_linux::Errno;
use pith_linux::signal::Signal;

use super::file::OpenFile;
use super::{proc, system, terminal};
use crate::task::{self, Limits, signal};

/// Largest size of a file: positions are signed.
const MAXIMUM_SIZE: u64 = i64::MAX as u64;
/// The same in file systems that Linux leaves at what calls without large files can tell.
const SMALL_SIZE: u64 = i32::MAX as u64;

fn limit() -> u64 {
    task::try_current().map_or(Limits::INFINITY, |thread| thread.process.limit(Limits::FILE_SIZE))
}

fn exceeded() -> Errno {
    if task::try_current().is_some() {
        signal::raise(Signal::SIGXFSZ);
    }
    Errno::EFBIG
}

/// How many bytes may be written at a position.
///
/// # Errors
/// `EFBIG` if none may be; beyond `RLIMIT_FSIZE` with the signal `SIGXFSZ` (`setrlimit(2)`).
pub fn room_for_write(position: u64) -> Result<u64, Errno> {
    let limit = limit();
    if position >= limit {
        return Err(exceeded());
    }
    match limit.min(MAXIMUM_SIZE).saturating_sub(position) {
        0 => Err(Errno::EFBIG),
        room => Ok(room),
    }
}

/// Whether a file may get a size.
///
/// # Errors
/// As for [`room_for_write`].
pub fn room_for_size(size: u64) -> Result<(), Errno> {
    if size > limit() {
        return Err(exceeded());
    }
    if size > MAXIMUM_SIZE { Err(Errno::EFBIG) } else { Ok(()) }
}

/// How many of `count` bytes at a position may be sent from a file to another (`sendfile(2)`).
///
/// # Errors
/// `EOVERFLOW` if none may, for files of that size are unknown to the file system of one of them.
pub fn room_for_sending(input: &OpenFile, output: &OpenFile, position: u64, count: usize) -> Result<usize, Errno> {
    let small = |file: &OpenFile| {
        let small = [
            proc::PROCESSES.magic,
            system::SYSTEM.magic,
            terminal::file_system::MAGIC,
        ];
        small.contains(&file.inode.statistics().kind)
    };
    if position + count as u64 <= SMALL_SIZE || !small(input) && !small(output) {
        return Ok(count);
    }
    match SMALL_SIZE.saturating_sub(position) {
        0 => Err(Errno::EOVERFLOW),
        room => Ok(room as usize),
    }
}
