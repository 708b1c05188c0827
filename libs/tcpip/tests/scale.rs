//! Ten thousand connections at once, and what one costs that is idle.

mod common;

use core::net::SocketAddr;
use std::time::Instant as Clock;

use common::wire::{ADDRESSES, Wire};
use pith_tcpip::stack::Handle;
use pith_tcpip::time::SECOND;

const COUNT: usize = 10_000;

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages = text.split_whitespace().nth(1).expect("a number");
    pages.parse::<usize>().expect("a number") * 4096
}

#[test]
fn ten_thousand_connections_are_held_cheaply() {
    let mut wire = Wire::new();
    let listener = wire.listen(1, 80, 4096);
    let to = SocketAddr::from((ADDRESSES[1], 80));
    let before = resident();
    let mut pairs: Vec<(Handle, Handle)> = Vec::new();
    for _ in 0..COUNT {
        let client = wire.connect(0, to);
        let server = wire.machines[1].tcp_accept(listener).expect("listens");
        pairs.push((client, server.expect("has come")));
    }
    // Each of them has worked.
    for (client, server) in &pairs {
        wire.send(0, *client, b"question");
        assert_eq!(wire.received(1, *server), b"question");
        wire.send(1, *server, b"answer");
        assert_eq!(wire.received(0, *client), b"answer");
    }
    wire.pass(SECOND);
    let each = (resident() - before) / (2 * COUNT);
    println!("{each} bytes for each idle connection");
    assert!(each < 1536, "{each} bytes for each idle connection");
    // One that works among the others costs no more than one alone: no list is gone through.
    let now = wire.now;
    let clock = Clock::now();
    let (client, server) = pairs[COUNT / 2];
    wire.machines[0].tcp_options(client, now, |options| options.no_delay = true);
    for _ in 0..1000 {
        wire.send(0, client, b"question");
        assert_eq!(wire.received(1, server), b"question");
    }
    let among = clock.elapsed();
    let mut alone = Wire::new();
    let listener = alone.listen(1, 80, 8);
    let client = alone.connect(0, to);
    let server = alone.machines[1].tcp_accept(listener).expect("listens");
    let server = server.expect("has come");
    alone.machines[0].tcp_options(client, now, |options| options.no_delay = true);
    let clock = Clock::now();
    for _ in 0..1000 {
        alone.send(0, client, b"question");
        assert_eq!(alone.received(1, server), b"question");
    }
    let alone_took = clock.elapsed();
    println!("{among:?} among {COUNT}, {alone_took:?} alone");
    assert!(among < 10 * alone_took, "{among:?} and {alone_took:?}");
    // All end, and nothing stays.
    let now = wire.now;
    for (client, server) in &pairs {
        wire.machines[0].close(*client, now);
        wire.machines[1].close(*server, now);
    }
    wire.pass(70 * SECOND);
    assert_eq!(wire.machines[0].counts(), [0, 0, 0, 0]);
    assert_eq!(wire.machines[1].counts(), [1, 0, 0, 0]);
    assert_eq!(wire.machines.each_ref().map(|one| one.memory()), [0, 0]);
}
