//! From which node pages should come, on a machine that has one: `set_mempolicy(2)`, `mbind(2)`.
//!
//! There is nothing to choose, but what a program has asked for is remembered and told again, as on a Linux with one node.

use super::*;

/// A policy: a mode of `MPOL_*` with its flags, and whether it names a home node. Node 0 is the only one that it can name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// `MPOL_*`
    pub mode: u8,
    /// `MPOL_F_*`
    pub flags: u16,
    /// Node 0 is in its mask. Nodes that do not exist are forgotten.
    pub named: bool,
}

impl MemoryPolicy {
    /// `MPOL_F_STATIC_NODES`
    pub const STATIC: u16 = 1 << 15;
    /// `MPOL_F_RELATIVE_NODES`
    pub const RELATIVE: u16 = 1 << 14;
    /// `MPOL_F_NUMA_BALANCING`
    pub const BALANCING: u16 = 1 << 13;
    const NAMED: u16 = 1 << 8;

    /// As a number; 0 is the default policy.
    pub fn encode(self) -> u16 {
        u16::from(self.mode) | self.flags | if self.named { Self::NAMED } else { 0 }
    }

    /// The policy of a number.
    pub fn decode(number: u16) -> Self {
        Self {
            mode: number as u8,
            flags: number & (Self::STATIC | Self::RELATIVE | Self::BALANCING),
            named: number & Self::NAMED != 0,
        }
    }

    /// As `/proc/PID/numa_maps` names it.
    pub fn describe(self) -> &'static str {
        let names = [
            ["default", "default", "default"],
            ["prefer:0", "prefer=static:0", "prefer=relative:0"],
            ["bind:0", "bind=static:0", "bind=relative:0"],
            ["interleave:0", "interleave=static:0", "interleave=relative:0"],
            ["local", "local", "local"],
            ["prefer (many):0", "prefer (many)=static:0", "prefer (many)=relative:0"],
            [
                "weighted interleave:0",
                "weighted interleave=static:0",
                "weighted interleave=relative:0",
            ],
        ];
        let kind = usize::from(self.flags & Self::STATIC != 0) + 2 * usize::from(self.flags & Self::RELATIVE != 0);
        names
            .get(usize::from(self.mode))
            .map_or("default", |names| names[kind.min(2)])
    }
}

impl AddressSpace {
    /// Sets the policy of a range (`mbind(2)`).
    ///
    /// # Errors
    /// `EFAULT` if something in it is not mapped, but not for the default; `ENOMEM` for too many areas.
    pub fn set_policy(&self, range: Range<u64>, policy: MemoryPolicy) -> Result<(), Errno> {
        let inner = &mut *self.inner.lock();
        let is_default = policy == MemoryPolicy::default();
        if !is_default && !inner.map.is_covered(range.start, range.end) || inner.map.is_free(range.start, range.end) {
            return Err(Errno::EFAULT);
        }
        match inner.map.set_policy(range.start, range.end, policy.encode()) {
            Err(change) if change.error != MapError::Hole => Err(error_of(change.error)),
            _ => Ok(()),
        }
    }

    /// The policy of the area that holds an address.
    pub fn policy_at(&self, address: u64) -> Option<MemoryPolicy> {
        let area = self.area_at(address)?;
        Some(MemoryPolicy::decode(area.policy))
    }

    /// Calls `action` with the policy of each area in a range.
    pub fn for_each_policy(&self, range: Range<u64>, action: &mut dyn FnMut(MemoryPolicy)) {
        let inner = self.inner.lock();
        let areas = inner.map.range(range.start, range.end);
        areas.for_each(|area| action(MemoryPolicy::decode(area.policy)));
    }

    /// Whether the process has a page at an address: `None` where nothing is mapped.
    pub fn has_page(&self, address: u64) -> Option<Option<bool>> {
        let inner = self.inner.lock();
        inner.map.find(address)?;
        let mapping = inner.table.query(address & !(PAGE - 1));
        Some(mapping.map(|mapping| mapping.physical == Frame::shared_zero().physical()))
    }
}
