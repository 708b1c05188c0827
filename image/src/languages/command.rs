//! Commands that start another one, which stands among their arguments: `env X=1 python3 app.py`, `timeout 10 ./server`.
//!
//! The command is the first argument that is neither an option nor an assignment and is an executable file, by its path or
//! in `PATH`. It comes with its libraries, and the rules look at it as if it had been typed alone, with the variables
//! that env(1) sets.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Basket, Rule, Start};
use crate::closure::{Closure, Program};
use crate::error::Error;
use crate::program::Format;

/// The rule for commands that start others.
pub(super) struct Command;

/// Commands of which all that is known is that they start another one.
const STARTERS: [&str; 25] = [
    "chpst",
    "chrt",
    "choom",
    "dumb-init",
    "eatmydata",
    "env",
    "faketime",
    "flock",
    "gosu",
    "ionice",
    "nice",
    "nohup",
    "numactl",
    "prlimit",
    "runuser",
    "setarch",
    "setpriv",
    "setsid",
    "softlimit",
    "stdbuf",
    "taskset",
    "time",
    "timeout",
    "tini",
    "xargs",
];

impl Rule for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn applies(&self, program: &Program) -> bool {
        let name = program.path.file_name().unwrap_or_default();
        matches!(program.format, Format::Elf(_)) && STARTERS.iter().any(|starter| name == *starter)
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let Some((at, path)) = command_in(start, basket.closure) else {
            return Ok(());
        };
        let mut started = Start {
            arguments: start.arguments[at + 1..].to_vec(),
            ..start.clone()
        };
        if program.path.ends_with("env") {
            let words = start.arguments[..at].iter().map(|word| word.as_bytes());
            let assignments = words.filter(|word| word.contains(&b'='));
            // The first of a name counts.
            started.environment = assignments
                .map(<[u8]>::to_vec)
                .chain(started.environment)
                .collect();
        }
        basket.uses_directory |= Path::new(&start.arguments[at]).is_relative()
            && start.arguments[at].as_bytes().contains(&b'/');
        let chain = basket.closure.add_program(&path)?;
        basket.start_with(chain, started);
        Ok(())
    }
}

/// The place and the path of the command among the arguments.
fn command_in(start: &Start, closure: &Closure<'_>) -> Option<(usize, PathBuf)> {
    let list = start.variable("PATH").unwrap_or_default();
    start
        .arguments
        .iter()
        .enumerate()
        .filter(|(_, word)| !word.as_bytes().starts_with(b"-") && !word.as_bytes().contains(&b'='))
        .find_map(|(at, word)| Some((at, executable(word, &list, start, closure)?)))
}

/// The program that a word stands for where a command is expected.
pub(super) fn executable(
    word: &OsStr,
    list: &OsStr,
    start: &Start,
    closure: &Closure<'_>,
) -> Option<PathBuf> {
    if !word.as_bytes().contains(&b'/') {
        return match word.is_empty() {
            true => None,
            false => closure.find_in_path(word, list, &start.directory).ok(),
        };
    }
    // A whole path needs no list, and one directory of it is as good as another.
    let path = start.directory.join(word);
    closure
        .find_in_path(path.as_os_str(), OsStr::new("/"), Path::new("/"))
        .ok()
}
