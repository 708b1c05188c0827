//! RFC 9293: how connections begin and end.

mod common;
use common::script::play;

#[test]
fn a_connection_is_asked_for() {
    play(
        "connect
        > S 0:0(0) win 65535 <mss 1460,sackOK,wscale 7>
        state SynSent
        +10 < S. 0:0(0) ack 1 win 1000 <mss 1000,sackOK,wscale 2>
        > . 1:1(0) ack 1
        state Established
        none",
    );
}

#[test]
fn a_connection_is_answered() {
    play(
        "listen
        < S 0:0(0) win 1000 <mss 1000,sackOK,wscale 2>
        > S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,wscale 7>
        state SynReceived
        < . 1:1(0) ack 1 win 257
        state Established
        none",
    );
}

#[test]
fn what_the_peer_does_not_offer_is_not_used() {
    play(
        "listen
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1 win 65535 <mss 1460>",
    );
}

#[test]
fn both_ask_at_once() {
    play(
        "connect
        > S 0:0(0)
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        < S. 0:0(0) ack 1 win 1000 <mss 1000>
        > . 1:1(0) ack 1",
    );
}

/// Section 3.10.7.4: in SYN-RECEIVED, what was never sent can't be acknowledged. The SYN is still waited for.
#[test]
fn both_ask_at_once_and_one_acknowledges_too_much() {
    play(
        "connect
        > S 0:0(0)
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 5000 win 1000
        > R. 5000:5000(0) ack 1
        state SynReceived
        < S. 0:0(0) ack 1 win 1000 <mss 1000>
        > . 1:1(0) ack 1
        state Established",
    );
}

#[test]
fn nobody_listens() {
    play(
        "connect
        > S 0:0(0)
        < R. 0:0(0) ack 1
        state Closed
        ends Refused",
    );
}

#[test]
fn a_reset_of_something_else_is_passed_over() {
    play(
        "connect
        > S 0:0(0)
        < R. 0:0(0) ack 77
        state SynSent
        < . 5:5(0) ack 77
        > R 77:77(0)
        state SynSent",
    );
}

#[test]
fn asking_goes_on_for_a_while_at_longer_and_longer_intervals() {
    play(
        "connect
        > S 0:0(0)
        +1000 > S 0:0(0)
        +2000 > S 0:0(0)
        +4000 > S 0:0(0)
        +8000 > S 0:0(0)
        +16000 > S 0:0(0)
        +32000 > S 0:0(0)
        +63999 none
        state SynSent
        +1 state Closed
        ends TimedOut",
    );
}

const OPEN: &str = "connect
    > S 0:0(0)
    < S. 0:0(0) ack 1 win 1000 <mss 1000>
    > . 1:1(0) ack 1\n";

fn opened(rest: &str) {
    play(&format!("{OPEN}{rest}"));
}

#[test]
fn this_side_ends_first() {
    opened(
        "shutdown
        > F. 1:1(0) ack 1
        state FinWait1
        < . 1:1(0) ack 2 win 1000
        state FinWait2
        < P. 1:11(10) ack 2 win 1000
        > . 2:2(0) ack 11
        available 10
        < F. 11:11(0) ack 2 win 1000
        > . 2:2(0) ack 12
        state TimeWait
        +1000 < F. 11:11(0) ack 2 win 1000
        > . 2:2(0) ack 12
        +59999 state TimeWait
        +1 state Closed",
    );
}

#[test]
fn the_peer_ends_first() {
    opened(
        "< F. 1:1(0) ack 1 win 1000
        > . 1:1(0) ack 2
        state CloseWait
        write 100
        > P. 1:101(100) ack 2
        < . 2:2(0) ack 101 win 1000
        shutdown
        > F. 101:101(0) ack 2
        state LastAck
        < . 2:2(0) ack 102 win 1000
        state Closed",
    );
}

#[test]
fn both_end_at_once() {
    opened(
        "shutdown
        > F. 1:1(0) ack 1
        < F. 1:1(0) ack 1 win 1000
        > . 2:2(0) ack 2
        state Closing
        < . 2:2(0) ack 2 win 1000
        state TimeWait",
    );
}

#[test]
fn the_end_waits_for_all_data() {
    opened(
        "write 1500
        shutdown
        > . 1:1001(1000) ack 1
        none
        < . 1:1(0) ack 1001 win 1000
        > F. 1001:1501(500) ack 1
        < . 1:1(0) ack 1502 win 1000
        state FinWait2",
    );
}

#[test]
fn an_end_before_its_data_waits_for_it() {
    opened(
        "< F. 11:21(10) ack 1 win 1000
        > . 1:1(0) ack 1
        state Established
        < . 1:11(10) ack 1 win 1000
        > . 1:1(0) ack 22
        state CloseWait
        available 20",
    );
}

#[test]
fn data_that_nobody_will_read_is_answered_with_a_reset() {
    opened(
        "close
        > F. 1:1(0) ack 1
        < P. 1:11(10) ack 2 win 1000
        > R. 2:2(0)
        state Closed",
    );
    // Data that was there when the program went (RFC 2525, 2.17).
    opened(
        "< P. 1:11(10) ack 1 win 1000
        > . 1:1(0) ack 11
        close
        > R. 1:1(0)
        state Closed",
    );
}

#[test]
fn an_abort_is_a_reset() {
    opened(
        "abort
        > R. 1:1(0) ack 1
        state Closed",
    );
}

#[test]
fn a_lost_end_is_sent_again() {
    opened(
        "shutdown
        > F. 1:1(0) ack 1
        +200 none
        +1 > F. 1:1(0) ack 1
        < . 1:1(0) ack 2 win 1000
        state FinWait2",
    );
}

#[test]
fn a_lost_answer_is_sent_again() {
    play(
        "listen
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        +1000 > S. 0:0(0) ack 1
        < S 0:0(0) win 1000 <mss 1000>
        > S. 0:0(0) ack 1
        < . 1:1(0) ack 1 win 1000
        state Established",
    );
}
