//! The stack that a program starts with.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::auxiliary::{AT_EXECFN, AT_NULL, AT_PLATFORM, AT_RANDOM};

/// Longest argument or environment string with its NUL, in bytes: `MAX_ARG_STRLEN` of Linux.
pub const ARGUMENT_STRING_LIMIT: usize = 128 * 1024;

/// What arguments and environment may take at least, in bytes: `ARG_MAX` of Linux.
const ARGUMENT_BYTES_MINIMUM: u64 = 128 * 1024;

/// What they may take at most: three quarters of the usual stack limit of 8 MiB.
const ARGUMENT_BYTES_MAXIMUM: u64 = 6 * 1024 * 1024;

/// How many bytes arguments and environment may take, pointers included, with a stack of `stack_limit` bytes
/// (`RLIMIT_STACK`): a quarter of it, but at least 128 KiB and at most 6 MiB, see `execve(2)`.
pub fn argument_bytes_limit(stack_limit: u64) -> u64 {
    (stack_limit / 4).clamp(ARGUMENT_BYTES_MINIMUM, ARGUMENT_BYTES_MAXIMUM)
}

/// What a program finds on its stack.
///
/// ```text
/// stack_top      8 bytes of zero
///                program path, environment strings, argument strings (each ended by NUL)
///                platform string, 16 random bytes
///                auxiliary vector, ended by AT_NULL
///                environment pointers, ended by NULL
///                argument pointers, ended by NULL
/// stack_pointer  number of arguments; a multiple of 16
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StackContents<'a, Text> {
    /// Address behind the stack; a multiple of 16.
    pub stack_top: u64,
    /// `RLIMIT_STACK` in bytes, which limits arguments and environment, see [`argument_bytes_limit`].
    pub stack_limit: u64,
    /// The arguments from `argv[0]` on. Without any, one empty argument is given, as on Linux since 5.18.
    pub arguments: &'a [Text],
    /// The environment: `NAME=VALUE` each.
    pub environment: &'a [Text],
    /// The path that was executed (`AT_EXECFN`).
    pub program_path: &'a [u8],
    /// Bytes that nobody can foresee (`AT_RANDOM`); the C library makes its stack canary of them.
    pub random: [u8; 16],
    /// Name of the processor architecture (`AT_PLATFORM`): `x86_64`.
    pub platform: &'a [u8],
    /// Entries of the auxiliary vector as (type, value), in order. `AT_EXECFN`, `AT_PLATFORM`, `AT_RANDOM` and
    /// `AT_NULL` are added behind them, and ignored here.
    pub auxiliary: &'a [(u64, u64)],
}

/// The stack of a program before its first instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialStack {
    /// Where `bytes` begin, and the stack pointer at the entry point; a multiple of 16.
    pub stack_pointer: u64,
    /// What to write there; it ends at the top of the stack.
    pub bytes: Vec<u8>,
    /// Addresses of the argument strings: `/proc/PID/cmdline`.
    pub argument_strings: Range<u64>,
    /// Addresses of the environment strings: `/proc/PID/environ`.
    pub environment_strings: Range<u64>,
    /// Addresses of the auxiliary vector with its end: `/proc/PID/auxv`.
    pub auxiliary_vector: Range<u64>,
}

/// Why a stack can't be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackError {
    /// A string of [`ARGUMENT_STRING_LIMIT`] bytes or more (`E2BIG`).
    StringTooLong {
        /// Its length without NUL, in bytes.
        length: usize,
    },
    /// Arguments and environment are larger than the limit (`E2BIG`).
    TooLarge {
        /// Their size with pointers, in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A string with a NUL inside, which would end it early (`EINVAL`).
    ContainsNul,
    /// A top that is not a multiple of 16, or too close to address 0 (`EINVAL`).
    BadTop,
    /// The kernel has no memory for the copy (`ENOMEM`).
    OutOfMemory,
}

impl StackError {
    /// The Linux error number of `execve(2)`.
    pub fn errno(self) -> u16 {
        const E2BIG: u16 = 7;
        const ENOMEM: u16 = 12;
        const EINVAL: u16 = 22;
        match self {
            Self::StringTooLong { .. } | Self::TooLarge { .. } => E2BIG,
            Self::OutOfMemory => ENOMEM,
            Self::ContainsNul | Self::BadTop => EINVAL,
        }
    }
}

impl fmt::Display for StackError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::StringTooLong { length } => write!(
                formatter,
                "an argument or environment variable has {length} bytes; {} is the most",
                ARGUMENT_STRING_LIMIT - 1
            ),
            Self::TooLarge { size, limit } => write!(
                formatter,
                "arguments and environment take {size} bytes; {limit} is the most"
            ),
            Self::ContainsNul => {
                formatter.write_str("an argument or environment variable contains a NUL byte")
            }
            Self::BadTop => formatter.write_str("the top of the stack is not aligned to 16 bytes"),
            Self::OutOfMemory => formatter.write_str("no memory to lay out the program's stack"),
        }
    }
}

impl core::error::Error for StackError {}

impl<Text: AsRef<[u8]>> StackContents<'_, Text> {
    /// Lays out the stack.
    ///
    /// # Errors
    /// See [`StackError`].
    pub fn build(&self) -> Result<InitialStack, StackError> {
        if !self.stack_top.is_multiple_of(16) {
            return Err(StackError::BadTop);
        }
        let argument_count = self.arguments.len().max(1);
        let argument_size = match self.arguments {
            [] => 1,
            arguments => size_of_strings(arguments)?,
        };
        let environment_size = size_of_strings(self.environment)?;
        let path_size = size_of_strings(&[self.program_path])?;
        let platform_size = size_of_strings(&[self.platform])?;
        let pointers = argument_count as u64 + self.environment.len() as u64;
        let size = argument_size + environment_size + path_size + 8 * pointers;
        let limit = argument_bytes_limit(self.stack_limit);
        if size > limit {
            return Err(StackError::TooLarge { size, limit });
        }

        // From the top down, where everything is.
        let below = |address: u64, size: u64| address.checked_sub(size).ok_or(StackError::BadTop);
        let path = below(self.stack_top, 8 + path_size)?;
        let environment = below(path, environment_size)?;
        let arguments = below(environment, argument_size)?;
        let platform = below(arguments & !15, platform_size)?;
        let random = below(platform & !15, 16)?;
        let own = [AT_EXECFN, AT_PLATFORM, AT_RANDOM, AT_NULL];
        let auxiliary = self
            .auxiliary
            .iter()
            .copied()
            .filter(|(kind, _)| !own.contains(kind))
            .chain([
                (AT_RANDOM, random),
                (AT_EXECFN, path),
                (AT_PLATFORM, platform),
                (AT_NULL, 0),
            ]);
        let auxiliary_size = 16 * auxiliary.clone().count() as u64;
        // The number of arguments and two NULLs.
        let vectors_size = 8 * (pointers + 3) + auxiliary_size;
        let stack_pointer = below(random, vectors_size)? & !15;

        let mut bytes = Vec::new();
        let total = usize::try_from(self.stack_top - stack_pointer);
        let total = total.map_err(|_| StackError::OutOfMemory)?;
        bytes
            .try_reserve_exact(total)
            .map_err(|_| StackError::OutOfMemory)?;
        let mut stack = Writer {
            base: stack_pointer,
            bytes,
        };
        stack.word(argument_count as u64);
        match self.arguments {
            [] => stack.word(arguments),
            strings => stack.pointers(strings, arguments),
        }
        stack.word(0);
        stack.pointers(self.environment, environment);
        stack.word(0);
        let auxiliary_start = stack.position();
        for (kind, value) in auxiliary {
            stack.word(kind);
            stack.word(value);
        }
        let auxiliary_vector = auxiliary_start..stack.position();
        stack.zeroes_until(random);
        stack.bytes.extend_from_slice(&self.random);
        stack.zeroes_until(platform);
        stack.string(self.platform);
        stack.zeroes_until(arguments);
        for string in self.arguments {
            stack.string(string.as_ref());
        }
        // The one empty argument, if there are none.
        stack.zeroes_until(environment);
        for string in self.environment {
            stack.string(string.as_ref());
        }
        stack.string(self.program_path);
        stack.zeroes_until(self.stack_top);
        Ok(InitialStack {
            stack_pointer,
            bytes: stack.bytes,
            argument_strings: arguments..environment,
            environment_strings: environment..path,
            auxiliary_vector,
        })
    }
}

/// What strings take with a NUL each, in bytes, if each is acceptable.
fn size_of_strings<Text: AsRef<[u8]>>(strings: &[Text]) -> Result<u64, StackError> {
    let mut size = 0;
    for string in strings {
        let string = string.as_ref();
        if string.len() >= ARGUMENT_STRING_LIMIT {
            return Err(StackError::StringTooLong {
                length: string.len(),
            });
        }
        if string.contains(&0) {
            return Err(StackError::ContainsNul);
        }
        size += string.len() as u64 + 1;
    }
    Ok(size)
}

/// The bytes of the stack from the lowest address on.
struct Writer {
    /// Address of the first byte.
    base: u64,
    /// What has been written.
    bytes: Vec<u8>,
}

impl Writer {
    /// Address of the next byte.
    fn position(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Writes a number of 64 bits.
    fn word(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes the addresses of strings that lie one after the other from `address` on.
    fn pointers<Text: AsRef<[u8]>>(&mut self, strings: &[Text], mut address: u64) {
        for string in strings {
            self.word(address);
            address += string.as_ref().len() as u64 + 1;
        }
    }

    /// Writes a string and its NUL.
    fn string(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
    }

    /// Fills up to `address`.
    fn zeroes_until(&mut self, address: u64) {
        let length = address.saturating_sub(self.base) as usize;
        self.bytes.resize(length.max(self.bytes.len()), 0);
    }
}
