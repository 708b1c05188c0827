//! Communication between processes: System V objects (`sysvipc(7)`) and POSIX message queues (`mq_overview(7)`).
//!
//! POSIX shared memory and named semaphores are files in `/dev/shm` and need nothing of this.

mod identifiers;
pub mod messages;
pub mod queues;
pub mod semaphores;
pub mod shared_memory;

use crate::task;

/// The wall clock in seconds since 1970.
fn seconds() -> i64 {
    (task::wall_clock_without_waiting() / 1_000_000_000) as i64
}

/// The number of the current process.
fn process_id() -> i32 {
    task::current_process().id as i32
}
