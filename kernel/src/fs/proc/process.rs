//! What `/proc` tells about the process.

use alloc::string::String;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::files::OpenFlags;
use pith_linux::signal::Signal;

use super::machine::TICK;
use super::memory::{areas, maps, memory_statistics, node_maps, sizes, small_maps, small_maps_rollup};
use super::network::NETWORK;
use super::{
    Body, Entry, TargetOfThread, Text, UNKNOWN, constant, directory, list_of_bits, mask_of_bits, of_thread, text,
};
use crate::fs::inode::Target;
use crate::fs::{context, metadata::BLOCK_SIZE, mounts, path};
use crate::memory;
use crate::task::{self, Capabilities, Limits, Process, ProgramIdentity, Thread};

/// The files of `/proc/1`.
pub const PROCESS: &[Entry] = &[
    directory("attr", ATTRIBUTES),
    Entry {
        name: "auxv",
        permissions: 0o400,
        body: Body::OfThread(auxiliary_vector, None),
    },
    constant("cgroup", "0::/\n"),
    of_thread("cmdline", command_line),
    Entry {
        name: "comm",
        permissions: 0o644,
        body: Body::OfThread(name_line, Some(set_name)),
    },
    thread_link("cwd", |thread| {
        Ok(Target::File(context::of(&thread.process).working_directory()))
    }),
    Entry {
        name: "environ",
        permissions: 0o400,
        body: Body::OfThread(environment, None),
    },
    thread_link("exe", executable),
    Entry {
        name: "fd",
        permissions: 0o500,
        body: Body::Descriptors(UNKNOWN),
    },
    Entry {
        name: "fdinfo",
        permissions: 0o555,
        body: Body::DescriptorTexts(UNKNOWN),
    },
    constant("gid_map", "         0          0 4294967295\n"),
    of_thread("limits", limits),
    constant("loginuid", "4294967295"),
    of_thread("maps", maps),
    text("mountinfo", mount_information),
    text("mounts", mount_table),
    directory("net", NETWORK),
    of_thread("numa_maps", node_maps),
    of_thread("oom_score", kill_score),
    Entry {
        name: "oom_score_adj",
        permissions: 0o644,
        body: Body::OfThread(adjustment, Some(set_adjustment)),
    },
    Entry {
        name: "pagemap",
        permissions: 0o400,
        body: Body::PageMap(UNKNOWN),
    },
    of_thread("personality", personality),
    thread_link("root", |thread| Ok(Target::File(context::of(&thread.process).root()))),
    constant("projid_map", "         0          0 4294967295\n"),
    constant("sessionid", "4294967295"),
    constant("setgroups", "allow\n"),
    of_thread("smaps", small_maps),
    of_thread("smaps_rollup", small_maps_rollup),
    of_thread("stat", statistics),
    of_thread("statm", memory_statistics),
    of_thread("status", status),
    constant("uid_map", "         0          0 4294967295\n"),
    constant("wchan", "0"),
    // Only a process has these: see [`THREAD`].
    constant("coredump_filter", "00000033\n"),
    Entry {
        name: "task",
        permissions: 0o555,
        body: Body::Threads(UNKNOWN),
    },
    of_thread("timerslack_ns", |thread, text| {
        writeln!(text, "{}", thread.process.settings.timer_slack.load(Ordering::Relaxed))
    }),
];

/// How many of them, at the end, threads do not have.
const ONLY_OF_PROCESSES: usize = 3;

/// The files of `/proc/1/task/1`, and of each other thread.
pub const THREAD: &[Entry] = PROCESS.split_at(PROCESS.len() - ONLY_OF_PROCESSES).0;

/// The program that a process runs.
pub fn program(process: &Process) -> ProgramIdentity {
    process.program.lock().clone()
}

const fn thread_link(name: &'static str, target: TargetOfThread) -> Entry {
    Entry {
        name,
        permissions: 0o777,
        body: Body::OfThreadLink(target),
    }
}

fn name(thread: &Thread) -> String {
    let name = *thread.name.lock();
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..end]).into_owned()
}

fn name_line(thread: &Thread, text: &mut Text) -> Result<(), Errno> {
    writeln!(text, "{}", name(thread))
}

fn personality(thread: &Thread, text: &mut Text) -> Result<(), Errno> {
    writeln!(text, "{:08x}", thread.personality.load(Ordering::Relaxed))
}

/// The letter for what a thread does, and the word.
fn state(thread: &Thread) -> (char, &'static str) {
    if thread.process.is_stopped() {
        ('T', "stopped")
    } else if thread.entity.sleeps() {
        ('S', "sleeping")
    } else {
        ('R', "running")
    }
}

fn set_name(thread: &Thread, bytes: &[u8]) -> Result<(), Errno> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut name = [0; 16];
    let length = bytes.len().min(name.len() - 1);
    name[..length].copy_from_slice(&bytes[..length]);
    *thread.name.lock() = name;
    Ok(())
}

fn executable(thread: &Thread) -> Result<Target, Errno> {
    // The program was found before it may have changed its root directory.
    let root = crate::fs::root_directory()?;
    let origin = path::Origin::new(root.clone(), root);
    path::find(&origin, &program(&thread.process).path, true).map(Target::File)
}

/// Copies a part of a process's memory.
fn copy_memory(thread: &Thread, (start, end): (u64, u64), text: &mut Text) -> Result<(), Errno> {
    let space = thread.process.address_space();
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

fn command_line(thread: &Thread, text: &mut Text) -> Result<(), Errno> {
    copy_memory(thread, program(&thread.process).arguments, text)
}

fn environment(thread: &Thread, text: &mut Text) -> Result<(), Errno> {
    copy_memory(thread, program(&thread.process).environment, text)
}

fn auxiliary_vector(thread: &Thread, text: &mut Text) -> Result<(), Errno> {
    copy_memory(thread, program(&thread.process).auxiliary, text)
}

/// The signals whose handler makes `choose` true, as a mask.
fn signals(process: &Process, choose: fn(u64) -> bool) -> u64 {
    let actions = process.actions.lock();
    (1..=u64::from(Signal::MAXIMUM))
        .filter_map(Signal::from_number)
        .filter(|signal| choose(actions.get(*signal).handler))
        .fold(0, |mask, signal| mask | signal.bit())
}

fn statistics(thread: &Thread, text: &mut Text) -> Result<(), Errno> {
    let process = &*thread.process;
    let (program, sizes) = (program(process), sizes(process));
    let pending = process.pending.set();
    let blocked = thread.blocked.load(Ordering::Relaxed);
    let (ignored, caught) = (
        signals(process, |handler| handler == 1),
        signals(process, |handler| handler > 1),
    );
    // Number, name, state, parent, group, session, terminal, its group, flags, four counts of faults.
    let (number, state) = (thread.id(), state(thread).0);
    write!(
        text,
        "{number} ({}) {state} {} {} {} 0 -1 0 {} 0 0 0 ",
        name(thread),
        process.family.parent(),
        process.family.group(),
        process.family.session(),
        process.address_space().fault_count(),
    )?;
    // Times, priority, nice value, threads, timer, start.
    let used = if number == process.id {
        process.cpu_time()
    } else {
        thread.cpu_time()
    };
    let nice = thread.entity.nice();
    let threads = process.thread_count();
    write!(text, "{} 0 0 0 {} {nice} {threads} 0 0 ", used / TICK, 20 + nice)?;
    write!(
        text,
        "{} {} {} ",
        sizes.total,
        sizes.resident / BLOCK_SIZE,
        process.limit(5)
    )?;
    write!(text, "{} {} {} 0 0 ", sizes.code.0, sizes.code.1, program.stack)?;
    write!(
        text,
        "{} {} {} {} ",
        pending & 0x7fff_ffff,
        blocked & 0x7fff_ffff,
        ignored & 0x7fff_ffff,
        caught & 0x7fff_ffff
    )?;
    // Where it waits, swap, exit signal, processor, scheduling, delays, guest times.
    write!(text, "0 0 0 17 {} 0 0 0 0 0 ", thread.entity.cpu())?;
    let (arguments, environment) = (program.arguments, program.environment);
    let data = areas(process)
        .into_iter()
        .find(|area| area.name == "[heap]")
        .map_or((0, 0), |area| (area.start, area.end));
    write!(text, "{} {} {0} {} {} ", data.0, data.1, arguments.0, arguments.1)?;
    writeln!(text, "{} {} 0", environment.0, environment.1)
}

fn status(thread: &Thread, text: &mut Text) -> Result<(), Errno> {
    let process = &*thread.process;
    let (sizes, files) = (sizes(process), context::of(process));
    let credentials = process.credentials.lock().clone();
    writeln!(text, "Name:\t{}", name(thread))?;
    writeln!(text, "Umask:\t{:04o}", files.mask())?;
    let (letter, word) = state(thread);
    writeln!(text, "State:\t{letter} ({word})")?;
    writeln!(
        text,
        "Tgid:\t{0}\nNgid:\t0\nPid:\t{1}\nPPid:\t{2}\nTracerPid:\t0",
        process.id,
        thread.id(),
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
    writeln!(text, "FDSize:\t{}", descriptors.max(64).next_multiple_of(64))?;
    write!(text, "Groups:\t")?;
    for group in &credentials.supplementary {
        write!(text, "{group} ")?;
    }
    writeln!(text)?;
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
        ("VmPTE", memory::table_bytes()),
        ("VmSwap", 0),
    ];
    for (name, bytes) in rows {
        writeln!(text, "{name}:\t{:>8} kB", bytes >> 10)?;
    }
    writeln!(text, "Threads:\t{}", process.thread_count())?;
    let queued = process.pending.queued() + thread.pending.queued();
    writeln!(text, "SigQ:\t{queued}/{}", process.limit(Limits::PENDING_SIGNALS))?;
    let capabilities = process.credentials.lock().capabilities;
    let masks = [
        ("SigPnd", thread.pending.set()),
        ("ShdPnd", process.pending.set()),
        ("SigBlk", thread.blocked.load(Ordering::Relaxed)),
        ("SigIgn", signals(process, |handler| handler == 1)),
        ("SigCgt", signals(process, |handler| handler > 1)),
        ("CapInh", capabilities.inheritable),
        ("CapPrm", capabilities.permitted),
        ("CapEff", capabilities.effective),
        ("CapBnd", Capabilities::ALL),
        ("CapAmb", 0),
    ];
    for (name, mask) in masks {
        writeln!(text, "{name}:\t{mask:016x}")?;
    }
    let no_new_privileges = process.settings.no_new_privileges.load(Ordering::Relaxed);
    let (mode, filters) = {
        let seccomp = thread.seccomp.lock();
        (seccomp.mode(), seccomp.filter_count())
    };
    writeln!(
        text,
        "NoNewPrivs:\t{}\nSeccomp:\t{mode}\nSeccomp_filters:\t{filters}",
        u8::from(no_new_privileges)
    )?;
    let allowed = thread.entity.affinity() & task::online_cpus();
    text.bytes(b"Cpus_allowed:\t")?;
    mask_of_bits(allowed, text)?;
    text.bytes(b"\nCpus_allowed_list:\t")?;
    list_of_bits(allowed, text)?;
    writeln!(text, "\nMems_allowed:\t1\nMems_allowed_list:\t0")?;
    let (voluntary, involuntary) = thread.entity.switches();
    writeln!(
        text,
        "voluntary_ctxt_switches:\t{voluntary}\nnonvoluntary_ctxt_switches:\t{involuntary}"
    )
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

fn limits(thread: &Thread, text: &mut Text) -> Result<(), Errno> {
    let limits = thread.process.limits.lock().clone();
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

fn mount_table(text: &mut Text) -> Result<(), Errno> {
    for mount in mounts() {
        writeln!(
            text,
            "{} {} {} {}{} 0 0",
            mount.source,
            mount.point,
            mount.file_system.type_name(),
            mount.options,
            mount.settings
        )?;
    }
    Ok(())
}

fn mount_information(text: &mut Text) -> Result<(), Errno> {
    for (mount, number) in mounts().iter().zip(1..) {
        let device = mount.file_system.device();
        // The mount above: the one whose point is the longest path to this one.
        let above = mounts()
            .iter()
            .zip(1..)
            .filter(|(other, other_number)| {
                let rest = mount.point.strip_prefix(&*other.point);
                *other_number != number && rest.is_some_and(|rest| other.point == "/" || rest.starts_with('/'))
            })
            .max_by_key(|(other, _)| other.point.len())
            .map_or(0, |(_, number)| number);
        let (source, kind, options) = (mount.source, mount.file_system.type_name(), mount.options);
        writeln!(
            text,
            "{number} {above} {}:{} / {} {options} - {kind} {source} rw{}",
            device.major, device.minor, mount.point, mount.settings
        )?;
    }
    Ok(())
}

/// How readily the process is to be killed when memory is short. It is kept; the one that finds none is killed.
fn adjustment(thread: &Thread, text: &mut Text) -> Result<(), Errno> {
    let value = thread.process.settings.memory_adjustment.load(Ordering::Relaxed);
    writeln!(text, "{value}")
}

/// As Linux reckons it: the share of memory that the process has, in thousandths, moved by the adjustment, and two thirds of
/// that and 1000 together.
fn kill_score(thread: &Thread, text: &mut Text) -> Result<(), Errno> {
    let process = &thread.process;
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

fn set_adjustment(thread: &Thread, bytes: &[u8]) -> Result<(), Errno> {
    let value = core::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let value: i32 = value
        .filter(|value| (-1000..=1000).contains(value))
        .ok_or(Errno::EINVAL)?;
    thread
        .process
        .settings
        .memory_adjustment
        .store(value, Ordering::Relaxed);
    Ok(())
}

/// What is known about an open file, for `/proc/1/fdinfo`.
pub fn descriptor_text(thread: &Thread, descriptor: i32, text: &mut Text) -> Result<(), Errno> {
    let files = context::of(&thread.process);
    let file = files.file(descriptor).map_err(|_| Errno::ENOENT)?;
    let mut flags = file.flags();
    if files.close_on_exec(descriptor).unwrap_or(false) {
        flags |= OpenFlags::CLOSE_ON_EXEC;
    }
    let metadata = file.inode.metadata();
    let mount = mounts()
        .iter()
        .position(|mount| mount.file_system.device() == metadata.device);
    writeln!(text, "pos:\t{}\nflags:\t0{:o}", file.position(), flags.bits())?;
    writeln!(
        text,
        "mnt_id:\t{}\nino:\t{}",
        mount.map_or(0, |mount| mount + 1),
        metadata.number
    )?;
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
