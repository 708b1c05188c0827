//! POSIX message queues: `mq_open(3)` and its relatives.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags, PollEvents, Statfs};
use pith_linux::ipc::{
    QueueAttributes, SI_MESSAGE_QUEUE, SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SignalEvent, queue_limit,
};
use pith_linux::signal::{Signal, SignalInformation};
use pith_sorted_map::SortedMap;
use spin::Mutex;

use crate::fs::context;
use crate::fs::file::{File, OpenFile};
use crate::fs::inode::{Inode, PathName};
use crate::fs::metadata::{AttributeChange, Metadata, Times, Timestamp};
use crate::fs::permission::{self, Access, Rights};
use crate::fs::pipe;
use crate::fs::proc::Text;
use crate::memory::{self, Destination};
use crate::task::{self, Capabilities, Instant, Process, WaitError, WaitQueue, signal};

/// `st_dev` of queues.
const DEVICE: DeviceNumber = DeviceNumber::new(0, 23);
/// `st_size` of a queue.
const SIZE: u64 = 80;
/// What Linux counts for each message besides its content (`struct msg_msg`), in bytes.
const MESSAGE_OVERHEAD: u64 = 48;
/// What Linux counts for each priority (`struct posix_msg_tree_node`), in bytes.
const PRIORITY_OVERHEAD: u64 = 48;
/// Resource number of the limit of bytes in queues (`RLIMIT_MSGQUEUE`).
const QUEUE_BYTES: usize = 12;

struct Message {
    priority: u32,
    bytes: Vec<u8>,
}

/// Who wants to be told of a message.
struct Notification {
    process: Weak<Process>,
    owner: u32,
    event: SignalEvent,
}

struct State {
    attributes: QueueAttributes,
    /// The next one to be received first.
    messages: VecDeque<Message>,
    bytes: u64,
    notification: Option<Notification>,
    /// Threads that wait for a message.
    receivers: usize,
    metadata: Metadata,
    removed: bool,
}

/// A queue.
struct Queue {
    name: Vec<u8>,
    state: Mutex<State>,
    queue: WaitQueue,
    /// Bytes that count against the limit.
    charged: u64,
}

/// `/proc/sys/fs/mqueue/msg_max` and `msgsize_max`: the most without privilege, messages of a queue and bytes of each.
pub static MOST_MESSAGES: AtomicUsize = AtomicUsize::new(queue_limit::MESSAGES);
pub static MOST_BYTES: AtomicUsize = AtomicUsize::new(queue_limit::MESSAGE_SIZE);
/// `msg_default` and `msgsize_default`: those of a queue that says nothing else, unless that is more.
pub static USUAL_MESSAGES: AtomicUsize = AtomicUsize::new(queue_limit::MESSAGES);
pub static USUAL_BYTES: AtomicUsize = AtomicUsize::new(queue_limit::MESSAGE_SIZE);
/// `queues_max`: as many queues without privilege.
pub static MOST_QUEUES: AtomicUsize = AtomicUsize::new(queue_limit::QUEUES);

/// A limit that can be set.
fn limit_of(setting: &AtomicUsize) -> i64 {
    setting.load(Ordering::Relaxed) as i64
}

/// Bytes that all queues count.
static CHARGED: AtomicU64 = AtomicU64::new(0);

static QUEUES: Mutex<SortedMap<Vec<u8>, Arc<Queue>>> = Mutex::new(SortedMap::new());

impl Drop for Queue {
    fn drop(&mut self) {
        CHARGED.fetch_sub(self.charged, Ordering::Relaxed);
    }
}

/// A queue as a file that was found.
struct QueueInode(Arc<Queue>);

/// A queue that is open.
struct QueueFile(Arc<Queue>);

fn privileged() -> bool {
    task::has_capability(Capabilities::RESOURCES)
}

/// Refuses attributes that can't be, and gives what counts against the limit.
fn check_attributes(attributes: &QueueAttributes) -> Result<u64, Errno> {
    let (most_messages, most_bytes) = if privileged() {
        (queue_limit::MOST_MESSAGES as i64, queue_limit::MOST_MESSAGE_SIZE as i64)
    } else {
        (limit_of(&MOST_MESSAGES), limit_of(&MOST_BYTES))
    };
    if !(1..=most_messages).contains(&attributes.maximum_messages)
        || !(1..=most_bytes).contains(&attributes.message_size)
    {
        return Err(Errno::EINVAL);
    }
    let messages = attributes.maximum_messages as u64;
    let overhead = messages * MESSAGE_OVERHEAD + messages.min(queue_limit::PRIORITY.into()) * PRIORITY_OVERHEAD;
    Ok(overhead + messages * attributes.message_size as u64)
}

fn check_name(name: &[u8]) -> Result<(), Errno> {
    if name.is_empty() {
        Err(Errno::ENOENT)
    } else if name == b"." || name == b".." || name.contains(&b'/') {
        Err(Errno::EACCES)
    } else if name.len() > queue_limit::NAME {
        Err(Errno::ENAMETOOLONG)
    } else {
        Ok(())
    }
}

/// Whether the current process may open the queue so.
fn check_access(metadata: &Metadata, flags: OpenFlags) -> Result<(), Errno> {
    let mut wanted = Access::empty();
    wanted.set(Access::READ, flags.reads());
    wanted.set(Access::WRITE, flags.writes());
    Rights::current().check_metadata(metadata, wanted)
}

fn create(name: &[u8], permissions: u16, attributes: Option<QueueAttributes>) -> Result<Arc<Queue>, Errno> {
    let attributes = attributes.unwrap_or(QueueAttributes {
        maximum_messages: limit_of(&USUAL_MESSAGES).min(limit_of(&MOST_MESSAGES)),
        message_size: limit_of(&USUAL_BYTES).min(limit_of(&MOST_BYTES)),
        ..QueueAttributes::default()
    });
    let charged = check_attributes(&attributes)?;
    let process = task::current_process();
    let limit = process.limit(QUEUE_BYTES);
    CHARGED
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(charged).filter(|sum| *sum <= limit)
        })
        .map_err(|_| Errno::EMFILE)?;
    let mut metadata = Metadata::new(
        DEVICE,
        pipe::next_number(),
        FileKind::Regular,
        permissions & !context::current().mask() & 0o7777,
        Timestamp::now(),
    );
    metadata.size = SIZE;
    {
        (metadata.user, metadata.group) = permission::owner();
    }
    Ok(Arc::new(Queue {
        name: name.into(),
        state: Mutex::new(State {
            attributes: QueueAttributes {
                maximum_messages: attributes.maximum_messages,
                message_size: attributes.message_size,
                ..QueueAttributes::default()
            },
            messages: VecDeque::new(),
            bytes: 0,
            notification: None,
            receivers: 0,
            metadata,
            removed: false,
        }),
        queue: WaitQueue::new(),
        charged,
    }))
}

/// `mq_open(3)`: a descriptor. The name is without the slash in front.
///
/// # Errors
/// As `mq_open(3)`.
pub fn open(
    name: &[u8],
    flags: OpenFlags,
    permissions: u16,
    attributes: Option<QueueAttributes>,
) -> Result<i32, Errno> {
    check_name(name)?;
    let files = context::current();
    files.check_room()?;
    let queue = {
        let mut queues = QUEUES.lock();
        match queues.get(name) {
            Some(_) if flags.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE) => return Err(Errno::EEXIST),
            Some(queue) => {
                if flags.contains(OpenFlags::WRITE_ONLY | OpenFlags::READ_WRITE) {
                    return Err(Errno::EINVAL);
                }
                check_access(&queue.state.lock().metadata, flags)?;
                queue.clone()
            }
            None if !flags.contains(OpenFlags::CREATE) => return Err(Errno::ENOENT),
            None => {
                if memory::is_low() || queues.len() >= MOST_QUEUES.load(Ordering::Relaxed) && !privileged() {
                    return Err(Errno::ENOSPC);
                }
                let queue = create(name, permissions, attributes)?;
                queues.insert(name.into(), queue.clone());
                queue
            }
        }
    };
    let inode = Arc::new(QueueInode(queue.clone()));
    let kept = flags & (OpenFlags::WRITE_ONLY | OpenFlags::READ_WRITE | OpenFlags::NONBLOCKING);
    let file = OpenFile::new(inode, Arc::new(QueueFile(queue)), kept);
    files.add(file, true, 0)
}

/// `mq_unlink(3)`
///
/// # Errors
/// As `mq_unlink(3)`.
pub fn unlink(name: &[u8]) -> Result<(), Errno> {
    check_name(name)?;
    let mut queues = QUEUES.lock();
    let queue = queues.get(name).ok_or(Errno::ENOENT)?;
    let mut state = queue.state.lock();
    if !Rights::current().owns(state.metadata.user) {
        return Err(Errno::EPERM); // the directory is sticky
    }
    state.removed = true;
    drop(state);
    let gone = queues.remove(name);
    drop(queues);
    drop(gone);
    Ok(())
}

/// The queue of a descriptor, and how that was opened.
fn queue_of(descriptor: i32) -> Result<(Arc<Queue>, OpenFlags, Arc<OpenFile>), Errno> {
    let open = context::current().file(descriptor)?;
    open.file()?;
    let inode = open.inode.as_any().downcast_ref::<QueueInode>().ok_or(Errno::EBADF)?;
    Ok((inode.0.clone(), open.flags(), open))
}

/// A condition that is false: wait, unless that is not wanted.
fn not_now<T>(flags: OpenFlags) -> Option<Result<T, Errno>> {
    flags.contains(OpenFlags::NONBLOCKING).then_some(Err(Errno::EAGAIN))
}

fn wait<T>(
    queue: &Queue,
    deadline: Option<Instant>,
    condition: impl FnMut() -> Option<Result<T, Errno>>,
) -> Result<T, Errno> {
    match queue.queue.wait_until(deadline, condition) {
        Ok(result) => result,
        Err(WaitError::TimedOut) => Err(Errno::ETIMEDOUT),
        Err(WaitError::Interrupted) => Err(Errno::EINTR),
    }
}

/// `mq_timedsend(3)`; `read` gives the message once its length is known to be right.
///
/// # Errors
/// As `mq_timedsend(3)`.
pub fn send(
    descriptor: i32,
    length: usize,
    priority: u32,
    deadline: Option<Instant>,
    read: impl FnOnce(&mut [u8]) -> Result<(), Errno>,
) -> Result<(), Errno> {
    if priority >= queue_limit::PRIORITY {
        return Err(Errno::EINVAL);
    }
    let (queue, flags, _open) = queue_of(descriptor)?;
    if !flags.writes() {
        return Err(Errno::EBADF);
    }
    if length as u64 > queue.state.lock().attributes.message_size as u64 {
        return Err(Errno::EMSGSIZE);
    }
    if memory::is_low() {
        return Err(Errno::ENOMEM);
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(length, 0);
    read(&mut bytes)?;
    let mut message = Some(Message { priority, bytes });
    let notification = wait(&queue, deadline, || {
        let mut state = queue.state.lock();
        if state.messages.len() as i64 >= state.attributes.maximum_messages {
            return not_now(flags);
        }
        if state.messages.try_reserve(1).is_err() {
            return Some(Err(Errno::ENOMEM));
        }
        let place = state.messages.partition_point(|other| other.priority >= priority);
        if let Some(message) = message.take() {
            state.messages.insert(place, message);
        }
        state.bytes += length as u64;
        state.metadata.times = touched(&state.metadata);
        let first = state.messages.len() == 1 && state.receivers == 0;
        Some(Ok(if first { state.notification.take() } else { None }))
    })?;
    queue.queue.wake_all();
    if let Some(notification) = notification {
        notify_process(&notification);
    }
    Ok(())
}

/// Times of a queue after a message went in or out.
fn touched(metadata: &Metadata) -> Times {
    let now = Timestamp::now();
    Times {
        accessed: now,
        modified: now,
        changed: now,
        ..metadata.times
    }
}

/// Tells a process that a message has come.
fn notify_process(notification: &Notification) {
    let event = &notification.event;
    if event.notify != SIGEV_SIGNAL {
        return;
    }
    let (Some(process), Some(signal)) = (notification.process.upgrade(), Signal::from_number(event.signal as u64))
    else {
        return;
    };
    let sender = task::current_process();
    let user = task::credentials().users[0];
    let mut information = SignalInformation::sent(signal, SI_MESSAGE_QUEUE, sender.id, user);
    information.fields[8..16].copy_from_slice(&event.value.to_le_bytes());
    // If too many signals are queued, this one is lost, as on Linux.
    let _ = signal::send(&process, signal, information);
}

/// `mq_timedreceive(3)`: a message and its priority. `room` is the size of the caller's buffer.
///
/// # Errors
/// As `mq_timedreceive(3)`.
pub fn receive(descriptor: i32, room: usize, deadline: Option<Instant>) -> Result<(Vec<u8>, u32), Errno> {
    let (queue, flags, _open) = queue_of(descriptor)?;
    if !flags.reads() {
        return Err(Errno::EBADF);
    }
    if (room as u64) < queue.state.lock().attributes.message_size as u64 {
        return Err(Errno::EMSGSIZE);
    }
    let mut waiting = false;
    let result = wait(&queue, deadline, || {
        let mut state = queue.state.lock();
        let Some(message) = state.messages.pop_front() else {
            if !waiting && !flags.contains(OpenFlags::NONBLOCKING) {
                waiting = true;
                state.receivers += 1;
            }
            return not_now(flags);
        };
        state.bytes -= message.bytes.len() as u64;
        state.metadata.times = touched(&state.metadata);
        Some(Ok(message))
    });
    if waiting {
        queue.state.lock().receivers -= 1;
    }
    let message = result?;
    queue.queue.wake_all();
    Ok((message.bytes, message.priority))
}

/// `mq_notify(3)`
///
/// # Errors
/// As `mq_notify(3)`.
pub fn notify(descriptor: i32, event: Option<SignalEvent>) -> Result<(), Errno> {
    if let Some(event) = &event {
        match event.notify {
            SIGEV_NONE => {}
            SIGEV_SIGNAL if (0..=i32::from(Signal::MAXIMUM)).contains(&event.signal) => {}
            SIGEV_THREAD => {
                // The C library passes a netlink socket there, and there are none.
                context::current().file(event.signal)?;
                return Err(Errno::ENOTSOCK);
            }
            _ => return Err(Errno::EINVAL),
        }
    }
    let (queue, ..) = queue_of(descriptor)?;
    let process = task::current_process();
    let mut state = queue.state.lock();
    let owner = state
        .notification
        .as_ref()
        .filter(|known| known.process.strong_count() != 0)
        .map(|known| known.owner);
    match (event, owner) {
        (None, Some(owner)) if owner == process.id => state.notification = None,
        (None, _) => {}
        (Some(_), Some(_)) => return Err(Errno::EBUSY),
        (Some(event), None) => {
            state.notification = Some(Notification {
                process: Arc::downgrade(&process),
                owner: process.id,
                event,
            });
        }
    }
    Ok(())
}

/// `mq_setattr(3)` and `mq_getattr(3)`: the attributes before the change.
///
/// # Errors
/// `EBADF`, `EINVAL`.
pub fn attributes(descriptor: i32, new: Option<QueueAttributes>) -> Result<QueueAttributes, Errno> {
    const NONBLOCKING: i64 = OpenFlags::NONBLOCKING.bits() as i64;
    if new.is_some_and(|new| new.flags & !NONBLOCKING != 0) {
        return Err(Errno::EINVAL);
    }
    let (queue, flags, open) = queue_of(descriptor)?;
    let old = {
        let state = queue.state.lock();
        QueueAttributes {
            flags: i64::from((flags & OpenFlags::NONBLOCKING).bits()),
            messages: state.messages.len() as i64,
            ..state.attributes
        }
    };
    if let Some(new) = new {
        let wanted = OpenFlags::from_bits_truncate(new.flags as u32);
        open.set_flags((flags - OpenFlags::NONBLOCKING) | wanted);
    }
    Ok(old)
}

impl Drop for QueueFile {
    fn drop(&mut self) {
        // Who closes the queue is no longer told of its messages.
        let Some(thread) = task::try_current() else { return };
        let mut state = self.0.state.lock();
        if state
            .notification
            .as_ref()
            .is_some_and(|known| known.owner == thread.process.id)
        {
            state.notification = None;
        }
    }
}

impl File for QueueFile {
    fn seekable(&self) -> bool {
        true
    }

    /// What the queue holds, as text.
    fn read(&self, position: u64, to: &mut Destination<'_>, _flags: OpenFlags) -> Result<usize, Errno> {
        let mut text = Text::default();
        let (bytes, notification) = {
            let state = self.0.state.lock();
            let known = state.notification.as_ref();
            let told = known.map(|known| (known.event.notify, known.event.signal, known.owner));
            (state.bytes, told)
        };
        let (kind, signal, owner) = notification.unwrap_or((0, 0, 0));
        let signal = if kind == SIGEV_SIGNAL { signal } else { 0 };
        writeln!(
            text,
            "QSIZE:{bytes:<10} NOTIFY:{kind:<5} SIGNO:{signal:<5} NOTIFY_PID:{owner:<6}"
        )?;
        let bytes = text.as_bytes();
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
        to.put(&bytes[start..])
    }

    fn size(&self) -> u64 {
        SIZE
    }

    fn readiness(&self) -> PollEvents {
        let state = self.0.state.lock();
        let mut events = PollEvents::empty();
        if !state.messages.is_empty() {
            events |= PollEvents::IN | PollEvents::READ_NORMAL;
        }
        if (state.messages.len() as i64) < state.attributes.maximum_messages {
            events |= PollEvents::OUT | PollEvents::WRITE_NORMAL;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.queue)
    }
}

impl Inode for QueueInode {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn statistics(&self) -> Statfs {
        Statfs {
            kind: 0x1980_0202,
            block_size: 4096,
            fragment_size: 4096,
            name_length: 255,
            ..Statfs::default()
        }
    }

    fn metadata(&self) -> Metadata {
        let state = self.0.state.lock();
        Metadata {
            links: u32::from(!state.removed),
            ..state.metadata
        }
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn path(&self) -> PathName {
        let mut bytes = Vec::from(b"/");
        bytes.extend_from_slice(&self.0.name);
        PathName {
            bytes,
            removed: self.0.state.lock().removed,
        }
    }

    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(QueueFile(self.0.clone())))
    }

    fn change(&self, change: AttributeChange) -> Result<(), Errno> {
        let metadata = &mut self.0.state.lock().metadata;
        metadata.permissions = change.permissions.unwrap_or(metadata.permissions);
        metadata.user = change.user.unwrap_or(metadata.user);
        metadata.group = change.group.unwrap_or(metadata.group);
        Ok(())
    }
}
