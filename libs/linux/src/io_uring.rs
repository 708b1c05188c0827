//! `io_uring(7)`: the numbers and structures of its system calls, and where things lie in its shared memory.
//!
//! Source: `io_uring_setup(2)`, `io_uring_enter(2)`, `io_uring_register(2)`, `uapi/linux/io_uring.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Errno;

/// Most entries of the submission queue.
pub const MAXIMUM_ENTRIES: u32 = 32_768;
/// Most entries of the completion queue.
pub const MAXIMUM_COMPLETIONS: u32 = 2 * MAXIMUM_ENTRIES;

/// Where `mmap(2)` finds the submission queue, in bytes.
pub const OFFSET_SUBMISSIONS: u64 = 0;
/// Where it finds the completion queue; the same memory.
pub const OFFSET_COMPLETIONS: u64 = 0x800_0000;
/// Where it finds the entries of the submission queue.
pub const OFFSET_ENTRIES: u64 = 0x1000_0000;

/// Flags of `io_uring_setup`.
pub mod setup {
    /// The size of the completion queue is given.
    pub const CQSIZE: u32 = 1 << 3;
    /// Sizes that are too large are cut.
    pub const CLAMP: u32 = 1 << 4;
    /// Share the workers of another ring.
    pub const ATTACH_WQ: u32 = 1 << 5;
    /// Nothing is done until the ring is enabled.
    pub const R_DISABLED: u32 = 1 << 6;
    /// Go on submitting after an entry that is wrong.
    pub const SUBMIT_ALL: u32 = 1 << 7;
    /// Completions need not interrupt the program.
    pub const COOP_TASKRUN: u32 = 1 << 8;
    /// Say in the flags that completions wait for the program to enter the kernel.
    pub const TASKRUN_FLAG: u32 = 1 << 9;
    /// One thread submits.
    pub const SINGLE_ISSUER: u32 = 1 << 12;
    /// Completions happen only when the program waits for them.
    pub const DEFER_TASKRUN: u32 = 1 << 13;
    /// All that are told of here.
    pub const ALL: u32 = CQSIZE
        | CLAMP
        | ATTACH_WQ
        | R_DISABLED
        | SUBMIT_ALL
        | COOP_TASKRUN
        | TASKRUN_FLAG
        | SINGLE_ISSUER
        | DEFER_TASKRUN;
}

/// What `io_uring_setup` says is there (`IORING_FEAT_…`).
pub mod feature {
    /// Both rings are one mapping.
    pub const SINGLE_MMAP: u32 = 1 << 0;
    /// Completions are never lost.
    pub const NODROP: u32 = 1 << 1;
    /// What an entry points to may change once it is submitted.
    pub const SUBMIT_STABLE: u32 = 1 << 2;
    /// Offset -1 is the file's position.
    pub const RW_CUR_POS: u32 = 1 << 3;
    /// Requests run with the rights of who submits them.
    pub const CUR_PERSONALITY: u32 = 1 << 4;
    /// Files that are not ready are waited for without threads.
    pub const FAST_POLL: u32 = 1 << 5;
    /// `POLL_ADD` takes 32 bits of events.
    pub const POLL_32BITS: u32 = 1 << 6;
    /// `io_uring_enter` takes a timeout.
    pub const EXT_ARG: u32 = 1 << 8;
    /// Workers are threads of the process.
    pub const NATIVE_WORKERS: u32 = 1 << 9;
    /// `IOSQE_CQE_SKIP_SUCCESS` works.
    pub const CQE_SKIP: u32 = 1 << 11;
    /// The file of a linked request is looked up when it starts.
    pub const LINKED_FILE: u32 = 1 << 12;
}

/// Flags of `io_uring_enter`.
pub mod enter {
    /// Wait for completions.
    pub const GETEVENTS: u32 = 1 << 0;
    /// Wake the thread that polls the submission queue: there is none.
    pub const SQ_WAKEUP: u32 = 1 << 1;
    /// Wait for room in the submission queue: there is, after each call.
    pub const SQ_WAIT: u32 = 1 << 2;
    /// The argument is a [`super::WaitArgument`].
    pub const EXT_ARG: u32 = 1 << 3;
}

/// Flags of an entry (`IOSQE_…`).
pub mod entry_flag {
    /// The descriptor is an index of registered files.
    pub const FIXED_FILE: u8 = 1 << 0;
    /// Only when all before are complete.
    pub const IO_DRAIN: u8 = 1 << 1;
    /// The next starts when this has succeeded.
    pub const IO_LINK: u8 = 1 << 2;
    /// The next starts when this is complete.
    pub const IO_HARDLINK: u8 = 1 << 3;
    /// Don't try it at once.
    pub const ASYNC: u8 = 1 << 4;
    /// The kernel chooses one of the buffers that were provided.
    pub const BUFFER_SELECT: u8 = 1 << 5;
    /// No completion if it succeeds.
    pub const CQE_SKIP_SUCCESS: u8 = 1 << 6;
    /// Those that tie an entry to others, or have it done elsewhere.
    pub const WITH_OTHERS: u8 = IO_DRAIN | IO_LINK | IO_HARDLINK | ASYNC | CQE_SKIP_SUCCESS;
    /// All of them.
    pub const ALL: u8 = 0x7f;
}

/// Flags of a completion: a buffer was chosen; its number is above [`CQE_BUFFER_SHIFT`].
pub const CQE_BUFFER: u32 = 1 << 0;
/// Flags of a completion: more will come of the same request.
pub const CQE_MORE: u32 = 1 << 1;
/// It is no result: the memory that was sent may be changed again.
pub const CQE_NOTIFICATION: u32 = 1 << 3;
/// Where the number of the buffer is.
pub const CQE_BUFFER_SHIFT: u32 = 16;
/// In the flags of the submission queue: completions wait for room.
pub const SQ_CQ_OVERFLOW: u32 = 1 << 1;
/// In the flags of the completion queue, set by the program: leave the event counter alone.
pub const CQ_EVENTFD_DISABLED: u32 = 1 << 0;

macro_rules! opcodes {
    ($($name:ident = $number:literal),* $(,)?) => {
        /// Numbers of the operations.
        #[allow(missing_docs, reason = "the names are those of the system calls")]
        pub mod opcode {
            $(pub const $name: u8 = $number;)*
        }
    };
}

opcodes! {
    NOP = 0, READV = 1, WRITEV = 2, FSYNC = 3, READ_FIXED = 4, WRITE_FIXED = 5, POLL_ADD = 6, POLL_REMOVE = 7,
    SYNC_FILE_RANGE = 8, SENDMSG = 9, RECVMSG = 10, TIMEOUT = 11, TIMEOUT_REMOVE = 12, ACCEPT = 13, ASYNC_CANCEL = 14,
    LINK_TIMEOUT = 15, CONNECT = 16, FALLOCATE = 17, OPENAT = 18, CLOSE = 19, FILES_UPDATE = 20, STATX = 21, READ = 22,
    WRITE = 23, FADVISE = 24, MADVISE = 25, SEND = 26, RECV = 27, EPOLL_CTL = 29, PROVIDE_BUFFERS = 31,
    REMOVE_BUFFERS = 32, SHUTDOWN = 34, RENAMEAT = 35, UNLINKAT = 36, MKDIRAT = 37, SYMLINKAT = 38, LINKAT = 39,
    MSG_RING = 40, SOCKET = 45, SEND_ZC = 47, SENDMSG_ZC = 48,
}

/// The highest number of an operation that Linux 6.1 knows.
pub const LAST_OPCODE: u8 = 48;

/// Flags of a timeout.
pub mod timeout {
    /// It is a point in time.
    pub const ABSOLUTE: u32 = 1 << 0;
    /// `TIMEOUT_REMOVE` changes it instead.
    pub const UPDATE: u32 = 1 << 1;
    /// By the clock that goes on in standby.
    pub const BOOTTIME: u32 = 1 << 2;
    /// By the wall clock.
    pub const REALTIME: u32 = 1 << 3;
    /// `TIMEOUT_REMOVE` changes a link's timeout.
    pub const LINK_UPDATE: u32 = 1 << 4;
    /// That it is over counts as success.
    pub const ETIME_SUCCESS: u32 = 1 << 5;
}

/// Flags of `POLL_ADD` and `POLL_REMOVE`, in the length.
pub mod poll {
    /// Go on after the first event.
    pub const MULTISHOT: u32 = 1 << 0;
    /// `POLL_REMOVE` changes the events instead.
    pub const UPDATE_EVENTS: u32 = 1 << 1;
    /// `POLL_REMOVE` changes what the completion is known by.
    pub const UPDATE_USER_DATA: u32 = 1 << 2;
    /// Not only when something changes.
    pub const LEVEL: u32 = 1 << 3;
}

/// Flags of sockets' operations, in the priority.
pub mod network {
    /// Of sending and receiving: waiting comes before the first attempt.
    pub const POLL_FIRST: u16 = 1 << 0;
    /// Of receiving: go on after the first message.
    pub const RECEIVE_MULTISHOT: u16 = 1 << 1;
    /// Of `SEND_ZC`: the memory lies in a registered buffer.
    pub const FIXED_BUFFER: u16 = 1 << 2;
    /// Of `ACCEPT`: go on after the first connection.
    pub const ACCEPT_MULTISHOT: u16 = 1 << 0;
}

/// Flags of `ASYNC_CANCEL`.
pub mod cancel {
    /// All that match.
    pub const ALL: u32 = 1 << 0;
    /// Those of a descriptor.
    pub const DESCRIPTOR: u32 = 1 << 1;
    /// Whatever there is.
    pub const ANY: u32 = 1 << 2;
    /// The descriptor is an index of registered files.
    pub const FIXED: u32 = 1 << 3;
}

/// Numbers of `io_uring_register`.
#[allow(missing_docs, reason = "the names are those of the system call")]
pub mod register {
    pub const BUFFERS: u32 = 0;
    pub const UNREGISTER_BUFFERS: u32 = 1;
    pub const FILES: u32 = 2;
    pub const UNREGISTER_FILES: u32 = 3;
    pub const EVENTFD: u32 = 4;
    pub const UNREGISTER_EVENTFD: u32 = 5;
    pub const FILES_UPDATE: u32 = 6;
    pub const EVENTFD_ASYNC: u32 = 7;
    pub const PROBE: u32 = 8;
    pub const ENABLE_RINGS: u32 = 12;
    pub const FILES2: u32 = 13;
    pub const FILES_UPDATE2: u32 = 14;
    pub const BUFFERS2: u32 = 15;
    pub const BUFFERS_UPDATE: u32 = 16;
    pub const IOWQ_AFFINITY: u32 = 17;
    pub const UNREGISTER_IOWQ_AFFINITY: u32 = 18;
    pub const IOWQ_MAXIMUM_WORKERS: u32 = 19;
    pub const SYNC_CANCEL: u32 = 24;
}

/// Most registered files.
pub const MAXIMUM_FILES: u32 = 1 << 20;
/// Most registered buffers.
pub const MAXIMUM_BUFFERS: u32 = 1 << 14;
/// Most bytes of a registered buffer.
pub const MAXIMUM_BUFFER: u64 = 1 << 30;
/// `IORING_FILE_INDEX_ALLOC`: the kernel chooses the index.
pub const ALLOCATE_INDEX: u32 = u32::MAX;
/// `IORING_REGISTER_FILES_SKIP`: leave this one alone.
pub const SKIP_FILE: i32 = -2;

/// `struct io_uring_rsrc_register`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ResourceRegister {
    /// How many.
    pub count: u32,
    /// 1 for a table without content.
    pub flags: u32,
    /// Nothing.
    pub reserved: u64,
    /// Address of the content.
    pub data: u64,
    /// Address of numbers by which the end of each is told.
    pub tags: u64,
}

/// `struct io_uring_rsrc_update2`, of which the first fields are `struct io_uring_files_update`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ResourceUpdate {
    /// The first index.
    pub offset: u32,
    /// Nothing.
    pub reserved: u32,
    /// Address of the content.
    pub data: u64,
    /// Address of tags.
    pub tags: u64,
    /// How many.
    pub count: u32,
    /// Nothing.
    pub reserved2: u32,
}

/// The head of `struct io_uring_probe`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ProbeHead {
    /// The highest operation that is known.
    pub last: u8,
    /// How many entries follow.
    pub count: u8,
    /// Nothing.
    pub reserved: u16,
    /// Nothing.
    pub reserved2: [u32; 3],
}

/// `struct io_uring_probe_op`: flag 1 says that the operation is there.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ProbeEntry {
    /// The operation.
    pub operation: u8,
    /// Nothing.
    pub reserved: u8,
    /// 1 if it is there.
    pub flags: u16,
    /// Nothing.
    pub reserved2: u32,
}

/// `struct io_uring_sync_cancel_reg`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SynchronousCancel {
    /// What the request is known by.
    pub user_data: u64,
    /// A descriptor.
    pub descriptor: i32,
    /// [`cancel`].
    pub flags: u32,
    /// How long to wait; -1 for both is for ever.
    pub timeout: [i64; 2],
    /// Nothing.
    pub reserved: [u64; 4],
}

/// An entry of the submission queue (`struct io_uring_sqe`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Entry {
    /// What to do: [`opcode`].
    pub opcode: u8,
    /// How: [`entry_flag`].
    pub flags: u8,
    /// Priority, or flags of the operation.
    pub priority: u16,
    /// Descriptor, or index of a registered file.
    pub descriptor: i32,
    /// Position, or a second address.
    pub offset: u64,
    /// Address of memory, or something else.
    pub address: u64,
    /// Length, or something else.
    pub length: u32,
    /// Flags of the operation.
    pub operation_flags: u32,
    /// What the completion is known by.
    pub user_data: u64,
    /// Index of a registered buffer, or group of provided ones.
    pub buffer: u16,
    /// Whose rights.
    pub personality: u16,
    /// Another descriptor, or where to register a file that is opened.
    pub other_descriptor: i32,
    /// A third address.
    pub address3: u64,
    /// Nothing.
    pub padding: u64,
}

impl Entry {
    /// From the words of memory.
    #[inline]
    pub fn from_words(words: [u64; 8]) -> Self {
        zerocopy::transmute!(words)
    }
}

/// An entry of the completion queue (`struct io_uring_cqe`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Completion {
    /// From the submission.
    pub user_data: u64,
    /// The result, or a negative error number.
    pub result: i32,
    /// [`CQE_BUFFER`], [`CQE_MORE`].
    pub flags: u32,
}

impl Completion {
    /// The words of memory.
    #[inline]
    pub fn to_words(self) -> [u64; 2] {
        zerocopy::transmute!(self)
    }
}

/// `struct io_sqring_offsets`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[allow(missing_docs, reason = "as in Linux's header")]
pub struct SubmissionOffsets {
    pub head: u32,
    pub tail: u32,
    pub mask: u32,
    pub entries: u32,
    pub flags: u32,
    pub dropped: u32,
    pub array: u32,
    pub reserved: u32,
    pub address: u64,
}

/// `struct io_cqring_offsets`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[allow(missing_docs, reason = "as in Linux's header")]
pub struct CompletionOffsets {
    pub head: u32,
    pub tail: u32,
    pub mask: u32,
    pub entries: u32,
    pub overflow: u32,
    pub completions: u32,
    pub flags: u32,
    pub reserved: u32,
    pub address: u64,
}

/// `struct io_uring_params`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Parameters {
    /// Entries of the submission queue.
    pub submissions: u32,
    /// Entries of the completion queue.
    pub completions: u32,
    /// [`setup`].
    pub flags: u32,
    /// For a thread that polls.
    pub thread_cpu: u32,
    /// For a thread that polls.
    pub thread_idle: u32,
    /// [`feature`].
    pub features: u32,
    /// The ring whose workers are shared.
    pub workers: u32,
    /// Nothing.
    pub reserved: [u32; 3],
    /// Where the submission queue is.
    pub submission_offsets: SubmissionOffsets,
    /// Where the completion queue is.
    pub completion_offsets: CompletionOffsets,
}

/// `struct io_uring_getevents_arg`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct WaitArgument {
    /// Address of a set of signals.
    pub mask: u64,
    /// Its size.
    pub mask_size: u32,
    /// Shortest wait, in microseconds.
    pub minimum_wait: u32,
    /// Address of a timeout.
    pub timeout: u64,
}

/// What a ring looks like in memory. The fields in front are Linux's `struct io_rings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Entries of the submission queue, a power of two.
    pub submissions: u32,
    /// Entries of the completion queue, a power of two.
    pub completions: u32,
}

impl Shape {
    /// Head of the submission queue: written by the kernel.
    pub const SUBMISSION_HEAD: usize = 0;
    /// Its tail: written by the program.
    pub const SUBMISSION_TAIL: usize = 4;
    /// Head of the completion queue: written by the program.
    pub const COMPLETION_HEAD: usize = 8;
    /// Its tail: written by the kernel.
    pub const COMPLETION_TAIL: usize = 12;
    /// Number of entries of the submission queue, less one.
    pub const SUBMISSION_MASK: usize = 16;
    /// Number of entries of the completion queue, less one.
    pub const COMPLETION_MASK: usize = 20;
    /// Number of entries of the submission queue.
    pub const SUBMISSION_ENTRIES: usize = 24;
    /// Number of entries of the completion queue.
    pub const COMPLETION_ENTRIES: usize = 28;
    /// Entries with an index that does not exist.
    pub const DROPPED: usize = 32;
    /// Flags of the submission queue: written by the kernel.
    pub const SUBMISSION_FLAGS: usize = 36;
    /// Flags of the completion queue: written by the program.
    pub const COMPLETION_FLAGS: usize = 40;
    /// Completions that found no room.
    pub const OVERFLOW: usize = 44;
    /// The completions.
    pub const COMPLETIONS: usize = 64;

    /// The shape that `io_uring_setup` is asked for.
    ///
    /// # Errors
    /// `EINVAL` for sizes that can't be.
    pub fn of(entries: u32, parameters: &Parameters) -> Result<Self, Errno> {
        let clamp = parameters.flags & setup::CLAMP != 0;
        let fit = |wanted: u32, most: u32| match wanted {
            0 => Err(Errno::EINVAL),
            _ if wanted <= most => Ok(wanted.next_power_of_two()),
            _ if clamp => Ok(most),
            _ => Err(Errno::EINVAL),
        };
        let submissions = fit(entries, MAXIMUM_ENTRIES)?;
        let completions = if parameters.flags & setup::CQSIZE != 0 {
            fit(parameters.completions, MAXIMUM_COMPLETIONS)?
        } else {
            2 * submissions
        };
        if completions < submissions {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            submissions,
            completions,
        })
    }

    /// Where the array of indices is.
    pub fn array(&self) -> usize {
        (Self::COMPLETIONS + self.completions as usize * size_of::<Completion>())
            .next_multiple_of(64)
    }

    /// Bytes of both rings.
    pub fn ring_bytes(&self) -> usize {
        self.array() + self.submissions as usize * size_of::<u32>()
    }

    /// Bytes of the entries.
    pub fn entry_bytes(&self) -> usize {
        self.submissions as usize * size_of::<Entry>()
    }

    /// Where the index is that the head `head` of the submission queue means.
    pub fn index_at(&self, head: u32) -> usize {
        self.array() + (head & (self.submissions - 1)) as usize * size_of::<u32>()
    }

    /// Where the completion is that the tail `tail` means.
    pub fn completion_at(&self, tail: u32) -> usize {
        Self::COMPLETIONS + (tail & (self.completions - 1)) as usize * size_of::<Completion>()
    }

    /// How many entries lie between a head and a tail of a queue with so many entries. What a program writes may be
    /// anything; more than there are is all of them.
    pub fn used(head: u32, tail: u32, entries: u32) -> u32 {
        tail.wrapping_sub(head).min(entries)
    }

    /// Where things are, for the program.
    pub fn offsets(&self) -> (SubmissionOffsets, CompletionOffsets) {
        let submission = SubmissionOffsets {
            head: Self::SUBMISSION_HEAD as u32,
            tail: Self::SUBMISSION_TAIL as u32,
            mask: Self::SUBMISSION_MASK as u32,
            entries: Self::SUBMISSION_ENTRIES as u32,
            flags: Self::SUBMISSION_FLAGS as u32,
            dropped: Self::DROPPED as u32,
            array: self.array() as u32,
            ..SubmissionOffsets::default()
        };
        let completion = CompletionOffsets {
            head: Self::COMPLETION_HEAD as u32,
            tail: Self::COMPLETION_TAIL as u32,
            mask: Self::COMPLETION_MASK as u32,
            entries: Self::COMPLETION_ENTRIES as u32,
            overflow: Self::OVERFLOW as u32,
            completions: Self::COMPLETIONS as u32,
            flags: Self::COMPLETION_FLAGS as u32,
            ..CompletionOffsets::default()
        };
        (submission, completion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_linux() {
        assert_eq!(size_of::<Entry>(), 64);
        assert_eq!(size_of::<Completion>(), 16);
        assert_eq!(size_of::<Parameters>(), 120);
        assert_eq!(size_of::<WaitArgument>(), 24);
    }

    fn shape(entries: u32, completions: u32, flags: u32) -> Result<Shape, Errno> {
        let parameters = Parameters {
            completions,
            flags,
            ..Parameters::default()
        };
        Shape::of(entries, &parameters)
    }

    #[test]
    fn sizes_are_checked_and_rounded() {
        assert_eq!(shape(0, 0, 0), Err(Errno::EINVAL));
        assert_eq!(shape(32_769, 0, 0), Err(Errno::EINVAL));
        assert_eq!(
            shape(32_769, 0, setup::CLAMP).map(|shape| shape.submissions),
            Ok(32_768)
        );
        let shape5 = shape(5, 0, 0).expect("fits");
        assert_eq!((shape5.submissions, shape5.completions), (8, 16));
        assert_eq!(shape(5, 0, setup::CQSIZE), Err(Errno::EINVAL));
        assert_eq!(shape(5, 4, setup::CQSIZE), Err(Errno::EINVAL));
        assert_eq!(
            shape(5, 100, setup::CQSIZE).map(|shape| shape.completions),
            Ok(128)
        );
        assert_eq!(shape(5, 65_537, setup::CQSIZE), Err(Errno::EINVAL));
    }

    #[test]
    fn nothing_overlaps_or_crosses_a_page() {
        for entries in [1, 8, 4096, 32_768] {
            let shape = shape(entries, 0, 0).expect("fits");
            for tail in [0, 1, entries - 1, u32::MAX] {
                let place = shape.completion_at(tail);
                assert!(place + 16 <= shape.array());
                assert_eq!(place / 4096, (place + 15) / 4096);
                assert!(shape.index_at(tail) + 4 <= shape.ring_bytes());
            }
        }
    }

    #[test]
    fn a_hostile_tail_is_no_more_than_everything() {
        assert_eq!(Shape::used(u32::MAX, 2, 8), 3);
        assert_eq!(Shape::used(5, 4, 8), 8);
        assert_eq!(Shape::used(7, 7, 8), 0);
    }
}
