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
    "/tmp:",
    "/",
    "/a/b:",
    "/tmp:size=1m",
    "/a//b/:nr_inodes=5",
    "size=64m",
    "size=50%",
    "size=0",
    "size=99999999999t",
    "nr_blocks=16k",
    "nr_inodes=10k",
    "nr_inodes=18446744073709551615",
    "mode=1777",
    "mode=99999",
    "uid=0",
    "gid=4294967295",
    "uid=-1",
    "rw",
    "suid,dev,exec",
    "ro",
    "=",
    "é",
];

#[test]
fn settings_of_storage_are_read_as_they_are_written() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut right = 0;
    for _ in 0..50_000 {
        let count = next(&mut state) % 6 + 1;
        let pieces: Vec<&str> = (0..count)
            .map(|_| PIECES[next(&mut state) % PIECES.len()])
            .collect();
        let separator = [",", ",", ",", ""][next(&mut state) % 4];
        right += usize::from(subject::storage(pieces.join(separator).as_bytes()));
    }
    assert!(right > 500, "only {right} were settings");
}
