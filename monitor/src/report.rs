//! What is known about a machine once it has ended.

use std::path::PathBuf;
use std::time::Duration;

use pith_abi::channel::{ExitReport, Outcome};
use serde::Serialize;

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest told.
    Reported(Outcome),
    /// It ran longer than it was given, and was killed.
    TimedOut(Duration),
    /// It was killed because of this signal to us: it came twice, or the program didn't end in time.
    Interrupted(u8),
}

/// A machine's life.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// What the guest measured; `None` if it was killed before it could tell.
    pub guest: Option<GuestFigures>,
    /// What the host measured.
    pub host: HostTimes,
    /// Paths in the guest that the program looked for in vain, in the order of its first attempts; the first of them, if
    /// there were very many.
    pub lacking: Vec<PathBuf>,
}

impl Report {
    /// The status that the host's command should exit with: the program's own, or as a shell would give it.
    pub fn status(&self) -> u8 {
        match &self.ending {
            Ending::Reported(outcome) => match outcome {
                Outcome::Exited(status) => *status,
                Outcome::Signaled { signal, .. } => 128_u8.saturating_add(*signal),
                // As sh(1): not found, or found and not executable.
                Outcome::NotStarted { errno: 2, .. } => 127,
                Outcome::NotStarted { .. } => 126,
                Outcome::Panicked(_) => 125,
            },
            // As timeout(1).
            Ending::TimedOut(_) => 124,
            Ending::Interrupted(signal) => 128_u8.saturating_add(*signal),
        }
    }
}

/// What the guest measured of itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GuestFigures {
    /// From the kernel's first instruction to just before the program's, in milliseconds; `None` if the
    /// program never ran or the clock was not measured.
    pub entry_to_program: Option<f64>,
    /// The same in ticks of the machine's time stamp counter, which is known without a measured clock.
    pub entry_to_program_ticks: Option<u64>,
    /// From there to the exit report, in milliseconds.
    pub program_to_exit: Option<f64>,
    /// Memory that the machine had, in bytes.
    pub memory_total: u64,
    /// Most memory that was ever in use, in bytes.
    pub memory_peak: u64,
}

impl GuestFigures {
    /// Converts the ticks of a report.
    pub fn new(report: &ExitReport) -> Self {
        let timeline = &report.timeline;
        let milliseconds = |from: u64, to: u64| {
            let measured = timeline.ticks_per_second != 0 && timeline.program != 0;
            let ticks = to.checked_sub(from).filter(|_| measured)?;
            Some(ticks as f64 * 1000.0 / timeline.ticks_per_second as f64)
        };
        Self {
            entry_to_program: milliseconds(timeline.entry, timeline.program),
            entry_to_program_ticks: (timeline.program != 0)
                .then(|| timeline.program.checked_sub(timeline.entry))
                .flatten(),
            program_to_exit: milliseconds(timeline.program, timeline.exit),
            memory_total: report.memory.total,
            memory_peak: report.memory.peak,
        }
    }
}

/// Wall-clock times since the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostTimes {
    /// The monitor's process was there.
    pub spawned: Duration,
    /// The guest's channel came up.
    pub ready: Option<Duration>,
    /// The guest's exit report arrived.
    pub reported: Option<Duration>,
    /// Everything was written and the monitor's process was gone.
    pub ended: Duration,
}

/// A signal's name on Linux x86-64 (signal(7)), such as `SIGSEGV`.
pub fn signal_name(signal: u8) -> String {
    /// Names of signals 1 to 31.
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    match signal {
        1..=31 => NAMES[usize::from(signal) - 1].into(),
        // The C library keeps 32 and 33 for itself, so that its SIGRTMIN is 34.
        34..=64 => format!("SIGRTMIN+{}", signal - 34),
        _ => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pith_abi::channel::{MemoryReport, Timeline};

    fn status(ending: Ending) -> u8 {
        Report {
            ending,
            guest: None,
            host: HostTimes::default(),
            lacking: Vec::new(),
        }
        .status()
    }

    #[test]
    fn each_ending_has_the_status_that_a_shell_would_give() {
        for code in 0..=255 {
            assert_eq!(status(Ending::Reported(Outcome::Exited(code))), code);
        }
        let signaled = |signal| {
            status(Ending::Reported(Outcome::Signaled {
                signal,
                reason: String::new(),
            }))
        };
        assert_eq!((signaled(9), signaled(64), signaled(255)), (137, 192, 255));
        let not_started = |errno| {
            status(Ending::Reported(Outcome::NotStarted {
                errno,
                message: String::new(),
            }))
        };
        assert_eq!((not_started(2), not_started(8)), (127, 126));
        assert_eq!(status(Ending::Reported(Outcome::Panicked("x".into()))), 125);
        assert_eq!(status(Ending::TimedOut(Duration::from_secs(1))), 124);
        assert_eq!(status(Ending::Interrupted(2)), 130);
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(signal_name(1), "SIGHUP");
        assert_eq!(signal_name(11), "SIGSEGV");
        assert_eq!(signal_name(31), "SIGSYS");
        assert_eq!(signal_name(34), "SIGRTMIN+0");
        assert_eq!(signal_name(0), "signal 0");
        assert_eq!(signal_name(32), "signal 32");
    }

    #[test]
    fn figures_need_a_clock_and_a_program() {
        let report = |timeline| ExitReport {
            outcome: Outcome::Exited(0),
            timeline,
            memory: MemoryReport { total: 2, peak: 1 },
        };
        let timeline = Timeline {
            entry: 1_000,
            program: 3_000,
            exit: 4_000,
            ticks_per_second: 1_000_000,
        };
        let figures = GuestFigures::new(&report(timeline));
        assert_eq!(figures.entry_to_program, Some(2.0));
        assert_eq!(figures.entry_to_program_ticks, Some(2_000));
        assert_eq!(figures.program_to_exit, Some(1.0));

        for odd in [
            Timeline {
                ticks_per_second: 0,
                ..timeline
            },
            Timeline {
                program: 0,
                ..timeline
            },
        ] {
            assert_eq!(GuestFigures::new(&report(odd)).program_to_exit, None);
        }
        // A hostile guest's clock may run backwards.
        let backwards = Timeline {
            exit: 0,
            ..timeline
        };
        assert_eq!(GuestFigures::new(&report(backwards)).program_to_exit, None);
    }
}
