//! The types of system call arguments: what a register means, and how the trace shows it.
//!
//! The names are those of the table (`table.in`). Parsing refuses what Linux refuses before it looks at
//! anything else; showing follows strace's notation.

use core::fmt::{self, Write};

use pith_linux::Errno;

use super::trace::Values;
use crate::memory::UserPointer;

/// Prints argument `index` of a call.
pub type Show = fn(&Values, usize, &mut dyn Write) -> fmt::Result;

/// A type of argument.
pub trait Argument: Sized {
    /// What the handler gets.
    type Value;

    /// Makes the handler's value from the register.
    ///
    /// # Errors
    /// What Linux answers to a value that can't be meant.
    fn parse(raw: u64) -> Result<Self::Value, Errno>;

    /// Prints the argument as strace does.
    fn show(values: &Values, index: usize, out: &mut dyn Write) -> fmt::Result;
}

macro_rules! plain {
    ($($(#[$meta:meta])* $name:ident => $value:ty, |$raw:ident| $parse:expr, $format:literal;)*) => {$(
        $(#[$meta])*
        pub struct $name;

        impl Argument for $name {
            type Value = $value;

            fn parse($raw: u64) -> Result<$value, Errno> {
                Ok($parse)
            }

            fn show(values: &Values, index: usize, out: &mut dyn Write) -> fmt::Result {
                let $raw = values.arguments[index];
                let value: $value = $parse;
                write!(out, $format, value)
            }
        }
    )*};
}

plain! {
    /// A file descriptor.
    Fd => i32, |raw| raw as i32, "{}";
    /// A signed number of 32 bits.
    Int => i32, |raw| raw as i32, "{}";
    /// An unsigned number of 32 bits.
    Unsigned => u32, |raw| raw as u32, "{}";
    /// A number of bytes or elements.
    Size => usize, |raw| raw as usize, "{}";
    /// A position in a file.
    Offset => i64, |raw| raw as i64, "{}";
    /// A number that is read best in hexadecimal.
    Hexadecimal => u64, |raw| raw, "{:#x}";
    /// An address that is not followed.
    Address => u64, |raw| raw, "{:#x}";
    /// To be shown better.
    AccessMode => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    Advice => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    ArchPrctlCode => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    AtFlags => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    Clock => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    DirectoryFd => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    FcntlCommand => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    FutexOperation => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    InputBytes => UserPointer, |raw| UserPointer(raw), "{:?}";
    /// To be shown better.
    IoctlRequest => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    MapFlags => u32, |raw| raw as u32, "{:#x}";
    /// To be shown better.
    MaskHow => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    Mode => u32, |raw| raw as u32, "{:#x}";
    /// To be shown better.
    OpenFlags => u32, |raw| raw as u32, "{:#x}";
    /// To be shown better.
    OutputBytes => UserPointer, |raw| UserPointer(raw), "{:?}";
    /// To be shown better.
    OutputString => UserPointer, |raw| UserPointer(raw), "{:?}";
    /// To be shown better.
    Path => UserPointer, |raw| UserPointer(raw), "{:?}";
    /// To be shown better.
    Pointer => UserPointer, |raw| UserPointer(raw), "{:?}";
    /// To be shown better.
    PrctlOption => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    ProtectionBits => u32, |raw| raw as u32, "{:#x}";
    /// To be shown better.
    Resource => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    Signal => i32, |raw| raw as i32, "{:#x}";
    /// To be shown better.
    StringVector => UserPointer, |raw| UserPointer(raw), "{:?}";
    /// To be shown better.
    Timespec => UserPointer, |raw| UserPointer(raw), "{:?}";
    /// To be shown better.
    Whence => i32, |raw| raw as i32, "{:#x}";
}
