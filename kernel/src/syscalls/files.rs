//! Reading and writing: `read(2)`, `write(2)` and their relatives.

use alloc::vec::Vec;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{
    AT_FDCWD, DIRENT_HEADER, IoVector, MAXIMUM_PIECES, MAXIMUM_TRANSFER, OLD_DIRENT_HEADER, OpenFlags, PATH_MAX,
    dirent_header, dirent_length, old_dirent_length,
};
use pith_linux::inotify::FileEvents;
use zerocopy::FromBytes;

use crate::fs::file::{FlagChange, ListedEntry, OpenFile, Place};
use crate::fs::inode::Inode;
use crate::fs::leases::{self, Openers};
use crate::fs::metadata::entry_kind;
use crate::fs::permission::{self, Access};
use crate::fs::{context, notify, pipe};
use crate::memory::{
    Destination, IoSlice, Source, UserPointer, copy_from_user, copy_to_user, read_object, read_string, write_object,
};
use crate::task::{self, READ, WRITTEN};

/// Refuses a range that reaches beyond the lower half of the address space, before anything is moved.
fn check_range(address: u64, length: usize) -> Result<(), Errno> {
    match address.checked_add(length as u64) {
        Some(end) if i64::try_from(end).is_ok() => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// One piece of memory for a call that takes just one.
pub(super) fn one_piece(buffer: UserPointer, count: usize) -> Result<[IoSlice; 1], Errno> {
    check_range(buffer.0, count)?;
    Ok([IoSlice {
        address: buffer.0,
        length: count.min(MAXIMUM_TRANSFER),
    }])
}

fn position(offset: i64) -> Result<Place, Errno> {
    u64::try_from(offset).map(Place::At).map_err(|_| Errno::EINVAL)
}

/// The pieces of memory of `readv(2)`: at most 1024, and no more bytes than one call moves.
pub(super) fn pieces(slices: UserPointer, count: i32) -> Result<Vec<IoSlice>, Errno> {
    /// How many are read at once: more than most calls have.
    const AT_ONCE: usize = 4;
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= MAXIMUM_PIECES)
        .ok_or(Errno::EINVAL)?;
    let mut bytes = [0; AT_ONCE * 16];
    let mut pieces = Vec::new();
    pieces.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    let mut room = MAXIMUM_TRANSFER;
    let mut address = slices;
    while pieces.len() < count {
        let part = &mut bytes[..(count - pieces.len()).min(AT_ONCE) * 16];
        copy_from_user(part, address)?;
        address = address.offset(part.len() as u64);
        for chunk in part.chunks_exact(16) {
            let vector = IoVector::read_from_bytes(chunk).map_err(|_| Errno::EFAULT)?;
            let length = usize::try_from(vector.length)
                .ok()
                .filter(|length| isize::try_from(*length).is_ok());
            let length = length.ok_or(Errno::EINVAL)?;
            check_range(vector.address, length)?;
            let length = length.min(room);
            room -= length;
            pieces.push(IoSlice {
                address: vector.address,
                length,
            });
        }
    }
    Ok(pieces)
}

/// Counts a call that has read or written, for `/proc/self/io`.
fn counted(half: usize, moved: Result<usize, Errno>) -> Result<usize, Errno> {
    task::current().transfers.count(half, moved.unwrap_or(0));
    moved
}

fn read_pieces(file: &OpenFile, place: Place, pieces: &[IoSlice]) -> Result<usize, Errno> {
    counted(READ, file.read(place, &mut Destination::program(pieces)))
}

fn write_pieces(file: &OpenFile, place: Place, pieces: &[IoSlice]) -> Result<usize, Errno> {
    counted(WRITTEN, file.write(place, &mut Source::program(pieces)))
}

/// Moves memory of the program into a pipe, or out of it if the descriptor is for reading (`vmsplice(2)`). Whether that
/// waits is told with the call alone.
pub(super) fn transfer_with_pipe(open: &OpenFile, pieces: &[IoSlice], nonblocking: bool) -> Result<usize, Errno> {
    let pipe = pipe::of(open).ok_or(Errno::EBADF)?;
    if open.writable() {
        pipe.write(&mut Source::program(pieces), nonblocking, pipe::Layout::Pages)
    } else {
        pipe.read(&mut Destination::program(pieces), nonblocking, false)
    }
}

/// `read(2)`
pub fn read(fd: i32, buffer: UserPointer, count: usize) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    read_pieces(&file, Place::Current, &one_piece(buffer, count)?)
}

/// `write(2)`
pub fn write(fd: i32, buffer: UserPointer, count: usize) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    write_pieces(&file, Place::Current, &one_piece(buffer, count)?)
}

/// `pread(2)`
pub fn pread64(fd: i32, buffer: UserPointer, count: usize, offset: i64) -> Result<usize, Errno> {
    let place = position(offset)?;
    let file = context::current().file(fd)?;
    read_pieces(&file, place, &one_piece(buffer, count)?)
}

/// `pwrite(2)`
pub fn pwrite64(fd: i32, buffer: UserPointer, count: usize, offset: i64) -> Result<usize, Errno> {
    let place = position(offset)?;
    let file = context::current().file(fd)?;
    write_pieces(&file, place, &one_piece(buffer, count)?)
}

/// `RWF_HIPRI` of `preadv2(2)`.
const HIGH_PRIORITY: i32 = 1;

/// Reads into several pieces of memory. What can't be read at all is refused before the pieces are looked at, and nothing
/// is done for pieces without a byte.
fn read_vector(fd: i32, place: Place, slices: UserPointer, count: i32, flags: i32) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    let done = read_vector_of(&file, place, slices, count, flags)?;
    tell_of_nothing(&file, done, FileEvents::ACCESS);
    Ok(done)
}

/// As on Linux, those who watch a file hear of several pieces even if nothing is moved.
fn tell_of_nothing(file: &OpenFile, moved: usize, event: FileEvents) {
    if moved == 0 && notify::anybody() {
        notify::happened(&*file.inode, event);
    }
}

fn read_vector_of(file: &OpenFile, place: Place, slices: UserPointer, count: i32, flags: i32) -> Result<usize, Errno> {
    file.check_readable(place)?;
    let pieces = pieces(slices, count)?;
    let mut to = Destination::program(&pieces);
    if to.remaining() == 0 {
        return Ok(0);
    }
    match place {
        Place::At(position) => check_area(position, to.remaining())?,
        Place::Current if file.file()?.has_positions() => check_area(file.position(), to.remaining())?,
        Place::Current => {}
    }
    if !file.file()?.scatters() || file.inode.kind() == FileKind::Directory {
        return apart(&pieces, flags, |piece| read_pieces(file, place, piece));
    }
    counted(READ, file.read_with(place, &mut to, transfer_with(file, flags)?))
}

/// As [`read_vector`], for writing.
fn write_vector(fd: i32, place: Place, slices: UserPointer, count: i32, flags: i32) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    let done = write_vector_of(&file, place, slices, count, flags)?;
    tell_of_nothing(&file, done, FileEvents::MODIFY);
    Ok(done)
}

fn write_vector_of(file: &OpenFile, place: Place, slices: UserPointer, count: i32, flags: i32) -> Result<usize, Errno> {
    file.check_writable(place)?;
    let pieces = pieces(slices, count)?;
    let mut from = Source::program(&pieces);
    if from.remaining() == 0 {
        return Ok(0);
    }
    if let Place::At(position) = place {
        check_area(position, from.remaining())?;
    }
    if !file.file()?.gathers() {
        return apart(&pieces, flags, |piece| write_pieces(file, place, piece));
    }
    counted(WRITTEN, file.write_with(place, &mut from, transfer_with(file, flags)?))
}

/// Moves pieces one after the other, until one is not moved as a whole.
fn apart(
    pieces: &[IoSlice],
    flags: i32,
    transfer: impl Fn(&[IoSlice]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    if flags & !HIGH_PRIORITY != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut done = 0;
    for piece in pieces {
        match transfer(core::slice::from_ref(piece)) {
            Ok(moved) => {
                done += moved;
                if moved < piece.length {
                    break;
                }
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// `readv(2)`
pub fn readv(fd: i32, slices: UserPointer, count: i32) -> Result<usize, Errno> {
    read_vector(fd, Place::Current, slices, count, 0)
}

/// `writev(2)`
pub fn writev(fd: i32, slices: UserPointer, count: i32) -> Result<usize, Errno> {
    write_vector(fd, Place::Current, slices, count, 0)
}

/// `preadv(2)`
pub fn preadv(fd: i32, slices: UserPointer, count: i32, offset: i64) -> Result<usize, Errno> {
    read_vector(fd, position(offset)?, slices, count, 0)
}

/// `pwritev(2)`
pub fn pwritev(fd: i32, slices: UserPointer, count: i32, offset: i64) -> Result<usize, Errno> {
    write_vector(fd, position(offset)?, slices, count, 0)
}

/// What the flags of `preadv2(2)` (`RWF_…`) change of those of the open file. `RWF_HIPRI`, and for files in memory
/// `RWF_DSYNC` and `RWF_SYNC` too, only say how fast or safe something should be.
///
/// # Errors
/// `EOPNOTSUPP`, and `EINVAL` for `RWF_APPEND` together with `RWF_NOAPPEND`.
pub(super) fn transfer_flags(flags: i32) -> Result<FlagChange, Errno> {
    const HARMLESS: i32 = HIGH_PRIORITY | 2 | 4;
    const NOWAIT: i32 = 8;
    const APPEND: i32 = 16;
    const NO_APPEND: i32 = 32;
    // `RWF_ATOMIC` and `RWF_DONTCACHE`: known, but files in memory have neither.
    const REFUSED: i32 = 64 | 128;
    if flags & !(HARMLESS | NOWAIT | APPEND | NO_APPEND | REFUSED) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if flags & (APPEND | NO_APPEND) == APPEND | NO_APPEND {
        return Err(Errno::EINVAL);
    }
    if flags & REFUSED != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut change = FlagChange::default();
    change.more.set(OpenFlags::NONBLOCKING, flags & NOWAIT != 0);
    change.more.set(OpenFlags::APPEND, flags & APPEND != 0);
    change.less.set(OpenFlags::APPEND, flags & NO_APPEND != 0);
    Ok(change)
}

/// As [`transfer_flags`], for a file: some can't be asked not to wait.
fn transfer_with(file: &OpenFile, flags: i32) -> Result<FlagChange, Errno> {
    let change = transfer_flags(flags)?;
    if change.more.contains(OpenFlags::NONBLOCKING) && !file.file()?.takes_nowait() {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok(change)
}

fn place_or_current(offset: i64) -> Result<Place, Errno> {
    if offset == -1 {
        Ok(Place::Current)
    } else {
        position(offset)
    }
}

/// `preadv2(2)`; the upper half of the offset exists on 32-bit machines only.
pub fn preadv2(fd: i32, slices: UserPointer, count: i32, low: i64, _high: i64, flags: i32) -> Result<usize, Errno> {
    read_vector(fd, place_or_current(low)?, slices, count, flags)
}

/// `pwritev2(2)`
pub fn pwritev2(fd: i32, slices: UserPointer, count: i32, low: i64, _high: i64, flags: i32) -> Result<usize, Errno> {
    write_vector(fd, place_or_current(low)?, slices, count, flags)
}

/// `lseek(2)`
pub fn lseek(fd: i32, offset: i64, whence: i32) -> Result<usize, Errno> {
    context::current()
        .file(fd)?
        .seek(offset, whence)
        .map(|position| position as usize)
}

/// Bytes that are moved between two files at a time.
const COPY_PIECE: usize = 64 * 1024;

/// Moves bytes from one file to another. `input_place` and `output_place` are positions that move on.
fn copy_between(
    input: &OpenFile,
    mut input_place: Option<&mut u64>,
    output: &OpenFile,
    mut output_place: Option<&mut u64>,
    count: usize,
) -> Result<usize, Errno> {
    let place = |position: &Option<&mut u64>| position.as_deref().map_or(Place::Current, |at| Place::At(*at));
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(COPY_PIECE.min(count))
        .map_err(|_| Errno::ENOMEM)?;
    buffer.resize(COPY_PIECE.min(count), 0);
    let mut done = 0;
    while done < count {
        let wanted = (count - done).min(buffer.len());
        let length = match input.read(place(&input_place), &mut Destination::kernel(&mut buffer[..wanted])) {
            Ok(0) => break,
            Ok(length) => length,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        };
        let result = match super::splice::can_be_target(output) {
            true => output.write(place(&output_place), &mut Source::kernel(&buffer[..length])),
            false => Err(Errno::EINVAL),
        };
        let written = *result.as_ref().unwrap_or(&0);
        match &mut input_place {
            Some(position) => **position += written as u64,
            // What was read and not written must not be lost.
            None if written < length => {
                input.seek(-((length - written) as i64), 1)?;
            }
            None => {}
        }
        if let Some(position) = &mut output_place {
            **position += written as u64;
        }
        done += written;
        match result {
            Err(errno) if done == 0 => return Err(errno),
            Ok(_) if written == length => {}
            _ => break,
        }
    }
    Ok(done)
}

pub(super) fn read_offset(pointer: UserPointer) -> Result<Option<u64>, Errno> {
    if pointer.is_null() {
        return Ok(None);
    }
    let offset: i64 = read_object(pointer)?;
    u64::try_from(offset).map(Some).map_err(|_| Errno::EINVAL)
}

/// Refuses a transfer that would go beyond the largest position, or is longer than any can be.
pub(super) fn check_area(position: u64, count: usize) -> Result<(), Errno> {
    let end = position.checked_add(count as u64);
    match end.map(i64::try_from) {
        Some(Ok(_)) => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// `sendfile(2)`
pub fn sendfile(output: i32, input: i32, offset: UserPointer, count: usize) -> Result<usize, Errno> {
    let sent = send(output, input, offset, count);
    counted(WRITTEN, counted(READ, sent))
}

fn send(output: i32, input: i32, offset: UserPointer, count: usize) -> Result<usize, Errno> {
    let files = context::current();
    let input = files.file(input)?;
    if !input.readable() {
        return Err(Errno::EBADF);
    }
    if !input.file()?.takes_positions() && !offset.is_null() {
        return Err(Errno::ESPIPE);
    }
    let start = read_offset(offset)?;
    check_area(start.unwrap_or_else(|| input.position()), count)?;
    let output = files.file(output)?;
    if !output.writable() {
        return Err(Errno::EBADF);
    }
    let mut place = start;
    let position = place.unwrap_or_else(|| input.position());
    let count = crate::fs::limits::room_for_sending(&input, &output, position, count)?;
    let count = count.min(MAXIMUM_TRANSFER);
    if let Some(pipe) = pipe::of(&output) {
        pipe.check_readers()?;
        let nonblocking = output.flags().contains(OpenFlags::NONBLOCKING);
        let done = super::splice::fill(pipe, &input, &mut place, count, nonblocking)?;
        if let Some(place) = place {
            write_object(offset, &(place as i64))?;
        }
        return Ok(done);
    }
    if output.file()?.seekable() {
        check_area(output.position(), count)?;
    }
    let seekable = input.file()?.seekable() || input.file()?.ignores_seeking();
    if !seekable || output.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    // From here on it counts as read, whatever comes of it.
    input.accessed();
    if count == 0 {
        return Ok(0);
    }
    if !super::splice::can_be_source(&input) {
        return Err(Errno::EINVAL);
    }
    let done = copy_between(&input, place.as_mut(), &output, None, count)?;
    if let Some(place) = place {
        write_object(offset, &(place as i64))?;
    }
    Ok(done)
}

/// Whether a range of one file can be copied to another without the program's memory in between.
fn check_copied(input: &OpenFile, output: &OpenFile) -> Result<(), Errno> {
    let kinds = [input.inode.kind(), output.inode.kind()];
    if kinds.contains(&FileKind::Directory) {
        return Err(Errno::EISDIR);
    }
    if kinds != [FileKind::Regular; 2] {
        return Err(Errno::EINVAL);
    }
    if !input.readable() || !output.writable() || output.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EBADF);
    }
    Ok(())
}

/// `FICLONE` and `FICLONERANGE` of `ioctl(2)`: no file system here lets files share their blocks.
pub(super) fn clone_file(input: i32, output: &OpenFile) -> Result<usize, Errno> {
    let input = context::current().file(input)?;
    input.file()?;
    if input.inode.metadata().device != output.inode.metadata().device {
        return Err(Errno::EXDEV);
    }
    check_copied(&input, output)?;
    Err(Errno::EOPNOTSUPP)
}

/// `copy_file_range(2)`
pub fn copy_file_range(
    input: i32,
    input_offset: UserPointer,
    output: i32,
    output_offset: UserPointer,
    length: usize,
    flags: u64,
) -> Result<usize, Errno> {
    let files = context::current();
    let (input, output) = (files.file(input)?, files.file(output)?);
    input.file()?;
    output.file()?;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    check_copied(&input, &output)?;
    if input.inode.metadata().device != output.inode.metadata().device {
        return Err(Errno::EXDEV);
    }
    let (mut from, mut to) = (read_offset(input_offset)?, read_offset(output_offset)?);
    let start = from.unwrap_or_else(|| input.position());
    let target = to.unwrap_or_else(|| output.position());
    if start.checked_add(length as u64).is_none() || target.checked_add(length as u64).is_none() {
        return Err(Errno::EOVERFLOW);
    }
    // No more than there is, and than may be written.
    let rest = input.file()?.size().saturating_sub(start).min(length as u64);
    let copied = crate::fs::limits::room_for_write(target)?.min(rest);
    let overlap = start < target.saturating_add(copied) && target < start.saturating_add(copied);
    if overlap && crate::fs::inode::same(&input.inode, &output.inode) {
        return Err(Errno::EINVAL);
    }
    let length = (copied as usize).min(MAXIMUM_TRANSFER);
    check_area(start, length)?;
    check_area(target, length)?;
    let done = copy_between(&input, from.as_mut(), &output, to.as_mut(), length)?;
    if let Some(from) = from {
        write_object(input_offset, &(from as i64))?;
    }
    if let Some(to) = to {
        write_object(output_offset, &(to as i64))?;
    }
    Ok(done)
}

/// `fsync(2)`: everything is in memory, which is all there is.
pub fn fsync(fd: i32) -> Result<usize, Errno> {
    context::current().file(fd)?.file()?.synchronise()?;
    Ok(0)
}

/// `fdatasync(2)`
pub fn fdatasync(fd: i32) -> Result<usize, Errno> {
    fsync(fd)
}

/// `sync_file_range(2)`
pub fn sync_file_range(fd: i32, offset: i64, length: i64, flags: u32) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    file.file()?;
    synchronise_range(&file, offset, length, flags)
}

/// Checks a range that is to be written out (`sync_file_range(2)`): everything is in memory.
pub(super) fn synchronise_range(file: &OpenFile, offset: i64, length: i64, flags: u32) -> Result<usize, Errno> {
    if flags & !7 != 0 || offset < 0 || length < 0 || offset.checked_add(length).is_none() {
        return Err(Errno::EINVAL);
    }
    match file.inode.kind() {
        FileKind::Regular | FileKind::Directory | FileKind::BlockDevice => Ok(0),
        _ => Err(Errno::ESPIPE),
    }
}

/// `sync(2)`
pub fn sync() -> Result<usize, Errno> {
    Ok(0)
}

/// `syncfs(2)`
pub fn syncfs(fd: i32) -> Result<usize, Errno> {
    context::current().file(fd)?.file()?;
    Ok(0)
}

/// `truncate(2)`
pub fn truncate(path: UserPointer, length: i64) -> Result<usize, Errno> {
    let size = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let path = read_string(path, PATH_MAX, Errno::ENAMETOOLONG)?;
    let inode = context::current().find(AT_FDCWD, &path, true)?;
    if inode.kind() == FileKind::Regular {
        crate::fs::mounts::check_writable(&*inode)?;
        permission::check(&inode, Access::WRITE)?;
    }
    // Counted as a writer, so that no lease is granted meanwhile.
    Openers::enter(&*inode, OpenFlags::WRITE_ONLY);
    Openers::count_named_writer(&*inode, true);
    let result = Openers::check_written(&*inode)
        .and_then(|()| leases::make_way(&*inode, true, false))
        .and_then(|()| inode.truncate(size));
    Openers::count_named_writer(&*inode, false);
    Openers::leave(&*inode, OpenFlags::WRITE_ONLY);
    result?;
    modified(&*inode);
    Ok(0)
}

/// `ftruncate(2)`
pub fn ftruncate(fd: i32, length: i64) -> Result<usize, Errno> {
    let size = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let file = context::current().file(fd)?;
    if !file.writable() {
        return Err(if file.file().is_ok() {
            Errno::EINVAL
        } else {
            Errno::EBADF
        });
    }
    // Programs of 64 bits open all files as large ones; what was not opened is none.
    if i32::try_from(size).is_err()
        && !file.flags().contains(OpenFlags::LARGE_FILE)
        && file.inode.kind() == FileKind::Regular
    {
        return Err(Errno::EINVAL);
    }
    file.file()?.truncate(size)?;
    modified(&*file.inode);
    Ok(0)
}

/// Tells those who watch a file that its content has changed.
fn modified(inode: &dyn Inode) {
    if notify::anybody() {
        notify::happened(inode, FileEvents::MODIFY);
    }
}

/// `fallocate(2)`
pub fn fallocate(fd: i32, mode: u64, offset: i64, length: i64) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    allocate(&file, mode, offset, length)
}

/// Refuses modes (`FALLOC_FL_*`) that don't go together: each of them but "keep the size" stands alone.
fn check_allocation_mode(mode: u32) -> Result<(), Errno> {
    const KEEP_SIZE: u32 = 1;
    const PUNCH_HOLE: u32 = 2;
    const COLLAPSE_RANGE: u32 = 8;
    const ZERO_RANGE: u32 = 0x10;
    const INSERT_RANGE: u32 = 0x20;
    const UNSHARE_RANGE: u32 = 0x40;
    const WRITE_ZEROES: u32 = 0x80;
    let keeps_size = mode & KEEP_SIZE != 0;
    match mode & !KEEP_SIZE {
        0 | ZERO_RANGE | UNSHARE_RANGE => Ok(()),
        PUNCH_HOLE if keeps_size => Ok(()),
        COLLAPSE_RANGE | INSERT_RANGE | WRITE_ZEROES if !keeps_size => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// Makes or frees room in a file (`fallocate(2)`).
pub(super) fn allocate(file: &OpenFile, mode: u64, offset: i64, length: i64) -> Result<usize, Errno> {
    file.file()?;
    let start = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let length = u64::try_from(length)
        .ok()
        .filter(|length| *length != 0)
        .ok_or(Errno::EINVAL)?;
    let mode = mode as u32;
    check_allocation_mode(mode)?;
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    match file.inode.kind() {
        FileKind::Regular | FileKind::BlockDevice => {}
        FileKind::Fifo => return Err(Errno::ESPIPE),
        FileKind::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::ENODEV),
    }
    if i64::try_from(start + length).is_err() {
        return Err(Errno::EFBIG);
    }
    file.file()?.allocate(mode, start, length)?;
    modified(&*file.inode);
    Ok(0)
}

/// `posix_fadvise(2)`: files are in memory already, so there is nothing to do.
pub fn fadvise64(fd: i32, offset: i64, length: usize, advice: i32) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    advise(&file, offset, length, advice)
}

/// Checks advice about a file (`posix_fadvise(2)`).
pub(super) fn advise(file: &OpenFile, _offset: i64, length: usize, advice: i32) -> Result<usize, Errno> {
    file.file()?;
    if file.inode.kind() == FileKind::Fifo {
        return Err(Errno::ESPIPE);
    }
    if !(0..=5).contains(&advice) || (length as i64) < 0 {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

/// `readahead(2)`
pub fn readahead(fd: i32, _offset: i64, _count: usize) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    if file.is_regular() || file.inode.kind() == FileKind::BlockDevice {
        Ok(0)
    } else {
        Err(Errno::EINVAL)
    }
}

/// Where a directory entry tells its length, in both formats.
const DIRENT_LENGTH: usize = 16;
/// Most bytes of directory entries that are collected for one call.
const LISTING_LIMIT: usize = 64 * 1024;

/// Collects entries with `encode` and hands them to the program.
fn list(
    fd: i32,
    entries: UserPointer,
    size: usize,
    encode: impl Fn(&ListedEntry<'_>, &mut Vec<u8>),
    length_of: impl Fn(usize) -> usize,
    give: impl Fn(UserPointer, &[u8]) -> Result<(), Errno>,
) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    let size = size.min(LISTING_LIMIT);
    let mut bytes = Vec::new();
    let mut refused = false;
    file.list(&mut |entry| {
        let end = bytes.len() + length_of(entry.name.len());
        if end > size || bytes.try_reserve(end - bytes.len()).is_err() {
            refused = true;
            return false;
        }
        encode(&entry, &mut bytes);
        bytes.resize(end, 0);
        true
    })?;
    if bytes.is_empty() && refused {
        return Err(Errno::EINVAL);
    }
    let mut rest = &bytes[..];
    while let Some(length) = rest.get(DIRENT_LENGTH..).and_then(<[u8]>::first_chunk) {
        let (entry, others) = rest.split_at(usize::from(u16::from_ne_bytes(*length)));
        give(entries.offset((bytes.len() - rest.len()) as u64), entry)?;
        rest = others;
    }
    Ok(bytes.len())
}

/// Gives the program a directory entry up to the NUL of its name. As on Linux, padding behind that is not written.
fn give_entry(to: UserPointer, entry: &[u8], name: usize) -> Result<(), Errno> {
    let end = entry[name..].iter().position(|&byte| byte == 0);
    copy_to_user(to, &entry[..end.map_or(entry.len(), |end| name + end + 1)])
}

/// `getdents64(2)`
pub fn getdents64(fd: i32, entries: UserPointer, size: usize) -> Result<usize, Errno> {
    let encode = |entry: &ListedEntry<'_>, bytes: &mut Vec<u8>| {
        let length = dirent_length(entry.name.len()) as u16;
        let header: [u8; DIRENT_HEADER] = dirent_header(entry.number, entry.next, length, entry_kind(entry.kind));
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(entry.name);
    };
    list(fd, entries, size, encode, dirent_length, |to, entry| {
        give_entry(to, entry, DIRENT_HEADER)
    })
}

/// `getdents(2)`
pub fn getdents(fd: i32, entries: UserPointer, size: u32) -> Result<usize, Errno> {
    let encode = |entry: &ListedEntry<'_>, bytes: &mut Vec<u8>| {
        let length = old_dirent_length(entry.name.len());
        let end = bytes.len() + length;
        bytes.extend_from_slice(&dirent_header(entry.number, entry.next, length as u16, 0)[..OLD_DIRENT_HEADER]);
        bytes.extend_from_slice(entry.name);
        bytes.resize(end - 1, 0);
        bytes.push(entry_kind(entry.kind));
    };
    list(fd, entries, size as usize, encode, old_dirent_length, |to, entry| {
        give_entry(to, entry, OLD_DIRENT_HEADER)?;
        let last = entry.len() - 1;
        copy_to_user(to.offset(last as u64), &entry[last..])
    })
}
