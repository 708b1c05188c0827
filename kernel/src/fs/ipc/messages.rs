//! System V message queues: `msgget(2)`, `msgsnd(2)`, `msgrcv(2)`, `msgctl(2)`.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_linux::Errno;
use pith_linux::ipc::{
    INFORMATION, MSG_COPY, MSG_EXCEPT, MSG_INFO, MSG_NO_ERROR, MSG_STAT, MSG_STAT_ANY, MessageLimits,
    MessageQueueStatus, NO_WAIT, Permission, REMOVE, SET, STATUS, limit,
};
use spin::Mutex;

use super::identifiers::{self, Object, READ, Table, WRITE};
use super::{process_id, seconds};
use crate::fs::proc::Text;
use crate::memory::{self, UserPointer, copy_from_user, copy_to_user, read_object, write_object};
use crate::task::signal::{self, Restart};
use crate::task::{self, Capabilities, WaitQueue};

struct Message {
    kind: i64,
    bytes: Vec<u8>,
}

struct State {
    status: MessageQueueStatus,
    messages: VecDeque<Message>,
    removed: bool,
}

struct MessageQueue {
    state: Mutex<State>,
    queue: WaitQueue,
}

impl Object for Arc<MessageQueue> {
    fn permission(&self) -> Permission {
        self.state.lock().status.permission
    }
}

static QUEUES: Mutex<Table<Arc<MessageQueue>>> = Mutex::new(Table::new());

/// Which message is wanted.
#[derive(Clone, Copy)]
enum Wanted {
    First,
    Kind(i64),
    OtherThan(i64),
    /// The lowest type, up to this.
    Lowest(i64),
    /// The message at this position stays where it is.
    CopyOf(usize),
}

impl Wanted {
    fn of(kind: i64, flags: i32) -> Result<Self, Errno> {
        if flags & MSG_COPY != 0 {
            if flags & MSG_EXCEPT != 0 || flags & NO_WAIT == 0 {
                return Err(Errno::EINVAL);
            }
            return Ok(Self::CopyOf(usize::try_from(kind).unwrap_or(usize::MAX)));
        }
        Ok(match kind {
            0 => Self::First,
            ..0 => Self::Lowest(kind.checked_neg().unwrap_or(i64::MAX)),
            _ if flags & MSG_EXCEPT != 0 => Self::OtherThan(kind),
            _ => Self::Kind(kind),
        })
    }

    fn find(self, messages: &VecDeque<Message>) -> Option<usize> {
        match self {
            Self::First => (!messages.is_empty()).then_some(0),
            Self::Kind(kind) => messages.iter().position(|message| message.kind == kind),
            Self::OtherThan(kind) => messages.iter().position(|message| message.kind != kind),
            Self::Lowest(most) => {
                let lowest = messages
                    .iter()
                    .map(|message| message.kind)
                    .filter(|kind| *kind <= most)
                    .min()?;
                messages.iter().position(|message| message.kind == lowest)
            }
            Self::CopyOf(position) => (position < messages.len()).then_some(position),
        }
    }
}

/// `msgget(2)`
///
/// # Errors
/// As `msgget(2)`.
pub fn get(key: i32, flags: i32) -> Result<i32, Errno> {
    let suits = |_: &Arc<MessageQueue>| Ok(());
    QUEUES.lock().get(key, flags, limit::MSG_QUEUES, suits, |permission| {
        Ok(Arc::new(MessageQueue {
            state: Mutex::new(State {
                status: MessageQueueStatus {
                    permission,
                    changed: seconds(),
                    maximum_bytes: limit::MSG_QUEUE_BYTES,
                    ..MessageQueueStatus::default()
                },
                messages: VecDeque::new(),
                removed: false,
            }),
            queue: WaitQueue::new(),
        }))
    })
}

/// Waits, and says what becomes of the call if a signal comes: it is never started again after a handler.
fn wait<T>(queue: &WaitQueue, condition: impl FnMut() -> Option<Result<T, Errno>>) -> Result<T, Errno> {
    queue.wait(condition).unwrap_or_else(|_| {
        signal::set_restart(Restart::IfNoHandlerRuns);
        Err(Errno::EINTR)
    })
}

/// `msgsnd(2)`
///
/// # Errors
/// As `msgsnd(2)`.
pub fn send(id: i32, message: UserPointer, size: usize, flags: i32) -> Result<(), Errno> {
    let kind: i64 = read_object(message)?;
    if size as u64 > limit::MSG_SIZE || id < 0 || kind < 1 {
        return Err(Errno::EINVAL);
    }
    if memory::is_low() {
        return Err(Errno::ENOMEM);
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(size, 0);
    copy_from_user(&mut bytes, message.offset(8))?;
    let queue = QUEUES.lock().find(id)?.clone();
    let mut message = Some(Message { kind, bytes });
    let attempt = || {
        let mut state = queue.state.lock();
        if state.removed {
            return Some(Err(Errno::EIDRM));
        }
        if let Err(errno) = identifiers::check(&state.status.permission, WRITE) {
            return Some(Err(errno));
        }
        let fits = state.status.bytes + size as u64 <= state.status.maximum_bytes
            && state.status.messages < state.status.maximum_bytes;
        if !fits {
            return (flags & NO_WAIT != 0).then_some(Err(Errno::EAGAIN));
        }
        if state.messages.try_reserve(1).is_err() {
            return Some(Err(Errno::ENOMEM));
        }
        state.messages.extend(message.take());
        state.status.bytes += size as u64;
        state.status.messages += 1;
        state.status.sent = seconds();
        state.status.last_sender = process_id();
        Some(Ok(()))
    };
    wait(&queue.queue, attempt)?;
    queue.queue.wake_all();
    Ok(())
}

/// `msgrcv(2)`: the length of the message.
///
/// # Errors
/// As `msgrcv(2)`.
pub fn receive(id: i32, buffer: UserPointer, size: usize, kind: i64, flags: i32) -> Result<usize, Errno> {
    if id < 0 || isize::try_from(size).is_err() {
        return Err(Errno::EINVAL);
    }
    let wanted = Wanted::of(kind, flags)?;
    let queue = QUEUES.lock().find(id)?.clone();
    let attempt = || {
        let mut state = queue.state.lock();
        if state.removed {
            return Some(Err(Errno::EIDRM));
        }
        if let Err(errno) = identifiers::check(&state.status.permission, READ) {
            return Some(Err(errno));
        }
        let Some(index) = wanted.find(&state.messages) else {
            return (flags & NO_WAIT != 0).then_some(Err(Errno::ENOMSG));
        };
        let length = state.messages[index].bytes.len();
        if length > size && flags & MSG_NO_ERROR == 0 {
            return Some(Err(Errno::E2BIG));
        }
        if matches!(wanted, Wanted::CopyOf(_)) {
            let message = &state.messages[index];
            return Some(Ok(Message {
                kind: message.kind,
                bytes: message.bytes.clone(),
            }));
        }
        let message = state.messages.remove(index)?;
        state.status.bytes -= length as u64;
        state.status.messages -= 1;
        state.status.received = seconds();
        state.status.last_receiver = process_id();
        Some(Ok(message))
    };
    let message = wait(&queue.queue, attempt)?;
    queue.queue.wake_all();
    write_object(buffer, &message.kind)?;
    let length = message.bytes.len().min(size);
    copy_to_user(buffer.offset(8), &message.bytes[..length])?;
    Ok(length)
}

fn remove(id: i32) -> Result<(), Errno> {
    let queue = {
        let mut table = QUEUES.lock();
        identifiers::check_owner(&table.find(id)?.permission())?;
        table.remove(id)?
    };
    let messages = {
        let mut state = queue.state.lock();
        state.removed = true;
        core::mem::take(&mut state.messages)
    };
    drop(messages);
    queue.queue.wake_all();
    Ok(())
}

fn limits(command: i32) -> (MessageLimits, usize) {
    let table = QUEUES.lock();
    let mut limits = MessageLimits {
        queues_in_use: (limit::MSG_QUEUES * limit::MSG_QUEUE_BYTES / 1024) as i32,
        messages_in_use: limit::MSG_QUEUE_BYTES as i32,
        message_bytes: limit::MSG_SIZE as i32,
        queue_bytes: limit::MSG_QUEUE_BYTES as i32,
        queues: limit::MSG_QUEUES as i32,
        segment_bytes: 16,
        bytes_in_use: limit::MSG_QUEUE_BYTES as i32,
        segments: u16::MAX,
        padding: 0,
    };
    if command == MSG_INFO {
        let (mut messages, mut bytes) = (0, 0);
        for (_, queue) in table.iter() {
            let status = queue.state.lock().status;
            messages += status.messages;
            bytes += status.bytes;
        }
        limits.queues_in_use = table.len() as i32;
        limits.messages_in_use = messages as i32;
        limits.bytes_in_use = bytes as i32;
    }
    (limits, table.highest())
}

fn set(id: i32, new: &MessageQueueStatus) -> Result<(), Errno> {
    let queue = QUEUES.lock().find(id)?.clone();
    let mut state = queue.state.lock();
    identifiers::check_owner(&state.status.permission)?;
    if new.maximum_bytes > limit::MSG_QUEUE_BYTES && !task::has_capability(Capabilities::RESOURCES) {
        return Err(Errno::EPERM);
    }
    identifiers::set(&mut state.status.permission, &new.permission)?;
    state.status.maximum_bytes = new.maximum_bytes;
    state.status.changed = seconds();
    drop(state);
    // There may be room now, or somebody who waits may no longer be allowed to.
    queue.queue.wake_all();
    Ok(())
}

/// `msgctl(2)`
///
/// # Errors
/// As `msgctl(2)`.
pub fn control(id: i32, command: i32, buffer: UserPointer) -> Result<usize, Errno> {
    if id < 0 || command < 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        INFORMATION | MSG_INFO => {
            let (limits, highest) = limits(command);
            write_object(buffer, &limits)?;
            Ok(highest)
        }
        STATUS | MSG_STAT | MSG_STAT_ANY => {
            let (id, status) = {
                let table = QUEUES.lock();
                let (found, queue) = table.choose(id, command != STATUS)?;
                let status = queue.state.lock().status;
                if command != MSG_STAT_ANY {
                    identifiers::check(&status.permission, READ)?;
                }
                (if command == STATUS { 0 } else { found }, status)
            };
            write_object(buffer, &status)?;
            Ok(id as usize)
        }
        SET => {
            let new = read_object(buffer)?;
            set(id, &new).map(|()| 0)
        }
        REMOVE => remove(id).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

/// The text of `/proc/sysvipc/msg`.
///
/// # Errors
/// `ENOMEM`.
pub fn list(text: &mut Text) -> Result<(), Errno> {
    writeln!(
        text,
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      \
         ctime"
    )?;
    for (id, queue) in QUEUES.lock().iter() {
        let status = queue.state.lock().status;
        let permission = status.permission;
        writeln!(
            text,
            "{:>10} {:>10}  {:>4o}  {:>10} {:>10} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10}",
            permission.key,
            id,
            permission.mode,
            status.bytes,
            status.messages,
            status.last_sender,
            status.last_receiver,
            permission.user,
            permission.group,
            permission.creator_user,
            permission.creator_group,
            status.sent,
            status.received,
            status.changed,
        )?;
    }
    Ok(())
}
