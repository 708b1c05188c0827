//! RFC 3522 and RFC 4015: a timeout was too early, which the timestamp of the acknowledgement shows.

mod common;
use common::script::play;

const OPEN: &str = "connect
    > S 0:0(0)
    +100 < S. 0:0(0) ack 1 win 60000 <mss 1012,sackOK,TS 700 1001000>
    > . 1:1(0) ack 1
    write 3000
    > . 1:1001(1000) ack 1
    > . 1001:2001(1000) ack 1
    > P. 2001:3001(1000) ack 1
    +202 > P. 2001:3001(1000) ack 1     // the probe of the tail
    +300 > . 1:1001(1000) ack 1         // the timeout
    trouble Loss
    window 1\n";

fn opened(rest: &str) {
    play(&format!("{OPEN}{rest}"));
}

#[test]
fn an_answer_to_the_first_sending_undoes_the_timeout() {
    // It was sent at 1001100, the repetition at 1001602.
    opened(
        "+10 < . 1:1(0) ack 1001 win 60000 <TS 800 1001100>
        trouble None
        window 11
        none
        +10 < . 1:1(0) ack 3001 win 60000 <TS 810 1001100>
        none",
    );
}

#[test]
fn an_answer_to_the_second_does_not() {
    opened(
        "+100 < . 1:1(0) ack 1001 win 60000 <TS 800 1001602>
        trouble Loss
        > . 1001:2001(1000) ack 1
        > P. 2001:3001(1000) ack 1
        +100 < . 1:1(0) ack 3001 win 60000 <TS 810 1001702>
        trouble None",
    );
}
