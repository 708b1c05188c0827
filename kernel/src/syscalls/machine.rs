//! The machine as a whole: ending it (`reboot(2)`), the kernel's log (`syslog(2)`), `vhangup(2)`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_abi::image::LogLevel;
use pith_linux::Errno;

use crate::fs::kernel_log::{CLEARED, may_read, microseconds, wait_for};
use crate::fs::{permission, terminal};
use crate::log::{self, Record};
use crate::memory::{UserPointer, copy_to_user, read_string};
use crate::task::{self, Capabilities, ExitReason};

/// `reboot(2)`
pub fn reboot(first_magic: i32, second_magic: i32, command: i32, argument: UserPointer) -> Result<usize, Errno> {
    const FIRST_MAGIC: u32 = 0xfee1_dead;
    const SECOND_MAGICS: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];
    const RESTART: u32 = 0x0123_4567;
    const RESTART_WITH_COMMAND: u32 = 0xa1b2_c3d4;
    const HALT: u32 = 0xcdef_0123;
    const POWER_OFF: u32 = 0x4321_fedc;
    const KEYS_ON: u32 = 0x89ab_cdef;
    const KEYS_OFF: u32 = 0;
    permission::require(Capabilities::BOOT)?;
    if first_magic as u32 != FIRST_MAGIC || !SECOND_MAGICS.contains(&(second_magic as u32)) {
        return Err(Errno::EINVAL);
    }
    match command as u32 {
        // What Ctrl-Alt-Delete does: there is no keyboard.
        KEYS_ON | KEYS_OFF => return Ok(0),
        HALT | POWER_OFF => {}
        RESTART => say_it_ends(),
        RESTART_WITH_COMMAND => {
            read_string(argument, 256, Errno::EINVAL)?;
            say_it_ends();
        }
        _ => return Err(Errno::EINVAL),
    }
    task::end_machine(ExitReason::Exited(0))
}

fn say_it_ends() {
    crate::warning!("reboot: the machine ends; whoever started it starts it again");
}

/// The message that `SYSLOG_ACTION_READ` gives next.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A message as `syslog(2)` gives it.
fn line_of(record: &Record) -> String {
    let microseconds = microseconds(record);
    format!(
        "<{}>[{:5}.{:06}] {}\n",
        record.priority,
        microseconds / 1_000_000,
        microseconds % 1_000_000,
        record.text
    )
}

/// The messages from one number on, whole lines of at most so many bytes together, and the number behind the last.
fn lines_from(mut number: u64, room: usize) -> (Vec<u8>, u64) {
    let mut text = Vec::new();
    while let Some(record) = log::record(number) {
        let line = line_of(&record);
        if text.len() + line.len() > room || text.try_reserve(line.len()).is_err() {
            break;
        }
        text.extend_from_slice(line.as_bytes());
        number += 1;
    }
    (text, number)
}

fn first_unread() -> u64 {
    NEXT.load(Ordering::Relaxed).max(log::kept().start)
}

/// `syslog(2)`
pub fn syslog(action: i32, buffer: UserPointer, length: i32) -> Result<usize, Errno> {
    const CLOSE: i32 = 0;
    const OPEN: i32 = 1;
    const READ: i32 = 2;
    const READ_ALL: i32 = 3;
    const READ_AND_CLEAR: i32 = 4;
    const CLEAR: i32 = 5;
    const CONSOLE_OFF: i32 = 6;
    const CONSOLE_ON: i32 = 7;
    const CONSOLE_LEVEL: i32 = 8;
    const BYTES_UNREAD: i32 = 9;
    const BUFFER_SIZE: i32 = 10;
    may_read()?;
    match action {
        CLOSE | OPEN => Ok(0),
        READ | READ_ALL | READ_AND_CLEAR => {
            let room = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
            if buffer.is_null() {
                return Err(Errno::EINVAL);
            }
            match room {
                0 => Ok(0),
                room if action == READ => read_unread(buffer, room),
                room => read_last(buffer, room, action == READ_AND_CLEAR),
            }
        }
        CLEAR => {
            clear();
            Ok(0)
        }
        CONSOLE_OFF | CONSOLE_ON | CONSOLE_LEVEL => {
            let level = match (action, length) {
                (CONSOLE_OFF, _) => LogLevel::Error,
                (CONSOLE_ON, _) => LogLevel::Warn,
                (_, 1..=4) => LogLevel::Error,
                (_, 5 | 6) => LogLevel::Warn,
                (_, 7) => LogLevel::Info,
                (_, 8) => LogLevel::Debug,
                _ => return Err(Errno::EINVAL),
            };
            log::set_level(level);
            Ok(0)
        }
        BYTES_UNREAD => Ok(lines_from(first_unread(), usize::MAX).0.len()),
        BUFFER_SIZE => Ok(log::KEPT_BYTES),
        _ => Err(Errno::EINVAL),
    }
}

/// Gives messages once, and waits for one if there is none.
fn read_unread(buffer: UserPointer, room: usize) -> Result<usize, Errno> {
    wait_for(first_unread())?;
    let (text, next) = lines_from(first_unread(), room);
    copy_to_user(buffer, &text)?;
    NEXT.store(next, Ordering::Relaxed);
    Ok(text.len())
}

/// Gives the last messages for which there is room.
fn read_last(buffer: UserPointer, room: usize, clears: bool) -> Result<usize, Errno> {
    let kept = log::kept();
    let first = CLEARED.load(Ordering::Relaxed).max(kept.start);
    let mut start = kept.end;
    let mut bytes = 0;
    while start > first {
        let Some(record) = log::record(start - 1) else { break };
        bytes += line_of(&record).len();
        if bytes > room {
            break;
        }
        start -= 1;
    }
    let (text, _) = lines_from(start, room);
    copy_to_user(buffer, &text)?;
    if clears {
        clear();
    }
    Ok(text.len())
}

fn clear() {
    CLEARED.store(log::kept().end, Ordering::Relaxed);
}

/// `vhangup(2)`
pub fn vhangup() -> Result<usize, Errno> {
    permission::require(Capabilities::TERMINALS)?;
    if let Some(terminal) = terminal::controlling(&task::current_process()) {
        terminal.hang_up();
    }
    Ok(0)
}
