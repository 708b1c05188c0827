//! Transcripts: what arrives, what is sent, what the program calls, line by line.
//!
//! ```text
//! connect              a connection is asked for; `listen` waits for the peer's SYN instead
//! +10 < S. 0:0(0) ack 1 win 1000 <mss 1000,sackOK,wscale 2>
//! > . 1:1(0) ack 1     the next segment that is sent
//! none                 nothing else was sent
//! write 500            the program's calls: write, read, shutdown, close, abort, nodelay, cork, uncork, keepalive,
//!                      urgent, out-of-band, mark, inline, timeout
//! window 10            the congestion window in segments
//! state Established
//! available 500
//! ends Reset
//! ```
//!
//! `+10` at the start of a line lets ten milliseconds pass. Numbers are relative to the first ones of each side. Flags are
//! those of packetdrill: `S` SYN, `F` FIN, `R` RST, `P` PSH, `.` ACK. Of what is sent, options are compared only where
//! a line names them, the window too, and PSH not at all.

use std::collections::VecDeque;

use pith_tcpip::Instant;
use pith_tcpip::tcp::{
    Algorithm, Connection, KeepAlive, Offer, Options, Request, Segment, Sequence, Step, Urgent,
};
use pith_tcpip::time::{MILLISECOND, SECOND};
use pith_tcpip::wire::tcp::{Header, flag};

use super::{End, Memory, PATH, address, slice};

const OURS: Sequence = Sequence(u32::MAX - 500);
const THEIRS: Sequence = Sequence(u32::MAX - 70_000);
const STAMP: u32 = 1000;

struct Play {
    now: Instant,
    end: Option<End>,
    request: Option<Request>,
    options: Options,
    sent: VecDeque<Segment<Memory>>,
    line: usize,
}

/// Plays a transcript. Panics where it goes another way.
pub fn play(transcript: &str) {
    play_with(
        Options {
            algorithm: Algorithm::Reno,
            ..Options::default()
        },
        transcript,
    );
}

/// The same with other options.
pub fn play_with(options: Options, transcript: &str) {
    let mut play = Play {
        now: Instant(1000 * SECOND),
        end: None,
        request: None,
        options,
        sent: VecDeque::new(),
        line: 0,
    };
    for (index, line) in transcript.lines().enumerate() {
        play.line = index + 1;
        let line = line.split("//").next().unwrap_or_default().trim();
        if !line.is_empty() {
            play.perform(line);
        }
    }
    assert!(
        play.sent.is_empty(),
        "at the end there is more: {}",
        play.shown()
    );
}

fn flags_of(text: &str) -> u8 {
    text.chars()
        .map(|letter| match letter {
            'S' => flag::SYN,
            'F' => flag::FIN,
            'R' => flag::RST,
            'P' => flag::PSH,
            '.' => flag::ACK,
            other => panic!("no flag is called {other}"),
        })
        .sum()
}

fn number(text: &str) -> u32 {
    text.parse()
        .unwrap_or_else(|_| panic!("'{text}' is no number"))
}

/// A segment as a transcript writes it.
struct Written {
    header: Header,
    length: usize,
    has_window: bool,
    has_options: bool,
    has_acknowledgement: bool,
}

impl Play {
    fn end(&mut self) -> &mut End {
        self.end.as_mut().expect("there is a connection")
    }

    fn transmit(&mut self) {
        let now = self.now;
        let mut out = Vec::new();
        if let Some(end) = &mut self.end {
            end.transmit(now, 0, &mut out);
        }
        self.sent.extend(out);
    }

    fn pass(&mut self, nanoseconds: u64) {
        let goal = self.now + nanoseconds;
        while let Some(request) = &mut self.request
            && request.deadline() <= goal
        {
            self.now = request.deadline();
            let step = request.expire(Offer::new(PATH, &self.options), self.now);
            self.take_step(step, &Header::default(), &[]);
        }
        while let Some(at) = self.end.as_ref().and_then(Connection::deadline)
            && at <= goal
        {
            self.now = at.max(self.now);
            let now = self.now;
            let mut out = Vec::new();
            self.end().expire(now, &mut out);
            self.sent.extend(out);
            self.transmit();
        }
        self.now = goal;
    }

    fn shown(&self) -> String {
        let lines = self.sent.iter().map(|segment| {
            let header = &segment.header;
            format!(
                "flags {:#x} {}:+{} ack {} win {} sack {:?} ts {:?}",
                header.flags,
                header.sequence.ahead_of(OURS),
                segment.length(),
                header.acknowledgement.ahead_of(THEIRS),
                header.window,
                header
                    .sack
                    .iter()
                    .flatten()
                    .map(|(a, b)| (a.ahead_of(THEIRS), b.ahead_of(THEIRS)))
                    .collect::<Vec<_>>(),
                header.timestamps,
            )
        });
        lines.collect::<Vec<_>>().join("\n  ")
    }

    /// Reads `S. 0:0(0) ack 1 win 1000 <mss 1000>`. `from_us`: which side's numbers come first.
    fn written(&self, text: &str, from_us: bool) -> Written {
        let (text, options) = match text.split_once('<') {
            Some((text, options)) => (text, options.trim_end_matches('>')),
            None => (text, ""),
        };
        let (own, other) = if from_us {
            (OURS, THEIRS)
        } else {
            (THEIRS, OURS)
        };
        let mut words = text.split_whitespace();
        let flags = flags_of(words.next().expect("flags"));
        let range = words.next().expect("a range");
        let (start, rest) = range.split_once(':').expect("start:end(length)");
        let (_, length) = rest.split_once('(').expect("start:end(length)");
        let mut written = Written {
            header: Header {
                source: if from_us { 40_000 } else { 80 },
                destination: if from_us { 80 } else { 40_000 },
                sequence: own + number(start) as usize,
                flags,
                window: 1000,
                ..Header::default()
            },
            length: number(length.trim_end_matches(')')) as usize,
            has_window: false,
            has_options: !options.is_empty(),
            has_acknowledgement: false,
        };
        while let Some(word) = words.next() {
            let value = number(words.next().expect("a value"));
            match word {
                "ack" => {
                    written.header.acknowledgement = other + value as usize;
                    written.has_acknowledgement = true;
                }
                "urg" => {
                    written.header.flags |= flag::URG;
                    written.header.urgent = value as u16;
                }
                "win" => {
                    written.header.window = value as u16;
                    written.has_window = true;
                }
                _ => panic!("line {}: what is {word}?", self.line),
            }
        }
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let mut words = option.split_whitespace();
            match words.next() {
                Some("mss") => {
                    written.header.maximum_segment = words.next().map(|text| number(text) as u16)
                }
                Some("wscale") => {
                    written.header.window_scale = words.next().map(|text| number(text) as u8)
                }
                Some("sackOK") => written.header.sack_permitted = true,
                Some("TS") => {
                    let value = number(words.next().expect("a value"));
                    let echo = number(words.next().expect("an echo"));
                    written.header.timestamps = Some((value, echo));
                }
                Some("sack") => {
                    // What is reported are the other side's numbers.
                    for (place, block) in written.header.sack.iter_mut().zip(words) {
                        let (start, end) = block.split_once(':').expect("start:end");
                        *place =
                            Some((other + number(start) as usize, other + number(end) as usize));
                    }
                }
                _ => panic!("line {}: what is {option}?", self.line),
            }
        }
        written
    }

    fn arrive(&mut self, text: &str) {
        let written = self.written(text, false);
        let now = self.now;
        let data: Vec<u8> = (0..written.length)
            .map(|index| (written.header.sequence + index).0 as u8)
            .collect();
        match (&mut self.end, &mut self.request) {
            (Some(end), _) => end.receive(&written.header, slice(&data), now),
            (None, Some(request)) => {
                let offer = Offer::new(PATH, &self.options);
                let step = request.receive(&written.header, data.len(), offer, now);
                self.take_step(step, &written.header, &data);
            }
            (None, None) => {
                assert!(
                    written.header.has(flag::SYN),
                    "line {}: a listener wants a SYN",
                    self.line
                );
                self.request = Some(Request::new(&written.header, (OURS, STAMP), now));
                self.take_step(Step::Answer, &written.header, &[]);
            }
        }
        self.transmit();
    }

    /// Does what a request wants.
    fn take_step(&mut self, step: Step, header: &Header, data: &[u8]) {
        let now = self.now;
        let request = self.request.expect("there is a request");
        let offer = Offer::new(PATH, &self.options);
        let ports = (40_000, 80);
        match step {
            Step::Ignore => {}
            Step::Answer => self.send(request.answer(ports, offer, now)),
            Step::Acknowledge => self.send(request.acknowledgement(ports, offer, now)),
            Step::Refuse | Step::End { reset: true } => self.send(Header {
                source: 40_000,
                destination: 80,
                sequence: header.acknowledgement,
                flags: flag::RST,
                ..Header::default()
            }),
            Step::End { reset: false } => {}
            Step::Establish => {
                let addresses = (address(40_000), address(80));
                let mut end = Connection::accept(addresses, &request, PATH, self.options, now);
                end.receive(header, slice(data), now);
                self.end = Some(end);
            }
        }
        if matches!(step, Step::End { .. } | Step::Establish) {
            self.request = None;
        }
    }

    fn send(&mut self, header: Header) {
        self.sent.push_back(Segment::plain(header));
    }

    fn expect(&mut self, text: &str) {
        let line = self.line;
        let written = self.written(text, true);
        let Some(segment) = self.sent.pop_front() else {
            panic!("line {line}: nothing was sent instead of: {text}");
        };
        let mut header = segment.header;
        let mut expected = written.header;
        header.flags &= !flag::PSH;
        expected.flags &= !flag::PSH;
        if !written.has_window {
            expected.window = header.window;
        }
        if !written.has_acknowledgement {
            expected.acknowledgement = header.acknowledgement;
        }
        if !written.has_options {
            expected.maximum_segment = header.maximum_segment;
            expected.window_scale = header.window_scale;
            expected.sack_permitted = header.sack_permitted;
            expected.timestamps = header.timestamps;
            expected.sack = header.sack;
        } else if expected.timestamps.is_none() {
            expected.timestamps = header.timestamps;
        }
        let same = header == expected && segment.length() == written.length;
        if !same {
            self.sent.push_front(segment);
            panic!("line {line}: instead of: {text}\n  {}", self.shown());
        }
    }

    fn choose(&mut self, change: impl Fn(&mut Options)) {
        let now = self.now;
        self.end().choose(change, now);
    }

    fn perform(&mut self, line: &str) {
        let mut line = line;
        if let Some(rest) = line.strip_prefix('+') {
            let (time, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            self.pass(u64::from(number(time)) * MILLISECOND);
            line = rest.trim();
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let now = self.now;
        match word {
            "" => {}
            "<" => self.arrive(rest),
            ">" => self.expect(rest),
            "none" => assert!(
                self.sent.is_empty(),
                "line {}: more was sent:\n  {}",
                self.line,
                self.shown()
            ),
            "connect" => {
                self.end = Some(Connection::connect(
                    (address(40_000), address(80)),
                    (OURS, STAMP),
                    PATH,
                    self.options,
                    now,
                ));
            }
            "listen" => {}
            "write" => {
                let data = vec![7; number(rest) as usize];
                self.end().send(slice(&data));
            }
            "read" => self.end().consume(number(rest) as usize),
            "shutdown" => self.end().shut_down(),
            "close" => self.end().close(now),
            "abort" => self.end().abort(),
            "nodelay" => self.choose(|options| options.no_delay = true),
            "cork" => self.choose(|options| options.cork = true),
            "uncork" => self.choose(|options| options.cork = false),
            "inline" => self.choose(|options| options.urgent_inline = true),
            "timeout" => {
                let time = u64::from(number(rest)) * MILLISECOND;
                self.choose(|options| options.user_timeout = time);
            }
            "keepalive" => self.choose(|options| {
                options.keep_alive = Some(KeepAlive {
                    idle: 10 * SECOND,
                    interval: SECOND,
                    count: 3,
                });
            }),
            "limit" => self.end().limit_segment(number(rest) as usize),
            "scarce" => self.end().set_scarce(true),
            "plenty" => self.end().set_scarce(false),
            "more" => self.end().more_follows(true),
            "nomore" => self.end().more_follows(false),
            "drain" => self.sent.clear(),
            "urgent" => {
                let data = vec![7; number(rest) as usize];
                self.end().send_urgent(slice(&data));
            }
            "out-of-band" => {
                let found = match self.end().take_urgent(false) {
                    Urgent::Byte(byte) => byte.to_string(),
                    other => format!("{other:?}"),
                };
                assert_eq!(found, rest, "line {}", self.line);
            }
            "mark" => assert_eq!(
                self.end().is_at_mark().to_string(),
                rest,
                "line {}",
                self.line
            ),
            "request" => assert_eq!(
                self.request.is_some().to_string(),
                rest,
                "line {}",
                self.line
            ),
            "state" => {
                let state = match (&self.end, &self.request) {
                    (None, Some(_)) => "SynReceived".to_owned(),
                    _ => format!("{:?}", self.end().state()),
                };
                assert_eq!(state, rest, "line {}", self.line);
            }
            "window" => {
                let window = self.end().information(now).window;
                assert_eq!(window, number(rest) as usize, "line {}", self.line);
            }
            "trouble" => {
                let trouble = self.end().information(now).trouble;
                assert_eq!(format!("{trouble:?}"), rest, "line {}", self.line);
            }
            "available" => assert_eq!(
                self.end().available(),
                number(rest) as usize,
                "line {}",
                self.line
            ),
            "ends" => {
                let ending = self.end().ending().map(|ending| format!("{ending:?}"));
                assert_eq!(ending.as_deref(), Some(rest), "line {}", self.line);
            }
            other => panic!("line {}: what is {other}?", self.line),
        }
        if !matches!(word, "<" | ">" | "none" | "listen") {
            self.transmit();
        }
    }
}
