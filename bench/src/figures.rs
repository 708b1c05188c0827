//! What is measured.

use crate::Options;
use crate::linux::{Linux, Setting};
use crate::pith::Pith;
use crate::run::{Run, Workshop};
use crate::runtimes::{self, FILE_PROGRAMS, RUNTIMES, Runtime};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
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

/// Both sides, with the programs that run on them.
pub struct Sides {
    linux: Option<Linux>,
    pith: Option<Pith>,
    linux_name: String,
}

impl Sides {
    /// Builds the images of those that the options ask for.
    pub fn new(options: &Options, workshop: &Workshop, sources: &Path) -> Result<Self, String> {
        runtimes::prepare(workshop, sources)?;
        let linux = match options.with_linux {
            true => Some(Linux::new(workshop, sources, &options.accelerator)?),
            false => None,
        };
        let pith = match options.with_pith {
            true => Some(Pith::new(workshop, sources, &options.accelerator)?),
            false => None,
        };
        let linux_name = linux.as_ref().map_or("no Linux".into(), Linux::name);
        Ok(Self {
            linux,
            pith,
            linux_name,
        })
    }

    fn discarded(&self) -> usize {
        self.linux.as_ref().map_or(0, Linux::discarded)
    }
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
    pub fn measure(options: &Options, workshop: &Workshop, sides: &Sides) -> Result<Self, String> {
        let mut figures = Vec::new();
        if options.wants(WHOLE_RUN) {
            progress("time of a whole run of hello");
            figures.push(whole_run(options, sides)?);
        }
        for (title, rows) in timed() {
            progress(title);
            figures.extend(calls(options, sides, &rows, Measure::Time)?);
        }
        progress("runtimes");
        for runtime in &RUNTIMES {
            figures.extend(first_line(options, sides, runtime)?);
        }
        progress("least memory");
        figures.extend(least_memory(
            options,
            sides,
            "least memory that runs hello".into(),
            "at most 16 MiB",
            ("hello", "hello"),
            MOST_MEMORY,
        )?);
        for runtime in &RUNTIMES {
            figures.extend(least_memory(
                options,
                sides,
                format!("least memory that runs `{}`", runtime.title),
                "no more than Linux",
                (runtime.name, "1"),
                runtime.most_memory,
            )?);
        }
        if options.filter.is_empty() {
            progress("sizes");
            figures.extend(sizes(workshop, sides)?);
            if options.accelerator == "tcg" {
                progress("instructions of booting");
                figures.extend(instructions(sides)?);
            }
        }
        Ok(Self {
            discarded_linux_boots: sides.discarded(),
            ..Self::about(options, sides.linux_name.clone(), figures)
        })
    }

    /// Counts the instructions of calls and programs that need no network.
    pub fn count(options: &Options, sides: &Sides) -> Result<Self, String> {
        let mut figures = Vec::new();
        for (title, mut rows) in timed() {
            // Instructions of several processors do not add up to one clock, and waiting is not work.
            if rows.processors > 1 {
                continue;
            }
            rows.words.retain(|(word, _)| !word.starts_with("wake"));
            progress(title);
            figures.extend(calls(options, sides, &rows, Measure::Instructions)?);
        }
        Ok(Self {
            discarded_linux_boots: sides.discarded(),
            ..Self::about(options, sides.linux_name.clone(), figures)
        })
    }
}

/// Figures that a program prints about itself.
struct Rows {
    program: &'static str,
    processors: u32,
    /// What the program prints, with the words for people.
    words: Vec<(&'static str, &'static str)>,
    aim: &'static str,
}

/// All programs that time themselves, each with a title for those who wait.
fn timed() -> Vec<(&'static str, Rows)> {
    const HALF: &str = "at most half of Linux";
    const EQUAL: &str = "no slower than Linux";
    let rows = |program, processors, words: &[(&'static str, &'static str)], aim| Rows {
        program,
        processors,
        words: words.to_vec(),
        aim,
    };
    let mut all = vec![
        ("cost of calls", rows("calls", 1, &CALLS, HALF)),
        ("threads and waiting", rows("threads", 1, &THREADS, HALF)),
        ("two processors", rows("threads", 2, &TWO_PROCESSORS, HALF)),
        ("files", rows("files", 1, &FILES, HALF)),
    ];
    for program in &FILE_PROGRAMS {
        let words = [("run", program.title)];
        all.push((program.name, rows(program.name, 1, &words, EQUAL)));
    }
    all.push(("Python", rows("python", 1, &PYTHON, EQUAL)));
    all
}

/// How the programs' clocks are to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// As time.
    Time,
    /// As instructions: the machine's clock advances by a nanosecond with each.
    Instructions,
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

/// The name of the first figure.
const WHOLE_RUN: &str = "run of a static hello, start to end";

fn whole_run(options: &Options, sides: &Sides) -> Result<Figure, String> {
    let mut figure = Figure::new(WHOLE_RUN, "s", "at most 0.12 s");
    for round in 0..=options.rounds {
        let keep = |values: &mut Vec<f64>, time: Duration| {
            // The first round only warms the host's caches.
            if round > 0 {
                values.push(time.as_secs_f64());
            }
        };
        if let Some(pith) = &sides.pith {
            let run = pith.run("hello", &["-m", &MEMORY.to_string()])?;
            expect_hello("pith", &run)?;
            keep(&mut figure.pith, run.time);
        }
        if let Some(linux) = &sides.linux {
            let run = linux.run(Setting::new("hello"))?;
            expect_hello("Linux", &run)?;
            keep(&mut figure.linux, run.time);
        }
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

/// What a program prints for each of its words that is wanted.
fn calls(
    options: &Options,
    sides: &Sides,
    rows: &Rows,
    measure: Measure,
) -> Result<Vec<Figure>, String> {
    let words = rows.words.iter();
    let words: Vec<_> = words.filter(|(_, name)| options.wants(name)).collect();
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let processors = rows.processors.to_string();
    let (unit, rounds, machine): (_, _, &[&str]) = match (measure, rows.processors) {
        // They are the same each time.
        (Measure::Instructions, _) => ("instructions", 1, &COUNTING),
        (Measure::Time, 1) => ("ns", options.rounds, &[]),
        // Only ACPI tells Linux how many processors this board has.
        (Measure::Time, _) => ("ns", options.rounds, &["-smp", "2", "-machine", "acpi=on"]),
    };
    let mut figures: Vec<Figure> = words
        .iter()
        .map(|(_, name)| Figure::new(*name, unit, rows.aim))
        .collect();
    let mut add = |side: &str, run: &Run, values: fn(&mut Figure) -> &mut Vec<f64>| {
        let measured = parse_calls(&run.output);
        for (figure, (word, _)) in figures.iter_mut().zip(&words) {
            let value = measured
                .get(*word)
                .ok_or_else(|| format!("{side} did not measure {word}: {run:?}"))?;
            values(figure).push(*value);
        }
        Ok::<(), String>(())
    };
    for _ in 0..rounds {
        if let Some(pith) = &sides.pith {
            let size = ["-m", &MEMORY.to_string(), "-c", &processors];
            let run = match measure {
                Measure::Time => pith.run(rows.program, &size)?,
                Measure::Instructions => pith.count(rows.program, &size)?,
            };
            add("pith", &run, |figure| &mut figure.pith)?;
        }
        let Some(linux) = &sides.linux else { continue };
        let setting = Setting {
            options: machine,
            limit: Duration::from_secs(60),
            ..Setting::new(rows.program)
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

/// The time until a runtime's first line; nothing if it is not wanted.
fn first_line(
    options: &Options,
    sides: &Sides,
    runtime: &Runtime,
) -> Result<Option<Figure>, String> {
    let name = format!("from the start to the first line of `{}`", runtime.title);
    if !options.wants(&name) {
        return Ok(None);
    }
    let mut figure = Figure::new(name, "s", "no slower than Linux");
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
        if let Some(pith) = &sides.pith {
            let run = pith.run(runtime.name, &["-m", &runtime.memory.to_string()])?;
            keep(|figure| &mut figure.pith, "pith", &run)?;
        }
        if let Some(linux) = &sides.linux {
            let run = linux.run(Setting {
                memory: runtime.memory,
                limit: Duration::from_secs(60),
                ..Setting::new(runtime.name)
            })?;
            keep(|figure| &mut figure.linux, "Linux", &run)?;
        }
    }
    Ok(Some(figure))
}

/// The least memory with which a program prints a line; nothing if that is not wanted.
fn least_memory(
    options: &Options,
    sides: &Sides,
    name: String,
    aim: &'static str,
    (program, expected): (&str, &str),
    most: u32,
) -> Result<Option<Figure>, String> {
    if !options.wants(&name) {
        return Ok(None);
    }
    let mut figure = Figure::new(name, "MiB", aim);
    let says_hello = |run: Option<Run>| {
        run.is_some_and(|run| run.output.lines().any(|line| line.trim_end() == expected))
    };
    if let Some(pith) = &sides.pith {
        let found = least(most, |memory| {
            Ok(says_hello(
                pith.boot(program, &["-m", &memory.to_string()])?,
            ))
        })?;
        figure.pith.extend(found.map(f64::from));
    }
    if let Some(linux) = &sides.linux {
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
    }
    Ok(Some(figure))
}

fn sizes(workshop: &Workshop, sides: &Sides) -> Result<Vec<Figure>, String> {
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
    if let Some(linux) = &sides.linux {
        let archive =
            fs::metadata(workshop.path("hello.cpio")).map_err(|error| error.to_string())?;
        let kernel = linux.size()?;
        stored.linux.push(kernel as f64 / KIB);
        image.linux.push((kernel + archive.len()) as f64 / KIB);
    }
    if let Some(pith) = &sides.pith {
        let size = pith.kernel_size()?;
        stored.pith.push(size.stored as f64 / KIB);
        in_memory.pith.push(size.in_memory as f64 / KIB);
        image.pith.push(pith.image_size("hello")? as f64 / KIB);
    }
    Ok(vec![stored, in_memory, image])
}

/// With these options of QEMU's a machine's clock advances by a nanosecond per instruction, and its time stamp counter
/// shows that clock. Time in which the machine waits with nothing to do counts as well.
pub const COUNTING: [&str; 2] = ["-icount", "shift=0,sleep=off"];

fn instructions(sides: &Sides) -> Result<Vec<Figure>, String> {
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
    if let Some(linux) = &sides.linux {
        let run = linux.run(Setting {
            options: &COUNTING,
            limit: Duration::from_secs(60),
            ..Setting::new("first")
        })?;
        figure.linux.push(counted("Linux", &run)?);
    }
    if let Some(pith) = &sides.pith {
        let run = pith.count("first", &[])?;
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
