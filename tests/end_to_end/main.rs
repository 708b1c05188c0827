//! The end-to-end tests: `cargo xtask end-to-end [FILTER]`.
//!
//! A test is named `table::case@board`, or `table::case@board-PROCESSORS` where there are several. See `pith_end_to_end` for what a case is.
#![forbid(unsafe_code)]

mod busybox;
mod command;
mod coreutils;
mod languages;
mod limits;
mod programs;
mod runtimes;
mod suites;
mod threads;

use libtest_mimic::{Arguments, Failed, Trial};
use pith_end_to_end::{Case, Workshop, compare};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials(arguments.list) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn trials(only_list: bool) -> Result<Vec<Trial>, String> {
    let workshop = match only_list {
        // Listing needs neither the command nor the files of a run that may be going on.
        true => None,
        false => Some(Arc::new(workshop()?)),
    };
    let cases = [
        busybox::cases(),
        coreutils::cases(),
        programs::cases(),
        languages::cases(),
        limits::cases(),
        threads::cases(),
        runtimes::cases(),
    ]
    .concat();
    let mut trials = Vec::new();
    let mut names = HashSet::new();
    for case in cases {
        if !names.insert(case.name.clone()) {
            return Err(format!("two cases are named {}", case.name));
        }
        trials.extend(of_case(case, workshop.as_ref()));
    }
    for suite in suites::suites() {
        let workshop = workshop.clone();
        trials.push(Trial::test(format!("suites::{}", suite.name), move || {
            suites::check(&*present(workshop)?, &suite).map_err(Failed::from)
        }));
    }
    for (name, check) in command::CHECKS {
        let workshop = workshop.clone();
        trials.push(Trial::test(format!("command::{name}"), move || {
            check(&*present(workshop)?).map_err(Failed::from)
        }));
    }
    Ok(trials)
}

fn of_case(case: Case, workshop: Option<&Arc<Workshop>>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &machine in &case.machines {
        for &processors in &case.processors {
            let workshop = workshop.cloned();
            let case = case.clone();
            let name = match processors {
                1 => format!("{}@{}", case.name, machine.name()),
                count => format!("{}@{}-{count}", case.name, machine.name()),
            };
            trials.push(Trial::test(name, move || {
                compare::check(&*present(workshop)?, &case, machine, processors)
                    .map_err(Failed::from)
            }));
        }
    }
    trials
}

fn present(workshop: Option<Arc<Workshop>>) -> Result<Arc<Workshop>, Failed> {
    workshop.ok_or_else(|| Failed::from("the tests were only to be listed"))
}

fn workshop() -> Result<Workshop, String> {
    let command = std::env::var_os("PITH_COMMAND").map(PathBuf::from).ok_or(
        "PITH_COMMAND does not say which pith to test; type: cargo xtask end-to-end [FILTER]",
    )?;
    if !command.is_file() {
        return Err(format!(
            "there is no {}; type: cargo xtask end-to-end [FILTER]",
            command.display()
        ));
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("end-to-end");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    Workshop::new(&directory, &sources, &command)
}
