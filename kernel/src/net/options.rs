//! Options of `SOL_SOCKET` (`socket(7)`), which all families share.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use pith_linux::Errno;
use pith_linux::credentials::Capabilities;
use pith_linux::sockets::{Linger, level, option};
use pith_linux::time::{NANOSECONDS, Timespec, Timeval};
use pith_packet_filter::{self as filter, Instruction, Program};
use spin::Mutex;
use zerocopy::{FromBytes, IntoBytes};

use super::internet::interfaces;
use super::message::{ControlMessage, Incoming};
use crate::fs::permission;
use crate::memory::{UserPointer, copy_from_user};
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

/// Options that are on or off and only remembered, since they mean nothing to some families, or nothing at all where
/// there are neither radio nor cards that are polled.
const SWITCHES: [i32; 17] = [
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
    option::LOCK_FILTER,
    option::WIFI_STATUS,
    option::NO_CHECKSUM_OF_FRAMES,
    option::SELECT_ERROR_QUEUE,
    option::PREFER_BUSY_POLL,
    option::PASS_SECURITY,
    option::ZERO_COPY,
    option::RECEIVE_QUEUE_OVERFLOW,
];

/// Options that say in which form the time of arrival is told.
const TIMESTAMPS: [i32; 4] = [
    option::TIMESTAMP,
    option::TIMESTAMP_NANOSECONDS,
    option::TIMESTAMP_64,
    option::TIMESTAMP_NANOSECONDS_64,
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
    mark: AtomicU32,
    busy_poll: AtomicI32,
    /// The processor whose packets it would rather have; -1 as long as nobody says. Packets come to any of them here, so
    /// that it is a wish.
    incoming_cpu: AtomicI32,
    /// The number of the interface that it is bound to; 0 for none.
    device: AtomicU32,
    /// The one of [`TIMESTAMPS`] that is on; 0 for none.
    timestamp: AtomicI32,
    /// When the packet came that was received last (of the wall clock); 0 for never.
    last_arrival: AtomicU64,
    filter: Mutex<Option<Arc<Program>>>,
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
            mark: AtomicU32::new(0),
            busy_poll: AtomicI32::new(0),
            incoming_cpu: AtomicI32::new(-1),
            device: AtomicU32::new(0),
            timestamp: AtomicI32::new(0),
            last_arrival: AtomicU64::new(0),
            filter: Mutex::new(None),
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

/// Reads the instructions of a filter, for sockets or for system calls. There are at most as many as a filter may have.
///
/// # Errors
/// `EFAULT`, `ENOMEM`
pub fn read_instructions(place: UserPointer, count: usize) -> Result<Vec<Instruction>, Errno> {
    let mut bytes = Vec::new();
    let length = count * Instruction::SIZE;
    bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(length, 0);
    copy_from_user(&mut bytes, place)?;
    let mut instructions = Vec::new();
    instructions.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    let (chunks, _) = bytes.as_chunks();
    instructions.extend(chunks.iter().map(Instruction::read));
    Ok(instructions)
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

    /// Takes over what was chosen for a listener: a connection that it accepts begins with that.
    pub fn inherit(&self, from: &Self) {
        let copy = |own: &AtomicUsize, other: &AtomicUsize| own.store(other.load(Ordering::Relaxed), Ordering::Relaxed);
        copy(&self.send_buffer, &from.send_buffer);
        copy(&self.receive_buffer, &from.receive_buffer);
        let copy = |own: &AtomicI32, other: &AtomicI32| own.store(other.load(Ordering::Relaxed), Ordering::Relaxed);
        copy(&self.receive_low_water, &from.receive_low_water);
        copy(&self.priority, &from.priority);
        let copy = |own: &AtomicU32, other: &AtomicU32| own.store(other.load(Ordering::Relaxed), Ordering::Relaxed);
        copy(&self.switches, &from.switches);
        copy(&self.mark, &from.mark);
        let copy = |own: &AtomicU64, other: &AtomicU64| own.store(other.load(Ordering::Relaxed), Ordering::Relaxed);
        copy(&self.receive_timeout, &from.receive_timeout);
        copy(&self.send_timeout, &from.send_timeout);
        *self.linger.lock() = *from.linger.lock();
    }

    /// Sets `SO_REUSEPORT`, which not every family has.
    pub fn share_port(&self, on: bool) {
        self.set_switch(option::REUSE_PORT, on);
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

    /// The number of the interface that it is bound to; 0 for none.
    pub fn device(&self) -> u32 {
        self.device.load(Ordering::Relaxed)
    }

    fn device_name(&self) -> Vec<u8> {
        let Some(interface) = interfaces::by_index(self.device()) else {
            return Vec::new();
        };
        let mut name = interface.name.into_bytes();
        name.push(0);
        name
    }

    /// Binds it to an interface, or to none. Who may not see all packets may only do so once.
    fn bind_to(&self, index: u32) -> Result<(), Errno> {
        if self.device() != 0 {
            permission::require(Capabilities::RAW_PACKETS)?;
        }
        self.device.store(index, Ordering::Relaxed);
        Ok(())
    }

    /// Refuses values of options that not everybody may set.
    fn permit(name: i32, number: i32) -> Result<(), Errno> {
        const USUAL_PRIORITIES: core::ops::RangeInclusive<i32> = 0..=6;
        let administers = || permission::require(Capabilities::NETWORK_ADMINISTRATION);
        let sends_all = || permission::require(Capabilities::RAW_PACKETS).or_else(|_| administers());
        match name {
            option::DEBUG if number != 0 => administers().map_err(|_| Errno::EACCES),
            option::PRIORITY if !USUAL_PRIORITIES.contains(&number) => sends_all(),
            option::MARK => sends_all(),
            option::SEND_BUFFER_FORCE | option::RECEIVE_BUFFER_FORCE => administers(),
            option::PREFER_BUSY_POLL if number != 0 => administers(),
            _ => Ok(()),
        }
    }

    fn bind_to_name(&self, name: &[u8]) -> Result<(), Errno> {
        /// Longer names are cut (`IFNAMSIZ`).
        const LONGEST: usize = 15;
        let name = &name[..name.len().min(LONGEST)];
        let name = &name[..name.iter().position(|&byte| byte == 0).unwrap_or(name.len())];
        let index = match name.is_empty() {
            true => 0,
            false => interfaces::by_name(name).ok_or(Errno::ENODEV)?.index,
        };
        self.bind_to(index)
    }

    /// `SO_ATTACH_FILTER`: `struct sock_fprog` says how long the program is and where.
    fn attach_filter(&self, value: &[u8]) -> Result<(), Errno> {
        if self.switch(option::LOCK_FILTER) {
            return Err(Errno::EPERM);
        }
        let value: &[u8; 16] = value.try_into().map_err(|_| Errno::EINVAL)?;
        let count = usize::from(u16::from_ne_bytes([value[0], value[1]]));
        let [.., a, b, c, d, e, f, g, h] = *value;
        let place = UserPointer(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
        if place.is_null() || count == 0 || count > filter::LONGEST {
            return Err(Errno::EINVAL);
        }
        let program = Program::new(read_instructions(place, count)?).map_err(|_| Errno::EINVAL)?;
        *self.filter.lock() = Some(Arc::new(program));
        Ok(())
    }

    /// The filter that chooses what is received.
    pub fn filter(&self) -> Option<Arc<Program>> {
        self.filter.lock().clone()
    }

    /// Whether the program wants to know when messages came.
    pub fn tells_arrival(&self) -> bool {
        self.timestamp.load(Ordering::Relaxed) != 0
    }

    /// Notes when a message came (of the wall clock, in nanoseconds), and tells if the program wants to know.
    pub fn stamp(&self, arrival: u64, message: &mut Incoming<'_, '_>) {
        let kind = self.timestamp.load(Ordering::Relaxed);
        let bytes = match kind {
            // As on Linux, it is kept for who does not learn it with the message.
            0 => return self.last_arrival.store(arrival, Ordering::Relaxed),
            option::TIMESTAMP | option::TIMESTAMP_64 => Vec::from(Timeval::from_nanoseconds(arrival).as_bytes()),
            _ => Vec::from(Timespec::from_nanoseconds(arrival).as_bytes()),
        };
        message.ancillary.others.push(ControlMessage {
            level: level::SOCKET,
            kind,
            bytes,
        });
    }

    /// When the message came that was received last (of the wall clock, in nanoseconds).
    pub fn last_arrival(&self) -> Option<u64> {
        let arrival = self.last_arrival.load(Ordering::Relaxed);
        (arrival != 0).then_some(arrival)
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
            option::MARK => Ok(OptionValue::Integer(self.mark.load(Ordering::Relaxed) as i32)),
            option::BUSY_POLL => Ok(OptionValue::Integer(self.busy_poll.load(Ordering::Relaxed))),
            option::BIND_TO_INTERFACE => Ok(OptionValue::Integer(self.device() as i32)),
            option::BIND_TO_DEVICE => Ok(OptionValue::Bytes(self.device_name())),
            // Of SunOS, without a meaning for long.
            option::BSD_COMPATIBLE => Ok(OptionValue::Integer(0)),
            option::INCOMING_CPU => Ok(OptionValue::Integer(self.incoming_cpu.load(Ordering::Relaxed))),
            option::INCOMING_QUEUE => Ok(OptionValue::Integer(0)),
            option::ATTACH_FILTER if self.filter.lock().is_none() => Ok(OptionValue::Bytes(Vec::new())),
            name if TIMESTAMPS.contains(&name) => {
                let on = self.timestamp.load(Ordering::Relaxed) == name;
                Ok(OptionValue::Integer(on.into()))
            }
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
        if name == option::BIND_TO_DEVICE {
            return self.bind_to_name(value);
        }
        let bytes = value.first_chunk::<INTEGER>().ok_or(Errno::EINVAL)?;
        let number = i32::from_ne_bytes(*bytes);
        Self::permit(name, number)?;
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
            option::MARK => self.mark.store(number as u32, Ordering::Relaxed),
            option::BUSY_POLL if number < 0 => return Err(Errno::EINVAL),
            option::BUSY_POLL => self.busy_poll.store(number, Ordering::Relaxed),
            option::INCOMING_CPU => self.incoming_cpu.store(number, Ordering::Relaxed),
            option::BSD_COMPATIBLE | option::CONNECTION_ADVICE => {}
            // As on Linux, it need not exist.
            option::BIND_TO_INTERFACE => self.bind_to(u32::try_from(number).map_err(|_| Errno::EINVAL)?)?,
            option::LOCK_FILTER if number == 0 && self.switch(name) => return Err(Errno::EPERM),
            option::ATTACH_FILTER => self.attach_filter(value)?,
            option::DETACH_FILTER if self.switch(option::LOCK_FILTER) => return Err(Errno::EPERM),
            option::DETACH_FILTER => {
                self.filter.lock().take().ok_or(Errno::ENOENT)?;
            }
            name if TIMESTAMPS.contains(&name) => {
                let chosen = if number != 0 { name } else { 0 };
                self.timestamp.store(chosen, Ordering::Relaxed);
            }
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
            // Only for families of IP: see `share_port`.
            option::REUSE_PORT if number != 0 => return Err(Errno::EOPNOTSUPP),
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
