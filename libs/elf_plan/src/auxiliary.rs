//! Types of entries in the auxiliary vector, see `getauxval(3)` and Linux' `uapi/linux/auxvec.h`.

/// End of the vector.
pub const AT_NULL: u64 = 0;
/// Entry to ignore.
pub const AT_IGNORE: u64 = 1;
/// File descriptor of the program; not used for ELF.
pub const AT_EXECFD: u64 = 2;
/// Address of the program headers.
pub const AT_PHDR: u64 = 3;
/// Size of one program header, in bytes.
pub const AT_PHENT: u64 = 4;
/// Number of program headers.
pub const AT_PHNUM: u64 = 5;
/// Size of a page, in bytes.
pub const AT_PAGESZ: u64 = 6;
/// Address at which the interpreter is loaded; 0 without one.
pub const AT_BASE: u64 = 7;
/// Flags; 0, or 1 for `binfmt_misc` programs that keep their `argv[0]`.
pub const AT_FLAGS: u64 = 8;
/// Entry point of the program (not of its interpreter).
pub const AT_ENTRY: u64 = 9;
/// Whether the program is something else than ELF; 0.
pub const AT_NOTELF: u64 = 10;
/// Real user ID.
pub const AT_UID: u64 = 11;
/// Effective user ID.
pub const AT_EUID: u64 = 12;
/// Real group ID.
pub const AT_GID: u64 = 13;
/// Effective group ID.
pub const AT_EGID: u64 = 14;
/// Address of a string that names the processor architecture.
pub const AT_PLATFORM: u64 = 15;
/// Processor capabilities: on x86, `edx` of CPUID leaf 1.
pub const AT_HWCAP: u64 = 16;
/// Clock ticks per second, the unit of `times(2)`.
pub const AT_CLKTCK: u64 = 17;
/// Whether the program gained privileges by being executed.
pub const AT_SECURE: u64 = 23;
/// Address of a string that names the processor the program was optimised for.
pub const AT_BASE_PLATFORM: u64 = 24;
/// Address of 16 random bytes.
pub const AT_RANDOM: u64 = 25;
/// More processor capabilities: on x86, bit 1 says that `rdfsbase` and its kin are allowed.
pub const AT_HWCAP2: u64 = 26;
/// Size of the restartable sequence area, see `rseq(2)`.
pub const AT_RSEQ_FEATURE_SIZE: u64 = 27;
/// Alignment of the restartable sequence area.
pub const AT_RSEQ_ALIGN: u64 = 28;
/// Address of the path that was executed.
pub const AT_EXECFN: u64 = 31;
/// System call entry of 32-bit programs.
pub const AT_SYSINFO: u64 = 32;
/// Address of the ELF header of the vDSO.
pub const AT_SYSINFO_EHDR: u64 = 33;
/// Least size of a signal stack, in bytes, see `sigaltstack(2)`.
pub const AT_MINSIGSTKSZ: u64 = 51;
