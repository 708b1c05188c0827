//! What `/proc` tells about devices, memory as hardware, and locks.

use pith_linux::Errno;
use pith_linux::files::FileLock;

use super::Text;
use crate::arch;
use crate::fs::metadata::BLOCK_SIZE;
use crate::fs::{leases, locks};
use crate::memory;

/// `/proc/devices`
pub const NUMBERS: &str = "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n 10 misc\n128 ptm\n\
    136 pts\n\nBlock devices:\n";
/// `/proc/misc`
pub const MISCELLANEOUS: &str = "126 userfaultfd\n";
/// `/proc/tty/drivers`: name, device, major and minor numbers, kind.
pub const TERMINALS: &str = "/dev/tty             /dev/tty        5       0 system:/dev/tty\n\
    /dev/console         /dev/console    5       1 system:console\n\
    /dev/ptmx            /dev/ptmx       5       2 system\n\
    pty_slave            /dev/pts      136 0-1048575 pty:slave\n\
    pty_master           /dev/ptm      128 0-1048575 pty:master\n";
/// `/proc/ioports`: the ports that the kernel uses where the machine has what is behind them.
pub const PORTS: &str = "0020-0021 : pic1\n0040-0043 : timer0\n0070-0071 : rtc0\n00a0-00a1 : pic2\n\
    03f8-03ff : serial\n0cf8-0cff : PCI conf1\n";

/// `/proc/iomem`: where memory is, and the kernel in it. Addresses are not for everybody.
pub fn physical_memory(text: &mut Text) -> Result<(), Errno> {
    let may_know = crate::fs::permission::require(crate::task::Capabilities::ADMINISTRATION).is_ok();
    let mut line = |indent: &str, start: u64, end: u64, name: &str| {
        let (start, last) = if may_know { (start, end - 1) } else { (0, 0) };
        writeln!(text, "{indent}{start:08x}-{last:08x} : {name}")
    };
    let (start, end) = arch::boot::kernel_extent();
    for range in memory::ram() {
        line("", range.start, range.end, "System RAM")?;
        if range.contains(&start) {
            let (_, text_end) = arch::kernel_text();
            let code_end = text_end - (arch::kernel_text().0 - start);
            line("  ", start, code_end, "Kernel code")?;
            line("  ", code_end, end, "Kernel data")?;
        }
    }
    Ok(())
}

/// `/proc/buddyinfo`: free blocks of memory by their size, from one page upwards.
pub fn free_blocks(text: &mut Text) -> Result<(), Errno> {
    write!(text, "Node 0, zone   Normal ")?;
    for count in memory::free_blocks() {
        write!(text, "{count:>6} ")?;
    }
    writeln!(text)
}

/// `/proc/zoneinfo`: there is one zone, in which all memory is alike.
pub fn zone(text: &mut Text) -> Result<(), Errno> {
    let counters = memory::counters();
    let pages = |bytes: u64| bytes / BLOCK_SIZE;
    let (reserve, total, free) = (pages(counters.reserve), pages(counters.total), pages(counters.free));
    let end = memory::ram().iter().map(|range| range.end).max().unwrap_or(0);
    let present: u64 = memory::ram().iter().map(|range| range.end - range.start).sum();
    writeln!(text, "Node 0, zone   Normal\n  per-node stats\n  pages free     {free}")?;
    for (name, value) in [
        ("min", reserve),
        ("low", 2 * reserve),
        ("high", 2 * reserve),
        ("spanned", pages(end)),
        ("present", pages(present)),
        ("managed", total),
    ] {
        writeln!(text, "        {name:<8} {value}")?;
    }
    writeln!(
        text,
        "      nr_free_pages {free}\n  node_unreclaimable:  0\n  start_pfn:           0"
    )
}

/// `/proc/slabinfo`: the small blocks of the kernel's heap by their size.
pub fn small_blocks(text: &mut Text) -> Result<(), Errno> {
    text.bytes(
        b"slabinfo - version: 2.1\n\
        # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> \
        <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n",
    )?;
    for (size, count) in memory::small_blocks() {
        let name = alloc::format!("kmalloc-{size}");
        let per_page = memory::PAGE_SIZE / size;
        let pages = count.div_ceil(per_page as u64);
        writeln!(
            text,
            "{name:<17} {count:>6} {count:>6} {size:>6} {per_page:>4}    1 : tunables    0    0    0 : slabdata \
             {pages:>6} {pages:>6}      0"
        )?;
    }
    Ok(())
}

/// `/proc/locks`, as `proc_locks(5)` describes it. A lock of `fcntl` that belongs to a description has -1 for its process.
pub fn lock_table(text: &mut Text) -> Result<(), Errno> {
    let locks = locks::all();
    for (index, lock) in locks.iter().enumerate() {
        let kind = match (lock.whole, lock.process) {
            (true, _) => "FLOCK ",
            (false, Some(_)) => "POSIX ",
            (false, None) => "OFDLCK",
        };
        let mode = if lock.exclusive { "WRITE" } else { "READ " };
        let process = lock.process.map_or(-1, i64::from);
        let device = pith_linux::files::DeviceNumber::decode(lock.file.0);
        write!(
            text,
            "{}: {kind} ADVISORY  {mode} {process} {:02x}:{:02x}:{} {} ",
            index + 1,
            device.major,
            device.minor,
            lock.file.1,
            lock.range.start
        )?;
        if lock.range.last >= i64::MAX as u64 {
            text.bytes(b"EOF\n")?;
        } else {
            writeln!(text, "{}", lock.range.last)?;
        }
    }
    for (index, lease) in leases::all().iter().enumerate() {
        let state = if lease.breaking { "BREAKING " } else { "ACTIVE   " };
        let mode = match lease.kind {
            FileLock::READ => "READ ",
            FileLock::WRITE => "WRITE",
            _ => "UNLCK",
        };
        let (device, number) = (lease.file.device, lease.file.number);
        writeln!(
            text,
            "{}: LEASE  {state} {mode} {} {:02x}:{:02x}:{number} 0 EOF",
            locks.len() + index + 1,
            lease.process,
            device.major,
            device.minor,
        )?;
    }
    Ok(())
}
