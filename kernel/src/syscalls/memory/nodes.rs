//! Nodes of memory, of which the machine has one: `set_mempolicy(2)`, `mbind(2)`, `get_mempolicy(2)`, `move_pages(2)`,
//! `migrate_pages(2)`, `set_mempolicy_home_node(2)`.

use core::ops::Range;
use core::sync::atomic::Ordering;

use pith_linux::Errno;

use super::aligned_range;
use crate::arch::Access;
use crate::memory::{MemoryPolicy, PAGE_SIZE, UserPointer, read_object, write_object};
use crate::task::{self, Capabilities, current_process, find_thread};

/// Nodes that a mask may name (`MAX_NUMNODES` of Debian's Linux).
const NODES: u64 = 1024;
/// Bits of a word of a mask.
const WORD: u64 = 64;

const DEFAULT: u8 = 0;
const PREFERRED: u8 = 1;
const BIND: u8 = 2;
const INTERLEAVE: u8 = 3;
const LOCAL: u8 = 4;
const PREFERRED_MANY: u8 = 5;
const WEIGHTED_INTERLEAVE: u8 = 6;

/// What a mask names.
#[derive(Clone, Copy, Default)]
struct Mask {
    /// Node 0.
    first: bool,
    /// Nodes that do not exist.
    others: bool,
}

impl Mask {
    /// Reads a mask of so many bits less one, as these calls count them.
    ///
    /// # Errors
    /// `EFAULT`; `EINVAL` for too many bits, and nodes beyond all that there may be.
    fn read(address: UserPointer, bits: u64) -> Result<Self, Errno> {
        let bits = bits.wrapping_sub(1);
        let mut mask = Self::default();
        if bits == 0 || address.is_null() {
            return Ok(mask);
        }
        if bits > PAGE_SIZE as u64 * 8 {
            return Err(Errno::EINVAL);
        }
        for start in (0..bits).step_by(WORD as usize) {
            let mut word: u64 = read_object(address.offset(start / 8))?;
            if bits - start < WORD {
                word &= (1 << (bits - start)) - 1;
            }
            if word != 0 && start >= NODES {
                return Err(Errno::EINVAL);
            }
            let first = if start == 0 { word & 1 } else { 0 };
            mask.first |= first != 0;
            mask.others |= word != first;
        }
        Ok(mask)
    }

    fn is_empty(self) -> bool {
        !self.first && !self.others
    }
}

/// Splits a mode from its flags.
///
/// # Errors
/// `EINVAL`
fn mode_of(mode: i32) -> Result<(u8, u16), Errno> {
    let all = MemoryPolicy::STATIC | MemoryPolicy::RELATIVE | MemoryPolicy::BALANCING;
    let flags = mode as u32 as u16 & all;
    let mode = (mode as u32) & !u32::from(all);
    let both = MemoryPolicy::STATIC | MemoryPolicy::RELATIVE;
    if mode > u32::from(WEIGHTED_INTERLEAVE) || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let mode = mode as u8;
    if flags & MemoryPolicy::BALANCING != 0 && !matches!(mode, BIND | PREFERRED_MANY) {
        return Err(Errno::EINVAL);
    }
    Ok((mode, flags))
}

/// The policy of a mode and a mask.
///
/// # Errors
/// `EINVAL` if they do not belong together, or the mask names no node that there is.
fn policy_of(mode: u8, flags: u16, mask: Mask) -> Result<MemoryPolicy, Errno> {
    let fixed = flags & (MemoryPolicy::STATIC | MemoryPolicy::RELATIVE) != 0;
    let plain = |mode| MemoryPolicy {
        mode,
        flags,
        named: false,
    };
    match mode {
        DEFAULT if mask.is_empty() => return Ok(MemoryPolicy::default()),
        LOCAL | PREFERRED if mask.is_empty() && !fixed => return Ok(plain(LOCAL)),
        DEFAULT | LOCAL => return Err(Errno::EINVAL),
        _ => {}
    }
    // Relative nodes are counted among those that there are.
    if mask.first || mask.others && flags & MemoryPolicy::RELATIVE != 0 {
        Ok(MemoryPolicy {
            named: true,
            ..plain(mode)
        })
    } else {
        Err(Errno::EINVAL)
    }
}

/// `set_mempolicy(2)`
pub fn set_mempolicy(mode: i32, mask: UserPointer, bits: u64) -> Result<usize, Errno> {
    let (mode, flags) = mode_of(mode)?;
    let policy = policy_of(mode, flags, Mask::read(mask, bits)?)?;
    task::current().memory_policy.store(policy.encode(), Ordering::Relaxed);
    Ok(0)
}

/// `mbind(2)`. Whatever is to move is on the node already.
pub fn mbind(address: u64, length: usize, mode: i32, mask: UserPointer, bits: u64, flags: u32) -> Result<usize, Errno> {
    const MOVE_ALL: u32 = 4;
    let (mode, mode_flags) = mode_of(mode)?;
    let mask = Mask::read(mask, bits)?;
    if flags & !7 != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & MOVE_ALL != 0 && !task::has_capability(Capabilities::SCHEDULING) {
        return Err(Errno::EPERM);
    }
    let range = range(address, length)?;
    if range.is_empty() {
        return Ok(0);
    }
    let policy = policy_of(mode, mode_flags, mask)?;
    current_process().address_space().set_policy(range, policy)?;
    Ok(0)
}

/// As [`aligned_range`]; a length that overflows when it is rounded up is none.
fn range(address: u64, length: usize) -> Result<Range<u64>, Errno> {
    let length = if length > usize::MAX - PAGE_SIZE { 0 } else { length };
    aligned_range(address, length)
}

/// `get_mempolicy(2)`
pub fn get_mempolicy(
    mode: UserPointer,
    mask: UserPointer,
    bits: u64,
    address: u64,
    flags: u64,
) -> Result<usize, Errno> {
    const NODE: u64 = 1;
    const ADDRESS: u64 = 2;
    const ALLOWED: u64 = 4;
    if !mask.is_null() && bits < 1 || flags & !(NODE | ADDRESS | ALLOWED) != 0 {
        return Err(Errno::EINVAL);
    }
    let space = current_process().address_space();
    let (number, named) = if flags & ALLOWED != 0 {
        if flags & (NODE | ADDRESS) != 0 {
            return Err(Errno::EINVAL);
        }
        (0, true)
    } else {
        let own = MemoryPolicy::decode(task::current().memory_policy.load(Ordering::Relaxed));
        let policy = if flags & ADDRESS != 0 {
            space.policy_at(address).ok_or(Errno::EFAULT)?
        } else if address != 0 {
            return Err(Errno::EINVAL);
        } else {
            own
        };
        let number = if flags & NODE == 0 {
            i32::from(policy.mode) | i32::from(policy.flags)
        } else if flags & ADDRESS != 0 {
            // The page is brought to see where it is.
            space
                .populate(address & !(PAGE_SIZE as u64 - 1), 1, Access::Read, task::go_on)
                .map_err(|_| Errno::EFAULT)?;
            0
        } else if matches!(own.mode, INTERLEAVE | WEIGHTED_INTERLEAVE) {
            0
        } else {
            return Err(Errno::EINVAL);
        };
        (number, policy.named)
    };
    if !mode.is_null() {
        write_object(mode, &number)?;
    }
    if !mask.is_null() {
        let bytes = (bits - 1).next_multiple_of(WORD) / 8;
        if bytes > PAGE_SIZE as u64 {
            return Err(Errno::EINVAL);
        }
        for start in (0..bytes).step_by(8) {
            write_object(mask.offset(start), &u64::from(named && start == 0))?;
        }
    }
    Ok(0)
}

/// `set_mempolicy_home_node(2)`
pub fn set_mempolicy_home_node(address: u64, length: u64, node: u64, flags: u64) -> Result<usize, Errno> {
    if !address.is_multiple_of(PAGE_SIZE as u64) || flags != 0 || node != 0 {
        return Err(Errno::EINVAL);
    }
    let range = range(address, length as usize)?;
    if range.is_empty() {
        return Ok(0);
    }
    // The first area with a policy decides; the only node is nobody's change.
    let mut answer = Err(Errno::ENOENT);
    current_process().address_space().for_each_policy(range, &mut |policy| {
        if answer != Err(Errno::EOPNOTSUPP) && policy != MemoryPolicy::default() {
            answer = match policy.mode {
                BIND | PREFERRED_MANY => Ok(0),
                _ => Err(Errno::EOPNOTSUPP),
            };
        }
    });
    answer
}

/// Refuses processes that do not exist.
fn check_process(pid: i32) -> Result<(), Errno> {
    let number = u32::try_from(pid).map_err(|_| Errno::ESRCH)?;
    if number == 0 || number == current_process().id || find_thread(number).is_some() {
        Ok(())
    } else {
        Err(Errno::ESRCH)
    }
}

/// `migrate_pages(2)`: all pages are where they can be.
pub fn migrate_pages(pid: i32, bits: u64, from: UserPointer, to: UserPointer) -> Result<usize, Errno> {
    Mask::read(from, bits)?;
    let to = Mask::read(to, bits)?;
    check_process(pid)?;
    if to.others && !task::has_capability(Capabilities::SCHEDULING) {
        return Err(Errno::EPERM);
    }
    if to.first { Ok(0) } else { Err(Errno::EINVAL) }
}

/// `move_pages(2)`: tells the node of each page, which is the only one, or why it has none.
pub fn move_pages(
    pid: i32,
    count: u64,
    pages: UserPointer,
    nodes: UserPointer,
    status: UserPointer,
    flags: i32,
) -> Result<usize, Errno> {
    const MOVE_ALL: i32 = 4;
    if flags & !6 != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & MOVE_ALL != 0 && !task::has_capability(Capabilities::SCHEDULING) {
        return Err(Errno::EPERM);
    }
    check_process(pid)?;
    let space = current_process().address_space();
    for index in 0..count {
        let address: u64 = read_object(pages.offset(index * 8))?;
        if !nodes.is_null() {
            match read_object::<i32>(nodes.offset(index * 4))? {
                0 => {}
                _ => return Err(Errno::ENODEV),
            }
        }
        let told = match space.has_page(address) {
            None => -i32::from(Errno::EFAULT.number()),
            Some(None) => -i32::from(Errno::ENOENT.number()),
            // The shared zeroes are on no node.
            Some(Some(true)) => -i32::from(Errno::EFAULT.number()),
            Some(Some(false)) => 0,
        };
        write_object(status.offset(index * 4), &told)?;
    }
    Ok(0)
}
