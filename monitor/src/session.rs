//! The host's half of the channel: one thread, one poll(2), until the machine has ended.
//!
//! Nothing here blocks but the poll, so that signals and the time limit always work: a reader that has
//! stopped reading our output only stops the reading of the guest's.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pith_abi::channel::{CHANNEL_VERSION, ExitReport, MAXIMUM_PAYLOAD, Outcome};
use pith_abi::image::LogLevel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::low_level::emulate_default_handler;

use crate::console::{Console, Written};
use crate::frame::{FrameDecoder, FrameError, GuestFrame, HostFrame, OutputStream};
use crate::launch::{Machine, Monitor, StartError};
use crate::report::{Ending, GuestFigures, HostTimes, Report, signal_name};
use crate::signals::HostSignals;
use crate::specification::MachineSpecification;
use crate::symbols::{Symbols, image_has_kernel};
use crate::terminal::{
    TerminalGuard, console_words, is_in_background, is_null_device, is_terminal, window_size,
};

/// A second Ctrl-C within this time kills the machine.
const SECOND_INTERRUPT: Duration = Duration::from_secs(2);

/// A program that was told to terminate has this long.
const TERMINATION_GRACE: Duration = Duration::from_secs(10);

/// A monitor whose guest has reported its end has this long to end by itself.
const MONITOR_GRACE: Duration = Duration::from_millis(50);

/// A monitor that closed the channel has this long to end by itself, so that its exit status is known.
const LOSS_GRACE: Duration = Duration::from_millis(500);

/// After a kill, readers of our output have this long to take what is left.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How often to look whether a terminal that belongs to another job has become ours.
const FOREGROUND_CHECK: Duration = Duration::from_millis(250);

/// Pause before trying again to write to a stream that took nothing though it was called writable.
const WRITE_PAUSE: Duration = Duration::from_millis(5);

/// Bytes of paths that a guest may name as lacking; more are not kept.
const LACKING_LIMIT: usize = MAXIMUM_PAYLOAD as usize;

/// Bytes for the guest that may wait to be written; more standard input is not read until they are.
const OUTGOING_LIMIT: usize = 2 * MAXIMUM_PAYLOAD as usize;

/// Capacity of the pipe from the monitor, in bytes.
const PIPE_CAPACITY: usize = 1 << 20;

/// Longest line of console text, in bytes; more is broken into lines.
const CONSOLE_LINE: usize = 4096;

/// Most bytes of the monitor's complaints that are kept.
const COMPLAINTS: usize = 16 * 1024;

/// The three standard streams that the program inside should have.
#[derive(Clone, Copy, Debug)]
pub struct HostStreams<'a> {
    /// File descriptor 0.
    pub input: BorrowedFd<'a>,
    /// File descriptor 1.
    pub output: BorrowedFd<'a>,
    /// File descriptor 2.
    pub error: BorrowedFd<'a>,
}

impl HostStreams<'static> {
    /// This process's own.
    pub fn standard() -> Self {
        Self {
            input: rustix::stdio::stdin(),
            output: rustix::stdio::stdout(),
            error: rustix::stdio::stderr(),
        }
    }
}

impl<'a> HostStreams<'a> {
    /// The stream with a number: 0, 1, and 2 for all others.
    pub(crate) fn descriptor(&self, number: u8) -> BorrowedFd<'a> {
        match number {
            0 => self.input,
            1 => self.output,
            _ => self.error,
        }
    }
}

/// How to run a machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions<'a> {
    /// Kill the machine after this time.
    pub timeout: Option<Duration>,
    /// Show no messages of the kernel but errors.
    pub quiet: bool,
    /// The kernel with its symbols, to put names to addresses in its messages.
    pub kernel: Option<&'a [u8]>,
}

/// Why a run gave no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The machine was not started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The machine ended and did not say how.
    #[error("{0}")]
    Lost(Loss),
    /// The guest does not keep to the protocol.
    #[error("the channel to the guest is broken: it sent {0}")]
    Channel(#[from] FrameError),
    /// The guest speaks another version of the protocol.
    #[error("the image speaks version {0} of the channel, and this pith version {CHANNEL_VERSION}")]
    Version(u32),
    /// The program's output can't be written.
    #[error("can't write {stream}: {source}")]
    Output {
        /// Which stream, in words.
        stream: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A system call that should not fail did.
    #[error("can't {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl RunError {
    /// What the user can do.
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Start(error) => error.remedy(),
            Self::Lost(loss) => Some(loss.remedy),
            Self::Channel(_) | Self::Version(_) => {
                Some("build the image again with this version of pith")
            }
            Self::Output { .. } => Some("make room there, or send the output elsewhere"),
            Self::System { .. } => None,
        }
    }
}

/// What is known about a machine that ended without a report.
#[derive(Debug)]
pub struct Loss {
    monitor: &'static str,
    /// `None` if the monitor closed the channel and went on, so that it had to be killed.
    status: Option<ExitStatus>,
    complaints: String,
    began: bool,
    remedy: &'static str,
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let monitor = self.monitor;
        match self.status {
            None => write!(
                formatter,
                "{monitor} closed the channel before the program ended"
            )?,
            Some(status) => match status.signal() {
                Some(signal) => {
                    let name = signal_name(u8::try_from(signal).unwrap_or(0));
                    write!(
                        formatter,
                        "{monitor} was killed by signal {signal} ({name})"
                    )?;
                }
                None => {
                    let when = match self.began {
                        true => "before the program ended",
                        false => "before the program began",
                    };
                    let code = status.code().unwrap_or(-1);
                    write!(
                        formatter,
                        "the machine stopped {when} ({monitor}'s status {code})"
                    )?;
                }
            },
        }
        if !self.complaints.is_empty() {
            write!(formatter, ": {}", self.complaints.trim_end())?;
        }
        Ok(())
    }
}

/// Starts a machine, lets the program inside use `streams`, and returns when it has ended.
///
/// While it runs, the signals HUP, INT, QUIT, TERM and WINCH to this process are the program's.
/// The kernel command line of `specification` is completed with what the kernel has to know about the host.
pub fn run(
    monitor: &dyn Monitor,
    specification: &MachineSpecification,
    streams: HostStreams<'_>,
    options: &RunOptions<'_>,
) -> Result<Report, RunError> {
    let begin = Instant::now();
    let signals = HostSignals::new().map_err(|source| RunError::System {
        what: "take over signals",
        source,
    })?;
    let mut specification = specification.clone();
    let line = &mut specification.command_line;
    for (key, value) in monitor.channel_words() {
        line.push(key, value.as_bytes());
    }
    console_words(&streams, line);
    line.push_time(SystemTime::now());

    let machine = monitor.start(&specification)?;
    let mut session = Session {
        monitor,
        specification: &specification,
        options,
        streams,
        console: Console::new(streams, options.quiet),
        terminal: TerminalGuard::new(streams),
        signals,
        decoder: FrameDecoder::new(),
        channel_open: true,
        log_open: true,
        log_line: Vec::new(),
        complaints: String::new(),
        outgoing: Vec::new(),
        outgoing_written: 0,
        input: Input {
            open: !is_null_device(streams.input),
            terminal: is_terminal(streams.input),
            credit: 0,
            pause: None,
        },
        output_pause: None,
        output_error: None,
        last_interrupt: None,
        kill_at: None,
        report: None,
        lacking: Vec::new(),
        symbols: None,
        begin,
        times: HostTimes {
            spawned: begin.elapsed(),
            ..HostTimes::default()
        },
        machine,
    };
    let end = session.prepare().and_then(|()| session.drive());
    session.finish(end)
}

/// State of standard input.
struct Input {
    /// Whether more may come.
    open: bool,
    /// Whether it is a terminal, so that job control applies.
    terminal: bool,
    /// Bytes that the guest can still take.
    credit: u64,
    /// Leave it alone until then.
    pause: Option<Instant>,
}

/// Why the loop ended.
enum End {
    /// The exit report is in `Session::report`, and its output is written.
    Reported,
    /// The channel was closed without a report.
    Lost,
    /// The machine has to be killed.
    Kill(Ending),
}

/// What a poll waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Signals,
    FromGuest,
    Log,
    ToGuest,
    Input,
    Output,
}

struct Session<'a> {
    monitor: &'a dyn Monitor,
    specification: &'a MachineSpecification,
    options: &'a RunOptions<'a>,
    streams: HostStreams<'a>,
    console: Console<'a>,
    /// Before `machine`, so that the terminal is itself again while the machine is being killed.
    terminal: TerminalGuard<'a>,
    signals: HostSignals,
    decoder: FrameDecoder,
    channel_open: bool,
    log_open: bool,
    /// Console text since the last newline.
    log_line: Vec<u8>,
    /// What the monitor said about itself.
    complaints: String,
    /// Frames for the guest, and how much of them was written.
    outgoing: Vec<u8>,
    outgoing_written: usize,
    input: Input,
    output_pause: Option<Instant>,
    output_error: Option<(OutputStream, io::Error)>,
    last_interrupt: Option<Instant>,
    /// When to give up on a program that was told to terminate, and the signal that told it.
    kill_at: Option<(Instant, u8)>,
    report: Option<ExitReport>,
    /// Paths that the image lacks, each with a byte of zero behind it.
    lacking: Vec<u8>,
    /// Read when first needed.
    symbols: Option<Symbols>,
    begin: Instant,
    times: HostTimes,
    machine: Machine,
}

impl Session<'_> {
    /// Makes our ends of the machine's pipes non-blocking.
    fn prepare(&mut self) -> Result<(), RunError> {
        let machine = &self.machine;
        // A small pipe works too, only slower: the limit for users without privileges may be lower.
        let _ = fcntl_setpipe_size(&machine.from_guest, PIPE_CAPACITY);
        ioctl_fionbio(&machine.to_guest, true)
            .and_then(|()| ioctl_fionbio(&machine.from_guest, true))
            .and_then(|()| ioctl_fionbio(&machine.console, true))
            .map_err(|error| system("make pipes non-blocking", error))
    }

    fn drive(&mut self) -> Result<End, RunError> {
        let mut buffer = vec![0; MAXIMUM_PAYLOAD as usize];
        loop {
            let now = Instant::now();
            if let Some(end) = self.deadline_passed(now) {
                return Ok(end);
            }
            if !self.channel_open && self.report.is_none() {
                return Ok(End::Lost);
            }
            for source in self.wait(now)? {
                let end = match source {
                    Source::Signals => self.take_signals(),
                    Source::FromGuest => {
                        self.read_channel(&mut buffer)?;
                        None
                    }
                    Source::Log => {
                        self.read_log(&mut buffer);
                        None
                    }
                    Source::ToGuest => {
                        self.write_outgoing();
                        None
                    }
                    Source::Input => {
                        self.read_input(&mut buffer);
                        None
                    }
                    Source::Output => {
                        self.write_output();
                        None
                    }
                };
                if let Some(end) = end {
                    return Ok(end);
                }
            }
        }
    }

    /// Whether the loop ends because of the time, or because all is done.
    fn deadline_passed(&mut self, now: Instant) -> Option<End> {
        if self.report.is_some() {
            let reported = self.begin + self.times.reported.unwrap_or_default();
            let monitor_done = !self.channel_open || now >= reported + MONITOR_GRACE;
            return (monitor_done && self.console.is_empty()).then_some(End::Reported);
        }
        if let Some(limit) = self.options.timeout
            && now >= self.begin + limit
        {
            return Some(End::Kill(Ending::TimedOut(limit)));
        }
        match self.kill_at {
            Some((time, signal)) if now >= time => Some(End::Kill(Ending::Interrupted(signal))),
            _ => None,
        }
    }

    /// The next time at which something happens by itself.
    fn next_deadline(&self) -> Option<Instant> {
        let running = self.report.is_none();
        let timeout = self.options.timeout.filter(|_| running);
        let reported = self.times.reported.filter(|_| self.channel_open);
        [
            timeout.map(|limit| self.begin + limit),
            self.kill_at.filter(|_| running).map(|(time, _)| time),
            reported.map(|time| self.begin + time + MONITOR_GRACE),
            self.input.pause,
            self.output_pause,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Sleeps until something can be done, and says what.
    fn wait(&mut self, now: Instant) -> Result<Vec<Source>, RunError> {
        let due = |pause: &mut Option<Instant>| {
            *pause = pause.filter(|time| *time > now);
            pause.is_none()
        };
        let input_due = due(&mut self.input.pause);
        let output_due = due(&mut self.output_pause);
        let running = self.report.is_none();
        let ready = self.times.ready.is_some();

        let mut wanted: Vec<(Source, BorrowedFd<'_>, PollFlags)> = Vec::with_capacity(6);
        wanted.push((Source::Signals, self.signals.descriptor(), PollFlags::IN));
        if self.channel_open && !self.console.is_full() {
            wanted.push((
                Source::FromGuest,
                self.machine.from_guest.as_fd(),
                PollFlags::IN,
            ));
        }
        if self.log_open && !self.console.is_full() {
            wanted.push((Source::Log, self.machine.console.as_fd(), PollFlags::IN));
        }
        // A guest without a channel has no place to put frames yet.
        if ready && running && !self.outgoing.is_empty() {
            wanted.push((
                Source::ToGuest,
                self.machine.to_guest.as_fd(),
                PollFlags::OUT,
            ));
        }
        if ready
            && running
            && self.input.open
            && self.input.credit > 0
            && input_due
            && self.outgoing.len() < OUTGOING_LIMIT
        {
            wanted.push((Source::Input, self.streams.input, PollFlags::IN));
        }
        if output_due && let Some(descriptor) = self.console.next_descriptor() {
            wanted.push((Source::Output, descriptor, PollFlags::OUT));
        }

        let timeout = self.next_deadline().map(|time| {
            let left = time.saturating_duration_since(now);
            Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let mut descriptors: Vec<PollFd<'_>> = wanted
            .iter()
            .map(|&(_, descriptor, events)| PollFd::from_borrowed_fd(descriptor, events))
            .collect();
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(system("wait for the machine", error)),
        }
        // Errors and hang-ups count as ready: the read or write that follows tells more.
        Ok(wanted
            .iter()
            .zip(&descriptors)
            .filter(|(_, polled)| !polled.revents().is_empty())
            .map(|((source, ..), _)| *source)
            .collect())
    }

    fn take_signals(&mut self) -> Option<End> {
        for signal in self.signals.pending() {
            match signal {
                SIGWINCH => self.send_window_size(),
                SIGTSTP => self.stop_and_continue(),
                _ => {
                    if let Some(end) = self.pass_signal(signal) {
                        return Some(end);
                    }
                }
            }
        }
        None
    }

    /// Gives a signal to the program, or up on it.
    fn pass_signal(&mut self, signal: i32) -> Option<End> {
        let number = u8::try_from(signal).unwrap_or(0);
        let kill = Some(End::Kill(Ending::Interrupted(number)));
        // No program yet, or none any more: only the output of a finished one may still be waiting.
        if self.times.ready.is_none() || self.report.is_some() {
            return kill;
        }
        let now = Instant::now();
        match signal {
            SIGINT | SIGQUIT => {
                let last = self.last_interrupt.replace(now);
                if last.is_some_and(|last| now - last < SECOND_INTERRUPT) {
                    return kill;
                }
            }
            SIGTERM | SIGHUP => {
                self.kill_at
                    .get_or_insert((now + TERMINATION_GRACE, number));
            }
            _ => {}
        }
        self.send(HostFrame::Signal(number.into()));
        None
    }

    fn send_window_size(&mut self) {
        if let Some((rows, columns)) = window_size(&self.streams) {
            self.send(HostFrame::WindowSize { rows, columns });
        }
    }

    /// Ctrl-Z: stops the machine and ourselves, as any job, until the shell continues us.
    fn stop_and_continue(&mut self) {
        let machine = i32::try_from(self.machine.process_id())
            .ok()
            .and_then(Pid::from_raw);
        let signal_machine = |signal| {
            if let Some(machine) = machine {
                // It may have ended in the meantime, which the channel tells.
                let _ = kill_process(machine, signal);
            }
        };
        signal_machine(Signal::STOP);
        self.terminal.suspend();
        // Comes back when somebody continues us. If we can't stop, we go on.
        let _ = emulate_default_handler(SIGTSTP);
        self.terminal.resume();
        signal_machine(Signal::CONT);
        self.send_window_size();
    }

    fn send(&mut self, frame: HostFrame<'_>) {
        frame.encode(&mut self.outgoing);
    }

    /// Says what time it is. What stands on the command line was true before the monitor started.
    fn send_time(&mut self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        if let Some(now) = since.ok().and_then(|now| now.as_nanos().try_into().ok()) {
            self.send(HostFrame::Time(now));
        }
    }

    fn write_outgoing(&mut self) {
        match rustix::io::write(
            &self.machine.to_guest,
            &self.outgoing[self.outgoing_written..],
        ) {
            Ok(count) => self.outgoing_written += count,
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The monitor listens no more, so it is about to end; the channel tells.
            Err(_) => self.outgoing_written = self.outgoing.len(),
        }
        if self.outgoing_written == self.outgoing.len() {
            self.outgoing.clear();
            self.outgoing_written = 0;
        }
    }

    fn read_input(&mut self, buffer: &mut [u8]) {
        if self.input.terminal && is_in_background(self.streams.input) {
            // Reading now would stop us, and take what was typed for somebody else.
            self.input.pause = Some(Instant::now() + FOREGROUND_CHECK);
            return;
        }
        let limit = usize::try_from(self.input.credit)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        match rustix::io::read(self.streams.input, &mut buffer[..limit]) {
            Ok(0) => self.end_input(),
            Ok(count) => {
                self.input.credit -= count as u64;
                self.send(HostFrame::Input(&buffer[..count]));
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => {
                let error = io::Error::from(error);
                self.console.message(
                    LogLevel::Warn,
                    &format!("can't read standard input: {error}"),
                );
                self.end_input();
            }
        }
    }

    fn end_input(&mut self) {
        self.input.open = false;
        self.send(HostFrame::InputEnd);
    }

    fn write_output(&mut self) {
        match self.console.write_some() {
            Written::Progress => {}
            Written::Blocked => self.output_pause = Some(Instant::now() + WRITE_PAUSE),
            Written::Closed(stream) => self.send(HostFrame::OutputClosed(stream)),
            Written::Failed(stream, error) => {
                self.send(HostFrame::OutputClosed(stream));
                self.output_error.get_or_insert((stream, error));
            }
        }
        self.apply_attributes();
    }

    /// Gives terminals the attributes that no output has to come before any more.
    fn apply_attributes(&mut self) {
        while let Some((number, attributes)) = self.console.next_attributes() {
            self.terminal.apply(number, &attributes);
        }
    }

    fn read_channel(&mut self, buffer: &mut [u8]) -> Result<(), RunError> {
        match rustix::io::read(&self.machine.from_guest, &mut *buffer) {
            Ok(0) => self.channel_open = false,
            Ok(count) => {
                // What comes after the exit report has no meaning.
                if self.report.is_none() {
                    self.decoder.push(&buffer[..count]);
                    self.take_frames()?;
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(system("read from the machine", error)),
        }
        Ok(())
    }

    fn take_frames(&mut self) -> Result<(), RunError> {
        let mut decoder = mem::take(&mut self.decoder);
        while self.report.is_none()
            && let Some(frame) = decoder.next_frame()?
        {
            match frame {
                GuestFrame::Ready(version @ 1..=CHANNEL_VERSION) => {
                    self.times.ready.get_or_insert(self.begin.elapsed());
                    if version > 1 {
                        self.send_time();
                    }
                }
                GuestFrame::Ready(version) => return Err(RunError::Version(version)),
                GuestFrame::Output(stream, bytes) => self.console.push(stream, bytes),
                GuestFrame::Log(level, text) => {
                    let text = self.with_names(&String::from_utf8_lossy(text));
                    self.console.message(level, &text);
                }
                GuestFrame::Trace(text) => self.console.line(&String::from_utf8_lossy(text)),
                GuestFrame::Lacking(paths) => {
                    if self.lacking.len() + paths.len() <= LACKING_LIMIT {
                        self.lacking.extend_from_slice(paths);
                    }
                }
                GuestFrame::InputCredit(bytes) => {
                    self.input.credit = self.input.credit.saturating_add(bytes.into());
                }
                GuestFrame::TerminalAttributes(number, attributes) => {
                    self.console.push_attributes(number, attributes);
                    self.apply_attributes();
                }
                GuestFrame::Exit(report) => {
                    self.times.reported = Some(self.begin.elapsed());
                    self.report = Some(report);
                }
            }
        }
        self.decoder = decoder;
        Ok(())
    }

    fn read_log(&mut self, buffer: &mut [u8]) {
        match rustix::io::read(&self.machine.console, &mut *buffer) {
            Ok(0) => self.log_open = false,
            Ok(count) => {
                for &byte in &buffer[..count] {
                    if byte == b'\n' || self.log_line.len() == CONSOLE_LINE {
                        self.end_log_line();
                    }
                    if byte != b'\n' && byte != b'\r' {
                        self.log_line.push(byte);
                    }
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Only words are lost; how the machine ended comes by the channel.
            Err(_) => self.log_open = false,
        }
    }

    fn end_log_line(&mut self) {
        let line = mem::take(&mut self.log_line);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if self.monitor.owns_line(line) {
            if self.complaints.len() < COMPLAINTS {
                self.complaints.push_str(line);
                self.complaints.push('\n');
            }
        } else if !line.is_empty() {
            let line = self.with_names(line);
            self.console.line(&format!("pith: kernel: {line}"));
        }
    }

    /// The text with names after kernel addresses, where this is known to be the image's kernel.
    fn with_names(&mut self, text: &str) -> String {
        let Some(kernel) = self.options.kernel else {
            return text.to_owned();
        };
        if !text.contains(crate::symbols::PREFIX) {
            return text.to_owned();
        }
        let image = &self.specification.image;
        self.symbols
            .get_or_insert_with(|| match image_has_kernel(image, kernel) {
                true => Symbols::parse(kernel),
                false => Symbols::default(),
            })
            .annotate(text)
    }

    /// Ends the machine for good, says what is left to say, and makes the report.
    fn finish(&mut self, end: Result<End, RunError>) -> Result<Report, RunError> {
        let status = match &end {
            Ok(End::Lost) => self.wait_for_monitor(),
            _ => None,
        };
        let killed = self.machine.kill().map_err(|source| RunError::System {
            what: "end the machine",
            source,
        });
        self.drain(end.is_ok());
        // The shell that comes after us should find its terminal as it was.
        self.terminal.suspend();

        let result = end.and_then(|end| match end {
            End::Lost => Err(RunError::Lost(self.loss(status))),
            End::Reported => self.reported(),
            // The exit report may have come while the machine was being killed.
            End::Kill(ending) => Ok(self.killed(ending)),
        });
        if result.is_err() {
            self.console.end_line();
        }
        let limit = match &result {
            Ok(Report {
                ending: Ending::Reported(_),
                ..
            }) => None,
            _ => Some(LAST_WORDS),
        };
        self.flush(limit);
        killed?;
        let mut report = result?;
        if let Some((stream, source)) = self.output_error.take() {
            let stream = match stream {
                OutputStream::Output => "standard output",
                OutputStream::Error => "standard error",
            };
            return Err(RunError::Output { stream, source });
        }
        self.times.ended = self.begin.elapsed();
        report.host = self.times;
        Ok(report)
    }

    /// After the channel was closed: how the monitor ended, if it does so by itself.
    fn wait_for_monitor(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + LOSS_GRACE;
        loop {
            match self.machine.try_wait() {
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(2)),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }

    /// Takes what is left in the pipes of a machine that is gone.
    fn drain(&mut self, channel_works: bool) {
        let mut buffer = vec![0; MAXIMUM_PAYLOAD as usize];
        let mut drained = |session: &mut Self, read: fn(&mut Self, &mut [u8]) -> bool| {
            // Bounded, in case somebody else holds the other end.
            for _ in 0..64 {
                if !read(session, &mut buffer) {
                    break;
                }
            }
        };
        if channel_works && self.report.is_none() {
            drained(self, |session, buffer| {
                // A frame that was cut off by the kill is no news.
                session.read_channel(buffer).is_ok() && session.channel_open && session.has_more()
            });
        }
        drained(self, |session, buffer| {
            session.read_log(buffer);
            session.log_open && session.has_more()
        });
        if !self.log_line.is_empty() {
            self.end_log_line();
        }
    }

    /// Whether a pipe from the machine has something, or its end, to read.
    fn has_more(&self) -> bool {
        let mut descriptors = [
            PollFd::new(&self.machine.from_guest, PollFlags::IN),
            PollFd::new(&self.machine.console, PollFlags::IN),
        ];
        let now = Timespec::default();
        poll(&mut descriptors, Some(&now)).is_ok_and(|count| count > 0)
    }

    fn loss(&mut self, status: Option<ExitStatus>) -> Loss {
        let complaints = mem::take(&mut self.complaints);
        let remedy = self.monitor.remedy(&complaints).unwrap_or(
            "the lines above, if any, are the kernel's last words; run again with --log debug, \
             and report it if it stays",
        );
        Loss {
            monitor: self.monitor.name(),
            status,
            complaints,
            began: self.times.ready.is_some(),
            remedy,
        }
    }

    /// The report of a machine that told how it ended, in words too where a number says too little.
    fn reported(&mut self) -> Result<Report, RunError> {
        let Some(report) = self.report.take() else {
            return Err(RunError::Lost(self.loss(None)));
        };
        match &report.outcome {
            Outcome::Exited(_) => {}
            Outcome::Signaled { signal, reason } => {
                // Nobody is surprised by these: shells don't mention them either.
                let expected = [SIGINT, SIGPIPE].contains(&i32::from(*signal));
                if !expected && !self.options.quiet {
                    let name = signal_name(*signal);
                    let reason = match reason.is_empty() {
                        true => String::new(),
                        false => format!(": {reason}"),
                    };
                    let text = format!("pith: program killed by signal {signal} ({name}){reason}");
                    self.console.line(&text);
                }
            }
            Outcome::NotStarted { message, .. } => {
                self.console.message(LogLevel::Error, message);
            }
            Outcome::Panicked(message) => {
                let mut text = "the kernel panicked".to_owned();
                if !message.is_empty() {
                    text += ": ";
                    text += &self.with_names(message);
                }
                self.console.message(LogLevel::Error, &text);
                self.console.line(
                    "  remedy: this is a defect of Pith; please report it with the lines above",
                );
            }
        }
        Ok(Report {
            guest: Some(GuestFigures::new(&report)),
            ending: Ending::Reported(report.outcome),
            host: self.times,
            lacking: self.lacking_paths(),
        })
    }

    fn lacking_paths(&self) -> Vec<PathBuf> {
        let paths = self.lacking.split(|byte| *byte == 0);
        paths
            .filter(|path| !path.is_empty())
            .map(|path| PathBuf::from(OsStr::from_bytes(path)))
            .collect()
    }

    /// The report of a machine that was killed.
    fn killed(&mut self, ending: Ending) -> Report {
        match &ending {
            Ending::TimedOut(limit) => {
                let text =
                    format!("the program still ran after {limit:?}, and was killed (--timeout)");
                self.console.message(LogLevel::Error, &text);
            }
            Ending::Interrupted(signal) => {
                let name = signal_name(*signal);
                let text = match i32::from(*signal) {
                    _ if self.times.ready.is_none() => {
                        format!("{name} before the program began: killed the machine")
                    }
                    SIGINT | SIGQUIT => format!("second {name}: killed the machine"),
                    _ => format!(
                        "the program still ran {} s after {name}: killed the machine",
                        TERMINATION_GRACE.as_secs()
                    ),
                };
                if self.report.is_none() {
                    self.console.message(LogLevel::Warn, &text);
                }
            }
            Ending::Reported(_) => {}
        }
        Report {
            ending,
            guest: self.report.take().as_ref().map(GuestFigures::new),
            host: self.times,
            lacking: self.lacking_paths(),
        }
    }

    /// Writes what is queued, until it is written, the time is up, or the user wants to leave.
    fn flush(&mut self, limit: Option<Duration>) {
        let until = limit.map(|limit| Instant::now() + limit);
        while let Some(descriptor) = self.console.next_descriptor() {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return;
            }
            let timeout = left.map(|left| Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            let mut descriptors = [
                PollFd::from_borrowed_fd(descriptor, PollFlags::OUT),
                PollFd::from_borrowed_fd(self.signals.descriptor(), PollFlags::IN),
            ];
            match poll(&mut descriptors, timeout.as_ref()) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(_) => return,
            }
            let [writable, signalled] = descriptors.map(|polled| !polled.revents().is_empty());
            if signalled
                && self
                    .signals
                    .pending()
                    .iter()
                    .any(|signal| [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(signal))
            {
                return;
            }
            if writable {
                match self.console.write_some() {
                    Written::Blocked => thread::sleep(WRITE_PAUSE),
                    Written::Failed(stream, error) => {
                        self.output_error.get_or_insert((stream, error));
                    }
                    Written::Progress | Written::Closed(_) => {}
                }
                self.apply_attributes();
            }
        }
    }
}

fn system(what: &'static str, error: Errno) -> RunError {
    RunError::System {
        what,
        source: error.into(),
    }
}
