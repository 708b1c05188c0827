//! RFC 5961: segments of somebody who guesses numbers.

mod common;
use common::script::play;

const OPEN: &str = "connect
    > S 0:0(0)
    < S. 0:0(0) ack 1 win 1000 <mss 1000>
    > . 1:1(0) ack 1\n";

fn opened(rest: &str) {
    play(&format!("{OPEN}{rest}"));
}

#[test]
fn only_the_exact_number_resets() {
    opened(
        "+1000 < R. 2:2(0) ack 1
        > . 1:1(0) ack 1            // a challenge
        state Established
        +10 < R. 3:3(0) ack 1
        none                        // no more than one in half a second
        state Established
        < R. 1:1(0) ack 1
        state Closed
        ends Reset",
    );
}

#[test]
fn a_reset_outside_of_the_window_says_nothing() {
    opened(
        "< R. 200000:200000(0) ack 1
        none
        state Established",
    );
}

#[test]
fn a_syn_in_the_middle_is_challenged() {
    opened(
        "+1000 < S 5:5(0) win 1000
        > . 1:1(0) ack 1
        state Established",
    );
}

#[test]
fn acknowledgements_of_what_was_never_sent_carry_no_data() {
    opened(
        "+1000 < P. 1:11(10) ack 5000 win 1000
        > . 1:1(0) ack 1
        available 0",
    );
}

#[test]
fn old_acknowledgements_carry_data_but_very_old_ones_do_not() {
    opened(
        "write 500
        > P. 1:501(500) ack 1
        < . 1:1(0) ack 501 win 1000
        < P. 1:11(10) ack 1 win 1000
        > . 501:501(0) ack 11
        available 10",
    );
}
