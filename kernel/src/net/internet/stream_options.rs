//! Options of TCP: `tcp(7)`.

use alloc::vec::Vec;

use pith_linux::Errno;
use pith_linux::sockets::option;
use pith_tcpip::stack::Handle;
use pith_tcpip::tcp::{Algorithm, Information, KeepAlive, Options, State};
use pith_tcpip::time::{MICROSECOND, MILLISECOND, SECOND};
use pith_tcpip::{Instant, Stack};

use super::Memory;
use super::socket::InternetSocket;
use crate::net::options::OptionValue;

const NO_DELAY: i32 = 1;
const MAXIMUM_SEGMENT: i32 = 2;
const CORK: i32 = 3;
const KEEP_IDLE: i32 = 4;
const KEEP_INTERVAL: i32 = 5;
const KEEP_COUNT: i32 = 6;
const SYN_COUNT: i32 = 7;
const LINGER_2: i32 = 8;
const DEFER_ACCEPT: i32 = 9;
const WINDOW_CLAMP: i32 = 10;
const INFORMATION: i32 = 11;
const QUICK_ACKNOWLEDGEMENT: i32 = 12;
const CONGESTION: i32 = 13;
const USER_TIMEOUT: i32 = 18;
const FAST_OPEN: i32 = 23;
const UNSENT_LOW_WATER: i32 = 25;
const FAST_OPEN_CONNECT: i32 = 30;

/// Bytes of the name of a congestion control (`TCP_CA_NAME_MAX`).
const NAME: usize = 16;
/// The longest time that a peer has to end, in seconds (`TCP_FIN_TIMEOUT_MAX`), and how long it has if nobody says.
const LONGEST_END: i32 = 120;
const USUAL_END: i32 = 60;
/// The smallest window that can be asked for (half of `SOCK_MIN_RCVBUF`).
const SMALLEST_WINDOW: i32 = 1152;
/// Bytes of `struct tcp_info`.
const INFORMATION_SIZE: usize = 248;
/// States, as `struct tcp_info` numbers them.
const CLOSED: u8 = 7;
const LISTENS: u8 = 10;

fn state_number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => CLOSED,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Closing => 11,
    }
}

/// `struct tcp_info`, as it is written.
struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.bytes(&word.to_ne_bytes());
        }
    }

    fn longs(&mut self, longs: &[u64]) {
        for long in longs {
            self.bytes(&long.to_ne_bytes());
        }
    }
}

/// What a socket says that has no connection.
fn without_connection(stack: &Stack<Memory>, handle: Handle) -> Vec<u8> {
    let ready = stack.tcp_listening(handle);
    let state = if ready.is_some() { LISTENS } else { CLOSED };
    let mut writer = Writer(Vec::with_capacity(INFORMATION_SIZE));
    writer.bytes(&[state, 0, 0, 0, 0, 0, 0, 0]);
    writer.words(&[0; 4]);
    // As on Linux: how many wait to be accepted, and how many may.
    let backlog = stack.tcp_backlog(handle).unwrap_or(0);
    writer.words(&[ready.unwrap_or(0) as u32, backlog as u32]);
    writer.0.resize(INFORMATION_SIZE, 0);
    writer.0
}

fn written(from: &Information) -> Vec<u8> {
    let micro = |nanoseconds: u64| (nanoseconds / MICROSECOND).min(u32::MAX.into()) as u32;
    let milli = |nanoseconds: u64| (nanoseconds / MILLISECOND).min(u32::MAX.into()) as u32;
    let (theirs, ours) = from.scales.unwrap_or_default();
    let options = u8::from(from.timestamps) | u8::from(from.sack) << 1 | u8::from(from.scales.is_some()) << 2;
    let [unacknowledged, arrived, lost, again] = from.segments.map(|count| count as u32);
    let [since_sent, since_data, since_heard] = from.since.map(milli);
    let [out, received, data_out, data_in] = from.counts;
    let known = from.round_trip != 0;
    let rate = match known {
        true => (from.window * from.send_segment) as u64 * SECOND / from.round_trip,
        false => 0,
    };
    let mut writer = Writer(Vec::with_capacity(INFORMATION_SIZE));
    writer.bytes(&[
        state_number(from.state),
        from.trouble as u8,
        from.retransmits as u8,
        from.probes as u8,
        from.backoff as u8,
        options,
        theirs | ours << 4,
        0,
    ]);
    writer.words(&[
        micro(from.timeout),
        micro(from.acknowledgement_timeout),
        from.send_segment as u32,
        from.receive_segment as u32,
        unacknowledged,
        arrived,
        lost,
        again,
        0,
        since_sent,
        0,
        since_data,
        since_heard,
        from.advertised_segment as u32 + 40,
        from.receive_threshold as u32,
        micro(from.round_trip),
        micro(from.variation),
        from.threshold.map_or(0x7fff_ffff, |segments| segments as u32),
        from.window as u32,
        from.advertised_segment as u32,
        3,
        micro(from.receive_round_trip),
        from.receive_space as u32,
        from.sent_again,
    ]);
    writer.longs(&[rate, u64::MAX, from.bytes_acknowledged, from.bytes_received]);
    let shortest = if known { micro(from.shortest) } else { u32::MAX };
    writer.words(&[out, received, from.unsent as u32, shortest, data_in, data_out]);
    writer.longs(&[0; 4]);
    writer.words(&[data_out.saturating_sub(unacknowledged), 0]);
    writer.longs(&[from.bytes_sent, from.bytes_again]);
    writer.words(&[
        from.peer_received_twice,
        from.reordering.into(),
        from.out_of_order,
        from.send_window as u32,
        from.receive_window as u32,
        0,
    ]);
    writer.bytes(&[0; 8]);
    writer.0
}

/// `struct tcp_info` of a socket.
pub(super) fn information(stack: &Stack<Memory>, handle: Handle, now: Instant) -> Vec<u8> {
    match stack.connection(handle) {
        Some(connection) => written(&connection.information(now)),
        None => without_connection(stack, handle),
    }
}

/// The name of a congestion control.
pub(super) fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Cubic => "cubic",
        Algorithm::Reno => "reno",
    }
}

impl InternetSocket {
    /// The value of an option of TCP.
    pub(super) fn tcp_option(&self, name: i32) -> Result<OptionValue, Errno> {
        let options = self.options();
        let (idle, interval, count) = *self.keep_alive.lock();
        let number = match name {
            NO_DELAY => options.no_delay.into(),
            CORK => options.cork.into(),
            KEEP_IDLE => (idle / SECOND) as i32,
            KEEP_INTERVAL => (interval / SECOND) as i32,
            KEEP_COUNT => count as i32,
            USER_TIMEOUT => (options.user_timeout / MILLISECOND) as i32,
            MAXIMUM_SEGMENT => {
                let stack = self.network.stack.lock();
                match stack.connection(self.handle) {
                    Some(connection) => connection.segment_size() as i32,
                    None if options.maximum_segment != 0 => options.maximum_segment.into(),
                    None => 536,
                }
            }
            SYN_COUNT => options.syn_retries.into(),
            LINGER_2 if options.fin_wait == 0 => -1,
            LINGER_2 => (options.fin_wait / SECOND) as i32,
            DEFER_ACCEPT => Options::seconds_of(options.defer_accept) as i32,
            WINDOW_CLAMP => options.window_clamp as i32,
            QUICK_ACKNOWLEDGEMENT => {
                let stack = self.network.stack.lock();
                let connection = stack.connection(self.handle);
                connection.is_none_or(|one| one.acknowledges_quickly()).into()
            }
            UNSENT_LOW_WATER if options.unsent_limit == u32::MAX => 0,
            UNSENT_LOW_WATER => options.unsent_limit as i32,
            // No cookies are given out, and none are asked for.
            FAST_OPEN | FAST_OPEN_CONNECT => 0,
            CONGESTION => {
                let mut text = Vec::from(name_of(options.algorithm).as_bytes());
                text.resize(NAME, 0);
                return Ok(OptionValue::Bytes(text));
            }
            INFORMATION => {
                let bytes = self.network.with(|stack, now| information(stack, self.handle, now));
                return Ok(OptionValue::Bytes(bytes));
            }
            _ => return Err(unknown(name)),
        };
        Ok(OptionValue::Integer(number))
    }

    /// Sets an option of TCP.
    pub(super) fn set_tcp_option(&self, name: i32, value: &[u8]) -> Result<(), Errno> {
        if name == CONGESTION {
            return self.choose_congestion(value);
        }
        let bytes = value.first_chunk().ok_or(Errno::EINVAL)?;
        let number = i32::from_ne_bytes(*bytes);
        let on = number != 0;
        match name {
            NO_DELAY => self.change_options(|options| options.no_delay = on),
            CORK => self.change_options(|options| options.cork = on),
            USER_TIMEOUT => {
                let time = u64::try_from(number).map_err(|_| Errno::EINVAL)? * MILLISECOND;
                self.change_options(|options| options.user_timeout = time);
            }
            KEEP_IDLE | KEEP_INTERVAL | KEEP_COUNT => self.set_keep_alive(name, number)?,
            MAXIMUM_SEGMENT => {
                if number != 0 && !(88..=32_767).contains(&number) {
                    return Err(Errno::EINVAL);
                }
                self.change_options(|options| options.maximum_segment = number as u16);
            }
            SYN_COUNT => {
                if !(1..=127).contains(&number) {
                    return Err(Errno::EINVAL);
                }
                self.change_options(|options| options.syn_retries = number as u8);
            }
            LINGER_2 => {
                let seconds = match number {
                    0 => USUAL_END,
                    number => number.clamp(0, LONGEST_END),
                };
                self.change_options(|options| options.fin_wait = seconds as u64 * SECOND);
            }
            DEFER_ACCEPT => {
                let retries = Options::retries_in(number.max(0) as u32);
                self.change_options(|options| options.defer_accept = retries);
            }
            WINDOW_CLAMP => {
                if number == 0 && self.connection().is_some() {
                    return Err(Errno::EINVAL);
                }
                let clamp = if on { number.max(SMALLEST_WINDOW) } else { 0 };
                self.change_options(|options| options.window_clamp = clamp as u32);
            }
            QUICK_ACKNOWLEDGEMENT => {
                self.network.with(|stack, now| {
                    stack.with_connection(self.handle, now, |connection| connection.acknowledge_quickly(on))
                });
            }
            UNSENT_LOW_WATER => {
                let limit = if on { number as u32 } else { u32::MAX };
                self.change_options(|options| options.unsent_limit = limit);
            }
            FAST_OPEN | FAST_OPEN_CONNECT if on => {
                crate::warning_once!("TCP_FASTOPEN is not supported: setsockopt answers EOPNOTSUPP");
                return Err(Errno::EOPNOTSUPP);
            }
            FAST_OPEN | FAST_OPEN_CONNECT => {}
            INFORMATION => return Err(Errno::ENOPROTOOPT),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    fn choose_congestion(&self, value: &[u8]) -> Result<(), Errno> {
        if value.is_empty() {
            return Err(Errno::EINVAL);
        }
        let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
        let algorithm = match name {
            b"cubic" => Algorithm::Cubic,
            b"reno" => Algorithm::Reno,
            _ => return Err(Errno::ENOENT),
        };
        self.change_options(|options| options.algorithm = algorithm);
        Ok(())
    }

    fn set_keep_alive(&self, name: i32, number: i32) -> Result<(), Errno> {
        let most = if name == KEEP_COUNT { 127 } else { 32_767 };
        if !(1..=most).contains(&number) {
            return Err(Errno::EINVAL);
        }
        {
            let mut keep_alive = self.keep_alive.lock();
            match name {
                KEEP_IDLE => keep_alive.0 = number as u64 * SECOND,
                KEEP_INTERVAL => keep_alive.1 = number as u64 * SECOND,
                _ => keep_alive.2 = number as u32,
            }
        }
        self.apply_keep_alive();
        Ok(())
    }

    /// Asks the peer from time to time whether it is there, or not any more.
    pub(super) fn apply_keep_alive(&self) {
        let (idle, interval, count) = *self.keep_alive.lock();
        let chosen = KeepAlive { idle, interval, count };
        let keep_alive = self.common.switch(option::KEEP_ALIVE).then_some(chosen);
        self.change_options(|options| options.keep_alive = keep_alive);
    }
}

#[cold]
fn unknown(name: i32) -> Errno {
    crate::warning_once!("option {name} of TCP is not there yet: it answers ENOPROTOOPT");
    Errno::ENOPROTOOPT
}
