//! The console: everything that leaves the machine or enters it as text.
//!
//! Where a monitor speaks the [channel](pith_abi::channel), the program's output, the kernel's messages, the
//! call trace and the exit report are frames on it; input, signals and the terminal's size come the other way.
//! Without a channel, all of it is plain text on the first serial port.
//!
//! Output is copied once, from the program's memory into a buffer that the device reads. Threads that find
//! all buffers in use sleep; messages of the kernel wait for the device instead, for they may come from
//! anywhere. Input is asked for when the program first reads.

mod channel;
mod settings;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use pith_abi::channel::{CHANNEL_VERSION, ExitReport, FrameKind, Outcome};
use pith_abi::image::LogLevel;
use pith_linux::Errno;
use pith_linux::files::PollEvents;
use spin::Once;

use super::interrupts::Handler;
use super::serial::SerialConsole;
use super::shared_memory::Buffer;
use super::virtio::Failure;
use super::virtio::console::VirtioConsole;
use crate::arch;
use crate::log;
use crate::memory::{Destination, Source};
use crate::sync::InterruptMutex;
use crate::task::{WaitQueue, try_current};
use channel::{CLOSED, Channel, WINDOW};
use settings::Settings;

/// Whether taking a buffer may take memory from the frame allocator, which interrupt handlers and panics must
/// not use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// It may.
    Allowed,
    /// It must not; a small buffer that is kept for this may be used.
    Forbidden,
}

/// A device that carries bytes out of the machine and into it.
pub trait ConsoleDevice: Send {
    /// A buffer to fill. `None` while all are in use.
    fn take_buffer(&mut self, allocation: Allocation) -> Option<Buffer>;
    /// Gives a buffer back unused.
    fn keep_buffer(&mut self, buffer: Buffer);
    /// Sends the first `length` bytes of a buffer, which comes back by itself.
    fn send(&mut self, buffer: Buffer, length: usize);
    /// Buffers that were sent and are not consumed yet.
    fn in_flight(&mut self) -> usize;
    /// Whether the device is to interrupt when it has consumed a buffer. What it consumed before causes none.
    fn set_completion_interrupts(&mut self, wanted: bool);
    /// Tells the device that its interrupt was seen.
    fn acknowledge_interrupt(&mut self);
    /// Passes what has arrived to `take`: up to `limit` bytes, if the device can hold more back.
    fn receive(&mut self, limit: usize, take: &mut dyn FnMut(&[u8]));
    /// Why the device is of no use any more.
    fn failure(&self) -> Option<Failure>;
    /// What it is, for people.
    fn name(&self) -> &'static str;
}

/// Most bytes that one read takes.
const INPUT_PIECE: usize = 64 * 1024;
/// How often a panic looks for the device to go on before it gives up: about a second.
const PANIC_PATIENCE: u32 = 20_000_000;

static CHANNEL: InterruptMutex<Option<Channel>> = InterruptMutex::new(None);
static INPUT_QUEUE: WaitQueue = WaitQueue::new();
static OUTPUT_QUEUE: WaitQueue = WaitQueue::new();
static TERMINALS: AtomicU8 = AtomicU8::new(0);

/// Whether standard input has nothing to give from the start, as `/dev/null` on the host.
static NO_INPUT: AtomicBool = AtomicBool::new(false);
static SIGNAL_HOOK: Once<fn(u8)> = Once::new();
static TIME_HOOK: Once<fn(u64, u64)> = Once::new();
/// The time stamp counter when the host was told that the guest is ready. It answers at once, but that is seen only when
/// interrupts are served, perhaps much later: so its answer is taken for the time when it was asked.
static READY_AT: AtomicU64 = AtomicU64::new(0);
static PANICKING: AtomicBool = AtomicBool::new(false);

/// Finds the console that the command line names, announces the kernel to the host, and takes over the
/// kernel's messages. Needs memory and the interrupt controllers.
///
/// If it can't be used, says so on the first serial port and ends the machine: nobody would ever hear of it.
pub fn initialise(command_line: &str) {
    let settings = Settings::parse(command_line);
    TERMINALS.store(settings.terminals, Ordering::Relaxed);
    NO_INPUT.store(!settings.has_input, Ordering::Relaxed);
    let (rows, columns) = settings.window.unwrap_or((0, 0));
    WINDOW.store(u32::from(rows) << 16 | u32::from(columns), Ordering::Relaxed);

    let device: Result<Box<dyn ConsoleDevice>, Failure> = match settings.channel {
        Some("virtio") => VirtioConsole::find(command_line, HANDLER).map(|device| Box::new(device) as _),
        Some("serial") | None => SerialConsole::new(HANDLER).map(|device| Box::new(device) as _),
        Some(other) => give_up(format_args!(
            "pith.channel={other} names no channel that this kernel knows: virtio or serial"
        )),
    };
    let mut channel = match device {
        Ok(device) => Channel::new(device, settings.channel.is_some(), settings.has_input),
        Err(failure) => match settings.channel {
            Some(name) => give_up(format_args!(
                "the {name} console that pith.channel={name} asks for: {failure}"
            )),
            // Nobody asked for a channel, and there is no port to complain on: run without output.
            None => return,
        },
    };
    READY_AT.store(arch::read_time_stamp_counter(), Ordering::Relaxed);
    if channel.is_framed() && !channel.message(FrameKind::Ready, 0, &CHANNEL_VERSION.to_le_bytes()) {
        give_up(format_args!("the {} takes nothing", channel.device.name()));
    }
    *CHANNEL.lock() = Some(channel);
    log::set_sink(self::log);
}

fn give_up(text: fmt::Arguments<'_>) -> ! {
    arch::serial::print_early(format_args!("error: console: {text}\n"));
    arch::power_off()
}

/// Names who is told of signals from the host. Called from an interrupt handler, so it must not sleep. Signals
/// that came before are passed on now.
pub fn on_signal(hook: fn(u8)) {
    SIGNAL_HOOK.call_once(|| hook);
    if let Some(channel) = &mut *CHANNEL.lock() {
        pass_signals(channel);
    }
}

fn pass_signals(channel: &mut Channel) {
    if let Some(hook) = SIGNAL_HOOK.get() {
        let mut signals = channel.take_signals();
        while signals != 0 {
            hook(signals.trailing_zeros() as u8 + 1);
            signals &= signals - 1;
        }
    }
}

/// Names who is told what time it is: a reading of the time stamp counter, and nanoseconds since 1970 at that time. Called
/// from an interrupt handler.
pub fn on_time(hook: fn(u64, u64)) {
    TIME_HOOK.call_once(|| hook);
    if let Some(channel) = &mut *CHANNEL.lock() {
        pass_time(channel);
    }
}

fn pass_time(channel: &mut Channel) {
    if let Some(hook) = TIME_HOOK.get()
        && let Some(time) = channel.take_time()
    {
        hook(READY_AT.load(Ordering::Relaxed), time);
    }
}

const HANDLER: Handler = Handler {
    call: interrupt,
    argument: 0,
    describe: |_, text| text.write_str("console"),
};

/// The device's interrupt.
fn interrupt(_: usize) {
    let mut arrived = false;
    if let Some(channel) = &mut *CHANNEL.lock() {
        let before = (channel.has_input(), channel.input_length());
        channel.serve();
        arrived = (channel.has_input(), channel.input_length()) != before;
        pass_time(channel);
        pass_signals(channel);
    }
    INPUT_QUEUE.wake(if arrived {
        PollEvents::IN | PollEvents::READ_NORMAL
    } else {
        PollEvents::empty()
    });
    OUTPUT_QUEUE.wake_all();
    // After the device was served, so that what they wait for is there.
    let mut halted = HALTED.load(Ordering::SeqCst) & !(1 << arch::cpu_index());
    while halted != 0 {
        arch::send_reschedule(halted.trailing_zeros() as usize);
        halted &= halted - 1;
    }
}

/// Processors that halt in [`until`]: bit n for processor n. The device interrupts one processor, which has to wake the
/// others.
static HALTED: AtomicU64 = AtomicU64::new(0);

/// What a thread that wants to write gets.
enum Turn {
    Buffer(Buffer, usize),
    Refused(Errno),
}

/// A buffer for output to a stream, if there is one now.
fn take_turn(stream: u8) -> Option<Turn> {
    if output_closed(stream) {
        return Some(Turn::Refused(Errno::EPIPE));
    }
    let mut guard = CHANNEL.lock();
    let Some(channel) = &mut *guard else {
        return Some(Turn::Refused(Errno::EIO));
    };
    if channel.device.failure().is_some() {
        return Some(Turn::Refused(Errno::EIO));
    }
    let prefix = channel.prefix();
    let take = |channel: &mut Channel| channel.device.take_buffer(Allocation::Allowed);
    let buffer = take(channel).or_else(|| {
        channel.await_completion();
        take(channel)
    })?;
    Some(Turn::Buffer(buffer, prefix))
}

/// Writes all that `source` gives to the program's output stream 1 or 2, and returns how many bytes that were.
/// Sleeps while the host does not take them. No lock may be held.
///
/// # Errors
/// If nothing was written: `EPIPE` if nobody reads the stream any more, `EINTR` by a signal, `EFAULT` if the
/// program's memory can't be read, `EIO` if there is no console or its device has failed.
pub fn write_output_from(stream: u8, source: &mut Source<'_>) -> Result<usize, Errno> {
    let mut written = 0;
    while source.remaining() > 0 {
        match write_piece(stream, source) {
            Ok(length) => written += length,
            Err(errno) if written == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(written)
}

/// One frame.
fn write_piece(stream: u8, source: &mut Source<'_>) -> Result<usize, Errno> {
    let turn = match take_turn(stream) {
        Some(turn) => turn,
        None => OUTPUT_QUEUE.wait(|| take_turn(stream))?,
    };
    let (mut buffer, prefix) = match turn {
        Turn::Buffer(buffer, prefix) => (buffer, prefix),
        Turn::Refused(errno) => return Err(errno),
    };
    // The program's memory may have to be paged in, so the channel is not locked meanwhile.
    let taken = source.take(&mut buffer.bytes_mut()[prefix..]);
    let mut guard = CHANNEL.lock();
    let channel = guard.as_mut().ok_or(Errno::EIO)?;
    match taken {
        Ok(length) if length > 0 => channel.finish(buffer, FrameKind::Output, stream, length),
        _ => channel.give_back(buffer),
    }
    match taken {
        // Part of a piece was readable and the next byte is not.
        Ok(0) => Err(Errno::EFAULT),
        taken => taken,
    }
}

/// Reads standard input and returns how many bytes `target` took; what it did not take is left for the next
/// read. 0 means the end of the input, or that nothing was asked for. No lock may be held.
///
/// # Errors
/// `EAGAIN` if there is nothing and `nonblocking` is set, `EINTR` by a signal, `EFAULT` if the program's memory
/// can't be written, `ENOMEM`, `EIO` without a console.
pub fn read_input_to(target: &mut Destination<'_>, nonblocking: bool) -> Result<usize, Errno> {
    if target.remaining() == 0 {
        return Ok(0);
    }
    let bytes = begin_reading(target.remaining().min(INPUT_PIECE), nonblocking)?;
    // The program's memory may have to be paged in, so the channel is not locked meanwhile.
    let taken = target.put(&bytes);
    if let Some(channel) = &mut *CHANNEL.lock() {
        channel.end_reading(taken.unwrap_or(0));
    }
    INPUT_QUEUE.wake_all();
    taken
}

/// Waits for input and for the turn to read it.
fn begin_reading(most: usize, nonblocking: bool) -> Result<Vec<u8>, Errno> {
    let attempt = || {
        let mut guard = CHANNEL.lock();
        let Some(channel) = &mut *guard else {
            return Some(Err(Errno::EIO));
        };
        if channel.ask_for_input().is_err() {
            return Some(Err(Errno::ENOMEM));
        }
        if !channel.has_input() {
            if channel.device.failure().is_some() {
                return Some(Err(Errno::EIO));
            }
            return None;
        }
        let copy = channel.begin_reading(most)?;
        Some(copy.map_err(|_| Errno::ENOMEM))
    };
    match attempt() {
        Some(result) => result,
        None if nonblocking => Err(Errno::EAGAIN),
        None => INPUT_QUEUE.wait(attempt)?,
    }
}

/// Whether [`read_input_to`] would return at once: there are bytes, or it is the end. Asks the host for input, so
/// that what is not there yet will wake [`input_queue`]. May be used as condition of a wait.
pub fn input_ready() -> bool {
    match &mut *CHANNEL.lock() {
        // An error is an answer too.
        None => true,
        Some(channel) => channel.ask_for_input().is_err() || channel.has_input() || channel.device.failure().is_some(),
    }
}

/// Bytes of standard input that are here (`FIONREAD`). Asks the host for input, so that asking again will tell
/// of more.
///
/// # Errors
/// `ENOMEM` if there is no memory to keep input in.
pub fn input_length() -> Result<usize, Errno> {
    match &mut *CHANNEL.lock() {
        None => Ok(0),
        Some(channel) => {
            channel.ask_for_input().map_err(|_| Errno::ENOMEM)?;
            Ok(channel.input_length())
        }
    }
}

/// Forgets standard input that is here and that nobody is reading.
pub fn discard_input() {
    if let Some(channel) = &mut *CHANNEL.lock()
        && channel.has_input()
        && let Some(Ok(bytes)) = channel.begin_reading(usize::MAX)
    {
        channel.end_reading(bytes.len());
    }
}

/// Woken when input, its end or a signal arrives.
pub fn input_queue() -> &'static WaitQueue {
    &INPUT_QUEUE
}

/// Whether nobody reads output stream 1 or 2 any more.
pub fn output_closed(stream: u8) -> bool {
    CLOSED.load(Ordering::Relaxed) & 1_u8.checked_shl(stream.into()).unwrap_or(0) != 0
}

/// Whether standard stream 0, 1 or 2 is a terminal on the host.
pub fn is_terminal(stream: u8) -> bool {
    TERMINALS.load(Ordering::Relaxed) & 1_u8.checked_shl(stream.into()).unwrap_or(0) != 0
}

/// Whether standard stream 0, 1 or 2 is the null device on the host. Of output streams nobody tells us.
pub fn is_null(stream: u8) -> bool {
    stream == 0 && NO_INPUT.load(Ordering::Relaxed)
}

/// Rows and columns of the terminal; zeroes if they are not known, as on a serial line of Linux.
pub fn window_size() -> (u16, u16) {
    let size = WINDOW.load(Ordering::Relaxed);
    ((size >> 16) as u16, size as u16)
}

/// Changes what the kernel believes the terminal's size to be (`TIOCSWINSZ`). The host's terminal stays as it is.
pub fn set_window_size(rows: u16, columns: u16) {
    WINDOW.store(u32::from(rows) << 16 | u32::from(columns), Ordering::Relaxed);
}

/// Passes a terminal's attributes (the 36 bytes of the kernel's `struct termios`) on to the host.
pub fn set_terminal_attributes(stream: u8, termios: &[u8; 36]) {
    // Without a channel there is no terminal that could be told, and no one to hear of a failure.
    let _ = until(|channel| {
        (!channel.is_framed() || channel.message(FrameKind::TerminalAttributes, stream, termios)).then_some(())
    });
}

/// The channel can't be used now.
#[derive(Clone, Copy, Debug)]
struct Unreachable;

/// Repeats `attempt` until it gives a value, waiting for the device in between. May be called from anywhere,
/// also with interrupts off or in a panic.
fn until<T>(mut attempt: impl FnMut(&mut Channel) -> Option<T>) -> Result<T, Unreachable> {
    let may_halt = arch::interrupts_enabled() && !PANICKING.load(Ordering::Relaxed);
    let own = 1 << arch::cpu_index();
    let mut patience = PANIC_PATIENCE;
    if may_halt {
        HALTED.fetch_or(own, Ordering::SeqCst);
    }
    let result = loop {
        if may_halt {
            arch::disable_interrupts();
        }
        match CHANNEL.try_lock() {
            // Its holder was interrupted by whoever calls this, and will not go on.
            None if PANICKING.load(Ordering::Relaxed) => break Err(Unreachable),
            None => {
                // Another processor has it, for a moment.
                if may_halt {
                    arch::enable_interrupts();
                }
                core::hint::spin_loop();
                continue;
            }
            Some(mut guard) => {
                let Some(channel) = &mut *guard else {
                    break Err(Unreachable);
                };
                let result = attempt(channel).or_else(|| {
                    channel.await_completion();
                    attempt(channel)
                });
                if let Some(value) = result {
                    break Ok(value);
                }
                if channel.device.failure().is_some() {
                    break Err(Unreachable);
                }
            }
        }
        if PANICKING.load(Ordering::Relaxed) {
            match patience.checked_sub(1) {
                Some(left) => patience = left,
                None => break Err(Unreachable),
            }
        }
        if may_halt {
            // Interrupts were off since before the attempt, so the one that ends the wait can't be missed: that of the
            // device, or of the processor that it has interrupted.
            arch::wait_for_interrupt();
        } else {
            core::hint::spin_loop();
        }
    };
    if may_halt {
        HALTED.fetch_and(!own, Ordering::SeqCst);
        arch::enable_interrupts();
    }
    result
}

/// Sends text as frames of a kind, or as a line where there are no frames. What does not fit into one frame
/// goes into several. Falls back to the first serial port.
fn say(kind: FrameKind, level: LogLevel, parts: [&str; 3]) {
    let [mut module, mut separator, mut text] = parts;
    let detail = if kind == FrameKind::Log { level as u8 } else { 0 };
    let mut line_start = true;
    loop {
        let sent = until(|channel| {
            let mut buffer = channel.device.take_buffer(Allocation::Forbidden)?;
            let prefix = channel.prefix();
            let mut writer = Filler {
                bytes: &mut buffer.bytes_mut()[prefix..],
                length: 0,
            };
            if !channel.is_framed() && line_start && kind == FrameKind::Log {
                writer.push(log::name(level));
                writer.push(": ");
            }
            line_start = false;
            for part in [&mut module, &mut separator, &mut text] {
                let taken = writer.push(part);
                *part = &part[taken..];
            }
            let complete = text.is_empty() && (channel.is_framed() || writer.push("\r\n") == 2);
            let length = writer.length;
            channel.finish(buffer, kind, detail, length);
            Some(complete)
        });
        match sent {
            Ok(true) => return,
            Ok(false) => {}
            Err(Unreachable) => {
                arch::serial::print_early(format_args!("{}: {module}{separator}{text}\n", log::name(level)));
                return;
            }
        }
    }
}

/// Fills a slice with text.
struct Filler<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl Filler<'_> {
    /// Appends as much of `text` as fits, in whole characters, and returns its length.
    fn push(&mut self, text: &str) -> usize {
        let room = self.bytes.len() - self.length;
        let taken = text.floor_char_boundary(room);
        self.bytes[self.length..self.length + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        taken
    }
}

/// Sends a message of the kernel.
pub fn log(level: LogLevel, module: &str, text: &str) {
    say(FrameKind::Log, level, [module, ": ", text]);
}

/// Sends a line of the call trace.
pub fn trace_line(text: &str) {
    say(FrameKind::Trace, LogLevel::Trace, ["", "", text]);
}

/// Tells the host which paths were looked for in vain; each has a byte of zero behind it. Without frames nobody is told.
pub fn lacking(mut paths: &[u8]) {
    while !paths.is_empty() {
        let sent = until(|channel| {
            if !channel.is_framed() {
                return Some(0);
            }
            let mut buffer = channel.device.take_buffer(Allocation::Forbidden)?;
            let prefix = channel.prefix();
            let room = (buffer.length() - prefix).min(paths.len());
            // No path goes into two frames.
            let length = paths[..room]
                .iter()
                .rposition(|byte| *byte == 0)
                .map_or(0, |end| end + 1);
            if length == 0 {
                channel.device.keep_buffer(buffer);
                return Some(0);
            }
            buffer.bytes_mut()[prefix..prefix + length].copy_from_slice(&paths[..length]);
            channel.finish(buffer, FrameKind::Lacking, 0, length);
            Some(length)
        });
        match sent {
            Ok(length) if length > 0 => paths = &paths[length..],
            _ => return,
        }
    }
}

/// Text of a panic up to the end of its line.
struct PanicLine {
    bytes: [u8; 256],
    length: usize,
}

static PANIC_LINE: InterruptMutex<PanicLine> = InterruptMutex::new(PanicLine {
    bytes: [0; 256],
    length: 0,
});

impl PanicLine {
    fn push(&mut self, text: &str) {
        for character in text.chars() {
            if self.length + character.len_utf8() > self.bytes.len() {
                self.flush();
            }
            if character == '\n' {
                self.flush();
            } else {
                self.length += character.encode_utf8(&mut self.bytes[self.length..]).len();
            }
        }
    }

    fn flush(&mut self) {
        // Only whole characters were put in, so this is text.
        if let Ok(line) = core::str::from_utf8(&self.bytes[..self.length]) {
            say(FrameKind::Log, LogLevel::Error, ["", "", line]);
        }
        self.length = 0;
    }
}

/// Sends text of a panic, in pieces; a line goes out when its newline comes, or with [`report_exit`]. From now
/// on nothing here sleeps, takes memory or waits for a lock; what can't go over the channel goes to the first
/// serial port.
pub fn panic_text(text: &str) {
    PANICKING.store(true, Ordering::Relaxed);
    match PANIC_LINE.try_lock() {
        Some(mut line) => line.push(text),
        // A panic while sending the text of a panic.
        None => arch::serial::print_early(format_args!("{text}")),
    }
}

/// Tells the host how the machine ended, waits until it has taken everything, and ends the machine.
pub fn report_exit(report: &ExitReport) -> ! {
    if matches!(report.outcome, Outcome::Panicked(_)) || PANICKING.load(Ordering::Relaxed) {
        PANICKING.store(true, Ordering::Relaxed);
        if let Some(mut line) = PANIC_LINE.try_lock()
            && line.length > 0
        {
            line.flush();
        }
    } else if try_current().is_some() {
        // Lets the processor rest while a slow reader takes what is left.
        arch::enable_interrupts();
    }
    let sent = until(|channel| {
        if !channel.is_framed() {
            return Some(false);
        }
        let mut buffer = channel.device.take_buffer(Allocation::Forbidden)?;
        let prefix = channel.prefix();
        match encode(report, &mut buffer.bytes_mut()[prefix..]) {
            Some(length) => {
                channel.finish(buffer, FrameKind::Exit, 0, length);
                Some(true)
            }
            None => {
                channel.device.keep_buffer(buffer);
                Some(false)
            }
        }
    });
    if !matches!(sent, Ok(true)) {
        say_exit(&report.outcome);
    }
    // If the channel has failed, the text above went to the serial port, which is always flushed.
    let _ = until(|channel| channel.is_flushed().then_some(()));
    arch::power_off()
}

/// Writes a report in postcard; one whose text is too long is shortened.
fn encode(report: &ExitReport, target: &mut [u8]) -> Option<usize> {
    if let Ok(encoded) = postcard::to_slice(report, target) {
        return Some(encoded.len());
    }
    let mut report = report.clone();
    let shorten = |text: &mut String| text.truncate(text.floor_char_boundary(target.len() / 2));
    match &mut report.outcome {
        Outcome::Exited(_) => {}
        Outcome::Signaled { reason: text, .. }
        | Outcome::NotStarted { message: text, .. }
        | Outcome::Panicked(text) => {
            shorten(text);
        }
    }
    postcard::to_slice(&report, target).ok().map(|encoded| encoded.len())
}

/// How the machine ended, in words, where no report can be sent.
fn say_exit(outcome: &Outcome) {
    let print = |text: fmt::Arguments<'_>| arch::serial::print_early(format_args!("{text}\n"));
    match outcome {
        Outcome::Exited(0) => {}
        Outcome::Exited(status) => print(format_args!("the program ended with status {status}")),
        Outcome::Signaled { signal, reason } if reason.is_empty() => {
            print(format_args!("the program was killed by signal {signal}"));
        }
        Outcome::Signaled { signal, reason } => {
            print(format_args!("the program was killed by signal {signal}: {reason}"));
        }
        Outcome::NotStarted { errno, message } => print(format_args!("{message} (error {errno})")),
        Outcome::Panicked(message) => print(format_args!("kernel panic: {message}")),
    }
}
