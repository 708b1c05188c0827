//! Running other programs, and saying so.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Why a task failed, in words for the person who typed it.
#[derive(Debug)]
pub struct Failure {
    /// The sentence; empty when everything was already said.
    pub message: String,
}

impl Failure {
    /// A failure with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// The top of the work tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask/ lies inside the work tree")
}

/// The target directory that the environment names for all workspaces, if it does.
fn common_target_directory() -> Option<PathBuf> {
    let directory = std::env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty())?;
    // A relative value counts from where cargo was started, like every path on a command line.
    Some(std::path::absolute(&directory).unwrap_or_else(|_| PathBuf::from(directory)))
}

/// Where cargo puts what the host workspace builds.
pub fn target_directory() -> PathBuf {
    common_target_directory().unwrap_or_else(|| root().join("target"))
}

/// cargo, in the host workspace.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    command
}

/// cargo, in the kernel's workspace, whose own configuration chooses the target.
pub fn kernel_cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root().join("kernel"));
    // The same place as `cli/build.rs` takes, so that the kernel is compiled once.
    if let Some(directory) = common_target_directory() {
        command.env("CARGO_TARGET_DIR", directory.join("kernel"));
    }
    command
}

/// The command as a person would type it.
pub fn shown(command: &Command) -> String {
    let mut words = Vec::new();
    if let Some(directory) = command.get_current_dir()
        && directory != root()
    {
        words.push(format!("cd {} &&", directory.display()));
    }
    words.push(quoted(command.get_program()));
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Says what runs, runs it on the terminal, and fails if it fails.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    eprintln!("    $ {}", shown(command));
    let status = command
        .status()
        .map_err(|error| Failure::new(format!("can't start {}: {error}", shown(command))))?;
    check(command, status)
}

/// Turns an unsuccessful status into a failure that names the command.
pub fn check(command: &Command, status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{} ended with {status}",
            shown(command)
        )))
    }
}

/// Standard output of a command that has to succeed, without its trailing newline.
pub fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::new(format!("can't start {}: {error}", shown(command))))?;
    check(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

/// The first file of this name in the directories of `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}
