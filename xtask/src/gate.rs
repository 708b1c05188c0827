//! `cargo xtask test`: everything that must hold before a change is merged.

use crate::process::{Failure, cargo, kernel_cargo, run, shown, target_directory};
use crate::setup::{self, Purpose};
use crate::syscalls;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a step found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Why tests failed, in their own words.
    reasons: Vec<String>,
}

/// One thing to check, which can be run alone by its name.
struct Step {
    name: &'static str,
    about: &'static str,
    action: Action,
}

enum Action {
    /// Holds or does not: counts as one.
    Check(fn() -> Result<(), Failure>),
    /// A test runner that reports as libtest does: counts as its tests.
    Tests(fn() -> Command),
}

const STEPS: &[Step] = &[
    Step {
        name: "setup",
        about: "what the tests need is installed",
        action: Action::Check(|| setup::install(Purpose::Test)),
    },
    Step {
        name: "format",
        about: "rustfmt, both workspaces",
        action: Action::Check(|| {
            run(&mut cargo(&["fmt", "--all", "--check"]))?;
            run(&mut kernel_cargo(&["fmt", "--check"]))
        }),
    },
    Step {
        name: "clippy",
        about: "clippy on host tools and libraries, warnings are errors",
        action: Action::Check(|| {
            const DENY: [&str; 3] = ["--", "--deny", "warnings"];
            run(cargo(&["clippy", "--workspace", "--all-targets"]).args(DENY))?;
            // Not among all targets, because `cargo test` alone leaves it out.
            run(cargo(&[
                "clippy",
                "--package",
                "pith-end-to-end",
                "--test",
                "end_to_end",
            ])
            .args(DENY))
        }),
    },
    Step {
        name: "clippy-kernel",
        about: "clippy on the kernel, warnings are errors",
        action: Action::Check(|| {
            run(&mut kernel_cargo(&[
                "clippy",
                "--release",
                "--",
                "--deny",
                "warnings",
            ]))
        }),
    },
    Step {
        name: "kernel",
        about: "the kernel builds",
        action: Action::Check(|| run(&mut kernel_cargo(&["build", "--release"]))),
    },
    Step {
        name: "syscalls",
        about: "docs/syscalls.md agrees with the kernel's table",
        action: Action::Check(syscalls::check),
    },
    Step {
        name: "unit",
        about: "unit and property tests on the host",
        action: Action::Tests(|| {
            cargo(&[
                "test",
                "--workspace",
                "--exclude",
                "pith-end-to-end",
                "--no-fail-fast",
            ])
        }),
    },
    Step {
        name: "models",
        about: "loom's models of scheduling and waiting, in all interleavings",
        action: Action::Tests(|| {
            let mut command = cargo(&[
                "test",
                "--release",
                "--package",
                "pith-scheduling",
                "--package",
                "pith-waiting",
                "--test",
                "models",
            ]);
            // What is compiled so is of no use to others: it has a directory of its own.
            command
                .env("RUSTFLAGS", "--cfg loom")
                .env("CARGO_TARGET_DIR", target_directory().join("models"));
            command
        }),
    },
    Step {
        name: "harness",
        about: "tests of the end-to-end harness itself",
        action: Action::Tests(|| cargo(&["test", "--package", "pith-end-to-end", "--lib"])),
    },
    Step {
        name: "command",
        about: "the pith command builds, with the kernel inside",
        action: Action::Check(build_command),
    },
    Step {
        name: "end-to-end",
        about: "real programs, booted and compared with the host",
        action: Action::Tests(|| end_to_end(&[])),
    },
];

/// `cargo xtask test [STEP...]`
pub fn command(names: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !STEPS.iter().any(|step| step.name == name.as_str()))
    {
        let known: Vec<String> = STEPS
            .iter()
            .map(|step| format!("  {:14}{}", step.name, step.about))
            .collect();
        return Err(Failure::new(format!(
            "no step '{unknown}'; the steps are:\n{}",
            known.join("\n")
        )));
    }
    let chosen: Vec<&Step> = STEPS
        .iter()
        .filter(|step| names.is_empty() || names.iter().any(|name| name == step.name))
        .collect();

    let start = Instant::now();
    let mut total = Count::default();
    let mut failures = Vec::new();
    for (index, step) in chosen.iter().enumerate() {
        eprintln!(
            "==> [{}/{}, {} s] {}: {}",
            index + 1,
            chosen.len(),
            start.elapsed().as_secs(),
            step.name,
            step.about
        );
        let step_start = Instant::now();
        let (count, failure) = perform(step);
        total.passed += count.passed;
        total.failed += count.failed;
        total.ignored += count.ignored;
        total.reasons.extend(count.reasons);
        let seconds = step_start.elapsed().as_secs_f64();
        match failure {
            None => eprintln!("    ok: {} in {seconds:.1} s", step.name),
            Some(failure) => {
                eprintln!("    FAILED: {} after {seconds:.1} s: {failure}", step.name);
                failures.push((step.name, failure));
            }
        }
    }

    eprintln!("==> done in {} s", start.elapsed().as_secs());
    for (name, failure) in &failures {
        eprintln!("    FAILED: {name}: {failure}");
        eprintln!("            alone: cargo xtask test {name}");
    }
    for line in &total.reasons {
        eprintln!("    {line}");
    }
    if total.ignored > 0 {
        eprintln!("    {} tests were ignored", total.ignored);
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    if failures.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(""))
    }
}

fn perform(step: &Step) -> (Count, Option<Failure>) {
    match step.action {
        Action::Check(check) => match check() {
            Ok(()) => (
                Count {
                    passed: 1,
                    ..Count::default()
                },
                None,
            ),
            Err(failure) => (
                Count {
                    failed: 1,
                    ..Count::default()
                },
                Some(failure),
            ),
        },
        Action::Tests(command) => {
            let (mut count, failure) = run_tests(&mut command());
            // A runner that failed without a failing test did not get that far (it did not compile).
            if failure.is_some() && count.failed == 0 {
                count.failed = 1;
            }
            (count, failure)
        }
    }
}

/// Runs a test runner, shows what it says as it says it, and adds up its `test result:` lines.
fn run_tests(command: &mut Command) -> (Count, Option<Failure>) {
    eprintln!("    $ {}", shown(command));
    let mut count = Count::default();
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            let message = format!("can't start {}: {error}", shown(command));
            return (count, Some(Failure::new(message)));
        }
    };
    if let Some(pipe) = child.stdout.take() {
        count = count_results(BufReader::new(pipe), std::io::stdout());
    }
    let failure = match child.wait() {
        Ok(status) if !status.success() && count.failed > 0 => {
            Some(Failure::new(format!("{} tests failed", count.failed)))
        }
        Ok(status) if !status.success() => Some(Failure::new(format!(
            "{} ended with {status}",
            shown(command)
        ))),
        Ok(_) if count.failed > 0 => Some(Failure::new(format!(
            "{} tests failed, but {} succeeded",
            count.failed,
            shown(command)
        ))),
        Ok(_) if count.passed == 0 => Some(Failure::new(format!("{} ran no test", shown(command)))),
        Ok(_) => None,
        Err(error) => Some(Failure::new(format!(
            "can't wait for {}: {error}",
            shown(command)
        ))),
    };
    (count, failure)
}

/// Reads what test runners say, and passes it on as it comes.
fn count_results(said: impl BufRead, mut passed_on: impl Write) -> Count {
    let mut count = Count::default();
    let mut reasons = Reasons::default();
    for line in said.split(b'\n') {
        let Ok(line) = line else { break };
        // A terminal that went away must not stop the tests.
        let _ = passed_on
            .write_all(&line)
            .and_then(|()| passed_on.write_all(b"\n"));
        let line = String::from_utf8_lossy(&line);
        reasons.read(&line);
        if let Some(result) = parse_result(&line) {
            count.passed += result.passed;
            count.failed += result.failed;
            count.ignored += result.ignored;
        }
    }
    count.reasons = reasons.lines;
    count
}

/// How many lines of reasons are said again for one runner, and how many bytes of all.
const REASON_LINES: usize = 30;
const REASON_BYTES: usize = 9000;

/// Why tests failed, from what libtest says of them: the lines between its first `failures:` and the list of names.
///
/// They are said again at the very end: of a long run's output people often get no more than that.
#[derive(Debug, Default)]
struct Reasons {
    within: bool,
    lines: Vec<String>,
    bytes: usize,
}

impl Reasons {
    /// Takes the next line of the output.
    fn read(&mut self, line: &str) {
        if line == "failures:" {
            self.within = !self.within;
        } else if self.within && !line.trim().is_empty() && self.lines.len() < REASON_LINES {
            let mut end = line.len().min(REASON_BYTES - self.bytes);
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            self.bytes += end;
            self.lines.push(line[..end].to_owned());
        }
    }
}

/// Reads a summary line of libtest: `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
fn parse_result(line: &str) -> Option<Count> {
    let (_, fields) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut count = Count::default();
    for field in fields.split(';') {
        let (number, word) = field.trim().split_once(' ')?;
        match word {
            "passed" => count.passed = number.parse().ok()?,
            "failed" => count.failed = number.parse().ok()?,
            "ignored" => {
                count.ignored = number.parse().ok()?;
                break;
            }
            _ => {}
        }
    }
    Some(count)
}

/// Builds the `pith` command as users get it.
pub fn build_command() -> Result<(), Failure> {
    run(&mut cargo(&["build", "--release", "--package", "pith"]))
}

/// Where [`build_command`] leaves the command.
pub fn pith_path() -> PathBuf {
    target_directory().join("release/pith")
}

/// The runner of the end-to-end tests, for the command that [`build_command`] made.
pub fn end_to_end(arguments: &[String]) -> Command {
    let mut command = cargo(&[
        "test",
        "--package",
        "pith-end-to-end",
        "--test",
        "end_to_end",
        "--",
    ]);
    // Two machines at a time: the third CPU would be a guest's timeout on the machines of the gate.
    if !arguments
        .iter()
        .any(|argument| argument.starts_with("--test-threads"))
    {
        command.arg("--test-threads=2");
    }
    command.args(arguments).env("PITH_COMMAND", pith_path());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_lines_of_libtest_are_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let expected = Count {
            passed: 12,
            failed: 3,
            ignored: 1,
            reasons: Vec::new(),
        };
        assert_eq!(parse_result(line), Some(expected));
    }

    #[test]
    fn other_lines_are_no_summary() {
        assert_eq!(parse_result("test result of something"), None);
        assert_eq!(parse_result("running 3 tests"), None);
        assert_eq!(parse_result("test result: ok. nonsense"), None);
    }

    #[test]
    fn a_runner_without_tests_is_a_failure() {
        let (count, failure) = run_tests(&mut Command::new("true"));
        assert_eq!(count, Count::default());
        assert!(failure.is_some());
    }

    #[test]
    fn reasons_of_failed_tests_are_kept() {
        let said = "test a ... FAILED\n\nfailures:\n\n---- a ----\nTestX fails\n\nfailures:\n    a\n\n\
                    test result: FAILED. 1 passed; 1 failed; 0 ignored;\n";
        let mut passed_on = Vec::new();
        let count = count_results(said.as_bytes(), &mut passed_on);
        assert_eq!((count.passed, count.failed), (1, 1));
        assert_eq!(count.reasons, ["---- a ----", "TestX fails"]);
        assert_eq!(passed_on, said.as_bytes());
    }

    #[test]
    fn step_names_differ() {
        for (index, step) in STEPS.iter().enumerate() {
            assert!(STEPS[..index].iter().all(|other| other.name != step.name));
        }
    }
}
