//! Clocks: the monotonic one from the time stamp counter, the wall clock from its value at boot.

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use pith_timekeeping::{Ratio, Split};
use spin::Once;

use super::vdso;
use crate::arch;
use crate::sync::InterruptMutex;

/// A point of the monotonic clock: nanoseconds since the kernel's first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// This many nanoseconds later; the end of time if that is beyond it.
    #[must_use]
    pub fn after(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }
}

/// How time is computed.
#[derive(Clone, Copy, Debug)]
pub struct ClockParameters {
    /// Counter at the monotonic clock's zero.
    pub base: u64,
    /// Nanoseconds of a tick of the counter.
    pub nanoseconds: Ratio,
    /// Ticks of the counter in a nanosecond.
    pub ticks: Ratio,
    /// Wall clock at the monotonic clock's zero, in nanoseconds since 1970.
    pub wall_base: u64,
}

impl ClockParameters {
    /// [`Self::wall_base`] with what the wall clock was set forward or back since.
    fn wall_base_now(&self) -> u64 {
        self.wall_base
            .saturating_add_signed(WALL_CHANGE.load(Ordering::Relaxed))
    }

    /// What the monotonic clock shows when the counter shows this.
    fn time_at(&self, counter: u64) -> Instant {
        Instant(self.nanoseconds.of(counter.saturating_sub(self.base)))
    }
}

static WALL_AT_BOOT: AtomicU64 = AtomicU64::new(0);
static PARAMETERS: Once<ClockParameters> = Once::new();

/// Tells the wall clock's value at the kernel's start, in nanoseconds since 1970 (from the monitor).
pub fn set_wall_clock_at_boot(nanoseconds: u64) {
    WALL_AT_BOOT.store(nanoseconds, Ordering::Relaxed);
}

/// What the host said that the wall clock shows, and the time stamp counter when that was heard.
static HEARD: InterruptMutex<Option<(u64, u64)>> = InterruptMutex::new(None);

/// Hears what time it is: `nanoseconds` since 1970 when the time stamp counter showed `counter`. It is better than what was
/// told at boot, which was true before the machine was there. Called by interrupt handlers.
pub fn hear_wall_clock(counter: u64, nanoseconds: u64) {
    *HEARD.lock() = Some((counter, nanoseconds));
    if let Some(parameters) = PARAMETERS.get() {
        correct(parameters);
    }
}

/// Sets the wall clock to what was heard, unless that is what it started with or the program has set it meanwhile.
fn correct(parameters: &ClockParameters) {
    let heard = *HEARD.lock();
    if let Some((counter, heard)) = heard {
        let start = heard.saturating_sub(parameters.time_at(counter).0);
        let change = start.wrapping_sub(parameters.wall_base) as i64;
        let _ = WALL_CHANGE.compare_exchange(0, change, Ordering::Relaxed, Ordering::Relaxed);
    }
    publish();
}

/// Tells programs how to compute the time, as far as it is known.
pub(super) fn publish() {
    static TURN: InterruptMutex<()> = InterruptMutex::new(());
    // What is read and what is published belong together.
    let _turn = TURN.lock();
    if let Some(parameters) = PARAMETERS.get() {
        vdso::publish(&ClockParameters {
            wall_base: parameters.wall_base_now(),
            ..*parameters
        });
    }
}

/// Whether the parameters are measured.
pub(super) fn is_known() -> bool {
    PARAMETERS.get().is_some()
}

/// The parameters, measured on first use.
pub fn clock_parameters() -> ClockParameters {
    if let Some(parameters) = PARAMETERS.get() {
        return *parameters;
    }
    let parameters = *PARAMETERS.call_once(|| {
        let frequency = arch::frequencies().counter;
        let base = arch::entry_ticks();
        let nanoseconds = Ratio::new(1_000_000_000, frequency);
        ClockParameters {
            base,
            nanoseconds,
            ticks: Ratio::new(frequency, 1_000_000_000),
            wall_base: wall_clock_at_boot(|ticks| nanoseconds.of(ticks)),
        }
    });
    // The host may have been heard meanwhile.
    correct(&parameters);
    super::scheduler::clock_known();
    parameters
}

/// A span of the time stamp counter in nanoseconds.
pub fn ticks_to_nanoseconds(ticks: u64) -> u64 {
    clock_parameters().nanoseconds.of(ticks)
}

/// A span in nanoseconds in ticks of the time stamp counter.
pub fn to_ticks(nanoseconds: u64) -> u64 {
    clock_parameters().ticks.of(nanoseconds)
}

/// The monotonic clock when the time stamp counter showed this.
pub fn time_at(ticks: u64) -> Instant {
    clock_parameters().time_at(ticks)
}

/// The monotonic clock now.
pub fn monotonic() -> Instant {
    clock_parameters().time_at(arch::read_time_stamp_counter())
}

/// The wall clock as well as it is known without waiting for the counter to be measured: for the times of files.
pub fn wall_clock_without_waiting() -> u64 {
    if PARAMETERS.get().is_some() {
        return wall_clock();
    }
    let ticks = arch::read_time_stamp_counter().saturating_sub(arch::entry_ticks());
    let elapsed = |ticks| match arch::estimated_frequency() {
        0 => 0, // less than a millisecond since the start
        frequency => Ratio::new(1_000_000_000, frequency).of(ticks),
    };
    wall_clock_at_boot(elapsed) + elapsed(ticks)
}

/// The wall clock at the kernel's start: by what was heard from the host, else what the monitor told, or else by the
/// real-time clock. That clock is slow to read and exact to a second only, so it is read once and all times agree.
/// `nanoseconds` says how long so many ticks of the time stamp counter last.
fn wall_clock_at_boot(nanoseconds: impl Fn(u64) -> u64) -> u64 {
    static READ: Once<u64> = Once::new();
    let start = arch::entry_ticks();
    let heard = *HEARD.lock();
    if let Some((counter, heard)) = heard {
        return heard.saturating_sub(nanoseconds(counter.saturating_sub(start)));
    }
    match WALL_AT_BOOT.load(Ordering::Relaxed) {
        0 => *READ.call_once(|| {
            let elapsed = nanoseconds(arch::read_time_stamp_counter().saturating_sub(start));
            (arch::real_time_clock_seconds() * 1_000_000_000).saturating_sub(elapsed)
        }),
        told => told,
    }
}

/// By how much the wall clock was set forward (or back) since it started, in nanoseconds.
static WALL_CHANGE: AtomicI64 = AtomicI64::new(0);

/// What the wall clock shows at the monotonic clock's zero.
fn wall_base() -> u64 {
    clock_parameters().wall_base_now()
}

/// The wall clock now, in nanoseconds since 1970.
pub fn wall_clock() -> u64 {
    wall_base() + monotonic().0
}

/// What the wall clock shows when the monotonic clock shows this time.
pub fn wall_clock_at(time: Instant) -> u64 {
    wall_base() + time.0
}

/// When the monotonic clock shows what the wall clock shows at this time.
pub fn monotonic_at(wall: u64) -> Instant {
    Instant(wall.saturating_sub(wall_base()))
}

/// Sets the wall clock.
pub(super) fn set_wall_clock(nanoseconds: u64) {
    let started = clock_parameters().wall_base as i128;
    let change = i128::from(nanoseconds) - i128::from(monotonic().0) - started;
    WALL_CHANGE.store(change as i64, Ordering::Relaxed);
    publish();
}

/// Time that all processors together were not halted, in nanoseconds.
pub fn busy_time() -> u64 {
    ticks_to_nanoseconds(super::scheduler::busy_ticks(arch::read_time_stamp_counter()))
}

/// Time that one processor was not halted, in nanoseconds.
fn busy_time_of(cpu: usize) -> u64 {
    let halted = ticks_to_nanoseconds(super::scheduler::halted_ticks_of(cpu));
    monotonic().0.saturating_sub(halted)
}

/// The same, told apart.
pub fn busy_split_of(cpu: usize) -> Split {
    let accounting = super::scheduler::accounting_of(cpu);
    accounting.divide(busy_time_of(cpu), accounting.samples())
}

/// Asks for an interrupt at a time.
pub(super) fn arm_timer(deadline: Instant) {
    let parameters = clock_parameters();
    // Counted from now on: what the ratio is rounded by matters the less, the nearer the deadline is.
    let counter = arch::read_time_stamp_counter();
    let left = deadline.0.saturating_sub(parameters.time_at(counter).0);
    arch::set_timer(counter.saturating_add(parameters.ticks.of(left)).saturating_add(1));
}
