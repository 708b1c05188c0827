//! The function of `fuzz/`, with inputs made by chance, but the same each time.

#[path = "../fuzz/subject.rs"]
mod subject;

/// Numbers that look like chance (xorshift).
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 16) as usize
}

/// What settings are made of, and what they are not.
const PIECES: &[&str] = &[
    "dhcp",
    "slaac",
    "ip=10.0.0.2/24",
    "ip=10.0.0.2/33",
    "ip=300.0.0.1/8",
    "ip6=fd00::2/64",
    "ip6=::/0",
    "gateway=10.0.0.1",
    "gateway6=fe80::1",
    "route=10.9.0.0/16@10.0.0.9",
    "route=fd01::/48@fd00::1",
    "dns=1.1.1.1",
    "dns=::1",
    "search=example.org",
    "search=-",
    "mtu=1500",
    "mtu=65536",
    "queues=2",
    "queues=0",
    "mac=52:54:00:12:34:56",
    "mac=1",
    "=",
    "ip=",
    "é",
];

#[test]
fn settings_of_networks_are_read_as_they_are_written() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut right = 0;
    for _ in 0..50_000 {
        let count = next(&mut state) % 6 + 1;
        let pieces: Vec<&str> = (0..count)
            .map(|_| PIECES[next(&mut state) % PIECES.len()])
            .collect();
        let separator = [",", ",", ",", ""][next(&mut state) % 4];
        right += usize::from(subject::network(pieces.join(separator).as_bytes()));
    }
    assert!(right > 500, "only {right} were settings");
}
