//! What `/proc` tells about the process.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::files::OpenFlags;
use pith_linux::signal::Signal;

use super::counters::TICK;
use super::memory::{
    areas, clear_references, maps, memory_statistics, node_maps, sizes, small_maps, small_maps_rollup,
};
use super::mount_tables::{MOUNT_INFORMATION, MOUNT_STATISTICS, MOUNTS};
use super::network::NETWORK;
use super::page_map::PageMap;
use super::program_memory::ProgramMemory;
use super::{
    Body, Entry, GUARDED, Subject, TargetOfThread, Text, UNKNOWN, constant, directory, entry, list_of_bits,
    mask_of_bits, of_thread, settings, text,
};
use crate::fs::inode::Target;
use crate::fs::terminal;
use crate::fs::{metadata::BLOCK_SIZE, path};
use crate::memory::{self, PAGE_SIZE};
use crate::task::family::Usage;
use crate::task::{self, Capabilities, Limits, Process, ProgramIdentity};

/// A file that only those read who may look into the process.
const fn guarded(name: &'static str, permissions: u16, make: super::entry::MakeOfThread) -> Entry {
    entry(name, permissions | GUARDED, Body::OfThread(make, None))
}

/// A file about a process that can be written.
const fn changeable(
    name: &'static str,
    permissions: u16,
    make: super::entry::MakeOfThread,
    set: super::entry::SetOfThread,
) -> Entry {
    entry(name, permissions, Body::OfThread(make, Some(set)))
}

/// How the users and groups of a namespace are called outside: all as here. Nobody may say it once more.
const fn identity_map(name: &'static str) -> Entry {
    changeable(
        name,
        0o644,
        |_, text| text.bytes(b"         0          0 4294967295\n"),
        |_, _| Err(Errno::EPERM),
    )
}

/// The files of `/proc/1` and of `/proc/1/task/1`.
const FILES: &[Entry] = &[
    // Only a thread has this: see [`PROCESS`].
    of_thread("children", children),
    directory("attr", ATTRIBUTES),
    guarded("auxv", 0o400, auxiliary_vector),
    constant("cgroup", "0::/\n"),
    changeable("clear_refs", 0o200, |_, _| Err(Errno::EINVAL), clear_references),
    of_thread("cmdline", command_line),
    changeable("comm", 0o644, name_line, set_name),
    constant("cpuset", "/\n"),
    thread_link("cwd", |subject| {
        alive(subject)?;
        Ok(Target::File(subject.files().working_directory()))
    }),
    guarded("environ", 0o400, environment),
    thread_link("exe", executable),
    entry("fd", 0o500, Body::Descriptors(UNKNOWN)),
    entry("fdinfo", 0o555, Body::DescriptorTexts(UNKNOWN)),
    identity_map("gid_map"),
    guarded("io", 0o400, transfers),
    of_thread("limits", limits),
    constant("loginuid", "4294967295"),
    guarded("maps", 0o444, maps),
    entry(
        "mem",
        0o600 | GUARDED,
        Body::OfThreadFile(|subject| Ok(Arc::new(ProgramMemory(subject.process.address_space())))),
    ),
    entry("mountinfo", 0o444, MOUNT_INFORMATION),
    entry("mounts", 0o444, MOUNTS),
    entry("mountstats", 0o400, MOUNT_STATISTICS),
    directory("net", NETWORK),
    entry("ns", 0o511, Body::Namespaces(UNKNOWN)),
    guarded("numa_maps", 0o444, node_maps),
    changeable("oom_adj", 0o644, old_adjustment, set_old_adjustment),
    of_thread("oom_score", kill_score),
    changeable("oom_score_adj", 0o644, adjustment, set_adjustment),
    entry(
        "pagemap",
        0o400 | GUARDED,
        Body::OfThreadFile(|subject| Ok(Arc::new(PageMap(subject.process.address_space())))),
    ),
    guarded("personality", 0o400, personality),
    identity_map("projid_map"),
    thread_link("root", |subject| {
        alive(subject)?;
        Ok(Target::File(subject.files().root()))
    }),
    of_thread("sched", scheduling),
    of_thread("schedstat", scheduling_statistics),
    constant("sessionid", "4294967295"),
    changeable(
        "setgroups",
        0o644,
        |_, text| text.bytes(b"allow\n"),
        // It can't be taken back once the groups of a namespace have names outside.
        |_, bytes| match bytes.trim_ascii_end() {
            b"allow" => Ok(()),
            b"deny" => Err(Errno::EPERM),
            _ => Err(Errno::EINVAL),
        },
    ),
    guarded("smaps", 0o444, small_maps),
    guarded("smaps_rollup", 0o444, small_maps_rollup),
    of_thread("stat", statistics),
    of_thread("statm", memory_statistics),
    of_thread("status", status),
    identity_map("uid_map"),
    constant("wchan", "0"),
    // Only a process has these: see [`THREAD`].
    changeable("coredump_filter", 0o644, dump_filter, set_dump_filter),
    entry("map_files", 0o500, Body::MappedFiles(UNKNOWN)),
    entry("task", 0o555, Body::Threads(UNKNOWN)),
    constant(
        "timens_offsets",
        "monotonic           0         0\nboottime            0         0\n",
    ),
    of_thread("timers", timers),
    changeable("timerslack_ns", 0o666, timer_slack, set_timer_slack),
];

/// How many of them, at the start, processes do not have.
const ONLY_OF_THREADS: usize = 1;
/// How many of them, at the end, threads do not have.
const ONLY_OF_PROCESSES: usize = 6;

/// The files of `/proc/1`.
pub const PROCESS: &[Entry] = FILES.split_at(ONLY_OF_THREADS).1;
/// The files of `/proc/1/task/1`, and of each other thread.
pub const THREAD: &[Entry] = FILES.split_at(FILES.len() - ONLY_OF_PROCESSES).0;

/// The program that a process runs.
pub fn program(process: &Process) -> ProgramIdentity {
    process.program.lock().clone()
}

/// Refuses (`ENOENT`) what a zombie does not have any more.
fn alive(subject: &Subject) -> Result<(), Errno> {
    match subject.thread {
        Some(_) => Ok(()),
        None => Err(Errno::ENOENT),
    }
}

const fn thread_link(name: &'static str, target: TargetOfThread) -> Entry {
    Entry {
        name,
        permissions: 0o777,
        body: Body::OfThreadLink(target),
    }
}

fn name(subject: &Subject) -> String {
    let name = match &subject.thread {
        Some(thread) => *thread.name.lock(),
        None => subject.process.last_name(),
    };
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..end]).into_owned()
}

fn name_line(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    writeln!(text, "{}", name(subject))
}

fn personality(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let personality = subject
        .thread
        .as_ref()
        .map(|thread| thread.personality.load(Ordering::Relaxed));
    writeln!(text, "{:08x}", personality.unwrap_or(0))
}

/// The letter for what a thread does, and the word.
fn state(subject: &Subject) -> (char, &'static str) {
    match &subject.thread {
        None => ('Z', "zombie"),
        Some(_) if subject.process.is_stopped() => ('T', "stopped"),
        Some(thread) if thread.entity.sleeps() => ('S', "sleeping"),
        Some(_) => ('R', "running"),
    }
}

fn set_name(subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    let own = task::current_process();
    if own.id != subject.process.id {
        return Err(Errno::EINVAL);
    }
    let Some(thread) = &subject.thread else {
        return Err(Errno::ESRCH);
    };
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut name = [0; 16];
    let length = bytes.len().min(name.len() - 1);
    name[..length].copy_from_slice(&bytes[..length]);
    *thread.name.lock() = name;
    Ok(())
}

fn executable(subject: &Subject) -> Result<Target, Errno> {
    alive(subject)?;
    // The program was found before it may have changed its root directory.
    let root = crate::fs::mounts::root_directory()?;
    let origin = path::Origin::new(root.clone(), root);
    path::find(&origin, &program(&subject.process).path, true).map(Target::File)
}

/// Copies a part of a process's memory.
fn copy_memory(subject: &Subject, (start, end): (u64, u64), text: &mut Text) -> Result<(), Errno> {
    if subject.thread.is_none() {
        return Ok(());
    }
    let space = subject.process.address_space();
    let mut bytes = [0; 512];
    let mut address = start;
    while address < end {
        let part = &mut bytes[..(end - address).min(512) as usize];
        space.read(address, part).map_err(|_| Errno::EIO)?;
        text.bytes(part)?;
        address += part.len() as u64;
    }
    Ok(())
}

fn command_line(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    copy_memory(subject, program(&subject.process).arguments, text)
}

fn environment(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    copy_memory(subject, program(&subject.process).environment, text)
}

fn auxiliary_vector(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    copy_memory(subject, program(&subject.process).auxiliary, text)
}

/// The signals whose handler makes `choose` true, as a mask.
fn signals(process: &Process, choose: fn(u64) -> bool) -> u64 {
    let actions = process.actions.lock();
    (1..=u64::from(Signal::MAXIMUM))
        .filter_map(Signal::from_number)
        .filter(|signal| choose(actions.get(*signal).handler))
        .fold(0, |mask, signal| mask | signal.bit())
}

/// Hundredths of a second.
fn hundredths(nanoseconds: u64) -> u64 {
    nanoseconds / TICK
}

fn statistics(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let process = &*subject.process;
    let thread = subject.thread.as_deref();
    let permitted = subject.may_be_seen();
    let (program, sizes) = match (thread, permitted) {
        (Some(_), true) => (program(process), sizes(process)),
        (Some(_), false) => (ProgramIdentity::default(), sizes(process)),
        _ => Default::default(),
    };
    let blocked = thread.map_or(0, |thread| thread.blocked.load(Ordering::Relaxed));
    let pending = thread.map_or(0, |thread| thread.pending.set());
    let (ignored, caught) = (
        signals(process, |handler| handler == 1),
        signals(process, |handler| handler > 1),
    );
    let (device, foreground) = match terminal::controlling(process) {
        Some(terminal) => (terminal.number().encode(), i64::from(terminal.ownership().group())),
        None => (0, -1),
    };
    let (usage, children) = (Usage::of(process), Usage::of_children(process));
    // Number, name, state, parent, group, session, terminal, its group, flags, four counts of faults.
    write!(
        text,
        "{} ({}) {} {} {} {} {device} {foreground} 0 {} {} 0 0 ",
        subject.number,
        name(subject),
        state(subject).0,
        process.family.parent(),
        process.family.group(),
        process.family.session(),
        usage.faults,
        children.faults,
    )?;
    // Times, priority, nice value, threads, timer, start.
    let used = match (thread, subject.whole) {
        (Some(thread), false) => thread.split_time(),
        _ => usage.time,
    };
    let (nice, policy, real_time) = thread.map_or((process.last_nice(), 0, 0), |thread| {
        let (policy, priority) = thread.entity.policy();
        (thread.entity.nice(), policy as u8, priority)
    });
    let priority = match real_time {
        0 => 20 + i32::from(nice),
        _ => -1 - i32::from(real_time),
    };
    let started = match (thread, subject.whole) {
        (Some(thread), false) => thread.started,
        _ => process.started,
    };
    write!(
        text,
        "{} {} {} {} {priority} {nice} {} 0 {} ",
        hundredths(used.program),
        hundredths(used.kernel),
        hundredths(children.time.program),
        hundredths(children.time.kernel),
        process.thread_count().max(1),
        hundredths(task::time_at(started).0)
    )?;
    write!(
        text,
        "{} {} {} ",
        sizes.total,
        sizes.resident / BLOCK_SIZE,
        process.limit(5)
    )?;
    let code = match (thread, permitted) {
        (None, _) => (0, 0),
        (_, true) => sizes.code,
        // As on Linux: there is something, but where is not told.
        (_, false) => (1, 1),
    };
    write!(text, "{} {} {} 0 0 ", code.0, code.1, program.stack)?;
    write!(
        text,
        "{} {} {} {} ",
        pending & 0x7fff_ffff,
        blocked & 0x7fff_ffff,
        ignored & 0x7fff_ffff,
        caught & 0x7fff_ffff
    )?;
    // Where it waits, swap, exit signal, processor, scheduling, delays, guest times.
    let exit_signal = match subject.whole {
        true => i32::from(process.family.end_signal()),
        false => -1,
    };
    let processor = thread.map_or(0, |thread| thread.entity.cpu());
    let waits = u64::from(state(subject).0 == 'S');
    write!(
        text,
        "{waits} 0 0 {exit_signal} {processor} {real_time} {policy} 0 0 0 "
    )?;
    let (arguments, environment) = (program.arguments, program.environment);
    let data = if permitted { areas(process) } else { Vec::new() }
        .into_iter()
        .find(|area| area.name.as_str() == "[heap]")
        .map_or((0, 0), |area| (area.start, area.end));
    write!(text, "{} {} {0} {} {} ", data.0, data.1, arguments.0, arguments.1)?;
    let status = if permitted { process.family.ended_status() } else { 0 };
    writeln!(text, "{} {} {status}", environment.0, environment.1)
}

/// `io`: what went through calls such as `read(2)`. There is no disk from which any of it would have come.
fn transfers(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let [read, written, reads, writes] = match (&subject.thread, subject.whole) {
        (Some(thread), false) => thread.transfers.get(),
        _ => subject.process.transfers(),
    };
    writeln!(
        text,
        "rchar: {read}\nwchar: {written}\nsyscr: {reads}\nsyscw: {writes}\n\
         read_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0"
    )
}

/// `schedstat`: time with a processor, time that it waited for one, and how often it got one; as on Linux of the first thread.
fn scheduling_statistics(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let (used, (delayed, turns)) = match &subject.thread {
        Some(thread) => (thread.cpu_time(), thread.entity.waits()),
        None => (subject.process.cpu_time(), subject.process.waits()),
    };
    writeln!(text, "{used} {} {turns}", task::nanoseconds(delayed))
}

/// `sched`: those rows of Linux's that mean something here.
fn scheduling(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let Some(thread) = &subject.thread else {
        return Err(Errno::ESRCH);
    };
    let (voluntary, involuntary) = thread.entity.switches();
    let (policy, priority) = thread.entity.policy();
    let priority = match priority {
        0 => 120 + i32::from(thread.entity.nice()),
        _ => 99 - i32::from(priority),
    };
    let used = thread.cpu_time();
    writeln!(
        text,
        "{} ({}, #threads: {})\n{:-<67}",
        name(subject),
        subject.number,
        subject.process.thread_count(),
        ""
    )?;
    const MILLION: u64 = 1_000_000;
    writeln!(
        text,
        "{:<45}:{:>14}.{:06}",
        "se.sum_exec_runtime",
        used / MILLION,
        used % MILLION
    )?;
    for (name, value) in [
        ("nr_switches", i64::from(voluntary) + i64::from(involuntary)),
        ("nr_voluntary_switches", voluntary.into()),
        ("nr_involuntary_switches", involuntary.into()),
        ("policy", policy as i64),
        ("prio", priority.into()),
    ] {
        writeln!(text, "{name:<45}:{value:>21}")?;
    }
    Ok(())
}

/// `children`: the processes that a thread has made; here they all belong to the first thread.
fn children(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    if subject.number == subject.process.id {
        for child in task::processes() {
            if child.family.parent() == subject.process.id {
                write!(text, "{} ", child.id)?;
            }
        }
    }
    Ok(())
}

/// `timers`: the POSIX timers of the process (`timer_create(2)`).
fn timers(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    for timer in subject.process.posix_timers.list() {
        let (signal, value, how, who) = timer.told_to(subject.process.id);
        writeln!(
            text,
            "ID: {}\nsignal: {signal}/{value:016x}\nnotify: {how}.{who}\nClockID: {}",
            timer.number(),
            timer.clock_number()
        )?;
    }
    Ok(())
}

fn timer_slack(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let slack = subject.process.settings.timer_slack.load(Ordering::Relaxed);
    writeln!(text, "{slack}")
}

fn set_timer_slack(subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    /// What a process has that has said nothing.
    const DEFAULT: i32 = 50_000;
    if subject.process.id != task::current_process().id {
        crate::fs::permission::require(Capabilities::SCHEDULING)?;
    }
    let slack = match settings::whole_number(bytes)? {
        0 => DEFAULT,
        slack => i32::try_from(slack).unwrap_or(i32::MAX),
    };
    subject.process.settings.timer_slack.store(slack, Ordering::Relaxed);
    Ok(())
}

/// What a dump would hold (`core(5)`). It is kept and inherited; dumps are not made.
fn dump_filter(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    // What a process that has ended had is not told.
    match &subject.thread {
        Some(_) => writeln!(
            text,
            "{:08x}",
            subject.process.settings.dump_filter.load(Ordering::Relaxed)
        ),
        None => Ok(()),
    }
}

fn set_dump_filter(subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    /// The kinds of areas that there are.
    const KINDS: u32 = 0x1ff;
    let value = settings::unsigned_number(bytes)?;
    let filter = &subject.process.settings.dump_filter;
    filter.store(value & KINDS, Ordering::Relaxed);
    Ok(())
}

/// What an area of a process shows, for the links in `map_files`.
///
/// # Errors
/// `ENOENT` if there is no such area, or if it shows no object.
pub fn mapped_file(subject: &Subject, start: u64, end: u64) -> Result<Target, Errno> {
    let areas = areas(&subject.process);
    let area = areas.iter().find(|area| (area.start, area.end) == (start, end));
    let path = area.and_then(|area| area.path()).ok_or(Errno::ENOENT)?;
    Ok(Target::Path(path.into_bytes()))
}

/// The areas of a process that show objects, from a page on.
pub fn mapped_ranges(process: &Process, page: u64) -> Vec<(u64, u64)> {
    let shown = areas(process).into_iter().filter(|area| area.path().is_some());
    let ranges = shown.map(|area| (area.start, area.end));
    ranges.filter(|(start, _)| start / PAGE_SIZE as u64 >= page).collect()
}

fn status(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let process = &*subject.process;
    let thread = subject.thread.as_deref();
    let files = subject.files();
    let credentials = subject.credentials();
    writeln!(text, "Name:\t{}", name(subject))?;
    if thread.is_some() {
        writeln!(text, "Umask:\t{:04o}", files.mask())?;
    }
    let (letter, word) = state(subject);
    writeln!(text, "State:\t{letter} ({word})")?;
    writeln!(
        text,
        "Tgid:\t{0}\nNgid:\t0\nPid:\t{1}\nPPid:\t{2}\nTracerPid:\t0",
        process.id,
        subject.number,
        process.family.parent()
    )?;
    let rows = [
        ("Uid", credentials.users, credentials.file_user),
        ("Gid", credentials.groups, credentials.file_group),
    ];
    for (name, [real, effective, saved], of_files) in rows {
        writeln!(text, "{name}:\t{real}\t{effective}\t{saved}\t{of_files}")?;
    }
    let descriptors = files.open_descriptors(0).last().map_or(0, |last| *last as u32 + 1);
    let table = match thread {
        Some(_) => descriptors.max(64).next_power_of_two(),
        None => 0,
    };
    writeln!(text, "FDSize:\t{table}")?;
    write!(text, "Groups:\t")?;
    for group in credentials.supplementary() {
        write!(text, "{group} ")?;
    }
    if credentials.supplementary().is_empty() {
        text.bytes(b" ")?;
    }
    for (name, number) in [
        ("tgid", process.id),
        ("pid", subject.number),
        ("pgid", process.family.group()),
        ("sid", process.family.session()),
    ] {
        write!(text, "\nNS{name}:\t{number}")?;
    }
    writeln!(text)?;
    if thread.is_some() {
        memory_status(process, text)?;
    }
    writeln!(text, "Threads:\t{}", process.thread_count().max(1))?;
    signal_status(subject, text)?;
    let (mode, filters) = thread.map_or((0, 0), |thread| {
        let seccomp = thread.seccomp.lock();
        (seccomp.mode(), seccomp.filter_count())
    });
    writeln!(
        text,
        "NoNewPrivs:\t{}\nSeccomp:\t{mode}\nSeccomp_filters:\t{filters}",
        u8::from(credentials.no_new_privileges)
    )?;
    let affinity = thread.map_or(u64::MAX, |thread| thread.entity.affinity());
    let allowed = affinity & task::online_cpus();
    text.bytes(b"Cpus_allowed:\t")?;
    mask_of_bits(allowed, text)?;
    text.bytes(b"\nCpus_allowed_list:\t")?;
    list_of_bits(allowed, text)?;
    writeln!(text, "\nMems_allowed:\t1\nMems_allowed_list:\t0")?;
    let (voluntary, involuntary) = match thread {
        Some(thread) => thread.entity.switches(),
        None => (process.ended_switches().0 as u32, process.ended_switches().1 as u32),
    };
    writeln!(
        text,
        "voluntary_ctxt_switches:\t{voluntary}\nnonvoluntary_ctxt_switches:\t{involuntary}"
    )
}

/// The part of `status` about memory.
fn memory_status(process: &Process, text: &mut Text) -> Result<(), Errno> {
    let sizes = sizes(process);
    let space = process.address_space();
    let (peak, peak_resident) = space.peak_bytes();
    let rows = [
        ("VmPeak", peak),
        ("VmSize", sizes.total),
        ("VmLck", space.locked_bytes()),
        ("VmPin", 0),
        ("VmHWM", peak_resident),
        ("VmRSS", sizes.resident),
        ("RssAnon", sizes.own),
        ("RssFile", sizes.resident.saturating_sub(sizes.own + sizes.shared)),
        ("RssShmem", sizes.shared),
        ("VmData", sizes.data),
        ("VmStk", sizes.stack),
        ("VmExe", sizes.program),
        ("VmLib", sizes.libraries),
        ("VmPTE", space.table_bytes()),
        ("VmSwap", 0),
    ];
    for (name, bytes) in rows {
        writeln!(text, "{name}:\t{:>8} kB", bytes >> 10)?;
    }
    writeln!(
        text,
        "HugetlbPages:\t{:>8} kB\nCoreDumping:\t0\nTHP_enabled:\t{}",
        0,
        u8::from(!space.is_small_only())
    )
}

/// The part of `status` about signals and privileges.
fn signal_status(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let process = &*subject.process;
    let of_thread = subject.thread.as_ref();
    let (pending, queued) = of_thread.map_or((0, 0), |thread| (thread.pending.set(), thread.pending.queued()));
    let blocked = of_thread.map_or(0, |thread| thread.blocked.load(Ordering::Relaxed));
    let queued = process.pending.queued() + queued;
    writeln!(text, "SigQ:\t{queued}/{}", process.limit(Limits::PENDING_SIGNALS))?;
    let capabilities = subject.credentials().capabilities;
    let masks = [
        ("SigPnd", pending),
        ("ShdPnd", process.pending.set()),
        ("SigBlk", blocked),
        ("SigIgn", signals(process, |handler| handler == 1)),
        ("SigCgt", signals(process, |handler| handler > 1)),
        ("CapInh", capabilities.inheritable),
        ("CapPrm", capabilities.permitted),
        ("CapEff", capabilities.effective),
        ("CapBnd", capabilities.bounding),
        ("CapAmb", capabilities.ambient),
    ];
    for (name, mask) in masks {
        writeln!(text, "{name}:\t{mask:016x}")?;
    }
    Ok(())
}

/// Names and units of the limits, by number.
const LIMITS: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

fn limits(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let limits = subject.process.limits.lock().clone();
    let shown = |value: u64| {
        if value == Limits::INFINITY {
            String::from("unlimited")
        } else {
            alloc::format!("{value}")
        }
    };
    writeln!(
        text,
        "{:<25} {:<20} {:<20} {:<10}",
        "Limit", "Soft Limit", "Hard Limit", "Units"
    )?;
    for ((name, unit), (soft, hard)) in LIMITS.iter().zip(limits.0) {
        write!(text, "{name:<25} {:<20} {:<20} ", shown(soft), shown(hard))?;
        if unit.is_empty() {
            writeln!(text)?
        } else {
            writeln!(text, "{unit:<10}")?
        }
    }
    Ok(())
}

/// How readily the process is to be killed when memory is short. It is kept; the one that finds none is killed.
fn adjustment(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let value = subject.process.settings.memory_adjustment.load(Ordering::Relaxed);
    writeln!(text, "{value}")
}

/// As Linux reckons it: the share of memory that the process has, in thousandths, moved by the adjustment, and two thirds of
/// that and 1000 together.
fn kill_score(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let process = &subject.process;
    let total = (memory::counters().total / BLOCK_SIZE).max(1) as i64;
    let adjustment = i64::from(process.settings.memory_adjustment.load(Ordering::Relaxed));
    let points = (sizes(process).resident / BLOCK_SIZE) as i64 + adjustment * total / 1000;
    let score = if adjustment == -1000 {
        0
    } else {
        (1000 + points * 1000 / total) * 2 / 3
    };
    writeln!(text, "{}", score.max(0))
}

fn set_adjustment(subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    let value = settings::signed_number(bytes)?;
    if !(-1000..=1000).contains(&value) {
        return Err(Errno::EINVAL);
    }
    let own = &subject.process.settings;
    let privileged = crate::fs::permission::require(Capabilities::RESOURCES).is_ok();
    if privileged {
        own.least_memory_adjustment.store(value, Ordering::Relaxed);
    } else if value < own.least_memory_adjustment.load(Ordering::Relaxed) {
        return Err(Errno::EACCES);
    }
    own.memory_adjustment.store(value, Ordering::Relaxed);
    Ok(())
}

/// `OOM_DISABLE`, the other end of the old scale, which starts at 15.
const OLD_NEVER: i32 = -17;

fn old_adjustment(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let value = match subject.process.settings.memory_adjustment.load(Ordering::Relaxed) {
        1000 => 15,
        value => value * -OLD_NEVER / 1000,
    };
    writeln!(text, "{value}")
}

fn set_old_adjustment(subject: &Subject, bytes: &[u8]) -> Result<(), Errno> {
    let value = match settings::signed_number(bytes)? {
        15 => 1000,
        value @ OLD_NEVER..=15 => value * 1000 / -OLD_NEVER,
        _ => return Err(Errno::EINVAL),
    };
    set_adjustment(subject, alloc::format!("{value}").as_bytes())
}

/// What is known about an open file, for `/proc/1/fdinfo`.
pub fn descriptor_text(subject: &Subject, descriptor: i32, text: &mut Text) -> Result<(), Errno> {
    let files = subject.files();
    let file = files.file(descriptor).map_err(|_| Errno::ENOENT)?;
    let mut flags = file.flags();
    if files.close_on_exec(descriptor).unwrap_or(false) {
        flags |= OpenFlags::CLOSE_ON_EXEC;
    }
    let metadata = file.inode.metadata();
    let mount = file.inode.mount().map_or(0, |mount| mount.number);
    writeln!(text, "pos:\t{}\nflags:\t0{:o}", file.position(), flags.bits())?;
    writeln!(text, "mnt_id:\t{mount}\nino:\t{}", metadata.number)?;
    match file.file() {
        Ok(file) => file.describe(text),
        Err(_) => Ok(()),
    }
}

/// The files of `/proc/1/attr`: what a security module would say. There is none, which Linux tells in this way.
const ATTRIBUTES: &[Entry] = &[
    text("current", no_security_module),
    text("exec", no_security_module),
    text("fscreate", no_security_module),
    text("keycreate", no_security_module),
    text("prev", no_security_module),
    text("sockcreate", no_security_module),
];

fn no_security_module(_text: &mut Text) -> Result<(), Errno> {
    Err(Errno::EINVAL)
}
