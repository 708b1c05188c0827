//! The program's memory as the kernel sees it: addresses that are checked, copies that may fail.

use alloc::vec::Vec;

use pith_linux::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::arch;

/// An address that the program gave. It is checked when it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserPointer(pub u64);

impl UserPointer {
    /// Whether the program passed `NULL`.
    pub fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address `bytes` further on.
    #[must_use]
    pub fn offset(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }
}

/// Copies all bytes to the program.
///
/// # Errors
/// `EFAULT` if some could not be copied; the others were.
#[inline]
pub fn copy_to_user(to: UserPointer, bytes: &[u8]) -> Result<(), Errno> {
    if arch::copy_to_program(to.0, bytes) == 0 {
        Ok(())
    } else {
        Err(Errno::EFAULT)
    }
}

/// Copies all bytes from the program.
///
/// # Errors
/// `EFAULT` if some could not be copied.
#[inline]
pub fn copy_from_user(bytes: &mut [u8], from: UserPointer) -> Result<(), Errno> {
    if arch::copy_from_program(bytes, from.0) == 0 {
        Ok(())
    } else {
        Err(Errno::EFAULT)
    }
}

/// Writes one structure to the program.
///
/// # Errors
/// `EFAULT`.
pub fn write_object<T: IntoBytes + Immutable>(to: UserPointer, value: &T) -> Result<(), Errno> {
    copy_to_user(to, value.as_bytes())
}

/// Reads one structure from the program.
///
/// # Errors
/// `EFAULT`.
pub fn read_object<T: FromBytes + IntoBytes>(from: UserPointer) -> Result<T, Errno> {
    let mut value = T::new_zeroed();
    copy_from_user(value.as_mut_bytes(), from)?;
    Ok(value)
}

/// Reads a string up to its NUL, without it.
///
/// # Errors
/// `EFAULT` if it can't be read, `too_long` if it has more than `limit` bytes with its NUL.
pub fn read_string(from: UserPointer, limit: usize, too_long: Errno) -> Result<Vec<u8>, Errno> {
    let mut string = Vec::new();
    // Most paths are shorter.
    let mut chunk = [0; 64];
    let mut address = from.0;
    loop {
        // Not across a page border, beyond which nothing need be mapped.
        let room = (super::PAGE_SIZE as u64 - address % super::PAGE_SIZE as u64).min(chunk.len() as u64) as usize;
        let missing = arch::copy_from_program(&mut chunk[..room], address);
        let copied = room - missing;
        if copied == 0 {
            return Err(Errno::EFAULT);
        }
        let end = chunk[..copied].iter().position(|&byte| byte == 0);
        let part = &chunk[..end.unwrap_or(copied)];
        if string.len() + part.len() >= limit {
            return Err(too_long);
        }
        string.try_reserve(part.len()).map_err(|_| Errno::ENOMEM)?;
        string.extend_from_slice(part);
        if end.is_some() {
            return Ok(string);
        }
        address += copied as u64;
    }
}
