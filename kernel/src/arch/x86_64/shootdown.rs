//! Forgetting translations on other processors.
//!
//! Whoever changes page tables that other processors use has to wait until those have forgotten the old translations,
//! before it gives frames back. It posts a request, interrupts the processors, and waits for all of them. While it
//! waits it serves the requests of others, so that two that wait for each other go on. A processor that is idle, or waits for
//! the lock of an address space (`sync::YieldingMutex`), is not interrupted: it forgets everything before it uses the
//! program's memory again.
//!
//! Tables that are given back are another matter: a processor walks them whenever it speculates, and notes accesses there,
//! idle or not, as long as their root is loaded (Intel SDM volume 3, 4.10.2.3). So an idle one is interrupted for the first
//! of them, uses the kernel's own root from then on, and is left alone until it goes on.
//!
//! **A rule**: nobody asks while it holds a lock for which others wait with interrupts off.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use super::cpu::{MAXIMUM_CPUS, cpu_index};
use super::instructions::{
    disable_interrupts, enable_interrupts, flush_all_translations, flush_translations, interrupts_enabled,
    invalidate_page, wait_for_interrupt,
};
use super::layout::{PAGE_SIZE, PROGRAM_END};
use super::traps::SHOOTDOWN_VECTOR;
use super::{paging, smp};

/// Beyond so many pages everything is forgotten at once.
const MOST_PAGES: u64 = 32;

/// What a processor asks of others.
struct Request {
    start: AtomicU64,
    end: AtomicU64,
    /// Tables of programs are given back.
    tables: AtomicBool,
    /// Processors that have not served it.
    remaining: AtomicUsize,
    /// Who asked is halted until the last of them has.
    halted: AtomicBool,
}

static REQUESTS: [Request; MAXIMUM_CPUS] = [const {
    Request {
        start: AtomicU64::new(0),
        end: AtomicU64::new(0),
        tables: AtomicBool::new(false),
        remaining: AtomicUsize::new(0),
        halted: AtomicBool::new(false),
    }
}; MAXIMUM_CPUS];

/// By processor: who asks it, bit n for processor n.
static PENDING: [AtomicU64; MAXIMUM_CPUS] = [const { AtomicU64::new(0) }; MAXIMUM_CPUS];

/// Processors that do not use the program's memory now.
static IDLE: AtomicU64 = AtomicU64::new(0);
/// Those that have to forget everything before they use it again.
static STALE: AtomicU64 = AtomicU64::new(0);
/// Idle ones that use the kernel's own root meanwhile, and by processor: the root to which it comes back.
static AWAY: AtomicU64 = AtomicU64::new(0);
static ROOTS: [AtomicU64; MAXIMUM_CPUS] = [const { AtomicU64::new(0) }; MAXIMUM_CPUS];

/// Forgets the translations of a range of pages on this processor.
pub fn invalidate_here(range: &Range<u64>) {
    if (range.end - range.start) / PAGE_SIZE > MOST_PAGES {
        if range.end <= PROGRAM_END {
            flush_translations();
        } else {
            flush_all_translations();
        }
        return;
    }
    for page in range.clone().step_by(PAGE_SIZE as usize) {
        invalidate_page(page);
    }
}

/// Lets the other processors of the mask forget the translations of a range of pages, and waits until they have. An
/// empty range only makes them pass a memory barrier.
pub fn invalidate_elsewhere(processors: u64, range: Range<u64>) {
    ask(processors, range, false);
}

/// As [`invalidate_elsewhere`], for a range of which tables are given back.
pub fn invalidate_tables_elsewhere(processors: u64, range: Range<u64>) {
    ask(processors, range, true);
}

fn ask(processors: u64, range: Range<u64>, tables: bool) {
    let own = cpu_index();
    let mut targets = processors & !(1 << own);
    if targets == 0 {
        return;
    }
    // The tables were changed before this; who becomes idle or busy from here on sees that.
    fence(Ordering::SeqCst);
    if range.end <= PROGRAM_END {
        let mut idle = IDLE.load(Ordering::SeqCst) & targets;
        if tables {
            idle &= AWAY.load(Ordering::SeqCst);
        }
        if idle != 0 {
            STALE.fetch_or(idle, Ordering::SeqCst);
            // Who woke up meanwhile may not have seen that.
            targets &= !(idle & IDLE.load(Ordering::SeqCst));
        }
    }
    if targets == 0 {
        return;
    }
    let request = &REQUESTS[own];
    request.start.store(range.start, Ordering::Relaxed);
    request.end.store(range.end, Ordering::Relaxed);
    request.tables.store(tables, Ordering::Relaxed);
    request
        .remaining
        .store(targets.count_ones() as usize, Ordering::Release);
    for target in bits(targets) {
        PENDING[target].fetch_or(1 << own, Ordering::AcqRel);
        smp::send(target, SHOOTDOWN_VECTOR);
    }
    // A processor that the host does not run serves nothing: after some ten microseconds this one makes room for it.
    const LOOKS: u32 = 500;
    let mut looks = 0;
    while request.remaining.load(Ordering::Acquire) != 0 {
        serve();
        looks += 1;
        if looks < LOOKS || !interrupts_enabled() {
            core::hint::spin_loop();
            continue;
        }
        looks = 0;
        disable_interrupts();
        request.halted.store(true, Ordering::SeqCst);
        // Either this sees that all have served it, or the last of them sees that this is halted. What others ask
        // meanwhile comes with an interrupt.
        if request.remaining.load(Ordering::SeqCst) != 0 {
            wait_for_interrupt();
        }
        request.halted.store(false, Ordering::Relaxed);
        enable_interrupts();
    }
}

/// How often a processor was interrupted to forget translations, in cache lines of their own.
#[repr(align(64))]
struct Count(AtomicU64);

static INTERRUPTS: [Count; MAXIMUM_CPUS] = [const { Count(AtomicU64::new(0)) }; MAXIMUM_CPUS];

/// How often a processor was interrupted to forget translations.
pub fn shootdown_interrupts(cpu: usize) -> u64 {
    INTERRUPTS[cpu].0.load(Ordering::Relaxed)
}

/// Another processor has interrupted this one to ask something of it.
pub(super) fn interrupted() {
    INTERRUPTS[cpu_index()].0.fetch_add(1, Ordering::Relaxed);
    serve();
}

/// Does what others have asked of this processor.
pub fn serve() {
    let pending = &PENDING[cpu_index()];
    if pending.load(Ordering::Relaxed) == 0 {
        return;
    }
    for from in bits(pending.swap(0, Ordering::AcqRel)) {
        let request = &REQUESTS[from];
        invalidate_here(&(request.start.load(Ordering::Relaxed)..request.end.load(Ordering::Relaxed)));
        if request.tables.load(Ordering::Relaxed) {
            go_away_if_idle();
        }
        fence(Ordering::SeqCst);
        if request.remaining.fetch_sub(1, Ordering::SeqCst) == 1 && request.halted.load(Ordering::SeqCst) {
            smp::send(from, SHOOTDOWN_VECTOR);
        }
    }
}

/// An idle processor uses no program's tables until it goes on.
fn go_away_if_idle() {
    let cpu = cpu_index();
    let own = 1 << cpu;
    // Only this processor changes its bits. The interrupt handler that runs here ends before it goes on.
    if IDLE.load(Ordering::Relaxed) & own != 0 && AWAY.load(Ordering::Relaxed) & own == 0 {
        ROOTS[cpu].store(paging::leave_program(), Ordering::Relaxed);
        AWAY.fetch_or(own, Ordering::SeqCst);
    }
}

/// This processor is about to halt or to wait for a lock, and will not touch the program's memory before [`leave_idle`].
pub fn enter_idle() {
    IDLE.fetch_or(1 << cpu_index(), Ordering::SeqCst);
}

/// This processor goes on.
pub fn leave_idle() {
    let cpu = cpu_index();
    let own = 1 << cpu;
    IDLE.fetch_and(!own, Ordering::SeqCst);
    if AWAY.load(Ordering::Relaxed) & own != 0 {
        AWAY.fetch_and(!own, Ordering::SeqCst);
        STALE.fetch_and(!own, Ordering::SeqCst);
        // Forgets everything, too.
        paging::return_to_program(ROOTS[cpu].load(Ordering::Relaxed));
    } else if STALE.load(Ordering::SeqCst) & own != 0 {
        STALE.fetch_and(!own, Ordering::SeqCst);
        flush_translations();
    }
}

/// Makes all other processors of the mask pass a memory barrier that is also one for instructions.
pub fn synchronise_processors(processors: u64) {
    invalidate_elsewhere(processors, 0..0);
}

fn bits(mask: u64) -> impl Iterator<Item = usize> {
    (0..MAXIMUM_CPUS).filter(move |cpu| mask >> cpu & 1 != 0)
}
