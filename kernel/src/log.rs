//! Kernel messages: a level, the module that speaks, a line of text.
//!
//! Where they go is decided by the console (floor 4), which registers itself as the sink; until then they go
//! to the first serial port.

use alloc::string::String;
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use pith_abi::image::LogLevel;
use spin::Once;

use crate::arch;

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
        }
        None => arch::serial::print_early(format_args!("{}: {module}: {text}\n", name(level))),
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
