//! Terminals: what the console and pseudo-terminals have in common (`ioctl_tty(2)`, `tty(4)`).
//!
//! * A [`Terminal`] is a device with settings; [`requests`] answers `ioctl` for it.
//! * [`Ownership`] says whose terminal it is: the session that it controls, and the process group in the foreground.
//! * [`pair`] makes pseudo-terminals of two line disciplines (`libs/terminal`), [`file_system`] shows them in `/dev/pts`.

pub mod file_system;
mod pair;
mod requests;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags, Termios, WindowSize};
use pith_linux::signal::Signal;
use pith_terminal::ExtendedTermios;
use spin::Mutex;

pub use pair::open_master;
pub use requests::{Request, request};

use super::file::File;
use super::owner;
use crate::memory::UserPointer;
use crate::sync::InterruptMutex;
use crate::task::family::FIRST;
use crate::task::jobs::Target;
use crate::task::{self, Capabilities, Process, jobs, signal};

/// What is to be forgotten (`tcflush(3)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// What was received and not read.
    pub input: bool,
    /// What was written and not sent.
    pub output: bool,
}

/// What is to happen to the flow of characters (`tcflow(3)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Output stops.
    Stop,
    /// Output goes on.
    Start,
    /// The other side is sent this character: to stop, or to go on.
    Send(u8),
}

/// One end of a line, as those calls see it that mean this end, whichever it is.
pub trait Line: Send + Sync {
    /// Forgets what waits.
    fn flush(&self, what: Flush);

    /// Stops the flow of characters or starts it.
    fn flow(&self, action: Flow);

    /// Bytes that a read would find (`FIONREAD`).
    fn input_length(&self) -> Result<usize, Errno>;

    /// A byte as if it had been typed (`TIOCSTI`).
    fn type_byte(&self, byte: u8) -> Result<(), Errno>;
}

/// A terminal.
pub trait Terminal: Line {
    /// Whose it is.
    fn ownership(&self) -> &Ownership;

    /// Its device.
    fn number(&self) -> DeviceNumber;

    /// Its settings.
    fn settings(&self) -> ExtendedTermios;

    /// Changes them.
    fn change_settings(&self, new: ExtendedTermios);

    /// Its size.
    fn window(&self) -> WindowSize;

    /// Changes it. Whoever is to be told of that is told by the caller.
    fn set_window(&self, size: WindowSize);

    /// Opens it once more, for `/dev/tty`.
    fn open_again(&self) -> Result<Arc<dyn File>, Errno>;

    /// Takes it away from all who have it open (`vhangup(2)`).
    fn hang_up(&self);
}

/// Whose a terminal is.
pub struct Ownership {
    owner: InterruptMutex<Owner>,
}

#[derive(Clone, Copy)]
struct Owner {
    /// The session that it controls; 0 for none.
    session: u32,
    /// Which time that a terminal began to control a session this was; 0 for none. Processes remember it.
    time: u64,
    /// The process group in the foreground; 0 for none.
    group: u32,
    /// Only the privileged may open it once more (`TIOCEXCL`). The master has that for itself, where it has no effect.
    exclusive: bool,
    master_exclusive: bool,
    /// Flags and characters of the settings that nobody may change (`TIOCSLCKTRMIOS`).
    locked: Option<Termios>,
}

impl Owner {
    /// Whether one end has it for itself alone.
    fn exclusive_for(&mut self, master: bool) -> &mut bool {
        match master {
            true => &mut self.master_exclusive,
            false => &mut self.exclusive,
        }
    }
}

/// Terminals that control a session.
static CONTROLLING: Mutex<Vec<Weak<dyn Terminal>>> = Mutex::new(Vec::new());

impl Ownership {
    /// Nobody's.
    pub const fn new() -> Self {
        Self {
            owner: InterruptMutex::new(Owner {
                session: 0,
                time: 0,
                group: 0,
                exclusive: false,
                master_exclusive: false,
                locked: None,
            }),
        }
    }

    /// The session that it controls; 0 for none.
    pub fn session(&self) -> u32 {
        self.owner.lock().session
    }

    /// The process group in the foreground; 0 for none.
    pub fn group(&self) -> u32 {
        self.owner.lock().group
    }

    /// Sends a signal to the group in the foreground. May be called by interrupt handlers.
    pub fn signal(&self, signal: Signal) {
        match self.group() {
            0 => {}
            group => jobs::signal_group(group, signal),
        }
    }

    /// Whether the terminal controls a process: one that made it control its session, or was forked by such a one since.
    pub fn controls(&self, process: &Process) -> bool {
        let time = self.owner.lock().time;
        time != 0 && time == jobs::terminal_of(process)
    }

    /// Whether it can be opened once more.
    ///
    /// # Errors
    /// `EBUSY`
    pub fn check_exclusive(&self) -> Result<(), Errno> {
        if self.owner.lock().exclusive && !is_privileged() {
            return Err(Errno::EBUSY);
        }
        Ok(())
    }

    /// A process of the background that wants to read, write or change the terminal it belongs to is stopped.
    ///
    /// # Errors
    /// `EINTR` with the signal, and the call starts again; `EIO` if that would stop the process for ever, or if it reads and
    /// ignores the signal.
    pub fn check_foreground(&self, signal: Signal) -> Result<(), Errno> {
        let process = task::current_process();
        let own = jobs::group_of(&process);
        let group = self.group();
        if !self.controls(&process) || group == 0 || group == own {
            return Ok(());
        }
        if jobs::withstands(signal) {
            return if signal == Signal::SIGTTIN {
                Err(Errno::EIO)
            } else {
                Ok(())
            };
        }
        if jobs::is_orphaned(&process) {
            return Err(Errno::EIO);
        }
        jobs::signal_group(own, signal);
        signal::set_restart(signal::Restart::IfHandlerAllows);
        Err(Errno::EINTR)
    }

    /// Whom a file of the terminal tells by signals, if nobody is named: those in the foreground, else whoever asks.
    pub fn natural_owner(&self) -> Target {
        match self.group() {
            0 => owner::of_current(),
            group => Target::Group(group),
        }
    }

    /// Nobody's any more.
    fn clear(&self) -> Owner {
        let mut owner = self.owner.lock();
        let before = *owner;
        (owner.session, owner.group, owner.time) = (0, 0, 0);
        before
    }

    /// It was hung up: tells the session that it controlled, whose leader is told to end.
    pub fn hung_up(&self) {
        let owner = self.clear();
        forget_those_without_session();
        if owner.session != 0 {
            jobs::remember_foreground(owner.session, owner.group);
            jobs::signal_leader(owner.session, Signal::SIGHUP);
            jobs::signal_leader(owner.session, Signal::SIGCONT);
        }
    }
}

fn is_privileged() -> bool {
    task::has_capability(Capabilities::ADMINISTRATION)
}

fn forget_those_without_session() {
    let controls = |terminal: &Weak<dyn Terminal>| {
        let terminal = terminal.upgrade()?;
        (terminal.ownership().session() != 0).then_some(terminal)
    };
    let mut kept = Vec::new();
    let mut list = CONTROLLING.lock();
    list.retain(|terminal| controls(terminal).map(|terminal| kept.push(terminal)).is_some());
    drop(list);
    // Perhaps the last references: not under the lock.
    drop(kept);
}

/// The terminal that controls a process.
pub fn controlling(process: &Process) -> Option<Arc<dyn Terminal>> {
    let candidates: Vec<Arc<dyn Terminal>> = CONTROLLING.lock().iter().filter_map(Weak::upgrade).collect();
    candidates
        .into_iter()
        .find(|terminal| terminal.ownership().controls(process))
}

/// Opens the terminal that controls the current process (`/dev/tty`).
///
/// # Errors
/// `ENXIO` if there is none.
pub fn open_controlling() -> Result<Arc<dyn File>, Errno> {
    controlling(&task::current_process()).ok_or(Errno::ENXIO)?.open_again()
}

/// Makes a terminal control the session of the process that leads it, whose group is in the foreground then.
///
/// # Errors
/// `ENOMEM`
fn control(terminal: &Arc<dyn Terminal>, leader: &Process) -> Result<(), Errno> {
    static TIMES: AtomicU64 = AtomicU64::new(jobs::FIRST_TERMINAL);
    let time = TIMES.fetch_add(1, Ordering::Relaxed) + 1;
    begin_control(terminal, (jobs::session_of(leader), jobs::group_of(leader)), time)?;
    jobs::set_terminal(leader, time);
    Ok(())
}

/// Makes a terminal control the first session, from the start.
///
/// # Errors
/// `ENOMEM`
pub fn control_first_session(terminal: &Arc<dyn Terminal>) -> Result<(), Errno> {
    begin_control(terminal, (FIRST, FIRST), jobs::FIRST_TERMINAL)
}

fn begin_control(terminal: &Arc<dyn Terminal>, (session, group): (u32, u32), time: u64) -> Result<(), Errno> {
    let mut list = CONTROLLING.lock();
    list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    let mut owner = terminal.ownership().owner.lock();
    (owner.session, owner.group, owner.time) = (session, group, time);
    drop(owner);
    list.push(Arc::downgrade(terminal));
    Ok(())
}

/// A terminal was opened: the leader of a session that has none gets it, unless it asks for the opposite or can't read.
pub fn opened(terminal: &Arc<dyn Terminal>, flags: OpenFlags) -> Result<(), Errno> {
    let process = task::current_process();
    let wanted = !flags.contains(OpenFlags::NO_CONTROLLING_TERMINAL) && flags.reads();
    if wanted && jobs::leads_session(&process) && terminal.ownership().session() == 0 && controlling(&process).is_none()
    {
        control(terminal, &process)?;
    }
    Ok(())
}

/// `TIOCSCTTY`: the leader of a session takes the terminal; by force from another session if it may and says so.
fn take_by_call(terminal: &Arc<dyn Terminal>, force: bool, readable: bool) -> Result<(), Errno> {
    let process = task::current_process();
    let leads = jobs::leads_session(&process);
    let ownership = terminal.ownership();
    if leads && ownership.controls(&process) {
        return Ok(());
    }
    if !leads || controlling(&process).is_some() {
        return Err(Errno::EPERM);
    }
    if ownership.session() != 0 && !(force && is_privileged()) || !readable && !is_privileged() {
        return Err(Errno::EPERM);
    }
    ownership.clear();
    forget_those_without_session();
    control(terminal, &process)
}

/// `TIOCNOTTY`: the process has no terminal any more, and if it leads its session, nobody in that.
fn give_up(terminal: &dyn Terminal) -> Result<(), Errno> {
    let process = task::current_process();
    if !terminal.ownership().controls(&process) {
        return Err(Errno::ENOTTY);
    }
    if jobs::leads_session(&process) {
        let foreground = leave(terminal);
        jobs::signal_group(foreground, Signal::SIGCONT);
    } else {
        jobs::set_terminal(&process, 0);
    }
    Ok(())
}

/// The leader of a session leaves its terminal: whoever is in the foreground there is told. That group is answered.
fn leave(terminal: &dyn Terminal) -> u32 {
    let owner = terminal.ownership().clear();
    forget_those_without_session();
    jobs::signal_group(owner.group, Signal::SIGHUP);
    owner.group
}

/// A process ends. If it leads its session, that has no terminal any more; if that was hung up before, those are told now who
/// were in the foreground then.
pub fn process_ends(process: &Process) {
    if !jobs::leads_session(process) {
        return;
    }
    match (controlling(process), jobs::take_last_foreground(process)) {
        (Some(terminal), _) => {
            let _ = leave(&*terminal);
        }
        (None, 0) => {}
        (None, group) => {
            jobs::signal_group(group, Signal::SIGHUP);
            jobs::signal_group(group, Signal::SIGCONT);
        }
    }
}

/// `TIOCSWINSZ`: changes the size of a terminal, and tells those in the foreground.
fn resize(terminal: &dyn Terminal, argument: UserPointer) -> Result<(), Errno> {
    let size: WindowSize = crate::memory::read_object(argument)?;
    if size != terminal.window() {
        terminal.set_window(size);
        terminal.ownership().signal(Signal::SIGWINCH);
    }
    Ok(())
}
