//! The differential fuzzer, bounded: what it has ever found, and scripts made from fixed seeds. For longer runs:
//! `cargo xtask fuzz-differential`.

use std::fs;
use std::path::Path;

use pith_end_to_end::Workshop;
use pith_end_to_end::differential::{Fuzzer, IN_MEMORY, parse};

/// A check of both sides.
type Check = fn(&Workshop) -> Result<(), String>;

/// All of them, by name.
pub const CHECKS: &[(&str, Check)] = &[
    ("regressions-in-a-tmpfs", |workshop| {
        regressions(workshop, IN_MEMORY)
    }),
    ("regressions-above-an-image", |workshop| {
        regressions(workshop, "/tmp")
    }),
    ("by-chance-in-a-tmpfs", |workshop| {
        by_chance(workshop, IN_MEMORY, 1)
    }),
    ("by-chance-above-an-image", |workshop| {
        by_chance(workshop, "/tmp", 1_000_001)
    }),
];

/// Rounds made by chance for one check, of calls of all tables.
const ROUNDS: usize = 100;

fn regressions(workshop: &Workshop, place: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("differential/regressions.script");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let differences = Fuzzer::new(workshop, place)?.differences(&parse(&text))?;
    let shown: Vec<String> = differences.iter().map(|one| one.shown()).collect();
    if shown.is_empty() {
        Ok(())
    } else {
        Err(shown.join("\n\n"))
    }
}

fn by_chance(workshop: &Workshop, place: &str, seed: u64) -> Result<(), String> {
    let fuzzer = Fuzzer::new(workshop, place)?;
    let scripts = fuzzer.generate(seed, ROUNDS, None)?;
    let differences = fuzzer.differences(&scripts)?;
    let Some(first) = differences.first() else {
        return Ok(());
    };
    let shortest = fuzzer.shorten(first)?;
    Err(format!(
        "{} of {ROUNDS} rounds answer differently; the first:\n{}\n\
         Mend it, and add the round to tests/differential/regressions.script.",
        differences.len(),
        shortest.shown()
    ))
}
