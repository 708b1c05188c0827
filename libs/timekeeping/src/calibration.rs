//! Frequencies from readings of three counters: the time stamp counter, the timer of the local interrupt controller, and
//! the first channel of the programmable interval timer, the only one whose frequency is known.
//!
//! A monitor may stop the processor at any time, so each reading knows how exact it is. The interval timer turns over every
//! 55 ms. A short span, in which it surely has not, tells roughly how fast the counters run; that is enough to know how
//! often it turned over in a longer span, such as the one since boot, and the longer span is exact. So nobody has to wait
//! for a span to become long.
//!
//! Source: Intel 8254 data sheet (in mode 0 the counter goes on counting behind zero); Intel SDM volume 3, 11.5.4.

/// Frequency of the programmable interval timer, in Hz.
pub const INTERVAL_TIMER_FREQUENCY: u64 = 1_193_182;
/// How many ticks of the interval timer are one turn.
const TURN: u64 = 1 << 16;
/// The shortest span that can be exact, in ticks of the interval timer: 5 ms.
const LEAST_TICKS: u64 = 5966;
/// A span is exact if what is uncertain is at most this part of it.
const PRECISION: u64 = 2000;

/// Frequencies in Hz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequencies {
    /// Of the time stamp counter.
    pub counter: u64,
    /// Of the timer of the local interrupt controller at divider 1.
    pub timer: u64,
}

/// The counters at about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time stamp counter before the others were read.
    pub before: u64,
    /// The time stamp counter after that.
    pub after: u64,
    /// What the interval timer has counted, in the present turn.
    pub interval: u16,
    /// What the local timer has counted since it was started.
    pub timer: u32,
}

impl Reading {
    fn middle(&self) -> u64 {
        self.before + self.uncertainty() / 2
    }

    /// For how many ticks of the time stamp counter it is not known when the others were read.
    pub fn uncertainty(&self) -> u64 {
        self.after.saturating_sub(self.before)
    }
}

/// What the counters advanced between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    counter: u64,
    timer: u64,
    ticks: u64,
    uncertain: u64,
}

impl Span {
    /// Between readings of the same turn of the interval timer, or of one that follows less than a turn later.
    pub fn within_a_turn(first: &Reading, last: &Reading) -> Self {
        Self {
            counter: last.middle().saturating_sub(first.middle()),
            timer: last.timer.saturating_sub(first.timer).into(),
            ticks: last.interval.wrapping_sub(first.interval).into(),
            uncertain: first.uncertainty() + last.uncertainty(),
        }
    }

    /// Between readings that any number of turns may lie between, if `short` tells well enough how many. The local timer
    /// must not have stopped in between, at its end.
    fn of_turns(first: &Reading, last: &Reading, short: &Self) -> Option<Self> {
        let span = Self::within_a_turn(first, last);
        if last.timer == u32::MAX || short.ticks == 0 || short.counter == 0 {
            return None;
        }
        let expected = span.counter.checked_mul(short.ticks)? / short.counter;
        // The beginning and the end of a tick are uncertain too.
        let error =
            expected.checked_mul(short.uncertain)? / short.counter + expected * 2 / short.ticks;
        if error > TURN / 8 {
            return None;
        }
        let turns = (expected + TURN / 2).saturating_sub(span.ticks) / TURN;
        let ticks = span.ticks + turns * TURN;
        (ticks.abs_diff(expected) <= TURN / 4).then_some(Self { ticks, ..span })
    }

    fn exact(&self) -> bool {
        self.ticks >= LEAST_TICKS && self.uncertain.saturating_mul(PRECISION) <= self.counter
    }

    /// The frequencies, if the span is long enough to say anything: at least 1/16 of an exact one.
    pub fn frequencies(&self) -> Option<Frequencies> {
        if self.ticks < LEAST_TICKS / 16 {
            return None;
        }
        let frequency =
            |counted: u64| Some(counted.checked_mul(INTERVAL_TIMER_FREQUENCY)? / self.ticks);
        Some(Frequencies {
            counter: frequency(self.counter)?,
            timer: frequency(self.timer)?,
        })
    }
}

/// A measurement: readings come in, and at some time frequencies come out.
#[derive(Debug, Default)]
pub struct Calibration {
    since_boot: Option<(Reading, Reading)>,
    first: Option<Reading>,
    /// The best that was seen, in case that nothing is exact.
    best: Option<Span>,
}

impl Calibration {
    /// `since_boot` are two readings between which the counters were not started again, any time apart, if there are such.
    pub fn new(since_boot: Option<(Reading, Reading)>) -> Self {
        Self {
            since_boot,
            ..Self::default()
        }
    }

    /// The counters have been started (again): what is offered next has nothing to do with what was offered before.
    pub fn started(&mut self) {
        self.first = None;
    }

    /// Takes a reading that follows the last start by less than a turn of the interval timer. Frequencies come out as soon
    /// as they are exact.
    pub fn offer(&mut self, reading: Reading) -> Option<Frequencies> {
        let Some(first) = self.first else {
            self.first = Some(reading);
            return None;
        };
        let short = Span::within_a_turn(&first, &reading);
        let long = self
            .since_boot
            .and_then(|(first, last)| Span::of_turns(&first, &last, &short));
        if let Some(exact) = long.into_iter().chain([short]).find(Span::exact) {
            return exact.frequencies();
        }
        // In parts of a million of the span.
        let error = |span: &Span| span.uncertain.saturating_mul(1_000_000) / span.counter.max(1);
        if short.ticks >= LEAST_TICKS && self.best.is_none_or(|best| error(&short) < error(&best)) {
            self.best = Some(short);
        }
        // A span that begins with a better reading is exact sooner.
        if reading.uncertainty() < first.uncertainty() / 2 {
            self.first = Some(reading);
        }
        None
    }

    /// The best that is known, although it is not exact.
    pub fn best(&self) -> Option<Frequencies> {
        self.best?.frequencies()
    }
}
