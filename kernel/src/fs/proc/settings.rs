//! `/proc/sys`: what can be set, and what can't (`sysctl(8)`).
//!
//! What takes effect can be written, with Linux's rules for numbers; everything else can't be opened for writing.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::ipc::queue_limit;
use spin::Once;

use super::network::SETTINGS;
use super::{Body, Entry, Text, constant, directory, entry, setting, text};
use crate::fs::ipc::queues;
use crate::fs::user_faults::UNPRIVILEGED;
use crate::fs::{context, device_files, inotify, leases, permission};
use crate::memory::{self, Overcommit};
use crate::task::{self, random, system_name};

/// What may be set for bytes of messages of queues.
const QUEUE_BYTES: core::ops::RangeInclusive<usize> = queue_limit::LEAST_MESSAGE_SIZE..=queue_limit::MOST_MESSAGE_SIZE;

/// The files of `/proc/sys`.
pub const SYSTEM: &[Entry] = &[
    directory(
        "fs",
        &[
            constant("file-max", "9223372036854775807\n"),
            directory(
                "inotify",
                &[
                    number_setting!("max_queued_events", inotify::MOST_QUEUED, 0..=i32::MAX as usize),
                    number_setting!("max_user_instances", inotify::MOST_INSTANCES, 0..=i32::MAX as usize),
                    number_setting!("max_user_watches", inotify::MOST_WATCHES, 0..=i32::MAX as usize),
                ],
            ),
            directory(
                "mqueue",
                &[
                    number_setting!("msg_default", queues::USUAL_MESSAGES, 1..=queue_limit::MOST_MESSAGES),
                    number_setting!("msg_max", queues::MOST_MESSAGES, 1..=queue_limit::MOST_MESSAGES),
                    number_setting!("msgsize_default", queues::USUAL_BYTES, QUEUE_BYTES),
                    number_setting!("msgsize_max", queues::MOST_BYTES, QUEUE_BYTES),
                    number_setting!("queues_max", queues::MOST_QUEUES, 0..=i32::MAX as usize),
                ],
            ),
            text("file-nr", open_files),
            number_setting!("lease-break-time", leases::BREAK_TIME, 0..=i32::MAX as usize),
            number_setting!("leases-enable", leases::ENABLED, 0..=1),
            constant("nr_open", "1048576\n"),
            constant("overflowgid", "65534\n"),
            constant("overflowuid", "65534\n"),
            constant("pipe-max-size", "1048576\n"),
            // No limits.
            constant("pipe-user-pages-hard", "0\n"),
            constant("pipe-user-pages-soft", "0\n"),
            number_setting!("protected_fifos", permission::PROTECTED_PIPES, 0..=2),
            number_setting!("protected_hardlinks", permission::PROTECTED_HARD_LINKS, 0..=1),
            number_setting!("protected_regular", permission::PROTECTED_REGULAR, 0..=2),
            number_setting!("protected_symlinks", permission::PROTECTED_SYMBOLIC_LINKS, 0..=1),
            constant("suid_dumpable", "0\n"),
        ],
    ),
    directory(
        "kernel",
        &[
            constant("arch", "x86_64\n"),
            constant("cap_last_cap", "40\n"),
            constant("core_pattern", "core\n"),
            constant("core_uses_pid", "0\n"),
            // As Debian has it: only the privileged read the kernel's log.
            constant("dmesg_restrict", "1\n"),
            setting(
                "domainname",
                |text| writeln!(text, "{}", system_name::domain()),
                |bytes| name(bytes).map(system_name::set_domain),
            ),
            setting(
                "hostname",
                |text| writeln!(text, "{}", system_name::hostname()),
                |bytes| name(bytes).map(system_name::set_hostname),
            ),
            constant("msgmax", "8192\n"),
            constant("msgmnb", "16384\n"),
            constant("msgmni", "32000\n"),
            constant("ngroups_max", "65536\n"),
            text("osrelease", |text| writeln!(text, "{}", system_name::RELEASE)),
            constant("ostype", "Linux\n"),
            text("ns_last_pid", |text| writeln!(text, "{}", task::last_number())),
            constant("overflowgid", "65534\n"),
            constant("overflowuid", "65534\n"),
            constant("pid_max", "4194304\n"),
            directory(
                "random",
                &[
                    text("boot_id", |text| writeln!(text, "{}", boot_identity())),
                    text("entropy_avail", |text| writeln!(text, "{}", device_files::ENTROPY_BITS)),
                    text("poolsize", |text| writeln!(text, "{}", device_files::ENTROPY_BITS)),
                    text("uuid", |text| writeln!(text, "{}", new_identity())),
                ],
            ),
            constant("randomize_va_space", "2\n"),
            text("sched_rr_timeslice_ms", |text| {
                writeln!(text, "{}", task::SLICE / 1_000_000)
            }),
            text("sched_rt_period_us", |text| {
                writeln!(text, "{}", task::REAL_TIME_PERIOD)
            }),
            setting(
                "sched_rt_runtime_us",
                |text| writeln!(text, "{}", task::REAL_TIME.load(Ordering::Relaxed)),
                set_real_time,
            ),
            directory(
                "seccomp",
                &[constant(
                    "actions_avail",
                    "kill_process kill_thread trap errno trace log allow\n",
                )],
            ),
            constant("sem", "32000\t1024000000\t500\t32000\n"),
            constant("shmall", "18446744073692774399\n"),
            constant("shmmax", "18446744073692774399\n"),
            constant("shmmni", "4096\n"),
            constant("tainted", "0\n"),
            // As many as there are numbers.
            constant("threads-max", "4194304\n"),
            text("version", |text| writeln!(text, "{}", system_name::VERSION)),
        ],
    ),
    directory("net", SETTINGS),
    directory(
        "vm",
        &[
            entry("drop_caches", 0o200, Body::Setting(|_| Ok(()), drop_caches)),
            setting(
                "max_map_count",
                |text| writeln!(text, "{}", memory::area_limit()),
                set_area_limit,
            ),
            text("min_free_kbytes", |text| {
                writeln!(text, "{}", memory::counters().reserve >> 10)
            }),
            constant("mmap_min_addr", "65536\n"),
            constant("nr_hugepages", "0\n"),
            constant("nr_overcommit_hugepages", "0\n"),
            // Who finds no memory is killed.
            constant("oom_kill_allocating_task", "1\n"),
            constant("overcommit_kbytes", "0\n"),
            setting(
                "overcommit_memory",
                |text| writeln!(text, "{}", Overcommit::current() as u8),
                set_overcommit,
            ),
            setting(
                "overcommit_ratio",
                |text| writeln!(text, "{}", Overcommit::ratio()),
                set_overcommit_ratio,
            ),
            constant("panic_on_oom", "0\n"),
            constant("swappiness", "0\n"),
            setting(
                "unprivileged_userfaultfd",
                |text| writeln!(text, "{}", u8::from(UNPRIVILEGED.load(Ordering::Relaxed))),
                set_unprivileged_user_faults,
            ),
        ],
    ),
];

/// A random UUID (RFC 9562, version 4).
fn new_identity() -> String {
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&alloc::format!("{byte:02x}"));
    }
    text
}

/// The UUID of this run of the machine.
fn boot_identity() -> &'static str {
    static IDENTITY: Once<String> = Once::new();
    IDENTITY.call_once(new_identity)
}

/// The number at the start of what was written, as Linux reads it: `0x` and hexadecimal digits, `0` and octal ones, or
/// decimal ones. Behind it may be a space and anything.
///
/// # Errors
/// `EINVAL`
fn leading_number(bytes: &[u8]) -> Result<(bool, u64), Errno> {
    let text = bytes.trim_ascii_start();
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let end = text.iter().position(|byte| byte.is_ascii_whitespace() || *byte == 0);
    let word = &text[..end.unwrap_or(text.len())];
    let (radix, digits) = match word {
        [b'0', b'x' | b'X', digits @ ..] => (16, digits),
        [b'0', digits @ ..] if !digits.is_empty() => (8, digits),
        digits => (10, digits),
    };
    let digits = core::str::from_utf8(digits)
        .ok()
        .filter(|digits| !digits.starts_with('+'));
    let value = digits.and_then(|digits| u64::from_str_radix(digits, radix).ok());
    value.map(|value| (negative, value)).ok_or(Errno::EINVAL)
}

/// What was written, as a number in a range.
///
/// # Errors
/// `EINVAL`
pub fn number(bytes: &[u8], range: core::ops::RangeInclusive<usize>) -> Result<usize, Errno> {
    match leading_number(bytes)? {
        (false, value) if range.contains(&(value as usize)) => Ok(value as usize),
        _ => Err(Errno::EINVAL),
    }
}

/// What was written, if it is nothing but a number that may be negative.
///
/// # Errors
/// `EINVAL`, `ERANGE`
pub fn signed_number(bytes: &[u8]) -> Result<i32, Errno> {
    let (negative, value) = leading_number(bytes.trim_ascii())?;
    if bytes.trim_ascii().iter().any(u8::is_ascii_whitespace) {
        return Err(Errno::EINVAL);
    }
    let value = i32::try_from(value).map_err(|_| Errno::ERANGE)?;
    Ok(if negative { -value } else { value })
}

/// The same of one of 32 bits that may not.
///
/// # Errors
/// `EINVAL`, `ERANGE`
pub fn unsigned_number(bytes: &[u8]) -> Result<u32, Errno> {
    let (negative, value) = leading_number(bytes.trim_ascii())?;
    if negative || bytes.trim_ascii().iter().any(u8::is_ascii_whitespace) {
        return Err(Errno::EINVAL);
    }
    u32::try_from(value).map_err(|_| Errno::ERANGE)
}

/// The same of one that may not.
///
/// # Errors
/// `EINVAL`
pub fn whole_number(bytes: &[u8]) -> Result<u64, Errno> {
    match leading_number(bytes)? {
        (false, value) => Ok(value),
        _ => Err(Errno::EINVAL),
    }
}

/// What was written as a name: up to the end of the line.
fn name(bytes: &[u8]) -> Result<&str, Errno> {
    let end = bytes
        .iter()
        .position(|byte| matches!(byte, b'\n' | 0))
        .unwrap_or(bytes.len());
    let name = &bytes[..end.min(system_name::NAME_LIMIT)];
    core::str::from_utf8(name).map_err(|_| Errno::EINVAL)
}

/// Gives back what the kernel keeps only to be faster. Of files nothing is kept beside their content.
fn drop_caches(bytes: &[u8]) -> Result<(), Errno> {
    number(bytes, 1..=4)?;
    memory::reclaim();
    Ok(())
}

/// How many descriptions of open files the processes have, and how many there may be (`file-nr`).
fn open_files(text: &mut Text) -> Result<(), Errno> {
    let mut seen = Vec::new();
    context::for_each(&mut |files| {
        let open = files
            .open_descriptors(0)
            .into_iter()
            .filter_map(|number| files.file(number).ok());
        seen.extend(open.map(|file| Arc::as_ptr(&file) as usize));
    });
    pith_sorted_map::sort_by_key(&mut seen, |file| *file);
    seen.dedup();
    writeln!(text, "{}\t0\t{}", seen.len(), i64::MAX)
}

fn set_real_time(bytes: &[u8]) -> Result<(), Errno> {
    let value = signed_number(bytes)?;
    if !(-1..=task::REAL_TIME_PERIOD as i32).contains(&value) {
        return Err(Errno::EINVAL);
    }
    task::REAL_TIME.store(value, Ordering::Relaxed);
    Ok(())
}

fn set_overcommit(bytes: &[u8]) -> Result<(), Errno> {
    match number(bytes, 0..=2)? {
        0 => Overcommit::Heuristic,
        1 => Overcommit::Always,
        _ => Overcommit::Never,
    }
    .choose();
    Ok(())
}

fn set_overcommit_ratio(bytes: &[u8]) -> Result<(), Errno> {
    Overcommit::set_ratio(number(bytes, 0..=255)? as u8);
    Ok(())
}

fn set_unprivileged_user_faults(bytes: &[u8]) -> Result<(), Errno> {
    UNPRIVILEGED.store(number(bytes, 0..=1)? != 0, Ordering::Relaxed);
    Ok(())
}

fn set_area_limit(bytes: &[u8]) -> Result<(), Errno> {
    memory::set_area_limit(number(bytes, 0..=i32::MAX as usize)?);
    Ok(())
}
