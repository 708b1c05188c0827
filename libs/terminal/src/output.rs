//! What a program writes, on its way out (`c_oflag`).

use alloc::collections::VecDeque;

use pith_linux::files::Termios;

use crate::characters::{continues, is_control, to_upper};
use crate::echo::Echo;
use crate::settings::{input, output};

/// Columns between tabs.
const TAB: usize = 8;

/// There is no room for it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The way out, with the column that the next character goes to.
#[derive(Debug)]
pub struct Output {
    queue: VecDeque<u8>,
    capacity: usize,
    /// The other side asked for no more.
    pub stopped: bool,
    column: usize,
    /// Column in which the line that is being typed starts.
    line_column: usize,
}

impl Output {
    pub fn new(capacity: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            capacity,
            stopped: false,
            column: 0,
            line_column: 0,
        }
    }

    /// Bytes that would be taken now.
    pub fn room(&self) -> usize {
        if self.stopped {
            0
        } else {
            self.capacity.saturating_sub(self.queue.len())
        }
    }

    /// Bytes that wait for the other side: the first of them, in one piece.
    pub fn front(&self) -> &[u8] {
        self.queue.as_slices().0
    }

    /// The other side has taken so many.
    pub fn consume(&mut self, count: usize) {
        self.queue.drain(..count);
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.queue.clear();
    }

    /// Puts all bytes in the queue, or none.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if bytes.len() > self.room() || self.queue.try_reserve(bytes.len()).is_err() {
            return Err(Full);
        }
        self.queue.extend(bytes);
        Ok(())
    }

    /// Writes as they are; returns how many had room.
    pub fn write_raw(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        if self.put(&bytes[..count]).is_ok() {
            count
        } else {
            0
        }
    }

    /// Writes a character with the changes that the settings ask for.
    pub fn write(&mut self, settings: &Termios, byte: u8) -> Result<(), Full> {
        let flags = settings.output;
        if flags & output::OPOST == 0 {
            return self.put(&[byte]);
        }
        let (before, before_line) = (self.column, self.line_column);
        let result = self.post_process(settings, byte);
        if result.is_err() {
            (self.column, self.line_column) = (before, before_line);
        }
        result
    }

    fn post_process(&mut self, settings: &Termios, byte: u8) -> Result<(), Full> {
        let flags = settings.output;
        let mut shown = byte;
        match byte {
            b'\n' => {
                if flags & (output::ONLRET | output::ONLCR) != 0 {
                    self.column = 0;
                }
                self.line_column = self.column;
                if flags & output::ONLCR != 0 {
                    return self.put(b"\r\n");
                }
            }
            b'\r' => {
                if flags & output::ONOCR != 0 && self.column == 0 {
                    return if self.room() == 0 { Err(Full) } else { Ok(()) };
                }
                let returns = flags & output::OCRNL == 0;
                if !returns {
                    shown = b'\n';
                }
                if returns || flags & output::ONLRET != 0 {
                    (self.column, self.line_column) = (0, 0);
                }
            }
            b'\t' => {
                let columns = TAB - self.column % TAB;
                self.column += columns;
                if flags & output::TABDLY == output::XTABS {
                    return self.put(&[b' '; TAB][..columns]);
                }
            }
            b'\x08' => self.column = self.column.saturating_sub(1),
            _ if is_control(byte) => {}
            _ => {
                if flags & output::OLCUC != 0 {
                    shown = to_upper(byte);
                }
                if settings.input & input::IUTF8 == 0 || !continues(byte) {
                    self.column += 1;
                }
            }
        }
        self.put(&[shown])
    }

    /// Carries out a step of echoing.
    pub fn echo(&mut self, settings: &Termios, step: Echo) -> Result<(), Full> {
        match step {
            Echo::Byte(byte) => self.write(settings, byte)?,
            Echo::Caret(byte) => {
                self.put(&[b'^', byte ^ 0o100])?;
                self.column += 2;
            }
            Echo::EraseTab { columns, from_tab } => {
                let start = if from_tab { 0 } else { self.line_column };
                let back = TAB - (start + usize::from(columns)) % TAB;
                self.put(&[b'\x08'; TAB][..back])?;
                self.column = self.column.saturating_sub(back);
            }
            Echo::LineStarts => self.line_column = self.column,
            Echo::BackOneColumn => self.column = self.column.saturating_sub(1),
        }
        Ok(())
    }
}
