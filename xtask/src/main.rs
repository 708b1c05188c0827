//! Everything that a developer types: `cargo xtask COMMAND`.
//!
//! The same commands run on a laptop and in the gate (`.ci/run`). Only the standard library is used, so
//! that the first command on a fresh machine starts within seconds.
#![forbid(unsafe_code)]

mod demo;
mod fuzz;
mod gate;
mod process;
mod setup;
mod sources;
mod syscalls;

use process::{Failure, cargo, root};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup [test|bench|all]  install what building and running need (QEMU, the kernel's target);
                          with `test` or `bench` also what those need
  demo                    set up, build, and boot programs of this machine
  test [STEP...]          everything that must hold before a change is merged, or only the named steps
  end-to-end [FILTER...]  boot real programs and compare them with the host; a filter is part of a name
  fuzz-differential [--seed N] [--rounds N] [--place DIR] [--tables NAMES] | --script FILE
                          the same calls by chance on Linux and in a machine, compared; longer than the gate does
  bench [OPTION...]       measure beside Linux (`cargo xtask bench --help` lists the options)
  fuzz [TARGET [SECONDS]] look for inputs that break what reads them (docs/development.md names the targets)
  syscalls [--check]      write docs/syscalls.md from the kernel's table, or check that it is current
  book                    build the documentation with mdBook into target/book
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // The gate prints its own summary, which has to stay the last line.
            if !failure.message.is_empty() {
                eprintln!("xtask: {failure}");
            }
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<(), Failure> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    match command {
        "setup" => setup::command(rest),
        "demo" => demo::command(),
        "test" => gate::command(rest),
        "end-to-end" => {
            gate::build_command()?;
            process::run(&mut gate::end_to_end(rest))
        }
        "fuzz-differential" => {
            gate::build_command()?;
            let mut fuzzer = cargo(&[
                "run",
                "--package",
                "pith-end-to-end",
                "--bin",
                "fuzz-differential",
                "--",
            ]);
            fuzzer.args(rest).env("PITH_COMMAND", gate::pith_path());
            process::run(&mut fuzzer)
        }
        "bench" => {
            setup::install(setup::Purpose::Bench)?;
            gate::build_command()?;
            let mut bench = cargo(&["run", "--release", "--package", "pith-bench", "--"]);
            bench.args(rest).env("PITH_COMMAND", gate::pith_path());
            process::run(&mut bench)
        }
        "fuzz" => fuzz::command(rest),
        "syscalls" => syscalls::command(rest),
        "book" => book(),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        unknown => Err(Failure::new(format!("no command '{unknown}'\n\n{USAGE}"))),
    }
}

fn book() -> Result<(), Failure> {
    if process::find_program("mdbook").is_none() {
        return Err(Failure::new(
            "mdbook is not installed; type: cargo install mdbook",
        ));
    }
    let mut mdbook = std::process::Command::new("mdbook");
    mdbook.arg("build").arg(root().join("docs"));
    process::run(&mut mdbook)
}
