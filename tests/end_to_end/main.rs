//! The end-to-end tests: `cargo xtask end-to-end [FILTER]`.
//!
//! A test is named `table::case@board`, or `table::case@board-PROCESSORS` where there are several. See
//! `pith_end_to_end` for what a case is. Several filters choose what any of them would. At the end stands what took
//! longest.
#![forbid(unsafe_code)]

mod applets;
mod busybox;
mod command;
mod coreutils;
mod differential;
mod languages;
mod limits;
mod links;
mod matrix;
mod network;
mod programs;
mod queues;
mod runtimes;
mod servers;
mod storage;
mod suites;
mod system;
mod threads;
mod tools;
mod traffic;

use libtest_mimic::{Arguments, Failed, Trial};
use pith_end_to_end::{Case, Workshop, compare};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many of the slowest tests are shown at the end.
const SLOWEST: usize = 20;

/// How long each test took.
static TIMES: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());

fn main() -> ExitCode {
    // libtest-mimic takes one filter. Its options that have values take them behind `=` as well.
    let (options, filters): (Vec<String>, Vec<String>) =
        std::env::args().partition(|argument| argument.starts_with('-'));
    let filters = filters.get(1..).unwrap_or_default();
    let mut arguments = Arguments::from_iter(std::iter::once("end-to-end".into()).chain(options));
    if let [filter] = filters {
        arguments.filter = Some(filter.clone());
    }
    match trials(arguments.list) {
        Ok(mut trials) => {
            if filters.len() > 1 {
                trials.retain(|trial| filters.iter().any(|filter| trial.name().contains(filter)));
            }
            let code = libtest_mimic::run(&arguments, trials).exit_code();
            show_times();
            code
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// A test whose time is taken.
fn trial(
    name: String,
    workshop: Option<&Arc<Workshop>>,
    check: impl FnOnce(&Workshop) -> Result<(), String> + Send + 'static,
) -> Trial {
    let workshop = workshop.cloned();
    Trial::test(name.clone(), move || {
        let workshop = workshop.ok_or("the tests were only to be listed")?;
        let start = Instant::now();
        let result = check(&workshop).map_err(Failed::from);
        let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
        times.push((start.elapsed(), name));
        result
    })
}

fn show_times() {
    let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
    times.sort_unstable_by(|one, other| other.cmp(one));
    if times.is_empty() {
        return;
    }
    println!("what took longest, in seconds:");
    for (time, name) in times.iter().take(SLOWEST) {
        println!("{:8.1}  {name}", time.as_secs_f64());
    }
    let sum: Duration = times.iter().map(|(time, _)| *time).sum();
    println!("{:8.1}  all {}", sum.as_secs_f64(), times.len());
}

fn trials(only_list: bool) -> Result<Vec<Trial>, String> {
    let workshop = match only_list {
        // Listing needs neither the command nor the files of a run that may be going on.
        true => None,
        false => Some(Arc::new(workshop()?)),
    };
    let cases = [
        applets::cases(),
        busybox::cases(),
        coreutils::cases(),
        programs::cases(),
        languages::cases(),
        limits::cases(),
        threads::cases(),
        network::cases(),
        runtimes::cases(),
        matrix::cases(),
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
    for suite in suites::SUITES {
        let name = format!("suites::{}", suite.name);
        trials.push(trial(name, workshop.as_ref(), |workshop| {
            suites::check(workshop, suite)
        }));
    }
    for (name, check) in applets::CHECKS {
        let name = format!("applets::{name}");
        trials.push(trial(name, workshop.as_ref(), check));
    }
    for (name, check) in command::CHECKS {
        let name = format!("command::{name}");
        trials.push(trial(name, workshop.as_ref(), check));
    }
    for (name, check) in differential::CHECKS {
        let name = format!("differential::{name}");
        trials.push(trial(name, workshop.as_ref(), check));
    }
    for (name, check) in links::CHECKS {
        let name = format!("links::{name}");
        trials.push(trial(name, workshop.as_ref(), check));
    }
    for (name, check) in storage::CHECKS {
        let name = format!("storage::{name}");
        trials.push(trial(name, workshop.as_ref(), check));
    }
    for (name, check) in system::CHECKS {
        let name = format!("system::{name}");
        trials.push(trial(name, workshop.as_ref(), check));
    }
    for (name, check) in tools::CHECKS {
        let name = format!("tools::{name}");
        trials.push(trial(name, workshop.as_ref(), check));
    }
    for (name, check) in network::CHECKS {
        let name = format!("network::{name}");
        trials.push(trial(name, workshop.as_ref(), check));
    }
    for check in queues::CHECKS {
        trials.push(trial(queues::name(check), workshop.as_ref(), |workshop| {
            queues::check(workshop, check)
        }));
    }
    for &check in traffic::CHECKS {
        trials.push(trial(
            traffic::name(check),
            workshop.as_ref(),
            move |workshop| traffic::check(workshop, check),
        ));
    }
    for service in servers::SERVICES {
        for &board in service.boards {
            let name = match board {
                (machine, 1) => format!("servers::{}@{}", service.name, machine.name()),
                (machine, count) => format!("servers::{}@{}-{count}", service.name, machine.name()),
            };
            trials.push(trial(name, workshop.as_ref(), move |workshop| {
                servers::check(workshop, service, board)
            }));
        }
    }
    Ok(trials)
}

fn of_case(case: Case, workshop: Option<&Arc<Workshop>>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &machine in &case.machines {
        for &processors in &case.processors {
            let case = case.clone();
            let name = match processors {
                1 => format!("{}@{}", case.name, machine.name()),
                count => format!("{}@{}-{count}", case.name, machine.name()),
            };
            trials.push(trial(name, workshop, move |workshop| {
                compare::check(workshop, &case, machine, processors)
            }));
        }
    }
    trials
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
