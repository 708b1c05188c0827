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

#[test]
fn terminals_survive_whatever_is_typed_and_set() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut read = 0;
    for _ in 0..200 {
        let length = next(&mut state) % 3000;
        let input: Vec<u8> = (0..length).map(|_| next(&mut state) as u8).collect();
        read += subject::line(&input);
    }
    assert!(read > 10_000, "only {read} bytes were read");
}
