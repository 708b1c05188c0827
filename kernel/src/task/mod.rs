//! Floor 3: threads and processes, waiting, time, signals.

mod clock;
mod process;
pub mod signal;
mod thread;
mod wait;

pub use clock::{Instant, clock_parameters, monotonic, set_wall_clock_at_boot, wall_clock};
pub use process::{ExitReason, Limits, Process, ProgramIdentity, Resources, on_exit};
pub use thread::{Thread, current, current_process, try_current};
pub use wait::{Interrupted, WaitError, WaitQueue, sleep_until, wait_any};
