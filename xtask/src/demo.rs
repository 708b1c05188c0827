//! `cargo xtask demo`: from nothing to booted programs.

use crate::gate;
use crate::process::{Failure, check, output, shown};
use crate::setup::{self, Purpose};
use std::process::{Command, Stdio};
use std::time::Instant;

/// How many lines of a long output are shown.
const SHOWN_LINES: usize = 12;

/// Sets up, builds, boots two programs of this machine.
pub fn command() -> Result<(), Failure> {
    let start = Instant::now();
    let progress = |what: &str| eprintln!("==> [{} s] {what}", start.elapsed().as_secs());

    progress("setting up");
    setup::install(Purpose::Run)?;

    progress("building the pith command (with the kernel inside)");
    gate::build_command()?;

    progress("booting /bin/ls");
    boot(
        Command::new(gate::pith_path())
            .args(["run", "--stats", "-m", "512M"])
            .args(["--file", "/usr/share/doc"])
            .args(["--", "/bin/ls", "-la", "/usr/share/doc"]),
    )?;

    progress("booting /usr/bin/sha256sum over the pith command itself");
    let subject = gate::pith_path();
    let guest = boot(
        Command::new(gate::pith_path())
            .args(["run", "--stats"])
            .arg("--file")
            .arg(&subject)
            .args(["--", "/usr/bin/sha256sum"])
            .arg(&subject),
    )?;
    let host = output(Command::new("/usr/bin/sha256sum").arg(&subject))?;
    if guest.trim_end() != host {
        return Err(Failure::new(format!(
            "the sums differ: the unikernel printed\n{guest}the host printed\n{host}"
        )));
    }
    eprintln!("    the host computes the same sum");

    progress("done. Your turn:");
    eprintln!(
        "    {} run -- PROGRAM [ARGUMENTS]",
        gate::pith_path().display()
    );
    Ok(())
}

/// Runs a command, shows the start of its output and its status, and returns the output.
fn boot(command: &mut Command) -> Result<String, Failure> {
    eprintln!("    $ {}", shown(command));
    let start = Instant::now();
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::new(format!("can't start {}: {error}", shown(command))))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().take(SHOWN_LINES) {
        println!("    │ {line}");
    }
    if lines.len() > SHOWN_LINES {
        println!("    │ … {} more lines", lines.len() - SHOWN_LINES);
    }
    eprintln!(
        "    {}, {:.2} s in all",
        output.status,
        start.elapsed().as_secs_f64()
    );
    check(command, output.status)?;
    Ok(text)
}
