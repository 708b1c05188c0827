//! RFC 1122 and RFC 9293, section 3.8.6: when data is sent, and when windows are closed.

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
fn small_writes_wait_for_the_acknowledgement_of_the_one_before() {
    opened(
        "write 10
        > P. 1:11(10) ack 1
        write 10
        write 10
        none
        < . 1:1(0) ack 11 win 10000
        > P. 11:31(20) ack 1",
    );
}

#[test]
fn a_full_segment_does_not_wait() {
    opened(
        "write 10
        > P. 1:11(10) ack 1
        write 1500
        > . 11:1011(1000) ack 1
        none
        < . 1:1(0) ack 1011 win 10000
        > P. 1011:1511(500) ack 1",
    );
}

#[test]
fn without_delay_nothing_waits() {
    opened(
        "nodelay
        write 10
        > P. 1:11(10) ack 1
        write 10
        > P. 11:21(10) ack 1",
    );
}

#[test]
fn corked_data_waits_until_it_is_a_segment_or_the_cork_is_pulled() {
    opened(
        "cork
        write 600
        none
        write 600
        > . 1:1001(1000) ack 1
        none
        uncork
        < . 1:1(0) ack 1001 win 10000
        > P. 1001:1201(200) ack 1",
    );
}

#[test]
fn the_windows_limit_is_kept() {
    opened(
        "< . 1:1(0) ack 1 win 2500
        write 5000
        > . 1:1001(1000) ack 1
        > . 1001:2001(1000) ack 1
        none                       // 500 more would be a silly window
        < . 1:1(0) ack 2001 win 2500
        > . 2001:3001(1000) ack 1
        > . 3001:4001(1000) ack 1",
    );
}

#[test]
fn a_closed_window_is_asked_for_again_and_again() {
    opened(
        "< . 1:1(0) ack 1 win 0
        write 100
        none
        +200 none
        +1 > . 0:0(0) ack 1
        +399 none
        +1 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 0
        +799 none
        +1 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 1000
        > P. 1:101(100) ack 1",
    );
}

#[test]
fn the_first_segments_are_acknowledged_at_once_and_later_every_second_one() {
    let mut transcript = String::from(OPEN);
    for index in 0..16 {
        let start = 1 + index * 1000;
        transcript += &format!(
            "< . {start}:{}(1000) ack 1 win 10000
            > . 1:1(0) ack {}
            read 1000\n",
            start + 1000,
            start + 1000
        );
    }
    transcript += "< . 16001:17001(1000) ack 1 win 10000
        none
        < . 17001:18001(1000) ack 1 win 10000
        > . 1:1(0) ack 18001
        < . 18001:19001(1000) ack 1 win 10000
        none
        +39 none
        +1 > . 1:1(0) ack 19001";
    play(&transcript);
}

#[test]
fn a_window_that_opens_by_much_is_told() {
    let mut transcript = String::from(
        "listen
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 1000\n",
    );
    // 128 KiB of room, of which 65,535 bytes can be told without scaling.
    let mut start = 1;
    for _ in 0..130 {
        let end = start + 1000;
        transcript +=
            &format!("< . {start}:{end}(1000) ack 1 win 1000\n+40 > . 1:1(0) ack {end}\n");
        start = end;
        if start > 120_000 {
            break;
        }
    }
    let ack = start;
    transcript += &format!("none\nread 100\nnone\nread 60000\n> . 1:1(0) ack {ack}\n");
    play(&transcript);
}

#[test]
fn an_idle_peer_is_asked_whether_it_lives() {
    opened(
        "keepalive
        +9999 none
        +1 > . 0:0(0) ack 1
        +500 < . 1:1(0) ack 1 win 10000
        +9999 none
        +1 > . 0:0(0) ack 1
        +1000 > . 0:0(0) ack 1
        +1000 > . 0:0(0) ack 1
        +1000 > R. 1:1(0) ack 1
        state Closed
        ends TimedOut",
    );
}
