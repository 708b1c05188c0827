//! Everything that goes to the host's standard output and standard error, in the order it came.
//!
//! One queue for both streams: where both lead to one terminal or file, the order of the program's writes
//! is the order of the text. The queue is bounded by its owner, who stops listening to the guest while
//! [`Console::is_full`].
//!
//! Writes never block: a reader that has stopped reading must not keep Ctrl-C or `--timeout` from working.
//! The descriptors are shared with other processes, so they can't be made non-blocking. But a pipe or
//! terminal that poll(2) calls writable takes [`SAFE_WRITE`] bytes at once (pipe(7), `PIPE_BUF`).

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use pith_abi::image::LogLevel;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use crate::frame::{OutputStream, TERMIOS_LENGTH};
use crate::session::HostStreams;
use crate::terminal::is_terminal;

/// Bytes that a writable pipe takes without blocking.
const SAFE_WRITE: usize = 4096;

/// Bytes in the queue from which on nothing more should be put in.
const FULL: usize = 256 * 1024;

/// How many changes of a terminal may wait for output to be written until nothing more should be put in.
const MOST_ATTRIBUTES: usize = 64;

/// Chunks of one stream are joined up to this many bytes.
const CHUNK: usize = 64 * 1024;

/// What became of a write.
#[derive(Debug)]
pub(crate) enum Written {
    /// Something was written, or there was nothing to write.
    Progress,
    /// The stream takes nothing at the moment.
    Blocked,
    /// Nobody reads the stream any more. Its bytes are dropped from now on.
    Closed(OutputStream),
    /// The stream failed otherwise: a full disk, for example. Its bytes are dropped from now on.
    Failed(OutputStream, io::Error),
}

/// The queue, and what it leads to.
pub(crate) struct Console<'a> {
    streams: HostStreams<'a>,
    /// Most bytes to write at once, for each stream.
    write_limit: [usize; 2],
    closed: [bool; 2],
    queue: VecDeque<(OutputStream, Vec<u8>)>,
    /// Attributes that the program gave a terminal, by its descriptor, each with the bytes that are to be written before.
    attributes: VecDeque<(u64, u8, [u8; TERMIOS_LENGTH])>,
    /// Bytes that were ever queued.
    queued: u64,
    /// Bytes of the first chunk that were written.
    written: usize,
    /// Bytes in the queue.
    length: usize,
    /// Whether the text that people see on standard error is at the start of a line.
    line_start: bool,
    /// Whether both streams are terminals, so that standard output too moves the cursor that counts.
    one_terminal: bool,
    /// Whether only errors are shown.
    quiet: bool,
}

impl<'a> Console<'a> {
    pub(crate) fn new(streams: HostStreams<'a>, quiet: bool) -> Self {
        let limit = |descriptor: BorrowedFd<'_>| match fstat(descriptor) {
            Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::RegularFile => CHUNK,
            _ => SAFE_WRITE,
        };
        Self {
            streams,
            write_limit: [limit(streams.output), limit(streams.error)],
            closed: [false; 2],
            queue: VecDeque::new(),
            attributes: VecDeque::new(),
            queued: 0,
            written: 0,
            length: 0,
            line_start: true,
            one_terminal: is_terminal(streams.output) && is_terminal(streams.error),
            quiet,
        }
    }

    /// Whether the guest should not be listened to until something was written.
    pub(crate) fn is_full(&self) -> bool {
        self.length >= FULL || self.attributes.len() >= MOST_ATTRIBUTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where the next byte goes.
    pub(crate) fn next_descriptor(&self) -> Option<BorrowedFd<'a>> {
        self.queue
            .front()
            .map(|(stream, _)| self.streams.descriptor(stream.number()))
    }

    /// Queues bytes as they are.
    pub(crate) fn push(&mut self, stream: OutputStream, bytes: &[u8]) {
        if bytes.is_empty() || self.closed[slot(stream)] {
            return;
        }
        if stream == OutputStream::Error || self.one_terminal {
            self.line_start = bytes.ends_with(b"\n");
        }
        self.length += bytes.len();
        self.queued += bytes.len() as u64;
        match self.queue.back_mut() {
            Some((last, chunk)) if *last == stream && chunk.len() < CHUNK => {
                chunk.extend_from_slice(bytes);
            }
            _ => self.queue.push_back((stream, bytes.to_vec())),
        }
    }

    /// Queues attributes of a terminal: what was written before them must have come to it as it was.
    pub(crate) fn push_attributes(&mut self, number: u8, attributes: &[u8; TERMIOS_LENGTH]) {
        self.attributes
            .push_back((self.queued, number, *attributes));
    }

    /// Bytes that were queued at any time and are not any more.
    fn done(&self) -> u64 {
        self.queued - self.length as u64
    }

    /// Attributes whose time has come. Ask after each [`Self::push_attributes`] and [`Self::write_some`] until there are
    /// none.
    pub(crate) fn next_attributes(&mut self) -> Option<(u8, [u8; TERMIOS_LENGTH])> {
        let done = self.done();
        let (_, number, attributes) = self.attributes.pop_front_if(|(after, ..)| *after <= done)?;
        Some((number, attributes))
    }

    /// Queues a line of our own for standard error. It starts on a line of its own, whatever the program
    /// left there.
    pub(crate) fn line(&mut self, text: &str) {
        let mut line = String::with_capacity(text.len() + 2);
        if !self.line_start {
            line.push('\n');
        }
        line.extend(text.chars().flat_map(printable));
        line.push('\n');
        self.push(OutputStream::Error, line.as_bytes());
    }

    /// Queues a message with its severity, unless the user wants quiet.
    pub(crate) fn message(&mut self, level: LogLevel, text: &str) {
        if self.quiet && level > LogLevel::Error {
            return;
        }
        let severity = match level {
            LogLevel::Error => "error",
            LogLevel::Warn => "warning",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        };
        for line in text.lines() {
            self.line(&format!("pith: {severity}: {line}"));
        }
    }

    /// Ends a line that the program left open, so that what comes next to standard error starts a new one.
    pub(crate) fn end_line(&mut self) {
        if !self.line_start {
            self.push(OutputStream::Error, b"\n");
        }
    }

    /// Writes some of the first chunk. Call it when [`Self::next_descriptor`] is writable.
    pub(crate) fn write_some(&mut self) -> Written {
        let Some((stream, chunk)) = self.queue.front() else {
            return Written::Progress;
        };
        let stream = *stream;
        let rest = &chunk[self.written..];
        // What was written after attributes were set waits for them.
        let done = self.done();
        let before_attributes = match self.attributes.front() {
            Some((after, ..)) if *after > done => (after - done) as usize,
            _ => usize::MAX,
        };
        let rest = &rest[..rest
            .len()
            .min(self.write_limit[slot(stream)])
            .min(before_attributes)];
        match rustix::io::write(self.streams.descriptor(stream.number()), rest) {
            Ok(count) => {
                self.written += count;
                self.length -= count;
                if self.written == chunk.len() {
                    self.queue.pop_front();
                    self.written = 0;
                }
                Written::Progress
            }
            Err(Errno::INTR) => Written::Progress,
            Err(Errno::AGAIN) => Written::Blocked,
            Err(error) => {
                self.close(stream);
                match error {
                    Errno::PIPE => Written::Closed(stream),
                    _ => Written::Failed(stream, error.into()),
                }
            }
        }
    }

    /// Drops what is and will be queued for a stream.
    fn close(&mut self, stream: OutputStream) {
        self.closed[slot(stream)] = true;
        self.queue.retain(|(queued, _)| *queued != stream);
        // The chunk that was partly written was the failing stream's.
        self.written = 0;
        self.length = self.queue.iter().map(|(_, chunk)| chunk.len()).sum();
    }
}

fn slot(stream: OutputStream) -> usize {
    match stream {
        OutputStream::Output => 0,
        OutputStream::Error => 1,
    }
}

/// A character as it may appear in a message. What a guest says must not steer the user's terminal.
fn printable(character: char) -> impl Iterator<Item = char> {
    let escape = character.is_control() && character != '\t' && character != '\n';
    let (plain, escaped) = match escape {
        false => (Some(character), None),
        true => (None, Some(character.escape_default())),
    };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::pipe;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    /// Runs `act` on a console over pipes, writes everything, and returns both streams.
    fn written(quiet: bool, act: impl FnOnce(&mut Console<'_>)) -> (String, String) {
        let (output_read, output) = pipe().unwrap();
        let (error_read, error) = pipe().unwrap();
        {
            let null = File::open("/dev/null").unwrap();
            let streams = HostStreams {
                input: null.as_fd(),
                output: output.as_fd(),
                error: error.as_fd(),
            };
            let mut console = Console::new(streams, quiet);
            act(&mut console);
            while !console.is_empty() {
                assert!(matches!(console.write_some(), Written::Progress));
            }
            assert!(console.next_descriptor().is_none());
        }
        drop((output, error));
        let text = |descriptor| {
            let mut text = String::new();
            File::from(descriptor).read_to_string(&mut text).unwrap();
            text
        };
        (text(output_read), text(error_read))
    }

    #[test]
    fn messages_start_on_their_own_line_and_streams_stay_apart() {
        let (output, error) = written(false, |console| {
            console.push(OutputStream::Output, b"out");
            console.push(OutputStream::Error, b"err");
            console.message(LogLevel::Warn, "careful\x1b[2J\nnow");
            console.push(OutputStream::Error, b"open");
            console.end_line();
            console.end_line();
        });
        assert_eq!(output, "out");
        assert_eq!(
            error,
            "err\npith: warning: careful\\u{1b}[2J\npith: warning: now\nopen\n"
        );
    }

    #[test]
    fn quiet_shows_errors_only() {
        let (_, error) = written(true, |console| {
            console.message(LogLevel::Warn, "hm");
            console.message(LogLevel::Error, "no");
        });
        assert_eq!(error, "pith: error: no\n");
    }

    #[test]
    fn a_closed_reader_drops_its_stream_only() {
        let (output_read, output) = pipe().unwrap();
        let (error_read, error) = pipe().unwrap();
        drop(output_read);
        let null = File::open("/dev/null").unwrap();
        let mut console = Console::new(
            HostStreams {
                input: null.as_fd(),
                output: output.as_fd(),
                error: error.as_fd(),
            },
            false,
        );
        console.push(OutputStream::Output, &[b'x'; 10_000]);
        console.push(OutputStream::Error, b"still here");
        console.push(OutputStream::Output, b"more");
        assert!(matches!(
            console.write_some(),
            Written::Closed(OutputStream::Output)
        ));
        console.push(OutputStream::Output, b"for nobody");
        assert!(matches!(console.write_some(), Written::Progress));
        assert!(console.is_empty());
        drop(error);
        let mut text = String::new();
        File::from(error_read).read_to_string(&mut text).unwrap();
        assert_eq!(text, "still here");
    }

    #[test]
    fn attributes_wait_for_what_was_written_before_them() {
        written(false, |console| {
            console.push_attributes(0, &[1; TERMIOS_LENGTH]);
            assert_eq!(console.next_attributes(), Some((0, [1; TERMIOS_LENGTH])));
            console.push(OutputStream::Output, b"before");
            console.push_attributes(1, &[2; TERMIOS_LENGTH]);
            console.push(OutputStream::Error, b"after");
            assert_eq!(console.next_attributes(), None);
            assert!(matches!(console.write_some(), Written::Progress));
            assert_eq!(console.next_attributes(), Some((1, [2; TERMIOS_LENGTH])));
            assert_eq!(console.next_attributes(), None);
            assert!(matches!(console.write_some(), Written::Progress));
            // Nor does what is written after them go with what was written before.
            console.push(OutputStream::Output, b"before");
            console.push_attributes(1, &[3; TERMIOS_LENGTH]);
            console.push(OutputStream::Output, b"after");
            assert!(matches!(console.write_some(), Written::Progress));
            assert_eq!(console.length, b"after".len());
            assert_eq!(console.next_attributes(), Some((1, [3; TERMIOS_LENGTH])));
            for _ in 0..MOST_ATTRIBUTES {
                console.push_attributes(1, &[2; TERMIOS_LENGTH]);
            }
            assert!(console.is_full());
        });
    }

    #[test]
    fn a_full_queue_says_so() {
        let null = File::options().write(true).open("/dev/null").unwrap();
        let streams = HostStreams {
            input: null.as_fd(),
            output: null.as_fd(),
            error: null.as_fd(),
        };
        let mut console = Console::new(streams, false);
        while !console.is_full() {
            console.push(OutputStream::Output, &[0; 10_000]);
        }
        assert!(console.length >= FULL);
        while !console.is_empty() {
            assert!(matches!(console.write_some(), Written::Progress));
        }
        assert!(!console.is_full());
    }
}
