//! Options of `SOL_SOCKET` (`socket(7)`), which all families share.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use pith_linux::Errno;
use pith_linux::sockets::{Linger, option};
use pith_linux::time::{NANOSECONDS, Timeval};
use spin::Mutex;
use zerocopy::{FromBytes, IntoBytes};

use crate::task::{self, Instant, WaitError, WaitQueue, signal};

/// Sizes of buffers: what a new socket has (`net.core.wmem_default`), and the most that a program may ask for
/// (`net.core.wmem_max`).
const STANDARD_BUFFER: usize = 212_992;
const MAXIMUM_BUFFER: i32 = 4 << 20;
/// Least sizes of buffers (`SOCK_MIN_SNDBUF`, `SOCK_MIN_RCVBUF`).
const LEAST_SEND_BUFFER: usize = 4608;
const LEAST_RECEIVE_BUFFER: usize = 2304;
/// Bytes of an integer option.
const INTEGER: usize = size_of::<i32>();

/// The value of an option.
pub enum OptionValue {
    /// A number.
    Integer(i32),
    /// A structure.
    Bytes(Vec<u8>),
}

/// Options that are on or off and only remembered, since they mean nothing to some families: number, and whether it is
/// on at first.
const SWITCHES: [i32; 11] = [
    option::DEBUG,
    option::REUSE_ADDRESS,
    option::DO_NOT_ROUTE,
    option::BROADCAST,
    option::KEEP_ALIVE,
    option::OUT_OF_BAND_INLINE,
    option::NO_CHECK,
    option::PASS_CREDENTIALS,
    // Not to be set with every family.
    option::REUSE_PORT,
    option::TIMESTAMP,
    option::BUSY_POLL,
];

/// What every socket has.
pub struct Common {
    /// `SO_SNDBUF`
    pub send_buffer: AtomicUsize,
    /// `SO_RCVBUF`
    pub receive_buffer: AtomicUsize,
    /// `SO_RCVLOWAT`
    pub receive_low_water: AtomicI32,
    switches: AtomicU32,
    /// An error that the next call tells; 0 for none.
    error: AtomicU16,
    priority: AtomicI32,
    linger: Mutex<Linger>,
    /// In nanoseconds; [`u64::MAX`] is for ever.
    receive_timeout: AtomicU64,
    send_timeout: AtomicU64,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            send_buffer: AtomicUsize::new(STANDARD_BUFFER),
            receive_buffer: AtomicUsize::new(STANDARD_BUFFER),
            receive_low_water: AtomicI32::new(1),
            switches: AtomicU32::new(0),
            error: AtomicU16::new(0),
            priority: AtomicI32::new(0),
            linger: Mutex::new(Linger::default()),
            receive_timeout: AtomicU64::new(u64::MAX),
            send_timeout: AtomicU64::new(u64::MAX),
        }
    }
}

/// Until when to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    None,
    /// Until then.
    Until(Instant),
    /// For ever.
    Endless,
}

impl Patience {
    /// Waits for a condition, as long as this says.
    ///
    /// # Errors
    /// `EAGAIN` when the time is over, `EINTR`.
    pub fn wait<T>(self, queue: &WaitQueue, mut condition: impl FnMut() -> Option<T>) -> Result<T, Errno> {
        let deadline = match self {
            Self::None => return condition().ok_or(Errno::EAGAIN),
            Self::Until(deadline) => Some(deadline),
            Self::Endless => None,
        };
        queue.wait_until(deadline, condition).map_err(|error| match error {
            WaitError::TimedOut => Errno::EAGAIN,
            WaitError::Interrupted => {
                if deadline.is_some() {
                    // As on Linux, a call with a time limit is not started again.
                    signal::set_restart(signal::Restart::Never);
                }
                Errno::EINTR
            }
        })
    }

    fn of(timeout: u64) -> Self {
        match timeout {
            u64::MAX => Self::Endless,
            0 => Self::None,
            nanoseconds => Self::Until(task::monotonic().after(nanoseconds)),
        }
    }
}

/// `struct timeval` as a timeout. Zero means for ever; what is negative, not at all.
fn timeout_of(value: &[u8]) -> Result<u64, Errno> {
    let (time, _) = Timeval::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
    if !(0..1_000_000).contains(&time.microseconds) {
        return Err(Errno::EDOM);
    }
    let Ok(seconds) = u64::try_from(time.seconds) else {
        return Ok(0);
    };
    let nanoseconds = seconds
        .saturating_mul(NANOSECONDS)
        .saturating_add(time.microseconds as u64 * 1000);
    Ok(if nanoseconds == 0 { u64::MAX } else { nanoseconds })
}

fn timeout_value(timeout: u64) -> OptionValue {
    let time = match timeout {
        u64::MAX => Timeval::from_nanoseconds(0),
        nanoseconds => Timeval::from_nanoseconds(nanoseconds),
    };
    OptionValue::Bytes(Vec::from(time.as_bytes()))
}

impl Common {
    /// Whether a switch is on.
    pub fn switch(&self, name: i32) -> bool {
        let index = SWITCHES.iter().position(|&known| known == name);
        index.is_some_and(|index| self.switches.load(Ordering::Relaxed) & 1 << index != 0)
    }

    fn set_switch(&self, name: i32, on: bool) {
        let Some(index) = SWITCHES.iter().position(|&known| known == name) else {
            return;
        };
        if on {
            self.switches.fetch_or(1 << index, Ordering::Relaxed);
        } else {
            self.switches.fetch_and(!(1 << index), Ordering::Relaxed);
        }
    }

    /// How closing waits for what was not sent yet (`SO_LINGER`): `None` for not at all, or for so many seconds.
    pub fn linger(&self) -> Option<u32> {
        let linger = self.linger.lock();
        (linger.on != 0).then_some(linger.seconds.max(0) as u32)
    }

    /// How long a call that receives waits.
    pub fn receive_patience(&self, nonblocking: bool) -> Patience {
        if nonblocking {
            return Patience::None;
        }
        Patience::of(self.receive_timeout.load(Ordering::Relaxed))
    }

    /// How long a call that sends waits.
    pub fn send_patience(&self, nonblocking: bool) -> Patience {
        if nonblocking {
            return Patience::None;
        }
        Patience::of(self.send_timeout.load(Ordering::Relaxed))
    }

    /// Keeps an error for the next call.
    pub fn set_error(&self, errno: Errno) {
        self.error.store(errno.number(), Ordering::Release);
    }

    /// The error that was kept, which is forgotten.
    pub fn take_error(&self) -> Option<Errno> {
        if self.error.load(Ordering::Acquire) == 0 {
            return None;
        }
        Errno::from_number(self.error.swap(0, Ordering::AcqRel))
    }

    /// Whether an error is kept.
    pub fn has_error(&self) -> bool {
        self.error.load(Ordering::Acquire) != 0
    }

    /// The value of an option.
    ///
    /// # Errors
    /// `ENOPROTOOPT` for one that is not known.
    pub fn option(&self, name: i32) -> Result<OptionValue, Errno> {
        let number = |value: usize| Ok(OptionValue::Integer(i32::try_from(value).unwrap_or(i32::MAX)));
        match name {
            option::SEND_BUFFER => number(self.send_buffer.load(Ordering::Relaxed)),
            option::RECEIVE_BUFFER => number(self.receive_buffer.load(Ordering::Relaxed)),
            option::ERROR => number(self.take_error().map_or(0, |errno| errno.number().into())),
            option::PRIORITY => Ok(OptionValue::Integer(self.priority.load(Ordering::Relaxed))),
            option::LINGER => Ok(OptionValue::Bytes(Vec::from(self.linger.lock().as_bytes()))),
            option::RECEIVE_LOW_WATER => Ok(OptionValue::Integer(self.receive_low_water.load(Ordering::Relaxed))),
            option::SEND_LOW_WATER => Ok(OptionValue::Integer(1)),
            // Peeks start at the front.
            option::PEEK_OFFSET => Ok(OptionValue::Integer(-1)),
            option::RECEIVE_TIMEOUT | option::RECEIVE_TIMEOUT_64 => {
                Ok(timeout_value(self.receive_timeout.load(Ordering::Relaxed)))
            }
            option::SEND_TIMEOUT | option::SEND_TIMEOUT_64 => {
                Ok(timeout_value(self.send_timeout.load(Ordering::Relaxed)))
            }
            name if SWITCHES.contains(&name) => Ok(OptionValue::Integer(self.switch(name).into())),
            _ => Err(unknown(name)),
        }
    }

    /// Sets an option.
    ///
    /// # Errors
    /// `EINVAL` for a value that is too short, `EDOM`, `ENOPROTOOPT` for an option that is not known or can't be set.
    pub fn set_option(&self, name: i32, value: &[u8]) -> Result<(), Errno> {
        let bytes = value.first_chunk::<INTEGER>().ok_or(Errno::EINVAL)?;
        let number = i32::from_ne_bytes(*bytes);
        // Half of a buffer is meant for what the kernel needs itself.
        let buffer = |number: i32, least: usize| (number as usize * 2).max(least);
        // As on Linux, what is negative means a lot.
        let limited = |number: i32| (number as u32).min(MAXIMUM_BUFFER as u32) as i32;
        let unlimited = |number: i32| number.clamp(0, i32::MAX / 2);
        match name {
            option::SEND_BUFFER => self
                .send_buffer
                .store(buffer(limited(number), LEAST_SEND_BUFFER), Ordering::Relaxed),
            option::SEND_BUFFER_FORCE => self
                .send_buffer
                .store(buffer(unlimited(number), LEAST_SEND_BUFFER), Ordering::Relaxed),
            option::RECEIVE_BUFFER => self
                .receive_buffer
                .store(buffer(limited(number), LEAST_RECEIVE_BUFFER), Ordering::Relaxed),
            option::RECEIVE_BUFFER_FORCE => self
                .receive_buffer
                .store(buffer(unlimited(number), LEAST_RECEIVE_BUFFER), Ordering::Relaxed),
            option::PRIORITY => self.priority.store(number, Ordering::Relaxed),
            option::LINGER => {
                let (linger, _) = Linger::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
                *self.linger.lock() = Linger {
                    on: (linger.on != 0).into(),
                    seconds: linger.seconds,
                };
            }
            option::RECEIVE_LOW_WATER => {
                let least = if number < 0 { i32::MAX } else { number.max(1) };
                self.receive_low_water.store(least, Ordering::Relaxed);
            }
            option::PEEK_OFFSET => {
                // Any negative number switches it off.
                if number < -1 {
                    return Err(Errno::EINVAL);
                }
                if number >= 0 {
                    crate::warning_once!("SO_PEEK_OFF is not supported: setsockopt answers EOPNOTSUPP");
                    return Err(Errno::EOPNOTSUPP);
                }
            }
            option::RECEIVE_TIMEOUT | option::RECEIVE_TIMEOUT_64 => {
                self.receive_timeout.store(timeout_of(value)?, Ordering::Relaxed);
            }
            option::SEND_TIMEOUT | option::SEND_TIMEOUT_64 => {
                self.send_timeout.store(timeout_of(value)?, Ordering::Relaxed);
            }
            option::KIND | option::PROTOCOL | option::DOMAIN | option::ERROR => return Err(Errno::ENOPROTOOPT),
            // Only for families of IP.
            option::REUSE_PORT if number != 0 => return Err(Errno::EOPNOTSUPP),
            // Nothing polls drivers, and no message is stamped: better said than promised.
            option::TIMESTAMP | option::BUSY_POLL if number != 0 => return Err(unknown(name)),
            name if SWITCHES.contains(&name) => self.set_switch(name, number != 0),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

/// Options that were asked for and do not exist; each is named once.
static NAMED: AtomicU64 = AtomicU64::new(0);

#[cold]
fn unknown(name: i32) -> Errno {
    let bit = 1_u64 << (name as u32 % 64);
    if NAMED.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
        crate::info!("sockets: option {name} of SOL_SOCKET is not supported: it answers ENOPROTOOPT");
    }
    Errno::ENOPROTOOPT
}
