//! RFC 6937: after a loss the window comes down in proportion to what arrives.

mod common;
use common::script::play;

#[test]
fn one_segment_is_sent_for_two_that_arrive() {
    let ten: String = (0..10)
        .map(|index| {
            let start = 1 + 1000 * index;
            format!("> . {start}:{}(1000) ack 1\n", start + 1000)
        })
        .collect();
    let text = format!(
        "connect
        > S 0:0(0)
        +100 < S. 0:0(0) ack 1 win 60000 <mss 1000,sackOK>
        > . 1:1(0) ack 1
        write 20000
        {ten}
        +100 < . 1:1(0) ack 1 win 60000 <sack 1001:2001>
        > . 10001:11001(1000) ack 1
        < . 1:1(0) ack 1 win 60000 <sack 1001:3001>
        > . 11001:12001(1000) ack 1
        < . 1:1(0) ack 1 win 60000 <sack 1001:4001>     // 12 are under way, and 6 should be
        > . 1:1001(1000) ack 1                          // the first goes at once
        < . 1:1(0) ack 1 win 60000 <sack 1001:5001>     // of two that arrived one may be sent, and was
        none
        < . 1:1(0) ack 1 win 60000 <sack 1001:6001>
        none
        < . 1:1(0) ack 1 win 60000 <sack 1001:7001>     // now 6 are under way
        none
        < . 1:1(0) ack 1 win 60000 <sack 1001:8001>
        > . 12001:13001(1000) ack 1
        < . 1:1(0) ack 1 win 60000 <sack 1001:9001>
        > . 13001:14001(1000) ack 1
        +100 < . 1:1(0) ack 14001 win 60000             // the hole is filled
        trouble None
        window 7
        > . 14001:15001(1000) ack 1
        > . 15001:16001(1000) ack 1
        > . 16001:17001(1000) ack 1
        > . 17001:18001(1000) ack 1
        > . 18001:19001(1000) ack 1
        > P. 19001:20001(1000) ack 1"
    );
    play(&text);
}
