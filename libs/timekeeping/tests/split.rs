//! Processor time that is told apart.

use pith_timekeeping::Split;

fn parts(program: u64, kernel: u64) -> Split {
    Split { program, kernel }
}

#[test]
fn without_samples_all_is_the_programs() {
    let mut split = Split::NOTHING;
    assert_eq!(split.divide(123, (0, 0)), parts(123, 0));
}

#[test]
fn parts_follow_the_samples_and_make_up_the_whole() {
    let mut split = Split::NOTHING;
    assert_eq!(split.divide(1000, (3, 1)), parts(750, 250));
    assert_eq!(split.divide(2000, (3, 5)), parts(750, 1250));
}

#[test]
fn neither_part_ever_shrinks() {
    let mut split = Split::NOTHING;
    // The first sample found the kernel, the later ones never.
    assert_eq!(split.divide(100, (0, 1)), parts(0, 100));
    assert_eq!(split.divide(150, (9, 1)), parts(50, 100));
    assert_eq!(split.divide(2000, (39, 1)), parts(1900, 100));
    assert_eq!(split.divide(2000, (0, 1)), parts(1900, 100));
    assert_eq!(split.divide(10, (1, 1)), parts(1900, 100));
    let mut last = split;
    let mut random = 88_172_645_463_325_252_u64;
    let (mut whole, mut samples) = (2000, (39, 1));
    for _ in 0..10_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        whole += random % 1000;
        samples = (
            samples.0 + (random >> 20) % 5,
            samples.1 + (random >> 40) % 5,
        );
        let now = split.divide(whole, samples);
        assert!(now.program >= last.program && now.kernel >= last.kernel);
        assert_eq!(now.program + now.kernel, whole);
        last = now;
    }
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let mut split = Split::NOTHING;
    let half = split.divide(u64::MAX, (u64::MAX, u64::MAX));
    assert_eq!(half.program.wrapping_add(half.kernel), u64::MAX);
    assert!(half.kernel.abs_diff(u64::MAX / 2) < 1 << 33);
}
