//! Where the bytes of a read go and where those of a write come from: one or more pieces of the program's
//! memory, or memory of the kernel.

use pith_linux::Errno;

use super::{Frame, PAGE_SIZE};
use crate::arch;

/// A piece of the program's memory (`struct iovec`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoSlice {
    /// Its first address.
    pub address: u64,
    /// Its length in bytes.
    pub length: usize,
}

enum Place<'a, K> {
    Program(&'a [IoSlice]),
    Kernel(K),
}

/// Where bytes go (`read`, `readv`, …). Tracks how much room is left.
pub struct Destination<'a> {
    place: Place<'a, &'a mut [u8]>,
    /// Bytes of the first piece that are used up.
    used: usize,
    remaining: usize,
}

/// Where bytes come from (`write`, `writev`, …). Tracks how much is left.
pub struct Source<'a> {
    place: Place<'a, &'a [u8]>,
    used: usize,
    remaining: usize,
}

fn total(slices: &[IoSlice]) -> usize {
    slices.iter().map(|slice| slice.length).fold(0, usize::saturating_add)
}

/// Runs `copy(address, done, length) -> bytes not copied` over the pieces for up to `wanted` bytes.
#[inline(always)]
fn each_piece(
    slices: &mut &[IoSlice],
    used: &mut usize,
    wanted: usize,
    mut copy: impl FnMut(u64, usize, usize) -> usize,
) -> Result<usize, Errno> {
    // Nearly always there is one piece, and all of it is wanted at once.
    if let [only] = **slices
        && only.length - *used >= wanted
    {
        let missing = copy(only.address.saturating_add(*used as u64), 0, wanted);
        *used += wanted - missing;
        return if missing == wanted && wanted != 0 {
            Err(Errno::EFAULT)
        } else {
            Ok(wanted - missing)
        };
    }
    each_of_many(slices, used, wanted, copy)
}

fn each_of_many(
    slices: &mut &[IoSlice],
    used: &mut usize,
    wanted: usize,
    mut copy: impl FnMut(u64, usize, usize) -> usize,
) -> Result<usize, Errno> {
    let mut done = 0;
    while done < wanted {
        let Some(first) = slices.first() else { break };
        let room = first.length - *used;
        if room == 0 {
            *slices = &slices[1..];
            *used = 0;
            continue;
        }
        let length = room.min(wanted - done);
        let missing = copy(first.address.saturating_add(*used as u64), done, length);
        *used += length - missing;
        done += length - missing;
        if missing != 0 {
            if done == 0 {
                return Err(Errno::EFAULT);
            }
            break;
        }
    }
    Ok(done)
}

impl<'a> Destination<'a> {
    /// Memory of the program. The pieces' sum must not exceed `isize::MAX` (the caller checked: `EINVAL`).
    pub fn program(slices: &'a [IoSlice]) -> Self {
        Self {
            remaining: total(slices),
            place: Place::Program(slices),
            used: 0,
        }
    }

    /// Memory of the kernel.
    pub fn kernel(bytes: &'a mut [u8]) -> Self {
        Self {
            remaining: bytes.len(),
            place: Place::Kernel(bytes),
            used: 0,
        }
    }

    /// Bytes that still fit.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Leaves up to so many bytes as they are, and returns how many.
    pub fn skip(&mut self, count: usize) -> usize {
        let done = count.min(self.remaining);
        self.used += done;
        if let Place::Program(slices) = &mut self.place {
            while let [first, rest @ ..] = *slices
                && self.used >= first.length
                && !rest.is_empty()
            {
                self.used -= first.length;
                *slices = rest;
            }
        }
        self.remaining -= done;
        done
    }

    /// Copies as many bytes as fit and returns how many. No lock may be held.
    ///
    /// # Errors
    /// `EFAULT` if not even the first could be copied.
    pub fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let wanted = bytes.len().min(self.remaining);
        let done = match &mut self.place {
            Place::Program(slices) => each_piece(slices, &mut self.used, wanted, |address, done, length| {
                arch::copy_to_program(address, &bytes[done..done + length])
            })?,
            Place::Kernel(target) => {
                target[self.used..self.used + wanted].copy_from_slice(&bytes[..wanted]);
                self.used += wanted;
                wanted
            }
        };
        self.remaining -= done;
        Ok(done)
    }

    /// As [`Self::put`], but what fits and can't be copied wholly is as good as not copied.
    ///
    /// # Errors
    /// `EFAULT`
    pub fn put_whole(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let wanted = bytes.len().min(self.remaining);
        match self.put(bytes)? {
            done if done < wanted => Err(Errno::EFAULT),
            done => Ok(done),
        }
    }

    /// Copies up to `length` bytes of a frame, from `offset` on, and returns how many. No lock may be held.
    ///
    /// # Errors
    /// `EFAULT` if not even the first could be copied.
    pub fn put_frame(&mut self, frame: &Frame, offset: usize, length: usize) -> Result<usize, Errno> {
        let wanted = length.min(self.remaining).min(PAGE_SIZE - offset);
        let done = match &mut self.place {
            Place::Program(slices) => each_piece(slices, &mut self.used, wanted, |address, done, length| {
                frame.read_to_user(offset + done, address, length)
            })?,
            Place::Kernel(target) => {
                frame.read(offset, &mut target[self.used..self.used + wanted]);
                self.used += wanted;
                wanted
            }
        };
        self.remaining -= done;
        Ok(done)
    }

    /// Writes up to `length` zeroes and returns how many. No lock may be held.
    ///
    /// # Errors
    /// `EFAULT` if not even the first could be written.
    #[inline(always)]
    pub fn put_zeroes(&mut self, length: usize) -> Result<usize, Errno> {
        let wanted = length.min(self.remaining);
        let done = match &mut self.place {
            Place::Program(slices) => each_piece(slices, &mut self.used, wanted, |address, _, length| {
                arch::zero_program(address, length)
            })?,
            Place::Kernel(target) => {
                target[self.used..self.used + wanted].fill(0);
                self.used += wanted;
                wanted
            }
        };
        self.remaining -= done;
        Ok(done)
    }
}

impl<'a> Source<'a> {
    /// Memory of the program. The pieces' sum must not exceed `isize::MAX` (the caller checked: `EINVAL`).
    pub fn program(slices: &'a [IoSlice]) -> Self {
        Self {
            remaining: total(slices),
            place: Place::Program(slices),
            used: 0,
        }
    }

    /// Memory of the kernel.
    pub fn kernel(bytes: &'a [u8]) -> Self {
        Self {
            remaining: bytes.len(),
            place: Place::Kernel(bytes),
            used: 0,
        }
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// The next bytes that lie together in one page and one piece: how many.
    pub fn remaining_in_page(&self) -> usize {
        let Place::Program(slices) = self.place else {
            return self.remaining.min(PAGE_SIZE);
        };
        let mut used = self.used;
        for slice in slices {
            if used < slice.length {
                let in_page = PAGE_SIZE - (slice.address as usize).wrapping_add(used) % PAGE_SIZE;
                return self.remaining.min(slice.length - used).min(in_page);
            }
            used = 0;
        }
        0
    }

    /// Gives no more than `limit` further bytes.
    pub fn truncate(&mut self, limit: usize) {
        self.remaining = self.remaining.min(limit);
    }

    /// Fills as much of `bytes` as there is and returns how much. No lock may be held.
    ///
    /// # Errors
    /// `EFAULT` if not even the first byte could be copied.
    pub fn take(&mut self, bytes: &mut [u8]) -> Result<usize, Errno> {
        let wanted = bytes.len().min(self.remaining);
        let done = match &mut self.place {
            Place::Program(slices) => each_piece(slices, &mut self.used, wanted, |address, done, length| {
                arch::copy_from_program(&mut bytes[done..done + length], address)
            })?,
            Place::Kernel(source) => {
                bytes[..wanted].copy_from_slice(&source[self.used..self.used + wanted]);
                self.used += wanted;
                wanted
            }
        };
        self.remaining -= done;
        Ok(done)
    }

    /// Copies up to `length` bytes into a frame at `offset` and returns how many. No lock may be held.
    ///
    /// # Errors
    /// `EFAULT` if not even the first byte could be copied.
    pub fn take_to_frame(&mut self, frame: &Frame, offset: usize, length: usize) -> Result<usize, Errno> {
        let wanted = length.min(self.remaining).min(PAGE_SIZE - offset);
        let done = match &mut self.place {
            Place::Program(slices) => each_piece(slices, &mut self.used, wanted, |address, done, length| {
                frame.write_from_user(offset + done, address, length)
            })?,
            Place::Kernel(source) => {
                frame.write(offset, &source[self.used..self.used + wanted]);
                self.used += wanted;
                wanted
            }
        };
        self.remaining -= done;
        Ok(done)
    }
}
