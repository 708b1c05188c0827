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
fn netlink_survives_any_request() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut found = 0;
    for _ in 0..50_000 {
        let length = next(&mut state) % 300;
        let mut input: Vec<u8> = (0..length).map(|_| next(&mut state) as u8).collect();
        // Lengths that can be: of a message, and of what may be attributes in it.
        for place in (0..length.saturating_sub(4)).step_by(4) {
            if place == 0 || next(&mut state).is_multiple_of(3) {
                input[place..place + 2].copy_from_slice(&[(next(&mut state) % 64) as u8, 0]);
                input[place + 2] &= if place == 0 { 0 } else { 0x1f };
                input[place + 3] &= if place == 0 { 0 } else { 0x1f };
            }
        }
        found += subject::netlink(&input);
    }
    assert!(found > 1000, "only {found} attributes were found");
}
