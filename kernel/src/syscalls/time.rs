//! Time: `clock_gettime(2)`, `nanosleep(2)` and their kin.

use alloc::sync::Arc;

use pith_linux::Errno;
use pith_linux::files::OpenFlags;
use pith_linux::signal::Signal;
use pith_linux::time::{
    ClockId, IntervalTimer, NANOSECONDS, ProcessTimes, TICKS_PER_SECOND, TIMER_ABSTIME, Timespec, Timeval, Timezone,
};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::fs::{context, timer_file};
use crate::memory::{UserPointer, read_object, write_object};
use crate::task::countdown::{self, Setting, TimerClock};
use crate::task::family::Usage;
use crate::task::interval_timers::{self, IntervalTimerKind};
use crate::task::posix_timers::{Notification, PosixTimers};
use crate::task::signal::{self, Restart};
use crate::task::{self, Instant, Process, Thread};

/// A clock that a program names.
enum Clock {
    /// One that everybody has.
    Common(ClockId),
    /// Processor time of a process.
    Process(Arc<Process>),
    /// Processor time of a thread.
    Thread(Arc<Thread>),
}

/// The clock with this number. Negative numbers name the processor time of a process or thread
/// (`clock_getcpuclockid(3)`): `!pid << 3` with the kind in the low bits.
fn clock_of(number: i32) -> Result<Clock, Errno> {
    let current = task::current();
    match ClockId::from_number(number) {
        Some(ClockId::ProcessCpu) => return Ok(Clock::Process(current.process.clone())),
        Some(ClockId::ThreadCpu) => return Ok(Clock::Thread(current.arc().ok_or(Errno::EINVAL)?)),
        Some(clock) => return Ok(Clock::Common(clock)),
        None if number >= 0 => return Err(Errno::EINVAL),
        None => {}
    }
    /// Set for the clock of a thread.
    const THREAD: i32 = 4;
    let pid = !(number >> 3) as u32;
    // Profiling, virtual and scheduler time are the same here.
    if number & 3 == 3 {
        return Err(Errno::EINVAL);
    }
    let thread = match pid {
        0 => current.arc(),
        number => task::find_thread(number),
    };
    let thread = thread.ok_or(Errno::EINVAL)?;
    match number & THREAD {
        0 if pid == 0 || pid == thread.process.id => Ok(Clock::Process(thread.process.clone())),
        0 => Err(Errno::EINVAL),
        _ => Ok(Clock::Thread(thread)),
    }
}

/// The value of a clock, in nanoseconds. There is no periodic tick, so the coarse clocks are as exact as the others;
/// the vDSO (`arch/x86_64/vdso.s`) reads all but the processor times the same way.
fn now(clock: &Clock) -> u64 {
    match clock {
        Clock::Process(process) => process.cpu_time(),
        Clock::Thread(thread) => thread.cpu_time(),
        Clock::Common(ClockId::Realtime | ClockId::RealtimeCoarse | ClockId::RealtimeAlarm | ClockId::Tai) => {
            task::wall_clock()
        }
        Clock::Common(_) => task::monotonic().0,
    }
}

/// `clock_gettime(2)`
pub fn clock_gettime(clock: i32, time: UserPointer) -> Result<usize, Errno> {
    write_object(time, &Timespec::from_nanoseconds(now(&clock_of(clock)?)))?;
    Ok(0)
}

/// `clock_getres(2)`
pub fn clock_getres(clock: i32, resolution: UserPointer) -> Result<usize, Errno> {
    clock_of(clock)?;
    if !resolution.is_null() {
        write_object(resolution, &Timespec::from_nanoseconds(1))?;
    }
    Ok(0)
}

/// `clock_settime(2)`
pub fn clock_settime(clock: i32, time: UserPointer) -> Result<usize, Errno> {
    match clock_of(clock) {
        Ok(Clock::Common(ClockId::Realtime)) => {}
        _ => return Err(Errno::EINVAL),
    }
    let wanted = read_object::<Timespec>(time)?.to_nanoseconds()?;
    set_wall_clock(wanted)
}

/// Refuses those who may not set clocks (`CAP_SYS_TIME`).
pub(super) fn may_set_clocks() -> Result<(), Errno> {
    crate::fs::permission::require(task::Capabilities::CLOCKS)
}

/// Linux refuses to set the clock so that the machine would have been started before 1970.
pub(super) fn set_wall_clock(wanted: u64) -> Result<usize, Errno> {
    may_set_clocks()?;
    if wanted < task::monotonic().0 || wanted > i64::MAX as u64 {
        return Err(Errno::EINVAL);
    }
    countdown::set_wall_clock(wanted);
    Ok(0)
}

/// `settimeofday(2)`
pub fn settimeofday(time: UserPointer, zone: UserPointer) -> Result<usize, Errno> {
    let wanted = match time.is_null() {
        true => None,
        false => Some(read_object::<Timeval>(time)?.to_nanoseconds()?),
    };
    if !zone.is_null() {
        let zone: Timezone = read_object(zone)?;
        if !(-15 * 60..=15 * 60).contains(&zone.minutes_west) {
            return Err(Errno::EINVAL);
        }
        if zone != Timezone::default() {
            crate::warning_once!("the kernel keeps no time zone: settimeofday ignores it");
        }
    }
    match wanted {
        Some(wanted) => set_wall_clock(wanted),
        None => Ok(0),
    }
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
        let process = task::current_process();
        let (own, children) = (process.split_time(), Usage::of_children(&process).time);
        let times = ProcessTimes {
            user: (own.program / tick) as i64,
            system: (own.kernel / tick) as i64,
            children_user: (children.program / tick) as i64,
            children_system: (children.kernel / tick) as i64,
        };
        write_object(buffer, &times)?;
    }
    Ok((task::monotonic().0 / tick) as usize)
}

/// Sleeps until `deadline`; a sleep of some duration tells what is left of it if a signal ends it, and when it starts
/// again it ends when the first was to end.
fn sleep(deadline: Instant, remaining: Option<UserPointer>) -> Result<usize, Errno> {
    let deadline = match remaining {
        Some(_) => signal::kept_deadline().unwrap_or(deadline),
        None => deadline,
    };
    if task::sleep_until(deadline).is_ok() {
        return Ok(0);
    }
    signal::set_restart(Restart::IfNoHandlerRuns);
    if let Some(remaining) = remaining {
        signal::keep_deadline(deadline);
        if !remaining.is_null() {
            let left = deadline.0.saturating_sub(task::monotonic().0);
            write_object(remaining, &Timespec::from_nanoseconds(left))?;
        }
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
    let number = clock;
    let clock = clock_of(number)?;
    let absolute = flags & TIMER_ABSTIME != 0;
    match &clock {
        Clock::Thread(_) if ClockId::from_number(number) == Some(ClockId::ThreadCpu) => return Err(Errno::EOPNOTSUPP),
        // Linux can't sleep on these clocks either.
        Clock::Common(ClockId::MonotonicRaw | ClockId::RealtimeCoarse | ClockId::MonotonicCoarse) => {
            return Err(Errno::EOPNOTSUPP);
        }
        // A thread's own time stands still while it sleeps.
        Clock::Thread(thread) if thread.id() == task::current().id() => return Err(Errno::EINVAL),
        _ => {}
    }
    let time = read_object::<Timespec>(request)?.to_nanoseconds()?;
    let wall = matches!(
        clock,
        Clock::Common(ClockId::Realtime | ClockId::RealtimeAlarm | ClockId::Tai)
    );
    match (&clock, absolute) {
        (Clock::Process(_) | Clock::Thread(_), _) => sleep_on_processor_time(&clock, time, absolute, remaining),
        (_, false) => sleep(task::monotonic().after(time), Some(remaining)),
        (_, true) if wall => sleep_until_wall_clock(time),
        (_, true) => sleep(Instant(time), None),
    }
}

/// Sleeps until the wall clock shows a time, also if it is set meanwhile.
fn sleep_until_wall_clock(time: u64) -> Result<usize, Errno> {
    while task::wall_clock() < time {
        // Whoever sets the clock wakes nobody who sleeps, so it is looked at now and then.
        const LONGEST: u64 = NANOSECONDS;
        let deadline = task::monotonic_at(time).min(task::monotonic().after(LONGEST));
        sleep(deadline, None)?;
    }
    Ok(0)
}

/// Sleeps until a clock of processor time has moved on by a time, or shows it.
fn sleep_on_processor_time(clock: &Clock, time: u64, absolute: bool, remaining: UserPointer) -> Result<usize, Errno> {
    let end = if absolute {
        time
    } else {
        now(clock).saturating_add(time)
    };
    loop {
        let left = end.saturating_sub(now(clock));
        if left == 0 {
            return Ok(0);
        }
        // All processors may work on it.
        let step = (left / task::cpu_count() as u64).max(1_000_000);
        if task::sleep_until(task::monotonic().after(step)).is_err() {
            signal::set_restart(if absolute {
                Restart::IfNoHandlerRuns
            } else {
                Restart::Never
            });
            if !absolute && !remaining.is_null() {
                let left = end.saturating_sub(now(clock));
                write_object(remaining, &Timespec::from_nanoseconds(left))?;
            }
            return Err(Errno::EINTR);
        }
    }
}

fn to_timer(setting: Setting) -> IntervalTimer {
    // Not quite zero is not zero.
    let rounded = |nanoseconds: u64| Timeval::from_nanoseconds(nanoseconds.next_multiple_of(1000));
    IntervalTimer {
        interval: rounded(setting.interval),
        value: rounded(setting.value),
    }
}

/// `getitimer(2)`
pub fn getitimer(which: i32, value: UserPointer) -> Result<usize, Errno> {
    let kind = IntervalTimerKind::from_number(which).ok_or(Errno::EINVAL)?;
    write_object(value, &to_timer(interval_timers::get(&task::current_process(), kind)))?;
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
    let setting = Setting {
        value: new.value.to_nanoseconds()?,
        interval: new.interval.to_nanoseconds()?,
    };
    let kind = IntervalTimerKind::from_number(which).ok_or(Errno::EINVAL)?;
    let before = interval_timers::set(&task::current_process(), kind, setting);
    if !old.is_null() {
        write_object(old, &to_timer(before))?;
    }
    Ok(0)
}

/// `alarm(2)`
pub fn alarm(seconds: u32) -> Result<usize, Errno> {
    let setting = Setting {
        value: u64::from(seconds) * NANOSECONDS,
        interval: 0,
    };
    let left = interval_timers::set(&task::current_process(), IntervalTimerKind::Real, setting).value;
    // Rounded to the nearest second, but a running alarm is never reported as none.
    Ok(if left == 0 {
        0
    } else {
        ((left + NANOSECONDS / 2) / NANOSECONDS).max(1) as usize
    })
}

/// The clock that a timer follows.
fn timer_clock(clock: &Clock) -> Result<TimerClock, Errno> {
    Ok(match clock {
        Clock::Process(process) => TimerClock::Process(Arc::downgrade(process)),
        Clock::Thread(thread) => TimerClock::Thread(Arc::downgrade(thread)),
        Clock::Common(ClockId::Realtime | ClockId::RealtimeAlarm | ClockId::Tai) => TimerClock::Wall,
        Clock::Common(ClockId::Monotonic | ClockId::Boottime | ClockId::BoottimeAlarm) => TimerClock::Monotonic,
        Clock::Common(_) => return Err(Errno::EOPNOTSUPP),
    })
}

/// `struct sigevent`, as far as the kernel looks at it.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct SignalEvent {
    value: u64,
    signal: i32,
    notify: i32,
    thread: i32,
    padding: [u8; 44],
}

/// Whom a timer tells.
fn notification_of(event: &SignalEvent) -> Result<Notification, Errno> {
    const SIGNAL: i32 = 0;
    const NONE: i32 = 1;
    const THREAD: i32 = 2;
    const THREAD_ID: i32 = 4;
    let signal = || Signal::from_number(event.signal as u64).ok_or(Errno::EINVAL);
    Ok(match event.notify {
        NONE => Notification::None,
        // The C library makes the thread; for the kernel it is a signal to the process.
        SIGNAL | THREAD => Notification::Process(signal()?, event.value),
        THREAD_ID | 6 => {
            let thread = task::find_thread(event.thread as u32).ok_or(Errno::EINVAL)?;
            Notification::Thread(Arc::downgrade(&thread), signal()?, event.value)
        }
        _ => return Err(Errno::EINVAL),
    })
}

/// The clock that a timer is to follow. The second result says that it is one of processor time, whose process or thread is
/// looked for when the timer has a number already.
fn wished_clock(number: i32) -> (Result<TimerClock, Errno>, bool) {
    // Clocks of devices (`FD_TO_CLOCKID` of clock_gettime(2)) have no timers.
    if number < 0 && number & 7 == 3 {
        return (Err(Errno::EOPNOTSUPP), false);
    }
    (clock_of(number).and_then(|clock| timer_clock(&clock)), number < 0)
}

/// `timer_create(2)`
pub fn timer_create(clock: i32, event: UserPointer, number: UserPointer) -> Result<usize, Errno> {
    let process = task::current_process();
    let event: Option<SignalEvent> = match event.is_null() {
        true => None,
        false => Some(read_object(event)?),
    };
    let (clock, is_late) = wished_clock(clock);
    if let (Err(errno), false) = (&clock, is_late) {
        return Err(*errno);
    }
    let notification = event.as_ref().map(notification_of).transpose();
    let wishes = notification.and_then(|notification| Ok((clock?, notification)));
    // As on Linux, one that can't be made after all has had a number.
    let (clock, notification) = wishes.inspect_err(|_| process.posix_timers.skip_number())?;
    let made = PosixTimers::create(&process, clock, |number| {
        notification.unwrap_or(Notification::Process(Signal::SIGALRM, number as u64))
    })?;
    if let Err(errno) = write_object(number, &made) {
        process.posix_timers.delete(made)?;
        return Err(errno);
    }
    Ok(0)
}

fn read_setting(from: UserPointer) -> Result<Setting, Errno> {
    let [interval, value]: [Timespec; 2] = read_object(from)?;
    Ok(Setting {
        value: value.to_nanoseconds()?,
        interval: interval.to_nanoseconds()?,
    })
}

fn write_setting(to: UserPointer, setting: Setting) -> Result<(), Errno> {
    write_object(to, &[setting.interval, setting.value].map(Timespec::from_nanoseconds))
}

/// `timer_settime(2)`
pub fn timer_settime(timer: i32, flags: i32, new: UserPointer, old: UserPointer) -> Result<usize, Errno> {
    if new.is_null() {
        return Err(Errno::EINVAL);
    }
    let setting = read_setting(new)?;
    let timer = task::current_process().posix_timers.find(timer)?;
    let before = timer.set(setting, flags as u64 & TIMER_ABSTIME != 0)?;
    if !old.is_null() {
        write_setting(old, before)?;
    }
    Ok(0)
}

/// `timer_gettime(2)`
pub fn timer_gettime(timer: i32, value: UserPointer) -> Result<usize, Errno> {
    let timer = task::current_process().posix_timers.find(timer)?;
    write_setting(value, timer.get())?;
    Ok(0)
}

/// `timer_getoverrun(2)`
pub fn timer_getoverrun(timer: i32) -> Result<usize, Errno> {
    Ok(task::current_process().posix_timers.find(timer)?.overrun() as usize)
}

/// `timer_delete(2)`
pub fn timer_delete(timer: i32) -> Result<usize, Errno> {
    task::current_process().posix_timers.delete(timer)?;
    Ok(0)
}

/// `timerfd_create(2)`
pub fn timerfd_create(clock: i32, flags: u32) -> Result<usize, Errno> {
    let (close_on_exec, nonblocking) = (OpenFlags::CLOSE_ON_EXEC.bits(), OpenFlags::NONBLOCKING.bits());
    let clock = match ClockId::from_number(clock) {
        Some(ClockId::Realtime | ClockId::RealtimeAlarm) => TimerClock::Wall,
        Some(ClockId::Monotonic | ClockId::Boottime | ClockId::BoottimeAlarm) => TimerClock::Monotonic,
        _ => return Err(Errno::EINVAL),
    };
    if flags & !(close_on_exec | nonblocking) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = timer_file::create(clock, OpenFlags::from_bits_truncate(flags & nonblocking));
    let descriptor = context::current().add(file, flags & close_on_exec != 0, 0)?;
    Ok(descriptor as usize)
}

/// `timerfd_settime(2)`
pub fn timerfd_settime(fd: i32, flags: u32, new: UserPointer, old: UserPointer) -> Result<usize, Errno> {
    const ABSOLUTE: u32 = 1;
    const CANCEL_ON_SET: u32 = 2;
    if flags & !(ABSOLUTE | CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let setting = read_setting(new)?;
    let open = context::current().file(fd)?;
    let file = timer_file::of(&open)?;
    let before = file.set(setting, flags & ABSOLUTE != 0, flags & CANCEL_ON_SET != 0);
    if !old.is_null() {
        write_setting(old, before)?;
    }
    Ok(0)
}

/// `timerfd_gettime(2)`
pub fn timerfd_gettime(fd: i32, value: UserPointer) -> Result<usize, Errno> {
    let open = context::current().file(fd)?;
    write_setting(value, timer_file::of(&open)?.get())?;
    Ok(0)
}
