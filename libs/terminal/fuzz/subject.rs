//! What is fuzzed: the two ends of a pseudo-terminal, whatever is typed, written, set and asked.

use pith_linux::files::Termios;
use pith_terminal::LineDiscipline;

/// Bytes that an end can send before the other takes them.
const CAPACITY: usize = 12288;
/// The most that waits to be read: the last byte of a line that is too long may be marked with two more.
const MOST_INPUT: usize = 4096 + 2;

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    fn word(&mut self) -> u32 {
        u32::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

fn read(end: &mut LineDiscipline, most: usize) -> Vec<u8> {
    let (promised, length) = (end.has_input(), end.input_length());
    let mut bytes = Vec::new();
    let line_end = end.read(most, &mut bytes);
    assert!(bytes.len() <= most && bytes.len() <= length.max(1));
    assert!(promised || bytes.is_empty());
    if bytes.is_empty() {
        return bytes;
    }
    // A part of it is given back, and read again as if nothing had been.
    let kept = bytes.len() / 2;
    let left = end.input_length();
    end.put_back(&bytes[kept..], line_end);
    assert_eq!(end.input_length(), left + bytes.len() - kept);
    let mut again = Vec::new();
    let ended = end.read(most - kept, &mut again);
    assert_eq!(again, bytes[kept..]);
    assert_eq!(ended, line_end);
    bytes
}

fn change(settings: &Termios, input: &mut Input<'_>) -> Termios {
    let mut new = *settings;
    match input.byte() % 4 {
        0 => new.input = input.word(),
        1 => new.output = input.word(),
        2 => new.local = input.word() | u32::from(input.byte() & 1) << 16,
        _ => new.characters[usize::from(input.byte()) % 19] = input.byte(),
    }
    new
}

/// Uses both ends as the input says, and takes all out at the end. Returns how many bytes were read, so that a test can tell
/// whether it reached anything.
pub fn line(data: &[u8]) -> usize {
    let mut input = Input(data);
    let raw = Termios {
        input: 0,
        output: 0,
        local: 0,
        ..Termios::STANDARD
    };
    let mut ends = [
        LineDiscipline::new(raw, CAPACITY),
        LineDiscipline::new(Termios::STANDARD, CAPACITY),
    ];
    let mut got = 0;
    while !input.0.is_empty() {
        let choice = input.byte();
        let which = usize::from(choice >> 7);
        let end = &mut ends[which];
        match choice % 16 {
            0..=4 => {
                let count = usize::from(input.byte());
                let bytes = input.take(count);
                let written = end.write(bytes);
                assert!(written <= bytes.len());
            }
            // Many at once, so that buffers fill.
            5 => {
                let bytes = vec![input.byte(); usize::from(input.byte()) * 64];
                assert!(end.write(&bytes) <= bytes.len());
            }
            6 | 7 => got += read(end, usize::from(input.byte())).len(),
            8 | 9 => {
                let new = change(end.settings(), &mut input);
                end.set(new);
                assert_eq!(end.settings(), &new);
            }
            10 => end.flush_input(),
            11 => end.flush_output(),
            12 => end.stop_by_call(),
            13 => end.start_by_call(),
            14 => {
                end.set_reports(input.byte() & 1 != 0);
                let told = end.status();
                assert_eq!(end.take_status(), told);
                assert_eq!(end.status(), 0);
            }
            _ => end.send_directly(input.byte()),
        }
        let [master, slave] = &mut ends;
        master.pass_to(slave);
        slave.pass_to(master);
        for end in &mut ends {
            assert!(end.input_length() <= MOST_INPUT);
            assert!(!end.is_readable() || end.has_input());
            let _ = (end.take_signals(), end.has_room(), end.reading());
            assert_eq!(end.take_signals(), 0);
        }
    }
    // Whatever has happened, there is an end to what can be read.
    for end in &mut ends {
        let mut rounds = 0;
        while end.has_input() {
            got += read(end, 100).len();
            rounds += 1;
            assert!(rounds <= MOST_INPUT + 1, "no end of input");
        }
    }
    got
}
