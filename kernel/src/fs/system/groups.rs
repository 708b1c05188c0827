//! `/sys/fs/cgroup`: the one control group that there is, with all processes in it and without limits, as a container sees
//! its own (`cgroups(7)`, version 2). Nobody can make others, so it is mounted read-only.

use pith_linux::Errno;
use pith_linux::files::DeviceNumber;

use super::processors::online_list;
use crate::fs::proc::{Body, Character, Entry, Text, constant, text};
use crate::memory;
use crate::task;

/// What is mounted there.
pub const GROUPS: Character = Character {
    type_name: "cgroup2",
    magic: 0x6367_7270,
    device: DeviceNumber::new(0, 26),
    writable: false,
    root: Body::Directory(FILES),
};

/// `/proc/cgroups`
pub const CONTROLLERS: &str = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n\
    cpuset\t0\t1\t1\ncpu\t0\t1\t1\ncpuacct\t0\t1\t1\nmemory\t0\t1\t1\npids\t0\t1\t1\n";

const FILES: &[Entry] = &[
    constant("cgroup.controllers", "cpuset cpu memory pids\n"),
    constant("cgroup.events", "populated 1\nfrozen 0\n"),
    constant("cgroup.freeze", "0\n"),
    constant("cgroup.max.depth", "0\n"),
    constant("cgroup.max.descendants", "0\n"),
    text("cgroup.procs", |text| {
        task::processes()
            .iter()
            .try_for_each(|process| writeln!(text, "{}", process.id))
    }),
    constant("cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0\n"),
    constant("cgroup.subtree_control", ""),
    text("cgroup.threads", |text| {
        let threads = task::processes().into_iter().flat_map(|process| process.threads());
        threads
            .into_iter()
            .try_for_each(|thread| writeln!(text, "{}", thread.id()))
    }),
    constant("cgroup.type", "domain\n"),
    constant("cpu.max", "max 100000\n"),
    text("cpu.stat", |text| {
        let used = task::busy_time() / 1000;
        writeln!(
            text,
            "usage_usec {used}\nuser_usec {used}\nsystem_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0"
        )
    }),
    constant("cpu.weight", "100\n"),
    text("cpuset.cpus.effective", online_list),
    constant("cpuset.mems.effective", "0\n"),
    text("memory.current", |text| {
        let counters = memory::counters();
        writeln!(text, "{}", counters.total - counters.free)
    }),
    constant("memory.high", "max\n"),
    constant("memory.low", "0\n"),
    constant("memory.max", "max\n"),
    constant("memory.min", "0\n"),
    text("memory.peak", |text| writeln!(text, "{}", memory::counters().peak)),
    text("memory.stat", memory_statistics),
    constant("memory.swap.current", "0\n"),
    constant("memory.swap.max", "max\n"),
    text("pids.current", |text| writeln!(text, "{}", task::thread_count())),
    constant("pids.max", "max\n"),
];

fn memory_statistics(text: &mut Text) -> Result<(), Errno> {
    let own: u64 = task::processes()
        .iter()
        .map(|process| process.address_space().own_bytes())
        .sum();
    let files = memory::file_bytes();
    for (name, bytes) in [
        ("anon", own),
        ("file", files),
        ("kernel_stack", memory::stack_bytes()),
        ("pagetables", memory::table_bytes()),
        ("shmem", files),
        ("slab", memory::heap_counters().used),
    ] {
        writeln!(text, "{name} {bytes}")?;
    }
    Ok(())
}
