//! RFC 9293, section 3.10.7.4, and Linux: requests before they are connections.

mod common;
use common::script::{play, play_with};
use pith_tcpip::tcp::{Algorithm, Options};

const ASKED: &str = "listen
    < S 0:0(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 1\n";

fn asked(rest: &str) {
    play(&format!("{ASKED}{rest}"));
}

#[test]
fn the_answer_is_sent_again_for_a_minute() {
    asked(
        "+1000 > S. 0:0(0) ack 1
        +2000 > S. 0:0(0) ack 1
        +4000 > S. 0:0(0) ack 1
        +8000 > S. 0:0(0) ack 1
        +16000 > S. 0:0(0) ack 1
        +31999 request true
        +1 request false
        none",
    );
}

#[test]
fn the_request_again_is_answered_again() {
    asked(
        "< S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        < S 0:0(0) win 1000 <mss 1000>
        none                                // not without limit
        +500 < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1",
    );
}

#[test]
fn data_may_come_with_the_acknowledgement() {
    asked(
        "< P. 1:11(10) ack 1 win 1000
        > . 1:1(0) ack 11
        state Established
        available 10",
    );
}

#[test]
fn an_end_may_come_with_the_acknowledgement() {
    asked(
        "< F. 1:1(0) ack 1 win 1000
        > . 1:1(0) ack 2
        state CloseWait",
    );
}

#[test]
fn a_reset_ends_the_request_only_with_the_exact_number() {
    asked(
        "< R 500:500(0) win 0
        > . 1:1(0) ack 1
        request true
        < R 1:1(0) win 0
        request false
        none",
    );
}

#[test]
fn an_acknowledgement_of_something_else_is_refused() {
    asked(
        "< . 1:1(0) ack 2 win 1000
        > R 2:2(0)
        request true
        < . 1:1(0) ack 1 win 1000
        state Established",
    );
}

#[test]
fn a_segment_out_of_the_window_is_set_right() {
    asked(
        "< . 200001:200001(0) ack 1 win 1000
        > . 1:1(0) ack 1
        request true",
    );
}

#[test]
fn a_connection_may_be_made_only_when_data_is_there() {
    let options = Options {
        algorithm: Algorithm::Reno,
        defer_accept: 2,
        ..Options::default()
    };
    play_with(
        options,
        "listen
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 1000
        request true
        < P. 1:11(10) ack 1 win 1000
        > . 1:1(0) ack 11
        available 10",
    );
    play_with(
        options,
        "listen
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 1000
        +1000 none
        +2000 > S. 0:0(0) ack 1     // the last chance
        < . 1:1(0) ack 1 win 1000
        state Established",
    );
}
