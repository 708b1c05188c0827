//! Floor 3: threads and processes, waiting, time, signals.

mod alarm;
mod clock;
mod process;
pub mod random;
pub mod restartable;
pub mod signal;
pub mod system_name;
mod thread;
mod timer;
pub mod vdso;
mod wait;

pub use alarm::{AlarmSetting, timer_fired};
pub use clock::{
    Instant, clock_parameters, monotonic, processor_time, set_wall_clock_at_boot, wall_clock,
    wall_clock_without_waiting,
};
pub use process::{Credentials, ExitReason, Limits, Process, ProgramIdentity, Resources, on_exit};
pub use thread::{Thread, current, current_process, try_current};
pub use timer::{Timer, TimerTarget};
pub use wait::{WaitError, WaitQueue, Wakeable, sleep_until, wait_any};
