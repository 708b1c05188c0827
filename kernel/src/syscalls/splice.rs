//! Moving bytes between a pipe and another file: `splice(2)`, `tee(2)`, `vmsplice(2)`.

use core::ops::Range;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, MAXIMUM_TRANSFER, OpenFlags};

use super::files;
use crate::fs::file::{OpenFile, Place};
use crate::fs::pipe::{self, Pipe};
use crate::fs::{Mappable, context};
use crate::memory::{Frame, PAGE_SIZE, UserPointer, write_object};

/// `SPLICE_F_NONBLOCK`
const NONBLOCKING: u32 = 2;
/// `SPLICE_F_MOVE`, `SPLICE_F_NONBLOCK`, `SPLICE_F_MORE`, `SPLICE_F_GIFT`. The others are hints.
const FLAGS: u32 = 0xf;

fn is_nonblocking(open: &OpenFile, flags: u32) -> bool {
    flags & NONBLOCKING != 0 || open.flags().contains(OpenFlags::NONBLOCKING)
}

fn place(position: Option<u64>) -> Place {
    position.map_or(Place::Current, Place::At)
}

/// `splice(2)`
pub fn splice(
    input: i32,
    input_offset: UserPointer,
    output: i32,
    output_offset: UserPointer,
    length: usize,
    flags: u32,
) -> Result<usize, Errno> {
    if length == 0 {
        return Ok(0);
    }
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let files = context::current();
    let (input, output) = (files.file(input)?, files.file(output)?);
    input.file()?;
    output.file()?;
    let refused = |open: &OpenFile, offset: UserPointer| !offset.is_null() && pipe::of(open).is_some();
    if refused(&input, input_offset) || refused(&output, output_offset) {
        return Err(Errno::ESPIPE); // pipes have no positions
    }
    let (mut to, mut from) = (files::read_offset(output_offset)?, files::read_offset(input_offset)?);
    let done = between(&input, &mut from, &output, &mut to, length, flags)?;
    if let Some(from) = from {
        write_object(input_offset, &(from as i64))?;
    }
    if let Some(to) = to {
        write_object(output_offset, &(to as i64))?;
    }
    Ok(done)
}

/// Moves bytes from one file to another, one of which is a pipe. Positions that are given move on; without one, that of
/// the open file does.
///
/// # Errors
/// `EBADF`, `EINVAL`, `ESPIPE`, and what the files answer.
pub(super) fn between(
    input: &OpenFile,
    from: &mut Option<u64>,
    output: &OpenFile,
    to: &mut Option<u64>,
    length: usize,
    flags: u32,
) -> Result<usize, Errno> {
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF);
    }
    let length = length.min(MAXIMUM_TRANSFER);
    match (pipe::of(input), pipe::of(output)) {
        (Some(source), Some(target)) => {
            if from.is_some() || to.is_some() {
                return Err(Errno::ESPIPE);
            }
            if core::ptr::eq(&**source, &**target) {
                return Err(Errno::EINVAL);
            }
            let nonblocking = is_nonblocking(input, flags) || is_nonblocking(output, flags);
            source.move_to(target, length, nonblocking)
        }
        (Some(source), None) => {
            if from.is_some() {
                return Err(Errno::ESPIPE);
            }
            if to.is_some() && !output.file()?.seekable() || output.flags().contains(OpenFlags::APPEND) {
                return Err(Errno::EINVAL);
            }
            check_positions(output, *to, length)?;
            if !can_be_target(output) {
                return Err(Errno::EINVAL);
            }
            source.empty(length, is_nonblocking(input, flags), |bytes| {
                let written = output.write(place(*to), bytes)?;
                if let Some(to) = to {
                    *to += written as u64;
                }
                Ok(written)
            })
        }
        (None, Some(target)) => {
            if to.is_some() {
                return Err(Errno::ESPIPE);
            }
            if from.is_some() && !input.file()?.seekable() {
                return Err(Errno::EINVAL);
            }
            check_positions(input, *from, length)?;
            fill(target, input, from, length, is_nonblocking(output, flags))
        }
        (None, None) => Err(Errno::EINVAL),
    }
}

/// Refuses what would go beyond the largest position, before anything is waited for.
fn check_positions(file: &OpenFile, position: Option<u64>, length: usize) -> Result<(), Errno> {
    match file.file()?.has_positions() {
        true => files::check_area(position.unwrap_or_else(|| file.position()), length),
        false => Ok(()),
    }
}

/// Whether data can be given to a file without the program's memory: not to what only descriptors name.
pub(super) fn can_be_target(file: &OpenFile) -> bool {
    !file.inode.metadata().is_typeless && file.file().is_ok_and(|file| !file.is_hung_up())
}

/// Whether a file's data can be taken without the program's memory. That of directories, of what only descriptors name
/// and of the null device can't, and pipes have [`splice`] alone.
pub(super) fn can_be_source(file: &OpenFile) -> bool {
    const NULL: DeviceNumber = DeviceNumber::new(1, 3);
    let metadata = file.inode.metadata();
    let is_null = metadata.kind == FileKind::CharacterDevice && metadata.represents == NULL;
    metadata.kind != FileKind::Directory && !is_null && pipe::of(file).is_none() && can_be_target(file)
}

/// The page of a regular file that holds a position, and the part of it up to a length, if it is in memory.
fn page_at(input: &OpenFile, position: u64, length: usize) -> Option<(Frame, Range<usize>)> {
    if input.inode.kind() != FileKind::Regular {
        return None;
    }
    let file = input.file().ok()?;
    let Ok(Mappable::Object(source)) = file.mappable() else {
        return None;
    };
    let rest = file.size().checked_sub(position).filter(|rest| *rest != 0)?;
    let start = position as usize % PAGE_SIZE;
    let most = length.min(PAGE_SIZE - start);
    let end = start + usize::try_from(rest).map_or(most, |rest| rest.min(most));
    let frame = source.existing(position / PAGE_SIZE as u64, false)?;
    Some((frame, start..end))
}

/// Fills a pipe with what a file has, as far as it goes without waiting again. For nothing it waits for room as well.
///
/// # Errors
/// `EINVAL` for what can't be spliced, `EPIPE`, `EAGAIN`, `EINTR`, and what the file answers.
pub(super) fn fill(
    target: &Pipe,
    input: &OpenFile,
    from: &mut Option<u64>,
    length: usize,
    nonblocking: bool,
) -> Result<usize, Errno> {
    if length == 0 {
        target.await_room(nonblocking)?;
    }
    let mut done = 0;
    while done < length {
        let position = from.unwrap_or_else(|| input.position());
        let nonblocking = nonblocking || done != 0;
        if let Some((frame, part)) = page_at(input, position, length - done) {
            match target.queue_page(frame, part, nonblocking) {
                Ok(queued) => {
                    input.accessed();
                    done += queued;
                    match from {
                        Some(from) => *from += queued as u64,
                        None => input.seek(queued as i64, 1).map(|_| ())?,
                    }
                    continue;
                }
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        // As in Linux's page cache, no piece reaches beyond a page of the file.
        let offset = position as usize % PAGE_SIZE;
        let filled = target.fill(length - done, PAGE_SIZE - offset, nonblocking, |bytes| {
            if !can_be_source(input) {
                return Err(Errno::EINVAL);
            }
            input.read(place(*from), bytes)
        });
        match filled {
            Ok(0) => break,
            Ok(filled) => {
                done += filled;
                if let Some(from) = from {
                    *from += filled as u64;
                }
                // Only files in memory give all that they have at once.
                if input.inode.kind() != FileKind::Regular {
                    break;
                }
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// `tee(2)`
pub fn tee(input: i32, output: i32, length: usize, flags: u32) -> Result<usize, Errno> {
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if length == 0 {
        return Ok(0);
    }
    let files = context::current();
    let (input, output) = (files.file(input)?, files.file(output)?);
    input.file()?;
    output.file()?;
    copy(&input, &output, length, flags)
}

/// Gives one pipe what is in another, which keeps it.
///
/// # Errors
/// `EBADF`, `EINVAL`, and what the pipes answer.
pub(super) fn copy(input: &OpenFile, output: &OpenFile, length: usize, flags: u32) -> Result<usize, Errno> {
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF);
    }
    match (pipe::of(input), pipe::of(output)) {
        (Some(source), Some(target)) if !core::ptr::eq(&**source, &**target) => {
            let nonblocking = is_nonblocking(input, flags) || is_nonblocking(output, flags);
            source.copy_to(target, length, nonblocking)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `vmsplice(2)`. The program's pages are copied, so that it may change them at once.
pub fn vmsplice(fd: i32, slices: UserPointer, count: usize, flags: u32) -> Result<usize, Errno> {
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let open = context::current().file(fd)?;
    if !open.readable() && !open.writable() {
        return Err(Errno::EBADF);
    }
    let pieces = files::pieces(slices, i32::try_from(count).map_err(|_| Errno::EINVAL)?)?;
    if pieces.iter().all(|piece| piece.length == 0) {
        return Ok(0);
    }
    files::transfer_with_pipe(&open, &pieces, flags & NONBLOCKING != 0)
}
