//! The function of `fuzz/`, with programs made by chance, but the same each time.

#[path = "../fuzz/subject.rs"]
mod subject;

/// Codes of instructions; the first are those that leave the value that they load to chance.
const CODES: &[u8] = &[
    0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x60, 0x80, 0x01, 0x61, 0x81, 0xb1, 0x02, 0x03, 0x02,
    0x03, 0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74,
    0x7c, 0x84, 0x94, 0x9c, 0xa4, 0xac, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x06,
    0x16, 0x07, 0x87,
];

/// Numbers that look like chance (xorshift).
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 16) as usize
}

#[test]
fn filters_that_pass_the_check_keep_to_it() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut right = 0;
    for _ in 0..100_000 {
        let count = next(&mut state) % 8 + 1;
        let mut input = vec![count as u8 + 1];
        for _ in 0..count {
            let code = CODES[next(&mut state) % CODES.len()];
            let constant = match next(&mut state) % 4 {
                0 => 0xffff_f000 + next(&mut state) as u32 % 3 * 4,
                1 => next(&mut state) as u32,
                _ => next(&mut state) as u32 % 4 * 4 % 13,
            };
            let jumps = [next(&mut state) as u8 % 4, next(&mut state) as u8 % 4];
            input.extend([code, 0, jumps[0], jumps[1]]);
            input.extend(constant.to_ne_bytes());
        }
        // It ends with what the accumulator has.
        input.extend([0x16, 0, 0, 0, 0, 0, 0, 0]);
        let length = next(&mut state) % 80;
        input.extend((0..length).map(|_| next(&mut state) as u8));
        right += usize::from(subject::filter(&input));
    }
    assert!(right > 10_000, "only {right} were programs");
}
