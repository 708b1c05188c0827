//! Communication between processes: System V shared memory, semaphores and message queues, POSIX message
//! queues.
//!
//! Source: `sysvipc(7)`, `shmctl(2)`, `semctl(2)`, `msgctl(2)`, `mq_overview(7)`; layouts of Linux's
//! `uapi/asm-generic/ipcbuf.h`, `shmbuf.h`, `msgbuf.h`, `uapi/asm/sembuf.h` for x86-64.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The key that stands for a new object of its own (`IPC_PRIVATE`).
pub const PRIVATE: i32 = 0;
/// Make the object if there is none (`IPC_CREAT`).
pub const CREATE: i32 = 0o1000;
/// Fail if there is one (`IPC_EXCL`).
pub const EXCLUSIVE: i32 = 0o2000;
/// Fail with `EAGAIN` rather than wait (`IPC_NOWAIT`).
pub const NO_WAIT: i32 = 0o4000;

/// `cmd` of the calls that end in `ctl`: remove the object.
pub const REMOVE: i32 = 0;
/// Change owner and permissions.
pub const SET: i32 = 1;
/// Tell what is known about the object.
pub const STATUS: i32 = 2;
/// Tell the limits.
pub const INFORMATION: i32 = 3;

/// `shmctl`: keep in memory.
pub const SHM_LOCK: i32 = 11;
/// `shmctl`: no longer so.
pub const SHM_UNLOCK: i32 = 12;
/// `shmctl`: as [`STATUS`], by the position in the table.
pub const SHM_STAT: i32 = 13;
/// `shmctl`: what is in use.
pub const SHM_INFO: i32 = 14;
/// `shmctl`: as [`SHM_STAT`], without permission.
pub const SHM_STAT_ANY: i32 = 15;

/// `shmat`: for reading only.
pub const SHM_READ_ONLY: i32 = 0o10000;
/// `shmat`: round the address down.
pub const SHM_ROUND: i32 = 0o20000;
/// `shmat`: replace what is mapped there.
pub const SHM_REMAP: i32 = 0o40000;
/// `shmat`: for execution too.
pub const SHM_EXECUTE: i32 = 0o100_000;
/// `shmget`: huge pages.
pub const SHM_HUGE_PAGES: i32 = 0o4000;
/// `shmget`: set nothing aside.
pub const SHM_NO_RESERVE: i32 = 0o10000;
/// In the mode of a segment: it goes with its last user.
pub const SHM_DESTROYED: u32 = 0o1000;
/// In the mode of a segment: it is locked into memory.
pub const SHM_LOCKED: u32 = 0o2000;

/// `semctl`: who changed it last.
pub const SEM_GET_PROCESS: i32 = 11;
/// `semctl`: the value.
pub const SEM_GET_VALUE: i32 = 12;
/// `semctl`: all values.
pub const SEM_GET_ALL: i32 = 13;
/// `semctl`: how many wait for it to grow.
pub const SEM_GET_WAITING: i32 = 14;
/// `semctl`: how many wait for it to be zero.
pub const SEM_GET_WAITING_FOR_ZERO: i32 = 15;
/// `semctl`: set the value.
pub const SEM_SET_VALUE: i32 = 16;
/// `semctl`: set all values.
pub const SEM_SET_ALL: i32 = 17;
/// `semctl`: as [`STATUS`], by the position in the table.
pub const SEM_STAT: i32 = 18;
/// `semctl`: what is in use.
pub const SEM_INFO: i32 = 19;
/// `semctl`: as [`SEM_STAT`], without permission.
pub const SEM_STAT_ANY: i32 = 20;
/// `semop`: take it back when the process ends (`SEM_UNDO`).
pub const SEM_UNDO: i16 = 0x1000;

/// `msgctl`: as [`STATUS`], by the position in the table.
pub const MSG_STAT: i32 = 11;
/// `msgctl`: what is in use.
pub const MSG_INFO: i32 = 12;
/// `msgctl`: as [`MSG_STAT`], without permission.
pub const MSG_STAT_ANY: i32 = 13;
/// `msgrcv`: cut a message that is too long.
pub const MSG_NO_ERROR: i32 = 0o10000;
/// `msgrcv`: any type but this.
pub const MSG_EXCEPT: i32 = 0o20000;
/// `msgrcv`: leave the message in the queue; the type is its position.
pub const MSG_COPY: i32 = 0o40000;

/// Limits of System V objects, as Linux sets them.
pub mod limit {
    /// Bytes of a segment (`SHMMAX`).
    pub const SHM_SIZE: u64 = u64::MAX - (1 << 24);
    /// Pages of all segments (`SHMALL`).
    pub const SHM_PAGES: u64 = u64::MAX - (1 << 24);
    /// Segments (`SHMMNI`).
    pub const SHM_SEGMENTS: u64 = 4096;
    /// Semaphores of a set (`SEMMSL`).
    pub const SEM_PER_SET: u64 = 32_000;
    /// Semaphores (`SEMMNS`).
    pub const SEM_TOTAL: u64 = 1_024_000_000;
    /// Operations of one call (`SEMOPM`).
    pub const SEM_OPERATIONS: u64 = 500;
    /// Sets (`SEMMNI`).
    pub const SEM_SETS: u64 = 32_000;
    /// Value of a semaphore (`SEMVMX`).
    pub const SEM_VALUE: i32 = 32_767;
    /// Bytes of a message (`MSGMAX`).
    pub const MSG_SIZE: u64 = 8192;
    /// Bytes of a queue (`MSGMNB`).
    pub const MSG_QUEUE_BYTES: u64 = 16_384;
    /// Queues (`MSGMNI`).
    pub const MSG_QUEUES: u64 = 32_000;
    /// Objects of any kind that numbers exist for (`IPCMNI`).
    pub const OBJECTS: u64 = 32_768;
}

/// `struct ipc64_perm`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Permission {
    /// The key.
    pub key: i32,
    /// Owner.
    pub user: u32,
    /// Group of the owner.
    pub group: u32,
    /// Who made it.
    pub creator_user: u32,
    /// Group of who made it.
    pub creator_group: u32,
    /// Permissions, and flags of the object.
    pub mode: u32,
    /// Makes identifiers unique.
    pub sequence: u16,
    /// Nothing.
    pub padding: [u16; 3],
    /// Nothing.
    pub unused: [u64; 2],
}

/// `struct shmid64_ds`. Times are seconds since 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SegmentStatus {
    /// Who may use it.
    pub permission: Permission,
    /// Bytes.
    pub size: u64,
    /// Last `shmat`.
    pub attached: i64,
    /// Last `shmdt`.
    pub detached: i64,
    /// Creation or last change.
    pub changed: i64,
    /// Process that made it.
    pub creator: i32,
    /// Process that attached or detached last.
    pub last: i32,
    /// How many times it is mapped.
    pub attachments: u64,
    /// Nothing.
    pub unused: [u64; 2],
}

/// `struct shminfo64`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SegmentLimits {
    /// Most bytes of a segment.
    pub maximum: u64,
    /// Fewest bytes of a segment.
    pub minimum: u64,
    /// Most segments.
    pub segments: u64,
    /// Most segments of a process.
    pub per_process: u64,
    /// Most pages.
    pub pages: u64,
    /// Nothing.
    pub unused: [u64; 4],
}

/// `struct shm_info`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SegmentUsage {
    /// Segments.
    pub segments: i32,
    /// Nothing.
    pub padding: u32,
    /// Pages of all segments.
    pub pages: u64,
    /// Pages in memory.
    pub resident: u64,
    /// Pages in swap space.
    pub swapped: u64,
    /// Not used since Linux 2.4.
    pub swap_attempts: u64,
    /// Not used since Linux 2.4.
    pub swap_successes: u64,
}

/// `struct semid64_ds`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SemaphoreStatus {
    /// Who may use it.
    pub permission: Permission,
    /// Last `semop`.
    pub operated: i64,
    /// Nothing.
    pub unused1: u64,
    /// Creation or last change.
    pub changed: i64,
    /// Nothing.
    pub unused2: u64,
    /// Number of semaphores.
    pub count: u64,
    /// Nothing.
    pub unused3: [u64; 2],
}

/// `struct seminfo`; see `semctl(2)` for what [`SEM_INFO`] puts where.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SemaphoreLimits {
    /// Not used.
    pub map: i32,
    /// Most sets.
    pub sets: i32,
    /// Most semaphores.
    pub semaphores: i32,
    /// Not used.
    pub undo_structures: i32,
    /// Most semaphores of a set.
    pub per_set: i32,
    /// Most operations of a call.
    pub operations: i32,
    /// Not used.
    pub undo_entries: i32,
    /// Not used, or sets that there are.
    pub sets_in_use: i32,
    /// Largest value.
    pub value: i32,
    /// Largest value to be undone, or semaphores that there are.
    pub semaphores_in_use: i32,
}

/// `struct sembuf`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SemaphoreOperation {
    /// Which of the set.
    pub number: u16,
    /// What is added; 0 waits for zero.
    pub change: i16,
    /// [`NO_WAIT`], [`SEM_UNDO`].
    pub flags: i16,
}

/// `struct msqid64_ds`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct MessageQueueStatus {
    /// Who may use it.
    pub permission: Permission,
    /// Last `msgsnd`.
    pub sent: i64,
    /// Last `msgrcv`.
    pub received: i64,
    /// Creation or last change.
    pub changed: i64,
    /// Bytes in the queue.
    pub bytes: u64,
    /// Messages in the queue.
    pub messages: u64,
    /// Most bytes in the queue.
    pub maximum_bytes: u64,
    /// Process that sent last.
    pub last_sender: i32,
    /// Process that received last.
    pub last_receiver: i32,
    /// Nothing.
    pub unused: [u64; 2],
}

/// `struct msginfo`; see `msgctl(2)` for what [`MSG_INFO`] puts where.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct MessageLimits {
    /// Not used, or queues that there are.
    pub queues_in_use: i32,
    /// Not used, or messages that there are.
    pub messages_in_use: i32,
    /// Most bytes of a message.
    pub message_bytes: i32,
    /// Most bytes of a queue.
    pub queue_bytes: i32,
    /// Most queues.
    pub queues: i32,
    /// Not used.
    pub segment_bytes: i32,
    /// Not used, or bytes of all messages.
    pub bytes_in_use: i32,
    /// Not used.
    pub segments: u16,
    /// Nothing.
    pub padding: u16,
}

/// Limits of POSIX message queues, as Linux sets them.
pub mod queue_limit {
    /// Longest name (`NAME_MAX`), in bytes.
    pub const NAME: usize = 255;
    /// Priorities are below (`MQ_PRIO_MAX`).
    pub const PRIORITY: u32 = 32_768;
    /// Messages of a queue that says nothing else, and the most without privilege, if nothing else was set.
    pub const MESSAGES: usize = 10;
    /// Bytes of its messages, likewise.
    pub const MESSAGE_SIZE: usize = 8192;
    /// Most messages of a queue (`HARD_MSGMAX`).
    pub const MOST_MESSAGES: usize = 65_536;
    /// Fewest bytes that a setting may leave to a message (`MIN_MSGSIZEMAX`).
    pub const LEAST_MESSAGE_SIZE: usize = 128;
    /// Most bytes of a message (`HARD_MSGSIZEMAX`).
    pub const MOST_MESSAGE_SIZE: usize = 16 << 20;
    /// Queues.
    pub const QUEUES: usize = 256;
}

/// `struct mq_attr`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct QueueAttributes {
    /// `O_NONBLOCK` or nothing.
    pub flags: i64,
    /// Most messages.
    pub maximum_messages: i64,
    /// Most bytes of a message.
    pub message_size: i64,
    /// Messages in the queue.
    pub messages: i64,
    /// Nothing.
    pub reserved: [i64; 4],
}

/// `struct sigevent` as far as it is filled in.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SignalEvent {
    /// Value for the handler.
    pub value: u64,
    /// Signal.
    pub signal: i32,
    /// Kind: [`SIGEV_SIGNAL`], [`SIGEV_NONE`], [`SIGEV_THREAD`].
    pub notify: i32,
    /// Depends on the kind.
    pub rest: [u64; 6],
}

/// A signal.
pub const SIGEV_SIGNAL: i32 = 0;
/// Nothing happens, but nobody else can be told.
pub const SIGEV_NONE: i32 = 1;
/// A thread of the C library.
pub const SIGEV_THREAD: i32 = 2;

/// `si_code` of a signal that a message queue sends (`SI_MESGQ`).
pub const SI_MESSAGE_QUEUE: i32 = -3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_linux() {
        assert_eq!(size_of::<Permission>(), 48);
        assert_eq!(size_of::<SegmentStatus>(), 112);
        assert_eq!(size_of::<SegmentLimits>(), 72);
        assert_eq!(size_of::<SegmentUsage>(), 48);
        assert_eq!(size_of::<SemaphoreStatus>(), 104);
        assert_eq!(size_of::<SemaphoreLimits>(), 40);
        assert_eq!(size_of::<SemaphoreOperation>(), 6);
        assert_eq!(size_of::<MessageQueueStatus>(), 120);
        assert_eq!(size_of::<MessageLimits>(), 32);
        assert_eq!(size_of::<QueueAttributes>(), 64);
        assert_eq!(size_of::<SignalEvent>(), 64);
    }
}
