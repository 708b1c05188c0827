//! Floor 3: threads and processes, waiting, time, signals.

mod accounting;
mod clock;
pub mod countdown;
mod credentials;
pub mod deferred;
pub mod family;
pub mod fork;
pub mod futex;
pub mod interval_timers;
pub mod jobs;
pub mod load;
pub mod memory_killer;
mod pending;
pub mod posix_timers;
mod process;
pub mod random;
pub mod restartable;
mod scheduler;
pub mod seccomp;
pub mod signal;
pub mod soon;
pub mod system_name;
mod thread;
pub mod threads;
pub mod time_limits;
mod timer;
pub mod vdso;
mod wait;

pub use clock::{
    Instant, busy_split_of, busy_time, hear_wall_clock, monotonic, monotonic_at, set_wall_clock_at_boot,
    ticks_to_nanoseconds as nanoseconds, time_at, wall_clock, wall_clock_at, wall_clock_without_waiting,
};
pub use credentials::{
    Looker, check_thread_limit, credentials, credentials_number, has_capability, may_look_into, set_credentials,
    try_credentials,
};
pub use family::{find_process, first_process, processes};
pub use pith_linux::credentials::{Capabilities, Credentials};
pub use pith_timekeeping::Split;
pub use process::{
    ExitReason, Limits, Process, ProgramIdentity, READ, Resources, WRITTEN, end_all_threads, end_machine, on_exit,
};
pub use scheduler::{
    REAL_TIME, REAL_TIME_PERIOD, SLICE, adopt, before_return, cpu_count, online_cpus, processor_started, runnable,
    set_affinity, set_nice, set_policy, switches, yield_now,
};
pub use signal::go_on;
pub use thread::{Current, Thread, current, current_process, try_current};
pub use threads::{created_count, find_thread, last_number, thread_count};
pub use timer::{Timer, TimerTarget, fired as timer_fired};
pub use wait::{WaitError, WaitQueue, Wakeable, sleep_until, wait_any};
