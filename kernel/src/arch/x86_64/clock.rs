//! Time: the time stamp counter, what it is worth, and the wall clock at boot.
//!
//! Nothing is measured at boot. The interval timer is started, and only when somebody first asks for time in
//! seconds is the counter compared with it.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use spin::Once;

use super::apic;
use super::instructions::{cpuid, read_port_u8, read_time_stamp_counter, write_port_u8};

/// Frequency of the programmable interval timer, in Hz.
const INTERVAL_TIMER_FREQUENCY: u64 = 1_193_182;
/// Least measuring time, in ticks of the interval timer: 5 ms.
const LEAST_TICKS: u64 = 5966;

/// Frequencies in Hz.
#[derive(Clone, Copy, Debug)]
pub struct Frequencies {
    /// Of the time stamp counter.
    pub counter: u64,
    /// Of the local interrupt controller's timer at divider 1.
    pub timer: u64,
}

/// The counter when the interval timer was started, and for how many of its ticks that is uncertain: a monitor may have
/// stopped the processor between the two.
static START: AtomicU64 = AtomicU64::new(0);
static START_UNCERTAINTY: AtomicU64 = AtomicU64::new(0);
/// The local controller's timer runs on the processor that started it only.
static START_CPU: AtomicUsize = AtomicUsize::new(0);
/// A measurement is good if what is uncertain is at most this part of it.
const PRECISION: u64 = 2000;
static FREQUENCIES: Once<Frequencies> = Once::new();

unsafe extern "C" {
    static boot_entry_ticks: u64;
}

/// The time stamp counter at the kernel's first instruction.
pub fn entry_ticks() -> u64 {
    // SAFETY: written once by the boot code, before any Rust code ran.
    unsafe { (&raw const boot_entry_ticks).read_volatile() }
}

/// Starts the interval timer's first channel from its largest count. (The other measuring channel hangs on a
/// port that QEMU's `microvm` lacks.) The interrupt at its end is masked at the controllers.
pub fn start() {
    write_port_u8(0x43, 0x30); // channel 0, both bytes, mode 0: count down once
    write_port_u8(0x40, 0xff);
    let before = read_time_stamp_counter();
    write_port_u8(0x40, 0xff);
    apic::start_counting();
    let after = read_time_stamp_counter();
    START.store(before + (after - before) / 2, Ordering::Relaxed);
    START_UNCERTAINTY.store(after - before, Ordering::Relaxed);
    START_CPU.store(super::cpu::cpu_index(), Ordering::Relaxed);
}

/// Ticks since [`start`], or `None` if the count has run out.
fn interval_ticks() -> Option<u64> {
    write_port_u8(0x43, 0xc2); // read back status and count of channel 0
    let status = read_port_u8(0x40);
    let low = u64::from(read_port_u8(0x40));
    let high = u64::from(read_port_u8(0x40));
    if status & 0x80 != 0 {
        return None; // the output is high: the count has reached zero (or nobody answers)
    }
    Some(0xffff - (high << 8 | low))
}

/// What CPUID says the counter's frequency is.
fn announced_frequency() -> Option<u64> {
    // Asking is an exit to the monitor: once is enough.
    static ANSWER: Once<Option<u64>> = Once::new();
    *ANSWER.call_once(ask_frequency)
}

fn ask_frequency() -> Option<u64> {
    if cpuid(1, 0).ecx & 1 << 31 != 0 && cpuid(0x4000_0000, 0).eax >= 0x4000_0010 {
        let kilohertz = cpuid(0x4000_0010, 0).eax;
        if kilohertz != 0 {
            return Some(u64::from(kilohertz) * 1000);
        }
    }
    if cpuid(0, 0).eax >= 0x15 {
        let leaf = cpuid(0x15, 0);
        if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
            return Some(u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax));
        }
    }
    None
}

/// Without a timer to compare with: what the processor announces, or a guess.
fn unmeasured() -> Frequencies {
    Frequencies {
        counter: announced_frequency().unwrap_or(1_000_000_000),
        timer: 1_000_000_000,
    }
}

/// The frequencies of the clocks; measured on first use, which may take 5 ms, or longer where the monitor stops the
/// processor again and again.
pub fn frequencies() -> Frequencies {
    *FREQUENCIES.call_once(|| {
        // The timer of the local controller has to be this processor's.
        let enabled_before = super::instructions::interrupts_enabled();
        super::instructions::disable_interrupts();
        let measured = measure();
        if enabled_before {
            super::instructions::enable_interrupts();
        }
        measured
    })
}

fn measure() -> Frequencies {
    if START_CPU.load(Ordering::Relaxed) != super::cpu::cpu_index() {
        start();
    }
    let mut attempts = 0;
    // The best that was seen, in case that none is good: uncertainty, and what follows.
    let mut best: Option<(u64, Frequencies)> = None;
    loop {
        let before = read_time_stamp_counter();
        let Some(ticks) = interval_ticks() else {
            // More than 55 ms have passed since the start: start again. Without such a timer, the count never moves.
            attempts += 1;
            if attempts > 20 {
                return best.map_or_else(unmeasured, |(_, frequencies)| frequencies);
            }
            start();
            continue;
        };
        let timer = apic::counted();
        let after = read_time_stamp_counter();
        let start = START.load(Ordering::Relaxed);
        if ticks < LEAST_TICKS {
            if ticks == 0 && before - start > 1_000_000_000 {
                return unmeasured();
            }
            core::hint::spin_loop();
            continue;
        }
        let counter = before + (after - before) / 2 - start;
        let uncertain = (after - before) + START_UNCERTAINTY.load(Ordering::Relaxed);
        // In parts of a million of the span.
        let error = (u128::from(uncertain) * 1_000_000 / u128::from(counter.max(1))) as u64;
        let frequencies = Frequencies {
            counter: announced_frequency()
                .unwrap_or((u128::from(counter) * u128::from(INTERVAL_TIMER_FREQUENCY) / u128::from(ticks)) as u64),
            timer: (u128::from(timer) * u128::from(INTERVAL_TIMER_FREQUENCY) / u128::from(ticks)) as u64,
        };
        if error <= 1_000_000 / PRECISION {
            return frequencies;
        }
        if best.is_none_or(|(least, _)| error < least) {
            best = Some((error, frequencies));
        }
    }
}

/// The counter's frequency as well as it is known without waiting, for reports: measured since boot, however
/// short that was. 0 if that says nothing.
pub fn estimated_frequency() -> u64 {
    if let Some(known) = FREQUENCIES.get() {
        return known.counter;
    }
    if let Some(announced) = announced_frequency() {
        return announced;
    }
    match interval_ticks() {
        Some(ticks) if ticks >= LEAST_TICKS / 16 => {
            let counter = read_time_stamp_counter() - START.load(Ordering::Relaxed);
            (u128::from(counter) * u128::from(INTERVAL_TIMER_FREQUENCY) / u128::from(ticks)) as u64
        }
        Some(_) => 0,
        // The count has run out: there is time enough for a real measurement.
        None => frequencies().counter,
    }
}

/// Seconds since 1970 according to the battery-backed clock (MC146818), which is taken to run in UTC.
pub fn real_time_clock_seconds() -> u64 {
    let read = |register: u8| {
        write_port_u8(0x70, register | 0x80);
        read_port_u8(0x71)
    };
    let fields = || [read(0), read(2), read(4), read(7), read(8), read(9), read(0x32)];
    // Two equal readings without an update in between.
    let mut previous = [0; 7];
    for _ in 0..1000 {
        if read(10) & 0x80 != 0 {
            continue;
        }
        let now = fields();
        if now == previous {
            break;
        }
        previous = now;
    }
    let format = read(11);
    let decode = |value: u8| {
        u64::from(if format & 4 != 0 {
            value
        } else {
            (value >> 4) * 10 + (value & 15)
        })
    };
    let [second, minute, hour, day, month, year, century] = previous;
    let mut hour_value = decode(hour & 0x7f);
    if format & 2 == 0 {
        hour_value = hour_value % 12 + if hour & 0x80 != 0 { 12 } else { 0 };
    }
    let century = match decode(century) {
        value @ 19..=21 => value,
        _ => 20,
    };
    let (year, month, day) = (century * 100 + decode(year), decode(month), decode(day));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970 {
        return 0;
    }
    // Days since 1970 in the Gregorian calendar, counting years from March.
    let (shifted_year, shifted_month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = shifted_year * 365 + shifted_year / 4 - shifted_year / 100
        + shifted_year / 400
        + (shifted_month * 153 + 2) / 5
        + day
        - 1
        - 719_468;
    days * 86400 + hour_value * 3600 + decode(minute) * 60 + decode(second)
}
