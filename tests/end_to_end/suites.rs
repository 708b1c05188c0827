//! The test suites of language runtimes, run in a machine.
//!
//! `tests/suites/*.toml` says per suite which cases are left out, fail or skip themselves, each with its reason; see
//! [`pith_end_to_end::suite`] for how exact these lists are. All cases pass on the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pith_end_to_end::Workshop;
use pith_end_to_end::compare::accelerator;
use pith_end_to_end::execute::{Handling, execute};
use pith_end_to_end::suite::{Ending, Endings, List, Tally, endings_of_go, endings_of_python};

/// Where a suite comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// Modules of CPython's own tests, one after the other in one machine.
    Python(&'static [&'static str]),
    /// A package of Go's standard library.
    Go(&'static str),
}

/// One suite.
pub struct Suite {
    /// Its name, which is also that of its list.
    pub name: &'static str,
    source: Source,
    processors: u32,
    /// After this the suite has failed, and with it the case that did not end.
    limit: Duration,
}

const fn suite(name: &'static str, source: Source, processors: u32, seconds: u64) -> Suite {
    Suite {
        name,
        source,
        processors,
        limit: Duration::from_secs(seconds),
    }
}

/// All suites, with the number of processors and the limit in seconds. Those that take longest come first, so that
/// nothing waits for them at the end.
pub const SUITES: &[Suite] = &[
    suite("python-asyncio", Source::Python(ASYNCIO), 2, 540),
    suite("go-runtime", Source::Go("runtime"), 2, 240),
    suite("go-net-http", Source::Go("net/http"), 2, 240),
    suite("python-io", Source::Python(&["test_io"]), 2, 300),
    suite("python-archives", Source::Python(ARCHIVES), 2, 300),
    suite("python-files", Source::Python(FILES), 2, 300),
    suite(
        "python-futures",
        Source::Python(&["test_concurrent_futures"]),
        2,
        240,
    ),
    suite("python-data", Source::Python(DATA), 2, 300),
    suite(
        "python-asyncio-processes",
        Source::Python(&["test_asyncio.test_events", "test_asyncio.test_subprocess"]),
        2,
        300,
    ),
    suite("python-processes", Source::Python(PROCESSES), 2, 300),
    suite("python-ssl", Source::Python(&["test_ssl"]), 2, 240),
    suite("python-socket", Source::Python(&["test_socket"]), 2, 240),
    suite(
        "python-threading",
        Source::Python(&["test_threading"]),
        2,
        120,
    ),
    suite("python-signal", Source::Python(&["test_signal"]), 2, 120),
    suite("python-httplib", Source::Python(&["test_httplib"]), 2, 90),
    suite(
        "python-selectors",
        Source::Python(&["test_selectors"]),
        2,
        90,
    ),
    suite("python-queue", Source::Python(&["test_queue"]), 2, 90),
    suite("python-thread", Source::Python(&["test_thread"]), 4, 90),
    suite("python-time", Source::Python(&["test_time"]), 2, 90),
    suite("python-mmap", Source::Python(&["test_mmap"]), 1, 90),
    suite("python-select", Source::Python(&["test_select"]), 1, 90),
    suite("python-pty", Source::Python(&["test_pty"]), 2, 90),
    suite("python-fcntl", Source::Python(&["test_fcntl"]), 1, 90),
    suite("go-net", Source::Go("net"), 2, 120),
    suite("go-time", Source::Go("time"), 2, 120),
    suite("go-sync", Source::Go("sync"), 4, 120),
    suite("go-os-signal", Source::Go("os/signal"), 2, 90),
    suite("go-os", Source::Go("os"), 2, 90),
    suite("go-os-exec", Source::Go("os/exec"), 2, 90),
    suite("go-os-user", Source::Go("os/user"), 1, 90),
    suite("go-syscall", Source::Go("syscall"), 2, 90),
    suite("go-path-filepath", Source::Go("path/filepath"), 2, 90),
    suite("go-io", Source::Go("io"), 2, 90),
    suite("go-io-fs", Source::Go("io/fs"), 1, 90),
    suite("go-io-ioutil", Source::Go("io/ioutil"), 1, 90),
    suite("go-archive-tar", Source::Go("archive/tar"), 1, 90),
    suite("go-archive-zip", Source::Go("archive/zip"), 2, 90),
];

/// asyncio without what `python-asyncio-processes` has.
const ASYNCIO: &[&str] = &[
    "test_asyncio.test_base_events",
    "test_asyncio.test_buffered_proto",
    "test_asyncio.test_context",
    "test_asyncio.test_futures",
    "test_asyncio.test_futures2",
    "test_asyncio.test_locks",
    "test_asyncio.test_pep492",
    "test_asyncio.test_proactor_events",
    "test_asyncio.test_protocols",
    "test_asyncio.test_queues",
    "test_asyncio.test_runners",
    "test_asyncio.test_selector_events",
    "test_asyncio.test_sendfile",
    "test_asyncio.test_server",
    "test_asyncio.test_sock_lowlevel",
    "test_asyncio.test_ssl",
    "test_asyncio.test_sslproto",
    "test_asyncio.test_streams",
    "test_asyncio.test_taskgroups",
    "test_asyncio.test_tasks",
    "test_asyncio.test_threads",
    "test_asyncio.test_timeouts",
    "test_asyncio.test_transports",
    "test_asyncio.test_unix_events",
    "test_asyncio.test_waitfor",
    "test_asyncio.test_windows_events",
    "test_asyncio.test_windows_utils",
];

/// Processes, how they are started and waited for, and what signals do to calls.
const PROCESSES: &[&str] = &[
    "test_subprocess",
    "test_wait3",
    "test_wait4",
    "test_fork1",
    "test_popen",
    "test_pipes",
    "test_eintr",
    "test_threadsignals",
    "test_openpty",
    "test_atexit",
    "test_getpass",
    "test_socketserver",
];

/// Files, directories and their names.
const FILES: &[&str] = &[
    "test_os",
    "test_posix",
    "test_stat",
    "test_fileio",
    "test_file",
    "test_largefile",
    "test_tempfile",
    "test_shutil",
    "test_pathlib",
    "test_posixpath",
    "test_genericpath",
    "test_glob",
    "test_fnmatch",
    "test_filecmp",
    "test_fileinput",
    "test_unicode_file",
    "test_unicode_file_functions",
    "test_dbm",
    "test_dbm_dumb",
    "test_shelve",
    "test_pwd",
    "test_grp",
];

/// Archives and compressed files.
const ARCHIVES: &[&str] = &[
    "test_zipfile",
    "test_tarfile",
    "test_gzip",
    "test_bz2",
    "test_lzma",
    "test_zlib",
];

/// What hangs on processor and memory more than on calls, and what asks about the system.
const DATA: &[&str] = &[
    "test_json",
    "test_struct",
    "test_re",
    "test_hashlib",
    "test_random",
    "test_uuid",
    "test_resource",
    "test_platform",
    "test_sys",
    "test_gc",
    "test_locale",
    "test_poll",
    "test_epoll",
    "test_timeout",
    "test_faulthandler",
];

/// How long before the limit a suite is asked to say where it hangs.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// With this variable set, cases that are listed as slow are run as well, and suites have more time.
const VARIABLE: &str = "PITH_SLOW_CASES";
/// What the limits are multiplied by then.
const PATIENCE: u32 = 6;

/// How many cases that measure time are run again at most: where more deviate, it was not chance.
const CHANCE: usize = 2;

/// Runs a suite and compares with its list.
pub fn check(workshop: &Workshop, suite: &Suite) -> Result<(), String> {
    let mut list = read_list(suite.name)?;
    let mut limit = suite.limit;
    if std::env::var_os(VARIABLE).is_some() {
        list = list.with_slow_cases();
        limit *= PATIENCE;
    }
    let directory = workshop.directory_for(&format!("suite-{}", suite.name))?;
    let attempt = |only: &[&str]| Run::of(workshop, suite, &list, limit, &directory, only);
    let run = attempt(&[])?;
    let mut problems = run.problems(limit);
    let of_run = problems.len();
    problems.extend(list.problems(&run.endings));
    println!(
        "{}: {}{}",
        suite.name,
        Tally::of(&run.endings),
        slowest(&run.text)
    );
    if problems.is_empty() {
        // Kept only for whoever looks into a failure.
        let _ = fs::remove_dir_all(&directory);
        return Ok(());
    }
    let log = directory.join("output");
    fs::write(&log, run.text.as_bytes()).map_err(|error| format!("{}: {error}", log.display()))?;

    let deviations = list.deviations(&run.endings);
    let cases: Vec<&str> = deviations.iter().map(|(case, _)| *case).collect();
    let by_chance = of_run == 0
        && problems.len() == cases.len()
        && cases.len() <= CHANCE
        && cases.iter().all(|case| list.is_timed(case));
    if by_chance {
        let again = attempt(&cases)?;
        let all_ran = cases.iter().all(|case| again.endings.contains_key(*case));
        if all_ran && again.problems(limit).is_empty() && list.deviations(&again.endings).is_empty()
        {
            println!(
                "{}: {}, but not when run again alone; all that was said: {}",
                suite.name,
                problems.join(", "),
                log.display()
            );
            return Ok(());
        }
        problems.push("and again, when run alone".into());
    }
    Err(format!(
        "{}\nlist: tests/suites/{}.toml\nall that it said: {}\ncommand: {}",
        problems.join("\n"),
        suite.name,
        log.display(),
        run.command
    ))
}

/// A run of a suite or of some of its cases.
struct Run {
    command: String,
    text: String,
    endings: Endings,
    status: i32,
    timed_out: bool,
}

impl Run {
    /// Runs the cases named in `only`, or all that are not left out.
    fn of(
        workshop: &Workshop,
        suite: &Suite,
        list: &List,
        limit: Duration,
        directory: &Path,
        only: &[&str],
    ) -> Result<Self, String> {
        let mut guest = workshop.pith("run");
        guest
            .args(["--accel", accelerator(), "--quiet", "-m", "768M", "-c"])
            .arg(suite.processors.to_string());
        let seconds = (limit - LAST_WORDS).as_secs();
        let left_out = match suite.source {
            Source::Python(modules) => {
                let wanted = if only.is_empty() { modules } else { only };
                python_command(&mut guest, wanted, seconds, list);
                // The runner says which they are.
                Vec::new()
            }
            Source::Go(package) => go_command(&mut guest, directory, package, seconds, list, only)?,
        };
        let handling = Handling {
            limit,
            ..Handling::default()
        };
        let outcome = execute(&mut guest, &handling)?;
        let text = [&outcome.output[..], b"\n", &outcome.error[..]].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut endings = match suite.source {
            Source::Python(_) => endings_of_python(&text),
            Source::Go(_) => endings_of_go(&text),
        };
        endings.extend(left_out.into_iter().map(|case| (case, Ending::LeftOut)));
        Ok(Self {
            command: format!("{guest:?}"),
            text,
            endings,
            status: outcome.status,
            timed_out: outcome.timed_out,
        })
    }

    /// What is wrong with the run as such.
    fn problems(&self, limit: Duration) -> Vec<String> {
        let tally = Tally::of(&self.endings);
        let expected = i32::from(tally.failed > 0);
        if self.timed_out {
            vec![format!("the suite did not end in {limit:?}")]
        } else if tally.passed == 0 {
            vec!["no case has passed".into()]
        } else if self.status != expected {
            vec![format!(
                "the status is {} instead of {expected}",
                self.status
            )]
        } else {
            Vec::new()
        }
    }
}

/// How many of a suite's slowest cases are named.
const SLOWEST: usize = 5;

/// Those of Python's cases that took longest, for whoever wants the gate quicker: a line for each.
fn slowest(text: &str) -> String {
    let mut cases: Vec<(f64, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("took ")?.split_once(" s: "))
        .filter_map(|(seconds, case)| Some((seconds.parse().ok()?, case)))
        .collect();
    cases.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let lines = cases.iter().take(SLOWEST);
    lines
        .map(|(seconds, case)| format!("\n{seconds:8.1}  {case}"))
        .collect()
}

/// The directory of lists and of Python's runner.
fn lists() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suites")
}

fn read_list(name: &str) -> Result<List, String> {
    let path = lists().join(format!("{name}.toml"));
    match fs::read_to_string(&path) {
        Ok(text) => List::parse(&text).map_err(|error| format!("{}: {error}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(List::default()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Programs that tests start by name, and directories with something in them.
const STARTED: &[&str] = &[
    "/bin/sh",
    "/bin/bash",
    "/usr/bin/cat",
    "/usr/bin/echo",
    "/usr/bin/env",
    "/usr/bin/id",
    "/usr/bin/ls",
    "/usr/bin/pwd",
    "/usr/bin/sleep",
    "/usr/bin/stty",
    "/usr/bin/tar",
    "/usr/bin/tr",
    "/usr/bin/true",
    "/usr/bin/tty",
];

/// Completes the command for modules of Python's tests, or cases of them.
fn python_command(guest: &mut Command, modules: &[&str], seconds: u64, list: &List) {
    let modules: Vec<String> = modules
        .iter()
        .map(|module| format!("test.{}", module.strip_prefix("test.").unwrap_or(module)))
        .collect();
    let runner = lists().join("runner.py");
    // Programs in production don't have these, so images don't by themselves.
    guest.args(["--file", "/usr/lib/python3.11/test"]);
    for program in STARTED {
        guest.args(["--file", program]);
    }
    for module in ["_testcapi", "_testinternalcapi"] {
        let library =
            format!("/usr/lib/python3.11/lib-dynload/{module}.cpython-311-x86_64-linux-gnu.so");
        guest.args(["--file", &library]);
    }
    guest
        .arg("--file")
        .arg(&runner)
        .args(["-w", "/tmp", "--", "/usr/bin/python3"])
        .arg(&runner)
        .arg(seconds.to_string())
        .arg(modules.join(","))
        .args(list.patterns_left_out());
}

/// Builds the tests of a package of Go and completes the command for those named in `only`, or for all that are not left
/// out. Answers which are left out.
fn go_command(
    guest: &mut Command,
    directory: &Path,
    package: &str,
    seconds: u64,
    list: &List,
    only: &[&str],
) -> Result<Vec<String>, String> {
    let program = directory.join("suite.test");
    let root = go_root()?;
    let source = root.join("src").join(package);
    let mut compiler = Command::new("go");
    compiler
        // Debian's package has no zones of its own, which the tests of `time` want.
        .args(["test", "-c", "-tags=timetzdata", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(&source)
        .env("CGO_ENABLED", "0");
    said_by(&mut compiler)?;
    let mut lister = Command::new(&program);
    lister.args(["-test.list", "^Test"]).current_dir(&source);
    let names = said_by(&mut lister)?;
    let (left_out, wanted): (Vec<&str>, Vec<&str>) = names
        .lines()
        .filter(|line| line.starts_with("Test"))
        .partition(|name| list.leaves_out(name));
    let wanted = if only.is_empty() { &wanted[..] } else { only };
    guest
        .args(["-e", &format!("GOROOT={}", root.display())])
        .args(["--file", "/usr/share/zoneinfo", "--file"])
        .arg(&source);
    for file in outside(package) {
        // Those that begin with a slash stay as they are.
        guest.arg("--file").arg(root.join(file));
    }
    guest
        .arg("-w")
        .arg(&source)
        .arg("--")
        .arg(&program)
        .args(["-test.short", "-test.v"])
        .arg(format!("-test.timeout={seconds}s"))
        // Go's expressions can't say "all but".
        .arg(format!("-test.run=^({})$", wanted.join("|")));
    Ok(left_out.into_iter().map(str::to_owned).collect())
}

/// What the tests of a package of Go read outside their own directory, from Go's root.
fn outside(package: &str) -> &'static [&'static str] {
    match package {
        "net" => &["/etc/services", "src/testdata"],
        "os" | "os/exec" | "syscall" => STARTED,
        "os/signal" => &["/usr/bin/nohup"],
        "io/ioutil" => &["src/io/io_test.go"],
        "path/filepath" => &["test/fixedbugs/bug027.go", "test/ken/array.go"],
        _ => &[],
    }
}

/// Where Go's sources are: Debian's are a link in a shared directory.
fn go_root() -> Result<PathBuf, String> {
    let text = said_by(Command::new("go").args(["env", "GOROOT"]))?;
    let root = PathBuf::from(text.trim());
    root.canonicalize()
        .map_err(|error| format!("{}: {error}", root.display()))
}

/// Standard output of a command that has to succeed.
fn said_by(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("can't start {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{command:?} failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
