//! RFC 6093 and Linux: urgent data is one byte beside the stream; the pointer names the byte behind it.

mod common;
use common::script::play;

const OPEN: &str = "connect
    > S 0:0(0)
    < S. 0:0(0) ack 1 win 10000 <mss 1000>
    > . 1:1(0) ack 1\n";

fn opened(rest: &str) {
    play(&format!("{OPEN}{rest}"));
}

#[test]
fn the_pointer_names_the_end_of_urgent_data() {
    opened(
        "write 100
        > P. 1:101(100) ack 1
        urgent 3
        > P. 101:104(3) ack 1 urg 3
        write 10
        none
        < . 1:1(0) ack 104 win 10000
        > P. 104:114(10) ack 1",
    );
}

#[test]
fn a_closed_window_does_not_hide_that_there_is_urgent_data() {
    opened(
        "< . 1:1(0) ack 1 win 0
        urgent 1
        +201 > . 0:0(0) ack 1 urg 2
        < . 1:1(0) ack 1 win 10000
        > P. 1:2(1) ack 1 urg 1",
    );
}

#[test]
fn the_urgent_byte_stands_beside_the_stream() {
    // The data is the low byte of each number, which begins at 144 here.
    opened(
        "< P. 1:11(10) ack 1 win 10000 urg 6
        > . 1:1(0) ack 11
        mark false
        available 5
        out-of-band 149
        out-of-band None
        read 5
        mark true
        available 4
        read 4
        mark false
        available 0",
    );
}

#[test]
fn it_may_stay_in_its_place() {
    opened(
        "inline
        < P. 1:11(10) ack 1 win 10000 urg 6
        > . 1:1(0) ack 11
        out-of-band None
        available 5
        read 5
        mark true
        available 5
        read 5
        mark false",
    );
}

#[test]
fn it_may_be_announced_before_it_comes() {
    opened(
        "< P. 1:5(4) ack 1 win 10000 urg 6
        > . 1:1(0) ack 5
        out-of-band Announced
        available 4
        < P. 5:11(6) ack 1 win 10000
        > . 1:1(0) ack 11
        out-of-band 149
        available 5",
    );
}

#[test]
fn a_new_one_takes_the_place_of_an_old_one() {
    opened(
        "< P. 1:11(10) ack 1 win 10000 urg 3
        > . 1:1(0) ack 11
        < P. 11:21(10) ack 1 win 10000 urg 3
        > . 1:1(0) ack 21
        out-of-band 156
        available 12
        < P. 21:31(10) ack 1 win 10000 urg 0
        > . 1:1(0) ack 31
        out-of-band 164",
    );
}
