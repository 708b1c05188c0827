//! Addresses of sockets, of whatever family: a family's number and bytes that only the family understands.

use pith_linux::Errno;
use pith_linux::sockets::ADDRESS_MAX;

use crate::memory::{UserPointer, copy_from_user, copy_to_user, read_object, write_object};

/// An address (`struct sockaddr`).
#[derive(Clone, Copy, Debug)]
pub struct Address {
    bytes: [u8; ADDRESS_MAX],
    length: usize,
}

impl Address {
    /// No address at all.
    pub const EMPTY: Self = Self {
        bytes: [0; ADDRESS_MAX],
        length: 0,
    };

    /// An address with these bytes, the family's number first; what is too long is cut off.
    pub fn new(bytes: &[u8]) -> Self {
        let mut address = Self::EMPTY;
        address.length = bytes.len().min(ADDRESS_MAX);
        address.bytes[..address.length].copy_from_slice(&bytes[..address.length]);
        address
    }

    /// Reads one that the program gives.
    ///
    /// # Errors
    /// `EINVAL` for a length that none has, `EFAULT`.
    pub fn read(from: UserPointer, length: i32) -> Result<Self, Errno> {
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= ADDRESS_MAX)
            .ok_or(Errno::EINVAL)?;
        let mut address = Self::EMPTY;
        copy_from_user(&mut address.bytes[..length], from)?;
        address.length = length;
        Ok(address)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The family's number, if it is long enough to have one.
    pub fn family(&self) -> Option<u16> {
        let bytes = self.bytes().first_chunk()?;
        Some(u16::from_ne_bytes(*bytes))
    }

    /// Gives it to the program, which says at `length` how much room there is, and gets its true length there.
    ///
    /// # Errors
    /// `EFAULT`; `EINVAL` for a negative length.
    pub fn write(&self, to: UserPointer, length: UserPointer) -> Result<(), Errno> {
        let room: i32 = read_object(length)?;
        let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
        copy_to_user(to, &self.bytes()[..self.length.min(room)])?;
        write_object(length, &(self.length as i32))
    }
}
