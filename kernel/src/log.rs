//! Kernel messages: a level, the module that speaks, a line of text.
//!
//! Where they go is decided by the console (floor 4), which registers itself as the sink; until then they go
//! to the first serial port. Those that were shown are kept, the last 32 KiB of them, for programs that ask the kernel
//! for its messages; programs add their own.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicU8, Ordering};

use pith_abi::image::LogLevel;
use spin::Once;

use crate::arch;
use crate::sync::InterruptMutex;

/// A place for messages.
pub type Sink = fn(level: LogLevel, module: &str, text: &str);

static SINK: Once<Sink> = Once::new();
static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Warn as u8);

/// Sends messages to `sink` from now on.
pub fn set_sink(sink: Sink) {
    SINK.call_once(|| sink);
}

/// Shows messages of this severity and above.
pub fn set_level(level: LogLevel) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Whether a message of this level would be shown.
#[inline]
pub fn enabled(level: LogLevel) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Shows a message; use the macros.
pub fn write(level: LogLevel, module: &str, text: fmt::Arguments<'_>) {
    match SINK.get() {
        Some(sink) => {
            let mut line = String::new();
            // Writing to a string only fails without memory, and then `fmt` has nothing to report to.
            let _ = fmt::write(&mut line, text);
            sink(level, module, &line);
            line.insert_str(0, ": ");
            line.insert_str(0, module);
            keep(severity(level), line);
        }
        None => arch::serial::print_early(format_args!("{}: {module}: {text}\n", name(level))),
    }
}

/// A message that is kept.
#[derive(Clone)]
pub struct Record {
    /// Its number: messages are counted from 0.
    pub number: u64,
    /// When, in ticks of the time stamp counter.
    pub ticks: u64,
    /// The severity of `syslog(3)`, and above its three bits the facility: 0 is the kernel.
    pub priority: u16,
    /// The message.
    pub text: String,
}

/// Bytes of messages that are kept, with what each costs beside its text.
pub const KEPT_BYTES: usize = 32 << 10;

struct Kept {
    records: VecDeque<Record>,
    /// The number of the next message.
    next: u64,
    bytes: usize,
}

static KEPT: InterruptMutex<Kept> = InterruptMutex::new(Kept {
    records: VecDeque::new(),
    next: 0,
    bytes: 0,
});
static LISTENER: Once<fn()> = Once::new();

/// Names who is told of each message that is kept. It may be called anywhere, also by interrupt handlers.
pub fn set_listener(listener: fn()) {
    LISTENER.call_once(|| listener);
}

/// Keeps a message, instead of the oldest ones if there is no room.
pub fn keep(priority: u16, text: String) {
    let cost = |record: &Record| record.text.len() + size_of::<Record>();
    let dropped = {
        let mut kept = KEPT.lock();
        let record = Record {
            number: kept.next,
            ticks: arch::read_time_stamp_counter(),
            priority,
            text,
        };
        kept.next += 1;
        kept.bytes += cost(&record);
        let mut dropped = VecDeque::new();
        if kept.records.try_reserve(1).is_ok() {
            kept.records.push_back(record);
        } else {
            kept.bytes -= cost(&record);
            // The numbers of those that are there have no gaps.
            dropped = core::mem::take(&mut kept.records);
            kept.bytes = 0;
        }
        while kept.bytes > KEPT_BYTES
            && let Some(oldest) = kept.records.pop_front()
        {
            kept.bytes -= cost(&oldest);
        }
        dropped
    };
    drop(dropped);
    if let Some(listener) = LISTENER.get() {
        listener();
    }
}

/// The numbers of the messages that are kept.
pub fn kept() -> Range<u64> {
    let kept = KEPT.lock();
    kept.next - kept.records.len() as u64..kept.next
}

/// The message with this number, if it is kept.
pub fn record(number: u64) -> Option<Record> {
    let kept = KEPT.lock();
    let first = kept.next - kept.records.len() as u64;
    let index = number.checked_sub(first)?;
    kept.records.get(usize::try_from(index).ok()?).cloned()
}

/// A level as a severity of `syslog(3)`.
fn severity(level: LogLevel) -> u16 {
    match level {
        LogLevel::Error => 3,
        LogLevel::Warn => 4,
        LogLevel::Info => 6,
        LogLevel::Debug | LogLevel::Trace => 7,
    }
}

/// A level in words.
pub fn name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warning",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

/// The last part of a module path, which is what people want to see.
pub fn short(module: &'static str) -> &'static str {
    module.rsplit("::").next().unwrap_or(module)
}

/// A message of the given level.
#[macro_export]
macro_rules! log {
    ($level:expr, $($text:tt)*) => {
        if $crate::log::enabled($level) {
            $crate::log::write($level, $crate::log::short(module_path!()), format_args!($($text)*));
        }
    };
}

/// The machine, or the program, can't go on.
#[macro_export]
macro_rules! error {
    ($($text:tt)*) => { $crate::log!(pith_abi::image::LogLevel::Error, $($text)*) };
}

/// Something that explains a failure later on.
#[macro_export]
macro_rules! warning {
    ($($text:tt)*) => { $crate::log!(pith_abi::image::LogLevel::Warn, $($text)*) };
}

/// As [`warning!`], but only the first time that this place is reached.
#[macro_export]
macro_rules! warning_once {
    ($($text:tt)*) => {{
        static SAID: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);
        if !SAID.swap(true, core::sync::atomic::Ordering::Relaxed) {
            $crate::warning!($($text)*);
        }
    }};
}

/// A milestone.
#[macro_export]
macro_rules! info {
    ($($text:tt)*) => { $crate::log!(pith_abi::image::LogLevel::Info, $($text)*) };
}

/// For whoever works on the kernel.
#[macro_export]
macro_rules! debug {
    ($($text:tt)*) => { $crate::log!(pith_abi::image::LogLevel::Debug, $($text)*) };
}
