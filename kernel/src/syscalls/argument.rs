//! The types of system call arguments: what a register means, and how the trace shows it.
//!
//! The names are those of the table (`table.in`). Parsing makes the handler's value of the register; a register
//! may hold anything above the width of its type, which is cut off as on Linux. Showing follows strace's
//! notation. What a call writes to the program's memory is only known when it has returned: until then its
//! argument shows itself as [`LATER`].

use core::fmt::{self, Write};

use pith_linux::Errno;
use pith_linux::signal::{Signal as SignalNumber, SignalAction};
use pith_linux::system::RESOURCES;
use pith_linux::time::{ClockId, Timespec as Time};

use super::trace::Values;
use crate::memory::{PAGE_SIZE, UserPointer, copy_from_user, read_object, read_string};

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

/// Stands for an argument that can only be shown when the call has returned.
pub const LATER: &str = "\0";

/// Bytes of a buffer that are shown.
const SHOWN_BYTES: usize = 32;
/// Elements of an array that are shown.
const SHOWN_ELEMENTS: u64 = 16;

/// Names of the bits or values of an argument.
type Names = &'static [(u64, &'static str)];

/// The constants of a module of `linux_raw_sys` with their names.
macro_rules! names {
    ($module:ident: $($name:ident)*) => {
        &[$((linux_raw_sys::$module::$name as u64, stringify!($name))),*]
    };
}

/// Prints the names of bits, and in hexadecimal those that have none.
fn show_flags(out: &mut dyn Write, value: u64, names: Names) -> fmt::Result {
    let mut rest = value;
    let mut separator = "";
    for &(bits, name) in names {
        if (bits != 0 && rest & bits == bits) || (bits == 0 && value == 0) {
            write!(out, "{separator}{name}")?;
            rest &= !bits;
            separator = "|";
        }
    }
    if rest != 0 || separator.is_empty() {
        show_hexadecimal(out, rest, separator)?;
    }
    Ok(())
}

fn show_hexadecimal(out: &mut dyn Write, value: u64, before: &str) -> fmt::Result {
    if value == 0 {
        write!(out, "{before}0")
    } else {
        write!(out, "{before}{value:#x}")
    }
}

/// Prints the name of a value, or the value.
fn show_choice(out: &mut dyn Write, value: u64, names: Names) -> fmt::Result {
    match names.iter().find(|&&(candidate, _)| candidate == value) {
        Some((_, name)) => out.write_str(name),
        None => show_hexadecimal(out, value, ""),
    }
}

fn show_address(out: &mut dyn Write, address: u64) -> fmt::Result {
    if address == 0 {
        out.write_str("NULL")
    } else {
        write!(out, "{address:#x}")
    }
}

/// Prints bytes in quotes, escaped as in C; what can't be printed in octal.
fn show_quoted(out: &mut dyn Write, bytes: &[u8], more: bool) -> fmt::Result {
    out.write_char('"')?;
    for (index, &byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b'\n' => out.write_str("\\n")?,
            b'\t' => out.write_str("\\t")?,
            b'\r' => out.write_str("\\r")?,
            0x0b => out.write_str("\\v")?,
            0x0c => out.write_str("\\f")?,
            b' '..=b'~' => out.write_char(char::from(byte))?,
            // As short as it can be: with all digits only if one follows.
            _ if bytes.get(index + 1).is_some_and(u8::is_ascii_digit) => write!(out, "\\{byte:03o}")?,
            _ => write!(out, "\\{byte:o}")?,
        }
    }
    out.write_str(if more { "\"..." } else { "\"" })
}

/// Prints the start of a buffer of the program.
fn show_bytes(out: &mut dyn Write, address: u64, length: u64) -> fmt::Result {
    let mut bytes = [0; SHOWN_BYTES];
    let shown = length.min(SHOWN_BYTES as u64) as usize;
    match copy_from_user(&mut bytes[..shown], UserPointer(address)) {
        Ok(()) => show_quoted(out, &bytes[..shown], length > shown as u64),
        Err(_) => show_address(out, address),
    }
}

/// Prints a string of the program.
fn show_string(out: &mut dyn Write, address: u64) -> fmt::Result {
    match read_string(UserPointer(address), PAGE_SIZE, Errno::ENAMETOOLONG) {
        Ok(string) => show_quoted(out, &string, false),
        Err(_) => show_address(out, address),
    }
}

/// Prints a structure of the program: its address where it can't be read.
fn show_time(out: &mut dyn Write, address: u64) -> fmt::Result {
    match read_object::<Time>(UserPointer(address)) {
        Ok(time) => write!(out, "{{tv_sec={}, tv_nsec={}}}", time.seconds, time.nanoseconds),
        Err(_) => show_address(out, address),
    }
}

/// Prints a set of signals as strace does: without `SIG`, and what is missing if most are there.
fn show_signals(out: &mut dyn Write, set: u64) -> fmt::Result {
    let inverted = set.count_ones() > 32;
    let shown = if inverted { !set } else { set };
    out.write_str(if inverted { "~[" } else { "[" })?;
    let mut separator = "";
    for signal in (1..=u64::from(SignalNumber::MAXIMUM)).filter_map(SignalNumber::from_number) {
        if shown & signal.bit() != 0 {
            match signal.standard_name() {
                Some(name) => write!(out, "{separator}{}", name.trim_start_matches("SIG"))?,
                None => write!(out, "{separator}RT_{}", signal.number() - SignalNumber::FIRST_REAL_TIME)?,
            }
            separator = " ";
        }
    }
    out.write_char(']')
}

fn show_action(out: &mut dyn Write, address: u64) -> fmt::Result {
    let Ok(action) = read_object::<SignalAction>(UserPointer(address)) else {
        return show_address(out, address);
    };
    out.write_str("{sa_handler=")?;
    show_choice(out, action.handler, &[(0, "SIG_DFL"), (1, "SIG_IGN")])?;
    out.write_str(", sa_mask=")?;
    show_signals(out, action.mask)?;
    out.write_str(", sa_flags=")?;
    show_flags(
        out,
        action.flags,
        names!(general:
        SA_RESTORER SA_ONSTACK SA_RESTART SA_NODEFER SA_RESETHAND SA_SIGINFO SA_NOCLDSTOP SA_NOCLDWAIT),
    )?;
    if action.flags & u64::from(linux_raw_sys::general::SA_RESTORER) != 0 {
        write!(out, ", sa_restorer={:#x}", action.restorer)?;
    }
    out.write_char('}')
}

/// Kinds of arguments: name, the handler's type, how it is made of the register, and how it is shown.
macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident => $value:ty, |$raw:ident| $parse:expr,
       |$values:ident, $index:ident, $out:ident| $show:expr;)*) => {$(
        $(#[$meta])*
        pub struct $name;

        impl Argument for $name {
            type Value = $value;

            fn parse($raw: u64) -> Result<$value, Errno> {
                Ok($parse)
            }

            fn show($values: &Values, $index: usize, $out: &mut dyn Write) -> fmt::Result {
                $show
            }
        }
    )*};
}

kinds! {
    /// A file descriptor.
    Fd => i32, |raw| raw as i32, |values, index, out| write!(out, "{}", values.arguments[index] as i32);
    /// A signed number of 32 bits.
    Int => i32, |raw| raw as i32, |values, index, out| write!(out, "{}", values.arguments[index] as i32);
    /// An unsigned number of 32 bits.
    Unsigned => u32, |raw| raw as u32, |values, index, out| write!(out, "{}", values.arguments[index] as u32);
    /// A number of bytes or elements.
    Size => usize, |raw| raw as usize, |values, index, out| write!(out, "{}", values.arguments[index]);
    /// A position in a file.
    Offset => i64, |raw| raw as i64, |values, index, out| write!(out, "{}", values.arguments[index] as i64);
    /// A number that is read best in hexadecimal.
    Hexadecimal => u64, |raw| raw, |values, index, out| show_hexadecimal(out, values.arguments[index], "");
    /// A signed number of 32 bits that is read best in hexadecimal.
    Hexadecimal32 => i32, |raw| raw as i32, |values, index, out| {
        show_hexadecimal(out, values.arguments[index] & 0xffff_ffff, "")
    };
    /// An address that is not followed.
    Address => u64, |raw| raw, |values, index, out| show_address(out, values.arguments[index]);
    /// The address of a structure that is not shown.
    Pointer => UserPointer, |raw| UserPointer(raw), |values, index, out| show_address(out, values.arguments[index]);

    /// Bytes that the program gives; the next argument says how many.
    InputBytes => UserPointer, |raw| UserPointer(raw), |values, index, out| {
        show_bytes(out, values.arguments[index], values.arguments[(index + 1).min(5)])
    };
    /// Bytes that the program gets; the result says how many.
    OutputBytes => UserPointer, |raw| UserPointer(raw), |values, index, out| match values.result {
        None => out.write_str(LATER),
        Some(length) if length >= 0 => show_bytes(out, values.arguments[index], length as u64),
        Some(_) => show_address(out, values.arguments[index]),
    };
    /// A string that the program gets.
    OutputString => UserPointer, |raw| UserPointer(raw), |values, index, out| match values.result {
        None => out.write_str(LATER),
        Some(length) if length >= 0 => show_string(out, values.arguments[index]),
        Some(_) => show_address(out, values.arguments[index]),
    };
    /// A path.
    Path => UserPointer, |raw| UserPointer(raw), |values, index, out| show_string(out, values.arguments[index]);
    /// An array of strings that ends with `NULL`.
    StringVector => UserPointer, |raw| UserPointer(raw), |values, index, out| {
        show_strings(out, values.arguments[index])
    };
    /// An array of buffers to write from; the next argument says how many.
    InputSlices => UserPointer, |raw| UserPointer(raw), |values, index, out| {
        show_slices(out, values.arguments[index], values.arguments[(index + 1).min(5)], u64::MAX)
    };
    /// An array of buffers to read into; the next argument says how many, the result how much was read.
    OutputSlices => UserPointer, |raw| UserPointer(raw), |values, index, out| match values.result {
        None => out.write_str(LATER),
        Some(length) => show_slices(
            out, values.arguments[index], values.arguments[(index + 1).min(5)], length.max(0) as u64,
        ),
    };
    /// A time that the program gives.
    Timespec => UserPointer, |raw| UserPointer(raw), |values, index, out| show_time(out, values.arguments[index]);
    /// A time that the program gets.
    OutputTime => UserPointer, |raw| UserPointer(raw), |values, index, out| match values.result {
        None => out.write_str(LATER),
        Some(0) => show_time(out, values.arguments[index]),
        Some(_) => show_address(out, values.arguments[index]),
    };
    /// A set of signals that the program gives.
    SignalSet => UserPointer, |raw| UserPointer(raw), |values, index, out| {
        match read_object::<u64>(UserPointer(values.arguments[index])) {
            Ok(set) => show_signals(out, set),
            Err(_) => show_address(out, values.arguments[index]),
        }
    };
    /// A set of signals that the program gets.
    OutputSignalSet => UserPointer, |raw| UserPointer(raw), |values, index, out| {
        match (values.result, read_object::<u64>(UserPointer(values.arguments[index]))) {
            (None, _) => out.write_str(LATER),
            (Some(0), Ok(set)) => show_signals(out, set),
            _ => show_address(out, values.arguments[index]),
        }
    };

    /// What the program wants to happen on a signal.
    Action => UserPointer, |raw| UserPointer(raw), |values, index, out| show_action(out, values.arguments[index]);
    /// What happened on a signal before.
    OutputAction => UserPointer, |raw| UserPointer(raw), |values, index, out| match values.result {
        None => out.write_str(LATER),
        Some(0) => show_action(out, values.arguments[index]),
        Some(_) => show_address(out, values.arguments[index]),
    };

    /// `mode` of `access(2)`.
    AccessMode => i32, |raw| raw as i32, |values, index, out| {
        show_flags(out, values.arguments[index] & 0xffff_ffff, names!(general: F_OK R_OK W_OK X_OK))
    };
    /// `advice` of `madvise(2)`.
    Advice => i32, |raw| raw as i32, |values, index, out| {
        show_choice(out, values.arguments[index] & 0xffff_ffff, names!(general:
            MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED MADV_FREE MADV_REMOVE
            MADV_DONTFORK MADV_DOFORK MADV_MERGEABLE MADV_UNMERGEABLE MADV_HUGEPAGE MADV_NOHUGEPAGE
            MADV_DONTDUMP MADV_DODUMP MADV_WIPEONFORK MADV_KEEPONFORK MADV_COLD MADV_PAGEOUT
            MADV_POPULATE_READ MADV_POPULATE_WRITE))
    };
    /// `code` of `arch_prctl(2)`.
    ArchPrctlCode => i32, |raw| raw as i32, |values, index, out| {
        show_choice(out, values.arguments[index] & 0xffff_ffff, &[
            (0x1001, "ARCH_SET_GS"), (0x1002, "ARCH_SET_FS"), (0x1003, "ARCH_GET_FS"), (0x1004, "ARCH_GET_GS"),
            (0x1011, "ARCH_GET_CPUID"), (0x1012, "ARCH_SET_CPUID"),
        ])
    };
    /// Flags of the calls that end in `at`.
    AtFlags => i32, |raw| raw as i32, |values, index, out| {
        let value = values.arguments[index] & 0xffff_ffff;
        match values.name {
            "unlinkat" => show_flags(out, value, names!(general: AT_REMOVEDIR)),
            "faccessat" | "faccessat2" => {
                show_flags(out, value, names!(general: AT_EACCESS AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH))
            }
            "statx" => show_flags(out, value, names!(general:
                AT_STATX_SYNC_AS_STAT AT_STATX_FORCE_SYNC AT_STATX_DONT_SYNC AT_SYMLINK_NOFOLLOW AT_NO_AUTOMOUNT
                AT_EMPTY_PATH)),
            _ => show_flags(out, value, names!(general:
                AT_SYMLINK_NOFOLLOW AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH)),
        }
    };
    /// A clock.
    Clock => i32, |raw| raw as i32, |values, index, out| {
        let number = values.arguments[index] as i32;
        match ClockId::from_number(number) {
            Some(clock) => out.write_str(clock.name()),
            None => write!(out, "{number}"),
        }
    };
    /// The directory from which a relative path starts.
    DirectoryFd => i32, |raw| raw as i32, |values, index, out| match values.arguments[index] as i32 {
        linux_raw_sys::general::AT_FDCWD => out.write_str("AT_FDCWD"),
        number => write!(out, "{number}"),
    };
    /// `op` of `epoll_ctl(2)`.
    EventOperation => i32, |raw| raw as i32, |values, index, out| {
        show_choice(out, values.arguments[index] & 0xffff_ffff, &[
            (1, "EPOLL_CTL_ADD"), (2, "EPOLL_CTL_DEL"), (3, "EPOLL_CTL_MOD"),
        ])
    };
    /// What `inotify_add_watch(2)` watches for.
    InotifyMask => u32, |raw| raw as u32, |values, index, out| {
        show_flags(out, values.arguments[index] & 0xffff_ffff, names!(general:
            IN_ALL_EVENTS IN_ACCESS IN_MODIFY IN_ATTRIB IN_CLOSE_WRITE IN_CLOSE_NOWRITE IN_OPEN IN_MOVED_FROM
            IN_MOVED_TO IN_CREATE IN_DELETE IN_DELETE_SELF IN_MOVE_SELF IN_ONLYDIR IN_DONT_FOLLOW IN_EXCL_UNLINK
            IN_MASK_CREATE IN_MASK_ADD IN_ONESHOT))
    };
    /// Flags of `inotify_init1(2)`.
    InotifyFlags => u32, |raw| raw as u32, |values, index, out| {
        show_flags(out, values.arguments[index] & 0xffff_ffff, &[
            (0o2_000_000, "IN_CLOEXEC"), (0o4000, "IN_NONBLOCK"),
        ])
    };
    /// Flags of `epoll_create1(2)` and `eventfd2(2)`.
    EventFlags => u32, |raw| raw as u32, |values, index, out| {
        let names: Names = match values.name {
            "epoll_create1" => &[(0o2_000_000, "EPOLL_CLOEXEC")],
            _ => &[(1, "EFD_SEMAPHORE"), (0o2_000_000, "EFD_CLOEXEC"), (0o4000, "EFD_NONBLOCK")],
        };
        show_flags(out, values.arguments[index] & 0xffff_ffff, names)
    };
    /// `cmd` of `fcntl(2)`.
    FcntlCommand => i32, |raw| raw as i32, |values, index, out| {
        show_choice(out, values.arguments[index] & 0xffff_ffff, names!(general:
            F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN F_GETOWN F_SETSIG F_GETSIG
            F_SETOWN_EX F_GETOWN_EX F_GETOWNER_UIDS
            F_SETLEASE F_GETLEASE F_NOTIFY F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS
            F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW))
    };
    /// `flags` of `clone(2)`, with the signal at the child's end in the lowest byte.
    CloneFlags => u64, |raw| raw, |values, index, out| {
        let value = values.arguments[index] & 0xffff_ffff;
        show_flags(out, value & !0xff, names!(general:
            CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE CLONE_VFORK CLONE_PARENT
            CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID
            CLONE_DETACHED CLONE_UNTRACED CLONE_CHILD_SETTID CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC
            CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET CLONE_IO))?;
        match SignalNumber::from_number(value & 0xff) {
            Some(signal) => write!(out, "|{signal}"),
            None => Ok(()),
        }
    };
    /// `op` of `futex(2)`.
    FutexOperation => i32, |raw| raw as i32, |values, index, out| {
        let value = values.arguments[index] & 0xffff_ffff;
        show_choice(out, value & 0x7f, names!(general:
            FUTEX_WAIT FUTEX_WAKE FUTEX_FD FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_LOCK_PI
            FUTEX_UNLOCK_PI FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET FUTEX_WAIT_REQUEUE_PI
            FUTEX_CMP_REQUEUE_PI FUTEX_LOCK_PI2))?;
        if value & 128 != 0 {
            // strace writes it as part of the name.
            out.write_str("_PRIVATE")?;
        }
        if value & 256 != 0 {
            out.write_str("|FUTEX_CLOCK_REALTIME")?;
        }
        Ok(())
    };
    /// `request` of `ioctl(2)`.
    IoctlRequest => i32, |raw| raw as i32, |values, index, out| {
        show_choice(out, values.arguments[index] & 0xffff_ffff, names!(ioctl:
            TCGETS TCSETS TCSETSW TCSETSF TCGETA TCSETA TCSBRK TCXONC TCFLSH TIOCGWINSZ TIOCSWINSZ TIOCGPGRP
            TIOCSPGRP TIOCSCTTY TIOCNOTTY TIOCGSID TIOCINQ TIOCOUTQ FIONBIO FIOASYNC FIOCLEX FIONCLEX FICLONE
            FICLONERANGE FS_IOC_GETFLAGS BLKGETSIZE64))
    };
    /// `flags` of `mlockall(2)`.
    LockFlags => i32, |raw| raw as i32, |values, index, out| {
        show_flags(out, values.arguments[index] & 0xffff_ffff, names!(general: MCL_CURRENT MCL_FUTURE MCL_ONFAULT))
    };
    /// `flags` of `mmap(2)`.
    MapFlags => u32, |raw| raw as u32, |values, index, out| {
        let value = values.arguments[index] & 0xffff_ffff;
        // The type of the mapping is a number, not a set of bits.
        show_choice(out, value & 15, names!(general: MAP_SHARED MAP_PRIVATE MAP_SHARED_VALIDATE))?;
        if value & !15 != 0 {
            out.write_char('|')?;
            show_flags(out, value & !15, names!(general:
                MAP_FIXED MAP_ANONYMOUS MAP_GROWSDOWN MAP_DENYWRITE MAP_EXECUTABLE MAP_LOCKED MAP_NORESERVE
                MAP_POPULATE MAP_NONBLOCK MAP_STACK MAP_HUGETLB MAP_SYNC MAP_FIXED_NOREPLACE))?;
        }
        Ok(())
    };
    /// Flags and permissions of `shmget(2)` and its relatives.
    IpcFlags => i32, |raw| raw as i32, |values, index, out| {
        let value = values.arguments[index] & 0xffff_ffff;
        if value & 0o3000 != 0 {
            show_flags(out, value & 0o3000, &[(0o1000, "IPC_CREAT"), (0o2000, "IPC_EXCL")])?;
            out.write_char('|')?;
        }
        write!(out, "0{:o}", value & !0o3000)
    };
    /// Flags of `shmat(2)`.
    ShmFlags => i32, |raw| raw as i32, |values, index, out| {
        show_flags(out, values.arguments[index] & 0xffff_ffff, &[
            (0o10000, "SHM_RDONLY"), (0o20000, "SHM_RND"), (0o40000, "SHM_REMAP"), (0o100_000, "SHM_EXEC"),
        ])
    };
    /// A timer of `setitimer(2)`.
    IntervalTimer => i32, |raw| raw as i32, |values, index, out| {
        show_choice(out, values.arguments[index] & 0xffff_ffff, names!(general:
            ITIMER_REAL ITIMER_VIRTUAL ITIMER_PROF))
    };
    /// `how` of `sigprocmask(2)`.
    MaskHow => i32, |raw| raw as i32, |values, index, out| {
        show_choice(out, values.arguments[index] & 0xffff_ffff, names!(general: SIG_BLOCK SIG_UNBLOCK SIG_SETMASK))
    };
    /// Permission bits of a file.
    Mode => u32, |raw| raw as u32, |values, index, out| write!(out, "0{:02o}", values.arguments[index] as u32);
    /// `flags` of `open(2)` and of calls that take some of them.
    OpenFlags => u32, |raw| raw as u32, |values, index, out| {
        let value = values.arguments[index] & 0xffff_ffff;
        let others = value & !u64::from(linux_raw_sys::general::O_ACCMODE);
        let opens = matches!(values.name, "open" | "openat");
        if opens {
            show_choice(out, value & 3, names!(general: O_RDONLY O_WRONLY O_RDWR))?;
            if others == 0 {
                return Ok(());
            }
            out.write_char('|')?;
        }
        show_flags(out, if opens { others } else { value }, names!(general:
            O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_SYNC O_DSYNC FASYNC O_DIRECT O_TMPFILE O_DIRECTORY
            O_NOFOLLOW O_NOATIME O_CLOEXEC O_PATH))
    };
    /// `option` of `prctl(2)`.
    PrctlOption => i32, |raw| raw as i32, |values, index, out| {
        show_choice(out, values.arguments[index] & 0xffff_ffff, names!(prctl:
            PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE PR_GET_KEEPCAPS PR_SET_KEEPCAPS
            PR_SET_NAME PR_GET_NAME PR_GET_SECCOMP PR_SET_SECCOMP PR_CAPBSET_READ PR_CAPBSET_DROP PR_SET_TIMERSLACK
            PR_GET_TIMERSLACK PR_SET_MM PR_SET_CHILD_SUBREAPER PR_SET_NO_NEW_PRIVS PR_GET_NO_NEW_PRIVS
            PR_GET_TID_ADDRESS PR_SET_THP_DISABLE PR_GET_THP_DISABLE PR_CAP_AMBIENT PR_SET_VMA))
    };
    /// `prot` of `mmap(2)`.
    ProtectionBits => u32, |raw| raw as u32, |values, index, out| {
        show_flags(out, values.arguments[index] & 0xffff_ffff, names!(general:
            PROT_NONE PROT_READ PROT_WRITE PROT_EXEC PROT_SEM PROT_GROWSDOWN PROT_GROWSUP))
    };
    /// `flags` of `getrandom(2)`.
    RandomFlags => u64, |raw| raw, |values, index, out| {
        show_flags(out, values.arguments[index], names!(general: GRND_NONBLOCK GRND_RANDOM GRND_INSECURE))
    };
    /// `flags` of `mremap(2)`.
    RemapFlags => u64, |raw| raw, |values, index, out| {
        show_flags(out, values.arguments[index], names!(general: MREMAP_MAYMOVE MREMAP_FIXED MREMAP_DONTUNMAP))
    };
    /// `flags` of `renameat2(2)`.
    RenameFlags => u64, |raw| raw, |values, index, out| {
        show_flags(out, values.arguments[index], names!(general: RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT))
    };
    /// `mask` of `statx(2)`.
    StatxMask => u64, |raw| raw, |values, index, out| {
        show_flags(out, values.arguments[index], names!(general:
            STATX_ALL STATX_BASIC_STATS STATX_TYPE STATX_MODE STATX_NLINK STATX_UID STATX_GID STATX_ATIME STATX_MTIME
            STATX_CTIME STATX_INO STATX_SIZE STATX_BLOCKS STATX_BTIME STATX_MNT_ID STATX_DIOALIGN))
    };
    /// `flags` of `msync(2)`.
    SyncFlags => u64, |raw| raw, |values, index, out| {
        show_flags(out, values.arguments[index], names!(general: MS_ASYNC MS_INVALIDATE MS_SYNC))
    };
    /// `flags` of `clock_nanosleep(2)`.
    TimerFlags => u64, |raw| raw, |values, index, out| {
        show_flags(out, values.arguments[index], names!(general: TIMER_ABSTIME))
    };
    /// A resource of `getrlimit(2)`.
    Resource => i32, |raw| raw as i32, |values, index, out| {
        let number = values.arguments[index] as i32;
        match usize::try_from(number).ok().and_then(|number| RESOURCES.get(number)) {
            Some(name) => out.write_str(name),
            None => write!(out, "{number}"),
        }
    };
    /// A signal; 0 where that means none.
    Signal => i32, |raw| raw as i32, |values, index, out| {
        let number = values.arguments[index] as i32;
        match u64::try_from(number).ok().and_then(SignalNumber::from_number) {
            Some(signal) => write!(out, "{signal}"),
            None => write!(out, "{number}"),
        }
    };
    /// `whence` of `lseek(2)`.
    Whence => i32, |raw| raw as i32, |values, index, out| {
        show_choice(out, values.arguments[index] & 0xffff_ffff, names!(general:
            SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE))
    };
}

fn show_strings(out: &mut dyn Write, address: u64) -> fmt::Result {
    let mut separator = "[";
    for index in 0..SHOWN_ELEMENTS {
        match read_object::<u64>(UserPointer(address).offset(index * 8)) {
            Ok(0) => return out.write_str(if index == 0 { "[]" } else { "]" }),
            Ok(string) => {
                out.write_str(separator)?;
                show_string(out, string)?;
                separator = ", ";
            }
            Err(_) => {
                if index == 0 {
                    return show_address(out, address);
                }
                break;
            }
        }
    }
    out.write_str(", ...]")
}

/// Prints an array of `struct iovec`, with at most `length` bytes of content.
fn show_slices(out: &mut dyn Write, address: u64, count: u64, mut length: u64) -> fmt::Result {
    let mut separator = "[";
    for index in 0..count.min(SHOWN_ELEMENTS) {
        let Ok([base, size]) = read_object::<[u64; 2]>(UserPointer(address).offset(index * 16)) else {
            return if index == 0 {
                show_address(out, address)
            } else {
                out.write_str(", ...]")
            };
        };
        write!(out, "{separator}{{iov_base=")?;
        show_bytes(out, base, size.min(length))?;
        write!(out, ", iov_len={size}}}")?;
        length = length.saturating_sub(size);
        separator = ", ";
    }
    match count {
        0 => out.write_str("[]"),
        _ if count > SHOWN_ELEMENTS => out.write_str(", ...]"),
        _ => out.write_char(']'),
    }
}
