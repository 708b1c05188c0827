//! What `/sys/devices/system` tells of processors and of the one node of memory.

use alloc::string::String;
use alloc::vec::Vec;

use pith_linux::Errno;

use crate::arch::MAXIMUM_CPUS;
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
    body: Body::OfThingDirectory(&[entry("topology", 0o555, Body::OfThingDirectory(TOPOLOGY))]),
};

const ALL: &[Entry] = &[
    constant("isolated", "\n"),
    text("kernel_max", |text| writeln!(text, "{}", MAXIMUM_CPUS - 1)),
    constant("offline", "\n"),
    text("online", online_list),
    text("possible", online_list),
    text("present", online_list),
];

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

fn online_list(text: &mut Text) -> Result<(), Errno> {
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
