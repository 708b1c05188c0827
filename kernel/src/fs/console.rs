//! Standard input, output and error, and the terminal.
//!
//! A stream that is a terminal on the host is a terminal here: the character device `/dev/console`. The host's
//! terminal does the work (echo, line editing, turning Ctrl-C into a signal); its settings are kept here, and
//! changes are passed on. Any other stream looks like a pipe.

use alloc::sync::Arc;
use core::any::Any;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents, Statfs, Termios, WindowSize};
use pith_linux::signal::Signal;
use spin::{Mutex, Once};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::file::{File, OpenFile, WriteAt};
use super::inode::{Inode, PathName};
use super::metadata::{Metadata, Timestamp};
use super::path::{self, Origin};
use super::pipe;
use crate::devices::console;
use crate::memory::{Destination, Source, UserPointer, read_object, write_object};
use crate::task::{self, WaitQueue, signal};

static TERMIOS: Mutex<ExtendedTermios> = Mutex::new(ExtendedTermios::STANDARD);

/// Settings of a terminal together with its speeds in bits per second (`struct termios2` of
/// `asm-generic/termbits.h`).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct ExtendedTermios {
    settings: Termios,
    input_speed: u32,
    output_speed: u32,
}

// The calls' numbers contain this length.
const _: () = assert!(size_of::<ExtendedTermios>() == 0x2c && size_of::<Termios>() == 36);

impl ExtendedTermios {
    const STANDARD: Self = Self {
        settings: Termios::STANDARD,
        input_speed: 38400,
        output_speed: 38400,
    };

    /// The speeds, as far as the settings name them (`CBAUD` and `CIBAUD` of termios(3)), follow the settings.
    fn with_named_speeds(mut self) -> Self {
        let output = self.settings.control & SPEED_BITS;
        let input = self.settings.control >> INPUT_SPEED_SHIFT & SPEED_BITS;
        self.output_speed = named_speed(output).unwrap_or(self.output_speed);
        self.input_speed = match input {
            0 => self.output_speed,
            input => named_speed(input).unwrap_or(self.input_speed),
        };
        self
    }
}

/// Bits of `c_cflag` that name the speed of output (`CBAUD`).
const SPEED_BITS: u32 = 0o10017;
/// Those for input lie this far above them (`IBSHIFT`); 0 there means "as for output".
const INPUT_SPEED_SHIFT: u32 = 16;
/// "Not one of the names: see the number" (`BOTHER`). With further bits it is one of the higher speeds.
const OTHER_SPEED: u32 = 0o10000;

/// The speed that the bits of `CBAUD` name; `None` for [`OTHER_SPEED`].
fn named_speed(bits: u32) -> Option<u32> {
    const LOW: [u32; 16] = [
        0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400,
    ];
    const HIGH: [u32; 15] = [
        57600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000,
        2_500_000, 3_000_000, 3_500_000, 4_000_000,
    ];
    match bits.checked_sub(OTHER_SPEED) {
        None => LOW.get(bits as usize).copied(),
        Some(0) => None,
        Some(number) => HIGH.get(number as usize - 1).copied(),
    }
}

fn read_stream(to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
    console::read_input_to(to, flags.contains(OpenFlags::NONBLOCKING))
}

fn write_stream(stream: u8, from: &mut Source<'_>) -> Result<(usize, u64), Errno> {
    match console::write_output_from(stream, from) {
        Ok(done) => Ok((done, 0)),
        Err(errno) => {
            if errno == Errno::EPIPE {
                signal::raise(Signal::SIGPIPE);
            }
            Err(errno)
        }
    }
}

fn input_readiness() -> PollEvents {
    if console::input_ready() {
        PollEvents::IN | PollEvents::READ_NORMAL
    } else {
        PollEvents::empty()
    }
}

fn bytes_to_read(argument: UserPointer) -> Result<usize, Errno> {
    write_object(argument, &(console::input_length()? as i32))?;
    Ok(0)
}

/// A standard stream that is no terminal.
struct Stream(u8);

impl File for Stream {
    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        read_stream(to, flags)
    }

    fn write(&self, _at: WriteAt, from: &mut Source<'_>, _flags: OpenFlags) -> Result<(usize, u64), Errno> {
        write_stream(self.0, from)
    }

    fn control(&self, request: u32, argument: UserPointer) -> Result<usize, Errno> {
        match request {
            FIONREAD if self.0 == 0 => bytes_to_read(argument),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn readiness(&self) -> PollEvents {
        match self.0 {
            // The end of a pipe is told as "hung up", not as something to read.
            0 if console::input_ready() && console::input_length() == Ok(0) => PollEvents::HANG_UP,
            0 => input_readiness(),
            stream if console::output_closed(stream) => PollEvents::ERROR,
            _ => PollEvents::OUT | PollEvents::WRITE_NORMAL,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(console::input_queue())
    }

    fn pipe_capacity(&self, new: Option<usize>) -> Result<usize, Errno> {
        match new {
            Some(_) => Err(Errno::EPERM), // the host's pipe has the size it has
            None => Ok(65536),
        }
    }
}

/// A standard stream that is no terminal, as an inode: a nameless pipe.
struct StreamInode {
    stream: u8,
    metadata: Metadata,
}

impl Inode for StreamInode {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn statistics(&self) -> Statfs {
        pipe::statistics()
    }

    fn metadata(&self) -> Metadata {
        self.metadata
    }

    fn kind(&self) -> FileKind {
        FileKind::Fifo
    }

    fn path(&self) -> PathName {
        PathName {
            bytes: super::description("pipe", self.metadata.number),
            removed: false,
        }
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        let input = self.stream == 0;
        if input && flags.writes() || !input && flags.reads() {
            return Err(Errno::EACCES);
        }
        Ok(Arc::new(Stream(self.stream)))
    }
}

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
const TCSETSF: u32 = 0x5404;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCOUTQ: u32 = 0x5411;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const FIONREAD: u32 = 0x541b;
const TIOCNOTTY: u32 = 0x5422;
const TCSBRKP: u32 = 0x5425;
const TIOCGSID: u32 = 0x5429;
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSW2: u32 = 0x402c_542c;
const TCSETSF2: u32 = 0x402c_542d;

/// The terminal.
struct Terminal {
    /// The standard stream that output goes to.
    output: u8,
}

impl Terminal {
    fn change_settings(&self, new: ExtendedTermios) {
        *TERMIOS.lock() = new.with_named_speeds();
        if let Ok(bytes) = new.settings.as_bytes().try_into() {
            console::set_terminal_attributes(self.output, bytes);
        }
    }
}

impl File for Terminal {
    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        read_stream(to, flags)
    }

    fn write(&self, _at: WriteAt, from: &mut Source<'_>, _flags: OpenFlags) -> Result<(usize, u64), Errno> {
        write_stream(self.output, from)
    }

    fn control(&self, request: u32, argument: UserPointer) -> Result<usize, Errno> {
        match request {
            TCGETS => {
                let settings = TERMIOS.lock().settings;
                write_object(argument, &settings)?;
            }
            TCGETS2 => {
                let settings = *TERMIOS.lock();
                write_object(argument, &settings)?;
            }
            TCSETS | TCSETSW | TCSETSF => {
                let settings: Termios = read_object(argument)?;
                let now = *TERMIOS.lock();
                self.change_settings(ExtendedTermios { settings, ..now });
            }
            TCSETS2 | TCSETSW2 | TCSETSF2 => self.change_settings(read_object(argument)?),
            TIOCGWINSZ => {
                let (rows, columns) = console::window_size();
                write_object(
                    argument,
                    &WindowSize {
                        rows,
                        columns,
                        width: 0,
                        height: 0,
                    },
                )?;
            }
            TIOCSWINSZ => {
                let size: WindowSize = read_object(argument)?;
                console::set_window_size(size.rows, size.columns);
            }
            TIOCGPGRP | TIOCGSID => write_object(argument, &task::current_process().id)?,
            TIOCSPGRP => {
                let group: i32 = read_object(argument)?;
                if i64::from(group) != i64::from(task::current_process().id) {
                    return Err(Errno::ESRCH);
                }
            }
            TIOCOUTQ => write_object(argument, &0_i32)?,
            FIONREAD => return bytes_to_read(argument),
            TCSBRK | TCSBRKP | TCXONC | TCFLSH | TIOCSCTTY | TIOCNOTTY => {}
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn readiness(&self) -> PollEvents {
        input_readiness() | PollEvents::OUT | PollEvents::WRITE_NORMAL
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(console::input_queue())
    }
}

/// Opens the terminal, as `/dev/tty` and `/dev/console` mean it.
///
/// # Errors
/// `ENXIO` if no standard stream is a terminal.
pub fn open_terminal() -> Result<Arc<dyn File>, Errno> {
    let output = [1, 2, 0]
        .into_iter()
        .find(|stream| console::is_terminal(*stream))
        .ok_or(Errno::ENXIO)?;
    Ok(Arc::new(Terminal { output: output.max(1) }))
}

static STREAMS: [Once<Arc<dyn Inode>>; 3] = [const { Once::new() }; 3];

/// Opens a standard stream for the first process.
///
/// # Errors
/// What is wrong with `/dev/console`.
pub fn open_standard(stream: u8, origin: &Origin) -> Result<Arc<OpenFile>, Errno> {
    if console::is_terminal(stream) {
        let inode = path::find(origin, b"/dev/console", true)?;
        let file = Arc::new(Terminal { output: stream.max(1) });
        return Ok(OpenFile::new(inode, file, OpenFlags::READ_WRITE));
    }
    let inode = STREAMS[usize::from(stream)].call_once(|| {
        let number = pipe::next_number();
        let metadata = Metadata::new(super::NAMELESS_DEVICE, number, FileKind::Fifo, 0o600, Timestamp::now());
        Arc::new(StreamInode { stream, metadata })
    });
    let flags = if stream == 0 {
        OpenFlags::empty()
    } else {
        OpenFlags::WRITE_ONLY
    };
    Ok(OpenFile::new(inode.clone(), Arc::new(Stream(stream)), flags))
}
