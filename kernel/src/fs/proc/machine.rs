//! What `/proc` tells about the machine.

use alloc::string::String;
use alloc::vec::Vec;

use pith_linux::Errno;

use super::counters::{interrupt_counts, load_averages, soft_interrupts, statistics, uptime};
use super::devices;
use super::memory::{memory_information, virtual_memory_statistics};
use super::settings::SYSTEM;
use super::{Body, Entry, Text, constant, directory, entry, link, text};
use crate::arch;
use crate::devices::command_line;
use crate::fs::inode::Target;
use crate::fs::{ipc, mounts};
use crate::task::{self, system_name};

/// A file that only root reads.
const fn private(name: &'static str, make: super::entry::Make) -> Entry {
    entry(name, 0o400, Body::Text(make))
}

/// The files of `/proc`. A list of what there is none of is empty, as on Linux: disks, modules, consoles.
pub const ROOT: &[Entry] = &[
    text("buddyinfo", devices::free_blocks),
    constant("cgroups", crate::fs::system::CONTROLLERS),
    text("cmdline", |text| writeln!(text, "{}", command_line::whole())),
    constant("consoles", ""),
    text("cpuinfo", cpu_information),
    constant("devices", devices::NUMBERS),
    constant("diskstats", ""),
    constant("execdomains", "0-0\tLinux           \t[kernel]\n"),
    text("filesystems", file_systems),
    text("interrupts", interrupt_counts),
    text("iomem", devices::physical_memory),
    constant("ioports", devices::PORTS),
    text("loadavg", load_averages),
    text("locks", devices::lock_table),
    text("meminfo", memory_information),
    constant("misc", devices::MISCELLANEOUS),
    constant("modules", ""),
    link("mounts", || Ok(Target::Path(b"self/mounts".into()))),
    link("net", || Ok(Target::Path(b"self/net".into()))),
    constant("partitions", ""),
    link("self", || {
        Ok(Target::Path(
            alloc::format!("{}", task::current_process().id).into_bytes(),
        ))
    }),
    private("slabinfo", devices::small_blocks),
    text("softirqs", soft_interrupts),
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
    directory("tty", &[constant("drivers", devices::TERMINALS)]),
    text("uptime", uptime),
    text("version", version),
    text("vmstat", virtual_memory_statistics),
    text("zoneinfo", devices::zone),
];

fn version(text: &mut Text) -> Result<(), Errno> {
    writeln!(
        text,
        "Linux version {} (pith@pith) (rustc) {}",
        system_name::RELEASE,
        system_name::VERSION
    )
}

fn file_systems(text: &mut Text) -> Result<(), Errno> {
    let mut names: Vec<&str> = Vec::from(["tmpfs"]);
    for mount in mounts::list().iter() {
        let name = mount.super_block.file_system.type_name();
        if let Err(place) = names.binary_search(&name) {
            names.insert(place, name);
        }
    }
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
