//! Seals of files: what may never happen to a file any more (`memfd_create(2)`, `F_ADD_SEALS` of `fcntl(2)`).

use bitflags::bitflags;
use core::sync::atomic::{AtomicU32, Ordering};

use pith_linux::Errno;

use super::Node;
use crate::memory::{self, AreaFlags, Backing, Protection};

bitflags! {
    /// The seals. The bits are those of `F_SEAL_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Seals: u32 {
        /// No more seals are added.
        const SEAL = 1;
        /// It does not become smaller.
        const SHRINK = 2;
        /// It does not become larger.
        const GROW = 4;
        /// Its content does not change.
        const WRITE = 8;
        /// Its content changes only through mappings that are there already.
        const FUTURE_WRITE = 0x10;
        /// Whether it may be executed does not change.
        const EXECUTE = 0x20;
    }
}

impl Seals {
    /// Nobody writes any more, but perhaps through mappings.
    pub const NO_WRITES: Self = Self::WRITE.union(Self::FUTURE_WRITE);
}

/// The seals of a file.
pub struct SealSet(AtomicU32);

impl SealSet {
    /// A file with these seals.
    pub const fn new(seals: Seals) -> Self {
        Self(AtomicU32::new(seals.bits()))
    }

    /// The seals now.
    pub fn get(&self) -> Seals {
        Seals::from_bits_truncate(self.0.load(Ordering::Acquire))
    }

    /// Refuses what one of these seals forbids.
    ///
    /// # Errors
    /// `EPERM`
    pub fn check(&self, seals: Seals) -> Result<(), Errno> {
        if self.get().intersects(seals) {
            Err(Errno::EPERM)
        } else {
            Ok(())
        }
    }

    /// Adds seals; the caller lets nobody write meanwhile.
    ///
    /// # Errors
    /// `EPERM` if no more may be added, `EBUSY` if mappings exist through which the file can be written.
    pub fn add(&self, node: &Node, mut seals: Seals) -> Result<(), Errno> {
        self.check(Seals::SEAL)?;
        if seals.contains(Seals::EXECUTE) && node.attributes.lock().permissions & 0o111 != 0 {
            seals |= Seals::SHRINK | Seals::GROW | Seals::NO_WRITES;
        }
        if seals.contains(Seals::WRITE) && !self.get().contains(Seals::WRITE) && is_mapped_for_writing(node) {
            return Err(Errno::EBUSY);
        }
        self.0.fetch_or(seals.bits(), Ordering::AcqRel);
        Ok(())
    }
}

/// Whether some shared mapping of the file can be written, or made so.
fn is_mapped_for_writing(node: &Node) -> bool {
    let object = core::ptr::from_ref(node).cast::<()>();
    let mut found = false;
    memory::for_each_area_everywhere(&mut |area| {
        if let Backing::Object { source, .. } = &area.backing {
            found |= alloc::sync::Arc::as_ptr(source).cast::<()>() == object
                && area.flags.contains(AreaFlags::SHARED)
                && area.maximum_protection.contains(Protection::WRITE);
        }
    });
    found
}
