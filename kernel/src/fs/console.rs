//! Standard input, output and error, and the terminal.
//!
//! A stream that is a terminal on the host is a terminal here: the character device `/dev/console`. The host's
//! terminal does the work (echo, line editing, turning Ctrl-C into a signal); its settings are kept here, and
//! changes are passed on. Any other stream looks like a pipe.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags, PollEvents, Statfs, WindowSize};
use pith_linux::signal::Signal;
use pith_terminal::{ExtendedTermios, local};
use spin::{Mutex, Once};
use zerocopy::IntoBytes;

use super::file::{File, OpenFile, WriteAt};
use super::inode::{Inode, PathName};
use super::metadata::{Metadata, Timestamp};
use super::owner::Notices;
use super::path::{self, Origin};
use super::terminal::{self, Flow, Flush, Line, Ownership};
use super::{device_files, open, pipe};
use crate::devices::console;
use crate::memory::{Destination, Source, UserPointer, write_object};
use crate::task::jobs::Target;
use crate::task::{WaitQueue, signal};

static TERMIOS: Mutex<ExtendedTermios> = Mutex::new(ExtendedTermios::STANDARD);

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

/// `FIONREAD`
const BYTES_TO_READ: u32 = 0x541b;

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
            BYTES_TO_READ if self.0 == 0 => bytes_to_read(argument),
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

    fn notices(&self) -> Option<Notices> {
        Some(Notices::Line)
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

/// The terminal that standard streams are on the host.
struct Console;

static OWNERSHIP: Ownership = Ownership::new();
/// Output is stopped (`TCOOFF`); who writes waits.
static STOPPED: AtomicBool = AtomicBool::new(false);
static GOES_ON: WaitQueue = WaitQueue::new();

/// The standard stream that output goes to.
fn output_stream() -> Option<u8> {
    let stream = [1, 2, 0].into_iter().find(|stream| console::is_terminal(*stream))?;
    Some(stream.max(1))
}

impl Line for Console {
    fn flush(&self, what: Flush) {
        if what.input {
            console::discard_input();
        }
    }

    fn flow(&self, action: Flow) {
        match action {
            Flow::Stop => STOPPED.store(true, Ordering::SeqCst),
            Flow::Start => {
                STOPPED.store(false, Ordering::SeqCst);
                GOES_ON.wake_all();
            }
            Flow::Send(byte) => {
                if let Some(stream) = output_stream() {
                    // Nobody is told of a failure, as with the character itself.
                    let _ = write_stream(stream, &mut Source::kernel(&[byte]));
                }
            }
        }
    }

    fn input_length(&self) -> Result<usize, Errno> {
        console::input_length()
    }

    fn type_byte(&self, _byte: u8) -> Result<(), Errno> {
        crate::warning_once!("TIOCSTI at the console is refused (EIO): its input is the host's");
        Err(Errno::EIO)
    }
}

impl terminal::Terminal for Console {
    fn ownership(&self) -> &Ownership {
        &OWNERSHIP
    }

    fn number(&self) -> DeviceNumber {
        device_files::CONSOLE
    }

    fn settings(&self) -> ExtendedTermios {
        *TERMIOS.lock()
    }

    fn change_settings(&self, new: ExtendedTermios) {
        *TERMIOS.lock() = new;
        if let Ok(bytes) = new.settings.as_bytes().try_into()
            && let Some(stream) = output_stream()
        {
            console::set_terminal_attributes(stream, bytes);
        }
    }

    fn window(&self) -> WindowSize {
        let (rows, columns) = console::window_size();
        WindowSize {
            rows,
            columns,
            width: 0,
            height: 0,
        }
    }

    fn set_window(&self, size: WindowSize) {
        console::set_window_size(size.rows, size.columns);
    }

    fn open_again(&self) -> Result<Arc<dyn File>, Errno> {
        open_terminal()
    }

    fn hang_up(&self) {
        OWNERSHIP.hung_up();
    }
}

static CONSOLE: Once<Arc<dyn terminal::Terminal>> = Once::new();

/// The terminal. It controls the first process's session from the start.
fn terminal() -> &'static Arc<dyn terminal::Terminal> {
    CONSOLE.call_once(|| {
        let terminal: Arc<dyn terminal::Terminal> = Arc::new(Console);
        // Without memory now, there is none for the first program either.
        let _ = terminal::control_first_session(&terminal);
        terminal
    })
}

/// Passes a signal on that the host's terminal has caused: to whoever is in the foreground. False if there is no terminal.
/// May be called by interrupt handlers.
pub fn signal_foreground(signal: Signal) -> bool {
    if CONSOLE.get().is_none() || OWNERSHIP.group() == 0 {
        return false;
    }
    OWNERSHIP.signal(signal);
    true
}

/// The terminal, opened.
struct OpenConsole {
    /// The standard stream that output goes to.
    output: u8,
}

impl File for OpenConsole {
    fn takes_nowait(&self) -> bool {
        false
    }

    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        OWNERSHIP.check_foreground(Signal::SIGTTIN)?;
        read_stream(to, flags)
    }

    fn write(&self, _at: WriteAt, from: &mut Source<'_>, flags: OpenFlags) -> Result<(usize, u64), Errno> {
        if TERMIOS.lock().settings.local & local::TOSTOP != 0 {
            OWNERSHIP.check_foreground(Signal::SIGTTOU)?;
        }
        if STOPPED.load(Ordering::SeqCst) {
            if flags.contains(OpenFlags::NONBLOCKING) {
                return Err(Errno::EAGAIN);
            }
            GOES_ON.wait(|| (!STOPPED.load(Ordering::SeqCst)).then_some(()))?;
        }
        write_stream(self.output, from)
    }

    fn control(&self, number: u32, argument: UserPointer) -> Result<usize, Errno> {
        let at = terminal::Request {
            terminal: terminal(),
            end: &Console,
            by_master: false,
            readable: true,
        };
        terminal::request(&at, number, argument)
    }

    fn readiness(&self) -> PollEvents {
        let mut events = input_readiness();
        if !STOPPED.load(Ordering::SeqCst) {
            events |= PollEvents::OUT | PollEvents::WRITE_NORMAL;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(console::input_queue())
    }

    fn notices(&self) -> Option<Notices> {
        Some(Notices::Line)
    }

    fn natural_owner(&self) -> Option<Target> {
        Some(OWNERSHIP.natural_owner())
    }
}

/// Opens the terminal, as `/dev/console` means it.
///
/// # Errors
/// `ENXIO` if no standard stream is a terminal.
pub fn open_terminal() -> Result<Arc<dyn File>, Errno> {
    let output = output_stream().ok_or(Errno::ENXIO)?;
    terminal();
    Ok(Arc::new(OpenConsole { output }))
}

static STREAMS: [Once<Arc<dyn Inode>>; 3] = [const { Once::new() }; 3];

/// Opens a standard stream for the first process.
///
/// # Errors
/// What is wrong with `/dev/console` or `/dev/null`.
pub fn open_standard(stream: u8, origin: &Origin) -> Result<Arc<OpenFile>, Errno> {
    if console::is_terminal(stream) {
        let inode = path::find(origin, b"/dev/console", true)?;
        terminal();
        let file = Arc::new(OpenConsole { output: stream.max(1) });
        return Ok(OpenFile::new(inode, file, OpenFlags::READ_WRITE));
    }
    if console::is_null(stream) {
        // Programs that take input from pipes by themselves, as `ack` and `rg` do, tell one from the other.
        return open::open_at(origin, b"/dev/null", OpenFlags::empty(), 0);
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
