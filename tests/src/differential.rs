//! The differential fuzzer: the same calls on Linux and in a machine, compared call by call.
//!
//! `tests/programs/differential.c` makes scripts of calls from a seed, and runs them. Here they are run on both sides,
//! compared, and shortened to what still shows the first difference. Many scripts, called rounds, fit into one boot.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::compare::accelerator;
use crate::execute::{Handling, execute};
use crate::workshop::{Build, Workshop};

/// Calls of one round made by chance: enough for one to build on another.
const CALLS: usize = 150;

/// How many shortened scripts are tried in one boot.
const CANDIDATES: usize = 24;

/// A script: a name, and calls as lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What it is called; for one made by chance, its seed.
    pub name: String,
    /// The calls.
    pub calls: Vec<String>,
}

/// A script that answers differently on both sides.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The script, as short as it could be made.
    pub script: Script,
    /// The first line that differs, on Linux.
    pub expected: String,
    /// The same line in the machine.
    pub found: String,
}

impl Difference {
    /// The call that answered differently.
    pub fn call(&self) -> &str {
        let line = if self.expected.is_empty() {
            &self.found
        } else {
            &self.expected
        };
        line.split(' ').next().unwrap_or_default()
    }

    /// For people.
    pub fn shown(&self) -> String {
        format!(
            "round {}\n{}\n  Linux: {}\n  Pith:  {}",
            self.script.name,
            self.script.calls.join("\n"),
            self.expected,
            self.found
        )
    }
}

/// A tmpfs of the machine. Not `/dev/shm`, where devices can't be opened.
pub const IN_MEMORY: &str = "/volume";

/// Both sides, ready to run scripts.
pub struct Fuzzer<'a> {
    workshop: &'a Workshop,
    program: PathBuf,
    /// Where the machine runs them: in a tmpfs, or above an image.
    place: &'a str,
}

impl<'a> Fuzzer<'a> {
    /// Compiles the program.
    pub fn new(workshop: &'a Workshop, place: &'a str) -> Result<Self, String> {
        Ok(Self {
            workshop,
            program: workshop.program("differential", Build::Static)?,
            place,
        })
    }

    /// Scripts made by chance, with seeds from this one on, of calls of these tables, or of all.
    pub fn generate(
        &self,
        seed: u64,
        rounds: usize,
        tables: Option<&str>,
    ) -> Result<Vec<Script>, String> {
        let mut command = Command::new(&self.program);
        command.args(["generate", &seed.to_string()]);
        command.args([rounds.to_string(), CALLS.to_string()]);
        command.args(tables);
        let outcome = execute(&mut command, &Handling::default())?;
        if outcome.status != 0 {
            return Err(String::from_utf8_lossy(&outcome.error).into_owned());
        }
        Ok(parse(&String::from_utf8_lossy(&outcome.output)))
    }

    /// Runs scripts on both sides and returns the differing lines of each: of Linux, and of the machine.
    fn compare(&self, scripts: &[Script]) -> Result<Vec<Option<(String, String)>>, String> {
        let text = written(scripts);
        let handling = Handling {
            input: Some(text.as_bytes()),
            limit: Duration::from_secs(240),
            ..Handling::default()
        };
        let directory = temporary_directory()?;
        let mut host = Command::new(&self.program);
        host.arg("run").arg(&directory).arg("isolated").env_clear();
        let expected = execute(&mut host, &handling);
        // Empty now; if it is not, the next run finds that out.
        let _ = fs::remove_dir(&directory);
        let expected = expected?;
        let mut guest = self.workshop.pith("run");
        guest
            .args(["--accel", accelerator(), "--quiet", "-m", "256M"])
            .args(["--net", "none", "--tmpfs", IN_MEMORY, "--"])
            .arg(&self.program)
            .args(["run", self.place])
            .args(shared_settings()?);
        let found = execute(&mut guest, &handling)?;
        if expected.status != 0 || found.timed_out && found.output.is_empty() {
            return Err(format!(
                "Linux: status {}, {}\nPith: status {}, {}",
                expected.status,
                String::from_utf8_lossy(&expected.error),
                found.status,
                String::from_utf8_lossy(&found.error)
            ));
        }
        let expected = String::from_utf8_lossy(&expected.output).into_owned();
        let found = String::from_utf8_lossy(&found.output).into_owned();
        let (expected, found) = (parse(&expected), parse(&found));
        let mut differences = Vec::new();
        for (index, script) in scripts.iter().enumerate() {
            let lines = |side: &[Script]| side.get(index).map(|round| round.calls.clone());
            let expected = lines(&expected).unwrap_or_default();
            let found = lines(&found).unwrap_or_default();
            let first = (0..expected.len().max(script.calls.len()))
                .find(|&line| expected.get(line) != found.get(line));
            let line = |side: &[String], line: usize| side.get(line).cloned().unwrap_or_default();
            differences.push(first.map(|first| (line(&expected, first), line(&found, first))));
        }
        Ok(differences)
    }

    /// The scripts that answer differently on both sides, as they are. What differs only once was chance: on a machine that
    /// has much to do, something came later than it should.
    pub fn differences(&self, scripts: &[Script]) -> Result<Vec<Difference>, String> {
        let first = self.once(scripts)?;
        if first.is_empty() {
            return Ok(first);
        }
        let again: Vec<Script> = first.iter().map(|one| one.script.clone()).collect();
        let again = self.once(&again)?;
        Ok(first
            .into_iter()
            .filter(|one| {
                let twice = again.iter().any(|other| other.script == one.script);
                if !twice {
                    eprintln!("seen only once:\n{}\n", one.shown());
                }
                twice
            })
            .collect())
    }

    fn once(&self, scripts: &[Script]) -> Result<Vec<Difference>, String> {
        let lines = self.compare(scripts)?;
        let different = scripts.iter().zip(lines);
        Ok(different
            .filter_map(|(script, lines)| {
                let (expected, found) = lines?;
                Some(Difference {
                    script: script.clone(),
                    expected,
                    found,
                })
            })
            .collect())
    }

    /// Takes calls away as long as the same call still answers differently.
    pub fn shorten(&self, difference: &Difference) -> Result<Difference, String> {
        let mut shortest = difference.clone();
        let mut piece = shortest.script.calls.len().div_ceil(2);
        while piece != 0 {
            let length = shortest.script.calls.len();
            let candidates: Vec<Script> = (0..length)
                .step_by(piece)
                .map(|start| {
                    let mut script = shortest.script.clone();
                    script.calls.drain(start..(start + piece).min(length));
                    script
                })
                .collect();
            let mut shorter = None;
            // The last calls go first: what comes behind the difference is of no use.
            for batch in candidates.rchunks(CANDIDATES) {
                let found = self.once(batch)?;
                shorter = found
                    .into_iter()
                    .rev()
                    .find(|candidate| candidate.call() == difference.call());
                if shorter.is_some() {
                    break;
                }
            }
            match shorter {
                Some(shorter) => {
                    shortest = shorter;
                    piece = piece.min(shortest.script.calls.len().div_ceil(2));
                }
                None if piece == 1 => break,
                None => piece = piece.div_ceil(2),
            }
        }
        Ok(shortest)
    }
}

/// The host's settings that say who may open what in directories that everybody may write to, as `NAME=VALUE`. They differ
/// from one machine to the next, and the host's must stay as they are.
fn shared_settings() -> Result<Vec<String>, String> {
    let names = ["fifos", "hardlinks", "regular", "symlinks"];
    let settings = names.map(|name| {
        let name = format!("protected_{name}");
        let path = format!("/proc/sys/fs/{name}");
        let value = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        Ok(format!("{name}={}", value.trim()))
    });
    settings.into_iter().collect()
}

/// A directory in a tmpfs of the host, whose semantics the machine's files have.
fn temporary_directory() -> Result<PathBuf, String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("pith-differential-{}-{number}", std::process::id());
    let path = Path::new("/dev/shm").join(name);
    fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// Takes scripts, or what they have said, apart.
pub fn parse(text: &str) -> Vec<Script> {
    let mut scripts: Vec<Script> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("round "), scripts.last_mut()) {
            (Some(name), _) => scripts.push(Script {
                name: name.into(),
                calls: Vec::new(),
            }),
            (None, Some(script)) if !line.is_empty() && !line.starts_with('#') => {
                script.calls.push(line.into());
            }
            _ => {}
        }
    }
    scripts
}

fn written(scripts: &[Script]) -> String {
    let mut text = String::new();
    for script in scripts {
        // Writing to a string can't fail.
        let _ = writeln!(text, "round {}", script.name);
        for call in &script.calls {
            let _ = writeln!(text, "{call}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_read_as_they_are_written() {
        let text = "# why\nround one\nread 0 1\n\n# a note\nclose 0\nround two\n";
        let scripts = parse(text);
        assert_eq!(scripts.len(), 2);
        assert_eq!(scripts[0].calls, ["read 0 1", "close 0"]);
        assert_eq!(
            written(&scripts),
            "round one\nread 0 1\nclose 0\nround two\n"
        );
    }
}
