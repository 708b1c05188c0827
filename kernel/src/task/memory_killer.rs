//! Who ends when there is no memory left for a page: as on Linux the process that holds most of it, unless `oom_score_adj` says
//! otherwise. The thread that met the fault waits until the memory is there, if it is not one of the victim's.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::signal::Signal;
use spin::Mutex;

use super::clock::{Instant, monotonic};
use super::process::{ExitReason, Process};
use super::thread::{Thread, current_process};
use super::wait::sleep_until;
use super::{family, scheduler, signal};
use crate::memory::{self, AddressSpace, PAGE_SIZE};

/// The adjustment of who is never chosen (`OOM_SCORE_ADJ_MIN`).
const NEVER: i64 = -1000;
/// So long a victim may take before another one is chosen, in nanoseconds: it may wait for something of the thread that waits
/// for it.
const PATIENCE: u64 = 2_000_000_000;
/// How long to wait before looking again, in nanoseconds.
const PAUSE: u64 = 1_000_000;

/// Who was told to end last, and when.
static LAST: Mutex<Option<(u32, Instant)>> = Mutex::new(None);
static KILLS: AtomicU64 = AtomicU64::new(0);

/// How often a process was chosen (`oom_kill` of `/proc/vmstat`).
pub fn kills() -> u64 {
    KILLS.load(Ordering::Relaxed)
}

/// Lets some process end for the sake of a page, and waits a moment for its memory. Ends the calling one if that is chosen, or
/// if there is none. False if the thread has to end anyway.
pub fn make_room(thread: &Thread, address: u64) -> bool {
    if signal::is_dying(thread) {
        return false;
    }
    match next_victim(&thread.process) {
        // Nothing may be held when the own process ends: that does not come back.
        Some(victim) if victim.id == thread.process.id => {
            drop(victim);
            end_own(address)
        }
        Some(victim) => end(&victim),
        None => {}
    }
    if sleep_until(monotonic().after(PAUSE)).is_err() {
        // A signal, which comes after the fault.
        scheduler::yield_now();
    }
    true
}

/// Chooses who ends, or the process that asks if nobody else may be chosen. `None` if somebody was chosen already that has not
/// ended yet and has had little time so far: threads of other processors may ask at the same moment.
fn next_victim(own: &Arc<Process>) -> Option<Arc<Process>> {
    // They are dropped when the lock is gone.
    let processes = family::processes();
    let mut last = LAST.lock();
    let awaited = last.is_some_and(|(number, since)| {
        let of_number = processes.iter().find(|process| process.id == number);
        of_number.is_some_and(|process| !process.family.has_ended()) && monotonic() < since.after(PATIENCE)
    });
    if awaited {
        return None;
    }
    let rated = processes
        .iter()
        .filter_map(|process| Some((badness(process)?, process)));
    let worst = rated.max_by_key(|(badness, _)| *badness).map(|(_, process)| process);
    let victim = worst.unwrap_or(own).clone();
    *last = Some((victim.id, monotonic()));
    Some(victim)
}

/// Pages of the process and of its tables, moved by its adjustment, which is in thousandths of all memory. `None` for who is never chosen.
fn badness(process: &Process) -> Option<i64> {
    let adjustment = i64::from(process.settings.memory_adjustment.load(Ordering::Relaxed));
    if adjustment == NEVER || process.family.has_ended() || process.is_ending() {
        return None;
    }
    let all = (memory::counters().total / PAGE_SIZE as u64) as i64;
    let space = process.address_space();
    let held = (space.resident_bytes() + space.table_bytes()) / PAGE_SIZE as u64;
    Some(held as i64 + adjustment * all / 1000)
}

/// Ends a process, and those that live in its memory.
fn end(victim: &Arc<Process>) {
    tell(victim);
    let number = victim.space_number();
    for process in family::processes() {
        if process.space_number() == number {
            signal::post(&process, Signal::SIGKILL);
        }
    }
}

fn end_own(address: u64) -> ! {
    let process = current_process();
    tell(&process);
    let counters = memory::counters();
    let reason = alloc::format!(
        "out of memory: no frame for address {address:#x}; {} of {} KiB in use; give the machine more (-m)",
        (counters.total - counters.free) >> 10,
        counters.total >> 10
    );
    process.exit(ExitReason::Signaled(9, reason))
}

/// Says in the log who is killed, and what memory is used for.
fn tell(victim: &Process) {
    KILLS.fetch_add(1, Ordering::Relaxed);
    let space = victim.address_space();
    tell_of_memory(&space);
    let name = String::from_utf8_lossy(&victim.program.lock().path).into_owned();
    crate::error!(
        "out of memory: process {} ({name}) is killed, which holds {} KiB",
        victim.id,
        space.resident_bytes() >> 10
    );
}

/// Says in the log what memory is used for: in all, and by the areas of the program that hold most of it.
fn tell_of_memory(space: &AddressSpace) {
    /// Areas that are named at most.
    const MOST: usize = 32;
    let counters = memory::counters();
    let heap = memory::heap_counters();
    crate::error!(
        "memory: {} KiB, of which {} are free; program {}, file data {}, page tables {}, kernel stacks {}, kernel heap {} \
         ({} used)",
        counters.total >> 10,
        counters.free >> 10,
        space.own_bytes() >> 10,
        memory::file_bytes() >> 10,
        memory::table_bytes() >> 10,
        memory::stack_bytes() >> 10,
        heap.claimed >> 10,
        heap.used >> 10
    );
    let mut large = Vec::new();
    let least = counters.total / 64;
    space.for_each_area(&mut |area| {
        if large.len() < MOST && area.length() >= least {
            large.push((area.start, area.end, area.name.as_str(), area.protection));
        }
    });
    for (start, end, name, protection) in large {
        let resident = space.page_use(start..end).resident;
        if resident >= least {
            crate::error!(
                "memory: {start:#x}-{end:#x} {protection:?} {}: {} KiB",
                name,
                resident >> 10
            );
        }
    }
}
