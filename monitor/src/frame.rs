//! Cuts the channel's byte stream into frames, and writes frames.
//!
//! The guest is not trusted: whatever it sends, the decoder holds at most one frame and answers with an
//! error that says which rule of [`pith_abi::channel`] was broken.

use pith_abi::channel::{ExitReport, FrameHeader, FrameKind, MAXIMUM_PAYLOAD};
use pith_abi::image::LogLevel;
use zerocopy::{FromBytes, IntoBytes};

/// Length of a frame's header in bytes.
const HEADER_LENGTH: usize = size_of::<FrameHeader>();

/// Length in bytes of Linux's `struct termios` (asm-generic/termbits.h): four words of flags, the line
/// discipline, 19 control characters.
pub const TERMIOS_LENGTH: usize = 36;

/// One of the program's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// File descriptor 1.
    Output,
    /// File descriptor 2.
    Error,
}

impl OutputStream {
    /// The file descriptor's number.
    pub fn number(self) -> u8 {
        match self {
            Self::Output => 1,
            Self::Error => 2,
        }
    }
}

/// What the guest said.
#[derive(Debug, PartialEq, Eq)]
pub enum GuestFrame<'a> {
    /// The channel is up, with this version of the protocol.
    Ready(u32),
    /// The program wrote these bytes.
    Output(OutputStream, &'a [u8]),
    /// The kernel has a message.
    Log(LogLevel, &'a [u8]),
    /// That many more bytes of standard input may be sent.
    InputCredit(u32),
    /// The program set the attributes of the terminal at this descriptor (0–2).
    TerminalAttributes(u8, &'a [u8; TERMIOS_LENGTH]),
    /// The machine is done.
    Exit(ExitReport),
    /// A line of the system call trace.
    Trace(&'a [u8]),
    /// Paths that the image lacks, each with a byte of zero behind it.
    Lacking(&'a [u8]),
}

/// How the guest broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The kind is none that a guest may send.
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    /// The payload is longer than [`MAXIMUM_PAYLOAD`].
    #[error("a frame of {0} bytes, more than the {MAXIMUM_PAYLOAD} allowed")]
    TooLong(u32),
    /// The reserved bytes are not 0.
    #[error("a frame whose reserved bytes are {0:#06x}")]
    Reserved(u16),
    /// The detail has no meaning for this kind.
    #[error("a frame of {kind} with detail {detail}")]
    Detail {
        /// The frame's kind, in words.
        kind: &'static str,
        /// The offending value.
        detail: u8,
    },
    /// The payload has the wrong length, or can't be decoded.
    #[error("a frame of {kind} with {length} bytes of payload that make no sense")]
    Payload {
        /// The frame's kind, in words.
        kind: &'static str,
        /// The payload's length in bytes.
        length: usize,
    },
}

/// Collects bytes and yields frames.
///
/// ```
/// use pith_monitor::frame::{FrameDecoder, GuestFrame};
/// let mut decoder = FrameDecoder::new();
/// decoder.push(&[1, 0, 0, 0, 4, 0, 0, 0, 1, 0]);
/// assert_eq!(decoder.next_frame(), Ok(None));
/// decoder.push(&[0, 0]);
/// assert_eq!(decoder.next_frame(), Ok(Some(GuestFrame::Ready(1))));
/// ```
#[derive(Debug, Default)]
pub struct FrameDecoder {
    /// Received and not yet consumed from `start` on.
    buffer: Vec<u8>,
    start: usize,
}

impl FrameDecoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes that arrived. Call [`Self::next_frame`] until it yields nothing before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a frame has begun and not ended.
    pub fn is_inside_frame(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// The next whole frame, if it has arrived. After an error the stream has no meaning any more.
    pub fn next_frame(&mut self) -> Result<Option<GuestFrame<'_>>, FrameError> {
        let unread = &self.buffer[self.start..];
        let Ok((header, rest)) = FrameHeader::read_from_prefix(unread) else {
            return Ok(None);
        };
        // Judged before the payload has come: a hostile length must not make us wait or store.
        if header.length > MAXIMUM_PAYLOAD {
            return Err(FrameError::TooLong(header.length));
        }
        if header.reserved != 0 {
            return Err(FrameError::Reserved(header.reserved));
        }
        let length = header.length as usize;
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        self.start += HEADER_LENGTH + length;
        interpret(&header, payload).map(Some)
    }
}

/// Gives a frame's bytes their meaning.
fn interpret<'a>(header: &FrameHeader, payload: &'a [u8]) -> Result<GuestFrame<'a>, FrameError> {
    let detail = header.detail;
    let length = payload.len();
    let plain = |kind| match detail {
        0 => Ok(()),
        _ => Err(FrameError::Detail { kind, detail }),
    };
    let number = |kind| {
        plain(kind)?;
        u32::read_from_bytes(payload).map_err(|_| FrameError::Payload { kind, length })
    };
    const READY: u8 = FrameKind::Ready as u8;
    const OUTPUT: u8 = FrameKind::Output as u8;
    const LOG: u8 = FrameKind::Log as u8;
    const INPUT_CREDIT: u8 = FrameKind::InputCredit as u8;
    const TERMINAL_ATTRIBUTES: u8 = FrameKind::TerminalAttributes as u8;
    const EXIT: u8 = FrameKind::Exit as u8;
    const TRACE: u8 = FrameKind::Trace as u8;
    const LACKING: u8 = FrameKind::Lacking as u8;
    match header.kind {
        READY => number("readiness").map(GuestFrame::Ready),
        OUTPUT => match detail {
            1 => Ok(GuestFrame::Output(OutputStream::Output, payload)),
            2 => Ok(GuestFrame::Output(OutputStream::Error, payload)),
            _ => Err(FrameError::Detail {
                kind: "output",
                detail,
            }),
        },
        LOG => match detail {
            1 => Ok(LogLevel::Error),
            2 => Ok(LogLevel::Warn),
            3 => Ok(LogLevel::Info),
            4 => Ok(LogLevel::Debug),
            5 => Ok(LogLevel::Trace),
            _ => Err(FrameError::Detail {
                kind: "log",
                detail,
            }),
        }
        .map(|level| GuestFrame::Log(level, payload)),
        INPUT_CREDIT => number("input credit").map(GuestFrame::InputCredit),
        TERMINAL_ATTRIBUTES => {
            let kind = "terminal attributes";
            if detail > 2 {
                return Err(FrameError::Detail { kind, detail });
            }
            payload
                .try_into()
                .map(|termios| GuestFrame::TerminalAttributes(detail, termios))
                .map_err(|_| FrameError::Payload { kind, length })
        }
        EXIT => {
            let kind = "exit";
            plain(kind)?;
            postcard::from_bytes(payload)
                .map(GuestFrame::Exit)
                .map_err(|_| FrameError::Payload { kind, length })
        }
        TRACE => {
            plain("trace")?;
            Ok(GuestFrame::Trace(payload))
        }
        LACKING => {
            let kind = "lacking paths";
            plain(kind)?;
            match payload.last() {
                Some(0) => Ok(GuestFrame::Lacking(payload)),
                _ => Err(FrameError::Payload { kind, length }),
            }
        }
        kind => Err(FrameError::Kind(kind)),
    }
}

/// What the host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFrame<'a> {
    /// Bytes for the program's standard input; at most [`MAXIMUM_PAYLOAD`].
    Input(&'a [u8]),
    /// Standard input has ended.
    InputEnd,
    /// Deliver this signal.
    Signal(u32),
    /// The terminal's size.
    WindowSize {
        /// Lines of text.
        rows: u16,
        /// Characters in a line.
        columns: u16,
    },
    /// Nobody reads this stream any more.
    OutputClosed(OutputStream),
    /// What time it is, in nanoseconds since 1970.
    Time(u64),
}

impl HostFrame<'_> {
    /// Appends the frame's bytes.
    ///
    /// # Panics
    /// If an input frame is longer than [`MAXIMUM_PAYLOAD`], which is the caller's to see to.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let mut put = |kind: FrameKind, detail: u8, payload: &[u8]| {
            assert!(payload.len() <= MAXIMUM_PAYLOAD as usize);
            let header = FrameHeader {
                kind: kind as u8,
                detail,
                reserved: 0,
                length: payload.len() as u32,
            };
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(payload);
        };
        match *self {
            Self::Input(data) => put(FrameKind::Input, 0, data),
            Self::InputEnd => put(FrameKind::InputEnd, 0, &[]),
            Self::Signal(signal) => put(FrameKind::Signal, 0, &signal.to_le_bytes()),
            Self::WindowSize { rows, columns } => {
                let mut payload = [0; 4];
                payload[..2].copy_from_slice(&rows.to_le_bytes());
                payload[2..].copy_from_slice(&columns.to_le_bytes());
                put(FrameKind::WindowSize, 0, &payload);
            }
            Self::OutputClosed(stream) => put(FrameKind::OutputClosed, stream.number(), &[]),
            Self::Time(nanoseconds) => put(FrameKind::Time, 0, &nanoseconds.to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pith_abi::channel::{MemoryReport, Outcome, Timeline};

    fn frame(kind: u8, detail: u8, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader {
            kind,
            detail,
            reserved: 0,
            length: payload.len() as u32,
        };
        [header.as_bytes(), payload].concat()
    }

    fn report() -> ExitReport {
        ExitReport {
            outcome: Outcome::Signaled {
                signal: 11,
                reason: "address 0".into(),
            },
            timeline: Timeline {
                entry: 1,
                program: 2,
                exit: u64::MAX,
                ticks_per_second: 3,
            },
            memory: MemoryReport {
                total: 1 << 27,
                peak: 1 << 20,
            },
        }
    }

    /// Each kind once, as bytes and as readable text of what must come out.
    fn session() -> (Vec<u8>, Vec<String>) {
        let exit = postcard::to_allocvec(&report()).unwrap();
        let frames = [
            (frame(1, 0, &1_u32.to_le_bytes()), "Ready(1)".to_string()),
            (
                frame(2, 1, b"out"),
                format!("{:?}", GuestFrame::Output(OutputStream::Output, b"out")),
            ),
            (
                frame(2, 2, b""),
                format!("{:?}", GuestFrame::Output(OutputStream::Error, b"")),
            ),
            (
                frame(3, 2, b"hm"),
                format!("{:?}", GuestFrame::Log(LogLevel::Warn, b"hm")),
            ),
            (
                frame(4, 0, &4096_u32.to_le_bytes()),
                "InputCredit(4096)".to_string(),
            ),
            (
                frame(5, 0, &[7; 36]),
                format!("{:?}", GuestFrame::TerminalAttributes(0, &[7; 36])),
            ),
            (
                frame(7, 0, b"read"),
                format!("{:?}", GuestFrame::Trace(b"read")),
            ),
            (
                frame(6, 0, &exit),
                format!("{:?}", GuestFrame::Exit(report())),
            ),
        ];
        let (bytes, texts): (Vec<_>, Vec<_>) = frames.into_iter().unzip();
        (bytes.concat(), texts)
    }

    fn decode(pieces: &[&[u8]]) -> Vec<String> {
        let mut decoder = FrameDecoder::new();
        let mut texts = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            while let Some(frame) = decoder.next_frame().unwrap() {
                texts.push(format!("{frame:?}"));
            }
        }
        assert!(!decoder.is_inside_frame());
        texts
    }

    #[test]
    fn split_at_every_boundary() {
        let (bytes, texts) = session();
        assert_eq!(decode(&[&bytes]), texts);
        for split in 0..=bytes.len() {
            let (first, second) = bytes.split_at(split);
            assert_eq!(decode(&[first, second]), texts, "split at {split}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&single), texts);
    }

    #[test]
    fn a_truncated_stream_is_seen() {
        let mut decoder = FrameDecoder::new();
        decoder.push(&frame(2, 1, b"hello")[..9]);
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(decoder.is_inside_frame());
    }

    #[test]
    fn the_largest_payload_passes_and_one_more_does_not() {
        let mut decoder = FrameDecoder::new();
        let payload = vec![b'x'; MAXIMUM_PAYLOAD as usize];
        decoder.push(&frame(2, 1, &payload));
        assert_eq!(
            decoder.next_frame(),
            Ok(Some(GuestFrame::Output(OutputStream::Output, &payload)))
        );

        for length in [MAXIMUM_PAYLOAD + 1, u32::MAX] {
            // The header alone is enough to refuse.
            let mut decoder = FrameDecoder::new();
            let header = FrameHeader {
                kind: 2,
                detail: 1,
                reserved: 0,
                length,
            };
            decoder.push(header.as_bytes());
            assert_eq!(decoder.next_frame(), Err(FrameError::TooLong(length)));
        }
    }

    #[test]
    fn hostile_frames_are_named() {
        let refuse = |bytes: Vec<u8>| {
            let mut decoder = FrameDecoder::new();
            decoder.push(&bytes);
            decoder.next_frame().unwrap_err().to_string()
        };
        assert_eq!(refuse(frame(0, 0, b"")), "a frame of unknown kind 0");
        // Kinds that only the host may send.
        assert_eq!(refuse(frame(64, 0, b"x")), "a frame of unknown kind 64");
        assert_eq!(refuse(frame(2, 0, b"x")), "a frame of output with detail 0");
        assert_eq!(refuse(frame(2, 3, b"x")), "a frame of output with detail 3");
        assert_eq!(refuse(frame(3, 6, b"x")), "a frame of log with detail 6");
        assert_eq!(
            refuse(frame(4, 1, &[0; 4])),
            "a frame of input credit with detail 1"
        );
        assert!(refuse(frame(1, 0, &[0; 3])).contains("readiness with 3 bytes"));
        assert!(refuse(frame(5, 0, &[0; 35])).contains("terminal attributes with 35"));
        assert!(refuse(frame(6, 0, &[9; 5])).contains("exit with 5 bytes"));
        let mut reserved = frame(7, 0, b"");
        reserved[2] = 1;
        assert_eq!(refuse(reserved), "a frame whose reserved bytes are 0x0001");
    }

    #[test]
    fn host_frames_have_the_layout_of_the_abi() {
        let bytes = |frame: HostFrame| {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            bytes
        };
        assert_eq!(
            bytes(HostFrame::Input(b"ab")),
            [64, 0, 0, 0, 2, 0, 0, 0, b'a', b'b']
        );
        assert_eq!(bytes(HostFrame::InputEnd), [65, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            bytes(HostFrame::Signal(15)),
            [66, 0, 0, 0, 4, 0, 0, 0, 15, 0, 0, 0]
        );
        assert_eq!(
            bytes(HostFrame::WindowSize {
                rows: 24,
                columns: 0x102
            }),
            [67, 0, 0, 0, 4, 0, 0, 0, 24, 0, 2, 1]
        );
        assert_eq!(
            bytes(HostFrame::OutputClosed(OutputStream::Error)),
            [68, 2, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            bytes(HostFrame::Time(0x0102_0304_0506_0708)),
            [69, 0, 0, 0, 8, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]
        );
    }
}
