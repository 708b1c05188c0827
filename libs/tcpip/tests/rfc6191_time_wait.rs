//! RFC 6191 and RFC 9293, section 3.10.7.4: what late segments do after the end.

mod common;

use common::{End, client, slice};
use pith_tcpip::Instant;
use pith_tcpip::tcp::{Late, Options, Sequence, State, TimeWait};
use pith_tcpip::time::SECOND;
use pith_tcpip::wire::tcp::{Header, flag};

const START: Instant = Instant(1000 * SECOND);
const THEIRS: Sequence = Sequence(u32::MAX - 5);

fn segment(sequence: usize, flags: u8, stamp: Option<u32>) -> Header {
    Header {
        sequence: THEIRS + sequence,
        acknowledgement: Sequence(u32::MAX - 2000) + 2,
        flags,
        window: 1000,
        timestamps: stamp.map(|stamp| (stamp, 0)),
        ..Header::default()
    }
}

/// A connection whose program has gone, and whose end the peer has acknowledged.
fn half_closed(stamps: bool) -> End {
    let mut end = client(Options::default(), START);
    end.transmit(START, 0, &mut Vec::new());
    let mut answer = segment(0, flag::SYN | flag::ACK, stamps.then_some(700));
    answer.acknowledgement = Sequence(u32::MAX - 2000) + 1;
    end.receive(&answer, slice(&[]), START);
    end.close(START);
    end.transmit(START, 0, &mut Vec::new());
    end.receive(
        &segment(1, flag::ACK, stamps.then_some(700)),
        slice(&[]),
        START,
    );
    assert_eq!(end.state(), State::FinWait2);
    end
}

fn waiting(stamps: bool) -> TimeWait {
    let mut end = half_closed(stamps);
    let fin = segment(1, flag::FIN | flag::ACK, stamps.then_some(700));
    end.receive(&fin, slice(&[]), START);
    end.transmit(START, 0, &mut Vec::new());
    assert_eq!(end.state(), State::TimeWait);
    end.remains(START).expect("little is left")
}

#[test]
fn it_lasts_for_a_minute() {
    assert_eq!(waiting(false).until(), START + 60 * SECOND);
}

#[test]
fn the_end_again_is_acknowledged_again_and_the_time_begins_anew() {
    let mut record = waiting(false);
    let later = START + 10 * SECOND;
    let fin = segment(1, flag::FIN | flag::ACK, None);
    assert_eq!(record.receive(&fin, 0, later), Late::Acknowledge);
    assert_eq!(record.until(), later + 60 * SECOND);
    let answer = record.acknowledgement((1, 2), later);
    assert_eq!(answer.acknowledgement, THEIRS + 2);
    assert_eq!(answer.sequence, Sequence(u32::MAX - 2000) + 2);
}

#[test]
fn a_new_request_takes_the_place_if_it_can_be_told_apart() {
    let reopened = |stamps: bool, sequence: usize, stamp| {
        let mut record = waiting(stamps);
        let late = record.receive(&segment(sequence, flag::SYN, stamp), 0, START + SECOND);
        matches!(late, Late::Reopen(first) if first.ahead_of(Sequence(u32::MAX - 2000)) > 65_535)
    };
    // By its number.
    assert!(reopened(false, 100, None));
    assert!(!reopened(false, 0, None));
    assert!(!reopened(false, 1, None));
    // By its timestamp.
    assert!(reopened(true, 0, Some(701)));
    assert!(!reopened(true, 0, Some(700)));
    assert!(!reopened(true, 100, Some(699)));
}

#[test]
fn an_old_request_is_set_right_but_not_without_limit() {
    let mut record = waiting(false);
    let old = segment(0, flag::SYN, None);
    assert_eq!(record.receive(&old, 0, START), Late::Acknowledge);
    assert_eq!(record.receive(&old, 0, START), Late::Ignore);
    assert_eq!(record.receive(&old, 0, START + SECOND), Late::Acknowledge);
}

#[test]
fn only_an_exact_reset_ends_it() {
    let mut record = waiting(false);
    assert_eq!(
        record.receive(&segment(3, flag::RST, None), 0, START),
        Late::Ignore
    );
    assert_eq!(
        record.receive(&segment(2, flag::RST, None), 0, START),
        Late::End { reset: false }
    );
}

#[test]
fn an_outgoing_connection_may_take_the_place_after_a_second() {
    let record = waiting(true);
    assert_eq!(record.may_be_reused(START), None);
    assert!(record.may_be_reused(START + SECOND).is_some());
    assert_eq!(waiting(false).may_be_reused(START + SECOND), None);
}

#[test]
fn before_the_peers_end_only_that_is_of_use() {
    let record = || half_closed(false).remains(START).expect("little is left");
    let fin = segment(1, flag::FIN | flag::ACK, None);
    let mut ends = record();
    assert_eq!(ends.receive(&fin, 0, START + SECOND), Late::Acknowledge);
    assert_eq!(ends.until(), START + 61 * SECOND);
    assert_eq!(
        ends.acknowledgement((1, 2), START).acknowledgement,
        THEIRS + 2
    );
    // Data that nobody will read.
    let data = segment(1, flag::ACK, None);
    assert_eq!(
        record().receive(&data, 10, START),
        Late::End { reset: true }
    );
    assert_eq!(record().receive(&fin, 10, START), Late::End { reset: true });
    // Nothing new.
    assert_eq!(record().receive(&data, 0, START), Late::Ignore);
    // Out of the window.
    let far = segment(1_000_000_000, flag::ACK, None);
    assert_eq!(record().receive(&far, 0, START), Late::Acknowledge);
}
