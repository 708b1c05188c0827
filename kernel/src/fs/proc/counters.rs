//! What the kernel counts and measures: `/proc/stat`, `interrupts`, `softirqs`, `loadavg` and `uptime`.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::Errno;

use super::Text;
use crate::arch;
use crate::devices::interrupts::{self, Trigger};
use crate::task::{self, Split, load, soon};

const SECOND: u64 = 1_000_000_000;
/// Units of processor time per second, as `sysconf(_SC_CLK_TCK)` tells.
pub const TICK: u64 = SECOND / 100;

/// The processors that run threads.
fn processors() -> impl Iterator<Item = usize> {
    let online = task::online_cpus();
    (0..arch::MAXIMUM_CPUS).filter(move |cpu| online >> cpu & 1 != 0)
}

/// `uptime`
pub fn uptime(text: &mut Text) -> Result<(), Errno> {
    let up = task::monotonic().0;
    /// The most that was told. Busy time is counted late, but who compares two readings relies on idle time to grow only.
    static IDLE: AtomicU64 = AtomicU64::new(0);
    // Of all processors together.
    let idle = (up * task::cpu_count() as u64).saturating_sub(task::busy_time());
    let idle = IDLE.fetch_max(idle, Ordering::Relaxed).max(idle);
    let hundredths = |time: u64| (time / SECOND, time % SECOND / TICK);
    let (up, idle) = (hundredths(up), hundredths(idle));
    writeln!(text, "{}.{:02} {}.{:02}", up.0, up.1, idle.0, idle.1)
}

/// `loadavg`
pub fn load_averages(text: &mut Text) -> Result<(), Errno> {
    for average in load::averages() {
        // Rounded to hundredths, from 11 bits behind the point.
        let hundredths = (average * 100 + 1024) >> 11;
        write!(text, "{}.{:02} ", hundredths / 100, hundredths % 100)?;
    }
    writeln!(
        text,
        "{}/{} {}",
        task::runnable(),
        task::thread_count(),
        task::last_number()
    )
}

/// Interrupts that belong to no device and have come to a processor.
fn own_interrupts(cpu: usize) -> u64 {
    let kinds = 0..interrupts::OWN.len();
    kinds.map(|index| interrupts::own_count(index, cpu)).sum()
}

/// `stat`
pub fn statistics(text: &mut Text) -> Result<(), Errno> {
    let up = task::monotonic().0;
    let mut line = |name: &str, busy: Split, all: u64| {
        let idle = all.saturating_sub(busy.program + busy.kernel);
        let [program, kernel, idle] = [busy.program, busy.kernel, idle].map(|time| time / TICK);
        writeln!(text, "{name} {program} 0 {kernel} {idle} 0 0 0 0 0 0")
    };
    let busy: Vec<_> = processors().map(task::busy_split_of).collect();
    let mut all = Split::NOTHING;
    for one in &busy {
        all.program += one.program;
        all.kernel += one.kernel;
    }
    line("cpu ", all, up * task::cpu_count() as u64)?;
    for (cpu, busy) in processors().zip(busy) {
        line(&alloc::format!("cpu{cpu}"), busy, up)?;
    }
    let of_devices: u64 = interrupts::all().map(|one| one.total()).sum();
    let own: u64 = processors().map(own_interrupts).sum();
    write!(text, "intr {}", of_devices + own)?;
    let mut next = 0;
    for one in interrupts::all() {
        for _ in next..one.vector {
            text.bytes(b" 0")?;
        }
        write!(text, " {}", one.total())?;
        next = one.vector + 1;
    }
    let started = (task::wall_clock() - task::monotonic().0) / SECOND;
    writeln!(
        text,
        "\nctxt {}\nbtime {started}\nprocesses {}\nprocs_running {}\nprocs_blocked 0",
        task::switches(),
        task::created_count(),
        task::runnable()
    )?;
    let work: [u64; SOFT.len()] = core::array::from_fn(|index| processors().map(|cpu| soft_count(index, cpu)).sum());
    write!(text, "softirq {}", work.iter().sum::<u64>())?;
    for count in work {
        write!(text, " {count}")?;
    }
    writeln!(text)
}

/// Linux's kinds of work that interrupt handlers leave for later.
const SOFT: [&str; 10] = [
    "HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU",
];
/// The one that there is here: dealing with what network cards have received.
const RECEIVING: usize = 3;

/// How often a processor has done work of a kind of [`SOFT`].
fn soft_count(index: usize, cpu: usize) -> u64 {
    match index {
        RECEIVING => soon::count(cpu),
        _ => 0,
    }
}

/// The names of the processors as columns of the table.
fn heading(text: &mut Text, indent: usize) -> Result<(), Errno> {
    write!(text, "{:indent$}", "")?;
    for cpu in processors() {
        write!(text, "CPU{cpu:<8}")?;
    }
    writeln!(text)
}

/// `softirqs`
pub fn soft_interrupts(text: &mut Text) -> Result<(), Errno> {
    heading(text, 20)?;
    for (index, name) in SOFT.iter().enumerate() {
        write!(text, "{name:>12}:")?;
        for cpu in processors() {
            write!(text, " {:>10}", soft_count(index, cpu))?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// `interrupts`, by processor. Linux numbers those of devices otherwise; here it is the vector.
pub fn interrupt_counts(text: &mut Text) -> Result<(), Errno> {
    heading(text, 11)?;
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
    for (index, (name, meaning)) in interrupts::OWN.iter().enumerate() {
        write!(text, "{name}: ")?;
        for cpu in processors() {
            write!(text, "{:>10} ", interrupts::own_count(index, cpu))?;
        }
        writeln!(text, "  {meaning}")?;
    }
    Ok(())
}
