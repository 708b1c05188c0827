//! Signals that reach the host's process and are meant for the program inside.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// Signals that are taken over while a machine runs.
const TAKEN: [i32; 7] = [SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH];

/// Collects signals and makes a descriptor readable when one is there.
pub(crate) struct HostSignals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl HostSignals {
    /// Takes the signals over, but for those that our parent had us ignore: `nohup pith …` must survive
    /// the end of its terminal, and a shell's background job the Ctrl-C of the foreground.
    pub(crate) fn new() -> io::Result<Self> {
        let ignored = fs::read_to_string("/proc/self/status")
            .map(|status| ignored_mask(&status))
            .unwrap_or(0);
        let taken = TAKEN
            .into_iter()
            .filter(|signal| ignored >> (signal - 1) & 1 == 0);
        let (read, write) = UnixStream::pair()?;
        Ok(Self {
            delivery: SignalDelivery::with_pipe(read, write, SignalOnly, taken)?,
        })
    }

    /// Readable when [`Self::pending`] has something.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }

    /// The signals that came since the last call.
    pub(crate) fn pending(&mut self) -> Vec<i32> {
        self.delivery.pending().collect()
    }
}

/// The set of ignored signals from the text of `/proc/self/status` (proc(5)); bit 0 is signal 1.
fn ignored_mask(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        let status = "Name:\tpith\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n";
        let mask = ignored_mask(status);
        assert_eq!(mask >> (SIGHUP - 1) & 1, 1);
        assert_eq!(mask >> (SIGINT - 1) & 1, 0);
        assert_eq!(ignored_mask("SigIgn:\tnonsense"), 0);
        assert_eq!(ignored_mask(""), 0);
    }
}
