//! Cuts the host's byte stream into events.

use core::fmt;

use pith_abi::channel::{FrameHeader, FrameKind, MAXIMUM_PAYLOAD};
use zerocopy::FromBytes;

use crate::HEADER_LENGTH;

/// Largest payload of a frame other than input, in bytes.
const SMALL: usize = 8;

/// Largest signal number of Linux on x86-64.
const LAST_SIGNAL: u32 = 64;

/// Something that the host said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostEvent<'a> {
    /// Bytes for standard input: those of one frame, or a part of them; never empty.
    Input(&'a [u8]),
    /// Standard input has ended.
    InputEnd,
    /// Deliver this signal, 1–64.
    Signal(u8),
    /// The terminal's size.
    WindowSize {
        /// Lines of text.
        rows: u16,
        /// Characters in a line.
        columns: u16,
    },
    /// Nobody reads the program's output stream 1 or 2 any more.
    OutputClosed(u8),
    /// What time it is, in nanoseconds since 1970.
    Time(u64),
}

/// How the host broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A kind that no host may send.
    Kind(u8),
    /// Reserved bytes that are not 0.
    Reserved(u16),
    /// A detail without meaning for the kind.
    Detail {
        /// The frame's kind.
        kind: u8,
        /// The offending value.
        detail: u8,
    },
    /// A payload of the wrong length.
    Length {
        /// The frame's kind.
        kind: u8,
        /// The length in its header, in bytes.
        length: u32,
    },
    /// A signal that does not exist.
    Signal(u32),
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(formatter, "a frame of unknown kind {kind}"),
            Self::Reserved(value) => {
                write!(formatter, "a frame whose reserved bytes are {value:#06x}")
            }
            Self::Detail { kind, detail } => {
                write!(formatter, "a frame of kind {kind} with detail {detail}")
            }
            Self::Length { kind, length } => {
                write!(
                    formatter,
                    "a frame of kind {kind} with {length} bytes of payload"
                )
            }
            Self::Signal(signal) => write!(formatter, "signal {signal}, which does not exist"),
        }
    }
}

impl core::error::Error for Malformed {}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Collecting a header.
    Header,
    /// Collecting the payload of a small frame.
    Payload {
        kind: FrameKind,
        detail: u8,
        length: usize,
    },
    /// Passing on input, of which this many bytes are left.
    Input(u32),
    /// After an error.
    Broken,
}

/// Takes bytes as they arrive and yields events.
///
/// ```
/// use pith_channel::{HostDecoder, HostEvent};
/// let mut decoder = HostDecoder::new();
/// let mut bytes: &[u8] = &[66, 0, 0, 0, 4, 0, 0, 0, 2];
/// assert_eq!(decoder.next(&mut bytes), Ok(None));
/// assert!(bytes.is_empty());
/// assert_eq!(decoder.next(&mut &[0, 0, 0][..]), Ok(Some(HostEvent::Signal(2))));
/// ```
#[derive(Debug)]
pub struct HostDecoder {
    state: State,
    collected: [u8; HEADER_LENGTH],
    count: usize,
}

impl Default for HostDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl HostDecoder {
    /// A decoder at the start of a stream.
    pub const fn new() -> Self {
        Self {
            state: State::Header,
            collected: [0; HEADER_LENGTH],
            count: 0,
        }
    }

    /// Takes bytes from the front of `bytes` until there is an event; `None` when all were taken without one.
    ///
    /// # Errors
    /// [`Malformed`], once. All bytes after it are swallowed.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<HostEvent<'a>>, Malformed> {
        let result = self.advance(bytes);
        if result.is_err() {
            self.state = State::Broken;
        }
        result
    }

    fn advance<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<HostEvent<'a>>, Malformed> {
        loop {
            match self.state {
                State::Broken => {
                    *bytes = &[];
                    return Ok(None);
                }
                State::Input(0) => self.state = State::Header,
                State::Input(left) => {
                    let length = bytes.len().min(left as usize);
                    if length == 0 {
                        return Ok(None);
                    }
                    let (piece, rest) = bytes.split_at(length);
                    *bytes = rest;
                    self.state = State::Input(left - length as u32);
                    return Ok(Some(HostEvent::Input(piece)));
                }
                State::Header => {
                    if !self.collect(bytes, HEADER_LENGTH) {
                        return Ok(None);
                    }
                    self.state = open(&self.collected)?;
                }
                State::Payload {
                    kind,
                    detail,
                    length,
                } => {
                    if !self.collect(bytes, length) {
                        return Ok(None);
                    }
                    self.state = State::Header;
                    let mut payload = [0; SMALL];
                    payload.copy_from_slice(&self.collected[..SMALL]);
                    return interpret(kind, detail, payload).map(Some);
                }
            }
        }
    }

    /// Moves bytes to `collected` until there are `wanted`; then the count starts again.
    fn collect(&mut self, bytes: &mut &[u8], wanted: usize) -> bool {
        let length = bytes.len().min(wanted - self.count);
        let (taken, rest) = bytes.split_at(length);
        self.collected[self.count..self.count + length].copy_from_slice(taken);
        self.count += length;
        *bytes = rest;
        let complete = self.count == wanted;
        if complete {
            self.count = 0;
        }
        complete
    }
}

/// Judges a header, and says what its payload is to be.
fn open(bytes: &[u8; HEADER_LENGTH]) -> Result<State, Malformed> {
    let header = FrameHeader::read_from_bytes(bytes).map_err(|_| Malformed::Kind(bytes[0]))?;
    let FrameHeader {
        kind,
        detail,
        reserved,
        length,
    } = header;
    if reserved != 0 {
        return Err(Malformed::Reserved(reserved));
    }
    let known = [
        (FrameKind::Input, None),
        (FrameKind::InputEnd, Some(0)),
        (FrameKind::Signal, Some(4)),
        (FrameKind::WindowSize, Some(4)),
        (FrameKind::OutputClosed, Some(0)),
        (FrameKind::Time, Some(8)),
    ];
    let Some(&(known, exact)) = known.iter().find(|(known, _)| *known as u8 == kind) else {
        return Err(Malformed::Kind(kind));
    };
    let detail_is_right = match known {
        FrameKind::OutputClosed => matches!(detail, 1 | 2),
        _ => detail == 0,
    };
    if !detail_is_right {
        return Err(Malformed::Detail { kind, detail });
    }
    match exact {
        None if length <= MAXIMUM_PAYLOAD => Ok(State::Input(length)),
        Some(exact) if length == exact => Ok(State::Payload {
            kind: known,
            detail,
            length: exact as usize,
        }),
        _ => Err(Malformed::Length { kind, length }),
    }
}

fn interpret<'a>(
    kind: FrameKind,
    detail: u8,
    payload: [u8; SMALL],
) -> Result<HostEvent<'a>, Malformed> {
    let [low, high, third, fourth, ..] = payload;
    match kind {
        FrameKind::InputEnd => Ok(HostEvent::InputEnd),
        FrameKind::OutputClosed => Ok(HostEvent::OutputClosed(detail)),
        FrameKind::Signal => match u32::from_le_bytes([low, high, third, fourth]) {
            signal @ 1..=LAST_SIGNAL => Ok(HostEvent::Signal(signal as u8)),
            signal => Err(Malformed::Signal(signal)),
        },
        FrameKind::WindowSize => Ok(HostEvent::WindowSize {
            rows: u16::from_le_bytes([low, high]),
            columns: u16::from_le_bytes([third, fourth]),
        }),
        FrameKind::Time => Ok(HostEvent::Time(u64::from_le_bytes(payload))),
        // `open` lets no other kind come here; the answer is right all the same.
        other => Err(Malformed::Kind(other as u8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, detail: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, detail, 0, 0];
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(payload);
        bytes
    }

    /// All that comes out, with the pieces of input joined.
    fn decode(pieces: &[&[u8]]) -> Result<Vec<String>, Malformed> {
        let mut decoder = HostDecoder::new();
        let mut events = Vec::new();
        let mut input = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while let Some(event) = decoder.next(&mut rest)? {
                if let HostEvent::Input(bytes) = event {
                    assert!(!bytes.is_empty());
                    input.extend_from_slice(bytes);
                } else {
                    events.push(format!(
                        "{event:?} after {:?}",
                        String::from_utf8_lossy(&input)
                    ));
                }
            }
            assert!(rest.is_empty(), "all bytes are taken");
        }
        Ok(events)
    }

    fn session() -> Vec<u8> {
        [
            frame(66, 0, &15_u32.to_le_bytes()),
            frame(64, 0, b"hello "),
            frame(64, 0, b""),
            frame(67, 0, &[24, 0, 2, 1]),
            frame(64, 0, b"world"),
            frame(68, 2, b""),
            frame(69, 0, &0x0102_0304_0506_0708_u64.to_le_bytes()),
            frame(65, 0, b""),
        ]
        .concat()
    }

    #[test]
    fn any_split_gives_the_same_events() {
        let bytes = session();
        let whole = decode(&[&bytes]).unwrap();
        assert_eq!(
            whole,
            [
                "Signal(15) after \"\"",
                "WindowSize { rows: 24, columns: 258 } after \"hello \"",
                "OutputClosed(2) after \"hello world\"",
                "Time(72623859790382856) after \"hello world\"",
                "InputEnd after \"hello world\"",
            ]
        );
        for split in 0..=bytes.len() {
            let (first, second) = bytes.split_at(split);
            assert_eq!(decode(&[first, second]).unwrap(), whole, "split at {split}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&single).unwrap(), whole);
    }

    #[test]
    fn each_broken_rule_is_named() {
        let refuse = |bytes: &[u8]| decode(&[bytes]).unwrap_err();
        assert_eq!(refuse(&frame(0, 0, b"")), Malformed::Kind(0));
        // Kinds that only the guest may send.
        assert_eq!(refuse(&frame(2, 1, b"")), Malformed::Kind(2));
        assert_eq!(refuse(&[65, 0, 7, 0, 0, 0, 0, 0]), Malformed::Reserved(7));
        assert_eq!(
            refuse(&frame(68, 0, b"")),
            Malformed::Detail {
                kind: 68,
                detail: 0
            }
        );
        assert_eq!(
            refuse(&frame(64, 1, b"x")),
            Malformed::Detail {
                kind: 64,
                detail: 1
            }
        );
        assert_eq!(
            refuse(&frame(66, 0, &[1])),
            Malformed::Length {
                kind: 66,
                length: 1
            }
        );
        assert_eq!(refuse(&frame(66, 0, &[0; 4])), Malformed::Signal(0));
        assert_eq!(refuse(&frame(66, 0, &[65, 0, 0, 0])), Malformed::Signal(65));
        // A length is judged before any payload came.
        let mut long = frame(64, 0, b"");
        long[4..].copy_from_slice(&(MAXIMUM_PAYLOAD + 1).to_le_bytes());
        assert_eq!(
            refuse(&long),
            Malformed::Length {
                kind: 64,
                length: MAXIMUM_PAYLOAD + 1
            }
        );
    }

    #[test]
    fn nothing_follows_an_error() {
        let mut decoder = HostDecoder::new();
        let bytes = [frame(9, 0, b""), frame(65, 0, b"")].concat();
        let mut rest = &bytes[..];
        assert!(decoder.next(&mut rest).is_err());
        assert_eq!(decoder.next(&mut rest), Ok(None));
        assert!(rest.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Any bytes at all: no panic, no endless loop, all bytes taken or one error.
        #[test]
        fn hostile_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0_u8..3) {
            // Most random bytes fail at the first kind; some get a plausible start.
            let mut stream = if start == 0 { session() } else { Vec::new() };
            stream.extend(bytes);
            let _ = decode(&[&stream]);
        }
    }
}
