//! `cargo xtask fuzz`: runs fuzz targets, guided by coverage, with the compiler that is there.
//!
//! `cargo fuzz` wants a nightly compiler for the sanitizers. What libFuzzer needs, counters of coverage and the operands of
//! comparisons, a stable one adds as well.

use crate::process::{Failure, cargo, root, run, target_directory};
use std::process::Command;

/// The targets, and the workspace of each.
const TARGETS: &[(&str, &str)] = &[
    ("parsers", "libs/tcpip/fuzz"),
    ("engine", "libs/tcpip/fuzz"),
    ("connections", "libs/tcpip/fuzz"),
    ("volume", "libs/erofs/fuzz"),
    ("executable", "libs/elf_plan/fuzz"),
    ("configuration", "abi/fuzz"),
    ("line", "libs/terminal/fuzz"),
    ("filter", "libs/packet_filter/fuzz"),
    ("netlink", "libs/linux/fuzz"),
    ("storage", "libs/storage_settings/fuzz"),
    ("network", "libs/network_settings/fuzz"),
];
/// How long each runs if nothing is said.
const SECONDS: u32 = 300;
/// LLVM's pass, its counters, and the checks that would not be in a release.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions=on",
    "-Coverflow-checks=on",
];
/// Named, so that build scripts, which run on the host, are compiled without these flags.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// `cargo xtask fuzz [TARGET [SECONDS]]`
pub fn command(arguments: &[String]) -> Result<(), Failure> {
    let seconds = match arguments.get(1) {
        Some(text) => text
            .parse()
            .map_err(|_| Failure::new(format!("'{text}' is no number of seconds")))?,
        None => SECONDS,
    };
    let wanted = arguments.first();
    let targets: Vec<_> = TARGETS
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name))
        .collect();
    if targets.is_empty() {
        let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        return Err(Failure::new(format!(
            "there is no such target; the targets are: {}",
            known.join(", ")
        )));
    }
    let place = target_directory().join("fuzz");
    for (target, workspace) in targets {
        run(cargo(&["build", "--release", "--bin", target])
            .args(["--target", TRIPLE, "--manifest-path"])
            .arg(format!("{workspace}/Cargo.toml"))
            .current_dir(root())
            .env("CARGO_TARGET_DIR", &place)
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}")))?;
        let corpus = place.join("corpus").join(target);
        std::fs::create_dir_all(&corpus)
            .map_err(|error| Failure::new(format!("{}: {error}", corpus.display())))?;
        let program = place.join(TRIPLE).join("release").join(target);
        run(Command::new("nice")
            .args(["-n", "19"])
            .arg(program)
            .arg(format!("-max_total_time={seconds}"))
            .args(["-max_len=4096", "-timeout=20", "-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/{target}-", place.display()))
            .arg(&corpus))?;
    }
    Ok(())
}
