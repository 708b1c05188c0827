//! The test suites of language runtimes, run in a machine.
//!
//! `tests/suites/*.toml` says per suite which cases are left out or fail, each with its reason. A case that fails and is
//! not listed is an error, and so is one that is listed and passes: the lists only get shorter.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pith_end_to_end::Workshop;
use pith_end_to_end::compare::accelerator;
use pith_end_to_end::execute::{Handling, execute};

/// Where a suite comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A module of CPython's own tests.
    Python(&'static str),
    /// A package of Go's standard library.
    Go(&'static str),
}

/// One suite.
pub struct Suite {
    /// Its name, which is also that of its list.
    pub name: &'static str,
    source: Source,
    processors: u32,
    limit: Duration,
}

const fn python(name: &'static str, module: &'static str, processors: u32, seconds: u64) -> Suite {
    Suite {
        name,
        source: Source::Python(module),
        processors,
        limit: Duration::from_secs(seconds),
    }
}

const fn go(name: &'static str, package: &'static str, processors: u32, seconds: u64) -> Suite {
    Suite {
        name,
        source: Source::Go(package),
        processors,
        limit: Duration::from_secs(seconds),
    }
}

/// All suites.
pub fn suites() -> Vec<Suite> {
    vec![
        python("python-threading", "test_threading", 2, 240),
        python("python-signal", "test_signal", 2, 240),
        python("python-time", "test_time", 2, 120),
        python("python-select", "test_select", 1, 120),
        python("python-selectors", "test_selectors", 2, 120),
        python("python-queue", "test_queue", 2, 180),
        python("python-thread", "test_thread", 4, 120),
        python("python-asyncio", "test_asyncio", 2, 420),
        go("go-sync", "sync", 4, 120),
        go("go-time", "time", 2, 240),
        go("go-runtime", "runtime", 2, 420),
        go("go-os-signal", "os/signal", 2, 120),
    ]
}

/// What a list says.
#[derive(Default)]
struct List {
    /// Cases that are not run, with the reason. Patterns may contain `*`.
    left_out: BTreeMap<String, String>,
    /// Cases that fail, with the reason.
    fails: BTreeMap<String, String>,
}

/// Reads a list: sections `[left-out]` and `[fails]` with lines `"case" = "reason"`.
fn read_list(name: &str) -> Result<List, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("suites")
        .join(format!("{name}.toml"));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(List::default()),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let mut list = List::default();
    let mut section = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let damaged = || format!("{}:{}: not understood: {line}", path.display(), number + 1);
        match line {
            "" => {}
            "[left-out]" => section = Some(true),
            "[fails]" => section = Some(false),
            _ if line.starts_with('#') => {}
            _ => {
                let (case, reason) = line.split_once(" = ").ok_or_else(damaged)?;
                let unquoted = |text: &str| {
                    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
                    (!inner.is_empty()).then(|| inner.to_owned())
                };
                let entry = (
                    unquoted(case).ok_or_else(damaged)?,
                    unquoted(reason).ok_or_else(damaged)?,
                );
                let target = match section.ok_or_else(damaged)? {
                    true => &mut list.left_out,
                    false => &mut list.fails,
                };
                target.insert(entry.0, entry.1);
            }
        }
    }
    Ok(list)
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Passed,
    Failed,
    Skipped,
}

/// Runs a suite and compares with its list.
pub fn check(workshop: &Workshop, suite: &Suite) -> Result<(), String> {
    let list = read_list(suite.name)?;
    let mut guest = workshop.pith("run");
    let processors = suite.processors.to_string();
    guest.args([
        "--accel",
        accelerator(),
        "-q",
        "-m",
        "768M",
        "-c",
        &processors,
    ]);
    match suite.source {
        Source::Python(module) => python_command(&mut guest, workshop, module, &list)?,
        Source::Go(package) => go_command(&mut guest, workshop, suite.name, package, &list)?,
    }
    let handling = Handling {
        input: None,
        output_limit: None,
        limit: suite.limit,
        signal: None,
    };
    let outcome = execute(&mut guest, &handling)?;
    let text = [&outcome.output[..], b"\n", &outcome.error[..]].concat();
    let text = String::from_utf8_lossy(&text);
    let endings = match suite.source {
        Source::Python(_) => python_endings(&text),
        Source::Go(_) => go_endings(&text),
    };
    let mut problems = String::new();
    if outcome.timed_out {
        problems += &format!("the suite did not end in {:?}\n", suite.limit);
    }
    let passed = endings
        .values()
        .filter(|&&ending| ending == Ending::Passed)
        .count();
    if passed == 0 {
        problems += "no case has passed\n";
    }
    for (case, ending) in &endings {
        match (ending, list.fails.get(case)) {
            (Ending::Failed, None) => problems += &format!("{case} fails\n"),
            (Ending::Passed, Some(_)) => {
                problems += &format!("{case} passes: take it off the list\n");
            }
            _ => {}
        }
    }
    for case in list
        .fails
        .keys()
        .filter(|case| !endings.contains_key(*case))
    {
        problems += &format!("{case} is listed and was not run\n");
    }
    let expected = [0, 1, 2];
    if !expected.contains(&outcome.status) {
        problems += &format!("the status is {}\n", outcome.status);
    }
    if problems.is_empty() {
        return Ok(());
    }
    // All of it, for whoever writes the list.
    let log = workshop
        .directory_for(&format!("suite-log-{}", suite.name))?
        .join("output");
    let _ = std::fs::write(&log, text.as_bytes());
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(60)..].join("\n");
    Err(format!(
        "{problems}command: {guest:?}\nthe end of what it said:\n{tail}"
    ))
}

/// Python's runner, told which cases to leave out, one line per case.
const RUNNER: &str = "import sys, unittest, fnmatch, faulthandler
patterns = sys.argv[2:]
def cases(suite):
    for part in suite:
        if isinstance(part, unittest.TestSuite): yield from cases(part)
        else: yield part
wanted = unittest.TestSuite(case for case in cases(unittest.defaultTestLoader.loadTestsFromName(sys.argv[1]))
                            if not any(fnmatch.fnmatch(case.id(), pattern) for pattern in patterns))
class Result(unittest.TextTestResult):
    def say(self, case, ending): print('\\n@@', case.id().split(' ')[0], ending, flush=True)
    def addSuccess(self, case): super().addSuccess(case); self.say(case, 'passed')
    def addError(self, case, error): super().addError(case, error); self.say(case, 'failed')
    def addFailure(self, case, error): super().addFailure(case, error); self.say(case, 'failed')
    def addSkip(self, case, reason): super().addSkip(case, reason); self.say(case, 'skipped')
    def addExpectedFailure(self, case, error): super().addExpectedFailure(case, error); self.say(case, 'passed')
    def addSubTest(self, case, subtest, error):
        super().addSubTest(case, subtest, error)
        if error: self.say(case, 'failed')
result = unittest.TextTestRunner(resultclass=Result, verbosity=0).run(wanted)
sys.exit(0 if result.wasSuccessful() else 1)
";

fn python_command(
    guest: &mut Command,
    workshop: &Workshop,
    module: &str,
    list: &List,
) -> Result<(), String> {
    let runner = workshop
        .directory_for(&format!("suite-{module}"))?
        .join("runner.py");
    std::fs::write(&runner, RUNNER).map_err(|error| format!("{}: {error}", runner.display()))?;
    guest
        .arg("--file")
        .arg("/usr/lib/python3.11/test")
        .arg("--file")
        .arg("/usr/lib/python3.11/lib-dynload/_testcapi.cpython-311-x86_64-linux-gnu.so")
        .arg("--file")
        .arg(&runner)
        .args(["-w", "/tmp", "--", "/usr/bin/python3"])
        .arg(&runner)
        .arg(format!("test.{module}"))
        .args(list.left_out.keys());
    Ok(())
}

fn python_endings(text: &str) -> BTreeMap<String, Ending> {
    let mut endings = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some("@@"), Some(case), Some(ending)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let ending = match ending {
            "passed" => Ending::Passed,
            "skipped" => Ending::Skipped,
            _ => Ending::Failed,
        };
        // A case with parts that fail has failed.
        let known = endings.entry(case.to_owned()).or_insert(ending);
        if ending == Ending::Failed {
            *known = ending;
        }
    }
    endings
}

fn go_command(
    guest: &mut Command,
    workshop: &Workshop,
    name: &str,
    package: &str,
    list: &List,
) -> Result<(), String> {
    let directory = workshop.directory_for(&format!("suite-{name}"))?;
    let program: PathBuf = directory.join("suite.test");
    let root = go_root()?;
    let source = root.join("src").join(package);
    let output = Command::new("go")
        // Debian's package has no zones of its own, which the tests of `time` want.
        .args(["test", "-c", "-tags=timetzdata", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(&source)
        .env("CGO_ENABLED", "0")
        .output()
        .map_err(|error| format!("go: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "go test -c {package} failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    guest.args(["--file", "/usr/share/zoneinfo"]);
    let run = runnable(&program, &source, list)?;
    guest
        .args([
            "-e",
            &format!("GOROOT={}", root.display()),
            "-e",
            "ZONEINFO=",
        ])
        .arg("--file")
        .arg(format!("{}:{}", source.display(), source.display()))
        .arg("-w")
        .arg(&source)
        .arg("--")
        .arg(&program)
        .args(["-test.short", "-test.v", "-test.run"])
        .arg(run);
    Ok(())
}

fn go_root() -> Result<PathBuf, String> {
    let output = Command::new("go")
        .args(["env", "GOROOT"])
        .output()
        .map_err(|error| format!("go: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let root = PathBuf::from(text.trim());
    // Debian's is a link in a shared directory.
    root.canonicalize()
        .map_err(|error| format!("{}: {error}", root.display()))
}

/// The regular expression of all tests that the list does not leave out: Go's own can't say "all but".
fn runnable(program: &Path, directory: &Path, list: &List) -> Result<String, String> {
    let output = Command::new(program)
        .args(["-test.list", "^Test"])
        .current_dir(directory)
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let names: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("Test") && !list.left_out.contains_key(*line))
        .collect();
    Ok(format!("^({})$", names.join("|")))
}

fn go_endings(text: &str) -> BTreeMap<String, Ending> {
    let mut endings = BTreeMap::new();
    for line in text.lines() {
        for (mark, ending) in [
            ("--- PASS: ", Ending::Passed),
            ("--- FAIL: ", Ending::Failed),
            ("--- SKIP: ", Ending::Skipped),
        ] {
            // Parts of a test are indented: the test itself says it too.
            if let Some(rest) = line.strip_prefix(mark) {
                let case = rest.split(' ').next().unwrap_or_default();
                endings.insert(case.to_owned(), ending);
            }
        }
    }
    // A program that gives up names the test that ran.
    for line in text.lines() {
        if let Some(case) = line.strip_prefix("=== RUN   ")
            && !case.contains('/')
            && !endings.contains_key(case)
        {
            endings.insert(case.to_owned(), Ending::Failed);
        }
    }
    endings
}
