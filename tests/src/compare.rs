//! Runs a case on both sides and says how they differ.

use crate::case::{Case, ENVIRONMENT, Expectation, Machine, Tolerance};
use crate::execute::{Handling, Outcome, execute};
use crate::workshop::{Workshop, fixture, make_directory};
use regex_lite::Regex;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// How many bytes around the first difference are shown.
const CONTEXT: usize = 160;

/// Runs a case on this board; the error tells the difference.
pub fn check(
    workshop: &Workshop,
    case: &Case,
    machine: Machine,
    processors: u32,
) -> Result<(), String> {
    let name = format!("{}-{}-{processors}", case.name, machine.name());
    let directory = workshop.directory_for(&name)?;
    let tree = directory.join("tree");
    let has_fixture = case.files.iter().any(|file| file.contains("{fixture}"));
    if has_fixture {
        make_directory(&tree)?;
        fixture(&tree)?;
    }
    let expand = |text: &String| workshop.expand(text, &tree);
    let program = expand(&case.program)?;
    let arguments = case
        .arguments
        .iter()
        .map(expand)
        .collect::<Result<Vec<_>, _>>()?;
    let files = case
        .files
        .iter()
        .map(expand)
        .collect::<Result<Vec<_>, _>>()?;
    let working_directory = expand(&case.working_directory)?;

    let mut guest = workshop.pith("run");
    let accelerator = accelerator_for(case.writes_code, processors);
    guest.args(["--machine", machine.name(), "--accel", accelerator]);
    for (name, value) in environment(case) {
        guest.arg("-e").arg(format!("{name}={value}"));
    }
    for file in &files {
        guest.arg("--file").arg(file);
    }
    guest
        .args(["-w", &working_directory])
        .args(["-c", &processors.to_string()])
        .args(&case.options)
        .arg("--")
        .arg(&program)
        .args(&arguments);
    let handling = Handling {
        input: case.input.as_deref(),
        output_limit: case.output_limit,
        limit: case.limit,
        signal: None,
    };
    // The machine goes first: on the host the program may change the fixture.
    let found = execute(&mut guest, &handling)?;
    let difference = match &case.expectation {
        Expectation::Host => {
            let mut host = Command::new(&program);
            host.args(&arguments)
                .env_clear()
                .envs(environment(case))
                .current_dir(&working_directory);
            let expected = execute(&mut host, &handling)?;
            against_host(case, &found, &expected)
        }
        Expectation::Stated {
            status,
            output,
            error,
        } => against_statement(&found, status, output, error),
    };
    match difference {
        Ok(()) => {
            // Kept only for whoever looks into a failure.
            let _ = fs::remove_dir_all(&directory);
            Ok(())
        }
        Err(difference) => Err(format!(
            "{difference}\ncommand: {guest:?}\nstandard error of the machine:\n{}",
            shown(&found.error)
        )),
    }
}

/// Variables of both sides: the usual ones, and then the case's.
fn environment(case: &Case) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = ENVIRONMENT
        .iter()
        .filter(|(name, _)| !case.environment.iter().any(|(other, _)| other == name))
        .map(|&(name, value)| (name.into(), value.into()))
        .collect();
    variables.extend(case.environment.iter().cloned());
    variables
}

/// The accelerator that `pith run --accel auto` would take; named, so that it need not be announced.
pub fn accelerator() -> &'static str {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = |flag: &str| information.split_whitespace().any(|word| word == flag);
    let usable = (has("vmx") || has("svm"))
        && fs::File::options()
            .read(true)
            .write(true)
            .open(Path::new("/dev/kvm"))
            .is_ok();
    if usable { "kvm" } else { "tcg" }
}

/// The same for a program that may write code which others of its threads are executing. QEMU's translator fetches an
/// instruction byte by byte: a processor may execute half of what another one writes by one store, or for ever what was there
/// before. HotSpot was seen to die of it, and Linux as a guest shows the same (`docs/getting-started.md`).
pub fn accelerator_for(writes_code: bool, processors: u32) -> &'static str {
    match accelerator() {
        "tcg" if writes_code && processors > 1 => "tcg-in-turns",
        other => other,
    }
}

fn against_host(case: &Case, found: &Outcome, expected: &Outcome) -> Result<(), String> {
    if expected.timed_out {
        return Err("the command did not end on the host".into());
    }
    if found.timed_out {
        return Err(format!(
            "the machine did not end in {:?}; standard output so far:\n{}",
            case.limit,
            shown(&found.output)
        ));
    }
    let (said, error) = split_messages(&found.error);
    let mut problems = String::new();
    let mut problem = |text: String| {
        // Writing to a string can't fail.
        let _ = writeln!(problems, "{text}");
    };
    if found.status != expected.status {
        problem(format!(
            "status {} instead of {}",
            found.status, expected.status
        ));
    }
    for (stream, found, expected) in [
        ("standard output", &found.output, &expected.output),
        ("standard error", &error, &expected.error),
    ] {
        let found = normalised(found, case)?;
        let expected = normalised(expected, case)?;
        if let Some(difference) = first_difference(&found, &expected) {
            problem(format!("{stream} differs {difference}"));
        }
    }
    let patterns = case
        .messages
        .iter()
        .map(|pattern| regex(pattern))
        .collect::<Result<Vec<_>, _>>()?;
    let remarks = case
        .remarks
        .iter()
        .map(|pattern| regex(pattern))
        .collect::<Result<Vec<_>, _>>()?;
    for message in &said {
        if !patterns
            .iter()
            .chain(&remarks)
            .any(|pattern| pattern.is_match(message))
        {
            problem(format!("unexpected message: {message}"));
        }
    }
    for pattern in &patterns {
        let count = said
            .iter()
            .filter(|message| pattern.is_match(message))
            .count();
        if count != 1 {
            problem(format!("{count} messages like /{pattern}/ instead of one"));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// Compares with what a case states; also used by tests that start `pith` themselves.
pub fn against_statement(
    found: &Outcome,
    status: &[i32],
    output: &str,
    error: &str,
) -> Result<(), String> {
    if found.timed_out {
        return Err("it did not end by itself".into());
    }
    if !status.contains(&found.status) {
        return Err(format!(
            "status {} instead of one of {status:?}",
            found.status
        ));
    }
    for (stream, bytes, pattern) in [
        ("standard output", &found.output, output),
        ("standard error", &found.error, error),
    ] {
        let text = String::from_utf8_lossy(bytes);
        if !regex(pattern)?.is_match(&text) {
            return Err(format!(
                "{stream} does not match /{pattern}/:\n{}",
                shown(bytes)
            ));
        }
    }
    Ok(())
}

/// Takes the lines that `pith` says itself out of standard error.
fn split_messages(error: &[u8]) -> (Vec<String>, Vec<u8>) {
    let mut said = Vec::new();
    let mut rest = Vec::new();
    let mut within = false;
    for line in error.split_inclusive(|&byte| byte == b'\n') {
        // A remedy belongs to the message above it.
        if line.starts_with(b"pith: ") {
            said.push(String::from_utf8_lossy(line).trim_end().to_owned());
            within = true;
        } else if !(within && line.starts_with(b"  remedy: ")) {
            rest.extend_from_slice(line);
            within = false;
        }
    }
    (said, rest)
}

fn normalised(bytes: &[u8], case: &Case) -> Result<Vec<u8>, String> {
    let mut bytes = bytes.to_vec();
    if !case.tolerances.is_empty() {
        // Binary output and tolerances don't go together: what is no text would be lost here.
        let mut text = String::from_utf8(bytes)
            .map_err(|_| format!("{} has tolerances, but its output is no text", case.name))?;
        for Tolerance {
            pattern,
            replacement,
            ..
        } in &case.tolerances
        {
            text = regex(&format!("(?m){pattern}"))?
                .replace_all(&text, *replacement)
                .into_owned();
        }
        bytes = text.into_bytes();
    }
    if case.unordered {
        let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        lines.sort_unstable();
        bytes = lines.concat();
    }
    Ok(bytes)
}

/// A pattern whose `^` and `$` are the ends of the whole text.
fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("/{pattern}/: {error}"))
}

/// How much is shown of what a machine printed instead of what it should have: a runtime's report of its own end fits.
const REPORT: usize = 3000;

/// Says where two texts first differ, and shows both there.
fn first_difference(found: &[u8], expected: &[u8]) -> Option<String> {
    if found == expected {
        return None;
    }
    let position = found
        .iter()
        .zip(expected)
        .position(|(left, right)| left != right)
        .unwrap_or(found.len().min(expected.len()));
    let line = expected[..position]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1;
    let excerpt = |bytes: &[u8], behind: usize| {
        let start = bytes[..position]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |newline| newline + 1)
            .max(position.saturating_sub(CONTEXT));
        let end = (position + behind).min(bytes.len());
        bytes[start..end].escape_ascii().to_string()
    };
    Some(format!(
        "at byte {position}, line {line} ({} bytes instead of {}):\n  machine: {}\n  host:    {}",
        found.len(),
        expected.len(),
        excerpt(found, REPORT),
        excerpt(expected, CONTEXT)
    ))
}

/// Text for people, of bounded length.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 4000;
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(MOST)..]);
    let mark = if bytes.len() > MOST { "…" } else { "" };
    text.lines()
        .map(|line| format!("  {mark}{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: i32, output: &str, error: &str) -> Outcome {
        Outcome {
            status,
            output: output.into(),
            error: error.into(),
            timed_out: false,
        }
    }

    fn case() -> Case {
        Case::new("name", "/bin/true", &[])
    }

    #[test]
    fn equal_outcomes_pass() {
        let same = outcome(3, "text\n", "error\n");
        assert_eq!(against_host(&case(), &same, &same), Ok(()));
    }

    #[test]
    fn each_part_is_compared() {
        let expected = outcome(3, "text\n", "error\n");
        for (found, word) in [
            (outcome(4, "text\n", "error\n"), "status 4 instead of 3"),
            (
                outcome(3, "tent\n", "error\n"),
                "standard output differs at byte 2",
            ),
            (outcome(3, "text\n", ""), "standard error differs at byte 0"),
            (
                outcome(3, "text\nmore", "error\n"),
                "standard output differs at byte 5",
            ),
        ] {
            let problems = against_host(&case(), &found, &expected).expect_err(word);
            assert!(problems.contains(word), "{problems}");
        }
    }

    #[test]
    fn messages_must_be_announced_and_must_come() {
        let expected = outcome(0, "", "");
        let warned = outcome(0, "", "pith: warning: strange call\n  remedy: none\n");
        assert!(against_host(&case(), &warned, &expected).is_err());
        let announced = case().message("strange call");
        assert_eq!(against_host(&announced, &warned, &expected), Ok(()));
        assert!(against_host(&announced, &expected, &expected).is_err());
        let twice = outcome(
            0,
            "",
            "pith: warning: strange call\npith: warning: strange call\n",
        );
        assert!(against_host(&announced, &twice, &expected).is_err());
    }

    #[test]
    fn tolerances_apply_to_both_sides_and_to_nothing_else() {
        let tolerant = case().tolerate("inode numbers differ", r"Inode: \d+", "Inode: N");
        let left = outcome(0, "Inode: 12 Links: 1\n", "");
        let right = outcome(0, "Inode: 3456 Links: 1\n", "");
        let wrong = outcome(0, "Inode: 3456 Links: 2\n", "");
        assert_eq!(against_host(&tolerant, &left, &right), Ok(()));
        assert!(against_host(&tolerant, &left, &wrong).is_err());
    }

    #[test]
    fn order_counts_unless_told_otherwise() {
        let left = outcome(0, "a\nb\n", "");
        let right = outcome(0, "b\na\n", "");
        assert!(against_host(&case(), &left, &right).is_err());
        assert_eq!(against_host(&case().unordered(), &left, &right), Ok(()));
    }

    #[test]
    fn statements_are_checked() {
        let found = outcome(1, "out", "pith: error: no file\n");
        assert_eq!(
            against_statement(&found, &[1, 2], "^out$", "no file"),
            Ok(())
        );
        assert!(against_statement(&found, &[2], "", "").is_err());
        assert!(against_statement(&found, &[1], "^$", "").is_err());
        assert!(against_statement(&found, &[1], "", "^$").is_err());
        assert!(against_statement(&found, &[1], "", "other").is_err());
    }
}
