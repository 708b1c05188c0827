//! `/proc/self/mem`: the memory of a process as a file (`proc_pid_mem(5)`).

use alloc::sync::Arc;

use pith_linux::Errno;
use pith_linux::files::OpenFlags;

use crate::fs::file::{File, WriteAt};
use crate::memory::{AddressSpace, Destination, Frame, PAGE_SIZE, Purpose, Source};

/// The file: the memory as it was when the file was opened. Another program that the process runs has other memory.
pub struct ProgramMemory(pub Arc<AddressSpace>);

/// Calls `step` (address, length) for each page or part of one from an address on, until it has moved less than that.
///
/// # Errors
/// That of the first step, if nothing was moved.
fn each_page(
    mut address: u64,
    mut left: usize,
    mut step: impl FnMut(u64, usize) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut moved = 0;
    while left != 0 {
        let length = (PAGE_SIZE - address as usize % PAGE_SIZE).min(left);
        match step(address, length) {
            Ok(count) => {
                moved += count;
                if count < length {
                    break;
                }
            }
            Err(errno) if moved == 0 => return Err(errno),
            Err(_) => break,
        }
        address += length as u64;
        left -= length;
    }
    Ok(moved)
}

impl File for ProgramMemory {
    fn seekable(&self) -> bool {
        true
    }

    fn read(&self, position: u64, to: &mut Destination<'_>, _flags: OpenFlags) -> Result<usize, Errno> {
        let buffer = Frame::zeroed(Purpose::User).ok_or(Errno::ENOMEM)?;
        each_page(position, to.remaining(), |address, length| {
            match self.0.copy_to_frame(&buffer, address, length) {
                0 => Err(Errno::EIO),
                read => to.put_frame(&buffer, 0, read),
            }
        })
    }

    /// What the program itself could not write to is not written to (`EIO`), as where Linux was told never to force it.
    fn write(&self, at: WriteAt, from: &mut Source<'_>, _flags: OpenFlags) -> Result<(usize, u64), Errno> {
        let start = match at {
            WriteAt::Position(position) => position,
            WriteAt::End => 0,
        };
        let buffer = Frame::zeroed(Purpose::User).ok_or(Errno::ENOMEM)?;
        let written = each_page(start, from.remaining(), |address, length| {
            let taken = from.take_to_frame(&buffer, 0, length)?;
            match self.0.copy_from_frame(&buffer, address, taken) {
                0 => Err(Errno::EIO),
                written => Ok(written),
            }
        })?;
        Ok((written, start + written as u64))
    }
}
