//! Load averages (`/proc/loadavg`, `sysinfo(2)`) without a tick.
//!
//! Linux counts the threads that run or want to every five seconds. Here nobody would wake an idle processor for that. But
//! the scheduler knows how long processors were busy and how long threads waited for them: both together, over a span of
//! time, are how many threads ran or wanted to on average. Whenever a processor halts or a slice ends and five seconds have
//! passed, and when somebody asks, the span since the last time is taken into account.

use core::sync::atomic::{AtomicU64, Ordering};

use pith_scheduling::{LOAD_BITS, LOAD_PERIOD, LoadAverages};

use super::{clock, scheduler};
use crate::arch;
use crate::sync::InterruptMutex;

struct State {
    averages: LoadAverages,
    /// When the last period ended, in ticks of the time stamp counter; 0 before the first.
    end: u64,
    /// Time that threads had run or wanted to until then, in ticks.
    active: u64,
}

static STATE: InterruptMutex<State> = InterruptMutex::new(State {
    averages: LoadAverages::new(),
    end: 0,
    active: 0,
});

/// When the next period ends. Before the clock is calibrated nobody knows how long one is, and nobody asks.
static NEXT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Looks whether a period is over, when the time stamp counter shows `now`. May be called by interrupt handlers.
#[inline]
pub(super) fn look(now: u64) {
    if now >= NEXT.load(Ordering::Relaxed) {
        advance(now);
    }
}

#[cold]
fn advance(now: u64) {
    let period = clock::to_ticks(LOAD_PERIOD * 1_000_000_000);
    let active = scheduler::busy_ticks(now) + scheduler::delayed_ticks();
    let mut state = STATE.lock();
    if state.end == 0 {
        state.end = arch::entry_ticks();
    }
    let span = now.saturating_sub(state.end);
    let periods = span / period;
    if periods != 0 {
        let gained = active.saturating_sub(state.active);
        let average = (u128::from(gained) << LOAD_BITS) / u128::from(span);
        state.averages.pass(periods, average as u64);
        // What has begun of the next period is kept for it.
        let rest = span % period;
        state.active = active - (u128::from(gained) * u128::from(rest) / u128::from(span)) as u64;
        state.end = now - rest;
    }
    NEXT.store(state.end + period, Ordering::Relaxed);
}

/// The averages over 1, 5 and 15 minutes, in units of 2^-11.
pub fn averages() -> [u64; 3] {
    advance(arch::read_time_stamp_counter());
    let state = STATE.lock();
    state.averages.get()
}
