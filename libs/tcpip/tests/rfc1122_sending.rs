//! RFC 1122 and RFC 9293, section 3.8.6: when data is sent, and when windows are closed.

mod common;
use common::script::{play, play_with};
use pith_tcpip::tcp::Options;

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

#[test]
fn a_corked_segment_goes_after_a_while() {
    opened(
        "cork
        write 10
        +199 none
        +1 > P. 1:11(10) ack 1
        write 10
        none",
    );
}

#[test]
fn what_is_followed_by_more_waits_for_it() {
    opened(
        "more
        write 10
        none
        write 1000
        > . 1:1001(1000) ack 1
        none
        nomore
        > P. 1001:1011(10) ack 1",
    );
}

#[test]
fn a_small_write_waits_only_for_a_small_one() {
    // As on Linux: with a full segment under way the rest does not wait.
    opened(
        "write 1500
        > . 1:1001(1000) ack 1
        > P. 1001:1501(500) ack 1
        write 10
        none
        < . 1:1(0) ack 1001 win 10000
        none
        < . 1:1(0) ack 1501 win 10000
        > P. 1501:1511(10) ack 1",
    );
}

#[test]
fn a_window_that_is_too_small_for_a_segment_is_used_after_a_while() {
    opened(
        "< . 1:1(0) ack 1 win 400
        write 2000
        none
        +200 none
        +1 > P. 1:401(400) ack 1
        < . 1:1(0) ack 401 win 10000
        > . 401:1401(1000) ack 1
        > P. 1401:2001(600) ack 1",
    );
}

#[test]
fn a_little_room_is_not_told() {
    let options = Options {
        receive_capacity: 4000,
        receive_grows: false,
        ..Options::default()
    };
    play_with(
        options,
        "connect
        > S 0:0(0) win 4000
        < S. 0:0(0) ack 1 win 10000 <mss 1000>
        > . 1:1(0) ack 1 win 4000
        < . 1:2001(2000) ack 1 win 10000
        > . 1:1(0) ack 2001 win 2000
        < . 2001:4001(2000) ack 1 win 10000
        > . 1:1(0) ack 4001 win 0
        read 500
        none
        < . 4000:4000(0) ack 1 win 10000
        > . 1:1(0) ack 4001 win 0
        read 1500
        > . 1:1(0) ack 4001 win 2000
        read 100
        < . 4001:4002(1) ack 1 win 10000
        > . 1:1(0) ack 4002 win 1999",
    );
}
