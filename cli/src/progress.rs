//! A line that says what takes so long, for whoever watches.

use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Work that is done sooner needs no explanation.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does the work. If it takes long and standard error is a terminal, `message` stands there meanwhile.
pub fn during<T>(message: &str, work: impl FnOnce() -> T) -> T {
    if !stderr().is_terminal() {
        return work();
    }
    thread::scope(|scope| {
        // Dropping the sender, also while the work panics, ends the line.
        let (working, done) = channel::<()>();
        scope.spawn(move || {
            if done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                eprint!("pith: {message} …");
                let _ = done.recv();
                // Back to the start of the line, and erase it (ECMA-48, EL).
                eprint!("\r\x1b[K");
            }
        });
        let result = work();
        drop(working);
        result
    })
}
