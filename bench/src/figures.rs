//! What is measured.

use crate::Options;
use crate::linux::{Linux, Setting};
use crate::pith::Pith;
use crate::run::{Run, Workshop};
use crate::runtimes::{FILE_PROGRAMS, RUNTIMES, Runtime};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Memory of the machines whose time is measured, in MiB.
pub const MEMORY: u32 = 256;

/// The most memory that is tried when looking for the least, in MiB.
const MOST_MEMORY: u32 = 512;

/// What the calls program prints, with the words for people.
const CALLS: [(&str, &str); 8] = [
    ("getpid", "`getpid`"),
    ("read", "`read` of one byte of /dev/zero"),
    ("mmap", "`mmap` of a page, touch, `munmap`"),
    ("mmap16", "`mmap` of 16 pages, each touched, `munmap`"),
    ("faults", "`mmap` of 256 pages, each touched, `munmap`"),
    ("many", "`mmap` of 64 MiB, each page touched, `munmap`"),
    (
        "filefaults",
        "`mmap` of 256 pages of a file, each touched, `munmap`",
    ),
    ("mremap", "`mremap` of a page there and back"),
];

/// What the threads program prints on one processor.
const THREADS: [(&str, &str); 10] = [
    ("futex", "switch between threads by `futex`"),
    ("pipe", "switch between threads by pipes"),
    ("create", "create and join a thread"),
    ("clock", "`clock_gettime`"),
    ("wake", "wake-up by `eventfd`, median"),
    ("wake999", "wake-up by `eventfd`, 99.9th percentile"),
    ("epoll", "`write`, `epoll_wait` among 1,000, `read`"),
    ("nop", "`io_uring`: a no-op, submitted and taken"),
    ("nop32", "`io_uring`: a no-op, 32 at a time"),
    (
        "read32",
        "`io_uring`: `read` of one byte of /dev/zero, 32 at a time",
    ),
];

/// What the files program prints.
const FILES: [(&str, &str); 12] = [
    ("open", "`open` and `close`"),
    ("deep", "`open` five directories down and `close`"),
    ("create", "`open` of a new file, `close`, `unlink`"),
    ("stat", "`stat`"),
    ("missing", "`stat` of what is not there"),
    ("rename", "`rename` to another directory and back"),
    ("read4k", "`pread` of 4 KiB in tmpfs"),
    ("write4k", "`pwrite` of 4 KiB in tmpfs"),
    ("read1m", "`pread` of 1 MiB in tmpfs"),
    ("write1m", "`pwrite` of 1 MiB in tmpfs"),
    ("append1m", "`ftruncate` to nothing, `pwrite` of 1 MiB"),
    ("walk", "walk of 10,000 files with `stat` of each"),
];

/// What it prints on two.
const TWO_PROCESSORS: [(&str, &str); 1] = [("sort", "two threads sorting on two processors")];

/// What Python prints.
const PYTHON: [(&str, &str); 2] = [
    ("nbody", "Python: 1,000 steps of five bodies"),
    ("json", "Python: 300 objects to JSON and back"),
];

/// One figure on both sides.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// Its unit.
    pub unit: &'static str,
    /// Each measurement of Pith; empty if it was not measured.
    pub pith: Vec<f64>,
    /// Each measurement of Linux as Debian configures it.
    pub linux: Vec<f64>,
    /// Each measurement of Linux with `mitigations=off`; empty where that makes no sense.
    pub linux_unmitigated: Vec<f64>,
    /// What Pith wants to reach, for people.
    pub aim: &'static str,
}

impl Figure {
    /// A figure without values.
    pub fn new(name: impl Into<String>, unit: &'static str, aim: &'static str) -> Self {
        Self {
            name: name.into(),
            unit,
            pith: Vec::new(),
            linux: Vec::new(),
            linux_unmitigated: Vec::new(),
            aim,
        }
    }
}

/// Everything that was measured, and where.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// When, as `date --utc --iso-8601=seconds` gives it.
    pub date: String,
    /// The host's processor.
    pub processor: String,
    /// What executed the guests' instructions.
    pub accelerator: String,
    /// QEMU's version.
    pub qemu: String,
    /// The version of Pith.
    pub pith: String,
    /// The Linux kernel.
    pub linux: String,
    /// Boots of Linux that hung and were repeated.
    pub discarded_linux_boots: usize,
    /// The figures.
    pub figures: Vec<Figure>,
}

impl Figures {
    /// Says where these were measured.
    pub fn about(options: &Options, linux: String, figures: Vec<Figure>) -> Self {
        Self {
            date: said_by("date", &["--utc", "--iso-8601=seconds"]),
            processor: processor(),
            accelerator: options.accelerator.clone(),
            qemu: said_by("qemu-system-x86_64", &["--version"]),
            pith: match options.with_pith {
                true => env!("CARGO_PKG_VERSION").into(),
                false => "not measured".into(),
            },
            linux,
            discarded_linux_boots: 0,
            figures,
        }
    }

    /// Measures programs that need no network.
    pub fn measure(
        options: &Options,
        workshop: &Workshop,
        linux: &Linux,
        pith: Option<&Pith>,
    ) -> Result<Self, String> {
        let mut figures = Vec::new();
        progress("time of a whole run of hello");
        figures.push(whole_run(options, linux, pith)?);
        progress("cost of calls");
        figures.extend(calls(options, linux, pith, "calls", 1, &CALLS)?);
        progress("threads and waiting");
        figures.extend(calls(options, linux, pith, "threads", 1, &THREADS)?);
        figures.extend(calls(options, linux, pith, "threads", 2, &TWO_PROCESSORS)?);
        progress("files");
        figures.extend(calls(options, linux, pith, "files", 1, &FILES)?);
        for program in &FILE_PROGRAMS {
            let words = [("run", program.title)];
            let mut run = calls(options, linux, pith, program.name, 1, &words)?;
            for figure in &mut run {
                figure.aim = "no slower than Linux";
            }
            figures.extend(run);
        }
        progress("Python");
        let mut python = calls(options, linux, pith, "python", 1, &PYTHON)?;
        for figure in &mut python {
            figure.aim = "no slower than Linux";
        }
        figures.extend(python);
        progress("runtimes");
        for runtime in &RUNTIMES {
            figures.push(first_line(options, linux, pith, runtime)?);
        }
        progress("least memory");
        let mut hello = Figure::new("least memory that runs hello", "MiB", "at most 16 MiB");
        least_memory(&mut hello, linux, pith, ("hello", "hello"), MOST_MEMORY)?;
        figures.push(hello);
        for runtime in &RUNTIMES {
            let name = format!("least memory that runs `{}`", runtime.title);
            let mut figure = Figure::new(name, "MiB", "no more than Linux");
            let program = (runtime.name, "1");
            least_memory(&mut figure, linux, pith, program, runtime.most_memory)?;
            figures.push(figure);
        }
        progress("sizes");
        figures.extend(sizes(workshop, linux, pith)?);
        if options.accelerator == "tcg" {
            progress("instructions");
            figures.extend(instructions(linux, pith)?);
        }
        Ok(Self {
            discarded_linux_boots: linux.discarded(),
            ..Self::about(options, linux.name(), figures)
        })
    }
}

/// The middle value; the mean of the two in the middle if their number is even.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// Tells what is measured now.
pub fn progress(what: &str) {
    eprintln!("==> {what}");
}

fn expect_hello(side: &str, run: &Run) -> Result<(), String> {
    if run.success && run.output.lines().any(|line| line.trim_end() == "hello") {
        Ok(())
    } else {
        Err(format!("{side} did not say hello: {run:?}"))
    }
}

fn whole_run(options: &Options, linux: &Linux, pith: Option<&Pith>) -> Result<Figure, String> {
    let mut figure = Figure::new("run of a static hello, start to end", "s", "at most 0.12 s");
    for round in 0..=options.rounds {
        let keep = |values: &mut Vec<f64>, time: Duration| {
            // The first round only warms the host's caches.
            if round > 0 {
                values.push(time.as_secs_f64());
            }
        };
        if let Some(pith) = pith {
            let run = pith.run("hello", &["-m", &MEMORY.to_string()])?;
            expect_hello("pith", &run)?;
            keep(&mut figure.pith, run.time);
        }
        let run = linux.run(Setting::new("hello"))?;
        expect_hello("Linux", &run)?;
        keep(&mut figure.linux, run.time);
    }
    Ok(figure)
}

/// Reads the lines `NAME NANOSECONDS` of the calls program; the console may say other things in between.
fn parse_calls(output: &str) -> BTreeMap<&str, f64> {
    output
        .lines()
        .filter_map(|line| {
            let (name, value) = line.trim().split_once(' ')?;
            Some((name, value.parse().ok()?))
        })
        .collect()
}

/// What a program prints for each of the words, on so many processors.
fn calls(
    options: &Options,
    linux: &Linux,
    pith: Option<&Pith>,
    program: &str,
    processors: u32,
    words: &[(&str, &str)],
) -> Result<Vec<Figure>, String> {
    let several: &[&str] = match processors {
        1 => &[],
        // Only ACPI tells Linux how many processors this board has.
        _ => &["-smp", "2", "-machine", "acpi=on"],
    };
    let processors = processors.to_string();
    let mut figures: Vec<Figure> = words
        .iter()
        .map(|(_, name)| Figure::new(*name, "ns", "at most half of Linux"))
        .collect();
    let mut add = |side: &str, run: &Run, values: fn(&mut Figure) -> &mut Vec<f64>| {
        let measured = parse_calls(&run.output);
        for (figure, (word, _)) in figures.iter_mut().zip(words) {
            let value = measured
                .get(*word)
                .ok_or_else(|| format!("{side} did not measure {word}: {run:?}"))?;
            values(figure).push(*value);
        }
        Ok::<(), String>(())
    };
    for _ in 0..options.rounds {
        if let Some(pith) = pith {
            let run = pith.run(program, &["-m", &MEMORY.to_string(), "-c", &processors])?;
            add("pith", &run, |figure| &mut figure.pith)?;
        }
        let setting = Setting {
            options: several,
            limit: Duration::from_secs(60),
            ..Setting::new(program)
        };
        let run = linux.run(setting)?;
        add("Linux", &run, |figure| &mut figure.linux)?;
        let run = linux.run(Setting {
            words: "mitigations=off",
            ..setting
        })?;
        add("Linux", &run, |figure| &mut figure.linux_unmitigated)?;
    }
    Ok(figures)
}

/// The least number from 1 to `most` that works, if what works with some works with more.
pub fn least(
    most: u32,
    mut works: impl FnMut(u32) -> Result<bool, String>,
) -> Result<Option<u32>, String> {
    if !works(most)? {
        return Ok(None);
    }
    let (mut bad, mut good) = (0, most);
    while good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        if works(middle)? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok(Some(good))
}

/// The time until a runtime's first line.
fn first_line(
    options: &Options,
    linux: &Linux,
    pith: Option<&Pith>,
    runtime: &Runtime,
) -> Result<Figure, String> {
    let mut figure = Figure::new(
        format!("from the start to the first line of `{}`", runtime.title),
        "s",
        "no slower than Linux",
    );
    for round in 0..=options.rounds {
        let mut keep = |values: fn(&mut Figure) -> &mut Vec<f64>, side: &str, run: &Run| {
            let time = run
                .time_of_line("1")
                .ok_or_else(|| format!("{side}'s {} did not print: {run:?}", runtime.name))?;
            // The first round only warms the host's caches.
            if round > 0 {
                values(&mut figure).push(time.as_secs_f64());
            }
            Ok::<(), String>(())
        };
        if let Some(pith) = pith {
            let run = pith.run(runtime.name, &["-m", &runtime.memory.to_string()])?;
            keep(|figure| &mut figure.pith, "pith", &run)?;
        }
        let run = linux.run(Setting {
            memory: runtime.memory,
            limit: Duration::from_secs(60),
            ..Setting::new(runtime.name)
        })?;
        keep(|figure| &mut figure.linux, "Linux", &run)?;
    }
    Ok(figure)
}

/// The least memory with which a program prints a line.
fn least_memory(
    figure: &mut Figure,
    linux: &Linux,
    pith: Option<&Pith>,
    (program, expected): (&str, &str),
    most: u32,
) -> Result<(), String> {
    let says_hello = |run: Option<Run>| {
        run.is_some_and(|run| run.output.lines().any(|line| line.trim_end() == expected))
    };
    if let Some(pith) = pith {
        let found = least(most, |memory| {
            Ok(says_hello(
                pith.boot(program, &["-m", &memory.to_string()])?,
            ))
        })?;
        figure.pith.extend(found.map(f64::from));
    }
    let found = least(most, |memory| {
        let setting = Setting {
            memory,
            limit: Duration::from_secs(if program == "hello" { 8 } else { 30 }),
            ..Setting::new(program)
        };
        // Once more where it may have hung for another reason.
        Ok(says_hello(linux.boot(setting)?) || says_hello(linux.boot(setting)?))
    })?;
    figure.linux.extend(found.map(f64::from));
    Ok(())
}

fn sizes(workshop: &Workshop, linux: &Linux, pith: Option<&Pith>) -> Result<Vec<Figure>, String> {
    const KIB: f64 = 1024.0;
    let mut stored = Figure::new(
        "kernel as stored (Linux: compressed)",
        "KiB",
        "under 1024 KiB",
    );
    let mut in_memory = Figure::new("kernel's segments in memory", "KiB", "");
    let mut image = Figure::new(
        "all that is booted: kernel and hello",
        "KiB",
        "under 1536 KiB",
    );
    let archive = fs::metadata(workshop.path("hello.cpio")).map_err(|error| error.to_string())?;
    let kernel = linux.size()?;
    stored.linux.push(kernel as f64 / KIB);
    image.linux.push((kernel + archive.len()) as f64 / KIB);
    if let Some(pith) = pith {
        let size = pith.kernel_size()?;
        stored.pith.push(size.stored as f64 / KIB);
        in_memory.pith.push(size.in_memory as f64 / KIB);
        image.pith.push(pith.image_size("hello")? as f64 / KIB);
    }
    Ok(vec![stored, in_memory, image])
}

/// Under `-icount shift=0` a machine's clock advances by a nanosecond per instruction, and its time stamp
/// counter shows that clock. Time in which the machine waits with nothing to do counts as well.
fn instructions(linux: &Linux, pith: Option<&Pith>) -> Result<Vec<Figure>, String> {
    let mut figure = Figure::new(
        "instructions from power-on to the program's first (and ns of waiting)",
        "millions",
        "",
    );
    let mut entry = Figure::new("of these from the kernel's entry on", "millions", "");
    let counted = |side: &str, run: &Run| {
        run.output
            .lines()
            .find_map(|line| line.trim().parse::<f64>().ok())
            .map(|count| count / 1e6)
            .ok_or_else(|| format!("{side} did not print a counter: {run:?}"))
    };
    let run = linux.run(Setting {
        options: &["-icount", "shift=0,sleep=off"],
        limit: Duration::from_secs(60),
        ..Setting::new("first")
    })?;
    figure.linux.push(counted("Linux", &run)?);
    if let Some(pith) = pith {
        let run = pith.count("first")?;
        figure.pith.push(counted("pith", &run)?);
        let ticks = run.error.lines().find_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).ok()?;
            value["guest"]["entry_to_program_ticks"].as_f64()
        });
        entry.pith.extend(ticks.map(|ticks| ticks / 1e6));
    }
    Ok(vec![figure, entry])
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .output()
        .ok()
        .and_then(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines().next().map(str::to_owned)
        })
        .unwrap_or_else(|| "unknown".into())
}

fn processor() -> String {
    fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| "unknown".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn the_least_that_works_is_found() {
        for limit in [1, 2, 7, 64] {
            assert_eq!(least(64, |value| Ok(value >= limit)), Ok(Some(limit)));
        }
        assert_eq!(least(64, |_| Ok(false)), Ok(None));
        assert!(least(64, |_| Err("broken".into())).is_err());
    }

    #[test]
    fn call_figures_are_read_among_other_lines() {
        let output = "[    0.0] boot\r\ngetpid 123.4\r\nread 5\nnonsense\n";
        let figures = parse_calls(output);
        assert_eq!(figures.get("getpid"), Some(&123.4));
        assert_eq!(figures.get("read"), Some(&5.0));
        assert_eq!(figures.get("mmap"), None);
    }
}
