//! The kernel's log as a file: `/dev/kmsg`. Each reading gives one message, each writing adds one.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents};

use super::file::{File, WriteAt};
use super::permission;
use crate::log::{self, Record};
use crate::memory::{Destination, Source};
use crate::task::{self, Capabilities, WaitQueue};

/// Most bytes that one writing may have.
const LONGEST: usize = 1024;
/// The facility of messages of programs (`LOG_USER`), above the three bits of the severity.
const USER: u16 = 1 << 3;
/// The severity of a message that names none: a warning.
const SEVERITY: u16 = 4;

/// Who waits for messages.
static READERS: WaitQueue = WaitQueue::new();

fn wake_readers() {
    READERS.wake(PollEvents::IN | PollEvents::READ_NORMAL);
}

/// The number of the last message that was there when the log was cleared (`syslog(2)`), and one more.
pub static CLEARED: AtomicU64 = AtomicU64::new(0);

/// Refuses those who may not read the log (`CAP_SYSLOG`), as where `kernel.dmesg_restrict` is 1.
///
/// # Errors
/// `EPERM`
pub fn may_read() -> Result<(), Errno> {
    permission::require(Capabilities::KERNEL_LOG | Capabilities::ADMINISTRATION)
}

/// The log, open.
struct KernelLog {
    /// The message to be read next.
    next: AtomicU64,
}

/// Opens the log.
///
/// # Errors
/// `EPERM` for those who want to read it and may not.
pub fn open(flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
    if flags.asks_for_reading() {
        may_read()?;
    }
    let next = log::kept().start;
    Ok(Arc::new(KernelLog {
        next: AtomicU64::new(next),
    }))
}

/// Waits until there is a message with this number or a later one.
///
/// # Errors
/// `EINTR`
pub fn wait_for(number: u64) -> Result<(), Errno> {
    listen();
    Ok(READERS.wait(|| (log::kept().end > number).then_some(()))?)
}

/// Has those woken who wait for messages.
fn listen() {
    static LISTENS: AtomicBool = AtomicBool::new(false);
    if !LISTENS.swap(true, Ordering::Relaxed) {
        log::set_listener(wake_readers);
    }
}

/// When a message was written, in microseconds of the monotonic clock.
pub fn microseconds(record: &Record) -> u64 {
    task::time_at(record.ticks).0 / 1000
}

impl KernelLog {
    /// The next message as it is read: `priority,number,microseconds,flags;text`.
    fn next_line(&self) -> Option<Result<(String, u64), Errno>> {
        let number = self.next.load(Ordering::Relaxed);
        let kept = log::kept();
        if number < kept.start {
            // They were overwritten, which is told once.
            self.next.store(kept.start, Ordering::Relaxed);
            return Some(Err(Errno::EPIPE));
        }
        let record = log::record(number)?;
        let line = format!(
            "{},{},{},-;{}\n",
            record.priority,
            record.number,
            microseconds(&record),
            record.text
        );
        Some(Ok((line, record.number)))
    }
}

impl File for KernelLog {
    fn seek_record(&self, offset: i64, whence: i32) -> Option<Result<u64, Errno>> {
        const START: i32 = 0;
        const END: i32 = 2;
        const DATA: i32 = 3;
        if offset != 0 {
            return Some(Err(Errno::ESPIPE));
        }
        let next = match whence {
            START => log::kept().start,
            END => log::kept().end,
            DATA => CLEARED.load(Ordering::Relaxed).max(log::kept().start),
            _ => return Some(Err(Errno::EINVAL)),
        };
        self.next.store(next, Ordering::Relaxed);
        Some(Ok(0))
    }

    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        let (line, number) = loop {
            match self.next_line() {
                Some(line) => break line?,
                None if flags.contains(OpenFlags::NONBLOCKING) => return Err(Errno::EAGAIN),
                None => wait_for(self.next.load(Ordering::Relaxed))?,
            }
        };
        // As on Linux, a message for which there is no room is passed over.
        self.next.store(number + 1, Ordering::Relaxed);
        if to.remaining() < line.len() {
            return Err(Errno::EINVAL);
        }
        match to.put(line.as_bytes())? {
            copied if copied == line.len() => Ok(copied),
            _ => Err(Errno::EFAULT),
        }
    }

    /// A message of a program, which is kept with the kernel's. It is not shown outside of the machine.
    fn write(&self, at: WriteAt, from: &mut Source<'_>, _flags: OpenFlags) -> Result<(usize, u64), Errno> {
        let position = match at {
            WriteAt::Position(position) => position,
            WriteAt::End => 0,
        };
        let length = from.remaining();
        if length > LONGEST {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; LONGEST];
        if from.take(&mut bytes[..length])? != length {
            return Err(Errno::EFAULT);
        }
        let (priority, text) = split_priority(&bytes[..length]);
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        log::keep(priority, String::from_utf8_lossy(text).into_owned());
        Ok((length, position))
    }

    fn readiness(&self) -> PollEvents {
        listen();
        let mut events = PollEvents::OUT | PollEvents::WRITE_NORMAL;
        let (number, kept) = (self.next.load(Ordering::Relaxed), log::kept());
        events.set(PollEvents::IN | PollEvents::READ_NORMAL, number < kept.end);
        events.set(PollEvents::ERROR | PollEvents::PRIORITY, number < kept.start);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&READERS)
    }
}

/// What stands in angle brackets before a message: its severity, and above that its facility, which is not the kernel's.
fn split_priority(bytes: &[u8]) -> (u16, &[u8]) {
    let plain = (USER | SEVERITY, bytes);
    let Some(inner) = bytes.strip_prefix(b"<") else {
        return plain;
    };
    let Some(end) = inner.iter().position(|byte| !byte.is_ascii_digit()) else {
        return plain;
    };
    let number = core::str::from_utf8(&inner[..end])
        .ok()
        .and_then(|digits| digits.parse::<u16>().ok());
    match (number, inner[end]) {
        (Some(number), b'>') => {
            let facility = if number < USER { USER } else { number & !7 };
            (facility | number & 7, &inner[end + 1..])
        }
        _ => plain,
    }
}
