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

/// Returns how many calls answered differently.
fn fuzz() -> Result<usize, String> {
    let (mut seed, mut rounds, mut place) = (1_u64, 1000_usize, String::from(IN_MEMORY));
    let (mut tables, mut script) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        let number = value.parse::<u64>().map_err(|_| USAGE);
        match option.as_str() {
            "--seed" => seed = number?,
            "--rounds" => rounds = number? as usize,
            "--place" => place = value,
            "--tables" => tables = Some(value),
            "--script" => script = Some(value),
            _ => return Err(USAGE.into()),
        }
    }
    let command = std::env::var_os("PITH_COMMAND")
        .map(PathBuf::from)
        .ok_or(USAGE)?;
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = manifest.join("../target/tmp/differential");
    let workshop = Workshop::new(&directory, &manifest.join("programs"), &command)?;
    let fuzzer = Fuzzer::new(&workshop, &place)?;
    if let Some(path) = script {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let differences = fuzzer.differences(&parse(&text))?;
        for difference in &differences {
            println!("{}\n", difference.shown());
        }
        return Ok(differences.len());
    }
    // One difference of each call is enough to look at.
    let mut known = BTreeMap::new();
    let mut different = 0;
    for start in (0..rounds).step_by(BATCH) {
        let count = BATCH.min(rounds - start);
        let scripts = fuzzer.generate(seed + start as u64, count, tables.as_deref())?;
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
