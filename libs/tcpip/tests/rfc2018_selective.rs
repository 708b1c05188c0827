//! RFC 2018, RFC 6675 and RFC 8985: what is missing, and what is sent again.

mod common;
use common::script::play;

const OPEN: &str = "connect
    > S 0:0(0)
    +100 < S. 0:0(0) ack 1 win 60000 <mss 1000,sackOK>
    > . 1:1(0) ack 1\n";

fn opened(rest: &str) {
    play(&format!("{OPEN}{rest}"));
}

fn ten() -> String {
    let mut text = String::from("write 10000\n");
    for index in 0..10 {
        let start = 1 + index * 1000;
        text += &format!("> . {start}:{}(1000) ack 1\n", start + 1000);
    }
    text
}

#[test]
fn gaps_are_reported() {
    opened(
        "< . 1001:2001(1000) ack 1 win 60000
        > . 1:1(0) ack 1 <sack 1001:2001>
        < . 3001:4001(1000) ack 1 win 60000
        > . 1:1(0) ack 1 <sack 3001:4001 1001:2001>
        < . 1:1001(1000) ack 1 win 60000
        > . 1:1(0) ack 2001 <sack 3001:4001>
        < . 2001:3001(1000) ack 1 win 60000
        > . 1:1(0) ack 4001
        available 4000",
    );
}

#[test]
fn three_later_segments_show_a_loss() {
    opened(&format!(
        "{}
        +100 < . 1:1(0) ack 1 win 60000 <sack 1001:2001>
        none
        < . 1:1(0) ack 1 win 60000 <sack 1001:3001>
        none
        < . 1:1(0) ack 1 win 60000 <sack 1001:4001>
        > . 1:1001(1000) ack 1
        none
        < . 1:1(0) ack 1 win 60000 <sack 1001:10001>
        none
        +100 < . 1:1(0) ack 10001 win 60000
        none",
        ten()
    ));
}

#[test]
fn a_late_segment_is_given_a_quarter_of_a_round_trip() {
    opened(&format!(
        "{}
        +100 < . 1:1(0) ack 1 win 60000 <sack 1001:2001>
        +24 none
        < . 1:1(0) ack 2001 win 60000
        none
        +100 < . 1:1(0) ack 10001 win 60000",
        ten()
    ));
}

#[test]
fn the_tail_is_probed_before_the_timeout() {
    opened(&format!(
        "{}
        +100 < . 1:1(0) ack 9001 win 60000
        +299 none
        +1 > P. 9001:10001(1000) ack 1
        < . 1:1(0) ack 10001 win 60000
        none",
        ten()
    ));
}

#[test]
fn without_any_answer_all_is_sent_again_slowly() {
    opened(
        "write 2000
        > . 1:1001(1000) ack 1
        > P. 1001:2001(1000) ack 1
        +202 > P. 1001:2001(1000) ack 1     // the probe
        +300 > . 1:1001(1000) ack 1         // the timeout
        none
        +600 > . 1:1001(1000) ack 1
        none
        < . 1:1(0) ack 1001 win 60000
        > . 1001:2001(1000) ack 1
        < . 1:1(0) ack 2001 win 60000",
    );
}

#[test]
fn blocks_that_can_not_be_are_passed_over() {
    opened(&format!(
        "{}
        +100 < . 1:1(0) ack 1 win 60000 <sack 50001:60001 3001:2001>
        none
        < . 1:1(0) ack 10001 win 60000",
        ten()
    ));
}

#[test]
fn without_selective_acknowledgements_three_equal_ones_do() {
    play(&format!(
        "connect
        > S 0:0(0)
        +100 < S. 0:0(0) ack 1 win 60000 <mss 1000>
        > . 1:1(0) ack 1
        {}
        +100 < . 1:1(0) ack 1 win 60000
        < . 1:1(0) ack 1 win 60000
        none
        < . 1:1(0) ack 1 win 60000
        > . 1:1001(1000) ack 1
        +100 < . 1:1(0) ack 4001 win 60000  // a part: the next is missing too (RFC 6582)
        > . 4001:5001(1000) ack 1
        +100 < . 1:1(0) ack 10001 win 60000
        none",
        ten()
    ));
}
