//! What `/proc` tells about the machine.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use spin::Once;

use super::devices::DEVICES;
use super::memory::{memory_information, virtual_memory_statistics};
use super::network::SETTINGS;
use super::{Entry, Text, constant, directory, link, setting, text};
use crate::arch;
use crate::devices::interrupts::{self, Trigger};
use crate::fs::inode::Target;
use crate::fs::user_faults::UNPRIVILEGED;
use crate::fs::{device_files, inotify, ipc, mounts, permission};
use crate::memory::{self, Overcommit};
use crate::task::{self, random, system_name};

const SECOND: u64 = 1_000_000_000;
/// Units of processor time per second, as `sysconf(_SC_CLK_TCK)` tells.
pub const TICK: u64 = SECOND / 100;

/// The files of `/proc`.
pub const ROOT: &[Entry] = &[
    DEVICES[0],
    DEVICES[1],
    DEVICES[2],
    DEVICES[3],
    DEVICES[4],
    DEVICES[5],
    DEVICES[6],
    text("cpuinfo", cpu_information),
    text("filesystems", file_systems),
    text("interrupts", interrupt_counts),
    text("loadavg", load),
    text("meminfo", memory_information),
    link("net", || Ok(Target::Path(b"self/net".into()))),
    link("mounts", || Ok(Target::Path(b"self/mounts".into()))),
    link("self", || {
        Ok(Target::Path(
            alloc::format!("{}", task::current_process().id).into_bytes(),
        ))
    }),
    text("stat", statistics),
    constant("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    directory("sys", SYSTEM),
    directory(
        "sysvipc",
        &[
            text("msg", ipc::messages::list),
            text("sem", ipc::semaphores::list),
            text("shm", ipc::shared_memory::list),
        ],
    ),
    link("thread-self", || {
        Ok(Target::Path(
            alloc::format!("{}/task/{}", task::current_process().id, task::current().id()).into_bytes(),
        ))
    }),
    text("uptime", uptime),
    text("version", version),
    text("vmstat", virtual_memory_statistics),
];

const SYSTEM: &[Entry] = &[
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
                    constant("msg_default", "10\n"),
                    constant("msg_max", "10\n"),
                    constant("msgsize_default", "8192\n"),
                    constant("msgsize_max", "8192\n"),
                    constant("queues_max", "256\n"),
                ],
            ),
            constant("nr_open", "1048576\n"),
            constant("pipe-max-size", "1048576\n"),
            number_setting!("protected_fifos", permission::PROTECTED_PIPES, 0..=2),
            number_setting!("protected_hardlinks", permission::PROTECTED_HARD_LINKS, 0..=1),
            number_setting!("protected_regular", permission::PROTECTED_REGULAR, 0..=2),
            number_setting!("protected_symlinks", permission::PROTECTED_SYMBOLIC_LINKS, 0..=1),
        ],
    ),
    directory(
        "kernel",
        &[
            constant("cap_last_cap", "40\n"),
            constant("core_pattern", "core\n"),
            text("domainname", |text| writeln!(text, "{}", system_name::domain())),
            text("hostname", |text| writeln!(text, "{}", system_name::hostname())),
            constant("msgmax", "8192\n"),
            constant("msgmnb", "16384\n"),
            constant("msgmni", "32000\n"),
            constant("ngroups_max", "65536\n"),
            text("osrelease", |text| writeln!(text, "{}", system_name::RELEASE)),
            constant("ostype", "Linux\n"),
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
            constant("sem", "32000\t1024000000\t500\t32000\n"),
            constant("shmall", "18446744073692774399\n"),
            constant("shmmax", "18446744073692774399\n"),
            constant("shmmni", "4096\n"),
            constant("tainted", "0\n"),
            text("version", |text| writeln!(text, "{}", system_name::VERSION)),
        ],
    ),
    directory("net", SETTINGS),
    directory(
        "vm",
        &[
            setting(
                "max_map_count",
                |text| writeln!(text, "{}", memory::area_limit()),
                set_area_limit,
            ),
            constant("mmap_min_addr", "65536\n"),
            constant("nr_hugepages", "0\n"),
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

fn version(text: &mut Text) -> Result<(), Errno> {
    writeln!(
        text,
        "Linux version {} (pith@pith) (rustc) {}",
        system_name::RELEASE,
        system_name::VERSION
    )
}

fn uptime(text: &mut Text) -> Result<(), Errno> {
    let up = task::monotonic().0;
    // Of all processors together.
    let idle = (up * task::cpu_count() as u64).saturating_sub(task::busy_time());
    let hundredths = |time: u64| (time / SECOND, time % SECOND / 10_000_000);
    let (up, idle) = (hundredths(up), hundredths(idle));
    writeln!(text, "{}.{:02} {}.{:02}", up.0, up.1, idle.0, idle.1)
}

/// Load averages are not kept: without a tick nobody would. The fields behind them are true.
fn load(text: &mut Text) -> Result<(), Errno> {
    writeln!(
        text,
        "0.00 0.00 0.00 {}/{} {}",
        task::runnable(),
        task::thread_count(),
        task::last_number()
    )
}

fn statistics(text: &mut Text) -> Result<(), Errno> {
    let up = task::monotonic().0;
    let mut line = |name: &str, busy: u64, all: u64| {
        let (user, idle) = (busy / TICK, all.saturating_sub(busy) / TICK);
        writeln!(text, "{name} {user} 0 0 {idle} 0 0 0 0 0 0")
    };
    let count = task::cpu_count() as u64;
    line("cpu ", task::busy_time(), up * count)?;
    for cpu in (0..64).filter(|cpu| task::online_cpus() >> cpu & 1 != 0) {
        line(&alloc::format!("cpu{cpu}"), task::busy_time_of(cpu), up)?;
    }
    let interrupts: u64 = interrupts::all().map(|one| one.total()).sum();
    let started = (task::wall_clock() - task::monotonic().0) / SECOND;
    writeln!(
        text,
        "intr {interrupts}\nctxt 0\nbtime {started}\nprocesses {}\nprocs_running {}\nprocs_blocked 0",
        task::last_number(),
        task::runnable()
    )?;
    writeln!(text, "softirq 0 0 0 0 0 0 0 0 0 0 0")
}

/// Interrupts of devices, by processor. Linux numbers them otherwise; here it is the vector.
fn interrupt_counts(text: &mut Text) -> Result<(), Errno> {
    let online = task::online_cpus();
    let processors = || (0..arch::MAXIMUM_CPUS).filter(move |cpu| online >> cpu & 1 != 0);
    write!(text, "           ")?;
    for cpu in processors() {
        write!(text, "CPU{cpu:<8}")?;
    }
    writeln!(text)?;
    for one in interrupts::all() {
        write!(text, "{:>3}: ", one.vector)?;
        for cpu in processors() {
            write!(text, "{:>10} ", one.count(cpu))?;
        }
        match one.line {
            Some((line, Trigger::Level)) => write!(text, " IO-APIC  {line:>3}-fasteoi")?,
            Some((line, Trigger::Edge)) => write!(text, " IO-APIC  {line:>3}-edge   ")?,
            None => write!(text, " PCI-MSIX {:>3}-edge   ", one.vector)?,
        }
        writeln!(text, "  {one}")?;
    }
    Ok(())
}

/// What was written to a file of `/proc/sys`, as a number in a range.
pub(super) fn number(bytes: &[u8], range: core::ops::RangeInclusive<usize>) -> Result<usize, Errno> {
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    let value = text.trim().parse().map_err(|_| Errno::EINVAL)?;
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(Errno::EINVAL)
    }
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

fn file_systems(text: &mut Text) -> Result<(), Errno> {
    let mut names: Vec<&str> = mounts().iter().map(|mount| mount.file_system.type_name()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        writeln!(text, "nodev\t{name}")?;
    }
    writeln!(text, "\terofs")
}

/// Registers of `cpuid`.
#[derive(Clone, Copy)]
enum Register {
    Ebx,
    Ecx,
    Edx,
}

/// Features in one register of `cpuid`: names by bit. Names are those of Linux.
type Names = &'static [(u8, &'static str)];

/// What a processor can do, by leaf and register of `cpuid`.
const FEATURES: [(u32, Register, Names); 6] = [
    (
        1,
        Register::Edx,
        &[
            (0, "fpu"),
            (1, "vme"),
            (2, "de"),
            (3, "pse"),
            (4, "tsc"),
            (5, "msr"),
            (6, "pae"),
            (7, "mce"),
            (8, "cx8"),
            (9, "apic"),
            (11, "sep"),
            (12, "mtrr"),
            (13, "pge"),
            (14, "mca"),
            (15, "cmov"),
            (16, "pat"),
            (17, "pse36"),
            (19, "clflush"),
            (23, "mmx"),
            (24, "fxsr"),
            (25, "sse"),
            (26, "sse2"),
            (27, "ss"),
            (28, "ht"),
        ],
    ),
    (
        0x8000_0001,
        Register::Edx,
        &[(11, "syscall"), (20, "nx"), (26, "pdpe1gb"), (27, "rdtscp"), (29, "lm")],
    ),
    (
        1,
        Register::Ecx,
        &[
            (0, "pni"),
            (1, "pclmulqdq"),
            (9, "ssse3"),
            (12, "fma"),
            (13, "cx16"),
            (17, "pcid"),
            (19, "sse4_1"),
            (20, "sse4_2"),
            (21, "x2apic"),
            (22, "movbe"),
            (23, "popcnt"),
            (24, "tsc_deadline_timer"),
            (25, "aes"),
            (26, "xsave"),
            (28, "avx"),
            (29, "f16c"),
            (30, "rdrand"),
            (31, "hypervisor"),
        ],
    ),
    (
        0x8000_0001,
        Register::Ecx,
        &[
            (0, "lahf_lm"),
            (5, "abm"),
            (6, "sse4a"),
            (8, "3dnowprefetch"),
            (11, "xop"),
            (16, "fma4"),
            (21, "tbm"),
        ],
    ),
    (
        7,
        Register::Ebx,
        &[
            (0, "fsgsbase"),
            (3, "bmi1"),
            (5, "avx2"),
            (7, "smep"),
            (8, "bmi2"),
            (9, "erms"),
            (10, "invpcid"),
            (16, "avx512f"),
            (17, "avx512dq"),
            (18, "rdseed"),
            (19, "adx"),
            (20, "smap"),
            (21, "avx512ifma"),
            (23, "clflushopt"),
            (24, "clwb"),
            (28, "avx512cd"),
            (29, "sha_ni"),
            (30, "avx512bw"),
            (31, "avx512vl"),
        ],
    ),
    (
        7,
        Register::Ecx,
        &[
            (1, "avx512vbmi"),
            (2, "umip"),
            (6, "avx512_vbmi2"),
            (8, "gfni"),
            (9, "vaes"),
            (10, "vpclmulqdq"),
            (11, "avx512_vnni"),
            (12, "avx512_bitalg"),
            (14, "avx512_vpopcntdq"),
            (22, "rdpid"),
        ],
    ),
];

fn highest_leaf(base: u32) -> u32 {
    arch::cpuid(base, 0).eax
}

/// One section for each processor; all are alike.
fn cpu_information(text: &mut Text) -> Result<(), Errno> {
    for cpu in (0..64).filter(|cpu| task::online_cpus() >> cpu & 1 != 0) {
        processor_information(text, cpu)?;
    }
    Ok(())
}

fn processor_information(text: &mut Text, cpu: usize) -> Result<(), Errno> {
    let maker = arch::cpuid(0, 0);
    let mut vendor = Vec::new();
    for register in [maker.ebx, maker.edx, maker.ecx] {
        vendor.extend_from_slice(&register.to_le_bytes());
    }
    let mut brand = Vec::new();
    if highest_leaf(0x8000_0000) >= 0x8000_0004 {
        for leaf in 0x8000_0002..=0x8000_0004 {
            let part = arch::cpuid(leaf, 0);
            for register in [part.eax, part.ebx, part.ecx, part.edx] {
                brand.extend_from_slice(&register.to_le_bytes());
            }
        }
    }
    let signature = arch::cpuid(1, 0).eax;
    let (mut family, mut model) = (signature >> 8 & 15, signature >> 4 & 15);
    if matches!(family, 6 | 15) {
        model |= (signature >> 16 & 15) << 4;
    }
    if family == 15 {
        family += signature >> 20 & 0xff;
    }
    let kilohertz = arch::frequencies().counter / 1000;
    let megahertz = (kilohertz / 1000, kilohertz % 1000);
    let clean = |bytes: &[u8]| String::from(String::from_utf8_lossy(bytes).trim_matches(['\0', ' ']));

    writeln!(text, "processor\t: {cpu}")?;
    writeln!(text, "vendor_id\t: {}", clean(&vendor))?;
    writeln!(text, "cpu family\t: {family}")?;
    writeln!(text, "model\t\t: {model}")?;
    writeln!(text, "model name\t: {}", clean(&brand))?;
    writeln!(text, "stepping\t: {}", signature & 15)?;
    writeln!(text, "cpu MHz\t\t: {}.{:03}", megahertz.0, megahertz.1)?;
    writeln!(
        text,
        "physical id\t: 0\nsiblings\t: {count}\ncore id\t\t: {cpu}\ncpu cores\t: {count}\napicid\t\t: {cpu}",
        count = task::cpu_count()
    )?;
    writeln!(
        text,
        "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: {}\nwp\t\t: yes",
        highest_leaf(0)
    )?;
    write!(text, "flags\t\t:")?;
    for (leaf, register, names) in FEATURES {
        if leaf > highest_leaf(leaf & 0x8000_0000) {
            continue;
        }
        let answer = arch::cpuid(leaf, 0);
        let bits = match register {
            Register::Ebx => answer.ebx,
            Register::Ecx => answer.ecx,
            Register::Edx => answer.edx,
        };
        for (_, name) in names.iter().filter(|(bit, _)| bits >> bit & 1 != 0) {
            write!(text, " {name}")?;
        }
    }
    writeln!(text, "\nbugs\t\t:")?;
    writeln!(text, "bogomips\t: {}.{:02}", kilohertz / 500, kilohertz % 500 / 5)?;
    writeln!(text, "clflush size\t: 64\ncache_alignment\t: 64")?;
    if highest_leaf(0x8000_0000) >= 0x8000_0008 {
        let sizes = arch::cpuid(0x8000_0008, 0).eax;
        writeln!(
            text,
            "address sizes\t: {} bits physical, {} bits virtual",
            sizes & 0xff,
            sizes >> 8 & 0xff
        )?;
    }
    writeln!(text, "power management:\n")
}
