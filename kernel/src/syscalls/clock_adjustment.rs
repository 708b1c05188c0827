//! What is known about how good the wall clock is: `adjtimex(2)`, `clock_adjtime(2)`.
//!
//! The clock follows the host's, and it can be set at once; it can't be made to run faster or slower.

use core::sync::atomic::{AtomicI32, AtomicI64, Ordering};

use pith_linux::Errno;
use pith_linux::time::NANOSECONDS;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::time::{may_set_clocks, set_wall_clock};
use crate::memory::{UserPointer, read_object, write_object};
use crate::task;

/// `struct timex`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Adjustment {
    modes: u32,
    padding: u32,
    offset: i64,
    frequency: i64,
    greatest_error: i64,
    estimated_error: i64,
    status: i32,
    padding_of_status: i32,
    constant: i64,
    precision: i64,
    tolerance: i64,
    time: [i64; 2],
    tick: i64,
    pulse: [i64; 2],
    pulse_shift: i32,
    padding_of_shift: i32,
    pulse_counts: [i64; 5],
    atomic_offset: i32,
    reserved: [i32; 11],
}

const OFFSET: u32 = 0x1;
const FREQUENCY: u32 = 0x2;
const GREATEST_ERROR: u32 = 0x4;
const ESTIMATED_ERROR: u32 = 0x8;
const STATUS: u32 = 0x10;
const TIME_CONSTANT: u32 = 0x20;
const ATOMIC_OFFSET: u32 = 0x80;
const SET_OFFSET: u32 = 0x100;
const IN_NANOSECONDS: u32 = 0x2000;
const TICK: u32 = 0x4000;
/// `ADJ_OFFSET_SINGLESHOT` is this with [`OFFSET`], `ADJ_OFFSET_SS_READ` with [`IN_NANOSECONDS`] as well.
const OLD_CALL: u32 = 0x8000;

/// `STA_UNSYNC`: nobody keeps the clock right.
const UNSYNCHRONISED: i32 = 0x40;
/// Those that tell what the kernel does, which programs can't set.
const STATUS_READ_ONLY: i32 = 0xff00;
/// `TIME_OK` and `TIME_ERROR`
const STATE_RIGHT: usize = 0;
const STATE_ERROR: usize = 5;
/// Most microseconds that a clock is said to be wrong by.
const LARGEST_ERROR: i64 = 16_000_000;

static STATUS_NOW: AtomicI32 = AtomicI32::new(UNSYNCHRONISED);
static GREATEST_NOW: AtomicI64 = AtomicI64::new(LARGEST_ERROR);
static ESTIMATED_NOW: AtomicI64 = AtomicI64::new(LARGEST_ERROR);
static CONSTANT_NOW: AtomicI64 = AtomicI64::new(2);
static ATOMIC_OFFSET_NOW: AtomicI32 = AtomicI32::new(0);

/// Refuses what makes no sense or may not be done.
fn check(wanted: &Adjustment) -> Result<(), Errno> {
    let modes = wanted.modes;
    if modes & OLD_CALL != 0 {
        if modes & OFFSET == 0 {
            return Err(Errno::EINVAL);
        }
        return if modes & IN_NANOSECONDS == 0 {
            may_set_clocks()
        } else {
            Ok(())
        };
    }
    if modes != 0 {
        may_set_clocks()?;
    }
    if modes & TICK != 0 && !(9_000..=11_000).contains(&wanted.tick) {
        return Err(Errno::EINVAL);
    }
    let units = if modes & IN_NANOSECONDS != 0 {
        NANOSECONDS as i64
    } else {
        1_000_000
    };
    if modes & SET_OFFSET != 0 && !(0..units).contains(&wanted.time[1]) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

fn change(wanted: &Adjustment) -> Result<(), Errno> {
    let modes = wanted.modes;
    let slews = modes & OLD_CALL != 0 && modes & IN_NANOSECONDS == 0 && wanted.offset != 0
        || modes & OLD_CALL == 0
            && (modes & OFFSET != 0 && wanted.offset != 0
                || modes & FREQUENCY != 0 && wanted.frequency != 0
                || modes & TICK != 0 && wanted.tick != 10_000);
    if slews {
        crate::warning_once!("the clock can't be made to run faster or slower: adjtimex answers EINVAL");
        return Err(Errno::EINVAL);
    }
    if modes & OLD_CALL != 0 {
        return Ok(());
    }
    if modes & SET_OFFSET != 0 {
        let unit = if modes & IN_NANOSECONDS != 0 { 1 } else { 1000 };
        let step = i128::from(wanted.time[0]) * i128::from(NANOSECONDS) + i128::from(wanted.time[1] * unit);
        let time = i128::from(task::wall_clock()) + step;
        set_wall_clock(u64::try_from(time).map_err(|_| Errno::EINVAL)?)?;
    }
    if modes & STATUS != 0 {
        STATUS_NOW.store(wanted.status & !STATUS_READ_ONLY, Ordering::Relaxed);
    }
    for (mode, place, value) in [
        (
            GREATEST_ERROR,
            &GREATEST_NOW,
            wanted.greatest_error.clamp(0, LARGEST_ERROR),
        ),
        (
            ESTIMATED_ERROR,
            &ESTIMATED_NOW,
            wanted.estimated_error.clamp(0, LARGEST_ERROR),
        ),
        (TIME_CONSTANT, &CONSTANT_NOW, wanted.constant.clamp(0, 10)),
    ] {
        if modes & mode != 0 {
            place.store(value, Ordering::Relaxed);
        }
    }
    if modes & ATOMIC_OFFSET != 0 && (0..=100_000).contains(&wanted.constant) {
        ATOMIC_OFFSET_NOW.store(wanted.constant as i32, Ordering::Relaxed);
    }
    Ok(())
}

/// `adjtimex(2)`
pub fn adjtimex(buffer: UserPointer) -> Result<usize, Errno> {
    let mut adjustment: Adjustment = read_object(buffer)?;
    check(&adjustment)?;
    change(&adjustment)?;
    let status = STATUS_NOW.load(Ordering::Relaxed);
    let now = task::wall_clock();
    adjustment = Adjustment {
        offset: 0,
        frequency: 0,
        greatest_error: GREATEST_NOW.load(Ordering::Relaxed),
        estimated_error: ESTIMATED_NOW.load(Ordering::Relaxed),
        status,
        constant: CONSTANT_NOW.load(Ordering::Relaxed),
        precision: 1,
        // 500 parts in a million, in parts of 2^-16.
        tolerance: 500 << 16,
        time: [(now / NANOSECONDS) as i64, (now % NANOSECONDS / 1000) as i64],
        tick: 10_000,
        pulse: [0; 2],
        pulse_shift: 0,
        pulse_counts: [0; 5],
        atomic_offset: ATOMIC_OFFSET_NOW.load(Ordering::Relaxed),
        ..adjustment
    };
    write_object(buffer, &adjustment)?;
    Ok(if status & UNSYNCHRONISED != 0 {
        STATE_ERROR
    } else {
        STATE_RIGHT
    })
}

/// `clock_adjtime(2)`
pub fn clock_adjtime(clock: i32, buffer: UserPointer) -> Result<usize, Errno> {
    const REAL_TIME: i32 = 0;
    // Other clocks that there are can't be changed.
    const CLOCKS: core::ops::RangeInclusive<i32> = 1..=11;
    match clock {
        REAL_TIME => adjtimex(buffer),
        // A number that Linux has given up.
        10 => Err(Errno::EINVAL),
        clock if clock < 0 || CLOCKS.contains(&clock) => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::EINVAL),
    }
}
