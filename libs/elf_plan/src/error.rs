//! Why a file can't be executed.

use core::fmt;

/// Why a file can't be executed: for people by [`fmt::Display`], for programs by [`Error::errno`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The headers are not within the bytes that were given; the file has them. Call again with more.
    NeedMore {
        /// How many bytes from the start of the file are needed. Never more than the file has.
        bytes: u64,
    },
    /// Neither an ELF file nor a script.
    NotExecutableFormat,
    /// A script whose first line names no interpreter, or one longer than 256 bytes.
    BadScriptLine,
    /// The file ends inside its headers.
    Truncated,
    /// A 32-bit program.
    Not64Bit,
    /// A program for a processor with the most significant byte first.
    BigEndian,
    /// An ELF version other than 1.
    UnknownVersion {
        /// The version.
        version: u32,
    },
    /// A program for another processor.
    WrongMachine {
        /// `e_machine`; [`machine_name`] names it.
        machine: u16,
    },
    /// An ELF file of a kind that can't be started: an object file, a core dump.
    NotAProgram {
        /// `e_type`.
        kind: u16,
    },
    /// Program headers of a size that is not that of ELF64.
    HeaderSize {
        /// `e_phentsize`, in bytes.
        size: u16,
    },
    /// No program headers, or more than fit in 64 KiB.
    HeaderCount {
        /// `e_phnum`.
        count: u16,
    },
    /// Nothing to load.
    NoSegments,
    /// A segment whose file content lies behind the end of the file.
    BeyondEndOfFile {
        /// Index of the program header.
        header: u16,
    },
    /// A segment that has more bytes in the file than in memory.
    LargerInFile {
        /// Index of the program header.
        header: u16,
    },
    /// A segment of which address and file offset differ within a page.
    Misaligned {
        /// Index of the program header.
        header: u16,
    },
    /// A segment with an alignment that no address of the user half has.
    HugeAlignment {
        /// Index of the program header.
        header: u16,
    },
    /// A segment that starts below the end of the one before it.
    OutOfOrder {
        /// Index of the program header.
        header: u16,
    },
    /// A segment outside the addresses of programs.
    BadAddress {
        /// Index of the program header.
        header: u16,
    },
    /// The path of the interpreter is empty, longer than 4095 bytes or not terminated.
    BadInterpreter,
    /// The kernel has no memory for the plan.
    OutOfMemory,
}

impl Error {
    /// The Linux error number of `execve(2)`.
    pub fn errno(self) -> u16 {
        const ENOEXEC: u16 = 8;
        const ENOMEM: u16 = 12;
        const EINVAL: u16 = 22;
        match self {
            Self::OutOfMemory => ENOMEM,
            Self::LargerInFile { .. }
            | Self::Misaligned { .. }
            | Self::BadAddress { .. }
            | Self::OutOfOrder { .. } => EINVAL,
            _ => ENOEXEC,
        }
    }

    /// The Linux error number of `execve(2)` when the file is the interpreter of the program: `ELIBBAD`, except
    /// that memory may be short here too.
    pub fn errno_of_interpreter(self) -> u16 {
        const ELIBBAD: u16 = 80;
        match self {
            Self::OutOfMemory => self.errno(),
            _ => ELIBBAD,
        }
    }
}

/// The usual name of a processor architecture, from `e_machine` of an ELF header.
pub fn machine_name(machine: u16) -> Option<&'static str> {
    use elf::abi;
    Some(match machine {
        abi::EM_X86_64 => "x86-64",
        abi::EM_386 => "x86 (32-bit)",
        abi::EM_AARCH64 => "aarch64",
        abi::EM_ARM => "arm (32-bit)",
        abi::EM_RISCV => "riscv",
        abi::EM_PPC64 => "powerpc64",
        abi::EM_PPC => "powerpc (32-bit)",
        abi::EM_S390 => "s390x",
        abi::EM_MIPS => "mips",
        abi::EM_SPARC => "sparc (32-bit)",
        abi::EM_SPARCV9 => "sparc64",
        abi::EM_68K => "m68k",
        abi::EM_IA_64 => "ia64",
        abi::EM_BPF => "bpf",
        258 => "loongarch",
        _ => return None,
    })
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NeedMore { bytes } => {
                write!(
                    formatter,
                    "the first {bytes} bytes of the file are needed to read its headers"
                )
            }
            Self::NotExecutableFormat => formatter.write_str(
                "the file is not a program: it starts neither with an ELF header nor with #!",
            ),
            Self::BadScriptLine => formatter.write_str(
                "the script's first line must name an interpreter, such as #!/bin/sh, within 256 bytes",
            ),
            Self::Truncated => formatter.write_str(
                "the ELF file ends inside its headers; it was not copied or built completely",
            ),
            Self::Not64Bit => formatter
                .write_str("the program is 32-bit; build it for x86-64, nothing else can run here"),
            Self::BigEndian => formatter.write_str(
                "the program is for a big-endian processor; build it for x86-64, nothing else can run here",
            ),
            Self::UnknownVersion { version } => {
                write!(formatter, "the ELF version is {version}, only 1 is known")
            }
            Self::WrongMachine { machine } => {
                match machine_name(machine) {
                    Some(name) => write!(formatter, "the program is for {name}")?,
                    None => write!(formatter, "the program is for processor number {machine}")?,
                }
                formatter.write_str("; build it for x86-64, nothing else can run here")
            }
            Self::NotAProgram { kind } => match kind {
                elf::abi::ET_REL => {
                    formatter.write_str("the file is an object file; link it into a program first")
                }
                elf::abi::ET_CORE => formatter.write_str("the file is a core dump, not a program"),
                _ => write!(formatter, "the ELF file is of kind {kind}, not a program"),
            },
            Self::HeaderSize { size } => write!(
                formatter,
                "the ELF file is damaged: its program headers have {size} bytes, not 56"
            ),
            Self::HeaderCount { count } => write!(
                formatter,
                "the ELF file has {count} program headers, which is none or too many"
            ),
            Self::NoSegments => {
                formatter.write_str("the ELF file has nothing to load; is it a debug file?")
            }
            Self::BeyondEndOfFile { header } => write!(
                formatter,
                "the ELF file is cut short: program header {header} needs bytes behind its end"
            ),
            Self::LargerInFile { header } => write!(
                formatter,
                "the ELF file is damaged: program header {header} has more bytes in the file than in memory"
            ),
            Self::Misaligned { header } => write!(
                formatter,
                "program header {header} has an address that does not fit its file offset; \
                 link with pages of 4096 bytes"
            ),
            Self::HugeAlignment { header } => write!(
                formatter,
                "the ELF file is damaged: program header {header} has an impossible alignment"
            ),
            Self::OutOfOrder { header } => write!(
                formatter,
                "the ELF file is damaged: the segment of program header {header} overlaps another or is out of order"
            ),
            Self::BadAddress { header } => write!(
                formatter,
                "program header {header} wants addresses outside 0x10000 to 0x7ffffffff000; \
                 link the program at a usual address or as position-independent"
            ),
            Self::BadInterpreter => {
                formatter.write_str("the ELF file is damaged: the path of its interpreter is invalid")
            }
            Self::OutOfMemory => formatter.write_str("no memory to plan the program's mappings"),
        }
    }
}

impl core::error::Error for Error {}
