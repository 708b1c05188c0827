//! What a program says about the use of its memory: `madvise(2)` and `process_madvise(2)`.

use core::ops::Range;

use pith_linux::Errno;

use super::aligned_range;
use crate::arch::Access;
use crate::fs::{context, process_file};
use crate::memory::{AddressSpace, AreaFlags, Backing, FaultError, Forget, Protection, UserPointer};
use crate::syscalls::files;
use crate::task::{self, current_process};

/// What is to happen to a range.
enum Action {
    /// A hint about reading and writing that does not happen here. Locked areas refuse some of them.
    Nothing { refused_if_locked: bool },
    /// Flags are set and cleared; some areas refuse.
    Flags(AreaFlags, AreaFlags, fn(&pith_address_space::Area<Backing>) -> bool),
    /// Content is forgotten.
    Forget(Forget),
    /// Pages of a shared object are removed.
    Remove,
    /// Pages are touched.
    Populate(Access),
    /// Nothing may be there any more, or something may again.
    Guard(bool),
    /// Large pages are made.
    Collapse,
}

fn never(_area: &pith_address_space::Area<Backing>) -> bool {
    false
}

/// Content of a fork's child can be wiped only where it is private and of no file.
fn is_object(area: &pith_address_space::Area<Backing>) -> bool {
    area.backing != Backing::Anonymous || area.flags.contains(AreaFlags::SHARED)
}

/// What may be forgotten at any time is neither dumped nor inherited.
fn is_droppable(area: &pith_address_space::Area<Backing>) -> bool {
    area.flags.contains(AreaFlags::DROPPABLE)
}

/// Areas that the kernel made are never part of a dump.
fn is_never_dumped(area: &pith_address_space::Area<Backing>) -> bool {
    is_provided(area) || is_droppable(area)
}

/// Areas that the kernel made.
fn is_provided(area: &pith_address_space::Area<Backing>) -> bool {
    area.flags.contains(AreaFlags::KERNEL_PROVIDED)
}

fn is_locked(area: &pith_address_space::Area<Backing>) -> bool {
    area.flags.contains(AreaFlags::LOCKED)
}

/// What an advice means. `MADV_MERGEABLE` and `MADV_UNMERGEABLE` are refused as by a Linux without KSM.
fn action(advice: i32) -> Result<Action, Errno> {
    let none = AreaFlags::empty();
    Ok(match advice {
        // MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL
        0 => Action::Flags(none, AreaFlags::RANDOM_ACCESS | AreaFlags::SEQUENTIAL_ACCESS, never),
        1 => Action::Flags(AreaFlags::RANDOM_ACCESS, AreaFlags::SEQUENTIAL_ACCESS, never),
        2 => Action::Flags(AreaFlags::SEQUENTIAL_ACCESS, AreaFlags::RANDOM_ACCESS, never),
        // MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT
        3 => Action::Nothing {
            refused_if_locked: false,
        },
        20 | 21 => Action::Nothing {
            refused_if_locked: true,
        },
        // MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE, MADV_REMOVE
        4 => Action::Forget(Forget::Unlocked),
        24 => Action::Forget(Forget::Locked),
        8 => Action::Forget(Forget::Lazily),
        9 => Action::Remove,
        // MADV_DONTFORK, MADV_DOFORK
        10 => Action::Flags(AreaFlags::DONT_FORK, none, never),
        11 => Action::Flags(none, AreaFlags::DONT_FORK, is_provided),
        // MADV_HUGEPAGE, MADV_NOHUGEPAGE
        14 => Action::Flags(AreaFlags::HUGE_PAGE, AreaFlags::NO_HUGE_PAGE, is_provided),
        15 => Action::Flags(AreaFlags::NO_HUGE_PAGE, AreaFlags::HUGE_PAGE, never),
        // MADV_DONTDUMP, MADV_DODUMP
        16 => Action::Flags(AreaFlags::DONT_DUMP, none, never),
        17 => Action::Flags(none, AreaFlags::DONT_DUMP, is_never_dumped),
        // MADV_WIPEONFORK, MADV_KEEPONFORK
        18 => Action::Flags(AreaFlags::WIPE_ON_FORK, none, is_object),
        19 => Action::Flags(none, AreaFlags::WIPE_ON_FORK, is_droppable),
        // MADV_POPULATE_READ, MADV_POPULATE_WRITE
        22 => Action::Populate(Access::Read),
        23 => Action::Populate(Access::Write),
        // MADV_COLLAPSE, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE
        25 => Action::Collapse,
        102 => Action::Guard(true),
        103 => Action::Guard(false),
        _ => return Err(Errno::EINVAL),
    })
}

fn populate(space: &AddressSpace, range: Range<u64>, access: Access) -> Result<(), FaultError> {
    // The processor would let be read what may only be written.
    let permit = |page| {
        let readable = access != Access::Read || space.permits(page, Protection::READ);
        match !readable && space.permits(page, Protection::empty()) {
            true => Err(FaultError::Denied),
            false => Ok(()),
        }
    };
    space.populate_permitted(range.start, range.end - range.start, access, task::go_on, &permit)
}

fn advise(space: &AddressSpace, address: u64, length: usize, action: &Action) -> Result<(), Errno> {
    let range = aligned_range(address, length)?;
    if range.is_empty() {
        return Ok(());
    }
    let length = range.end - range.start;
    let none = AreaFlags::empty();
    match *action {
        Action::Nothing { refused_if_locked } => {
            let refuses = if refused_if_locked { is_locked } else { never };
            space.modify_flags(address, length, (none, none), refuses)
        }
        Action::Flags(set, clear, refuses) => space.modify_flags(address, length, (set, clear), refuses),
        Action::Forget(how) => space.forget(address, length, how),
        Action::Remove => space.remove(address, length),
        Action::Guard(install) => space.guard(address, length, install, task::go_on),
        Action::Collapse => space.collapse(address, length),
        Action::Populate(access) => populate(space, range, access).map_err(|error| match error {
            FaultError::Denied => Errno::EINVAL,
            FaultError::NotMapped | FaultError::MustGrow | FaultError::OutOfMemory => Errno::ENOMEM,
            FaultError::Poisoned => Errno::EHWPOISON,
            FaultError::Interrupted => Errno::EINTR,
            FaultError::BeyondEnd
            | FaultError::Unreadable
            | FaultError::Guarded
            | FaultError::Watched
            | FaultError::Unhandled => Errno::EFAULT,
        }),
    }
}

/// `madvise(2)`
pub fn madvise(address: u64, length: usize, advice: i32) -> Result<usize, Errno> {
    advise(&current_process().address_space(), address, length, &action(advice)?)?;
    Ok(0)
}

/// `process_madvise(2)`: of the process itself, all that `madvise(2)` knows; of others, what changes nothing for them.
pub fn process_madvise(
    process: i32,
    slices: UserPointer,
    count: usize,
    advice: i32,
    flags: u32,
) -> Result<usize, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let pieces = files::pieces(slices, i32::try_from(count).map_err(|_| Errno::EINVAL)?)?;
    let own = current_process();
    let target = if process_file::names_itself(process) {
        own.clone()
    } else {
        process_file::of(&*context::current().file(process)?)?
    };
    if target.id != own.id {
        // MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE: what changes nothing for the program.
        const HARMLESS: [i32; 4] = [3, 20, 21, 25];
        if !HARMLESS.contains(&advice) {
            return Err(Errno::EINVAL);
        }
        if target.family.has_ended() {
            return Err(Errno::ESRCH);
        }
        if !task::may_look_into(&target, task::Looker::Real) {
            return Err(Errno::EPERM);
        }
    }
    // As on Linux, nobody looks at the advice if it is about nothing.
    if pieces.iter().all(|piece| piece.length == 0) {
        return Ok(0);
    }
    let action = action(advice)?;
    let space = target.address_space();
    let mut done = 0;
    for piece in pieces {
        match advise(&space, piece.address, piece.length, &action) {
            Ok(()) => done += piece.length,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}
