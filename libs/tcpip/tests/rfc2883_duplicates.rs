//! RFC 2883: what comes twice is reported, and such reports are understood.

mod common;
use common::script::play;

const OPEN: &str = "connect
    > S 0:0(0)
    +100 < S. 0:0(0) ack 1 win 60000 <mss 1000,sackOK>
    > . 1:1(0) ack 1\n";

fn opened(rest: &str) {
    play(&format!("{OPEN}{rest}"));
}

#[test]
fn a_segment_that_came_twice_is_reported() {
    opened(
        "< P. 1:101(100) ack 1 win 60000
        > . 1:1(0) ack 101
        < P. 1:101(100) ack 1 win 60000
        > . 1:1(0) ack 101 <sack 1:101>
        < P. 101:201(100) ack 1 win 60000
        > . 1:1(0) ack 201",
    );
}

#[test]
fn the_part_that_came_twice_is_reported() {
    opened(
        "< P. 1:101(100) ack 1 win 60000
        > . 1:1(0) ack 101
        < P. 51:151(100) ack 1 win 60000
        > . 1:1(0) ack 151 <sack 51:101>",
    );
}

#[test]
fn behind_a_gap_the_range_that_holds_it_follows() {
    opened(
        "< P. 101:201(100) ack 1 win 60000
        > . 1:1(0) ack 1 <sack 101:201>
        < P. 101:201(100) ack 1 win 60000
        > . 1:1(0) ack 1 <sack 101:201 101:201>",
    );
}

#[test]
fn if_all_that_was_sent_again_came_twice_nothing_was_lost() {
    opened(
        "write 10000
        > . 1:1001(1000) ack 1
        > . 1001:2001(1000) ack 1
        > . 2001:3001(1000) ack 1
        > . 3001:4001(1000) ack 1
        > . 4001:5001(1000) ack 1
        > . 5001:6001(1000) ack 1
        > . 6001:7001(1000) ack 1
        > . 7001:8001(1000) ack 1
        > . 8001:9001(1000) ack 1
        > P. 9001:10001(1000) ack 1
        window 10
        +100 < . 1:1(0) ack 1 win 60000 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        trouble Recovery
        +50 < . 1:1(0) ack 10001 win 60000
        trouble None
        window 6
        +50 < . 1:1(0) ack 10001 win 60000 <sack 1:1001>
        window 10
        none",
    );
}
