//! Time: the time stamp counter, what it is worth, and the wall clock at boot.
//!
//! Nothing is measured at boot. The interval timer is started, and only when somebody first asks for time in
//! seconds is the counter compared with it.

use pith_timekeeping::{Calibration, Frequencies, Reading, Span};
use spin::{Mutex, Once};

use super::apic;
use super::instructions::{cpuid, read_port_u8, read_time_stamp_counter, write_port_u8};

/// The best reading at the last start of the counters, and the processor whose local timer was started.
static STARTED: Mutex<Option<(usize, Reading)>> = Mutex::new(None);
static FREQUENCIES: Once<Frequencies> = Once::new();

unsafe extern "C" {
    static boot_entry_ticks: u64;
}

/// The time stamp counter at the kernel's first instruction.
pub fn entry_ticks() -> u64 {
    // SAFETY: written once by the boot code, before any Rust code ran.
    unsafe { (&raw const boot_entry_ticks).read_volatile() }
}

/// Starts the counters: the interval timer's first channel from its largest count, and the local timer. (The other
/// measuring channel hangs on a port that QEMU's `microvm` lacks.) The interrupt at its end is masked at the controllers.
pub fn start() {
    write_port_u8(0x43, 0x30); // channel 0, both bytes, mode 0: count down once
    write_port_u8(0x40, 0xff);
    write_port_u8(0x40, 0xff);
    apic::start_counting();
    // The first reading may be slow: a monitor that translates meets this code for the first time.
    *STARTED.lock() = best_reading().map(|reading| (super::cpu::cpu_index(), reading));
}

/// What a look at the counters shows.
enum Look {
    /// Less than a turn of the interval timer has passed since the start.
    Reading(Reading),
    /// At least a turn has passed.
    TurnedOver(Reading),
    /// There is no interval timer.
    Nothing,
}

fn read() -> Look {
    /// Bits of the status that say how the channel was set up.
    const MODE: u8 = 0x3f;
    let before = read_time_stamp_counter();
    write_port_u8(0x43, 0xc2); // read back status and count of channel 0, which holds both
    let timer = apic::counted();
    let after = read_time_stamp_counter();
    let status = read_port_u8(0x40);
    let low = read_port_u8(0x40);
    let high = read_port_u8(0x40);
    if status & MODE != 0x30 {
        return Look::Nothing;
    }
    let reading = Reading {
        before,
        after,
        interval: 0xffff - u16::from_le_bytes([low, high]),
        timer,
    };
    // The output is high since the count has reached zero for the first time.
    match status & 0x80 {
        0 => Look::Reading(reading),
        _ => Look::TurnedOver(reading),
    }
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

/// The frequencies of the clocks; measured on first use, which takes less than a millisecond if the machine started some time
/// ago, at most 5 ms otherwise, and longer where the monitor stops the processor again and again.
pub fn frequencies() -> Frequencies {
    *FREQUENCIES.call_once(|| {
        // The timer of the local controller has to be this processor's.
        let enabled_before = super::instructions::interrupts_enabled();
        super::instructions::disable_interrupts();
        let measured = measure();
        if enabled_before {
            super::instructions::enable_interrupts();
        }
        Frequencies {
            counter: announced_frequency().unwrap_or(measured.counter),
            ..measured
        }
    })
}

/// The reading at the last start, if the counters of this processor were started.
fn at_start() -> Option<Reading> {
    let (cpu, first) = (*STARTED.lock())?;
    (cpu == super::cpu::cpu_index()).then_some(first)
}

/// The best of a few readings, however long after the start.
fn best_reading() -> Option<Reading> {
    let readings = [read(), read(), read()].map(|look| match look {
        Look::Reading(reading) | Look::TurnedOver(reading) => Some(reading),
        Look::Nothing => None,
    });
    readings.into_iter().flatten().min_by_key(Reading::uncertainty)
}

fn measure() -> Frequencies {
    /// How often the interval timer may turn over before something was found.
    const ATTEMPTS: usize = 20;
    let mut calibration = Calibration::new(at_start().zip(best_reading()));
    for _ in 0..ATTEMPTS {
        start();
        calibration.started();
        let begin = read_time_stamp_counter();
        loop {
            match read() {
                // It never moves.
                Look::Reading(reading) if reading.interval == 0 && reading.before - begin > 1_000_000_000 => {
                    return unmeasured();
                }
                Look::Reading(reading) => {
                    if let Some(found) = calibration.offer(reading) {
                        return found;
                    }
                }
                Look::TurnedOver(_) => break,
                Look::Nothing => return unmeasured(),
            }
        }
    }
    calibration.best().unwrap_or_else(unmeasured)
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
    match (at_start(), read()) {
        (Some(first), Look::Reading(now)) => {
            let found = Span::within_a_turn(&first, &now).frequencies();
            found.map_or(0, |found| found.counter)
        }
        // There was time enough for a real measurement.
        _ => frequencies().counter,
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
