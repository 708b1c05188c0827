//! The host's terminal, lent to the program inside.
//!
//! The line discipline (echo, line editing, Ctrl-C) stays the host's. When the program asks for other
//! attributes, for a password or a full-screen editor, the host's terminal gets them; when the machine
//! ends, whatever ends it, the terminal gets back what it had.

use std::os::fd::{AsFd, BorrowedFd};

use pith_abi::command_line as key;
use rustix::fs::{FileType, fstat, major, minor};
use rustix::process::getpgrp;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, isatty,
    tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};

use crate::command_line::KernelCommandLine;
use crate::frame::TERMIOS_LENGTH;
use crate::session::HostStreams;

/// Whether a descriptor is a terminal.
pub fn is_terminal(descriptor: impl AsFd) -> bool {
    isatty(descriptor)
}

/// Tells the kernel which of the program's streams are terminals, how large the terminal is, and whether
/// there is any input at all.
pub(crate) fn console_words(streams: &HostStreams<'_>, line: &mut KernelCommandLine) {
    let terminals: Vec<u8> = (0..3)
        .filter(|&number| isatty(streams.descriptor(number)))
        .collect();
    if !terminals.is_empty() {
        let list = terminals
            .iter()
            .map(u8::to_string)
            .collect::<Vec<_>>()
            .join(",");
        line.push(key::TERMINAL, list.as_bytes());
        if let Some((rows, columns)) = window_size(streams) {
            line.push(key::WINDOW, format!("{rows}x{columns}").as_bytes());
        }
    }
    if is_null_device(streams.input) {
        line.push(key::INPUT, b"none");
    }
}

/// Rows and columns of the first stream that is a terminal.
pub(crate) fn window_size(streams: &HostStreams<'_>) -> Option<(u16, u16)> {
    (0..3)
        .find_map(|number| tcgetwinsize(streams.descriptor(number)).ok())
        .map(|size| (size.ws_row, size.ws_col))
}

/// Whether a descriptor is `/dev/null` (character device 1:3, Documentation/admin-guide/devices.txt).
/// A descriptor that was closed when this process started counts too: Rust opens `/dev/null` in its place.
pub(crate) fn is_null_device(descriptor: BorrowedFd<'_>) -> bool {
    fstat(descriptor).is_ok_and(|status| {
        FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice
            && (major(status.st_rdev), minor(status.st_rdev)) == (1, 3)
    })
}

/// Whether reading or changing this terminal would stop us, because another job has it (`SIGTTIN`,
/// `SIGTTOU`; termios(3)).
pub(crate) fn is_in_background(descriptor: BorrowedFd<'_>) -> bool {
    // Not our controlling terminal: then no job control applies.
    tcgetpgrp(descriptor).is_ok_and(|group| group != getpgrp())
}

/// The attributes of the terminals behind the three standard streams: those they had, and those the program set.
pub(crate) struct TerminalGuard<'a> {
    streams: HostStreams<'a>,
    /// By file descriptor. Taken all at once before the first change, since several may be one terminal.
    original: Option<[Option<Termios>; 3]>,
    /// What the program set, the latest last.
    wanted: Vec<(u8, Termios)>,
}

impl<'a> TerminalGuard<'a> {
    /// Changes nothing yet.
    pub(crate) fn new(streams: HostStreams<'a>) -> Self {
        Self {
            streams,
            original: None,
            wanted: Vec::new(),
        }
    }

    /// Gives the terminal behind a stream the attributes that the program set. What is no terminal stays as it is.
    pub(crate) fn apply(&mut self, number: u8, attributes: &[u8; TERMIOS_LENGTH]) {
        let streams = self.streams;
        let descriptor = streams.descriptor(number);
        let Ok(current) = tcgetattr(descriptor) else {
            return;
        };
        self.original.get_or_insert_with(|| {
            [0, 1, 2].map(|number| tcgetattr(streams.descriptor(number)).ok())
        });
        let wanted = translate(&current, attributes);
        self.set(descriptor, &wanted);
        self.wanted.retain(|(other, _)| *other != number);
        self.wanted.push((number, wanted));
    }

    /// Before this process is stopped: the shell wants its terminal back.
    pub(crate) fn suspend(&self) {
        for (number, original) in (0..3).zip(self.original.iter().flatten()) {
            if let Some(original) = original {
                self.set(self.streams.descriptor(number), original);
            }
        }
    }

    /// After this process was continued.
    pub(crate) fn resume(&self) {
        for (number, wanted) in &self.wanted {
            self.set(self.streams.descriptor(*number), wanted);
        }
    }

    fn set(&self, descriptor: BorrowedFd<'_>, attributes: &Termios) {
        if !is_in_background(descriptor) {
            // A terminal that was closed under us takes nothing any more, and nobody looks at it.
            let _ = tcsetattr(descriptor, OptionalActions::Now, attributes);
        }
    }
}

impl Drop for TerminalGuard<'_> {
    fn drop(&mut self) {
        self.suspend();
    }
}

/// Control characters in the order of the kernel's `c_cc` (asm-generic/termbits-common.h).
const CONTROL_CHARACTERS: [SpecialCodeIndex; 17] = [
    SpecialCodeIndex::VINTR,
    SpecialCodeIndex::VQUIT,
    SpecialCodeIndex::VERASE,
    SpecialCodeIndex::VKILL,
    SpecialCodeIndex::VEOF,
    SpecialCodeIndex::VTIME,
    SpecialCodeIndex::VMIN,
    SpecialCodeIndex::VSWTC,
    SpecialCodeIndex::VSTART,
    SpecialCodeIndex::VSTOP,
    SpecialCodeIndex::VSUSP,
    SpecialCodeIndex::VEOL,
    SpecialCodeIndex::VREPRINT,
    SpecialCodeIndex::VDISCARD,
    SpecialCodeIndex::VWERASE,
    SpecialCodeIndex::VLNEXT,
    SpecialCodeIndex::VEOL2,
];

/// The host terminal's attributes with the flags and characters of a Linux `struct termios`: `c_iflag`,
/// `c_oflag`, `c_cflag`, `c_lflag` (4 bytes each), `c_line`, `c_cc[19]`. Speed, parity and character size
/// (`c_cflag`) describe the host's wire, which the program can't know; they stay.
fn translate(current: &Termios, attributes: &[u8; TERMIOS_LENGTH]) -> Termios {
    let flags = |index: usize| {
        let mut word = [0; 4];
        word.copy_from_slice(&attributes[4 * index..4 * index + 4]);
        u32::from_le_bytes(word)
    };
    let mut wanted = current.clone();
    wanted.input_modes = InputModes::from_bits_retain(flags(0));
    wanted.output_modes = OutputModes::from_bits_retain(flags(1));
    wanted.local_modes = LocalModes::from_bits_retain(flags(3));
    for (index, &character) in CONTROL_CHARACTERS.iter().zip(&attributes[17..]) {
        wanted.special_codes[*index] = character;
    }
    wanted
}
