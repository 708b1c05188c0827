//! `TCP_USER_TIMEOUT` of tcp(7), RFC 5482.

mod common;
use common::script::play;

const OPEN: &str = "connect
    > S 0:0(0)
    +100 < S. 0:0(0) ack 1 win 10000 <mss 1000>
    > . 1:1(0) ack 1
    timeout 1000\n";

#[test]
fn data_that_goes_unanswered_for_so_long_ends_the_connection() {
    play(&format!(
        "{OPEN}write 10
        > P. 1:11(10) ack 1
        +300 > P. 1:11(10) ack 1
        +600 > P. 1:11(10) ack 1
        +99 none
        state Established
        +1 state Closed
        ends TimedOut"
    ));
}

#[test]
fn a_closed_window_that_is_told_again_does_not() {
    play(&format!(
        "{OPEN}< . 1:1(0) ack 1 win 0
        write 10
        none
        +300 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 0
        +600 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 0
        +1200 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 0
        state Established"
    ));
}

#[test]
fn a_closed_window_and_silence_do() {
    play(&format!(
        "{OPEN}< . 1:1(0) ack 1 win 0
        write 10
        +300 > . 0:0(0) ack 1
        +600 > . 0:0(0) ack 1
        +1200 none
        state Closed
        ends TimedOut"
    ));
}
