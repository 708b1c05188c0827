//! The line discipline: one end of a line.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use pith_linux::files::Termios;

use crate::characters::{continues, is_control, is_of_word, to_lower};
use crate::echo::{Echo, Echoes};
use crate::output::Output;
use crate::settings::{character, input, local};

/// Bytes of input that are kept (`N_TTY_BUF_SIZE`).
const CAPACITY: usize = 4096;
/// So many steps of echoing go out together.
const ECHO_BLOCK: usize = 256;
/// A character that is 0 has no meaning (`_POSIX_VDISABLE`).
const DISABLED: u8 = 0;
/// Beside a byte of input: a line ends with it. A 0 so marked is the end of the input and no byte of it.
const LINE_ENDS: u16 = 0x100;

/// Status of the line for the other side, if it reads in packets (`TIOCPKT` of `ioctl_tty(2)`).
pub mod packet {
    /// What was received was flushed.
    pub const FLUSH_READ: u8 = 1;
    /// What was sent was flushed.
    pub const FLUSH_WRITE: u8 = 2;
    /// Output was stopped.
    pub const STOP: u8 = 4;
    /// It goes on.
    pub const START: u8 = 8;
    /// Characters don't stop output any more.
    pub const NO_STOP: u8 = 16;
    /// `^S` and `^Q` do.
    pub const DO_STOP: u8 = 32;
    /// Settings were changed that the other side works by (`EXTPROC`).
    pub const SETTINGS: u8 = 64;
}

/// Signals that characters asked for.
pub mod signals {
    /// `SIGINT`
    pub const INTERRUPT: u8 = 1;
    /// `SIGQUIT`
    pub const QUIT: u8 = 2;
    /// `SIGTSTP`
    pub const STOP: u8 = 4;
}

/// What a read asks for beyond a number of bytes, in modes without lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Input comes in lines: the next two mean nothing.
    pub in_lines: bool,
    /// Bytes that are waited for (`VMIN`).
    pub minimum: u8,
    /// Tenths of a second: between bytes, or if the minimum is 0, for all (`VTIME`).
    pub time: u8,
}

/// Whether what was read reaches to the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// No, or there are no lines.
    No,
    /// The last byte ends it.
    LastByte,
    /// An end of the input (`^D`) behind the last byte did.
    Behind,
}

/// One end of a line.
#[derive(Debug)]
pub struct LineDiscipline {
    settings: Termios,
    /// Characters with a meaning: bit n of all is character n.
    special: [u64; 4],
    /// Characters are put in as they come.
    raw: bool,
    input: VecDeque<u16>,
    /// Bytes of it up to the end of the last full line.
    lines: usize,
    /// The next character has no meaning.
    literal: bool,
    /// Erased characters are being printed.
    erasing: bool,
    echoes: Echoes,
    output: Output,
    /// Output is stopped by a call, and no character starts it.
    stopped_by_call: bool,
    /// The other side reads in packets.
    reports: bool,
    /// What it has to be told ([`packet`]).
    status: u8,
    /// [`signals`] to send.
    signals: u8,
}

impl LineDiscipline {
    /// One end of a line. `capacity` bytes can be sent before the other side takes them.
    pub fn new(settings: Termios, capacity: usize) -> Self {
        let mut new = Self {
            settings,
            special: [0; 4],
            raw: false,
            input: VecDeque::new(),
            lines: 0,
            literal: false,
            erasing: false,
            echoes: Echoes::default(),
            output: Output::new(capacity),
            stopped_by_call: false,
            reports: false,
            status: 0,
            signals: 0,
        };
        new.find_special();
        new
    }

    /// The settings.
    pub fn settings(&self) -> &Termios {
        &self.settings
    }

    fn has_input_mode(&self, flag: u32) -> bool {
        self.settings.input & flag != 0
    }

    fn has_local_mode(&self, flag: u32) -> bool {
        self.settings.local & flag != 0
    }

    fn character(&self, place: usize) -> u8 {
        self.settings.characters[place]
    }

    /// Whether input is given out in lines.
    fn in_lines(&self) -> bool {
        self.has_local_mode(local::ICANON) && !self.has_local_mode(local::EXTPROC)
    }

    /// Changes the settings.
    pub fn set(&mut self, new: Termios) {
        let old = core::mem::replace(&mut self.settings, new);
        if (old.local ^ new.local) & (local::ICANON | local::EXTPROC) != 0 {
            self.input.iter_mut().for_each(|entry| *entry &= !LINE_ENDS);
            self.lines = 0;
            // What was typed so far is a line.
            if self.has_local_mode(local::ICANON)
                && let Some(last) = self.input.back_mut()
            {
                *last |= LINE_ENDS;
                self.lines = self.input.len();
            }
            self.erasing = false;
            self.literal = false;
        }
        self.find_special();
        self.report_settings(&old);
        if old.input & input::IXON != 0 && !self.has_input_mode(input::IXON) {
            self.start();
        }
    }

    /// Tells the other side what it works by.
    fn report_settings(&mut self, old: &Termios) {
        if !self.reports {
            return;
        }
        let flows = |settings: &Termios| {
            settings.input & input::IXON != 0
                && settings.characters[character::STOP] == 0o23
                && settings.characters[character::START] == 0o21
        };
        let now = flows(&self.settings);
        if flows(old) != now {
            self.status &= !(packet::DO_STOP | packet::NO_STOP);
            self.status |= if now {
                packet::DO_STOP
            } else {
                packet::NO_STOP
            };
        }
        if (old.local | self.settings.local) & local::EXTPROC != 0 {
            self.status |= packet::SETTINGS;
        }
    }

    /// Finds out which characters have a meaning.
    fn find_special(&mut self) {
        let Termios {
            input: input_modes,
            local: local_modes,
            ..
        } = self.settings;
        let changes = input::ISTRIP
            | input::IUCLC
            | input::IGNCR
            | input::ICRNL
            | input::INLCR
            | input::IXON
            | input::PARMRK;
        self.raw = input_modes & changes == 0
            && local_modes & (local::ICANON | local::ISIG | local::ECHO) == 0;
        let mut special = [0_u64; 4];
        let mut mark = |byte: u8| special[usize::from(byte / 64)] |= 1 << (byte % 64);
        let places = |condition: bool, places: &[usize], mark: &mut dyn FnMut(u8)| {
            if condition {
                places
                    .iter()
                    .for_each(|&place| mark(self.settings.characters[place]));
            }
        };
        if input_modes & (input::IGNCR | input::ICRNL) != 0 {
            mark(b'\r');
        }
        let lines = local_modes & local::ICANON != 0;
        let extended = lines && local_modes & local::IEXTEN != 0;
        if input_modes & input::INLCR != 0 || lines {
            mark(b'\n');
        }
        places(
            lines,
            &[
                character::ERASE,
                character::KILL,
                character::EOF,
                character::EOL,
            ],
            &mut mark,
        );
        places(
            extended,
            &[character::WERASE, character::LNEXT, character::EOL2],
            &mut mark,
        );
        places(
            extended && local_modes & local::ECHO != 0,
            &[character::REPRINT],
            &mut mark,
        );
        places(
            input_modes & input::IXON != 0,
            &[character::START, character::STOP],
            &mut mark,
        );
        let signals = &[character::INTR, character::QUIT, character::SUSP];
        places(local_modes & local::ISIG != 0, signals, &mut mark);
        special[0] &= !1;
        self.special = special;
    }

    fn is_special(&self, byte: u8) -> bool {
        self.special[usize::from(byte / 64)] >> (byte % 64) & 1 != 0
    }

    /// Whether a character is there for a purpose (and the purpose is not [`DISABLED`], which never is special).
    fn is(&self, byte: u8, place: usize) -> bool {
        byte == self.character(place)
    }

    // ------------------------------------------------------------------ input

    /// Takes bytes from the other side; returns how many. Those that have no room are for later, except that the last
    /// place of a line that is too long always takes one more.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let used = self.input.len();
            // Marking may make three bytes of one.
            let mut room = CAPACITY.saturating_sub(used);
            if self.has_input_mode(input::PARMRK) {
                room = room.div_ceil(3);
            }
            room = room.saturating_sub(1);
            if room == 0 {
                let too_long = self.has_local_mode(local::ICANON) && self.lines == 0;
                if !too_long {
                    break;
                }
                // Marks may have led beyond it.
                self.input.truncate(CAPACITY - 1);
                room = 1;
            }
            let count = room.min(bytes.len() - done);
            if self.input.try_reserve(2 * count).is_err() {
                break;
            }
            self.receive_piece(&bytes[done..done + count]);
            done += count;
        }
        done
    }

    fn receive_piece(&mut self, bytes: &[u8]) {
        let maps = self.has_input_mode(input::ISTRIP)
            || self.has_input_mode(input::IUCLC) && self.has_local_mode(local::IEXTEN);
        if self.raw || self.has_local_mode(local::EXTPROC) && !maps {
            self.input.extend(bytes.iter().map(|&byte| u16::from(byte)));
            return;
        }
        for &byte in bytes {
            let byte = self.mapped(byte);
            if core::mem::take(&mut self.literal) {
                self.take_plain(byte);
            } else if self.has_local_mode(local::EXTPROC) {
                self.put(byte);
            } else if self.is_special(byte) {
                self.take_special(byte);
            } else {
                self.take_plain(byte);
            }
        }
        if self.has_local_mode(local::ECHO) || self.has_local_mode(local::ECHONL) {
            self.echoes.commit();
            self.send_echoes();
        }
    }

    fn mapped(&self, mut byte: u8) -> u8 {
        if self.has_input_mode(input::ISTRIP) {
            byte &= 0x7f;
        }
        if self.has_input_mode(input::IUCLC) && self.has_local_mode(local::IEXTEN) {
            byte = to_lower(byte);
        }
        byte
    }

    fn put(&mut self, byte: u8) {
        self.input.push_back(byte.into());
    }

    /// A character of the input; 0xff twice where that marks errors.
    fn put_marked(&mut self, byte: u8) {
        if byte == 0xff && self.has_input_mode(input::PARMRK) {
            self.put(byte);
        }
        self.put(byte);
    }

    fn start_by_any(&mut self) {
        if self.output.stopped
            && !self.stopped_by_call
            && self.has_input_mode(input::IXON)
            && self.has_input_mode(input::IXANY)
        {
            self.start();
        }
    }

    /// A character without meaning.
    fn take_plain(&mut self, byte: u8) {
        self.start_by_any();
        if self.has_local_mode(local::ECHO) {
            self.finish_erasing();
            self.echo_in_line(byte);
            self.commit_echoes();
        }
        self.put_marked(byte);
    }

    fn take_special(&mut self, byte: u8) {
        if self.has_input_mode(input::IXON) && self.is(byte, character::START) {
            self.start();
            return;
        }
        if self.has_input_mode(input::IXON) && self.is(byte, character::STOP) {
            self.stop();
            return;
        }
        if self.has_local_mode(local::ISIG)
            && let Some(signal) = self.signal_of(byte)
        {
            self.take_signal(signal, byte);
            return;
        }
        self.start_by_any();
        let mut byte = byte;
        if byte == b'\r' {
            if self.has_input_mode(input::IGNCR) {
                return;
            }
            if self.has_input_mode(input::ICRNL) {
                byte = b'\n';
            }
        } else if byte == b'\n' && self.has_input_mode(input::INLCR) {
            byte = b'\r';
        }
        if self.has_local_mode(local::ICANON) && self.take_for_line(byte) {
            return;
        }
        if self.has_local_mode(local::ECHO) {
            self.finish_erasing();
            if byte == b'\n' {
                self.echoes.push(Echo::Byte(b'\n'));
            } else {
                self.echo_in_line(byte);
            }
            self.commit_echoes();
        }
        self.put_marked(byte);
    }

    fn signal_of(&self, byte: u8) -> Option<u8> {
        [
            (character::INTR, signals::INTERRUPT),
            (character::QUIT, signals::QUIT),
            (character::SUSP, signals::STOP),
        ]
        .into_iter()
        .find_map(|(place, signal)| self.is(byte, place).then_some(signal))
    }

    fn take_signal(&mut self, signal: u8, byte: u8) {
        self.signals |= signal;
        if !self.has_local_mode(local::NOFLSH) {
            self.echoes.clear();
            self.flush_output();
            self.forget_input();
            self.report(packet::FLUSH_READ);
        }
        if self.has_input_mode(input::IXON) {
            self.start();
        }
        if self.has_local_mode(local::ECHO) {
            self.echo(byte);
            self.commit_echoes();
        } else {
            self.send_echoes();
        }
    }

    /// A character that edits or ends a line. False if it means nothing.
    fn take_for_line(&mut self, byte: u8) -> bool {
        let extended = self.has_local_mode(local::IEXTEN);
        let echo = self.has_local_mode(local::ECHO);
        if byte == DISABLED {
            return false;
        }
        if self.is(byte, character::ERASE)
            || self.is(byte, character::KILL)
            || self.is(byte, character::WERASE) && extended
        {
            self.erase(byte);
            self.commit_echoes();
        } else if self.is(byte, character::LNEXT) && extended {
            self.literal = true;
            if echo {
                self.finish_erasing();
                if self.has_local_mode(local::ECHOCTL) {
                    self.echoes.push(Echo::Byte(b'^'));
                    self.echoes.push(Echo::Byte(b'\x08'));
                    self.commit_echoes();
                }
            }
        } else if self.is(byte, character::REPRINT) && echo && extended {
            self.finish_erasing();
            self.echo(byte);
            self.echoes.push(Echo::Byte(b'\n'));
            for index in self.lines..self.input.len() {
                self.echo(self.input[index] as u8);
            }
            self.commit_echoes();
        } else if byte == b'\n' {
            if echo || self.has_local_mode(local::ECHONL) {
                self.echoes.push(Echo::Byte(b'\n'));
                self.commit_echoes();
            }
            self.end_line(b'\n');
        } else if self.is(byte, character::EOF) {
            self.end_line(DISABLED);
        } else if self.is(byte, character::EOL) || self.is(byte, character::EOL2) && extended {
            if echo {
                self.echo_in_line(byte);
                self.commit_echoes();
            }
            if byte == 0xff && self.has_input_mode(input::PARMRK) {
                self.put(byte);
            }
            self.end_line(byte);
        } else {
            return false;
        }
        true
    }

    fn end_line(&mut self, byte: u8) {
        self.input.push_back(u16::from(byte) | LINE_ENDS);
        self.lines = self.input.len();
    }

    /// Takes back a character, a word or the line.
    fn erase(&mut self, byte: u8) {
        if self.input.len() == self.lines {
            return;
        }
        let echo = self.has_local_mode(local::ECHO);
        let one = self.is(byte, character::ERASE);
        let word = !one && self.is(byte, character::WERASE) && self.has_local_mode(local::IEXTEN);
        if !one && !word {
            if !echo {
                self.input.truncate(self.lines);
                return;
            }
            let all = local::ECHOK | local::ECHOKE | local::ECHOE;
            if self.settings.local & all != all {
                self.input.truncate(self.lines);
                self.finish_erasing();
                self.echo(self.character(character::KILL));
                if self.has_local_mode(local::ECHOK) {
                    self.echoes.push(Echo::Byte(b'\n'));
                }
                return;
            }
        }
        let mut seen_word = false;
        while let Some((start, first)) = self.last_character() {
            if word {
                if is_of_word(first) {
                    seen_word = true;
                } else if seen_word {
                    break;
                }
            }
            if echo {
                self.echo_erasure(start, first, one);
            }
            self.input.truncate(start);
            if one {
                break;
            }
        }
        if self.input.len() == self.lines && echo {
            self.finish_erasing();
        }
    }

    /// Where the last character of the unfinished line starts, which may have several bytes, and its first byte.
    fn last_character(&self) -> Option<(usize, u8)> {
        let multibyte = self.has_input_mode(input::IUTF8);
        for index in (self.lines..self.input.len()).rev() {
            let byte = self.input[index] as u8;
            if !(multibyte && continues(byte)) {
                return Some((index, byte));
            }
        }
        None // nothing, or a part of a character
    }

    /// Shows that the last character, from `start` on, is erased.
    fn echo_erasure(&mut self, start: usize, first: u8, one: bool) {
        if self.has_local_mode(local::ECHOPRT) {
            if !self.erasing {
                self.echoes.push(Echo::Byte(b'\\'));
                self.erasing = true;
            }
            self.echo(first);
            for index in start + 1..self.input.len() {
                self.echoes.push(Echo::Byte(self.input[index] as u8));
                self.echoes.push(Echo::BackOneColumn);
            }
        } else if one && !self.has_local_mode(local::ECHOE) {
            self.echo(self.character(character::ERASE));
        } else if first == b'\t' {
            let (columns, from_tab) = self.columns_before(start);
            self.echoes.push(Echo::EraseTab { columns, from_tab });
        } else {
            let shown_as_two = is_control(first) && self.has_local_mode(local::ECHOCTL);
            let places =
                usize::from(shown_as_two) + usize::from(shown_as_two || !is_control(first));
            for byte in b"\x08 \x08".repeat(places) {
                self.echoes.push(Echo::Byte(byte));
            }
        }
    }

    /// Columns of the unfinished line before a place, modulo 8, from its last tab on (true) or from its start.
    fn columns_before(&self, place: usize) -> (u8, bool) {
        let mut columns = 0_usize;
        for index in (self.lines..place).rev() {
            let byte = self.input[index] as u8;
            if byte == b'\t' {
                return ((columns % 8) as u8, true);
            }
            if is_control(byte) {
                columns += if self.has_local_mode(local::ECHOCTL) {
                    2
                } else {
                    0
                };
            } else if !(self.has_input_mode(input::IUTF8) && continues(byte)) {
                columns += 1;
            }
        }
        ((columns % 8) as u8, false)
    }

    // ------------------------------------------------------------------ echo

    /// A character as it is echoed.
    fn echo(&mut self, byte: u8) {
        let caret = self.has_local_mode(local::ECHOCTL) && is_control(byte) && byte != b'\t';
        self.echoes.push(if caret {
            Echo::Caret(byte)
        } else {
            Echo::Byte(byte)
        });
    }

    /// The same for a character of the line, which may be its first.
    fn echo_in_line(&mut self, byte: u8) {
        if self.input.len() == self.lines {
            self.echoes.push(Echo::LineStarts);
        }
        self.echo(byte);
    }

    fn finish_erasing(&mut self) {
        if core::mem::take(&mut self.erasing) {
            self.echoes.push(Echo::Byte(b'/'));
        }
    }

    /// What is to be echoed for a character is known; much of it goes out now, and the rest with what follows.
    fn commit_echoes(&mut self) {
        self.echoes.commit();
        if self.echoes.len() >= ECHO_BLOCK {
            self.send_echoes();
        }
    }

    fn send_echoes(&mut self) {
        while let Some(step) = self.echoes.next() {
            if self.output.echo(&self.settings, step).is_err() {
                break;
            }
            self.echoes.pop();
        }
    }

    // ------------------------------------------------------------------ reading

    /// How a read waits.
    pub fn reading(&self) -> Reading {
        Reading {
            in_lines: self.has_local_mode(local::ICANON),
            minimum: self.character(character::MIN),
            time: self.character(character::TIME),
        }
    }

    /// Whether there is something to read.
    pub fn has_input(&self) -> bool {
        if self.in_lines() {
            self.lines != 0
        } else {
            !self.input.is_empty()
        }
    }

    /// Whether `poll(2)` is told so: only with all the bytes that a read waits for.
    pub fn is_readable(&self) -> bool {
        let needed = match self.reading() {
            Reading {
                minimum, time: 0, ..
            } => usize::from(minimum.max(1)),
            _ => 1,
        };
        if self.in_lines() {
            self.lines != 0
        } else {
            self.input.len() >= needed
        }
    }

    /// Bytes that can be read (`FIONREAD`).
    pub fn input_length(&self) -> usize {
        if !self.in_lines() {
            return self.input.len();
        }
        let lines = self.input.iter().take(self.lines);
        lines
            .filter(|&&entry| entry != LINE_ENDS | u16::from(DISABLED))
            .count()
    }

    /// Takes up to `most` bytes, of one line at most where there are lines, and adds them to `bytes`, which has room. Says
    /// whether they reach to the line's end.
    pub fn read(&mut self, most: usize, bytes: &mut Vec<u8>) -> LineEnd {
        if !self.in_lines() {
            let count = most.min(self.input.len());
            bytes.extend(self.input.drain(..count).map(|entry| entry as u8));
            self.lines = self.lines.saturating_sub(count);
            return LineEnd::No;
        }
        let mut left = most.min(self.lines);
        while left != 0 {
            let Some(entry) = self.take_of_line() else {
                return LineEnd::No;
            };
            if entry == LINE_ENDS | u16::from(DISABLED) {
                return LineEnd::Behind;
            }
            bytes.push(entry as u8);
            if entry & LINE_ENDS != 0 {
                return LineEnd::LastByte;
            }
            left -= 1;
        }
        // An end of the input right behind the last byte that had room is not told again.
        if self.lines != 0 && self.input.front() == Some(&(LINE_ENDS | u16::from(DISABLED))) {
            self.take_of_line();
            return LineEnd::Behind;
        }
        LineEnd::No
    }

    /// Gives back the last bytes of what one [`Self::read`] took, before another takes any. What there is no memory for
    /// is lost.
    pub fn put_back(&mut self, bytes: &[u8], end: LineEnd) {
        if bytes.is_empty() || self.input.try_reserve(bytes.len() + 1).is_err() {
            return;
        }
        let in_lines = self.in_lines();
        if in_lines && end == LineEnd::Behind {
            self.input.push_front(LINE_ENDS | u16::from(DISABLED));
            self.lines += 1;
        }
        let mut mark = if in_lines && end == LineEnd::LastByte {
            LINE_ENDS
        } else {
            0
        };
        for &byte in bytes.iter().rev() {
            self.input
                .push_front(u16::from(byte) | core::mem::take(&mut mark));
        }
        if in_lines || self.lines != 0 {
            self.lines += bytes.len();
        }
    }

    fn take_of_line(&mut self) -> Option<u16> {
        self.lines = self.lines.checked_sub(1)?;
        self.input.pop_front()
    }

    // ------------------------------------------------------------------ output

    /// Takes what the program writes; returns how many bytes had room.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        self.send_echoes();
        if self.settings.output & crate::output_mode::OPOST == 0 {
            return self.output.write_raw(bytes);
        }
        bytes
            .iter()
            .take_while(|&&byte| self.output.write(&self.settings, byte).is_ok())
            .count()
    }

    /// Whether anything that is written would have room.
    pub fn has_room(&self) -> bool {
        self.output.room() != 0
    }

    /// Passes what was sent on to the other end, as far as that takes it. Echoes that waited for room follow.
    pub fn pass_to(&mut self, other: &mut Self) {
        loop {
            let taken = other.receive(self.output.front());
            self.output.consume(taken);
            self.send_echoes();
            if taken == 0 {
                return;
            }
        }
    }

    /// Sends a byte past all settings, even while a character has stopped output (`TCIOFF`, `TCION`). While a call has
    /// stopped it nothing is sent, as on Linux.
    pub fn send_directly(&mut self, byte: u8) {
        if self.stopped_by_call {
            return;
        }
        let stopped = core::mem::take(&mut self.output.stopped);
        self.output.write_raw(&[byte]);
        if stopped {
            // The other side is told of the stop once more.
            self.stop();
        }
    }

    // ------------------------------------------------------------------ flow

    fn stop(&mut self) {
        if !core::mem::replace(&mut self.output.stopped, true) && self.reports {
            self.status = self.status & !packet::START | packet::STOP;
        }
    }

    fn start(&mut self) {
        if self.stopped_by_call {
            return;
        }
        if core::mem::take(&mut self.output.stopped) && self.reports {
            self.status = self.status & !packet::STOP | packet::START;
        }
        self.send_echoes();
    }

    /// Stops output until [`Self::start_by_call`] (`TCOOFF`).
    pub fn stop_by_call(&mut self) {
        self.stopped_by_call = true;
        self.stop();
    }

    /// Lets it go on (`TCOON`).
    pub fn start_by_call(&mut self) {
        if core::mem::take(&mut self.stopped_by_call) {
            self.start();
        }
    }

    fn forget_input(&mut self) {
        self.input.clear();
        self.lines = 0;
        self.erasing = false;
    }

    /// Forgets what was received and not read.
    pub fn flush_input(&mut self) {
        self.forget_input();
        self.report(packet::FLUSH_READ);
    }

    /// Forgets what was sent and is not with the other side yet, because the other side wants nothing of it.
    pub fn drop_sent(&mut self) {
        self.output.clear();
    }

    /// Forgets what was sent and is not with the other side yet.
    pub fn flush_output(&mut self) {
        self.output.clear();
        self.report(packet::FLUSH_WRITE);
    }

    // ------------------------------------------------------------------ to be told

    fn report(&mut self, status: u8) {
        if self.reports {
            self.status |= status;
        }
    }

    /// Whether the other side reads in packets.
    pub fn set_reports(&mut self, reports: bool) {
        if reports && !self.reports {
            self.status = 0;
        }
        self.reports = reports;
    }

    /// Whether the other side reads in packets.
    pub fn reports(&self) -> bool {
        self.reports
    }

    /// What the other side has to be told.
    pub fn status(&self) -> u8 {
        if self.reports { self.status } else { 0 }
    }

    /// It is told.
    pub fn take_status(&mut self) -> u8 {
        let status = self.status();
        self.status = 0;
        status
    }

    /// Signals that characters asked for, to be sent now.
    pub fn take_signals(&mut self) -> u8 {
        core::mem::take(&mut self.signals)
    }
}
