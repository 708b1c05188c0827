//! Compiling the programs, and running machines against the clock.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// No machine here needs as long, however slow the host.
const LIMIT: Duration = Duration::from_secs(60);

/// Where the benchmark's programs and images lie: a directory below the system's temporary one, removed at
/// the end.
pub struct Workshop {
    directory: PathBuf,
}

impl Workshop {
    /// Compiles the programs in `sources`, statically: the same bytes run on both sides.
    pub fn new(sources: &Path) -> Result<Self, String> {
        let directory = std::env::temp_dir().join(format!("pith-bench-{}", std::process::id()));
        make_directory(&directory)?;
        let workshop = Self { directory };
        for (name, options) in [
            ("hello", &["-static"][..]),
            ("calls", &["-static"]),
            ("threads", &["-static", "-pthread"]),
            ("files", &["-static"]),
            ("init", &["-static"]),
            ("datagrams", &["-static"]),
            ("../../examples/echo/echo", &["-static"]),
            ("count", &["-shared", "-fPIC", "-fvisibility=hidden"]),
            ("timed", &["-shared", "-fPIC", "-fvisibility=hidden"]),
            (
                "first",
                &["-static", "-nostdlib", "-ffreestanding", "-no-pie"],
            ),
        ] {
            let file = match name {
                "count" => "count.so",
                "timed" => "timed.so",
                _ => name.rsplit('/').next().unwrap_or(name),
            };
            let output = Command::new("gcc")
                .args(["-O2", "-s", "-Wall", "-Werror"])
                .args(options)
                .arg("-o")
                .arg(workshop.path(file))
                .arg(sources.join(format!("{name}.c")))
                .args((name == "threads").then_some("-luring"))
                .output()
                .map_err(|error| format!("can't start gcc: {error}"))?;
            if !output.status.success() {
                let errors = String::from_utf8_lossy(&output.stderr);
                return Err(format!("gcc can't compile {name}.c:\n{errors}"));
            }
        }
        Ok(workshop)
    }

    /// A file in the workshop.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What stays behind is in the temporary directory.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// `mkdir -p`.
pub fn make_directory(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| format!("can't make {}: {error}", path.display()))
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("can't read {}: {error}", path.display()))
}

/// Writes a file.
pub fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    fs::write(path, content).map_err(|error| format!("can't write {}: {error}", path.display()))
}

/// A command that ended, and how long it took from start to end.
#[derive(Debug)]
pub struct Run {
    /// Whether it succeeded.
    pub success: bool,
    /// What it printed.
    pub output: String,
    /// What it said on standard error.
    pub error: String,
    /// Wall-clock time.
    pub time: Duration,
    /// When how much of the output was there: the time from the start, and bytes.
    progress: Vec<(Duration, usize)>,
}

impl Run {
    /// When a line of the output was there.
    pub fn time_of_line(&self, line: &str) -> Option<Duration> {
        let mut end = 0;
        for candidate in self.output.split_inclusive('\n') {
            end += candidate.len();
            if candidate.trim_end() == line {
                let there = self.progress.iter().find(|(_, bytes)| *bytes >= end);
                return there.map(|(time, _)| *time);
            }
        }
        None
    }
}

/// Runs a command to its end; `None` if it had to be killed because it ran for longer than `limit`.
pub fn time(command: &mut Command, limit: Duration) -> Result<Option<Run>, String> {
    let limit = limit.min(LIMIT);
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("can't start {command:?}: {error}"))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("standard streams are missing".into());
    };
    thread::scope(|scope| {
        let output = scope.spawn(|| collect(stdout, start));
        let error = scope.spawn(|| collect(stderr, start));
        loop {
            // Finer than what is measured; the two sides pay the same.
            match child.try_wait() {
                Ok(Some(status)) => {
                    let time = start.elapsed();
                    let (output, progress) = output.join().map_err(|_| "reader failed")?;
                    let (error, _) = error.join().map_err(|_| "reader failed")?;
                    return Ok(Some(Run {
                        success: status.success(),
                        output,
                        error,
                        time,
                        progress,
                    }));
                }
                Ok(None) if start.elapsed() < limit => thread::sleep(Duration::from_micros(200)),
                Ok(None) => {
                    child
                        .kill()
                        .map_err(|error| format!("can't kill: {error}"))?;
                    child
                        .wait()
                        .map_err(|error| format!("can't wait: {error}"))?;
                    return Ok(None);
                }
                Err(error) => return Err(format!("can't wait for {command:?}: {error}")),
            }
        }
    })
}

/// Runs a command that has to succeed, and returns what it prints.
pub fn output_of(command: &mut Command) -> Result<String, String> {
    match time(command, LIMIT)? {
        Some(run) if run.success => Ok(run.output),
        Some(run) => Err(format!("{command:?} fails:\n{}{}", run.output, run.error)),
        None => Err(format!("{command:?} hangs")),
    }
}

/// Reads a stream to its end, and notes when how much was there.
fn collect(mut stream: impl Read, start: Instant) -> (String, Vec<(Duration, usize)>) {
    let mut bytes = Vec::new();
    let mut progress = Vec::new();
    let mut part = [0; 4096];
    // What was read before an error still counts.
    while let Ok(length @ 1..) = stream.read(&mut part) {
        bytes.extend_from_slice(&part[..length]);
        progress.push((start.elapsed(), bytes.len()));
    }
    (String::from_utf8_lossy(&bytes).into_owned(), progress)
}
