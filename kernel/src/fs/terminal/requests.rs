//! `ioctl(2)` for terminals (`ioctl_tty(2)`, `TIOC*(2const)`).

use alloc::sync::Arc;

use pith_linux::Errno;
use pith_linux::files::Termios;
use pith_linux::signal::Signal;
use pith_terminal::{ExtendedTermios, OldTermios, character, control};

use super::{Flow, Flush, Line, Terminal, give_up, is_privileged, resize, take_by_call};
use crate::memory::{UserPointer, read_object, write_object};
use crate::task::{self, jobs};

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
const TCSETSF: u32 = 0x5404;
const TCGETA: u32 = 0x5405;
const TCSETA: u32 = 0x5406;
const TCSETAW: u32 = 0x5407;
const TCSETAF: u32 = 0x5408;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCEXCL: u32 = 0x540c;
const TIOCNXCL: u32 = 0x540d;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCOUTQ: u32 = 0x5411;
const TIOCSTI: u32 = 0x5412;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const TIOCGSOFTCAR: u32 = 0x5419;
const TIOCSSOFTCAR: u32 = 0x541a;
const FIONREAD: u32 = 0x541b;
const TIOCNOTTY: u32 = 0x5422;
const TIOCSETD: u32 = 0x5423;
const TIOCGETD: u32 = 0x5424;
const TCSBRKP: u32 = 0x5425;
const TIOCSBRK: u32 = 0x5427;
const TIOCCBRK: u32 = 0x5428;
const TIOCGSID: u32 = 0x5429;
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSW2: u32 = 0x402c_542c;
const TCSETSF2: u32 = 0x402c_542d;
const TIOCGDEV: u32 = 0x8004_5432;
const TIOCVHANGUP: u32 = 0x5437;
const TIOCGEXCL: u32 = 0x8004_5440;
const TIOCGLCKTRMIOS: u32 = 0x5456;
const TIOCSLCKTRMIOS: u32 = 0x5457;

/// Where a request was made.
pub struct Request<'a> {
    /// The terminal.
    pub terminal: &'a Arc<dyn Terminal>,
    /// The end of the line at which it was made.
    pub end: &'a dyn Line,
    /// That is the master of a pseudo-terminal.
    pub by_master: bool,
    /// The file is open for reading.
    pub readable: bool,
}

/// Answers a request. Those of the end that it was made at were dealt with before.
///
/// # Errors
/// `ENOTTY` for one that terminals don't know, and what the request says.
pub fn request(at: &Request<'_>, request: u32, argument: UserPointer) -> Result<usize, Errno> {
    let terminal = &**at.terminal;
    match request {
        TCGETS => write_object(argument, &terminal.settings().settings)?,
        TCGETS2 => write_object(argument, &terminal.settings())?,
        TCGETA => write_object(argument, &OldTermios::of(&terminal.settings().settings))?,
        TCSETS | TCSETSW | TCSETSF => {
            let change = |now| {
                Ok(ExtendedTermios {
                    settings: read_object(argument)?,
                    ..now
                })
            };
            set(terminal, request == TCSETSF, change)?;
        }
        TCSETA | TCSETAW | TCSETAF => {
            let change = |now: ExtendedTermios| {
                let settings = read_object::<OldTermios>(argument)?.applied_to(&now.settings);
                Ok(ExtendedTermios { settings, ..now })
            };
            set(terminal, request == TCSETAF, change)?;
        }
        TCSETS2 | TCSETSW2 | TCSETSF2 => set(terminal, request == TCSETSF2, |_| read_object(argument))?,
        TIOCGLCKTRMIOS => {
            let locked = terminal.ownership().owner.lock().locked.unwrap_or_default();
            write_object(argument, &locked)?;
        }
        TIOCSLCKTRMIOS if !is_privileged() => return Err(Errno::EPERM),
        TIOCSLCKTRMIOS => {
            let locked = read_object(argument)?;
            terminal.ownership().owner.lock().locked = Some(locked);
        }
        TIOCGSOFTCAR => {
            let set = terminal.settings().settings.control & control::CLOCAL != 0;
            write_object(argument, &i32::from(set))?;
        }
        TIOCSSOFTCAR => {
            let wanted = read_object::<i32>(argument)? != 0;
            let mut now = terminal.settings();
            now.settings.control &= !control::CLOCAL;
            now.settings.control |= if wanted { control::CLOCAL } else { 0 };
            terminal.change_settings(now);
        }
        TIOCGWINSZ => write_object(argument, &terminal.window())?,
        TIOCSWINSZ => resize(terminal, argument)?,
        TIOCGETD => write_object(argument, &0_i32)?, // N_TTY
        TIOCSETD if read_object::<i32>(argument)? != 0 => return Err(Errno::EINVAL), // there is no other
        // Nothing has to be waited for before a break, which a line that is no wire does not show.
        TIOCSETD | TCSBRK | TCSBRKP | TIOCSBRK | TIOCCBRK => {
            terminal_in_foreground(at)?;
        }
        TIOCGDEV => write_object(argument, &(terminal.number().encode() as u32))?,
        TIOCVHANGUP if !is_privileged() => return Err(Errno::EPERM),
        TIOCVHANGUP => terminal.hang_up(),
        TIOCEXCL | TIOCNXCL => {
            *terminal.ownership().owner.lock().exclusive_for(at.by_master) = request == TIOCEXCL;
        }
        TIOCGEXCL => {
            let exclusive = *terminal.ownership().owner.lock().exclusive_for(at.by_master);
            write_object(argument, &i32::from(exclusive))?;
        }
        TIOCOUTQ => write_object(argument, &0_i32)?, // what is written is on the other side at once
        FIONREAD => write_object(argument, &(at.end.input_length()? as i32))?,
        TCFLSH => {
            terminal_in_foreground(at)?;
            flush(at.end, argument.0)?;
        }
        TCXONC => {
            terminal_in_foreground(at)?;
            flow(at, argument.0)?;
        }
        TIOCSTI => {
            let own = !at.by_master && terminal.ownership().controls(&task::current_process());
            if !own && !is_privileged() {
                return Err(Errno::EPERM);
            }
            at.end.type_byte(read_object(argument)?)?;
        }
        TIOCNOTTY => give_up(if at.by_master {
            return Err(Errno::ENOTTY);
        } else {
            terminal
        })?,
        TIOCSCTTY => take_by_call(at.terminal, argument.0 == 1, at.readable)?,
        TIOCGPGRP | TIOCGSID => {
            if !at.by_master && !terminal.ownership().controls(&task::current_process()) {
                return Err(Errno::ENOTTY);
            }
            let number = match (request, terminal.ownership().session()) {
                (TIOCGSID, 0) => return Err(Errno::ENOTTY),
                (TIOCGSID, session) => session,
                _ => terminal.ownership().group(),
            };
            write_object(argument, &number)?;
        }
        TIOCSPGRP => set_foreground(terminal, argument)?,
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

/// Calls that change the terminal stop a process in its background. (The master is nobody's terminal.)
fn terminal_in_foreground(at: &Request<'_>) -> Result<(), Errno> {
    if at.by_master {
        return Ok(());
    }
    at.terminal.ownership().check_foreground(Signal::SIGTTOU)
}

/// Changes the settings, except those that are locked.
fn set(
    terminal: &dyn Terminal,
    flush: bool,
    change: impl FnOnce(ExtendedTermios) -> Result<ExtendedTermios, Errno>,
) -> Result<(), Errno> {
    terminal.ownership().check_foreground(Signal::SIGTTOU)?;
    let now = terminal.settings();
    let mut new = change(now)?;
    if let Some(locked) = terminal.ownership().owner.lock().locked {
        keep_locked(&mut new.settings, &now.settings, &locked);
    }
    if flush {
        let what = Flush {
            input: true,
            output: false,
        };
        terminal.flush(what);
    }
    terminal.change_settings(new.with_named_speeds());
    Ok(())
}

fn keep_locked(new: &mut Termios, old: &Termios, locked: &Termios) {
    let keep = |new: &mut u32, old: u32, locked: u32| *new = *new & !locked | old & locked;
    keep(&mut new.input, old.input, locked.input);
    keep(&mut new.output, old.output, locked.output);
    keep(&mut new.control, old.control, locked.control);
    keep(&mut new.local, old.local, locked.local);
    if locked.discipline != 0 {
        new.discipline = old.discipline;
    }
    for (index, _) in locked.characters.iter().enumerate().filter(|&(_, &locked)| locked != 0) {
        new.characters[index] = old.characters[index];
    }
}

fn flush(line: &dyn Line, queue: u64) -> Result<(), Errno> {
    let (input, output) = match queue {
        0 => (true, false),
        1 => (false, true),
        2 => (true, true),
        _ => return Err(Errno::EINVAL),
    };
    line.flush(Flush { input, output });
    Ok(())
}

fn flow(at: &Request<'_>, action: u64) -> Result<(), Errno> {
    let characters = at.terminal.settings().settings.characters;
    let action = match action {
        0 => Flow::Stop,
        1 => Flow::Start,
        2 => Flow::Send(characters[character::STOP]),
        3 => Flow::Send(characters[character::START]),
        _ => return Err(Errno::EINVAL),
    };
    if action != Flow::Send(0) {
        at.end.flow(action);
    }
    Ok(())
}

/// `TIOCSPGRP`: another process group comes to the foreground.
fn set_foreground(terminal: &dyn Terminal, argument: UserPointer) -> Result<(), Errno> {
    let ownership = terminal.ownership();
    match ownership.check_foreground(Signal::SIGTTOU) {
        Err(Errno::EIO) => return Err(Errno::ENOTTY),
        other => other?,
    }
    let group: i32 = read_object(argument)?;
    let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
    let process = task::current_process();
    if !ownership.controls(&process) {
        return Err(Errno::ENOTTY);
    }
    let session = jobs::session_of_group_or_process(group).ok_or(Errno::ESRCH)?;
    if session != jobs::session_of(&process) {
        return Err(Errno::EPERM);
    }
    ownership.owner.lock().group = group;
    Ok(())
}
