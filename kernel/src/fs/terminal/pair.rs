//! Pseudo-terminals (`pty(7)`): two line disciplines, each of which receives what the other sends.
//!
//! The state of both ends has one lock, which nothing sleeps under and no interrupt handler takes. The program's memory is
//! touched without it: what is read is taken out first, and copied then.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags, PollEvents, Termios, WindowSize};
use pith_linux::signal::Signal;
use pith_terminal::{ExtendedTermios, LineDiscipline, LineEnd, control, local, signals};
use spin::{Mutex, MutexGuard};

use super::file_system::SlaveNode;
use super::{Flow, Flush, Line, Ownership, Request, Terminal, opened, request};
use crate::fs::context;
use crate::fs::file::{File, OpenFile, WriteAt};
use crate::fs::owner::{self, Notices};
use crate::memory::{Destination, Source, UserPointer, read_object, write_object};
use crate::task::jobs::Target;
use crate::task::{WaitError, WaitQueue, monotonic};

/// Most pseudo-terminals at a time (`/proc/sys/kernel/pty/max`).
const MOST: usize = 4096;
/// Bytes that wait between the ends, beside those that the receiving end has taken.
const BETWEEN: usize = 12 * 1024;
/// Most bytes that are read or written at a time.
const PIECE: usize = 2048;
/// Bytes that Linux reads at a time.
const LINUX_PIECE: usize = 64;
/// Nanoseconds in a unit of `VTIME`.
const TENTH: u64 = 100_000_000;
/// `Documentation/admin-guide/devices.txt`
const SLAVES: u32 = 136;

const TIOCPKT: u32 = 0x5420;
const TIOCGPTN: u32 = 0x8004_5430;
const TIOCSPTLCK: u32 = 0x4004_5431;
const TIOCSIG: u32 = 0x4004_5436;
const TIOCGPKT: u32 = 0x8004_5438;
const TIOCGPTLCK: u32 = 0x8004_5439;
const TIOCGPTPEER: u32 = 0x5441;
const TIOCSPGRP: u32 = 0x5410;

const READABLE: PollEvents = PollEvents::IN.union(PollEvents::READ_NORMAL);
const WRITABLE: PollEvents = PollEvents::OUT.union(PollEvents::WRITE_NORMAL);

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Master,
    Slave,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Master => Self::Slave,
            Self::Slave => Self::Master,
        }
    }
}

/// One end of a pair.
struct End {
    line: LineDiscipline,
    /// A thread is reading, or writing: others wait, so that nothing is mixed.
    reading: bool,
    writing: bool,
}

impl End {
    fn new(settings: Termios) -> Self {
        Self {
            line: LineDiscipline::new(settings, BETWEEN),
            reading: false,
            writing: false,
        }
    }

    fn busy(&mut self, write: bool) -> &mut bool {
        if write { &mut self.writing } else { &mut self.reading }
    }
}

struct State {
    master: End,
    slave: End,
    /// Speeds of the slave.
    speeds: (u32, u32),
    window: WindowSize,
    /// The slave can't be opened yet.
    locked: bool,
    /// Times that the slave is open.
    slaves: usize,
    /// It was open, and is not any more.
    slave_closed: bool,
    master_closed: bool,
    /// How often the slave was hung up: files that were open before are dead.
    hang_ups: u32,
}

impl State {
    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Master => &mut self.master,
            Side::Slave => &mut self.slave,
        }
    }

    /// Whether both ends are closed: neither can be opened again.
    fn is_closed(&self) -> bool {
        self.master_closed && self.slaves == 0
    }

    fn line(&self, side: Side) -> &LineDiscipline {
        match side {
            Side::Master => &self.master.line,
            Side::Slave => &self.slave.line,
        }
    }

    /// What can be read at an end, what can be written, and whether there is something else to be told.
    fn measure(&self, side: Side) -> (usize, bool, bool) {
        let line = self.line(side);
        let input = if line.is_readable() {
            line.input_length().max(1)
        } else {
            0
        };
        let reports = side == Side::Master && self.slave.line.status() != 0;
        (input, line.has_room(), reports)
    }

    fn readiness(&self, side: Side) -> PollEvents {
        let (input, room, reports) = self.measure(side);
        let mut events = PollEvents::empty();
        events.set(READABLE, input != 0 || reports);
        events.set(PollEvents::PRIORITY, reports);
        events.set(WRITABLE, room);
        events.set(PollEvents::HANG_UP, side == Side::Master && self.slave_closed);
        events
    }
}

/// A pseudo-terminal.
pub struct Pair {
    itself: Weak<Pair>,
    /// Its number, and its name in `/dev/pts`.
    number: u32,
    /// What `/dev/pts` knows about it.
    pub(super) node: SlaveNode,
    state: Mutex<State>,
    ownership: Ownership,
    at_master: WaitQueue,
    at_slave: WaitQueue,
}

/// All pairs of which an end is open, by their numbers: as long as the slave is open, its number is not given again.
static PAIRS: Mutex<Vec<Option<Weak<Pair>>>> = Mutex::new(Vec::new());

/// The pairs whose master is open, from a number on.
pub(super) fn pairs(from: usize) -> Vec<(u32, Arc<Pair>)> {
    let found: Vec<_> = {
        let list = PAIRS.lock();
        let from = from.min(list.len());
        list[from..]
            .iter()
            .filter_map(|pair| pair.as_ref()?.upgrade())
            .collect()
    };
    let with_master = found.into_iter().filter(|pair| !pair.has_no_master());
    with_master.map(|pair| (pair.number, pair)).collect()
}

/// A pair by its number, if its master is open.
pub(super) fn find(number: u32) -> Option<Arc<Pair>> {
    let found = PAIRS.lock().get(number as usize)?.as_ref()?.upgrade();
    found.filter(|pair| !pair.has_no_master())
}

impl Pair {
    fn create() -> Result<Arc<Self>, Errno> {
        let mut list = PAIRS.lock();
        let free = list.iter().position(Option::is_none).unwrap_or(list.len());
        if free >= MOST {
            return Err(Errno::ENOSPC);
        }
        if free == list.len() {
            list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            list.push(None);
        }
        let raw = Termios {
            input: 0,
            output: 0,
            local: 0,
            ..Termios::STANDARD
        };
        let number = free as u32;
        let standard = ExtendedTermios::STANDARD;
        // No modem hangs up when the slave is closed.
        let slave = Termios {
            control: standard.settings.control & !control::HUPCL,
            ..standard.settings
        };
        let pair = Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            number,
            node: SlaveNode::new(itself.clone(), number, DeviceNumber::new(SLAVES, number)),
            state: Mutex::new(State {
                master: End::new(raw),
                slave: End::new(slave),
                speeds: (standard.input_speed, standard.output_speed),
                window: WindowSize::default(),
                locked: true,
                slaves: 0,
                slave_closed: false,
                master_closed: false,
                hang_ups: 0,
            }),
            ownership: Ownership::new(),
            at_master: WaitQueue::new(),
            at_slave: WaitQueue::new(),
        });
        list[free] = Some(pair.itself.clone());
        Ok(pair)
    }

    fn arc(&self) -> Arc<Self> {
        match self.itself.upgrade() {
            Some(pair) => pair,
            None => unreachable!("whoever calls holds it"),
        }
    }

    fn as_terminal(&self) -> Arc<dyn Terminal> {
        self.arc()
    }

    /// Whether its master was closed: nobody can open it any more.
    pub(super) fn has_no_master(&self) -> bool {
        self.state.lock().master_closed
    }

    /// The last end was closed.
    fn give_number_back(&self) {
        PAIRS.lock()[self.number as usize] = None;
    }

    fn queue(&self, side: Side) -> &WaitQueue {
        match side {
            Side::Master => &self.at_master,
            Side::Slave => &self.at_slave,
        }
    }

    /// Changes something, lets bytes go as far as they can, and tells who has to be told.
    fn change<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        self.change_locked(self.state.lock(), action)
    }

    fn change_locked<T>(&self, mut state: MutexGuard<'_, State>, action: impl FnOnce(&mut State) -> T) -> T {
        let before = [Side::Master, Side::Slave].map(|side| state.measure(side));
        let result = action(&mut state);
        let State { master, slave, .. } = &mut *state;
        master.line.pass_to(&mut slave.line);
        slave.line.pass_to(&mut master.line);
        let asked = slave.line.take_signals();
        let after = [Side::Master, Side::Slave].map(|side| state.measure(side));
        drop(state);
        for (bit, signal) in [
            (signals::INTERRUPT, Signal::SIGINT),
            (signals::QUIT, Signal::SIGQUIT),
            (signals::STOP, Signal::SIGTSTP),
        ] {
            if asked & bit != 0 {
                self.ownership.signal(signal);
            }
        }
        for (side, (before, after)) in [Side::Master, Side::Slave].into_iter().zip(before.iter().zip(&after)) {
            let mut events = PollEvents::empty();
            events.set(READABLE, after.0 > before.0 || after.2 && !before.2);
            events.set(PollEvents::PRIORITY, after.2 && !before.2);
            events.set(WRITABLE, after.1 && !before.1);
            if !events.is_empty() {
                self.queue(side).wake(events);
            }
        }
        result
    }

    /// Opens the slave.
    ///
    /// # Errors
    /// `EIO` if it is locked, or there is no master; `EBUSY`.
    pub(super) fn open_slave(&self, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        self.ownership.check_exclusive()?;
        let hang_ups = {
            let mut state = self.state.lock();
            if state.locked || state.master_closed {
                return Err(Errno::EIO);
            }
            state.slaves += 1;
            state.slave_closed = false;
            state.hang_ups
        };
        let file = Arc::new(Slave {
            pair: self.arc(),
            hang_ups,
            readable: flags.reads(),
        });
        opened(&self.as_terminal(), flags)?;
        Ok(file)
    }

    // ---- reading and writing ----

    /// Waits for the turn to read or write at an end.
    fn begin(&self, side: Side, write: bool, nonblocking: bool) -> Result<Busy<'_>, Errno> {
        let attempt = || {
            let mut state = self.state.lock();
            if !core::mem::replace(state.end(side).busy(write), true) {
                return Some(Ok(()));
            }
            nonblocking.then_some(Err(Errno::EAGAIN))
        };
        self.queue(side).wait(attempt)??;
        Ok(Busy {
            pair: self,
            side,
            write,
        })
    }

    fn read(&self, at: &At, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        let nonblocking = flags.contains(OpenFlags::NONBLOCKING);
        let turn = self.begin(at.side, false, nonblocking)?;
        let mut bytes = Vec::new();
        let most = to.remaining().min(2 * PIECE);
        bytes.try_reserve_exact(most).map_err(|_| Errno::ENOMEM)?;
        let result = self.collect(at, most, nonblocking, &mut bytes);
        if bytes.is_empty() {
            return result.map(|_| 0);
        }
        let put = to.put(&bytes);
        // Linux takes a piece only when the program has got the one before: what follows that with the fault isn't gone. If all
        // was put, nothing is behind what is gone.
        let gone = (put.unwrap_or(0) / LINUX_PIECE + 1) * LINUX_PIECE;
        if let Some(rest) = bytes.get(gone..) {
            let end = result.unwrap_or(LineEnd::No);
            let state = self.state.lock();
            self.change_locked(state, |state| state.end(at.side).line.put_back(rest, end));
        }
        drop(turn);
        put
    }

    /// Takes input until there is enough of it.
    fn collect(&self, at: &At, most: usize, nonblocking: bool, bytes: &mut Vec<u8>) -> Result<LineEnd, Errno> {
        let reading = self.state.lock().line(at.side).reading();
        let span = u64::from(reading.time) * TENTH;
        let (minimum, patience) = match (reading.in_lines, reading.minimum) {
            (true, _) => (0, None),
            (false, 0) => (1, Some(span)),
            (false, minimum) => (usize::from(minimum), None),
        };
        let mut deadline = patience.map(|span| monotonic().after(span));
        while bytes.len() < most {
            let before = bytes.len();
            let attempt = || self.take(at, most, (patience == Some(0), nonblocking), bytes);
            let wait = self.queue(at.side).wait_until(deadline, attempt);
            match wait {
                Ok(Ok(Some(end))) => return Ok(end),
                Ok(Ok(None)) if bytes.len() >= minimum => return Ok(LineEnd::No),
                Ok(Ok(None)) => {}
                Ok(Err(errno)) => return Err(errno),
                Err(WaitError::TimedOut) => return Ok(LineEnd::No),
                Err(WaitError::Interrupted) => return Err(Errno::EINTR),
            }
            if bytes.len() != before && reading.time != 0 {
                deadline = Some(monotonic().after(span));
            }
        }
        Ok(LineEnd::No)
    }

    /// Takes what there is; how it ends, if that is all that the read gets.
    fn take(
        &self,
        at: &At,
        most: usize,
        (impatient, nonblocking): (bool, bool),
        bytes: &mut Vec<u8>,
    ) -> Option<Result<Option<LineEnd>, Errno>> {
        let mut state = self.state.lock();
        if at.is_dead(&state) {
            // What comes from now on is for those who have opened it since.
            return Some(Ok(Some(LineEnd::No)));
        }
        let in_packets = at.side == Side::Master && state.slave.line.reports();
        if in_packets && state.slave.line.status() != 0 {
            if bytes.is_empty() {
                bytes.push(state.slave.line.take_status());
            }
            return Some(Ok(Some(LineEnd::No)));
        }
        if !state.line(at.side).has_input() {
            return match at.side {
                Side::Master if state.slave_closed => Some(Err(Errno::EIO)),
                _ if impatient => Some(Ok(Some(LineEnd::No))),
                _ if nonblocking => Some(Err(Errno::EAGAIN)),
                _ => None,
            };
        }
        if in_packets && bytes.is_empty() {
            bytes.push(0);
        }
        let in_lines = state.line(at.side).reading().in_lines;
        let left = most - bytes.len();
        let end = self.change_locked(state, |state| state.end(at.side).line.read(left, bytes));
        Some(Ok(in_lines.then_some(end)))
    }

    fn write(&self, at: &At, from: &mut Source<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        let nonblocking = flags.contains(OpenFlags::NONBLOCKING);
        let _turn = self.begin(at.side, true, nonblocking)?;
        let mut total = 0;
        let mut piece = [0; PIECE];
        while from.remaining() != 0 {
            let wanted = from.remaining().min(PIECE);
            // As on Linux, nothing is written of a piece that can't be read to its end.
            let mut result = match from.take(&mut piece[..wanted]) {
                Ok(taken) if taken < wanted => Err(Errno::EFAULT),
                taken => taken.map(|taken| &piece[..taken]),
            };
            while let Ok(left) = result
                && !left.is_empty()
            {
                let attempt = || self.put(at, left, nonblocking);
                result = match self.queue(at.side).wait(attempt) {
                    Ok(done) => done.map(|done| {
                        total += done;
                        &left[done..]
                    }),
                    Err(interrupted) => Err(interrupted.into()),
                };
            }
            match result {
                Err(errno) if total == 0 => return Err(errno),
                Err(_) => break,
                Ok(_) => {}
            }
        }
        Ok(total)
    }

    /// Writes what has room, if anything has.
    fn put(&self, at: &At, bytes: &[u8], nonblocking: bool) -> Option<Result<usize, Errno>> {
        let state = self.state.lock();
        if at.is_dead(&state) {
            return Some(Err(Errno::EIO));
        }
        match self.change_locked(state, |state| state.end(at.side).line.write(bytes)) {
            0 if nonblocking => Some(Err(Errno::EAGAIN)),
            0 => None,
            done => Some(Ok(done)),
        }
    }

    // ---- ends ----

    fn hang_up_files(&self) {
        self.change(|state| {
            state.hang_ups += 1;
            state.slave.line.flush_input();
        });
        self.at_slave.wake_all();
        self.ownership.hung_up();
    }

    fn flush_end(&self, side: Side, what: Flush) {
        self.change(|state| {
            if what.input {
                // Also what is still on its way.
                state.end(side.other()).line.drop_sent();
                state.end(side).line.flush_input();
            }
            if what.output {
                state.end(side).line.flush_output();
            }
        });
    }

    fn flow_end(&self, side: Side, action: Flow) {
        self.change(|state| {
            let line = &mut state.end(side).line;
            match action {
                Flow::Stop => line.stop_by_call(),
                Flow::Start => line.start_by_call(),
                Flow::Send(byte) => line.send_directly(byte),
            }
        });
    }

    fn type_at(&self, side: Side, byte: u8) {
        self.change(|state| state.end(side).line.receive(&[byte]));
    }
}

/// The turn to read or write at an end.
struct Busy<'a> {
    pair: &'a Pair,
    side: Side,
    write: bool,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *self.pair.state.lock().end(self.side).busy(self.write) = false;
        // No events: only those care who wait for the turn.
        self.pair.queue(self.side).wake(PollEvents::empty());
    }
}

/// Where a file is at a pair.
struct At {
    side: Side,
    hang_ups: u32,
}

impl At {
    /// Whether it was hung up.
    fn is_dead(&self, state: &State) -> bool {
        self.side == Side::Slave && state.hang_ups != self.hang_ups
    }
}

/// A slave's characters always have eight bits.
fn as_slave(mut settings: Termios) -> Termios {
    settings.control &= !(control::CSIZE | control::PARENB);
    settings.control |= control::CS8 | control::CREAD;
    settings
}

impl Line for Pair {
    fn flush(&self, what: Flush) {
        self.flush_end(Side::Slave, what);
    }

    fn flow(&self, action: Flow) {
        self.flow_end(Side::Slave, action);
    }

    fn input_length(&self) -> Result<usize, Errno> {
        Ok(self.state.lock().slave.line.input_length())
    }

    fn type_byte(&self, byte: u8) -> Result<(), Errno> {
        self.type_at(Side::Slave, byte);
        Ok(())
    }
}

impl Terminal for Pair {
    fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    fn number(&self) -> DeviceNumber {
        DeviceNumber::new(SLAVES, self.number)
    }

    fn settings(&self) -> ExtendedTermios {
        let state = self.state.lock();
        ExtendedTermios {
            settings: *state.slave.line.settings(),
            input_speed: state.speeds.0,
            output_speed: state.speeds.1,
        }
    }

    fn change_settings(&self, new: ExtendedTermios) {
        self.change(|state| {
            state.speeds = (new.input_speed, new.output_speed);
            state.slave.line.set(as_slave(new.settings));
        });
        // Whoever waits may be ready by the new settings.
        self.at_slave.wake(PollEvents::all());
    }

    fn window(&self) -> WindowSize {
        self.state.lock().window
    }

    fn set_window(&self, size: WindowSize) {
        self.state.lock().window = size;
    }

    fn open_again(&self) -> Result<Arc<dyn File>, Errno> {
        self.open_slave(OpenFlags::READ_WRITE | OpenFlags::NO_CONTROLLING_TERMINAL)
    }

    fn hang_up(&self) {
        self.hang_up_files();
    }
}

/// The slave, opened.
struct Slave {
    pair: Arc<Pair>,
    hang_ups: u32,
    readable: bool,
}

impl Slave {
    fn at(&self) -> At {
        At {
            side: Side::Slave,
            hang_ups: self.hang_ups,
        }
    }

    fn is_dead(&self) -> bool {
        self.at().is_dead(&self.pair.state.lock())
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        let (closed, was_last) = {
            let mut state = self.pair.state.lock();
            state.slaves -= 1;
            state.slave_closed = state.slaves == 0;
            (state.slave_closed, state.is_closed())
        };
        if closed {
            self.pair.at_master.wake_all();
        }
        if was_last {
            self.pair.give_number_back();
        }
    }
}

impl File for Slave {
    fn takes_nowait(&self) -> bool {
        false
    }

    fn is_hung_up(&self) -> bool {
        self.is_dead()
    }

    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        if self.is_dead() {
            return Ok(0);
        }
        self.pair.ownership.check_foreground(Signal::SIGTTIN)?;
        self.pair.read(&self.at(), to, flags)
    }

    fn write(&self, _at: WriteAt, from: &mut Source<'_>, flags: OpenFlags) -> Result<(usize, u64), Errno> {
        if self.is_dead() {
            return Err(Errno::EIO);
        }
        if self.pair.settings().settings.local & local::TOSTOP != 0 {
            self.pair.ownership.check_foreground(Signal::SIGTTOU)?;
        }
        self.pair.write(&self.at(), from, flags).map(|done| (done, 0))
    }

    fn control(&self, number: u32, argument: UserPointer) -> Result<usize, Errno> {
        if self.is_dead() {
            return Err(if number == TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO });
        }
        let at = Request {
            terminal: &self.pair.as_terminal(),
            end: &*self.pair,
            by_master: false,
            readable: self.readable,
        };
        match number {
            TIOCGPTPEER => Err(Errno::EIO),
            _ => request(&at, number, argument),
        }
    }

    fn readiness(&self) -> PollEvents {
        let state = self.pair.state.lock();
        if self.at().is_dead(&state) {
            return READABLE | WRITABLE | PollEvents::ERROR | PollEvents::HANG_UP;
        }
        state.readiness(Side::Slave)
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pair.at_slave)
    }

    fn notices(&self) -> Option<Notices> {
        Some(Notices::Line)
    }

    fn natural_owner(&self) -> Option<Target> {
        Some(self.pair.ownership.natural_owner())
    }
}

/// The master.
struct Master {
    pair: Arc<Pair>,
}

const AT_MASTER: At = At {
    side: Side::Master,
    hang_ups: 0,
};

/// Makes a pseudo-terminal (`/dev/ptmx`).
///
/// # Errors
/// `ENOSPC` if there are too many, `ENOMEM`.
pub fn open_master() -> Result<Arc<dyn File>, Errno> {
    let pair = Pair::create()?;
    Ok(Arc::new(Master { pair }))
}

impl Drop for Master {
    fn drop(&mut self) {
        let was_last = {
            let mut state = self.pair.state.lock();
            state.master_closed = true;
            state.is_closed()
        };
        self.pair.hang_up_files();
        if was_last {
            self.pair.give_number_back();
        }
    }
}

impl Line for Master {
    fn flush(&self, what: Flush) {
        self.pair.flush_end(Side::Master, what);
    }

    fn flow(&self, action: Flow) {
        self.pair.flow_end(Side::Master, action);
    }

    fn input_length(&self) -> Result<usize, Errno> {
        Ok(self.pair.state.lock().master.line.input_length())
    }

    fn type_byte(&self, byte: u8) -> Result<(), Errno> {
        self.pair.type_at(Side::Master, byte);
        Ok(())
    }
}

impl Master {
    /// `TIOCSIG`: a signal for the group in the foreground, as if its character had been typed.
    fn send_signal(&self, number: u64) -> Result<(), Errno> {
        let signal = Signal::from_number(number).ok_or(Errno::EINVAL)?;
        if !matches!(signal, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTSTP) {
            return Err(Errno::EINVAL);
        }
        self.pair.ownership.signal(signal);
        Ok(())
    }

    /// `TIOCGPTPEER`: opens the slave without its name.
    fn open_peer(&self, flags: u64) -> Result<usize, Errno> {
        let flags = OpenFlags::from_bits_truncate(flags as u32);
        let files = context::current();
        files.check_room()?;
        let slave = self.pair.open_slave(flags)?;
        let open = OpenFile::new(self.pair.node.inode(), slave, flags);
        let descriptor = files.add(open, flags.contains(OpenFlags::CLOSE_ON_EXEC), 0)?;
        Ok(descriptor as usize)
    }
}

impl File for Master {
    fn takes_nowait(&self) -> bool {
        false
    }

    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        self.pair.read(&AT_MASTER, to, flags)
    }

    fn write(&self, _at: WriteAt, from: &mut Source<'_>, flags: OpenFlags) -> Result<(usize, u64), Errno> {
        self.pair.write(&AT_MASTER, from, flags).map(|done| (done, 0))
    }

    fn control(&self, number: u32, argument: UserPointer) -> Result<usize, Errno> {
        let state = &self.pair.state;
        match number {
            TIOCGPTN => write_object(argument, &self.pair.number)?,
            TIOCSPTLCK => state.lock().locked = read_object::<i32>(argument).map(|lock| lock != 0)?,
            TIOCGPTLCK => {
                let locked = state.lock().locked;
                write_object(argument, &i32::from(locked))?;
            }
            TIOCPKT => {
                let wanted: i32 = read_object(argument)?;
                self.pair.change(|state| state.slave.line.set_reports(wanted != 0));
            }
            TIOCGPKT => {
                let reports = state.lock().slave.line.reports();
                write_object(argument, &i32::from(reports))?;
            }
            TIOCSIG => self.send_signal(argument.0)?,
            TIOCGPTPEER => return self.open_peer(argument.0),
            _ => {
                let at = Request {
                    terminal: &self.pair.as_terminal(),
                    end: self,
                    by_master: true,
                    readable: true,
                };
                return request(&at, number, argument);
            }
        }
        Ok(0)
    }

    fn readiness(&self) -> PollEvents {
        self.pair.state.lock().readiness(Side::Master)
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pair.at_master)
    }

    fn notices(&self) -> Option<Notices> {
        Some(Notices::Line)
    }

    fn natural_owner(&self) -> Option<Target> {
        Some(owner::of_current())
    }
}
