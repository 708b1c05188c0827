//! The differential fuzzer by hand: `cargo xtask fuzz-differential [--seed N] [--rounds N] [--tables NAMES]`.
//!
//! With `--script FILE` it runs the rounds of a file, as they are.
//!
//! It goes on after a difference, with other calls, and ends with all that it has found, each as a script that can be
//! kept in `tests/differential/`.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pith_end_to_end::Workshop;
use pith_end_to_end::differential::{Fuzzer, IN_MEMORY, parse};

const USAGE: &str = "usage: cargo xtask fuzz-differential [--seed N] [--rounds N] [--place DIRECTORY] [--tables NAME,NAME...]\n       cargo xtask fuzz-differential --script FILE [--place DIRECTORY]";

/// Rounds of one boot.
const BATCH: usize = 100;

fn main() -> ExitCode {
    match fuzz() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// What the command was asked for.
struct Wishes {
    seed: u64,
    rounds: usize,
    place: String,
    tables: Option<String>,
    script: Option<String>,
}

fn wishes() -> Result<Wishes, String> {
    let mut wishes = Wishes {
        seed: 1,
        rounds: 1000,
        place: IN_MEMORY.into(),
        tables: None,
        script: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        let number = value.parse::<u64>().map_err(|_| USAGE);
        match option.as_str() {
            "--seed" => wishes.seed = number?,
            "--rounds" => wishes.rounds = number? as usize,
            "--place" => wishes.place = value,
            "--tables" => wishes.tables = Some(value),
            "--script" => wishes.script = Some(value),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(wishes)
}

/// Returns how many calls answered differently.
fn fuzz() -> Result<usize, String> {
    let wishes = wishes()?;
    let command = std::env::var_os("PITH_COMMAND")
        .map(PathBuf::from)
        .ok_or(USAGE)?;
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Each run has a directory of its own, so that several can go on at a time.
    let directory = manifest.join(format!("../target/tmp/differential-{}", std::process::id()));
    let workshop = Workshop::new(&directory, &manifest.join("programs"), &command)?;
    let different = fuzz_in(&workshop, &wishes);
    // What is left of it is in the way of nobody.
    let _ = std::fs::remove_dir_all(&directory);
    different
}

fn fuzz_in(workshop: &Workshop, wishes: &Wishes) -> Result<usize, String> {
    let fuzzer = Fuzzer::new(workshop, &wishes.place)?;
    if let Some(path) = &wishes.script {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let differences = fuzzer.differences(&parse(&text))?;
        for difference in &differences {
            println!("{}\n", difference.shown());
        }
        return Ok(differences.len());
    }
    let (seed, rounds) = (wishes.seed, wishes.rounds);
    // One difference of each call is enough to look at.
    let mut known = BTreeMap::new();
    let mut different = 0;
    for start in (0..rounds).step_by(BATCH) {
        let count = BATCH.min(rounds - start);
        let scripts = fuzzer.generate(seed + start as u64, count, wishes.tables.as_deref())?;
        for difference in fuzzer.differences(&scripts)? {
            different += 1;
            let count = known.entry(difference.call().to_owned()).or_insert(0);
            *count += 1;
            if *count == 1 {
                println!("{}\n", fuzzer.shorten(&difference)?.shown());
            }
        }
    }
    println!("{rounds} rounds from seed {seed}, {different} of them different");
    for (call, count) in &known {
        println!("{count:8}  {call}");
    }
    Ok(different)
}
