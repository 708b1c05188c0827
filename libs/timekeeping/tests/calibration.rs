//! A machine of which everything is known: its counters are read at known times, with and without disturbances, and the
//! frequencies have to come out.

use pith_timekeeping::{Calibration, Frequencies, INTERVAL_TIMER_FREQUENCY, Ratio, Reading, Span};

const COUNTER: u64 = 2_596_146_000;
const TIMER: u64 = 1_000_000_000;

/// A reading this many nanoseconds after the start, taking `took` nanoseconds.
fn reading(at: u64, took: u64) -> Reading {
    let ticks =
        |time: u64, frequency: u64| u128::from(time) * u128::from(frequency) / 1_000_000_000;
    let middle = at + took / 2;
    Reading {
        before: 77 + ticks(at, COUNTER) as u64,
        after: 77 + ticks(at + took, COUNTER) as u64,
        interval: (ticks(middle, INTERVAL_TIMER_FREQUENCY) % 65536) as u16,
        timer: ticks(middle, TIMER).min(u128::from(u32::MAX)) as u32,
    }
}

fn assert_exact(found: Frequencies) {
    for (found, real) in [(found.counter, COUNTER), (found.timer, TIMER)] {
        let error = found.abs_diff(real) as f64 / real as f64;
        assert!(error < 1.0 / 1500.0, "{found} for {real}");
    }
}

/// Offers a reading every `step` nanoseconds, and returns when frequencies came out, and which.
fn run(
    calibration: &mut Calibration,
    step: u64,
    took: impl Fn(u64) -> u64,
) -> Option<(u64, Frequencies)> {
    (0..50_000_000 / step).find_map(|number| {
        let at = number * step;
        Some((at, calibration.offer(reading(at, took(number)))?))
    })
}

#[test]
fn a_span_of_5_ms_is_enough_if_readings_are_quick() {
    let (time, found) = run(&mut Calibration::new(None), 2000, |_| 1000).expect("exact");
    assert!((5_000_000..5_100_000).contains(&time), "{time}");
    assert_exact(found);
}

#[test]
fn slow_readings_take_a_longer_span() {
    let (time, found) = run(&mut Calibration::new(None), 10_000, |_| 5000).expect("exact");
    assert!((20_000_000..20_100_000).contains(&time), "{time}");
    assert_exact(found);
}

#[test]
fn a_first_reading_that_was_interrupted_is_replaced() {
    let took = |number| if number == 0 { 300_000 } else { 1000 };
    let (time, found) = run(&mut Calibration::new(None), 400_000, took).expect("exact");
    assert!(time < 6_000_000, "{time}");
    assert_exact(found);
}

#[test]
fn the_span_since_boot_makes_waiting_needless() {
    // At the edges of turns of 54.9 ms, within the first, and after many.
    for since in [15, 27, 54, 55, 56, 82, 109, 110, 111, 500, 1000] {
        let span = (reading(3000, 3000), reading(since * 1_000_000, 3000));
        let (time, found) = run(&mut Calibration::new(Some(span)), 5000, |_| 3000).expect("exact");
        assert!(time < 1_500_000, "{since} ms after boot it took {time} ns");
        assert_exact(found);
    }
}

#[test]
fn a_timer_that_stopped_since_boot_is_not_believed() {
    let span = (reading(3000, 1000), reading(6_000_000_000, 1000));
    let (time, found) = run(&mut Calibration::new(Some(span)), 5000, |_| 1000).expect("exact");
    assert!(time >= 5_000_000, "{time}");
    assert_exact(found);
}

#[test]
fn disturbed_readings_at_random_never_give_a_wrong_answer() {
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut found = 0;
    for _ in 0..2000 {
        let since = 1_000_000 + random(3_000_000_000);
        let disturbance = 1 + random(200_000);
        let span = (
            reading(3000, 1000 + random(disturbance)),
            reading(since, 1000 + random(disturbance)),
        );
        let mut calibration = Calibration::new(Some(span));
        let mut at = 0;
        while at < 54_000_000 {
            let took = 1000 + random(disturbance);
            if let Some(frequencies) = calibration.offer(reading(at, took)) {
                assert_exact(frequencies);
                found += 1;
                break;
            }
            at += took + 500;
        }
    }
    assert!(found > 1000, "only {found} of 2000 ended");
}

#[test]
fn what_is_not_exact_is_kept_for_the_worst_case() {
    let mut calibration = Calibration::new(None);
    assert_eq!(run(&mut calibration, 400_000, |_| 100_000), None);
    let best = calibration.best().expect("something");
    assert!(best.counter.abs_diff(COUNTER) < COUNTER / 100);
    calibration.started();
    assert_eq!(calibration.best(), Some(best));
}

#[test]
fn a_short_span_says_nothing() {
    let first = reading(0, 100);
    assert_eq!(
        Span::within_a_turn(&first, &reading(100_000, 100)).frequencies(),
        None
    );
    let later = Span::within_a_turn(&first, &reading(1_000_000, 100)).frequencies();
    assert!(
        later
            .expect("a millisecond says something")
            .counter
            .abs_diff(COUNTER)
            < COUNTER / 100
    );
    // Counters that stand still divide by nothing.
    assert_eq!(Span::within_a_turn(&first, &first).frequencies(), None);
}

#[test]
fn ratios_multiply_without_loss() {
    let nanoseconds = Ratio::new(1_000_000_000, COUNTER);
    let ticks = Ratio::new(COUNTER, 1_000_000_000);
    for span in [0, 1, 1000, 1_000_000_000, 86_400_000_000_000] {
        let there_and_back = nanoseconds.of(ticks.of(span));
        assert!(
            there_and_back <= span && span - there_and_back <= 1 + span / 1_000_000_000,
            "{span}"
        );
    }
    assert_eq!(Ratio::new(1, 2).of(u64::MAX), u64::MAX / 2);
    assert_eq!(Ratio::new(3, 1).of(u64::MAX), u64::MAX);
    assert_eq!(Ratio::new(1, 0).bits(), u64::MAX);
    assert_eq!(Ratio::new(1 << 40, 1).bits(), u64::MAX);
}
