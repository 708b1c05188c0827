//! Time: `clock_gettime(2)`, `nanosleep(2)` and their kin.

use pith_linux::Errno;
use pith_linux::time::{
    ClockId, IntervalTimer, NANOSECONDS, ProcessTimes, TICKS_PER_SECOND, TIMER_ABSTIME, Timespec, Timeval, Timezone,
};

use crate::memory::{UserPointer, read_object, write_object};
use crate::task::signal::{self, Restart};
use crate::task::{self, Alarm, AlarmSetting, Instant};

/// The clock with this number. Negative numbers name the processor time of a process or thread
/// (`clock_getcpuclockid(3)`): `!pid << 3` with the kind in the low bits.
fn clock_id(number: i32) -> Result<ClockId, Errno> {
    if let Some(clock) = ClockId::from_number(number) {
        return Ok(clock);
    }
    let (pid, kind) = (!(number >> 3), number & 7);
    if number >= 0 || !(pid == 0 || pid == task::current_process().id as i32) {
        return Err(Errno::EINVAL);
    }
    match kind {
        // Profiling, virtual and scheduler time of the process; with 4 added, of the thread.
        0..=2 => Ok(ClockId::ProcessCpu),
        4..=6 => Ok(ClockId::ThreadCpu),
        _ => Err(Errno::EINVAL),
    }
}

/// The value of a clock, in nanoseconds. There is no periodic tick, so the coarse clocks are as exact as the others;
/// the vDSO (`arch/x86_64/vdso.s`) reads all but the processor times the same way.
fn now(clock: ClockId) -> u64 {
    match clock {
        ClockId::Realtime | ClockId::RealtimeCoarse | ClockId::RealtimeAlarm | ClockId::Tai => task::wall_clock(),
        ClockId::Monotonic
        | ClockId::MonotonicRaw
        | ClockId::MonotonicCoarse
        | ClockId::Boottime
        | ClockId::BoottimeAlarm => task::monotonic().0,
        ClockId::ProcessCpu | ClockId::ThreadCpu => task::processor_time(),
    }
}

/// `clock_gettime(2)`
pub fn clock_gettime(clock: i32, time: UserPointer) -> Result<usize, Errno> {
    write_object(time, &Timespec::from_nanoseconds(now(clock_id(clock)?)))?;
    Ok(0)
}

/// `clock_getres(2)`
pub fn clock_getres(clock: i32, resolution: UserPointer) -> Result<usize, Errno> {
    clock_id(clock)?;
    if !resolution.is_null() {
        write_object(resolution, &Timespec::from_nanoseconds(1))?;
    }
    Ok(0)
}

/// `gettimeofday(2)`
pub fn gettimeofday(time: UserPointer, zone: UserPointer) -> Result<usize, Errno> {
    if !time.is_null() {
        write_object(time, &Timeval::from_nanoseconds(task::wall_clock()))?;
    }
    if !zone.is_null() {
        write_object(zone, &Timezone::default())?;
    }
    Ok(0)
}

/// `time(2)`
pub fn time(location: UserPointer) -> Result<usize, Errno> {
    let seconds = task::wall_clock() / NANOSECONDS;
    if !location.is_null() {
        write_object(location, &seconds)?;
    }
    Ok(seconds as usize)
}

/// `times(2)`
pub fn times(buffer: UserPointer) -> Result<usize, Errno> {
    let tick = NANOSECONDS / TICKS_PER_SECOND;
    if !buffer.is_null() {
        let times = ProcessTimes {
            user: (task::processor_time() / tick) as i64,
            ..ProcessTimes::default()
        };
        write_object(buffer, &times)?;
    }
    Ok((task::monotonic().0 / tick) as usize)
}

/// Sleeps until `deadline`; a sleep of some duration tells what is left of it if a signal ends it.
fn sleep(deadline: Instant, remaining: Option<UserPointer>) -> Result<usize, Errno> {
    if task::sleep_until(deadline).is_ok() {
        return Ok(0);
    }
    signal::set_restart(Restart::IfNoHandlerRuns);
    if let Some(remaining) = remaining.filter(|pointer| !pointer.is_null()) {
        let left = deadline.0.saturating_sub(task::monotonic().0);
        write_object(remaining, &Timespec::from_nanoseconds(left))?;
    }
    Err(Errno::EINTR)
}

/// `nanosleep(2)`
pub fn nanosleep(request: UserPointer, remaining: UserPointer) -> Result<usize, Errno> {
    let duration = read_object::<Timespec>(request)?.to_nanoseconds()?;
    sleep(task::monotonic().after(duration), Some(remaining))
}

/// `clock_nanosleep(2)`
pub fn clock_nanosleep(clock: i32, flags: u64, request: UserPointer, remaining: UserPointer) -> Result<usize, Errno> {
    let clock = clock_id(clock)?;
    match clock {
        // Linux can't sleep on these clocks either.
        ClockId::MonotonicRaw | ClockId::RealtimeCoarse | ClockId::MonotonicCoarse => {
            return Err(Errno::EOPNOTSUPP);
        }
        ClockId::ThreadCpu => return Err(Errno::EINVAL),
        _ => {}
    }
    let time = read_object::<Timespec>(request)?.to_nanoseconds()?;
    if matches!(clock, ClockId::ProcessCpu) {
        // While the only thread sleeps, its processor time stands still.
        return Err(Errno::EOPNOTSUPP);
    }
    if flags & TIMER_ABSTIME == 0 {
        return sleep(task::monotonic().after(time), Some(remaining));
    }
    // The wall clock is never set, so it is always this far ahead of the monotonic one.
    let ahead = match clock {
        ClockId::Realtime | ClockId::RealtimeAlarm | ClockId::Tai => task::clock_parameters().wall_base,
        _ => 0,
    };
    sleep(Instant(time.saturating_sub(ahead)), None)
}

/// The only timer that there is: the processor times have no interrupt of their own.
fn check_timer(which: i32) -> Result<(), Errno> {
    const REAL: i32 = 0;
    if which == REAL { Ok(()) } else { Err(Errno::EINVAL) }
}

fn to_timer(setting: AlarmSetting) -> IntervalTimer {
    // Not quite zero is not zero.
    let rounded = |nanoseconds: u64| Timeval::from_nanoseconds(nanoseconds.next_multiple_of(1000));
    IntervalTimer {
        interval: rounded(setting.interval),
        value: rounded(setting.value),
    }
}

/// `getitimer(2)`
pub fn getitimer(which: i32, value: UserPointer) -> Result<usize, Errno> {
    check_timer(which)?;
    write_object(value, &to_timer(task::current_process().alarm.get()))?;
    Ok(0)
}

/// `setitimer(2)`
pub fn setitimer(which: i32, new: UserPointer, old: UserPointer) -> Result<usize, Errno> {
    // As on Linux, a null pointer disarms the timer.
    let new = if new.is_null() {
        IntervalTimer::default()
    } else {
        read_object(new)?
    };
    let setting = AlarmSetting {
        value: new.value.to_nanoseconds()?,
        interval: new.interval.to_nanoseconds()?,
    };
    check_timer(which)?;
    let before = Alarm::set(&task::current_process(), setting);
    if !old.is_null() {
        write_object(old, &to_timer(before))?;
    }
    Ok(0)
}

/// `alarm(2)`
pub fn alarm(seconds: u32) -> Result<usize, Errno> {
    let setting = AlarmSetting {
        value: u64::from(seconds) * NANOSECONDS,
        interval: 0,
    };
    let left = Alarm::set(&task::current_process(), setting).value;
    // Rounded to the nearest second, but a running alarm is never reported as none.
    Ok(if left == 0 {
        0
    } else {
        ((left + NANOSECONDS / 2) / NANOSECONDS).max(1) as usize
    })
}
