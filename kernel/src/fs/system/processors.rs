//! What `/sys/devices/system` tells of processors and of the one node of memory.

use alloc::string::String;
use alloc::vec::Vec;

use pith_linux::Errno;

use crate::arch::{self, MAXIMUM_CPUS};
use crate::fs::proc::{Body, Entry, Text, Things, constant, directory, entry, list_of_bits, mask_of_bits, text};
use crate::memory;
use crate::task;

/// `/sys/devices/system/cpu`. Processors do not come or go once all have started.
pub const PROCESSORS: Entry = entry("cpu", 0o555, Body::Each(&EACH, ALL));
/// `/sys/devices/system/node`
pub const NODES: Entry = directory(
    "node",
    &[
        constant("has_cpu", "0\n"),
        constant("has_memory", "0\n"),
        constant("has_normal_memory", "0\n"),
        directory(
            "node0",
            &[
                text("cpulist", online_list),
                text("cpumap", |text| mask(task::online_cpus(), text)),
                constant("distance", "10\n"),
                text("meminfo", node_memory),
            ],
        ),
        constant("online", "0\n"),
        constant("possible", "0\n"),
    ],
);

static EACH: Things = Things {
    list: names,
    body: Body::OfThingDirectory(&[
        entry("cache", 0o555, Body::OfThingParts(caches, CACHE)),
        entry("topology", 0o555, Body::OfThingDirectory(TOPOLOGY)),
    ]),
};

const ALL: &[Entry] = &[
    constant("isolated", "\n"),
    text("kernel_max", |text| writeln!(text, "{}", MAXIMUM_CPUS - 1)),
    constant("offline", "\n"),
    text("online", online_list),
    text("possible", online_list),
    text("present", online_list),
];

/// A cache of a processor.
struct Cache {
    cpu: u32,
    level: u32,
    /// 1 for data, 2 for instructions, 3 for both.
    kind: u32,
    line: u32,
    partitions: u32,
    ways: u32,
    sets: u32,
    /// How many processors have it in common, at most.
    sharing: u32,
}

/// How many bits of a cache's number are the processor's; the others are its place in the list.
const CPU_BITS: u32 = 8;

impl Cache {
    fn find(number: u32) -> Option<Self> {
        /// Where Intel lists them (SDM volume 2, CPUID), and AMD in the same form (APM volume 3, E.4.15).
        const LISTS: [u32; 2] = [4, 0x8000_001d];
        let (cpu, index) = (number & ((1 << CPU_BITS) - 1), number >> CPU_BITS);
        let known = |leaf: u32| arch::cpuid(leaf & 0x8000_0000, 0).eax >= leaf;
        let list = LISTS
            .into_iter()
            .find(|leaf| known(*leaf) && arch::cpuid(*leaf, 0).eax & 31 != 0);
        let Some(leaf) = list else {
            return Self::find_plain(cpu, index).filter(|_| known(0x8000_0006));
        };
        let answer = arch::cpuid(leaf, index);
        (answer.eax & 31 != 0).then_some(Self {
            cpu,
            level: answer.eax >> 5 & 7,
            kind: answer.eax & 31,
            line: (answer.ebx & 0xfff) + 1,
            partitions: (answer.ebx >> 12 & 0x3ff) + 1,
            ways: (answer.ebx >> 22) + 1,
            sets: answer.ecx + 1,
            sharing: (answer.eax >> 14 & 0xfff) + 1,
        })
    }

    /// As older processors of AMD tell them (APM volume 3, E.4.4 and E.4.5).
    fn find_plain(cpu: u32, index: u32) -> Option<Self> {
        /// Ways by their code; all for 15.
        const WAYS: [u32; 16] = [0, 1, 2, 3, 4, 6, 8, 0, 16, 0, 32, 48, 64, 96, 128, 0];
        let (first, others) = (arch::cpuid(0x8000_0005, 0), arch::cpuid(0x8000_0006, 0));
        let (level, kind, register) = match index {
            0 => (1, 1, first.ecx),
            1 => (1, 2, first.edx),
            2 => (2, 3, others.ecx),
            3 => (3, 3, others.edx),
            _ => return None,
        };
        let (kibibytes, ways) = match level {
            1 => (register >> 24, register >> 16 & 0xff),
            2 => (register >> 16, WAYS[(register >> 12 & 15) as usize]),
            _ => ((register >> 18) * 512, WAYS[(register >> 12 & 15) as usize]),
        };
        let line = register & 0xff;
        if kibibytes == 0 || line == 0 {
            return None;
        }
        let lines = (kibibytes << 10) / line;
        let ways = if ways == 0 || level == 1 && ways == 0xff {
            lines
        } else {
            ways
        };
        Some(Self {
            cpu,
            level,
            kind,
            line,
            partitions: 1,
            ways,
            sets: lines / ways,
            sharing: if level == 3 { MAXIMUM_CPUS as u32 } else { 1 },
        })
    }

    /// The processors that have it in common: those whose numbers differ only in the lowest bits.
    fn users(&self) -> u64 {
        let bits = self.sharing.next_power_of_two().trailing_zeros();
        let same = |cpu: &u32| cpu >> bits == self.cpu >> bits;
        let users = (0..MAXIMUM_CPUS as u32).filter(same).fold(0, |set, cpu| set | 1 << cpu);
        users & task::online_cpus()
    }
}

fn caches(cpu: u32) -> Vec<(u32, String)> {
    let number = |index: &u32| cpu | index << CPU_BITS;
    (0..8)
        .take_while(|index| Cache::find(number(index)).is_some())
        .map(|index| (number(&index), alloc::format!("index{index}")))
        .collect()
}

const fn of_cache(name: &'static str) -> Entry {
    entry(name, 0o444, Body::OfThing(tell_of_cache))
}

const CACHE: &[Entry] = &[
    of_cache("coherency_line_size"),
    of_cache("level"),
    of_cache("number_of_sets"),
    of_cache("physical_line_partition"),
    of_cache("shared_cpu_list"),
    of_cache("shared_cpu_map"),
    of_cache("size"),
    of_cache("type"),
    of_cache("ways_of_associativity"),
];

fn tell_of_cache(number: u32, name: &str, text: &mut Text) -> Result<(), Errno> {
    let cache = Cache::find(number).ok_or(Errno::ENODEV)?;
    let value = match name {
        "coherency_line_size" => cache.line,
        "level" => cache.level,
        "number_of_sets" => cache.sets,
        "physical_line_partition" => cache.partitions,
        "ways_of_associativity" => cache.ways,
        "shared_cpu_list" => return list(cache.users(), text),
        "shared_cpu_map" => return mask(cache.users(), text),
        "size" => {
            let bytes = cache.line * cache.partitions * cache.ways * cache.sets;
            return writeln!(text, "{}K", bytes >> 10);
        }
        _ => {
            let kinds = ["Data", "Instruction", "Unified"];
            let kind = kinds.get(cache.kind as usize - 1);
            return writeln!(text, "{}", kind.unwrap_or(&"Unknown"));
        }
    };
    writeln!(text, "{value}")
}

const fn fact(name: &'static str) -> Entry {
    entry(name, 0o444, Body::OfThing(tell))
}

/// As `cpuid` tells programs, and `/proc/cpuinfo`: one package, in which every processor is a core.
const TOPOLOGY: &[Entry] = &[
    fact("core_cpus"),
    fact("core_cpus_list"),
    fact("core_id"),
    fact("core_siblings"),
    fact("core_siblings_list"),
    fact("die_cpus"),
    fact("die_cpus_list"),
    constant("die_id", "0\n"),
    fact("package_cpus"),
    fact("package_cpus_list"),
    constant("physical_package_id", "0\n"),
    fact("thread_siblings"),
    fact("thread_siblings_list"),
];

fn names() -> Vec<(u32, String)> {
    let online = task::online_cpus();
    (0..MAXIMUM_CPUS as u32)
        .filter(|cpu| online >> cpu & 1 != 0)
        .map(|cpu| (cpu, alloc::format!("cpu{cpu}")))
        .collect()
}

pub fn online_list(text: &mut Text) -> Result<(), Errno> {
    list(task::online_cpus(), text)
}

fn list(set: u64, text: &mut Text) -> Result<(), Errno> {
    list_of_bits(set, text)?;
    text.bytes(b"\n")
}

fn mask(set: u64, text: &mut Text) -> Result<(), Errno> {
    mask_of_bits(set, text)?;
    text.bytes(b"\n")
}

fn tell(cpu: u32, name: &str, text: &mut Text) -> Result<(), Errno> {
    if name == "core_id" {
        return writeln!(text, "{cpu}");
    }
    // Threads and cores have one processor, dies and packages have all.
    let set = match name.split_once('_') {
        Some(("core", "cpus" | "cpus_list") | ("thread", _)) => 1 << cpu,
        _ => task::online_cpus(),
    };
    match name.ends_with("_list") {
        true => list(set, text),
        false => mask(set, text),
    }
}

fn node_memory(text: &mut Text) -> Result<(), Errno> {
    let counters = memory::counters();
    for (name, bytes) in [
        ("MemTotal", counters.total),
        ("MemFree", counters.free),
        ("MemUsed", counters.total - counters.free),
    ] {
        writeln!(text, "Node 0 {name}: {:>14} kB", bytes >> 10)?;
    }
    Ok(())
}
