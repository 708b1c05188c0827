//! Runs a command to its end, whatever it does, and collects what it says.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a command ended, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// As a shell gives it: 128 + N for signal N.
    pub status: i32,
    /// Standard output.
    pub output: Vec<u8>,
    /// Standard error.
    pub error: Vec<u8>,
    /// Whether it had to be killed because it ran too long.
    pub timed_out: bool,
}

/// What to feed a command, and when to stop.
#[derive(Clone, Debug)]
pub struct Handling<'a> {
    /// Standard input; `None` is `/dev/null`.
    pub input: Option<&'a [u8]>,
    /// Close standard output after so many bytes.
    pub output_limit: Option<usize>,
    /// Kill after this.
    pub limit: Duration,
    /// Once standard output contains these bytes, send this signal.
    pub signal: Option<(&'a [u8], Signal)>,
}

impl Default for Handling<'_> {
    fn default() -> Self {
        Self {
            input: None,
            output_limit: None,
            limit: Duration::from_secs(90),
            signal: None,
        }
    }
}

/// Runs `command` in a process group of its own, which ends with it.
pub fn execute(command: &mut Command, handling: &Handling<'_>) -> Result<Outcome, String> {
    let mut child = command
        .stdin(match handling.input {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("can't start {command:?}: {error}"))?;
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("standard streams are missing".into());
    };
    let stdin = child.stdin.take();
    let process = pid(&child)?;

    thread::scope(|scope| {
        if let (Some(mut stdin), Some(input)) = (stdin, handling.input) {
            // A program may end before it has read everything; that is its right.
            scope.spawn(move || {
                let _ = stdin.write_all(input);
            });
        }
        let output = scope.spawn(move || {
            let mut collected = Vec::new();
            let mut signal = handling.signal;
            let mut block = [0; 65536];
            while let Ok(length @ 1..) = stdout.read(&mut block) {
                collected.extend_from_slice(&block[..length]);
                if let Some((trigger, which)) = signal
                    && contains(&collected, trigger)
                {
                    signal = None;
                    // A process that is gone already is found out by its status.
                    let _ = kill_process(process, which);
                }
                if handling
                    .output_limit
                    .is_some_and(|limit| collected.len() >= limit)
                {
                    break;
                }
            }
            if let Some(limit) = handling.output_limit {
                collected.truncate(limit);
            }
            collected
        });
        let error = scope.spawn(move || {
            let mut collected = Vec::new();
            // What was read before an error still counts.
            let _ = stderr.read_to_end(&mut collected);
            collected
        });
        let waited = wait(&mut child, handling.limit);
        // Nothing that the command started may outlive it, and nobody else holds the pipes then.
        let _ = kill_process_group(process, Signal::KILL);
        let output = output
            .join()
            .map_err(|_| "reader of standard output failed")?;
        let error = error
            .join()
            .map_err(|_| "reader of standard error failed")?;
        let (status, timed_out) = waited?;
        Ok(Outcome {
            status: shell_status(status),
            output,
            error,
            timed_out,
        })
    })
}

/// Process number of a child.
pub fn pid(child: &Child) -> Result<Pid, String> {
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| format!("strange process number {}", child.id()))
}

/// Waits, and kills the command's whole group when it takes too long.
fn wait(child: &mut Child, limit: Duration) -> Result<(ExitStatus, bool), String> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok((status, false)),
            Ok(None) if start.elapsed() < limit => {
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            Ok(None) => {
                let _ = kill_process_group(pid(child)?, Signal::KILL);
                return child
                    .wait()
                    .map(|status| (status, true))
                    .map_err(|error| format!("can't wait: {error}"));
            }
            Err(error) => return Err(format!("can't wait: {error}")),
        }
    }
}

/// The status as a shell gives it.
pub fn shell_status(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}

/// Whether `needle` occurs in `hay`.
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || hay.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn streams_and_status_are_collected() {
        let outcome = execute(
            &mut shell("cat; echo oops >&2; exit 42"),
            &Handling {
                input: Some(b"through"),
                ..Handling::default()
            },
        )
        .expect("sh is there");
        assert_eq!(outcome.status, 42);
        assert_eq!(outcome.output, b"through");
        assert_eq!(outcome.error, b"oops\n");
        assert!(!outcome.timed_out);
    }

    #[test]
    fn megabytes_pass_both_ways_at_once() {
        let input = vec![b'x'; 5_000_000];
        let outcome = execute(
            &mut shell("cat"),
            &Handling {
                input: Some(&input),
                ..Handling::default()
            },
        )
        .expect("sh is there");
        assert_eq!(outcome.output, input);
    }

    #[test]
    fn what_runs_too_long_is_killed_with_its_children() {
        let start = Instant::now();
        let outcome = execute(
            &mut shell("sleep 60 & sleep 60"),
            &Handling {
                limit: Duration::from_millis(100),
                ..Handling::default()
            },
        )
        .expect("sh is there");
        assert!(outcome.timed_out && outcome.status == 137);
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_signal_is_sent_when_the_output_says_so() {
        let outcome = execute(
            &mut shell("echo ready; while :; do :; done"),
            &Handling {
                signal: Some((b"ready", Signal::INT)),
                ..Handling::default()
            },
        )
        .expect("sh is there");
        assert_eq!(outcome.status, 130);
    }

    #[test]
    fn a_closed_output_stops_a_writer() {
        let outcome = execute(
            &mut shell("exec yes"),
            &Handling {
                output_limit: Some(10),
                ..Handling::default()
            },
        )
        .expect("sh is there");
        assert_eq!(outcome.status, 141);
        assert_eq!(outcome.output, b"y\ny\ny\ny\ny\n");
    }
}
