//! The line discipline, as `termios(3)` describes it and as Linux 6.18 was seen to behave.

use pith_linux::files::Termios;
use pith_terminal::{
    ExtendedTermios, LineDiscipline, LineEnd, OldTermios, character, input, local, output_mode,
    packet, signals,
};

/// A pseudo-terminal: what one end sends, the other receives.
struct Line {
    master: LineDiscipline,
    slave: LineDiscipline,
}

fn raw() -> Termios {
    Termios {
        input: 0,
        output: 0,
        local: 0,
        ..Termios::STANDARD
    }
}

impl Line {
    fn new(change: impl FnOnce(&mut Termios)) -> Self {
        let mut settings = Termios::STANDARD;
        change(&mut settings);
        Self {
            master: LineDiscipline::new(raw(), 12288),
            slave: LineDiscipline::new(settings, 12288),
        }
    }

    fn pass(&mut self) {
        self.master.pass_to(&mut self.slave);
        self.slave.pass_to(&mut self.master);
    }

    /// Types, and gives what appears on the screen.
    fn types(&mut self, text: &[u8]) -> String {
        assert_eq!(self.master.write(text), text.len());
        self.screen()
    }

    fn screen(&mut self) -> String {
        self.pass();
        let mut bytes = Vec::new();
        self.master.read(usize::MAX, &mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn writes(&mut self, text: &[u8]) -> String {
        assert_eq!(self.slave.write(text), text.len());
        self.screen()
    }

    fn reads(&mut self, most: usize) -> String {
        let mut bytes = Vec::new();
        self.slave.read(most, &mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[test]
fn what_is_put_back_is_read_again_as_it_was() {
    let mut line = Line::new(|_| ());
    for (text, end) in [
        (&b"abcd\n"[..], LineEnd::LastByte),
        (b"abcd\x04", LineEnd::Behind),
    ] {
        line.types(text);
        line.types(b"next\n");
        let mut bytes = Vec::new();
        assert_eq!(line.slave.read(100, &mut bytes), end);
        let whole = line.slave.input_length();
        line.slave.put_back(&bytes[2..], end);
        assert_eq!(line.slave.input_length(), whole + bytes.len() - 2);
        assert_eq!(line.reads(1), "c");
        assert_eq!(line.reads(100).as_bytes(), &bytes[3..]);
        assert_eq!(line.reads(100), "next\n");
        assert!(!line.slave.has_input());
    }
}

#[test]
fn lines_are_given_out_one_at_a_time() {
    let mut line = Line::new(|_| ());
    assert_eq!(line.types(b"one\rtwo\nthr"), "one\r\ntwo\r\nthr");
    assert!(line.slave.has_input());
    assert_eq!(line.slave.input_length(), 8);
    assert_eq!(line.reads(2), "on");
    assert_eq!(line.reads(100), "e\n");
    assert_eq!(line.reads(100), "two\n");
    assert!(!line.slave.has_input());
    line.types(b"ee\x04");
    assert_eq!(line.slave.input_length(), 5);
    assert_eq!(line.reads(100), "three");
    assert!(!line.slave.has_input());
}

#[test]
fn the_end_of_input_is_an_empty_line_and_is_told_once() {
    let mut line = Line::new(|_| ());
    line.types(b"\x04");
    assert!(line.slave.has_input());
    assert_eq!(line.slave.input_length(), 0);
    assert_eq!(line.reads(10), "");
    assert!(!line.slave.has_input());
    // Right behind the last byte that has room, it is not told again.
    line.types(b"abc\x04");
    assert_eq!(line.reads(3), "abc");
    assert!(!line.slave.has_input());
}

#[test]
fn lines_are_edited() {
    let mut line = Line::new(|_| ());
    assert_eq!(line.types(b"ab\x7f\x7f\x7f"), "ab\x08 \x08\x08 \x08");
    assert_eq!(
        line.types(b"two words\x17"),
        "two words\x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08"
    );
    assert_eq!(line.types(b"\x15"), "\x08 \x08".repeat(4));
    // A control character takes two places.
    assert_eq!(line.types(b"\x01\x7f"), "^A\x08 \x08\x08 \x08");
    assert_eq!(line.types(b"a\x16\x03b\n"), "a^\x08^Cb\r\n");
    assert_eq!(line.reads(100), "a\x03b\n");
    assert_eq!(line.types(b"abc\x12"), "abc^R\r\nabc");
}

#[test]
fn tabs_are_erased_back_to_where_they_began() {
    let mut line = Line::new(|_| ());
    assert_eq!(
        line.types(b"abc\t\x7f"),
        "abc\t".to_owned() + &"\x08".repeat(5)
    );
    line.types(b"\x15");
    // Behind a prompt, the line begins in its column.
    line.writes(b"$ ");
    assert_eq!(line.types(b"a\t\x7f"), "a\t".to_owned() + &"\x08".repeat(5));
}

#[test]
fn characters_of_several_bytes_are_erased_as_one() {
    let mut line = Line::new(|settings| settings.input |= input::IUTF8);
    assert_eq!(line.types("ä€\x7f".as_bytes()), "ä€\x08 \x08");
    line.types(b"\n");
    assert_eq!(line.reads(100), "ä\n");
    let mut line = Line::new(|_| ());
    line.types("ä\x7f\n".as_bytes());
    assert_eq!(line.slave.input_length(), 2);
}

#[test]
fn a_paper_terminal_prints_what_is_erased() {
    let mut line = Line::new(|settings| settings.local |= local::ECHOPRT);
    assert_eq!(line.types(b"abc\x7f\x7fx\n"), "abc\\cb/x\r\n");
    assert_eq!(line.reads(10), "ax\n");
    let mut line = Line::new(|settings| settings.local &= !(local::ECHOE | local::ECHOKE));
    assert_eq!(line.types(b"ab\x7f"), "ab^?");
    assert_eq!(line.types(b"\x15"), "^U\r\n");
}

#[test]
fn signals_flush_what_was_typed() {
    let mut line = Line::new(|_| ());
    // What is echoed together with the signal's character is lost as well.
    assert_eq!(line.types(b"abc\x03"), "^C");
    assert_eq!(line.slave.take_signals(), signals::INTERRUPT);
    assert_eq!(line.slave.take_signals(), 0);
    line.types(b"\n");
    assert_eq!(line.reads(10), "\n");
    line.types(b"\x1c\x1a");
    assert_eq!(line.slave.take_signals(), signals::QUIT | signals::STOP);
    let mut line = Line::new(|settings| settings.local |= local::NOFLSH);
    assert_eq!(line.types(b"abc\x03\n"), "abc^C\r\n");
    assert_eq!(line.reads(10), "abc\n");
    let mut line = Line::new(|settings| settings.local &= !local::ISIG);
    line.types(b"\x03\n");
    assert_eq!(line.slave.take_signals(), 0);
    assert_eq!(line.reads(10), "\x03\n");
}

#[test]
fn characters_stop_and_start_output() {
    let mut line = Line::new(|_| ());
    assert_eq!(line.types(b"\x13"), "");
    assert!(!line.slave.has_room());
    assert_eq!(line.slave.write(b"later"), 0);
    assert_eq!(line.types(b"x"), "");
    // The echo that waited.
    assert_eq!(line.types(b"\x11"), "x");
    assert!(line.slave.has_room());
    let mut line = Line::new(|settings| settings.input |= input::IXANY);
    line.types(b"\x13");
    assert_eq!(line.types(b"y"), "y");
    // Without the mode that stopped it, output goes on.
    line.types(b"\x13");
    line.slave.set(raw());
    assert!(line.slave.has_room());
    // What a call has stopped, only a call starts.
    line.slave.set(Termios::STANDARD);
    line.slave.stop_by_call();
    line.types(b"\x11");
    assert!(!line.slave.has_room());
    // Meanwhile not even a character that ignores a stop is sent.
    line.slave.send_directly(b'!');
    line.slave.start_by_call();
    assert!(line.slave.has_room());
    assert_eq!(line.types(b"\x13"), "");
    line.slave.send_directly(b'!');
    assert_eq!(line.types(b"\x11"), "!");
}

#[test]
fn output_is_changed_as_asked() {
    let mut line = Line::new(|_| ());
    assert_eq!(line.writes(b"a\nb\tc"), "a\r\nb\tc");
    let mut line = Line::new(|settings| settings.output |= output_mode::XTABS | output_mode::OLCUC);
    assert_eq!(line.writes(b"ab\tc\n"), "AB      C\r\n");
    let mut line = Line::new(|settings| {
        settings.output = output_mode::OPOST | output_mode::ONOCR | output_mode::OCRNL;
    });
    assert_eq!(line.writes(b"\ra\r"), "a\n");
    let mut line = Line::new(|settings| settings.output = 0);
    assert_eq!(line.writes(b"a\n\t"), "a\n\t");
}

#[test]
fn input_is_changed_as_asked() {
    let mut line = Line::new(|settings| {
        settings.local = local::IEXTEN;
        settings.input = input::ISTRIP | input::IUCLC | input::INLCR;
    });
    line.types(b"A\xc2\n\r");
    assert_eq!(line.reads(10), "ab\r\r");
    line.slave.set(Termios {
        input: input::IGNCR,
        ..raw()
    });
    line.types(b"a\rb\n");
    assert_eq!(line.reads(10), "ab\n");
    line.slave.set(Termios {
        input: input::PARMRK,
        ..raw()
    });
    line.types(b"\xff");
    assert_eq!(line.slave.input_length(), 2);
}

#[test]
fn a_change_of_mode_keeps_what_was_typed() {
    let mut line = Line::new(|_| ());
    line.types(b"abc");
    assert!(!line.slave.has_input());
    line.slave.set(raw());
    assert_eq!(line.reads(2), "ab");
    line.slave.set(Termios::STANDARD);
    // What is there counts as a line.
    assert_eq!(line.reads(10), "c");
    assert!(!line.slave.has_input());
}

#[test]
fn reads_without_lines_wait_for_a_number_of_bytes() {
    let mut line = Line::new(|settings| {
        settings.local = 0;
        settings.characters[character::MIN] = 3;
    });
    line.types(b"ab");
    assert!(line.slave.has_input() && !line.slave.is_readable());
    line.types(b"c");
    assert!(line.slave.is_readable());
    let reading = line.slave.reading();
    assert_eq!((reading.minimum, reading.time), (3, 0));
}

#[test]
fn a_line_that_is_too_long_loses_its_tail_but_ends() {
    let mut line = Line::new(|settings| settings.local &= !local::ECHO);
    line.types(&[b'a'; 5000]);
    line.types(b"b");
    line.types(b"\n");
    let text = line.reads(10000);
    assert_eq!(text.len(), 4096);
    assert!(text.ends_with("aa\n"));
}

#[test]
fn marks_may_make_three_bytes_of_one() {
    let mut line = Line::new(|settings| {
        settings.local = 0;
        settings.input = input::PARMRK;
    });
    assert_eq!(line.slave.receive(&[b'a'; 5000]), 4093);
    assert_eq!(line.slave.input_length(), 4093);
}

#[test]
fn what_has_no_room_waits_for_it() {
    let mut line = Line::new(|settings| *settings = raw());
    let sent = line.master.write(&[b'x'; 100_000]);
    line.pass();
    assert_eq!(sent, 12288);
    assert_eq!(line.slave.input_length(), 4095);
    let more = line.master.write(&[b'x'; 100_000]);
    assert_eq!(more, 4095);
    let mut total = 0;
    loop {
        line.pass();
        match line.reads(1000).len() {
            0 => break,
            count => total += count,
        }
    }
    assert_eq!(total, sent + more);
}

#[test]
fn packets_tell_of_flushing_and_flow() {
    let mut line = Line::new(|_| ());
    line.types(b"\x13");
    assert_eq!(line.slave.status(), 0);
    line.slave.set_reports(true);
    line.types(b"\x11");
    assert_eq!(line.slave.take_status(), packet::START);
    line.types(b"\x03");
    assert_eq!(
        line.slave.take_status(),
        packet::FLUSH_READ | packet::FLUSH_WRITE
    );
    line.slave.set(raw());
    assert_eq!(line.slave.take_status(), packet::NO_STOP);
    line.slave.set(Termios {
        local: local::EXTPROC,
        ..Termios::STANDARD
    });
    assert_eq!(line.slave.take_status(), packet::DO_STOP | packet::SETTINGS);
    line.slave.set_reports(false);
    line.types(b"\x13");
    assert_eq!(line.slave.status(), 0);
}

#[test]
fn the_other_side_may_do_the_work() {
    let mut line = Line::new(|settings| settings.local |= local::EXTPROC);
    assert_eq!(line.types(b"ab\x7f\x03"), "");
    assert_eq!(line.slave.take_signals(), 0);
    assert_eq!(line.reads(10), "ab\x7f\x03");
}

#[test]
fn old_settings_change_half_of_the_flags() {
    let mut settings = Termios::STANDARD;
    settings.local |= 0x10000;
    let mut old = OldTermios::of(&settings);
    old.flags[3] = 0;
    old.characters[0] = 7;
    let new = old.applied_to(&settings);
    assert_eq!(new.local, 0x10000);
    assert_eq!(new.characters[0], 7);
    assert_eq!(new.characters[8..], settings.characters[8..]);
}

#[test]
fn speeds_follow_their_names() {
    let mut settings = ExtendedTermios::STANDARD;
    settings.settings.control = 0o60 | 0o10001;
    let named = settings.with_named_speeds();
    assert_eq!((named.input_speed, named.output_speed), (57600, 57600));
    settings.settings.control = 0o10000 | 0o11 << 16;
    settings.output_speed = 12345;
    let named = settings.with_named_speeds();
    assert_eq!((named.input_speed, named.output_speed), (1200, 12345));
}
