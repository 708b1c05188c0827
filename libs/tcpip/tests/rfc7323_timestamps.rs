//! RFC 7323: timestamps and window scaling.

mod common;
use common::script::play;

const OPEN: &str = "connect
    > S 0:0(0)
    < S. 0:0(0) ack 1 win 3000 <mss 1000,sackOK,TS 700 1000,wscale 3>
    > . 1:1(0) ack 1\n";

fn opened(rest: &str) {
    play(&format!("{OPEN}{rest}"));
}

#[test]
fn the_last_timestamp_is_echoed() {
    opened(
        "< P. 1:11(10) ack 1 win 1000 <TS 800 1000>
        > . 1:1(0) ack 11 <TS 1001000 800>
        +5 < P. 11:21(10) ack 1 win 1000 <TS 805 1000>
        > . 1:1(0) ack 21 <TS 1001005 805>",
    );
}

#[test]
fn a_segment_from_before_the_wrap_is_dropped() {
    opened(
        "< P. 1:11(10) ack 1 win 1000 <TS 800 1000>
        > . 1:1(0) ack 11
        < P. 11:21(10) ack 1 win 1000 <TS 799 1000>
        > . 1:1(0) ack 11
        available 10",
    );
}

#[test]
fn the_option_takes_room_from_the_data() {
    opened(
        "write 2000
        > . 1:989(988) ack 1
        > . 989:1977(988) ack 1
        > P. 1977:2001(24) ack 1",
    );
}

#[test]
fn windows_are_scaled() {
    opened(
        "< . 1:1(0) ack 1 win 125 <TS 701 1000>
        write 3000
        > . 1:989(988) ack 1
        none",
    );
}
